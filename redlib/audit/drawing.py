"""The figures of an audit's page, as SVG: curves of removal, the net beside its twins, and measures on their nulls.

Green is surplus found, blue what is beyond chance and no surplus; grey is chance. Names are text: `Markup.format`
escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from redlib.audit.measure import Measure
from redlib.audit.names import name_of
from redlib.audit.removal import GRID, Curve

if TYPE_CHECKING:
    from redlib.audit.report import Record, Report

COLOURS = ("var(--blue)", "var(--orange)", "var(--purple)", "var(--gold)")
FAR = 5.0  # where the axis of a strip ends, in units of `_place`
MOST_ROWS = 24  # of a strip; of more layers those beyond chance are drawn
LONGEST = 18  # characters of a name in a strip
LEGEND = 18  # height of a line below a figure
SVG = Markup('<svg class="plot{}" role="img" aria-label="{}" viewBox="0 0 {} {}" style="--w:{}">{}</svg>')


def percent(share: float) -> str:
    """Return a share in words of percent, – for NaN; what is not 0 does not read as 0."""
    if not math.isfinite(share):
        return "–"
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "under 1%"


def kind_of(curve: Curve) -> str:
    """Return what a curve counts, in words."""
    return "accuracy" if curve.labelled else "unchanged decisions"


def drawn(curves: Sequence[Curve]) -> Markup:
    """Return curves as one SVG: decisions that count against the share removed, the safe share of each marked."""
    body = Markup()
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        dash = Markup(' stroke-dasharray="6 3"') if number else Markup()
        body += _line([(share, score) for share, score in zip(GRID, curve.score, strict=True)], colour, dash)
        body += Markup('<rect x="{:.1f}" y="20" width="{:.1f}" height="200" opacity=".15" style="fill:{}"/>').format(
            _x(curve.safe_low), max(1.0, _x(curve.safe_high) - _x(curve.safe_low)), colour
        )
        body += Markup('<path d="M{:.1f} 20V220" style="stroke:{}" stroke-width="1.5"/>').format(_x(curve.safe), colour)
        body += _legend(number, colour, f"{curve.what}: {percent(curve.safe)} can go", dash)
    ticks = [(share, f"{share:.0%}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    axes, height = _axes(kind_of(curves[0]).capitalize(), ticks), 262 + LEGEND * len(curves)
    return SVG.format("", " ".join(curve.says for curve in curves), 420, height, 420, axes + body)


def _line(points: Sequence[tuple[float, float]], colour: str, dash: Markup) -> Markup:
    """Return a line through points (share, height in 0 to 1), those that are not finite left out."""
    places = [f"{_x(share):.1f},{_y(height):.1f}" for share, height in points if math.isfinite(height)]
    return Markup('<polyline points="{}" fill="none" stroke-width="2" style="stroke:{}"{}/>').format(
        " ".join(places), colour, dash
    )


def _legend(number: int, colour: str, words: str, dash: Markup) -> Markup:
    y = 270 + LEGEND * number
    return Markup(
        '<path d="M44 {0}h26" stroke-width="2" style="stroke:{1}"{3}/><text x="78" y="{4}" font-size="12">{2}</text>'
    ).format(y, colour, words, dash, y + 4)


def _axes(words: str, ticks: Sequence[tuple[float, str]]) -> Markup:
    """Return axes whose lines stand at these heights in 0 to 1, with what is measured above them."""
    lines = Markup('<text x="44" y="12" font-size="12">{}</text>').format(words)
    for height, told in ticks:
        lines += Markup('<path d="M44 {0:.1f}H400" style="stroke:var(--grid)" stroke-width=".7"/>').format(_y(height))
        lines += Markup('<text x="40" y="{:.1f}" text-anchor="end" font-size="11">{}</text>').format(
            _y(height) + 4, told
        )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines += Markup('<text x="{:.1f}" y="236" text-anchor="middle" font-size="11">{:.0%}</text>').format(
            _x(share), share
        )
    return lines + Markup('<text x="222" y="255" text-anchor="middle" font-size="12">share removed</text>')


def _x(share: float) -> float:
    return 44 + 356 * share


def _y(height: float) -> float:
    return 220 - 200 * height


def lead(report: Report) -> list[Markup]:
    """Return the figures of all layers together: the decisions, and the output beside that of twins, if there are."""
    curve = report.whole.get("weights")
    if curve is None or len(curve.score) != len(GRID):
        return []
    beside = moved(curve, report.twins)
    return [drawn([curve]), *([beside] if beside else [])]


def moved(curve: Curve, twins: dict[str, Any]) -> Markup | None:
    """Return how far the output moves as weights go, with the band from the lowest to the highest twin; None for none.

    The axis is logarithmic. The line in the band is the geometric mean of the twins.
    """
    own = [(share, math.log10(change)) for share, change in zip(GRID, curve.change, strict=True)
           if 0 < share < 1 and change > 0 and math.isfinite(change)]  # fmt: skip
    logs = _logs(twins)
    if not own or not len(logs):
        return None
    everything = [value for _, value in own] + [float(logs.min()), float(logs.max())]
    low = math.floor(min(everything) + 1e-9)
    high = max(low + 1, math.ceil(max(everything) - 1e-9))

    def scaled(value: float) -> float:
        return (value - low) / (high - low)

    ends = [[(share, scaled(v)) for share, v in zip(twins["shares"], end, strict=True)]
            for end in (logs.min(0), logs.mean(0), logs.max(0))]  # fmt: skip
    body = _band(ends[0], ends[2]) + _line(ends[1], "var(--grey)", Markup(' stroke-dasharray="6 3"'))
    body += _line([(share, scaled(v)) for share, v in own], COLOURS[0], Markup())
    body += _legend(0, COLOURS[0], "this net", Markup())
    body += _legend(1, "var(--grey)", f"{len(logs)} twins, weights shuffled: mean, lowest to highest",
                    Markup(' stroke-dasharray="6 3"'))  # fmt: skip
    ticks = [(scaled(power), f"{10.0**power:g}") for power in range(low, high + 1)]
    words = "How far the output moves (1: as between examples)"
    return SVG.format("", words, 420, 262 + 2 * LEGEND, 420, _axes(words, ticks) + body)


def _logs(twins: dict[str, Any]) -> Any:
    """Return the decimal logarithms [twins, shares] of twins' changes, without twins that have none."""
    changes = np.array(twins.get("changes", []), np.float64)
    if changes.ndim != 2 or not changes.size:
        return np.empty((0, 0))
    known = np.isfinite(changes).all(1) & (changes > 0).all(1)
    return np.log10(changes[known])


