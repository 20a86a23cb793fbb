"""The figures on Boolean functions: how likely simple ones are, and which of them training finds."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results
from redlib.measures.simplicity import bound_of_frequencies
from redlib.studies.loss_landscape import claims
from redlib.studies.loss_landscape.claims import HALF, Floats
from redlib.studies.loss_landscape.functions import ADAM_RULE, RANDOM, SGD_AGAIN, SGD_RULE

TINTS = {RANDOM: "grey", SGD_RULE: "blue", ADAM_RULE: "orange"}
NAMES = {RANDOM: "Random networks that fit", SGD_RULE: "SGD", ADAM_RULE: "Adam"}
SHORT = {RANDOM: "random", SGD_RULE: "SGD", ADAM_RULE: "Adam"}
MANY: dict[str, Any] = {"rasterized": True}  # points by the thousand, which would fill a page as drawings
COMPLEXITY, TIMES = "complexity (bits)", (2, 5, 10, 20, 50, 100, 200, 500, 1000)


def simple(run: Results) -> Figure:
    """Return probability against complexity for each law of one seed, the bound drawn, and the correlations."""
    laws = run.labels["prior"]
    fig, (*axes, right) = plots.panels(len(laws) + 1, width=13, height=3.8)
    for ax, law in zip(axes, laws, strict=True):
        own = run.at(prior=law)
        k, log2 = (own[name][0][~np.isnan(own[name][0])] for name in ("complexity", "log2_probability"))
        ax.plot(k, log2, ".", color=plots.paint("blue"), alpha=0.5, markersize=5, **MANY)
        if len(np.unique(k)) > 1:
            line, ends = bound_of_frequencies(k, log2), np.array([k.min(), k.max()])
            ax.plot(ends, line.offset - line.slope * ends, color=plots.paint("orange"), label="bound, fitted")
            ax.legend(loc="upper right")
        ax.set(xlabel=COMPLEXITY, title=law, ylabel="log₂ probability" if ax is axes[0] else "")
    rows = {}
    for law, colour in zip(laws, ("blue", "purple"), strict=False):
        rows[law] = run.at(prior=law)["correlation"], colour
        rows[f"{law}, shuffled"] = run.at(prior=law)["shuffled_correlation"], "grey"
    in_rows(right, rows, "rank correlation", "Simple is likely", within=(-1, 1))
    return fig


def in_rows(ax: Axes, named: dict[str, tuple[Floats, str]], what: str, title: str, **how: Any) -> None:
    """Draw rows around 0, without the seeds that have no number and the rows that then are empty."""
    measured = {name: (values[np.isfinite(values)], colour) for name, (values, colour) in named.items()}
    kept = {name: row for name, row in measured.items() if len(row[0])}
    if kept:
        plots.dot_rows(ax, kept, what, zero=0, title=title, **how)
    else:
        ax.set(xlabel=what, title=title, yticks=[])


def found(run: Results) -> Figure:
    """Return how often functions are found by their complexity, for each rule and one seed, and the slopes."""
    fig, (*axes, right) = plots.panels(len(TINTS) + 1, width=14, height=3.6)
    for ax, (rule, colour) in zip(axes, TINTS.items(), strict=True):
        counts, k = run.at(rule=rule)["counts"][0], run["complexity"][0]
        seen = counts >= claims.TWICE
        # Complexities are few numbers: without a little room points would lie on each other.
        ax.plot(k[seen] + spread(int(seen.sum())), counts[seen], ".", color=plots.paint(colour), alpha=0.6)
        ax.set_yscale("log")
        plots.log_values(ax, TIMES)
        ax.set(xlabel=COMPLEXITY, title=NAMES[rule],
               ylabel="times found" if ax is axes[0] else "")  # fmt: skip
    rows = {SHORT[rule]: (claims.per_bit(run, rule), colour) for rule, colour in TINTS.items()}
    in_rows(right, rows, "doublings per bit", "Simple is found")
    return fig


def spread(count: int) -> Floats:
    """Return small shifts, the same for every call."""
    return 0.6 * (np.arange(count) * 0.618 % 1 - 0.5)


def bayes(run: Results) -> Figure:
    """Return how often SGD and random nets give each function, Adam likewise, and the rank correlations."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=3.8)
    for ax, rule in ((left, SGD_RULE), (middle, ADAM_RULE)):
        against(ax, run, rule)
    rows = {
        "SGD, random": (claims.alike(run, SGD_RULE, RANDOM), "blue"),
        "Adam, random": (claims.alike(run, ADAM_RULE, RANDOM), "orange"),
        "SGD, SGD again": (claims.alike(run, SGD_RULE, SGD_AGAIN), "grey"),
    }  # fmt: skip
    in_rows(right, rows, "rank correlation", "Alike?", within=(-1, 1))
    plots.mark(right, HALF, "our bar")
    return fig


def against(ax: Axes, run: Results, rule: str) -> None:
    """Draw shares of nets that give a function, by a rule of training against random nets, of all seeds."""
    random, trained = run.at(rule=RANDOM), run.at(rule=rule)
    # Nets of which none fit have no share.
    samples = [np.where(own["samples"] > 0, own["samples"], np.nan)[:, None] for own in (random, trained)]
    shares = [(own["counts"] + HALF) / of for own, of in zip((random, trained), samples, strict=True)]
    ax.plot(*(share.ravel() for share in shares), ".", color=plots.paint(TINTS[rule]), alpha=0.35, **MANY)
    ends = [float(np.nanmin(shares)), float(np.nanmax(shares))]
    ax.plot(ends, ends, color=plots.paint("ink"), linestyle=":", linewidth=1, label="alike")
    ax.set(xscale="log", yscale="log", xlabel="share of random networks that fit",
           ylabel=f"share of networks that {SHORT[rule]} trains", title=NAMES[rule])  # fmt: skip
    ax.legend(loc="upper left")
