"""What nets are trained and judged on: a shared pool of inputs, and per replicate the rows and labels it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.stacked import aligned_rows


@dataclass(frozen=True)
class Examples:
    """x [V * N, ...] inputs (V augmented variants of the same N, variant 0 first), y labels, rows of x.

    y is [N] (shared) or [G, n] (per replicate); rows [G, n] picks from the pool, None means all N.
    """

    x: Tensor
    y: Tensor
    rows: Tensor | None = None
    variants: int = 1

    def __post_init__(self) -> None:
        pool = len(self.x) // self.variants
        expected = tuple(self.rows.shape) if self.rows is not None else (pool,)
        if len(self.x) % self.variants or (self.y.dim() == 2 or self.rows is None) and self.y.shape[-1] != expected[-1]:
            raise BadInput.of("shapes", (tuple(self.x.shape), tuple(self.y.shape), expected), "one label per example",
                              "y is [N], or [replicates, n] like rows.")  # fmt: skip
        if self.rows is not None and (int(self.rows.min()) < 0 or int(self.rows.max()) >= pool):
            raise BadInput.of("rows", int(self.rows.max()), f"0 <= row < {pool}", "Rows index the pool x.")

    def __len__(self) -> int:
        """Return n, the number of examples one replicate sees."""
        return len(self.x) // self.variants if self.rows is None else self.rows.shape[1]

    def with_inputs(self, x: Tensor) -> Examples:
        """Return the same labels and rows over another layout of the pool."""
        return Examples(x, self.y, self.rows, self.variants)

    def to(self, device: torch.device | str) -> Examples:
        """Return the examples with every tensor on `device`."""
        rows = None if self.rows is None else self.rows.to(device)
        return Examples(self.x.to(device), self.y.to(device), rows, self.variants)

    def select(self, replicates: Sequence[int]) -> Examples:
        """Return what these replicates see, in this order."""
        y = self.y if self.y.dim() == 1 else self.y[list(replicates)]
        return Examples(self.x, y, None if self.rows is None else self.rows[list(replicates)], self.variants)

    def table(self, groups: int) -> tuple[Tensor, Tensor]:
        """Return (rows, labels), both [groups, n]."""
        device = self.x.device
        rows = self.rows
        if rows is None:
            rows = torch.arange(len(self), device=device).expand(groups, -1)
        labels = self.y if self.y.dim() == 2 else self.y[rows]
        if len(rows) != groups or len(labels) != groups:
            raise BadInput.of("replicates in data", len(labels), f"{groups}, as in the net", "Slice the examples.")
        return rows, labels

    def parts(self, groups: int, size: int = 2048) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x [groups, b, ...], y [groups, b]) over all examples (variant 0), for evaluation."""
        rows, labels = self.table(groups)
        for at in range(0, len(self), size):
            part = rows[:, at : at + size]
            if self.rows is None:  # every replicate sees the same rows: one copy, viewed by all
                shared = self.x[at : at + part.shape[1]]
                x = shared.expand(groups, *shared.shape)
            else:
                x = gather_rows(self.x, part)
            yield x, labels[:, at : at + size]


class Batches:
    """Endless batches in each replicate's own order: epoch e is shuffled by the stream "order" of its seed."""

    def __init__(self, examples: Examples, seeds: Sequence[int], batch_size: int | None):
        self.examples, self.seeds, self.n = examples, seeds, len(examples)
        self.size = examples_per_batch(batch_size, self.n)
        self.per_epoch = -(-self.n // self.size)
        self.rows, self.labels = examples.table(len(seeds))
        self._epoch = -1

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return (x [G, B, ...], y [G, B]) of step `step` (0 is the first; the last of an epoch may be smaller)."""
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
            self._shuffled_rows, self._shuffled_labels = self.rows.gather(1, order), self.labels.gather(1, order)
        if self.examples.variants > 1:
            pool, count = len(self.examples.x) // self.examples.variants, self.examples.variants
            variant = _draw(self.seeds, "augment", epoch, lambda source: source.integers(count, size=self.n))
            self._shuffled_rows = self._shuffled_rows + pool * variant.to(self.rows.device)


def examples_per_batch(batch_size: int | None, n: int) -> int:
    """Return the size of a full batch of n examples; None asks for all of them."""
    if batch_size is not None and batch_size < 1:
        raise BadInput.of("batch_size", batch_size, "1 <= batch_size, or None for full batches", "Set it.")
    return n if batch_size is None else min(batch_size, n)


def gather_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Return x[rows], [G, B, ...], laid out so that every replicate's block is aligned (see `aligned`)."""
    groups, batch = rows.shape
    padded = aligned_rows(batch, x[0].numel())
    if padded > batch:
        rows = torch.nn.functional.pad(rows, (0, padded - batch))
    return x.index_select(0, rows.reshape(-1)).view(groups, padded, *x.shape[1:])[:, :batch]


def _draw(seeds: Sequence[int], stream: str, epoch: int, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
    unique = {seed: draw(rng(seed, stream, epoch)) for seed in dict.fromkeys(seeds)}
    return torch.from_numpy(np.stack([unique[seed] for seed in seeds]).astype(np.int64))
