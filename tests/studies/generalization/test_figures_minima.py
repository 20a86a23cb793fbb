"""What the figures on widths, minima and wide nets show: slopes, lines of theory, nulls, what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_panels import lines, means, rows
from matplotlib import pyplot

from redlib.experiments.results import Results
from redlib.plots.style import COLOURS, INK
from redlib.studies.generalization.figures import minima, wide

SEEDS, UNITS = 3, np.array([16, 64, 256])


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def results(axes: str, labels, **values) -> Results:
    """Return arrays that are equal in all seeds."""
    arrays = {name: np.stack([np.array(value, float)] * SEEDS) for name, value in values.items()}
    names = tuple(axes.split())
    return Results(arrays, {name: ("seed", *names)[: array.ndim] for name, array in arrays.items()}, labels)


def sized(labels=tuple((int(units),) for units in UNITS), **changes) -> Results:
    one = np.ones(len(labels))
    known = dict.fromkeys(
        ("spectral", "path", "frobenius", "unit", "vc", "margin", "total", "per_unit", "test_error"), one
    )
    known |= {f"start_{name}": one for name in ("spectral", "path", "frobenius")} | {"train_error": 0 * one}
    return results("size", {"size": labels}, **(known | changes))


def test_widths_that_do_not_fit_are_crossed_out_and_left_out_of_the_slope():
    run = sized(test_error=[0.9, 0.1, 0.08], train_error=[0.1, 0, 0])
    left, right = minima.larger_is_better(run).axes
    assert lines(left)["do not all fit"].get_xdata().tolist() == [16]
    assert "+1.00 points a doubling" in lines(left), "2 points in two doublings"
    assert rows(right) == ["16 to 64", "64 to 256"] and means(right) == pytest.approx([80, 2])


def test_slopes_of_distance_and_measures_stand_in_the_legends_and_untrained_nets_are_dashed():
    runs = {name: sized(total=UNITS**power, per_unit=UNITS**-0.5) for name, power in
            (("small start", 0.25), ("widths", 0.0), ("large start", -1.0))}  # fmt: skip
    runs["widths"] = sized(spectral=UNITS**1.0, margin=UNITS**0.5, start_path=UNITS**-1.0)
    depths = sized(((8,), (8, 8), (8, 8, 8, 8)), frobenius=[1, 2, 4.0])
    total, width, own, depth = minima.distance_and_measures(runs, depths).axes
    assert {"a quarter: +0.25", "four times: −1.00"} <= set(lines(total)) and "a quarter: −0.50" in lines(own)
    assert own.get_lines()[-1].get_ydata() == pytest.approx([1, 1 / 2, 1 / 4]), "where the total stays"
    assert "spectral: +0.50" in lines(width), "over the margin"
    assert "VC bound: +0.00" in lines(width), "not over the margin"
    dashed = [line for line in width.get_lines() if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert dashed[-1].get_ydata() == pytest.approx([1, 1 / 4, 1 / 16]), "the path norm of untrained nets"
    assert "Frobenius: +1.00" in lines(depth) and not any("unit" in name for name in lines(depth))


def test_batches_are_compared_at_one_rate_tuned_and_at_one_loss():
    at = {"one_rate": [0.1, 0.1], "tuned_rate": [0.1, 0.2], "train_loss": [[1, 2], [1, 2]]}
    measured = {"box": [1, 2], "curvature": [1, 4], "invariant": [1, 8], "tuned_curvature": [1, 16]}
    equal = {"equal_loss": [0.05, 0.05], "equal_curvature": [3, 3]}
    run = results("batch rate", {"batch": (16, 128), "rate": (0.1, 0.2)}, test_error=[[0.1, 0], [0.3, 0.2]],
                  **at, **measured, **equal)  # fmt: skip
    left, middle, right = minima.batches(run).axes
    assert means(left) == pytest.approx([20, 10]) and means(middle) == pytest.approx([1, 2, 3, 4, 0])
    assert sum(line.get_mfc() == "none" for line in right.get_lines()) == 2, "those at one loss"
    never = results("batch rate", {"batch": (16, 128), "rate": (0.1, 0.2)}, test_error=[[0.1, 0], [0.3, 0.2]],
                    **at, **measured, **equal | {"equal_curvature": [3, np.nan]})  # fmt: skip
    assert "curvature, one loss" not in rows(minima.batches(never).axes[1]), "no number where none came down so far"


def attacked() -> Results:
    spectra = np.array([[4, 1e-4, -1e-9], [8, 1e-4, 0], [32, 1, 0]])
    return results("attack parameter", {"attack": (0, 1, 2)}, eigenvalues=spectra, invariant=[1, 1, 2],
                   start_eigenvalues=[2, 1, 1], test_error=[0.1, 0.2, 0.4], radius=[4, 2, 1],
                   normalised_radius=[2, 2, 2])  # fmt: skip


def test_sharpness_of_attacked_nets_is_counted_from_those_without_attack():
    left, middle, right = minima.spectra(attacked()).axes
    named = {"untrained", "no attack: 90% right", "mild attack: 80% right", "strong attack: 60% right"}
    assert set(lines(left)) == set(lines(middle)) == named
    assert lines(left)["no attack: 90% right"].get_ydata()[:2] == pytest.approx([1, 1e-4 / 4]), "over the largest"
    assert lines(left)["no attack: 90% right"].get_xdata() == pytest.approx([100 / 3, 200 / 3, 100])
    assert lines(middle)["strong attack: 60% right"].get_ydata()[:2] == pytest.approx([32, 1])
    found = dict(zip(rows(right), means(right), strict=True))
    assert found["largest, mild"] == pytest.approx(1) and found["largest, strong"] == pytest.approx(3)
    assert found["scale-free, strong"] == pytest.approx(1)


def test_random_starts_stand_between_good_and_bad_solutions_and_radii_are_in_doublings():
    starts = results("start", {"start": tuple(range(4))}, test_error=[0.1, 0.1, 0.2, 0.35], train_error=[0, 0, 0, 0.1])
    left, right = minima.basins(attacked(), starts).axes
    half = [text for text in left.texts if text.get_text() == "half way"]
    assert half[0].xy[0] == pytest.approx(75) and means(right) == pytest.approx([2, 0])
    assert sum(bar.get_height() for bar in left.patches) == 4 * SEEDS, "no start is cut off"
    assert left.get_legend().get_texts()[0].get_text() == "did not fit" and hollow(left) == SEEDS
    fitting = results("start", {"start": (0, 1)}, test_error=[0.1, 0.2], train_error=[0, 0])
    assert minima.basins(attacked(), fitting).axes[0].get_legend() is None


def hollow(ax):
    """Return how many starts have hollow bars."""
    return sum(bar.get_height() for bar in ax.patches if bar.get_facecolor()[3] == 0)


def test_every_bar_holds_as_many_possible_accuracies():
    images = 360
    found = 100 * np.arange(300, 360) / images
    edges = minima.whole_images(found)
    heights = np.histogram(found, edges)[0]
    assert set(heights) == {2} and 0.5 <= edges[1] - edges[0] < 0.6
    assert len(minima.whole_images(np.full(3, 50.0))) > 1, "one value alone has a bar"


def medians(ax):
    """Return the upright strokes of `passages`, from the top down."""
    return [float(one.get_xdata()[0]) for one in ax.get_lines() if one.get_marker() == "|"]


def test_the_line_two_over_the_step_is_drawn_and_curvatures_are_told_in_units_of_it():
    rates = (0.1, 0.2)
    descent = results("rate sharp", {"rate": rates}, sharpness=[[3, 5], [9, 11]])
    arms = ("escape", "onward", "flat")
    escape = results("arm", {"arm": arms}, sharpness_before=[15, 4, 2], sharpness_after=[10, 4, 2],
                     rate_after=[0.2, 0.1, 0.2], loss_before=[1, 2, 3], peak_loss=[9, 2, 3],
                     loss_after=[0.1, 0.2, 0.3])  # fmt: skip
    small = results("batch", {"batch": (4, 16)}, sharpness=[1, 4], non_uniformity=[1, 2])
    ends, loss, rest, batch = minima.stability(descent, escape, small).axes
    line = lines(ends)["2/η"]
    assert line.get_xdata() * line.get_ydata() == pytest.approx(2) and line.get_ydata()[0] == pytest.approx(20)
    ended = lines(ends)["at the end of descent"]
    assert ended.get_ydata() == pytest.approx([4, 10])
    assert [line.get_color(), ended.get_color()] == [INK, COLOURS["orange"]], "the colours of the explorer"
    assert medians(loss) == pytest.approx([1, 9, 0.1, 3, 3, 0.3, 2, 2, 0.2])
    assert medians(rest) == pytest.approx([1.5, 1.0, 0.2, 0.2, 0.2, 0.2]) and rows(rest) == rows(loss)
    assert {"curvature: +1.00", "non-uniformity: +0.50"} <= set(lines(batch))


def test_success_has_exact_intervals_and_theory_its_line():
    error = np.array([[0.3, 0.0], [0.2, 0.0], [0.1, 0.1]])
    run = Results({"error": error}, {"error": ("seed", "ratio")}, {"ratio": (0.25, 2.0)})
    left, right = wide.no_bad_minima(run, run).axes
    assert lines(left)["images"].get_ydata() == pytest.approx([20, 100 * 0.1 / 3])
    bars = right.containers[0].lines[0].get_ydata()
    assert bars == pytest.approx([0, 200 / 3])


def test_powers_of_the_width_stand_in_the_legend_beside_the_line_of_theory():
    fig, ax = pyplot.subplots()
    values = np.stack([UNITS**-1.0] * SEEDS)
    wide.powers(ax, UNITS, {"kernel": (values, "blue")}, "title", "change")
    assert "kernel: $m^{-1.00}$" in lines(ax)
    assert lines(ax)["$m^{-1/2}$"].get_ydata() == pytest.approx(1 / 16 * np.array([1, 0.5, 0.25]))


@pytest.mark.parametrize("low, high, least", [(0.24, 0.29, 3), (3, 70, 3), (1e-7, 1, 0), (0.9, 1.1, 3)])
def test_a_logarithmic_axis_has_three_numbers_or_powers_of_ten(low, high, least):
    fig, ax = pyplot.subplots()
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    wide.few_ticks(ax)
    inside = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert least <= len(inside) <= 9


def test_descent_of_the_narrowest_a_middle_and_the_widest_net_is_drawn():
    steps = np.arange(30)
    loss = np.stack([np.exp(-rate * steps) for rate in (0.1, 0.2, 0.4, 0.8)])
    at = {"pattern_change": [0.8, 0.4, 0.2, 0.1], "switching_units": [1, 1, 1, 1], "max_distance": [4, 2, 1, 0.5]}
    at |= {"pattern_changes": [[0, 1]] * 4, "max_distances": [[0, 1]] * 4}
    run = results("width step", {"width": (2, 4, 8, 16), "look": (0, 1)}, loss=loss, **at)
    left, right = wide.linear_rate(run).axes
    assert list(lines(left)) == ["2 units", "8 units", "16 units"] and "$m^{1.00}$" in lines(right)
    assert "states: $m^{-1.00}$" in lines(wide.patterns(run).axes[1])
    assert "farthest unit: $m^{-1.00}$" in lines(wide.distances(run).axes[1])
