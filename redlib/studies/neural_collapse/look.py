"""One look at nets that collapse: everything the study measures at a moment of training, by name.

Numbers are [R], one for each replicate, or [R, n]. `told` [R, n] are the labels that each net was told.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from redlib.experiments.lab import groups_of, repeated
from redlib.measures.collapse import class_means, collapse, mean_spectrum, nc1_among, ncc_mismatch
from redlib.measures.layers import Net, classifier_of, last_layers, layers_of, replicates_of
from redlib.measures.neighbours import nearest_neighbours, same_class_fraction
from redlib.measures.robustness import gap_spread, margins
from redlib.measures.simplex import cosines
from redlib.nets import StackedMLP
from redlib.training import Examples

Numbers = dict[str, Tensor]
Parts = Mapping[str, Examples]
CONFIDENT = 0.99
NEIGHBOURS = (5, 30)  # the slides' number and that of Doimo et al. (2020)
STEPS = tuple(np.geomspace(1e-2, 3, 36).tolist())  # largest change of an input, in the units the net sees
HALVINGS = 6  # of the way between two of them, so that few margins tie
FINEST = STEPS[0] / 2**HALVINGS


def ends(net: Net, parts: Parts, told: Tensor, classes: int) -> Numbers:
    """Return NC1 to NC4 of the features, NC1 of the logits, both of test data too, and what outputs say.

    Where a label is wrong, also NC1 of the examples so mislabelled; of unpruned stacks the alignment by layer [R, n],
    the mean |cosine| over all pairs of units' weight vectors.
    """
    (x, true), test = seen(parts["train"], groups_of(net)), parts["test"]
    (features, logits), (unseen, guesses) = last_layers(net, x, own=True), last_layers(net, test.x)
    classifier, means = classifier_of(net), class_means([(features, told)], classes)
    found = collapse([(features, told)], classes, classifier) | {
        "test_nc1": collapse([(unseen, test.y)], classes)["nc1"],
        "test_nc4": ncc_mismatch([(unseen, test.y)], means, *classifier),
        "logit_nc1": collapse([(logits, told)], classes)["nc1"],
        "strength": mean_spectrum(means),
        "train_error": (logits.argmax(2) != told).double().mean(1),
        "test_error": (guesses.argmax(2) != test.y).double().mean(1),
        "confident": (logits.softmax(2).amax(2) > CONFIDENT).double().mean(1),
        "logit_norm": logits.norm(dim=2).mean(1).double(),
        "gap_spread": gap_spread(logits, told),
    }
    if (wrong := told != true).any():
        found["mislabelled_nc1_told"] = nc1_among(features, told, wrong, classes)
        found["mislabelled_nc1_true"] = nc1_among(features, true, wrong, classes)
    if isinstance(net, StackedMLP) and net.masks is None:
        found["alignment"] = torch.stack([cosines(w).abs().mean(1) for w in net.weights], 1)
    return found


def chi(net: Net, parts: Parts, count: int) -> Numbers:
    """Return the share of same-class neighbours of `count` examples of each part, by layer: chi<k>_<part> [R, layers].

    The inputs are the first layer, the logits the last one.
    """
    found = {}
    for name, part in parts.items():
        x, y = seen(part, groups_of(net), count)
        near = [nearest_neighbours(layer.flatten(2), max(NEIGHBOURS)) for layer in layers_of(net, x, own=True)]
        for k in NEIGHBOURS:
            shares = [same_class_fraction(layer[:, :, :k], y) for layer in near]
            found[f"chi{k}_{name}"] = torch.stack(shares, 1)
    return found


def margin(net: Net, part: Examples, count: int) -> Tensor:
    """Return the median over examples of the smallest step along the gradient sign that changes a decision [R]."""
    steps = margins(replicates_of(net), part.x[:count], part.y[:count], STEPS, HALVINGS)
    return steps.clamp(max=STEPS[-1]).median(1).values


def seen(part: Examples, replicates: int, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the first `count` examples that each net sees, and their true labels: x [R, n, ...] and y [R, n]."""
    rows, y = repeated(part, replicates).table(replicates)
    x = part.x[:count].expand(replicates, *part.x[:count].shape) if part.rows is None else part.x[rows[:, :count]]
    return x, y[:, :count]
