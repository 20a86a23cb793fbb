"""Hartigan's dip: how far a sample is from having one mode."""

from __future__ import annotations

import numpy as np


def dip(sample: np.ndarray) -> float:
    """Return the distance of the empirical distribution from the nearest unimodal one (Hartigan & Hartigan 1985).

    The modal interval shrinks between touching points of the greatest convex minorant and the least concave
    majorant, as long as these are farther apart than what is found outside of it. Values must differ.
    """
    x = np.sort(np.asarray(sample, np.float64))
    low, high, found = 0, len(x) - 1, 1 / len(x)
    while True:
        part, after = x[low : high + 1], np.arange(low + 1, high + 2) / len(x)
        before = after - 1 / len(x)
        convex, concave = _hull(part, before), _hull(part, -after)
        below, above = np.interp(part, part[convex], before[convex]), np.interp(part, part[concave], after[concave])
        left, right, apart = _modal_interval(above - below, convex, concave)
        if apart <= found:
            return found / 2
        found = max(found, (after - below)[: left + 1].max(), (above - before)[right:].max())
        if (left, right) == (0, high - low):
            return found / 2
        low, high = low + left, low + right


def _modal_interval(gap: np.ndarray, convex: np.ndarray, concave: np.ndarray) -> tuple[int, int, float]:
    """Return (left, right, how far minorant and majorant are apart at a touching point at most)."""
    if gap[concave].max() > gap[convex].max():
        right = concave[gap[concave].argmax()]
        return int(convex[convex <= right][-1]), int(right), float(gap[right])
    left = convex[gap[convex].argmax()]
    return int(left), int(concave[concave >= left][0]), float(gap[left])


def _hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the indices of the corners of the greatest convex minorant of the points (x, y), x ascending."""
    kept: list[int] = []
    xs, ys = x.tolist(), y.tolist()
    for i, (right, height) in enumerate(zip(xs, ys, strict=True)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (ys[b] - ys[a]) * (right - xs[a]) < (height - ys[a]) * (xs[b] - xs[a]):
                break
            kept.pop()
        kept.append(i)
    return np.array(kept)
