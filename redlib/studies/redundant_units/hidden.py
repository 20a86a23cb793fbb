"""What the hidden units of trained nets do: which can go, which repeat others, which are dead, where weights point.

Units are judged on test examples, and beside those of the untrained net. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.experiments.fitted import Fitted
from redlib.experiments.results import Arrays
from redlib.measures import units
from redlib.measures.norms import layers, unit_impact
from redlib.measures.simplex import frame_potential
from redlib.measures.spectra import effective_rank
from redlib.nets import StackedMLP
from redlib.nets.sizes import parameter_count

STATES = ("untrained", "trained")
HIDDEN = 0  # the number of the only hidden layer
SHAPED = 82  # key of the stream "eval": matrices that are random in all but their shape


@dataclass(frozen=True, kw_only=True)
class OneLayer(Fitted):
    """MLPs with one hidden layer that fit their examples."""

    n: int | None = 400
    lr: float = 0.1
    activity: float = 0.01  # share of examples on which a unit that is nearly dead is active, at most
    norm: float = 0.01  # or how long its outgoing weights are over the longest of its layer

    def nets(self, width: int) -> StackedMLP:
        """Return the initial nets of a width, one a seed."""
        return StackedMLP.create(self.layer_sizes(width), self.seeds)

    def layer_sizes(self, width: int) -> tuple[int, int, int]:
        """Return how many inputs, hidden units and outputs there are."""
        data = self.load()
        return data.train.x[0].numel(), width, data.classes

    def weights(self, width: int) -> int:
        """Return the number of parameters of a net."""
        return parameter_count(self.layer_sizes(width))

    def dead(self, net: StackedMLP) -> Tensor:
        """Return how many units are dead or nearly so, [S]."""
        shares = units.active_shares(net, self.parts()["test"], HIDDEN)
        return units.dead(shares, unit_impact(net, HIDDEN), self.activity, self.norm).sum(1)


@dataclass(frozen=True, kw_only=True)
class Widths(OneLayer):
    """Nets of many widths, the units of each trained and untrained (UNIT-7 to 10)."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)  # of 8 units one net in a hundred stays where it does not fit
    tolerance: float = 0.001  # of accuracy: what a removable unit costs less than
    alike: float = 0.9  # |correlation| from which two units repeat each other
    combined: float = 0.9  # R² from which a unit is a combination of others
    lost: float = 0.01  # of accuracy: up to here units are spare that go in random order

    arrays = """
    train_loss train_error test_error update_rank random_rank: seed width
    removable repeated redundant dead gini effective spare: seed width state
    frame random_frame matched_frame rank: seed width state
    """

    @property
    def labels(self) -> dict[str, tuple[int | str, ...]]:
        """Widths, and whether the nets are trained."""
        return {"width": self.widths, "state": STATES}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        steps = self.total(self.size) * self.batch * len(self.seeds)
        return steps * sum(self.weights(width) for width in self.widths) / 1e9

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return errors (shares), what units do, counts of them and directions of their weights, at each width."""
        found = [self.of(width) for width in self.widths]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def of(self, width: int) -> Arrays:
        """Return the arrays of one width, [S] and [S, states]."""
        start, train = self.nets(width), self.parts()["train"]
        net = start.clone()
        self.learn(net, train)
        each = [self.doing(one) | self.pointing(one) for one in (start, net)]
        pairs = {name: np.stack([one[name] for one in each], 1) for name in each[0]}
        return self.ends(net, train) | pairs | self.added(start, net)

    def doing(self, net: StackedMLP) -> Arrays:
        """Return what the units of nets do on test examples: counts, inequality and what is spare, [S].

        Removable is what costs no accuracy. Inequality is that of the rise of the cross-entropy with the net's own
        decisions as labels: in wide nets no unit costs any accuracy, and true labels let the few images that the net
        gets wrong decide. A unit without which that loss is lower counts as one that costs 0.
        """
        test = self.parts()["test"]
        costs = units.ablation_drops(net, test, HIDDEN, unchanged=True, of="loss")
        drops, seen = units.ablation_drops(net, test, HIDDEN), units.activations(net, test, HIDDEN)
        found = {
            "removable": units.removable(drops, self.tolerance),
            "repeated": of_varying(seen, lambda own: (units.repeated(own, self.alike) > 0).sum(1)),
            "redundant": of_varying(seen, lambda own: units.redundant(own, self.combined)), "dead": self.dead(net),
            "gini": units.gini(costs), "effective": units.effective_number(costs),
            "spare": spare(units.cumulative_removal(net, test, HIDDEN), self.lost),
        }  # fmt: skip
        return {name: values.double().numpy() for name, values in found.items()}

    def pointing(self, net: StackedMLP) -> Arrays:
        """Return frame potentials and effective rank of the weights of the units, [S]."""
        weights = incoming(net)
        _, count, inputs = weights.shape
        matched = units.matched_gaussian(weights, self.seeds)
        return {
            "frame": frame_potential(weights).numpy(), "matched_frame": frame_potential(matched).numpy(),
            "random_frame": np.full(len(weights), count + count * (count - 1) / inputs),
            "rank": effective_rank(weights, replicates=True),
        }  # fmt: skip

    def added(self, start: StackedMLP, net: StackedMLP) -> Arrays:
        """Return the effective rank of what training added to the weights, and that of Gaussian numbers, [S]."""
        update = incoming(net) - incoming(start)
        shape = update.shape[1:]
        drawn = torch.from_numpy(np.stack([rng(seed, "eval", SHAPED).standard_normal(shape) for seed in self.seeds]))
        return {
            "update_rank": effective_rank(update, replicates=True),
            "random_rank": effective_rank(drawn, replicates=True),
        }


def incoming(net: StackedMLP) -> Tensor:
    """Return the incoming weights of hidden units, float64 [S, units, inputs]."""
    return layers(net)[HIDDEN].weight[:, 0]


def of_varying(seen: Tensor, count: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `count` of activations [S, N, units], [S]: 0 for nets in which fewer than two units vary, if any died."""
    vary = (seen.amax(1) > seen.amin(1)).sum(1) > 1
    found = torch.zeros(len(seen), dtype=torch.int64)
    if bool(vary.any()):
        found[vary] = count(seen[vary])
    return found


