"""Mean-field theory of random nets, what it says of masked ones, and the same quantities of a given net.

Pre-activations are h = Wφ(h below) + b, with W ~ N(0, σ_w²/N_in) and b ~ N(0, σ_b²). In a wide net they are Gaussian: q
is their variance, c the correlation of those of two inputs (Poole et al. 2016), and a layer multiplies the variance
of a small perturbation by χ. `sigma_w` and `sigma_b` are standard deviations, as in `nets.mean_field`; variances are in
squared units of the pre-activations. φ is tanh, relu, erf (of h, not of h/√2) or linear.

Theory takes numbers or NumPy arrays, which broadcast, and returns float64. The Gaussian means of relu, erf and linear
are closed forms. Those of tanh are trapezoidal sums, whose error falls exponentially with the number of nodes;
Gauss-Hermite quadrature needs its square (Trefethen 2022, section 5): with 201 nodes it is 5e-3 off at q = 50.

A given net is a StackedMLP, an nn.Sequential (which may be nested) or several of one shape, its replicates. Masks are
those of `pruning`, in the order of the layers: bool [R, *shape of the weight], or None for a dense layer. All is
computed in float64, and results are [R, ...], replicates first, then layers, then inputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtri
from torch import Tensor, nn
from torch.nn import functional

from redlib.errors import BadInput
from redlib.measures.simplex import cosines
from redlib.nets import StackedMLP

Floats = NDArray[np.float64]
Activation = Literal["tanh", "relu", "erf", "linear"]
Law = Literal["naive", "density", "rows"]
PerLayer = Sequence[Tensor | None]
Net = StackedMLP | nn.Module | Sequence[nn.Module]

LAWS = ("naive", "density", "rows")
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
NODES = np.linspace(0, 1, 81)  # of the half line, for one Gaussian variable
REACH, TAIL = 8.5, 20.0  # standard deviations, and where sech² has fallen to 1e-17
PAIR_STEP, PAIR_REACH = 0.25, 7.5
LARGEST = 1e4  # the nodes for a pair of variables grow as their variance q
BLOCK = 2**15  # variances at a time, 20 MiB a table
EDGE = 1e-12  # what is as near to χ = 1 counts as χ = 1: √2·√2 is not 2
NEWTON_STEPS = 100
ROUNDING = 1e-12  # smaller singular values, relative to the largest, are zeros
CHUNK = 2**23  # entries of a Jacobian at a time, 64 MiB


# Theory


def q_map(q: ArrayLike, sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return V(q) = σ_w²·E[φ(√q z)²] + σ_b², the variance one layer up (Poole et al. 2016, eq. 3).

    The first layer reads the inputs themselves: there q is their mean square, and the activation "linear". Raises
    BadInput for negative or non-finite arguments, as all functions here do.
    """
    w, b = _variances(sigma_w, sigma_b)
    return w * _moments(activation).square(_non_negative(q, "q")) + b


def q_profile(
    mean_square: ArrayLike, sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh"
) -> Floats:
    """Return q of every layer, [..., L], for inputs whose mean square is `mean_square` [...].

    sigma_w [..., L] and sigma_b [..., L] or a number: one value per layer. The first layer is linear in the inputs.
    """
    w, b = np.broadcast_arrays(np.atleast_1d(_non_negative(sigma_w, "sigma_w")), _non_negative(sigma_b, "sigma_b"))
    profile = [q_map(_non_negative(mean_square, "mean_square"), w[..., 0], b[..., 0], "linear")]
    for layer in range(1, w.shape[-1]):
        profile.append(q_map(profile[-1], w[..., layer], b[..., layer], activation))
    return np.stack(profile, -1)


