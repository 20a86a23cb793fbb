"""Path explorer: what nets decide on a path between two trained ones, beside their errors and the loss around them.

The nets have two inputs and tell two moons apart, class 0 and class 1 (`redlib.data.moons`). A map is what one net
makes of every place of a square, with the points that it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import ceil, floor, log10
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.data.numbers import floats
from redlib.errors import BadInput
from redlib.report.explorers.edge import number
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
from redlib.report.explorers.vectors import PARTS, percent

AXES: Final = {"seed": "Seed", "path": "Path", "position": "Position t"}
CURVES: Final = {"train": "training error", "test": "test error"}
TINTS: Final = ("blue", "orange")  # of the moons
WAYS: Final = ("green", "gold", "purple")  # of the paths
LEVELS: Final = 8  # a map is drawn in eighths of probability
LONG: Final = 32  # a byte of packed maps holds a level and how often it comes, if that is less than so often
DECADES: Final = 5  # of losses that are told apart, the highest
BANDS: Final = 2  # a decade
NEAR: Final = 1e-3  # of the side of the window: a net nearer than that to the plane lies in it
SIDE: Final = 288  # of a map and of the plane
FAR: Final = 3000  # pixels: what is farther from the corner is drawn there, out of sight
WIDTH, HEIGHT = 320, 302  # of the errors
LEFT, RIGHT, TOP, FLOOR = 36, 302, 10, 260  # the sides of their plot
MAPS: Final = ("first", "here", "last")  # what three maps are called


@dataclass(frozen=True)
class Paths:
    """The checked contents: names and values of each axis, the arrays of `path_explorer`, and the start."""

    values: dict[str, list[Any]]
    levels: np.ndarray  # [S, P, T, G, G], 0 to LEVELS - 1, the first row at the top
    errors: dict[str, np.ndarray]  # [S, P, T] in PARTS
    losses: np.ndarray
    plane: np.ndarray  # [S, Y, X] losses, the first row at the top
    at: np.ndarray  # [S, P, T, 2] in pixels of the plane
    away: np.ndarray
    within: np.ndarray  # bool [S, P, T]
    points: np.ndarray  # [S, n, 2] in pixels of a map
    moons: np.ndarray
    begin: dict[str, int]

    @property
    def start(self) -> tuple[int, int, int]:
        """Return the places of seed, path and position that are shown first."""
        return self.begin["seed"], self.begin["path"], self.begin["position"]

    @property
    def last(self) -> int:
        """Return the place of the last position."""
        return len(self.values["position"]) - 1

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Return the places of all paths, seed by seed."""
        return [*np.ndindex(self.losses.shape[:2])]

    @cached_property
    def edges(self) -> list[float]:
        """Return the losses at which a band ends and the next one begins: half decades, at most `DECADES` of them."""
        high = ceil(log10(self.plane.max()))
        low = max(floor(log10(max(self.plane.min(), 1e-30))), high - DECADES)
        return [10 ** (low + n / BANDS) for n in range(1, BANDS * (high - low))]

    @cached_property
    def bands(self) -> np.ndarray:
        """Return the band of each place of the planes, 0 for the lowest losses: int [S, Y, X]."""
        return np.searchsorted(self.edges, self.plane, side="right")

    @cached_property
    def plot(self) -> Plot:
        """Return the plot of the errors, in per cent, all paths on one scale."""
        highest = max(int(found.max()) for found in self.errors.values())
        high = round_range(0, 100 * highest / PARTS or 1.0)[1]
        return Plot(Axis(0, 1, LEFT, RIGHT), Axis(0, high, FLOOR, TOP))

    def drawn(self, s: int) -> list[int]:
        """Return the places of the paths of a seed that lie in its plane."""
        return [p for p in range(len(self.values["path"])) if self.within[s, p].all()]

    def shares(self, s: int, p: int) -> list[int]:
        """Return how much of the square the nets of a path give to moon 1, in whole per cent."""
        return np.rint(100 * (self.levels[s, p] >= LEVELS // 2).mean((1, 2))).astype(int).tolist()

    def words(self, s: int, p: int, t: int) -> tuple[str, str, str]:
        """Return how loss, training error and test error of a net are written."""
        train, test = (percent(self.errors[name][s, p, t]) for name in CURVES)
        return number(float(self.losses[s, p, t])), train, test

    def distance(self, s: int, p: int, t: int) -> str:
        """Return how far from the plane a net of a path is that leaves it; nothing of a path that does not."""
        return "" if p in self.drawn(s) else f"{self.away[s, p, t]:.2f}"

    def place(self, s: int, p: int, t: int) -> str:
        """Return where a net is beside the plane of the losses."""
        away = self.distance(s, p, t)
        return f"This path leaves the plane: here it is {away} away from it." if away else "The ring is the net at t."

    def label(self, t: int) -> str:
        """Return how a position is written."""
        return f"{self.values['position'][t]:.2f}"

    def sentence(self, s: int, p: int, t: int) -> str:
        """Return what is said of a net."""
        path, (loss, train, test) = self.values["path"][p], self.words(s, p, t)
        known = f"training loss {loss}, {CURVES['train']} {train}, {CURVES['test']} {test}"
        return f"{path[:1].upper()}{path[1:]}, t\u00a0=\u00a0{self.label(t)}: {known}."

    def setting(self, s: int, p: int) -> str:
        """Return what a picture shows: path and seed."""
        return f"{self.values['path'][p]}, seed {self.values['seed'][s]}"


def path_explorer(
    decisions: ArrayLike,
    train_error: ArrayLike,
    test_error: ArrayLike,
    train_loss: ArrayLike,
    *,
    plane: tuple[ArrayLike, ArrayLike, ArrayLike],
    at: ArrayLike,
    away: ArrayLike,
    points: ArrayLike,
    moons: ArrayLike,
    reach: float,
    positions: Sequence[float],
    paths: Sequence[str],
    seeds: Sequence[int],
    start: Mapping[str, Any] | None = None,
    title: str = "",
) -> str:
    """Return the HTML of an explorer: paths between two nets, along which the reader moves; seed and path are chosen.

    `decisions` uint8 [seeds, paths, T, G, G] are the probabilities of class 1, times 255, on a grid of squares that
    fills the square of ±`reach` around the origin, rows upwards; they are drawn in `LEVELS` equal steps. `train_error`,
    `test_error` (shares in [0, 1]) and `train_loss` are [seeds, paths, T], at the `positions` t [T >= 3], which rise
    from 0 to 1. `plane` is (losses [seeds, N, N], x [seeds, N], y [seeds, N]) with the training losses on a plane
    through both nets, `at` [seeds, paths, T, 2] where on it the nets of the paths are, `away` [seeds, paths, T] how far
    from it. Paths that keep to the plane are drawn on it, of others their distance is told. `points` [seeds, n, 2] and
    `moons` [seeds, n], 0 or 1, are what was trained on. `paths` are one to three names. `start` maps "seed", "path" and
    "position" to what is shown first (default: the first seed and path, the position in the middle).

    Without JavaScript the start is shown beside both ends of its path. Losses on the plane are drawn in half decades,
    the highest `DECADES` of them told apart. BadInput for other shapes and types, shares outside 0 ... 1, losses that
    are not positive, positions and places that do not rise evenly, unknown names, and more than 150 kB.
    Source of the plane: Garipov et al. 2018.
    """
    values: dict[str, list[Any]] = {"seed": [*seeds], "path": [*paths], "position": [*positions]}
    _check_axes(values)
    shape = (len(values["seed"]), len(values["path"]), len(values["position"]))
    losses, corner, step = _window(*plane, len(values["seed"]))
    where, far = _array("at", at, (*shape, 2)), _array("away", away, shape)
    spots, side = _array("points", points, (shape[0], None, 2)), losses.shape[1] * step[:, None, None]
    seen = Paths(
        values, _levels(decisions, shape), {"train": _parts("train_error", train_error, shape),
        "test": _parts("test_error", test_error, shape)}, _positive("train_loss", train_loss, shape), losses[:, ::-1],
        _pixels((where - corner[:, None, None]) / side[..., None]), far, far <= NEAR * side,
        _pixels(spots / _reach(reach) / 2 + 0.5), _moons(moons, spots.shape[:2]), _begin(values, start or {}),
    )  # fmt: skip
    remedy = "Show fewer seeds or positions, or maps with fewer places."
    return fragment("path", _data(seen), lambda id: _body(seen, id), title=title, remedy=remedy)


# --- what is given ------------------------------------------------------------------------------------------


def _check_axes(values: Mapping[str, Sequence[Any]]) -> None:
    for axis in ("seed", "path"):
        found = values[axis]
        if not len(found) or len(set(found)) < len(found):
            raise BadInput.of(f"{axis}s", list(found), "at least one, none twice", "Name each as often as it is there.")
    if len(values["path"]) > len(WAYS):
        raise BadInput.of("paths", values["path"], f"at most {len(WAYS)}", "Each has a colour of its own.")
    t = floats(values["position"], "positions")
    if t.ndim != 1 or len(t) < 3 or (t[0], t[-1]) != (0, 1) or not (np.diff(t) > 0).all():
        raise BadInput.of("positions", t.tolist(), "three or more that rise from 0 to 1", "Look at both ends, too.")


def _array(what: str, given: ArrayLike, shape: Sequence[int | None]) -> np.ndarray:
    """Return finite numbers of a shape, in which None is any length of at least 1."""
    found = floats(given, what)
    if found.ndim != len(shape) or any(
        n != m if m is not None else n < 1 for n, m in zip(found.shape, shape, strict=False)
    ):
        wanted = str([m if m is not None else "n" for m in shape]).replace("'", "")
        raise BadInput.of(f"shape of {what}", found.shape, wanted, "Order: seed, path, position, coordinate.")
    if not np.isfinite(found).all():
        raise BadInput.of(what, "NaN or infinity among them", "finite numbers", "Leave this seed out.")
    return found


def _parts(what: str, given: ArrayLike, shape: Sequence[int]) -> np.ndarray:
    """Return shares in `PARTS`."""
    found = _array(what, given, shape)
    if found.min() < 0 or found.max() > 1:
        raise BadInput.of(f"least and largest {what}", (found.min(), found.max()), "0 to 1", "Divide per cent by 100.")
    return np.rint(found * PARTS).astype(int)


def _positive(what: str, given: ArrayLike, shape: Sequence[int | None]) -> np.ndarray:
    found = _array(what, given, shape)
    if found.min() < 0:
        raise BadInput.of(f"least {what}", float(found.min()), ">= 0", "Pass mean cross-entropies.")
    return found


def _levels(given: ArrayLike, shape: Sequence[int]) -> np.ndarray:
    """Return the maps in `LEVELS`, the first row at the top."""
    found = np.asarray(given)
    if found.dtype != np.uint8 or found.ndim != 5 or found.shape[:3] != shape or found.shape[3] != found.shape[4]:
        told = f"uint8 [{', '.join(map(str, shape))}, G, G]"
        raise BadInput.of("decisions", (str(found.dtype), found.shape), told, "Round 255 times the probabilities.")
    return (found[..., ::-1, :].astype(int) * LEVELS) // 256


def _window(loss: ArrayLike, x: ArrayLike, y: ArrayLike, seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the losses on the planes, the lower left corner of each window [S, 2], and the size of a place [S]."""
    losses = _positive("losses on the plane", loss, (seeds, None, None))
    count = losses.shape[1]
    across, up = _array("x of the plane", x, (seeds, count)), _array("y of the plane", y, (seeds, losses.shape[2]))
    steps = np.stack([np.diff(across, axis=1), np.diff(up, axis=1)]) if count > 1 else np.zeros((2, seeds, 1))
    step = steps[0, :, 0]
    if not (step > 0).all() or not np.allclose(steps, step[:, None], rtol=1e-6, atol=0):
        told = "even steps upwards, of one size on both axes"
        raise BadInput.of("steps of the plane", steps.ravel()[:4].tolist(), told, "Distances have one scale.")
    if not losses.max() > 0:
        raise BadInput.of("largest loss on the plane", 0.0, "> 0", "Its scale is logarithmic.")
    return losses, np.stack([across[:, 0], up[:, 0]], 1) - step[:, None] / 2, step


def _reach(reach: float) -> float:
    if not 0 < reach < np.inf:
        raise BadInput.of("reach", reach, "finite, > 0", "It is half the side of a map.")
    return reach


def _pixels(shares: np.ndarray) -> np.ndarray:
    """Return places of a square [..., 2] from shares of its side, y down, to a tenth of a pixel."""
    return np.round(SIDE * np.stack([shares[..., 0], 1 - shares[..., 1]], -1), 1).clip(-FAR, FAR)


def _moons(given: ArrayLike, shape: Sequence[int]) -> np.ndarray:
    found = np.asarray(given)
    if found.shape != tuple(shape) or not np.isin(found, (0, 1)).all():
        raise BadInput.of(
            "moons", (found.shape, np.unique(found)[:5].tolist()), f"0 or 1, {tuple(shape)}", "Name each."
        )
    return found.astype(int)


def _begin(values: Mapping[str, Sequence[Any]], start: Mapping[str, Any]) -> dict[str, int]:
    """Return the place at which each control starts."""
    chosen = {"seed": 0, "path": 0, "position": len(values["position"]) // 2}
    for axis, value in start.items():
        if axis not in AXES:
            raise BadInput.named("start", axis, AXES, "Name an axis.")
        if value not in values[axis]:
            raise BadInput.of(f"start[{axis!r}]", value, str(list(values[axis])), "Start at a value of the axis.")
        chosen[axis] = list(values[axis]).index(value)
    return chosen


# --- what the script draws ----------------------------------------------------------------------------------


def _data(seen: Paths) -> dict[str, Any]:
    t = range(seen.last + 1)
    return {
        **{"seed": seen.values["seed"], "path": seen.values["path"], "t": [seen.label(n) for n in t]},
        **{"grid": seen.levels.shape[-1], "levels": LEVELS, "long": LONG, "parts": PARTS},
        **{"x": [seen.plot.x(at) for at in seen.values["position"]], "row": (TOP, FLOOR, seen.plot.y.high)},
        "maps": packed(_runs(np.moveaxis(seen.levels, 2, -1))),
        "errors": packed(np.stack([*seen.errors.values()], -1).astype("<u2")),
        "words": [[seen.words(s, p, n) for n in t] for s, p in seen.runs],
        "away": [[seen.distance(s, p, n) for n in t] if p not in seen.drawn(s) else 0 for s, p in seen.runs],
        "shares": [seen.shares(s, p) for s, p in seen.runs],
        **{"bands": len(seen.edges) + 1, "places": seen.plane.shape[1], "plane": packed(seen.bands.astype(np.uint8))},
        "at": packed(np.rint(10 * seen.at).astype("<i2")),
        "drawn": [seen.drawn(s) for s in range(len(seen.values["seed"]))],
        "within": packed(seen.within.astype(np.uint8)),
        "points": packed(np.rint(10 * seen.points).astype("<i2")),
        "moons": packed(seen.moons.astype(np.uint8)),
    }


def _runs(levels: np.ndarray) -> np.ndarray:
    """Return numbers 0 to LEVELS - 1, row by row, as bytes: uint8 [n].

    LONG * number + times - 1 stands for a number that comes up to LONG - 1 times in a row. With LONG - 1 at its end a
    byte stands for LONG times, and as often again as the byte behind it says.
    """
    row = levels.ravel()
    ends = np.append(np.flatnonzero(np.diff(row)) + 1, len(row))
    found: list[int] = []
    for value, times in zip((LONG * row[ends - 1]).tolist(), np.diff(ends, prepend=0).tolist(), strict=True):
        many, rest = divmod(times, LONG)
        for start in range(0, many, 256):
            found += [value + LONG - 1, min(256, many - start) - 1]
        found += [value + rest - 1] * (rest > 0)
    return np.array(found, np.uint8)


# --- the fragment -------------------------------------------------------------------------------------------


def _body(seen: Paths, id: str) -> str:
    """Return the choices, the player and its sentence, and all panels at the start."""
    s, p, t = seen.start
    named = {"path": seen.values["path"], "seed": [str(seed) for seed in seen.values["seed"]]}
    buttons = [choice(id, axis, AXES[axis], names, seen.begin[axis]) for axis, names in named.items() if len(names) > 1]
    play = '<button type="button"><i></i><span>Play</span></button>'
    bar = controls(play, slider(id, "position", AXES["position"], seen.last, t))
    longest = max((seen.sentence(*run, n) for run in seen.runs for n in range(seen.last + 1)), key=len)
    return (
        f'<div class="choices" hidden>{"".join(buttons)}</div><div class="top-row">{bar}<p class="room" '
        f'data-longest="{escape(longest, quote=True)}"><span class="readout" aria-live="polite">'
        f"{escape(seen.sentence(s, p, t))}</span></p></div>"
        f'<div class="panels">{_plane_panel(seen)}{_error_panel(seen)}</div>{_map_panels(seen)}'
    )


def _nested(found: np.ndarray, numbers: Sequence[int], at_least: bool) -> list[str]:
    """Return, for each number, the rows of a square [N, N] that are at least (at most) it, as lines of height 1."""
    return [_rows(found >= n if at_least else found <= n) for n in numbers]


def _rows(held: np.ndarray) -> str:
    """Return the places of a square bool [N, N] as lines: "M3 0h5" for five from the fourth on in the first row."""
    path = ""
    for row, places in enumerate(held):
        turns = np.flatnonzero(np.diff(places.astype(int), prepend=0, append=0)).tolist()
        path += "".join(f"M{a} {row}h{b - a}" for a, b in zip(turns[::2], turns[1::2], strict=True))
    return path


def _layers(kind: str, paths: Sequence[str], count: int) -> str:
    """Return layers, one over the other, of a square of `count` places each way."""
    drawn = "".join(f'<path class="{kind}" d="{path}"/>' for path in paths)
    return f'<g class="layers" transform="scale({SIDE / count:g}) translate(0 .5)">{drawn}</g>'


def _plane_panel(seen: Paths) -> str:
    """Return the losses on the plane of the start, the paths in it, and its key."""
    s, p, t = seen.start
    layers = _layers("high", _nested(seen.bands[s], range(1, len(seen.edges) + 1), True), seen.plane.shape[1])
    alt = "Training loss on the plane through both nets and the bend, with the paths that lie in it"
    drawing = svg("plane", SIDE, SIDE, alt, layers, _ways(seen, s, p), _ends(seen, s), _ring(seen, s, p, t))
    names = [
        f'<li style="{tint(WAYS[n])}"><svg viewBox="0 0 28 12" class="sample" aria-hidden="true">'
        f'<path class="way way-{n}" d="M0 6H28"/></svg>{escape(name)}</li>'
        for n, name in enumerate(seen.values["path"])
        if any(n in seen.drawn(seed) for seed in range(len(seen.values["seed"])))
    ]
    return (
        f'<div class="panel"><p class="name">Training loss <small>plane through both nets and the bend, seed '
        f'<span class="which">{seen.values["seed"][s]}</span></small></p>{drawing}'
        f'<ul class="key">{"".join(names)}</ul>{_scale(seen)}<p class="where">{seen.place(s, p, t)}</p></div>'
    )


def _ways(seen: Paths, s: int, p: int) -> str:
    """Return a line for each path, that of the start the strongest; one that is not in the plane has no places."""
    lines = [_line(seen.at[s, n]) if n in seen.drawn(s) else "" for n in range(len(seen.values["path"]))]
    return "".join(
        f'<path class="way way-{n}{" chosen" * (n == p)}" style="{tint(WAYS[n])}" d="{line}"/>'
        for n, line in enumerate(lines)
    )


def _line(places: np.ndarray) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places.tolist())


def _ends(seen: Paths, s: int) -> str:
    """Return both nets with their names: the ends of a path that lies in the plane, or only the first."""
    places = [seen.at[s, 0, 0], seen.at[s, (seen.drawn(s) or [0])[0], -1]]
    drawn = "".join(
        f'<g class="end" transform="translate({x:g} {y:g})"><circle class="net" r="3.5"/>'
        f'<text class="x" y="18">{name} net</text></g>'
        for (x, y), name in zip((place.tolist() for place in places), ("first", "second"), strict=True)
    )
    return drawn


def _ring(seen: Paths, s: int, p: int, t: int) -> str:
    """Return the mark of the net at t, outside of the drawing where the net is outside of the plane."""
    x, y = seen.at[s, p, t].tolist() if seen.within[s, p, t] else (-99, -99)
    return f'<circle class="ring" r="6.5" cx="{x:g}" cy="{y:g}"/>'


def _scale(seen: Paths) -> str:
    """Return what the shades of the plane stand for."""
    count, edges = len(seen.edges) + 1, seen.edges
    wide = SIDE / count
    drawn = "".join(
        f'<path class="high" d="M{wide * n:.1f} 5H{SIDE}"/>'
        for n in range(1, count)
    )  # fmt: skip
    marks = "".join(
        f'<text class="x" x="{wide * (n + 1):.1f}" y="24">{_power(edge)}</text>'
        for n, edge in enumerate(edges)
        if (n + 1) % BANDS == 0
    )
    words = f"Shades of the training loss, {count} bands of half a decade"
    return (
        f'<svg class="scale" viewBox="0 0 {SIDE} 28" role="img" aria-label="{words}"><path class="frame" '
        f'd="M.5.5H{SIDE - 0.5}V9.5H.5z"/><g class="shades">{drawn}</g>{marks}</svg>'
    )


def _power(loss: float) -> str:
    return f"{loss:.3g}" if 1e-3 <= loss < 1e4 else number(loss)


def _error_panel(seen: Paths) -> str:
    """Return the errors along the path of the start, with the cursor at its position, and their key."""
    s, p, t = seen.start
    plot, at = seen.plot, seen.values["position"]
    x, shown = plot.x(at[t]), {name: 100 * found[s, p] / PARTS for name, found in seen.errors.items()}
    lines = [f'<path class="curve {name}" d="{plot.path(at, ys)}"/>' for name, ys in shown.items()]
    dots = [f'<circle class="dot {name}" r="4.5" cx="{x:g}" cy="{plot.y(ys[t]):g}"/>' for name, ys in shown.items()]
    cursor = f'<line class="cursor" x1="{x:g}" x2="{x:g}" y1="{TOP}" y2="{FLOOR}"/>'
    ticks = [(share, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    frame = plot.frame(ticks, round_ticks(0, plot.y.high), "position t on the path")
    drawing = svg(
        "curves", WIDTH, HEIGHT, "Training and test error along the path that is chosen", frame, cursor,
        *lines[::-1], *dots[::-1],
    )  # fmt: skip
    key = "".join(
        f'<li><svg viewBox="0 0 28 12" class="sample" aria-hidden="true"><path class="curve {name}" d="M0 6H28"/>'
        f"</svg>{words}</li>"
        for name, words in CURVES.items()
    )
    head = (
        f'<p class="name">Error <small>% of points, <span class="along">{escape(seen.setting(s, p))}</span></small></p>'
    )
    return f'<div class="panel">{head}{drawing}<ul class="key">{key}</ul></div>'


def _map_panels(seen: Paths) -> str:
    """Return the map of the start between those of the ends of its path, and their key."""
    s, p, t = seen.start
    heads = ("first net, t\u00a0=\u00a00", f"net at t\u00a0=\u00a0{seen.label(t)}", "second net, t\u00a0=\u00a01")
    parts = [
        f'<div class="panel {kind}"><p class="name">{head}</p>{_map(seen, (s, p, n), kind, head)}</div>'
        for kind, head, n in zip(MAPS, heads, (0, t, seen.last), strict=True)
    ]
    key = "".join(
        f'<li style="{tint(colour)}"><svg viewBox="-8 -8 16 16" aria-hidden="true"><path class="halo moon-{moon}" '
        f'd="{_spots(moon, [(0, 0)])}"/><path class="spot moon-{moon}" d="{_spots(moon, [(0, 0)])}"/></svg>'
        f"moon {moon}</li>"
        for moon, colour in enumerate(TINTS)
    )
    shade = "<li><small>points trained on; shades: probability of the moon, in eighths</small></li>"
    return f'<div class="maps">{"".join(parts)}</div><ul class="key">{key}{shade}</ul>'


def _map(seen: Paths, place: tuple[int, int, int], kind: str, head: str) -> str:
    """Return what one net makes of the square, and the points."""
    s, p, _ = place
    half = LEVELS // 2
    found = seen.levels[place]
    sides = zip(TINTS, (range(half), range(half, LEVELS)), (False, True), strict=True)
    layers = "".join(
        f'<g class="side" style="{tint(colour)}">{_layers("shade", _nested(found, levels, up), len(found))}</g>'
        for colour, levels, up in sides
    )
    points = "".join(
        f'<g style="{tint(colour)}">'
        + "".join(f'<path class="{name} moon-{moon}" d="{path}"/>' for name in ("halo", "spot"))
        + "</g>"
        for moon, colour in enumerate(TINTS)
        for path in [_spots(moon, seen.points[s][seen.moons[s] == moon].tolist())]
    )
    share = seen.shares(s, p)[place[2]]
    return svg(
        f"map {kind}", SIDE, SIDE, f"Decisions of the {head}: {share}% of the square go to moon 1", layers, points
    )


def _spots(moon: int, places: Sequence[Sequence[float]]) -> str:
    """Return the points of a moon: dots, or triangles."""
    return "".join(f"M{x:g} {y:g}{'l0 0' if moon == 0 else 'm0-4.2l3.8 6.6h-7.6z'}" for x, y in places)
