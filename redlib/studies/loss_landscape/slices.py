"""Nets trained only within a random slice of their parameters, and the best nets that have few parameters at all.

In how many random dimensions a net must train to do nearly as well as in all of them is its intrinsic dimension (Li,
Farkhoor, Liu & Yosinski 2018). All runs see the same data, split alike: training images of each seed, images by which
the small nets are chosen, and test images. Accuracies are shares of the test images, at the end of training. Which
small net is the best, and where a curve crosses 90%, is left to who reads the arrays. The defaults are the profile
`laptop`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn, Net, Training
from redlib.experiments.results import Arrays
from redlib.nets import StackedMLP
from redlib.nets.convnets import seeded
from redlib.training import Examples, evaluate, fit
from redlib.training.subspace import fit_subspace

MODULES = 4  # times as long as a stack of MLPs, about, take modules
CALLS = 30  # times as long as their parameters say take nets so small: a step is mostly the calls that it makes
WORD = re.compile(  # see `layer`: filters alone have a side, and only they and depth-wise ones a stride
    r"(?P<kind>avg|max|dense|(?P<strided>depth|(?P<conv>conv)))(?P<size>[1-9]\d*)"
    r"(?(conv)x(?P<side>[1-9]\d*))(?(strided)(?:/(?P<stride>[1-9]))?)"
)


@dataclass(frozen=True, kw_only=True)
class Slices(Drawn, Training, Experiment):
    """Data and training that the nets of a random slice share with small nets."""

    pool: int | None = 597
    validation: int = 200
    tests: int | None = 1000
    n: int | None = 500
    batch: int = 50
    lr: float = 1e-2
    epochs: int = 20
    annealed: bool = True
    seeds: tuple[int, ...] = tuple(range(5))

    normalise: ClassVar[str] = "standard"

    def image(self) -> tuple[int, ...]:
        """Return the shape of an input, [channels, height, width] or [features]."""
        return tuple(self.load().train.x.shape[1:])

    def plain(self, *hidden: int) -> StackedMLP:
        """Return untrained MLPs of these hidden layers, one a seed."""
        data = self.load()
        return StackedMLP.create((data.train.x[0].numel(), *hidden, data.classes), self.seeds)

    def full(self, net: Net) -> np.ndarray:
        """Return test accuracies of nets all of whose parameters are trained, in place, [S]."""
        parts = self.parts()
        self.fit(net, parts["train"], seeds=self.seeds)
        found: np.ndarray = 1 - evaluate(net, parts["test"], self.loss)["error"].numpy()
        return found

    def options(self, lr: float) -> dict[str, Any]:
        """Return what `redlib.training.fit` is told of this training at another learning rate."""
        total, shape = self.total(self.size), self.schedule()
        return {
            "loss": self.loss, "optimizer": replace(self, lr=lr).rule(), "schedule": lambda step, _: shape(step, total),
            "steps": total, "batch_size": self.batch, "precision": self.precision,
        }  # fmt: skip

    def shown(self) -> int:
        """Return how many examples one net of each seed sees in training, all seeds together."""
        return self.total(self.size) * self.batch * len(self.seeds)


@dataclass(frozen=True, kw_only=True)
class Confined(Slices):
    """Nets that are trained in full and within random slices."""

    # Adam moves d coefficients by about lr each, so θ by lr·√d: at one rate less than the D parameters of a full net.
    subspace_lr: float = 0.3

    def confined(self, net: Net, dims: Sequence[int]) -> np.ndarray:
        """Return test accuracies of nets trained within random subspaces of some dimensions, [S, K].

        BadInput for more dimensions than the net has parameters.
        """
        parts, options = self.parts(), self.options(self.subspace_lr)
        found = fit_subspace(net, dims, self.seeds, parts["train"], {"test": parts["test"]}, **options)
        return found.accuracies("test")


@dataclass(frozen=True, kw_only=True)
class Dense(Confined):
    """MLPs of two hidden layers of several widths, in full and in slices of several dimensions (LAND-7)."""

    widths: tuple[int, ...] = (32, 64, 128)
    dims: tuple[int, ...] = (60, 110, 160, 220, 300)

    arrays = """
    full_accuracy: seed width
    accuracy: seed width dim
    parameters: width
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.shown() * (1 + len(self.dims)) * float(self.counts().sum()) / 1e9

    def counts(self) -> np.ndarray:
        """Return how many parameters a net of each width has, [widths]."""
        return np.array([self.plain(width, width).parameters_each for width in self.widths])

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return test accuracies (shares), all parameters trained [S, widths] and confined [S, widths, K]."""
        return {
            "accuracy": np.stack([self.confined(self.plain(width, width), self.dims) for width in self.widths], 1),
            "full_accuracy": np.stack([self.full(self.plain(width, width)) for width in self.widths], 1),
            "parameters": self.counts(),
        }


@dataclass(frozen=True, kw_only=True)
class Conv(Confined):
    """A convolutional net and a linear classifier, in full and in slices of the same dimensions (LAND-6 and 8).

    With filters of 5 pixels, no padding, and images of 28 pixels it is the LeNet of Li et al. 2018, of 44,426
    parameters.
    """

    dims: tuple[int, ...] = (80, 140, 200, 290, 400)
    filters: tuple[int, int] = (6, 16)
    side: int = 3  # pixels of a filter
    padding: int = 1
    hidden: tuple[int, int] = (120, 84)

    flat: ClassVar[bool] = False

    arrays = """
    full_accuracy linear_full: seed
    accuracy linear_accuracy: seed dim
    parameters linear_parameters:
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.shown() * (1 + len(self.dims)) * count(self.nets()[0]) * MODULES / 1e9

    def nets(self) -> list[nn.Module]:
        """Return the untrained convolutional nets, one a seed."""
        settings = self.load().classes, self.filters, self.side, self.padding, self.hidden
        return [seeded(lenet, seed, self.image(), *settings) for seed in self.seeds]

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return test accuracies (shares) of both nets, all parameters trained [S] and confined [S, K]."""
        return {
            "accuracy": self.confined(self.nets(), self.dims), "full_accuracy": self.full(self.nets()),
            "linear_accuracy": self.confined(self.plain(), self.dims), "linear_full": self.full(self.plain()),
            "parameters": np.array(count(self.nets()[0])),
            "linear_parameters": np.array(self.plain().parameters_each),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Small(Slices):
    """Nets of few parameters, of many architectures, each trained at several rates of Adam (LAND-8).

    An architecture is told in the words of `layer`; a linear layer to the classes ends each. The rates stand for `lr`.
    """

    architectures: tuple[str, ...] = (
        "avg4", "avg5", "avg4 dense10", "avg5 dense8", "dense3", "avg4 dense8 dense8", "conv1x5 max5", "conv2x5 avg3",
        "conv5x3 max2", "conv3x3 avg4 conv3x3/2", "conv4x3 max4 depth3/2", "conv4x3/2 conv5x3/2 avg1",
    )  # fmt: skip
    rates: tuple[float, ...] = (1e-2, 3e-2, 1e-1)
    most: int = 300  # parameters

    flat: ClassVar[bool] = False

    arrays = """
    validation_accuracy test_accuracy: seed architecture rate
    parameters convolutional: architecture
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.shown() * len(self.rates) * len(self.architectures) * self.most * CALLS / 1e9

    def nets(self, architecture: str) -> list[nn.Module]:
        """Return the untrained nets of an architecture, one a seed; BadInput for one of too many parameters."""
        settings = architecture, self.image(), self.load().classes
        found = [seeded(small_net, seed, *settings) for seed in self.seeds]
        if count(found[0]) > self.most:
            allowed = f"<= {self.most} in all"
            raise BadInput.of(f"parameters of '{architecture}'", count(found[0]), allowed, "Take fewer units.")
        return found

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return validation and test accuracies (shares) [S, architectures, rates], and what each architecture is.

        BadInput for another optimiser than Adam, whose steps alone can be scaled to each net's rate.
        """
        if self.optimizer != "adam":
            raise BadInput.of("optimizer", self.optimizer, "adam", "Small nets train side by side, each at its rate.")
        each = [self.nets(architecture) for architecture in self.architectures]  # refused before any is trained
        sets = [SideBySide(nets, self.rates) for nets in zip(*each, strict=True)]
        counts, parts = np.array([count(nets[0]) for nets in each]), self.parts()
        options = self.options(1.0) | {"loss": summed_loss}
        fit(sets, parts["train"], seeds=self.seeds, **options)
        return {
            "validation_accuracy": np.stack([one.accuracies(parts["validation"]) for one in sets]),
            "test_accuracy": np.stack([one.accuracies(parts["test"]) for one in sets]), "parameters": counts,
            "convolutional": np.array([convolves(architecture) for architecture in self.architectures]),
        }  # fmt: skip


class SideBySide(nn.Module):
    """Nets of some architectures, each at K rates of Adam, trained as one module: in a third of the time.

    What is trained are the moves m [K, P] of all their parameters θ = θ₀ + rate·m: Adam, which does not see the scale
    of a gradient, moves θ at `rate` as it moves m at 1. Nets share no parameter, so none depends on another.
    """

    rates: Tensor
    origin: Tensor

    def __init__(self, nets: Sequence[nn.Module], rates: Sequence[float]):
        super().__init__()
        self.nets = nn.ModuleList(nets).requires_grad_(False)
        self.register_buffer("rates", torch.tensor(rates)[:, None])
        self.register_buffer("origin", torch.cat([values.flatten() for values in self.nets.parameters()]))
        self.moves = nn.Parameter(torch.zeros(len(rates), len(self.origin)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all nets, [N, nets, K, classes]."""
        sizes = [values.numel() for values in self.nets.parameters()]
        moved = iter((self.origin + self.rates * self.moves).split(sizes, 1))
        each = [{name: next(moved).view(-1, *own.shape) for name, own in net.named_parameters()} for net in self.nets]
        found = [
            torch.vmap(functional_call, (None, 0, None))(net, own, (x,))
            for net, own in zip(self.nets, each, strict=True)
        ]
        return torch.stack(found).movedim(2, 0)

    @torch.no_grad()
    def accuracies(self, part: Examples) -> np.ndarray:
        """Return the share of examples that each net gets right, [nets, K]."""
        right = self(part.x).argmax(-1) == part.y[:, None, None]
        found: np.ndarray = right.double().mean(0).numpy()
        return found


