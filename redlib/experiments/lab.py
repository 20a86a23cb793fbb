"""What runs train and on what: data, training and nets as settings, once for all studies.

`Data`, `Drawn` (each seed has training examples of its own) and `Training` are parts for a study's own experiments;
`Stack` (plain MLPs in one stack) and `Modules` (the conv nets of `redlib.nets.ticketnets`) are whole labs, in which
`redlib.experiments.chain` prunes.
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
from redlib.data.sources import Dataset, Split, load
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.results import Arrays
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.convnets import RandomShiftFlip
from redlib.nets.initialisers import Initialiser
from redlib.nets.modules import modules_of
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
GENERATED = ("mnist1d", "mnist1d_b")  # data sets of which any number can be made
OWN = 64  # key of the stream "split": each seed's own data are made from it
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


@lru_cache(64)
def generated(name: str, pool: int, seed: int, flat: bool, normalise: str) -> Split:
    """Return the training examples of a data set of `GENERATED` that are made for one seed alone, remembered."""
    own = int(rng(seed, "split", OWN, GENERATED.index(name)).integers(2**32))  # else both would share their noise
    return load(name, n_train=pool, n_test=10, flatten=flat, normalise=normalise, generator_seed=own).train


@dataclass(frozen=True, kw_only=True)
class Drawn(Data, Experiment):
    """Data of which each seed draws its own examples to train on; what nets are validated and tested on is shared.

    An interval over seeds then holds for other draws from the pool. Two seeds share a part n / pool of their examples,
    so it says the less of new data the larger that part is; of data that are `GENERATED` each has a pool of its own.
    """

    n: int | None = None  # training examples that each seed draws from the pool; None: all of it, the same for all

    @property
    def size(self) -> int:
        """Number of training examples that a seed sees."""
        return len(self.load().train) if self.n is None else self.n

    def parts(self) -> Parts:
        """Return the examples by part; those to train on are rows [S, n] of the pool, or of the seeds' pools."""
        parts = super().parts()
        if self.n is None:
            return parts
        train, size = parts["train"], len(parts["train"])
        x, y, rows = train.x, train.y, draw_rows(size, self.n, self.seeds)
        if self.dataset in GENERATED:
            pools = [generated(self.dataset, size, seed, self.flat, self.normalise) for seed in self.seeds]
            x, y = torch.cat([one.x for one in pools]), torch.cat([one.y for one in pools])
            rows = rows + size * torch.arange(len(pools))[:, None]
        return parts | {"train": Examples(x, y[rows], rows)}


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

        Nets may be any multiple of the seeds that have examples of their own, arm by arm. Pruned stacks train sparsely
        where they are sparse enough: no timing decides, so that none moves a result.
        """
        total, shape, groups = self.total(len(examples)), self.schedule(), groups_of(net)
        examples = repeated(examples, groups)
        if "evaluate" in more:
            more["evaluate"] = {name: repeated(part, groups) for name, part in more["evaluate"].items()}
        if isinstance(net, StackedMLP | RaggedMLP):
            more.setdefault("execution", by_density(net))
        return fit(
            net, examples, loss=self.loss, optimizer=self.rule(), schedule=lambda step, _: shape(step, total),
            steps=total if until is None else until, batch_size=self.batch, precision=self.precision, **more,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lab(Drawn, Training, Experiment):
    """Data, net and training that all runs of a chain share."""

    looks: int = 10  # at the validation loss, evenly spaced over training
    seeds: tuple[int, ...] = tuple(range(5))

    def nets(self, draw: int = 0) -> Net:
        """Return the initial net of every seed; draw k > 0 are others of the same law."""
        raise NotImplementedError

    @property
    def cost(self) -> float:
        """Relative time of one training of the nets of all seeds."""
        return self.total(self.size) * self.batch * len(self.seeds) * self.effort() / 1e9

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
        history = self.fit(net, parts["train"], probes={"early": probe}, probe_steps=at, seeds=seeds, resume=resume)
        loss, error = self.measured(net, parts["train"])
        found = {"steps": history.steps} | {name: np.asarray(v) for name, v in early_values(history).items()}
        return found | {"train_loss": loss.numpy(), "train_error": error.numpy()}

    def measured(self, net: Net, part: Examples) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the share of errors of each net on some examples, [R] each."""
        part = repeated(part, groups_of(net))
        if isinstance(net, StackedMLP):
            padded = part.with_inputs(net.pad(part.x.flatten(1)))
            return mean_loss_and_error(evaluator(net, self.loss), padded, self.loss)
        engine = AutogradEngine(net, SGD(), self.loss, self.precision)
        return mean_loss_and_error(engine, part.to(engine.device), self.loss)

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
    n: int | None = 3500
    part: str = "all"  # of a seed's training examples: all, or their first or second half
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "relu"
    init: str = "glorot"

    @property
    def size(self) -> int:
        """Number of training examples that a seed sees."""
        return super().size // (1 if self.part == "all" else 2)

    def parts(self) -> Parts:
        """Return the examples by part; each seed trains on all of its own, or on one half of them."""
        parts, half = super().parts(), super().size // 2
        columns = {"all": slice(None), "first": slice(half), "second": slice(half, 2 * half)}
        if self.part not in columns:
            raise BadInput.of("part", self.part, f"one of {list(columns)}", "Take all training examples, or one half.")
        if self.part == "all":
            return parts
        rows, labels = (table[:, columns[self.part]] for table in parts["train"].table(len(self.seeds)))
        return parts | {"train": replace(parts["train"], y=labels, rows=rows)}

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
    """Conv nets by name (`redlib.nets.ticketnets`)."""

    pool: int | None = 1000
    validation: int = 190
    tests: int | None = 600
    n: int | None = 800
    shrink: int = 1  # side of the squares of pixels that are averaged
    net: str = "conv2"
    width: float = 0.25
    dropout: float = 0.0  # Conv-2/4/6 only
    augment: bool = False  # shift and flip the training images

    flat: ClassVar[bool] = False
    normalise: ClassVar[str] = "standard"

    def parts(self) -> Parts:
        """Return the examples by part, squares of their pixels averaged."""
        parts = super().parts()
        if self.shrink == 1:
            return parts
        return {name: part.with_inputs(functional.avg_pool2d(part.x, self.shrink)) for name, part in parts.items()}

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


def groups_of(net: Any) -> int:
    """Return how many nets see examples of their own: those of a stack, or of a list of modules."""
    return net.groups if isinstance(net, StackedMLP | RaggedMLP) else len(modules_of(net))


def repeated(part: Examples, groups: int) -> Examples:
    """Return examples of which each seed has its own, for a multiple of the seeds: those of all seeds, arm by arm.

    Shared ones stay as they are. BadInput for another number of nets.
    """
    own = part.rows if part.rows is not None else part.y if part.own_labels else None
    if own is None or len(own) == groups:
        return part
    if groups % len(own):
        raise BadInput.of("replicates in data", len(own), f"{groups} nets or a divisor", "Take the seeds of the nets.")
    return part.select([r % len(own) for r in range(groups)])
