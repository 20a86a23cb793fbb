"""Contracts 1 and 2: the stacked step equals autograd, replicates do not see each other, resuming changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training import (
    SGD,
    Adam,
    AdamW,
    Diverged,
    Examples,
    constant,
    cosine,
    evaluate,
    fit,
    inverse_sqrt,
    step_decay,
    warm_up,
)  # fmt: skip

RULES = {
    "sgd": SGD(0.1),
    "sgd decay": SGD(0.1, weight_decay=1e-2),
    "momentum": SGD(0.05, momentum=0.9),
    "momentum decay": SGD(0.05, momentum=0.9, weight_decay=1e-2),
    "nesterov decay": SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": Adam(3e-3),
    "adam decay": Adam(3e-3, weight_decay=1e-2),
    "adamw": AdamW(3e-3, weight_decay=0.1),
}
SIZES = (7, 13, 11, 4)


def problem(n=90, inputs=7, classes=4, replicates=None) -> Examples:
    g = torch.Generator().manual_seed(5)
    x, y = torch.randn(n, inputs, generator=g), torch.randint(classes, (n,), generator=g)
    if replicates is None:
        return Examples(x, y)
    rows = torch.stack([torch.randperm(n, generator=g)[:60] for _ in range(replicates)])
    return Examples(x, y[rows], rows)


def as_modules(net: StackedMLP) -> list[nn.Module]:
    """The same nets as plain torch modules."""
    activation = nn.ReLU if net.activation == "relu" else nn.Tanh
    modules = []
    for r in range(net.replicates):
        layers: list[nn.Module] = []
        for w, b in zip(net.weights, net.biases, strict=True):
            linear = nn.Linear(w.shape[2], w.shape[1])
            linear.weight.data.copy_(w[r])
            linear.bias.data.copy_(b[r])
            layers += [linear, activation()]
        modules.append(nn.Sequential(*layers[:-1]))
    return modules


def largest_difference(net: StackedMLP, modules: list[nn.Module]) -> float:
    gaps = []
    for r, module in enumerate(modules):
        for layer, w, b in zip(list(module)[::2], net.weights, net.biases, strict=True):
            gaps += [(layer.weight - w[r]).abs().max(), (layer.bias - b[r]).abs().max()]
    return float(torch.stack(gaps).detach().max())


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_fifty_stacked_steps_equal_autograd(name, loss, activation):
    # float64: what is compared is the algebra, not rounding
    net = StackedMLP.create(SIZES, seeds=[3, 4, 5], activation=activation, dtype=torch.float64)
    data = problem(replicates=3)
    data = Examples(data.x.double(), data.y, data.rows)
    modules = [module.double() for module in as_modules(net)]
    start = net.flat.clone()
    arguments = {"loss": loss, "optimizer": RULES[name], "steps": 50, "batch_size": 16, "schedule": cosine(0.1)}
    ours = fit(net, data, **arguments)
    theirs = fit(modules, data, seeds=net.seeds, **arguments)
    assert (net.flat - start).abs().max() > 1e-2
    assert largest_difference(net, modules) < 1e-6
    np.testing.assert_allclose(ours.batch_loss, theirs.batch_loss, atol=1e-6)


def test_float32_steps_stay_within_1e6_of_autograd():
    net = StackedMLP.create(SIZES, seeds=[3, 4])
    modules = as_modules(net)
    for target in (net, modules):
        fit(target, problem(), seeds=(3, 4), steps=50, batch_size=16)
    assert largest_difference(net, modules) < 1e-6


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("others", [1, 2, 5, 6])
def test_replicate_alone_equals_replicate_among_others_bit_for_bit(name, others):
    def train(seeds, rows):
        net = StackedMLP.create((7, 13, 11), seeds=seeds)  # odd sizes and a partial last batch: nothing is aligned
        pool = problem(n=200, inputs=7, classes=11)
        data = Examples(pool.x, pool.y[rows], rows)
        history = fit(net, data, optimizer=RULES[name], steps=120, batch_size=32, evaluate={"train": data})
        return net.vector(), history

    rows = torch.stack([torch.randperm(200, generator=torch.Generator().manual_seed(s))[:150] for s in range(7)])
    seeds = [*range(1, 1 + others // 2), 0, *range(1 + others // 2, 1 + others)]  # not the first of the stack
    alone, alone_history = train([0], rows[:1])
    among, among_history = train(seeds, rows[seeds])
    where = seeds.index(0)
    assert torch.equal(alone[0], among[where])
    assert np.array_equal(alone_history.batch_loss[0], among_history.batch_loss[where])
    assert np.array_equal(alone_history["train_loss"][0], among_history["train_loss"][where])


@pytest.mark.parametrize("chunk", [2, 3, 100])
def test_chunks_do_not_change_results(chunk):
    nets = [StackedMLP.create(SIZES, seeds=range(7)) for _ in range(2)]
    whole = fit(nets[0], problem(replicates=7), steps=40, batch_size=16, chunk=100)
    parts = fit(nets[1], problem(replicates=7), steps=40, batch_size=16, chunk=chunk)
    assert torch.equal(nets[0].flat, nets[1].flat)
    assert np.array_equal(whole.batch_loss, parts.batch_loss)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("replicates", [1, 3])
def test_resumed_equals_uninterrupted(name, replicates):
    def net():
        return StackedMLP.create(SIZES, seeds=range(replicates))

    data, rest = problem(replicates=replicates), {"optimizer": RULES[name], "batch_size": 16}
    whole, broken = net(), net()
    fit(whole, data, steps=50, **rest)
    first = fit(broken, data, steps=23, **rest)
    fit(fresh := net(), data, steps=50, resume=first.state, **rest)
    assert torch.equal(whole.flat, fresh.flat)


def test_resumed_modules_equal_uninterrupted():
    net = StackedMLP.create(SIZES, seeds=[1])
    whole, broken = as_modules(net), as_modules(net)
    rest = {"optimizer": Adam(1e-2), "batch_size": 16}
    fit(whole, problem(), steps=50, **rest)
    first = fit(broken, problem(), steps=20, **rest)
    fit(again := as_modules(net), problem(), steps=50, resume=first.state, **rest)
    for a, b in zip(whole[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", RULES)
def test_masked_weights_stay_exactly_zero(name):
    net = StackedMLP.create(SIZES, seeds=range(3))
    g = torch.Generator().manual_seed(0)
    masks = [torch.rand(w.shape, generator=g) < 0.4 for w in net.weights]
    net.apply_masks(masks)
    before = net.flat.clone()
    fit(net, problem(), optimizer=RULES[name], steps=60, batch_size=16)
    for mask, weights in zip(masks, net.weights, strict=True):
        assert bool((weights[~mask] == 0).all())
        assert bool((weights[mask] != 0).any())
    assert not torch.equal(before, net.flat)


@pytest.mark.parametrize("name", RULES)
def test_masked_training_equals_autograd_with_the_mask_in_the_forward_pass(name):
    net = StackedMLP.create(SIZES, seeds=range(2), dtype=torch.float64)
    masks = [torch.rand(w.shape, generator=torch.Generator().manual_seed(1)) < 0.5 for w in net.weights]
    net.apply_masks(masks)
    modules = [m.double() for m in as_modules(net)]
    for r, module in enumerate(modules):
        for layer, mask in zip(list(module)[::2], masks, strict=True):
            torch.nn.utils.parametrize.register_parametrization(layer, "weight", _Masked(mask[r]))
    data = problem()
    data = Examples(data.x.double(), data.y)
    for target in (net, modules):
        fit(target, data, seeds=net.seeds, optimizer=RULES[name], steps=50, batch_size=16)
    assert largest_difference(net, modules) < 1e-6


class _Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, weight):
        return weight * self.mask


def test_frozen_cut_weights_keep_their_initial_values():
    net = StackedMLP.create(SIZES, seeds=range(2))
    net.masks = [torch.zeros_like(w, dtype=torch.bool) for w in net.weights]
    before = [w.clone() for w in net.weights]
    biases = [b.clone() for b in net.biases]
    fit(net, problem(), optimizer=AdamW(1e-2, weight_decay=0.5), steps=20, batch_size=16)
    assert all(torch.equal(a, b) for a, b in zip(before, net.weights, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(biases, net.biases, strict=True))


@pytest.mark.parametrize("name", RULES)
def test_ragged_sweep_equals_one_width_after_another(name):
    widths, seeds = (2, 3, 8, 21), (0, 1, 2)
    ragged = RaggedMLP.create(7, widths, 4, seeds)
    data = problem(replicates=3)
    options = {"optimizer": RULES[name], "steps": 50, "batch_size": 16, "evaluate": {"train": data}}
    together = fit(ragged, data, **options)
    for m, width in enumerate(widths):
        alone = StackedMLP.create((7, width, 4), seeds)
        history = fit(alone, data, **options)
        torch.testing.assert_close(ragged.net(width).vector(), alone.vector(), atol=1e-6, rtol=0)
        replicate = np.arange(3) * len(widths) + m
        np.testing.assert_allclose(together["train_loss"][replicate], history["train_loss"], atol=1e-6)


def test_ragged_seed_alone_equals_seed_among_others_bit_for_bit():
    widths, data = (2, 3, 8, 21), problem(replicates=4)
    among = RaggedMLP.create(7, widths, 4, seeds=(0, 1, 2, 3))
    fit(among, data, optimizer=Adam(1e-2), steps=50, batch_size=16)
    for s in range(4):
        alone = RaggedMLP.create(7, widths, 4, seeds=(s,))
        fit(alone, data.select([s]), optimizer=Adam(1e-2), steps=50, batch_size=16)
        assert all(torch.equal(a[0], b[s]) for a, b in zip(alone.blocks, among.blocks, strict=True))


def test_ragged_rates_reach_their_own_width():
    ragged = RaggedMLP.create(7, (3, 5), 4, seeds=(0, 1))
    before = ragged.clone()
    fit(ragged, problem(), optimizer=SGD((0.0, 0.1, 0.1, 0.0)), steps=5, batch_size=16)
    pairs = [(ragged.net(w).vector()[s], before.net(w).vector()[s]) for s in (0, 1) for w in (3, 5)]
    assert [torch.equal(after, start) for after, start in pairs] == [True, False, False, True]


def test_rates_per_replicate_equal_separate_runs():
    rates = (0.01, 0.1, 0.3)
    together = StackedMLP.create(SIZES, seeds=(5, 5, 5))
    fit(together, problem(), optimizer=SGD(rates, momentum=0.9), steps=30, batch_size=16)
    for r, rate in enumerate(rates):
        alone = StackedMLP.create(SIZES, seeds=(5,))
        fit(alone, problem(), optimizer=SGD((rate,), momentum=0.9), steps=30, batch_size=16)
        assert torch.equal(alone.vector()[0], together.vector()[r])


def test_stop_freezes_only_the_replicates_that_met_the_criterion():
    data = problem(n=40)
    net = StackedMLP.create((7, 200, 4), seeds=range(3))
    history = fit(
        net, data, optimizer=Adam((1e-2, 1e-2, 1e-6)), epochs=150, batch_size=None, evaluate={"train": data},
        probe_epochs=range(0, 151, 5), stop=lambda seen: seen["train_error"] <= 0,
    )  # fmt: skip
    assert (history.stopped_at[:2] > 0).all() and history.stopped_at[2] == -1
    at = np.searchsorted(history.steps, history.stopped_at[0])
    loss = history["train_loss"][0]
    assert history["train_error"][0, at] == 0 and loss[at] < loss[at - 1]
    assert (loss[at:] == loss[at]).all()


def test_a_run_ends_when_every_replicate_has_stopped():
    data = problem(n=20)
    history = fit(
        StackedMLP.create((7, 100, 4), seeds=range(2)), data, optimizer=Adam(1e-2), epochs=500, batch_size=None,
        evaluate={"train": data}, probe_epochs=range(0, 501, 10), stop=lambda seen: seen["train_error"] <= 0,
    )  # fmt: skip
    assert history.batch_loss.shape[1] == history.steps[-1] < 500


def test_a_diverging_replicate_is_named_with_its_step():
    net = StackedMLP.create(SIZES, seeds=range(3))
    with pytest.raises(Diverged, match=r"replicate 1 is (nan|inf) at step \d+"):
        fit(net, problem(), optimizer=SGD((0.1, 1e12, 0.1)), steps=200, batch_size=16, loss="mse")


def test_order_is_each_seeds_own_and_covers_every_example_once():
    from redlib.training import Batches

    data = Examples(torch.arange(10.0)[:, None], torch.arange(10))
    batches = Batches(data, seeds=(1, 2), batch_size=4)
    first = [batches.at(step)[1] for step in range(3)]
    assert [part.shape[1] for part in first] == [4, 4, 2]
    seen = torch.cat(first, 1)
    assert seen.sort(1).values.tolist() == [list(range(10))] * 2
    assert seen[0].tolist() != seen[1].tolist()
    later = torch.cat([batches.at(step)[1] for step in range(3, 6)], 1)
    assert later[0].tolist() != seen[0].tolist()


def test_variants_are_drawn_for_training_and_left_out_of_evaluation():
    from redlib.training import Batches

    pool = torch.arange(6.0)[:, None]
    data = Examples(torch.cat([pool, pool + 100]), torch.arange(6), variants=2)
    x, y = Batches(data, seeds=(0, 1), batch_size=6).at(0)
    assert set((x[..., 0] % 100 == y).flatten().tolist()) == {True} and (x >= 100).any() and (x < 100).any()
    assert torch.equal(next(data.parts(1))[0][0], pool)


def test_evaluate_counts_errors_by_hand():
    net = StackedMLP.create((2, 2), seeds=(0, 1))
    net.flat.zero_()
    net.weights[0][:] = torch.eye(2)
    x = torch.tensor([[2.0, 1.0], [1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    found = evaluate(net, Examples(x, torch.tensor([0, 1, 1, 1])))
    assert found["error"].tolist() == [0.25, 0.25]
    expected = nn.functional.cross_entropy(x, torch.tensor([0, 1, 1, 1]))
    torch.testing.assert_close(found["loss"][0], expected.double())


def test_schedules_take_their_known_values():
    assert constant()(5, 10) == 1
    assert [step_decay((0.5,), 0.1)(s, 10) for s in (4, 5)] == [1, 0.1]
    assert cosine()(5, 10) == pytest.approx(0.5) and cosine(0.2)(10, 10) == pytest.approx(0.2)
    assert [inverse_sqrt(4)(s, 0) for s in (3, 4, 12)] == [1, 2**-0.5, 0.5]
    assert [warm_up(4)(s, 10) for s in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "hinge"),
        ({"epochs": 3}, "exactly one"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"probe_steps": [99]}, "0 <= step <= 5"),
        ({"optimizer": SGD((0.1, 0.1, 0.1))}, "one per replicate"),
    ],
)
def test_bad_arguments_are_named_with_their_range(change, message):
    with pytest.raises(BadInput, match=message):
        fit(StackedMLP.create(SIZES, seeds=range(2)), problem(), **{"steps": 5, **change})


def test_labels_that_do_not_fit_the_inputs_are_refused():
    with pytest.raises(BadInput, match="one label per example"):
        Examples(torch.zeros(5, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(BadInput, match="mask"):
        StackedMLP.create((3, 2), seeds=(0, 1)).apply_masks([torch.ones(2, 3, dtype=torch.bool)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["stacked", "ragged", "modules"])
def test_training_on_cuda_agrees_with_the_cpu(kind):
    def trained(device):
        data = problem(replicates=3)
        if kind == "ragged":
            net = RaggedMLP.create(7, (3, 8), 4, (0, 1, 2))
        else:
            net = StackedMLP.create(SIZES, seeds=(0, 1, 2))
            net = as_modules(net) if kind == "modules" else net
        options = {"optimizer": Adam(1e-3), "steps": 30, "batch_size": 16, "evaluate": {"train": data}}
        return fit(net, data, device=device, seeds=(0, 1, 2), **options)

    cpu, cuda = trained("cpu"), trained("cuda")
    np.testing.assert_allclose(cpu["train_loss"], cuda["train_loss"], atol=1e-4)
