"""Claims as data: claims/<study>.yaml are read and checked, and a finding on a claim becomes a line of claims.jsonl.

A file has the fields `study` (its name), `title`, `question` and `claims`, and may have `defaults`: fields that its
claims share. A claim's own field wins; reasons in `not_run` are merged by profile, and null takes one away. `effects`
names the smallest effect of interest of each unit, {unit: {delta, because}}: every direction that the source claims
has it as its margin, unless the part states its own `delta`; only a part that is ours may have none.

For the pages, a part `says` in words what its statistic is, and a file may have `lead`, the name of the figure that
opens its page, and `gates`: {gate: what it means where it fails}. `answers` are read by the index (report.answer).
`fresh` is the first seed of the study's confirmation, where another block than that from 10 on is still fresh.

The verdict itself is made in `verdicts`; a record adds what the claim says of itself (study, forecast) and
where the evidence comes from. Nothing volatile (time, commit, machine) is in it: reruns give the same bytes.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from redlib.errors import BadInput
from redlib.evidence import stats
from redlib.evidence.paths import check_profile, project_root
from redlib.evidence.reading import parsed_yaml, read_text
from redlib.evidence.verdicts import (
    DECIDED,
    FAILED,
    OWNERS,
    SCALES,
    WORDS,
    Check,
    Decision,
    Leaf,
    Parts,
    by_name,
    decide,
)

Word = TypeVar("Word")
Row = Mapping[str, Any]  # one line of claims.jsonl, parsed
Effects = Mapping[str, tuple[float, str]]  # the smallest effect of interest by unit, and why

LEDGER = {"smoke": "smoke", "laptop": "laptop", "mnist": "default", "paper": "paper"}  # names in the ledger
PRIORS = {  # forecasts, in words
    "R": "expected to replicate",
    "P": "expected only at the paper's scale",
    "D": "doubtful: could go either way",
    "X": "expected not to replicate, or contested",
    "E": "exploratory: the source gives no direction",
}
UNITS = (
    "pp",
    "ratio",
    "log2",
    "nats",
    "count",
    "probability",
    "slope",
    "distance",
    "correlation",
    "z",
    "seconds",
    "none",
)
BOUNDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # kind -> required numbers, optional ones
    "greater": (("than",), ("delta",)),
    "less": (("than",), ("delta",)),
    "interval": (("low", "high"), ()),
    "equivalence": (("delta",), ("centre",)),
    "two_sided": ((), ("zero",)),
    "descriptive": ((), ()),
}
OPTIONAL = {
    "of": "|".join(OWNERS),
    "reading": "[a-z][a-z0-9_]*|",
    "because": "(?s).*",
    "scale": "|".join((*SCALES, "")),
}
VERDICTS = (*DECIDED, "descriptive", "plumbing_ok", "not_run")
FALSE_CHANCE = {"equivalence": 0.05}  # of `replicated` with the truth on the threshold; other kinds .025
SENTENCE = r"(?s).*\S.*"
NAME = r"[a-z][a-z0-9_]*"
FRESH, TUNING = 10, 1000  # judged seeds lie below the first, settings are tuned on those from the second on
SHARED = {"defaults", "effects", "lead", "gates", "answers", "fresh"}  # what a file may have beside its claims


@dataclass(frozen=True)
class Claim:
    """One claim of the ledger; `profiles` holds the checks that differ from `check` at some profile."""

    id: str
    study: str
    statement: str
    source: str
    prior: str
    check: Check | None = None
    primary: bool = False
    reported: str = ""
    evidence: str = ""
    prior_note: str = ""
    figure: str = ""
    errata: tuple[str, ...] = ()
    profiles: dict[str, Check] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    untestable: bool = False
    rewritten: str = ""  # what the check said wrongly before, in a sentence; "" where it says what it always said
    exists: bool = False  # it says that something can be: one setting without it is no contradiction
    timed: bool = False  # it is about time: its numbers are those of the machine, and no other run has the same

    def check_for(self, profile: str) -> Check:
        """Return the check that holds at `profile`; BadInput for an unknown one or an untestable claim."""
        found = self.profiles.get(check_profile(profile), self.check)
        if found is None:
            _refuse(f"check of {self.id}", None, "a testable claim", "record it with not_run")
        return found


REQUIRED = {"id", "study", "statement", "source", "prior"}
FIELDS = {each.name for each in dataclasses.fields(Claim)}


@dataclass(frozen=True)
class StudyInfo:
    """What a study is called and asks, what opens its page, what failed gates mean, where its fresh seeds begin.

    `answers` are its claims that speak on the index, by group: as the file says, checked by whoever shows them.
    """

    title: str
    question: str
    lead: str = ""
    gates: Mapping[str, str] = field(default_factory=dict)
    fresh: int = FRESH
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Finding:
    """What a study hands in on the claim `id`.

    `parts` are the evidence by the names of the check's parts (or of their statistics): arrays [S] of values per seed
    (NaN: censored), or a 95% `Interval` from another method; where the check has one part, its evidence alone will do.
    `gate` are the checks of the setting by name: where one is False, the verdict is `inconclusive`.
    """

    id: str
    parts: Parts
    gate: Mapping[str, bool] = field(default_factory=dict)


class Claims(dict[str, Claim]):
    """Claims by id, in the order of the files; an unknown id raises BadInput with the closest known ones."""

    def __missing__(self, key: object) -> NoReturn:
        close = difflib.get_close_matches(str(key), self, n=3, cutoff=0)
        _refuse("claim id", key, f"one of the {len(self)} ids in claims/", f"The closest are {close}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of a claim at a profile; its own numbers are those of the part that settled the verdict."""

    id: str
    study: str
    scale: str
    profile: str
    seeds: list[int] = field(default_factory=list)
    statistic: str | None = None
    per_seed: dict[str, list[float] | None] = field(default_factory=dict)  # by part; None: an interval
    estimate: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None  # exact sign flips; of a conjunction the largest of its parts
    direction: str | None = None
    threshold: str | None = None
    verdict: str
    reason: str
    underpowered: bool = False
    prior: str
    data_source: str = ""
    note: str = ""
    adequacy: dict[str, bool] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)

    def __getitem__(self, part: str) -> float:
        """Return the estimate of the named part, NaN where the claim was not run; BadInput for an unknown name."""
        return float(self._part(part).get("estimate", nan))

    def side(self, part: str, above: Word, below: Word, between: Word, level: float = 0) -> Word:
        """Return the word for the side of `level` where all of the part's interval lies; `between` where on neither.

        `between` too where the claim was not run; BadInput for an unknown name.
        """
        low, high = self._part(part).get("ci95") or (level, level)
        return above if low > level else below if high < level else between

    def _part(self, name: str) -> Mapping[str, Any]:
        known = {each["name"]: each for each in self.parts}
        if known and name not in known:
            _refuse(f"part of {self.id}", name, " | ".join(known), f"its check at {self.profile} has no other")
        return known.get(name, {})

    @property
    def word(self) -> str:
        """The verdict in words, for a sentence: "partly replicated", "no effect"."""
        return WORDS.get(self.verdict, self.verdict)

    def tells(self, held: str, partly: str, failed: str, undecided: str) -> str:
        """Return the words for what the verdict says of the claim; `undecided` where it says neither."""
        words = {"replicated": held, "partly": partly, **dict.fromkeys((*FAILED, "not_seen"), failed)}
        return words.get(self.verdict, undecided)

    def as_json(self) -> str:
        """Return one line of JSON: fixed key order, 10 significant digits, null for NaN and infinity."""
        return json.dumps(_plain(dataclasses.asdict(self)), allow_nan=False)


