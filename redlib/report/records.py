"""What a profile's results say: records, runs and history, read from results/<profile> and checked."""

from __future__ import annotations

from typing import Any

from redlib.errors import BadInput
from redlib.evidence.claims import VERDICTS
from redlib.evidence.confirmation import JUDGED, RECORDS
from redlib.evidence.paths import outputs
from redlib.evidence.reading import RESTORE, json_lines, read_json, read_text

Row = dict[str, Any]


def read_records(profile: str, block: str = JUDGED) -> list[Row]:
    """Return the lines of a block's file in results/<profile>, parsed; empty where there is none.

    The judged block lies in claims.jsonl, the confirmation in confirmation.jsonl.
    """
    path = outputs(profile).results / RECORDS[block]
    return parse_records(read_text(path), f"{profile}/{path.name}") if path.exists() else []


def parse_records(text: str, what: str = "claims.jsonl") -> list[Row]:
    """Return one dict for each line of a claims.jsonl; BadInput, with the line, for what is no record."""
    rows = json_lines(text, what, ("id", "study", "verdict"))
    for row in rows:
        if row["verdict"] not in VERDICTS:
            raise BadInput.of(f"verdict of {row['id']} in {what}", row["verdict"], " | ".join(VERDICTS), RESTORE)
    return rows


def read_runs(profile: str) -> dict[str, Any]:
    """Return results/<profile>/runs.json, how each study was run; empty where there are no results."""
    return read_json(outputs(profile).results / "runs.json")


def read_history(profile: str) -> dict[str, list[Row]]:
    """Return the lines of a profile by claim, of both blocks, oldest first; {} where nothing was ever judged."""
    path = outputs(profile).results / "history.jsonl"
    found: dict[str, list[Row]] = {}
    for line in json_lines(read_text(path), path.name, ["id", "verdict"]) if path.exists() else ():
        found.setdefault(line["id"], []).append(line)
    return found
