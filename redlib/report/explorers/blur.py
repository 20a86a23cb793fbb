"""Blur explorer: what a net takes mislabelled training images for as they blur, and how many decisions change."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import ceil, isnan, log
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.report.explorers.fragments import (
    Axis,
    Plot,
    choice,
    controls,
    fragment,
    round_range,
    round_ticks,
    slider,
    svg,
)

GROUPS: Final = ("mislabelled", "correctly labelled")
GREYS: Final = 255  # steps of a pixel
SHARES: Final = 65_535  # steps of an entry of a matrix, which shift no pixel by half a step
OUTCOMES: Final = {  # of a decision: what is said, and its shape
    "told": ("still as told", "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0"),
    "true": ("back to its true class", "M-5 .5L-1.5 4L5-4"),
    "else": ("something else", "M-4-4L4 4M4-4L-4 4"),
}
SIDE: Final = 84  # CSS pixels of a picture, about
COLUMNS: Final = 6  # of pictures at most, on a phone too
WIDTH, LEFT, RIGHT = 330, 36, 12  # of the plot, and its margins
TOP, FLOOR, HEIGHT = 10, 214, 260
LONG: Final = 30  # the axis of σ is logarithmic where the last is more than so many times the first above 0
AXIS: Final = "blur σ, pixels of a 28-pixel image"
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

    def outcomes(self, rate: int, sigma: int) -> list[str]:
        """Return what became of the decision on each image of a rate [n]: "told", "true" or "else"."""
        said, told, true = self.predicted[rate, sigma], self.told[rate], self.true[rate]
        return np.select([said == told, said == true], ["told", "true"], "else").tolist()

    def words(self, group: str, rate: int, sigma: int) -> str:
        """Return a group's share of changed decisions with its 95% interval: "23.1% (20.0–26.4)"."""
        mean, low, high = self.curves[group][:, rate, sigma].tolist()
        return f"{mean:.1f}%" + ("" if isnan(low) else f" ({max(low, 0):.1f}–{min(high, 100):.1f})")

    @cached_property
    def plot(self) -> Plot:
        """Return the axes: σ, logarithmic where it is long, and the shares up to a round number of per cent."""
        highest = max(float(np.nanmax(found)) for found in self.curves.values())
        across = Axis(0, self.sigmas[-1], LEFT, WIDTH - RIGHT, _scale(self.sigmas))
        return Plot(across, Axis(0, min(round_range(0, max(highest, 1))[1], 100), FLOOR, TOP))


def blur_explorer(
    rates: Sequence[str],
    sigmas: Sequence[float],
    pixels: ArrayLike,
    told: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    curves: Curves,
    blurred_matrix: ArrayLike,
    *,
    start: tuple[str, float] | None = None,
    title: str = "",
) -> str:
    """Return the HTML of an explorer: training images under a blur, what a net takes them for, how many it changes.

    `rates` [K] name the shares of wrong labels ("1 in 10"), `sigmas` [S] the blurs from 0 on, rising, in pixels of a
    28-pixel image. `pixels` [K, n, W, W] in 0..1 are sharp training images of the net of each rate, `told` and `true`
    [K, n] their labels, integers, of which as many differ in each rate (at least one, and not all), and `predicted`
    [K, S, n] what the net takes them for. `curves` maps "mislabelled" and "correctly labelled" to mean, low and high
    [K, S] of the share of changed decisions in per cent (low and high: a 95% band over seeds, NaN without one).
    `blurred_matrix` [S, W, W] is the blur along one axis: M @ image @ M.T is drawn, to half a step of 255. `start` is
    the rate and σ shown first (default: the first rate, the middle of the σ).

    BadInput for other shapes, names and values, a first σ or matrix that blurs, and more than 150 kB.
    """
    seen = blurring(rates, sigmas, pixels, told, true, predicted, curves, blurred_matrix, start)
    remedy = "Show fewer images or rates, or the same images for all rates."
    return fragment("blur", _data(seen), lambda id: _body(seen, id), title=title, remedy=remedy)


