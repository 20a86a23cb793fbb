"""Constant, line or step: each wins on its own data, and chance splits happen as often as theory says."""

import itertools

import numpy as np
import pytest
from scipy import stats

from redlib.errors import BadInput
from redlib.measures.changepoint import (
    PARAMETERS,
    best_of_each,
    best_on_noise,
    bootstrap_break,
    break_shares,
    compare,
    single_run_split_probability,
)

X = np.log([0.8, 1.0, 1.25, 1.43, 2.0, 5.0, 10.0])
STEP = np.array([0.0] * 3 + [3.0] * 4)  # between 1.25 and 1.43


def noisy(seed, means, seeds=6, spread=1.0):
    return means + np.random.default_rng(seed).normal(0, spread, (seeds, len(means)))


def direct(x, values, model):
    """Return n ln(RSS/n) + p ln n with the residuals of a design matrix fitted to all S·K values."""
    columns = [np.ones(len(x))] + ([x] if model == "linear" else [])
    designs = [columns] if model != "step" else [[x < at, x >= at] for at in x[1:]]
    squares = []
    for design in designs:
        matrix = np.tile(np.array(design, float).T, (len(values), 1))
        fit = matrix @ np.linalg.lstsq(matrix, values.ravel(), rcond=None)[0]
        squares.append(((values.ravel() - fit) ** 2).sum())
    return values.size * np.log(min(squares) / values.size) + PARAMETERS[model] * np.log(values.size)


@pytest.mark.parametrize("means", [X, STEP, 0 * X], ids=["line", "step", "noise"])
@pytest.mark.parametrize("seed", range(5))
def test_the_criteria_are_those_of_least_squares_on_all_values(means, seed):
    values = noisy(seed, means)
    found = compare(X, values).bic
    assert found == pytest.approx({name: direct(X, values, name) for name in ("constant", "linear", "step")})


def test_the_break_counts_as_a_parameter_and_so_does_the_variance():
    assert PARAMETERS == {"constant": 2, "linear": 3, "step": 4}


def test_a_step_wins_on_a_step_and_is_found_where_it_is():
    found = compare(X, noisy(0, STEP, spread=0.5))
    assert found.best == "step"
    assert found.break_at == pytest.approx(np.log([1.25, 1.43]).mean())


@pytest.mark.parametrize("at", range(1, 7))
def test_every_break_can_be_found(at):
    means = np.where(np.arange(7) < at, 1.0, 0.0)
    found = compare(X, noisy(at, means, spread=0.05))
    assert found.break_at == pytest.approx((X[at - 1] + X[at]) / 2)


def test_the_step_of_the_largest_gap_is_not_always_the_best_one():
    # The largest jump is at the end, but two equal halves leave smaller squares.
    means = np.array([0.0, 0.0, 0.0, 1.0, 1.0, -0.2])
    found = compare(np.arange(6), np.tile(means, (2, 1)))
    squares = [sum(((part - part.mean()) ** 2).sum() for part in (means[:b], means[b:])) for b in range(1, 6)]
    assert found.break_at == np.argmin(squares) + 0.5 != 4.5


def test_a_line_wins_on_a_line():
    assert compare(X, noisy(0, 2 * X, spread=0.5)).best == "linear"


def test_a_constant_mostly_wins_on_noise():
    best = [compare(X, noisy(seed, 0 * X)).best for seed in range(300)]
    assert best.count("constant") > 0.8 * 300
    assert best.count("step") > 0


def test_data_without_noise_are_compared_up_to_rounding():
    assert compare(X, np.tile(STEP, (2, 1))).best == "step"
    assert compare(X, np.tile(2 * X + 5, (2, 1))).best == "linear"
    assert compare(X, np.full((2, 7), 0.9)).best == "constant"
    assert np.isfinite(list(compare(X, np.zeros((2, 7))).bic.values())).all()


def test_the_break_is_resampled_over_whole_seeds():
    # Two seeds with different steps: a resample holds one of them alone (1/4 each) or both (1/2, the sum of both).
    values = np.array([[0, 0, 0, 4.0], [0, 3.0, 3.0, 3.0]])
    x = np.array([1.0, 2, 3, 4])
    own = {compare(x, np.stack([row, row])).break_at for row in values}
    both = compare(x, values).break_at
    found = bootstrap_break(x, values, 4000, 0)
    assert own == {3.5, 1.5} and both == 3.5
    # Binomial(4000, 1/4): standard deviation 27.4
    assert found.shape == (4000,) and set(found) == own and abs((found == 1.5).sum() - 1000) < 5 * 27.4


