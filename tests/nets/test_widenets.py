"""The paper's nets by name: the nets of `convnets`, drawn by their seed, shifted and flipped on request."""

import pytest
import torch

from redlib.errors import BadInput
from redlib.nets.convnets import RandomShiftFlip, cnn5, resnet18k, seeded
from redlib.nets.widenets import wide_net


@pytest.mark.parametrize(
    "name, plain", [("resnet18k", seeded(resnet18k, 3, 2, 10, 1)), ("cnn5", seeded(cnn5, 3, 2, 10, 1, 8))]
)
def test_a_net_by_name_is_that_net(name, plain):
    net = wide_net(name, 3, 2, 10, 1, 8)
    mine, theirs = (torch.cat([p.flatten() for p in each.parameters()]) for each in (net, plain))
    assert torch.equal(mine, theirs)
    assert not torch.equal(mine, torch.cat([p.flatten() for p in wide_net(name, 4, 2, 10, 1, 8).parameters()]))
    assert isinstance(wide_net(name, 3, 2, 10, 1, 8, augment=True)[0], RandomShiftFlip)


def test_other_nets_are_refused():
    with pytest.raises(BadInput, match="resnet18k or cnn5"):
        wide_net("vgg", 3, 2, 10, 1, 8)
