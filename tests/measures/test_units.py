"""Units of nets built by hand, whose worth, repeats and directions are known, against plain ways to compute them."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures import norms, units
from redlib.measures.units import reading, removal
from redlib.nets import StackedMLP
from redlib.nets.residual import ResidualTanh
from redlib.nets.stacked import unstacked
from redlib.training import Examples

SEEDS = [1000, 1001, 1002]
DOUBLE = torch.float64


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(1000)


def normal(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=DOUBLE)


def net_and_examples(draw, activation="relu", sizes=(5, 8, 7, 6, 4), n=300):
    """Return random nets that are right on about two thirds of their examples, each on rows of its own."""
    net = StackedMLP.create(sizes, SEEDS, activation, "he", dtype=DOUBLE)
    for biases in net.biases:
        biases.copy_(normal(draw, *biases.shape) / 3)
    x = normal(draw, 2 * n, sizes[0])
    rows = torch.stack([torch.randperm(2 * n, generator=draw)[:n] for _ in SEEDS])
    own = torch.stack([net.logits(x)[r, row].argmax(1) for r, row in enumerate(rows)])
    noise = torch.rand(own.shape, generator=draw) < 0.4
    labels = torch.where(noise, torch.randint(sizes[-1], own.shape, generator=draw), own)
    return net, Examples(x, labels, rows)


def without(net, layer, removed):
    """Return a copy of a stack that does not hear these units of a hidden layer, cut out in the plain way."""
    copy = net.clone()
    copy.weights[layer + 1][:, :, removed] = 0
    return copy


def accuracies(net, examples):
    right = sum((net.logits(x) == net.logits(x).amax(-1, True))[torch.arange(len(y))[:, None],
                torch.arange(y.shape[1]), y].sum(1) for x, y in examples.parts(net.replicates))  # fmt: skip
    return right.double() / len(examples)


def voters():
    """Return a net whose six units vote for class 1 against a threshold of .5, and 1000 examples.

    Input i = 1 makes a unit say 1: unit 0 alone on 300 examples, unit 1 alone on 100, both on 200, the twins 2 and 3
    (which share input 2) on 50, unit 5 on 20 of class 0. Unit 4 is dead, with a large weight to class 1.
    """
    net = StackedMLP.create((4, 6, 2), SEEDS[:1])
    net.flat.zero_()
    for unit, source in enumerate([0, 1, 2, 2, None, 3]):
        if source is not None:
            net.weights[0][0, unit, source] = 1
    net.biases[0][0, 4] = -1
    net.weights[1][0, 1] = torch.tensor([1.0, 1, 1, 1, 9, 1])
    net.biases[1][0, 0] = 0.5
    x = torch.zeros(1000, 4)
    x[:300, 0] = x[300:400, 1] = x[600:650, 2] = x[650:670, 3] = 1
    x[400:600, :2] = 1
    return net, Examples(x, (torch.arange(1000) < 650).long())


def test_the_drop_of_a_unit_is_the_share_of_examples_that_hang_on_it_alone():
    net, examples = voters()
    drops = units.ablation_drops(net, examples, 0)
    assert drops.dtype == DOUBLE and drops.tolist() == [[0.3, 0.1, 0, 0, 0, -0.02]]
    assert units.removable(drops).tolist() == [4]
    assert units.removable(drops, 0.1).tolist() == [4]  # exactly .1 is not less
    assert units.removable(drops, 0.2).tolist() == [5]


def test_cumulative_curves_of_the_voters_are_those_counted_by_hand():
    net, examples = voters()
    given = units.cumulative_removal(net, examples, 0, torch.arange(6)[None])
    assert given.tolist() == [[0.98, 0.68, 0.38, 0.38, 0.33, 0.33, 0.35]]
    # Each twin alone is worth nothing, so that single drops send both away before the useful units.
    assert units.removal_order(net, examples, 0, "drop").tolist() == [[5, 2, 3, 4, 1, 0]]
    assert units.cumulative_removal(net, examples, 0, "drop").tolist() == [[0.98, 1, 1, 0.95, 0.95, 0.85, 0.35]]
    assert units.removal_order(net, examples, 0, "greedy").tolist() == [[5, 2, 4, 3, 1, 0]]
    assert units.cumulative_removal(net, examples, 0, "greedy").tolist() == [[0.98, 1, 1, 1, 0.95, 0.85, 0.35]]


def test_unchanged_decisions_count_what_the_net_decided():
    net, examples = voters()
    drops = units.ablation_drops(net, examples, 0, unchanged=True)
    assert drops.tolist() == [[0.3, 0.1, 0, 0, 0, 0.02]]
    curve = units.cumulative_removal(net, examples, 0, torch.arange(6)[None], unchanged=True)
    assert curve.tolist() == [[1, 0.7, 0.4, 0.4, 0.35, 0.35, 0.33]]
    assert units.crossing(curve).tolist() == pytest.approx([(2 / 3) / 6])


def test_a_unit_that_is_constant_is_worth_much_against_zero_and_nothing_against_its_mean():
    net, examples = voters()
    net.weights[0][0, 4], net.biases[0][0, 4], net.weights[1][0, 1, 4], net.biases[1][0, 0] = 0, 1, 2, 2.6
    assert units.ablation_drops(net, examples, 0)[0, 4] == pytest.approx(0.65 - 0.02)
    assert units.ablation_drops(net, examples, 0, "mean")[0].tolist() == [0.3, 0.1, 0, 0, 0, -0.02]


def test_a_removed_unit_takes_its_mean_over_the_examples_of_its_replicate():
    net, examples = voters()
    net.biases[1][0, 0] = 0.49  # below the mean .5 of unit 0, which then makes all 330 of class 0 vote for class 1
    assert units.ablation_drops(net, examples, 0, "mean")[0, 0] == pytest.approx(0.33)
    net.biases[1][0, 0] = 0.51
    assert units.ablation_drops(net, examples, 0, "mean")[0, 0] == pytest.approx(0.3)
    order = torch.tensor([[0, 1, 2, 3, 4, 5]])
    left = units.cumulative_removal(net, examples, 0, order, instead="mean")[0, -1]
    assert left == pytest.approx(0.65)  # means .5 + .3 + .05 + .05 + .02 are above the threshold: all get class 1


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_drops_are_those_of_cutting_each_unit_out_and_running_the_whole_net(draw, activation, layer):
    net, examples = net_and_examples(draw, activation)
    before = accuracies(net, examples)
    plain = [before - accuracies(without(net, layer, [j]), examples) for j in range(net.sizes[layer + 1])]
    drops = units.ablation_drops(net, examples, layer)
    torch.testing.assert_close(drops, torch.stack(plain, 1), rtol=0, atol=1e-12)
    assert before.min() > 0.5 and drops.abs().max() > 0.02


def losses(net, examples):
    """Return the mean cross-entropy of each replicate, in the plain way."""
    x, y = examples.x[examples.rows], examples.y
    return torch.stack([cross_entropy(net.logits(x)[r].double(), y[r]) for r in range(len(y))])


@pytest.mark.parametrize("instead", ["zero", "mean"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("layer", [0, 2])
def test_losses_rise_as_where_each_unit_is_cut_out_and_the_whole_net_runs(
    draw, monkeypatch, layer, activation, instead
):
    net, examples = net_and_examples(draw, activation)
    means, plain = units.activations(net, examples, layer).mean(1), []
    for j in range(net.sizes[layer + 1]):
        cut = without(net, layer, [j])
        if instead == "mean":
            cut.biases[layer + 1] += net.weights[layer + 1][:, :, j] * means[:, j, None]
        plain.append(losses(cut, examples) - losses(net, examples))
    expected = torch.stack(plain, 1)
    assert expected.max() > 0.02
    modules, name = [unstacked(net, r) for r in range(3)], str(2 * layer + 1)
    for batch in (64, 2000):
        monkeypatch.setattr(reading, "BATCH", batch)
        rises = [units.ablation_drops(n, examples, at, instead, of="loss") for n, at in ((net, layer), (modules, name))]
        for rise in rises:
            assert rise.dtype == DOUBLE
            torch.testing.assert_close(rise, expected, rtol=0, atol=1e-12)


def test_the_loss_of_the_voters_rises_as_computed_by_hand_and_not_at_all_for_a_dead_unit():
    net, examples = voters()
    rises = units.ablation_drops(net, examples, 0, of="loss")

    def loss(margin):  # of a label whose output lies so far above the other
        return math.log1p(math.exp(-margin))

    # Unit 0 alone makes 300 examples of class 1 vote 1 against .5, and shares 200 with unit 1.
    lost = 0.3 * (loss(-0.5) - loss(0.5)) + 0.2 * (loss(0.5) - loss(1.5))
    assert rises[0, 0].item() == pytest.approx(lost, abs=1e-12)
    assert 0 > rises[0, 5].item() == pytest.approx(0.02 * (loss(0.5) - loss(-0.5)), abs=1e-12)
    assert rises[0, 4].item() == 0, "exactly: its rank would else be rounding"
    assert rises[0, 2].item() > 0 == units.ablation_drops(net, examples, 0)[0, 2].item(), "accuracy does not see twins"


def test_losses_of_filters_and_of_unchanged_decisions(draw):
    net, examples = pictures(draw)
    outputs = net(examples.x).detach()
    maps = net[1](net[0](examples.x)).detach()
    for unchanged, labels in ((False, examples.y), (True, outputs.argmax(1))):
        expected = []
        for unit in range(3):
            cut = maps.clone()
            cut[:, unit] = 0
            expected.append(cross_entropy(net[3](cut.flatten(1)), labels) - cross_entropy(outputs, labels))
        found = units.ablation_drops(net, examples, "1", unchanged=unchanged, of="loss")
        torch.testing.assert_close(found, torch.stack(expected)[None].detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 5000])
@pytest.mark.parametrize("batch", [64, 2000])
def test_blocks_and_batches_change_nothing(draw, monkeypatch, block, batch):
    net, examples = net_and_examples(draw)
    asked = [(units.ablation_drops, ("mean",)), (units.cumulative_removal, ("greedy",)), (units.active_shares, ())]
    expected = [ask(net, examples, 1, *more) for ask, more in asked]
    monkeypatch.setattr(removal, "BLOCK", block)
    monkeypatch.setattr(reading, "BATCH", batch)
    for (ask, more), known in zip(asked, expected, strict=True):
        torch.testing.assert_close(ask(net, examples, 1, *more), known, rtol=0, atol=0)
    torch.testing.assert_close(units.activations(net, examples, 1).shape, torch.Size([3, 300, 7]))


def test_a_stack_is_not_run_from_its_inputs_for_every_unit(draw, monkeypatch):
    net, examples = net_and_examples(draw)
    calls, hidden = [], StackedMLP.hidden
    monkeypatch.setattr(StackedMLP, "hidden", lambda own, x: calls.append(1) or hidden(own, x))
    units.ablation_drops(net, examples, 0)
    assert len(calls) == 1, "nor to learn how many units there are"


@pytest.mark.parametrize("order", ["random", "drop", "greedy", "norm"])
def test_curves_are_those_of_cutting_units_out_one_after_another(draw, order):
    net, examples = net_and_examples(draw)
    rows = units.removal_order(net, examples, 1, order)
    assert torch.equal(rows.sort(1).values, torch.arange(7).expand(3, -1))
    curves = units.cumulative_removal(net, examples, 1, order)
    for r, row in enumerate(rows.tolist()):
        own, seen = net.select([r]), examples.select([r])
        plain = torch.cat([accuracies(without(own, 1, row[:k]), seen) for k in range(8)])
        torch.testing.assert_close(curves[r], plain, rtol=0, atol=1e-12)


def test_the_greedy_order_takes_the_best_unit_at_every_step(draw):
    net, examples = net_and_examples(draw)
    rows = units.removal_order(net, examples, 1, "greedy").tolist()
    for r, row in enumerate(rows):
        own, seen = net.select([r]), examples.select([r])
        for k, unit in enumerate(row):
            left = [j for j in range(7) if j not in row[:k]]
            after = [float(accuracies(without(own, 1, [*row[:k], j]), seen)) for j in left]
            assert unit == left[max(range(len(left)), key=lambda i: (after[i], -i))]


def test_orders_by_norm_and_by_chance(draw):
    net, examples = net_and_examples(draw)
    assert torch.equal(units.removal_order(net, examples, 1, "norm"), net.weights[1].norm(dim=2).argsort(1))
    random = units.removal_order(net, examples, 1)
    assert random[1].tolist() == rng(SEEDS[1], "mask", removal.REMOVAL).permutation(7).tolist()
    assert len({tuple(row) for row in random.tolist()}) == 3
    assert torch.equal(units.removal_order(net, examples, 1, seeds=SEEDS[::-1]), random.flip(0))


def test_crossings_lie_between_the_points_of_a_curve():
    curves = torch.tensor([[1, 0.9, 0.7, 0.2], [1, 1, 1, 0.8], [0.7, 1, 1, 1], [1, 0.5, 1, 0.5]])
    assert units.crossing(curves).tolist() == pytest.approx([0.5, 1, 0, 0.4 / 3], abs=1e-6)
    assert units.crossing(curves[:1], 0.45).tolist() == pytest.approx([2.5 / 3], abs=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_modules_have_the_numbers_of_the_stack(draw, activation):
    net, examples = net_and_examples(draw, activation)
    modules = [unstacked(net, r) for r in range(3)]
    for layer, name in enumerate(["1", "3", "5"]):
        torch.testing.assert_close(units.activations(modules, examples, name), units.activations(net, examples, layer))
        for instead in ("zero", "mean"):
            ours, theirs = (units.ablation_drops(n, examples, at, instead) for n, at in ((net, layer), (modules, name)))
            torch.testing.assert_close(theirs, ours, rtol=0, atol=0)
    for order in ("random", "greedy", "norm"):
        theirs = units.cumulative_removal(modules, examples, "2", order, SEEDS)  # the linear part, whose 0 stays 0
        torch.testing.assert_close(theirs, units.cumulative_removal(net, examples, 1, order), rtol=0, atol=0)
    assert len(modules[0][1]._forward_hooks) == 0


def test_a_replicate_does_not_depend_on_its_company(draw):
    net, examples = net_and_examples(draw)
    one, seen = net.select([1]), examples.select([1])
    for ask, more in (
        (units.active_shares, ()),
        (units.ablation_drops, ("mean",)),
        (units.ablation_drops, ("zero", False, "loss")),
        *((units.cumulative_removal, (order,)) for order in removal.ORDERS),
    ):
        assert torch.equal(ask(net, examples, 1, *more)[1:2], ask(one, seen, 1, *more)), (ask, more)
    together, alone = units.activations(net, examples, 1), units.activations(one, seen, 1)
    # Not bit by bit: products of a batch of matrices may round otherwise than that of one. What is counted is the same.
    torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-12)
    for ask in (units.correlations, units.repeated, units.clusters, units.components, units.explained, units.redundant):
        torch.testing.assert_close(ask(together)[1:2], ask(alone), rtol=1e-12, atol=1e-12, equal_nan=True)
    weights, again = net.weights[1], one.weights[1]
    for ask in (units.matched_gaussian, units.rotated, lambda w, s: units.spherical_kmeans(w, 3, s).centres):
        torch.testing.assert_close(ask(weights, SEEDS)[1:2], ask(again, SEEDS[1:2]), rtol=1e-12, atol=1e-12)


def pictures(draw, inplace=False):
    """Return a small convolutional net and examples that it gets right unless their label is drawn anew."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(3 * 16, 4)).double()
    for values in net.parameters():
        values.data = normal(draw, *values.shape) / 2
    x = normal(draw, 200, 1, 6, 6)
    noise = torch.rand(200, generator=draw) < 0.3
    return net, Examples(x, torch.where(noise, torch.randint(4, (200,), generator=draw), net(x).argmax(1)))


