"""The runs of the mean-field study: tanh nets pruned level by level, what theory says of their signals, and controls.

A frozen dataclass describes an experiment, `run` carries it out; arrays have the seeds on the first axis, errors are
shares in [0, 1]. `Level` is one round of pruning and goes on from the round before; `Arms`, `Fitted` and `Dips` take
the masks of a level. Layers are the hidden ones and the logits, L in all; standard deviations of weights are in units
of 1/√fan-in. The defaults are the profile `laptop`; the protocol is that of source S4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, singledispatch
from math import ceil, sqrt
from typing import Literal

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from redlib.data import Dataset, load
from redlib.data.places import data_root
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures import meanfield as mf
from redlib.measures.dip import dip
from redlib.nets import StackedMLP
from redlib.nets.initialisers import Initialiser, mean_field
from redlib.pruning import tickets as lottery
from redlib.pruning.allocation import round_counts, shuffled
from redlib.pruning.masks import Tensors, apply, dense, weights_of
from redlib.pruning.tickets import cut_further, masks_at, prepare, shapes, stack
from redlib.studies.mean_field_look import in_degrees, kept_values, signals, weight_look
from redlib.studies.mean_field_nets import ResidualTanh, orthogonal
from redlib.studies.tickets import axes, packed, restored, unpacked
from redlib.training import Adam, Examples, History, evaluate, fit
from redlib.training.early import EarlyStop, early_values
from redlib.training.execution import by_density

Arrays = dict[str, np.ndarray]
Parts = dict[str, Examples]
Weights = Literal["start", "fresh", "bimodal", "normal"]
Scale = Literal["none", "density", "chi"]

D51, D41, D21, D11, D4 = 3, 4, 7, 10, 14  # rounds of 20% that leave 51, 41, 21, 10.7 and 4.4%
PHOTOGRAPH = 16  # pixels to a side, grey
DIP_NULL, DRAWS = 52, 53  # keys of streams, so that no other draw of a seed repeats these


@dataclass(frozen=True)
class Lab:
    """Data, net and training that all runs of a chain share."""

    dataset: str = "mnist1d"  # a name for `load`, or a folder of images whose name ends with _jpeg, read grey and small
    pool: int = 3500  # training examples
    validation: int = 500
    tests: int = 5000
    hidden: tuple[int, ...] = (128,) * 8
    init: str = "normal"  # or orthogonal, where sigma_w is the gain
    sigma_w: float = 1.4
    sigma_b: float = 0.3
    residual: bool = False  # skip connections over two layers
    shifts: tuple[int, ...] = ()  # augmentation: places by which inputs may be rolled, besides 0
    lr: float = 1e-3  # of Adam
    batch: int = 100
    epochs: int = 10
    looks: int = 5  # at the validation loss, evenly spaced
    inputs: int = 20  # test inputs whose signals are measured
    seeds: tuple[int, ...] = tuple(range(5))


@dataclass(frozen=True)
class Level:
    """One round of iterative magnitude pruning: the ticket of `level` is cut from the training before, and trained."""

    lab: Lab = field(default_factory=Lab)
    level: int = 0
    rate: float = 0.2  # share of the weights cut a round
    last: float = 0.1  # the same for the output layer

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
    """Control arms (names in `ARMS`) of the tickets of some levels, all in one stack, trained as the tickets are."""

    source: Level
    arms: tuple[str, ...]
    levels: tuple[int, ...]

    @property
    def previous(self) -> Level:
        """The ticket whose masks the arms take: the deepest one."""
        return replace(self.source, level=max(self.levels))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return cost_of(self.source.lab) * len(self.arms) * len(self.levels)


@dataclass(frozen=True)
class Fitted:
    """The dense net and a ticket, each trained until its training loss is `target`: equal fit, then compared."""

    source: Level
    level: int = D21
    target: float = 0.2
    epochs: int = 30  # at most

    @property
    def previous(self) -> Level:
        """The ticket."""
        return replace(self.source, level=self.level)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 2 * cost_of(replace(self.source.lab, epochs=self.epochs))


@dataclass(frozen=True)
class Dips:
    """Hartigan's dip test of a ticket's weights in every layer, before and after training."""

    source: Level
    level: int = D21
    draws: int = 999  # uniform samples of the null
    sample: int = 400  # their size; √n·dip hardly depends on it

    @property
    def previous(self) -> Level:
        """The ticket."""
        return replace(self.source, level=self.level)


@dataclass(frozen=True)
class Start:
    """Signals in untrained nets: how alike two inputs are in every layer. The lab's width is that of S4."""

    lab: Lab = field(default_factory=lambda: Lab(hidden=(256,) * 8))


