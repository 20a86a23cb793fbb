"""Unit scores are what removing a unit would tell; unit masks really take units out of the net."""

from __future__ import annotations

import pytest
import torch

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.losses import losses_and_errors
from redlib.pruning.allocation import EmptyLayer
from redlib.pruning.masks import apply, weights_of
from redlib.pruning.units import (
    UNIT_CRITERIA,
    UnitContext,
    fewer_units,
    filter_norms,
    keep_units,
    unit_masks,
    unit_scores,
    units_of,
)  # fmt: skip

SIZES, SEEDS = (5, 6, 4, 3), (3, 8, 9)
ON_BATCH = ["activation", "apoz", "gradient", "taylor"]


def stack(seeds=SEEDS, activation="relu", dtype=torch.float64):
    return StackedMLP.create(SIZES, seeds, activation, dtype=dtype)


def batch(count=16, dtype=torch.float64):
    source = torch.Generator().manual_seed(1)
    x = torch.randn(count, SIZES[0], generator=source, dtype=torch.float64).to(dtype)
    return x, torch.randint(0, SIZES[-1], (count,), generator=source)


def keeping(net, kept1, kept2):
    rows = net.replicates
    return {"layer1": torch.tensor([kept1] * rows), "layer2": torch.tensor([kept2] * rows)}


# ---- scores ----


def test_norms_are_those_of_the_incoming_weights_of_each_unit():
    weights = torch.tensor([[[3.0, -4.0], [0.0, -2.0]]])
    assert filter_norms(weights, 1).tolist() == [[7.0, 2.0]]
    assert filter_norms(weights, 2).tolist() == [[5.0, 2.0]]


