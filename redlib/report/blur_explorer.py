"""Blur explorer: what a net takes mislabelled training images for as they blur, as a page and as a live widget."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from math import ceil, log
from typing import Any, Final

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from numpy.typing import ArrayLike

from redlib.report.blurring import GROUPS, Blurring, Curves, blurring
from redlib.report.fragments import fragment, round_ticks
from redlib.report.live import drawn
from redlib.report.plots import COLOURS, mark

OUTCOMES: Final = {  # of a decision: what is said, sign, colour and shape
    "told": ("still as told", "●", "grey", "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0"),
    "true": ("back to its true class", "✓", "green", "M-5 .5L-1.5 4L5-4"),
    "else": ("something else", "✕", "purple", "M-4-4L4 4M4-4L-4 4"),
}
LINES: Final = {"mislabelled": ("orange", "-"), "correctly labelled": ("blue", "--")}
SIDE: Final = 84  # CSS pixels of a picture, about
COLUMNS: Final = 6  # of pictures at most, on a phone too
WIDTH, LEFT, RIGHT = 330, 36, 12  # of the plot, and its margins
TOP, FLOOR, HEIGHT = 10, 214, 260
LOG_ABOVE: Final = 30  # the axis of σ is logarithmic where the last is more than so many times the first above 0
AXIS: Final = "blur σ, pixels of a 28-pixel image"


def blur_twin(
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

    The fragment has ids of its own, follows the page's theme and names no outside address. BadInput for other shapes,
    names and values, a first σ or matrix that blurs, and more than 150 kB.
    """
    seen = blurring(rates, sigmas, pixels, told, true, predicted, curves, blurred_matrix, start)
    remedy = "Show fewer images or rates, or the same images for all rates."
    return fragment("blur_explorer", _data(seen), lambda id: _body(seen, id), title=title, remedy=remedy)


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
        "x": _across(seen.sigmas),
        "y": [[_heights(seen, found[0, k]) for found in seen.curves.values()] for k in rates],
        "words": [[[seen.words(group, k, s) for s in blurs] for group in GROUPS] for k in rates],
    }


def _plain(sigma: float) -> str:
    return f"{sigma:.3g}"


def _packed(array: np.ndarray) -> str:
    """Return base64 of the bytes, in which 0 stands for as many zeros as the byte behind it says."""
    return base64.b64encode(re.sub(rb"\0{1,255}", lambda run: bytes([0, len(run[0])]), array.tobytes())).decode()


def _body(seen: Blurring, id: str) -> str:
    """Return controls, key, images and plot at the start."""
    signs = "".join(f'<path id="{id}-{name}" d="{shape}"/>' for name, (*_, shape) in OUTCOMES.items())
    return (
        f'<svg class="signs" aria-hidden="true"><defs>{signs}</defs></svg>{_controls(seen, id)}{_key(id)}'
        f'<div class="both"><div class="images">{_images(seen, id)}</div>'
        f'<div class="plot">{_values(seen)}{_plot(seen)}</div></div><p class="said" aria-live="polite"></p>'
    )


def _controls(seen: Blurring, id: str) -> str:
    """Return a button for each rate and the slider; hidden, since without the script they do nothing."""
    rate, sigma = seen.start
    radios = [
        f'<label><input type="radio" name="{id}-rate" value="{k}"{" checked" * (k == rate)}>'
        f"<span>{escape(name)}</span></label>"
        for k, name in enumerate(seen.rates)
    ]
    setting = f"{seen.rates[rate]} mislabelled, σ = {_plain(seen.sigmas[sigma])} pixels of a 28-pixel image"
    return (
        f'<p class="setting">{escape(setting)}</p>'
        f'<div class="rates" role="radiogroup" aria-labelledby="{id}-rates" hidden>'
        f'<span id="{id}-rates">Mislabelled</span>{"".join(radios)}</div>'
        '<div class="slider" hidden><label><span>Blur σ</span><output></output>'
        "<small>pixels of a 28-pixel image</small>"
        f'<input type="range" data-axis="sigma" min="0" max="{len(seen.sigmas) - 1}" step="1" value="{sigma}">'
        "</label></div>"
    )


def _key(id: str) -> str:
    items = "".join(f'<li class="{name}">{_sign(id, name)}{told}</li>' for name, (told, *_) in OUTCOMES.items())
    return f'<ul class="key"><li>The net’s decision is</li>{items}</ul>'


