"""Mean-field theory against closed forms, adaptive quadrature, published numbers and nets drawn at random."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import erf
from torch import nn

from redlib.errors import BadInput
from redlib.measures import meanfield as mf
from redlib.nets import StackedMLP, mean_field

ACTIVATIONS = ["tanh", "relu", "erf", "linear"]
PHI = {"tanh": np.tanh, "relu": lambda u: np.maximum(u, 0), "erf": erf, "linear": lambda u: u}
SLOPE = {
    "tanh": lambda u: 1 / np.cosh(np.minimum(np.abs(u), 300)) ** 2,
    "relu": lambda u: np.where(u > 0, 1.0, 0.0),
    "erf": lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2)),
    "linear": lambda u: np.ones_like(u),
}


@pytest.fixture
def draw():
    return torch.manual_seed(1000)  # torch's own generator, which also initialises modules


def normal(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def density(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def adaptive(function):
    """E function(z) by scipy's adaptive quadrature, on intervals between which it cannot miss the kink or the rise."""
    cuts = [-12, -3, -0.3, 0, 0.3, 3, 12]
    parts = [
        quad(lambda z: float(function(z) * density(z)), a, b, epsabs=1e-13, epsrel=1e-12) for a, b in pairwise(cuts)
    ]
    return sum(value for value, _ in parts)


LEGENDRE = np.polynomial.legendre.leggauss(400)


def panels(function, kinks):
    """E function(z), function of an array, by Gauss-Legendre rules between the kinks."""
    cuts = [-10, *sorted(k for k in kinks if -10 < k < 10), 10]
    total = 0.0
    for a, b in pairwise(cuts):
        z = (a + b) / 2 + (b - a) / 2 * LEGENDRE[0]
        total += (b - a) / 2 * np.sum(LEGENDRE[1] * function(z) * density(z))
    return total


def pair_by_quadrature(function, c, q, other):
    """E f(u₁)f(u₂): the inner mean given z₁ in panels, the outer one by scipy's adaptive quadrature."""
    s = math.sqrt(1 - c**2)

    def inner(z):
        if s == 0:
            return function(np.asarray(math.sqrt(other) * c * z))
        return panels(lambda y: function(math.sqrt(other) * (c * z + s * y)), [-c * z / s])

    return adaptive(lambda z: function(np.asarray(math.sqrt(q) * z)) * inner(z))


def mlp(depth, width, seeds, sigma_w=1.4, sigma_b=0.3, activation="tanh", inputs=None, outputs=None):
    sizes = (inputs or width, *[width] * (depth - 1), outputs or width)
    return StackedMLP.create(sizes, seeds, activation, mean_field(sigma_w, sigma_b))


def inputs(draw, count, dim, mean_square=1.0):
    x = normal(draw, count, dim)
    return x * (mean_square / x.square().mean(1, keepdim=True)).sqrt()


# Gaussian means


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
    monkeypatch.setattr(mf, "BLOCK", 7)
    assert np.array_equal(mf.q_map(q, 1.4, 0.3), whole)


# Fixed points and phases


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


# Masked nets


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


@pytest.fixture(scope="module")
def eight_layers():
    return mlp(8, 256, range(1000, 1008))


@pytest.mark.parametrize("kept", [0.51, 0.2, 0.04])
def test_a_simulated_pruned_net_has_the_predicted_q(draw, eight_layers, kept):
    net, x, size = eight_layers, inputs(draw, 6, 256), 256**2
    masks = [w.abs() > w.abs().flatten(1).kthvalue(round((1 - kept) * size)).values[:, None, None] for w in net.weights]
    found = float(mf.empirical_q(net, x, masks)[:, 2:].mean())
    w = 1.4 * float(mf.magnitude_second_moment(kept)) ** 0.5
    assert found == pytest.approx(float(mf.q_profile(1, np.full(8, w), 0.3)[2:].mean()), rel=0.03)
    laws = {law: mf.predicted_q(net.weights, net.biases, x, "tanh", masks, law)[:, 2:].mean() for law in mf.LAWS}
    assert [laws["rows"], laws["density"]] == pytest.approx([found, found], rel=0.03)
    assert laws["naive"] > 1.5 * found


