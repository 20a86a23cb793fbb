"""The nets of the deep-double-descent paper by name: ResNet18-k and the 5-layer CNN."""

from __future__ import annotations

from torch import nn

from redlib.errors import BadInput
from redlib.nets.convnets import RandomShiftFlip, cnn5, resnet18k, seeded


def wide_net(
    name: str, seed: int, width: int, classes: int, channels: int, image: int, *, augment: bool = False
) -> nn.Module:
    """Return "resnet18k" or "cnn5" of a width, drawn by its seed; with `augment` it shifts and flips while training.

    These are the nets of Nakkiran et al. (2019); BadInput for another name.
    """
    if name not in ("resnet18k", "cnn5"):
        raise BadInput.of("net", name, "resnet18k or cnn5", "Other conv nets are in redlib.nets.ticketnets.")
    build, sizes = (resnet18k, (channels,)) if name == "resnet18k" else (cnn5, (channels, image))
    net = seeded(build, seed, width, classes, *sizes)
    return nn.Sequential(RandomShiftFlip(seed), net) if augment else net
