"""What the runs of the study on generalisation say of each claim: one function a claim, parts and gate together.

Runs are `Results`; what comes out is one number a seed, [S]: accuracies and errors in points, shares from 0 to 1, log2
of ratios. A slope is that of a straight line through log2 of a quantity over log2 of the width, for each seed. A "lead"
is what accuracy is above guessing among ten classes. NaN is censored: a run that ended before what was waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from redlib.evidence.claims import Finding
from redlib.evidence.stats import Interval, clopper_pearson, linear_r2, log2_ratio, slope_per_seed
from redlib.experiments.results import Results

Floats = np.ndarray
CHANCE = 10  # accuracy of guessing, in points: every data set of this study has ten classes
LAST = -1
FITTED = 0.005  # share of errors of a net that fits, as the checks have it
LEARNED = 0.01  # of the training examples may be wrong where a net is said to get 99% of them right

# ---- what several claims need ----


def accuracy(error: Floats) -> Floats:
    """Return an accuracy in points, from a share of errors."""
    return 100 * (1 - np.asarray(error))


def test_accuracy(run: Results) -> Floats:
    """Return the test accuracy in points, with the axes of the test error."""
    return accuracy(run["test_error"])


def at_end(run: Results, name: str) -> Floats:
    """Return a curve's last value, [S, ...]."""
    return run[name][..., LAST]


def at_best(run: Results, name: str, judged_by: str) -> Floats:
    """Return a curve's value at the first look at which the curve `judged_by` is least, [S, ...]: early stopping."""
    best = run[judged_by].argmin(-1)[..., None]
    return np.asarray(np.take_along_axis(run[name], best, -1)[..., 0])


def first_time(steps: Floats, errors: Floats, most: float) -> Floats:
    """Return when an error [..., T] first is no more than `most`, by straight lines between looks [T]; NaN if never."""
    met = errors <= most
    at = met.argmax(-1)
    before = np.maximum(at - 1, 0)
    high, low = (np.take_along_axis(errors, place[..., None], -1)[..., 0] for place in (before, at))
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.where(at > 0, (high - most) / (high - low), 1.0)
    return np.where(met.any(-1), steps[before] + way * (steps[at] - steps[before]), np.nan)


def power(x: Floats, y: Floats) -> Floats:
    """Return the power with which y [S, X] goes as x [X], for each seed [S]; NaN where some y is 0 or NaN."""
    some = np.where(np.asarray(y) > 0, y, np.nan)
    return slope_per_seed(np.log2(x), np.log2(some), allow_censored=True)


def power_of_width(run: Results, name: str) -> Floats:
    """Return `power` of a quantity [S, widths] of a run over its widths."""
    return power(np.asarray(run.labels["width"], float), run[name])


# ---- memorising ----


def gen_1(conv: Results, mlp: Results, guessing: Results) -> Finding:
    """Nets fit all five versions of the data, and random labels leave them guessing: `memory.Corrupted` of each net.

    `guessing` are the conv nets on random labels for more seeds: how many they get right by luck varies a lot.
    """
    missed, right = at_end(conv, "train_error"), accuracy(at_end(conv, "test_error"))
    names = list(conv.labels["version"])
    wrong = {name: missed[:, names.index(name)] for name in names}
    tested = {name: right[:, names.index(name)] for name in names}
    original, shuffled = (accuracy(at_end(mlp.at(version=v), "test_error")) for v in ("true_labels", "shuffled_pixels"))
    parts = {
        "unfitted_true_labels": wrong["true_labels"],
        "unfitted_random_labels": wrong["random_labels"],
        "unfitted_shuffled_pixels": wrong["shuffled_pixels"],
        "unfitted_random_pixels": wrong["random_pixels"],
        "unfitted_gaussian_pixels": wrong["gaussian"],
        "random_label_test_accuracy": accuracy(at_end(guessing.at(version="random_labels"), "test_error")),
        "conv_shuffled_minus_original": tested["shuffled_pixels"] - tested["true_labels"],
        "mlp_shuffled_minus_original": shuffled - original,
        "mlp_unfitted_random_labels": at_end(mlp.at(version="random_labels"), "train_error"),
    }
    learned = bool((tested["true_labels"] >= 3 * CHANCE).all() and (original >= 3 * CHANCE).all())
    return Finding("GEN-1", parts, {"true_labels_learned": learned})


