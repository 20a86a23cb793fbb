"""A profile: which notebooks it runs, with which parameters; read from profiles/<name>.yaml and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redlib.errors import BadInput
from redlib.evidence.paths import check_profile, project_root
from redlib.evidence.reading import parsed_yaml, read_text

Parameters = dict[str, Any]

_FIELDS = ("profile", "description", "notebooks")
_LOOKS_LIKE_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
# What there must be at least one of, wherever it stands; an epoch and a half would train one.
_COUNTS = re.compile(r"(?:\w+_)?(?:seeds|epochs)|few|batch")


@dataclass(frozen=True)
class Profile:
    """One profile: its name, what it is for, and the parameters of each notebook it runs, by study."""

    name: str
    description: str
    notebooks: dict[str, Parameters]

    def chosen(self, study: str | None) -> dict[str, Parameters]:
        """Return the notebooks to run: all, or only `study`; BadInput when the profile has no such study."""
        if study is None:
            return self.notebooks
        if study not in self.notebooks:
            raise BadInput.named("study", study, self.notebooks, f"add it to profiles/{self.name}.yaml")
        return {study: self.notebooks[study]}


def studies() -> list[str]:
    """Return the names of the notebooks that exist (notebooks/NN_name.py), in order."""
    return sorted(path.stem for path in (project_root() / "notebooks").glob("[0-9][0-9]_*.py"))


def notebook_source(study: str) -> Path:
    """Return the path of the notebook's source, notebooks/<study>.py."""
    return project_root() / "notebooks" / f"{study}.py"


def load_profile(name: str) -> Profile:
    """Return profile `name`; BadInput, with the nearest known name, for anything unknown or malformed.

    Every notebook's parameters include `profile`, so that the yaml need not repeat its own name.
    """
    path = project_root() / "profiles" / f"{check_profile(name)}.yaml"
    raw = _mapping(_read(path), str(path.name))
    for field in raw:
        if field not in _FIELDS:
            raise BadInput.named(f"field of {path.name}", field, _FIELDS, "correct its spelling")
    if raw.get("profile") != name:
        raise BadInput.of(f"profile in {path.name}", raw.get("profile"), repr(name), "it is the name of the file")
    sections = _mapping(raw.get("notebooks") or {}, f"notebooks of {path.name}")
    known = studies()
    for study in sections:
        if study not in known:
            raise BadInput.named(f"notebook of {path.name}", study, known, "it is the name of a file in notebooks/")
    chosen = {study: {"profile": name, **_parameters(sections[study], f"{study} in {path.name}")}
              for study in known if study in sections}  # fmt: skip
    return Profile(name, str(raw.get("description", "")), chosen)


def _read(path: Path) -> object:
    if not path.exists():
        raise BadInput.of("profile", path.stem, "a file in profiles/", f"write {path.name}")
    found: object = parsed_yaml(read_text(path), path.name)
    return found


def _parameters(raw: object, what: str) -> Parameters:
    """Return the parameters, refused here where a notebook would fail on them late."""
    given = _mapping(raw or {}, what)
    if "profile" in given:
        raise BadInput.of(f"profile in {what}", given["profile"], "no such line", "it is passed by itself")
    for name, value in given.items():
        for own, item in _leaves(value, name):
            if isinstance(item, str) and _LOOKS_LIKE_NUMBER.fullmatch(item):  # so YAML 1.1 reads 1e-3
                raise BadInput.of(f"{name} of {what}", item, "a number", "YAML needs the dot: write 1.0e-3")
            if _COUNTS.fullmatch(own):
                _check_count(own, item, what)
    return given


def _check_count(name: str, value: object, what: str) -> None:
    """Raise BadInput for a number that is no count; None and words (a default, a rule) are the notebook's to judge."""
    if value == [] or isinstance(value, bool | int | float) and (type(value) is not int or value < 1):
        raise BadInput.of(f"{name} of {what}", value, "a whole number >= 1", "leave it out for the notebook's own")


def _leaves(value: object, name: str) -> Iterator[tuple[str, object]]:
    """Yield (its name, value) of every single value inside nested lists and mappings; one in a list has no name."""
    if isinstance(value, dict):
        for own, item in value.items():  # a length is told in steps or in epochs, and 0 says that it is the other
            yield from _leaves(item, "" if own == "epochs" and value.get("steps") else str(own))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, "")
    if not isinstance(value, dict | list) or value == []:
        yield name, value


def _mapping(raw: object, what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadInput.of(what, raw, "named values", "write `name: value` lines")
    return {str(key): value for key, value in raw.items()}
