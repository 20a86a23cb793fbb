"""What the ticket study runs beside chains and their arms: single cuts, barriers, small nets, masks learned alone.

Chains and arms are those of `redlib.experiments.chain`. Errors and accuracies are shares in [0, 1] unless a run says
otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data.readers import generate_mnist1d
from redlib.data.sources import Dataset
from redlib.errors import BadInput
from redlib.experiments.chain import Arms, Level, masks_of_levels
from redlib.experiments.experiment import Experiment, given, varied
from redlib.experiments.lab import TRAINED, Lab, Modules, Net, Stack, restored, vector
from redlib.experiments.results import Arrays, Labels, among
from redlib.measures.connectivity import line_errors
from redlib.nets import StackedMLP
from redlib.nets.residual import ResidualMLP
from redlib.nets.sizes import shrunken
from redlib.pruning.allocation import Shapes, keep, random_masks, shapes_of
from redlib.pruning.masks import Tensors, dense, density, remove, weights_of
from redlib.pruning.supermasks import Mode, ScoredMLP, sampled_accuracy, signed_constant
from redlib.pruning.tickets import ARMS, REINIT, Cut, prepare, reseeded, stack, stacked_arms
from redlib.training import Adam, Examples
from redlib.training.optimisers import Update

MEMBER = 100_000  # member k of a group of small nets trains with seed + k * MEMBER
GENERATOR_SEED = 42  # of the MNIST-1D that its authors publish
MOVED = ("first", "second"), ("large", "other"), ("other", "large"), ("here", "away"), ("away", "here")


@dataclass(frozen=True)
class CutOnce(Experiment):
    """Nets cut in one go from one training of the dense net, to the weights that so many rounds leave."""

    source: Level  # level 0; its policy gives the counts
    levels: tuple[int, ...]

    @property
    def previous(self) -> Level:
        """The dense net."""
        return replace(self.source, level=0)

    def cut(self, before: Arrays | None, criterion: str) -> tuple[StackedMLP, StackedMLP, dict[int, Tensors]]:
        """Return the initial net, the trained one, and the masks of each level by a criterion."""
        initial = self.source.lab.nets()
        assert isinstance(initial, StackedMLP), "single cuts are made in stacks"
        final = initial.with_vector(torch.from_numpy(np.array(given(before, self.previous)["final"])))
        policy, every = replace(self.source.cut, criterion=criterion), dense(weights_of(initial))
        return initial, final, {k: policy.masks(final, initial, every, k, self.seeds) for k in self.levels}


@dataclass(frozen=True)
class OneShot(CutOnce):
    """Nets cut once, by several criteria, and trained again from the start."""

    criteria: tuple[str, ...] = ("magnitude",)
    length: float = 1.0  # training, in multiples of the lab's

    arrays = among("criterion level", TRAINED)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave (TRAINED), with axes [S, criteria, levels, ...]."""
        lab, nets = self.source.lab.longer(self.length), []
        for criterion in self.criteria:
            initial, _, levels = self.cut(before, criterion)
            nets += [prepare(ARMS["ticket"], initial, masks) for masks in levels.values()]
        return self.grouped(lab.train(stack(nets), lab.parts()), "criterion", "level")


@dataclass(frozen=True)
class Untrained(CutOnce):
    """The dense net cut by one criterion and not trained again: the weights of `arms` under its masks."""

    criterion: str = "large_final_same_sign"
    arms: tuple[str, ...] = ("ticket", "signed_constant")  # finetuned keeps the trained weights

    arrays = "validation_accuracy test_accuracy: seed arm level"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return accuracies [S, arms, levels]. Biases are those that belong to the weights: initial, or trained."""
        lab = self.source.lab
        initial, final, levels = self.cut(before, self.criterion)
        nets = stacked_arms(initial, levels, self.arms, trained=dict.fromkeys(levels, final))
        found = {f"{p}_accuracy": 1 - lab.measured(nets, lab.parts()[p])[1].numpy() for p in ("validation", "test")}
        return self.grouped(found, "arm", "level")


@dataclass(frozen=True)
class Carried(Arms):
    """Tickets of one lab trained in another: on other data, or with another optimiser (LTH-17 to LTH-19)."""

    def load(self) -> Dataset:
        """Return the data that the tickets are trained on; the digest tells those that they come from, too."""
        origin, data = self.source.lab.load(), self.trained_as.load()
        if origin.digest == data.digest:
            return data
        both = hashlib.sha256(f"{origin.digest} {data.digest}".encode()).hexdigest()
        name = f"{origin.name}, then {data.name}"
        return replace(data, name=name, digest=both, provenance={origin.name: origin.provenance} | data.provenance)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave (TRAINED), with axes [S, arms, levels, ...]; BadInput for nets of another shape."""
        shapes = [_shapes(lab) for lab in (self.source.lab, self.trained_as)]
        if shapes[0] != shapes[1]:
            remedy = "Carry tickets between data sets of one shape, and nets of one size."
            raise BadInput.of("weights of the nets that tickets are carried to", shapes[1], f"{shapes[0]}", remedy)
        return super().run(before)


