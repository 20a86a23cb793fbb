"""Whole Hessians of small nets, and all their eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.measures.curvature.lanczos import Symmetric

MOST = 5000  # parameters: a Hessian of 200 MB a replicate, and as many products
ASYMMETRY = 1e-10  # of the largest entry: float64 leaves some 1e-15


def hessian(matrix: Symmetric, *tails: Symmetric) -> Tensor:
    """Return the Hessians [R, P, P] in float64, a row a product; what is cut has rows and columns of 0.

    `tails` are the same loss as a function of its last parameters alone, of ever fewer: the rows of these are taken
    from them, whose products need not go back through the layers before. They are symmetrised; BadInput where they were
    not symmetric to 1e-10 of their largest entry, which a loss is that draws at random, or is computed in float32, for
    a tail that is no smaller, and for more than 5,000 parameters.
    """
    before = matrix.size - tails[0].size if tails else matrix.size
    if before < 1:
        remedy = "Hold the parameters of the first layers fixed in it."
        raise BadInput.of("parameters of a tail", tails[0].size, f"< {matrix.size}, those of the whole", remedy)
    if matrix.size > MOST:
        remedy = "Ask for top_eigenvalues, spectral_density or trace, which need products alone."
        raise BadInput.of("number of parameters", matrix.size, f"<= {MOST} for a whole Hessian", remedy)
    replicates = len(matrix.seeds)
    unit = torch.zeros(replicates, matrix.size, dtype=torch.float64, device=matrix.device)
    found = torch.empty(replicates, matrix.size, matrix.size, dtype=torch.float64, device=matrix.device)
    for j in range(before):
        unit[:, j] = 1.0
        found[:, j] = matrix.hvp(unit)
        unit[:, j] = 0.0
    if tails:
        found[:, before:, before:] = hessian(*tails)
        found[:, before:, :before] = found[:, :before, before:].mT
    return _symmetric(found)


def eigenvalues(matrix: Symmetric, *tails: Symmetric) -> Tensor:
    """Return all eigenvalues, largest first, float64 [R, P]: one that is 0 for each cut weight. All as `hessian`."""
    return torch.linalg.eigvalsh(hessian(matrix, *tails)).flip(1)


def _symmetric(found: Tensor) -> Tensor:
    off, most = float((found - found.mT).abs().max()), float(found.abs().max())
    if not off <= ASYMMETRY * most:
        remedy = "Use dtype=torch.float64 and a net that draws nothing at random."
        raise BadInput.of("asymmetry of the Hessian", off, f"<= {ASYMMETRY:g} of its largest entry {most:g}", remedy)
    return (found + found.mT) / 2
