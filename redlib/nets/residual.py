"""Stacked MLPs with skip connections, their gradients written by hand like those of `StackedMLP`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redlib.nets.losses import output_delta
from redlib.nets.stacked import StackedMLP


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


class ResidualMLP(StackedMLP):
    """R nets h = relu(W1 x + b1), out = W3 (h + relu(W2 h + b2)) + b3; masks cover the biases.

    Masks and what they act on are [R, out, in + 1]: the last column is the bias.
    """

    def joined(self) -> dict[str, Tensor]:
        """Return views of weights and bias of each layer side by side, layer1… -> [R, out, in + 1]."""
        triples = zip(self.blocks, self.sizes[:-1], self.sizes[1:], strict=True)
        return {f"layer{i}": block[:, :out, : fan_in + 1] for i, (block, fan_in, out) in enumerate(triples, 1)}

    def apply_masks(self, masks: Sequence[Tensor | None]) -> None:
        """Set masks [R, out, in + 1] (True = kept) and zero the weights and biases that they cut."""
        for mask, values in zip(masks, self.joined().values(), strict=True):
            if mask is not None:
                values.mul_(mask)
        self.masks = list(masks)

    def gate(self) -> Tensor | None:
        """Return the masks in the layout of `flat` (1 where an optimiser may write), or None when dense."""
        if not self.masks:
            return None
        gate = torch.ones_like(self.flat)
        for view, mask in zip(self.views(gate), self.masks, strict=True):
            if mask is not None:
                view[:, : mask.shape[1], : mask.shape[2]] = mask.to(gate.dtype)
        return gate

    def hidden(self, x: Tensor) -> list[Tensor]:
        """Return [x, h, h + relu(W2 h + b2), logits], each [R, B, units]; x is padded or not, shared or not."""
        x = x if x.dim() == 3 else x.expand(self.replicates, *x.shape)
        x = x if x.shape[2] == self.blocks[0].shape[2] else self.pad(x)
        h, branch, logits = self._pass(x)
        return [layer[..., :n] for layer, n in zip((x, h, h + branch, logits), self.sizes, strict=True)]

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        """Set `out` to beta * out + scale * gradient of the mean batch loss; return the losses [R], as StackedMLP."""
        h, branch, logits = self._pass(x)
        losses = output_delta(logits[..., : self.sizes[-1]], y, loss, scale)
        above = torch.bmm(logits, self.blocks[2])  # logits hold their derivative now
        inner = torch.ops.aten.threshold_backward(above, branch, 0)
        below = torch.baddbmm(above, inner, self.blocks[1])  # the skip connection hands `above` on
        below = torch.ops.aten.threshold_backward(below, h, 0)
        below[..., self.sizes[1]] = 0.0
        for target, delta, inputs in zip(self.views(out), (below, inner, logits), (x, h, h + branch), strict=True):
            torch.baddbmm(target, delta.transpose(1, 2), inputs, beta=beta, out=target)
        return losses

    def _pass(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = (block.transpose(1, 2) for block in self.blocks)
        h = torch.bmm(x, first).relu_()
        h[..., self.sizes[1]] = 1.0  # the constant unit; it is zero in the branch and so stays 1 in the sum
        branch = torch.bmm(h, second).relu_()
        return h, branch, torch.bmm(h + branch, third)
