"""Pruning a random net until it computes a given neuron: one exact subset-sum problem per weight.

For one input, w·x = w·relu(x) - w·relu(-x). A random hidden unit v·relu(u·x) is u·v·relu(x) if u > 0 and
-u·v·relu(-x) if u < 0, so w is wanted twice: as the sum of a subset of the products u·v of the units with u > 0,
and of those with u < 0. That a random net of twice the depth contains any given net up to ε was proved by
Malach et al. 2020; that about log(1/ε) units per weight suffice, by subset sums, by Pensia et al. 2020 and
Orseau et al. 2020 (on Lueker 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redlib.data.numbers import floats, whole
from redlib.data.streams import rng
from redlib.errors import BadInput

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MOST_CANDIDATES = 40  # two tables of 2²⁰ sums, 8 MiB each


@dataclass(frozen=True)
class PrunedNeuron:
    """A target w·x, weights w [d], and the random net pruned to it: n hidden units per input.

    `first` [d, n] are the weights u from input i to its units (the rest of the first layer is cut), `second`
    [d, n] the weights v to the output; `kept` [d, n] says which units stay.
    """

    weights: Floats
    first: Floats
    second: Floats
    kept: Bools

    def target(self, x: Floats) -> Floats:
        """Return relu(w·x) for inputs x [B, d]: [B]."""
        return np.maximum(x @ self.weights, 0)

    def output(self, x: Floats) -> Floats:
        """Return relu(Σ v·relu(u·x)) over the units that are kept, for inputs x [B, d]: [B]."""
        hidden = np.maximum(x[:, :, None] * self.first, 0)
        return np.maximum((hidden * np.where(self.kept, self.second, 0)).sum((1, 2)), 0)

    def bound(self) -> float:
        """Return √Σ_i max(e_i⁺, e_i⁻)², where e_i^± = |w_i - Σ kept u·v| over the units of either sign.

        No input of the unit ball is mapped further from the target than this (Cauchy-Schwarz; the outer relu
        only shrinks differences).
        """
        products = np.where(self.kept, self.first * self.second, 0)
        sides = [np.abs(self.weights - np.where(side, products, 0).sum(1)) for side in (self.first > 0, self.first < 0)]
        return float(np.linalg.norm(np.maximum(*sides)))


def best_subset(target: float, candidates: ArrayLike) -> Bools:
    """Return the subset of candidates [n] whose sum is closest to `target`: bool [n]; exact.

    Meet in the middle: all sums of either half, one half sorted, O(n·2^(n/2)). The empty subset counts. Raises
    BadInput for more than 40 candidates, and for what is not finite.
    """
    values = floats(candidates, "candidates")
    if values.ndim != 1 or len(values) > MOST_CANDIDATES:
        raise BadInput.of("candidates", values.shape, f"[n] with n <= {MOST_CANDIDATES}", "Pass fewer.")
    if not np.isfinite([target, *values]).all():
        raise BadInput.of("target and candidates", "nan or inf", "finite numbers", "No sum comes near NaN.")
    left, right = _all_sums(values[: len(values) // 2]), _all_sums(values[len(values) // 2 :])
    order = np.argsort(right, kind="stable")
    above = np.searchsorted(right[order], target - left)
    choices = np.stack([np.maximum(above - 1, 0), np.minimum(above, len(right) - 1)])
    gaps = np.abs(left + right[order[choices]] - target)
    side, i = np.unravel_index(int(gaps.argmin()), gaps.shape)
    bits = [int(i) >> b & 1 for b in range(len(values) // 2)]
    bits += [int(order[choices[side, i]]) >> b & 1 for b in range(len(values) - len(bits))]
    return np.array(bits, np.bool_)


def best_subset_error(target: float, candidates: ArrayLike) -> float:
    """Return min over subsets of |target - sum of the subset| for candidates [n]; see `best_subset`."""
    values = floats(candidates, "candidates")
    return abs(target - float(values[best_subset(target, values)].sum()))


def prune_to(weights: ArrayLike, first: ArrayLike, second: ArrayLike) -> PrunedNeuron:
    """Return the random units first, second [d, n] pruned as near to the weights [d] as their `bound` allows."""
    w, u, v = (floats(a, "weights and units") for a in (weights, first, second))
    if w.ndim != 1 or u.shape != v.shape or u.ndim != 2 or len(u) != len(w):
        raise BadInput.of("shapes", (w.shape, u.shape, v.shape), "[d], [d, n], [d, n]", "n units per weight.")
    if not all(np.isfinite(part).all() for part in (w, u, v)):
        raise BadInput.of("weights and units", "nan or inf", "finite numbers", "A unit without a sign has no side.")
    kept = np.zeros(u.shape, np.bool_)
    for i, products in enumerate(u * v):
        for side in (u[i] > 0, u[i] < 0):
            kept[i, side] = best_subset(w[i], products[side])
    return PrunedNeuron(w, u, v, kept)


def random_neuron(seed: int, inputs: int, candidates: int) -> tuple[Floats, Floats, Floats]:
    """Return a target w [inputs] of norm <= 1 and random u, v [inputs, 2·candidates], all uniform (stream "init").

    w_i is uniform in ±1/√inputs, u and v in ±1 but for the sign of u, which alternates: `candidates` units for
    x > 0 and as many for x < 0. Fewer are the first columns of more, so that one seed is one net which grows.
    """
    weights = rng(seed, "init", 16, 0).uniform(-1, 1, inputs) / inputs**0.5
    # Drawn unit by unit: the transposed table begins the same whatever its length.
    first, second = (rng(seed, "init", 16, k).uniform(-1, 1, (2 * candidates, inputs)).T for k in (1, 2))
    return weights, np.abs(first) * np.tile([1, -1], candidates), second


def errors(seeds: Sequence[int], counts: Sequence[int], inputs: int = 10) -> Floats:
    """Return `bound` of each seed's random neuron with each number of candidates per weight and sign: [S, counts].

    It cannot grow with the count. Each candidate doubles the sums, so that its logarithm falls by about ln(2)
    per candidate, less while there are few. Raises BadInput for counts outside 1...40.
    """
    if not len(counts) or min(counts) < 1 or max(counts) > MOST_CANDIDATES:
        raise BadInput.of("counts", counts, f"1 <= count <= {MOST_CANDIDATES}", "The search is exact, so 2^(n/2).")
    inputs = whole("inputs", inputs, 1, "A neuron has some.")
    counts = [whole("count", count, 1, "The search is exact, so 2^(n/2).") for count in counts]
    bounds = np.empty((len(seeds), len(counts)))
    for s, seed in enumerate(seeds):
        weights, first, second = random_neuron(seed, inputs, max(counts))
        for c, count in enumerate(counts):
            bounds[s, c] = prune_to(weights, first[:, : 2 * count], second[:, : 2 * count]).bound()
    return bounds


def _all_sums(values: Floats) -> Floats:
    """Return the sums of all subsets, [2^n]; bit b of the index says whether value b is in."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums
