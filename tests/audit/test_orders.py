"""Orders of removal: known scores, planted units and directions, bisection, and passes that keep within a budget."""

import math

import audit_nets as toys
import numpy as np
import pytest
import torch
from torch import nn

from redlib.audit import activations, audit, removal
from redlib.audit.inputs import examples, subject
from redlib.audit.layers import count_macs, layers
from redlib.errors import BadInput


def bench_of(net, data, tolerate=0.5, effort=1.0):
    found, given = subject(net), examples(data)
    examined, _ = layers(found)
    x = next(given.batches(found.like, 2))
    count_macs(found, examined, x)
    sites, _ = activations.find_sites(found, examined, x)
    return removal.bench(found, given, examined, len(sites), tolerate, toys.SEED, effort), examined, sites


def readers(kind):
    """A net that decides by two of its ten units, behind weights whose norms mislead.

    The eight others have larger weights; they never switch on ("silent"), or nothing reads them ("unread").
    """
    net = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 2))
    with torch.no_grad():
        net[0].weight.copy_(10 + toys.drawn(10, 2, key=1))
        net[0].bias.fill_(-1e4 if kind == "silent" else 0)
        net[2].weight.copy_(toys.drawn(2, 10, key=2) if kind == "silent" else torch.zeros(2, 10))
        net[2].bias.zero_()
        net[0].weight[:2], net[2].weight[:, :2], net[0].bias[:2] = torch.eye(2), torch.eye(2), 0
    return net


@pytest.mark.parametrize("kind, order", [("silent", "mean activation"), ("unread", "gradient")])
@pytest.mark.parametrize("thorough", [True, False])
def test_the_best_order_is_taken(kind, order, thorough):
    x = toys.drawn(300, 2).abs()
    at, _, sites = bench_of(readers(kind), (x, x.argmax(1)))
    at = removal.replace(at, thorough=thorough)
    by_norm = removal.without_units(at, sites[0])
    assert by_norm.safe == 0 and by_norm.order == "norm"
    scores = removal.unit_scores(at, sites[:1])["0"]
    best = removal.without_units(at, sites[0], scores)
    assert best.safe == 0.8 and best.order == order and best.control < 0.95
    assert f"By {order}; in random order accuracy would be {best.control:.1%} there, not 100.0%" in best.says


def test_scores_are_those_of_molchanov():
    net, x, y = toys.seeded(toys.mlp), toys.drawn(100, 20), torch.arange(100) % 5
    at, _, sites = bench_of(net, x)
    at = removal.replace(at, given=examples((x, y)), labelled=True)  # untrained, so it is no better than guessing
    at = removal.replace(at, given=removal.replace(at.given, x=x, y=y))
    scores = removal.unit_scores(at, sites[1:2])["2"]
    with torch.no_grad():
        a = net[:4](x)
        slope = (net[4](a).softmax(1) - nn.functional.one_hot(y, 5)) @ net[4].weight
    assert scores["mean activation"].numpy() / 100 == pytest.approx(a.mean(0).numpy(), rel=1e-4)
    # The loss of a batch is a mean over its 64 or 36 examples.
    size = torch.tensor([64.0] * 64 + [36.0] * 36)[:, None]
    assert scores["gradient"].numpy() == pytest.approx(((a * slope / size).abs().sum(0)).numpy(), rel=1e-4)
    assert all(p.grad is None for p in net.parameters())


def test_scores_of_every_kind_of_layer_leave_no_trace():
    net = toys.seeded(toys.Every)
    before = toys.state_of(net)
    at, _, sites = bench_of(net, toys.drawn(20, 4, 8, 8))
    scores = removal.unit_scores(at, sites)
    assert {name: len(own["gradient"]) for name, own in scores.items()} == {
        "first": 8, "grouped": 16, "up": 12, "line": 12, "attention.out_proj": 12, "lstm: weight_hh_l0": 10,
        "gru: weight_hh_l0": 9, "head": 6,
    }  # fmt: skip
    assert all(float(own["gradient"].sum()) > 0 for own in scores.values())
    assert toys.unchanged(net, before) and all(not part._forward_hooks for part in net.modules())


