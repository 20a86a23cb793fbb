"""The runs of each study: frozen configurations -> arrays, and the statistics that turn arrays into evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

from redlib.errors import BadInput

Config = TypeVar("Config")


def configure(kind: type[Config], *settings: Mapping[str, Any], **more: Any) -> Config:
    """Return kind(**settings), later ones winning, lists and ranges as tuples.

    BadInput for an unknown field names its nearest neighbour.
    """
    merged: dict[str, Any] = {}
    for part in (*settings, more):
        merged |= part
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in merged:
        if name not in known:
            near = get_close_matches(name, known, 1)
            remedy = f"Did you mean {near[0]!r}?" if near else "Correct the profile."
            raise BadInput.of(f"setting of {kind.__name__}", name, f"one of {known}", remedy)
    return kind(**{name: tuple(v) if isinstance(v, list | range) else v for name, v in merged.items()})
