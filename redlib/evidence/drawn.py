"""What a figure draws, as one small table, so that nobody needs the runs to redraw or reuse it.

Read off matplotlib's own artists, whoever drew them: lines with their bands and error bars, points, bars, steps, spans
and the cells of images. `as_csv(fig)` is what the report keeps beside a figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle, StepPatch
from matplotlib.ticker import FixedFormatter, FuncFormatter

COLUMNS = ["panel", "series", "line", "x", "y", "low", "high", "value", "xlabel", "ylabel"]
MOST_BYTES = 100_000
MOST_CELLS = 2_500  # of an image; beyond that every second, third ... row and column
SHORT = 12  # points: series up to here are thinned last
ROUND = 3  # decimals of colours that count as the same

Row: TypeAlias = dict[str, Any]
Words: TypeAlias = Mapping[int, str]
Reaches: TypeAlias = dict[float, tuple[float, float]]


def drawn(fig: Figure) -> pd.DataFrame:
    """Return what every panel of `fig` shows, one row a point, with `COLUMNS`.

    panel           its title, with its number where it has none or another one has it too
    series, line    the label; lines without one belong to the labelled line of their colour (the seeds of a mean) and
                    are numbered within it, from 1
    x, y            in units of the data, or the words at the axis; blank where a line spans the panel
    low, high       of the error bar or band at that point, along y (in rows of dots: along x)
    value           of a cell of an image
    xlabel, ylabel  of the axes, on the first row of a panel
    """
    panels = [ax for ax in _panels(fig) if ax.get_visible()]
    titles = [_title(ax) for ax in panels]
    rows: list[Row] = []
    for number, (ax, title) in enumerate(zip(panels, titles, strict=True), 1):
        name = title if title and titles.count(title) == 1 else f"{title} (panel {number})".strip()
        labels = {"xlabel": ax.get_xlabel(), "ylabel": ax.get_ylabel()}
        found = [{"panel": name, **row} for row in _of_panel(ax)]
        rows += [found[0] | labels, *found[1:]] if found else []
    return pd.DataFrame(rows, columns=COLUMNS)


def as_csv(fig: Figure, most: int = MOST_BYTES) -> bytes:
    """Return `drawn(fig)` as CSV of at most `most` bytes, floats to five digits, without columns that are empty.

    What is longer gets four digits, then long series are thinned evenly, their ends kept; a column `kept` then says
    "1 in 3" in the rows of every series of which that share is left ("of all rows" where nothing else helps).
    """
    frame = drawn(fig).dropna(axis=1, how="all")
    text, step = _text(frame, 5), 1
    if len(text) > most:
        text = _text(frame, 4)
    longest = _places(frame)[1].max() if len(frame) else 0
    while len(text) > most and step <= longest:
        step = max(step + 1, step * len(text) // most)
        text = _text(_thinned(frame, step), 4)
    share = 1
    while len(text) > most:  # thousands of series, of which even the ends are too many
        share = max(share + 1, share * len(text) // most)
        text = _text(frame.assign(kept=f"1 in {share} of all rows")[::share], 4)
    return text


def _text(frame: pd.DataFrame, digits: int) -> bytes:
    short = frame.map(lambda value: f"{value:.{digits}g}" if isinstance(value, float) and np.isfinite(value) else value)
    return short.to_csv(index=False, lineterminator="\n").encode()


def _thinned(frame: pd.DataFrame, step: int) -> pd.DataFrame:
    """Return the first, the last and every `step`-th point of long series; if that is not enough, of all."""
    place, size = _places(frame)
    long = size > (SHORT if step <= size.max() // 2 else 2)
    kept = ~long | (place % step == 0) | (place == size - 1)
    return frame.assign(kept=np.where(long, f"1 in {step}", ""))[kept]


def _places(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return of every row its place in its series, and how many points that has."""
    names = frame.reindex(columns=["panel", "series", "line"]).astype(object).fillna("").astype(str)
    groups = names.groupby([*names], sort=False)
    return groups.cumcount(), groups["panel"].transform("size")


