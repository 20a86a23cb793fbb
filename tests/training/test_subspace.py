"""Training in subspaces against training in all parameters, a least-squares solution, and crossings known by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.projections import Dense
from redlib.nets.stacked import unstacked
from redlib.nets.subspace import SubspaceMLP, SubspaceModule
from redlib.training import SGD, Adam, Examples, fit
from redlib.training.subspace import crossing_dimension, fit_subspace

DOUBLE = torch.float64
SEEDS = [1000, 1001]


def toy(n=60, inputs=6, dtype=DOUBLE):
    """Return examples of three classes that a small net can learn."""
    x = rng(1000, "noise", 40).standard_normal((n, inputs))
    return Examples(torch.from_numpy(x).to(dtype), torch.from_numpy(x[:, :3].argmax(1)))


def stack(seeds=SEEDS, dtype=DOUBLE):
    return StackedMLP.create((6, 8, 3), seeds, "tanh", dtype=dtype)


@pytest.mark.parametrize(
    ("rule", "rotated"),
    [(SGD(0.2), True), (SGD(0.1, momentum=0.9), True), (SGD((0.1, 0.3)), True), (Adam(0.01), False)],
    ids=["sgd", "momentum", "two rates", "adam"],
)
def test_as_many_dimensions_as_parameters_train_as_all_parameters_do(rule, rotated):
    """By an orthogonal P for SGD, which knows no axes, and by P = 1 for Adam, which does."""
    net, data = stack(), toy()
    size = net.parameters_each
    q = np.linalg.qr(rng(1000, "noise", 41).standard_normal((size, size)))[0] if rotated else np.eye(size)
    confined = SubspaceMLP(net, [Dense(torch.from_numpy(q))] * 2)
    options = {"optimizer": rule, "epochs": 5, "batch_size": 16, "evaluate": {"train": data}}
    inside, outside = fit(confined, data, **options), fit(net, data, **options)
    assert not torch.equal(net.vector(), stack().vector())
    close = 1e-7 if isinstance(rule.lr, tuple) else 1e-10  # a rate for each replicate is a float32
    assert torch.allclose(confined.vector(), net.vector(), atol=close)
    assert inside.batch_loss == pytest.approx(outside.batch_loss, abs=close)


@pytest.mark.parametrize("rule", [SGD(0.1, momentum=0.9), Adam(0.01)])
@pytest.mark.parametrize("kind", ["dense", "fastfood"])
def test_a_stack_trains_as_modules_one_by_one(rule, kind):
    data, dims = toy(), [5, 30]
    options = {"optimizer": rule, "epochs": 4, "batch_size": 16, "probe_epochs": [0, 2, 4]}
    one = fit_subspace(stack(), dims, SEEDS, data, {"train": data}, kind, **options)
    modules = [unstacked(stack(), r) for r in range(2)]
    other = fit_subspace(modules, dims, SEEDS, data, {"train": data}, kind, **options)
    assert (
        one["train_loss"].shape == (2, 2, 3) and one.steps.tolist() == [0, 8, 16] and one.epochs.tolist() == [0, 2, 4]
    )
    assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-10)
    assert one["train_error"] == pytest.approx(other["train_error"])
    for mine, theirs in zip(one.nets.coefficients, other.nets, strict=True):
        assert torch.allclose(mine[: len(theirs.coefficients)], theirs.coefficients, atol=1e-10)


def test_nets_stay_in_their_subspaces_and_the_given_ones_as_they_were():
    net, data = stack(), toy()
    before = net.vector()
    found = fit_subspace(net, [4, 11], SEEDS, data, {}, optimizer=Adam(0.05), epochs=3)
    assert torch.equal(net.vector(), before)
    moved = found.nets.vector() - before.repeat_interleave(2, 0)
    for way, onto in zip(moved, found.nets.projections, strict=True):
        inside = torch.linalg.lstsq(onto.matrix, way[:, None]).solution
        assert way.norm() > 0.01 and torch.allclose(onto.matrix @ inside, way[:, None], atol=1e-10)


@pytest.mark.parametrize("kind", ["dense", "fastfood"])
def test_a_run_is_the_same_alone_and_in_company(kind):
    """Bit for bit: neither other dimensions nor other seeds change it."""
    data = toy(dtype=torch.float32)
    options = {"optimizer": Adam(0.02), "epochs": 3, "batch_size": 16}

    def run(seeds, dims):
        return fit_subspace(stack(seeds, torch.float32), dims, seeds, data, {"train": data}, kind, **options)

    together, alone = run([1000, 1001, 1002], [3, 17, 40]), run([1001], [17])
    assert together["train_loss"][1, 1] == alone["train_loss"][0, 0]
    assert torch.equal(together.nets.vector()[4], alone.nets.vector()[0])


def test_a_linear_net_comes_to_the_least_squares_solution_of_its_subspace():
    source = rng(1000, "noise", 42)
    x, y = torch.from_numpy(source.standard_normal((30, 8))), torch.from_numpy(source.standard_normal((30, 1)))
    module = nn.Linear(8, 1, dtype=DOUBLE)
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(torch.from_numpy(source.standard_normal(values.shape)))
    found = fit_subspace(module, [4], [1000], Examples(x, y), {}, "dense", loss=functional.mse_loss,
                         optimizer=SGD(0.1, momentum=0.9), steps=500, batch_size=None)  # fmt: skip
    confined = found.nets[0]
    design = torch.cat([x, torch.ones(30, 1, dtype=DOUBLE)], 1)  # of weights and bias, in their order
    theta0 = torch.cat([values.detach().flatten() for values in module.parameters()])
    wanted = torch.linalg.lstsq(design @ confined.projection.matrix, y - (design @ theta0)[:, None]).solution[:, 0]
    assert torch.allclose(confined.coefficients.detach(), wanted, atol=1e-8)


def test_every_replicate_has_its_own_examples():
    pool, rows = toy(), torch.stack([torch.arange(30), torch.arange(30, 60)])
    own = Examples(pool.x, pool.y, rows)
    options = {"optimizer": SGD(0.2), "epochs": 3, "batch_size": 10}
    both = fit_subspace(stack(), [6, 9], SEEDS, own, {"train": own}, **options)
    for s, seed in enumerate(SEEDS):
        part = Examples(pool.x[rows[s]], pool.y[rows[s]])
        alone = fit_subspace(stack([seed]), [6, 9], [seed], part, {"train": part}, **options)
        assert both["train_loss"][s] == pytest.approx(alone["train_loss"][0], abs=1e-12)


def test_more_dimensions_fit_better_and_accuracies_are_those_of_the_nets():
    data = toy()
    found = fit_subspace(stack(), [1, 60], SEEDS, data, {"train": data}, optimizer=Adam(0.05), epochs=60, batch_size=20)
    accuracies = found.accuracies("train")
    assert (
        accuracies.shape == (2, 2)
        and (accuracies[:, 1] > accuracies[:, 0] + 0.2).all()
        and accuracies[:, 1].min() > 0.95
    )
    right = (found.nets.logits(data.x).argmax(2) == data.y).double().mean(1).view(2, 2)
    assert accuracies == pytest.approx(right.numpy())


def test_convolutional_nets_train_in_subspaces():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    x = torch.from_numpy(rng(1000, "noise", 43).standard_normal((48, 1, 4, 4))).float()
    data = Examples(x, x[:, 0, 0, :3].argmax(1))
    found = fit_subspace(
        module, [10, 80], [1000], data, {"train": data}, optimizer=Adam(0.02), epochs=30, batch_size=16
    )
    assert isinstance(found.nets[0], SubspaceModule) and found["train_loss"].shape == (1, 2, 1)
    assert found["train_loss"][0, 1, 0] < found["train_loss"][0, 0, 0] < 1.2


@pytest.mark.parametrize(
    ("curve", "level", "crossing"),
    [
        ([0.5, 0.9, 0.95], 0.7, 15),
        ([0.5, 0.9, 0.95], 0.9, 20),
        ([0.5, 0.9, 0.95], 0.96, math.nan),
        ([0.5, 0.9, 0.95], 0.5, 10),
        ([0.5, 0.9, 0.95], 0.1, 10),
        ([0.5, 0.9, 0.7], 0.65, 15),  # the last two become 0.8 each
        ([0.9, 0.5, 0.7], 0.7, 10),  # all become 0.7
        ([0.9, 0.5, 0.7], 0.71, math.nan),
    ],
)
def test_crossings_known_by_hand(curve, level, crossing):
    found = crossing_dimension([10, 20, 40], curve, level)
    assert found.shape == () and found == pytest.approx(crossing, nan_ok=True)


def test_crossings_of_many_seeds_have_their_levels():
    curves = [[0.5, 0.9, 0.95], [0.4, 0.8, 1.0]]
    assert crossing_dimension([10, 20, 40], curves, 0.9) == pytest.approx([20, 30])
    assert crossing_dimension([10, 20, 40], curves, [0.7, 0.6]) == pytest.approx([15, 15])


def test_what_cannot_be_is_refused():
    data, net = toy(), stack()
    rows = Examples(data.x, data.y, torch.arange(30).expand(3, -1))
    for refused in (
        lambda: fit_subspace(net, [net.parameters_each + 1], SEEDS, data, {}, epochs=1),
        lambda: fit_subspace(net, [3], [1000], data, {}, epochs=1),
        lambda: fit_subspace(net, [], SEEDS, data, {}, epochs=1),
        lambda: fit_subspace(net, [3], SEEDS, rows, {}, epochs=1),
        lambda: fit_subspace(net, [3], SEEDS, data, {"test": rows}, epochs=1),
        lambda: fit_subspace(net, [3], SEEDS, data, {}, "sparse", epochs=1),
        lambda: fit_subspace(net, [3], SEEDS, data, {}, epochs=1, checkpoint="file"),
        lambda: fit_subspace(net, [3], SEEDS, data, {}, epochs=1)["test_error"],
        lambda: crossing_dimension([10, 10], [0.1, 0.2], 0.1),
        lambda: crossing_dimension([10, 20], [0.1, 0.2, 0.3], 0.1),
        lambda: crossing_dimension([10, 20], [0.1, math.nan], 0.1),
        lambda: crossing_dimension([10, 20], [0.1, 0.2], [0.1, 0.2]),
        lambda: crossing_dimension([10, 20], [0.1, 0.2], math.nan),
        lambda: crossing_dimension([], [], 0.1),
    ):
        with pytest.raises(BadInput):
            refused()
