"""A torch dataset, a DataLoader or a folder as examples: all of it, in its own order, and nothing lost unsaid."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from redlib.errors import BadInput
from redlib.training import SGD, Examples, fit, loaders

N = 70


class Pairs(Dataset):
    """Items (input, label) made by functions of their number."""

    def __init__(self, x=lambda i: torch.tensor([i, 2.0 * i]), y=lambda i: i % 3, n=N):
        self.x, self.y, self.n = x, y, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        return self.x(i), self.y(i)


class Stream(IterableDataset):
    """The same, one after the other; an end and a length only where there are."""

    def __init__(self, n=None, length=None, shuffled=False):
        self.n, self.length, self.shuffled = n, length, shuffled

    def __iter__(self):
        pairs = Pairs()
        start = int(torch.randint(100, ())) if self.shuffled else 0
        return ((pairs.x(i), pairs.y(i)) for i in (itertools.count(start) if self.n is None else range(self.n)))

    def __len__(self):
        if self.length is None:
            raise TypeError
        return self.length


def expected(n=N):
    i = torch.arange(n)
    return torch.stack([i, 2 * i], 1).float(), i % 3


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_is_read_once_in_the_order_of_its_dataset(shuffle, workers):
    random = torch.random.get_rng_state()
    loader = DataLoader(Pairs(), batch_size=16, shuffle=shuffle, drop_last=True, num_workers=workers)
    found = Examples.from_loader(loader)
    assert torch.equal(found.x, expected()[0]) and torch.equal(found.y, expected()[1])
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize("n", [1, 3, 300])
def test_datasets_of_all_sizes_are_read_whole_and_in_part(n):
    found = Examples.from_dataset(Pairs(n=n))
    assert torch.equal(found.x, expected(n)[0]) and len(found) == n
    part = Examples.from_dataset(Pairs(n=n), most=2)
    assert torch.equal(part.x, expected(n)[0][:2])
    assert torch.equal(Examples.from_dataset(TensorDataset(*expected(n))).x, expected(n)[0])


def test_examples_of_a_dataset_train_like_those_of_tensors():
    nets = []
    for examples in (Examples(*expected()), Examples.from_loader(DataLoader(Pairs(), 8, shuffle=True))):
        torch.manual_seed(0)
        nets.append(nn.Linear(2, 3))
        fit(nets[-1], examples, optimizer=SGD(1e-3), epochs=2, batch_size=8)
    assert torch.equal(nets[0].weight, nets[1].weight)


def test_numbers_have_the_type_of_the_nets_and_tokens_and_labels_stay_whole():
    arrays = Pairs(lambda i: np.array([i, 1.0]), lambda i: float(i))
    found = Examples.from_dataset(arrays)
    assert (found.x.dtype, found.y.dtype) == (torch.float32, torch.float32)
    assert Examples.from_dataset(arrays, dtype=torch.float64).x.dtype == torch.float64
    tokens = Examples.from_dataset(Pairs(lambda i: torch.arange(4) + i, lambda i: torch.arange(4)))
    assert tokens.x.dtype == torch.int64 and tokens.token_shape == (4,)


def test_a_stream_needs_an_end():
    with pytest.raises(BadInput, match=r"length of the dataset = None.*may never end.*most"):
        Examples.from_dataset(Stream())
    with pytest.raises(BadInput, match="may never end"):
        Examples.from_loader(DataLoader(Stream(), batch_size=4))
    for stream, most in ((Stream(), 40), (Stream(40, 40), None), (Stream(40), 99)):
        found = Examples.from_loader(DataLoader(stream, batch_size=4), most)
        assert torch.equal(found.x, expected(40)[0])
    with pytest.raises(BadInput, match="reading an item again"):
        Examples.from_dataset(Stream(shuffled=True), most=50)
    with pytest.raises(BadInput, match="number of examples"):
        Examples.from_dataset(Stream(0), most=5)
    with pytest.raises(BadInput, match="70 when read once, 0 again"):
        Examples.from_dataset((pair for pair in Pairs()), most=200)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_random_transforms_are_refused_because_they_would_be_lost(share):
    torch.manual_seed(0)
    flipped = Pairs(lambda i: torch.tensor([1.0, 2.0 + i]).flip(0) if torch.rand(()) < share / 2 else torch.ones(2))
    with pytest.raises(BadInput, match="reading an item again.*random transforms"):
        Examples.from_dataset(flipped)


def test_gaps_are_no_random_transform():
    found = Examples.from_dataset(Pairs(lambda i: torch.tensor([torch.nan, i])))
    assert found.x[:, 0].isnan().all()


def mixed(items):
    x, y = torch.utils.data.default_collate(items)
    return (x + x.flip(0)) / 2, y


def padding(items):
    return nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True), torch.tensor([y for _, y in items])


def test_what_a_batch_does_to_its_items_is_refused():
    with pytest.raises(BadInput, match="collate_fn.*do not depend on their batch"):
        Examples.from_loader(DataLoader(Pairs(), 8, collate_fn=mixed))
    ragged = Pairs(lambda i: torch.ones(1 + i % 5))
    with pytest.raises(BadInput, match="collate_fn.*Pad in the dataset"):
        Examples.from_loader(DataLoader(ragged, 8, collate_fn=padding))
    found = Examples.from_loader(DataLoader(Pairs(), 8, collate_fn=padding))
    assert torch.equal(found.x, expected()[0])


@pytest.mark.parametrize(
    ("loader", "match"),
    [
        (lambda: DataLoader(Pairs(), 8, sampler=SubsetRandomSampler([1, 2])), "SubsetRandomSampler.*Subset"),
        (lambda: DataLoader(Pairs(), 8, sampler=WeightedRandomSampler([1.0] * N, N)), "WeightedRandomSampler"),
        (lambda: DataLoader(Pairs(), batch_sampler=[[0, 1], [2]]), "batches of the loader"),
        (lambda: DataLoader(Pairs(), batch_size=None), "batches of the loader"),
        (lambda: Pairs(), "loader = 'Pairs'.*from_dataset"),
    ],
)
def test_loaders_that_do_more_than_shuffle_are_refused(loader, match):
    with pytest.raises(BadInput, match=match):
        Examples.from_loader(loader())


def test_a_subset_is_a_dataset():
    assert torch.equal(Examples.from_dataset(Subset(Pairs(), [5, 2, 9])).y, torch.tensor([2, 2, 0]))


@pytest.mark.parametrize(
    "dataset",
    [
        Pairs(lambda i: Image.new("RGB", (4, 4))),
        Pairs(y=lambda i: "cat"),
        Pairs(lambda i: {"pixels": torch.ones(2)}),
        Pairs(lambda i: torch.ones(1 + i % 2)),
        Pairs(lambda i: torch.ones(2 if i < 68 else 3)),
        Pairs(lambda i: torch.ones(2, dtype=torch.float32 if i < 68 else torch.float64)),
        TensorDataset(torch.ones(N, 2)),
        TensorDataset(torch.ones(N, 2), torch.ones(N), torch.ones(N)),
        list(range(N)),
    ],
)
def test_items_that_are_no_pairs_of_tensors_of_one_shape_are_refused(dataset):
    with pytest.raises(BadInput, match="items of the dataset|reading an item|collate_fn"):
        Examples.from_dataset(dataset)


def test_an_odd_item_that_no_sample_meets_is_refused_too(monkeypatch):
    for block in (loaders.BLOCK, 3):
        monkeypatch.setattr(loaders, "BLOCK", block)
        for last in (torch.ones(3), torch.ones(2, dtype=torch.float64)):
            odd = Pairs(lambda i, last=last: last if i == 100 else torch.ones(2), n=300)
            with pytest.raises(BadInput, match="items of the dataset"):
                Examples.from_dataset(odd)


@pytest.mark.parametrize("dataset", [3, object(), {"a": 1}])
def test_what_is_no_dataset_is_refused(dataset):
    with pytest.raises((BadInput, KeyError), match="dataset|0"):
        Examples.from_dataset(dataset)


def test_more_than_the_memory_of_this_machine_is_refused_before_it_is_read():
    huge = Pairs(lambda i: torch.ones(1000), n=10**12)
    with pytest.raises(BadInput, match=r"1,000,000,000,000 examples into [\d,]+ MB of memory.*most="):
        Examples.from_dataset(huge)


def test_the_memory_is_told(caplog):
    with caplog.at_level(logging.INFO):
        Examples.from_dataset(Pairs(lambda i: torch.ones(25_000)))
    assert "reading 70 examples into 7 MB of memory" in caplog.text


def image_folder(root, classes, n=3, seed=0):
    g = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(g.integers(0, 256, (5, 6, 3), dtype=np.uint8)).save(root / name / f"{i}.png")


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("REDLIB_CACHE", str(tmp_path / "cache"))


def test_a_folder_of_images_is_read_in_the_order_of_its_classes(tmp_path):
    image_folder(tmp_path / "photos", ["cat", "ant"])
    found = Examples.from_folder(tmp_path / "photos")
    assert found.x.shape == (6, 3, 5, 6) and found.y.tolist() == [0, 0, 0, 1, 1, 1]
    ant = np.asarray(Image.open(tmp_path / "photos" / "ant" / "0.png"), dtype=np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(found.x[0], ant, rtol=1e-6)
    assert Examples.from_folder(tmp_path / "photos", size=4, mode="L").x.shape == (6, 1, 4, 4)
    halves = [Examples.from_folder(tmp_path / "photos", part) for part in ("train", "test")]
    assert sum(map(len, halves)) == 6 and len(halves[1]) == 1


def test_parts_of_a_folder_number_their_classes_alike(tmp_path):
    image_folder(tmp_path / "set" / "train", ["ant", "bee", "cat"])
    image_folder(tmp_path / "set" / "test", ["ant", "bee", "cat"], n=2, seed=1)
    image_folder(tmp_path / "set" / "few", ["bee", "cat"], n=2, seed=2)
    assert len(Examples.from_folder(tmp_path / "set", "train")) == 9
    assert len(Examples.from_folder(tmp_path / "set", "test")) == 6
    assert Examples.from_folder(tmp_path / "set" / "test").y.tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(BadInput, match="classes = 'ant only in one of few and train'"):
        Examples.from_folder(tmp_path / "set" / "few")
    with pytest.raises(BadInput, match="part = None"):
        Examples.from_folder(tmp_path / "set")
    with pytest.raises(BadInput, match="part = 'all'"):
        Examples.from_folder(tmp_path / "set", "all")


def test_what_reading_changed_is_told(tmp_path, caplog):
    image_folder(tmp_path / "photos", ["ant"], n=1)
    grey = Image.fromarray(np.linspace(0, 65535, 30).reshape(5, 6).astype(np.uint16))
    grey.save(tmp_path / "photos" / "ant" / "deep.png")
    with caplog.at_level(logging.WARNING):
        Examples.from_folder(tmp_path / "photos", mode="L")
    assert "1 of 2 images" in caplog.text