def spare(curves: Tensor, lost: float) -> Tensor:
    """Return the share of units that are gone when a curve [S, units + 1] first lies `lost` below its start, [S]."""
    below = curves < curves[:, :1] - lost
    first = torch.where(below.any(1), below.int().argmax(1), curves.shape[1])
    return (first - 1) / (curves.shape[1] - 1)


@dataclass(frozen=True, kw_only=True)
class Sparse(OneLayer):
    """Nets of one width trained by several rules, and how many of their units die (UNIT-11)."""

    width: int = 128
    rules: tuple[str, ...] = ("sgd", "full batch", "adam", "decay")
    adam_lr: float = 1e-3
    decay: float = 5e-4

    arrays = """
    train_loss train_error test_error dead: seed rule
    start_dead: seed
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return len(self.rules) * self.size * self.epochs * len(self.seeds) * self.weights(self.width) / 1e9

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses and errors at the end, and counts of dead units [S, rules], and [S] of untrained nets."""
        found = [self.by(rule) for rule in self.rules]
        start = {"start_dead": self.dead(self.nets(self.width)).double().numpy()}
        return start | {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def by(self, rule: str) -> Arrays:
        """Return the numbers [S] of nets trained by one rule; BadInput for an unknown one."""
        train = self.parts()["train"]
        net = self.nets(self.width)
        self.ruled(rule).learn(net, train)
        return self.ends(net, train) | {"dead": self.dead(net).double().numpy()}

    def ruled(self, rule: str) -> Sparse:
        """Return the training of a rule. One full batch takes as many steps as small batches do."""
        known: dict[str, dict[str, Any]] = {
            "sgd": {}, "decay": {"weight_decay": self.decay}, "adam": {"optimizer": "adam", "lr": self.adam_lr},
            "full batch": {"batch": self.size, "epochs": self.total(self.size)},
        }  # fmt: skip
        if rule not in known:
            raise BadInput.named("rule", rule, known, "name one of these")
        return replace(self, **known[rule])
