"""The claims on double descent: from results to the parts of each check, one number a seed [S], and the gate.

Errors of nets are in percentage points. A threshold is the smallest width whose training error is at most EPS. Where
two results have different numbers of seeds, those that both have are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from redlib.evidence.claims import Finding
from redlib.evidence.peaks import (
    Peak,
    grid_steps,
    judged_best,
    rises_through,
    split_epochwise,
    split_peak,
    threshold_width,
)
from redlib.evidence.stats import linear_r2, log2_ratio, slope_per_seed, z_scores
from redlib.experiments.results import Results
from redlib.measures.leastsquares import Floats, isotropic_risk
from redlib.studies.double_descent.linear import Gaussian, PolynomialBias, RffBiasVariance
from redlib.studies.double_descent.nets import WidthSweep

EPS = 0.02
TOLERANCE = 0.1  # training error of the effective model complexity (Nakkiran et al. 2019, section 5)
EASY = 0.2  # error of the best net on an easy task: a tenth on CIFAR-10, a quarter on CIFAR-100 (from memory)
FLOOR = 1e-12  # excess losses below this are rounding, and ratios of them would mean nothing
LEAST_LOSS = 1e-25  # where float64 stops the fall of a loss that starts at 1
SOLVED = 1e-8  # relative residual of a system that has a solution
Bools = np.ndarray
BySize = Mapping[int, Results]  # sweeps by the number of training examples


# ---- what sweeps of nets share ----


def final(found: Results, name: str = "test_error") -> Floats:
    """Return a curve at the end of training [S, widths]; errors in percentage points, losses as they are."""
    return np.asarray(found[name][..., -1] * (100 if name.endswith("error") else 1))


def threshold(found: Results, eps: float = EPS, at: int = -1) -> Floats:
    """Return each seed's interpolation threshold [S] (NaN: no width reached it) at look number `at`."""
    return threshold_width(found["train_error"][..., at], found.labels["width"], eps)


def peak(found: Results, name: str = "test_error") -> Peak:
    """Return the peak over widths of a final curve, chosen by some seeds and judged by the others."""
    return split_peak(final(found, name), found.labels["width"])


def gate(found: Results) -> dict[str, bool]:
    """Return the gate of a sweep: its widest net fits the data in every seed."""
    return {"widest_net_interpolates": bool((found["train_error"][:, -1, -1] <= EPS).all())}


def heights(found: Peak) -> dict[str, Floats]:
    """Return the two heights of a peak as parts of a check."""
    return {"height_left": found.height_left, "height_right": found.height_right}


def read_off(curves: Floats, grid: Sequence[float], places: Floats) -> Floats:
    """Return curves [S, K] over a positive grid [K] at one place each [S], log-linear; NaN where the place is."""
    x, wanted = np.log(grid), np.log(places)
    return np.array([np.interp(place, x, curve) for place, curve in zip(wanted, curves, strict=True)])


def at_fit(found: Results) -> Floats:
    """Return the last test error at each seed's threshold [S]."""
    return read_off(final(found), found.labels["width"], threshold(found))


def risen(found: Results) -> Floats:
    """Return how far the judges' test error at their threshold lies above that of the best smaller net [J].

    Smaller are the widths below all thresholds; other seeds choose the best of them.
    """
    smaller = (np.array(found.labels["width"]) < np.fmin.reduce(threshold(found))).sum()
    best = -judged_best(-final(found)[:, : max(smaller, 1)])
    return at_fit(found)[: len(best)] - best


def continued(reused: Results, fresh: Results) -> Results:
    """Return what reusing nets end with at all widths: beyond their threshold they start afresh."""
    own, others = len(reused.labels["width"]), fresh.first(reused.seeds)
    ends = {
        name: np.concatenate([reused[name][..., -1:], others[name][:, own:, -1:]], 1)
        for name in ("test_loss", "train_error")
    }
    return Results(ends, fresh.axes, {"width": fresh.labels["width"]})


