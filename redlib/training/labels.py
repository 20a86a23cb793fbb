"""Labels per example and per token: where outputs hold their classes, and which labels count.

Outputs are read as torch's `cross_entropy` reads them, with the classes on axis 1: [B, C] for labels [B], and
[B, C, T, ...] for labels per token [B, T, ...]. What most language models return, [B, T, C], is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from torch import Tensor

from redlib.errors import BadInput

Forward = Callable[[Tensor], Any]


def check_layout(outputs: Any, labels: Sequence[int]) -> int:
    """Return the number of classes C of outputs [B, C, *labels], `labels` being the shape of those of one example.

    BadInput for outputs of another shape, which the named losses cannot take.
    """
    if _holds(outputs, labels):
        return outputs.shape[1]
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if labels:
        raise _other_layout(shape, labels)
    raise BadInput.of("outputs of the net", shape, "a tensor [examples, classes]", "Pass a callable loss.")


def check_axis(outputs: Tensor, labels: Sequence[int], forward: Forward, x: Tensor) -> None:
    """Raise BadInput unless it is axis 1 of outputs that holds the classes: [2, C, *labels].

    It may be the last one as well where every axis of the labels has the size C. Then `forward` is asked for the
    outputs of x [2, ...] made shorter by one token, which shows what follows the tokens and what does not.
    """
    classes = check_layout(outputs, labels)
    if not may_be_last(outputs, labels):
        return
    fewer = [classes - 1] * len(labels)
    axes = [axis for axis in range(1, x.dim()) if x.shape[axis] == classes > 1]
    for chosen in combinations(axes, len(labels)):
        shorter = x
        for axis in chosen:
            shorter = shorter.narrow(axis, 0, classes - 1)
        if (shape := _shape(forward, shorter)) == (2, classes, *fewer):
            return
        if shape == (2, *fewer, classes):
            raise _other_layout(f"{tuple(outputs.shape)}, classes last", labels)
    found = f"{tuple(outputs.shape)}, of which axis 1 or the last may hold the classes"
    remedy = "Pad or cut the examples to another length, or give the net an output more, which no label uses."
    raise BadInput.of("outputs of the net", found, "another number of classes than of tokens", remedy)


def may_be_last(outputs: Tensor, labels: Sequence[int]) -> bool:
    """Return whether outputs [B, C, *labels] have a shape in which the last axis might hold the classes as well."""
    return bool(labels) and all(size == outputs.shape[1] for size in labels)


def has_classes(outputs: Tensor, labels: Sequence[int]) -> bool:
    """Return whether outputs [B, C, *labels] surely hold at least two classes on axis 1."""
    return _holds(outputs, labels) and outputs.shape[1] > 1 and not may_be_last(outputs, labels)


def per_label(outputs: Tensor, y: Tensor, axis: int = 0) -> tuple[Tensor, Tensor]:
    """Return (outputs [..., n, C], labels [..., n]), a row a label, of outputs [..., B, C, T, ...], y [..., B, T, ...].

    `axis` is that of the examples, B. Labels one per example are returned as they are.
    """
    if y.dim() == axis + 1:
        return outputs, y
    return outputs.movedim(axis + 1, -1).flatten(axis, -2), y.flatten(axis)


def _other_layout(found: object, labels: Sequence[int]) -> BadInput:
    inner = "".join(f", {size}" for size in labels)
    allowed = f"a tensor [examples, classes{inner}] for labels per token, as torch has it"
    remedy = "Move the classes there (outputs.movedim(-1, 1)); of one-hot labels take y.argmax(1)."
    return BadInput.of("outputs of the net", found, allowed, remedy)


def _holds(outputs: Any, labels: Sequence[int]) -> bool:
    return isinstance(outputs, Tensor) and outputs.dim() > 1 and tuple(outputs.shape[2:]) == tuple(labels)


def _shape(forward: Forward, x: Tensor) -> tuple[int, ...] | None:
    try:
        found = forward(x)
    except Exception:  # whatever a user's code raises where it cannot take shorter inputs
        return None
    return tuple(found.shape) if isinstance(found, Tensor) else None
