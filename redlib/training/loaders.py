"""A torch dataset, a DataLoader or a folder of images read once into memory; what that would lose is refused."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, default_collate

from redlib.data import load
from redlib.data.folder import list_images, read_folder, some
from redlib.errors import BadInput
from redlib.places import expanded
from redlib.progress import progress
from redlib.training.arguments import whole_number
from redlib.training.rehearsal import kept_random

Pair = tuple[Tensor, Tensor]
Collate = Callable[[list[Any]], Any]
TWICE = 32  # items that are read two times
BLOCK = 256  # items at a time
ITEMS = "pairs (input, label) of tensors, arrays or numbers, all of one shape"
PARTS = ("train", "test")
BRIGHTEST = 255.0


def read_loader(loader: DataLoader, most: int | None) -> Pair:
    """Return (x, y) of the dataset of a DataLoader, in its own order, put together by the loader's `collate_fn`.

    BadInput for a loader whose sampler does more than shuffle, and else as `read_dataset`.
    """
    if not isinstance(loader, DataLoader):
        raise BadInput.of("loader", type(loader).__name__, "a torch DataLoader", "from_dataset takes the dataset.")
    if loader.batch_size is None:
        kinds = type(loader.batch_sampler).__name__ if loader.batch_sampler else "batch_size=None"
        raise BadInput.of("batches of the loader", kinds, "a batch_size", "Pass the dataset: `fit` makes the batches.")
    sampler = loader.sampler
    plain = isinstance(loader.dataset, IterableDataset) or type(sampler) is SequentialSampler
    whole = type(sampler) is RandomSampler and not sampler.replacement and len(sampler) == len(loader.dataset)  # type: ignore[arg-type]
    if not plain and not whole:
        remedy = "Pass the examples meant as a dataset (torch.utils.data.Subset), or rows to Examples."
        raise BadInput.of("sampler of the loader", type(sampler).__name__, "one that goes through all, once", remedy)
    return read_dataset(loader.dataset, most, loader.collate_fn, loader.num_workers)


def read_dataset(dataset: Any, most: int | None, collate: Collate = default_collate, workers: int = 0) -> Pair:
    """Return (x [n, ...], y [n, ...]) of the first `most` items of a dataset (None: all); torch's random state stays.

    BadInput for items that are no pairs of tensors of one shape, for ones that differ when they are read again or that
    depend on their batch, for a stream without an end, and for more than the memory of this machine.
    """
    count = None if most is None else whole_number("most", most, 1, "None reads all.")
    with kept_random(torch.device("cpu")):
        items, again = _of_stream(dataset, count) if _streams(dataset) else _of_map(dataset, count)
        one = _checked(items, again, collate)
        size = _told(len(items), one)
        loader: DataLoader[Any] = DataLoader(items, BLOCK, num_workers=workers, collate_fn=collate)  # type: ignore[arg-type]
        return _filled(progress(loader, f"reading {size}"), len(items), one)


def read_images(path: str | os.PathLike[str], part: str | None, **options: Any) -> Pair:
    """Return (x float32 [n, channels, height, width] in [0, 1], y int64 [n]) of a folder: see `from_folder`."""
    root = expanded(path, "path").resolve()
    if part is not None:
        if part not in PARTS:
            raise BadInput.of("part", part, f"one of {PARTS}, or None", "Pass a folder of classes, without part.")
        split = getattr(load("image_folder", root=root, flatten=False, label=f"the folder {root}", **options), part)
        return split.x, split.y
    if (root / "train").is_dir():
        raise BadInput.of("part", None, "'train' or 'test' where there is a folder for each", "Say which.")
    arrays, listing = read_folder(root, **options)
    _check_classes(root, listing.classes)
    for line in arrays["changes"].tolist():
        logging.getLogger(__name__).warning("%s: %s", root, line)
    return torch.from_numpy(arrays["x"]).float().div_(BRIGHTEST), torch.from_numpy(arrays["y"])


def _check_classes(root: Path, classes: tuple[str, ...]) -> None:
    """Raise BadInput where a folder "train" lies beside `root` and has other classes: each would number its own."""
    beside = root.parent / "train"
    if beside == root or not beside.is_dir():
        return
    known = list_images(beside).classes
    if classes != known:
        found = f"{some(sorted(set(known) ^ set(classes)))} only in one of {root.name} and train"
        raise BadInput.of("classes", found, "the same in both", "The numbers of the classes would not agree.")


class _First(Sequence[Any]):
    """The first items of a dataset."""

    def __init__(self, dataset: Any, count: int):
        self.dataset, self.items = dataset, count

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, at: Any) -> Any:
        return self.dataset[at]


def _streams(dataset: Any) -> bool:
    numbered = hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset)
    return hasattr(dataset, "__iter__") and not numbered


def _of_stream(stream: Iterable[Any], most: int | None) -> tuple[Sequence[Any], list[tuple[int, Any]]]:
    """Return the items of a stream, and its first ones of a second pass with their places."""
    if most is None and _length(stream) is None:
        remedy = "It may never end: say how many examples to read (most=...)."
        raise BadInput.of("length of the dataset", None, "one that it tells (len), or most", remedy)
    items = list(islice(stream, most if most is not None else _length(stream)))
    return items, list(enumerate(islice(stream, min(len(items), TWICE))))


def _of_map(dataset: Any, most: int | None) -> tuple[Sequence[Any], list[tuple[int, Any]]]:
    """Return the items of a map-style dataset, and some of them, with their places, as read once."""
    found = _length(dataset)
    if found is None or not hasattr(dataset, "__getitem__"):
        raise BadInput.of("dataset", type(dataset).__name__, "a torch Dataset, with items and a length", "Write one.")
    count = found if most is None else min(found, most)
    places = torch.linspace(0, count - 1, min(count, TWICE), dtype=torch.float64).round().long().unique().tolist()
    return _First(dataset, count), [(at, dataset[at]) for at in places]


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return None


def _checked(items: Sequence[Any], again: list[tuple[int, Any]], collate: Collate) -> Pair:
    """Return the pair [1, ...] of one item; BadInput where reading again, or a batch, makes others of them."""
    if not again:
        found = f"{len(items)} when read once, 0 again"
        raise BadInput.of("number of examples", found, ">= 1 each time", "A stream that ends for good: pass a list.")
    first, second = [items[at] for at, _ in again], [item for _, item in again]
    once = _collated(collate, first)
    if not _same(once, _collated(collate, second)):
        allowed = "the same numbers each time: `fit` trains on what was read once"
        remedy = "Take random transforms and shuffling out of it; Examples(variants=...) takes augmented inputs."
        raise BadInput.of("reading an item again", "other numbers", allowed, remedy)
    alone = [_collated(collate, [item]) for item in first]
    if {tuple(map(_kind, pair)) for pair in alone} != {tuple(map(_kind, once))} or not _same(
        once, tuple(torch.cat(parts) for parts in zip(*alone, strict=True))
    ):
        allowed = "items that do not depend on their batch: `fit` makes batches of its own"
        raise BadInput.of("collate_fn", "other numbers in a batch", allowed, "Pad in the dataset, to one length.")
    return alone[0]


def _told(count: int, one: Pair) -> str:
    """Return how much there is to read, in words; BadInput for more than the memory of this machine."""
    size = count * sum(part.numel() * part.element_size() for part in one)
    text = f"{count:,} examples into {size / 1e6:,.0f} MB of memory"
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    if there is not None and size > there:
        raise BadInput.of("dataset", text, f"at most {there / 1e6:,.0f} MB, what this machine has", "Pass most=...")
    logging.getLogger(__name__).info("reading %s", text)
    return text


def _filled(blocks: Iterable[Any], count: int, one: Pair) -> Pair:
    """Return the blocks one after the other, each tensor shaped and typed as that of `one` item."""
    whole = tuple(torch.empty(count, *part.shape[1:], dtype=part.dtype) for part in one)
    at = 0
    with _explained():
        for block in blocks:
            pair = _pair(block)
            for target, part, known in zip(whole, pair, one, strict=True):
                if _kind(part) != _kind(known):
                    found = f"{_kind(part)}, from item {at} on"
                    raise BadInput.of("items of the dataset", found, f"{_kind(known)}, as the first", "Make all alike.")
                target[at : at + len(part)] = part
            at += len(pair[0])
    return whole[0], whole[1]


def _collated(collate: Collate, items: list[Any]) -> Pair:
    with _explained():
        return _pair(collate(items))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what torch says of items that it cannot stack into BadInput."""
    try:
        yield
    except (TypeError, RuntimeError) as error:
        told = str(error).strip().splitlines()[-1:]
        remedy = f"Turn images into tensors, and make all alike. (torch: {''.join(told)})"
        raise BadInput.of("items of the dataset", "none that torch can stack", ITEMS, remedy) from error


def _pair(block: Any) -> Pair:
    """Return (x [b, ...], y [b, ...]) of a block of items; BadInput where it is no such pair."""
    parts = list(block) if isinstance(block, tuple | list) else [block]
    if len(parts) != 2 or not all(isinstance(part, Tensor) and part.dim() for part in parts):
        kinds = [type(part).__name__ for part in parts]
        raise BadInput.of("items of the dataset", kinds, ITEMS, "Map them in the dataset, or by a collate_fn.")
    return parts[0], parts[1]


def _kind(part: Tensor) -> tuple[tuple[int, ...], str]:
    return tuple(part.shape[1:]), str(part.dtype)


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(
        _kind(a) == _kind(b) and len(a) == len(b) and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )
