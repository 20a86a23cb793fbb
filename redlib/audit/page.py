"""A report as one HTML page that reads offline: the answer, the layers with most surplus, and the evidence for it.

Every word that depends on a number is chosen by the number. Names of layers, classes and nets are whatever somebody
wrote, so all text goes through a template that escapes it, the page may run no script, and control characters and
marks that turn the direction of text become �. Style sheets are those of the study pages, read as data.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from redlib.audit.advice import next_step
from redlib.audit.drawing import drawn, kind_of, lead, percent, strips
from redlib.audit.measure import Measure, points
from redlib.audit.names import name_of, short, titled
from redlib.audit.removal import GRID, Curve
from redlib.errors import BadInput

if TYPE_CHECKING:
    from redlib.audit.report import Record, Report

TEMPLATES = Path(__file__).parent / "templates"
STYLES = Path(__file__).parents[1] / "report" / "templates"
OPEN_ROWS = 20  # of the ranked table; the others are folded
FEW = 3  # layers that are named for one reason
EVERY_MEASURE = 60  # layers; of larger nets the page tells only what is beyond chance
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
GLOSSARY = {
    "surplus": "Beyond chance on the side that says that something could go. Green marks it.",
    "beyond chance": "Outside the interval in which a further draw of the null falls, at a level so small that the "
    "audit of a net without any structure flags a single number once in a hundred times.",
    "null": "What the same measure gives where order was destroyed: the layer with its entries shuffled, or a twin.",
    "twin": "The net with the entries of every layer shuffled: the same shapes and values, nothing that was learned.",
    "share that can go": "The largest share of a grid that was removed without retraining while no more was lost than "
    "is tolerated. Of one layer at a time, all others whole, so shares of layers do not add up.",
    "sure": "The share for which even the upper end of Wilson's 95% interval of the decisions lost is tolerated.",
    "stable and effective rank": "How many directions carry a matrix, by its energy and by its entropy.",
    "spikes": "Eigenvalues past the edge of the random bulk: signal, and no surplus by themselves.",
    "effective dimension": "How many directions the activations of a layer use (participation ratio).",
    "NC1": "Scatter of the features within classes against that between them; small where classes collapse to points.",
    "moving of the output": "How far the output moves without a share of the weights: root mean square change over "
    "the output's own variation between examples, as a geometric mean over the shares removed.",
}
FOUND = {"replicated": "Found", "partly": "Found in part"}  # other verdicts are what was not found


def page(report: Report) -> str:
    """Return the report as one HTML page without any outside address; for 0 records, too, and interrupted ones."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "short": short, "count": count, "plain": plain}
    styles = {path.stem: Markup(path.read_text(encoding="utf-8")) for path in _styles()}
    template = environment.get_template("page.html.j2")
    parts: dict[str, Any] = {part.__name__: part(report) for part in PARTS}
    parts |= {"studies": studies(), "glossary": GLOSSARY}
    found = template.render(styles=styles, report=report, open_rows=OPEN_ROWS, **parts)
    return _ODD.sub("\ufffd", found)


def _styles() -> list[Path]:
    return [STYLES / "style.css", STYLES / "dark.css", TEMPLATES / "page.css"]


def write(texts: Mapping[str | os.PathLike[str], str]) -> None:
    """Write several files, all or none of them; BadInput, before anything, for one that cannot be written there."""
    targets = {check_target(path): text for path, text in texts.items()}
    parts = {target.with_name(f"{target.name}.part"): target for target in targets}
    try:
        for part, target in parts.items():
            part.write_text(targets[target], encoding="utf-8")
        for part, target in parts.items():
            os.replace(part, target)
    finally:
        for part in parts:
            if part.is_file():
                part.unlink()


def check_target(path: str | os.PathLike[str], what: str = "path") -> Path:
    """Return the path of a file to be written; BadInput where its folder is missing, or where it is a folder."""
    target = Path(path).absolute()
    if not target.parent.is_dir() or target.is_dir():
        raise BadInput.of(what, str(path), "a file in a folder that is there", "Make the folder first.")
    return target


