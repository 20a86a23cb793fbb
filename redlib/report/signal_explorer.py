"""Signal explorer: where a random net is in the plane of σ and how its signals fare, as a page and as a widget.

The theory is in `signal_theory`; the script of the page computes the same from the same tables.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from redlib.report import signal_theory
from redlib.report.fragments import fragment, round_ticks
from redlib.report.live import drawn
from redlib.report.plots import COLOURS, INK
from redlib.report.signal_theory import Places, Scene, Signals, SignalTable, Start, Theory, percent, signals

WIDTH, HEIGHT = 300, 270  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 47, 10, 10, 42  # its margins
ACROSS, DOWN = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


def signal_twin(
    tables: Mapping[str, SignalTable],
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
    densities: Sequence[float],
    *,
    start: Start | None = None,
    title: str = "",
) -> str:
    """Return the HTML of an explorer: the plane of σ_w and σ_b with the edge of chaos, the Q-map and the C-map.

    `tables` holds the theory of each activation (all names of them are shown as they are), `sigma_w` [A] and `sigma_b`
    [B] are the values of their sliders, rising, `densities` [D] the fractions of weights kept at random, falling; a
    density d moves a net to (σ_w·√d, σ_b). `start` is the activation, σ_w, σ_b and density shown first (default: the
    first table, the middle of both axes, the first density), and all there is without JavaScript.

    The fragment has ids of its own, follows the page's theme and names no outside address. BadInput for no table,
    an activation without one, axes that are not finite or do not rise, negative variances and deviations, other
    shapes, a start that is not on the axes, tables that end below a net's q* (unless E[φ²] is proportional to q, as
    for relu), and more than 150 kB.
    """
    seen = signals(tables, sigma_w, sigma_b, densities, start)
    remedy = "Pass smaller tables: 64 variances and 25 correlations will do."
    return fragment("signal_explorer", _data(seen), lambda id: _body(seen, id), title=title, remedy=remedy)


# --- the fragment -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Box:
    """The values at the sides of a panel's plot, and where others lie in the SVG."""

    left: float
    right: float
    bottom: float
    top: float

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return where the values lie in the SVG."""
        across, up = (x - self.left) / (self.right - self.left), (y - self.bottom) / (self.top - self.bottom)
        return LEFT + ACROSS * across, TOP + DOWN * (1 - up)

    def path(self, places: Places) -> str:
        """Return the line through the places, nothing for none."""
        return "M" * bool(places) + "L".join("{:.1f} {:.1f}".format(*self.pixel(*place)) for place in places)

    def dots(self, dense: tuple[float, float], sparse: tuple[float, float]) -> str:
        """Return the circles of both nets; one that is not within the plot lies outside the panel."""
        parts = []
        for kind, radius, (x, y) in (("dense", 6, dense), ("sparse", 4.5, sparse)):
            inside = self.left <= x <= self.right and self.bottom <= y <= self.top
            u, v = self.pixel(x, y) if inside else (-99.0, -99.0)
            parts.append(f'<circle class="{kind}-dot" r="{radius:g}" cx="{u:.1f}" cy="{v:.1f}"/>')
        return "".join(parts)


def _packed(theory: Theory) -> dict[str, Any]:
    """Return the table for the script: chords as base64 of shares of their largest, high bytes first."""
    unit = float(theory.chord.max()) / signal_theory.LEVELS
    whole = np.rint(theory.chord / unit).astype(int)[..., None] >> np.array([16, 8, 0]) & 255
    rows = {name: [float(f"{x:.7g}") for x in getattr(theory, name)] for name in ("q", "c", "ratio", "gain", "edge")}
    return {**rows, "unit": unit, "chord": base64.b64encode(whole.astype(np.uint8).tobytes()).decode()}


def _data(seen: Signals) -> dict[str, Any]:
    """Return what the script computes from."""
    return {
        "kinds": {name: _packed(theory) for name, theory in seen.theories.items()},
        **{"w": seen.sigma_w, "b": seen.sigma_b, "d": seen.densities, "percent": list(map(percent, seen.densities))},
        **{"box": (LEFT, TOP, ACROSS, DOWN), "near": signal_theory.NEAR, "reaches": signal_theory.REACHES},
        **{"samples": signal_theory.SAMPLES, "cobweb": signal_theory.COBWEB},
    }


def _body(seen: Signals, id: str) -> str:
    """Return controls, readout, the three panels at the start, and the key."""
    scene = seen.scene(*seen.start)
    return (
        f"{_controls(seen, id)}{_readout(seen, scene)}"
        f'<div class="panels">{_plane(seen, scene)}{_q_panel(scene)}{_c_panel(scene)}</div>'
        f'{_key()}<p class="said" aria-live="polite"></p>'
    )


def _controls(seen: Signals, id: str) -> str:
    """Return the activations and the three sliders; hidden, since without the script they do nothing."""
    name, *places = seen.start
    radios = [
        f'<label><input type="radio" name="{id}-kind" value="{escape(kind, quote=True)}"{" checked" * (kind == name)}>'
        f"<span>{escape(kind)}</span></label>"
        for kind in seen.theories
    ]
    values = (seen.sigma_w, seen.sigma_b, seen.densities)
    axes = (("w", f"σ{_low('w')}", "weights"), ("b", f"σ{_low('b')}", "biases"), ("d", "density", "kept"))
    sliders = [
        f"<label><span>{symbol} <small>{words}</small></span><output></output>"
        f'<input type="range" data-axis="{axis}" min="0" max="{len(known) - 1}" step="1" value="{at}"></label>'
        for (axis, symbol, words), known, at in zip(axes, values, places, strict=True)
    ]
    return (
        '<div class="controls" hidden><fieldset><legend>Activation</legend>'
        f'{"".join(radios)}</fieldset><div class="sliders">{"".join(sliders)}</div></div>'
    )


def _readout(seen: Signals, scene: Scene) -> str:
    """Return the numbers of both nets, with their marks in the plots; and where they are, for want of the sliders."""
    heads = ("q*", "χ₁", 'ξ<span class="unit"> (layers)</span>', "c*", "phase")
    kept = f'<span class="kept">{percent(scene.density)}</span><span class="unit"> kept</span>'
    rows = (("dense", "dense", scene.dense), ("sparse", kept, scene.sparse))
    body = [
        f'<tr class="{kind}"><th scope="row">{_sample(kind)}{name}</th>'
        + "".join(f"<td>{word}</td>" for word in state.words[:-1])
        + f'<td class="{state.phase}">{state.phase}</td></tr>'
        for kind, name, state in rows
    ]
    setting = f"{escape(seen.start[0])}, σ{_low('w')} = {scene.w:g}, σ{_low('b')} = {scene.b:g}"
    return (
        f'<p class="setting">{setting}</p><table class="readout"><thead><tr><th></th>'
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _low(letter: str) -> str:
    return f"<sub>{letter}</sub>"


def _sample(kind: str) -> str:
    """Return a piece of curve with its dot."""
    line, dot = f'<path class="{kind}-line" d="M-13 0H13"/>', f'<circle class="{kind}-dot" r="4.5"/>'
    return f'<svg class="sample" viewBox="-14 -7 28 14" aria-hidden="true">{line}{dot}</svg>'


def _key() -> str:
    words = {
        "web": "pruned net, layer by layer",
        "tangent": "tangent at c = 1, slope χ₁",
        "same": "diagonal, no change",
    }
    head = '<svg class="sample" viewBox="-14 -7 28 14" aria-hidden="true">'
    paths = {"web": "M-13 5V-1H-3V-5H13", "tangent": "M-13 0H13", "same": "M-13 0H13"}
    items = (f'<li>{head}<path class="{kind}" d="{paths[kind]}"/></svg>{told}</li>' for kind, told in words.items())
    return f'<ul class="key">{"".join(items)}</ul>'


def _panel(kind: str, name: str, alt: str, plot: str, around: str) -> str:
    """Return a panel: what is cut off at the sides of the plot, and what is written around it."""
    size = f'x="{LEFT}" y="{TOP}" width="{ACROSS}" height="{DOWN}" viewBox="{LEFT} {TOP} {ACROSS} {DOWN}"'
    return (
        f'<div class="panel"><p class="name">{name}</p>'
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt, quote=True)}">'
        f'<rect class="paper" x="{LEFT}" y="{TOP}" width="{ACROSS}" height="{DOWN}"/>'
        f"<svg {size}>{plot}</svg>{around}</svg></div>"
    )


def _plane(seen: Signals, scene: Scene) -> str:
    """Return the plane of the sigmas: both phases, the edge, the dense and the pruned net."""
    box = _Box(0, seen.sigma_w[-1], seen.sigma_b[0], seen.sigma_b[-1])
    edge = list(zip(scene.theory.edge.tolist(), seen.sigma_b, strict=True))
    sides = {0.0: "ordered", max(box.right, float(scene.theory.edge.max())): "chaotic"}
    areas = [
        f'<path class="side {name}" d="{box.path([*edge, (x, box.top), (x, box.bottom)])}Z"/>'
        for x, name in sides.items()
    ]
    (u, y), (x, _) = box.pixel(scene.w, scene.b), box.pixel(scene.kept_w, scene.b)
    plot = (
        f'{"".join(areas)}<path class="edge-line" d="{box.path(edge)}"/>{_sides(scene, box)}'
        f'<path class="arrow" d="{arrow(u, x, y)}"/>'
    )
    marks = _marks(box, round_ticks(box.left, box.right), round_ticks(box.bottom, box.top))
    titles = _titles(_dip("w", ", of the weights"), _dip("b", ", of the biases"))
    around = marks + titles + box.dots((scene.w, scene.b), (scene.kept_w, scene.b))
    alt = "Plane of sigma_w and sigma_b with the edge of chaos; an arrow leads from the dense to the pruned net"
    return _panel("plane", "Edge of chaos", alt, plot, around)


def arrow(start: float, end: float, y: float) -> str:
    """Return the path of a horizontal arrow between two dots, nothing where they touch."""
    if start - end < 18:
        return ""
    tip = end + 7
    return f"M{start - 7:.1f} {y:.1f}H{tip:.1f}M{tip + 6:.1f} {y - 4:.1f}L{tip:.1f} {y:.1f}L{tip + 6:.1f} {y + 4:.1f}"


def _sides(scene: Scene, box: _Box) -> str:
    """Return the names of the phases and of the line between them."""
    x, _ = box.pixel(float(scene.theory.edge[-1]), box.top)
    inner = f'<text class="edge-name" x="{min(x + 5, WIDTH - RIGHT - 46):.1f}" y="{TOP + 16}">χ₁ = 1</text>'
    ordered = f'<text x="{LEFT + 7}" y="{TOP + 16}">ordered</text>'
    chaotic = f'<text x="{WIDTH - RIGHT - 7}" y="{TOP + DOWN - 8}" text-anchor="end">chaotic</text>'
    return f'<g class="phases">{ordered}{chaotic}</g>{inner}'


def _q_panel(scene: Scene) -> str:
    """Return the Q-map of both nets and the cobweb of the pruned one."""
    box = _Box(0, scene.reach, 0, scene.reach)
    plot = _curves(box, scene.q_curve(scene.w), scene.q_curve(scene.kept_w), scene.q_web())
    dots = box.dots((scene.dense.q,) * 2, (scene.sparse.q,) * 2)
    ends = [share * scene.reach for share in (0, 0.5, 1)]
    around = _marks(box, ends, ends) + _titles("q, variance in a layer", "V(q), a layer up")
    alt = "Q-map: the variance of a layer against that of the layer below, with fixed points"
    return _panel("q-map", "Q-map: variance", alt, plot, around + dots)


def _c_panel(scene: Scene) -> str:
    """Return the C-map of both nets, the cobweb and the tangent of the pruned one."""
    box = _Box(0, 1, 0, 1)
    plot = _curves(box, scene.c_curve(scene.dense), scene.c_curve(scene.sparse), scene.c_web())
    dots = box.dots((scene.dense.c,) * 2, (scene.sparse.c,) * 2)
    name = f'C-map: correlation<small class="slope">{scene.note()}</small>'
    tangent = f'<path class="tangent" d="{box.path(scene.tangent())}"/>'
    around = _marks(box, (0, 0.5, 1), (0, 0.5, 1)) + _titles("c, correlation of two inputs", "C(c), a layer up")
    alt = "C-map: the correlation of two inputs in a layer against that in the layer below, with its slope at 1"
    return _panel("c-map", name, alt, plot + tangent, around + dots)


def _curves(box: _Box, dense: Places, sparse: Places, web: Places) -> str:
    diagonal = box.path([(box.left, box.bottom), (box.right, box.top)])
    lines = {"same": diagonal, "web": box.path(web), "dense-line": box.path(dense), "sparse-line": box.path(sparse)}
    return "".join(f'<path class="{kind}" d="{path}"/>' for kind, path in lines.items())


def _marks(box: _Box, across: Sequence[float], up: Sequence[float]) -> str:
    """Return the ticks of both axes with their numbers."""
    foot, parts = TOP + DOWN, []
    for x, _ in (box.pixel(value, box.bottom) for value in across):
        parts.append(f'<path class="grid" d="M{x:.1f} {foot}v4"/>')
    for _, y in (box.pixel(box.left, value) for value in up):
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}h-4"/>')
    for value in across:
        parts.append(f'<text class="x" x="{box.pixel(value, 0)[0]:.1f}" y="{foot + 17}">{value:g}</text>')
    for value in up:
        parts.append(f'<text class="y" x="{LEFT - 7}" y="{box.pixel(0, value)[1] + 4:.1f}">{value:g}</text>')
    return "".join(parts)


def _titles(across: str, up: str) -> str:
    place = f'transform="translate(13 {TOP + DOWN / 2:g}) rotate(-90)"'
    return (
        f'<text class="axis" x="{LEFT + ACROSS / 2:g}" y="{HEIGHT - 7}">{across}</text>'
        f'<text class="axis" {place}>{up}</text>'
    )


def _dip(letter: str, rest: str) -> str:
    """Return σ with a lower letter, and the rest back on the line."""
    return f'σ<tspan class="low" dy="3">{letter}</tspan><tspan dy="-3">{rest}</tspan>'


# --- the live widget ----------------------------------------------------------------------------------------


def signal_explorer(
    tables: Mapping[str, SignalTable],
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
    densities: Sequence[float],
    *,
    start: Start | None = None,
    title: str = "",
) -> ipywidgets.Widget:
    """Return a choice of activation and sliders for σ_w, σ_b and density over the edge of chaos, the Q- and the C-map.

    The arguments, and BadInput, are those of `signal_twin`: a table for each activation, axes [A], [B]
    and [D]; only the limit of 150 kB does not hold here.
    """
    seen = signals(tables, sigma_w, sigma_b, densities, start)
    values = {"σ_w": [f"{w:g}" for w in seen.sigma_w], "σ_b": [f"{b:g}" for b in seen.sigma_b]}
    values["weights kept"] = [percent(density) for density in seen.densities]
    kinds = ipywidgets.ToggleButtons(options=list(seen.theories), value=seen.start[0], style={"button_width": "5rem"})
    sliders = [
        ipywidgets.SelectionSlider(options=[(told, n) for n, told in enumerate(labels)], value=at, description=name)
        for (name, labels), at in zip(values.items(), seen.start[1:], strict=True)
    ]

    def draw(kind: str, w: int, b: int, d: int) -> None:
        scene = seen.scene(kind, w, b, d)
        fig, (plane, q_map, c_map) = plt.subplots(1, 3, figsize=(11.5, 4.6), layout="constrained")
        _sigma_plane(plane, seen, scene)
        _signal_map(q_map, scene.q_curve(scene.w), scene.q_curve(scene.kept_w), scene.q_web(), scene.reach)
        q_map.set(xlabel="q, variance in a layer", ylabel="V(q), a layer up")
        _signal_map(c_map, scene.c_curve(scene.dense), scene.c_curve(scene.sparse), scene.c_web(), 1.0)
        c_map.set(xlabel="c, correlation of two inputs", ylabel="C(c), a layer up")
        c_map.plot(*np.reshape(scene.tangent(), (-1, 2)).T, "--", color=COLOURS["green"])
        c_map.set_title(scene.note(), loc="right", fontsize=10, fontweight="normal")
        for ax, words in ((plane, "Edge of chaos"), (q_map, "Q-map: variance"), (c_map, "C-map: correlation")):
            ax.set_title(words, loc="left", fontsize=11)
        plane.legend(loc="upper right")
        q_map.legend(loc="upper left")
        for ax, states in ((q_map, (scene.dense.q, scene.sparse.q)), (c_map, (scene.dense.c, scene.sparse.c))):
            _nets(ax, [(value, value) for value in states])
        fig.suptitle("\n".join(filter(None, (title, *scene.lines()))), x=0.02, ha="left", fontsize=11)
        plt.show()

    out = drawn(draw, dict(zip(("kind", "w", "b", "d"), (kinds, *sliders), strict=True)))
    return ipywidgets.VBox([kinds, ipywidgets.HBox(sliders), out])


def _sigma_plane(ax: Axes, seen: Signals, scene: Scene) -> None:
    """Draw both phases, the line between them, and the way from the dense to the pruned net."""
    edge, right = scene.theory.edge, seen.sigma_w[-1]
    for left, end, colour in ((np.zeros_like(edge), edge, "blue"), (edge, np.full_like(edge, 1e3 * right), "orange")):
        ax.fill_betweenx(seen.sigma_b, left, end, color=COLOURS[colour], alpha=0.14, linewidth=0)
    ax.plot(edge, seen.sigma_b, color=INK, label="χ₁ = 1")
    for words, place, across, up in (
        ("ordered", (0.03, 0.97), "left", "top"),
        ("chaotic", (0.97, 0.03), "right", "bottom"),
    ):
        ax.annotate(words, place, xycoords="axes fraction", ha=across, va=up, fontweight="bold")
    if scene.density < 1:
        look = {"arrowstyle": "->", "color": INK, "shrinkA": 5, "shrinkB": 4}
        ax.annotate("", (scene.kept_w, scene.b), xytext=(scene.w, scene.b), arrowprops=look, zorder=4)
    _nets(ax, [(scene.w, scene.b), (scene.kept_w, scene.b)])
    ax.set(xlabel="σ_w, of the weights", ylabel="σ_b, of the biases")
    ax.set(xlim=(0, right), ylim=(seen.sigma_b[0], seen.sigma_b[-1]))


def _signal_map(ax: Axes, dense: Places, sparse: Places, web: Places, reach: float) -> None:
    """Draw a map of the dense and of the pruned net, the diagonal, and the way through the layers of the latter."""
    ax.plot([0, reach], [0, reach], ":", color=INK, linewidth=1)
    ax.plot(*np.transpose(web), color=INK, linewidth=0.9)
    ax.plot(*np.transpose(dense), "--", color=COLOURS["grey"], label="dense")
    ax.plot(*np.transpose(sparse), color=COLOURS["purple"], label="pruned")
    ax.set(xlim=(0, reach), ylim=(0, reach))


def _nets(ax: Axes, places: Places) -> None:
    """Draw the dense net hollow and the pruned one filled; one that is not finite not at all."""
    looks = (("white", INK, 8.0), (COLOURS["purple"], "white", 7.0))
    for (x, y), (face, rim, size) in zip(places, looks, strict=True):
        if np.isfinite([x, y]).all():
            ax.plot(x, y, "o", markersize=size, markerfacecolor=face, markeredgecolor=rim, zorder=5)