def test_the_bootstrap_depends_on_its_seed_and_gathers_at_a_clear_break():
    values = noisy(3, STEP, spread=0.3)
    assert (bootstrap_break(X, values, 200, 0) == compare(X, values).break_at).all()
    vague = noisy(3, STEP / 4)
    draws = [bootstrap_break(X, vague, 200, seed) for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    assert len(set(draws[0])) > 1


# Two seeds that differ by 2/√2: with the variance corrected for the means taken off, all residuals are +1 or -1.
COIN = np.array([[1.0] * 3, [-1.0] * 3]) / np.sqrt(2)


@pytest.mark.parametrize(("places", "size", "expected"), [(2, 1.9, 1 / 2), (2, 2.1, 0), (3, 1.9, 1 / 4)])
def test_one_side_must_be_wholly_above_the_other(places, size, expected):
    # Two runs differ in half of the cases; two low rates and one high one are apart if both are at the other end.
    found = single_run_split_probability(COIN[:, :places], [places - 1], size, 40_000, 0)
    assert found == pytest.approx(expected, abs=0.02 * (expected > 0))


@pytest.mark.parametrize("size", [0.0, 1.0, 2.5])
def test_two_rates_differ_by_chance_as_two_normal_draws_do(size):
    values = np.random.default_rng(0).normal(0, 1, (50_000, 2)) + [0, 100]
    found = single_run_split_probability(values, [1], size, 100_000, 0)
    assert found == pytest.approx(2 * stats.norm.sf(size / np.sqrt(2)), abs=0.01)


def apart(order, below):
    """Say if the places below and those above are sorted apart, for ranks in the order of the places."""
    return any(set(order[:count]) in ({*range(count)}, {*range(7 - count, 7)}) for count in below)


@pytest.mark.parametrize("below", [[3], [2, 3, 4, 5], [1, 2, 3, 4, 5, 6]])
def test_a_split_at_size_zero_is_one_of_all_orders(below):
    orders = list(itertools.permutations(range(7)))
    expected = np.mean([apart(order, below) for order in orders])
    found = single_run_split_probability(noisy(1, STEP, 4000), below, 0, 40_000, 0)
    assert found == pytest.approx(expected, abs=5 * np.sqrt(expected / 40_000))


def test_a_split_is_rarer_the_larger_it_must_be_and_scales_with_the_spread():
    values = noisy(2, STEP)
    found = [single_run_split_probability(values, [3], size, 4000, 0) for size in (0.0, 0.5, 9.0)]
    assert found[0] > found[1] > found[2] == 0
    assert single_run_split_probability(10 * values, [3], 5.0, 4000, 0) == found[1]


def test_a_trend_splits_more_often_and_a_steep_one_always():
    values = noisy(2, STEP)
    found = [single_run_split_probability(values, [3], 0.5, 4000, 0, height * X) for height in (0, 1, 1000)]
    assert found[0] < found[1] < found[2] == 1


def test_on_noise_a_step_is_best_more_often_than_its_criterion_suggests_when_values_are_few():
    few = best_on_noise(X, 1000, 0)
    assert sum(few.values()) == pytest.approx(1) and 0.3 < few["step"] < 0.5
    assert best_on_noise(np.arange(200.0), 100, 0)["constant"] > 0.7


GOOD = noisy(0, STEP)


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: compare(X[:2], GOOD[:, :2]), "K >= 3"),
        (lambda: compare(X[::-1], GOOD), "rising"),
        (lambda: compare(X[:6], GOOD), "sort the columns"),
        (lambda: compare(X, GOOD[0]), r"finite numbers \[S, K\]"),
        (lambda: compare(X, np.where(GOOD > 3, np.nan, GOOD)), "failed run"),
        (lambda: bootstrap_break(X, GOOD[:1], 10, 0), "at least 2"),
        (lambda: bootstrap_break(X, GOOD, 0, 0), "draws >= 1"),
        (lambda: single_run_split_probability(GOOD[:1], [3], 1, 10, 0), "at least 2"),
        (lambda: single_run_split_probability(GOOD, [3], -1, 10, 0), "size >= 0"),
        (lambda: single_run_split_probability(GOOD, [3], float("nan"), 10, 0), "size >= 0"),
        (lambda: single_run_split_probability(GOOD, [], 1, 10, 0), "1 to 6"),
        (lambda: single_run_split_probability(GOOD, [3, 7], 1, 10, 0), "1 to 6"),
        (lambda: single_run_split_probability(GOOD, [0], 1, 10, 0), "1 to 6"),
    ],
)
def test_bad_input_is_named_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()


def test_each_row_is_judged_alone():
    rows = np.stack([STEP, X, STEP]) + noisy(0, 0 * X, 3, 0.01)
    assert best_of_each(X, rows) == {"constant": 0, "linear": 1, "step": 2}


def test_shares_of_breaks_say_between_which_places_the_step_lies():
    values = noisy(1, STEP)
    shares, found = break_shares(X, values, 500, 0), bootstrap_break(X, values, 500, 0)
    assert shares.shape == (6,) and shares.sum() == pytest.approx(1)
    assert shares.tolist() == [((found > a) & (found < b)).mean() for a, b in itertools.pairwise(X)]
    assert shares.argmax() == 2 and not break_shares(X, values[:1], 500, 0).any(), "one seed cannot be resampled"
