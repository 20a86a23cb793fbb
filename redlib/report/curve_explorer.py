"""Curve explorer: error against width and against training time, as a page of its own and as a live widget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil, floor, isfinite, log2
from typing import Any, Final

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.report.fragments import fragment, round_range
from redlib.report.live import drawn
from redlib.report.plots import COLOURS, log2_axis, mark

AXES: Final = ("noise", "width", "epoch")
PANEL: Final = (380, 300)  # size of one panel
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 40, 44  # its margins
Curves = Mapping[str, ArrayLike]
Arrays = dict[str, np.ndarray]
Ticks = list[tuple[float, str]]  # (place in the panel, what is written there)
Vertical = tuple[float, float, float]  # bottom, top and step of the vertical axis


def curve_twin(
    axes: Mapping[str, Sequence[float]],
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
    falls to `fit_below`. The vertical range is that of the curve `focus` (default: all), the others are cut off
    where they leave it. Numbers are kept to `decimals`. The fragment has ids of its own, follows the page's
    theme and names no outside address. BadInput for missing axes, other shapes, values that do not rise, and
    more than 150 kB.
    """
    values = _axes(axes)
    arrays = _all_arrays(curves, low or {}, high or {}, tuple(len(values[name]) for name in AXES))
    if focus and focus not in arrays["mean"]:
        raise BadInput.of("focus", focus, f"one of {list(arrays['mean'])}, or ''", "Name the curve to zoom on.")
    seen = [found for kind in arrays.values() for name, found in kind.items() if focus in ("", name)]
    known = np.concatenate([found[np.isfinite(found)] for found in seen])
    vertical = round_range(float(known.min()), float(known.max()))
    scale = 10**decimals
    data = _drawing(values, vertical, scale) | {
        "scale": scale,
        "digits": decimals,
        "unit": unit,
        "what": what,
        "fit": None if fit_below is None else fit_below * scale,
        "names": list(arrays["mean"]),
        **{kind: {name: _whole(a * scale) for name, a in found.items()} for kind, found in arrays.items()},
    }
    names = {"noise": "Label noise", "width": "Width", "epoch": "Epoch", **(labels or {})}
    begin = _begin(values, start or {})
    return fragment(
        "explorer", data, lambda id: _body(data, values, names, begin, vertical), remedy="Thin out the epochs."
    )


def _drawing(values: Mapping[str, Sequence[float]], vertical: Vertical, scale: int) -> dict[str, Any]:
    """Return what the script needs to place and name the states."""
    places = {
        "width": _places(values["width"], log2),
        "epoch": _places(values["epoch"], _time(values["epoch"])),
    }
    return {
        "shape": [len(values[name]) for name in AXES],
        "labels": {name: [_label(name, value) for value in values[name]] for name in AXES},
        "x": places,
        "min": vertical[0] * scale,
        "max": vertical[1] * scale,
        "panel": PANEL,
        "top": TOP,
        "height": PANEL[1] - TOP - BOTTOM,
    }


def _body(
    data: dict[str, Any],
    values: Mapping[str, Sequence[float]],
    names: Mapping[str, str],
    begin: Mapping[str, int],
    vertical: Vertical,
) -> str:
    """Return sliders, one SVG of two panels, and the readout."""
    what = escape(f"{data['what']} ({data['unit']})" if data["unit"] else data["what"])
    across, ticks = (
        (names["width"], names["epoch"]),
        (_log_ticks(values["width"]), _time_ticks(values["epoch"])),
    )
    panels = "".join(
        f'<g class="{side}">{_panel(what, escape(name), marks, vertical, data)}</g>'
        for side, name, marks in zip(("left", "right"), across, ticks, strict=True)
    )
    alt = escape(f"{data['what']} against {across[0]} and against {across[1]}, as the sliders say", quote=True)
    sliders = "".join(_slider(name, names[name], data, begin[name]) for name in AXES)
    return (
        f'<div class="sliders">{sliders}</div>'
        f'<svg viewBox="0 0 {2 * PANEL[0]} {PANEL[1]}" role="img" aria-label="{alt}">{panels}</svg>'
        '<p class="readout" aria-live="polite"></p>'
    )


