"""The runs of nets on noisy labels over width: shallow and deep, reused weights, ensembles, students, the paper's own.

Errors are shares in [0, 1], of clean test and validation labels, and of the (noisy) labels trained on. The defaults
are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from redlib.data.replicates import corrupt_rows, draw_rows
from redlib.data.teacher import taught
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Parts, Training
from redlib.experiments.results import Arrays, Labels
from redlib.experiments.seedwise import Seedwise
from redlib.measures.ensembles import ensemble_errors
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.growth import grow
from redlib.nets.sizes import parameter_count
from redlib.nets.widenets import wide_net
from redlib.studies.double_descent.linear import Images
from redlib.training import Examples, evaluate, inverse_sqrt
from redlib.training.schedules import Schedule

CURVES = "test_loss test_error train_loss train_error: seed width epoch\n"
MEMBER = 100_000  # member k of an ensemble trains with seed + k * MEMBER


@dataclass(frozen=True, kw_only=True)
class Sweep(Images, Training, Experiment):
    """What both kinds of sweeps over width share."""

    noise: float = 0.2  # share of wrong training labels
    widths: tuple[int, ...] = (64,)
    looks: int = 1  # at the errors, evenly spaced over log epochs, and one before training
    seeds: tuple[int, ...] = tuple(range(10))

    @property
    def labels(self) -> Labels:
        """Widths, and the epochs of the looks."""
        spaced = np.geomspace(self.epochs, 1, self.looks).round().astype(int)
        return {"width": self.widths, "epoch": (0, *np.unique(spaced).tolist())}

    def watched(self, net: Any, parts: Parts, **more: Any) -> Arrays:
        """Train a net; return its losses and errors on training and test examples at the looks, [R, epochs]."""
        seen = {name: parts[name] for name in ("train", "test")}
        return self.fit(net, parts["train"], evaluate=seen, probe_epochs=self.labels["epoch"], **more).values


@dataclass(frozen=True, kw_only=True)
class WidthSweep(Sweep):
    """MLPs of one depth and many widths on noisy labels; each seed draws its own training examples.

    One hidden layer trains all widths at once, more take them one after another. With `reuse`, each width starts from
    the trained smaller net, its new units small (Belkin et al. 2019, appendix).
    """

    dataset: str = "mnist1d"
    pool: int | None = 4000  # training examples from which each seed draws
    validation: int = 1000
    tests: int | None = 1000
    n: int = 400
    widths: tuple[int, ...] = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512)
    depth: int = 1  # hidden layers
    loss: str = "mse"
    lr: float = 2e-3
    epochs: int = 800
    shift: int = 0  # largest shift of the augmentation, in samples (MNIST-1D) or pixels; 0 is none
    members: int = 1  # nets per seed that share its data and differ in initialisation and order
    reuse: bool = False

    arrays = (
        CURVES
        + """
        validation_error: seed width end
        ensemble_error member_error: seed width
        """
    )

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        parameters = self.n * sum(map(self.over_labels, self.widths))
        return self.n * self.epochs * len(self.seeds) * self.members * parameters / 1e9

    @property
    def ends(self) -> tuple[int, int]:
        """Numbers of inputs and of classes."""
        data = self.load()
        return self.averaged(data.test.x[:1]).numel(), data.classes

    def over_labels(self, width: int) -> float:
        """Return the parameters of a net over the numbers that it has to fit, classes x examples."""
        inputs, classes = self.ends
        return parameter_count((inputs, *[width] * self.depth, classes)) / (classes * self.n)

    def parts(self) -> Parts:
        """Return noisy "train" examples per replicate, clean shared "validation" and "test" ones, all flat."""
        parts = super().parts()
        x, y = parts["train"].x, parts["train"].y
        rows = draw_rows(len(x), self.n, self.seeds)
        labels = corrupt_rows(y, rows, self.noise, self.load().classes, self.seeds)
        rows, labels = (table.repeat_interleave(self.members, 0) for table in (rows, labels))
        shifts = [0, *(sign * s for s in range(1, self.shift + 1) for sign in (1, -1))]
        pool = torch.cat([torch.roll(x, shift, -1).flatten(1) for shift in shifts])
        flat = {name: part.with_inputs(part.x.flatten(1)) for name, part in parts.items()}
        return flat | {"train": Examples(pool, labels, rows, len(shifts))}

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the curves and the last validation error, means over a seed's members.

        With more than one of these also their last error, and that of their mean output.
        """
        parts, seeds = self.parts(), [seed + k * MEMBER for seed in self.seeds for k in range(self.members)]
        if self.depth > 1 or self.reuse:
            found = self._one_by_one(parts, seeds)
            values = {name: np.stack([each[name] for each in found], 1) for name in found[0]}
        else:
            inputs, classes = self.ends
            net = RaggedMLP.create(inputs, self.widths, classes, seeds)
            values = self.watched(net, parts)
        shape = len(self.seeds), self.members, len(self.widths), -1
        curves = {name: each.reshape(shape).mean(1) for name, each in values.items()}
        return curves | (self._ensemble(net, parts["test"]) if self.members > 1 else {})

    def watched(self, net: Any, parts: Parts, **more: Any) -> Arrays:
        """Train a net; return its curves, and its error on validation examples at the end."""
        curves = super().watched(net, parts, **more)
        return curves | {"validation_error": evaluate(net, parts["validation"], self.loss)["error"].numpy()}

    def _one_by_one(self, parts: Parts, seeds: list[int]) -> list[Arrays]:
        """Train the widths upwards, reusing the smaller net or not; return what was seen of each."""
        inputs, classes = self.ends
        found, smaller = [], None
        for width in self.widths:
            net = StackedMLP.create((inputs, *[width] * self.depth, classes), seeds)
            if self.reuse and smaller is not None:
                grow(net, smaller)
            found.append(self.watched(net, parts))
            smaller = net
        return found

    def _ensemble(self, net: RaggedMLP, test: Examples) -> Arrays:
        """Return the error of the mean output of a seed's members, and their own mean error, [S, widths] each."""
        outputs = torch.stack([net.net(width).logits(test.x) for width in self.widths])
        found = ensemble_errors(outputs.unflatten(1, (len(self.seeds), self.members)), test.y, self.loss)
        return dict(zip(("ensemble_error", "member_error"), (each.T.numpy() for each in found), strict=True))


