"""MLPs with BatchNorm: their layers, and sizes that are none."""

from __future__ import annotations

import pytest
from torch import nn

from redlib.errors import BadInput
from redlib.nets.convnets import cnn5
from redlib.nets.normed import normed_mlp


def test_every_layer_but_the_last_is_normalised():
    kinds = [type(part) for part in normed_mlp((5, 4, 3, 2))]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear]


@pytest.mark.parametrize("sizes", [(), (5,), (5, 0, 2)])
def test_layers_without_units_are_refused(sizes):
    with pytest.raises(BadInput, match="sizes"):
        normed_mlp(sizes)


def test_images_without_pixels_are_refused():
    with pytest.raises(BadInput, match="image = 0"):
        cnn5(2, image=0)