def test_a_filter_is_its_mean_over_positions_and_is_removed_with_its_whole_map(draw):
    net, examples = pictures(draw)
    maps = net[1](net[0](examples.x)).detach()
    torch.testing.assert_close(units.activations(net, examples, "1"), maps.mean((2, 3))[None])
    torch.testing.assert_close(units.active_shares(net, examples, "1"), (maps > 0).any(3).any(2).double().mean(0)[None])
    for instead, value in (("zero", torch.zeros(3)), ("mean", maps.mean((0, 2, 3)))):
        right = []
        for unit in range(3):
            cut = maps.clone()
            cut[:, unit] = value[unit]
            right.append((net[3](cut.flatten(1)).argmax(1) == examples.y).double().mean())
        before = (net(examples.x).argmax(1) == examples.y).double().mean()
        expected = (before - torch.stack(right))[None]
        torch.testing.assert_close(units.ablation_drops(net, examples, "1", instead), expected, rtol=0, atol=1e-12)
        assert expected.max() > 0.02


def test_parts_in_place_that_follow_do_not_change_what_a_unit_returned(draw):
    net, examples = pictures(draw, inplace=True)
    expected = net[0](examples.x).detach().mean((2, 3))
    assert expected.min() < 0
    torch.testing.assert_close(units.activations(net, examples, "0")[0], expected)


