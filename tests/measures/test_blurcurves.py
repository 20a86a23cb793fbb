"""Curves of decisions against blur: rates by hand, areas and slopes of lines, roughness against its null."""

import numpy as np
import pytest
from scipy import stats

from redlib.errors import BadInput
from redlib.measures.blurcurves import (
    area,
    changed_rate,
    height_at,
    last_fall,
    matched_counts,
    percent_changed,
    roughness,
    roughness_null,
    roughness_p,
    roughness_parts,
    slope,
)

PRED = np.array([[0, 1, 2, 2], [0, 2, 2, 0], [1, 1, 0, 0]])  # 3 strengths, 4 images
ASSIGNED = np.array([0, 1, 2, 0])
SIGMAS = np.array([0.3, 0.5, 1.0, 2.0, 4.0, 9.0])


def test_rates_are_shares_of_images_at_each_strength():
    assert changed_rate(PRED, ASSIGNED).tolist() == [0.25, 0.25, 0.5]
    assert changed_rate(PRED, PRED[0]).tolist() == [0, 0.5, 0.75]


def test_rates_in_a_group_count_only_its_images():
    group = np.array([True, False, False, True])
    assert changed_rate(PRED, ASSIGNED, group).tolist() == [0.5, 0, 0.5]
    assert changed_rate(PRED, PRED[0], group).tolist() == [0, 0.5, 1]
    assert changed_rate(PRED, PRED[0], ~group).tolist() == [0, 0.5, 0.5]


def test_every_seed_has_its_own_unblurred_decisions_and_group():
    seeds = np.stack([PRED, PRED[::-1]])
    groups = np.array([[True] * 4, [True, False, False, False]])
    expected = np.stack([changed_rate(PRED, PRED[0]), [0, 1, 1]])
    np.testing.assert_array_equal(changed_rate(seeds, seeds[:, 0], groups), expected)
    np.testing.assert_array_equal(changed_rate(seeds, ASSIGNED)[1], changed_rate(PRED, ASSIGNED)[::-1])


@pytest.mark.parametrize("low, high", [(0.3, 9.0), (0.7, 1.6), (1.0, 4.0), (0.3, 0.4), (5.0, 9.0)])
def test_the_area_under_a_line_is_its_height_in_the_middle(low, high):
    lines = np.stack([2 * SIGMAS - 1, -SIGMAS])
    centre = (low + high) / 2
    np.testing.assert_allclose(area(lines, SIGMAS, low, high), [2 * centre - 1, -centre], atol=1e-14)


def test_the_area_is_that_of_trapezoids_between_the_points():
    heights = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 5.0])
    # From 0.75 (height 0.5) up to 1 at sigma 1, and down to 0.5 at sigma 1.5.
    assert area(heights, SIGMAS, 0.75, 1.5) == pytest.approx((0.25 * 0.75 + 0.5 * 0.75) / 0.75)
    assert area(heights, SIGMAS, 4, 9) == 2.5


def test_the_slope_is_that_of_the_points_inside_the_range():
    heights = np.array([7.0, 1.0, 1.5, 2.5, 4.0, -3.0])
    expected = stats.linregress(SIGMAS[1:5], heights[1:5]).slope
    for low, high in ((0.5, 4.0), (0.4, 8.9)):
        found = slope(np.stack([heights, 2 * heights]), SIGMAS, low, high)
        np.testing.assert_allclose(found, [expected, 2 * expected])


def test_roughness_is_the_sum_of_squared_second_differences():
    assert roughness([0, 0, 1, 0, 3]) == 1 + 4 + 16
    np.testing.assert_allclose(roughness(np.stack([np.arange(6.0), np.arange(6.0) ** 2])), [0, 16])


# Two classes whose images change at other strengths; 3 of class 1 to 1 of class 0 in the group.
LABELS = np.repeat([0, 1], [40, 60])
CHANGED = np.random.default_rng(0).random((8, 100)) < np.where(LABELS == 0, 0.1, 0.8)
COUNTS = [5, 15]
MEMBERS = [np.arange(40), np.arange(40, 100)]


