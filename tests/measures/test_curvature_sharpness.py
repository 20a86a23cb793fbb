"""Sharpness in a box and on the scale of the weights, and the stability of SGD, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from curvature_nets import DOUBLE, drawn, stack
from scipy.optimize import minimize
from torch import nn

from redlib.errors import BadInput
from redlib.measures.curvature import (
    adaptive_sharpness,
    bounds,
    box_sharpness,
    covariance,
    hessian,
    loss_of,
    non_uniformity,
    scaled,
    scales,
    stability,
    top_eigenvalues,
)
from redlib.nets.stacked import unstacked
from redlib.nets.strided import build_strided
from redlib.training.examples import Examples

N = 11


@pytest.fixture(scope="module")
def data():
    return drawn(N)


class Bowl(nn.Module):
    """1/2 sum of lambda_i (theta_i - centre_i)^2 for every input, from theta = start."""

    def __init__(self, spectrum, start=0.0, centre=0.0):
        super().__init__()
        self.register_buffer("spectrum", torch.tensor(spectrum, dtype=DOUBLE))
        self.theta = nn.Parameter(torch.full_like(self.spectrum, start))
        self.centre = centre

    def forward(self, x):
        return ((self.theta - self.centre).square() * self.spectrum).sum().expand(len(x)) / 2


def bowl(spectrum, **where):
    return loss_of(Bowl(spectrum, **where), Examples(torch.zeros(3, 1, dtype=DOUBLE), torch.zeros(3)), mean)


def mean(outputs, y):
    return outputs.mean()


# ---- in a box ----


def test_the_box_sharpness_of_a_bowl_is_known():
    spectrum, epsilon = [5.0, 1.0, 0.01, 0.0], 1e-2
    found = box_sharpness(bowl(spectrum), epsilon)
    assert found.item() == pytest.approx(50 * epsilon**2 * sum(spectrum), rel=1e-9)


def test_the_box_is_wider_where_weights_are_large_and_the_rise_is_relative():
    loss, epsilon = bowl([4.0, 2.0], start=3.0), 0.1
    before = (4 + 2) * 9 / 2
    after = (4 + 2) * (3 + 0.1 * 4) ** 2 / 2
    assert box_sharpness(loss, epsilon).item() == pytest.approx(100 * (after - before) / (1 + before), rel=1e-9)


def test_directions_that_curve_down_do_not_raise_the_loss():
    found = box_sharpness(bowl([3.0, -2.0, -1.0]), 0.1, steps=200)  # the maximum is inside the box in two of three
    assert found.item() == pytest.approx(50 * 0.1**2 * 3, rel=1e-6)
    assert box_sharpness(bowl([-1.0, -2.0]), 0.1, steps=1, starts=1).item() == 0, "the box holds the net itself"


def test_a_maximum_inside_the_box_is_found_where_the_slope_is_not_zero():
    loss = bowl([-1.0, -30.0], start=0.0, centre=0.05)
    assert float(loss.value()) > -1
    expected = 100 * (0 - float(loss.value())) / (1 + float(loss.value()))
    assert box_sharpness(loss, 0.1, steps=200).item() == pytest.approx(expected, rel=1e-5)


def test_ascent_finds_what_another_optimiser_finds_in_each_replicate(data):
    net, epsilon = stack("tanh"), 0.02
    found = box_sharpness(loss_of(net, data), epsilon, steps=100)
    for r in range(2):
        loss = loss_of(unstacked(net, r), data)
        side = epsilon * (loss.rows[0].abs() + 1).numpy()

        def down(z, loss=loss):
            value, gradient = loss.value_and_gradient(loss.rows + torch.from_numpy(z))
            return -value.item(), -gradient[0].numpy()

        box = list(zip(-side, side, strict=True))
        best = max(-minimize(down, s * side, jac=True, method="L-BFGS-B", bounds=box).fun for s in (-0.5, 0.1, 0.5))
        before = loss.value().item()
        assert found[r].item() == pytest.approx(100 * (best - before) / (1 + before), rel=1e-4)


def test_cut_weights_do_not_move_in_the_box(data):
    net = stack()
    dense = box_sharpness(loss_of(net, data), 0.1)
    net.apply_masks([torch.zeros(2, 5, 4, dtype=torch.bool), torch.zeros(2, 3, 5, dtype=torch.bool)])
    loss = loss_of(net, data)
    only_biases = box_sharpness(loss, 0.1)
    corner = loss.rows + loss.only_free(0.1 * (loss.rows.abs() + 1))
    assert bool((only_biases < dense).all()) and bool((only_biases > 0).all())
    assert bool((corner == loss.rows)[~loss.free].all())


@pytest.mark.parametrize(("asked", "named"), [({"epsilon": 0.0}, "epsilon"), ({"steps": 0}, "steps"),
                                              ({"starts": 0}, "starts")])  # fmt: skip
def test_a_box_needs_a_size_and_a_search(asked, named):
    with pytest.raises(BadInput, match=named):
        box_sharpness(bowl([1.0]), **asked)


def test_a_loss_below_minus_one_has_no_relative_rise():
    with pytest.raises(BadInput, match="loss = -4"):
        box_sharpness(bowl([-2.0], start=2.0), 0.1)


# ---- on the scale of the weights ----


def rescaled(net, factor):
    """The same function with its first layer times a factor, and the next layer's weights over it."""
    other = net.clone()
    for part, by in ((other.weights[0], factor), (other.biases[0], factor), (other.weights[1], 1 / factor)):
        part.mul_(by)
    return other


