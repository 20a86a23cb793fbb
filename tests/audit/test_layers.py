"""Which layers are found, how they are seen as matrices, and what they cost."""

import audit_nets as toys
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from redlib.audit.inputs import subject
from redlib.audit.layers import count_macs, layers
from redlib.errors import BadInput
from redlib.measures.matrices import matrices


def found_in(net):
    examined, skipped = layers(subject(net))
    return {layer.name: layer for layer in examined}, {one.name: one for one in skipped}


def test_every_kind_is_seen_as_matrices():
    net = toys.seeded(toys.Every)
    found, skipped = found_in(net)
    shapes = {name: tuple(layer.matrices().shape) for name, layer in found.items()}
    assert shapes == {
        "first": (1, 8, 36),
        "grouped": (4, 4, 18),
        "up": (2, 8, 24),
        "line": (1, 12, 36),
        "attention: q": (3, 4, 12),
        "attention: k": (3, 4, 12),
        "attention: v": (3, 4, 12),
        "attention.out_proj": (1, 12, 12),
        "lstm: weight_ih_l0": (4, 10, 12),
        "lstm: weight_hh_l0": (4, 10, 10),
        "gru: weight_ih_l0": (3, 9, 10),
        "gru: weight_hh_l0": (3, 9, 9),
        "head": (1, 6, 9),
    }
    for name in ("first", "grouped", "up", "line", "head"):
        own = getattr(net, name)
        assert torch.equal(found[name].matrices().double(), matrices(own)[0])
    assert {name: one.reason[:6] for name, one in skipped.items()} == {"norm": "scales", "(the net itself)": "scales"}
    counted = sum(one.parameters for one in (*found.values(), *skipped.values()))
    assert counted == sum(p.numel() for p in net.parameters())


def test_filters_of_a_transposed_convolution_make_one_output_each():
    net = nn.Sequential(nn.ConvTranspose1d(4, 6, 5, groups=2))
    layer = found_in(net)[0]["0"]
    filters = layer.filters(layer.matrices())
    assert filters.shape == (2, 3, 10)
    assert torch.equal(filters[1, 2].view(2, 5), net[0].weight[2:, 2])


def test_tied_weights_count_once_and_padding_is_no_weight():
    net = toys.seeded(toys.Words)
    found, skipped = found_in(net)
    assert "out" not in found and "embed" in skipped["out"].reason and skipped["out"].parameters == 0
    assert found["embed"].matrices().shape == (1, 39, 16)
    assert torch.equal(found["embed"].matrices()[0], net.embed.weight[1:])


def test_weights_that_are_computed_are_seen_as_they_act():
    net = toys.seeded(toys.mlp)
    prune.l1_unstructured(net[0], "weight", 0.5)
    parametrizations.weight_norm(net[2])
    found, _ = found_in(net)
    assert float((found["0"].weight == 0).double().mean()) == 0.5 and found["0"].stored is not None
    assert found["2"].stored is None and found["2"].notes
    assert torch.allclose(found["2"].weight, net[2].weight)


def test_no_layer_at_all_is_refused():
    with pytest.raises(BadInput, match="at least one of Linear"):
        layers(subject(nn.Sequential(nn.BatchNorm1d(4), nn.ReLU())))


def test_what_is_not_known_is_listed_with_the_reason():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(3, 4))

    net = nn.Sequential(nn.Linear(3, 4), nn.Bilinear(3, 3, 2), nn.LazyLinear(3), Own())
    _, skipped = found_in(net)
    assert {name: one.kind for name, one in skipped.items()} == {"1": "Bilinear", "2": "Linear", "3": "Own"}
    assert "not known" in skipped["3"].reason and "run one batch" in skipped["2"].reason


def test_archives_tell_their_layers(tmp_path):
    net = toys.seeded(lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)))
    x = toys.drawn(2, 4, 8, 8)
    torch.jit.save(torch.jit.script(net), tmp_path / "a.pt")
    torch.export.save(torch.export.export(net.eval(), (x,)), tmp_path / "b.pt2")
    for name in ("a.pt", "b.pt2"):
        examined, _ = layers(subject(tmp_path / name, device="cpu"))
        assert [(one.kind, tuple(one.matrices().shape)) for one in examined] == [
            ("Conv2d", (2, 4, 18)),
            ("Linear", (1, 5, 288)),
        ]


def test_multiply_adds_of_one_example():
    net = toys.seeded(toys.Every)
    found = subject(net)
    examined, _ = layers(found)
    count_macs(found, examined, toys.drawn(3, 4, 8, 8))
    macs = {layer.name: layer.macs for layer in examined}
    assert macs == {
        "first": 64 * 8 * 36,
        "grouped": 64 * 16 * 18,
        "up": 64 * 16 * 6 * 4,
        "line": 16 * 12 * 36,
        "attention: q": 16 * 144,
        "attention: k": 16 * 144,
        "attention: v": 16 * 144,
        "attention.out_proj": 16 * 144,
        "lstm: weight_ih_l0": 16 * 480,
        "lstm: weight_hh_l0": 16 * 400,
        "gru: weight_ih_l0": 16 * 270,
        "gru: weight_hh_l0": 16 * 243,
        "head": 54,
    }
    assert all(not part._forward_hooks for part in net.modules())