def position(config: WidthSweep, found: Peak) -> Floats:
    """Return (parameters at the peak) / (classes * n), which Belkin et al. (2019) predict to be 1."""
    return np.interp(found.peak_per_seed, found.grid, [config.over_labels(int(width)) for width in found.grid])


def tracks(found: Results) -> tuple[Floats, Floats]:
    """Return (epochs [T], log2 of the threshold width [S, T]) at the epochs where every seed has a threshold."""
    epochs = np.array(found.labels["epoch"])
    table = np.stack([threshold(found, at=t) for t in range(len(epochs))], 1)
    usable = np.isfinite(table).all(0) & (epochs > 0)
    return epochs[usable], np.log2(table[:, usable])


def complexity(by_n: BySize, grid: Sequence[int], wanted: Floats, eps: float = TOLERANCE) -> Floats:
    """Return the effective model complexity, the largest n trained to error <= eps, at each seed's `wanted` width [S].

    Interpolated in log n between the last n below eps and the first above (Nakkiran et al. 2019, definition 1), and in
    log width between the widths of `grid` around; NaN where the sizes do not bracket it.
    """
    table = np.array([[_largest_fitted(by_n, width, s, eps) for width in grid] for s in range(len(wanted))])
    return np.exp(read_off(np.log(table), grid, wanted))


def _largest_fitted(by_n: BySize, width: int, seed: int, eps: float) -> float:
    sizes = [n for n in sorted(by_n) if width in by_n[n].labels["width"]]
    return rises_through([by_n[n].at(width=width)["train_error"][seed, -1] for n in sizes], sizes, eps)


def tuned(plain: Results, decayed: Results) -> Results:
    """Return the last test error at the penalty with the least validation error, by seed and width of `decayed`."""
    seeds, widths = final(decayed).shape
    better = (final(decayed, "validation_error") < final(plain, "validation_error")[:seeds, :widths])[..., None]
    error = np.where(better, decayed["test_error"][..., -1:], plain["test_error"][:seeds, :widths, -1:])
    return Results({"test_error": error}, decayed.axes, {"width": decayed.labels["width"]})


# ---- models we can solve ----


def dd_0(config: PolynomialBias, found: Results) -> Finding:
    """Error splits into bias², variance and noise; bias falls and variance grows with the degree: a U.

    `identity` (`mean_identity_gap`) is total / (bias² + variance + noise²) - 1, the mean over degrees, `identity_gap`
    the largest of its sizes. `interior_left` and `interior_right`: the total error at the first and the last degree
    minus that at the best one, which other seeds choose (an own minimum is biased).
    """
    bias2, variance, total = (found[name] for name in ("bias2", "variance", "total"))
    gap = total / (bias2 + variance + config.noise**2) - 1
    parts = {
        "mean_identity_gap": gap.mean(1),
        "identity_gap": np.abs(gap).max(1),
        "bias_slope": slope_per_seed(config.degrees, bias2),
        "variance_slope": slope_per_seed(config.degrees, variance),
        "interior_left": judged_best(total[:, :1] - total),
        "interior_right": judged_best(total[:, -1:] - total),
    }
    return Finding("DD-0", parts)


def dd_1(found: Results) -> Finding:
    """Random features: a U, a peak at as many features as examples, and a second descent below the best small model.

    `falls_first`: from the smallest model to the valley before the peak. Other seeds choose the best small model.
    `norm_falls` is log2 of the coefficient norm at the first count >= n over that at the last; from the maximum it
    always falls.
    """
    n, counts = found.labels["sample"][0], np.array(found.labels["count"])
    error, norm = (found.at(sample=n)[name] for name in ("test_zero_one", "coefficient_norm"))
    top = split_peak(100 * error, counts)
    parts = heights(top) | {
        "falls_first": top.first_fall,
        "peak_over_n": top.peak_per_seed / n,
        "modern_below_classical": -100 * judged_best(error[:, -1:] - error[:, counts < n]),
        "norm_peak_over_n": counts[norm.argmax(1)] / n,
        "norm_falls": np.log2(norm[:, np.argmax(counts >= n)] / norm[:, -1]),
    }
    return Finding("DD-1", parts)


