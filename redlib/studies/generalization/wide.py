"""The runs on wide nets with one hidden layer: bad minima, descent's rate and path, and training as a linear model.

Nets have one output and no biases, f(x) = c·Σ_r v_r σ(w_r·x) with m hidden units, and see all examples in each step.
Weights are w [S, m, d] and v [S, m], inputs x [S, n, d], targets y [S, n]. In `TwoLayer` and `Tangent` the units of a
narrow net are, at the start, among those of a wider one of the same seed. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redlib.data.streams import rng
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn
from redlib.experiments.results import Arrays, Labels
from redlib.measures.tangent import gradient_descent, relative_change
from redlib.nets.stacked import VECTOR

_SECOND, _DIRECTIONS = 1, 2  # keys of the streams "init", of the second layer, and "features", of projections


def normals(seeds: Sequence[int], stream: str, *shape: int, key: Sequence[int] = ()) -> Tensor:
    """Return standard normal numbers, each seed its own: float32 [S, *shape]."""
    drawn = np.stack([rng(seed, stream, *key).standard_normal(shape, np.float32) for seed in seeds])
    return torch.from_numpy(drawn)


def signs(seeds: Sequence[int], stream: str, count: int, key: Sequence[int] = ()) -> Tensor:
    """Return ±1 with equal chances, each seed its own: float32 [S, count]."""
    return normals(seeds, stream, count, key=key).sign()


# ---- bad minima ----


@dataclass(frozen=True, kw_only=True)
class LocalMinima(Experiment):
    """Where Adam ends on random labels, with more or fewer first-layer weights than examples (GEN-13).

    Leaky ReLU and squared error, as Soudry and Carmon 2016; `ratios` are first-layer weights per example.
    """

    n: int = 240
    inputs: int = 20
    ratios: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    leak: float = 0.1  # slope of the units below 0
    lr: float = 1e-2
    drop: float = 0.5  # share of training after which the rate is a tenth: else Adam's loss jumps now and then
    steps: int = 3000
    looks: int = 100  # at the loss, evenly spaced, and one before training
    seeds: tuple[int, ...] = tuple(range(20))

    arrays = """
    error: seed ratio
    loss: seed ratio look
    """

    @property
    def widths(self) -> list[int]:
        """Hidden units for each ratio."""
        return [round(ratio * self.n / self.inputs) for ratio in self.ratios]

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.n * self.steps * len(self.seeds) * self.inputs * sum(self.widths) / 1e9

    def points(self) -> Tensor:
        """Return the inputs [S, n, d] of every seed: standard normal."""
        return normals(self.seeds, "features", self.n, self.inputs)

    def begun(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return w [S, d, U], v [S, K, U] and what of v there is, 0 or 1 [K, U], for K ratios.

        The nets of all ratios are one with U hidden units and an output for each net, which sees its own units. Some
        are for nobody: rounding depends on where a block of numbers begins, so each seed's fills whole vectors.
        """
        block = torch.block_diag(*(torch.ones(1, width) for width in self.widths))
        block = functional.pad(block, (0, -block.shape[1] % VECTOR))
        w = normals(self.seeds, "init", block.shape[1], self.inputs).transpose(1, 2).contiguous()
        v = normals(self.seeds, "init", *block.shape, key=[_SECOND])
        return w * (2 / self.inputs) ** 0.5, v * block * block.sum(1, keepdim=True) ** -0.5, block

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the share of training examples answered wrong at the end, and the loss over training."""
        x, y = self.points(), signs(self.seeds, "noise", self.n)[:, None]
        w, v, block = self.begun()
        moments = [torch.zeros(2, *weights.shape) for weights in (w, v)]
        looks, losses = set(np.linspace(0, self.steps, self.looks + 1).astype(int).tolist()), []
        for step in range(self.steps + 1):
            answers, *slopes = leaky_gradient(x, y, w, v, self.leak)
            if step in looks:
                losses.append(((answers - y) ** 2).mean(2))
            if step < self.steps:
                lr = self.lr * (1 if step < self.drop * self.steps else 0.1)
                adam(w, slopes[0], moments[0], step, lr)
                adam(v, slopes[1] * block, moments[1], step, lr)
        return {"error": (answers * y <= 0).double().mean(2).numpy(), "loss": torch.stack(losses, 2).numpy()}


def adam(weights: Tensor, gradient: Tensor, moments: Tensor, step: int, lr: float) -> None:
    """Take one step of Adam in place, number `step` from 0 (Kingma & Ba 2015, with their β and ε).

    Not torch's: that imports its compiler first, which takes as long as all runs of a seed.
    """
    mean, square = moments
    mean.lerp_(gradient, 0.1)
    square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    root = (1 - 0.999 ** (step + 1)) ** 0.5
    weights.addcdiv_(mean, square.sqrt().add_(1e-8 * root), value=-lr * root / (1 - 0.9 ** (step + 1)))


def leaky_gradient(x: Tensor, y: Tensor, w: Tensor, v: Tensor, leak: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the outputs [S, K, n] of leaky ReLU nets, and the gradients of their mean squared errors by w and v.

    w [S, d, U], v [S, K, U], y [S, 1, n]; the errors are added over the K outputs.
    """
    sums = x @ w
    hidden = functional.leaky_relu(sums, leak)
    outputs = v @ hidden.transpose(1, 2)
    delta = (outputs - y) * (2 / y.shape[2])
    back = torch.ops.aten.leaky_relu_backward(delta.transpose(1, 2) @ v, sums, leak, False)
    return outputs, x.transpose(1, 2) @ back, delta @ hidden


