"""The figures on widths and minima: distance and measures, batches, attacked nets, random starts, steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from redlib import plots
from redlib.evidence.stats import log2_ratio, slope_per_seed
from redlib.experiments.results import Results
from redlib.plots.style import COLOURS, INK, paint, panels
from redlib.studies.generalization import claims
from redlib.studies.generalization.claims import Floats
from redlib.studies.generalization.figures.wide import HALF, few_ticks

STARTS = {"small start": ("a quarter", "sky"), "widths": ("torch's", "blue"), "large start": ("four times", "purple")}
MEASURES: Mapping[str, tuple[str, str, str]] = {  # measure: what it is called, colour, the same of the untrained net
    "vc": ("VC bound", "grey", ""),
    "spectral": ("spectral", "orange", "start_spectral"),
    "frobenius": ("Frobenius", "gold", "start_frobenius"),
    "unit": ("unit capacity", "blue", ""),
    "path": ("path", "green", "start_path"),
}
SOLUTIONS = ("no attack", "blue"), ("mild attack", "gold"), ("strong attack", "orange")
ARMS = {"escape": "4η, too sharp for it", "flat": "4η, flat enough for it", "onward": "η as before"}
MOMENTS = {"before": "grey", "highest": "orange", "after": "blue"}
POWERS_OF_TEN = 10.0 ** np.arange(-12, 7)
LEAST = 1e-7  # of the largest curvature: what is smaller is left out of view
TOP_RANKS = 30
WIDEN = 1.7  # times: so wide an axis holds one of 1, 2 and 5 at least, times a power of ten
SHOWN = 200  # ranks of a spectrum that are drawn, of some thousands


def signed(value: float) -> str:
    """Return a number with two digits and the sign that a page has, "?" for none."""
    return f"{value:+.2f}".replace("-", "−") if np.isfinite(value) else "?"


def with_power(name: str, x: Floats, values: Floats) -> str:
    """Return a name in a legend with the power of x with which values [S, X] go."""
    return f"{name}: {signed(claims.power(x, values).mean())}"


def share_width(ax: Axes, *shares: float) -> None:
    """Give the columns of panels these shares of the width of the figure."""
    grid = ax.get_subplotspec()
    if grid is not None:
        grid.get_gridspec().set_width_ratios(shares)


def larger_is_better(run: Results) -> Figure:
    """Return the test accuracy over width, crossed where some net does not fit, and the gain of each doubling."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    x, found, fits = claims.units(run), claims.test_accuracy(run), claims.fitting(run)
    trend = slope_per_seed(np.log2(x[fits]), found[:, fits]).mean() if len(fits) > 1 else np.nan
    plots.curves(left, x, {f"{signed(trend)} points a doubling": (found, "blue")}, log2=list(x), legend="",
                 xlabel="hidden units", ylabel="test accuracy (%)",
                 title="Of nets that fit, does the wider do better?")  # fmt: skip
    unfit = np.setdiff1d(np.arange(len(x)), fits)
    if len(unfit):
        left.plot(x[unfit], found.mean(0)[unfit], "X", color=COLOURS["orange"], markersize=9, label="do not all fit")
    left.legend(loc="lower right")
    steps = {
        f"{low} to {high}": (found[:, k + 1] - found[:, k], "blue")
        for k, (low, high) in enumerate(zip(x[:-1], x[1:], strict=True))
    }
    plots.dot_rows(right, steps, "change of the test accuracy (points)", zero=0, title="What does each doubling give?")
    right.set_ylabel("hidden units")
    return fig


def distance_and_measures(runs: Mapping[str, Results], depths: Results) -> Figure:
    """Return, on the left, distances from the start over width for three starts; on the right, measures of complexity.

    Above the total distance and the measures over width, below the distance per unit and the measures over depth.
    """
    fig, (total, width, own, depth) = panels(2, 2, width=11.5, height=3.6)
    x = claims.units(runs["widths"])
    titles = {"total": "S0: do wider nets stay closer to their start?", "per_unit": "And each unit?"}
    for ax, (what, title) in zip((total, own), titles.items(), strict=True):
        distances(ax, {start: runs[start][what] for start in STARTS}, x, title)
    middle = np.exp(np.log(runs["widths"]["per_unit"]).mean(0))
    own.plot(x, middle[0] * (x / x[0]) ** HALF, ":", color=INK, label="total stays: −0.50")
    for ax, where in ((total, "lower left"), (own, "upper right")):
        ax.legend(title="start, and power of the width", loc=where, fontsize=9, title_fontsize=9)
    measures(width, runs["widths"], x, "S3: do measures of complexity grow with width?", "hidden units")
    layers = np.array([len(hidden) for hidden in depths.labels["size"]])
    measures(depth, depths, layers, "And with depth?", "hidden layers")
    return fig