def count(number: float | None) -> str:
    """Return a number with commas, – where there is none."""
    return "–" if number is None or not math.isfinite(number) else f"{number:,.0f}"


def facts(report: Report) -> dict[str, str]:
    """Return what was examined, by label."""
    settings, kinds = report.settings, {"module": "a module", "torchscript": "TorchScript", "export": "torch.export"}
    given, total = settings.get("examples", 0), settings.get("examples_given", 0)
    labels = "with labels" if settings.get("labels") else "without labels"
    data = f"{count(given)} of {count(total)} examples, {labels}" if given else "none: the weights alone"
    seen, removal = settings.get("activations", {}), settings.get("removal", {})
    looked = f"activations {count(seen['examples'])} examples, {seen['twins']} twins" if seen else ""
    looked += "; " * bool(seen and removal) + (f"removal {count(removal['examples'])} examples" if removal else "")
    examined = sum(record.parameters for record in report.records)
    found = {"Net": short(report.net), "Came as": kinds.get(report.form, report.form)}
    found |= {"Layers": f"{len(report.records)} examined, {len(report.skipped)} other parts not"}
    found |= {"Parameters": f"{examined:,} examined of {report.parameters:,}", "Data": data}
    found |= {"Looked at": looked} if looked else {}
    state = "complete" if report.complete else f"interrupted; done: {', '.join(report.stages) or 'no stage to its end'}"
    return found | {"Time": f"{report.seconds:,.0f} s", "State": state}


def answer(report: Report) -> list[str]:
    """Return the answer in three sentences: how much can go, whether that is beyond chance, where most of it lies."""
    if not report.records:
        return ["Nothing was examined before the audit was interrupted, so nothing can be said of this net."]
    return [how_much(report), beyond_chance(report), where(report)]


def how_much(report: Report) -> str:
    """Return the sentence on how many weights can go from all layers together."""
    curve = report.whole.get("weights")
    if curve is None:
        return f"How much could be removed was not measured: {_unmeasured(report)}."
    what = f"within {points(curve.tolerate)} of {kind_of(curve)}"
    if curve.safe == 0:
        return f"Of all layers together, not even the smallest share tried of the weights can go {what}."
    if curve.safe == 1:
        return f"All weights can go {what}: these examples do not test the net, which decides as well without weights."
    span = f"{percent(curve.safe_low)} to {percent(curve.safe_high)} by resampling {curve.examples:,} examples"
    return f"{percent(curve.safe)} of the weights of all layers together can go {what}, without retraining ({span})."


def _unmeasured(report: Report) -> str:
    if not report.settings.get("examples"):
        return "no data were given"
    return "no layer has weights of its own to remove" if report.complete else "the audit did not come so far"


def beyond_chance(report: Report) -> str:
    """Return the sentence on what twins, or shuffled weights, show as well."""
    change, layers_ = report.features.get("output_change"), [record for record in report.records if record.redundant]
    if change is None or not change.against:
        told = "shows surplus" if len(layers_) == 1 else "show surplus"
        number = f"{len(layers_)} of {len(report.records)} layers {told} beyond chance in at least one measure"
        if "weights" in report.whole:
            return f"Whether twins with shuffled weights bear as much is not known; {number}."
        return f"{number}." if layers_ else "In no layer a measure of surplus is beyond what shuffled weights show."
    beside = f"while weights go, its output moves {10**change.value:.2g} times its own variation between examples, " \
             f"that of {change.draws} twins with shuffled weights {10**change.null:.2g} times"  # fmt: skip
    if change.redundant:
        return (
            f"That is more than chance gives: {beside}. So the order of the weights, which an untrained net lacks, "
            "bears part of it."
        )
    if change.beyond:
        return (
            f"Chance gives more than that: {beside}. So the order of the weights makes this net more sensitive to "
            "removal, not less."
        )
    if "weights" in report.whole and not report.whole["weights"].safe:
        return f"Neither do {change.draws} twins with shuffled weights show that training left a surplus here."
    return (
        f"{change.draws} twins with shuffled weights bear as much, so this share is no evidence that training left a "
        "surplus: an untrained net of these shapes would show it too."
    )


