"""The run store: what a key is, and that no accident leaves a wrong or half-written result behind."""

import enum
import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.evidence import files, store

NAME = "ab" + 62 * "0"
META = {"code": "c0de", "wall_s": 1.5}
ARRAYS = {
    "loss": np.array([[0.1, np.nan], [np.inf, -0.0]]),
    "steps": np.arange(3),
    "file": np.array("a text"),
}


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Config:
    width: object = 8
    inner: object = Inner()


@dataclass
class Mutable:
    width: int = 8


class Colour(enum.StrEnum):
    RED = "red"


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


def test_key_is_the_sha256_of_the_canonical_json():
    text = (
        '{"config":{"fields":{"inner":{"fields":{"rate":0.1},"type":"test_store.Inner"},"width":[1,2]},'
        '"type":"test_store.Config"},"data":"d1","schema":2}'
    )
    text = text.replace("test_store", __name__)
    assert store.key(Config(width=(1, 2)), "d1") == hashlib.sha256(text.encode()).hexdigest()


def test_key_ignores_how_a_config_is_spelled():
    assert store.key(Config(width=(1, 2))) == store.key(Config(width=[1, 2]))
    assert store.key(Config(width={"a": 1, "b": 2})) == store.key(Config(width={"b": 2, "a": 1}))


def test_key_changes_with_every_field_the_type_and_the_data():
    configs = [Config(), Config(width=9), Config(width=8.0), Config(width="8"), Config(width=True), Inner()]
    configs += [Config(inner=Inner(0.1 + 1e-16)), Config(inner=None), Config(width=None)]
    keys = [store.key(config) for config in configs]
    keys += [store.key(Config(), "data")]
    assert len({*keys}) == len(keys)


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Path("x"),
        np.float64(0.1),
        np.int64(3),
        float("nan"),
        -np.inf,
        {1, 2},
        Mutable(),
        {1: 2},
        b"x",
        Inner,
    ],
)
def test_a_value_without_one_canonical_form_is_refused_by_name(value):
    with pytest.raises(BadInput, match=r"Config\.width"):
        store.key(Config(width=value))


def test_a_config_that_is_no_dataclass_is_refused():
    for config in ({"width": 8}, Config, None):
        with pytest.raises(BadInput, match="frozen dataclass"):
            store.key(config)


def test_what_is_written_is_read_back_bit_for_bit(tmp_path):
    path = store.write(tmp_path, NAME, ARRAYS, META)
    assert path == tmp_path / "ab" / f"{NAME}.run"
    entry = store.read(tmp_path, NAME)
    assert entry.meta == META and entry.arrays.keys() == ARRAYS.keys()
    for label, array in ARRAYS.items():
        assert entry.arrays[label].dtype == array.dtype and entry.arrays[label].tobytes() == array.tobytes()
    first, _, rest = path.read_bytes().partition(b"\n")
    assert first.decode() == hashlib.sha256(rest).hexdigest()


def test_a_missing_entry_is_none(tmp_path):
    assert store.read(tmp_path, NAME) is None


@pytest.mark.parametrize("result", [{"x": np.array([{}])}, {"x": [object()]}, [1, 2], {1: np.zeros(2)}])
def test_results_that_would_need_pickle_or_have_no_name_are_refused_and_leave_nothing(tmp_path, result):
    with pytest.raises(BadInput):
        store.write(tmp_path, NAME, result, META)
    assert list(tmp_path.rglob("*")) == []


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    changed = {
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "flipped": data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_a_damaged_entry_is_reported_and_moved_aside(tmp_path, how):
    path = store.write(tmp_path, NAME, ARRAYS, META)
    damage(path, how)
    assert [(found, meta) for found, meta in store.scan(tmp_path)] == [(path, None)]
    with pytest.raises(store.CorruptEntry, match="checksum"):
        store.read(tmp_path, NAME)
    assert not path.exists() and path.with_suffix(".corrupt").exists()
    assert store.read(tmp_path, NAME) is None
    store.write(tmp_path, NAME, ARRAYS, META)
    assert store.read(tmp_path, NAME).meta == META


def test_scan_lists_the_metadata_of_every_run(tmp_path):
    for name in ("cd", "ab", "ef"):
        store.write(tmp_path, name * 32, {}, {"code": name})
    assert [meta["code"] for _, meta in store.scan(tmp_path)] == ["ab", "cd", "ef"]


def test_a_full_disk_keeps_the_old_entry_and_says_how_much_is_needed_where(tmp_path, monkeypatch):
    store.write(tmp_path, NAME, ARRAYS, META)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        OSError, match=r"No space left.*[\d,]{6,} bytes.*MiB.*are needed for .*ab0.*REDLIB_STORE"
    ) as error:
        store.write(tmp_path, NAME, {"big": np.zeros(20_000)}, META)
    assert error.value.errno == errno.ENOSPC
    assert temporary_files(tmp_path) == [] and store.read(tmp_path, NAME).meta == META


