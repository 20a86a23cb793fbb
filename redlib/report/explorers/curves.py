"""Curve explorer: error against width and against training time, at a chosen noise, width and epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log2
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.report.explorers.fragments import (
    Axis,
    Plot,
    controls,
    fragment,
    round_range,
    round_ticks,
    slider,
    svg,
)

AXES: Final = ("noise", "width", "epoch")
NAMES: Final = {"noise": "Label noise", "width": "Width", "epoch": "Epoch"}
WIDTH: Final = 380  # of one panel
LEFT, RIGHT, TOP, FLOOR = 50, 368, 40, 256  # the sides of its plot
STRIP: Final = (282, 332)  # head and foot of a strip below it
LONG: Final = 30  # the axis of epochs is logarithmic where the last is more than so many times the first above 0
TINTS: Final = {"test": "orange", "train": "blue"}
Curves = Mapping[str, ArrayLike]
Values = Mapping[str, Sequence[float]]
Arrays = dict[str, np.ndarray]
Plots = dict[str, dict[str, Plot]]  # of each panel and each curve


@dataclass(frozen=True)
class Errors:
    """The checked contents: axes by name, arrays[mean, low, high][test, train] over them, the places shown first."""

    values: dict[str, list[float]]
    arrays: dict[str, Arrays]
    begin: dict[str, int]
    names: dict[str, str]

    def along(self, name: str) -> dict[str, Arrays]:
        """Return the arrays along one axis, at the places shown first of the others."""
        at = tuple(slice(None) if axis == name else self.begin[axis] for axis in AXES)
        return {kind: {label: array[at] for label, array in found.items()} for kind, found in self.arrays.items()}


def curve_explorer(
    axes: Values,
    curves: Curves,
    *,
    low: Curves | None = None,
    high: Curves | None = None,
    start: Mapping[str, float] | None = None,
    unit: str = "%",
    what: str = "Error",
    labels: Mapping[str, str] | None = None,
    fit_below: float | None = 2.0,
    decimals: int = 1,
    focus: str = "",
) -> str:
    """Return the HTML of an explorer: error against width and against epoch, sliders for noise, width, epoch.

    `axes` maps noise, width and epoch to their values (an axis of one value gets no slider); `curves` maps
    test and, if wanted, train to arrays [noise, width, epoch] in `unit` (NaN: no value); `low` and `high` are
    the ends of 95% bands of the same shape; `start` are the values shown first (default: largest noise,
    middle width, last epoch). Noise is a fraction, shown in per cent. A dotted line marks where train first
    falls to `fit_below`. The curve `focus` has the plot and its vertical range for itself, the other one a strip below
    with a range of its own (default: both share one plot). Numbers are kept to `decimals`. BadInput for missing axes,
    other shapes, values that do not rise, and more than 150 kB.
    """
    values = _axes(axes)
    arrays = _all_arrays(curves, low or {}, high or {}, tuple(len(values[name]) for name in AXES))
    seen = Errors(values, arrays, _begin(values, start or {}), NAMES | dict(labels or {}))
    plots, scale = _plots(values, _heights(arrays, focus)), 10**decimals
    data = {
        "shape": [len(values[name]) for name in AXES],
        "labels": {name: [_label(name, value) for value in found] for name, found in values.items()},
        "x": {name: [found["test"].x(value) for value in values[name]] for name, found in plots.items()},
        "panel": (WIDTH, _height(plots["width"])),
        "rows": {label: _row(plot, scale) for label, plot in plots["width"].items()},
        **{"scale": scale, "digits": decimals, "unit": unit, "what": what, "names": list(arrays["mean"])},
        "fit": None if fit_below is None else fit_below * scale,
        **{kind: {name: _whole(a * scale) for name, a in found.items()} for kind, found in arrays.items()},
    }
    titled = f"{what} ({unit})" if unit else what
    return fragment("curves", data, lambda id: _body(seen, plots, titled, id), remedy="Thin out the epochs.")


# --- what is given ------------------------------------------------------------------------------------------


def _axes(axes: Values) -> dict[str, list[float]]:
    if set(axes) != set(AXES):
        raise BadInput.of("axes", sorted(axes), str(AXES), "Give an axis that was not varied one value.")
    values = {name: [float(value) for value in axes[name]] for name in AXES}
    for name, found in values.items():
        if not found or found != sorted(set(found)) or not all(map(isfinite, found)):
            raise BadInput.of(f"axis {name}", found, "finite values that rise", "Sort the values.")
    if values["width"][0] <= 0:
        raise BadInput.of("axis width", values["width"][0], "> 0", "Its axis is logarithmic.")
    return values


def _all_arrays(curves: Curves, low: Curves, high: Curves, shape: tuple[int, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Return kind (mean, low, high) -> curve -> array of this shape."""
    if "test" not in curves or set(low) != set(high) or not {*low, *curves} <= set(TINTS):
        given = {"curves": sorted(curves), "low": sorted(low), "high": sorted(high)}
        raise BadInput.of("curves", given, "test (and train); low and high for the same of these", "Rename them.")
    return {"mean": _arrays(curves, shape), "low": _arrays(low, shape), "high": _arrays(high, shape)}


