"""Whether the units that survive the pruning of weights are those that the dense net relied on.

Tickets are found as in the study of lottery tickets: train, cut the smallest weights, rewind, repeat. The nulls are
random masks with the same counts in each layer, and what the sizes of a unit's weights alone foretell.

What a unit is worth is the rise of a mean cross-entropy when it alone is removed, one of three KINDS: that of the
"labels" of test examples, of the net's own "decisions" on them, and of the labels of its "training" examples. The first
hangs on the few test examples that the net gets wrong, so that many units cost less than nothing; `halves` says how far
two halves of the examples agree on the order of the units.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log

import numpy as np
from torch import Tensor

from redlib.errors import BadInput
from redlib.experiments.results import Arrays
from redlib.measures import units
from redlib.measures.norms import unit_impact
from redlib.measures.ranks import auc, partial_spearman, spearman
from redlib.nets import StackedMLP
from redlib.pruning.allocation import shapes_of, shuffled
from redlib.pruning.masks import Tensors, density, weights_of
from redlib.pruning.tickets import Cut, find_tickets
from redlib.studies.redundant_units.hidden import HIDDEN, OneLayer, incoming
from redlib.training import Examples

MASKS = ("ticket", "random")
KINDS = ("labels", "decisions", "training")
MOST = 100  # rounds of pruning


@dataclass(frozen=True, kw_only=True)
class Survivors(OneLayer):
    """Tickets of nets of one width, and which hidden units are left in them."""

    width: int = 128
    cut: Cut = field(default_factory=lambda: Cut(0.36, 0.19))  # two rounds of 20% and 10% at once
    densities: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.02)  # each is the nearest round

    arrays = """
    train_loss train_error test_error: seed
    ticket_loss ticket_error ticket_test_error kept: seed density
    importance: seed kind unit
    magnitude: seed unit
    halves importance_magnitude: seed kind
    left alive: seed mask density unit
    survivors magnitude_rank magnitude_auc: seed mask density
    rank auc partial magnitude_partial: seed kind mask density
    """

    @property
    def labels(self) -> dict[str, tuple[int | str | float, ...]]:
        """Kinds of worth and of masks, and densities as they were asked for."""
        return {"kind": KINDS, "mask": MASKS, "density": self.densities}

    def __post_init__(self) -> None:
        falling = all(one > other for one, other in zip(self.densities, self.densities[1:], strict=False))
        if not self.densities or not falling or not 0 < self.densities[-1] < self.densities[0] < 1:
            raise BadInput.of("densities", self.densities, "falling, in (0, 1)", "They are shares of weights KEPT.")

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        steps = (self.rounds()[-1] + 1) * self.total(self.size) * self.batch
        return steps * len(self.seeds) * self.weights(self.width) / 1e9

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses, errors and densities (shares), and by unit what it was worth and what is left of it.

        importance [S, kinds, units] is what each unit of the dense net is worth, in nats; magnitude [S, units] the
        length of its incoming times that of its outgoing weights. left [S, masks, densities, units] is the share of all
        its weights that are kept, alive where it keeps incoming and outgoing ones. See `compared` for other arrays.
        """
        train, start = self.parts()["train"], self.nets(self.width)
        nets, levels = self.tickets(start)
        ends = [self.ends(net, train) for net in nets[1:]]
        found = {f"ticket_{name.removeprefix('train_')}": np.stack([one[name] for one in ends], 1) for name in ends[0]}
        found["kept"] = np.stack([density(masks).double().numpy() for masks in levels], 1)
        importance, halves = self.worth(nets[0])
        compare = compared(importance, magnitude(nets[0]).numpy(), *self.survival(levels))
        return self.ends(nets[0], train) | found | {"halves": halves} | compare

    def rounds(self) -> list[int]:
        """Return the rounds of pruning whose densities are nearest to those asked for, by their logarithm."""
        shapes = shapes_of(weights_of(StackedMLP.create(self.layer_sizes(self.width), self.seeds[:1])))
        total = sum(self.cut.counts(shapes, 0).values())
        found = {r: sum(self.cut.counts(shapes, r).values()) / total for r in range(1, MOST)}
        return [min(found, key=lambda r: abs(log(max(found[r], 1e-9) / asked))) for asked in self.densities]

    def tickets(self, start: StackedMLP) -> tuple[list[StackedMLP], list[Tensors]]:
        """Return the trained nets, the dense ones first, and the masks of each density: nets have one more."""
        train, rounds, trained = self.parts()["train"], self.rounds(), []

        def learn(net: StackedMLP) -> None:
            self.learn(net, train)
            trained.append(net)

        # One round more, so that the last ticket is trained as well.
        masks = find_tickets(start, learn, rounds[-1] + 1, self.cut)
        return [trained[r] for r in (0, *rounds)], [masks[r] for r in rounds]

    def worth(self, net: StackedMLP) -> tuple[np.ndarray, np.ndarray]:
        """Return what units are worth [S, kinds, units], and how two halves of the examples agree on it [S, kinds]."""
        parts = self.parts()
        asked = {"labels": ("test", False), "decisions": ("test", True), "training": ("train", False)}
        found = [worth_by_halves(net, parts[part], unchanged) for part, unchanged in map(asked.__getitem__, KINDS)]
        return np.stack([own for own, _ in found], 1), np.stack([agreed for _, agreed in found], 1)

    def survival(self, levels: list[Tensors]) -> tuple[np.ndarray, np.ndarray]:
        """Return shares of weights left and which units are alive, [S, masks, densities, units] each."""
        chance = [shuffled(masks, self.seeds, key) for key, masks in zip(self.rounds(), levels, strict=True)]
        pairs = [[survival_of(masks) for masks in kind] for kind in (levels, chance)]
        left, alive = (np.stack([np.stack([one[i] for one in kind], 1) for kind in pairs], 1) for i in (0, 1))
        return left, alive