@pytest.mark.parametrize("by", ["weight", "filter"])
def test_rescaled_layers_move_the_hessian_but_not_the_adaptive_sharpness(data, by):
    net = stack()
    one, other = (loss_of(n, data) for n in (net, rescaled(net, 8.0)))
    assert torch.allclose(one.value(), other.value(), rtol=1e-12), "the function is the same"
    raw = [top_eigenvalues(loss).values[:, 0] for loss in (one, other)]
    assert bool((raw[1] / raw[0] > 5).all())
    found = [adaptive_sharpness(loss, by, tolerance=1e-9).values[:, 0] for loss in (one, other)]
    assert torch.allclose(found[0], found[1], rtol=1e-6)


def test_a_rescaled_unit_moves_the_filters_but_not_single_weights(data):
    net, other = stack(), stack()
    for part, by in ((other.weights[0][:, 2], 7.0), (other.biases[0][:, 2], 7.0), (other.weights[1][:, :, 2], 1 / 7)):
        part.mul_(by)
    one, two = (loss_of(n, data) for n in (net, other))
    same, moved = ([adaptive_sharpness(loss, by).values for loss in (one, two)] for by in ("weight", "filter"))
    assert torch.allclose(same[0], same[1], rtol=1e-6) and not torch.allclose(moved[0], moved[1], rtol=1e-2)


def test_the_scaled_operator_is_the_scaled_hessian(data):
    loss = loss_of(stack(), data)
    for by in ("weight", "filter"):
        size = scales(loss, by)
        expected = size[:, :, None] * hessian(loss) * size[:, None, :]
        assert torch.allclose(hessian(scaled(loss, by)), expected, atol=1e-14)


def test_filters_are_measured_by_their_norm_and_biases_by_themselves():
    net = build_strided("conv", 0, (2,), 3, 1, 4).double().eval()
    g = torch.Generator().manual_seed(0)
    images = Examples(torch.rand(4, 1, 4, 4, generator=g, dtype=DOUBLE), torch.tensor([0, 1, 2, 0]))
    found = scales(loss_of(net, images), "filter")[0].split([p.numel() for p in net.parameters()])
    weight, bias = net[0].weight.detach(), net[-1].bias.detach()
    assert torch.allclose(found[0].view(2, 9), weight.flatten(1).norm(dim=1)[:, None].expand(2, 9))
    assert torch.allclose(found[-1], bias.abs())
    with pytest.raises(BadInput, match="by = 'layer'"):
        scales(loss_of(net, images), "layer")


# ---- stability ----


def regression(squares):
    """One weight w and the losses (x w - y)^2 / 2 of examples with these x^2: curvatures x^2, whatever w."""
    x = torch.tensor(squares, dtype=DOUBLE).sqrt()[:, None]
    return loss_of(nn.Linear(1, 1, bias=False).double(), Examples(x, torch.zeros(len(x), 1)), half_square)


def half_square(outputs, y):
    return (outputs - y).square().mean() / 2


def test_one_weight_that_half_of_the_examples_use_is_as_uneven_as_it_is_sharp():
    a = 1.7
    found = stability(regression([0, 2 * a] * 5), 0.1, 2)
    assert found.sharpness.item() == pytest.approx(a, rel=1e-12)
    assert found.non_uniformity.item() == pytest.approx(a, rel=1e-9)


def test_examples_that_agree_are_uniform():
    value, error = non_uniformity(regression([3.0] * 6))
    assert value.item() == pytest.approx(0, abs=1e-7) and 0 <= error.item() < 1e-7


