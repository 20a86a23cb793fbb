"""The runs of the pruning study: weights, units and filters cut before, during and after training, and their speed.

`TRAINED` are the arrays of `Lab.train`; errors are shares in [0, 1]. Fractions of weights or units are always those
KEPT. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from redlib.data.streams import rng, torch_rng
from redlib.errors import BadInput
from redlib.experiments.chain import Level, masks_of_levels
from redlib.experiments.experiment import Experiment, given, varied
from redlib.experiments.lab import TRAINED, Lab, Modules, Stack, restored
from redlib.experiments.results import Arrays, Labels, among
from redlib.measures import cost
from redlib.nets import StackedMLP
from redlib.nets.convnets import cnn5, seeded
from redlib.nets.stacked import unstacked
from redlib.pruning.allocation import keep, layer_counts, pruned, shuffled
from redlib.pruning.before_training import RANKED, kept_by_rank, kept_by_synflow, masks_at_start
from redlib.pruning.compaction import compact, filter_scores, silence, top_filters, unstacked_masks
from redlib.pruning.criteria import class_batch, context_of, score
from redlib.pruning.extrusion import Growth, extrude, growth_over
from redlib.pruning.masks import Tensors, apply, counts, dense, masks_of, weights_of
from redlib.pruning.tickets import ARMS, arm_named, prepare, shapes, stack
from redlib.pruning.units import UnitContext, fewer_units, unit_masks, unit_scores, units_of
from redlib.training import SGD, Examples, evaluate
from redlib.training.execution import advancing
from redlib.training.sparse import why_not

CHOICES = {"largest": ("l2", 1), "smallest": ("l2", -1), "random": ("random", 1)}  # criterion, and its sign when CUT
WEIGHTS = "weights"  # single weights beside the unit criteria, as many in each layer
EXTRUDED = ("extruded", "pretrained", "random", "ticket", "random_long")
SMALLER = ("finetune", "scratch_epochs", "scratch_compute", "ticket")
ENDS = "early_step early_error final_error train_loss train_error: seed arm"  # what training gave, without its curves
TOGETHER = 2  # nets of a stack that is timed: a lone one takes another, slower matrix product


@dataclass(frozen=True)
class Zoo(Experiment):
    """Nets pruned before training, each to the number of weights that a ticket of some level has (LTH-27, 28).

    SNIP, GraSP, SynFlow and magnitude rank all weights of the net together, as their papers do; `random` keeps the
    same fraction of every layer, `erk` shares out the weights as Erdős–Rényi nets do, at random.
    """

    source: Level = field(default_factory=Level)
    levels: tuple[int, ...] = (11, 15)
    criteria: tuple[str, ...] = ("snip", "grasp", "synflow", "magnitude", "random", "erk")
    arms: tuple[str, ...] = ("ticket",)  # what becomes of a mask: ticket (as it is), shuffled, reinit
    per_class: int = 10  # examples of each class that SNIP and GraSP look at
    rounds: int = 100  # of SynFlow
    length: float = 1.0  # training, in multiples of the lab's

    arrays = among("criterion level arm", TRAINED)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave, [S, criteria, levels, arms, ...]."""
        lab = self.source.lab
        parts, initial = lab.parts(), _stack(lab)
        batch = class_batch(parts["train"], self.per_class, lab.seeds)
        nets = []
        for name, level in product(self.criteria, self.levels):
            total = sum(self.source.cut.counts(shapes(initial), level).values())
            masks = masks_at_start(name, initial, total, batch, self.rounds)
            nets += [prepare(arm_named(arm), initial, masks, lab.law(), key=level) for arm in self.arms]
        return self.grouped(lab.longer(self.length).train(stack(nets), parts), *self.labels)