def test_shares_of_activity_and_dead_units():
    net, examples = voters()
    shares = units.active_shares(net, examples, 0)
    assert shares.tolist() == [[0.5, 0.3, 0.05, 0.05, 0, 0.02]]
    assert units.dead(shares).tolist() == [[False, False, False, False, True, False]]
    assert units.dead(shares, activity=0.02).tolist() == [[False, False, False, False, True, True]]
    net.weights[1][0, :, 1], net.weights[1][0, 1, 0] = 0, 0.8
    outgoing = norms.unit_impact(net, 0)  # 0.8, 0, 1, 1, 9, 1
    assert units.dead(shares, outgoing).tolist() == [[False, True, False, False, True, False]]
    assert units.dead(shares, outgoing, norm=0.1).tolist() == [[True, True, False, False, True, False]]


def uncorrelated(draw, count, n=200):
    """Return columns [n, count] of mean 0 and norm 1 that are orthogonal."""
    ones = torch.ones(n, 1, dtype=DOUBLE)
    return torch.linalg.qr(torch.cat([ones, normal(draw, n, count)], 1)).Q[:, 1:]


def dependent(draw):
    """Return activations of units a, b, a + b, c, a constant one and -2a, all shifted."""
    a, b, c = uncorrelated(draw, 3).T
    return torch.stack([a, b, a + b, c, 0 * a, -2 * a], 1) + torch.arange(6) * 3


