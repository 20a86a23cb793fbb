"""Random nets that nobody prunes: wide ones against the recursions, and how deep a net can be and still be trained."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from redlib.data import load
from redlib.data.streams import rng
from redlib.nets import StackedMLP
from redlib.nets.initialisers import mean_field
from redlib.pruning.tickets import stack
from redlib.studies.mean_field import Arrays, run
from redlib.training import Adam, Examples, evaluate, fit


@dataclass(frozen=True)
class Wide:
    """Monte Carlo of signals in wide random nets, for a comparison with the recursion.

    `residual`: h'' = h + Wφ(Wφ(h) + b) + b, and `depth` counts such pairs of layers.
    """

    width: int = 1024
    depth: int = 30
    sigmas: tuple[tuple[float, float], ...] = ((1.2, 0.1), (1.4, 0.3), (2.0, 0.3), (3.0, 0.6))  # (σ_w, σ_b)
    residual: bool = False
    inputs: int = 8
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def cost(self) -> float:
        """Relative time of the run, in trainings of about as many seconds."""
        return 1e-8 * len(self.seeds) * len(self.sigmas) * self.depth * self.width**2


@dataclass(frozen=True)
class Depths:
    """Short trainings of random nets of many depths and σ_w: which can be trained at all (Schoenholz et al. 2017)."""

    dataset: str = "digits"
    pool: int = 1437
    tests: int = 360
    width: int = 64
    depths: tuple[int, ...] = (4, 8, 12, 16, 24, 36, 56)
    sigmas: tuple[float, ...] = (1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5)
    sigma_b: float = 0.3
    lr: float = 1e-3
    batch: int = 100
    steps: int = 60
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        nets = len(self.seeds) * len(self.sigmas)
        return nets * sum(self.depths) * self.steps * self.batch * self.width**2 / 1e9


@run.register
def run_wide(config: Wide) -> Arrays:
    """Return q [S, len(sigmas), depth], means over inputs, from inputs whose mean square is 1."""
    cells = [[_propagated(config, seed, k) for k in range(len(config.sigmas))] for seed in config.seeds]
    return {"q": np.array(cells)}


@run.register
def run_depths(config: Depths) -> Arrays:
    """Return train_accuracy [S, len(sigmas), len(depths)] after a short training."""
    data = load(config.dataset, n_train=config.pool, n_test=config.tests)
    x = data.train.x / data.train.x.square().mean().sqrt()
    train_on, found = Examples(x, data.train.y), []
    for depth in config.depths:
        sizes = x.shape[1], *(config.width,) * depth, data.classes
        laws = [mean_field(sigma, config.sigma_b) for sigma in config.sigmas]
        net = stack([StackedMLP.create(sizes, config.seeds, "tanh", law) for law in laws])
        fit(net, train_on, optimizer=Adam(config.lr), steps=config.steps, batch_size=config.batch, execution="dense")
        error = evaluate(net, train_on)["error"].numpy()
        found.append(1 - error.reshape(len(config.sigmas), -1).T)
    return {"train_accuracy": np.stack(found, 2)}


def _propagated(config: Wide, seed: int, cell: int) -> list[float]:
    """Return q of every layer, or pair of layers, of one random net."""
    sigma_w, sigma_b = config.sigmas[cell]
    source = rng(seed, "init", cell)

    def layer(x: np.ndarray) -> np.ndarray:
        weights = source.standard_normal((config.width, len(x)), np.float32) * np.float32(sigma_w / sqrt(len(x)))
        return weights @ x + np.float32(sigma_b) * source.standard_normal((config.width, 1), np.float32)

    inputs = source.standard_normal((config.width, config.inputs), np.float32)
    h = layer(inputs / np.sqrt(np.square(inputs).mean(0)))
    found = [float(np.square(h).mean())]
    while len(found) < config.depth:
        h = h + layer(np.tanh(layer(np.tanh(h)))) if config.residual else layer(np.tanh(h))
        found.append(float(np.square(h).mean()))
    return found
