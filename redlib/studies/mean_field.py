"""The runs of the mean-field study: tanh nets pruned level by level, what theory says of their signals, and controls.

A frozen dataclass describes an experiment, `run` carries it out; arrays have the seeds on the first axis, errors are
shares in [0, 1]. `Level` is one round of pruning and goes on from the round before; `Arms`, `Fitted` and `Dips` take
the masks of a level. Layers are the hidden ones and the logits, L in all; standard deviations of weights are in units
of 1/√fan-in. The defaults are the profile `laptop`; the protocol is that of source S4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, singledispatch
from math import ceil, prod, sqrt
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from redlib.data import Dataset, load
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures import meanfield as mf
from redlib.measures.concentration import variance_ratio
from redlib.measures.dip import dip
from redlib.nets import StackedMLP
from redlib.nets.convnets import seeded
from redlib.nets.initialisers import Initialiser, Layer, mean_field
from redlib.pruning import tickets as lottery
from redlib.pruning.allocation import keep, round_counts, shapes_of, shuffled
from redlib.pruning.masks import Tensors, apply, dense, masks_of, weights_of
from redlib.pruning.tickets import cut_further, masks_at, prepare, shapes, stack
from redlib.studies import configure
from redlib.studies.tickets import axes, packed, restored, unpacked
from redlib.training import Adam, Examples, History, evaluate, fit
from redlib.training.early import EarlyStop, early_values
from redlib.training.execution import by_density

Arrays = dict[str, np.ndarray]
Parts = dict[str, Examples]
Weights = Literal["start", "fresh", "bimodal", "normal"]
Scale = Literal["none", "density", "chi"]

D51, D41, D21, D11, D4 = 3, 4, 7, 10, 14  # rounds of 20% that leave 51, 41, 21, 10.7 and 4.4%
LITERAL = 0.3 / 16  # the biases' standard deviation if it is divided by √256, as the slide writes it
PER_UNIT, DIP_NULL, DRAWS = 51, 52, 53  # keys of streams, so that no other draw of a seed repeats these
BINS, REACH = 21, 3.0  # of the histogram of weights: bins, and root mean squares to either side
JACOBIANS = 16  # inputs whose Jacobian is taken
LAWS: tuple[mf.Law, ...] = ("naive", "density", "rows")
TWO, THREE = (0.36, 0.19), (0.488, 0.271)  # rate and last of two, and of three, rounds of 20% and 10% taken at once
DEPTHS = {"normal": 15, "orthogonal": 4, "augmented": 3, "residual": 3, "conv": 2}  # the last level of each chain


@dataclass(frozen=True)
class Lab:
    """Data, net and training that all runs of a chain share."""

    dataset: str = "mnist1d"
    pool: int = 3500  # training examples
    validation: int = 500
    tests: int = 10_000
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
class Wide:
    """Monte Carlo of signals in wide random nets, for a comparison with the recursion.

    `residual`: h'' = h + Wφ(Wφ(h) + b) + b, and `depth` counts such pairs of layers.
    """

    width: int = 1024
    depth: int = 30
    sigmas: tuple[tuple[float, float], ...] = ((1.2, 0.1), (1.4, 0.3), (2.0, 0.3), (3.0, 0.6))  # (σ_w, σ_b)
    residual: bool = False
    inputs: int = 8
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def cost(self) -> float:
        """Relative time of the run, in trainings of about as many seconds."""
        return 1e-8 * len(self.seeds) * len(self.sigmas) * self.depth * self.width**2


@dataclass(frozen=True)
class Depths:
    """Short trainings of random nets of many depths and σ_w: which can be trained at all (Schoenholz et al. 2017)."""

    dataset: str = "digits"
    pool: int = 1437
    tests: int = 360
    width: int = 64
    depths: tuple[int, ...] = (4, 8, 12, 16, 24, 36, 56)
    sigmas: tuple[float, ...] = (1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5)
    sigma_b: float = 0.3
    lr: float = 1e-3
    batch: int = 100
    steps: int = 60
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        nets = len(self.seeds) * len(self.sigmas)
        return nets * sum(self.depths) * self.steps * self.batch * self.width**2 / 1e9


@dataclass(frozen=True)
class ConvLevel:
    """One round of pruning of a tanh net of 3 x 3 convolutions, a mean over places and a linear layer (RMT-3)."""

    dataset: str = "digits"
    pool: int = 1250
    tests: int = 540
    layers: int = 8
    channels: int = 8
    sigma_w: float = 1.4
    sigma_b: float = 0.3
    lr: float = 5e-3
    batch: int = 32
    epochs: int = 12
    level: int = 0
    rate: float = THREE[0]
    last: float = THREE[1]
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def previous(self) -> ConvLevel | None:
        """The round before."""
        return replace(self, level=self.level - 1) if self.level else None

    @property
    def cost(self) -> float:
        """Relative time, to start long runs first."""
        return 1e3 * self.epochs * self.pool * len(self.seeds) / 1e3


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


class ResidualTanh(StackedMLP):
    """R tanh nets with skips over two layers, added before the activation: h₁, h₂, h₃ + h₁, h₄, h₅ + h₃ …

    Hidden layers are equally wide; every second one, from the third on, takes up the skip.
    """

    def _forward(self, x: Tensor, buffers: Sequence[Tensor]) -> list[Tensor]:
        carried: Tensor | None = None
        for layer, (block, out, units) in enumerate(zip(self.blocks, buffers, self.sizes[1:], strict=True)):
            torch.bmm(x, block.transpose(1, 2), out=out)
            if layer < len(self.blocks) - 1:
                if layer % 2 == 0:
                    carried = out.clone() if carried is None else out.add_(carried).clone()
                out.tanh_()
                out[..., units] = 1.0  # the constant unit that carries the next layer's biases
            x = out
        return list(buffers)

    def _backward(self, inputs: list[Tensor], outs: list[Tensor], beta: float, buffers: list[Tensor]) -> None:
        delta = inputs[-1]
        skip: Tensor | None = None
        for layer in range(len(self.blocks) - 1, -1, -1):
            below = delta
            if layer:
                below = torch.bmm(delta, self.blocks[layer], out=buffers[layer - 1])
                self._through_activation(below, inputs[layer])
                below[..., self.sizes[layer]] = 0.0
                if layer % 2:
                    skip = below if skip is None else below.add_(skip)
            torch.baddbmm(outs[layer], delta.transpose(1, 2), inputs[layer], beta=beta, out=outs[layer])
            delta = below


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


@run.register
def run_wide(config: Wide) -> Arrays:
    """Return q [S, len(sigmas), depth], means over inputs, from inputs whose mean square is 1."""
    cells = [[_propagated(config, seed, k) for k in range(len(config.sigmas))] for seed in config.seeds]
    return {"q": np.array(cells)}


@run.register
def run_depths(config: Depths) -> Arrays:
    """Return train_accuracy [S, len(sigmas), len(depths)] after a short training."""
    data = load(config.dataset, n_train=config.pool, n_test=config.tests)
    x = data.train.x / data.train.x.square().mean().sqrt()
    train_on, found = Examples(x, data.train.y), []
    for depth in config.depths:
        sizes = x.shape[1], *(config.width,) * depth, data.classes
        laws = [mean_field(sigma, config.sigma_b) for sigma in config.sigmas]
        net = stack([StackedMLP.create(sizes, config.seeds, "tanh", law) for law in laws])
        fit(net, train_on, optimizer=Adam(config.lr), steps=config.steps, batch_size=config.batch, execution="dense")
        error = evaluate(net, train_on)["error"].numpy()
        found.append(1 - error.reshape(len(config.sigmas), -1).T)
    return {"train_accuracy": np.stack(found, 2)}


@run.register
def run_conv(config: ConvLevel, before: Arrays | None = None) -> Arrays:
    """Return train_error, final_error (of the test set) and density [S], and mask.<layer>, end.<layer> [S, ...]."""
    data = load(config.dataset, n_train=config.pool, n_test=config.tests, flatten=False)
    nets = [seeded(conv_net, seed, config, data) for seed in config.seeds]
    masks = _next_conv_masks(config, weights_of(nets), before)
    apply(nets, masks)
    parts = {"train": Examples(data.train.x, data.train.y), "test": Examples(data.test.x, data.test.y)}
    history = fit(
        nets, parts["train"], optimizer=Adam(config.lr), epochs=config.epochs, batch_size=config.batch,
        seeds=config.seeds, evaluate=parts,
    )  # fmt: skip
    kept = sum(mask.flatten(1).sum(1) for mask in masks.values())
    total = sum(mask[0].numel() for mask in masks.values())
    found = {"train_error": history.final("train_error"), "final_error": history.final("test_error")}
    found |= {"density": (torch.as_tensor(kept) / total).numpy()}
    found |= {f"mask.{name}": mask.numpy() for name, mask in masks.items()}
    return found | {f"end.{name}": values.numpy() for name, values in weights_of(nets).items()}


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


def augmented(x: Tensor, shifts: Sequence[int]) -> Tensor:
    """Return inputs [n, d] and their copies rolled by each of `shifts`, [(1 + len(shifts)) * n, d]."""
    return torch.cat([x, *(x.roll(shift, 1) for shift in shifts)])


def initialiser(lab: Lab) -> Initialiser:
    """Return the law that the lab's nets are drawn from."""
    if lab.init not in ("normal", "orthogonal"):
        raise BadInput.of("init", lab.init, "normal or orthogonal", "See Lab.")
    return mean_field(lab.sigma_w, lab.sigma_b) if lab.init == "normal" else orthogonal(lab.sigma_w, lab.sigma_b)


