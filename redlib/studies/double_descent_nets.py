"""The nets of the double-descent study: width sweeps, weight reuse, ensembles, students and the paper's own runs.

A frozen dataclass describes an experiment, `run` carries it out and returns arrays with the seeds on the first
axis. Errors are shares in [0, 1] of clean test labels; training errors are against the (noisy) labels trained on.
The defaults are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redlib.data.replicates import corrupt_rows, draw_rows
from redlib.data.sources import Dataset, load
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.convnets import RandomShiftFlip, cnn5, resnet18k, seeded
from redlib.training import SGD, Adam, Examples, History, fit, inverse_sqrt
from redlib.training.optimisers import Rule

Arrays = dict[str, np.ndarray]
Sizes = tuple[int, int]  # inputs, classes
SEEDS = tuple(range(10))
WIDTHS = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
MEMBER = 100_000  # member k of an ensemble trains with seed + k * MEMBER


@dataclass(frozen=True)
class WidthSweep:
    """Nets of one shape and many widths on noisy labels, watched through training (DD-2, 3, 5-13, 15-17)."""

    dataset: str = "mnist1d"
    pool: int = 4000  # training examples from which each seed draws its own
    validation: int = 1000
    tests: int = 1000
    shrink: int = 1  # side of the squares of pixels that are averaged (images only)
    n: int = 400
    noise: float = 0.2
    widths: tuple[int, ...] = WIDTHS
    depth: int = 1  # hidden layers; more than one takes the widths one after another
    loss: str = "mse"
    optimizer: str = "adam"
    lr: float = 2e-3
    weight_decay: float = 0.0
    batch: int = 100
    epochs: int = 1500
    probes: int = 40
    shift: int = 0  # largest shift of the augmentation, in samples (MNIST-1D) or pixels; 0 is none
    members: int = 1  # nets per seed that share its data and differ in initialisation and order
    reuse: bool = False  # start each width from the trained smaller net (Belkin et al. 2019, appendix)
    seeds: tuple[int, ...] = SEEDS

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first."""
        return self.n * self.epochs * len(self.seeds) * self.members * sum(w**self.depth for w in self.widths)


@dataclass(frozen=True)
class Students:
    """Students of multiples of a teacher's width that learn its labels: which reach zero error? (DD-19)."""

    inputs: int = 10
    teacher: int = 4
    multiples: tuple[int, ...] = (1, 2, 4, 8)
    n: int = 200
    lr: float = 0.05
    momentum: float = 0.9
    batch: int = 20
    epochs: int = 400
    tries: int = 10  # students per seed and width
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class PaperSweep:
    """The paper's own nets over width: ResNet18-k or the 5-layer CNN on CIFAR (Nakkiran et al. 2019, app. B)."""

    net: str = "resnet18k"
    dataset: str = "cifar10"
    pool: int | None = None  # training images; None: all
    validation: int = 0
    tests: int | None = None
    shrink: int = 1
    noise: float = 0.2
    widths: tuple[int, ...] = (64,)
    optimizer: str = "adam"  # Adam 1e-4 for 4,000 epochs; "sgd": 0.1 / sqrt(1 + t/512), 500,000 steps in the paper
    epochs: int = 4000
    batch: int = 128
    augment: bool = True
    probes: int = 60
    precision: str = "bf16"
    seeds: tuple[int, ...] = SEEDS[:5]

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first."""
        return self.epochs * len(self.seeds) * sum(width**2 for width in self.widths)


@singledispatch
def run(config: object) -> Arrays:
    """Return the arrays of one experiment; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_widths(config: WidthSweep) -> Arrays:
    """Return epochs [T] and error and loss on train, validation and test, e.g. test_error [S, M, T], of M widths.

    With members > 1 also ensemble_error [S, M] of their mean prediction at the end, and member_error [S, M];
    curves are then means over members.
    """
    parts, classes = examples(config)
    train, test = parts["train"], parts["test"]
    seeds = [seed + k * MEMBER for seed in config.seeds for k in range(config.members)]
    epochs = probe_epochs(config.epochs, config.probes)
    options: dict[str, Any] = {
        "loss": config.loss, "optimizer": rule(config), "batch_size": config.batch, "epochs": config.epochs,
        "evaluate": parts, "probe_epochs": epochs,
    }  # fmt: skip
    sizes = train.x.shape[1], classes
    if config.reuse:
        histories = _reusing(config, sizes, seeds, train, options)
    elif config.depth > 1:
        histories = [_alone(config, width, sizes, seeds, train, options)[0] for width in config.widths]
    else:
        net = RaggedMLP.create(sizes[0], config.widths, classes, seeds)
        histories = [fit(net, train, **options)]
    arrays = {"epochs": np.asarray(epochs), **_curves(histories, config)}
    return arrays | (_ensemble(net, test, config) if config.members > 1 else {})


