"""The toys do what they say: XORD's networks of all sizes, and students wider than their teachers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.data import xord as data
from redlib.errors import BadInput
from redlib.nets import xord
from redlib.nets.committee import Committee
from redlib.studies.redundant_units.detection import Detection, Xord, XordPaths, mean_angle, turned, weighted_angle
from redlib.studies.redundant_units.students import Goldt, Students, Tian, mean_where

SEEDS = tuple(range(1000, 1012))
XORD = Xord(counts=(2, 120), seeds=SEEDS, steps=250)
PATHS = XordPaths(counts=(2, 8), seeds=SEEDS[:2], steps=150, times=8)
GOLDT = Goldt(widths=(2, 4), inputs=10, steps=1500, times=5, seeds=SEEDS[:3], fresh=3000)
TIAN = Tian(teacher_units=2, widths=(2, 8), inputs=10, steps=4000, times=5, seeds=SEEDS[:4])


@pytest.fixture(scope="module")
def nets():
    return XORD.results(XORD.run())


@pytest.fixture(scope="module")
def paths():
    return PATHS.results(PATHS.run())


@pytest.fixture(scope="module")
def noisy():
    return GOLDT.results(GOLDT.run())


@pytest.fixture(scope="module")
def lucky():
    return TIAN.results(TIAN.run())


# ---- XORD ----


def test_large_networks_are_right_on_new_points_and_small_ones_that_fit_need_not_be(nets):
    small, large = (nets.at(set="diverse", count=count) for count in XORD.counts)
    assert large["fits"].all() and (large["fresh_error"] == 0).all()
    assert (small["fits"] & (small["fresh_error"] > 0)).sum() >= 5


def test_no_network_knows_a_pattern_that_no_point_had(nets):
    blind = nets.at(set="missing a pattern")
    # Points whose only equal pairs are (-1, -1), beside unequal ones, as negative points have them.
    alone = [
        place for place, content in enumerate(data.CONTENTS) if 1 in content and 0 not in content and len(content) > 1
    ]
    share = float(data.content_shares(5)[alone].sum())
    assert blind["fits"].mean() > 0.5 and share > 0.1
    assert blind["fresh_error"][blind["fits"]].min() == pytest.approx(share)


def test_filters_of_large_networks_end_near_the_patterns_and_turned_ones_do_not(nets):
    large = nets.at(set="diverse", count=120)
    assert (large["angle"] < 0.5 * large["start_angle"]).all()
    assert large["start_angle"].mean() == pytest.approx(22.5, abs=0.7), "evenly spread over 0 ... 45 degrees"
    assert large["turned_angle"].mean() == pytest.approx(22.5, abs=0.7)


def test_patterns_are_detected_at_the_start_as_often_as_chance_has_it():
    many = Xord(counts=(1, 4, 8, 64), seeds=tuple(range(1000, 1200)))
    found = np.array([many.begun(count)["start_detected"].mean() for count in many.counts])
    expected = np.array([xord.cover_probability(count, 2) ** 2 for count in many.counts])
    assert found[0] == 0 and found[-1] == 1
    assert np.allclose(found, expected, atol=4 * (0.25 / 200) ** 0.5) and 0.1 < found[1] < found[2] < 0.8


def test_a_network_gets_its_rate_over_its_filters():
    one = Detection(counts=(5,), seeds=SEEDS[:2], steps=3, rate=0.2)
    start, end = one.trained("diverse", 5)
    x, y = one.points("diverse")
    assert torch.equal(end.weights, xord.train(start, x, y, 0.04, 3, margin=(8.0, 1.0)).weights)


def test_turned_filters_keep_their_length_and_each_has_an_angle_of_its_own():
    weights = xord.initial(SEEDS[:2], 4, 1.0)
    found = turned(weights, SEEDS[:2])
    assert torch.allclose(found.norm(dim=2), weights.norm(dim=2))
    turns = torch.view_as_complex(found) / torch.view_as_complex(weights)
    assert len({round(float(turn), 9) for turn in turns.angle().flatten()}) == 16
    assert torch.equal(turned(weights[1:], SEEDS[1:2])[0], found[1])


def test_angles_are_means_and_long_filters_count_more():
    weights = torch.tensor([[[3.0, 3.0], [0.0, 1.0]], [[0.0, 0.0], [2.0, 0.0]]], dtype=torch.float64)
    length = 3 * 2**0.5
    assert mean_angle(weights) == pytest.approx([22.5, 45])
    assert weighted_angle(weights) == pytest.approx([45 / (length + 1), 45])


def test_paths_begin_at_the_start_and_end_where_training_does(paths):
    assert PATHS.looked[0] == 0 and PATHS.looked[-1] == 150 and paths["looks"].tolist() == [*PATHS.looked]
    for count in PATHS.counts:
        start, end = PATHS.trained("diverse", count)
        own = paths.at(set="diverse", count=count)
        assert (
            np.array_equal(own["weights"][:, 0, : 2 * count], start)
            and np.isnan(own["weights"][:, :, 2 * count :]).all()
        )
        assert np.array_equal(own["weights"][:, -1, : 2 * count], end.weights)
        assert np.allclose(own["loss"][:, -1], end.loss)
        assert np.allclose(own["fresh_error"][:, -1], xord.fresh_error(end.weights, 5))
    assert (paths["loss"][..., 0] > 4).all() and ((paths["train_error"] == 0) | (paths["loss"] > 0)).all()


def test_unknown_sets_and_arms_are_refused():
    with pytest.raises(BadInput, match="set"):
        replace(XORD, sets=("divers",)).run()
    with pytest.raises(BadInput, match="arm"):
        replace(GOLDT, arms=("second",)).run()


# ---- students ----


def test_measured_errors_lie_about_the_exact_ones(noisy):
    z = (noisy["measured_error"] - noisy["error"][..., -1]) / noisy["measured_spread"]
    assert np.abs(z).max() < 5 and np.abs(z).max() > 0.1


def test_arms_differ_in_what_they_are_called_for(noisy):
    ends = {arm: noisy.at(arm=arm)["error"][..., -1] for arm in GOLDT.arms}
    assert (ends["both, no noise"] < ends["both"]).all()
    assert (ends["first"][:, 1] > ends["first"][:, 0]).all(), "each unit more adds noise (Goldt et al. 2019)"
    start = noisy["error"][..., 0]
    assert np.array_equal(start[:, 0], start[:, 2]) and not np.allclose(start[:, 0], start[:, 1])


def test_students_of_all_widths_are_those_of_each_alone(noisy):
    alone = replace(GOLDT, widths=(4,), arms=("both",))
    assert np.allclose(alone.run()["error"][:, 0, 0], noisy.at(arm="both", width=4)["error"], rtol=1e-6)


def test_a_student_that_is_its_teacher_matches_it_and_makes_no_error():
    taught = TIAN.taught()
    idle = replace(TIAN, widths=(2, 2), steps=0, times=1)
    both = Committee(torch.cat([taught.w, -taught.w]), torch.ones(8, 2).double(), "relu")
    same, opposite = (idle.width(place, both, both) for place in (0, 1))
    assert same["complete"].all() and (same["unmatched"] == 0).all() and (same["by_nearest"] == 2).all()
    assert (same["outgoing_matched"] == 1).all() and np.isnan(same["outgoing_unmatched"]).all()
    assert not opposite["complete"].any() and (opposite["matched"] == 0).all()
    odd = replace(idle, activation="erf").width(1, both, both)
    assert odd["complete"].all(), "the second layer can turn the sign of erf"


def test_wide_students_match_and_units_without_a_match_fade(lucky):
    wide = lucky.at(width=8)
    assert wide["complete"].all() and (wide["matched"] == 2).all()
    assert (wide["error"][:, -1] < 0.01 * wide["error"][:, 0]).all()
    counted = wide["unmatched"] > 0
    assert counted.any() and (wide["outgoing_unmatched"] < 0.6 * wide["outgoing_matched"])[counted].all()
    assert (lucky["by_nearest"] <= lucky["matched"]).all() and (lucky["matched"] <= 2).all()


def test_means_are_of_the_chosen_alone():
    values = torch.tensor([[1.0, 2.0, 6.0], [1.0, 1.0, 1.0]])
    found = mean_where(values, torch.tensor([[True, False, True], [False, False, False]]))
    assert found[0] == 3.5 and np.isnan(found[1])


def test_costs_grow_with_seeds_and_steps():
    for one in (XORD, PATHS, GOLDT, TIAN):
        assert replace(one, steps=2 * one.steps).cost == pytest.approx(2 * one.cost)
        assert one.with_seeds(range(1000)).cost > one.cost
    assert Students().looked[-1] == Students().steps
