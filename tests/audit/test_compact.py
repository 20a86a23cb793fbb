"""Units taken out for good: known plans, exact outputs, honest refusals, and what it buys."""

import sys

import audit_nets as toys
import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.audit import activations, audit, compact, removal
from redlib.audit.inputs import examples, subject
from redlib.audit.layers import count_macs, layers
from redlib.errors import BadInput

pytest.importorskip("torch_pruning", reason="the optional extra 'structured'")


class Skip(nn.Module):
    """Two convolutions whose outputs are added up, with a norm, and a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.back = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 10, 1), nn.Conv2d(10, 6, 1)
        self.norm, self.relu, self.head = nn.BatchNorm2d(10), nn.ReLU(), nn.Linear(6, 4)

    def forward(self, x):
        h = self.stem(x)
        h = h + self.back(self.relu(self.norm(self.inner(h))))
        return self.head(functional.relu(h).mean((2, 3)))


def spare(units=12, needed=4):
    """A net that decides by the largest of `needed` inputs, behind a layer whose other units hardly matter."""
    net = nn.Sequential(nn.Linear(needed, units), nn.ReLU(), nn.Linear(units, needed))
    with torch.no_grad():
        for values in net.parameters():
            values.mul_(1e-4)
        net[0].weight[:needed] += torch.eye(needed)
        net[0].bias[:needed] += 3
        net[2].weight[:, :needed] += torch.eye(needed)
    return net


def parts_of(net, data, tolerate=0.5):
    found, given = subject(net), examples(data)
    examined, _ = layers(found)
    x = next(given.batches(found.like, 2))
    count_macs(found, examined, x)
    sites, _ = activations.find_sites(found, examined, x)
    return removal.bench(found, given, examined, len(sites), tolerate, toys.SEED), sites


def silenced(net, data, plan):
    """What a net says while hooks silence the planned units where the audit reads them."""
    at, sites = parts_of(net, data)
    chosen = [site for site in sites if site.layer.module in plan]

    def look(site, output):
        return output.index_fill(site.axis, torch.tensor(plan[site.layer.module]), 0)

    with torch.no_grad():
        net.eval()
        return activations.listen(at.found, chosen, at.given.x, look), at.given.x


@pytest.mark.parametrize(
    ("build", "shape", "plan"),
    [
        (toys.mlp, (20,), {"0": [0, 5, 63], "2": [1, 2]}),
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3)), (6,), {"0": [2, 7]}),
        (Skip, (3, 8, 8), {"inner": [0, 3, 9], "stem": [1, 4], "back": [1, 4]}),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.PReLU(6), nn.Flatten(), nn.Linear(96, 4)),
            (3, 6, 6),
            {"0": [5, 1]},
        ),
    ],
    ids=["mlp", "sigmoid", "skip", "flatten"],
)
def test_the_smaller_net_computes_what_hooks_leave_of_the_larger(build, shape, plan):
    net = toys.seeded(build)
    before = toys.state_of(net)
    wanted, x = silenced(net, toys.drawn(24, *shape), plan)
    small = compact.compact(net, x, plan)
    with torch.no_grad():
        got, whole = small.net(x), net(x)
    assert small.removed == {name: len(units) for name, units in plan.items()} and small.change < 1e-5
    assert torch.allclose(got, wanted, atol=1e-5) and float((whole - wanted).abs().max()) > 1e-3
    assert sum(p.numel() for p in small.net.parameters()) < sum(p.numel() for p in net.parameters())
    assert toys.unchanged(net, before)


def test_what_a_skip_adds_up_goes_together():
    small = compact.compact(toys.seeded(Skip), toys.drawn(4, 3, 8, 8), {"back": [2]})
    assert small.removed == {"stem": 1, "back": 1} and small.net.head.in_features == 5


@pytest.mark.parametrize(
    ("plan", "says"),
    [({"4": [0]}, "outputs of the net"), ({"9": [0]}, "no layer"), ({"0": [64]}, "64"), ({"2": range(50)}, "Keep")],
)
def test_plans_that_cannot_be_are_refused(plan, says):
    with pytest.raises(BadInput, match=says):
        compact.compact(toys.seeded(toys.mlp), toys.drawn(4, 20), plan)


def test_the_joint_cut_is_what_the_net_can_spare():
    x = toys.drawn(400, 4)
    net = toys.seeded(spare)
    at, sites = parts_of(net, (x, x.argmax(1)))
    found, small = compact.gains(at, sites, {"0": 8 / 12})
    assert found["fraction"] == 1 and found["units"] == {"0": 8} and small[0].out_features == 4
    assert found["before"]["parameters"] == 12 * 4 + 12 + 4 * 12 + 4 and found["after"]["parameters"] == 40
    assert (found["before"]["macs"], found["after"]["macs"], found["after"]["bytes"]) == (96, 32, 160)
    assert found["lost"] == 0 and found["held_out"] == 200 and "0 points of accuracy" in found["says"]


def test_more_than_layers_bear_together_is_scaled_down():
    x = toys.drawn(400, 4)
    at, sites = parts_of(toys.seeded(spare), (x, x.argmax(1)))
    found, small = compact.gains(at, sites, {"0": 11 / 12})  # more than is safe: a fourth of the decisions would go
    assert found["units"] == {"0": 8} and 8 / 11 <= found["fraction"] < 9 / 11 and small[0].out_features == 4


def test_latency_that_does_not_fall_is_said():
    slow = {"latency_ms": 2.0, "latency_low": 1.9, "latency_high": 2.2}
    assert "does NOT fall" in compact._timed(slow, slow | {"latency_ms": 1.8}, "cpu")
    assert "Latency falls" in compact._timed(slow, {"latency_ms": 1, "latency_low": 0.9, "latency_high": 1.1}, "cpu")
    nets = [nn.Linear(4, 4), nn.Sequential(*[nn.Linear(1500, 1500) for _ in range(3)])]
    small, large = compact.latencies([nets[1][0], nets[1]], toys.drawn(1, 1500))
    assert small["latency_low"] <= small["latency_ms"] <= small["latency_high"] < large["latency_ms"]


def test_what_cannot_be_compacted_is_said_in_words(monkeypatch):
    x = toys.drawn(60, 4, 8, 8)
    at, sites = parts_of(toys.seeded(toys.Every), x)
    found, small = compact.gains(at, sites, {site.layer.name: 0.5 for site in sites})
    assert small is None or found["change"] < 1e-5
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    at, sites = parts_of(toys.seeded(toys.mlp), toys.drawn(60, 20))
    found, small = compact.gains(at, sites, {"0": 0.5})
    assert small is None and "pip install 'redlib[structured]'" in found["says"]


def test_no_smaller_net_is_made_of_one_that_always_says_the_same():
    net = toys.seeded(toys.mlp)
    with torch.no_grad():
        net[-1].bias[3] += 1000
    at, sites = parts_of(net, toys.drawn(60, 20))
    found, small = compact.gains(at, sites, {"0": 0.5})
    assert small is None and found["says"].endswith("the net decides 3 for all examples, so no loss could show.")


def test_the_report_holds_the_smaller_net():
    x = toys.drawn(300, 4)
    report = audit(toys.seeded(spare), (x, x.argmax(1)), seed=1000)
    assert "gains" in report.stages and report.gains["units"]["0"] >= 6
    with torch.no_grad():
        assert float((report.compacted()(x).argmax(1) == x.argmax(1)).float().mean()) > 0.98
    assert '"latency_ms"' in report.to_json() and "_small" not in report.to_json()
    with pytest.raises(BadInput, match="no data"):
        audit(toys.seeded(spare), seed=1000).compacted()
