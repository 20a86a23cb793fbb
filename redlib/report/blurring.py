"""What the blur explorers show: mislabelled and correctly labelled training images, and decisions as they blur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.report.fragments import round_range

GROUPS: Final = ("mislabelled", "correctly labelled")
GREYS, SHARES = (
    255,
    65_535,
)  # steps of a pixel and of an entry of a matrix: the latter shift no pixel by half of the former
Curves = Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]


@dataclass(frozen=True)
class Blurring:
    """The checked contents of an explorer; of each rate's n images the `wrong` mislabelled ones come first.

    `pixels` uint8 [K, n, W, W], `told` and `true` [K, n], `predicted` [K, S, n], `matrices` uint16 [S, W, W] of which
    65 535 are 1, `curves[group]` mean, low and high [3, K, S] in per cent, `start` the places of a rate and a σ.
    """

    rates: tuple[str, ...]
    sigmas: tuple[float, ...]
    pixels: np.ndarray
    told: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    matrices: np.ndarray
    curves: dict[str, np.ndarray]
    wrong: int
    start: tuple[int, int]

    def pictures(self, rate: int, sigma: int) -> np.ndarray:
        """Return the blurred images of a rate [n, W, W], in 0..1."""
        blur = self.matrices[sigma] / SHARES
        return np.asarray(blur @ (self.pixels[rate] / GREYS) @ blur.T)

    def outcomes(self, rate: int, sigma: int) -> list[str]:
        """Return what became of the decision on each image of a rate [n]: "told", "true" or "else"."""
        said, told, true = self.predicted[rate, sigma], self.told[rate], self.true[rate]
        return np.select([said == told, said == true], ["told", "true"], "else").tolist()

    def words(self, group: str, rate: int, sigma: int) -> str:
        """Return a group's share of changed decisions with its 95% interval: "23.1% (20.0–26.4)"."""
        mean, low, high = self.curves[group][:, rate, sigma].tolist()
        return f"{mean:.1f}%" + ("" if isnan(low) else f" ({max(low, 0):.1f}–{min(high, 100):.1f})")

    @property
    def highest(self) -> float:
        """Return the end of the axis of the shares: a round number of per cent, 100 at most."""
        top = max(float(np.nanmax(found)) for found in self.curves.values())
        return min(round_range(0, max(top, 1))[1], 100)


def blurring(
    rates: Sequence[str],
    sigmas: Sequence[float],
    pixels: ArrayLike,
    told: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    curves: Curves,
    blurred_matrix: ArrayLike,
    start: tuple[str, float] | None = None,
) -> Blurring:
    """Return the checked contents of an explorer; arguments and BadInput are those of `blur_explorer.blur_twin`."""
    if not len(rates) or len(set(rates)) != len(rates):
        raise BadInput.of("rates", list(rates), "one or more names, all different", "Name each share of wrong labels.")
    grid = _grid(sigmas)
    images = _images(pixels, len(rates))
    shape, side = images.shape[:2], images.shape[2]
    given, classes = _labels("told", told, shape), _labels("true", true, shape)
    said = _labels("predicted", predicted, (len(rates), len(grid), shape[1]))
    order = np.argsort(given == classes, axis=1, kind="stable")  # mislabelled images first
    return Blurring(
        rates=tuple(rates),
        sigmas=grid,
        pixels=np.rint(GREYS * np.take_along_axis(images, order[..., None, None], 1)).astype(np.uint8),
        told=np.take_along_axis(given, order, 1),
        true=np.take_along_axis(classes, order, 1),
        predicted=np.take_along_axis(said, order[:, None], 2),
        matrices=_matrices(blurred_matrix, (len(grid), side, side)),
        curves=_curves(curves, (len(rates), len(grid))),
        wrong=_wrong(given, classes),
        start=_begin(rates, grid, start),
    )


