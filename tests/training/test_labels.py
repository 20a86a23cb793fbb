"""Labels per token: trained and judged as torch's cross_entropy does, and never read from another layout."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.training import SGD, Batches, Examples, evaluate, fit
from redlib.training import loop as loop_module
from redlib.training.checks import _say
from redlib.training.early import EarlyModules

WORDS, CLASSES, LENGTH, N = 11, 4, 6, 40
OPTIONS = {"optimizer": SGD(0.3, momentum=0.9), "batch_size": 16, "device": "cpu"}


class Tagger(nn.Module):
    """Tokens [B, T] to a class each, [B, C, T], or with `last` [B, T, C]."""

    def __init__(self, classes=CLASSES, last=False, length=None):
        super().__init__()
        self.table, self.mix, self.out = nn.Embedding(WORDS, 8), nn.Conv1d(8, 8, 3, padding=1), nn.Linear(8, classes)
        self.last, self.length = last, length

    def forward(self, x):
        if self.length and x.shape[1] != self.length:
            raise ValueError("another length")
        hidden = self.mix(self.table(x).transpose(1, 2)).relu().transpose(1, 2)
        return self.out(hidden) if self.last else self.out(hidden).transpose(1, 2)


def made(seed=0, kind=Tagger, **options):
    torch.manual_seed(seed)
    return kind(**options)


def sentences(n=N, length=LENGTH, classes=CLASSES):
    x = torch.randint(0, WORDS, (n, length), generator=torch.Generator().manual_seed(1))
    return x, (x + x.roll(1, 1)) % classes


def segmented():
    g = torch.Generator().manual_seed(2)
    x = torch.randn(N, 2, 5, 7, generator=g)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5)


def padded(ignore=-100):
    x, y = sentences()
    lengths = torch.arange(N) % LENGTH + 1
    return x, torch.where(torch.arange(LENGTH) < lengths[:, None], y, ignore)


def plain_loop(net, examples, loss, steps, seed=0):
    rule, batches = torch.optim.SGD(net.parameters(), 0.3, momentum=0.9), Batches(examples, (seed,), 16)
    for step in range(steps):
        x, y = (part[0] for part in batches.at(step))
        rule.zero_grad()
        loss(net(x), y).backward()
        rule.step()


def squares(outputs, y):
    return functional.mse_loss(outputs, functional.one_hot(y, outputs.shape[1]).movedim(-1, 1).float())


@pytest.mark.parametrize(("name", "loss"), [("cross_entropy", functional.cross_entropy), ("mse", squares)])
@pytest.mark.parametrize("kind", ["sentences", "rows", "images"])
def test_labels_per_token_train_and_judge_as_torch_does(kind, name, loss):
    x, y = segmented() if kind == "images" else sentences()
    rows = torch.arange(5, 35)[None] if kind == "rows" else None
    make = (lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1))) if kind == "images" else Tagger
    examples = Examples(x, y, rows)
    ours, theirs = made(kind=make), made(kind=make)
    history = fit(ours, examples, loss=name, steps=12, evaluate={"all": examples}, **OPTIONS)
    plain_loop(theirs, examples, loss, 12)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    seen = slice(None) if rows is None else rows[0]
    outputs = theirs(x[seen])
    assert history["all_loss"].item() == pytest.approx(loss(outputs, y[seen]).item(), rel=1e-4)
    assert history["all_error"].item() == pytest.approx((outputs.argmax(1) != y[seen]).double().mean().item())
    assert history["all_loss"].item() == pytest.approx(evaluate(ours, examples, name)["loss"].item(), rel=1e-6)


@pytest.mark.parametrize("ignore", [-100, 2])
def test_ignored_labels_count_nowhere_and_are_told(ignore, caplog):
    _say.cache_clear()
    x, y = padded(ignore)
    examples = Examples(x, y, ignore=ignore)
    keep = (y != ignore).any(1)  # where the label is one of the classes, some examples have no other
    examples = Examples(x[keep], y[keep], ignore=ignore)
    ours, theirs = made(), made()
    with caplog.at_level(logging.WARNING):
        history = fit(ours, examples, steps=12, evaluate={"all": examples}, **OPTIONS)
    left_out = int((examples.y == ignore).sum())
    assert f"{left_out} of {examples.y.numel()} labels are {ignore} and count neither" in caplog.text
    plain_loop(theirs, examples, lambda o, t: functional.cross_entropy(o, t, ignore_index=ignore), 12)
    torch.testing.assert_close(ours.out.weight, theirs.out.weight, atol=1e-5, rtol=1e-4)
    outputs, counted = theirs(examples.x), examples.y != ignore
    expected = functional.cross_entropy(outputs, examples.y, ignore_index=ignore).item()
    assert history["all_loss"].item() == pytest.approx(expected, rel=1e-4)
    wrong = (outputs.argmax(1) != examples.y)[counted].double().mean().item()
    assert history["all_error"].item() == pytest.approx(wrong)


def refused(net, examples, match, **options):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(BadInput, match=match):
        fit(net, examples, **{"steps": 3, **OPTIONS, **options})
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    if "loss" not in options and "evaluate" not in options:
        with pytest.raises(BadInput, match=match):
            evaluate(net, examples)


def test_nothing_is_ignored_unasked_and_no_example_wholly():
    x, y = padded()
    refused(made(), Examples(x, y), r"labels = \(-100, 3\).*Examples\(ignore=...\)")
    refused(made(), Examples(*sentences()), "labels of 'test'", evaluate={"test": Examples(x, y)})
    y[3] = -100
    refused(made(), Examples(x, y, ignore=-100), "1 examples with no label but -100")
    with pytest.raises(BadInput, match="ignore"):
        Examples(torch.zeros(4, 2), torch.tensor([0, 1, -100, 1]), ignore=-100)
    with pytest.raises(BadInput, match="ignore = -100.0"):
        Examples(x, y, ignore=-100.0)


def test_classes_on_the_last_axis_are_refused_also_where_the_shape_fits():
    refused(made(last=True), Examples(*sentences()), r"outputs of the net = \(2, 6, 4\).*\[examples, classes, 6\]")
    square = Examples(*sentences(length=CLASSES))
    refused(made(last=True), square, r"\(2, 4, 4\), classes last.*\[examples, classes, 4\]")
    history = fit(made(), square, steps=40, evaluate={"all": square}, **OPTIONS)
    assert history["all_error"].item() < 0.5, "read as meant, it learns"
    refused(made(length=CLASSES), square, "axis 1 or the last may hold the classes")
    refused(made(kind=lambda: nn.Linear(3, 3)), Examples(torch.randn(8, 3), torch.arange(24).view(8, 3) % 3),
            r"\(2, 3\).*one-hot")  # fmt: skip


def test_a_module_that_cannot_be_tried_is_refused_because_its_layout_is_unknown():
    class Fails(Tagger):
        def __deepcopy__(self, memo):
            raise RuntimeError("no copies")

    examples = Examples(*sentences(length=CLASSES))
    net = made(kind=Fails)
    with pytest.raises(BadInput, match="which axis holds the classes.*no copies"):
        fit(net, examples, steps=3, **OPTIONS)


def test_sets_to_judge_on_have_labels_of_the_same_kind():
    x, y = sentences()
    pair = Examples(x, y), Examples(x, y[:, 0])
    refused(made(), pair[0], "outputs of the net", evaluate={"test": pair[1]})
    whole = made(kind=lambda: nn.Sequential(nn.Embedding(WORDS, 2), nn.Flatten(), nn.Linear(2 * LENGTH, CLASSES)))
    refused(whole, pair[1], r"\[examples, classes, 6\]", evaluate={"test": pair[0]})
    longer = Examples(*sentences(length=LENGTH + 3))
    history = fit(made(), pair[0], steps=2, evaluate={"test": longer}, **OPTIONS)
    assert np.isfinite(history["test_loss"]).all(), "of another length"


def test_stacks_take_one_label_an_example():
    examples = Examples(torch.randn(N, 8), torch.zeros(N, 3, dtype=torch.long))
    with pytest.raises(BadInput, match="one per example for stacks"):
        fit(StackedMLP.create((8, 4, 3), (0, 1)), examples, steps=1)


def test_what_may_be_labels_of_replicates_stays_that_unless_told():
    square = torch.zeros(5, 5, dtype=torch.long)
    assert Examples(torch.zeros(5, 2), square).own_labels
    told = Examples(torch.zeros(5, 2), square, per_token=True)
    assert not told.own_labels and told.token_shape == (5,)
    assert dataclasses.replace(told, ignore=3).to("cpu").select([0]).with_inputs(torch.ones(5, 1)).token_shape == (5,)
    rows = torch.zeros(3, 4, dtype=torch.long)
    assert Examples(torch.zeros(5, 2), torch.zeros(3, 4, dtype=torch.long), rows).own_labels
    assert Examples(torch.zeros(5, 2), torch.zeros(5, 3, dtype=torch.long), rows).per_token
    assert Examples(torch.zeros(5, 2), torch.zeros(5, 3, 3, dtype=torch.long)).per_token
    for y in (torch.zeros(5), torch.zeros(5, 3), torch.zeros(5, dtype=torch.long)):
        with pytest.raises(BadInput, match="per_token"):
            Examples(torch.zeros(5, 2), y, per_token=True)
    column = torch.zeros(5, 1, dtype=torch.long)
    with pytest.raises(BadInput, match="per_token=True"):
        Examples(torch.zeros(5, 2), column)
    assert Examples(torch.zeros(5, 2), column, per_token=True).token_shape == (1,)


def test_a_loss_of_the_users_own_has_an_error_only_where_the_classes_are_known():
    examples, square = Examples(*sentences()), Examples(*sentences(length=CLASSES))

    def turned(outputs, y):
        return functional.cross_entropy(outputs.transpose(1, 2), y)

    named = fit(made(), examples, steps=5, evaluate={"all": examples}, **OPTIONS)
    own = fit(made(), examples, steps=5, loss=functional.cross_entropy, evaluate={"all": examples}, **OPTIONS)
    np.testing.assert_allclose(own.batch_loss, named.batch_loss, rtol=1e-5)
    np.testing.assert_allclose(own["all_error"], named["all_error"])
    for part in (examples, square):
        last = fit(made(last=True), part, steps=5, loss=turned, evaluate={"all": part}, **OPTIONS)
        assert np.isnan(last["all_error"]).all() and np.isfinite(last["all_loss"]).all()


@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_one_output_has_no_largest_and_no_error(shape):
    """The largest of one output is always the first: that would be the share of ones."""
    x, y = torch.randn(N, 3), torch.arange(N) % 2

    class Binary(nn.Linear):
        def forward(self, x):
            return super().forward(x).view(len(x), *shape[1:])

    def loss(outputs, y):
        return functional.binary_cross_entropy_with_logits(outputs.flatten(), y.float())

    history = fit(Binary(3, 1), Examples(x, y), loss=loss, steps=3, evaluate={"all": Examples(x, y)}, **OPTIONS)
    assert np.isnan(history["all_error"]).all() and np.isfinite(history["all_loss"]).all()


def test_early_stopping_reads_labels_per_token():
    examples = Examples(*sentences())
    nets = [made(0), made(1)]
    probe = EarlyModules(examples, examples, calls=2)
    history = fit(nets, examples, steps=10, probe_steps=[5, 10], probes={"early": probe}, **OPTIONS)
    expected = [(net(examples.x).argmax(1) != examples.y).double().mean().item() for net in nets]
    assert history["early"][:, -1, 3].tolist() == pytest.approx(expected)


def test_each_module_is_described_once(monkeypatch):
    described, real = [], loop_module.architecture
    monkeypatch.setattr(loop_module, "architecture", lambda net: described.append(net) or real(net))
    nets = [made(0), made(1)]
    fit(nets, Examples(*sentences()), steps=1, **OPTIONS)
    assert len(described) == 2


@pytest.mark.parametrize("what", [(torch.zeros(3, 2), torch.zeros(3)), [1, 2]])
def test_what_is_no_examples_is_named_with_what_makes_some(what):
    with pytest.raises(BadInput, match="examples.*Examples.from_loader"):
        fit(nn.Linear(2, 2), what, steps=1)
    good = Examples(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(BadInput, match="examples of 'test'"):
        fit(nn.Linear(2, 2), good, steps=1, evaluate={"test": what})