def test_a_random_mask_acts_as_a_smaller_sigma(draw):
    net, x = mlp(5, 512, [1000, 1001]), inputs(draw, 40, 512)
    masks = [torch.rand(w.shape, generator=draw) < 0.2 for w in net.weights]
    expected = mf.q_profile(1, np.full(5, 1.4 * math.sqrt(0.2)), 0.3)
    assert mf.empirical_q(net, x, masks).mean((0, 2)).numpy() == pytest.approx(expected, rel=0.05)
    assert mf.predicted_q(net.weights, net.biases, x, "tanh", masks, "rows").mean((0, 2)) == pytest.approx(
        expected, rel=0.05
    )
    sigma_w, sigma_b = mf.layer_sigmas(net.weights, net.biases, masks)
    assert sigma_w == pytest.approx(np.full((2, 5), 1.4 * math.sqrt(0.2)), rel=0.02)
    assert sigma_b == pytest.approx(np.full((2, 5), 0.3), rel=0.1)
    assert mf.layer_sigmas(net.weights, net.biases, masks, "naive")[0] == pytest.approx(np.full((2, 5), 1.4), rel=0.02)


def test_the_rows_matter_only_where_they_differ(draw):
    weights = [torch.full((2, 30, 30), 0.2).double() * normal(draw, 2, 30, 30).sign() for _ in range(3)]
    biases = [0.3 * normal(draw, 2, 30).sign(), None, 0.3 * normal(draw, 2, 30).sign()]
    x = inputs(draw, 4, 30)
    equal = [torch.stack([torch.roll(torch.arange(30) < 9, i) for i in range(30)]).expand(2, -1, -1)] * 3
    for masks in (None, equal):
        rows, mean = (mf.predicted_q(weights, biases, x.sign(), "tanh", masks, law) for law in ("rows", "density"))
        assert rows == pytest.approx(mean, rel=1e-12) and rows.shape == (2, 3, 4)
    uneven = [(torch.arange(30)[:, None] % 3 == 0).expand(2, 30, 30)] * 3  # a third of the units keep everything
    rows, mean = (mf.predicted_q(weights, biases, x.sign(), "tanh", uneven, law) for law in ("rows", "density"))
    assert rows[:, 0] == pytest.approx(mean[:, 0], rel=1e-12) and np.all(rows[:, 1] < 0.98 * mean[:, 1])


def test_units_of_one_layer_are_row_sums(draw):
    w, b, x = normal(draw, 2, 3, 5), normal(draw, 2, 3), normal(draw, 4, 5)
    mask = torch.rand(2, 3, 5, generator=draw) < 0.5
    (q,) = mf.unit_q([w], [b], x, masks=[mask])
    expected = torch.einsum("roi,bi->rbo", (w * mask).square(), x.square()) + b.square().mean(1)[:, None, None]
    assert q == pytest.approx(expected.numpy())
    signs, biases = normal(draw, 20000, 3, 5).sign(), b[0].square().mean().sqrt() * normal(draw, 20000, 1, 3)
    drawn = torch.einsum("soi,bi->sbo", signs * w[0] * mask[0], x) + biases
    assert q[0] == pytest.approx(drawn.square().mean(0).numpy(), rel=0.05)


def test_the_law_of_the_kept_spread_is_that_of_the_rows_in_the_mean(draw):
    w, mask = normal(draw, 2, 6, 8), torch.rand(2, 6, 8, generator=draw) < 0.3
    rows = (w * mask).square().sum(2).mean(1).sqrt()
    assert mf.layer_sigmas([w], [None], [mask])[0][:, 0] == pytest.approx(rows.numpy())
    kept = [math.sqrt(8 * float(w[r][mask[r]].square().mean())) for r in range(2)]
    assert mf.layer_sigmas([w], [None], [mask], "naive")[0][:, 0] == pytest.approx(kept)
    emptied = mf.layer_sigmas([w], [None], [mask & False], "naive")
    assert emptied[0].tolist() == [[0], [0]] and emptied[1].tolist() == [[0], [0]]


# Nets drawn at random


def test_wide_nets_follow_the_theory(draw):
    net, x = mlp(4, 1024, [1000, 1001, 1002]), inputs(draw, 24, 1024, 1.7)
    q = mf.q_profile(1.7, np.full(4, 1.4), 0.3)
    found = mf.empirical_q(net, x)
    assert found.shape == (3, 4, 24) and found.dtype == torch.float64
    assert found.mean((0, 2)).numpy() == pytest.approx(q, rel=0.03)
    assert mf.empirical_chi(net, x).mean((0, 2)).numpy() == pytest.approx(mf.chi(q[:-1], 1.4), rel=0.03)
    c = [mf.c_map(0, 1.7, 1.4, 0.3, "linear")]
    for layer in range(3):
        c.append(mf.c_map(c[-1], q[layer], 1.4, 0.3))
    found = mf.empirical_c(net, x)
    assert found.shape == (3, 4, 24 * 23 / 2)
    assert found.mean((0, 2)).numpy() == pytest.approx(np.array(c), abs=0.03)


