"""load(): the tensors are the source's own, split without overlap, identified by a digest; errors help."""

import ast
import errno
import gzip
import hashlib
import http.server
import os
import pickle
import random
import shlex
import tarfile
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redlib.data import DataMissing, ensure_torchvision, load, rng
from redlib.data.places import data_root
from redlib.data.readers import READERS, TORCHVISION_SETS, Raw, _made_mnist1d, generate_mnist1d
from redlib.data.sources import Split, digest, stratified_order
from redlib.errors import BadInput

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT / os.environ.get("REDLIB_DATA", "../shared/data")


def pairs(*splits: Split) -> list[tuple]:
    """Examples with their labels, sorted: equal lists are the same examples in whatever order."""
    return sorted((*x, y) for s in splits for x, y in zip(s.x.flatten(1).tolist(), s.y.tolist(), strict=True))


# ---- digits and MNIST-1D: no file -------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn_and_every_one_is_in_one_split():
    from sklearn.datasets import load_digits

    data = load("digits", n_validation=200)
    stored = load_digits()
    source = Split(torch.from_numpy(stored.data / 16).float(), torch.from_numpy(stored.target))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [1237, 200, 360]
    assert pairs(data.train, data.validation, data.test) == pairs(source)


def test_tensors_are_resident_float32_contiguous_with_int64_labels():
    data = load("digits")
    for split in (data.train, data.test):
        assert split.x.dtype == torch.float32 and split.x.is_contiguous() and split.x.device.type == "cpu"
        assert split.y.dtype == torch.int64 and split.y.shape == split.x.shape[:1]
    assert data.name == "digits" and data.classes == 10 and data.validation is None
    assert data.train.x.shape == (1437, 64)
    assert load("digits", flatten=False).train.x.shape == (1437, 1, 8, 8)


def test_every_split_holds_the_classes_in_proportion():
    data = load("digits", n_train=500, n_validation=100)
    share = torch.cat([load("digits").train.y, load("digits").test.y]).bincount() / 1797
    for split in (data.train, data.validation, data.test):
        assert float((split.y.bincount() - share * len(split)).abs().max()) <= 1


def test_a_smaller_training_set_is_the_start_of_a_larger_one_whatever_is_validated():
    large, small = load("digits", n_train=900), load("digits", n_train=100, n_validation=300)
    assert torch.equal(large.train.x[:100], small.train.x) and torch.equal(large.train.y[:100], small.train.y)
    assert torch.equal(large.test.x, small.test.x)


def test_the_seed_decides_the_split_and_the_digest_tells():
    one, again, other = load("digits"), load("digits"), load("digits", seed=1)
    assert one.digest == again.digest and torch.equal(one.train.x, again.train.x)
    assert one.digest != other.digest
    assert one.provenance["seeds"] == {"split": 0} and other.provenance["seeds"] == {"split": 1}


def test_mnist1d_is_what_the_package_generates():
    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    arguments.num_samples = 100
    made = make_dataset(arguments)
    x = torch.from_numpy(np.concatenate([made["x"], made["x_test"]])).float()
    y = torch.from_numpy(np.concatenate([made["y"], made["y_test"]]))
    data = load("mnist1d", n_train=50, n_validation=20, n_test=30)
    assert data.train.x.shape == (50, 40) and pairs(data.train, data.validation, data.test) == pairs(Split(x, y))
    assert data.train.y.bincount().tolist() == [5] * 10 and data.test.y.bincount().tolist() == [3] * 10


def test_mnist1d_defaults_and_sizes_that_are_no_multiple_of_ten():
    data = load("mnist1d")
    assert len(data.train) == 4000 and len(data.test) == 1000 and data.provenance["seeds"]["mnist1d"] == 42
    odd = load("mnist1d", n_train=33, n_test=14, flatten=False)
    assert odd.train.x.shape == (33, 1, 40) and len(odd.test) == 14


def test_mnist1d_leaves_the_global_generators_alone_even_if_it_fails(monkeypatch):
    def states():
        return (
            random.getstate(),
            [part.tolist() for part in np.random.get_state()[1:2]],
            np.random.get_state()[2:],
        )

    before, torch_before = states(), torch.get_rng_state()
    _made_mnist1d(20, 1)
    assert states() == before and torch.equal(torch.get_rng_state(), torch_before)

    def broken(arguments):
        np.random.seed(arguments.seed)
        random.seed(arguments.seed)
        raise RuntimeError("generator")

    monkeypatch.setattr("mnist1d.data.make_dataset", broken)
    with pytest.raises(RuntimeError, match="generator"):
        _made_mnist1d(20, 1)
    assert states() == before


