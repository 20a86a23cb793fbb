"""Peaks: flat noise shows none, real ones are found, and intervals cover wherever the data chose a place."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy import stats as oracle

from redlib.errors import BadInput
from redlib.evidence.peaks import (
    falls_through,
    grid_steps,
    judged_best,
    judges,
    rises_through,
    split_epochwise,
    split_peak,
    threshold_width,
)
from redlib.evidence.stats import mean_interval

WIDTHS = np.array([2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512])  # the 13 widths of the laptop sweep
FLAT = np.zeros(13)
FALL = np.linspace(8, 0, 13)
HILL = np.array([9, 7, 5, 4, 4, 5, 7, 9, 7, 4, 3, 2, 2.0])  # valley at 8, peak at 32
TRUTHS = {"flat": FLAT, "falling": FALL, "peaked": 0.3 * HILL}  # the peak is 1.5 standard deviations high
LEVEL, DRAWS = 0.95, 2500
BY_CHANCE = 3.45 * (LEVEL * (1 - LEVEL) / DRAWS) ** 0.5  # 1.5 points; of 40 such tests one in 40 failures is by chance


def found(left, right):
    return mean_interval(left).low > 0 and mean_interval(right).low > 0


def split_finds(err, locate=split_peak, grid=WIDTHS):
    peak = locate(err, grid)
    return found(peak.height_left, peak.height_right)


def own_places_find(err):
    """The method that fools itself: every seed chooses its own peak and minimum, then measures them."""
    inner, before = err[:, 1:-1], np.minimum.accumulate(err, axis=1)[:, :-2]
    seeds, place = np.arange(len(err)), np.argmax(np.minimum(inner - before, inner - err[:, -1:]), axis=1)
    return found((inner - before)[seeds, place], inner[seeds, place] - err[:, -1])


def rate(finds, truth, seeds, noise=1.0, experiments=500, walk=False):
    steps = np.random.default_rng(20).normal(size=(experiments, seeds, len(truth))) * noise
    return np.mean([finds(truth + (e.cumsum(axis=1) if walk else e)) for e in steps])


@pytest.mark.parametrize("seeds", [5, 10])
def test_a_flat_curve_yields_a_false_peak_in_at_most_5_percent_of_cases(seeds):
    assert rate(split_finds, FLAT, seeds) <= 0.05


@pytest.mark.parametrize("seeds", [5, 10])
def test_places_chosen_by_the_seeds_they_are_measured_on_fake_a_peak_in_over_20_percent(seeds):
    assert rate(own_places_find, FLAT, seeds) > 0.20


@pytest.mark.parametrize("truth", [FALL, np.r_[np.linspace(9, 0, 6), np.zeros(7)]])
def test_a_falling_or_levelling_curve_yields_a_false_peak_in_at_most_5_percent_of_cases(truth):
    assert rate(split_finds, truth, 5) <= 0.05


@pytest.mark.parametrize("seeds", [5, 10])
def test_a_real_peak_is_found_in_over_90_percent_of_cases(seeds):
    assert rate(split_finds, HILL, seeds) > 0.90


@pytest.mark.parametrize("walk", [False, True])
def test_noise_along_training_yields_a_false_second_descent_in_at_most_5_percent_of_cases(walk):
    def finds(err):
        return split_finds(err, split_epochwise)

    assert rate(finds, FLAT, 5, walk=walk) <= 0.05


# ---- coverage ----


def curves_of(truth, seeds, draws=DRAWS):
    """Return error curves [draws, seeds, W] as nets have them: each seed has its level, neighbours go together."""
    source = np.random.default_rng(seeds)
    together = 0.6 ** np.abs(np.subtract.outer(np.arange(len(truth)), np.arange(len(truth))))
    noise = source.standard_normal((draws, seeds, len(truth))) @ np.linalg.cholesky(together).T
    return truth + noise + source.standard_normal((draws, seeds, 1))


def coverage(values, truth):
    """Return how often the t interval of values [draws, S], `mean_interval`'s, covers the truth [draws] or a number."""
    count = values.shape[1]
    half = oracle.t.ppf((1 + LEVEL) / 2, count - 1) * values.std(1, ddof=1) / count**0.5
    return np.mean(np.abs(values.mean(1) - truth) <= half)


@lru_cache
def peaks_of(truth, seeds):
    return [split_peak(curves, WIDTHS) for curves in curves_of(TRUTHS[truth], seeds)]


