"""Vector explorer: the filters of small convolutional layers as vectors in the plane, step by step, beside the errors.

The nets are those of `redlib.nets.xord`: filters that count for the label 1, then as many that count for -1, and four
patterns they may point to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import ceil, cos, floor, log2, log10, radians, sin
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.data.numbers import floats, whole
from redlib.data.xord import EQUAL, PATTERNS
from redlib.errors import BadInput
from redlib.report.explorers.fragments import (
    Axis,
    Plot,
    choice,
    controls,
    fragment,
    packed,
    round_range,
    round_ticks,
    slider,
    svg,
    tint,
)

AXES: Final = {"seed": "Seed", "set": "Training set", "count": "Filters per kind", "step": "Step"}
KINDS: Final = ("filters for label 1", "filters for label −1")  # the first and the second half of a net's
TINTS: Final = ("blue", "orange")  # of the kinds, and their shapes
SHAPES: Final = ("M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "M0-4.2L3.8 2.6H-3.8z")
CURVES: Final = {"train": "training error", "fresh": "error on new points"}
NEAR: Final = 10  # degrees to a direction
LONG: Final = 30  # the axis of steps is logarithmic where they span more than so many times the first after 0
SIDE, REACH = 320, 144  # of the plane, and from its middle to the end of the longest vector
WIDTH, HEIGHT = 320, 268  # of the errors
LEFT, RIGHT, TOP, FLOOR = 36, 302, 10, 226  # the sides of their plot
FINEST: Final = 0.05  # pixels: a coordinate is kept to this, or to what lets 8 bits hold the longest move
PARTS: Final = 10_000  # errors are kept to a hundredth of a per cent


@dataclass(frozen=True)
class Net:
    """One net: `weights` [T, 2k, 2] at the `steps` [T], and its errors in `PARTS`, int [T] each."""

    steps: Sequence[int]
    weights: np.ndarray
    errors: Mapping[str, np.ndarray]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Return how long the vectors are: [T, 2k]."""
        return np.linalg.norm(self.weights, axis=-1)

    @cached_property
    def reach(self) -> float:
        """Return the largest length at any step, which `REACH` pixels stand for; 1 where all weights are 0."""
        return float(self.lengths.max()) or 1.0

    @cached_property
    def near(self) -> np.ndarray:
        """Return which vectors lie within `NEAR` degrees of each of PATTERNS: bool [T, 2k, 4]; one of 0 of none."""
        along = self.weights @ np.array(PATTERNS, float).T / 2**0.5
        return (along >= cos(radians(NEAR)) * self.lengths[..., None]) & (self.lengths > 0)[..., None]

    @cached_property
    def clusters(self) -> np.ndarray:
        """Return how many vectors of each kind lie near each pattern: int [T, 4, 2]."""
        return np.stack([half.sum(1) for half in np.split(self.near, 2, axis=1)], -1)

    @cached_property
    def shares(self) -> np.ndarray:
        """Return how much of the summed length belongs to vectors near a pattern, in whole per cent: int [T]."""
        held, total = (self.lengths * self.near.any(-1)).sum(1), self.lengths.sum(1)
        return np.rint(100 * held / np.where(total > 0, total, 1)).astype(int)

    @cached_property
    def rest(self) -> int:
        """Return the place of the first step from which on no weight changes."""
        moved = np.flatnonzero((self.weights != self.weights[-1]).any((1, 2)))
        return int(moved[-1]) + 1 if len(moved) else 0

    @cached_property
    def unit(self) -> float:
        """Return how many pixels a unit of `whole` is: the least that lets 8 bits hold every move between steps."""
        moves = np.abs(np.diff(self.weights, axis=0)).max() * REACH / self.reach
        return round(max(FINEST, float(moves) / 126) + 5e-5, 4)

    @cached_property
    def whole(self) -> np.ndarray:
        """Return the ends of the vectors from the middle of the plane, y down, in whole units: int [T, 2k, 2]."""
        return np.rint(self.weights * [1, -1] * (REACH / self.reach / self.unit)).astype(int)

    @property
    def moves(self) -> np.ndarray:
        """Return by how much the ends move, in whole units, until the net is at rest: int [rest, 2k, 2]."""
        return np.diff(self.whole[: self.rest + 1], axis=0)

    @property
    def places(self) -> np.ndarray:
        """Return the ends of the vectors as they are drawn, in pixels of the plane: [T, 2k, 2]."""
        return SIDE / 2 + self.whole * self.unit

    @property
    def rings(self) -> list[tuple[float, str]]:
        """Return radius and length of two circles: of 1, 2 or 5 times a power of ten, and of half of it."""
        ten = 10.0 ** floor(log10(self.reach))
        length = next(digit * ten for digit in (5, 2, 1, 0.5) if digit * ten <= self.reach)
        return [(round(REACH * part / self.reach, 1), f"{part:.6g}") for part in (length, length / 2)]

    def sentence(self, t: int) -> str:
        """Return what is said of the net at the t-th step."""
        count, of = int(self.clusters[t].sum()), self.weights.shape[1]
        train, fresh = (percent(self.errors[name][t]) for name in CURVES)
        return (
            f"Step {written(self.steps[t])}: {count} of {of} filters, with {self.shares[t]}% of the total length, lie "
            f"within {NEAR}° of a direction; {CURVES['train']} {train}, {CURVES['fresh']} {fresh}."
        )

    def described(self, t: int) -> str:
        """Return the clusters at the t-th step in words, for those who do not see the plane."""
        each = [f"{a} and {b} at {name(n)}" for n, (a, b) in enumerate(self.clusters[t].tolist())]
        return f"The weight vectors in the plane. {KINDS[0]} and {KINDS[1]} near the directions: {', '.join(each)}"