def distances(ax: Axes, named: Mapping[str, Floats], x: Floats, title: str) -> None:
    """Draw the distances [S, widths] from several starts over the width, with their powers in the legend."""
    shown = {with_power(STARTS[start][0], x, values): (values, STARTS[start][1]) for start, values in named.items()}
    plots.curves(ax, x, shown, log2=list(x), xlabel="hidden units", ylabel="distance from the start", title=title,
                 logy=True, legend="")  # fmt: skip
    few_ticks(ax)


def measures(ax: Axes, run: Results, x: Floats, title: str, xlabel: str) -> None:
    """Draw measures over the margin, and dashed those of untrained nets, each over its value at the smallest net.

    Unit capacity is left out where some nets are deep: it is a measure of nets with one hidden layer.
    """
    ax.set_yscale("log")
    deep = any(len(hidden) > 1 for hidden in run.labels["size"])
    for what, (name, colour, start) in MEASURES.items():
        if what == "unit" and deep:
            continue
        values = run[what] / (1 if what == "vc" else run["margin"])
        plots.band(ax, x, values / values[:, :1], with_power(name, x, values), colour, seeds=False)
        if start:
            plots.band(ax, x, run[start] / run[start][:, :1], "", colour, seeds=False, linestyle="--", marker="",
                       linewidth=1.4)  # fmt: skip
    plots.log2_axis(ax, list(x), xlabel)
    ax.plot([], [], "--", color=COLOURS["grey"], linewidth=1.4, label="untrained nets")
    ax.set(ylabel="measure, smallest net = 1", title=title)
    few_ticks(ax)
    ax.legend(title="measure, and power", loc="upper left", fontsize=9, title_fontsize=9)


def batches(run: Results) -> Figure:
    """Return what small batches gain, how much sharper large ones end by five measures, and curvature over loss."""
    fig, (left, middle, right) = panels(3, width=13, height=3.8)
    share_width(left, 0.8, 1, 1.1)
    small, large = ends = [run.at(batch=run.labels["batch"][k]) for k in (0, -1)]
    gains = {
        name: (claims.accuracy_at(small, small[rate]) - claims.accuracy_at(large, large[rate]), colour)
        for name, rate, colour in (("one rate", "one_rate", "orange"), ("own rates", "tuned_rate", "blue"))
    }
    plots.dot_rows(left, gains, "accuracy, small less large (points)", zero=0, title="Are small batches better?")
    looks = {
        "box, one rate": ("box", "orange"),
        "curvature, one rate": ("curvature", "orange"),
        "scale-free, one rate": ("invariant", "orange"),
        "curvature, own rates": ("tuned_curvature", "blue"),
        "curvature, one loss": ("equal_curvature", "green"),
    }
    found = {name: (log2_ratio(large[what], small[what]), colour) for name, (what, colour) in looks.items()}
    rows = {name: (values[np.isfinite(values)], colour) for name, (values, colour) in found.items()}
    plots.dot_rows(middle, {name: row for name, row in rows.items() if len(row[0])}, "large over small (doublings)",
                   zero=0, title="Do large ones end sharper?")  # fmt: skip
    for one, size, colour in zip(ends, (run.labels["batch"][k] for k in (0, -1)), ("sky", "purple"), strict=True):
        flattening(right, one, f"batch {size}", paint(colour))
    right.set(ylabel="largest curvature", title="Or are they less trained?")
    few_ticks(right)
    low, high = right.get_xlim()
    low, high = right.set_xlim(low / WIDEN, high * WIDEN)
    ticks = [tick for ten in POWERS_OF_TEN for digit in (1, 2, 5) if low <= (tick := digit * ten) <= high]
    plots.log_axis(right, ticks, "training loss (falls to the left)", most=6)
    right.legend(loc="upper left", fontsize=9)
    return fig


def flattening(ax: Axes, one: Results, name: str, tint: str) -> None:
    """Draw loss and curvature of each seed at one loss (hollow) and at the end, at the shared rate, logarithmic."""
    ax.set(xscale="log", yscale="log")
    loss = np.stack([one["equal_loss"], claims.at_rate(one, one["train_loss"], one["one_rate"])])
    curvature = np.stack([one["equal_curvature"], one["curvature"]])
    ax.plot(loss, curvature, color=tint, linewidth=0.8, alpha=0.6)
    ax.plot(loss[0], curvature[0], "o", mfc="none", color=tint, markersize=7, label=f"{name}, at one loss")
    ax.plot(loss[1], curvature[1], "o", color=tint, label=f"{name}, at the end")


