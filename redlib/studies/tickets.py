"""The fully connected nets of the ticket study: iterative pruning level by level, and every control arm beside it.

A frozen dataclass describes an experiment, `run` carries it out; arrays have the seeds on the first axis, errors are
shares in [0, 1]. `Level` is one round of pruning and goes on from the round before; what needs the masks of a ticket
goes on from its level. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np
import torch

from redlib.data.sources import Dataset, load
from redlib.errors import BadInput
from redlib.measures.connectivity import path_errors
from redlib.nets import StackedMLP
from redlib.pruning.allocation import keep, keep_global, round_counts
from redlib.pruning.criteria import Context, score
from redlib.pruning.masks import Tensors, dense, weights_of
from redlib.pruning.tickets import (
    ARMS,
    cut_further,
    masks_at,
    prepare,
    reseeded,
    shapes,
    stack,
    stacked_arms,
)  # fmt: skip
from redlib.training import SGD, Adam, Examples, History, fit
from redlib.training.early import EarlyStop, early_values
from redlib.training.execution import by_density
from redlib.training.loop import evaluate
from redlib.training.optimisers import Rule

Arrays = dict[str, np.ndarray]
Parts = dict[str, Examples]
MEMBER = 100_000  # member k of a group of small nets trains with seed + k * MEMBER


@dataclass(frozen=True)
class Lab:
    """Data, net and training that all arms of an experiment share."""

    dataset: str = "mnist1d"
    pool: int = 3500  # training examples
    validation: int = 500
    tests: int = 10_000
    part: str = "all"  # of the training examples: all, or their first or second half
    hidden: tuple[int, ...] = (100, 100)
    init: str = "glorot"
    optimizer: str = "momentum"  # SGD with momentum 0.9, or adam
    lr: float = 0.1
    batch: int = 100
    steps: int = 1000
    probes: int = 40  # looks at the validation loss, evenly spaced
    seeds: tuple[int, ...] = tuple(range(10))


@dataclass(frozen=True)
class Level:
    """One round of iterative magnitude pruning: the ticket of `level` is cut from the training before, and trained."""

    lab: Lab = field(default_factory=Lab)
    level: int = 0
    rate: float = 0.2  # share of the weights cut a round
    last: float = 0.1  # the same for the output layer
    whole: bool = False  # one ranking over all layers instead of the same rate in each

    @property
    def previous(self) -> Level | None:
        """The round before."""
        return replace(self, level=self.level - 1) if self.level else None

    @property
    def cost(self) -> float:
        """Relative time, to start long runs first: chains before what hangs on them."""
        return 1e3 * cost_of(self.lab)


@dataclass(frozen=True)
class Arms:
    """Control arms of the tickets of some levels, all in one stack, trained as `lab` says (default: their own)."""

    source: Level
    arms: tuple[str, ...]
    levels: tuple[int, ...]
    lab: Lab | None = None
    length: float = 1.0  # training steps, in multiples of the lab's
    start: int = 0  # the arms start from the dense net after this many steps

    @property
    def previous(self) -> Level:
        """The ticket whose masks the arms take: the deepest one."""
        return replace(self.source, level=max(self.levels))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.lab or self.source.lab) * self.length * len(self.arms) * len(self.levels)


@dataclass(frozen=True)
class OneShot:
    """Nets cut once, by several criteria, from one training of the dense net, and trained again from the start."""

    source: Level  # level 0; its rates give the counts
    criteria: tuple[str, ...]
    levels: tuple[int, ...]
    length: float = 1.0

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.source.lab) * self.length * len(self.criteria) * len(self.levels)


@dataclass(frozen=True)
class Barriers:
    """Two copies of a net, trained from step k on in different orders: is the straight line between them flat?"""

    source: Level
    levels: tuple[int, ...]  # 0 is the dense net
    starts: tuple[int, ...]  # k
    alphas: int = 30
    tests: int = 2000  # test examples the line is measured on

    @property
    def previous(self) -> Level:
        """The ticket whose masks are taken."""
        return replace(self.source, level=max(self.levels))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 2 * cost_of(self.source.lab) * len(self.levels) * len(self.starts)


@dataclass(frozen=True)
class SmallNets:
    """Dense nets with as many weights as a ticket, several per seed (LTH-35)."""

    lab: Lab
    weights: int  # at most this many, hidden layers in the lab's proportion
    members: int = 20

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.lab) * self.members / 5


@dataclass(frozen=True)
class Untrained:
    """The dense net cut by one criterion at several densities and not trained again (LTH-12, LTH-33)."""

    source: Level
    levels: tuple[int, ...]
    criterion: str = "large_final_same_sign"
    weights: tuple[str, ...] = ("ticket", "signed_constant")  # arms; finetuned keeps the trained weights

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)


@dataclass(frozen=True)
class Flips:
    """How many weights change sign between looks at the training of the dense net (LTH-36)."""

    lab: Lab
    looks: int = 40

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.lab)


@singledispatch
def run(config: object, before: Arrays | None = None) -> Arrays:
    """Return the arrays of one experiment; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_level(config: Level, before: Arrays | None = None) -> Arrays:
    """Return `outcome` of the ticket's training, survives (see `survival`), and flat weights [S, P]: final, trained.

    `trained` are the weights of the round before, from which this ticket was cut. Biases are not cut.
    """
    lab, parts, initial = setting(config.lab)
    survives = {name: torch.zeros_like(w, dtype=torch.int8) for name, w in weights_of(initial).items()}
    trained = np.zeros((len(lab.seeds), 0), np.float32)
    masks = dense(survives)
    if config.level and before is None:
        raise BadInput.of("before", None, f"the arrays of level {config.level - 1}", "Run the chain from level 0.")
    if before is not None:
        survives, trained = unpacked(before["survives"], survives), before["final"]
        masks = _cut(config, initial, restored(initial, trained), masks_at(survives, config.level - 1))
        survives = {name: kept + masks[name].to(torch.int8) for name, kept in survives.items()}
    net = prepare(ARMS["ticket"], initial, masks)
    found = train(net, parts, lab)
    return found | {"survives": packed(survives), "final": net.vector().numpy(), "trained": trained}


