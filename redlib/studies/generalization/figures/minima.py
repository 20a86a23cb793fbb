"""The figures on widths and minima: distance and measures, batches, attacked nets, random starts, steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.evidence.stats import log2_ratio, slope_per_seed
from redlib.experiments.results import Results
from redlib.plots.style import COLOURS, INK, paint, panels
from redlib.studies.generalization import claims
from redlib.studies.generalization.claims import Floats
from redlib.studies.generalization.figures.wide import few_ticks

STARTS = {"small start": ("a quarter", "sky"), "widths": ("torch's", "blue"), "large start": ("four times", "purple")}
MEASURES = {  # measure: what it is called, colour, and the same of the untrained net
    "spectral": ("spectral", "orange", "start_spectral"),
    "frobenius": ("Frobenius", "gold", "start_frobenius"),
    "path": ("path", "green", "start_path"),
    "unit": ("unit capacity", "blue", ""),
}
SOLUTIONS = ("no attack", "blue"), ("mild attack", "gold"), ("strong attack", "orange")


def slope_of(x: Floats, values: Floats) -> str:
    """Return the power of x with which values [S, X] go, as a legend writes it."""
    return f"{claims.power(x, values).mean():+.2f}".replace("-", "−")


def larger_is_better(run: Results) -> Figure:
    """Return the test accuracy over width, crossed where some net does not fit, and the gain of each doubling."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    x, found, fits = claims.units(run), claims.test_accuracy(run), claims.fitting(run)
    trend = slope_per_seed(np.log2(x[fits]), found[:, fits]).mean() if len(fits) > 1 else np.nan
    named = {f"{trend:+.2f} points a doubling".replace("-", "−"): (found, "blue")}
    plots.curves(left, x, named, log2=list(x), xlabel="hidden units", ylabel="test accuracy (%)", legend="",
                 title="Of nets that fit, is the wider better?")  # fmt: skip
    unfit = np.setdiff1d(np.arange(len(x)), fits)
    if len(unfit):
        left.plot(x[unfit], found.mean(0)[unfit], "X", color=COLOURS["orange"], markersize=9, label="do not all fit")
    left.legend(loc="lower right")
    steps = {f"{low} to {high}": (found[:, k + 1] - found[:, k], "blue")
             for k, (low, high) in enumerate(zip(x[:-1], x[1:], strict=True))}  # fmt: skip
    plots.dot_rows(right, steps, "test accuracy gained (points)", zero=0, title="What does each doubling give?")
    return fig


def distance_and_measures(runs: Mapping[str, Results], depths: Results) -> Figure:
    """Return distances from the start over width for three starts, and measures of complexity over width and depth."""
    fig, (total, own, width, depth) = panels(2, 2, width=11, height=3.7)
    x = claims.units(runs["widths"])
    titles = {"total": "S0: does the distance fall? In total …", "per_unit": "… and per unit"}
    for ax, (what, title) in zip((total, own), titles.items(), strict=True):
        named = {f"{name}: {slope_of(x, runs[start][what])}": (runs[start][what], colour)
                 for start, (name, colour) in STARTS.items()}  # fmt: skip
        plots.curves(ax, x, named, log2=list(x), xlabel="hidden units", ylabel="distance from the start", title=title,
                     logy=True, legend="")  # fmt: skip
        few_ticks(ax)
        ax.legend(title="start, and power of the width", loc="best", fontsize=9, title_fontsize=9)
    measures(width, runs["widths"], x, "S3: do measures grow with width …", "hidden units")
    layers = np.array([len(hidden) for hidden in depths.labels["size"]])
    measures(depth, depths, layers, "… and with depth?", "hidden layers")
    return fig


def measures(ax: Axes, run: Results, x: Floats, title: str, xlabel: str) -> None:
    """Draw measures over the margin, and dashed those of untrained nets, each over its value at the smallest net."""
    named: dict[str, Any] = {}
    deep = len({len(hidden) for hidden in run.labels["size"]}) > 1
    for what, (name, colour, start) in MEASURES.items():
        if what == "unit" and deep:
            continue  # a measure of nets with one hidden layer
        values = run[what] / run["margin"]
        named[f"{name}: {slope_of(x, values)}"] = values / values[:, :1], colour
        if start:
            plots.curves(ax, x, {"_": (run[start] / run[start][:, :1], colour)}, logy=True, legend="", seeds=False,
                         linestyle="--", marker="", alpha=0.7)  # fmt: skip
    plots.curves(ax, x, named, log2=list(x), xlabel=xlabel, ylabel="measure, smallest net = 1", title=title, logy=True,
                 legend="")  # fmt: skip
    few_ticks(ax)
    ax.plot([], [], "--", color=COLOURS["grey"], label="untrained")
    ax.legend(loc="best", fontsize=9)


