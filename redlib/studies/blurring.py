"""Nets that learn some wrong labels by heart, and what they decide as the images blur: the runs of study 06.

Between rates of wrong labels only the labels differ: a seed draws the same initial net and the same batches for every
rate. Which images are mislabelled is fixed by their order ("every k-th of its class"), so each seed counts them off in
an order of its own; else all seeds would be told lies about the same images. Arrays are in the order of the data.

Standard deviations of a blur are in pixels of images 28 pixels wide, as in the source: 1.3 means 1.3/28 of the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor, nn

from redlib.data.blur import PADDINGS, blur, odd_size
from redlib.data.mislabel import mislabel
from redlib.data.replicates import draw_rows
from redlib.data.sources import Dataset, load
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.robustness import gradient_sign
from redlib.nets import StackedMLP
from redlib.nets.strided import build_strided
from redlib.pruning.masks import Tensors, density
from redlib.pruning.tickets import ARMS, find_tickets, prepare
from redlib.studies import blurring_look as look
from redlib.training import SGD, Adam, Batches, Examples, constant, cosine, evaluate, fit
from redlib.training.engines import AutogradEngine
from redlib.training.execution import by_density
from redlib.training.optimisers import Rule
from redlib.training.schedules import Schedule

SEEDS = tuple(range(5))
SIGMAS = (  # densest where mislabelled images change, then where the others do
    0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.6, 2.9, 3.2, 3.6, 4.0, 4.5, 5.0, 6.0,
    8.0, 10.0,
)  # fmt: skip
RULES = ("adam", "sgd")
EFFORT = {"mlp": 1.0, "conv": 5.0, "residual": 8.0, "resnet18": 1000.0}  # time per image and epoch, relative
STARTS, PICKED, FOLDS = 61, 62, 63  # keys of the streams "augment", "eval" and "split"
Arrays = dict[str, np.ndarray]
Nets = list[nn.Module]
Look = Callable[[Nets], Tensor]


@dataclass(frozen=True)
class Blurred:
    """Nets told a wrong label for every k-th image of each class, and their decisions on blurred images.

    `net` and `widths` as in `redlib.nets.strided`. `changes` names other changes of the image (`transforms.TRANSFORMS`)
    that are made as large on average as a blur of each of `sizes`; they are watched on all mislabelled and on `clean`
    other training images. `epsilons` are lengths of steps along signs, in units of the largest grey value.
    """

    dataset: str = "digits"
    train: int = 1437
    tests: int = 360
    every: int = 20  # k
    net: str = "conv"
    widths: tuple[int, ...] = (12, 16)
    optimizer: str = "adam"  # or "sgd", with momentum 0.9
    lr: float = 0.01
    decay: bool = True  # the rate falls to 0 along a cosine; else it stays
    batch: int = 32
    epochs: int = 40
    probe_every: int = 1  # epochs
    sigmas: tuple[float, ...] = SIGMAS
    changes: tuple[str, ...] = ()
    sizes: tuple[float, ...] = (1.3, 2.0, 2.6, 3.2, 4.0)
    clean: int = 500
    epsilons: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)
    seeds: tuple[int, ...] = SEEDS

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return EFFORT.get(self.net, 1.0) * self.epochs * self.train * len(self.seeds)


@dataclass(frozen=True)
class Robust:
    """The same nets trained on the worst images within `epsilon` of the training images (Madry et al. 2018).

    Projected gradient descent of `steps` steps along the sign of the gradient, from a random start; grey values stay
    in [0, 1].
    """

    source: Blurred
    epsilon: float = 0.03  # of the largest grey value, for every pixel
    steps: int = 2

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return (1 + self.steps) * self.source.cost


@dataclass(frozen=True)
class Tickets:
    """MLPs that are pruned round by round, and what of the wrong labels they still learn (BLUR-13).

    Plain stacked MLPs, not the nets of `Blurred`: they train thirty times as fast, and have more weights per image.
    """

    dataset: str = "digits"
    train: int = 1437
    every: int = 10
    hidden: tuple[int, ...] = (256, 128)
    rounds: int = 7
    rate: float = 0.42  # cut each round; the output layer half of it
    lr: float = 0.005
    batch: int = 32
    epochs: int = 60
    seeds: tuple[int, ...] = SEEDS

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 0.1 * (self.rounds + 1) * self.epochs * self.train * len(self.seeds)


@dataclass(frozen=True)
class Disagreement:
    """The share of training labels that an MLP trained on the other folds contradicts (BLUR-12)."""

    dataset: str = "mnist"
    train: int | None = None  # all there are
    folds: int = 5
    hidden: tuple[int, ...] = (256,)
    lr: float = 0.002
    batch: int = 128
    epochs: int = 12
    seeds: tuple[int, ...] = SEEDS

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 0.1 * self.folds * self.epochs * (self.train or 60_000) * len(self.seeds)


@dataclass(frozen=True)
class Kernel:
    """What is left of images under a blur of `sigma` pixels with a kernel as large as the image, and of a weak one.

    Every seed looks at `images` training images of its own.
    """

    dataset: str = "digits"
    train: int = 1437
    images: int = 300
    sigma: float = 1e4
    weak: float = 1.3  # in pixels of images 28 pixels wide
    seeds: tuple[int, ...] = SEEDS

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return float(self.images * len(self.seeds))


@singledispatch
def run(config: object) -> Arrays:
    """Return the arrays of one experiment; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_blurred(config: Blurred) -> Arrays:
    """Return the curves of training and the decisions of the trained nets.

    assigned, labels (the true ones) int8 [S, n], test_labels [S, m]; decisions int8 train [S, K + 1, n] and test
    [S, K + 1, m] at `sigmas` [S, K + 1], of which the first is 0; wrong_clean and wrong_mislabelled [S, T], numbers of
    training images taken for another class than assigned, at `epochs` [T]; per change changed_<name> [S, 2, J], shares
    of the learned images, mislabelled and clean, that change the decision, at `sizes` [S, J]; flips_gradient and
    flips_random [S, E], shares of the test images, at `epsilons` [S, E].
    """
    data = dataset(config)
    assigned = told(config, data)
    nets, seen = fresh_nets(config, data), errors(data, assigned)
    history = fit(
        nets, Examples(data.train.x, assigned), optimizer=rule(config), schedule=schedule(config), epochs=config.epochs,
        batch_size=config.batch, seeds=config.seeds, probes={"wrong": seen}, probe_epochs=moments(config),
    )  # fmt: skip
    return curves(history.epochs, history["wrong"]) | measured(config, nets, data, assigned)


