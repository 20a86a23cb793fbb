"""Point player: the same points in panels side by side, frame by frame through training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.measures.simplex import simplex_etf
from redlib.plots import COLOURS
from redlib.report.explorers.fragments import controls, fragment, packed, slider, tint

WIDTH, HEIGHT = 280, 262  # of a panel
MARGINS, MARGIN = (22, 30), 12  # left and right, above and below; all around where no corner has a name
UNIT: Final = WIDTH / 4095  # a coordinate has 12 bits, a point three bytes
SHAPES: Final = {  # of one area
    "o": "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "^": "M0-4.6L4 2.4H-4z", "s": "M-2.7-2.7H2.7V2.7H-2.7z",
    "D": "M0-3.8L3.8 0L0 3.8L-3.8 0z",
}  # fmt: skip
MARKERS: Final = "o^sooooDDD"  # of the classes; the diamonds tell those apart that take a colour for the second time


@dataclass(frozen=True)
class Panel:
    """One scatter: `points` [T, n, 2], frames first, on one scale for all frames and both axes.

    `outline` [m, 2] is a polygon that stays, `corners` are the names written above or below its corners; `means` draws
    the mean of each class, marked points included, as a ring on a line from the origin; `rescale` divides each frame
    by its largest distance from the origin, and says so.
    """

    title: str
    points: ArrayLike
    outline: ArrayLike | None = None
    corners: Sequence[str] = ()
    means: bool = False
    rescale: bool = False


@dataclass(frozen=True)
class Placed:
    """A panel as it is drawn: `points` [T, n, 2], `outline` [m, 2] and the `ends` [low and high, 2] of all."""

    panel: Panel
    points: np.ndarray
    outline: np.ndarray
    ends: np.ndarray

    def pixels(self, places: ArrayLike) -> np.ndarray:
        """Return where places [..., 2] lie in the SVG [..., 2]."""
        spans = self.ends[1] - self.ends[0]
        room = np.array([WIDTH, HEIGHT]) - 2 * np.array(MARGINS if len(self.panel.corners) else MARGIN)
        scale = (room / np.maximum(spans, 1e-9 * (spans.max() or 1.0))).min()
        return np.array([WIDTH, HEIGHT]) / 2 + (np.asarray(places) - self.ends.mean(0)) * scale * [1, -1]


@dataclass(frozen=True)
class Movement:
    """What a player shows; points are in the order they are drawn in, `labels` [n] int and `marked` [n] bool too."""

    panels: tuple[Placed, ...]
    labels: np.ndarray
    marked: np.ndarray
    names: tuple[str, ...]
    frames: tuple[str, ...]
    ticks: tuple[str, ...]
    start: int

    def means(self, points: np.ndarray) -> np.ndarray:
        """Return the mean of the points [n, 2] of each class: [classes, 2]."""
        return np.stack([points[self.labels == k].mean(0) for k in range(len(self.names))])


def triangle() -> np.ndarray:
    """Return the corners of an equilateral triangle, 1 from the origin: lower left, lower right, top [3, 2]."""
    angles = np.radians([210, 330, 90])
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def on_triangle(probabilities: ArrayLike) -> np.ndarray:
    """Return where probabilities [..., 3] of three classes lie on `triangle`, their barycentric place [..., 2].

    BadInput unless the last axis is 3 and the values are >= 0 and add up to 1, within 1e-4.
    """
    shares = np.asarray(probabilities, dtype=float)
    if shares.ndim < 1 or shares.shape[-1] != 3:
        raise BadInput.of("shape of probabilities", shares.shape, "[..., 3]", "Give each point its three classes.")
    if not (np.abs(shares.sum(-1) - 1) <= 1e-4).all() or not (shares >= -1e-4).all():
        ends = (float(shares.sum(-1).min()), float(shares.sum(-1).max()), float(shares.min()))
        raise BadInput.of("least and largest sum, least value", ends, "1, 1, >= 0", "Pass the softmax of the logits.")
    return shares @ triangle()


def like_triangle(places: ArrayLike) -> np.ndarray:
    """Return places [..., 2] turned so that the corners of `simplex_etf(3, 2)` come to those of `triangle`."""
    return np.asarray(places, dtype=float) @ (simplex_etf(3, 2).numpy().T @ triangle()) * 2 / 3


def seen_from_the_diagonal(logits: ArrayLike) -> np.ndarray:
    """Return logits [..., 3] without their mean, along (1, 1, 1): a logit alone points to its corner of `triangle`."""
    values = np.asarray(logits, dtype=float)
    return (values - values.mean(-1, keepdims=True)) @ triangle()


def point_player(
    panels: Sequence[Panel],
    labels: ArrayLike,
    names: Sequence[str],
    frames: Sequence[str],
    *,
    ticks: Sequence[str],
    start: int | None = None,
    title: str = "",
    marked: ArrayLike | None = None,
    what: str = "Epoch",
) -> str:
    """Return the HTML of a player: n points in each of the panels, a slider over T frames, and a button to play them.

    `panels` are scatters of the same points, `labels` [n] their classes, integers from 0, and `names` those of the
    classes (10 at most, none without a point): each has a colour of `plots.COLOURS` and a shape. `frames` [T] are what
    is written above each frame, `ticks` [T] its name on the slider, which is called `what`; `start` is the frame shown
    first (default: the last), counted from 0. Points `marked` [n] bool, those with a wrong label, are drawn hollow.

    While it plays, points move on straight lines between frames, unless the reader prefers reduced motion. Without
    JavaScript the last frame is shown. BadInput for other shapes, values that are not finite, no frames, labels out of
    range, corners without an outline, and more than 150 kB.
    """
    seen = moving(panels, labels, names, frames, ticks, start, marked)
    data = {
        "points": [_packed(placed) for placed in seen.panels],
        "unit": UNIT,
        "labels": seen.labels.tolist(),
        "frames": seen.frames,
        "ticks": seen.ticks,
    }
    remedy = "Show fewer frames or points."
    return fragment("points", data, lambda id: _body(seen, what, id), title=title, remedy=remedy)


def moving(
    panels: Sequence[Panel],
    labels: ArrayLike,
    names: Sequence[str],
    frames: Sequence[str],
    ticks: Sequence[str],
    start: int | None = None,
    marked: ArrayLike | None = None,
) -> Movement:
    """Return the checked contents of a player; the arguments are those of `point_player`, and so is BadInput."""
    first = len(frames) - 1 if start is None else start
    if not len(frames) or len(ticks) != len(frames):
        raise BadInput.of("frames and ticks", (len(frames), len(ticks)), "at least one, as many of both", "Add them.")
    if first not in range(len(frames)):
        raise BadInput.of("start", first, f"0 to {len(frames) - 1}", "Count the frames from 0.")
    if not len(panels):
        raise BadInput.of("panels", len(panels), "at least one", "Pass a Panel.")
    classes = _classes(labels, len(names))
    wrong = np.zeros(len(classes), dtype=bool) if marked is None else np.asarray(marked)
    if wrong.shape != classes.shape or wrong.dtype != bool:
        raise BadInput.of("marked", (wrong.dtype, wrong.shape), f"bool {classes.shape}", "One value a point.")
    order = _order(classes, wrong)
    placed = tuple(_placed(panel, (len(frames), len(classes), 2), order) for panel in panels)
    return Movement(placed, classes[order], wrong[order], tuple(names), tuple(frames), tuple(ticks), first)


# --- what is shown ------------------------------------------------------------------------------------------


def _classes(labels: ArrayLike, count: int) -> np.ndarray:
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found) or not np.issubdtype(found.dtype, np.integer):
        raise BadInput.of("labels", (found.dtype, found.shape), "integers [n]", "Give each point its class.")
    if not 1 <= count <= len(MARKERS):
        raise BadInput.of("number of classes", count, f"1 to {len(MARKERS)}", "Show some of them.")
    if sorted(set(found.tolist())) != list(range(count)):
        told = f"0 to {count - 1}, each at least once"
        raise BadInput.of("labels", sorted(set(found.tolist())), told, "Give each class a name and a point.")
    return found


def _order(labels: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Return the order of drawing: classes take turns, so that none covers another; marked points come last, on top."""
    turn = np.zeros(len(labels), dtype=int)
    for label in set(labels.tolist()):
        turn[labels == label] = np.arange((labels == label).sum())
    return np.lexsort((labels, turn, marked))