def test_correlations_and_counts_of_repeats_are_known(draw):
    values = dependent(draw)
    half = 0.5**0.5
    expected = torch.tensor([[1, 0, half, 0, -1], [0, 1, half, 0, 0], [half, half, 1, 0, -half], [0, 0, 0, 1, 0],
                             [-1, 0, -half, 0, 1]], dtype=DOUBLE)  # fmt: skip
    alive, nan = [0, 1, 2, 3, 5], math.nan
    found = units.correlations(values)[0]
    torch.testing.assert_close(found[alive][:, alive], expected, rtol=0, atol=1e-12)
    assert found[4].isnan().all() and found[:, 4].isnan().all()
    for threshold, counts in ((0.5, [2, 1, 3, 0, nan, 2]), (0.9, [1, 0, 0, 0, nan, 1])):
        assert units.repeated(values, threshold)[0].tolist() == pytest.approx(counts, nan_ok=True)
    stack = torch.stack([values, values.flip(1)])
    assert units.clusters(stack, 0.9).tolist() == [[0, 1, 2, 3, -1, 0], [0, -1, 1, 2, 3, 0]]
    assert units.clusters(stack, 0.5).tolist() == [[0, 0, 0, 1, -1, 0], [0, -1, 1, 0, 0, 0]]


def test_a_chain_of_repeats_is_one_cluster(draw):
    a, b, c = uncorrelated(draw, 3).T
    values = torch.stack([a, a + b, b, b + c, c], 1)  # neighbours correlate by .71 or .5, the ends not at all
    assert units.clusters(values, 0.49).tolist() == [[0, 0, 0, 0, 0]]
    assert units.clusters(values, 0.6).tolist() == [[0, 0, 0, 0, 0]]
    assert units.clusters(values, 0.75).tolist() == [[0, 1, 2, 3, 4]]


