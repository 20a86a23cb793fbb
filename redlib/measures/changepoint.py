"""Is a statistic constant, a line or a step in x? Least squares for each, compared by the Bayes information criterion.

Values are [S, K]: S runs (seeds) at each of K rising places x. Errors are taken as Gaussian, independent and equally
large everywhere; a part of a run's error that all places share is not modelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redlib.data.streams import rng
from redlib.errors import BadInput

Floats = NDArray[np.float64]

RESAMPLED, SINGLE_RUNS = 55, 56  # keys of the stream "eval", so that no other draw of a seed repeats these

PARAMETERS = {"constant": 2, "linear": 3, "step": 4}
"""What each model fits: the error variance, and a mean; a mean and a slope; two means and the place of the break."""


@dataclass(frozen=True)
class ChangePoint:
    """The Bayes information criterion of each model (smaller is better), and the best step.

    `break_at` is in the unit of x, halfway between two places; `height` is the mean above minus the mean below it.
    """

    bic: dict[str, float]
    break_at: float
    height: float

    @property
    def best(self) -> str:
        """Return the model with the smallest criterion."""
        return min(self.bic, key=self.bic.__getitem__)


def compare(x: ArrayLike, values: ArrayLike) -> ChangePoint:
    """Return how well a constant, a line and a step describe values [S, K] at x [K].

    BIC = n·ln(RSS/n) + p·ln n (Schwarz 1978) with n = S·K for all three and p as in PARAMETERS: the break counts as a
    parameter. Squares below rounding count as rounding. Raises BadInput unless K >= 3, x rises and all is finite.
    """
    at, given = _measured(x, values)
    means = given.mean(0)
    split = int(_gains(means).argmax()) + 1
    centred = at - at.mean()
    line = means.mean() + centred * (centred @ means) / (centred @ centred)
    step = np.repeat([means[:split].mean(), means[split:].mean()], [split, len(at) - split])
    fits = {"constant": np.full(len(at), means.mean()), "linear": line, "step": step}
    bic = {name: _bic(given, fit, PARAMETERS[name]) for name, fit in fits.items()}
    return ChangePoint(bic, float((at[split - 1] + at[split]) / 2), float(step[-1] - step[0]))


def bootstrap_break(x: ArrayLike, values: ArrayLike, draws: int, seed: int) -> Floats:
    """Return where the best step breaks in resamples of whole rows (seeds) of values [S, K]: [draws], in the unit of x.

    Errors as in compare, and for fewer than 2 seeds or no draw.
    """
    at, given = _measured(x, values)
    _check_draws(given, draws)
    rows = rng(seed, "eval", RESAMPLED).integers(0, len(given), (draws, len(given)))
    split = _gains(given[rows].mean(1)).argmax(1)
    return np.asarray((at[split] + at[split + 1]) / 2)


def single_run_split_probability(
    values: ArrayLike, low: Sequence[int], high: Sequence[int], size: float, draws: int, seed: int
) -> float:
    """Return how often one run per place shows a split into `low` and `high` although no place differs from another.

    `low` and `high` are columns of values [S, K], e.g. the rates below and above a claimed break. A split means that
    all of one side lie at least `size` above all of the other, in either direction. The runs are drawn from all
    residuals about the column means, times √(S/(S-1)) since means of S runs were taken off. Raises BadInput for fewer
    than 2 seeds, no draw, a negative size, or sides that are empty, overlap or lie outside of the columns.
    """
    given = _finite(values)
    _check_draws(given, draws)
    _check_sides([*low], [*high], given.shape[1])
    if not size >= 0:
        raise BadInput.of("size", size, "size >= 0", "state the smallest gap that counts as a split")
    residuals = (given - given.mean(0)) * np.sqrt(len(given) / (len(given) - 1))
    runs = rng(seed, "eval", SINGLE_RUNS).choice(residuals.ravel(), (draws, len(low) + len(high)))
    below, above = runs[:, : len(low)], runs[:, len(low) :]
    gap = np.maximum(above.min(1) - below.max(1), below.min(1) - above.max(1))
    return float((gap >= size).mean())


def _gains(means: Floats) -> Floats:
    """Return how much a step after each place but the last takes off the squares of means [..., K]: [..., K - 1]."""
    centred = means - means.mean(-1, keepdims=True)
    count = np.arange(1, means.shape[-1])
    below = centred.cumsum(-1)[..., :-1]
    # Both sides' sums are ± below, so the squares between them are below²·(1/count + 1/(K - count)).
    return np.asarray(below**2 * (1 / count + 1 / count[::-1]))


def _bic(values: Floats, fit: Floats, parameters: int) -> float:
    rounding = np.finfo(np.float64).eps * np.abs(values).max()
    mean_square = max(float(np.square(values - fit).mean()), rounding**2, np.finfo(np.float64).tiny)
    return float(values.size * np.log(mean_square) + parameters * np.log(values.size))


def _measured(x: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    at, given = np.asarray(x, np.float64), _finite(values)
    if at.shape != given.shape[1:] or len(at) < 3 or not np.isfinite(at).all() or not (np.diff(at) > 0).all():
        found = (at.tolist(), given.shape)
        raise BadInput.of("x and shape of values", found, "K >= 3 rising numbers and [S, K]", "sort the columns by x")
    return at, given


def _finite(values: ArrayLike) -> Floats:
    given = np.asarray(values, np.float64)
    if given.ndim != 2 or not given.size or not np.isfinite(given).all():
        raise BadInput.of("values", given.shape, "finite numbers [S, K]", "leave out seeds with a failed run")
    return given


def _check_draws(values: Floats, draws: int) -> None:
    if len(values) < 2:
        raise BadInput.of("number of seeds", len(values), "at least 2", "one run per place says nothing about chance")
    if draws < 1:
        raise BadInput.of("draws", draws, "draws >= 1", "a few thousand give a probability to 0.01")


def _check_sides(low: list[int], high: list[int], columns: int) -> None:
    both = [*low, *high]
    if not low or not high or len({*both}) < len(both) or not {*both} <= {*range(columns)}:
        allowed = f"two disjoint non-empty lists of columns 0..{columns - 1}"
        raise BadInput.of("low and high", (low, high), allowed, "list the columns on each side of the break")
