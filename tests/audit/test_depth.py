"""Depth: known likenesses, the trunk of residual nets, planted layers that may go, untrained nets that show none."""

import math

import audit_nets as toys
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from redlib.audit import activations, depth
from redlib.audit.inputs import examples, subject
from redlib.audit.layers import count_macs, layers
from redlib.audit.measure import level_of
from redlib.data.torchvision_ops import ensure_torchvision
from redlib.errors import BadInput


def measured(net, data, seed=toys.SEED):
    found, given = subject(net), examples(data)
    examined, _ = layers(found)
    x = next(given.batches(found.like, 2))
    count_macs(found, examined, x)
    sites, _ = activations.find_sites(found, examined, x)
    return depth.depth_measures(found, examined, sites, given, seed, level_of(20, 20), level_of(1, 12))


def named(rows):
    return {row["name"]: row for row in rows}


class Residual(nn.Module):
    """A stem, two residual blocks that change their stream in place, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two, self.head = nn.Conv2d(3, 8, 3), Block(), Block(), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.two(self.one(torch.relu(self.stem(x)))).mean((2, 3)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        h = self.second(self.relu(self.norm(self.first(x))))
        h += x
        return self.relu(h)


def test_likeness_of_known_features():
    x, turn = toys.drawn(50, 30), torch.linalg.qr(toys.drawn(30, 30, key=1)).Q
    assert depth.cka(x, 3 * x @ turn + 5) == pytest.approx(1, abs=1e-6)
    apart = [depth.cka(toys.drawn(50, 2000, key=2 * k), toys.drawn(50, 2000, key=2 * k + 1)) for k in range(20)]
    assert abs(sum(apart) / 20) < 0.02  # the usual estimator gives 0.98 here
    assert math.isnan(depth.cka(x, torch.ones(50, 3)))
    half = depth.cka(x[:, :15], x)  # of white features: the root of the share of dimensions
    assert half == pytest.approx(0.5**0.5, abs=0.06)
    with pytest.raises(BadInput, match="One row an example"):
        depth.cka(x, x[:20])


def test_blocks_are_on_the_trunk_and_what_they_go_around_is_not():
    found = subject(toys.seeded(Residual).eval())
    examined, _ = layers(found)
    x = toys.drawn(2, 3, 8, 8)
    sites, _ = activations.find_sites(found, examined, x)
    places = depth.find_places(found, sites, x)
    order = ["stem", "one.first", "one.second", "one", "two.first", "two.second", "two", "head"]
    assert [place.name for place in places] == order
    assert [place.name for place in places if place.trunk] == ["stem", "one", "two", "head"]
    assert depth._last(places) == "two"
    same = depth.find_places(found, sites, x[:1].expand(2, -1, -1, -1))
    assert not any(place.trunk for place in same)  # nothing can be told from two examples that are one


def test_a_place_is_read_before_it_is_changed_in_place():
    net, x = toys.seeded(Residual).eval(), toys.drawn(64, 3, 8, 8)
    rows = named(measured(net, x)[0])
    with torch.no_grad():
        stem = net.stem(x)
        one = net.one(torch.relu(stem))
        two = net.two(one)
    assert rows["one"]["cka_last"] == pytest.approx(depth.cka(one.mean((2, 3)), two.mean((2, 3))), abs=1e-5)
    assert rows["one"]["cka_before"] == pytest.approx(depth.cka(stem.mean((2, 3)), one.mean((2, 3))), abs=1e-5)
    assert rows["two"]["cka_last"] == pytest.approx(1)


def planted():
    """A net whose last three hidden layers do nothing, since what they read is positive and they are the identity."""
    net = toys.seeded(lambda: toys.mlp((20, 40, 40, 40, 40, 5)))
    with torch.no_grad():
        for at in (2, 4, 6):
            net[at].weight.copy_(torch.eye(40))
            net[at].bias.zero_()
    return net


def test_layers_that_do_nothing_are_candidates():
    rows, features, used = measured(planted(), toys.drawn(200, 20))
    found = named(rows)
    assert [name for name, row in found.items() if row["candidate"]] == ["2", "4", "6"]
    assert "Likeness proves nothing by itself" in found["4"]["says"] and found["0"]["cka_last"] > 0.999
    assert found["0"]["cka_last_twins"] < 0.9 and math.isnan(found["0"]["neighbours"])
    assert not features and used["labelled"] == 0 and "no label" in used["notes"][0]


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_an_untrained_net_has_no_candidates(seed):
    y = torch.arange(150) % 5
    x = toys.drawn(150, 20, key=2) + 2 * toys.drawn(5, 20, key=3)[y]
    rows, features, _ = measured(toys.seeded(lambda: toys.mlp((20, 40, 40, 40, 40, 5)), seed), (x, y), seed)
    assert [row["name"] for row in rows if row["candidate"] or row["beyond"]] == []
    assert set(features) == {"nc2_norms", "nc2_angles", "nc3", "nc4"}
    assert [m.says for m in features.values() if m.beyond] == []


def test_blocks_that_start_at_nothing_are_no_finding_of_training():
    net = toys.seeded(Residual)
    with torch.no_grad():
        for block in (net.one, net.two):
            block.second.weight.zero_()
            block.second.bias.zero_()
    rows = named(measured(net, toys.drawn(64, 3, 8, 8))[0])
    assert rows["stem"]["cka_last"] < 1 and rows["one"]["cka_last"] == pytest.approx(1)
    assert not any(row["candidate"] for row in rows.values())


def test_a_random_resnet_shows_nothing():
    net = toys.seeded(lambda: ensure_torchvision().models.resnet18(num_classes=4))
    rows, features, used = measured(net, (toys.drawn(64, 3, 32, 32), torch.arange(64) % 4))
    assert used["examples"] == 64 and used["twins"] >= 5
    assert [row["name"] for row in rows if row["candidate"] or row["beyond"]] == []
    assert [m.says for m in features.values() if m.beyond] == []
    trunk = [row["name"] for row in rows if row["trunk"]]
    assert trunk == ["conv1", *[f"layer{k}.{j}" for k in (1, 2, 3, 4) for j in (0, 1)], "fc"]
    assert all(row["neighbours"] <= row["neighbours_high"] + 0.05 for row in rows)


def test_classes_come_apart_with_depth_in_a_trained_net():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16).float(), torch.tensor(y)
    net = toys.seeded(toys.digits)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    rows, features, _ = measured(net, (x[:400], y[:400]))
    found = named(rows)
    assert all(row["neighbours"] > 0.8 > 0.2 > row["neighbours_high"] > row["neighbours_null"] for row in rows)
    assert found["2"]["neighbours"] > found["2"]["neighbours_twins"] and found["2"]["nc1"] < found["2"]["nc1_twins"]
    assert found["2"]["nc1"] < found["0"]["nc1"]
    assert features["nc3"].beyond == -1 and features["nc3"].surplus == 0
    assert 0 <= features["nc4"].value < 40


def test_few_examples_of_a_class_say_nothing_of_it():
    y = torch.tensor([0] * 30 + [1] * 30 + [2] * 4)
    _, features, used = measured(toys.seeded(toys.mlp), (toys.drawn(64, 20), y))
    assert used["labelled"] == 60 and used["notes"] == ["2 of 3 classes, those with 5 examples"]
    assert set(features) == {"nc3", "nc4"}  # two centred means are opposite in any net
    _, features, used = measured(toys.seeded(toys.mlp), (toys.drawn(64, 20), torch.zeros(64).long()))
    assert not features and "fewer than two classes" in used["notes"][0]


def test_one_layer_has_no_depth():
    rows, features, _ = measured(toys.seeded(lambda: nn.Linear(20, 5)), (toys.drawn(80, 20), torch.arange(80) % 5))
    assert [row["name"] for row in rows] == [""] and rows[0]["trunk"] and not rows[0]["candidate"]
    assert math.isnan(rows[0]["cka_last"]) and set(features) == {"nc2_norms", "nc2_angles", "nc3", "nc4"}


def test_the_net_comes_back(tmp_path):
    net = toys.seeded(toys.Every)
    net(toys.drawn(40, 4, 8, 8, key=4))
    before = toys.state_of(net)
    rows, _, _ = measured(net, toys.drawn(30, 4, 8, 8))
    assert toys.unchanged(net, before) and all(not part._forward_hooks for part in net.modules())
    assert named(rows)["head"]["trunk"] and not any(row["candidate"] for row in rows)
    torch.jit.save(torch.jit.script(toys.seeded(toys.mlp)), tmp_path / "net.pt")
    rows, features, used = measured(torch.jit.load(tmp_path / "net.pt"), toys.drawn(64, 20))
    assert rows == [] and features == {} and "listened" in used["left out"]
