"""Matched units: copies in another order are found again, and what no order can match is refused."""

from itertools import permutations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from redlib.errors import BadInput
from redlib.measures.matching import match_activations, match_weights, reordered
from redlib.nets.convnets import cnn5, seeded
from redlib.nets.normed import normed_mlp
from redlib.nets.residual import ResidualMLP
from redlib.nets.stacked import StackedMLP, unstacked
from redlib.nets.strided import build_strided

SEEDS = [1000, 1001, 1002]
SIZES = (6, 12, 9, 7, 4)
DOUBLE = torch.float64


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def orders_of(units, count, seed=3):
    g = torch.Generator().manual_seed(seed)
    return [torch.stack([torch.randperm(n, generator=g) for _ in range(count)]) for n in units]


def stack(seeds=SEEDS, sizes=SIZES):
    net = StackedMLP.create(sizes, seeds, dtype=DOUBLE)
    for biases in net.biases:
        biases.copy_(drawn(*biases.shape, seed=5) / 3)
    return net


def modules_of(net):
    return [unstacked(net, r) for r in range(net.replicates)]


def convolutional(seed):
    """A chain with every part that is allowed; four channels of nine places each reach the linear layer."""
    first = [nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)]
    second = nn.Sequential(nn.Conv2d(5, 4, 2, padding=1), nn.Tanh(), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(3))
    last = [nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 3)]
    net = seeded(lambda: nn.Sequential(*first, second, *last), seed).double()
    for n, part in enumerate(net.modules()):
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for k, values in enumerate((part.weight.data, part.bias.data, part.running_mean, part.running_var)):
                values.copy_(1 + drawn(len(values), seed=1000 * seed + 10 * n + k).abs())
    return net.eval()


# ---- reordering ----


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_reordered_stacks_compute_the_same(activation):
    net = stack()
    net.activation = activation
    orders = orders_of(SIZES[1:-1], 3)
    other = reordered(net, orders)
    x = drawn(20, 6)
    torch.testing.assert_close(other.logits(x), net.logits(x), rtol=0, atol=1e-12)
    hidden, own = net.hidden(x), other.hidden(x)
    for layer, order in enumerate(orders, 1):
        for r in range(3):
            torch.testing.assert_close(own[layer][r], hidden[layer][r][:, order[r]], rtol=0, atol=1e-12)
    assert not torch.equal(other.flat, net.flat)


def test_masks_follow_their_units():
    net = stack()
    kept = [torch.rand(w.shape, generator=torch.Generator().manual_seed(2)) < 0.6 for w in net.weights]
    net.apply_masks([kept[0], None, kept[2], kept[3]])
    other = reordered(net, orders_of(SIZES[1:-1], 3))
    x = drawn(20, 6)
    torch.testing.assert_close(other.logits(x), net.logits(x), rtol=0, atol=1e-12)
    for layer in (0, 2, 3):
        assert torch.equal(other.masks[layer], other.weights[layer] != 0)
    assert other.masks[1] is None and torch.equal(net.masks[0], kept[0])


