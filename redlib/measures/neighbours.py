"""Which examples are neighbours in a layer, whether they share a class, and whether another layer keeps them."""

from __future__ import annotations

import torch
from torch import Tensor

from redlib.data.numbers import strided, whole
from redlib.errors import BadInput
from redlib.measures.simplex import vector_stack

BLOCK = 2**22  # distances held at a time, 32 MiB


@torch.no_grad()
def nearest_neighbours(features: Tensor, k: int = 30) -> Tensor:
    """Return each example's k nearest others by Euclidean distance, nearest first: int64 [R, n, k].

    features: [n, p] or [R, n, p]. An example is never its own neighbour, even among duplicates of it. As they are
    sorted, `[..., :5]` are the five nearest. Which of several equally distant examples comes first depends on
    their positions alone, so shuffle the examples where many coincide. Distances are taken in float64 from
    centred features, a block at a time: O(n·(p + k)) extra memory. Raises BadInput unless 1 <= k < n, and for
    non-finite features.
    """
    stack = vector_stack(features, "features")
    if not 1 <= k < stack.shape[1]:
        raise BadInput.of("k", k, f"1 <= k < {stack.shape[1]}, the number of examples", "Pass more examples.")
    k = whole("k", k, 1, "Round it.")
    return torch.stack([_nearest(x - x.mean(0), k) for x in stack])


def same_class_fraction(neighbours: Tensor, labels: Tensor) -> Tensor:
    """Return the share in [0, 1] of neighbours with the example's own label, averaged over the examples: [R].

    neighbours: int64 [R, n, k] from `nearest_neighbours`; labels: integers [n] or [R, n]. This is χ between a layer
    and the ground truth (Doimo et al. 2020, with k = 30): 1 where each class lies apart, on average (n_c - 1)/(n - 1),
    about 1/C, where labels and features are unrelated.
    """
    count, n, _ = _indices(neighbours).shape
    if strided(labels, "labels").is_floating_point() or tuple(labels.shape) not in ((n,), (count, n)):
        given = (str(labels.dtype), tuple(labels.shape))
        raise BadInput.of("labels", given, f"integers, {(n,)} or {(count, n)}", "One label per example.")
    rows = labels.expand(count, n)
    theirs = rows.gather(1, neighbours.flatten(1)).view_as(neighbours)
    return (theirs == rows[:, :, None]).double().mean((1, 2))


def neighbourhood_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the share in [0, 1] of each example's neighbours that two layers have in common, on average: [R].

    first, second: int64 [R, n, k] from `nearest_neighbours` of the same examples. This is χ between two layers
    (Doimo et al. 2020): 1 if they keep all neighbours, k/(n - 1) on average if they are unrelated.
    """
    if _indices(first).shape != _indices(second).shape:
        shapes = (tuple(first.shape), tuple(second.shape))
        raise BadInput.of("shapes of neighbours", shapes, "two equal ones", "Use the same examples and k.")
    for neighbours in (first, second):
        ordered = neighbours.sort(2).values
        if bool((ordered[:, :, 1:] == ordered[:, :, :-1]).any()):
            raise BadInput.of("neighbours", "one twice", "k different ones", "Pass what nearest_neighbours returns.")
    both = torch.cat([first, second], 2).sort(2).values  # a neighbour in both now stands beside itself
    return (both[:, :, 1:] == both[:, :, :-1]).double().sum(2).mean(1) / first.shape[2]


def _nearest(x: Tensor, k: int) -> Tensor:
    """Return the neighbours of centred float64 x [n, p]: [n, k]."""
    squares, size = x.square().sum(1), max(1, BLOCK // len(x))
    found = []
    for at in range(0, len(x), size):
        rows = x[at : at + size]
        nearness = torch.addmm(squares, rows, x.T, beta=-1, alpha=2)  # ‖row‖² - distance²
        nearness.diagonal(at).fill_(-torch.inf)
        found.append(nearness.topk(k, 1).indices)
    return torch.cat(found)


def _indices(neighbours: Tensor) -> Tensor:
    if neighbours.dtype != torch.int64 or neighbours.dim() != 3 or 0 in neighbours.shape:
        given = (str(neighbours.dtype), tuple(neighbours.shape))
        raise BadInput.of("neighbours", given, "int64, [R, n, k]", "Pass what nearest_neighbours returns.")
    low, high = int(neighbours.min()), int(neighbours.max())
    if low < 0 or high >= neighbours.shape[1]:
        allowed = f"0 ... {neighbours.shape[1] - 1}, the examples"
        raise BadInput.of("neighbours", (low, high), allowed, "Pass what nearest_neighbours returns.")
    return neighbours