def where(report: Report) -> str:
    """Return the sentence on the layer with most surplus."""
    first = rows(report)[0]
    if first["surplus"] == 0:
        return "No single layer shows a surplus."
    basis = "Taken alone" if first["measured"] else "By its weights alone"
    extent = f"{percent(first['surplus'])} of its {first['parameters']:,} parameters"
    return f"{basis}, layer {first['title']} holds most: {extent} look superfluous ({first['chance']})."


def notes(report: Report) -> list[str]:
    """Return what a reader must know of the answer."""
    curve, found = report.whole.get("weights"), []
    if not report.complete:
        found.append("The audit was interrupted: what is missing here was not measured, and absence is no finding.")
    if curve is None:
        return found
    if told := report.settings.get("renumbered"):
        found.append(told)
    if report.settings.get("labels") and not curve.labelled:
        found.append("The labels do not count: the net is not better at them than naming the most frequent one. What "
                     "is counted is whether decisions stay as they were.")  # fmt: skip
    if curve.sure < curve.safe:
        sure = f"enough to be sure of {percent(curve.sure)} only" if curve.sure else "too few to be sure of any share"
        found.append(f"{curve.examples:,} examples are {sure}.")
    found.append("Nothing was retrained: a net that may be fine-tuned bears more. Untrained nets bear some removal, "
                 "too; the ranking below goes by shares, and its column on chance says what twins show.")  # fmt: skip
    return found


def rows(report: Report) -> list[dict[str, Any]]:
    """Return the ranked layers, as `Report.verdict`, with the interval of the share and what twins say of it."""
    if not report.records:
        return []
    records = {record.name: record for record in report.records}
    found: list[dict[str, Any]] = []
    for _, row in report.verdict().iterrows():
        record = records[row["layer"]]
        best = record.best
        ends = reach(best) if best else "by its weights alone; nothing was removed"
        evidence = says(best) if best else row["evidence"]
        told = {"ends": ends, "evidence": evidence, "measured": best is not None, "chance": chance(record)}
        told |= {"title": record.title, "found": beyond(record)}
        found.append({**{str(key): value for key, value in row.items()}, "parameters": record.parameters} | told)
    return found


def reach(curve: Curve) -> str:
    """Return the interval of a safe share, and the share that is sure; of directions, whose share is not the saving."""
    told = f"{percent(curve.safe_low)} to {percent(curve.safe_high)}, sure {percent(curve.sure)}"
    return f"{percent(curve.safe)} of its {curve.what}: {told}" if curve.rank_cost else told


def says(curve: Curve) -> str:
    """Return what a curve of one layer says, below the name of that layer."""
    return replace(curve, where="this layer").says


def beyond(record: Record) -> bool:
    """Return whether what removal found in a layer, or its weights where nothing was removed, is beyond chance."""
    change = record.measures.get("output_change")
    return bool(record.redundant) if not record.curves else change is not None and change.redundant


def chance(record: Record) -> str:
    """Return in a few words whether twins bear the removal from a layer as well."""
    if not record.curves:
        return "beyond chance" if record.redundant else "not beyond chance"
    change = record.measures.get("output_change")
    if change is None or not change.against:
        return "not compared with twins"
    words = {-1: "beyond chance: bears more than twins", 0: "twins bear as much", 1: "twins bear more"}
    return words[change.beyond]


def whole(report: Report) -> list[dict[str, Any]]:
    """Return the measures of the net as a whole, as rows of a table."""
    return measured(report.features)


