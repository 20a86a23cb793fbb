"""Signal explorer: where a random net lies in the plane of σ, and how signals fare in it from layer to layer.

Pre-activations of a wide random net have variance q and, for two inputs, correlation c. A layer turns q into
V(q) = σ_w²·E[φ²] + σ_b² and, at V's fixed point q*, c into C(c); χ₁ is the slope of C at c = 1 (Poole et al. 2016).
All theory is `measures.meanfield`'s. The script gets it in tables over q and c alone, which are the same for all σ_w
and σ_b, and computes maps and fixed points from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.measures import meanfield
from redlib.report.explorers.fragments import (
    Axis,
    Plot,
    choice,
    controls,
    fragment,
    packed,
    round_ticks,
    slider,
    svg,
)

ACTIVATIONS: Final = {"tanh": "tanh", "relu": "ReLU", "erf": "erf", "linear": "linear"}  # what they are called
CUTS: Final = {"magnitude": "by magnitude", "random": "at random"}
VARIANCES, CORRELATIONS = 64, 25  # nodes of the tables
FIRST_Q: Final = 1e-4  # below it E[φ²]/q is held
LEVELS: Final = 2**24 - 1  # of a chord, in three bytes
NEAR: Final = 0.01  # what is as near to χ₁ = 1 is called the edge
ROUNDING: Final = 1e-9  # what is as near to a value of an axis is that value
REACHES: Final = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # of the axes of the Q-map
SAMPLES: Final = 60  # of a curve
COBWEB: Final = 30  # layers of it at most
WIDTH, HEIGHT = 300, 270  # of a panel
LEFT, RIGHT, TOP, FLOOR = 47, 290, 10, 228  # the sides of its plot
Places = list[tuple[float, float]]
Start = tuple[str, float, float, float]  # activation, σ_w, σ_b, density


def signal_explorer(
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
    densities: Sequence[float],
    *,
    activations: Sequence[str] = tuple(ACTIVATIONS),
    start: Start | None = None,
    cut: str = "magnitude",
    title: str = "",
) -> str:
    """Return the HTML of an explorer: the plane of σ_w and σ_b with the edge of chaos, the Q-map and the C-map.

    `sigma_w` [A] and `sigma_b` [B] are the values of their sliders, rising, `densities` [D] the fractions of weights
    kept, falling. A density d moves a net to (σ_w·√share, σ_b): cut once by magnitude, Gaussian weights keep the share
    `meanfield.magnitude_second_moment(d)` of their second moment, at random the share d; a switch chooses, and `cut`
    is what it shows first. `activations` are names of `meanfield`'s. `start` is the activation, σ_w, σ_b and density
    shown first (default: the first activation, the middle of both axes, the first density), and all there is without
    JavaScript.

    BadInput for unknown activations and cuts, axes that are not finite or do not rise, negative deviations, densities
    outside (0, 1], a start that is not on the axes, and more than 150 kB.
    """
    w, b = _rising("sigma_w", sigma_w, 2), _rising("sigma_b", sigma_b, 2)
    kept = _rising("densities, reversed,", list(densities)[::-1], 1)[::-1]
    if w[0] < 0 or b[0] < 0:
        raise BadInput.of("least sigma_w and sigma_b", (w[0], b[0]), ">= 0", "They are standard deviations.")
    if not activations or not set(activations) <= set(ACTIVATIONS):
        raise BadInput.of("activations", list(activations), f"some of {list(ACTIVATIONS)}", "Name them as meanfield.")
    if cut not in CUTS:
        raise BadInput.of("cut", cut, f"one of {list(CUTS)}", "Name what the density does to sigma_w.")
    shares = {name: share_kept(kept, name) for name in CUTS}
    seen = Signals(tuple(activations), w, b, kept, shares, _begin(activations, w, b, kept, start), cut)
    remedy = "Pass fewer values of sigma_b."
    return fragment("signals", _data(seen), lambda id: _body(seen, id), title=title, remedy=remedy)


def share_kept(densities: ArrayLike, cut: str) -> np.ndarray:
    """Return the share of the second moment of Gaussian weights [...] that is left at densities [...] in (0, 1]."""
    found = np.asarray(densities, dtype=float)
    return meanfield.magnitude_second_moment(found) if cut == "magnitude" else found


# --- what is shown ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signals:
    """The checked contents of an explorer; `shares[cut]` [D], `start` are places: of the activation, on the axes."""

    activations: tuple[str, ...]
    sigma_w: tuple[float, ...]
    sigma_b: tuple[float, ...]
    densities: tuple[float, ...]
    shares: dict[str, np.ndarray]
    start: tuple[int, int, int, int]
    cut: str

    def scene(self) -> Scene:
        """Return what is drawn at the start."""
        kind, w, b, d = self.start
        kept_w = self.sigma_w[w] * sqrt(float(self.shares[self.cut][d]))
        return Scene(self.activations[kind], self.sigma_w[w], self.sigma_b[b], kept_w)


@dataclass(frozen=True)
class State:
    """What a net of σ_w and σ_b does to its signals: q*, χ₁, c* and the depth scale ξ of correlations, in layers.

    q* is infinite where q grows without bound (c* and ξ are then NaN) and NaN where every q is a fixed point.
    """

    activation: Any  # a name of meanfield's
    w: float
    b: float

    def _of(self, function: Callable[..., Any]) -> Any:
        return function(self.w, self.b, self.activation)

    @cached_property
    def q(self) -> float:
        """Return q*."""
        return float(self._of(meanfield.q_fixed_point))

    @cached_property
    def chi(self) -> float:
        """Return χ₁."""
        return float(self._of(meanfield.chi_1))

    @cached_property
    def c(self) -> float:
        """Return c*."""
        return float(self._of(meanfield.c_fixed_point))

    @property
    def phase(self) -> str:
        """Return "ordered", "edge" (χ₁ within 0.01 of 1) or "chaotic"."""
        return ("ordered", "edge", "chaotic")[1 + int(self.chi > 1 + NEAR) - int(self.chi < 1 - NEAR)]

    @property
    def words(self) -> list[str]:
        """Return what stands in the columns of the readout: q*, χ₁, ξ, c* and the phase."""
        return [*map(number, (self.q, self.chi, float(self._of(meanfield.depth_scales)[1]), self.c)), self.phase]

    def up(self, q: ArrayLike) -> np.ndarray:
        """Return V(q)."""
        return meanfield.q_map(q, self.w, self.b, self.activation)

    def correlate(self, c: ArrayLike) -> np.ndarray:
        """Return C(c) at q*; where that is 0, infinite or any, its limit, in which the biases do not count."""
        q, b = (self.q, self.b) if 0 < self.q < inf else (FIRST_Q if self.q == 0 else 1.0, 0.0)
        return meanfield.c_map(c, q, self.w, b, self.activation) if self.w else np.ones(np.shape(c))


@dataclass(frozen=True)
class Scene:
    """What is drawn: the maps of a net of σ_w = `w`, σ_b = `b`, dense and pruned, where σ_w is `kept_w`."""

    activation: str
    w: float
    b: float
    kept_w: float

    @cached_property
    def dense(self) -> State:
        """Return the state of the dense net."""
        return State(self.activation, self.w, self.b)

    @cached_property
    def sparse(self) -> State:
        """Return the state of the pruned net."""
        return State(self.activation, self.kept_w, self.b)

    @property
    def reach(self) -> float:
        """Return the end of the axes of the Q-map: the dense net's q* too, unless that of the pruned is far smaller."""
        q = self.sparse.q
        if not 0 <= q < inf:
            return 2.0
        wanted = 1.3 * max(q, min(self.dense.q, 4 * q)) if self.dense.q > 0 else q
        return next((reach for reach in REACHES if reach >= wanted), REACHES[-1])

    def q_web(self) -> Places:
        """Return the variance from layer to layer of the pruned net: from above, or from below where q* is infinite."""
        start = self.reach * (0.05 if self.sparse.q == inf else 0.95)
        return cobweb(lambda q: float(self.sparse.up(q)), start, self.reach)

    def c_web(self) -> Places:
        """Return the correlation from layer to layer of the pruned net: from 0.9 where c* is below 1, else from 0.1."""
        return cobweb(lambda c: float(self.sparse.correlate(c)), 0.9 if self.sparse.c < 1 else 0.1, 1.0)

    def tangent(self) -> Places:
        """Return the ends of the tangent of slope χ₁ at c = 1, or nothing where q* is 0 or infinite."""
        if not 0 < self.sparse.q < inf:
            return []
        wide = min(1.0, 0.95 / self.sparse.chi) if self.sparse.chi else 1.0
        return [(1 - wide, 1 - wide * self.sparse.chi), (1.0, 1.0)]

    def note(self) -> str:
        """Return what is written above the C-map: its slope at c = 1, or which limit is drawn."""
        q = self.sparse.q
        if isnan(q):
            return "the same at every q"
        if q == inf:
            return "limit as q grows"
        return f"slope χ₁ = {number(self.sparse.chi)}" if q > 0 else "limit as q vanishes"


