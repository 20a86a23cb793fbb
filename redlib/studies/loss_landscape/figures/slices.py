"""The figures on nets in random slices of their parameters, and on small nets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results
from redlib.studies.loss_landscape import claims
from redlib.studies.loss_landscape.claims import NINE_TENTHS, SLICE, Floats

SHADE = ("sky", "blue", "purple")  # narrow, middle, wide


def dimensions(run: Results, dense: Results) -> Figure:
    """Return accuracies by dimension of the convolutional net and of a linear one, of dense nets, and the crossings."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=3.8)
    slice_curves(left, run, {
        "convolutional network": (run["accuracy"], "blue"), "linear classifier": (run["linear_accuracy"], "grey"),
    }, run["full_accuracy"], "A convolutional network")  # fmt: skip
    widths = dense.labels["width"]
    named = {f"{width} units": (dense.at(width=width)["accuracy"], tint)
             for width, tint in zip(widths, SHADE, strict=False)}  # fmt: skip
    slice_curves(middle, dense, named, dense["full_accuracy"].mean(1), "Fully connected networks")
    found = claims.dimension(dense)
    kept = found[np.isfinite(found).all(1)]
    if len(kept):
        plots.curves(right, dense["parameters"], {"": (kept, "blue")}, seeds=True,
                     ylabel="intrinsic dimension", title="By size of the network")  # fmt: skip
    plots.log_axis(right, dense["parameters"].tolist(), "parameters")
    right.set_ylim(0)
    return fig


def slice_curves(ax: Axes, run: Results, named: dict[str, tuple[Floats, str]], full: Floats, title: str) -> None:
    """Draw accuracies [S, K] by dimension, and nine tenths of the full accuracies [S]."""
    dims = run.labels["dim"]
    shown = {name: (100 * values, colour, {"within": (0, 100)}) for name, (values, colour) in named.items()}
    plots.curves(ax, dims, shown, xlabel="random dimensions", log2=dims, ylabel="test accuracy (%)", title=title,
                 seeds=False, levels={"90% of the full accuracy": 100 * NINE_TENTHS * float(full.mean())},
                 legend="lower right")  # fmt: skip


def small_nets(run: Results, small: Results) -> Figure:
    """Return the accuracies of small nets at their best rates, each a point, and that of the large net in its slice."""
    fig, (left, right) = plots.panels(2, width=11, height=4)
    able = small["convolutional"].astype(bool)
    best = 100 * small["test_accuracy"].max(-1)
    order = np.argsort(best.mean(0))
    names = small.labels["architecture"]
    rows = {str(names[a]): (best[:, a], "orange" if able[a] else "grey") for a in order[::-1]}
    title = "Small networks (orange: with convolutions)"
    plots.dot_rows(left, rows, "test accuracy at the best rate (%)", title=title, within=(0, 100))
    left.tick_params(axis="y", labelsize=9)
    chosen = {
        f"{SLICE} dimensions of a large one": (100 * run.at(dim=SLICE)["accuracy"], "blue"),
        "best small one": (100 * claims.best_accuracy(small, np.ones_like(able)), "orange"),
        "best without convolutions": (100 * claims.best_accuracy(small, ~able), "grey"),
        "the large one in full": (100 * run["full_accuracy"], "ink"),
    }  # fmt: skip
    plots.dot_rows(right, chosen, "test accuracy (%)", title="Chosen on validation images", within=(0, 100))
    return fig


def counted(run: Results) -> Figure:
    """Return the accuracy of one net by how many numbers it may have: a ticket's weights, dimensions, factors."""
    fig, (ax,) = plots.panels(1, width=7.5, height=4)
    named: Mapping[str, Any] = {
        "random dimensions": (run["slice_accuracy"], "blue", {"x": run.labels["dim"]}),
        "weights of a ticket": (run["ticket_accuracy"], "orange", {"x": run["left"]}),
        "factors of low rank, as trained": (run["rank_accuracy"], "grey", {"x": run["numbers"]}),
    }  # fmt: skip
    shown = {name: (100 * values, colour, how) for name, (values, colour, how) in named.items()}
    plots.curves(ax, run.labels["dim"], shown, ylabel="test accuracy (%)", within=(0, 100), seeds=False,
                 levels={"90% of the full accuracy": 100 * NINE_TENTHS * float(run["full_accuracy"].mean())},
                 title="How many numbers does one network need?", legend="lower left")  # fmt: skip
    plots.log_axis(ax, (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000), "numbers that may be chosen")
    plots.mark(ax, float(run["parameters"].mean()), "all parameters", y=0.55)
    return fig