def slowdown(run: Results) -> tuple[Floats, Floats]:
    """Return the steps to 99% training accuracy on true and on random labels, [S] each."""
    true, random = (first_time(run["steps"], run.at(share=share)["train_error"], 0.01) for share in (0.0, 1.0))
    return true, random


def gen_2(small: Results, large: Results) -> Finding:
    """Random labels take longer, by a small factor: `memory.Relabelled` on few and on many examples."""
    (true_small, random_small), (true_large, random_large) = slowdown(small), slowdown(large)
    few, many = random_small / true_small, random_large / true_large
    parts = {
        "log2_slowdown_small_n": np.log2(few),
        "log2_slowdown_large_n": np.log2(many),
        "slowdown_small_n": few,
        "slowdown_large_n": many,
        "log2_slowdown_large_over_small_n": np.log2(many / few),
        "unfinished_runs": np.isnan([random_small, random_large]).mean(0),
    }
    return Finding("GEN-2", parts, {"true_labels_reach_99": bool(np.isfinite([true_small, true_large]).all())})


def gen_3(run: Results) -> Finding:
    """Test error rises with the share of random labels, up to guessing: `memory.Relabelled`."""
    errors = {share: 100 * at_end(run.at(share=share), "test_error") for share in run.labels["share"]}
    early = 100 * at_best(run.at(share=0.5), "test_error", "validation_loss")
    parts = {
        "rise_0_to_25": errors[0.25] - errors[0.0],
        "rise_25_to_50": errors[0.5] - errors[0.25],
        "rise_50_to_75": errors[0.75] - errors[0.5],
        "rise_75_to_100": errors[1.0] - errors[0.75],
        "error_all_random": errors[1.0],
        "fitted_minus_early_half_random": errors[0.5] - early,
    }
    return Finding("GEN-3", parts, {"noisy_labels_learned": bool((at_end(run, "train_error") <= 0.01).all())})


def gen_4(true: Results, random: Results) -> Finding:
    """Regularisers help, are not needed, and do not stop memorising: `memory.Regularised` on both kinds of labels."""
    plain, best = (accuracy(tested) for tested in (true.at(arm=("none", 0))["test_error"], best_regulariser(true)))
    parts = {
        "best_minus_none": best - plain,
        "lead_without_over_best": (plain - CHANCE) / (best - CHANCE),
        "unfitted_random_labels_decay": unfitted(true, random, "decay"),
        "unfitted_random_labels_dropout": unfitted(true, random, "dropout"),
        "unfitted_random_labels_norm": unfitted(true, random, "norm"),
        "unfitted_random_labels_augmented": unfitted(true, random, "shift"),
    }
    fits = bool((true.at(arm=("none", 0))["train_error"] <= FITTED).all())
    return Finding("GEN-4", parts | {"within_three_points": parts["best_minus_none"]}, {"plain_net_fits": fits})


def chosen(run: Results, *kinds: str) -> np.ndarray:
    """Return each seed's arm among some kinds by its own validation error, ties to the weaker and earlier: int [S]."""
    among = np.array([at for at, (kind, _) in enumerate(run.labels["arm"]) if kind in kinds])
    return np.asarray(among[run["validation_error"][:, among].argmin(1)])


def best_regulariser(run: Results) -> Floats:
    """Return the test error [S] of each seed's best regulariser by validation."""
    return of_arm(run["test_error"], chosen(run, "decay", "dropout", "norm", "shift"))


