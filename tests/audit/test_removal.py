"""What goes without loss: known answers, exact restoration, and intervals."""

import audit_nets as toys
import numpy as np
import pytest
import torch
from torch import nn

from redlib.audit import activations, removal
from redlib.audit.inputs import examples, subject
from redlib.audit.layers import count_macs, layers
from redlib.audit.twins import restored
from redlib.errors import BadInput


def bench_of(net, data, tolerate=0.5):
    found, given = subject(net), examples(data)
    examined, _ = layers(found)
    x = next(given.batches(found.like, 2))
    count_macs(found, examined, x)
    sites, _ = activations.find_sites(found, examined, x)
    return removal.bench(found, given, examined, len(sites), tolerate, toys.SEED), examined, sites


def chooser():
    """A net whose decision is the larger of two inputs, behind a layer of 20 weights of which 18 are noise."""
    net = nn.Sequential(nn.Linear(2, 10, bias=False), nn.Linear(10, 2, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(1e-6 * toys.drawn(10, 2, key=1))
        net[1].weight.copy_(0.1 * toys.drawn(2, 10, key=2))
        net[0].weight[:2] += torch.eye(2)
        net[1].weight[:, :2] += torch.eye(2) * 5
    return net


def test_what_does_nothing_can_go_and_the_rest_cannot():
    x = toys.drawn(300, 2)
    at, examined, sites = bench_of(chooser(), (x, x.argmax(1)))
    assert at.labelled
    curve = removal.without_weights(at, examined[:1], "0")
    assert curve.safe == curve.safe_low == curve.safe_high == 0.9 and curve.score[6] > 0.97 > 0.6 > curve.score[-1]
    assert curve.knee == 0.9 and curve.change[0] == 0 and curve.change[5] < 1e-3 and curve.change[-1] > 0.9
    units = removal.without_units(at, sites[0])
    assert units.safe == 0.8 and units.score[6] < 0.9  # round(0.9 · 10) units are one that matters
    assert "90% of the weights of 0 can go within 0.5 points of accuracy" in curve.says


def test_every_weight_comes_back_bit_by_bit():
    net = toys.seeded(toys.Every)
    before = toys.state_of(net)
    at, examined, sites = bench_of(net, toys.drawn(20, 4, 8, 8))
    removal.without_weights(at, examined, "all")
    for site in sites:
        removal.without_units(at, site)
    assert toys.unchanged(net, before)
    with pytest.raises(KeyboardInterrupt), restored(net.parameters()):
        with torch.no_grad():
            net.head.weight.mul_(3)
        raise KeyboardInterrupt
    assert toys.unchanged(net, before)


def test_shares_are_cut_exactly_and_smallest_first():
    values = [toys.drawn(5, 7), toys.drawn(30, key=1)]
    every = torch.cat([one.flatten() for one in values]).abs()
    order = every.argsort()
    removal._cut(values, order[:20])
    left = torch.cat([one.flatten() for one in values])
    assert int((left == 0).sum()) == 20 and float(left[left != 0].abs().min()) > float(every[order[19]])


def test_units_without_weights_go_first():
    for layer, size in ((nn.Linear(6, 9), (4, 6)), (nn.ConvTranspose1d(6, 9, 3, groups=3), (4, 6, 5))):
        net = toys.seeded(lambda layer=layer: nn.Sequential(layer, nn.Flatten()))
        with torch.no_grad():
            if isinstance(layer, nn.Linear):
                layer.weight[4] = 0
            else:
                layer.weight[2:4, 1] = 0  # second group, its second output: unit 4
        found = subject(net)
        examined, _ = layers(found)
        sites, _ = activations.find_sites(found, examined, toys.drawn(*size))
        assert int(removal._norms(sites[0]).argmin()) == 4


def test_a_net_no_better_than_guessing_is_judged_by_its_own_decisions():
    x = toys.drawn(300, 20)
    at, examined, _ = bench_of(toys.seeded(toys.mlp), (x, torch.arange(300) % 5))
    curve = removal.without_weights(at, examined, "all")
    assert not at.labelled and curve.score == curve.agreement and curve.score[0] == 1


def test_safe_share_and_knee_of_known_curves():
    score = np.array([0.9, 0.9, 0.9, 0.897, 0.896, 0.88, 0.9, 0.5, 0.1])
    assert removal.safe_share(score, 0.5) == 0.7 and removal.safe_share(score, 0.1) == 0.25
    assert removal.safe_share(np.full(9, 0.5), 0) == 1.0
    assert removal.safe_share(np.linspace(1, 0, 9), 0) == 0
    assert removal.knee_of(np.array([1, 1, 1, 1, 1, 1, 0.95, 0.1, 0])) == 0.9
    assert np.isnan(removal.knee_of(np.ones(9)))


def test_few_examples_are_sure_of_nothing():
    x = toys.drawn(300, 2)
    at, examined, _ = bench_of(chooser(), (x[:60], x[:60].argmax(1)))
    assert removal.without_weights(at, examined[:1], "0").sure == 0
    at, examined, _ = bench_of(chooser(), (x, x.argmax(1)), tolerate=2.0)
    assert removal.without_weights(at, examined[:1], "0").sure == 0.9


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_an_untrained_net_bears_what_its_twins_bear_and_a_fitted_one_more(seed):
    net, x = toys.seeded(toys.mlp, seed), toys.drawn(200, 20, key=seed)
    at, examined, _ = bench_of(net, x)
    own = {"": removal.without_weights(at, examined, "all")}
    own |= {one.name: removal.without_weights(at, [one], one.name) for one in examined}
    found = removal.beside_twins(at, examined, own, 1e-4, 1e-3)
    assert set(found) == {"", "0", "2", "4"} and [m.says for m in found.values() if m.beyond] == []
    with torch.no_grad():
        net[0].weight[:, 2:] *= 0.01  # a net that reads two of its inputs, the two that vary
    x[:, 2:] *= 0.01
    at, examined, _ = bench_of(net, x)
    own = {"0": removal.without_weights(at, examined[:1], "0")}
    assert removal.beside_twins(at, examined, own, 1e-4, 1e-3)["0"].redundant


@pytest.mark.parametrize("tolerate", [-1, 100, float("nan")])
def test_a_tolerance_is_a_number_of_points(tolerate):
    with pytest.raises(BadInput, match="0.5 is usual"):
        removal.check_tolerance(tolerate)
