"""Maps of variance and correlation from layer to layer, their fixed points, depth scales, and the edge of chaos.

Arguments are numbers or NumPy arrays, which broadcast; results are float64.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

from redlib.data.numbers import floats, whole
from redlib.errors import BadInput
from redlib.measures.meanfield.moments import Activation, Floats, Moments, moments_of

EDGE = 1e-12  # what is as near to χ = 1 counts as χ = 1: √2·√2 is not 2
NEWTON_STEPS = 100


def q_map(q: ArrayLike, sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return V(q) = σ_w²·E[φ(√q z)²] + σ_b², the variance one layer up (Poole et al. 2016, eq. 3).

    The first layer reads the inputs themselves: there q is their mean square, and the activation "linear". Raises
    BadInput for negative or non-finite arguments, as all functions here do.
    """
    w, b = _variances(sigma_w, sigma_b)
    return w * moments_of(activation).square(_non_negative(q, "q")) + b


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


def resnet_q_profile(
    mean_square: ArrayLike, sigma_w: float, sigma_b: float, depth: int, activation: Activation = "tanh"
) -> Floats:
    """Return q after each of `depth` pairs of layers, [..., depth], the first entry being the layer of the inputs."""
    depth = whole("depth", depth, 1, "Count the pairs of layers.")
    profile = [q_map(mean_square, sigma_w, sigma_b, "linear")]
    while len(profile) < depth:
        profile.append(resnet_q_map(profile[-1], sigma_w, sigma_b, activation))
    return np.stack(profile, -1)


def c_profile(first: ArrayLike, sigma_w: float, sigma_b: float, depth: int, activation: Activation = "tanh") -> Floats:
    """Return the correlation of two inputs in `depth` layers, [..., depth], if it is `first` in one and q is q*."""
    depth = whole("depth", depth, 1, "Count the layers.")
    q = q_fixed_point(sigma_w, sigma_b, activation)
    profile = [_correlations(first)]
    while len(profile) < depth:
        profile.append(c_map(profile[-1], q, sigma_w, sigma_b, activation))
    return np.stack(profile, -1)


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
    (w, b), form, correlation = _variances(sigma_w, sigma_b), moments_of(activation), _correlations(c)
    one = _non_negative(q, "q")
    two = one if other_q is None else _non_negative(other_q, "other_q")
    above = (w * form.square(one) + b) * (w * form.square(two) + b)
    with np.errstate(invalid="ignore"):
        return np.clip((w * form.pair(correlation, one, two) + b) / np.sqrt(above), -1, 1)


def chi(q: ArrayLike, sigma_w: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return σ_w²·E[φ'(√q z)²], by which a layer multiplies small perturbations' variance (Poole et al. 2016)."""
    return _non_negative(sigma_w, "sigma_w") ** 2 * moments_of(activation).gain(_non_negative(q, "q"))


def q_fixed_point(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return the stable fixed point q* = V(q*) that every q > 0 is drawn to.

    Infinite where q grows without bound, which happens with relu and linear alone; for them NaN where every q is a
    fixed point. tanh and erf: V is concave, so Newton's method from above falls to the largest root.
    """
    (w, b), form = _variances(sigma_w, sigma_b), moments_of(activation)
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
    return w * moments_of(activation).gain(q_fixed_point(sigma_w, sigma_b, activation))


def c_fixed_point(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return the stable fixed point c* of the C-map at q*: 1 where χ₁ <= 1, else below.

    Found by brentq, to about 1e-12/(1 - c*); above 1 - 1e-6 it is returned as 1. NaN where χ₁ > 1 and q* is infinite.
    """
    (w, _), form = _variances(sigma_w, sigma_b), moments_of(activation)
    limit = np.vectorize(partial(_correlation_limit, form=form), otypes=[np.float64])
    return np.asarray(limit(w, q_fixed_point(sigma_w, sigma_b, activation)))


def depth_scales(sigma_w: ArrayLike, sigma_b: ArrayLike, activation: Activation = "tanh") -> tuple[Floats, Floats]:
    """Return (ξ_q, ξ_c), the numbers of layers in which q - q* and c - c* shrink by e (Schoenholz et al. 2017, sec. 3).

    ξ = -1/log(slope of the map at its stable fixed point); in the ordered phase ξ_c = -1/log χ₁. ξ_c is infinite at
    the edge of chaos. NaN where c* is.
    """
    (w, _), form = _variances(sigma_w, sigma_b), moments_of(activation)
    q, c = q_fixed_point(sigma_w, sigma_b, activation), c_fixed_point(sigma_w, sigma_b, activation)
    at_limit = np.vectorize(partial(_limit_slope, form=form), otypes=[np.float64])
    slope_q = np.where(np.isnan(c), np.nan, w * form.slope(q))
    return _depth(slope_q), _depth(np.asarray(at_limit(w, q, c)))


def edge_of_chaos(sigma_b: ArrayLike, activation: Activation = "tanh") -> Floats:
    """Return σ_w for which χ₁(σ_w, σ_b) = 1.

    On that line σ_w² = 1/E[φ'²] and σ_b² = q* - E[φ²]/E[φ'²] are functions of q* alone; brentq inverts the second.
    relu: √2, linear: 1 for any σ_b, but with a finite q* for σ_b = 0 alone.
    """
    form, b = moments_of(activation), _non_negative(sigma_b, "sigma_b")
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


def _newton(w: Floats, b: Floats, form: Moments) -> Floats:
    q = np.asarray(w + b)
    with np.errstate(divide="ignore", invalid="ignore"):  # w = 1, b = 0, where the root is double and known
        for _ in range(NEWTON_STEPS):
            step = (w * form.square(q) + b - q) / (1 - w * form.slope(q))
            q = np.maximum(q + step, 0)
            if np.all(np.abs(step) <= 1e-15 * q):
                break
    return q


def _correlation_limit(w: float, q: float, form: Moments) -> float:
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


def _limit_slope(w: float, q: float, c: float, form: Moments) -> float:
    if np.isnan(c):
        return math.nan
    at = np.asarray(q)
    return float(w * (form.gain(at) if c == 1 else form.pair_gain(np.asarray(c), at, at)))


def _depth(slope: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.abs(np.log(np.minimum(slope, 1))))


def _edge(sigma_b: float, form: Moments) -> float:
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
    array = floats(values, name)
    if not np.all((array >= 0) & np.isfinite(array)):
        worst = array[~((array >= 0) & np.isfinite(array))].ravel()[0]
        sigma = name.startswith("sigma")
        remedy = "Pass a standard deviation, times the root of the fan-in." if sigma else "It is a variance."
        raise BadInput.of(name, float(worst), f"finite numbers, {name} >= 0", remedy)
    return array


def _correlations(c: ArrayLike) -> Floats:
    array = floats(c, "c")
    if not np.all(np.abs(array) <= 1):
        worst = float(array[~(np.abs(array) <= 1)].ravel()[0])
        raise BadInput.of("c", worst, "-1 <= c <= 1", "It is a correlation; clip what rounding made larger.")
    return array