@run.register
def run_students(config: Students) -> Arrays:
    """Return success [S, M]: the share of students of each width that fit the teacher's labels without error."""
    seeds = [seed + k * MEMBER for seed in config.seeds for k in range(config.tries)]
    x, y = zip(*(_taught(config, seed) for seed in seeds), strict=True)
    rows = torch.arange(len(seeds) * config.n).view(len(seeds), config.n)
    data = Examples(torch.cat(x), torch.stack(y), rows)
    net = RaggedMLP.create(config.inputs, [config.teacher * m for m in config.multiples], 2, seeds)
    history = fit(
        net, data, optimizer=SGD(config.lr, config.momentum), epochs=config.epochs, batch_size=config.batch,
        evaluate={"train": data}, probe_epochs=np.linspace(0, config.epochs, 41).round().tolist(),
    )  # fmt: skip
    best = history["train_error"].min(1).reshape(len(config.seeds), config.tries, len(config.multiples))
    return {"success": (best == 0).mean(1)}


@run.register
def run_paper(config: PaperSweep) -> Arrays:
    """Return epochs [T] and error and loss on train and test, e.g. test_error [S, M, T]; nets one after another."""
    data = dataset(config)
    rows = torch.arange(len(data.train))[None]
    test = Examples(data.test.x, data.test.y)
    histories = []
    for width in config.widths:
        for seed in config.seeds:
            labels = corrupt_rows(data.train.y, rows, config.noise, data.classes, [seed])
            train = Examples(data.train.x, labels, rows)
            histories.append(_paper_history(config, width, seed, train, test, data))
    shape = len(config.widths), len(config.seeds), -1
    return {"epochs": np.asarray(probe_epochs(config.epochs, config.probes))} | {
        name: np.concatenate([history[name] for history in histories]).reshape(shape).swapaxes(0, 1)
        for name in histories[0].values
    }


def _paper_history(
    config: PaperSweep, width: int, seed: int, train: Examples, test: Examples, data: Dataset
) -> History:
    net = paper_net(config, width, seed, data.classes, *data.train.x.shape[1:3])
    sgd = config.optimizer == "sgd"
    return fit(
        net, train, optimizer=SGD(0.1) if sgd else Adam(1e-4), schedule=inverse_sqrt(512) if sgd else None,
        epochs=config.epochs, batch_size=config.batch, precision=config.precision, seeds=[seed],
        evaluate={"train": train, "test": test}, probe_epochs=probe_epochs(config.epochs, config.probes),
        label=f"{config.net} width {width} seed {seed}",
    )  # fmt: skip


def paper_net(config: PaperSweep, width: int, seed: int, classes: int, channels: int, image: int) -> torch.nn.Module:
    """Return the net of `config` for one seed; with augmentation its first layer shifts and flips while training."""
    if config.net == "resnet18k":
        net = seeded(resnet18k, seed, width, classes, channels)
    elif config.net == "cnn5":
        net = seeded(cnn5, seed, width, classes, channels, image)
    else:
        raise BadInput.of("net", config.net, "resnet18k or cnn5", "These are the nets of the paper.")
    return torch.nn.Sequential(RandomShiftFlip(seed), net) if config.augment else net


def rule(config: WidthSweep) -> Rule:
    """Return the optimiser of a sweep: "adam" (decay decoupled), or "momentum" (0.9)."""
    if config.optimizer == "adam":
        return Adam(config.lr, weight_decay=config.weight_decay, decoupled=config.weight_decay > 0)
    if config.optimizer == "momentum":
        return SGD(config.lr, momentum=0.9, weight_decay=config.weight_decay)
    raise BadInput.of("optimizer", config.optimizer, "adam or momentum", "See WidthSweep.")


def probe_epochs(epochs: int, count: int) -> list[int]:
    """Return 0 and about `count` epochs up to the last, evenly spaced on a log axis."""
    spaced = np.geomspace(1, epochs, count).round().astype(int)
    return [0, *np.unique(spaced).tolist()]


