"""How our figures look: one style sheet, one colour per idea, bands that are intervals, labels beside the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike
from scipy import stats

from redlib.errors import BadInput
from redlib.evidence.stats import finite, mean_interval

INK, GRID, PAPER = "#1b1f24", "#c8ced6", "none"  # the report replaces these two inks by its theme's
COLOURS = {  # Okabe & Ito (2008), darkened where the original fades on white
    "blue": "#0072b2", "orange": "#d55e00", "green": "#009e73", "purple": "#aa4499", "gold": "#c98a00",
    "sky": "#3aa0d8", "grey": "#7a828c",
}  # fmt: skip
SHADES = {  # of two hues, the strongest first, for what is ordered on either side of a line
    "warm-1": "#7f2704", "warm-2": "#c2410c", "warm-3": "#e8792b", "warm-4": "#f2a65e",
    "cold-1": "#08306b", "cold-2": "#2171b5", "cold-3": "#5ba3d9",
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


def paint(colour: str) -> str:
    """Return the colour of that name in `COLOURS` or `SHADES`; any other as it is."""
    return (COLOURS | SHADES).get(colour, colour)


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
    tint = paint(colour)
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
    """Give the x axis a log scale with plain numbers (or 61k) at (at most about `most` of) the grid values."""
    ax.set_xscale("log", base=2)
    shown = list(ticks)[:: max(1, -(-len(ticks) // most))]
    ax.set_xticks(shown, [f"{tick:g}" if tick < 1e4 else f"{tick / 1e3:.0f}k" for tick in shown])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(label)


def log_axis(ax: Axes, ticks: Sequence[float]) -> None:
    """Give the x axis a log scale with plain numbers at `ticks`."""
    ax.set_xscale("log")
    ax.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


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


def dot_rows(ax: Axes, named: Mapping[str, tuple[ArrayLike, str]], xlabel: str = "", zero: float | None = None) -> None:
    """Draw one row for each label of named[label] = (values [S], colour), in their order from the top down.

    A large dot is the mean, the line its 95% t interval (none for a single seed), small dots are the seeds; `zero`
    places a vertical line of no effect. About 0.3 inches of height a row are enough. BadInput for missing values.
    """
    for row, (label, (per_seed, colour)) in enumerate(named.items()):
        values, tint = finite(per_seed, label), paint(colour)
        interval = mean_interval(values)
        ax.plot(values, np.full(len(values), row), "o", color=tint, markersize=3, alpha=0.35, markeredgewidth=0)
        if len(values) > 1:
            ax.plot([interval.low, interval.high], [row, row], color=tint, linewidth=2.2, solid_capstyle="butt")
        ax.plot(interval.estimate, row, "o", color=tint, markersize=6.5)
    if zero is not None:
        ax.axvline(zero, color=INK, linewidth=1, zorder=1)
    ax.set_yticks(range(len(named)), list(named))
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(len(named) - 0.5, -0.5), xlabel=xlabel)
    ax.grid(False, axis="y")


def diverging() -> Colormap:
    """Return the map from blue (negative) through a pale grey to orange (positive); missing cells stay blank."""
    ends = (COLOURS["blue"], "#f2f2f0", COLOURS["orange"])
    return LinearSegmentedColormap.from_list("blue-orange", ends).with_extremes(bad=(0, 0, 0, 0))


def heat(
    ax: Axes,
    matrix: ArrayLike,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    centre: float | None = None,
    numbers: str = "",
    bar: str = "",
) -> AxesImage:
    """Draw a matrix [rows, columns] as an image, row 0 on top, NaN blank; return the image.

    `rows` and `columns` name the cells, `limits` are the values at the ends of the colours (default: all that
    occur), `centre` makes the colours diverge from it, `numbers` (a format such as ".1f") writes the values into
    the cells, `bar` names a colour bar. BadInput for another shape, names that do not fit it, no number at all.
    """
    values = _matrix(matrix, rows, columns)
    if limits is None and not np.isfinite(values).any():
        raise BadInput.of("matrix", values.tolist(), "at least one number", "Pass limits to draw an empty one.")
    low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    colours: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": high}
    if centre is not None:
        reach = max(high - centre, centre - low) or 1.0  # the same distance from the centre, the same strength
        colours = {"cmap": diverging(), "norm": CenteredNorm(centre, reach)}
    image = ax.imshow(values, interpolation="nearest", **colours)
    ax.grid(False)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.set_xticks(range(len(columns)), list(columns))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if numbers:
        _write(ax, image, values, numbers)
    if bar:
        ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0, 0.04, 1)), label=bar)
    return image


def _matrix(matrix: ArrayLike, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    values = np.asarray(matrix, dtype=float)
    named = (len(rows) or len(values), len(columns) or (values.shape[-1] if values.ndim else 0))
    if values.ndim != 2 or values.shape != named:
        raise BadInput.of("shape of the matrix", values.shape, str(named), "Name each row and column.")
    return values


def _write(ax: Axes, image: AxesImage, values: np.ndarray, numbers: str) -> None:
    """Write the values into their cells, dark on light colours and light on dark ones."""
    light = image.to_rgba(values)[..., :3] @ [0.299, 0.587, 0.114] > 0.55
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            # Not the inks of the page: those change with its theme, and the cells do not.
            ink = "#101214" if light[row, column] else "#fdfdfd"
            ax.text(column, row, format(value, numbers), ha="center", va="center", color=ink, fontsize=9)


def histogram(
    ax: Axes, groups: Mapping[str, tuple[ArrayLike, str]], bins: int | Sequence[float] = 40, xlabel: str = ""
) -> None:
    """Draw the densities of groups[label] = (values [N], colour) over shared bins (their number, or their edges).

    The area of a group is the share of its values inside the bins: 1 unless edges are given that leave some out.
    BadInput for missing values.
    """
    found = {label: finite(values, label) for label, (values, _) in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(found.values())), bins)
    for label, values in found.items():
        tint = paint(groups[label][1])
        heights = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
        ax.stairs(heights, edges, fill=True, color=tint, alpha=0.22)
        ax.stairs(heights, edges, color=tint, linewidth=1.6, label=label)
    ax.set(xlabel=xlabel, ylabel="density", ylim=(0, None))
    if len(groups) > 1:
        ax.set_ylim(0, ax.get_ylim()[1] * (1 + 0.09 * len(groups)))  # room for the legend above the bars
        ax.legend(loc="upper right")
