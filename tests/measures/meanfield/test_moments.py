"""Gaussian means of activations against adaptive quadrature and limits."""

import math

import numpy as np
import pytest
from meanfield_oracles import ACTIVATIONS, PHI, SLOPE, adaptive, pair_by_quadrature

from redlib.measures import meanfield as mf
from redlib.measures.meanfield import moments


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_means_of_one_variable_equal_adaptive_quadrature(activation):
    q = np.geomspace(1e-3, 50, 9)
    squares = [adaptive(lambda z, s=s: PHI[activation](s * z) ** 2) for s in np.sqrt(q)]
    gains = [adaptive(lambda z, s=s: SLOPE[activation](s * z) ** 2) for s in np.sqrt(q)]
    assert mf.q_map(q, 1.3, 0.2, activation) == pytest.approx(1.69 * np.array(squares) + 0.04, rel=1e-11, abs=1e-12)
    assert mf.chi(q, 1.3, activation) == pytest.approx(1.69 * np.array(gains), rel=1e-11)


@pytest.mark.parametrize("activation", ["tanh", "relu", "erf"])
@pytest.mark.parametrize(("q", "other"), [(1e-3, 0.4), (0.8, 0.8), (50, 50), (50, 1e-3)])
def test_means_of_two_variables_equal_adaptive_quadrature(activation, q, other):
    for c in (-1, -0.7, 0.3, 0.999, 1):
        expected = pair_by_quadrature(PHI[activation], c, q, other)
        assert float(mf.MOMENTS[activation].pair(*map(np.asarray, (c, q, other)))) == pytest.approx(expected, abs=1e-10)
    expected = pair_by_quadrature(SLOPE[activation], 0.6, q, other)
    assert float(mf.MOMENTS[activation].pair_gain(*map(np.asarray, (0.6, q, other)))) == pytest.approx(
        expected, abs=1e-10
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equal_and_opposite_inputs_give_the_means_of_one_variable(activation):
    q, form = np.geomspace(1e-3, 50, 30), mf.MOMENTS[activation]
    equal, opposite = form.pair(np.ones(30), q, q), form.pair(-np.ones(30), q, q)
    assert equal == pytest.approx(form.square(q), rel=1e-11)
    assert form.pair_gain(np.ones(30), q, q) == pytest.approx(form.gain(q), rel=1e-10)
    assert opposite == pytest.approx(0 * q if activation == "relu" else -equal, abs=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_the_derivatives(activation):
    form, q, c = mf.MOMENTS[activation], np.geomspace(1e-2, 50, 8), np.full(8, 0.4)
    h = 1e-4 * q
    assert (form.square(q + h) - form.square(q - h)) / (2 * h) == pytest.approx(form.slope(q), rel=1e-6)
    by_c = (form.pair(c + 1e-4, q, q) - form.pair(c - 1e-4, q, q)) / 2e-4
    assert by_c == pytest.approx(q * form.pair_gain(c, q, q), rel=1e-6)
    assert np.all(np.diff(form.slope(np.geomspace(1e-4, 1e4, 400))) <= 1e-15)  # V is concave, which Newton relies on


def test_tanh_stays_exact_at_both_ends():
    small, large = np.array([0, 1e-12, 1e-8]), np.array([1e6, 1e9])
    assert mf.q_map(small, 1, 0) == pytest.approx(small - 2 * small**2, rel=1e-14, abs=0)
    assert mf.q_map(large, 1, 0) == pytest.approx(1 - np.sqrt(2 / math.pi / large), abs=1e-9)
    assert mf.chi(large, 1) == pytest.approx(4 / 3 / np.sqrt(2 * math.pi * large), rel=1e-5)
    assert float(mf.c_map(0.3, 2e3, 1, 0)) == pytest.approx(2 / math.pi * math.asin(0.3), abs=0.01)  # nearly a sign
    assert mf.q_map(np.ones((2, 3)), 1, 0).shape == (2, 3) and mf.q_map(np.ones((0,)), 1, 0).shape == (0,)


def test_blocks_do_not_show(monkeypatch):
    q = np.geomspace(1e-3, 50, 100).reshape(4, 25)
    whole = mf.q_map(q, 1.4, 0.3)
    monkeypatch.setattr(moments, "BLOCK", 7)
    assert np.array_equal(mf.q_map(q, 1.4, 0.3), whole)
