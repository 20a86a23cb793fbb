"""How our figures look: one style sheet, one colour per idea, bands that are intervals, labels beside the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

INK, GRID, PAPER = "#1b1f24", "#c8ced6", "none"  # the report replaces these two inks by its theme's
COLOURS = {  # Okabe & Ito (2008), darkened where the original fades on white
    "blue": "#0072b2", "orange": "#d55e00", "green": "#009e73", "purple": "#aa4499", "gold": "#c98a00",
    "sky": "#3aa0d8", "grey": "#7a828c",
}  # fmt: skip
CYCLE = list(COLOURS.values())
STYLE = {
    "figure.facecolor": PAPER, "axes.facecolor": PAPER, "savefig.facecolor": PAPER, "figure.dpi": 100,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.grid": True,
    "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.prop_cycle": plt.cycler(color=CYCLE),
    "font.size": 11, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 11, "legend.frameon": False, "legend.fontsize": 10, "lines.linewidth": 2.0,
    "lines.markersize": 4.5, "figure.constrained_layout.use": True, "svg.fonttype": "none",
}  # fmt: skip


def use_style() -> None:
    """Make `STYLE` matplotlib's default for this session."""
    plt.rcParams.update(STYLE)  # type: ignore[arg-type]


def panels(
    columns: int = 1, rows: int = 1, width: float | None = None, height: float = 3.4
) -> tuple[Figure, np.ndarray]:
    """Return (figure, axes [rows * columns]); width and height in inches, height per row."""
    fig, axes = plt.subplots(rows, columns, figsize=(width or min(4.9 * columns, 10.2), height * rows), squeeze=False)
    return fig, axes.ravel()


def band(
    ax: Axes, x: ArrayLike, per_seed: ArrayLike, label: str = "", colour: str = "blue", seeds: bool = True, **line: Any
) -> None:
    """Draw the mean of per_seed [S, X] with its 95% paired-t band, and the seeds as thin lines.

    On a log axis (set it first) both are taken of the logarithm: a geometric mean and its band.
    """
    log = ax.get_yscale() == "log"
    values = np.asarray(per_seed, dtype=float)
    scaled = np.log(values) if log else values
    back = np.exp if log else np.asarray
    tint = COLOURS.get(colour, colour)
    mean = scaled.mean(0)
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * scaled.std(0, ddof=1) / np.sqrt(len(values))
        ax.fill_between(x, back(mean - half), back(mean + half), color=tint, alpha=0.2, linewidth=0)
        if seeds:
            ax.plot(x, values.T, color=tint, alpha=0.22, linewidth=0.6)
    ax.plot(x, back(mean), color=tint, label=label, **({"marker": "o"} | line))


def curves(
    ax: Axes,
    x: ArrayLike,
    named: Mapping[str, tuple[ArrayLike, str]],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    log2: Sequence[float] | None = None,
    marks: Mapping[str, float] | None = None,
    legend: str = "best",
    **line: Any,
) -> None:
    """Draw several bands over one x axis: named[label] = (values [S, X], colour).

    `log2` gives the ticks of a log axis (None: linear), `marks` names vertical lines, `legend` a place ("" for
    none; "end" writes the names at the line ends).
    """
    for label, (values, colour) in named.items():
        band(ax, x, values, label, colour, **({"seeds": len(named) < 3} | line))
    ax.set(ylabel=ylabel, title=title)
    if log2 is None:
        ax.set_xlabel(xlabel)
    else:
        log2_axis(ax, log2, xlabel)
    for text, place in (marks or {}).items():
        mark(ax, place, text)
    if legend == "end":
        end_labels(ax)
    elif legend and len(named) > 1:
        ax.legend(loc=legend)  # type: ignore[call-overload]


def log2_axis(ax: Axes, ticks: Sequence[float], label: str, most: int = 9) -> None:
    """Give the x axis a log scale with plain numbers at (at most about `most` of) the grid values."""
    ax.set_xscale("log", base=2)
    shown = list(ticks)[:: max(1, -(-len(ticks) // most))]
    ax.set_xticks(shown, [f"{tick:g}" for tick in shown])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(label)


def log_axis(ax: Axes, ticks: Sequence[float]) -> None:
    """Give the x axis a log scale with plain numbers at `ticks`."""
    ax.set_xscale("log")
    ax.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


def mark(ax: Axes, x: float, text: str, colour: str = "grey", y: float = 0.97) -> None:
    """Draw a dashed vertical line at x and write `text` beside its top (y in axes units)."""
    tint = COLOURS.get(colour, colour)
    ax.axvline(x, color=tint, linestyle="--", linewidth=1.2)
    ax.annotate(text, (x, y), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
                color=tint, fontsize=9.5, va="top")  # fmt: skip


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