def low_rank():
    """A net that decides by four directions of a layer of rank 20, the others being a thousand times smaller."""
    net = nn.Sequential(nn.Linear(20, 30, bias=False), nn.Linear(30, 4, bias=False))
    basis = torch.linalg.qr(toys.drawn(30, 20)).Q
    with torch.no_grad():
        scale = torch.full((20,), 1e-3)
        scale[:4] = 1
        net[0].weight.copy_(basis * scale)
        net[1].weight.copy_(basis[:, :4].T)
    return net


def test_small_directions_go_and_large_ones_stay():
    net, x = low_rank(), toys.drawn(300, 20)
    before = toys.state_of(net)
    at, examined, _ = bench_of(net, (x, x[:, :4].argmax(1)))
    assert [removal.factorable(layer) for layer in examined] == [True, False]
    curve = removal.without_directions(at, examined[:1], "0")
    assert curve.safe == 0.8 and curve.score[6] < 0.9 and curve.order == "singular value"
    assert curve.rank_cost == pytest.approx(50 * 20 / 600)
    assert curve.saves == pytest.approx(1 - 4 * 50 / 600) and "saves 67% of these weights" in curve.says
    assert toys.unchanged(net, before)
    assert removal.without_weights(at, examined[:1], "0").saves == removal.without_weights(at, examined[:1], "0").safe


def test_directions_are_those_of_the_svd_group_by_group():
    net = toys.seeded(lambda: nn.Sequential(nn.Conv2d(16, 32, 3, groups=2), nn.Flatten()))
    at, examined, _ = bench_of(net, toys.drawn(10, 16, 3, 3))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal, "decide", lambda *_: seen.append(net[0].weight.detach().clone()))
        removal.direction_remover(at, examined)(0.5)
    for half, low in zip(net[0].weight.detach().view(2, 16, 72), seen[0].view(2, 16, 72), strict=True):
        u, values, v = torch.linalg.svd(half.double(), full_matrices=False)
        assert torch.allclose(low.double(), u[:, :8] * values[:8] @ v[:8], atol=1e-6)


def test_the_smallest_are_those_of_a_stable_sort():
    sizes = (toys.drawn(1000, key=3) * 5).round().abs()  # with many ties
    for count in (0, 1, 437, 999, 1000):
        taken = removal._smallest(sizes, count).nonzero()[:, 0]
        assert torch.equal(taken, sizes.argsort(stable=True)[:count].sort().values)


def test_padding_stays_when_directions_go():
    net = toys.seeded(toys.Words)
    at, examined, _ = bench_of(net, torch.arange(1, 31).view(5, 6))
    embed = next(layer for layer in examined if layer.kind == "Embedding")
    curve = removal.without_directions(at, [embed], embed.name)
    assert len(curve.score) == 9 and bool((net.embed.weight[0] == 0).all())


def test_bisection_finds_the_safe_share_in_four_passes(monkeypatch):
    x = toys.drawn(300, 2)
    net = toys.seeded(lambda: toys.mlp((2, 40, 40, 2)))
    at, examined, sites = bench_of(net, x)
    few, tried = removal.replace(at, thorough=False), []
    for layer in examined:
        whole = removal.without_weights(at, [layer], layer.name)
        monkeypatch.setattr(removal, "decide", lambda *a, own=removal.decide: (tried.append(0), own(*a))[1])
        part = removal.without_weights(few, [layer], layer.name)
        monkeypatch.undo()
        assert 3 <= len(tried) <= 4 and math.isfinite(part.change[few.compared[0]])
        at_ = removal.GRID.index(part.safe)
        assert part.score[at_] == whole.score[at_] and part.safe == whole.safe
        assert part.score[0] - part.score[at_ + 1] > 0.005 and math.isnan(part.knee)
        assert [a for a, b in zip(whole.score, part.score, strict=True) if a != b and not math.isnan(b)] == []
        tried.clear()


def test_shares_that_were_not_tried_are_passed_over():
    score = np.array([0.9, np.nan, np.nan, 0.9, 0.898, 0.5, np.nan, np.nan, np.nan])
    assert removal.safe_share(score, 0.5) == 0.7 and removal.safe_share(score, 0.1) == 0.5
    assert math.isnan(removal.knee_of(score))
    assert removal.safe_share(np.array([0.9, *[np.nan] * 7, 0.9]), 0) == 1.0


