"""Label noise with exact counts: how many labels are wrong is set, and which ones is nested in the rate."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import unmasked, whole
from redlib.data.streams import rng
from redlib.errors import BadInput


def corrupt_labels(
    y: Tensor | np.ndarray, fraction: float, classes: int, seed: int, *, per_class: bool = False
) -> tuple[Tensor, Tensor]:
    """Return labels [n] int64, exactly round(fraction·n) of them wrong, and which ones (bool [n]).

    A flipped label is uniform over the other classes - 1 classes (symmetric noise), so it is never the true
    one. For one seed the flips are nested: those at 10% are among those at 20%, with the same wrong labels.
    With `per_class` the count is exact within every class, round(fraction·n_k). Rounding is half to even.
    Raises BadInput for a fraction outside [0, 1], fewer than 2 classes or labels outside [0, classes).
    """
    true = torch.as_tensor(unmasked(y, "y"))
    classes = _check(true, fraction, classes)
    labels = true.cpu().numpy().astype(np.int64)
    place = rng(seed, "noise", 0).permutation(labels.size)
    # Drawn for every label, flipped or not: that is what makes the wrong labels the same at every rate.
    shift = rng(seed, "noise", 1).integers(1, classes, labels.size)
    flipped = np.zeros(labels.size, dtype=bool)
    for members in _groups(labels, place, per_class):
        flipped[members[: round(fraction * members.size)]] = True
    noisy = np.where(flipped, (labels + shift) % classes, labels)
    return torch.from_numpy(noisy).to(true.device), torch.from_numpy(flipped).to(true.device)


def _groups(labels: np.ndarray, place: np.ndarray, per_class: bool) -> list[np.ndarray]:
    """Return the positions in random order, as one group or as one group for each class."""
    if not per_class:
        return [place]
    return [place[labels[place] == k] for k in np.unique(labels)]


def _check(y: Tensor, fraction: float, classes: int) -> int:
    """Return the number of classes as an integer."""
    if not 0 <= fraction <= 1:  # also refuses NaN
        raise BadInput.of("fraction", fraction, "0 <= fraction <= 1", "pass the share of labels to flip")
    classes = whole("classes", classes, 2, "a label cannot be wrong with one class only")
    if y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise BadInput.of("y", f"{y.dtype} {list(y.shape)}", "integer labels [n]", "pass class indices")
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < classes:
        found = f"labels {int(y.min())}..{int(y.max())}"
        raise BadInput.of("y", found, f"0..{classes - 1}", "pass the number of classes of the data set")
    return classes
