"""How far an input must move before the decision changes: the smallest step along a fixed direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from redlib.errors import BadInput

Logits = Callable[[Tensor], Tensor]


def _cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, y, reduction="sum")


def logit_gap(outputs: Tensor, y: Tensor) -> Tensor:
    """Return [...] how far the logit of class y [...] lies above the largest other one; outputs [..., K]."""
    own = functional.one_hot(y, outputs.shape[-1]).bool()
    return outputs[own].view(y.shape) - outputs.masked_fill(own, -torch.inf).amax(-1)


def _margin(outputs: Tensor, y: Tensor) -> Tensor:
    return -logit_gap(outputs, y).sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": _cross_entropy, "margin": _margin}


def gradient_sign(logits: Logits, x: Tensor, y: Tensor, loss: str = "cross_entropy") -> Tensor:
    """Return the direction of fast gradient sign attacks [n, ...]: sign of d loss / dx.

    Source: Goodfellow, Shlens & Szegedy 2015, section 4, with cross-entropy. Its gradient rounds to 0 where a net is
    certain, and an attack without a direction looks like robustness; `loss="margin"`, the largest other logit minus
    that of y (Carlini & Wagner 2017), has one always. Raises BadInput for another loss.
    """
    if loss not in LOSSES:
        raise BadInput.of("loss", loss, f"one of {list(LOSSES)}", "Take margin where nets are certain.")
    moving = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(LOSSES[loss](logits(moving), y), moving)
    return gradient.sign()


@torch.no_grad()
def smallest_step(logits: Logits, x: Tensor, y: Tensor, direction: Tensor, steps: Sequence[float]) -> Tensor:
    """Return for each example [n] the smallest of the rising `steps` after which it is no longer classified as y.

    0 where it is wrong to begin with, infinity where no step is enough. With the gradient sign as `direction` the unit
    is that of one input (the largest change of any of them). `logits` maps [n, ...] to [n, K].
    Raises BadInput for no steps, or steps that do not rise above 0.
    """
    if not len(steps) or list(steps) != sorted(set(steps)) or steps[0] <= 0:
        raise BadInput.of("steps", list(steps), "rising numbers > 0", "Start with a small one.")
    found = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for step in (*reversed(steps), 0.0):
        found[logits(x + step * direction).argmax(-1) != y] = step
    return found
