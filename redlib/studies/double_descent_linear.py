"""The linear half of double descent: experiments on polynomials, random features and least squares.

A frozen dataclass describes an experiment, `run` carries it out and returns arrays with the seeds on the first
axis. The defaults are the profile `laptop`.
"""

from __future__ import annotations

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
    """Minimum-norm random Fourier features on images: every sample size with every feature count (DD-1, DD-7)."""

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
    """Constant-step SGD beside gradient descent on random features, with too few and too many of them (DD-4)."""

    dataset: str = "digits"
    pool: int = 997
    tests: int = 800
    shrink: int = 1
    n: int = 100
    counts: tuple[int, ...] = (25, 500)  # n/4 and 5n
    batch: int = 4
    epochs: int = 150
    bandwidth: float = 0.5
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class IsotropicLeastSquares:
    """Minimum-norm least squares on Gaussian data, to be compared with its closed form (DD-14)."""

    dim: int = 100
    samples: tuple[int, ...] = (20, 40, 60, 80, 90, 95, 99, 100, 101, 105, 110, 120, 150, 200, 300)
    repetitions: int = 500
    noise: float = 0.5
    norm: float = 1.0
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RidgeSweep:
    """Ridge regression on Gaussian data at multiples of the best penalty dim·noise²/norm², and none (DD-17)."""

    dim: int = 60
    samples: tuple[int, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 160, 240)
    multiples: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    repetitions: int = 50
    noise: float = 0.5
    norm: float = 1.0
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class RffBiasVariance:
    """Bias and variance of minimum-norm random features that learn a known function from noisy labels (DD-18)."""

    dim: int = 5
    n: int = 60
    counts: tuple[int, ...] = (6, 12, 24, 36, 48, 60, 75, 100, 150, 600)
    noise: float = 0.2
    frequency: float = 2.0  # of the taught function sin(frequency·x·v), x ~ N(0, I), |v| = 1
    bandwidth: float = 0.7
    resamples: int = 100
    points: int = 200
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class Solvability:
    """Random linear systems of every shape and rank, with right sides in the range and without (DD-19)."""

    systems: int = 100
    largest: int = 12  # most rows and most columns
    seeds: tuple[int, ...] = SEEDS


Pictures = RffSweep | RffThreshold | RffSgd


@singledispatch
def run(config: object) -> Arrays:
    """Return the results of one experiment by name, seeds first; raises BadInput for an unknown configuration."""
    raise BadInput.of("config", config, "a configuration of this module", "pass for example RffSweep()")


def pictures(config: Pictures) -> Dataset:
    """Return the images an experiment on random features uses: a pool to draw training sets from, and a test set."""
    return load(config.dataset, n_train=config.pool, n_test=config.tests, flatten=False)


@run.register
def polynomial(config: PolynomialBias) -> Arrays:
    """Return bias2, variance (unbiased, from resamples) and total [S, degrees] (from fresh noisy test labels)."""
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
    return np.polynomial.legendre.legvander(x, degree) * np.sqrt(2 * np.arange(degree + 1) + 1)


@run.register
def rff_sweep(config: RffSweep) -> Arrays:
    """Return [S, samples, counts]: test_squared, test_zero_one, train_squared, train_zero_one, coefficient_norm.

    Squared errors are Σ over classes of (output - one-hot)², averaged over images; zero-one are fractions.
    """
    data = pictures(config)
    pool_x, pool_y, scale = _flat(data.train, config)
    test_x, test_y, _ = _flat(data.test, config)
    rows = draw_rows(len(pool_x), max(config.samples), config.seeds).numpy()

    def one(seed: int, own: np.ndarray) -> Arrays:
        bank = _bank(config, pool_x.shape[1], max(config.counts), seed, scale)
        train, test = (leastsquares.fourier_features(x, bank) for x in (pool_x[own], test_x))
        cells = [
            _rff_cell(leastsquares.first(train[:n], count), pool_y[own[:n]], leastsquares.first(test, count), test_y)
            for n in config.samples
            for count in config.counts
        ]
        shape = len(config.samples), len(config.counts)
        return {name: np.reshape([cell[name] for cell in cells], shape) for name in cells[0]}

    return _stacked([one(seed, own) for seed, own in zip(config.seeds, rows, strict=True)])


