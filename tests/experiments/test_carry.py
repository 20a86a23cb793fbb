"""Carrying out: groups of seeds are stored apart and joined again, each run is keyed by its own data alone."""

from dataclasses import dataclass

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.evidence import store
from redlib.evidence.sweep import sweep
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.chain import Level, levels
from redlib.experiments.experiment import Experiment, configure
from redlib.experiments.lab import Stack

LAB = configure(
    Stack, dataset="digits", pool=100, n=80, validation=40, tests=40, hidden=(6,), steps=2, batch=50, looks=1,
    seeds=tuple(range(7)),
)  # fmt: skip


class Book:
    """What `carry_out` needs of a study: a sweep, and a place to note data."""

    def __init__(self, folder):
        self.folder, self.noted = folder, []

    def sweep(self, configs, **options):
        return sweep(configs, store=self.folder, workers=1, **options)

    def data(self, dataset):
        self.noted.append(dataset.digest)
        return dataset


def test_seeds_run_in_groups_and_come_back_in_order(tmp_path):
    book = Book(tmp_path)
    done = carry_out(book, {"dense": Level(LAB), ("chain", 1): levels(Level(LAB), 2)}, size=3)
    assert done["dense"].seeds == 7 and done["chain", 1]["early_error"].shape == (7, 3)
    whole = Level(LAB).run()
    assert np.array_equal(done["dense"]["validation_loss"], whole["validation_loss"])
    assert np.array_equal(done["chain", 1].at(level=0)["final_error"], whole["final_error"])
    rates = carry_out(book, {"rates": levels(Level(LAB), 1)}, size=3, axis="rate")["rates"]
    assert rates.labels["rate"] == (0, 1) and rates.at(rate=0)["early_error"].shape == (7,)
    assert len(list(store.scan(tmp_path))) == 3 * 3, "three groups of three levels; the dense net is the chain's first"


def test_a_run_is_keyed_by_its_own_data_alone(tmp_path):
    other = configure(Stack, vars(LAB), pool=90, seeds=(0, 1))
    carry_out(Book(tmp_path), {"one": Level(LAB)}, size=7)
    keys = {path.stem for path, _ in store.scan(tmp_path)}
    book = Book(tmp_path)
    carry_out(book, {"one": Level(LAB), "other": Level(other)}, size=7)
    assert keys < {path.stem for path, _ in store.scan(tmp_path)} and len({*book.noted}) == 2


def test_what_is_no_experiment_and_no_seed_are_refused(tmp_path):
    with pytest.raises(BadInput, match="experiment"):
        carry_out(Book(tmp_path), {"lab": 3})
    with pytest.raises(BadInput, match="seeds"):
        carry_out(Book(tmp_path), {"none": Level(configure(Stack, vars(LAB), seeds=()))})


@dataclass(frozen=True)
class Liar(Experiment):
    """Declares two values a seed and returns three."""

    seeds: tuple[int, ...] = (0, 1)
    arrays = "values: seed"

    def run(self, before=None):
        return {"values": np.zeros(3)}


def test_a_run_whose_arrays_are_not_what_it_declares_is_refused(tmp_path):
    with pytest.raises(BadInput, match="shape of values"):
        carry_out(Book(tmp_path), {"liar": Liar()})


def test_settings_show_every_default_of_an_experiment_and_its_lab():
    table = settings(Level(LAB), lab=LAB)
    assert table.loc["lab.hidden", "Level"] == "(6,)" and table.loc["cut.rate", "Level"] == "0.2"
    assert table.loc["lr", "lab"] == "0.001"
    assert all(f"<th>{name}</th>" in table._repr_html_() for name in table.index), "a notebook shows every row"
