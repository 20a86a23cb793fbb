"""Tickets of conv nets: one level of iterative magnitude pruning, its control arms, and barriers between data orders.

A frozen dataclass describes one run. `run(config, before)` carries it out, given the arrays of `config.previous`
(None where that is None), and returns arrays with the seeds on the first axis; errors are shares in [0, 1]. Every
seed has its own initial weights, data order and subset of the training pool, which all its arms share. A level's
arrays hold what others need of it: the masks it trained with (`mask.<layer>`, packed bits), the state it ended in
(`end.<name>`), and the state to go back to (`start<step>.<name>`; that of step 0 is drawn anew from the seed).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from redlib.data.replicates import draw_rows
from redlib.data.sources import Dataset, load
from redlib.errors import BadInput
from redlib.measures.connectivity import module_path_errors
from redlib.nets.convnets import RandomShiftFlip
from redlib.nets.ticketnets import build
from redlib.pruning.allocation import Shapes, keep, keep_global, shapes_of, shuffled
from redlib.pruning.masks import Cut, Tensors, apply, dense, density, remove, weights_of
from redlib.pruning.tickets import REINIT, arm_named
from redlib.training import SGD, Adam, Examples, History, constant, fit, step_decay, warm_up
from redlib.training.engines import AutogradEngine
from redlib.training.optimisers import Rule
from redlib.training.record import mean_loss_and_error
from redlib.training.schedules import Schedule

Arrays = dict[str, np.ndarray]
Nets = list[nn.Module]
LOSS = "cross_entropy"
ACHIEVED = (
    "steps", "validation_loss", "validation_error", "early_step", "early_error", "final_error", "train_loss",
    "train_error",
)  # fmt: skip
"""The arrays of `train`."""


def _check_step(what: str, step: int, level: ConvLevel) -> None:
    if step not in (0, *level.snapshots):
        raise BadInput.of(what, step, f"one of {(0, *level.snapshots)}", "Name the step in `snapshots`.")


@dataclass(frozen=True)
class ConvLevel:
    """One level of iterative magnitude pruning: level 0 is the dense net (LTH-4, 6, 7; Frankle & Carbin 2019).

    A level takes the previous one's final weights, cuts the smallest, sets the rest back to their values at step
    `rewind` and trains on from there, with a new optimiser, to step `steps`.
    """

    dataset: str = "digits"
    pool: int | None = 1000  # training images from which each seed draws its own n; None: all there are
    validation: int = 190
    tests: int | None = 600
    n: int = 800
    shrink: int = 1  # side of the squares of pixels that are averaged
    net: str = "conv2"
    width: float = 0.25
    dropout: float = 0.0  # Conv-2/4/6 only
    augment: bool = False  # shift and flip the training images
    optimizer: str = "adam"
    lr: float = 2e-3
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.0
    warm: int = 0  # steps of linear warm-up
    drops: tuple[float, ...] = ()  # shares of training after which the rate is divided by 10
    batch: int = 64
    steps: int = 200
    probes: int = 8
    rates: tuple[float, float, float] = (0.245, 0.45, 0.245)  # cut a level: convolutions, hidden linear layers, output
    pooled: bool = False  # rank all convolutions together
    level: int = 0
    rewind: int = 0
    snapshots: tuple[int, ...] = ()  # steps > 0 whose state level 0 keeps: what `rewind` and barriers may name
    precision: str = "fp32"
    seeds: tuple[int, ...] = tuple(range(10))

    def __post_init__(self) -> None:
        if self.level < 0 or len(self.rates) != 3 or not all(0 <= rate < 1 for rate in self.rates):
            found = self.level, self.rates
            raise BadInput.of("level, rates", found, "level >= 0, three in [0, 1)", "A rate is the fraction CUT.")
        if not all(0 < step < self.steps for step in self.snapshots):
            raise BadInput.of("snapshots", self.snapshots, f"0 < step < {self.steps}", "Step 0 is always there.")
        _check_step("rewind", self.rewind, self)

    @property
    def previous(self) -> ConvLevel | None:
        """The level that this one prunes, None for the dense net (which is the same whatever the rewind step)."""
        if not self.level:
            return None
        return replace(self, level=self.level - 1, rewind=self.rewind if self.level > 1 else 0)

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first."""
        return self.steps * self.batch * len(self.seeds) * self.width


