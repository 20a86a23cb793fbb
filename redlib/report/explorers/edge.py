"""Edge explorer: loss and sharpness of gradient descent at a chosen step size, beside the line 2/η."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import ceil, floor, isfinite, log2, log10
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.report.explorers.fragments import (
    Axis,
    Plot,
    controls,
    fragment,
    packed,
    round_range,
    round_ticks,
    slider,
    svg,
)

AXES: Final = {"rate": "Step size η", "width": "Width", "step": "Step"}
HEADS: Final = {  # of each panel: its name, what is said beside it, and what the picture shows
    "loss": ("Training loss", "logarithmic axis", "Training loss against the training step, as the sliders say"),
    "sharpness": (
        "Sharpness λ",
        "largest eigenvalue of the Hessian",
        "Sharpness against the training step, with the line 2/η, as the sliders say",
    ),
}
NEAR: Final = 0.2  # from 2/η, as a share of it
LONG: Final = 30  # an axis is logarithmic where its values span more than so many times the least
HIGHEST: Final = {"loss": 10, "sharpness": 4}  # on the axes, in units of the largest first loss and the largest 2/η
LEAST: Final = 1e-38  # on a logarithmic axis: what is not above 0 lies far below the plot
WIDTH, HEIGHT = 320, 238  # of a panel
LEFT, RIGHT, TOP, FLOOR = 46, 298, 8, 194  # the sides of its plot
RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Curves = dict[str, np.ndarray]


@dataclass(frozen=True)
class Descent:
    """One run: its step size, the names of its steps [T], loss and sharpness [T], both NaN after the run's end."""

    rate: float
    steps: Sequence[str]
    loss: np.ndarray
    sharpness: np.ndarray

    @property
    def limit(self) -> float:
        """Return 2/η, the sharpness above which gradient descent is unstable on a quadratic."""
        return 2 / self.rate

    @property
    def line(self) -> str:
        """Return what the line 2/η is called: "2/η = 50"."""
        words = number(self.limit)
        return "2/η\u00a0=\u00a0" + (words.rstrip("0").rstrip(".") if words[-1] == "0" and "." in words else words)

    @cached_property
    def end(self) -> int:
        """Return the place of the last step that has values, -1 without one."""
        return int(np.isfinite(self.loss).sum()) - 1

    @cached_property
    def crossing(self) -> int:
        """Return the place of the first step at which the sharpness is at least 2/η, -1 without one."""
        above = np.flatnonzero(self.sharpness >= self.limit)
        return int(above[0]) if len(above) else -1

    def sentences(self, setting: str) -> str:
        """Return in words what the sharpness does beside 2/η, and what the loss does then; `setting` comes first."""
        if self.end < 0:
            return f"{setting} there are no values."
        return f"{setting} the sharpness {self._reached()}. {self._then()}."

    def _reached(self) -> str:
        at = self.crossing
        if at < 0:
            most = int(np.nanargmax(self.sharpness))
            largest = f"{number(self.sharpness[most])}, at step {self.steps[most]}"
            return f"never reaches {self.line}: it is at most {largest}"
        if at == 0:
            after = self._after()
            return f"starts at {number(self.sharpness[0])}, above {self.line}{',' * bool(after)}{after}"
        return f"reaches {self.line} at step {self.steps[at]}{self._after()}"

    def _after(self) -> str:
        """Return how the sharpness goes on once it has reached 2/η; nothing where the run ends there or diverges."""
        seen = self.sharpness[self.crossing : self.end + 1]
        away, last = np.abs(seen / self.limit - 1), number(seen[-1])
        if self.end < len(self.steps) - 1 or len(seen) == 1:
            return ""
        if away.max() <= NEAR:
            return f" and stays within {100 * NEAR:g}% of it"
        if away[-1] <= NEAR:
            ends = f"{number(seen.min())} to {number(seen.max())}"
            return f" and ends within {100 * NEAR:g}% of it, at {last}, after values from {ends}"
        return f" and {'falls to' if seen[-1] < self.limit else 'ends at'} {last}"

    def _then(self) -> str:
        """Return where the curves end if they do, else what the loss does from the crossing on, or from the start."""
        if self.end < len(self.steps) - 1:
            return f"Training diverges: the curves end at step {self.steps[self.end]}"
        begin = self.crossing if 0 < self.crossing < self.end else 0
        seen = self.loss[begin : self.end + 1]
        first, last = number(seen[0]), number(seen[-1])
        head = "From there the loss" if begin else "The loss"
        if seen[-1] >= seen[0]:
            return f"{head} does not fall: it begins at {first} and ends at {last}"
        rises = ", with rises on the way" if (np.diff(seen) > 0).any() else ""
        return f"{head} {'goes on falling,' if begin else 'falls'} from {first} to {last}{rises}"


