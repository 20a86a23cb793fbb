"""Which units do what others do: correlated ones, and ones that are linear combinations of others.

Activations are [N, units], or [R, N, units] for R replicates, as `activations` returns them. Everything is about how
they vary over the examples, in float64; units that are constant take no part. All raise BadInput for other shapes,
fewer than two units that vary, and what is not finite.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from redlib.errors import BadInput
from redlib.measures.simplex import vector_stack

ROUNDING = 1e-12  # of a share of variance, which is a sum of float64
# Singular values of standardised activations over the largest below which they may be rounding of float64 and float32.
# Directions have errors of 1e-16 and 1e-7, which must be small beside these; 1 - R² is wrong by their squares.
LEAST, LEAST_32 = 1e-8, 1e-5


def correlations(activations: Tensor) -> Tensor:
    """Return the correlation of every pair of units over the examples: [R, units, units]; NaN for constant ones."""
    stack, varied = _varied(activations)
    unit = _standardised(stack)
    found = torch.stack([one.T @ one for one in unit]).clamp(-1, 1)  # one by one: a batch may round otherwise
    return found.masked_fill(~(varied[:, :, None] & varied[:, None]), torch.nan)


def repeated(activations: Tensor, threshold: float = 0.5) -> Tensor:
    """Return for each unit how many others have |correlation| >= `threshold`: float64 [R, units], NaN if constant.

    Casper et al. 2019 (arXiv 1912.04783) call the mean of this over units their similarity, with .5. BadInput unless
    0 < threshold < 1.
    """
    similar = _similar(activations, threshold)
    return (similar.sum(2) - 1).double().masked_fill(~similar.diagonal(dim1=1, dim2=2), torch.nan)


def clusters(activations: Tensor, threshold: float = 0.9) -> Tensor:
    """Return the number of each unit's cluster: int64 [R, units], from 0 in each replicate, -1 for constant units.

    Two units are in one where a chain of |correlations| >= `threshold` joins them. BadInput as `repeated`.
    """
    found = []
    for joined in _similar(activations, threshold).cpu().numpy():
        labels, alive = np.full(len(joined), -1), joined.diagonal()
        labels[alive] = connected_components(joined[np.ix_(alive, alive)], directed=False)[1]
        found.append(torch.from_numpy(labels))
    return torch.stack(found)


def components(activations: Tensor, share: float = 0.95, standardised: bool = False) -> Tensor:
    """Return how many principal components of the units have at least `share` of their variance: int64 [R].

    Redundancy as in Casper et al. 2019: the fewer of them, the more units are redundant. `standardised` gives all units
    the same variance first. BadInput unless 0 < share < 1.
    """
    stack, _ = _varied(activations)
    _check_share("share", share)
    values = _standardised(stack) if standardised else stack - stack.mean(1, keepdim=True)
    variances = torch.stack([torch.linalg.svdvals(one).square() for one in values])
    reached = variances.cumsum(1) / variances.sum(1, keepdim=True)
    return (reached < share - ROUNDING).sum(1) + 1


def explained(activations: Tensor) -> Tensor:
    """Return R² of each unit's least-squares regression on all others, with intercept: [R, units], NaN if constant.

    1 for a linear combination of others, and of units that are independent (units - 1)/(N - 1) on average. With the
    correlations C, R² is 1 - 1/(C⁻¹)_jj. C⁻¹ is taken from the singular values of the activations, which are cut off
    from below where they may be rounding of the given precision: units that are part of an exact dependency get 1, and
    the others what they would without it, and not what rounding errors happen to explain. BadInput unless there are
    more examples than units that vary.
    """
    stack, varied = _varied(activations)
    if stack.shape[1] <= (most := int(varied.sum(1).max())):
        remedy = "With fewer every unit is a combination of others: pass more."
        raise BadInput.of("number of examples", stack.shape[1], f"> {most}, the units that vary", remedy)
    found, least = torch.full_like(stack[:, 0], torch.nan), LEAST if activations.dtype == torch.float64 else LEAST_32
    for own, values, vary in zip(found, stack, varied, strict=True):
        own[vary] = _explained(_standardised(values[:, vary]), least)
    return found


def redundant(activations: Tensor, threshold: float = 0.9) -> Tensor:
    """Return how many units are linear combinations of the others, R² >= `threshold`: int64 [R].

    Of two equal units both count. BadInput as `explained`, and unless 0 < threshold < 1.
    """
    _check_share("threshold", threshold)
    return (explained(activations) >= threshold).sum(1)


def _explained(unit: Tensor, least: float) -> Tensor:
    """Return R² of each column of [N, units] by the others; smaller singular values over the largest are `least`."""
    # Singular values of the activations keep twice the digits that eigenvalues of their products would.
    _, size, directions = torch.linalg.svd(unit, full_matrices=False)
    inverse = (directions / size.clamp(min=least * float(size[0]))[:, None]).square().sum(0)
    return (1 - 1 / inverse).clamp(min=0)


def _similar(activations: Tensor, threshold: float) -> Tensor:
    """Return bool [R, units, units], True where two units repeat each other, and for each that varies itself."""
    _check_share("threshold", threshold)
    return correlations(activations).abs() >= threshold  # as NaN never is


def _varied(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Return activations as float64 [R, N, units], and which units vary, bool [R, units]."""
    stack = vector_stack(activations, "activations")
    varied = stack.amax(1) > stack.amin(1)
    for r, count in enumerate(varied.sum(1).tolist()):
        if count < 2:
            what = f"units of replicate {r} that vary over the examples"
            raise BadInput.of(what, count, ">= 2", "Others are constant: look for dead units, or pass more examples.")
    return stack, varied


def _standardised(stack: Tensor) -> Tensor:
    """Return [..., N, units] centred and of norm 1 over the examples; 0 where a unit is constant."""
    centred = stack - stack.mean(-2, keepdim=True)
    constant = stack.amax(-2, keepdim=True) == stack.amin(-2, keepdim=True)
    size = torch.where(constant, torch.inf, centred.norm(dim=-2, keepdim=True))
    return centred / size


def _check_share(what: str, value: float) -> None:
    if not 0 < value < 1:
        raise BadInput.of(
            what, value, f"0 < {what} < 1", "Casper et al. 2019 take .5 of correlations, .95 of variance."
        )