@dataclass(frozen=True, kw_only=True)
class LocalMinimaOfImages(Drawn, LocalMinima):
    """The same with images in place of Gaussian inputs: random directions of them, each of variance 1 (GEN-13)."""

    dataset: str = "digits"
    pool: int | None = 1437
    n: int = 240

    def points(self) -> Tensor:
        """Return the inputs [S, n, d] of every seed: its own images, projected, and standardised over them."""
        part = self.parts()["train"]
        images = part.x[part.rows]
        x = images @ normals(self.seeds, "features", images.shape[2], self.inputs, key=[_DIRECTIONS])
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


# ---- descent on wide nets ----


@dataclass(frozen=True, kw_only=True)
class TwoLayer(Experiment):
    """Descent on the first layer of nets of many widths, with one step size (GEN-14, 15, 16; Du et al. 2018, Fig. 1).

    f = m^-½ Σ ±relu(w_r·x), w ~ N(0, I), signs fixed, x uniform on the unit sphere, y ~ N(0, 1); the loss is half
    the SUM of squared errors, as in the paper.
    """

    n: int = 100
    inputs: int = 100
    widths: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096)
    rate: float = 0.5
    steps: int = 60
    compared: float = 0.01  # of the first loss, at which widths are compared
    looks: int = 20  # at patterns and distances, evenly spaced, and one before training
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = """
    loss: seed width step
    pattern_change switching_units max_distance: seed width
    pattern_changes max_distances: seed width look
    """

    @property
    def labels(self) -> Labels:
        """Widths, and the steps of the looks."""
        return {"width": self.widths, "look": tuple(np.linspace(0, self.steps, self.looks + 1).astype(int).tolist())}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.n * self.steps * len(self.seeds) * self.inputs * sum(self.widths) / 1e9

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the loss before each step and at the end, and how far units went and states changed.

        pattern_change: share of the m·n on-off states that are not those of the start; switching_units: share of units
        of which one is; max_distance: the largest ‖w_r - w_r⁰‖. They are those at the first loss of at most `compared`
        times the first (NaN where it never is), or in the plural, at the looks.
        """
        x = functional.normalize(normals(self.seeds, "features", self.n, self.inputs), dim=2)
        y = normals(self.seeds, "noise", self.n)
        found = [self.descent(x, y, width) for width in self.widths]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def descent(self, x: Tensor, y: Tensor, width: int) -> Arrays:
        """Return the arrays of one width, without its axis."""
        w = normals(self.seeds, "init", width, self.inputs)
        v = signs(self.seeds, "init", width, key=[_SECOND]) * width**-0.5
        start, losses, curves = w.clone(), [], []
        before, there = x @ w.transpose(1, 2) > 0, torch.full((3, len(w)), torch.nan)
        for step in range(self.steps + 1):
            loss, hidden, gradient = first_layer_gradient(x, y, w, v)
            losses.append(loss)
            arrives, looked = there[0].isnan() & (loss <= self.compared * losses[0]), step in self.labels["look"]
            if looked or arrives.any():
                now = moved(w - start, (hidden > 0) != before)
                there = torch.where(arrives, now, there)
                curves += [now[[0, 2]]] * looked
            w.sub_(gradient, alpha=self.rate)
        values = dict(zip(("pattern_change", "switching_units", "max_distance"), there.numpy(), strict=True))
        changes, distances = torch.stack(curves, 2).numpy()
        return {
            "loss": torch.stack(losses, 1).numpy(),
            **values,
            "pattern_changes": changes,
            "max_distances": distances,
        }


def first_layer_gradient(x: Tensor, y: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return half the sum of squared errors [S], the hidden units [S, n, m], and the loss's gradient by w."""
    hidden = (x @ w.transpose(1, 2)).relu_()
    error = times(hidden, v) - y
    return 0.5 * (error**2).sum(1), hidden, back(error, v, hidden).transpose(1, 2) @ x


