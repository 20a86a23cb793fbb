"""Minima and their curvature: of small and large batches, of attacked nets and random starts, of steps of many sizes.

Curvatures are those of the mean loss that was trained with, so that 2/η holds for its steps, without weight decay. They
are measured seed by seed, all nets of a seed at once: Lanczos goes on until the last of its nets has converged, and no
seed may depend on its company. The defaults are the profile `laptop`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from redlib.data.noise import corrupt_labels
from redlib.data.sources import Dataset
from redlib.data.streams import rng
from redlib.experiments.experiment import Experiment, given
from redlib.experiments.lab import Data, Drawn, Net, Training, loaded, repeated
from redlib.experiments.results import Arrays, Labels
from redlib.measures.curvature import (
    MeanLoss,
    adaptive_sharpness,
    box_sharpness,
    eigenvalues,
    loss_of,
    non_uniformity,
    top_eigenvalues,
)
from redlib.nets import StackedMLP
from redlib.nets.convnets import seeded
from redlib.studies.generalization.widths import layer_sizes, weights
from redlib.training import SGD, Adam, Examples, History, evaluate
from redlib.training.optimisers import Rule

MEMBER = 100_000  # start k of a seed has the seed + k · MEMBER
DIRECTION = 81  # key of the stream "eval", so that no other draw of a seed repeats these
ROUGH = 1e-2  # of the largest eigenvalue: what its residual may be, and its own error then is some 1e-4
MODULES = 30  # times as long as a stack of MLPs, about, take conv nets


@dataclass(frozen=True, kw_only=True)
class BatchSizes(Drawn, Training, Experiment):
    """One-hidden-layer nets trained equally many epochs with batches of several sizes, at several rates (GEN-9).

    `lr`, one of `rates`, is the rate that all batches share.
    """

    pool: int | None = 897
    validation: int = 200
    tests: int | None = 700  # as many as are left: the two batches differ by little
    n: int | None = 512
    hidden: tuple[int, ...] = (128,)
    batches: tuple[int, ...] = (16, 128)
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    epochs: int = 150
    until: float = 0.05  # training cross-entropy at which curvatures are compared, too
    climbs: int = 20  # steps of the ascent in Keskar's box
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = """
    train_error train_loss validation_error validation_loss test_error: seed batch rate
    curvature box invariant one_rate tuned_rate tuned_curvature: seed batch
    equal_loss equal_curvature: seed batch
    """

    @property
    def labels(self) -> Labels:
        """Batch sizes and rates."""
        return {"batch": self.batches, "rate": self.rates}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        nets = len(self.seeds) * len(self.rates) * len(self.batches)
        return nets * self.size * self.epochs * weights(self.load(), self.hidden) / 1e9

    def rule(self) -> Rule:
        """Return Adam at the rate of each net, rate by rate."""
        return Adam(tuple(rate for rate in self.rates for _ in self.seeds))

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return errors (shares) and losses at the end [S, batches, rates], and what `look` measures, [S, batches]."""
        found = [replace(self, batches=(batch,), batch=batch).trained() for batch in self.batches]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def nets(self) -> StackedMLP:
        """Return the initial nets, all seeds at the first rate, then at the next."""
        return StackedMLP.create(layer_sizes(self.load(), self.hidden), self.seeds * len(self.rates))

    def trained(self) -> Arrays:
        """Return what nets of the one batch size `batch` do: [S, rates], and their curvatures [S]."""
        parts, net = self.parts(), self.nets()
        self.fit(net, parts["train"])
        ends = {name: evaluate(net, repeated(part, net.groups), self.loss) for name, part in parts.items()}
        found = {f"{part}_{what}": values.numpy() for part, end in ends.items() for what, values in end.items()}
        del found["test_loss"]
        tables = {name: values.reshape(len(self.rates), -1).T for name, values in found.items()}
        # The best rate by validation error; of several the one of least validation loss.
        best = np.lexsort((tables["validation_loss"], tables["validation_error"]), axis=1)[:, 0]
        each = [self.look(net, s, int(rate), parts["train"]) for s, rate in enumerate(best)]
        curvatures = {name: np.array([one[name] for one in each]) for name in each[0]}
        rates = {"one_rate": np.full(len(best), self.lr), "tuned_rate": np.array(self.rates)[best]}
        return tables | curvatures | rates | self.at_equal_loss()

    def look(self, net: StackedMLP, seed: int, tuned: int, train: Examples) -> dict[str, float]:
        """Return the curvatures of a seed at the shared rate, and at the rate number `tuned`."""
        one, best = (seed + k * len(self.seeds) for k in (self.rates.index(self.lr), tuned))
        own = train.select([seed, seed])
        at = loss_of(net.select([one]), own.select([0]), self.loss)
        return {
            "curvature": float(top(at)),
            "tuned_curvature": float(top(loss_of(net.select([best]), own.select([0]), self.loss))),
            "invariant": float(adaptive_sharpness(at, tolerance=ROUGH).values),
            "box": float(box_sharpness(at, steps=self.climbs, starts=1)),
        }

    def at_equal_loss(self) -> Arrays:
        """Return loss and curvature [S] at the first epoch with a training loss down to `until`, at the shared rate."""
        alone = replace(self, rates=(self.lr,))
        net, train = alone.nets(), self.parts()["train"]
        alone.fit(
            net, train, evaluate={"train": train}, probe_steps=range(0, self.total(self.size) + 1, self.total(self.size)
            // self.epochs), stop=lambda seen: seen["train_loss"] <= self.until,
        )  # fmt: skip
        losses = [loss_of(net.select([s]), train.select([s]), self.loss) for s in range(len(self.seeds))]
        reached = np.array([float(loss.value()) for loss in losses])
        curvature = np.array([float(top(loss)) for loss in losses])
        return {"equal_loss": reached, "equal_curvature": np.where(reached <= self.until, curvature, np.nan)}


@dataclass(frozen=True, kw_only=True)
class Attacked(Data, Training, Experiment):
    """Nets that fit the same images without an error after having learnt wrong labels of others, or none (GEN-10, 11).

    First each net trains on the first `images` of the pool together with an attack set, the next images with wrong
    labels, drawn by its seed, until it has learnt both; then on the first alone, until it makes no error on them and
    its loss is down to `until`, the same for all. Seeds differ in initial weights and wrong labels, not in images, as
    in Wu, Zhu & E 2017.
    """

    pool: int | None = 1437
    tests: int | None = 360
    images: int = 128
    attacks: tuple[int, ...] = (0, 24, 96)  # images with wrong labels; the weight of the attack is their number
    net: str = "mlp"  # or conv, of 3,781 parameters on 28 x 28 images
    hidden: tuple[int, ...] = (14,)
    lr: float = 3e-3
    batch: int = 64
    steps: int = 3000  # with the attack, at most
    calm_lr: float = 3e-3  # of what follows
    calm_steps: int = 3000  # at most
    until: float = 0.003  # training cross-entropy
    looked: int = 10  # steps between two looks at it
    directions: int = 50
    low: float = 0.1  # the loss at which the region of low loss ends
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = """
    test_error train_error train_loss length: seed attack
    eigenvalues: seed attack parameter
    start_eigenvalues: seed parameter
    invariant radius normalised_radius: seed attack
    """

    def load(self) -> Dataset:
        """Return the data: rows for MLPs, images for conv nets."""
        return loaded(self.dataset, self.pool, self.validation, self.tests, self.net == "mlp", self.normalise)

    @property
    def cost(self) -> float:
        """Relative time of the run: most of it are whole Hessians."""
        return float(len(self.seeds) * len(self.attacks) * (MODULES if self.net == "conv" else 1))

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return errors (shares), losses, all curvatures and radii of the solutions, and curvatures of the start."""
        nets = [self.nets(self.seeds), *(self.solved(count) for count in self.attacks)]
        errors = [self.errors(net) for net in nets[1:]]
        each = [self.look([chosen(net, [s]) for net in nets]) for s in range(len(self.seeds))]
        found = {name: torch.stack([one[name] for one in each]).numpy() for name in each[0]}
        return found | {name: np.stack([one[name] for one in errors], 1) for name in errors[0]}

    def nets(self, seeds: Sequence[int]) -> Net:
        """Return the initial nets, one a seed."""
        data = self.load()
        if self.net == "mlp":
            return StackedMLP.create(layer_sizes(data, self.hidden), seeds, init="he")
        return [seeded(small_lenet, seed, data.classes) for seed in seeds]

    def images_alone(self) -> Examples:
        """Return the images that all solutions fit."""
        data = self.load().train
        return Examples(data.x[: self.images], data.y[: self.images])

    def solved(self, count: int) -> Net:
        """Return the nets that were attacked with so many images."""
        net, joint = self.nets(self.seeds), self.with_wrong(count)
        if count:
            # No longer than until it has learnt all: else a mild attack ends below the loss at which all are compared.
            looks = range(0, self.steps + 1, self.looked)
            self.fit(
                net, joint, seeds=self.seeds, evaluate={"train": joint}, probe_steps=looks,
                stop=lambda seen: seen["train_error"] == 0,
            )  # fmt: skip
        return self.calmed(net, self.seeds)

    def with_wrong(self, count: int) -> Examples:
        """Return the images and `count` more of them with labels that are all wrong, of each seed's own."""
        data, end = self.load(), self.images + count
        y, told = data.train.y[: self.images], data.train.y[self.images : end]
        wrong = [torch.cat([y, corrupt_labels(told, 1.0, data.classes, seed)[0]]) for seed in self.seeds]
        return Examples(data.train.x[:end], torch.stack(wrong), torch.arange(end).expand(len(wrong), -1))

    def calmed(self, net: Net, seeds: Sequence[int]) -> Net:
        """Train nets on the images alone until they make no error and their loss is low; return them."""
        train, calm = self.images_alone(), replace(self, lr=self.calm_lr, steps=self.calm_steps)
        calm.fit(
            net, train, seeds=seeds, evaluate={"train": train}, probe_steps=range(0, self.calm_steps + 1, self.looked),
            stop=lambda seen: (seen["train_loss"] <= self.until) & (seen["train_error"] == 0),
        )  # fmt: skip
        return net

    def errors(self, net: Net) -> Arrays:
        """Return training loss, and errors as shares, [R]."""
        seen, unseen = evaluate(net, self.images_alone()), evaluate(net, self.parts()["test"])
        found = {"train_loss": seen["loss"], "train_error": seen["error"], "test_error": unseen["error"]}
        return {name: values.numpy() for name, values in found.items()}

    def look(self, nets: Sequence[Net]) -> dict[str, Tensor]:
        """Return the curvatures of one seed's nets, the untrained first, and how far their regions of low loss reach.

        Curvatures are [attacks, P], largest first, all else is [attacks].
        """
        train = self.images_alone()
        ends, reach = loss_of(joined(nets[1:]), train), [self.reach(net) for net in nets[1:]]
        curvatures = eigenvalues(*by_depth(joined(nets), train))
        return {
            "start_eigenvalues": curvatures[0],
            "eigenvalues": curvatures[1:],
            "invariant": adaptive_sharpness(ends, tolerance=ROUGH).values[:, 0],
            "length": ends.rows.norm(dim=1),
            "radius": torch.stack([one[0] for one in reach]),
            "normalised_radius": torch.stack([one[1] for one in reach]),
        }

    def reach(self, net: Net) -> tuple[Tensor, Tensor]:
        """Return the median radius of one net's region of low loss, and that per length of its layers."""
        many = loss_of(chosen(net, [0] * self.directions), self.images_alone(), dtype=torch.float32)
        # The same directions for all nets, so that two solutions are left in the same ones.
        drawn = rng(0, "eval", DIRECTION).standard_normal((self.directions, many.size))
        own = torch.from_numpy(drawn).float()
        whole = own / own.norm(dim=1, keepdim=True)
        return radii(many, whole, self.low).median(), radii(many, by_layer(many, own), self.low).median()


@dataclass(frozen=True, kw_only=True)
class Starts(Experiment):
    """Nets from many random starts, trained as those of `source` without an attack (GEN-11)."""

    source: Attacked = Attacked()
    starts: int = 20  # a seed

    arrays = "test_error train_error train_loss: seed start"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return errors (shares) and training losses, [S, starts]."""
        seeds = [seed + k * MEMBER for seed in self.seeds for k in range(self.starts)]
        found = self.source.errors(self.source.calmed(self.source.nets(seeds), seeds))
        return {name: values.reshape(len(self.seeds), -1) for name, values in found.items()}


@dataclass(frozen=True, kw_only=True)
class Smooth(Drawn, Training, Experiment):
    """Small nets without kinks, on which descent comes to rest in thousands of steps."""

    pool: int | None = 1437
    tests: int | None = 360
    n: int | None = 64
    hidden: tuple[int, ...] = (32,)
    activation: str = "tanh"
    loss: str = "mse"
    seeds: tuple[int, ...] = tuple(range(10))

    normalise: ClassVar[str] = "standard"  # else it takes many times as long

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return len(self.seeds) * self.steps * self.examples() * weights(self.load(), self.hidden) / 1e9

    def examples(self) -> int:
        """Return how many examples the nets of one seed see in one step each."""
        raise NotImplementedError

    def nets(self, arms: int = 1) -> StackedMLP:
        """Return the initial nets of the seeds, equal in all arms."""
        return StackedMLP.create(layer_sizes(self.load(), self.hidden), self.seeds * arms, self.activation)


@dataclass(frozen=True, kw_only=True)
class Descent(Smooth):
    """Full-batch descent of one start with steps of several sizes, and the curvature on the way (GEN-12, explorer)."""

    rates: tuple[float, ...] = (0.045, 0.09, 0.18, 0.36, 0.72)  # of plain descent
    steps: int = 5000
    looks: int = 30  # at losses, evenly spaced, and one at the start
    sharp: int = 5  # last looks at the largest curvature

    arrays = """
    steps: look
    train_loss train_error test_error: seed rate look
    sharp_steps: sharp
    sharpness: seed rate sharp
    weights: seed rate parameter
    """

    def examples(self) -> int:
        """Return how many examples the nets of one seed see in one step each."""
        return len(self.rates) * self.size

    def rule(self) -> Rule:
        """Return plain descent at the step size of each net, rate by rate."""
        return SGD(tuple(rate for rate in self.rates for _ in self.seeds))

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses, errors (shares) and largest curvatures [S, rates, looks], and the weights at the end."""
        train, moments, net = self.parts()["train"], self.moments(), self.nets(len(self.rates))
        seen = {name: self.parts()[name] for name in ("train", "test")}
        history = self.descend(net, evaluate=seen, probe_steps=moments, probes={"weights": lambda net: net.vector()})
        ways = history["weights"][:, -self.sharp :]
        found = {name: history[name] for name in ("train_loss", "train_error", "test_error")}
        found |= {"weights": ways[:, -1], "sharpness": self.sharpness(net, ways, train)}
        steps = np.array(moments)
        return self.grouped(found, "rate") | {"steps": steps, "sharp_steps": steps[-self.sharp :]}

    def descend(self, net: StackedMLP, **more: Any) -> History:
        """Train nets in place on all of their examples at each step."""
        return replace(self, batch=self.size).fit(net, self.parts()["train"], **more)

    def moments(self) -> list[int]:
        """Return the steps of the looks."""
        return np.unique(np.linspace(0, self.steps, self.looks + 1).round().astype(int)).tolist()

    def sharpness(self, net: StackedMLP, ways: np.ndarray, train: Examples) -> np.ndarray:
        """Return the largest curvature at weights [R, T, P] of nets of which each seed has several: [R, T]."""
        count, found = len(self.seeds), np.empty(ways.shape[:2])
        for seed in range(count):
            own = list(range(seed, len(ways), count))
            part, examples = net.select(own), train.select([seed] * len(own))
            for t in range(ways.shape[1]):
                at = part.with_vector(torch.from_numpy(ways[own, t]))
                found[own, t] = top(loss_of(at, examples, self.loss)).numpy()
        return found


@dataclass(frozen=True, kw_only=True)
class Escape(Experiment):
    """What follows where the nets of a `Descent` go on from its end with a step `factor` times as large (GEN-12).

    Arm "escape" begins where the rate `start` ended and "flat" where the rate `low` did, at which that step is not too
    large for the curvature (nor has descent quite come to rest); "onward" goes on from the end of `start` with the same
    step.
    """

    source: Descent = Descent()
    start: float = 0.18  # these two are of the rates of `source`
    low: float = 0.045
    factor: float = 4.0
    peak: int = 100  # steps in which the highest loss is looked for
    arms: tuple[str, ...] = ("escape", "onward", "flat")

    arrays = "rate_before rate_after loss_before peak_loss loss_after sharpness_before sharpness_after: seed arm"

    @property
    def previous(self) -> Experiment:
        """The descent whose ends these are."""
        return self.source

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.source.cost * len(self.arms) / len(self.source.rates)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses and largest curvatures before and after, [S, arms]."""
        ends, source = given(before, self.source), self.source
        begun = [self.low if arm == "flat" else self.start for arm in self.arms]
        lrs = tuple(rate * (1 if arm == "onward" else self.factor) for rate, arm in zip(begun, self.arms, strict=True))
        later, train = replace(source, rates=lrs), source.parts()["train"]
        rows = np.concatenate([ends["weights"][:, source.rates.index(rate)] for rate in begun])
        net = source.nets(len(self.arms)).with_vector(torch.from_numpy(rows))
        history = later.descend(net, evaluate={"train": train}, probe_steps=[0, source.steps])
        ways = np.stack([rows, net.vector().numpy()], 1)
        sharp = later.sharpness(net, ways, train)
        found = {
            "loss_before": history["train_loss"][:, 0], "loss_after": history["train_loss"][:, -1],
            "peak_loss": history.batch_loss[:, 1 : self.peak + 1].max(1),
            "sharpness_before": sharp[:, 0], "sharpness_after": sharp[:, 1],
            "rate_before": np.repeat(begun, len(self.seeds)), "rate_after": np.repeat(lrs, len(self.seeds)),
        }  # fmt: skip
        return self.grouped(found, "arm")


@dataclass(frozen=True, kw_only=True)
class SmallBatches(Smooth):
    """Plain SGD of one rate with batches of several sizes, as many steps each, and the minima it ends in (GEN-12)."""

    lr: float = 0.28
    batches: tuple[int, ...] = (4, 16, 64)
    steps: int = 3000

    arrays = "train_loss train_error test_error sharpness non_uniformity: seed batch"

    @property
    def labels(self) -> Labels:
        """Batch sizes."""
        return {"batch": self.batches}

    def examples(self) -> int:
        """Return how many examples the nets of one seed see in one step each."""
        return sum(self.batches)

    def rule(self) -> Rule:
        """Return plain SGD."""
        return SGD(self.lr)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses, errors (shares), largest curvature and non-uniformity at the end, [S, batches]."""
        found = [replace(self, batch=batch).trained() for batch in self.batches]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def trained(self) -> Arrays:
        """Return the numbers [S] of nets of the one batch size `batch`."""
        net, parts = self.nets(), self.parts()
        self.fit(net, parts["train"])
        seen, unseen = evaluate(net, parts["train"], self.loss), evaluate(net, parts["test"], self.loss)
        found = {"train_loss": seen["loss"], "train_error": seen["error"], "test_error": unseen["error"]}
        at = [loss_of(net.select([s]), parts["train"].select([s]), self.loss) for s in range(len(self.seeds))]
        found["sharpness"] = torch.cat([top(loss) for loss in at])
        found["non_uniformity"] = torch.cat([non_uniformity(loss, tolerance=ROUGH)[0] for loss in at])
        return {name: values.double().numpy() for name, values in found.items()}


def top(loss: MeanLoss) -> Tensor:
    """Return the largest eigenvalue of each Hessian, [R]."""
    return top_eigenvalues(loss, tolerance=ROUGH).values[:, 0]


def chosen(net: Net, replicates: Sequence[int]) -> Net:
    """Return copies of these nets, in this order."""
    if isinstance(net, StackedMLP):
        return net.select(replicates)
    return [copy.deepcopy(net[r]) for r in replicates]


def joined(nets: Sequence[Net]) -> Net:
    """Return nets of one shape as one stack, or one list of modules."""
    stacks = [net for net in nets if isinstance(net, StackedMLP)]
    if not stacks:
        return [module for net in nets for module in (net if isinstance(net, list) else [])]
    first, seeds = stacks[0], [seed for net in stacks for seed in net.seeds]
    empty = StackedMLP.create(first.sizes, seeds, first.activation, dtype=first.flat.dtype)
    return empty.with_vector(torch.cat([net.vector() for net in stacks]))


def by_depth(nets: Net, train: Examples) -> list[MeanLoss]:
    """Return the loss of all parameters, and for modules that of those behind each layer, too, the deepest last."""
    if isinstance(nets, StackedMLP):
        return [loss_of(nets, train)]
    fixed, found = copy.deepcopy(nets), [loss_of(nets, train)]
    for layers in list(zip(*(net.children() for net in fixed), strict=True))[:-1]:
        for layer in layers:
            layer.requires_grad_(False)
        if any(True for _ in layers[0].parameters()):
            found.append(loss_of(fixed, train))
    return found


def small_lenet(classes: int) -> nn.Sequential:
    """Return two convolutions of 6 channels, each pooled, and two linear layers: 3,781 parameters for 28 x 28 pixels.

    As many as the net of Wu, Zhu & E 2017 has, whose layers our sources do not tell. Weights are N(0, 2 / inputs).
    """
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(150, 21), nn.ReLU(), nn.Linear(21, classes),
    )  # fmt: skip
    for part in net:
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return net


