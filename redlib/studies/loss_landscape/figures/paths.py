"""The figures on what lies between solutions and around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results
from redlib.measures.paths import coefficients
from redlib.measures.ranks import spearman
from redlib.studies.loss_landscape import claims
from redlib.studies.loss_landscape.around import HALFWAY, TRAINED, UNTRAINED
from redlib.studies.loss_landscape.claims import Floats
from redlib.studies.loss_landscape.pairs import CURVE, LINE, MATCHED

PATHS = {  # in the colours of the explorer, whose maps are blue and orange
    LINE: ("straight line", "green"), MATCHED: ("straight, units matched", "gold"), CURVE: ("trained curve", "purple"),
}  # fmt: skip
DASHES = {LINE: "--", MATCHED: "-", CURVE: "-"}
STATES = {UNTRAINED: "grey", HALFWAY: "orange", TRAINED: "blue"}
KNOBS = {"weight decay": "blue", "learning rate": "orange", "dropout": "green"}
WIDTH, AFTER = "units of each hidden layer", 50  # places at which a curve is drawn
LENGTHS = (0.001, 0.01, 0.1, 1)
TICKS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20)  # of half-widths


def joined(planes: Results, run: Results, width: int) -> Figure:
    """Return the plane through two nets and a bend, errors along the paths at one width, and barriers by width."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=4)
    surface(left, planes)
    own = run.at(width=width)
    named = {name: (100 * own.at(path=path)["train_error"], colour, {"marker": "", "linestyle": DASHES[path]})
             for path, (name, colour) in PATHS.items()}  # fmt: skip
    plots.curves(middle, run["at"], named, xlabel="from the first network (0) to the second (1)", seeds=False,
                 ylabel="training error (%)", title=f"Errors on the way, {width} units", within=(0, 100))  # fmt: skip
    middle.set_ylim(0, 1.35 * middle.get_ylim()[1])  # room for the names
    over_width(right, run, {
        name: (claims.barriers(run, path), colour, {"linestyle": DASHES[path]})
        for path, (name, colour) in PATHS.items()
    }, ylabel="barrier (points of training error)", title="How high is the barrier?")  # fmt: skip
    right.set_ylim(0)
    return fig


def surface(ax: Axes, planes: Results) -> None:
    """Draw the training loss on the plane of the first seed, both nets, and the paths between them."""
    x, y, loss, corners = (planes[name][0] for name in ("x", "y", "loss", "corners"))
    image = ax.pcolormesh(x, y, loss, norm=LogNorm(), cmap="Greys", rasterized=True)
    ax.figure.colorbar(image, ax=ax, label="training loss", shrink=0.75)
    t = torch.linspace(0, 1, AFTER, dtype=torch.float64)
    first, second, bend = corners
    way = coefficients("bezier", t).numpy() @ np.stack([first, bend, second])
    ax.plot(
        *np.stack([first, second]).T, color=plots.paint(PATHS[LINE][1]), linestyle=DASHES[LINE], label=PATHS[LINE][0]
    )
    ax.plot(*way.T, color=plots.paint(PATHS[CURVE][1]), label=PATHS[CURVE][0])
    ax.plot(*corners[:2].T, "o", color=plots.paint("ink"), markersize=8, markeredgecolor="white")
    ax.set(title="Two networks and a bend", xlabel="distance in the plane", aspect="equal")
    ax.grid(False)
    ax.legend(loc="upper right", facecolor="white", frameon=True, framealpha=0.85, labelcolor="#1b1f24")


def over_width(ax: Axes, run: Results, named: Mapping[str, Any], **how: Any) -> None:
    """Draw curves [S, X] of a run over its widths."""
    widths = run.labels["width"]
    plots.curves(ax, widths, named, xlabel=WIDTH, log2=widths, **({"seeds": False} | how))


