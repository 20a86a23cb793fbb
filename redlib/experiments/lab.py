"""What runs train and on what: data, training and nets as settings, once for all studies.

`Data` and `Training` are parts for a study's own experiments; `Stack` (plain MLPs in one stack) and `Modules` (the
conv nets of `redlib.nets.ticketnets`) are whole labs, in which `redlib.experiments.chain` prunes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, prod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.replicates import draw_rows
from redlib.data.sources import Dataset, load
from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.results import Arrays
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.convnets import RandomShiftFlip
from redlib.nets.initialisers import Initialiser
from redlib.nets.ticketnets import build
from redlib.pruning.tickets import REINIT
from redlib.training import SGD, Adam, Examples, History, constant, cosine, fit, step_decay, warm_up
from redlib.training.early import early_stop, early_values
from redlib.training.engines import AutogradEngine
from redlib.training.execution import by_density, evaluator
from redlib.training.optimisers import Rule
from redlib.training.record import mean_loss_and_error
from redlib.training.schedules import Schedule

Net = StackedMLP | list[nn.Module]
Parts = dict[str, Examples]
TRAINED = """
steps: step
validation_loss validation_error: seed step
early_step early_error final_error train_loss train_error: seed
"""
"""The arrays of `Lab.train`; errors are shares in [0, 1], early ones at the step of least validation loss."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which examples a run has: a name for `redlib.data.load`, and how many of each part."""

    dataset: str = "digits"
    pool: int | None = None  # training examples; None: all there are
    validation: int = 0
    tests: int | None = None

    flat: ClassVar[bool] = True  # rows of features, or images
    normalise: ClassVar[str] = "unit"

    def load(self) -> Dataset:
        """Return the data set; the same object to whoever asks again."""
        return loaded(self.dataset, self.pool, self.validation, self.tests, self.flat, self.normalise)

    def parts(self) -> Parts:
        """Return the examples by part: train, test, and validation where there is one."""
        data = self.load()
        splits = {"train": data.train, "validation": data.validation, "test": data.test}
        return {name: Examples(split.x, split.y) for name, split in splits.items() if split is not None}


