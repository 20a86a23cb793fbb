"""Mask explorer: one net's weights at a chosen density and every arm's accuracy there, as a page and as a widget."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log
from typing import Any, Final

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.evidence.stats import finite, mean_interval
from redlib.report.fragments import fragment
from redlib.report.live import drawn
from redlib.report.plots import COLOURS, GRID, density_axis, dot_rows, heat, mark
from redlib.report.plots import curves as draw_curves

Arms = Mapping[str, tuple[ArrayLike, str]]
MAX_WEIGHTS: Final = 46_000  # two bytes each, in base64, and 27 kB for the rest
FAINTEST, STRONGEST = 32, 127  # shades of a kept weight: never so faint that it looks cut
WIDTH, LEFT, RIGHT = 380, 44, 24  # of both plots, and their margins
TOP, FLOOR, PANEL = 32, 196, 240  # of the curves: head, axis and foot
HEAD, ROW, FOOT = 6, 34, 44  # of the rows, one for each arm
SIDE: Final = 250  # CSS pixels: two such matrices do not fit a phone, but one and a half do


@dataclass(frozen=True)
class Layer:
    """One weight matrix: `shades` int8 [out, in] (sign and strength), `last` int [out, in], `kept` int [L]."""

    shades: np.ndarray
    last: np.ndarray
    kept: list[int]

    def shown(self, level: int) -> np.ndarray:
        """Return the shades of the weights kept at this level [out, in], NaN where a weight is cut."""
        return np.where(self.last >= level, self.shades, np.nan)

    def words(self, level: int) -> str:
        """Return how many weights are kept at this level, as a phrase: "1 234 kept, 20.6%"."""
        count = f"{self.kept[level]:,}".replace(",", "\u202f")
        return f"{count} kept, {100 * self.kept[level] / self.last.size:.3g}%"


@dataclass(frozen=True)
class Explored:
    """What both explorers show; `arms[label]` holds mean, low and high [3, L], NaN where there is no value."""

    densities: tuple[float, ...]
    labels: tuple[str, ...]
    layers: dict[str, Layer]
    arms: dict[str, np.ndarray]
    colours: dict[str, str]
    start: int


def survival(masks: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Return the last level at which each weight is kept, int [out, in] (-1: at none), from masks[layer] [L, out, in].

    BadInput for masks that are not bool or not nested: where a weight comes back, no single level says it all.
    """
    levels = {}
    for name, found in masks.items():
        kept = np.asarray(found)
        if kept.dtype != bool or kept.ndim != 3:
            raise BadInput.of(f"masks of {name}", (kept.dtype, kept.shape), "bool [L, out, in]", "Stack the levels.")
        back = int((kept[1:] & ~kept[:-1]).sum())
        if back:
            raise BadInput.of(f"weights of {name} that come back", back, "0", "Order the levels from dense to sparse.")
        levels[name] = kept.sum(0) - 1
    return levels


def explored(
    densities: Sequence[float],
    matrices: Mapping[str, ArrayLike],
    levels: Mapping[str, ArrayLike],
    arms: Arms,
    start: float | None = None,
) -> Explored:
    """Return the checked contents of an explorer; the arguments are those of `mask_twin`, and so is BadInput."""
    kept = _falling(densities)
    if not matrices or set(levels) != set(matrices):
        raise BadInput.of("layers", (list(matrices), list(levels)), "the same names", "Give each matrix its levels.")
    return Explored(
        densities=kept,
        labels=tuple(f"{100 * density:.3g}%" for density in kept),
        layers={name: _layer(name, matrices[name], levels[name], len(kept)) for name in matrices},
        arms={label: _arm(label, values, len(kept)) for label, (values, _) in arms.items()},
        colours={label: _colour(label, colour) for label, (_, colour) in arms.items()},
        start=_begin(kept, start),
    )


