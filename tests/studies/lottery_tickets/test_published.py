"""The re-run of the public MNIST-1D ticket protocol: its net, masks, schedule and data are what the authors run."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from redlib.data.readers import generate_mnist1d
from redlib.errors import BadInput
from redlib.nets.residual import ResidualMLP
from redlib.pruning import allocation, masks
from redlib.studies.lottery_tickets import runs
from redlib.studies.lottery_tickets.figures import DENSE_TRIALS, TRIALS
from redlib.studies.lottery_tickets.runs import Published
from redlib.training import Adam
from redlib.training.optimisers import Update

spec = importlib.util.spec_from_file_location("tiny_tickets", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
TINY = replace(tiny.PUBLISHED, seeds=(3, 4))
ONE = replace(TINY, seeds=(0,))


pytestmark = pytest.mark.usefixtures("one_thread_throughout")


@pytest.fixture(scope="module")
def result():
    return TINY.run()


def everything(net):
    return masks.dense(net.joined())


def plain(net: ResidualMLP) -> list[torch.Tensor]:
    """Weights and biases of replicate 0, W1, b1, W2, b2, W3, b3, as leaves of autograd."""
    pairs = zip(net.weights, net.biases, strict=True)
    return [p[0].clone().requires_grad_() for pair in pairs for p in pair]


def residual(p: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    h = torch.relu(x @ p[0].T + p[1])
    return (h + torch.relu(h @ p[2].T + p[3])) @ p[4].T + p[5]


def test_training_under_a_mask_is_that_of_the_authors_loop():
    net = ONE.net()
    shapes = allocation.shapes_of(net.joined())
    drawn = allocation.random_masks(shapes, allocation.layer_counts(shapes, 0.3), net.seeds)
    leaves = plain(net)
    cut = [part for mask in drawn.values() for part in (mask[0, :, :-1], mask[0, :, -1])]
    optimiser = torch.optim.Adam(leaves, lr=ONE.lr)
    x, y = (torch.from_numpy(a.copy()) for a in generate_mnist1d(300, 42))

    def zeroed() -> None:
        for p, mask in zip(leaves, cut, strict=True):
            p.data.mul_(mask)

    for step in range(ONE.updates):
        zeroed()
        at = step * 20 % 200
        optimiser.zero_grad()
        functional.cross_entropy(residual(leaves, x[at : at + 20]), y[at : at + 20]).backward()
        optimiser.step()
    zeroed()
    accuracy, _ = ONE.trained(net, net.flat.clone(), *ONE.examples(), drawn)
    for mine, theirs in zip(plain(net), leaves, strict=True):
        np.testing.assert_allclose(mine.detach(), theirs.detach(), atol=2e-4)
    right = (residual(leaves, x[200:]).argmax(-1) == y[200:]).double().mean().item()
    assert accuracy.tolist() == pytest.approx([100 * right])


def test_a_layer_loses_the_whole_part_of_its_weights_and_biases_together():
    shapes = {"layer1": (500, 41), "layer2": (500, 501), "layer3": (10, 501)}
    assert Published().kept(shapes, 0) == {"layer1": 500 * 41, "layer2": 500 * 501, "layer3": 10 * 501}
    expected = {"layer1": 20500 - 16358, "layer2": 250500 - 199893, "layer3": 5010 - 3997}
    assert Published().kept(shapes, 79) == expected


def test_the_default_schedule_is_the_authors_and_a_stride_keeps_what_is_reported():
    assert Published().reported == (79, 91, 94)  # retrain 80, 92, 95: 0.80, 0.92, 0.95 in their print-out
    assert Published().points == tuple(range(95))
    assert Published(stride=30).points == (0, 30, 60, 79, 90, 91, 94)


def test_each_retrain_prunes_the_previous_one_and_starts_again_from_the_first_weights(monkeypatch):
    seen = []

    def spy(self, net, initial, x, y, chosen, last=True):
        scores = {name: torch.rand(values.shape) for name, values in net.joined().items()}
        seen.append((chosen, scores, last, initial.clone(), x[0, :2].clone()))
        return np.zeros(1), scores

    monkeypatch.setattr(Published, "trained", spy)
    alone = replace(TINY, seeds=(3,))
    alone.run()
    ticket, chance = seen[:9], seen[9:]
    assert all(torch.equal(initial, alone.net().flat) for _, _, _, initial, _ in seen)
    assert [last for _, _, last, _, _ in ticket] == [True, False, False, False, True, False, False, False, True]
    for point, (before, after) in enumerate(zip(ticket, ticket[1:], strict=False), 1):
        for name, mask in after[0].items():
            assert not (mask & ~before[0][name]).any(), "what was cut stays cut"
            kept = before[1][name][mask]
            assert kept.min() > before[1][name][before[0][name] & ~mask].max(), "the largest magnitudes stay"
            assert mask.sum() == mask.numel() - int(point / 10 * mask.numel())
    for (drawn, *_), point in zip(chance, (4, 8), strict=True):
        assert {n: m.sum().item() for n, m in drawn.items()} == {n: m.sum().item() for n, m in ticket[point][0].items()}
    assert (chance[1][0]["layer2"] & ~chance[0][0]["layer2"]).any(), "random masks are drawn anew, not nested"


def test_magnitudes_are_those_of_the_last_checkpoint_not_of_the_end():
    net = ONE.net()
    start = net.flat.clone(), *ONE.examples(), everything(net)
    _, early = ONE.trained(net, *start, False)
    now = {name: values.abs() for name, values in net.joined().items()}
    _, scores = ONE.trained(net, *start)
    assert all(torch.equal(scores[name], early[name]) and torch.equal(early[name], now[name]) for name in scores)
    assert not torch.equal(scores["layer2"], net.joined()["layer2"].abs()), "training went on"


def test_batches_come_in_the_generators_order_and_the_test_set_is_the_rest(monkeypatch):
    fed = []

    class Listening(Update):
        def step(self, x, y, loss, lr):
            fed.append(y[0].tolist())
            return super().step(x, y, loss, lr)

    monkeypatch.setattr(runs, "Update", Listening)
    net = ONE.net()
    x, y = generate_mnist1d(300, 42)
    mine = ONE.examples()
    assert np.array_equal(mine[0][0, :, :40], x) and np.array_equal(mine[1][0], y)
    accuracy, _ = ONE.trained(net, net.flat.clone(), *mine, everything(net))
    assert fed == [y[20 * (step % 10) :][:20].tolist() for step in range(ONE.updates)]
    right = (net.logits(mine[0][0, 200:])[0].argmax(-1) == torch.from_numpy(y[200:].copy())).double().mean().item()
    assert accuracy.tolist() == pytest.approx([100 * right]) and right > 0.15


def test_the_test_set_has_the_share_of_the_first_class_that_the_authors_print():
    """With every weight cut all outputs are zero, and class 0 is said of all: 10.2% in all their trials."""
    assert (Published(seeds=(0,)).examples()[1][:, 4000:] == 0).double().mean().item() == pytest.approx(0.102)


def test_accuracies_are_percentages_read_after_the_last_update(result):
    found = TINY.results(result)
    net = TINY.net()
    accuracy, _ = TINY.trained(net, net.flat.clone(), *TINY.examples(), everything(net))
    assert np.array_equal(found["dense"], accuracy) and found.at(sparsity=0.8)["random"].shape == (2,)
    assert 15 < accuracy.min() <= accuracy.max() < 100 and Adam(TINY.lr).lr == 0.02


def test_published_values_are_percentages_of_the_reported_sparsities():
    assert all(tuple(trials) == Published().sparsities for trials in TRIALS.values())
    every = [*DENSE_TRIALS, *(value for trials in TRIALS.values() for pair in trials.values() for value in pair)]
    assert min(every) > 40 and max(every) < 80


@pytest.mark.parametrize(
    "setting",
    [
        {"sparsities": (0.8, 1.0)}, {"sparsities": (0.0,)}, {"sparsities": ()}, {"sparsities": (0.8, 0.801)},
        {"stride": 0}, {"scored": 1502}, {"scored": 0}, {"batch": 0}, {"batch": 4001}, {"tests": 0}, {"n": 3999},
    ],
)  # fmt: skip
def test_settings_that_make_no_protocol_are_refused(setting):
    with pytest.raises(BadInput):
        Published(**setting)


def test_a_longer_run_costs_more():
    assert Published().cost > 3 * Published(stride=10).cost > 3 * Published(stride=10, seeds=(0,)).cost