@dataclass(frozen=True)
class Sparse:
    """What an arm starts from: whose mask, which weights at what standard deviation, and how they are rescaled.

    mask: ticket, or random (permuted within each layer). weights: start (those of the dense net, in place), fresh
    (another draw of the start's law), bimodal (independent draws from the law of the ticket's kept weights in the
    layer), normal (Gaussian of the same root mean square). std: instead of the lab's. scale: none, density (by
    1/√density of the layer, which restores the variance of a unit's inputs), or chi (until χ is the ticket's).
    """

    mask: str = "random"
    weights: Weights = "start"
    std: float | None = None
    scale: Scale = "none"


STDS = (2.24, 2.52, 3.13)  # 1/√0.2, the survivors of one cut by magnitude, 1.4/√0.2 (erratum E9)
ARMS: dict[str, Sparse] = {
    "ticket": Sparse("ticket"),
    "random": Sparse(),
    "corrected": Sparse(scale="density"),
    "chi_matched": Sparse(scale="chi"),
    "fresh": Sparse("ticket", "fresh"),
    "bimodal": Sparse("random", "bimodal"),
    "normal": Sparse("random", "normal"),
    "bimodal_ticket": Sparse("ticket", "bimodal"),
    "normal_ticket": Sparse("ticket", "normal"),
    **{f"random_{std}": Sparse(std=std) for std in STDS},
    **{f"fresh_{std}": Sparse("ticket", "fresh", std) for std in STDS},
}


@singledispatch
def run(config: object, before: Arrays | None = None) -> Arrays:
    """Return the arrays of one experiment; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_level(config: Level, before: Arrays | None = None) -> Arrays:
    """Return `train`'s arrays, survives (int8, see `survival`), flat final weights [S, P], and what is measured.

    `weight_look` and `signals` of the rewound and of the trained ticket, as start_… and end_…; `in_degrees` of the
    rewound one. Residual nets have no signals here: the theory of plain nets does not hold for them.
    """
    lab, parts, initial = setting(config.lab)
    survives, masks = _next_masks(config, initial, before)
    net = prepare(lottery.ARMS["ticket"], initial, masks)
    x = parts["test"].x[: lab.inputs]
    found = {f"start_{name}": values for name, values in looked(net, lab, x).items()}
    found |= {} if lab.residual else in_degrees(net, x)
    found |= train(net, parts, lab)
    found |= {f"end_{name}": values for name, values in looked(net, lab, x).items()}
    return found | {"survives": packed(survives), "final": net.vector().numpy()}


@run.register
def run_arms(config: Arms, before: Arrays) -> Arrays:
    """Return `train`'s arrays and start_… of `signals` with axes [S, arms, levels, ...]."""
    lab, parts, start = setting(config.source.lab)
    survives = unpacked(before["survives"], weights_of(start))
    x = parts["test"].x[: lab.inputs]
    masks = {level: masks_at(survives, level) for level in config.levels}
    net = stack([arm_net(name, start, kept, lab, x, level) for name in config.arms for level, kept in masks.items()])
    found = {f"start_{name}": values for name, values in signals(net, x, ()).items()}
    return axes(found | train(net, parts, lab), len(config.arms), len(config.levels))


@run.register
def run_fitted(config: Fitted, before: Arrays) -> Arrays:
    """Return train_loss, train_error, test_error and stopped_at (steps, -1: never) [S, (dense, ticket)]."""
    lab, parts, start = setting(config.source.lab)
    survives = unpacked(before["survives"], weights_of(start))
    ticket = lottery.ARMS["ticket"]
    net = stack([prepare(ticket, start, masks_at(survives, level)) for level in (0, config.level)])
    history = fit(
        net, parts["train"], optimizer=Adam(lab.lr), epochs=config.epochs, batch_size=lab.batch,
        evaluate={"train": parts["train"]}, probe_epochs=range(1, config.epochs + 1), execution="dense",
        stop=lambda found: found["train_loss"] <= config.target,
    )  # fmt: skip
    ends = {f"train_{name}": history.final(f"train_{name}") for name in ("loss", "error")}
    ends |= {"test_error": evaluate(net, parts["test"])["error"].numpy(), "stopped_at": history.stopped_at}
    return {name: values.reshape(2, -1).T for name, values in ends.items()}