def _rff_cell(train: Floats, train_y: Floats, test: Floats, test_y: Floats) -> dict[str, float]:
    w = leastsquares.min_norm(train, train_y)
    measured = {"coefficient_norm": float(np.linalg.norm(w))}
    for name, features, y in (("train", train, train_y), ("test", test, test_y)):
        output = features @ w
        measured[f"{name}_squared"] = float(((output - y) ** 2).sum(axis=1).mean())
        measured[f"{name}_zero_one"] = float((output.argmax(axis=1) != y.argmax(axis=1)).mean())
    return measured


@run.register
def rff_threshold(config: RffThreshold) -> Arrays:
    """Return the smallest feature count without error on the training set [S, samples], by squared and 0-1 loss.

    threshold_squared: residual energy <= tolerance × the targets' energy; threshold_zero_one: no image
    misclassified. Every count 1 … n is tried; NaN where even n features leave an error.
    """
    pool_x, pool_y, scale = _flat(pictures(config).train, config)
    rows = draw_rows(len(pool_x), max(config.samples), config.seeds).numpy()

    def one(seed: int, own: np.ndarray) -> Arrays:
        bank = _bank(config, pool_x.shape[1], max(config.samples), seed, scale)
        features = leastsquares.fourier_features(pool_x[own], bank)
        found = [_thresholds(features[:n, :n], pool_y[own[:n]], config.tolerance) for n in config.samples]
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

    sgd_loss after each epoch; gd_excess and gd_excess_steps: loss above the least one of gradient descent after as
    many epochs (one step each) and after as many steps as SGD took. Each method has its own fastest constant step.
    """
    pool_x, pool_y, scale = _flat(pictures(config).train, config)
    rows = draw_rows(len(pool_x), config.n, config.seeds).numpy()
    banks = [_bank(config, pool_x.shape[1], max(config.counts), seed, scale) for seed in config.seeds]
    features = np.stack(
        [leastsquares.fourier_features(pool_x[own], bank) for own, bank in zip(rows, banks, strict=True)]
    )
    orders = np.stack([_orders(seed, config.epochs, config.n) for seed in config.seeds])
    epochs = np.arange(config.epochs + 1)
    found = [_descents(leastsquares.first(features, c), pool_y[rows], orders, config.batch, epochs) for c in config.counts]
    return {name: np.stack([arrays[name] for arrays in found], axis=1) for name in found[0]}


def _orders(seed: int, epochs: int, n: int) -> np.ndarray:
    return rng(seed, "order").permuted(np.tile(np.arange(n), (epochs, 1)), axis=1)


def _descents(features: Floats, y: Floats, orders: np.ndarray, batch: int, epochs: np.ndarray) -> Arrays:
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
        excess = np.stack([((w - truth) ** 2).sum(axis=(1, 2)) for w in fits])
        error = excess.std(axis=1, ddof=1) / np.sqrt(config.repetitions)
        return {"mean": excess.mean(axis=1), "standard_error": error, "median": np.median(excess, axis=1)}

    return _per_seed(config.seeds, one)


@run.register
def ridge_sweep(config: RidgeSweep) -> Arrays:
    """Return excess risks |ŵ - w|² with repetitions last: ridge [S, samples, multiples, R], ridgeless [S, samples, R].

    A repetition's smaller samples are the first rows of its larger ones, so differences between sizes are paired.
    """
    penalties = np.array(config.multiples) * config.dim * config.noise**2 / config.norm**2

    def one(seed: int) -> Arrays:
        x, y, truth = _gaussian(config, seed)
        sized = [(x[:, :n], y[:, :n]) for n in config.samples]
        ridge = [((leastsquares.ridge_path(*pair, penalties) - truth) ** 2).sum(axis=(2, 3)) for pair in sized]
        ridgeless = [((leastsquares.min_norm(*pair) - truth) ** 2).sum(axis=(1, 2)) for pair in sized]
        return {"ridge": np.stack(ridge), "ridgeless": np.stack(ridgeless)}

    return _per_seed(config.seeds, one)


def _gaussian(config: IsotropicLeastSquares | RidgeSweep, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return x [R, n, dim] ~ N(0, I), y [R, n, 1] and the true coefficients [dim, 1], for the largest n."""
    shape = config.repetitions, max(config.samples)
    x = rng(seed, "split").standard_normal((*shape, config.dim))
    # The data are rotation-invariant: any direction will do.
    truth = np.full((config.dim, 1), config.norm / np.sqrt(config.dim))
    return x, x @ truth + config.noise * rng(seed, "noise").standard_normal((*shape, 1)), truth