def measured(measures: Mapping[str, Measure]) -> list[dict[str, Any]]:
    """Return one row a measure: name with unit, value with its error, what chance gives, how the two compare."""
    return [_row(name, measure, measures.get(f"{name}_error")) for name, measure in measures.items()
            if not name.endswith("_error")]  # fmt: skip


def _row(raw: str, measure: Measure, error: Measure | None) -> dict[str, Any]:
    name = name_of(raw)
    value, null, low, high = (
        10**number if name.log else number for number in (measure.value, measure.null, measure.low, measure.high)
    )
    told = _cell(value) + (f" ± {_cell(error.value)}" if error and math.isfinite(error.value) else "")
    by = _cell(null) + (f" ({_cell(low)} to {_cell(high)})" if math.isfinite(high) else "")
    row = {"title": name.title, "value": told, "chance": f"{by}, {_against(measure)}" if measure.against else "–"}
    return row | _reading(measure)


def _against(measure: Measure) -> str:
    kind = "twins" if measure.against.startswith("twins") else "shuffles" if "shuffled" in measure.against else ""
    return f"{measure.draws} {kind}" if kind else measure.against


def _reading(measure: Measure) -> dict[str, str]:
    """Return in words how a measure compares with chance, and the class of these words."""
    if not math.isfinite(measure.value):
        return {"reading": measure.says, "mark": "soft"}
    if measure.redundant:
        return {"reading": "surplus", "mark": "flag"}
    if measure.beyond:
        side = "above" if measure.beyond > 0 else "below"
        return {"reading": f"{side} chance, which is no surplus", "mark": "other"}
    return {"reading": "within chance" if math.isfinite(measure.high) else "not compared", "mark": "soft"}


def layers(report: Report) -> list[dict[str, Any]]:
    """Return what the folded part of each layer shows: facts, drawing of its curves, sentences, and measures."""
    every, found = len(report.records) <= EVERY_MEASURE, []
    for number, record in enumerate(report.records, 1):
        curves = [curve for curve in record.curves.values() if len(curve.score) == len(GRID)]
        told = {name: measure for name, measure in record.measures.items() if every or measure.beyond}
        found.append({"record": record, "art": drawn(curves) if curves else None, "rows": measured(told),
                      "title": record.title,
                      "place": f"layer {number} of {len(report.records)}",
                      "left": len(record.measures) - len(told),
                      "curves": [says(curve) for curve in record.curves.values()],
                      "notes": record.facts.get("notes", [])})  # fmt: skip
    return found


def missing(report: Report) -> list[tuple[str, str]]:
    """Return what was not examined, and why, by name."""
    found = [(f"{one.name} ({one.kind}, {one.parameters:,} parameters)", one.reason) for one in report.skipped]
    found += [(f"units of {record.name}", record.unread) for record in report.records if record.unread]
    if not report.settings.get("examples"):
        found.append(("units, decisions and removal", "no data were given"))
    used = {stage: own.get("left out") for stage, own in report.settings.items() if isinstance(own, Mapping)}
    found += [(stage, why) for stage, why in used.items() if why and isinstance(why, str)]
    stages = ("weights", "activations", "removal") if report.settings.get("examples") else ("weights",)
    found += [(f"the stage {stage}", "interrupted") for stage in stages if stage not in report.stages]
    return found


def extras(report: Report) -> list[dict[str, Any]]:
    """Return the sections of stages that a report may have besides: sentences, and a table with named columns."""
    return [section for section in (in_depth(report), flat(report), bought(report)) if section]


def in_depth(report: Report) -> dict[str, Any] | None:
    """Return how the representation changes from place to place; None where that was not looked at."""
    if not report.depth:
        return None
    shapes = {record.name: record.shape for record in report.records if record.shape}
    rows = [row | {"name": titled(row["name"], shapes[row["name"]]) if row["name"] in shapes else short(row["name"])}
            for row in report.depth]  # fmt: skip
    cells = [[_cell(row.get(key)) for key in DEPTH] for row in rows]
    says = [row["says"] for row in report.depth if row.get("says")]
    says = says or ["No layer is a candidate: nowhere does the representation stop changing, as far as likeness tells."]
    return {"title": "Where in depth the representation changes", "says": says, "columns": list(DEPTH.values()),
            "cells": cells}  # fmt: skip


