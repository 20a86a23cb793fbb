"""Any folder of images (train/CLASS/*.jpg, test/CLASS/*.jpg or CLASS/*.jpg), decoded once into a cache.

The cache is one npz file without pickles. It holds a fingerprint of the files it was made from (their names and their
content) and a SHA-256 of its arrays: a changed folder or a damaged cache is decoded anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL

from redlib.data.pictures import MODES, check_background, read_picture
from redlib.data.places import cache_root
from redlib.errors import BadInput
from redlib.progress import progress

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
# What programs leave beside data, and what begins with a dot (.ipynb_checkpoints, ._0.png), is no data.
LEFT_BEHIND = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "lost+found"})
_LAYOUT = "ROOT/train/CLASS/*.jpg with ROOT/test/CLASS/*.jpg, or ROOT/CLASS/*.jpg"
_FORMAT = 3  # of the cache file and of what it tells
_PROOF = frozenset({"fingerprint", "checksum"})  # what the cache holds beside the arrays
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Listing:
    """The image files of a folder: paths and labels, training files first, and the names of the classes."""

    root: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    n_train: int
    classes: tuple[str, ...]
    has_test: bool

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the paths below the root, with / between their parts on every system."""
        return tuple(path.relative_to(self.root).as_posix() for path in self.paths)


def list_images(root: Path) -> Listing:
    """Return the images below `root` in a fixed order (class, then file name).

    With a folder `train` there must be `test` (or `val`) beside it, with the same classes; else the folders
    in `root` are the classes. Links are followed, but never back to a folder above; hidden files and folders, and what
    programs leave behind (LEFT_BEHIND), are passed over. Raises BadInput for no folder, no class, a class without
    images, classes that differ between training and test, and for empty files and links to nothing.
    """
    if not root.is_dir():
        raise BadInput.of("root", str(root), f"a folder: {_LAYOUT}", "unpack the images there")
    if not (root / "train").is_dir():
        paths, labels, classes = _list_split(root)
        return Listing(root, _whole(paths), labels, len(paths), classes, has_test=False)
    other = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if other is None:
        raise BadInput.of("root", str(root), _LAYOUT, "add the test images, or pass ROOT/train as root")
    paths, labels, classes = _list_split(root / "train")
    test_paths, test_labels, test_classes = _list_split(other)
    if classes != test_classes:
        found = sorted(set(classes) ^ set(test_classes))
        remedy = f"compare {root / 'train'} and {other}"
        raise BadInput.of("classes", found, "the same in training and test", remedy)
    every = _whole(paths + test_paths)
    return Listing(root, every, labels + test_labels, len(paths), classes, has_test=True)


def read_folder(
    root: Path, *, size: int | None = None, mode: str = "RGB", background: str | None = None
) -> tuple[Arrays, Listing]:
    """Return `({"x": uint8 [n, channels, height, width], "y": int64 [n], "changes": str [k]}, listing)`.

    Training images come first. `mode` is RGB or L (grey); `size` scales every image to size × size (bilinear), None
    asks that all have one size; `background` is the colour behind transparent ones, None asks that there are none.
    "changes" says what reading changed in how many images (see read_picture). Decoded images are kept in the cache;
    where it cannot be written, a warning says so. Raises BadInput for a bad folder (see list_images), an image that
    cannot be read (see read_picture), or images of several sizes.
    """
    if mode not in MODES:
        raise BadInput.of("mode", mode, "'RGB' or 'L'", "pass RGB for colour, L for grey")
    if size is not None and not (isinstance(size, int | np.integer) and size >= 1):
        raise BadInput.of("size", size, "a whole number >= 1, or None", "pass the edge length in pixels")
    check_background(background)
    listing = list_images(root)
    asked = f"{root.resolve()} {mode} {size}" + (f" {background}" if background else "")
    # Under an ASCII locale the name of a folder holds surrogates for the bytes that are none.
    name = hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = cache_root() / f"{root.name}-{name}.npz"
    return cached(path, _fingerprint(listing), lambda: _decode(listing, size, mode, background)), listing


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


def some(names: Sequence[object], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def _list_split(split: Path) -> tuple[tuple[Path, ...], tuple[int, ...], tuple[str, ...]]:
    above = (split.resolve(),)
    classes = sorted(path.name for path, is_folder in _inside(split, above) if is_folder)
    if not classes:
        raise BadInput.of("root", str(split), _LAYOUT, "put the images of each class into one folder")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(_images(split / name, above))
        if not found:
            allowed = f"a folder with images ({', '.join(sorted(SUFFIXES))})"
            raise BadInput.of("class folder", str(split / name), allowed, "remove it or add images")
        paths += found
        labels += [label] * len(found)
    return tuple(paths), tuple(labels), tuple(classes)


def _images(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the image files in `folder` and in those below it; `above` are the real folders on the way here."""
    chain = (*above, folder.resolve())
    for path, is_folder in _inside(folder, chain):
        if is_folder:
            yield from _images(path, chain)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _inside(folder: Path, chain: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """Yield what is data in `folder`, and whether it is a folder; not links back to what holds one of `chain`."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in LEFT_BEHIND:
            continue
        is_folder = path.is_dir()
        if not (is_folder and any(real.is_relative_to(path.resolve()) for real in chain)):
            yield path, is_folder


def _whole(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the paths if there is something in every file; BadInput with all that are empty, or no file at all."""
    sizes = [_size(path) for path in paths]
    if gone := [path for path, size in zip(paths, sizes, strict=True) if size is None]:
        raise BadInput.of("image files", some(gone), "files", "remove these links to nothing, or what else they are")
    if empty := [path for path, size in zip(paths, sizes, strict=True) if size == 0]:
        raise BadInput.of("image files", some(empty), "files that are not empty", "fetch them again, or remove them")
    return paths


def _size(path: Path) -> int | None:
    """Return the size of a file in bytes, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _fingerprint(listing: Listing) -> str:
    """Return a digest of names and content: a replaced file may have the old size and the old time of change."""
    files = list(zip(listing.names, map(_content, listing.paths), strict=True))
    return hashlib.sha256(json.dumps([_FORMAT, PIL.__version__, files]).encode()).hexdigest()


def _content(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput.of("image", str(path), "a file that can be read", f"look at it ({error})") from error


def _decode(listing: Listing, size: int | None, mode: str, background: str | None) -> Arrays:
    first = read_picture(listing.paths[0], mode, size, background).pixels
    x = np.empty((len(listing.paths), *first.shape), dtype=np.uint8)
    changes: Counter[str] = Counter()
    for row, path in enumerate(progress(listing.paths, "decoding images")):
        image, changed = read_picture(path, mode, size, background)
        if image.shape != first.shape:
            allowed = f"one size, {first.shape[2]} × {first.shape[1]} as the first"
            found = f"{path}: {image.shape[2]} × {image.shape[1]}"
            raise BadInput.of("image size", found, allowed, "pass size=N to scale all to N × N")
        x[row] = image
        changes.update(changed)
    told = [f"{count} of {len(x)} images {change}" for change, count in sorted(changes.items())]
    return {"x": x, "y": np.array(listing.labels, dtype=np.int64), "changes": np.array(told, dtype=np.str_)}


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
            arrays = {name: file[name] for name in file.files if name not in _PROOF}
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