@dataclass(frozen=True)
class Nets:
    """The checked contents: the values of each axis, `weights` and errors as they are given, the start, what lacks."""

    values: dict[str, list[Any]]
    weights: np.ndarray
    errors: dict[str, np.ndarray]
    begin: dict[str, int]
    lacks: list[list[int]]

    @cached_property
    def all(self) -> list[Net]:
        """Return all nets, in the order of the arrays."""
        return [self._net(*place) for place in np.ndindex(self.weights.shape[:3])]

    @property
    def first(self) -> Net:
        """Return the net that is shown first."""
        return self._net(*(self.begin[axis] for axis in ("seed", "set", "count")))

    @property
    def head(self) -> str:
        """Return what is written above the plane at first."""
        return f"{2 * self.values['count'][self.begin['count']]} weight vectors"

    def _net(self, i: int, j: int, c: int) -> Net:
        size = 2 * self.values["count"][c]
        shown = {name: np.rint(found[i, j, c] * PARTS).astype(int) for name, found in self.errors.items()}
        return Net(self.values["step"], self.weights[i, j, c, :, :size], shown)

    @cached_property
    def plot(self) -> Plot:
        """Return the plot of the errors, in per cent, of all nets on one scale."""
        steps, highest = self.values["step"], max(float(found.max()) for found in self.errors.values())
        high = round_range(0, 100 * highest or 1.0)[1]
        return Plot(Axis(0, steps[-1], LEFT, RIGHT, self.scale), Axis(0, high, FLOOR, TOP))

    @property
    def even(self) -> bool:
        """Return whether the axis of the steps is linear."""
        return self.values["step"][-1] <= LONG * self.values["step"][1]

    def scale(self, step: float) -> float:
        """Return where a step lies; on a logarithmic axis 0 lies left of the first by a factor of 2."""
        return step if self.even else log2(max(step, self.values["step"][1] / 2))


