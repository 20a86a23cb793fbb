"""Quantities of several runs over their epochs, with a mark where training error first reached zero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from redlib.evidence.peaks import threshold_width
from redlib.report.plots import band, log_axis, log_values, paint

Run = Mapping[str, np.ndarray]  # epochs [T], quantities [S, T]; one with train_error is marked
Named = Mapping[str, tuple[Run, str]]  # label: (run, colour)
TICKS = (1, 3, 10, 30, 100, 300)
DECADES, STEPS = (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100), (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def over_epochs(
    ax: Axes, named: Named, quantity: str, *, ylabel: str = "", title: str = "", log: bool = True, scale: float = 1.0
) -> None:
    """Draw a quantity of several runs over the epochs from 1, with 95% bands; on a log axis zeros are left out.

    A triangle on the axis, in a run's colour, marks the epoch by which every seed has made no training error.
    """
    if log:
        ax.set_yscale("log")
    for label, (run, colour) in named.items():
        values = scale * run[quantity][:, 1:]
        band(ax, run["epochs"][1:], np.where(values > 0, values, np.nan) if log else values, label, colour,
             seeds=False, marker="")  # fmt: skip
        mark_fit(ax, run, colour)
    log_axis(ax, [tick for tick in TICKS if tick <= max(run["epochs"][-1] for run, _ in named.values())])
    if log:
        log_values(ax, DECADES if np.divide(*ax.get_ylim()[::-1]) > 100 else STEPS)
    ax.set(xlabel="epoch", ylabel=ylabel, title=title)
    if len(named) > 1:
        ax.legend()


def mark_fit(ax: Axes, run: Run, colour: str = "grey") -> None:
    """Mark on the axis of epochs where training error has reached zero in every seed, if it has."""
    epoch = threshold_width(run["train_error"], run["epochs"], 0.0).max()
    if np.isfinite(epoch):
        tint = paint(colour)
        ax.plot([epoch], [0.0], "^", color=tint, markersize=9, transform=ax.get_xaxis_transform(), clip_on=False,
                zorder=5)  # fmt: skip
