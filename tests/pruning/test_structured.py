"""Channels leave nets of any wiring: the smaller net computes what the larger one does with those channels silent."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.data import ensure_torchvision
from redlib.errors import BadInput
from redlib.measures import cost
from redlib.nets import StackedMLP
from redlib.pruning import compaction, masks, structured
from redlib.pruning.allocation import EmptyLayer
from redlib.pruning.structured import TOLERANCE, shrink

pytest.importorskip("torch_pruning", reason="the optional extra 'structured'")


class Block(nn.Module):
    """A residual block with a projection; `norm` behind each convolution."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(inputs, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.second, self.norm2 = nn.Conv2d(6, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        y = self.norm2(self.second(functional.relu(self.norm1(self.first(x)))))
        return functional.relu(y + self.skip(x))


class Inverted(nn.Module):
    """Expand, filter each channel by itself, project, and add (Sandler et al. 2018)."""

    def __init__(self):
        super().__init__()
        self.expand, self.norm1 = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.project = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = functional.relu6(self.norm1(self.expand(x)))
        return x + self.project(functional.relu6(self.norm2(self.depthwise(y))))


class Joined(nn.Module):
    """Two branches side by side (concatenation), then flattened through `view`."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(9), nn.Linear(9 * 16, 3)

    def forward(self, x):
        y = functional.relu(self.norm(torch.cat([self.a(x), self.b(x)], 1)))
        return self.head(y.view(y.size(0), -1))


class Encoder(nn.Module):
    """Tokens through two layers of a transformer encoder, [B, T] -> [B, 3]."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x)).mean(1))


class Mixing(nn.Module):
    """Averages over its channels, which no reading of the wiring can know."""

    def __init__(self, zero_head=False):
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 6, 1)
        self.head = nn.Linear(6, 2)
        if zero_head:
            nn.init.zeros_(self.head.weight)

    def forward(self, x):
        y = functional.relu(self.stem(x))
        return self.head(self.body(y - y.mean(1, keepdim=True)).mean((2, 3)))


def residual():
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Block(4, 4), Block(4, 4), *head)


def mobile():
    return nn.Sequential(nn.Conv2d(3, 4, 1), Inverted(), Inverted(), nn.Flatten(), nn.Linear(4 * 16, 3))


IMAGE = (2, 3, 4, 4)
TOKENS = torch.tensor([[0, 3, 10, 4], [7, 7, 1, 2]])
NETS = {"residual": residual, "mobile": mobile, "joined": Joined, "encoder": Encoder}
every_net = pytest.mark.parametrize("name", NETS)


def randomised(net, seed=0):
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in net.parameters():
            scale = values[0].numel() ** -0.5 if values.dim() > 1 else 1.0
            values.copy_(torch.randn(values.shape, generator=source) * scale)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=source))
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=source) + 0.5)
    return net.eval()


def case(name):
    torch.manual_seed(0)  # what modules draw when they are made; `randomised` draws anew
    example = TOKENS if name == "encoder" else torch.randn(IMAGE, generator=torch.Generator().manual_seed(1))
    return randomised(NETS[name]()), example


def others(x):
    """Return an input that `shrink` has not seen."""
    source = torch.Generator().manual_seed(7)
    if x.is_floating_point():
        return torch.randn(x.shape, generator=source, dtype=x.dtype)
    return x.flatten()[torch.randint(x.numel(), x.shape, generator=source)]


def gap(a, b):
    """Return the largest difference as a share of the largest value."""
    return float((a - b).detach().abs().max() / b.detach().abs().max())


def size(net):
    return sum(values.numel() for values in net.parameters())


def zero(values, *index):
    with torch.no_grad():
        values[index] = 0


ALL = slice(None)


# ---- dead channels ----------------------------------------------------------------------------------------------


@every_net
def test_a_net_without_dead_channels_loses_nothing(name):
    net, x = case(name)
    found = shrink(net, x)
    assert found.removed == {} and found.change == 0 and found.parameters == (size(net),) * 2
    assert torch.equal(found.net(x), net(x))


