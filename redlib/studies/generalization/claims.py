"""What the runs of the study on generalisation say of each claim: one function a claim, parts and gate together.

Runs are `Results`; what comes out is one number a seed, [S]. A slope is that of a straight line through log2 of a
quantity over log2 of the width, for each seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from redlib.evidence.claims import Finding
from redlib.evidence.stats import Interval, clopper_pearson, linear_r2, slope_per_seed
from redlib.experiments.results import Results

Floats = np.ndarray
LAST = -1


def power(x: Floats, y: Floats) -> Floats:
    """Return the power with which y [S, X] goes as x [X], for each seed [S]; NaN where some y is 0 or NaN."""
    some = np.where(np.asarray(y) > 0, y, np.nan)
    return slope_per_seed(np.log2(x), np.log2(some), allow_censored=True)


def power_of_width(run: Results, name: str) -> Floats:
    """Return `power` of a quantity [S, widths] of a run over its widths."""
    return power(np.asarray(run.labels["width"], float), run[name])


# ---- GEN-13 to GEN-17: wide nets ----

TOP, FLOOR = 0.9, 1e-6  # of the first loss: between these descent is judged


def gen_13(gaussian: Results, images: Results, examples: int) -> Finding:
    """Training ends without an error in every run with twice as many weights as points or more, else it need not.

    Intervals are exact, of the share of seeds. The gate: at each ratio that is judged nine in ten runs are `at_rest`;
    each run has so many `examples`.
    """
    parts: dict[str, Interval] = {
        "success_at_ratio_quarter": success(gaussian, 0.25),
        "success_at_ratio_1": success(gaussian, 1.0),
        "success_at_ratio_2": success(gaussian, 2.0),
        "success_at_ratio_4": success(gaussian, 4.0),
        "success_at_ratio_2_images": success(images, 2.0),
    }
    judged = [gaussian.at(ratio=ratio) for ratio in (0.25, 2.0, 4.0)] + [images.at(ratio=2.0)]
    rests = min(at_rest(run["loss"], examples) for run in judged)
    return Finding("GEN-13", parts, {"descent_at_rest": rests >= 0.9})


def success(run: Results, ratio: float) -> Interval:
    """Return the exact interval of the share of runs that end without a training error at a ratio."""
    errors = run.at(ratio=ratio)["error"]
    return clopper_pearson(int((errors == 0).sum()), len(errors))


def at_rest(loss: Floats, examples: int) -> float:
    """Return the share of runs whose mean squared error [S, looks] fell by less than 1% in the last tenth.

    Or came below 1 over the number of examples: then none can be wrong, now or later, and the loss goes on to 0.
    """
    before, end = loss[:, round(0.9 * (loss.shape[1] - 1))], loss[:, LAST]
    return float(((end > 0.99 * before) | (end < 1 / examples)).mean())


def gen_14(run: Results) -> Finding:
    """The training loss shrinks by a constant factor per step (`log_loss_r2`), and by more in wider nets.

    `rate_width_slope` is the power of the factor's logarithm; `log2_late_over_early_rate` compares the halves of the
    fall. Curves are cut to `fall`.
    """
    curves = run["loss"]
    parts = {
        "log_loss_r2": each(lambda curve: linear_r2(fall(curve)), curves).mean(1),
        "rate_width_slope": power(np.asarray(run.labels["width"], float), each(rate, curves)),
        "log2_late_over_early_rate": each(late_over_early, curves).mean(1),
    }
    return Finding("GEN-14", parts, {"loss_falls_tenfold": tenfold(run)})


def each(measure: Callable[[Floats], float], curves: Floats) -> Floats:
    """Return a number of each curve [S, X, T]: [S, X]."""
    return np.apply_along_axis(measure, 2, curves)


def fall(curve: Floats) -> Floats:
    """Return the log of a loss [T] from the first that is at most TOP of the start to the last that is above FLOOR."""
    share = curve / curve[0]
    begin, below = int((share <= TOP).argmax()), share < FLOOR
    end = int(below.argmax()) if below.any() else len(share)
    return np.log(share[begin:end])


def rate(curve: Floats) -> float:
    """Return how far the log loss of a curve [T] falls per step, by least squares over its `fall`."""
    logs = fall(curve)
    return float(-slope_per_seed(np.arange(len(logs)), logs[None])[0])


def late_over_early(curve: Floats) -> float:
    """Return log2 of the rate in the lower half of the `fall` of the log loss over that in the upper half."""
    logs = fall(curve)
    middle = np.interp(-(logs[0] + logs[LAST]) / 2, -logs, np.arange(len(logs)))
    return float(np.log2(middle / (len(logs) - 1 - middle)))


def tenfold(run: Results) -> bool:
    """Return whether in every seed and width the loss [S, widths, T] ends at a tenth of the first or less."""
    return bool((run["loss"][..., LAST] <= 0.1 * run["loss"][..., 0]).all())


def gen_15(run: Results) -> Finding:
    """The share of units' on-off states that are not those of the start falls with the width.

    `as_distance`: as the distance does. `switching_units_slope` counts units of which any state is another.
    """
    parts = {
        "pattern_change_slope": power_of_width(run, "pattern_change"),
        "switching_units_slope": power_of_width(run, "switching_units"),
    }
    return Finding("GEN-15", parts, {"loss_falls_tenfold": tenfold(run)})


def gen_16(run: Results) -> Finding:
    """The farthest way of a unit's weights from the start `shrinks` with the width, `like_root` of it."""
    parts = {"max_distance_slope": power_of_width(run, "max_distance")}
    return Finding("GEN-16", parts, {"loss_falls_tenfold": tenfold(run)})


def gen_17(run: Results) -> Finding:
    """The tangent kernel of wide nets settles (`kernel_settles`, `kernel_like_root`), and they train as linear models.

    Test errors are in points, at the largest width. The gate: every net of both kinds comes down to a tenth of the
    mean squared error that it begins with, which is 1.
    """
    lazy, rich = run.at(mode="lazy"), run.at(mode="rich")
    error, linear, other = (
        100 * values[:, LAST] for values in (lazy["test_error"], lazy["linear_test_error"], rich["test_error"])
    )
    parts = {
        "kernel_change_slope": power_of_width(lazy, "kernel_change"),
        "linearised_gap_slope": power_of_width(lazy, "linear_gap"),
        "kernel_change_slope_rich": power_of_width(rich, "kernel_change"),
        "linear_minus_net_test_error": linear - error,
        "lazy_minus_rich_test_error": error - other,
    }
    return Finding("GEN-17", parts, {"loss_falls_tenfold": bool((run["loss"] <= 0.1).all())})
