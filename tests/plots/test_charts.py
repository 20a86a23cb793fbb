"""The drawing helpers place what they are given: ticks at real densities, rows in order, densities of area one."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib import plots
from redlib.errors import BadInput

matplotlib.use("agg")


@pytest.fixture
def ax():
    with plt.rc_context():
        plots.use_style()
        fig, axes = plots.panels(1)
        yield axes[0]
        plt.close(fig)


def texts(labels):
    return [label.get_text() for label in labels]


# --- the density axis ---------------------------------------------------------------------------------------


def test_a_density_axis_falls_from_100_per_cent_and_names_densities_that_occur(ax):
    densities = [0.8**level for level in range(21)]
    plots.density_axis(ax, densities)
    left, right = ax.get_xlim()
    assert ax.get_xscale() == "log" and left > 1 > densities[-1] > right
    ticks = ax.get_xticks()
    assert set(ticks) <= set(densities) and 4 <= len(ticks) <= 8
    assert ticks[0] == 1 and ticks[-1] == densities[-1]
    assert texts(ax.get_xticklabels()) == [f"{100 * tick:.3g}" for tick in ticks]
    assert ax.get_xlabel() == "weights kept (%)"


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_labels_of_densities_do_not_touch_however_narrow_the_panel(columns):
    with plt.rc_context():
        plots.use_style()
        fig, axes = plots.panels(columns)
        for ax in axes:
            plots.density_axis(ax, [1.0, 0.9, 0.512, 0.4, 0.211, 0.135, 0.0687, 0.0358, 0.0355])
        fig.canvas.draw()
        for ax in axes:
            boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
            assert len(boxes) > 2 and all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
        plt.close(fig)


def test_a_single_density_is_a_tick(ax):
    plots.density_axis(ax, [0.5])
    assert texts(ax.get_xticklabels()) == ["50"]


@pytest.mark.parametrize("densities", [[], [0.5, 0.0], [100.0, 50.0], [1.0, float("nan")]])
def test_densities_that_are_no_fractions_are_refused(ax, densities):
    with pytest.raises(BadInput, match="densities"):
        plots.density_axis(ax, densities)


# --- rows of dots -------------------------------------------------------------------------------------------


def test_dot_rows_stand_in_the_order_given_from_the_top(ax):
    plots.dot_rows(ax, {"b": ([1.0, 3.0], "blue"), "a": ([5.0, 5.0], "orange")}, "gain", zero=0, title="Arms")
    assert texts(ax.get_yticklabels()) == ["b", "a"] and ax.get_yticks().tolist() == [0, 1]
    top, below = ax.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert top > below
    assert (ax.get_xlabel(), ax.get_title("left"), ax.get_ylim()) == ("gain", "Arms", (1.5, -0.5))


def test_dot_rows_draw_seeds_mean_and_t_interval_and_the_line_of_no_effect(ax):
    plots.dot_rows(ax, {"b": ([1.0, 3.0], "blue")}, zero=0)
    seeds, interval, mean, zero = (np.asarray(line.get_xdata(), dtype=float) for line in ax.get_lines())
    assert seeds.tolist() == [1, 3] and mean.tolist() == [2] and zero.tolist() == [0, 0]
    assert interval == pytest.approx([2 - 12.7062, 2 + 12.7062], abs=1e-4)  # t(.975, 1), standard error 1


def test_a_single_seed_gets_a_dot_without_an_interval(ax):
    plots.dot_rows(ax, {"b": ([1.0], "blue")})
    assert len(ax.get_lines()) == 2  # its seed and its mean


def test_missing_seeds_are_not_dropped_in_silence(ax):
    with pytest.raises(BadInput, match=r"b\[1\]"):
        plots.dot_rows(ax, {"b": ([1.0, np.nan], "blue")})


# --- matrices -----------------------------------------------------------------------------------------------


def test_heat_draws_row_0_on_top_names_its_cells_and_writes_the_numbers(ax):
    plots.heat(ax, [[1, 2, 3], [4, np.nan, 6]], rows=["r", "s"], columns=["x", "y", "z"], numbers=".0f")
    assert texts(ax.get_yticklabels()) == ["r", "s"] and texts(ax.get_xticklabels()) == ["x", "y", "z"]
    assert ax.get_ylim() == (1.5, -0.5)
    assert {(*text.get_position(), text.get_text()) for text in ax.texts} == {
        (0, 0, "1"), (1, 0, "2"), (2, 0, "3"), (0, 1, "4"), (2, 1, "6")
    }  # fmt: skip


def test_diverging_colours_are_as_strong_on_both_sides_of_the_centre(ax):
    image = plots.heat(ax, [[-1.0, 0.0, 4.0, np.nan]], centre=0)
    minus, middle, plus, blank = image.to_rgba(image.get_array())[0]
    assert (image.norm.vmin, image.norm.vmax) == (-4, 4)
    assert minus[2] > minus[0] and plus[0] > plus[2] and np.ptp(middle[:3]) < 0.02 and blank[3] == 0


def test_numbers_are_dark_on_light_cells_and_light_on_dark_ones(ax):
    plots.heat(ax, [[0.0, 1.0]], numbers=".0f")  # viridis: dark violet to yellow
    dark, light = (matplotlib.colors.to_rgb(text.get_color())[0] for text in ax.texts)
    assert dark > 0.9 and light < 0.1


def test_a_matrix_may_be_blank_only_if_its_limits_are_known(ax):
    with pytest.raises(BadInput, match="matrix"):
        plots.heat(ax, [[np.nan]])
    assert plots.heat(ax, [[np.nan]], limits=(0, 1)).get_clim() == (0, 1)


@pytest.mark.parametrize("matrix, rows", [([1, 2], ()), ([[1, 2]], ("a", "b"))])
def test_names_that_do_not_fit_a_matrix_are_refused(ax, matrix, rows):
    with pytest.raises(BadInput, match="shape of the matrix"):
        plots.heat(ax, matrix, rows=rows)


def test_a_colour_bar_is_as_high_as_its_image(ax):
    plots.heat(ax, np.eye(3), bar="accuracy")
    ax.figure.canvas.draw()
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "accuracy"
    assert bar.get_window_extent().height == pytest.approx(ax.get_window_extent().height, abs=1)


# --- histograms ---------------------------------------------------------------------------------------------


def stairs(ax):
    return [patch.get_data() for patch in ax.patches]


def test_histograms_share_their_bins_and_have_area_one(ax):
    plots.histogram(ax, {"a": ([0, 1, 1, 2], "blue"), "b": ([5, 9], "orange")}, bins=6, xlabel="w", title="W")
    found = stairs(ax)
    assert all((data.edges == found[0].edges).all() for data in found) and found[0].edges[[0, -1]].tolist() == [0, 9]
    assert [float((data.values * np.diff(data.edges)).sum()) for data in found] == pytest.approx([1.0] * 4)
    assert texts(ax.get_legend().get_texts()) == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_title("left")) == ("w", "W")


def test_values_outside_given_edges_are_missing_from_the_area(ax):
    plots.histogram(ax, {"a": ([0.5, 1.5, 7.0, 8.0], "blue")}, bins=[0, 1, 2])
    assert stairs(ax)[0].values.tolist() == [0.25, 0.25] and ax.get_legend() is None


def test_missing_values_have_no_histogram(ax):
    with pytest.raises(BadInput, match=r"a\[1\]"):
        plots.histogram(ax, {"a": ([0.0, np.nan], "blue")})


def test_log_values_shows_plain_numbers_in_view_and_leaves_the_view(ax):
    ax.set_yscale("log")
    ax.set_ylim(0.02, 0.5)
    plots.log_values(ax)
    assert texts(ax.get_yticklabels()) == ["0.03", "0.1", "0.3"]
    assert ax.get_ylim() == (0.02, 0.5)


def test_colours_are_named_or_given():
    given = {"blue": plots.COLOURS["blue"], "warm-1": plots.SHADES["warm-1"], "#123456": "#123456"}
    assert {name: plots.paint(name) for name in given} == given