def _sign(id: str, outcome: str) -> str:
    return f'<svg class="sign" viewBox="-7 -7 14 14" aria-hidden="true"><use href="#{id}-{outcome}"/></svg>'


def _images(seen: Blurring, id: str) -> str:
    """Return both groups of images; the script paints them, where there is room enlarged by a whole number."""
    side, groups = seen.pixels.shape[-1], (range(seen.wrong), range(seen.wrong, seen.told.shape[1]))
    size = f"--columns:{_columns(seen)};--side:{max(1, round(SIDE / side)) * side}px"
    parts = [
        f'<p class="name">{_sample(group)}{group.capitalize()}</p>'
        f'<ol style="{size}">{"".join(_card(seen, id, n) for n in numbers)}</ol>'
        for group, numbers in zip(GROUPS, groups, strict=True)
    ]
    return "".join(parts) + "<noscript><p>The images need JavaScript.</p></noscript>"


def _columns(seen: Blurring) -> int:
    """Return how many pictures stand in a row: such that the larger group fills its rows, about."""
    most = max(seen.wrong, seen.told.shape[1] - seen.wrong)
    return ceil(most / ceil(most / COLUMNS))


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
    rate, sigma = seen.start
    x, down = _across(seen.sigmas)[sigma], FLOOR - TOP
    rates = [
        f'<g class="rate{" shown" * (k == rate)}">{"".join(_curve(seen, group, k) for group in reversed(GROUPS))}</g>'
        for k in range(len(seen.rates))
    ]
    dots = [
        f'<circle class="dot {_kind(group)}" r="4.5" cx="{x}" cy="{_heights(seen, found[0, rate])[sigma]}"/>'
        for group, found in seen.curves.items()
    ]
    alt = "Shares of changed decisions of mislabelled and of correctly labelled images against the blur"
    return (
        f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{alt}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="transparent"/>{_frame(seen)}'
        f'<line class="cursor" x1="{x}" x2="{x}" y1="{TOP}" y2="{FLOOR}"/>'
        # A nested svg cuts off bands where they leave the range of a share.
        f'<svg y="{TOP}" width="{WIDTH}" height="{down}" viewBox="0 {TOP} {WIDTH} {down}">{"".join(rates)}</svg>'
        f"{''.join(dots)}</svg>"
    )


