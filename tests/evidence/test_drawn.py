"""The table of a figure holds what is drawn: every kind of mark, its labels and intervals, and stays small."""

from __future__ import annotations

from io import BytesIO

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from redlib import plots
from redlib.evidence.drawn import COLUMNS, as_csv, drawn


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def rows(ax, **where):
    """Return the rows of the figure in which these columns hold these values (None: nothing)."""
    frame = drawn(ax.figure)
    for column, value in where.items():
        frame = frame[frame[column].isna() if value is None else frame[column] == value]
    return frame


def listed(frame, *columns):
    return [tuple(row) for row in frame[[*columns]].itertuples(index=False)]


def test_a_mean_has_its_band_and_its_seeds_are_numbered_under_its_label(ax):
    per_seed = np.array([[1.0, 2], [3, 6]])
    named = {"ticket": (per_seed, "blue"), "random": ([[0.0, 0]], "grey")}
    plots.curves(ax, [10, 20], named, xlabel="kept", ylabel="%")
    mean = rows(ax, series="ticket", line=None)
    assert listed(mean, "x", "y") == [(10, 2), (20, 4)]
    assert mean["low"].tolist() == pytest.approx([2 - 12.7062, 4 - 2 * 12.7062], abs=1e-3)
    assert mean["high"].tolist() == pytest.approx([2 + 12.7062, 4 + 2 * 12.7062], abs=1e-3)
    assert listed(rows(ax, series="ticket", line=1), "x", "y") == [(10, 1), (20, 2)]
    assert listed(rows(ax, series="ticket", line=2), "x", "y") == [(10, 3), (20, 6)]
    assert rows(ax, series="random")["low"].isna().all()
    assert drawn(ax.figure)["xlabel"].dropna().tolist() == ["kept"] and list(drawn(ax.figure)) == COLUMNS


def test_rows_of_dots_are_named_and_hold_interval_mean_and_seeds(ax):
    plots.dot_rows(ax, {"b": ([1.0, 3.0], "blue"), "a": ([5.0], "blue")}, "gain", zero=0)
    (mean,) = rows(ax, series="b", line=None).itertuples()
    assert (mean.x, mean.y, mean.low, mean.high) == pytest.approx((2, "b", -10.7062, 14.7062), abs=1e-3)
    assert rows(ax, series="b", line=1)["x"].tolist() == [1, 3]
    assert rows(ax, series="a", line=None)["x"].tolist() == [5] and rows(ax, series="a")["low"].isna().all()
    (none,) = rows(ax, series="").itertuples()
    assert none.x == 0 and pd.isna(none.y), "the line of no effect, once"


def test_error_bars_belong_to_their_line(ax):
    ax.errorbar([1, 2], [5, 6], yerr=[[1, 2], [3, 4]], label="runs", capsize=3)
    assert listed(rows(ax, series="runs"), "x", "y", "low", "high") == [(1, 5, 4, 8), (2, 6, 4, 10)]
    assert len(drawn(ax.figure)) == 2 and ax.get_lines()[0].get_label() != "runs", "the figure stays as it was"


def test_points_and_bars_and_steps_are_told_by_label(ax):
    ax.scatter([1, 2], [3, 4], label="nets")
    ax.stairs([5.0, 7], [0, 2, 4], fill=True)
    ax.stairs([5.0, 7], [0, 2, 4], label="weights")
    assert listed(rows(ax, series="nets"), "x", "y") == [(1, 3), (2, 4)]
    assert listed(rows(ax, series="weights"), "x", "y") == [(1, 5), (3, 7)] and len(drawn(ax.figure)) == 4


def test_bars_stand_at_the_words_below_them(ax):
    ax.bar(np.arange(2) - 0.2, [3, 4], 0.4, label="seeds")
    ax.bar(np.arange(2) + 0.2, [5, 6], 0.4, label="noise")
    ax.set_xticks(range(2), ["step", "line"])
    assert listed(rows(ax, series="noise"), "x", "y") == [("step", 5), ("line", 6)]
    ax.clear()
    ax.bar(["one", "two"], [1, 2])
    assert listed(drawn(ax.figure), "x", "y") == [("one", 1), ("two", 2)]


