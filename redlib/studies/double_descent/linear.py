"""The runs of the linear half of double descent: polynomials, random features, least squares on Gaussian data.

Errors of images are `leastsquares.scores`: squared ones are sums over classes, averaged over images; zero-one errors
are shares in [0, 1]. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from torch.nn import functional

from redlib.data.replicates import draw_rows
from redlib.data.streams import rng
from redlib.experiments.lab import Data, Parts
from redlib.experiments.results import Arrays
from redlib.experiments.seedwise import Seedwise
from redlib.measures import leastsquares
from redlib.measures.leastsquares import Bank, Floats

_RESAMPLE = 3  # key of the stream "split"; 0, 1 and 2 belong to redlib.data


@dataclass(frozen=True, kw_only=True)
class PolynomialBias(Seedwise):
    """Polynomial ridge regression of sin(3πx/2 + 1), x ~ U[-1, 1], over resampled training sets (DD-0)."""

    degrees: tuple[int, ...] = tuple(range(1, 13))
    n: int = 30
    noise: float = 0.3
    penalty: float = 1e-3  # λ per example, in the orthonormal Legendre basis
    resamples: int = 200
    points: int = 200

    arrays = "bias2 variance total: seed degree"

    def one(self, seed: int) -> Arrays:
        """Return bias2, variance (unbiased, from resamples) and total (from fresh noisy labels), [degrees]."""
        draws, noise = rng(seed, "split"), rng(seed, "noise")
        x = draws.uniform(-1, 1, (self.resamples, self.n))
        y = _wave(x) + self.noise * noise.standard_normal(x.shape)
        grid = rng(seed, "eval").uniform(-1, 1, self.points)
        fresh = _wave(grid) + self.noise * noise.standard_normal((self.resamples, self.points))
        found: list[Any] = []
        for degree in self.degrees:
            predicted = leastsquares.polynomial_fits(x, y, degree, self.penalty, grid)
            found.append((*leastsquares.bias_variance(predicted, _wave(grid)), ((predicted - fresh) ** 2).mean()))
        return self.named(found)


def _wave(x: Floats) -> Floats:
    # The phase keeps the target from being odd or even, which would make every second degree useless.
    return np.sin(1.5 * np.pi * x + 1)


@dataclass(frozen=True, kw_only=True)
class Images(Data):
    """Images of which squares of pixels are averaged."""

    shrink: int = 1  # side of these squares; images only

    flat: ClassVar[bool] = False

    def parts(self) -> Parts:
        """Return the examples by part, averaged and not flat."""
        return {name: part.with_inputs(self.averaged(part.x)) for name, part in super().parts().items()}

    def averaged(self, x: Tensor) -> Tensor:
        """Return images with their squares averaged."""
        return functional.avg_pool2d(x, self.shrink) if self.shrink > 1 else x


@dataclass(frozen=True, kw_only=True)
class Features(Images, Seedwise):
    """Minimum-norm random Fourier features (Rahimi & Recht 2007); each seed draws images and features of its own."""

    pool: int | None = 997  # training images from which each seed draws
    tests: int | None = 800
    bandwidth: float = 0.5  # in units of the root-mean-square distance between two images

    def pictures(self, name: str = "train") -> tuple[Floats, Floats]:
        """Return images [n, pixels] and one-hot labels [n, classes] of a part."""
        part = self.parts()[name]
        return part.x.flatten(1).double().numpy(), functional.one_hot(part.y, self.load().classes).double().numpy()

    def drawn(self, seed: int, n: int, count: int) -> tuple[Bank, Floats, Floats]:
        """Return a seed's bank, the features [n, count] of its own images, and their labels."""
        x, y = self.pictures()
        own = draw_rows(len(x), n, [seed]).numpy()[0]
        bank = leastsquares.bank_for(x, count, self.bandwidth, seed)
        return bank, leastsquares.fourier_features(x[own], bank), y[own]


@dataclass(frozen=True, kw_only=True)
class RffSweep(Features):
    """All sample sizes x feature counts (DD-1, DD-7)."""

    samples: tuple[int, ...] = (250,)
    counts: tuple[int, ...] = (
        *(13, 25, 50, 75, 100, 125, 150, 175, 200, 225, 240, 250, 260, 275, 300, 350, 400, 500),
        *(750, 1000, 2000, 5000),
    )

    arrays = "train_squared train_zero_one test_squared test_zero_one coefficient_norm: seed sample count"

    def one(self, seed: int) -> Arrays:
        """Return errors on training and test images, and the norm of the coefficients, [samples, counts]."""
        bank, train, y = self.drawn(seed, max(self.samples), max(self.counts))
        x, test_y = self.pictures("test")
        test = leastsquares.fourier_features(x, bank)
        cells = [
            leastsquares.fit_scores(
                leastsquares.first(train[:n], count), y[:n], leastsquares.first(test, count), test_y
            )
            for n, count in product(self.samples, self.counts)
        ]
        return {name: each.reshape(len(self.samples), -1) for name, each in self.named(cells).items()}


@dataclass(frozen=True, kw_only=True)
class RffThreshold(Features):
    """Smallest number of random features that fits the training set, for several of its sizes (DD-3)."""

    samples: tuple[int, ...] = (100, 200, 400, 800)
    tolerance: float = 1e-12  # of the targets' energy; what float64 leaves of a perfect fit

    arrays = "threshold_squared threshold_zero_one: seed sample"

    def one(self, seed: int) -> Arrays:
        """Return the smallest count without training error [samples], by both losses (`fewest_columns`)."""
        _, features, y = self.drawn(seed, max(self.samples), max(self.samples))
        return self.named([leastsquares.fewest_columns(features[:n, :n], y[:n], self.tolerance) for n in self.samples])


