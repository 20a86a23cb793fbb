"""The linear half of double descent: experiments on polynomials, random features and least squares.

A frozen dataclass describes an experiment; `run` carries it out and returns arrays, seeds on the first axis.
The defaults are the profile `laptop`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from torch.nn import functional

from redlib.data.replicates import draw_rows
from redlib.data.sources import Dataset, Split, load
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures import leastsquares
from redlib.measures.leastsquares import Floats

Arrays = dict[str, np.ndarray]
SEEDS = tuple(range(10))
_RESAMPLE = 3  # key of the stream "split"; 0, 1 and 2 belong to redlib.data


@dataclass(frozen=True)
class PolynomialBias:
    """Polynomial ridge regression of sin(3πx/2 + 1), x ~ U[-1, 1], over resampled training sets (DD-0)."""

    degrees: tuple[int, ...] = tuple(range(1, 13))
    n: int = 30
    noise: float = 0.3
    penalty: float = 1e-3  # λ per example, in the orthonormal Legendre basis
    resamples: int = 200
    points: int = 200
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RffSweep:
    """Minimum-norm random Fourier features on images: all sample sizes × feature counts (DD-1, DD-7)."""

    dataset: str = "digits"
    pool: int = 997  # training examples from which each seed draws its own
    tests: int = 800
    shrink: int = 1  # side of the squares of pixels that are averaged
    samples: tuple[int, ...] = (250,)
    counts: tuple[int, ...] = (
        *(13, 25, 50, 75, 100, 125, 150, 175, 200, 225, 240, 250, 260, 275, 300, 350, 400, 500),
        *(750, 1000, 2000, 5000),
    )
    bandwidth: float = 0.5  # in units of the root-mean-square distance between two images
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RffThreshold:
    """Smallest number of random features that fits the training set, for several of its sizes (DD-3)."""

    dataset: str = "digits"
    pool: int = 997
    tests: int = 800
    shrink: int = 1
    samples: tuple[int, ...] = (100, 200, 400, 800)
    tolerance: float = 1e-12  # of the targets' energy; what float64 leaves of a perfect fit
    bandwidth: float = 0.5
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RffSgd:
    """Constant-step SGD beside gradient descent on random features, too few and too many of them (DD-4)."""

    dataset: str = "digits"
    pool: int = 997
    tests: int = 800
    shrink: int = 1
    n: int = 100
    counts: tuple[int, ...] = (25, 500)  # n/4 and 5n
    batch: int = 4
    epochs: int = 400
    bandwidth: float = 0.5
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class IsotropicLeastSquares:
    """Minimum-norm least squares on Gaussian data, to be compared with its closed form (DD-14)."""

    dim: int = 100
    samples: tuple[int, ...] = (20, 40, 60, 80, 90, 97, 100, 103, 110, 120, 150, 200)
    repetitions: int = 500
    noise: float = 0.5
    norm: float = 1.0
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RidgeSweep:
    """Ridge regression on Gaussian data at multiples of the best penalty, dim·noise²/norm² (DD-17)."""

    dim: int = 60
    samples: tuple[int, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 160, 240)
    multiples: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    repetitions: int = 50
    noise: float = 0.5
    norm: float = 1.0
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RffBiasVariance:
    """Bias and variance of minimum-norm random features over resampled images and features (DD-18)."""

    dataset: str = "digits"
    pool: int = 997
    tests: int = 800
    shrink: int = 1
    n: int = 60
    counts: tuple[int, ...] = (6, 12, 24, 36, 48, 60, 75, 100, 150, 300)
    resamples: int = 100
    points: int = 200  # test images used
    bandwidth: float = 0.5
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class Solvability:
    """Random linear systems of every shape and rank, with right sides in the range and without (DD-19)."""

    systems: int = 100
    largest: int = 12  # most rows and most columns
    seeds: tuple[int, ...] = SEEDS


EXPERIMENTS: dict[str, type] = {
    "rff": RffSweep, "samples": RffSweep, "threshold": RffThreshold, "sgd": RffSgd, "polynomial": PolynomialBias,
    "parts": RffBiasVariance, "isotropic": IsotropicLeastSquares, "ridge": RidgeSweep, "systems": Solvability,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Flat:
    """Images x [n, pixels], one-hot labels y [n, classes], root-mean-square distance of two images."""

    x: Floats
    y: Floats
    distance: float


Pictures = RffSweep | RffThreshold | RffSgd | RffBiasVariance


@singledispatch
def run(config: object) -> Arrays:
    """Return an experiment's results by name, seeds first; raises BadInput for an unknown configuration."""
    raise BadInput.of("config", config, "a configuration of this module", "pass for example RffSweep()")


