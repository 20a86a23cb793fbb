"""What the runs of the study on redundant units say of each claim: one function a claim, parts and gate together.

Runs are `Results`; what comes out is one number a seed, [S]: angles in degrees, shares from 0 to 1, log2 of ratios, NaN
where a seed has none. A power is the slope of a straight line through log2 of a quantity over log2 of the number of
units, for each seed.

Shares of networks are intervals, each network one trial: exact ones (Clopper & Pearson), and for differences those of
Newcombe, which hold where every network of a group succeeds. Two groups may have seeds in common. Narrow networks are
then part of wide ones and see the same examples, so they succeed together, and the interval, which takes groups for
independent, is too wide rather than too narrow.
"""

from __future__ import annotations

import numpy as np

from redlib.evidence.claims import Finding
from redlib.evidence.stats import Interval, clopper_pearson, log2_ratio, slope_per_seed, wilson
from redlib.experiments.results import Results

Floats = np.ndarray
LAST = -1
DIVERSE, MISSING = "diverse", "missing a pattern"
SMALL, MIDDLE, LARGE = 2, 8, 120  # filters of each kind; the outer ones are those of Brutzkus & Globerson 2019
SMALL_THAT_DETECTS = 4  # of networks with 2 filters one in 64 detects all at the start, too few to ask what they do
FEWEST, NINE_IN_TEN = 20, 0.9  # networks that fit: how many small ones, which share of large ones
FAR, FEW = 4.0, 0.05  # standard errors between measured and exact error, and the share of networks that may lie farther
FIFTH = 0.2  # of the looks, over which errors at the end are averaged
SETTLED = 0.01  # of the error at the start, by which it may still move at the end without noise
SOLVED = 1e-6  # of the error at the start: a student that is below has learned it all, and soon is all rounding
RESTING = "both"  # the arm that decides; without noise errors fall for ever, and those of the first layer alone creep
LEARNED = 0.5  # share of errors on new images: five times the accuracy of guessing among ten classes
HALF = 0.5  # of a unit is added to counts, whose logarithm is taken: there may be none

# ---- shares of networks ----


def share(succeeds: Floats) -> Interval:
    """Return the exact interval of the share of networks [N], bool, that succeed: [0, 1] where there is none."""
    if not len(succeeds):
        return Interval(0.5, 0.0, 1.0, 0.95, "exact", 0)
    return clopper_pearson(int(succeeds.sum()), len(succeeds))


def more_often(first: Floats, second: Floats) -> Interval:
    """Return by how much more often the first networks [N], bool, succeed than the second [M] (Newcombe 1998).

    His method 10, from Wilson's intervals; [-1, 1] where a group is empty.
    """
    count = len(first) + len(second)
    if not (len(first) and len(second)):
        return Interval(0.0, -1.0, 1.0, 0.95, "Newcombe", count)
    one, two = (wilson(int(group.sum()), len(group)) for group in (first, second))
    apart = one.estimate - two.estimate
    low = apart - np.hypot(one.estimate - one.low, two.high - two.estimate)
    high = apart + np.hypot(one.high - one.estimate, two.estimate - two.low)
    return Interval(apart, float(low), float(high), 0.95, "Newcombe", count)


# ---- detection ----


def right(run: Results) -> Floats:
    """Return which networks make no error on new points, bool, with the axes of the error."""
    return np.asarray(run["fresh_error"] == 0)


def succeeds(run: Results) -> Floats:
    """Return which networks fit their training set and make no error on new points, bool."""
    return np.asarray(run["fits"] & right(run))


def large_fit(large: Results) -> bool:
    """Return whether nine in ten large networks fit their training set."""
    return bool(large["fits"].mean() >= NINE_IN_TEN)


def unit_1(run: Results) -> Finding:
    """Small networks may fit and be wrong on new points, large ones that fit are less often: `detection.Xord`.

    The last part is of large networks that never saw one of the patterns.
    """
    small, large, missing = run.at(set=DIVERSE, count=SMALL), run.at(set=DIVERSE, count=LARGE), run.at(set=MISSING)
    blind = missing.at(count=LARGE)
    parts = {
        "small_fit_and_fail": share(small["fits"] & ~right(small)),
        "success_large_minus_small": more_often(*(right(one)[one["fits"]] for one in (large, small))),
        "success_large_pattern_missing": share(right(blind)[blind["fits"]]),
    }
    enough = bool(small["fits"].sum() >= FEWEST)
    gate = {"small_nets_fit": enough, "large_nets_fit": large_fit(large) and large_fit(blind)}
    return Finding("UNIT-1", parts, gate)


def unit_2(run: Results) -> Finding:
    """Filters of large networks end near the directions of the patterns: angles in degrees."""
    large = run.at(set=DIVERSE, count=LARGE)
    parts = {
        "angle_trained_minus_initial": large["angle"] - large["start_angle"],
        "angle_trained_minus_turned": large["angle"] - large["turned_angle"],
        "weighted_angle_trained_minus_initial": large["weighted_angle"] - large["start_weighted_angle"],
    }
    return Finding("UNIT-2", parts, {"large_nets_fit": large_fit(large)})


