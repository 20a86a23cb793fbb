"""From executed notebooks and results to the HTML in reports/<profile>/: one page a study, and the index."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims, load_studies
from redlib.evidence.confirmation import CONFIRMATION, RECORDS
from redlib.evidence.files import write_atomic
from redlib.evidence.paths import PROFILES, outputs
from redlib.evidence.reading import RESTORE, read_json, read_text
from redlib.evidence.study import IDENTIFIER
from redlib.report import answer
from redlib.report.cells import Figure
from redlib.report.html import Card, index_page, study_card, study_page
from redlib.report.notebooks import executed_path
from redlib.report.policy import check_page
from redlib.report.records import Row, read_history, read_records, read_runs
from redlib.report.status import Inputs, apart

STUDY = r"\d\d_[a-z0-9_]+"
ANSWER = "<!-- answer -->"  # where the index has its answer


def publish(profile: str, studies: list[str], made_from: Mapping[str, Inputs] | None = None) -> dict[str, Path]:
    """Write the page of each of `studies`, and the index of all that have one; return the pages by study.

    `made_from` are inputs of these studies that are not recorded yet: see `status.apart`.

    BadInput when a study has not been run here: its page is made from the executed notebook, which is not
    committed.
    """
    claims, runs = load_claims(), read_runs(profile)
    notebooks = {study: _executed(profile, study, runs) for study in studies}
    cards = _read_cards(profile) | {study: study_card(nb, study) for study, nb in notebooks.items()}
    where, past, pages = outputs(profile), read_history(profile), {}
    for study, notebook in notebooks.items():
        html = study_page(
            notebook,
            _of_study(study, read_records(profile)),
            runs[study],
            claims,
            profile,
            study=study,
            siblings=list(cards),
            history=past,
            confirmation=_of_study(study, read_records(profile, CONFIRMATION)),
            apart=apart(where.results, study, made_from),
        )
        pages[study] = write_atomic(where.reports / f"{study}.html", html.encode())
    _write_cards(profile, cards)
    index(profile, cards, made_from)
    return pages


def index(profile: str, cards: dict[str, Card], made_from: Mapping[str, Inputs] | None = None) -> Path:
    """Write reports/<profile>/index.html from the cards and the results of every profile; return its path."""
    judged, fresh = ({name: read_records(name, block) for name in PROFILES} for block in RECORDS)
    runs = {name: read_runs(name) for name in PROFILES}
    shown, where = [cards[study] for study in sorted(cards)], outputs(profile)
    unlike = [study for study in sorted(cards) if apart(where.results, study, made_from)]
    claims, titles = load_claims(), {study: about.title for study, about in load_studies().items()}
    audits = all((where.reports.parent / "audit" / f"{name}.html").exists() for name in ("trained", "untrained"))
    history = read_history(profile)
    html = index_page(shown, claims, judged, runs, profile, fresh, apart=unlike, history=history, audits=audits)
    told = answer.section(claims, titles, judged, fresh, profile, list(cards))
    return write_atomic(where.reports / "index.html", check_page(html.replace(ANSWER, told, 1)).encode())


def _of_study(study: str, records: list[Row]) -> list[Row]:
    return [row for row in records if row["study"] == study]


def _executed(profile: str, study: str, runs: dict[str, Any]) -> Any:
    path = executed_path(profile, study)
    if path.exists() and study not in runs:
        allowed = "a notebook that ends with study.conclude(...)"
        raise BadInput.of("study", study, allowed, "without it nothing is recorded")
    if not path.exists():
        remedy = f"make study STUDY={study} PROFILE={profile}"
        raise BadInput.of("study", study, f"a study that has been run here at profile {profile}", f"Run: {remedy}")
    try:
        return nbformat.read(path, as_version=4)
    except ValueError as error:  # what nbformat raises for what is no notebook
        remedy = f"Run it again: make study STUDY={study} PROFILE={profile}"
        raise BadInput.of(f"executed notebook of {study}", path.name, "a whole notebook", remedy) from error


def _read_cards(profile: str) -> dict[str, Card]:
    """Return the cards of the studies that have a page, so that the index shows also those not run here."""
    folders = outputs(profile)
    known = read_json(folders.results / "cards.json")
    # A name from a file becomes a path only where it is the name of a study.
    shown = [study for study in known if re.fullmatch(STUDY, study) and (folders.reports / f"{study}.html").exists()]
    return {study: _card(known[study], folders.figures) for study in shown}


def _card(kept: Any, figures: Path) -> Card:
    """Return a card with its drawing, where that lies in `figures`; BadInput for what `_write_cards` did not write."""
    try:
        about = kept["figure"]
        drawing = figures / f"{about['name']}.svg" if about and re.fullmatch(IDENTIFIER, about["name"]) else None
        figure = None
        if drawing is not None and drawing.exists():
            figure = Figure(**{**about, "svg": read_text(drawing), "claims": tuple(about["claims"])})
        return Card(**{**kept, "figure": figure})
    except (KeyError, TypeError) as error:
        raise BadInput.of("card in cards.json", kept, "what the last run wrote", RESTORE) from error


def _write_cards(profile: str, cards: dict[str, Card]) -> None:
    """Keep the cards without their drawings, which lie in figures/<profile>."""
    plain = {study: dataclasses.asdict(cards[study]) for study in sorted(cards)}
    for card in plain.values():
        (card["figure"] or {}).pop("svg", None)
    text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
    write_atomic(outputs(profile).results / "cards.json", text.encode())