def vector_explorer(
    weights: ArrayLike,
    train_error: ArrayLike,
    fresh_error: ArrayLike,
    steps: Sequence[int],
    *,
    counts: Sequence[int],
    sets: Sequence[str],
    seeds: Sequence[int],
    lacks: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    start: Mapping[str, Any] | None = None,
    title: str = "",
) -> str:
    """Return the HTML of an explorer: vectors in the plane through training, and errors; net, seed and step are chosen.

    `weights` [seeds, sets, counts, T, 2·max(counts), 2] are filters of nets such as those of `redlib.nets.xord`. A net
    with k = counts[c] filters of each kind has its 2k in the first 2k places, those for the label 1 before those for
    -1, and NaN in the places after them. `train_error` and `fresh_error` [seeds, sets, counts, T] are shares of points
    answered wrongly, from 0 to 1; `steps` [T >= 2] rise from 0. `counts` rise; `sets` are names of training sets, and
    `lacks` maps some of them to the patterns, of `redlib.data.xord.PATTERNS`, that no point of theirs has. `start` maps
    "seed", "set", "count" and "step" to the values shown first (default: the first seed and set, the largest net, the
    last step). What has one value gets no control.

    Each net has a scale of its own, the same at all steps. Corners say how many filters of each kind lie within `NEAR`
    degrees of their pattern; these numbers are exact, places are kept to half a `Net.unit` of pixels. Without
    JavaScript the start is shown. BadInput for other shapes, filters that are partly NaN, shares outside 0 ... 1, steps
    that do not rise from 0, unknown names, and more than 150 kB. Source: Brutzkus & Globerson 2019.
    """
    values: dict[str, list[Any]] = {"seed": [*seeds], "set": [*sets], "count": [*counts], "step": [*steps]}
    _check_axes(values)
    shape = tuple(map(len, values.values()))
    errors = {"train": _shares("train_error", train_error, shape), "fresh": _shares("fresh_error", fresh_error, shape)}
    seen = Nets(values, _weights(weights, values), errors, _begin(values, start or {}), _lacks(values, lacks or {}))
    remedy = "Thin out the steps, or show fewer seeds or smaller nets."
    return fragment("vectors", _data(seen), lambda id: _body(seen, id), title=title, remedy=remedy)


def percent(parts: float) -> str:
    """Return an error in `PARTS` as per cent: "12.2%", "0%", "<0.1%"."""
    return "<0.1%" if 0 < parts < 5 else f"{floor(parts / 10 + 0.5) / 10:g}%"


def written(step: float) -> str:
    """Return a number of steps, with thin spaces where it is long."""
    return f"{step:,}".replace(",", "\u202f") if step >= 1e4 else f"{step:g}"


def name(pattern: int) -> str:
    """Return how the pattern at that place in PATTERNS is written: "(1, −1)"."""
    return str(PATTERNS[pattern]).replace("-", "−")


# --- what is given ------------------------------------------------------------------------------------------


def _check_axes(values: Mapping[str, Sequence[Any]]) -> None:
    for axis in ("seed", "set", "count"):
        found = values[axis]
        if not len(found) or len(set(found)) < len(found):
            raise BadInput.of(f"{axis}s", list(found), "at least one, none twice", "Name each as often as it is there.")
    for axis, least in (("count", 1), ("step", 0)):
        found = [whole(f"{axis}s", value, least, "Pass whole numbers.") for value in values[axis]]
        if found != sorted(set(found)):
            raise BadInput.of(f"{axis}s", found, "whole numbers that rise", "Sort them, with the arrays.")
    if len(values["step"]) < 2 or values["step"][0] != 0:
        remedy = "Look at the initial weights too, and at later ones."
        raise BadInput.of("steps", list(values["step"]), "two or more, the first of them 0", remedy)