def test_mnist1d_is_generated_once_for_all_processes(monkeypatch, tmp_path):
    monkeypatch.setattr("redlib.data.readers.cache_root", lambda: tmp_path)
    x, y = generate_mnist1d.__wrapped__(20, 1)
    made = _made_mnist1d(20, 1)
    monkeypatch.setattr("mnist1d.data.make_dataset", None)
    again = generate_mnist1d.__wrapped__(20, 1)
    assert np.array_equal(x, made["x"]) and np.array_equal(again[0], x) and np.array_equal(again[1], y)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist1d-20-1.npz"]
    with pytest.raises(ValueError, match="read-only"):
        again[0][0] = 0


def test_mnist1d_is_the_same_when_threads_generate_at_once():
    alone = [_made_mnist1d(300, seed)["x"] for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda seed: _made_mnist1d(300, seed)["x"], range(4)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_mnist1d_is_generated_once_and_never_downloaded(monkeypatch):
    load("mnist1d", n_train=70, n_test=30)
    monkeypatch.setattr("requests.get", lambda *a, **k: pytest.fail("downloads"))
    monkeypatch.setattr("mnist1d.data.make_dataset", lambda a: pytest.fail("generates again"))
    assert len(load("mnist1d", n_train=60, n_test=40).train) == 60
    with pytest.raises(ValueError, match="read-only"):
        generate_mnist1d(100, 42)[0][0] = 0


# ---- splitting, scaling, digest: on a source made up here -------------------------------------------------


@pytest.fixture
def made_up(monkeypatch):
    """40 colour images whose first pixel is their number; "paired" has 12 test images numbered from 100."""

    def images(start, n):
        x = np.zeros((n, 3, 2, 2), dtype=np.uint8)
        x[:, 0, 0, 0] = np.arange(start, start + n)
        x[:, 1] = np.arange(n)[:, None, None] % 5
        return x, np.arange(n) % 4

    def paired(wanted):
        return Raw(*images(0, 40), 4, 255.0, {"source": "made up"}, *images(100, 12))

    def pooled(wanted):
        return Raw(*images(0, 40), 4, 255.0, {"source": "made up"}, default_test=8)

    monkeypatch.setitem(READERS, "paired", paired)
    monkeypatch.setitem(READERS, "pooled", pooled)


def numbers(split: Split) -> set[int]:
    found = split.x.flatten(1)[:, 0].int().tolist()
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize("seed", range(3))
def test_train_validation_and_test_are_disjoint(made_up, seed):
    data = load("pooled", n_train=20, n_validation=10, n_test=10, normalise=None, seed=seed)
    parts = [numbers(s) for s in (data.train, data.validation, data.test)]
    assert set.union(*parts) == set(range(40)) and sum(map(len, parts)) == 40


def test_validation_never_comes_from_the_official_test_set(made_up):
    data = load("paired", n_validation=15, n_test=8, normalise=None)
    assert numbers(data.train) | numbers(data.validation) == set(range(40))
    assert numbers(data.train).isdisjoint(numbers(data.validation)) and len(data.train) == 25
    assert numbers(data.test) < set(range(100, 112)) and len(data.test) == 8
    assert len(load("paired").test) == 12


@pytest.mark.parametrize(
    "name, sizes, what",
    [
        ("pooled", {"n_train": 33}, "n_train = 33 .*32"),
        ("pooled", {"n_train": 20, "n_validation": 15}, "n_train = 20 .*17"),
        ("pooled", {"n_test": 40}, "n_test = 40 .*39"),
        ("pooled", {"n_validation": 32}, "n_validation = 32 .*31"),
        ("paired", {"n_test": 13}, "n_test = 13 .*12"),
        ("paired", {"n_train": 0}, "n_train = 0"),
        ("paired", {"n_test": 0}, "n_test = 0"),
        ("paired", {"n_validation": -1}, "n_validation = -1"),
        ("paired", {"n_train": 10.0}, "n_train = 10.0 .*integer"),
    ],
)
def test_sizes_that_do_not_fit_raise_with_what_is_there(made_up, name, sizes, what):
    with pytest.raises(BadInput, match=what):
        load(name, **sizes)


def test_scalings_are_those_of_the_docstring(made_up):
    raw, unit = load("paired", flatten=False, normalise=None), load("paired", flatten=False)
    assert float(raw.test.x.max()) == 111 and torch.equal(unit.test.x, raw.test.x / 255)
    standard = load("paired", flatten=False, normalise="standard")
    for channel in range(2):
        train = raw.train.x[:, channel].double()
        mean, deviation = train.mean(), train.std(correction=0)
        expected = (raw.test.x[:, channel].double() - mean) / deviation
        assert torch.allclose(standard.test.x[:, channel].double(), expected, atol=1e-5)
        assert abs(float(standard.train.x[:, channel].mean())) < 1e-5
        assert abs(float(standard.train.x[:, channel].std(correction=0)) - 1) < 1e-5
    assert torch.count_nonzero(standard.train.x[:, 2]) == 0  # a constant channel stays finite
    assert standard.train.x.dtype == torch.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("part, what", [("x", ""), ("x_test", "test ")])
def test_numbers_that_are_none_are_named_with_their_rows(monkeypatch, value, part, what):
    raw = Raw(np.ones((8, 1, 3)), np.arange(8) % 2, 2, 1.0, {}, np.ones((8, 1, 3)), np.arange(8) % 2)
    getattr(raw, part)[[2, 5], 0, 1] = value
    monkeypatch.setitem(READERS, "spoilt", lambda wanted: raw)
    with pytest.raises(BadInput, match=rf"{what}examples of spoilt.*2 of 8 \(rows 2, 5\).*finite"):
        load("spoilt")


@pytest.mark.parametrize(
    "y, what",
    [
        (np.arange(7) % 2, "labels of spoilt = 7 .*8"),
        (np.arange(8) % 3, "labels of spoilt = '0..2'.*0..1"),
        (np.arange(8) % 2 - 1, "labels of spoilt = '-1..0'.*0..1"),
        (np.array([0, 1, np.nan, 1, 0, 1, 0, 1]), "labels of spoilt = 'float64'.*whole"),
    ],
)
def test_labels_of_no_class_are_refused(monkeypatch, y, what):
    monkeypatch.setitem(READERS, "spoilt", lambda wanted: Raw(np.ones((8, 1, 3)), y, 2, 1.0, {}, default_test=2))
    with pytest.raises(BadInput, match=what):
        load("spoilt")


def test_every_stretch_of_a_stratified_order_is_in_proportion():
    y = np.repeat([0, 1, 2], [60, 30, 10])
    order = stratified_order(y, rng(0, "split"))
    assert sorted(order) == list(range(100))
    for start in range(0, 80, 7):
        counts = np.bincount(y[order][start : start + 20], minlength=3)
        assert np.abs(counts - [12, 6, 2]).max() <= 1
    assert not np.array_equal(order, stratified_order(y, rng(1, "split")))


def test_the_digest_changes_with_every_byte_shape_dtype_and_split():
    x, y = torch.zeros(4, 6), torch.zeros(4, dtype=torch.int64)
    changed = x.clone()
    changed[3, 5] = 1e-30
    base = digest({"train": Split(x, y), "test": Split(x, y)})
    others = [
        {"train": Split(changed, y), "test": Split(x, y)},
        {"train": Split(x, y), "test": Split(x, y + 1)},
        {"train": Split(x.reshape(4, 2, 3), y), "test": Split(x, y)},
        {"train": Split(x, y.int()), "test": Split(x, y)},
        {"train": Split(x, y), "validation": Split(x, y)},
    ]
    assert len({base, *map(digest, others)}) == 6
    assert base == digest({"train": Split(x.clone(), y), "test": Split(x, y.clone())})


def test_a_data_set_moves_as_a_whole():
    data = load("digits", n_validation=10)
    moved = data.to("meta")
    assert {s.x.device.type for s in (moved.train, moved.validation, moved.test)} == {"meta"}
    assert moved.digest == data.digest and data.train.x.device.type == "cpu"


def test_the_sizes_seeds_and_versions_travel_with_the_data(made_up):
    provenance = load("pooled", n_validation=4, seed=9).provenance
    assert provenance == {
        "source": "made up",
        "sizes": {"train": 28, "validation": 4, "test": 8},
        "seeds": {"split": 9},
        "normalise": "unit",
    }
    assert set(load("digits").provenance["versions"]) == {"scikit-learn", "numpy"}


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"name": "imagenet"}, "'imagenet'.*'digits'.*imagefolder:FOLDER"),
        ({"name": "digits", "normalise": "zca"}, "'zca'.*standard"),
        ({"name": "digits", "generator_seed": 1}, "generator_seed"),
        ({"name": "mnist1d", "length": 60}, r"\['length'\].*generator_seed"),
        ({"name": "digits", "seed": -1}, "seed = -1"),
        ({"name": "mnist1d", "generator_seed": -1}, "generator_seed = -1"),
        ({"name": ["digits"]}, "digits.*imagefolder:FOLDER"),
    ],
)
def test_unknown_names_options_and_scalings_raise_with_the_known_ones(arguments, what):
    with pytest.raises(BadInput, match=what):
        load(**arguments)


