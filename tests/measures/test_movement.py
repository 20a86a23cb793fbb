"""Movement of kept and cut weights on tiny arrays, and the selection null against all permutations."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis

from redlib.errors import BadInput
from redlib.measures import movement as move

INITIAL = np.array([[1.0, -1.0, 2.0, 0.5, -0.25]])
FINAL = np.array([[3.0, -4.0, 2.5, 0.25, 0.75]])  # moves 2, 3, 0.5, 0.25, 1
KEPT = np.array([[True, True, True, False, False]])


def largest(values, count):
    mask = np.zeros(values.shape, bool)
    np.put_along_axis(mask, np.argsort(-np.abs(values), 1)[:, :count], True, 1)
    return mask


def layers(replicates=40, weights=400, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(replicates, weights)), 0.5 * draw.normal(size=(replicates, weights))


def test_the_ratio_is_median_over_median():
    assert move.movement_ratio(INITIAL, FINAL, KEPT) == pytest.approx([2 / 0.625])


def test_matrices_and_tensors_count_as_flat_layers():
    initial, final, kept = (np.tile(a[:, 1:], (2, 1)).reshape(2, 2, 2) for a in (INITIAL, FINAL, KEPT))
    found = move.movement_ratio(torch.from_numpy(initial), torch.from_numpy(final), torch.from_numpy(kept))
    assert found == pytest.approx([1.75 / 0.625] * 2)


def test_weights_that_did_not_take_part_do_not_count():
    within = np.array([[False, True, True, True, False]])
    kept = KEPT & within
    expected = [1.75 / 0.25]
    assert move.movement_ratio(INITIAL, FINAL, kept, within) == pytest.approx(expected)
    null = move.selection_null(INITIAL, FINAL, 2, [7], 20, within=within)
    alone = move.selection_null(INITIAL[:, 1:4], FINAL[:, 1:4], 2, [7], 20)
    np.testing.assert_array_equal(null, alone)
    grew = move.away_from_zero(INITIAL, FINAL, kept, within)
    np.testing.assert_array_equal(grew, move.away_from_zero(INITIAL[:, 1:4], FINAL[:, 1:4], kept[:, 1:4]))


def test_the_null_is_the_ratio_over_all_permutations_of_the_movements():
    initial, ratios = INITIAL + [[0.01, 0.02, 0.04, 0.08, 0.16]], []  # no two sums tie
    for moves in permutations((FINAL - initial)[0]):
        end = initial + np.array([moves])
        ratios.append(move.movement_ratio(initial, end, largest(end, 2))[0])
    null = move.selection_null(initial, FINAL, 2, [7], 3000)[0]
    assert {*np.round(null, 9)} == {*np.round(ratios, 9)}
    assert abs(null.mean() - np.mean(ratios)) < 4 * np.std(ratios) / 3000**0.5


def test_selection_alone_makes_kept_weights_look_fast_and_the_null_says_so():
    initial, delta = layers()
    final = initial + delta
    ratio = move.movement_ratio(initial, final, largest(final, 80))
    below = move.share_of_null_below(ratio, move.selection_null(initial, final, 80, list(range(40)), 99))
    assert (ratio > 1).all()  # the raw claim holds although no weight was special
    assert abs(below.mean() - 0.5) < 4 * (1 / 12 / 40) ** 0.5 and below.std() > 0.15


def test_movement_tied_to_the_weight_exceeds_the_null():
    initial, delta = layers(5)
    final = initial + np.sign(initial) * np.abs(initial * delta)
    ratio = move.movement_ratio(initial, final, largest(final, 80))
    below = move.share_of_null_below(ratio, move.selection_null(initial, final, [80] * 5, list(range(5)), 99))
    assert below.tolist() == [1] * 5


def test_null_draws_belong_to_their_seed_and_layer():
    initial, delta = layers(2, 30)
    both = move.selection_null(initial, initial + delta, 6, [5, 6], 8)
    np.testing.assert_array_equal(both[1:], move.selection_null(initial[1:], (initial + delta)[1:], 6, [6], 8))
    assert not np.array_equal(both, move.selection_null(initial, initial + delta, 6, [5, 6], 8, key=1))


def test_ties_with_the_null_are_not_below_it():
    assert move.share_of_null_below([2.0, 0.0], [[1, 2, 3, 4], [1, 2, 3, 4]]).tolist() == [0.25, 0]


def test_growth_of_magnitude_ignores_the_sign():
    kept, cut = move.away_from_zero(INITIAL, FINAL, KEPT)
    assert (kept.tolist(), cut.tolist()) == ([1.0], [0.5])  # -0.25 -> 0.75 grew, 0.5 -> 0.25 did not


def test_without_kept_or_cut_weights_there_is_no_ratio():
    full = np.ones((1, 5), bool)
    assert np.isnan(move.movement_ratio(INITIAL, FINAL, full)).all()
    assert np.isnan(move.movement_ratio(INITIAL, FINAL, ~full)).all()
    kept, cut = move.away_from_zero(INITIAL, FINAL, full)
    assert kept.tolist() == [0.8] and np.isnan(cut).all()


def test_cut_weights_that_stood_still_are_refused():
    with pytest.raises(BadInput, match="trained before the cut"):
        move.movement_ratio(INITIAL, np.where(KEPT, FINAL, INITIAL), KEPT)


def test_excess_kurtosis_is_that_of_the_textbook():
    signs = np.tile([1.0, -1.0], 50)
    rare = np.zeros(100)
    rare[:10] = 1  # Bernoulli(p): (1 - 6p(1-p)) / (p(1-p))
    assert move.excess_kurtosis([signs, rare]) == pytest.approx([-2, (1 - 0.54) / 0.09])
    values = np.random.default_rng(1).laplace(size=(3, 4, 50))
    np.testing.assert_allclose(move.excess_kurtosis(values), kurtosis(values.reshape(3, -1), axis=1))
    np.testing.assert_allclose(move.excess_kurtosis(7 * values + 3), move.excess_kurtosis(values))
    assert np.isnan(move.excess_kurtosis(np.full((1, 10), 0.1))).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: move.movement_ratio(INITIAL, FINAL[:, :4], KEPT), "shape of final"),
        (lambda: move.movement_ratio(INITIAL[0], FINAL[0], KEPT), "shape"),
        (lambda: move.movement_ratio(INITIAL, FINAL, KEPT * 1.0), "mask"),
        (lambda: move.movement_ratio(INITIAL, FINAL, KEPT[:, :4]), "mask"),
        (lambda: move.movement_ratio(INITIAL, FINAL, KEPT, ~KEPT), "outside `within`"),
        (lambda: move.movement_ratio(INITIAL, FINAL, KEPT, KEPT[:, :4]), "within"),
        (lambda: move.selection_null(INITIAL, FINAL, 5, [7], 3), "kept = 5"),
        (lambda: move.selection_null(INITIAL, FINAL, 2, [7, 8], 3), "seeds"),
        (lambda: move.selection_null(INITIAL, FINAL, 2, [7], 0), "draws"),
        (lambda: move.share_of_null_below([1.0, 2.0], [[1.0, 2.0]]), "shapes"),
        (lambda: move.share_of_null_below([np.nan], [[1.0, 2.0]]), "NaN"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


@pytest.mark.parametrize("where", ["initial", "final"])
def test_nan_weights_are_no_weights_that_did_not_grow(where):
    bad = {"initial": INITIAL, "final": FINAL} | {where: np.where(np.arange(5) == 1, np.nan, FINAL)}
    for measure in (move.away_from_zero, move.movement_ratio):
        with pytest.raises(BadInput, match="nan or inf"):
            measure(bad["initial"], bad["final"], KEPT)
    with pytest.raises(BadInput, match="nan or inf"):
        move.excess_kurtosis(bad[where])


def test_a_modules_own_weight_has_no_replicates():
    with pytest.raises(BadInput, match="replicate axis"):
        move.excess_kurtosis(torch.nn.Linear(4, 3).weight)