def dataset(config: WidthSweep | PaperSweep) -> Dataset:
    """Return the data set of a sweep; images keep their shape where a net or a shrinking needs it."""
    return load(
        config.dataset, n_train=config.pool, n_validation=config.validation, n_test=config.tests,
        flatten=isinstance(config, WidthSweep) and config.shrink == 1,
    )  # fmt: skip


def examples(config: WidthSweep) -> tuple[dict[str, Examples], int]:
    """Return (noisy "train" examples per replicate, clean shared "validation" and "test" examples; classes)."""
    data = dataset(config)
    x = _shrunk(data.train.x, config.shrink)
    rows = draw_rows(len(x), config.n, config.seeds)
    labels = corrupt_rows(data.train.y, rows, config.noise, data.classes, config.seeds)
    rows, labels = (table.repeat_interleave(config.members, 0) for table in (rows, labels))
    pools = [torch.roll(x, shift, -1).flatten(1) for shift in _shifts(config.shift)]
    parts = {"train": Examples(torch.cat(pools), labels, rows, len(pools))}
    for name, split in (("validation", data.validation), ("test", data.test)):
        if split is not None:
            parts[name] = Examples(_shrunk(split.x, config.shrink).flatten(1), split.y)
    return parts, data.classes


def parameters(inputs: int, width: int, classes: int, depth: int = 1) -> int:
    """Return the number of weights and biases of an MLP with `depth` hidden layers of `width` units."""
    return (inputs + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * classes


def _shifts(largest: int) -> list[int]:
    return [0, *(sign * s for s in range(1, largest + 1) for sign in (1, -1))]


def _shrunk(x: Tensor, side: int) -> Tensor:
    return functional.avg_pool2d(x, side) if side > 1 else x


def _alone(
    config: WidthSweep, width: int, sizes: Sizes, seeds: list[int], train: Examples, options: dict[str, Any]
) -> tuple[History, StackedMLP]:
    net = StackedMLP.create((sizes[0], *[width] * config.depth, sizes[1]), seeds)
    return fit(net, train, **options), net


def _reusing(
    config: WidthSweep, sizes: Sizes, seeds: list[int], train: Examples, options: dict[str, Any]
) -> list[History]:
    """Train the widths upwards; up to K * n parameters a net starts as the trained smaller one, beyond it fresh.

    The new units of a reusing net get small weights (Belkin et al. 2019, appendix).
    """
    histories, smaller = [], None
    for width in config.widths:
        net = StackedMLP.create((sizes[0], width, sizes[1]), seeds)
        if smaller is not None and parameters(sizes[0], width, sizes[1]) <= sizes[1] * config.n:
            for mine, theirs in zip((*net.weights, *net.biases), (*smaller.weights, *smaller.biases), strict=True):
                mine.mul_(0.1)  # variance 0.01 of the usual draw
                mine[tuple(map(slice, theirs.shape))] = theirs
        histories.append(fit(net, train, **options))
        smaller = net
    return histories


def _curves(histories: list[History], config: WidthSweep) -> Arrays:
    """Return the probed values as [S, M, T], averaged over the members of a seed."""
    shape = (len(config.seeds), config.members, len(config.widths))
    curves = {}
    for name in histories[0].values:
        parts = [history[name] for history in histories]
        values = parts[0] if len(parts) == 1 else np.stack(parts, 1)
        curves[name] = values.reshape(*shape, -1).mean(1)
    return curves


def _ensemble(net: RaggedMLP, test: Examples, config: WidthSweep) -> Arrays:
    """Return the error of the mean output of a seed's members, and their own mean error, [S, M] each."""
    outputs = torch.stack([net.net(width).logits(test.x) for width in config.widths])  # [M, S * K, B, C]
    if config.loss == "cross_entropy":
        outputs = outputs.softmax(-1)
    outputs = outputs.unflatten(1, (len(config.seeds), config.members))
    together = (outputs.mean(2).argmax(-1) != test.y).double().mean(-1)
    each = (outputs.argmax(-1) != test.y).double().mean((-2, -1))
    return {"ensemble_error": together.T.numpy(), "member_error": each.T.numpy()}


def _taught(config: Students, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs [n, d] and a teacher's labels [n]: the sign of a ReLU net of the teacher's width."""
    source = rng(seed, "features")
    x = source.standard_normal((config.n, config.inputs))
    hidden = np.maximum(x @ source.standard_normal((config.inputs, config.teacher)), 0)
    outputs = hidden @ source.choice([-1.0, 1.0], config.teacher)
    return torch.from_numpy(x).float(), torch.from_numpy((outputs > np.median(outputs)).astype(np.int64))