@run.register
def run_robust(config: Robust) -> Arrays:
    """Return the arrays of `run_blurred` for nets trained against attacks."""
    source = config.source
    data = dataset(source)
    assigned = told(source, data)
    nets, seen = fresh_nets(source, data), errors(data, assigned)
    looks = list(harden(config, nets, Examples(data.train.x, assigned), seen))
    return curves(np.array(moments(source)), torch.stack(looks, 1).numpy()) | measured(source, nets, data, assigned)


@run.register
def run_tickets(config: Tickets) -> Arrays:
    """Return density, mislabelled_accuracy and train_accuracy [S, L] of the tickets of every round, in percent.

    L counts from the dense net; train_accuracy is that on all training images, of the assigned labels.
    """
    data = load(config.dataset, n_train=config.train)
    assigned = told(config, data)
    pool = Examples(data.train.x, assigned)
    rows = torch.stack([(row != data.train.y).nonzero()[:, 0] for row in assigned])
    parts = {"mislabelled": Examples(data.train.x, assigned.gather(1, rows), rows), "train": pool}
    sizes = data.train.x.shape[1], *config.hidden, data.classes
    start = StackedMLP.create(sizes, config.seeds, init="he")
    found: list[Tensor] = []

    def train(net: StackedMLP) -> None:
        fit(
            net, pool, optimizer=Adam(config.lr), schedule=cosine(), epochs=config.epochs, batch_size=config.batch,
            execution=by_density(net),
        )  # fmt: skip
        found.append(torch.stack([100 * (1 - evaluate(net, part)["error"]) for part in parts.values()], 1))

    masks = find_tickets(start, train, config.rounds, config.rate, config.rate / 2)
    train(prepare(ARMS["ticket"], start, masks[-1]))
    accuracy = torch.stack(found, 2).numpy()  # [S, parts, L]
    return {"density": densities(masks)} | {f"{name}_accuracy": accuracy[:, i] for i, name in enumerate(parts)}


