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
