"""Small nets and data for the tests of curvature."""

from __future__ import annotations

import torch

from redlib.nets.stacked import StackedMLP
from redlib.training.examples import Examples

DOUBLE = torch.float64


def drawn(count):
    """Return that many examples of four features and three classes."""
    g = torch.Generator().manual_seed(0)
    return Examples(torch.randn(count, 4, generator=g, dtype=DOUBLE), torch.randint(3, (count,), generator=g))


def stack(activation="relu", seeds=(3, 4)):
    """Return small nets for these examples."""
    return StackedMLP.create((4, 5, 3), seeds, activation, dtype=DOUBLE)
