"""Colours, bands and the explorer's contents of the blurring study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redlib.evidence.stats import mean_interval
from redlib.report import plots
from redlib.report.blur_explorer import blur_twin
from redlib.studies import blurring as bl
from redlib.studies import blurring_figures as figures
from redlib.studies import blurring_statistics as bs
from redlib.studies.blurring_curves import groups

TINY = bl.Blurred(tests=20, epochs=1, batch=400, probe_every=1, sigmas=(0.1, 2.1), seeds=(1000, 1001))


@pytest.fixture(scope="module")
def main():
    return {k: bl.run(replace(TINY, every=k)) for k in (10, 100)}


def test_rates_above_the_transition_are_warm_and_solid_and_those_below_blue_and_dashed():
    seven = dict.fromkeys((10, 20, 50, 70, 80, 100, 125))
    found = figures.tints(seven)
    assert [found[k] for k in (10, 20, 50, 70)] == [(colour, "-") for colour in figures.WARM]
    assert [found[k] for k in (80, 100, 125)] == [(colour, "--") for colour in figures.COLD]
    assert figures.name(70) == "1 in 70" and {*figures.WARM, *figures.COLD} == set(plots.SHADES)


def test_bands_are_t_intervals_of_the_seeds_that_have_a_curve():
    values = np.array([[1.0, 2, 4], [2, 2, 5], [np.nan, np.nan, np.nan], [4, 5, 5]])
    mean, low, high = bs.band(values)
    for place, column in enumerate(values[[0, 1, 3]].T):
        interval = mean_interval(column)
        assert (mean[place], low[place], high[place]) == pytest.approx((interval.estimate, interval.low, interval.high))


@pytest.mark.parametrize(("rows", "expected"), [([0, 2], [1, 2, 4]), ([2], [0, 0, 0])])
def test_one_curve_has_no_interval_and_no_curve_lies_at_zero(rows, expected):
    values = np.array([[1.0, 2, 4], [2, 2, 5], [np.nan, np.nan, np.nan]])
    mean, low, high = bs.band(values[rows])
    assert mean.tolist() == expected and np.isnan(low).all() and np.isnan(high).all()


def test_the_explorer_shows_mislabelled_images_first_with_what_the_first_seed_decides(main):
    data = bl.dataset(TINY)
    shown = figures.explorer(main, data, (100, 2.1))
    rows = figures.pictures(main[100])
    wrong, others = figures.PICTURES
    assert groups(main[100])["mislabelled"][0][rows].tolist() == [True] * wrong + [False] * others
    assert shown["pixels"].shape == (2, wrong + others, 8, 8) and shown["sigmas"] == [0, 0.1, 2.1]
    assert np.array_equal(shown["predicted"][1], main[100]["train"][0][:, rows])
    assert np.array_equal(shown["pixels"][1], data.train.x[rows][:, 0])
    assert np.array_equal(shown["told"][1] != shown["true"][1], [True] * wrong + [False] * others)
    assert "1 in 100" in blur_twin(**shown)
