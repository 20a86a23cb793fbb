"""Glyphs: ten letters in the fonts that matplotlib ships, bent, moved and thickened by chance, 28 × 28 grey pixels.

A second data set beside MNIST that needs no network: 60,000 images to train on, 10,000 to test. The letters share most
of their strokes (C G, E F, P R, K X, V Y), so that one has to look closely, and none of them looks like a digit.

FreeType's hinting differs between versions and builds, and with it Pillow's letters. So outlines are read from the
font files, in whole units, and drawn here, by the distance of every pixel to them. On the way there are sums, products,
quotients, roots and comparisons of float64 alone, which IEEE 754 rounds alike on every machine; a rotation is told by
the tangent of half its angle, as libraries disagree on sines. The bits depend on the font files (their digest is part
of the provenance) and on NumPy's PCG64, and on nothing else.

How far images vary was chosen on the draws of seed 1000, so that an MLP errs about as often as on MNIST: 784-300-100-10
misses 3.0% of the test images after 10,000 to train on (MNIST: 4.3%).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from redlib.data.folder import Arrays, cached, some
from redlib.data.numbers import whole
from redlib.data.places import cache_root
from redlib.data.streams import rng
from redlib.errors import BadInput

LETTERS = "CEFGKPRVXY"  # class 0 is C
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
)
SIDE = 28
SIZES = {"train": 60_000, "test": 10_000}
VARIATIONS = {  # what is drawn for each image: (middle, farthest from it), by a sum of two uniform draws
    "half_tangent": (0.0, 0.26),  # of half the angle: rotations of up to 29 degrees
    "shear": (0.0, 0.5),  # of the top and the bottom, in half heights
    "half_height": (8.5, 2.5),  # in pixels
    "stretch": (1.0, 0.35),  # of the width
    "right": (0.0, 4.0),  # in pixels
    "up": (0.0, 4.0),
    "bolder": (0.0, 0.6),  # pixels added on either side of a stroke, or taken off
    "softness": (1.4, 0.8),  # pixels over which an edge fades
}
Floats = np.ndarray
Variation = dict[str, Floats]

_DRAWING = 1  # raised whenever a change of this file moves a pixel: caches of before are then drawn anew
_BLOCK = 250  # images whose variations one stream draws
_CHORDS = (0.25, 0.5, 0.75)  # places on a curve that become corners
_GRID, _REACH = 96, 1.6  # points a side where distances are kept; from -reach to reach, in half heights of a letter
_STEP = 2 * _REACH / (_GRID - 1)


@lru_cache(maxsize=2)
def generate_glyphs(seed: int) -> Arrays:
    """Return the data set of a seed: x uint8 [60000, 28, 28], y int64 [60000], x_test and y_test; all read-only.

    Kept in memory and in the cache folder, as drawing takes seconds. Raises BadInput where matplotlib's fonts are not
    where it keeps them.
    """
    found = cached(cache_root() / f"glyphs-{seed}.npz", _made_by(), lambda: _generated(seed))
    for values in found.values():
        values.flags.writeable = False
    return found


def fonts_digest() -> str:
    """Return the SHA-256 (hex) of the font files that letters are drawn from, in their order."""
    sha = hashlib.sha256()
    for path in font_files():
        sha.update(path.read_bytes())
    return sha.hexdigest()


def font_files() -> list[Path]:
    """Return the font files, of matplotlib's own; BadInput names those that are not there."""
    import matplotlib  # slow to import, needed here only

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [folder / f"{name}.ttf" for name in FONTS]
    if missing := [path.name for path in files if not path.is_file()]:
        remedy = "Install matplotlib from PyPI or conda-forge: some systems take its fonts out."
        raise BadInput.of(f"fonts in {folder}", f"without {some(missing)}", "all that matplotlib ships", remedy)
    return files


