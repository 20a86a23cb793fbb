"""A net that grows from a smaller one is that net, with small new units beside it."""

import pytest
import torch

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.growth import grow

SEEDS = (1000, 1001)


def test_a_grown_net_holds_the_smaller_one_and_its_new_weights_are_small():
    net, smaller = StackedMLP.create((4, 6, 3), SEEDS), StackedMLP.create((4, 2, 3), SEEDS)
    drawn = [weights.clone() for weights in net.weights]
    grow(net, smaller)
    assert torch.equal(net.weights[0][:, :2], smaller.weights[0])
    assert torch.equal(net.weights[1][:, :, :2], smaller.weights[1])
    assert torch.equal(net.biases[1], smaller.biases[1])
    assert torch.allclose(net.weights[0][:, 2:], 0.1 * drawn[0][:, 2:])


def test_without_its_new_units_it_says_the_same():
    net, smaller = StackedMLP.create((4, 6, 3), SEEDS), StackedMLP.create((4, 2, 3), SEEDS)
    grow(net, smaller, scale=0.0)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(net.logits(x), smaller.logits(x), atol=1e-6)


@pytest.mark.parametrize("sizes", [(4, 7, 3), (4, 6, 4), (4, 2, 2, 3)])
def test_a_net_that_does_not_fit_in_is_refused(sizes):
    with pytest.raises(BadInput, match="smaller net"):
        grow(StackedMLP.create((4, 6, 3), SEEDS), StackedMLP.create(sizes, SEEDS))
