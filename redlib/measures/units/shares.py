"""How unevenly something is shared among units: the Gini coefficient, and how many equal ones would be as even.

Importances are [n], or [R, n] for R replicates, of two units or more, and results float64 [R]. What is negative counts
as 0: a unit whose removal helps carries nothing. Where all are 0, there is nothing to share, and results are NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from redlib.data.numbers import strided
from redlib.errors import BadInput


def gini(importances: Tensor) -> Tensor:
    """Return the Gini coefficient: [R], 0 for equal importances, (n - 1)/n where one unit has all (Gini 1912).

    Half the mean difference of all pairs (each unit with itself among them) over the mean. BadInput for fewer than two
    units, other shapes and what is not finite.
    """
    shares = _shares(importances).sort(1).values
    count = shares.shape[1]
    ranks = torch.arange(1, count + 1, dtype=torch.float64, device=shares.device)
    return (shares * (2 * ranks - count - 1)).sum(1) / count


def effective_number(importances: Tensor) -> Tensor:
    """Return exp of the entropy of the shares: [R], k for k equal importances among any number of zeros (Hill 1973).

    BadInput as `gini`.
    """
    return torch.special.entr(_shares(importances)).sum(1).exp()


def _shares(importances: Tensor) -> Tensor:
    """Return importances over their sum, float64 [R, n]; NaN where all are 0."""
    if not strided(importances, "importances").is_floating_point() or importances.dim() not in (1, 2):
        given = (str(importances.dtype), tuple(importances.shape))
        raise BadInput.of("importances", given, "floats, [n] or [R, n]", "One number per unit.")
    if 0 in importances.shape or importances.shape[-1] < 2:
        raise BadInput.of("importances", tuple(importances.shape), "two units or more", "One has nobody to share with.")
    if not bool(importances.isfinite().all()):
        raise BadInput.of("importances", "nan or inf", "finite numbers", "Has the net diverged?")
    rows = torch.atleast_2d(importances.detach().double()).clamp(min=0)
    rows = rows / rows.amax(1, keepdim=True)  # first, so that no sum overflows
    return rows / rows.sum(1, keepdim=True)
