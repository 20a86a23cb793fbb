"""The re-run of the public MNIST-1D ticket protocol: its net, masks, schedule and data are what the authors run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from redlib.data.readers import generate_mnist1d
from redlib.errors import BadInput
from redlib.nets.stacked import StackedMLP
from redlib.pruning import allocation, masks
from redlib.studies import tickets_mnist1d as tickets
from redlib.studies.tickets_mnist1d import Greydanus, ResidualMLP
from redlib.training import Adam
from redlib.training.optimisers import Update

TINY = Greydanus(
    sparsities=(0.4, 0.8), retrains=11, hidden=16, updates=121, scored=101, batch=20, n=200, tests=100, seeds=(3, 4)
)


@pytest.fixture(scope="module")
def result():
    return tickets.run(TINY)


def some_net(seed: int = 0, hidden: int = 16) -> ResidualMLP:
    return tickets.net_of(dataclasses.replace(TINY, hidden=hidden), seed)


def some_masks(net: ResidualMLP, density: float = 0.3) -> masks.Tensors:
    shapes = allocation.shapes_of(net.joined())
    return allocation.random_masks(shapes, allocation.layer_counts(shapes, density), net.seeds)


def plain(net: ResidualMLP) -> list[torch.Tensor]:
    """Weights and biases of replicate 0, W1, b1, W2, b2, W3, b3, as leaves of autograd."""
    pairs = zip(net.weights, net.biases, strict=True)
    return [p[0].clone().requires_grad_() for pair in pairs for p in pair]


def residual(p: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    h = torch.relu(x @ p[0].T + p[1])
    return (h + torch.relu(h @ p[2].T + p[3])) @ p[4].T + p[5]


def test_the_second_layer_adds_to_what_it_reads():
    net = ResidualMLP.create((1, 2, 2, 1), [0])
    for layer, values in zip(
        net.joined().values(), ([[1, 0], [-1, 1]], [[2, 0, -1], [0, -3, 0]], [[1, 10, 0.5]]), strict=True
    ):
        layer.copy_(torch.tensor([values]))
    # x = 3: h = (3, 0); branch = relu(2 * 3 - 1, 0) = (5, 0); sum = (8, 0). x = -1: h = (0, 2), branch (0, 0).
    assert net.logits(torch.tensor([[3.0], [-1.0]]))[0, :, 0].tolist() == [8.5, 20.5]


def test_the_hand_written_gradient_is_that_of_autograd():
    net = some_net()
    x, y = torch.randn(7, 40, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 10
    leaves = plain(net)
    loss = functional.cross_entropy(residual(leaves, x), y)
    loss.backward()
    out = torch.ones_like(net.flat)
    found = net.gradient(net.pad(x)[None], y[None], "cross_entropy", out=out, beta=0.5, scale=-2.0)
    assert found.item() == pytest.approx(loss.item(), abs=1e-6)
    for block, (_, values), w, b in zip(net.views(out), net.joined().items(), leaves[::2], leaves[1::2], strict=True):
        expected = 0.5 - 2 * torch.cat([w.grad, b.grad[:, None]], 1)
        np.testing.assert_allclose(block[0, : values.shape[1], : values.shape[2]], expected, atol=2e-6)


def test_padding_and_constant_units_never_receive_a_gradient():
    net = some_net()
    out = torch.zeros_like(net.flat)
    x = torch.randn(5, 40, generator=torch.Generator().manual_seed(2))
    net.gradient(net.pad(x)[None], torch.zeros(1, 5, dtype=torch.int64), "cross_entropy", out=out)
    inside = torch.zeros_like(net.flat)
    for view, values in zip(net.views(inside), net.joined().values(), strict=True):
        view[:, : values.shape[1], : values.shape[2]] = 1
    assert out[inside == 0].abs().max() == 0 and out[inside == 1].abs().max() > 0


def test_cut_weights_and_cut_biases_stay_zero_and_kept_ones_move():
    net = some_net()
    data = tickets.examples(TINY, net)
    drawn = some_masks(net)
    before = net.flat.clone()
    tickets.train(TINY, net, before, data, drawn)
    start = ResidualMLP(net.sizes, net.seeds, before).joined()
    for name, values in net.joined().items():
        assert drawn[name][..., -1].logical_not().any(), "some biases are cut"
        assert values[~drawn[name]].abs().max() == 0
        assert (values != start[name])[drawn[name]].double().mean() > 0.9


def test_training_equals_the_authors_way_of_zeroing_before_every_pass():
    """They let Adam move cut parameters and zero them again before each pass; ours never moves them."""
    config = dataclasses.replace(TINY, updates=30, scored=30)
    net, rival = some_net(), some_net()
    data, drawn = tickets.examples(config, net), some_masks(net)
    leaves = plain(rival)
    cut = [part for mask in drawn.values() for part in (mask[0, :, :-1], mask[0, :, -1])]
    optimiser = torch.optim.Adam(leaves, lr=config.lr)
    x, y = (torch.from_numpy(a.copy()) for a in generate_mnist1d(300, 42))

    def zeroed() -> None:
        for p, mask in zip(leaves, cut, strict=True):
            p.data.mul_(mask)

    for step in range(config.updates):
        zeroed()
        at = step * 20 % 200
        optimiser.zero_grad()
        functional.cross_entropy(residual(leaves, x[at : at + 20]), y[at : at + 20]).backward()
        optimiser.step()
    zeroed()
    looks, _ = tickets.train(config, net, net.flat.clone(), data, drawn)
    for mine, theirs in zip(plain(net), leaves, strict=True):
        np.testing.assert_allclose(mine.detach(), theirs.detach(), atol=2e-4)
    right = (residual(leaves, x[200:]).argmax(-1) == y[200:]).double().mean().item()
    assert looks[-1] == pytest.approx(100 * right)


def test_a_layer_loses_the_whole_part_of_its_weights_and_biases_together():
    shapes = allocation.shapes_of(some_net(hidden=500).joined())
    assert tickets.kept(shapes, 0.0) == {"layer1": 500 * 41, "layer2": 500 * 501, "layer3": 10 * 501}
    assert tickets.kept(shapes, 79 / 99) == {"layer1": 20500 - 16358, "layer2": 250500 - 199893, "layer3": 5010 - 3997}


def test_the_default_schedule_is_the_authors_and_a_stride_keeps_what_is_reported():
    assert Greydanus().reported == (79, 91, 94)  # retrain 80, 92, 95: 0.80, 0.92, 0.95 in their print-out
    assert Greydanus().points == tuple(range(95))
    assert [round(Greydanus().sparsity(p), 2) for p in Greydanus().reported] == [0.8, 0.92, 0.95]
    assert Greydanus(stride=30).points == (0, 30, 60, 79, 90, 91, 94)


def test_each_retrain_prunes_the_previous_one_and_starts_again_from_the_first_weights(monkeypatch):
    seen = []

    def spy(config, net, initial, data, chosen, full=True):
        scores = {name: torch.rand(values.shape) for name, values in net.joined().items()}
        seen.append((chosen, scores, full, initial.clone(), data.x[0, :2].clone()))
        return [0.0] * 3, scores

    monkeypatch.setattr(tickets, "train", spy)
    tickets.run(dataclasses.replace(TINY, seeds=(3,)))
    ticket, chance = seen[:9], seen[9:]
    start = tickets.net_of(TINY, 3).flat
    assert all(torch.equal(initial, start) for _, _, _, initial, _ in seen)
    assert [full for _, _, full, _, _ in ticket] == [True, False, False, False, True, False, False, False, True]
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
    net = some_net()
    data, chosen = tickets.examples(TINY, net), masks.dense(net.joined())
    initial = net.flat.clone()
    _, early = tickets.train(TINY, net, initial, data, chosen, full=False)
    now = {name: values.abs() for name, values in net.joined().items()}
    _, scores = tickets.train(TINY, net, initial, data, chosen)
    assert all(torch.equal(scores[name], early[name]) and torch.equal(early[name], now[name]) for name in scores)
    assert not torch.equal(scores["layer2"], net.joined()["layer2"].abs()), "training went on"


def test_batches_come_in_the_generators_order_and_the_test_set_is_the_rest():
    net = some_net()
    data = tickets.examples(TINY, net)
    x, y = generate_mnist1d(300, 42)
    assert np.array_equal(data.x[0, :, :40], x[:200]) and np.array_equal(data.test_x[0, :, :40], x[200:])
    assert np.array_equal(data.y[0], y[:200]) and np.array_equal(data.test_y[0], y[200:])
    fed = []

    class Listening(Update):
        def step(self, x, y, loss, lr):
            fed.append(y[0].tolist())
            return super().step(x, y, loss, lr)

    tickets._advance(TINY, net, Listening(Adam(0.01), net), data, range(12))
    assert fed == [y[20 * (step % 10) :][:20].tolist() for step in range(12)]


def test_the_test_set_has_the_share_of_the_first_class_that_the_authors_print():
    """With every weight cut all outputs are zero, and class 0 is said of all: 10.2% in all their trials."""
    net = tickets.net_of(Greydanus(hidden=16), 0)
    data = tickets.examples(Greydanus(), net)
    net.flat.zero_()
    assert (net.logits(data.test_x).argmax(-1) == data.test_y).double().mean().item() == pytest.approx(0.102)


def test_a_run_has_seeds_first_and_a_seed_does_not_depend_on_the_others(result):
    shapes = {name: values.shape for name, values in result.items()}
    arms = {f"{arm}{s}": (2, 2) for arm in ("magnitude", "random") for s in ("", "_mean")}
    assert shapes == arms | {
        "dense": (2,), "dense_mean": (2,), "path": (2, 9), "sparsity": (2,), "path_sparsity": (9,),
    }  # fmt: skip
    alone = tickets.run(dataclasses.replace(TINY, seeds=(4,)))
    assert all(np.array_equal(alone[name][0], result[name][1]) for name in {*arms, "dense", "path"})
    assert not np.array_equal(result["path"][0], result["path"][1])


def test_accuracies_are_percentages_read_after_the_last_update(result):
    assert np.allclose(result["sparsity"], [0.4, 0.8]) and np.allclose(result["path_sparsity"], np.arange(9) / 10)
    net = tickets.net_of(TINY, 3)
    data = tickets.examples(TINY, net)
    looks, _ = tickets.train(TINY, net, net.flat.clone(), data, masks.dense(net.joined()))
    right = (net.logits(data.test_x[0])[0].argmax(-1) == data.test_y[0]).double().mean().item()
    assert result["dense"][0] == looks[-1] == pytest.approx(100 * right)
    assert len(looks) == 3 and result["dense_mean"][0] == pytest.approx(np.mean(looks))  # after 1, 101 and 121
    assert result["path"][0, 0] == looks[1]


def test_training_learns_its_examples():
    net = some_net()
    data = tickets.examples(TINY, net)
    looks, _ = tickets.train(
        TINY, net, net.flat.clone(), tickets.Data(data.x, data.y, data.x, data.y), masks.dense(net.joined())
    )
    assert looks[0] < 30 and looks[-1] > 70


def test_published_values_have_the_shape_of_a_run():
    for name, values in tickets.PUBLISHED.items():
        assert np.shape(values) == ((4,) if name.startswith("dense") else (2, len(Greydanus().sparsities)))
        assert np.min(values) > 40 and np.max(values) < 80


def test_a_residual_net_without_its_second_layer_is_a_shallow_one():
    net = some_net()
    net.blocks[1].zero_()
    shallow = StackedMLP.create((40, 16, 10), [0])
    shallow.blocks[0].copy_(net.blocks[0])
    shallow.blocks[1].copy_(net.blocks[2])
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(net.logits(x), shallow.logits(x), atol=1e-6)


@pytest.mark.parametrize(
    "setting",
    [
        {"sparsities": (0.8, 1.0)}, {"sparsities": (0.0,)}, {"sparsities": ()}, {"sparsities": (0.8, 0.801)},
        {"stride": 0}, {"scored": 1502}, {"scored": 0}, {"batch": 0}, {"batch": 4001}, {"tests": 0}, {"n": 3999},
    ],
)  # fmt: skip
def test_settings_that_make_no_protocol_are_refused(setting):
    with pytest.raises(BadInput):
        Greydanus(**setting)


def test_a_longer_run_costs_more():
    assert Greydanus().cost > 3 * Greydanus(stride=10).cost > 3 * Greydanus(stride=10, seeds=(0,)).cost
