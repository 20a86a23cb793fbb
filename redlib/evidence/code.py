"""Which code made a result: a digest of the modules a run executes, found by reading their imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from redlib.errors import BadInput


def code_digest(module: str) -> str:
    """Return a SHA-256 over `module` and all modules of redlib (and of its own package) it comes to import.

    Only syntax trees without docstrings count, so an edited comment changes nothing. Nothing is executed, so
    a module whose name is computed at run time is not seen. Digests of two minor versions of Python differ.
    """
    digests = module_digests(module)
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in digests.items()).encode()).hexdigest()


def module_digests(module: str) -> dict[str, str]:
    """Return {module name: 16 hex digits of its code}, sorted, for all modules that `code_digest` covers.

    Raises BadInput when `module` has no source file.
    """
    found: dict[str, str] = {}
    waiting, tops = [module], {"redlib", module.partition(".")[0]}
    while waiting:
        name = waiting.pop()
        path = _file(name) if name.partition(".")[0] in tops else None
        if path is None or name in found:
            continue
        stat = path.stat()
        found[name], imports = _parsed(name, path, stat.st_mtime_ns, stat.st_size)
        waiting += imports
    if module not in found:
        raise BadInput.of("module", module, "a module with a source file", "put the run function into a .py file")
    return dict(sorted(found.items()))


def edited_since(module: str, when: float) -> bool:
    """Return True when a file `code_digest(module)` covers was changed after `when` (seconds since 1970).

    A time in the future is a wrong clock somewhere, no edit.
    """
    files = [_file(name) for name in module_digests(module)]
    return any(when < path.stat().st_mtime <= time.time() for path in files if path)


def changed_modules(recorded: dict[str, str], module: str) -> list[str]:
    """Return the modules whose code differs between `recorded` (module_digests of that time) and today."""
    today = module_digests(module)
    return sorted(name for name in {*recorded, *today} if recorded.get(name) != today.get(name))


def _file(name: str) -> Path | None:
    """Return the source file of a dotted module name, None if it has none; nothing is imported."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ValueError, ImportError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        return Path(spec.origin) if not rest and spec.origin and spec.origin.endswith(".py") else None
    bases = [Path(folder, *rest) for folder in spec.submodule_search_locations]
    candidates = [path for base in bases for path in (base / "__init__.py", base.with_name(base.name + ".py"))]
    return next((path for path in candidates if path.is_file()), None)


@cache
def _parsed(name: str, path: Path, mtime_ns: int, size: int) -> tuple[str, tuple[str, ...]]:
    """Return (digest of the code, names it may import); time and size of the file are the cache's key."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = {parent for full in _imports(tree, package) for parent in _with_parents(full)}
    return hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()[:16], tuple(sorted(imports))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the full names imported; for `from a import b` both a and a.b, as b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package) if node.level else base
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> list[str]:
    """Return a.b.c, a.b and a: importing a module executes the __init__ files of its packages too."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    del node.body[0]
    return tree