@pytest.mark.parametrize("seeds", [5, 10, 20])
@pytest.mark.parametrize("truth", TRUTHS)
def test_intervals_of_heights_cover_those_of_the_true_curve_at_the_chosen_places(truth, seeds):
    peaks, truth = peaks_of(truth, seeds), TRUTHS[truth]
    true = dict(zip(WIDTHS.tolist(), truth.tolist(), strict=True))
    left = np.array([true[p.n_peak] - true[p.n_valley] for p in peaks])
    right = np.array([true[p.n_peak] - true[p.n_right] for p in peaks])
    covered = [
        coverage(np.stack([p.height_left for p in peaks]), left),
        coverage(np.stack([p.height_right for p in peaks]), right),
    ]
    assert covered == pytest.approx([LEVEL] * 2, abs=BY_CHANCE)


@pytest.mark.parametrize("seeds", [5, 10, 20])
@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_intervals_of_the_best_level_cover_its_true_gain(truth, seeds):
    accuracy = curves_of(-truth, seeds)
    gains, true = accuracy[..., 1:] - accuracy[..., :1], truth[0] - truth[1:]
    chosen = gains[:, judges(seeds) :].mean(1).argmax(1)
    best = np.stack([judged_best(each) for each in gains])
    assert coverage(best, true[chosen]) == pytest.approx(LEVEL, abs=BY_CHANCE)


def test_two_arms_without_a_difference_gain_as_often_as_chance_has_it():
    one, other = (np.stack([peak.height_left for peak in peaks_of("flat", seeds)]) for seeds in (5, 10))
    assert coverage(one - other[:, : one.shape[1]], 0) == pytest.approx(LEVEL, abs=BY_CHANCE)


# ---- places and heights ----


def test_the_last_third_of_the_seeds_chooses():
    assert [judges(seeds) for seeds in (1, 2, 3, 5, 10, 20)] == [1, 1, 2, 4, 7, 14]


def test_a_noiseless_hill_is_measured_exactly():
    peak = split_peak(np.tile(HILL, (4, 1)), WIDTHS)
    assert (peak.n_valley, peak.n_peak, peak.n_right) == (8, 32, 512)
    assert peak.first_fall.tolist() == [5.0] * 3  # 9 - 4, of the three judges
    assert peak.height_left.tolist() == [5.0] * 3  # 9 - 4
    assert peak.height_right.tolist() == [7.0] * 3  # 9 - 2
    assert peak.peak_per_seed.tolist() == [32] * 4


def test_a_seed_is_measured_where_the_last_ones_chose():
    judge, chooser = [5, 1, 4, 2, 0], [5, 3, 1, 6, 2.0]  # peaks at positions 2 and 3, valleys at 1 and 2
    peak = split_peak([judge, judge, chooser], [10, 20, 30, 40, 50])
    assert (peak.n_valley, peak.n_peak, peak.n_right) == (30, 40, 50)
    assert peak.first_fall.tolist() == [5 - 4] * 2
    assert peak.height_left.tolist() == [2 - 4] * 2
    assert peak.height_right.tolist() == [2 - 0] * 2


def test_a_seeds_own_peak_lies_at_the_vertex_of_a_parabola_in_grid_steps():
    curves = [[9, 0, 3, 4, 1.0], [9, 0, 4, 4, 1.0], [9, 6, 5, 4, 3.0]]  # the last one only falls
    peak = split_peak(curves, [1, 2, 4, 8, 16])
    assert peak.peak_per_seed == pytest.approx([8 * 2**-0.25, 4 * 2**0.5, peak.n_peak])
    assert grid_steps(peak.peak_per_seed, peak.grid)[:2] == pytest.approx([2.75, 2.5])


@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_intervals_of_peaks_cover_their_mean_place_also_where_all_seeds_tie_on_the_grid(seeds):
    steps = np.arange(13)
    hill = 30 * np.exp(-(((steps - 6.2) / 2) ** 2) / 2)
    curves = curves_of(hill, seeds)
    assert np.mean(curves.argmax(2) == 6) > 0.95, "on the grid most intervals would have no width"
    places = np.log2([split_peak(each, 2.0**steps).peak_per_seed for each in curves])
    assert coverage(places, places.mean()) == pytest.approx(LEVEL, abs=BY_CHANCE)
    assert places.mean() == pytest.approx(6.2, abs=0.02)


