"""Reading what people wrote or a crash left: YAML and JSON, refused in a sentence that names the file and the line."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from redlib.errors import BadInput

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster, and not in every build
RESTORE = "Restore it from git, or remove it and run again"


def read_text(path: Path) -> str:
    """Return the text of a file; BadInput where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadInput(f"{path.name} is not UTF-8 text: byte {error.start} is {byte:#x}") from error


def parsed_yaml(text: str, what: str) -> Any:
    """Return what the YAML text says, None for an empty one.

    BadInput, with the line, for what is no YAML, and for a name that one mapping has twice: YAML would keep the last
    and say nothing.
    """
    loader = None
    try:
        loader = LOADER(text)
        node = loader.get_single_node()
        _refuse_twins(node, what)
        return None if node is None else loader.construct_document(node)
    except BadInput:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadInput(f"{what} is not valid YAML: {line}{told}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-01
        raise BadInput(f"{what} is not valid YAML: {' '.join(str(error).split())}") from error
    finally:
        if loader is not None:
            loader.dispose()


def parsed_json(text: str, what: str, line: int = 0) -> Any:
    """Return what the JSON text says; BadInput with the line (`line`, where the text is one of many) for others."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        told = f"line {line or error.lineno}, column {error.colno}: {error.msg}"
        raise BadInput(f"{what} is not valid JSON: {told}. {RESTORE}") from error
    except RecursionError as error:
        raise BadInput(f"{what} is not valid JSON: it is nested too deeply. {RESTORE}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the named values of a JSON file, {} where there is none; BadInput for anything else."""
    found = parsed_json(read_text(path), path.name) if path.exists() else {}
    if not isinstance(found, dict):
        raise BadInput.of(path.name, type(found).__name__, "named values in braces", RESTORE)
    return found


def json_lines(text: str, what: str, fields: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the named values on each line that is not empty; BadInput with the line where `fields` are no text."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = parsed_json(line, what, number)
        missing = [name for name in fields if not isinstance(row, dict) or not isinstance(row.get(name), str)]
        if missing or not isinstance(row, dict):
            raise BadInput(f"{what} is damaged: line {number} lacks {', '.join(missing) or 'named values'}. {RESTORE}")
        found.append(row)
    return found


def _refuse_twins(root: yaml.Node | None, what: str) -> None:
    """Raise BadInput where a mapping names something twice; before anything is built, as merging (<<) repeats names."""
    waiting, seen = [root] if root else [], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _refuse_twin_names(node, what)
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _refuse_twin_names(node: yaml.MappingNode, what: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in lines:
                allowed = f"one line for each name, and line {lines[key.value]} has it, too"
                raise BadInput.of(f"name in {what}, line {line}", key.value, allowed, "Remove one of the two.")
            lines[key.value] = line
