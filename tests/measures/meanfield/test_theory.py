"""Maps, fixed points and phases against closed forms, published numbers and their own iteration."""

import math

import numpy as np
import pytest
from meanfield_oracles import density, normal, pair_by_quadrature
from scipy.integrate import quad

from redlib.errors import BadInput
from redlib.measures import meanfield as mf


@pytest.mark.parametrize(
    ("sigma_w", "sigma_b", "q", "chi"),
    [
        (1.4, 0.3, 0.77127, 1.00266),  # the slides' setting
        (1.4, 0.3 / 16, 0.591, 1.0996),  # as the slides write it, with the bias divided by √256
        (1.0, 0.3, None, 0.70),  # orthogonal weights
        (1.0, 0.3 / 16, None, 0.974),
    ],
)
def test_tanh_nets_of_the_slides(sigma_w, sigma_b, q, chi):
    assert q is None or float(mf.q_fixed_point(sigma_w, sigma_b)) == pytest.approx(q, abs=5e-6 if q > 0.6 else 5e-4)
    assert float(mf.chi_1(sigma_w, sigma_b)) == pytest.approx(chi, abs=6e-6 if chi == 1.00266 else 3e-3)


def test_edge_of_chaos_of_tanh():
    assert float(mf.edge_of_chaos(0.3)) == pytest.approx(1.39558, abs=5e-6)
    assert float(mf.edge_of_chaos(0.3 / 16)) == pytest.approx(1.064, abs=5e-4)
    assert float(mf.edge_of_chaos(0)) == 1


@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_on_the_edge_chi_is_one_and_depth_without_limit(activation):
    b = np.array([1e-3, 0.05, 0.3, 1, 3])
    w = mf.edge_of_chaos(b, activation)
    assert np.all(np.diff(w) > 0)
    assert mf.chi_1(w, b, activation) == pytest.approx(1, abs=1e-10)
    assert np.all(mf.chi_1(0.99 * w, b, activation) < 1) and np.all(mf.chi_1(1.01 * w, b, activation) > 1)
    assert np.all(mf.depth_scales(w, b, activation)[1] > 1e9)
    near = [mf.depth_scales((1 + d) * w, b, activation)[1] for d in (-0.1, -0.01, -0.001, 0.001, 0.01, 0.1)]
    assert np.all(np.diff(near, axis=0)[:2] > 0) and np.all(np.diff(near, axis=0)[3:] < 0)
    assert float(mf.edge_of_chaos(0, "erf")) == pytest.approx(math.sqrt(math.pi) / 2)


@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_fixed_points_are_fixed_and_drawn_to(activation):
    w, b = np.meshgrid(np.linspace(0, 4, 10), np.linspace(0, 2, 10))
    q = mf.q_fixed_point(w, b, activation)
    assert mf.q_map(q, w, b, activation) == pytest.approx(q, abs=1e-10)
    assert np.all(np.diff(q, axis=0) >= 0) and np.all(np.diff(q, axis=1) >= 0)  # Poole et al. 2016, fig. 1
    start = np.full_like(q, 1e-2)
    for _ in range(300):
        start = mf.q_map(start, w, b, activation)
    assert start == pytest.approx(q, abs=2e-3)  # slow where sigma_b = 0 and sigma_w is near 1
    assert float(mf.q_fixed_point(1, 0)) == 0 and float(mf.q_fixed_point(1.001, 0)) > 0


def test_relu_and_linear_have_affine_maps():
    assert mf.q_map([0, 3], 1.2, 0.5, "linear") == pytest.approx([0.25, 1.44 * 3 + 0.25], rel=1e-15)
    assert mf.q_map([0, 3], 1.2, 0.5, "relu") == pytest.approx([0.25, 0.72 * 3 + 0.25], rel=1e-15)
    assert mf.chi_1([0.5, 1, 1.9], 0.4, "relu") == pytest.approx([0.125, 0.5, 1.805], rel=1e-15)
    assert mf.q_fixed_point([0.5, 1], 0.4, "relu") == pytest.approx([0.16 / 0.875, 0.32], rel=1e-15)
    assert mf.edge_of_chaos([0, 0], "relu") == pytest.approx(math.sqrt(2)) and float(mf.edge_of_chaos(0, "linear")) == 1
    assert float(mf.depth_scales(1, 0.3, "relu")[1]) == pytest.approx(1 / math.log(2))
    q = mf.q_fixed_point([math.sqrt(2), math.sqrt(2), 1.5], [0, 0.1, 0], "relu")
    assert np.isnan(q[0]) and np.isinf(q[1:]).all()  # every q is fixed; q grows by 0.01 a layer; q grows by 1.125
    assert np.isinf(mf.depth_scales(math.sqrt(2), 0, "relu")).all()
    assert np.isnan(mf.depth_scales(1.5, 0.1, "relu")).all()