def unread(net, name):
    """Cut what reads some channels; return {layer: channels of its output that are dead then}."""
    if name == "residual":
        zero(net[2].second.weight, ALL, [1, 4])
        # What a block puts out is one sum of two layers: both of its readers must be blind.
        zero(net[3].first.weight, ALL, 2)
        zero(net[3].skip.weight, ALL, 2)
        return {"2.first": 2, "2.second": 1, "2.skip": 1}
    if name == "mobile":
        zero(net[1].project.weight, ALL, [0, 5, 6])
        return {"1.expand": 3, "1.depthwise": 3}
    if name == "joined":
        zero(net.head.weight.view(3, 9, 16), ALL, [1, 6, 8])
        return {"a": 1, "b": 2}
    zero(net.encoder.layers[1].linear2.weight, ALL, [3, 4, 5, 6])
    return {"encoder.layers.1.linear1": 4}


@every_net
def test_channels_that_nothing_reads_go_and_the_outputs_stay(name):
    net, x = case(name)
    dead = unread(net, name)
    found = shrink(net, x)
    assert found.removed == dead
    assert found.change <= TOLERANCE and gap(found.net(others(x)), net(others(x))) <= TOLERANCE
    assert found.parameters == (size(net), size(found.net)) and size(found.net) < size(net)


@pytest.mark.parametrize("how", ["filter", "norm", "depthwise"])
def test_channels_that_are_zero_whatever_the_input_go_where_a_zero_stands_on_every_way(how):
    net, x = case("mobile")
    block, dead = net[1], [2, 3]
    with torch.no_grad():
        if how == "filter":
            block.expand.weight[dead], block.norm1.running_mean[dead], block.norm1.bias[dead] = 0, 0, -1
            # After ReLU6 these are 0, so the depthwise filters give 0 as well; its norm must not lift them.
            block.norm2.running_mean[dead], block.norm2.bias[dead] = 0, -1
        elif how == "norm":
            block.norm2.weight[dead], block.norm2.bias[dead] = 0, -0.5
        else:
            block.depthwise.weight[dead], block.norm2.running_mean[dead], block.norm2.bias[dead] = 0, 0, 0
    assert block.project.weight[:, dead].abs().min() > 0  # it is read
    found = shrink(net, x)
    assert found.removed == {"1.expand": 2, "1.depthwise": 2}
    assert gap(found.net(others(x)), net(others(x))) <= TOLERANCE


def test_a_constant_that_is_no_zero_stays_and_so_does_a_unit_that_is_only_rarely_on():
    net = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))
    with torch.no_grad():
        net[0].weight[1], net[0].bias[1] = 0, 2.0  # a constant 2
        net[0].bias[3] = -1e3  # off on every input that is drawn, on for large ones
        net[0].weight[4], net[0].bias[4] = 0, -1.0  # 0 whatever the input
    found = shrink(net, torch.randn(3, 4))
    assert found.removed == {"0": 1}
    x = torch.randn(3, 4) * 1e4
    assert gap(found.net(x), net(x)) <= TOLERANCE and (net[:2](x)[:, 3] > 0).any()


def test_what_only_dead_channels_read_or_write_follows():
    net = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    with torch.no_grad():
        net[4].weight[:, 3] = 0  # unit 3 of the second layer is not read,
        net[2].weight[[0, 1, 2, 4], 2] = 0  # so nobody reads unit 2 of the first
    assert shrink(net, torch.randn(3, 4)).removed == {"0": 1, "2": 1}


def test_of_a_layer_that_is_dead_altogether_one_channel_stays():
    net = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))
    zero(net[2].weight, ALL)
    found = shrink(net, torch.randn(3, 4))
    assert found.removed == {"0": 5} and torch.equal(found.net(torch.ones(1, 4)), net(torch.ones(1, 4)))


