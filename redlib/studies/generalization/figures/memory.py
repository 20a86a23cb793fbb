"""The figures on memorising: five versions of the data, random and wrong labels, regularisers, CDR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.evidence.stats import mean_interval, slope_per_seed
from redlib.experiments.results import Results
from redlib.plots.style import COLOURS, paint, panels
from redlib.studies.generalization import claims
from redlib.studies.generalization.claims import Floats

VERSIONS: Mapping[str, tuple[str, str, str]] = {  # version: what it is called, colour and style of its line
    "true_labels": ("true labels", "blue", "-"),
    "random_labels": ("random labels", "orange", "-"),
    "shuffled_pixels": ("shuffled pixels", "green", "--"),
    "random_pixels": ("random pixels", "purple", "-"),
    "gaussian": ("Gaussian noise", "gold", "--"),
}
SHARE_COLOURS = "cold-2", "cold-3", "warm-4", "warm-3", "warm-2"  # colours of shares of random labels, none first
CDR_ARMS = {"plain": ("plain", "orange"), "critical": ("CDR", "blue"), "at random": ("as many at random", "grey")}
REGULARISERS = {"decay": "weight decay", "dropout": "dropout", "norm": "batch norm", "shift": "shifts by a pixel",
                "order": "another order of images"}  # fmt: skip
STEP_TICKS = 1, 3, 10, 30, 100, 300, 1000
SMALL_FACTOR = 10  # times: below that a factor is "small", as the check of GEN-2 has it
LINES_ALONE: dict[str, Any] = {"seeds": False, "marker": ""}


def over_steps(ax: Axes, run: Results, named: Mapping[str, tuple[Any, ...]], title: str, **how: Any) -> None:
    """Draw curves [S, T] of a run over its steps, on a log axis."""
    ticks = [step for step in STEP_TICKS if step <= run["steps"][-1]]
    plots.curves(ax, run["steps"], named, log2=ticks, xlabel="step of training", title=title, **LINES_ALONE | how)


def error_at_end(run: Results) -> Floats:
    """Return the test error in per cent at the last look."""
    return 100 * claims.at_end(run, "test_error")


def five_versions(conv: Results, mlp: Results) -> Figure:
    """Return the training errors of both kinds of nets on the five versions over steps, and their test accuracies."""
    fig, (*lefts, right) = panels(3, width=13, height=4)
    titles = {"Conv net: can it fit anything?": conv, "MLP: can it?": mlp}
    for ax, (title, run) in zip(lefts, titles.items(), strict=True):
        errors = {
            name: (100 * run.at(version=version)["train_error"], colour, {"linestyle": style})
            for version, (name, colour, style) in VERSIONS.items()
        }
        over_steps(ax, run, errors, title, ylabel="wrong in training (%)" if run is conv else "",
                   within=(0, 100), legend="")  # fmt: skip
        ax.set_ylim(-3, 100)
    fig.legend(*lefts[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(VERSIONS))
    rows = {
        f"{name}, {net}": (100 - error_at_end(run.at(version=version)), colour)
        for version, (name, colour, _) in VERSIONS.items()
        for net, run in (("conv net", conv), ("MLP", mlp))
    }
    plots.dot_rows(right, rows, "test accuracy (%)", title="And new images?")
    right.set_xlim(0, 100)
    plots.mark(right, claims.CHANCE, "guessing", y=0.99)
    return fig


def waited(run: Results) -> tuple[Floats, np.ndarray]:
    """Return the steps to 99% training accuracy [S, shares], and which runs ended before: their steps are all of it."""
    steps = claims.first_time(run["steps"], run["train_error"], claims.LEARNED)
    return np.where(np.isnan(steps), run["steps"][-1], steps), np.isnan(steps)


def censored_band(ax: Axes, x: Floats, values: Floats, ended: np.ndarray, name: str, colour: str,
                  named: bool = True, **line: Any) -> None:  # fmt: skip
    """Draw values [S, X] as a band; those that `ended` are only known to be larger and get an open arrow.

    The mean counts them as if they were no larger.
    """
    plots.band(ax, x, values, name, colour, **line)
    if ended.any():
        seeds, places = np.nonzero(ended)
        ax.plot(x[places], values[seeds, places], "^", color=paint(colour), mfc="none", markersize=9,
                label="no less: the run ended" if named else "_")  # fmt: skip


def slow_down(few: Results, many: Results, images: tuple[int, int]) -> Figure:
    """Return the steps to 99% by number of images on true and random labels, and their ratio by share of random labels.

    `images` are the numbers of training images of the two runs.
    """
    fig, (left, right) = panels(2, width=11, height=3.8)
    for ax in (left, right):
        ax.set_yscale("log")
    found, x = [waited(few), waited(many)], np.array(images)
    for name, at, colour in (("true labels", 0, "blue"), ("random labels", -1, "orange")):
        steps, ended = (np.stack([each[what][:, at] for each in found], 1) for what in (0, 1))
        slope = claims.power(x, steps).mean()
        censored_band(left, x, steps, ended, f"{name}: as images$^{{{slope:.1f}}}$", colour)
    for size, run, (steps, ended), colour in zip(images, (few, many), found, ("sky", "purple"), strict=True):
        shares = 100 * np.array(run.labels["share"])
        style = "-" if len(shares) > 2 else "--"  # between its ends a dashed line is no measurement
        censored_band(right, shares, steps / steps[:, :1], ended, f"{size} images", colour, False, linestyle=style)
    plots.log_values(left, (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000))
    plots.log_axis(left, images, "training images")
    left.set(xlim=(0.85 * x[0], x[-1] / 0.85), ylabel="steps to 99% in training", title="How long does fitting take?")
    plots.level(right, SMALL_FACTOR, "ten times", style="--")
    plots.log_values(right, (0.5, 1, 2, 5, 10, 20, 50))
    right.set(xlabel="random labels (%)", ylabel="steps / steps on true labels", title="How many times as long?")
    left.legend(loc="upper left")
    plots.end_labels(right)
    return fig


def error_stopped(run: Results) -> Floats:
    """Return the test error in per cent at the least validation loss."""
    return 100 * claims.at_best(run, "test_error", "validation_loss")


def shares_of_random_labels(run: Results) -> Figure:
    """Return the test error by share of random labels when fitted, stopped early, and looked up; and over steps."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    shares = 100 * np.array(run.labels["share"])
    errors: dict[str, Any] = {
        "fitted": (error_at_end(run), "orange"),
        "stopped early": (error_stopped(run), "blue"),
        "nearest neighbour": (100 * run["nearest"], "grey", {"linestyle": "--"}),
    }
    guessing = 100 - claims.CHANCE
    plots.curves(left, shares, errors, xlabel="random labels (%)", ylabel="test error (%)", legend="",
                 title="How much harm do random labels do?")  # fmt: skip
    left.legend(loc="upper left", bbox_to_anchor=(0, 0.87))
    moments = {
        f"{share:g}% random": (100 * run.at(share=at)["test_error"], colour)
        for share, at, colour in zip(shares, run.labels["share"], SHARE_COLOURS, strict=False)
    }
    over_steps(right, run, moments, "When do they do it?", legend="end", within=(0, 100))
    for ax in (left, right):
        ax.set_ylim(-3, 102)
        plots.level(ax, guessing)
    left.annotate("guessing", (0, guessing), xytext=(0, 3), textcoords="offset points", fontsize=9.5)
    return fig