@run.register
def run_disagreement(config: Disagreement) -> Arrays:
    """Return disagreement [S], percent of labels contradicted by nets that have not seen them."""
    data = load(config.dataset, n_train=config.train, n_test=1000)
    kept, held = folds(len(data.train), config.folds, config.seeds)
    seeds = [seed for seed in config.seeds for _ in range(config.folds)]
    net = StackedMLP.create((data.train.x.shape[1], *config.hidden, data.classes), seeds, init="he")
    known, unknown = (Examples(data.train.x, data.train.y[rows], rows) for rows in (kept, held))
    fit(
        net, known, optimizer=Adam(config.lr), schedule=cosine(), epochs=config.epochs, batch_size=config.batch,
        execution="dense",
    )  # fmt: skip
    wrong = evaluate(net, unknown)["error"].view(len(config.seeds), config.folds)
    return {"disagreement": 100 * wrong.mean(1).numpy()}


@run.register
def run_kernel(config: Kernel) -> Arrays:
    """Return limit_<padding> [S], the mean over images of the spread within a blurred image over its mean.

    And correlation [S], the mean correlation of an image with its weakly blurred self.
    """
    data = load(config.dataset, n_train=config.train, flatten=False)
    images = min(config.images, len(data.train))
    own = [rng(seed, "eval", PICKED).permutation(len(data.train))[:images] for seed in config.seeds]
    found: dict[str, list[float]] = {}
    for x in (data.train.x[rows].double() for rows in own):
        for padding in PADDINGS:
            flat = blur(x, [config.sigma], odd_size(x.shape[-1]), padding)[0].flatten(1)
            spread = flat.std(1, correction=0) / flat.mean(1)
            found.setdefault(f"limit_{padding}", []).append(float(spread.mean()))
        weak = blur(x, look.pixels([config.weak], x.shape[-1]))[0]
        found.setdefault("correlation", []).append(float(look.correlations(x, weak).mean()))
    return {name: np.array(values) for name, values in found.items()}


def dataset(config: Blurred) -> Dataset:
    """Return the data as images with grey values in [0, 1]."""
    return load(config.dataset, n_train=config.train, n_test=config.tests, flatten=False)


def told(config: Blurred | Tickets, data: Dataset) -> Tensor:
    """Return the labels that each seed is told, [S, n]: every k-th image of each class, in an order of its own."""
    y = data.train.y
    assigned = y.repeat(len(config.seeds), 1)
    for row, order, seed in zip(assigned, draw_rows(len(y), len(y), config.seeds), config.seeds, strict=True):
        row[order] = mislabel(y[order], config.every, data.classes, seed)[0]
    return assigned


def fresh_nets(config: Blurred, data: Dataset) -> Nets:
    """Return the untrained net of every seed."""
    shape = data.classes, *data.train.x.shape[1:3]
    return [build_strided(config.net, seed, config.widths, *shape) for seed in config.seeds]


def rule(config: Blurred) -> Rule:
    """Return the optimiser; BadInput for an unknown name."""
    if config.optimizer not in RULES:
        raise BadInput.of("optimizer", config.optimizer, f"one of {RULES}", "See Blurred.")
    return Adam(config.lr) if config.optimizer == "adam" else SGD(config.lr, 0.9)


def schedule(config: Blurred) -> Schedule:
    """Return the schedule of the learning rate."""
    return cosine() if config.decay else constant()


def moments(config: Blurred) -> list[int]:
    """Return the epochs after which training images are looked at: every few, and the last."""
    return [*range(config.probe_every, config.epochs, config.probe_every), config.epochs]


def errors(data: Dataset, assigned: Tensor) -> Look:
    """Return a probe for `fit`: numbers of clean and of mislabelled training images not taken as told, [S, 2].

    BatchNorm uses its running statistics.
    """
    groups = [assigned == data.train.y, assigned != data.train.y]

    def seen(nets: Nets) -> Tensor:
        missed = torch.stack([look.decisions(net, data.train.x) for net in nets]) != assigned
        return torch.stack([(missed & group).sum(1) for group in groups], 1)

    return seen


def curves(epochs: np.ndarray, wrong: np.ndarray) -> Arrays:
    """Return what the looks saw [S, T, 2], by name."""
    return {"epochs": epochs, "wrong_clean": wrong[..., 0], "wrong_mislabelled": wrong[..., 1]}