def unit_3(run: Results) -> Finding:
    """Large networks detect all patterns at the start, and at one width those that do succeed.

    A success fits its training set and makes no error on new points; a network that does not fit is none. Of small
    networks that detect all at the start there are some with 4 filters of each kind, hardly any with 2.
    """
    counts = SMALL, SMALL_THAT_DETECTS, MIDDLE, LARGE
    small, able, one, large = (run.at(set=DIVERSE, count=count) for count in counts)
    found = one["start_detected"]
    parts = {
        "detected_large_minus_small": more_often(large["start_detected"], small["start_detected"]),
        "success_detected_minus_not": more_often(succeeds(one)[found], succeeds(one)[~found]),
        "success_large_minus_small_given_detected": more_often(
            *(succeeds(each)[each["start_detected"]] for each in (large, able))
        ),
    }
    return Finding("UNIT-3", parts, {"large_nets_fit": large_fit(large)})


# ---- students ----


def fifths(error: Floats) -> tuple[Floats, Floats]:
    """Return the mean errors of the last fifth of the looks and of the fifth before it, from errors [..., looks]."""
    count = max(1, round(FIFTH * error.shape[LAST]))
    return error[..., -count:].mean(LAST), error[..., -2 * count : -count].mean(LAST)


def error_slope(run: Results, arm: str) -> Floats:
    """Return the power of the number of units with which the error over the last fifth goes, [S]."""
    left = fifths(run.at(arm=arm)["error"])[0]
    return slope_per_seed(np.log2(run.labels["width"]), np.log2(left))


def unit_5(run: Results, weak: Results, moving: float = 0.1) -> Finding:
    """The error that noisy labels leave, by the units of the student: `students.Goldt` of two teachers.

    The units of the `weak` teacher count for less, against the same noise.

    Gates: the measured error lies within 4 standard errors of the exact one, but for one network in twenty (by chance
    one in 16,000 lies outside); and at no width does the mean error of the arm that decides, over the last fifth of the
    looks, differ from that over the fifth before by more than the share `moving`.
    """
    parts = {
        "error_slope_both": error_slope(run, "both"),
        "error_slope_first": error_slope(run, "first"),
        "error_slope_both_clean": error_slope(run, "both, no noise"),
        "error_slope_both_weak_teacher": error_slope(weak, "both"),
    }
    rests = all(at_rest(one.at(arm=RESTING)["error"], moving) for one in (run, weak))
    agrees = theory_agrees(run) and theory_agrees(weak)
    return Finding("UNIT-5", parts, {"theory_agrees": agrees, "students_at_rest": rests})


def theory_agrees(run: Results) -> bool:
    """Return whether the measured errors lie about the exact ones as their standard errors say."""
    far = np.abs(run["measured_error"] - run["error"][..., LAST]) > FAR * run["measured_spread"]
    return bool(far.mean() <= FEW)


def at_rest(error: Floats, moving: float) -> bool:
    """Return whether at all widths the mean error over seeds [S, widths, looks] moves by at most a share at the end."""
    last, before = (each.mean(0) for each in fifths(error))
    return bool((np.abs(last - before) <= moving * before).all())


def unit_6(run: Results) -> Finding:
    """Wide students match more of their teacher's units, and units of theirs that match none fade: `students.Tian`.

    The first width is the teacher's, the last four times that. The gate: both are `settled`.
    """
    equal, wide = (run.at(width=run.labels["width"][place]) for place in (0, LAST))
    with np.errstate(divide="ignore", invalid="ignore"):
        lucky = wide["by_nearest"] / np.where(wide["matched"] > 0, wide["matched"], np.nan)
    parts = {
        "matched_wide_minus_equal": more_often(wide["complete"], equal["complete"]),
        "error_left_wide_minus_equal": 100 * (left(wide["error"]) - left(equal["error"])),
        "log2_error_wide_over_equal": log2_ratio(*(np.maximum(left(one["error"]), SOLVED) for one in (wide, equal))),
        "unmatched_over_matched": wide["outgoing_unmatched"] / wide["outgoing_matched"],
        "lucky_share": lucky,
    }
    return Finding("UNIT-6", parts, {"students_at_rest": settled(equal["error"]) and settled(wide["error"])})


def left(error: Floats) -> Floats:
    """Return the errors at the end [S] of errors [S, looks], as shares of those at the start."""
    return np.asarray(error[:, LAST] / error[:, 0])


def settled(error: Floats) -> bool:
    """Return whether the mean error over seeds [S, looks] moves at the end by at most 1% of that at the start.

    Without noise errors fall for ever, so that a share of the error itself would never be small.
    """
    last, before = fifths(error.mean(0))
    return bool(abs(last - before) <= SETTLED * error[:, 0].mean())


# ---- units of trained nets ----


def log2_widths(run: Results) -> Floats:
    """Return log2 of the widths of a run, [X]."""
    return np.log2(np.asarray(run.labels["width"], float))