@dataclass(frozen=True)
class ConvArm:
    """A control arm of a level, trained from step 0 as the level is (LTH-4; Frankle & Carbin 2019, appendix E).

    `arm` is one of `redlib.pruning.tickets.ARMS` that starts from initial or fresh weights: "reinit" (the level's
    masks), "random" (masks permuted within layers, the same fresh weights), "shuffled", "ticket", "dense", "frozen".
    `steps` other than the level's train longer, to a plateau.
    """

    level: ConvLevel
    arm: str
    steps: int | None = None

    def __post_init__(self) -> None:
        if arm_named(self.arm).weights not in ("rewind", "reinit"):
            raise BadInput.of("arm", self.arm, "one with initial or fresh weights", "See ConvArm.")

    @property
    def previous(self) -> ConvLevel:
        """The level whose masks the arm needs."""
        return self.level

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first."""
        return self.level.cost * (self.steps or self.level.steps) / self.level.steps


@dataclass(frozen=True)
class ConvBarrier:
    """Two copies of a level's net at step `start`, trained on with different data orders (LTH-23; Frankle et al. 2020).

    A pruned net starts where its level rewinds to; the dense one at any of its snapshots.
    """

    level: ConvLevel
    start: int = 0
    alphas: int = 30

    def __post_init__(self) -> None:
        _check_step("start", self.start, self.level)
        if self.level.level and self.start != self.level.rewind:
            remedy = "Prune a net with another rewind step."
            raise BadInput.of("start", self.start, f"{self.level.rewind}, where the level rewinds to", remedy)

    @property
    def previous(self) -> ConvLevel:
        """The level whose masks and state the two copies start from."""
        return self.level

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first."""
        return 2.5 * self.level.cost


@dataclass(frozen=True)
class Data:
    """Examples of every seed (train) and shared by all (validation, test), and the sizes a net is built for."""

    train: Examples
    validation: Examples
    test: Examples
    classes: int
    channels: int
    image: int


