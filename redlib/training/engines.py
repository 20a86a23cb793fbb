"""The two training steps behind one interface: stacked (hand-written gradients) and autograd (any module)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import Loss
from redlib.training.arguments import check_precision
from redlib.training.examples import Batches
from redlib.training.labels import check_layout, per_label
from redlib.training.optimisers import REMEMBERED, SGD, Rule, Update
from redlib.training.rehearsal import drawing, draws, layout_of, rehearsed, set_sources, source_states, sure_layout

Rates = Callable[[int], float | Tensor]  # step -> learning rate, one for all replicates or one each


class Engine(Protocol):
    """What the loop needs: R replicates in G data groups, steps, the outputs, and a state to resume from."""

    device: torch.device
    groups: int
    replicates: int

    @property
    def net(self) -> Any:
        """The net, with the parameters of this moment."""

    def advance(self, batches: Batches, steps: range, rates: Rates) -> Tensor:
        """Train on the batches of `steps`; return the batch losses [R, steps]."""

    def logits(self, x: Tensor) -> Tensor:
        """Return the outputs [R, B, K] in evaluation mode, for x [G, B, ...]."""

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that training changes."""

    def load(self, state: dict[str, Any]) -> None:
        """Set everything that training changes."""


class OneByOne:
    """Engines that take one step at a time."""

    def advance(self, batches: Batches, steps: range, rates: Rates) -> Tensor:
        """Train on the batches of `steps`; return the batch losses [R, steps]."""
        return torch.stack([self.step(*batches.at(step), rates(step)) for step in steps], 1)

    def step(self, x: Tensor, y: Tensor, lr: float | Tensor) -> Tensor:
        """Train on one batch x [G, B, ...], y [G, B] at rate lr; return the losses [R]."""
        raise NotImplementedError