def test_a_write_that_breaks_off_half_way_leaves_nothing(tmp_path):
    """A real one: the system lets the file grow to 4 KiB only."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="are needed for"):
            store.write(tmp_path, NAME, {"big": np.zeros(20_000)}, META)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


WRITER = """
import sys, numpy as np
from pathlib import Path
from redlib.evidence import store
root, value, rounds = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
for _ in range(rounds):
    store.write(root, "ab" + 62 * "0", {"x": np.full(50_000, value)}, {"value": value})
"""


def writer(root: Path, value: float, rounds: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), str(value), str(rounds)])


def test_two_writers_and_a_reader_never_see_a_mixed_entry(tmp_path):
    writers = [writer(tmp_path, value, 40) for value in (1.0, 2.0)]
    seen = set()
    while any(process.poll() is None for process in writers):
        entry = store.read(tmp_path, NAME)
        if entry is not None:
            seen.add(entry.meta["value"])
            assert (entry.arrays["x"] == entry.meta["value"]).all()
    assert [process.returncode for process in writers] == [0, 0] and seen
    assert temporary_files(tmp_path) == []


def test_kill_9_while_writing_leaves_the_entry_whole(tmp_path):
    store.write(tmp_path, NAME, {"x": np.zeros(3)}, {"value": 0.0})
    process = writer(tmp_path, 3.0, 10**6)
    while store.read(tmp_path, NAME).meta["value"] == 0.0:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    entry = store.read(tmp_path, NAME)
    assert (entry.arrays["x"] == 3.0).all() and len(entry.arrays["x"]) == 50_000


def test_leftovers_are_never_read_and_are_swept_after_a_day(tmp_path):
    path = store.write(tmp_path, NAME, ARRAYS, META)
    old, new = path.with_name(f".{path.name}.1.aa.tmp"), path.with_name(f".{path.name}.2.bb.tmp")
    for leftover in (old, new):
        leftover.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert [found for found, _ in store.scan(tmp_path)] == [path]
    assert store.remove_leftovers(tmp_path) == 1
    assert not old.exists() and new.exists() and path.exists()


def test_a_lock_makes_the_others_wait(tmp_path):
    order = []

    def second():
        with files.locked(tmp_path / "deep" / "lock"):
            order.append("second")

    with files.locked(tmp_path / "deep" / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_metadata_is_json_not_pickle(tmp_path):
    data = store.write(tmp_path, NAME, {}, META).read_bytes()
    assert json.dumps(META, sort_keys=True).encode() in data and b"pickle" not in data


def test_an_entry_copied_over_the_name_of_another_is_not_used(tmp_path):
    """The key is the digest of the run's own description, which the file holds."""
    paths = []
    for width in (8, 9):
        described = store.describe(Config(width=width), "d1")
        name = store.key(Config(width=width), "d1")
        paths.append(store.write(tmp_path, name, {"width": width}, described | META))
        assert store.read(tmp_path, name).arrays["width"] == width
    paths[1].write_bytes(paths[0].read_bytes())
    assert [meta is None for path, meta in store.scan(tmp_path) if path == paths[1]] == [True]
    with pytest.raises(store.CorruptEntry, match="holds another run"):
        store.read(tmp_path, paths[1].stem)
    assert not paths[1].exists() and store.read(tmp_path, paths[0].stem).arrays["width"] == 8


def test_keys_of_every_kind_of_field_are_found_again_in_what_is_stored(tmp_path):
    for width in (-0.0, 1e-300, 0.1 + 0.2, 2**70, True, None, "é\u2028", {"b": (1, 2), "a": {}}, (Inner(1e22), [])):
        name = store.key(Config(width=width), "é")
        store.write(tmp_path, name, {}, store.describe(Config(width=width), "é"))
        assert store.read(tmp_path, name) is not None