def wrong_labels(run: Results) -> Figure:
    """Return errors over steps with and without wrong labels, and test errors at the end beside a look-up's."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    shares = run.labels["share"]
    clean, noisy = (run.at(share=share) for share in (shares[0], shares[-1]))
    told = f"{shares[-1]:.0%} wrong"
    moments = {
        f"training images, {told}": (100 * noisy["train_error"], "orange", {"linestyle": "--"}),
        f"new images, {told}": (100 * noisy["test_error"], "orange"),
        "new images, none wrong": (100 * clean["test_error"], "blue"),
    }
    over_steps(left, run, moments, "What happens as the wrong labels are fitted?", ylabel="error (%)",
               within=(0, 100), legend="upper right")  # fmt: skip
    left.set(xlim=(4, None), ylim=(0, 40))
    rows = {
        "net, none wrong": (error_at_end(clean), "blue"),
        f"net, {told}": (error_at_end(noisy), "orange"),
        f"net, {told}, stopped early": (error_stopped(noisy), "sky"),
        "nearest neighbour, none wrong": (100 * clean["nearest"], "grey"),
        f"nearest neighbour, {told}": (100 * noisy["nearest"], "grey"),
    }
    plots.dot_rows(right, rows, "test error (%)", title="Does the net answer like a look-up?")
    plots.mark(right, 100 * shares[-1], "share of\nwrong labels", y=0.97)
    right.set_xlim(0, 1.2 * right.get_xlim()[1])
    return fig


def arm_name(kind: str, strength: float, kinds: Iterable[str]) -> str:
    """Return what an arm is called, with its strength where there are several of a kind."""
    name = REGULARISERS[kind]
    return f"{name}, {strength:g}" if list(kinds).count(kind) > 1 else name


def regularisers(true: Results, random: Results) -> Figure:
    """Return the test accuracy of each arm less none's, and its share of random labels not fitted.

    The band is the 95% interval of nets that differ from "none" by the order of their examples alone.
    """
    fig, (left, right) = panels(2, width=11.5, height=3.9)
    kinds = [kind for kind, _ in true.labels["arm"]]
    plain = true.at(arm=("none", 0))["test_error"]
    gains, missed = {}, {}
    for at, (kind, strength) in enumerate(true.labels["arm"]):
        if kind in REGULARISERS:
            name, colour = arm_name(kind, strength, kinds), "grey" if kind == "order" else "blue"
            gains[name] = 100 * (plain - true["test_error"][:, at]), colour
            missed[name] = 100 * random["train_error"][:, at], "grey" if kind == "order" else "orange"
    best = claims.chosen(true, *(kind for kind in REGULARISERS if kind != "order"))
    gains["best by validation"] = 100 * (plain - claims.of_arm(true["test_error"], best)), "green"
    missed["best by validation"] = 100 * claims.of_arm(random["train_error"], best), "green"
    plots.dot_rows(left, gains, "test accuracy, less none's (points)", zero=0, title="Does it help?")
    null = mean_interval(gains[REGULARISERS["order"]][0])
    left.axvspan(null.low, null.high, color=COLOURS["grey"], alpha=0.25, linewidth=0)
    plots.dot_rows(right, missed, "random labels not fitted (%)", title="Does it stop memorising?", within=(0, 100),
                   zero=100 - claims.CHANCE)  # fmt: skip
    right.tick_params(axis="y", labelleft=False)
    right.set_xlim(-2, 100)
    right.annotate("guessing", (100 - claims.CHANCE, 0.99), xycoords=("data", "axes fraction"), xytext=(-4, 0),
                   textcoords="offset points", fontsize=9.5, ha="right", va="top")  # fmt: skip
    return fig


def many_random_labels(main: Results, sizes: Mapping[int, Results]) -> Figure:
    """Return the test accuracy by random labels for each true one, and by true ones at the most random labels.

    `sizes` are runs by number of true labels, each with one `alpha`.
    """
    fig, (left, right) = panels(2, width=11, height=3.8)
    nets = {"stopped early": ("blue", claims.stopped), "last step": ("orange", last_accuracy),
            "nearest neighbour": ("grey", looked_up)}  # fmt: skip
    plots.curves(left, main.labels["alpha"], {name: (of(main), colour) for name, (colour, of) in nets.items()},
                 xlabel="random labels for each true one", ylabel="test accuracy (%)", legend="",
                 title="How many random labels can it stand?", levels={"guessing": claims.CHANCE})  # fmt: skip
    images = sorted(sizes)
    found = {name: np.concatenate([of(sizes[n]) for n in images], 1) for name, (_, of) in nets.items()}
    slope = slope_per_seed(np.log2(images), found["stopped early"]).mean()
    by_size = {f"{name}, {slope:+.1f} points a doubling" if name == "stopped early" else name: (found[name], colour)
               for name, (colour, _) in nets.items()}  # fmt: skip
    left.set_xticks(main.labels["alpha"])
    alpha = sizes[images[0]].labels["alpha"][0]
    plots.curves(right, images, by_size, log2=images, xlabel="images, each with one true label", legend="",
                 title=f"At {alpha} random labels for each true one", levels={"": claims.CHANCE})  # fmt: skip
    right.legend(right.get_lines()[:1], [next(iter(by_size))], loc="upper left")
    for ax in (left, right):
        ax.set_ylim(0, 102)
    plots.end_labels(left)
    return fig


def last_accuracy(run: Results) -> Floats:
    """Return the test accuracy in points at the last look."""
    return 100 - error_at_end(run)


def looked_up(run: Results) -> Floats:
    """Return the accuracy in points of the nearest neighbour's label."""
    return claims.accuracy(run["nearest"])


