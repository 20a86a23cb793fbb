"""The nets of the ticket papers: Conv-2/4/6, ResNet-20 and VGG for CIFAR, and a small conv net, by name and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.streams import torch_rng
from redlib.errors import BadInput
from redlib.nets.convnets import seeded

POOL = 0  # a 2 x 2 max-pool in a plan of channels
VGG = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions of each block (Simonyan & Zisserman 2015, table 1)


class Dropout(nn.Module):
    """While training, zero each input with probability p and scale the rest by 1 / (1 - p) (Srivastava et al. 2014).

    Draws from its replicate's own generator, so that a net's result does not depend on the nets trained beside it.
    """

    def __init__(self, p: float, source: torch.Generator):
        super().__init__()
        if not 0 <= p < 1:
            raise BadInput.of("dropout", p, "0 <= p < 1", "Pass the fraction of units DROPPED.")
        self.p, self.source = p, source

    def forward(self, x: Tensor) -> Tensor:
        """Return the thinned inputs, or x itself in evaluation mode."""
        if not self.training:
            return x
        kept = torch.rand(x.shape, generator=self.source).to(x.device) >= self.p
        return x * kept / (1 - self.p)


class Residual(nn.Module):
    """Post-activation block of two convolutions, [B, in, h, w] -> [B, out, h/stride, w/stride] (He et al. 2016).

    Where the shape changes the shortcut is a 1 x 1 convolution (`projection`, option B) or subsamples and adds
    channels of zeros (option A, no parameters).
    """

    def __init__(self, fan_in: int, fan_out: int, stride: int, projection: bool):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out)
        self.conv2, self.norm2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.BatchNorm2d(fan_out)
        self.stride, self.missing = stride, fan_out - fan_in
        changes = stride != 1 or bool(self.missing)
        self.skip: nn.Module | None = None
        if changes and projection:
            self.skip = nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified sum of the shortcut and the two convolutions."""
        out = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(out + (self._zeros_added(x) if self.skip is None else self.skip(x)))

    def _zeros_added(self, x: Tensor) -> Tensor:
        before = self.missing // 2
        thinned = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(thinned, (0, 0, 0, 0, before, self.missing - before))


