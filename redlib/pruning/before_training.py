"""Nets pruned before they are trained: masks by name, and how many weights each layer keeps on the way down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.allocation import erk_counts, keep_global, layer_counts, random_masks, shapes_of
from redlib.pruning.criteria import Context, context_of, score, synflow
from redlib.pruning.masks import Tensors, dense, kept_by_layer, weights_of

RANKED = {"snip": "snip", "grasp": "grasp", "magnitude": "large_init"}
"""Name -> criterion of what ranks all weights of the net once, together, as the papers do."""


def masks_at_start(
    name: str, initial: StackedMLP, total: int, batch: tuple[Tensor, Tensor], rounds: int = 100
) -> Tensors:
    """Return masks that keep `total` weights of an untrained net (`random` and `erk`: to rounding).

    snip, grasp and magnitude are one ranking over all layers, synflow `rounds` of them; `random` keeps the same
    fraction of every layer, `erk` shares weights out as Erdős–Rényi nets do (Evci et al. 2020), at random. `batch` is
    what SNIP and GraSP look at. BadInput for another name, EmptyLayer where a layer is emptied.
    """
    shapes = shapes_of(weights_of(initial))
    density = total / sum(prod(shape) for shape in shapes.values())
    if name in ("random", "erk"):
        kept = layer_counts(shapes, density) if name == "random" else erk_counts(shapes, density)
        return random_masks(shapes, kept, initial.seeds, key=total)
    if name == "synflow":
        return synflow(initial, density, rounds)
    if name not in RANKED:
        known = [*RANKED, "synflow", "random", "erk"]
        raise BadInput.of("criterion before training", name, f"one of {known}", "Name one of these.")
    return keep_global(score(RANKED[name], context_of(initial, batch=batch)), total)


def kept_by_rank(scores: Mapping[str, Tensor], weights: Sequence[int]) -> np.ndarray:
    """Return [R, T, layers]: how many of the weights[t] best are in each layer, ties as in `keep_global`."""
    layer = torch.cat([torch.full((values[0].numel(),), i) for i, values in enumerate(scores.values())])
    order = torch.cat([values.flatten(1) for values in scores.values()], 1).argsort(stable=True, dim=1, descending=True)
    running = functional.one_hot(layer)[order].cumsum(1)
    return running[:, torch.tensor(weights) - 1].numpy()


def kept_by_synflow(context: Context, weights: Sequence[int]) -> np.ndarray:
    """Return [R, T, layers]: the same for iterative SynFlow that goes through these numbers of weights one by one.

    On a log-spaced grid it is the schedule of Tanaka et al. 2020, algorithm 1, seen at every step.
    """
    masks, found = dense(context.initial), []
    for total in weights:
        scores = score("synflow", replace(context, masks=masks))
        masks = keep_global(scores, total, allow_empty=True)
        found.append(kept_by_layer(masks))
    return np.stack(found, 1)
