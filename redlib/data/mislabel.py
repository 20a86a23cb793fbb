"""Mislabelled data with a fixed pattern: every k-th image of each class is given another class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import unmasked, whole
from redlib.data.replicates import draw_rows
from redlib.data.streams import rng
from redlib.errors import BadInput

_MISLABEL = 2  # key of the stream "noise"; 0 and 1 belong to corrupt_labels


def mislabel(y: Tensor | np.ndarray, k: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the assigned labels [n] int64 and which of them are wrong (bool [n]), on the device of y [n].

    In the order of the data, images k, 2k, ... of each class (counted from 1) are mislabelled: exactly floor(n_c/k) of
    its n_c images, whatever the seed. The seed draws the wrong labels, uniform over the other classes - 1 classes.
    They are drawn for every image, so one that is mislabelled at several k is given the same label at each.
    Raises BadInput for k < 2 or above the size of the smallest class that occurs, fewer than 2 classes or labels
    outside [0, classes).
    """
    true = torch.as_tensor(unmasked(y, "y"))
    classes = _check_labels(true, classes)
    labels = true.cpu().numpy().astype(np.int64)
    _check_step(k, labels)
    wrong = _place_in_class(labels) % k == k - 1
    shift = rng(seed, "noise", _MISLABEL).integers(1, classes, labels.size)
    assigned = np.where(wrong, (labels + shift) % classes, labels)
    return torch.from_numpy(assigned).to(true.device), torch.from_numpy(wrong).to(true.device)


def mislabel_rows(y: Tensor | np.ndarray, k: int, classes: int, seeds: Sequence[int]) -> Tensor:
    """Return the labels int64 [S, n] that each seed is told: every k-th image of a class, in its own order, is wrong.

    In one order for all, every seed would be told lies about the same images. BadInput as in `mislabel`.
    """
    true = torch.as_tensor(unmasked(y, "y"))
    _check_labels(true, classes)
    assigned = true.long().repeat(len(seeds), 1)
    for row, order, seed in zip(assigned, draw_rows(len(true), len(true), seeds), seeds, strict=True):
        row[order] = mislabel(true[order], k, classes, seed)[0]
    return assigned


def _place_in_class(labels: np.ndarray) -> np.ndarray:
    """Return how many earlier images have the same label: [n]."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    place = np.empty(labels.size, dtype=np.int64)
    place[order] = np.arange(labels.size) - starts
    return place


def _check_step(k: int, labels: np.ndarray) -> None:
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    if not isinstance(k, int | np.integer) or not 2 <= k <= smallest:
        allowed = f"an integer, 2 <= k <= {smallest} (the smallest class that occurs)"
        raise BadInput.of("k", k, allowed, "mislabel more often, or load more images")


def _check_labels(y: Tensor, classes: int) -> int:
    """Return the number of classes as an integer."""
    classes = whole("classes", classes, 2, "a label cannot be wrong with one class only")
    if y.ndim != 1 or not y.numel() or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise BadInput.of("y", f"{y.dtype} {list(y.shape)}", "integer labels [n], n >= 1", "pass class indices")
    if not 0 <= int(y.min()) <= int(y.max()) < classes:
        found = f"labels {int(y.min())}..{int(y.max())}"
        raise BadInput.of("y", found, f"0..{classes - 1}", "pass the number of classes of the data set")
    return classes
