"""Norms of nets, their distance from the start, and the capacity measures that bounds on generalisation are made of.

A stack is R replicates, a module is one, a list of modules one each; what is returned is float64 with replicates first.
Layers are Linear and Conv parts, weights as they act (cut ones are 0), each as the matrix [out, in] that its inputs
are multiplied by; padded units of a stack do not count. A convolution is the [out, in·k·k] that multiplies unfolded
patches: its spectral norm is NOT that of the convolution as an operator on images, which overlapping patches make up to
k times larger (in two dimensions), so for convolutions what is called a bound below is a measure only. A grouped
convolution is a block-diagonal matrix. Weights alone count, as in the sources, unless a function takes `biases`, with
which a bias is the weight of a further input 1. Batch norm and other parts with parameters are left out of distances,
which are layer by layer, and refused wherever layers are multiplied: fold them into the weights first.

Constants and logarithms are left out of the measures; only `neyshabur_bound` is a bound with its constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from redlib.data.numbers import strided
from redlib.errors import BadInput
from redlib.measures.layers import Net
from redlib.measures.matrices import matrices
from redlib.measures.robustness import logit_gap
from redlib.nets.modules import acting, modules_of
from redlib.nets.stacked import StackedMLP

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
HOMOGENEOUS = (nn.ReLU, nn.Flatten, nn.Identity, nn.Dropout, *POOLS)  # in evaluation mode, for factors above 0
CONTRACTIONS = (*HOMOGENEOUS, nn.Tanh)  # 1-Lipschitz (pools whose windows do not overlap), and 0 at 0
One = TypeVar("One")


@dataclass(frozen=True)
class Layer:
    """A layer of R replicates: weights float64 [R, groups, out, in], biases [R, groups, out], 0 where it has none."""

    name: str
    weight: Tensor
    bias: Tensor

    @property
    def units(self) -> int:
        """The number of outputs, or of output channels."""
        return self.weight.shape[1] * self.weight.shape[2]

    def matrix(self, biases: bool = False) -> Tensor:
        """Return [R, groups, out, in], with the biases as last column if asked."""
        return torch.cat([self.weight, self.bias[..., None]], -1) if biases else self.weight


@dataclass(frozen=True)
class Distances:
    """How far each layer is from its start: Frobenius and spectral norm of the difference [R, L], and units [L]."""

    names: tuple[str, ...]
    units: Tensor
    frobenius: Tensor
    spectral: Tensor

    @property
    def total_frobenius(self) -> Tensor:
        """The Euclidean distance of all layers together, [R]."""
        return self.frobenius.norm(dim=1)

    @property
    def total_spectral(self) -> Tensor:
        """The spectral norm of all layers as one block-diagonal matrix: the largest of them, [R]."""
        return self.spectral.amax(1)

    @property
    def frobenius_per_unit(self) -> Tensor:
        """Frobenius distance / √units, the root mean square of what a unit's weights moved, [R, L]."""
        return self.frobenius / self.units.to(self.frobenius).sqrt()


def layers(net: Net) -> list[Layer]:
    """Return the Linear and Conv layers in their order; BadInput for other nets, none, and weights not finite."""
    if isinstance(net, StackedMLP):
        found = [Layer(f"layer{i}", matrices(w, True, zero=True), b.double()[:, None])
                 for i, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), 1)]  # fmt: skip
    else:
        parts = [[pair for pair in m.named_modules() if isinstance(pair[1], LAYERS)] for m in modules_of(net)]
        if len({len(own) for own in parts}) > 1 or not parts[0]:
            raise BadInput.of("layers of the nets", [len(own) for own in parts], "equally many, >= 1", "See LAYERS.")
        found = [_layer(own[0][0], [part for _, part in own]) for own in zip(*parts, strict=True)]
    if not all(bool(layer.bias.isfinite().all()) for layer in found):
        raise BadInput.of("biases", "NaN or infinity", "finite numbers", "Has the net diverged?")
    return found


