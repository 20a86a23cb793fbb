"""Barriers on analytic paths, between nets that are equal up to a permutation, and under batch norm."""

import copy

import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures import connectivity as lmc
from redlib.nets.stacked import StackedMLP
from redlib.pruning import masks
from redlib.training.examples import Examples

SEEDS = [1000, 1001, 1002]


def inputs(n=700, dim=5, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def permuted(net):
    """The same functions, with the units of the hidden layer in reverse order."""
    copy = net.clone()
    copy.weights[0].copy_(net.weights[0].flip(1))
    copy.biases[0].copy_(net.biases[0].flip(1))
    copy.weights[1].copy_(net.weights[1].flip(2))
    return copy


def labelled_by(net, x):
    return Examples(x, net.logits(x).argmax(-1), torch.arange(len(x)).expand(net.replicates, -1))


def as_module(net, replicate):
    layers = []
    for weights, biases in zip(net.weights, net.biases, strict=True):
        linear = nn.Linear(weights.shape[2], weights.shape[1])
        linear.load_state_dict({"weight": weights[replicate], "bias": biases[replicate]})
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_the_barrier_of_a_parabola_is_its_height_above_the_mean_of_the_ends():
    alpha = torch.linspace(0, 1, 31, dtype=torch.float64)
    errors = torch.stack([4 * alpha * (1 - alpha) + 3, 0 * alpha + 2, 2 + 6 * alpha])
    torch.testing.assert_close(lmc.barrier(errors), torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64))
    torch.testing.assert_close(lmc.barrier(100 * errors), 100 * lmc.barrier(errors))


def test_a_net_has_no_barrier_with_itself():
    net = StackedMLP.create((5, 12, 3), SEEDS)
    errors = lmc.path_errors(net, net.clone(), Examples(inputs(), torch.zeros(700, dtype=torch.long)))
    assert errors.shape == (3, 30) and errors.min() > 0
    assert torch.equal(lmc.barrier(errors), torch.zeros(3, dtype=torch.float64))


def test_the_path_between_two_swapped_units_has_the_error_of_its_formula():
    # f(x) = Σ_j v_j·relu(w_j·x) - t with (w, v) = (1, 0), (1, 0) at one end, swapped at the other: in between
    # f(x) = ((1 - α)² + α²)·x - t, which is wrong where t < x <= t / ((1 - α)² + α²).
    net = StackedMLP((1, 2, 2), SEEDS[:1], torch.zeros(StackedMLP.create((1, 2, 2), SEEDS[:1]).flat.shape))
    net.weights[0][0, 0], net.weights[1][0, 0, 0], net.biases[1][0, 0] = 1.0, 1.0, -0.25
    x = (torch.arange(3000) + 0.5)[:, None] / 3000
    errors = lmc.path_errors(net, permuted(net), Examples(x, (x[:, 0] <= 0.25).long()), alphas=31)
    alpha = torch.linspace(0, 1, 31, dtype=torch.float64)
    torch.testing.assert_close(errors[0], 0.25 / ((1 - alpha) ** 2 + alpha**2) - 0.25, rtol=0, atol=1e-3)
    torch.testing.assert_close(lmc.barrier(errors), torch.tensor([0.25], dtype=torch.float64), rtol=0, atol=1e-3)


def test_a_permuted_copy_has_equal_ends_and_a_barrier():
    net = StackedMLP.create((5, 12, 3), SEEDS, init="he")
    errors = lmc.path_errors(net, permuted(net), labelled_by(net, inputs()))
    assert not errors[:, [0, -1]].any()
    assert (lmc.barrier(errors) > 0.02).all()


def test_the_path_is_the_same_from_either_side():
    one, other = (StackedMLP.create((5, 12, 3), seeds) for seeds in (SEEDS, [7, 8, 9]))
    examples = labelled_by(one, inputs())
    there, back = lmc.path_errors(one, other, examples), lmc.path_errors(other, one, examples)
    torch.testing.assert_close(there, back.flip(1), rtol=0, atol=1.5 / 700)
    assert not there[:, 0].any() and (there[:, -1] > 0.1).all()


