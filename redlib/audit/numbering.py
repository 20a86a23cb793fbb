"""Whether labels are numbered as a net's outputs are: another order of the classes looks like a net that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from redlib.evidence.stats import wilson

MOST = 1000  # classes, beyond which the best numbering takes too long to find
HALF = 0.5  # of the labels, more than which another numbering must explain before it is told
NAMED = 3  # classes that are named


def right_of(decisions: Tensor, y: Tensor, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the `accuracy` of decisions [n, ...], how many `classes` labels [n, ...] have, and perhaps `renumbered`.

    The latter says that, and how, another numbering of the classes makes surely more decisions right, and more than
    HALF of all (Wilson's 95% intervals).
    """
    own, count = int((decisions == y).sum()), y.numel()
    found: dict[str, Any] = {"accuracy": own / count, "classes": len(y.unique())}
    order, right = best_numbering(decisions, y)
    if wilson(right, count).low > max(HALF, wilson(own, count).high):
        found["renumbered"] = _words(own / count, right / count, order, classes)
    return found


def best_numbering(decisions: Tensor, y: Tensor) -> tuple[dict[int, int], int]:
    """Return {label: output} under which most decisions are right, and how many then are; nothing for over MOST.

    Each output stands for one label at most, and a decision of -1 for none.
    """
    told = decisions >= 0
    labels, rows = y[told].unique(return_inverse=True)
    outputs, columns = decisions[told].unique(return_inverse=True)
    if not len(labels) or max(len(labels), len(outputs)) > MOST:
        return {}, 0
    counts = (rows * len(outputs) + columns).bincount(minlength=len(labels) * len(outputs))
    table = counts.view(len(labels), len(outputs)).numpy()
    at = linear_sum_assignment(table, maximize=True)
    pairs = {int(labels[row]): int(outputs[column]) for row, column in zip(*at, strict=True) if table[row, column]}
    return pairs, int(np.asarray(table[at]).sum())


def _words(own: float, best: float, order: Mapping[int, int], classes: Sequence[str]) -> str:
    moved = [(label, output) for label, output in order.items() if label != output]
    named = [f"{classes[label] if classes else f'label {label}'} as output {output}" for label, output in moved]
    more = f", and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return (
        f"Labels seem to be numbered otherwise than the net's outputs: as they are {own:.0%} of its decisions are "
        f"right, with another order of the classes {best:.0%} ({', '.join(named[:NAMED])}{more})."
    )
