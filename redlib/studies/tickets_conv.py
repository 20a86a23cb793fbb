"""Tickets of conv nets: one level of iterative magnitude pruning, its control arms, and barriers between data orders.

A frozen dataclass describes one run. `run(config, before)` carries it out, given the arrays of `config.previous`
(None where that is None), and returns arrays with the seeds on the first axis; accuracies and errors are shares in
[0, 1]. Every seed has its own initial weights, data order and subset of the training pool, which all arms of that
seed share. A level's arrays hold what the next one needs: the masks it trained with (`mask.<layer>`, packed bits), the
weights it ended with (`final.<layer>`) and the state to go back to (`start<step>.<name>`; step 0 is the seed's).
"""

from __future__ import annotations

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
from redlib.measures.connectivity import barrier, module_path_errors
from redlib.nets.ticketnets import build
from redlib.pruning.allocation import Shapes, keep, keep_global, random_masks, shapes_of, shuffled
from redlib.pruning.masks import Tensors, apply, check_fit, counts, dense, density, remove, weights_of
from redlib.training import SGD, Adam, Examples, History, constant, fit, step_decay, warm_up
from redlib.training.engines import AutogradEngine
from redlib.training.optimisers import Rule
from redlib.training.record import mean_loss_and_error
from redlib.training.schedules import Schedule

Arrays = dict[str, np.ndarray]
COPY = 100_000  # a seed's fresh weights, or its second data order, are those of seed + COPY
ARMS = ("ticket", "reinit", "random", "shuffled")
LOSS = "cross_entropy"


@dataclass(frozen=True)
class ConvLevel:
    """One level of iterative magnitude pruning: level 0 is the dense net (LTH-4, 6, 7; Frankle & Carbin 2019).

    A level takes the previous one's final weights, cuts the smallest, sets the rest back to their values at step
    `rewind` and trains on from there, with a new optimiser, to step `steps`.
    """

    dataset: str = "digits"
    pool: int | None = 800  # training images from which each seed draws its own n; None: all there are
    validation: int = 200
    tests: int | None = 797
    n: int = 400
    shrink: int = 1  # side of the squares of pixels that are averaged
    net: str = "conv2"
    width: float = 0.25
    dropout: float = 0.0  # Conv-2/4/6 only
    optimizer: str = "adam"
    lr: float = 1e-3
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.0
    warm: int = 0  # steps of linear warm-up
    drops: tuple[float, ...] = ()  # shares of training after which the rate is divided by 10
    batch: int = 64
    steps: int = 300
    probes: int = 20
    rates: tuple[float, float, float] = (0.2, 0.4, 0.2)  # cut a level: convolutions, hidden linear layers, output
    pooled: bool = False  # rank all convolutions together
    level: int = 0
    rewind: int = 0
    snapshots: tuple[int, ...] = ()  # steps > 0 whose state level 0 keeps: what `rewind` and barriers may name
    precision: str = "fp32"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

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
    """A control arm of a level, trained as the level is, from step 0 (LTH-4).

    "reinit": the level's masks, fresh weights. "random": random masks with the same number of weights in each layer,
    the same fresh weights. "shuffled": the level's masks permuted within layers, the seed's own initial weights.
    "ticket": the level's masks and the seed's own initial weights. `steps` other than the level's give more time.
    """

    level: ConvLevel
    arm: str
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise BadInput.of("arm", self.arm, f"one of {ARMS}", "Name one of these.")

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