def orthogonal(gain: float, sigma_b: float) -> Initialiser:
    """Return an initialiser of biases N(0, σ_b²) and W = gain·Q, QᵀQ = 1 or QQᵀ = 1, whichever the shape allows.

    Q comes from the QR decomposition of a normal matrix, with R's diagonal made positive, so that Q is uniform
    (Mezzadri 2007).
    """

    def draw(source: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
        q, r = np.linalg.qr(source.standard_normal((max(fan_out, fan_in), min(fan_out, fan_in))))
        q = gain * q * np.sign(np.diag(r))
        return q if fan_out >= fan_in else q.T, sigma_b * source.standard_normal(fan_out)

    return draw


def train(net: StackedMLP, parts: Parts, lab: Lab) -> Arrays:
    """Train `net` in place; return steps [T] and per replicate the `early_values`, train_loss and train_error (end)."""
    steps = ceil(len(parts["train"]) / lab.batch) * lab.epochs
    at = np.unique(np.linspace(0, steps, lab.looks + 1).round().astype(int))[1:].tolist()
    early = EarlyStop(net, parts["validation"], parts["test"], len(at))
    history = _fit(net, parts["train"], lab, steps, early, at)
    end = evaluate(net, parts["train"])
    found = {"steps": history.steps} | {name: np.asarray(v) for name, v in early_values(history).items()}
    return found | {f"train_{name}": values.numpy() for name, values in end.items()}


def conv_net(config: ConvLevel, data: Dataset) -> nn.Sequential:
    """Return one tanh net for images [B, C, h, w] or rows [B, C, n], drawn from torch's global generator."""
    rows = data.train.x.dim() == 3
    conv, pool = (nn.Conv1d, nn.AdaptiveAvgPool1d) if rows else (nn.Conv2d, nn.AdaptiveAvgPool2d)
    parts: list[nn.Module] = []
    fan_in = data.train.x.shape[1]
    for _ in range(config.layers):
        parts += [conv(fan_in, config.channels, 3, padding=1), nn.Tanh()]
        fan_in = config.channels
    net = nn.Sequential(*parts, pool(1), nn.Flatten(), nn.Linear(fan_in, data.classes))
    for part in net:
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=config.sigma_w / sqrt(part.weight[0].numel()))
            nn.init.normal_(part.bias, std=config.sigma_b)  # type: ignore[arg-type]
    return net


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