def test_bounds_are_those_of_the_source():
    assert bounds(0.5, 4, 100) == pytest.approx((4.0, 2 * (4 * 99 / 96) ** 0.5))
    assert bounds(0.5, 1, 100) == pytest.approx((4.0, 2.0))
    assert bounds(0.5, 100, 100) == (4.0, np.inf)


def test_a_minimum_is_stable_up_to_each_of_the_two_bounds():
    loss = regression([0, 2.0] * 5)  # a = s = 1
    assert stability(loss, 1.9, 10).stable.tolist() == [True]
    assert stability(loss, 2.1, 10).stable.tolist() == [False], "too sharp"
    assert stability(loss, 0.99, 1).stable.tolist() == [True]
    assert stability(loss, 1.01, 1).stable.tolist() == [False], "too uneven, though a <= 2 / rate"


@pytest.mark.parametrize("rate", [0.95, 1.05])
def test_sgd_stays_where_the_bound_says_and_leaves_where_it_does_not(rate):
    # One example a step, x^2 in {0, 2}: E w^2 is multiplied by 1 - 2 rate + 2 rate^2, which is 1 at rate = 1 = 1 / s.
    loss = regression([0, 2.0])
    growth = 1 - 2 * rate + rate**2 * 2
    assert stability(loss, rate, 1).stable.item() == (growth <= 1)


def per_example(loss, r):
    """Whole Hessians of each example's loss, [n, P, P], for replicate r, by torch.func."""
    (x, y), rows = loss.blocks[0], loss.rows

    def one(row, i):
        full = torch.cat([rows[:r], row[None], rows[r + 1 :]])
        return loss.losses(full, x[:, i : i + 1], y[:, i : i + 1])[r]

    return torch.stack([torch.func.hessian(one)(rows[r], i) for i in range(loss.count)])


def test_the_covariance_is_that_of_the_examples_hessians_in_blocks_of_any_size(data, monkeypatch):
    loss = loss_of(stack(), data)
    found, uneven = hessian(covariance(loss)), non_uniformity(loss)[0]
    for r in range(2):
        each = per_example(loss, r)
        expected = (each @ each).mean(0) - each.mean(0) @ each.mean(0)
        assert torch.allclose(found[r], expected, atol=1e-13)
        top = torch.linalg.eigvalsh(expected)[-1].sqrt()
        assert torch.allclose(uneven[r], top, rtol=1e-8)
    monkeypatch.setattr("redlib.measures.curvature.sgd.ROOM", 4 * 8 * loss.rows.numel() * 8)  # four examples at a time
    assert torch.allclose(hessian(covariance(loss_of(stack(), data, batch=7))), found, atol=1e-14)


def test_the_covariance_of_masked_nets_leaves_cut_weights_out(data):
    net = stack()
    mask = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    net.apply_masks([mask, None])
    loss = loss_of(net, data)
    found = hessian(covariance(loss))
    each = per_example(loss, 1) * loss.free[1][:, None] * loss.free[1]
    assert torch.allclose(found[1], (each @ each).mean(0) - each.mean(0) @ each.mean(0), atol=1e-13)


def test_modules_are_as_uneven_as_the_stack_they_come_from(data):
    net = stack("tanh")
    stacked, listed = (
        non_uniformity(loss_of(n, data, seeds=[3, 4]))[0] for n in (net, [unstacked(net, r) for r in (0, 1)])
    )
    assert torch.allclose(stacked, listed, rtol=1e-9) and stacked[0] != stacked[1]


def test_conv_nets_are_mapped_over_examples():
    nets = [build_strided("conv", seed, (2,), 3, 1, 4).double().eval() for seed in (0, 1)]
    g = torch.Generator().manual_seed(0)
    loss = loss_of(nets, Examples(torch.rand(3, 1, 4, 4, generator=g, dtype=DOUBLE), torch.tensor([0, 1, 2])))
    each = per_example(loss, 1)
    expected = (each @ each).mean(0) - each.mean(0) @ each.mean(0)
    assert torch.allclose(hessian(covariance(loss))[1], expected, atol=1e-13)


@pytest.mark.parametrize(("asked", "named"), [((0.0, 1, 4), "rate"), ((0.1, 0, 4), "batch"), ((0.1, 5, 4), "batch = 5"),
                                              ((0.1, 1, 0), "count")])  # fmt: skip
def test_bounds_need_a_rate_and_a_batch_of_the_examples(asked, named):
    with pytest.raises(BadInput, match=named):
        bounds(*asked)
