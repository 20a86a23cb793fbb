"""What the units of a layer do on examples that are gone through in batches, and which of them do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from redlib.data.numbers import strided, whole
from redlib.errors import BadInput
from redlib.measures.alone import check_alone
from redlib.measures.connectivity import Parts
from redlib.measures.layers import BATCH, Net
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP


@torch.no_grad()
def activations(net: Net, examples: Parts, layer: int | str) -> Tensor:
    """Return what the units of a layer return for every example, [R, N, units], in the net's own precision.

    Of filters the mean over the positions of their map. For `layer` see the head of this package. `examples` are such
    as `redlib.training.Examples`; of those with rows replicate r has its own. BadInput for a layer that there is not,
    no examples, modules that draw or normalise in training mode, and outputs that are not finite.
    """
    reader = reader_of(net, layer)
    return torch.cat([reader.activations(x) for x, _ in batches(reader, examples)], 1)


@torch.no_grad()
def active_shares(net: Net, examples: Parts, layer: int | str) -> Tensor:
    """Return the share in [0, 1] of examples for which each unit is above 0, float64 [R, units].

    It is 1 - APoZ of a ReLU (Hu et al. 2016); a filter is active where any position is. BadInput as `activations`, and
    for a stack of tanh, whose units are never switched off.
    """
    if isinstance(net, StackedMLP) and net.activation != "relu":
        raise BadInput.of("activation", net.activation, "relu", "Others are never exactly 0.")
    reader = reader_of(net, layer)
    active = sum((reader.activations(x) > 0).sum(1) for x, _ in batches(reader, examples))
    return torch.as_tensor(active).double() / len(examples)


def dead(shares: Tensor, outgoing: Tensor | None = None, activity: float = 0.0, norm: float = 0.0) -> Tensor:
    """Return bool [R, units], True for units that are dead or nearly so.

    These are active on a share of examples <= `activity` (`shares` [R, units] of `active_shares`), or have outgoing
    weights [R, units] (`norms.unit_impact`) whose norm is <= `norm` times the largest of their layer; 0 and 0 ask for
    dead ones alone. BadInput for shares and limits outside of [0, 1], norms below 0, and unequal shapes.
    """
    for name, limit in (("activity", activity), ("norm", norm)):
        if not 0 <= limit <= 1:
            raise BadInput.of(name, limit, f"0 <= {name} <= 1", "It is a share; .01 asks for nearly dead units.")
    if strided(shares, "shares").dim() != 2 or not bool(((shares >= 0) & (shares <= 1)).all()):
        raise BadInput.of("shares", tuple(shares.shape), "[R, units] in [0, 1]", "Pass what active_shares returns.")
    silent = shares <= activity
    if outgoing is None:
        return silent
    if outgoing.shape != shares.shape or not bool((outgoing >= 0).all()):
        allowed = f"norms >= 0, {tuple(shares.shape)} as shares"
        raise BadInput.of("outgoing", tuple(outgoing.shape), allowed, "Pass norms.unit_impact(net, layer).")
    return silent | (outgoing <= norm * outgoing.amax(1, keepdim=True)).to(silent.device)


class StackLayer:
    """A hidden layer of a stack of nets."""

    def __init__(self, net: StackedMLP, layer: int | str):
        if type(net) is not StackedMLP:
            raise BadInput.of("net", type(net).__name__, "StackedMLP", "With skips a unit acts on several layers.")
        hidden, number = len(net.sizes) - 2, whole("layer", layer, 0, "Hidden layers of a stack count from 0.")
        if number >= hidden:
            raise BadInput.of("layer", layer, f"0 <= layer < {hidden}", "Hidden layers of a stack count from 0.")
        self.net, self.layer, self.replicates, self.like = net, number, net.replicates, net.flat

    def activations(self, x: Tensor) -> Tensor:
        """Return what the units return for inputs x [R, b, ...]: [R, b, units]."""
        return _finite(self.net.hidden(x.flatten(2))[self.layer + 1])

    def units(self, x: Tensor) -> int:
        """Return the number of units, without running the nets on x."""
        return self.net.sizes[self.layer + 1]


class ModuleLayer:
    """A named part of modules of one shape, the replicates."""

    def __init__(self, net: nn.Module | Sequence[nn.Module], layer: int | str):
        self.modules = modules_of(net)
        for module in self.modules:
            check_alone(module)
        self.parts = [_part(module, layer) for module in self.modules]
        self.replicates = len(self.modules)
        self.like = next((p for p in self.modules[0].parameters()), torch.zeros(()))

    def activations(self, x: Tensor) -> Tensor:
        """Return the means of the units' maps for inputs x [R, b, ...]: [R, b, units]."""
        found = [self.output(r, own).mean(2) for r, own in enumerate(x)]
        if len({one.shape for one in found}) > 1:
            raise BadInput.of("units", [one.shape[1] for one in found], "equally many", "Pass nets of one shape.")
        return _finite(torch.stack(found))

    def units(self, x: Tensor) -> int:
        """Return the number of units, as they are for inputs x [R, b, ...]: parts do not say it."""
        return self.activations(x).shape[2]

    def output(self, r: int, x: Tensor) -> Tensor:
        """Return a copy of what the part of replicate r returns for x [b, ...]: [b, units, positions]."""
        seen: list[Tensor] = []
        self.logits(r, x, lambda output: seen.append(_by_unit(output, len(x))))
        return seen[0]

    def logits(self, r: int, x: Tensor, look: Callable[[Any], Tensor | None]) -> Tensor:
        """Return the outputs of replicate r for x; what `look` returns of the part's output, if anything, replaces it.

        BadInput for a part that is not called once.
        """
        calls: list[None] = []

        def hook(part: nn.Module, inputs: object, output: Any) -> Tensor | None:
            calls.append(None)
            return look(output)

        with _hooked(self.parts[r], hook):
            outputs: Tensor = self.modules[r](x)
        if len(calls) != 1:
            raise BadInput.of("calls of the layer in a forward pass", len(calls), "1", "Name a part that is used once.")
        return outputs