@dataclass(frozen=True)
class Units(Experiment):
    """Whole hidden units cut in rounds, the same fraction of each layer, by several criteria (LTH-22, 27).

    Every criterion has a chain of its own: train, score, cut, go on from `start`. "weights" cuts single weights by
    magnitude, as many in each layer as leave with the units.
    """

    source: Level = field(default_factory=Level)  # its level 0 is the net of the first cut
    criteria: tuple[str, ...] = ("l2", "random", "gradient", "taylor", WEIGHTS)
    kept: tuple[float, ...] = (0.75, 0.5, 0.25)  # of each layer's units after each round
    start: str = "rewind"  # kept weights go back to their initial values; "trained": they stay
    per_class: int = 50  # examples of each class that criteria with data look at
    length: float = 1.0  # training after each cut, in multiples of the lab's

    arrays = among("kept criterion", TRAINED)

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave after each cut, [S, kept, criteria, ...]."""
        lab = self.source.lab
        parts, initial = lab.parts(), _stack(lab)
        batch = class_batch(parts["train"], self.per_class, lab.seeds)
        whole = initial.with_vector(torch.from_numpy(given(before, self.previous)["final"]))
        nets, alive = dict.fromkeys(self.criteria, whole), dict.fromkeys(self.criteria, units_of(initial))
        found = []
        for share in self.kept:
            for name in self.criteria:
                masks, alive[name] = _fewer(name, nets[name], alive[name], share, batch)
                nets[name] = _begun(self.start, initial, nets[name], masks)
            every = stack(list(nets.values()))
            found.append(lab.longer(self.length).train(every, parts))
            nets = dict(zip(nets, every.split(len(nets)), strict=True))
        joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        return self.grouped(joined | {"steps": found[0]["steps"]}, *self.labels)


@dataclass(frozen=True)
class MidCuts(Experiment):
    """Units cut while a net is being trained: the largest, the smallest or random ones, or none (LTH-26).

    All arms of a seed are one net up to the first cut, and have the same number of steps in all; a new optimiser
    takes over at each cut, also where nothing is cut.
    """

    lab: Stack = field(default_factory=lambda: Stack(hidden=(150, 150), steps=1000))  # more than the data need
    choices: tuple[str, ...] = tuple(CHOICES)
    kept: tuple[float, ...] = (0.85, 0.7)  # of each layer's units at the end
    events: tuple[float, ...] = (0.5, 0.65)  # when to cut, in shares of training; at each event equally many units

    arrays = """
    final_error train_error: seed arm
    drop: seed arm event
    """

    def __post_init__(self) -> None:
        times = (0, *self.events, 1)
        if not self.events or any(early >= late for early, late in pairwise(times)):
            raise BadInput.of("events", self.events, "rising, between 0 and 1", "Give shares of training.")

    @property
    def labels(self) -> Labels:
        """(choice, share kept) of each arm, the one without a cut first; and the events."""
        return {"arm": (("none", 1.0), *product(self.choices, self.kept)), "event": self.events}

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return final_error (test) and train_error at the end [S, arms], and drop [S, arms, events], accuracy lost."""
        lab, parts, arms = self.lab, self.lab.parts(), self.labels["arm"]
        times = [round(share * lab.steps) for share in (*self.events, 1)]
        net = _stack(lab)
        lab.fit(net, parts["train"], times[0])
        nets, drops = [net] * len(arms), np.zeros((len(arms) * net.replicates, 0))
        for event, steps in enumerate(np.diff(times).tolist(), 1):
            done = event / len(self.events)
            every, drop = _cut_all(nets, [(choice, 1 - (1 - kept) * done) for choice, kept in arms], parts["test"])
            varied(lab, steps=steps).fit(every, parts["train"])
            nets, drops = every.split(len(arms)), np.column_stack([drops, drop])
        ends = {"final_error": "test", "train_error": "train"}
        found = {name: lab.measured(every, parts[part])[1].numpy() for name, part in ends.items()}
        return self.grouped(found | {"drop": drops}, "arm")


@dataclass(frozen=True)
class Collapse(Experiment):
    """How many weights each layer of an untrained net keeps, of ever fewer in all (LTH-29; Tanaka et al. 2020)."""

    lab: Stack = field(default_factory=lambda: Stack(hidden=(100,) * 6, steps=1))
    criteria: tuple[str, ...] = ("snip", "grasp", "magnitude", "synflow")  # SynFlow goes step by step
    steps: int = 200  # numbers of weights, evenly spaced on a log axis down to fewer than one a layer
    per_class: int = 10

    arrays = """
    weights: total
    kept: seed criterion total layer
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return weights [T] kept in all, falling, and kept [S, criteria, T, layers]: how many in each layer."""
        net = _stack(self.lab)
        batch = class_batch(self.lab.parts()["train"], self.per_class, self.seeds)
        context = context_of(net, batch=batch)
        layers, total = len(context.initial), sum(w[0].numel() for w in context.initial.values())
        weights = np.unique(np.geomspace(total, layers - 1, self.steps + 1).round().astype(int))[::-1].tolist()
        kept = [
            kept_by_rank(score(RANKED[name], context), weights) if name in RANKED else kept_by_synflow(context, weights)
            for name in self.criteria
        ]
        return {"weights": np.array(weights), "kept": np.stack(kept, 1)}


