"""Constant, line or step: each wins on its own data, and chance splits happen as often as theory says."""

import itertools

import numpy as np
import pytest
from scipy import stats

from redlib.errors import BadInput
from redlib.measures.changepoint import PARAMETERS, bootstrap_break, compare, single_run_split_probability

X = np.log([0.8, 1.0, 1.25, 1.43, 2.0, 5.0, 10.0])
STEP = np.array([0.0] * 3 + [3.0] * 4)  # between 1.25 and 1.43
RATES = {"low": [0, 1, 2], "high": [3, 4, 5, 6]}


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
    assert found.height == pytest.approx(3, abs=5 * 0.5 * np.sqrt(1 / 18 + 1 / 24))
    assert compare(X, noisy(0, -STEP, spread=0.5)).height < -2


@pytest.mark.parametrize("at", range(1, 7))
def test_every_break_can_be_found(at):
    means = np.where(np.arange(7) < at, 1.0, 0.0)
    found = compare(X, noisy(at, means, spread=0.05))
    assert found.break_at == pytest.approx((X[at - 1] + X[at]) / 2) and found.height == pytest.approx(-1, abs=0.1)


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


@pytest.mark.parametrize("size", [0.0, 1.0, 2.5])
def test_two_rates_differ_by_chance_as_two_normal_draws_do(size):
    # Only two seeds, so that a missing variance correction would show: the spread would be 0.71 of the true one.
    values = np.random.default_rng(0).normal(0, 1, (2, 50_000)) + np.linspace(0, 100, 50_000)
    found = single_run_split_probability(values, [0], [1], size, 100_000, 0)
    assert found == pytest.approx(2 * stats.norm.sf(size / np.sqrt(2)), abs=0.01)


def test_a_split_of_given_sides_at_size_zero_is_one_of_all_orders():
    # Of the 35 equally likely choices of the 3 lowest of 7, one is the claimed side, and one of the 3 highest.
    found = single_run_split_probability(noisy(1, STEP, 4000), **RATES, size=0, draws=40_000, seed=0)
    sides = len(list(itertools.combinations(range(7), 3)))
    assert found == pytest.approx(2 / sides, abs=5 * np.sqrt(2 / sides / 40_000))


def test_a_split_is_rarer_the_larger_it_must_be_and_scales_with_the_spread():
    values = noisy(2, STEP)
    found = [single_run_split_probability(values, **RATES, size=size, draws=4000, seed=0) for size in (0.0, 0.5, 9.0)]
    assert found[0] > found[1] > found[2] == 0
    assert single_run_split_probability(10 * values, **RATES, size=5.0, draws=4000, seed=0) == found[1]


def test_one_side_must_be_wholly_above_the_other():
    # Residuals are ±1 only: with two low rates and one high one, a gap of 2 needs both low ones at the other end.
    values = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]) / np.sqrt(2)
    found = single_run_split_probability(values, [0, 1], [2], 1.9, 40_000, 0)
    assert found == pytest.approx(1 / 4, abs=0.02)


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
        (lambda: single_run_split_probability(GOOD[:1], [0], [1], 1, 10, 0), "at least 2"),
        (lambda: single_run_split_probability(GOOD, [0], [1], -1, 10, 0), "size >= 0"),
        (lambda: single_run_split_probability(GOOD, [0], [1], float("nan"), 10, 0), "size >= 0"),
        (lambda: single_run_split_probability(GOOD, [], [1], 1, 10, 0), "non-empty"),
        (lambda: single_run_split_probability(GOOD, [0, 1], [1], 1, 10, 0), "disjoint"),
        (lambda: single_run_split_probability(GOOD, [0], [7], 1, 10, 0), "0..6"),
    ],
)
def test_bad_input_is_named_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()
