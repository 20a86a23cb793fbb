"""The two pages people read: one per study, and the index. Each is one file without any outside address."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from redlib.errors import BadInput
from redlib.evidence.claims import (
    Claim,
    StudyInfo,
    expected_false,
    expected_false_contradicted,
    holm_primary,
    load_studies,
)
from redlib.evidence.confirmation import CONFIRMATION, Both, standings, together
from redlib.evidence.paths import EVIDENCE_PROFILES, outputs, project_root
from redlib.evidence.verdicts import DECIDED, Leaf
from redlib.report import cells, wording
from redlib.report.figures import inline_svg, thumbnail
from redlib.report.glossary import GLOSSARY
from redlib.report.policy import check_page, content_policy
from redlib.report.prose import Prose, inline
from redlib.report.references import Reference, load
from redlib.report.rewritten import side_by_side, tallies
from redlib.report.wording import FORECASTS, SCALES, SOURCES, STANDINGS, VERDICTS

Row = dict[str, Any]  # one line of claims.jsonl
Run = Mapping[str, Any]  # one study's entry of runs.json

TEMPLATES: Final = Path(__file__).parent / "templates"
KEY_FIGURES: Final = 6


@dataclass(frozen=True)
class Card:
    """What the index shows of a study: its page, its question, its first figure, minutes to read."""

    study: str
    title: str
    question: str
    figure: cells.Figure | None
    minutes: int


def study_card(
    notebook: Any, study: str, claims: Mapping[str, Claim] | None = None, about: StudyInfo | None = None
) -> Card:
    """Return the card of an executed notebook; title and question fall back on its claims file's, `about`.

    Its figure is the lead, the one that opens the page: see `_lead`.
    """
    title, question, _ = cells.front(notebook)
    known, figures = about or _about(study), cells.figures(notebook)
    first = _lead(figures, known, _primary(figures, claims or {}))
    figure = next((figure for figure in figures if figure.name == first), None)
    return Card(study, title or known.title, question or known.question, figure, cells.minutes_to_read(notebook))


def _lead(figures: Sequence[cells.Figure], about: StudyInfo, primary: Sequence[str]) -> str | None:
    """Return the figure to show first: the claims file's, else a `primary` one, else any."""
    names = [figure.name for figure in figures]
    wanted = [about.lead, *primary, *names]
    return next((name for name in wanted if name in names), None)


def study_page(
    notebook: Any,
    records: Sequence[Row],
    run: Run,
    claims: Mapping[str, Claim],
    profile: str,
    *,
    study: str,
    siblings: Collection[str] = (),
    references: Mapping[str, Reference] | None = None,
    history: Mapping[str, Sequence[Row]] | None = None,
    confirmation: Sequence[Row] = (),
    apart: Sequence[str] = (),
    about: StudyInfo | None = None,
    elsewhere: Collection[str] | None = None,
) -> str:
    """Return the page of one study: question, answer, lead figure, the narrative, its figures, its claims.

    `notebook` is the executed nbformat notebook, `records` the study's lines of claims.jsonl, `run` its entry of
    runs.json, `siblings` the studies that have a page, `references` the works it may cite (default: references.bib),
    `history` the lines of what each claim came to before, `confirmation` the records on fresh seeds, `apart` in what
    the two blocks were not made alike, `about` what the claims file says of the study, `elsewhere` the profiles that
    have its page. BadInput for a verdict without a record, what cannot be read, and outside addresses.
    """
    both, figures, known = together(claims, records, confirmation), cells.figures(notebook), about or _about(study)
    prose = Prose(siblings, load(project_root() / "references.bib") if references is None else references)
    own = {id: claim for id, claim in claims.items() if claim.study == study}
    entries = {id: _entry(claim, both.get(id), profile, gates=known.gates) for id, claim in own.items()}
    _link(entries, notebook, history or {}, prose)
    body = list(cells.blocks(notebook, prose, _card(entries), _marks(entries)))
    stand = standings(both.values())
    text, first = _words(notebook, figures, entries, stand), _lead(figures, known, _carried(entries))
    return _page(
        "study.html.j2",
        cells.scripts(notebook),
        profile=profile,
        study=study,
        card=study_card(notebook, study, about=known),
        steps=_steps(study, siblings, _elsewhere(study, profile) if elsewhere is None else elsewhere),
        standings=stand,
        apart=", ".join(apart),
        body=body,
        headings=[heading for heading in prose.headings if heading.level == 2],
        parameters=cells.parameters(notebook),
        references=dict(sorted(prose.cited.items(), key=lambda cited: cited[1].line)),
        glossary={term: words for term, words in GLOSSARY.items() if _mentions(text, term)},
        **_of_run(run, records, confirmation),
        **_of_claims(entries, profile),
        **_of_figures(figures, entries, first),
    )