def _band(low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]]) -> Markup:
    """Return the area between two lines, or an upright bar where they have one point each."""
    wide = 0.01 if len(low) == 1 else 0.0
    there = [f"{_x(share - wide):.1f},{_y(v):.1f}" for share, v in low]
    there += [f"{_x(share + wide):.1f},{_y(v):.1f}" for share, v in low] if wide else []
    back = [f"{_x(share + wide):.1f},{_y(v):.1f}" for share, v in reversed(high)]
    back += [f"{_x(share - wide):.1f},{_y(v):.1f}" for share, v in high] if wide else []
    return Markup('<polygon class="twins" points="{}" opacity=".3" style="fill:var(--grey)"/>').format(
        " ".join(there + back)
    )


def strips(report: Report) -> list[dict[str, Any]]:
    """Return for each measure its layers against their nulls as SVG, those with most layers beyond chance first."""
    names = dict.fromkeys(name for record in report.records for name in record.measures)
    found = []
    for name in names:
        pairs = [(record, record.measures[name]) for record in report.records if name in record.measures]
        pairs = [(record, measure) for record, measure in pairs if measure.against and math.isfinite(measure.high)]
        if pairs:
            found.append(_strip_of(name_of(name).title, pairs))
    return sorted(found, key=lambda one: -one["beyond"])


def _strip_of(title: str, pairs: Sequence[tuple[Record, Measure]]) -> dict[str, Any]:
    surplus = sum(measure.redundant for _, measure in pairs)
    other = sum(bool(measure.beyond) and not measure.redundant for _, measure in pairs)
    parts = [f"surplus in {surplus}"] * bool(surplus) + [f"beyond chance and no surplus in {other}"] * bool(other)
    layers = f"{len(pairs)} layer{'s' * (len(pairs) > 1)}"
    told = f"{' and '.join(parts)} of {layers}" if parts else f"within chance in all of {layers}"
    shown = pairs if len(pairs) <= MOST_ROWS else [pair for pair in pairs if pair[1].beyond][:MOST_ROWS]
    told += f"; {len(shown)} drawn" if 0 < len(shown) < len(pairs) else ""
    return {"title": title, "told": told, "beyond": surplus + other,
            "art": _strip(title, told, shown) if shown else Markup()}  # fmt: skip


def _strip(title: str, told: str, pairs: Sequence[tuple[Record, Measure]]) -> Markup:
    height, body = 16 * len(pairs) + 24, Markup()
    for number, (record, measure) in enumerate(pairs):
        y, place = 16 * number + 12, _place(measure)
        body += Markup('<text x="108" y="{}" text-anchor="end" font-size="10.5">{}</text>').format(
            y + 4, _in_strip(record)
        )
        body += Markup('<path d="M{:.1f} {}H{:.1f}" stroke-width="7" style="stroke:var(--grid)"/>').format(
            _at(-1), y, _at(1)
        )
        body += _dot(measure, _at(place), y)
    for x, words in ((_at(-3), "← less"), (_at(0), "chance"), (_at(3), "more →")):
        body += Markup('<text x="{:.1f}" y="{}" text-anchor="middle" font-size="9.5">{}</text>').format(
            x, height - 4, words
        )
    return SVG.format(" strip", f"{title}: {told}", 300, height, 300, body)


def _in_strip(record: Record) -> str:
    """Return the name of a layer with its class where that is short enough, else the end of the name."""
    both = f"{record.name} {record.kind}"
    if len(both) <= LONGEST:
        return both
    return record.name if len(record.name) <= LONGEST else f"…{record.name[1 - LONGEST :]}"


def _dot(measure: Measure, x: float, y: float) -> Markup:
    if measure.redundant:
        return Markup('<circle class="redundant" cx="{:.1f}" cy="{}" r="4.5" style="fill:var(--green)"/>').format(x, y)
    if measure.beyond:
        return Markup(
            '<path class="other" d="M{:.1f} {}l5 5l-5 5l-5-5z" style="fill:var(--card);stroke:var(--blue)"/>'
        ).format(x, y - 5)
    return Markup('<circle cx="{:.1f}" cy="{}" r="2.5" style="fill:var(--soft)"/>').format(x, y)


def _place(measure: Measure) -> float:
    """Return the distance from the null's mean in half widths of its interval, logarithmic beyond 1, at most FAR."""
    above = measure.value >= measure.null
    width = measure.high - measure.null if above else measure.null - measure.low
    if not math.isfinite(measure.value) or measure.value == measure.null:
        return 0.0
    distance = abs(measure.value - measure.null) / width if width > 0 else math.inf
    reach = distance if distance <= 1 else min(FAR, 1 + math.log2(distance))
    return reach if above else -reach


def _at(place: float) -> float:
    return 206 + 88 * place / FAR