def _placed(panel: Panel, shape: tuple[int, ...], order: np.ndarray) -> Placed:
    """Return the panel with its points [T, n, 2] in this order and on the scale it is drawn on."""
    points = _plane(f"points of {panel.title}", panel.points)
    if points.shape != shape:
        raise BadInput.of(f"shape of points of {panel.title}", points.shape, str(shape), "Order: frame, point, axis.")
    if panel.rescale:
        size = np.linalg.norm(points, axis=-1).max(1)
        points = points / np.where(size > 0, size, 1.0)[:, None, None]
    outline = _outline(panel)
    held = np.concatenate([points.reshape(-1, 2), outline, np.zeros((int(panel.means), 2))])
    return Placed(panel, points[:, order], outline, np.stack([held.min(0), held.max(0)]))


def _outline(panel: Panel) -> np.ndarray:
    """Return the polygon [m, 2], of no corners where the panel has none."""
    if panel.outline is None:
        outline = np.zeros((0, 2))
    else:
        outline = _plane(f"outline of {panel.title}", panel.outline)
        if outline.ndim != 2 or len(outline) < 3:
            told = "[m, 2], m >= 3"
            raise BadInput.of(f"outline of {panel.title}", outline.shape, told, "Pass the corners of a polygon.")
    if len(panel.corners) not in (0, len(outline)):
        remedy = "Name all corners or none."
        raise BadInput.of(f"corners of {panel.title}", tuple(panel.corners), f"{len(outline)} names", remedy)
    return outline