# --- what is given ------------------------------------------------------------------------------------------


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
    """Return the checked contents of an explorer; arguments and BadInput are those of `blur_explorer`."""
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


# --- the fragment -------------------------------------------------------------------------------------------


def _data(seen: Blurring) -> dict[str, Any]:
    """Return what the script draws; an image that occurs in several rates is sent once."""
    side = seen.pixels.shape[-1]
    images, places = np.unique(seen.pixels.reshape(-1, side, side), axis=0, return_inverse=True)
    rates, blurs = range(len(seen.rates)), range(len(seen.sigmas))
    return {
        **{"side": side, "images": len(images), "rates": seen.rates, "sigmas": list(map(_plain, seen.sigmas))},
        "pixels": _packed(images),
        "matrices": _packed(np.stack([seen.matrices >> 8, seen.matrices & 255]).astype(np.uint8)),
        "image": places.reshape(seen.told.shape).tolist(),
        **{name: getattr(seen, name).tolist() for name in ("told", "true", "predicted")},
        "x": [seen.plot.x(sigma) for sigma in seen.sigmas],
        "y": [[[seen.plot.y(share) for share in found[0, k]] for found in seen.curves.values()] for k in rates],
        "words": [[[seen.words(group, k, s) for s in blurs] for group in GROUPS] for k in rates],
    }


def _plain(sigma: float) -> str:
    return f"{sigma:.3g}"


def _packed(array: np.ndarray) -> str:
    """Return base64 of the bytes, in which 0 stands for as many zeros as the byte behind it says."""
    return base64.b64encode(re.sub(rb"\0{1,255}", lambda run: bytes([0, len(run[0])]), array.tobytes())).decode()


def _body(seen: Blurring, id: str) -> str:
    """Return controls, key, images and plot at the start."""
    signs = "".join(f'<path id="{id}-{name}" d="{shape}"/>' for name, (_, shape) in OUTCOMES.items())
    key = "".join(f'<li class="{name}">{_sign(id, name)}{told}</li>' for name, (told, _) in OUTCOMES.items())
    return (
        f'<svg class="signs" aria-hidden="true"><defs>{signs}</defs></svg>{_controls(seen, id)}'
        f'<ul class="key"><li>The net’s decision is</li>{key}</ul>'
        f'<div class="both"><div class="images">{_pictures(seen, id)}</div>'
        f'<div class="plot">{_values(seen)}{_plot(seen)}</div></div><p class="said" aria-live="polite"></p>'
    )


def _controls(seen: Blurring, id: str) -> str:
    """Return a button for each rate and the slider, and in words where they stand."""
    rate, sigma = seen.start
    setting = f"{seen.rates[rate]} mislabelled, σ = {_plain(seen.sigmas[sigma])} pixels of a 28-pixel image"
    name = "Blur σ <small>pixels of a 28-pixel image</small>"
    return f'<p class="setting">{escape(setting)}</p>' + controls(
        choice(id, "rate", "Mislabelled", seen.rates, rate),
        slider(id, "sigma", name, len(seen.sigmas) - 1, sigma),
    )


def _sign(id: str, outcome: str) -> str:
    return f'<svg class="sign" viewBox="-7 -7 14 14" aria-hidden="true"><use href="#{id}-{outcome}"/></svg>'


def _pictures(seen: Blurring, id: str) -> str:
    """Return both groups of images; the script paints them, where there is room enlarged by a whole number."""
    side, groups = seen.pixels.shape[-1], (range(seen.wrong), range(seen.wrong, seen.told.shape[1]))
    most = max(map(len, groups))  # such that the larger group fills its rows, about
    size = f"--columns:{ceil(most / ceil(most / COLUMNS))};--side:{max(1, round(SIDE / side)) * side}px"
    return "".join(
        f'<p class="name">{_sample(group)}{group.capitalize()}</p>'
        f'<ol style="{size}">{"".join(_card(seen, id, n) for n in numbers)}</ol>'
        for group, numbers in zip(GROUPS, groups, strict=True)
    )


