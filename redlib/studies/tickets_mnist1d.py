"""The lottery-ticket protocol of the public MNIST-1D project (Greydanus & Kobak 2020), to compare our numbers with.

It differs from our own protocol in almost everything: a residual net with 500 units, Adam at 0.02, batches in one fixed
order, masks over weights and biases of a layer together, a linear schedule of sparsities. Two things save time and
change nothing: a random mask is drawn anew at every sparsity, so only the sparsities that are reported are trained;
and a retrain whose accuracy is not reported ends where its magnitudes are read, at the notebook's last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import torch
from torch import Tensor

from redlib.data.readers import generate_mnist1d
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.losses import output_delta
from redlib.pruning.allocation import Shapes, keep, random_masks, shapes_of
from redlib.pruning.masks import Tensors, dense
from redlib.training import Adam
from redlib.training.optimisers import Update

Arrays = dict[str, np.ndarray]
EVALUATE_EVERY = 100  # steps between two looks at the test set; the first comes after one step
GENERATOR_SEED = 42  # of the data set that the authors publish

PUBLISHED = {
    "dense": (60.6, 66.4, 61.4, 64.8), "dense_mean": (57.5, 57.5, 57.7, 58.4),
    "magnitude": ((72.9, 75.6, 69.2), (72.1, 74.4, 70.5)), "magnitude_mean": ((66.7, 68.4, 65.4), (66.4, 66.3, 64.9)),
    "random": ((68.6, 60.6, 55.9), (66.3, 61.8, 54.6)), "random_mean": ((61.6, 55.2, 50.4), (61.0, 56.1, 49.3)),
}  # fmt: skip
"""The two trials (rows) that the authors' notebook prints at the default sparsities, in the names and units of `run`.

