"""The run store: one checksummed file per run, named by the content of its configuration and data."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redlib.errors import BadInput
from redlib.evidence.code import code_digest
from redlib.evidence.files import remove_leftovers, write_atomic

__all__ = [
    "CorruptEntry",
    "Entry",
    "code_digest",
    "describe",
    "key",
    "read",
    "remove_leftovers",
    "scan",
    "write",
]

SCHEMA = 2
META = "meta"
DESCRIBED = ("schema", "config", "data")  # what `describe` returns, of which the key is the digest
PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Entry:
    """What one run left: its arrays by name, and how they came about (see `sweep`)."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


class CorruptEntry(Exception):
    """A stored file whose checksum fails, or that holds another run; moved aside, so that the run can be repeated."""


def describe(config: object, data: str = "") -> dict[str, Any]:
    """Return what identifies a run as plain JSON: schema, type and fields of `config`, data.

    `config` is a frozen dataclass of None, bool, int, float, str, tuples, dicts with str keys and such
    dataclasses; `data` the digest of its data. Raises BadInput for anything else (arrays, NumPy numbers,
    enums, paths, NaN).
    """
    if isinstance(config, type) or not dataclasses.is_dataclass(config):
        raise BadInput.of("config", config, "an instance of a frozen dataclass", "describe the run by a dataclass")
    return {"schema": SCHEMA, "config": _plain(config, type(config).__name__), "data": _plain(data, "data")}


def key(config: object, data: str = "") -> str:
    """Return the 64 hex digits that name this run: SHA-256 of the canonical JSON of `describe`."""
    return _digest(describe(config, data))


def _digest(described: Mapping[str, Any]) -> str:
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any, name: str) -> Any:
    """Return `value` as JSON; types are compared exactly, as a str enum or a NumPy float would look alike."""
    if type(value) in PLAIN and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    if type(value) in (list, tuple):
        return [_plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if type(value) is dict and all(type(k) is str for k in value):
        return {k: _plain(item, f"{name}[{k!r}]") for k, item in value.items()}
    frozen = getattr(getattr(type(value), "__dataclass_params__", None), "frozen", False)
    if frozen:
        fields = {f.name: _plain(getattr(value, f.name), f"{name}.{f.name}") for f in dataclasses.fields(value)}
        return {"type": f"{type(value).__module__}.{type(value).__qualname__}", "fields": fields}
    allowed = "None, bool, int, finite float, str, list, tuple, dict with str keys, frozen dataclass"
    raise BadInput.of(name, value, allowed, "convert it first: int(x), float(x), str(path), enum.value, x.tolist()")


def _path(root: Path, name: str) -> Path:
    return root / name[:2] / f"{name}.run"


def write(root: Path, name: str, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """Store `arrays` and `meta` under the key `name`; return the file. Atomic; replaces an older entry.

    The file is one line with the SHA-256 of the rest, then an npz archive with the metadata as JSON inside.
    Raises BadInput for arrays of objects (they would need pickle), OSError when there is no room.
    """
    if not isinstance(arrays, Mapping) or not all(type(label) is str for label in arrays):
        raise BadInput.of("result of a run", type(arrays).__name__, "{name: array}", "return a dict with str keys")
    packed = {f"array/{label}": np.asarray(array) for label, array in arrays.items()}
    for label, array in packed.items():
        if array.dtype.hasobject:
            raise BadInput.of(label, array.dtype, "numbers, booleans or strings", "return plain NumPy arrays")
    packed[META] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **packed)  # type: ignore[arg-type]
    body = buffer.getvalue()
    return write_atomic(_path(root, name), hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def read(root: Path, name: str) -> Entry | None:
    """Return the entry with key `name`, or None where there is none.

    Raises CorruptEntry when the checksum fails, or when the content is that of another run (a file copied over this
    name); the file has then been renamed to `<key>.corrupt`.
    """
    path = _path(root, name)
    try:
        return _unpack(path.read_bytes(), name)
    except FileNotFoundError:
        return None
    except CorruptEntry as error:
        aside = path.with_suffix(".corrupt")
        with contextlib.suppress(FileNotFoundError):  # another reader was faster
            os.replace(path, aside)
        raise CorruptEntry(f"the stored run {path} is damaged ({error}); moved to {aside.name}") from None


def _unpack(data: bytes, name: str) -> Entry:
    """Return the entry in the bytes of the file called `name`; CorruptEntry where one or the other is wrong."""
    checksum, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise CorruptEntry("checksum differs")
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        arrays = {label.removeprefix("array/"): archive[label] for label in archive.files if label != META}
        entry = Entry(arrays, json.loads(archive[META].tobytes()))
    described = {field: entry.meta[field] for field in DESCRIBED if field in entry.meta}
    if len(described) == len(DESCRIBED) and _digest(described) != name:
        raise CorruptEntry("it holds another run, as its own configuration says")
    return entry


def scan(root: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Yield (file, metadata) of every stored run, in name order; a damaged one has None as metadata."""
    for path in sorted(root.glob("??/*.run")):
        try:
            yield path, _unpack(path.read_bytes(), path.stem).meta
        except CorruptEntry:
            yield path, None
