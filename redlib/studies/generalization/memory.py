"""The runs on memorising: corrupted data, random and diluted labels, regularisers, and gradients of critical weights.

Losses are means, errors shares in [0, 1]. Training errors are counted against the labels a net is told, test errors
against true ones. A seed draws its own examples, corruption and initial net; all arms of a run share them, and the
order of the examples. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.corruptions import VERSIONS, corrupt, dilute_labels, random_labels
from redlib.data.sources import Dataset
from redlib.data.streams import rng, torch_rng
from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn, Training, loaded
from redlib.experiments.results import Arrays, table
from redlib.nets import StackedMLP
from redlib.nets.convnets import seeded
from redlib.nets.ticketnets import Dropout, build
from redlib.studies.generalization.widths import layer_sizes
from redlib.training import Batches, Examples, evaluate

OTHER = 100_000  # added to a seed: its second draw, of validation labels or of an order of the examples
AT_RANDOM = 64  # key of the stream "mask": weights drawn in place of the critical ones
MODULES = 4  # times as long as a stack of MLPs, about, take modules


@dataclass(frozen=True, kw_only=True)
class Watched(Drawn, Training, Experiment):
    """Nets that are trained until they fit, and looked at meanwhile.

    `net` is "mlp", a stack with `hidden` units, or the name of a conv net in `redlib.nets.ticketnets`, of `width`.
    """

    pool: int | None = 1237
    validation: int = 200
    tests: int | None = 360
    n: int | None = 1000
    net: str = "mlp"
    hidden: tuple[int, ...] = (256,)
    width: float = 0.25
    optimizer: str = "sgd"
    lr: float = 0.1
    batch: int = 50
    epochs: int = 80
    looks: int = 36  # at geometrically spaced steps, the last of them the end; 1: at the end alone
    enough: float = 0.01  # a net stays as it is once its training loss is no higher, with no error; 0: never
    seeds: tuple[int, ...] = tuple(range(10))

    normalise: ClassVar[str] = "standard"  # uncentred inputs make random labels take several times as long

    def load(self) -> Dataset:
        """Return the data: rows for MLPs, images for conv nets."""
        sizes = self.pool, self.validation, self.tests
        return loaded(self.dataset, *sizes, self.net == "mlp", self.normalise)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        steps = self.total(self.size) * self.batch
        return super().cost * steps * len(self.seeds) * (1 if self.net == "mlp" else MODULES) / 1e6

    def moments(self, total: int) -> list[int]:
        """Return the steps of the looks at a training of `total` steps."""
        return [int(step) for step in np.unique(np.geomspace(total, 1, self.looks).round())]

    def nets(self, arms: int = 1, **options: Any) -> Any:
        """Return the initial nets of the seeds, equal in all arms: a stack, or a list of modules with `options`."""
        data, seeds = self.load(), self.seeds * arms
        shape = data.train.x.shape
        if self.net == "mlp":
            return StackedMLP.create(layer_sizes(data, self.hidden), seeds)
        options |= {"width": self.width}
        return [build(self.net, seed, data.classes, shape[1], shape[2], **options) for seed in seeds]

    def watched(self, net: Any, train: Examples, sets: dict[str, Examples], seeds: Sequence[int] = ()) -> Arrays:
        """Train nets in place; return steps [T], and losses and errors on the `sets` at the looks, [R, T].

        What stopped early keeps its last values. Stacks have their own seeds, modules those given (as many as nets).
        """
        at = self.moments(self.total(len(train)))
        stop = self.fits if self.enough else None
        arm = {"chunk": len(self.seeds)} if isinstance(net, StackedMLP) else {"seeds": tuple(seeds)}  # arms end apart
        history = self.fit(net, train, evaluate=sets, probe_steps=at, stop=stop, **arm)
        held = {name: np.pad(v, ((0, 0), (0, len(at) - v.shape[1])), "edge") for name, v in history.values.items()}
        return {"steps": np.array(at)} | held

    def fits(self, found: Mapping[str, Tensor]) -> Tensor:
        """Return which nets need no more training, bool [R]."""
        return (found["train_loss"] <= self.enough) & (found["train_error"] == 0)

    def owned(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return the inputs of a part [N, ...], and the rows and true labels that each seed has of them, [S, n]."""
        part = self.parts()[name]
        return part.x, *part.table(len(self.seeds))

    def told(self, name: str, share: float, others: bool, draw: int = 0) -> Tensor:
        """Return labels [S, n] of a part, a share of them drawn anew from all classes, or from the `others`."""
        _, _, y = self.owned(name)
        classes, seeds = self.load().classes, [seed + draw for seed in self.seeds]
        every = [random_labels(own, share, classes, seed, others=others) for own, seed in zip(y, seeds, strict=True)]
        return torch.stack([labels for labels, _ in every])


