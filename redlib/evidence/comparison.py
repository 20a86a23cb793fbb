"""Two arms of a user's own: values per seed in, estimate, interval, verdict and power out, without a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, isinf, nan

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize
from scipy import stats as distributions

from redlib.errors import BadInput
from redlib.evidence import stats
from redlib.evidence.stats import Floats, Interval
from redlib.evidence.verdicts import MIN_POWER, Check, Leaf, decide

CLAIMS = ("greater", "less", "equivalence")
LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """What two arms came to; differences are in the unit of the values.

    `verdict` and `reason` follow the rules of the studies (see `verdicts`); `interval` has 95%. `p` is the exact one of
    sign flips, None for unpaired groups and above 20 seeds. `power` is the chance that as many seeds with this spread
    replicate the claim if it is true: by `delta` (equivalence: exactly); None where no `delta` says which difference
    matters. `detectable` is the true difference from `than` that they would find with 80% power: infinite for a single
    seed, None for equivalence. `n` are the values used.
    """

    estimate: float
    interval: Interval
    verdict: str
    reason: str
    p: float | None
    power: float | None
    detectable: float | None
    n: int


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    claim: str = "greater",
    than: float = 0.0,
    delta: float | None = None,
    paired: bool = True,
) -> Comparison:
    """Return how mean(a) - mean(b) stands to a claim: estimate, 95% interval, verdict, power.

    a, b    one number a seed, [S] each; unpaired [S1] and [S2]
    claim   `greater`: the difference exceeds `than`; `less`: it is below; `equivalence`: it is within `delta` of it
    delta   the smallest difference that matters: equivalence needs it, with it the others may come out as `null`
    paired  whether place s of both is the same seed (same data, same order): the t interval of the differences (Student
            1908), else that of two independent groups (Welch 1947)

    A NaN makes its pair a censored seed, as in the studies. BadInput for other shapes and claims, infinite, complex and
    masked values, NaN in unpaired groups, and paired tables whose lines are not named alike, in one order.
    """
    leaf = _leaf(claim, float(than), delta)
    evidence: Floats | Interval
    if not isinstance(paired, bool | np.bool_):
        raise BadInput.of("paired", paired, "True or False", "say whether place s of both is the same seed")
    if paired:
        evidence = _differences(a, b)
        known = evidence[~np.isnan(evidence)]
        interval = stats.mean_interval(known, LEVEL) if len(known) else Interval(nan, -inf, inf, LEVEL, "t", 0)
        error, freedom = stats.standard_error(known) if len(known) else inf, max(len(known) - 1.0, 1.0)
    else:
        evidence, error, freedom = stats.welch(a, b, LEVEL)
        interval = evidence
    decision = decide(Check(claim, (leaf,)), evidence)
    return Comparison(
        estimate=interval.estimate,
        interval=interval,
        verdict=decision.verdict,
        reason=decision.reason,
        p=decision.p,
        power=None if delta is None else _power(claim, float(delta), error, freedom),
        detectable=None if claim == "equivalence" else _detectable(error, freedom),
        n=interval.n,
    )


def _leaf(claim: str, than: float, delta: float | None) -> Leaf:
    if claim not in CLAIMS:
        raise BadInput.of("claim", claim, " | ".join(CLAIMS), "name what the difference a - b is claimed to be")
    if not isfinite(than):
        raise BadInput.of("than", than, "a finite number", "pass the threshold of the claim, 0 for any difference")
    if delta is None and claim == "equivalence" or delta is not None and not 0 < delta < inf:
        raise BadInput.of("delta", delta, "0 < delta < inf", "state the largest difference you would ignore")
    bounds = {"centre" if claim == "equivalence" else "than": than} | ({} if delta is None else {"delta": float(delta)})
    return Leaf("difference", claim, "difference", "none", bounds)


def _differences(a: ArrayLike, b: ArrayLike) -> Floats:
    first, second = stats.finite(a, "a", allow_nan=True), stats.finite(b, "b", allow_nan=True)
    if len(first) != len(second):
        remedy = "pass the same seeds in the same order, or paired=False for two independent groups"
        raise BadInput.of("lengths of a and b", (len(first), len(second)), "the same number of seeds", remedy)
    names = [getattr(values, "index", None) for values in (a, b)]  # of pandas; a list has a method of that name
    if all(isinstance(own, pd.Index) for own in names) and not names[0].equals(names[1]):  # type: ignore[union-attr]
        given = [list(own)[:10] for own in names]  # type: ignore[arg-type]
        raise BadInput.of("index of a and b", given, "the same, in one order", "b.reindex(a.index) pairs by name")
    with np.errstate(over="ignore"):  # refused with the interval
        return first - second


def _power(claim: str, delta: float, error: float, freedom: float) -> float:
    """Return the chance of `replicated`: of equivalence at its centre, of a direction at a difference of `delta`."""
    if claim == "equivalence":
        return stats.tost_power(error, freedom + 1, delta)
    if error == 0 or isinf(error):
        return float(error == 0)
    return _found(delta / error, freedom)


def _found(shift: float, freedom: float) -> float:
    """Return P(the interval excludes the threshold) for a true difference of `shift` errors: a noncentral t."""
    return float(distributions.nct.sf(distributions.t.ppf((1 + LEVEL) / 2, freedom), freedom, shift))


def _detectable(error: float, freedom: float) -> float:
    """Return the true difference that is found with the power MIN_POWER."""
    if error == 0 or isinf(error):
        return error
    far = 3 * float(distributions.t.ppf((1 + LEVEL) / 2, freedom)) + 10
    return error * float(optimize.brentq(lambda shift: _found(shift, freedom) - MIN_POWER, 0, far))
