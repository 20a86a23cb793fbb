"""The one pruning chain, level by level, and its control arms: for stacks of MLPs and for modules alike.

`Level` is one round of iterative pruning and goes on from the round before; each is stored by itself. `Arms` takes the
masks of a chain and trains other weights or other masks beside them. What is pruned and trained is the lab's business,
how much is cut and how weights are ranked that of the policy, `redlib.pruning.tickets.Cut`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from redlib.experiments.experiment import Experiment, given
from redlib.experiments.lab import TRAINED, Lab, Net, Parts, Stack, restored, vector
from redlib.experiments.results import Arrays, among
from redlib.nets import StackedMLP
from redlib.pruning.masks import Tensors, dense, density, packed, remove, unpacked, weights_of
from redlib.pruning.tickets import ARMS, Cut, masks_at, prepare, stacked_arms

D51, D41, D33, D21, D13, D11, D4_4, D3_6 = 3, 4, 5, 7, 9, 10, 14, 15
"""Rounds of 20%, by the per cent of a layer's weights that they leave (the output layer keeps more at 10%)."""


@dataclass(frozen=True)
class Level(Experiment):
    """One round of iterative pruning: the ticket of `level` is cut from the training before, and trained.

    What is kept goes back to its value at step `rewind` of the dense training. From there stacks train for all their
    steps, modules for the rest of them.
    """

    lab: Lab = field(default_factory=Stack)
    level: int = 0
    cut: Cut = field(default_factory=Cut)
    rewind: int = 0

    arrays = (
        TRAINED
        + """
        density: seed
        survives final trained: seed ...
        """
    )

    @property
    def previous(self) -> Level | None:
        """The round before; the dense net is the same wherever weights go back to."""
        return replace(self, level=self.level - 1, rewind=self.rewind * (self.level > 1)) if self.level else None

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave (TRAINED), density, and what other runs go on from.

        survives [S, W] int8: the last level at which each weight is kept (`pruning.tickets.survival`), all layers;
        final [S, P]: the state after training (`lab.vector`), trained: that of the round before.
        """
        parts, start = self.lab.parts(), self.lab.begun(self.rewind)
        survives, masks, trained = self._cut(before)
        net = prepare(ARMS["ticket"], start, masks)
        found = self.look(net, "start", parts) | self.lab.train(net, parts, self.rewind)
        found |= self.look(net, "end", parts)
        if isinstance(net, list):
            remove(net)
        carried = {"survives": packed(survives), "final": vector(net), "trained": trained}
        return found | carried | {"density": density(masks).double().numpy()}

    def look(self, net: Net, when: str, parts: Parts) -> Arrays:
        """Return what a study measures of the masked net at the "start" and at the "end" of its training."""
        return {}

    def _cut(self, before: Arrays | None) -> tuple[Tensors, Tensors, np.ndarray]:
        """Return (survives, masks) of this level, and the state that it is cut from."""
        initial = self.lab.nets()
        survives = {name: torch.zeros_like(w, dtype=torch.int8) for name, w in weights_of(initial).items()}
        if not self.level:
            return survives, dense(survives), np.zeros((len(self.seeds), 0), np.float32)
        before = given(before, self.previous)
        survives = unpacked(before["survives"], survives)
        trained = restored(initial, before["final"])
        masks = self.cut.masks(trained, initial, masks_at(survives, self.level - 1), self.level, self.seeds)
        return {n: kept + masks[n].to(torch.int8) for n, kept in survives.items()}, masks, before["final"]


def levels(source: Level, depth: int) -> dict[int, Level]:
    """Return the levels 0 to `depth` of a chain; the dense net is the same wherever weights go back to."""
    return {level: replace(source, level=level, rewind=source.rewind * (level > 0)) for level in range(depth + 1)}


@dataclass(frozen=True)
class Arms(Experiment):
    """Control arms of the tickets of some levels, trained all at once as `lab` says (default: as the tickets)."""

    source: Level
    arms: tuple[str, ...]
    levels: tuple[int, ...]
    lab: Lab | None = None
    length: float = 1.0  # training, in multiples of the lab's
    start: int = 0  # the arms start from the dense net after this many steps

    arrays = among("arm level", TRAINED)

    @property
    def trained_as(self) -> Lab:
        """The lab, with the length of the training."""
        lab = self.lab or self.source.lab
        return lab if self.length == 1 else lab.longer(self.length)

    @property
    def previous(self) -> Level:
        """The ticket whose masks the arms take: the deepest one."""
        return replace(self.source, level=max(self.levels))

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave (TRAINED), with axes [S, arms, levels, ...]."""
        net = self.nets(given(before, self.previous))
        return self.grouped(self.trained_as.train(net, self.trained_as.parts()), "arm", "level")

    def nets(self, before: Arrays) -> Net:
        """Return the nets of all arms and levels, masked and ready to train: [arms * levels * S]."""
        start = self.trained_as.begun(self.start)
        masks = masks_of_levels(before, start, self.levels)
        deepest = {max(masks): restored(start, before["trained"])} if "finetuned" in self.arms else {}
        stack = isinstance(start, StackedMLP)
        init = self.trained_as.law() if stack else self.trained_as.nets
        return stacked_arms(start, masks, self.arms, init, deepest, None if stack else self.seeds)  # type: ignore[arg-type]


def masks_of_levels(before: Arrays, like: Net, levels: tuple[int, ...]) -> dict[int, Tensors]:
    """Return the masks of some levels of a chain from the arrays of its deepest one."""
    survives = unpacked(before["survives"], weights_of(like))
    return {level: masks_at(survives, level) for level in levels}