def _slider(name: str, label: str, data: dict[str, Any], chosen: int) -> str:
    last = len(data["labels"][name]) - 1
    if not last:
        return ""
    return (
        f"<label><span>{escape(label)}</span><output></output>"
        f'<input type="range" data-axis="{name}" min="0" max="{last}" step="1" value="{chosen}"></label>'
    )


def _panel(what: str, across: str, ticks: Ticks, vertical: Vertical, data: dict[str, Any]) -> str:
    """Return the contents of one panel: grid, tick labels, empty curves for the script, key and titles."""
    width, height = PANEL
    foot, middle, (bottom, top, step) = height - BOTTOM, (LEFT + width - RIGHT) / 2, vertical
    parts = [f'<rect width="{width}" height="{height}" fill="transparent"/>']
    for value in np.arange(bottom, top + step / 2, step):
        y = round(TOP + (top - value) / (top - bottom) * (foot - TOP), 1)
        parts.append(f'<path class="grid" d="M{LEFT} {y:g}H{width - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:g}" text-anchor="end">{value:g}</text>')
    parts += [f'<text x="{x:g}" y="{foot + 17}" text-anchor="middle">{text}</text>' for x, text in ticks]
    parts.append(f'<text class="name" x="{middle:g}" y="{height - 8}" text-anchor="middle">{across}</text>')
    parts.append(f'<text class="name" x="8" y="18">{what}</text>')
    parts.append(f'<g class="fit"><path d="M0 {TOP}V{foot}"/><text y="{TOP + 9}">training data fitted</text></g>')
    for place, name in enumerate(data["names"]):
        x = width - RIGHT - 68 * (len(data["names"]) - place)
        parts.append(f'<path class="line key {name}" d="M{x} 14h20"/><text x="{x + 25}" y="18">{name}</text>')
    parts.append(f'<line class="cursor" y1="{TOP}" y2="{foot}"/>')
    # A nested svg cuts off what leaves the vertical range.
    parts.append(f'<svg y="{TOP}" width="{width}" height="{foot - TOP}" viewBox="0 {TOP} {width} {foot - TOP}">')
    parts += [f'<path class="band {name}"/><path class="curve line {name}"/>' for name in data["names"]]
    parts += [f'<circle class="dot {name}" r="4.5"/>' for name in data["names"]] + ["</svg>"]
    return "".join(parts)


