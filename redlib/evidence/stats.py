"""Statistics over seeds: intervals, exact and t tests, equivalence, multiplicity. The unit is the seed.

Paired arms are compared by passing their per-seed differences. Formulae are scipy's wherever it has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate
from scipy import stats as distributions

from redlib.data.numbers import floats
from redlib.errors import BadInput

Floats = NDArray[np.float64]

ALTERNATIVES = ("greater", "less", "two-sided")
MAX_EXACT = 20  # 2^20 sign patterns: 8 MB and a few milliseconds
MIN_BOOTSTRAP = 8  # below this the bootstrap under-covers and must not decide anything


@dataclass(frozen=True)
class Interval:
    """A confidence interval for `estimate`, from `n` values by the named method."""

    estimate: float
    low: float
    high: float
    level: float
    method: str
    n: int


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of |mean - centre| < delta; `interval90` has level 1 - 2 alpha, 90% by default."""

    p: float
    interval90: Interval
    equivalent: bool
    power: float


def finite(values: ArrayLike, what: str, ndim: int = 1, allow_nan: bool = False) -> Floats:
    """Return `values` as a float64 array of `ndim` dimensions.

    BadInput if it is empty, has another number of dimensions, or holds a non-finite value (NaN may pass as
    "censored" where `allow_nan`); the message names the index.
    """
    array = floats(values, what)
    if array.ndim != ndim or array.size == 0:
        raise BadInput.of(f"shape of {what}", array.shape, f"{ndim} non-empty dimension(s)", "reshape it")
    bad = np.argwhere(np.isinf(array) if allow_nan else ~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        remedy = "find out which run produced it; a run that diverged is not a measurement"
        raise BadInput.of(f"{what}{list(index)}", float(array[index]), "a finite number", remedy)
    return array


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the t interval of the mean of `values` [S] (Student 1908), for paired arms their differences.

    One value has an infinite interval, equal values one of zero width. BadInput for non-finite values.
    """
    x = finite(values, "values")
    mean, error = _mean_and_error(x)
    half = float(distributions.t.ppf((1 + _fraction("level", level)) / 2, max(len(x) - 1, 1))) * error
    return Interval(mean, mean - half, mean + half, level, "t", len(x))


def standard_error(values: ArrayLike) -> float:
    """Return the standard error of the mean of `values` [S]: infinite for one value, exactly 0 for equal ones."""
    return _mean_and_error(finite(values, "values"))[1]


def welch(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[Interval, float, float]:
    """Return (t interval of mean(a) - mean(b), standard error, degrees of freedom) of independent a [S1] and b [S2].

    The groups may differ in variance (Welch 1947). One value in a group makes the interval infinite, groups of equal
    values one of zero width. BadInput for non-finite values.
    """
    first, second = finite(a, "a"), finite(b, "b")
    (mean_a, error_a), (mean_b, error_b) = _mean_and_error(first), _mean_and_error(second)
    sizes, error = (len(first), len(second)), float(np.hypot(error_a, error_b))
    freedom = float(max(sum(sizes) - 2, 1))
    if 0 < error < np.inf:
        parts = ((each / error) ** 4 / (size - 1) for each, size in zip((error_a, error_b), sizes, strict=True))
        freedom = float(1 / sum(parts))
    mean, half = mean_a - mean_b, float(distributions.t.ppf((1 + _fraction("level", level)) / 2, freedom)) * error
    return Interval(mean, mean - half, mean + half, level, "Welch t", sum(sizes)), error, freedom


def t_test_p(values: ArrayLike, null: float = 0.0, alternative: str = "greater") -> float:
    """Return p of the one-sample t test of mean(values [S]) against `null`; 1 for a single value."""
    x, _ = finite(values, "values"), _alternative(alternative)
    mean, error = _mean_and_error(x)
    if mean == null or np.isinf(error):
        return 1.0
    if error == 0:
        return 0.0 if alternative == "two-sided" or (mean > null) == (alternative == "greater") else 1.0
    t = (mean - null) / error
    t = {"greater": t, "less": -t, "two-sided": abs(t)}[alternative]
    return float(distributions.t.sf(t, len(x) - 1)) * (2 if alternative == "two-sided" else 1)


def sign_flip_p(values: ArrayLike, alternative: str = "greater") -> float:
    """Return the exact p-value of "the values [S] are symmetric about 0" from all 2^S sign patterns.

    The statistic is the sum (Fisher 1935); the smallest one-sided p is 2^-S. BadInput above S = 20.
    """
    x, _ = finite(values, "values"), _alternative(alternative)
    if len(x) > MAX_EXACT:
        raise BadInput.of("number of values", len(x), f"at most {MAX_EXACT}", "use t_test_p for more seeds")
    sums = np.zeros(1)
    for value in x:
        sums = np.concatenate([sums + value, sums - value])
    observed, slack = (
        x.sum(),
        1e-12 * np.abs(x).sum(),
    )  # patterns that tie with the data differ by rounding only
    if alternative == "two-sided":
        return float(np.mean(np.abs(sums) >= abs(observed) - slack))
    sign = 1 if alternative == "greater" else -1
    return float(np.mean(sign * sums >= sign * observed - slack))


def tost(values: ArrayLike, delta: float, centre: float = 0.0, alpha: float = 0.05) -> Tost:
    """Return the equivalence test of mean(values [S]) to `centre` within `delta` (Schuirmann 1987).

    Equivalent means that the 1 - 2 alpha interval lies inside centre +- delta. The power is the chance of
    that verdict if the true mean is `centre` and the true sd the observed one. BadInput unless delta > 0.
    """
    x = finite(values, "values")
    if not 0 < delta < np.inf:
        raise BadInput.of("delta", delta, "0 < delta < inf", "state the largest difference you would ignore")
    interval = mean_interval(x, 1 - 2 * _fraction("alpha", alpha))
    p = max(t_test_p(x, centre - delta, "greater"), t_test_p(x, centre + delta, "less"))
    inside = centre - delta < interval.low and interval.high < centre + delta
    return Tost(p, interval, inside, tost_power(_mean_and_error(x)[1], len(x), delta, alpha))


def tost_power(standard_error: float, n: float, delta: float, alpha: float = 0.05) -> float:
    """Return P(|mean| + t s/sqrt(n) < delta) for a true mean of 0, exactly (Phillips 1990).

    With u = s/sigma, which has the law chi(n-1)/sqrt(n-1), and the true error e = sigma/sqrt(n), the chance
    given u is 2 Phi(delta/e - t u) - 1. A single value (infinite error) has power 0, equal values power 1.
    """
    if standard_error == 0 or np.isinf(standard_error):
        return float(standard_error == 0)
    df, reach = n - 1, delta / standard_error
    quantile, law = float(distributions.t.ppf(1 - alpha, df)), distributions.chi(df, scale=df**-0.5)

    def integrand(u: float) -> float:
        return float((2 * distributions.norm.cdf(reach - quantile * u) - 1) * law.pdf(u))

    return float(integrate.quad(integrand, 0, min(reach / quantile, law.isf(1e-12)))[0])


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values adjusted for the family-wise error (Holm 1979), names and order unchanged."""
    for name, value in p.items():
        if not 0 <= value <= 1:
            raise BadInput.of(f"p[{name!r}]", value, "0 <= p <= 1", "leave out checks without a test")
    adjusted, running = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        running = max(running, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = running
    return {name: adjusted[name] for name in p}


def bootstrap_interval(
    values: ArrayLike, statistic: Callable[..., object] = np.mean, level: float = 0.95, resamples: int = 9999
) -> Interval:
    """Return the BCa bootstrap interval (Efron 1987) of `statistic(x, axis)` of `values` [S], reproducibly.

    BadInput below S = 8, where it under-covers: use `mean_interval`.
    """
    x = finite(values, "values")
    if len(x) < MIN_BOOTSTRAP:
        raise BadInput.of("number of values", len(x), f"at least {MIN_BOOTSTRAP}", "use mean_interval")
    estimate = float(np.asarray(statistic(x, axis=0)))
    if np.ptp(x) == 0:
        return Interval(estimate, estimate, estimate, level, "bootstrap", len(x))
    drawn = distributions.bootstrap(
        (x,),
        statistic,
        n_resamples=resamples,
        confidence_level=_fraction("level", level),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(estimate, float(drawn.low), float(drawn.high), level, "bootstrap", len(x))


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the score interval of the proportion successes / n (Wilson 1927)."""
    return _proportion(successes, n, level, "wilson")


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the exact, conservative interval of the proportion successes / n (Clopper & Pearson 1934)."""
    return _proportion(successes, n, level, "exact")


def slope_per_seed(x: ArrayLike, y: ArrayLike, allow_censored: bool = False) -> Floats:
    """Return the least-squares slope of y [S, X] on x [X] for each seed: [S], in units of y per unit of x.

    With `allow_censored`, a seed with a NaN gets the slope NaN. BadInput if x is constant or shapes differ.
    """
    grid, curves = finite(x, "x"), finite(y, "y", ndim=2, allow_nan=allow_censored)
    if curves.shape[1] != len(grid):
        raise BadInput.of("shape of y", curves.shape, f"[S, {len(grid)}] as x has", "put seeds on the first axis")
    if np.ptp(grid) == 0:
        raise BadInput.of("x", grid.tolist(), "at least two different values", "a slope needs a range")
    centred = grid - grid.mean()
    return curves @ centred / (centred @ centred)


def correlation_per_seed(a: ArrayLike, b: ArrayLike, given: ArrayLike | None = None) -> Floats:
    """Return Pearson's correlation of a and b [S, X] for each seed: [S], NaN where one of them is constant.

    With `given` [S, X] the partial one: of what straight lines on it leave of a and b. BadInput if shapes differ.
    """
    every = [
        finite(values, name, ndim=2) for values, name in ((a, "a"), (b, "b"), (given, "given")) if values is not None
    ]
    if len({values.shape for values in every}) > 1:
        raise BadInput.of("shapes", [values.shape for values in every], "the same", "put seeds on the first axis")
    x, y, *lines = (values - values.mean(1, keepdims=True) for values in every)
    for line in lines:
        x, y = (v - line * ((v * line).sum(1) / (line**2).sum(1))[:, None] for v in (x, y))
    scale = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), scale, out=np.full(len(x), np.nan), where=scale > 0)


def log2_ratio(later: ArrayLike, earlier: ArrayLike) -> Floats:
    """Return log2(later / earlier) per seed [S], over the seeds that both [S1], [S2] have: the first ones."""
    first, second = np.asarray(later, np.float64), np.asarray(earlier, np.float64)
    count = min(len(first), len(second))
    return np.log2(first[:count] / second[:count])


def z_scores(values: ArrayLike, null: ArrayLike = 0.0) -> Floats:
    """Return (mean - null) / standard error of values [..., R] over their last axis: [...]."""
    given = np.asarray(values, np.float64)
    return (given.mean(-1) - null) / (given.std(-1, ddof=1) / np.sqrt(given.shape[-1]))


def linear_r2(y: ArrayLike) -> float:
    """Return R² of a straight line through values [T] at equal distances, NaN for a constant."""
    values = finite(y, "y")[None]
    return float(correlation_per_seed(values, np.arange(values.size)[None])[0] ** 2)


def mean_band(values: ArrayLike) -> Floats:
    """Return mean, low and high of `mean_interval` of each column of values [S, X]: [3, X], in their unit.

    Seeds with a NaN are left out. One seed alone has no interval (low and high are NaN); where none is left the mean
    is 0.
    """
    given = np.asarray(values, np.float64)
    known = given[np.isfinite(given).all(1)]
    if len(known) < 2:
        return np.stack([known.sum(0), *np.full((2, given.shape[1]), np.nan)])
    return _ends([mean_interval(column) for column in known.T])


def wilson_band(successes: ArrayLike, n: int) -> Floats:
    """Return estimate, low and high of `wilson` for each count [X] of n: [3, X]; NaN for n = 0."""
    counts = np.asarray(successes)
    return _ends([wilson(int(count), n) for count in counts]) if n else np.full((3, len(counts)), np.nan)


def weighted_mean(values: ArrayLike, weights: ArrayLike, axis: int) -> Floats:
    """Return the weighted mean of values along an axis; NaN where all weights are 0.

    Weights have the shape of the values, or lack their last axes. A value with weight 0 may be NaN. BadInput for
    negative weights.
    """
    given, heavy = floats(values, "values"), floats(weights, "weights")
    if (heavy < 0).any():
        raise BadInput.of("weights", float(heavy.min()), "numbers >= 0", "they are shares, or counts")
    heavy = heavy.reshape(heavy.shape + (1,) * (given.ndim - heavy.ndim))
    total = heavy.sum(axis)
    weighted = (np.where(heavy > 0, given, 0) * heavy).sum(axis)
    return np.where(total > 0, weighted / np.where(total > 0, total, 1), np.nan)


def rate_ratio(events: ArrayLike, sizes: ArrayLike, least: float = 5) -> Floats:
    """Return how many times as often events happen in the first of two groups as in the second: [S].

    `events` and `sizes` [S, strata, 2] count events and members. The ratio is that of Mantel & Haenszel (1959) over
    the strata, with half an event added to each group, spread evenly over them (Jeffreys): else a group without any
    would have none. NaN with fewer than `least` events in a group, where that half would decide.
    """
    lost, members = np.asarray(events, np.float64), np.asarray(sizes, np.float64)
    weights = members[..., ::-1] / members.sum(-1, keepdims=True)
    first, second = ((lost + 0.5 / lost.shape[1]) * weights).sum(1).T
    return np.where((lost.sum(1) >= least).all(1), first / second, np.nan)


def pseudo_values(statistic: Callable[[Floats], float], values: ArrayLike) -> Floats:
    """Return the jackknife's pseudo-values of a statistic of values [S, ...]: one a seed, [S] (Tukey 1958).

    Their mean is the statistic less its first-order bias, their spread what the seeds contribute to it.
    """
    given = np.asarray(values, np.float64)
    count = len(given)
    without = [statistic(np.delete(given, seed, 0)) for seed in range(count)]
    return count * statistic(given) - (count - 1) * np.array(without)


def variance_ratio(values: ArrayLike) -> float:
    """Return Fisher's F of values [S, K]: S times the variance of the K means over the mean variance within.

    NaN for fewer than two seeds or places, or where seeds do not differ.
    """
    given = np.asarray(values, np.float64)
    if min(given.shape) < 2 or not (within := given.var(0, ddof=1).mean()):
        return np.nan
    return float(len(given) * given.mean(0).var(ddof=1) / within)


def _ends(found: Sequence[Interval]) -> Floats:
    """Return estimate, low and high of K intervals [3, K]."""
    return np.array([(one.estimate, one.low, one.high) for one in found]).T


def _mean_and_error(x: Floats) -> tuple[float, float]:
    """Return the mean and its standard error: infinite for one value, exactly 0 for equal ones."""
    if len(x) == 1 or np.ptp(x) == 0:
        return float(x[0]), 0.0 if len(x) > 1 else np.inf
    return float(x.mean()), float(x.std(ddof=1)) / len(x) ** 0.5


def _proportion(successes: int, n: int, level: float, method: str) -> Interval:
    if not (n >= 1 and 0 <= successes <= n and float(successes).is_integer() and float(n).is_integer()):
        raise BadInput.of("successes of n", (successes, n), "0 <= successes <= n, n >= 1", "pass counts")
    found = distributions.binomtest(int(successes), int(n)).proportion_ci(_fraction("level", level), method)
    return Interval(successes / n, float(found.low), float(found.high), level, method, int(n))


def _fraction(what: str, value: float) -> float:
    if not 0 < value < 1:
        raise BadInput.of(what, value, "strictly between 0 and 1", "0.95 means 95%")
    return value


def _alternative(alternative: str) -> str:
    if alternative not in ALTERNATIVES:
        raise BadInput.of("alternative", alternative, str(ALTERNATIVES), "name the direction claimed")
    return alternative