def batches(run: Results) -> Figure:
    """Return what small batches gain, how much sharper large ones end by five measures, and curvature over loss."""
    fig, (left, middle, right) = panels(3, width=13, height=4)
    ends = [run.at(batch=run.labels["batch"][k]) for k in (0, -1)]
    small, large = ends
    gains = {
        name: (claims.accuracy_at(small, small[rate]) - claims.accuracy_at(large, large[rate]), colour)
        for name, rate, colour in (("one rate", "one_rate", "orange"), ("a rate for each", "tuned_rate", "blue"))
    }
    plots.dot_rows(left, gains, "accuracy, small less large (points)", zero=0, title="Are small batches better?")
    rows = {
        "box, one rate": (log2_ratio(large["box"], small["box"]), "orange"),
        "curvature, one rate": (log2_ratio(large["curvature"], small["curvature"]), "orange"),
        "scale-free, one rate": (log2_ratio(large["invariant"], small["invariant"]), "orange"),
        "curvature, a rate for each": (log2_ratio(large["tuned_curvature"], small["tuned_curvature"]), "blue"),
        "curvature, one loss": (log2_ratio(large["equal_curvature"], small["equal_curvature"]), "green"),
    }
    known = {name: (values[np.isfinite(values)], colour) for name, (values, colour) in rows.items()}
    plots.dot_rows(middle, {name: row for name, row in known.items() if len(row[0])}, "large over small (doublings)",
                   zero=0, title="Are large ones sharper?")  # fmt: skip
    for one, size, colour in zip(ends, (run.labels["batch"][k] for k in (0, -1)), ("sky", "purple"), strict=True):
        loss = claims.at_rate(one, one["train_loss"], one["one_rate"])
        right.plot(loss, one["curvature"], "o", color=paint(colour), label=f"batch {size}, at the end")
        right.plot(one["equal_loss"], one["equal_curvature"], "o", mfc="none", color=paint(colour), markersize=7,
                   label=f"batch {size}, at one loss")  # fmt: skip
    right.set(xscale="log", yscale="log", ylabel="largest curvature", title="Or less trained?")
    right.set_xlim(right.get_xlim()[0] / 1.5, 1.5 * right.get_xlim()[1])
    low, high = right.get_xlim()
    plots.log_axis(right, [ten for ten in 10.0 ** np.arange(-7, 1) if low <= ten <= high], "training loss")
    few_ticks(right)
    right.legend(loc="best", fontsize=9)
    return fig


def spectra(run: Results) -> Figure:
    """Return curvatures by rank of three solutions and the start, their test accuracies, and their sharpness."""
    fig, (left, middle, right) = panels(3, width=13, height=4)
    ranks = np.arange(1, run["eigenvalues"].shape[2] + 1)
    every = {"untrained": (run["start_eigenvalues"], "grey")}
    every |= {name: (run["eigenvalues"][:, k], colour) for k, (name, colour) in enumerate(SOLUTIONS)}
    top = max(values[:, 0].mean() for values, _ in every.values())
    for name, (values, colour) in every.items():
        sizes = np.sort(np.abs(values), axis=1)[:, ::-1].mean(0)
        left.plot(ranks, sizes, color=paint(colour), label=name)
    level = claims.FLAT * run["eigenvalues"][:, 0, 0].mean()
    left.axhline(level, color=INK, linestyle=":", linewidth=1)
    left.text(1, level, "almost flat, no attack", fontsize=9, va="bottom")
    left.set(xscale="log", yscale="log", ylim=(1e-8 * top, 3 * top), xlabel="rank", ylabel="size of the curvature",
             title="How many directions are flat?")  # fmt: skip
    left.legend(loc="lower left", fontsize=9)
    found = claims.test_accuracy(run)
    plots.dot_rows(middle, {name: (found[:, k], colour) for k, (name, colour) in enumerate(SOLUTIONS)},
                   "test accuracy (%)", title="All fit; which are good?")  # fmt: skip
    tops, norms = run["eigenvalues"][..., 0], np.linalg.norm(run["eigenvalues"], axis=2)
    rows = {
        f"{what}, {'mild' if k == 1 else 'strong'}": (log2_ratio(values[:, k], values[:, 0]), SOLUTIONS[k][1])
        for what, values in (("largest", tops), ("length of Hessian", norms), ("scale-free", run["invariant"]))
        for k in (1, 2)
    }
    plots.dot_rows(right, rows, "over no attack (doublings)", zero=0, title="Are bad ones sharper?")
    return fig


