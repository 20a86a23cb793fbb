"""Spectra of weight matrices against random ones: Marchenko–Pastur, Tracy–Widom, spikes; ranks; low-rank updates.

A weight W is a layer (Linear, Conv, ConvTranspose), a list of layers, one per replicate, or a tensor: [out, in] and a
module's own parameter are one matrix, and any other shape is refused unless `replicates` says whether its first axis is
that of replicates, as in what `weights_of` returns. Kernels are taken as the [out, in·k·k] that multiplies unfolded
patches (Martin & Mahoney 2021 take the k·k slices [out, in] one by one), those of transposed convolutions as the
[in, out·k·k] that makes patches. The groups of a grouped convolution are matrices of their own, whose spectra are
pooled; of a tensor they are told by `groups`. N is
the larger of its sides and M the smaller, Q = N/M >= 1 the aspect ratio, c = 1/Q. Its spectrum (ESD) are the M
eigenvalues σ²/N of WᵀW/N, float64, so that independent entries of variance s² have eigenvalues around s².

Eigenvalues of random matrices repel each other and spread evenly, so levels of tests for independent draws are far
off: for M = 300 the Kolmogorov–Smirnov distance to the law stays below .012 in 95% of cases (.013 if s² is fitted),
not below 1.36/√M = .079. What is beyond chance is told by shuffled matrices (`powerlaws.phases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import airy
from torch import Tensor, nn

from redlib.data.numbers import floats
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.matrices import Weight, matrices, stacked

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SUBSPACES = 32  # key of the stream "eval", so that no other draw of a seed repeats these


@dataclass(frozen=True)
class Bulk:
    """The Marchenko–Pastur bulk of spectra, each [R]: see `fit_bulk`."""

    variance: Floats
    spikes: Ints
    edge: Floats
    distance: Floats


def as_matrices(weight: Weight, zero: bool = False, replicates: bool | None = None) -> Tensor:
    """Return a weight as float64 [R, out, in], without gradients.

    Raises BadInput for other shapes than those of this module, a shape that means two things, weights that are not
    finite, a grouped convolution, and, unless `zero`, a replicate whose weights are all 0.
    """
    found = matrices(weight, replicates, zero=zero)
    if found.shape[1] > 1:
        raise BadInput.of("groups", found.shape[1], "1", "Every group is a matrix of its own: pass its rows.")
    return found[:, 0]


def esd(weight: Weight, replicates: bool | None = None, groups: int = 1) -> Floats:
    """Return the eigenvalues σ²/N of WᵀW/N, largest first: [R, M] (Martin & Mahoney 2021).

    In the squared units of the weights; N is the larger side of the matrix of one group. Raises BadInput as
    `as_matrices` does, but takes groups.
    """
    singular, larger = _decomposed(weight, replicates, groups)
    return singular**2 / larger


def stable_rank(weight: Weight, replicates: bool | None = None, groups: int = 1) -> Floats:
    """Return ‖W‖²_F/‖W‖²₂, in [1, M]: [R] (Rudelson & Vershynin 2007). Errors as in `esd`."""
    singular, _ = _decomposed(weight, replicates, groups)
    return np.asarray((singular**2).sum(1) / singular[:, 0] ** 2)


def effective_rank(weight: Weight, replicates: bool | None = None, groups: int = 1) -> Floats:
    """Return exp(-Σ p·ln p), p = σ/Σσ, in [1, M]: [R] (Roy & Vetterli 2007). Errors as in `esd`.

    The singular values are normalised by their sum, as in the paper; others normalise their squares, which gives less.
    """
    return _effective_rank(_decomposed(weight, replicates, groups)[0])


def ranks_of(eigenvalues: ArrayLike) -> dict[str, Floats]:
    """Return `stable_rank` and `effective_rank`, each [R], of what `esd` returned, without another decomposition."""
    spectra = _spectra(eigenvalues)
    return {"stable_rank": spectra.sum(1) / spectra.max(1), "effective_rank": _effective_rank(np.sqrt(spectra))}


def numerical_rank(weight: Weight, replicates: bool | None = None, groups: int = 1) -> Ints:
    """Return the number of singular values above N·eps·σ_max, with eps of the weight's own dtype: [R].

    The usual limit of rounding (Golub & Van Loan 2013, 5.4). Errors as in `esd`.
    """
    singular, larger = _decomposed(weight, replicates, groups)
    return (singular > rounding(weight, replicates) * larger * singular[:, :1]).sum(1)


def rounding(weight: Weight, replicates: bool | None = None) -> float:
    """Return eps of the dtype that a weight has."""
    return torch.finfo(stacked(weight, replicates)[0].dtype).eps


def mp_edges(aspect: ArrayLike, variance: ArrayLike = 1.0) -> tuple[Floats, Floats]:
    """Return s²(1 - √c)² and s²(1 + √c)², between which the law lies, in any shapes that broadcast.

    `aspect` is Q = 1/c = N/M >= 1 and `variance` s² > 0 (BadInput if not), in all functions of the law.
    """
    root, scale = _law(aspect, variance)
    return scale * (1 - root) ** 2, scale * (1 + root) ** 2


def mp_pdf(x: ArrayLike, aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return the density √((λ₊-x)(x-λ₋))/(2πcs²x), 0 outside of (λ₋, λ₊): mean s², mean square s⁴(1+c); NaN at NaN.

    Marchenko & Pastur 1967; arguments broadcast.
    """
    root, scale = _law(aspect, variance)
    low, high = mp_edges(aspect, variance)
    at = np.asarray(x, np.float64)
    inside = (at > low) & (at < high)
    roots = np.sqrt(np.where(inside, (high - at) * (at - low), 0))
    density = roots / (2 * np.pi * root**2 * scale * np.where(inside, at, 1))
    return np.where(np.isnan(at), np.nan, density)[()]


