"""Explorers for a live notebook: sliders over results that are already there (their twins are in `twins`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.report.mask_explorer import STRONGEST, Arms, Explored, explored
from redlib.report.plots import COLOURS, GRID, INK, density_axis, dot_rows, heat, log2_axis, mark
from redlib.report.plots import curves as draw_curves
from redlib.report.point_player import MARKERS, Movement, Panel, Placed, colour_of, moving
from redlib.report.signal_explorer import Places, Scene, Signals, SignalTable, Start, percent, signals

AXES = ("noise", "width", "epoch")


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

    out = ipywidgets.interactive_output(draw, sliders)
    return ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), out])


def mask_explorer(
    densities: Sequence[float],
    matrices: Mapping[str, ArrayLike],
    levels: Mapping[str, ArrayLike],
    arms: Arms,
    what: str = "test accuracy (%)",
) -> ipywidgets.Widget:
    """Return a slider for the density over one net's weights (cut ones blank) and the accuracy of every arm.

    The arguments, and BadInput, are those of `mask_explorer.mask_twin`: densities [L], matrices and levels
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

    return ipywidgets.VBox([slider, ipywidgets.interactive_output(draw, {"level": slider})])


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
) -> ipywidgets.Widget:
    """Return a button that plays, and a slider over, the T frames in which n points move through each of the panels.

    The arguments, and BadInput, are those of `point_player.point_twin`: panels of points [T, n, 2], labels and marked
    [n], frames and ticks [T]; only the limit of 150 kB does not hold here.
    """
    seen = moving(panels, labels, names, frames, ticks, start, marked)
    last = len(seen.frames) - 1
    play = ipywidgets.Play(min=0, max=last, value=seen.start, interval=500)
    slider = ipywidgets.SelectionSlider(
        options=[(tick, frame) for frame, tick in enumerate(seen.ticks)], value=seen.start, description=what
    )
    ipywidgets.link((play, "value"), (slider, "index"))

    def draw(frame: int) -> None:
        fig = plt.figure(figsize=(3.7 * len(seen.panels), 4.4), layout="constrained")
        for ax, placed in zip(fig.subplots(1, len(seen.panels), squeeze=False)[0], seen.panels, strict=True):
            _scatter(ax, seen, placed, frame)
        fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
        fig.suptitle("\n".join(filter(None, (title, seen.frames[frame]))), x=0.02, ha="left")
        plt.show()

    out = ipywidgets.interactive_output(draw, {"frame": slider})
    return ipywidgets.VBox([ipywidgets.HBox([play, slider]), out])


def _scatter(ax: Axes, seen: Movement, placed: Placed, frame: int) -> None:
    """Draw one frame of a panel as in the twin: points, marked ones hollow and on top, and class means."""
    points = placed.points[frame]
    for hollow in (False, True):
        for k, name in enumerate(seen.names):
            x, y = points[(seen.labels == k) & (seen.marked == hollow)].T
            tint = COLOURS[colour_of(k)]
            look = {"facecolor": "white", "linewidth": 1.4} if hollow else {"facecolor": tint, "label": name}
            ax.scatter(x, y, s=20, marker=MARKERS[k], edgecolor=tint, **look)
    if placed.panel.means:
        for k, (x, y) in enumerate(seen.means(points)):
            ax.plot([0, x], [0, y], color=COLOURS[colour_of(k)], linewidth=1.6)
            ax.plot(x, y, "o", markersize=11, markerfacecolor="none", markeredgecolor=INK)
    _surround(ax, placed)


def _surround(ax: Axes, placed: Placed) -> None:
    """Draw what is the same in every frame of a panel: title, outline, corners, and the scale."""
    if len(placed.outline):
        ax.fill(*placed.outline.T, fill=False, edgecolor=INK)
    for name, (x, y) in zip(placed.panel.corners, placed.outline, strict=False):
        away = (0, 7 if y > placed.outline[:, 1].mean() else -16)
        ax.annotate(name, (x, y), xytext=away, textcoords="offset points", ha="center")
    (left, bottom), (right, top) = placed.ends
    room = 0.1 * (max(right - left, top - bottom) or 1.0)
    ax.set(xlim=(left - room, right + room), ylim=(bottom - room, top + room), aspect="equal")
    words = fill(placed.panel.title, 32) + "\neach frame scaled to fit" * placed.panel.rescale
    ax.set_title(words, loc="left", fontsize=11)
    ax.axis("off")


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

    The arguments, and BadInput, are those of `signal_explorer.signal_twin`: a table for each activation, axes [A], [B]
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

    out = ipywidgets.interactive_output(draw, dict(zip(("kind", "w", "b", "d"), (kinds, *sliders), strict=True)))
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
