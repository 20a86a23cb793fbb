"""The figures of the ticket study, one function each, what its explorer shows, and published numbers beside ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from redlib import plots
from redlib.experiments.chain import D3_6, D11, D13, D21, D51, masks_of_levels
from redlib.experiments.lab import Lab
from redlib.experiments.results import Results
from redlib.pruning.masks import Tensors, weights_of
from redlib.studies.lottery_tickets import claims
from redlib.studies.lottery_tickets.claims import Floats, accuracy, barriers, end

Rows = dict[str, tuple[Floats, str]]  # label: (accuracy per seed [S], colour)
ARMS = {"reinit": "orange", "random": "gold", "shuffled": "purple"}
CONTROLS = {  # arm: (label, colour), from the ticket down to what keeps nothing of it
    "dense": ("dense", "grey"), "ticket": ("ticket", "blue"), "late": ("ticket, late rewinding", "sky"),
    "finetuned": ("finetuned", "green"), "noise_half": ("initial weights + ½ sd", "sky"),
    "signed_constant": ("signed constant", "sky"), "keep_sign": ("keep sign, fresh sizes", "sky"),
    "noise_three": ("initial weights + 3 sd", "sky"), "frozen": ("cut weights frozen", "purple"),
    "patient": ("fresh weights, trained longer", "orange"), "reinit": ("fresh weights (reinit)", "orange"),
    "random": ("random mask", "gold"),
    "large_init": ("largest initial weights", "gold"),
}  # fmt: skip
NAMES = {"reinit": "fresh weights (reinit)", "random": "random mask", "shuffled": "shuffled mask"}  # of ARMS
LEARNED = {"initial": "initial", "signed_constant": "constant"}
COUNTS = 1, 2, 5, 10, 20  # small nets of which the best is taken
TEST = "test accuracy (%)"

# Published test accuracies in %. Densities: LeNet-300-100 after so many rounds (Frankle & Carbin 2019). Masks: MNIST,
# fully connected net (source document S1, after Zhou et al. 2019). MNIST-1D: the trials that the notebook of Greydanus
# & Kobak (2020) prints; its dense net was trained once in each arm of each trial, from the same weights, so that its
# range is the noise of a single run.
DENSITIES = {D51: 51.28, D21: 21.07, D13: 13.52, D3_6: 3.58}
MASKS = {
    "cut, initial weights": 79.3, "cut, signed constant": 86.3, "learned, initial": 95.3, "learned, constant": 96.4,
    "rescaled, initial": 97.8, "rescaled, constant": 98.0, "trained weights": 97.7,
}  # fmt: skip
DENSE_TRIALS = 60.6, 66.4, 61.4, 64.8
TRIALS = {  # kind of mask: {sparsity: trials}
    "magnitude": {0.80: (72.9, 72.1), 0.92: (75.6, 74.4), 0.95: (69.2, 70.5)},
    "random": {0.80: (68.6, 66.3), 0.92: (60.6, 61.8), 0.95: (55.9, 54.6)},
}


def shares(tickets: Results) -> Floats:
    """Return the share of all weights that each level of a chain keeps."""
    return np.asarray(tickets["density"].mean(0))


def main(tickets: Results, arms: Results) -> Figure:
    """Return accuracy at early stopping, at the end, and the early step, of tickets and arms by density."""
    density, at = shares(tickets), shares(tickets)[list(arms.labels["level"])]
    fig, axes = plots.panels(3, width=12.5)
    axes[2].set_yscale("log", base=2)
    reads = {
        "At early stopping": (accuracy, TEST),
        "At the end of training": (lambda found: accuracy(found, "final"), TEST),
        "Time to early stopping": (lambda found: found["early_step"], "steps"),
    }
    for ax, (title, (read, unit)) in zip(axes, reads.items(), strict=True):
        named: dict[str, Any] = {"ticket": (read(tickets), "blue")}
        named |= {NAMES[name]: (read(arms.at(arm=name)), ARMS[name], {"x": at}) for name in arms.labels["arm"]}
        dense, legend = {"dense": float(read(tickets.at(level=0)).mean())}, "best" if ax is axes[0] else ""
        plots.curves(ax, density, named, title=title, ylabel=unit, density=True, levels=dense, legend=legend)
    return fig


def controls(tickets: Results, arms: Results, others: Mapping[str, Results]) -> Figure:
    """Return the accuracy of all ways to start and mask a net with the weights that D11 rounds leave."""
    named = {"dense": tickets.at(level=0), "ticket": tickets.at(level=D11), **others}
    named |= {arm: arms.at(arm=arm, level=D11) for arm in arms.labels["arm"]}
    rows = {label: (accuracy(named[name]), colour) for name, (label, colour) in CONTROLS.items()}
    fig, (ax,) = plots.panels(1, width=7.5, height=5.2)
    plots.dot_rows(ax, rows, TEST, zero=accuracy(tickets.at(level=D11)).mean())
    return fig


def criteria(tickets: Results, one_cut: Results, patient: Results, ranked: Results) -> Figure:
    """Return rounds against one cut by density, and the criteria of one cut, grey where they do not beat chance."""
    density = shares(tickets)
    fig, (left, right) = plots.panels(2, width=11.5, height=3.8)
    at = {"x": density[list(one_cut.labels["level"])]}
    named: dict[str, Any] = {"iterative": (accuracy(tickets), "blue"), "one cut": (accuracy(one_cut), "orange", at)}
    plots.curves(left, density, named, ylabel=TEST, title="Rounds against one cut", density=True, legend="")
    left.plot(density[D11], accuracy(patient).mean(), "*", color=plots.paint("orange"), markersize=13,
              label="one cut, equal budget")  # fmt: skip
    left.legend(loc="lower left")
    values = {name: accuracy(ranked.at(criterion=name, level=D11)) for name in ranked.labels["criterion"]}
    chance = values["random"].mean()
    rows = {name.replace("_", " "): (v, "blue" if v.mean() > chance else "grey") for name, v in values.items()}
    best_first = dict(sorted(rows.items(), key=lambda item: -item[1][0].mean()))
    plots.dot_rows(right, best_first, TEST, chance, f"Criteria of one cut, {density[D11]:.1%} kept")
    return fig


def inside(weights: Sequence[Tensors], tickets: Results, cut_only: Results, ratio: Floats, null: Floats) -> Figure:
    """Return weights of one net, initial and trained; accuracy with and without retraining; movement and its null."""
    fig, (left, middle, right) = plots.panels(3, width=12.5)
    layer = claims.largest(weights[0])
    initial, final = (each[layer][0].flatten().numpy() for each in weights)
    shown = {"initial": (initial, "grey"), "trained": (final, "blue")}
    plots.histogram(left, shown, xlabel=f"weights of {spaced(layer)}, first seed", title="Before and after")
    named = {"cut, not retrained": (100 * cut_only["test_accuracy"], "orange")}
    named |= {"cut, rewound, retrained": (accuracy(tickets), "blue")}
    plots.curves(middle, shares(tickets), named, ylabel=TEST, density=True, seeds=False, title="Cut, and retrained")
    expected = null.mean(1)
    spread = {"selection alone": ((null / expected[:, None]).ravel(), "grey")}
    plots.histogram(right, spread, xlabel="movement ratio / its mean under the null", title="Do survivors move more?")
    plots.rug(right, ratio / expected, "measured, a stroke a seed")
    return fig


def spaced(layer: str) -> str:
    """Return the name of a layer in words: layer2 is "layer 2"."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", layer)


