"""Small nets that take images: sizes as stated, narrowed by strides, drawn by their seed."""

import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.nets.strided import build_strided


@pytest.mark.parametrize(
    ("name", "widths", "image", "parameters"),
    [("conv", (12, 16), 8, 4462), ("conv", (16, 32, 96), 28, 48_058), ("residual", (8, 16), 8, 6338),
     ("residual", (12, 24, 48), 28, 48_574), ("mlp", (64,), 28, 51_018)],
)  # fmt: skip
def test_nets_have_the_sizes_they_state(name, widths, image, parameters):
    net = build_strided(name, 0, widths, 10, 1, image)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(torch.zeros(2, 1, image, image)).shape == (2, 10)
    assert any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in net.modules())


def test_the_source_s_resnet_18_has_its_eleven_million_weights():
    net = build_strided("resnet18", 0, (64,), 10, 1, 28)
    assert sum(p.numel() for p in net.parameters()) == 11_175_370
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_images_are_halved_until_they_are_four_pixels_wide():
    strides = [p.stride[0] for p in build_strided("conv", 0, (2, 2, 2, 2), 10, 1, 28) if isinstance(p, nn.Conv2d)]
    assert strides == [2, 2, 2, 1], "28, 14, 7, 4, 4"


def test_a_seed_draws_a_net_and_bad_names_are_refused():
    a, b, other = (build_strided("residual", seed, (4, 4), 10, 1, 8).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["0.weight"], other["0.weight"])
    with pytest.raises(BadInput, match="one of"):
        build_strided("cnn", 0, (4,), 10, 1, 8)
    with pytest.raises(BadInput, match="widths"):
        build_strided("conv", 0, (), 10, 1, 8)