@singledispatch
def run(config: object, before: Arrays | None = None) -> Arrays:
    """Return the arrays of one run; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_level(config: ConvLevel, before: Arrays | None = None) -> Arrays:
    """Return the curves and accuracies (`outcome`), masks, final weights and states of one level."""
    data = examples(config)
    nets = fresh_nets(config, data)
    if not config.level:
        history, states = _with_snapshots(nets, config, data)
        masks = dense(weights_of(nets))
    else:
        before = _given(before, config)
        masks, states = next_masks(config, before), starting(before, config.rewind)
        load_states(nets, states, config.rewind)
        history = _masked(nets, masks, config, data, config.seeds, start=config.rewind)
    final = {f"final.{name}": values.cpu().numpy() for name, values in weights_of(nets).items()}
    return outcome(history, nets, config, data) | packed(masks) | final | states


@run.register
def run_arm(config: ConvArm, before: Arrays | None = None) -> Arrays:
    """Return the curves and accuracies (`outcome`) of a control arm, and its masks."""
    level = replace(config.level, steps=config.steps or config.level.steps)
    data, masks = examples(level), unpacked(_given(before, config))
    own = config.arm in ("ticket", "shuffled")
    nets = fresh_nets(level, data, 0 if own else COPY)
    if config.arm == "random":
        kept = {name: int(number[0]) for name, number in counts(masks).items()}
        if level.pooled:
            raise BadInput.of("arm", "random", "a net pruned layer by layer", "Seeds differ in their counts: shuffle.")
        masks = random_masks(shapes_of(masks), kept, level.seeds, key=level.level)
    elif config.arm == "shuffled":
        masks = shuffled(masks, level.seeds, key=level.level)
    history = _masked(nets, masks, level, data, level.seeds)
    return outcome(history, nets, level, data) | packed(masks)


@run.register
def run_barrier(config: ConvBarrier, before: Arrays | None = None) -> Arrays:
    """Return test_errors [S, A] on the line between the copies, its `barrier` [S], and end_accuracy [S, 2] of both.

    Batch-norm statistics are measured anew, on the seed's training images, at every point of the line.
    """
    level, before = config.level, _given(before, config)
    data = examples(level)
    two = replace(data, train=data.train.select([*range(len(level.seeds))] * 2))
    nets = [net for _ in range(2) for net in fresh_nets(level, data)]
    copies = {name: np.concatenate([values] * 2) for name, values in starting(before, config.start).items()}
    load_states(nets, copies, config.start)
    masks = {name: torch.cat([mask, mask]) for name, mask in unpacked(before).items()}
    orders = [seed + copy * COPY for copy in range(2) for seed in level.seeds]
    history = _masked(nets, masks, level, two, orders, start=config.start)
    pairs = list(zip(nets[: len(level.seeds)], nets[len(level.seeds) :], strict=True))
    errors = torch.stack([_line(a, b, r, data, config.alphas) for r, (a, b) in enumerate(pairs)])
    ends = 1 - history.final("test_error").reshape(2, -1).T
    return {"test_errors": errors.numpy(), "barrier": barrier(errors).numpy(), "end_accuracy": ends}


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


def fresh_nets(config: ConvLevel, data: Data, offset: int = 0) -> list[nn.Module]:
    """Return the untrained net of every seed + offset."""
    options: dict[str, Any] = {"dropout": config.dropout} if config.dropout else {}
    sizes = data.classes, data.channels, data.image
    return [build(config.net, seed + offset, *sizes, width=config.width, **options) for seed in config.seeds]


def next_masks(config: ConvLevel, before: Arrays) -> Tensors:
    """Return the masks of a level: the largest of the previous one's final weights, as many as `kept_counts` says."""
    scores = {name: values.abs() for name, values in _tensors(before, "final.").items()}
    within = unpacked(before)
    kept = kept_counts(shapes_of(scores), config.level, config.rates)
    if not config.pooled:
        return keep(scores, kept, within)
    ranked = [name for name in scores if scores[name].dim() == 5]  # replicates, out, in, height, width
    total = sum(kept[name] for name in ranked)
    masks = keep_global({name: scores[name] for name in ranked}, total, {name: within[name] for name in ranked})
    rest = [name for name in scores if name not in ranked]
    masks |= keep({n: scores[n] for n in rest}, {n: kept[n] for n in rest}, {n: within[n] for n in rest})
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
    """Return the steps at which a run looks at validation and test images: about `probes` even ones, snapshots too."""
    even = np.linspace(0, config.steps, config.probes + 1).round().astype(int)
    return sorted({*even.tolist(), *config.snapshots})


def rule(config: ConvLevel) -> Rule:
    """Return the optimiser of a level: "adam", or "sgd" with momentum."""
    if config.optimizer == "adam":
        return Adam(config.lr, weight_decay=config.weight_decay)
    if config.optimizer == "sgd":
        return SGD(config.lr, config.momentum, weight_decay=config.weight_decay)
    raise BadInput.of("optimizer", config.optimizer, "adam or sgd", "See ConvLevel.")


def outcome(history: History, nets: Sequence[nn.Module], config: ConvLevel, data: Data) -> Arrays:
    """Return what a run achieved: curves [S, T] at `steps` [T], and per seed [S] the numbers read off them.

    early_step: the probe with the least validation loss, and early_accuracy on the test images there;
    end_accuracy on them after the last step, train_accuracy on the seed's own images then.
    """
    early = history["validation_loss"].argmin(1)
    accuracy = 1 - history["test_error"]
    engine = AutogradEngine(nets, rule(config), LOSS, config.precision)
    _, wrong = mean_loss_and_error(engine, data.train.to(engine.device), LOSS)
    return {
        "steps": history.steps,
        **{name: history[name] for name in ("validation_loss", "validation_error", "test_loss", "test_error")},
        "early_step": history.steps[early],
        "early_accuracy": np.take_along_axis(accuracy, early[:, None], 1)[:, 0],
        "end_accuracy": accuracy[:, -1],
        "train_accuracy": 1 - wrong.numpy(),
    }


def packed(masks: Mapping[str, Tensor]) -> Arrays:
    """Return masks as arrays of bits, mask.<layer> [S, bytes], with their shapes and the `density` [S]."""
    arrays = {f"mask.{name}": np.packbits(mask.flatten(1).cpu().numpy(), axis=1) for name, mask in masks.items()}
    shapes = {f"shape.{name}": np.array(mask.shape[1:]) for name, mask in masks.items()}
    return {"density": density(masks).cpu().numpy()} | arrays | shapes