def critical_weights(run: Results) -> Figure:
    """Return what plain training, CDR and its null memorise and answer over steps, and what CDR gains at the end."""
    fig, (left, middle, right) = panels(3, width=13, height=4)
    arms = {arm: run.at(arm=arm) for arm in CDR_ARMS}
    looks: dict[str, dict[str, tuple[Any, ...]]] = {"memorised": {}, "test_error": {}}
    for arm, (name, colour) in CDR_ARMS.items():
        looks["memorised"][name] = 100 * arms[arm]["memorised"], colour
        looks["test_error"][name] = claims.test_accuracy(arms[arm]), colour
    over_steps(left, run, looks["memorised"], "Are wrong labels memorised?", ylabel="wrong labels answered as told (%)",
               within=(0, 100), legend="upper left")  # fmt: skip
    over_steps(middle, run, looks["test_error"], "And new images?", ylabel="test accuracy (%)", within=(0, 100),
               legend="")  # fmt: skip
    stopped = {arm: claims.accuracy(claims.at_best(one, "test_error", "validation_error")) for arm, one in arms.items()}
    plots.level(middle, stopped["plain"].mean(), colour="orange", style="--")
    middle.annotate("plain, stopped early", (0.01, stopped["plain"].mean()), xycoords=("axes fraction", "data"),
                    xytext=(0, 3), textcoords="offset points", color=paint("orange"), fontsize=9.5)  # fmt: skip
    middle.set_ylim(0, 100)
    last = {arm: 100 - error_at_end(one) for arm, one in arms.items()}
    rows = {
        "over plain": (last["critical"] - last["plain"], "orange"),
        "over as many at random": (last["critical"] - last["at random"], "grey"),
        "over plain, stopped early": (last["critical"] - stopped["plain"], "gold"),
        "both stopped early": (stopped["critical"] - stopped["plain"], "sky"),
    }
    plots.dot_rows(right, rows, "test accuracy (points)", zero=0, title="What does CDR gain?")
    return fig