def power(run: Results, values: Floats) -> Floats:
    """Return the power of the width with which values [S, X] go, [S]: NaN where one is 0 or NaN."""
    some = np.where(values > 0, values, np.nan)
    return slope_per_seed(log2_widths(run), np.log2(some), allow_censored=True)


def counts(run: Results, name: str, state: str = "trained") -> Floats:
    """Return a count [S, X] of units of the nets in a state, half a unit added."""
    return np.asarray(run.at(state=state)[name] + HALF)


def learned(run: Results) -> bool:
    """Return whether all trained nets are right on at least half of the new images."""
    return bool((run["test_error"] <= LEARNED).all())


def fitted(run: Results) -> bool:
    """Return whether all nets fit their training images."""
    return bool((run["train_error"] == 0).all())


def unit_4(run: Results) -> Finding:
    """Trained filters lie nearer to their cluster's centre than untrained ones, and than Gaussian ones as elongated."""
    middle = {kind: np.median(run.at(kind=kind)["angles"], axis=1) for kind in run.labels["kind"]}
    best = np.asarray(run.labels["k"])[np.nanargmax(run.at(kind="trained")["silhouette"], axis=1)]
    parts = {
        "angle_trained_minus_untrained": middle["trained"] - middle["untrained"],
        "angle_trained_minus_matched": middle["trained"] - middle["matched"],
        "best_clusters": best.astype(float),
    }
    return Finding("UNIT-4", parts, {"nets_learn": learned(run), "networks_fit": fitted(run)})


def unit_7(run: Results) -> Finding:
    """Removable or repeated units grow in number with the width; untrained nets of the same widths are the null.

    A share is a count over the width, so that its power is that of the count less 1.
    """
    removable, repeated = (power(run, counts(run, kind)) for kind in ("removable", "repeated"))
    at_start = [power(run, counts(run, kind, "untrained")) for kind in ("removable", "repeated")]
    parts = {
        "removable_count_slope": removable,
        "repeated_count_slope": repeated,
        "removable_slope_minus_untrained": removable - at_start[0],
        "repeated_slope_minus_untrained": repeated - at_start[1],
        "removable_share_slope": removable - 1,
        "repeated_share_slope": repeated - 1,
    }
    return Finding("UNIT-7", parts, {"nets_learn": learned(run), "networks_fit": fitted(run)})


def unit_8(run: Results) -> Finding:
    """Frame potentials of trained nets over those of three nulls, means over the widths."""
    trained, start = (run.at(state=state) for state in ("trained", "untrained"))
    parts = {
        "log2_frame_over_random": log2_ratio(trained["frame"], trained["random_frame"]).mean(1),
        "log2_frame_over_matched": log2_ratio(trained["frame"], trained["matched_frame"]).mean(1),
        "log2_frame_over_untrained": log2_ratio(trained["frame"], start["frame"]).mean(1),
    }
    return Finding("UNIT-8", parts, {"networks_fit": fitted(run)})


def most_rank(run: Results, inputs: int) -> Floats:
    """Return the largest possible rank of the weights at each width, [X]: the smaller of width and `inputs`."""
    return np.minimum(np.asarray(run.labels["width"], float), inputs)


def unit_9(run: Results, inputs: int) -> Finding:
    """The effective rank falls in training and takes a smaller share of what is possible in wider nets.

    Possible is the smaller of width and number of `inputs`.
    """
    trained, start = (run.at(state=state)["rank"] for state in ("trained", "untrained"))
    most = most_rank(run, inputs)
    parts = {
        "log2_rank_trained_over_untrained": log2_ratio(trained, start).mean(1),
        "rank_share_slope_minus_untrained": power(run, trained / most) - power(run, start / most),
        "log2_rank_of_update": log2_ratio(run["update_rank"], run["random_rank"]).mean(1),
    }
    return Finding("UNIT-9", parts, {"networks_fit": fitted(run)})


def unit_10(run: Results) -> Finding:
    """How unequally units count, by the cost of removing one; and how many can go at random, as the width grows."""
    trained = run.at(state="trained")
    parts = {
        "gini_width_slope": slope_per_seed(log2_widths(run), trained["gini"], allow_censored=True),
        "effective_units_slope": power(run, trained["effective"]),
        "removable_at_random_widest_minus_narrowest": trained["spare"][:, -1] - trained["spare"][:, 0],
    }
    return Finding("UNIT-10", parts, {"nets_learn": learned(run), "networks_fit": fitted(run)})


def unit_11(run: Results, width: int) -> Finding:
    """Shares of dead units of nets of one `width` after SGD, and what other rules and no training leave."""
    dead = {rule: run.at(rule=rule)["dead"] / width for rule in run.labels["rule"]}
    parts = {
        "dead_sgd_minus_full_batch": dead["sgd"] - dead["full batch"],
        "dead_sgd_minus_untrained": dead["sgd"] - run["start_dead"] / width,
        "dead_sgd_minus_adam": dead["sgd"] - dead["adam"],
        "dead_decay_minus_none": dead["decay"] - dead["sgd"],
    }
    return Finding("UNIT-11", parts, {"networks_fit": fitted(run)})