def _frame(seen: Blurring) -> str:
    """Return the ticks of both axes and the name of that of σ."""
    values, parts = round_ticks(0, seen.highest), []
    for value, y in zip(values, _heights(seen, np.array(values)), strict=True):
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="y" x="{LEFT - 7}" y="{y + 4:g}">{value:g}</text>')
    for value in _ticks(seen.sigmas):
        x = _place(seen.sigmas, value)
        parts.append(
            f'<path class="grid" d="M{x} {FLOOR}v4"/><text class="x" x="{x}" y="{FLOOR + 17}">{value:g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return "".join([*parts, f'<text class="axis" x="{middle:g}" y="{HEIGHT - 8}">{AXIS}</text>'])


def _curve(seen: Blurring, group: str, rate: int) -> str:
    """Return the band and the curve of a group at one rate."""
    rows = (_heights(seen, row) for row in seen.curves[group][:, rate])
    mean, low, high = ([f"{x} {y}" for x, y in zip(_across(seen.sigmas), row, strict=True) if y == y] for row in rows)
    band = "L".join([*low, *high[::-1]])
    return (
        f'<g class="{_kind(group)}"><path class="band" d="{"M" * bool(band)}{band}"/>'
        f'<path class="curve" d="M{"L".join(mean)}"/></g>'
    )


def _heights(seen: Blurring, shares: np.ndarray) -> list[float]:
    """Return where shares lie in the plot, from above; NaN where there is none."""
    return np.round(TOP + (1 - shares / seen.highest) * (FLOOR - TOP), 1).tolist()


def _across(sigmas: Sequence[float]) -> list[float]:
    return [_place(sigmas, sigma) for sigma in sigmas]


def _place(sigmas: Sequence[float], sigma: float) -> float:
    """Return where σ lies across the plot; on a logarithmic axis 0 lies left of the first by a factor of 2."""
    if sigmas[-1] <= LOG_ABOVE * sigmas[1]:
        share = sigma / sigmas[-1]
    else:
        share = log(max(2 * sigma / sigmas[1], 1)) / log(2 * sigmas[-1] / sigmas[1])
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _ticks(sigmas: Sequence[float]) -> list[float]:
    """Return round values of σ: on a logarithmic axis 0 and 1, 2 and 5 times powers of ten, or only these powers."""
    if sigmas[-1] <= LOG_ABOVE * sigmas[1]:
        return round_ticks(0, sigmas[-1])
    tens = [10.0**power for power in range(-4, 4)]
    all_of_them = [float(f"{digit * ten:g}") for ten in tens for digit in (1, 2, 5)]
    inside = [[tick for tick in ticks if sigmas[1] <= tick <= sigmas[-1]] for ticks in (all_of_them, tens)]
    return [0.0, *inside[len(inside[0]) > 8]]


# --- the live widget ----------------------------------------------------------------------------------------


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
) -> ipywidgets.Widget:
    """Return a choice of the rate and a slider for σ over blurred training images and the shares of changed decisions.

    The arguments, and BadInput, are those of `blur_twin`: rates [K], sigmas [S], pixels [K, n, W, W], labels [K, n],
    predicted [K, S, n], curves [K, S], blurred_matrix [S, W, W]; only the limit of 150 kB does not hold here.
    """
    seen = blurring(rates, sigmas, pixels, told, true, predicted, curves, blurred_matrix, start)
    options = [(name, k) for k, name in enumerate(seen.rates)]
    choice = ipywidgets.ToggleButtons(options=options, value=seen.start[0], style={"button_width": "5.5rem"})
    grid = [(_plain(sigma), s) for s, sigma in enumerate(seen.sigmas)]
    slider = ipywidgets.SelectionSlider(options=grid, value=seen.start[1], description="blur σ")
    key = "The net’s decision is " + ", ".join(f"{sign} {told}" for told, sign, *_ in OUTCOMES.values())

    def draw(rate: int, sigma: int) -> None:
        fig = plt.figure(figsize=(11.5, 4.8), layout="constrained")
        left, right = fig.subfigures(1, 2, width_ratios=(1.3, 1), squeeze=False)[0]
        _draw_images(left, seen, rate, sigma)
        _draw_curves(right.subplots(), seen, rate, sigma)
        fig.suptitle("\n".join(filter(None, (title, key))), x=0.02, ha="left", fontsize=11)
        plt.show()

    out = drawn(draw, {"rate": choice, "sigma": slider})
    return ipywidgets.VBox([choice, slider, out])


def _draw_images(fig: SubFigure, seen: Blurring, rate: int, sigma: int) -> None:
    """Draw both groups of blurred images, with the net's decision above and their labels below."""
    pictures, outcomes, ends = (
        seen.pictures(rate, sigma),
        seen.outcomes(rate, sigma),
        (0, seen.wrong, len(seen.told[0])),
    )
    parts, columns = fig.subfigures(2, 1, squeeze=False)[:, 0], _columns(seen)
    for part, group, first, last in zip(parts, GROUPS, ends, ends[1:], strict=False):
        part.suptitle(group.capitalize(), x=0.02, ha="left", fontsize=11, color=COLOURS[LINES[group][0]])
        axes = part.subplots(ceil((last - first) / columns), columns, squeeze=False).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, n in zip(axes, range(first, last), strict=False):
            _, sign, colour, _ = OUTCOMES[outcomes[n]]
            ax.imshow(pictures[n], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(f"{sign} {seen.predicted[rate, sigma, n]}", color=COLOURS[colour], loc="left", fontsize=11)
            below = f"told {seen.told[rate, n]}, true {seen.true[rate, n]}"
            ax.text(0, -0.06, below, transform=ax.transAxes, va="top", fontsize=8)


def _draw_curves(ax: Axes, seen: Blurring, rate: int, sigma: int) -> None:
    """Draw the shares of changed decisions of both groups, on the axes of the twin."""
    across = _across(seen.sigmas)
    for group, (colour, line) in LINES.items():
        mean, low, high = seen.curves[group][:, rate]
        ax.fill_between(across, low, high, color=COLOURS[colour], alpha=0.2, linewidth=0)
        ax.plot(across, mean, line, color=COLOURS[colour], label=f"{group}: {seen.words(group, rate, sigma)}")
        ax.plot(across[sigma], mean[sigma], "o", color=COLOURS[colour], markersize=7)
    mark(ax, across[sigma], f"σ = {_plain(seen.sigmas[sigma])}")
    ticks = _ticks(seen.sigmas)
    ax.set_xticks([_place(seen.sigmas, tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
    ax.set(xlabel=AXIS, ylabel="changed decisions (%)", ylim=(0, seen.highest))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