def mask_twin(
    densities: Sequence[float],
    matrices: Mapping[str, ArrayLike],
    levels: Mapping[str, ArrayLike],
    arms: Arms,
    *,
    title: str = "",
    what: str = "Test accuracy",
    unit: str = "%",
    decimals: int = 1,
    start: float | None = None,
) -> str:
    """Return the HTML of an explorer: a slider over the density, the weights kept there, the accuracy of each arm.

    `densities` [L] are the fractions of weights kept, falling; `matrices[layer]` [out, in] the weights of one net
    (of one seed: initial or trained, say in the caption which) and `levels[layer]` [out, in] the last level (0 to
    L - 1, -1 for none) at which a weight is kept (see `survival`). `arms[label]` = (per seed [S, L] in `unit`, name
    of a colour of `plots.COLOURS`), as for `plots.curves`; shown are the mean and its 95% t interval; NaN for all
    seeds says that an arm has no value there. `start` is the density shown first (default: that nearest 20%).

    Shades are relative to the 99% quantile of |w| in the layer. Counts are of whole layers; of nets above 46 000
    weights the first rows are drawn, and the fragment says so. It has ids of its own, follows the page's theme and
    names no outside address. BadInput for densities that do not fall within (0, 1], layers or shapes that do
    not fit, levels out of range, unknown colours, and more than 150 kB.
    """
    seen = explored(densities, matrices, levels, arms, start)
    rows = _rows_that_fit(seen.layers)
    scale, ends = 10**decimals, _range(seen.arms)
    data = {
        "labels": seen.labels,
        "x": _across(seen.densities),
        "layers": [_packed(layer, rows) for layer in seen.layers.values()],
        "arms": [{"name": label, "at": _whole(values * scale)} for label, values in seen.arms.items()],
        **{"scale": scale, "digits": decimals, "unit": unit},
        **{"min": ends[0] * scale, "max": ends[-1] * scale, "left": LEFT, "room": WIDTH - LEFT - RIGHT},
        **{"top": TOP, "height": FLOOR - TOP},
    }
    told = f"{what} ({unit})" if unit else what
    remedy = "Show fewer arms or levels."
    return fragment("mask_explorer", data, lambda id: _body(seen, rows, told, ends), title=title, remedy=remedy)


# --- what is shown ------------------------------------------------------------------------------------------


def _falling(densities: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(density) for density in densities)
    falling = all(a > b for a, b in zip(values, values[1:], strict=False))
    if not values or not falling or not 0 < values[-1] <= values[0] <= 1 or len(values) > 255:
        raise BadInput.of(
            "densities", list(densities), "fractions kept in (0, 1] that fall", "Start with the dense net."
        )
    return values


def _layer(name: str, matrix: ArrayLike, levels: ArrayLike, count: int) -> Layer:
    weights, last = finite(matrix, f"matrix {name}", ndim=2), np.asarray(levels)
    if last.shape != weights.shape or not np.issubdtype(last.dtype, np.integer):
        told = f"integers {weights.shape}"
        raise BadInput.of(f"levels of {name}", (last.dtype, last.shape), told, "Give each weight its last level.")
    if last.min() < -1 or last.max() >= count:
        ends = (int(last.min()), int(last.max()))
        raise BadInput.of(f"levels of {name}", ends, f"-1 to {count - 1}", "Count them from the first density, as 0.")
    size = np.abs(weights)
    strength = np.minimum(size / (np.quantile(size, 0.99) or 1.0), 1.0)
    shades = np.rint(FAINTEST + (STRONGEST - FAINTEST) * strength) * np.where(weights < 0, -1, 1)
    return Layer(shades.astype(np.int8), last, [int((last >= level).sum()) for level in range(count)])


def _arm(label: str, per_seed: ArrayLike, count: int) -> np.ndarray:
    """Return mean, low and high [3, L]; low and high are NaN for a single seed."""
    values = np.asarray(per_seed, dtype=float)
    if values.ndim != 2 or values.shape[1] != count or not len(values):
        raise BadInput.of(f"shape of {label}", values.shape, f"[seeds, {count}]", "One value a seed and density.")
    found = np.full((3, count), np.nan)
    for level in np.flatnonzero(~np.isnan(values).all(0)):
        interval = mean_interval(values[:, level])
        found[:, level] = interval.estimate, interval.low, interval.high
    return np.where(np.isfinite(found), found, np.nan)


