"""One reader for each data set: from its name to raw arrays, before any subset, split or scaling."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import os
import random
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from redlib.data.folder import cached, read_folder, some
from redlib.data.glyphs import LETTERS, fonts_digest, generate_glyphs
from redlib.data.places import DATA_VARIABLE, cache_root, data_root
from redlib.data.templates import second_family, second_family_digest
from redlib.data.torchvision_ops import ensure_torchvision
from redlib.errors import BadInput
from redlib.places import expanded


class DataMissing(FileNotFoundError, BadInput):
    """A data set is not on disk; the message says where it was looked for and how to get it."""


@dataclass(frozen=True)
class Wanted:
    """What the caller of `load` asks for; None means the data set's own default."""

    name: str
    root: str | os.PathLike[str] | None = None
    download: bool = True
    n_train: int | None = None
    n_validation: int = 0
    n_test: int | None = None


@dataclass(frozen=True, eq=False)
class Raw:
    """A data set as stored: x [n, channels, ...] in 0..top, y [n], and its own test set where it has one.

    `default_train` and `default_test` are the sizes if the caller names none (None: all there are). `files` names the
    file of each example where it has one of its own.
    """

    x: np.ndarray
    y: np.ndarray
    classes: int
    top: float
    source: dict[str, Any]
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    default_train: int | None = None
    default_test: int | None = None
    name: str = ""
    seeds: dict[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    files_test: tuple[str, ...] = ()


def _version(*packages: str) -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in packages}


# ---- no file needed ---------------------------------------------------------------------------------------


def read_digits(wanted: Wanted) -> Raw:
    """Return scikit-learn's 1,797 real 8×8 digits (Alpaydin and Kaynak 1998), grey values 0..16."""
    from sklearn.datasets import load_digits  # slow to import, needed here only

    stored = load_digits()
    source = {"source": "sklearn.datasets.load_digits", "versions": _version("scikit-learn", "numpy")}
    x = stored.images.astype(np.float32)[:, None]
    return Raw(x, stored.target.astype(np.int64), 10, 16.0, source, default_test=360)