def load_claims(folder: str | Path | None = None) -> Claims:
    """Return the claims of all files of `folder` (default: the project's claims/); BadInput names the file."""
    claims = Claims()
    for study, entry in _study_files(folder):
        for claim in _claims_of(study, entry):
            if claim.id in claims:
                allowed = f"unique ids; {claims[claim.id].study}.yaml has it, too"
                _refuse(f"id of a claim in {study}.yaml", claim.id, allowed, "rename or merge them")
            claims[claim.id] = claim
    return claims


def load_studies(folder: str | Path | None = None) -> dict[str, StudyInfo]:
    """Return what each study says of itself, by name; arguments and BadInput as in `load_claims`."""
    told = ("title", "question", "lead", "gates", "fresh", "answers")
    return {
        study: StudyInfo(**{name: entry[name] for name in told if name in entry})
        for study, entry in _study_files(folder)
    }


def check(
    claim: Claim,
    profile: str,
    finding: Finding,
    *,
    seeds: Sequence[int] = (),
    first: int = 0,
    data_source: str = "",
    note: str = "",
) -> Record:
    """Return the record of `claim` at `profile`: the verdict on the finding, or `plumbing_ok` at smoke.

    Every array has one value per entry of `seeds`, where these are given; else they are `first`, `first` + 1, … for the
    longest array, and a part may have fewer. At every profile BadInput for a finding on another claim, missing or
    unknown names of parts, wrong shapes and infinite values.
    """
    if finding.id != claim.id:
        _refuse("id of the finding", finding.id, repr(claim.id), "hand it in on its own claim")
    rule = claim.check_for(profile)
    evidence = by_name(rule, finding.parts)
    for name, values in evidence.items():
        if seeds and not isinstance(values, stats.Interval) and len(values) != len(seeds):
            remedy = "one value per seed, or an Interval where the unit is no seed"
            _refuse(f"length of {claim.id} {name}", len(values), f"{len(seeds)} as seeds has", remedy)
    if not seeds:  # the contract of the statistics: seeds that follow each other
        longest = max((len(v) for v in evidence.values() if not isinstance(v, stats.Interval)), default=0)
        seeds = range(first, first + longest)
    decision = decide(rule, evidence, finding.gate)
    if profile == "smoke":
        decision = _plumbing(decision)
    part = decision.deciding
    return dataclasses.replace(
        _record(claim, profile, decision.verdict, decision.reason),
        seeds=[int(seed) for seed in seeds],
        statistic=part.statistic,
        per_seed={name: None if isinstance(v, stats.Interval) else v.tolist() for name, v in evidence.items()},
        estimate=part.estimate,
        ci95=part.ci95,
        p=decision.p,
        direction=part.kind,
        threshold=part.threshold,
        underpowered=any(other.underpowered for other in decision.parts),
        data_source=data_source,
        note=note,
        adequacy={name: bool(passed) for name, passed in finding.gate.items()},
        parts=[dataclasses.asdict(other) for other in decision.parts],
    )


