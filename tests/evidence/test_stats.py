"""Statistics against hand-computed values, brute force and scipy as an independent oracle."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy import stats as oracle

from redlib.errors import BadInput
from redlib.evidence.stats import (
    bootstrap_interval,
    clopper_pearson,
    correlation_per_seed,
    holm,
    linear_r2,
    log2_ratio,
    mean_band,
    mean_interval,
    pseudo_values,
    rate_ratio,
    sign_flip_p,
    slope_per_seed,
    t_test_p,
    tost,
    tost_power,
    variance_ratio,
    weighted_mean,
    wilson,
    wilson_band,
    z_scores,
)

FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]  # mean 3, sd sqrt(2.5), error sqrt(.5)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_the_t_interval_of_five_values_is_the_one_computed_by_hand():
    interval = mean_interval(FIVE)
    half = 2.7764451052 * 0.5**0.5  # t(.975, 4) from a table
    assert (interval.estimate, interval.n, interval.level) == (3.0, 5, 0.95)
    assert interval.low == pytest.approx(3 - half, rel=1e-9)
    assert interval.high == pytest.approx(3 + half, rel=1e-9)
    assert (interval.high - interval.low) / 2 / np.std(FIVE, ddof=1) == pytest.approx(1.24, abs=0.005)


def test_the_t_interval_agrees_with_scipy_at_other_levels():
    expected = oracle.ttest_1samp(FIVE, 0).confidence_interval(0.8)
    interval = mean_interval(FIVE, level=0.8)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_one_value_has_an_infinite_interval_and_equal_values_one_of_zero_width():
    one, equal = mean_interval([0.3]), mean_interval([0.1, 0.1, 0.1])
    assert (one.estimate, one.low, one.high) == (0.3, -np.inf, np.inf)
    assert (equal.estimate, equal.low, equal.high) == (0.1, 0.1, 0.1)


@pytest.mark.parametrize("values, index", [([1.0, np.nan], 1), ([np.inf, 1.0], 0)])
def test_a_value_that_is_not_finite_is_named_by_its_index(values, index):
    with pytest.raises(BadInput, match=rf"values\[{index}\]"):
        mean_interval(values)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 3.0])
def test_values_must_be_one_non_empty_row(values):
    with pytest.raises(BadInput, match="shape"):
        mean_interval(values)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_is_a_fraction(level):
    with pytest.raises(BadInput, match="level"):
        mean_interval(FIVE, level)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_the_t_test_agrees_with_scipy(alternative):
    expected = oracle.ttest_1samp(FIVE, 2.5, alternative=alternative).pvalue
    assert t_test_p(FIVE, 2.5, alternative) == pytest.approx(expected)


def test_the_t_test_of_one_value_or_of_equal_values_is_decided_without_warnings():
    assert t_test_p([5.0], 0.0, "greater") == 1.0
    assert [t_test_p([2.0, 2.0], null, "greater") for null in (1.0, 2.0, 3.0)] == [0.0, 1.0, 1.0]
    assert t_test_p([2.0, 2.0], 3.0, "less") == t_test_p([2.0, 2.0], 1.0, "two-sided") == 0.0


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_sign_flips_are_enumerated_exactly(alternative):
    values = np.array([0.7, -0.2, 1.1, 0.2, -0.9, 0.4])
    sums = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in itertools.product([1, -1], repeat=6)]
    extreme = {"greater": lambda t: t, "less": lambda t: -t, "two-sided": abs}[alternative]
    expected = np.mean([extreme(t) >= extreme(values.sum()) - 1e-9 for t in sums])
    assert sign_flip_p(values, alternative) == expected


def test_five_positive_seeds_have_the_smallest_sign_flip_p_of_one_in_32():
    assert sign_flip_p([0.1, 0.2, 0.3, 0.1, 0.2], "greater") == 1 / 32
    assert sign_flip_p([0.1, 0.2, 0.3, 0.1, 0.2], "less") == 1.0
    assert sign_flip_p([-1.0, -2.0], "less") == 1 / 4


def test_twenty_seeds_are_enumerated_and_more_are_refused():
    assert sign_flip_p(np.ones(20), "greater") == 2.0**-20
    with pytest.raises(BadInput, match="at most 20"):
        sign_flip_p(np.ones(21))


def test_an_unknown_alternative_is_refused():
    with pytest.raises(BadInput, match="two-sided"):
        sign_flip_p(FIVE, "two_sided")


def test_the_equivalence_half_width_of_five_seeds_is_095_sd():
    interval = tost(FIVE, delta=1.0).interval90
    assert (interval.high - interval.low) / 2 / np.std(FIVE, ddof=1) == pytest.approx(0.953, abs=0.001)


@pytest.mark.parametrize("centre", [2.0, 3.0, 4.5])
def test_equivalence_is_two_one_sided_t_tests_around_the_centre(centre):
    result = tost(FIVE, delta=2.0, centre=centre)
    lower = oracle.ttest_1samp(FIVE, centre - 2.0, alternative="greater").pvalue
    upper = oracle.ttest_1samp(FIVE, centre + 2.0, alternative="less").pvalue
    assert result.p == pytest.approx(max(lower, upper))
    assert result.equivalent == (result.p < 0.05)


def test_the_power_of_equivalence_is_the_rate_at_which_simulated_experiments_find_it():
    rng, n, delta, repeats = np.random.default_rng(7), 5, 1.5, 40_000
    draws = rng.normal(size=(repeats, n))
    half = oracle.t.ppf(0.95, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
    rate = np.mean(np.abs(draws.mean(axis=1)) + half < delta)
    assert tost_power(1 / np.sqrt(n), n, delta) == pytest.approx(rate, abs=4 * np.sqrt(0.25 / repeats))


def test_the_power_reported_is_the_one_at_the_observed_sd():
    assert tost(FIVE, delta=2.5).power == pytest.approx(tost_power(0.5**0.5, 5, 2.5))
    assert tost(FIVE, delta=2.5, centre=40.0).power == tost(FIVE, delta=2.5).power


def test_power_grows_with_delta_from_zero_to_one():
    powers = [tost_power(1.0, 10, delta) for delta in (1e-6, 1.0, 3.0, 5.0, 1e6)]
    assert powers == sorted(powers)
    assert powers[0] < 1e-6 and powers[-1] == pytest.approx(1.0, abs=1e-6)


def test_equal_seeds_are_equivalent_with_certainty_and_a_single_seed_never_is():
    equal, one = tost([0.1] * 5, delta=0.2), tost([0.1], delta=0.2)
    assert (equal.equivalent, equal.p, equal.power) == (True, 0.0, 1.0)
    assert (one.equivalent, one.p, one.power) == (False, 1.0, 0.0)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf])
def test_equivalence_needs_a_positive_delta(delta):
    with pytest.raises(BadInput, match="delta"):
        tost(FIVE, delta)


def test_holm_multiplies_by_the_hypotheses_left_and_never_decreases():
    # sorted .01, .03, .04 -> .03, .06, max(.06, .04)
    assert holm({"c": 0.04, "a": 0.01, "b": 0.03}) == pytest.approx({"c": 0.06, "a": 0.03, "b": 0.06})
    assert list(holm({"c": 0.04, "a": 0.01})) == ["c", "a"]
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_probability(p):
    with pytest.raises(BadInput, match="'a'"):
        holm({"a": p})


def test_the_bootstrap_is_refused_below_eight_seeds_and_repeats_itself_above():
    values = np.random.default_rng(3).normal(size=40)
    first, again, t = bootstrap_interval(values), bootstrap_interval(values), mean_interval(values)
    assert first == again
    assert (first.low, first.high) == pytest.approx((t.low, t.high), abs=0.05)
    with pytest.raises(BadInput, match="at least 8"):
        bootstrap_interval(values[:7])


def test_the_bootstrap_of_equal_values_has_zero_width():
    interval = bootstrap_interval([2.0] * 9)
    assert (interval.low, interval.estimate, interval.high) == (2.0, 2.0, 2.0)


def test_the_bootstrap_takes_another_statistic():
    values = np.arange(15.0)
    interval = bootstrap_interval(values, np.median)
    assert interval.estimate == 7.0
    assert 2 < interval.low < 7 < interval.high < 12


def test_the_wilson_interval_is_the_one_of_its_formula():
    interval, z, p, n = wilson(3, 20), 1.959963984540054, 0.15, 20
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half))


def test_the_exact_interval_of_no_success_is_the_one_of_its_formula():
    interval = clopper_pearson(0, 10)
    assert (interval.estimate, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 10))


@pytest.mark.parametrize("successes, n", [(-1, 5), (6, 5), (0, 0)])
def test_a_proportion_needs_possible_counts(successes, n):
    with pytest.raises(BadInput, match="successes"):
        wilson(successes, n)


def test_slopes_are_found_for_each_seed_alone():
    x, slopes = np.array([0.0, 1.0, 3.0, 7.0]), np.array([2.0, -0.5, 0.0])
    assert slope_per_seed(x, slopes[:, None] * x + [[5.0], [1.0], [2.0]]) == pytest.approx(slopes)


def test_slopes_agree_with_scipy_on_noisy_points():
    x, y = np.array([1.0, 2.0, 4.0]), np.array([[0.3, 0.1, 0.9]])
    assert slope_per_seed(x, y)[0] == pytest.approx(oracle.linregress(x, y[0]).slope)


def test_a_censored_seed_has_no_slope_and_is_refused_unless_allowed():
    y = np.array([[1.0, 2.0], [1.0, np.nan]])
    assert np.array_equal(slope_per_seed([0.0, 1.0], y, allow_censored=True), [1.0, np.nan], equal_nan=True)
    with pytest.raises(BadInput, match=r"y\[1, 1\]"):
        slope_per_seed([0.0, 1.0], y)


@pytest.mark.parametrize("x, y", [([1.0, 1.0], [[1.0, 2.0]]), ([1.0, 2.0], [[1.0], [2.0]])])
def test_a_slope_needs_a_range_and_matching_shapes(x, y):
    with pytest.raises(BadInput):
        slope_per_seed(x, y)


def test_correlations_are_pearson_s_seed_by_seed_and_of_constants_nan():
    source = np.random.default_rng(0)
    a, b = source.standard_normal((2, 4, 9))
    assert correlation_per_seed(a, b) == pytest.approx(
        [oracle.pearsonr(x, y).statistic for x, y in zip(a, b, strict=True)]
    )
    assert np.isnan(correlation_per_seed(np.ones((1, 4)), np.arange(4.0)[None])).all()
    with pytest.raises(BadInput, match="shapes"):
        correlation_per_seed(a, b[:, :3])


def test_a_partial_correlation_leaves_out_what_the_third_explains():
    source = np.random.default_rng(0)
    third, own = source.standard_normal((2, 3, 400))
    a, b = 2 * third + own, -3 * third + own
    assert (correlation_per_seed(a, b) < -0.5).all() and (correlation_per_seed(a, b, third) > 0.99).all()
    r = {
        (i, k): np.corrcoef(x, y)[0, 1]
        for i, x in enumerate((a[0], b[0], third[0]))
        for k, y in enumerate((a[0], b[0], third[0]))
    }
    known = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert correlation_per_seed(a, b, third)[0] == pytest.approx(known)


def test_bands_are_t_intervals_of_the_seeds_that_have_a_curve():
    values = np.array([[1.0, 2, 4], [2, 2, 5], [np.nan, np.nan, np.nan], [4, 5, 5]])
    mean, low, high = mean_band(values)
    for place, column in enumerate(values[[0, 1, 3]].T):
        interval = mean_interval(column)
        assert (mean[place], low[place], high[place]) == pytest.approx((interval.estimate, interval.low, interval.high))


@pytest.mark.parametrize(("rows", "expected"), [([0, 2], [1, 2, 4]), ([2], [0, 0, 0])])
def test_one_curve_has_no_interval_and_no_curve_lies_at_zero(rows, expected):
    values = np.array([[1.0, 2, 4], [2, 2, 5], [np.nan, np.nan, np.nan]])
    mean, low, high = mean_band(values[rows])
    assert mean.tolist() == expected and np.isnan(low).all() and np.isnan(high).all()


def test_a_band_of_counts_has_wilsons_intervals_and_none_of_nothing():
    share, low, high = wilson_band([0, 3, 10], 10)
    assert share.tolist() == [0, 0.3, 1]
    assert [(a, b) for a, b in zip(low, high, strict=True)] == [
        (wilson(k, 10).low, wilson(k, 10).high) for k in (0, 3, 10)
    ]
    assert np.isnan(wilson_band([0, 0], 0)).all() and wilson_band([0, 0], 0).shape == (3, 2)


def test_what_has_no_weight_does_not_count_even_if_it_is_missing():
    values = np.array([[[1.0, 10], [3, 30]], [[np.nan, np.nan], [3, 30]], [[np.nan, np.nan]] * 2])
    found = weighted_mean(values, [[3, 1], [0, 1], [0, 0]], 1)
    assert found[:2].tolist() == [[1.5, 15], [3, 30]] and np.isnan(found[2]).all()
    assert np.isnan(weighted_mean([[np.nan, 1.0]], [[1, 1]], 1)).all(), "what counts must be there"


def test_the_rate_ratio_has_half_an_event_more_and_needs_five():
    sizes = [[[2000, 18_000]]]
    assert rate_ratio([[[9, 6]]], sizes) == pytest.approx((9.5 / 2000) / (6.5 / 18_000))
    assert np.isnan(rate_ratio([[[9, 4]]], sizes)).all() and np.isnan(rate_ratio([[[9, np.nan]]], sizes)).all()
    assert rate_ratio([[[0, 0]]], sizes, least=0) == pytest.approx(9), "half an event alone makes a ratio of sizes"


def test_the_rate_ratio_of_strata_is_that_of_mantel_and_haenszel():
    sizes, lost = np.array([[2000, 18_000], [1000, 19_000]]), np.array([[9, 6], [7, 3]]) + 0.25
    top = sum(lost[k, 0] * sizes[k, 1] / sizes[k].sum() for k in range(2))
    bottom = sum(lost[k, 1] * sizes[k, 0] / sizes[k].sum() for k in range(2))
    assert rate_ratio(lost[None] - 0.25, sizes[None]) == pytest.approx(top / bottom)


def test_pseudo_values_of_a_mean_are_the_values_and_of_a_variance_unbiased():
    values = np.array([[1.0, 2], [4, 0], [9, 1]])
    assert np.allclose(pseudo_values(lambda kept: float(kept.mean()), values), values.mean(1))
    assert pseudo_values(lambda kept: float(kept.var()), FIVE).mean() == pytest.approx(np.var(FIVE, ddof=1))


def test_the_variance_ratio_is_fishers():
    table = np.random.default_rng(0).normal(0, 1, (5, 4)) + np.arange(4)
    assert variance_ratio(table) == pytest.approx(oracle.f_oneway(*table.T).statistic)
    assert np.isnan(variance_ratio(table[:1])) and np.isnan(variance_ratio(np.ones((3, 4))))


def test_log_ratios_are_paired_over_the_seeds_that_both_have():
    assert log2_ratio([8.0, 2], [2, 2, 4]).tolist() == [2, 0] and np.isnan(log2_ratio([np.nan], [1.0])).all()


def test_a_line_has_r2_one_and_a_parabola_that_turns_none():
    assert linear_r2([5.0, 3, 1, -1]) == pytest.approx(1) and linear_r2([1.0, 0, 1]) == pytest.approx(0)
    assert np.isnan(linear_r2([2.0, 2, 2]))


def test_z_scores_are_means_in_standard_errors():
    values = np.array([[1.0, 2, 3], [4, 4, 7]])
    expected = oracle.ttest_1samp(values, 1.5, axis=1).statistic
    assert np.allclose(z_scores(values, 1.5), expected) and np.allclose(z_scores(values[0]), 2 * np.sqrt(3))
