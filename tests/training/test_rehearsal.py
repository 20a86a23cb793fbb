"""Any module trains as it does in a plain loop: whatever its layout, and with random layers alone as among others."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.nets.convnets import cnn5, resnet18k, seeded, tanh_conv
from redlib.nets.ticketnets import build
from redlib.nets.widenets import wide_net
from redlib.training import SGD, Adam, Batches, Examples, engines, fit
from redlib.training.engines import AutogradEngine
from redlib.training.rehearsal import draws, known

pytestmark = pytest.mark.usefixtures("one_thread")


class Viewing(nn.Module):
    """Flattens by a view behind a convolution, which channels_last does not stand."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.Linear(6 * 36, 3)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return self.out(x.view(x.size(0), -1))


class Flat(nn.Sequential):
    """Views its input, and has no convolution."""

    def forward(self, x):
        return super().forward(x.view(x.size(0), -1))


class Inside(Viewing):
    """Takes rows and makes images of them inside."""

    def forward(self, x):
        return super().forward(x.view(-1, 2, 8, 8))


class Backwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.view(grad.size(0), -1).view(grad.shape)


class ViewsGradient(Viewing):
    """Views only in the backward pass."""

    def forward(self, x):
        return self.out(Backwards.apply(self.conv(x)).relu().flatten(1))


class Volumes(nn.Module):
    """Two- and three-dimensional convolutions in one net: no layout suits all weights."""

    def __init__(self):
        super().__init__()
        self.volume, self.conv, self.out = nn.Conv3d(1, 1, (2, 3, 3)), nn.Conv2d(1, 4, 3), nn.Linear(64, 3)

    def forward(self, x):
        return self.out(self.conv(self.volume(x[:, None])[:, 0]).flatten(1))


class Flexible(Viewing):
    """Stands every layout."""

    def forward(self, x):
        return self.out(self.norm(self.conv(x)).relu().flatten(1))


def problem(n=48, flat=False):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, 8, 8, generator=g)
    return Examples(x.flatten(1) if flat else x, torch.arange(n) % 3)


def made(kind, seed=0):
    torch.manual_seed(seed)
    return kind()


def plain_loop(net, examples, steps, rule):
    """Train as plain torch does, on the same batches."""
    batches = Batches(examples, (0,), 16)
    for step in range(steps):
        x, y = (part[0].contiguous() for part in batches.at(step))
        net.train()
        rule.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        rule.step()


KINDS = [Viewing, lambda: Flat(nn.Linear(128, 3)), Inside, ViewsGradient, Volumes, Flexible]
NAMES = ["view", "view of the input", "view inside", "view of the gradient", "volumes", "flexible"]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_whatever_a_plain_loop_trains_is_trained_to_the_same_weights(kind):
    examples, (ours, theirs) = problem(flat=kind is Inside), (made(kind), made(kind))
    random = torch.random.get_rng_state()
    fit(ours, examples, optimizer=SGD(0.05, momentum=0.9), steps=9, batch_size=16, evaluate={"all": examples})
    assert torch.equal(torch.random.get_rng_state(), random)
    plain_loop(theirs, examples, 9, torch.optim.SGD(theirs.parameters(), 0.05, momentum=0.9))
    for (name, mine), value in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_finding_out_what_a_net_stands_changes_nothing_of_it(kind):
    net, x = made(kind), problem(flat=kind is Inside).x
    before, modes = copy.deepcopy(net.state_dict()), [part.training for part in net.modules()]
    engine = AutogradEngine([net], SGD(), "cross_entropy")
    engine._layout(0, x)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [part.training for part in net.modules()] == modes
    assert all(values.grad is None for values in net.parameters())


def test_nets_that_stand_channels_last_keep_it():
    for net, last in ((made(Flexible), True), (made(Viewing), False), (made(lambda: cnn5(2, 3, 2, 8)), True)):
        fit(net, problem(), optimizer=SGD(0.05), steps=1, batch_size=16)
        weight = next(values for values in net.parameters() if values.dim() == 4)
        assert weight.is_contiguous(memory_format=torch.channels_last) == last


def by_the_old_step(net, examples, steps):
    """Train by the steps of before: everything channels_last, nothing tried, no random state set."""
    net.to(memory_format=torch.channels_last)
    rule, batches = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9), Batches(examples, (0,), 16)
    for step in range(steps):
        x, y = (part[0] for part in batches.at(step))
        net.train()
        rule.zero_grad(set_to_none=True)
        functional.cross_entropy(net(x.contiguous(memory_format=torch.channels_last)), y).backward()
        rule.step()


@pytest.mark.parametrize(
    "kind",
    [
        Flexible,
        lambda: seeded(cnn5, 0, 2, 3, 2, 8),
        lambda: seeded(resnet18k, 0, 8, 3, 2),
        lambda: seeded(tanh_conv, 0, 2, 4, 3, 2, sigma_w=1.5, sigma_b=0.1),
        lambda: build("conv2", 0, 3, 2, 8, width=0.1, dropout=0.5),
        lambda: build("resnet20", 0, 3, 2, 8, width=0.5),
        lambda: wide_net("cnn5", 0, 2, 3, 2, 8, augment=True),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 3)),
    ],
)
def test_nets_that_trained_before_go_on_bit_for_bit_the_same(kind):
    ours, theirs = made(kind), made(kind)
    fit(ours, problem(), optimizer=SGD(0.05, momentum=0.9), steps=9, batch_size=16, seeds=(0,))
    by_the_old_step(theirs, problem(), 9)
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))