@run.register
def run_dips(config: Dips, before: Arrays) -> Arrays:
    """Return start_dip, end_dip and their p-values start_p, end_p [S, L], and the null of √n·dip [draws].

    p is the share of uniform samples whose √n·dip is at least as large, the observed one counted among them.
    """
    source = rng(0, "eval", DIP_NULL)
    null = np.array([dip(source.random(config.sample)) for _ in range(config.draws)]) * sqrt(config.sample)
    found: Arrays = {}
    for when, kept in kept_weights(config.previous, before).items():
        dips = np.array([[dip(row) for row in values] for values in kept]).T
        roots = np.sqrt([values.shape[1] for values in kept])
        exceed = (null >= (dips * roots)[..., None]).sum(2)
        found |= {f"{when}_dip": dips, f"{when}_p": (exceed + 1) / (config.draws + 1)}
    return found | {"null": np.broadcast_to(null, (len(dips), len(null))).copy()}


@run.register
def run_start(config: Start) -> Arrays:
    """Return q and c (mean over pairs of inputs) [S, L], chi [S, L-1] of untrained nets."""
    lab, parts, net = setting(config.lab)
    x = parts["test"].x[: lab.inputs]
    measured = {"q": mf.empirical_q(net, x), "c": mf.empirical_c(net, x), "chi": mf.empirical_chi(net, x)}
    return {name: values.mean(2).numpy() for name, values in measured.items()}


# Data, nets, training


def setting(lab: Lab) -> tuple[Lab, Parts, StackedMLP]:
    """Return (the lab, its examples by part, one initial net per seed)."""
    data = dataset(lab)
    train_on = Examples(augmented(data.train.x, lab.shifts), data.train.y, variants=1 + len(lab.shifts))
    parts = {"train": train_on}
    for name, split in (("validation", data.validation), ("test", data.test)):
        if split is not None:
            parts[name] = Examples(split.x, split.y)
    sizes = data.train.x.shape[1], *lab.hidden, data.classes
    kind = ResidualTanh if lab.residual else StackedMLP
    return lab, parts, kind.create(sizes, lab.seeds, "tanh", initialiser(lab))


def dataset(lab: Lab) -> Dataset:
    """Return the data set of a lab."""
    return _loaded(lab.dataset, lab.pool, lab.validation, lab.tests)


def at_hand(lab: Lab) -> bool:
    """Return whether the lab's data can be had: data sets are fetched, a folder of photographs is not."""
    return not lab.dataset.endswith("_jpeg") or (data_root() / lab.dataset).is_dir()


def augmented(x: Tensor, shifts: Sequence[int]) -> Tensor:
    """Return inputs [n, d] and their copies rolled by each of `shifts`, [(1 + len(shifts)) * n, d]."""
    return torch.cat([x, *(x.roll(shift, 1) for shift in shifts)])


def initialiser(lab: Lab) -> Initialiser:
    """Return the law that the lab's nets are drawn from."""
    if lab.init not in ("normal", "orthogonal"):
        raise BadInput.of("init", lab.init, "normal or orthogonal", "See Lab.")
    return mean_field(lab.sigma_w, lab.sigma_b) if lab.init == "normal" else orthogonal(lab.sigma_w, lab.sigma_b)


def train(net: StackedMLP, parts: Parts, lab: Lab) -> Arrays:
    """Train `net` in place; return steps [T] and per replicate the `early_values`, train_loss and train_error (end)."""
    steps = ceil(len(parts["train"]) / lab.batch) * lab.epochs
    at = np.unique(np.linspace(0, steps, lab.looks + 1).round().astype(int))[1:].tolist()
    early = EarlyStop(net, parts["validation"], parts["test"], len(at))
    history = _fit(net, parts["train"], lab, steps, early, at)
    end = evaluate(net, parts["train"])
    found = {"steps": history.steps} | {name: np.asarray(v) for name, v in early_values(history).items()}
    return found | {f"train_{name}": values.numpy() for name, values in end.items()}


def cost_of(lab: Lab) -> float:
    """Relative time of one training of a lab's nets."""
    widths = 40, *lab.hidden, 10
    weights = sum(a * b for a, b in zip(widths[:-1], widths[1:], strict=True))
    return lab.epochs * lab.pool * len(lab.seeds) * weights / 1e9


# Arms


def arm_net(name: str, start: StackedMLP, masks: Tensors, lab: Lab, x: Tensor, key: int) -> StackedMLP:
    """Return the net that the arm `name` trains, its mask applied; `key` separates the draws of two levels."""
    if name not in ARMS:
        raise BadInput.of("arm", name, f"one of {sorted(ARMS)}", "Name one of these.")
    arm = ARMS[name]
    mask = masks if arm.mask == "ticket" else shuffled(masks, start.seeds, key)
    fresh = arm.weights == "fresh"
    net = lottery.fresh(start, initialiser(lab), 1 + key) if fresh else start.clone()
    if arm.weights in ("bimodal", "normal"):
        _redraw(net, start, masks, mask, arm.weights, key)
    for weights in net.weights:
        weights.mul_((arm.std or lab.sigma_w) / lab.sigma_w)
    apply(net, mask)
    if arm.scale == "density":
        for weights, kept in zip(net.weights, mask.values(), strict=True):
            weights.div_(kept[0].double().mean().sqrt().item())  # layers keep equally many in every replicate
    if arm.scale == "chi":
        match_chi(net, prepare(lottery.ARMS["ticket"], start, masks), x)
    return net