@lru_cache(4)  # MNIST-1D is generated anew by every load, and a sweep has dozens of short runs
def loaded(
    name: str, pool: int | None, validation: int, tests: int | None, flat: bool, normalise: str, **options: Any
) -> Dataset:
    """Return `load` of these sizes, remembered."""
    sizes = {"n_train": pool, "n_validation": validation, "n_test": tests}
    return load(name, **sizes, flatten=flat, normalise=normalise, **options)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How nets are trained: loss, optimiser, schedule, batches and length."""

    loss: str = "cross_entropy"
    optimizer: str = "adam"  # or adamw (decoupled decay), sgd
    lr: float = 1e-3
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0
    warm: int = 0  # steps of linear warm-up
    drops: tuple[float, ...] = ()  # shares of training after which the rate is divided by 10
    annealed: bool = False  # the rate falls to 0 along a cosine
    batch: int = 100
    steps: int = 0  # the length, or
    epochs: int = 0
    precision: str = "fp32"

    def rule(self) -> Rule:
        """Return the optimiser; BadInput for an unknown name."""
        if self.optimizer == "sgd":
            return SGD(self.lr, self.momentum, weight_decay=self.weight_decay)
        if self.optimizer in ("adam", "adamw"):
            return Adam(self.lr, weight_decay=self.weight_decay, decoupled=self.optimizer == "adamw")
        raise BadInput.of("optimizer", self.optimizer, "adam, adamw or sgd", "Others are in redlib.training.")

    def schedule(self) -> Schedule:
        """Return the schedule of the learning rate."""
        later = cosine() if self.annealed else step_decay(self.drops) if self.drops else constant()
        return warm_up(self.warm, later) if self.warm else later

    def total(self, n: int) -> int:
        """Return the number of steps on n examples; BadInput unless either steps or epochs are set."""
        if (self.steps > 0) == (self.epochs > 0):
            raise BadInput.of("steps, epochs", (self.steps, self.epochs), "one of them > 0", "Say how long to train.")
        return self.steps or ceil(n / min(self.batch, n)) * self.epochs

    def longer(self, factor: float) -> Any:
        """Return the same training, `factor` times as long."""
        return replace(self, steps=round(self.steps * factor), epochs=round(self.epochs * factor))

    def fit(self, net: Any, examples: Examples, until: int | None = None, **more: Any) -> History:
        """Train `net` in place as `redlib.training.fit` does, `more` being its options; `until` is a step to end at.

        Pruned stacks train sparsely where they are sparse enough: no timing decides, so that none moves a result.
        """
        total, shape = self.total(len(examples)), self.schedule()
        if isinstance(net, StackedMLP | RaggedMLP):
            more.setdefault("execution", by_density(net))
        return fit(
            net, examples, loss=self.loss, optimizer=self.rule(), schedule=lambda step, _: shape(step, total),
            steps=total if until is None else until, batch_size=self.batch, precision=self.precision, **more,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lab(Data, Training, Experiment):
    """Data, net and training that all runs of a chain share."""

    looks: int = 10  # at the validation loss, evenly spaced over training
    seeds: tuple[int, ...] = tuple(range(5))

    def nets(self, draw: int = 0) -> Net:
        """Return the initial net of every seed; draw k > 0 are others of the same law."""
        raise NotImplementedError

    @property
    def cost(self) -> float:
        """Relative time of one training of the nets of all seeds."""
        return self.total(len(self.parts()["train"])) * self.batch * len(self.seeds) * self.effort() / 1e9

    def effort(self) -> float:
        """Return the relative time of one example of one net."""
        one = replace(self, seeds=self.seeds[:1])
        return float(sum(prod(weights.shape) for weights in _parameters(one.nets())))

    def moments(self, total: int) -> list[int]:
        """Return the steps of the looks at the validation loss."""
        return np.unique(np.linspace(0, total, self.looks + 1).round().astype(int))[1:].tolist()

    def law(self) -> str | Initialiser:
        """Return the law of the initial weights."""
        return "torch"

    def begun(self, steps: int) -> Net:
        """Return the nets after their first steps, dense; 0: the initial ones."""
        nets = self.nets()
        if steps:
            self.fit(nets, self.parts()["train"], steps, seeds=self.seeds)
        return nets

    def train(self, net: Net, parts: Parts, begin: int = 0, orders: Sequence[int] = ()) -> Arrays:
        """Train `net` in place (R = any multiple of the seeds) with early stopping; return the arrays TRAINED, [R].

        Modules begin at step `begin` with a new optimiser: the order of the examples (of the seeds `orders`) and the
        schedule go on from there. Stacks have their own seeds, and train for all steps.
        """
        total = self.total(len(parts["train"]))
        at = [step for step in self.moments(total) if step > begin or isinstance(net, StackedMLP)]
        seeds = tuple(orders) or self.seeds * (len(net) // len(self.seeds) if isinstance(net, list) else 1)
        probe = early_stop(net, parts["validation"], parts["test"], len(at), self.loss, self.precision)
        resume = self._beginning(net, begin) if begin and isinstance(net, list) else None
        examples = _repeated(parts["train"], len(seeds))
        history = self.fit(net, examples, probes={"early": probe}, probe_steps=at, seeds=seeds, resume=resume)
        loss, error = self.measured(net, examples)
        found = {"steps": history.steps} | {name: np.asarray(v) for name, v in early_values(history).items()}
        return found | {"train_loss": loss.numpy(), "train_error": error.numpy()}

    def measured(self, net: Net, part: Examples) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the share of errors of each net on some examples, [R] each."""
        if isinstance(net, StackedMLP):
            padded = part.with_inputs(net.pad(part.x.flatten(1)))
            return mean_loss_and_error(evaluator(net, self.loss), padded, self.loss)
        engine = AutogradEngine(net, SGD(), self.loss, self.precision)
        return mean_loss_and_error(engine, _repeated(part, len(net)).to(engine.device), self.loss)

    def _beginning(self, nets: list[nn.Module], step: int) -> dict[str, Any]:
        """Return what `fit` resumes from to begin at a step with a new optimiser."""
        engine = AutogradEngine(nets, self.rule(), self.loss, self.precision)
        return {"engine": engine.state(), "step": step, "stopped": torch.full((len(nets),), -1), "run": None}


