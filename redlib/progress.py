"""One progress display for all loops: a bar for a person who watches, a timed log line otherwise."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from redlib.errors import BadInput

T = TypeVar("T")
MODES = ("bar", "log", "off")


def shell() -> Any:
    """Return the IPython shell this code runs in, or None; IPython is not imported for the question."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return ask() if ask else None


def interactive() -> bool:
    """Return True when a person watches: stderr is a terminal, or a live Jupyter front end sent this cell.

    Papermill and nbclient run a kernel too, but unlike a live front end they never let a cell ask for input.
    """
    kernel = getattr(shell(), "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr is not None and sys.stderr.isatty()


def mode() -> str:
    """Return `bar`, `log` or `off`: what `REDLIB_PROGRESS` says, else by who watches."""
    asked = os.environ.get("REDLIB_PROGRESS")
    if asked and asked not in MODES:
        raise BadInput.of("REDLIB_PROGRESS", asked, " | ".join(MODES), "unset it or export one of these")
    return asked or ("bar" if interactive() else "log")


def progress(iterable: Iterable[T], label: str, total: int | None = None, every_s: float = 10.0) -> Iterable[T]:
    """Return an iterable over the same items that shows how far it is.

    A tqdm bar in mode `bar`; in mode `log` at most one line on stderr every `every_s` seconds, so that what
    is shorter stays silent; nothing in mode `off`. `total` (items) is needed only where `len` fails. Raises
    BadInput at once for a negative `every_s` or an unknown `REDLIB_PROGRESS`.
    """
    if every_s < 0:
        raise BadInput.of("every_s", every_s, "every_s >= 0 (seconds)", "pass 10 for six lines a minute")
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    how = mode()
    if how == "bar":
        from tqdm.auto import tqdm

        return tqdm(iterable, desc=label, total=total)
    return _logged(iterable, label, total, every_s) if how == "log" else iterable


def _logged(iterable: Iterable[T], label: str, total: int | None, every_s: float) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            print(_line(label, done, total, now - start), file=sys.stderr, flush=True)


def _line(label: str, done: int, total: int | None, elapsed: float) -> str:
    """Return `label: 3/12 (25%) after 30 s, about 90 s to go`; without a total only count and time."""
    if not total:
        return f"{label}: {done} after {elapsed:.0f} s"
    left = elapsed / done * max(total - done, 0)
    return f"{label}: {done}/{total} ({done / total:.0%}) after {elapsed:.0f} s, about {left:.0f} s to go"