def _arrays(curves: Curves, shape: tuple[int, ...]) -> Arrays:
    arrays = {name: np.asarray(curves[name], dtype=float) for name in TINTS if name in curves}
    for name, array in arrays.items():
        if array.shape != shape or not np.isfinite(array).any():
            raise BadInput.of(f"shape of {name}", array.shape, f"{shape}, not all NaN", f"Order the axes as {AXES}.")
    return arrays


def _heights(arrays: Mapping[str, Arrays], focus: str) -> dict[str, Axis]:
    """Return the vertical axis of each curve: one for all or, beside a `focus`, that of the other in a strip below."""
    labels = list(arrays["mean"])
    if focus and focus not in labels:
        raise BadInput.of("focus", focus, f"one of {labels}, or ''", "Name the curve to zoom on.")
    if not focus:
        return dict.fromkeys(labels, Axis(*_range(arrays, labels), FLOOR, TOP))
    sides = {label: (FLOOR, TOP) if label == focus else STRIP[::-1] for label in labels}
    return {label: Axis(*_range(arrays, [label]), *ends) for label, ends in sides.items()}


def _range(arrays: Mapping[str, Arrays], labels: Sequence[str]) -> tuple[float, float]:
    """Return the round ends of the vertical axis of these curves."""
    seen = [found for kind in arrays.values() for name, found in kind.items() if name in labels]
    known = np.concatenate([found[np.isfinite(found)] for found in seen])
    low, high, step = round_range(float(known.min()), float(known.max()))
    return low, max(high, low + step)