def test_reordered_modules_compute_the_same_with_their_statistics():
    net = convolutional(1000)
    other = reordered(net, orders_of([5, 4, 8], 1))[0]
    x = drawn(9, 2, 8, 8)
    torch.testing.assert_close(other(x), net(x), rtol=0, atol=1e-12)
    assert not torch.equal(other[0].weight, net[0].weight) and not torch.equal(other[1].running_var, net[1].running_var)
    real = seeded(cnn5, 1000, 4, 10, 1, 8).eval()
    x = drawn(5, 1, 8, 8).float()
    found = reordered(real, orders_of([4, 8, 16, 32], 1))[0]
    torch.testing.assert_close(found(x), real(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("odd", [[], orders_of([12, 9], 3), orders_of([12, 9, 7], 2), [torch.zeros(3, n) for n in
                                 (12, 9, 7)]])  # fmt: skip
def test_orders_that_are_none_are_refused(odd):
    with pytest.raises(BadInput, match="orders"):
        reordered(stack(), odd)


# ---- matching ----


def test_a_reordered_stack_is_matched_back_exactly_by_weights_and_by_activations():
    net, orders = stack(), orders_of(SIZES[1:-1], 3)
    net.activation = "tanh"  # with ReLU several units are silent, which no activation tells apart
    other = reordered(net, orders)
    for found in (match_weights(net, other), match_activations(net, other, drawn(200, 6))):
        assert torch.equal(found.net.flat, net.flat) and not found.after.any() and (found.before > 1).all()
        for layer, order in enumerate(orders):
            assert torch.equal(found.orders[layer], order.argsort(1)), "the inverse of what was done"


def test_a_reordered_wide_net_is_matched_back_exactly():
    net = StackedMLP.create((64, 128, 128, 10), [1000])
    found = match_weights(net, reordered(net, orders_of([128, 128], 1)))
    assert torch.equal(found.net.flat, net.flat)


def test_reordered_modules_are_matched_back_exactly():
    net = convolutional(1000)
    other = reordered(net, orders_of([5, 4, 8], 1))
    for found in (match_weights(net, other), match_activations([net], other, drawn(30, 2, 8, 8))):
        state = found.net[0].state_dict()
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        assert not found.after.any() and found.before > 1


def test_the_match_of_one_hidden_layer_is_the_best_of_all_orders():
    one, other = stack(SEEDS, (3, 5, 2)), stack([7, 8, 9], (3, 5, 2))
    found = match_weights(one, other)
    every = torch.tensor(list(permutations(range(5))))
    for r in range(3):
        parts = [[net.weights[0][r], net.biases[0][r][:, None], net.weights[1][r].T] for net in (one, other)]
        mine, theirs = (torch.cat(p, 1) for p in parts)  # all that belongs to a unit in its row
        squares = (mine - theirs[every]).square().sum((1, 2))
        assert torch.equal(found.orders[0][r], every[squares.argmin()])
        last = (one.biases[1][r] - other.biases[1][r]).square().sum()
        assert found.after[r].item() == pytest.approx((squares.min() + last).sqrt().item())


def test_the_match_of_activations_has_the_largest_sum_of_correlations():
    one, other = stack(SEEDS[:1], (3, 5, 2)), stack([7], (3, 5, 2))
    x = drawn(50, 3)
    values = [net.hidden(x)[1][0] for net in (one, other)]
    table = torch.corrcoef(torch.cat(values, 1).T)[:5, 5:].nan_to_num()
    every = torch.tensor(list(permutations(range(5))))
    best = table[torch.arange(5), every].sum(1).argmax()
    assert torch.equal(match_activations(one, other, x).orders[0][0], every[best])


def test_a_unit_that_never_changes_takes_what_is_left():
    one = stack(SEEDS[:1], (3, 5, 2))
    other = reordered(one, orders_of([5], 1))
    for net, unit in ((one, 2), (other, int(orders_of([5], 1)[0].argsort(1)[0, 2]))):
        net.weights[0][0, unit], net.biases[0][0, unit] = 0.0, -1.0
    found = match_activations(one, other, drawn(50, 3))
    assert torch.equal(found.orders[0], orders_of([5], 1)[0].argsort(1))


def test_weight_matching_never_takes_nets_apart_and_no_single_layer_can_be_improved():
    one, other = stack(), stack([7, 8, 9])
    found = match_weights(one, other)
    x = drawn(20, 6)
    assert (found.after < found.before).all()
    torch.testing.assert_close(found.net.logits(x), other.logits(x), rtol=0, atol=1e-12)
    away = (found.net.vector() - one.vector()).norm(dim=1)
    torch.testing.assert_close(away, found.after)
    torch.testing.assert_close((other.vector() - one.vector()).norm(dim=1), found.before)
    for layer, units in enumerate(SIZES[1:-1]):
        for a in range(units):
            for b in range(a):
                orders = [torch.arange(n).repeat(3, 1) for n in SIZES[1:-1]]
                orders[layer][:, [a, b]] = orders[layer][:, [b, a]]
                swapped = (reordered(found.net, orders).vector() - one.vector()).norm(dim=1)
                assert (swapped >= found.after - 1e-9).all()


def test_stacks_and_modules_have_the_same_match():
    one, other = stack(), stack([7, 8, 9])
    pairs = [
        (match_weights(one, other), match_weights(modules_of(one), modules_of(other), seeds=SEEDS)),
        (
            match_activations(one, other, drawn(40, 6)),
            match_activations(modules_of(one), modules_of(other), drawn(40, 6)),
        ),
    ]
    for stacked, modules in pairs:
        assert all(torch.equal(a, b) for a, b in zip(stacked.orders, modules.orders, strict=True))
        torch.testing.assert_close(modules.after, stacked.after)
        for r, net in enumerate(modules.net):
            torch.testing.assert_close(net.state_dict(), unstacked(stacked.net, r).state_dict(), rtol=0, atol=0)


def test_a_pair_does_not_depend_on_the_pairs_beside_it():
    one, other = stack(), stack([7, 8, 9])
    together = match_weights(one, other)
    for r in range(3):
        alone = match_weights(one.select([r]), other.select([r]))
        assert torch.equal(alone.net.flat, together.net.select([r]).flat) and alone.after == together.after[r]


def test_batch_norm_takes_part_with_scale_and_shift():
    # Layers of zeros: only the scales say which unit is which.
    net = normed_mlp((3, 4, 2)).double()
    for layer in (net[0], net[3]):
        nn.init.zeros_(layer.weight)
    net[1].weight.data = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=DOUBLE)
    order = torch.tensor([[2, 0, 3, 1]])
    assert torch.equal(match_weights(net, reordered(net, [order])).orders[0], order.argsort(1))


# ---- what has no order of its own ----


def sequential(*parts):
    return nn.Sequential(*parts, nn.Linear(4, 2))


def twice():
    layer = nn.Linear(4, 4)
    return sequential(layer, nn.ReLU(), layer)


def pruned():
    net = sequential(nn.Linear(3, 4), nn.ReLU())
    prune.random_unstructured(net[0], "weight", 0.5)
    return net


class Own(nn.Sequential):
    """A net that may do anything with its parts."""

    def forward(self, x):
        return super().forward(x) + 1


REFUSED = {
    "part of the net": [
        lambda: build_strided("residual", 1000, (4, 4), 3, 1, 8),
        lambda: sequential(nn.Linear(3, 4), nn.Softmax(1)),
        lambda: Own(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(4, 2)),
        lambda: sequential(nn.Conv2d(2, 4, 3)),
        lambda: sequential(nn.Linear(3, 8), nn.MaxPool1d(2)),
        pruned,
    ],
    "layers": [lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), twice],
    "Flatten": [lambda: sequential(nn.Conv2d(2, 4, 3), nn.Flatten(0))],
    "norm": [lambda: sequential(nn.Conv2d(2, 2, 3), nn.Flatten(), nn.BatchNorm1d(4))],
}


