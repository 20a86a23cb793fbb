"""Which weights are kept, against sorting; criteria against autograd; tickets on tiny nets of several kinds."""

import copy
from math import prod

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import DTYPES, FEW, SEEDS, TENSORS, laid, normal
from torch import nn
from torch.nn import functional

from redlib.nets import StackedMLP
from redlib.pruning import allocation, criteria, masks, tickets

SHAPES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3)
REPLICATES = st.integers(1, 3)


def scores_of(seed, shapes, replicates, dtype=torch.float64, ties=False):
    drawn = {f"w{i}": normal(seed + i, replicates, *shape, dtype=dtype) for i, shape in enumerate(shapes)}
    return {name: values.round() for name, values in drawn.items()} if ties else drawn


def best_by_sorting(row, count):
    """The flat mask that keeps the best by a stable sort, of equals the first."""
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))
    return [i in set(order[:count]) for i in range(len(row))]


@FEW
@given(SEEDS, SHAPES, REPLICATES, DTYPES, TENSORS, st.booleans(), st.data())
def test_the_best_are_kept_exactly_as_many_as_asked(seed, shapes, replicates, dtype, layout, ties, data):
    scores = scores_of(seed, shapes, replicates, dtype, ties)
    counts = {name: data.draw(st.integers(1, values[0].numel())) for name, values in scores.items()}
    found = allocation.keep({name: laid(values, layout) for name, values in scores.items()}, counts)
    for name, values in scores.items():
        for r in range(replicates):
            assert found[name][r].flatten().tolist() == best_by_sorting(values[r].flatten().tolist(), counts[name])
    alone = allocation.keep({name: values[-1:] for name, values in scores.items()}, counts)
    fewer = allocation.keep(scores, {name: max(1, count - 1) for name, count in counts.items()})
    within = allocation.keep(scores, {name: max(1, count - 1) for name, count in counts.items()}, found)
    for name, mask in found.items():
        assert mask.dtype == torch.bool and torch.equal(alone[name][0], mask[-1])
        assert not (fewer[name] & ~mask).any() and torch.equal(within[name], fewer[name])


@FEW
@given(SEEDS, SHAPES, REPLICATES, TENSORS, st.booleans(), st.data())
def test_one_ranking_over_all_layers_is_one_sort(seed, shapes, replicates, layout, ties, data):
    scores = scores_of(seed, shapes, replicates, ties=ties)
    whole = torch.cat([values.flatten(1) for values in scores.values()], 1)
    total = data.draw(st.integers(1, whole.shape[1]))
    given_scores = {name: laid(values, layout) for name, values in scores.items()}
    found = allocation.keep_global(given_scores, total, allow_empty=True)
    flat = torch.cat([mask.flatten(1) for mask in found.values()], 1)
    assert flat.tolist() == [best_by_sorting(row, total) for row in whole.tolist()]
    shared = {name: values[:1].expand(3, *values.shape[1:]) for name, values in scores.items()}
    same = allocation.keep_global(shared, total, allow_empty=True)
    assert all(torch.equal(mask, found[name][:1].expand_as(mask)) for name, mask in same.items())
    lost = masks.empty_layers(found)
    assert lost.tolist() == [sum(not mask[r].any() for mask in found.values()) for r in range(replicates)]
    assert masks.density(found).tolist() == torch.full((replicates,), total / whole.shape[1]).tolist()


@FEW
@given(SEEDS, SHAPES, st.floats(0.05, 1), st.integers(0, 3))
def test_counts_are_shares_and_random_masks_have_them(seed, shapes, density, rounds):
    named = {f"w{i}": shape for i, shape in enumerate(shapes)}
    sizes = {name: prod(shape) for name, shape in named.items()}
    assert allocation.layer_counts(named, density) == {name: round(density * n) for name, n in sizes.items()}
    erk, wanted = allocation.erk_counts(named, density), density * sum(sizes.values())
    assert all(0 <= erk[name] <= sizes[name] for name in named)
    assert abs(sum(erk.values()) - wanted) <= len(named) / 2 + 1e-9
    again = allocation.round_counts(named, rounds + 1)
    assert all(again[name] <= count for name, count in allocation.round_counts(named, rounds).items())
    counts = {name: max(1, count) for name, count in erk.items()}
    seeds = [seed, seed + 1 if seed < 2**32 - 1 else 0]
    drawn = allocation.random_masks(named, counts, seeds)
    assert {name: kept.tolist() for name, kept in masks.counts(drawn).items()} == {n: [c, c] for n, c in counts.items()}
    other = allocation.random_masks(named, counts, seeds[1:])
    assert all(torch.equal(other[name][0], drawn[name][1]) for name in named)


# ---- criteria ---------------------------------------------------------------------------------------------


def dense_net(seed, *sizes):
    torch.manual_seed(seed % 2**31)
    return nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.Tanh(), nn.Linear(sizes[1], sizes[2])).double()


def conv_net(seed, channels, classes):
    torch.manual_seed(seed % 2**31)
    return nn.Sequential(nn.Conv2d(1, channels, 2), nn.Tanh(), nn.Flatten(), nn.Linear(channels * 9, classes)).double()


