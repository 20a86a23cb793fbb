"""Where things lie, by one rule: the argument, else the environment, else folders of the project."""

from __future__ import annotations

import os
from pathlib import Path

from redlib.errors import BadInput

HOME_VARIABLE = "REDLIB_HOME"


def project_root() -> Path:
    """Return `REDLIB_HOME`, else the nearest folder upward with a pyproject.toml, else this checkout, else the current.

    BadInput where the variable names a file, or the home folder of nobody.
    """
    if home := os.environ.get(HOME_VARIABLE):
        return _folder(HOME_VARIABLE, expanded(home, HOME_VARIABLE).resolve())
    here = Path.cwd().resolve()
    checkout = Path(__file__).resolve().parents[1]  # or where packages are installed, which is no project
    above = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), None)
    return above or (checkout if (checkout / "claims").is_dir() else here)


def named_folder(variable: str, default: str) -> Path:
    """Return the folder that the environment's `variable` names, else `default`, as an absolute path.

    Both count from the project's root, since notebooks run in a folder below it, and `~` is the home folder: not every
    place that sets a variable has a shell to expand it. An empty variable is none. BadInput as for `project_root`.
    """
    named = expanded(os.environ.get(variable) or default, variable)
    return _folder(variable, (named if named.is_absolute() else project_root() / named).resolve())


def expanded(path: str | os.PathLike[str], what: str) -> Path:
    """Return `path` with `~` or `~name` as that home folder; BadInput, naming `what`, where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # pathlib's for a name that nobody has
        raise BadInput.of(what, str(path), "a path", f"write the folder out ({error})") from error


def _folder(what: str, path: Path) -> Path:
    if path.is_file():
        raise BadInput.of(what, str(path), "a folder, or one yet to be made", "this is a file: name a folder")
    return path
