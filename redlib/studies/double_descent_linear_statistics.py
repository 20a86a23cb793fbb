"""From the results of the linear experiments to one number a seed for each part of a claim.

Apart from the runs, so that a change here makes no stored result stale. Every function returns arrays [S].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput
from redlib.evidence.stats import slope_per_seed
from redlib.measures.leastsquares import Floats, isotropic_risk
from redlib.studies.double_descent_linear import (
    Arrays,
    IsotropicLeastSquares,
    PolynomialBias,
    RffBiasVariance,
    RidgeSweep,
)

_FLOOR = 1e-12  # excess losses below this are rounding, and ratios of them would mean nothing
_LEAST_LOSS = 1e-25  # where float64 stops the fall of a loss that starts at 1
_SOLVED = 1e-8  # relative residual of a system that has a solution


def polynomial_statistics(config: PolynomialBias, results: Arrays) -> dict[str, Floats]:
    """Return DD-0: identity_gap, bias_slope, variance_slope (per degree), interior_left, interior_right.

    identity_gap: largest |total/(bias² + variance + noise²) - 1| over degrees. interior_*: total error at the
    first and last degree minus that at the best one, which the other seeds choose (an own minimum is biased).
    """
    bias2, variance, total = (results[name] for name in ("bias2", "variance", "total"))
    gap = np.abs(total / (bias2 + variance + config.noise**2) - 1).max(axis=1)
    seeds = np.arange(len(total))
    best = total[seeds, (total.sum(axis=0) - total).argmin(axis=1)]
    return {
        "identity_gap": gap,
        "bias_slope": slope_per_seed(config.degrees, bias2),
        "variance_slope": slope_per_seed(config.degrees, variance),
        "interior_left": total[:, 0] - best,
        "interior_right": total[:, -1] - best,
    }


def modern_below_classical(error: Floats, counts: ArrayLike, n: int) -> Floats:
    """Return DD-1: the last minus the least error below the threshold n, from error [S, counts].

    Claimed to be < 0. Each seed's own minimum is taken, which favours the classical side.
    """
    return error[:, -1] - error[:, np.asarray(counts) < n].min(axis=1)


def norm_statistics(norm: Floats, counts: ArrayLike, n: int) -> dict[str, Floats]:
    """Return DD-1: norm_peak_over_n, where the coefficient norm [S, counts] is largest, and norm_falls.

    norm_falls = log2(norm at the first count >= n / norm at the last); from the maximum it always falls.
    """
    grid = np.asarray(counts)
    threshold = int(np.argmax(grid >= n))
    return {
        "norm_peak_over_n": grid[norm.argmax(axis=1)] / n,
        "norm_falls": np.log2(norm[:, threshold] / norm[:, -1]),
    }


def rff_slope(threshold: Floats, samples: ArrayLike) -> Floats:
    """Return DD-3: the slope of log threshold [S, samples] on log sample size; 1 claimed."""
    return slope_per_seed(np.log(samples), np.log(threshold))


def sgd_statistics(results: Arrays) -> dict[str, Floats]:
    """Return DD-4: modern_train_loss, modern_linear_r2, classical_excess_ratio, classical_plateau.

    Classical is the first count, modern the last. modern_train_loss: after the last epoch. modern_linear_r2:
    of log loss on epoch, down to the floor of float64. classical_excess_ratio: log2 of SGD's mean excess loss
    over the last quarter of the epochs / gradient descent's final one (the worse of equal epochs and equal
    steps; below 1e-12 counts as 1e-12). classical_plateau: log2 of SGD's excess, third quarter / last.
    """
    modern = results["sgd_loss"][:, -1]
    excess = results["sgd_loss"][:, 0] - results["least_loss"][:, :1]
    third, last = (part.mean(axis=1) for part in np.array_split(excess[:, 1:], 4, axis=1)[2:])
    slow = np.maximum(results["gd_excess"][:, 0], results["gd_excess_steps"][:, 0])[:, -1]
    return {
        "modern_train_loss": modern[:, -1],
        "modern_linear_r2": np.array([_linear_r2(loss) for loss in modern]),
        "classical_excess_ratio": np.log2(np.maximum(last, _FLOOR) / np.maximum(slow, _FLOOR)),
        "classical_plateau": np.log2(np.maximum(third, _FLOOR) / np.maximum(last, _FLOOR)),
    }


def rff_harm(error: Floats, samples: ArrayLike, count: int) -> Floats:
    """Return DD-7: the error [S, samples] with as many examples as features minus that with half as many.

    Raises BadInput unless `samples` holds both count and count/2.
    """
    sizes = np.asarray(samples).tolist()
    if count not in sizes or count / 2 not in sizes:
        raise BadInput.of("samples", sizes, f"a grid with {count} and {count / 2}", "add both sizes")
    return error[:, sizes.index(count)] - error[:, sizes.index(count / 2)]


def max_abs_z(config: IsotropicLeastSquares, results: Arrays, away: int = 10) -> Floats:
    """Return DD-14: the largest |mean - closed form| / standard error over sizes at least `away` from d."""
    sizes = np.array(config.samples)
    far = np.abs(sizes - config.dim) >= away
    exact = isotropic_risk(sizes, config.dim, config.noise, config.norm)
    z = (results["mean"][:, far] - exact[far]) / results["standard_error"][:, far]
    return np.abs(z).max(axis=1)


def ridge_upward_step_z(config: RidgeSweep, results: Arrays) -> Floats:
    """Return DD-17: the largest step z of the optimally tuned risk as n grows (paired over repetitions)."""
    steps = np.diff(results["ridge"][:, :, config.multiples.index(1.0)], axis=1)
    error = steps.std(axis=-1, ddof=1) / np.sqrt(steps.shape[-1])
    return (steps.mean(axis=-1) / error).max(axis=1)


def best_multiples(config: RidgeSweep, results: Arrays) -> Floats:
    """Return DD-17 (paper): log2 of the multiple of dim·noise²/norm² with the least risk: [S, samples]."""
    return np.log2(config.multiples)[results["ridge"].mean(axis=-1).argmin(axis=-1)]


def bias_variance_statistics(config: RffBiasVariance, results: Arrays, away: float = 0.1) -> dict[str, Floats]:
    """Return DD-18: variance_ratio, bias_fall, bias_upward_step_z.

    variance_ratio: log2 of the variance at n features / at the last count. bias_fall: bias² at the first
    minus at the last count. bias_upward_step_z: largest step of bias² between counts, in jackknife standard
    errors, leaving out counts within `away`·n of n, where the estimate has no finite variance.
    """
    counts = np.array(config.counts)
    far = np.abs(counts - config.n) > away * config.n
    bias2, left_out = results["bias2"], results["bias2_left_out"][:, far]
    change = np.diff(left_out, axis=1)
    error = np.sqrt((config.resamples - 1) * change.var(axis=-1))
    peak = results["variance"][:, config.counts.index(config.n)]
    return {
        "variance_ratio": np.log2(peak / results["variance"][:, -1]),
        "bias_fall": bias2[:, 0] - bias2[:, -1],
        "bias_upward_step_z": (np.diff(bias2[:, far], axis=1) / error).max(axis=1),
    }


def solvability_statistics(results: Arrays) -> dict[str, Floats]:
    """Return DD-19: rank_identity_failures and seed_condition_failures, numbers of systems.

    Failures of "solvable iff rank([A b]) = rank(A)" or, for a generic b, "iff rank(A) = rows"; and systems
    without a solution that meet the source's condition rank(A) <= columns, as all do (erratum E12).
    """
    solvable = results["residual"] < _SOLVED
    identity = solvable != (results["rank_augmented"] == results["rank"])
    full = solvable != (results["rank"] == results["rows"])
    failures = identity | (full & (results["generic"] == 1))
    unsolved = (results["rank"] <= results["columns"]) & ~solvable
    return {
        "rank_identity_failures": failures.sum(axis=1).astype(np.float64),
        "seed_condition_failures": unsolved.sum(axis=1).astype(np.float64),
    }


def _linear_r2(loss: Floats) -> float:
    """Return R² of a straight line through log loss, from the first epoch to the floor."""
    end = int(np.argmax(loss < _LEAST_LOSS)) or len(loss)
    return float(np.corrcoef(np.arange(1, end), np.log(loss[1:end]))[0, 1] ** 2)
