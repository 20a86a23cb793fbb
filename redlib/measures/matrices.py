"""Weights as matrices. A shape alone can mean two things, so a replicate axis is there only when something says so.

[30, 25, 3] is a Conv1d of 30 filters, or 30 replicates of a linear layer. So a weight is a tensor with `replicates`
set, a tensor of two dimensions, a module's own parameter (both without replicates), or the layer itself, which knows
its groups as well; a list of layers are its replicates. Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from redlib.data.numbers import strided
from redlib.errors import BadInput
from redlib.nets.modules import acting

Weight = Tensor | nn.Module | Sequence[nn.Module]

LAYERS = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
LARGEST = 1e150  # magnitude whose square, summed over a layer, is a number
MOST = 5  # dimensions of a weight without replicates: kernels of volumes
TELL = "Say replicates=True for what weights_of(net) returns, False for the weight of one layer, or pass the layer."


def stacked(weight: Weight, replicates: bool | None = None) -> tuple[Tensor, int]:
    """Return (weights [R, out, in, ...] without gradients, in their dtype; number of groups).

    Tensors have one group. Raises BadInput where nothing tells whether there is a replicate axis, for other shapes and
    types, and for modules that are no Linear, Conv or ConvTranspose layers, or unlike each other.
    """
    if not isinstance(weight, Tensor):
        return _of_layers(weight, replicates)
    if (
        not strided(weight, "weight").is_floating_point()
        or weight.dim() < 2
        or weight.dim() > MOST + 1
        or 0 in weight.shape
    ):
        given = (str(weight.dtype), tuple(weight.shape))
        raise BadInput.of("weight", given, "floats, [out, in, ...] or [R, out, in, ...]", "Pass the weight of a layer.")
    if has_replicates(weight, replicates):
        return weight.detach(), 1
    return weight.detach()[None], 1


def has_replicates(weight: Tensor | np.ndarray, replicates: bool | None = None, what: str = "weight") -> bool:
    """Return whether the first axis of a weight or mask are replicates, as told; BadInput where nothing tells."""
    dims, shape = len(weight.shape), tuple(weight.shape)
    told = replicates
    if told is None and (dims == 2 or isinstance(weight, nn.Parameter)):
        told = False
    if told is None:
        raise BadInput.of(f"replicates of a {what} {shape}", None, "True or False: the shape means two things", TELL)
    if not 2 <= dims - told <= MOST:
        allowed = "[R, out, in, ...]" if told else "[out, in, ...]"
        raise BadInput.of(f"shape of {what}", shape, f"{allowed} with replicates={told}", TELL)
    return told


def matrices(weight: Weight, replicates: bool | None = None, groups: int = 1, zero: bool = False) -> Tensor:
    """Return the matrices that a weight multiplies with, float64 [R, groups, out, in].

    Kernels are the [out, in·k·k] that multiplies unfolded patches, those of transposed convolutions the [in, out·k·k]
    that makes patches. In a grouped convolution every group has a matrix of its own; tensors need to be told `groups`.
    Raises BadInput as `stacked` does, for groups that do not divide the channels, weights that are not finite or whose
    squares are not, and, unless `zero`, a replicate whose weights are all 0.
    """
    stack, own = stacked(weight, replicates)
    groups = own if groups == 1 else groups
    if groups < 1 or stack.shape[1] % groups:
        raise BadInput.of("groups", groups, f"a divisor of {stack.shape[1]}", "Those of the convolution.")
    stack = stack.double()
    if not stack.isfinite().all():
        raise BadInput.of("weight", "nan or inf", "finite numbers", "Has the net diverged?")
    if (largest := float(stack.abs().max())) > LARGEST:
        raise BadInput.of("largest weight", largest, f"<= {LARGEST:g}", "Squares would overflow: scale the weights.")
    for r in [] if zero else (stack.flatten(1) == 0).all(1).nonzero().flatten().tolist():
        raise BadInput.of(f"weight of replicate {r}", 0, "a weight that is not 0", "Is the layer pruned to nothing?")
    flat = stack.flatten(2)
    return flat.unflatten(1, (groups, -1)) if groups > 1 else flat[:, None]


def _of_layers(weight: nn.Module | Sequence[nn.Module], replicates: bool | None) -> tuple[Tensor, int]:
    layers = [weight] if isinstance(weight, nn.Module) else list(weight) if isinstance(weight, list | tuple) else []
    if not layers or not all(isinstance(layer, LAYERS) for layer in layers):
        given = [type(layer).__name__ for layer in layers] or type(weight).__name__
        allowed = "a tensor, or a Linear, Conv or ConvTranspose layer, or a list of such"
        raise BadInput.of("weight", given, allowed, "Of other modules pass the parameter, e.g. lstm.weight_hh_l0.")
    if replicates is not None:
        raise BadInput.of("replicates", replicates, "nothing, for layers", "A list of layers are the replicates.")
    weights, groups = [acting(layer) for layer in layers], [getattr(layer, "groups", 1) for layer in layers]
    types = [parametrize.type_before_parametrizations(layer) for layer in layers]  # each masked layer has its own
    kinds = {(kind, tuple(w.shape), g) for kind, w, g in zip(types, weights, groups, strict=True)}
    if len(kinds) > 1:
        raise BadInput.of("layers", kinds, "layers of one kind and shape", "Pass the same layer of every net.")
    return torch.stack(weights), groups[0]