def _begin(values: Values, start: Mapping[str, float]) -> dict[str, int]:
    """Return the index each slider starts at; raise BadInput for a start value that is not on its axis."""
    chosen = {name: len(values[name]) - 1 for name in AXES} | {"width": len(values["width"]) // 2}
    for name, value in start.items():
        if value not in values.get(name, ()):
            raise BadInput.of(f"start[{name!r}]", value, str(values.get(name, AXES)), "Start at a value of the axis.")
        chosen[name] = list(values[name]).index(value)
    return chosen


# --- the fragment -------------------------------------------------------------------------------------------


def _body(seen: Errors, plots: Plots, what: str, id: str) -> str:
    """Return sliders, both panels at the start, and the readout."""
    sliders = [
        slider(id, name, escape(seen.names[name]), len(found) - 1, seen.begin[name])
        for name, found in seen.values.items()
        if len(found) > 1
    ]
    panels = [_panel(name, found, seen, what) for name, found in plots.items()]
    alt = f"{what} against {seen.names['width']} and against {seen.names['epoch']}, as the sliders say"
    drawing = svg("curves", 2 * WIDTH, _height(plots["width"]), alt, *panels)
    return f'{controls(*sliders)}{drawing}<p class="readout" aria-live="polite"></p>'


def _whole(array: np.ndarray) -> list[int | None]:
    """Return the values in the order of the array, rounded; None for NaN."""
    return [round(value) if isfinite(value) else None for value in array.ravel().tolist()]


def _label(name: str, value: float) -> str:
    if name == "noise":
        return f"{100 * value:g}%"
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 1e4 else f"{value:g}"


def _plots(values: Values, heights: Mapping[str, Axis]) -> Plots:
    """Return the plots against width, on a log axis, and against epoch, on one where the epochs span a lot."""
    scales = {"width": log2, "epoch": _time(values["epoch"])}
    across = {name: Axis(values[name][0], values[name][-1], LEFT, RIGHT, f) for name, f in scales.items()}
    return {name: {label: Plot(x, y) for label, y in heights.items()} for name, x in across.items()}


def _row(plot: Plot, scale: float) -> dict[str, float]:
    """Return the place and the range of a plot, for the script."""
    y = plot.y
    return {"top": y.end, "height": y.start - y.end, "min": y.low * scale, "max": y.high * scale}


def _foot(plots: Mapping[str, Plot]) -> float:
    return max(plot.y.start for plot in plots.values())


def _height(plots: Mapping[str, Plot]) -> float:
    """Return the height of a panel, with the numbers and the name of its axis below."""
    return _foot(plots) + 44


def _time(epochs: Sequence[float]) -> Callable[[float], float]:
    """Return the scale of the epochs; on a logarithmic one 0 lies left of the first by a factor of 2."""
    positive = [epoch for epoch in epochs if epoch > 0]
    if not positive or positive[-1] <= LONG * positive[0]:
        return float
    return lambda epoch: log2(max(epoch, positive[0] / 2))


def _ticks(plot: Plot, values: Sequence[float], base: int) -> list[tuple[float, str]]:
    """Return round values on the axis: powers of the base, at most nine of them, if it is logarithmic."""
    if plot.x.scale is float:
        found = round_ticks(values[0], values[-1])
    else:
        first, last = (log2(value) / log2(base) for value in (min(v for v in values if v > 0), values[-1]))
        powers = range(ceil(first - 1e-9), floor(last + 1e-9) + 1)
        found = [float(base) ** power for power in powers[:: 1 + len(powers) // 9]] or [values[0]]
    return [(value, _label("", value)) for value in found]


def _panel(name: str, plots: Mapping[str, Plot], seen: Errors, what: str) -> str:
    """Return one panel at the start: titles and key, grid, both curves, and what the script moves."""
    foot, height = _foot(plots), _height(plots)
    x = next(iter(plots.values())).x(seen.values[name][seen.begin[name]])
    dots = "".join(f'<circle class="dot {label}" cx="-99" r="4.5"/>' for label in plots)
    right = f' transform="translate({WIDTH},0)"' * (name == "epoch")
    return (
        f'<g class="{name}"{right}><rect width="{WIDTH}" height="{height}" fill="transparent"/>'
        f'<text class="name" x="8" y="18">{escape(what)}</text>{_key(plots)}{_frames(name, plots, seen)}'
        f'<g class="fit" transform="translate(-999,0)"><path d="M0 {TOP}V{foot}"/>'
        f'<text y="{TOP + 9}">training data fitted</text></g>'
        f'<line class="cursor" x1="{x:g}" x2="{x:g}" y1="{TOP}" y2="{foot}"/>'
        f"{_lines(plots, seen.values[name], seen.along(name))}"
        f"{dots}</g>"
    )


def _key(plots: Mapping[str, Plot]) -> str:
    """Return a piece of each curve with its name, above its plot, on the right."""
    tops, parts = [plot.y.end for plot in plots.values()], []
    line, text = '<path class="curve {0}" d="M{1} {2:g}h20"/>', '<text x="{1}" y="{2:g}">{0}</text>'
    for place, label in enumerate(plots):
        x, y = RIGHT - 68 * tops[place:].count(tops[place]), tops[place] - (26 if tops[place] == TOP else 10)
        parts.append(line.format(label, x, y) + text.format(label, x + 25, y + 4))
    return "".join(parts)


def _frames(name: str, plots: Mapping[str, Plot], seen: Errors) -> str:
    """Return the numbers along the axes of each plot; those of a strip are its ends and its middle."""
    parts = []
    for plot in dict.fromkeys(plots.values()):
        low, high = plot.y.low, plot.y.high
        up = round_ticks(low, high) if plot.y.end == TOP else [low, (low + high) / 2, high]
        last = plot.y.start == _foot(plots)
        across = _ticks(plot, seen.values[name], {"width": 2, "epoch": 10}[name]) if last else []
        parts.append(plot.frame(across, up, escape(seen.names[name]) * last))
    return "".join(parts)


def _lines(plots: Mapping[str, Plot], across: Sequence[float], shown: Mapping[str, Arrays]) -> str:
    """Return the bands and the curves, cut off where they leave their plot."""
    low, high, parts = shown["low"], shown["high"], []
    for label, mean in shown["mean"].items():
        plot = plots[label]
        band = plot.band(across, low[label], high[label]) if label in low else ""
        line = f'<path class="line curve {label}" d="{plot.path(across, mean)}"/>'
        parts.append(plot.cut(f'<path class="band {label}" d="{band}"/>{line}'))
    return "".join(parts)
