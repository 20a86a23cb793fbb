"""The verdict algebra: a structured check and the evidence per seed become a verdict and its reason.

Each check claims a region for one statistic, and the confidence interval of that statistic decides:

    greater {than}          (than, inf)             less {than}   (-inf, than)
    interval {low, high}    [low, high]             equivalence {delta, centre = 0}   centre +- delta, open
    two_sided {zero = 0}    the side `claimed`; without one, like `descriptive {}`, there is nothing to decide

    replicated     the 95% interval (equivalence: the 90% interval, as in TOST) lies inside the region
    contradicted   the 95% interval lies wholly outside: it clears the threshold the other way, or excludes
                   the claimed values; for `greater {than: t}` that is "below t", also where t is not 0
    null           only `greater` and `less` with a `delta`: the 90% interval lies inside than +- delta
    inconclusive   all else; also a failed adequacy check ("setting"), or more than half the seeds censored

A conjunction is replicated if every part is, contradicted if any part is, null if every part is.
`descriptive` parts never count; a check of nothing else gets the verdict `descriptive`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.evidence import stats
from redlib.evidence.stats import Floats, Interval

Region = tuple[float, float]
Evidence = ArrayLike | Interval
Parts = Evidence | Mapping[str, Evidence | None]  # None: this run has none

DECIDED = ("replicated", "contradicted", "null", "inconclusive")
MIN_POWER = 0.8


@dataclass(frozen=True)
class Leaf:
    """One statistic and the region claimed for it; `bounds` are the numbers as written in claims/."""

    name: str
    kind: str
    statistic: str
    unit: str
    bounds: dict[str, float]
    claimed: str = ""

    @property
    def region(self) -> Region | None:
        """Return (low, high) of the claimed values, in `unit`, or None where nothing is claimed."""
        b = self.bounds
        if self.kind == "interval":
            return b["low"], b["high"]
        if self.kind == "equivalence":
            return b.get("centre", 0.0) - b["delta"], b.get("centre", 0.0) + b["delta"]
        threshold = b.get("than", b.get("zero", 0.0))
        if self.kind == "greater" or self.claimed == "positive":
            return threshold, inf
        return (-inf, threshold) if self.kind == "less" or self.claimed == "negative" else None

    @property
    def null_region(self) -> Region | None:
        """Return than +- delta for a directional leaf that states a delta, else None."""
        if self.kind not in ("greater", "less") or "delta" not in self.bounds:
            return None
        return self.bounds["than"] - self.bounds["delta"], self.bounds["than"] + self.bounds["delta"]

    @property
    def threshold(self) -> str:
        """Return the claimed values in words: "> 0 pp", "in [0.8, 1.25]"; "" where nothing is claimed."""
        if self.region is None:
            return ""
        low, high = self.region
        unit = "" if self.unit in ("none", "ratio", "log2", "z", "slope") else f" {self.unit}"
        if self.kind == "equivalence":
            return f"within {self.bounds['delta']:g} of {self.bounds.get('centre', 0.0):g}{unit}"
        if self.kind == "interval":
            return f"in [{low:g}, {high:g}]{unit}"
        return f"> {low:g}{unit}" if isfinite(low) else f"< {high:g}{unit}"


@dataclass(frozen=True)
class Check:
    """The structured check of a claim: one leaf, or several that must all hold (kind "conjunction")."""

    kind: str
    parts: tuple[Leaf, ...]


@dataclass(frozen=True)
class Part:
    """What one leaf came to: its numbers, in `unit`, and its verdict."""

    name: str
    kind: str
    statistic: str
    unit: str
    threshold: str
    verdict: str
    reason: str
    estimate: float
    ci95: Region
    ci90: Region | None  # only where it decides: equivalence and null
    p: float | None  # exact sign flips, the claim being the alternative; None above 20 seeds or without seeds
    p_t: float | None  # the same by the t test, which agrees with the interval
    method: str  # of the interval
    n: int  # values used
    censored: int  # NaN among the values per seed
    underpowered: bool  # less than 80% power where the verdict rests on equivalence, or null was possible


@dataclass(frozen=True)
class Decision:
    """The verdict on a check, the reason as a sentence, and its parts."""

    verdict: str
    reason: str
    parts: tuple[Part, ...]

    @property
    def deciding(self) -> Part:
        """Return the part that settled it: the first contradicted, else not replicated, else the first."""
        parts = _counting(self.parts)
        failed = [part for part in parts if part.verdict != "replicated"]
        return next((part for part in failed if part.verdict == "contradicted"), (failed or parts)[0])

    @property
    def p(self) -> float | None:
        """Return the exact p of the check: the largest of its parts, None where one of them has none."""
        found = [part.p for part in _counting(self.parts)]
        return None if None in found else max(p for p in found if p is not None)


def decide(check: Check, evidence: Parts, adequacy: Mapping[str, bool] | None = None) -> Decision:
    """Return the verdict on `check` by the algebra of this module.

    `evidence` is an array [S] of values per seed (NaN: censored) or a 95% `Interval` from another method; for
    a conjunction, a dict of these by the names of its parts. `adequacy` are the manipulation checks by name:
    one that is False makes the verdict `inconclusive`. BadInput for wrong names and infinite values.
    """
    given, failed = by_name(check, evidence), _failed(adequacy or {})
    parts = tuple(_judge(leaf, given[leaf.name]) for leaf in check.parts)
    if failed:
        reason = f"setting: {', '.join(failed)}"
        stopped = tuple(replace(part, verdict="inconclusive", reason=reason) for part in parts)
        return Decision("inconclusive", reason, stopped)
    counting = _counting(parts)
    verdicts = {part.verdict for part in counting}
    verdict = counting[0].verdict if len(verdicts) == 1 else "inconclusive"
    return Decision("contradicted" if "contradicted" in verdicts else verdict, _why(counting), parts)


def by_name(check: Check, evidence: Parts) -> dict[str, Floats | Interval]:
    """Return the evidence, arrays [S] or intervals, by the names of the parts in their order."""
    names = [leaf.name for leaf in check.parts]
    given = evidence if isinstance(evidence, Mapping) else {names[0] if len(names) == 1 else "": evidence}
    found = {name: values for name, values in given.items() if values is not None}
    missing, unknown = sorted(set(names) - set(found)), sorted(set(given) - set(names))
    if missing or unknown:
        remedy = f"Missing: {missing}; unknown: {unknown}"
        raise BadInput.of("names of the evidence", sorted(given), f"exactly {names}", remedy)
    return {name: _one_evidence(found[name], name) for name in names}


def _one_evidence(evidence: Evidence, name: str) -> Floats | Interval:
    if not isinstance(evidence, Interval):
        return stats.finite(evidence, name, allow_nan=True)
    if evidence.level != 0.95 or not evidence.low <= evidence.estimate <= evidence.high:
        raise BadInput.of(name, evidence, "a 95% interval around its estimate", "recompute it with level=0.95")
    return evidence


def _failed(adequacy: Mapping[str, bool]) -> list[str]:
    for name, passed in adequacy.items():
        if not isinstance(passed, bool | np.bool_):
            raise BadInput.of(f"adequacy[{name!r}]", passed, "True or False", "compare with the threshold first")
    return [name for name, passed in adequacy.items() if not passed]


def _counting(parts: Iterable[Part]) -> list[Part]:
    """Return the parts that decide: those that claim a range, or all where none does."""
    parts = list(parts)
    return [part for part in parts if part.threshold] or parts


def _why(parts: list[Part]) -> str:
    """Return the reason of a single part, or what each part of a conjunction that failed came to."""
    if len(parts) == 1:
        return parts[0].reason
    failed = [f"{part.name} {part.verdict}: {part.reason}" for part in parts if part.verdict != "replicated"]
    return "; ".join(failed) or f"all {len(parts)} parts hold"


def _judge(leaf: Leaf, evidence: Floats | Interval) -> Part:
    if isinstance(evidence, Interval):  # a 95% interval inside centre +- delta is inside at 90%, too
        return _part(leaf, *_verdict(leaf, evidence, evidence), evidence)
    values = evidence[~np.isnan(evidence)]
    censored = len(evidence) - len(values)
    ci95, ci90 = _interval(values, 0.95), _interval(values, 0.90)
    verdict, reason = _verdict(leaf, ci95, ci90)
    if censored:
        reason = f"{censored} of {len(evidence)} seeds censored; {reason}"
    if 2 * censored > len(evidence) and leaf.region:
        verdict = "inconclusive"
    return replace(
        _part(leaf, verdict, reason, ci95),
        ci90=(ci90.low, ci90.high) if leaf.null_region or leaf.kind == "equivalence" else None,
        p=_p(leaf, values, _sign_flip) if len(values) <= stats.MAX_EXACT else None,
        p_t=_p(leaf, values, stats.t_test_p),
        censored=censored,
        underpowered=_underpowered(leaf, values, verdict),
    )


def _part(leaf: Leaf, verdict: str, reason: str, ci: Interval) -> Part:
    named = (leaf.name, leaf.kind, leaf.statistic, leaf.unit, leaf.threshold, verdict, reason)
    return Part(*named, ci.estimate, (ci.low, ci.high), None, None, None, ci.method, ci.n, 0, False)


def _verdict(leaf: Leaf, ci95: Interval, ci90: Interval) -> tuple[str, str]:
    text95, text90 = (f"{ci.level:.0%} CI [{ci.low:.4g}, {ci.high:.4g}]" for ci in (ci95, ci90))
    if leaf.region is None:
        return "descriptive", f"no direction or value is claimed; {text95}"
    decisive, text = (ci90, text90) if leaf.kind == "equivalence" else (ci95, text95)
    if _inside(decisive, leaf.region, closed=leaf.kind == "interval"):
        return "replicated", f"{text} lies in the claimed range, {leaf.threshold}"
    if ci95.high < leaf.region[0] or ci95.low > leaf.region[1]:
        return "contradicted", f"{text95} lies outside the claimed range, {leaf.threshold}"
    if leaf.null_region and _inside(ci90, leaf.null_region):
        low, high = leaf.null_region
        return "null", f"{text90} lies in ({low:g}, {high:g}): no effect that matters"
    return "inconclusive", f"{text} overlaps the claimed range, {leaf.threshold}, but does not lie in it"


def _inside(ci: Interval, region: Region, closed: bool = False) -> bool:
    if closed:  # an interval claim includes its bounds: grid values sit exactly on them
        return region[0] <= ci.low and ci.high <= region[1]
    return region[0] < ci.low and ci.high < region[1]


def _interval(values: Floats, level: float) -> Interval:
    return stats.mean_interval(values, level) if len(values) else Interval(nan, -inf, inf, level, "t", 0)


def _sign_flip(values: Floats, bound: float, alternative: str) -> float:
    return stats.sign_flip_p(values - bound, alternative)


def _p(leaf: Leaf, values: Floats, test: Callable[[Floats, float, str], float]) -> float | None:
    """Return p of the claim as the alternative: the larger one of its bounds (intersection-union test)."""
    if not len(values) or leaf.kind == "descriptive":
        return None
    if leaf.region is None:
        return test(values, leaf.bounds.get("zero", 0.0), "two-sided")
    sides = zip(leaf.region, ("greater", "less"), strict=True)
    return max(test(values, bound, side) for bound, side in sides if isfinite(bound))


def _underpowered(leaf: Leaf, values: Floats, verdict: str) -> bool:
    """Return whether TOST had under 80% power where it spoke or could have; no label on clear directions."""
    equivalence = leaf.kind == "equivalence" and verdict in ("replicated", "inconclusive")
    if not equivalence and not (leaf.null_region and verdict in ("null", "inconclusive")):
        return False
    return not len(values) or stats.tost(values, leaf.bounds["delta"]).power < MIN_POWER