@dataclass(frozen=True)
class Sensitivity(Experiment):
    """The trained net with one layer cut at a time, by magnitude, and not trained again (LTH-30)."""

    source: Level = field(default_factory=Level)
    densities: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.02)

    arrays = "cut_error: seed layer density"

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return cut_error [S, layers, densities] on test data."""
        lab = self.source.lab
        final = restored(_stack(lab), given(before, self.previous)["final"])
        assert isinstance(final, StackedMLP)
        scores, sizes = {n: w.abs() for n, w in weights_of(final).items()}, shapes(final)
        nets = []
        for layer, density in product(scores, self.densities):
            kept = {n: prod(shape) for n, shape in sizes.items()} | {layer: layer_counts(sizes, density)[layer]}
            nets.append(prepare(ARMS["finetuned"], final, keep(scores, kept), trained=final))
        error = evaluate(stack(nets), lab.parts()["test"])["error"].numpy()
        return {"cut_error": np.moveaxis(error.reshape(len(scores), len(self.densities), -1), 2, 0)}


@dataclass(frozen=True)
class Extrusion(Experiment):
    """Dual tickets: random masks whose cut weights are first shrunk by a growing penalty (LTH-31; Bai et al. 2022).

    Arms: extruded; pretrained (as long a dense training, without the penalty, then the same cut); random (the same
    mask, nothing before); ticket; and random_long, with all the steps that extrusion takes. The random mask is the
    ticket's, shuffled within each layer.
    """

    source: Level = field(default_factory=Level)
    level: int = 11
    first: float = 1.0  # steps before the cut, in multiples of the lab's
    bound: float = 1.0  # of the penalty, reached after half of them
    after: float = 1.0  # steps after the cut, in the same multiples: what is left learns slowly

    arrays = f"{ENDS}\nsteps: arm step\nvalidation_loss validation_error: seed arm step\nnorm_at_cut: seed"

    @property
    def labels(self) -> Labels:
        """Arms."""
        return {"arm": EXTRUDED}

    @property
    def previous(self) -> Level:
        """The ticket."""
        return replace(self.source, level=self.level)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave [S, arms], and its curves [S, arms, T] at `steps` [arms, T] after the cut.

        norm_at_cut [S] is that of the doomed weights, over that at the start.
        """
        lab = varied(self.source.lab, steps=round(self.after * self.source.lab.steps))
        parts, initial = lab.parts(), _stack(lab)
        ticket = masks_of_levels(given(before, self.previous), initial, (self.level,))[self.level]
        random, first = shuffled(ticket, lab.seeds, key=self.level), round(self.first * self.source.lab.steps)
        options = {"optimizer": lab.rule(), "steps": first, "batch_size": lab.batch}
        growths = growth_over(first, self.bound), Growth(bound=0.0)
        cut = [extrude(initial, random, parts["train"], growth=growth, **options) for growth in growths]  # type: ignore[arg-type]
        whole = [prepare(ARMS["ticket"], initial, masks) for masks in (random, ticket)]
        short = lab.train(stack([*(net for net, _ in cut), *whole]), parts)
        long = varied(lab, steps=lab.steps + first).train(whole[0], parts)
        found = {name: np.concatenate([short[name], long[name]]) for name in short if name != "steps"}
        found["steps"] = np.stack([short["steps"]] * (len(EXTRUDED) - 1) + [long["steps"]])
        return self.grouped(found, "arm") | {"norm_at_cut": cut[0][1].numpy()}