def distances(net: Net, start: Net, *, biases: bool = False) -> Distances:
    """Return how far the layers of a net moved from those of `start`, in Frobenius and spectral norm.

    The measures ‖W - W⁰‖_F and ‖W - W⁰‖₂ of Neyshabur et al. 2019 (arXiv 1805.12076, section 2), who count no
    biases. Of convolutions see the head of this file. BadInput for nets of unlike layers.
    """
    pairs = _paired(net, start)
    moved = [one.matrix(biases) - other.matrix(biases) for one, other in pairs]
    units = torch.tensor([one.units for one, _ in pairs])
    names = tuple(one.name for one, _ in pairs)
    return Distances(names, units, *(torch.stack([f(m) for m in moved], 1) for f in (_frobenius, _spectral)))


def unit_capacity(net: Net, start: Net, layer: int = 0, *, biases: bool = False) -> Tensor:
    """Return β_i = ‖u_i - u_i⁰‖₂ of the units (channels) of a layer, rows of its matrix: [R, units].

    Neyshabur et al. 2019 (arXiv 1805.12076), section 2; there of the hidden layer of two-layer nets, layer 0.
    BadInput for nets of unlike layers and a layer that there is not.
    """
    one, other = _at(_paired(net, start), layer)
    return (one.matrix(biases) - other.matrix(biases)).norm(dim=-1).flatten(1)


def unit_impact(net: Net, layer: int = 0) -> Tensor:
    """Return α_i = ‖v_i‖₂, the weights that leave the units (channels) of a hidden layer: [R, units].

    Neyshabur et al. 2019 (arXiv 1805.12076), section 2. They are the columns of the next layer's matrix; a channel has
    several, those of its places (k·k of a convolution, all pixels after flattening). No bias leaves a unit. BadInput
    for the last layer, and where the next one is grouped or its inputs are no multiple of the units.
    """
    found = layers(net)
    units, after = _at(found[:-1], layer).units, found[layer + 1].weight
    if after.shape[1] > 1 or after.shape[3] % units:
        given = f"{after.shape[1]} groups of {after.shape[3]}"
        raise BadInput.of(f"inputs of the layer after {layer}", given, f"a multiple of {units}", "Chain the layers.")
    return after[:, 0].unflatten(2, (units, -1)).norm(dim=(1, 3))


def path_norm(net: Net, p: float = 2, *, shape: Sequence[int] | None = None, biases: bool = False) -> Tensor:
    """Return (Σ over paths from an input to an output of Π|w|ᵖ)^(1/p): [R] (Neyshabur, Tomioka & Srebro 2015).

    It is the p-th root of what one forward pass of |w|ᵖ on ones gives, summed over the outputs. It stays when a ReLU
    unit is rescaled (W₁·a, W₂/a), so tanh is refused. With `biases` paths may start in a bias as well; then rescaling
    a unit must rescale its bias. Max pooling takes the largest of its inputs instead of their sum, so there it is no
    sum over paths. Zero padding adds no paths. Of modules that begin with a convolution `shape` is that of one input,
    (channels, height, width). They hold Linear, Conv, ReLU, Flatten, Identity, Dropout and MaxPool parts alone; what a
    `forward` of their own does besides is not seen, and must be ReLU or addition. BadInput for others, and p <= 0.
    """
    if not 0 < p < float("inf"):
        raise BadInput.of("p", p, "0 < p < infinity", "2 and 1 are usual.")
    if not isinstance(net, StackedMLP):
        layers(net)
        return torch.stack([_module_paths(module, p, shape, biases) for module in modules_of(net)])
    if type(net) is not StackedMLP or net.activation != "relu":
        raise BadInput.of("net", (type(net).__name__, net.activation), "StackedMLP with relu", "Others have no paths.")
    found = layers(net)
    h = torch.ones_like(found[0].weight[:, 0, 0])
    for layer in found:
        h = torch.einsum("roi,ri->ro", layer.weight[:, 0].abs() ** p, h) + biases * layer.bias[:, 0].abs() ** p
    return h.sum(1) ** (1 / p)