def test_every_replicate_and_input_stands_for_itself(draw):
    net, x = mlp(3, 20, [1, 2, 3], activation="relu", inputs=6, outputs=4), normal(draw, 5, 6)
    masks = [torch.rand(w.shape, generator=draw) < 0.5 for w in net.weights]
    for measure in (mf.empirical_q, mf.empirical_c, mf.empirical_chi, mf.jacobian):
        together = measure(net, x, masks=masks)
        alone = measure(net.select([1]), x, masks=[m[1:2] for m in masks])
        torch.testing.assert_close(together[1:2], alone)
        cut = net.clone()
        cut.apply_masks(masks)
        torch.testing.assert_close(measure(cut, x), together)
        torch.testing.assert_close(measure(net, x.expand(3, 5, 6), masks=masks), together)
    torch.testing.assert_close(mf.empirical_q(net, x)[:, :, :2], mf.empirical_q(net, x[:2]))
    last = net.logits(x.float()).double().square().mean(2)
    torch.testing.assert_close(mf.empirical_q(net, x)[:, -1], last, rtol=1e-5, atol=1e-6)


def modules_of(net):
    """The replicates of a StackedMLP as modules."""
    found = []
    for r in range(net.replicates):
        parts = []
        for w, b in zip(net.weights, net.biases, strict=True):
            linear = nn.Linear(*w.shape[:0:-1])
            linear.weight.data, linear.bias.data = w[r].clone(), b[r].clone()
            parts += [linear, nn.ReLU() if net.activation == "relu" else nn.Tanh()]
        found.append(nn.Sequential(parts[0], nn.Sequential(*parts[1:-1])))
    return found


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_modules_equal_the_stack(draw, activation):
    net, x = mlp(3, 12, [1, 2], activation=activation, inputs=6, outputs=4), normal(draw, 5, 6)
    masks = [torch.rand(w.shape, generator=draw) < 0.5 for w in net.weights]
    for measure in (mf.empirical_q, mf.empirical_c, mf.empirical_chi, mf.jacobian, mf.jacobian_spectrum):
        torch.testing.assert_close(measure(modules_of(net), x, masks=masks), measure(net, x, masks=masks))
        torch.testing.assert_close(measure(modules_of(net)[1], x), measure(net, x)[1:])


def test_chi_is_the_squared_norm_of_the_layers_jacobian(draw):
    conv = nn.Sequential(
        *(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(4, 5), nn.GELU(), nn.Dropout(), nn.Linear(5, 3)),
    ).double()
    conv[1].running_mean.uniform_(generator=draw)
    conv[1].running_var.uniform_(0.5, 2, generator=draw)
    x = normal(draw, 3, 2, 8, 8)
    chi, state = mf.empirical_chi(conv, x), {k: v.clone() for k, v in conv.state_dict().items()}
    assert all(part.training for part in conv.modules())
    assert all(torch.equal(v, state[k]) for k, v in conv.state_dict().items())
    conv.eval()
    h = conv[0](x)
    for layer, part in enumerate((conv[1:5], conv[5:9], conv[9:])):
        for example in range(3):
            jacobian = torch.autograd.functional.jacobian(lambda v, part=part: part(v[None])[0], h[example])
            out = part(h[example : example + 1])[0].numel()
            assert float(chi[0, layer, example]) == pytest.approx(float(jacobian.square().sum()) / out)
        h = part(h)