@dataclass(frozen=True, kw_only=True)
class Corrupted(Watched):
    """One kind of net on the five versions of the data of Zhang et al. (2017), from one initial net of each seed.

    Conv-2 and the MLPs have no BatchNorm. Test images are changed as the training images are, by the same order of
    pixels or new random ones; their labels stay true.
    """

    pool: int | None = 800
    validation: int = 0
    tests: int | None = 997  # as many as are left: what nets guess by luck varies less
    n: int | None = 300
    net: str = "conv2"
    width: float = 0.125
    lr: float = 0.05
    batch: int = 100
    epochs: int = 400  # at most
    versions: tuple[str, ...] = VERSIONS

    arrays = """
    steps: look
    train_loss train_error test_loss test_error: seed version look
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the steps of the looks [T] and the curves [S, versions, T]."""
        return side_by_side([self.on(version, self.nets()) for version in self.versions])

    def on(self, version: str, net: Any) -> Arrays:
        """Train nets of the seeds in place on a version; return the curves [S, T]."""
        train, test = self.changed(version)
        return self.watched(net, train, {"train": train, "test": test}, () if self.net == "mlp" else self.seeds)

    def changed(self, version: str) -> tuple[Examples, Examples]:
        """Return the training and test examples of every seed in a version."""
        (pool, rows, y), test = self.owned("train"), self.load().test
        train = [self._changed(version, pool[r], labels, s) for r, labels, s in zip(rows, y, self.seeds, strict=True)]
        unseen = "true_labels" if version == "random_labels" else version
        tests = [self._changed(unseen, test.x, test.y, s, pool[r]) for r, s in zip(rows, self.seeds, strict=True)]
        return joined(train), joined(tests)

    def _changed(self, version: str, x: Tensor, y: Tensor, seed: int, like: Tensor | None = None) -> Any:
        """Return a seed's images changed; test images come with training images that they are to be `like`."""
        like = like if version == "gaussian" else None
        return corrupt(x, y, self.load().classes, version, seed, part=int(like is not None), like=like)


@dataclass(frozen=True, kw_only=True)
class Relabelled(Watched):
    """MLPs that are told a share of labels drawn at random, from all classes or only from the wrong `others`.

    Validation labels are as noisy. Random labels are nested: those of a share are among those of a larger one.
    """

    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    others: bool = False

    arrays = """
    steps: look
    train_* validation_* test_*: seed share look
    wrong nearest: seed share
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the steps [T], the curves [S, shares, T], and two numbers [S, shares].

        "wrong" is the share of training labels that are, "nearest" the test error of the nearest image's label.
        """
        sets = {"train": self.noisy("train"), "validation": self.noisy("validation", OTHER)}
        train, (_, _, y) = sets["train"], self.owned("train")
        found = self.watched(self.nets(len(self.shares)), train, sets | {"test": self.parts()["test"]})
        wrong = (train.y != y.repeat(len(self.shares), 1)).double().mean(1).numpy()
        answers = train.y.gather(1, self.neighbours().repeat(len(self.shares), 1))
        found |= {"wrong": wrong, "nearest": missed(answers, self.load().test.y)}
        return self.grouped(found, "share")

    def noisy(self, name: str, draw: int = 0) -> Examples:
        """Return a part's examples as they are told, all seeds' at one share after another."""
        x, rows, _ = self.owned(name)
        labels = torch.cat([self.told(name, share, self.others, draw) for share in self.shares])
        return Examples(x, labels, rows.repeat(len(self.shares), 1))

    def neighbours(self) -> Tensor:
        """Return the place among a seed's training images of the one nearest to each test image, int64 [S, m]."""
        x, rows, _ = self.owned("train")
        return torch.stack([nearest(self.load().test.x, x[own]) for own in rows])


