"""What the figures of the study on redundant units show: shares, nulls, lines of theory, what cannot be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_panels import lines, means, rows
from matplotlib import pyplot

from redlib.experiments.results import Results
from redlib.nets.xord import cover_probability
from redlib.studies.redundant_units.figures import nets, toys

SEEDS, COUNTS, WIDTHS = 4, (2, 8, 120), np.array([4, 16, 64])


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def results(labels, **arrays) -> Results:
    """Return arrays {name: (values, axes after the seeds)}, the same in all seeds."""
    held = {name: np.stack([np.array(values)] * SEEDS) for name, (values, _) in arrays.items()}
    return Results(held, {name: ("seed", *axes.split()) for name, (_, axes) in arrays.items()}, labels)


def xord(fits, wrong, detected) -> Results:
    """Return ends of networks of COUNTS on both sets, from rows [S, counts] that hold for the diverse set."""
    blind = np.ones_like(wrong)
    arrays = {
        "fits": np.stack([fits, fits], 1), "fresh_error": np.stack([wrong, blind], 1).astype(float),
        "start_detected": detected,
    }  # fmt: skip
    axes = {"fits": ("seed", "set", "count"), "start_detected": ("seed", "count")}
    return Results(
        arrays, axes | {"fresh_error": axes["fits"]}, {"set": ("diverse", "missing a pattern"), "count": COUNTS}
    )


FITS = np.array([[True, True, True]] * 3 + [[False, True, True]])
WRONG = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
DETECTED = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1]]).astype(bool)


def heights(line) -> list[float]:
    return np.asarray(line.get_ydata()).round(1).tolist()


def shares(ax) -> dict:
    """Return the lines through shares with intervals, by name."""
    return {box.get_label(): box.lines[0] for box in ax.containers}


def test_filters_are_drawn_where_they_point_and_at_most_at_one():
    away = np.array([[3.0, 4.0], [0.0, -1e-2], [1e-9, 0.0]])
    places = toys.unfolded(away)
    assert places[0] == pytest.approx([0.6, 0.8]) and places[2] == pytest.approx([0, 0]), "the longest, and none"
    assert places[1, 0] == 0 and -1 < places[1, 1] < 0


def test_shares_are_of_the_networks_that_fit_and_the_two_sets_are_apart():
    weights = np.random.default_rng(1).normal(size=(1, 2, 3, 5, 240, 2))
    axes = {"weights": ("seed", "set", "count", "look", "unit", "coordinate")}
    paths = Results({"weights": weights}, axes, {"set": ("diverse", "missing a pattern"), "count": COUNTS})
    narrow, wide, right = toys.detection(paths, xord(FITS, WRONG, DETECTED), 2, 120).axes
    assert heights(shares(right)["diverse"]) == [33.3, 75.0, 100.0], "of three, four and four that fit"
    assert heights(shares(right)["missing a pattern"]) == [0, 0, 0]
    assert [len(lines(ax)["filters for label 1 (equal signs)"].get_xdata()) for ax in (narrow, wide)] == [2, 120]


def test_exploration_is_drawn_beside_chance_and_a_group_of_none_is_left_out():
    left, right = toys.exploration(xord(FITS, WRONG, DETECTED)).axes
    assert heights(shares(left)["measured"]) == [0, 75.0, 100.0]
    chance = [100 * cover_probability(count, 2) ** 2 for count in COUNTS]
    assert lines(left)["random directions"].get_ydata() == pytest.approx(chance)
    assert shares(right)["all detected at the start"].get_xdata().tolist() == [8, 120]
    assert shares(right)["not all"].get_xdata().tolist() == [2, 8]


def test_measured_errors_are_circles_on_the_lines_of_theory():
    arms, looks = tuple(toys.ARMS), (0, 100, 200)
    error = np.array([[1.0, 0.5, 0.25], [1.0, 0.6, 0.5], [1.0, 0.1, 0.01]])[:, None].repeat(2, 1)
    run = results(
        {"arm": arms, "width": (2, 8), "look": looks}, error=(error, "arm width look"),
        measured_error=(error[..., -1] * 1.01, "arm width"),
    )  # fmt: skip
    left, right = toys.averaging(run, run).axes
    assert lines(left)["both layers"].get_ydata() == pytest.approx([0.25, 0.25])
    circles = [line.get_ydata() for line in left.get_lines() if line.get_markerfacecolor() == "none"]
    assert [each[0] for each in circles] == pytest.approx([0.2525, 0.505, 0.0101, 0.2525])
    assert len([line for line in right.get_lines() if line.get_linestyle() == "--"]) == len(arms) + 1


def test_widths_whose_students_all_match_have_no_row_of_others():
    run = results(
        {"width": (4, 16), "look": (0, 9)}, complete=([False, True], "width"), error=(np.ones((2, 2)), "width look"),
        outgoing_matched=([1.0, 2.0], "width"), outgoing_unmatched=([0.5, np.nan], "width"),
    )  # fmt: skip
    left, middle, _ = toys.lucky(run).axes
    assert heights(shares(left)["students"]) == [0, 100] and rows(middle) == ["4 units"] and means(middle) == [0.5]


def widths(**changes) -> Results:
    pairs = {
        "removable": [WIDTHS / 2, WIDTHS / 4], "repeated": [0 * WIDTHS, WIDTHS / 8], "gini": [0.5, 0.5] * 1,
        "frame": [WIDTHS, 2 * WIDTHS], "random_frame": [WIDTHS, WIDTHS], "matched_frame": [WIDTHS, 4 * WIDTHS],
        "rank": [WIDTHS / 2, WIDTHS / 4], "effective": [WIDTHS, WIDTHS / 2], "spare": [0.5, 0.1],
    } | changes  # fmt: skip
    both = {name: np.stack([np.broadcast_to(one, 3) for one in pair], 1) * 1.0 for name, pair in pairs.items()}
    labels = {"width": tuple(WIDTHS.tolist()), "state": ("untrained", "trained")}
    one = {"update_rank": (WIDTHS / 8, "width"), "random_rank": (WIDTHS / 2, "width")}
    return results(labels, **{name: (values, "width state") for name, values in both.items()}, **one)


def test_counts_stand_below_all_units_and_shares_are_of_each_width():
    run = widths()
    removable, repeated, shares = nets.removable(run, {"plain": run, "weight decay": run}).axes
    assert lines(removable)["all units"].get_ydata() == pytest.approx(WIDTHS + 0.5)
    assert lines(removable)["untrained"].get_ydata() == pytest.approx(WIDTHS / 2 + 0.5)
    assert lines(repeated)["trained"].get_ydata() == pytest.approx(WIDTHS / 8 + 0.5)
    assert heights(lines(shares)["weight decay"]) == [25, 25, 25]


def test_frames_are_over_random_ones_and_ranks_over_the_possible():
    frames, ranks = nets.directions(widths(), 16).axes
    assert (
        heights(lines(frames)["trained"]) == [2, 2, 2]
        and heights(lines(frames)["Gaussian, same covariance"]) == [4] * 3
    )
    assert heights(lines(ranks)["trained"]) == [25, 25, 100], "of 4, 16 and again 16"
    assert heights(lines(ranks)["what training added"]) == [12.5, 12.5, 50]


def test_reliance_and_idle_units_are_drawn_in_per_cent():
    gini, count, spare = nets.reliance(widths()).axes
    assert lines(count)["all alike"].get_ydata() == pytest.approx(WIDTHS)
    assert lines(count)["units that count"].get_ydata() == pytest.approx(WIDTHS / 2)
    assert gini.get_ylim() == (0, 1) and spare.get_lines()[-1].get_ydata() == pytest.approx([10, 10, 10])
    rules = {"rule": ("sgd", "full batch", "adam", "decay")}
    run = results(rules, dead=([10.0, 5, 8, 12], "rule"), test_error=([0.1] * 4, "rule"), start_dead=(1.0, ""))
    idle, errors = nets.dead(run, 50).axes
    assert rows(idle) == ["untrained", "SGD", "full batches", "Adam", "SGD, weight decay"]
    assert means(idle) == pytest.approx([2, 20, 10, 16, 24]) and means(errors) == pytest.approx([10] * 4)


def test_what_is_left_is_drawn_over_ranks_of_worth_with_the_null():
    densities, kinds, masks = (0.5, 0.1), ("decisions",), ("ticket", "random")
    left = np.linspace(0, 1, 2 * 2 * 5).reshape(2, 2, 5)
    ranks = np.array([[[0.7, 0.6], [0.1, 0.0]]])
    run = results(
        {"density": densities, "kind": kinds, "mask": masks}, importance=([[3.0, 1.0, 2.0, 5.0, 4.0]], "kind unit"),
        left=(left, "mask density unit"), magnitude_rank=(ranks[0] + 0.2, "mask density"),
        **{name: (ranks - shift, "kind mask density") for name, shift in
           (("rank", 0), ("partial", 0.5), ("magnitude_partial", 0.3))},
    )  # fmt: skip
    scatter, shared, alone = nets.survivors(run, "decisions", 0.1).axes
    assert lines(scatter)["ticket"].get_xdata()[:5].tolist() == [50, 0, 25, 100, 75]
    assert lines(scatter)["ticket"].get_ydata()[:5] == pytest.approx(100 * left[0, 1])
    assert lines(shared)["worth, random masks"].get_ydata() == pytest.approx([0.1, 0.0])
    assert lines(alone)["worth, at equal length"].get_ydata() == pytest.approx([0.2, 0.1])
