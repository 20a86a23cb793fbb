"""From runs to verdicts: the store, the sweep, statistics over seeds, claims and their records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redlib.evidence.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]


def __getattr__(name: str) -> Any:
    """Return `compare` or `Comparison`, loaded when first asked for: scipy takes a second that others need not pay."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from redlib.evidence import comparison

    return getattr(comparison, name)