def test_correlations_of_the_chaotic_phase_go_below_one():
    w, b = np.array([2.5, 1.5, 1.2, 4, 1.39]), np.array([0.3, 0.05, 0.3, 0, 0.3])
    c, q = mf.c_fixed_point(w, b), mf.q_fixed_point(w, b)
    assert mf.c_map(c, q, w, b) == pytest.approx(c, abs=1e-10)
    assert np.all((c[:2] > 0.01) & (c[:2] < 0.95)) and c[2:].tolist() == [1, 0, 1]
    iterated = np.full(3, 0.5)
    for _ in range(250):
        iterated = mf.c_map(iterated, q[:3], w[:3], b[:3])
    assert iterated == pytest.approx(c[:3], abs=1e-6)
    assert 0.98 < float(mf.c_fixed_point(1.4, 0.3)) < 1  # barely chaotic
    assert mf.c_fixed_point(np.linspace(1.1, 6, 30), 0) == pytest.approx(0, abs=1e-12)


def test_depth_scales_are_the_rates_at_which_maps_converge():
    for w, b in [(1.3, 0.3), (2.5, 0.3)]:
        xi_q, xi_c = mf.depth_scales(w, b)
        q, c = mf.q_fixed_point(w, b), mf.c_fixed_point(w, b)
        off = 1e-5
        assert (mf.q_map(q + off, w, b) - q) / off == pytest.approx(math.exp(-1 / xi_q), rel=1e-4)
        assert (mf.c_map(c - off, q, w, b) - c) / -off == pytest.approx(math.exp(-1 / xi_c), rel=1e-3)


def test_c_map_goes_from_layer_to_layer_as_poole_defines_it():
    q, other = 0.3, 2.0
    covariance = 1.96 * pair_by_quadrature(np.tanh, 0.4, q, other) + 0.09
    expected = covariance / math.sqrt(mf.q_map(q, 1.4, 0.3) * mf.q_map(other, 1.4, 0.3))
    assert float(mf.c_map(0.4, q, 1.4, 0.3, other_q=other)) == pytest.approx(expected, abs=1e-10)
    assert mf.c_map([-1, 1], q, 1.4, 0) == pytest.approx([-1, 1], abs=1e-12)
    assert np.isnan(mf.c_map(0.5, 0, 1.4, 0))
    assert float(mf.c_map(0.5, 3, 2, 1, "linear")) == pytest.approx((4 * 1.5 + 1) / 13)


def test_profiles_start_linear_and_take_a_sigma_per_layer():
    w, b = np.array([1.1, 0.9, 1.7]), np.array([0.1, 0.2, 0.3])
    q = [mf.q_map(2, 1.1, 0.1, "linear")]
    q += [mf.q_map(q[0], 0.9, 0.2)]
    q += [mf.q_map(q[1], 1.7, 0.3)]
    assert mf.q_profile(2, w, b) == pytest.approx(np.array(q), rel=1e-15)
    assert mf.q_profile(np.full((4, 5), 2.0), w, b)[3, 4] == pytest.approx(np.array(q))
    assert mf.q_profile(1, np.full(200, 1.4), 0.3)[-1] == pytest.approx(0.77127, abs=1e-5)


def test_skips_add_variances(draw):
    assert float(mf.resnet_q_map(2, 1.1, 0.3, "linear")) == pytest.approx(2 + 1.21 * (1.21 * 2 + 0.09) + 0.09)
    h, expected, width = normal(draw, 4, 16, 512), 1.0, 512
    for _ in range(4):
        first, second = (1.4 * normal(draw, 4, width, width) / width**0.5 for _ in range(2))
        inner = h.tanh() @ first + 0.3 * normal(draw, 4, 1, width)
        h = h + inner.tanh() @ second + 0.3 * normal(draw, 4, 1, width)
        grown = float(mf.resnet_q_map(expected, 1.4, 0.3))
        assert grown > expected and float(h.square().mean()) == pytest.approx(grown, rel=0.05)
        expected = grown