@dataclass(frozen=True)
class Barrier(Experiment):
    """Two copies of a net, trained from step `start` on in different orders: is the straight line between them flat?

    The net is the ticket of `source`, dense at level 0; its weights at `start` are those of the dense training
    (Frankle et al. 2020).
    """

    source: Level
    start: int = 0
    alphas: int = 30
    tests: int | None = None  # test examples the line is measured on; None: all

    arrays = """
        early_error: seed
        path_error: seed alpha
    """

    @property
    def previous(self) -> Level:
        """The ticket itself: its masks, and its training where that begins at the same step."""
        return self.source

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the test error of the first copy at early stopping [S], and path_error [S, alphas] between the two.

        Batch-norm statistics are measured anew, on the seed's training images, at every point of the line.
        """
        lab, before = self.source.lab, given(before, self.source)
        parts, start = lab.parts(), lab.begun(self.start)
        masks = masks_of_levels(before, start, (self.source.level,))[self.source.level]
        copies = [prepare(ARMS["ticket"], _copy(lab, start, number), masks) for number in range(2)]
        if self.start == self.source.rewind:  # the ticket's own training is that of the first copy
            copies[0], early = restored(lab.nets(), before["final"]), before["early_error"]
        else:
            early = self._trained(copies[0], 0)
        self._trained(copies[1], 1)
        test = Examples(parts["test"].x[: self.tests], parts["test"].y[: self.tests])
        path = line_errors(copies[0], copies[1], test, self.alphas, parts["train"])
        return {"early_error": early, "path_error": path.numpy()}

    def _trained(self, net: Net, number: int) -> np.ndarray:
        """Train copy `number` in place, its masks off at the end; return its early error [S]."""
        lab = self.source.lab
        orders = [seed + number * REINIT for seed in lab.seeds]
        early = lab.train(net, lab.parts(), self.start, orders)["early_error"]
        if not isinstance(net, StackedMLP):
            remove(net)
        return early


@dataclass(frozen=True)
class SmallNets(Experiment):
    """Dense nets with as many weights as a ticket has, several a seed (LTH-35)."""

    lab: Stack
    weights: int  # at most this many; hidden layers keep the proportion of the lab's
    members: int = 20

    arrays = among("member", TRAINED)

    @property
    def labels(self) -> Labels:
        """The members of a group."""
        return {"member": range(self.members)}

    @property
    def small(self) -> Stack:
        """The lab of all members."""
        seeds = [seed + k * MEMBER for k in range(self.members) for seed in self.seeds]
        return varied(self.lab, hidden=shrunken(self.lab.sizes(), self.weights), seeds=seeds)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.small.cost

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave (TRAINED), with axes [S, members, ...]."""
        return self.grouped(self.small.train(self.small.nets(), self.lab.parts()), "member")


@dataclass(frozen=True)
class Flips(Experiment):
    """How many weights change sign between looks at the training of the dense net (LTH-36)."""

    lab: Stack
    looks: int = 40

    arrays = "steps: step\n changed: seed step"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return steps [T] and changed [S, T]: the share of weights whose sign differs from that at the look before."""
        net, train = self.lab.nets(), self.lab.parts()["train"]
        at = np.unique(np.geomspace(1, self.lab.total(len(train)), self.looks).round().astype(int))
        history = self.lab.fit(net, train, probes={"sign": lambda part: part.vector() > 0}, probe_steps=[0, *at])
        signs = history["sign"]
        return {"steps": at, "changed": (signs[:, 1:] != signs[:, :-1]).mean(2)}


@dataclass(frozen=True)
class Supermask(Experiment):
    """A mask learned by gradient descent on scores, over weights that are never trained.

    mode "bernoulli": random masks learned straight through (Zhou et al. 2019, section 5), with or without rescaling;
    "popup": the best fraction `keep` of each layer (Ramanujan et al. 2020).
    """

    lab: Stack  # data and net, and how the scores are trained
    mode: Mode = "popup"
    weights: str = "signed_constant"  # the layer's spread with the initial signs, or initial
    keep: float = 0.5
    rescale: bool = False
    samples: int = 10  # masks over which accuracy is averaged, where they are random

    arrays = "validation_accuracy test_accuracy density: seed"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return accuracies of the learned masks, and the density of one, [S] each."""
        if self.weights not in ("initial", "signed_constant"):
            raise BadInput.of("weights", self.weights, "initial or signed_constant", "They are never trained.")
        parts, net = self.lab.parts(), self.lab.nets()
        net = signed_constant(net) if self.weights == "signed_constant" else net
        scored = ScoredMLP.create(net, self.mode, keep=self.keep, rescale=self.rescale)
        self.lab.fit(scored, parts["train"])
        found = {f"{p}_accuracy": sampled_accuracy(scored, parts[p], self.samples) for p in ("validation", "test")}
        return {n: v.numpy() for n, v in (found | {"density": density(scored.supermasks())}).items()}


