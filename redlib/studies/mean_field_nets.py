"""Nets and starting laws of the mean-field study: tanh nets with skips over two layers, and orthogonal weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from redlib.nets import StackedMLP
from redlib.nets.initialisers import Initialiser, Layer


class ResidualTanh(StackedMLP):
    """R tanh nets with skips over two layers, added before the activation: h₁, h₂, h₃ + h₁, h₄, h₅ + h₃ …

    Hidden layers are equally wide; every second one, from the third on, takes up the skip.
    """

    def _forward(self, x: Tensor, buffers: Sequence[Tensor]) -> list[Tensor]:
        carried: Tensor | None = None
        for layer, (block, out, units) in enumerate(zip(self.blocks, buffers, self.sizes[1:], strict=True)):
            torch.bmm(x, block.transpose(1, 2), out=out)
            if layer < len(self.blocks) - 1:
                if layer % 2 == 0:
                    carried = out.clone() if carried is None else out.add_(carried).clone()
                out.tanh_()
                out[..., units] = 1.0  # the constant unit that carries the next layer's biases
            x = out
        return list(buffers)

    def _backward(self, inputs: list[Tensor], outs: list[Tensor], beta: float, buffers: list[Tensor]) -> None:
        delta = inputs[-1]
        skip: Tensor | None = None
        for layer in range(len(self.blocks) - 1, -1, -1):
            below = delta
            if layer:
                below = torch.bmm(delta, self.blocks[layer], out=buffers[layer - 1])
                self._through_activation(below, inputs[layer])
                below[..., self.sizes[layer]] = 0.0
                if layer % 2:
                    skip = below if skip is None else below.add_(skip)
            torch.baddbmm(outs[layer], delta.transpose(1, 2), inputs[layer], beta=beta, out=outs[layer])
            delta = below


def orthogonal(gain: float, sigma_b: float) -> Initialiser:
    """Return an initialiser of biases N(0, σ_b²) and W = gain·Q, QᵀQ = 1 or QQᵀ = 1, whichever the shape allows.

    Q comes from the QR decomposition of a normal matrix, with R's diagonal made positive, so that Q is uniform
    (Mezzadri 2007).
    """

    def draw(source: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
        q, r = np.linalg.qr(source.standard_normal((max(fan_out, fan_in), min(fan_out, fan_in))))
        q = gain * q * np.sign(np.diag(r))
        return q if fan_out >= fan_in else q.T, sigma_b * source.standard_normal(fan_out)

    return draw