def _grid(sigmas: Sequence[float]) -> tuple[float, ...]:
    grid = tuple(float(sigma) for sigma in sigmas)
    rising = all(a < b for a, b in zip(grid, grid[1:], strict=False))
    if len(grid) < 2 or grid[0] != 0 or not rising or not np.isfinite(grid).all():
        raise BadInput.of("sigmas", list(grid), "0 and then finite values that rise", "Start with the sharp images.")
    return grid


def _images(pixels: ArrayLike, count: int) -> np.ndarray:
    found = np.asarray(pixels, dtype=float)
    if found.ndim != 4 or len(found) != count or found.shape[2] != found.shape[3] or not found.size:
        raise BadInput.of("shape of pixels", found.shape, f"[{count}, n, W, W]", "Pad the images to squares.")
    return _within("pixels", found, 1)


def _within(what: str, found: np.ndarray, most: float) -> np.ndarray:
    if not ((found >= 0) & (found <= most)).all():
        ends = (float(found.min()), float(found.max()))
        raise BadInput.of(f"least and largest of {what}", ends, f"0 to {most}", "Rescale them.")
    return found


def _labels(what: str, values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(values)
    if found.shape != shape or not np.issubdtype(found.dtype, np.integer):
        raise BadInput.of(what, (found.dtype, found.shape), f"integers {shape}", "One class an image.")
    return found


def _wrong(told: np.ndarray, true: np.ndarray) -> int:
    """Return how many images of each rate are mislabelled."""
    found, most = sorted(set((told != true).sum(1).tolist())), told.shape[1] - 1
    if len(found) > 1 or not 1 <= found[0] <= most:
        raise BadInput.of("mislabelled images of a rate", found, f"one number of 1 to {most}", "Show both groups.")
    return int(found[0])


def _matrices(values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    if found.shape != shape:
        raise BadInput.of("shape of blurred_matrix", found.shape, str(shape), "Order: σ, to, from.")
    largest = float(_within("blurred_matrix", found, 1).sum(2).max())
    if largest > 1 + 1e-6:
        raise BadInput.of("largest sum of a row of blurred_matrix", largest, "<= 1", "A blur adds no light.")
    if not np.allclose(found[0], np.eye(shape[1]), atol=1e-6):
        raise BadInput.of("first blurred_matrix", found[0].tolist(), "the identity", "The first σ is 0.")
    return np.rint(SHARES * found).astype(np.uint16)


def _curves(curves: Curves, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return mean, low and high [3, K, S] of each group."""
    if set(curves) != set(GROUPS):
        raise BadInput.of("curves", list(curves), str(GROUPS), "Pass the curves of both groups.")
    return {group: _curve(group, curves[group], shape) for group in GROUPS}


def _curve(group: str, values: Sequence[ArrayLike], shape: tuple[int, int]) -> np.ndarray:
    parts = [np.asarray(part, dtype=float) for part in values]
    shapes = [part.shape for part in parts]
    if shapes != [shape] * 3:
        raise BadInput.of(f"shapes of {group}", shapes, f"three times {shape}", "Pass (mean, low, high), [rate, σ].")
    mean, low, high = parts
    _within(f"mean of {group}", mean, 100)
    outside = ~((low <= mean) & (mean <= high)) & ~(np.isnan(low) & np.isnan(high))
    if outside.any():
        remedy = "Order: mean, low, high."
        raise BadInput.of(f"bands of {group} beside their mean", int(outside.sum()), "0, or NaN bands", remedy)
    return np.stack(parts)


def _begin(rates: Sequence[str], grid: Sequence[float], start: tuple[str, float] | None) -> tuple[int, int]:
    rate, sigma = start or (rates[0], grid[len(grid) // 2])
    if rate not in rates or sigma not in grid:
        raise BadInput.of("start", (rate, sigma), f"one of {list(rates)}, one of {list(grid)}", "Start at a given one.")
    return list(rates).index(rate), list(grid).index(sigma)
