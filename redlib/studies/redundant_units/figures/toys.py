"""The figures on problems whose answer is known: filters that detect patterns, students that learn from a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.data.xord import PATTERNS
from redlib.evidence.stats import wilson
from redlib.experiments.results import Results
from redlib.nets.xord import cover_probability
from redlib.studies.redundant_units.claims import SOLVED, Floats, succeeds

# Filters w and u, in the words, tints and shapes of the explorer.
KINDS = (("filters for label 1 (equal signs)", "blue", "o"), ("filters for label −1 (unequal signs)", "orange", "^"))
SETS = {"diverse": "blue", "missing a pattern": "orange"}
DECADES = 3.5  # of lengths between the centre of a plane and the longest filter
FILTERS = "filters of each kind"


def unfolded(weights: Floats) -> Floats:
    """Return points in the directions of weights [..., 2], as far out as the logarithm of their length: at most 1."""
    lengths = np.linalg.norm(weights, axis=-1, keepdims=True)
    radius = np.clip(1 + np.log10(lengths / np.nanmax(lengths)) / DECADES, 0, 1)
    return np.asarray(weights / lengths * radius)


def plane(ax: Axes, weights: Floats, title: str) -> None:
    """Draw where filters [T, 2k, 2] of a net go, those for equal signs first, and the directions of the patterns."""
    for x, y in PATTERNS:
        ax.plot([0, 0.74 * x], [0, 0.74 * y], color=plots.paint("grey"), linestyle=":", linewidth=1.2, zorder=0)
        ax.annotate(f"{x:+d}, {y:+d}".replace("-", "−"), (0.82 * x, 0.82 * y), ha="center", va="center",
                    color=plots.paint("grey"), fontsize=10)  # fmt: skip
    for half, (name, colour, marker) in zip(np.split(unfolded(weights), 2, axis=1), KINDS, strict=True):
        tint = plots.paint(colour)
        ax.plot(*half.transpose(2, 0, 1), color=tint, alpha=0.35, linewidth=0.7)
        ax.plot(*half[0].T, ".", color=plots.paint("grey"), markersize=3)
        ax.plot(*half[-1].T, marker, color=tint, markersize=6, alpha=0.8, markeredgewidth=0, label=name)
    ax.set(title=title, xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    ax.set_axis_off()


def ratios(ax: Axes, x: Sequence[float], found: Sequence[tuple[int, int]], name: str, colour: str) -> None:
    """Draw shares, each of (how many, of how many), with their 95% Wilson intervals; none of none is left out."""
    kept = [(at, *pair) for at, pair in zip(x, found, strict=True) if pair[1]]
    if not kept:
        return
    ends = [wilson(count, total) for _, count, total in kept]
    at, middle = [each[0] for each in kept], 100 * np.array([count / total for _, count, total in kept])
    spread = np.abs(middle - 100 * np.array([[end.low for end in ends], [end.high for end in ends]]))
    ax.errorbar(at, middle, spread, color=plots.paint(colour), marker="o", capsize=2, label=name)


def detection(paths: Results, run: Results, narrow: int, wide: int) -> Figure:
    """Return where the filters of a narrow and of a wide net go, and how often nets that fit make no error."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=4.2)
    for ax, count in ((left, narrow), (middle, wide)):
        own = paths.at(set="diverse", count=count)["weights"][0][:, : 2 * count]
        plane(ax, own, f"{count} filters of each kind: where they go")
    fig.legend(*middle.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    counts = run.labels["count"]
    for name, colour in SETS.items():
        own = run.at(set=name)
        right_ones = own["fits"] & (own["fresh_error"] == 0)
        ratios(right, counts, [*zip(right_ones.sum(0), own["fits"].sum(0), strict=True)], name, colour)
    plots.log2_axis(right, counts, FILTERS)
    right.set(ylim=(-3, 103), ylabel="without error on new points (%)", title="Nets that fit: who is right?")
    right.legend(loc="center right", title="training set")
    return fig


def exploration(run: Results) -> Figure:
    """Return how often all patterns are detected before training, beside theory, and success with and without."""
    fig, (left, right) = plots.panels(2)
    counts, own = run.labels["count"], run.at(set="diverse")
    start, success = run["start_detected"], succeeds(own)
    theory = [100 * cover_probability(count, 2) ** 2 for count in counts]
    left.plot(counts, theory, color=plots.INK, linestyle=":", label="random directions")
    ratios(left, counts, [(int(hits), len(start)) for hits in start.sum(0)], "measured", "blue")
    left.set(ylim=(-3, 103), ylabel="all patterns detected at the start (%)", title="Do wide layers explore more?")
    for name, chosen, colour in (("all detected at the start", start, "blue"), ("not all", ~start, "orange")):
        found = [*zip((success & chosen).sum(0), chosen.sum(0), strict=True)]
        ratios(right, counts, found, name, colour)
    right.set(ylim=(-3, 103), ylabel="fit, without error on new points (%)", title="Does exploring decide?")
    for ax in (left, right):
        plots.log2_axis(ax, counts, FILTERS)
        ax.legend(loc="lower right")
    return fig


ARMS = {"both": ("both layers", "blue"), "first": ("first layer alone", "orange"),
        "both, no noise": ("both, labels without noise", "grey")}  # fmt: skip


def averaging(run: Results, weak: Results) -> Figure:
    """Return the errors of students by width, exact and measured, and over the steps of the narrowest and the widest.

    Without noise errors fall as long as training goes on. The units of the `weak` teacher count for less.
    """
    fig, (left, right) = plots.panels(2, width=11, height=3.8)
    widths, steps = run.labels["width"], run.labels["look"]
    every = {name: (run.at(arm=arm), colour) for arm, (name, colour) in ARMS.items()}
    every["both layers, weak teacher"] = weak.at(arm="both"), "sky"
    exact = {name: (own["error"][..., -1], colour, {"marker": ""}) for name, (own, colour) in every.items()}
    plots.curves(left, widths, exact, log2=widths, xlabel="units of the student", ylabel="error on new inputs",
                 title="By width: theory (lines), measured (circles)", logy=True, legend="", seeds=False)  # fmt: skip
    for name, (own, colour) in every.items():
        measured = np.exp(np.log(own["measured_error"]).mean(0))
        left.plot(widths, measured, "o", color=plots.paint(colour), mfc="none", markersize=8)
        for width, style in ((widths[0], "--"), (widths[-1], "-")):
            line = {f"{name}, {width} units": (own.at(width=width)["error"], colour, {"linestyle": style})}
            plots.curves(right, steps, line, logy=True, legend="", marker="", seeds=False)
    right.set(xlabel="step of training", title="Through training: narrow (dashed), wide")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return fig


def lucky(run: Results) -> Figure:
    """Return how many students match their whole teacher, what outgoing weights others keep, and errors, by width."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=3.6)
    widths, complete = run.labels["width"], run["complete"]
    ratios(left, widths, [(int(count), len(complete)) for count in complete.sum(0)], "students", "blue")
    plots.log2_axis(left, widths, "units of the student")
    left.set(ylim=(-3, 103), ylabel="match the whole teacher (%)", title="Who finds the whole teacher?")
    kept = run["outgoing_unmatched"] / run["outgoing_matched"]
    known = {width: kept[:, at][np.isfinite(kept[:, at])] for at, width in enumerate(widths)}
    rows = {f"{width} units": (values, "purple") for width, values in known.items() if len(values)}
    plots.dot_rows(middle, rows, "outgoing weight / that of matched ones", title="Units that match none", zero=0)
    tints = ("sky", "blue", "purple", "orange")
    share = np.maximum(run["error"] / run["error"][..., :1], SOLVED)  # what is less is all rounding in the end
    named = {
        f"{width} units": (share[:, at], tint) for at, (width, tint) in enumerate(zip(widths, tints, strict=False))
    }
    plots.curves(right, run.labels["look"], named, xlabel="step of training", ylabel="error / error at the start",
                 logy=True, title="What is left to learn", seeds=False, marker="")  # fmt: skip
    return fig
