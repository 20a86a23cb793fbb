"""The runs on wide nets do what they say: the gradients, the kernels, the linear model, and who learns what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from redlib.measures import tangent
from redlib.studies.generalization import wide
from redlib.studies.generalization.wide import LocalMinima, LocalMinimaOfImages, Tangent, TwoLayer

SEEDS = (1000, 1001)
X, Y, W, V = (
    torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    for shape in ((2, 7, 3), (2, 7), (2, 5, 3), (2, 5))
)


class Module(nn.Module):
    """f(x) = c·Σ_r v_r relu(w_r·x), for autograd."""

    def __init__(self, w, v, scale):
        super().__init__()
        self.w, self.v, self.scale = nn.Parameter(w.clone()), nn.Parameter(v.clone()), scale

    def forward(self, x):
        return self.scale * (x @ self.w.T).relu() @ self.v[:, None]


def by_autograd(loss, *parameters):
    held = [p.clone().requires_grad_() for p in parameters]
    return torch.autograd.grad(loss(*held), held)


# ---- bad minima ----


def test_gradients_of_leaky_nets_are_those_of_autograd_each_output_by_its_own_units():
    w, v, y = W.transpose(1, 2), torch.linspace(-1, 2, 40).double().view(2, 4, 5), Y[:, None]

    def loss(w, v):
        return ((v @ nn.functional.leaky_relu(X @ w, 0.1).transpose(1, 2) - y) ** 2).mean(2).sum()

    outputs, *found = wide.leaky_gradient(X, y, w, v, 0.1)
    assert outputs.shape == (2, 4, 7)
    for mine, theirs in zip(found, by_autograd(loss, w, v), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_nets_of_several_ratios_train_as_each_alone():
    config = LocalMinima(n=32, inputs=4, ratios=(0.5, 2.0), steps=25, looks=5, seeds=SEEDS)
    w, v, block = config.begun()
    assert config.widths == [4, 16] and block.sum(1).tolist() == [4, 16] and w.shape == (2, 4, 32)
    assert not (v * (1 - block)).any(), "an output has no weights to units of others"
    x, y = config.points(), wide.signs(SEEDS, "noise", 32)[:, None]
    alone, second = w[:, :, 4:20].clone(), v[:, 1:, 4:20].clone()
    moments, losses = [torch.zeros(2, *part.shape) for part in (alone, second)], []
    for step in range(26):
        outputs, *slopes = wide.leaky_gradient(x, y, alone, second, config.leak)
        losses.append(((outputs - y) ** 2).mean(2)[:, 0])
        for weights, slope, moment in zip((alone, second), slopes, moments, strict=True):
            wide.adam(weights, slope, moment, step, 0.01 if step < 12.5 else 0.001)
    found = config.results(config.run())
    expected = torch.stack(losses[::5], 1).numpy()
    np.testing.assert_allclose(found.at(ratio=2.0)["loss"], expected, rtol=1e-4)


def test_adam_is_that_of_torch():
    mine, theirs = W.clone(), W.clone().requires_grad_()
    rule, moments = torch.optim.Adam([theirs], 0.03), torch.zeros(2, *W.shape, dtype=W.dtype)
    for step in range(20):
        slope = (mine - 1) ** 3
        theirs.grad = slope.clone()
        rule.step()
        wide.adam(mine, slope, moments, step, 0.03)
    torch.testing.assert_close(mine, theirs.detach())


class Separable(LocalMinima):
    """Labels that one direction separates: the first input takes their sign."""

    def points(self):
        x, y = super().points(), wide.signs(self.seeds, "noise", self.n)
        x[..., 0] = y * (1 + x[..., 0].abs())
        return x


def test_a_separable_problem_is_always_learned_and_random_labels_by_no_tiny_net():
    sizes = {"n": 60, "inputs": 5, "ratios": (1 / 12, 0.5), "steps": 800, "lr": 0.03, "seeds": (1000, 1001, 1002, 1003)}
    assert not Separable(**sizes).run()["error"][:, 1].any()
    assert (LocalMinima(**sizes).run()["error"][:, 0] > 0.1).all(), "one unit and 60 random labels"


def test_images_are_the_seeds_own_and_of_one_variance():
    x = LocalMinimaOfImages(n=50, pool=300, inputs=6, seeds=SEEDS).points()
    assert x.shape == (2, 50, 6) and not torch.equal(x[0], x[1])
    torch.testing.assert_close(x.var(1), torch.ones(2, 6))


# ---- descent ----


def test_the_gradient_by_the_first_layer_is_that_of_autograd():
    def loss(w):
        return ((torch.einsum("snm,sm->sn", (X @ w.transpose(1, 2)).relu(), V) - Y) ** 2).sum() / 2

    losses, hidden, found = wide.first_layer_gradient(X, Y, W, V)
    torch.testing.assert_close(found, by_autograd(loss, W)[0])
    torch.testing.assert_close(losses.sum(), loss(W))
    assert torch.equal(hidden > 0, X @ W.transpose(1, 2) > 0)


def test_without_a_step_nothing_changes():
    config = TwoLayer(n=10, inputs=10, widths=(16, 32), rate=0.0, steps=5, looks=5, compared=1.0, seeds=SEEDS)
    found = config.results(config.run())
    for name in ("pattern_change", "switching_units", "max_distance", "pattern_changes", "max_distances"):
        assert not found[name].any(), name
    assert (found["loss"] == found["loss"][..., :1]).all() and found["loss"].shape == (2, 2, 6)
    assert np.isnan(replace(config, compared=0.5).run()["pattern_change"]).all(), "a loss that is never reached"


def test_a_very_wide_net_descends_as_its_linearisation_does():
    config = TwoLayer(n=6, inputs=6, widths=(2**16,), rate=0.5, steps=12, looks=1, seeds=SEEDS)
    x = nn.functional.normalize(wide.normals(SEEDS, "features", 6, 6), dim=2).double()
    y, w = wide.normals(SEEDS, "noise", 6).double(), wide.normals(SEEDS, "init", 2**16, 6).double()
    v = wide.signs(SEEDS, "init", 2**16, key=[wide._SECOND]).double() * 2**-8
    on = (x @ w.transpose(1, 2) > 0).double()
    kernel = (x @ x.transpose(1, 2)) * (on @ on.transpose(1, 2)) / 2**16
    start = wide.outputs(x, w, v, 1.0)[..., None]
    # The loss there is the mean of squares, here half their sum.
    path = tangent.gradient_descent(kernel, start, y[..., None], 0.5 * 6 / 2, range(13))[..., 0]
    expected = 0.5 * ((path - y[:, None]) ** 2).sum(2)
    np.testing.assert_allclose(config.run()["loss"][:, 0], expected, rtol=0.05)


def test_states_units_and_ways_are_counted_by_hand():
    way = torch.zeros(1, 4, 2)
    way[0, 1] = torch.tensor([3.0, 4.0])
    switched = torch.zeros(1, 5, 4, dtype=torch.bool)
    switched[0, 2, 0] = switched[0, 3, 0] = switched[0, 3, 1] = True
    assert wide.moved(way, switched)[:, 0].tolist() == [pytest.approx(3 / 20), 0.5, 5]


def test_widths_are_compared_at_one_loss_and_not_at_one_step():
    config = TwoLayer(n=12, inputs=12, widths=(64,), rate=0.5, steps=40, looks=40, compared=0.1, seeds=SEEDS)
    found = config.results(config.run())
    loss = found["loss"][:, 0]
    first = (loss <= 0.1 * loss[:, :1]).argmax(1)
    assert (first > 0).all() and found.labels["look"] == tuple(range(41))
    at = found["max_distances"][np.arange(2), 0, first]
    assert np.array_equal(found["max_distance"][:, 0], at)
    assert (found["pattern_change"][:, 0] == found["pattern_changes"][np.arange(2), 0, first]).all()


def test_a_wider_net_of_a_seed_has_the_units_of_a_narrow_one():
    wider, narrow = (wide.normals(SEEDS, "init", width, 4) for width in (16, 8))
    assert torch.equal(wider[:, :8], narrow)


# ---- the linear model ----


def test_gradients_by_both_layers_are_those_of_autograd():
    def loss(w, v):
        return ((0.3 * torch.einsum("snm,sm->sn", (X @ w.transpose(1, 2)).relu(), v) - Y) ** 2).mean(1).sum()

    losses, found = wide.gradient(X, Y, W, V, 0.3)
    torch.testing.assert_close(losses.sum(), loss(W, V))
    for mine, theirs in zip(found, by_autograd(loss, W, V), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_tangent_kernels_are_those_of_the_jacobians():
    nets = [Module(w, v, 0.3) for w, v in zip(W, V, strict=True)]
    for other in (X, X[:, :4] + 1):
        torch.testing.assert_close(wide.tangents(X, other, W, V, 0.3), tangent.kernel(nets, X, other, own=True))


def test_the_linear_model_is_descent_on_the_linearised_net():
    net, far, rate = Module(W[0], V[0], 0.3), X[0, :4] + 1, 0.4
    moving = Module(W[0], V[0], 0.3)
    for _ in range(9):
        error = tangent.linearised(net, moving, X[0])[0, :, 0] - tangent.predictions(net, X[0])[0, :, 0] - Y[0]
        # The Jacobian is that of the start at every step, which makes it a linear model.
        slopes = by_autograd(lambda w, v: (2 / 7) * error @ (0.3 * (X[0] @ w.T).relu() @ v), W[0], V[0])  # noqa: B023
        for p, slope in zip((moving.w, moving.v), slopes, strict=True):
            p.data -= rate * slope
    expected = (tangent.linearised(net, moving, far) - tangent.predictions(net, far))[0, :, 0]
    kernel, cross = (wide.tangents(part[None], X[:1], W[:1], V[:1], 0.3)[0] for part in (X[0], far))
    torch.testing.assert_close(wide.linear_model(kernel, cross, Y[0], rate, 9)[0], expected)


SMALL = Tangent(n=60, pool=400, tests=100, widths=(16, 1024), steps=300, compared=0.2, seeds=SEEDS)


@pytest.fixture(scope="module")
def found():
    return SMALL.results(SMALL.run())


def test_nets_stop_at_one_loss_and_wide_lazy_ones_hardly_change(found):
    assert ((found["loss"] <= 0.2) & (found["loss"] > 0.1)).all() and (found["steps"] < 300).all()
    lazy, rich = found.at(mode="lazy"), found.at(mode="rich")
    for name in ("kernel_change", "linear_gap"):
        assert (lazy[name][:, 1] < 0.3 * lazy[name][:, 0]).all(), name
        assert (rich[name][:, 1] > 3 * lazy[name][:, 1]).all(), name


def test_both_kinds_begin_equally_fast():
    x, y, *_ = SMALL.examples()
    w, v = wide.normals(SEEDS, "init", 64, 64), wide.normals(SEEDS, "init", 64, key=[wide._SECOND])
    zero = wide.outputs(x, w, v, 1.0)
    steps = []
    for scale, rate in ((64**-0.5, 1e-3), (1 / 64, 64e-3)):
        _, (by_w, by_v) = wide.gradient(x, y + scale * zero, w, v, scale)
        steps.append(wide.outputs(x, w - rate * by_w, v - rate * by_v, scale) - scale * zero)
    torch.testing.assert_close(steps[0], steps[1], rtol=0.05, atol=1e-4)


def test_inputs_have_length_one_and_targets_say_whether_a_digit_is_even():
    x, y, test, truth = SMALL.examples()
    assert x.shape == (2, 60, 64) and test.shape == (2, 100, 64) and truth.shape == (2, 100)
    torch.testing.assert_close(x.norm(dim=2), torch.ones(2, 60))
    digits = SMALL.parts()["train"].y
    assert torch.equal(y > 0, digits % 2 == 0) and set(y.unique().tolist()) == {-1, 1}
