"""From the name of a data set to resident tensors: read, subset, split, scale, digest."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data.folder import some
from redlib.data.readers import READERS, Raw, Wanted
from redlib.data.streams import rng
from redlib.errors import BadInput

_FOLDER_PREFIX = "imagefolder:"
_SCALINGS = ("unit", "standard", None)
_POOL, _TEST = 0, 1  # keys of the stream "split"


@dataclass(frozen=True, eq=False)
class Split:
    """Examples x float32 [n, features] or [n, channels, ...], contiguous, and class indices y int64 [n]."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.y)

    def to(self, device: str | torch.device) -> Split:
        """Return the same examples on `device`."""
        return Split(self.x.to(device), self.y.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory; `digest` (SHA-256, hex) names the tensors, `provenance` says how they came."""

    name: str
    train: Split
    validation: Split | None
    test: Split
    classes: int
    digest: str
    provenance: dict[str, Any]

    def to(self, device: str | torch.device) -> Dataset:
        """Return the same data set on `device`; digest and provenance stay."""
        validation = None if self.validation is None else self.validation.to(device)
        train, test = self.train.to(device), self.test.to(device)
        return dataclasses.replace(self, train=train, validation=validation, test=test)


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
    n_train: int | None = None,
    n_validation: int = 0,
    n_test: int | None = None,
    seed: int = 0,
    flatten: bool = True,
    normalise: str | None = "unit",
    **options: Any,
) -> Dataset:
    """Return the data set `name`, resident on the CPU, with train, validation and test disjoint.

    Names: digits; mnist1d, mnist1d_b (the same generator with ten other templates) and glyphs (letters, drawn from
    fonts), with the option generator_seed; mnist, fashion_mnist, kmnist, cifar10, cifar100; and image_folder
    (root=FOLDER; options label, size, mode, background), also written "imagefolder:FOLDER".
    `root`: folder of the files, else REDLIB_DATA, else data/ in the project; what is missing is downloaded.
    `n_train`, `n_validation`, `n_test`: stratified subsets, drawn by `seed` in the stream "split"; a smaller
    n_train gives the first rows of a larger one (mnist1d: if the total stays). Validation comes from the
    training pool; a data set without test set gives it from its pool too. None: what the source has.
    `flatten`: [n, features], else [n, channels, height, width] (mnist1d: [n, 1, 40]).
    `normalise`: "unit" divides by the largest grey value (255; digits 16; mnist1d stays); "standard" takes
    off the mean and divides by the standard deviation of each channel of the training split; None keeps the
    stored values. Raises BadInput for an unknown name, option or size and for data that are no data (NaN, labels of no
    class), DataMissing for no files. A warning names images of a folder that lie on both sides of a split.
    """
    if normalise not in _SCALINGS:
        raise BadInput.of("normalise", normalise, f"one of {_SCALINGS}", "see the docstring of load")
    wanted = _wanted(name, root, download, n_train, n_validation, n_test)
    raw = _read(wanted, options)
    rows = _divided(raw, wanted, seed)
    parts = _scaled({part: _part(raw, part, own) for part, own in rows.items()}, raw.top, normalise)
    splits = {part: _split(x, y, flatten) for part, (x, y) in parts.items()}
    provenance = (
        raw.source
        | {
            "sizes": {part: len(split) for part, split in splits.items()},
            "seeds": {"split": seed} | raw.seeds,
            "normalise": normalise,
        }
        | _told(raw.name or name, _copies(raw, rows))
    )
    held_out = splits.get("validation"), splits["test"]
    return Dataset(raw.name or name, splits["train"], *held_out, raw.classes, digest(splits), provenance)


def digest(splits: dict[str, Split]) -> str:
    """Return the SHA-256 (hex) over name, dtype, shape and bytes of every tensor, without copying them."""
    sha = hashlib.sha256()
    for name, split in splits.items():
        for tensor in (split.x, split.y):
            array = np.ascontiguousarray(tensor.cpu().numpy())
            sha.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            sha.update(array.data)
    return sha.hexdigest()


def stratified_order(y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a random permutation [n] of which every stretch holds all classes in proportion, to within one.

    The j-th of a class's c examples is placed at (j + ½)/c of the way, ties in random order.
    """
    shuffled = generator.permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        rows = np.flatnonzero(y[shuffled] == label)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return shuffled[np.argsort(place, kind="stable")]


def _wanted(
    name: str,
    root: str | os.PathLike[str] | None,
    download: bool,
    n_train: int | None,
    n_validation: int,
    n_test: int | None,
) -> Wanted:
    name = str(name)
    if name.startswith(_FOLDER_PREFIX):
        if root is not None:
            raise BadInput.of("root", str(root), f"None with {name!r}", "name the folder once")
        name, root = "image_folder", name.removeprefix(_FOLDER_PREFIX)
    if name not in READERS:
        allowed = f"one of {sorted(READERS)} or imagefolder:FOLDER"
        raise BadInput.of("data set", name, allowed, "choose a name or pass a folder of images")
    sizes = {"n_train": (n_train, 1), "n_validation": (n_validation, 0), "n_test": (n_test, 1)}
    for what, (size, least) in sizes.items():
        if size is not None and not (isinstance(size, int | np.integer) and size >= least):
            raise BadInput.of(what, size, f"an integer >= {least}", "pass the number of examples")
    return Wanted(name, root, download, n_train, n_validation, n_test)


def _read(wanted: Wanted, options: dict[str, Any]) -> Raw:
    reader = READERS[wanted.name]
    known = [p.name for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(set(options) - set(known)):
        raise BadInput.of(f"options of {wanted.name}", unknown, f"one of {known}", "correct or leave out")
    raw = reader(wanted, **options)
    _check(raw, wanted.name)
    return raw


def _divided(raw: Raw, wanted: Wanted, seed: int) -> dict[str, np.ndarray]:
    """Return the rows of each part; those of "test" count in the source's own test set where it has one.

    Training rows come from the start of the order, held-out parts from its end, so the training rows of a
    size do not depend on how much is held out, as long as there is enough.
    """
    pool = stratified_order(raw.y, rng(seed, "split", _POOL))
    n_test = raw.default_test if wanted.n_test is None else wanted.n_test
    if raw.x_test is None or raw.y_test is None:
        assert n_test is not None, "a reader without a test set names its default size"
        pool, held = _taken(pool, n_test, "n_test")
    else:
        order = stratified_order(raw.y_test, rng(seed, "split", _TEST))
        held = _taken(order, len(order) if n_test is None else n_test, "n_test", spare=0)[1]
    pool, validation = _taken(pool, wanted.n_validation, "n_validation")
    n_train = wanted.n_train or raw.default_train or len(pool)
    if n_train > len(pool):
        raise BadInput.of("n_train", n_train, f"1 <= n_train <= {len(pool)} (what is left)", "ask for fewer")
    return {"train": pool[:n_train]} | ({"validation": validation} if len(validation) else {}) | {"test": held}


def _part(raw: Raw, part: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples of a part as stored, and their labels."""
    if part == "test" and raw.x_test is not None and raw.y_test is not None:
        return raw.x_test[rows], raw.y_test[rows]
    return raw.x[rows], raw.y[rows]


def _check(raw: Raw, name: str) -> None:
    """Refuse what cannot be a data set: images without labels, labels of no class, numbers that are none."""
    remedy = "mend the source, or fetch it again"
    for what, x, y in (("", raw.x, raw.y), ("test ", raw.x_test, raw.y_test)):
        if x is None or y is None:
            continue
        if len(x) != len(y):
            raise BadInput.of(f"{what}labels of {name}", len(y), f"{len(x)}, one for each example", remedy)
        if y.dtype.kind not in "iu":
            raise BadInput.of(f"{what}labels of {name}", str(y.dtype), "whole numbers", remedy)
        if y.size and not 0 <= y.min() <= y.max() < raw.classes:
            raise BadInput.of(f"{what}labels of {name}", f"{y.min()}..{y.max()}", f"0..{raw.classes - 1}", remedy)
        if len(bad := _not_finite(x)):
            found = f"NaN or infinity in {len(bad)} of {len(x)} (rows {some(bad.tolist())})"
            raise BadInput.of(f"{what}examples of {name}", found, "finite numbers", remedy)


def _not_finite(x: np.ndarray) -> np.ndarray:
    """Return the rows of x that are not finite as float32; whole numbers all are."""
    if x.dtype.kind != "f" or not x.size:
        return np.empty(0, dtype=np.int64)
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32, copy=False))
    return np.flatnonzero(~finite.reshape(len(x), -1).all(1))


def _copies(raw: Raw, rows: dict[str, np.ndarray]) -> list[str]:
    """Return which files hold an image that an earlier part holds, too, e.g. "b/1.png (test) = a/0.png (train)"."""
    if not raw.files:
        return []
    first: dict[bytes, tuple[str, str]] = {}
    found = []
    for part, own in rows.items():
        apart = part == "test" and raw.x_test is not None
        x, files = (raw.x_test, raw.files_test) if apart else (raw.x, raw.files)
        assert x is not None
        for row in own:
            image = hashlib.blake2b(x[row].tobytes()).digest()
            earlier, file = first.setdefault(image, (part, files[row]))
            if earlier != part:
                found.append(f"{files[row]} ({part}) = {file} ({earlier})")
    return found


def _told(name: str, copies: list[str]) -> dict[str, int]:
    """Warn of images on both sides of the split; return their number for the provenance, nothing if there are none."""
    if not copies:
        return {}
    told = f"{name} holds the same image on both sides of the split, {len(copies)} times: {some(copies)}"
    warnings.warn(f"{told}. Remove them, or the errors measured are too low", RuntimeWarning, stacklevel=3)
    return {"copies across the split": len(copies)}


def _taken(order: np.ndarray, n: int, what: str, spare: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return (the rest, the last n) of an order, of which at least `spare` examples must remain."""
    if n > len(order) - spare:
        raise BadInput.of(what, n, f"{what} <= {len(order) - spare} (what is left)", "ask for fewer")
    return order[: len(order) - n], order[len(order) - n :]


def _scaled(
    parts: dict[str, tuple[np.ndarray, np.ndarray]], top: float, normalise: str | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    scaled = {part: (x.astype(np.float32), y) for part, (x, y) in parts.items()}
    constants = np.float32(0), np.float32(1 if normalise is None else top)
    mean, deviation = _moments(scaled["train"][0]) if normalise == "standard" else constants
    for x, _ in scaled.values():
        np.subtract(x, mean, out=x)
        np.divide(x, deviation, out=x)
    return scaled


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel, float32 [1, channels, 1, ...], copying nothing."""
    v = x.reshape(*x.shape[:2], -1)
    n = len(v) * v.shape[2]
    mean = np.einsum("ncp->c", v, dtype=np.float64) / n
    variance = np.einsum("ncp,ncp->c", v, v, dtype=np.float64) / n - mean**2
    # A constant channel carries nothing: it becomes zero, not a division by zero.
    deviation = np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 0)), 1.0)
    shape = (1, -1, *[1] * (x.ndim - 2))
    return mean.astype(np.float32).reshape(shape), deviation.astype(np.float32).reshape(shape)


def _split(x: np.ndarray, y: np.ndarray, flatten: bool) -> Split:
    shaped = x.reshape(len(x), -1) if flatten else x
    return Split(torch.from_numpy(np.ascontiguousarray(shaped)), torch.from_numpy(np.ascontiguousarray(y)))
