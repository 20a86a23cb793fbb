"""The figures on wide nets: bad minima, descent's rate and path, and training as a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.evidence.stats import clopper_pearson
from redlib.experiments.results import Results
from redlib.plots.style import COLOURS, panels
from redlib.studies.generalization import claims
from redlib.studies.generalization.claims import Floats

AMONG = ("orange", "gold", "blue")  # colours of the narrowest, a middle and the widest net
HALF = -0.5  # the power of the width that theory has, and with which a unit's distance goes where the total stays
MODES = {"lazy": ("scaled by 1/√m, lazy", "blue"), "rich": ("scaled by 1/m, rich", "orange")}
DIGITS = (1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(range(1, 10)), tuple(k / 10 for k in range(10, 100))
CURVES: dict[str, Any] = {"seeds": False, "marker": ""}


def few_ticks(ax: Axes) -> None:
    """Give a logarithmic y axis round numbers: powers of ten where it is long, else the coarsest three or more."""
    low, high = ax.get_ylim()
    if high > 1e4 * low:
        return
    for digits in DIGITS:
        shown = [at for ten in range(-6, 5) for digit in digits if low <= (at := digit * 10.0**ten) <= high]
        if len(shown) > 2:
            break
    plots.log_values(ax, shown[:: 1 + len(shown) // 7])


def powers(ax: Axes, widths: Floats, named: Mapping[str, tuple[Floats, str]], title: str, ylabel: str) -> None:
    """Draw values [S, widths] over the width, both logarithmic, with the power of each in the legend, and a dotted
    line of the power -½ through the first."""
    told = {
        f"{name}: $m^{{{claims.power(widths, values).mean():.2f}}}$": (values, colour)
        for name, (values, colour) in named.items()
    }
    plots.curves(ax, widths, told, log2=list(widths), xlabel="hidden units m", ylabel=ylabel, title=title, logy=True,
                 legend="", seeds=True)  # fmt: skip
    first = np.exp(np.log(next(iter(named.values()))[0]).mean(0))
    ax.plot(widths, first[0] * (widths / widths[0]) ** HALF, ":", color=COLOURS["grey"], label="$m^{-1/2}$")
    few_ticks(ax)
    ax.legend(loc="best")


def over_time(ax: Axes, run: Results, x: Floats, values: Floats, title: str, ylabel: str) -> None:
    """Draw values [S, widths, T] of the narrowest, a middle and the widest net over the step of training x [T]."""
    widths = run.labels["width"]
    places = (0, len(widths) // 2, len(widths) - 1)
    named = {f"{widths[k]:,} units": (values[:, k], colour) for k, colour in zip(places, AMONG, strict=True)}
    plots.curves(ax, x, named, xlabel="step of training", ylabel=ylabel, title=title, **CURVES)


def no_bad_minima(points: Results, images: Results) -> Figure:
    """Return the training error at the end, and the share of runs without one, by first-layer weights per example."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    runs = {"Gaussian points": (points, "blue", 0.97), "images": (images, "orange", 1.03)}
    ratios = list(points.labels["ratio"])
    errors = {name: (100 * run["error"], colour) for name, (run, colour, _) in runs.items()}
    plots.curves(left, ratios, errors, log2=ratios, xlabel="first-layer weights per example", within=(0, 100),
                 ylabel="wrong in training (%)", title="What error is left on random labels?")  # fmt: skip
    for name, (run, colour, aside) in runs.items():
        whole = [clopper_pearson(int((run["error"][:, k] == 0).sum()), len(run["error"])) for k in range(len(ratios))]
        middle = np.array([100 * one.estimate for one in whole])
        ends = np.array([[100 * one.low, 100 * one.high] for one in whole]).T
        right.errorbar(np.array(ratios) * aside, middle, np.abs(ends - middle), fmt="o", color=COLOURS[colour],
                       label=name, capsize=3, markersize=6)  # fmt: skip
    plots.log2_axis(right, ratios, "first-layer weights per example")
    right.set(ylabel="runs without an error (%)", title="Does every run get there?", ylim=(-4, 104))
    plots.mark(right, 1, "theorem", y=0.4)
    plots.mark(right, 2, "claim", y=0.4)
    right.legend(loc="upper left")
    return fig


def linear_rate(run: Results) -> Figure:
    """Return the loss over steps for three widths, and the fall of its logarithm per step by width."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    loss = run["loss"] / run["loss"][..., :1]
    left.set_yscale("log")
    over_time(left, run, np.arange(loss.shape[2]), loss, "Does the log loss fall along a line?", "loss / first loss")
    few_ticks(left)
    widths = np.asarray(run.labels["width"], float)
    rates = claims.each(claims.rate, run["loss"])
    slope = claims.power(widths, rates).mean()
    plots.curves(right, widths, {f"$m^{{{slope:.2f}}}$": (rates, "blue")}, log2=list(widths), xlabel="hidden units m",
                 ylabel="fall of log loss per step", title="Do wider nets fall faster?", logy=True)  # fmt: skip
    few_ticks(right)
    right.legend(loc="lower right")
    return fig


def patterns(run: Results) -> Figure:
    """Return the share of on-off states that changed over steps, and by width at one loss."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    steps = np.asarray(run.labels["look"])
    over_time(left, run, steps, 100 * run["pattern_changes"], "Which units switch on the way?", "states changed (%)")
    named = {
        "states": (100 * run["pattern_change"], "blue"),
        "units that switch": (100 * run["switching_units"], "gold"),
    }
    powers(right, np.asarray(run.labels["width"], float), named, "At one loss, by width", "changed (%)")
    return fig


def distances(run: Results) -> Figure:
    """Return the farthest way of a unit's weights over steps, and by width at one loss."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    steps = np.asarray(run.labels["look"])
    over_time(left, run, steps, run["max_distances"], "How far does any unit go?", "farthest way of a unit")
    named = {"farthest unit": (run["max_distance"], "blue")}
    powers(right, np.asarray(run.labels["width"], float), named, "At one loss, by width", "farthest way of a unit")
    return fig


def tangents(run: Results) -> Figure:
    """Return the change of the tangent kernel, the gap to the linear model and differences of test errors, by width."""
    fig, (left, middle, right) = panels(3, width=13, height=4)
    widths = np.asarray(run.labels["width"], float)
    for ax, what, title, ylabel in (
        (left, "kernel_change", "Does the kernel stay as it was?", "change of the kernel, relative"),
        (middle, "linear_gap", "Is the net its linear model?", "distance of their outputs, relative"),
    ):
        named = {mode: (run.at(mode=mode)[what], colour) for mode, (_, colour) in MODES.items()}
        powers(ax, widths, named, title, ylabel)
    lazy, rich = (run.at(mode=mode) for mode in MODES)
    gaps = {
        "lazy net less rich net": (100 * (lazy["test_error"] - rich["test_error"]), "purple"),
        "linear model less lazy net": (100 * (lazy["linear_test_error"] - lazy["test_error"]), "green"),
    }
    plots.curves(right, widths, gaps, log2=list(widths), xlabel="hidden units m", ylabel="test error (points)",
                 title="And is lazy better?", legend="upper right")  # fmt: skip
    right.axhline(0, color=COLOURS["grey"], linewidth=1, zorder=1)
    low, high = right.get_ylim()
    right.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    return fig