def _panels(fig: Figure) -> Iterator[Axes]:
    """Yield the axes that show data, insets after their own, without colour bars."""
    for ax in fig.axes:
        yield from (each for each in (ax, *ax.child_axes) if isinstance(each, Axes) and not hasattr(each, "_colorbar"))


def _title(ax: Axes) -> str:
    return next((title for side in ("left", "center", "right") if (title := ax.get_title(side))), "")


def _of_panel(ax: Axes) -> Iterator[Row]:
    """Yield what a panel shows: lines, points, bars, spans, cells."""
    words = _words(ax.xaxis), _words(ax.yaxis)
    kept = [artist for artist in ax.get_children() if artist.get_visible()]
    bars = [box for box in ax.containers if isinstance(box, BarContainer)]
    patches = [patch for box in bars for patch in box]
    yield from _lines(ax, kept, words)
    for points in (artist for artist in kept if isinstance(artist, PathCollection)):
        yield from (_point(_name(points), x, y, words) for x, y in np.ma.filled(points.get_offsets(), np.nan))
    for box in bars:
        yield from _bars(box, words)
    yield from _stairs([artist for artist in kept if isinstance(artist, StepPatch)])
    for patch in (artist for artist in kept if isinstance(artist, Rectangle | Polygon) and artist is not ax.patch):
        if patch not in patches:
            yield from _span(ax, patch)
    for image in (artist for artist in kept if isinstance(artist, AxesImage)):
        yield from _cells(image, words)


def _words(axis: Axis) -> Words:
    """Return the texts at whole places of an axis whose ticks say something else than where they are."""
    formatter = axis.get_major_formatter()
    if not isinstance(formatter, FixedFormatter | FuncFormatter | StrCategoryFormatter):
        return {}
    places = np.asarray(axis.get_majorticklocs(), dtype=float)
    texts = [str(text) for text in formatter.format_ticks(list(places))]
    named = dict(zip(places.round().astype(int).tolist(), texts, strict=True))
    if not np.array_equal(places, places.round()) or "" in texts or all(_says(*pair) for pair in named.items()):
        return {}
    return named


def _says(place: int, text: str) -> bool:
    """Return whether a text is the number of its place, such as 61k for 61440."""
    try:
        number = float(text.replace("−", "-").rstrip("k")) * (1000 if text.endswith("k") else 1)
    except ValueError:
        return False
    return abs(number - place) <= 0.01 * abs(place)


def _word(words: Words, place: float) -> Any:
    """Return the word at a place, else the place itself."""
    return words.get(int(place), float(place)) if np.isfinite(place) and place == int(place) else float(place)


def _point(series: str, x: float, y: float, words: tuple[Words, Words], **more: Any) -> Row:
    return {"series": series, "x": _word(words[0], x), "y": _word(words[1], y), **more}


def _name(artist: Any) -> str:
    """Return the label of an artist, "" for none."""
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label


def _colour(artist: Any) -> tuple[float, ...]:
    """Return the red, green and blue of a line or of the faces of a collection."""
    colour = artist.get_color() if isinstance(artist, Line2D) else artist.get_facecolor()[0]
    return tuple(round(part, ROUND) for part in to_rgb(colour))


# ---- lines, their bands and error bars ----