def _of_run(run: Run, records: Sequence[Row], confirmation: Sequence[Row]) -> dict[str, Any]:
    """Return what the template shows of a run."""
    facts = _facts(run, records, confirmation)
    return {"run": run, "facts": facts, "details": _provenance(run), "stale": _kept_stale(run)}


def _of_claims(entries: Mapping[str, dict[str, Any]], profile: str) -> dict[str, Any]:
    """Return what the template shows of a study's claims, beside what each card does."""
    every = list(entries.values())
    original = [_original(entry, profile) for entry in every if entry["parts"]]
    sources = _sources([entry["claim"] for entry in every])
    turned = [entry for entry in every if entry["first"] != entry["verdict"]]
    return {"entries": every, "counts": _counts(every), "turned": turned, "original": original, "sources": sources}


def _of_figures(
    figures: Sequence[cells.Figure], entries: Mapping[str, dict[str, Any]], first: str | None
) -> dict[str, Any]:
    """Return the figure that opens the page and the gallery of the others."""
    lead = next((_opening(figure, entries) for figure in figures if figure.name == first), None)
    return {"lead": lead, "figures": _gallery(figures, entries, first)}


def _words(
    notebook: Any, figures: Sequence[cells.Figure], entries: Mapping[str, dict[str, Any]], stand: Mapping[str, int]
) -> str:
    """Return in one string, in small letters, what a page says: the words that its glossary explains are in it."""
    found = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    found += [text for figure in figures for text in (figure.caption, figure.meaning)]
    found += [*(STANDINGS[name].word for name in stand), "confirmation" * bool(stand)]
    for entry in entries.values():
        found += [
            entry["claim"].statement,
            entry["reason"],
            "gate" * (False in entry["row"].get("adequacy", {}).values()),
        ]
        for part in entry["parts"]:
            found += [part["says"], part["because"], part["marks"], "our part" if part["ours"] else "source's part"]
            found += ["reading" * bool(part["reading"]), "equivalence" * (part["kind"] == "equivalence")]
            found += ["smallest effect of interest" * part["margin"]]
    return " ".join(found).lower()


def _link(
    entries: Mapping[str, dict[str, Any]], notebook: Any, history: Mapping[str, Sequence[Row]], prose: Prose
) -> None:
    """Add to each claim's entry its source, its figure, whether the text shows its card, and what it came to before."""
    figures, carded = cells.figures(notebook), set(cells.verdicts(notebook))
    for id, entry in entries.items():
        entry |= {"figure": next(iter(_carrying(figures, entry["claim"])), ""), "carded": id in carded}
        entry["source"] = Markup(prose.linked(entry["claim"].source))
        entry["history"] = [_past(line) for line in reversed(history.get(id, ()))]


def index_page(
    cards: Sequence[Card],
    claims: Mapping[str, Claim],
    records: Mapping[str, Sequence[Row]],
    runs: Mapping[str, Mapping[str, Run]],
    profile: str,
    confirmations: Mapping[str, Sequence[Row]] | None = None,
    apart: Sequence[str] = (),
    history: Mapping[str, Sequence[Row]] | None = None,
    audits: bool = False,
) -> str:
    """Return the index of `profile`: cards of the studies, all claims with every profile's verdict, glossary.

    `records` and `runs` are by profile (`runs[profile]` by study); a study in `cards` has its page
    <study>.html beside the index. Other studies of the claims are listed as not written yet. `confirmations` are the
    records on fresh seeds, by profile, `apart` the studies whose two blocks were not made alike,
    `history` the lines of what each claim came to before at this profile; `audits` says that there are sample audits in
    ../audit to point to.
    """
    shown = [profile] if profile == "smoke" else [name for name in EVIDENCE_PROFILES if records.get(name)]
    shown = shown if profile in shown else [profile, *shown]
    fresh = confirmations or {}
    both = {name: together(claims, records.get(name, ()), fresh.get(name, ())) for name in shown}
    written = {card.study: card for card in cards}
    families = [
        _family(study, claims, both, profile, written.get(study), runs.get(profile, {}).get(study, {}))
        for study in sorted({claim.study for claim in claims.values()} | set(written))
    ]
    anew = side_by_side(claims, records.get(profile, ()), fresh.get(profile, ()), history or {})
    here = [dict(found.row) for found in both[profile].values()]  # those whose verdict counts
    return _page(
        "index.html.j2",
        [],
        profile=profile,
        profiles=shown,
        families=families,
        counts=_counts([entry for family in families for entry in family["entries"]]),
        standings=standings(both[profile].values()),
        apart=list(apart),
        audits=audits,
        rewritten=anew,
        tallies=tallies(anew),
        total=len(claims),
        decided=[row for row in here if row["verdict"] in DECIDED],
        expected_false=expected_false(here),
        expected_false_contradicted=expected_false_contradicted(here),
        holm={id for id, p in holm_primary(here, claims).items() if p <= 0.05} if profile != "smoke" else set(),
        stale=sum(_kept_stale(run) for run in runs.get(profile, {}).values()),
        glossary=GLOSSARY,
    )