def magnitude(net: StackedMLP) -> Tensor:
    """Return how long the incoming weights of each unit are times how long the outgoing ones: float64 [S, units]."""
    return incoming(net).norm(dim=2) * unit_impact(net, HIDDEN)


def worth_by_halves(net: StackedMLP, examples: Examples, unchanged: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much the loss rises without each unit [S, units], and the rank correlation of two halves [S].

    The halves are the examples of even and of odd number. With `unchanged` labels are what the whole net decides.
    """
    rows, labels = examples.table(net.replicates)
    halves = [replace(examples, y=labels[:, first::2], rows=rows[:, first::2]) for first in range(2)]
    rises = [units.ablation_drops(net, half, HIDDEN, unchanged=unchanged, of="loss").numpy() for half in halves]
    sums = [rise * len(half) for rise, half in zip(rises, halves, strict=True)]
    return (sums[0] + sums[1]) / len(examples), spearman(*rises)


def survival_of(masks: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of its weights that each unit keeps, and whether it keeps some on both sides, [S, units]."""
    before, after = list(masks.values())[HIDDEN : HIDDEN + 2]
    into, out = before.sum(2), after.sum(1)
    return ((into + out).double() / (before.shape[2] + after.shape[1])).numpy(), ((into > 0) & (out > 0)).numpy()


def compared(importance: np.ndarray, magnitude: np.ndarray, left: np.ndarray, alive: np.ndarray) -> Arrays:
    """Return these arrays, and what importance [S, kinds, units] and magnitude [S, units] have to do with survival.

    left and alive are [S, masks, densities, units], survivors how many are alive. rank is the rank correlation of
    importance with what is left; auc the probability that a survivor was more important than a unit that died (NaN
    where all survived, or none); partial the rank correlation at equal magnitude: [S, kinds, masks, densities] each.
    magnitude_rank and magnitude_auc are the same of magnitude, magnitude_partial that at equal importance.
    """
    worth, size, rest = importance[:, :, None, None], magnitude[:, None, None], left[:, None]
    wide = size[:, None]
    return {
        "importance": importance, "magnitude": magnitude, "left": left, "alive": alive,
        "importance_magnitude": spearman(importance, magnitude[:, None]),
        "survivors": alive.sum(-1).astype(np.float64),
        "magnitude_rank": spearman(size, left), "magnitude_auc": auc(size, alive),
        "rank": spearman(worth, rest), "auc": auc(worth, alive[:, None]),
        "partial": partial_spearman(worth, rest, wide), "magnitude_partial": partial_spearman(wide, rest, worth),
    }  # fmt: skip