def summed_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of outputs [B, nets, K, classes], a mean over the labels y [B] and a sum over nets."""
    nets = outputs[0, ..., 0].numel()
    return nets * functional.cross_entropy(outputs.flatten(0, 2), y.repeat_interleave(nets))


def lenet(
    image: Sequence[int], classes: int, filters: tuple[int, int], side: int, padding: int, hidden: tuple[int, int]
) -> nn.Sequential:
    """Return LeNet for images [C, h, w]: twice a convolution, ReLU and 2 x 2 max-pooling, then three linear layers.

    (LeCun, Bottou, Bengio & Haffner 1998, with the units of Li et al. 2018.) BadInput for images too small for it.
    """
    width = image[-1]
    for _ in filters:
        width = (width + 2 * padding - side + 1) // 2
    if width < 1:
        raise BadInput.of("image", tuple(image), "enough pixels for both convolutions", "Take smaller filters, or pad.")
    first, second = filters
    return nn.Sequential(
        nn.Conv2d(image[0], first, side, padding=padding), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, side, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(second * width**2, hidden[0]), nn.ReLU(), nn.Linear(hidden[0], hidden[1]), nn.ReLU(),
        nn.Linear(hidden[1], classes),
    )  # fmt: skip


@torch.no_grad()
def small_net(architecture: str, image: Sequence[int], classes: int) -> nn.Sequential:
    """Return the net of an architecture for images of a shape [C, h, w]: the layers of its words, and a linear one.

    BadInput for a word that `layer` does not know.
    """
    net, seen = nn.Sequential(), torch.zeros(1, *image)
    for word in architecture.split():
        part = layer(word, seen)
        net.append(part)
        seen = part(seen)
    return net.append(nn.Flatten()).append(nn.Linear(seen.numel(), classes))


def layer(word: str, seen: Tensor) -> nn.Module:
    """Return the layer that a word names for inputs such as `seen`, [1, C, h, w], or [1, features] for dense ones.

    avg4 (max4): means (maxima) of 4 x 4 places; dense10: 10 units; conv5x3/2: 5 filters of 3 x 3 pixels, every second
    place; depth3/2: one such filter for each channel alone. Convolutions pad, and a ReLU follows units and filters.
    BadInput for other words, and for images asked of units.
    """
    found = WORD.fullmatch(word)
    if found is None or (seen.dim() != 4 and found["kind"] != "dense"):
        allowed = "such as avg4, max4, dense10, conv5x3/2 or depth3/2, units last"
        raise BadInput.of("layer", word, allowed, "Write one of these.")
    size, channels = int(found["size"]), seen.shape[1]
    side, stride = int(found["side"] or size), int(found["stride"] or 1)
    if found["kind"] in ("avg", "max"):
        return nn.AdaptiveAvgPool2d(size) if found["kind"] == "avg" else nn.AdaptiveMaxPool2d(size)
    if found["kind"] == "dense":
        return nn.Sequential(nn.Flatten(), nn.Linear(seen.numel(), size), nn.ReLU())
    filters, groups = (size, 1) if found["kind"] == "conv" else (channels, channels)
    return nn.Sequential(nn.Conv2d(channels, filters, side, stride, side // 2, groups=groups), nn.ReLU())


def convolves(architecture: str) -> bool:
    """Return whether an architecture has a convolution."""
    return "conv" in architecture or "depth" in architecture


def count(net: nn.Module) -> int:
    """Return the number of parameters of a net."""
    return sum(values.numel() for values in net.parameters())