@dataclass(frozen=True, kw_only=True)
class Stack(Lab):
    """Plain MLPs of all seeds in one stack; the defaults are the profile `laptop`."""

    dataset: str = "mnist1d"
    pool: int | None = 3500
    validation: int = 500
    tests: int | None = 10_000
    part: str = "all"  # of the training examples: all, or their first or second half
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "relu"
    init: str = "glorot"

    def parts(self) -> Parts:
        """Return the examples by part."""
        parts = super().parts()
        half = len(parts["train"]) // 2
        rows = {"all": slice(None), "first": slice(0, half), "second": slice(half, 2 * half)}
        if self.part not in rows:
            raise BadInput.of("part", self.part, f"one of {list(rows)}", "Take all training examples, or one half.")
        chosen = rows[self.part]
        return parts | {"train": Examples(parts["train"].x[chosen], parts["train"].y[chosen])}

    def law(self) -> str | Initialiser:
        """Return the law of the initial weights."""
        return self.init

    def sizes(self) -> tuple[int, ...]:
        """Return the units of every layer, inputs first."""
        data = self.load()
        return data.train.x.shape[1], *self.hidden, data.classes

    def nets(self, draw: int = 0) -> StackedMLP:
        """Return the initial nets as one stack."""
        seeds = [seed + draw * REINIT for seed in self.seeds]
        return StackedMLP.create(self.sizes(), seeds, self.activation, self.law())


@dataclass(frozen=True, kw_only=True)
class Modules(Lab):
    """Conv nets by name (`redlib.nets.ticketnets`), each seed with its own subset of the training pool."""

    pool: int | None = 1000  # from which each seed draws its own n
    validation: int = 190
    tests: int | None = 600
    n: int = 800
    shrink: int = 1  # side of the squares of pixels that are averaged
    net: str = "conv2"
    width: float = 0.25
    dropout: float = 0.0  # Conv-2/4/6 only
    augment: bool = False  # shift and flip the training images

    flat: ClassVar[bool] = False
    normalise: ClassVar[str] = "standard"

    def parts(self) -> Parts:
        """Return the examples by part: each seed's own n to train on, and shared ones to validate and test."""
        parts = super().parts()
        if self.shrink > 1:
            shrunk = {name: functional.avg_pool2d(part.x, self.shrink) for name, part in parts.items()}
            parts = {name: part.with_inputs(shrunk[name]) for name, part in parts.items()}
        train = parts["train"]
        rows = draw_rows(len(train), self.n, self.seeds)
        return parts | {"train": Examples(train.x, train.y[rows], rows)}

    def nets(self, draw: int = 0, copied: int = 0) -> list[nn.Module]:
        """Return the untrained net of every seed; copy number `copied` sees the images otherwise augmented."""
        x = self.parts()["train"].x
        sizes = self.load().classes, x.shape[1], x.shape[2]
        options: dict[str, Any] = {"width": self.width} | ({"dropout": self.dropout} if self.dropout else {})
        nets = [build(self.net, seed + draw * REINIT, *sizes, **options) for seed in self.seeds]
        if not self.augment:
            return nets
        augmented = [RandomShiftFlip(seed + copied * REINIT) for seed in self.seeds]
        return [nn.Sequential(shift, net) for shift, net in zip(augmented, nets, strict=True)]


def vector(nets: Net) -> np.ndarray:
    """Return all that training changes in unmasked nets as rows [R, P]: parameters, and the buffers of modules."""
    if isinstance(nets, StackedMLP):
        return nets.vector().numpy()
    states = [torch.cat([values.detach().flatten().float() for values in _state(net).values()]) for net in nets]
    return torch.stack(states).cpu().numpy()


def restored(nets: Net, rows: np.ndarray) -> Net:
    """Return copies of nets in the state that `vector` returned."""
    if isinstance(nets, StackedMLP):
        return nets.with_vector(torch.from_numpy(np.array(rows)))
    copies = copy.deepcopy(nets)
    for net, row in zip(copies, torch.from_numpy(np.array(rows)), strict=True):
        state = _state(net)
        pieces = row.split([values.numel() for values in state.values()])
        net.load_state_dict(
            {name: piece.view_as(state[name]) for name, piece in zip(state, pieces, strict=True)}, strict=False
        )
    return copies


def _state(net: nn.Module) -> Mapping[str, Tensor]:
    """Return the floating-point state of a module by name, in an order that masks do not change.

    What counts batches is left out. A weight that was masked once stands behind its bias.
    """
    return {name: values for name, values in sorted(net.state_dict().items()) if values.is_floating_point()}


def _parameters(nets: Net) -> Sequence[Tensor]:
    return nets.weights if isinstance(nets, StackedMLP) else [*nets[0].parameters()]


def _repeated(part: Examples, replicates: int) -> Examples:
    """Return examples of which each seed has its own, for a multiple of the seeds."""
    if part.rows is None or len(part.rows) == replicates:
        return part
    return part.select([r % len(part.rows) for r in range(replicates)])
