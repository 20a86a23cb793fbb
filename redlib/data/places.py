"""Where data sets and caches lie: the argument, else the environment, else folders of the project."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "REDLIB_DATA"
HOME_VARIABLE = "REDLIB_HOME"


def project_root() -> Path:
    """Return `REDLIB_HOME`, else the nearest folder upward with a pyproject.toml, else the current one."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home).expanduser().resolve()
    here = Path.cwd().resolve()
    return next((d for d in (here, *here.parents) if (d / "pyproject.toml").is_file()), here)


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data sets: `root`, else `REDLIB_DATA`, else `data/` in the project.

    A relative `REDLIB_DATA` counts from the project's root: notebooks run in a folder below it.
    """
    if root is not None:
        return Path(root).expanduser().resolve()
    return (project_root() / Path(os.environ.get(DATA_VARIABLE) or "data").expanduser()).resolve()


def cache_root() -> Path:
    """Return the folder for decoded images and generated data, `build/cache` in the project; it may be deleted."""
    return project_root() / "build" / "cache"
