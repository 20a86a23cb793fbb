"""Writing files so that nobody ever sees a half-written one: atomic replacement, leftovers, and a lock."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two reproduce runs at once are then not serialised; each write is still atomic
    fcntl = None  # type: ignore[assignment]

DAY_S = 86_400.0


def write_atomic(path: Path, data: bytes) -> Path:
    """Replace `path` by `data` in one step and return it; parents are made.

    After a crash the old or the new content is there, never a part: the bytes go to a temporary file in the
    same folder and are on disk before the rename. Raises OSError (same errno) that says how many bytes were
    needed and where; the temporary file is then removed. Safe for two writers: the last one wins whole.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, _no_room(path, len(data), error)) from error
        raise
    _sync_folder(path.parent)
    return path


def _no_room(path: Path, size: int, error: OSError) -> str:
    return (
        f"{error.strerror}: {size:,} bytes ({size / 2**20:.1f} MiB) are needed for {path}, "
        "nothing was written. Free space there, or move the store (REDLIB_STORE) or all outputs (REDLIB_HOME)"
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; Windows cannot open folders and does not need it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, older_than_s: float = DAY_S) -> int:
    """Delete what killed writers left in `folder` (all levels) over `older_than_s` ago; return how many.

    A day is far longer than any write takes, so a temporary file in use is never touched.
    """
    removed = 0
    for path in folder.glob("**/.*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # another process may be cleaning too
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()
                removed += 1
    return removed


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (made if missing); others wait. The system frees it if the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
