"""The figures on units of trained nets: filters by angle, what can go, where weights point, who counts, who dies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results
from redlib.studies.redundant_units import claims
from redlib.studies.redundant_units.claims import HALF

STATES = {"trained": "blue", "untrained": "grey"}
KINDS = {"trained": "blue", "untrained": "grey", "matched": "orange"}
KIND_NAMES = {"matched": "Gaussian, same covariance"}
ARMS = {"plain": "blue", "wrong labels": "orange", "weight decay": "green"}
RULES = {"sgd": "SGD", "full batch": "full batches", "adam": "Adam", "decay": "SGD, weight decay"}
WIDTH, COUNT_TICKS = "hidden units", (1, 3, 10, 30, 100, 300, 1000)
ANGLES = np.linspace(0, 90, 91)  # degrees


def over_width(ax: Axes, run: Results, named: Mapping[str, Any], title: str, **how: Any) -> None:
    """Draw curves [S, X] of a run over its widths."""
    widths = run.labels["width"]
    plots.curves(ax, widths, named, xlabel=WIDTH, log2=widths, title=title, **{"seeds": False} | how)


def filters(run: Results) -> Figure:
    """Return what share of filters lies within an angle of its cluster's centre, and silhouettes by clusters."""
    fig, (left, right) = plots.panels(2)
    within, fits = {}, {}
    for kind, colour in KINDS.items():
        own, name = run.at(kind=kind), KIND_NAMES.get(kind, kind)
        within[name] = (100 * (own["angles"][..., None] <= ANGLES).mean(1), colour, {"marker": ""})
        fits[name] = (own["silhouette"], colour)
    plots.curves(left, ANGLES, within, xlabel="angle to the nearest of four centres (°)", ylabel="filters within (%)",
                 title="Four clusters of filters", seeds=False, within=(0, 100))  # fmt: skip
    ks = run.labels["k"]
    plots.curves(right, ks, fits, xlabel="clusters", ylabel="mean silhouette (1: tight)", log2=ks,
                 title="How many clusters fit?", seeds=False, legend="upper right")  # fmt: skip
    # From 0, no cluster: small differences shall look small. Above there is room for the names.
    right.set_ylim(min(0, right.get_ylim()[0]), 1.5 * right.get_ylim()[1])
    return fig


def removable(run: Results, arms: Mapping[str, Results]) -> Figure:
    """Return counts of removable and of repeated units over the width, and removable shares of several trainings."""
    fig, (*lefts, right) = plots.panels(3, width=13, height=3.8)
    widths = np.array(run.labels["width"])
    titles = {"removable": "Units that can go, one alone", "repeated": "Units that repeat another"}
    for ax, (kind, title) in zip(lefts, titles.items(), strict=True):
        named = {state: (claims.counts(run, kind, state), colour) for state, colour in STATES.items()}
        over_width(ax, run, named, title, logy=COUNT_TICKS, ylabel="units + ½" if ax is lefts[0] else "")
        ax.plot(widths, widths + HALF, color=plots.INK, linestyle=":", linewidth=1, label="all units")
        ax.set_ylim(0.4, 1.3 * widths[-1])
        plots.log_values(ax, COUNT_TICKS)
        ax.legend(loc="upper left")
    shares = {
        name: (100 * own.at(state="trained")["removable"] / own.labels["width"], ARMS[name],
               {"x": own.labels["width"]})
        for name, own in arms.items()
    }  # fmt: skip
    over_width(right, run, shares, "Removable, by training", ylabel="removable (% of units)", within=(0, 100))
    right.set_ylim(0, 100)
    return fig


def directions(run: Results, inputs: int) -> Figure:
    """Return frame potentials over those of random directions, and effective ranks over the possible, by width."""
    fig, (left, right) = plots.panels(2)
    trained, start = (run.at(state=state) for state in ("trained", "untrained"))
    most = claims.most_rank(run, inputs)
    frames = {
        "trained": (trained["frame"], "blue"), "untrained": (start["frame"], "grey"),
        KIND_NAMES["matched"]: (trained["matched_frame"], "orange"),
    }  # fmt: skip
    frames = {name: (found / trained["random_frame"], colour) for name, (found, colour) in frames.items()}
    over_width(left, run, frames, "Evenly spread?", levels={"random directions": 1}, logy=(0.5, 1, 1.5, 2, 3, 4, 6, 8),
               ylabel="frame potential / random", legend="upper right")  # fmt: skip
    left.set_ylim(top=2.8 * left.get_ylim()[1])
    ranks = {
        "untrained": (start["rank"], "grey"), "trained": (trained["rank"], "blue"),
        "what training added": (run["update_rank"], "purple"),
    }  # fmt: skip
    ranks = {name: (100 * found / most, colour) for name, (found, colour) in ranks.items()}
    over_width(right, run, ranks, "Few directions?", ylabel="effective rank (% of the largest)", within=(0, 100))
    right.set_ylim(0, 103)
    return fig


