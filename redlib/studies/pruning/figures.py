"""The figures of the pruning study, one function each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results
from redlib.measures import cost
from redlib.studies.pruning import claims
from redlib.studies.pruning.claims import Floats, accuracy, speedup

CRITERIA = {
    "ticket": "blue", "snip": "orange", "grasp": "purple", "synflow": "green", "magnitude": "gold", "erk": "grey",
    "random": "grey",
}  # fmt: skip
CALLED = {  # what criteria and arms are called where their own name says little
    "snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow", "random": "random, every layer alike",
    "erk": "random, small layers denser", "finetune": "finetuned",
    "scratch_epochs": "fresh weights, equal epochs", "scratch_compute": "fresh weights, equal compute",
}  # fmt: skip
EXTRUDED = {  # with a shuffled mask of the ticket, but for the ticket itself
    "extruded": "squeezed, then cut", "pretrained": "trained, then cut", "random": "cut at once", "ticket": "ticket",
    "random_long": "cut at once, as many steps",
}  # fmt: skip
UNIT_NAMES = {
    "weights": "single weights", "l2": "units by size", "gradient": "units by gradient",
    "taylor": "units by Taylor’s series", "random": "units at random",
}  # fmt: skip
LAYOUT_NAMES = {"csr": "by rows (CSR)", "coo": "coordinates (COO)", "two_of_four": "two of four"}
UNITS = {"weights": "blue", "l2": "orange", "gradient": "purple", "taylor": "green", "random": "grey"}
LAYOUTS = dict(zip(cost.LAYOUTS, ("grey", "green", "purple", "orange", "gold"), strict=True))
TEST = "test accuracy (%)"


def called(name: str) -> str:
    """Return what a criterion or an arm is called in a figure."""
    return CALLED.get(name, name)


def zoo(found: Results, tickets: Results) -> Figure:
    """Return the accuracy of seven ways to choose a sparse net, at two densities."""
    fig, axes = plots.panels(2, width=11.5, height=4)
    for ax, level in zip(axes, found.labels["level"], strict=True):
        cells = {name: found.at(criterion=name, level=level, arm="ticket") for name in found.labels["criterion"]}
        cells["ticket"] = tickets.at(level=level)
        rows = {called(name): (accuracy(cells[name]), colour) for name, colour in CRITERIA.items()}
        share = tickets.at(level=level)["density"].mean()
        title = f"{share:.0%} of the weights kept"
        plots.dot_rows(ax, rows, TEST, zero=accuracy(cells["random"]).mean(), title=title)
    return fig


def shuffles(changes: Mapping[str, Mapping[str, Floats]]) -> Figure:
    """Return what changed masks and fresh weights cost each criterion; `changes` by the title of the panel."""
    fig, axes = plots.panels(len(changes), width=11.5)
    for ax, (title, lost) in zip(axes, changes.items(), strict=True):
        rows = {called(name): (values, CRITERIA[name]) for name, values in lost.items()}
        plots.dot_rows(ax, rows, "change of accuracy (points)", zero=0, title=title)
    return fig


def collapse(found: Results, density: float = 0.1) -> Figure:
    """Return which layers hold the weights at a density, and the density at which a layer is empty."""
    fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
    at = np.abs(np.log(found["weights"] / found["weights"][0] / density)).argmin()
    share = 100 * np.maximum(found["kept"][:, :, at] / found["kept"][:, :, 0], 1e-4)
    names, empty = found.labels["criterion"], np.log10(claims.collapse_densities(found))
    layers = {called(name): (share[:, k], CRITERIA[name]) for k, name in enumerate(names)}
    title = f"Who gets the weights at {density:.0%}"
    plots.curves(left, range(1, share.shape[2] + 1), layers, xlabel="layer", ylabel="weights kept (%)", title=title,
                 seeds=False)  # fmt: skip
    rows = {called(name): (empty[:, k], CRITERIA[name]) for k, name in enumerate(names)}
    plots.dot_rows(right, rows, "log10 of the density at which a layer is empty", title="Where a layer dies")
    return fig


def layerwise(cut: Results, pairs: Mapping[str, Mapping[str, Results]]) -> Figure:
    """Return the trained net with one layer cut, and tickets of one list and of equal rates in three nets."""
    fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
    kept, colours = 100 * (1 - cut["cut_error"]), ("blue", "orange", "green")
    named = {f"layer {k + 1} alone": (kept[:, k], c) for k, c in zip(range(kept.shape[1]), colours, strict=False)}
    title = "Cut one layer, no retraining"
    plots.curves(left, cut.labels["density"], named, ylabel=TEST, title=title, density=True, seeds=False)
    looks = {"list": ("one list", "blue"), "layers": ("layer by layer", "orange")}
    nets = {"deep net": "deep", "equal layers": "even", "our net": "own"}
    rows = {f"{n}, {looks[k][0]}": (accuracy(pairs[one][k]), looks[k][1]) for n, one in nets.items() for k in looks}
    plots.dot_rows(right, rows, TEST, title="Tickets, retrained")
    return fig


def while_training(squeezed: Results, cuts: Results) -> Figure:
    """Return the arms of the dual tickets, and final accuracy after units were cut in mid-training."""
    fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
    tints = dict.fromkeys(squeezed.labels["arm"], "grey") | {"extruded": "purple", "ticket": "blue"}
    rows = {EXTRUDED[arm]: (accuracy(squeezed.at(arm=arm)), tint) for arm, tint in tints.items()}
    plots.dot_rows(left, rows, TEST, title="Squeeze before the cut?")
    final = accuracy(cuts, "final")
    shades = {"none": "grey", "largest": "orange"}
    named = {
        f"{choice} cut, {kept:.0%} kept" if kept < 1 else "no cut": (final[:, k], shades.get(choice, "sky"))
        for k, (choice, kept) in enumerate(cuts.labels["arm"])
    }
    plots.dot_rows(right, named, "final test accuracy (%)", final[:, 0].mean(), title="Units cut in mid-training")
    return fig


def units(found: Results, wide: Results, by_share: Mapping[float, Results]) -> Figure:
    """Return accuracy by the share of units kept, and four ways to train a conv net with fewer filters."""
    fig, (left, right) = plots.panels(2, width=11.5, height=4)
    kinds = [name for name in UNITS if name in found.labels["criterion"]]
    named = {UNIT_NAMES[name]: (accuracy(found.at(criterion=name)), UNITS[name]) for name in kinds}
    plots.curves(left, found.labels["kept"], named, ylabel=TEST, title="Rewound and retrained", seeds=False,
                 legend="end")  # fmt: skip
    plots.density_axis(left, found.labels["kept"], "hidden units kept (%)")
    rows = {"whole net": (accuracy(wide, "final"), "grey")}
    for kept, one in by_share.items():
        for arm in one.labels["arm"]:
            tint = "orange" if arm == "finetune" else "blue"
            rows[f"{kept:.0%}: {called(arm)}"] = accuracy(one.at(arm=arm), "final"), tint
    plots.dot_rows(right, rows, TEST, title="Filters of a conv net")
    return fig


def speed(forward: Results, steps: Results) -> Figure:
    """Return the speed-up of the forward pass, the time of a training step, and the memory of the weights."""
    fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
    left.set_yscale("log", base=2), middle.set_yscale("log")
    named = {"dense with a mask": (speedup(forward, "masked"), "grey")}
    named |= {"sparse (CSR)": (speedup(forward, "csr"), "purple")}
    half = {"half of the units, dense": float(speedup(forward, "half_units").mean())}
    plots.curves(left, forward["densities"], named, ylabel="speed-up over dense", title="Forward pass", density=True,
                 levels=half, seeds=False)  # fmt: skip
    share, ms = steps["densities"], {name: 1e3 * np.median(steps[f"{name}_s"], -1) for name in
                                     ("masked", "sparse", "stack")}  # fmt: skip
    whole = float(ms["stack"].mean())
    curves = {"autograd with a mask": (ms["masked"], "orange"), "sparse step": (ms["sparse"], "blue")}
    middle.plot(share, whole * share, "-.", color=plots.INK, linewidth=1, label="in proportion")
    plots.curves(middle, share, curves, ylabel="ms a step and net", title="Training", density=True, seeds=False,
                 levels={"dense stack": whole}, logy=(0.01, 0.03, 0.1, 0.3, 1, 3))  # fmt: skip
    stored = {
        LAYOUT_NAMES.get(layout, layout): (forward["stored_bytes"][[k]] / 1e6, colour)
        for k, (layout, colour) in enumerate(LAYOUTS.items())
    }
    plots.curves(right, forward["densities"], stored, ylabel="megabytes", title="Memory of the weights", density=True)
    return fig
