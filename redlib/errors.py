"""The one exception for bad input: it names the value, what is allowed, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """Raised at once, before anything is written, when an argument cannot be used."""

    @classmethod
    def of(cls, what: str, value: object, allowed: str, remedy: str) -> BadInput:
        """Return the error for argument `what` = `value`; `allowed` is its range, `remedy` what to do."""
        return cls(f"{what} = {value!r} cannot be used: allowed is {allowed}. {remedy}")

    @classmethod
    def named(cls, what: str, value: object, known: Iterable[str], remedy: str) -> BadInput:
        """Return the error for an unknown name, with the nearest of the known ones where there is one."""
        known = list(known)
        near = get_close_matches(str(value), known, 1)
        hint = f"Did you mean {near[0]}? Otherwise " if near else ""
        return cls.of(what, value, ", ".join(known) or "nothing yet", hint + remedy)
