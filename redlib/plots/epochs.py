"""Quantities of several runs over their epochs, with a mark where training error first reached zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib.evidence.peaks import threshold_width
from redlib.plots.axes import level, log_axis, log_values
from redlib.plots.charts import band, name_lines
from redlib.plots.style import paint, panels

Run = Mapping[str, np.ndarray]  # epochs [T], quantities [S, T]; one with train_error is marked
Runs = Mapping[str, tuple[Run, str] | tuple[Run, str, str]]  # label: (run, colour), or with a quantity of its own
TICKS = (1, 3, 10, 30, 100, 300)
DECADES, STEPS = (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100), (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def epoch_panels(
    named: Runs,
    quantities: Mapping[str, tuple[str, str]],
    *,
    height: float = 3.8,
    legend: str = "best",
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    """Return (figure, axes) with quantities[name] = (label of the y axis, title) of several runs, a panel each.

    The runs are named in the first panel alone; the other arguments are those of `over_epochs`.
    """
    fig, axes = panels(len(quantities), width=3 + 4.2 * len(quantities), height=height)
    for ax, (name, (ylabel, title)) in zip(axes, quantities.items(), strict=True):
        over_epochs(ax, named, name, ylabel=ylabel, title=title, legend=legend if ax is axes[0] else "", **options)
    return fig, axes


def over_epochs(
    ax: Axes,
    named: Runs,
    quantity: str = "",
    *,
    ylabel: str = "",
    title: str = "",
    log: bool = True,
    scale: float = 1.0,
    floor: float = np.nan,
    legend: str = "best",
    **line: Any,
) -> None:
    """Draw a quantity of several runs over the epochs from 1, with 95% bands.

    On a log axis zeros are drawn at `floor`, a line that is named as such, or left out without one.

    A run with a quantity of its own is drawn by that. A triangle on the axis, in a run's colour, marks the epoch by
    which every seed has made no training error. `legend` is that of `curves`; further options are `band`'s.
    """
    if log:
        ax.set_yscale("log")
    for label, (run, colour, *own) in named.items():
        values = scale * run[own[0] if own else quantity][:, 1:]
        shown = np.where(values > 0, values, floor) if log else values
        band(ax, run["epochs"][1:], shown, label, colour, **{"seeds": False, "marker": "", **line})
        mark_fit(ax, run, colour)
    log_axis(ax, [tick for tick in TICKS if tick <= max(run["epochs"][-1] for run, *_ in named.values())])
    if log:
        log_values(ax, DECADES if np.divide(*ax.get_ylim()[::-1]) > 100 else STEPS)
    if log and np.isfinite(floor):
        level(ax, floor)
        ax.set_ylim(bottom=min(ax.get_ylim()[0], floor / 2))  # room for what the line says
        ax.annotate("none (drawn as half an example)", (1, floor), xycoords=("axes fraction", "data"), xytext=(0, -3),
                    textcoords="offset points", fontsize=9, ha="right", va="top")  # fmt: skip
    ax.set(xlabel="epoch", ylabel=ylabel, title=title)
    name_lines(ax, legend)


def mark_fit(ax: Axes, run: Run, colour: str = "grey") -> None:
    """Mark on the axis of epochs where training error has reached zero in every seed, if it has."""
    epoch = threshold_width(run["train_error"], run["epochs"], 0.0).max()
    if np.isfinite(epoch):
        tint = paint(colour)
        ax.plot([epoch], [0.0], "^", color=tint, markersize=9, transform=ax.get_xaxis_transform(), clip_on=False,
                zorder=5)  # fmt: skip
