"""The fully connected nets of the pruning study: weights and units cut before, during and after training.

A frozen dataclass describes an experiment; the `run` of the ticket study carries it out, so that both studies share
one chain of tickets. Arrays have the seeds on the first axis, errors are shares in [0, 1]; `outcome` is what
`tickets.train` returns. Fractions of weights or units are always those KEPT. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.allocation import (
    erk_counts,
    keep,
    keep_global,
    layer_counts,
    random_masks,
    round_counts,
    shuffled,
)  # fmt: skip
from redlib.pruning.criteria import Context, class_batch, context_of, score, synflow
from redlib.pruning.extrusion import Growth, extrude, growth_over
from redlib.pruning.masks import Tensors, counts, dense, masks_of, weights_of
from redlib.pruning.tickets import ARMS, arm_named, masks_at, prepare, shapes, stack
from redlib.pruning.units import UnitContext, keep_units, unit_masks, unit_scores
from redlib.studies.tickets import (
    Arrays,
    Lab,
    Level,
    cost_of,
    restored,
    rule,
    run,
    setting,
    train,
    unpacked,
)  # fmt: skip
from redlib.training import Examples, fit
from redlib.training.loop import evaluate

BEFORE_TRAINING = {"snip": "snip", "grasp": "grasp", "magnitude": "large_init"}  # one ranking over all layers
CHOICES = {"largest": ("l2", 1), "smallest": ("l2", -1), "random": ("random", 1)}  # criterion, and its sign when CUT
ABOVE = "shuffled_above"  # masks permuted within each layer but the first, which sees the inputs
WEIGHTS = "weights"  # single weights beside the unit criteria, as many in each layer


@dataclass(frozen=True)
class Zoo:
    """Nets pruned before training, each to the number of weights that a ticket of some level has (LTH-27, 28).

    SNIP, GraSP, SynFlow and magnitude rank all weights of the net together, as their papers do; `random` keeps the
    same fraction of every layer, `erk` shares out the weights as Erdős–Rényi nets do, at random.
    """

    source: Level = field(default_factory=Level)
    levels: tuple[int, ...] = (11, 15)
    criteria: tuple[str, ...] = ("snip", "grasp", "synflow", "magnitude", "random", "erk")
    arms: tuple[str, ...] = ("ticket",)  # what becomes of a mask: ticket (as it is), shuffled, shuffled_above, reinit
    per_class: int = 10  # examples of each class that SNIP and GraSP look at
    rounds: int = 100  # of SynFlow
    length: float = 1.0  # training steps, in multiples of the lab's

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.source.lab) * self.length * len(self.criteria) * len(self.levels) * len(self.arms)


@dataclass(frozen=True)
class Units:
    """Whole hidden units cut in rounds, the same fraction of each layer, by several criteria (LTH-22, 27).

    Every criterion has a chain of its own: train, score, cut, go on from `start`. "weights" cuts single weights by
    magnitude, as many in each layer as leave with the units.
    """

    source: Level = field(default_factory=Level)  # its level 0 is the net of the first cut
    criteria: tuple[str, ...] = ("l2", "random", "gradient", "taylor", WEIGHTS)
    kept: tuple[float, ...] = (0.75, 0.5, 0.25)  # of each layer's units after each round
    start: str = "rewind"  # kept weights go back to their initial values; "trained": they stay
    per_class: int = 50  # examples of each class that criteria with data look at
    length: float = 1.0  # training steps after each cut, in multiples of the lab's

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.source.lab) * self.length * len(self.criteria) * len(self.kept)


@dataclass(frozen=True)
class MidCuts:
    """Units cut while a net is being trained: the largest, the smallest or random ones, or none (LTH-26).

    All arms of a seed are one net up to the first cut, and have the same number of steps in all; a new optimiser
    takes over at each cut, also where nothing is cut.
    """

    lab: Lab = field(default_factory=lambda: Lab(hidden=(150, 150)))  # more than the data need
    choices: tuple[str, ...] = tuple(CHOICES)
    kept: tuple[float, ...] = (0.85, 0.7)  # of each layer's units at the end
    events: tuple[float, ...] = (0.5, 0.65)  # when to cut, in shares of training; at each event equally many units

    def __post_init__(self) -> None:
        if list(self.events) != sorted(set(self.events)) or not self.events or not 0 < min(self.events) < 1:
            raise BadInput.of("events", self.events, "rising, between 0 and 1", "Give shares of training.")
        if max(self.events) >= 1:
            raise BadInput.of("events", self.events, "below 1", "Leave steps to train on after the last cut.")

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        arms = len(self.choices) * len(self.kept) + 1
        return cost_of(self.lab) * (self.events[0] + arms * (1 - self.events[0]))


@dataclass(frozen=True)
class Collapse:
    """How many weights each layer of an untrained net keeps, of ever fewer in all (LTH-29; Tanaka et al. 2020)."""

    lab: Lab = field(default_factory=lambda: Lab(hidden=(100,) * 6))
    criteria: tuple[str, ...] = ("snip", "grasp", "magnitude")  # each ranks once; SynFlow goes step by step
    steps: int = 200  # numbers of weights, evenly spaced on a log axis down to fewer than one a layer
    per_class: int = 10

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(replace(self.lab, steps=10 * self.steps))


@dataclass(frozen=True)
class Sensitivity:
    """The trained net with one layer cut at a time, by magnitude, and by default not trained again (LTH-30)."""

    source: Level = field(default_factory=Level)
    densities: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.02)
    length: float = 0.0  # training steps after the cut, in multiples of the lab's

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        cells = (len(self.source.lab.hidden) + 1) * len(self.densities)
        return cost_of(self.source.lab) * cells * (self.length + 0.05)


@dataclass(frozen=True)
class Extrusion:
    """Dual tickets: random masks whose cut weights are first shrunk by a growing penalty (LTH-31; Bai et al. 2022).

    Arms: extruded; pretrained (as long a dense training, without the penalty, then the same cut); random (the same
    mask, nothing before); ticket; and random_long, with all the steps that extrusion takes. The random mask is the
    ticket's, shuffled within each layer.
    """

    source: Level = field(default_factory=Level)
    level: int = 11
    first: float = 1.0  # steps before the cut, in multiples of the lab's
    bound: float = 1.0  # of the penalty, reached after half of them

    @property
    def previous(self) -> Level:
        """The ticket."""
        return replace(self.source, level=self.level)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.source.lab) * (5 + 3 * self.first)


EXTRUSION_ARMS = ("extruded", "pretrained", "random", "ticket", "random_long")


@run.register
def run_zoo(config: Zoo) -> Arrays:
    """Return `outcome` with axes [S, criteria, levels, arms, ...] and kept [S, criteria, levels, layers] (weights)."""
    lab, parts, initial = setting(config.source.lab)
    batch = class_batch(parts["train"], config.per_class, lab.seeds)
    masks = {
        (name, level): masks_at_start(
            name, initial, ticket_weights(initial, config.source, level), batch, config.rounds
        )
        for name in config.criteria
        for level in config.levels
    }
    nets = [_armed(arm, initial, mask, lab.init, level) for (_, level), mask in masks.items() for arm in config.arms]
    found = train(stack(nets), parts, replace(lab, steps=round(lab.steps * config.length)))
    sizes = len(config.criteria), len(config.levels)
    kept = {"kept": np.concatenate([_kept(mask) for mask in masks.values()])}
    return by_axes(found, *sizes, len(config.arms)) | by_axes(kept, *sizes)


@run.register
def run_units(config: Units, before: Arrays) -> Arrays:
    """Return `outcome` with axes [S, criteria, rounds, ...], and cut_error and kept (by layer) before each training."""
    lab, parts, initial = setting(config.source.lab)
    batch = class_batch(parts["train"], config.per_class, lab.seeds)
    nets = dict.fromkeys(config.criteria, restored(initial, before["final"]))
    alive = {name: units_of(initial) for name in config.criteria}
    found = []
    for share in config.kept:
        for name in config.criteria:
            masks, alive[name] = _fewer_units(name, nets[name], alive[name], share, batch)
            nets[name] = _begun(config.start, initial, nets[name], masks)
        every = stack(list(nets.values()))
        values = {"cut_error": evaluate(every, parts["test"])["error"].numpy(), "kept": _kept(masks_of(every))}
        found.append(values | train(every, parts, replace(lab, steps=round(lab.steps * config.length))))
        nets = dict(zip(nets, split(every, len(nets)), strict=True))
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]} | {"steps": found[0]["steps"]}
    return {n: v if n == "steps" else v.swapaxes(1, 2) for n, v in by_axes(joined, len(found), len(nets)).items()}


@run.register
def run_mid_cuts(config: MidCuts) -> Arrays:
    """Return `outcome` after the last cut with axes [S, arms, ...], and drop [S, arms, events] (share of the test set).

    Arm 0 is the one without a cut; then choices x kept. `drop` is the accuracy lost at a cut.
    """
    lab, parts, net = setting(config.lab)
    times = [round(share * lab.steps) for share in (*config.events, 1)]
    fit(net, parts["train"], optimizer=rule(lab), steps=times[0], batch_size=lab.batch)
    arms = [("", 1.0), *((choice, kept) for choice in config.choices for kept in config.kept)]
    nets, drops = [net] * len(arms), []
    for event, steps in enumerate(np.diff(times).tolist(), 1):
        done = event / len(config.events)
        every, drop = _cut_all(nets, [(choice, 1 - (1 - kept) * done) for choice, kept in arms], parts["test"])
        found = train(every, parts, replace(lab, steps=steps))
        nets = split(every, len(arms))
        drops.append(drop)
    return by_axes(found | {"drop": np.stack(drops, 1)}, len(arms))


@run.register
def run_collapse(config: Collapse) -> Arrays:
    """Return weights [T] kept in all, falling, and kept [S, criteria + SynFlow, T, layers]: how many in each layer."""
    lab, parts, net = setting(config.lab)
    context = context_of(net, batch=class_batch(parts["train"], config.per_class, lab.seeds))
    layers, total = len(context.initial), sum(w[0].numel() for w in context.initial.values())
    weights = np.unique(np.geomspace(total, layers - 1, config.steps + 1).round().astype(int))[::-1].tolist()
    ranked = [kept_by_rank(score(BEFORE_TRAINING[name], context), weights) for name in config.criteria]
    return {"weights": np.array(weights), "kept": np.stack([*ranked, kept_by_synflow(context, weights)], 1)}


@run.register
def run_sensitivity(config: Sensitivity, before: Arrays) -> Arrays:
    """Return cut_error [S, layers, densities] on test data, and with length > 0 `outcome` with these axes."""
    lab, parts, initial = setting(config.source.lab)
    final = restored(initial, before["final"])
    scores, sizes = {n: w.abs() for n, w in weights_of(final).items()}, shapes(final)
    nets = []
    for layer in scores:
        for density in config.densities:
            kept = {n: prod(shape) for n, shape in sizes.items()} | {layer: layer_counts(sizes, density)[layer]}
            nets.append(prepare(ARMS["finetuned"], initial, keep(scores, kept), trained=final))
    every = stack(nets)
    found: Arrays = {"cut_error": evaluate(every, parts["test"])["error"].numpy()}
    if config.length:
        found |= train(every, parts, replace(lab, steps=round(lab.steps * config.length)))
    return by_axes(found, len(scores), len(config.densities))


@run.register
def run_extrusion(config: Extrusion, before: Arrays) -> Arrays:
    """Return `outcome` without its curves [S, EXTRUSION_ARMS], norm_at_cut [S, 2] and cut_error [S, 2].

    norm_at_cut: of the doomed weights, over that at the start, with the penalty and (pretrained) without; cut_error
    on test data just after the cut.
    """
    lab, parts, initial = setting(config.source.lab)
    ticket = masks_at(unpacked(before["survives"], weights_of(initial)), config.level)
    random = shuffled(ticket, lab.seeds, key=config.level)
    first = round(config.first * lab.steps)
    pair = [
        extrude(initial, random, parts["train"], optimizer=rule(lab), steps=first, batch_size=lab.batch, growth=growth)
        for growth in (growth_over(first, config.bound), Growth(bound=0.0))
    ]
    whole = [prepare(ARMS["ticket"], initial, masks) for masks in (random, ticket)]
    cut = {
        "norm_at_cut": torch.cat([ratio for _, ratio in pair]).numpy(),
        "cut_error": evaluate(stack([net for net, _ in pair]), parts["test"])["error"].numpy(),
    }
    short = train(stack([*(net for net, _ in pair), *whole]), parts, lab)
    long = train(whole[0], parts, replace(lab, steps=lab.steps + first))
    # Their looks at the validation data come at other steps.
    arms = {n: np.concatenate([short[n], long[n]]) for n in short if n != "steps" and short[n].ndim == 1}
    return by_axes(arms, len(EXTRUSION_ARMS)) | by_axes(cut, 2)


def masks_at_start(
    criterion: str, initial: StackedMLP, total: int, batch: tuple[Tensor, Tensor], rounds: int = 100
) -> Tensors:
    """Return masks that keep `total` weights of an untrained net (`random` and `erk`: to rounding); see `Zoo`.

    `batch` holds the examples of SNIP and GraSP, `rounds` are SynFlow's. Raises EmptyLayer where a layer is emptied.
    """
    sizes = shapes(initial)
    density = total / sum(prod(shape) for shape in sizes.values())
    if criterion in ("random", "erk"):
        kept = layer_counts(sizes, density) if criterion == "random" else erk_counts(sizes, density)
        return random_masks(sizes, kept, initial.seeds, key=total)
    if criterion == "synflow":
        return synflow(initial, density, rounds)
    if criterion not in BEFORE_TRAINING:
        known = [*BEFORE_TRAINING, "synflow", "random", "erk"]
        raise BadInput.of("criterion before training", criterion, f"one of {known}", "Name one of these.")
    return keep_global(score(BEFORE_TRAINING[criterion], context_of(initial, batch=batch)), total)


def ticket_weights(net: StackedMLP, source: Level, level: int) -> int:
    """Return how many weights the ticket of a level keeps in all."""
    return sum(round_counts(shapes(net), level, source.rate, source.last).values())


def units_of(net: StackedMLP) -> Tensors:
    """Return {hidden layer: bool [R, units]}, all True."""
    hidden = zip(weights_of(net), net.sizes[1:-1], strict=False)
    return {name: torch.ones(net.replicates, units, dtype=torch.bool) for name, units in hidden}


def fewer(scores: Mapping[str, Tensor], alive: Mapping[str, Tensor], share: float) -> Tensors:
    """Return {layer: bool [R, units]}: of the units alive the best by score, round(share * units) of each layer."""
    kept = layer_counts({name: units.shape[1:] for name, units in alive.items()}, share)
    return {
        name: keep_units(scores[name].masked_fill(~units, -torch.inf), kept[name]) & units
        for name, units in alive.items()
    }


def kept_by_rank(scores: Mapping[str, Tensor], weights: Sequence[int]) -> np.ndarray:
    """Return [R, T, layers]: how many of the weights[t] best are in each layer, ties as in `keep_global`."""
    layer = torch.cat([torch.full((values[0].numel(),), i) for i, values in enumerate(scores.values())])
    order = torch.cat([values.flatten(1) for values in scores.values()], 1).argsort(stable=True, dim=1, descending=True)
    running = functional.one_hot(layer)[order].cumsum(1)
    return running[:, torch.tensor(weights) - 1].numpy()


def kept_by_synflow(context: Context, weights: Sequence[int]) -> np.ndarray:
    """Return [R, T, layers]: the same for iterative SynFlow that goes through these numbers of weights one by one.

    On a log-spaced grid it is the schedule of Tanaka et al. 2020, algorithm 1, seen at every step.
    """
    masks, found = dense(context.initial), []
    for total in weights:
        scores = score("synflow", replace(context, masks=masks))
        masks = keep_global(scores, total, allow_empty=True)
        found.append(_kept(masks))
    return np.stack(found, 1)


def by_axes(found: Arrays, *sizes: int) -> Arrays:
    """Return arrays [prod(sizes) * S, ...] of a stack as [S, *sizes, ...]; `steps` stays."""
    return {
        name: values if name == "steps" else np.moveaxis(values.reshape(*sizes, -1, *values.shape[1:]), len(sizes), 0)
        for name, values in found.items()
    }


def split(net: StackedMLP, parts: int) -> list[StackedMLP]:
    """Return a stack as `parts` stacks of equally many replicates, in order."""
    each = net.replicates // parts
    return [net.select(range(i * each, (i + 1) * each)) for i in range(parts)]


def _armed(arm: str, initial: StackedMLP, masks: Tensors, init: str, key: int) -> StackedMLP:
    """Return a net ready to train as one of ARMS, or with the masks of all layers but the first shuffled."""
    if arm != ABOVE:
        return prepare(arm_named(arm), initial, masks, init, key=key)
    first = next(iter(masks))
    return prepare(ARMS["ticket"], initial, shuffled(masks, initial.seeds, key) | {first: masks[first]})


def _fewer_units(
    name: str, net: StackedMLP, alive: Tensors, share: float, batch: tuple[Tensor, Tensor]
) -> tuple[Tensors, Tensors]:
    """Return (masks of a net with fewer units, the units alive); for "weights" masks of as many weights."""
    scores = unit_scores("l2" if name == WEIGHTS else name, UnitContext(net, batch))
    chosen = fewer(scores, alive, share)
    masks = unit_masks(dense(weights_of(net)), chosen)
    if name == WEIGHTS:
        number = {layer: int(kept[0]) for layer, kept in counts(masks).items()}
        masks = keep({layer: w.abs() for layer, w in weights_of(net).items()}, number, masks_of(net))
    return masks, chosen


def _begun(start: str, initial: StackedMLP, trained: StackedMLP, masks: Tensors) -> StackedMLP:
    if start not in ("rewind", "trained"):
        raise BadInput.of("start", start, "rewind or trained", "Say what the kept weights start from.")
    return prepare(ARMS["ticket" if start == "rewind" else "finetuned"], initial, masks, trained=trained)


def _without(choice: str, net: StackedMLP, share: float) -> StackedMLP:
    """Return the net with `share` of each layer's units kept, after cutting by a rule of CHOICES."""
    if choice not in CHOICES:
        raise BadInput.of("choice", choice, f"one of {list(CHOICES)}", "Name one of these.")
    criterion, sign = CHOICES[choice]
    scores = {name: -sign * values for name, values in unit_scores(criterion, UnitContext(net)).items()}
    alive = {name: masks_of(net)[name].any(2) for name in scores}
    masks = unit_masks(net, fewer(scores, alive, share))
    return prepare(ARMS["finetuned"], net, masks, trained=net)


def _cut_all(
    nets: Sequence[StackedMLP], arms: Sequence[tuple[str, float]], test: Examples
) -> tuple[StackedMLP, np.ndarray]:
    """Return (the nets cut by (choice, share of units kept), one stack; the rise of each replicate's test error)."""
    cut = stack(
        [_without(choice, net, share) if choice else net for net, (choice, share) in zip(nets, arms, strict=True)]
    )
    before, after = (evaluate(every, test)["error"].numpy() for every in (stack(nets), cut))
    return cut, after - before


def _kept(masks: Tensors) -> np.ndarray:
    """Return the number of weights kept, [R, layers]."""
    return torch.stack(list(counts(masks).values()), 1).numpy()