def random_conv_net(draw, channels=64):
    layers = []
    for fan_in in (16, channels, channels, channels):
        conv = nn.Conv2d(fan_in, channels, 3, padding=1, padding_mode="circular").double()
        conv.weight.data = 1.4 * normal(draw, *conv.weight.shape) / (9 * fan_in) ** 0.5
        conv.bias.data = 0.3 * normal(draw, channels)
        layers += [conv, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def test_conv_nets_follow_the_theory(draw):
    nets, x = [random_conv_net(draw) for _ in range(8)], normal(draw, 4, 16, 8, 8)
    q = mf.q_profile(1, np.full(4, 1.4), 0.3)
    assert mf.empirical_q(nets, x).mean((0, 2)).numpy() == pytest.approx(q, rel=0.07)
    assert mf.empirical_chi(nets, x).mean((0, 2)).numpy() == pytest.approx(mf.chi(q[:-1], 1.4), rel=0.05)
    weights = [torch.stack([net[part].weight for net in nets]) for part in (0, 2, 4, 6)]
    biases = [torch.stack([net[part].bias for net in nets]) for part in (0, 2, 4, 6)]
    masks = [torch.rand(w.shape, generator=draw) < 0.3 for w in weights]
    found = mf.empirical_q(nets, x, masks).mean((0, 2)).numpy()
    for law in ("rows", "density"):
        predicted = mf.predicted_q(weights, biases, x, masks=masks, law=law)
        assert predicted.shape == (8, 4, 4) and predicted.mean((0, 2)) == pytest.approx(found, rel=0.07)


# Jacobians


def test_jacobians_are_products_of_the_layers_and_equal_autograd(draw):
    net, x = mlp(3, 12, [1, 2], inputs=6, outputs=4), normal(draw, 5, 6)
    weights = [w.double() for w in net.weights]
    h1 = x @ weights[0].mT + net.biases[0].double()[:, None]
    h2 = h1.tanh() @ weights[1].mT + net.biases[1].double()[:, None]
    d1, d2 = (torch.diag_embed(1 - h.tanh() ** 2) for h in (h1, h2))
    hidden = d2 @ weights[1][:, None] @ d1 @ weights[0][:, None]
    torch.testing.assert_close(mf.jacobian(net, x, "hidden"), hidden)
    torch.testing.assert_close(mf.jacobian(net, x), weights[2][:, None] @ hidden)
    module = modules_of(net)[0].double()
    for example in range(5):
        by_autograd = torch.autograd.functional.jacobian(module, x[example])
        torch.testing.assert_close(mf.jacobian(net, x)[0, example], by_autograd)
        torch.testing.assert_close(mf.jacobian_spectrum(net, x)[0, example], torch.linalg.svdvals(by_autograd))


def test_what_follows_the_last_layer_belongs_to_the_logits_but_not_to_q(draw):
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softmax(-1)).double(), normal(draw, 1, 3)
    by_autograd = torch.autograd.functional.jacobian(lambda v: net(v[None])[0], x[0])
    torch.testing.assert_close(mf.jacobian(net, x)[0, 0], by_autograd)
    torch.testing.assert_close(mf.jacobian(net, x, "hidden"), mf.jacobian(net[:2], x))
    torch.testing.assert_close(mf.empirical_q(net, x)[0, 1], net[:3](x).square().mean(1))


def test_chunks_of_rows_do_not_show(draw, monkeypatch):
    net, x = mlp(3, 12, [1, 2], inputs=6, outputs=4), normal(draw, 5, 6)
    whole = mf.jacobian(net, x, "hidden")
    monkeypatch.setattr(mf, "CHUNK", 1)
    torch.testing.assert_close(mf.jacobian(net, x, "hidden"), whole)


def test_orthogonal_linear_nets_are_isometries_up_to_sigma(draw):
    sigmas = (1.3, 0.5, 2.0)
    layers = [nn.Linear(30, 30).double() for _ in sigmas]
    for layer, sigma in zip(layers, sigmas, strict=True):
        layer.weight.data = sigma * torch.linalg.qr(normal(draw, 30, 30)).Q
    values = mf.jacobian_spectrum(nn.Sequential(*layers), normal(draw, 3, 30))
    assert values.shape == (1, 3, 30) and values.numpy() == pytest.approx(1.3 * 0.5 * 2.0, rel=1e-12)
    summary = {name: value.numpy() for name, value in mf.spectrum_summary(values).items()}
    assert summary["sigma_max"] == pytest.approx(1.3) and summary["condition"] == pytest.approx(1, rel=1e-10)
    assert summary["mean_square"] == pytest.approx(1.69)
    assert mf.empirical_chi(nn.Sequential(*layers), normal(draw, 3, 30)).numpy()[0, :, 0] == pytest.approx([0.25, 4])


def test_the_mean_squared_singular_value_is_chi_to_the_depth(draw):
    net, x = mlp(5, 128, [1000, 1001, 1002, 1003]), inputs(draw, 6, 128)
    q = mf.q_profile(1, np.full(5, 1.4), 0.3)
    found = mf.spectrum_summary(mf.jacobian_spectrum(net, x))["mean_square"].mean()
    assert float(found) == pytest.approx(1.96 * float(np.prod(mf.chi(q[:-1], 1.4))), rel=0.1)


