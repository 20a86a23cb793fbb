"""A reader who searches a study for a claim, a part or a statistic finds it: claims.py spells what claims/ asks for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from redlib.evidence.claims import Claim, load_claims, parse_claim
from redlib.evidence.paths import EVIDENCE_PROFILES

FILES = sorted((Path(__file__).parents[2] / "redlib" / "studies").glob("*/claims.py"))


def never_run(claim: Claim) -> bool:
    """Return whether no profile could give a verdict on the claim."""
    return claim.untestable or set(EVIDENCE_PROFILES) <= set(claim.not_run)


def unspelt(text: str, claims: Iterable[Claim]) -> list[str]:
    """Return the names of statistics and parts, of all profiles' checks, that are no word of `text`."""
    checks = [check for claim in claims for check in (claim.check, *claim.profiles.values()) if check]
    names = {name: None for check in checks for leaf in check.parts for name in (leaf.statistic, leaf.name)}
    return [name for name in names if not re.search(rf"\b{name}\b", text)]


def without_function(text: str, claims: Iterable[Claim]) -> list[str]:
    """Return the ids of claims for which `text` defines no function: LTH-1 asks for lth_1."""
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    return [claim.id for claim in claims if claim.id.lower().replace("-", "_") not in defined]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_study_spells_every_claim_part_and_statistic_of_its_file(path):
    claims = [claim for claim in load_claims().values() if claim.study[3:] == path.parent.name]
    assert claims, "the folder is named as its claims file, without the number"
    text, tried = path.read_text(encoding="utf-8"), [claim for claim in claims if not never_run(claim)]
    assert (unspelt(text, tried), without_function(text, tried)) == ([], [])


CHECK = {"kind": "conjunction", "parts": [
    {"kind": "greater", "statistic": "gain", "than": 0, "unit": "pp"},
    {"kind": "less", "name": "not_much", "statistic": "gain", "than": 9, "unit": "pp"},
]}  # fmt: skip
ENTRY = {"id": "DD-1", "study": "01_double_descent", "statement": "It gains.", "source": "S1", "prior": "R"}


def test_what_is_not_spelt_or_has_no_function_is_reported():
    there = {"check": {"kind": "greater", "statistic": "gain_there", "than": 0, "unit": "pp"}}
    claim = parse_claim({**ENTRY, "check": CHECK, "profiles": {"paper": there}})
    whole = 'def dd_1(runs):\n    return {"gain": 1, "not_much": 1, "gain_there": 2}\n'
    assert (unspelt(whole, [claim]), without_function(whole, [claim])) == ([], [])
    made = 'def dd_10(runs):\n    return {f"{name}_there": 1 for name in ("gain",)} | {"not_" + "much": 1}\n'
    assert (unspelt(made, [claim]), without_function(made, [claim])) == (["not_much", "gain_there"], ["DD-1"])


@pytest.mark.parametrize("profiles, never", [(["laptop", "mnist", "paper"], True), (["laptop", "paper"], False)])
def test_a_claim_that_no_profile_runs_is_exempt(profiles, never):
    reasons = dict.fromkeys(profiles, "needs a GPU")
    assert never_run(parse_claim({**ENTRY, "check": CHECK, "not_run": reasons})) is never
    assert never_run(parse_claim({**ENTRY, "untestable": True}))
