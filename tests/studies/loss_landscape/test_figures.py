"""What the figures of the study on the loss landscape show: barriers, tunnels, dimensions, functions, and gaps."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_panels import lines, means, rows
from matplotlib import pyplot

from redlib.experiments.results import Results
from redlib.report.explorers.path import WAYS
from redlib.studies.loss_landscape import figures
from redlib.studies.loss_landscape.around import HALFWAY, TRAINED, UNTRAINED
from redlib.studies.loss_landscape.claims import SLICE
from redlib.studies.loss_landscape.functions import ADAM_RULE, CHAOTIC, RANDOM, SGD_AGAIN, SGD_RULE
from redlib.studies.loss_landscape.pairs import CURVE, LINE, MATCHED

WIDTHS, PATHS, RULES = (16, 32), (LINE, MATCHED, CURVE), (RANDOM, SGD_RULE, SGD_AGAIN, ADAM_RULE)


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def results(labels, seeds=3, **arrays) -> Results:
    """Return arrays {name: (values, axes after the seeds)}, the same in all seeds; axes None: no seeds."""
    held, axes = {}, {}
    for name, (values, own) in arrays.items():
        held[name] = np.array(values) if own is None else np.stack([np.array(values, float)] * seeds)
        axes[name] = ("position",) if own is None else ("seed", *own.split())
    return Results(held, axes, labels)


def heights(line) -> list[float]:
    return np.asarray(line.get_ydata()).round(3).tolist()


def pairs(seeds=3, raw=(1.0, 2.0), filters=(0.5, 0.25)) -> Results:
    """Return paths of three places; the middle errs by 0.3, 0.2, 0.1 on line, matched line and curve, twice if wide."""
    middle = np.array([[0.3, 0.2, 0.1], [0.6, 0.4, 0.2]])
    error, loss = (np.stack([0 * middle, middle, 0 * middle], -1) + least for least in (0, 0.01))
    axes = "width path position"
    return results(
        {"width": WIDTHS, "path": PATHS}, seeds, train_error=(error, axes), train_loss=(loss, axes),
        at=([0, 0.5, 1], None), raw_width=(raw, "width"), filter_width=(filters, "width"),
    )  # fmt: skip


def planes() -> Results:
    """Return a bowl, two nets at distance 4 and a bend above."""
    x, y = np.linspace(-1, 5, 7), np.linspace(-1, 3, 5)
    loss = 0.1 + x**2 + y[:, None] ** 2
    corners = [[0, 0], [4, 0], [2, 2]]
    return results({}, loss=(loss, "row column"), x=(x, "column"), y=(y, "row"), corners=(corners, "net axis"))


# ---- paths and tunnels ----


@pytest.mark.parametrize("seeds", [1, 3])
def test_errors_on_the_way_and_barriers_are_in_per_cent(seeds):
    plane, way, over = figures.joined(planes(), pairs(seeds), 16).axes[:3]
    assert {name: heights(line) for name, line in lines(way).items()} == {
        "straight line": [0, 30, 0], "straight, units matched": [0, 20, 0], "trained curve": [0, 10, 0],
    }  # fmt: skip
    assert heights(lines(over)["straight line"]) == [30, 60] and heights(lines(over)["trained curve"]) == [10, 20]
    assert lines(over)["straight line"].get_xdata().tolist() == list(WIDTHS)
    assert heights(lines(plane)["straight line"]) == [0, 0] and len(plane.collections) == 1
    curve = lines(plane)["trained curve"]
    assert curve.get_xydata()[[0, -1]] == pytest.approx(np.array([[0, 0], [4, 0]])), "it joins the two nets"
    assert 0.9 < curve.get_ydata().max() <= 1, "half of the way to the bend (a Bézier curve)"


def test_losses_are_over_those_of_the_ends_and_half_widths_as_they_are():
    left, raw, filters = figures.barriers(pairs()).axes
    assert [11, 21] in [heights(line) for line in left.get_lines()]
    assert heights(raw.get_lines()[-1]) == [1, 2] and heights(filters.get_lines()[-1]) == [0.5, 0.25]


@pytest.mark.parametrize("gone", [np.nan, np.inf])
def test_a_width_without_a_tunnel_is_a_gap(gone):
    _, raw, filters = figures.barriers(pairs(raw=(1.0, gone), filters=(gone, gone))).axes
    assert np.isnan(raw.get_lines()[-1].get_ydata()).tolist() == [False, True]
    assert np.isnan(filters.get_lines()[-1].get_ydata()).all()


def test_steps_are_drawn_by_state_in_per_cent_and_by_their_change():
    labels = {"state": (UNTRAINED, HALFWAY, TRAINED), "length": (0.01, 1.0)}
    run = results(
        labels, rises=([[0.5, 0.6], [0.7, 0.8], [0.9, 1.0]], "state length"),
        change=([[-1.0, 1], [0, 2], [0.5, 3]], "state length"),
    )  # fmt: skip
    left, right = figures.around(run).axes
    assert {state: heights(lines(left)[state]) for state in labels["state"]} == {
        UNTRAINED: [50, 60], HALFWAY: [70, 80], TRAINED: [90, 100],
    }  # fmt: skip
    assert heights(lines(right)[UNTRAINED]) == [-1, 1] and heights(lines(right)[TRAINED]) == [0.5, 3]


KNOBS = {"weight decay": (0.0, 0.004), "learning rate": (0.02, 0.2), "dropout": (0.0, 0.4)}


def tunnels(raw, seeds=3) -> Results:
    raw = np.array(raw)
    arrays = {"raw_width": raw, "filter_width": raw / 10, "curvature": 10 / raw}
    held = {name: (values, "knob level") for name, values in arrays.items()}
    return results({"knob": tuple(KNOBS), "level": (0, 1)}, seeds, **held)


@pytest.mark.parametrize("seeds", [1, 3])
def test_tunnels_are_drawn_by_knob_and_beside_the_curvature(seeds):
    left, middle, right = figures.tunnels(tunnels([[1, 2], [3, 4], [5, 6]], seeds), KNOBS).axes
    assert heights(lines(left)["weight decay 0 to 0.004"]) == [1, 2]
    assert heights(lines(left)["dropout 0 to 0.4"]) == [5, 6]
    assert heights(lines(middle)["learning rate 0.02 to 0.2"]) == [0.3, 0.4]
    dots = right.get_lines()
    assert [sorted(set(heights(dot))) for dot in dots] == [[1, 2], [3, 4], [5, 6]]
    assert dots[0].get_xdata()[:2] == pytest.approx([10, 5]) and len(dots[0].get_xdata()) == 2 * seeds


def test_a_knob_without_tunnels_has_no_line_and_the_others_stay():
    left, middle, _ = figures.tunnels(tunnels([[1, 2], [3, np.inf], [np.nan, np.nan]]), KNOBS).axes
    assert heights(lines(left)["weight decay 0 to 0.004"]) == [1, 2]
    assert np.isnan(lines(left)["learning rate 0.02 to 0.2"].get_ydata()).tolist() == [False, True]
    assert np.isnan(lines(middle)["dropout 0 to 0.4"].get_ydata()).all()


def test_half_widths_and_curvatures_are_ranked_without_what_was_not_found():
    assert figures.width_with_curvature(tunnels([[1, 2], [3, 4], [5, 6]])) == pytest.approx(-1)
    run = tunnels([[1, 2], [3, np.inf], [np.nan, np.nan]])
    run["curvature"][:] = run["raw_width"]
    assert figures.width_with_curvature(run) == pytest.approx(1)
    assert np.isnan(figures.width_with_curvature(tunnels(np.full((3, 2), np.nan))))


def test_paths_have_the_colours_of_the_explorer_in_its_order():
    assert [colour for _, colour in figures.PATHS.values()] == [*WAYS] and tuple(figures.PATHS) == PATHS


# ---- slices ----


def conv(seeds=3) -> Results:
    return results(
        {"dim": (10, SLICE)}, seeds, accuracy=([0.6, 0.8], "dim"), linear_accuracy=([0.7, 0.75], "dim"),
        full_accuracy=(0.9, ""),
    )  # fmt: skip


def dense(*starts, seeds=3) -> Results:
    """Return nets of three widths whose accuracies rise by 0.2 between 10 and 30 dimensions; full accuracy 0.9."""
    curves = [[start, start + 0.2] for start in starts]
    run = results(
        {"dim": (10, 30), "width": (5, 20, 80)}, seeds, accuracy=(curves, "width dim"),
        full_accuracy=([0.9] * 3, "width"),
    )  # fmt: skip
    return Results(run.arrays | {"parameters": np.array([100, 400, 1600])}, run.axes | {"parameters": ("width",)},
                   run.labels)  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 3])
def test_accuracies_are_in_per_cent_with_nine_tenths_of_the_full_and_where_they_cross_it(seeds):
    left, middle, right = figures.dimensions(conv(seeds), dense(0.71, 0.76, 0.81, seeds=seeds)).axes
    assert heights(lines(left)["convolutional network"]) == [60, 80]
    assert heights(lines(left)["linear classifier"]) == [70, 75]
    assert heights(lines(left)["90% of the full accuracy"]) == [81, 81]
    assert [name for name in lines(middle)] == ["5 units", "20 units", "80 units", "90% of the full accuracy"]
    assert heights(lines(middle)["20 units"]) == [76, 96]
    assert right.get_lines()[-1].get_ydata() == pytest.approx([20, 15, 10])
    assert right.get_lines()[-1].get_xdata().tolist() == [100, 400, 1600] and right.get_ylim()[0] == 0


def test_seeds_in_which_a_width_has_no_crossing_are_left_out_and_all_of_them_may_be():
    run = dense(0.71, 0.76, 0.81)
    run["accuracy"][0, 1] = 0.1
    assert figures.dimensions(conv(), run).axes[2].get_lines()[-1].get_ydata() == pytest.approx([20, 15, 10])
    none = figures.dimensions(conv(), dense(0.1, 0.76, 0.81)).axes
    assert not none[2].get_lines() and heights(lines(none[1])["5 units"]) == [10, 30]


@pytest.mark.parametrize("seeds", [1, 3])
def test_small_nets_are_drawn_at_their_best_rates_the_best_above(seeds):
    small = results(
        {"architecture": ("a", "b", "c")}, seeds, test_accuracy=([[0.5, 0.2], [0.1, 0.7], [0.6, 0.4]],
        "architecture rate"), validation_accuracy=([[0.5, 0.2], [0.1, 0.7], [0.2, 0.6]], "architecture rate"),
    )  # fmt: skip
    small = Results(small.arrays | {"convolutional": np.array([0, 1, 0])},
                    small.axes | {"convolutional": ("architecture",)}, small.labels)  # fmt: skip
    left, right = figures.small_nets(conv(seeds), small).axes
    assert rows(left) == ["b", "c", "a"] and means(left) == pytest.approx([70, 60, 50])
    assert means(right) == pytest.approx([80, 70, 40, 90]), "c is chosen at the rate that does best on validation"
    assert rows(right)[0] == "290 dimensions of a large one"


# ---- functions ----

LAWS = ("ReLU", CHAOTIC)


def simple(correlations=(-0.7, 0.1), k=(3.0, 5.0, 7.0, np.nan), seeds=3) -> Results:
    log2 = np.where(np.isnan(k), np.nan, -np.array(k))
    return results(
        {"prior": LAWS}, seeds, complexity=([k, k], "prior function"),
        log2_probability=([log2, log2], "prior function"),
        correlation=(correlations, "prior"), shuffled_correlation=(np.array(correlations) / 2, "prior"),
    )  # fmt: skip


def test_functions_lie_on_or_below_the_bound_and_correlations_stand_in_rows():
    first, second, right = figures.simple(simple()).axes
    points, bound = first.get_lines()
    assert points.get_xdata().tolist() == [3, 5, 7] and points.get_ydata().tolist() == [-3, -5, -7]
    assert bound.get_ydata() == pytest.approx([-3, -7]), "here all lie on one line"
    assert (first.get_title(), second.get_title()) == LAWS
    assert rows(right) == ["ReLU", "ReLU, shuffled", CHAOTIC, f"{CHAOTIC}, shuffled"]
    assert means(right) == pytest.approx([-0.7, -0.35, 0.1, 0.05])


def test_a_law_without_functions_or_of_one_complexity_has_no_bound_and_no_row_without_a_number():
    axes = figures.simple(simple((-0.7, np.nan), (3.0, 3, np.nan))).axes
    assert len(axes[0].get_lines()) == 1 and rows(axes[2]) == ["ReLU", "ReLU, shuffled"]
    axes = figures.simple(simple((np.nan, np.nan), (np.nan, np.nan), seeds=1)).axes
    assert not len(axes[0].get_lines()[0].get_xdata()) and not rows(axes[2])


def found(counts, samples=(100, 100, 100, 100), seeds=3) -> Results:
    k = np.where(np.isnan(counts[0]), np.nan, 3.0 + np.arange(len(counts[0])))
    return results(
        {"rule": RULES}, seeds, counts=(counts, "rule function"), complexity=(k, "function"), samples=(samples, "rule")
    )


COUNTS = np.array([[64, 32, 16, 1, np.nan], [64, 16, 4, 0, np.nan], [64, 16, 4, 0, np.nan], [8, 16, 32, 4, np.nan]])


@pytest.mark.parametrize("seeds", [1, 3])
def test_functions_seen_twice_are_drawn_by_complexity_and_slopes_in_rows(seeds):
    random, sgd, adam, right = figures.found(found(COUNTS, seeds=seeds)).axes
    assert [ax.get_lines()[0].get_ydata().tolist() for ax in (random, sgd, adam)] == [
        [64, 32, 16], [64, 16, 4], [8, 16, 32, 4],
    ]  # fmt: skip
    assert np.abs(adam.get_lines()[0].get_xdata() - [3, 4, 5, 6]).max() <= 0.3, "a little room and no more"
    assert rows(right) == ["random", "SGD", "Adam"] and means(right) == pytest.approx([-1, -2, -0.2])


def test_a_rule_that_finds_nothing_has_no_row_and_no_point():
    counts = COUNTS.copy()
    counts[1, :4] = 0
    run = found(counts, (100, 0, 100, 100))
    *_, right = figures.found(run).axes
    assert rows(right) == ["random", "Adam"]
    left, _, correlations = figures.bayes(run).axes
    assert np.isnan(left.get_lines()[0].get_ydata()).all() and rows(correlations) == ["Adam, random"]


def test_one_function_has_a_point_and_neither_slope_nor_order():
    counts = COUNTS.copy()
    counts[:, 1:] = np.nan
    assert not rows(figures.found(found(counts)).axes[-1])
    left, middle, right = figures.bayes(found(counts)).axes
    assert not rows(right) and np.isfinite(left.get_lines()[0].get_ydata()).sum() == 3
    assert np.isfinite(middle.get_lines()[0].get_ydata()).sum() == 3


def test_shares_of_random_and_trained_nets_are_drawn_against_each_other():
    left, middle, right = figures.bayes(found(COUNTS, (200, 100, 100, 50))).axes
    for ax, row, of in ((left, 1, 100), (middle, 3, 50)):
        x, y = (np.asarray(values)[:4] for values in ax.get_lines()[0].get_data())
        assert x == pytest.approx((COUNTS[0, :4] + 0.5) / 200) and y == pytest.approx((COUNTS[row, :4] + 0.5) / of)
        alike = lines(ax)["alike"]
        assert list(alike.get_xdata()) == list(alike.get_ydata())
    assert rows(right) == ["SGD, random", "Adam, random", "SGD, SGD again"]
    assert means(right) == pytest.approx([1, 0.2, 1])
