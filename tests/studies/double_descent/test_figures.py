"""The figures of the double-descent study show what they say, and the explorer holds both runs at the same epochs."""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib.experiments.experiment import varied
from redlib.studies.double_descent import claims, figures

spec = importlib.util.spec_from_file_location("tiny_double_descent", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)


def ran(experiment, **more):
    own = varied(experiment, more)
    return own.results(own.run())


@pytest.fixture(scope="module")
def noisy():
    return ran(tiny.SWEEP)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def named(ax):
    return ax.get_legend_handles_labels()[1]


def test_errors_are_drawn_in_per_cent_over_the_widths(noisy):
    ax = figures.noise(noisy, ran(tiny.SWEEP, noise=0.1), ran(tiny.SWEEP, noise=0.0), 0.2).axes[0]
    assert named(ax) == ["20% wrong labels", "10% wrong labels", "no wrong labels"]
    mean = next(line for line in ax.get_lines() if line.get_label() == "20% wrong labels")
    np.testing.assert_allclose(mean.get_ydata(), claims.final(noisy).mean(0))
    assert mean.get_xdata().tolist() == [2, 4, 8] and ax.get_xscale() == "log"


def test_sizes_are_drawn_at_widths_that_all_sweeps_have(noisy):
    narrow = ran(tiny.SWEEP, n=30, widths=(2, 4))
    samples = ran(tiny.tiny()["features"], samples=(15, 30), counts=(30,))
    left, right = figures.sizes(samples, {30: narrow, 60: noisy}, 60).axes
    assert set(named(right)) == {"width 2", "width 4"} and left.get_title() == "30 random features"


def test_a_sweep_of_fewer_widths_is_drawn_over_its_own(noisy):
    left, right = figures.data({30: ran(tiny.SWEEP, n=30, widths=(2, 4)), 60: noisy}, noisy, noisy).axes
    drawn = {line.get_label(): line.get_xdata().tolist() for line in left.get_lines()}
    assert drawn["n = 30"] == [2, 4] and drawn["n = 60"] == [2, 4, 8]
    assert named(right) == ["plain", "shifted copies"]


def test_the_explorer_holds_both_runs_at_the_epochs_that_both_were_looked_at(noisy):
    clean = ran(tiny.SWEEP, noise=0.0, looks=1)
    axes, curves = figures.explored(clean, noisy, 0.2)
    assert axes == {"noise": [0.0, 0.2], "width": [2, 4, 8], "epoch": [0, 4]}
    np.testing.assert_allclose(curves["test"][1], 100 * noisy["test_error"].mean(0)[:, [0, -1]])
    np.testing.assert_allclose(curves["train"][0], 100 * clean["train_error"].mean(0))