def crowding(crowds: Results, density: Floats) -> Figure:
    """Return how unevenly survivors lie on units, by layer and density, and how much they keep company."""
    titles = {"incoming": "Into a unit", "outgoing": "Out of a unit or input", "excess": "Mates of a survivor"}
    fig, axes = plots.panels(3, width=12.5)
    for ax, (side, title) in zip(axes, titles.items(), strict=True):
        colours = zip(crowds.labels["layer"], ("blue", "orange", "green"), strict=True)
        named = {spaced(name): (crowds.at(layer=name)[side], colour) for name, colour in colours}
        unit, chance = ("excess co-survival", 0.0) if side == "excess" else ("variance / chance", 1.0)
        plots.curves(ax, density[list(crowds.labels["level"])], named, title=title, ylabel=unit, density=True,
                     levels={"": chance}, legend="upper left" if ax is axes[-1] else "")  # fmt: skip
    return fig


def masks_alone(best: Results, learned: Results, trained: Results) -> Rows:
    """Return {label: (accuracy [S], colour)} of fixed and learned masks on untrained weights, and of training."""
    fixed = {"cut, initial weights": "ticket", "cut, signed constant": "signed_constant"}
    rows = {label: (100 * best.at(arm=arm)["test_accuracy"], "grey") for label, arm in fixed.items()}
    for word, rescale, colour in (("learned", False, "sky"), ("rescaled", True, "blue")):
        for weights, name in LEARNED.items():
            rows[f"{word}, {name}"] = 100 * learned.at(level=(weights, rescale))["test_accuracy"], colour
    return rows | {"trained weights": (accuracy(trained), "orange")}


