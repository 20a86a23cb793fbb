"""The generated parts of README.md, between comment markers: claims by profile, and the speed table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redlib.errors import BadInput
from redlib.evidence.claims import VERDICTS, Claim, StudyInfo, load_claims, load_studies
from redlib.evidence.confirmation import RECORDS, Both, standings, together
from redlib.evidence.files import write_atomic
from redlib.evidence.paths import EVIDENCE_PROFILES, project_root
from redlib.evidence.reading import parsed_json, read_text
from redlib.report.records import Row, read_records

Records = Mapping[str, Sequence[Row]]  # by profile
TOLD = {  # how verdicts stand on fresh seeds, and what the table says of it once
    "confirmed": "*Confirmed*: the same verdict on fresh seeds.",
    "fragile": "*Fragile*: another one there.",
    "fresh": "*Fresh*: judged on these alone, as the check was written after the first ones had been seen.",
    "exploratory": "*Exploratory*: the check was written after these seeds had been seen; `make confirm` judges it.",
    "outdated": "*Outdated*: the fresh seeds were judged by another check.",
}


def refresh() -> bool:
    """Rewrite the generated parts of README.md from results/ and benchmarks/; return whether it changed."""
    path = project_root() / "README.md"
    before = read_text(path)
    judged, fresh = ({name: read_records(name, block) for name in EVIDENCE_PROFILES} for block in RECORDS)
    after = replaced(before, "claims", claims_section(load_claims(), load_studies(), judged, fresh))
    speed = project_root() / "benchmarks" / "results.json"
    if speed.exists():
        after = replaced(after, "speed", speed_section(parsed_json(read_text(speed), "benchmarks/results.json")))
    if after != before:
        write_atomic(path, after.encode())
    return after != before


def replaced(text: str, name: str, body: str) -> str:
    """Return `text` with `body` between <!-- name:begin --> and <!-- name:end -->; BadInput without these."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise BadInput.of("README.md", f"no {begin} … {end}", "a README with these two markers", "put them back")
    return pattern.sub(lambda _: f"{begin}\n{body.strip()}\n{end}", text, count=1)


def claims_section(
    claims: Mapping[str, Claim], about: Mapping[str, StudyInfo], records: Records, confirmations: Records | None = None
) -> str:
    """Return the summary: a row a study with links to its page and its notebook, a column a profile.

    The verdicts on single claims stand on the index page, to which each profile's head leads. Where there are
    `confirmations`, a cell says how the verdicts stand on fresh seeds, too.
    """
    found = {row["study"] for given in records.values() for row in given}
    studies = [study for study in about if study in found]
    known = {profile for profile, given in records.items() if given}
    heads = [f"[{profile}](reports/{profile}/index.html)" if profile in known else profile for profile in records]
    fresh = confirmations or {}
    both = [together(claims, given, fresh.get(profile, ())) for profile, given in records.items()]
    rows = [[_links(s, about[s].title, records), *(_counts(s, found) for found in both)] for s in studies]
    tested = {row["id"] for given in records.values() for row in given} & {*claims}
    told = f"Claims one by one ({len(tested)} so far), with their intervals: the heads of the columns lead there."
    stand = {name for verdicts in both for name in standings(verdicts.values())}
    told += "".join(f" {words}" for name, words in TOLD.items() if name in stand)
    return f"{_table(['study', *heads], rows)}\n\n{told}" if studies else "No results yet."


def _links(study: str, title: str, records: Records) -> str:
    """Return the title as a link to the study's page of the first profile that has one, and a link to its notebook."""
    profile = next(name for name, given in records.items() if any(row["study"] == study for row in given))
    return f"[{title}](reports/{profile}/{study}.html) ([notebook](notebooks/{study}.ipynb))"


def speed_section(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the speed table from benchmarks/results.json, with the conditions; rows marked as details stay there."""
    table = [
        [
            row["name"],
            _amount(row["ours"], row["unit"]),
            _amount(row["baseline"], row["unit"]),
            f"{row['ratio']:.2g}×",
        ]
        for row in rows
        if not row.get("detail")
    ]
    conditions = sorted({_conditions(row) for row in rows})
    return _table(["task", "redlib", "baseline", "ratio"], table) + "\n\n" + "\n".join(conditions)


def _counts(study: str, found: Mapping[str, Both]) -> str:
    """Return "9 replicated, 2 null; 8 confirmed, 1 fragile" for a study at one profile, "–" where it has no record."""
    own = [both for both in found.values() if both.row["study"] == study]
    verdicts, stand = Counter(both.row["verdict"] for both in own), standings(own)
    counted = ", ".join(f"{verdicts[v]} {v.replace('_', ' ')}" for v in VERDICTS if verdicts[v]) or "–"
    return "; ".join(filter(None, (counted, ", ".join(f"{stand[name]} {name}" for name in TOLD if name in stand))))


def _conditions(row: Mapping[str, Any]) -> str:
    versions = row["versions"]
    named = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, Mapping) else str(versions)
    count = f"Medians of {row['runs']} runs" if row["runs"] > 1 else "The whole job: one run"
    return f"{count} on {row['hardware']}; {named}; commit {str(row['commit'])[:10]}."


def _amount(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; a bar inside a cell would end it, so it is escaped."""
    lines = [list(head), ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
