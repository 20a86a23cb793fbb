"""Axes: ticks that are plain numbers, densities that fall to the right, lines with a name beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from redlib.errors import BadInput
from redlib.plots.style import paint


def log_axis(ax: Axes, ticks: Sequence[float], label: str = "", most: int | None = None) -> None:
    """Give the x axis a log scale with plain numbers (or 61k) at the ticks, or at about `most` of them."""
    ax.set_xscale("log")
    shown = list(ticks)[:: max(1, -(-len(ticks) // (most or len(ticks))))]
    ax.set_xticks(shown, [f"{tick:g}" if tick < 1e4 else f"{tick / 1e3:.0f}k" for tick in shown])
    ax.set_xticks([], minor=True)
    if label:
        ax.set_xlabel(label)


def log2_axis(ax: Axes, ticks: Sequence[float], label: str, most: int = 9) -> None:
    """Do the same as `log_axis`, at about nine of a grid's values."""
    log_axis(ax, ticks, label, most)


def log_values(ax: Axes, ticks: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)) -> None:
    """Give the y axis, already logarithmic, plain numbers at those of `ticks` that are in view."""
    low, high = ax.get_ylim()
    shown = [tick for tick in ticks if low <= tick <= high]
    ax.set_yticks(shown, [f"{tick:g}" for tick in shown])
    ax.set_yticks([], minor=True)


def mark(ax: Axes, x: float, text: str, colour: str = "grey", y: float = 0.97) -> None:
    """Draw a dashed vertical line at x and write `text` beside its top (y in axes units)."""
    tint = paint(colour)
    ax.axvline(x, color=tint, linestyle="--", linewidth=1.2)
    ax.annotate(text, (x, y), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
                color=tint, fontsize=9.5, va="top")  # fmt: skip


def level(ax: Axes, y: float, label: str = "", colour: str = "ink", style: str = ":") -> None:
    """Draw a thin horizontal line at y: what curves are to be compared with; `label` is its name in the legend."""
    ax.axhline(y, color=paint(colour), linestyle=style, linewidth=1, label=label or None)


def end_labels(ax: Axes, gap: float = 0.055) -> None:
    """Write each labelled line's name at its right end instead of a legend, moved apart where they would overlap."""
    lines = [line for line in ax.get_lines() if str(line.get_label() or "_")[0] != "_"]
    to_axes = ax.transData + ax.transAxes.inverted()
    position = {line: to_axes.transform((1.0, float(np.asarray(line.get_ydata())[-1])))[1] for line in lines}
    at = -np.inf
    for line in sorted(lines, key=position.__getitem__):
        at = max(float(position[line]), at + gap)
        ax.annotate(str(line.get_label()), (1.0, at), xycoords="axes fraction", xytext=(5, 0),
                    textcoords="offset points", color=line.get_color(), fontsize=9.5, va="center",
                    annotation_clip=False)  # fmt: skip


def density_axis(ax: Axes, densities: Sequence[float], label: str = "weights kept (%)") -> None:
    """Give the x axis a log scale from the densest net down to the right; x values are fractions kept in (0, 1].

    The ticks are per cent at densities that occur: the first, the last and as many between (eight in all at most)
    as the width of the axes has room for. Call it after the size of the figure is known. BadInput outside (0, 1].
    """
    values = sorted({float(density) for density in densities}, reverse=True)
    if not values or not 0 < values[-1] <= values[0] <= 1:
        raise BadInput.of("densities", list(densities), "0 < density <= 1", "Pass the fractions of weights KEPT.")
    ax.set_xscale("log")
    ax.set_xlim(values[0] * 1.06, values[-1] / 1.06)
    inches = ax.get_window_extent().width / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    shown = _apart(values, max(1 / 7, 0.5 / inches))
    ax.set_xticks(shown, [f"{100 * density:.3g}" for density in shown])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(label)


def _apart(falling: Sequence[float], share: float) -> list[float]:
    """Return the two ends, and between them what lies at least this share of a log axis from its neighbours."""
    first, last = falling[0], falling[-1]
    gap = 0.999 * share * np.log(first / last)
    shown = [first]
    for value in falling[1:-1]:
        if np.log(shown[-1] / value) >= gap <= np.log(value / last):
            shown.append(value)
    return shown + [last] * (last < first)
