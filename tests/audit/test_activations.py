"""Units: where they are read, planted dead, constant, repeated ones; untrained nets are twins of themselves."""

import audit_nets as toys
import pytest
import torch
from torch import nn

from redlib.audit import activations
from redlib.audit.inputs import examples, subject
from redlib.audit.layers import count_macs, layers
from redlib.audit.measure import level_of
from redlib.measures.units import activations as activations_of
from redlib.measures.units import components, repeated


class Plain:
    """What `Parts` asks for: examples x [n, ...] in one part."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def parts(self, replicates, batch):
        yield self.x.expand(replicates, *self.x.shape), torch.zeros(replicates, len(self.x))


def measured(net, data, seed=toys.SEED):
    found, given = subject(net), examples(data)
    examined, _ = layers(found)
    x = next(given.batches(found.like, 2))
    count_macs(found, examined, x)
    sites, missing = activations.find_sites(found, examined, x)
    level = level_of(len(examined), activations.MEASURES)
    measures, features, used = activations.activation_measures(found, examined, sites, given, seed, level, level)
    return measures, features, used, {site.layer.name: site.after for site in sites}, missing


def test_units_are_read_after_what_follows_directly():
    _, _, _, after, missing = measured(toys.seeded(toys.Every), toys.drawn(8, 4, 8, 8))
    assert after == {
        "first": "BatchNorm2d and ReLU",
        "grouped": "its own output",
        "up": "its own output",
        "line": "its own output",
        "attention.out_proj": "its own output",
        "lstm: weight_hh_l0": "its own output",
        "gru: weight_hh_l0": "its own output",
        "head": "its own output",
    }
    assert set(missing) == {f"attention: {letter}" for letter in "qkv"} | {"lstm: weight_ih_l0", "gru: weight_ih_l0"}


def test_a_sum_between_layer_and_activation_is_seen():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.relu = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU(inplace=True)

        def forward(self, x):
            h = self.two(self.relu(self.one(x)))
            h += x
            return self.relu(h)

    _, _, _, after, _ = measured(toys.seeded(Block), toys.drawn(10, 6))
    assert after == {"one": "ReLU", "two": "its own output"}


def test_planted_units_are_found_and_numbers_are_those_of_the_measures():
    net, x = toys.seeded(toys.mlp), toys.drawn(400, 20, key=1)
    x[:, 0] = 5
    with torch.no_grad():
        net[0].weight[:10, 0] = -30  # dead
        net[0].weight[10:13] = 0
        net[0].bias[10:13] = 2  # constant
        net[0].weight[20:30] = 3 * net[0].weight[30:40]  # repeated
        net[0].bias[20:30] = 3 * net[0].bias[30:40]
    measures, _, _, _, _ = measured(net, x)
    own = measures["0"]
    assert own["dead_units"].value == 10 and own["dead_units"].redundant
    assert own["constant_units"].value == 3 and own["constant_units"].redundant
    assert own["repeated_units"].value == 20 and own["repeated_units"].redundant
    given = activations_of(net.eval(), Plain(x), "1")
    assert int((repeated(given, 0.95) > 0).sum()) == 20
    assert own["components95"].value == int(components(given)[0])


def test_a_rare_unit_is_nearly_dead():
    net, x = toys.seeded(toys.mlp), torch.zeros(400, 20)
    x[:, 1:] = toys.drawn(400, 19, key=1)
    x[:2, 0] = 1
    with torch.no_grad():
        net[0].weight[:6] = torch.eye(20)[:1]
        net[0].bias[:6] = -0.5
    found = measured(net, x)[0]["0"]
    assert found["near_dead_units"].value == 6 and found["dead_units"].value == 0


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_an_untrained_net_is_a_twin_of_itself(seed):
    y = torch.arange(200) % 5
    x = toys.drawn(200, 20, key=2) + 2 * toys.drawn(5, 20, key=3)[y]
    measures, features, used, _, _ = measured(toys.seeded(toys.mlp, seed), (x, y), seed)
    assert used == {"examples": 200, "twins": 12}
    assert [m.says for own in (*measures.values(), features) for m in own.values() if m.beyond] == []
    assert set(features) == {"same_class_neighbours", "nc1"} and features["same_class_neighbours"].value > 0.5


def test_twins_come_and_go_without_a_trace():
    net = toys.seeded(toys.Every)
    net(toys.drawn(40, 4, 8, 8, key=4))  # norms have seen data, so twins take their own
    before, modes = toys.state_of(net), [part.training for part in net.modules()]
    measured(net, toys.drawn(30, 4, 8, 8))
    assert toys.unchanged(net, before) and modes == [part.training for part in net.modules()]
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in net.modules())
    assert net.norm.momentum == 0.1


def test_an_archive_cannot_be_listened_to(tmp_path):
    torch.jit.save(torch.jit.script(toys.seeded(toys.mlp)), tmp_path / "net.pt")
    found = subject(tmp_path / "net.pt")
    sites, missing = activations.find_sites(found, layers(found)[0], toys.drawn(2, 20))
    assert sites == [] and len(missing) == 3 and "pass the module" in missing["0"]


def test_batches_add_up_to_the_whole():
    values = toys.drawn(100, 12, 5, key=5)
    numbers = []
    for size in (100, 7):
        sums = activations.Sums(torch.arange(12), True)
        for part in values.split(size):
            sums.add(part)
        numbers.append(sums.numbers())
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-9)
    means = values.double().mean(2)
    eigen = torch.linalg.eigvalsh(torch.cov(means.T, correction=0))
    assert numbers[0]["effective_dimension"] == pytest.approx(float(eigen.sum() ** 2 / eigen.square().sum()))
