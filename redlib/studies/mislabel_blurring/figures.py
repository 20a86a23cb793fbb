"""The figures of the study of mislabelled data under blur.

`main` and the rest are as in `claims`: axes [S, rates, ...]. Rates above the claimed transition are warm and solid,
those below it blue and dashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.data import Dataset
from redlib.data.blur import blur_matrix, odd_size
from redlib.evidence import stats
from redlib.experiments.results import Results
from redlib.measures.blurcurves import random_curves
from redlib.measures.robustness import pixels
from redlib.plots import COLOURS, panels
from redlib.studies.mislabel_blurring import claims
from redlib.studies.mislabel_blurring.claims import Floats, changed

WARM, COLD = ("warm-1", "warm-2", "warm-3", "warm-4"), ("cold-1", "cold-2", "cold-3")  # of `plots.SHADES`
GROUPS = {"mislabelled": ("mislabelled", "orange"), "clean": ("correctly labelled", "blue")}
NETS = {"conv": "conv net", "residual": "residual net", "mlp": "MLP", "sgd": "trained by SGD"}
CHANGES = {"gradient": "gradient step"}
ANY, SHARE = (0.0, np.inf), (0.0, 100.0)  # what counts and shares in per cent can be
PICTURES = {"mislabelled": 4, "clean": 8}  # images of each rate that the explorer shows
BORDERS = {"reflect": "mirrored", "replicate": "repeated", "zero": "black", "circular": "wrapped around"}
Row = tuple[Floats, str]


def name(k: int) -> str:
    """Return what a rate is called."""
    return f"1 in {k}"


def lines(main: Results, values: Floats) -> dict[str, tuple[Floats, str, dict[str, str]]]:
    """Return curves [S, rates, X] by the names of the rates, each in its style, as `plots.curves` takes them."""
    warm, cold = cycle(WARM), cycle(COLD)
    order = [main.labels["rate"].index(k) for k in sorted(main.labels["rate"])]
    return {
        name(main.labels["rate"][i]): (values[:, i], next(warm), {"linestyle": "-"})
        if claims.above(main)[i]
        else (values[:, i], next(cold), {"linestyle": "--"})
        for i in order
    }


def rows(main: Results, values: Floats) -> dict[str, Row]:
    """Return numbers [S, rates] by the names of the rates, as `plots.dot_rows` takes them."""
    return known({label: row[:2] for label, row in lines(main, values).items()})


def known(every: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows without seeds that have no value (NaN), and without rows where none has one."""
    found = {label: (values[np.isfinite(values)], colour) for label, (values, colour) in every.items()}
    return {label: row for label, row in found.items() if len(row[0])}


def over_blur(ax: Axes, results: Results, named: Mapping[str, Any], title: str = "", **more: Any) -> None:
    """Draw curves over the blur, by default of changed decisions, without seeds and markers."""
    words: dict[str, Any] = {"xlabel": "blur (pixels)", "ylabel": "changed decisions (%)", "seeds": False, "marker": ""}
    plots.curves(ax, claims.blurs(results), named, title=title, **({"within": SHARE} | words | more))


def both_groups(results: Results, kind: str = "", **line: str) -> dict[str, Any]:
    """Return the curves of changed decisions of both groups at one rate, as `plots.curves` takes them."""
    return {f"{kind}{label}": (changed(results, group), tint, line) for group, (label, tint) in GROUPS.items()}


def ends(main: Results) -> list[tuple[str, Results]]:
    """Return (name, results) of the highest and of the lowest rate."""
    rates = main.labels["rate"]
    return [(name(k), main.at(rate=k)) for k in (min(rates), max(rates))]


