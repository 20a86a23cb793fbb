"""Training past zero error, and what the layers look like then: the runs of the neural-collapse study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data import Dataset, load
from redlib.data.replicates import corrupt_rows
from redlib.errors import BadInput
from redlib.measures.collapse import class_means, collapse
from redlib.measures.simplex import simplex_etf
from redlib.nets import StackedMLP
from redlib.nets.convnets import resnet18k, seeded
from redlib.nets.initialisers import Initialiser, mean_field
from redlib.nets.normed import normed_mlp
from redlib.nets.ticketnets import build
from redlib.pruning.tickets import find_tickets, stacked_arms
from redlib.studies.collapse_look import Look, layers_of
from redlib.training import SGD, Examples, fit, step_decay
from redlib.training.execution import by_density
from redlib.training.history import History
from redlib.training.record import Probe

SEEDS = tuple(range(5))
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Terminal:
    """A net trained long after it fits the data.

    `net` is "mlp" or "normed_mlp" (BatchNorm behind every hidden layer) of `hidden` units, or a conv net with
    BatchNorm: "small_conv" or "resnet18k" (ResNet-18 for 64) of `channels`.
    """

    dataset: str = "digits"
    train: int = 1437
    tests: int = 360
    hidden: tuple[int, ...] = (256, 256, 256)
    net: str = "mlp"
    channels: int = 16  # of the first convolution
    loss: str = "mse"
    gain: float = 0.6  # times the standard deviation of He et al. (2015), for MLPs
    lr: float = 1.5
    momentum: float = 0.9
    weight_decay: float = 3e-5
    drops: tuple[float, ...] = (0.8,)  # shares of training after which the rate falls to a tenth
    batch: int = 64
    epochs: int = 200
    noise: float = 0.0  # share of training labels that are wrong
    looks: int = 28
    neighbours: int = 300
    margins: int = 60
    seeds: tuple[int, ...] = SEEDS

    @property
    def cost(self) -> float:
        """Relative time of the run: multiplications of a forward pass, over all examples and epochs."""
        pixels = 64 if self.dataset == "digits" else 784
        sizes = pixels, *self.hidden, 10
        each = sum(np.multiply(sizes[1:], sizes[:-1])) if self.rows else pixels * 200 * self.channels
        return float(self.epochs * self.train * len(self.seeds) * each)

    @property
    def rows(self) -> bool:
        """Whether the net takes images as rows of pixels."""
        return self.net.endswith("mlp")


@dataclass(frozen=True)
class Tickets:
    """Tickets, found by rounds of shorter trainings, and random masks, trained as long as the dense net (NC-10)."""

    source: Terminal
    rounds: int = 5
    rate: float = 0.37  # cut each round; the output layer half of it
    round_epochs: int = 30
    arms: tuple[str, ...] = ("ticket", "random")

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.source.cost * (len(self.arms) + self.rounds * self.round_epochs / self.source.epochs)


@dataclass(frozen=True)
class Triangle:
    """One net on three classes, for the picture: where outputs, logits and features of its examples move."""

    source: Terminal
    classes: tuple[int, ...] = (3, 5, 8)
    points: int = 60  # of each class
    seeds: tuple[int, ...] = (0,)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.source.cost / len(self.source.seeds)


@singledispatch
def run(config: object) -> Arrays:
    """Return the arrays of one experiment; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_terminal(config: Terminal) -> Arrays:
    """Return epochs [T] and everything a `Look` measures, [S, T]; values by layer are [S, T, layers]."""
    data = dataset(config)
    train, look = examples(config, data)
    return arrays(trained(nets(config, data.train.x, data.classes), train, config, look=look), look)


@run.register
def run_tickets(config: Tickets) -> Arrays:
    """Return the arrays of `run_terminal` with an axis of arms after the seeds, and density [S]."""
    source = config.source
    data = dataset(source)
    train, look = examples(source, data)
    initial = nets(source, data.train.x, data.classes)
    short = replace(source, epochs=config.round_epochs)
    masks = find_tickets(initial, lambda net: trained(net, train, short), config.rounds, config.rate, config.rate / 2)
    stacks = stacked_arms(initial, {0: masks[-1]}, list(config.arms), initialiser(source))
    found = arrays(trained(stacks, train, source, look=look), look)
    shape = len(config.arms), len(source.seeds)
    by_arm = {name: np.moveaxis(v.reshape(*shape, *v.shape[1:]), 0, 1) for name, v in found.items() if name != "epochs"}
    kept = torch.stack([m.flatten(1).sum(1) for m in masks[-1].values()]).sum(0)
    return by_arm | {
        "epochs": found["epochs"],
        "density": (kept / sum(m[0].numel() for m in masks[-1].values())).numpy(),
    }