@pytest.mark.parametrize("macs, layers, units", [(3.7e7, 21, 20), (1.8e9, 21, 20), (4e9, 54, 53), (2e4, 3, 3)])
def test_plans_keep_within_their_operations(macs, layers, units):
    plan = removal.planned(1000, macs, layers, units)
    every = len(removal.GRID) - 1
    if plan.thorough:
        assert plan == removal.Plan(1000, 1000, layers, True, True)
        return
    each = 2 * removal.SEARCH * layers + (removal.SEARCH + 3) * units
    of_whole = (every if plan.whole_thorough else removal.SEARCH) * 3
    taken = plan.whole * of_whole + plan.examples * each * plan.layers / layers
    floor = 64 * removal.SEARCH * 3
    assert taken * macs <= max(1.001 * removal.OPERATIONS, floor * macs) and 64 <= plan.examples <= plan.whole
    assert plan.layers == layers or plan.examples == 64


def test_a_budget_is_kept_by_the_whole_stage(monkeypatch):
    net, x = toys.seeded(lambda: toys.mlp((20, 64, 64, 64, 64, 5))), toys.drawn(400, 20)
    macs = sum(layer.weight.numel() for layer in layers(subject(net))[0])
    monkeypatch.setattr(removal, "OPERATIONS", 16000.0 * macs)
    monkeypatch.setattr(removal, "TWIN_OPERATIONS", 12000.0 * macs)
    passes = []
    own = removal.decide
    monkeypatch.setattr(removal, "decide", lambda f, given, *a: (passes.append(len(given)), own(f, given, *a))[1])
    report = audit(net, x, seed=1000)
    settings = report.settings["removal"]
    assert not settings["every_share"] and settings["left out"] == [] and settings["whole_examples"] > 120
    assert sum(passes) < 1.2 * 20000
    curves = [curve for record in report.records for curve in record.curves.values()]
    assert {curve.what for curve in curves} == {"weights", "units", "singular directions"}
    assert all(curve.examples == settings["examples"] for curve in curves)
    assert report.whole["weights"].examples == settings["whole_examples"]
    assert '"score": [\n' in report.to_json() and report.features["output_change"].draws >= 5


def test_layers_that_are_not_paid_for_are_named(monkeypatch):
    net, x = toys.seeded(lambda: toys.mlp((20, 64, 200, 64, 5))), toys.drawn(400, 20)
    macs = sum(layer.weight.numel() for layer in layers(subject(net))[0])
    monkeypatch.setattr(removal, "OPERATIONS", 2500.0 * macs)
    report = audit(net, x, seed=1000)
    left = report.settings["removal"]["left out"]
    assert left == ["0", "6"] and {r.name for r in report.records if not r.curves} == {"0", "6"}
    assert report.frame()["notes"].str.contains("more effort does").tolist() == [True, False, False, True]


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_an_untrained_net_bears_what_its_twins_bear_without_directions(seed):
    at, examined, _ = bench_of(toys.seeded(toys.mlp, seed), toys.drawn(200, 20, key=seed))
    able = [layer for layer in examined if removal.factorable(layer)]
    own = {"": removal.without_directions(at, able, "all")}
    found = removal.beside_twins(at, examined, own, 1e-4, 1e-3, removal.direction_remover, able)
    assert found[""].draws == 12 and found[""].beyond == 0 and "singular directions" in found[""].says


def test_a_net_of_few_directions_bears_more_than_its_twins():
    net, x = low_rank(), toys.drawn(300, 20)
    at, examined, _ = bench_of(net, (x, x[:, :4].argmax(1)))
    own = {"": removal.without_directions(at, examined[:1], "all")}
    assert removal.beside_twins(at, examined, own, 1e-4, 1e-3, removal.direction_remover, examined[:1])[""].redundant


def test_a_tolerance_that_is_none_is_refused():
    with pytest.raises(BadInput, match="0.5 is usual"):
        bench_of(toys.seeded(toys.mlp), toys.drawn(100, 20), tolerate=-1)