def cobweb(step: Callable[[float], float], start: float, reach: float) -> Places:
    """Return the corners of the way from `start` up to the curve, across to the diagonal, and so on."""
    places, x = [(start, 0.0)], start
    for _ in range(COBWEB):
        y = step(x)
        places += [(x, y), (y, y)]
        if abs(y - x) < 0.003 * reach or y > 2 * reach:
            break
        x = y
    return places


def number(value: float) -> str:
    """Return the value in about three digits."""
    if isnan(value):
        return "–"
    return "∞" if value == inf else f"{value:.{3 - sum(value >= ten - 0.0005 for ten in (1, 10, 100))}f}"


def percent(density: float) -> str:
    """Return how a density is written: "20.6%"."""
    return f"{100 * density:.3g}%"


def _rising(what: str, values: ArrayLike, fewest: int) -> tuple[float, ...]:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or len(found) < fewest:
        raise BadInput.of(f"shape of {what}", found.shape, f"[n], n >= {fewest}", "Pass the values in a list.")
    if not np.isfinite(found).all() or not (np.diff(found) > 0).all():
        raise BadInput.of(what, found.tolist(), "finite values that rise", "Sort the values.")
    return tuple(found.tolist())


def _begin(activations: Sequence[str], *axes: Any) -> tuple[int, int, int, int]:
    """Return the places of the start, which is the last of the axes."""
    *known, start = axes
    w, b, kept = known
    first = (activations[0], w[len(w) // 2], b[len(b) // 2], kept[0]) if start is None else start
    if first[0] not in activations:
        raise BadInput.of("activation", first[0], f"one of {list(activations)}", "Start at one that is shown.")
    places = [_place(*axis) for axis in zip(("sigma_w", "sigma_b", "density"), known, first[1:], strict=True)]
    return (list(activations).index(first[0]), *places)  # type: ignore[return-value]


def _place(what: str, axis: Sequence[float], value: float) -> int:
    """Return where the value is on its axis, up to rounding."""
    away = [abs(known - value) for known in axis]
    if not min(away) <= ROUNDING:
        raise BadInput.of(f"start of {what}", value, f"one of {list(axis)}", "Start at a value of the axis.")
    return away.index(min(away))


# --- the fragment -------------------------------------------------------------------------------------------


def table(activation: Any, q: np.ndarray, c: np.ndarray, sigma_b: Sequence[float]) -> dict[str, np.ndarray]:
    """Return the theory of an activation: ratio E[φ²]/q [Q], gain E[φ'²] [Q], chord [Q, C] and edge of chaos [B].

    The chord is (1 - C)/(1 - c) without biases, at c = 1 its limit. Chord and ratio are smooth where c is near 1 and q
    small, so that cubics between the nodes lose nothing there.
    """
    ratio, gain = meanfield.q_map(q, 1, 0, activation) / q, meanfield.chi(q, 1, activation)
    chord = (1 - meanfield.c_map(c[:-1], q[:, None], 1, 0, activation)) / (1 - c[:-1])
    edge = meanfield.edge_of_chaos(sigma_b, activation)
    return {"ratio": ratio, "gain": gain, "chord": np.column_stack([chord, gain / ratio]), "edge": edge}


def _packed(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the table for the script: chords as base64 of shares of their largest, high bytes first."""
    unit = float(found["chord"].max()) / LEVELS
    whole = np.rint(found["chord"] / unit).astype(int)[..., None] >> np.array([16, 8, 0]) & 255
    rows = {name: [float(f"{x:.7g}") for x in found[name]] for name in ("ratio", "gain", "edge")}
    return {**rows, "unit": unit, "chord": packed(whole.astype(np.uint8))}


def _data(seen: Signals) -> dict[str, Any]:
    """Return what the script computes from; tables reach beyond the largest q* of a bounded activation."""
    q = np.geomspace(FIRST_Q, max(1.0, seen.sigma_w[-1] ** 2 + seen.sigma_b[-1] ** 2), VARIANCES)
    c = np.sin(np.linspace(0, np.pi / 2, CORRELATIONS))  # cosines of equally spaced angles
    return {
        **{"q": [float(f"{x:.7g}") for x in q], "c": c.tolist(), "near": NEAR},
        "kinds": [_packed(table(name, q, c, seen.sigma_b)) for name in seen.activations],
        "names": [ACTIVATIONS[name] for name in seen.activations],
        **{"w": seen.sigma_w, "b": seen.sigma_b, "percent": list(map(percent, seen.densities))},
        **{"cuts": [np.sqrt(share).tolist() for share in seen.shares.values()], "cutNames": list(CUTS.values())},
        **{"box": (LEFT, TOP, RIGHT - LEFT, FLOOR - TOP), "reaches": REACHES, "samples": SAMPLES, "cobweb": COBWEB},
    }


def _body(seen: Signals, id: str) -> str:
    """Return controls, readout, the three panels at the start, and the key."""
    scene = seen.scene()
    return (
        f"{_controls(seen, id)}{_readout(seen, scene)}"
        f'<div class="panels">{_plane(seen, scene)}{_q_panel(scene)}{_c_panel(scene)}</div>'
        f'{_key()}<p class="said" aria-live="polite"></p>'
    )


def _controls(seen: Signals, id: str) -> str:
    """Return the choice of activation and cut, and the three sliders."""
    kind, *places = seen.start
    values = (seen.sigma_w, seen.sigma_b, seen.densities)
    axes = (("w", f"σ{_low('w')}", "weights"), ("b", f"σ{_low('b')}", "biases"), ("d", "density", "kept"))
    sliders = [
        slider(id, axis, f"{symbol} <small>{words}</small>", len(known) - 1, at)
        for (axis, symbol, words), known, at in zip(axes, values, places, strict=True)
    ]
    names = [ACTIVATIONS[name] for name in seen.activations]
    choices = choice(id, "kind", "Activation", names, kind) + choice(
        id, "cut", "Cut", list(CUTS.values()), list(CUTS).index(seen.cut)
    )
    return controls(choices, f'<div class="sliders">{"".join(sliders)}</div>')


def _readout(seen: Signals, scene: Scene) -> str:
    """Return the numbers of both nets, with their marks in the plots; and where they are, for want of the sliders."""
    heads = ("q*", "χ₁", 'ξ<span class="unit"> (layers)</span>', "c*", "phase")
    kept = f'<span class="kept">{percent(seen.densities[seen.start[3]])}</span><span class="unit"> kept</span>'
    body = [
        f'<tr class="{kind}"><th scope="row">{_sample(kind)}{name}</th>'
        + "".join(f"<td>{word}</td>" for word in state.words[:-1])
        + f'<td class="{state.phase}">{state.phase}</td></tr>'
        for kind, name, state in (("dense", "dense", scene.dense), ("sparse", kept, scene.sparse))
    ]
    setting = f"{ACTIVATIONS[scene.activation]}, σ{_low('w')} = {scene.w:g}, σ{_low('b')} = {scene.b:g}"
    return (
        f'<p class="setting">{setting}, cut {CUTS[seen.cut]}</p><table class="readout"><thead><tr><td></td>'
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _low(letter: str) -> str:
    return f"<sub>{letter}</sub>"


def _sample(kind: str, path: str = "M-13 0H13", dot: bool = True) -> str:
    """Return a piece of a line, with its dot."""
    line = f'<path class="{kind}-line" d="{path}"/>' + f'<circle class="{kind}-dot" r="4.5"/>' * dot
    return f'<svg class="sample" viewBox="-14 -7 28 14" aria-hidden="true">{line}</svg>'


def _key() -> str:
    items = {
        "web": ("M-13 5V-1H-3V-5H13", "pruned net, layer by layer"),
        "tangent": ("M-13 0H13", "tangent at c = 1, slope χ₁"),
        "same": ("M-13 0H13", "diagonal, no change"),
    }
    told = (f"<li>{_sample(kind, path, dot=False)}{words}</li>" for kind, (path, words) in items.items())
    return f'<ul class="key">{"".join(told)}</ul>'


def _plot(left: float, right: float, bottom: float, top: float) -> Plot:
    return Plot(Axis(left, right, LEFT, RIGHT), Axis(bottom, top, FLOOR, TOP))


def _panel(
    kind: str, plot: Plot, name: str, alt: str, inner: str, ticks: Sequence[Sequence[float]], *words: str
) -> str:
    """Return a panel: what is cut off at the sides of the plot, ticks across and up, what both axes are called."""
    paper = f'<rect class="paper" x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{FLOOR - TOP}"/>'
    across, up = ticks
    frame = plot.frame([(tick, f"{tick:g}") for tick in across], up, words[0], marks=True)
    side = f'<text class="x name" transform="translate(13 {(TOP + FLOOR) / 2:g}) rotate(-90)">{words[1]}</text>'
    drawing = svg(kind, WIDTH, HEIGHT, alt, paper, plot.cut(inner), frame, side, *words[2:])
    return f'<div class="panel"><p class="name">{name}</p>{drawing}</div>'


def _dots(plot: Plot, dense: tuple[float, float], sparse: tuple[float, float]) -> str:
    """Return the circles of both nets; one that is not within the plot lies outside the panel."""
    parts = []
    for kind, radius, (x, y) in (("dense", 6, dense), ("sparse", 4.5, sparse)):
        inside = plot.x.low <= x <= plot.x.high and plot.y.low <= y <= plot.y.high
        u, v = (plot.x(x), plot.y(y)) if inside else (-99, -99)
        parts.append(f'<circle class="{kind}-dot" r="{radius:g}" cx="{u:g}" cy="{v:g}"/>')
    return "".join(parts)


def _line(plot: Plot, kind: str, places: Places) -> str:
    path = plot.path(*zip(*places, strict=True)) if places else ""
    return f'<path class="{kind}-line" d="{path}"/>'


def _plane(seen: Signals, scene: Scene) -> str:
    """Return the plane of the sigmas: both phases, the edge, the dense and the pruned net."""
    plot = _plot(0, seen.sigma_w[-1], seen.sigma_b[0], seen.sigma_b[-1])
    edge, heights = meanfield.edge_of_chaos(seen.sigma_b, scene.dense.activation).tolist(), list(seen.sigma_b)
    sides = {"ordered": 0.0, "chaotic": max(seen.sigma_w[-1], *edge)}
    areas = [
        f'<path class="side {name}" d="{plot.path([*edge, x, x], [*heights, heights[-1], heights[0]])}Z"/>'
        for name, x in sides.items()
    ]
    along = arrow(plot.x(scene.w), plot.x(scene.kept_w), plot.y(scene.b))
    x = min(plot.x(edge[-1]) + 5, RIGHT - 46)
    names = (
        f'<g class="phases"><text x="{LEFT + 7}" y="{TOP + 16}">ordered</text><text class="y" x="{RIGHT - 7}"'
        f' y="{FLOOR - 8}">chaotic</text></g><text class="edge-name" x="{x:g}" y="{TOP + 16}">χ₁ = 1</text>'
    )
    inner = "".join([*areas, _line(plot, "edge", list(zip(edge, heights, strict=True))), names])
    ticks = round_ticks(0, plot.x.high), round_ticks(plot.y.low, plot.y.high)
    words = _dip("w", ", of the weights"), _dip("b", ", of the biases")
    dots = _dots(plot, (scene.w, scene.b), (scene.kept_w, scene.b))
    alt = "Plane of sigma_w and sigma_b with the edge of chaos; an arrow leads from the dense to the pruned net"
    return _panel("plane", plot, "Edge of chaos", alt, f'{inner}<path class="arrow" d="{along}"/>', ticks, *words, dots)


def arrow(start: float, end: float, y: float) -> str:
    """Return the path of a horizontal arrow between two dots, nothing where they touch."""
    if start - end < 18:
        return ""
    tip = end + 7
    return f"M{start - 7:g} {y:g}H{tip:g}M{tip + 6:g} {y - 4:g}L{tip:g} {y:g}L{tip + 6:g} {y + 4:g}"


def _q_panel(scene: Scene) -> str:
    """Return the Q-map of both nets and the cobweb of the pruned one."""
    reach, nets = scene.reach, {"dense": scene.dense, "sparse": scene.sparse}
    plot, q = _plot(0, reach, 0, reach), np.linspace(0, reach, SAMPLES + 1)
    curves = {kind: list(zip(q.tolist(), net.up(q).tolist(), strict=True)) for kind, net in nets.items()}
    lines = {"same": [(0.0, 0.0), (reach, reach)], "web": scene.q_web()} | curves
    inner = "".join(_line(plot, kind, places) for kind, places in lines.items())
    dots, ends = _dots(plot, *((net.q, net.q) for net in nets.values())), (0, reach / 2, reach)
    alt = "Q-map: the variance of a layer against that of the layer below, with fixed points"
    words = "q, variance in a layer", "V(q), a layer up"
    return _panel("q-map", plot, "Q-map: variance", alt, inner, (ends, ends), *words, dots)


def _c_panel(scene: Scene) -> str:
    """Return the C-map of both nets, the cobweb and the tangent of the pruned one."""
    nets = {"dense": scene.dense, "sparse": scene.sparse}
    plot, c = _plot(0, 1, 0, 1), np.linspace(0, 1, SAMPLES + 1)
    curves = {kind: list(zip(c.tolist(), net.correlate(c).tolist(), strict=True)) for kind, net in nets.items()}
    lines = {"same": [(0.0, 0.0), (1.0, 1.0)], "web": scene.c_web()} | curves | {"tangent": scene.tangent()}
    inner = "".join(_line(plot, kind, places) for kind, places in lines.items())
    dots, ends = _dots(plot, *((net.c, net.c) for net in nets.values())), (0, 0.5, 1)
    name = f'C-map: correlation<small class="slope">{scene.note()}</small>'
    alt = "C-map: the correlation of two inputs in a layer against that in the layer below, with its slope at 1"
    words = "c, correlation of two inputs", "C(c), a layer up"
    return _panel("c-map", plot, name, alt, inner, (ends, ends), *words, dots)


def _dip(letter: str, rest: str) -> str:
    """Return σ with a lower letter, and the rest back on the line."""
    return f'σ<tspan class="low" dy="3">{letter}</tspan><tspan dy="-3">{rest}</tspan>'