def test_the_null_is_that_of_random_subsets_with_the_same_classes():
    null = roughness_null(CHANGED, LABELS, COUNTS, 2000, 1)
    source, expected = np.random.default_rng(5), []
    for _ in range(2000):
        chosen = [source.choice(MEMBERS[c], COUNTS[c], replace=False) for c in (0, 1)]
        expected.append(roughness(CHANGED[:, np.concatenate(chosen)].mean(1)))
    assert null.shape == (2000,)
    assert stats.ks_2samp(null, expected).pvalue > 0.001
    with_repetition = [roughness(CHANGED[:, source.choice(100, 20)].mean(1)) for _ in range(2000)]
    assert stats.ks_2samp(null, with_repetition).pvalue < 0.001


def test_a_large_pool_is_drawn_from_evenly():
    half = np.arange(3000) < 1500
    null = roughness_null(np.stack([half, ~half, half]), np.zeros(3000, int), [900], 2000, 0)
    shares = (1 + np.sqrt(null) / 2) / 2  # from (1 - s) up or down to s and back: 4 (2 s - 1)²
    more = stats.hypergeom(3000, 1500, 900).rvs(2000, random_state=1) / 900
    assert stats.ks_2samp(shares, np.maximum(more, 1 - more)).pvalue > 0.001


def test_a_subset_of_the_whole_pool_is_the_pool():
    null = roughness_null(CHANGED, LABELS, [40, 60], 5, 0)
    np.testing.assert_allclose(null, roughness(CHANGED.mean(1)), rtol=1e-12)
    only = roughness_null(CHANGED, LABELS, [0, 60], 3, 0)
    np.testing.assert_allclose(only, roughness(CHANGED[:, 40:].mean(1)), rtol=1e-12)


def test_the_null_depends_on_the_seed_alone():
    first, again, other = (roughness_null(CHANGED, LABELS, COUNTS, 50, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_smaller_groups_are_rougher_by_chance():
    small, large = (roughness_null(CHANGED, LABELS, counts, 200, 0).mean() for counts in ([2, 3], [20, 30]))
    assert small > 5 * large


def test_p_counts_the_observed_curve_among_the_draws():
    null = np.arange(1.0, 100.0)
    assert [roughness_p(observed, null) for observed in (200, 99, 98.5, 0)] == [0.01, 0.02, 0.02, 1]


def test_p_is_uniform_where_the_group_is_a_random_subset():
    source, found = np.random.default_rng(2), []
    for repeat in range(200):
        chosen = np.concatenate([source.choice(MEMBERS[c], COUNTS[c], replace=False) for c in (0, 1)])
        null = roughness_null(CHANGED, LABELS, COUNTS, 99, repeat)
        found.append(roughness_p(float(roughness(CHANGED[:, chosen].mean(1))), null))
    assert stats.kstest(found, "uniform").pvalue > 0.001


LINE = SIGMAS.copy()


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: changed_rate(PRED, PRED[0][:3]), "pred0.*n = 4"),
        (lambda: changed_rate(PRED, PRED[0], [True]), "among.*n = 4"),
        (lambda: changed_rate(PRED, PRED[0], [0, 1, 1, 1]), "bool"),
        (lambda: changed_rate(PRED, PRED[0], np.zeros(4, bool)), "0 image"),
        (lambda: changed_rate(PRED[:, :0], PRED[0][:0]), "0 image"),
        (lambda: changed_rate(np.stack([PRED] * 2), ASSIGNED, np.array([[True] * 4, [False] * 4])), "0 image"),
        (lambda: area(LINE, SIGMAS, 0.2, 4), "0.3 <= low < high <= 9"),
        (lambda: area(LINE, SIGMAS, 1, 9.1), "0.3 <= low < high <= 9"),
        (lambda: area(LINE, SIGMAS, 2, 2), "low < high"),
        (lambda: area(LINE[:5], SIGMAS, 1, 2), "rising"),
        (lambda: slope(LINE, SIGMAS[::-1], 1, 2), "rising"),
        (lambda: slope(LINE, SIGMAS, 0.6, 1.9), "at least 2"),
        (lambda: roughness([1.0, 2.0]), "S >= 3"),
        (lambda: roughness_null(CHANGED, LABELS, [41, 0], 5, 0), r"0 to \[40, 60\]"),
        (lambda: roughness_null(CHANGED, LABELS, [1, 1, 1], 5, 0), "counts"),
        (lambda: roughness_null(CHANGED, LABELS, [0, 0], 5, 0), "not all 0"),
        (lambda: roughness_null(CHANGED, LABELS, [-1, 5], 5, 0), "counts"),
        (lambda: roughness_null(CHANGED, LABELS, COUNTS, 0, 0), "draws >= 1"),
        (lambda: roughness_null(CHANGED, LABELS[1:], COUNTS, 5, 0), "one label per image"),
        (lambda: roughness_null(CHANGED.astype(int), LABELS, COUNTS, 5, 0), r"bool \[S, n\]"),
        (lambda: roughness_p(1.0, []), "finite"),
        (lambda: roughness_p(float("nan"), [1.0]), "finite"),
    ],
)
def test_bad_input_is_named_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()


