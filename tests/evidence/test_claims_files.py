"""claims/ states all 148 claims of the ledger as data: known ids and values, numbers, not prose, nothing twice."""

import re
from math import isfinite
from pathlib import Path

import pytest
import yaml

from redlib.evidence.claims import load_claims, load_studies
from redlib.evidence.verdicts import Leaf

ROOT = Path(__file__).resolve().parents[2]
IDS = (ROOT / "tests" / "claim_ids.txt").read_text().split()
FILES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "claims").glob("*"))}
CLAIMS = [claim for file in FILES.values() for claim in file["claims"]]  # as they are written, without the defaults
PARSED = load_claims(ROOT / "claims")
LEDGER = [claim for claim in CLAIMS if claim["id"] in IDS]  # a study of one's own may add claims of its own

# The numbers of the starred claims of the ledger, family by family.
STARRED = {
    "DD": [1, 2, 5, 6, 14, 16, 17],
    "GEN": [1, 5, 7, 9, 10, 12, 14],
    "LTH": [1, 2, 7, 8, 9, 11, 12, 13, 17, 20, 21, 23, 24, 26, 28, 31, 35],
    "NC": [1, 2, 5, 7, 9],
    "RMT": [0, 1, 5, 7, 8, 11, 12, 13, 15, 18, 21, 22],
    "BLUR": [1, 3, 4, 5, 9],
    "LAND": [1, 4, 6, 8, 9, 11],
    "UNIT": [1, 2, 4, 5, 7],
}
STUDY_OF = {
    "DD": "01_double_descent",
    "NC": "04_neural_collapse",
    "RMT": "05_mean_field_rmt",
    "BLUR": "06_mislabel_blurring",
    "GEN": "07_generalization",
    "UNIT": "08_redundant_units",
    "LAND": "09_loss_landscape",
}
LTH_OF_STUDY_3 = {21, 22, *range(26, 33)}
TEXTS = {"id", "statement", "source", "reported", "evidence", "prior", "prior_note", "figure", "rewritten"}
REQUIRED = {"id", "statement", "source", "prior"}
OPTIONAL = TEXTS | {"primary", "check", "errata", "profiles", "not_run", "untestable", "exists", "timed"}
BOUNDS = {  # kind -> (required numbers, optional numbers)
    "greater": ({"than"}, {"delta"}),
    "less": ({"than"}, {"delta"}),
    "interval": ({"low", "high"}, set()),
    "equivalence": ({"delta"}, {"centre"}),
    "two_sided": ({"zero"}, set()),
    "descriptive": (set(), set()),
}
UNITS = ("pp", "ratio", "log2", "nats", "count", "probability", "slope", "distance", "correlation", "z",
         "seconds", "none")  # fmt: skip
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


def study_of(claim_id: str) -> str:
    """Return the notebook a claim belongs to; the LTH family is split over two."""
    family, number = claim_id.split("-")
    if family == "LTH":
        return "03_pruning" if int(number) in LTH_OF_STUDY_3 else "02_lottery_tickets"
    return STUDY_OF[family]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def leaf_problems(leaf: dict) -> list[str]:
    """Return what is wrong with one leaf of a check, [] if nothing; it has a name only where its statistic is none."""
    if not isinstance(leaf, dict) or leaf.get("kind") not in BOUNDS:
        return [f"no kind: {leaf}"]
    needed, allowed = BOUNDS[leaf["kind"]]
    texts = {"kind", "statistic", "unit"}
    extra = {"name", "of", "reading", "because", "scale", "says"} | (
        {"claimed"} if leaf["kind"] == "two_sided" else set()
    )
    found = [f"missing {key}" for key in sorted((texts | needed) - set(leaf))]
    found += [f"unknown {key}" for key in sorted(set(leaf) - texts - needed - allowed - extra)]
    found += [f"{key} is not a finite number" for key in sorted(needed | allowed)
              if key in leaf and not is_number(leaf[key])]  # fmt: skip
    found += [f"{key} is prose" for key in ("name", "statistic")
              if key in leaf and not IDENTIFIER.fullmatch(str(leaf[key]))]  # fmt: skip
    found += ["the name is that of the statistic"] if leaf.get("name") == leaf.get("statistic") else []
    found += ["unknown unit"] if leaf.get("unit") not in UNITS else []
    found += ["claimed side"] if leaf.get("claimed", "positive") not in ("positive", "negative") else []
    return found or bound_problems(leaf)