Reader = StackLayer | ModuleLayer


def reader_of(net: Net, layer: int | str) -> Reader:
    """Return what reads the layer of a net; BadInput for one that there is not."""
    return StackLayer(net, layer) if isinstance(net, StackedMLP) else ModuleLayer(net, layer)


def batches(reader: Reader, examples: Parts) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x [R, b, ...], y [R, b, ...]) over all examples, where the net is; BadInput without any."""
    if not len(examples):
        raise BadInput.of("number of examples", 0, ">= 1", "Pass some.")
    for x, y in examples.parts(reader.replicates, BATCH):
        yield x.to(reader.like) if x.is_floating_point() else x.to(reader.like.device), y.to(reader.like.device)


def _part(module: nn.Module, layer: int | str) -> nn.Module:
    parts = {name: part for name, part in module.named_modules() if name}
    if layer not in parts:
        raise BadInput.named("layer", layer, parts, "Name the part whose outputs are the units.")
    return parts[str(layer)]


def _by_unit(output: Any, count: int) -> Tensor:
    """Return a copy of [n, units, ...] as [n, units, positions]: parts in place that follow would change it."""
    if not isinstance(output, Tensor) or output.dim() < 2 or len(output) != count:
        given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise BadInput.of("output of the layer", given, f"[{count}, units, ...]", "Name a part that returns this.")
    return output.detach().flatten(1).unflatten(1, (output.shape[1], -1)).clone()


@contextmanager
def _hooked(part: nn.Module, hook: Callable[..., Tensor | None]) -> Iterator[None]:
    handle = part.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _finite(values: Tensor) -> Tensor:
    if not bool(values.isfinite().all()):
        raise BadInput.of("activations", "nan or inf", "finite numbers", "Has the net diverged?")
    return values