class StackedEngine(OneByOne):
    """Plain MLPs in one stack: GEMMs over the replicate axis and a fused update."""

    def __init__(self, net: StackedMLP | RaggedMLP, rule: Rule, loss: str):
        self.net, self.loss = net, loss
        self.groups, self.replicates, self.device = net.groups, net.replicates, net.flat.device
        self.update = Update(rule, net)

    def step(self, x: Tensor, y: Tensor, lr: float | Tensor) -> Tensor:
        """Train on one batch x [G, B, d padded], y [G, B]; return the losses [R]."""
        return self.update.step(x, y, self.loss, lr)

    def logits(self, x: Tensor) -> Tensor:
        """Return the outputs [R, B, K] for x [G, B, d padded]."""
        return self.net.logits(x)

    def state(self) -> dict[str, Any]:
        """Return copies of parameters and of what the optimiser remembers."""
        tensors = {name: t.clone() for name, t in self.update.tensors.items() if name in REMEMBERED}
        return {"flat": self.net.flat.clone(), "tensors": tensors, "steps": self.update.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Copy parameters and optimiser tensors back."""
        self.net.flat.copy_(state["flat"])
        for name, tensor in state["tensors"].items():
            self.update.tensors[name].copy_(tensor)
        self.update.steps = state["steps"]


class AutogradEngine(OneByOne):
    """Any `nn.Module`s, one per replicate: resident tensors, channels_last for convs that stand it, bf16 on request."""

    def __init__(self, net: Sequence[nn.Module], rule: Rule, loss: Loss, precision: str = "fp32",
                 ignore: int | None = None):  # fmt: skip
        self.net, self.loss, self.bf16 = net, loss, check_precision(precision) == "bf16"
        self.ignore = ignore  # the label that does not count
        self.groups = self.replicates = len(net)
        self.device = next(net[0].parameters()).device
        self.layouts = [sure_layout(module) for module in net]  # None: found out on the first batch
        self.chance = [draws(module) for module in net]
        self.moment: tuple[Sequence[int], int] | None = None  # seeds and step that is taken
        self.optimisers = [torch_optimiser(rule, module, r) for r, module in enumerate(net)]

    def advance(self, batches: Batches, steps: range, rates: Rates) -> Tensor:
        """Train on the batches of `steps`; return the batch losses [R, steps]."""
        losses = []
        for step in steps:
            self.moment = batches.seeds, step
            losses.append(self.step(*batches.at(step), rates(step)))
        self.moment = None
        return torch.stack(losses, 1)

    @torch.enable_grad()
    def step(self, x: Tensor, y: Tensor, lr: float | Tensor) -> Tensor:
        """Train every module on its own batch x[r] [B, ...], y[r] [B, ...]."""
        rates = lr.tolist() if isinstance(lr, Tensor) else [lr] * len(self.net)
        losses = []
        batches = zip(self.net, self.optimisers, rates, x, y, strict=True)
        for r, (module, optimiser, rate, inputs, labels) in enumerate(batches):
            module.train()
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with self._drawing(r):
                loss = self._loss(self._outputs(r, inputs), labels)
                loss.backward()
            if rate:  # a replicate that has stopped keeps its weights
                optimiser.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def logits(self, x: Tensor) -> Tensor:
        """Return the outputs [R, B, K, ...] in evaluation mode (BatchNorm uses its running statistics)."""
        parts = enumerate(zip(self.net, x, strict=True))
        return torch.stack([_full(self.read(r, inputs)) for r, (_, inputs) in parts])

    def read(self, r: int, x: Tensor) -> Any:
        """Return what module r makes of x [B, ...] in evaluation mode, in which it stays."""
        self.net[r].eval()
        return self._outputs(r, x)

    def rehearse(self, r: int, x: Tensor) -> Any:
        """Return what a copy of module r, in training mode, makes of x [B, ...]; nothing changes."""
        return rehearsed(self.net[r], x, self._forward, self._layout(r, x))

    def state(self) -> dict[str, Any]:
        """Return copies of the modules' and optimisers' states, and of the generators their layers draw from."""
        pairs = [(m.state_dict(), o.state_dict()) for m, o in zip(self.net, self.optimisers, strict=True)]
        return copy.deepcopy({"modules": pairs}) | {"sources": [source_states(module) for module in self.net]}

    def load(self, state: dict[str, Any]) -> None:
        """Load the modules' and optimisers' states."""
        for module, optimiser, (weights, buffers) in zip(self.net, self.optimisers, state["modules"], strict=True):
            module.load_state_dict(weights)
            optimiser.load_state_dict(copy.deepcopy(buffers))
        for module, sources in zip(self.net, state["sources"], strict=True):
            set_sources(module, sources)

    def _drawing(self, r: int) -> AbstractContextManager[None]:
        if self.moment is None or not self.chance[r]:
            return nullcontext()
        seeds, step = self.moment
        return drawing(seeds[r], step, self.device)

    def _layout(self, r: int, x: Tensor) -> torch.memory_format:
        layout = self.layouts[r]
        if layout is None:
            layout = self.layouts[r] = layout_of(self.net[r], x, self._forward)
        return layout

    def _outputs(self, r: int, x: Tensor) -> Tensor:
        return self._forward(self.net[r], x, self._layout(r, x))

    def _forward(self, module: nn.Module, x: Tensor, layout: torch.memory_format) -> Any:
        x = x.contiguous(memory_format=layout) if x.dim() == 4 else x
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return module(x)

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        if not isinstance(self.loss, str):
            return self.loss(_full(logits), y)
        check_layout(logits, y.shape[1:])
        logits, y = per_label(logits, y)
        if self.ignore is not None:
            logits, y = logits[y != self.ignore], y[y != self.ignore]
        if self.loss == "mse":
            return functional.mse_loss(_full(logits), functional.one_hot(y, logits.shape[-1]).to(_full(logits)))
        return functional.cross_entropy(_full(logits), y)


def torch_optimiser(rule: Rule, module: nn.Module, replicate: int = 0) -> torch.optim.Optimizer:
    """Return torch's own optimiser for `rule` over the parameters of `module`."""
    lr = rule.lr[replicate] if isinstance(rule.lr, tuple) else rule.lr
    parameters = list(module.parameters())
    if isinstance(rule, SGD):
        return torch.optim.SGD(
            parameters, lr=lr, momentum=rule.momentum, nesterov=rule.nesterov, weight_decay=rule.weight_decay
        )
    kind = torch.optim.AdamW if rule.decoupled else torch.optim.Adam
    return kind(parameters, lr=lr, betas=rule.betas, eps=rule.eps, weight_decay=rule.weight_decay)


def _full(logits: Tensor) -> Tensor:
    """Return outputs in float32, float64 ones as they are."""
    return logits if logits.dtype == torch.float64 else logits.float()