def pictures(config: Pictures) -> Dataset:
    """Return the images of an experiment: the training split is the pool its seeds draw from."""
    return load(config.dataset, n_train=config.pool, n_test=config.tests, flatten=False)


@run.register
def polynomial(config: PolynomialBias) -> Arrays:
    """Return [S, degrees]: bias2, variance (unbiased, from resamples), total (from fresh noisy labels)."""
    return _per_seed(config.seeds, lambda seed: _polynomial_seed(config, seed))


def _polynomial_seed(config: PolynomialBias, seed: int) -> Arrays:
    shape = config.resamples, config.n
    draws, noise = rng(seed, "split"), rng(seed, "noise")
    x = draws.uniform(-1, 1, shape)
    y = _wave(x) + config.noise * noise.standard_normal(shape)
    grid = rng(seed, "eval").uniform(-1, 1, config.points)
    fresh = _wave(grid) + config.noise * noise.standard_normal((config.resamples, config.points))
    found = []
    for degree in config.degrees:
        w = leastsquares.ridge_path(_legendre(x, degree), y[..., None], [config.penalty * config.n])[0]
        predicted = (_legendre(grid, degree) @ w)[..., 0]
        found.append((*leastsquares.bias_variance(predicted, _wave(grid)), ((predicted - fresh) ** 2).mean()))
    bias2, variance, total = np.array(found).T
    return {"bias2": bias2, "variance": variance, "total": total}


def _wave(x: Floats) -> Floats:
    # The phase keeps the target from being odd or even, which would make every second degree useless.
    return np.sin(1.5 * np.pi * x + 1)


def _legendre(x: Floats, degree: int) -> Floats:
    """Return the Legendre polynomials of degrees 0 … degree at x, orthonormal under U[-1, 1]."""
    scale: Floats = np.sqrt(2.0 * np.arange(degree + 1) + 1)
    return scale * np.polynomial.legendre.legvander(x, degree)


@run.register
def rff_sweep(config: RffSweep) -> Arrays:
    """Return [S, samples, counts]: {test, train}_{squared, zero_one} and coefficient_norm.

    Squared errors are Σ over classes of (output - one-hot)², averaged over images; zero-one are fractions.
    """
    data = pictures(config)
    pool, held = (_flat(part, data.classes, config.shrink) for part in (data.train, data.test))
    rows = draw_rows(len(pool.x), max(config.samples), config.seeds).numpy()

    def one(seed: int, own: np.ndarray) -> Arrays:
        bank = _bank(config, pool, max(config.counts), seed)
        train, test = (leastsquares.fourier_features(x, bank) for x in (pool.x[own], held.x))
        y, shape = pool.y[own], (len(config.samples), len(config.counts))
        sizes = itertools.product(config.samples, config.counts)
        cells = [_rff_cell(count, train[:n], y[:n], test, held.y) for n, count in sizes]
        return {name: np.reshape([cell[name] for cell in cells], shape) for name in cells[0]}

    return _stacked([one(seed, own) for seed, own in zip(config.seeds, rows, strict=True)])


def _rff_cell(count: int, train: Floats, train_y: Floats, test: Floats, test_y: Floats) -> dict[str, float]:
    w = leastsquares.min_norm(leastsquares.first(train, count), train_y)
    measured = {"coefficient_norm": float(np.linalg.norm(w))}
    for name, features, y in (("train", train, train_y), ("test", test, test_y)):
        output = leastsquares.first(features, count) @ w
        measured[f"{name}_squared"] = float(((output - y) ** 2).sum(axis=1).mean())
        measured[f"{name}_zero_one"] = float((output.argmax(axis=1) != y.argmax(axis=1)).mean())
    return measured


@run.register
def rff_threshold(config: RffThreshold) -> Arrays:
    """Return the smallest feature count without training error [S, samples], by squared and by 0-1 loss.

    threshold_squared: residual energy <= tolerance × the targets' energy; threshold_zero_one: no image
    misclassified. Every count 1 … n is tried; NaN where even n features leave an error.
    """
    data = pictures(config)
    pool = _flat(data.train, data.classes, config.shrink)
    rows = draw_rows(len(pool.x), max(config.samples), config.seeds).numpy()

    def one(seed: int, own: np.ndarray) -> Arrays:
        features = leastsquares.fourier_features(pool.x[own], _bank(config, pool, max(config.samples), seed))
        found = [_thresholds(features[:n, :n], pool.y[own[:n]], config.tolerance) for n in config.samples]
        squared, zero_one = np.array(found, dtype=np.float64).T
        return {"threshold_squared": squared, "threshold_zero_one": zero_one}

    return _stacked([one(seed, own) for seed, own in zip(config.seeds, rows, strict=True)])