def _paper(net: str, lr: float, steps: int, convolutions: float, **more: Any) -> ConvLevel:
    """Return a protocol of Frankle & Carbin 2019 (fig. 2) on CIFAR-10, 45,000 images to train and 5,000 to validate."""
    settings: dict[str, Any] = {"batch": 60, "probes": steps // 100, "rates": (convolutions, 0.2, 0.1)} | more
    common = {"dataset": "cifar10", "pool": None, "validation": 5000, "tests": None, "n": 45_000, "width": 1.0}
    return ConvLevel(net=net, lr=lr, steps=steps, seeds=(0, 1, 2, 3, 4), **common | settings)


_DEEP: dict[str, Any] = {
    "optimizer": "sgd", "weight_decay": 1e-4, "augment": True, "pooled": True, "rates": (0.2, 0.0, 0.0),
}  # fmt: skip
PAPER: dict[str, ConvLevel] = {
    "conv2": _paper("conv2", 2e-4, 20_000, 0.1),
    "conv4": _paper("conv4", 3e-4, 25_000, 0.1),
    "conv6": _paper("conv6", 3e-4, 30_000, 0.15),
    "resnet20": _paper("resnet20", 0.1, 30_000, 0.2, batch=128, drops=(2 / 3, 5 / 6),
                       snapshots=(250, 500, 1000, 2000, 4000), **_DEEP),
    "vgg19": _paper("vgg19", 0.1, 112_480, 0.2, batch=64, drops=(0.5, 0.75),
                    snapshots=(100, 500, 1000, 2000), **_DEEP),
}  # fmt: skip
"""The ticket papers' dense nets at the rates that defeat step 0; levels, rewind steps and dropout by `replace`."""


@singledispatch
def run(config: object, before: Arrays | None = None) -> Arrays:
    """Return the arrays of one run; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_level(config: ConvLevel, before: Arrays | None = None) -> Arrays:
    """Return what a level achieved (see `train`), its density [S], masks, end state, and the states to go back to."""
    data = examples(config)
    nets = fresh_nets(config, data)
    if config.level == 0:
        masks = dense(weights_of(nets))
        found, states = train(nets, masks, config, data, snapshots=config.snapshots)
    else:
        before = _given(before, config)
        masks, states = next_masks(config, before), stored(before, f"start{config.rewind}")
        load_states(nets, states)
        found, _ = train(nets, masks, config, data, start=config.rewind)
    return found | packed(masks) | state_arrays(nets, "end") | states


@run.register
def run_arm(config: ConvArm, before: Arrays | None = None) -> Arrays:
    """Return what a control arm achieved (see `train`)."""
    nets, masks, level, data = arm_nets(config, _given(before, config))
    return train(nets, masks, level, data, cut=arm_named(config.arm).cut)[0]


@run.register
def run_barrier(config: ConvBarrier, before: Arrays | None = None) -> Arrays:
    """Return path_error [S, A], test errors on the line between two copies, and what the first one achieved (`train`).

    The level's own training is the first copy, wherever it too began at `start` with a new optimiser. Batch-norm
    statistics are measured anew, on the seed's training images, at every point of the line.
    """
    level, before = config.level, _given(before, config)
    data, masks, start = examples(level), unpacked(before), stored(before, f"start{config.start}")
    copies = [fresh_nets(level, data, copied=number) for number in range(2)]
    found = []
    for number, nets in enumerate(copies):
        if number == 0 and (level.level or not config.start):
            load_states(nets, stored(before, "end"))
            found.append({name: before[name] for name in ACHIEVED})
        else:
            load_states(nets, start)
            orders = [seed + number * REINIT for seed in level.seeds]
            found.append(train(nets, masks, level, data, orders=orders, start=config.start)[0])
    lines = [_line(a, b, r, data, config.alphas) for r, (a, b) in enumerate(zip(*copies, strict=True))]
    return found[0] | {"path_error": torch.stack(lines).numpy(), "other_error": found[1]["early_error"]}


def dataset(config: ConvLevel) -> Dataset:
    """Return the data set of a level, images with a mean of 0 and a deviation of 1."""
    return load(
        config.dataset, n_train=config.pool, n_validation=config.validation, n_test=config.tests,
        flatten=False, normalise="standard",
    )  # fmt: skip


def examples(config: ConvLevel) -> Data:
    """Return the examples of a level: each seed's own n of the training pool, and shared ones to validate and test."""
    if config.validation < 1:
        raise BadInput.of("validation", config.validation, ">= 1 image", "Early stopping is judged on them.")
    data = dataset(config)
    assert data.validation is not None, "it was asked for"
    pool, validation, test = (
        Examples(functional.avg_pool2d(part.x, config.shrink) if config.shrink > 1 else part.x, part.y)
        for part in (data.train, data.validation, data.test)
    )
    rows = draw_rows(len(pool), config.n, config.seeds)
    train = Examples(pool.x, pool.y[rows], rows)
    return Data(train, validation, test, data.classes, *pool.x.shape[1:3])


def fresh_nets(config: ConvLevel, data: Data, offset: int = 0, copied: int = 0) -> Nets:
    """Return the untrained net of every seed + offset; copy number `copied` sees the images otherwise augmented."""
    options: dict[str, Any] = {"dropout": config.dropout} if config.dropout else {}
    sizes = data.classes, data.channels, data.image
    nets = [build(config.net, seed + offset, *sizes, width=config.width, **options) for seed in config.seeds]
    if not config.augment:
        return nets
    augmented = [RandomShiftFlip(seed + copied * REINIT) for seed in config.seeds]
    return [nn.Sequential(shift, net) for shift, net in zip(augmented, nets, strict=True)]


def arm_nets(config: ConvArm, before: Arrays) -> tuple[Nets, Tensors, ConvLevel, Data]:
    """Return a control arm's untrained nets, its masks, the level as it is to be trained, and its examples."""
    level = replace(config.level, steps=config.steps or config.level.steps)
    arm, data, masks = arm_named(config.arm), examples(level), unpacked(before)
    if arm.mask != "ticket":
        masks = dense(masks) if arm.mask == "dense" else shuffled(masks, level.seeds, level.level)
    offset = (1 + level.level) * REINIT if arm.weights == "reinit" else 0
    return fresh_nets(level, data, offset), masks, level, data


def next_masks(config: ConvLevel, before: Arrays) -> Tensors:
    """Return the masks of a level: the largest of the previous one's final weights, as many as `kept_counts` says."""
    within = unpacked(before)
    scores = {name: torch.tensor(before[f"end.{name}.weight"]).abs() for name in within}
    kept = kept_counts(shapes_of(scores), config.level, config.rates)
    ranked = [name for name in scores if config.pooled and scores[name].dim() == 5]  # [S, out, in, height, width]
    rest = [name for name in scores if name not in ranked]
    masks = keep({n: scores[n] for n in rest}, {n: kept[n] for n in rest}, {n: within[n] for n in rest})
    if ranked:
        total = sum(kept[name] for name in ranked)
        masks |= keep_global({n: scores[n] for n in ranked}, total, {n: within[n] for n in ranked})
    return {name: masks[name] for name in scores}


def kept_counts(shapes: Shapes, level: int, rates: tuple[float, float, float]) -> dict[str, int]:
    """Return how many weights each layer keeps at a level, round(n (1 - rate)^level).

    `rates` are the fractions cut at every level from convolutions, hidden linear layers and the output layer
    (Frankle & Carbin 2019, fig. 2).
    """
    last = list(shapes)[-1]
    by_layer = {n: rates[2] if n == last else rates[0] if len(shape) == 4 else rates[1] for n, shape in shapes.items()}
    return {name: round(prod(shape) * (1 - by_layer[name]) ** level) for name, shape in shapes.items()}


def densities(config: ConvLevel, levels: int) -> list[float]:
    """Return the fraction of all weights kept at levels 0 to `levels`."""
    shapes = shapes_of(weights_of(fresh_nets(replace(config, seeds=config.seeds[:1]), examples(config))))
    total = sum(prod(shape) for shape in shapes.values())
    return [sum(kept_counts(shapes, level, config.rates).values()) / total for level in range(levels + 1)]


def probe_steps(config: ConvLevel) -> list[int]:
    """Return the steps after which validation images are looked at: about `probes` even ones, and the snapshots."""
    even = np.linspace(0, config.steps, config.probes + 1).round().astype(int)[1:]
    return sorted({*even.tolist(), *config.snapshots})


def rule(config: ConvLevel) -> Rule:
    """Return the optimiser of a level: "adam", or "sgd" with momentum."""
    if config.optimizer == "adam":
        return Adam(config.lr, weight_decay=config.weight_decay)
    if config.optimizer == "sgd":
        return SGD(config.lr, config.momentum, weight_decay=config.weight_decay)
    raise BadInput.of("optimizer", config.optimizer, "adam or sgd", "See ConvLevel.")


def train(
    nets: Nets,
    masks: Tensors,
    config: ConvLevel,
    data: Data,
    *,
    orders: Sequence[int] = (),
    start: int = 0,
    cut: Cut = "zero",
    snapshots: Sequence[int] = (),
) -> tuple[Arrays, Arrays]:
    """Train nets in place from step `start` under masks; return (what they achieved, their states at `snapshots`).

    Achieved: validation_loss and validation_error [S, T] at `steps` [T], and per seed [S] early_step (of the least
    validation loss), early_error on the test images then, final_error, train_loss and train_error at the end.
    The optimiser is new, the order of examples (of the seeds `orders`) and the schedule go on at `start`. The masks
    come off at the end, cut weights stay as they are.
    """
    if not all(bool(mask.all()) for mask in masks.values()):  # a dense net trains faster without
        apply(nets, masks, cut)
    best = Best(data.validation, config)
    resume = _beginning(nets, config, start) if start else None
    parts: list[History] = []
    states: Arrays = {}
    for stop in (*sorted(snapshots), config.steps):
        parts.append(_fit(nets, config, data, orders or config.seeds, stop, resume, best))
        resume = parts[-1].state
        states |= state_arrays(nets, f"start{stop}") if stop < config.steps else {}
    looks = np.concatenate([part["early"] for part in parts], 1)
    steps = np.concatenate([part.steps for part in parts])
    loss, error = measured(nets, data.train, config)
    found = {
        "steps": steps, "validation_loss": looks[:, :, 0], "validation_error": looks[:, :, 1],
        "early_step": steps[looks[:, :, 0].argmin(1)],
        "early_error": measured(best.restored(nets), data.test, config)[1].numpy(),
        "final_error": measured(nets, data.test, config)[1].numpy(),
        "train_loss": loss.numpy(), "train_error": error.numpy(),
    }  # fmt: skip
    remove(nets)
    return found, states


class Best:
    """A probe for `fit` that returns validation loss and error [S, 2] and keeps each net's state of least loss."""

    def __init__(self, validation: Examples, config: ConvLevel):
        self.validation, self.config = validation, config
        self.least: dict[int, float] = {}
        self.states: dict[int, dict[str, Tensor]] = {}

    def __call__(self, nets: Nets) -> Tensor:
        """Return [S, 2]; see the class."""
        loss, error = measured(nets, self.validation, self.config)
        for r, (net, value) in enumerate(zip(nets, loss.tolist(), strict=True)):
            if value < self.least.get(r, float("inf")):
                self.least[r], self.states[r] = value, copy.deepcopy(net.state_dict())
        return torch.stack([loss, error], 1)

    def restored(self, nets: Nets) -> Nets:
        """Return copies of the nets in their best states."""
        copies = copy.deepcopy(nets)
        for r, net in enumerate(copies):
            net.load_state_dict(self.states[r])
        return copies


def measured(nets: Nets, part: Examples, config: ConvLevel) -> tuple[Tensor, Tensor]:
    """Return the mean loss and the share of errors of each net, [S] each."""
    engine = AutogradEngine(nets, SGD(), LOSS, config.precision)
    return mean_loss_and_error(engine, part.to(engine.device), LOSS)


def packed(masks: Mapping[str, Tensor]) -> Arrays:
    """Return masks as arrays of bits, mask.<layer> [S, bytes], and their `density` [S]."""
    bits = {f"mask.{name}": np.packbits(mask.flatten(1).cpu().numpy(), axis=1) for name, mask in masks.items()}
    return {"density": density(masks).cpu().numpy()} | bits


def unpacked(level: Arrays) -> Tensors:
    """Return the masks of a level's arrays, <layer> -> bool [S, *shape]."""
    masks = {}
    for name in (key.removeprefix("mask.") for key in level if key.startswith("mask.")):
        shape = level[f"end.{name}.weight"].shape
        flat = np.unpackbits(level[f"mask.{name}"], axis=1, count=prod(shape[1:])).astype(bool)
        masks[name] = torch.from_numpy(flat).view(shape)
    return masks


def state_arrays(nets: Nets, when: str) -> Arrays:
    """Return every parameter and buffer of unmasked nets, <when>.<name> -> [S, ...]."""
    states = [net.state_dict() for net in nets]
    return {f"{when}.{name}": torch.stack([s[name] for s in states]).cpu().numpy() for name in states[0]}


def stored(level: Arrays, when: str) -> Arrays:
    """Return the state `when` ("end", "start20") of a level's arrays; nothing for "start0", which the seeds give."""
    found = {name: values for name, values in level.items() if name.startswith(f"{when}.")}
    if not found and when != "start0":
        raise BadInput.of("state", when, "one that the level stored", "Name the step in `snapshots`.")
    return found


def load_states(nets: Nets, states: Arrays) -> None:
    """Set nets to a state that `stored` returned; if that is empty they stay as they are."""
    for r, net in enumerate(nets if states else ()):
        net.load_state_dict({name.partition(".")[2]: torch.tensor(values[r]) for name, values in states.items()})


def _beginning(nets: Nets, config: ConvLevel, start: int) -> dict[str, Any]:
    """Return what `fit` resumes from to begin at step `start` with a new optimiser."""
    engine = AutogradEngine(nets, rule(config), LOSS, config.precision)
    return {"engine": engine.state(), "step": start, "stopped": torch.full((len(nets),), -1)}


def _fit(
    nets: Nets, config: ConvLevel, data: Data, orders: Sequence[int], stop: int, resume: Any, best: Best
) -> History:
    begin = resume["step"] if resume else 0
    return fit(
        nets, data.train, loss=LOSS, optimizer=rule(config), schedule=_schedule(config), steps=stop,
        batch_size=config.batch, seeds=orders, probes={"early": best}, resume=resume, precision=config.precision,
        probe_steps=[step for step in probe_steps(config) if begin < step <= stop],
    )  # fmt: skip


def _schedule(config: ConvLevel) -> Schedule:
    later = step_decay(config.drops) if config.drops else constant()
    shape = warm_up(config.warm, later) if config.warm else later
    return lambda step, _: shape(step, config.steps)  # the length of the whole run, not that of a part up to a snapshot


def _line(a: nn.Module, b: nn.Module, replicate: int, data: Data, alphas: int) -> Tensor:
    """Return the test errors [A] on the line between two nets of one replicate."""
    device = next(b.parameters()).device
    a.to(device)
    test, rows = data.test.to(device), data.train.rows
    assert rows is not None, "every seed has rows of its own"
    normed = any(isinstance(part, _BatchNorm) for part in a.modules())
    x = data.train.x[rows[replicate]].to(device) if normed else None
    return module_path_errors(a, b, test.x, test.y, alphas, x)


def _given(before: Arrays | None, config: Any) -> Arrays:
    if before is None:
        raise BadInput.of("before", None, f"the arrays of {config.previous!r}", "Run that first, or use a sweep.")
    return before
