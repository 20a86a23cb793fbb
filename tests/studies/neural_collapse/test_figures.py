"""What the figures of the neural-collapse study show of numbers that are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib.experiments.results import Results
from redlib.studies.neural_collapse import figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def made(nc4):
    """Results of two seeds at four epochs with this share of disagreement on training data, and 0.1 on test data."""
    arrays = {"nc4": np.tile(nc4, (2, 1)), "test_nc4": np.full((2, 4), 0.1), "train_error": np.full((2, 4), 0.1)}
    axes = dict.fromkeys(arrays, ("seed", "look")) | {"epochs": ("look",)}
    return Results(arrays | {"epochs": np.array([0, 1, 10, 100])}, axes, {})


def test_agreement_in_every_example_is_drawn_as_half_an_example_on_a_log_axis():
    runs = {name: made([0.9, 0.2, 0.02, 0.0]) for name in figures.FOUR}
    left, right = figures.disagreement(runs, examples=50, tests=1000).axes
    assert left.get_yscale() == right.get_yscale() == "log"
    curve = {line.get_label(): line for line in left.get_lines()}["squared error"]
    assert curve.get_ydata() == pytest.approx([20, 2, 1]) and left.get_ylim()[0] > 0, "half of one in 50 is 1%"
    assert [text.get_text() for text in left.texts] == ["none (drawn as half an example)"]
    assert left.texts[0].xy[1] == 1 and right.texts[0].xy[1] == pytest.approx(0.05)
