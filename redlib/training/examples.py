"""What nets are trained and judged on: a shared pool of inputs, and per replicate the rows and labels it sees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from redlib.data.numbers import strided, unmasked
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.stacked import aligned_rows
from redlib.training.arguments import whole_number
from redlib.training.loaders import read_dataset, read_images, read_loader


@dataclass(frozen=True)
class Examples:
    """x [V * N, ...] inputs (V augmented variants of the same N, variant 0 first), y labels, rows of x.

    y is [N] (shared) or [G, n] (per replicate), whole numbers; for modules also [N, T, ...], a label per token (pixel),
    shared. What may be [G, n] is not read as [N, T] unless `per_token` says so. Tokens labelled `ignore` count neither
    in loss nor error; None: all count. Floating-point y are targets [N, ...] of a callable loss, shared. rows [G, n]
    picks from the pool, None means all N.
    """

    x: Tensor
    y: Tensor
    rows: Tensor | None = None
    variants: int = 1
    ignore: int | None = None
    per_token: bool | None = None  # found from the shapes unless told

    def __post_init__(self) -> None:
        if odd := [type(part).__name__ for part in (self.x, self.y) if not isinstance(part, Tensor)]:
            raise BadInput.of("types of x and y", odd, "tensors", "Examples.from_numpy takes arrays.")
        strided(self.y, "y")
        if not self.y.is_floating_point() and self.y.dtype != torch.int64:
            object.__setattr__(self, "y", self.y.long())
        variants = whole_number("variants", self.variants, 1, "1 is the images alone.")
        if not self.x.dim() or not self.y.dim():
            raise BadInput.of("axes of x and y", (self.x.dim(), self.y.dim()), "at least 1 each", "Add one in front.")
        pool = len(self.x) // variants
        object.__setattr__(self, "per_token", self._found_per_token(pool))
        expected = (pool,) if self.rows is None else tuple(self.rows.shape)
        labels = self.y.shape[1] if self.own_labels else len(self.y)
        wanted = expected[-1] if self.own_labels else pool
        if len(self.x) % variants or labels != wanted:
            raise BadInput.of("shapes", (tuple(self.x.shape), tuple(self.y.shape), expected), "one label per example",
                              "y is [N], [replicates, n] like rows, or [N, T, ...] with per_token=True.")  # fmt: skip
        if self.rows is not None:
            _check_rows(self.rows, pool)

    def _found_per_token(self, pool: int) -> bool:
        """Return whether y holds labels per token; BadInput for what goes with these alone."""
        y, told = self.y, self.per_token
        whole = y.dim() > 1 and not y.is_floating_point()
        own = y.dim() == 2 and y.shape[1] == (pool if self.rows is None else self.rows.shape[-1])
        # A single column is more often a table's than a sequence of one.
        found = (whole and not own and len(y) == pool and y.shape[1:] != (1,)) if told is None else told
        if found and not whole:
            raise BadInput.of("per_token", told, "True for whole numbers [N, T, ...]", "Leave it out.")
        if self.ignore is not None and (not found or type(self.ignore) is not int):
            raise BadInput.of("ignore", self.ignore, "a whole number, for labels per token", "Else leave examples out.")
        return found

    @classmethod
    def from_loader(cls, loader: Any, most: int | None = None, dtype: torch.dtype = torch.float32) -> Examples:
        """Return the examples of a torch DataLoader, read once into memory, in the order of its dataset.

        `fit` has an order and batches of its own, from named streams: the loader's shuffling, batch_size and drop_last
        are not used. What would be lost without a word is refused: other samplers, random transforms (some items are
        read two times) and a `collate_fn` that depends on its batch. Else as `from_dataset`.
        """
        return cls(*_typed(read_loader(loader, most), dtype))

    @classmethod
    def from_dataset(cls, dataset: Any, most: int | None = None, dtype: torch.dtype = torch.float32) -> Examples:
        """Return the examples of a torch Dataset, pairs (input, label), all or the first `most` of them, read once.

        They take the memory of all inputs, which the progress line tells; more than this machine has is refused.
        Floating-point numbers become `dtype`, whole ones stay (tokens); labels per token are [T, ...] an item. BadInput
        for items that are no tensors, arrays or numbers of one shape, for ones that differ when they are read again
        (random transforms, shuffled streams), and for an IterableDataset without a length unless `most` is given.
        """
        return cls(*_typed(read_dataset(dataset, most), dtype))

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str], part: str | None = None, **options: Any) -> Examples:
        """Return the images of a folder, PATH/CLASS/*.jpg, x float32 [n, channels, height, width] in [0, 1].

        With PATH/train and PATH/test (or val), `part` says which, "train" or "test"; without them part="test" is a
        fifth that is held out, "train" the rest, and None all. Classes are numbered in the order of their names.
        Options: size, mode, background, as in `redlib.data.load`. BadInput as there, and for a folder beside "train"
        that has other classes.
        """
        return cls(*read_images(path, part, **options))

    @classmethod
    def from_numpy(cls, x: Any, y: Any, rows: Any = None, dtype: torch.dtype = torch.float32) -> Examples:
        """Return the examples of arrays: x [N, ...], y [N] labels or floating-point targets, rows [G, n] or None.

        x and targets become `dtype`, that of the nets, labels and rows int64; all are copied. BadInput for texts and
        other objects. Whole numbers that a net takes as such (tokens) go to `Examples` as tensors.
        """
        own = None if rows is None else _tensor("rows", rows, dtype)
        return cls(_tensor("x", x, dtype), _tensor("y", y, dtype), own)

    @classmethod
    def from_pandas(
        cls, table: pd.DataFrame, label: str, features: Sequence[str] | None = None, dtype: torch.dtype = torch.float32
    ) -> Examples:
        """Return the examples of a table, one a line: its column `label`, and `features` (None: all others) as inputs.

        Labels that are texts or categories become 0, 1 … in the order of their categories, sorted; whole numbers stay
        as they are, others are targets. BadInput for missing columns, and for features that are no numbers.
        """
        names = [name for name in table.columns if name != label] if features is None else list(features)
        if missing := [name for name in (label, *names) if name not in table.columns]:
            raise BadInput.of("columns", missing, f"some of {list(table.columns)}", "Name columns of the table.")
        y, x = table[label], table[names]
        if not pd.api.types.is_numeric_dtype(y):
            if y.isna().any():  # its code would be -1
                raise BadInput.of(
                    f"column {label!r}", f"{int(y.isna().sum())} missing", "a label in each line", "Drop these."
                )
            y = y.astype("category").cat.codes
        if odd := [name for name in names if not pd.api.types.is_numeric_dtype(x[name])]:
            raise BadInput.of("features", odd, "columns of numbers", "Encode them first (pandas.get_dummies).")
        return cls.from_numpy(x.to_numpy(np.float64), y.to_numpy(), dtype=dtype)

    def __len__(self) -> int:
        """Return n, the number of examples one replicate sees."""
        return len(self.x) // self.variants if self.rows is None else self.rows.shape[1]

    @property
    def own_labels(self) -> bool:
        """Whether every replicate has its own labels: y is [G, n]."""
        return self.y.dim() == 2 and not self.y.is_floating_point() and not self.per_token

    @property
    def token_shape(self) -> tuple[int, ...]:
        """Shape of the labels of one example: () for a single one."""
        return tuple(self.y.shape[1:]) if self.per_token else ()

    @property
    def seen_labels(self) -> Tensor:
        """Labels or targets of the examples that some replicate sees."""
        return self.y if self.own_labels or self.rows is None else self.y[self.rows]

    def with_inputs(self, x: Tensor) -> Examples:
        """Return the same labels and rows over another layout of the pool."""
        return replace(self, x=x)

    def to(self, device: torch.device | str) -> Examples:
        """Return the examples with every tensor on `device`."""
        rows = None if self.rows is None else self.rows.to(device)
        return replace(self, x=self.x.to(device), y=self.y.to(device), rows=rows)

    def select(self, replicates: Sequence[int]) -> Examples:
        """Return what these replicates see, in this order."""
        y = self.y[list(replicates)] if self.own_labels else self.y
        return replace(self, y=y, rows=None if self.rows is None else self.rows[list(replicates)])

    def table(self, groups: int) -> tuple[Tensor, Tensor]:
        """Return (rows [groups, n], labels [groups, n, ...])."""
        device = self.x.device
        rows = self.rows
        if rows is None:
            rows = torch.arange(len(self), device=device).expand(groups, -1)
        labels = self.y if self.own_labels else self.y[rows]
        if len(rows) != groups or len(labels) != groups:
            raise BadInput.of("replicates in data", len(labels), f"{groups}, as in the net", "Slice the examples.")
        return rows, labels

    def parts(self, groups: int, size: int = 2048) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x [groups, b, ...], y [groups, b, ...]) over all examples (variant 0), for evaluation."""
        rows, labels = self.table(groups)
        size = max(1, size // prod(self.token_shape))  # the outputs are as large as there are tokens
        for at in range(0, len(self), size):
            part = rows[:, at : at + size]
            if self.rows is None:  # every replicate sees the same rows: one copy, viewed by all
                shared = self.x[at : at + part.shape[1]]
                x = shared.expand(groups, *shared.shape)
            else:
                x = gather_rows(self.x, part)
            yield x, labels[:, at : at + size]


class Batches:
    """Endless batches in each replicate's own order: epoch e is shuffled by the stream "order" of its seed.

    The last batch of an epoch holds what is left; with `drop_last` it is left out where it is smaller.
    """

    def __init__(self, examples: Examples, seeds: Sequence[int], batch_size: int | None, drop_last: bool = False):
        self.examples, self.seeds, self.n = examples, seeds, len(examples)
        self.size = examples_per_batch(batch_size, self.n)
        self.per_epoch = batches_per_epoch(batch_size, self.n, drop_last)
        self.rows, self.labels = examples.table(len(seeds))
        self._epoch = -1

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return (x [G, B, ...], y [G, B, ...]) of step `step` (0 is the first)."""
        rows, labels = self._rows_at(step)
        return gather_rows(self.examples.x, rows), labels

    def span(self, steps: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (rows [G, T], labels [G, T], edges [steps + 1]): step s takes columns edges[s] … edges[s + 1]."""
        rows, labels = zip(*(self._rows_at(step) for step in steps), strict=True)
        edges = np.cumsum([0, *(part.shape[1] for part in rows)])
        return torch.cat(rows, 1).long().numpy(), torch.cat(labels, 1).long().numpy(), edges

    def _rows_at(self, step: int) -> tuple[Tensor, Tensor]:
        epoch, within = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._shuffle(epoch)
        part = slice(within * self.size, (within + 1) * self.size)
        return self._shuffled_rows[:, part], self._shuffled_labels[:, part]

    def _shuffle(self, epoch: int) -> None:
        self._epoch = epoch
        self._shuffled_rows, self._shuffled_labels = self.rows, self.labels
        if self.size < self.n:  # a full batch needs no order
            order = _draw(self.seeds, "order", epoch, lambda source: source.permutation(self.n)).to(self.rows.device)
            whole = order.view(*order.shape, *[1] * (self.labels.dim() - 2)).expand_as(self.labels)
            self._shuffled_rows, self._shuffled_labels = self.rows.gather(1, order), self.labels.gather(1, whole)
        if self.examples.variants > 1:
            pool, count = len(self.examples.x) // self.examples.variants, self.examples.variants
            variant = _draw(self.seeds, "augment", epoch, lambda source: source.integers(count, size=self.n))
            self._shuffled_rows = self._shuffled_rows + pool * variant.to(self.rows.device)


def examples_per_batch(batch_size: int | None, n: int) -> int:
    """Return the size of a full batch of n examples; None asks for all of them. BadInput without an example."""
    if n < 1:
        raise BadInput.of("number of examples", n, ">= 1", "Look whether the data are there.")
    if batch_size is None:
        return n
    return min(whole_number("batch_size", batch_size, 1, "None asks for full batches."), n)


def batches_per_epoch(batch_size: int | None, n: int, drop_last: bool = False) -> int:
    """Return the number of batches of an epoch over n examples."""
    size = examples_per_batch(batch_size, n)
    return n // size if drop_last else -(-n // size)


def gather_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Return x[rows], [G, B, ...], laid out so that every replicate's block is aligned (see `aligned`)."""
    groups, batch = rows.shape
    padded = aligned_rows(batch, x[0].numel())
    if padded > batch:
        rows = torch.nn.functional.pad(rows, (0, padded - batch))
    return x.index_select(0, rows.reshape(-1)).view(groups, padded, *x.shape[1:])[:, :batch]


def _check_rows(rows: Tensor, pool: int) -> None:
    if rows.dim() != 2 or rows.is_floating_point() or rows.dtype == torch.bool:
        raise BadInput.of("rows", (tuple(rows.shape), rows.dtype), "whole numbers [replicates, n]", "Rows index x.")
    if rows.numel() and (int(rows.min()) < 0 or int(rows.max()) >= pool):
        raise BadInput.of("rows", int(rows.max()), f"0 <= row < {pool}", "Rows index the pool x.")


def _tensor(name: str, values: Any, dtype: torch.dtype) -> Tensor:
    array = np.ascontiguousarray(unmasked(values, name))
    if array.dtype.kind not in "biuf":
        raise BadInput.of(f"type of {name}", array.dtype, "numbers", "Encode texts and dates first.")
    tensor = torch.tensor(array)  # a copy: what the caller changes later must not reach a run
    return tensor.to(dtype) if array.dtype.kind == "f" or name == "x" else tensor.long()


def _typed(pair: tuple[Tensor, Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    x, y = (part.to(dtype) if part.is_floating_point() else part for part in pair)
    return x, y


def _draw(seeds: Sequence[int], stream: str, epoch: int, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
    unique = {seed: draw(rng(seed, stream, epoch)) for seed in dict.fromkeys(seeds)}
    return torch.from_numpy(np.stack([unique[seed] for seed in seeds]).astype(np.int64))