def test_masks_in_force_count_and_the_smaller_net_is_what_the_masked_one_computes():
    net, x = case("residual")
    kept = masks.dense(masks.weights_of(net))
    kept["2.second"][0, :, [0, 3]] = False
    masks.apply(net, kept)
    found = shrink(net, x)
    assert found.removed == {"2.first": 2}
    assert gap(found.net(others(x)), net(others(x))) <= TOLERANCE
    assert not any("parametrizations" in name for name, _ in found.net.named_parameters())


def test_on_a_chain_it_is_what_compact_does():
    net = randomised(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    keep = {"0": torch.tensor([True, False, True, True, False, True]), "2": torch.arange(5) != 1}
    found, small = shrink(compaction.silence(net, keep), torch.randn(3, 4)), compaction.compact(net, keep)
    assert found.removed == {"0": 2, "2": 1}
    for one, other in zip(found.net.parameters(), small.parameters(), strict=True):
        assert torch.equal(one, other)


# ---- a share of the channels, at a loss -------------------------------------------------------------------------


@every_net
def test_a_share_keeps_so_many_channels_and_says_what_it_changed(name):
    net, x = case(name)
    found = shrink(net, x, share=0.5)
    layers = {"residual": 7, "mobile": 7, "joined": 2, "encoder": 2}[name]
    assert len(found.removed) == layers
    for layer, lost in found.removed.items():
        assert lost == len(net.get_submodule(layer).weight) - round(0.5 * len(net.get_submodule(layer).weight))
    assert found.change > 0.01 and found.net(x).shape == net(x).shape
    assert found.flops == (cost.flops(net, x.shape[1:], x.dtype) * 2, cost.flops(found.net, x.shape[1:], x.dtype) * 2)
    assert found.flops[1] < found.flops[0] and found.parameters[1] < found.parameters[0]
    found.net.train()(x).sum().backward()
    assert all(p.grad.shape == p.shape for p in found.net.parameters())


def test_on_a_chain_a_share_is_what_compact_keeps_by_filter_scores():
    net = randomised(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5), nn.Linear(5, 2)))
    small = compaction.compact(net, compaction.top_filters(compaction.filter_scores(net), 0.5))
    found = shrink(net, torch.randn(IMAGE), share=0.5)
    for one, other in zip(found.net.parameters(), small.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_channels_of_the_smallest_summed_magnitude_go_by_hand():
    net, x = case("residual")
    found = shrink(net, x, share=0.5)
    inner = net[2].first.weight.detach().abs().sum((1, 2, 3))
    kept = inner.argsort(descending=True)[:3].sort().values
    # What a block puts out is one sum of two layers, so their magnitudes add up.
    outer = net[2].second.weight.detach().abs().sum((1, 2, 3)) + net[2].skip.weight.detach().abs().sum((1, 2, 3))
    rows = outer.argsort(descending=True)[:2].sort().values
    assert torch.equal(found.net[2].second.weight, net[2].second.weight[rows][:, kept])
    assert torch.equal(found.net[2].norm2.running_mean, net[2].norm2.running_mean[rows])


def test_change_is_the_largest_difference_over_the_largest_output():
    net = randomised(nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1)))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, 0, 0, 0], [0, 1.0, 0, 0]]))
        net[0].bias.copy_(torch.tensor([0.0, 50.0]))
        net[2].weight.copy_(torch.tensor([[1.0, 1.0]]))
        net[2].bias.zero_()
    x = torch.tensor([[3.0, 0, 0, 0]])
    found = shrink(net, x, share=0.5)
    assert found.removed == {"0": 1} and found.net(x).item() == 6
    assert 0.8 < found.change < 1.2  # the example: 50 of 56; the random inputs: nearly all


def test_resnet18_is_cut_to_a_quarter_in_one_call():
    net = randomised(ensure_torchvision().models.resnet18(num_classes=10))
    x = torch.randn(2, 3, 32, 32)
    found = shrink(net, x, share=0.5)
    assert found.parameters == (11_181_642, 2_801_450) and found.whole == {"fc": "they are outputs of the net"}
    assert found.net(x).shape == (2, 10) and size(found.net) == 2_801_450


