"""Any folder of images (train/CLASS/*.jpg, test/CLASS/*.jpg or CLASS/*.jpg), decoded once into a cache.

The cache is one npz file without pickles. It holds a fingerprint of the files it was made from (names,
sizes, times of change) and a SHA-256 of its arrays: a changed folder or a damaged cache is decoded anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from redlib.data.places import cache_root
from redlib.errors import BadInput
from redlib.progress import progress

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
_LAYOUT = "ROOT/train/CLASS/*.jpg with ROOT/test/CLASS/*.jpg, or ROOT/CLASS/*.jpg"
_FORMAT = 1  # of the cache file
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Listing:
    """The image files of a folder: paths and labels, training files first, and the names of the classes."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    n_train: int
    classes: tuple[str, ...]
    has_test: bool


def list_images(root: Path) -> Listing:
    """Return the images below `root` in a fixed order (class, then file name).

    With a folder `train` there must be `test` (or `val`) beside it, with the same classes; else the folders
    in `root` are the classes. Raises BadInput for no folder, no class, a class without images, or classes
    that differ between training and test.
    """
    if not root.is_dir():
        raise BadInput.of("root", str(root), f"a folder: {_LAYOUT}", "unpack the images there")
    if not (root / "train").is_dir():
        paths, labels, classes = _list_split(root)
        return Listing(paths, labels, len(paths), classes, has_test=False)
    other = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if other is None:
        raise BadInput.of("root", str(root), _LAYOUT, "add the test images, or pass ROOT/train as root")
    paths, labels, classes = _list_split(root / "train")
    test_paths, test_labels, test_classes = _list_split(other)
    if classes != test_classes:
        found = sorted(set(classes) ^ set(test_classes))
        remedy = f"compare {root / 'train'} and {other}"
        raise BadInput.of("classes", found, "the same in training and test", remedy)
    return Listing(paths + test_paths, labels + test_labels, len(paths), classes, has_test=True)


def read_folder(root: Path, *, size: int | None = None, mode: str = "RGB") -> tuple[Arrays, Listing]:
    """Return `({"x": uint8 [n, channels, height, width], "y": int64 [n]}, listing)`, training images first.

    `mode` is RGB or L (grey); `size` scales every image to size × size (bilinear), None asks that all have
    one size. Decoded images are kept in the cache; where it cannot be written, a warning says so.
    Raises BadInput for a bad folder (see list_images), an unreadable image, or images of several sizes.
    """
    if mode not in ("RGB", "L"):
        raise BadInput.of("mode", mode, "'RGB' or 'L'", "pass RGB for colour, L for grey")
    if size is not None and size < 1:
        raise BadInput.of("size", size, "size >= 1 or None", "pass the edge length in pixels")
    listing = list_images(root)
    name = hashlib.sha256(f"{root.resolve()} {mode} {size}".encode()).hexdigest()[:16]
    path = cache_root() / f"{root.name}-{name}.npz"
    return cached(path, _fingerprint(root, listing), lambda: _decode(listing, size, mode)), listing


def cached(path: Path, fingerprint: str, build: Callable[[], Arrays]) -> Arrays:
    """Return the arrays in the cache file `path`, or those of `build()`, which are then written there.

    A file with another fingerprint is replaced silently, a damaged one with a warning.
    """
    arrays = _read_cache(path, fingerprint)
    if arrays is None:
        arrays = build()
        try:
            _write_cache(path, fingerprint, arrays)
        except OSError as error:
            warnings.warn(f"cannot keep the data in {path}: {error}", RuntimeWarning, stacklevel=3)
    return arrays


def _list_split(split: Path) -> tuple[tuple[Path, ...], tuple[int, ...], tuple[str, ...]]:
    classes = sorted(d.name for d in split.iterdir() if d.is_dir() and not d.name.startswith("."))
    if not classes:
        raise BadInput.of("root", str(split), _LAYOUT, "put the images of each class into one folder")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(p for p in (split / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            allowed = f"a folder with images ({', '.join(sorted(SUFFIXES))})"
            raise BadInput.of("class folder", str(split / name), allowed, "remove it or add images")
        paths += found
        labels += [label] * len(found)
    return tuple(paths), tuple(labels), tuple(classes)


def _fingerprint(root: Path, listing: Listing) -> str:
    stats = [(p, p.stat()) for p in listing.paths]
    files = [[p.relative_to(root).as_posix(), s.st_size, s.st_mtime_ns] for p, s in stats]
    return hashlib.sha256(json.dumps([_FORMAT, PIL.__version__, files]).encode()).hexdigest()


def _decode(listing: Listing, size: int | None, mode: str) -> Arrays:
    first = _open(listing.paths[0], size, mode)
    x = np.empty((len(listing.paths), *first.shape), dtype=np.uint8)
    for row, path in enumerate(progress(listing.paths, "decoding images")):
        image = _open(path, size, mode)
        if image.shape != first.shape:
            allowed = f"one size, {first.shape[2]} × {first.shape[1]} as the first"
            found = f"{path}: {image.shape[2]} × {image.shape[1]}"
            raise BadInput.of("image size", found, allowed, "pass size=N to scale all to N × N")
        x[row] = image
    return {"x": x, "y": np.array(listing.labels, dtype=np.int64)}


def _open(path: Path, size: int | None, mode: str) -> np.ndarray:
    """Return one image as uint8 [channels, height, width]."""
    try:
        with Image.open(path) as stored:
            image = stored.convert(mode)
    except OSError as error:  # PIL's UnidentifiedImageError is one
        raise BadInput.of("image", str(path), "an intact image", f"remove or replace it ({error})") from error
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _read_cache(path: Path, fingerprint: str) -> Arrays | None:
    """Return the cached arrays, or None if there are none for this fingerprint; warn if they are damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["fingerprint"]) != fingerprint:
                return None
            arrays = {name: file[name] for name in ("x", "y")}
            intact = str(file["checksum"]) == _checksum(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        intact = False
    if intact:
        return arrays
    warnings.warn(f"cache {path} is damaged: the data are made anew", RuntimeWarning, stacklevel=4)
    return None


def _write_cache(path: Path, fingerprint: str, arrays: Arrays) -> None:
    """Write the cache in one step: whoever reads it sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            proof = {"fingerprint": np.array(fingerprint), "checksum": np.array(_checksum(arrays))}
            np.savez(file, allow_pickle=False, **proof, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