def fit(main: Results) -> Figure:
    """Return how many mislabelled images are not yet learned over the epochs, and the epochs to the criterion."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    lost = lines(main, 100 * main["wrong_mislabelled"] / claims.counts(main)[..., :1])
    plots.curves(left, main["epochs"], lost, xlabel="epoch", ylabel="mislabelled images not yet learned (%)", marker="",
                 title="When are wrong labels learned?", within=SHARE)  # fmt: skip
    plots.dot_rows(right, rows(main, claims.epochs_to_fit(main)), "epochs to 99.9% of all labels",
                   title="How long does a net take?", within=ANY)  # fmt: skip
    return fig


def gap(main: Results) -> Figure:
    """Return how many images of each group are lost when a net first meets the criterion."""
    fig, axes = panels(2, width=11)
    for ax, lost, (label, _) in zip(axes, np.moveaxis(claims.events(main), 2, 0), GROUPS.values(), strict=True):
        plots.dot_rows(ax, rows(main, lost), "images lost at the fit", 0, label.capitalize(), ANY)
    return fig


def one_net(main: Results) -> Figure:
    """Return the first net's curves at the highest and the lowest rate, with Wilson's intervals over its images.

    They tell what other images would do to this net, and nothing of other nets.
    """
    fig, axes = panels(2, width=11)
    for ax, (rate, results) in zip(axes, ends(main), strict=True):
        over_blur(ax, main, both_groups(results.first(1)), f"{rate}, first seed")
        for group, (_, colour) in GROUPS.items():
            pred = results["train"][0][:, claims.learned(results, group)[0]]
            _, low, high = 100 * stats.wilson_band((pred != pred[:1]).sum(1), pred.shape[1])
            ax.fill_between(claims.blurs(main), low, high, color=COLOURS[colour], alpha=0.2, linewidth=0)
    return fig


def treatment(main: Results) -> Figure:
    """Return the curves of both groups at the highest rate, their difference, and where mislabelled images go."""
    fig, (left, middle, right) = panels(3, width=13, height=4)
    (rate, top), _ = ends(main)
    over_blur(left, main, both_groups(top), f"{rate} wrong")
    apart = {"mislabelled less clean": (claims.difference(main), "purple")}
    over_blur(middle, main, apart, "Difference, all rates", ylabel="points", seeds=True,
              within=(-100, 100))  # fmt: skip
    middle.axhspan(-5, 5, color=COLOURS["grey"], alpha=0.2, linewidth=0)
    moved = {"changed": (changed(top, "mislabelled"), "orange"), "to the true class": (claims.returned(top), "green")}
    over_blur(right, main, moved, "Where do they go?", ylabel="mislabelled images (%)")
    return fig


def rough(main: Results, first: int) -> Figure:
    """Return the mislabelled images' curve of the first net beside those of equally many clean ones, at two rates.

    And by how much these curves zigzag beyond those of clean images at every rate; `first` is the first seed.
    """
    fig, (*both, right) = panels(3, width=13.5, height=3.8)
    zigzags = rows(main, claims.zigzag_excess(main, first=first))
    plots.dot_rows(right, zigzags, "mislabelled less clean (points)", zero=0, title="How far do they zigzag?")
    for ax, (rate, results) in zip(both, ends(main), strict=True):
        _, moved, labels, wanted = claims.pools(results, 0)
        ax.set_title(f"{rate}, first seed")
        if not wanted.sum():
            ax.text(0.5, 0.5, "no wrong label was learned", transform=ax.transAxes, ha="center")
            continue
        drawn = 100 * random_curves(moved, labels, wanted, draws=30, seed=0).T
        ax.plot(claims.blurs(main), drawn, color=COLOURS["grey"], linewidth=0.6, alpha=0.6)
        ax.plot([], color=COLOURS["grey"], label="as many clean images")
        own = {"mislabelled": (changed(results, "mislabelled")[:1], "orange")}
        over_blur(ax, main, own, f"{rate}, first seed")
    return fig


def phase(main: Results) -> Figure:
    """Return the curves of both groups at every rate, and the mean change of every net against its rate."""
    fig, (*both, right) = panels(3, width=13.5, height=4.4)
    for ax, group in zip(both, ("clean", "mislabelled"), strict=True):
        over_blur(ax, main, lines(main, changed(main, group)), GROUPS[group][0].capitalize(), legend="")
        ax.axvspan(claims.LOW, claims.HIGH, color=COLOURS["grey"], alpha=0.12, linewidth=0)
        ax.set_ylim(-2, 102)
    both[1].legend(ncols=2, fontsize=9)
    for k in main.labels["rate"]:
        values, tint, _ = lines(main, claims.changed_area(main))[name(k)]
        right.plot([100 / k] * len(values), values, "o", color=plots.paint(tint), alpha=0.75, markersize=7)
    plots.log_axis(right, [round(100 / k, 2) for k in main.labels["rate"]], "wrong labels (%)")
    plots.mark(right, 100 / (70 * 80) ** 0.5, "the source's\ntransition")
    right.set(ylabel="changed between 1.3 and 4 pixels (%)", title="Correctly labelled, one dot a net")
    right.margins(y=0.2)
    right.tick_params(axis="x", rotation=90, labelsize=9)
    return fig


def chance(found: claims.Chance) -> Figure:
    """Return which model is best, where the step is, and how often single runs split, from `claims.by_chance`."""
    fig, (left, middle, right) = panels(3, width=13, height=3.6)
    for kind, shift, label, tint in (("best", -0.2, "seeds", "blue"), ("noise", 0.2, "pure noise", "grey")):
        left.bar(np.arange(3) + shift, found[kind].values(), 0.38, color=COLOURS[tint], label=label)
    left.set(xticks=range(3), xticklabels=[*found["best"]], ylabel="best by BIC (%)", title="Which model?")
    left.legend()
    for ax, kind in ((middle, "place"), (right, "split")):
        ax.bar([*found[kind]], found[kind].values(), color=COLOURS["blue"])
        ax.tick_params(labelsize=9)
    middle.set(ylabel="resampled seeds (%)", title="Where is the step?")
    right.set(ylabel="single runs that split (%)", title="A split by chance")
    return fig


def slopes(main: Results) -> Figure:
    """Return the slope of changed decisions beyond 1.3 pixels by rate."""
    fig, (ax,) = panels(width=8, height=3.2)
    plots.dot_rows(ax, rows(main, claims.slopes(main)), "slope between 1.3 and 4 pixels (points a pixel)")
    return fig


def kernel(found: Results) -> Figure:
    """Return the spread that an unlimited blur leaves within images, by what lies beyond the border."""
    fig, (ax,) = panels(width=8, height=2.6)
    left = {BORDERS[at.removeprefix("limit_")]: (values, "blue") for at, values in found.items() if at != "correlation"}
    plots.dot_rows(ax, left, "spread within an image over its mean, σ = 10⁴ pixels", zero=0)
    return fig


def unseen(main: Results) -> Figure:
    """Return the curves of clean training images and of test images at the highest rate, and their difference."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    (rate, top), _ = ends(main)
    over_blur(left, main, {"clean": (changed(top, "clean"), "blue"), "unseen": (changed(top, "unseen"), "gold")},
              f"{rate} wrong")  # fmt: skip
    plots.dot_rows(right, rows(main, claims.unseen_extra(main)), "unseen less clean (points, 1.3 to 4 pixels)", zero=0,
                   title="Do unseen ones change more?")  # fmt: skip
    return fig


