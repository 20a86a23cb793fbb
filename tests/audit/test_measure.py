"""Intervals of a null hold one more draw of it as often as they say."""

import math

import numpy as np
import pytest

from redlib.audit import measure
from redlib.data.streams import rng


def test_an_interval_holds_one_more_draw_at_its_level():
    draws = rng(1000, "noise").standard_normal((1000, 8))
    found = [measure.against_draws(row[0], row[1:], 0.05, "", "") for row in draws]
    assert np.mean([one.beyond != 0 for one in found]) == pytest.approx(0.05, abs=0.02)


def test_a_count_is_beyond_chance_no_more_often_than_the_level():
    draws = rng(1000, "noise", 1).poisson(0.4, (1000, 9))
    found = [measure.against_counts(int(row[0]), row[1:].tolist(), 0.02, "", "") for row in draws]
    share = np.mean([one.beyond for one in found])
    assert 0 < share < 0.02
    assert measure.against_counts(40, [0, 1, 0] * 5, 1e-4, "", "").redundant


def test_the_side_of_redundancy():
    low = measure.against_draws(1.0, [5.0, 6.0, 5.5, 5.2, 5.8], 0.01, "Rank", "noise", -1)
    assert low.beyond == -1 and low.redundant and "1, below chance (5.5 in noise; " in low.says
    high = measure.against_draws(11.0, [5.0, 6.0, 5.5, 5.2, 5.8], 0.01, "Rank", "noise", -1)
    assert high.beyond == 1 and not high.redundant
    assert not measure.against_draws(11.0, [5.0, 6.0, 5.5, 5.2, 5.8], 0.01, "Rank", "noise").redundant


def test_what_is_not_finite_has_no_interval():
    for value, draws in ((math.nan, [1.0, 2.0]), (1.0, [math.inf, 2.0])):
        assert math.isnan(measure.against_draws(value, draws, 0.01, "", "").low)
    assert measure.alone(math.nan, "Tail", "too short").says == "Tail: none (too short)."


def test_equal_counts_have_some_width_all_the_same():
    found = measure.against_draws(61, [60, 60, 60, 60, 60, 60], 1e-3, "", "", whole=True)
    assert found.beyond == 0 and found.low < 59


def test_levels_share_half_of_the_family():
    assert measure.level_of(10, 5) * 50 + measure.level_of(1, 3) * 3 == pytest.approx(measure.FAMILY)


def test_a_share_stays_within_two_laws():
    uniform = measure.share_against(0.01 / 3**0.5, 10**6, 0.01 / 3**0.5, 0.00798, 1e-3, "", "")
    assert uniform.beyond == 0
    assert measure.share_against(0.009, 10**6, 0.01 / 3**0.5, 0.00798, 1e-3, "", "").redundant


def test_an_interval_ends_where_the_number_must_and_the_verdict_stays():
    wide = measure.against_counts(8, [2, 14, 9, 16, 5], 1e-3, "Units, of 16", "twins")
    cut = measure.within(wide, 0, 16)
    assert wide.high > 16 and cut.high == 16 and cut.low == 0 and "0 to 16)" in cut.says and cut.what == "Units, of 16"
    assert (cut.value, cut.null, cut.beyond) == (wide.value, wide.null, 0)
    low = measure.against_draws(1.0, [5.0, 6.0, 5.5, 5.2, 5.8], 0.01, "Rank", "noise", -1)
    assert measure.within(low, 1, 5.7).redundant and measure.within(low, 1, 5.7).high == 5.7
    rounded = measure.against_draws(16.001, [14.0, 18.0, 12.0, 17.0], 0.01, "Rank", "noise")
    assert measure.within(rounded, 0, 16) == rounded, "the cut would put it beyond chance"
    assert measure.within(measure.alone(math.nan, "Tail"), 0, 1) == measure.alone(math.nan, "Tail")