def _shares(what: str, given: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    found = floats(given, what)
    if found.shape != shape:
        raise BadInput.of(f"shape of {what}", found.shape, str(shape), "Order: seed, set, count, step.")
    if not ((found >= 0) & (found <= 1)).all():
        ends = (float(found.min()), float(found.max()))
        raise BadInput.of(f"least and largest {what}", ends, "0 to 1", "Divide per cent by 100; leave out what is NaN.")
    return found


def _weights(given: ArrayLike, values: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """Return the weights, where each net has all of its filters and NaN after them."""
    found = floats(given, "weights")
    shape = (*(len(row) for row in values.values()), 2 * max(values["count"]), 2)
    if found.shape != shape:
        told = "Order: seed, set, count, step, filter, coordinate; fill with NaN after the filters of small nets."
        raise BadInput.of("shape of weights", found.shape, str(shape), told)
    held = np.arange(shape[4]) < 2 * np.array(values["count"])[:, None]  # [counts, filters]
    wrong = np.where(held[:, None, :, None], ~np.isfinite(found), ~np.isnan(found))
    if wrong.any():
        seed, kind, count, step, place, _ = (int(n) for n in np.argwhere(wrong)[0])
        at = f"weights[{seed}, {kind}, {count}, {step}, {place}]"
        told = f"finite in the first {2 * values['count'][count]} places, NaN after them"
        raise BadInput.of(at, found[seed, kind, count, step, place].tolist(), told, "Put a net's filters first.")
    return found


def _begin(values: Mapping[str, Sequence[Any]], start: Mapping[str, Any]) -> dict[str, int]:
    """Return the place at which each control starts."""
    chosen = {"seed": 0, "set": 0, "count": len(values["count"]) - 1, "step": len(values["step"]) - 1}
    for axis, value in start.items():
        if axis not in AXES:
            raise BadInput.named("start", axis, AXES, "Name an axis.")
        if value not in values[axis]:
            raise BadInput.of(f"start[{axis!r}]", value, str(list(values[axis])), "Start at a value of the axis.")
        chosen[axis] = list(values[axis]).index(value)
    return chosen


def _lacks(values: Mapping[str, Sequence[Any]], lacks: Mapping[str, Sequence[tuple[int, int]]]) -> list[list[int]]:
    """Return the places in PATTERNS of what each set lacks."""
    for told, patterns in lacks.items():
        if told not in values["set"]:
            raise BadInput.named("lacks", told, values["set"], "Name a training set.")
        if not {tuple(pattern) for pattern in patterns} <= {*PATTERNS}:
            raise BadInput.of(f"lacks[{told!r}]", list(patterns), f"some of {PATTERNS}", "Name pairs of signs.")
    return [[PATTERNS.index((a, b)) for a, b in lacks.get(told, ())] for told in values["set"]]


# --- the fragment -------------------------------------------------------------------------------------------


def _data(seen: Nets) -> dict[str, Any]:
    """Return what the script draws: of all nets in a row the first places, the moves between steps, a table."""
    nets = seen.all
    return {
        **{axis: seen.values[axis] for axis in ("seed", "set", "count")},
        "steps": [written(step) for step in seen.values["step"]],
        "x": [seen.plot.x(step) for step in seen.values["step"]],
        **{"row": (TOP, FLOOR, seen.plot.y.high), "middle": (LEFT + RIGHT) / 2, "parts": PARTS},
        **{"side": SIDE, "near": NEAR, "kinds": KINDS, "names": [name(n) for n in range(len(PATTERNS))]},
        "curves": list(CURVES.values()),
        "lacks": seen.lacks,
        "units": [net.unit for net in nets],
        "rests": [net.rest for net in nets],
        "rings": [net.rings for net in nets],
        "first": packed(np.concatenate([net.whole[0].ravel() for net in nets]).astype("<i2")),
        "moves": packed(np.concatenate([net.moves.ravel() for net in nets]).astype(np.int8)),
        "table": packed(np.concatenate([_table(net) for net in nets]).astype("<u2")),
    }


def _table(net: Net) -> np.ndarray:
    """Return the numbers of each step, int [T, 11]: 4 patterns x 2 kinds of filters near, the share, both errors."""
    return np.column_stack([net.clusters.reshape(len(net.steps), -1), net.shares, *net.errors.values()])


def _body(seen: Nets, id: str) -> str:
    """Return the choices, the player and its sentence, and both panels at the start."""
    net, t, steps = seen.first, seen.begin["step"], seen.values["step"]
    buttons = [
        choice(id, axis, AXES[axis], [str(value) for value in seen.values[axis]], seen.begin[axis])
        for axis in ("count", "set", "seed")
        if len(seen.values[axis]) > 1
    ]
    play = '<button type="button"><i></i><span>Play</span></button>'
    bar = controls(play, slider(id, "step", AXES["step"], len(steps) - 1, t))
    longest = escape(max((net.sentence(t) for net in seen.all for t in range(len(steps))), key=len), quote=True)
    words = escape(net.sentence(t))
    return (
        f'<div class="choices" hidden>{"".join(buttons)}</div><div class="top-row">{bar}<p class="room" '
        f'data-longest="{longest}"><span class="readout" aria-live="polite">{words}</span></p></div>'
        f'{_shapes(id)}<div class="panels">{_plane_panel(seen, id)}{_error_panel(seen)}</div>'
    )


def _shapes(id: str) -> str:
    """Return the shapes that filters of each kind refer to."""
    # Styles that a page's rules cannot reach: copies of these shapes are outside the fragment for selectors.
    look = "fill:var(--c);stroke:var(--figure-paper,#fff);stroke-width:.7"
    shapes = [
        f'<g id="{id}-{n}" style="{tint(colour)}"><path style="{look}" d="{shape}"/></g>'
        for n, (colour, shape) in enumerate(zip(TINTS, SHAPES, strict=True))
    ]
    return f'<svg class="shapes" aria-hidden="true"><defs>{"".join(shapes)}</defs></svg>'


def _plane_panel(seen: Nets, id: str) -> str:
    """Return the plane at the start with its head and key."""
    values, begin, net, t = seen.values, seen.begin, seen.first, seen.begin["step"]
    setting = f"{values['set'][begin['set']]}, seed {values['seed'][begin['seed']]}"
    lacks = seen.lacks[begin["set"]]
    parts = [_ways(lacks), _rings(net), _starts(net), _vectors(net, t, id), _corners(net, t, lacks, id)]
    drawing = svg("plane", SIDE, SIDE, net.described(t), *parts)
    key = "".join(
        f'<li><svg viewBox="-8 -8 16 16" aria-hidden="true">{mark}</svg>{words}</li>'
        for mark, words in (
            *((f'<use href="#{id}-{n}"/>', kind) for n, kind in enumerate(KINDS)),
            ('<path class="starts" d="M0 0h0"/>', "at step 0"),
            ('<path class="band" d="M-7-5H7V5H-7z"/>', f"within {NEAR}°, {100 * 8 * NEAR / 360:.0f}% of all angles"),
        )
    )
    return (
        f'<div class="panel"><p class="name"><span class="head">{seen.head}</span> <small class="which">'
        f'{escape(setting)}</small></p>{drawing}<ul class="key">{key}</ul></div>'
    )


def _ways(lacks: Sequence[int]) -> str:
    """Return the four directions, each in the colour of the kind that detects its pattern, with what lies near it."""
    parts, wide = [], radians(NEAR)
    for n, (x, y) in enumerate(PATTERNS):
        turn = radians(-45 * (2 - x) * y)  # of the screen, on which y grows downwards
        ends = [(SIDE / 2 + (REACH + 6) * cos(turn + a), SIDE / 2 + (REACH + 6) * sin(turn + a)) for a in (-wide, wide)]
        (a, b), (c, d) = ends
        end = SIDE / 2 + (REACH + 6) * cos(turn), SIDE / 2 + (REACH + 6) * sin(turn)
        middle = f"M{SIDE / 2:g} {SIDE / 2:g}L"
        parts.append(
            f'<g class="way{" lacking" * (n in lacks)}" style="{tint(TINTS[n not in EQUAL])}">'
            f'<path class="band" d="{middle}{a:.1f} {b:.1f}A{REACH + 6} {REACH + 6} 0 0 1 {c:.1f} {d:.1f}Z"/>'
            f'<path class="ray" d="{middle}{end[0]:.1f} {end[1]:.1f}"/></g>'
        )
    return "".join(parts)


def _rings(net: Net) -> str:
    """Return two circles about the middle, and below them the lengths they stand for."""
    half = SIDE / 2
    circles = [f'<circle class="grid scale" cx="{half:g}" cy="{half:g}" r="{radius:g}"/>' for radius, _ in net.rings]
    (_, outer), (_, inner) = net.rings
    return f'{"".join(circles)}<text class="x length" x="{half:g}" y="{SIDE - 5}">rings at {inner} and {outer}</text>'


def _starts(net: Net) -> str:
    """Return a faint dot where each filter is at step 0."""
    return f'<path class="starts" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in net.places[0].tolist())}"/>'


def _vectors(net: Net, t: int, id: str) -> str:
    """Return the lines of both kinds, and the shapes at their ends, which take turns so that no kind covers another."""
    lines = [
        f'<path class="spokes" style="{tint(colour)}" d="M{SIDE / 2:g} {SIDE / 2:g}{_spokes(half)}"/>'
        for colour, half in zip(TINTS, np.split(net.places[t], 2), strict=True)
    ]
    turns = np.stack(np.split(net.places[t], 2), 1).reshape(-1, 2).tolist()
    uses = [f'<use href="#{id}-{n % 2}" x="{x:.1f}" y="{y:.1f}"/>' for n, (x, y) in enumerate(turns)]
    return f'{"".join(lines)}<g class="ends">{"".join(uses)}</g>'


def _spokes(places: np.ndarray) -> str:
    """Return lines from where the pen is to each place: z takes it back."""
    return "".join(f"L{x:.1f} {y:.1f}z" for x, y in places.tolist())


def _corners(net: Net, t: int, lacks: Sequence[int], id: str) -> str:
    """Return the name of each pattern in its corner, and how many filters of each kind lie near it."""
    parts = []
    for n, (x, y) in enumerate(PATTERNS):
        left, top = (SIDE - 82 if x > 0 else 4), (14 if y > 0 else SIDE - 22)
        end = f'x="{SIDE - 4}" text-anchor="end"' if x > 0 else f'x="{left}"'
        counts = [
            f'<use href="#{id}-{kind}" x="{left + 5 + 44 * kind}" y="{top + 13}"/>'
            f'<text class="count" x="{left + 12 + 44 * kind}" y="{top + 17}">{net.clusters[t, n, kind]}</text>'
            for kind in range(2)
        ]
        words = f"{name(n)}{' not in training' * (n in lacks)}"
        parts.append(f'<text class="name" {end} y="{top}">{words}</text>{"".join(counts)}')
    return "".join(f'<g class="corner">{part}</g>' for part in parts)


def _error_panel(seen: Nets) -> str:
    """Return the errors of the net shown first, with the cursor at its step, and their key."""
    plot, net, t = seen.plot, seen.first, seen.begin["step"]
    x = plot.x(seen.values["step"][t])
    shown = {curve: 100 * found / PARTS for curve, found in net.errors.items()}
    lines = [f'<path class="curve {curve}" d="{plot.path(seen.values["step"], ys)}"/>' for curve, ys in shown.items()]
    dots = [f'<circle class="dot {curve}" r="4.5" cx="{x:g}" cy="{plot.y(ys[t]):g}"/>' for curve, ys in shown.items()]
    cursor = f'<line class="cursor" x1="{x:g}" x2="{x:g}" y1="{TOP}" y2="{FLOOR}"/>'
    alt = "Training error and error on new points against the training step, as the controls say"
    # The dashes of the training error lie on the other line where both are the same.
    drawing = svg("curves", WIDTH, HEIGHT, alt, _frame(seen), _rest(seen), cursor, *lines[::-1], *dots[::-1])
    key = "".join(
        f'<li><svg viewBox="0 0 28 12" class="sample" aria-hidden="true"><path class="curve {curve}" d="M0 6H28"/>'
        f"</svg>{words}</li>"
        for curve, words in CURVES.items()
    )
    head = '<p class="name">Error <small>% of points answered wrongly</small></p>'
    return f'<div class="panel">{head}{drawing}<ul class="key">{key}</ul></div>'


def _frame(seen: Nets) -> str:
    """Return the numbers along both axes."""
    steps, high = seen.values["step"], seen.plot.y.high
    powers = range(ceil(log10(steps[1])), floor(log10(steps[-1])) + 1)
    across = round_ticks(0, steps[-1]) if seen.even else [0, *(10**power for power in powers)]
    return seen.plot.frame([(step, written(step)) for step in across], round_ticks(0, high), "training step")


def _rest(seen: Nets) -> str:
    """Return the mark of the step from which on no weight changes; outside the drawing where that is the last."""
    net = seen.first
    x = seen.plot.x(net.steps[net.rest]) if net.rest < len(net.steps) - 1 else -999
    end = x > (LEFT + RIGHT) / 2
    place = f'x="{-5 if end else 5}" y="{TOP + 9}" text-anchor="{"end" if end else "start"}"'
    return (
        f'<g class="rest" transform="translate({x:g},0)"><path d="M0 {TOP}V{FLOOR}"/><text {place}>at rest</text></g>'
    )
