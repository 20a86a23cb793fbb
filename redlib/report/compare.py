"""This run against the committed one: every estimate that left its interval, every verdict that changed."""

from __future__ import annotations

import subprocess
from typing import Any

from redlib.errors import BadInput
from redlib.evidence.claims import load_studies
from redlib.evidence.paths import outputs, project_root
from redlib.evidence.reading import refuse_name
from redlib.report.pages import Row, parse_records, read_records
from redlib.report.profiles import studies


def committed(profile: str, revision: str = "HEAD") -> list[Row]:
    """Return the records of `profile` as committed at `revision`; BadInput where there are none."""
    path = outputs(profile).results.relative_to(project_root()).as_posix() + "/claims.jsonl"
    command = ["git", "-C", str(project_root()), "show", f"{revision}:./{path}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        allowed = "a profile with results in git"
        raise BadInput.of("profile", profile, allowed, f"Commit {path} first ({done.stderr.strip()}).")
    return parse_records(done.stdout, f"{path} at {revision}")


def differences(before: list[Row], after: list[Row]) -> list[str]:
    """Return one sentence for each changed verdict and each estimate outside its 95% interval of before.

    Claims that only one of the two has are named, too.
    """
    old, new = ({row["id"]: row for row in rows} for rows in (before, after))
    found = [f"{id}: not in this run" for id in old if id not in new]
    found += [f"{id}: new, {row['verdict']}" for id, row in new.items() if id not in old]
    for id in (id for id in old if id in new):
        was, now = old[id]["verdict"], new[id]["verdict"]
        if was != now:
            found.append(f"{id}: verdict {now}, committed {was} ({new[id].get('reason', '')})")
        found += _moved(id, old[id], new[id])
    return found


def compare(profile: str, study: str | None = None) -> list[str]:
    """Return the differences between results/<profile> as it lies here and as committed at HEAD.

    BadInput for an unknown `study`, and where neither has a result: nothing would have been compared.
    """
    known = sorted({*studies(), *load_studies()})
    if study is not None and study not in known:
        refuse_name("study", study, known, "see notebooks/")
    both = committed(profile), read_records(profile)
    before, after = ([row for row in rows if study in (None, row["study"])] for rows in both)
    if not before and not after:
        command = f"study STUDY={study}" if study else "reproduce"
        allowed = f"one with results at profile {profile}, here or in git"
        raise BadInput.of("study", study or "all", allowed, f"Run: make {command} PROFILE={profile}")
    return differences(before, after)


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