def spectral_product(net: Net) -> Tensor:
    """Return Π ‖W_l‖₂ over the layers, [R]: at least the Lipschitz constant of ReLU and tanh nets without convolutions.

    Biases do not matter to it. BadInput where layers are not in a chain (nn.Sequential), or with other parts between.
    """
    return torch.stack([_spectral(layer.weight) for layer in _chain(net)], 1).prod(1)


def frobenius_product(net: Net) -> Tensor:
    """Return Π ‖W_l‖_F over the layers, [R] (Neyshabur, Tomioka & Srebro 2015, without their 2^L).

    Times √L it is the measure of Golowich, Rakhlin & Shamir 2018 (theorem 1). Both are for ReLU nets without biases.
    BadInput as `spectral_product`.
    """
    return torch.stack([_frobenius(layer.weight) for layer in _chain(net)], 1).prod(1)


def spectral_complexity(net: Net, start: Net | None = None) -> Tensor:
    """Return Π‖W_l‖₂ · (Σ (‖W_lᵀ - M_lᵀ‖_{2,1} / ‖W_l‖₂)^{2/3})^{3/2}, [R].

    Bartlett, Foster & Telgarsky 2017, eq. 1.2. The references M_l are the weights of `start`, 0 without; ‖·‖_{2,1} adds
    the norms of the units' weights (rows). Biases do not count; activations are 1-Lipschitz. The bound is
    `over_margin(this, γ, x)` up to logarithms (theorem 1.1). BadInput as `spectral_product`, for nets of unlike layers,
    and for a layer that is 0.
    """
    chain = _chain(net)
    spectral = torch.stack([_spectral(layer.weight) for layer in chain], 1)
    if bool((spectral == 0).any()):
        raise BadInput.of("spectral norm of a layer", 0, "> 0", "Its ratio has no value: is the layer cut to nothing?")
    moved = (
        [layer.weight for layer in chain] if start is None else [a.weight - b.weight for a, b in _paired(net, start)]
    )
    rows = torch.stack([_rows_added(m) for m in moved], 1)
    return spectral.prod(1) * ((rows / spectral) ** (2 / 3)).sum(1) ** 1.5