def bound_problems(leaf: dict) -> list[str]:
    empty = leaf["kind"] == "interval" and leaf["low"] > leaf["high"]
    return ["empty region"] if empty or leaf.get("delta", 1) <= 0 else []


def problems(check: dict) -> list[str]:
    """Return what is wrong with a whole check: its leaves, and for a conjunction also its shape and names."""
    if not isinstance(check, dict) or check.get("kind") != "conjunction":
        return leaf_problems(check)
    parts = check.get("parts")
    if set(check) != {"kind", "parts"} or not isinstance(parts, list) or len(parts) < 2:
        return ["a conjunction has two or more parts and nothing else"]
    found = [problem for part in parts for problem in leaf_problems(part)]
    names = [part.get("name", part.get("statistic")) for part in parts if isinstance(part, dict)]
    return found + ([] if len(set(names)) == len(names) else ["two parts share a name"])


def all_checks() -> list[tuple[str, dict]]:
    """Return (label, check) of every claim and of every override by a profile."""
    checks = [(claim["id"], claim["check"]) for claim in CLAIMS if "check" in claim]
    for claim in CLAIMS:
        overrides = claim.get("profiles", {}).items()
        checks += [(f"{claim['id']} at {profile}", override["check"]) for profile, override in overrides]
    return checks


def test_the_ids_are_those_of_the_ledger_in_its_order():
    assert len(IDS) == 148
    assert [claim["id"] for claim in LEDGER] == IDS


def test_every_study_has_a_file_with_its_title_and_question():
    assert [int(study[:2]) for study in FILES][:9] == list(range(1, 10))
    assert {study: file["study"] for study, file in FILES.items()} == {study: study for study in FILES}
    assert [study for study, about in load_studies(ROOT / "claims").items() if not about.question.endswith("?")] == []


def test_every_claim_has_the_required_fields_and_none_that_is_unknown_empty_or_a_default():
    wrong = {claim["id"]: (REQUIRED - set(claim), set(claim) - OPTIONAL) for claim in CLAIMS}
    assert {id_: fields for id_, fields in wrong.items() if any(fields)} == {}
    assert [c["id"] for c in CLAIMS if not all(isinstance(c.get(name, ""), str) for name in TEXTS)] == []
    assert [c["id"] for c in CLAIMS if not all(c.values())] == []
    repeated = []
    for file in FILES.values():
        shared = file.get("defaults", {}).get("not_run", {}).items()
        repeated += [c["id"] for c in file["claims"] if shared & c.get("not_run", {}).items()]
    assert repeated == []


def test_every_claim_belongs_to_the_study_of_its_family():
    assert {id_: PARSED[id_].study for id_ in IDS} == {id_: study_of(id_) for id_ in IDS}


def test_the_primary_claims_are_the_starred_ones():
    starred = {f"{family}-{number}" for family, numbers in STARRED.items() for number in numbers}
    assert {claim["id"] for claim in LEDGER if claim.get("primary") is True} == starred
    assert [claim["id"] for claim in CLAIMS if claim.get("primary", True) is not True] == []


def test_forecasts_evidence_figures_and_errata_use_the_known_values():
    evidence = r"|(V([1-9]|1\d|2[0-6])|V10b|S|C|M)(, (V([1-9]|1\d|2[0-6])|V10b|S|C|M))*"
    errata = {f"E{number}" for number in range(1, 14)}
    for claim in PARSED.values():
        assert claim.prior in ("R", "P", "D", "X", "E"), claim.id
        assert re.fullmatch(evidence, claim.evidence), (claim.id, claim.evidence)
        assert re.fullmatch(r"|[a-z][A-Za-z0-9_]*", claim.figure), (claim.id, claim.figure)
        assert set(claim.errata) <= errata, (claim.id, claim.errata)


