"""At which steps of a training a toy is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from redlib.data.numbers import whole
from redlib.errors import BadInput


def check_looks(looks: Sequence[int], steps: int) -> list[int]:
    """Return the numbers of steps at which to look; BadInput unless they go up, from 0 to `steps` at most."""
    found = [whole("looks", look, 0, "Count steps from 0.") for look in looks]
    if found != sorted({*found}) or (found and found[-1] > steps):
        raise BadInput.of("looks", list(looks), f"numbers of steps that go up, from 0 to {steps}", "Sort them.")
    return found
