"""The verdict algebra, version 2: a structured check and the evidence per seed become a verdict and its reason.

Each part of a check claims a region for one statistic, and the confidence interval of that statistic decides:

    greater {than}          (than, inf)             less {than}   (-inf, than)
    interval {low, high}    [low, high]             equivalence {delta, centre = 0}   centre +- delta, open
    two_sided {zero = 0}    the side `claimed`; without one, like `descriptive {}`, there is nothing to decide

    null           a direction with a smallest effect of interest `delta`: the 90% interval lies inside than +- delta
    replicated     the 95% interval (equivalence: the 90% interval, as in TOST) lies inside the region
    contradicted   the 95% interval lies wholly outside: the other direction, or values that exclude the claimed ones
    inconclusive   all else; also a failed adequacy check ("setting"), or more than half the seeds censored

A part is the source's (what the claim itself says) or ours (a strengthening, a tolerance, a diagnostic). The source's
parts make the verdict; ours are told beside it. Of the source's parts together:

    all alike -> that verdict; some replicated and some contradicted or null -> partly; none replicated and one
    contradicted -> contradicted; all else -> inconclusive

Parts with a `reading` belong to one way to read the source; one reading that holds is enough, so the verdict is that
of the best one (replicated, partly, inconclusive, null, contradicted). A claim that something `exists` ("can") is not
contradicted by one setting where it does not appear: null and contradicted become not_seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite, isinf, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy import stats as distributions

from redlib.errors import BadInput
from redlib.evidence import stats
from redlib.evidence.stats import Floats, Interval

Region = tuple[float, float]
Evidence = ArrayLike | Interval
Parts = Evidence | Mapping[str, Evidence | None]  # None: this run has none

DECIDED = ("replicated", "partly", "contradicted", "null", "not_seen", "inconclusive")
WORDS = {"partly": "partly replicated", "null": "no effect", "not_seen": "not seen here", "plumbing_ok": "plumbing ok",
         "not_run": "not run"}  # fmt: skip
BEST_FIRST = ("replicated", "partly", "inconclusive", "null", "contradicted", "descriptive", "plumbing_ok")
FAILED = ("contradicted", "null")
NO_INTERVAL = "fewer than two values give no interval"
OWNERS = ("source", "ours")
SCALES = {"linear": (np.asarray, np.asarray), "log": (np.log, np.exp), "logit": (special.logit, special.expit),
          "percent": (lambda values: special.logit(values / 100), lambda values: 100 * special.expit(values)),
          "Fisher": (np.arctanh, np.tanh)}  # fmt: skip
SCALE_OF = {"ratio": "log", "probability": "logit", "correlation": "Fisher"}  # of a unit, where a part names none
# what a scale can show, with its ends
RANGES = {"log": (0.0, inf), "logit": (0.0, 1.0), "percent": (0.0, 100.0), "Fisher": (-1.0, 1.0)}
MIN_POWER = 0.8
MOST_SEEDS = 100  # beyond these, more seeds are no advice


@dataclass(frozen=True)
class Leaf:
    """One statistic and the region claimed for it; `bounds` are the numbers as written in claims/.

    of: whose part it is, "source" or "ours". reading: the way to read the source that it belongs to, "" for all.
    because: where its bounds come from. scale: on which its interval is taken ("" by its unit, see SCALE_OF).
    says: what the statistic is, in words for a reader.
    """

    name: str
    kind: str
    statistic: str
    unit: str
    bounds: dict[str, float]
    claimed: str = ""
    of: str = "source"
    reading: str = ""
    because: str = ""
    scale: str = ""
    says: str = ""

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
    """The structured check of a claim: one leaf, or several (kind "conjunction"); `exists`: it says that it can be."""

    kind: str
    parts: tuple[Leaf, ...]
    exists: bool = False


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
    of: str = "source"
    reading: str = ""
    because: str = ""


@dataclass(frozen=True)
class Decision:
    """The verdict on a check, the reason as a sentence, and its parts."""

    verdict: str
    reason: str
    parts: tuple[Part, ...]

    @property
    def deciding(self) -> Part:
        """Return the part that settled it: the first that came to what the whole did, or that made it partly so."""
        parts: list[Part] = _best(self.parts)[1]
        telling = FAILED if self.verdict in ("partly", "not_seen") else (self.verdict,)
        return next((part for part in parts if part.verdict in telling), parts[0])

    @property
    def p(self) -> float | None:
        """Return the exact p of the check: the largest of its deciding reading, None where a part has none."""
        found = [part.p for part in _best(self.parts)[1]]
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
    verdict, deciding = _best(parts)
    seen = "not_seen" if check.exists and verdict in FAILED else verdict
    return Decision(seen, _why(deciding, parts), parts)


def counting(parts: Iterable[Any]) -> list[Any]:
    """Return the parts that decide: the source's that claim a range, or where none does all of the source's, or all.

    Takes anything with the attributes `of` and `threshold`.
    """
    listed = list(parts)
    own = [part for part in listed if part.of == "source"] or listed
    return [part for part in own if part.threshold] or own


def deciding(parts: Iterable[Any]) -> list[Any]:
    """Return the parts that made the verdict: those that count, of the reading that comes off best.

    Takes anything with the attributes `of`, `threshold`, `reading` and `verdict`.
    """
    return _best(parts)[1]


def seeds_needed(leaf: Leaf, values: ArrayLike) -> int | None:
    """Return about how many seeds would settle a part if mean and spread stay as in `values` [S] (NaN: censored).

    None where MOST_SEEDS would not, where nothing is claimed, and for fewer than two values.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if leaf.region is None or len(known) < 2:
        return None
    there, back = SCALES[_scale(leaf, known)]
    mean, spread = (float(found) for found in (np.mean(there(known)), np.std(there(known), ddof=1)))

    def interval(n: int, level: float) -> Interval:
        half = float(distributions.t.ppf((1 + level) / 2, n - 1)) * spread / n**0.5
        low, high = (float(back(end)) for end in (mean - half, mean + half))
        return Interval(float(back(mean)), low, high, level, "t", n)

    more = range(len(known) + 1, MOST_SEEDS + 1)
    settled = (n for n in more if _verdict(leaf, interval(n, 0.95), interval(n, 0.90))[0] != "inconclusive")
    return next(settled, None)


