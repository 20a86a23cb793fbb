"""The notebook's one handle: it runs sweeps, shows figures and verdicts, and writes the evidence."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redlib.errors import BadInput
from redlib.evidence import claims as ledger
from redlib.evidence import confirmation, provenance
from redlib.evidence.files import locked, remove_leftovers, write_atomic
from redlib.evidence.paths import Outputs, check_profile, outputs, project_root
from redlib.evidence.reading import json_lines, read_json, read_text
from redlib.evidence.sweep import Sweep, close_workers, sweep
from redlib.progress import interactive, shell

if TYPE_CHECKING:  # a notebook has them anyway; a script that only checks a claim need not import them
    import pandas
    from matplotlib.figure import Figure

    from redlib.data.sources import Dataset

COUNTS = ("label", "loaded", "computed", "stale", "corrupt", "kept_stale", "run_s")
NO_SVG_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # versions, dates and outside addresses
_UNKNOWN = re.compile(r"(?<!\w)[-+−]?(?:nan|inf)(?!\w)")
_SIGNED_ZERO = re.compile(r"(?<![\w.)\]^])[-−](?=0(?:\.0+)?(?![\d.]*\d)(?!e[-+]))")
IDENTIFIER = r"[a-z0-9_]+"  # of a figure or a table, which names a file


class Study:
    """One run of one study at one profile.

    Everything to be kept (figures, tables, records, provenance) is held in memory until `conclude`, so a
    notebook that fails half-way leaves the evidence of the last complete run untouched. A confirmation (see
    `evidence.confirmation`) keeps its records and nothing else.
    """

    def __init__(self, name: str, profile: str = "laptop", first: int = 0) -> None:
        """Start the clock of study `name` (01_double_descent, …), whose seeds begin at `first`.

        BadInput for unknown names and profiles, and for a confirmation that begins elsewhere than at its first seed.
        """
        self.name, self.profile, self.first = name, check_profile(profile), first
        self.block = confirmation.block()
        if self.block == confirmation.CONFIRMATION and first != (fresh := confirmation.first_seed(name)):
            remedy = "pass on the notebook's parameter: Study(name, profile, first)"
            raise BadInput.of("first", first, f"{fresh} in a confirmation", remedy)
        self._claims = ledger.load_claims()
        if name not in (studies := sorted({claim.study for claim in self._claims.values()})):
            raise BadInput.named("study", name, studies, "pass the name of the notebook's file")
        self._gates = ledger.load_studies()[name].gates
        self._start = time.perf_counter()
        self._records: dict[str, ledger.Record] = {}
        self._figures: dict[str, dict[str, Any]] = {}
        self._files: dict[Path, bytes] = {}
        self._sweeps: list[Sweep] = []
        self._data: dict[str, dict[str, Any]] = {}

    def sweep(self, configs: Iterable[Any], **options: Any) -> Sweep:
        """Return `sweep(configs, **options)` (data=, label=, workers=, …); its counts are kept.

        BadInput for a configuration whose `seeds` begin before those of the study: it would not have been told of them.
        """
        listed = list(configs)
        self._refuse_earlier_seeds(listed)
        self._sweeps.append(sweep(listed, **options))
        return self._sweeps[-1]

    def data(self, dataset: Dataset) -> Dataset:
        """Note the name, digest and provenance of a data set for the record; return it unchanged."""
        about = {"name": dataset.name, "digest": dataset.digest, "provenance": dict(dataset.provenance)}
        self._data[dataset.digest] = about
        return dataset

    def figure(
        self, fig: Figure, name: str, *, caption: str, alt: str, claims: Sequence[str] = (), meaning: str = ""
    ) -> None:
        """Show `fig` and keep it as figures/<profile>/<name>.svg and .png; the figure is closed.

        What it draws is kept as results/<profile>/figures/<name>.csv.

        `caption` states the finding as a sentence, `alt` what one sees, `claims` the ids it supports, `meaning` in two
        or three sentences what follows from it.
        """
        self._new("figure", name, self._figures)
        ids = [self._claims[id].id for id in claims]
        words = {"caption": caption, "alt": alt} | ({"meaning": meaning} if meaning.strip() else {})
        about: dict[str, Any] = {"kind": "figure", "name": name, "claims": ids}
        about |= {kind: plain_numbers(text) for kind, text in words.items()}
        about |= {"data": f"../../results/{self.profile}/figures/{name}.csv"}
        from redlib.evidence.drawn import as_csv  # brings matplotlib: a script that only checks a claim needs none

        table = as_csv(fig)
        svg, png = _rendered(fig)
        self._figures[name] = about
        self._files |= dict(zip(_paths(outputs(self.profile), name), (svg, png, table), strict=True))
        _show({"image/svg+xml": svg.decode(), "text/plain": f"[{name}] {about['caption']}"}, about)

    def explorer(self, html: str, *, caption: str, alt: str) -> None:
        """Show an explorer, self-contained HTML with its script: live in the notebook, and the same in the report.

        `caption` says what to try, `alt` what one sees.
        """
        told = plain_numbers(caption)
        _show({"text/html": html, "text/plain": told}, {"kind": "explorer", "caption": told, "alt": alt})

    def table(self, frame: pandas.DataFrame, name: str) -> None:
        """Keep `frame` (without its index) as results/<profile>/<study>_<name>.csv, floats to 6 digits."""
        path = outputs(self.profile).results / f"{self.name}_{_identifier('table', name)}.csv"
        text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        self._files[path] = text.encode()

    def check(self, finding: ledger.Finding, **more: Any) -> ledger.Record:
        """Return the record of a claim on its finding; `more` (note=, seeds=, data_source=) as in `claims.check`.

        A part that only another profile's check asks for is left out. The verdict is shown as a card and kept; where
        the claim is known not to run at this profile (claims/) the numbers are kept without a verdict, or, if one is
        missing, the claim is recorded as not run. BadInput for a claim of another study, for a second verdict on a
        claim in a headless run, and for a gate that the study's file of claims/ does not explain, if it explains any.
        """
        more.setdefault("first", self.first)
        more.setdefault("data_source", ", ".join(sorted({about["name"] for about in self._data.values()})))
        claim = self._own(finding.id)
        if self._gates and (unknown := sorted({*finding.gate} - {*self._gates})):
            remedy = f"say under gates: in claims/{self.name}.yaml what it means where it fails"
            raise BadInput.of(f"gate of {claim.id}", ", ".join(unknown), " | ".join(sorted(self._gates)), remedy)
        reason = claim.not_run.get(self.profile)
        if isinstance(finding.parts, Mapping):
            parts, missing = _asked_for(claim, self.profile, finding.parts)
            if reason and missing:
                told = f"{reason}; this run has no {', '.join(missing)}"
                return self._keep(ledger.not_run(claim, self.profile, told))
            finding = dataclasses.replace(finding, parts=parts)
        record = ledger.check(claim, self.profile, finding, **more)
        if reason:
            record = dataclasses.replace(record, verdict="not_run", reason=reason)
        return self._keep(record)

    def not_run(self, id: str, reason: str) -> ledger.Record:
        """Return and keep the record of a claim that this profile does not run, with the reason."""
        return self._keep(ledger.not_run(self._own(id), self.profile, reason))

    def conclude(self, answer: str) -> None:
        """Write all evidence of this run, of a confirmation its records alone; `answer` answers the study's question.

        Claims known not to run at this profile (claims/) are recorded so. Raises BadInput, before
        anything is written, if any other claim of the study has no record.
        """
        if not answer.strip():
            raise BadInput.of("answer", answer, "a sentence", "answer the question of the study")
        self._complete()
        close_workers()
        where = outputs(self.profile)
        with locked(project_root() / "build" / "locks" / f"{self.profile}.lock"):
            if self.block == confirmation.CONFIRMATION:
                self._confirm(where)
            else:
                self._publish(where, plain_numbers(answer))
            for folder in (where.results, where.figures):
                remove_leftovers(folder)

    def _publish(self, where: Outputs, answer: str) -> None:
        """Write figures, tables, records and the record of the run."""
        claims, runs = where.results / confirmation.RECORDS[self.block], where.results / "runs.json"
        known, merged = read_json(runs), self._merged_claims(claims)
        _drop_old_figures(where, known.get(self.name), self._figures)
        for path, content in self._files.items():
            write_atomic(path, content)
        write_atomic(claims, merged)
        text = json.dumps(known | {self.name: self._run(answer)}, sort_keys=True, indent=1, default=str)
        write_atomic(runs, f"{text}\n".encode())

    def _confirm(self, where: Outputs) -> None:
        """Write the records; BadInput where a number rests on older code, which no record could say."""
        if any(done.kept_stale for done in self._sweeps):
            remedy = "unset REDLIB_KEEP_STALE: a confirmation is computed by the code that it confirms"
            raise BadInput.of("results of older code", "kept", "none in a confirmation", remedy)
        claims = where.results / confirmation.RECORDS[self.block]
        write_atomic(claims, self._merged_claims(claims))

    def _refuse_earlier_seeds(self, configs: Iterable[Any]) -> None:
        for one in configs:
            early = [seed for seed in getattr(one, "seeds", ()) if seed < self.first]
            if early:
                remedy = "give it the study's seeds: seeds=range(first, first + seeds)"
                raise BadInput.of(f"seeds of {type(one).__name__}", early, f"seeds from {self.first} on", remedy)

    def _own(self, id: str) -> ledger.Claim:
        claim = self._claims[id]
        if claim.study != self.name:
            raise BadInput.of("claim", id, f"a claim of {self.name}", f"check it in {claim.study}")
        self._new("claim", id, self._records)
        return claim

    def _new(self, what: str, name: str, known: Mapping[str, object]) -> None:
        """Refuse a second one of a name, except to a person who runs a cell again."""
        if what != "claim":
            _identifier(what, name)
        if name in known and not interactive():
            raise BadInput.of(what, name, f"one {what} of a name in a study", "rename or remove the second")

    def _keep(self, record: ledger.Record) -> ledger.Record:
        if record.seeds and min(record.seeds) < self.first:
            allowed, remedy = f"seeds from {self.first} on", "leave seeds= out, or begin them at the study's first"
            raise BadInput.of(f"seeds of {record.id}", record.seeds, allowed, remedy)
        self._records[record.id] = record
        _show(_card(record, self._claims[record.id]), {"kind": "verdict", "id": record.id, "verdict": record.verdict})
        return record

    def _complete(self) -> None:
        missing = []
        for id, claim in self._claims.items():
            if claim.study != self.name or id in self._records:
                continue
            if self.profile in claim.not_run:
                self._records[id] = ledger.not_run(claim, self.profile, claim.not_run[self.profile])
            else:
                missing.append(id)
        if missing:
            remedy = "call study.check or study.not_run for each before study.conclude"
            raise BadInput.of("claims without a record", missing, "none", remedy)

    def _merged_claims(self, path: Path) -> bytes:
        """Return claims.jsonl with this study's lines replaced, in the order of claims/."""
        text = read_text(path) if path.exists() else ""
        rows = json_lines(text, path.name, ["id"])
        kept = {row["id"]: line for row, line in zip(rows, filter(str.strip, text.splitlines()), strict=True)}
        own = {id: record.as_json() for id, record in self._records.items()}
        others = {id: line for id, line in kept.items() if id in self._claims and self._claims[id].study != self.name}
        return "".join(f"{(own | others)[id]}\n" for id in self._claims if id in own or id in others).encode()

    def _run(self, answer: str) -> dict[str, Any]:
        """Return what may differ between two runs of the same results, for runs.json."""
        wall_s = round(time.perf_counter() - self._start, 1)
        return provenance.environment() | {
            "answer": answer.strip(),
            "wall_s": wall_s,
            "minutes": round(wall_s / 60, 1),
            "peak_memory_mb": provenance.peak_memory_mb(),
            "data": sorted(self._data.values(), key=lambda about: (about["name"], about["digest"])),
            "figures": list(self._figures.values()),
            "sweeps": [{name: getattr(done, name) for name in COUNTS} for done in self._sweeps],
            "kept_stale": any(done.kept_stale for done in self._sweeps),
        }


