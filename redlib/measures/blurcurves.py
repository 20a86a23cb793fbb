"""Curves of decisions against blur (or another change of rising strength): rates, areas, slopes and roughness.

Decisions are class indices [..., S, n] at S strengths for n images, leading axes for seeds; curves are [..., S].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redlib.data.numbers import floats, unmasked, whole
from redlib.data.streams import rng
from redlib.errors import BadInput

Floats = NDArray[np.float64]

SUBSETS = 54  # key of the stream "eval", so that no other draw of a seed repeats these


def changed_rate(pred: ArrayLike, pred0: ArrayLike, among: ArrayLike | None = None) -> Floats:
    """Return the share of images whose decision [..., S, n] differs from the unblurred one [..., n]: [..., S].

    With the assigned labels in place of `pred0` it is the share of wrong decisions.
    `among` (bool [n] or [..., n]) restricts it to a group, e.g. the mislabelled images learned as labelled. Raises
    BadInput for decisions that are no whole numbers (NaN would count as changed), for another number of images and for
    a group without any.
    """
    decisions, reference = _decisions(pred, "pred"), _decisions(pred0, "pred0")
    group = np.ones(decisions.shape[-1:], np.bool_) if among is None else np.asarray(among)
    for what, given in (("pred0", reference), ("among", group)):
        if given.shape[-1:] != decisions.shape[-1:]:
            allowed = f"[..., n] with n = {decisions.shape[-1]}, as pred"
            raise BadInput.of(f"shape of {what}", given.shape, allowed, "pass one value per image")
    sizes = group.sum(-1)
    if group.dtype != np.bool_ or not np.all(sizes):
        found = f"{group.dtype} with {int(np.min(sizes))} image(s) in the smallest group"
        raise BadInput.of("among", found, "bool, at least one image True", "leave this group or seed out")
    changed = (decisions != reference[..., None, :]) & group[..., None, :]
    return np.asarray(changed.sum(-1) / sizes[..., None], np.float64)


def percent_changed(pred: ArrayLike, reference: ArrayLike, among: ArrayLike) -> Floats:
    """Return `changed_rate` in percent [..., S], NaN for a group without any image.

    `reference` and `among` are [..., n], or lack leading axes of pred [..., S, n].
    """
    decisions = _decisions(pred, "pred")
    shape = *decisions.shape[:-2], decisions.shape[-1]
    others, group = (np.broadcast_to(np.asarray(part), shape) for part in (reference, among))
    some, found = group.any(-1), np.full(decisions.shape[:-1], np.nan)
    if some.any():
        found[some] = 100 * changed_rate(decisions[some], others[some], group[some])
    return found


def area(curve: ArrayLike, sigmas: ArrayLike, low: float, high: float) -> Floats:
    """Return the mean height of the curve [..., S] over sigma between low and high: [...], in the curve's unit.

    The curve is taken as straight between its points (trapezoids), also where low or high lies between two. Raises
    BadInput unless sigmas [S] rise and sigmas[0] <= low < high <= sigmas[-1].
    """
    heights, at = _curve(curve, sigmas, low, high)
    grid = np.concatenate([[low], at[(at > low) & (at < high)], [high]])
    left = np.clip(np.searchsorted(at, grid, "right") - 1, 0, len(at) - 2)
    part = (grid - at[left]) / (at[left + 1] - at[left])
    between = heights[..., left] * (1 - part) + heights[..., left + 1] * part
    return np.asarray(np.trapezoid(between, grid) / (high - low))


def slope(curve: ArrayLike, sigmas: ArrayLike, low: float, high: float) -> Floats:
    """Return the least-squares slope of the points of the curve [..., S] with low <= sigma <= high: [...], per pixel.

    Raises BadInput as area does, and where fewer than two points lie between low and high.
    """
    heights, at = _curve(curve, sigmas, low, high)
    inside = (at >= low) & (at <= high)
    if inside.sum() < 2:
        raise BadInput.of("points inside", int(inside.sum()), "at least 2", "widen the range or refine the grid")
    centred = at[inside] - at[inside].mean()
    return np.asarray(heights[..., inside] @ centred / (centred @ centred))


def height_at(curve: ArrayLike, x: ArrayLike, at: float) -> Floats:
    """Return the height of curves [..., S] over rising or falling x [..., S] at one place: [...], NaN outside of x.

    The curve is taken as straight between its points. NaN where some x is; BadInput for x in no order.
    """

    def height(heights: Floats, places: Floats) -> float:
        if np.isnan(places).any():
            return np.nan
        first, second = places[:-1], places[1:]
        if not ((first <= second).all() or (first >= second).all()):
            raise BadInput.of("x", places.tolist(), "rising or falling numbers", "sort the points of the curve")
        order = np.argsort(places)
        return float(np.interp(at, places[order], heights[order], np.nan, np.nan))

    return _of_each(height, curve, x)


def last_fall(curve: ArrayLike, x: ArrayLike, least: float) -> Floats:
    """Return the x [..., S] at which curves [..., S] fall below `least` for good: [...], in their order.

    Straight between the last point that reaches it and the next one. NaN where none reaches it, or the last one does,
    and where a later point is NaN: it could.
    """

    def place(heights: Floats, places: Floats) -> float:
        enough = np.flatnonzero(heights >= least)
        if not len(enough) or enough[-1] == len(heights) - 1 or np.isnan(heights[enough[-1] :]).any():
            return np.nan
        around = [enough[-1] + 1, enough[-1]]
        return float(np.interp(least, heights[around], places[around]))

    return _of_each(place, curve, x)


def roughness(curve: ArrayLike) -> Floats:
    """Return the sum of squared second differences between neighbouring points of the curve [..., S]: [...].

    The grid's spacing is not divided out, so bends of a smooth curve and an uneven grid count as well as jitter: only
    curves on one grid can be compared, and their shapes should be alike. Raises BadInput for fewer than 3 points.
    """
    heights = floats(curve, "curve")
    if heights.ndim < 1 or heights.shape[-1] < 3:
        raise BadInput.of("shape of curve", heights.shape, "[..., S] with S >= 3", "add strengths")
    return np.asarray(np.square(np.diff(heights, 2)).sum(-1))


def roughness_parts(changed: ArrayLike) -> tuple[float, float]:
    """Return what of the roughness of n images' mean curve is its shape, and what an image adds by chance.

    `changed` [S, n] are the images' own curves, of 0 and 1 (or 100, for squared points). The expected roughness is
    that of the expected curve, the shape, plus chance / n, where chance is the variance between images of the second
    differences of their own curves, summed over strengths. Both estimates are unbiased; NaN for fewer than two images.
    """
    own = floats(changed, "changed")
    if own.ndim != 2:
        raise BadInput.of("shape of changed", own.shape, "[S, n]", "pass one curve per image")
    if own.shape[1] < 2:
        return np.nan, np.nan
    chance = float(np.diff(own, 2, axis=0).var(1, ddof=1).sum())
    return float(roughness(own.mean(1))) - chance / own.shape[1], chance


def matched_counts(labels: ArrayLike, pool: ArrayLike) -> NDArray[np.int64]:
    """Return how many images of each class a subset of the pool takes to match a group: `counts` of `random_curves`.

    `labels` [m] are the classes of the group, `pool` [n] those of the pool; no more are taken than are there.
    """
    groups = [_decisions(part, what) for part, what in ((labels, "labels"), (pool, "pool"))]
    if any(part.ndim != 1 or np.min(part, initial=0) < 0 for part in groups):
        raise BadInput.of("labels, pool", [part.shape for part in groups], "classes 0, 1, ...", "pass one per image")
    classes = 1 + max(int(np.max(part, initial=-1)) for part in groups)
    return np.minimum(*(np.bincount(part.astype(np.int64), minlength=classes) for part in groups))


def roughness_null(changed: ArrayLike, labels: ArrayLike, counts: ArrayLike, draws: int, seed: int) -> Floats:
    """Return the roughness of `random_curves`, which takes the same arguments: [draws]."""
    return roughness(random_curves(changed, labels, counts, draws, seed))


def random_curves(changed: ArrayLike, labels: ArrayLike, counts: ArrayLike, draws: int, seed: int) -> Floats:
    """Return the rate curves of random subsets of a pool of images: [draws, S].

    `changed` (bool [S, n]) says which images of the pool changed, `labels` [n] their classes. Every subset has
    counts[c] images of each class c = 0 ... C-1, without repetition: as many as the group it is the null of. Raises
    BadInput where a class has fewer, or for no image or no draw at all.
    """
    pool = np.asarray(unmasked(changed, "changed"))
    classes, wanted = (_decisions(part, what) for part, what in ((labels, "labels"), (counts, "counts")))
    draws = whole("draws", draws, 1, "the smallest p is 1 / (draws + 1)")
    _check_subsets(pool, classes, wanted)
    source, totals = rng(seed, "eval", SUBSETS), np.zeros((draws, len(pool)))
    for label in np.flatnonzero(wanted):
        members = pool[:, classes == label].T
        count = wanted[label]
        order = np.argpartition(source.random((draws, len(members)), np.float32), count - 1, axis=1)
        totals += members[order[:, :count]].sum(1)
    return np.asarray(totals / wanted.sum())


def roughness_p(observed: float, null: ArrayLike) -> float:
    """Return (1 + number of draws at least as rough) / (1 + draws), the p-value of `observed` against null [draws].

    Counting the observed curve as a draw keeps the test valid (Phipson & Smyth 2010). BadInput for a null without
    draws and for numbers that are not finite.
    """
    draws = np.asarray(null, np.float64)
    if draws.ndim != 1 or not draws.size or not np.isfinite([observed, *draws]).all():
        raise BadInput.of("observed and null", (observed, draws.shape), "finite, [draws]", "use roughness_null")
    return float((1 + (draws >= observed).sum()) / (1 + draws.size))


def _of_each(function: Callable[[Floats, Floats], float], curve: ArrayLike, x: ArrayLike) -> Floats:
    """Return function(curve, x) of every curve [..., S]: [...]."""
    heights, places = np.broadcast_arrays(floats(curve, "curve"), floats(x, "x"))
    rows = zip(*(part.reshape(-1, part.shape[-1]) for part in (heights, places)), strict=True)
    return np.array([function(*row) for row in rows]).reshape(heights.shape[:-1])


def _curve(curve: ArrayLike, sigmas: ArrayLike, low: float, high: float) -> tuple[Floats, Floats]:
    heights, at = floats(curve, "curve"), floats(sigmas, "sigmas")
    if at.ndim != 1 or len(at) < 2 or not (np.diff(at) > 0).all() or heights.shape[-1:] != at.shape:
        given = (heights.shape, at.tolist())
        raise BadInput.of("curve and sigmas", given, "[..., S] and S >= 2 rising numbers", "sort the strengths")
    if not at[0] <= low < high <= at[-1]:
        allowed = f"{at[0]:g} <= low < high <= {at[-1]:g}"
        raise BadInput.of("low, high", (low, high), allowed, "stay within the strengths that were measured")
    return heights, at


def _decisions(values: ArrayLike, what: str) -> NDArray:
    """Return class indices as they are, whole floats as integers; BadInput for other numbers."""
    given = np.asarray(unmasked(values, what))
    if given.dtype.kind in "biu" or not given.size:
        return given if given.size else given.astype(np.int64)
    if given.dtype.kind != "f" or not (np.isfinite(given).all() and (given == np.rint(given)).all()):
        raise BadInput.of(what, str(given.dtype), "whole numbers", "pass class indices, one per image")
    return given.astype(np.int64)


def _check_subsets(pool: NDArray, labels: NDArray, wanted: NDArray) -> None:
    if pool.dtype != np.bool_ or pool.ndim != 2 or labels.shape != pool.shape[1:]:
        given = (pool.dtype.name, pool.shape, labels.shape)
        raise BadInput.of("changed and labels", given, "bool [S, n] and [n]", "pass one label per image")
    if labels.dtype == np.bool_ or np.min(labels, initial=0) < 0:
        raise BadInput.of("labels", labels.tolist()[:10], "classes 0, 1, ...", "number the classes from 0")
    have = np.bincount(labels, minlength=wanted.size)
    if wanted.ndim != 1 or wanted.sum() < 1 or np.any(wanted < 0) or np.any(wanted > have[: wanted.size]):
        allowed = f"one count per class, 0 to {have.tolist()}, not all 0"
        raise BadInput.of("counts", wanted.tolist(), allowed, "enlarge the pool or take a smaller group")
