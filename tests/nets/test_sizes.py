"""Weights and parameters are counted as torch counts them, and a shrunken net is the widest that fits."""

from __future__ import annotations

from itertools import pairwise

import pytest
from torch import nn

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.sizes import parameter_count, shrunken, weight_count


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_parameters_are_counted_as_torch_counts_them(depth):
    sizes = (40, *[7] * depth, 10)
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    assert parameter_count(sizes) == sum(p.numel() for layer in layers for p in layer.parameters())
    assert weight_count(sizes) == sum(layer.weight.numel() for layer in layers)
    assert StackedMLP.create(sizes, (0, 1)).parameters_each == parameter_count(sizes)


def test_a_shrunken_net_is_the_widest_of_its_proportion_that_fits():
    sizes = (784, 300, 100, 10)
    assert shrunken(sizes, weight_count(sizes)) == [300, 100]
    assert shrunken(sizes, weight_count(sizes) - 1) == [299, 100]
    hidden = shrunken(sizes, 8000)
    wider = (784, hidden[0] + 1, round((hidden[0] + 1) / 3), 10)
    assert hidden == [10, 3] and weight_count((784, *hidden, 10)) <= 8000 < weight_count(wider)
    assert shrunken(sizes, 784 + 1 + 10) == [1, 1]


def test_too_few_weights_for_one_unit_a_layer_are_refused():
    with pytest.raises(BadInput, match="weights = 794"):
        shrunken((784, 300, 100, 10), 794)
