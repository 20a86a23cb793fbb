"""Curves over one axis: bands are t intervals, each curve may have an axis of its own, names stand where asked."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib import plots

matplotlib.use("agg")
X = [1.0, 0.5, 0.1]
SEEDS = np.array([[1.0, 2.0, 10.0], [3.0, 2.0, 1000.0]])
RUN = {"epochs": np.array([0, 1, 10, 100]), "train_error": np.array([[1, 0.5, 0, 0]] * 2), "q": np.full((2, 4), 3.0)}


@pytest.fixture
def ax():
    with plt.rc_context():
        plots.use_style()
        fig, axes = plots.panels(1)
        yield axes[0]
        plt.close(fig)


def named(ax):
    return {line.get_label(): line for line in ax.get_lines() if line.get_label()[0] != "_"}


def names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def test_a_band_is_the_mean_and_its_t_interval(ax):
    plots.curves(ax, X, {"a": (SEEDS, "blue")}, ylabel="loss", title="A")
    assert named(ax)["a"].get_ydata().tolist() == [2, 2, 505]
    edges = ax.collections[0].get_paths()[0].vertices
    assert edges[edges[:, 0] == 1.0, 1].max() == pytest.approx(2 + 12.7062, abs=1e-4)  # t(.975, 1), standard error 1
    assert (ax.get_ylabel(), ax.get_title("left"), ax.get_xscale()) == ("loss", "A", "linear")


def test_on_a_logarithmic_axis_the_mean_is_geometric_and_ticks_are_plain(ax):
    plots.curves(ax, X, {"a": (SEEDS, "blue")}, logy=[1, 10, 100, 1e30])
    assert named(ax)["a"].get_ydata() == pytest.approx([np.sqrt(3), 2, 100])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "10", "100"]


def test_a_curve_may_have_options_and_an_x_axis_of_its_own(ax):
    own = {"x": [0.5], "linestyle": "--", "seeds": True}
    plots.curves(ax, X, {"a": (SEEDS, "blue"), "b": (SEEDS[:, 1:2], "gold", own)}, seeds=False, marker="")
    a, b = named(ax).values()
    assert (a.get_linestyle(), a.get_marker(), a.get_xdata().tolist()) == ("-", "", X)
    assert (b.get_linestyle(), b.get_marker(), b.get_xdata().tolist()) == ("--", "", [0.5])
    assert len(ax.get_lines()) == 4  # b's two seeds


def test_fractions_kept_fall_to_the_right(ax):
    plots.curves(ax, X, {"a": (SEEDS, "blue")}, density=True)
    assert ax.get_xlim()[0] > 1 > 0.1 > ax.get_xlim()[1] and ax.get_xlabel() == "weights kept (%)"
    plots.curves(ax, X, {"a": (SEEDS, "blue")}, density=True, xlabel="units kept (%)")
    assert ax.get_xlabel() == "units kept (%)"


def test_lines_to_compare_with_are_named_and_bring_a_legend(ax):
    plots.curves(ax, X, {"a": (SEEDS, "blue")}, levels={"dense": 7, "": 8}, marks={"here": 0.5})
    assert names(ax) == ["a", "dense"] and named(ax)["dense"].get_ydata() == [7, 7]
    assert [text.get_text() for text in ax.texts] == ["here"]


def test_a_second_call_keeps_the_words_of_the_first(ax):
    plots.curves(ax, X, {"a": (SEEDS, "blue")}, xlabel="x", ylabel="y", title="T")
    plots.curves(ax, X, {"b": (SEEDS, "blue")})
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title("left"), names(ax)) == ("x", "y", "T", ["a", "b"])


@pytest.mark.parametrize("legend, found, beside", [("best", ["a", "b"], []), ("end", [], ["a", "b"]), ("", [], [])])
def test_names_stand_where_asked(ax, legend, found, beside):
    plots.curves(ax, X, {"a": (SEEDS, "blue"), "b": (SEEDS + 3, "gold")}, legend=legend)
    assert names(ax) == found and [text.get_text() for text in ax.texts] == beside


def test_a_single_name_needs_no_legend(ax):
    plots.curves(ax, X, {"a": (SEEDS, "blue")})
    assert names(ax) == []


def test_log_axes_show_all_ticks_or_about_as_many_as_asked(ax):
    plots.log_axis(ax, [1, 10, 61_000], "steps")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "10", "61k"] and ax.get_xlabel() == "steps"
    plots.log2_axis(ax, [2**k for k in range(20)], "width")
    assert [label.get_text() for label in ax.get_xticklabels()][:3] == ["1", "8", "64"]


# --- over epochs --------------------------------------------------------------------------------------------


def triangles(ax):
    return [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "^"]


def test_a_triangle_marks_where_every_seed_makes_no_error(ax):
    plots.over_epochs(ax, {"net": (RUN, "blue")}, "q", scale=2)
    assert triangles(ax) == [10] and named(ax)["net"].get_ydata() == pytest.approx([6, 6, 6])
    plots.mark_fit(ax, RUN | {"train_error": np.ones((2, 4))})
    assert triangles(ax) == [10]


def test_runs_are_named_where_asked_and_drawn_as_asked(ax):
    runs = {"one": (RUN, "blue"), "two": (RUN, "gold")}
    plots.over_epochs(ax, runs, "q", legend="end", linestyle="--")
    assert names(ax) == [] and [text.get_text() for text in ax.texts] == ["one", "two"]
    assert {line.get_linestyle() for line in named(ax).values()} == {"--"}
    plots.over_epochs(ax, runs, "q")
    assert names(ax) == ["one", "two"] * 2


def test_a_run_may_be_drawn_by_a_quantity_of_its_own(ax):
    plots.over_epochs(ax, {"net": (RUN, "blue", "q"), "errors": (RUN, "gold", "train_error")}, log=False)
    assert named(ax)["net"].get_ydata().tolist() == [3, 3, 3]
    assert named(ax)["errors"].get_ydata().tolist() == [0.5, 0, 0]


def test_panels_show_a_quantity_each_and_name_the_runs_once():
    words = {"q": ("units", "Some"), "train_error": ("share", "Errors")}
    fig, axes = plots.epoch_panels({"one": (RUN, "blue"), "two": (RUN, "gold")}, words, log=False)
    assert [(ax.get_ylabel(), ax.get_title("left") or ax.get_title()) for ax in axes] == list(words.values())
    assert [names(ax) for ax in axes] == [["one", "two"], []]
    assert named(axes[1])["one"].get_ydata().tolist() == [0.5, 0, 0]
    plt.close(fig)