def match_chi(net: StackedMLP, target: StackedMLP, x: Tensor) -> None:
    """Scale each layer of `net` in place until its mean χ over the inputs x is that of `target`.

    χ of a layer is proportional to its squared weights and depends on the layers below, so one pass from the first
    layer on suffices. The first layer has no χ; there the sums of squares are made equal.
    """
    wanted = mf.empirical_chi(target, x).mean(2)
    squares = [one.weights[0].double().square().sum((1, 2)) for one in (target, net)]
    ratio = squares[0] / squares[1]
    for layer, weights in enumerate(net.weights):
        if layer:
            ratio = wanted[:, layer - 1] / mf.empirical_chi(net, x).mean(2)[:, layer - 1]
        weights.mul_(ratio.sqrt()[:, None, None].to(weights))


# What is measured


def looked(net: StackedMLP, lab: Lab, x: Tensor) -> Arrays:
    """Return `weight_look`, and `signals` with all laws unless the net is residual."""
    return weight_look(net) | ({} if lab.residual else signals(net, x))


def kept_weights(config: Level, found: Arrays) -> dict[str, list[np.ndarray]]:
    """Return the kept weights of every layer times √fan-in, [S, K] each: "start" (rewound) and "end" (trained).

    `found` are the arrays of the level; the initial weights are drawn again.
    """
    _, _, initial = setting(config.lab)
    masks = masks_at(unpacked(found["survives"], weights_of(initial)), config.level)
    nets = {"start": initial, "end": restored(initial, found["final"])}
    return {
        when: [kept_values(w, mask) * sqrt(w.shape[2]) for w, mask in zip(net.weights, masks.values(), strict=True)]
        for when, net in nets.items()
    }


# The pieces of a run


@lru_cache(2)  # MNIST-1D is generated anew by every load, and a sweep has dozens of short runs
def _loaded(name: str, pool: int, validation: int, tests: int) -> Dataset:
    sizes = {"n_train": pool, "n_validation": validation, "n_test": tests}
    if name.endswith("_jpeg"):  # photographs, one folder a class, beside the other data
        return load("image_folder", root=data_root() / name, label=name, size=PHOTOGRAPH, mode="L", **sizes)  # type: ignore[arg-type]
    return load(name, **sizes)  # type: ignore[arg-type]


def _next_masks(config: Level, initial: StackedMLP, before: Arrays | None) -> tuple[Tensors, Tensors]:
    """Return (survives, masks) of this level, cut from the trained weights of the one before."""
    survives = {name: torch.zeros_like(w, dtype=torch.int8) for name, w in weights_of(initial).items()}
    if not config.level:
        return survives, dense(survives)
    if before is None:
        raise BadInput.of("before", None, f"the arrays of level {config.level - 1}", "Run the chain from level 0.")
    survives = unpacked(before["survives"], survives)
    counts = round_counts(shapes(initial), config.level, config.rate, config.last)
    trained = restored(initial, before["final"])
    masks = cut_further(trained, initial, masks_at(survives, config.level - 1), counts)
    return {name: kept + masks[name].to(torch.int8) for name, kept in survives.items()}, masks


def _fit(net: StackedMLP, examples: Examples, lab: Lab, steps: int, early: EarlyStop, at: Sequence[int]) -> History:
    return fit(
        net, examples, optimizer=Adam(lab.lr), steps=steps, batch_size=lab.batch, probes={"early": early},
        probe_steps=at, execution=by_density(net),
    )  # fmt: skip


def _redraw(
    net: StackedMLP, start: StackedMLP, ticket: Tensors, mask: Tensors, weights: Weights, key: int
) -> None:  # fmt: skip
    """Draw the weights that `mask` keeps from the law of the ticket's, or a Gaussian law with its mean square."""
    for layer, (name, target) in enumerate(zip(mask, net.weights, strict=True)):
        kept = kept_values(start.weights[layer], ticket[name])
        for r, seed in enumerate(net.seeds):
            u = rng(seed, "noise", DRAWS, key, layer).random(kept.shape[1])
            normal = sqrt(np.square(kept[r]).mean()) * ndtri(u)
            drawn = np.quantile(kept[r], u) if weights == "bimodal" else normal
            target[r][mask[name][r]] = torch.from_numpy(drawn).to(target)