@run.register
def run_triangle(config: Triangle) -> Arrays:
    """Return what one net does with the `points` examples of each class, over the looks T.

    epochs, train_error and nc1 [T]; y [n]; probabilities and logits [T, n, C]; features [T, n, 2] in the plane of the
    class means (of the two widest directions, if C > 3), turned so that these point where the corners of a simplex do.
    """
    source = replace(config.source, seeds=config.seeds)
    data = dataset(source).train
    chosen = [(data.y == label).nonzero()[:, 0] for label in config.classes]
    x, y = data.x[torch.cat(chosen)], torch.cat([torch.full_like(rows, c) for c, rows in enumerate(chosen)])
    shown = torch.cat([(y == c).nonzero()[: config.points, 0] for c in range(len(chosen))])

    def frame(net: Any) -> Tensor:
        layers = layers_of(net, x)
        flat = in_plane(layers[-2], y, len(chosen))
        return torch.cat([layers[-1].softmax(2), layers[-1], flat], 2)[:, shown]

    def numbers(net: Any) -> Tensor:
        layers = layers_of(net, x)
        nc1 = collapse([(layers[-2], y)], len(chosen))["nc1"]
        return torch.stack([(layers[-1].argmax(2) != y).double().mean(1), nc1], 1)

    history = trained(nets(source, x, len(chosen)), Examples(x, y), source, frame=frame, numbers=numbers)
    parts = np.split(history["frame"][0], [len(chosen), 2 * len(chosen)], axis=2)
    found = dict(zip(("probabilities", "logits", "features"), parts, strict=True))
    error, nc1 = history["numbers"][0].T
    return found | {"epochs": history.epochs, "y": y[shown].numpy(), "train_error": error, "nc1": nc1}


def in_plane(features: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return features [R, n, 2] in the plane of their class means, turned to match a simplex as well as can be."""
    found = class_means([(features, y)], classes)
    target = simplex_etf(classes, classes - 1)
    u, _, v = torch.linalg.svd(found.centred.mT @ target, full_matrices=False)  # Procrustes
    return ((features.double() - found.global_mean[:, None]) @ (u @ v))[..., :2].to(features)


def dataset(config: Terminal) -> Dataset:
    """Return the data, images for conv nets, rows for MLPs."""
    return load(config.dataset, n_train=config.train, n_test=config.tests, flatten=config.rows)


def examples(config: Terminal, data: Dataset) -> tuple[Examples, Look]:
    """Return the training examples of every replicate, mislabelled as asked, and the look at their nets."""
    rows = torch.arange(len(data.train)).expand(len(config.seeds), -1)
    told = corrupt_rows(data.train.y, rows, config.noise, data.classes, config.seeds)
    look = Look(
        data.train.x, data.train.y, data.test.x, data.test.y, data.classes, config.seeds,
        dict(zip(config.seeds, told, strict=True)), config.neighbours, config.margins,
    )  # fmt: skip
    return Examples(data.train.x, told if config.noise else data.train.y), look


def nets(config: Terminal, x: Tensor, classes: int) -> Any:
    """Return one initial net per seed for inputs x: a stack of MLPs, or a list of modules with BatchNorm."""
    sizes = x.shape[1], *config.hidden, classes
    if config.net == "mlp":
        return StackedMLP.create(sizes, config.seeds, init=initialiser(config))
    if config.net == "normed_mlp":
        return [seeded(normed_mlp, seed, sizes, config.gain) for seed in config.seeds]
    if config.net == "resnet18k":
        return [seeded(resnet18k, seed, config.channels, classes, x.shape[1]) for seed in config.seeds]
    return [build(config.net, seed, classes, x.shape[1], x.shape[-1], width=config.channels) for seed in config.seeds]


def initialiser(config: Terminal) -> Initialiser:
    """Return the law of He et al. (2015) with `gain` times its standard deviation, and no biases."""
    return mean_field(config.gain * 2**0.5, 0.0)


def trained(net: Any, train: Examples, config: Terminal, **probes: Probe) -> History:
    """Train `net` in place as `config` says, with its `probes` at geometrically spaced epochs."""
    stacked = isinstance(net, StackedMLP)
    return fit(
        net, train, loss=config.loss, optimizer=SGD(config.lr, config.momentum, weight_decay=config.weight_decay),
        schedule=step_decay(config.drops) if config.drops else None, epochs=config.epochs, batch_size=config.batch,
        seeds=config.seeds, execution=by_density(net) if stacked else "auto", probes=probes,
        probe_epochs=moments(config) if probes else None,
    )  # fmt: skip


def moments(config: Terminal) -> list[float]:
    """Return the epochs of the looks: 0, then geometrically from 1 to the end."""
    return [0, *np.unique(np.geomspace(1, config.epochs, config.looks).round()).tolist()]


def arrays(history: History, look: Look) -> Arrays:
    """Return the looks of a history by name [S, T], values by layer joined: chi5_train [S, T, layers]."""
    values = dict(zip(look.names, np.moveaxis(history["look"], 2, 0), strict=True))
    joined: dict[str, list[np.ndarray]] = {}
    for name, column in values.items():
        stem, _, layer = name.rpartition("_")
        joined.setdefault(stem if layer.isdigit() else name, []).append(column)
    found = {name: np.stack(columns, 2) if len(columns) > 1 else columns[0] for name, columns in joined.items()}
    return found | {"epochs": history.epochs}