def unfitted(true: Results, random: Results, kind: str) -> Floats:
    """Return the share of random labels not fitted [S], at each seed's strength that is best with true labels."""
    return of_arm(random["train_error"], chosen(true, kind))


def of_arm(values: Floats, arms: np.ndarray) -> Floats:
    """Return the value [S] of each seed's own arm, of values [S, arms]."""
    found: Floats = np.take_along_axis(values, arms[:, None], 1)[:, 0]
    return found


def gen_5(main: Results, sizes: Mapping[int, Results], many: int = 10) -> Finding:
    """Nets learn among random labels, given enough examples: `memory.Diluted`, and by number of clean examples.

    `main` holds 0, 10 and `many` random labels for each clean one, each of `sizes` holds 20.
    """
    clean, ten = main.at(alpha=0), main.at(alpha=10)
    early = {alpha: stopped(main.at(alpha=alpha)) for alpha in {0, 10, many}}
    curve = np.stack([stopped(sizes[n].at(alpha=20)) for n in sorted(sizes)], 1)
    parts = {
        "lead_10_over_clean": (early[10] - CHANCE) / (early[0] - CHANCE),
        "accuracy_slope_20": slope_per_seed(np.log2(sorted(sizes)), curve),
        "accuracy_10": early[10],
        "accuracy_10_minus_nearest": early[10] - accuracy(ten["nearest"]),
        "accuracy_10_last_minus_early": accuracy(at_end(ten, "test_error")) - early[10],
    }
    if many == 100:  # the profile paper
        parts["accuracy_100"] = early[100]
    return Finding("GEN-5", parts, {"clean_labels_learned": bool((stopped(clean) >= 5 * CHANCE).all())})


def stopped(run: Results) -> Floats:
    """Return the test accuracy [S, ...] in points at the least validation loss."""
    return accuracy(at_best(run, "test_error", "validation_loss"))


# ---- widths, distances, measures and minima ----

FLAT = 1e-3  # of the largest curvature: less than that is "almost flat"
NEAR = 3  # points of accuracy within which a start is typical
MOST = 0.1  # of the random starts may fit not all images
REST = 0.01  # of the first loss is the most that descent at rest loses in its last tenth
TOO_SHARP = 1.2  # curvature times half the larger step, from which it surely leaves
BACK = 0.01  # of the first loss: what it has come down to when an escape is over


def gen_6(widths: Results) -> Finding:
    """Of nets that fit, wider ones do better: a `trend` of test accuracy over width, and more than half of the `pairs`.

    Only widths count at which every seed fits, by training error alone.
    """
    fits = fitting(widths)
    found, x = test_accuracy(widths)[:, fits], np.log2(units(widths)[fits])
    enough = len(x) > 1
    lost = np.full(len(found), np.nan)
    parts = {
        "accuracy_width_slope": slope_per_seed(x, found) if enough else lost,
        "pairs_won_by_larger": pairs_won(found) if enough else lost,
        "last_doubling_gain": (found[:, LAST] - found[:, LAST - 1]) / (x[LAST] - x[LAST - 1]) if enough else lost,
    }
    return Finding("GEN-6", parts, {"widths_interpolate": len(x) > 2})


def gen_7(widths: Results, small_start: Results, large_start: Results) -> Finding:
    """Wider nets end closer to their start, in total and per unit; and with a quarter and four times the start."""
    lengths = widths["total"] / widths["start_length"]
    parts = {
        "total_distance_slope": width_slope(widths, widths["total"]),
        "per_unit_distance_slope": width_slope(widths, widths["per_unit"]),
        "total_distance_slope_small_start": width_slope(small_start, small_start["total"]),
        "total_distance_slope_large_start": width_slope(large_start, large_start["total"]),
        "relative_distance_slope": width_slope(widths, lengths),
    }
    return Finding("GEN-7", parts, {"every_net_reaches_the_loss": reached(widths, small_start, large_start)})


