"""From the curves of the net experiments to one number a seed for each part of a claim.

Apart from the runs, so that a change here makes no stored result stale. Errors go in as shares and come out in
percentage points; every array is [S]. A threshold is the smallest width whose training error is at most EPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from redlib.evidence.peaks import Peak, crossfit_epochwise, crossfit_peak, threshold_width
from redlib.evidence.stats import slope_per_seed
from redlib.studies.double_descent_linear import Arrays
from redlib.studies.double_descent_nets import WidthSweep, parameters

EPS = 0.02
Floats = np.ndarray


def last(results: Arrays, name: str = "test_error") -> Floats:
    """Return the curve at the end of training [S, M]; errors in percentage points, losses as they are."""
    return results[name][:, :, -1] * (100 if name.endswith("error") else 1)


def threshold(results: Arrays, widths: Sequence[int], eps: float = EPS, at: int = -1) -> Floats:
    """Return each seed's interpolation threshold [S] (NaN: no width reached it) at probe number `at`."""
    return threshold_width(results["train_error"][:, :, at], widths, eps)


def peak(results: Arrays, widths: Sequence[int], name: str = "test_error") -> Peak:
    """Return the cross-fit peak over widths of a final curve, heights in percentage points for errors."""
    return crossfit_peak(last(results, name), widths)


def adequate(results: Arrays, *peaks: Peak) -> dict[str, bool]:
    """Return the gate of a sweep: its widest net fits the data in every seed, and the halves agree on the peaks."""
    fitted = bool((results["train_error"][:, -1, -1] <= EPS).all())
    return {"widest_net_interpolates": fitted, "halves_agree": all(p.agree for p in peaks)}


def heights(found: Peak) -> dict[str, Floats]:
    """Return height_left and height_right of a peak, for `check`."""
    return {"height_left": found.height_left, "height_right": found.height_right}


def at_paper_scale(results: Arrays, found: Peak) -> dict[str, Floats]:
    """Return the parts that DD-5 adds at paper scale: modern_below_classical (points) and peak_width."""
    error = last(results)
    before = [error[s, found.grid < place].min() for s, place in enumerate(found.peak_per_seed)]
    return {"modern_below_classical": np.array(before) - error[:, -1], "peak_width": found.peak_per_seed}


def one_per_width(runs: Sequence[Arrays]) -> Arrays:
    """Return runs of one width each as one result [S, M, T]."""
    names = [name for name in runs[0] if name != "epochs"]
    return {"epochs": runs[0]["epochs"]} | {name: np.concatenate([run[name] for run in runs], 1) for name in names}


def first(results: Arrays, seeds: int, widths: int) -> Arrays:
    """Return a sweep's first seeds and widths."""
    return {name: values if name == "epochs" else values[:seeds, :widths] for name, values in results.items()}


def tracks(results: Arrays, widths: Sequence[int]) -> tuple[Floats, Floats]:
    """Return (epochs [T'], log2 of the threshold width [S, T']) at the epochs where every seed has a threshold."""
    table = np.stack([threshold(results, widths, at=t) for t in range(len(results["epochs"]))], 1)
    usable = np.isfinite(table).all(0) & (results["epochs"] > 0)
    return results["epochs"][usable], np.log2(table[:, usable])


def trend(success: Floats, multiples: Sequence[int]) -> Floats:
    """Return DD-19: the slope of the share of successes [S, M] on log2 of the student's width."""
    return slope_per_seed(np.log2(multiples), success)


def steps_from_threshold(found: Peak, thresholds: Floats) -> Floats:
    """Return how many grid steps the peak (chosen by the other half) lies above each seed's threshold [S]."""
    grid = list(found.grid)
    known = [np.nan if np.isnan(t) else float(grid.index(t)) for t in thresholds]
    return np.array([grid.index(p) for p in found.peak_per_seed]) - np.array(known)


def parameters_over_labels(found: Peak, config: WidthSweep, inputs: int, classes: int) -> Floats:
    """Return (parameters at the peak) / (classes * n), the position Belkin et al. (2019) predict to be 1 [S]."""
    counts = [parameters(inputs, int(width), classes, config.depth) for width in found.peak_per_seed]
    return np.array(counts) / (classes * config.n)


