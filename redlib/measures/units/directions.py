"""Where weight vectors point: clusters of directions, distances to given ones, and what chance makes of both.

Vectors are rows, [N, d] or [R, N, d] for R replicates, with one seed for each replicate; results are float64,
replicates first. Angles are in degrees, in [0, 180]: a vector and its negative are opposite. All raise BadInput as
`simplex.vector_stack`, and those that concern directions for vectors that are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.simplex import vector_stack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KMEANS, GAUSSIAN, ROTATED = 92, 93, 94  # keys of the stream "eval", so that no other draw of a seed repeats these
ROUNDS = 300  # of k-means, which only rounding could let go round for ever
NOTHING = 1e-12  # a sum of unit vectors as short as this is rounding, and has no direction


@dataclass(frozen=True)
class Clusters:
    """Unit centres [R, k, d], the centre of each vector, int64 [R, N], and the angle to it in degrees [R, N]."""

    centres: Tensor
    labels: Tensor
    angles: Tensor


def spherical_kmeans(vectors: Tensor, k: int, seeds: Sequence[int], restarts: int = 10) -> Clusters:
    """Return the k clusters of directions with the largest mean cosine of vectors and centres (Dhillon & Modha 2001).

    The best of `restarts` runs, from k-means++ starts (Arthur & Vassilvitskii 2007). Centres are the directions of the
    sums of their unit vectors. The starts are scikit-learn's: between unit vectors, squared distances are 2 - 2·cos.
    Its KMeans itself is not used: its centres lie inside of the sphere, and vectors go to the nearest of those, which
    need not be the one at the least angle. BadInput unless 1 <= k <= N, and without restarts.
    """
    unit = _directions(vectors)
    if not 1 <= k <= unit.shape[1]:
        raise BadInput.of("k", k, f"1 <= k <= {unit.shape[1]}, the number of vectors", "Ask for fewer clusters.")
    k, restarts = whole("k", k, 1, "Round it."), whole("restarts", restarts, 1, "10 are usual.")
    _check_seeds(seeds, unit)
    sources = [rng(seed, "eval", KMEANS, k) for seed in seeds]
    runs = [_best(one.cpu().numpy(), k, source, restarts) for one, source in zip(unit, sources, strict=True)]
    centres, labels = (torch.from_numpy(np.stack(part)).to(unit.device) for part in zip(*runs, strict=True))
    own = centres.gather(1, labels[:, :, None].expand_as(unit))
    return Clusters(centres, labels, _angles(unit, own))


def silhouettes(vectors: Tensor, ks: Sequence[int], seeds: Sequence[int], restarts: int = 10) -> Tensor:
    """Return the mean silhouette of `spherical_kmeans` for every k, by the distance 1 - cos: [R, len(ks)] in [-1, 1].

    Rousseeuw 1987, as computed by scikit-learn: large where vectors lie closer to their own cluster than to the next.
    NaN where fewer than two clusters are not empty, as with fewer directions than k. BadInput unless all 2 <= k < N.
    """
    from sklearn.metrics import silhouette_score  # slow to import, needed here only

    unit = _directions(vectors)
    if not len(ks) or not all(2 <= k < unit.shape[1] for k in ks):
        raise BadInput.of("ks", list(ks), f"numbers 2 <= k < {unit.shape[1]}, the vectors", "Others have none.")
    found = unit.new_full((len(unit), len(ks)), torch.nan)
    for column, k in enumerate(ks):
        labels = spherical_kmeans(vectors, k, seeds, restarts).labels.cpu().numpy()
        for r, own in enumerate(labels):
            if len(np.unique(own)) > 1:
                found[r, column] = float(silhouette_score(unit[r].cpu().numpy(), own, metric="cosine"))
    return found


def matched_gaussian(vectors: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return as many Gaussian vectors of mean 0 with the second moments Σxxᵀ/N of those given: [R, N, d].

    A null for clusters: it has the lengths and the preferred axes of the vectors (on average), and no clusters within
    those. From the stream "eval" of each replicate's seed.
    """
    stack = vector_stack(vectors)
    # With X = QR, rows z·R/√N have the covariance RᵀR/N = XᵀX/N, and no root of a matrix is taken.
    roots = torch.linalg.qr(stack, mode="r").R / stack.shape[1] ** 0.5
    return _drawn(stack, seeds, GAUSSIAN, roots.shape[1]) @ roots


