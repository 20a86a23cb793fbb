"""Curvature of the loss at trained nets: Hessians, their spectra, sharpness, and whether SGD can stay there.

`loss_of` makes the mean loss over examples of a StackedMLP, a module or a list of modules; all else takes it, for all R
replicates at once: `hessian` and `eigenvalues` (small nets), `MeanLoss.hvp`, `top_eigenvalues`, `spectral_density`,
`trace`, `box_sharpness`, `adaptive_sharpness`, `stability`. Results are [R, ...], replicates first, in float64 unless
`loss_of` is told otherwise, and everything that is estimated comes with an error. Second derivatives at the kinks of
ReLU are 0, as autograd has them; cut weights do not move. Random probes come from each replicate's seed.
"""

from redlib.measures.curvature.dense import eigenvalues, hessian
from redlib.measures.curvature.lanczos import (
    Density,
    Eigenpairs,
    Operator,
    spectral_density,
    top_eigenvalues,
    trace,
)
from redlib.measures.curvature.loss import MeanLoss, loss_of
from redlib.measures.curvature.sgd import Stability, bounds, covariance, non_uniformity, stability
from redlib.measures.curvature.sharpness import adaptive_sharpness, box_sharpness, scaled, scales

__all__ = [
    "Density",
    "Eigenpairs",
    "MeanLoss",
    "Operator",
    "Stability",
    "adaptive_sharpness",
    "bounds",
    "box_sharpness",
    "covariance",
    "eigenvalues",
    "hessian",
    "loss_of",
    "non_uniformity",
    "scaled",
    "scales",
    "spectral_density",
    "stability",
    "top_eigenvalues",
    "trace",
]