# ---- torchvision's sets: small fixtures in their file formats ---------------------------------------------


def idx(array: np.ndarray) -> bytes:
    """The IDX format: two zero bytes, type 8 (unsigned byte), number of axes, sizes, values."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write_idx(raw: Path, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    raw.mkdir(parents=True)
    x = np.random.default_rng(0).integers(0, 256, (2, n, 28, 28), dtype=np.uint8)
    y = np.stack([np.arange(n, dtype=np.uint8) % 10, np.arange(n, dtype=np.uint8)[::-1] % 10])
    for part, images, labels in zip(("train", "t10k"), x, y, strict=True):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return x, y


def same(split: Split, x: np.ndarray, y: np.ndarray) -> bool:
    return pairs(split) == pairs(Split(torch.from_numpy(x.reshape(len(x), -1) / 255).float(), torch.from_numpy(y)))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_idx_files_are_read_offline(name, tmp_path):
    x, y = write_idx(tmp_path / TORCHVISION_SETS[name].folder)
    data = load(name, root=tmp_path, download=False)
    assert same(data.train, x[0], y[0]) and same(data.test, x[1], y[1])
    assert data.name == name and TORCHVISION_SETS[name].attribute in data.provenance["source"]
    assert load(name, root=tmp_path, flatten=False).train.x.shape == (20, 1, 28, 28)
    assert str(tmp_path) not in repr(data.provenance)


def write_cifar(root: Path, kind: type, label: bytes, monkeypatch) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Write python batches of 10 images, and tell torchvision their MD5 instead of the real files'."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    made = {}
    for part in ("train_list", "test_list"):
        listed = []
        for file, _ in getattr(kind, part):
            made[file] = np.random.default_rng(len(made)).integers(0, 256, (10, 3072), np.uint8), [*range(10)]
            content = pickle.dumps({"data": made[file][0], label.decode(): made[file][1]})
            (folder / file).write_bytes(content)
            listed.append([file, hashlib.md5(content).hexdigest()])
        monkeypatch.setattr(kind, part, listed)
    names = pickle.dumps({kind.meta["key"]: [str(c) for c in range(100)]})
    (folder / kind.meta["filename"]).write_bytes(names)
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": hashlib.md5(names).hexdigest()})
    return made


@pytest.mark.parametrize("name, label, classes", [("cifar10", b"labels", 10), ("cifar100", b"fine_labels", 100)])
def test_cifar_batches_are_read_offline_with_channels_first(name, label, classes, tmp_path, monkeypatch):
    kind = getattr(ensure_torchvision().datasets, TORCHVISION_SETS[name].attribute)
    made = write_cifar(tmp_path, kind, label, monkeypatch)
    data = load(name, root=tmp_path, download=False, flatten=False)
    test_file = kind.test_list[0][0]
    x = np.concatenate([images for file, (images, _) in made.items() if file != test_file])
    y = np.concatenate([labels for file, (_, labels) in made.items() if file != test_file])
    assert data.classes == classes and data.test.x.shape == (10, 3, 32, 32)
    assert same(data.train, x, y) and same(data.test, made[test_file][0], np.array(made[test_file][1]))


def cifar10():
    return ensure_torchvision().datasets.CIFAR10


class Poison:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("file", ["data_batch_2", "test_batch", "batches.meta"])
def test_an_altered_pickle_is_damaged_not_missing_and_never_opened(file, download, tmp_path, monkeypatch):
    write_cifar(tmp_path, cifar10(), b"labels", monkeypatch)
    (tmp_path / cifar10().base_folder / file).write_bytes(pickle.dumps(Poison(tmp_path / "harm")))
    monkeypatch.setattr(cifar10(), "download", lambda self: pytest.fail("downloads"))
    with pytest.raises(BadInput, match=f"cifar-10-batches-py'.*Delete it.*not as published: .*{file}") as caught:
        load("cifar10", root=tmp_path, download=download)
    assert not isinstance(caught.value, DataMissing) and not (tmp_path / "harm").exists()


def test_a_missing_batch_is_missing(tmp_path, monkeypatch):
    write_cifar(tmp_path, cifar10(), b"labels", monkeypatch)
    (tmp_path / cifar10().base_folder / "data_batch_2").unlink()
    with pytest.raises(DataMissing, match="downloading was not allowed"):
        load("cifar10", root=tmp_path, download=False)


def test_an_archive_of_cifar_that_lies_there_is_unpacked(tmp_path, monkeypatch):
    write_cifar(tmp_path / "made", cifar10(), b"labels", monkeypatch)
    root = tmp_path / "data"
    root.mkdir()
    with tarfile.open(root / cifar10().filename, "w:gz") as archive:
        archive.add(tmp_path / "made" / cifar10().base_folder, cifar10().base_folder)
    content = (root / cifar10().filename).read_bytes()
    monkeypatch.setattr(cifar10(), "tgz_md5", hashlib.md5(content).hexdigest())
    made = load("cifar10", root=tmp_path / "made", download=False)
    assert load("cifar10", root=root, download=False).digest == made.digest


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Fashion-MNIST's files in miniature on a server of this process; the MD5s are theirs."""
    x, y = write_idx(tmp_path / "made")
    resources = []
    served = tmp_path / "served"
    served.mkdir()
    for path in sorted((tmp_path / "made").iterdir()):
        content = gzip.compress(path.read_bytes())
        (served / f"{path.name}.gz").write_bytes(content)
        resources.append((f"{path.name}.gz", hashlib.md5(content).hexdigest()))
    handler = partial(Quiet, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kind = ensure_torchvision().datasets.FashionMNIST
    monkeypatch.setattr(kind, "mirrors", [f"http://127.0.0.1:{server.server_address[1]}/"])
    monkeypatch.setattr(kind, "resources", resources)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield served, x, y
    server.shutdown()
    server.server_close()


@pytest.fixture
def offline(mirror, monkeypatch):
    """The archives of the mirror, which does not answer."""
    monkeypatch.setattr(ensure_torchvision().datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    return mirror


def lay(served: Path, root: Path) -> Path:
    """Copy the archives to where a person puts them, and return that folder."""
    raw = root / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    for path in served.iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    return raw


@pytest.mark.parametrize("download", [False, True])
def test_archives_that_lie_there_are_verified_and_unpacked_without_a_network(offline, download, tmp_path):
    served, x, y = offline
    raw = lay(served, tmp_path / "data")
    data = load("fashion_mnist", root=tmp_path / "data", download=download)
    assert same(data.train, x[0], y[0]) and same(data.test, x[1], y[1])
    assert sorted(path.name for path in raw.iterdir()) == sorted(
        name for path in served.iterdir() for name in (path.name, path.stem)
    )
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["FashionMNIST"]


def test_an_archive_beside_files_already_unpacked_completes_them(offline, tmp_path):
    served, x, y = offline
    raw = lay(served, tmp_path / "data")
    for path in sorted(raw.iterdir())[1:]:
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert same(load("fashion_mnist", root=tmp_path / "data", download=False).train, x[0], y[0])


@pytest.mark.parametrize("download", [False, True])
def test_an_altered_archive_is_named_and_nothing_is_read_from_it(offline, download, tmp_path):
    served, *_ = offline
    raw = lay(served, tmp_path / "data")
    one = sorted(raw.iterdir())[0]
    one.write_bytes(gzip.compress(b"another"))
    with pytest.raises(DataMissing, match=f"not unpacked: FashionMNIST/raw/{one.name}\\)"):
        load("fashion_mnist", root=tmp_path / "data", download=download)
    assert not (raw / one.stem).exists()


def test_a_disk_that_cannot_be_written_is_told(offline, tmp_path, monkeypatch):
    lay(offline[0], tmp_path / "data")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(DataMissing, match="could not be unpacked.*No space left"):
        load("fashion_mnist", root=tmp_path / "data")


def test_a_missing_set_is_downloaded_once_and_then_read_from_disk(mirror, tmp_path):
    served, x, y = mirror
    root = tmp_path / "data"
    data = load("fashion_mnist", root=root)
    assert same(data.train, x[0], y[0]) and same(data.test, x[1], y[1])
    assert [p.name for p in root.iterdir()] == ["FashionMNIST"]  # the download folder is gone
    for path in served.iterdir():
        path.unlink()
    assert load("fashion_mnist", root=root).digest == data.digest


def test_a_download_that_fails_its_checksum_leaves_nothing_behind_and_says_so(mirror, tmp_path):
    served, *_ = mirror
    last = sorted(served.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(DataMissing, match="the download failed"):
        load("fashion_mnist", root=tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("name", list(TORCHVISION_SETS))
def test_a_missing_set_names_folder_variable_and_the_command_that_fetches_it(name, tmp_path):
    root = tmp_path / "it's here"
    with pytest.raises(DataMissing) as caught:
        load(name, root=root, download=False)
    message = str(caught.value)
    assert str(root) in message and "REDLIB_DATA" in message and TORCHVISION_SETS[name].folder in message
    command = next(line for line in message.splitlines() if line.lstrip().startswith("python"))
    assert shlex.split(command) == [
        "python", "-c", f'from redlib.data import load; load("{name}", root="{root}")',
    ]  # fmt: skip
    assert isinstance(caught.value, FileNotFoundError) and isinstance(caught.value, BadInput)
    assert not root.exists()


def test_no_network_is_a_missing_set(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kind = ensure_torchvision().datasets.KMNIST
    monkeypatch.setattr(kind, "mirrors", ["http://127.0.0.1:9/"])  # the discard port: nobody answers
    with pytest.raises(DataMissing, match="the download failed"):
        load("kmnist", root=tmp_path)


def test_truncated_files_raise_and_name_their_folder(tmp_path):
    raw = tmp_path / TORCHVISION_SETS["mnist"].folder
    write_idx(raw)
    images = raw / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(BadInput, match="MNIST/raw.*Delete it"):
        load("mnist", root=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes([0, 0, 10, 3]) + bytes(12),
        bytes([0, 0, 13, 3]) + np.array([1, 1, 1], ">i4").tobytes() + bytes(4),
    ],
    ids=["empty", "no type", "floats"],
)
def test_files_that_are_no_images_are_damaged(content, tmp_path):
    raw = tmp_path / TORCHVISION_SETS["mnist"].folder
    write_idx(raw)
    (raw / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(BadInput, match="MNIST/raw.*Delete it"):
        load("mnist", root=tmp_path)


def test_labels_of_other_images_are_refused(tmp_path):
    raw = tmp_path / TORCHVISION_SETS["mnist"].folder
    write_idx(raw)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(19, np.uint8)))
    with pytest.raises(BadInput, match="test labels of mnist = 19 .*20"):
        load("mnist", root=tmp_path)


def test_the_command_for_a_folder_of_any_name_is_python(tmp_path):
    root = tmp_path / "é 😀 {x} $HOME"
    with pytest.raises(DataMissing) as caught:
        load("mnist", root=root, download=False)
    command = next(line for line in str(caught.value).splitlines() if line.lstrip().startswith("python"))
    call = ast.parse(shlex.split(command)[2]).body[1].value
    assert call.keywords[0].value.value == str(root)


def test_the_data_folder_is_argument_then_variable_then_the_projects_own(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("REDLIB_HOME", raising=False)
    monkeypatch.delenv("REDLIB_DATA", raising=False)
    assert data_root() == tmp_path.resolve() / "data"
    monkeypatch.setenv("REDLIB_DATA", "../shared")
    assert data_root() == tmp_path.resolve().parent / "shared"  # from the project's root, not from notebooks/
    assert data_root("here") == tmp_path.resolve() / "notebooks" / "here"
    monkeypatch.delenv("REDLIB_DATA")
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path / "home"))
    assert data_root() == tmp_path.resolve() / "home" / "data"


@pytest.mark.skipif(not (SHARED / "MNIST/raw").is_dir(), reason="no MNIST in REDLIB_DATA or ../shared/data")
def test_real_mnist_is_read_as_stored():
    raw = SHARED / "MNIST/raw"
    x = np.fromfile(raw / "t10k-images-idx3-ubyte", np.uint8, offset=16).reshape(10_000, 784)
    y = np.fromfile(raw / "t10k-labels-idx1-ubyte", np.uint8, offset=8)
    data = load("mnist", root=SHARED, download=False, n_train=1000, n_validation=500)
    order = stratified_order(y, rng(0, "split", 1))
    assert torch.equal(data.test.x, torch.from_numpy(x[order]).float() / 255)
    assert np.array_equal(data.test.y, y[order])
    assert len(data.train) == 1000 and len(data.validation) == 500 and data.classes == 10