def not_run(claim: Claim, profile: str, reason: str) -> Record:
    """Return the record of a claim that was not run at `profile`; BadInput without a reason."""
    if not reason.strip():
        _refuse(f"reason of {claim.id}", reason, "a sentence", "say what is missing to run it")
    return _record(claim, profile, "not_run", reason)


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many records have each verdict, in the order of VERDICTS, zeros included."""
    found = Counter(row["verdict"] for row in _one_profile(rows))
    return {verdict: found[verdict] for verdict in VERDICTS}


def holm_primary(rows: Iterable[Row], claims: Mapping[str, Claim]) -> dict[str, float]:
    """Return the Holm-adjusted p of the primary claims of one profile, by id, where a test exists.

    The p of a claim is that of the t test, the largest of its parts: exact sign flips cannot go below 2^-S,
    which at S = 5 no family of two survives. Records that failed an adequacy check have no p.
    """
    primary = [row for row in _one_profile(rows) if claims[row["id"]].primary and _tested(row)]
    p = {row["id"]: [part["p_t"] for part in _counting(row)] for row in primary}
    return stats.holm({name: max(values) for name, values in p.items() if None not in values})


def expected_false(rows: Iterable[Row]) -> float:
    """Return the expected number of false `replicated` if every tested claim were false, at its threshold.

    An upper bound: .025 per claim (.05 for equivalence), for a conjunction the smallest chance of its parts.
    """
    return sum(min(FALSE_CHANCE.get(part["kind"], 0.025) for part in _counting(row)) for row in rows if _tested(row))


def expected_false_contradicted(rows: Iterable[Row]) -> float:
    """Return the expected number of false `contradicted` if every tested claim were true, at its threshold.

    An upper bound: .025 per end of each claimed range that has one, .05 for equivalence; any part can fail a claim.
    """
    ends = {"interval": 0.05, "equivalence": 0.05}
    return sum(ends.get(part["kind"], 0.025) for row in rows if _tested(row) for part in _counting(row))


def parse_claim(raw: object, what: str = "claim", effects: Effects | None = None) -> Claim:
    """Return the claim that an entry with all its fields states; BadInput for anything missing, unknown or wrong.

    `effects` are the smallest effects of interest of its study; without any, directions need none.
    """
    entry = _fields(raw, what, REQUIRED, FIELDS)
    what = f"{what} ({entry['id']})"
    patterns = {"id": r"[A-Z]+-\d+", "study": r"\d\d_[a-z0-9_]+", "prior": "|".join(PRIORS)}
    for name, pattern in patterns.items():
        _text(entry, name, pattern, what)
    for name in {"statement", "source", "reported", "evidence", "prior_note", "figure", "rewritten"} & set(entry):
        _text(entry, name, SENTENCE if name in REQUIRED else "(?s).*", what)
    for name, kind in {"primary": bool, "untestable": bool, "exists": bool, "timed": bool, "errata": list}.items():
        if not isinstance(entry.get(name, kind()), kind):
            _refuse(f"{name} of {what}", entry[name], f"a {kind.__name__}", "correct it in claims/")
    untestable = entry.get("untestable", False)
    if untestable is not ("check" not in entry):
        _refuse(f"check of {what}", entry.get("check"), "a check, or untestable: true", "give one")
    overrides = _fields(entry.get("profiles", {}), f"profiles of {what}", set(), LEDGER)
    reasons = _fields(entry.get("not_run", {}), f"not_run of {what}", set(), LEDGER)
    exists = entry.get("exists", False)
    parsed = {
        "check": None if untestable else parse_check(entry["check"], what, effects, exists),
        "errata": tuple(entry.get("errata", ())),
        "profiles": {n: _override(raw, f"{what} at {n}", effects, exists) for n, raw in overrides.items()},
        "not_run": {name: str(reason) for name, reason in reasons.items() if reason is not None},
    }
    return Claim(**{**entry, **parsed})


def parse_check(raw: object, what: str = "check", effects: Effects | None = None, exists: bool = False) -> Check:
    """Return the structured check; BadInput for prose, unknown kinds, missing bounds, equal names."""
    if not isinstance(raw, Mapping) or raw.get("kind") != "conjunction":
        leaf = _with_margin(_leaf(raw, what), effects, what)
        return Check(leaf.kind, (leaf,), exists)
    parts = _fields(raw, what, {"kind", "parts"})["parts"]
    if not isinstance(parts, list) or len(parts) < 2:
        _refuse(f"parts of {what}", parts, "a list of at least two checks", "a single one is no conjunction")
    names = [f"{what}, part {number + 1}" for number in range(len(parts))]
    leaves = tuple(_with_margin(_leaf(part, name), effects, name) for part, name in zip(parts, names, strict=True))
    _unique([leaf.name for leaf in leaves], f"names of the parts of {what}")
    return Check("conjunction", leaves, exists)


def _study_files(folder: str | Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (study, fields of its file) in the order of their names; BadInput where there is no file, or a bad one."""
    where = Path(folder or project_root() / "claims")
    paths = sorted(where.glob("*.yaml"))
    if not paths:
        _refuse("claims", str(where), "a folder with a <study>.yaml for each study", "state the claims there first")
    for path in paths:
        yield path.stem, _study_file(path)


