"""The figures of the neural-collapse study, and what its player of points shows.

Runs are `Results` of `runs.Terminal`, by names that `COLOURS` has; curves go over the epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.results import Results
from redlib.studies.neural_collapse.claims import at_end

Named = Mapping[str, Results]
COLOURS = {
    "squared error": "blue",
    "cross-entropy": "orange",
    "BatchNorm, decay": "green",
    "conv net": "purple",
    "squared error, no decay": "sky",
    "cross-entropy, decay": "gold",
    "BatchNorm": "grey",
}
FOUR = tuple(COLOURS)[:4]


def shown(runs: Named, names: Iterable[str] = FOUR) -> plots.Runs:
    """Return some of the runs with their colours."""
    return {name: (runs[name], COLOURS[name]) for name in names}


def simplex(runs: Named, noise: Sequence[float]) -> Figure:
    """Return how far class means are from a simplex, and how far those of pure noise would be."""
    words = {
        "nc2_norms": ("spread of the lengths", "Equal lengths?"),
        "nc2_angles": ("mean |cos + 1/(C−1)|", "Equal angles?"),
    }
    fig, axes = plots.epoch_panels(shown(runs, (*FOUR, "squared error, no decay")), words, legend="end")
    for ax, height in zip(axes, noise, strict=True):
        plots.level(ax, height)
        ax.annotate("pure noise", (1, height), va="bottom", fontsize=9.5)
    return fig


def disagreement(runs: Named, examples: int, tests: int) -> Figure:
    """Return NC4 on so many training and test examples, on a log axis: none is drawn as half an example."""
    fig, axes = plots.panels(2, width=11.4, height=3.8)
    parts = (("nc4", examples, "Training data"), ("test_nc4", tests, "Test data"))
    for ax, (name, count, title) in zip(axes, parts, strict=True):
        plots.over_epochs(ax, shown(runs), name, ylabel="disagreement (%)", title=title, scale=100, floor=50 / count,
                          within=(0, 100), legend="upper right" if ax is axes[0] else "")  # fmt: skip
    return fig


def reasons(runs: Named) -> Figure:
    """Return NC1 by loss, BatchNorm and decay, the strengths of the directions, and the spread of the logit gaps."""
    fig, (left, middle, right) = plots.panels(3, width=13, height=4)
    every = [name for name in COLOURS if name not in ("conv net", "squared error, no decay")]
    log = {name: (np.log10(at_end(runs[name], "nc1")), COLOURS[name]) for name in every}
    gaps = {name: (at_end(runs[name], "gap_spread"), COLOURS[name]) for name in every}
    some = {name: (at_end(runs[name], "strength"), COLOURS[name]) for name in FOUR[:3]}
    plots.dot_rows(left, log, "log10 of NC1 at the end", title="What collapses?")
    plots.curves(middle, range(1, 10), some, xlabel="direction between class means", title="Even strengths?")
    plots.dot_rows(right, gaps, "spread of the logit gaps, of their median", zero=0, title="Even pull?")
    middle.set(ylabel="strength, of the strongest", ylim=(0, 1.05))
    right.set_yticklabels([])
    return fig


def corners(runs: Named, widths: Results, widest: int) -> Figure:
    """Return who reaches the corners at which width, whether logits stop, and whether they cluster."""
    fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
    grid, plain = [*widths.labels["width"], widest], runs["cross-entropy"]
    shares = {
        label: (100 * np.column_stack([widths[name][..., -1], at_end(plain, name)]), colour)
        for label, name, colour in (("confident", "confident", "blue"), ("training error", "train_error", "orange"))
    }
    plots.curves(left, grid, shares, log2=grid, xlabel="units in each hidden layer", title="Who reaches the corners?")
    left.set(ylabel="training examples (%)", ylim=(-1, 103))
    long = shown(runs, ("cross-entropy", "cross-entropy, decay", "squared error"))
    plots.over_epochs(middle, long, "logit_norm", ylabel="length of the logits", title="Do logits stop?")
    both = {"features": (plain, "orange", "nc1"), "logits": (plain, "sky", "logit_nc1")}
    plots.over_epochs(right, both, ylabel="NC1", title="Do logits cluster?")
    return fig


def layers(runs: Named) -> Figure:
    """Return the share of same-class neighbours by depth, of the MLP before and after training, and of the conv net."""
    fig, axes = plots.panels(2, width=11, height=3.8)
    for ax, part, title in zip(axes, ("chi30_train", "chi30_test"), ("Training data", "Test data"), strict=True):
        main, conv = runs["squared error"][part], runs["conv net"][part]
        named = {
            "MLP": (main[:, -1], "blue"),
            "untrained MLP": (main[:, 0], "sky"),
            "conv net": (conv[:, -1], "purple"),
        }
        own = {label: (chi, tint, {"x": np.linspace(0, 1, chi.shape[1])}) for label, (chi, tint) in named.items()}
        plots.curves(ax, [], own, xlabel="depth (0: inputs, 1: logits)", ylabel="χ, of 30 neighbours", title=title)
    return fig


def weights(main: Results) -> Figure:
    """Return the mean |cosine| between weight vectors of each layer."""
    *hidden, last = range(main["alignment"].shape[2])
    names = {k: f"hidden layer {k + 1}" for k in hidden} | {last: "output layer"}
    runs = {name: (main.at(matrix=k), plots.CYCLE[k]) for k, name in names.items()}
    return plots.epoch_panels(runs, {"alignment": ("mean |cosine|", "Alignment of weight vectors")}, log=False)[0]


def wrong_labels(clean: Results, noisy: Results) -> Figure:
    """Return NC1 with and without wrong labels, and of the mislabelled images by the label told and the true one."""
    fig, (left, right) = plots.panels(2, width=11.5, height=4)
    both = {"clean": (clean, "blue"), "20% wrong": (noisy, "orange")}
    by = {
        "by the label told": (noisy, "orange", "mislabelled_nc1_told"),
        "by the true label": (noisy, "green", "mislabelled_nc1_true"),
    }
    plots.over_epochs(left, both, "nc1", ylabel="NC1, by the labels told", title="All training images")
    plots.over_epochs(right, by, title="Mislabelled images alone")
    return fig


def pruned(tickets: Results, dense: Results, ratios: Mapping[str, np.ndarray]) -> Figure:
    """Return NC1 of ticket, random mask and dense net, and the log2 ratios of NC1 to NC4 at the end."""
    fig, (left, right) = plots.panels(2, width=11.5, height=4)
    arms = {arm: (tickets.at(arm=arm), colour) for arm, colour in (("ticket", "blue"), ("random", "gold"))}
    plots.over_epochs(left, arms | {"dense": (dense, "grey")}, "nc1", ylabel="NC1", title="Training data")
    rows = {
        f"NC{k}: ticket / {other}": (ratios[f"log2_nc{k}_ticket_over_{other}"], colour)
        for other, colour in (("dense", "blue"), ("random", "gold"))
        for k in range(1, 5)
    }
    plots.dot_rows(right, rows, "log2 of the ratio, at the end", zero=0, title="Less than other nets?")
    return fig


def benefit(runs: Named, compared: Named) -> Figure:
    """Return test error and adversarial step over the epochs, and accuracy against NC1 of `compared` at the end."""
    fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
    plots.over_epochs(left, shown(runs), "test_error", ylabel="test error (%)", title="Does it generalise?", scale=100)
    some = shown(runs, FOUR[:2])
    plots.over_epochs(middle, some, "margin", ylabel="smallest step to another decision", log=False)
    middle.set_title("Is it robust?")
    for (label, run), tint in zip(compared.items(), plots.CYCLE, strict=False):
        nc1, accuracy, errs = at_end(run, "nc1"), 100 - 100 * at_end(run, "test_error"), at_end(run, "train_error") > 0
        right.plot(nc1, accuracy, "o", color=tint, markerfacecolor="none")
        right.plot(nc1[~errs], accuracy[~errs], "o", color=tint, label=label)
    ticks = [tick for tick in (3e-4, 1e-3, 3e-3, 0.01, 0.03) if tick < 2 * right.dataLim.x1]
    plots.log_axis(right, ticks, "NC1 at the end")
    right.set(ylabel="test accuracy (%)", title="Less NC1, better nets?")
    right.legend(fontsize=8.5)
    return fig


def frames(found: Results) -> list[str]:
    """Return what to write above each look of one net of a `Triangle` run."""
    errors = 100 * (found["logits"].argmax(2) != found["y"]).mean(1)
    looks = zip(found["epochs"], errors, found["nc1"], strict=True)
    return [f"epoch {epoch:g} · training error {error:.1f}% · NC1 {nc1:.2g}" for epoch, error, nc1 in looks]