def gen_8(widths: Results, depths: Results) -> Finding:
    """Measures over the margin grow with `hidden_units` and `hidden_layers`, while larger nets are no worse.

    Accuracies are compared between the largest and the smallest net that every seed fits.
    """
    parts = {
        "spectral_width_slope": width_slope(widths, widths["spectral"] / widths["margin"]),
        "path_width_slope": width_slope(widths, widths["path"] / widths["margin"]),
        "frobenius_width_slope": width_slope(widths, widths["frobenius"] / widths["margin"]),
        "spectral_depth_slope": depth_slope(depths, depths["spectral"] / depths["margin"]),
        "path_depth_slope": depth_slope(depths, depths["path"] / depths["margin"]),
        "frobenius_depth_slope": depth_slope(depths, depths["frobenius"] / depths["margin"]),
        "widest_minus_narrowest": last_minus_first(widths),
        "deepest_minus_shallowest": last_minus_first(depths),
        "unit_capacity_slope": width_slope(widths, widths["unit"] / widths["margin"]),
        "vc_slope": width_slope(widths, widths["vc"]),
    }
    return Finding("GEN-8", parts, {"every_net_reaches_the_loss": reached(widths, depths)})


def fitting(run: Results) -> Floats:
    """Return the places of the sizes at which no seed makes a training error."""
    return np.flatnonzero((run["train_error"] == 0).all(0))


def units(run: Results) -> Floats:
    """Return the number of units in the first hidden layer, by size."""
    return np.array([hidden[0] for hidden in run.labels["size"]])


def width_slope(run: Results, values: Floats) -> Floats:
    """Return the power of the width with which values [S, sizes] go, [S]."""
    return power(units(run), values)


def depth_slope(run: Results, values: Floats) -> Floats:
    """Return the power of the number of hidden layers with which values [S, sizes] go, [S]."""
    return power(np.array([len(hidden) for hidden in run.labels["size"]]), values)


def pairs_won(found: Floats) -> Floats:
    """Return the share of pairs of columns of found [S, n] in which the later is larger, [S]; ties count half."""
    first, second = np.triu_indices(found.shape[1], 1)
    return np.asarray((np.sign(found[:, second] - found[:, first]) + 1).mean(1) / 2)


def last_minus_first(run: Results) -> Floats:
    """Return the test accuracy of the largest fitting net minus that of the smallest [S], NaN where none fits."""
    found = test_accuracy(run)[:, fitting(run)]
    return found[:, LAST] - found[:, 0] if found.shape[1] > 1 else np.full(len(found), np.nan)


def reached(*runs: Results) -> bool:
    """Return whether every net of these runs came down to the common loss."""
    return all(bool(np.isfinite(run["epochs"]).all()) for run in runs)


def gen_9(run: Results) -> Finding:
    """Small batches do better and end flatter: by Keskar's `box`, by `curvature`; and by fairer comparisons.

    The first batch size is the small one, the last the large one; one rate is that of the run's curvatures.
    """
    small, large = run.at(batch=run.labels["batch"][0]), run.at(batch=run.labels["batch"][LAST])
    parts = {
        "accuracy_gain_one_rate": accuracy_at(small, small["one_rate"]) - accuracy_at(large, large["one_rate"]),
        "log2_box_sharpness_one_rate": log2_ratio(large["box"], small["box"]),
        "log2_curvature_one_rate": log2_ratio(large["curvature"], small["curvature"]),
        "accuracy_gain_tuned": accuracy_at(small, small["tuned_rate"]) - accuracy_at(large, large["tuned_rate"]),
        "log2_curvature_tuned": log2_ratio(large["tuned_curvature"], small["tuned_curvature"]),
        "log2_invariant_sharpness_one_rate": log2_ratio(large["invariant"], small["invariant"]),
        "log2_curvature_equal_loss": log2_ratio(large["equal_curvature"], small["equal_curvature"]),
    }
    errors = [
        at_rate(part, part["train_error"], part[rate]) for part in (small, large) for rate in ("one_rate", "tuned_rate")
    ]
    return Finding("GEN-9", parts, {"both_batches_fit": all(bool((one <= LEARNED).all()) for one in errors)})