@dataclass(frozen=True, kw_only=True)
class RffSgd(Features):
    """Constant-step SGD beside gradient descent on random features, too few and too many of them (DD-4)."""

    n: int = 100
    counts: tuple[int, ...] = (25, 500)  # n/4 and 5n
    batch: int = 4
    epochs: int = 400

    arrays = """
        sgd_loss gd_excess gd_excess_steps: seed count epoch
        least_loss: seed count
        """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return `leastsquares.descents`, after each epoch from 0 on; all seeds take a step at once."""
        _, features, y = zip(*(self.drawn(seed, self.n, max(self.counts)) for seed in self.seeds), strict=True)
        rows = np.tile(np.arange(self.n), (self.epochs, 1))
        orders = np.stack([rng(seed, "order").permuted(rows, axis=1) for seed in self.seeds])
        every, targets = np.stack(features), np.stack(y)
        sized = [leastsquares.first(every, count) for count in self.counts]
        found = [leastsquares.descents(each, targets, orders, self.batch) for each in sized]
        return {name: np.stack([arrays[name] for arrays in found], 1) for name in found[0]}


@dataclass(frozen=True, kw_only=True)
class RffBiasVariance(Features):
    """Bias and variance over resampled images and features; the truth is the test image's one-hot label (DD-18).

    Noise in the labels is a constant in the bias.
    """

    n: int = 60
    counts: tuple[int, ...] = (6, 12, 24, 36, 48, 60, 75, 100, 150, 300)
    resamples: int = 100
    points: int = 200  # test images used

    arrays = """
        bias2 variance: seed count
        bias2_left_out: seed count resample
        """

    def one(self, seed: int) -> Arrays:
        """Return bias2, variance [counts] and the bias² without each resample, in turn, [counts, resamples]."""
        pool, (x, y) = self.pictures(), self.pictures("test")
        draws = [self._resample(seed, number, *pool, x[: self.points]) for number in range(self.resamples)]
        predicted, truth = np.stack(draws, 1), y[: self.points].ravel()
        bias2, variance = leastsquares.bias_variance(predicted, truth)
        found = {"bias2": bias2, "variance": variance, "bias2_left_out": leastsquares.bias2_left_out(predicted, truth)}
        # The means are over points and classes; a squared error is the sum over classes.
        return {name: values * y.shape[1] for name, values in found.items()}

    def _resample(self, seed: int, number: int, x: Floats, y: Floats, points: Floats) -> Floats:
        """Return the predictions [counts, points * classes] of one resample: its own images, and its own features."""
        rows = rng(seed, "split", _RESAMPLE, number).permutation(len(x))[: self.n]
        bank = leastsquares.bank_for(x, max(self.counts), self.bandwidth, seed, number)
        own, others = (leastsquares.fourier_features(each, bank) for each in (x[rows], points))
        return leastsquares.nested_predictions(own, y[rows], others, self.counts)


@dataclass(frozen=True, kw_only=True)
class Gaussian(Seedwise):
    """Least squares on Gaussian data of several sizes, without a penalty (DD-14), or with some as well.

    Smaller samples are the first rows of larger ones: differences are paired. Penalties are multiples of the best one,
    dim·noise²/norm².
    """

    dim: int = 100
    samples: tuple[int, ...] = (20, 40, 60, 80, 90, 97, 100, 103, 110, 120, 150, 200)
    multiples: tuple[float, ...] = ()
    repetitions: int = 500
    noise: float = 0.5
    norm: float = 1.0

    arrays = """
        ridgeless: seed sample repetition
        ridge: seed sample multiple repetition
        """

    def one(self, seed: int) -> Arrays:
        """Return excess risks |ŵ - w|²: ridgeless [samples, R], and with multiples ridge [samples, multiples, R]."""
        shape = self.repetitions, max(self.samples), self.dim
        x, y, truth = leastsquares.isotropic(seed, shape, self.noise, self.norm)
        pairs = [(x[:, :n], y[:, :n]) for n in self.samples]
        found = {"ridgeless": leastsquares.excess_risk([leastsquares.normal_solution(*pair) for pair in pairs], truth)}
        if self.multiples:
            penalties = np.array(self.multiples) * self.dim * self.noise**2 / self.norm**2
            ridge = [leastsquares.ridge_path(*pair, penalties) for pair in pairs]
            found["ridge"] = leastsquares.excess_risk(ridge, truth)
        return found


@dataclass(frozen=True, kw_only=True)
class RidgeSweep(Gaussian):
    """Gaussian data with penalties around the best one (DD-17)."""

    dim: int = 60
    samples: tuple[int, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 160, 240)
    multiples: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    repetitions: int = 50


@dataclass(frozen=True, kw_only=True)
class Solvability(Seedwise):
    """Random linear systems of every shape and rank, with right sides in the range and without (DD-19)."""

    systems: int = 100
    largest: int = 12  # most rows and most columns

    arrays = "rows columns rank rank_augmented residual generic: seed number"

    def one(self, seed: int) -> Arrays:
        """Return shape, ranks, relative residual and kind of each of a seed's systems, [systems].

        A generic (1) right side is drawn without regard to the matrix, every other one in its range (0).
        """
        draw, found = rng(seed, "init"), []
        for system in range(self.systems):
            a, b = leastsquares.random_system(draw, self.largest, system % 2 == 0)
            found.append((*a.shape, *leastsquares.solvability(a, b), float(system % 2 == 0)))
        return self.named(found)