def _axes(axes: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    if set(axes) != set(AXES):
        raise BadInput.of("axes", sorted(axes), str(AXES), "Give an axis that was not varied one value.")
    values = {name: [float(value) for value in axes[name]] for name in AXES}
    for name, found in values.items():
        if not found or found != sorted(set(found)) or not all(map(isfinite, found)):
            raise BadInput.of(f"axis {name}", found, "finite values that rise", "Sort the values.")
    if values["width"][0] <= 0:
        raise BadInput.of("axis width", values["width"][0], "> 0", "Its axis is logarithmic.")
    return values


def _all_arrays(curves: Curves, low: Curves, high: Curves, shape: tuple[int, ...]) -> dict[str, Arrays]:
    """Return kind (mean, low, high) -> curve -> array of this shape."""
    if "test" not in curves or set(low) != set(high) or not {*low, *curves} <= {"test", "train"}:
        given = {"curves": sorted(curves), "low": sorted(low), "high": sorted(high)}
        raise BadInput.of("curves", given, "test (and train); low and high for the same of these", "Rename them.")
    return {"mean": _arrays(curves, shape), "low": _arrays(low, shape), "high": _arrays(high, shape)}


def _arrays(curves: Curves, shape: tuple[int, ...]) -> Arrays:
    arrays = {name: np.asarray(curves[name], dtype=float) for name in ("test", "train") if name in curves}
    for name, array in arrays.items():
        if array.shape != shape or not np.isfinite(array).any():
            raise BadInput.of(f"shape of {name}", array.shape, f"{shape}, not all NaN", f"Order the axes as {AXES}.")
    return arrays


def _whole(array: np.ndarray) -> list[int | None]:
    """Return the values in the order of the array, rounded; None for NaN."""
    return [round(value) if isfinite(value) else None for value in array.ravel().tolist()]


def _begin(values: Mapping[str, Sequence[float]], start: Mapping[str, float]) -> dict[str, int]:
    """Return the index each slider starts at; raise BadInput for a start value that is not on its axis."""
    chosen = {name: len(values[name]) - 1 for name in AXES} | {"width": len(values["width"]) // 2}
    for name, value in start.items():
        if value not in values.get(name, ()):
            raise BadInput.of(f"start[{name!r}]", value, str(values.get(name, AXES)), "Start at a value of the axis.")
        chosen[name] = list(values[name]).index(value)
    return chosen


def _label(name: str, value: float) -> str:
    return (
        f"{100 * value:g}%" if name == "noise" else f"{value:,.0f}".replace(",", " ") if value >= 1e4 else f"{value:g}"
    )


def _time(epochs: Sequence[float]) -> Callable[[float], float]:
    """Return the map of the epoch axis: logarithmic where the epochs span a factor above 30."""
    positive = [epoch for epoch in epochs if epoch > 0]
    if not positive or positive[-1] / positive[0] <= 30:
        return float
    floor_ = positive[0] / 2
    return lambda epoch: log2(max(epoch, floor_))


def _places(values: Sequence[float], scale: Callable[[float], float]) -> list[float]:
    """Return where the values lie across a panel."""
    ends = [scale(value) for value in values]
    span = ends[-1] - ends[0]
    room = PANEL[0] - LEFT - RIGHT
    return [round(LEFT + room * ((end - ends[0]) / span if span else 0.5), 1) for end in ends]


def _log_ticks(values: Sequence[float]) -> Ticks:
    """Return ticks at powers of two, at most eight of them."""
    first, last = ceil(log2(values[0])), floor(log2(values[-1]))
    powers = [2.0**power for power in range(first, last + 1, 1 + (last - first) // 8)]
    return _ticks(powers or values[:1], values, log2)


def _time_ticks(values: Sequence[float]) -> Ticks:
    scale = _time(values)
    if scale is float:
        bottom, top, step = round_range(values[0], values[-1])
        return _ticks(np.arange(bottom, top + step / 2, step).tolist(), values, scale)
    first = min(epoch for epoch in values if epoch > 0)
    tens = [10.0**power for power in range(-3, 8) if 10.0**power >= first]
    return _ticks(tens, values, scale)


def _ticks(candidates: Sequence[float], values: Sequence[float], scale: Callable[[float], float]) -> Ticks:
    inside = [value for value in candidates if values[0] <= value <= values[-1]]
    places = _places([values[0], *inside, values[-1]], scale)[1:-1]
    return [(place, _label("", value)) for place, value in zip(places, inside, strict=True)]


# --- the live widget ----------------------------------------------------------------------------------------


def curve_explorer(
    axes: Mapping[str, Sequence[float]], curves: Mapping[str, np.ndarray], what: str = "error (%)"
) -> ipywidgets.Widget:
    """Return sliders for noise, width and epoch over curves[name] [noise, width, epoch], with two panels.

    Left: every curve against width at the chosen epoch; right: against epoch at the chosen width. The first
    curve sets the vertical range. `axes` maps
    noise, width and epoch to their values. Raises BadInput where shapes and axes differ.
    """
    shape = tuple(len(axes[name]) for name in AXES)
    for name, values in curves.items():
        if np.shape(values) != shape:
            raise BadInput.of(f"shape of {name}", np.shape(values), str(shape), "Order it [noise, width, epoch].")
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(f"{value:.4g}", i) for i, value in enumerate(axes[name])], value=shape[k] - 1, description=name
        )
        for k, name in enumerate(AXES)
    }

    def draw(noise: int, width: int, epoch: int) -> None:
        fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
        for colour, (name, values) in zip(COLOURS.values(), curves.items(), strict=False):
            left.plot(axes["width"], values[noise, :, epoch], marker="o", color=colour, label=name)
            right.plot(axes["epoch"], values[noise, width], marker="o", color=colour, label=name)
        log2_axis(left, axes["width"], "width")
        mark(left, axes["width"][width], f"width {axes['width'][width]:g}")
        right.set(xscale="symlog", xlabel="epoch", xlim=(0, axes["epoch"][-1] * 1.1))
        mark(right, axes["epoch"][epoch], f"epoch {axes['epoch'][epoch]:g}")
        focus = np.asarray(next(iter(curves.values())))  # the first curve sets the range, as in the twin
        left.set(ylabel=what, ylim=(focus.min() - 2, focus.max() + 2))
        left.legend()
        plt.show()

    out = drawn(draw, sliders)
    return ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), out])
