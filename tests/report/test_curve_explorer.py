"""The live curve explorer follows its sliders and refuses curves that do not fit its axes."""

from __future__ import annotations

import ipywidgets
import matplotlib
import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.report import curve_explorer

matplotlib.use("agg")
AXES = {"noise": [0.0, 0.2], "width": [2, 4, 8], "epoch": [0, 1, 10, 100]}


def test_the_explorer_draws_what_its_sliders_choose(monkeypatch):
    drawn = []
    monkeypatch.setattr(curve_explorer, "mark", lambda ax, x, text, **more: drawn.append(text))
    explorer = curve_explorer.curve_explorer(AXES, {"test": np.arange(24.0).reshape(2, 3, 4)})
    sliders = explorer.children[0].children
    assert all(isinstance(slider, ipywidgets.SelectionSlider) for slider in sliders)
    assert drawn[-2:] == ["width 8", "epoch 100"]
    sliders[1].value, sliders[2].value = 0, 1
    assert drawn[-2:] == ["width 2", "epoch 1"]


def test_curves_of_another_shape_are_refused():
    with pytest.raises(BadInput, match="shape of test"):
        curve_explorer.curve_explorer(AXES, {"test": np.zeros((2, 3))})
