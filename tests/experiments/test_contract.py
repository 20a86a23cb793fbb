"""The contract of every experiment of every study: declared axes, seeds that ignore their company, chains that resume.

A study lists a tiny instance of each of its experiments in tests/studies/<name>/tiny.py; names in its UNREPEATABLE
are timings, which no two runs share.
"""

import dataclasses
import importlib
import importlib.util
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from redlib.evidence import store
from redlib.evidence.sweep import sweep
from redlib.experiments.experiment import Experiment

STUDIES = Path(__file__).parents[1] / "studies"
RUNS = Path(__file__).parents[2] / "redlib" / "studies"


@lru_cache
def listed(study):
    """Return the module tests/studies/<study>/tiny.py."""
    spec = importlib.util.spec_from_file_location(f"tiny_{study}", STUDIES / study / "tiny.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache
def tiny(study):
    return listed(study).tiny()


NAMES = sorted(path.parent.name for path in STUDIES.glob("*/tiny.py"))
EVERY = [(study, name) for study in NAMES for name in tiny(study)]
each = pytest.mark.parametrize(("study", "name"), EVERY)


pytestmark = pytest.mark.usefixtures("one_thread")


def carried_out(experiment, known=None):
    """Return the arrays of an experiment, those that it goes on from first."""
    if experiment.previous is None:
        return experiment.run()
    return experiment.run(carried_out(experiment.previous))


@lru_cache
def arrays(study, name):
    return carried_out(tiny(study)[name])


@pytest.mark.parametrize("study", NAMES)
def test_every_experiment_of_a_study_is_listed(study):
    modules = [f"redlib.studies.{study}.{path.stem}" for path in (RUNS / study).glob("*.py") if path.stem != "__init__"]
    kinds = [kind for module in modules for kind in vars(importlib.import_module(module)).values()]
    own = {
        kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Experiment) and kind.__module__ in modules
    }
    chains = [one for one in tiny(study).values()]
    for one in chains:  # a link, or the lab, that another one stands on is carried out with it
        chains += [part for part in (one.previous, one.ground) if isinstance(part, Experiment)]
    assert {kind for kind in own if "run" in vars(kind)} - {type(one) for one in chains} == set()


@each
def test_what_a_run_returns_is_declared_with_its_axes(study, name):
    experiment = tiny(study)[name]
    found = experiment.results(arrays(study, name))
    assert found.seeds == len(experiment.seeds) == 3, "three seeds, so that a forgotten axis of seeds does not fit"
    assert all(array.dtype.kind in "fiub" for array in found.arrays.values())


@each
def test_a_seed_alone_gives_the_bits_it_gives_among_others(study, name):
    if name in getattr(listed(study), "UNREPEATABLE", ()):
        pytest.skip("a timing")
    experiment = tiny(study)[name]
    among = experiment.results(arrays(study, name))
    alone = experiment.with_seeds(experiment.seeds[1:2])
    found = alone.results(carried_out(alone))
    for array, axes in found.axes.items():
        at = axes.index("seed") if "seed" in axes else None
        mine = among[array] if at is None else among[array].take([1], at)
        assert np.array_equal(found[array], mine, equal_nan=mine.dtype.kind == "f"), array


@each
def test_a_run_is_data_with_a_key_a_cost_and_every_setting_defaulted(study, name):
    experiment = tiny(study)[name]
    assert store.key(experiment) == store.key(pickle.loads(pickle.dumps(experiment)))
    assert experiment.cost > 0 and np.isfinite(experiment.cost)
    assert (
        experiment.with_seeds(range(2)).seeds == (0, 1)
        and experiment.with_seeds(range(3)).with_seeds(experiment.seeds) == experiment
    )
    needed = [f.name for f in dataclasses.fields(experiment) if f.default is f.default_factory is dataclasses.MISSING]
    assert set(needed) <= {"source", "lab", "arms", "levels", "criteria", "level", "starts", "weights"}, (
        "print defaults"
    )


@each
def test_a_chain_goes_on_from_the_links_that_are_stored(study, name, tmp_path):
    experiment = tiny(study)[name]
    if experiment.previous is None:
        pytest.skip("no chain")
    before = sweep([experiment.previous], store=tmp_path, workers=1)
    done = sweep([experiment], store=tmp_path, workers=1)
    assert (before.loaded, done.loaded, done.computed) == (0, 0, 1), "the link is there, only the run itself is new"
    for array, values in arrays(study, name).items():
        if name not in getattr(listed(study), "UNREPEATABLE", ()):
            assert np.array_equal(done.results[0][array], values, equal_nan=values.dtype.kind == "f"), array
