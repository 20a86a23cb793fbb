"""Whether two scores of the same things put them in one order: rank correlations, and how well one tells two groups.

Scores are [..., n], the last axis the n things that are ordered; leading axes broadcast against each other. Results are
float64 [...]. Equal scores share their mean rank.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from redlib.data.numbers import floats
from redlib.errors import BadInput

Floats = NDArray[np.float64]
ROUNDING = 1e-12  # 1 - r² from which two orders are one: there is nothing left to correlate


def spearman(first: ArrayLike, second: ArrayLike) -> Floats:
    """Return the correlation of the ranks, in [-1, 1] (Spearman 1904); NaN where all scores of one are equal.

    BadInput for fewer than two scores, unequal numbers of them, and NaN.
    """
    one, other = (_standard(_ranks(values, name)) for values, name in ((first, "first"), (second, "second")))
    _check_lengths(one, other)
    return np.clip((one * other).sum(-1), -1, 1)


def partial_spearman(first: ArrayLike, second: ArrayLike, given: ArrayLike) -> Floats:
    """Return the correlation of what the ranks of a third score leave of both, in [-1, 1].

    (r - r₁r₂) / sqrt((1 - r₁²)(1 - r₂²)), r₁ and r₂ the correlations with the third (Yule 1907, of ranks): 0 where all
    that they share is that score, if it acts linearly on ranks. NaN where one of them has the order of the third, and
    where all scores of one are equal. BadInput as `spearman`.
    """
    r, first_r, second_r = spearman(first, second), spearman(first, given), spearman(second, given)
    left = (1 - first_r**2) * (1 - second_r**2)
    alone = (1 - first_r**2 > ROUNDING) & (1 - second_r**2 > ROUNDING)
    return np.clip((r - first_r * second_r) / np.sqrt(np.where(alone, left, np.nan)), -1, 1)


def auc(scores: ArrayLike, chosen: ArrayLike) -> Floats:
    """Return the probability that one of the `chosen` (bool) has the larger score than one of the others, in [0, 1].

    Ties count half (Mann & Whitney 1947, over the number of pairs). NaN where all are chosen, or none. BadInput as
    `spearman`, and unless `chosen` are truth values.
    """
    ranks, ours = _ranks(scores, "scores"), np.asarray(chosen)
    if ours.dtype != np.bool_ or not ours.ndim:
        raise BadInput.of("chosen", (str(ours.dtype), ours.shape), "bool [..., n]", "Say which are chosen.")
    _check_lengths(ranks, ours)
    count = ours.sum(-1)
    pairs = count * (ours.shape[-1] - count)
    return ((ranks * ours).sum(-1) - count * (count + 1) / 2) / np.where(pairs, pairs, np.nan)


def _ranks(values: ArrayLike, what: str) -> Floats:
    scores = floats(values, what)
    if not scores.ndim or scores.shape[-1] < 2 or np.isnan(scores).any():
        raise BadInput.of(what, scores.shape, "[..., n >= 2], no NaN", "Pass the scores of several things.")
    return np.asarray(rankdata(scores, axis=-1), np.float64)


def _standard(ranks: Floats) -> Floats:
    """Return ranks less their mean, over their norm; NaN where all are equal."""
    centred = ranks - ranks.mean(-1, keepdims=True)
    norm = np.sqrt((centred**2).sum(-1, keepdims=True))
    return centred / np.where(norm > 0, norm, np.nan)


def _check_lengths(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    try:
        np.broadcast_shapes(one.shape[:-1], other.shape[:-1])
    except ValueError:
        broadcast = False
    else:
        broadcast = True
    if not broadcast or one.shape[-1] != other.shape[-1]:
        given = one.shape, other.shape
        raise BadInput.of("shapes of scores", given, "equally many, leading axes that broadcast", "Score the same.")
