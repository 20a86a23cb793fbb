"""Nets of many sizes trained to one loss: how far they went from their start, and what complexity measures say of them.

All are compared at the same training loss, not after the same time, for a net trained longer has gone farther. The
defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from redlib.data.sources import Dataset
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn, Training
from redlib.experiments.results import Arrays
from redlib.measures.norms import (
    frobenius_product,
    layers,
    margin_percentile,
    path_norm,
    spectral_complexity,
    spectral_product,
    unit_capacity,
    vc_count,
)
from redlib.nets import StackedMLP
from redlib.nets.initialisers import Initialiser, Layer, torch_default
from redlib.nets.sizes import parameter_count
from redlib.training import Examples, evaluate

MARGIN = 5  # per cent of the training examples may have a smaller margin


def layer_sizes(data: Dataset, hidden: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of an MLP's layers on these data: one example's numbers, the `hidden` ones, the classes."""
    return data.train.x[0].numel(), *hidden, data.classes


def weights(data: Dataset, hidden: Sequence[int]) -> int:
    """Return the number of parameters of such a net."""
    return parameter_count(layer_sizes(data, hidden))


def scaled(factor: float) -> Initialiser:
    """Return torch's law (all weights and biases uniform in ±1/√fan_in) times a factor."""

    def draw(rng: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
        weights, biases = torch_default(rng, fan_out, fan_in)
        return factor * weights, factor * biases

    return draw


@dataclass(frozen=True, kw_only=True)
class Sizes(Drawn, Training, Experiment):
    """MLPs of several sizes, each trained until it fits its examples, and its loss on them is down to `until`."""

    pool: int | None = 1437
    tests: int | None = 360
    n: int | None = 500
    sizes: tuple[tuple[int, ...], ...] = ((16,), (32,), (64,), (128,), (256,), (512,))  # hidden layers
    scale: float = 1.0  # of the initial weights and biases, times torch's, which fall as 1/√(inputs of the layer)
    optimizer: str = "sgd"
    lr: float = 0.1
    batch: int = 64
    epochs: int = 400  # at most
    until: float = 0.01  # mean cross-entropy
    looks: int = 1  # an epoch, at the training loss
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = """
    epochs train_loss train_error test_error margin: seed size
    total per_unit start_length: seed size
    spectral path frobenius unit vc start_spectral start_path start_frobenius: seed size
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        every = sum(weights(self.load(), hidden) for hidden in self.sizes)
        return self.size * self.epochs * len(self.seeds) * every / 1e9

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what `compared` measures, and the epochs until the loss was reached (NaN: never), [S, sizes]."""
        found = [self.trained(hidden) for hidden in self.sizes]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def trained(self, hidden: tuple[int, ...]) -> Arrays:
        """Return the measures [S] of the nets of one size."""
        start = StackedMLP.create(layer_sizes(self.load(), hidden), self.seeds, init=scaled(self.scale))
        net, train = start.clone(), self.parts()["train"]
        history = self.fit(
            net, train, evaluate={"train": train}, probe_steps=self.moments(),
            stop=lambda seen: (seen["train_loss"] <= self.until) & (seen["train_error"] == 0),
        )  # fmt: skip
        # Seed by seed, for batched products of several may round otherwise than those of one.
        each = [self.compared(net.select([s]), start.select([s]), train.select([s])) for s in range(len(self.seeds))]
        found = {name: np.concatenate([one[name] for one in each]) for name in each[0]}
        epochs = np.where(history.stopped_at < 0, np.nan, history.stopped_at / history.steps_per_epoch)
        return found | {"epochs": epochs}

    def moments(self) -> list[int]:
        """Return the steps at which the training loss is looked at."""
        total = self.total(self.size)
        return np.unique(np.linspace(0, total, self.looks * self.epochs + 1).round().astype(int)).tolist()

    def compared(self, net: StackedMLP, start: StackedMLP, train: Examples) -> Arrays:
        """Return the measures of nets [R]; complexities are not yet divided by the margin, as those of the start.

        Distances `total` (Frobenius), `per_unit` (mean of the units) and the length at the start are those of the
        first hidden layer.
        """
        seen, unseen = evaluate(net, train, self.loss), evaluate(net, self.parts()["test"], self.loss)
        moved, (x, y) = unit_capacity(net, start), next(train.parts(net.replicates, len(train)))
        found = {
            "train_loss": seen["loss"], "train_error": seen["error"], "test_error": unseen["error"],
            "margin": margin_percentile(net.logits(x), y, MARGIN),
            "total": moved.norm(dim=1), "per_unit": moved.mean(1),
            "start_length": layers(start)[0].weight.flatten(1).norm(dim=1),
            "spectral": spectral_complexity(net, start), "path": path_norm(net), "frobenius": frobenius_product(net),
            "unit": own_capacity(net, start), "vc": vc_count(net),
            "start_spectral": spectral_product(start), "start_path": path_norm(start),
            "start_frobenius": frobenius_product(start),
        }  # fmt: skip
        return {name: values.double().numpy() for name, values in found.items()}


def own_capacity(net: StackedMLP, start: StackedMLP) -> torch.Tensor:
    """Return ‖V‖_F (‖U - U⁰‖_F + ‖U⁰‖₂), [R], of the last layer V and the first U (Neyshabur et al. 2019, theorem 2).

    For two-layer nets it is their measure but for the √h that the theorem adds; for deeper ones it has no meaning.
    """
    last, first = layers(net)[-1].weight.flatten(1).norm(dim=1), layers(start)[0].weight[:, 0]
    return last * (unit_capacity(net, start).norm(dim=1) + torch.linalg.matrix_norm(first, 2))