def harden(config: Robust, nets: Nets, examples: Examples, seen: Look) -> Iterator[Tensor]:
    """Train the nets in place on attacked images; yield what is `seen` of them at each of `moments`."""
    source = config.source
    engine = AutogradEngine(nets, rule(source), "cross_entropy")
    batches = Batches(examples, source.seeds, source.batch)
    starts = [rng(seed, "augment", STARTS) for seed in source.seeds]
    total, looks = source.epochs * batches.per_epoch, {epoch * batches.per_epoch for epoch in moments(source)}
    for step in range(total):
        x, y = batches.at(step)
        worst = [attacked(config, *own) for own in zip(nets, x, y, starts, strict=True)]
        engine.step(torch.stack(worst), y, source.lr * schedule(source)(step, total))
        if step + 1 in looks:
            yield seen(nets)


def attacked(config: Robust, net: nn.Module, x: Tensor, y: Tensor, start: np.random.Generator) -> Tensor:
    """Return images x [B, ...] changed by up to epsilon so that a net errs more on y [B] (Madry et al. 2018)."""
    net.eval()  # the attack must not move the running statistics of BatchNorm
    low, high = (x - config.epsilon).clamp(min=0), (x + config.epsilon).clamp(max=1)
    moved = low + (high - low) * torch.from_numpy(start.random(x.shape, np.float32)).to(x)
    for _ in range(config.steps):
        step = 2.5 * config.epsilon / config.steps  # reaches the edge from anywhere, as in Madry et al.
        moved = (moved + step * gradient_sign(net, moved, y)).clamp(low, high)
    return moved


def measured(config: Blurred, nets: Nets, data: Dataset, assigned: Tensor) -> Arrays:
    """Return what the trained nets decide: see `run_blurred`."""
    sigmas = 0.0, *config.sigmas
    train, test = (look.blurred(nets, part.x, sigmas) for part in (data.train, data.test))
    known = torch.from_numpy(train[:, 0]) == assigned
    grids = {"sigmas": sigmas, "sizes": config.sizes, "epsilons": config.epsilons}
    labels = {"labels": data.train.y, "test_labels": data.test.y}
    steps = [look.flips(net, data.test.x, config.epsilons, seed) for net, seed in zip(nets, config.seeds, strict=True)]
    return (
        {"assigned": assigned.numpy().astype(np.int8), "train": train, "test": test}
        | {name: y.numpy().astype(np.int8)[None].repeat(len(nets), 0) for name, y in labels.items()}
        | {name: np.tile(grid, (len(nets), 1)) for name, grid in grids.items()}
        | {f"changed_{name}": changed(config, nets, data, assigned, known, name) for name in config.changes}
        | dict(zip(("flips_gradient", "flips_random"), map(np.stack, zip(*steps, strict=True)), strict=True))
    )


def changed(config: Blurred, nets: Nets, data: Dataset, assigned: Tensor, known: Tensor, name: str) -> np.ndarray:
    """Return the shares of learned images (`known` [S, n]) that a change makes the nets decide otherwise on, [S, 2, J].

    First of the mislabelled images, then of the first `clean` others.
    """
    found = []
    for net, labels, learned, seed in zip(nets, assigned, known, config.seeds, strict=True):
        wrong = labels != data.train.y
        rows = look.watched(learned, wrong, config.clean)
        found.append(look.changed(net, name, data.train.x[rows], labels[rows], wrong[rows], config.sizes, seed))
    return np.stack(found)


def densities(masks: Sequence[Tensors]) -> np.ndarray:
    """Return the share of weights kept in each round [S, L]."""
    return torch.stack([density(each) for each in masks], 1).double().numpy()


def folds(n: int, count: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the rows that each net of each seed learns from and those held out, [S·count, …]; n in equal parts.

    What is left over where `count` does not divide n is left out. BadInput for fewer than two folds.
    """
    if not 2 <= count <= n:
        raise BadInput.of("folds", count, f"2 <= folds <= {n}", "Five are usual.")
    parts = [np.split(rng(seed, "split", FOLDS).permutation(n)[: n - n % count], count) for seed in seeds]
    held = [own[i] for own in parts for i in range(count)]
    kept = [np.concatenate([*own[:i], *own[i + 1 :]]) for own in parts for i in range(count)]
    return torch.from_numpy(np.stack(kept)), torch.from_numpy(np.stack(held))