def epochwise(results: Arrays, width: int) -> tuple[Peak, Floats]:
    """Return the cross-fit fall-rise-fall of one width over epochs >= 1, and t2 / (first epoch with error <= EPS)."""
    epochs = results["epochs"][1:]
    found = crossfit_epochwise(100 * results["test_error"][:, width, 1:], epochs)
    return found, found.peak_per_seed / threshold_width(results["train_error"][:, width, 1:], epochs, EPS)


def slope_over_samples(by_n: Mapping[int, Arrays], widths: Sequence[int]) -> Floats:
    """Return the slope of log(threshold width) on log n [S] (NaN where a threshold lies beyond the grid)."""
    sizes = sorted(by_n)
    table = np.stack([threshold(by_n[n], widths) for n in sizes], 1)
    return slope_per_seed(np.log(sizes), np.log(table), allow_censored=True)


def slope_over_epochs(results: Arrays, widths: Sequence[int]) -> Floats:
    """Return the slope of log(threshold width) on log(epochs) [S] (see `tracks`).

    NaN (censored) where there are not two such epochs.
    """
    epochs, found = tracks(results, widths)
    if len(epochs) < 2:
        return np.full(len(found), np.nan)
    return slope_per_seed(np.log2(epochs), found)


def log_ratio(later: Floats, earlier: Floats) -> Floats:
    """Return log2(later / earlier) of two widths per seed [S], paired by position over the seeds both have."""
    count = min(len(later), len(earlier))
    return np.log2(later[:count] / earlier[:count])


def at_width(results: Arrays, widths: Sequence[int], wanted: Floats) -> Floats:
    """Return each seed's final test error in percentage points at its own width `wanted` [S]."""
    columns = [list(widths).index(int(width)) for width in wanted]
    return last(results)[np.arange(len(columns)), columns]


def complexity(by_n: Mapping[int, Arrays], grids: Mapping[int, Sequence[int]], wanted: Floats, eps: float) -> Floats:
    """Return the effective model complexity [S]: the largest n trained to error <= eps at the width `wanted` [S].

    Interpolated in log n between the last n below eps and the first above; NaN where the grid of n does not
    bracket it (Nakkiran et al. 2019, definition 1).
    """
    sizes = sorted(by_n)
    found = np.full(len(wanted), np.nan)
    for s, width in enumerate(wanted):
        known = [n for n in sizes if width in grids[n]]
        errors = [by_n[n]["train_error"][s, list(grids[n]).index(int(width)), -1] for n in known]
        above = next((i for i, error in enumerate(errors) if error > eps), 0)
        if above:
            share = (eps - errors[above - 1]) / (errors[above] - errors[above - 1])
            found[s] = np.exp(np.log(known[above - 1]) + share * np.log(known[above] / known[above - 1]))
    return found


def after_fit(results: Arrays) -> dict[str, Floats]:
    """Return DD-15: gain and worst_regression [S], against the first width with no training error at all.

    Seeds in which no width reaches zero are NaN (censored).
    """
    error, fitted = last(results), results["train_error"][:, :, -1] == 0
    gains, worst = [], []
    for s, fit in enumerate(np.where(fitted.any(1), fitted.argmax(1), -1)):
        wider = error[s, fit + 1 :] - error[s, fit] if 0 <= fit < error.shape[1] - 1 else np.array([np.nan])
        gains.append(wider[-1])
        worst.append(wider.max())
    return {"gain": np.array(gains), "worst_regression": np.array(worst)}


def ensembles(results: Arrays) -> dict[str, Floats]:
    """Return DD-16 for widths (valley, peak, largest): gain_difference in points, and remaining_height_ratio.

    The height is that of the peak above the higher of its two feet; a ratio over all seeds' mean single height
    keeps one flat seed from dividing by almost nothing.
    """
    single, together = 100 * results["member_error"], 100 * results["ensemble_error"]
    gain = single - together
    heights = [e[:, 1] - np.maximum(e[:, 0], e[:, 2]) for e in (single, together)]
    ratio = heights[1] / heights[0].mean()
    return {"gain_difference": gain[:, 1] - gain[:, 2], "remaining_height_ratio": ratio}


def tuned(results: Sequence[Arrays]) -> Floats:
    """Return the final test error in points [S, M] at the penalty with the least validation error, seed by seed."""
    validation = np.stack([last(r, "validation_error") for r in results])
    test = np.stack([last(r) for r in results])
    return np.take_along_axis(test, validation.argmin(0)[None], 0)[0]