@dataclass(frozen=True, kw_only=True)
class PaperSweep(Sweep):
    """The paper's own nets: ResNet18-k or the 5-layer CNN on CIFAR (Nakkiran et al. 2019, appendix B).

    Adam 1e-4 for 4,000 epochs; or sgd at 0.1 / sqrt(1 + t/512), for 500,000 steps in the paper.
    """

    net: str = "resnet18k"  # or cnn5
    dataset: str = "cifar10"
    lr: float = 1e-4
    momentum: float = 0.0
    epochs: int = 4000
    batch: int = 128
    augment: bool = True  # random shifts and flips
    precision: str = "bf16"

    arrays = CURVES

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return float(self.epochs * len(self.seeds) * sum(width**2 for width in self.widths))

    def schedule(self) -> Schedule:
        """Return the schedule of the rate: the inverse square root for sgd."""
        return inverse_sqrt(512) if self.optimizer == "sgd" else super().schedule()

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the curves; nets train one after another."""
        found = [self._trained(width, seed) for width in self.widths for seed in self.seeds]
        shape = len(self.widths), len(self.seeds), -1
        return {name: np.concatenate([each[name] for each in found]).reshape(shape).swapaxes(0, 1) for name in found[0]}

    def _trained(self, width: int, seed: int) -> Arrays:
        parts, classes = self.parts(), self.load().classes
        x, y = parts["train"].x, parts["train"].y
        rows = torch.arange(len(x))[None]
        parts["train"] = Examples(x, corrupt_rows(y, rows, self.noise, classes, [seed]), rows)
        net = wide_net(self.net, seed, width, classes, *x.shape[1:3], augment=self.augment)
        return self.watched(net, parts, seeds=[seed], label=f"{self.net} width {width} seed {seed}")


@dataclass(frozen=True, kw_only=True)
class Students(Training, Seedwise):
    """Students of multiples of a teacher's width that learn its labels: which reach zero error? (DD-19)."""

    inputs: int = 10
    teacher: int = 4
    multiples: tuple[int, ...] = (1, 2, 4, 8)
    n: int = 200
    optimizer: str = "sgd"
    lr: float = 0.05
    batch: int = 20
    epochs: int = 200
    tries: int = 10  # students per seed and width

    arrays = "success: seed multiple"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the share of a seed's students of each width that fit the teacher's labels without error."""
        seeds = [seed + k * MEMBER for seed in self.seeds for k in range(self.tries)]
        x, y = zip(*(taught(seed, self.n, self.inputs, self.teacher) for seed in seeds), strict=True)
        data = Examples(torch.cat(x), torch.stack(y), torch.arange(len(seeds) * self.n).view(len(seeds), self.n))
        net = RaggedMLP.create(self.inputs, [self.teacher * m for m in self.multiples], 2, seeds)
        looks = np.linspace(0, self.epochs, 41).round().tolist()
        errors = self.fit(net, data, evaluate={"train": data}, probe_epochs=looks)["train_error"].min(1)
        return {"success": (errors.reshape(len(self.seeds), self.tries, -1) == 0).mean(1)}