def flat(report: Report) -> dict[str, Any] | None:
    """Return how flat the loss is, as rows of measures; None where that was not looked at."""
    if not report.flatness:
        return None
    says = ["A flat loss is no surplus: scaling layers against each other changes most of these numbers and not the "
            "net. The error beside a number is that of its estimate."]  # fmt: skip
    return {"title": "How flat the loss is around the net", "says": says, "rows": measured(report.flatness)}


def bought(report: Report) -> dict[str, Any] | None:
    """Return what the cut would buy: before, after, and which layers must stay whole; None where none was made."""
    gains = report.gains
    if not gains:
        return None
    says = [gains["says"], *_kept(report, gains.get("whole", {}))]
    rows = [(words, gains["before"].get(key), gains["after"].get(key)) for key, words in GAINS.items()
            if "after" in gains]  # fmt: skip
    return {"title": "What the cut would buy", "says": says, "columns": ["", "before", "after"] if rows else [],
            "cells": [[words, _cell(before), _cell(after)] for words, before, after in rows]}  # fmt: skip


def _kept(report: Report, whole: Mapping[str, str]) -> list[str]:
    """Return one sentence a reason why layers keep all units, {layer: reason}, with the first ones named."""
    titles, found = {record.name: record.title for record in report.records}, []
    for why in dict.fromkeys(whole.values()):
        names = [titles.get(name, short(name)) for name, own in whole.items() if own == why]
        more = f", and {len(names) - FEW} more," if len(names) > FEW else ""
        found.append(f"{'; '.join(names[:FEW])}{more} keep{'s' * (len(names) == 1)} all units: {why}.")
    return found


def _cell(value: Any) -> str:
    if isinstance(value, Measure):
        return value.says
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int | float):
        return "–" if not math.isfinite(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def plain(value: Any) -> str:
    """Return a setting in words, without the marks of a program."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name.replace('_', ' ')}: {plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def studies() -> dict[str, list[dict[str, str]]]:
    """Return the claims that the audit's questions touch, by what the studies found of them at their small scale."""
    claims = json.loads((TEMPLATES / "studied.json").read_text(encoding="utf-8"))
    found: dict[str, list[dict[str, str]]] = {"Found": [], "Found in part": [], "Not found": []}
    for claim in claims:
        found[FOUND.get(claim["verdict"], "Not found")].append(claim)
    return {head: ones for head, ones in found.items() if ones}


def code(report: Report) -> str:
    """Return the call that repeats the audit, for the same net and data."""
    settings, given = report.settings, bool(report.settings.get("examples"))
    options = {"limit": settings["examples"], **settings.get("asked", {})} if given else {}
    options |= {name: settings[name] for name in ("tolerate", "seed", "effort") if name in settings}
    words = ", ".join(["net", *["data"] * given, *(f"{name}={value!r}" for name, value in options.items())])
    return f"import redlib.audit\nreport = redlib.audit({words})\nreport.html('audit.html')"


DEPTH: Final = {
    "name": "read after", "neighbours": "neighbours of the same class", "neighbours_null": "… by chance",
    "nc1": "scatter within classes (NC1)", "cka_before": "likeness with the place before (CKA)",
    "cka_last": "likeness with the last features", "candidate": "could go",
}  # fmt: skip
GAINS: Final = {
    "parameters": "parameters", "macs": "multiply-adds for one example", "bytes": "bytes",
    "latency_ms": "milliseconds for one example (median)",
}  # fmt: skip
PARTS: Final[tuple[Callable[..., Any], ...]] = (
    *(facts, answer, next_step, notes, rows, lead, strips, layers),
    *(missing, extras, whole, code),
)
