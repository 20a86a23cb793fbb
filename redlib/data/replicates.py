"""One row of indices and labels for each replicate, drawn from a shared pool by its own seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from redlib.data.noise import corrupt_labels
from redlib.data.numbers import unmasked, whole, whole_labels
from redlib.data.streams import rng
from redlib.errors import BadInput

# `load` splits a pool with the keys 0 and 1 of the stream "split"; a replicate's subset must not repeat it.
_SUBSET = 2
_FOLDS = 63


def draw_rows(n_pool: int, n: int, seeds: Sequence[int]) -> Tensor:
    """Return row indices int64 [R, n]: replicate r's random subset, without repetition, of a pool of n_pool.

    Subsets are nested in n: for the same seed, a smaller n gives the first entries of a larger one.
    Raises BadInput unless 1 <= n <= n_pool and there is at least one seed.
    """
    _check_seeds(seeds)
    if not 1 <= n <= n_pool:
        raise BadInput.of("n", n, f"1 <= n <= {n_pool} (the pool)", "draw fewer rows or load a larger pool")
    n, n_pool = whole("n", n, 1, "round it"), whole("n_pool", n_pool, 1, "round it")
    subsets = [rng(seed, "split", _SUBSET).permutation(n_pool)[:n] for seed in seeds]
    return torch.from_numpy(np.stack(subsets).astype(np.int64))


def fold_rows(n_pool: int, count: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return for each seed and fold the rows to learn from and those held out, int64 [S·count, ...]: cross-validation.

    A seed's folds are equal parts of a pool of n_pool in its own order; what is left over where `count` does not divide
    n_pool is in none. Raises BadInput unless 2 <= count <= n_pool.
    """
    _check_seeds(seeds)
    if not 2 <= count <= n_pool:
        raise BadInput.of("folds", count, f"2 <= folds <= {n_pool}", "five are usual")
    count, n_pool = whole("folds", count, 2, "five are usual"), whole("n_pool", n_pool, 1, "round it")
    orders = [rng(seed, "split", _FOLDS).permutation(n_pool)[: n_pool - n_pool % count] for seed in seeds]
    parts = [np.split(order, count) for order in orders]
    held = [own[i] for own in parts for i in range(count)]
    kept = [np.concatenate([*own[:i], *own[i + 1 :]]) for own in parts for i in range(count)]
    return torch.from_numpy(np.stack(kept)), torch.from_numpy(np.stack(held))


def corrupt_rows(y: Tensor, rows: Tensor, fraction: float, classes: int, seeds: Sequence[int]) -> Tensor:
    """Return noisy labels int64 [R, n] of the rows [R, n] of the pool's labels y [N].

    Every replicate has exactly round(fraction·n) wrong labels, drawn by its own seed (see corrupt_labels).
    Raises BadInput if rows and seeds differ in R, if a row lies outside the pool, or for bad noise.
    """
    _check_seeds(seeds)
    y, rows = torch.as_tensor(unmasked(y, "y")), whole_labels(torch.as_tensor(rows), "rows")
    if rows.ndim != 2 or len(rows) != len(seeds):
        raise BadInput.of("rows", list(rows.shape), f"[{len(seeds)}, n]: one row per seed", "use draw_rows")
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < len(y):
        found = f"{int(rows.min())}..{int(rows.max())}"
        raise BadInput.of("rows", found, f"0..{len(y) - 1}", "draw the rows from this pool")
    noisy = [corrupt_labels(y[own], fraction, classes, s)[0] for own, s in zip(rows, seeds, strict=True)]
    return torch.stack(noisy)


def _check_seeds(seeds: Sequence[int]) -> None:
    if len(seeds) == 0:
        raise BadInput.of("seeds", list(seeds), "at least one seed", "pass one seed for each replicate")