def test_cut_inputs_leave_zeros_that_the_condition_passes_over(draw):
    net, x = mlp(2, 10, [1], inputs=10, outputs=10), normal(draw, 3, 10)
    dead = torch.ones(1, 10, 10, dtype=torch.bool)
    dead[:, :, 6:] = False
    values = mf.jacobian_spectrum(net, x, masks=[dead, None])
    assert torch.all(values[..., 6:] < 1e-14)
    summary = mf.spectrum_summary(values)
    torch.testing.assert_close(summary["condition"], values[..., 0] / values[..., 5])
    torch.testing.assert_close(summary["mean_square"], values.square().sum(-1) / 10)
    narrow = mf.jacobian_spectrum(nn.Sequential(nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 10)), x)
    assert torch.all(narrow[..., 4:] < 1e-12) and torch.any(narrow[..., 4:] > 0)  # by rounding
    torch.testing.assert_close(mf.spectrum_summary(narrow)["condition"], narrow[..., 0] / narrow[..., 3])
    nothing = mf.spectrum_summary(mf.jacobian_spectrum(net, x, masks=[dead & False, None]))
    assert nothing["condition"].isnan().all() and nothing["sigma_max"].tolist() == [[0, 0, 0]]


# Bad input

NET = mlp(3, 4, [1, 2], inputs=5, outputs=3)
X, W, B = torch.ones(2, 5), NET.weights, NET.biases
FULL = [torch.ones_like(w, dtype=torch.bool) for w in W]
POOLED = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, stride=1), nn.Conv2d(2, 2, 2))
MODULE = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


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
        (lambda: mf.layer_sigmas(W, B, law="rows"), "law = 'rows'"),
        (lambda: mf.predicted_q(W, B, X, law="exact"), "law = 'exact'"),
        (lambda: mf.layer_sigmas(W, B[:2]), "number of biases"),
        (lambda: mf.layer_sigmas(W, [B[0], B[1], B[1]]), "shape of bias 2"),
        (lambda: mf.layer_sigmas([w[0] for w in W], B), "shape of weights 0"),
        (lambda: mf.layer_sigmas([W[0][:, :0]], B[:1]), "width 0"),
        (lambda: mf.layer_sigmas([], []), "number of masks"),
        (lambda: mf.layer_sigmas(W, B, FULL[:1]), "number of masks = 1"),
        (lambda: mf.layer_sigmas(W, B, [FULL[0], FULL[0], None]), "mask 1"),
        (lambda: mf.unit_q(W, B, X, masks=[m.double() for m in FULL]), "mask 0"),
        (lambda: mf.unit_q(W, B, X[:, :4]), "inputs of layer 1"),
        (lambda: mf.unit_q([W[0], W[0]], [B[0], B[0]], X), "inputs of layer 2"),
        (lambda: mf.unit_q(W, B, X.expand(3, 2, 5)), "inputs of layer 1"),
        (lambda: mf.unit_q(W, B, X[0]), "shape of x"),
        (lambda: mf.empirical_q(NET, X[:, :4]), "shape of x"),
        (lambda: mf.empirical_q(NET, X.expand(3, 2, 5)), "shape of x"),
        (lambda: mf.empirical_q(NET, X[:0]), "shape of x"),
        (lambda: mf.empirical_q(NET, X, FULL[:2]), "number of masks = 2"),
        (lambda: mf.empirical_q(NET, X, [m[:1] for m in FULL]), "mask 0"),
        (lambda: mf.empirical_q(MODULE, X, FULL[:2]), "mask 0"),
        (lambda: mf.empirical_q(MODULE, X[0]), "shape of x"),
        (lambda: mf.empirical_q([], X), "layers"),
        (lambda: mf.empirical_q(nn.Tanh(), X), "layers"),
        (lambda: mf.empirical_q([MODULE, MODULE[:1]], X), "layers"),
        (lambda: mf.empirical_q(nn.ModuleList([MODULE]), X), "module = 'ModuleList'"),
        (lambda: mf.empirical_c(NET, X[:1]), "vectors"),
        (lambda: mf.empirical_chi(MODULE[:1], X), "number of layers = 1"),
        (lambda: mf.empirical_chi(nn.Sequential(MODULE[0], nn.Softmax(-1), MODULE[2]), X), "one value acts on several"),
        (lambda: mf.empirical_chi(POOLED, torch.ones(2, 1, 6, 6)), "one value acts on several"),
        (lambda: mf.jacobian(NET, X, "loss"), "output = 'loss'"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()
