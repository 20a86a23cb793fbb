"""Small nets with BatchNorm that take images and narrow them by strides: a conv net, a residual net, an MLP.

They are read out at every place, without a pool over the image: nets of a few thousand parameters then learn single
images by heart, which they hardly do behind a global pool. Weights are drawn from torch's global generator as torch's
layers draw theirs (the MLP's: He normal); see `convnets.seeded`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from redlib.data.torchvision_ops import ensure_torchvision
from redlib.errors import BadInput
from redlib.nets.convnets import seeded
from redlib.nets.normed import normed_mlp
from redlib.nets.ticketnets import Residual

NARROW = 4  # pixels: wider images are halved by every convolution or block


def strided_conv(widths: Sequence[int], classes: int, channels: int, image: int) -> nn.Sequential:
    """Return 3 x 3 convolutions of these numbers of channels, each with BatchNorm and ReLU, and a linear layer.

    12 and 16 channels on grey images of 8 pixels make 4,462 parameters; 16, 32 and 96 on 28 pixels 48,058.
    """
    layers: list[nn.Module] = []
    for width in widths:
        stride, side = _stride(image)
        layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels, image = width, side
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * image**2, classes))


def strided_residual(widths: Sequence[int], classes: int, channels: int, image: int) -> nn.Sequential:
    """Return a convolution with BatchNorm and ReLU, a residual block for every further width, and a linear layer.

    8 and 16 channels on grey images of 8 pixels make 6,338 parameters; 12, 24 and 48 on 28 pixels 48,574.
    """
    stride, image = _stride(image)
    fan_in = widths[0]
    layers: list[nn.Module] = [nn.Conv2d(channels, fan_in, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_in), nn.ReLU()]
    for width in widths[1:]:
        stride, side = _stride(image)
        layers.append(Residual(fan_in, width, stride, projection=True))
        fan_in, image = width, side
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(fan_in * image**2, classes))


def image_mlp(widths: Sequence[int], classes: int, channels: int, image: int) -> nn.Sequential:
    """Return an MLP with BatchNorm (`normed.normed_mlp`) of these numbers of hidden units that takes images."""
    return nn.Sequential(nn.Flatten(), *normed_mlp((channels * image**2, *widths, classes)))


def source_resnet18(widths: Sequence[int], classes: int, channels: int, image: int) -> nn.Module:
    """Return torchvision's ResNet-18 (He et al. 2016), reading `channels`; 11.2 million parameters, widths its own."""
    net: nn.Module = ensure_torchvision().models.resnet18(num_classes=classes)
    net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return net


NETS: dict[str, Callable[[Sequence[int], int, int, int], nn.Module]] = {
    "conv": strided_conv,
    "residual": strided_residual,
    "mlp": image_mlp,
    "resnet18": source_resnet18,
}


def build_strided(name: str, seed: int, widths: Sequence[int], classes: int, channels: int, image: int) -> nn.Module:
    """Return the net `name` for images [B, channels, image, image], drawn from the stream "init" of `seed`.

    BadInput for another name, or where a layer is missing or has no channel.
    """
    if name not in NETS:
        raise BadInput.of("net", name, f"one of {list(NETS)}", "Name one of these.")
    if not widths or min(widths) < 1:
        raise BadInput.of("widths", tuple(widths), "one or more numbers >= 1", "Give every layer its channels.")
    return seeded(NETS[name], seed, widths, classes, channels, image)


def _stride(image: int) -> tuple[int, int]:
    """Return the stride on an image of this width, and the width behind it."""
    return (2, -(-image // 2)) if image > NARROW else (1, image)