def barriers(run: Results) -> Figure:
    """Return what the loss rises to on the trained curve, and half-widths of tunnels, by the width of the nets."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=3.8)
    loss = run.at(path=CURVE)["train_loss"]
    rise = loss.max(-1) / loss[..., [0, -1]].mean(-1)
    over_width(left, run, {"": (rise, PATHS[CURVE][1], {"seeds": True})},
               ylabel="largest loss on the curve / at its ends", title="Barriers on the curve",
               levels={"none": 1})  # fmt: skip
    titles = {"raw_width": "Tunnels, as they are", "filter_width": "In lengths of the filters"}
    for ax, (name, title) in zip((middle, right), titles.items(), strict=True):
        over_width(
            ax, run, {"": (measured(run[name]), "blue", {"seeds": True})}, logy=True, ylabel="half-width", title=title
        )
        plots.log_values(ax, TICKS)
    return fig


def width_with_curvature(run: Results) -> float:
    """Return the rank correlation of half-widths as they are and curvatures, over all nets, in [-1, 1].

    NaN for fewer than two nets whose half-width was found.
    """
    wide, bends = (run[name].ravel() for name in ("raw_width", "curvature"))
    known = np.isfinite(wide) & np.isfinite(bends)
    return float(spearman(wide[known], bends[known])) if known.sum() > 1 else float("nan")


def measured(widths: Floats) -> Floats:
    """Return half-widths, NaN where no wall was met (infinity), which leaves a gap."""
    return np.where(np.isfinite(widths), widths, np.nan)


def around(run: Results) -> Figure:
    """Return how often a random step raises the loss, by its length, and by how much."""
    fig, (left, right) = plots.panels(2)
    lengths = run.labels["length"]
    for ax, name, factor, within in ((left, "rises", 100, (0, 100)), (right, "change", 1, (-np.inf, np.inf))):
        named = {state: (factor * run.at(state=state)[name], colour) for state, colour in STATES.items()}
        plots.curves(ax, lengths, named, seeds=False, within=within)
        plots.log_axis(ax, LENGTHS, "length of the step / that of the weights")
    left.set(ylabel="steps that raise the loss (%)", title="Does a random step go up?")
    plots.level(left, 50, "half of them")
    left.legend(loc="upper left")
    right.set_yscale("symlog", linthresh=1e-3)
    right.autoscale(axis="y")  # the highest points lay on the frame
    right.set(ylabel="median change of the loss", title="By how much?")
    return fig


def tunnels(run: Results, values: dict[str, tuple[float, ...]]) -> Figure:
    """Return half-widths by what widens them, raw and in lengths of filters, and beside the curvature.

    `values` are the levels of each knob.
    """
    fig, (left, middle, right) = plots.panels(3, width=13, height=3.8)
    levels = np.array(run.labels["level"])
    titles = {"raw_width": "Tunnels, as they are", "filter_width": "In lengths of the filters"}
    for ax, (name, title) in zip((left, middle), titles.items(), strict=True):
        named = {f"{knob} {values[knob][0]:g} to {values[knob][-1]:g}": (measured(run.at(knob=knob)[name]), colour)
                 for knob, colour in KNOBS.items()}  # fmt: skip
        plots.curves(ax, levels, named, title=title, seeds=False, logy=True, xlabel="level, from least to most",
                     ylabel="half-width", legend="upper left" if ax is left else "")  # fmt: skip
        ax.set_xticks(levels, [str(level + 1) for level in levels])
        plots.log_values(ax, TICKS)
    low, high = left.get_ylim()
    left.set_ylim(low, high * 1.5)
    for knob, colour in KNOBS.items():
        own = run.at(knob=knob)
        right.plot(own["curvature"].ravel(), own["raw_width"].ravel(), "o", color=plots.paint(colour), alpha=0.7)
    right.set(xscale="log", yscale="log", xlabel="largest eigenvalue of the Hessian", ylabel="half-width",
              title="Wide where it is flat?")  # fmt: skip
    plots.log_values(right, TICKS)
    plots.log_axis(right, (1, 2, 5, 10, 20), "largest eigenvalue of the Hessian")
    return fig
