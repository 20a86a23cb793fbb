"""This run against the committed one: every estimate that left its interval, every verdict that changed."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from typing import Any

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims, load_studies
from redlib.evidence.instructions import FIXED
from redlib.evidence.paths import outputs, project_root
from redlib.evidence.reading import parsed_json
from redlib.report.profiles import studies
from redlib.report.records import Row, parse_records, read_records, read_runs

ROUNDING = "Other instructions round otherwise, and training magnifies that: "
THINK = {  # what to think of each class: where both runs had the fixed instruction set, and where not
    "same bits": ("", ""),
    "moved inside the interval": (
        "The code, a setting or a package changed, or this processor orders sums otherwise; no verdict rests on it.",
        f"{ROUNDING}expected, and no verdict rests on it.",
    ),
    "moved outside the interval": (
        "The code, a setting or a package changed what is measured: find out which before you commit.",
        f"{ROUNDING}about one estimate in twenty leaves its interval by chance; more mean that something changed.",
    ),
    "moved with the machine's clock": ("Times of a machine: expected.", "Times of a machine: expected."),
    "verdict changed": (
        "The code, a setting or a package changed a verdict: say why in the commit.",
        f"{ROUNDING}a verdict near its bound can change; it was never a strong one.",
    ),
}


def committed(profile: str, revision: str = "HEAD") -> list[Row]:
    """Return the records of `profile` as committed at `revision`; BadInput where there are none."""
    shown = _show(profile, "claims.jsonl", revision)
    if shown.returncode:
        remedy = f"Commit results/{profile}/claims.jsonl first ({shown.stderr.strip()})."
        raise BadInput.of("profile", profile, "a profile with results in git", remedy)
    return parse_records(shown.stdout, f"claims.jsonl of {profile} at {revision}")


def differences(before: list[Row], after: list[Row], timed: Collection[str] = ()) -> list[str]:
    """Return one sentence for each changed verdict and each estimate outside its 95% interval of before.

    Claims that only one of the two has are named, too; of `timed` ones, whose numbers are a machine's, only verdicts.
    """
    old, new = ({row["id"]: row for row in rows} for rows in (before, after))
    found = [f"{id}: not in this run" for id in old if id not in new]
    found += [f"{id}: new, {row['verdict']}" for id, row in new.items() if id not in old]
    for id in (id for id in old if id in new):
        was, now = old[id]["verdict"], new[id]["verdict"]
        if was != now:
            found.append(f"{id}: verdict {now}, committed {was} ({new[id].get('reason', '')})")
        found += [] if id in timed else _moved(id, old[id], new[id])
    return found


def agreement(before: list[Row], after: list[Row], timed: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the ids of the claims that both have, by how this run's estimates lie to those of before.

    "same bits", "moved inside the interval" (at least one part, none left its committed interval), "moved outside
    the interval", which of `timed` claims is "moved with the machine's clock", and "verdict changed".
    """
    found: dict[str, list[str]] = {kind: [] for kind in THINK}
    old = {row["id"]: row for row in before}
    for row in (row for row in after if row["id"] in old):
        was = old[row["id"]]
        if was["verdict"] != row["verdict"]:
            kind = "verdict changed"
        elif _estimates(was) == _estimates(row):
            kind = "same bits"
        elif row["id"] in timed:
            kind = "moved with the machine's clock"
        else:
            kind = f"moved {'outside' if _moved(row['id'], was, row) else 'inside'} the interval"
        found[kind].append(row["id"])
    return found


def told(before: list[Row], after: list[Row], fixed: bool, timed: Collection[str] = ()) -> list[str]:
    """Return a line for each class of `agreement` that has a claim: how many, which, and what to think of it.

    `fixed`: both runs had the fixed instruction set, so that the same code gives the same bits.
    """
    lines = []
    for kind, ids in agreement(before, after, timed).items():
        which = "" if kind == "same bits" else f" ({', '.join(ids)})"
        think = THINK[kind][0 if fixed else 1]
        lines += [f"{kind}: {len(ids)} of {len(after)} claims{which}. {think}".rstrip()] if ids else []
    return lines


def compare(profile: str, study: str | None = None) -> tuple[list[str], list[str]]:
    """Return (`differences`, `told`) of results/<profile> as it lies here and as committed at HEAD.

    BadInput for an unknown `study`, and where neither has a result: nothing would have been compared.
    """
    known = sorted({*studies(), *load_studies()})
    if study is not None and study not in known:
        raise BadInput.named("study", study, known, "see notebooks/")
    both = committed(profile), read_records(profile)
    before, after = ([row for row in rows if study in (None, row["study"])] for rows in both)
    if not before and not after:
        command = f"study STUDY={study}" if study else "reproduce"
        allowed = f"one with results at profile {profile}, here or in git"
        raise BadInput.of("study", study or "all", allowed, f"Run: make {command} PROFILE={profile}")
    runs = parsed_json(_show(profile, "runs.json").stdout or "{}", "runs.json at HEAD"), read_runs(profile)
    fixed = all(_fixed(known, {row["study"] for row in after}) for known in runs)
    timed = [claim.id for claim in load_claims().values() if claim.timed]
    return differences(before, after, timed), told(before, after, fixed, timed)


def _show(profile: str, name: str, revision: str = "HEAD") -> subprocess.CompletedProcess[str]:
    """Return what git shows of a file of results/<profile> at a revision."""
    path = outputs(profile).results.relative_to(project_root()).as_posix() + f"/{name}"
    command = ["git", "-C", str(project_root()), "show", f"{revision}:./{path}"]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")


def _fixed(runs: dict[str, Any], names: set[str]) -> bool:
    """Return whether every one of these studies was computed with the fixed instruction set."""
    return all((runs.get(name, {}).get("instructions") or {}).get("evidence") == FIXED for name in names)


def _estimates(row: Row) -> list[tuple[str, Any]]:
    return [(part["name"], part.get("estimate")) for part in row.get("parts", ())]


def _moved(id: str, old: Row, new: Row) -> list[str]:
    """Return a sentence for each part whose estimate lies outside its committed interval."""
    before, after = ({part["name"]: part for part in row.get("parts", ())} for row in (old, new))
    found = []
    for name, part in before.items():
        now, was = after.get(name, {}).get("estimate"), part["estimate"]
        if now != was and not _inside(now, part["ci95"]):
            low, high = (_number(bound) for bound in part["ci95"] or (None, None))
            told = f"{_number(now)} {part['unit']}, committed {_number(was)} [{low}, {high}]"
            found.append(f"{id} {name}: {told}")
    return found


def _inside(value: float | None, interval: Any) -> bool:
    """Return whether the value lies in [low, high]; None there stands for an infinite bound."""
    if value is None or interval is None:
        return False
    low, high = interval
    return (low is None or low <= value) and (high is None or value <= high)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
