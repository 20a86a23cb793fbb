"""One mode or two: Hartigan's dip with its test, and how deep a gap there is at zero."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np

from redlib.data.numbers import floats
from redlib.data.streams import rng
from redlib.errors import BadInput

NULL = 52  # key of the stream "eval", so that no other draw repeats these
DRAWS, SAMPLE = 999, 400  # of the null: how many samples, and their size
BINS, REACH = 21, 3.0  # of the histogram around 0: bins, and root mean squares to either side


def dip(sample: np.ndarray) -> float:
    """Return the distance of the empirical distribution from the nearest unimodal one (Hartigan & Hartigan 1985).

    The modal interval shrinks between touching points of the greatest convex minorant and the least concave
    majorant, as long as these are farther apart than what is found outside of it. Equal values are one step of the
    empirical distribution, which a unimodal one can follow at its mode alone. At least 1/(2n), for n values.
    BadInput for values that are not finite, or none, and for more than one axis.
    """
    values = _finite(sample, 1)
    (x, steps), n = np.unique(values, return_counts=True), len(values)
    low, high, found, reached = 0, len(x) - 1, 1 / n, steps.cumsum()
    while True:
        part, own, after = x[low : high + 1], steps[low : high + 1], reached[low : high + 1] / n
        before = after - own / n
        convex, concave = _hull(part, before), _hull(part, -after)
        below, above = np.interp(part, part[convex], before[convex]), np.interp(part, part[concave], after[concave])
        left, right, apart = _modal_interval(above - below, convex, concave)
        if apart <= found:
            return found / 2
        # Where the interval ends, a step of several values may be the mode's, and is no distance.
        left_of, right_of = (after - below)[: left + (own[left] == 1)], (above - before)[right + (own[right] > 1) :]
        found = max(found, left_of.max(initial=0), right_of.max(initial=0))
        if (left, right) == (0, high - low):
            return found / 2
        low, high = low + left, low + right


def dip_p(dips: np.ndarray, sizes: np.ndarray, draws: int = DRAWS) -> np.ndarray:
    """Return p of the test of `dips` [...] of samples of so many values (broadcast) against uniform samples: [...].

    The share of uniform samples whose √n·dip is at least as large, the observed one counted among them; √n·dip hardly
    depends on n (Hartigan & Hartigan 1985), so that those have 400 values each, whatever n is. NaN for a dip of NaN.
    """
    exceed = (_null(draws) >= (dips * np.sqrt(sizes))[..., None]).sum(-1)
    return np.where(np.isnan(dips * np.sqrt(sizes)), np.nan, (exceed + 1) / (draws + 1))


def density_at_zero(values: np.ndarray) -> np.ndarray:
    """Return, for values [R, K], the height of their histogram at 0 over its largest, [R]: 1 for a peak at 0.

    21 equal bins to ±3 root mean squares, the eleventh centred at 0. NaN where all values are 0. BadInput for values
    that are not finite, and other shapes.
    """
    found = []
    for row in _finite(values, 2):
        reach = REACH * sqrt(np.square(row).mean())
        heights = np.histogram(row, BINS, (-reach, reach))[0] if reach else np.zeros(BINS)
        found.append(heights[BINS // 2] / heights.max() if heights.max() else np.nan)
    return np.array(found)


def _finite(values: np.ndarray, axes: int) -> np.ndarray:
    """Return the values as float64; BadInput for another number of axes, and what is not finite."""
    given = floats(values, "values")
    if given.ndim != axes:
        raise BadInput.of("shape of values", given.shape, "[n]" if axes == 1 else "[R, K]", "Flatten each replicate.")
    if not given.size or not np.isfinite(given).all():
        raise BadInput.of("values", "none, nan or inf", "finite numbers", "Has the net diverged?")
    return given


@cache
def _null(draws: int) -> np.ndarray:
    """Return √n·dip of uniform samples [draws]."""
    source = rng(0, "eval", NULL)
    return np.array([dip(source.random(SAMPLE)) for _ in range(draws)]) * sqrt(SAMPLE)


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
