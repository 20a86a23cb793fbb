"""Information extrusion: the penalty follows its closed form, and reaches exactly the weights that will be cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.allocation import layer_counts, random_masks, shapes_of
from redlib.pruning.extrusion import ExtrudingMLP, Growth, extrude, growth_over
from redlib.pruning.masks import weights_of
from redlib.training import SGD, Adam, AdamW, Examples, fit, step_decay

SIZES = (7, 13, 11, 4)
RULES = {
    "sgd": SGD(0.1),
    "sgd decay": SGD(0.1, weight_decay=1e-2),
    "momentum": SGD(0.05, momentum=0.9),
    "nesterov decay": SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": Adam(3e-3),
    "adamw": AdamW(3e-3, weight_decay=0.1),
}


def problem(n=90) -> Examples:
    g = torch.Generator().manual_seed(5)
    centres, y = 2 * torch.randn(4, 7, generator=g), torch.randint(4, (n,), generator=g)
    return Examples(centres[y] + torch.randn(n, 7, generator=g), y)


def masks_for(net: StackedMLP, density=0.3):
    shapes = shapes_of(weights_of(net))
    return random_masks(shapes, layer_counts(shapes, density), net.seeds)


def dense(seeds=(3, 4), dtype=torch.float32) -> StackedMLP:
    return StackedMLP.create(SIZES, seeds, init="he", dtype=dtype)


def extruding(net: StackedMLP, growth: Growth) -> ExtrudingMLP:
    return ExtrudingMLP.create(net, masks_for(net), growth)


@pytest.mark.parametrize("rates", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_without_a_penalty_it_is_plain_training_bit_for_bit(rule, rates):
    optimizer = RULES[rule]
    if rates > 1:
        optimizer = type(optimizer)(**{**optimizer.__dict__, "lr": (optimizer.lr,) * rates})
    plain, ours = dense(), extruding(dense(), Growth(bound=0.0))
    histories = [fit(net, problem(), optimizer=optimizer, steps=40, batch_size=16) for net in (plain, ours)]
    assert torch.equal(plain.flat, ours.flat)
    assert np.array_equal(histories[0].batch_loss, histories[1].batch_loss)


@pytest.mark.parametrize("rate", [0.2, (0.2, 0.05)])
def test_without_data_the_doomed_weights_decay_in_closed_form_and_the_others_stay(rate):
    # Inputs are 0 and so are the biases: no weight has a gradient but the penalty's.
    net, growth = dense(dtype=torch.float64), Growth(increment=0.3, every=4, bound=1.0)
    ours = extruding(net, growth)
    zeros = Examples(torch.zeros(12, 7, dtype=torch.float64), torch.arange(12) % 4)
    schedule = step_decay((0.5,), 0.1)
    fit(ours, zeros, optimizer=SGD(rate), steps=20, batch_size=5, schedule=schedule)
    strengths = [0.3] * 4 + [0.6] * 4 + [0.9] * 4 + [1.0] * 8
    for r, lr in enumerate(rate if isinstance(rate, tuple) else (rate, rate)):
        rates = [lr] * 10 + [0.1 * lr] * 10
        factor = math.prod(1 - a * b for a, b in zip(rates, strengths, strict=True))
        for mask, before, after in zip(masks_for(net).values(), net.weights, ours.weights, strict=True):
            assert torch.equal(after[r][mask[r]], before[r][mask[r]])
            torch.testing.assert_close(
                after[r][~mask[r]], factor * before[r][~mask[r]], rtol=1e-6, atol=0
            )  # rates are float32


@pytest.mark.parametrize("rule", RULES)
def test_training_equals_autograd_with_the_penalty_in_the_loss(rule):
    optimizer, growth = RULES[rule], Growth(increment=0.05, every=3, bound=0.3)
    net = dense(dtype=torch.float64)
    masks, ours = list(masks_for(net).values()), extruding(net, growth)
    data = problem()
    data = Examples(data.x.double(), data.y)
    fit(ours, data, optimizer=optimizer, steps=30, batch_size=None)
    for r in range(2):
        parameters = [p[r].clone().requires_grad_() for ps in (net.weights, net.biases) for p in ps]
        step = reference_optimiser(optimizer, parameters)
        for t in range(30):
            x = data.x
            for layer in range(3):
                x = x @ parameters[layer].T + parameters[3 + layer]
                x = x.relu() if layer < 2 else x
            strength = min(0.3, 0.05 * (t // 3 + 1))
            doomed = sum((w * ~m[r]).square().sum() for w, m in zip(parameters[:3], masks, strict=True))
            step.zero_grad()
            (torch.nn.functional.cross_entropy(x, data.y) + strength / 2 * doomed).backward()
            step.step()
        for mine, theirs in zip([*ours.weights, *ours.biases], parameters, strict=True):
            torch.testing.assert_close(mine[r], theirs.detach(), atol=1e-7, rtol=1e-7)


def reference_optimiser(rule, parameters):
    if isinstance(rule, SGD):
        options = {"momentum": rule.momentum, "nesterov": rule.nesterov}
        return torch.optim.SGD(parameters, lr=rule.lr, weight_decay=rule.weight_decay, **options)
    kind = torch.optim.AdamW if rule.decoupled else torch.optim.Adam
    return kind(parameters, lr=rule.lr, weight_decay=rule.weight_decay)


@pytest.mark.parametrize("others", [1, 4])
@pytest.mark.parametrize("rule", RULES)
def test_replicate_alone_equals_replicate_among_others_bit_for_bit(rule, others):
    def train(seeds):
        net = extruding(dense(seeds), Growth(0.05, 5, 1.0))
        fit(net, problem(), optimizer=RULES[rule], steps=40, batch_size=32)
        return net.vector()

    assert torch.equal(train([9])[0], train([*range(others), 9])[-1])


def test_chunks_and_two_calls_in_a_row_keep_the_count_of_steps():
    nets = [extruding(dense(range(7)), Growth(0.05, 5, 1.0)) for _ in range(3)]
    rest = {"optimizer": SGD(0.1), "batch_size": None}
    fit(nets[0], problem(), steps=30, chunk=100, **rest)
    fit(nets[1], problem(), steps=30, chunk=2, **rest)
    first = fit(nets[2], problem(), steps=12, chunk=3, **rest)
    fit(nets[2], problem(), steps=30, resume=first.state, **rest)
    assert torch.equal(nets[0].flat, nets[1].flat) and torch.equal(nets[0].flat, nets[2].flat)
    assert [net.steps for net in nets] == [[30] * 7] * 3
    assert nets[0].clone().steps == [30] * 7 and nets[0].select([0, 1]).steps == [30] * 2


def test_extruding_empties_the_doomed_weights_and_cuts_them():
    net = dense(range(3))
    before, masks = net.flat.clone(), masks_for(net)
    sparse, ratio = extrude(net, masks, problem(), optimizer=SGD(0.1, momentum=0.9), steps=200, batch_size=30)
    assert torch.equal(net.flat, before)
    assert ratio.shape == (3,) and bool((ratio < 0.4).all()) and bool((ratio > 0).all())  # the data pull back
    for mask, weights in zip(masks.values(), sparse.weights, strict=True):
        assert bool((weights[~mask] == 0).all()) and bool((weights[mask] != 0).any())
    fit(sparse, problem(), optimizer=AdamW(1e-2, weight_decay=0.1), steps=10, batch_size=16)
    assert all(bool((w[~m] == 0).all()) for m, w in zip(masks.values(), sparse.weights, strict=True))


def test_the_ratio_is_that_of_the_doomed_norms_just_before_the_cut():
    net, growth = dense(), Growth(0.05, 5, 0.4)
    masks = masks_for(net)
    rest = {"optimizer": SGD(0.1), "steps": 25, "batch_size": 30}
    _, ratio = extrude(net, masks, problem(), growth=growth, **rest)
    twin = extruding(net, growth)
    fit(twin, problem(), **rest)
    for r in range(2):
        norms = [
            np.sqrt(sum(float((w[r].double() * ~m[r]).square().sum()) for w, m in zip(n.weights, masks.values())))  # noqa: B905
            for n in (twin, net)
        ]
        assert ratio[r].item() == pytest.approx(norms[0] / norms[1], rel=1e-5)


def test_a_stronger_penalty_leaves_less_to_cut():
    rest = {"optimizer": SGD(0.1), "steps": 100, "batch_size": 30}
    ratios = [
        extrude(dense(), masks_for(dense()), problem(), growth=growth_over(100, bound), **rest)[1]
        for bound in (0.0, 0.1, 1.0)
    ]
    assert bool((ratios[0] > ratios[1]).all()) and bool((ratios[1] > ratios[2]).all())


def test_the_penalty_grows_in_steps_up_to_its_bound():
    growth = Growth(increment=0.25, every=2, bound=0.6)
    assert [growth.at(step) for step in range(7)] == [0.25, 0.25, 0.5, 0.5, 0.6, 0.6, 0.6]
    assert Growth().at(0) == 1e-4 and Growth().at(49_994) < 1.0 == Growth().at(50_000)
    over = growth_over(steps=1000, bound=2.0, every=5, share=0.5)
    assert over.at(489) < 2.0 and over.at(500) == over.at(999) == pytest.approx(2.0)
    assert growth_over(steps=3).at(0) == 1.0  # too short to grow


def test_bad_arguments_are_named_with_their_range():
    net = dense()
    masks = masks_for(net)
    with pytest.raises(BadInput, match="names of mask"):
        ExtrudingMLP.create(net, {"layer1": masks["layer1"]}, Growth())
    with pytest.raises(BadInput, match="cut something"):
        ExtrudingMLP.create(net, {name: torch.ones_like(m) for name, m in masks.items()}, Growth())
    with pytest.raises(BadInput, match="increment"):
        Growth(increment=-1.0)
    ours = ExtrudingMLP.create(net, masks, Growth())
    ours.masks = list(masks.values())
    with pytest.raises(BadInput, match="plain"):
        fit(ours, problem(), steps=1)
    with pytest.raises(BadInput, match="share"):
        growth_over(10, share=0.0)
    net.apply_masks(list(masks.values()))
    with pytest.raises(BadInput, match="dense"):
        ExtrudingMLP.create(net, masks, Growth())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_agrees_with_the_cpu():
    def trained(device):
        net = extruding(dense(), Growth(0.05, 5, 1.0))
        fit(net, problem(), steps=20, batch_size=16, device=device)
        return net.flat

    torch.testing.assert_close(trained("cpu"), trained("cuda"), atol=1e-4, rtol=1e-3)
