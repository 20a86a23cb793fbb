"""How many numbers one net needs, counted in three ways: its ticket, its random dimensions, the rank of its weights.

All are of the same nets on the same data, at nine tenths of the accuracy of the whole net where there is one to reach.
No claim is judged by them. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from redlib.experiments.results import Arrays, Labels
from redlib.measures.spectra import effective_rank
from redlib.nets import StackedMLP
from redlib.pruning.tickets import find_tickets, stacked_arms
from redlib.studies.loss_landscape.slices import Confined
from redlib.training import evaluate


@dataclass(frozen=True, kw_only=True)
class Counted(Confined):
    """MLPs of two hidden layers: what they do when pruned, confined to random dimensions, or cut to a low rank."""

    width: int = 64
    rounds: int = 26  # of pruning, each cuts a fifth
    dims: tuple[int, ...] = (30, 60, 110, 160, 220, 300, 450)
    shares: tuple[float, ...] = (0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of singular values that stay

    arrays = """
    full_accuracy effective: seed
    ticket_accuracy: seed round
    slice_accuracy: seed dim
    rank_accuracy: seed share
    left: round
    numbers: share
    parameters:
    """

    @property
    def labels(self) -> Labels:
        """Rounds of pruning from the last, sizes of slices, and shares of singular values."""
        return {"round": tuple(range(self.rounds, -1, -1)), "dim": self.dims, "share": self.shares}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return (
            self.shown() * (2 * self.rounds + len(self.dims)) * self.plain(self.width, self.width).parameters_each / 1e9
        )

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return test accuracies (shares), and how many numbers are left: weights by round, numbers of low rank.

        effective: numbers of factors as wide as the effective rank of each layer, with the biases.
        """
        net = self.plain(self.width, self.width)
        trained = net.clone()
        found = {"full_accuracy": self.full(trained), "slice_accuracy": self.confined(net, self.dims)}
        return found | self.pruned(net) | self.of_low_rank(trained) | {"parameters": np.array(net.parameters_each)}

    def pruned(self, net: StackedMLP) -> Arrays:
        """Return how well tickets do [S, rounds], the sparsest first, and how many parameters they have, [rounds]."""
        masks = find_tickets(net, lambda one: self.fit(one, self.parts()["train"], seeds=self.seeds), self.rounds)
        rounds = range(self.rounds, -1, -1)
        tickets = stacked_arms(net, {number: masks[number] for number in rounds}, ["ticket"])
        accuracy = self.full(tickets).reshape(len(rounds), -1).T
        counts = [sum(int(kept[0].sum()) for kept in masks[number].values()) for number in rounds]
        return {"ticket_accuracy": accuracy, "left": np.array(counts) + sum(net.sizes[1:])}

    def of_low_rank(self, net: StackedMLP) -> Arrays:
        """Return how well trained nets do with the largest singular values of each layer alone, [S, shares].

        numbers: those of the two factors of each layer, and the biases.
        """
        shapes = [tuple(weights.shape[1:]) for weights in net.weights]
        test = self.parts()["test"]
        cut = [1 - evaluate(low_rank(net, share), test, self.loss)["error"].numpy() for share in self.shares]
        numbers = [sum(ranks(share, shape) * sum(shape) for shape in shapes) for share in self.shares]
        own = [effective_rank(weights.double(), replicates=True) * sum(weights.shape[1:]) for weights in net.weights]
        biases = sum(net.sizes[1:])
        return {
            "rank_accuracy": np.stack(cut, 1), "numbers": np.array(numbers) + biases,
            "effective": np.sum(own, 0) + biases,
        }  # fmt: skip


def ranks(share: float, shape: tuple[int, ...]) -> int:
    """Return how many singular values of a matrix of a shape are a share of them, at least one."""
    return max(1, round(share * min(shape)))


def low_rank(net: StackedMLP, share: float) -> StackedMLP:
    """Return copies of nets with the largest singular values of each layer, a share of them."""
    found = net.clone()
    for weights in found.weights:
        left, values, right = torch.linalg.svd(weights.double(), full_matrices=False)
        values[:, ranks(share, tuple(weights.shape[1:])) :] = 0
        weights.copy_((left * values[:, None]) @ right)
    return found