def vc_count(net: Net, masks: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return P·L·log₂P, float64 [R], of P weights and biases in L layers.

    Up to a constant at least the VC dimension of a ReLU net with one output (Bartlett, Harvey, Liaw & Mehrabian 2019;
    the lower bound has log(P/L)). Weights that masks cut are no parameters: those of a stack are known, of modules
    pass `masks_of(net)`, bool [R, *shape] for each layer. Weights of a convolution count once, wherever they act.
    BadInput where other parts than Linear and Conv have parameters, and for masks of other layers.
    """
    found = layers(net)
    for module in [] if isinstance(net, StackedMLP) else modules_of(net):
        for name, part in _parts(module):
            if not isinstance(part, LAYERS) and any(True for _ in part.parameters(recurse=False)):
                _refuse(name, part, "Linear and Conv, where there are parameters")
    whole = [layer.weight.flatten(1) for layer in found]
    kept = [torch.ones_like(weight, dtype=torch.bool) for weight in whole] if masks is None else list(masks.values())
    if masks is None and isinstance(net, StackedMLP):
        kept = net.kept()
    shapes = [[tuple(part.flatten(1).shape) for part in side] for side in (kept, whole)]
    if shapes[0] != shapes[1] or any(mask.dtype != torch.bool for mask in kept):
        raise BadInput.of("masks", shapes[0], f"bool, {shapes[1]} when flattened", "Pass masks_of(net).")
    total = sum((mask.flatten(1).sum(1) for mask in kept), start=torch.tensor(_bias_count(net))).double()
    return total * len(found) * total.clamp(min=1).log2()


def over_margin(complexity: Tensor, margin: Tensor | float, x: Tensor) -> Tensor:
    """Return complexity·‖X‖_F / (γ·n) = complexity·(root mean square of |x|)/(γ√n), of inputs x [n, ...]: [R].

    What bounds on the gap between error and training error at margin γ > 0 are made of (Bartlett et al. 2017, theorem
    1.1); logarithms and a term √(log(1/δ)/n) are left out. BadInput for margins that are not > 0, and bad inputs.
    """
    return complexity * _flat(x).norm() / (_positive(margin) * len(x)).to(complexity)


def two_layer_measures(net: Net, start: Net) -> dict[str, Tensor]:
    """Return the capacity measures of a two-layer net f(x) = V·ReLU(U·x) that Neyshabur et al. 2019 compare, each [R].

    Of arXiv 1805.12076, table 1, with h hidden units, d inputs and c outputs, and U⁰, V⁰ the start:
    "parameters" d·h (VC); "l1" ‖U‖_{1,∞}‖V‖_{1,∞} (Bartlett & Mendelson 2002); "frobenius" ‖U‖_F‖V‖_F (Neyshabur 2015);
    "spectral_l21" ‖U‖₂‖V-V⁰‖_{2,1} + ‖U-U⁰‖_{2,1}‖V‖₂ (Bartlett 2017); "spectral_frobenius" √c·‖U‖₂‖V-V⁰‖_F +
    √h·‖U-U⁰‖_F‖V‖₂ (Neyshabur 2018); "unit" ‖U⁰‖₂‖V‖_F + ‖U-U⁰‖_F‖V‖_F + √h (theirs, theorem 2); and
    "unit_sum" Σ α_i·β_i, impact times capacity (theorem 1). All without biases; √c is as in the authors' code.
    BadInput for nets of another depth or of convolutions.
    """
    (u, u0), (v, v0) = _two_layers(net, start)
    c, h = v.shape[1:]
    moved_u, moved_v = u - u0, v - v0
    fro, spec, l21 = _frobenius, _spectral, _rows_added
    return {
        "parameters": torch.full_like(fro(u), u.shape[2] * h),
        "l1": u.abs().sum(2).amax(1) * v.abs().sum(2).amax(1),
        "frobenius": fro(u) * fro(v),
        "spectral_l21": spec(u) * l21(moved_v) + l21(moved_u) * spec(v),
        "spectral_frobenius": sqrt(c) * spec(u) * fro(moved_v) + sqrt(h) * fro(moved_u) * spec(v),
        "unit": spec(u0) * fro(v) + fro(moved_u) * fro(v) + sqrt(h),
        "unit_sum": (moved_u.norm(dim=2) * v.norm(dim=1)).sum(1),
    }


def neyshabur_bound(net: Net, start: Net, x: Tensor, margin: Tensor | float, delta: float = 0.01) -> Tensor:
    """Return the bound on error - training error at margin γ that holds with probability 1 - delta, [R].

    Neyshabur et al. 2019 (arXiv 1805.12076), theorem 2, with the constants of the authors' published code: with |X|_F
    the root mean square over the n inputs x [n, d] or [R, n, d], (C + 3√(5h + ln(max(1, γ√n)/δ)))/√n, where
    C = 3√2(√(2c) + 1)(‖V‖_F + 1)(‖U⁰X‖_F + ‖U-U⁰‖_F‖X‖_F + 1)/γ. The theorem takes U⁰X, which is used here, where
    their code takes ReLU(U⁰X). Biases do not count. Training error counts margins below γ; values from 1 on
    say nothing. BadInput as
    `two_layer_measures`, for margins not > 0 and a delta outside (0, 1).
    """
    if not 0 < delta < 1:
        raise BadInput.of("delta", delta, "0 < delta < 1", "It is the probability that the bound does not hold.")
    (u, u0), (v, _) = _two_layers(net, start)
    if x.dim() not in (2, 3) or x.shape[-1] != u.shape[2] or (x.dim() == 3 and len(x) != len(u)):
        allowed = f"[n, {u.shape[2]}] or [{len(u)}, n, {u.shape[2]}]"
        raise BadInput.of("shape of x", tuple(x.shape), allowed, "Flatten the images.")
    rows = _flat(x).view(x.shape)
    n, gamma = rows.shape[-2], _positive(margin).to(u)
    seen = (rows.to(u) @ u0.transpose(1, 2)).flatten(1).norm(dim=1) / sqrt(n)
    size = rows.to(u).expand(len(u), -1, -1).flatten(1).norm(dim=1) / sqrt(n)
    factor = 3 * sqrt(2) * (sqrt(2 * v.shape[1]) + 1) * (_frobenius(v) + 1)
    capacity = factor * (seen + _frobenius(u - u0) * size + 1) / gamma
    return (capacity + 3 * (5 * u.shape[1] + ((gamma * sqrt(n)).clamp(min=1) / delta).log()).sqrt()) / sqrt(n)


def output_margins(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the score of the right class minus the best of the others, float64 [n] or [R, n], below 0 where wrong.

    outputs are [n, C] or [R, n, C], labels y [n], shared, or [R, n] (Bartlett et al. 2017, section 1; `logit_gap`).
    BadInput for one output, labels that are none, no examples, and NaN.
    """
    if outputs.dim() not in (2, 3) or not outputs.numel():
        raise BadInput.of("shape of outputs", tuple(outputs.shape), "[n, C] or [R, n, C]", "Pass some examples.")
    if not bool(outputs.isfinite().all()):
        raise BadInput.of("outputs", "NaN or infinity", "finite numbers", "Has the net diverged?")
    labels = y.expand(outputs.shape[:-1]) if y.shape == outputs.shape[-2:-1] else y
    return logit_gap(outputs.detach().double(), labels)


def margin_percentile(outputs: Tensor, y: Tensor, percent: float = 10) -> Tensor:
    """Return the margin below which `percent` of the examples lie, interpolated: [R], or [] for outputs [n, C].

    Jiang et al. 2020 take the 10th percentile of the training examples in place of the smallest margin. Where more than
    `percent` are wrong it is below 0, and no γ.
    """
    if not 0 <= percent <= 100:
        raise BadInput.of("percent", percent, "0 <= percent <= 100", "5 and 10 are usual.")
    return output_margins(outputs, y).quantile(percent / 100, dim=-1)


def _layer(name: str, parts: list[nn.Module]) -> Layer:
    weight = matrices(parts, zero=True)
    biases = [weight.new_zeros(weight[0, :, :, 0].shape) if part.bias is None else acting(part, "bias").double()
              for part in parts]  # fmt: skip
    return Layer(name, weight, torch.stack([bias.view(weight.shape[1:3]) for bias in biases]))


def _paired(net: Net, start: Net) -> list[tuple[Layer, Layer]]:
    one, other = layers(net), layers(start)
    shapes = [[tuple(layer.weight.shape) for layer in part] for part in (one, other)]
    if shapes[0] != shapes[1]:
        raise BadInput.of("layers of the start", shapes[1], f"{shapes[0]}, [R, groups, out, in]", "Pass its own start.")
    return list(zip(one, other, strict=True))


def _at(found: Sequence[One], layer: int) -> One:
    if not 0 <= layer < len(found):
        raise BadInput.of("layer", layer, f"0 <= layer < {len(found)}", "Layers count from 0.")
    return found[layer]


def _frobenius(matrix: Tensor) -> Tensor:
    return matrix.flatten(1).norm(dim=1)


def _spectral(matrix: Tensor) -> Tensor:
    """Return the largest singular value of [R, ..., out, in]: [R]; of several blocks that of the largest."""
    return torch.linalg.matrix_norm(matrix, 2).view(len(matrix), -1).amax(1)


def _rows_added(matrix: Tensor) -> Tensor:
    return matrix.norm(dim=-1).flatten(1).sum(1)


def _chain(net: Net) -> list[Layer]:
    """Return the layers of a net that is their chain; BadInput for others."""
    if isinstance(net, StackedMLP):
        if type(net) is not StackedMLP:
            raise BadInput.of("net", type(net).__name__, "StackedMLP", "Skips are no chain of layers.")
        return layers(net)
    for module in modules_of(net):
        for name, part in _parts(module):
            if not isinstance(part, (nn.Sequential, *LAYERS, *CONTRACTIONS)):
                _refuse(name, part, "Linear, Conv, ReLU, Tanh, Flatten, Identity, Dropout and MaxPool in nn.Sequential")
    return layers(net)


def _refuse(name: str, part: nn.Module, allowed: str) -> None:
    remedy = "Fold batch norm into the weights before it." if "Norm" in type(part).__name__ else "Write it of these."
    raise BadInput.of(f"part {name!r} of the net", type(part).__name__, allowed, remedy)


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of a module without what computes their weights."""
    return ((name, part) for name, part in module.named_modules() if "parametrizations" not in name.split("."))


def _module_paths(module: nn.Module, p: float, shape: Sequence[int] | None, biases: bool) -> Tensor:
    """Return the path norm of one module, from a pass in which its layers act with |w|ᵖ; it is left as it was."""
    for name, part in _parts(module):
        own = any(True for _ in part.parameters(recurse=False))
        if not isinstance(part, (*LAYERS, *HOMOGENEOUS)) and (own or not any(True for _ in part.children())):
            _refuse(name, part, "Linear, Conv, ReLU, Flatten, Identity, Dropout and MaxPool")
    found = [part for _, part in _parts(module) if isinstance(part, LAYERS)]
    if shape is None and not isinstance(found[0], nn.Linear):
        raise BadInput.of("shape", None, "(channels, height, width) of an input", "A convolution takes any.")
    size = (acting(found[0]).shape[1],) if shape is None else tuple(shape)
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        # In place of their own forward: masks and hooks compute weights that cannot be set.
        for layer in found:
            layer.__dict__["forward"] = partial(_powered, layer, p, biases)
        with torch.no_grad():
            return module(acting(found[0]).new_ones(1, *size, dtype=torch.float64)).sum() ** (1 / p)
    finally:
        for layer in found:
            layer.__dict__.pop("forward", None)
        for part, mode in modes:
            part.training = mode


def _powered(layer: nn.Module, p: float, biases: bool, x: Tensor) -> Tensor:
    weight = acting(layer).double().abs() ** p
    bias = acting(layer, "bias").double().abs() ** p if biases and layer.bias is not None else None
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, bias)
    return cast(_ConvNd, layer)._conv_forward(x, weight, bias)


def _two_layers(net: Net, start: Net) -> list[tuple[Tensor, Tensor]]:
    """Return (U, U⁰) and (V, V⁰), each [R, out, in]."""
    chain, pairs = _chain(net), _paired(net, start)
    flat = isinstance(net, StackedMLP) or all(
        isinstance(part, nn.Linear) or not isinstance(part, LAYERS)
        for module in modules_of(net)
        for part in module.modules()
    )
    if len(chain) != 2 or not flat:
        raise BadInput.of("net", f"{len(chain)} layers", "two Linear layers", "These measures are of two-layer nets.")
    return [(one.weight[:, 0], other.weight[:, 0]) for one, other in pairs]


def _bias_count(net: Net) -> int:
    if isinstance(net, StackedMLP):
        return sum(net.sizes[1:])
    parts = [part for part in modules_of(net)[0].modules() if isinstance(part, LAYERS)]
    return sum(part.bias.numel() for part in parts if part.bias is not None)


def _positive(margin: Tensor | float) -> Tensor:
    value = torch.as_tensor(margin, dtype=torch.float64)
    if not bool((value > 0).all()) or not bool(value.isfinite().all()):
        remedy = "Bounds know margins above 0 only: take a percentile at which the net is right."
        raise BadInput.of("margin", value.tolist(), "finite, margin > 0", remedy)
    return value


def _flat(x: Tensor) -> Tensor:
    """Return inputs as float64 [n, d]; BadInput for none, and where they are not finite."""
    if strided(x, "x").dim() < 2 or not x.numel():
        raise BadInput.of("shape of x", tuple(x.shape), "[n, ...], n >= 1", "Pass some examples.")
    if not bool(x.isfinite().all()):
        raise BadInput.of("x", "NaN or infinity among the inputs", "finite numbers", "Leave these examples out.")
    return x.flatten(1).double()