@dataclass(frozen=True, kw_only=True)
class Diluted(Watched):
    """MLPs that are told n clean labels, and `alphas` random ones for each of the same images (Rolnick et al. 2017).

    All take equally many steps. Validation labels are diluted alike.
    """

    alphas: tuple[int, ...] = (0, 5, 10, 20)
    optimizer: str = "adam"
    lr: float = 1e-3
    batch: int = 128
    epochs: int = 0
    steps: int = 1000
    looks: int = 16
    enough: float = 0.0
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = """
    steps: look
    validation_* test_*: seed alpha look
    nearest: seed alpha
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the steps [T], curves [S, alphas, T], and the test error of the vote of the nearest image's labels."""
        return side_by_side([self.with_copies(alpha) for alpha in self.alphas])

    def with_copies(self, alpha: int) -> Arrays:
        """Return the curves [S, T] of nets that see `alpha` copies of each example, and the look-up's error [S]."""
        train, validation = self.diluted("train", alpha), self.diluted("validation", alpha, OTHER)
        found = self.watched(self.nets(), train, {"validation": validation, "test": self.parts()["test"]})
        (x, rows, _), test = self.owned("train"), self.load().test
        votes = functional.one_hot(train.y.view(len(rows), 1 + alpha, -1), self.load().classes).sum(1)
        won = votes.numpy().argmax(2)  # NumPy's: the lowest class among equals
        answers = [torch.from_numpy(own)[nearest(test.x, x[r])] for own, r in zip(won, rows, strict=True)]
        return found | {"nearest": missed(torch.stack(answers), test.y)}

    def diluted(self, name: str, alpha: int, draw: int = 0) -> Examples:
        """Return a part's examples and their noisy copies, each seed's own, [S, (1 + alpha) n]."""
        x, rows, y = self.owned(name)
        seeds = [seed + draw for seed in self.seeds]
        every = [dilute_labels(own, alpha, self.load().classes, seed) for own, seed in zip(y, seeds, strict=True)]
        places = torch.stack([each.rows for each in every])
        return Examples(x, torch.stack([each.y for each in every]), rows.gather(1, places))


Arm = tuple[str, float]
"""What is done, and how strongly: decay, dropout (a rate), norm, shift (in pixels), order (of the examples), none."""


