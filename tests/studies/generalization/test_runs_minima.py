"""The runs on widths and minima do what they say: where nets stop, what is attacked, and where descent can stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from redlib.measures.curvature import adaptive_sharpness, eigenvalues, loss_of, top_eigenvalues
from redlib.nets import StackedMLP
from redlib.studies.generalization.minima import (
    Attacked,
    BatchSizes,
    Descent,
    Escape,
    SmallBatches,
    Starts,
    by_depth,
    by_layer,
    chosen,
    joined,
    radii,
    small_lenet,
)
from redlib.studies.generalization.widths import Sizes, scaled
from redlib.training import Examples

SEEDS = (1000, 1001)
ATTACKED = Attacked(images=40, attacks=(0, 8, 30), hidden=(10,), steps=1500, seeds=SEEDS, directions=5, until=0.01)
DESCENT = Descent(n=24, hidden=(10,), steps=3000, seeds=SEEDS)


def test_every_net_stops_as_soon_as_it_is_down_to_the_loss():
    runs = Sizes(n=100, sizes=((12,), (40,), (20, 20)), until=0.05, lr=0.03, batch=20, seeds=SEEDS)
    found = runs.results(runs.run())
    assert (found["train_loss"] <= 0.05).all() and (found["train_loss"] > 0.025).all(), "down to it, and not far below"
    assert (found["train_error"] == 0).all() and (found["margin"] > 0).all()
    assert (found["total"] > found["per_unit"]).all() and np.isfinite(found["epochs"]).all()
    never = replace(runs, sizes=((2,),), epochs=2)
    assert np.isnan(never.run()["epochs"]).all()


def test_the_start_is_scaled_as_a_whole():
    one, four = (StackedMLP.create((5, 4, 3), SEEDS, init=scaled(factor)).vector() for factor in (1.0, 4.0))
    torch.testing.assert_close(four, 4 * one)


def test_batches_are_compared_at_the_shared_rate_at_tuned_ones_and_at_one_loss():
    runs = BatchSizes(n=60, hidden=(16,), batches=(10, 30), rates=(1e-3, 1e-2), lr=1e-2, epochs=150, seeds=SEEDS)
    found = runs.results(runs.run())
    assert (found["equal_loss"] <= 0.05).all() and (found["one_rate"] == 1e-2).all()
    errors = found["validation_error"]
    chosen_ = np.take_along_axis(errors, (found["tuned_rate"] == 1e-2).astype(int)[..., None], 2)[..., 0]
    assert np.array_equal(chosen_, errors.min(2))
    same = found["tuned_rate"] == found["one_rate"]
    assert np.allclose(found["tuned_curvature"][same], found["curvature"][same]) and same.any()


def test_attack_labels_are_all_wrong_and_the_images_keep_theirs():
    data, (rows, told) = ATTACKED.load().train, ATTACKED.with_wrong(30).table(2)
    assert torch.equal(told[:, :40], data.y[rows[:, :40]]) and bool((told[:, 40:] != data.y[rows[:, 40:]]).all())
    assert not torch.equal(told[0], told[1]), "of each seed's own"


def test_the_curvatures_of_conv_nets_by_depth_are_those_of_whole_hessians():
    nets = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 2)) for _ in "ab"]
    x, y = torch.randn(6, 1, 4, 4), torch.arange(6) % 2
    each = by_depth(nets, Examples(x, y))
    assert [one.size for one in each] == [20 + 27 + 8, 27 + 8, 8]
    assert torch.allclose(eigenvalues(*each), eigenvalues(each[0]), atol=1e-12)
    assert all(p.requires_grad for net in nets for p in net.parameters()), "the nets are left as they were"


@pytest.fixture(scope="module")
def solutions():
    return ATTACKED.results(ATTACKED.run())


def test_all_solutions_fit_at_one_loss_and_attacked_ones_do_worse(solutions):
    assert (solutions["train_error"] == 0).all()
    assert (solutions["train_loss"] <= 0.01).all() and (solutions["train_loss"] > 0.005).all()
    assert (np.diff(solutions["test_error"].mean(0)) > 0).all()
    assert (np.diff(solutions["eigenvalues"], axis=2) <= 1e-12).all(), "largest first"
    assert not np.allclose(solutions["start_eigenvalues"], solutions["eigenvalues"][:, 0])


def test_a_start_with_the_seed_of_a_solution_is_that_solution(solutions):
    starts = Starts(source=ATTACKED, starts=2)
    found = starts.results(starts.run())
    assert np.array_equal(found["test_error"][:, 0], solutions["test_error"][:, 0])
    assert not np.array_equal(found["train_loss"][:, 1], found["train_loss"][:, 0])


def test_rescaled_layers_move_curvature_and_radius_but_nothing_that_is_free_of_scale():
    net, train = ATTACKED.solved(0), ATTACKED.images_alone()
    other = net.clone()
    other.weights[0].mul_(3)
    other.biases[0].mul_(3)
    other.weights[1].div_(3)
    one, two = loss_of(net, train), loss_of(other, train)
    torch.testing.assert_close(one.value(), two.value(), rtol=1e-5, atol=1e-7)
    top = [top_eigenvalues(loss).values for loss in (one, two)]
    assert bool(((top[0] / top[1]).log().abs() > 0.1).all())
    free = [adaptive_sharpness(loss).values for loss in (one, two)]
    torch.testing.assert_close(free[0], free[1], rtol=1e-4, atol=0)
    raw, even = zip(*(ATTACKED.reach(chosen(part, [0])) for part in (net, other)), strict=True)
    assert raw[0] / raw[1] > 1.1 and even[0] / even[1] == pytest.approx(1, rel=0.02)


def test_the_loss_at_the_radius_is_the_one_asked_for():
    net, train = chosen(ATTACKED.solved(0), [0] * 6), ATTACKED.images_alone()
    loss = loss_of(net, train)
    own = torch.randn(6, loss.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for directions in (own, by_layer(loss, own)):
        far = radii(loss, directions, 0.1, halvings=20)
        torch.testing.assert_close(loss.value(loss.rows + far[:, None] * directions), torch.full_like(far, 0.1))
    assert radii(loss, 0 * own, 0.1).isnan().all(), "nowhere"


def test_nets_of_all_arms_are_joined_one_after_the_other():
    nets = [ATTACKED.nets((seed,)) for seed in SEEDS]
    assert torch.equal(joined(nets).vector(), ATTACKED.nets(SEEDS).vector())
    modules = [[small_lenet(10)], [small_lenet(10)]]
    assert joined(modules) == [modules[0][0], modules[1][0]]


def test_conv_nets_have_the_parameters_of_the_source_and_run():
    assert sum(p.numel() for p in small_lenet(10).parameters()) == 3781
    net = small_lenet(10)
    train = Examples(torch.rand(4, 1, 28, 28), torch.arange(4))
    assert loss_of(chosen([net], [0, 0]), train).value().shape == (2,)


@pytest.fixture(scope="module")
def descended():
    return DESCENT.results(DESCENT.run())


def test_descent_stays_only_where_curvature_is_at_most_two_over_the_step(descended):
    half = descended["sharpness"] * np.array(DESCENT.rates)[:, None] / 2
    assert half.mean(2).max() <= 1.1
    assert (descended["train_loss"][..., -1] < 0.1 * descended["train_loss"][..., 0]).all()
    assert descended["sharp_steps"].tolist() == descended["steps"][-5:].tolist()


def test_the_curvature_of_descent_is_that_of_its_weights(descended):
    net = StackedMLP.create((64, 10, 10), SEEDS, "tanh").with_vector(torch.from_numpy(descended["weights"][:, 2]))
    top = top_eigenvalues(loss_of(net, DESCENT.parts()["train"], "mse")).values[:, 0]
    assert np.allclose(descended["sharpness"][:, 2, -1], top, rtol=1e-3)


def test_going_on_with_the_same_step_is_a_longer_descent(descended):
    escape = Escape(source=DESCENT)
    found = escape.results(escape.run(descended.arrays))
    longer = replace(DESCENT, steps=6000, looks=60).run()
    onward = found.at(arm="onward")
    assert np.allclose(onward["loss_after"], longer["train_loss"][:, 2, -1], rtol=1e-3)
    assert np.allclose(onward["loss_before"], descended["train_loss"][:, 2, -1], rtol=1e-5)
    assert (onward["peak_loss"] <= onward["loss_before"]).all(), "small steps only descend"
    assert (found["rate_after"] == np.array([0.72, 0.18, 0.18])).all()


def test_small_batches_take_as_many_steps_and_fit():
    runs = SmallBatches(n=24, hidden=(10,), batches=(4, 12), steps=1500, seeds=SEEDS)
    found = runs.results(runs.run())
    assert (found["train_error"] == 0).all() and (found["non_uniformity"] > 0).all()
    assert (found["sharpness"] * runs.lr / 2 < 1.1).all()