def _family(
    study: str,
    claims: Mapping[str, Claim],
    both: Mapping[str, Mapping[str, Both]],
    profile: str,
    card: Card | None,
    run: Run,
) -> dict[str, Any]:
    """Return one study as the index shows it: its card or what its claims file says, and its claims."""
    own = [claim for claim in claims.values() if claim.study == study]
    entries = [_entry(claim, both[profile].get(claim.id), profile, card is not None) for claim in own]
    others = {claim.id: {name: _verdict(claim, both[name].get(claim.id), name) for name in both} for claim in own}
    about = card or _about(study)
    art = inline_svg(card.figure.svg, f"thumb-{study}") if card and card.figure else ""
    return {
        "study": study,
        "title": about.title,
        "question": about.question,
        "card": card,
        "run": run,
        "entries": entries,
        "counts": _counts(entries),
        "verdicts": others,
        "art": Markup(art),
    }


def _about(study: str) -> StudyInfo:
    return load_studies().get(study, StudyInfo(study, ""))


def _entry(
    claim: Claim, found: Both | None, profile: str, written: bool = True, gates: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what the templates show of a claim: the claim, its record, verdict, parts, other block and forecast."""
    row = dict(found.row) if found else None
    if row is None and written and profile in claim.not_run:
        row = {"verdict": "not_run", "reason": claim.not_run[profile]}
    verdict = row["verdict"] if row else "not_yet"
    leaves = {} if claim.untestable else {leaf.name: leaf for leaf in claim.check_for(profile).parts}
    stated = sorted((row or {}).get("parts", ()), key=lambda part: part.get("of") == "ours")
    for part in stated:  # judged by a check that has been rewritten since: its bounds are those of the record
        if part["name"] in leaves and leaves[part["name"]].threshold != part["threshold"]:
            del leaves[part["name"]]
    beside, standing = (dict(found.beside or {}), found.standing) if found else ({}, "")
    others = {part["name"]: part for part in beside.get("parts", ())}
    parts = [_part(part, leaves.get(part["name"]), others.get(part["name"])) for part in stated]
    waiting = [(wording.says({"name": leaf.name}, leaf), wording.threshold(leaf)) for leaf in leaves.values()]
    why, settle = _why(row, leaves, gates or {})
    return {
        "claim": claim,
        "row": row or {},
        "verdict": verdict,
        "reason": why,
        "settle": settle,
        "seeds": wording.seed_count(row or {}) or "–",
        "parts": parts,
        "span": wording.span(row or {}, "fresh seeds" if standing == "fresh" else "first seeds"),
        "span_beside": wording.span(beside, "first seeds" if standing == "fresh" else "fresh seeds"),
        "standing": standing,
        "first": beside["verdict"] if standing == "fresh" else verdict,  # what the sentences of the page speak of
        "blocks": wording.blocks(found) if found else "",
        "waiting": waiting,
        "forecast": wording.FORECASTS[claim.prior],
        "outcome": wording.forecast(claim.prior, verdict),
    }


def _why(row: Row | None, leaves: Mapping[str, Leaf], gates: Mapping[str, str]) -> tuple[str, str]:
    """Return the reason of a verdict, and what would settle one that is inconclusive."""
    if row is None:
        return wording.sentence(VERDICTS["not_yet"].meaning), ""
    if row["verdict"] == "inconclusive":
        told = wording.undecided(row, leaves, gates)
        return told.why, told.settle
    return wording.reason(row, leaves), ""


def _part(part: Row, leaf: Leaf | None, beside: Row | None = None) -> dict[str, Any]:
    """Return what the templates show of a part; `beside` is that of the other block."""
    marks = [f"{part['censored']} censored"] if part.get("censored") else []
    marks += ["underpowered"] if part.get("underpowered") else []
    return {
        "name": part["name"],
        "says": wording.says(part, leaf),
        "question": wording.question(part, leaf),
        "outcome": wording.OUTCOMES.get(part["verdict"], ""),
        "kind": part["kind"],
        "margin": leaf is not None and leaf.null_region is not None,
        "verdict": part["verdict"],
        "estimate": wording.estimate(part),
        "interval": wording.interval(part),
        "threshold": wording.threshold(leaf) if leaf else wording.minus(part["threshold"]),
        "picture": Markup(wording.picture(part, leaf)),
        "marks": ", ".join(marks),
        "ours": part.get("of") == "ours",
        "reading": wording.plain(part.get("reading", "")),
        "because": wording.because(part.get("because", "")),
        "beside": _part(beside, leaf) if beside else None,
    }


def _original(entry: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """Return a row of the table that sets a claim's source against us: the part that settled the verdict."""
    row, parts = entry["row"], entry["parts"]
    stated = sorted(row["parts"], key=lambda part: part.get("of") == "ours")
    settled = [(part["statistic"], part["threshold"]) == (row["statistic"], row["threshold"]) for part in stated]
    part = parts[settled.index(True)] if True in settled else parts[0]
    return {"entry": entry, "part": part, "setting": ", ".join(each for each in (profile, entry["span"]) if each)}


def _sources(claims: Sequence[Claim]) -> dict[str, str]:
    """Return the source documents that the claims name, by their code."""
    named = " ".join(claim.source for claim in claims)
    return {code: words for code, words in SOURCES.items() if re.search(rf"\b{code}\b", named)}


def _steps(study: str, siblings: Collection[str], elsewhere: Collection[str]) -> dict[str, Any]:
    """Return where a reader may go from a study's page: the one before, the one after, other profiles."""
    names, titles = sorted({*siblings, study}), load_studies()
    at = names.index(study)
    around = {"before": names[at - 1] if at else "", "after": names[at + 1] if at + 1 < len(names) else ""}
    linked = {way: name and (name, titles[name].title if name in titles else name) for way, name in around.items()}
    return {**linked, "profiles": list(elsewhere)}


def _elsewhere(study: str, profile: str) -> list[str]:
    """Return the other profiles that have a page of the study, in a folder beside that of this one."""
    own = outputs(profile).reports
    others = [(name, outputs(name).reports) for name in EVIDENCE_PROFILES if name != profile and profile != "smoke"]
    beside = [(name, there) for name, there in others if os.path.relpath(there, own) == f"../{name}"]
    return [name for name, there in beside if (there / f"{study}.html").exists()]


def _past(line: Row) -> dict[str, Any]:
    """Return what the card unfolds of a line of a claim's history."""
    value = wording.number(line["estimate"], wording.half(line["ci95"])) if line.get("estimate") is not None else ""
    found = {"date": line.get("date"), "commit": line.get("commit"), "why": wording.sentence(line.get("why") or "")}
    return found | {"verdict": line["verdict"], "value": value, "fresh": line.get("block") == CONFIRMATION}


def _verdict(claim: Claim, found: Both | None, profile: str) -> tuple[str, str]:
    """Return (verdict, standing) of a claim at a profile."""
    if found is None:
        return "not_run" if profile in claim.not_run else "not_yet", ""
    return str(found.row["verdict"]), found.standing


def _counts(entries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many entries have each verdict, in the order of the wording, zeros left out."""
    found = Counter(entry["verdict"] for entry in entries)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def _carrying(figures: Sequence[cells.Figure], claim: Claim) -> list[str]:
    """Return the names of the figures that are evidence for a claim, its own first."""
    found = [figure.name for figure in figures if claim.id in figure.claims or figure.name == claim.figure]
    return sorted(found, key=lambda name: name != claim.figure)


def _primary(figures: Sequence[cells.Figure], claims: Mapping[str, Claim]) -> list[str]:
    """Return the names of the figures of primary claims, in the order of the claims."""
    primary = (claim for claim in claims.values() if claim.primary)
    return list(dict.fromkeys(name for claim in primary for name in _carrying(figures, claim)))


def _carried(entries: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the names of the figures of the primary claims."""
    found = [entry["figure"] for entry in entries.values() if entry["claim"].primary and entry["figure"]]
    return list(dict.fromkeys(found))


def _gallery(
    figures: Sequence[cells.Figure], entries: Mapping[str, dict[str, Any]], lead: str | None
) -> dict[str, list[dict[str, Any]]]:
    """Return the figures beside the `lead`: one for each primary claim, and the rest."""
    by_name = {figure.name: figure for figure in figures if figure.name != lead}
    key = [name for name in _carried(entries) if name in by_name][:KEY_FIGURES]
    names = {"key": key, "more": [name for name in by_name if name not in key]}
    return {kind: [_shown(by_name[name], entries) for name in found] for kind, found in names.items()}


def _opening(figure: cells.Figure, entries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the figure that opens the page, with its alternative text and its meaning."""
    art = Markup(thumbnail(figure.svg, figure.name, figure.alt or figure.caption))
    return _shown(figure, entries) | {"art": art, "meaning": Markup(cells.meaning_html(figure))}


def _shown(figure: cells.Figure, entries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    carries = [entries[id] for id in figure.claims if id in entries]
    return {"figure": figure, "art": Markup(thumbnail(figure.svg, figure.name)), "carries": carries}


def _facts(run: Run, records: Sequence[Row], confirmation: Sequence[Row] = ()) -> dict[str, str]:
    """Return what the header says about the run, by label; unknown facts are left out."""
    loaded, computed = _counted(run, "loaded"), _counted(run, "computed")
    state = " with uncommitted changes" if run.get("dirty") else ""
    computing = sum(done.get("run_s") or 0.0 for done in run.get("sweeps", ()))
    facts = {
        "Seeds": wording.seeds(records),
        "Fresh seeds": wording.seeds(confirmation) if confirmation else "",
        "Runtime": wording.duration(run["wall_s"]) if "wall_s" in run else "",
        "Computing behind it": f"{wording.duration(computing)} of one core" if computing else "",
        "Runs loaded from the store": f"{loaded} of {loaded + computed}" if loaded + computed else "",
        "Commit": f"{run['commit'][:10]}{state}" if run.get("commit") else "",
    }
    return {label: value for label, value in facts.items() if value}


def _provenance(run: Run) -> dict[str, str]:
    """Return the rest of what is known about the run, by label: versions, hardware, data, memory."""
    versions = {"python": run.get("python"), **run.get("versions", {})}
    hardware = (
        run.get("cpu"),
        run.get("cores") and f"{run['cores']} cores",
        run.get("ram_gib") and f"{run['ram_gib']} GiB",
    )
    peak = run.get("peak_memory_mb")
    facts = {
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "Hardware": ", ".join(str(part) for part in (*hardware, run.get("gpu")) if part),
        "System": run.get("platform") or "",
        "Instructions": wording.instructions(run.get("instructions")),
        "Peak memory": f"{peak:.0f} MB" if peak else "",
        "Data": ", ".join(f"{about['name']} ({about['digest'][:12]})" for about in run.get("data", ())),
    }
    return {label: value for label, value in facts.items() if value}


def _counted(run: Run, what: str) -> int:
    return sum(int(done.get(what) or 0) for done in run.get("sweeps", ()))


def _kept_stale(run: Run) -> int:
    """Return how many results of older code the run used on request."""
    return sum(int(done.get("stale") or 0) for done in run.get("sweeps", ()) if done.get("kept_stale"))


def _mentions(text: str, term: str) -> bool:
    """Return whether a text in small letters has a term, without what it has in brackets."""
    words = re.sub(r"\s*\(.*?\)", "", term).lower()
    return bool(re.search(rf"\b{re.escape(words)}", text.replace("-", " ") + text))


def _card(entries: Mapping[str, dict[str, Any]]) -> Callable[[str], str]:
    """Return claim id -> HTML of its verdict card."""

    def card(id: str) -> str:
        if id not in entries or not entries[id]["row"]:
            raise BadInput.of("verdict output", id, f"a record of {sorted(entries)}", "Run the notebook to its end.")
        return str(_macro("card")(entries[id]))

    return card


def _marks(entries: Mapping[str, dict[str, Any]]) -> Callable[[cells.Figure], str]:
    """Return figure -> HTML of the verdicts of the claims that it is evidence for."""
    return lambda figure: str(_macro("marks")([entries[id] for id in figure.claims if id in entries]))


def _macro(name: str) -> Any:
    """Return a macro of parts.html.j2 as a function."""
    return getattr(_environment().get_template("parts.html.j2").module, name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"VERDICTS": VERDICTS, "STANDINGS": STANDINGS, "FORECASTS": FORECASTS, "SCALES": SCALES}
    environment.globals["in_words"] = wording.in_words
    environment.filters["inline"] = lambda text: Markup(inline(wording.minus(text)))
    return environment


def _page(template: str, scripts: Sequence[str], **values: Any) -> str:
    """Render a template with the style sheet and the script inside; besides that script only `scripts` may run.

    Raises BadInput on an outside address.
    """
    assets = {
        name: Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "dark.css", "report.js")
    }
    policy = content_policy([f"\n{assets['report.js']}\n", *scripts])
    return check_page(_environment().get_template(template).render(assets=assets, policy=Markup(policy), **values))
