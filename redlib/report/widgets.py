"""Explorers for a live notebook: sliders over results that are already there (their twins are in `twins`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from redlib.errors import BadInput
from redlib.report.plots import COLOURS, log2_axis, mark

AXES = ("noise", "width", "epoch")


def curve_explorer(
    axes: Mapping[str, Sequence[float]], curves: Mapping[str, np.ndarray], what: str = "error (%)"
) -> ipywidgets.Widget:
    """Return sliders for noise, width and epoch over curves[name] [noise, width, epoch], with two panels.

    Left: every curve against width at the chosen epoch; right: against epoch at the chosen width. The first
    curve sets the vertical range. `axes` maps
    noise, width and epoch to their values. Raises BadInput where shapes and axes differ.
    """
    shape = tuple(len(axes[name]) for name in AXES)
    for name, values in curves.items():
        if np.shape(values) != shape:
            raise BadInput.of(f"shape of {name}", np.shape(values), str(shape), "Order it [noise, width, epoch].")
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(f"{value:.4g}", i) for i, value in enumerate(axes[name])], value=shape[k] - 1, description=name
        )
        for k, name in enumerate(AXES)
    }

    def draw(noise: int, width: int, epoch: int) -> None:
        fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
        for colour, (name, values) in zip(COLOURS.values(), curves.items(), strict=False):
            left.plot(axes["width"], values[noise, :, epoch], marker="o", color=colour, label=name)
            right.plot(axes["epoch"], values[noise, width], marker="o", color=colour, label=name)
        log2_axis(left, axes["width"], "width")
        mark(left, axes["width"][width], f"width {axes['width'][width]:g}")
        right.set(xscale="symlog", xlabel="epoch", xlim=(0, axes["epoch"][-1] * 1.1))
        mark(right, axes["epoch"][epoch], f"epoch {axes['epoch'][epoch]:g}")
        focus = np.asarray(next(iter(curves.values())))  # the first curve sets the range, as in the twin
        left.set(ylabel=what, ylim=(focus.min() - 2, focus.max() + 2))
        left.legend()
        plt.show()

    out = ipywidgets.interactive_output(draw, sliders)
    return ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), out])