def _study_file(path: Path) -> dict[str, Any]:
    raw = _parsed(read_text(path), path.name)
    entry = _fields(raw, path.name, {"study", "title", "question", "claims"}, SHARED)
    for name in ("title", "question"):
        _text(entry, name, SENTENCE, path.name)
    if "lead" in entry:
        _text(entry, "lead", NAME, path.name)
    if "gates" in entry:
        _gates(entry["gates"], f"gates in {path.name}")
    if _number(entry.get("fresh", FRESH), f"fresh in {path.name}") not in range(FRESH, TUNING):
        _refuse(f"fresh in {path.name}", entry["fresh"], f"a seed from {FRESH} on", "those below are judged")
    if entry["study"] != path.stem:
        _refuse(f"study in {path.name}", entry["study"], repr(path.stem), "it is the name of the file")
    if not isinstance(entry["claims"], list):
        _refuse(f"claims in {path.name}", entry["claims"], "a list of claims", "start every claim with '- id:'")
    return entry


def _gates(raw: object, what: str) -> None:
    """Refuse gates that are no names with words."""
    for name in (entry := _fields(raw, what, set(), raw if isinstance(raw, Mapping) else ())):
        _text({"name": name}, "name", NAME, f"a gate in {what}")
        _text(entry, name, SENTENCE, what)