def _colour(label: str, colour: str) -> str:
    if colour not in COLOURS:
        raise BadInput.of(f"colour of {label}", colour, str(list(COLOURS)), "Use a colour that follows the theme.")
    return colour


def _begin(densities: Sequence[float], start: float | None) -> int:
    if start is None:
        return min(range(len(densities)), key=lambda level: abs(log(densities[level] / 0.2)))
    if start not in densities:
        raise BadInput.of("start", start, str(list(densities)), "Start at one of the densities.")
    return list(densities).index(start)


# --- the fragment -------------------------------------------------------------------------------------------


def _rows_that_fit(layers: Mapping[str, Layer]) -> int:
    """Return how many rows of each matrix can be drawn: the largest number within MAX_WEIGHTS."""
    shapes = [layer.last.shape for layer in layers.values()]
    for rows in range(max(shape[0] for shape in shapes), 0, -1):
        if sum(min(rows, height) * width for height, width in shapes) <= MAX_WEIGHTS:
            return rows
    raise BadInput.of("shapes of the matrices", shapes, f"rows of {MAX_WEIGHTS} weights", "Leave wide layers out.")


def _packed(layer: Layer, rows: int) -> dict[str, Any]:
    """Return a layer as the script reads it: base64 of shades (int8) and of last levels + 1 (uint8), row by row."""
    arrays = {"shades": layer.shades[:rows], "last": (layer.last[:rows] + 1).astype(np.uint8)}
    text = {name: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode() for name, array in arrays.items()}
    return {**text, "kept": [layer.words(level) for level in range(len(layer.kept))]}


def _whole(values: np.ndarray) -> list[list[int | None]]:
    return [[None if np.isnan(value) else round(value) for value in row] for row in values.tolist()]


def _range(arms: Mapping[str, np.ndarray]) -> list[float]:
    """Return the ticks of the accuracy, about five round values; the first and the last are the ends of its axis."""
    known = np.concatenate([values[np.isfinite(values)] for values in arms.values()] or [np.empty(0)])
    if not len(known):
        raise BadInput.of("arms", list(arms), "an arm with values", "Pass at least one arm.")
    low, high = float(known.min()), float(known.max())
    return [float(tick) for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high + (high == low))]


def _across(densities: Sequence[float]) -> list[float]:
    """Return where the densities lie across the plot, on a log axis from the densest on the left."""
    span = log(densities[0] / densities[-1]) or 1.0
    return [round(LEFT + (WIDTH - LEFT - RIGHT) * log(densities[0] / value) / span, 1) for value in densities]


def _body(seen: Explored, rows: int, what: str, ticks: Sequence[float]) -> str:
    """Return slider, a canvas for each layer, one SVG, and the readout."""
    layers = "".join(_canvas(name, layer, rows) for name, layer in seen.layers.items())
    wide = " wide" if max(layer.last.shape[1] for layer in seen.layers.values()) > WIDTH else ""
    return (
        f'{_slider(seen)}<div class="both{wide}"><div class="layers">{layers}{_key(seen.layers, rows)}</div>'
        f'<div class="plots">{_curves(seen, what, ticks)}{_rows(seen, what, ticks)}</div></div>'
        '<p class="readout" aria-live="polite"></p>'
    )


def _svg(kind: str, height: int, alt: str, parts: Sequence[str]) -> str:
    head = f'<svg class="{kind}" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(alt, quote=True)}">'
    return head + "".join(parts) + "</svg>"


def _slider(seen: Explored) -> str:
    last = len(seen.densities) - 1
    return (
        '<div class="sliders"><label><span>Weights kept</span><output></output>'
        f'<input type="range" data-axis="density" min="0" max="{last}" step="1" value="{seen.start}"></label></div>'
    )


