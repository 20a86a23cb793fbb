"""How large a plain MLP is, from its sizes: (inputs, hidden ..., outputs)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from redlib.errors import BadInput


def weight_count(sizes: Sequence[int]) -> int:
    """Return the number of weights, without biases."""
    return sum(a * b for a, b in pairwise(sizes))


def parameter_count(sizes: Sequence[int]) -> int:
    """Return the number of weights and biases."""
    return sum((a + 1) * b for a, b in pairwise(sizes))


def shrunken(sizes: Sequence[int], weights: int) -> list[int]:
    """Return hidden widths in the same proportion with at most `weights` weights, at least one unit each.

    The first hidden layer is as wide as it can be. BadInput where even one unit a layer has more weights.
    """
    for width in range(sizes[1], 0, -1):
        hidden = [max(1, round(width * h / sizes[1])) for h in sizes[1:-1]]
        if weight_count((sizes[0], *hidden, sizes[-1])) <= weights:
            return hidden
    raise BadInput.of("weights", weights, "enough for one unit a layer", "Keep more weights.")