def test_components_for_a_share_of_variance_are_known(draw):
    values = uncorrelated(draw, 20)
    assert units.components(values).tolist() == [19]
    spread = values[:, :3] * torch.tensor([90.0, 6, 4], dtype=DOUBLE).sqrt() + 5
    assert [int(units.components(spread, share)) for share in (0.9, 0.95, 0.97)] == [1, 2, 3]
    assert units.components(spread, 0.5, standardised=True).tolist() == [2]
    assert units.components(dependent(draw), 0.999).tolist() == [3]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_units_that_depend_on_others_are_explained_and_the_rest_as_without_them(draw, dtype):
    found = units.explained(dependent(draw).to(dtype))[0]
    rounded = 1e-9 if dtype == DOUBLE else 1e-3
    assert found.tolist() == pytest.approx([1, 1, 1, 0, math.nan, 1], abs=rounded, nan_ok=True)
    assert units.redundant(dependent(draw), 0.999).tolist() == [4]
    x, z, p, q = uncorrelated(draw, 4).T
    values = torch.stack([x, 0.6 * x + 0.8 * z, p, q, p + q, p - q, 7 * p], 1) + 2
    expected = [0.36, 0.36, 1, 1, 1, 1, 1]
    assert units.explained(values.to(dtype))[0].tolist() == pytest.approx(expected, abs=rounded)
    assert units.redundant(values, 0.3).tolist() == [7] and units.redundant(values, 0.4).tolist() == [5]


def test_explained_is_the_r_squared_of_least_squares_unit_by_unit(draw):
    values = normal(draw, 2, 80, 6) @ normal(draw, 6, 6) + 3
    found = units.explained(values)
    for r, j in itertools.product(range(2), range(6)):
        others = torch.cat([values[r][:, [i for i in range(6) if i != j]], torch.ones(80, 1, dtype=DOUBLE)], 1)
        target = values[r][:, j]
        residual = target - others @ torch.linalg.lstsq(others, target).solution
        expected = 1 - residual.square().sum() / (target - target.mean()).square().sum()
        assert float(found[r, j]) == pytest.approx(float(expected), abs=1e-9)


def test_independent_units_are_explained_by_chance_as_said(draw):
    found = units.explained(normal(draw, 400, 60, 10)).mean(1)
    assert float(found.mean()) == pytest.approx(9 / 59, abs=4 * float(found.std()) / 20)