def at_rate(run: Results, values: Floats, rates: Floats) -> Floats:
    """Return what of values [S, rates] lies at each seed's rate, [S]."""
    places = [list(run.labels["rate"]).index(rate) for rate in rates]
    return np.asarray(values[np.arange(len(values)), places])


def accuracy_at(run: Results, rates: Floats) -> Floats:
    """Return the test accuracy in points at each seed's rate, [S]."""
    return at_rate(run, test_accuracy(run), rates)


def gen_10(attacked: Results) -> Finding:
    """Solutions that generalise better are flatter, by `top_curvature` and by `hessian_norm`; most curvatures vanish.

    Attacks are none, mild and strong, in this order.
    """
    every = attacked["eigenvalues"]
    top, norm = every[..., 0], np.linalg.norm(every, axis=2)
    flat, before = near_zero(every[:, 0]), near_zero(attacked["start_eigenvalues"])
    found = test_accuracy(attacked)
    parts = {
        "log2_top_mild_over_none": log2_ratio(top[:, 1], top[:, 0]),
        "log2_top_strong_over_mild": log2_ratio(top[:, 2], top[:, 1]),
        "log2_norm_mild_over_none": log2_ratio(norm[:, 1], norm[:, 0]),
        "log2_norm_strong_over_mild": log2_ratio(norm[:, 2], norm[:, 1]),
        "near_zero_share": flat,
        "best_test_accuracy": found[:, 0],
        "near_zero_trained_minus_start": flat - before,
        "log2_invariant_strong_over_none": log2_ratio(attacked["invariant"][:, 2], attacked["invariant"][:, 0]),
    }
    misleads = bool((np.diff(found, axis=1) < 0).all())
    return Finding("GEN-10", parts, {"solutions_fit": solved(attacked), "attack_misleads": misleads})


def gen_11(attacked: Results, starts: Results) -> Finding:
    """Nearly every random start ends in a good basin, and regions of low loss are larger around good minima.

    Starts that do not fit count as outside. Each is one trial, as all learn the same images.
    """
    good, bad = (test_accuracy(attacked)[:, k].mean() for k in (0, LAST))
    fits, found = (starts["train_error"] == 0).ravel(), test_accuracy(starts).ravel()
    typical = np.abs(found - np.median(found[fits] if fits.any() else found)) <= NEAR
    parts: dict[str, Floats | Interval] = {
        "starts_in_good_basins": clopper_pearson(int((fits & (found > (good + bad) / 2)).sum()), len(found)),
        "log2_radius_good_over_bad": log2_ratio(attacked["radius"][:, 0], attacked["radius"][:, LAST]),
        "log2_normalised_radius_good_over_bad": log2_ratio(
            attacked["normalised_radius"][:, 0], attacked["normalised_radius"][:, LAST]
        ),
        "starts_near_typical": clopper_pearson(int((fits & typical).sum()), len(found)),
    }
    return Finding("GEN-11", parts, {"starts_fit": bool(fits.mean() >= 1 - MOST), "solutions_fit": solved(attacked)})


def near_zero(every: Floats) -> Floats:
    """Return the share of curvatures [S, P], largest first, of a size below a thousandth of the largest, [S]."""
    return np.asarray((np.abs(every) < FLAT * every[:, :1]).mean(1))


def solved(attacked: Results) -> bool:
    """Return whether every solution fits the images."""
    return bool((attacked["train_error"] == 0).all())


