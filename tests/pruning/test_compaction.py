"""Compaction drops units for real: the smaller net computes what the net with those units off computes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.convnets import PreActBlock, cnn5, resnet18k
from redlib.nets.stacked import unstacked
from redlib.nets.ticketnets import build
from redlib.pruning import allocation, compaction, masks

TOLERANCE = 1e-5


def randomised(net, seed=0):
    """Return the net in evaluation mode with norms that are no identity, as after training."""
    source = torch.Generator().manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean):
                values.data.copy_(torch.randn(values.shape, generator=source))
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=source) + 0.5)
        elif isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
            for values in part.parameters():
                values.data.copy_(torch.randn(values.shape, generator=source) * (2 / values[0].numel()) ** 0.5)
    return net.eval()


def mlp(activation=nn.ReLU):
    return nn.Sequential(
        nn.Linear(6, 8), activation(), nn.Dropout(0.5), nn.Sequential(nn.Linear(8, 7), activation()), nn.Linear(7, 3)
    )


def conv(pad=1):
    first = nn.Sequential(nn.Conv2d(2, 6, 3, padding=pad, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
    second = nn.Sequential(nn.Conv2d(6, 5, 3, padding=pad), nn.BatchNorm2d(5), nn.ReLU())
    side = 4 if pad else 1
    head = [nn.Dropout2d(0.3), nn.Flatten(), nn.BatchNorm1d(5 * side**2), nn.Linear(5 * side**2, 3)]
    return nn.Sequential(first, second, *head)


def blocks():
    head = [nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), PreActBlock(4, 4, 1), PreActBlock(4, 6, 2), *head)


def resnet():
    return build("resnet20", 0, 3, 2, 8, width=0.25, projection=False)


def line():
    return nn.Sequential(
        nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.Tanh(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(15, 3)
    )


IMAGE, FLAT = (16, 2, 8, 8), (16, 6)
NETS = {
    "mlp": (mlp, FLAT, {"0": "3.0", "3.0": "4"}),
    "tanh": (lambda: mlp(nn.Tanh), FLAT, {"0": "3.0", "3.0": "4"}),
    "sigmoid": (lambda: mlp(nn.Sigmoid), FLAT, {"0": "3.0", "3.0": "4"}),
    "conv+bn": (conv, IMAGE, {"0.0": "1.0", "1.0": "5"}),
    "preact": (blocks, IMAGE, {"1.conv1": "1.conv2", "2.conv1": "2.conv2"}),
    "resnet20": (resnet, IMAGE, {f"{i}.conv1": f"{i}.conv2" for i in range(3, 12)}),
    "conv1d": (line, (16, 2, 8), {"0": "5"}),
}
every_net = pytest.mark.parametrize("name", NETS)


def case(name, dtype=torch.float32):
    make, shape, readers = NETS[name]
    return (
        randomised(make()).to(dtype),
        torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype),
        readers,
    )


def some(net, share=0.5, seed=0):
    """Return keep with about `share` of the units of every layer, at least one."""
    source = torch.Generator().manual_seed(seed)
    keep = {name: torch.rand(units, generator=source) < share for name, units in compaction.compactable(net).items()}
    for kept in keep.values():
        kept[0] = True
    return keep


def hooked(net, keep, readers, x):
    """Return the outputs with units switched off at the input of their reader: an oracle that cuts no weight."""
    net = copy.deepcopy(net)

    def off(kept):
        return lambda part, inputs: (inputs[0].view(len(x), len(kept), -1) * kept[:, None]).view_as(inputs[0])

    for name, reader in readers.items():
        net.get_submodule(reader).register_forward_pre_hook(off(keep[name]))
    return net(x)


def size(net):
    return sum(values.numel() for values in net.parameters())


def gap(a, b):
    return (a - b).detach().abs().max().item()


@every_net
def test_a_compacted_net_computes_what_the_net_with_its_units_off_computes(name):
    net, x, readers = case(name)
    keep = some(net)
    small, quiet = compaction.compact(net, keep), compaction.silence(net, keep)
    expected = hooked(net, keep, readers, x)
    assert gap(net(x), expected) > 0.01  # the units matter
    assert gap(small(x), expected) <= TOLERANCE and gap(quiet(x), expected) <= TOLERANCE
    assert size(small) < size(quiet) == size(net)


@every_net
def test_exactly_the_inner_layers_can_lose_units_and_the_sizes_say_how_many_are_left(name):
    net, _, readers = case(name)
    assert list(compaction.compactable(net)) == list(readers)
    keep = some(net)
    small = compaction.compact(net, keep)
    left = {layer: int(kept.sum()) for layer, kept in keep.items()}
    assert compaction.compactable(small) == left
    for part in small.modules():
        if isinstance(part, nn.Linear):
            assert (part.out_features, part.in_features) == part.weight.shape
        elif isinstance(part, nn.Conv1d | nn.Conv2d):
            assert (part.out_channels, part.in_channels) == part.weight.shape[:2]
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.num_features == len(part.weight) == len(part.running_var)


def test_removed_parameters_are_exactly_rows_and_columns():
    small = compaction.compact(mlp(), {"0": torch.arange(8) < 3})
    assert size(small) == (6 * 3 + 3) + (3 * 7 + 7) + (7 * 3 + 3)
    wide = compaction.compact(conv(), {"1.0": torch.arange(5) < 2})
    assert size(wide) == (2 * 6 * 9 + 12) + (6 * 2 * 9 + 2 + 4) + (2 * 32 + 32 * 3 + 3)


def test_the_net_itself_is_left_alone_and_keeping_all_changes_nothing():
    net, x, _ = case("conv+bn")
    before = copy.deepcopy(net.state_dict())
    keep = some(net)
    for action in (compaction.compact, compaction.silence):
        action(net, keep)
    compaction.fold(net)
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())
    for same in (
        compaction.compact(net, {}),
        compaction.compact(net, {n: torch.ones_like(k) for n, k in keep.items()}),
    ):
        assert torch.equal(same(x), net(x)) and size(same) == size(net)


def test_a_compacted_net_trains_and_keeps_dtype_mode_and_frozen_parameters():
    net = randomised(conv()).double().train()
    net[0][0].weight.requires_grad_(False)
    small = compaction.compact(net, some(net))
    assert small.training and not small[0][0].weight.requires_grad
    small(torch.randn(IMAGE, dtype=torch.float64)).sum().backward()
    assert all(p.grad.shape == p.shape for p in small.parameters() if p.requires_grad)
    assert all(p.dtype == torch.float64 for p in small.parameters())


@pytest.mark.parametrize("masked", ["ours", "torch"])
def test_masks_on_the_weights_are_baked_in_not_lost_and_the_masked_net_survives(masked):
    net, x, readers = case("mlp")
    weights = masks.weights_of(net)
    cut = allocation.keep({n: w.abs() for n, w in weights.items()}, {n: w[0].numel() // 2 for n, w in weights.items()})
    plain = copy.deepcopy(net)
    masks.load_weights(plain, {name: values * cut[name] for name, values in weights.items()})
    if masked == "ours":
        masks.apply(net, cut)
    else:
        for (_, mask), part in zip(cut.items(), (net[0], net[3][0], net[4]), strict=True):
            prune.custom_from_mask(part, "weight", mask[0])
    small = compaction.compact(net, keep := some(net))
    assert gap(small(x), hooked(plain, keep, readers, x)) <= TOLERANCE
    assert {name.split(".")[-1] for name, _ in small.named_parameters()} == {"weight", "bias"}
    assert all(p.requires_grad for p in small.parameters()) and not list(small.buffers())
    assert torch.equal(net(x), plain(x))


def test_padded_flatten_order_gives_every_channel_its_own_block_of_columns():
    net = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Flatten(), nn.Linear(12, 1, bias=False))
    with torch.no_grad():
        net[2].weight.copy_(torch.arange(12.0)[None])
    small = compaction.compact(net, {"0": torch.tensor([True, False, True])})
    assert small[2].weight.tolist() == [[0, 1, 2, 3, 8, 9, 10, 11]]


def test_a_silent_unit_is_zero_but_a_unit_without_incoming_weights_is_a_constant():
    net = randomised(mlp(nn.Tanh))
    x = torch.randn(FLAT)
    with torch.no_grad():
        net[0].weight[2:] = 0
    keep = {"0": torch.arange(8) < 2}
    dropped, folded = compaction.compact(net, keep), compaction.compact(compaction.fold(net), keep)
    assert gap(dropped(x), net(x)) > 0.01
    assert gap(folded(x), net(x)) <= TOLERANCE
    # The constant by hand: tanh(bias) through the second layer's weights.
    expected = net[3][0].bias + net[3][0].weight[:, 2:] @ torch.tanh(net[0].bias[2:])
    torch.testing.assert_close(folded[3][0].bias, expected)


def test_folding_runs_through_layers_that_read_only_constants():
    net = randomised(mlp(nn.Tanh))
    with torch.no_grad():
        net[0].weight[:5] = 0
        net[3][0].weight[:4, 5:] = 0  # reads the constants only
    folded = compaction.fold(net)
    assert (folded[3][0].weight[:4] == 0).all() and (folded[4].weight[:, :4] == 0).all()
    x = torch.randn(FLAT)
    assert gap(folded(x), net(x)) <= TOLERANCE
    small = compaction.compact_masks(net, masks.dense(masks.weights_of(net)))
    assert compaction.compactable(small) == {"0": 3, "3.0": 3}
    assert gap(small(x), net(x)) <= TOLERANCE


def constant_filters(net, channels):
    with torch.no_grad():
        net[0][0].weight[channels] = 0
        net[0][1].bias[channels], net[0][1].running_mean[channels] = 2.0, 0.0
    return net


def test_constants_are_folded_through_norm_pool_and_an_unpadded_convolution():
    net, x = constant_filters(randomised(conv(pad=0)), [1, 4]), torch.randn(IMAGE)
    folded = compaction.fold(net)
    assert (folded[1][0].weight[:, [1, 4]] == 0).all()
    assert gap(folded(x), net(x)) <= TOLERANCE
    torch.testing.assert_close(folded[1][0].bias - net[1][0].bias, 2 * net[1][0].weight[:, [1, 4]].sum((1, 2, 3)))


def test_constants_before_a_zero_padded_convolution_stay_since_the_border_sees_fewer_of_them():
    net, x = constant_filters(randomised(conv(pad=1)), [1, 4]), torch.randn(IMAGE)
    folded = compaction.fold(net)
    assert torch.equal(folded[1][0].weight, net[1][0].weight) and torch.equal(folded(x), net(x))
    # What folding there would have cost: the guard is needed.
    wrong = copy.deepcopy(net)
    with torch.no_grad():
        wrong[1][0].bias += 2 * wrong[1][0].weight[:, [1, 4]].sum((1, 2, 3))
        wrong[1][0].weight[:, [1, 4]] = 0
    assert gap(wrong(x), net(x)) > 0.01


def test_padding_is_no_obstacle_when_the_constant_is_zero_or_the_padding_repeats_it():
    dark = constant_filters(randomised(conv(pad=1)), [1, 4])
    with torch.no_grad():
        dark[0][1].bias[[1, 4]] = -2.0  # zero after the ReLU
    wrapped = constant_filters(randomised(conv(pad=1)), [1, 4])
    wrapped[1][0].padding_mode = "circular"
    x = torch.randn(IMAGE)
    for net in (dark, wrapped):
        folded = compaction.fold(net)
        assert (folded[1][0].weight[:, [1, 4]] == 0).all() and gap(folded(x), net(x)) <= TOLERANCE


@pytest.mark.parametrize(
    ("pool", "exact"),
    [
        (nn.AvgPool2d(2, padding=1), False),
        (nn.AvgPool2d(2, padding=1, count_include_pad=False), True),
        (nn.AvgPool2d(2, divisor_override=3), False),
        (nn.AvgPool2d(3, ceil_mode=True), True),
        (nn.MaxPool2d(2, padding=1), True),
    ],
    ids=str,
)
def test_average_pools_that_blur_the_border_hold_constants_back(pool, exact):
    side = pool(torch.zeros(1, 1, 8, 8)).shape[-1]
    net = randomised(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(3 * side**2, 2)))
    with torch.no_grad():
        net[0].weight[1], net[0].bias[1] = 0, 1.5
    folded, x = compaction.fold(net), torch.randn(IMAGE)
    columns = folded[4].weight[:, side**2 : 2 * side**2]
    assert bool((columns == 0).all()) is exact and gap(folded(x), net(x)) <= TOLERANCE


def test_a_norm_without_running_statistics_turns_a_constant_into_its_bias():
    net = nn.Sequential(
        nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Tanh(), nn.Linear(4, 2)
    ).eval()
    with torch.no_grad():
        net[0].weight[1], net[1].bias[1] = 0, 0.7
    folded, x = compaction.fold(net), torch.randn(FLAT)
    assert (folded[3].weight[:, 1] == 0).all() and gap(folded(x), net(x)) <= TOLERANCE


def test_a_reader_without_a_bias_gets_one_only_when_a_constant_needs_it():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2, bias=False))
    assert compaction.fold(net)[2].bias is None
    with torch.no_grad():
        net[0].weight[0] = 0
    folded, x = compaction.fold(net), torch.randn(5, 3)
    assert folded[2].bias.shape == (2,) and gap(folded(x), net(x)) <= TOLERANCE


@every_net
@pytest.mark.parametrize("density", [0.6, 0.2])
def test_dropping_dead_units_of_an_unstructured_mask_changes_no_output(name, density):
    net, x, _ = case(name)
    weights = masks.weights_of(net)
    shapes = allocation.shapes_of(weights)
    counts = {n: max(2, count) for n, count in allocation.layer_counts(shapes, density).items()}
    cut = allocation.random_masks(shapes, counts, [3])
    oracle = copy.deepcopy(net)
    masks.apply(oracle, cut)
    small = compaction.compact_masks(net, cut)
    assert gap(small(x), oracle(x)) <= TOLERANCE
    if name == "mlp" and density == 0.2:
        assert size(small) < size(net)


def test_dead_units_are_those_without_incoming_or_outgoing_survivors_through_all_layers():
    net, x = randomised(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))), None
    cut = masks.dense(masks.weights_of(net))
    first, second, third = cut.values()
    first[0, 0] = False  # unit 0 of layer 1: nothing enters
    third[0, :, 2] = False  # unit 2 of layer 2: nothing leaves
    second[0, :2, 3] = False  # unit 3 of layer 1 leads to that dead unit only
    small = compaction.compact_masks(net, cut)
    assert compaction.compactable(small) == {"0": 2, "2": 2}
    masks.apply(net, cut)
    x = torch.randn(9, 2)
    assert gap(small(x), net(x)) <= TOLERANCE


def test_structured_masks_compact_to_the_net_that_compact_makes():
    net, x, readers = case("conv+bn")
    keep = some(net)
    quiet = compaction.silence(net, keep)
    for layer, norm, name in ((quiet[0][0], quiet[0][1], "0.0"), (quiet[1][0], quiet[1][1], "1.0")):
        off = ~keep[name]
        assert all((values[off] == 0).all() for part in (layer, norm) for values in part.parameters())
    small = compaction.compact_masks(quiet, masks.dense(masks.weights_of(quiet)))
    assert size(small) == size(compaction.compact(net, keep))
    assert gap(small(x), hooked(net, keep, readers, x)) <= TOLERANCE


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_replicate_of_a_stack_becomes_a_module_with_the_same_outputs_and_masks(activation):
    net, x = StackedMLP.create((6, 8, 7, 3), [4, 5], activation), torch.randn(FLAT)
    before = torch.random.get_rng_state()
    for r in range(2):
        assert gap(unstacked(net, r)(x), net.logits(x)[r]) <= TOLERANCE
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = masks.weights_of(net)
    cut = allocation.random_masks(
        allocation.shapes_of(weights), {n: w[0].numel() // 3 for n, w in weights.items()}, [4, 5]
    )
    alone = unstacked(net, 1)
    masks.apply(net, cut)
    small = compaction.compact_masks(alone, compaction.unstacked_masks(alone, cut, 1))
    assert gap(small(x), net.logits(x)[1]) <= TOLERANCE
    alone[0].weight.data.zero_()
    assert bool((net.weights[0][1] != 0).any())  # copies


def test_filter_scores_are_norms_of_incoming_weights_and_top_filters_keep_the_same_share_of_each_layer():
    net = nn.Sequential(nn.Conv2d(1, 4, (1, 2), bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[3.0, -4], [1, 0], [0, 6], [-1, 0]]).view(4, 1, 1, 2))
    one, two = compaction.filter_scores(net), compaction.filter_scores(net, norm=2)
    assert list(one) == ["0"] and one["0"].tolist() == [7, 1, 6, 1] and two["0"].tolist() == [5, 1, 6, 1]
    assert compaction.top_filters(one, 0.5)["0"].tolist() == [True, False, True, False]
    assert compaction.top_filters(two, 0.25)["0"].tolist() == [False, False, True, False]
    assert compaction.top_filters(one, 0.75)["0"].tolist() == [True, True, True, False]  # a tie: the first stays


def test_halving_the_filters_of_the_studys_conv_nets_keeps_their_outputs():
    for net in (cnn5(4, channels=1, image=8), resnet18k(2, channels=1), build("small_conv", 0, 10, 1, 8, width=4)):
        randomised(net)
        keep = compaction.top_filters(compaction.filter_scores(net), 0.5)
        small, quiet = compaction.compact(net, keep), compaction.silence(net, keep)
        x = torch.randn(4, 1, 8, 8)
        scale = quiet(x).abs().max().clamp(min=1)
        assert gap(small(x), quiet(x)) <= TOLERANCE * scale and size(small) < 0.7 * size(net)


def shared():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("net", "stuck"),
    [
        (shared(), "0"),
        (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)), "0"),
        (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)), "0"),
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(64, 2)), "0"),
        (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(144, 2)), "0"),
        (nn.Sequential(nn.Linear(4, 8), nn.MaxPool1d(2), nn.Linear(4, 2)), "0"),
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(2), nn.Linear(36, 4)), "0"),
        (blocks(), "0"),
        (blocks(), "1.conv2"),
        (mlp(), "4"),
        (mlp(), "nowhere"),
    ],
)
def test_layers_that_cannot_lose_units_are_refused_by_name(net, stuck):
    with pytest.raises(BadInput, match=f"layer to compact = '{stuck}'"):
        compaction.compact(net, {stuck: torch.tensor([True, False, True, True])})


def test_activations_shared_by_layers_are_no_obstacle():
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 2))
    assert list(compaction.compactable(net)) == ["0", "2"]


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (torch.ones(7, dtype=torch.bool), r"allowed is bool \(8,\)"),
        (torch.ones(8), "allowed is bool"),
        (torch.zeros(8, dtype=torch.bool), "pruned to nothing"),
    ],
)
@pytest.mark.parametrize("action", [compaction.compact, compaction.silence])
def test_a_keep_that_does_not_fit_or_leaves_nothing_is_refused(action, kept, message):
    with pytest.raises(BadInput, match=message):
        action(mlp(), {"0": kept})


def test_other_bad_input_is_refused():
    net = mlp()
    cut = masks.dense(masks.weights_of(net))
    next(iter(cut.values()))[:] = False
    with pytest.raises(BadInput, match="pruned to nothing"):
        compaction.compact_masks(net, cut)
    with pytest.raises(BadInput, match="mask"):
        compaction.compact_masks(net, {})
    with pytest.raises(BadInput, match="1 or 2"):
        compaction.filter_scores(net, norm=3)
    for share in (0.0, 1.5, 0.01):
        with pytest.raises(BadInput, match="kept|KEPT"):
            compaction.top_filters(compaction.filter_scores(net), share)
    with pytest.raises(BadInput, match="replicate"):
        unstacked(StackedMLP.create((2, 2), [0]), 1)


# Nets that cannot be cut, or not apart


class Branched(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.out(h + torch.relu(self.second(h)))


@pytest.mark.parametrize("net", [Branched(), nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))])
def test_a_net_in_which_no_layer_can_lose_units_is_refused_with_its_layers(net):
    name = next(name for name, part in net.named_modules() if isinstance(part, nn.Linear))
    calls = [
        lambda: compaction.filter_scores(net),
        lambda: compaction.compact(net, {}),
        lambda: compaction.silence(net, {}),
        lambda: compaction.compact_masks(net, masks.dense(masks.weights_of(net))),
    ]
    for call in calls:
        with pytest.raises(BadInput, match=f"net to cut.*'{name}': 'Linear'"):
            call()
    with pytest.raises(BadInput, match="scores"):
        compaction.top_filters({}, 0.5)


@pytest.mark.parametrize("what", ["weight", "bias"])
def test_layers_that_share_a_parameter_are_refused_by_name(what):
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    setattr(net[2], what, getattr(net[0], what))
    keep = {"0": torch.arange(8) < 5}
    for call in (
        lambda: compaction.compact(net, keep),
        lambda: compaction.silence(net, keep),
        lambda: compaction.fold(net),
    ):
        with pytest.raises(BadInput, match=rf"0\.{what} and 2\.{what}"):
            call()


def test_norms_that_share_their_scale_are_refused_as_silencing_one_would_silence_the_other():
    net = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    )
    net[4].weight = net[1].weight
    with pytest.raises(BadInput, match=r"1\.weight and 4\.weight"):
        compaction.silence(net, {"0": torch.arange(8) < 5})


MIXED = {
    "pool behind a flatten": nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.MaxPool1d(2), nn.Linear(72, 3)
    ),
    "adaptive pool behind a flatten": nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.Flatten(), nn.AdaptiveAvgPool1d(36), nn.Linear(36, 3)
    ),
    "pool of images on lines": nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.AvgPool2d(3, stride=1, padding=1), nn.Flatten(), nn.Linear(24, 3)
    ),
    "norm of the tokens": nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("name", MIXED)
def test_parts_that_mix_units_leave_the_layer_before_them_whole(name):
    net = MIXED[name].eval()
    shape = {"pool of images on lines": (5, 2, 8), "norm of the tokens": (5, 8, 6)}.get(name, (5, 2, 8, 8))
    net(torch.randn(shape))  # it runs
    assert compaction.compactable(net) == {}
    with pytest.raises(BadInput, match="layer to compact = '0'"):
        compaction.compact(net, {"0": torch.tensor([True, False, True, True])})


class Standardised(nn.Conv2d):
    """Weights less the mean of their filter: what a cut input would have changed."""

    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


def test_a_subclass_that_computes_something_else_is_an_unknown_part():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), Standardised(4, 5, 3), nn.Flatten(), nn.Linear(80, 3)).eval()
    assert compaction.compactable(net) == {}

    class Named(nn.Conv2d):
        pass

    net[2] = Named(4, 5, 3)
    assert list(compaction.compactable(net)) == ["0", "2"]