def source_leaves() -> list[tuple[str, Leaf]]:
    """Return (claim, leaf) of every part, at every profile, of a file whose directions have margins."""
    judged = {study for study, file in FILES.items() if "effects" in file}
    return [
        (claim.id, leaf)
        for claim in PARSED.values()
        if claim.study in judged
        for check in (claim.check, *claim.profiles.values())
        if check
        for leaf in check.parts
        if leaf.of == "source"
    ]


def test_what_the_source_does_not_say_in_numbers_says_where_its_bound_comes_from():
    unexplained = [
        (id_, leaf.name)
        for id_, leaf in source_leaves()
        if leaf.region and not leaf.because and any(leaf.bounds.get(name, 0) for name in leaf.bounds if name != "zero")
    ]
    assert unexplained == []


def test_every_direction_of_a_source_can_come_out_as_no_effect():
    assert [(id_, leaf.name) for id_, leaf in source_leaves() if leaf.kind in ("greater", "less")
            and leaf.null_region is None] == []  # fmt: skip


def test_every_check_and_every_override_is_structured_data():
    assert {label: found for label, check in all_checks() if (found := problems(check))} == {}


def test_an_override_belongs_to_an_evidence_profile_and_changes_something():
    for claim in CLAIMS:
        for profile, override in claim.get("profiles", {}).items():
            assert profile in ("laptop", "mnist", "paper"), claim["id"]
            assert set(override) == {"check"}, claim["id"]
            assert override["check"] != claim["check"], claim["id"]


def test_only_the_claim_without_a_possible_test_has_no_check():
    assert [claim["id"] for claim in CLAIMS if claim.get("untestable")] == ["BLUR-15"]
    assert [claim["id"] for claim in CLAIMS if "check" not in claim] == ["BLUR-15"]


def test_reasons_for_not_running_name_an_evidence_profile():
    for claim in PARSED.values():
        for profile, reason in claim.not_run.items():
            assert profile in ("laptop", "mnist", "paper"), claim.id
            assert len(reason) > 10, claim.id
    laptop = {claim.id for claim in PARSED.values() if "laptop" in claim.not_run}
    assert {"BLUR-5", "BLUR-7"} <= laptop  # digits cannot tell the rates around the claimed transition apart


def test_statements_are_short_unique_sentences():
    statements = [claim["statement"] for claim in CLAIMS]
    assert len(set(statements)) == len(statements)
    assert [s for s in statements if not s.endswith(".") or s != s.strip() or len(s) >= 300] == []


PART = {"kind": "descriptive", "statistic": "gain", "unit": "pp"}


@pytest.mark.parametrize(
    "check",
    [
        "accuracy rises",
        {"kind": "greater", "statistic": "accuracy gain", "than": 0, "unit": "pp"},
        {"kind": "greater", "statistic": "gain", "than": "zero", "unit": "pp"},
        {"kind": "greater", "statistic": "gain", "than": float("nan"), "unit": "pp"},
        {"kind": "greater", "statistic": "gain", "than": 0, "unit": "percent"},
        {"kind": "greater", "statistic": "gain", "than": 0, "unit": "pp", "note": "if wide"},
        {"kind": "less", "statistic": "gain", "unit": "pp"},
        {"kind": "interval", "statistic": "gain", "low": 2, "high": 1, "unit": "pp"},
        {"kind": "equivalence", "statistic": "gain", "delta": 0, "unit": "pp"},
        {"kind": "two_sided", "statistic": "gain", "zero": 0, "unit": "pp", "claimed": "upwards"},
        {"kind": "conjunction", "parts": [PART]},
        {"kind": "conjunction", "parts": [PART] * 2},
        {"kind": "conjunction", "parts": [{**PART, "name": "harm"}] * 2},
        {"kind": "conjunction", "parts": [{**PART, "name": "gain"}, {**PART, "name": "harm"}]},
    ],
)
def test_prose_and_broken_bounds_are_reported(check):
    assert problems(check) != []


def test_the_loader_accepts_the_files():
    assert [id_ for id_ in PARSED if id_ in IDS] == IDS and len(PARSED) == len(CLAIMS)
