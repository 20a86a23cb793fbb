"""Numbers as a caller passes them, refused by name where a conversion would silently make others of them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redlib.errors import BadInput

PLAIN = "real numbers, none of them masked"


def whole(what: str, value: Any, least: int, remedy: str) -> int:
    """Return `value` as an integer; BadInput unless it is a whole number >= `least` (2.0 is one, 1.9 is not)."""
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise BadInput.of(what, value, f"a whole number, {what} >= {least}", remedy)
    return number


def unmasked(values: Any, what: str) -> Any:
    """Return `values`; BadInput where they are a NumPy array with masked entries, which would be taken for numbers."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        remedy = "Pass values.filled(nan) where gaps may be, else values.compressed()."
        raise BadInput.of(what, f"{int(np.ma.count_masked(values))} masked entries", PLAIN, remedy)
    return values


def floats(values: Any, what: str) -> NDArray[np.float64]:
    """Return an array, a tensor or nested lists as float64, NaN and all; BadInput for complex and masked numbers."""
    if isinstance(values, Tensor):
        return strided(values, what).detach().to("cpu", torch.float64).numpy()
    array = np.asarray(unmasked(values, what))
    if array.dtype.kind == "c":
        raise BadInput.of(what, array.dtype.name, PLAIN, "Pass real or absolute values.")
    return np.asarray(array, np.float64)


def strided(values: Tensor, what: str) -> Tensor:
    """Return `values`; BadInput for tensors that do not hold a real number at every place.

    These are complex, sparse and quantised ones, and those of the device "meta".
    """
    kind = "meta" if values.is_meta else "quantised" if values.is_quantized else str(values.layout)
    if values.is_complex() or kind != str(torch.strided):
        given = f"{kind} {values.dtype} {tuple(values.shape)}"
        raise BadInput.of(what, given, "a plain tensor of real numbers", "See to_dense, dequantize, real and abs.")
    return values


def whole_labels(labels: Tensor, what: str = "labels") -> Tensor:
    """Return `labels` as int64; BadInput unless they are whole numbers (no bool)."""
    if strided(labels, what).is_floating_point() or labels.dtype == torch.bool:
        given = f"{labels.dtype} {tuple(labels.shape)}"
        raise BadInput.of(what, given, "whole numbers", "Pass class indices, one per example.")
    return labels.long()
