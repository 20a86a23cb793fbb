"""Nets that learn some wrong labels by heart, and what they decide as the images blur: the runs of study 06.

Between rates of wrong labels only the labels differ: a seed draws the same initial net and the same batches for every
rate. Which images are mislabelled is fixed by their order ("every k-th of its class"), so each seed counts them off in
an order of its own; else all seeds would be told lies about the same images. Arrays are in the order of the data.

Standard deviations of a blur are in pixels of images 28 pixels wide, as in the source: 1.3 means 1.3/28 of the width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from redlib.data.blur import PADDINGS, blur, odd_size
from redlib.data.mislabel import mislabel_rows
from redlib.data.replicates import fold_rows
from redlib.data.streams import rng
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Data, Training
from redlib.experiments.results import Arrays, Labels
from redlib.measures import robustness
from redlib.nets import StackedMLP
from redlib.nets.strided import build_strided
from redlib.pruning.masks import density
from redlib.pruning.tickets import ARMS, Cut, find_tickets, prepare
from redlib.training import Batches, Examples, evaluate
from redlib.training.engines import AutogradEngine

SIGMAS = (  # densest where mislabelled images change, then where the others do
    0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.6, 2.9, 3.2, 3.6, 4.0, 4.5, 5.0, 6.0,
    8.0, 10.0,
)  # fmt: skip
CHANGES = ("shift", "rotation", "noise", "gradient")
GROUPS = ("mislabelled", "clean")
EFFORT = {"mlp": 1.0, "conv": 5.0, "residual": 8.0, "resnet18": 1000.0}  # time per image and epoch, relative
STARTS, PICKED = 61, 62  # keys of the streams "augment" and "eval"
Nets = list[nn.Module]
Look = Callable[[Nets], Tensor]


@dataclass(frozen=True, kw_only=True)
class Mislabelled(Data, Training, Experiment):
    """Training images of which each seed is told a wrong label for every k-th one of each class."""

    pool: int | None = 1437
    every: int = 20  # k
    annealed: bool = True
    batch: int = 32
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return float(self.epochs * (self.pool or 60_000) * len(self.seeds))

    def told(self) -> Examples:
        """Return the training images with the labels that each seed is told, [S, n]; it counts in its own order."""
        data = self.load()
        return Examples(data.train.x, mislabel_rows(data.train.y, self.every, data.classes, self.seeds))


@dataclass(frozen=True, kw_only=True)
class Blurred(Mislabelled):
    """Nets that learn the labels they are told, and their decisions on blurred images.

    `net` and `widths` as in `redlib.nets.strided`. `changes` names other changes of the image (`transforms.TRANSFORMS`)
    that are made as large on average as a blur of each of `sizes`; they are watched on all learned mislabelled and on
    the first `clean` other training images. `epsilons` are lengths of steps along signs, in units of the largest grey
    value.
    """

    tests: int | None = 360
    net: str = "conv"
    widths: tuple[int, ...] = (12, 16)
    lr: float = 0.01
    epochs: int = 40
    looks: int = 20  # at what is learned, evenly spaced over training
    sigmas: tuple[float, ...] = SIGMAS
    changes: tuple[str, ...] = ()
    sizes: tuple[float, ...] = (1.3, 2.0, 2.6, 3.2, 4.0)
    clean: int = 500
    epsilons: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)

    flat = False

    arrays = """
    true: image
    epochs: look
    wrong_mislabelled wrong_clean: seed look
    assigned: seed image
    train: seed blur image
    test: seed blur unseen
    changed_*: seed group size
    flips_*: seed step
    """

    @property
    def labels(self) -> Labels:
        """Blurs (none first), sizes of other changes, lengths of steps along signs, groups of images."""
        return {"blur": (0.0, *self.sigmas), "size": self.sizes, "step": self.epsilons, "group": GROUPS}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return EFFORT.get(self.net, 1.0) * super().cost

    def moments(self) -> list[int]:
        """Return the epochs after which training images are looked at; the last is one."""
        return np.unique(np.linspace(0, self.epochs, self.looks + 1).round().astype(int))[1:].tolist()

    def nets(self) -> Nets:
        """Return the untrained net of every seed."""
        data = self.load()
        shape = data.classes, *data.train.x.shape[1:3]
        return [build_strided(self.net, seed, self.widths, *shape) for seed in self.seeds]

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the curves of training and the decisions of the trained nets.

        assigned [S, n] and true labels [n]; decisions int8 train [S, K + 1, n] and test [S, K + 1, m] at each blur;
        wrong_mislabelled and wrong_clean [S, T], numbers of training images not taken as told, at `epochs` [T]; per
        change changed_<name> [S, 2, J], shares of the learned images of each group that change the decision, at
        `sizes`; flips_gradient and flips_random [S, E], shares of the test images, at `epsilons`.
        """
        examples, y, nets = self.told(), self.load().train.y, self.nets()
        missed = self.train(nets, examples, errors(examples, y))
        found = dict(zip(("wrong_mislabelled", "wrong_clean"), np.moveaxis(missed, 2, 0), strict=True))
        found |= {"epochs": np.array(self.moments()), "assigned": examples.y.numpy().astype(np.int8)}
        return found | {"true": y.numpy().astype(np.int8)} | self.decided(nets, examples.y)

    def train(self, nets: Nets, examples: Examples, look: Look) -> np.ndarray:
        """Train the nets in place; return what is seen at each look, [S, T, ...]."""
        return self.fit(nets, examples, seeds=self.seeds, probes={"seen": look}, probe_epochs=self.moments())["seen"]

    def decided(self, nets: Nets, assigned: Tensor) -> Arrays:
        """Return what the trained nets decide on images that are blurred, changed otherwise, or moved along signs."""
        data = self.load()
        train, test = (robustness.blurred_decisions(nets, p.x, self.labels["blur"]) for p in (data.train, data.test))
        known = torch.from_numpy(train[:, 0]) == assigned
        each = zip(nets, self.seeds, strict=True)
        flips = zip(*(robustness.flips(net, data.test.x, self.epsilons, seed) for net, seed in each), strict=True)
        found = dict(zip(("flips_gradient", "flips_random"), map(np.stack, flips), strict=True))
        found |= {f"changed_{name}": self.changed(name, nets, assigned, known) for name in self.changes}
        return found | {"train": train, "test": test}

    def changed(self, name: str, nets: Nets, assigned: Tensor, known: Tensor) -> np.ndarray:
        """Return the shares of learned images (`known` [S, n]) that a change makes nets decide otherwise on, [S, 2, J].

        First of the mislabelled images, then of the first `clean` others.
        """
        images, found = self.load().train, []
        for net, labels, learned, seed in zip(nets, assigned, known, self.seeds, strict=True):
            wrong = labels != images.y
            rows = watched(learned, wrong, self.clean)
            own = images.x[rows], labels[rows], wrong[rows]
            found.append(robustness.changed_shares(net, name, *own, self.sizes, seed))
        return np.stack(found)


