"""results/<profile>/history.jsonl: a line for every judged run of a claim that came to something else than the last.

Written by the machinery when a study is published or confirmed, never by hand. A line says when and at which commit, by
which check and settings (digests), what came out, and what had changed since the line before. Lines of a confirmation
say so (`block`); those of the two blocks follow each other, and each has its own line before.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redlib.evidence.claims import Claim, load_claims
from redlib.evidence.confirmation import JUDGED
from redlib.evidence.files import locked, write_atomic
from redlib.evidence.paths import outputs, project_root
from redlib.evidence.provenance import git_output, git_state
from redlib.evidence.reading import read_text
from redlib.report.records import Row, parse_records, read_history, read_records
from redlib.report.status import Inputs, reasons

OUTCOME = ("verdict", "estimate", "ci95")
SAME = (*OUTCOME, "check", "settings")  # where all of these are as before, nothing new was judged


def append(
    profile: str,
    studies: Sequence[str],
    then: Mapping[str, Inputs],
    now: Mapping[str, Inputs],
    block: str = JUDGED,
) -> int:
    """Append what these studies came to where it is new, with why by their inputs `then` and `now`; return how many."""
    records = [row for row in read_records(profile, block) if row["study"] in studies]
    claims, (commit, dirty) = load_claims(), git_state()
    known = {id: of_block(lines, block) for id, lines in read_history(profile).items()}
    told = {"date": datetime.date.today().isoformat(), "commit": f"{commit[:7]}{'+' * bool(dirty)}" if commit else None}
    told |= {} if block == JUDGED else {"block": block}
    lines = []
    for row in records:
        study = row["study"]
        why = _why(then.get(study), now[study], bool(known.get(row["id"])))
        rules = {"check": digest(_stated(claims[row["id"]], profile)), "settings": digest(now[study]["parameters"])}
        lines += _line(row, known, told | rules, why)
    _write(profile, lines)
    return len(lines)


def from_git(profile: str) -> int:
    """Append a line for every change of a verdict or an estimate in the committed claims.jsonl; return how many.

    The subject of the commit says why. Only where there is no history yet: what is there is never rewritten.
    """
    path = outputs(profile).results.relative_to(project_root()).as_posix() + "/claims.jsonl"
    told = git_output("log", "--reverse", "--format=%h %ad %s", "--date=short", "--", path) or ""
    known: dict[str, list[Row]] = {}
    lines: list[Row] = []
    for commit, date, subject in (line.split(" ", 2) for line in told.splitlines() if not read_history(profile)):
        for row in parse_records(git_output("show", f"{commit}:{path}") or "", f"{path} at {commit}"):
            lines += _line(row, known, {"date": date, "commit": commit, "check": None, "settings": None}, subject)
    _write(profile, lines)
    return len(lines)


def digest(value: object) -> str:
    """Return 8 hex digits of SHA-256 of the value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


def of_block(lines: Iterable[Row], block: str) -> list[Row]:
    """Return the lines that are about a block."""
    return [line for line in lines if line.get("block", JUDGED) == block]


def unexplained(records: Iterable[Row], known: Mapping[str, Sequence[Row]], block: str = JUDGED) -> list[str]:
    """Return the ids of a block's records whose verdict is not that of its last line in their history."""
    last = {id: of_block(lines, block)[-1:] for id, lines in known.items()}
    return [row["id"] for row in records if [line["verdict"] for line in last.get(row["id"], ())] != [row["verdict"]]]


def _stated(claim: Claim, profile: str) -> Any:
    """Return what a check asks for; how a part is said to a reader is no part of it."""
    if claim.untestable:
        return None
    check = dataclasses.asdict(claim.check_for(profile))
    return check | {"parts": [{k: v for k, v in part.items() if k != "says"} for part in check["parts"]]}


def _why(then: Inputs | None, now: Inputs, judged: bool) -> str:
    """Return in words what changed since the claim was judged last."""
    if then is None or not judged:
        return "first run"
    changed = reasons(then, now)
    return f"{'; '.join(changed)} changed" if changed else "another machine, or other packages"


def _line(row: Row, known: dict[str, list[Row]], told: Mapping[str, Any], why: str) -> list[Row]:
    """Return [the line of a record], noted in `known`; [] where the last line says the same."""
    line = {"id": row["id"], **told, **{name: row.get(name) for name in OUTCOME}, "why": why}
    last = known.setdefault(row["id"], [])
    if last and all(last[-1].get(name) == line[name] for name in SAME):
        return []
    last.append(line)
    return [line]


def _write(profile: str, lines: Sequence[Row]) -> None:
    """Append the lines to the file of a profile."""
    if not lines:
        return
    path = outputs(profile).results / "history.jsonl"
    with locked(project_root() / "build" / "locks" / f"{profile}.lock"):
        before = read_text(path) if path.exists() else ""
        write_atomic(path, (before + "".join(json.dumps(line) + "\n" for line in lines)).encode())