@dataclass(frozen=True)
class Published(Experiment):
    """The ticket protocol of the public MNIST-1D project (Greydanus & Kobak 2020); the defaults are its authors'.

    It differs from ours in almost everything: a residual net, Adam at 0.02, batches in one fixed order, masks over
    weights and biases of a layer together, sparsities that grow evenly over the retrains. Two things save time and
    change nothing: random masks are drawn anew at every sparsity, so only those that are reported are trained; and a
    retrain that is not reported ends where its magnitudes are read, at the authors' last checkpoint.
    """

    sparsities: tuple[float, ...] = (0.80, 0.92, 0.95)  # reported; each is the nearest point of the schedule
    retrains: int = 100  # points of the schedule from sparsity 0 to 1
    stride: int = 1  # every stride-th point is trained, and all that are reported; 1: the protocol
    hidden: int = 500
    lr: float = 2e-2
    batch: int = 100
    updates: int = 1501  # until the accuracy that is reported
    scored: int = 1001  # until the magnitudes are read
    n: int = 4000
    tests: int = 1000
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = """
        dense: seed
        magnitude random: seed sparsity
    """

    def __post_init__(self) -> None:
        points = self.reported
        if not (points and points[0] > 0 and points[-1] < self.retrains - 1 and len({*points}) == len(points)):
            allowed = f"different points inside a schedule of {self.retrains}"
            raise BadInput.of("sparsities", self.sparsities, allowed, "Pass fractions CUT; 0, dense, is always run.")
        sizes = self.stride, self.scored, self.updates, self.batch, self.n, self.tests
        fits = self.scored <= self.updates and self.batch <= self.n and (self.n + self.tests) % 10 == 0
        if min(sizes) < 1 or not fits:
            allowed = ">= 1, scored <= updates, batch <= n, n + tests in tens"
            raise BadInput.of("stride, scored, updates, batch, n, tests", sizes, allowed, "Correct them.")

    @property
    def labels(self) -> Labels:
        """The sparsities that are reported."""
        return {"sparsity": sorted(self.sparsities)}

    @property
    def reported(self) -> tuple[int, ...]:
        """The points of the schedule nearest to the sparsities asked for."""
        return tuple(sorted(round(share * (self.retrains - 1)) for share in self.sparsities))

    @property
    def points(self) -> tuple[int, ...]:
        """The points of the schedule that are trained, 0 (dense) first."""
        return tuple(sorted({*range(0, self.reported[-1], self.stride), *self.reported}))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        updates = (len(self.points) + len(self.reported)) * self.updates
        return len(self.seeds) * updates * self.batch * self.hidden**2 / 1e9

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return test accuracies in % after the last update: dense [S], magnitude and random masks [S, sparsities]."""
        net = self.net()
        masks, scores = dense(net.joined()), net.joined()
        trained = partial(self.trained, net, net.flat.clone(), *self.examples())
        full, chance = [], []
        for point in self.points:
            masks = keep(scores, self.kept(shapes_of(scores), point), within=masks)
            last = point in (0, *self.reported)
            accuracy, scores = trained(masks, last)
            full += [accuracy] * last
        for key, point in enumerate(self.reported):
            counts = self.kept(shapes_of(scores), point)
            chance.append(trained(random_masks(shapes_of(scores), counts, self.seeds, key))[0])
        return {"dense": full[0], "magnitude": np.stack(full[1:], 1), "random": np.stack(chance, 1)}

    def net(self) -> ResidualMLP:
        """Return the dense nets, weights and biases uniform in +-1/sqrt(fan in) as torch draws them."""
        net = ResidualMLP.create((40, self.hidden, self.hidden, 10), self.seeds)
        assert isinstance(net, ResidualMLP), "create returns its own class"
        return net

    def kept(self, shapes: Shapes, point: int) -> dict[str, int]:
        """Return how many weights and biases each layer keeps: n less the whole part of sparsity * n."""
        sizes = {name: prod(shape) for name, shape in shapes.items()}
        return {name: n - int(point / (self.retrains - 1) * n) for name, n in sizes.items()}

    def examples(self) -> tuple[Tensor, Tensor]:
        """Return the generator's samples and labels, [S, n + tests, ...]: the first n are to train on."""
        x, y = (torch.from_numpy(part.copy()) for part in generate_mnist1d(self.n + self.tests, GENERATOR_SEED))
        return self.net().pad(x).expand(len(self.seeds), -1, -1), y.expand(len(self.seeds), -1)

    def trained(
        self, net: ResidualMLP, initial: Tensor, x: Tensor, y: Tensor, masks: Tensors, last: bool = True
    ) -> tuple[np.ndarray, Tensors]:
        """Train `net` from its initial weights; return test accuracies in % [S], and the magnitudes to prune by.

        The magnitudes are those after `scored` updates, where training ends unless `last`.
        """
        net.flat.copy_(initial)
        net.apply_masks(list(masks.values()))
        update, scores = Update(Adam(self.lr), net), net.joined()
        for step in range(self.updates if last else self.scored):
            first = step * self.batch % self.n  # always in the same order, never shuffled
            rows = slice(first, min(first + self.batch, self.n))
            update.step(x[:, rows], y[:, rows], "cross_entropy", self.lr)
            if step == self.scored - 1:
                scores = {name: values.abs() for name, values in net.joined().items()}
        right = net.logits(x[:, self.n :]).argmax(-1) == y[:, self.n :]
        return 100 * right.double().mean(1).numpy(), scores


