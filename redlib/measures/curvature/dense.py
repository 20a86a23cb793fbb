"""Whole Hessians of small nets, and all their eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.measures.curvature.lanczos import Symmetric

MOST = 5000  # parameters: a Hessian of 200 MB a replicate, and as many products
ASYMMETRY = 1e-10  # of the largest entry: float64 leaves some 1e-15


def hessian(matrix: Symmetric) -> Tensor:
    """Return the Hessians [R, P, P] in float64, a row a product; what is cut has rows and columns of 0.

    They are symmetrised; BadInput where they were not symmetric to 1e-10 of their largest entry, which a
    loss is that draws at random, or is computed in float32, and for more than 5,000 parameters.
    """
    if matrix.size > MOST:
        remedy = "Ask for top_eigenvalues, spectral_density or trace, which need products alone."
        raise BadInput.of("number of parameters", matrix.size, f"<= {MOST} for a whole Hessian", remedy)
    replicates = len(matrix.seeds)
    unit = torch.zeros(replicates, matrix.size, dtype=torch.float64, device=matrix.device)
    found = torch.empty(replicates, matrix.size, matrix.size, dtype=torch.float64, device=matrix.device)
    for j in range(matrix.size):
        unit[:, j] = 1.0
        found[:, j] = matrix.hvp(unit)
        unit[:, j] = 0.0
    return _symmetric(found)


def eigenvalues(matrix: Symmetric) -> Tensor:
    """Return all eigenvalues, largest first, float64 [R, P]: one that is 0 for each cut weight. Errors as `hessian`."""
    return torch.linalg.eigvalsh(hessian(matrix)).flip(1)


def _symmetric(found: Tensor) -> Tensor:
    off, most = float((found - found.mT).abs().max()), float(found.abs().max())
    if not off <= ASYMMETRY * most:
        remedy = "Use dtype=torch.float64 and a net that draws nothing at random."
        raise BadInput.of("asymmetry of the Hessian", off, f"<= {ASYMMETRY:g} of its largest entry {most:g}", remedy)
    return (found + found.mT) / 2