def times(hidden: Tensor, v: Tensor) -> Tensor:
    """Return hidden [S, n, m] times v [S, m]: [S, n]."""
    return (v[:, None] @ hidden.transpose(1, 2))[:, 0]  # a row from the left: ten times as fast as einsum


def back(delta: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """Return the derivatives by what goes into the hidden units [S, n, m], from those by the outputs [S, n]."""
    found: Tensor = torch.ops.aten.threshold_backward(delta[..., None] * v[:, None], hidden, 0)
    return found


def moved(way: Tensor, switched: Tensor) -> Tensor:
    """Return the share of states that switched, that of units that did for some input, and the farthest way: [3, S].

    way [S, m, d] is what was added to the weights, switched [S, n, m] bool.
    """
    units = switched.any(1).double().mean(1)
    return torch.stack([switched.double().mean((1, 2)), units, way.norm(dim=2).max(1).values.double()])


# ---- training as a linear model ----


@dataclass(frozen=True, kw_only=True)
class Tangent(Drawn):
    """Nets beside their linearisation at the start, both layers trained by descent on squared error (GEN-17).

    The target is 1 for an even class and -1 for an odd one, the output is counted from what it was at the start. A net
    "close to linear" is m^-½ Σ v_r relu(w_r·x), one that learns features ("rich") is m^-1 Σ v_r relu(w_r·x) with m
    times the rate, so that in both the output moves as fast at first; all weights are N(0, 1).
    """

    dataset: str = "digits"
    pool: int | None = 1437
    n: int = 200
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    modes: tuple[str, ...] = ("lazy", "rich")
    rate: float = 1.0
    steps: int = 300  # at most
    compared: float = 0.1  # the mean squared error at which a net stops; it begins at 1
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = "loss steps kernel_change linear_gap test_error linear_test_error: seed mode width"

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        inputs = self.load().train.x.shape[1]
        return self.n * self.steps * len(self.seeds) * inputs * sum(self.widths) * len(self.modes) / 1e9

    def examples(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return inputs and targets to train on, [S, n, d] and [S, n], and to test on, [S, t, d] and [S, t].

        Images less the mean of the pool, of length 1.
        """
        parts, seeds = self.parts(), len(self.seeds)
        train, test, mean = parts["train"], parts["test"], self.load().train.x.mean(0)
        x, other = (functional.normalize(part.x - mean, dim=1) for part in (train, test))
        y, truth = (1.0 - 2 * (part.y % 2) for part in (train, test))
        return x[train.rows], y, other.expand(seeds, -1, -1), truth.expand(seeds, -1)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what the nets of each mode and width are when they stop.

        loss: the mean squared error, after so many steps; kernel_change: of the tangent kernel on the training
        examples, relative to that of the start; linear_gap: the root mean square, over test images, of the difference
        between net and linear model after as many steps, over that of the net; errors are shares.
        """
        examples = self.examples()
        found = [[self.trained(mode, width, *examples) for width in self.widths] for mode in self.modes]
        return {name: np.stack([np.stack([one[name] for one in row], 1) for row in found], 1) for name in found[0][0]}

    def trained(self, mode: str, width: int, x: Tensor, y: Tensor, test: Tensor, truth: Tensor) -> Arrays:
        """Return the arrays of one mode and width, [S]."""
        scale, rate = (width**-0.5, self.rate) if mode == "lazy" else (1 / width, self.rate * width)
        w = normals(self.seeds, "init", width, x.shape[2])
        v = normals(self.seeds, "init", width, key=[_SECOND])
        first, cross, zero = tangents(x, x, w, v, scale), tangents(test, x, w, v, scale), outputs(test, w, v, scale)
        loss, steps = self.descend(x, y, w, v, scale, rate)
        net = (outputs(test, w, v, scale) - zero).double()
        linear = torch.cat([linear_model(first[r], cross[r], y[r], rate, int(k)) for r, k in enumerate(steps)])
        return {
            "loss": loss.numpy(),
            "steps": steps.numpy(),
            "kernel_change": relative_change(tangents(x, x, w, v, scale), first).numpy(),
            "linear_gap": ((net - linear).norm(dim=1) / net.norm(dim=1)).numpy(),
            "test_error": (net * truth <= 0).double().mean(1).numpy(),
            "linear_test_error": (linear * truth <= 0).double().mean(1).numpy(),
        }

    def descend(self, x: Tensor, y: Tensor, w: Tensor, v: Tensor, scale: float, rate: float) -> tuple[Tensor, Tensor]:
        """Train in place, each net until its loss is small enough; return loss and number of steps of each, [S]."""
        zero, steps = outputs(x, w, v, scale), torch.zeros(len(w))
        for step in range(self.steps + 1):
            loss, gradients = gradient(x, y + zero, w, v, scale)
            goes = (loss > self.compared) & (step < self.steps)
            if not goes.any():
                break
            steps += goes
            for weights, own in zip((w, v), gradients, strict=True):
                weights -= rate * own * goes.view(-1, *[1] * (own.dim() - 1))
        return loss, steps


def outputs(x: Tensor, w: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return the outputs of the nets [S, n]."""
    return scale * times((x @ w.transpose(1, 2)).relu_(), v)


def gradient(x: Tensor, y: Tensor, w: Tensor, v: Tensor, scale: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the mean squared errors [S], and their gradients by w and v."""
    hidden = (x @ w.transpose(1, 2)).relu_()
    error = scale * times(hidden, v) - y
    delta = error * (2 * scale / y.shape[1])
    return (error**2).mean(1), (back(delta, v, hidden).transpose(1, 2) @ x, (delta[:, None] @ hidden)[:, 0])


def tangents(x: Tensor, other: Tensor, w: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return the tangent kernel by w and v of inputs x with other ones [S, k, d]: [S, n, k].

    It is what `redlib.measures.tangent.kernel` gives, without its Jacobians.
    """
    one, two = ((part @ w.transpose(1, 2)).relu_() for part in (x, other))
    first = (one.sign() * v[:, None] ** 2) @ two.sign().transpose(1, 2)
    return scale**2 * (first * (x @ other.transpose(1, 2)) + one @ two.transpose(1, 2))


def linear_model(kernel: Tensor, cross: Tensor, y: Tensor, rate: float, steps: int) -> Tensor:
    """Return the outputs [1, k] at other points of a linear model that begins at 0, after steps of descent.

    kernel [n, n], cross [k, n], y [n].
    """
    begin, other, targets = torch.zeros(1, len(y), 1), torch.zeros(1, len(cross), 1), y[:, None]
    found = gradient_descent(kernel[None], begin, targets, rate, [steps], cross[None], other)
    return found[:, 0, :, 0]