def weight_look(net: StackedMLP) -> Arrays:
    """Return of the kept weights of each layer mean and std (times √fan-in), kept, density and gap, each [R, L].

    kept counts them; gap is `density_at_zero`. Every replicate keeps as many weights of a layer.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("mean", "std", "kept", "density", "gap")}
    for weights, mask in zip(net.weights, masks_of(net).values(), strict=True):
        values = kept_values(weights, mask) * sqrt(weights.shape[2])
        count = np.full(len(values), values.shape[1])
        share = count / prod(weights.shape[1:])
        layer = values.mean(1), values.std(1), count, share, density_at_zero(values)
        for name, numbers in zip(found, layer, strict=True):
            found[name].append(numbers)
    return {name: np.stack(layers, 1) for name, layers in found.items()}


def signals(net: StackedMLP, x: Tensor, laws: Sequence[mf.Law] = LAWS) -> Arrays:
    """Return q and q_<law> [R, L], chi [R, L-1] and log_sigma_max, log_mean_square, log_condition of the Jacobian [R].

    Means over inputs, of logarithms for the Jacobian of the logits by the inputs.
    """
    masks = list(masks_of(net).values())
    found = {"q": mf.empirical_q(net, x).mean(2).numpy(), "chi": mf.empirical_chi(net, x).mean(2).numpy()}
    for law in laws:
        found[f"q_{law}"] = mf.predicted_q(net.weights, net.biases, x, masks=masks, law=law).mean(2)
    spectrum = mf.spectrum_summary(mf.jacobian_spectrum(net, x[:JACOBIANS]))
    return found | {f"log_{name}": values.log().mean(1).numpy() for name, values in spectrum.items()}


def in_degrees(net: StackedMLP, x: Tensor) -> Arrays:
    """Return degree_ratio, q_even and q_even_rows, each [R, L].

    degree_ratio: the variance of the inputs a unit keeps over that under a random mask. q_even: q after the weights
    that leave each input were dealt to random units, so that only which unit they enter changes; q_even_rows: what
    the law "rows" says of that net, free of the chance that signs bring in.
    """
    masks = [mask.numpy() for mask in masks_of(net).values()]
    even = net.clone()
    even.masks = None
    for layer, weights in enumerate(even.weights):
        for r, seed in enumerate(net.seeds):
            source = rng(seed, "mask", PER_UNIT, layer)
            weights[r] = torch.from_numpy(source.permuted(weights[r].numpy(), axis=0))
    return {
        "degree_ratio": np.stack([variance_ratio(mask) for mask in masks], 1),
        "q_even": mf.empirical_q(even, x).mean(2).numpy(),
        "q_even_rows": mf.predicted_q(even.weights, even.biases, x, law="rows").mean(2),
    }


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


def kept_values(weights: Tensor, mask: Tensor) -> np.ndarray:
    """Return the kept weights of a layer [R, K], float64; K must be the same in every replicate."""
    rows = [w[m] for w, m in zip(weights, mask, strict=True)]
    return torch.stack(rows).double().numpy()


def density_at_zero(values: np.ndarray) -> np.ndarray:
    """Return, for values [R, K], the height of their histogram at 0 over its largest, [R]: 1 for a peak at 0.

    21 equal bins to ±3 root mean squares, the eleventh centred at 0. NaN where all values are 0.
    """
    found = []
    for row in values:
        reach = REACH * sqrt(np.square(row).mean())
        heights = np.histogram(row, BINS, (-reach, reach))[0] if reach else np.zeros(BINS)
        found.append(heights[BINS // 2] / heights.max() if heights.max() else np.nan)
    return np.array(found)


# The pieces of a run


@lru_cache(2)  # MNIST-1D is generated anew by every load, and a sweep has dozens of short runs
def _loaded(name: str, pool: int, validation: int, tests: int) -> Dataset:
    return load(name, n_train=pool, n_validation=validation, n_test=tests)


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


def _next_conv_masks(config: ConvLevel, weights: Tensors, before: Arrays | None) -> Tensors:
    if not config.level:
        return dense(weights)
    if before is None:
        raise BadInput.of("before", None, f"the arrays of level {config.level - 1}", "Run the chain from level 0.")
    ended = {name: torch.from_numpy(np.array(before[f"end.{name}"])).abs() for name in weights}
    within = {name: torch.from_numpy(np.array(before[f"mask.{name}"])) for name in weights}
    return keep(ended, round_counts(shapes_of(weights), config.level, config.rate, config.last), within)


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


def _propagated(config: Wide, seed: int, cell: int) -> list[float]:
    """Return q of every layer, or pair of layers, of one random net."""
    sigma_w, sigma_b = config.sigmas[cell]
    source = rng(seed, "init", cell)

    def layer(x: np.ndarray) -> np.ndarray:
        weights = source.standard_normal((config.width, len(x)), np.float32) * np.float32(sigma_w / sqrt(len(x)))
        return weights @ x + np.float32(sigma_b) * source.standard_normal((config.width, 1), np.float32)

    inputs = source.standard_normal((config.width, config.inputs), np.float32)
    h = layer(inputs / np.sqrt(np.square(inputs).mean(0)))
    found = [float(np.square(h).mean())]
    while len(found) < config.depth:
        h = h + layer(np.tanh(layer(np.tanh(h)))) if config.residual else layer(np.tanh(h))
        found.append(float(np.square(h).mean()))
    return found


# What to run


def experiments(
    lab: Lab, depths: Mapping[str, int] = DEPTHS, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return all runs of the study by name; a chain's are named "<chain> <level>", its last level is in `depths`.

    normal is pruned by 20% a round, orthogonal (gain 1, as S4 has it) two rounds at once, augmented, residual and conv
    three. `settings` changes fields of what is trained or drawn beside the chains, by name: conv, dips, fitted, depths,
    wide, "residual wide".
    """
    more: Mapping[str, Mapping[str, Any]] = settings or {}
    top, ortho = Level(lab), replace(lab, init="orthogonal", sigma_w=1.0)
    chains: dict[str, Level | ConvLevel] = {
        "normal": top,
        "orthogonal": Level(ortho, 0, *TWO),
        "augmented": Level(replace(lab, shifts=(-2, -1, 1, 2)), 0, *THREE),
        "residual": Level(replace(lab, residual=True), 0, *THREE),
        "conv": configure(ConvLevel, {"seeds": lab.seeds}, more.get("conv", {})),
    }
    runs: dict[str, Any] = {}
    for name, source in chains.items():
        runs |= levels(name, source, depths[name])
    starts = {"full": lab, "literal": replace(lab, sigma_b=LITERAL), "orthogonal": ortho}
    runs |= {f"start {name}": Start(replace(one, hidden=(256,) * len(lab.hidden))) for name, one in starts.items()}
    return runs | arms(top, more) | random_nets(lab, more)