def weights_left(source: Level) -> int:
    """Return how many weights the ticket of a level keeps."""
    one = replace(source.lab, seeds=source.seeds[:1])
    return sum(source.cut.counts(shapes_of(weights_of(one.nets())), source.level).values())


def cut_to(lab: Stack, weights: int, rounds: int) -> Level:
    """Return the ticket that equal cuts of all layers leave after so many rounds, with about so many weights."""
    rate = 1 - (weights / weights_left(Level(lab))) ** (1 / rounds)
    return Level(lab, rounds, Cut(rate, rate))


def transfer_labs(
    lab: Stack, optimisers: Mapping[str, Any], away: Mapping[str, Any], fewer: Sequence[int]
) -> dict[Any, Stack]:
    """Return the labs between which tickets are carried (LTH-17 to LTH-19), and SGD at two rates (LTH-20), by name.

    Both halves of the data; SGD at the first of the rates (small) and at the large one, and the other optimiser; the
    lab itself (here) and `away`, other data; and so many `fewer` examples of here, by their number.
    """
    sgd, rates = varied(lab, optimizer="sgd"), {"small": optimisers["rates"][0], "large": optimisers["large"]}
    return {
        **{half: varied(lab, part=half) for half in ("first", "second")},
        **{name: varied(sgd, lr=rate) for name, rate in rates.items()},
        **{"other": varied(lab, optimisers["other"]), "here": lab, "away": varied(lab, away)},
        **{n: varied(lab, n=n) for n in fewer},
    }


def transfers(labs: Mapping[Any, Stack], cut: Cut, rounds: int) -> dict[Any, Any]:
    """Return what is trained in the `transfer_labs`, as a plan.

    (name, other name): the ticket of one, trained in the other; (other name, "native"): the dense net and the ticket of
    so many rounds there; (other name, "arms"): a random mask there.
    """
    sources = {name: Level(one, cut=cut) for name, one in labs.items()}
    moved = [*MOVED, *((n, "away") for n in labs if not isinstance(n, str))]
    goals = dict.fromkeys(other for _, other in moved)
    return {
        **{(name, "native"): {k: replace(sources[name], level=k) for k in (0, rounds)} for name in goals},
        **{(name, "arms"): Arms(sources[name], ("random",), (rounds,)) for name in goals},
        **{(one, other): Carried(sources[one], ("ticket",), (rounds,), labs[other]) for one, other in moved},
    }


def _shapes(lab: Lab) -> Shapes:
    """Return the shape of every layer's weights."""
    return shapes_of(weights_of(replace(lab, seeds=lab.seeds[:1]).nets()))


def _copy(lab: Lab, nets: Net, number: int) -> Net:
    """Return the nets to be trained on another order of examples, images augmented otherwise."""
    if isinstance(nets, StackedMLP):
        return reseeded(nets, number)
    return restored(lab.nets(copied=number), vector(nets)) if isinstance(lab, Modules) else nets