def untrained(
    rows: Rows, popup: Results, trained: Results, candidates: Sequence[int], errors: Floats, dataset: str = ""
) -> Figure:
    """Return masks alone (on `dataset`), edge-popup by the share kept and width, and the error of pruning at random."""
    fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
    plots.dot_rows(left, rows, TEST, title=f"Masks alone, on {plots.data_name(dataset)}" if dataset else "Masks alone")
    colours = dict(zip(popup.labels["width"], ("sky", "blue", "purple"), strict=False))
    named = {f"width ×{w:g}": (100 * popup.at(width=w)["test_accuracy"], c) for w, c in colours.items()}
    plots.curves(middle, popup.labels["level"], named, xlabel="share of weights kept", ylabel=TEST,
                 title="Edge-popup (dotted: trained)")  # fmt: skip
    for width, colour in colours.items():
        plots.level(middle, float(accuracy(trained.at(level=width)).mean()), colour=colour)
    plots.curves(right, candidates, {"": (errors, "green")}, xlabel="random weights to choose from", logy=True,
                 ylabel="error of one neuron", title="Pruning to a target")  # fmt: skip
    return fig


def transfer(native: Mapping[str, Results], arms: Mapping[str, Results], carried: Mapping[Any, Results]) -> Figure:
    """Return native, carried and random sparse nets on other data and optimisers, and tickets by learning rate."""
    moved = {
        "other half of the data": ("first", "second"),
        "other data set": ("here", "away"),
        "other optimiser": ("large", "other"),
    }
    left, right = {}, {}
    for label, pair in moved.items():
        name = pair[1]
        left[f"{label}: its own ticket"] = accuracy(end(native[name])), "blue"
        left[f"{label}: ticket carried over"] = accuracy(end(carried[pair], arm="ticket")), "sky"
        left[f"{label}: random mask"] = accuracy(end(arms[name], arm="random")), "grey"
    for name in ("small", "large"):
        right[f"ticket, {name} rate"] = accuracy(end(carried[name, "patient"], arm="ticket")), "blue"
        right[f"fresh weights, {name} rate"] = accuracy(end(carried[name, "patient"], arm="reinit")), "orange"
    fig, axes = plots.panels(2, width=11.5, height=4.2)
    plots.dot_rows(axes[0], left, TEST, title="Carried over")
    plots.dot_rows(axes[1], right, TEST, title="By learning rate (SGD)")
    return fig


def sizes(found: Results, target: int, tickets: Results, small: Results, weights: int) -> Figure:
    """Return tickets of equal size by their starting net, and a ticket against the best of several small nets."""
    fig, (left, right) = plots.panels(2)
    grid = found.labels["level"]
    plots.curves(left, grid, {"": (accuracy(found), "blue")}, log2=grid, xlabel="weights of the starting net",
                 ylabel=TEST, title=f"Tickets of {target:,} weights")  # fmt: skip
    best = np.stack([claims.best_of(small, count) for count in COUNTS], 1)
    plots.curves(right, COUNTS, {"best of K small dense nets": (best, "orange")}, log2=COUNTS, xlabel="K",
                 title=f"Equal weights ({weights:,})", legend="")  # fmt: skip
    plots.level(right, accuracy(tickets.at(level=D11)).mean(), "ticket", "blue", "-")
    right.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
    return fig


def early(lines: Mapping[str, Results], flips: Results, tickets: Results, arms: Results, step: int) -> Figure:
    """Return barriers by step of parting, sign changes over training, and what changing early weights costs."""
    fig, (left, middle, right) = plots.panels(3, width=12.5)
    starts = next(iter(lines.values())).labels["level"]
    named = {name: (barriers(found), c) for (name, found), c in zip(lines.items(), ("grey", "blue"), strict=True)}
    plots.curves(left, range(len(starts)), named, xlabel="step at which two copies part", title="Linear barriers",
                 ylabel="barrier (points of error)", levels={"": claims.STABLE}, seeds=False)  # fmt: skip
    left.set_xticks(range(len(starts)), starts)
    steps, decades = flips["steps"], [10**k for k in range(6) if 10**k <= flips["steps"][-1]]
    rates = 100 * flips["changed"] / np.diff(steps, prepend=0)
    plots.curves(middle, steps, {"": (np.maximum(rates, 1e-4), "purple")}, xlabel="step", title="Do signs settle?",
                 ylabel="signs changed a step (%)", logy=(0.01, 0.03, 0.1, 0.3, 1, 3, 10), log2=decades,
                 marks={f"step {step}": step}, seeds=False, marker="")  # fmt: skip
    same, shuffled, blurred = (accuracy(arms.at(arm=arm, level=D11)) for arm in ("ticket", "reshuffled", "noise_one"))
    rows = {"ticket, step 0": (accuracy(tickets.at(level=D11)), "blue"), f"ticket, step {step}": (same, "blue")}
    rows |= {"its weights shuffled": (shuffled, "orange"), "its weights + 1 sd": (blurred, "orange")}
    plots.dot_rows(right, rows, TEST, title=f"What step {step} decides")
    return fig


