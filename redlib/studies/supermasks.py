"""Masks on weights that are never trained: learned masks (LTH-13) and edge-popup over width and density (LTH-15).

Configurations are run by `redlib.studies.tickets.run`, with which they are registered; axes start with the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from redlib.nets import StackedMLP
from redlib.pruning.masks import density
from redlib.pruning.supermasks import Mode, ScoredMLP, sampled_accuracy, signed_constant
from redlib.studies.tickets import Arrays, Lab, Parts, cost_of, run, setting
from redlib.training import SGD, fit

SOURCES = ("initial", "signed_constant")


@dataclass(frozen=True)
class Learned:
    """Bernoulli masks learned by straight-through SGD (Zhou et al. 2019, section 5), with and without rescaling."""

    lab: Lab
    lr: float = 100.0
    momentum: float = 0.9
    steps: int = 1000
    batch: int = 250
    rescale: tuple[bool, ...] = (False, True)
    samples: int = 10  # masks over which accuracy is averaged

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 2 * len(self.rescale) * cost_of(replace(self.lab, steps=self.steps, batch=self.batch))


@dataclass(frozen=True)
class Popup:
    """Edge-popup (Ramanujan et al. 2020): the best fraction of each layer by learned scores, for several fractions."""

    lab: Lab  # its `init` draws the weights; the constant is their spread
    keeps: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    sources: tuple[str, ...] = SOURCES
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 2 * cost_of(self.lab) * len(self.keeps) * len(self.sources)


@run.register
def run_learned(config: Learned, before: None = None) -> Arrays:
    """Return validation_accuracy, test_accuracy and density [S, sources, rescale]: initial weights, signed constant."""
    lab, parts, initial = setting(config.lab)
    rule = SGD(config.lr, config.momentum)
    cells = [
        [_scored(net, parts, "bernoulli", rule, config.steps, config.batch, config.samples, rescale=rescale)
         for rescale in config.rescale]
        for net in (initial, signed_constant(initial))
    ]  # fmt: skip
    return _table(cells)


@run.register
def run_popup(config: Popup, before: None = None) -> Arrays:
    """Return validation_accuracy, test_accuracy and density [S, sources, keeps]."""
    lab, parts, initial = setting(config.lab)
    rule = SGD(config.lr, config.momentum, weight_decay=config.weight_decay)
    nets = {"initial": initial, "signed_constant": signed_constant(initial)}
    cells = [
        [_scored(nets[source], parts, "popup", rule, lab.steps, lab.batch, 1, keep=keep) for keep in config.keeps]
        for source in config.sources
    ]
    return _table(cells)


def _scored(
    net: StackedMLP, parts: Parts, mode: Mode, rule: SGD, steps: int, batch: int, samples: int,
    keep: float = 0.5, rescale: bool = False,
) -> Arrays:  # fmt: skip
    scored = ScoredMLP.create(net, mode, keep=keep, rescale=rescale)
    fit(scored, parts["train"], optimizer=rule, steps=steps, batch_size=batch)
    found = {f"{p}_accuracy": sampled_accuracy(scored, parts[p], samples).numpy() for p in ("validation", "test")}
    return found | {"density": density(scored.supermasks()).numpy()}


def _table(cells: list[list[Arrays]]) -> Arrays:
    """Return [S, rows, columns] of each quantity."""
    return {name: np.stack([np.stack([c[name] for c in row], 1) for row in cells], 1) for name in cells[0][0]}
