"""What lies around a solution: do random steps go up, and how wide is the tunnel of low loss (LAND-3 and 4)?

Losses are those on the training images, without weight decay. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from redlib.experiments.lab import Net
from redlib.experiments.results import Arrays, Labels
from redlib.measures.curvature import MeanLoss, adaptive_sharpness, loss_of, top_eigenvalues
from redlib.measures.tunnels import loss_changes, rising_share
from redlib.nets.stacked import unstacked
from redlib.studies.loss_landscape.pairs import Hidden, widths_of
from redlib.training import evaluate

HALF = 0.5  # of the loss at the start: half of the way down
ROUGH = 1e-2  # of the largest eigenvalue: what its residual may be, and its own error then is some 1e-4
UNTRAINED, HALFWAY, TRAINED = "untrained", "halfway", "trained"


@dataclass(frozen=True, kw_only=True)
class Steps(Hidden):
    """Nets before, amid and after training, and how often a step in a random direction raises their loss."""

    width: int = 128
    states: tuple[str, ...] = (UNTRAINED, HALFWAY, TRAINED)
    lengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of the length of all weights
    directions: int = 100

    arrays = """
    rises change: seed state length
    loss: seed state
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        looks = len(self.states) * len(self.lengths) * self.directions / 3
        return (self.epochs + looks) * self.effort(self.width)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return shares of rising directions, the median change of the loss, and the losses themselves."""
        found = [self.around(state) for state in self.states]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def around(self, state: str) -> Arrays:
        """Return shares and changes [S, lengths] and losses [S] of nets in one state."""
        train, net = self.parts()["train"], self.nets(self.width)
        if state == HALFWAY:
            descend(self, net, (HALF * evaluate(net, train, self.loss)["loss"]).tolist())
        elif state == TRAINED:
            self.learn(net, train)
        changes = loss_changes(loss_of(net, train, self.loss), self.lengths, self.directions)
        return {
            "rises": rising_share(changes).numpy(), "change": changes.median(1).values.numpy(),
            "loss": evaluate(net, train, self.loss)["loss"].double().numpy(),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tunnels(Hidden):
    """Nets that simplifying forces acted on, trained to one loss, and how wide the tunnels around them are."""

    width: int = 64
    decays: tuple[float, ...] = (0.0, 0.001, 0.002, 0.004)
    rates: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)  # at 0.2 some nets die
    dropouts: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    dropout: float = 0.0  # share of hidden units that are dropped
    lr: float = 0.05
    until: float = 0.05  # mean cross-entropy at which all stop
    times: float = 2.0  # of it: the loss at the wall
    directions: int = 12

    arrays = """
    raw_width filter_width train_loss length curvature invariant: seed knob level
    """

    @property
    def wall(self) -> float:
        """The loss at which a tunnel ends."""
        return self.times * self.until

    @property
    def knobs(self) -> dict[str, list[dict[str, Any]]]:
        """Settings by what is turned, from none or little to much."""
        return {
            "weight decay": [{"weight_decay": value} for value in self.decays],
            "learning rate": [{"lr": value} for value in self.rates],
            "dropout": [{"dropout": value} for value in self.dropouts],
        }

    @property
    def labels(self) -> Labels:
        """Names of the knobs, and how many levels there are."""
        return {"knob": tuple(self.knobs), "level": tuple(range(len(self.decays)))}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 12 * self.epochs * self.effort(self.width)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return half-widths, losses, lengths of the weights and curvatures, [S, knobs, levels]."""
        found = [[replace(self, **level).around() for level in levels] for levels in self.knobs.values()]
        names = found[0][0]
        return {name: np.stack([np.stack([one[name] for one in row], 1) for row in found], 1) for name in names}

    def around(self) -> Arrays:
        """Return what lies around nets of these settings, [S]."""
        train, net = self.parts()["train"], self.begun()
        descend(self, net, [self.until] * len(self.seeds))
        wide = widths_of(loss_of(ready(net), train, self.loss, seeds=self.seeds), self.directions, self.wall)
        # Lanczos goes on until the last net has converged: one at a time, none depends on the others.
        each = [described(loss_of(ready(one), train.select([s]), self.loss)) for s, one in enumerate(alone(net))]
        return wide | {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    def begun(self) -> Net:
        """Return the initial nets: a stack, or modules of the same weights whose hidden units are dropped at times."""
        stack = self.nets(self.width)
        if not self.dropout:
            return stack
        return [thinned(unstacked(stack, place), self.dropout) for place in range(len(self.seeds))]


def descend(how: Hidden, net: Net, targets: list[float]) -> None:
    """Train nets in place until the loss of each [R] is down to its target, looking after every step."""
    train, least = how.parts()["train"], torch.tensor(targets)
    how.fit(
        net, train, seeds=how.seeds, evaluate={"train": train}, probe_steps=range(how.total(len(train)) + 1),
        stop=lambda seen: seen["train_loss"] <= least,
    )  # fmt: skip


def thinned(net: nn.Sequential, dropout: float) -> nn.Sequential:
    """Return a net with dropout behind each activation."""
    parts: list[nn.Module] = []
    for part in net:
        parts += [part] if isinstance(part, nn.Linear) else [part, nn.Dropout(dropout)]
    return nn.Sequential(*parts)


def ready(net: Net) -> Net:
    """Return the nets, modules in evaluation mode."""
    return [one.eval() for one in net] if isinstance(net, list) else net


def alone(net: Net) -> list[Net]:
    """Return every net by itself."""
    if isinstance(net, list):
        return [[one] for one in net]
    return [net.select([place]) for place in range(net.replicates)]


def described(loss: MeanLoss) -> Arrays:
    """Return loss, Euclidean length of the parameters, raw and scale-free curvature of nets, [R]."""
    return {
        "train_loss": loss.value().numpy(), "length": loss.rows.norm(dim=1).numpy(),
        "curvature": top_eigenvalues(loss, tolerance=ROUGH).values[:, 0].numpy(),
        "invariant": adaptive_sharpness(loss, tolerance=ROUGH).values[:, 0].numpy(),
    }  # fmt: skip
