"""Mask explorer: one net's weights at a chosen density, and every arm's accuracy there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.evidence.stats import finite, mean_interval
from redlib.plots import COLOURS
from redlib.report.explorers.fragments import Axis, Plot, controls, fragment, packed, round_range, slider, svg, tint

Arms = Mapping[str, tuple[ArrayLike, str]]
MAX_WEIGHTS: Final = 46_000  # two bytes each, in base64, and 27 kB for the rest
FAINTEST, STRONGEST = 32, 127  # shades of a kept weight: never so faint that it looks cut
WIDTH, LEFT, RIGHT = 380, 44, 24  # of both plots, and their margins
TOP, FLOOR, PANEL = 32, 196, 240  # of the curves: head, axis and foot
HEAD, ROW, FOOT = 6, 34, 38  # of the rows, one for each arm
SIDE: Final = 250  # CSS pixels: two such matrices do not fit a phone, but one and a half do


@dataclass(frozen=True)
class Layer:
    """One weight matrix: `shades` int8 [out, in] (sign and strength), `last` int [out, in], `kept` int [L]."""

    shades: np.ndarray
    last: np.ndarray
    kept: list[int]

    def words(self, level: int) -> str:
        """Return how many weights are kept at this level, as a phrase: "1 234 kept, 20.6%"."""
        count = f"{self.kept[level]:,}".replace(",", "\u202f")
        return f"{count} kept, {100 * self.kept[level] / self.last.size:.3g}%"


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


def mask_explorer(
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
    weights the first rows are drawn, and the fragment says so. BadInput for densities that do not fall within (0, 1],
    layers or shapes that do not fit, levels out of range, unknown colours, and more than 150 kB.
    """
    kept = _falling(densities)
    layers = _layers(matrices, levels, len(kept))
    found = {label: _arm(label, values, colour, len(kept)) for label, (values, colour) in arms.items()}
    tints = {label: tint(colour) for label, (_, colour) in arms.items()}
    rows, labels, ticks, scale = _rows_that_fit(layers), [f"{100 * d:.3g}%" for d in kept], _ticks(found), 10**decimals
    plot = Plot(Axis(kept[0], kept[-1], LEFT, WIDTH - RIGHT, log), Axis(ticks[0], ticks[-1], FLOOR, TOP))
    data = {
        "labels": labels,
        "x": [plot.x(density) for density in kept],
        "layers": [_packed(layer, rows) for layer in layers.values()],
        "arms": [{"name": label, "at": _whole(values * scale)} for label, values in found.items()],
        **{"scale": scale, "digits": decimals, "unit": unit, "min": ticks[0] * scale, "max": ticks[-1] * scale},
        **{"left": LEFT, "room": WIDTH - LEFT - RIGHT, "top": TOP, "height": FLOOR - TOP},
    }
    told, place = f"{what} ({unit})" if unit else what, _begin(kept, start)
    drawn = _curves(plot, dict(zip(kept, labels, strict=True)), found, tints, ticks, told) + _rows(tints, ticks, told)
    below = f'{_both(layers, rows, drawn)}<p class="said" aria-live="polite"></p>'

    def body(id: str) -> str:
        return controls(slider(id, "density", "Weights kept", len(kept) - 1, place)) + below

    return fragment("masks", data, body, title=title, remedy="Show fewer arms or levels.")


# --- what is shown ------------------------------------------------------------------------------------------


def _falling(densities: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(density) for density in densities)
    falling = all(a > b for a, b in zip(values, values[1:], strict=False))
    if not values or not falling or not 0 < values[-1] <= values[0] <= 1 or len(values) > 255:
        allowed = "fractions kept in (0, 1] that fall"
        raise BadInput.of("densities", list(densities), allowed, "Start with the dense net.")
    return values


def _layers(matrices: Mapping[str, ArrayLike], levels: Mapping[str, ArrayLike], count: int) -> dict[str, Layer]:
    if not matrices or set(levels) != set(matrices):
        raise BadInput.of("layers", (list(matrices), list(levels)), "the same names", "Give each matrix its levels.")
    return {name: _layer(name, matrices[name], levels[name], count) for name in matrices}


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


def _arm(label: str, per_seed: ArrayLike, colour: str, count: int) -> np.ndarray:
    """Return mean, low and high [3, L]; low and high are NaN for a single seed."""
    values = np.asarray(per_seed, dtype=float)
    if values.ndim != 2 or values.shape[1] != count or not len(values):
        raise BadInput.of(f"shape of {label}", values.shape, f"[seeds, {count}]", "One value a seed and density.")
    if colour not in COLOURS:
        raise BadInput.of(f"colour of {label}", colour, str(list(COLOURS)), "Use a colour that follows the theme.")
    found = np.full((3, count), np.nan)
    for level in np.flatnonzero(~np.isnan(values).all(0)):
        interval = mean_interval(values[:, level])
        found[:, level] = interval.estimate, interval.low, interval.high
    return np.where(np.isfinite(found), found, np.nan)


def _begin(densities: Sequence[float], start: float | None) -> int:
    if start is None:
        return min(range(len(densities)), key=lambda level: abs(log(densities[level] / 0.2)))
    if start not in densities:
        raise BadInput.of("start", start, str(list(densities)), "Start at one of the densities.")
    return list(densities).index(start)


def _ticks(arms: Mapping[str, np.ndarray]) -> list[float]:
    """Return round values of the accuracy; the first and the last are the ends of its axis."""
    known = np.concatenate([values[np.isfinite(values)] for values in arms.values()] or [np.empty(0)])
    if not len(known):
        raise BadInput.of("arms", list(arms), "an arm with values", "Pass at least one arm.")
    low, high, step = round_range(float(known.min()), float(known.max()))
    return [float(f"{tick:.9g}") for tick in np.arange(low, high + step / 2, step)]


