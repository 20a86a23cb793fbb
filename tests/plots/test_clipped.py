"""What is out of the panel is pointed out, what is impossible is not drawn, single values are strokes."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib import plots


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_an_axis_leaves_out_a_row_only_for_its_length_not_for_its_place():
    short = [(0.0, 1.0), (0.5, 2.0), (-0.5, 1.5)]
    low, high = plots.shown_span([*short, (0.0, 35.0)], zero=0)
    assert -2 < low < -0.5 and 2 < high < 4
    assert plots.shown_span([*short, (30.0, 33.0)], zero=0) is None, "far off, which may be the finding"
    assert plots.shown_span([*short, (0.0, 9.0)], zero=0) is None, "not so long"
    assert plots.shown_span([(0.0, 1.0), (0.0, 35.0)]) is None, "one of two"
    assert plots.shown_span([(0.0, 0.0), (0.0, 0.0), (0.0, 1.0)]) is None, "no length to compare with"


def test_a_row_that_leaves_the_panel_gets_an_arrow_and_its_numbers(ax):
    wide = np.array([0.0, 10, 20, 30])
    plots.dot_rows(ax, dict.fromkeys("abc", ([0, 1.0], "blue")) | {"d": (wide, "orange")})
    assert ax.get_xlim()[1] > 20, "intervals of two seeds are long as well"
    ax.clear()
    near = np.array([0.0, 1, 0.5, 0.6])
    plots.dot_rows(ax, {"a": (near, "blue"), "b": (near, "blue"), "c": (near + 1, "sky"), "d": (wide, "gold")}, zero=0)
    left, right = ax.get_xlim()
    assert right < 5 and [text.get_text() for text in ax.texts if text.get_text()] == ["mean 15, −5.54 to 35.5"]
    assert len(ax.texts) == 3 and {text.xy for text in ax.texts} == {(left, 3), (right, 3)}, "an arrow at each end"


def test_intervals_and_bands_end_where_the_possible_ends(ax):
    plots.dot_rows(ax, {"a": ([0.0, 2], "blue")}, within=(0, np.inf))
    interval = ax.get_lines()[1].get_xdata()
    assert interval[0] == 0 and interval[1] == pytest.approx(1 + 12.7062, abs=1e-3)
    ax.clear()
    plots.band(ax, [1, 2], [[90.0, 50], [100, 52]], within=(0, 100))
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == 100 and heights.min() == pytest.approx(95 - 5 * 12.7062, abs=1e-3)


def test_strokes_stand_in_a_strip_below_the_bars(ax):
    plots.histogram(ax, {"null": (np.arange(50.0), "grey")})
    top = ax.get_ylim()[1]
    plots.rug(ax, [3.0, 4], "measured")
    strokes = ax.get_lines()[-1]
    assert strokes.get_xdata().tolist() == [3, 4] and ax.get_ylim()[0] < strokes.get_ydata()[0] < 0
    assert ax.get_ylim()[1] > 1.1 * top and min(ax.get_yticks()) >= 0


def test_data_sets_are_named_in_words():
    assert plots.data_name("cifar10_jpeg") == "small photographs" and plots.data_name("my_set") == "my set"