@lru_cache(maxsize=32)
def _parsed(text: str, name: str) -> Any:
    return parsed_yaml(text, name)  # nobody changes what it returns


def _claims_of(study: str, entry: Mapping[str, Any]) -> Iterator[Claim]:
    """Yield the claims of a study's file, each with the defaults of the file."""
    shared = _fields(entry.get("defaults", {}), f"defaults in {study}.yaml", set(), FIELDS - {"id", "study"})
    effects = _effects(entry["effects"], f"effects in {study}.yaml") if "effects" in entry else None
    for number, raw in enumerate(entry["claims"]):
        what = f"claim number {number + 1} in {study}.yaml"
        own = _fields(raw, what, {"id"}, FIELDS - {"study"})
        reasons = [_fields(each.get("not_run", {}), f"not_run of {what}", set(), LEDGER) for each in (shared, own)]
        yield parse_claim({**shared, **own, "study": study, "not_run": reasons[0] | reasons[1]}, what, effects)


def _effects(raw: object, what: str) -> Effects:
    """Return {unit: (delta, because)}; BadInput for unknown units, margins that are none, or no reason."""
    found = {}
    for unit, stated in _fields(raw, what, set(), UNITS).items():
        entry = _fields(stated, f"{unit} in {what}", {"delta", "because"})
        _text(entry, "because", SENTENCE, f"{unit} in {what}")
        delta = _number(entry["delta"], f"delta of {unit} in {what}")
        if delta <= 0:
            _refuse(f"delta of {unit} in {what}", delta, "> 0", "name the smallest effect that would matter")
        found[unit] = delta, entry["because"]
    return found


def _override(raw: object, what: str, effects: Effects | None, exists: bool) -> Check:
    return parse_check(_fields(raw, what, {"check"})["check"], what, effects, exists)


def _with_margin(leaf: Leaf, effects: Effects | None, what: str) -> Leaf:
    """Return the part with the smallest effect of interest of its unit, where it claims a direction and has none."""
    if effects is None or leaf.of == "ours" or leaf.kind not in ("greater", "less") or "delta" in leaf.bounds:
        return leaf
    if leaf.unit not in effects:
        remedy = "name the smallest effect that would matter, with its reason, or give the part its own delta"
        _refuse(f"unit of {what}", leaf.unit, f"one in effects: {sorted(effects)}", remedy)
    delta, because = effects[leaf.unit]
    told = " ".join(part for part in (leaf.because, f"No effect within {delta:g}: {because}") if part)
    return dataclasses.replace(leaf, bounds=leaf.bounds | {"delta": delta}, because=told)