def by_layer(loss: MeanLoss, directions: Tensor) -> Tensor:
    """Return directions [D, P] in which each weight matrix, and each vector of biases, is as long as the net's own."""
    sizes = [shape.numel() for shape in loss.shapes]
    pairs = zip(directions.split(sizes, 1), loss.rows.split(sizes, 1), strict=True)
    return torch.cat([d / d.norm(dim=1, keepdim=True) * w.norm(dim=1, keepdim=True) for d, w in pairs], 1)


def radii(loss: MeanLoss, directions: Tensor, low: float, halvings: int = 10) -> Tensor:
    """Return how far from D copies of a net along one direction each [D, P] the loss first reaches `low`: [D].

    In units of the directions' lengths. The first of growing distances, a factor of √2 apart, at which it is up there
    is found, and the place between it and the one before by bisection. NaN where it never is.
    """
    reach = torch.full((len(directions),), torch.nan, dtype=directions.dtype, device=directions.device)
    for far in 2.0 ** torch.arange(-8, 12, 0.5):
        above = loss.value(loss.rows + far * directions) >= low
        reach = torch.where(above & reach.isnan(), far, reach)
        if not bool(reach.isnan().any()):
            break
    high, close = reach, reach / 2**0.5
    for _ in range(halvings):
        middle = (high + close) / 2
        above = loss.value(loss.rows + middle.nan_to_num(0.0)[:, None] * directions) >= low
        high, close = torch.where(above, middle, high), torch.where(above, close, middle)
    return high