def _card(seen: Blurring, id: str, n: int) -> str:
    """Return a picture with the net's decision on it and its labels."""
    (rate, sigma), side = seen.start, seen.pixels.shape[-1]
    outcome = seen.outcomes(rate, sigma)[n]
    return (
        f'<li class="{outcome}"><canvas width="{side}" height="{side}" role="img" hidden></canvas>'
        f'<p class="says">{_sign(id, outcome)}<b>{seen.predicted[rate, sigma, n]}</b></p>'
        f'<p class="labels"><span>told {seen.told[rate, n]},</span> <span>true {seen.true[rate, n]}</span></p></li>'
    )


def _sample(group: str) -> str:
    """Return a piece of a group's curve with its dot."""
    parts = '<path class="curve" d="M-14 0H14"/><circle class="dot" r="4.5"/>'
    return f'<svg class="sample {_kind(group)}" viewBox="-15 -7 30 14" aria-hidden="true">{parts}</svg>'


def _kind(group: str) -> str:
    return group.split()[0]  # as a class of CSS


def _values(seen: Blurring) -> str:
    """Return what the plot shows, and the numbers of both groups at the cursor."""
    rows = [f"<li>{_sample(group)}{group}<b>{seen.words(group, *seen.start)}</b></li>" for group in GROUPS]
    small = "<small>% of each group, 95% bands over seeds</small>"
    return f'<p class="name">Changed decisions{small}</p><ul class="values">{"".join(rows)}</ul>'


def _plot(seen: Blurring) -> str:
    """Return the curves of all rates, of which one is shown, and the cursor."""
    (rate, sigma), plot = seen.start, seen.plot
    x = plot.x(seen.sigmas[sigma])
    rates = [
        f'<g class="rate{" shown" * (k == rate)}">{"".join(_line(seen, group, k) for group in reversed(GROUPS))}</g>'
        for k in range(len(seen.rates))
    ]
    dots = [
        f'<circle class="dot {_kind(group)}" r="4.5" cx="{x}" cy="{plot.y(found[0, rate, sigma])}"/>'
        for group, found in seen.curves.items()
    ]
    alt = "Shares of changed decisions of mislabelled and of correctly labelled images against the blur"
    frame = plot.frame([(s, f"{s:g}") for s in _ticks(seen.sigmas)], round_ticks(0, plot.y.high), AXIS)
    line = f'<line class="cursor" x1="{x}" x2="{x}" y1="{TOP}" y2="{FLOOR}"/>'
    return svg("curves", WIDTH, HEIGHT, alt, frame, line, plot.cut("".join(rates)), *dots)


def _line(seen: Blurring, group: str, rate: int) -> str:
    """Return the band and the curve of a group at one rate."""
    mean, low, high = seen.curves[group][:, rate]
    band, line = seen.plot.band(seen.sigmas, low, high), seen.plot.path(seen.sigmas, mean)
    return f'<g class="{_kind(group)}"><path class="band" d="{band}"/><path class="curve" d="{line}"/></g>'


def _scale(sigmas: Sequence[float]) -> Callable[[float], float]:
    """Return the scale of the axis of σ; on a logarithmic one 0 lies left of the first by a factor of 2."""
    if sigmas[-1] <= LONG * sigmas[1]:
        return float
    return lambda sigma: log(max(2 * sigma / sigmas[1], 1))


def _ticks(sigmas: Sequence[float]) -> list[float]:
    """Return round values of σ: on a logarithmic axis 0 and 1, 2 and 5 times powers of ten, or only these powers."""
    if sigmas[-1] <= LONG * sigmas[1]:
        return round_ticks(0, sigmas[-1])
    tens = [10.0**power for power in range(-4, 4)]
    all_of_them = [float(f"{digit * ten:g}") for ten in tens for digit in (1, 2, 5)]
    inside = [[tick for tick in ticks if sigmas[1] <= tick <= sigmas[-1]] for ticks in (all_of_them, tens)]
    return [0.0, *inside[len(inside[0]) > 8]]