def conv_n(
    convolutions: int, seed: int, classes: int, channels: int, image: int, *, width: float = 1.0, dropout: float = 0.0
) -> nn.Sequential:
    """Return Conv-2, -4 or -6: pairs of 64, 128, 256 channels, each pair max-pooled, then 256, 256, classes.

    `width` scales channels and hidden units alike; `dropout` acts behind both hidden layers, drawing from `seed`
    (Frankle & Carbin 2019, fig. 2).
    """
    pairs = [_scaled(channels_of_pair, width) for channels_of_pair in (64, 128, 256)[: convolutions // 2]]
    side = image // 2 ** len(pairs)
    if side < 1:
        raise BadInput.of("image", image, f">= {2 ** len(pairs)} pixels", "Each pair of convolutions halves it.")
    layers, fan_in = _convolutions([w for pair in pairs for w in (pair, pair, POOL)], channels, norm=False)
    layers.append(nn.Flatten())
    fan_in, hidden = fan_in * side**2, _scaled(256, width)
    source = torch_rng(seed, "augment")
    for _ in range(2):
        layers += [nn.Linear(fan_in, hidden), nn.ReLU()] + ([Dropout(dropout, source)] if dropout else [])
        fan_in = hidden
    return nn.Sequential(*layers, nn.Linear(fan_in, classes))


def vgg(depth: int, seed: int, classes: int, channels: int, image: int, *, width: float = 1.0) -> nn.Sequential:
    """Return VGG-16 or VGG-19 for CIFAR: BatchNorm, no hidden linear layers, a global average pool (20.0M weights).

    Four max-pools, so `image` is at least 16 pixels (Frankle & Carbin 2019, fig. 2; `seed` is not used).
    """
    if image < 16:
        raise BadInput.of("image", image, ">= 16 pixels", "Four max-pools halve it; take small_conv.")
    plan: list[int] = []
    for count, size in zip(VGG[depth], (64, 128, 256, 512, 512), strict=True):
        plan += [_scaled(size, width)] * count + [POOL]
    return _pooled(plan[:-1], classes, channels)


def resnet20(
    seed: int, classes: int, channels: int, image: int, *, width: float = 1.0, projection: bool = True
) -> nn.Sequential:
    """Return ResNet-20 for CIFAR: 3 stages of 3 blocks of 16, 32, 64 channels (He et al. 2016, section 4.2).

    The ticket papers' net has 1 x 1 convolutions where the shape changes (272,474 parameters); `projection=False`
    is the parameter-free shortcut of He et al. (269,722). `seed` and `image` are not used.
    """
    fan_in = _scaled(16, width)
    layers: list[nn.Module] = [nn.Conv2d(channels, fan_in, 3, padding=1, bias=False), nn.BatchNorm2d(fan_in), nn.ReLU()]
    for stage in range(3):
        fan_out = _scaled(16 * 2**stage, width)
        for block in range(3):
            layers.append(Residual(fan_in, fan_out, 2 if stage and not block else 1, projection))
            fan_in = fan_out
    return nn.Sequential(*layers, *_head(fan_in, classes))


def small_conv(seed: int, classes: int, channels: int, image: int, *, width: float = 16) -> nn.Sequential:
    """Return four convolutions with BatchNorm, w, 2w, pool, 2w, 4w channels behind a first pool, and a linear layer.

    33,338 parameters for w = 16 on grey images of any size >= 4 pixels, 2,294 for w = 4. `seed` is not used.
    """
    if image < 4:
        raise BadInput.of("image", image, ">= 4 pixels", "Two max-pools halve it.")
    first = _scaled(1, width)
    return _pooled([first, POOL, 2 * first, POOL, 2 * first, 4 * first], classes, channels)


Build = Callable[..., nn.Sequential]


def _numbered(make: Build, number: int) -> Build:
    return lambda *args, **options: make(number, *args, **options)


NETS: dict[str, tuple[Build, str]] = {
    "conv2": (_numbered(conv_n, 2), "glorot"),
    "conv4": (_numbered(conv_n, 4), "glorot"),
    "conv6": (_numbered(conv_n, 6), "glorot"),
    "resnet20": (resnet20, "he"),
    "vgg16": (_numbered(vgg, 16), "he"),
    "vgg19": (_numbered(vgg, 19), "he"),
    "small_conv": (small_conv, "he"),
}
"""Name -> (builder, how its weights are drawn)."""


def build(name: str, seed: int, classes: int, channels: int, image: int, **options: Any) -> nn.Module:
    """Return the net `name` for images [B, channels, image, image], all weights from `seed`'s stream "init".

    Weights are Glorot normal in Conv-2/4/6 (Frankle & Carbin 2019, fig. 2) and He normal in nets with BatchNorm
    (He et al. 2015, eq. 10); biases are zero. BadInput for an unknown name, width or image size.
    """
    if name not in NETS:
        raise BadInput.of("net", name, f"one of {sorted(NETS)}", "Name one of these.")
    make, init = NETS[name]
    return seeded(_drawn, seed, make, init, seed, classes, channels, image, **options)


def _drawn(make: Build, init: str, *args: Any, **options: Any) -> nn.Module:
    net = make(*args, **options)
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            if init == "glorot":
                nn.init.xavier_normal_(part.weight)
            else:
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return net


def _pooled(plan: Sequence[int], classes: int, channels: int) -> nn.Sequential:
    layers, last = _convolutions(plan, channels, norm=True)
    return nn.Sequential(*layers, *_head(last, classes))


def _head(fan_in: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, classes)]


def _convolutions(plan: Sequence[int], channels: int, norm: bool) -> tuple[list[nn.Module], int]:
    """Return (3 x 3 convolutions with ReLU and pools as planned, the number of channels they end with)."""
    layers: list[nn.Module] = []
    for width in plan:
        if width == POOL:
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(width), nn.ReLU()] if norm else [nn.ReLU()]
        channels = width
    return layers, channels


def _scaled(size: int, width: float) -> int:
    if not width > 0 or round(size * width) < 1:
        raise BadInput.of("width", width, f"large enough for {size} * width >= 1", "1 is the paper's width.")
    return round(size * width)