@run.register
def rff_bias_variance(config: RffBiasVariance) -> Arrays:
    """Return bias2, variance [S, counts] and bias2_left_out [S, counts, resamples].

    Every resample has its own training inputs, label noise and features; the taught function and the test points
    belong to the seed.
    """
    return _per_seed(config.seeds, lambda seed: _bias_variance_seed(config, seed))


def _bias_variance_seed(config: RffBiasVariance, seed: int) -> Arrays:
    direction = rng(seed, "init").standard_normal(config.dim)
    direction *= config.frequency / np.linalg.norm(direction)
    grid = rng(seed, "eval").standard_normal((config.points, config.dim))
    x = rng(seed, "split").standard_normal((config.resamples, config.n, config.dim))
    y = np.sin(x @ direction) + config.noise * rng(seed, "noise").standard_normal(x.shape[:2])
    # Two draws from N(0, I) are √(2·dim) apart (root mean square): the unit of the bandwidth.
    width = config.bandwidth * np.sqrt(2 * config.dim)
    banks = [leastsquares.fourier_bank(config.dim, max(config.counts), width, seed, r) for r in range(config.resamples)]
    train = np.stack([leastsquares.fourier_features(own, bank) for own, bank in zip(x, banks, strict=True)])
    test = np.stack([leastsquares.fourier_features(grid, bank) for bank in banks])
    found: dict[str, list[Floats]] = {"bias2": [], "variance": [], "bias2_left_out": []}
    for count in config.counts:
        w = leastsquares.min_norm(leastsquares.first(train, count), y[..., None])
        predicted, truth = (leastsquares.first(test, count) @ w)[..., 0], np.sin(grid @ direction)
        bias2, variance = leastsquares.bias_variance(predicted, truth)
        left_out = leastsquares.bias2_left_out(predicted, truth)
        for name, value in zip(found, (bias2, variance, left_out), strict=True):
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


@run.register
def solvability(config: Solvability) -> Arrays:
    """Return [S, systems]: rows, columns, rank, rank_augmented, residual (relative), generic (right side anywhere)."""
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


def _flat(part: Split, config: Pictures) -> tuple[Floats, Floats, float]:
    """Return images [n, pixels] after averaging, one-hot labels [n, classes], and the RMS distance of two images."""
    images = functional.avg_pool2d(part.x, config.shrink) if config.shrink > 1 else part.x
    x = images.flatten(1).double().numpy()
    one_hot = functional.one_hot(part.y, int(part.y.max()) + 1).double().numpy()
    return x, one_hot, float(np.sqrt(2 * x.var(axis=0).sum()))


def _bank(config: Pictures, dim: int, count: int, seed: int, scale: float) -> leastsquares.Bank:
    return leastsquares.fourier_bank(dim, count, config.bandwidth * scale, seed)


def _per_seed(seeds: tuple[int, ...], one: Callable[[int], Arrays]) -> Arrays:
    return _stacked([one(seed) for seed in seeds])


def _stacked(results: list[Arrays]) -> Arrays:
    if not results:
        raise BadInput.of("seeds", (), "at least one seed", "pass one seed for each replicate")
    return {name: np.stack([result[name] for result in results]) for name in results[0]}
