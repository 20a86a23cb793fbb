"""What the static twins of all explorers share: a piece of HTML that works offline and without a kernel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, Final

from redlib.errors import BadInput

MAX_BYTES: Final = 150_000
_TEMPLATES = Path(__file__).parent / "templates"


def fragment(
    template: str, data: Mapping[str, Any], body: Callable[[str], str], *, remedy: str, title: str = ""
) -> str:
    """Return a twin: <template>.css, the title, what `body` makes of the twin's id, <template>.js with `data` as JSON.

    The id comes from all of that content: twins that differ have ids of their own, and the same content gives the same
    bytes. `body` returns HTML, with names escaped. BadInput, which advises the `remedy`, above MAX_BYTES.
    """
    payload = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    id = "twin-" + hashlib.sha256(repr((template, payload, title, body(""))).encode()).hexdigest()[:8]
    style, script = ((_TEMPLATES / f"{template}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    script = script.replace('"ID"', f'"{id}"').replace("DATA);", f"{payload});")
    head = f'<p class="title">{escape(title)}</p>' if title else ""
    html = (
        f'<div id="{id}" class="explorer"><style>{style.replace("ID", id)}</style>{head}{body(id)}'
        f"<script>{script}</script></div>"
    )
    size = len(html.encode())
    if size > MAX_BYTES:
        raise BadInput.of("size of the explorer", size, f"<= {MAX_BYTES} bytes", remedy)
    return html


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
