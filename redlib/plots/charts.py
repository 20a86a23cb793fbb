"""Charts: bands over an axis, rows of dots, histograms, matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap, LinearSegmentedColormap
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike
from scipy import stats

from redlib.errors import BadInput
from redlib.evidence.stats import finite, mean_interval
from redlib.plots.axes import density_axis, end_labels, level, log2_axis, log_values, mark
from redlib.plots.style import COLOURS, INK, paint

Named: TypeAlias = Mapping[str, tuple[ArrayLike, str]]  # label: (values, colour)
Curve: TypeAlias = tuple[ArrayLike, str] | tuple[ArrayLike, str, Mapping[str, Any]]
Span: TypeAlias = tuple[float, float]
ANYWHERE: Span = (-np.inf, np.inf)
TOO_LONG = 4  # times as long as all other rows together: an interval that would press them onto one line


def band(
    ax: Axes,
    x: ArrayLike,
    per_seed: ArrayLike,
    label: str = "",
    colour: str = "blue",
    seeds: bool = True,
    within: Span = ANYWHERE,
    **line: Any,
) -> None:
    """Draw the mean of per_seed [S, X] with its 95% paired-t band, and the seeds as thin lines.

    On a log axis (set it first) both are taken of the logarithm: a geometric mean and its band. The band is cut off at
    the ends of what is possible, `within`.
    """
    log = ax.get_yscale() == "log"
    values = np.asarray(per_seed, dtype=float)
    scaled = np.log(values) if log else values
    back = np.exp if log else np.asarray
    tint = paint(colour)
    mean = scaled.mean(0)
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * scaled.std(0, ddof=1) / np.sqrt(len(values))
        low, high = (np.clip(back(edge), *within) for edge in (mean - half, mean + half))
        ax.fill_between(x, low, high, color=tint, alpha=0.2, linewidth=0)
        if seeds:
            ax.plot(x, values.T, color=tint, alpha=0.22, linewidth=0.6)
    ax.plot(x, back(mean), color=tint, label=label, **({"marker": "o"} | line))


def curves(
    ax: Axes,
    x: ArrayLike,
    named: Mapping[str, Curve],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    log2: Sequence[float] | None = None,
    density: bool = False,
    logy: bool | Sequence[float] = False,
    marks: Mapping[str, float] | None = None,
    levels: Mapping[str, float] | None = None,
    legend: str = "best",
    **line: Any,
) -> None:
    """Draw several bands over one x axis: named[label] = (values [S, X], colour), or with options of its own.

    These options, a dict in third place, are `band`'s (linestyle=, …), and x= where a curve has an axis of its own.
    `log2` gives the ticks of a log axis (None: linear); `density` says that x are fractions kept, from the densest
    on the left. `logy` makes the y axis logarithmic, with plain numbers at those ticks if it is a list. `marks` names
    vertical lines, `levels` horizontal ones (in the legend; "" for none). `legend` is a place ("" for none; "end"
    writes the names at the line ends), drawn where more than one name is known.
    """
    if logy:
        ax.set_yscale("log")
    for label, (values, colour, *own) in named.items():
        how = {"x": x, "label": label, "colour": colour, "seeds": len(named) < 3} | line
        band(ax, per_seed=values, **(how | dict(*own)))
    for text, height in (levels or {}).items():
        level(ax, height, text)
    ax.set(**{what: words for what, words in (("ylabel", ylabel), ("title", title)) if words})
    if density:
        density_axis(ax, np.ravel(x).tolist(), **({"label": xlabel} if xlabel else {}))
    elif log2 is not None:
        log2_axis(ax, log2, xlabel)
    elif xlabel:
        ax.set_xlabel(xlabel)
    if not isinstance(logy, bool):
        log_values(ax, logy)
    for text, place in (marks or {}).items():
        mark(ax, place, text)
    name_lines(ax, legend)


def name_lines(ax: Axes, legend: str = "best") -> None:
    """Name the lines in a legend at that place ("": not at all), or with "end" beside their right ends."""
    if legend == "end":
        end_labels(ax)
    elif legend and len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(loc=legend)  # type: ignore[call-overload]


def dot_rows(
    ax: Axes, named: Named, xlabel: str = "", zero: float | None = None, title: str = "", within: Span = ANYWHERE
) -> None:
    """Draw one row for each label of named[label] = (values [S], colour), in their order from the top down.

    A large dot is the mean, the line its 95% t interval (none for a single seed), cut off at the ends of what is
    possible (`within`), small dots are the seeds; `zero` places a vertical line of no effect. About 0.3 inches of
    height a row are enough. An interval so long that it would press all others onto one line leaves the panel, with an
    arrow and its numbers (see `shown_span`). BadInput for missing values.
    """
    means: list[tuple[float, float, float]] = []
    reaches: list[Span] = []
    for row, (label, (per_seed, colour)) in enumerate(named.items()):
        values = finite(per_seed, label)
        means.append(_dot_row(ax, row, values, paint(colour), within))
        reaches.append((min(means[-1][0], float(values.min())), max(means[-1][2], float(values.max()))))
    if zero is not None:
        ax.axvline(zero, color=INK, linewidth=1, zorder=1)
    ax.set_yticks(range(len(named)), list(named))
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(len(named) - 0.5, -0.5), xlabel=xlabel, title=title)
    ax.grid(False, axis="y")
    if (shown := shown_span(reaches, zero)) is not None:
        ax.set_xlim(shown)
        for row, (mean, (_, colour)) in enumerate(zip(means, named.values(), strict=True)):
            _point_out(ax, row, mean, paint(colour))


def _dot_row(ax: Axes, row: int, values: np.ndarray, tint: str, within: Span) -> tuple[float, float, float]:
    """Draw the seeds, the interval and the mean of one row; return (low, mean, high), all equal for a single seed."""
    found = mean_interval(values)
    low, high = np.clip((found.low, found.high), *within).tolist() if len(values) > 1 else (found.estimate,) * 2
    ax.plot(values, np.full(len(values), row), "o", color=tint, markersize=3, alpha=0.35, markeredgewidth=0)
    if len(values) > 1:
        ax.plot([low, high], [row, row], color=tint, linewidth=2.2, solid_capstyle="butt")
    ax.plot(found.estimate, row, "o", color=tint, markersize=6.5)
    return low, found.estimate, high


def shown_span(reaches: Sequence[Span], zero: float | None = None) -> Span | None:
    """Return the limits of an axis that leaves out the ends of rows (low, high) far longer than the others; or None.

    At most a third of the rows, each `TOO_LONG` times as long as all the others together with `zero`. A row that only
    lies elsewhere is no reason: how far it lies may be the finding.
    """
    rows = sorted(reaches, key=lambda reach: reach[1] - reach[0])
    for left_out in range(1, len(rows) // 3 + 1):
        kept = np.array(rows[:-left_out] + [(zero, zero)] * (zero is not None))
        low, high = float(kept.min()), float(kept.max())
        if rows[-left_out][1] - rows[-left_out][0] > TOO_LONG * (high - low) > 0:
            edge = 0.15 * (high - low)
            return low - edge, high + edge
    return None


def _point_out(ax: Axes, row: int, interval: tuple[float, float, float], tint: str) -> None:
    """Draw arrows where an interval (low, mean, high) leaves the panel, and write what they lead to."""
    (left, right), (low, mean, high) = ax.get_xlim(), interval
    arrow = {"arrowstyle": "-|>", "color": tint, "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
    for edge, sign, gone in ((left, 1, low < left), (right, -1, high > right)):
        if gone:
            ax.annotate("", (edge, row), xytext=(16 * sign, 0), textcoords="offset points", arrowprops=arrow)
    if low < left or high > right:
        at, side = (right, "right") if high > right else (left, "left")
        told = f"{low:.3g} to {high:.3g}" if left <= mean <= right else f"mean {mean:.3g}, {low:.3g} to {high:.3g}"
        ax.annotate(told.replace("-", "−"), (at, row), xytext=(0, 7), textcoords="offset points", color=tint,
                    ha=side, va="bottom", fontsize=9)  # fmt: skip


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


def histogram(ax: Axes, groups: Named, bins: int | Sequence[float] = 40, xlabel: str = "", title: str = "") -> None:
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
    ax.set(xlabel=xlabel, ylabel="density", ylim=(0, None), title=title)
    if len(groups) > 1:
        ax.set_ylim(0, ax.get_ylim()[1] * (1 + 0.09 * len(groups)))  # room for the legend above the bars
        ax.legend(loc="upper right")


def rug(ax: Axes, values: ArrayLike, label: str, colour: str = "purple") -> None:
    """Mark single values by strokes in a strip under a histogram (draw that first): they are too few for bars."""
    top, found = ax.get_ylim()[1], finite(values, label)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.plot(found, np.full(len(found), -0.09 * top), "|", color=paint(colour), markersize=17, markeredgewidth=1.8,
            label=label)  # fmt: skip
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top])
    ax.set_ylim(-0.18 * top, 1.22 * top)  # room for the legend above the bars
    ax.legend(loc="upper right", markerscale=0.6)