@dataclass(frozen=True)
class FilterCuts(Experiment):
    """Small nets with the fraction `kept` of each layer's filters, really small, trained in four ways (LTH-21).

    finetune goes on from the trained filters with the wide net's schedule, but from the rate `finetune_lr` and for
    `finetune` times its steps (Li et al. 2017); ticket starts from the initial values of the same filters, the two
    scratch arms from fresh ones, for as many epochs as the wide net had or for as many operations (Liu et al. 2019).
    BadInput where `kept` leaves no whole number of filters in some layer.
    """

    source: Level  # of the wide net
    kept: float = 0.7
    finetune: float = 0.25
    finetune_lr: float = 0.1  # the best of those tried: the lowest rate, as in the papers, recovers less
    most: float = 2.0  # scratch_compute trains at most this many times as long as the wide net (Liu et al. 2019)

    arrays = f"{ENDS}\ncut_error: seed"

    @property
    def labels(self) -> Labels:
        """Arms."""
        return {"arm": SMALLER}

    @property
    def previous(self) -> Level:
        """The wide net."""
        return replace(self.source, level=0)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave [S, arms], and cut_error [S] on test data just after the cut."""
        lab = self.source.lab
        parts, initial = lab.parts(), lab.nets()
        trained = restored(initial, given(before, self.previous)["final"])
        chosen = [top_filters(filter_scores(net), self.kept) for net in trained]  # type: ignore[union-attr]
        cut, ticket = ([compact(net, k) for net, k in zip(nets, chosen, strict=True)] for nets in (trained, initial))  # type: ignore[arg-type]
        shape, lost = parts["test"].x.shape[1:], lab.measured(cut, parts["test"])[1].numpy()
        ratio = cost.flops(initial[0], shape) / cost.flops(cut[0], shape)  # type: ignore[index]
        tuned = varied(lab, steps=round(lab.steps * self.finetune), lr=self.finetune_lr)
        longer = varied(lab, steps=round(lab.steps * min(ratio, self.most)))
        arms = ((cut, tuned), (self._fresh(cut), lab), (self._fresh(cut), longer), (ticket, lab))
        found = [how.train(nets, parts) for nets, how in arms]
        ends = ENDS.split(":")[0].split()
        return {name: np.stack([one[name] for one in found], 1) for name in ends} | {"cut_error": lost}

    def _fresh(self, like: Sequence[nn.Module]) -> list[nn.Module]:
        """Return untrained nets of the shape of `like`, drawn as nets of that width are."""
        lab = self.source.lab
        assert isinstance(lab, Modules)
        nets = varied(lab, width=lab.width * self.kept).nets(1)
        drawn, wanted = ([tuple(p.shape) for p in one[0].parameters()] for one in (nets, like))
        if drawn != wanted:
            allowed = f"a share of width {lab.width} that is whole in every layer"
            raise BadInput.of("kept", self.kept, allowed, "Change it, or the width.")
        return nets


@dataclass(frozen=True)
class Forward(Experiment):
    """Seconds and bytes of a plain MLP (LeNet-300-100): masked, sparse, and with fewer units (LTH-32).

    Timings are the one result here that is not deterministic: a seed is a repetition with a fresh net, and all variants
    of it are timed in turns. To be run alone: work beside it on the other cores would be timed as well.
    """

    sizes: tuple[int, ...] = (784, 300, 100, 10)
    batch: int = 128
    densities: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    unit_share: float = 0.5  # units KEPT in every hidden layer, and filters in every convolution
    conv: tuple[int, int] = (16, 28)  # channels and image of a 5-layer CNN, whose compaction is checked too
    repeats: int = 40
    threads: int = 1
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = """
    densities: density
    dense_s half_units_s: seed repeat
    masked_s csr_s: seed density repeat
    bytes: seed net
    difference: seed
    stored_bytes: layout density
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return seconds a call, medians to be taken; bytes [S, (dense, half)]; stored_bytes of all weights by layout.

        masked_s: cut weights are zeros; csr_s: CSR weights times activations [units, batch]. difference [S] of outputs
        between the compacted nets and those with their units silenced, the larger of MLP and CNN.
        """
        runs = [self._one(seed) for seed in self.seeds]
        sizes = {str(i): (out, into) for i, (into, out) in enumerate(pairwise(self.sizes))}
        stored = cost.storage_table(sizes, [layer_counts(sizes, density) for density in self.densities])
        arrays = {name: np.stack([found[name] for found in runs]) for name in runs[0]}
        return arrays | {"densities": np.array(self.densities), "stored_bytes": stored}

    def _one(self, seed: int) -> Arrays:
        net, (width, image) = unstacked(StackedMLP.create(self.sizes, [seed]), 0), self.conv
        x = torch.randn(self.batch, self.sizes[0], generator=torch_rng(seed, "eval"))
        pictures = torch.randn((8, 1, image, image), generator=torch_rng(seed, "eval", 2))
        small, gap = self._compacted(net, x)
        _, other = self._compacted(seeded(cnn5, seed, width, 10, 1, image).eval(), pictures)
        cut = [pruned(net, density) for density in self.densities]
        calls: dict[str, cost.Call | Sequence[cost.Call]] = {"dense": net, "half_units": small, "masked": cut}
        calls["csr"] = [cost.csr(one) for one in cut]
        times = cost.timed(calls, x, self.repeats, self.threads)
        bytes_ = np.array([cost.bytes_of(one) for one in (net, small)])
        return {f"{name}_s": v for name, v in times.items()} | {"bytes": bytes_, "difference": np.maximum(gap, other)}

    def _compacted(self, net: nn.Module, x: Tensor) -> tuple[nn.Module, np.ndarray]:
        """Return the net with its share of units, and how far its outputs are from the silenced net's."""
        chosen = top_filters(filter_scores(net), self.unit_share)
        small = compact(net, chosen)
        with torch.no_grad():
            return small, (small(x) - silence(net, chosen)(x)).abs().max().numpy()


