"""Hessian products and extreme eigenvalues against curvlinops (Dangel et al.), where it is installed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from redlib.measures.curvature import loss_of, top_eigenvalues
from redlib.nets.stacked import StackedMLP, unstacked
from redlib.nets.strided import build_strided
from redlib.training.examples import Examples

curvlinops = pytest.importorskip("curvlinops")
DOUBLE = torch.float64


def theirs(net, examples):
    """The Hessian of a module as curvlinops has it, in two batches of unequal size."""
    batches = [(examples.x[part], examples.y[part]) for part in (slice(0, 8), slice(8, None))]
    parameters = list(net.parameters())
    return curvlinops.HessianLinearOperator(net, nn.CrossEntropyLoss(), parameters, batches, num_data=len(examples))


@pytest.mark.parametrize("kind", ["stack", "conv"])
def test_products_and_top_eigenvalues_are_those_of_curvlinops(kind):
    g = torch.Generator().manual_seed(0)
    y = torch.randint(3, (13,), generator=g)
    if kind == "stack":
        net = StackedMLP.create((4, 5, 3), (0, 1), dtype=DOUBLE)
        x, nets = torch.randn(13, 4, generator=g, dtype=DOUBLE), [unstacked(net, r) for r in range(2)]
    else:
        x = torch.rand(13, 1, 4, 4, generator=g, dtype=DOUBLE)
        net = nets = [build_strided("conv", seed, (2,), 3, 1, 4).double().eval() for seed in (0, 1)]
    loss = loss_of(net, Examples(x, y))
    v = torch.randn(2, loss.size, generator=g, dtype=DOUBLE)
    for r, one in enumerate(nets):
        other = theirs(one, Examples(x, y))
        assert torch.allclose(loss.hvp(v)[r], other @ v[r], atol=1e-13)
        full = other @ torch.eye(loss.size, dtype=DOUBLE)
        assert torch.allclose(top_eigenvalues(loss).values[r, 0], torch.linalg.eigvalsh(full)[-1], rtol=1e-9)