@FEW
@given(
    SEEDS,
    st.booleans(),
    st.integers(1, 4),
    st.integers(2, 3),
    st.integers(1, 5),
    TENSORS,
    st.sampled_from(["cross_entropy", "mse"]),
)
def test_gradient_criteria_are_autograds_and_know_no_order_of_examples(seed, conv, units, classes, n, layout, loss):
    net = conv_net(seed, units, classes) if conv else dense_net(seed, 3, units, classes)
    x = normal(seed, n, 1, 4, 4) if conv else normal(seed, n, 3)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, n))
    target = labels if loss == "cross_entropy" else functional.one_hot(labels, classes).double()
    (functional.cross_entropy if loss == "cross_entropy" else functional.mse_loss)(net(x), target).backward()
    slopes = {name: net.get_submodule(name).weight for name in masks.weights_of(net)}
    for criterion, expected in (("gradient", lambda w: w.grad.abs()), ("snip", lambda w: (w * w.grad).abs())):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
        for examples, told in ((laid(x, layout), labels), (x[order], labels[order].to(torch.uint8))):
            found = criteria.score(criterion, criteria.context_of(net, batch=(examples, told), loss=loss))
            for name, weight in slopes.items():
                torch.testing.assert_close(found[name][0], expected(weight).detach(), rtol=1e-7, atol=1e-12)


@FEW
@given(SEEDS, st.lists(st.integers(1, 4), min_size=3, max_size=4), st.integers(1, 3))
def test_synflow_loses_nothing_between_layers_nor_between_replicates(seed, sizes, replicates):
    net = StackedMLP.create(sizes, range(replicates), "relu", "he")
    found = criteria.score("synflow", criteria.context_of(net))
    flows = torch.stack([values.flatten(1).sum(1) for values in found.values()])
    torch.testing.assert_close(flows, flows[:1].expand_as(flows), rtol=1e-9, atol=0)
    alone = criteria.score("synflow", criteria.context_of(net.select([replicates - 1])))
    assert all(torch.equal(alone[name][0], values[-1]) for name, values in found.items())


@FEW
@given(SEEDS, SHAPES, REPLICATES, DTYPES, TENSORS)
def test_weights_alone_score_as_written(seed, shapes, replicates, dtype, layout):
    first, last = (scores_of(seed + 7 * i, shapes, replicates, dtype) for i in (0, 1))
    given_last = {name: laid(values, layout).detach() for name, values in last.items()}
    context = criteria.Context(first, given_last, seeds=tuple(range(replicates)))
    written = {
        "large_final": lambda a, b: b.abs(),
        "small_init": lambda a, b: -a.abs(),
        "movement": lambda a, b: (b - a).abs(),
        "magnitude_increase": lambda a, b: b.abs() - a.abs(),
    }
    for criterion, score in written.items():
        found = criteria.score(criterion, context)
        assert all(torch.equal(found[name], score(first[name], last[name])) for name in first)
    agree = criteria.score("large_final_same_sign", context)
    for name, values in agree.items():
        same = first[name].sign() == last[name].sign()
        assert torch.equal(values[same], last[name].abs()[same])
        assert bool((values[~same].abs() < 1e-6).all())


# ---- masks and tickets ------------------------------------------------------------------------------------


def lone_stack(seed):
    return StackedMLP.create((4, 6, 3), (seed % 2**31,), "relu", "glorot")


def convolution(seed):
    return conv_net(seed, 3, 3).float()


def recurrent(seed):
    torch.manual_seed(seed % 2**31)
    return nn.LSTM(3, 4)


NETS = {
    "stack": lone_stack,
    "conv": convolution,
    "recurrent": recurrent,
    "dense": lambda seed: dense_net(seed, 4, 6, 3),
}


def grown(net):
    """A `train` that gives every weight another size, by its place."""
    weights = masks.weights_of(net)
    masks.load_weights(
        net, {name: w + torch.linspace(-1, 1, w[0].numel()).view(w[0].shape).to(w) for name, w in weights.items()}
    )


@FEW
@given(SEEDS, st.sampled_from(sorted(NETS)), st.integers(1, 3), st.floats(0.1, 0.4))
def test_tickets_are_nested_exact_and_the_largest_of_what_was_left(seed, kind, rounds, rate):
    net = NETS[kind](seed)
    start = masks.weights_of(net)
    found = tickets.find_tickets(net, grown, rounds, tickets.Cut(rate=rate, last=rate))
    shapes = allocation.shapes_of(start)
    assert len(found) == rounds + 1 and all(mask.all() for mask in found[0].values())
    for done, (before, after) in enumerate(zip(found, found[1:], strict=False), 1):
        counts = allocation.round_counts(shapes, done, rate, rate)
        trained = copy.deepcopy(net)
        masks.apply(trained, before)
        grown(trained)
        sizes = {name: values.abs() for name, values in masks.weights_of(trained).items()}
        for name, mask in after.items():
            assert mask.sum() == counts[name] and not (mask & ~before[name]).any()
            cut = before[name] & ~mask
            assert not cut.any() or sizes[name][mask].min() >= sizes[name][cut].max()
    assert all(torch.equal(values, start[name]) for name, values in masks.weights_of(net).items()), (
        "the net itself stays"
    )


@FEW
@given(SEEDS, st.sampled_from(sorted(NETS)), st.floats(0.1, 0.9))
def test_a_mask_cuts_what_it_says_and_comes_off_without_a_trace(seed, kind, density):
    net = NETS[kind](seed)
    weights = masks.weights_of(net)
    kept = {
        name: torch.rand(w.shape, generator=torch.Generator().manual_seed(seed % 2**31)) < density
        for name, w in weights.items()
    }
    masks.apply(net, kept)
    acting = masks.weights_of(net)
    assert all(torch.equal(acting[name], weights[name] * mask) for name, mask in kept.items())
    assert all(torch.equal(mask, kept[name]) for name, mask in masks.masks_of(net).items())
    total = sum(mask.sum() for mask in kept.values()) / sum(mask.numel() for mask in kept.values())
    assert masks.density(masks.masks_of(net)).tolist() == [total]
    masks.remove(net)
    assert all(torch.equal(values, acting[name]) for name, values in masks.weights_of(net).items())
    assert all(mask.all() for mask in masks.masks_of(net).values())