def dd_4(found: Results) -> Finding:
    """Constant-step SGD is as good as full-batch descent only with more features than examples.

    Classical is the first count, modern the last. `as_fast_by_epoch` (`log2_modern_rate_over_gd_epochs`) and
    `as_fast_by_step` (`log2_modern_rate_over_gd_steps`): SGD's mean `rate` over that of gradient descent.
    `modern_linear_r2` is of log loss on epoch, down to the floor of float64; `classical_excess_ratio` and
    `tenfold_excess` (`log2_excess_over_gradient_descent`) SGD's mean excess loss over the last quarter of the epochs
    against gradient descent's final one, the worse of equal epochs and equal steps.
    """
    modern, slower = found["sgd_loss"][:, -1], (found[name][:, -1] for name in ("gd_excess", "gd_excess_steps"))
    by_epoch, by_step = (np.log2(rate(modern) / rate(each)) for each in slower)
    excess = (found["sgd_loss"] - found["least_loss"][..., None])[:, 0, 1:]
    last = np.array_split(excess, 4, axis=1)[-1].mean(1)
    slow = np.maximum(found["gd_excess"], found["gd_excess_steps"])[:, 0, -1]
    parts = {
        "log2_modern_rate_over_gd_epochs": by_epoch,
        "log2_modern_rate_over_gd_steps": by_step,
        "modern_train_loss": modern[:, -1],
        "modern_linear_r2": np.array(
            [linear_r2(np.log(loss[1 : np.argmax(loss < LEAST_LOSS) or None])) for loss in modern]
        ),
        "log2_excess_over_gradient_descent": np.log2(np.maximum(last, FLOOR) / np.maximum(slow, FLOOR)),
    }
    return Finding("DD-4", parts)


def rate(losses: Floats) -> Floats:
    """Return how fast losses [S, epochs] fall on average, in nats an epoch, until they reach the floor of float64."""
    low = losses < LEAST_LOSS
    end = np.where(low.any(1), low.argmax(1), losses.shape[1] - 1)
    last = np.maximum(losses[np.arange(len(losses)), end], LEAST_LOSS)
    return np.asarray(np.log(losses[:, 0] / last) / end)


def dd_14(config: Gaussian, found: Results) -> Finding:
    """The error of least squares on Gaussian data follows its closed form, at sizes that are `far` from d.

    It falls, rises and falls again: log2 ratios of the median errors at the first size, at the best one below d, which
    other seeds choose, at the one nearest to d and at the last.
    """
    sizes, away = np.array(config.samples), far(config)
    z = z_scores(found["ridgeless"][:, away], isotropic_risk(sizes[away], config.dim, config.noise, config.norm))
    middle = np.log2(np.median(found["ridgeless"], -1))
    top, below = middle[:, np.abs(sizes - config.dim).argmin()], middle[:, sizes < config.dim]
    parts = {
        "falls_first": judged_best(middle[:, :1] - below),
        "rises_to_d": judged_best(top[:, None] - below),
        "falls_beyond_d": top - middle[:, -1],
        "max_abs_z": np.abs(z).max(1),
    }
    return Finding("DD-14", parts)


def far(config: Gaussian) -> Bools:
    """Return which sizes are at least a tenth of d from d: within one of it the mean is infinite."""
    return np.abs(np.array(config.samples) - config.dim) >= config.dim / 10


