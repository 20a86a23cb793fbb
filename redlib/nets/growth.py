"""Wider nets that start from trained narrower ones."""

from __future__ import annotations

from redlib.errors import BadInput
from redlib.nets.stacked import StackedMLP


def grow(net: StackedMLP, smaller: StackedMLP, scale: float = 0.1) -> None:
    """Put a smaller net into a wider one, in place: its units first, the weights of the new ones times `scale`.

    The default gives new units weights of a hundredth of the usual variance (Belkin et al. 2019, appendix). BadInput
    for nets of other depths, and where a layer of `smaller` is the larger one.
    """
    fits = len(net.sizes) == len(smaller.sizes) and all(a >= b for a, b in zip(net.sizes, smaller.sizes, strict=True))
    if not fits:
        raise BadInput.of(
            "sizes of the smaller net", smaller.sizes, f"none above {net.sizes}", "Grow from a smaller one."
        )
    for mine, theirs in zip((*net.weights, *net.biases), (*smaller.weights, *smaller.biases), strict=True):
        mine.mul_(scale)
        mine[tuple(map(slice, theirs.shape))] = theirs