def arms(top: Level, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what needs the masks of the main chain by name."""
    stds = tuple(f"random_{std}" for std in STDS) + ("fresh", *(f"fresh_{std}" for std in STDS))
    bimodal = "random", "bimodal", "normal", "fresh", "bimodal_ticket", "normal_ticket"
    return {
        "random": Arms(top, ("random",), (1, D51, 5)),
        "rescaled": Arms(top, ("random", "corrected", "chi_matched"), (D21, D11)),
        "stds": Arms(top, stds, (D21,)),
        "bimodal": Arms(top, bimodal, (D41,)),
        "fitted": configure(Fitted, {"source": top}, settings.get("fitted", {})),
        "dips": configure(Dips, {"source": top}, settings.get("dips", {})),
    }


def random_nets(lab: Lab, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what needs no pruning by name: wide nets against the recursions, and short trainings of deep nets."""
    seeds = {"seeds": lab.seeds}
    skipping = {"width": 512, "depth": 12, "sigmas": ((lab.sigma_w, lab.sigma_b),), "residual": True}
    return {
        "wide": configure(Wide, seeds, settings.get("wide", {})),
        "residual wide": configure(Wide, skipping, seeds, settings.get("residual wide", {})),
        "depths": configure(Depths, seeds, settings.get("depths", {})),
    }


def levels(name: str, source: Level | ConvLevel, depth: int) -> dict[str, Any]:
    """Return the levels 0 … depth of a chain, named "<name> 0", "<name> 1", …"""
    return {f"{name} {level}": replace(source, level=level) for level in range(depth + 1)}