def mp_singular_law(aspect: float, variance: float = 1.0, points: int = 200) -> tuple[Floats, Floats]:
    """Return (x, density) of singular values over √N by the law, at evenly spaced points within its edges."""
    low, high = np.sqrt(mp_edges(aspect, variance))
    x = np.linspace(low, high, points)[1:-1]
    return x, 2 * x * mp_pdf(x**2, aspect, variance)


def mp_cdf(x: ArrayLike, aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return the distribution function of `mp_pdf`, in closed form, to about 1e-15·Q.

    With x = s²(1 + c - 2√c·cos t) it is (t + (1 - 1/c)·arg(1 - √c·e^(-it)) + sin(t)/√c)/π, by integrating the Fourier
    series of sin²t/|1 - √c·e^(it)|².
    """
    root, scale = _law(aspect, variance)
    # From the edge: the arc cosine would lose half of the digits there.
    share = (np.asarray(x, np.float64) / scale - (1 - root) ** 2) / (4 * root)
    return _angle_cdf(2 * np.arcsin(np.sqrt(np.clip(share, 0, 1))), root)


def mp_quantile(p: ArrayLike, aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return where `mp_cdf` is p, by bisection to the last digits. Raises BadInput unless 0 <= p <= 1."""
    root, scale = _law(aspect, variance)
    level = np.asarray(p, np.float64)
    if not ((level >= 0) & (level <= 1)).all():
        raise BadInput.of("p", p, "0 <= p <= 1", "The median is p = 0.5.")
    low, high = np.zeros(np.broadcast(level, root).shape), np.full(np.broadcast(level, root).shape, np.pi)
    for _ in range(55):
        middle = (low + high) / 2
        below = _angle_cdf(middle, root) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(scale * ((1 - root) ** 2 + 4 * root * np.sin((low + high) / 4) ** 2))


def mp_distance(eigenvalues: ArrayLike, aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return the Kolmogorov–Smirnov distance of eigenvalues [M] or [R, M] to the law, both sides of each step: [R].

    `aspect` and `variance` are numbers or [R]. There is no p value, see the top of this module.
    """
    ascending = np.sort(_spectra(eigenvalues), axis=1)
    aspects, variances = (np.reshape(np.asarray(a, np.float64), (-1, 1)) for a in (aspect, variance))
    return _steps_apart(mp_cdf(ascending, aspects, variances), np.full(len(ascending), ascending.shape[1]))


def median_variance(eigenvalues: ArrayLike, aspect: ArrayLike) -> Floats:
    """Return s² = median of the eigenvalues [M] or [R, M] over the median of the law with s² = 1: [R].

    A few spikes hardly move it, other than s² = mean, which the Frobenius norm gives.
    """
    return np.median(_spectra(eigenvalues), axis=1) / mp_quantile(0.5, aspect)


def fit_bulk(eigenvalues: ArrayLike, larger: int, level: float = 0.99) -> Bulk:
    """Return the bulk of spectra [M] or [R, M] of matrices whose larger side is N = `larger`.

    `variance` s² from the median of what is no spike, `spikes` the number beyond `edge`, the Tracy–Widom quantile
    `level` of the largest eigenvalue of noise, and the `distance` (`mp_distance`) of the rest to its law. The three
    are repeated until the spikes, fewer than M/2, stay the same. k spikes use up k dimensions on either side, so that
    the rest is taken as noise of (N-k) × (M-k). Raises BadInput unless N >= M >= 2 and 0 < level < 1.
    """
    ascending = np.sort(_spectra(eigenvalues), axis=1)
    count = ascending.shape[1]
    if not larger >= count or count < 2 or not float(larger).is_integer():
        remedy = "The aspect ratio N/M is >= 1 by definition; pass the larger side of the matrix."
        raise BadInput.of("larger", larger, f"larger >= {count} = M >= 2 eigenvalues", remedy)
    spikes = np.zeros(len(ascending), np.int64)
    while True:
        variance, edge = _fit_without(ascending, larger, spikes, level)
        found = np.clip((ascending > edge[:, None]).sum(1), spikes, (count - 1) // 2)
        if np.array_equal(found, spikes):
            return Bulk(variance, spikes, edge, _bulk_distance(ascending, larger, spikes, variance))
        spikes = found


def _fit_without(ascending: Floats, larger: int, spikes: Ints, level: float) -> tuple[Floats, Floats]:
    """Return the variance and the edge, each [R], with the largest `spikes` [R] eigenvalues left out."""
    m, n = ascending.shape[1] - spikes, larger - spikes
    row = np.arange(len(ascending))
    median = (ascending[row, (m - 1) // 2] + ascending[row, m // 2]) / 2
    variance = median / mp_quantile(0.5, n / m) * larger / n
    return variance, tracy_widom_edge(n, m, variance, level) * n / larger


def _bulk_distance(ascending: Floats, larger: int, spikes: Ints, variance: Floats) -> Floats:
    m, n = ascending.shape[1] - spikes, larger - spikes
    # More than half of the eigenvalues can be 0, where no law fits.
    scale = np.where(variance > 0, variance, 1) * n / larger
    law = mp_cdf(ascending, (n / m)[:, None], scale[:, None])
    return np.where(variance > 0, _steps_apart(law, m), 1)


def _steps_apart(law: Floats, count: Ints) -> Floats:
    """Return the largest distance of the first `count` [R] values of a distribution function to steps of 1/count."""
    index = np.arange(law.shape[1])
    apart = np.maximum(law - index / count[:, None], (index + 1) / count[:, None] - law)
    return np.asarray(np.where(index < count[:, None], apart, 0).max(1))


def tracy_widom_cdf(x: ArrayLike) -> Floats:
    """Return the distribution function F₁ of the Tracy–Widom law of real matrices, to about 1e-13.

    The determinant of 1 - Ai((x+y)/2)/2 on (s, ∞) (Ferrari & Spohn 2005), by Gauss–Legendre (Bornemann 2010).
    """
    start = np.clip(np.asarray(x, np.float64), -10, 20)[..., None]
    nodes, weights = np.polynomial.legendre.leggauss(32)
    half = (16 + np.abs(start) - start) / 2  # twice the nodes and a longer interval change less than 2e-14
    at, root = start + half * (nodes + 1), np.sqrt(half * weights)
    kernel = airy((at[..., :, None] + at[..., None, :]) / 2)[0] / 2
    return np.asarray(np.linalg.det(np.eye(32) - root[..., :, None] * kernel * root[..., None, :]))


@lru_cache
def tracy_widom_quantile(p: float) -> float:
    """Return where F₁ is p: .4501, .9793, 2.0234 for .9, .95, .99. Raises BadInput unless 1e-9 <= p <= 1 - 1e-9."""
    if not 1e-9 <= p <= 1 - 1e-9:
        raise BadInput.of("level", p, "1e-9 <= level <= 1 - 1e-9", "0.95 and 0.99 are usual.")
    return float(brentq(lambda x: float(tracy_widom_cdf(x)) - p, -9, 19, xtol=1e-10))


def tracy_widom_edge(larger: ArrayLike, smaller: ArrayLike, variance: ArrayLike = 1.0, level: float = 0.99) -> Floats:
    """Return what the largest eigenvalue of N × M noise exceeds with probability 1 - level: s²(μ + qσ)/N.

    μ = (√(N-1) + √M)², σ = √μ·(1/√(N-1) + 1/√M)^(1/3), q the quantile of F₁ (Johnstone 2001, for Gaussian entries).
    Arguments broadcast. Raises BadInput unless N >= M >= 1, N >= 2.
    """
    n, m = np.asarray(larger, np.float64), np.asarray(smaller, np.float64)
    if not ((n >= m) & (m >= 1) & (n >= 2) & np.isfinite(n)).all():
        remedy = "Pass the larger side of the matrix first."
        raise BadInput.of("larger and smaller", (larger, smaller), "larger >= smaller >= 1, larger >= 2", remedy)
    scale = np.asarray(variance, np.float64)
    if not ((scale >= 0) & np.isfinite(scale)).all():  # 0 where most eigenvalues of a spectrum are
        raise BadInput.of("variance", variance, "finite, variance >= 0", "It is the mean square of the noise.")
    roots = np.sqrt(n - 1) + np.sqrt(m)
    width = roots * (1 / np.sqrt(n - 1) + 1 / np.sqrt(m)) ** (1 / 3)
    return scale * (roots**2 + tracy_widom_quantile(level) * width) / n


def spike_threshold(aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return the strength s·c^(1/4) above which a signal leaves the bulk; see `spike_location`."""
    root, scale = _law(aspect, variance)
    return np.sqrt(scale * root)


def spike_location(strength: ArrayLike, aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return the eigenvalue that a signal θ·u·vᵀ added to W/√N has in the limit: s²(1+t)(c+t)/t, t = θ²/s².

    For noise W of variance s² and unit vectors u, v, if θ > s·c^(1/4), else the edge λ₊ (Benaych-Georges & Nadakuditi
    2012). 1 + t is the population eigenvalue of Baik, Ben Arous & Péché 2005. Arguments broadcast; BadInput if θ < 0.
    """
    root, scale = _law(aspect, variance)
    theta = np.asarray(strength, np.float64)
    if not ((theta >= 0) & np.isfinite(theta)).all():
        raise BadInput.of("strength", strength, "finite, strength >= 0", "A singular value of the signal.")
    t = np.maximum(theta**2 / scale, root)  # at the threshold t = √c it is the edge
    return scale * (1 + t) * (root**2 + t) / t


def spike_strength(location: ArrayLike, aspect: ArrayLike, variance: ArrayLike = 1.0) -> Floats:
    """Return the θ whose `spike_location` is the eigenvalue `location`, NaN within the bulk. Arguments broadcast."""
    root, scale = _law(aspect, variance)
    excess = np.asarray(location, np.float64) / scale - 1 - root**2
    square = np.where(excess >= 2 * root, excess**2 - 4 * root**2, np.nan)
    return np.sqrt(scale * (excess + np.sqrt(square)) / 2)


def top_k(weight: Tensor, start: Tensor, k: int, replicates: bool | None = None) -> Tensor:
    """Return Z + the best approximation of W - Z by rank k, W = `weight`, Z = `start`: shape and dtype of W.

    W - Z projected on its top k left singular vectors (Nagarajan & Kolter 2019); computed in float64. k = 0 gives Z.
    Of tensors only, a grouped convolution being one matrix. Raises BadInput for weights of other shapes than those of
    this module, unequal or non-finite ones, and unless 0 <= k <= M.
    """
    update, k = _update(weight, start, k, replicates), int(k)
    left, sizes, right = torch.linalg.svd(update, full_matrices=False)
    return _added(start, (left[..., :k] * sizes[:, None, :k]) @ right[:, :k], weight)


def random_k(
    weight: Tensor, start: Tensor, k: int, seeds: Sequence[int], key: int = 0, replicates: bool | None = None
) -> Tensor:
    """Return Z + W - Z projected on a random subspace of k of its `out` dimensions: shape and dtype of W.

    The counterpart of `top_k`, which keeps a share k/out of ‖W - Z‖²_F on average. Uniformly random, stream "eval" of
    each replicate's seed; `key` numbers the layer; fewer dimensions are among those of more. Errors as in `top_k`, and
    for another number of seeds.
    """
    update, k = _update(weight, start, k, replicates), int(k)
    if len(seeds) != len(update):
        raise BadInput.of("number of seeds", len(seeds), f"{len(update)}, one per replicate", "Pass the net's seeds.")
    draws = np.stack([rng(seed, "eval", SUBSPACES, key).standard_normal((k, update.shape[1])) for seed in seeds])
    basis = torch.linalg.qr(torch.from_numpy(draws).to(update.device).mT).Q
    return _added(start, basis @ (basis.mT @ update), weight)


def residual_norms(weight: Tensor, start: Tensor, kept: Tensor, replicates: bool | None = None) -> dict[str, Floats]:
    """Return ‖W - P‖₂ ("residual"), and its ratio to ‖Z‖₂ ("over_start") and ‖W - Z‖₂ ("over_update"), each [R].

    P = `kept` is what `top_k` or `random_k` gave. A ratio to 0 is NaN. Errors as in `top_k`.
    """
    residual, update = (_norm(_update(weight, other, 0, replicates)) for other in (kept, start))
    size = _norm(_update(start, torch.zeros_like(start), 0, replicates))
    ratios = (residual / np.where(norm > 0, norm, np.nan) for norm in (size, update))
    return dict(zip(("residual", "over_start", "over_update"), (residual, *ratios), strict=True))


def _update(weight: Tensor, start: Tensor, k: int, replicates: bool | None) -> Tensor:
    """Return W - Z in float64, [R, out, in]."""
    if weight.shape != start.shape:
        given = (tuple(weight.shape), tuple(start.shape))
        raise BadInput.of("shapes of weight and start", given, "the same", "Pass one layer, trained and at its start.")
    told = False if replicates is None and isinstance(weight, nn.Parameter) else replicates
    update = as_matrices(weight, True, told) - as_matrices(start, True, told).to(weight.device)
    if not 0 <= k <= min(update.shape[1:]) or not float(k).is_integer():
        allowed = f"a whole number, 0 <= k <= {min(update.shape[1:])}, the smaller side"
        raise BadInput.of("k", k, allowed, "Scale k with the width of the layer.")
    return update


def _added(start: Tensor, part: Tensor, weight: Tensor) -> Tensor:
    return (start.detach().to(weight.device).double() + part.reshape(start.shape)).to(weight.dtype)


def _norm(matrices: Tensor) -> Floats:
    return _singular_values(matrices)[:, 0]


def _law(aspect: ArrayLike, variance: ArrayLike) -> tuple[Floats, Floats]:
    """Return √c and s², checked, as arrays."""
    q, scale = np.asarray(aspect, np.float64), np.asarray(variance, np.float64)
    if not ((q >= 1) & np.isfinite(q)).all():
        remedy = "It is the larger side of the matrix over the smaller; pass 1/aspect if yours is M/N."
        raise BadInput.of("aspect", aspect, "aspect >= 1", remedy)
    if not ((scale > 0) & np.isfinite(scale)).all():
        raise BadInput.of("variance", variance, "variance > 0", "It is the mean square of the noise.")
    return 1 / np.sqrt(q), scale


def _angle_cdf(t: Floats, root: Floats) -> Floats:
    turn = np.arctan2(root * np.sin(t), 1 - root * np.cos(t))
    return np.asarray((t + (1 - 1 / root**2) * turn + np.sin(t) / root) / np.pi)


def _effective_rank(singular: Floats) -> Floats:
    share = singular / singular.sum(1, keepdims=True)
    return np.asarray(np.exp(-(share * np.log(np.where(share > 0, share, 1))).sum(1)))


def _decomposed(weight: Weight, replicates: bool | None, groups: int) -> tuple[Floats, int]:
    """Return the singular values of all groups, largest first, [R, M], and the larger side of a group."""
    found = matrices(weight, replicates, groups)
    larger = max(found.shape[2:])
    if found.shape[1] == 1:
        return _singular_values(found[:, 0]), larger
    pooled = _singular_values(found).reshape(len(found), -1)
    return np.sort(pooled, axis=1)[:, ::-1], larger


def _singular_values(matrices: Tensor) -> Floats:
    return torch.linalg.svdvals(matrices).cpu().numpy()


def _spectra(eigenvalues: ArrayLike) -> Floats:
    stack = floats(eigenvalues, "eigenvalues")
    if stack.ndim not in (1, 2) or 0 in stack.shape or not np.isfinite(stack).all() or (stack < 0).any():
        given = stack.shape if np.isfinite(stack).all() else "nan or inf"
        raise BadInput.of("eigenvalues", given, "finite numbers >= 0, [M] or [R, M]", "Pass what `esd` returns.")
    return stack.reshape(-1, stack.shape[-1])