@run.register
def run_arms(config: Arms, before: Arrays) -> Arrays:
    """Return `outcome` with axes [S, arms, levels, ...]."""
    lab, parts, start = setting(config.lab or config.source.lab)
    survives = unpacked(before["survives"], weights_of(start))
    levels = {level: masks_at(survives, level) for level in config.levels}
    if config.start:
        _fit(start, parts, replace(lab, steps=config.start))
    trained = {max(levels): restored(start, before["trained"])} if "finetuned" in config.arms else {}
    net = stacked_arms(start, levels, config.arms, lab.init, trained)
    found = train(net, parts, replace(lab, steps=round(lab.steps * config.length)))
    return axes(found, len(config.arms), len(levels))


@run.register
def run_one_shot(config: OneShot, before: Arrays) -> Arrays:
    """Return `outcome` with axes [S, criteria, levels, ...]."""
    lab, parts, initial = setting(config.source.lab)
    scores = _scores(config.criteria, initial, restored(initial, before["final"]))
    nets = []
    for found in scores.values():
        for level in config.levels:
            counts = round_counts(shapes(initial), level, config.source.rate, config.source.last)
            nets.append(prepare(ARMS["ticket"], initial, keep(found, counts)))
    outcome = train(stack(nets), parts, replace(lab, steps=round(lab.steps * config.length)))
    return axes(outcome, len(config.criteria), len(config.levels))


@run.register
def run_untrained(config: Untrained, before: Arrays) -> Arrays:
    """Return validation_accuracy and test_accuracy [S, weights, levels] of cut nets that are not trained again.

    Biases are those that belong to the weights: initial, or trained.
    """
    _, parts, initial = setting(config.source.lab)
    final = restored(initial, before["final"])
    found = _scores([config.criterion], initial, final)[config.criterion]
    rates = config.source.rate, config.source.last
    levels = {level: keep(found, round_counts(shapes(initial), level, *rates)) for level in config.levels}
    net = stacked_arms(initial, levels, config.weights, trained=dict.fromkeys(levels, final))
    values = {f"{part}_accuracy": 1 - evaluate(net, parts[part])["error"].numpy() for part in ("validation", "test")}
    return axes(values, len(config.weights), len(levels))