def dd_18(config: RffBiasVariance, found: Results, away: float = 0.1) -> Finding:
    """The peak is made of variance, while the squared bias only falls.

    `variance_ratio` and `twice` (`log2_variance_ratio`): at n features against the last count. `bias_falls`
    (`bias_worst_step`) is the step of bias² between counts that other seeds find largest, over the first bias²;
    `bias_monotone` (`bias_upward_step_z`) the largest one in jackknife standard errors. Both leave out counts within
    `away`·n of n, where the estimate has no finite variance.
    """
    far = np.abs(np.array(config.counts) - config.n) > away * config.n
    steps = np.diff(found["bias2"][:, far], axis=1)
    error = np.sqrt((config.resamples - 1) * np.diff(found["bias2_left_out"][:, far], axis=1).var(-1))
    parts = {
        "log2_variance_ratio": np.log2(found.at(count=config.n)["variance"] / found["variance"][:, -1]),
        "bias_worst_step": judged_best(steps / found["bias2"][:, :1]),
        "bias_upward_step_z": (steps / error).max(1),
    }
    return Finding("DD-18", parts)


# ---- networks ----


def dd_2(config: WidthSweep, noisy: Results, reused: Results) -> Finding:
    """The test loss of nets peaks where they have as many parameters as numbers to fit; `reused`: see `continued`."""
    fresh, again = (peak(found, "test_loss") for found in (noisy, reused))
    parts = heights(fresh) | {
        "params_at_peak_over_kn": position(config, fresh),
        "reuse_params_at_peak_over_kn": position(config, again),
        "reuse_height_left": again.height_left,
        "reuse_height_right": again.height_right,
    }
    return Finding("DD-2", parts, gate(noisy))


def dd_3(rff: Results, by_n: BySize) -> Finding:
    """The smallest model that fits grows in proportion to the number of examples: slopes of log size on log n."""
    nets = np.stack([threshold(each) for each in by_n.values()], 1)
    parts = {
        "rff_slope": slope_per_seed(np.log(rff.labels["sample"]), np.log(rff["threshold_squared"])),
        "net_slope": slope_per_seed(np.log(list(by_n)), np.log(nets), allow_censored=True),
    }
    return Finding("DD-3", parts)


def dd_5(deep: Results) -> Finding:
    """Deep nets peak where they first fit: the error falls, rises and falls again over the widths.

    `risen_at_first_fit` (`first_fit_minus_valley`) and `high_at_first_fit` (`first_fit_minus_widest`): the error at the
    threshold above the best one before and above the widest net's. `at_threshold` (`grid_steps_above_threshold`) is of
    each seed's own peak.
    """
    top = peak(deep)
    parts = heights(top) | {
        "falls_first": top.first_fall,
        "first_fit_minus_valley": risen(deep),
        "first_fit_minus_widest": at_fit(deep) - final(deep)[:, -1],
        "grid_steps_above_threshold": grid_steps(top.peak_per_seed, top.grid) - grid_steps(threshold(deep), top.grid),
        "modern_below_classical": top.height_right - top.height_left,
        "peak_width": top.peak_per_seed,
    }
    return Finding("DD-5", parts, gate(deep))


def dd_6(noisy: Results) -> Finding:
    """The widest net's test error falls, rises when the training set is fitted, and falls again as it trains.

    `rise_across_fit`: from half the epoch of the fit to twice that epoch, or as near as the looks come.
    """
    error, epochs = 100 * widest(noisy)["test_error"][:, 1:], noisy.labels["epoch"][1:]
    found, fitted = split_epochwise(error, epochs), fitted_at(noisy)
    before, after = (read_off(error, epochs, fitted * times) for times in (0.5, 2))
    parts = {
        "falls_first": found.first_fall,
        "rise": found.height_left,
        "fall": found.height_right,
        "rise_across_fit": after - before,
        "t2_over_interpolation": found.peak_per_seed / fitted,
    }
    return Finding("DD-6", parts, gate(noisy))


def widest(sweep: Results) -> Results:
    """Return the curves of the widest net."""
    return sweep.at(width=sweep.labels["width"][-1])