# ---- what must not happen ---------------------------------------------------------------------------------------


@every_net
def test_the_net_given_is_left_alone(name):
    net, x = case(name)
    net.train()
    before, names = copy.deepcopy(net.state_dict()), [type(part) for part in net.modules()]
    shrink(net, x, share=0.5)
    assert all(torch.equal(values, before[key]) for key, values in net.state_dict().items())
    assert [type(part) for part in net.modules()] == names and all(part.training for part in net.modules())
    assert all(p.grad is None and not part._forward_hooks for part in net.modules() for p in part.parameters())


def test_types_modes_and_frozen_parameters_come_along():
    net, x = case("residual")
    net = net.to(torch.bfloat16)
    net[0].weight.requires_grad_(False)
    net[2].train()
    found = shrink(net, x.to(torch.bfloat16), share=0.5).net
    assert {values.dtype for values in found.parameters()} == {torch.bfloat16}
    assert not found[0].weight.requires_grad and found[0].bias.requires_grad
    assert found[2].norm1.training and not found[3].training
    rows = shrink(net.float(), x, share=0.5).net
    assert torch.equal(rows[2].first.weight.bfloat16(), found[2].first.weight)  # cut, not recomputed


def test_a_net_without_gradients_and_a_batch_of_one_are_no_hindrance():
    net, x = case("residual")
    net.requires_grad_(False)
    unread(net, "residual")
    with torch.no_grad():
        assert shrink(net, x[:1]).removed["2.first"] == 2


@pytest.mark.parametrize("zero_head", [False, True])
@pytest.mark.parametrize("share", [None, 0.5])
def test_a_net_that_mixes_its_channels_is_refused_with_the_layer_also_where_a_zero_head_would_hide_it(zero_head, share):
    net, x = randomised(Mixing()), torch.randn(IMAGE)
    if share is None:
        zero(net.body.weight, ALL, slice(2, None))
    if zero_head:
        zero(net.head.weight, ALL)
    with pytest.raises(BadInput, match="stem"):
        shrink(net, x, share)
    found = shrink(net, x, 0.5, whole=["stem"])
    assert list(found.removed) == ["body"] and found.whole["stem"] == "stem is to stay whole"


def test_grouped_convolutions_norms_attention_and_outputs_stay_whole_and_are_named():
    net, x = case("encoder")
    whole = shrink(net, x, share=0.5).whole
    assert set(whole) == {
        "embed",
        "head",
        *(f"encoder.layers.{i}.{part}" for i in (0, 1) for part in ("linear2", "self_attn.out_proj")),
        *(f"encoder.layers.{i}.self_attn.in_proj_weight" for i in (0, 1)),
    }
    assert whole["head"] == "they are outputs of the net" and "Norm" in whole["encoder.layers.0.linear2"]
    grouped = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 2, 1))
    found = shrink(randomised(grouped), torch.randn(IMAGE), share=0.5)
    assert found.removed == {"2": 3} and found.whole["0"] == found.whole["1"] == "1 is a grouped convolution"


class Recurrent(nn.Module):
    """Two linear layers in front of a recurrent one."""

    def __init__(self, kind):
        super().__init__()
        self.inner, self.inputs = nn.Linear(3, 6), nn.Linear(6, 4)
        self.cell, self.head = kind(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.cell(self.inputs(functional.relu(self.inner(x))))[0][:, -1])


def test_recurrent_parts_stay_whole():
    net, x = randomised(Recurrent(nn.LSTM)), torch.randn(2, 4, 3)
    found = shrink(net, x, share=0.5)
    assert found.removed == {"inner": 3}
    assert {"inputs", "cell.weight_ih_l0", "cell.weight_hh_l0", "head"} == set(found.whole)
    assert found.flops == (2 * cost.flops(net, (4, 3)), 2 * cost.flops(found.net, (4, 3)))