def _thresholds(features: Floats, y: Floats, tolerance: float) -> tuple[float, float]:
    energy, labels = (y**2).sum(), y.argmax(axis=1)
    fits = leastsquares.successive_fits(features, y)
    reached = np.array(
        [(((fit - y) ** 2).sum() <= tolerance * energy, (fit.argmax(axis=1) == labels).all()) for fit in fits]
    )
    squared, zero_one = np.where(reached.any(axis=0), reached.argmax(axis=0), np.nan)
    return float(squared), float(zero_one)


@run.register
def rff_sgd(config: RffSgd) -> Arrays:
    """Return training losses [S, counts, epochs + 1] and the least possible loss [S, counts].

    sgd_loss: after each epoch. gd_excess, gd_excess_steps: gradient descent's loss above the least one after
    as many epochs (one step each) and after as many steps. Each method has its own fastest constant step.
    """
    data = pictures(config)
    pool = _flat(data.train, data.classes, config.shrink)
    rows = draw_rows(len(pool.x), config.n, config.seeds).numpy()
    banks = [_bank(config, pool, max(config.counts), seed) for seed in config.seeds]
    drawn = zip(pool.x[rows], banks, strict=True)
    waves = np.stack([leastsquares.fourier_features(x, bank) for x, bank in drawn])
    orders = np.stack([_orders(seed, config.epochs, config.n) for seed in config.seeds])
    sized = [leastsquares.first(waves, count) for count in config.counts]
    found = [_descents(features, pool.y[rows], orders, config.batch) for features in sized]
    return {name: np.stack([arrays[name] for arrays in found], axis=1) for name in found[0]}


def _orders(seed: int, epochs: int, n: int) -> np.ndarray:
    return rng(seed, "order").permuted(np.tile(np.arange(n), (epochs, 1)), axis=1)