@run.register
def run_barriers(config: Barriers, before: Arrays) -> Arrays:
    """Return path_error [S, levels, starts, alphas] between the two copies, and `outcome` of the first copy."""
    lab, parts, initial = setting(config.source.lab)
    survives = unpacked(before["survives"], weights_of(initial))
    nets, found = [], []
    for k in config.starts:
        start = initial.clone()
        if k:
            _fit(start, parts, replace(lab, steps=k))
        nets.append(stacked_arms(start, {level: masks_at(survives, level) for level in config.levels}, ["ticket"]))
    pair = [stack(nets), reseeded(stack(nets), 1)]
    found = [train(net, parts, lab) for net in pair]
    test = Examples(parts["test"].x[: config.tests], parts["test"].y[: config.tests])
    path = path_errors(pair[0], pair[1], test, config.alphas)
    both = found[0] | {"path_error": np.asarray(path), "other_error": found[1]["early_error"]}
    shaped = axes(both, len(config.starts), len(config.levels))
    return {name: values if name == "steps" else values.swapaxes(1, 2) for name, values in shaped.items()}


@run.register
def run_small(config: SmallNets) -> Arrays:
    """Return `outcome` with axes [S, members, ...] and the number of weights of each net."""
    lab, parts, whole = setting(config.lab)
    hidden = _shrunken(whole.sizes, config.weights)
    seeds = [seed + k * MEMBER for k in range(config.members) for seed in lab.seeds]
    net = StackedMLP.create((whole.sizes[0], *hidden, whole.sizes[-1]), seeds, init=lab.init)
    found = axes(train(net, parts, lab), config.members, 1)
    weights = sum(a * b for a, b in zip(net.sizes[:-1], net.sizes[1:], strict=True))
    return {name: v if name == "steps" else v[:, :, 0] for name, v in found.items()} | {"weights": np.array(weights)}


@run.register
def run_flips(config: Flips) -> Arrays:
    """Return steps [T] and changed [S, T]: the share of weights whose sign differs from that at the look before."""
    lab, parts, net = setting(config.lab)
    looks = np.unique(np.geomspace(1, lab.steps, config.looks).round().astype(int))
    history = _fit(net, parts, lab, {"sign": lambda part: part.vector() > 0}, [0, *looks.tolist()])
    signs = history["sign"]
    return {"steps": looks, "changed": (signs[:, 1:] != signs[:, :-1]).mean(2)}


def setting(lab: Lab) -> tuple[Lab, Parts, StackedMLP]:
    """Return (the lab, its examples by part, one initial net per seed)."""
    data = dataset(lab)
    half = len(data.train) // 2
    rows = {"all": slice(None), "first": slice(0, half), "second": slice(half, 2 * half)}
    if lab.part not in rows:
        raise BadInput.of("part", lab.part, f"one of {list(rows)}", "Take all training examples, or one half.")
    parts = {"train": Examples(data.train.x[rows[lab.part]], data.train.y[rows[lab.part]])}
    for name, split in (("validation", data.validation), ("test", data.test)):
        if split is not None:
            parts[name] = Examples(split.x, split.y)
    sizes = parts["train"].x.shape[1], *lab.hidden, data.classes
    return lab, parts, StackedMLP.create(sizes, lab.seeds, init=lab.init)


def dataset(lab: Lab) -> Dataset:
    """Return the data set of a lab."""
    return load(lab.dataset, n_train=lab.pool, n_validation=lab.validation, n_test=lab.tests)


def train(net: StackedMLP, parts: Parts, lab: Lab) -> Arrays:
    """Train `net` in place; return steps [T] and per replicate the `early_values`, train_loss and train_error (end)."""
    at = np.unique(np.linspace(0, lab.steps, lab.probes + 1).round().astype(int))[1:]
    early = EarlyStop(net, parts["validation"], parts["test"], len(at))
    history = _fit(net, parts, lab, {"early": early}, at.tolist())
    end = evaluate(net, parts["train"])
    trained = {"train_loss": end["loss"].numpy(), "train_error": end["error"].numpy()}
    return {"steps": history.steps} | {name: np.asarray(v) for name, v in early_values(history).items()} | trained