def _plane(what: str, places: ArrayLike) -> np.ndarray:
    found = np.asarray(places, dtype=float)
    if found.ndim < 2 or found.shape[-1] != 2:
        raise BadInput.of(f"shape of {what}", found.shape, "[..., 2]", "Project them onto a plane.")
    if not np.isfinite(found).all():
        bad = int((~np.isfinite(found)).sum())
        raise BadInput.of(f"values of {what} that are not finite", bad, "0", "Stop before training diverges.")
    return found


# --- the fragment -------------------------------------------------------------------------------------------


def _packed(placed: Placed) -> str:
    """Return base64 of the points [T, n] in pixels / UNIT, x and then y in 12 bits each: 4 letters a point."""
    x, y = np.moveaxis(np.rint(placed.pixels(placed.points) / UNIT).astype(int), -1, 0)
    return packed(np.stack([x >> 4, (x & 15) << 4 | y >> 8, y & 255], -1).astype(np.uint8))


def _body(seen: Movement, what: str, id: str) -> str:
    """Return button and slider, an SVG of the last frame for each panel, and the key."""
    ends = f"<small>{escape(seen.ticks[0])}</small><small>{escape(seen.ticks[-1])}</small>"
    play = '<button type="button"><i></i><span>Play</span></button>'
    bar = controls(play, slider(id, "frame", escape(what), len(seen.frames) - 1, seen.start, ends))
    longest = escape(max(seen.frames, key=len), quote=True)
    return (
        f'<div class="top-row">{bar}<p class="room" data-longest="{longest}">'
        f'<span class="readout" aria-live="polite">{escape(seen.frames[-1])}</span></p></div>{_shapes(seen, id)}'
        f'<div class="panels">{"".join(_panel(placed, seen, id) for placed in seen.panels)}</div>{_key(seen, id)}'
    )