def _canvas(name: str, layer: Layer, rows: int) -> str:
    """Return the head, the canvas (a pixel for each weight, enlarged by a whole number) and the foot of a layer."""
    units, inputs = layer.last.shape
    shown = min(units, rows)
    zoom = max(1, min(6, SIDE // max(shown, inputs)))
    part = f", first {shown} of {units} units" if shown < units else ""
    alt = escape(f"Weights of {name}: {units} units (rows{part}) by {inputs} inputs, cut ones blank", quote=True)
    return (
        f'<div class="layer"><p class="name">{escape(name)} <span>{units} × {inputs}{part}</span></p>'
        f'<canvas class="{"smooth" if zoom == 1 else "sharp"}" width="{inputs}" height="{shown}"'
        f' style="width:{zoom * inputs}px" role="img" aria-label="{alt}"></canvas><p class="kept"></p></div>'
    )


def _key(layers: Mapping[str, Layer], rows: int) -> str:
    """Return what the colours mean and, where matrices are cropped, which rows are left out."""
    words = "Each row is a unit, each column one of its inputs; blank weights are cut."
    if any(rows < layer.last.shape[0] for layer in layers.values()):
        words += f" Drawn are the first {rows} rows of a matrix; counts are of all rows."
    swatches = "".join(f'<span><i class="{kind}"></i>{kind}</span>' for kind in ("negative", "positive"))
    return f'<p class="key">{swatches} {words}</p>'


def _curves(seen: Explored, what: str, ticks: Sequence[float]) -> str:
    """Return the upper plot: each arm against density, its 95% band, a cursor and dots for the script to move."""
    across = _across(seen.densities)
    parts = [f'<rect width="{WIDTH}" height="{PANEL}" fill="transparent"/>']
    parts.append(f'<text class="name" x="4" y="16">{escape(what)}</text>')
    for tick in ticks:
        y = _height(tick, ticks)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:g}" text-anchor="end">{tick:g}</text>')
    for level in _spaced(across, seen.labels):
        parts.append(f'<text x="{across[level]}" y="{FLOOR + 17}" text-anchor="middle">{seen.labels[level]}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle:g}" y="{FLOOR + 35}" text-anchor="middle">weights kept</text>')
    parts.append(f'<line class="cursor" y1="{TOP}" y2="{FLOOR}"/>')
    for label, values in seen.arms.items():
        low, high = (_points(across, row, ticks) for row in values[1:])
        band = "L".join([*low, *high[::-1]])
        parts.append(f'<g style="{_tint(seen.colours[label])}"><path class="band" d="{"M" * bool(band)}{band}"/>')
        parts.append(f'<path class="curve" d="{_outline(across, values[0], ticks)}"/><circle class="dot" r="4"/></g>')
    return _svg("curves", PANEL, f"{what} of each arm against the weights kept", parts)


def _rows(seen: Explored, what: str, ticks: Sequence[float]) -> str:
    """Return the lower plot: a row for each arm, whose dot, interval and number the script sets."""
    foot, room = HEAD + 8 + ROW * len(seen.arms), WIDTH - LEFT - RIGHT
    parts = []
    for tick in ticks:
        x = f"{LEFT + room * (tick - ticks[0]) / (ticks[-1] - ticks[0]):.1f}"
        parts.append(f'<path class="grid" d="M{x} {HEAD}V{foot}"/>')
        parts.append(f'<text x="{x}" y="{foot + 15}" text-anchor="middle">{tick:g}</text>')
    for place, label in enumerate(seen.arms):
        y = HEAD + 14 + ROW * place
        parts.append(f'<g class="row" style="{_tint(seen.colours[label])}">')
        parts.append(f'<text x="{LEFT}" y="{y}">{escape(label)}</text>')
        parts.append(f'<text class="value" x="{WIDTH - RIGHT}" y="{y}" text-anchor="end"></text>')
        parts.append(f'<line class="ci" y1="{y + 9}" y2="{y + 9}"/><circle class="dot" cy="{y + 9}" r="4.5"/></g>')
    middle = LEFT + room / 2
    parts.append(f'<text class="name" x="{middle:g}" y="{foot + 32}" text-anchor="middle">{escape(what)}</text>')
    return _svg("rows", HEAD + ROW * len(seen.arms) + FOOT, f"{what} of each arm at the density of the slider", parts)


def _tint(colour: str) -> str:
    return f"--c:var(--{colour},{COLOURS[colour]})"


def _height(value: float, ticks: Sequence[float]) -> float:
    return round(TOP + (ticks[-1] - value) / (ticks[-1] - ticks[0]) * (FLOOR - TOP), 1)


def _points(across: Sequence[float], values: np.ndarray, ticks: Sequence[float]) -> list[str]:
    return [f"{x} {_height(y, ticks)}" for x, y in zip(across, values.tolist(), strict=True) if np.isfinite(y)]


def _outline(across: Sequence[float], values: np.ndarray, ticks: Sequence[float]) -> str:
    """Return the path of a curve, interrupted where there is no value."""
    path, pen = "", "M"
    for x, y in zip(across, values.tolist(), strict=True):
        path, pen = (path + f"{pen}{x} {_height(y, ticks)}", "L") if np.isfinite(y) else (path, "M")
    return path


def _spaced(across: Sequence[float], labels: Sequence[str]) -> list[int]:
    """Return the levels whose labels are written: the first, the last and those between that touch no other."""
    half = [3.5 * len(label) + 5 for label in labels]
    last = len(labels) - 1
    shown = [0]
    for level in range(1, last):
        room = half[level] + half[shown[-1]], half[level] + half[last]
        if across[level] - across[shown[-1]] >= room[0] and across[last] - across[level] >= room[1]:
            shown.append(level)
    return [*shown, last] if last else shown


# --- the live widget ----------------------------------------------------------------------------------------


def mask_explorer(
    densities: Sequence[float],
    matrices: Mapping[str, ArrayLike],
    levels: Mapping[str, ArrayLike],
    arms: Arms,
    what: str = "test accuracy (%)",
) -> ipywidgets.Widget:
    """Return a slider for the density over one net's weights (cut ones blank) and the accuracy of every arm.

    The arguments, and BadInput, are those of `mask_twin`: densities [L], matrices and levels
    {layer: [out, in]}, arms {label: (per seed [S, L], colour)}. An arm without values at a density has no row there.
    """
    seen = explored(densities, matrices, levels, arms)
    slider = ipywidgets.SelectionSlider(
        options=[(label, level) for level, label in enumerate(seen.labels)],
        value=seen.start,
        description="weights kept",
        style={"description_width": "initial"},
    )

    def draw(level: int) -> None:
        fig = plt.figure(figsize=(11, 4.6), layout="constrained")
        left, right = fig.subfigures(1, 2, squeeze=False)[0]
        _matrices(left, seen, level)
        top, bottom = right.subplots(2, 1)
        draw_curves(top, seen.densities, arms, seeds=False, legend="", ylabel=what)
        density_axis(top, seen.densities)
        mark(top, seen.densities[level], seen.labels[level])
        here = {label: (np.asarray(values)[:, level], colour) for label, (values, colour) in arms.items()}
        dot_rows(bottom, {label: row for label, row in here.items() if np.isfinite(row[0]).all()}, xlabel=what)
        bottom.set_xlim(top.get_ylim())  # one range for all densities: the dots move, the axis does not
        plt.show()

    return ipywidgets.VBox([slider, drawn(draw, {"level": slider})])


def _matrices(fig: SubFigure, seen: Explored, level: int) -> None:
    """Draw the weights of each layer that are kept at this level, blue negative and orange positive."""
    widths = [layer.last.shape[1] for layer in seen.layers.values()]
    room = [max(width, 0.4 * max(widths)) for width in widths]  # its words need room below a narrow one
    axes = fig.subplots(1, len(widths), width_ratios=room, squeeze=False)[0]
    for ax, (name, layer) in zip(axes, seen.layers.items(), strict=True):
        heat(ax, layer.shown(level), xlabel=layer.words(level), title=name, limits=(-STRONGEST, STRONGEST), centre=0)
        ax.spines[:].set(visible=True, color=GRID)  # where a sparse matrix ends
        ax.set_anchor("N")
        ax.xaxis.label.set_size(9)
