"""Peaks in error curves: locations are chosen on one half of the seeds and measured on the other (cross-fit).

A maximum minus a minimum is positive in every noisy curve: the seeds that choose the place must not judge it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.evidence.stats import Floats, finite

Right = Literal["end", "minimum"]


@dataclass(frozen=True)
class Peak:
    """A peak and its heights; entries [2] are what each half of the seeds chose (even, odd positions)."""

    n_peak: Floats  # [2] grid value of the interior maximum
    n_valley: Floats  # [2] grid value of the minimum to its left
    n_right: Floats  # [2] grid value of the right foot: the last one, or the later minimum
    height_left: Floats  # [S] err(peak) - err(valley), places chosen by the OTHER half; units of err
    height_right: Floats  # [S] err(peak) - err(right foot), likewise
    peak_per_seed: Floats  # [S] grid value chosen by the other half
    agree: bool  # whether both halves chose the same peak to within `agree_within` grid steps
    grid: Floats  # [W]


def threshold_width(train_error: ArrayLike, grid: ArrayLike, eps: float) -> Floats:
    """Return for each seed [S] the smallest grid value [W] whose train error [S, W] is <= eps, in its units.

    NaN means censored: no width of the grid reaches eps.
    """
    error, sizes = _curves(train_error, grid, least=1)
    reached = error <= eps
    return np.where(reached.any(axis=1), sizes[reached.argmax(axis=1)], np.nan)


def falls_through(values: ArrayLike, grid: ArrayLike, level: float) -> Floats:
    """Return where curves [..., W] over a positive grid [W] first fall below a level, in its units: [...].

    Log-linear between the two points around; the least or the largest point where a curve is below, or above, all
    along.
    """
    curves, x = np.asarray(values, float), np.log(grid)
    below = curves < level
    at = np.where(below.any(-1), below.argmax(-1), len(x) - 1)
    before = np.maximum(at - 1, 0)
    high, low = (np.take_along_axis(curves, i[..., None], -1)[..., 0] for i in (before, at))
    share = np.divide(high - level, high - low, out=np.ones_like(high), where=below.any(-1) & (high >= level))
    return np.asarray(np.exp(x[before] + share * (x[at] - x[before])))


def rises_through(values: ArrayLike, grid: ArrayLike, level: float) -> float:
    """Return where a curve [W] over a positive grid [W] first rises above a level, in the grid's unit; else NaN.

    Log-linear between the last point at or below the level and the first above: NaN where the grid has not both.
    """
    curve, x = finite(values, "curve"), np.log(finite(grid, "grid"))
    above = int(np.argmax(curve > level))
    if not above or not curve[above] > level:
        return np.nan
    share = (level - curve[above - 1]) / (curve[above] - curve[above - 1])
    return float(np.exp(x[above - 1] + share * (x[above] - x[above - 1])))


def crossfit_peak(err: ArrayLike, grid: ArrayLike, right: Right = "end", agree_within: int = 1) -> Peak:
    """Return the interior peak of err [S, W] over grid [W]: half of the seeds choose it, the rest measure it.

    The peak maximises min(err - min of err to its left, err - err at its right foot) of a half's mean curve.
    The right foot is the end of the grid, or with right="minimum" the smallest error after the peak. Halves
    are the even and the odd positions. BadInput below two seeds or three grid points, or for NaN.
    """
    curves, sizes = _curves(err, grid, least=3)
    if right not in ("end", "minimum"):
        raise BadInput.of("right", right, "'end' or 'minimum'", "say what the fall after the peak is measured to")
    if len(curves) < 2:
        raise BadInput.of("number of seeds", len(curves), "at least 2", "one half chooses, the other measures")
    judges = [np.arange(len(curves)) % 2 == 1, np.arange(len(curves)) % 2 == 0]  # judges[h] are not in half h
    chosen = [_places(curves[~judge].mean(axis=0), right) for judge in judges]
    left, fall, place = (np.empty(len(curves)) for _ in range(3))
    for judge, (valley, peak, foot) in zip(judges, chosen, strict=True):
        left[judge] = curves[judge, peak] - curves[judge, valley]
        fall[judge] = curves[judge, peak] - curves[judge, foot]
        place[judge] = sizes[peak]
    (v0, p0, f0), (v1, p1, f1) = chosen
    agree = abs(p0 - p1) <= agree_within
    return Peak(sizes[[p0, p1]], sizes[[v0, v1]], sizes[[f0, f1]], left, fall, place, agree, sizes)


def crossfit_epochwise(err: ArrayLike, steps: ArrayLike, agree_within: int = 1) -> Peak:
    """Return the cross-fit fall, rise, fall of err [S, T] over training steps [T]: t1 < t2 < t3.

    t1 = n_valley, t2 = n_peak (peak_per_seed), t3 = n_right, the minimum after t2 (the end, unless an earlier
    one is lower); the rise err(t2) - err(t1) is height_left, the second fall err(t2) - err(t3) height_right.
    """
    return crossfit_peak(err, steps, right="minimum", agree_within=agree_within)


def _curves(err: ArrayLike, grid: ArrayLike, least: int) -> tuple[Floats, Floats]:
    curves, sizes = finite(err, "error", ndim=2), finite(grid, "grid")
    if len(sizes) < least or np.any(np.diff(sizes) <= 0):
        raise BadInput.of("grid", sizes.tolist(), f"at least {least} increasing values", "sort the grid")
    if curves.shape[1] != len(sizes):
        raise BadInput.of("shape of error", curves.shape, f"[S, {len(sizes)}] as the grid", "seeds come first")
    return curves, sizes


def _places(curve: Floats, right: Right) -> tuple[int, int, int]:
    """Return the indices of valley, interior peak and right foot of one curve [W]."""
    lowest_before = np.minimum.accumulate(curve)[:-2]
    lowest_after = np.minimum.accumulate(curve[::-1])[::-1][2:] if right == "minimum" else curve[-1]
    peak = 1 + int(np.argmax(curve[1:-1] - np.maximum(lowest_before, lowest_after)))
    foot = peak + 1 + int(np.argmin(curve[peak + 1 :])) if right == "minimum" else len(curve) - 1
    return int(np.argmin(curve[:peak])), peak, foot
