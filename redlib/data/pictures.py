"""One image file as 8-bit pixels: upright, scaled by the range of its format, or refused; what was changed is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from redlib.errors import BadInput

MODES = ("RGB", "L")
_WHITE = 255  # of the pixels returned
_WHITE_16 = 2**16 - 1
_TURNED = range(2, 9)  # EXIF orientations other than upright
_SIGNED, _WHITE_IS_ZERO = 2, 0  # values of the TIFF tags SampleFormat and PhotometricInterpretation
_HIGH_BYTE = re.compile(r";16[BLN]$")  # raw modes of two bytes a channel; those of BMP (BGR;16) have two a pixel
_FORMATS = "grey or colour of at most 8 bits, grey of 16 bits (12 in TIFF), or floats from 0 (black) to 1 (white)"


class Picture(NamedTuple):
    """Pixels uint8 [channels, height, width], and in words what reading changed beyond the mode asked for."""

    pixels: np.ndarray
    changes: tuple[str, ...]


def read_picture(path: Path, mode: str = "RGB", size: int | None = None, background: str | None = None) -> Picture:
    """Return the picture in a file, turned upright by its EXIF orientation, in `mode` RGB or L (grey).

    Deep grey values are scaled by the range of their format, 0..65535 or 0..1, to 0..255; of deep colours the high byte
    of each channel is kept (a PPM's are scaled), which `changes` says. `size` scales the picture to
    size × size (bilinear). Where it is transparent, the colour `background` (a name or #rrggbb) shines through. Raises
    BadInput, naming the file, for damage of whatever kind, transparency without a background, several pictures in one
    file (previews of a photograph do not count), and values whose range is not known: signed, 32 bits, floats outside
    0..1, NaN.
    """
    try:
        # As a file, not by its name: Pillow 13 maps an uncompressed TIFF into memory and scrambles it if it is turned.
        with path.open("rb") as file, Image.open(file) as stored:
            return _read(stored, path, mode, size, background)
    except BadInput:
        raise
    except Exception as error:  # a decoder raises whatever it stumbles over: SyntaxError, struct.error, a bomb's error
        raise BadInput.of("image", str(path), "an intact image", f"remove or replace it ({error})") from error


def check_background(background: str | None) -> None:
    """Raise BadInput unless `background` is None or the name of a colour as CSS and Pillow know it."""
    if background is None:
        return
    allowed = "the name of an opaque colour such as 'white', or '#808080'"
    try:
        opaque = len(ImageColor.getrgb(background)) == len("RGB")
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput.of("background", background, allowed, "name one") from error
    if not opaque:
        raise BadInput.of("background", background, allowed, "leave its transparency out")


def _read(stored: Image.Image, path: Path, mode: str, size: int | None, background: str | None) -> Picture:
    # A photograph with previews (MPO) has the picture itself in front; of a page or a film nobody knows which is meant.
    frames = getattr(stored, "n_frames", 1)
    if frames > 1 and stored.format != "MPO":
        raise BadInput.of("image", f"{path}: {frames} pictures", "one picture a file", "store each in its own file")
    changes, upright = _deep_colour(stored), stored
    if stored.getexif().get(ExifTags.Base.Orientation) in _TURNED:
        changes.append("turned upright by their EXIF orientation")
        upright = ImageOps.exif_transpose(stored)  # a TIFF turns itself, and says then that it is upright
    if _is_deep(stored):
        changes.append(f"scaled from {'floats 0..1' if stored.mode == 'F' else f'{_bits(stored)} bits'} to 8 bits")
        upright = Image.fromarray(_scaled(stored, np.asarray(upright), path))
    elif upright.has_transparency_data:
        upright, laid = _laid(upright, path, background)
        changes += [f"laid over {background}"] * laid
    elif stored.mode == "CMYK":
        changes.append("turned from CMYK to RGB without a colour profile")
    image = upright.convert(mode)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return Picture(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), tuple(changes))


def _is_deep(stored: Image.Image) -> bool:
    """Return whether Pillow's own conversion would clip the values at 255, or take negative ones for large."""
    return stored.mode[0] in "IF" or _tag(stored, SAMPLEFORMAT, 1) == _SIGNED


def _deep_colour(stored: Image.Image) -> list[str]:
    """Return what Pillow does with colours of more than 8 bits a channel, in words; nothing for others."""
    if _is_deep(stored):
        return []
    # Before the pixels are read the tiles say how they lie in the file: (codec, extents, offset, raw mode or a tuple).
    found = []
    for *_, arguments in getattr(stored, "tile", []):
        raw, *others = arguments if isinstance(arguments, tuple) else (arguments,)
        if isinstance(raw, str) and _HIGH_BYTE.search(raw):
            found.append("cut from 16 to 8 bits a channel (the high byte)")
        elif stored.format == "PPM" and others and isinstance(others[0], int) and others[0] > _WHITE:
            found.append(f"scaled from 0..{others[0]} to 0..{_WHITE} a channel")
    return sorted(set(found))


def _scaled(stored: Image.Image, values: np.ndarray, path: Path) -> np.ndarray:
    """Return grey values of any depth as uint8, by the range of their format; BadInput where that is not known."""
    top = _top(stored)
    found = f"{path}: {_bits(stored)} bits, mode {stored.mode} of {stored.format}"
    if top is None or "transparency" in stored.info:
        raise BadInput.of("pixel format", found, _FORMATS, "convert it first, knowing what is black and what is white")
    low, high = float(values.min()), float(values.max())  # NaN if there is one
    if not 0 <= low <= high <= top:
        raise BadInput.of("pixel values", f"{path}: {low:g}..{high:g}", f"0..{top:g}", "scale or mend them first")
    return np.rint(values * (_WHITE / top)).astype(np.uint8)


def _top(stored: Image.Image) -> float | None:
    """Return which value is white, None where the format does not say or has it the other way round."""
    if _tag(stored, SAMPLEFORMAT, 1) == _SIGNED or _tag(stored, PHOTOMETRIC_INTERPRETATION, 1) == _WHITE_IS_ZERO:
        return None
    if stored.mode == "F":
        return 1.0
    if stored.mode.startswith("I;16"):
        return float(2 ** _bits(stored) - 1)
    return float(_WHITE_16) if stored.format in ("PNG", "PPM") else None  # Pillow scales a PPM's own maximum to this


def _bits(stored: Image.Image) -> int:
    """Return how many bits a grey value has: what a TIFF says, else what the format holds where it is deep."""
    return _tag(stored, BITSPERSAMPLE, 16)


def _tag(stored: Image.Image, number: int, default: int) -> int:
    """Return the (first) value of a TIFF tag, the default where there is none."""
    value = getattr(stored, "tag_v2", {}).get(number, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _laid(image: Image.Image, path: Path, background: str | None) -> tuple[Image.Image, bool]:
    """Return an image without transparency, and whether there was any beyond an opaque alpha channel."""
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == _WHITE:
        return image, False
    if background is None:
        remedy = "pass background='white', or another colour that is to shine through"
        raise BadInput.of("image", f"{path}: transparent", "opaque images", remedy)
    ground = Image.new("RGBA", layer.size, background)
    ground.alpha_composite(layer)
    return ground.convert("RGB"), True
