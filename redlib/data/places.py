"""Where data sets and caches lie: the argument, else the environment, else folders of the project."""

from __future__ import annotations

import os
from pathlib import Path

from redlib.places import expanded, named_folder, project_root

DATA_VARIABLE = "REDLIB_DATA"


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data sets: `root`, else `REDLIB_DATA`, else `data/` in the project.

    A relative `root` counts from the current folder, a relative `REDLIB_DATA` from the project's root: notebooks run
    in a folder below it.
    """
    return named_folder(DATA_VARIABLE, "data") if root is None else expanded(root, "root").resolve()


def cache_root() -> Path:
    """Return the folder for decoded images and generated data, `build/cache` in the project; it may be deleted."""
    return project_root() / "build" / "cache"