@dataclass(frozen=True, kw_only=True)
class Regularised(Watched):
    """Nets with one regulariser each, weakest first, on true or on `random` labels; all train equally long.

    "mlp" is as wide as elsewhere, but of modules, which can drop units or normalise them; its weights are He normal.
    """

    pool: int | None = 600
    validation: int = 400
    tests: int | None = 797
    n: int | None = 300
    random: bool = False
    arms: tuple[Arm, ...] = (
        ("none", 0), ("order", 0), ("decay", 1e-3), ("decay", 1e-2), ("dropout", 0.2), ("dropout", 0.5), ("norm", 0),
        ("shift", 1),
    )  # fmt: skip
    lr: float = 0.05
    batch: int = 100
    epochs: int = 120
    looks: int = 1
    enough: float = 0.0
    seeds: tuple[int, ...] = tuple(range(5))

    flat: ClassVar[bool] = False

    arrays = "train_* validation_* test_*: seed arm"

    def load(self) -> Dataset:
        """Return the data as images, which can be shifted."""
        return loaded(self.dataset, self.pool, self.validation, self.tests, self.flat, self.normalise)

    def nets(self, arms: int = 1, **options: Any) -> list[nn.Module]:
        """Return the initial modules of the seeds; they take an option `dropout`."""
        if self.net != "mlp":
            found: list[nn.Module] = super().nets(arms, **options)
            return found
        data = self.load()
        sizes = layer_sizes(data, self.hidden)
        return [seeded(module_mlp, seed, sizes, seed, **options) for seed in self.seeds * arms]

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses and errors at the end [S, arms], of the training images as they are, without their shifts."""
        found = side_by_side([self.arm(*arm) for arm in self.arms])
        return {name: curves[..., -1] for name, curves in found.items() if name != "steps"}

    def arm(self, kind: str, strength: float) -> Arrays:
        """Return the curves of the nets of one arm [S, T]; BadInput for an unknown kind."""
        known = ("none", "order", "decay", "dropout", "norm", "shift")
        if kind not in known:
            raise BadInput.named("arm", kind, known, "name one of these")
        nets = self.nets(1, **({"dropout": strength} if kind == "dropout" else {}))
        nets = [normed(net.children()) for net in nets] if kind == "norm" else nets
        length = replace(self, weight_decay=strength) if kind == "decay" else self
        seeds = [seed + OTHER * (kind == "order") for seed in self.seeds]
        train = self.examples(int(strength) if kind == "shift" else 0)
        return length.watched(
            nets, train, {"train": train} | {k: self.parts()[k] for k in ("validation", "test")}, seeds
        )

    def examples(self, shift: int = 0) -> Examples:
        """Return the training examples of every seed as told, at each step moved by up to `shift` pixels each way."""
        x, rows, _ = self.owned("train")
        moved = shifted(x, shift)
        return Examples(moved, self.told("train", float(self.random), False), rows, len(moved) // len(x))


@dataclass(frozen=True, kw_only=True)
class Critical(Watched):
    """MLPs told a share `noise` of wrong labels, plain and by CDR (Xia et al. 2021, as in the authors' code).

    At each step the share 1 - noise of weights with the largest |weight x gradient| ("critical"), or as many drawn "at
    random", get their gradient times 1 - noise; the others only decay. Biases keep theirs; all arms decay alike, and
    momentum adds up what is left. In the code, too, weights are ranked anew at each step.
    """

    noise: float = 0.4
    arms: tuple[str, ...] = ("plain", "critical", "at random")
    hidden: tuple[int, ...] = (128,)
    lr: float = 0.02
    weight_decay: float = 1e-3
    batch: int = 32
    epochs: int = 50
    looks: int = 24
    enough: float = 0.0

    arrays = """
    steps: look
    train_error validation_error test_error memorised: seed arm look
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the steps [T], and [S, arms, T] errors and the share of wrong labels answered as told, "memorised"."""
        every = [r for _ in self.arms for r in range(len(self.seeds))]
        train, noisy = (self.examples(*which).select(every) for which in (("train",), ("validation", OTHER)))
        true = self.owned("train")[2][every]
        net, wrong, at = self.nets(len(self.arms)), train.y != true, self.moments(self.total(len(train)))
        seen = [self.look(net, train, wrong, noisy) for step in self.trained(net, train) if step in at]
        found = dict(zip(list(table(self.arrays))[1:], torch.stack(seen, 2).numpy(), strict=True))
        return {"steps": np.array(at)} | self.grouped(found, "arm")

    def examples(self, name: str, draw: int = 0) -> Examples:
        """Return a part's examples of every seed as told, the share `noise` of them wrong."""
        x, rows, _ = self.owned(name)
        return Examples(x, self.told(name, self.noise, True, draw), rows)

    def look(self, net: StackedMLP, train: Examples, wrong: Tensor, noisy: Examples) -> Tensor:
        """Return errors on training, noisy validation and test examples, and the share of `wrong` answered as told."""
        right = answers(net, train) == train.y
        memorised = (right & wrong).sum(1) / wrong.sum(1)
        errors = [evaluate(net, part)["error"] for part in (noisy, self.parts()["test"])]
        return torch.stack([1 - right.double().mean(1), *errors, memorised.double()])

    def trained(self, net: StackedMLP, train: Examples) -> Iterable[int]:
        """Train a stack in place, all seeds' nets of one arm after another; yield the number of steps after each."""
        batches = Batches(train.with_inputs(net.pad(train.x)), net.seeds, self.batch)
        grad, velocity, total = torch.zeros_like(net.flat), torch.zeros_like(net.flat), self.total(len(train))
        for step in range(total):
            net.gradient(*batches.at(step), self.loss, out=grad)
            for number, arm in enumerate(self.arms):
                self.thin(net, grad, arm, slice(number * len(self.seeds), (number + 1) * len(self.seeds)), step)
            velocity.mul_(self.momentum).add_(grad).add_(net.flat, alpha=self.weight_decay)
            net.flat.sub_(velocity, alpha=self.lr * self.schedule()(step, total))
            yield step + 1

    def thin(self, net: StackedMLP, grad: Tensor, arm: str, own: slice, step: int) -> None:
        """Change the gradients of an arm's nets as the arm asks; BadInput for an unknown one."""
        if arm not in ("plain", "critical", "at random"):
            raise BadInput.named("arm", arm, ("plain", "critical", "at random"), "name one of these")
        if arm == "plain":
            return
        weights = [w[own] for w in net.weights]
        views = zip(net.views(grad), weights, strict=True)
        parts = [view[own, : w.shape[1], : w.shape[2]] for view, w in views]
        products = torch.cat([(part * w).abs().flatten(1) for part, w in zip(parts, weights, strict=True)], 1)
        score = products if arm == "critical" else self._drawn(products, step)
        kept = largest(score, 1 - self.noise)
        for part, mask in zip(parts, torch.split(kept, [part[0].numel() for part in parts], 1), strict=True):
            part.mul_(mask.view(part.shape) * (1 - self.noise))

    def _drawn(self, like: Tensor, step: int) -> Tensor:
        count = like.shape[1]
        return torch.from_numpy(np.stack([rng(seed, "mask", AT_RANDOM, step).random(count) for seed in self.seeds]))


def side_by_side(found: Sequence[Arrays]) -> Arrays:
    """Return the curves [S, ...] of several arms as [S, arms, ...], and once the steps [T] that they have in common."""
    joint = {name: np.stack([one[name] for one in found], 1) for name in found[0] if name != "steps"}
    return {"steps": found[0]["steps"]} | joint


def largest(score: Tensor, share: float) -> Tensor:
    """Return which numbers of each row are among its `share` largest, at least one, bool [R, P]; equal ones alike."""
    count = max(1, int(share * score.shape[1]))
    return score >= score.kthvalue(score.shape[1] - count + 1, dim=1, keepdim=True).values


def answers(net: StackedMLP, part: Examples) -> Tensor:
    """Return the classes that nets of a stack answer on their own examples, int64 [R, n]."""
    padded = part.with_inputs(net.pad(part.x))
    return torch.cat([net.logits(x).argmax(2) for x, _ in padded.parts(net.replicates)], 1)


def nearest(x: Tensor, known: Tensor) -> Tensor:
    """Return the row of `known` [n, d] nearest to each row of x [m, d] (Euclidean), the first of equals, int64 [m]."""
    a, b = x.flatten(1).double(), known.flatten(1).double()
    return torch.from_numpy((b.square().sum(1) - 2 * a @ b.T).numpy().argmin(1))


def missed(found: Tensor, y: Tensor) -> np.ndarray:
    """Return the share of answers [R, m] that are not the labels y [m]: [R]."""
    wrong: np.ndarray = (found != y).double().mean(1).numpy()
    return wrong


def joined(parts: Sequence[Any]) -> Examples:
    """Return each seed's own inputs x [n, ...] and labels y [n] as examples with rows [S, n] of one pool."""
    count = len(parts[0].y)
    rows = torch.arange(len(parts) * count).view(-1, count)
    return Examples(torch.cat([part.x for part in parts]), torch.stack([part.y for part in parts]), rows)


def shifted(x: Tensor, most: int) -> Tensor:
    """Return images [N, C, h, w] moved by up to `most` pixels each way, [V N, ...], as they are first.

    The least value of all enters at the edges.
    """
    height, width = x.shape[2:]
    wide = functional.pad(x, [most] * 4, value=float(x.min()))
    moves = sorted(product(range(2 * most + 1), repeat=2), key=lambda at: at != (most, most))
    return torch.cat([wide[:, :, row : row + height, column : column + width] for row, column in moves])


def module_mlp(sizes: Sequence[int], seed: int, dropout: float = 0.0) -> nn.Sequential:
    """Return an MLP that takes images, He normal by torch's global generator; `dropout` draws from `seed`."""
    source = torch_rng(seed, "augment")
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU(), *([Dropout(dropout, source)] if dropout else [])]
    return nn.Sequential(*layers[: -2 if dropout else -1])


def normed(net: Iterable[nn.Module]) -> nn.Sequential:
    """Return the same layers with BatchNorm behind each convolution and each linear layer but the last."""
    layers: list[nn.Module] = []
    plain = list(net)
    for layer in plain:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
        elif isinstance(layer, nn.Linear) and layer is not plain[-1]:
            layers.append(nn.BatchNorm1d(layer.out_features))
    return nn.Sequential(*layers)