def _lines(ax: Axes, artists: Sequence[Artist], words: tuple[Words, Words]) -> Iterator[Row]:
    """Yield the points of lines, with the bands and error bars that belong to them, then bands of no line."""
    reaches, bars, names = _error_bars(ax)
    lines = [line for line in artists if isinstance(line, Line2D) and line not in bars and np.size(line.get_xdata())]
    bands = [band for band in artists if isinstance(band, PolyCollection) and len(band.get_facecolor())]
    lone = _bands_of(lines, bands, reaches)
    intervals = _intervals(lines) if words[1] else {}
    numbers: dict[str, int] = {}
    owners = [line for line in artists if isinstance(line, Line2D) and _name(line)]  # also those without a point
    for line in (line for line in lines if line not in intervals.values()):
        series, number = names.get(line) or _owner(line, owners, words), None
        if not _name(line) and _is_one_of_many(line):
            number = numbers[series] = numbers.get(series, 0) + 1
        yield from _of_line(ax, line, series, number, words, reaches.get(line, {}), intervals.get(line))
    for band, reach in lone:
        for x, (low, high) in reach.items():
            yield {"series": _name(band) or "band", "x": _word(words[0], x), "low": low, "high": high}
    for segments in (artist for artist in artists if isinstance(artist, LineCollection) and artist not in bars):
        for number, segment in enumerate(segments.get_segments(), 1):
            yield from (_point(_name(segments), x, y, words, line=number) for x, y in np.asarray(segment))


def _of_line(
    ax: Axes,
    line: Line2D,
    series: str,
    number: int | None,
    words: tuple[Words, Words],
    reach: Reaches,
    interval: Line2D | None,
) -> Iterator[Row]:
    """Yield the points of one line; those of a mark across the panel once, with x or y blank."""
    across, up = line.get_transform().contains_branch_seperately(ax.transData)
    x, y = (np.asarray(values, dtype=float) for values in line.get_data(orig=False))
    seen = set()
    for place in zip(x.tolist(), y.tolist(), strict=True):
        told = (place[0] if across else None, place[1] if up else None)
        if told in seen and None in told:
            continue
        seen.add(told)
        x_at, y_at = (None if at is None else _word(names, at) for names, at in zip(words, told, strict=True))
        row: Row = {"series": series, "line": number, "x": x_at, "y": y_at}
        if interval is not None:
            row["low"], row["high"] = np.sort(np.asarray(interval.get_xdata(), dtype=float)).tolist()
        elif place[0] in reach:
            row["low"], row["high"] = reach[place[0]]
        yield row


def _owner(line: Line2D, named: Sequence[Line2D], words: tuple[Words, Words]) -> str:
    """Return the label of a line, else the name of the row it lies in, else the label of its colour, else ""."""
    rows = set(np.asarray(line.get_ydata(orig=False), dtype=float).tolist())
    if not _name(line) and len(rows) == 1 and words[1]:
        return str(words[1].get(int(next(iter(rows))), "")) if np.isfinite(next(iter(rows))) else ""
    return _name(line) or next((_name(other) for other in named if _colour(other) == _colour(line)), "")


def _is_one_of_many(line: Line2D) -> bool:
    """Return whether a line is pale or thin, as the seeds behind a mean are."""
    return (line.get_alpha() or 1) < 1 or line.get_linewidth() < 1


def _intervals(lines: Sequence[Line2D]) -> dict[Line2D, Line2D]:
    """Return the interval of each mean in rows of dots: a line of two points before a single one in its row."""
    found = {}
    for before, dot in zip(lines, lines[1:], strict=False):
        two = np.asarray(before.get_ydata(orig=False), dtype=float)
        one = np.asarray(dot.get_ydata(orig=False), dtype=float)
        bare = before.get_marker() in ("None", "none", " ", "", None)
        if len(two) == 2 and len(one) == 1 and two[0] == two[1] == one[0] and bare:
            found[dot] = before
    return found


def _bands_of(
    lines: Sequence[Line2D], bands: Sequence[PolyCollection], reaches: dict[Line2D, Reaches]
) -> list[tuple[PolyCollection, Reaches]]:
    """Add each band to the line of its colour and places, among those without one; return the bands of no line."""
    lone = []
    for band in bands:
        reach: Reaches = {}
        for path in band.get_paths():
            across, up = np.asarray(path.vertices, dtype=float).T
            reach |= {x: (up[across == x].min(), up[across == x].max()) for x in np.unique(across).tolist()}
        strong = (line for line in lines if line not in reaches and not (_is_one_of_many(line) and not _name(line)))
        alike = (line for line in strong if _colour(line) == _colour(band))
        own = next((line for line in alike if reach.keys() <= {*np.asarray(line.get_xdata(), float).tolist()}), None)
        if own is None:
            lone.append((band, reach))
        else:
            reaches[own] = reach
    return lone