def test_layers_of_this_package_are_not_tried_out(monkeypatch):
    monkeypatch.setattr(engines, "layout_of", lambda *_: pytest.fail("tried out"))
    fit(cnn5(2, 3, 2, 8), problem(), optimizer=SGD(0.05), steps=1, batch_size=16)


class Functional(nn.Module):
    """Dropout without a module of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(128, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(functional.dropout(self.first(x).relu(), 0.5, self.training))


class Attention(nn.Module):
    """Self-attention with dropout on its weights, over the rows of an image."""

    def __init__(self):
        super().__init__()
        self.attend, self.out = nn.MultiheadAttention(16, 2, dropout=0.5, batch_first=True), nn.Linear(128, 3)

    def forward(self, x):
        x = x.view(len(x), 8, 16)
        return self.out(self.attend(x, x, x)[0].flatten(1))


RANDOM = {
    "dropout": lambda: nn.Sequential(nn.Linear(128, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)),
    "rrelu": lambda: nn.Sequential(nn.Linear(128, 16), nn.RReLU(), nn.Linear(16, 3)),
    "functional": Functional,
    "attention": Attention,
    "encoder": lambda: nn.Sequential(
        nn.Unflatten(1, (8, 16)), nn.TransformerEncoderLayer(16, 2, 8, batch_first=True),
        nn.Flatten(), nn.Linear(128, 3),
    ),
}  # fmt: skip


def trained(kind, seeds, steps=12, drawn_before=0, **options):
    """Return nets, each drawn by its own seed, after training beside one another."""
    nets = [made(RANDOM[kind], seed) for seed in seeds]
    torch.manual_seed(99)
    torch.rand(drawn_before)
    history = fit(nets, problem(flat=True), optimizer=Adam(1e-2), steps=steps, batch_size=16, seeds=seeds, **options)
    return nets, history


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("kind", RANDOM)
def test_a_net_that_draws_has_the_same_bits_alone_and_among_others(kind):
    (alone,), _ = trained(kind, (3,))
    among, _ = trained(kind, (5, 3, 4), drawn_before=7)
    assert equal(alone, among[1])
    (other,), _ = trained(kind, (3,), steps=11)
    assert not equal(alone, other)


@pytest.mark.parametrize("kind", RANDOM)
def test_a_net_that_draws_is_resumed_to_the_same_bits(kind):
    (whole,), _ = trained(kind, (3,))
    _, first = trained(kind, (3,), steps=5)
    (again,), _ = trained(kind, (3,), resume=first.state, drawn_before=2)
    assert equal(whole, again)


def test_what_is_drawn_differs_between_steps_and_seeds_and_leaves_the_global_state():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(128, 3)

        def forward(self, x):
            if self.training:
                seen.append(float(torch.rand(())))
            return self.out(x)

    torch.manual_seed(7)
    nets, random = [Spy(), Spy()], torch.random.get_rng_state()
    fit(nets, problem(flat=True), optimizer=SGD(0.1), steps=3, batch_size=16, seeds=(0, 1))
    assert torch.equal(torch.random.get_rng_state(), random)
    assert len(set(seen[-6:])) == 6, "two nets, three steps"


def test_only_unknown_code_and_layers_of_chance_draw():
    assert not draws(cnn5(2)) and not draws(build("conv2", 0, 3, 1, 8, width=0.1, dropout=0.5))
    assert not draws(nn.LSTM(3, 4, num_layers=2)) and draws(nn.LSTM(3, 4, num_layers=2, dropout=0.5))
    assert all(draws(made(kind)) for kind in RANDOM.values())
    net = nn.Sequential(nn.Linear(2, 2))
    assert known(net)
    net[0].forward = lambda x: x
    assert not known(net)


def test_a_resumed_net_goes_on_in_the_augmentation_of_its_own():
    def net():
        return wide_net("cnn5", 4, 2, 3, 2, 8, augment=True)

    options = {"optimizer": SGD(0.05), "batch_size": 16, "seeds": (4,)}
    fit(whole := net(), problem(), steps=12, **options)
    first = fit(net(), problem(), steps=5, **options)
    fit(again := net(), problem(), steps=12, resume=first.state, **options)
    assert equal(whole, again)


@pytest.mark.parametrize(("width", "last"), [(4, False), (8, True)])
def test_strided_convolutions_of_few_channels_are_kept_from_the_layout_that_breaks_memory(width, last):
    # torch 2.13 writes beyond its memory there: the process would abort in one of these steps, or later.
    net = seeded(resnet18k, 0, width, 3, 2)
    fit(net, problem(), optimizer=SGD(0.05), steps=3, batch_size=16, device="cpu")
    skip = next(part for part in net.modules() if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1))
    assert skip.in_channels == width
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last) == last
