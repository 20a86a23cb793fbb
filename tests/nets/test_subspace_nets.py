"""Projections against their matrices as the papers write them; confined nets against autograd through those."""

import copy

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard as sylvester
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.projections import KINDS, Dense, Fastfood, hadamard, projection
from redlib.nets.stacked import unstacked
from redlib.nets.subspace import SubspaceMLP, SubspaceModule, in_subspaces

DOUBLE = torch.float64


def matrix_of(onto):
    return torch.stack([onto(row) for row in torch.eye(onto.dimension, dtype=DOUBLE)], 1)


def normal(*shape, key=0):
    return torch.from_numpy(rng(1000, "noise", 3, key).standard_normal(shape))


@pytest.mark.parametrize("size", [1, 2, 8, 64, 128])
def test_the_fast_transform_is_sylvesters_matrix(size):
    rows = normal(3, size)
    assert torch.allclose(hadamard(rows), rows @ torch.from_numpy(sylvester(size)).double() / size**0.5)


@pytest.mark.parametrize(("parameters", "dimension"), [(640, 70), (600, 70), (100, 100), (50, 3), (128, 64), (1000, 1)])
def test_fastfood_is_the_product_of_its_matrices_with_columns_of_length_one(parameters, dimension):
    onto = Fastfood(rng(1000, "features"), parameters, dimension, DOUBLE)
    size, h = onto.size, torch.from_numpy(sylvester(onto.size)).double()
    blocks = [
        h @ torch.diag(g) @ torch.eye(size, dtype=DOUBLE)[p] @ h @ torch.diag(b)
        for g, p, b in zip(onto.normal, onto.order, onto.signs, strict=True)
    ]
    wanted = torch.cat(blocks)[:parameters, :dimension]
    found = matrix_of(onto)
    assert torch.allclose(found, wanted / wanted.norm(dim=0), atol=1e-12)
    assert int(torch.linalg.matrix_rank(found)) == dimension


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("parameters", "dimension"), [(700, 90), (70, 70), (130, 5)])
def test_columns_have_length_one_and_the_transpose_is_one(kind, parameters, dimension):
    onto = projection(kind, 1000, parameters, dimension, DOUBLE)
    matrix, gradient = matrix_of(onto), normal(parameters)
    assert torch.allclose(matrix.norm(dim=0), torch.ones(dimension, dtype=DOUBLE))
    assert torch.allclose(onto.transposed(gradient), matrix.T @ gradient)
    c = normal(dimension, key=1).requires_grad_(True)
    onto(c).backward(gradient)
    assert torch.allclose(c.grad, matrix.T @ gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_random_directions_are_nearly_orthogonal_and_spread_over_all_parameters(kind):
    parameters, dimension = 6000, 100
    matrix = matrix_of(projection(kind, 1000, parameters, dimension, DOUBLE))
    overlaps = (matrix.T @ matrix - torch.eye(dimension, dtype=DOUBLE)) * parameters**0.5
    # Those of a block of fastfood are Walsh coefficients of squared normal numbers, of variance 2.
    assert overlaps.square().mean() == pytest.approx(1 if kind == "dense" else 2, rel=0.1)
    entries = matrix * parameters**0.5
    assert entries.square().mean() == pytest.approx(1)
    assert entries.pow(4).mean() == pytest.approx(3, abs=0.15)  # that of normal numbers
    assert matrix.square().sum(1).mul(parameters / dimension).std() < 0.5  # none is out of reach


def test_a_projection_belongs_to_its_seed_and_dimension():
    one, same, other = (projection("fastfood", seed, 500, 20) for seed in (1000, 1000, 1001))
    c = torch.ones(20)
    assert torch.equal(one(c), same(c)) and not torch.equal(one(c), other(c))
    larger = projection("fastfood", 1000, 500, 21, DOUBLE)
    inside = torch.linalg.lstsq(matrix_of(larger), matrix_of(projection("fastfood", 1000, 500, 20, DOUBLE)))
    assert (matrix_of(larger) @ inside.solution).norm(dim=0).max() < 0.6  # subspaces of a seed are not nested


def test_auto_is_dense_for_small_nets_alone():
    assert isinstance(projection("auto", 1000, 4096, 3), Dense)
    assert isinstance(projection("auto", 1000, 4097, 3), Fastfood)


def stack(activation="tanh", sizes=(5, 6, 4, 3), seeds=(1000, 1001), dtype=DOUBLE):
    return StackedMLP.create(sizes, seeds, activation, dtype=dtype)


def dense(net, dims):
    sizes = zip(dims, range(net.replicates), strict=True)
    return [Dense(normal(net.parameters_each, d, key=10 + r) / net.parameters_each**0.5) for d, r in sizes]


def by_autograd(module, theta0, onto, c, x, y, loss):
    """Return loss and gradient by c of a module whose parameters are written out from θ₀ + P·c."""
    c = c.clone().requires_grad_(True)
    theta, at, own = theta0 + onto.matrix @ c, 0, {}
    for name, values in module.named_parameters():
        own[name] = theta[at : at + values.numel()].view(values.shape)
        at += values.numel()
    outputs = functional_call(module, own, (x,))
    value = functional.cross_entropy(outputs, y) if loss == "cross_entropy" else functional.mse_loss(
        outputs, functional.one_hot(y, 3).double())  # fmt: skip
    value.backward()
    return value.detach(), c.grad, theta.detach()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_gradient_of_a_stack_is_that_of_autograd_through_the_matrix(activation, loss):
    net = stack(activation)
    projections = dense(net, [7, 12])
    confined = SubspaceMLP(net, projections)
    confined.coefficients[0, :7], confined.coefficients[1] = normal(7, key=2), normal(12, key=3)
    x, y = normal(2, 9, 5, key=4), torch.from_numpy(rng(1000, "noise", 5).integers(0, 3, (2, 9)))
    out = torch.ones_like(confined.flat)
    scale = torch.tensor([2.0, -0.5], dtype=DOUBLE)
    losses = confined.gradient(confined.pad(x), y, loss, out, beta=0.25, scale=scale)
    for r, (onto, d) in enumerate(zip(projections, (7, 12), strict=True)):
        wanted = by_autograd(unstacked(net, r), net.vector()[r], onto, confined.coefficients[r, :d], x[r], y[r], loss)
        assert losses[r] == pytest.approx(float(wanted[0]))
        assert torch.allclose(out.view(2, 12)[r, :d], 0.25 + scale[r] * wanted[1])
        assert torch.allclose(confined.vector()[r], wanted[2])
    assert torch.equal(out.view(2, 12)[0, 7:], torch.full((5,), 0.25, dtype=DOUBLE))  # no gradient beyond d


def test_copies_and_selections_are_the_same_nets():
    net = stack(seeds=(1000, 1001, 1002))
    confined = in_subspaces(net, [4, 9], [1000, 1001, 1002])
    confined.flat.copy_(normal(len(confined.flat), key=6))
    x = normal(8, 5, key=7)
    outputs = confined.logits(x)
    assert confined.dimensions == [4, 9] * 3 and confined.seeds == (1000, 1000, 1001, 1001, 1002, 1002)
    assert torch.equal(confined.clone().logits(x), outputs)
    assert torch.equal(confined.select([4, 1]).logits(x), outputs[[4, 1]])
    assert torch.equal(confined.solution().logits(x), outputs)
    assert torch.equal(confined.select([3]).solution().vector()[0], confined.vector()[3])
    copied = confined.clone()
    copied.flat.zero_()
    assert torch.equal(confined.logits(x), outputs)
    assert torch.equal(copied.vector(), net.vector().repeat_interleave(2, 0))  # they begin at θ₀


class Small(nn.Module):
    """A conv net with BatchNorm, dropout and a frozen layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.norm, self.drop = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.3)
        self.last, self.frozen = nn.Linear(12, 4), nn.Linear(4, 3).requires_grad_(False)

    def forward(self, x):
        return self.frozen(self.last(self.drop(functional.relu(self.norm(self.conv(x)))).flatten(1)))


def test_a_module_moves_in_its_subspace_alone():
    module = Small()
    before = copy.deepcopy(module.state_dict())
    count = sum(values.numel() for values in module.parameters() if values.requires_grad)
    onto = projection("dense", 1000, count, 10)
    confined = SubspaceModule(module, onto)
    assert [name for name, values in confined.named_parameters() if values.requires_grad] == ["coefficients"]
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(confined.eval()(x), module.eval()(x))
    confined.train()(x).square().sum().backward()
    assert confined.net.norm.num_batches_tracked == 1 and bool(confined.coefficients.grad.ne(0).all())
    with torch.no_grad():
        confined.coefficients += torch.arange(10.0)
    alone = confined.solution()
    assert torch.equal(alone.eval()(x), confined.eval()(x))
    moved = torch.cat([
        (values - before[name]).flatten() for name, values in alone.named_parameters() if values.requires_grad
    ])  # fmt: skip
    assert torch.allclose(moved, onto.matrix @ torch.arange(10.0), atol=1e-6)
    assert torch.equal(alone.frozen.weight, before["frozen.weight"])
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_moved_weights_lie_in_memory_as_those_at_the_origin(layout):
    """That of one channel, too, which counts as laid out in either way: else convolutions convert all they meet."""
    module = Small()
    count = sum(values.numel() for values in module.parameters() if values.requires_grad)
    confined = SubspaceModule(module, projection("dense", 1000, count, 10)).to(memory_format=layout)
    moved = dict(confined._moved())
    assert moved["conv.weight"].shape == (3, 1, 3, 3) and moved["conv.weight"].requires_grad
    assert {name: values.stride() for name, values in moved.items()} == {
        name: confined.net.get_parameter(name).stride() for name in moved
    }


def test_modules_are_confined_seed_by_seed():
    nets = in_subspaces([nn.Linear(4, 2), nn.Linear(4, 2)], [3, 5], [1000, 1001], "fastfood")
    assert [len(net.coefficients) for net in nets] == [3, 5, 3, 5]
    assert torch.equal(nets[0].net.weight, nets[1].net.weight) and not torch.equal(
        nets[0].net.weight, nets[2].net.weight
    )


def test_what_cannot_be_is_refused():
    net, module = stack(), nn.Linear(4, 2)
    for refused in (
        lambda: projection("dense", 1000, 10, 11),
        lambda: projection("fastfood", 1000, 10, 0),
        lambda: projection("sparse", 1000, 10, 5),
        lambda: Dense(torch.ones(3)),
        lambda: Dense(torch.ones(3, 2, dtype=torch.int64)),
        lambda: Dense(torch.ones(3, 4)),
        lambda: SubspaceMLP(net, dense(net, [3, 4])[:1]),
        lambda: SubspaceMLP(net, [Dense(torch.ones(10, 2))] * 2),
        lambda: SubspaceModule(module, Dense(torch.ones(9, 2))),
        lambda: in_subspaces(net, [], [1000, 1001]),
        lambda: in_subspaces(net, [net.parameters_each + 1], [1000, 1001]),
        lambda: in_subspaces(net, [3], [1000]),
        lambda: in_subspaces(module, [11], [1000]),
        lambda: in_subspaces(nn.Linear(2, 2).requires_grad_(False), [1], [1000]),
        lambda: in_subspaces(net, [3], [1000, 1001]).apply_masks([None] * 3),
    ):
        with pytest.raises(BadInput):
            refused()


def test_a_projection_keeps_numbers_of_the_order_of_the_parameters():
    onto = projection("auto", 1000, 200_000, 750)
    assert sum(values.numel() for values in onto.buffers()) < 5 * 200_000
    assert np.isclose(float(onto(torch.eye(750)[3]).norm()), 1, atol=1e-4)