def resnet_q_map(q: ArrayLike, sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return q + V(V(q)): the variance two layers up, where the skip over both adds the pre-activations.

    h'' = h + Wφ(h') + b with h' = Wφ(h) + b. The weights are independent of h, so variances add up.
    """
    return q_map(q_map(q, sigma_w, sigma_b, activation), sigma_w, sigma_b, activation) + _non_negative(q, "q")


def c_map(
    c: ArrayLike,
    q: ArrayLike,
    sigma_w: ArrayLike,
    sigma_b: ArrayLike,
    activation: Activation = "tanh",
    other_q: ArrayLike | None = None,
) -> Floats:
    """Return the correlation one layer up of two inputs with correlation c and variances q and `other_q`.

    (σ_w²·E[φ(u₁)φ(u₂)] + σ_b²)/√(V(q)·V(other_q)), Poole et al. 2016, eq. 5; `other_q` is q by default. NaN where
    a V is 0. Raises BadInput for c outside [-1, 1], and for tanh beyond q = 10⁴.
    """
    (w, b), form, correlation = _variances(sigma_w, sigma_b), _moments(activation), _correlations(c)
    one = _non_negative(q, "q")
    two = one if other_q is None else _non_negative(other_q, "other_q")
    above = (w * form.square(one) + b) * (w * form.square(two) + b)
    with np.errstate(invalid="ignore"):
        return np.clip((w * form.pair(correlation, one, two) + b) / np.sqrt(above), -1, 1)


def chi(q: ArrayLike, sigma_w: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return σ_w²·E[φ'(√q z)²], by which a layer multiplies small perturbations' variance (Poole et al. 2016)."""
    return _non_negative(sigma_w, "sigma_w") ** 2 * _moments(activation).gain(_non_negative(q, "q"))


def q_fixed_point(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return the stable fixed point q* = V(q*) that every q > 0 is drawn to.

    Infinite where q grows without bound, which happens with relu and linear alone; for them NaN where every q is a
    fixed point. tanh and erf: V is concave, so Newton's method from above falls to the largest root.
    """
    (w, b), form = _variances(sigma_w, sigma_b), _moments(activation)
    rate = w * form.slope(np.zeros(()))
    if not form.bounded:
        with np.errstate(divide="ignore", invalid="ignore"):
            marginal = np.where((b == 0) & (rate <= 1 + EDGE), np.nan, np.inf)
            return np.where(rate < 1 - EDGE, b / (1 - rate), marginal)
    return np.where((b == 0) & (rate <= 1), 0.0, _newton(w, b, form))


def chi_1(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return χ₁, χ at q*: the slope of the C-map at c = 1, where below 1 correlations are drawn to 1.

    Ordered phase below 1, chaotic above (Poole et al. 2016; Schoenholz et al. 2017).
    """
    w, _ = _variances(sigma_w, sigma_b)
    return w * _moments(activation).gain(q_fixed_point(sigma_w, sigma_b, activation))


def c_fixed_point(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return the stable fixed point c* of the C-map at q*: 1 where χ₁ <= 1, else below.

    Found by brentq, to about 1e-12/(1 - c*); above 1 - 1e-6 it is returned as 1. NaN where χ₁ > 1 and q* is infinite.
    """
    (w, _), form = _variances(sigma_w, sigma_b), _moments(activation)
    limit = np.vectorize(partial(_correlation_limit, form=form), otypes=[np.float64])
    return np.asarray(limit(w, q_fixed_point(sigma_w, sigma_b, activation)))


def depth_scales(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> tuple[Floats, Floats]:
    """Return (ξ_q, ξ_c), the numbers of layers in which q - q* and c - c* shrink by e (Schoenholz et al. 2017, sec. 3).

    ξ = -1/log(slope of the map at its stable fixed point); in the ordered phase ξ_c = -1/log χ₁. ξ_c is infinite at
    the edge of chaos. NaN where c* is.
    """
    (w, _), form = _variances(sigma_w, sigma_b), _moments(activation)
    q, c = q_fixed_point(sigma_w, sigma_b, activation), c_fixed_point(sigma_w, sigma_b, activation)
    at_limit = np.vectorize(partial(_limit_slope, form=form), otypes=[np.float64])
    slope_q = np.where(np.isnan(c), np.nan, w * form.slope(q))
    return _depth(slope_q), _depth(np.asarray(at_limit(w, q, c)))


def edge_of_chaos(sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return σ_w for which χ₁(σ_w, σ_b) = 1.

    On that line σ_w² = 1/E[φ'²] and σ_b² = q* - E[φ²]/E[φ'²] are functions of q* alone; brentq inverts the second.
    relu: √2, linear: 1 for any σ_b, but with a finite q* for σ_b = 0 alone.
    """
    form, b = _moments(activation), _non_negative(sigma_b, "sigma_b")
    if not form.bounded:
        return form.gain(b) ** -0.5
    return np.asarray(np.vectorize(partial(_edge, form=form), otypes=[np.float64])(b))


def magnitude_second_moment(density: ArrayLike) -> Floats:
    """Return the share of Σw² that the largest |w| hold of Gaussian weights, if this share (0, 1] of them is kept.

    2(tϕ(t) + density/2) with t = Φ⁻¹(1 - density/2). Pruned once by magnitude, a random net has σ_w² times this;
    pruned at random, σ_w² times the density.
    """
    kept = np.asarray(density, np.float64)
    if not np.all((kept > 0) & (kept <= 1)):
        raise BadInput.of("density", density, "0 < density <= 1", "It is the fraction kept.")
    t = -ndtri(kept / 2)
    return np.asarray(kept + 2 * t * np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi))


# The theory for given weights


def layer_sigmas(
    weights: Sequence[Tensor], biases: PerLayer, masks: PerLayer | None = None, law: Law = "density"
) -> tuple[Floats, Floats]:
    """Return (σ_w, σ_b) of every layer, each [R, L], as they enter the Q-map.

    weights: [R, out, in, ...] per layer, biases: [R, out] or None. σ_b² is the mean square of the biases. σ_w² is
    "naive": N_in times the mean square of the kept weights, as if all were such; "density": that times the density,
    which is the mean over units of Σ_j(m_ij·w_ij)², hence N_in times the second moment of the masked weights whatever
    their distribution. Raises BadInput for tensors that do not fit, layers of width 0 and other laws.
    """
    if law not in LAWS[:2]:
        raise BadInput.of("law", law, f"one of {LAWS[:2]}", "The rows have no single sigma: see predicted_q.")
    layers = [(squares.sum(2).mean(1), b.mean(1), share) for squares, b, share in _squares(weights, biases, masks)]
    w, b, density = (np.stack(same, 1) for same in zip(*layers, strict=True))
    if law == "naive":
        w = np.divide(w, density, out=np.zeros_like(w), where=density > 0)
    return np.sqrt(w), np.sqrt(b)


def unit_q(
    weights: Sequence[Tensor],
    biases: PerLayer,
    x: Tensor,
    activation: Activation = "tanh",
    masks: PerLayer | None = None,
) -> list[Floats]:
    """Return the variance of every unit, per layer [R, B, out]: q_i = Σ_j(m_ij·w_ij)²·E[φ(√q_j z)²] + σ_b².

    This is the mean over random signs of the weights, whose magnitudes are as they are, and over the biases. (With b_i²
    of its own, q_i would count as spread of a unit what is its mean, and q come out too small where biases dominate.)
    x: inputs [B, d] or [R, B, d], or [B, C, height, width] for conv layers, whose units are channels: positions are
    averaged, and padding is left out.
    Raises BadInput as `layer_sigmas`, and where a layer does not fit the one below.
    """
    form, below, found = _moments(activation), _input_squares(x), []
    for number, (squares, b, _) in enumerate(_squares(weights, biases, masks)):
        if below.shape[-1] != squares.shape[2] or len(below) not in (1, len(squares)):
            allowed = f"[{len(squares)} or 1, B, {squares.shape[2]}]"
            raise BadInput.of(f"inputs of layer {number + 1}", below.shape, allowed, "Give layers in order, from x on.")
        found.append(below @ squares.swapaxes(1, 2) + b.mean(1)[:, None, None])
        below = form.square(found[-1])
    return found


def predicted_q(
    weights: Sequence[Tensor],
    biases: PerLayer,
    x: Tensor,
    activation: Activation = "tanh",
    masks: PerLayer | None = None,
    law: Law = "rows",
) -> Floats:
    """Return the q that a law predicts for every layer and input: [R, L, B].

    "naive" and "density" iterate the Q-map with the sigmas of `layer_sigmas`, from the mean square of each input;
    "rows" takes the mean over units of `unit_q`, so it knows the in-degrees and which inputs are kept.
    """
    if law == "rows":
        return np.stack([q.mean(2) for q in unit_q(weights, biases, x, activation, masks)], 1)
    sigma_w, sigma_b = layer_sigmas(weights, biases, masks, law)
    profile = q_profile(_input_squares(x).mean(2), sigma_w[:, None], sigma_b[:, None], activation)
    return np.moveaxis(profile, 2, 1)


# A given net


@torch.no_grad()
def empirical_q(net: Net, x: Tensor, masks: PerLayer | None = None) -> Tensor:
    """Return the mean square of the pre-activations of every layer, the logits last: [R, L, B].

    x: [B, ...], or [R, B, d] for a StackedMLP. Over units, of conv layers over channels and positions. BatchNorm and
    dropout act as in evaluation. Raises BadInput for masks that do not fit, and for modules that hold layers
    without being an nn.Sequential, as all functions of a net do.
    """
    return torch.stack([h.square().flatten(2).mean(2) for h in _pre_activations(net, x, masks)], 1)


@torch.no_grad()
def empirical_c(net: Net, x: Tensor, masks: PerLayer | None = None) -> Tensor:
    """Return Σh_a·h_b/√(Σh_a²·Σh_b²) of the pre-activations for pairs of inputs (0, 1), (0, 2), ...: [R, L, B(B-1)/2].

    Sums over units, not centred: biases shared by both inputs count, as in the C-map. Otherwise as `empirical_q`.
    """
    return torch.stack([cosines(h.flatten(2)) for h in _pre_activations(net, x, masks)], 1)


@torch.no_grad()
def empirical_chi(net: Net, x: Tensor, masks: PerLayer | None = None) -> Tensor:
    """Return ‖J‖²_F/N_out of J = dh/d(h of the layer below), for every layer but the first: [R, L-1, B].

    For dense layers (1/N_out)·Σ_ij W_ij²φ'(h_j)²: how much a layer multiplies the variance of independent
    perturbations of the units. Exact, also for conv layers, with their padding and positions, and for what stands
    between layers (pooling, BatchNorm). Raises BadInput for a single layer, and where something between
    two layers lets one value act on several (overlapping pools, softmax, LayerNorm).
    """
    return torch.cat([_chain_gains(chain, start) for chain, start in _chains(net, x, masks)])


@torch.no_grad()
def jacobian(
    net: Net, x: Tensor, output: Literal["logits", "hidden"] = "logits", masks: PerLayer | None = None
) -> Tensor:
    """Return d output/dx, flattened: [R, B, out, in]; "hidden" is what the last layer reads.

    W_L·D_{L-1}·W_{L-1}⋯D_1·W_1 with D = diag φ'(h), without the W_L for "hidden"; multiplied from the left by
    reverse-mode differentiation. Raises BadInput for other outputs.
    """
    if output not in ("logits", "hidden"):
        raise BadInput.of("output", output, "'logits' or 'hidden'", "Name what is differentiated.")
    return torch.cat([_chain_jacobian(chain, start, output == "hidden") for chain, start in _chains(net, x, masks)])


def jacobian_spectrum(
    net: Net, x: Tensor, output: Literal["logits", "hidden"] = "logits", masks: PerLayer | None = None
) -> Tensor:
    """Return the singular values of `jacobian`, largest first: [R, B, min(out, in)] (Pennington et al. 2017)."""
    return torch.linalg.svdvals(jacobian(net, x, output, masks))


def spectrum_summary(singular_values: Tensor) -> dict[str, Tensor]:
    """Return sigma_max, mean_square and condition of singular values [..., k], each [...].

    mean_square is ‖J‖²_F/k: with constant width N it falls or grows as χ to the number of layers. condition is the
    largest over the smallest, leaving out zeros, which are values below 1e-12 of the largest; NaN if all are.
    """
    largest = singular_values.amax(-1)
    smallest = singular_values.where(singular_values > ROUNDING * largest[..., None], torch.inf).amin(-1)
    condition = torch.where(largest > 0, largest / smallest, torch.nan)
    return {"sigma_max": largest, "mean_square": singular_values.square().mean(-1), "condition": condition}


# Gaussian means of the activations


@dataclass(frozen=True)
class _Moments:
    """Means over u ~ N(0, q), and over pairs of correlation c; `bounded`: |φ| <= 1, else V is linear in q."""

    square: Callable[[Floats], Floats]  # E φ(u)²
    slope: Callable[[Floats], Floats]  # its derivative by q, E[φ'² + φφ'']
    gain: Callable[[Floats], Floats]  # E φ'(u)²
    pair: Callable[[Floats, Floats, Floats], Floats]  # E φ(u₁)φ(u₂) from c, q₁, q₂
    pair_gain: Callable[[Floats, Floats, Floats], Floats]  # E φ'(u₁)φ'(u₂)
    bounded: bool


def _moments(activation: str) -> _Moments:
    if activation not in MOMENTS:
        raise BadInput.of("activation", activation, f"one of {list(MOMENTS)}", "Name one of these.")
    return MOMENTS[activation]


def _half_line(q: Floats) -> tuple[Floats, Floats]:
    """Return nodes u [..., 81] and trapezoidal weights for the means of even functions over u ~ N(0, q)."""
    root = np.sqrt(q)[..., None]
    reach = np.minimum(REACH, TAIL / np.maximum(root, TAIL / REACH))
    z = reach * NODES
    weights = 2 * reach * NODES[1] * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    weights[..., 0] /= 2
    return root * z, weights


def _in_blocks(function: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    def blocked(q: Floats) -> Floats:
        flat = np.asarray(q, np.float64).ravel()
        parts = [function(flat[at : at + BLOCK]) for at in range(0, len(flat), BLOCK)]
        return np.concatenate(parts).reshape(np.shape(q)) if parts else np.zeros(np.shape(q))

    return blocked


def _tanh_square(q: Floats) -> Floats:
    # tanh² does not fall off, so beyond the nodes' reach its complement sech² is summed; at small q that would cancel.
    u, weights = _half_line(q)
    values = np.tanh(u) ** 2
    return np.where(q < (TAIL / REACH) ** 2, (weights * values).sum(-1), 1 - (weights * (1 - values)).sum(-1))


def _tanh_slope(q: Floats) -> Floats:
    u, weights = _half_line(q)
    sech2 = 1 / np.cosh(u) ** 2
    return np.asarray((weights * sech2 * (3 * sech2 - 2)).sum(-1))


def _tanh_gain(q: Floats) -> Floats:
    u, weights = _half_line(q)
    return np.asarray((weights / np.cosh(u) ** 4).sum(-1))


def _tanh_pair_mean(c: float, q: float, other: float, function: Callable[[Floats], Floats]) -> float:
    """Return E f(u₁)f(u₂) of an odd or even f as analytic as tanh, on a grid of independent z₁ >= 0 and z₂."""
    largest = max(q, other)
    if largest > LARGEST:
        raise BadInput.of("q", largest, f"0 <= q <= {LARGEST:g} for pairs", "Tanh is hardly more than a sign there.")
    step = PAIR_STEP / math.sqrt(max(largest, 0.5))  # the poles of tanh(√q z) are π/(2√q) off the real line
    half = math.ceil(PAIR_REACH / step)
    z = step * np.arange(-half, half + 1, dtype=np.float64)
    weights = step * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    first, first_weights = z[half:], np.concatenate([weights[half : half + 1], 2 * weights[half + 1 :]])
    second = c * first[:, None] + math.sqrt((1 - c) * (1 + c)) * z
    means = function(math.sqrt(other) * second) @ weights
    return float((first_weights * function(math.sqrt(q) * first)) @ means)


def _tanh_derivative(u: Floats) -> Floats:
    return np.asarray(1 - np.tanh(u) ** 2)


def _tanh_pairs(function: Callable[[Floats], Floats]) -> Callable[[Floats, Floats, Floats], Floats]:
    mean = np.vectorize(partial(_tanh_pair_mean, function=function), otypes=[np.float64])
    return lambda c, q, other: np.asarray(mean(c, q, other))


def _relu_pair(c: Floats, q: Floats, other: Floats) -> Floats:
    """Arc-cosine kernel of degree 1 (Cho & Saul 2009)."""
    return np.sqrt(q * other) * (np.sqrt((1 - c) * (1 + c)) + c * (math.pi - np.arccos(c))) / (2 * math.pi)


def _relu_pair_gain(c: Floats, q: Floats, other: Floats) -> Floats:
    """Arc-cosine kernel of degree 0 (Cho & Saul 2009)."""
    return (math.pi - np.arccos(c)) / (2 * math.pi) + 0 * (q + other)


def _erf_pair(c: Floats, q: Floats, other: Floats) -> Floats:
    """The arcsine kernel (Williams 1997)."""
    sine = 2 * c * np.sqrt(q * other) / np.sqrt((1 + 2 * q) * (1 + 2 * other))
    return np.asarray(2 / math.pi * np.arcsin(sine))


def _erf_pair_gain(c: Floats, q: Floats, other: Floats) -> Floats:
    return np.asarray(4 / math.pi / np.sqrt((1 + 2 * q) * (1 + 2 * other) - 4 * c**2 * q * other))


def _constant(value: float) -> Callable[[Floats], Floats]:
    return lambda q: np.full(np.shape(q), value)


MOMENTS = {
    "tanh": _Moments(
        _in_blocks(_tanh_square),
        _in_blocks(_tanh_slope),
        _in_blocks(_tanh_gain),
        _tanh_pairs(np.tanh),
        _tanh_pairs(_tanh_derivative),
        True,
    ),
    "relu": _Moments(lambda q: q / 2, _constant(0.5), _constant(0.5), _relu_pair, _relu_pair_gain, False),
    "erf": _Moments(
        lambda q: np.asarray(2 / math.pi * np.arcsin(2 * q / (1 + 2 * q))),
        lambda q: 4 / math.pi / ((1 + 2 * q) * np.sqrt(1 + 4 * q)),
        lambda q: 4 / math.pi / np.sqrt(1 + 4 * q),
        _erf_pair,
        _erf_pair_gain,
        True,
    ),
    "linear": _Moments(
        lambda q: q,
        _constant(1.0),
        _constant(1.0),
        lambda c, q, other: c * np.sqrt(q * other),
        lambda c, q, other: np.ones(np.broadcast_shapes(np.shape(c), np.shape(q), np.shape(other))),
        False,
    ),
}


# Fixed points


def _newton(w: Floats, b: Floats, form: _Moments) -> Floats:
    q = np.asarray(w + b)
    with np.errstate(divide="ignore", invalid="ignore"):  # w = 1, b = 0, where the root is double and known
        for _ in range(NEWTON_STEPS):
            step = (w * form.square(q) + b - q) / (1 - w * form.slope(q))
            q = np.maximum(q + step, 0)
            if np.all(np.abs(step) <= 1e-15 * q):
                break
    return q


def _correlation_limit(w: float, q: float, form: _Moments) -> float:
    variance = np.asarray(q)
    if w * form.gain(variance) <= 1 + EDGE:
        return 1.0
    if not np.isfinite(q):
        return math.nan
    square = form.square(variance)

    def chord(c: float) -> float:  # (1 - C(c))/(1 - c) rises in c, as C is convex: one root, without that at c = 1
        return float(w * (square - form.pair(np.asarray(c), variance, variance)) / (q * (1 - c)) - 1)

    if chord(0) >= 0:  # C(0) = 0 up to rounding
        return 0.0
    return float(brentq(chord, 0, 1 - 1e-6, xtol=1e-13)) if chord(1 - 1e-6) > 0 else 1.0


def _limit_slope(w: float, q: float, c: float, form: _Moments) -> float:
    if np.isnan(c):
        return math.nan
    at = np.asarray(q)
    return float(w * (form.gain(at) if c == 1 else form.pair_gain(np.asarray(c), at, at)))


def _depth(slope: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.abs(np.log(np.minimum(slope, 1))))


def _edge(sigma_b: float, form: _Moments) -> float:
    def excess(q: float) -> float:
        at = np.asarray(q)
        return float(q - form.square(at) / form.gain(at) - sigma_b**2)

    top = 1.0
    while excess(top) < 0:
        top *= 2
    return float(form.gain(np.asarray(brentq(excess, 0, top, xtol=1e-15))) ** -0.5)


def _variances(sigma_w: ArrayLike, sigma_b: ArrayLike) -> tuple[Floats, Floats]:
    w, b = np.broadcast_arrays(_non_negative(sigma_w, "sigma_w") ** 2, _non_negative(sigma_b, "sigma_b") ** 2)
    return w, b


def _non_negative(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, np.float64)
    if not np.all((array >= 0) & np.isfinite(array)):
        worst = array[~((array >= 0) & np.isfinite(array))].ravel()[0]
        sigma = name.startswith("sigma")
        remedy = "Pass a standard deviation, times the root of the fan-in." if sigma else "It is a variance."
        raise BadInput.of(name, float(worst), f"finite numbers, {name} >= 0", remedy)
    return array


def _correlations(c: ArrayLike) -> Floats:
    array = np.asarray(c, np.float64)
    if not np.all(np.abs(array) <= 1):
        worst = float(array[~(np.abs(array) <= 1)].ravel()[0])
        raise BadInput.of("c", worst, "-1 <= c <= 1", "It is a correlation; clip what rounding made larger.")
    return array


# Weights and inputs of the laws


def _squares(
    weights: Sequence[Tensor], biases: PerLayer, masks: PerLayer | None
) -> list[tuple[Floats, Floats, Floats]]:
    """Return per layer (m·w)² summed over the kernel [R, out, in], b² [R, out] and the density [R]."""
    kept = _masked(weights, masks)
    if len(biases) != len(kept):
        raise BadInput.of("number of biases", len(biases), f"{len(kept)}, one per layer", "None is no bias.")
    layers = []
    for number, (w, bias) in enumerate(zip(kept, biases, strict=True)):
        b = w.new_zeros(w.shape[:2]) if bias is None else bias.detach().to(w)
        if b.shape != w.shape[:2]:
            raise BadInput.of(f"shape of bias {number}", tuple(b.shape), str(tuple(w.shape[:2])), "One per unit.")
        mask = None if masks is None else masks[number]
        share = torch.ones(len(w)) if mask is None else mask.flatten(1).double().mean(1)
        squares = w.square().flatten(3).sum(3) if w.dim() > 3 else w.square()
        layers.append((_numpy(squares), _numpy(b.square()), _numpy(share)))
    return layers


def _masked(weights: Sequence[Tensor], masks: PerLayer | None) -> list[Tensor]:
    """Return weights [R, out, in, ...] in float64, zero where cut."""
    masks = [None] * len(weights) if masks is None else masks
    if len(masks) != len(weights) or not len(weights):
        raise BadInput.of("number of masks", len(masks), f"{len(weights)}, one per layer", "None is a dense layer.")
    kept = []
    for number, (w, mask) in enumerate(zip(weights, masks, strict=True)):
        if w.dim() < 3 or 0 in w.shape:
            allowed, remedy = "[R, out, in, ...] of at least 1 each", "Replicates first; no layer has width 0."
            raise BadInput.of(f"shape of weights {number}", tuple(w.shape), allowed, remedy)
        if mask is not None and (mask.dtype != torch.bool or mask.shape != w.shape):
            given = (str(mask.dtype), tuple(mask.shape))
            raise BadInput.of(
                f"mask {number}", given, f"bool, {tuple(w.shape)}", "True keeps a weight; the replicate axis is first."
            )
        kept.append(w.detach().double() if mask is None else w.detach().double() * mask)
    return kept


def _input_squares(x: Tensor) -> Floats:
    """Return x² of inputs [B, d], [R, B, d] or images [B, C, height, width] as [R or 1, B, units]."""
    if not isinstance(x, Tensor) or x.dim() not in (2, 3, 4) or 0 in x.shape:
        given = tuple(getattr(x, "shape", ()))
        raise BadInput.of("shape of x", given, "[B, d], [R, B, d] or [B, C, height, width]", "Pass a batch of inputs.")
    squares = _numpy(x.detach().double().square())
    if squares.ndim == 4:
        return np.asarray(squares.mean((2, 3)))[None]
    return squares if squares.ndim == 3 else squares[None]


def _numpy(values: Tensor) -> Floats:
    return values.double().cpu().numpy()


# A net as a chain of layers


@dataclass(frozen=True)
class _Stage:
    """A layer, after what turns the pre-activations below it into its inputs; all tensors are [R, B, ...]."""

    before: Callable[[Tensor], Tensor]
    layer: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    weight: Tensor
    bias: Tensor | None

    def __call__(self, h: Tensor) -> Tensor:
        return self.layer(self.before(h), self.weight, self.bias)


@dataclass(frozen=True)
class _Chain:
    stages: list[_Stage]
    after: Callable[[Tensor], Tensor]


def _chains(net: Net, x: Tensor, masks: PerLayer | None) -> list[tuple[_Chain, Tensor]]:
    """Return (chain, inputs [R, B, ...]): one for a whole StackedMLP, or one with R = 1 per module."""
    if isinstance(net, StackedMLP):
        return [(_stacked_chain(net, masks), _stacked_inputs(net, x))]
    modules = [_parts(m) for m in ([net] if isinstance(net, nn.Module) else net)]
    layers = [[part for part in parts if isinstance(part, LAYERS)] for parts in modules]
    shapes = [[tuple(part.weight.shape) for part in parts] for parts in layers]
    if not shapes or not shapes[0] or any(shape != shapes[0] for shape in shapes):
        raise BadInput.of("layers", shapes, "at least one, and the same in all replicates", "Pass nets of one shape.")
    if x.dim() < 2 or 0 in x.shape:
        raise BadInput.of("shape of x", tuple(x.shape), "[B, ...]", "Pass a batch of inputs.")
    weights = _masked([torch.stack([part.weight for part in same]) for same in zip(*layers, strict=True)], masks)
    start = x.detach().double()[None]
    return [(_module_chain(parts, [w[r] for w in weights]), start) for r, parts in enumerate(modules)]


def _stacked_chain(net: StackedMLP, masks: PerLayer | None) -> _Chain:
    activation = torch.relu if net.activation == "relu" else torch.tanh
    befores = [_same, *[activation] * (len(net.weights) - 1)]
    layers = zip(befores, _masked(net.weights, masks), net.biases, strict=True)
    return _Chain([_Stage(before, _stacked_layer, w, b.double()) for before, w, b in layers], _same)


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
    if isinstance(module, nn.Sequential):
        return [part for child in module for part in _parts(child)]
    if not isinstance(module, LAYERS) and any(isinstance(part, LAYERS) for part in module.modules()):
        remedy = "Write the net as an nn.Sequential."
        raise BadInput.of("module", type(module).__name__, "an nn.Sequential of layers and activations", remedy)
    return [module]


def _module_chain(parts: Sequence[nn.Module], weights: Sequence[Tensor]) -> _Chain:
    stages: list[_Stage] = []
    between: list[nn.Module] = []
    for part in parts:
        if isinstance(part, LAYERS):
            bias = None if part.bias is None else part.bias.detach().double()
            stages.append(_Stage(_in_order(between), _module_layer(part), weights[len(stages)], bias))
            between = []
        else:
            between.append(copy.deepcopy(part).double().eval().requires_grad_(False))
    return _Chain(stages, _in_order(between))


def _in_order(parts: Sequence[nn.Module]) -> Callable[[Tensor], Tensor]:
    body = nn.Sequential(*parts)
    return lambda h: body(h[0])[None]


def _module_layer(part: nn.Module) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    if isinstance(part, nn.Conv1d | nn.Conv2d):
        return lambda x, weight, bias: part._conv_forward(x[0], weight, bias)[None]  # knows padding, stride and groups
    return lambda x, weight, bias: functional.linear(x[0], weight, bias)[None]


def _pre_activations(net: Net, x: Tensor, masks: PerLayer | None) -> list[Tensor]:
    """Return h of every layer, [R, B, ...]."""
    found = []
    for chain, h in _chains(net, x, masks):
        found.append([h := stage(h) for stage in chain.stages])
    return [torch.cat(same) for same in zip(*found, strict=True)]


def _chain_gains(chain: _Chain, x: Tensor) -> Tensor:
    if len(chain.stages) < 2:
        raise BadInput.of("number of layers", len(chain.stages), "at least 2", "χ lies between two layers.")
    h, gains = chain.stages[0](x), []
    for stage in chain.stages[1:]:
        gains.append(_gain(stage, h))
        h = stage(h)
    return torch.stack(gains, 1)


def _gain(stage: _Stage, h: Tensor) -> Tensor:
    """Return ‖J‖²_F/N_out from h to the next pre-activations, [R, B].

    Each h_j acts on one input i(j) of the layer, with slope s_j: its column of J is s_j·W[:, i(j)], and the sum of
    that column's squares is s_j times what pulling back the sums of the columns of W² gives.
    """
    inputs, pull = _pullback(stage.before, h)
    outputs, pull_layer = _pullback(lambda v: stage.layer(v, stage.weight.square(), None), inputs)
    slopes, weighted = pull(torch.ones_like(inputs)), pull(pull_layer(torch.ones_like(outputs)))
    signs = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)).sub(0.5).sign().to(inputs)
    if not torch.allclose(pull(signs).abs(), slopes.abs(), rtol=1e-9, atol=1e-12):
        allowed = "activations, BatchNorm, pools that do not overlap"
        raise BadInput.of("between two layers", "one value acts on several", allowed, "Leave such layers out.")
    return (slopes * weighted).flatten(2).sum(2) / outputs[0, 0].numel()


def _pullback(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return function(x), and what takes a derivative by that to one by x."""
    out, pull, *_ = torch.func.vjp(function, x)
    return out, lambda above: pull(above)[0]


def _chain_jacobian(chain: _Chain, x: Tensor, hidden: bool) -> Tensor:
    def forward(h: Tensor) -> Tensor:
        for stage in chain.stages[:-1]:
            h = stage(h)
        last = chain.stages[-1]
        return (last.before(h) if hidden else chain.after(last(h))).flatten(2)

    out, pull = _pullback(forward, x)
    rows = torch.eye(out.shape[2], dtype=out.dtype, device=out.device)[:, None, None].expand(-1, *out.shape)
    chunk = max(1, CHUNK // max(x.numel(), out.numel()))
    return torch.func.vmap(pull, chunk_size=chunk)(rows).movedim(0, 2).flatten(3)