def test_a_replicate_does_not_depend_on_its_neighbours_nor_the_nets_on_being_compared():
    one, other = (StackedMLP.create((5, 12, 3), seeds) for seeds in (SEEDS, [7, 8, 9]))
    before, examples = one.flat.clone(), labelled_by(one, inputs(1500))
    together = lmc.path_errors(one, other, examples)
    alone = lmc.path_errors(one.select([1]), other.select([1]), examples.select([1]))
    assert torch.equal(together[1:2], alone) and torch.equal(one.flat, before)


def test_modules_and_stacked_nets_have_the_same_path():
    one, other = (StackedMLP.create((5, 12, 3), seeds) for seeds in (SEEDS, [7, 8, 9]))
    x = inputs()
    stacked = lmc.path_errors(one, other, labelled_by(one, x), alphas=7)
    for r in range(3):
        found = lmc.module_path_errors(as_module(one, r), as_module(other, r), x, one.logits(x)[r].argmax(-1), 7)
        torch.testing.assert_close(found, stacked[r], rtol=0, atol=1.5 / 700)


def normalised(scale, x):
    """Linear(scale) -> batch norm -> class 0 where the normalised value exceeds 1: the same net for every scale."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=1e-9), nn.Linear(1, 2))
    values = {"0.weight": [[scale]], "2.weight": [[1.0], [0.0]], "2.bias": [-1.0, 0.0]}
    net.load_state_dict({name: torch.tensor(value) for name, value in values.items()}, strict=False)
    lmc.refresh_statistics(net, x)
    return net


def test_averaged_batch_norm_statistics_make_a_barrier_that_recalibration_removes():
    # Half way the scale is 2 (variance 4), the averaged variance (1 + 9)/2: values shrink by 2/√5.
    x = torch.linspace(-3, 3, 2001)[:, None]
    one, three = normalised(1.0, x), normalised(3.0, x)
    y = one.eval()(x).argmax(-1)
    z = (x[:, 0] - x.mean()) / x.std()
    errors = lmc.module_path_errors(one, three, x, y, alphas=3)
    torch.testing.assert_close(errors[1], ((z > 1) & (z <= 5**0.5 / 2)).double().mean(), rtol=0, atol=1e-9)
    assert errors[1] > 0.02 and not errors[[0, 2]].any()
    assert not lmc.module_path_errors(one, three, x, y, alphas=3, recalibrate=x).any()


def test_lines_of_stacks_and_of_modules_are_those_of_each_pair_with_statistics_of_its_own_examples():
    one, other = (StackedMLP.create((5, 12, 3), seeds) for seeds in (SEEDS, [7, 8, 9]))
    x = inputs()
    test = Examples(x, one.logits(x)[0].argmax(-1))
    stacked = lmc.line_errors(one, other, test, 7)
    modules = lmc.line_errors(*([as_module(net, r) for r in range(3)] for net in (one, other)), test, 7)
    torch.testing.assert_close(modules, stacked, rtol=0, atol=1.5 / 700)
    x = torch.linspace(-3, 3, 2001)[:, None]
    pair = [normalised(scale, x) for scale in (1.0, 3.0)]
    test = Examples(x, pair[0].eval()(x).argmax(-1))
    rows = torch.stack([torch.arange(2001), torch.arange(1000, 2001).repeat(2)[:2001]])
    found = lmc.line_errors(*([net, net] for net in pair), test, 3, Examples(x, test.y[rows], rows))
    assert not found[0].any(), "measured anew on all inputs"
    assert torch.equal(found[1], lmc.module_path_errors(*pair, x, test.y, 3, x[rows[1]])) and found[1].any()
    with pytest.raises(BadInput, match="training examples"):
        lmc.line_errors([pair[0]], [pair[1]], test, 3)


def test_refreshed_statistics_are_those_of_the_inputs_and_nothing_else_changes():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4, momentum=0.3).eval())
    x = inputs(1200, 4) * 3 + 1
    lmc.refresh_statistics(net, x, batch=400)
    variance = torch.stack([x[start::3].var(0) for start in range(3)]).mean(0)
    torch.testing.assert_close(net[1].running_mean, x.mean(0))  # dropout would have changed it
    torch.testing.assert_close(net[1].running_var, variance)
    assert net[1].momentum == 0.3 and [m.training for m in net.modules()] == [True, True, False]
    with pytest.raises(BadInput, match="inputs"):
        lmc.refresh_statistics(net, x[:0])


def test_statistics_of_sorted_inputs_are_those_of_shuffled_ones():
    sorted_inputs = torch.linspace(-1, 1, 1000)[:, None]
    net = nn.BatchNorm1d(1)
    lmc.refresh_statistics(net, sorted_inputs, batch=100)
    torch.testing.assert_close(net.running_var, sorted_inputs.var(0), rtol=0.02, atol=0)  # tenths in a row: 0.01 of it


def test_modules_are_left_as_they_were():
    x, y = inputs(50, 1), torch.zeros(50, dtype=torch.long)
    one, three = normalised(1.0, x).train(), normalised(3.0, x).train()
    before = [copy.deepcopy(net.state_dict()) for net in (one, three)]
    lmc.module_path_errors(one, three, x, y, alphas=4, recalibrate=x)
    for net, state in zip((one, three), before, strict=True):
        assert net.training and all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_a_masked_module_stays_masked_on_the_path():
    one, other = as_module(StackedMLP.create((5, 12, 3), [1]), 0), as_module(StackedMLP.create((5, 12, 3), [2]), 0)
    kept = {name: torch.rand(w.shape) < 0.5 for name, w in masks.weights_of(one).items()}
    x = inputs()
    plain = [copy.deepcopy(net) for net in (one, other)]
    for net, cut in zip((one, other), plain, strict=True):
        masks.apply(net, kept)
        masks.load_weights(cut, masks.weights_of(net))
    y = torch.arange(700) % 3
    assert torch.equal(lmc.module_path_errors(one, other, x, y, 5), lmc.module_path_errors(*plain, x, y, 5))
    masks.apply(other, {name: ~mask for name, mask in kept.items()})
    with pytest.raises(BadInput, match="mask"):
        lmc.module_path_errors(one, other, x, y, 5)


def test_what_has_no_straight_path_is_refused():
    net, x, y = StackedMLP.create((5, 12, 3), SEEDS), inputs(), torch.zeros(700, dtype=torch.long)
    for other in (StackedMLP.create((5, 11, 3), SEEDS), StackedMLP.create((5, 12, 3), SEEDS, "tanh"), net.select([0])):
        with pytest.raises(BadInput, match="second net"):
            lmc.path_errors(net, other, Examples(x, y))
    with pytest.raises(BadInput, match="alphas = 1"):
        lmc.path_errors(net, net, Examples(x, y), alphas=1)
    with pytest.raises(BadInput, match="points on the path"):
        lmc.barrier(torch.zeros(3, 1))
    with pytest.raises(BadInput, match="2.weight"):
        wider = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 4))
        lmc.module_path_errors(as_module(net, 0), wider, x, y)


@pytest.mark.parametrize("labels", [lambda y: y[:, None], lambda y: y[:1], lambda y: y[:0], lambda y: y + 3,
                                    lambda y: y - 1, lambda y: y.float()])  # fmt: skip
def test_labels_of_another_shape_or_of_no_output_are_no_errors(labels):
    one, other = as_module(StackedMLP.create((5, 12, 3), [1]), 0), as_module(StackedMLP.create((5, 12, 3), [2]), 0)
    x, y = inputs(60), torch.arange(60) % 3
    with pytest.raises(BadInput, match="labels"):
        lmc.module_path_errors(one, other, x, labels(y), 5)


def test_stacks_are_not_judged_on_labels_that_are_no_output():
    net, x = StackedMLP.create((5, 12, 3), SEEDS), inputs(60)
    with pytest.raises(BadInput, match="labels"):
        lmc.path_errors(net, net, Examples(x, torch.arange(60) % 4), 5)


def test_nan_on_the_path_is_no_error():
    net, x, y = StackedMLP.create((5, 12, 3), SEEDS), inputs(60), torch.arange(60) % 3
    ruined = net.clone()
    ruined.weights[0][1] = torch.nan
    with pytest.raises(BadInput, match="NaN"):
        lmc.path_errors(net, ruined, Examples(x, y), 5)
    with pytest.raises(BadInput, match="NaN"):
        lmc.module_path_errors(as_module(net, 1), as_module(ruined, 1), x, y, 5)
