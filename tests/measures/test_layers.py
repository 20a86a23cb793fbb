"""Layers of stacks and of modules are the same, whatever the batch, and the classifier reads the features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures import layers
from redlib.nets import StackedMLP
from redlib.nets.normed import normed_mlp
from redlib.nets.ticketnets import build


@pytest.fixture
def net():
    return StackedMLP.create((6, 8, 7, 3), (4, 5))


@pytest.fixture
def x():
    return torch.randn(11, 6, generator=torch.Generator().manual_seed(0))


def test_layers_of_modules_are_those_of_the_stack(net, x):
    stacked, modules = layers.layers_of(net, x), layers.layers_of(layers.replicates_of(net), x)
    assert [tuple(layer.shape) for layer in stacked] == [(2, 11, n) for n in net.sizes]
    for mine, theirs in zip(stacked, modules, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_classifier_turns_features_into_logits(net, x):
    for one in (net, layers.replicates_of(net), [normed_mlp((6, 9, 3)) for _ in range(2)]):
        features, logits = layers.last_layers(one, x)
        weights, biases = layers.classifier_of(one)
        torch.testing.assert_close(features @ weights.mT + biases[:, None], logits)


def test_batches_do_not_change_the_last_layers(net, x, monkeypatch):
    whole = layers.last_layers(net, x)
    monkeypatch.setattr(layers, "BATCH", 4)
    for mine, parts in zip(whole, layers.last_layers(net, x), strict=True):
        torch.testing.assert_close(mine, parts)


def test_replicates_may_have_examples_of_their_own(net, x, monkeypatch):
    own = torch.stack([x, x.flip(0)])
    for one in (net, layers.replicates_of(net)):
        found, shared = layers.layers_of(one, own, own=True), layers.layers_of(one, x)
        for mine, theirs in zip(found, shared, strict=True):
            torch.testing.assert_close(mine, torch.stack([theirs[0], theirs[1].flip(0)]))
        monkeypatch.setattr(layers, "BATCH", 4)
        for mine, theirs in zip(layers.last_layers(one, own, own=True), found[-2:], strict=True):
            torch.testing.assert_close(mine, theirs)
        with pytest.raises(BadInput, match="replicates in x"):
            layers.layers_of(one, own[:1], own=True)
        with pytest.raises(BadInput, match="number of examples"):
            layers.last_layers(one, own[:, :0], own=True)


def test_layers_of_conv_nets_are_flat_and_normalised_as_in_evaluation():
    conv = build("small_conv", 0, 10, 1, 8, width=4)
    images = torch.randn(5, 1, 8, 8)
    found = layers.layers_of([conv.train()], images)
    assert torch.equal(found[0][0], images.flatten(1)) and found[-2].shape == (1, 5, 16)
    assert torch.equal(found[-1][0], conv.eval()(images))
    assert all(layer.dim() == 3 for layer in found)


def test_replicates_of_a_stack_are_copies_and_modules_are_themselves(net):
    module = normed_mlp((6, 9, 3))
    assert layers.replicates_of([module])[0] is module
    copies = layers.replicates_of(net)
    copies[1][0].weight.data.zero_()
    assert len(copies) == 2 and bool(net.weights[0][1].any())


def test_every_kind_of_layer_with_weights_is_one():
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.ConvTranspose1d(3, 2, 3), nn.Flatten(), nn.Linear(12, 4))
    x = torch.randn(5, 2, 6)
    found = layers.layers_of([net], x)
    assert [tuple(layer.shape) for layer in found] == [(1, 5, 12), (1, 5, 12), (1, 5, 12), (1, 5, 4)]
    assert torch.equal(found[1][0], net[1](net[0](x)).flatten(1))


def test_nets_without_these_layers_are_refused(x):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(7, 3), nn.Linear(6, 7)

        def forward(self, x):
            return self.last(self.first(x))

    with pytest.raises(BadInput, match="Sequential"):
        layers.layers_of([Own()], x)
    for net in (nn.Conv1d(2, 3, 3), nn.Sequential(nn.Linear(6, 3, bias=False))):
        with pytest.raises(BadInput, match="linear layers with a bias"):
            layers.classifier_of([net])
    with pytest.raises(BadInput, match="number of examples"):
        layers.last_layers([nn.Sequential(nn.Linear(6, 3))], x[:0])