@dataclass(frozen=True)
class Runs:
    """The checked contents: the values of each axis, curves[loss, sharpness][mean, low, high] over them, the start."""

    values: dict[str, list[float]]
    curves: dict[str, Curves]
    begin: dict[str, int]

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """Return how the values of each axis are written."""
        return {axis: [_count(value) for value in found] for axis, found in self.values.items()}

    @property
    def places(self) -> list[tuple[int, int]]:
        """Return the places of all runs, in the order of the arrays."""
        return [(i, j) for i in range(len(self.values["rate"])) for j in range(len(self.values["width"]))]

    @property
    def first(self) -> tuple[int, int]:
        """Return the place of the run that is shown first."""
        return self.begin["rate"], self.begin["width"]

    def descent(self, i: int, j: int) -> Descent:
        """Return the run at a place."""
        loss, sharpness = (self.curves[name]["mean"][i, j] for name in HEADS)
        return Descent(self.values["rate"][i], self.labels["step"], loss, sharpness)

    def sentences(self, i: int, j: int) -> str:
        """Return in words what becomes of the run at a place."""
        wide = f" and width {self.labels['width'][j]}" if len(self.values["width"]) > 1 else ""
        return self.descent(i, j).sentences(f"At step size {self.labels['rate'][i]}{wide}")

    @cached_property
    def plots(self) -> dict[str, Plot]:
        """Return the plot of each panel; both share the axis of steps."""
        steps = self.values["step"]
        across = Axis(steps[0], steps[-1], LEFT, RIGHT, _time(steps))
        limits = [2 / rate for rate in self.values["rate"]]
        heights = _loss_axis(self.curves["loss"]["mean"]), _sharpness_axis(self.curves["sharpness"]["mean"], limits)
        return {name: Plot(across, height) for name, height in zip(HEADS, heights, strict=True)}


def edge_explorer(
    rates: Sequence[float],
    widths: Sequence[int],
    steps: ArrayLike,
    loss: ArrayLike,
    sharpness: ArrayLike,
    *,
    low: Mapping[str, ArrayLike] | None = None,
    high: Mapping[str, ArrayLike] | None = None,
    start: Mapping[str, float] | None = None,
    title: str = "",
) -> str:
    """Return the HTML of an explorer: loss and sharpness of gradient descent, sliders for step size, width and step.

    `rates` [R] are the step sizes η, `widths` [W] those of the nets, `steps` [T >= 2] the recorded training steps, from
    0 on: all rise, and what has one value gets no slider. `loss` and `sharpness` [R, W, T] are the training loss, > 0,
    and the largest eigenvalue of its Hessian; a run that diverged is NaN (or infinite) from then on, one that was not
    made throughout. `low` and `high` map "loss" and "sharpness" to the ends of bands of the same shape. `start` maps
    "rate", "width" and "step" to the values shown first (default: those in the middle, the last step).

    A line marks 2/η, another the point of instability: the first recorded step at which the sharpness is at least 2/η.
    A sentence says, of each run, whether it gets there and what follows. Steps recorded ever more rarely have a
    logarithmic axis, and so has sharpness that spans a lot; what shoots up far beyond the first loss or 2/η leaves the
    plot. Values are kept to about five digits, and three are shown. BadInput for other shapes, values that do not rise,
    rates, widths or losses not above 0, values after a NaN, none that is finite, and more than 150 kB.
    """
    given = {"mean": {"loss": loss, "sharpness": sharpness}, "low": low or {}, "high": high or {}}
    seen = _checked((rates, widths, steps), given, start or {})
    return fragment("edge", _data(seen), lambda id: _body(seen, id), title=title, remedy="Thin out the steps.")


def number(value: float) -> str:
    """Return a value in three digits or whole, with a power of ten where it is small or large: "4.56 × 10⁻⁵".

    Of one that is not finite there is nothing to say but "–".
    """
    size = abs(value)
    if not isfinite(value):
        return "–"
    if size and not 1e-3 <= size < 1e6:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits}\u00a0×\u00a010{str(int(power)).translate(RAISED)}"
    return f"{value:.{max(0, 2 - floor(log10(size or 1)))}f}"


# --- what is given ------------------------------------------------------------------------------------------


