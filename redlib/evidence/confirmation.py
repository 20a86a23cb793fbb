"""The confirmation block: every verdict taken again on seeds that nobody has looked at.

Verdicts are judged on the seeds 0, 1, …; `make confirm` runs the same notebooks with the same number of seeds and the
parameter `first` that the study's file of claims says (`fresh`, else 10). Its records have a file of their own. Of a
claim that both blocks have, the pages say

    confirmed     the same verdict on both: replicated, contradicted, no effect, not seen here, and partly replicated
                  where the same parts hold and fail
    fragile       both blocks decide, and not alike: opposite directions, an effect and none, or a part that holds on
                  one block and fails on the other
    undecided     inconclusive on a block, or the same verdict by different parts
    fresh         the check was rewritten after the first block was seen: the confirmation alone judges it
    exploratory   such a check, before there is a confirmation
    outdated      the confirmation had another check, or shares seeds with the first block

and nothing where there is no decision to confirm: descriptive, not run, or a quoted count, which is one for both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redlib.errors import BadInput
from redlib.evidence.claims import Claim, load_studies
from redlib.evidence.verdicts import DECIDED, FAILED

Row = Mapping[str, Any]  # one line of claims.jsonl or confirmation.jsonl, parsed

JUDGED, CONFIRMATION = "judged", "confirmation"
RECORDS = {JUDGED: "claims.jsonl", CONFIRMATION: "confirmation.jsonl"}  # by block, in results/<profile>
VARIABLE = "REDLIB_BLOCK"
STANDINGS = ("confirmed", "fragile", "undecided", "fresh", "exploratory", "outdated")
SEEN = (*DECIDED, "descriptive")  # verdicts that have numbers to show


@dataclass(frozen=True)
class Both:
    """The blocks of one claim: the record whose verdict counts, that of the other block, how they stand together.

    `beside` is None, and `standing` "", where there is nothing to set against `row`.
    """

    row: Row
    beside: Row | None = None
    standing: str = ""


def block() -> str:
    """Return the block that this process computes: what `REDLIB_BLOCK` says, else "judged"; BadInput for others."""
    named = os.environ.get(VARIABLE) or JUDGED
    if named not in RECORDS:
        raise BadInput.of(VARIABLE, named, " | ".join(RECORDS), "unset it: make confirm sets it")
    return named


def first_seed(study: str) -> int:
    """Return the first seed of a study's confirmation; judged seeds lie below. BadInput for an unknown study."""
    known = load_studies()
    if study not in known:
        raise BadInput.named("study", study, sorted(known), "pass the name of the notebook's file")
    return known[study].fresh


def key(study: str, block: str) -> str:
    """Return the name of a study's block in inputs.json: the study's own name for the judged one."""
    return study if block == JUDGED else f"{study}+{block}"


def compare(row: Row, other: Row) -> str:
    """Return how the record of a claim and that of its confirmation stand together; see the module.

    "confirmed", "fragile", "undecided", "outdated", or "" where no decision was there to confirm.
    """
    if row["verdict"] not in SEEN or other["verdict"] not in SEEN:
        return ""
    if _stated(row) != _stated(other) or {*row.get("seeds", ())} & {*other.get("seeds", ())}:
        return "outdated"
    verdicts = {row["verdict"], other["verdict"]}
    if "descriptive" in verdicts or _without_seeds(row, other):
        return ""
    if "inconclusive" in verdicts:
        return "undecided"
    return "fragile" if len(verdicts) > 1 else _alike(row, other)


def both(row: Row, other: Row | None, rewritten: bool = False) -> Both:
    """Return the blocks of a claim; `rewritten`: its check was written after the seeds of `row` were seen."""
    found = compare(row, other) if other is not None else ""
    if other is not None and not found and {row["verdict"], other["verdict"]} <= {*DECIDED}:
        return Both(row)  # a quoted count: fresh seeds say nothing on it
    if rewritten and row["verdict"] in DECIDED and found in ("confirmed", "fragile", "undecided"):
        return Both(other or row, row, "fresh")
    if found == "outdated":
        return Both(row, None, found)
    if rewritten and row["verdict"] in DECIDED and not found:
        return Both(row, None, "exploratory")
    seen = other is not None and row["verdict"] in SEEN and other["verdict"] in SEEN
    return Both(row, other if seen else None, found)


def together(claims: Mapping[str, Claim], rows: Iterable[Row], others: Iterable[Row] = ()) -> dict[str, Both]:
    """Return the blocks by claim, for every record of the judged block, in their order; `others` are confirmations."""
    known = {other["id"]: other for other in others}
    rewritten = {id for id, claim in claims.items() if claim.rewritten}
    return {row["id"]: both(row, known.get(row["id"]), row["id"] in rewritten) for row in rows}


def standings(found: Iterable[Both]) -> dict[str, int]:
    """Return how many claims stand in each way, in the order of STANDINGS, zeros left out."""
    every = [one.standing for one in found]
    return {name: every.count(name) for name in STANDINGS if name in every}


def _stated(row: Row) -> list[tuple[Any, ...]]:
    """Return what the check of a record asked for, part by part."""
    asked = ("name", "kind", "threshold", "of", "reading")
    return [tuple(part.get(name) for name in asked) for part in row.get("parts", ())]


def _without_seeds(row: Row, other: Row) -> bool:
    """Return whether no number that decides comes from seeds: a quoted count is the same on any of them."""
    drawn = [(one.get("per_seed") or {}).get(part["name"]) for one in (row, other) for part in _counting(one)]
    first, second = ([(part.get("estimate"), part.get("ci95")) for part in _counting(one)] for one in (row, other))
    return not any(drawn) and first == second


def _alike(row: Row, other: Row) -> str:
    """Return how two records of one verdict stand together: did the same parts make it?"""
    twins = zip(_counting(row), _counting(other), strict=True)
    pairs = {own["name"]: {own["verdict"], its["verdict"]} for own, its in twins}
    held = {name for name, pair in pairs.items() if pair == {"replicated"}}
    if row["verdict"] == "partly":
        if any("replicated" in pair and pair & {*FAILED} for pair in pairs.values()):
            return "fragile"
        return "confirmed" if held and any(pair <= {*FAILED} for pair in pairs.values()) else "undecided"
    if row["verdict"] != "replicated":
        return "confirmed"
    return "confirmed" if any(held >= names for names in _readings(row)) else "undecided"


def _counting(row: Row) -> list[Mapping[str, Any]]:
    """Return the parts of a record that decide: see `verdicts.counting`."""
    own = [part for part in row["parts"] if part.get("of", "source") == "source"] or list(row["parts"])
    return [part for part in own if part.get("threshold")] or own


def _readings(row: Row) -> list[set[str]]:
    """Return the names of the parts that each way to read the source asks for; all, where there is but one way."""
    parts = _counting(row)
    ways = sorted({part.get("reading") or "" for part in parts} - {""}) or [""]
    return [{part["name"] for part in parts if (part.get("reading") or "") in ("", way)} for way in ways]