@pytest.mark.parametrize("k", [1, 2, 7, 10])
def test_k_equal_importances_count_as_k(k):
    values = torch.cat([torch.full((k,), 0.3), torch.zeros(10 - k)])
    assert units.effective_number(values).tolist() == pytest.approx([k])
    assert units.gini(values).tolist() == pytest.approx([1 - k / 10], abs=1e-12)  # 0 if all, (n - 1)/n if one


def test_gini_is_half_the_mean_difference_over_the_mean(draw):
    values = normal(draw, 3, 9).exp()
    pairs = (values[:, :, None] - values[:, None]).abs().mean((1, 2))
    torch.testing.assert_close(units.gini(values), pairs / 2 / values.mean(1))
    torch.testing.assert_close(units.gini(1e300 * values), units.gini(values))


def test_negative_importances_count_as_none_and_nothing_at_all_is_nan():
    values = torch.tensor([[2.0, 2, -5, -1], [0, 0, -1, 0], [1, 3, 0, 0]])
    mixed = math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    assert units.effective_number(values).tolist() == pytest.approx([2, math.nan, mixed], nan_ok=True)
    assert units.gini(values).tolist() == pytest.approx([0.5, math.nan, 0.625], nan_ok=True)


SECTORS = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])


def around_sectors(draw, each=12, spread=0.05):
    """Return vectors of many lengths around the four sectors, and the sector of each."""
    sector = torch.arange(4).repeat_interleave(each)
    vectors = SECTORS.double()[sector] + spread * normal(draw, 4 * each, 2)
    return vectors * normal(draw, 4 * each, 1).exp(), sector


def test_evenly_spread_vectors_are_22_and_a_half_degrees_from_four_directions():
    turns = (torch.arange(3600, dtype=DOUBLE) + 0.5) * 2 * math.pi / 3600
    vectors = torch.stack([turns.cos(), turns.sin()], 1) * turns[:, None]
    assert units.concentration(vectors, SECTORS).tolist() == pytest.approx([22.5])
    assert units.concentration(torch.stack([3 * SECTORS, SECTORS]), SECTORS).tolist() == [0, 0]
    assert units.concentration(torch.eye(2), SECTORS).tolist() == pytest.approx([45])
    tiny = torch.tensor([[1, 1 + 2e-9], [1e-200, 1e-200]], dtype=DOUBLE)
    assert units.concentration(tiny, SECTORS).tolist() == pytest.approx([math.degrees(1e-9) / 2], rel=1e-6)


def test_kmeans_finds_the_sectors_whatever_the_lengths(draw):
    vectors, sector = around_sectors(draw)
    found = units.spherical_kmeans(vectors, 4, SEEDS[:1])
    assert all(len(set(found.labels[0][sector == s].tolist())) == 1 for s in range(4))
    assert len(set(found.labels[0].tolist())) == 4
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    sums = torch.stack([unit[sector == s].sum(0) for s in range(4)])
    own = (sums / sums.norm(dim=1, keepdim=True))[sector]
    torch.testing.assert_close(found.centres[0][found.labels[0]], own)
    torch.testing.assert_close(found.angles[0], torch.rad2deg((unit * own).sum(1).clamp(max=1).acos()), rtol=0,
                               atol=1e-5)  # fmt: skip
    assert 0 < found.angles.max() < 15


def test_kmeans_reaches_the_best_of_all_partitions(draw):
    vectors = normal(draw, 9, 3)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    partitions = torch.tensor(list(itertools.product([0, 1], repeat=9)), dtype=DOUBLE)
    sums = (partitions @ unit).norm(dim=1) + ((1 - partitions) @ unit).norm(dim=1)
    found = units.spherical_kmeans(vectors, 2, SEEDS[:1], 30)
    cosines = torch.deg2rad(found.angles).cos().sum()
    assert float(cosines) == pytest.approx(float(sums.max()))


def test_kmeans_of_one_cluster_as_many_as_vectors_and_more_than_directions(draw):
    vectors = normal(draw, 6, 3)
    total = (vectors / vectors.norm(dim=1, keepdim=True)).sum(0)
    torch.testing.assert_close(units.spherical_kmeans(vectors, 1, [0]).centres[0, 0], total / total.norm())
    assert units.spherical_kmeans(vectors, 6, [0]).angles.max() < 1e-6
    doubled = torch.eye(3)[[0, 0, 1, 1]]
    assert units.spherical_kmeans(doubled, 3, [0]).angles.tolist() == [[0, 0, 0, 0]]
    opposite = units.spherical_kmeans(torch.tensor([[1.0, 0], [-1, 0]]), 1, [0])
    assert sorted(opposite.angles[0].tolist()) == pytest.approx([0, 180])