def _checked(
    axes: Sequence[ArrayLike],
    given: Mapping[str, Mapping[str, ArrayLike]],
    start: Mapping[str, float],
) -> Runs:
    """Return the contents from the values of `AXES`, and given[mean, low, high][loss, sharpness]."""
    values = {
        axis: _rising(f"{axis}s", found, 2 if axis == "step" else 1) for axis, found in zip(AXES, axes, strict=True)
    }
    low, high = (set(given[kind]) for kind in ("low", "high"))
    if low != high or not low <= set(HEADS):
        told = f"some of {list(HEADS)}, the same in both"
        raise BadInput.of("low and high", (sorted(low), sorted(high)), told, "Give each band both its ends.")
    shape = tuple(map(len, values.values()))
    arrays = {
        kind: {name: _array(f"{kind} of {name}", found, shape) for name, found in curves.items()}
        for kind, curves in given.items()
    }
    arrays["mean"] = _means(arrays["mean"])
    curves = {name: {kind: found[name] for kind, found in arrays.items() if name in found} for name in HEADS}
    return Runs(values, curves, _begin(values, start))


def _rising(what: str, given: ArrayLike, count: int) -> list[float]:
    """Return the values of an axis, of which there are at least `count`; those of steps may begin with 0."""
    found = np.asarray(given, dtype=float)
    least = 0.0 if what == "steps" else LEAST
    if found.ndim != 1 or len(found) < count or not np.isfinite(found).all() or not (np.diff(found) > 0).all():
        told = f"a row of {count} or more finite values that rise"
        raise BadInput.of(what, found.tolist(), told, "Sort them, and leave out what is there twice.")
    if found[0] < least:
        raise BadInput.of(f"least of {what}", float(found[0]), ">= 0" if least == 0 else "> 0", "Leave it out.")
    return [float(value) for value in found]