def rotated(vectors: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return the vectors, each turned by a uniformly random rotation of its own, of the same length: [R, N, d].

    A null for directions. From the stream "eval" of each replicate's seed.
    """
    stack = vector_stack(vectors)
    drawn = _drawn(stack, seeds, ROTATED, stack.shape[2])
    return drawn / drawn.norm(dim=2, keepdim=True) * stack.norm(dim=2, keepdim=True)


def concentration(vectors: Tensor, directions: Tensor) -> Tensor:
    """Return the mean angle in degrees between each vector and the nearest of `directions` [D, d]: [R].

    Vectors spread evenly in the plane are 22.5 degrees from four orthogonal directions on average. BadInput for fewer
    than two directions, and ones of another dimension.
    """
    unit, given = _directions(vectors), _directions(directions, "directions")
    if len(given) > 1 or given.shape[2] != unit.shape[2]:
        allowed = f"[D, {unit.shape[2]}], as the vectors"
        raise BadInput.of("shape of directions", tuple(directions.shape), allowed, "One direction per row.")
    apart = [_angles(unit, one.expand_as(unit)) for one in given[0].to(unit.device)]
    return torch.stack(apart).amin(0).mean(1)


def _directions(vectors: Tensor, what: str = "vectors") -> Tensor:
    """Return vectors of length 1, float64 [R, N, d]."""
    stack = vector_stack(vectors, what)
    scaled = stack / stack.abs().amax(2, keepdim=True)  # squares of small numbers would be 0
    if bool(scaled.isnan().any()):
        raise BadInput.of(what, "a vector that is 0", "vectors that are not", "It has no direction: leave it out.")
    return scaled / scaled.norm(dim=2, keepdim=True)


def _angles(one: Tensor, other: Tensor) -> Tensor:
    """Return the angles in degrees of unit vectors [..., d]; small ones are exact, unlike those of an arc cosine."""
    return 2 * torch.rad2deg(torch.atan2((one - other).norm(dim=-1), (one + other).norm(dim=-1)))


def _best(unit: Floats, k: int, source: np.random.Generator, restarts: int) -> tuple[Floats, Ints]:
    runs = [_lloyd(unit, _start(unit, k, source)) for _ in range(restarts)]
    return max(runs, key=lambda run: float((unit * run[0][run[1]]).sum()))


def _start(unit: Floats, k: int, source: np.random.Generator) -> Floats:
    from sklearn.cluster import kmeans_plusplus  # slow to import, needed here only

    return np.asarray(kmeans_plusplus(unit, k, random_state=int(source.integers(2**32)))[0])


def _lloyd(unit: Floats, centres: Floats) -> tuple[Floats, Ints]:
    """Return (centres [k, d], labels [N]) once no vector is nearer to another centre than its own."""
    labels = np.full(len(unit), -1)
    for _ in range(ROUNDS):
        nearest = (unit @ centres.T).argmax(1)
        if (nearest == labels).all():
            break
        labels, sums = nearest, np.zeros_like(centres)
        np.add.at(sums, labels, unit)
        size = np.linalg.norm(sums, axis=1, keepdims=True)
        # Where a cluster is empty, or its vectors cancel, every direction is as good: the centre stays.
        centres = np.where(size > NOTHING, sums / np.maximum(size, NOTHING), centres)
    return centres, labels


def _drawn(stack: Tensor, seeds: Sequence[int], key: int, columns: int) -> Tensor:
    """Return standard normal numbers [R, N, columns]."""
    _check_seeds(seeds, stack)
    draws = [rng(seed, "eval", key).standard_normal((stack.shape[1], columns)) for seed in seeds]
    return torch.from_numpy(np.stack(draws)).to(stack.device)


def _check_seeds(seeds: Sequence[int], stack: Tensor) -> None:
    if len(seeds) != len(stack):
        raise BadInput.of("number of seeds", len(seeds), f"{len(stack)}, one per replicate", "Pass the net's seeds.")
