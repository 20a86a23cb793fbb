"""What the figures on memorising show: times that are censored, errors stopped early, nulls and controls by name."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_panels import lines, means, rows
from matplotlib import pyplot

from redlib.experiments.results import Results
from redlib.studies.generalization.figures import memory as figures

STEPS = np.array([1.0, 10, 100])
ARMS = (("none", 0), ("order", 0), ("decay", 1e-3), ("decay", 1e-2), ("dropout", 0.5), ("norm", 0), ("shift", 1))


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def curves(axis: str, labels, **at: list) -> Results:
    """Return curves of two seeds that are equal, each given as [labels, looks], and numbers as [labels]."""
    arrays = {name: np.stack([np.array(values, float)] * 2) for name, values in at.items()}
    axes = {name: ("seed", axis, "look")[: array.ndim] for name, array in arrays.items()}
    return Results({"steps": STEPS} | arrays, {"steps": ("look",)} | axes, {axis: tuple(labels)})


def relabelled(*last: float) -> Results:
    """Return runs with none or all labels random; their training errors fall to those of `last`."""
    return curves("share", (0.0, 1.0), train_error=[[0.9, 0.5, end] for end in last])


def test_runs_that_ended_before_they_fitted_are_open_arrows_at_their_end():
    few, many = relabelled(0.0, 0.0), relabelled(0.0, 0.3)
    left, right = figures.slow_down(few, many, (250, 1000)).axes
    arrows = lines(left)["no less: the run ended"]
    assert np.allclose(arrows.get_data(), [[1000, 1000], [100, 100]]) and arrows.get_mfc() == "none"
    assert not any("ended" in name for name in lines(right)), "named once"
    steps, ended = figures.waited(many)
    assert steps[0, 1] == 100 and ended.tolist() == [[False, True]] * 2


def test_the_slow_down_is_the_ratio_to_true_labels_and_slopes_are_powers_of_the_number_of_images():
    # From an error of 50% at step 10 in a straight line to the last one at step 100: 1% after 10 + 90 * .49 / .5.
    few = relabelled(0.0, 0.0)
    many = curves("share", (0.0, 1.0), train_error=[[0.9, 0.0, 0.0], [0.9, 0.5, 0.0]])
    left, right = figures.slow_down(few, many, (250, 1000)).axes
    slow, quick = 10 + 90 * 0.49 / 0.5, 1 + 9 * 0.89 / 0.9
    assert lines(right)["1000 images"].get_ydata() == pytest.approx([1, slow / quick])
    assert lines(right)["250 images"].get_ydata() == pytest.approx([1, 1])
    assert lines(right)["250 images"].get_linestyle() == "--", "nothing is measured between its ends"
    assert any(name.startswith("true labels: as images$^{-") for name in lines(left))


def test_both_nets_are_shown_on_every_version_with_the_control_on_top_of_what_it_equals():
    versions = tuple(figures.VERSIONS)
    errors = [[0.9, 0.5, 0.0]] * 5
    conv = curves("version", versions, train_error=errors, test_error=[[0.9, 0.9, 0.1 * k] for k in range(5)])
    fig = figures.five_versions(conv, conv)
    left, middle, right = fig.axes
    assert [*lines(left)] == [*lines(middle)] == [name for name, *_ in figures.VERSIONS.values()]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [*lines(left)]
    assert {name for name, line in lines(left).items() if line.get_linestyle() == "--"} == {
        "shuffled pixels", "Gaussian noise",
    }  # fmt: skip
    assert len(rows(right)) == 10 and means(right) == pytest.approx([100, 100, 90, 90, 80, 80, 70, 70, 60, 60])
    assert any(line.get_xdata()[0] == 10 for line in right.get_lines() if line.get_linestyle() == "--"), "guessing"


def test_errors_are_those_at_the_end_at_the_least_validation_loss_and_of_a_look_up():
    test = [[0.8, 0.1, 0.2], [0.9, 0.3, 0.6]]
    run = curves("share", (0.0, 0.5), test_error=test, validation_loss=[[3, 1, 2], [3, 1, 2]], nearest=[0.05, 0.5])
    left, right = figures.shares_of_random_labels(run).axes
    found = {name: line.get_ydata() for name, line in lines(left).items()}
    assert found["fitted"] == pytest.approx([20, 60]) and found["stopped early"] == pytest.approx([10, 30])
    assert found["nearest neighbour"] == pytest.approx([5, 50])
    assert lines(right)["50% random"].get_ydata() == pytest.approx([90, 30, 60])
    assert all(any(line.get_ydata()[0] == 90 for line in ax.get_lines()) for ax in (left, right)), "guessing"


def test_wrong_labels_are_compared_with_none_and_with_a_look_up_that_has_as_many():
    run = curves("share", (0.0, 0.1), train_error=[[0.9, 0.1, 0]] * 2, validation_loss=[[3, 1, 2]] * 2,
                 test_error=[[0.9, 0.03, 0.02], [0.9, 0.04, 0.06]], nearest=[0.01, 0.11])  # fmt: skip
    _, right = figures.wrong_labels(run).axes
    assert dict(zip(rows(right), means(right), strict=True)) == pytest.approx({
        "net, none wrong": 2, "net, 10% wrong": 6, "net, 10% wrong, stopped early": 4,
        "nearest neighbour, none wrong": 1, "nearest neighbour, 10% wrong": 11,
    })  # fmt: skip


def test_regularisers_are_less_none_with_their_strengths_and_the_null_is_another_order():
    test, random = np.array([0.05, 0.06, 0.05, 0.04, 0.02, 0.03, 0.07]), [0, 0, 0, 0.01, 0.02, 0, 0.5]
    true = curves("arm", ARMS, test_error=test, validation_error=test)
    left, right = figures.regularisers(true, curves("arm", ARMS, train_error=random)).axes
    assert rows(left) == [
        "another order of images", "weight decay, 0.001", "weight decay, 0.01", "dropout", "batch norm",
        "shifts by a pixel", "best by validation",
    ]  # fmt: skip
    gains = dict(zip(rows(left), means(left), strict=True))
    assert gains["another order of images"] == pytest.approx(-1) and gains["weight decay, 0.01"] == pytest.approx(1)
    assert gains["best by validation"] == pytest.approx(gains["dropout"]) == pytest.approx(3)
    band = left.patches[0].get_extents().transformed(left.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-1, -1), abs=1e-6)
    missed = dict(zip(rows(left), means(right), strict=True))
    assert missed["shifts by a pixel"] == pytest.approx(50) and missed["best by validation"] == pytest.approx(2)


def test_the_slope_among_random_labels_is_points_a_doubling_of_the_images():
    def at(*best: float, alphas=(20,)):
        errors = [[0.9, 1 - right, 0.8] for right in best]
        return curves("alpha", alphas, test_error=errors, validation_loss=[[3, 1, 2]] * len(best),
                      nearest=[0.75] * len(best))  # fmt: skip

    left, right = figures.many_random_labels(at(0.9, 0.6, alphas=(0, 20)), {250: at(0.3), 1000: at(0.6)}).axes
    found = {name: line.get_ydata() for name, line in lines(left).items()}
    assert found["stopped early"] == pytest.approx([90, 60]) and found["last step"] == pytest.approx([20, 20])
    assert found["nearest neighbour"] == pytest.approx([25, 25]) and found["guessing"][0] == 10
    assert lines(right)["stopped early, +15.0 points a doubling"].get_ydata() == pytest.approx([30, 60])
    assert right.get_title("left").startswith("At 20 ") or right.get_title().startswith("At 20 ")


def test_what_cdr_gains_is_against_plain_training_its_early_stop_and_the_null():
    test = [[0.9, 0.1, 0.3], [0.9, 0.08, 0.18], [0.9, 0.09, 0.12]]
    run = curves("arm", figures.CDR_ARMS, test_error=test, validation_error=test, memorised=[[0.1, 0.1, 0.7]] * 3)
    left, middle, right = figures.critical_weights(run).axes
    assert [*lines(left)] == ["plain", "CDR", "as many at random"] == [*lines(middle)]
    assert lines(middle)["CDR"].get_ydata() == pytest.approx([10, 92, 82])
    assert dict(zip(rows(right), means(right), strict=True)) == pytest.approx({
        "over plain": 12, "over as many at random": -6, "over plain, stopped early": -8, "both stopped early": 2,
    })  # fmt: skip
    assert any(line.get_ydata()[0] == pytest.approx(90) for line in middle.get_lines() if line.get_linestyle() == "--")