def _descents(features: Floats, y: Floats, orders: np.ndarray, batch: int) -> Arrays:
    epochs = np.arange(orders.shape[1] + 1)
    sgd = leastsquares.sgd_losses(features, y, leastsquares.sgd_step(features, batch), orders, batch)
    slow = 1 / leastsquares.curvature(features)
    by_epoch, least = leastsquares.gd_excess(features, y, slow, epochs)
    by_step, _ = leastsquares.gd_excess(features, y, slow, epochs * (features.shape[1] // batch))
    return {"sgd_loss": sgd, "least_loss": least, "gd_excess": by_epoch, "gd_excess_steps": by_step}


@run.register
def isotropic(config: IsotropicLeastSquares) -> Arrays:
    """Return excess risk |ŵ - w|² over repetitions: mean, standard_error, median [S, samples]."""

    def one(seed: int) -> Arrays:
        x, y, truth = _gaussian(config, seed)
        fits = [leastsquares.min_norm(x[:, :n], y[:, :n]) for n in config.samples]
        excess = _excess(fits, truth)
        error = excess.std(axis=1, ddof=1) / np.sqrt(config.repetitions)
        return {"mean": excess.mean(axis=1), "standard_error": error, "median": np.median(excess, axis=1)}

    return _per_seed(config.seeds, one)


@run.register
def ridge_sweep(config: RidgeSweep) -> Arrays:
    """Return excess risks |ŵ - w|²: ridge [S, samples, multiples, R], ridgeless [S, samples, R].

    A repetition's (of R) smaller samples are the first rows of its larger ones: their differences are paired.
    """
    penalties = np.array(config.multiples) * config.dim * config.noise**2 / config.norm**2

    def one(seed: int) -> Arrays:
        x, y, truth = _gaussian(config, seed)
        sized = [(x[:, :n], y[:, :n]) for n in config.samples]
        ridge = [leastsquares.ridge_path(*pair, penalties) for pair in sized]
        ridgeless = [leastsquares.min_norm(*pair) for pair in sized]
        return {"ridge": _excess(ridge, truth), "ridgeless": _excess(ridgeless, truth)}

    return _per_seed(config.seeds, one)


def _excess(fits: list[Floats], truth: Floats) -> Floats:
    """Return |ŵ - w|² [len(fits), ...] of coefficients [..., dim, 1]."""
    return np.stack([((w - truth) ** 2).sum(axis=(-2, -1)) for w in fits])


def _gaussian(config: IsotropicLeastSquares | RidgeSweep, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return x [R, n, dim] ~ N(0, I), y [R, n, 1] and the true coefficients [dim, 1], for the largest n."""
    shape = config.repetitions, max(config.samples)
    x = rng(seed, "split").standard_normal((*shape, config.dim))
    # The data are rotation-invariant: any direction will do.
    truth = np.full((config.dim, 1), config.norm / np.sqrt(config.dim))
    return x, x @ truth + config.noise * rng(seed, "noise").standard_normal((*shape, 1)), truth


@run.register
def rff_bias_variance(config: RffBiasVariance) -> Arrays:
    """Return bias2, variance [S, counts] and bias2_left_out [S, counts, resamples]; units as in `rff_sweep`.

    Every resample draws its own training images and features. The truth is the one-hot test label: noise in
    the labels is a constant in bias2.
    """
    data = pictures(config)
    train, test = (_flat(part, data.classes, config.shrink) for part in (data.train, data.test))
    truth = test.y[: config.points].ravel()

    def one(seed: int) -> Arrays:
        draws = [_resample(config, seed, r, train, test) for r in range(config.resamples)]
        predicted = np.stack(draws, axis=1)
        bias2, variance = leastsquares.bias_variance(predicted, truth)
        left_out = leastsquares.bias2_left_out(predicted, truth)
        # The means are over points and classes; a squared error is the sum over classes.
        found = {"bias2": bias2, "variance": variance, "bias2_left_out": left_out}
        return {name: values * data.classes for name, values in found.items()}

    return _per_seed(config.seeds, one)


def _resample(config: RffBiasVariance, seed: int, number: int, train: Flat, test: Flat) -> Floats:
    """Return the predictions [counts, points·classes] of one resample."""
    rows = rng(seed, "split", _RESAMPLE, number).permutation(len(train.x))[: config.n]
    bank = _bank(config, train, max(config.counts), seed, number)
    own, others = (leastsquares.fourier_features(x, bank) for x in (train.x[rows], test.x[: config.points]))
    fits = [leastsquares.min_norm(leastsquares.first(own, c), train.y[rows]) for c in config.counts]
    outputs = [leastsquares.first(others, c) @ w for c, w in zip(config.counts, fits, strict=True)]
    return np.reshape(outputs, (len(config.counts), -1))


@run.register
def solvability(config: Solvability) -> Arrays:
    """Return [S, systems]: rows, columns, rank, rank_augmented, residual (relative), generic (0 or 1).

    A generic right side is drawn without regard to the matrix, every other one in its range.
    """
    return _per_seed(config.seeds, lambda seed: _solvability_seed(config, seed))


def _solvability_seed(config: Solvability, seed: int) -> Arrays:
    draw = rng(seed, "init")
    found = []
    for system in range(config.systems):
        rows, columns = draw.integers(1, config.largest + 1, size=2)
        rank = draw.integers(0, min(rows, columns) + 1)
        a = draw.standard_normal((rows, rank)) @ draw.standard_normal((rank, columns))
        generic = system % 2 == 0
        b = draw.standard_normal(rows) if generic else a @ draw.standard_normal(columns)
        found.append((rows, columns, *leastsquares.solvability(a, b), generic))
    names = "rows", "columns", "rank", "rank_augmented", "residual", "generic"
    return dict(zip(names, np.array(found, dtype=np.float64).T, strict=True))


def _flat(part: Split, classes: int, shrink: int) -> Flat:
    images = functional.avg_pool2d(part.x, shrink) if shrink > 1 else part.x
    x = images.flatten(1).double().numpy()
    one_hot = functional.one_hot(part.y, classes).double().numpy()
    return Flat(x, one_hot, float(np.sqrt(2 * x.var(axis=0).sum())))


def _bank(config: Pictures, train: Flat, count: int, seed: int, *key: int) -> leastsquares.Bank:
    return leastsquares.fourier_bank(train.x.shape[1], count, config.bandwidth * train.distance, seed, *key)


def _per_seed(seeds: tuple[int, ...], one: Callable[[int], Arrays]) -> Arrays:
    return _stacked([one(seed) for seed in seeds])


def _stacked(results: list[Arrays]) -> Arrays:
    if not results:
        raise BadInput.of("seeds", (), "at least one seed", "pass one seed for each replicate")
    return {name: np.stack([result[name] for result in results]) for name in results[0]}
