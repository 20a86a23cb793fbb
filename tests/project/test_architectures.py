"""The way of a user's own net, from training to measures, for seven architectures; torch itself is the oracle.

In double precision: two steps of a deep net with norms over four examples make any rounding large.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from redlib.data import ensure_torchvision
from redlib.errors import BadInput
from redlib.measures import cost, spectra
from redlib.pruning import compaction, masks
from redlib.pruning.tickets import Cut, find_tickets
from redlib.training import SGD, Examples, fit

TOLERANCE = 1e-5
WIDEST = 64  # side of a matrix whose spectrum is quickly computed
RATE, MOMENTUM, STEPS, ROUNDS, CUT = 0.05, 0.9, 2, 2, Cut(rate=0.2, last=0.1)
BATCH, CLASSES, SIDE, TIME, WORDS = 4, 3, 32, 5, 11


class Encoder(nn.Module):
    """Tokens through two layers of a transformer encoder, [B, T] -> [B, classes]."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(WORDS, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x)).mean(1))


class Recurrent(nn.Module):
    """A sequence [B, T, 4] through an LSTM of two layers and two linear ones."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(4, 6, 2, batch_first=True)
        self.hidden, self.head = nn.Linear(6, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(functional.relu(self.hidden(self.cell(x)[0][:, -1])))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, CLASSES))


def conv():
    first = [nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.Linear(8, CLASSES))


def resnet18():
    """Return torchvision's ResNet-18, whose blocks are an eighth as wide."""
    resnet = ensure_torchvision().models.resnet

    class Thin(resnet.ResNet):
        def _make_layer(self, block, planes, *rest, **options):
            return super()._make_layer(block, planes // 8, *rest, **options)

    net = Thin(resnet.BasicBlock, [2, 2, 2, 2])
    net.fc = nn.Linear(64, CLASSES)
    return net


def mobilenet():
    """Return torchvision's MobileNet-v2 with four of its 17 blocks, a tenth as wide."""
    blocks = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]]
    models = ensure_torchvision().models
    return models.mobilenet_v2(num_classes=CLASSES, width_mult=0.1, dropout=0, inverted_residual_setting=blocks)


def vgg11():
    """Return VGG-11 with BN, an eighth as wide and with one hidden layer in its head."""
    vgg = ensure_torchvision().models.vgg
    widths = [one if one == "M" else one // 8 for one in vgg.cfgs["A"]]
    net = vgg.VGG(vgg.make_layers(widths, batch_norm=True), num_classes=CLASSES)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    return net


IMAGE = (3, SIDE, SIDE)
ARCHITECTURES = {
    "mlp": (mlp, (3, 2, 2)),
    "conv": (conv, (3, 8, 8)),
    "resnet18": (resnet18, IMAGE),
    "mobilenet": (mobilenet, IMAGE),
    "vgg11": (vgg11, IMAGE),
    "encoder": (Encoder, (TIME,)),
    "lstm": (Recurrent, (TIME, 4)),
}
every = pytest.mark.parametrize("name", ARCHITECTURES)


@dataclass(frozen=True)
class Case:
    """A net, what it is trained on, that net trained by `fit`, and the masks of each round."""

    initial: nn.Module
    examples: Examples
    trained: nn.Module
    levels: list[dict[str, Tensor]]


def train(net, examples):
    return fit(net, examples, optimizer=SGD(RATE, momentum=MOMENTUM), steps=STEPS, batch_size=None, device="cpu")


@cache
def case(name):
    make, shape = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = make().double()
        x = torch.randint(WORDS, (BATCH, *shape)) if name == "encoder" else torch.randn(BATCH, *shape).double()
    examples = Examples(x, torch.arange(BATCH) % CLASSES)
    train(trained := copy.deepcopy(net), examples)
    return Case(net, examples, trained, find_tickets(net, lambda one: train(one, examples), ROUNDS, CUT))


def copied(name):
    """Return a copy of the trained net in evaluation mode, and its inputs."""
    return copy.deepcopy(case(name).trained).eval(), case(name).examples.x


def gap(a, b):
    """Return the largest difference as a share of the largest value."""
    return float((a - b).detach().abs().max() / b.detach().abs().max().clamp(min=1e-12))


def size(net):
    return sum(values.numel() for values in net.parameters())


@every
def test_fit_is_torchs_own_loop(name):
    net, examples = copy.deepcopy(case(name).initial), case(name).examples
    optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM)
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(net(examples.x), examples.y).backward()
        optimizer.step()
    expected = net.state_dict()
    for key, values in case(name).trained.state_dict().items():
        torch.testing.assert_close(values, expected[key], rtol=TOLERANCE, atol=TOLERANCE)
    assert any(not torch.equal(values, expected[key]) for key, values in case(name).initial.state_dict().items())


@every
def test_masks_cover_every_weight_and_density_is_counted_by_hand(name):
    net, levels = case(name).initial, case(name).levels
    paths = masks.paths_of(net, levels[0])
    weights = {key: values for key, values in net.named_parameters() if values.dim() > 1 and key != "embed.weight"}
    assert set(paths.values()) == set(weights)
    for level in levels:
        kept = sum(int(mask.sum()) for mask in level.values())
        assert masks.density(level).tolist() == pytest.approx([kept / sum(v.numel() for v in weights.values())])
        assert all(mask.shape == (1, *weights[paths[key]].shape) for key, mask in level.items())