def elsewhere(numbers: Mapping[str, Floats]) -> Figure:
    """Return the gap and the drop of every setting of `claims.numbers_of`: blur in blue, other changes in orange."""
    fig, axes = panels(2, width=12.5, height=6.2)
    labels = "mislabelled less clean (points)", "the high rate less the low one, clean (points)"
    titles, settings = ("Do wrong labels change sooner?", "More wrong labels, more change?"), [*map(setting, numbers)]
    tints = ["blue" if each.endswith("blur") else "orange" for each in numbers]
    for ax, label, title, values in zip(axes, labels, titles, zip(*numbers.values(), strict=True), strict=True):
        found = known(dict(zip(settings, zip(values, tints, strict=True), strict=True)))
        plots.dot_rows(ax, found, label, zero=0, title=title)
    return fig


def setting(name: str) -> str:
    """Return what "net, change" of `claims.numbers_of` is called."""
    net, change = name.split(", ")
    return f"{NETS.get(net, net)}: {CHANGES.get(change, change)}"


def robust(hard: Results, standard: Results) -> Figure:
    """Return the curves of nets trained against attacks beside those of standard ones, and what flips their decisions.

    Both of one rate.
    """
    fig, (left, right) = panels(2, width=11, height=3.8)
    over_blur(left, hard, both_groups(standard, "standard, ") | both_groups(hard, "robust, ", linestyle="--"),
              "Under blur")  # fmt: skip
    flips = {
        "gradient": (100 * standard["flips_gradient"], "orange"),
        "random signs": (100 * standard["flips_random"], "grey"),
        "gradient, robust": (100 * hard["flips_gradient"], "green"),
    }
    step = "step of every pixel (of the largest grey value)"
    plots.curves(right, hard.labels["step"], flips, xlabel=step, ylabel="flipped test images (%)", seeds=False,
                 legend="end", title="Under a step", within=SHARE)  # fmt: skip
    return fig


def tickets(found: Results) -> Figure:
    """Return how many of the wrong labels tickets learn over their density, by rate."""
    fig, (ax,) = panels(width=8, height=3.8)
    learned = lines(found, found["mislabelled_accuracy"])
    words = {f"{label} labels wrong": curve for label, curve in learned.items()}
    plots.curves(ax, found["density"][0, 0], words, density=True, within=SHARE, legend="lower left",
                 ylabel="wrong training labels\nthat the ticket learns (%)")  # fmt: skip
    plots.density_axis(ax, found["density"][0, 0], "weights that the ticket keeps (%)")
    plots.mark(ax, claims.DENSITY, "a fifth of the weights", y=0.6)
    return fig


def explorer(main: Results, data: Dataset, start: tuple[int, float]) -> dict[str, Any]:
    """Return the arguments of `blur_explorer`: images of the first seed, decisions on them, curves of all seeds."""
    grid, width = claims.blurs(main).tolist(), data.train.x.shape[-1]
    nets = [main.at(rate=k) for k in main.labels["rate"]]
    shown = [pictures(results) for results in nets]
    return {
        "rates": [*map(name, main.labels["rate"])],
        "sigmas": grid,
        "pixels": np.stack([data.train.x[rows][:, 0].numpy() for rows in shown]),
        "told": np.stack([results["assigned"][0][rows] for results, rows in zip(nets, shown, strict=True)]),
        "true": np.stack([main["true"][rows] for rows in shown]),
        "predicted": np.stack([results["train"][0][:, rows] for results, rows in zip(nets, shown, strict=True)]),
        "curves": {
            label: tuple(np.stack([stats.mean_band(changed(results, group)) for results in nets], 1))
            for group, (label, _) in GROUPS.items()
        },
        "blurred_matrix": blur_matrix(width, pixels(grid, width), odd_size(width)).numpy(),
        "start": (name(start[0]), start[1]),
    }


def pictures(results: Results) -> Floats:
    """Return rows of the first mislabelled and clean images of the first seed, as many as PICTURES says."""
    found = claims.groups(results)
    return np.concatenate([np.flatnonzero(found[group][0])[:most] for group, most in PICTURES.items()])
