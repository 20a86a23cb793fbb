"""What to do next, in one paragraph chosen by the numbers: what to take out, what it saves, what to check afterwards.

Only shares that the audit is sure of are advised, and only where they save WORTH of the net; of several ways the one
that makes a smaller net comes first, for weights set to zero save no time on ordinary hardware.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scipy import stats

from redlib.audit.measure import points
from redlib.audit.removal import Curve

if TYPE_CHECKING:
    from redlib.audit.report import Record, Report

WORTH = 0.05  # of the parameters, or of the multiply-adds, that a cut has to save to be advised
NAMED = 3  # layers that are named


def next_step(report: Report) -> str:
    """Return what to do next; where something can go, with the check that has to follow."""
    if told := _first(report):
        return told
    ways = [way for way in (_units(report), _layer(report), _weights(report)) if way]
    if not ways:
        return _nothing(report)
    first, others = ways[0][0].upper() + ways[0][1:], [f"Or {way[0].lower()}{way[1:]}" for way in ways[1:2]]
    return " ".join([first, *others, _check(report), _compare(report)]).strip() + _of_signs(report)


def least_examples(tolerate: float) -> int | None:
    """Return how many examples, none of them lost, bound a loss by `tolerate` points: Wilson's 95%; None for 0."""
    square = float(stats.norm.isf(0.025)) ** 2
    return math.ceil(square * (100 / tolerate - 1)) if tolerate > 0 else None


def _first(report: Report) -> str:
    """Return what has to come before any cut, "" for nothing."""
    curve, settings = report.whole.get("weights"), report.settings
    if not report.records:
        return "Run the audit again, and let it come further."
    if not settings.get("examples"):
        return "Give the audit examples, with labels where there are some: weights alone do not show what the net's " \
               f"decisions bear, and nothing should be cut on their evidence.{_look_first(report)}"  # fmt: skip
    if not report.complete and "removal" not in report.stages:
        return "Run the audit again to its end before anything is cut: what was removed so far is not all."
    if curve is None:
        return "Nothing can be advised: no layer has weights of its own that could be removed."
    if settings.get("labels") and (told := _of_labels(settings, curve)):
        return f"Do not cut yet. {told}"
    if curve.safe == 1:
        return "Do not cut yet. These examples do not test the net: give some that it decides in different ways." \
               f"{_of_signs(report)}"  # fmt: skip
    return ""


def _of_labels(settings: Mapping[str, Any], curve: Curve) -> str:
    """Return what is to be mended in the labels, "" for nothing."""
    if settings.get("renumbered"):
        return f"{settings['renumbered']} Number them alike, or load the trained weights if it has others, and audit " \
               "again."  # fmt: skip
    if curve.labelled:
        return ""
    if settings.get("classes") == 1:
        return "All labels are the same, which any net that names one class gets right: give examples of several " \
               "classes, in random order if only the first of them are read."  # fmt: skip
    share = f", and right for {settings['accuracy']:.1%} of them" if "accuracy" in settings else ""
    return f"The net is not better at these labels than naming the most frequent one{share}. Check that it is the " \
           "trained net, that labels are numbered as its outputs are, and that the examples are prepared as in " \
           "training. If all is so, it has learned nothing here that a cut could spare."  # fmt: skip


def _of_signs(report: Report) -> str:
    """Return what a reader must know whose net has one output and no labels: it may be no classifier."""
    if report.settings.get("labels") or "sign of the one output" not in report.settings.get("decision", ""):
        return ""
    return " What is judged is the sign of the output, which says little of a regression: compare its errors instead."


def _look_first(report: Report) -> str:
    found = sorted(report.records, key=lambda record: -record.surplus[0] * record.parameters)
    named = [record.title for record in found[:NAMED] if record.surplus[0] > 0]
    return f" Where to look first: {'; '.join(named)}." if named else ""


