"""The dip against linear programming, its test against the samples it is made of, and the gap at zero."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from redlib.errors import BadInput
from redlib.measures.dip import density_at_zero, dip, dip_p


def distance_from_unimodal(sample):
    """Return the dip by linear programming: for each mode the nearest distribution convex before, concave after."""
    x, steps = np.unique(sample, return_counts=True)
    n, best, reached = len(x), 1.0, steps.cumsum() / len(sample)
    before = reached - steps / len(sample)
    for mode in range(n):
        rows, bounds = [], []

        def add(terms, bound, rows=rows, bounds=bounds):
            row = np.zeros(n + 2)  # the values at x (from the left, at the mode), that from its right, the distance
            for position, factor in terms:
                row[position] += factor
            rows.append(row), bounds.append(bound)

        def right(i, mode=mode):
            return n if i == mode else i

        def slope(i, after, sign, mode=mode):
            first = right(i) if after else i
            return [(i + 1, sign / (x[i + 1] - x[i])), (first, -sign / (x[i + 1] - x[i]))]

        for i in range(n):
            add([(i, 1), (n + 1, -1)], before[i])
            add([(right(i), -1), (n + 1, -1)], -reached[i])
        add([(mode, -1), (n + 1, -1)], -before[mode])
        add([(n, 1), (n + 1, -1)], reached[mode])
        add([(mode, 1), (n, -1)], 0)
        for i in range(n - 1):
            add([(right(i), 1), (i + 1, -1)], 0)
        for i in range(mode - 1):
            add(slope(i, False, 1) + slope(i + 1, False, -1), 0)
        for i in range(mode, n - 2):
            add(slope(i, True, -1) + slope(i + 1, True, 1), 0)
        limits = [(0, 1)] * (n + 1) + [(0, None)]
        found = linprog(np.eye(n + 2)[-1], np.array(rows), bounds, bounds=limits)
        best = min(best, found.fun) if found.status == 0 else best
    return max(best, 1 / (2 * len(sample)))


def test_equal_values_are_one_step():
    source = np.random.default_rng(1)
    for size in range(4, 10):
        for spread in (1, 3):
            sample = np.round(spread * source.standard_normal(size))
            if len(set(sample)) > 1:
                assert dip(sample) == pytest.approx(distance_from_unimodal(sample), abs=1e-7), sample
    assert dip(np.repeat([0.0, 1.0], 10)) == 0.25 and dip(np.ones(10)) == dip(np.repeat([0.0, 1.0], [1, 9])) == 1 / 20


def test_the_dip_is_the_distance_from_the_nearest_unimodal_distribution():
    source = np.random.default_rng(0)
    for size in (4, 5, 6, 7, 8, 9):
        for sample in (source.random(size), np.concatenate([source.normal(-2, 0.3, size), source.normal(2, 0.3, 2)])):
            assert dip(sample) == pytest.approx(distance_from_unimodal(sample), abs=1e-7)
    assert dip(np.arange(10.0)) == pytest.approx(1 / 20), "evenly spaced: half a step, the least there is"
    assert dip(np.concatenate([np.arange(50) / 100, 10 + np.arange(50) / 100])) == pytest.approx(0.25, abs=0.02)


def test_p_is_large_for_one_mode_and_the_least_for_two():
    source = np.random.default_rng(0)
    one, flat = source.standard_normal(300), source.random(500)
    two = np.concatenate([source.normal(-2, 0.3, 150), source.normal(2, 0.3, 150)])
    dips, sizes = np.array([[dip(one), dip(two), dip(flat)]]), np.array([300, 300, 500])
    p = dip_p(dips, sizes, draws=99)
    assert p.shape == (1, 3) and p[0, 0] > 0.5 and p[0, 1] == 0.01 and 0.05 < p[0, 2] < 0.95
    assert np.array_equal(dip_p(dips, sizes, draws=99), p), "one null for all"


def test_density_at_zero_tells_one_peak_from_two():
    source = np.random.default_rng(0)
    one = source.standard_normal(5000)
    two = np.concatenate([one[:2500] - 4, one[2500:] + 4])
    flat = density_at_zero(np.stack([one, two, np.zeros(5000)]))
    assert flat[0] > 0.85 and flat[1] < 0.02 and np.isnan(flat[2])


def test_nan_has_no_modes_and_no_p_value():
    for measure in (dip, lambda values: density_at_zero(values[None])):
        with pytest.raises(BadInput, match="finite"):
            measure(np.array([0.1, np.nan, 0.4]))
    p = dip_p(np.array([np.nan, 0.25]), np.array([100, 100]), draws=9)
    assert np.isnan(p[0]) and p[1] == 0.1
