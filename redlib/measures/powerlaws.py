"""Power-law tails: fit and rivals of Clauset, Shalizi & Newman (2009); phases of spectra against shuffled matrices.

Values are [n] or, for R replicates, [R, n], such as spectra (`spectra.esd`); results have the replicates first.

Two traps. Any list has a fit: the eigenvalues of a pure noise matrix, which have no tail at all, give an alpha of 2
to 30, and only the likelihood ratios reject it. And eigenvalues repel each other, so they are not the independent
draws that every p value here assumes. So `phases` compares a matrix with itself, its entries shuffled: the same
marginal distribution, hence also the same zeros of a pruned layer, without the correlations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import erfc, erfcx, log_ndtr
from torch import Tensor

from redlib.data.numbers import floats, whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.matrices import Weight
from redlib.measures.spectra import (
    as_matrices,
    effective_rank,
    esd,
    fit_bulk,
    median_variance,
    mp_distance,
    mp_edges,
    ranks_of,
    rounding,
    stable_rank,
)  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_VALUES = 50  # shorter lists say little of a tail
LEAST_TAIL = 10  # shorter tails fit by chance: with two values the distance can be 0
ROUNDING = 1e-12  # as mean log of x/x_min: the values of a tail differ by rounding alone
NEAR_POWER_LAW = 100.0  # a lognormal this far below its tail, in its own standard deviations, is a power law there
TINY = float(np.finfo(np.float64).tiny)

PHASES = ("random-like", "bleeding-out", "bulk+spikes", "bulk-decay", "heavy-tailed", "rank-collapse", "narrow")
MANY = 0.25  # of the eigenvalues; a signal of so many dimensions is not one of low rank
STEEPEST = 6.0  # a larger alpha is no heavy tail (Martin & Mahoney 2021)
SIGN_LEVEL = 0.1  # of a likelihood ratio's p, below which Clauset et al. 2009 trust its sign
SHUFFLES = 31  # key of the stream "eval", so that no other draw of a seed repeats these
LEVEL = 0.025  # share of shuffled matrices that may look as far from noise as one that is called so
CHUNK = 2**22  # entries of shuffled matrices held at a time, 32 MiB

_Densities = Callable[[Floats, float], Floats]


@dataclass(frozen=True)
class PowerLaw:
    """p(x) = (α-1)/x_min·(x/x_min)^-α for x >= x_min: `alpha`, `xmin`, values in the `tail`, KS `distance`, all [R]."""

    alpha: Floats
    xmin: Floats
    tail: Ints
    distance: Floats

    @property
    def error(self) -> Floats:
        """The standard error of alpha, (α-1)/√n (Clauset et al. 2009, eq. 3.2), without that of x_min: [R]."""
        return (self.alpha - 1) / np.sqrt(self.tail)


@dataclass(frozen=True)
class Ratio:
    """Log-likelihood of the power law minus that of a rival, in nats (`total`), and its normal score `z`, both [R]."""

    total: Floats
    z: Floats

    @property
    def p(self) -> Floats:
        """How often |z| is exceeded if both fit equally well; above 0.1 the sign says nothing (Clauset et al.): [R]."""
        return np.asarray(erfc(np.abs(self.z) / np.sqrt(2)))


def fit_power_law(values: ArrayLike, least: int = LEAST_TAIL) -> PowerLaw:
    """Return the power law of the tail of values [n] or [R, n], with the x_min whose tail is nearest to one.

    α = 1 + n/Σ ln(x/x_min) over the n values >= x_min (Clauset et al. 2009, eq. 3.1); of all values that leave a
    tail of at least `least`, x_min is the one with the smallest largest distance between the fitted distribution
    function and the share of the tail below each value, as in their own program. Zeros are never in a tail. alpha is
    inf where no two values of any tail differ. Raises BadInput for fewer than 50 positive values in a list,
    negative or non-finite ones, and unless 2 <= least <= n.
    """
    ascending = np.sort(_stack(values), axis=1)
    count = ascending.shape[1]
    if not 2 <= least <= count:
        raise BadInput.of("least", least, f"2 <= least <= {count} values", f"The default is {LEAST_TAIL}.")
    least = whole("least", least, 2, f"The default is {LEAST_TAIL}.")
    logs = np.log(np.maximum(ascending, TINY))
    # From the top, so that a tail's sum holds its own values alone.
    above = np.cumsum(logs[:, ::-1], 1)[:, ::-1] / np.arange(count, 0, -1) - logs
    distances = np.full((len(logs), count - least + 1), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = 1 / np.where(above > ROUNDING, above, 0)
        for i in range(count - least + 1):
            model = -np.expm1(-slopes[:, i, None] * (logs[:, i:] - logs[:, i, None]))
            distances[:, i] = np.abs(model - np.arange(count - i) / (count - i)).max(1)
    start = np.where(np.isfinite(distances), distances, np.inf).argmin(1)
    row = np.arange(len(logs))
    return PowerLaw(1 + slopes[row, start], ascending[row, start], count - start, distances[row, start])


def compare(values: ArrayLike, fit: PowerLaw) -> dict[str, Ratio]:
    """Return the likelihood ratios of the power law against three rivals on the same tail, by name.

    "exponential" and "lognormal" (cut off below x_min) are separate families: z = Σd/(√n·sd(d)) of the differences
    d of log-likelihood (Vuong 1989; Clauset et al. 2009, app. C), > 0 where the power law is better. "truncated"
    x^-α·e^(-λx), α >= 1, contains it, so total <= 0, and z = -√(-2·total), whose p is that of Wilks' χ² with one degree
    of freedom. A lognormal can come as near to a power law as one likes; where that is its best, its ratio is 0. All
    are refitted by maximum likelihood. `fit` is that of the same values (BadInput if not).
    """
    rivals = {"exponential": _exponential, "lognormal": _lognormal, "truncated": _truncated}
    tails = _tails(values, fit)
    return {name: _ratio(tails, fit.alpha, rival, name == "truncated") for name, rival in rivals.items()}


def against_exponential(values: ArrayLike, fit: PowerLaw) -> Ratio:
    """Return the first ratio of `compare` alone, which takes microseconds: for long lists of null spectra."""
    return _ratio(_tails(values, fit), fit.alpha, _exponential, False)


def phases(
    weight: Weight,
    seeds: Sequence[int],
    shuffles: int = 40,
    level: float = LEVEL,
    key: int = 0,
    replicates: bool | None = None,
) -> dict[str, Floats]:
    """Return the phase of each replicate as index into PHASES, and the numbers behind it, by name, each [R].

    The phases are those of Martin & Mahoney 2021, who describe them in words; these rules are ours. "Beyond chance"
    is above all but a share `level` of `shuffles` + 1 matrices: this one, and `shuffles` with its entries in random
    order (the limit is `…_null`). In this order:
    5 rank-collapse: `rank` is below that of every shuffle.
    The distance of the bulk to its law (`mp_distance`) is beyond chance, or more than M/4 `spikes` lie outside:
       4 heavy-tailed: `alpha` <= 6, and a power law fits the tail better than an exponential, beyond chance
         (`z_exponential`) and at p < .1, and not worse than a lognormal at p < .1 (`z_lognormal`);
       6 narrow: no spikes, and a mean of at most s² (`spread` <= 1), so narrower than noise, as orthogonal weights
         are, which is none of their phases;
       3 bulk-decay otherwise.
    The bulk is as that of noise, with `spikes` eigenvalues beyond the Tracy–Widom `edge` at 99%, and further above the
    typical one of their rank, as a ratio in units of s², than chance brings any eigenvalue:
       2 bulk+spikes: below one of them is a `gap`, in units of s², beyond chance for any within the bulk;
       1 bleeding-out: spikes without such a gap;
       0 random-like: none.
    So noise is called something else in about 2·`level` of cases, and hardly ever heavy-tailed. Entries that are
    independent are random-like whatever their distribution and mean: this is about correlations. Also returned:
    `variance` s²; `soft_rank` λ₊/λ_max; `stable_rank`, `effective_rank`; `alpha_error`, `xmin`, `tail` of
    `fit_power_law`; `z_truncated`.

    Replicate r shuffles by stream "eval" of seeds[r]; `key` numbers the layer. A weight of three or more dimensions
    needs `replicates`, see `spectra`. Raises BadInput as `as_matrices` and `fit_power_law` do (M < 50), for another
    number of seeds, and if `level`·(shuffles + 1) < 1.
    """
    matrices = as_matrices(weight, replicates=replicates)
    rank = int(np.floor(level * (shuffles + 1) + 1e-9))
    if len(seeds) != len(matrices):
        raise BadInput.of("number of seeds", len(seeds), f"{len(matrices)}, one per replicate", "Pass the net's seeds.")
    if not 1 <= rank <= shuffles:
        allowed = f"1 <= level * (shuffles + 1) <= {shuffles}"
        raise BadInput.of("level and shuffles", (level, shuffles), allowed, "Take more shuffles, or a higher level.")
    larger, found = max(matrices.shape[1:]), []
    tolerance = (larger * rounding(weight, replicates)) ** 2
    for matrix, seed in zip(matrices, seeds, strict=True):
        null = _numbers(_shuffled(matrix, rng(seed, "eval", SHUFFLES, key), shuffles), larger, tolerance)
        found.append(_classified(matrix, larger, tolerance, _limits(null, rank)))
    return {name: np.array([numbers[name] for numbers in found], np.float64) for name in found[0]}


def phases_at(
    weights: ArrayLike, looks: Sequence[int], seeds: Sequence[int], shuffles: int = 40, key: int = 0
) -> dict[str, Floats]:
    """Return what `phases` tells of weights [R, T, out, in] at some `looks` 0 ... T-1, each [R, T], else NaN.

    The level is .025, or the lowest that so few `shuffles` allow.
    """
    stack, level = np.asarray(weights), max(LEVEL, 1 / (shuffles + 1))
    found: dict[str, Floats] = {}
    for look in looks:
        for name, values in phases(torch.from_numpy(stack[:, look]), seeds, shuffles, level, key, True).items():
            found.setdefault(name, np.full(stack.shape[:2], np.nan))[:, look] = values
    return found


def summary(eigenvalues: ArrayLike, larger: int) -> dict[str, Floats]:
    """Return what spectra [R, M] of matrices with the larger side N = `larger` tell, each [R], by name.

    `spikes` beyond the Tracy–Widom edge, `sigma` of the bulk (`spectra.fit_bulk`), in units of the weights;
    `distance` of all eigenvalues to the Marchenko–Pastur law of the median, `bulk_distance` of those that are no spikes
    to that of the bulk; `alpha`, `alpha_error` and `tail` of the power law; `stable_rank` and `effective_rank`.
    """
    spectra = _stack(eigenvalues)
    aspect, bulk, tail = larger / spectra.shape[1], fit_bulk(spectra, larger), fit_power_law(spectra)
    return {
        "spikes": bulk.spikes.astype(np.float64),
        "sigma": np.sqrt(bulk.variance),
        "distance": mp_distance(spectra, aspect, median_variance(spectra, aspect)),
        "bulk_distance": bulk.distance,
        "alpha": tail.alpha,
        "alpha_error": tail.error,
        "tail": tail.tail.astype(np.float64),
        **ranks_of(spectra),
    }


def wide_layers(sizes: Sequence[int]) -> list[int]:
    """Return the numbers of the layers of an MLP whose spectra are long enough to fit; BadInput if there is none."""
    found = [i for i, pair in enumerate(pairwise(sizes)) if min(pair) >= LEAST_VALUES]
    if not found:
        allowed = f"a layer of at least {LEAST_VALUES} inputs and outputs"
        raise BadInput.of("units of the layers", tuple(sizes), allowed, "Widen it: fewer have no tail to fit.")
    return found


def _shuffled(matrix: Tensor, source: np.random.Generator, shuffles: int) -> Floats:
    """Return the eigenvalues [shuffles, M] of the matrix with its entries in random order."""
    entries, found = matrix.cpu().numpy().ravel(), []
    each = max(1, CHUNK // entries.size)
    for done in range(0, shuffles, each):
        draws = np.stack([source.permutation(entries) for _ in range(min(each, shuffles - done))])
        found.append(esd(torch.from_numpy(draws).view(-1, *matrix.shape).to(matrix.device), replicates=True))
    return np.maximum(np.concatenate(found), TINY)


def _numbers(spectra: Floats, larger: int, tolerance: float) -> dict[str, Floats]:
    """Return what is compared with chance, for spectra [S, M]: each [S], the eigenvalues [S, M] and gaps [S, M-1]."""
    bulk = fit_bulk(spectra, larger)
    scaled = spectra / np.maximum(bulk.variance, TINY)[:, None]
    return {
        "rank": (spectra > tolerance * spectra[:, :1]).sum(1).astype(np.float64),
        "mp_distance": bulk.distance,
        "z_exponential": against_exponential(spectra, fit_power_law(spectra)).z,
        "eigenvalues": scaled,
        "gaps": -np.diff(scaled),
        "outside": bulk.spikes.astype(np.float64),
    }


def _limits(null: dict[str, Floats], rank: int) -> dict[str, Floats]:
    """Return what is beyond chance: the smallest rank, else the `rank`-th largest, the gaps only within the bulk."""
    limits = {name: np.sort(values, axis=0)[-rank] for name, values in null.items()}
    typical = np.median(null["eigenvalues"], axis=0)
    upper = len(typical) // 2  # one test for all: with many ranks some eigenvalue would be beyond that of its own rank
    reach = np.sort((null["eigenvalues"] / typical)[:, :upper].max(1))[-rank]
    outside = int(np.median(null["outside"]))
    return limits | {"rank": null["rank"].min(), "eigenvalues": reach * typical, "gap": limits["gaps"][outside:].max()}


def _classified(matrix: Tensor, larger: int, tolerance: float, null: dict[str, Floats]) -> dict[str, float]:
    """Return the phase and its numbers for one matrix [out, in]."""
    spectrum = np.maximum(esd(matrix), TINY)  # a layer of low rank has a phase, too
    bulk, fit = fit_bulk(spectrum, larger), fit_power_law(spectrum)
    ratios, variance = compare(spectrum, fit), np.maximum(bulk.variance, TINY)
    own = _numbers(spectrum, larger, tolerance)
    beyond = (own["eigenvalues"] > null["eigenvalues"])[0] & (spectrum > bulk.edge[:, None])[0]
    gap = own["gaps"][0, beyond[:-1]].max(initial=0)
    compared = ("rank", "mp_distance", "z_exponential")
    numbers: dict[str, ArrayLike] = {f"{name}_null": null[name] for name in (*compared, "gap")}
    numbers |= {name: own[name] for name in compared} | {f"z_{name}": ratio.z for name, ratio in ratios.items()}
    numbers |= {"variance": bulk.variance, "edge": bulk.edge, "spikes": beyond.sum(), "gap": gap}
    numbers |= {"spread": spectrum.mean(1) / variance, "alpha": fit.alpha, "alpha_error": fit.error}
    numbers |= {"xmin": fit.xmin, "tail": fit.tail, "stable_rank": stable_rank(matrix)}
    numbers |= {"effective_rank": effective_rank(matrix)}
    numbers |= {"soft_rank": mp_edges(larger / spectrum.size, variance)[1] / spectrum[:, 0]}
    plain = {name: float(np.squeeze(value)) for name, value in numbers.items()}
    return {"phase": _phase(plain, spectrum.size, _is_heavy(plain, ratios))} | plain


def _is_heavy(numbers: dict[str, float], ratios: dict[str, Ratio]) -> bool:
    p = {name: float(ratio.p[0]) for name, ratio in ratios.items()}
    favoured = numbers["z_exponential"] > max(0, numbers["z_exponential_null"]) and p["exponential"] < SIGN_LEVEL
    rejected = numbers["z_lognormal"] < 0 and p["lognormal"] < SIGN_LEVEL
    return numbers["alpha"] <= STEEPEST and favoured and not rejected


def _phase(numbers: dict[str, float], size: int, heavy: bool) -> int:
    if numbers["rank"] < numbers["rank_null"]:
        return PHASES.index("rank-collapse")
    if numbers["mp_distance"] > numbers["mp_distance_null"] or numbers["spikes"] > MANY * size:
        narrow = numbers["spread"] <= 1 and not numbers["spikes"]
        return PHASES.index("heavy-tailed" if heavy else "narrow" if narrow else "bulk-decay")
    if not numbers["spikes"]:
        return PHASES.index("random-like")
    return PHASES.index("bulk+spikes" if numbers["gap"] > numbers["gap_null"] else "bleeding-out")


def _ratio(tails: list[Floats], alphas: Floats, rival: _Densities, nested: bool) -> Ratio:
    found = np.zeros((2, len(tails)))
    for r, (tail, alpha) in enumerate(zip(tails, alphas, strict=True)):
        if not np.isfinite(alpha):
            found[:, r] = np.nan
            continue
        difference = _power(tail, alpha) - rival(tail, alpha)
        total, spread = difference.sum(), difference.std() * len(tail) ** 0.5
        if nested:
            total = min(total, 0.0)  # it can only be above by the tolerance of the search
            found[:, r] = total, -np.sqrt(-2 * total)
        else:
            found[:, r] = total, total / spread if spread > 0 else 0
    return Ratio(*found)


def _power(u: Floats, alpha: float) -> Floats:
    """Return log densities of u = x/x_min, as the rivals do."""
    return np.log(alpha - 1) - alpha * np.log(u)


def _exponential(u: Floats, alpha: float) -> Floats:
    rate = 1 / (u.mean() - 1)
    return np.log(rate) - rate * (u - 1)


def _lognormal(u: Floats, alpha: float) -> Floats:
    """Maximum likelihood by moments: ln u is a normal cut off at 0, an exponential family, so one root is enough."""
    y = np.log(u)
    dispersion = float((y**2).mean() / y.mean() ** 2)
    if dispersion >= _half_normal(NEAR_POWER_LAW)[1]:
        return _power(u, alpha)
    cut = brentq(lambda h: _half_normal(h)[1] - dispersion, -1e3, NEAR_POWER_LAW, xtol=1e-12)
    scale = y.mean() / _half_normal(cut)[0]
    density = -((y / scale + cut) ** 2) / 2 - np.log(scale) - np.log(2 * np.pi) / 2 - log_ndtr(-cut)
    return np.asarray(density - y)


def _half_normal(cut: float) -> tuple[float, float]:
    """Return the mean m of z - cut for a standard normal z > cut, and the mean square over m²: 1 to 2, rising."""
    mean = float(np.sqrt(2 / np.pi) / erfcx(cut / np.sqrt(2))) - cut
    return mean, (1 - cut * mean) / mean**2


def _truncated(u: Floats, alpha: float) -> Floats:
    """Maximum likelihood in the exponential family of ln u and u, whose log-likelihood is concave."""
    y, size = np.log(u), float(u.mean())

    def loss(parameters: Floats) -> tuple[float, Floats]:
        exponent, rate = float(parameters[0]), float(parameters[1]) / size
        log_norm, logs, mean = _truncated_moments(exponent, rate)
        value = exponent * y.mean() + rate * size + log_norm
        return float(value), np.array([y.mean() - logs, 1 - mean / size])

    bounds, tolerances = [(1, None), (1e-9, None)], {"ftol": 1e-13, "gtol": 1e-9}
    best = minimize(loss, [alpha, 1e-3], jac=True, method="L-BFGS-B", bounds=bounds, options=tolerances).x
    exponent, rate = float(best[0]), float(best[1]) / size
    return -exponent * y - rate * u - _truncated_moments(exponent, rate)[0]


def _truncated_moments(exponent: float, rate: float) -> tuple[float, float, float]:
    """Return ln Z, E[ln u] and E[u] for the density u^-exponent·e^(-rate·u)/Z on u >= 1, with exponent >= 1."""
    nodes, weights = _quadrature()
    end = min(np.log1p(60 / rate), 45 / max(exponent - 1, 1e-3))  # what is beyond has less than 1e-19 of the mass
    y = end * nodes
    mass = end * weights * np.exp((1 - exponent) * y - rate * np.expm1(y))
    total = float(mass.sum())
    return float(np.log(total) - rate), float(mass @ y) / total, float(mass @ np.exp(y)) / total


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Return 200 Gauss–Legendre nodes and weights on 0 ... 1."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return (nodes + 1) / 2, weights / 2


def _tails(values: ArrayLike, fit: PowerLaw) -> list[Floats]:
    """Return x/x_min of every list's tail."""
    stack = _stack(values)
    if len(stack) != len(fit.alpha) or not np.array_equal((stack >= fit.xmin[:, None]).sum(1), fit.tail):
        allowed = f"tails of {fit.tail.tolist()} values, as in the fit"
        raise BadInput.of("shape of values", stack.shape, allowed, "Pass the values that were fitted.")
    return [row[row >= xmin] / xmin for row, xmin in zip(stack, fit.xmin, strict=True)]


def _stack(values: ArrayLike) -> Floats:
    stack = floats(values, "values")
    if stack.ndim not in (1, 2) or 0 in stack.shape:
        raise BadInput.of("shape of values", stack.shape, "[n] or [R, n]", "One list per replicate.")
    stack = stack.reshape(-1, stack.shape[-1])
    if not np.isfinite(stack).all() or stack.min() < 0:
        worst = float(stack.min()) if np.isfinite(stack).all() else "nan or inf"
        raise BadInput.of("values", worst, "finite numbers >= 0", "Eigenvalues are squares of singular values.")
    fewest = int((stack > 0).sum(1).min())
    if fewest < LEAST_VALUES:
        remedy = "The tail of so short a list cannot be told; leave this layer out."
        raise BadInput.of("number of positive values", fewest, f"at least {LEAST_VALUES}", remedy)
    return stack