def test_cells_of_a_matrix_are_told_by_row_and_column_even_where_these_are_numbers(ax):
    plots.heat(ax, [[1.0, 2], [3, np.nan]], rows=["4", "12"], columns=["a", "b"], title="Accuracy", bar="%")
    assert listed(drawn(ax.figure), "x", "y", "value")[:3] == [("a", "4", 1), ("b", "4", 2), ("a", "12", 3)]
    assert set(drawn(ax.figure)["panel"]) == {"Accuracy"}, "no colour bar"
    ax.clear()
    ax.imshow(np.arange(200.0 * 100).reshape(200, 100))
    cells = drawn(ax.figure)
    assert 1000 < len(cells) <= 2500 and (cells["value"] == 100 * cells["y"] + cells["x"]).all()


def test_lines_and_spans_across_the_panel_have_one_coordinate(ax):
    ax.plot([0, 1], [0, 1], label="curve")
    plots.level(ax, 7, "dense")
    plots.mark(ax, 3, "n = N")
    ax.axhspan(-1, 1)
    ax.axvspan(4, 5)
    assert rows(ax, series="dense", x=None)["y"].tolist() == [7] and len(rows(ax, series="dense")) == 1
    assert rows(ax, x=3.0)["y"].isna().all() and len(rows(ax, x=3.0)) == 1
    assert listed(rows(ax, series="span", x=None), "low", "high") == [(-1, 1)]
    assert sorted(rows(ax, series="span")["x"].dropna()) == [4, 5]


def test_numbered_ticks_are_numbers_and_ticks_at_other_places_what_they_say(ax):
    ax.plot([1, 61440], [0, 1], label="a")
    plots.log_axis(ax, [1, 61440])
    assert rows(ax, series="a")["x"].tolist() == [1, 61440]
    ax.clear()
    ax.plot([0, 1], [5, 6], label="a")
    ax.set_xticks([0, 1], ["0", "500"])
    assert rows(ax, series="a")["x"].tolist() == ["0", "500"]


def test_panels_are_told_by_title_and_those_of_one_title_by_number():
    fig, axes = plots.panels(3)
    for ax, title in zip(axes, ("One", "Two", "Two"), strict=True):
        ax.set_title(title)
        ax.plot([0], [0], label="a")
    fig.axes[0].set_title("")
    assert drawn(fig)["panel"].tolist() == ["(panel 1)", "Two (panel 2)", "Two (panel 3)"]
    plt.close(fig)


def read(text):
    return pd.read_csv(BytesIO(text), keep_default_na=False)


def test_a_small_figure_is_kept_whole_to_five_digits(ax):
    ax.plot([1.23456789], [2], "o", label="a")
    assert as_csv(ax.figure) == b"panel,series,x,y,xlabel,ylabel\n(panel 1),a,1.2346,2,,\n"


def test_long_series_are_thinned_evenly_with_both_ends_and_say_so(ax):
    ax.plot(np.arange(20_000), np.arange(20_000) / 7, label="long")
    ax.plot([1, 2, 3], [4, 5, 6], label="short")
    text = as_csv(ax.figure, 50_000)
    assert len(text) <= 50_000
    found = read(text)
    long, short = (found[found["series"] == name] for name in ("long", "short"))
    step = int(long["kept"].iloc[0].removeprefix("1 in "))
    assert long["x"].iloc[0] == 0 and long["x"].iloc[-1] == pytest.approx(19_999, rel=1e-3)
    assert len(long) == pytest.approx(20_000 / step, abs=2) and len(text) > 25_000, "no more than needed"
    assert short["x"].tolist() == [1, 2, 3] and set(short["kept"]) == {""}


@pytest.mark.parametrize("series, points", [(400, 10), (3000, 2)])
def test_no_figure_is_too_much(ax, series, points):
    for k in range(series):
        ax.plot(np.arange(points), np.full(points, k + 0.12345), label=f"series {k}")
    text = as_csv(ax.figure, 20_000)
    found = read(text)
    assert 5_000 < len(text) <= 20_000 and len(found) > 100 and all(found["kept"].str.startswith("1 in "))
    assert int(found["series"].iloc[-1].split()[-1]) > 0.9 * series, "evenly, not the first alone"