@dataclass(frozen=True)
class Steps(Experiment):
    """Seconds of one training step of a pruned net: dense stack, sparse graph, autograd with a mask (LTH-32).

    The net keeps the largest initial weights of each layer and trains with momentum. To be run alone, as `Forward`.
    """

    sizes: tuple[int, ...] = (784, 300, 100, 10)
    batch: int = 128
    densities: tuple[float, ...] = (1.0, 0.512, 0.211, 0.107, 0.055, 0.0115)
    steps: int = 8  # taken in one call and divided by: `fit` hands whole spans of steps to its engines
    repeats: int = 10
    threads: int = 1
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = """
    densities: density
    stack_s: seed repeat
    sparse_s masked_s: seed density repeat
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return seconds of one step of one net; sparse_s are those of the stack without numba, for then it runs."""
        runs = [self._one(seed) for seed in self.seeds]
        return {name: np.stack([found[name] for found in runs]) for name in runs[0]} | {
            "densities": np.array(self.densities)
        }

    def _one(self, seed: int) -> Arrays:
        pool = Examples(
            torch.rand(16 * self.batch, self.sizes[0], generator=torch_rng(seed, "eval")),
            torch.from_numpy(rng(seed, "eval", 1).integers(0, self.sizes[-1], 16 * self.batch)),
        )
        x, y, rule = pool.x[: self.batch], pool.y[: self.batch], SGD(0.01, momentum=0.9)
        nets = StackedMLP.create(self.sizes, [seed, *range(10**6, 10**6 + TOGETHER - 1)])
        cut = [pruned(nets, density, every_pass=True) for density in self.densities]
        calls: dict[str, cost.Call | Sequence[cost.Call]] = {
            "stack": advancing(nets, pool, rule, self.batch, self.steps)
        }
        if not any(why_not(cut[-1])):
            calls["sparse"] = [advancing(one, pool, rule, self.batch, self.steps, "sparse") for one in cut]
        modules = {"masked": [cost.training_step(_masked(one), y) for one in cut]}
        times = cost.timed(calls, x, self.repeats, self.threads)
        steps = {f"{name}_s": seconds / (self.steps * TOGETHER) for name, seconds in times.items()}
        masked = cost.timed(modules, x, self.repeats, self.threads)["masked"]
        return {"sparse_s": np.broadcast_to(steps["stack_s"], masked.shape)} | steps | {"masked_s": masked}


# What the runs are made of


def _stack(lab: Lab) -> StackedMLP:
    """Return the initial nets of a lab of MLPs."""
    nets = lab.nets()
    if not isinstance(nets, StackedMLP):
        raise BadInput.of("lab", type(lab).__name__, "Stack", "These runs prune plain MLPs.")
    return nets


def _fewer(
    name: str, net: StackedMLP, alive: Tensors, share: float, batch: tuple[Tensor, Tensor]
) -> tuple[Tensors, Tensors]:
    """Return (masks of a net with fewer units, the units alive); for "weights" masks of as many weights."""
    scores = unit_scores("l2" if name == WEIGHTS else name, UnitContext(net, batch))
    chosen = fewer_units(scores, alive, share)
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
    return prepare(ARMS["finetuned"], net, unit_masks(net, fewer_units(scores, alive, share)), trained=net)


def _cut_all(
    nets: Sequence[StackedMLP], arms: Sequence[tuple[str, float]], test: Examples
) -> tuple[StackedMLP, np.ndarray]:
    """Return (the nets cut by (choice, share of units kept), one stack; the rise of each replicate's test error)."""
    pairs = zip(nets, arms, strict=True)
    cut = stack([net if choice == "none" else _without(choice, net, share) for net, (choice, share) in pairs])
    before, after = (evaluate(every, test)["error"].numpy() for every in (stack(nets), cut))
    return cut, after - before


def _masked(net: StackedMLP) -> nn.Module:
    """Return the first net of a masked stack as a module with a mask in every pass."""
    module = unstacked(net, 0)
    apply(module, unstacked_masks(module, masks_of(net), 0))
    return module