def test_silhouettes_are_largest_for_the_clusters_that_there_are(draw):
    vectors, _ = around_sectors(draw)
    found = units.silhouettes(torch.stack([vectors, vectors.flip(0)]), [2, 3, 4, 5, 8], SEEDS[:2])
    assert found.shape == (2, 5) and found.argmax(1).tolist() == [2, 2] and found[:, 2].min() > 0.95
    # Two pairs at right angles: 0 to one's own cluster, 1 to the other.
    assert units.silhouettes(torch.eye(2)[[0, 0, 1, 1]], [2], [0]).tolist() == [[1]]
    assert units.silhouettes(torch.ones(4, 2), [2], [0]).isnan().all()


def test_matched_gaussians_have_the_second_moments_and_not_the_clusters(draw):
    vectors = torch.cat([around_sectors(draw)[0], normal(draw, 3, 2) + 4])
    drawn = units.matched_gaussian(vectors.expand(4000, -1, -1), range(4000))
    moments = drawn.mT @ drawn / vectors.shape[0]
    error = moments.std(0) / 4000**0.5
    assert ((moments.mean(0) - vectors.T @ vectors / len(vectors)).abs() < 4 * error).all()
    assert (drawn.mean((0, 1)).abs() < 4 * drawn.mean(1).std(0) / 4000**0.5).all()
    few = normal(draw, 2, 5)  # fewer vectors than dimensions stay in the plane of those
    assert torch.linalg.matrix_rank(torch.cat([few, units.matched_gaussian(few, [0])[0]])) == 2
    assert torch.equal(drawn[7:8], units.matched_gaussian(vectors, [7])) and not torch.equal(drawn[7], drawn[8])
    tight, null = (units.spherical_kmeans(v, 4, SEEDS[:1]).angles.median() for v in (vectors, drawn[0]))
    assert tight < null / 2


def test_rotated_vectors_keep_their_length_and_point_anywhere(draw):
    vectors = torch.cat([around_sectors(draw, 1000)[0], torch.zeros(1, 2)])
    turned = units.rotated(vectors, SEEDS[:1])
    torch.testing.assert_close(turned[0].norm(dim=1), vectors.norm(dim=1))
    assert units.concentration(vectors[:-1], SECTORS) < 5
    assert units.concentration(turned[0, :-1], SECTORS).tolist() == pytest.approx([22.5], abs=4 * 13 / 4000**0.5)
    assert (turned[0].sign().mean(0).abs() < 4 / 4000**0.5).all()