def _panel(placed: Placed, seen: Movement, id: str) -> str:
    """Return a panel's title and its SVG: outline and corners, the points of the last frame, the class means."""
    names = ", ".join(seen.names)
    alt = f"{placed.panel.title}: {len(seen.labels)} points of the classes {names}, at the frame of the slider"
    small = "<small>each frame scaled to fit</small>" if placed.panel.rescale else ""
    ring = "h" if seen.marked.any() else ""
    kinds = [f"{label}{ring * bool(hollow)}" for label, hollow in zip(seen.labels, seen.marked, strict=True)]
    places = placed.pixels(placed.points[-1]).tolist()
    uses = [f'<use href="#{id}-{k}" x="{x:.1f}" y="{y:.1f}"/>' for k, (x, y) in zip(kinds, places, strict=True)]
    return (
        f'<div class="panel"><p class="name">{escape(placed.panel.title)}{small}</p>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt, quote=True)}">'
        f"{_frame(placed)}<g>{''.join(uses)}</g>{_means(placed, seen)}</svg></div>"
    )


def _frame(placed: Placed) -> str:
    """Return what does not move: the outline and the names of its corners, each on the outer side."""
    if not len(placed.outline):
        return ""
    corners = placed.pixels(placed.outline)
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in corners.tolist())
    parts = [f'<path class="outline" d="M{path}Z"/>']
    for name, (x, y) in zip(placed.panel.corners, corners.tolist(), strict=False):
        half = 3.4 * len(name)
        inside = min(max(x, half), max(WIDTH - half, WIDTH / 2))
        away = 21 if y > corners[:, 1].mean() else -13
        parts.append(f'<text x="{inside:.1f}" y="{y + away:.1f}" text-anchor="middle">{escape(name)}</text>')
    return "".join(parts)


def _means(placed: Placed, seen: Movement) -> str:
    """Return the class means of the last frame: lines from the origin, and rings that hide no point."""
    if not placed.panel.means:
        return ""
    (x, y), ends = placed.pixels([0, 0]).tolist(), placed.pixels(seen.means(placed.points[-1])).tolist()
    place = f'class="spoke" x1="{x:.1f}" y1="{y:.1f}"'
    parts = [f'<line {place} x2="{u:.1f}" y2="{v:.1f}" {_tint(k)}/>' for k, (u, v) in enumerate(ends)]
    return "".join(parts + [f'<circle class="ring" r="7" cx="{u:.1f}" cy="{v:.1f}"/>' for u, v in ends])


def _tint(label: int) -> str:
    return f'style="{tint(list(COLOURS)[label % len(COLOURS)])}"'


def _shapes(seen: Movement, id: str) -> str:
    """Return the shapes that the points refer to: one a class, and a hollow one where points are marked."""
    # Styles that a page's rules cannot reach: copies of these shapes are outside the fragment for selectors.
    looks = {"": "fill:var(--c);stroke:var(--figure-paper,#fff);stroke-width:.7"}
    if seen.marked.any():
        looks["h"] = "fill:var(--figure-paper,#fff);stroke:var(--c);stroke-width:1.6"
    shapes = [
        f'<g id="{id}-{k}{kind}" {_tint(k)}><path style="{look}" d="{SHAPES[MARKERS[k]]}"/></g>'
        for k in range(len(seen.names))
        for kind, look in looks.items()
    ]
    return f'<svg class="shapes" aria-hidden="true"><defs>{"".join(shapes)}</defs></svg>'


def _key(seen: Movement, id: str) -> str:
    """Return what the shapes and colours mean."""
    shapes = [f'<use href="#{id}-{k}"/>' for k in range(len(seen.names))]
    marks = [([shape], name) for shape, name in zip(shapes, seen.names, strict=True)]
    if seen.marked.any():
        wrong = sorted(set(seen.labels[seen.marked].tolist()))[:3]
        marks.append(([f'<use href="#{id}-{k}h"/>' for k in wrong], "wrong label"))
    if any(placed.panel.means for placed in seen.panels):
        marks.append((['<circle class="ring" r="6"/>'], "class mean"))
    head = '<svg viewBox="-8 -8 16 16" aria-hidden="true">'
    items = ("".join(f"{head}{mark}</svg>" for mark in drawn) + escape(name) for drawn, name in marks)
    return f'<ul class="key">{"".join(f"<li>{item}</li>" for item in items)}</ul>'