def fitted_at(sweep: Results) -> Floats:
    """Return the first epoch at which the widest net's training error is at most EPS [S]."""
    return threshold_width(widest(sweep)["train_error"][:, 1:], sweep.labels["epoch"][1:], EPS)


def dd_7(samples: Results, by_n: BySize, n: int) -> Finding:
    """More data can hurt near the threshold: from N/2 to N examples for N features, from n/2 to n for nets."""
    count, top = samples.labels["count"][0], peak(by_n[n])
    half, whole = (samples.at(count=count, sample=size)["test_zero_one"] for size in (count // 2, count))
    fewer, more = (final(by_n[size].at(width=top.n_peak))[: len(top.height_left)] for size in (n // 2, n))
    parts = {"rff_harm": 100 * (whole - half), "net_harm": more - fewer}
    return Finding("DD-7", parts, gate(by_n[n]))


def dd_8(noisy: Results, clean: Results) -> Finding:
    """Label noise makes the peak higher and moves the threshold to larger nets.

    `height_gain` is that of the height above the valley, `height_right_gain` above the widest net.
    """
    top, plain = peak(noisy), peak(clean)
    parts = {
        "height_gain": top.height_left - plain.height_left,
        "height_right_gain": top.height_right - plain.height_right,
        "threshold_shift": log2_ratio(threshold(noisy), threshold(clean)),
    }
    fitted = gate(clean)["widest_net_interpolates"]
    return Finding("DD-8", parts, gate(noisy) | {"widest_net_interpolates_without_noise": fitted})


def dd_9(shifted: Results, noisy: Results) -> Finding:
    """Augmentation moves threshold and peak to larger nets."""
    moved, top = peak(shifted), peak(noisy)
    parts = {
        "threshold_shift": log2_ratio(threshold(shifted), threshold(noisy)),
        "peak_shift": log2_ratio(moved.peak_per_seed, top.peak_per_seed),
    }
    return Finding("DD-9", parts, gate(shifted))


def dd_10(by_n: BySize, n: int) -> Finding:
    """Doubling the number of examples moves the peak to larger nets."""
    once, twice = peak(by_n[n]), peak(by_n[2 * n])
    parts = {"peak_shift": log2_ratio(twice.peak_per_seed, once.peak_per_seed)}
    return Finding("DD-10", parts, gate(by_n[2 * n]))


def dd_11(noisy: Results) -> Finding:
    """Longer training moves the threshold: the slope of its log on log epochs, NaN without two such epochs."""
    epochs, widths = tracks(noisy)
    slope = slope_per_seed(np.log2(epochs), widths) if len(epochs) > 1 else np.full(len(widths), np.nan)
    return Finding("DD-11", {"threshold_time_slope": slope}, gate(noisy))


def dd_12(by_n: BySize, n: int) -> Finding:
    """The test error peaks where the effective model complexity equals the number of examples.

    Each seed has its own peak, so that the interval holds over the place of the peak too. `emc_over_n` at the paper's
    tolerance of training errors, `emc_over_n_at_0p05` and `emc_over_n_at_0p01` at others.
    """
    widths, place = by_n[n].labels["width"], peak(by_n[n]).peak_per_seed
    parts = {
        "emc_over_n": complexity(by_n, widths, place) / n,
        "emc_over_n_at_0p05": complexity(by_n, widths, place, 0.05) / n,
        "emc_over_n_at_0p01": complexity(by_n, widths, place, 0.01) / n,
    }
    return Finding("DD-12", parts, gate(by_n[n]))


def dd_13(clean: Results) -> Finding:
    """Without label noise an easy task has no peak: `first_fit_minus_valley`, see `risen`, is not above 0.

    A task is easy where the best net's error is at most EASY.
    """
    easy = bool(final(clean).mean(0).min() <= 100 * EASY)
    return Finding("DD-13", {"first_fit_minus_valley": risen(clean)}, gate(clean) | {"easy_task": easy})


# ---- what removes the peak, and what lies beyond it ----


def dd_15(clean: Results) -> Finding:
    """From the first width without training error to the widest net the test error falls: `gain` is the change.

    `late_gain` is that over the wider half of these widths. NaN for seeds without a perfect width, or none beyond it.
    """
    error, fitted = final(clean), clean["train_error"][..., -1] == 0
    first, last = fitted.argmax(1), error.shape[1] - 1
    known = fitted.any(1) & (first < last)
    gain, late_gain = (
        np.where(known, error[:, -1] - error[np.arange(len(error)), place], np.nan)
        for place in (first, (first + last) // 2)
    )
    return Finding("DD-15", {"gain": gain, "late_gain": late_gain}, gate(clean))


def dd_16(team: Results) -> Finding:
    """Averaging ten nets helps most at the peak and removes most of it; widths are valley, peak, largest.

    `gain_difference` and `gain_over_valley`: the gain at the peak less that at the largest width, and at the valley.
    The height is that of the peak above the higher of its two feet. `removes_most` (`height_left_minus_half`): what the
    mean nets have of it, less half of the single nets'; `remaining_height_ratio`: over all seeds' mean single height,
    which keeps one flat seed from dividing by almost nothing. Single nets without a peak have nothing to remove.
    """
    single, together = 100 * team["member_error"], 100 * team["ensemble_error"]
    gain = single - together
    alone, left = (error[:, 1] - np.maximum(error[:, 0], error[:, 2]) for error in (single, together))
    parts = {
        "gain_difference": gain[:, 1] - gain[:, 2],
        "gain_over_valley": gain[:, 1] - gain[:, 0],
        "height_left_minus_half": left - alone / 2,
        "remaining_height_ratio": left / alone.mean(),
    }
    return Finding("DD-16", parts, gate(team) | {"single_nets_peak": bool(alone.mean() > 0)})


def dd_17(ridge: Results, nets: Results, plain: Results) -> Finding:
    """With the best penalty more data never hurt, and nets that are `tuned` have less of a peak than plain ones.

    `ridge_worst_step` is log2 of the step of the risk, as n grows, that other seeds find largest;
    `best_penalty_over_theory` the best multiple of the theory's penalty, dim·noise²/norm².
    """
    best = np.array(ridge.labels["multiple"])[ridge["ridge"].mean(-1).argmin(-1)]
    left, before = peak(nets).height_left, peak(plain.first(nets.seeds)).height_left
    parts = {
        "ridge_worst_step": judged_best(np.diff(np.log2(ridge.at(multiple=1.0)["ridge"].mean(-1)), axis=1)),
        "net_height_cut": before - left,
        "net_height_left": left,
        "best_penalty_over_theory": 2 ** np.log2(best).mean(1),
    }
    return Finding("DD-17", parts)


def dd_19(systems: Results, students: Results) -> Finding:
    """Systems are solvable iff rank([A b]) = rank(A), generic ones iff that is all rows; wide students fit more often.

    The source's condition, rank(A) <= columns, is met by all systems (erratum E12).
    """
    solvable, ranks = systems["residual"] < SOLVED, systems["rank"]
    identity = solvable != (systems["rank_augmented"] == ranks)
    generic = (systems["generic"] == 1) & (solvable != (ranks == systems["rows"]))
    parts = {
        "rank_identity_failures": (identity | generic).sum(1).astype(float),
        "success_trend": slope_per_seed(np.log2(students.labels["multiple"]), students["success"]),
    }
    return Finding("DD-19", parts)


def dd_20(noisy: Results, milder: Results) -> Finding:
    """More label noise moves the peak itself to larger nets; with less of it (`milder`) there must be one to move."""
    top, lower = peak(noisy), peak(milder)
    there = bool(min(lower.height_left.mean(), lower.height_right.mean()) > 0)
    move = log2_ratio(top.peak_per_seed, lower.peak_per_seed)
    return Finding("DD-20", {"peak_shift": move}, gate(noisy) | {"peak_with_less_noise": there})
