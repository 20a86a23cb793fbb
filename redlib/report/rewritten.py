"""Checks that were rewritten, side by side: the old check, the new one on the same seeds, the new one on fresh ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redlib.evidence.claims import Claim
from redlib.evidence.confirmation import JUDGED
from redlib.report.history import of_block
from redlib.report.records import Row

COLUMNS = ("old", "same", "fresh")


def side_by_side(
    claims: Mapping[str, Claim], rows: Iterable[Row], fresh: Iterable[Row], history: Mapping[str, Sequence[Row]]
) -> list[dict[str, Any]]:
    """Return {claim, old, same, fresh} of every claim whose check was rewritten and has judged `rows` since.

    old: the last verdict of a check that has no digest, which is one from before the machinery kept them; None where
    there was none. fresh: None where these seeds have not been run.
    """
    again = {row["id"]: row["verdict"] for row in fresh}
    found = []
    for row in rows:
        claim, lines = claims[row["id"]], of_block(history.get(row["id"], ()), JUDGED)
        before = [line["verdict"] for line in lines if line.get("check") is None]
        if claim.rewritten and len(before) < len(lines):
            verdicts = ((before or [None])[-1], row["verdict"], again.get(row["id"]))
            found.append({"claim": claim, **dict(zip(COLUMNS, verdicts, strict=True))})
    return found


def tallies(found: Sequence[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Return how often each verdict stands in each column that has any."""
    counted = {name: Counter(one[name] for one in found if one[name]) for name in COLUMNS}
    return {name: count for name, count in counted.items() if count}