def gen_12(descent: Results, escape: Results, batches: Results, steps: Sequence[float]) -> Finding:
    """Descent stays below 2 / step, a four times larger step escapes to a flatter place, small batches take even ones.

    `steps` are the four step sizes of the claim, rising, of those of the descent. Curvatures at the end are means over
    the last looks; after an escape they count only where the loss has come down again.
    """
    edges = [descent.at(rate=rate)["sharpness"].mean(1) * rate / 2 for rate in steps]
    left, stayed, flat = (escape.at(arm=arm) for arm in ("escape", "onward", "flat"))
    down = left["loss_after"] <= BACK * descent["train_loss"][:, 0, 0]
    sizes = np.log2(batches.labels["batch"])
    parts = {
        "scaled_sharpness_step1": edges[0],
        "scaled_sharpness_step2": edges[1],
        "scaled_sharpness_step3": edges[2],
        "scaled_sharpness_step4": edges[3],
        "log2_escape_loss": log2_ratio(left["peak_loss"], left["loss_before"]),
        "log2_sharpness_after_escape": np.where(
            down, log2_ratio(left["sharpness_after"], left["sharpness_before"]), np.nan
        ),
        "nonuniformity_batch_slope": slope_per_seed(sizes, np.log2(batches["non_uniformity"])),
        "log2_sharpness_small_steps_go_on": log2_ratio(stayed["sharpness_after"], stayed["sharpness_before"]),
        "log2_loss_where_flat_enough": log2_ratio(flat["peak_loss"], flat["loss_before"]),
        "sharpness_batch_slope": slope_per_seed(sizes, np.log2(batches["sharpness"])),
    }
    return Finding("GEN-12", parts, {**begins(descent, left), "batches_fit": batches_fit(batches)})


def begins(descent: Results, left: Results) -> dict[str, bool]:
    """Return whether the escapes begin at rest, and where the larger step cannot stay."""
    losses = descent.at(rate=float(left["rate_before"][0]))["train_loss"]
    tenth = max(1, losses.shape[1] // 10)
    fell = (losses[:, LAST - tenth] - losses[:, LAST]) / losses[:, 0]
    sharp = left["sharpness_before"] * left["rate_after"] / 2
    return {"start_is_a_minimum": bool((fell < REST).all()), "start_is_too_sharp": bool((sharp > TOO_SHARP).all())}


def batches_fit(batches: Results) -> bool:
    """Return whether nets of all batch sizes fit their training examples."""
    return bool((batches["train_error"] <= LEARNED).all())


# ---- wide nets ----

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


# ---- noisy labels ----


def gen_18(run: Results) -> Finding:
    """Updating only critical weights keeps wrong labels from being memorised: `memory.Critical`."""
    plain, cdr, null = (run.at(arm=arm) for arm in ("plain", "critical", "at random"))
    last = {name: accuracy(at_end(one, "test_error")) for name, one in (("plain", plain), ("cdr", cdr), ("null", null))}
    early, cdr_early = (accuracy(at_best(one, "test_error", "validation_error")) for one in (plain, cdr))
    parts = {
        "memorised_cdr_minus_plain": at_end(cdr, "memorised") - at_end(plain, "memorised"),
        "gain_over_last_epoch": last["cdr"] - last["plain"],
        "gain_over_early_stop": last["cdr"] - early,
        "gain_both_early": cdr_early - early,
        "gain_over_random_choice": last["cdr"] - last["null"],
    }
    memorises = bool((at_end(plain, "memorised") >= 0.5).all())
    return Finding("GEN-18", parts, {"plain_training_memorises": memorises})


def gen_19(run: Results) -> Finding:
    """Nets that fit 10% wrong labels do well all the same: `memory.Relabelled` with wrong `others`, none and 10%."""
    clean, noisy = (100 * at_end(run.at(share=share), "test_error") for share in (0.0, 0.1))
    guessing = 100 - CHANCE
    parts = {
        "lead_noisy_over_clean": (guessing - noisy) / (guessing - clean),
        "clean_test_error": noisy,
        "error_increase": noisy - clean,
        "error_minus_nearest": noisy - 100 * run.at(share=0.1)["nearest"],
    }
    return Finding("GEN-19", parts, {"noisy_labels_learned": bool((at_end(run, "train_error") <= 0.001).all())})
