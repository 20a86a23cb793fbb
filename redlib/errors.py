"""The one exception for bad input: it names the value, what is allowed, and what to do."""

from __future__ import annotations


class BadInput(ValueError):
    """Raised at once, before anything is written, when an argument cannot be used."""

    @classmethod
    def of(cls, what: str, value: object, allowed: str, remedy: str) -> BadInput:
        """Return the error for argument `what` = `value`; `allowed` is its range, `remedy` what to do."""
        return cls(f"{what} = {value!r} cannot be used: allowed is {allowed}. {remedy}")
