"""Numbers that a caller passes: whole ones and real ones, refused by name where they cannot be meant."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from redlib.errors import BadInput

PRECISIONS = ("fp32", "bf16")


def whole_number(what: str, value: Any, least: int, remedy: str) -> int:
    """Return `value` as an integer; BadInput unless it is a whole number >= `least` (2.0 is one, 1.9 is not)."""
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise BadInput.of(what, value, f"a whole number >= {least}", remedy)
    return number


def is_number(value: Any, least: float = 0.0) -> bool:
    """Return whether `value` is a finite real number >= `least`."""
    return isinstance(value, Real) and math.isfinite(value) and float(value) >= least


def check_number(what: str, value: Any, remedy: str) -> None:
    """Raise BadInput unless `value` is a finite number >= 0."""
    if not is_number(value):
        raise BadInput.of(what, value, "a finite number >= 0", remedy)


def check_precision(precision: str) -> str:
    """Return `precision` if it is known, else raise BadInput."""
    if precision not in PRECISIONS:
        raise BadInput.of("precision", precision, f"one of {PRECISIONS}", "fp32 is the default.")
    return precision