def _leaf(raw: object, what: str) -> Leaf:
    kind = raw.get("kind") if isinstance(raw, Mapping) else None
    numbers, optional = BOUNDS.get(str(kind), ((), ()))
    claimed = {"claimed"} if kind == "two_sided" else set()
    entry = _fields(
        raw, what, {"kind", "statistic", "unit", *numbers}, {"name", "says", *optional, *claimed, *OPTIONAL}
    )
    entry = {
        "name": entry["statistic"],
        "claimed": "",
        "of": "source",
        **dict.fromkeys(("reading", "because", "scale"), ""),
        **entry,
    }
    allowed = {"kind": "|".join(BOUNDS), "unit": "|".join(UNITS), "claimed": "positive|negative|", **OPTIONAL}
    for name, pattern in {**allowed, "statistic": NAME, "name": NAME}.items():
        _text(entry, name, pattern, what)
    if "says" in entry:
        _text(entry, "says", SENTENCE, what)
    stated = [name for name in (*numbers, *optional) if name in entry]
    bounds = {name: _number(entry[name], f"{name} of {what}") for name in stated}
    if bounds.get("delta", 1.0) <= 0 or (kind == "interval" and bounds["low"] > bounds["high"]):
        _refuse(f"bounds of {what}", bounds, "delta > 0 and low <= high", "correct the numbers")
    if entry["of"] == "ours" and not entry["because"]:
        _refuse(f"because of {what}", "", "a reason", "say why a part that the source does not state is measured")
    own = {name: entry[name] for name in ("name", "kind", "statistic", "unit", "claimed", *OPTIONAL)}
    return Leaf(bounds=bounds, says=" ".join(entry.get("says", "").split()), **own)


def _fields(raw: object, what: str, required: set[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Return `raw` as a dict that has every required and no unknown field; prose is refused."""
    if not isinstance(raw, Mapping):
        example = "{kind: greater, statistic: rise, than: 0, unit: pp}"
        _refuse(what, raw, "named fields, never prose", f"write e.g. {example}")
    missing, unknown = sorted(required - set(raw)), sorted(set(raw) - required - set(optional), key=str)
    if missing or unknown:
        allowed = f"fields {sorted({*required, *optional})}"
        _refuse(what, dict(raw), allowed, f"Missing: {missing}; unknown: {unknown}")
    return dict(raw)


def _text(entry: Mapping[str, Any], name: str, pattern: str, what: str) -> None:
    if not (isinstance(entry[name], str) and re.fullmatch(pattern, entry[name])):
        _refuse(f"{name} of {what}", entry[name], f"text that matches {pattern}", "correct it in claims/")


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        _refuse(what, value, "a finite number", "YAML reads 1e-3 as text: write 0.001 or 1.0e-3")
    return float(value)


def _unique(names: list[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        _refuse(what, twice, "unique names", "rename or merge them")


def _refuse(what: str, value: object, allowed: str, remedy: str) -> NoReturn:
    raise BadInput.of(what, value, allowed, remedy)


def _record(claim: Claim, profile: str, verdict: str, reason: str) -> Record:
    return Record(
        id=claim.id,
        study=claim.study,
        scale=LEDGER[check_profile(profile)],
        profile=profile,
        verdict=verdict,
        reason=reason,
        prior=claim.prior,
    )


def _plumbing(decision: Decision) -> Decision:
    """Return `decision` without verdicts: a smoke run proves that the evidence arrives, and no more."""
    reason = f"evidence arrived for {', '.join(part.name for part in decision.parts)}; no verdict at smoke"
    parts = (dataclasses.replace(part, verdict="plumbing_ok", reason="") for part in decision.parts)
    return Decision("plumbing_ok", reason, tuple(parts))


def _tested(row: Row) -> bool:
    """Return whether the record rests on a test that its setting allowed."""
    return row["verdict"] in DECIDED and all(row["adequacy"].values())


def _counting(row: Row) -> list[Mapping[str, Any]]:
    """Return the parts of a record that decide: those of the source that claim a range."""
    return [part for part in row["parts"] if part["threshold"] and part.get("of", "source") == "source"]


def _one_profile(rows: Iterable[Row]) -> list[Row]:
    """Return the rows as a list; BadInput where they mix profiles, which are never merged."""
    listed = list(rows)
    profiles = sorted({row["profile"] for row in listed})
    if len(profiles) > 1:
        _refuse("profiles", profiles, "one profile", "summarise every profile in its own column")
    return listed


def _plain(value: Any) -> Any:
    """Return `value` for JSON; 10 significant digits: a difference in the last bits changes no byte."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") + 0.0 if isfinite(value) else None
    return value
