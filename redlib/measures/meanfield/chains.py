"""A given net as a chain of layers, which can be run, differentiated and masked one layer at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.errors import BadInput
from redlib.measures.meanfield.weights import PerLayer, check_finite, masked
from redlib.nets import StackedMLP
from redlib.nets.modules import acting

Net = StackedMLP | nn.Module | Sequence[nn.Module]

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Stage:
    """A layer, after what turns the pre-activations below it into its inputs; all tensors are [R, B, ...]."""

    before: Callable[[Tensor], Tensor]
    layer: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    weight: Tensor
    bias: Tensor | None

    def __call__(self, h: Tensor) -> Tensor:
        return self.layer(self.before(h), self.weight, self.bias)


@dataclass(frozen=True)
class Chain:
    """The layers of a net in order, and what follows the last of them."""

    stages: list[Stage]
    after: Callable[[Tensor], Tensor]


def chains(net: Net, x: Tensor, masks: PerLayer | None) -> list[tuple[Chain, Tensor]]:
    """Return (chain, inputs [R, B, ...]): one for a whole StackedMLP, or one with R = 1 per module.

    BadInput for inputs, weights and biases that are not finite: the slope of an activation at NaN can be a number.
    """
    check_finite(x, "x")
    if isinstance(net, StackedMLP):
        for number, bias in enumerate(net.biases):
            check_finite(bias, f"bias {number}")
        return [(_stacked_chain(net, masks), _stacked_inputs(net, x))]
    modules = [_parts(m) for m in ([net] if isinstance(net, nn.Module) else net)]
    layers = [[part for part in parts if isinstance(part, LAYERS)] for parts in modules]
    shapes = [[tuple(part.weight.shape) for part in parts] for parts in layers]
    if not shapes or not shapes[0] or any(shape != shapes[0] for shape in shapes):
        raise BadInput.of("layers", shapes, "at least one, and the same in all replicates", "Pass nets of one shape.")
    if x.dim() < 2 or 0 in x.shape:
        raise BadInput.of("shape of x", tuple(x.shape), "[B, ...]", "Pass a batch of inputs.")
    weights = masked([torch.stack([acting(part) for part in same]) for same in zip(*layers, strict=True)], masks)
    start = x.detach().double()[None]
    return [(_module_chain(parts, [w[r] for w in weights]), start) for r, parts in enumerate(modules)]


def pre_activations(net: Net, x: Tensor, masks: PerLayer | None) -> list[Tensor]:
    """Return h of every layer, [R, B, ...]."""
    found = []
    for chain, h in chains(net, x, masks):
        found.append([h := stage(h) for stage in chain.stages])
    return [torch.cat(same) for same in zip(*found, strict=True)]


def _stacked_chain(net: StackedMLP, masks: PerLayer | None) -> Chain:
    activation = torch.relu if net.activation == "relu" else torch.tanh
    befores = [_same, *[activation] * (len(net.weights) - 1)]
    layers = zip(befores, masked(net.weights, masks), net.biases, strict=True)
    return Chain([Stage(before, _stacked_layer, w, b.double()) for before, w, b in layers], _same)


def _stacked_inputs(net: StackedMLP, x: Tensor) -> Tensor:
    allowed = f"[B, {net.sizes[0]}] or [{net.replicates}, B, {net.sizes[0]}]"
    if x.dim() not in (2, 3) or x.shape[-1] != net.sizes[0] or 0 in x.shape:
        raise BadInput.of("shape of x", tuple(x.shape), allowed, "Flatten the images.")
    if x.dim() == 3 and len(x) != net.replicates:
        raise BadInput.of("shape of x", tuple(x.shape), allowed, "Inputs are shared, or one set per replicate.")
    return x.detach().double().expand(net.replicates, *x.shape[-2:])


def _stacked_layer(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = x @ weight.mT
    return out if bias is None else out + bias[:, None]


def _same(x: Tensor) -> Tensor:
    return x


def _parts(module: nn.Module) -> list[nn.Module]:
    """Return the parts of a nested nn.Sequential in order; layers inside other modules could not be seen."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return [part for child in module for part in _parts(child)]
    held = any(values.dim() > 1 for values in module.parameters()) and not isinstance(module, nn.LayerNorm)
    if not isinstance(module, LAYERS) and (held or isinstance(module, nn.Sequential)):
        allowed = "an nn.Sequential of activations and of layers: " + ", ".join(kind.__name__ for kind in LAYERS)
        raise BadInput.of("module", type(module).__name__, allowed, "Write the net as an nn.Sequential.")
    return [module]


def _module_chain(parts: Sequence[nn.Module], weights: Sequence[Tensor]) -> Chain:
    stages: list[Stage] = []
    between: list[nn.Module] = []
    for part in parts:
        if isinstance(part, LAYERS):
            bias = None if part.bias is None else part.bias.detach().double()
            if bias is not None:
                check_finite(bias, f"bias {len(stages)}")
            stages.append(Stage(_in_order(between), _module_layer(part), weights[len(stages)], bias))
            between = []
        else:
            between.append(copy.deepcopy(part).double().eval().requires_grad_(False))
    return Chain(stages, _in_order(between))


def _in_order(parts: Sequence[nn.Module]) -> Callable[[Tensor], Tensor]:
    body = nn.Sequential(*parts)
    return lambda h: body(h[0])[None]


def _module_layer(part: nn.Module) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return lambda x, weight, bias: part._conv_forward(x[0], weight, bias)[None]  # knows padding, stride and groups
    return lambda x, weight, bias: functional.linear(x[0], weight, bias)[None]