NET = StackedMLP.create((4, 3, 2), [0, 1])
FEW = Examples(torch.ones(6, 4), torch.zeros(6).long())
MLP = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
LOUD = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
nn.init.constant_(LOUD[2].bias, torch.inf)
BENT = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
SHARED = nn.Sequential(nn.Linear(4, 3), relu := nn.ReLU(), nn.Linear(3, 3), relu, nn.Linear(3, 2))
RECURRENT = nn.Sequential(nn.LSTM(4, 3))
VALUES = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: units.activations(NET, FEW, 1), "layer = 1 .* 0 <= layer < 1"),
        (lambda: units.activations(NET, FEW, "layer1"), "layer = 'layer1'"),
        (lambda: units.activations(NET, FEW, -1), "layer = -1"),
        (lambda: units.activations(MLP, FEW, "relu"), "layer = 'relu'.* 0, 1, 2"),
        (lambda: units.activations(MLP, FEW, 0), "layer = 0"),
        (lambda: units.activations("net", FEW, 0), "net = 'str'"),
        (lambda: units.activations([MLP, BENT[:1]], FEW, "1"), "layer = '1'"),
        (lambda: units.activations([MLP, nn.Sequential(nn.Linear(4, 5))], FEW, "0"), "units = "),
        (lambda: units.activations(ResidualTanh.create((4, 3, 3, 2), [0], "tanh"), FEW, 0), "ResidualTanh"),
        (lambda: units.activations(NET, Examples(torch.ones(0, 4), torch.ones(0).long()), 0), "number of examples = 0"),
        (lambda: units.activations(NET, Examples(torch.full((2, 4), torch.nan), torch.ones(2).long()), 0), "nan"),
        (lambda: units.activations(MLP, Examples(torch.full((2, 4), torch.inf), torch.ones(2).long()), "1"), "nan"),
        (lambda: units.activations(BENT, FEW, "0"), "1: BatchNorm1d in training mode"),
        (lambda: units.ablation_drops(BENT[2:], FEW, "3"), "Dropout in training mode"),
        (lambda: units.activations(SHARED, FEW, "1"), "calls of the layer .* = 2"),
        (lambda: units.activations(RECURRENT, FEW, "0"), "output of the layer = 'tuple'"),
        (lambda: units.ablation_drops(NET, FEW, 0, "noise"), "instead = 'noise'"),
        (lambda: units.ablation_drops(NET, Examples(FEW.x, FEW.y + 2), 0), "labels = .*2"),
        (lambda: units.ablation_drops(MLP, Examples(FEW.x, FEW.y + 2), "1"), "labels = .*2"),
        (lambda: units.ablation_drops(MLP, Examples(FEW.x, FEW.y.float()), "1"), "labels = .*float32"),
        (lambda: units.ablation_drops(StackedMLP.create((4, 3, 1), [0]), FEW, 0), "outputs of the net"),
        (lambda: units.ablation_drops(NET, FEW, 0, of="lost"), "of = 'lost'.*loss"),
        (lambda: units.ablation_drops(LOUD, FEW, "1", of="loss"), "outputs of the net = 'nan or inf'"),
        (lambda: units.removable(torch.zeros(3)), "drops"),
        (lambda: units.removable(torch.tensor([[torch.nan]])), "drops"),
        (lambda: units.removable(torch.zeros(1, 3), 0), "tolerance = 0"),
        (lambda: units.removal_order(NET, FEW, 0, "grady"), "order = 'grady'.*greedy"),
        (lambda: units.removal_order(MLP, FEW, "1"), "number of seeds = None"),
        (lambda: units.removal_order(NET, FEW, 0, seeds=[1]), "number of seeds = 1"),
        (lambda: units.removal_order(MLP, FEW, "1", "norm"), "layer with weights = '1'"),
        (lambda: units.cumulative_removal(NET, FEW, 0, torch.tensor([[0, 1, 2], [0, 1, 1]])), "order = "),
        (lambda: units.cumulative_removal(NET, FEW, 0, torch.tensor([[0, 1, 2]])), "order = "),
        (lambda: units.crossing(torch.ones(3)), "curves"),
        (lambda: units.crossing(torch.ones(1, 3), 1.0), "level = 1"),
        (lambda: units.active_shares(StackedMLP.create((4, 3, 2), [0], "tanh"), FEW, 0), "activation = 'tanh'"),
        (lambda: units.dead(torch.tensor([[0.5, 1.5]])), "shares"),
        (lambda: units.dead(torch.ones(1, 2), torch.ones(1, 3)), "outgoing"),
        (lambda: units.dead(torch.ones(1, 2), activity=2), "activity = 2"),
        (lambda: units.correlations(VALUES[:, :1]), "units of replicate 0 .* = 1"),
        (lambda: units.repeated(torch.stack([VALUES, 0 * VALUES])), "units of replicate 1 .* = 0"),
        (lambda: units.repeated(VALUES, 1), "threshold = 1"),
        (lambda: units.clusters(VALUES, 0), "threshold = 0"),
        (lambda: units.components(VALUES, 1.5), "share = 1.5"),
        (lambda: units.explained(VALUES[:3]), "number of examples = 3"),
        (lambda: units.redundant(VALUES, 2), "threshold = 2"),
        (lambda: units.explained(VALUES.where(VALUES < 1, torch.nan)), "activations = 'nan or inf'"),
        (lambda: units.explained(VALUES[0]), "activations"),
        (lambda: units.gini(torch.ones(1)), "importances = .1,."),
        (lambda: units.gini(torch.tensor([1.0, torch.nan])), "importances = 'nan or inf'"),
        (lambda: units.effective_number(torch.ones(3).long()), "importances = .'torch.int64'"),
        (lambda: units.spherical_kmeans(VALUES, 21, [0]), "k = 21 .* 1 <= k <= 20"),
        (lambda: units.spherical_kmeans(VALUES, 2, [0, 1]), "number of seeds = 2"),
        (lambda: units.spherical_kmeans(VALUES, 2, [0], 0), "restarts = 0"),
        (lambda: units.spherical_kmeans(torch.cat([VALUES, torch.zeros(1, 3)]), 2, [0]), "vectors = 'a vector that is"),
        (lambda: units.silhouettes(VALUES, [20], [0]), "ks = .20."),
        (lambda: units.silhouettes(VALUES, [], [0]), "ks = "),
        (lambda: units.matched_gaussian(VALUES, []), "number of seeds = 0"),
        (lambda: units.rotated(VALUES[0], [0]), "vectors"),
        (lambda: units.concentration(VALUES, SECTORS), "shape of directions"),
        (lambda: units.concentration(VALUES[:, :2], torch.zeros(2, 2)), "directions = 'a vector that is"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()
