"""Writing files so that nobody ever sees a half-written one: atomic replacement, leftovers, locks, and what is ours."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from redlib.errors import BadInput
from redlib.evidence.paths import project_root

try:
    import fcntl
except ImportError:  # Windows: two reproduce runs at once are then not serialised; each write is still atomic
    fcntl = None  # type: ignore[assignment]

DAY_S = 86_400.0
MARKER = ".redlib"  # a folder of build/ that holds this file was made here, and `make clean` may remove it


def write_atomic(path: Path, data: bytes) -> Path:
    """Replace `path` by `data` in one step and return it; parents are made.

    After a crash the old or the new content is there, never a part: the bytes go to a temporary file in the
    same folder and are on disk before the rename. Raises OSError (same errno) that says how many bytes were
    needed and where; the temporary file is then removed. Safe for two writers: the last one wins whole.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        make_folder(path.parent)
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
    make_folder(path.parent)
    with open(path, "ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def held(path: Path, what: str, value: str) -> Iterator[None]:
    """Hold the lock file `path` (made if missing) or raise BadInput on `what` = `value`, with the holder's process id.

    The system frees it when the holder ends, however it ends; the file stays.
    """
    make_folder(path.parent)
    with open(path, "a+", encoding="ascii") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = f"process {file.read().strip() or 'of another command'} works on it"
                raise BadInput.of(what, value, "one that nobody works on", f"{holder}: let it end") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def build_folder(name: str) -> Path:
    """Return build/<name> of the project, made and marked as ours unless it is there already."""
    return make_folder(project_root() / "build" / name)


def make_folder(path: Path) -> Path:
    """Return `path` as a folder, made if missing; a folder of build/ that is made here is marked as ours."""
    build = project_root() / "build"
    if build in path.parents:
        _mark_new(build / path.relative_to(build).parts[0])
    path.mkdir(parents=True, exist_ok=True)
    return path


def _mark_new(folder: Path) -> None:
    """Make a folder and mark it; one that is there already may be somebody else's and is left as it is."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return
    (folder / MARKER).write_text("Made by redlib: `make clean` may remove this folder.\n", encoding="utf-8")