@dataclass(frozen=True, kw_only=True)
class Robust(Blurred):
    """The same nets trained on the worst images within `epsilon` of the training images (Madry et al. 2018).

    Projected gradient descent of `climbs` steps along the sign of the gradient, from a random start.
    """

    epsilon: float = 0.03  # of the largest grey value, for every pixel
    climbs: int = 2

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return (1 + self.climbs) * super().cost

    def train(self, nets: Nets, examples: Examples, look: Look) -> np.ndarray:
        """Train the nets in place on attacked images; return what is seen at each look, [S, T, ...]."""
        engine, batches = AutogradEngine(nets, self.rule(), self.loss), Batches(examples, self.seeds, self.batch)
        starts = [rng(seed, "augment", STARTS) for seed in self.seeds]
        total, schedule, seen = self.total(len(examples)), self.schedule(), []
        at = [epoch * batches.per_epoch for epoch in self.moments()]
        for step in range(total):
            x, y = batches.at(step)
            each = zip(nets, x, y, starts, strict=True)
            worst = [
                robustness.attacked(net, own, told, self.epsilon, self.climbs, draw) for net, own, told, draw in each
            ]
            engine.step(torch.stack(worst), y, self.lr * schedule(step, total))
            if step + 1 in at:
                seen.append(look(nets))
        return torch.stack(seen, 1).numpy()


