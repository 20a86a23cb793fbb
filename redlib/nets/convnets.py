"""Conv nets: the 5-layer CNN and pre-activation ResNet18 of the deep-double-descent paper, and plain tanh nets."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.streams import rng, torch_rng
from redlib.errors import BadInput


def cnn5(width: int, classes: int = 10, channels: int = 3, image: int = 32) -> nn.Sequential:
    """Return the 5-layer CNN with channels k, 2k, 4k, 8k and max-pools 1, 2, 2, 8 (Nakkiran et al. 2019, app. B).

    Takes images [B, channels, image, image] with `image` a multiple of 4; the last pool takes what is left.
    """
    _check_width(width)
    if image % 4 or image < 4:
        raise BadInput.of("image", image, "a multiple of 4 pixels", "Pad the images first.")
    layers: list[nn.Module] = []
    widths = [channels, width, 2 * width, 4 * width, 8 * width]
    for fan_in, fan_out, pool in zip(widths[:-1], widths[1:], (1, 2, 2, image // 4), strict=True):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] if pool > 1 else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width, classes))


class PreActBlock(nn.Module):
    """Pre-activation residual block, [B, in, h, w] -> [B, out, h/stride, w/stride] (He et al. 2016, fig. 1b)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(fan_in), nn.BatchNorm2d(fan_out)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        same = stride == 1 and fan_in == fan_out
        self.skip = None if same else nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (projected where the shape changes) plus two convolutions of it."""
        active = functional.relu(self.norm1(x))
        out = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return out + (x if self.skip is None else self.skip(active))


def resnet18k(width: int, classes: int = 10, channels: int = 3) -> nn.Sequential:
    """Return the pre-activation ResNet18 with channels k, 2k, 4k, 8k; k = 64 is the standard net (Nakkiran 2019)."""
    _check_width(width)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
    fan_in = width
    for stage in range(4):
        for block in range(2):
            fan_out = width * 2**stage
            layers.append(PreActBlock(fan_in, fan_out, 2 if stage and not block else 1))
            fan_in = fan_out
    head = [nn.BatchNorm2d(fan_in), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, classes)]
    return nn.Sequential(*layers, *head)


def tanh_conv(
    layers: int, channels: int, classes: int, inputs: int, *, sigma_w: float, sigma_b: float, rows: bool = False
) -> nn.Sequential:
    """Return 3-wide convolutions with tanh, a mean over all places and a linear layer, drawn as mean-field theory has.

    Takes images [B, inputs, h, w], or with `rows` [B, inputs, n]. Weights are N(0, sigma_w^2 / fan_in) and biases
    N(0, sigma_b^2) (Xiao et al. 2018, eq. 2.1), from torch's global generator: see `seeded`.
    """
    if layers < 1:
        raise BadInput.of("layers", layers, ">= 1 convolution", "Build a deeper net.")
    _check_width(channels)
    conv, pool = (nn.Conv1d, nn.AdaptiveAvgPool1d) if rows else (nn.Conv2d, nn.AdaptiveAvgPool2d)
    parts: list[nn.Module] = []
    for fan_in in (inputs, *[channels] * (layers - 1)):
        parts += [conv(fan_in, channels, 3, padding=1), nn.Tanh()]
    net = nn.Sequential(*parts, pool(1), nn.Flatten(), nn.Linear(channels, classes))
    for part in net:
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=sigma_w / sqrt(part.weight[0].numel()))
            nn.init.normal_(part.bias, std=sigma_b)  # type: ignore[arg-type]
    return net


class RandomShiftFlip(nn.Module):
    """While training, shift each image [B, C, h, w] by up to `pad` pixels (zeros enter) and flip half of them."""

    def __init__(self, seed: int, pad: int = 4):
        super().__init__()
        self.pad, self.source = pad, rng(seed, "augment")

    def forward(self, x: Tensor) -> Tensor:
        """Return the augmented images, or x itself in evaluation mode."""
        if not self.training:
            return x
        count, _, height, width = x.shape
        shifts = self.source.integers(0, 2 * self.pad + 1, (2, count, 1))
        flip = self.source.integers(0, 2, (count, 1)).astype(bool)
        rows = shifts[0] + np.arange(height)
        columns = shifts[1] + np.where(flip, np.arange(width)[::-1], np.arange(width))
        row, column = (torch.from_numpy(i).to(x.device) for i in (rows, columns))
        padded = functional.pad(x, [self.pad] * 4).permute(0, 2, 3, 1)
        image = torch.arange(count, device=x.device)[:, None, None]
        return padded[image, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)


def seeded(build: Callable[..., nn.Module], seed: int, *args: Any, **kwargs: Any) -> nn.Module:
    """Return build(*args, **kwargs) with torch's global generator set from the stream "init", then restored."""
    before = torch.random.get_rng_state()
    try:
        torch.manual_seed(torch_rng(seed, "init").initial_seed())
        return build(*args, **kwargs)
    finally:
        torch.random.set_rng_state(before)


def _check_width(width: int) -> None:
    if width < 1:
        raise BadInput.of("width", width, ">= 1 channel", "Width is the number of channels of the first layer.")