def basins(attacked: Results, starts: Results) -> Figure:
    """Return the test accuracy of random starts with that of good and bad solutions, and radii of low loss."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    found, own = claims.test_accuracy(starts).ravel(), claims.test_accuracy(attacked)
    edges = np.linspace(min(found.min(), own.min()) - 1, max(found.max(), own.max()) + 1, 40)
    left.hist(found, edges, color=COLOURS["grey"], alpha=0.6)
    for k, (name, colour) in enumerate(SOLUTIONS):
        left.axvline(own[:, k].mean(), color=COLOURS[colour], label=name)
    left.axvline((own[:, 0].mean() + own[:, -1].mean()) / 2, color=INK, linestyle=":", label="half way")
    left.set(xlabel="test accuracy (%)", ylabel=f"of {len(found)} random starts", title="Where do random starts end?",
             xlim=(edges[0] - 0.5 * (edges[-1] - edges[0]), edges[-1]))  # fmt: skip
    left.legend(loc="upper left", fontsize=9)
    rows = {
        name: (log2_ratio(attacked[what][:, 0], attacked[what][:, -1]), colour)
        for name, what, colour in (("radius", "radius", "blue"), ("radius per length", "normalised_radius", "green"))
    }
    plots.dot_rows(right, rows, "no attack over strong (doublings)", zero=0, title="Is the good region wider?")
    return fig


def stability(descent: Results, escape: Results, small: Results) -> Figure:
    """Return the curvature at the end over step size, before and after larger steps, and minima by batch size."""
    fig, (left, middle, right) = panels(3, width=13, height=4)
    rates = np.array(descent.labels["rate"])
    left.set_yscale("log")
    plots.band(left, rates, descent["sharpness"].mean(2), "at the end", "blue")
    left.plot(rates, 2 / rates, "--", color=COLOURS["orange"], label="2/η")
    plots.log_axis(left, rates.tolist(), "step size η")
    few_ticks(left)
    left.set(ylabel="largest curvature", title="Does it stay below 2/η?")
    left.legend(loc="best")
    arms = {"escape": "too sharp for 4η", "flat": "flat enough for 4η", "onward": "goes on with η"}
    for row, arm in enumerate(arms):
        one = escape.at(arm=arm)
        for when, colour, aside in (("before", "grey", -0.13), ("after", "blue", 0.13)):
            values = one[f"sharpness_{when}"] * one["rate_after"] / 2
            middle.plot(values, np.full(len(values), row + aside), "o", color=COLOURS[colour], alpha=0.35, markersize=4)
            middle.plot(values.mean(), row + aside, "o", color=COLOURS[colour], label="_" if row else when)
    middle.axvline(1, color=COLOURS["orange"], linestyle="--")
    middle.set_yticks(range(len(arms)), list(arms.values()))
    middle.set(ylim=(len(arms) - 0.5, -0.6), xlim=(0, None), xlabel="curvature over 2 / step",
               title="Where does a larger step lead?")  # fmt: skip
    middle.legend(loc="lower right")
    sizes = np.array(small.labels["batch"], float)
    named = {
        f"{name}: {slope_of(sizes, small[what])}": (small[what], colour)
        for name, what, colour in (("curvature", "sharpness", "sky"), ("non-uniformity", "non_uniformity", "green"))
    }
    plots.curves(right, sizes, named, log2=list(sizes), xlabel="batch size", ylabel="at the end", logy=True,
                 title="Do small batches pick even minima?")  # fmt: skip
    few_ticks(right)
    return fig
