"""What all explorers share: a piece of HTML with its script, controls, and plots in SVG."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from pathlib import Path
from typing import Any, Final

import numpy as np

from redlib.errors import BadInput
from redlib.plots import COLOURS

Floats = Sequence[float] | np.ndarray
MAX_BYTES: Final = 150_000
_TEMPLATES = Path(__file__).parent / "templates"
_STILL = "<noscript><p>A still picture: controls and images of pixels need JavaScript.</p></noscript>"


def fragment(kind: str, data: Mapping[str, Any], body: Callable[[str], str], *, remedy: str, title: str = "") -> str:
    """Return an explorer: its style, the title, what `body` makes of its id, and <kind>.js with `data` as JSON.

    The id comes from all of that content: the same content gives the same bytes. In the browser the script replaces it
    by a fresh one, so that a page may hold the same explorer twice. `body` returns HTML, with names escaped. BadInput,
    which advises the `remedy`, above MAX_BYTES.
    """
    payload = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    id = "explorer-" + hashlib.sha256(repr((kind, payload, title, body(""))).encode()).hexdigest()[:8]
    head = f'<p class="title">{escape(title)}</p>' if title else ""
    html = (
        f'<div id="{id}" class="explorer" data-kind="{kind}"><style>{_style(kind)}</style>'
        f"{head}{body(id)}{_STILL}<script>{_script(kind, id, payload)}</script></div>"
    )
    size = len(html.encode())
    if size > MAX_BYTES:
        raise BadInput.of("size of the explorer", size, f"<= {MAX_BYTES} bytes", remedy)
    return html


def _style(kind: str) -> str:
    """Return the rules of all explorers and of this kind; & is the explorer."""
    dark = (_TEMPLATES.parents[1] / "templates" / "dark.css").read_text(encoding="utf-8")
    common = _read("common.css").replace("DARK;", dark).replace("&", ".explorer[data-kind]")
    return common + _read(f"{kind}.css").replace("&", f'.explorer[data-kind="{kind}"]')


def _script(kind: str, id: str, payload: str) -> str:
    script = _read("start.js").replace("SCRIPT;", _read("common.js") + _read(f"{kind}.js"))
    return script.replace("THE-ID", id).replace("THE_DATA", payload)


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def packed(array: np.ndarray) -> str:
    """Return the bytes of an array, row by row, as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def tint(colour: str) -> str:
    """Return the CSS that makes --c the colour of that name in `plots.COLOURS`, as the page's theme has it."""
    return f"--c:var(--{colour},{COLOURS[colour]})"


# --- controls -----------------------------------------------------------------------------------------------


def controls(*parts: str) -> str:
    """Return the bar of the controls; hidden, since without the script they do nothing."""
    return f'<div class="controls" hidden>{"".join(parts)}</div>'


def slider(id: str, axis: str, name: str, last: int, at: int, below: str = "") -> str:
    """Return a slider from 0 to `last`, standing at `at`; the script writes its value beside `name`, both HTML."""
    # A label around both would name the first of them, the output; and the slider itself says each value, once.
    own = f"{id}-{axis}"
    return (
        f'<div class="slider"><label for="{own}">{name}</label><output for="{own}" aria-live="off"></output>'
        f'<input type="range" id="{own}" data-axis="{axis}" min="0" max="{last}" step="1" value="{at}">{below}</div>'
    )


def choice(id: str, name: str, label: str, options: Sequence[str], chosen: int) -> str:
    """Return buttons of which one is pressed; the value of each is its number."""
    buttons = [
        f'<label><input type="radio" name="{id}-{name}" value="{n}"{" checked" * (n == chosen)}>'
        f"<span>{escape(option)}</span></label>"
        for n, option in enumerate(options)
    ]
    head = f'<div class="choice" data-axis="{name}" role="radiogroup" aria-label="{label}"><span>{label}</span>'
    return f"{head}{''.join(buttons)}</div>"


# --- plots --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """An axis from the value `low` to `high`, which lie at the pixels `start` and `end`; `scale` may be a logarithm."""

    low: float
    high: float
    start: float
    end: float
    scale: Callable[[float], float] = float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value, to a tenth; the middle where the axis has one value alone, NaN for NaN."""
        low, high = self.scale(self.low), self.scale(self.high)
        share = (self.scale(value) - low) / (high - low) if high != low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Plot:
    """The part of an SVG between two axes; y.start is its foot, y.end its top."""

    x: Axis
    y: Axis

    def path(self, xs: Floats, ys: Floats) -> str:
        """Return the line through the places, interrupted where a y is not finite."""
        path, pen = "", "M"
        for x, y in zip(xs, ys, strict=True):
            path, pen = (f"{path}{pen}{self.x(x):g} {self.y(y):g}", "L") if isfinite(y) else (path, "M")
        return path

    def band(self, xs: Floats, low: Floats, high: Floats) -> str:
        """Return the area between low and high, where both are finite."""
        known = [row for row in zip(xs, low, high, strict=True) if isfinite(row[1]) and isfinite(row[2])]
        ends = [(x, y) for x, y, _ in known] + [(x, y) for x, _, y in known[::-1]]
        return self.path([x for x, _ in ends], [y for _, y in ends])

    def frame(self, across: Iterable[tuple[float, str]], up: Iterable[float], name: str, marks: bool = False) -> str:
        """Return numbers along both axes and any name, HTML, below; lines across the plot, or `marks` outside it."""
        parts, line = [], "h-4" if marks else f"H{self.x.end:g}"
        for value in up:
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{self.x.start:g} {y:g}{line}"/>')
            parts.append(f'<text class="y" x="{self.x.start - 7:g}" y="{y + 4:g}">{value:g}</text>')
        for value, words in across:
            x, foot = self.x(value), self.y.start
            parts.append(f'<path class="grid" d="M{x:g} {foot:g}v4"/>')
            parts.append(f'<text class="x" x="{x:g}" y="{foot + 17:g}">{words}</text>')
        middle = (self.x.start + self.x.end) / 2
        below = f'<text class="x name" x="{middle:g}" y="{self.y.start + 35:g}">{name}</text>' if name else ""
        return "".join([*parts, below])

    def cut(self, inner: str) -> str:
        """Return what is drawn inside, cut off where it leaves the plot."""
        box = f"{self.x.start:g} {self.y.end:g} {self.x.end - self.x.start:g} {self.y.start - self.y.end:g}".split()
        sides = " ".join(f'{name}="{side}"' for name, side in zip(("x", "y", "width", "height"), box, strict=True))
        return f'<svg {sides} viewBox="{" ".join(box)}">{inner}</svg>'


def svg(kind: str, width: float, height: float, alt: str, *parts: str) -> str:
    """Return a drawing named `alt`; all of it can be pointed at."""
    head = f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(alt, quote=True)}">'
    return f'{head}<rect width="100%" height="100%" fill="transparent"/>{"".join(parts)}</svg>'


def round_range(low: float, high: float) -> tuple[float, float, float]:
    """Return (bottom, top, step) of an axis with about five round steps around [low, high]."""
    step = _round_step(low, high)
    return floor(low / step) * step, ceil(high / step) * step, step


def round_ticks(low: float, high: float) -> list[float]:
    """Return at most six round values within [low, high]."""
    step = _round_step(low, high)
    return [round(n * step, 9) for n in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _round_step(low: float, high: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of which about five fit between low and high."""
    rough = ((high - low) or abs(high) or 1.0) / 5
    size = 10.0 ** floor(log10(rough))
    return next(size * nice for nice in (1, 2, 5, 10) if size * nice >= rough * 0.999)