def _best(parts: Iterable[Any]) -> tuple[str, list[Any]]:
    """Return (verdict, parts) of the reading that comes off best; without readings of all that count."""
    deciding = counting(parts)
    names = list(dict.fromkeys(part.reading for part in deciding if part.reading)) or [""]
    readings = [[part for part in deciding if part.reading in ("", name)] for name in names]
    found = [(_together(reading), reading) for reading in readings]
    return min(found, key=lambda each: BEST_FIRST.index(each[0]))


def _together(parts: Iterable[Part]) -> str:
    """Return the verdict of parts that one reading of a source joins; see the module."""
    verdicts = {part.verdict for part in parts}
    if len(verdicts) == 1:
        return verdicts.pop()
    if "replicated" in verdicts:
        return "partly" if verdicts & {*FAILED} else "inconclusive"
    return "contradicted" if "contradicted" in verdicts else "inconclusive"


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


def _why(deciding: list[Part], parts: Iterable[Part]) -> str:
    """Return the reason: what the deciding parts came to, with their reading where others were possible."""
    reading = next((part.reading for part in deciding if part.reading), "")
    others = any(part.reading not in ("", reading) for part in parts)
    failed = [f"{part.name} {part.verdict}: {part.reason}" for part in deciding if part.verdict != "replicated"]
    told = deciding[0].reason if len(deciding) == 1 else "; ".join(failed) or f"all {len(deciding)} parts hold"
    return f"read as {reading.replace('_', ' ')}: {told}" if others else told


def _judge(leaf: Leaf, evidence: Floats | Interval) -> Part:
    if isinstance(evidence, Interval):  # a 95% interval inside centre +- delta is inside at 90%, too
        return _part(leaf, *_verdict(leaf, evidence, evidence), evidence)
    values = evidence[~np.isnan(evidence)]
    censored = len(evidence) - len(values)
    scale, wanted = _scale(leaf, values), _wanted(leaf)
    ci95, ci90 = (_possible(_interval(values, level, scale), values, wanted) for level in (0.95, 0.90))
    verdict, reason = _verdict(leaf, ci95, ci90)
    if censored:
        reason = f"{censored} of {len(evidence)} seeds censored; {reason}"
    if 2 * censored > len(evidence) and leaf.region:
        verdict = "inconclusive"
    return replace(
        _part(leaf, verdict, reason, ci95),
        ci90=(ci90.low, ci90.high) if leaf.null_region or leaf.kind == "equivalence" else None,
        p=_p(leaf, values, _sign_flip, scale) if len(values) <= stats.MAX_EXACT else None,
        p_t=_p(leaf, values, stats.t_test_p, scale),
        censored=censored,
        underpowered=_underpowered(leaf, values, verdict),
    )


