"""The figures of the study @TITLE@."""

from __future__ import annotations

from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results


def over_training(nets: Results) -> Figure:
    """Return the training error over the epochs, a curve for each width."""
    fig, (ax,) = plots.panels(1, width=6.4)
    colours = zip(nets.labels["width"], ("orange", "blue", "green", "purple"), strict=False)
    named = {f"{width} units": (100 * nets.at(width=width)["train_error"], colour) for width, colour in colours}
    plots.curves(ax, nets["epochs"], named, xlabel="epoch", ylabel="training error (%)", marker="")
    return fig
