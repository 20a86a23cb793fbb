"""A whole chain of tiny nets with all their control arms, for the tests of claims and figures."""

import importlib.util
from pathlib import Path

import pytest

from redlib.experiments.chain import D4_4, D11, D21, D41, levels
from redlib.experiments.results import stack
from redlib.studies.mean_field_rmt import runs

SPEC = importlib.util.spec_from_file_location("tiny_mean_field", Path(__file__).with_name("tiny.py"))
TINY = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TINY)


@pytest.fixture(scope="package")
def small():
    """Return {name: Results}: the chain "tickets", all "arms" at four levels, and "peaks" of two of them."""
    chain, arrays = levels(TINY.TOP, D4_4), {}
    for level, one in chain.items():
        arrays[level] = one.run(arrays.get(level - 1))
    arms = runs.Controls(TINY.TOP, tuple(runs.ARMS), (1, D41, D21, D11))
    peaks = {level: runs.Histograms(chain[level]) for level in (0, D21)}
    return {
        "tickets": stack({level: one.results(arrays[level]) for level, one in chain.items()}),
        "arms": arms.results(arms.run(arrays[D11])),
        "peaks": stack({level: one.results(one.run(arrays[level])) for level, one in peaks.items()}),
    }