@pytest.mark.parametrize(("match", "build"), [(match, one) for match, many in REFUSED.items() for one in many])
def test_nets_of_unknown_structure_or_without_hidden_units_are_refused(match, build):
    net = build()
    with pytest.raises(BadInput, match=match):
        match_weights(net, net)


def test_stacks_of_other_kinds_without_hidden_layer_and_of_other_shapes_are_refused():
    with pytest.raises(BadInput, match="plain StackedMLP"):
        other = ResidualMLP.create((3, 4, 4, 2), SEEDS)
        match_weights(other, other)
    with pytest.raises(BadInput, match="layers = 1"):
        match_weights(stack(sizes=(3, 2)), stack(sizes=(3, 2)))
    for second in (stack(sizes=(6, 12, 9, 8, 4)), stack(SEEDS[:2])):
        with pytest.raises(BadInput, match="second net"):
            match_weights(stack(), second)
    ruined = stack()
    ruined.weights[1][0, 0, 0] = torch.nan
    with pytest.raises(BadInput, match="NaN"):
        match_weights(stack(), ruined)


def test_settings_that_cannot_be_are_refused():
    net = stack()
    with pytest.raises(BadInput, match="sweeps"):
        match_weights(net, net, sweeps=0)
    with pytest.raises(BadInput, match="seeds"):
        match_weights(net, net, seeds=[1])
    for inputs in (drawn(1, 6), drawn(5, 6) / 0):
        with pytest.raises(BadInput, match="inputs"):
            match_activations(net, net, inputs)