def _error_bars(ax: Axes) -> tuple[dict[Line2D, Reaches], list[Artist], dict[Line2D, str]]:
    """Return the reach of error bars along y by their line, the artists that only draw them, and the lines' labels."""
    reaches: dict[Line2D, Reaches] = {}
    names: dict[Line2D, str] = {}
    parts: list[Artist] = []
    for box in (box for box in ax.containers if isinstance(box, ErrorbarContainer)):
        line, caps, bars = box.lines
        parts += [*caps, *bars]
        if line is not None:
            names[line] = _name(box)  # matplotlib names the whole, not its line
        if line is None or not box.has_yerr:
            continue
        segments = [np.asarray(segment) for segment in bars[-1].get_segments() if len(segment)]
        reaches[line] = {float(s[0, 0]): (float(s[:, 1].min()), float(s[:, 1].max())) for s in segments}
    return reaches, parts, names


# ---- bars, steps, spans, cells ----


def _bars(box: BarContainer, words: tuple[Words, Words]) -> Iterator[Row]:
    """Yield the middle and the height of every bar, or its length and middle where bars lie."""
    for bar in box:
        if box.orientation == "horizontal":
            yield _point(_name(box), bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height() / 2, words)
        else:
            middle = bar.get_x() + bar.get_width() / 2
            nearest = _word(words[0], round(middle)) if words[0] else float(middle)
            yield _point(_name(box), middle, bar.get_y() + bar.get_height(), words) | {"x": nearest}


def _stairs(steps: Sequence[StepPatch]) -> Iterator[Row]:
    """Yield middles of bins and heights of histograms, of an outline and its fill only one."""
    seen: set[bytes] = set()
    for step in sorted(steps, key=lambda step: not _name(step)):
        heights, edges, _ = step.get_data()
        heights = np.asarray(heights, dtype=float)
        if heights.tobytes() not in seen:
            seen.add(heights.tobytes())
            middles = (np.asarray(edges[:-1], dtype=float) + np.asarray(edges[1:], dtype=float)) / 2
            yield from ({"series": _name(step), "x": x, "y": y} for x, y in zip(middles, heights, strict=True))


def _span(ax: Axes, patch: Rectangle | Polygon) -> Iterator[Row]:
    """Yield the two edges of a span across the panel: along x as two rows, along y as low and high."""
    across, up = patch.get_data_transform().contains_branch_seperately(ax.transData)
    corners = patch.get_patch_transform().transform(patch.get_path().vertices)
    series = _name(patch) or "span"
    if across and not up:
        yield from ({"series": series, "x": float(edge)} for edge in (corners[:, 0].min(), corners[:, 0].max()))
    elif up and not across:
        yield {"series": series, "low": float(corners[:, 1].min()), "high": float(corners[:, 1].max())}
    elif across and up:
        yield from ({"series": series, "x": float(x), "y": float(y)} for x, y in corners)


def _cells(image: AxesImage, words: tuple[Words, Words]) -> Iterator[Row]:
    """Yield the cells of a matrix by their row and column, at most `MOST_CELLS`; pictures in colours are no data."""
    values: np.ndarray = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
    if values.ndim != 2:
        return
    left, right, bottom, top = image.get_extent()
    places = [
        low + (np.arange(n) + 0.5) * (high - low) / n
        for low, high, n in zip((left, top if image.origin == "upper" else bottom),
                                (right, bottom if image.origin == "upper" else top), values.shape[::-1], strict=True)
    ]  # fmt: skip
    step = next(step for step in count(1) if -(-values.shape[0] // step) * -(-values.shape[1] // step) <= MOST_CELLS)
    for row in range(0, values.shape[0], step):
        for column in range(0, values.shape[1], step):
            yield _point(_name(image), places[0][column], places[1][row], words, value=values[row, column])