def reliance(run: Results) -> Figure:
    """Return how unequally units count, how many count, and how many can go at random, by width."""
    fig, axes = plots.panels(3, width=13, height=3.8)
    trained, widths = run.at(state="trained"), np.array(run.labels["width"])
    over_width(axes[0], run, {"": (trained["gini"], "blue", {"seeds": True})}, "How unequally do units count?",
               ylabel="Gini coefficient of costs", within=(0, 1))  # fmt: skip
    axes[0].set_ylim(0, 1)
    named = {"units that count": (trained["effective"], "blue", {"seeds": True})}
    over_width(axes[1], run, named, "How many count?", logy=COUNT_TICKS, ylabel="effective number of units", legend="")
    axes[1].plot(widths, widths, color=plots.INK, linestyle=":", linewidth=1, label="all alike")
    axes[1].legend(loc="upper left")
    plots.log_values(axes[1], COUNT_TICKS)
    over_width(axes[2], run, {"": (100 * trained["spare"], "blue", {"seeds": True})}, "How many can go at random?",
               ylabel="removed before a point is lost (%)", within=(0, 100))  # fmt: skip
    axes[2].set_ylim(0)
    return fig


def dead(run: Results, width: int) -> Figure:
    """Return the shares of units that are dead or nearly so, by rule of training and before it, and the test errors."""
    fig, (left, right) = plots.panels(2, height=2.6)
    start = {"untrained": (100 * run["start_dead"] / width, "grey")}
    shares = {name: (100 * run.at(rule=rule)["dead"] / width, _tint(rule)) for rule, name in RULES.items()}
    plots.dot_rows(left, start | shares, "dead or nearly (% of units)", title="Who leaves units idle?", within=(0, 100))
    errors = {name: (100 * run.at(rule=rule)["test_error"], _tint(rule)) for rule, name in RULES.items()}
    plots.dot_rows(right, errors, "test error (%)", title="At what error?", within=(0, 100))
    return fig


def _tint(rule: str) -> str:
    return "blue" if rule == "sgd" else "green" if rule == "decay" else "sky"


def survivors(run: Results, kind: str, density: float) -> Figure:
    """Return what is left of units by what they were worth, at one density, and rank correlations over densities.

    `kind` says of what a unit's worth is the rise of the loss; the null are random masks with the same counts.
    """
    fig, (left, middle, right) = plots.panels(3, width=13, height=3.8)
    worth = run.at(kind=kind)["importance"]
    ranks = 100 * worth.argsort(1).argsort(1) / (worth.shape[1] - 1)
    for mask, colour in (("random", "grey"), ("ticket", "blue")):
        kept = 100 * run.at(mask=mask, density=density)["left"]
        left.plot(ranks.ravel(), kept.ravel(), ".", color=plots.paint(colour), alpha=0.5, markersize=4, label=mask)
    left.set(xlabel="worth of the unit (rank, %)", ylabel="weights left (%)", title=f"{density:.0%} of weights left")
    left.legend(loc="upper left", markerscale=2.5)
    own, chance = (run.at(kind=kind, mask=mask) for mask in ("ticket", "random"))
    shared = {"worth": (own["rank"], "blue"), "length of weights": (run.at(mask="ticket")["magnitude_rank"], "orange"),
              "worth, random masks": (chance["rank"], "grey")}  # fmt: skip
    alone = {"worth, at equal length": (own["partial"], "blue"),
             "length, at equal worth": (own["magnitude_partial"], "orange")}  # fmt: skip
    titles = {"What foretells what is left?": shared, "And each alone?": alone}
    for ax, (title, named) in zip((middle, right), titles.items(), strict=True):
        plots.curves(ax, run.labels["density"], named, density=True, levels={"": 0}, title=title, seeds=False)
    middle.set_ylabel("rank correlation with weights left")
    return fig
