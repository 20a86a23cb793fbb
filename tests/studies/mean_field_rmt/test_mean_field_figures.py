"""The lines that theory draws into the figures of the mean-field study, at values known otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from redlib.studies import mean_field_figures as figures
from redlib.studies.mean_field import Lab


def test_chi_of_a_gaussian_cut_by_magnitude_is_that_of_the_ledger():
    found = figures.chi_law(0.8 ** np.array([0, 3, 7, 14]), 1.4, 0.3)
    assert np.allclose(found, [1.003, 0.974, 0.825, 0.400], atol=2e-3)
    random = figures.chi_law(np.array([1.0, 0.51]), 1.4, 0.3, random=True)
    assert random[0] == pytest.approx(found[0]) and random[1] < found[1], "chance takes the variance with it"


def test_survivors_of_one_cut_at_a_fifth_have_the_standard_deviation_of_erratum_e9():
    assert figures.std_law(np.array([1.0, 0.2]), 1.4) == pytest.approx([1.4, 2.52], abs=0.01)


def test_correlations_stay_at_the_edge_s_fixed_point_and_rise_below_it():
    assert np.allclose(figures.correlation_law(Lab(), 1.0), 1)
    path = figures.correlation_law(Lab(sigma_w=1.0), 0.2)
    assert len(path) == 8 and path[0] == 0.2 and (np.diff(path) > 0).all()


def test_the_law_of_the_bulk_is_a_density_of_singular_values():
    values = np.random.default_rng(0).standard_normal((2, 1, 60, 120))
    singular = np.linalg.svd(values, compute_uv=False) / np.sqrt(120)
    results = {"sigma": np.ones((2, 1, 1)), "eigenvalues_0": singular**2}
    x, density = figures.bulk_law(results, 0, 120)
    assert np.trapezoid(density, x) == pytest.approx(1, abs=5e-3)
    assert x[0] == pytest.approx(1 - 0.5**0.5, abs=0.02) and x[-1] == pytest.approx(1 + 0.5**0.5, abs=0.02)
    heights = np.histogram(singular, np.linspace(0.2, 1.8, 9), density=True)[0]
    assert np.allclose(np.interp(np.linspace(0.3, 1.7, 8), x, density, 0, 0), heights, atol=0.25)


def test_parts_of_a_net_are_first_hidden_and_output_layer():
    values = np.arange(4.0)[None, None].repeat(2, 0)
    assert {name: part[0].item() for name, (part, _) in figures.by_part(values[:1]).items()} == {
        "first layer": 0, "hidden layers": 1.5, "output layer": 3,
    }  # fmt: skip
    assert figures.parting(0.8) == "from 80%" and figures.parting(np.nan) == "nowhere"
