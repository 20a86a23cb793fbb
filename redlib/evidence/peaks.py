"""Places chosen from the data, as peaks and best levels are: some seeds choose the place, the others judge it.

A maximum minus a minimum is positive in every noisy curve: a seed that helped to choose a place must not judge it.
The last third of the seeds chooses (at least one), the others judge. Given the choice, the judges' values at the
place are independent, so that their t interval covers the height of the mean curve of all possible seeds *at that
place*, in 95% of cases whatever the curve: flat, falling or with a peak. It says nothing about other places.

Letting the halves choose for each other (cross-fitting) uses more seeds, but their errors agree: it covers 91%, with
one seed left out at a time 73 to 87% (flat curves, 5 to 20 seeds). A place itself needs no judge: each seed has its
own. It lies between grid points, for seeds that tie on the grid would have an interval without width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redlib.errors import BadInput
from redlib.evidence.stats import Floats, finite

Right = Literal["end", "minimum"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Peak:
    """A peak, its feet and its heights; the last seeds chose the places, the first ones [J] judged them."""

    n_peak: float  # grid value of the interior maximum
    n_valley: float  # of the minimum to its left
    n_right: float  # of the right foot: the last one, or the later minimum
    first_fall: Floats  # [J] err(start of the grid) - err(valley) of the judges; units of err
    height_left: Floats  # [J] err(peak) - err(valley)
    height_right: Floats  # [J] err(peak) - err(right foot)
    peak_per_seed: Floats  # [S] where each seed's own curve peaks, between grid points, in the unit of the grid
    grid: Floats  # [W]


def judges(seeds: int) -> int:
    """Return how many of the seeds judge, the first ones: all but a third. One seed alone has to do both."""
    return seeds - max(1, seeds // 3) if seeds > 1 else seeds


def judged_best(values: ArrayLike) -> Floats:
    """Return the judges' values [J] at the place, of values [S, K], where the choosers' mean is largest."""
    given = finite(values, "values", ndim=2)
    count = judges(len(given))
    choosing = given[count:] if len(given) > 1 else given
    return given[:count, choosing.mean(0).argmax()]


def split_peak(err: ArrayLike, grid: ArrayLike, right: Right = "end") -> Peak:
    """Return the interior peak of err [S, W] over a grid [W]: the last seeds choose it, the first ones judge it.

    The peak maximises min(err - min of err to its left, err - err at its right foot) of the choosers' mean curve, of
    `peak_per_seed` of each seed's own. The right foot is the end of the grid, or with right="minimum" the smallest
    error after the peak. BadInput below two seeds or three grid points, or for NaN.
    """
    curves, sizes = _curves(err, grid, least=3)
    if right not in ("end", "minimum"):
        raise BadInput.of("right", right, "'end' or 'minimum'", "say what the fall after the peak is measured to")
    if len(curves) < 2:
        raise BadInput.of("number of seeds", len(curves), "at least 2", "one chooses, the other judges")
    judging, choosing = np.split(curves, [judges(len(curves))])
    valley, peak, foot = (int(place[0]) for place in _places(choosing.mean(axis=0, keepdims=True), right))
    start, low, top, end = judging[:, (0, valley, peak, foot)].T
    own = _between(sizes, _vertex(curves, _places(curves, right)[1]))
    n_peak, n_valley, n_right = (float(sizes[place]) for place in (peak, valley, foot))
    return Peak(n_peak, n_valley, n_right, start - low, top - low, top - end, own, sizes)


def split_epochwise(err: ArrayLike, steps: ArrayLike) -> Peak:
    """Return the fall, rise, fall of err [S, T] over training steps [T], judged as `split_peak`: t1 < t2 < t3.

    t1 = n_valley, t2 = n_peak (peak_per_seed), t3 = n_right, the minimum after t2 (the end, unless an earlier
    one is lower); the rise err(t2) - err(t1) is height_left, the second fall err(t2) - err(t3) height_right.
    """
    return split_peak(err, steps, right="minimum")


def grid_steps(places: ArrayLike, grid: ArrayLike) -> Floats:
    """Return places of a positive grid [W] as numbers of steps from its start, log-linear between its points."""
    return np.interp(np.log(places), np.log(finite(grid, "grid")), np.arange(np.size(grid)))


def threshold_width(train_error: ArrayLike, grid: ArrayLike, eps: float) -> Floats:
    """Return where each seed's train error [S, W] over a grid [W] first falls to eps, in the grid's unit: [S].

    Log-linear between the last point above eps and the first at most eps. NaN means censored: no point of the grid
    reaches eps. A mean without such seeds is too low; check that all have a threshold (a gate) before it is judged.
    """
    error, sizes = _curves(train_error, grid, least=1)
    reached = error <= eps
    return np.where(reached.any(axis=1), _between(sizes, _crossing(error, reached, eps)), np.nan)


def falls_through(values: ArrayLike, grid: ArrayLike, level: float) -> Floats:
    """Return where curves [..., W] over a positive grid [W] first fall below a level, in its units: [...].

    Log-linear between the two points around; the least or the largest point where a curve is below, or above, all
    along.
    """
    curves = np.asarray(values, float)
    below = curves < level
    place = np.where(below.any(-1), _crossing(curves, below, level), curves.shape[-1] - 1)
    return _between(np.asarray(grid, float), place)


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


def _curves(err: ArrayLike, grid: ArrayLike, least: int) -> tuple[Floats, Floats]:
    curves, sizes = finite(err, "error", ndim=2), finite(grid, "grid")
    if len(sizes) < least or np.any(np.diff(sizes) <= 0):
        raise BadInput.of("grid", sizes.tolist(), f"at least {least} increasing values", "sort the grid")
    if curves.shape[1] != len(sizes):
        raise BadInput.of("shape of error", curves.shape, f"[S, {len(sizes)}] as the grid", "seeds come first")
    return curves, sizes


def _places(curves: Floats, right: Right) -> tuple[Ints, Ints, Ints]:
    """Return the indices [N] of valley, interior peak and right foot of curves [N, W]."""
    lowest_before = np.minimum.accumulate(curves, 1)[:, :-2]
    lowest_after = np.minimum.accumulate(curves[:, ::-1], 1)[:, ::-1][:, 2:] if right == "minimum" else curves[:, -1:]
    peak = 1 + np.argmax(curves[:, 1:-1] - np.maximum(lowest_before, lowest_after), 1)
    at = np.arange(curves.shape[1]) - peak[:, None]
    valley = np.argmin(np.where(at < 0, curves, np.inf), 1)
    foot = np.argmin(np.where(at > 0, curves, np.inf), 1) if right == "minimum" else np.full_like(peak, len(at[0]) - 1)
    return valley, peak, foot


def _vertex(curves: Floats, peak: Ints) -> Floats:
    """Return the positions [N] where parabolas through the points around interior indices of [N, W] are highest.

    At most half a step away; the index itself where it is no maximum of its neighbours.
    """
    left, top, right = (_at(curves, peak + step) for step in (-1, 0, 1))
    bend = 2 * top - left - right
    highest = (top >= left) & (top >= right) & (bend > 0)
    return np.asarray(peak + np.divide(right - left, 2 * bend, out=np.zeros_like(top), where=highest), np.float64)


def _crossing(curves: Floats, low: NDArray[np.bool_], level: float) -> Floats:
    """Return the positions [...] where curves [..., W] cross a level to where they are first `low`, linear between."""
    first = low.argmax(-1)
    before, after = (_at(curves, index) for index in (np.maximum(first - 1, 0), first))
    crosses = low.any(-1) & (before >= level) & (first > 0)
    return first - 1 + np.divide(before - level, before - after, out=np.ones_like(before), where=crosses)


def _at(curves: Floats, index: Ints) -> Floats:
    return np.take_along_axis(curves, index[..., None], -1)[..., 0]


def _between(grid: Floats, position: Floats) -> Floats:
    """Return the values of a grid at positions between its indices, log-linear (its very values at whole ones)."""
    start = np.floor(position).astype(int)
    share = position - start
    return np.asarray(grid[start] ** (1 - share) * grid[np.minimum(start + 1, len(grid) - 1)] ** share)
