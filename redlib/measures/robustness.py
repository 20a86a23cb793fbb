"""How far an input must move before the decision changes: the smallest step along a fixed direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from redlib.errors import BadInput

Logits = Callable[[Tensor], Tensor]


def gradient_sign(logits: Logits, x: Tensor, y: Tensor) -> Tensor:
    """Return the direction of fast gradient sign attacks [n, ...]: sign of d cross-entropy / dx.

    Source: Goodfellow, Shlens & Szegedy 2015, section 4.
    """
    moving = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        loss = functional.cross_entropy(logits(moving), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moving)
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