def _units(report: Report) -> str:
    """Return what the smaller net is that the audit made, "" where there is none, it loses too much or saves little."""
    gains = report.gains
    if "lost" not in gains or gains["lost"] > gains["tolerate"]:
        return ""
    saved = {key: _saved(gains["before"][key], gains["after"][key]) for key in ("parameters", "macs")}
    if max(saved.values()) < WORTH:
        return ""
    faster = gains["after"]["latency_high"] < gains["before"]["latency_low"]
    time = f"{_saved(gains['before']['latency_ms'], gains['after']['latency_ms']):.0%} of the time for one example"
    return (
        f"Take units out, smallest norms first: {_listed(report, gains['units'])}. report.compacted() is that net. "
        f"It saves {saved['parameters']:.0%} of the parameters, {saved['macs']:.0%} of the multiply-adds and "
        f"{time if faster else 'no time that could be measured'}; on {gains['held_out']:,} examples it lost "
        f"{gains['lost']:.2g} points ({gains['lost_low']:.2g} to {gains['lost_high']:.2g}"
        f"{', so more than is tolerated is not excluded' * (gains['lost_high'] > gains['tolerate'])})."
    )


def _saved(before: float, after: float) -> float:
    return 1 - after / before if before > 0 else 0.0


def _listed(report: Report, removed: Mapping[str, int]) -> str:
    records = {record.name: record for record in report.records}
    most = sorted(removed, key=lambda name: -removed[name])
    told = [_thinned(removed[name], records.get(name), name) for name in most[:NAMED]]
    more = len(most) - len(told)
    return "; ".join(told) + (f"; and some of {more} more layer{'s' * (more > 1)}" if more else "")


def _thinned(count: int, record: Record | None, name: str) -> str:
    of = f" of {record.units:,}" if record and record.units else ""
    return f"{count:,}{of} in {record.title if record else name}"


def _layer(report: Report) -> str:
    """Return the cut of one layer that surely saves most of the net, "" where none saves enough."""
    pairs = [(record, replace(curve, safe=curve.sure)) for record in report.records for curve in _that_shrink(record)]
    record, curve = max(pairs, key=lambda pair: pair[0].parameters * pair[1].saves, default=(None, None))
    share = record.parameters * curve.saves / report.parameters if record and curve else 0.0
    if record is None or curve is None or share < WORTH:
        return ""
    what = (f"write {record.title} as two factors, without the {curve.safe:.0%} of its singular directions of smallest "
            "value" if curve.rank_cost else
            f"take {curve.safe:.0%} of the units out of {record.title}, smallest {curve.order} first")  # fmt: skip
    return f"{what}, which is sure within {points(curve.tolerate)} as long as the other layers stay whole. " \
           f"That saves {share:.0%} of all parameters."  # fmt: skip


def _that_shrink(record: Record) -> Sequence[Curve]:
    return [curve for name, curve in record.curves.items() if name != "weights"]


def _weights(report: Report) -> str:
    """Return the cut of single weights, "" for none that is sure."""
    curve = report.whole["weights"]
    if curve.sure < WORTH:
        return ""
    return (
        f"set the smallest {curve.sure:.0%} of all weights to zero, of all layers together. The file then packs "
        "smaller, but nothing runs faster without sparse kernels (LTH-32)."
    )


def _check(report: Report) -> str:
    """Return the check that has to follow a cut."""
    curve = report.whole["weights"]
    least = least_examples(curve.tolerate)
    enough = f"at least {least:,}" if least else "as many as there are: none bound a loss by 0 points"
    return f"Then compare the {curve.kind} with the net's own on examples that this audit did not see, {enough}; " \
           "fine-tune where it falls."  # fmt: skip


def _compare(report: Report) -> str:
    change = report.features.get("output_change")
    if change is None or not change.against or change.redundant:
        return ""
    return "Twins with shuffled weights bear as much, so also train a net of the smaller size from the start beside it."


def _nothing(report: Report) -> str:
    """Return why nothing is advised: too few examples, or cuts that save too little or lose too much."""
    curve = report.whole["weights"]
    within, least = points(curve.tolerate), least_examples(curve.tolerate)
    if max(curve.safe, *(own.safe for record in report.records for own in record.curves.values()), 0) == 0:
        return f"Nothing here is safe to remove: no share tried stays within {within}. Tolerate more, or remove, " \
               "fine-tune, and audit again."  # fmt: skip
    if least and curve.examples < least:
        return f"Give more examples before anything is cut: some can go on these {curve.examples:,}, but to be sure " \
               f"of a loss within {within} takes at least {least:,}."  # fmt: skip
    return (
        f"Nothing here is worth removing without retraining: what is surely within {within} saves under {WORTH:.0%} of "
        "the net. Tolerate more, give more examples, or remove, fine-tune, and audit again."
    )