def spectra(run: Results) -> Figure:
    """Return the curvatures of three solutions and the start: all over the largest, the largest, and their ratios."""
    fig, (left, middle, right) = panels(3, width=13, height=3.9)
    share_width(left, 1, 1, 0.85)
    right_on = claims.test_accuracy(run).mean(0)
    every = {"untrained": (run["start_eigenvalues"], "grey")}
    every |= {
        f"{name}: {right_on[k]:.0f}% right": (run["eigenvalues"][:, k], colour)
        for k, (name, colour) in enumerate(SOLUTIONS)
    }
    sizes = {name: (steepest_first(values), colour) for name, (values, colour) in every.items()}
    all_over_largest(left, sizes)
    count = run["eigenvalues"].shape[2]
    top = {name: (values[:, :TOP_RANKS], colour) for name, (values, colour) in sizes.items()}
    ranks = np.arange(1, 1 + min(TOP_RANKS, count))
    plots.curves(middle, ranks, top, log2=[rank for rank in (1, 3, 10, 30) if rank <= count], xlabel="rank", logy=True,
                 ylabel="curvature", title="Which is steepest at the top?", seeds=False, marker="",
                 legend="")  # fmt: skip
    few_ticks(middle)
    sharpness_rows(right, run)
    return fig


def steepest_first(values: Floats) -> Floats:
    """Return the sizes of curvatures [S, P], largest first; what is next to nothing is a tenth of what is in view."""
    sizes = np.sort(np.abs(values), axis=1)[:, ::-1]
    return np.asarray(np.maximum(sizes, LEAST * sizes[:, :1]))


def all_over_largest(ax: Axes, sizes: Mapping[str, tuple[Floats, str]]) -> None:
    """Draw all curvatures [S, P] over the largest of their net, medians of the seeds, by rank in per cent."""
    for name, (values, colour) in sizes.items():
        some = np.unique(np.linspace(0, values.shape[1] - 1, SHOWN).round().astype(int))
        parts = np.median(values / values[:, :1], axis=0)[some]
        ax.plot(100 * (some + 1) / values.shape[1], parts, color=paint(colour), label=name)
    ax.axhspan(LEAST, claims.FLAT, color=COLOURS["grey"], alpha=0.15, linewidth=0)
    ax.text(99, claims.FLAT, "almost flat ", fontsize=9.5, va="top", ha="right")
    ax.set(yscale="log", ylim=(10 * LEAST, 2), xlabel="directions, steepest first (%)",
           ylabel="curvature over the largest", title="How many directions are flat?")  # fmt: skip
    ax.legend(loc="upper right", fontsize=9)


def sharpness_rows(ax: Axes, run: Results) -> None:
    """Draw by how much attacked solutions are sharper than those without an attack, by three measures."""
    top, norm = run["eigenvalues"][..., 0], np.linalg.norm(run["eigenvalues"], axis=2)
    rows = {
        f"{what}, {SOLUTIONS[k][0].split()[0]}": (log2_ratio(values[:, k], values[:, 0]), SOLUTIONS[k][1])
        for what, values in (("largest", top), ("norm of all", norm), ("scale-free", run["invariant"]))
        for k in (1, 2)
    }
    plots.dot_rows(ax, rows, "over that without attack (doublings)", zero=0, title="Are bad ones sharper?")


