"""The two losses of the stacked nets, each with its derivative at the output, and the errors they are read by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from redlib.errors import BadInput

LOSSES = ("cross_entropy", "mse")
Loss = str | Callable[[Tensor, Tensor], Tensor]  # a name, or (outputs, targets) -> mean over the examples


def check_loss(loss: str) -> str:
    """Return `loss` if it is known, else raise BadInput."""
    if loss not in LOSSES:
        raise BadInput.of("loss", loss, f"one of {LOSSES}", "MSE is against one-hot targets.")
    return loss


def output_delta(logits: Tensor, y: Tensor, loss: str, scale: Tensor | float = 1.0) -> Tensor:
    """Overwrite logits [..., B, K] by scale * d (mean batch loss) / d logits; return the losses [...].

    y [..., B] labels broadcast over the leading axes; scale is a number or a tensor [...].
    Cross-entropy: softmax minus one-hot, over B. MSE: mean over examples *and* outputs, as torch's `mse_loss`.
    """
    batch, outputs = logits.shape[-2:]
    index = y[..., None].expand(*logits.shape[:-1], 1)
    minus_one = logits.new_full((), -1.0).expand(index.shape)
    if loss == "mse":
        factor = 2.0 / (batch * outputs)
        delta = logits.scatter_add(-1, index, minus_one)
        losses = delta.square().mean((-2, -1))
    else:
        factor = 1.0 / batch
        # Over few classes this is three times faster on a CPU than log_softmax, which goes row by row.
        delta = logits - logits.amax(-1, keepdim=True)
        delta -= delta.exp().sum(-1, keepdim=True).log_()
        losses = delta.gather(-1, index).mean((-2, -1)).neg_()
        delta.exp_().scatter_add_(-1, index, minus_one)
    torch.mul(delta, factor * (scale[..., None, None] if isinstance(scale, Tensor) else scale), out=logits)
    return losses


def losses_and_errors(logits: Tensor, y: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Return (loss, error) per example, each [..., B]: error is 1.0 where the largest logit is not the label.

    Where the loss is NaN, so is the error: of NaN logits none is the largest.
    """
    index = y[..., None].expand(*logits.shape[:-1], 1)
    wrong = (logits.argmax(-1) != index.squeeze(-1)).to(logits.dtype)
    if loss == "mse":
        target = torch.zeros_like(logits).scatter_(-1, index, 1.0)
        losses = (logits - target).square().mean(-1)
    else:
        losses = -functional.log_softmax(logits, -1).gather(-1, index).squeeze(-1)
    return losses, wrong.masked_fill(losses.isnan(), torch.nan)