# --- the fragment -------------------------------------------------------------------------------------------


def _rows_that_fit(layers: Mapping[str, Layer]) -> int:
    """Return how many rows of each matrix can be drawn: the largest number within MAX_WEIGHTS."""
    shapes = [layer.last.shape for layer in layers.values()]
    for rows in range(max(shape[0] for shape in shapes), 0, -1):
        if sum(min(rows, height) * width for height, width in shapes) <= MAX_WEIGHTS:
            return rows
    raise BadInput.of("shapes of the matrices", shapes, f"rows of {MAX_WEIGHTS} weights", "Leave wide layers out.")


def _packed(layer: Layer, rows: int) -> dict[str, Any]:
    """Return a layer as the script reads it: its shades (int8), its last levels + 1 (uint8), and what is kept."""
    last = (layer.last[:rows] + 1).astype(np.uint8)
    kept = [layer.words(level) for level in range(len(layer.kept))]
    return {"shades": packed(layer.shades[:rows]), "last": packed(last), "kept": kept}


def _whole(values: np.ndarray) -> list[list[int | None]]:
    return [[None if np.isnan(value) else round(value) for value in row] for row in values.tolist()]


def _both(layers: Mapping[str, Layer], rows: int, plots: str) -> str:
    """Return the canvases, with their key, and the plots."""
    wide = " wide" if max(layer.last.shape[1] for layer in layers.values()) > WIDTH else ""
    drawn = "".join(_canvas(name, layer, rows) for name, layer in layers.items())
    matrices = f'<div class="layers">{drawn}{_key(layers, rows)}</div>'
    return f'<div class="both{wide}">{matrices}<div class="plots">{plots}</div></div>'


def _canvas(name: str, layer: Layer, rows: int) -> str:
    """Return the head, the canvas (a pixel for each weight, enlarged by a whole number) and the foot of a layer."""
    units, inputs = layer.last.shape
    shown = min(units, rows)
    zoom = max(1, min(6, SIDE // max(shown, inputs)))
    part = f", first {shown} of {units} units" if shown < units else ""
    alt = escape(f"Weights of {name}: {units} units (rows{part}) by {inputs} inputs, cut ones blank", quote=True)
    return (
        f'<div class="layer"><p class="name">{escape(name)} <small>{units} × {inputs}{part}</small></p>'
        f'<canvas class="{"smooth" if zoom == 1 else "sharp"}" width="{inputs}" height="{shown}"'
        f' style="width:{zoom * inputs}px" role="img" aria-label="{alt}"></canvas><p class="kept"></p></div>'
    )


def _key(layers: Mapping[str, Layer], rows: int) -> str:
    """Return what the colours mean and, where matrices are cropped, which rows are left out."""
    words = "Each row is a unit, each column one of its inputs; blank weights are cut."
    if any(rows < layer.last.shape[0] for layer in layers.values()):
        words += f" Drawn are the first {rows} rows of a matrix; counts are of all rows."
    swatches = "".join(f'<span><i class="{kind}"></i>{kind}</span>' for kind in ("negative", "positive"))
    return f'<p class="colours">{swatches} {words}</p>'


def _curves(
    plot: Plot,
    labels: Mapping[float, str],
    arms: Mapping[str, np.ndarray],
    tints: Mapping[str, str],
    ticks: Sequence[float],
    what: str,
) -> str:
    """Return the upper plot: each arm against density, its 95% band, a cursor and dots for the script to move."""
    densities = list(labels)
    shown = _spaced([plot.x(density) for density in densities], list(labels.values()))
    parts = [f'<text class="name" x="4" y="16">{escape(what)}</text>']
    parts.append(plot.frame([(densities[n], labels[densities[n]]) for n in shown], ticks, "weights kept"))
    parts.append(f'<line class="cursor" x1="-99" x2="-99" y1="{TOP}" y2="{FLOOR}"/>')
    for label, (mean, low, high) in arms.items():
        parts.append(f'<g style="{tints[label]}"><path class="band" d="{plot.band(densities, low, high)}"/>')
        parts.append(f'<path class="curve" d="{plot.path(densities, mean)}"/><circle class="dot" cx="-99" r="4"/></g>')
    return svg("curves", WIDTH, PANEL, f"{what} of each arm against the weights kept", *parts)


def _rows(tints: Mapping[str, str], ticks: Sequence[float], what: str) -> str:
    """Return the lower plot: a row for each arm, whose dot, interval and number the script sets."""
    foot = HEAD + 8 + ROW * len(tints)
    along = Plot(Axis(ticks[0], ticks[-1], LEFT, WIDTH - RIGHT), Axis(0, 1, foot, HEAD))
    parts = [f'<path class="grid" d="M{along.x(tick):g} {HEAD}V{foot}"/>' for tick in ticks]
    parts.append(along.frame([(tick, f"{tick:g}") for tick in ticks], [], escape(what)))
    for place, (label, colour) in enumerate(tints.items()):
        y = HEAD + 14 + ROW * place
        parts.append(f'<g class="row" style="{colour}"><text x="{LEFT}" y="{y}">{escape(label)}</text>')
        parts.append(f'<text class="y value" x="{WIDTH - RIGHT}" y="{y}"></text>')
        parts.append(
            f'<line class="ci" y1="{y + 9}" y2="{y + 9}"/><circle class="dot" cx="-99" cy="{y + 9}" r="4.5"/></g>'
        )
    return svg("rows", WIDTH, foot + FOOT, f"{what} of each arm at the density of the slider", *parts)


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
