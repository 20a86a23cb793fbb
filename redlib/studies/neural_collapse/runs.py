"""The runs of the neural-collapse study: training far past zero error, and what the layers look like then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data.replicates import corrupt_rows
from redlib.data.sources import Dataset
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn, Training, loaded
from redlib.experiments.results import Arrays, among
from redlib.measures.collapse import collapse, in_plane
from redlib.measures.layers import classifier_of, layers_of
from redlib.nets import StackedMLP
from redlib.nets.convnets import resnet18k, seeded
from redlib.nets.initialisers import Initialiser, mean_field
from redlib.nets.normed import normed_mlp
from redlib.nets.ticketnets import build
from redlib.pruning.masks import density
from redlib.pruning.tickets import Cut, find_tickets, stacked_arms
from redlib.studies.neural_collapse.look import Numbers, chi, ends, margin
from redlib.training import Examples

MODULES = 4  # times as long as a stack of MLPs, about, take modules


@dataclass(frozen=True, kw_only=True)
class Terminal(Drawn, Training, Experiment):
    """A net trained long after it fits the data, and looked at meanwhile.

    `net` is "mlp" or "normed_mlp" (BatchNorm behind every hidden layer) of `hidden` units, or a conv net with
    BatchNorm: "small_conv" or "resnet18k" (ResNet-18 for 64) of `channels`.
    """

    pool: int | None = 1437
    tests: int | None = 360
    n: int | None = 1000
    noise: float = 0.0  # share of training labels that are wrong
    net: str = "mlp"
    hidden: tuple[int, ...] = (256, 256, 256)
    channels: int = 16  # of the first convolution
    gain: float = 0.6  # times the standard deviation of He et al. (2015), for MLPs
    loss: str = "mse"
    optimizer: str = "sgd"
    lr: float = 1.5
    weight_decay: float = 3e-5
    drops: tuple[float, ...] = (0.8,)
    batch: int = 64
    epochs: int = 288
    looks: int = 28  # at geometrically spaced epochs, and one at the untrained net; 1: at the end alone
    neighbours: int = 0  # examples whose neighbours are counted in every layer
    attacked: int = 0  # test examples
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = """
    epochs: look
    nc* test_* logit_* rank train_error confident gap_spread mislabelled_* margin: seed look
    strength: seed look direction
    chi*: seed end layer
    alignment: seed look matrix
    """

    def load(self) -> Dataset:
        """Return the data: rows for MLPs, images for conv nets."""
        sizes = self.pool, self.validation, self.tests
        return loaded(self.dataset, *sizes, self.net.endswith("mlp"), self.normalise)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return float(self.epochs * sum(self.hidden) * len(self.seeds) * (1 if self.net == "mlp" else MODULES))

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return epochs [T] and what `look` measures, [S, T]; by layer or direction [S, T, n], chi [S, 2, layers]."""
        data = self.load()
        return self.watched(self.nets(data.train.x, data.classes), self.examples(), self.look)

    def nets(self, x: Tensor, classes: int) -> Any:
        """Return the initial net of every seed for inputs x: a stack of MLPs, or a list of modules with BatchNorm."""
        sizes = x.shape[1], *self.hidden, classes
        if self.net == "mlp":
            return StackedMLP.create(sizes, self.seeds, init=self.law())
        if self.net == "normed_mlp":
            return [seeded(normed_mlp, seed, sizes, self.gain) for seed in self.seeds]
        if self.net == "resnet18k":
            return [seeded(resnet18k, seed, self.channels, classes, x.shape[1]) for seed in self.seeds]
        return [build(self.net, seed, classes, x.shape[1], x.shape[-1], width=self.channels) for seed in self.seeds]

    def law(self) -> Initialiser:
        """Return the law of He et al. (2015) with `gain` times its standard deviation, and no biases."""
        return mean_field(self.gain * 2**0.5, 0.0)

    def told(self) -> Tensor:
        """Return the labels that each seed's net is told [S, n]."""
        _, true = self.parts()["train"].table(len(self.seeds))
        rows = torch.arange(true.numel()).view_as(true)
        return corrupt_rows(true.flatten(), rows, self.noise, self.load().classes, self.seeds)

    def examples(self) -> Examples:
        """Return the training examples of every seed, mislabelled as asked."""
        train = self.parts()["train"]
        return replace(train, y=self.told()) if self.noise else train

    @torch.no_grad()
    def watched(self, net: Any, examples: Examples, look: Callable[[Any, bool], Numbers]) -> Arrays:
        """Train nets in place (any multiple of the seeds), stop for looks; return the epochs and what was seen.

        The first and the last look are told so.
        """
        seen, state = [], None
        for epoch in self.moments():
            if epoch:
                steps = int(epoch) * self.total(len(examples)) // self.epochs
                state = self.fit(net, examples, steps, seeds=self.seeds, resume=state).state
            seen.append(look(net, epoch in (0, self.epochs)))
        found = {name: torch.stack([one[name] for one in seen if name in one], 1).cpu().numpy() for name in seen[0]}
        return {"epochs": np.array(self.moments())} | found

    def look(self, net: Any, end: bool) -> Numbers:
        """Return what the study measures of nets, by name, [R] or [R, n]; chi at both ends of training alone."""
        weights, told = classifier_of(net)[0], self.told()
        parts = {name: part.to(weights.device) for name, part in self.parts().items()}
        found = ends(net, parts, told.repeat(len(weights) // len(told), 1).to(weights.device), self.load().classes)
        if self.neighbours and end:
            found |= chi(net, parts, self.neighbours)
        if self.attacked:
            found["margin"] = margin(net, parts["test"], self.attacked)
        return found

    def moments(self) -> list[float]:
        """Return the epochs of the looks: 0, then geometrically from 1 to the end."""
        return [0, *np.unique(np.geomspace(self.epochs, 1, self.looks).round()).tolist()]


@dataclass(frozen=True, kw_only=True)
class Tickets(Terminal):
    """Tickets, found by rounds of shorter trainings, and random masks, trained as long as the dense net (NC-10)."""

    rounds: int = 5
    cut: Cut = Cut(0.37, 0.185)
    round_epochs: int = 43
    arms: tuple[str, ...] = ("ticket", "random")

    arrays = among("arm", Terminal.arrays) + "density: seed"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the arrays of `Terminal` with an axis of arms after the seeds, and density [S]."""
        data, examples, short = self.load(), self.examples(), replace(self, epochs=self.round_epochs)
        initial = self.nets(data.train.x, data.classes)
        masks = find_tickets(initial, lambda net: short.fit(net, examples), self.rounds, self.cut)[-1]
        stack = stacked_arms(initial, {0: masks}, self.arms, self.law())
        found = self.grouped(self.watched(stack, examples, self.look), "arm")
        return found | {"density": density(masks).double().numpy()}


@dataclass(frozen=True, kw_only=True)
class Triangle(Terminal):
    """A net on few examples of three classes, for the picture: where its logits and features move."""

    digits: tuple[int, ...] = (3, 5, 8)  # rising
    points: int = 240

    arrays = """
    epochs: look
    y: point
    nc1: seed look
    logits: seed look point class
    features: seed look point axis
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what a net does with its n = `points` examples over the looks T.

        epochs [T], y [n] from 0, nc1 [S, T], logits [S, T, n, C], and features [S, T, n, 2] `in_plane`.
        """
        data, digits = self.load().train, torch.tensor(self.digits)
        chosen = torch.isin(data.y, digits).nonzero()[: self.points, 0]
        x, y, classes = data.x[chosen], torch.searchsorted(digits, data.y[chosen]), len(digits)

        def frame(net: Any, end: bool) -> Numbers:
            *_, features, logits = layers_of(net, x)
            nc1 = collapse([(features, y)], classes)["nc1"]
            return {"logits": logits, "features": in_plane(features, y, classes), "nc1": nc1}

        return self.watched(self.nets(x, classes), Examples(x, y), frame) | {"y": y.numpy()}