def test_norms_of_filters_run_over_channels_and_pixels():
    weights = torch.zeros(2, 3, 4, 3, 3)
    weights[1, 2, :, 1, 1] = -2.0
    assert filter_norms(weights, 1).tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 8.0]]
    assert filter_norms(weights, 2).tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 4.0]]


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_cut_weights_do_not_count_even_where_they_are_frozen(name):
    net = stack()
    masks = {layer: w > 0 for layer, w in weights_of(net).items()}
    frozen = net.clone()
    apply(net, masks)
    apply(frozen, masks, "freeze")
    zero, kept = unit_scores(name, UnitContext(net)), unit_scores(name, UnitContext(frozen))
    assert list(zero) == ["layer1", "layer2"]
    assert all(torch.equal(zero[layer], kept[layer]) for layer in zero)
    expected = net.weights[0].clamp(min=0).pow(1 if name == "l1" else 2).sum(2)
    assert torch.allclose(zero["layer1"] ** (1 if name == "l1" else 2), expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_activation_scores_are_means_of_what_the_net_computes(activation):
    net, (x, y) = stack(activation=activation), batch()
    found = unit_scores("activation", UnitContext(net, (x, y)))
    for values, layer in zip(found.values(), net.hidden(x)[1:-1], strict=True):
        assert torch.allclose(values, layer.abs().mean(1))


def test_apoz_keeps_units_that_are_rarely_zero():
    net = StackedMLP.create((1, 3, 2), (0,), dtype=torch.float64)
    net.weights[0][0] = torch.tensor([[1.0], [0.0], [-1.0]])
    net.biases[0][0] = torch.tensor([0.0, -1.0, 2.0])
    # Over x = -2, -1, 1, 3 the units are on for x > 0 (half), never, and for x < 2 (three of four).
    x, y = torch.tensor([[-2.0], [-1.0], [1.0], [3.0]], dtype=torch.float64), torch.tensor([0, 1, 0, 1])
    assert unit_scores("apoz", UnitContext(net, (x, y)))["layer1"].tolist() == [[0.5, 0.0, 0.75]]


def test_apoz_of_units_that_are_never_zero_is_refused():
    with pytest.raises(BadInput, match="activation = 'tanh'"):
        unit_scores("apoz", UnitContext(stack(activation="tanh"), batch()))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_taylor_is_the_slope_of_the_loss_as_a_unit_fades(activation, loss):
    # A unit's output fades with its outgoing weights: dL/d(gate) at gate 1, by central differences.
    net, (x, y) = stack(activation=activation), batch()
    found = unit_scores("taylor", UnitContext(net, (x, y), loss))
    for layer, name in enumerate(found):
        outgoing = net.weights[layer + 1]
        for unit in range(SIZES[layer + 1]):
            start, losses = outgoing[:, :, unit].clone(), []
            for gate in (1 + 1e-5, 1 - 1e-5):
                outgoing[:, :, unit] = gate * start
                losses.append(losses_and_errors(net.logits(x), y, loss)[0].mean(1))
            outgoing[:, :, unit] = start
            slope = (losses[0] - losses[1]) / 2e-5
            assert torch.allclose(found[name][:, unit], slope.abs(), atol=1e-9)


def test_gradient_adds_up_the_slopes_of_single_examples():
    # The output of hidden unit u on one example is shifted by its bias, when the batch is that example.
    net, (x, y) = stack(activation="tanh"), batch()
    found = unit_scores("gradient", UnitContext(net, (x, y)))["layer2"]
    expected = torch.zeros_like(found)
    for i in range(len(y)):
        probabilities = net.logits(x[i : i + 1])[:, 0].softmax(1)
        delta = probabilities - torch.nn.functional.one_hot(y[i], SIZES[-1])
        expected += torch.einsum("rk,rku->ru", delta, net.weights[2]).abs() / len(y)
    assert torch.allclose(found, expected)


def test_a_dead_unit_is_worth_nothing_to_any_criterion_of_activity():
    net = stack()
    net.biases[0][:, 2] = -100.0
    for name in ("activation", "apoz", "taylor"):
        found = unit_scores(name, UnitContext(net, batch()))["layer1"]
        assert (found[:, 2] == 0).all() and (found[:, :2] > 0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted(UNIT_CRITERIA))
def test_a_replicate_scores_alone_as_among_others(name, dtype):
    examples = batch(dtype=dtype)
    whole = unit_scores(name, UnitContext(stack(dtype=dtype), examples))
    alone = unit_scores(name, UnitContext(stack(SEEDS[1:2], dtype=dtype), examples))
    assert all(torch.equal(whole[layer][1:2], alone[layer]) for layer in whole)
    assert [tuple(values.shape) for values in whole.values()] == [(3, 6), (3, 4)]


@pytest.mark.parametrize("name", sorted(set(UNIT_CRITERIA) - {"random"}))
def test_permuting_units_permutes_scores(name):
    net, order = stack(), torch.tensor([2, 0, 5, 4, 1, 3])
    before = unit_scores(name, UnitContext(net, batch()))
    for part in (net.weights[0], net.biases[0]):
        part.copy_(part[:, order].clone())
    net.weights[1].copy_(net.weights[1][:, :, order].clone())
    after = unit_scores(name, UnitContext(net, batch()))
    assert torch.allclose(after["layer1"], before["layer1"][:, order], atol=1e-14)
    # The incoming weights of the next layer are the same ones in another order.
    assert torch.allclose(after["layer2"], before["layer2"], atol=1e-14)


def test_random_scores_differ_by_seed_layer_and_key():
    net = StackedMLP.create((5, 6, 6, 3), (0, 1))
    found, other = (unit_scores("random", UnitContext(net, key=key)) for key in (0, 1))
    assert not torch.equal(found["layer1"], found["layer2"]) and not torch.equal(found["layer1"], other["layer1"])
    assert not torch.equal(found["layer1"][0], found["layer1"][1])


def test_a_batch_per_replicate_scores_each_on_its_own():
    net, (x, y) = stack(), batch()
    halves = torch.stack([x[:8], x[8:], x[4:12]]), torch.stack([y[:8], y[8:], y[4:12]])
    for name in ON_BATCH:
        together = unit_scores(name, UnitContext(net, halves))
        second = unit_scores(name, UnitContext(net, (x[8:], y[8:])))
        assert all(torch.equal(together[layer][1], second[layer][1]) for layer in together)


# ---- selection ----


def test_exactly_so_many_units_are_kept_and_the_lower_index_of_equals():
    scores = torch.tensor([[1.0, 3.0, 3.0, 3.0], [5.0, 0.0, 0.0, 2.0]])
    assert keep_units(scores, 2).tolist() == [[False, True, True, False], [True, False, False, True]]
    assert keep_units(scores, 3).tolist() == [[False, True, True, True], [True, True, False, True]]
    assert keep_units(scores, 4).all()


def test_keeping_no_unit_or_more_than_there_are_is_refused():
    with pytest.raises(EmptyLayer, match="= 0"):
        keep_units(torch.rand(2, 4), 0)
    with pytest.raises(BadInput, match="= 5"):
        keep_units(torch.rand(2, 4), 5)


def test_of_the_units_alive_the_best_stay_and_a_dead_unit_never_returns():
    scores, alive = torch.tensor([[0.0, 5.0, 9.0, 0.0]]), torch.tensor([[True, True, False, True]])
    found = fewer_units({"layer1": scores}, {"layer1": alive}, 0.5)["layer1"]
    assert found.tolist() == [[True, True, False, False]]  # 9 is dead; of the two zeros the first stays


def test_all_units_of_the_hidden_layers_are_alive_at_first():
    found = units_of(stack())
    assert {name: tuple(units.shape) for name, units in found.items()} == {"layer1": (3, 6), "layer2": (3, 4)}
    assert all(units.dtype == torch.bool and units.all() for units in found.values())


# ---- masks ----


def test_unit_masks_cut_all_weights_into_and_out_of_a_unit():
    net = StackedMLP.create((2, 3, 2), (0,))
    masks = unit_masks(net, {"layer1": torch.tensor([[True, False, True]])})
    assert masks["layer1"].tolist() == [[[True, True], [False, False], [True, True]]]
    assert masks["layer2"].tolist() == [[[True, False, True], [True, False, True]]]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_masked_net_computes_what_the_smaller_net_does(activation):
    net, (x, _) = stack(activation=activation), batch()
    net.biases[0].fill_(0.7)  # a constant act(0.7) of a removed unit must reach nobody
    first, second = [0, 2, 5], [1, 3]
    kept = keeping(net, [i in first for i in range(6)], [i in second for i in range(4)])
    act = torch.relu if activation == "relu" else torch.tanh
    for r in range(net.replicates):
        (w1, w2, w3), (b1, b2, b3) = ([p[r].clone() for p in parts] for parts in (net.weights, net.biases))
        hidden = act(x @ w1[first].T + b1[first])
        hidden = act(hidden @ w2[second][:, first].T + b2[second])
        expected = hidden @ w3[:, second].T + b3
        masked = net.select([r])
        apply(masked, unit_masks(masked, {name: units[:1] for name, units in kept.items()}))
        assert torch.allclose(masked.logits(x)[0], expected, atol=1e-14)


def test_no_gradient_reaches_the_bias_of_a_removed_unit():
    net, (x, y) = stack(), batch()
    apply(net, unit_masks(net, keeping(net, [True, False] * 3, [True] * 4)))
    out = torch.zeros_like(net.flat)
    inputs = net.pad(x).expand(net.replicates, -1, -1).contiguous()
    net.gradient(inputs, y.expand(net.replicates, -1), "cross_entropy", out)
    biases = net.views(out)[0][:, : SIZES[1], SIZES[0]]
    assert (biases[:, 1::2] == 0).all() and (biases[:, 0::2] != 0).any()


def test_replicates_may_lose_different_units():
    net = stack()
    kept = keep_units(unit_scores("random", UnitContext(net))["layer2"], 2)
    masks = unit_masks(net, {"layer2": kept})
    assert torch.equal(masks["layer2"].all(2), kept) and torch.equal(masks["layer3"].all(1), kept)
    assert masks["layer1"].all() and not torch.equal(kept[0], kept[1])


def test_what_was_cut_before_stays_cut_and_is_not_changed_in_place():
    net = stack()
    earlier = {name: w > 0 for name, w in weights_of(net).items()}
    apply(net, earlier)
    before = {name: mask.clone() for name, mask in earlier.items()}
    masks = unit_masks(net, keeping(net, [True, True, True, False, True, True], [True] * 4))
    assert all(not (masks[name] & ~before[name]).any() for name in masks)
    assert all(torch.equal(mask, before[name]) for name, mask in zip(before, net.masks, strict=True))
    loose = unit_masks(weights_of(net), {"layer1": torch.ones(3, 6, dtype=torch.bool)})
    assert all(mask.all() for mask in loose.values())


# ---- bad input ----


@pytest.mark.parametrize("name", ON_BATCH)
def test_criteria_of_activity_ask_for_a_batch(name):
    with pytest.raises(BadInput, match="batch = None"):
        unit_scores(name, UnitContext(stack()))


def test_what_does_not_fit_is_refused():
    net, (x, y) = stack(), batch()
    with pytest.raises(BadInput, match="unit criterion = 'l3'"):
        unit_scores("l3", UnitContext(net))
    with pytest.raises(BadInput, match="shapes of batch"):
        unit_scores("taylor", UnitContext(net, (x[:, :4], y)))
    with pytest.raises(BadInput, match="shapes of batch"):
        unit_scores("taylor", UnitContext(net, (x[:4], y)))
    with pytest.raises(BadInput, match="order = 3"):
        filter_norms(torch.ones(1, 2, 2), 3)
    with pytest.raises(BadInput, match="loss = 'l1'"):
        UnitContext(net, loss="l1")
    with pytest.raises(BadInput, match="layer = 'layer3'"):
        unit_masks(net, {"layer3": torch.ones(3, 3, dtype=torch.bool)})
    with pytest.raises(BadInput, match="units of layer1"):
        unit_masks(net, {"layer1": torch.ones(3, 5, dtype=torch.bool)})
    with pytest.raises(BadInput, match="units of layer1"):
        unit_masks(net, {"layer1": torch.ones(3, 6)})
    with pytest.raises(EmptyLayer, match="units kept in layer1"):
        unit_masks(net, {"layer1": torch.tensor([[True] * 6, [False] * 6, [True] * 6])})


def test_norms_of_filters_need_a_replicate_axis():
    layer = torch.nn.Conv1d(25, 30, 3)
    for weight in (layer.weight, torch.nn.Linear(3, 2).weight.detach()):
        with pytest.raises(BadInput, match="weights"):
            filter_norms(weight, 1)
    assert filter_norms(layer.weight.detach()[None], 1).shape == (1, 30)