def read_mnist1d(wanted: Wanted, *, generator_seed: int = 42) -> Raw:
    """Return MNIST-1D (Greydanus and Kobak 2020), 40 features, generated here, never downloaded.

    As many samples as asked for are made in one call (4,000 + 1,000 if nothing is said), equally many of
    each class. Another total is another set of samples: the generator has one stream for all. It scales by
    mean and standard deviation of all its samples, so "unit" leaves the features as they are.
    """
    _check_generator_seed(generator_seed, "42 is usual")
    n_train = 4000 if wanted.n_train is None else wanted.n_train
    n_test = 1000 if wanted.n_test is None else wanted.n_test
    total = n_train + wanted.n_validation + n_test
    x, y = generate_mnist1d(10 * -(-total // 10), generator_seed, wanted.name)  # rounded up: ten classes of equal size
    versions = _version("mnist1d", "numpy", "scipy")
    source = {"source": "mnist1d.data.make_dataset (generated)", "versions": versions}
    seeds = {wanted.name: generator_seed}
    return Raw(x[:, None], y, 10, 1.0, source, default_train=n_train, default_test=n_test, seeds=seeds)


def read_mnist1d_b(wanted: Wanted, *, generator_seed: int = 43) -> Raw:
    """Return what MNIST-1D's generator makes of ten other templates (`redlib.data.templates`); all else is as there.

    The seed is another one, too: with the same, both sets would share shifts and noise, example by example.
    """
    raw = read_mnist1d(wanted, generator_seed=generator_seed)
    return dataclasses.replace(raw, source=raw.source | {"templates": second_family_digest()})


def read_glyphs(wanted: Wanted, *, generator_seed: int = 0) -> Raw:
    """Return ten letters of 28 × 28 grey pixels, 60,000 and 10,000 to test, drawn here from fonts (`data.glyphs`).

    Another seed draws other images of the same law. Subsets are taken of all of them, as of MNIST.
    """
    _check_generator_seed(generator_seed, "0 is usual")
    made = generate_glyphs(int(generator_seed))
    source = {
        "source": "the fonts that matplotlib ships (drawn by redlib.data.glyphs)",
        "versions": _version("matplotlib", "numpy"),
        "fonts": fonts_digest(),
    }
    (x, y), (x_test, y_test) = ((made[f"x{part}"][:, None], made[f"y{part}"]) for part in ("", "_test"))
    return Raw(x, y, len(LETTERS), 255.0, source, x_test, y_test, seeds={"glyphs": int(generator_seed)})


def _check_generator_seed(seed: int, remedy: str) -> None:
    if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**32):
        raise BadInput.of("generator_seed", seed, "an integer, 0 <= generator_seed < 2**32", remedy)


# Two threads that share the global generators would mix their samples.
_GENERATING = threading.Lock()


@functools.lru_cache(maxsize=4)
def generate_mnist1d(n: int, seed: int, name: str = "mnist1d") -> tuple[np.ndarray, np.ndarray]:
    """Return n samples of MNIST-1D, x float32 [n, 40] and y int64 [n], both read-only; n is a multiple of 10.

    mnist1d_b as `name` has the second family of templates. Kept in memory and in the cache folder: 10,000 samples take
    seconds, and a sweep has several processes.
    """
    made_by = [f"{package} {version}" for package, version in _version("mnist1d", "numpy", "scipy").items()]
    made_by += [] if name == "mnist1d" else [f"templates {second_family_digest()}"]
    found = cached(cache_root() / f"{name}-{n}-{seed}.npz", "; ".join(made_by), lambda: _made_mnist1d(n, seed, name))
    x, y = found["x"], found["y"]
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _made_mnist1d(n: int, seed: int, name: str = "mnist1d") -> dict[str, np.ndarray]:
    """Return the samples as the package makes them; it seeds the global generators, whose state is put back."""
    from mnist1d.data import get_dataset_args, make_dataset  # imports matplotlib and requests

    settings = get_dataset_args()
    settings.num_samples, settings.train_split, settings.seed = n, 1.0, seed
    templates = () if name == "mnist1d" else (second_family(),)
    with _GENERATING, _global_random_state_kept():
        made = make_dataset(settings, *templates)
    return {"x": made["x"].astype(np.float32), "y": made["y"].astype(np.int64)}


@contextmanager
def _global_random_state_kept() -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


# ---- torchvision's data sets ------------------------------------------------------------------------------


@dataclass(frozen=True)
class TorchvisionSet:
    """Name of the class in torchvision.datasets, number of classes, the folder it reads, and who made it."""

    attribute: str
    classes: int
    folder: str
    made_by: str


TORCHVISION_SETS = {
    "mnist": TorchvisionSet("MNIST", 10, "MNIST/raw", "LeCun et al. 1998"),
    "fashion_mnist": TorchvisionSet("FashionMNIST", 10, "FashionMNIST/raw", "Xiao et al. 2017"),
    "kmnist": TorchvisionSet("KMNIST", 10, "KMNIST/raw", "Clanuwat et al. 2018"),
    "cifar10": TorchvisionSet("CIFAR10", 10, "cifar-10-batches-py", "Krizhevsky 2009"),
    "cifar100": TorchvisionSet("CIFAR100", 100, "cifar-100-python", "Krizhevsky 2009"),
}

_ABSENT = "Dataset "  # how torchvision begins to say that files are not there


def read_torchvision(wanted: Wanted) -> Raw:
    """Return one of TORCHVISION_SETS from disk, or from the network if it is not there and may be fetched.

    Archives that already lie there (fetched by a browser, say) are unpacked if their MD5 is the one torchvision knows;
    it also checks what it downloads, and shows its progress. Raises DataMissing, with the folder, the variable and the
    command that help, and BadInput for damaged files.
    """
    known = TORCHVISION_SETS[wanted.name]
    root = data_root(wanted.root)
    ensure_torchvision()  # outside the try: an import error is not a missing data set
    try:
        train, test = _construct(known, root)
    except Exception as error:  # of damaged files, whatever the parser stumbles over
        train, test = _obtained(wanted, root, error)
    source = {
        "source": f"torchvision.datasets.{known.attribute} ({known.made_by})",
        "versions": _version("torchvision", "torch", "numpy"),
    }
    return Raw(*_arrays(train), known.classes, 255.0, source, *_arrays(test))


def _kind(known: TorchvisionSet) -> Any:
    return getattr(ensure_torchvision().datasets, known.attribute)


def _construct(known: TorchvisionSet, root: Path, download: bool = False) -> tuple[Any, Any]:
    kind = _kind(known)
    return kind(str(root), train=True, download=download), kind(str(root), train=False, download=download)


def _obtained(wanted: Wanted, root: Path, error: Exception) -> tuple[Any, Any]:
    """Return what could not be read (`error`) from the archives that lie there, else from the network."""
    name, known = wanted.name, TORCHVISION_SETS[wanted.name]
    altered = _altered(_files(known), root)
    if altered or not str(error).startswith(_ABSENT):
        raise _damaged(name, root, f"not as published: {some(altered)}" if altered else error) from error
    unpacked = _unpacked(name, root)
    if unpacked is not None:
        return unpacked
    if wanted.download:
        return _downloaded(name, root)
    raise _missing(name, root, "downloading was not allowed") from error


def _files(known: TorchvisionSet) -> dict[str, str]:
    """Return the MD5 of each unpacked file by its path, as far as torchvision knows it: for CIFAR, pickles all."""
    kind = _kind(known)
    meta = getattr(kind, "meta", None)
    listed = [*getattr(kind, "train_list", ()), *getattr(kind, "test_list", ())]
    listed += [(meta["filename"], meta["md5"])] if meta else []
    return {f"{known.folder}/{name}": md5 for name, md5 in listed}


def _archives(known: TorchvisionSet) -> dict[str, str]:
    """Return the MD5 of each archive by its path, where torchvision puts it."""
    kind = _kind(known)
    if hasattr(kind, "tgz_md5"):
        return {kind.filename: kind.tgz_md5}
    return {f"{known.folder}/{name}": md5 for name, md5 in kind.resources}


def _altered(listed: dict[str, str], root: Path) -> list[str]:
    """Return those of the files that are there, but with another MD5."""
    whole = ensure_torchvision().datasets.utils.check_integrity
    return [path for path, md5 in listed.items() if (root / path).is_file() and not whole(root / path, md5)]


def _unpacked(name: str, root: Path) -> tuple[Any, Any] | None:
    """Return the data set from archives that lie there, None where they do not suffice; altered ones do not count."""
    known = TORCHVISION_SETS[name]
    listed = _archives(known)
    there = {path for path in listed if (root / path).is_file()} - {*_altered(listed, root)}
    if not there:
        return None
    try:
        with _beside(root, known) as folder:
            for path in sorted(there):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                ensure_torchvision().datasets.utils.extract_archive(str(root / path), str((folder / path).parent))
    except OSError as error:
        raise _missing(name, root, f"its archives there could not be unpacked: {error}") from error
    try:
        return _construct(known, root)
    except Exception as error:
        if not str(error).startswith(_ABSENT):
            raise _damaged(name, root, error) from error
        return None


def _downloaded(name: str, root: Path) -> tuple[Any, Any]:
    known = TORCHVISION_SETS[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _beside(root, known) as folder:
            _construct(known, folder, download=True)
    except (RuntimeError, OSError) as error:
        raise _missing(name, root, f"the download failed: {error}") from error
    return _construct(known, root)


@contextmanager
def _beside(root: Path, known: TorchvisionSet) -> Iterator[Path]:
    """Yield a folder beside the target and move what is complete: an interruption leaves nothing behind."""
    with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
        yield Path(folder)
        for path in sorted((Path(folder) / known.folder).rglob("*")):
            if path.is_file():
                target = root / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)


def _arrays(stored: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (x uint8 [n, channels, height, width], y int64 [n]) of a torchvision data set."""
    x, y = np.asarray(stored.data), np.asarray(stored.targets, dtype=np.int64)
    return (x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)), y


def _command(name: str, root: Path) -> str:
    path = json.dumps(str(root), ensure_ascii=False)  # Python reads JSON's escapes, but not its pairs for an emoji
    code = f'from redlib.data import load; load("{name}", root={path})'
    return f"python -c {shlex.quote(code)}"


def _damaged(name: str, root: Path, reason: object) -> BadInput:
    folder = root / TORCHVISION_SETS[name].folder
    remedy = f"Delete it and run: {_command(name, root)} ({reason})"
    return BadInput.of(f"files of {name}", str(folder), "complete files", remedy)


def _missing(name: str, root: Path, reason: str) -> DataMissing:
    folder = TORCHVISION_SETS[name].folder
    altered = _altered(_archives(TORCHVISION_SETS[name]), root)
    also = f"; with another checksum than is known, so not unpacked: {some(altered)}" if altered else ""
    return DataMissing(
        f"data set {name!r} is not in {root} ({reason}{also}). Where there is a network, fetch it with\n"
        f"    {_command(name, root)}\n"
        f"or set {DATA_VARIABLE} to a folder that contains {folder}."
    )


# ---- folders of images ------------------------------------------------------------------------------------


def read_image_folder(
    wanted: Wanted, *, label: str = "", size: int | None = None, mode: str = "RGB", background: str | None = None
) -> Raw:
    """Return the images of the folder `root`, one folder a class; `label` names the data set in results.

    Without a test folder a fifth is held out. Raises BadInput as read_folder does, and for the label of another data
    set: a folder of JPEGs is not the original (call the JPEG copy of CIFAR-10 `cifar10_jpeg`).
    """
    if wanted.root is None:
        raise BadInput.of("root", None, "a folder of images", "pass root=FOLDER or 'imagefolder:FOLDER'")
    root = expanded(wanted.root, "root").resolve()
    name = label or root.name
    if name in READERS:
        raise BadInput.of("label", name, "a name of its own", f"pass one, e.g. label='{name}_jpeg'")
    arrays, listing = read_folder(root, size=size, mode=mode, background=background)
    source = {
        "source": f"folder of images {root.name!r}",
        "versions": _version("pillow", "numpy"),
        "re_encoding": "; ".join([_encoding(listing.paths, size, mode), *arrays["changes"].tolist()]),
    }
    n, classes, files = listing.n_train, len(listing.classes), listing.names
    raw = Raw(arrays["x"][:n], arrays["y"][:n], classes, 255.0, source, name=name, files=files[:n])
    if listing.has_test:
        return dataclasses.replace(raw, x_test=arrays["x"][n:], y_test=arrays["y"][n:], files_test=files[n:])
    return dataclasses.replace(raw, default_test=max(1, n // 5))


def _encoding(paths: tuple[Path, ...], size: int | None, mode: str) -> str:
    """Say what the stored form and the reading changed, for the provenance of every result."""
    kinds = sorted({p.suffix.lower().lstrip(".") for p in paths})
    lossy = " (lossy)" if {"jpg", "jpeg", "webp"} & set(kinds) else ""
    scaled = "" if size is None else f", scaled to {size} × {size}"
    return f"stored as {', '.join(kinds)}{lossy}, read as {mode}{scaled}"


READERS: dict[str, Callable[..., Raw]] = {
    "digits": read_digits,
    "mnist1d": read_mnist1d,
    "mnist1d_b": read_mnist1d_b,
    "glyphs": read_glyphs,
    **dict.fromkeys(TORCHVISION_SETS, read_torchvision),
    "image_folder": read_image_folder,
}
"""The names `load` knows. A reader takes Wanted and its own options as keywords, and returns Raw."""