def _part(leaf: Leaf, verdict: str, reason: str, ci: Interval) -> Part:
    named = (leaf.name, leaf.kind, leaf.statistic, leaf.unit, leaf.threshold, verdict, reason)
    whose = (leaf.of, leaf.reading, leaf.because)
    return Part(*named, ci.estimate, (ci.low, ci.high), None, None, None, ci.method, ci.n, 0, False, *whose)


def _verdict(leaf: Leaf, ci95: Interval, ci90: Interval) -> tuple[str, str]:
    text95, text90 = (_told(ci) for ci in (ci95, ci90))
    if leaf.region is None:
        return "descriptive", f"no direction or value is claimed; {text95}"
    if leaf.null_region and _inside(ci90, leaf.null_region):
        low, high = leaf.null_region
        return "null", f"{text90} lies in ({low:g}, {high:g}): no effect that matters"
    decisive, text = (ci90, text90) if leaf.kind == "equivalence" else (ci95, text95)
    if _inside(decisive, leaf.region, closed=leaf.kind == "interval"):
        return "replicated", f"{text} lies in the claimed range, {leaf.threshold}"
    if ci95.high < leaf.region[0] or ci95.low > leaf.region[1]:
        return "contradicted", f"{text95} lies outside the claimed range, {leaf.threshold}"
    if text == NO_INTERVAL:
        return "inconclusive", NO_INTERVAL
    return "inconclusive", f"{text} overlaps the claimed range, {leaf.threshold}, but does not lie in it"


def _told(ci: Interval) -> str:
    """Return an interval for a reason; from fewer than two values there is none."""
    if ci.n < 2 and isinf(ci.high - ci.low):
        return NO_INTERVAL
    low, high = (f"{end:.4g}".replace("inf", "∞") for end in (ci.low, ci.high))
    return f"{ci.level:.0%} CI [{low}, {high}]"


def _inside(ci: Interval, region: Region, closed: bool = False) -> bool:
    if closed:  # an interval claim includes its bounds: grid values sit exactly on them
        return region[0] <= ci.low and ci.high <= region[1]
    return region[0] < ci.low and ci.high < region[1]


def _wanted(leaf: Leaf) -> str:
    return leaf.scale or SCALE_OF.get(leaf.unit, "linear")


def _scale(leaf: Leaf, values: Floats) -> str:
    """Return the scale of the interval: the part's or its unit's, linear where a value does not lie on that."""
    scale = _wanted(leaf)
    with np.errstate(divide="ignore", invalid="ignore"):
        return scale if np.isfinite(SCALES[scale][0](values)).all() else "linear"


def _interval(values: Floats, level: float, scale: str) -> Interval:
    """Return the t interval of the mean on a scale, in the unit of the values."""
    if not len(values):
        return Interval(nan, -inf, inf, level, "t", 0)
    there, back = SCALES[scale]
    found = stats.mean_interval(there(values), level)
    estimate, low, high = (float(back(end)) for end in (found.estimate, found.low, found.high))
    method = found.method if scale == "linear" else f"{found.method}, {scale} scale"
    return Interval(estimate, low, high, level, method, found.n)


def _possible(found: Interval, values: Floats, scale: str) -> Interval:
    """Return the interval cut to what is possible where the values lie on an end of their scale (a share of 0)."""
    low, high = RANGES.get(scale, (-inf, inf))
    inside = len(values) and low <= values.min() and values.max() <= high
    return replace(found, low=max(found.low, low), high=min(found.high, high)) if inside else found


def _sign_flip(values: Floats, bound: float, alternative: str) -> float:
    return stats.sign_flip_p(values - bound, alternative)


def _p(leaf: Leaf, values: Floats, test: Callable[[Floats, float, str], float], scale: str) -> float | None:
    """Return p of the claim as the alternative: the larger one of its bounds (intersection-union test)."""
    if not len(values) or leaf.kind == "descriptive":
        return None
    if leaf.region is None:
        return test(values, leaf.bounds.get("zero", 0.0), "two-sided")
    with np.errstate(divide="ignore", invalid="ignore"):
        region, there = SCALES[scale][0](np.array(leaf.region)), SCALES[scale][0](values)
    sides = zip(region.tolist(), ("greater", "less"), strict=True)
    return max((test(there, bound, side) for bound, side in sides if isfinite(bound)), default=None)


def _underpowered(leaf: Leaf, values: Floats, verdict: str) -> bool:
    """Return whether TOST had under 80% power where it spoke or could have; no label on clear directions."""
    equivalence = leaf.kind == "equivalence" and verdict in ("replicated", "inconclusive")
    if not equivalence and not (leaf.null_region and verdict in ("null", "inconclusive")):
        return False
    return not len(values) or stats.tost(values, leaf.bounds["delta"]).power < MIN_POWER