def _asked_for(claim: ledger.Claim, profile: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return (the evidence by the parts of this profile's check, names of parts without any).

    A part finds its evidence under its own name or its statistic's. BadInput for a name that no profile's check has.
    """
    parts = claim.check_for(profile).parts
    every = [leaf for check in (claim.check, *claim.profiles.values()) if check for leaf in check.parts]
    known = {name for leaf in every for name in (leaf.name, leaf.statistic)}
    found = {leaf.name: given.get(leaf.name, given.get(leaf.statistic)) for leaf in parts}
    missing = [name for name, values in found.items() if values is None]
    if unknown := sorted(set(given) - known):
        remedy = f"unknown: {unknown}"
        raise BadInput.of("names of the evidence", sorted(given), f"some of {sorted(known)}", remedy)
    return {name: values for name, values in found.items() if values is not None}, missing


def _identifier(what: str, name: str) -> str:
    if not re.fullmatch(IDENTIFIER, name):
        raise BadInput.of(what, name, "lower-case letters, digits and _", "it becomes the name of a file")
    return name


def _rendered(fig: Figure) -> tuple[bytes, bytes]:
    """Return `fig` as (SVG, PNG); the same figure gives the same bytes on every run."""
    import matplotlib.pyplot as plt

    svg, png = io.BytesIO(), io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "redlib", "svg.fonttype": "none"}):
        fig.savefig(svg, format="svg", metadata=NO_SVG_METADATA)
        # White paper: a PNG is shown where no theme can change its ink (a README in a dark browser).
        fig.savefig(png, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    plt.close(fig)
    return svg.getvalue(), png.getvalue()


def plain_numbers(text: str) -> str:
    """Return a sentence whose zeros have no minus, with "?" for what is no number (all seeds censored, not run)."""
    told, count = _UNKNOWN.subn("?", _SIGNED_ZERO.sub("", text.strip()))
    return f"{told} (“?”: no number at this profile.)" if count else told


def _show(content: dict[str, str], about: dict[str, Any]) -> None:
    """Display in a notebook, with `about` as metadata for the report; elsewhere print the text."""
    if shell() is None:
        print(content["text/plain"])
        return
    from IPython.display import publish_display_data

    publish_display_data(content, metadata={"redlib": about})


def _card(record: ledger.Record, claim: ledger.Claim) -> dict[str, str]:
    """Return a verdict as plain text and as HTML without styles: the report styles it by its class."""
    value = ""
    if record.estimate is not None:
        bounded = record.ci95 is not None and all(map(isfinite, record.ci95))
        interval = " [{:.3g}, {:.3g}]".format(*record.ci95) if record.ci95 and bounded else ""
        leaves = claim.check_for(record.profile).parts
        said = next((leaf.says for leaf in leaves if leaf.statistic == record.statistic), "") or record.statistic
        value = f"{said} = {record.estimate:.3g}{interval}"
    claimed = f"claimed {record.threshold}" if record.threshold else ""
    power = "underpowered" if record.underpowered else ""
    facts = "; ".join(
        fact for fact in (value, claimed, power, f"forecast: {ledger.PRIORS[record.prior]}", record.reason) if fact
    )
    html = f'<div class="verdict" data-verdict="{record.verdict}"><strong>{record.id}</strong> '
    html += f"<em>{record.word}</em> <span>{escape(facts)}</span></div>"
    return {"text/html": html, "text/plain": f"{record.id} {record.verdict}: {facts}"}


def _drop_old_figures(where: Outputs, last_run: object, current: Mapping[str, object]) -> None:
    """Remove the figures that the last run of this study made and this one no longer does; never outside `where`."""
    figures = last_run.get("figures") if isinstance(last_run, Mapping) else None
    listed = figures if isinstance(figures, list) else []
    named = [each.get("name") for each in listed if isinstance(each, Mapping)]
    # runs.json is a file that anybody may have edited: what is no name of ours is no file of ours.
    for name in {name for name in named if isinstance(name, str) and re.fullmatch(IDENTIFIER, name)} - {*current}:
        for path in _paths(where, name):
            path.unlink(missing_ok=True)


def _paths(where: Outputs, name: str) -> tuple[Path, Path, Path]:
    """Return the files of a figure: its drawings, and the table of what it draws."""
    return where.figures / f"{name}.svg", where.figures / f"{name}.png", where.results / "figures" / f"{name}.csv"