def test_magnitude_pruning_keeps_the_second_moment_of_the_note():
    assert mf.magnitude_second_moment([0.51, 0.2, 0.04]) == pytest.approx([0.933, 0.650, 0.239], abs=6e-4)
    rounds = [1, 0.8, 0.64, 0.512, 0.8**7, 0.8**14]
    assert mf.magnitude_second_moment(rounds) == pytest.approx([1, 0.996, 0.975, 0.934, 0.665, 0.255], abs=6e-4)
    kept = quad(lambda w: w**2 * density(w), 1, 12)[0] * 2
    assert float(mf.magnitude_second_moment(math.erfc(1 / math.sqrt(2)))) == pytest.approx(kept, rel=1e-10)


def test_pruned_nets_leave_the_edge_as_the_note_says():
    share = mf.magnitude_second_moment(np.array([0.51, 0.2, 0.04]))
    w = 1.4 * np.sqrt(share)
    assert mf.q_fixed_point(w, 0.3) == pytest.approx([0.690, 0.388, 0.143], abs=6e-4)
    assert mf.chi_1(w, 0.3) == pytest.approx([0.973, 0.814, 0.376], abs=6e-4)
    naive = 1.4 * np.sqrt(mf.magnitude_second_moment(0.8) / 0.8)
    assert float(mf.q_fixed_point(naive, 0.3)) == pytest.approx(1.09, abs=6e-3)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mf.q_map(-0.1, 1, 1), "q = -0.1"),
        (lambda: mf.q_map([1, math.nan], 1, 1), "q = nan"),
        (lambda: mf.q_map(1, -1, 1), "sigma_w = -1"),
        (lambda: mf.q_map(1, 1, [0, -2]), "sigma_b = -2"),
        (lambda: mf.q_map(1, 1, 1, "gelu"), "activation = 'gelu'"),
        (lambda: mf.q_profile(-1, [1, 1], 0), "mean_square = -1"),
        (lambda: mf.resnet_q_map(-1, 1, 1), "q = -1"),
        (lambda: mf.c_map(1.1, 1, 1, 1), "c = 1.1"),
        (lambda: mf.c_map(math.nan, 1, 1, 1), "c = nan"),
        (lambda: mf.c_map(0.5, 1, 1, 1, other_q=-3), "other_q = -3"),
        (lambda: mf.c_map(0.5, 2e4, 1, 1), "q = 20000"),
        (lambda: mf.chi(-1, 1), "q = -1"),
        (lambda: mf.chi(1, math.inf), "sigma_w = inf"),
        (lambda: mf.q_fixed_point(-1, 1), "sigma_w"),
        (lambda: mf.chi_1(1, -1), "sigma_b"),
        (lambda: mf.c_fixed_point(1, -1), "sigma_b"),
        (lambda: mf.depth_scales(1, -1), "sigma_b"),
        (lambda: mf.edge_of_chaos(-1), "sigma_b = -1"),
        (lambda: mf.magnitude_second_moment(0), "density = 0"),
        (lambda: mf.magnitude_second_moment(1.2), "density = 1.2"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


def test_profiles_are_the_maps_again_and_again():
    q = mf.resnet_q_profile([1.0, 2.0], 1.4, 0.3, 3)
    assert q.shape == (2, 3) and q[0, 0] == pytest.approx(1.4**2 + 0.09)
    assert q[:, 2] == pytest.approx(mf.resnet_q_map(mf.resnet_q_map(q[:, 0], 1.4, 0.3), 1.4, 0.3))
    assert np.allclose(mf.c_profile(1.0, 1.4, 0.3, 8), 1)
    path = mf.c_profile(0.2, 1.0, 0.3, 8)
    assert len(path) == 8 and path[0] == 0.2 and (np.diff(path) > 0).all(), "below the edge inputs become alike"
    assert path[1] == pytest.approx(float(mf.c_map(0.2, mf.q_fixed_point(1.0, 0.3), 1.0, 0.3)))