The dense net was trained once in each arm of each trial, from the same weights: what differs is the arithmetic of
their GPU, so its range is the noise of a single run.
"""


@dataclass(frozen=True)
class Greydanus:
    """Magnitude and random masks against the dense net on MNIST-1D; the defaults are the authors' protocol."""

    sparsities: tuple[float, ...] = (0.80, 0.92, 0.95)  # reported; each is the nearest point of the schedule
    retrains: int = 100  # points of the linear schedule from sparsity 0 to 1
    stride: int = 1  # every stride-th point of the schedule is trained, and all that are reported; 1: the protocol
    hidden: int = 500
    lr: float = 2e-2
    batch: int = 100
    updates: int = 1501  # until the accuracy that is reported
    scored: int = 1001  # until the magnitudes are read: the last checkpoint that the authors keep
    n: int = 4000
    tests: int = 1000
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        points = self.reported
        if not (points and points[0] > 0 and points[-1] < self.retrains - 1 and len({*points}) == len(points)):
            allowed = f"different points inside a schedule of {self.retrains}"
            raise BadInput.of("sparsities", self.sparsities, allowed, "Pass fractions CUT; 0, dense, is always run.")
        if self.stride < 1 or not 1 <= self.scored <= self.updates:
            found = self.stride, self.scored, self.updates
            raise BadInput.of("stride, scored, updates", found, ">= 1, and scored <= updates", "Correct them.")
        if self.n < self.batch or self.batch < 1 or self.tests < 1 or (self.n + self.tests) % 10:
            found = self.n, self.batch, self.tests
            allowed = "n >= batch >= 1, tests >= 1, n + tests in tens"
            raise BadInput.of("n, batch, tests", found, allowed, "The ten classes are equally large.")

    @property
    def reported(self) -> tuple[int, ...]:
        """The points of the schedule nearest to the sparsities asked for."""
        return tuple(sorted(round(s * (self.retrains - 1)) for s in self.sparsities))

    @property
    def points(self) -> tuple[int, ...]:
        """The points of the schedule that are trained, 0 (dense) first."""
        return tuple(sorted({*range(0, self.reported[-1], self.stride), *self.reported}))

    def sparsity(self, point: int) -> float:
        """Return the fraction cut at a point of the linear schedule."""
        return point / (self.retrains - 1)

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first."""
        full = 2 * len(self.reported) + 1
        updates = full * self.updates + (len(self.points) - len(self.reported) - 1) * self.scored
        return len(self.seeds) * updates * self.batch * self.hidden**2


class ResidualMLP(StackedMLP):
    """R nets h = relu(W1 x + b1), out = W3 (h + relu(W2 h + b2)) + b3; masks cover the biases.

    Masks and what they act on are [R, out, in + 1]: the last column is the bias.
    """

    def joined(self) -> Tensors:
        """Return views of weights and bias of each layer side by side, layer1… -> [R, out, in + 1]."""
        triples = zip(self.blocks, self.sizes[:-1], self.sizes[1:], strict=True)
        return {f"layer{i}": block[:, :out, : fan_in + 1] for i, (block, fan_in, out) in enumerate(triples, 1)}

    def apply_masks(self, masks: Sequence[Tensor | None]) -> None:
        """Set masks [R, out, in + 1] (True = kept) and zero the weights and biases that they cut."""
        for mask, values in zip(masks, self.joined().values(), strict=True):
            if mask is not None:
                values.mul_(mask)
        self.masks = list(masks)

    def gate(self) -> Tensor | None:
        """Return the masks in the layout of `flat` (1 where an optimiser may write), or None when dense."""
        if not self.masks:
            return None
        gate = torch.ones_like(self.flat)
        for view, mask in zip(self.views(gate), self.masks, strict=True):
            if mask is not None:
                view[:, : mask.shape[1], : mask.shape[2]] = mask.to(gate.dtype)
        return gate

    def hidden(self, x: Tensor) -> list[Tensor]:
        """Return [x, h, h + relu(W2 h + b2), logits], each [R, B, units]; x is padded or not, shared or not."""
        x = x if x.dim() == 3 else x.expand(self.replicates, *x.shape)
        x = x if x.shape[2] == self.blocks[0].shape[2] else self.pad(x)
        h, branch, logits = self._pass(x)
        return [layer[..., :n] for layer, n in zip((x, h, h + branch, logits), self.sizes, strict=True)]

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        """Set `out` to beta * out + scale * gradient of the mean batch loss; return the losses [R], as StackedMLP."""
        h, branch, logits = self._pass(x)
        losses = output_delta(logits[..., : self.sizes[-1]], y, loss, scale)
        above = torch.bmm(logits, self.blocks[2])  # logits hold their derivative now
        inner = torch.ops.aten.threshold_backward(above, branch, 0)
        below = torch.baddbmm(above, inner, self.blocks[1])  # the skip connection hands `above` on
        below = torch.ops.aten.threshold_backward(below, h, 0)
        below[..., self.sizes[1]] = 0.0
        for target, delta, inputs in zip(self.views(out), (below, inner, logits), (x, h, h + branch), strict=True):
            torch.baddbmm(target, delta.transpose(1, 2), inputs, beta=beta, out=target)
        return losses

    def _pass(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = (block.transpose(1, 2) for block in self.blocks)
        h = torch.bmm(x, first).relu_()
        h[..., self.sizes[1]] = 1.0  # the constant unit; it is zero in the branch and so stays 1 in the sum
        branch = torch.bmm(h, second).relu_()
        return h, branch, torch.bmm(h + branch, third)


@dataclass(frozen=True)
class Data:
    """Padded inputs [1, n, d padded] and labels [1, n], to train on and (t of them) to test on."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


def run(config: Greydanus) -> Arrays:
    """Return test accuracies in %, seeds first: dense [S], magnitude and random [S, L] at `sparsity` [L] (cut).

    They are those after the last update, which the notebook prints as last_acc; `<arm>_mean` are the means over the
    looks at the test set every 100 updates (its mean_acc), far less noisy. `path` [S, P]: magnitude masks at every
    trained point `path_sparsity` [P] of the schedule, after `scored` updates.
    """
    seeds = [_one_seed(config, seed) for seed in config.seeds]
    levels = {
        "sparsity": np.array([config.sparsity(point) for point in config.reported]),
        "path_sparsity": np.array([config.sparsity(point) for point in config.points]),
    }
    return levels | {name: np.stack([arrays[name] for arrays in seeds]) for name in seeds[0]}