def windows():
    """Return a Swin transformer: torch-pruning, left alone, follows its shifted windows until memory is full."""
    return ensure_torchvision().models.swin_transformer.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4])


@pytest.mark.parametrize(("make", "shape"), [(lambda: Recurrent(nn.GRU), (2, 4, 3)), (windows, (1, 3, 32, 32))])
def test_a_net_that_the_engine_cannot_follow_is_refused(make, shape):
    with pytest.raises(BadInput, match="torch-pruning can follow"):
        shrink(make(), torch.randn(shape), share=0.5)


def test_nets_in_which_nothing_can_go_are_refused_with_the_reasons():
    with pytest.raises(BadInput, match="outputs of the net"):
        shrink(nn.Linear(3, 2), torch.randn(1, 3))
    norms = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    with pytest.raises(BadInput, match="LayerNorm"):
        shrink(norms, torch.randn(1, 3))


def broken():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    nn.init.constant_(net[2].bias, torch.nan)
    return net


def tied():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    return net


def plain():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def computed():
    net = plain()
    nn.utils.weight_norm(net[0])
    return net


@pytest.mark.parametrize(
    ("make", "options", "match"),
    [
        (tied, {}, "one parameter"),
        (computed, {}, "0.weight"),
        (broken, {}, "not finite"),
        (plain, {"whole": ["3"]}, "named_modules"),
        (plain, {"share": 1.5}, "share|fraction|density"),
        (plain, {"example": "x"}, "example"),
        (plain, {"example": ()}, "example"),
        (lambda: StackedMLP.create((4, 6, 2), [0]), {}, "nn.Module"),
    ],
)
def test_bad_input_is_named(make, options, match):
    with pytest.raises(BadInput, match=match):
        shrink(make(), **({"example": torch.randn(2, 4)} | options))


def test_a_share_that_leaves_a_layer_nothing_is_refused():
    with pytest.raises(EmptyLayer):
        shrink(plain(), torch.randn(2, 4), share=0.05)


def test_without_torch_pruning_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(BadInput, match=r"redlib\[structured\]"):
        shrink(plain(), torch.randn(2, 4))


def test_a_fault_of_the_engine_does_not_pass(monkeypatch):
    net, x = case("residual")
    remove = structured._Graph.remove

    def wrong(self, cuts):  # removes the neighbour
        remove(self, {root: [(c + 1) % self.groups[root].size for c in channels] for root, channels in cuts.items()})

    monkeypatch.setattr(structured._Graph, "remove", wrong)
    with pytest.raises(BadInput, match="2.first"):
        shrink(net, x, share=0.5)


def test_rounding_that_a_net_makes_large_is_told_from_a_fault():
    net = randomised(nn.Sequential(nn.Linear(4, 96), nn.ReLU(), nn.Linear(96, 2)))
    with torch.no_grad():
        net[0].weight[1::2], net[0].bias[1::2] = net[0].weight[::2] + 1e-6, net[0].bias[::2]
        net[2].weight[:, 1::2] = -net[2].weight[:, ::2]  # pairs that all but cancel
        net[2].weight[:, 20:70] = 0
        net[2].bias.zero_()
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(3))
    found = shrink(net, x)
    assert found.removed == {"0": 50} and found.change > TOLERANCE  # of float32 alone
    assert gap(found.net.double()(x.double()), net.double()(x.double())) <= TOLERANCE


def test_several_inputs_and_outputs_are_compared_one_by_one():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 6), nn.Linear(2, 6), nn.Linear(6, 2)

        def forward(self, x, z):
            hidden = functional.relu(self.a(x) + self.b(z))
            return {"out": self.c(hidden), "more": [hidden.argmax(1)]}

    net, x = randomised(Two()), (torch.randn(2, 3), torch.randn(2, 2))
    with pytest.raises(BadInput, match="'[ab]'"):
        shrink(net, x, share=0.5)  # the index of the largest unit is an output that follows no weight