def test_percentages_are_missing_where_a_group_is_empty():
    seeds = np.stack([PRED, PRED[::-1]])
    among = np.array([[True, False, False, True], [False] * 4])
    found = percent_changed(seeds, ASSIGNED, among)
    assert found[0].tolist() == [50, 0, 50] and np.isnan(found[1]).all()
    assert np.isnan(percent_changed(seeds, ASSIGNED, False)).all()
    assert np.array_equal(percent_changed(seeds, seeds[:, 0], True), 100 * changed_rate(seeds, seeds[:, 0]))
    assert np.array_equal(percent_changed(seeds[:, None], ASSIGNED, among[:, None])[:, 0], found, equal_nan=True)


def test_heights_are_read_between_points_of_rising_and_falling_places():
    x, curve = np.array([4.0, 2.0, 1.0]), np.array([[100.0, 80, 0], [50, 50, 10]])
    assert height_at(curve, x, 3.0).tolist() == [90, 50] and height_at(curve, x, 1.5).tolist() == [40, 30]
    assert height_at(curve[:, ::-1], x[::-1], 3.0).tolist() == [90, 50] and height_at(curve[0], x, 2.0) == 80
    assert np.isnan(height_at(curve, x, 5.0)).all()


def test_a_curve_falls_for_good_after_the_last_point_that_reaches_the_least():
    x = np.array([4.0, 3.0, 2.0, 1.0])
    curves = [[100, 100, 98, 0], [98, 100, 98, 0], [90, 98, 98, 0], [100, 100, 99, 99]]
    assert last_fall(curves, x, 99).tolist() == pytest.approx([2.5, 2.5, np.nan, np.nan], nan_ok=True)


def test_roughness_is_its_shape_and_chance():
    noise = np.random.default_rng(0)
    erratic = np.zeros((6, 4000))
    erratic[1:] = 100 * (noise.random((5, 4000)) < 0.3)  # a flat curve but for its first point
    shape, chance = roughness_parts(erratic)
    assert shape + chance / 4000 == pytest.approx(float(roughness(erratic.mean(1))))
    # Variance .21 a point; second differences of 5 independent points and a fixed one: 3·6 + 5 = 23 of them.
    assert chance == pytest.approx(1e4 * 0.21 * 23, rel=0.05)
    assert shape == pytest.approx(30.0**2, rel=0.15), "a step from 0 to 30 points"
    assert np.isnan(roughness_parts(erratic[:, :1])).all()


def test_a_group_is_matched_by_class_as_far_as_the_pool_goes():
    assert matched_counts([0, 2, 2, 3], [0, 0, 2, 3, 3, 1]).tolist() == [1, 0, 1, 1]
    assert matched_counts([], [1, 1]).tolist() == [0, 0]
