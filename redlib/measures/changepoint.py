"""Is a statistic constant, a line or a step in x? Least squares for each, compared by the Bayes information criterion.

Values are [S, K]: S runs (seeds) at each of K rising places x. Errors are taken as Gaussian, independent and equally
large everywhere; a part of a run's error that all places share is not modelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redlib.data.numbers import floats, whole
from redlib.data.streams import rng
from redlib.errors import BadInput

Floats = NDArray[np.float64]

RESAMPLED, SINGLE_RUNS, NOISE = 55, 56, 57  # keys of the stream "eval", so that no other draw of a seed repeats these

PARAMETERS = {"constant": 2, "linear": 3, "step": 4}
"""What each model fits: the error variance, and a mean; a mean and a slope; two means and the place of the break."""


@dataclass(frozen=True)
class ChangePoint:
    """The Bayes information criterion of each model (smaller is better), and where the best step is.

    `break_at` is in the unit of x, halfway between two places.
    """

    bic: dict[str, float]
    break_at: float

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
    return ChangePoint(bic, float((at[split - 1] + at[split]) / 2))


def best_of_each(x: ArrayLike, values: ArrayLike) -> dict[str, int]:
    """Return for how many rows of values [S, K], each judged alone, each model is best."""
    best = [compare(x, row[None]).best for row in np.asarray(values, np.float64)]
    return {name: best.count(name) for name in PARAMETERS}


def best_on_noise(x: ArrayLike, draws: int, seed: int) -> dict[str, float]:
    """Return in which share of single runs of pure noise at x [K] each model is best.

    The criterion is made for many values. With few, as when every seed is judged alone, it favours a step.
    """
    at = np.asarray(x, np.float64)
    draws = whole("draws", draws, 1, "a few hundred tell")
    runs = rng(seed, "eval", NOISE).standard_normal((draws, len(at)))
    return {name: count / draws for name, count in best_of_each(at, runs).items()}


def bootstrap_break(x: ArrayLike, values: ArrayLike, draws: int, seed: int) -> Floats:
    """Return where the best step breaks in resamples of whole rows (seeds) of values [S, K]: [draws], in the unit of x.

    Errors as in compare, and for fewer than 2 seeds or no draw.
    """
    at, given = _measured(x, values)
    draws = _check_draws(given, draws)
    rows = rng(seed, "eval", RESAMPLED).integers(0, len(given), (draws, len(given)))
    split = _gains(given[rows].mean(1)).argmax(1)
    return np.asarray((at[split] + at[split + 1]) / 2)


def break_shares(x: ArrayLike, values: ArrayLike, draws: int, seed: int) -> Floats:
    """Return in which share of `bootstrap_break` the step lies in each gap between places: [K - 1]; 0 for one seed."""
    at, given = _measured(x, values)
    if len(given) < 2:
        return np.zeros(len(at) - 1)
    found = bootstrap_break(at, given, draws, seed)
    return np.asarray(np.histogram(found, at)[0] / draws)


def single_run_split_probability(
    values: ArrayLike, below: Sequence[int], size: float, draws: int, seed: int, trend: ArrayLike | float = 0
) -> float:
    """Return how often one run per place shows a split although the places differ by nothing but `trend`.

    A split means that all runs of one side lie at least `size` above all of the other, in either direction. `below`
    are the numbers of places below the splits that count: one number for a place claimed beforehand, several for one
    that was found by looking. The runs are `trend` [K] plus residuals of values [S, K] about the column means, times
    √(S/(S-1)) since means of S runs were taken off. Raises BadInput for fewer than 2 seeds, no draw, a negative size,
    or a split with nothing on one side.
    """
    given = _finite(values)
    draws = _check_draws(given, draws)
    last = given.shape[1] - 1
    if not below or not all(1 <= count <= last and float(count).is_integer() for count in below):
        raise BadInput.of("below", [*below], f"one or more of 1 to {last}", "count the places below each split")
    if not size >= 0:
        raise BadInput.of("size", size, "size >= 0", "state the smallest gap that counts as a split")
    residuals = (given - given.mean(0)) * np.sqrt(len(given) / (len(given) - 1))
    noise = rng(seed, "eval", SINGLE_RUNS).choice(residuals.ravel(), (draws, given.shape[1]))
    rise = floats(trend, "trend")
    if rise.shape not in ((), given.shape[1:]) or not np.isfinite(rise).all():
        raise BadInput.of("trend", trend, f"finite, a number or [{given.shape[1]}]", "pass one value per place")
    runs = np.asarray(noise + rise, np.float64)
    gaps = np.maximum(_rises(runs), _rises(-runs))
    return float((gaps[:, np.array(below, np.int64) - 1] >= size).any(1).mean())


def _rises(runs: Floats) -> Floats:
    """Return by how much the least run above each place exceeds the largest up to it [..., K - 1]."""
    highest, lowest = np.maximum.accumulate(runs, -1), np.minimum.accumulate(runs[..., ::-1], -1)[..., ::-1]
    return np.asarray(lowest[..., 1:] - highest[..., :-1])


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
    if not np.isfinite(mean_square):
        raise BadInput.of("size of the values", np.abs(values).max(), "squares that are finite", "change their unit")
    return float(values.size * np.log(mean_square) + parameters * np.log(values.size))


def _measured(x: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    at, given = floats(x, "x"), _finite(values)
    if at.shape != given.shape[1:] or len(at) < 3 or not np.isfinite(at).all() or not (np.diff(at) > 0).all():
        found = (at.tolist(), given.shape)
        raise BadInput.of("x and shape of values", found, "K >= 3 rising numbers and [S, K]", "sort the columns by x")
    return at, given


def _finite(values: ArrayLike) -> Floats:
    given = floats(values, "values")
    if given.ndim != 2 or not given.size or not np.isfinite(given).all():
        raise BadInput.of("values", given.shape, "finite numbers [S, K]", "leave out seeds with a failed run")
    return given


def _check_draws(values: Floats, draws: int) -> int:
    """Return the number of draws as an integer; BadInput for other numbers, and of seeds."""
    if len(values) < 2:
        raise BadInput.of("number of seeds", len(values), "at least 2", "one run per place says nothing about chance")
    return whole("draws", draws, 1, "a few thousand give a probability to 0.01")