def axes(found: Arrays, first: int, second: int) -> Arrays:
    """Return arrays [first * second * S, ...] of a stack as [S, first, second, ...]; `steps` stays."""
    return {
        name: values if name == "steps" else np.moveaxis(values.reshape(first, second, -1, *values.shape[1:]), 2, 0)
        for name, values in found.items()
    }


def rule(lab: Lab) -> Rule:
    """Return the optimiser of a lab."""
    if lab.optimizer not in ("momentum", "sgd", "adam"):
        raise BadInput.of("optimizer", lab.optimizer, "momentum, sgd or adam", "See Lab.")
    return Adam(lab.lr) if lab.optimizer == "adam" else SGD(lab.lr, 0.9 * (lab.optimizer == "momentum"))


def cost_of(lab: Lab) -> float:
    """Relative time of one training of a lab's nets."""
    widths = (784 if lab.dataset[-5:] == "mnist" else 50, *lab.hidden, 10)
    return (
        lab.steps * lab.batch * len(lab.seeds) * sum(a * b for a, b in zip(widths[:-1], widths[1:], strict=True)) / 1e9
    )


def packed(tensors: Tensors) -> np.ndarray:
    """Return all layers as one array [S, weights]."""
    return torch.cat([values.flatten(1) for values in tensors.values()], 1).numpy()


def unpacked(flat: np.ndarray, like: Mapping[str, torch.Tensor]) -> Tensors:
    """Return what `packed` joined, with the names and shapes of `like`."""
    sizes = [values[0].numel() for values in like.values()]
    parts = torch.from_numpy(np.array(flat)).split(sizes, 1)
    return {name: part.view(values.shape) for (name, values), part in zip(like.items(), parts, strict=True)}


def restored(net: StackedMLP, vector: np.ndarray) -> StackedMLP:
    """Return a copy of `net` with the weights and biases that `net.vector()` listed [S, P]."""
    copy, at = net.clone(), 0
    values = torch.from_numpy(np.array(vector))
    for weights, biases in zip(copy.weights, copy.biases, strict=True):
        for target in (weights, biases):
            size = target[0].numel()
            target.copy_(values[:, at : at + size].view(target.shape))
            at += size
    return copy


def _fit(
    net: StackedMLP, parts: Parts, lab: Lab, probes: Mapping[str, object] | None = None, at: Sequence[int] | None = None
) -> History:
    options = {"probes": probes, "probe_steps": at, "execution": by_density(net)}
    return fit(net, parts["train"], optimizer=rule(lab), steps=lab.steps, batch_size=lab.batch, **options)  # type: ignore[arg-type]


def _cut(config: Level, initial: StackedMLP, trained: StackedMLP, masks: Tensors) -> Tensors:
    counts = round_counts(shapes(initial), config.level, config.rate, config.last)
    if not config.whole:
        return cut_further(trained, initial, masks, counts)
    # A layer may be emptied: the study counts such collapses.
    sizes = {name: weights.abs() for name, weights in weights_of(trained).items()}
    return keep_global(sizes, sum(counts.values()), masks, allow_empty=True)


def _scores(criteria: Sequence[str], initial: StackedMLP, final: StackedMLP) -> dict[str, Tensors]:
    context = Context(initial=weights_of(initial), final=weights_of(final), seeds=tuple(initial.seeds))
    return {name: score(name, context) for name in criteria}


def _shrunken(sizes: Sequence[int], weights: int) -> list[int]:
    """Return hidden widths in the same proportion with at most `weights` weights (at least one unit each)."""
    for width in range(sizes[1], 0, -1):
        hidden = [max(1, round(width * h / sizes[1])) for h in sizes[1:-1]]
        chain = [sizes[0], *hidden, sizes[-1]]
        if sum(a * b for a, b in zip(chain[:-1], chain[1:], strict=True)) <= weights:
            return hidden
    raise BadInput.of("weights", weights, "enough for one unit a layer", "Keep more weights.")