def _array(what: str, given: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of this shape, to the 24 bits that are kept of each value; NaN for what is not finite."""
    with np.errstate(over="ignore"):  # what a run that diverged may hold becomes infinite here
        found = np.asarray(given, dtype=np.float32)
    if found.shape != shape:
        raise BadInput.of(f"shape of {what}", found.shape, str(shape), "Order: step size, width, step.")
    whole = np.ascontiguousarray(found).view(np.uint32).astype(np.int64) + 0x80 & 0xFFFFFF00
    kept = whole.astype(np.uint32).view(np.float32).astype(float)
    return np.where(np.isfinite(found) & np.isfinite(kept), kept, np.nan)


def _means(curves: Curves) -> Curves:
    """Return loss and sharpness, each run ending where either does."""
    known = np.logical_and(*(np.isfinite(found) for found in curves.values()))
    if not known.any():
        raise BadInput.of("finite values of loss and sharpness", 0, "at least one step with both", "Pass a run.")
    back = int((known[..., 1:] & ~known[..., :-1]).sum())
    if back:
        remedy = "Leave out the steps at which one of them is not known."
        raise BadInput.of("runs that go on after a value that is not finite", back, "0", remedy)
    least = float(curves["loss"][known].min())
    if least <= 0:
        raise BadInput.of("least loss", least, "> 0", "Its axis is logarithmic.")
    return {name: np.where(known, found, np.nan) for name, found in curves.items()}


def _begin(values: Mapping[str, Sequence[float]], start: Mapping[str, float]) -> dict[str, int]:
    """Return the place each slider starts at; raise BadInput for a start value that is not on its axis."""
    chosen = {axis: len(found) // 2 for axis, found in values.items()} | {"step": len(values["step"]) - 1}
    for axis, value in start.items():
        if value not in values.get(axis, ()):
            allowed = str(values.get(axis, list(AXES)))
            raise BadInput.of(f"start[{axis!r}]", value, allowed, "Start at a value of the axis.")
        chosen[axis] = list(values[axis]).index(value)
    return chosen


# --- axes ---------------------------------------------------------------------------------------------------


def _logarithm(value: float) -> float:
    return log10(max(value, LEAST))


def _loss_axis(loss: np.ndarray) -> Axis:
    """Return a logarithmic axis from the least loss on, with some room."""
    known = loss[np.isfinite(loss)]
    first = loss[..., 0][np.isfinite(loss[..., 0])]
    return _log_axis(float(known.min()), float(min(known.max(), HIGHEST["loss"] * first.max())))


def _sharpness_axis(sharpness: np.ndarray, limits: Sequence[float]) -> Axis:
    """Return an axis that holds all lines 2/η, from 0 on unless it is logarithmic."""
    known = sharpness[np.isfinite(sharpness)]
    usual = max(HIGHEST["sharpness"] * max(limits), float(np.quantile(known, 0.95)))
    low, high = min(*limits, float(known.min())), max(*limits, min(float(known.max()), usual))
    if low > 0 and high > LONG * low:
        return _log_axis(low, high)
    return Axis(*round_range(min(low, 0), high)[:2], FLOOR, TOP)


def _log_axis(low: float, high: float) -> Axis:
    room = max((high / low) ** 0.06, 1.1)
    return Axis(low / room, high * room, FLOOR, TOP, _logarithm)


def _time(steps: Sequence[float]) -> Callable[[float], float]:
    """Return the scale of the steps; on a logarithmic one 0 lies left of the first by a factor of 2."""
    first = next(step for step in steps if step > 0)
    early = steps[len(steps) // 2] - steps[0] < (steps[-1] - steps[0]) / 5
    if steps[-1] <= LONG * first or not early:
        return float
    return lambda step: log2(max(step, first / 2))


def _ticks(low: float, high: float) -> list[float]:
    """Return round values of a logarithmic axis: powers of ten, 1, 2 and 5 times these, or what is round on a line."""
    powers = range(ceil(log10(low)), floor(log10(high)) + 1)
    if len(powers) > 2:
        return [float(f"1e{power}") for power in powers[:: 1 + len(powers) // 7]]
    tens = range(floor(log10(low)), ceil(log10(high)) + 1)
    inside = [tick for ten in tens for digit in (1, 2, 5) if low <= (tick := float(f"{digit}e{ten}")) <= high]
    return inside if len(inside) > 2 else round_ticks(low, high)


# --- the fragment -------------------------------------------------------------------------------------------


def _count(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 1e4 else f"{value:g}"


def _data(seen: Runs) -> dict[str, Any]:
    """Return what the script draws, and what it says of each run."""
    runs = [seen.descent(*place) for place in seen.places]
    return {
        "shape": [len(found) for found in seen.values.values()],
        "labels": list(seen.labels.values()),
        "rates": seen.values["rate"],
        "lines": [seen.descent(i, 0).line for i in range(len(seen.values["rate"]))],
        "x": [seen.plots["loss"].x(step) for step in seen.values["step"]],
        "ends": (LEFT, RIGHT),
        "rows": {name: _row(plot) for name, plot in seen.plots.items()},
        "curves": {name: {kind: _packed(a) for kind, a in found.items()} for name, found in seen.curves.items()},
        "crossings": [run.crossing for run in runs],
        "sentences": [seen.sentences(*place) for place in seen.places],
    }


def _row(plot: Plot) -> dict[str, Any]:
    """Return the place and the range of a plot, for the script."""
    y = plot.y
    return {"top": y.end, "height": y.start - y.end, "low": y.low, "high": y.high, "log": y.scale is _logarithm}


def _packed(array: np.ndarray) -> str:
    """Return base64 of the upper 24 bits of each value, as a float of 32 bits has them: 4 letters a value."""
    return packed(np.ascontiguousarray(array, dtype=">f4").view(np.uint8).reshape(-1, 4)[:, :3])


def _body(seen: Runs, id: str) -> str:
    """Return the sliders, what is said of the run, both panels at the start, and the numbers there."""
    sliders = [
        slider(id, axis, AXES[axis], len(found) - 1, seen.begin[axis])
        for axis, found in seen.values.items()
        if len(found) > 1
    ]
    longest = max((seen.sentences(*place) for place in seen.places), key=len)
    return (
        f'{controls(*sliders)}<p class="room" data-longest="{escape(longest, quote=True)}">'
        f'<span class="course" aria-live="polite">{escape(seen.sentences(*seen.first))}</span></p>'
        f'<div class="panels">{"".join(_panel(name, seen) for name in HEADS)}</div>'
        f'<p class="readout" aria-live="polite">{_readout(seen)}</p>'
    )


def _readout(seen: Runs) -> str:
    """Return the numbers at the step shown first."""
    run, k = seen.descent(*seen.first), seen.begin["step"]
    if k > run.end:
        return f"Step {run.steps[k]}: no values."
    loss, sharpness = float(run.loss[k]), float(run.sharpness[k])
    share = number(sharpness / run.limit)
    known = f"sharpness λ\u00a0=\u00a0{number(sharpness)}, η·λ/2\u00a0=\u00a0{share}"
    return f"Step {run.steps[k]}: loss {number(loss)}, {known}."


def _panel(name: str, seen: Runs) -> str:
    """Return a panel at the start: its head, the grid, the lines, the curve with its band, the dot."""
    head, beside, alt = HEADS[name]
    plot, run = seen.plots[name], seen.descent(*seen.first)
    x = plot.x(seen.values["step"][seen.begin["step"]])
    cursor = f'<line class="cursor" x1="{x:g}" x2="{x:g}" y1="{TOP}" y2="{FLOOR}"/>'
    line = _limit(plot, run, seen) if name == "sharpness" else ""
    inner = _frame(plot, seen), cursor, _curve(name, plot, seen), line, _onset(name, plot, run, seen), _dot(name, seen)
    drawing = svg(f"curves {name}", WIDTH, HEIGHT, alt, *inner)
    return f'<div class="panel"><p class="name">{head} <small>{beside}</small></p>{drawing}</div>'


def _frame(plot: Plot, seen: Runs) -> str:
    """Return the numbers along both axes."""
    first, last = seen.values["step"][0], seen.values["step"][-1]
    begin = first or seen.values["step"][1]
    across = round_ticks(first, last) if plot.x.scale is float else _ticks(begin, last)
    up, parts = (_ticks if plot.y.scale is _logarithm else round_ticks)(plot.y.low, plot.y.high), []
    for value in up:
        y = plot.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:g}H{RIGHT}"/><text class="y" x="{LEFT - 6}" y="{y + 4:g}">')
        parts.append(f"{_short(value)}</text>")
    return "".join(parts) + plot.frame([(step, _count(step)) for step in across], [], "training step")


def _short(value: float) -> str:
    """Return a round value beside an axis: "0.01", "10⁻⁴", "2·10⁻⁴"."""
    if not value or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    digits, power = f"{value:e}".split("e")
    times = "" if float(digits) == 1 else f"{float(digits):g}·"
    return f"{times}10{str(int(power)).translate(RAISED)}"


def _limit(plot: Plot, run: Descent, seen: Runs) -> str:
    """Return the line 2/η with its name where the curve is not: once it came near, it stays mostly on or above."""
    y, at = plot.y(run.limit), run.crossing
    early = at >= 0 and 2 * plot.x(seen.values["step"][at]) < LEFT + RIGHT
    below = y < FLOOR - 24 if early else y < TOP + 20
    x, anchor = (RIGHT - 4, "end") if early else (LEFT + 6, "start")
    name = f'<text x="{x}" y="{16 if below else -7}" text-anchor="{anchor}">{run.line}</text>'
    return f'<g class="limit" transform="translate(0,{y:g})"><path d="M{LEFT} 0H{RIGHT}"/>{name}</g>'


def _onset(name: str, plot: Plot, run: Descent, seen: Runs) -> str:
    """Return the mark of the point of instability: a line, its name beside the loss, a ring on the sharpness."""
    at = run.crossing
    x = plot.x(seen.values["step"][at]) if at >= 0 else -999
    end = x > (LEFT + RIGHT) / 2
    if name == "loss":
        place = f'x="{-5 if end else 5}" y="{TOP + 11}" text-anchor="{"end" if end else "start"}"'
        sign = f"<text {place}>first λ ≥ 2/η</text>"
    else:
        reached = float(run.sharpness[at])
        y = plot.y(reached) if at >= 0 and reached <= plot.y.high else -99
        sign = f'<circle class="ring" r="6" cy="{y:g}"/>'
    return f'<g class="onset" transform="translate({x:g},0)"><path d="M0 {TOP}V{FLOOR}"/>{sign}</g>'


def _curve(name: str, plot: Plot, seen: Runs) -> str:
    """Return the band, if there is one, and the curve, cut off where they leave the plot."""
    shown = {kind: found[seen.first] for kind, found in seen.curves[name].items()}
    steps, band = seen.values["step"], ""
    if "low" in shown:
        band = f'<path class="band" d="{plot.band(steps, shown["low"], shown["high"])}"/>'
    return plot.cut(f'{band}<path class="curve" d="{plot.path(steps, shown["mean"])}"/>')


def _dot(name: str, seen: Runs) -> str:
    """Return the dot on the curve; outside the drawing where the value is not within the plot."""
    plot, k = seen.plots[name], seen.begin["step"]
    value = float(seen.curves[name]["mean"][seen.first][k])
    inside = isfinite(value) and plot.y.low <= value <= plot.y.high
    x, y = (plot.x(seen.values["step"][k]), plot.y(value)) if inside else (-99, -99)
    return f'<circle class="dot" r="4.5" cx="{x:g}" cy="{y:g}"/>'