def net_of(config: Greydanus, seed: int) -> ResidualMLP:
    """Return the dense net of one seed (R = 1), weights and biases uniform in +-1/sqrt(fan in) as torch draws them."""
    net = ResidualMLP.create((40, config.hidden, config.hidden, 10), [seed])
    assert isinstance(net, ResidualMLP)
    return net


def examples(config: Greydanus, net: StackedMLP) -> Data:
    """Return the authors' own split: the first n of the generated samples, in their order, and the rest as tests."""
    x, y = (torch.from_numpy(a.copy())[None] for a in generate_mnist1d(config.n + config.tests, GENERATOR_SEED))
    x = net.pad(x)
    return Data(x[:, : config.n], y[:, : config.n], x[:, config.n :], y[:, config.n :])


def kept(shapes: Shapes, sparsity: float) -> dict[str, int]:
    """Return how many weights and biases each layer keeps: n less the whole part of sparsity * n, as the authors do."""
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    return {name: n - int(sparsity * n) for name, n in sizes.items()}


def train(
    config: Greydanus, net: ResidualMLP, initial: Tensor, data: Data, masks: Tensors, full: bool = True
) -> tuple[list[float], Tensors]:
    """Train `net` from its initial weights under masks; return its test accuracies in % and the magnitudes to prune by.

    The accuracies are those after 1, 101, 201, … updates, after `scored` and after the last; the magnitudes are those
    after `scored` updates, where training ends unless `full`.
    """
    net.flat.copy_(initial)
    net.apply_masks(list(masks.values()))
    update = Update(Adam(config.lr), net)
    looks = _advance(config, net, update, data, range(config.scored))
    magnitudes = {name: values.abs() for name, values in net.joined().items()}
    if full:
        looks += _advance(config, net, update, data, range(config.scored, config.updates))
    return looks, magnitudes


def _one_seed(config: Greydanus, seed: int) -> Arrays:
    net = net_of(config, seed)
    shapes = shapes_of(net.joined())
    trained = partial(train, config, net, net.flat.clone(), examples(config, net))
    scores, masks = net.joined(), dense(net.joined())
    path, full = [], []
    for point in config.points:
        masks = keep(scores, kept(shapes, config.sparsity(point)), within=masks)
        looks, scores = trained(masks, full=point in (0, *config.reported))
        path.append(looks[len(_looks(range(config.scored))) - 1])
        full += [looks] if point in (0, *config.reported) else []
    counts = [kept(shapes, config.sparsity(point)) for point in config.reported]
    chance = [trained(random_masks(shapes, count, [seed], key=i))[0] for i, count in enumerate(counts)]
    arms = {"dense": np.array(full[0]), "magnitude": np.array(full[1:]), "random": np.array(chance)}
    means = {f"{arm}_mean": looks.mean(-1) for arm, looks in arms.items()}
    return {arm: looks[..., -1] for arm, looks in arms.items()} | means | {"path": np.array(path)}


def _advance(config: Greydanus, net: ResidualMLP, update: Update, data: Data, steps: range) -> list[float]:
    """Take these steps; return the test accuracies seen on the way, in %."""
    looks, seen = _looks(steps), []
    for step in steps:
        first = step * config.batch % config.n  # always in the same order, never shuffled
        part = slice(first, first + config.batch)
        update.step(data.x[:, part], data.y[:, part], "cross_entropy", config.lr)
        if step in looks:
            seen.append(100 * (net.logits(data.test_x).argmax(-1) == data.test_y).double().mean().item())
    return seen


def _looks(steps: range) -> list[int]:
    """Return the steps (0 is the first) after which the test set is looked at: every 100th, and the last of these."""
    return [step for step in steps if step % EVALUATE_EVERY == 0 or step == steps[-1]]