@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_intervals_of_thresholds_cover_their_mean_also_where_all_seeds_tie_on_the_grid(seeds):
    steps = np.arange(13)
    fits = 7.5 + 0.2 * np.random.default_rng(seeds).standard_normal((DRAWS, seeds, 1))  # in grid steps
    assert np.mean(np.ceil(fits) == 8) > 0.95
    places = np.log2([threshold_width(0.02 * 2.0 ** (each - steps), 2.0**steps, 0.02) for each in fits])
    assert coverage(places, places.mean()) == pytest.approx(LEVEL, abs=BY_CHANCE)


def test_one_seed_chooses_and_judges_and_two_share_the_work():
    assert judged_best([[1.0, 3, 2]]).tolist() == [3]
    assert judged_best([[1.0, 3, 2], [5.0, 0, 6]]).tolist() == [2]
    assert judged_best([[1.0, 3, 2], [4, 4, 5], [5.0, 6, 0]]).tolist() == [3, 4]


def test_the_peak_is_interior_even_where_the_ends_are_higher():
    peak = split_peak([[9, 1, 3, 2, 8.0]] * 3, range(5))
    assert peak.n_peak == 2
    assert peak.height_right.tolist() == [3 - 8, 3 - 8]


def test_a_shoulder_of_the_first_descent_is_no_peak_although_it_is_higher():
    peak = split_peak([[5, 4.5, 0, 3, 1.0]] * 3, range(5))
    assert peak.n_peak == 3
    assert peak.height_left.tolist() == [3, 3]


def test_the_second_fall_goes_to_the_later_minimum_where_that_is_below_the_end():
    err = [[8, 4, 6, 7, 3, 5.0]] * 3
    epochwise, modelwise = split_epochwise(err, range(6)), split_peak(err, range(6))
    assert epochwise.n_right == 4 and epochwise.height_right.tolist() == [4, 4]
    assert modelwise.n_right == 5 and modelwise.height_right.tolist() == [2, 2]
    assert epochwise.height_left.tolist() == [3, 3] and epochwise.n_valley == 1


def test_the_threshold_lies_where_the_error_falls_to_eps_and_is_censored_where_it_never_does():
    error = [[0.5, 0.02, 0.0, 0.03], [0.0, 0.0, 0.0, 0.0], [0.5, 0.4, 0.3, 0.2], [0.5, 0.03, 0.01, 0.0]]
    expected = [8, 4, np.nan, 8 * 2**0.5]
    assert np.allclose(threshold_width(error, [4, 8, 16, 32], eps=0.02), expected, equal_nan=True)
    assert threshold_width([[0.5, 0.1, 0.0]], [0, 10, 30], eps=0.0).tolist() == [30], (
        "an error of 0 is no matter of degree"
    )


@pytest.mark.parametrize("seeds, widths, grid", [
    (1, 5, range(5)),  # nobody to judge
    (4, 2, range(2)),  # no interior
    (4, 5, range(6)),  # shapes differ
    (4, 5, [1, 2, 2, 3, 4]),  # not increasing
])  # fmt: skip
def test_curves_that_cannot_show_a_peak_are_refused(seeds, widths, grid):
    with pytest.raises(BadInput):
        split_peak(np.zeros((seeds, widths)), grid)


def test_a_missing_error_is_named_by_its_index_and_a_foot_by_its_name():
    err = np.zeros((2, 4))
    with pytest.raises(BadInput, match="'end' or 'minimum'"):
        split_peak(err, range(4), right="last")
    err[1, 3] = np.nan
    with pytest.raises(BadInput, match=r"error\[1, 3\]"):
        split_peak(err, range(4))


def test_a_curve_falls_through_a_level_log_linearly_between_points():
    curves = [[0.9, 0.7, 0.3, 0.1], [0.4, 0.3, 0.2, 0.1], [0.9, 0.9, 0.8, 0.6], [0.9, 0.5, 0.4, 0.9]]
    assert falls_through(curves, (4, 8, 16, 32), 0.5) == pytest.approx([8 * 2**0.5, 4, 32, 8])
    assert falls_through(np.array([curves]), (4, 8, 16, 32), 0.5).shape == (1, 4)


def test_a_curve_rises_through_a_level_log_linearly_where_the_grid_has_both_sides():
    assert rises_through([0, 0, 0.2], [25, 100, 400], 0.1) == pytest.approx(200)
    assert rises_through([0, 0.1, 0.3, 0.0], [1, 2, 4, 8], 0.1) == pytest.approx(2), "the level itself is not above"
    assert np.isnan(rises_through([0.2, 0.3], [1, 2], 0.1)) and np.isnan(rises_through([0, 0.05], [1, 2], 0.1))