def basins(attacked: Results, starts: Results) -> Figure:
    """Return the test accuracy of random starts with that of good and bad solutions, and radii of low loss."""
    fig, (left, right) = panels(2, width=12, height=3.7)
    share_width(left, 1.6, 1)
    found, fits = claims.test_accuracy(starts).ravel(), (starts["train_error"] == 0).ravel()
    own = claims.test_accuracy(attacked)
    edges = whole_images(np.concatenate([found, own.ravel()]))
    left.hist([found[fits], found[~fits]], edges, stacked=True, color=[to_rgba(COLOURS["grey"], 0.5), "none"],
              edgecolor=COLOURS["grey"], linewidth=0.5, label=["", "did not fit"])  # fmt: skip
    left.set(xlabel="test accuracy (%)", ylabel=f"of {len(found)} random starts", title="Where do random starts end?",
             ylim=(0, 1.4 * left.get_ylim()[1]))  # fmt: skip
    for k, ((name, colour), side) in enumerate(zip(SOLUTIONS, ("left", "right", "left"), strict=True)):
        left.axvline(own[:, k].mean(), color=COLOURS[colour], linewidth=1.6)
        left.text(own[:, k].mean(), 0.98 - 0.09 * k, f" {name} ", transform=left.get_xaxis_transform(), ha=side,
                  va="top", color=COLOURS[colour], fontsize=9.5)  # fmt: skip
    plots.mark(left, (own[:, 0].mean() + own[:, -1].mean()) / 2, "half way", "ink", y=0.6)
    if not fits.all():
        left.legend(loc="center left")
    rows = {
        name: (log2_ratio(attacked[what][:, 0], attacked[what][:, -1]), colour)
        for name, what, colour in (
            ("radius", "radius", "blue"),
            ("per length\nof weights", "normalised_radius", "green"),
        )
    }
    plots.dot_rows(right, rows, "no attack over strong (doublings)", zero=0, title="Is the good region wider?")
    return fig


def whole_images(values: Floats) -> Floats:
    """Return edges of bins that hold equally many of the accuracies that whole test images allow, half a point or so.

    Otherwise some bins would hold one more of these than their neighbours, and look fuller.
    """
    gaps = np.diff(np.unique(values.round(3)))
    image = gaps.min() if len(gaps) else 1.0
    width = image * np.ceil(0.5 / image)
    return np.asarray(np.arange(values.min() - image / 2, values.max() + width, width))


def stability(descent: Results, escape: Results, small: Results) -> Figure:
    """Return curvature over step size, loss and curvature about an escape, and minima by batch size.

    Curvature is orange and the line of 2/step is in ink, as in the explorer of the same page.
    """
    fig, (ends, loss, rest, batch) = panels(2, 2, width=11.5, height=3.4)
    rates = np.array(descent.labels["rate"])
    line = np.geomspace(rates[0], rates[-1], 30)
    ends.plot(line, 2 / line, "--", color=INK, label="2/η")
    plots.curves(ends, rates, {"at the end of descent": (descent["sharpness"].mean(2), "orange")}, log2=list(rates),
                 logy=True, xlabel="step size η", ylabel="largest curvature", title="Does it stay below 2/η?",
                 legend="upper right")  # fmt: skip
    few_ticks(ends)
    arms = {name: escape.at(arm=arm) for arm, name in ARMS.items()}
    losses = {name: [one["loss_before"], one["peak_loss"], one["loss_after"]] for name, one in arms.items()}
    passages(loss, losses, tuple(MOMENTS))
    loss.set(xscale="log", xlabel="training loss", title="Does a larger step throw it out?")
    loss.legend(*loss.get_legend_handles_labels(), loc="lower right", fontsize=9, markerscale=0.6)
    scaled = {
        name: [one[f"sharpness_{when}"] * one["rate_after"] / 2 for when in ("before", "after")]
        for name, one in arms.items()
    }
    passages(rest, scaled, ("before", "after"))
    rest.set(xlim=(0, None), xlabel="largest curvature over 2/step", title="And where does it come to rest?")
    rest.axvline(1, color=INK, linestyle="--", zorder=1)
    sizes = np.array(small.labels["batch"], float)
    named = {
        with_power(name, sizes, small[what]): (small[what], colour)
        for name, what, colour in (("non-uniformity", "non_uniformity", "green"), ("curvature", "sharpness", "orange"))
    }
    plots.curves(batch, sizes, named, log2=list(sizes), xlabel="batch size", ylabel="at the end", logy=True, legend="",
                 title="Do small batches pick more even minima?")  # fmt: skip
    few_ticks(batch)
    batch.legend(title="measure, and power", loc="lower right", fontsize=9, title_fontsize=9)
    return fig


def passages(ax: Axes, rows: Mapping[str, Sequence[Floats]], moments: Sequence[str]) -> None:
    """Draw a row for each arm, with the values [S] at each moment a little lower than at the one before."""
    for row, values in enumerate(rows.values()):
        for k, (when, found) in enumerate(zip(moments, values, strict=True)):
            tint, height = COLOURS[MOMENTS[when]], row + 0.24 * (k - (len(moments) - 1) / 2)
            ax.plot(found, np.full(len(found), height), "o", color=tint, alpha=0.35, markersize=3.5, markeredgewidth=0)
            ax.plot(np.median(found), height, "|", color=tint, markersize=13, markeredgewidth=2.5,
                    label="" if row else when)  # fmt: skip
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(False, axis="y")