@dataclass(frozen=True, kw_only=True)
class Tickets(Mislabelled):
    """MLPs that are pruned round by round, and what of the wrong labels they still learn (BLUR-13).

    Plain stacked MLPs, not the nets of `Blurred`: they train thirty times as fast, and have more weights per image.
    """

    hidden: tuple[int, ...] = (256, 128)
    rounds: int = 7
    rate: float = 0.42  # cut each round; the output layer half of it
    lr: float = 0.005
    epochs: int = 60

    arrays = "density mislabelled_accuracy: seed level"

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 0.1 * (self.rounds + 1) * super().cost

    @property
    def labels(self) -> Labels:
        """Rounds of pruning."""
        return {"level": range(self.rounds + 1)}

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return density and mislabelled_accuracy [S, L], in percent, of the tickets of every round, dense first."""
        examples, data = self.told(), self.load()
        rows = torch.stack([(row != data.train.y).nonzero()[:, 0] for row in examples.y])
        mislabelled = Examples(examples.x, examples.y.gather(1, rows), rows)
        start = StackedMLP.create((examples.x.shape[1], *self.hidden, data.classes), self.seeds, init="he")
        found: list[Tensor] = []

        def train(net: StackedMLP) -> None:
            self.fit(net, examples)
            found.append(100 * (1 - evaluate(net, mislabelled)["error"]))

        masks = find_tickets(start, train, self.rounds, Cut(self.rate, self.rate / 2))
        train(prepare(ARMS["ticket"], start, masks[-1]))
        kept = torch.stack([density(each) for each in masks], 1).double().numpy()
        return {"density": kept, "mislabelled_accuracy": torch.stack(found, 1).numpy()}


@dataclass(frozen=True, kw_only=True)
class Disagreement(Data, Training, Experiment):
    """The share of true training labels that an MLP trained on the other folds contradicts (BLUR-12)."""

    dataset: str = "mnist"
    pool: int | None = None
    tests: int | None = 1000
    folds: int = 5
    hidden: tuple[int, ...] = (256,)
    lr: float = 0.002
    annealed: bool = True
    batch: int = 128
    epochs: int = 12
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = "disagreement: seed"

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 0.1 * self.folds * self.epochs * (self.pool or 60_000) * len(self.seeds)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return disagreement [S], percent of labels contradicted by nets that have not seen them."""
        data = self.load()
        kept, held = fold_rows(len(data.train), self.folds, self.seeds)
        seeds = [seed for seed in self.seeds for _ in range(self.folds)]
        net = StackedMLP.create((data.train.x.shape[1], *self.hidden, data.classes), seeds, init="he")
        known, unknown = (Examples(data.train.x, data.train.y[rows], rows) for rows in (kept, held))
        self.fit(net, known)
        wrong = evaluate(net, unknown)["error"].view(len(self.seeds), self.folds)
        return {"disagreement": 100 * wrong.mean(1).numpy()}


@dataclass(frozen=True, kw_only=True)
class Kernel(Data, Experiment):
    """What is left of images under a blur of `sigma` pixels with a kernel as large as the image, and of a weak one.

    Every seed looks at `images` training images of its own.
    """

    pool: int | None = 1437
    images: int = 300
    sigma: float = 1e4
    weak: float = 1.3  # in pixels of images 28 pixels wide
    seeds: tuple[int, ...] = tuple(range(5))

    flat = False

    arrays = "limit_* correlation: seed"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return limit_<padding> [S], the mean over images of the spread within a blurred image over its mean.

        And correlation [S], the mean correlation of an image with its weakly blurred self.
        """
        every = self.load().train.x
        images = min(self.images, len(every))
        picked = [rng(seed, "eval", PICKED).permutation(len(every))[:images] for seed in self.seeds]
        found: dict[str, list[float]] = {}
        for x in (every[rows].double() for rows in picked):
            for padding in PADDINGS:
                flat = blur(x, [self.sigma], odd_size(x.shape[-1]), padding)[0].flatten(1)
                spread = flat.std(1, correction=0) / flat.mean(1)
                found.setdefault(f"limit_{padding}", []).append(float(spread.mean()))
            weak = blur(x, robustness.pixels([self.weak], x.shape[-1]))[0]
            found.setdefault("correlation", []).append(float(robustness.image_correlations(x, weak).mean()))
        return {name: np.array(values) for name, values in found.items()}


def errors(examples: Examples, true: Tensor) -> Look:
    """Return a look: numbers of mislabelled and of clean training images not taken as told, [S, 2].

    BatchNorm uses its running statistics.
    """
    groups = [examples.y != true, examples.y == true]

    def seen(nets: Nets) -> Tensor:
        missed = torch.stack([robustness.decisions(net, examples.x) for net in nets]) != examples.y
        return torch.stack([(missed & group).sum(1) for group in groups], 1)

    return seen


def watched(known: Tensor, mislabelled: Tensor, clean: int) -> Tensor:
    """Return the rows of the images `known` [n] that are `mislabelled` [n], and of the first `clean` known others."""
    others = known & ~mislabelled
    return (known & mislabelled | others & (others.cumsum(0) <= clean)).nonzero()[:, 0]
