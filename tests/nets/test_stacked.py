"""A stack is taken apart and put together again without a bit changed."""

from __future__ import annotations

import pytest
import torch

from redlib.errors import BadInput
from redlib.nets import StackedMLP

SIZES, SEEDS = (5, 6, 3), (3, 8, 9, 4)


def test_a_vector_put_back_gives_the_same_net_and_leaves_the_other_alone():
    net, other = StackedMLP.create(SIZES, SEEDS), StackedMLP.create(SIZES, range(4))
    before = other.flat.clone()
    back = other.with_vector(net.vector())
    assert torch.equal(back.flat, net.flat) and back.seeds == other.seeds
    assert torch.equal(other.flat, before)
    for wrong in (net.vector()[:2], net.vector()[:, 1:]):
        with pytest.raises(BadInput, match="shape of parameters"):
            net.with_vector(wrong)


def test_a_stack_splits_into_stacks_of_its_replicates_in_order():
    net = StackedMLP.create(SIZES, SEEDS)
    net.apply_masks([torch.rand(4, 6, 5) > 0.5, None])
    halves = net.split(2)
    assert [half.seeds for half in halves] == [(3, 8), (9, 4)]
    assert torch.equal(torch.cat([half.vector() for half in halves]), net.vector())
    assert torch.equal(halves[1].masks[0], net.masks[0][2:]) and halves[1].masks[1] is None
    halves[0].flat.zero_()
    assert net.flat.abs().max() > 0, "a part is a copy"
    for wrong in (3, 0):
        with pytest.raises(BadInput, match="parts"):
            net.split(wrong)