def conv(chains: Mapping[int, Results], lines: Results, calm: Results, arms: Results) -> Figure:
    """Return conv tickets by density and rewind step, barriers by step of parting, and the arms of Conv-2."""
    fig, (left, middle, right) = plots.panels(3, width=12.5)
    named = {f"rewound to step {step}": (accuracy(found), colour)
             for (step, found), colour in zip(chains.items(), ("orange", "blue"), strict=True)}  # fmt: skip
    plots.curves(left, shares(chains[0]), named, ylabel=TEST, title="Late rewinding", density=True, seeds=False)
    starts = lines.labels["level"]
    plots.curves(middle, starts, {"": (barriers(lines), "purple")}, log2=starts, levels={"": claims.STABLE},
                 xlabel="step at which copies part", ylabel="barrier (points)", title="Conv net, dense")  # fmt: skip
    rows = {"dense": (accuracy(calm.at(level=0)), "grey"), "ticket": (accuracy(end(calm)), "blue")}
    rows |= {NAMES[arm]: (accuracy(end(arms, arm=arm)), ARMS[arm]) for arm in arms.labels["arm"]}
    plots.dot_rows(right, rows, TEST, title=f"Conv-2, {shares(calm)[-1]:.0%} kept")
    return fig


def explored(lab: Lab, tickets: Results, arms: Results, deepest: Results) -> tuple[Any, ...]:
    """Return (densities, weights of the first net by layer, last level of each weight, accuracies of the arms)."""
    levels, net = (0, *arms.labels["level"]), lab.nets()
    weights = {name: values[0].numpy() for name, values in weights_of(net).items()}
    masks = masks_of_levels(deepest.arrays, net, levels)
    last = {name: np.sum([masks[level][name][0].numpy() for level in levels], 0) - 1 for name in weights}
    dense = np.repeat(accuracy(tickets.at(level=0))[:, None], len(levels), 1)
    shown = {"ticket": (accuracy(tickets)[:, levels], "blue"), "dense": (dense, "grey")}
    for arm in arms.labels["arm"]:
        shown[arm] = np.concatenate([dense[:, :1], accuracy(arms.at(arm=arm))], 1), ARMS[arm]
    return shares(tickets)[list(levels)], weights, last, shown


def outside(tickets: Results, arms: Results, masks: Rows, published: Results | None) -> pd.DataFrame:
    """Return a table (quantity, published, ours), all in %: densities, masks without training, tickets on MNIST-1D.

    Where the protocol of MNIST-1D has not been run, ours are this study's own nets at the nearest densities.
    """
    density, rows = shares(tickets), []
    rows += [(f"density after {k} rounds", f"{share}", 100 * density[k]) for k, share in DENSITIES.items()]
    rows += [(f"mask: {name}", f"{MASKS[name]}", values.mean()) for name, (values, _) in masks.items()]
    if published is not None:
        rows.append(("MNIST-1D, dense", _listed(DENSE_TRIALS), published["dense"].mean()))
    for kind, trials in TRIALS.items():
        for share, values in trials.items():
            name = f"MNIST-1D, {kind} mask, {share:.0%} cut"
            if published is None:
                own = tickets if kind == "magnitude" else arms.at(arm="random")
                near = min(own.labels["level"], key=lambda level: abs(np.log(density[level] / (1 - share))))
                ours, name = accuracy(own.at(level=near), "final"), f"{name} (our net: {1 - density[near]:.0%})"
            else:
                ours = published.at(sparsity=share)[kind]
            rows.append((name, _listed(values), ours.mean()))
    return pd.DataFrame(rows, columns=["quantity", "published", "ours"]).round(1)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