@every
def test_a_round_keeps_the_largest_trained_weights_of_each_layer(name):
    trained, first = dict(case(name).trained.named_parameters()), case(name).levels[1]
    paths = masks.paths_of(case(name).initial, first)
    for key, mask in first.items():
        sizes = trained[paths[key]].detach().abs().flatten()
        rate = CUT.last if key == list(first)[-1] else CUT.rate
        assert abs(int(mask.sum()) - (1 - rate) * sizes.numel()) <= 0.5
        kept, cut = sizes[mask.flatten()], sizes[~mask.flatten()]
        assert kept.min() >= cut.max() - TOLERANCE


@every
def test_a_masked_net_computes_what_its_weights_times_the_masks_do_and_keeps_the_cut_ones_at_zero(name):
    (net, x), last = copied(name), case(name).levels[-1]
    by_hand = copy.deepcopy(net)
    with torch.no_grad():
        for key, path in masks.paths_of(net, last).items():
            by_hand.get_parameter(path).mul_(last[key][0])
    masks.apply(net, last)
    assert gap(net(x), by_hand(x)) <= TOLERANCE
    train(net, case(name).examples)
    found = masks.weights_of(net)
    assert all(bool((found[key][~mask] == 0).all()) for key, mask in last.items())
    masks.remove(net)
    assert [key for key, _ in net.named_parameters()] == [key for key, _ in by_hand.named_parameters()]


def counted(net, x):
    """Return what torch counts in training mode, where it takes no kernel that does several products in one."""
    with FlopCounterMode(display=False) as counter:
        copy.deepcopy(net).train()(x)
    return counter.get_total_flops()


def flops_by_hand(name):
    if name == "mlp":
        return 2 * (12 * 16 + 16 * 8 + 8 * CLASSES)
    if name == "lstm":  # four gates, two layers, every step
        return 2 * TIME * 4 * 6 * (4 + 6 + 6 + 6) + 2 * (6 * 8 + 8 * CLASSES)
    if name == "encoder":  # q, k, v and the output; scores and their products for all pairs of tokens; two layers
        token = 4 * 8 * 8 + 2 * 8 * 12
        return 2 * (2 * TIME * token + 2 * 2 * TIME * TIME * 8) + 2 * 8 * CLASSES
    return None


@every
def test_flops_are_torchs_own_count_or_those_by_hand(name):
    net, x = copied(name)
    found = cost.flops(net, x.shape[1:], x.dtype)
    by_hand = flops_by_hand(name)
    # Counted for two examples, since a norm in training mode refuses one.
    assert found == (counted(net, x[:2]) / 2 if by_hand is None else by_hand)
    assert cost.parameters(net) == size(net)


@every
def test_compact_agrees_with_silence_or_names_the_layers_it_cannot_cut(name):
    net, x = copied(name)
    units = compaction.compactable(net)
    assert bool(units) == (name in ("mlp", "conv"))
    keep = {layer: torch.arange(count) % 2 == 0 for layer, count in units.items()}
    if not units:
        with pytest.raises(BadInput, match="shrink"):
            compaction.filter_scores(net)
        return
    small, quiet = compaction.compact(net, keep), compaction.silence(net, keep)
    assert gap(small(x), quiet(x)) <= TOLERANCE and size(small) < size(net)


def blinded(net):
    """Set the columns of every second input of all layers to zero, where one channel is one column."""
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Linear | nn.Conv2d) and getattr(part, "groups", 1) == 1:
                part.weight[:, ::2] = 0
    return net


@every
def test_shrink_takes_what_nothing_reads_and_the_outputs_stay(name):
    structured = pytest.importorskip("redlib.pruning.structured")
    pytest.importorskip("torch_pruning", reason="the optional extra 'structured'")
    net, x = copied(name)
    blinded(net)
    found = structured.shrink(net, x)
    assert found.removed and size(found.net) < size(net)
    other = x.roll(1, 0) if name == "encoder" else torch.randn_like(x)
    assert gap(found.net(other), net(other)) <= TOLERANCE
    assert found.flops[1] < found.flops[0] and found.flops[0] % BATCH == 0
    assert found.flops[0] // BATCH == cost.flops(net, x.shape[1:], x.dtype)


@every
def test_a_shrunken_net_trains_prunes_and_is_measured_like_any_other(name):
    structured = pytest.importorskip("redlib.pruning.structured")
    pytest.importorskip("torch_pruning", reason="the optional extra 'structured'")
    net, x = copied(name)
    small = structured.shrink(net, x, share=0.5).net
    examples = case(name).examples
    levels = find_tickets(small, lambda one: train(one, examples), 1, CUT)
    assert 0.5 < float(masks.density(levels[-1])) < 1
    masks.apply(small, levels[-1])
    assert all(bool((values[~levels[-1][key]] == 0).all()) for key, values in masks.weights_of(small).items())


@every
def test_spectra_of_every_weight_are_torchs_singular_values(name):
    net, _ = copied(name)
    parts = dict(net.named_modules())
    for key, values in masks.weights_of(net).items():
        part = parts.get(key)
        groups = getattr(part, "groups", 1)
        # In a grouped convolution each group is a matrix of its own.
        blocks = values[0].double().flatten(1).unflatten(0, (groups, -1))
        if min(blocks.shape[1:]) > WIDEST:
            continue
        singular = torch.linalg.svdvals(blocks).flatten().sort(descending=True).values
        given = part if part is not None and hasattr(part, "weight") else values[0]
        eigenvalues = torch.from_numpy(spectra.esd(given, None if given is part else False)[0])
        assert gap(eigenvalues, singular**2 / max(blocks.shape[1:])) <= TOLERANCE
        whole = blocks.square().sum() / singular[0] ** 2
        assert spectra.stable_rank(given, None if given is part else False)[0] == pytest.approx(float(whole))