def glyphs(n: int, seed: int, part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return the first n images of a part, uint8 [n, 28, 28], and their classes int64 [n]: 0, 1, ... 9, 0, ...

    Fewer are the beginning of more. The parts "train" and "test" have draws of their own; BadInput for others.
    """
    n = whole("n", n, 1, "pass the number of images")
    if part not in SIZES:
        raise BadInput.of("part", part, f"one of {list(SIZES)}", "name one")
    y = np.arange(n) % len(LETTERS)
    fonts, how = variations(n, seed, part)
    blocks = [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
    x = [draw(y[own], fonts[own], {name: values[own] for name, values in how.items()}) for own in blocks]
    return np.concatenate(x), y


def variations(n: int, seed: int, part: str) -> tuple[np.ndarray, Variation]:
    """Return the font of each of n images, int64 [n], and by name how it is drawn (VARIATIONS), float64 [n] each."""
    key, blocks = list(SIZES).index(part), range(-(-n // _BLOCK))
    width = 1 + 2 * len(VARIATIONS)
    uniform = np.concatenate([rng(seed, "glyphs", key, b).random((_BLOCK, width)) for b in blocks])[:n]
    fonts, pairs = np.floor(len(FONTS) * uniform[:, 0]).astype(np.int64), uniform[:, 1:].reshape(n, -1, 2)
    away = pairs[..., 0] + pairs[..., 1] - 1
    return fonts, {name: mid + far * away[:, i] for i, (name, (mid, far)) in enumerate(VARIATIONS.items())}


def draw(classes: np.ndarray, fonts: np.ndarray, how: Variation) -> np.ndarray:
    """Return images uint8 [n, 28, 28] of letters by class and number of the font, [n] each, varied as `how` says."""
    v = {name: values[:, None, None] for name, values in how.items()}
    # From a pixel back to the letter: not moved, not turned, in half heights, not sheared, not stretched.
    at = np.arange(SIDE) - (SIDE - 1) / 2
    right, up = at - v["right"], -at[:, None] - v["up"]
    square = v["half_tangent"] * v["half_tangent"]
    cos, sin = (1 - square) / (1 + square), 2 * v["half_tangent"] / (1 + square)
    high = (cos * up - sin * right) / v["half_height"]
    wide = ((cos * right + sin * up) / v["half_height"] - v["shear"] * high) / v["stretch"]
    pixels = _read(fonts * len(LETTERS) + classes, high, wide) * v["half_height"] * np.sqrt(v["stretch"])
    grey = np.clip(0.5 + (pixels + v["bolder"]) / v["softness"], 0, 1)
    return np.floor(255 * grey + 0.5).astype(np.uint8)


@lru_cache(maxsize=1)
def distances() -> np.ndarray:
    """Return how far inside its letter each point of a grid lies, float32 [fonts * letters, grid, grid].

    Negative outside; in half heights of the letter. Rows go up, columns to the right, both from -1.6 to 1.6. Kept in
    the cache folder, as measuring takes seconds.
    """
    return cached(cache_root() / "glyphs-outlines.npz", _made_by(), lambda: {"inside": _measured()})["inside"]


def outline(font: Any, letter: str) -> Floats:
    """Return the polygons around a letter of a TrueType font (fontTools) as segments [n, 2, 2]: from and to, x and y.

    A curve becomes four chords. The box of the letter is centred on 0 and reaches from -1 to 1 in height.
    """
    table = font["glyf"]
    points, ends, flags = table[font.getBestCmap()[ord(letter)]].getCoordinates(table)
    breaks = [end + 1 for end in ends[:-1]]
    contours = np.split(np.array(list(points), dtype=np.float64), breaks)
    known = np.split(np.array([bool(flag & 1) for flag in flags]), breaks)
    polygons = [polygon(*each) for each in zip(contours, known, strict=True)]
    low, high = np.concatenate(polygons).min(0), np.concatenate(polygons).max(0)
    segments = np.concatenate([np.stack([each, np.roll(each, -1, 0)], 1) for each in polygons])
    segments = (segments - (low + high) / 2) * (2 / (high[1] - low[1]))
    return segments[(segments[:, 0] != segments[:, 1]).any(1)]


def polygon(points: Floats, known: np.ndarray) -> Floats:
    """Return a closed TrueType contour as the corners of a polygon [m, 2].

    `points` [n, 2] lie on the contour where `known` [n], else they pull at it: quadratic Bézier curves. Between two
    that pull, the contour goes through the middle, which font files leave out.
    """
    every: list[tuple[Floats, bool]] = []
    for here, there, on, next_on in zip(points, np.roll(points, -1, 0), known, np.roll(known, -1), strict=True):
        every.append((here, bool(on)))
        if not (on or next_on):
            every.append(((here + there) / 2, True))
    corners: list[Floats] = []
    for i, (point, on) in enumerate(every):
        before, after = every[i - 1][0], every[(i + 1) % len(every)][0]
        curve = ((1 - t) * (1 - t) * before + 2 * t * (1 - t) * point + t * t * after for t in _CHORDS)
        corners += [point] if on else curve
    return np.array(corners)


def inside(segments: Floats) -> np.ndarray:
    """Return how far the points of the grid lie inside closed polygons [n, 2, 2], float32 [grid, grid].

    Negative outside, which is where the polygons wind zero times around a point.
    """
    x = np.arange(_GRID) * _STEP - _REACH
    y = x[:, None]
    nearest, winding = np.full((_GRID, _GRID), np.inf), np.zeros((_GRID, _GRID), np.int64)
    for (x0, y0), (x1, y1) in segments:
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        off_x, off_y = x - x0 - along * dx, y - y0 - along * dy
        nearest = np.minimum(nearest, off_x * off_x + off_y * off_y)
        left = dx * (y - y0) > dy * (x - x0)
        winding += (y0 <= y) & (y < y1) & left
        winding -= (y1 <= y) & (y < y0) & ~left
    return (np.where(winding != 0, 1, -1) * np.sqrt(nearest)).astype(np.float32)


def _made_by() -> str:
    """Return what decides every bit, for the cache to be compared with."""
    settings = [_DRAWING, LETTERS, FONTS, SIZES, VARIATIONS, _BLOCK, _CHORDS, _GRID, _REACH]
    return json.dumps([*settings, fonts_digest(), importlib.metadata.version("numpy")])


def _generated(seed: int) -> Arrays:
    (x, y), (x_test, y_test) = (glyphs(n, seed, part) for part, n in SIZES.items())
    return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}


def _measured() -> np.ndarray:
    from fontTools.ttLib import TTFont  # slow to import, needed here only

    found = []
    for path in font_files():
        with _dates_ignored(), TTFont(path) as font:
            found += [inside(outline(font, letter)) for letter in LETTERS]
    return np.stack(found)


@contextmanager
def _dates_ignored() -> Iterator[None]:
    """Keep fontTools from saying that some of the fonts have no plausible date."""
    log = logging.getLogger("fontTools.ttLib.tables._h_e_a_d")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _read(numbers: np.ndarray, high: Floats, wide: Floats) -> Floats:
    """Return the distances of letters by number [n], read between the points of the grid at places [n, 28, 28]."""
    field = distances().ravel()
    (row, down), (column, beside) = _split(high), _split(wide)
    first = numbers[:, None, None] * (_GRID * _GRID) + row * _GRID + column
    low, above = (field[at] * (1 - beside) + field[at + 1] * beside for at in (first, first + _GRID))
    return np.asarray(low * (1 - down) + above * down)


def _split(place: Floats) -> tuple[np.ndarray, Floats]:
    """Return the point of the grid before a place, and how far beyond it the place is, in steps; edges go on."""
    steps = np.clip((place + _REACH) / _STEP, 0, _GRID - 1)
    before = np.minimum(np.floor(steps), _GRID - 2)
    return before.astype(np.int64), steps - before