def unpacked(arrays: Arrays) -> Tensors:
    """Return the masks, <layer> -> bool [S, *shape], that `packed` stored in `arrays`."""
    masks = {}
    for name, bits in _tensors(arrays, "mask.").items():
        shape = arrays[f"shape.{name}"]
        flat = np.unpackbits(bits.numpy(), axis=1, count=int(shape.prod())).astype(bool)
        masks[name] = torch.from_numpy(flat).view(-1, *shape.tolist())
    return masks


def state_arrays(nets: Sequence[nn.Module], step: int) -> Arrays:
    """Return every parameter and buffer of unmasked nets, start<step>.<name> -> [S, ...]."""
    states = [net.state_dict() for net in nets]
    return {f"start{step}.{name}": torch.stack([s[name] for s in states]).cpu().numpy() for name in states[0]}


def starting(arrays: Arrays, step: int) -> Arrays:
    """Return the part of a level's arrays that holds the state at `step`; nothing for step 0, which the seeds give."""
    found = {name: values for name, values in arrays.items() if name.startswith(f"start{step}.")}
    if step and not found:
        raise BadInput.of("rewind step", step, "a step whose state is stored", "Name it in `snapshots`.")
    return found


def load_states(nets: Sequence[nn.Module], states: Arrays, step: int) -> None:
    """Set nets to the states that `starting` returned; for step 0 they keep their initial ones."""
    tensors = _tensors(states, f"start{step}.")
    for r, net in enumerate(nets if tensors else ()):
        net.load_state_dict({name: values[r] for name, values in tensors.items()})


def _masked(
    nets: Sequence[nn.Module], masks: Tensors, config: ConvLevel, data: Data, orders: Sequence[int], start: int = 0
) -> History:
    """Train nets under masks from step `start` on, with a new optimiser; the masks come off again, cut weights stay."""
    check_fit(masks, weights_of(nets), "mask")
    apply(nets, masks)
    resume = None
    if start:  # the data order goes on at this step
        engine = AutogradEngine(nets, rule(config), LOSS, config.precision)
        resume = {"engine": engine.state(), "step": start, "stopped": torch.full((len(nets),), -1)}
    history = _fit(nets, config, data, orders, config.steps, resume)
    remove(nets)
    return history


def _with_snapshots(nets: Sequence[nn.Module], config: ConvLevel, data: Data) -> tuple[History, Arrays]:
    """Train the dense nets; return their history and their states at the snapshots."""
    states: Arrays = {}
    parts: list[History] = []
    for stop in (*sorted(config.snapshots), config.steps):
        resume = parts[-1].state if parts else None
        parts.append(_fit(nets, config, data, config.seeds, stop, resume))
        states |= state_arrays(nets, stop) if stop < config.steps else {}
    steps = np.concatenate([part.steps for part in parts])
    values = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0].values}
    losses = np.concatenate([part.batch_loss for part in parts], 1)
    return replace(parts[-1], steps=steps, values=values, batch_loss=losses), states


def _fit(
    nets: Sequence[nn.Module], config: ConvLevel, data: Data, orders: Sequence[int], stop: int, resume: Any
) -> History:
    begin = resume["step"] + 1 if resume else 0
    return fit(
        nets, data.train, loss=LOSS, optimizer=rule(config), schedule=_schedule(config), steps=stop,
        batch_size=config.batch, seeds=orders, evaluate={"validation": data.validation, "test": data.test},
        probe_steps=[step for step in probe_steps(config) if begin <= step <= stop], resume=resume,
        precision=config.precision,
    )  # fmt: skip


def _schedule(config: ConvLevel) -> Schedule:
    later = step_decay(config.drops) if config.drops else constant()
    shape = warm_up(config.warm, later) if config.warm else later
    return lambda step, _: shape(step, config.steps)  # the length of the whole run, not that of a part up to a snapshot


def _line(a: nn.Module, b: nn.Module, replicate: int, data: Data, alphas: int) -> Tensor:
    """Return the test errors [A] on the line between two nets of one replicate."""
    device = next(a.parameters()).device
    test, rows = data.test.to(device), data.train.rows
    assert rows is not None, "every seed has rows of its own"
    normed = any(isinstance(part, _BatchNorm) for part in a.modules())
    x = data.train.x[rows[replicate]].to(device) if normed else None
    return module_path_errors(a, b, test.x, test.y, alphas, x)


def _tensors(arrays: Arrays, prefix: str) -> Tensors:
    """Return the arrays whose names begin with `prefix`, without it, as tensors."""
    return {
        name.removeprefix(prefix): torch.from_numpy(np.asarray(values))
        for name, values in arrays.items()
        if name.startswith(prefix)
    }


def _given(before: Arrays | None, config: Any) -> Arrays:
    if before is None:
        raise BadInput.of("before", None, f"the arrays of {config.previous!r}", "Run that first, or use a sweep.")
    return before


def _check_step(what: str, step: int, level: ConvLevel) -> None:
    if step not in (0, *level.snapshots):
        raise BadInput.of(what, step, f"one of {(0, *level.snapshots)}", "Name the step in `snapshots`.")
