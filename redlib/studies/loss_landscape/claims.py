"""What the runs of the study on the loss landscape say of each claim: one function a claim, parts and gate together.

Runs are `Results`; what comes out is one number a seed, [S]: errors in points, shares from 0 to 1, log2 of ratios, NaN
where a seed has none. Barriers are those of `connectivity.barrier`: the largest value on a path less the mean of its
two ends.
"""

from __future__ import annotations

import numpy as np
import torch

from redlib.evidence.claims import Finding, Record
from redlib.evidence.stats import log2_ratio, slope_per_seed
from redlib.experiments.results import Results
from redlib.measures.connectivity import barrier
from redlib.measures.ranks import spearman
from redlib.studies.loss_landscape.around import HALFWAY, TRAINED, UNTRAINED
from redlib.studies.loss_landscape.functions import ADAM_RULE, CHAOTIC, RANDOM, SGD_AGAIN, SGD_RULE
from redlib.studies.loss_landscape.pairs import CURVE, LINE, MATCHED
from redlib.training.subspace import crossing_dimension

Floats = np.ndarray
LAST = -1
POINTS, DOUBLINGS = 0.3, 0.1  # smallest effects that matter: of an error, and of a width
LEARNED = 0.5  # share of correct test images: five times the accuracy of guessing among ten classes
NINE_TENTHS = 0.9  # of the full accuracy
STEP, SHORT = 0.1, 0.001  # lengths of random steps, in lengths of all weights
FEWEST = 2000  # random nets that agree with a training set
MOST_MISS = 0.05  # share of trained nets that may not fit
TWICE = 2  # a function seen once has the frequency 1/samples, however unlikely it is
TEN = 10  # random nets that compute a function, so that its share is known to a third
HALF = 0.5  # a net, added to counts whose logarithm is taken: there may be none
HUNDRED = 100  # functions of which a correlation is taken
SLICE = 290  # dimensions of the source's slice

# ---- paths ----


def barriers(run: Results, path: str, of: str = "train_error") -> Floats:
    """Return the barriers of the paths of a name, [S, widths], in points of error, or in units of the loss."""
    found = barrier(torch.from_numpy(run.at(path=path)[of])).numpy()
    return np.asarray(found * (1 if of == "train_loss" else 100))


def ends_fit(run: Results) -> bool:
    """Return whether both nets of every pair fit their training images."""
    return not run["train_error"][..., [0, LAST]].any()


def log2_widths(run: Results) -> Floats:
    """Return log2 of the widths of a run, [X]."""
    return np.log2(np.asarray(run.labels["width"], float))


def doublings(at: Floats, widths: Floats) -> Floats:
    """Return by how many doublings half-widths [S, X] change per unit of `at` [X], [S].

    NaN for a seed with a width that was not found: the net began above the wall (NaN), or met none (infinity).
    """
    return slope_per_seed(at, np.log2(np.where(np.isfinite(widths), widths, np.nan)), allow_censored=True)


def word(record: Record, part: str, least: float, words: tuple[str, str, str, str]) -> str:
    """Return which of the words for more, less, hardly different (by under `least`) and undecided a part calls for."""
    more, less, hardly, open_ = words
    return hardly if abs(record[part]) < least else record.side(part, more, less, open_)


def land_1(run: Results) -> Finding:
    """The trained curve between the widest nets stays low: `pairs.Pairs`."""
    parts = {
        "curve_train_error_minus_ends": barriers(run, CURVE)[:, LAST],
        "curve_test_error_minus_ends": barriers(run, CURVE, "test_error")[:, LAST],
    }
    return Finding("LAND-1", parts, {"ends_fit": ends_fit(run)})


def land_2(run: Results) -> Finding:
    """The straight line between the widest nets does not, and what matching their units changes."""
    line, matched, curve = (barriers(run, path) for path in (LINE, MATCHED, CURVE))
    parts = {
        "line_minus_curve": (line - curve)[:, LAST],
        "matched_line_minus_curve": (matched - curve)[:, LAST],
        "matched_line_per_doubling": slope_per_seed(log2_widths(run), matched),
    }
    return Finding("LAND-2", parts, {"ends_fit": ends_fit(run)})


def land_5(run: Results) -> Finding:
    """Barriers and tunnels by width: the largest loss on the curve over the mean of its ends, and half-widths."""
    loss = run.at(path=CURVE)["train_loss"]
    ratio = log2_ratio(loss.max(LAST), loss[..., [0, LAST]].mean(LAST))
    at = log2_widths(run)
    parts = {
        "curve_barrier_per_doubling": slope_per_seed(at, ratio),
        "raw_tunnel_power": doublings(at, run["raw_width"]),
        "filter_tunnel_power": doublings(at, run["filter_width"]),
    }
    return Finding("LAND-5", parts, {"ends_fit": ends_fit(run)})


# ---- around a solution ----


def land_3(run: Results) -> Finding:
    """How often a random step raises the loss, before, amid and after training: `around.Steps`."""
    rises = {state: run.at(state=state, length=STEP)["rises"] for state in (TRAINED, HALFWAY, UNTRAINED)}
    parts = {
        "rises_trained": rises[TRAINED],
        "rises_halfway": rises[HALFWAY],
        "rises_untrained": rises[UNTRAINED],
        "rises_trained_short": run.at(state=TRAINED, length=SHORT)["rises"],
    }
    return Finding("LAND-3", parts)


def per_level(run: Results, name: str, knob: str) -> Floats:
    """Return by how many doublings a half-width changes from one level of a knob to the next, [S]."""
    widths = run.at(knob=knob)[name]
    return doublings(np.arange(widths.shape[LAST], dtype=float), widths)


def land_4(run: Results, until: float, least: float = 0.5) -> Finding:
    """Tunnels of nets that simplifying forces acted on: `around.Tunnels`.

    The gate: the training loss of all is down to `until`, and above `least` of it.
    """
    knobs = {"weight_decay": "weight decay", "learning_rate": "learning rate", "dropout": "dropout"}
    parts = {
        "raw_width_by_weight_decay": per_level(run, "raw_width", knobs["weight_decay"]),
        "raw_width_by_learning_rate": per_level(run, "raw_width", knobs["learning_rate"]),
        "raw_width_by_dropout": per_level(run, "raw_width", knobs["dropout"]),
        "filter_width_by_weight_decay": per_level(run, "filter_width", knobs["weight_decay"]),
        "filter_width_by_learning_rate": per_level(run, "filter_width", knobs["learning_rate"]),
        "filter_width_by_dropout": per_level(run, "filter_width", knobs["dropout"]),
    }
    loss = run["train_loss"]
    return Finding("LAND-4", parts, {"losses_match": bool(((loss <= until * 1.001) & (loss >= least * until)).all())})


# ---- slices ----


def dimension(run: Results, accuracy: str = "accuracy") -> Floats:
    """Return the dimension at which nets reach nine tenths of the full accuracy, [S] or [S, widths]; NaN: none does.

    `accuracy` names the curve; the level is that of the net whose `full_accuracy` the run has.
    """
    curves, level = run[accuracy], NINE_TENTHS * run["full_accuracy"]
    flat = crossing_dimension(run.labels["dim"], curves.reshape(-1, curves.shape[LAST]), level.ravel())
    return np.asarray(flat.reshape(level.shape))


def needed(run: Results, numbers: Floats, accuracy: str) -> Floats:
    """Return how many of some `numbers` [K] nets need for nine tenths of their accuracy, [S]; NaN: more."""
    level = NINE_TENTHS * run["full_accuracy"]
    return np.asarray(crossing_dimension(np.asarray(numbers, float), run[accuracy], level))


def gates(run: Results, found: Floats) -> dict[str, bool]:
    """Return whether a dimension was found in every seed, and whether fully trained nets learned."""
    return {
        "dimension_found": bool(np.isfinite(found).all()),
        "nets_learn": bool((run["full_accuracy"] >= LEARNED).all()),
    }


def land_6(run: Results) -> Finding:
    """In how few dimensions a convolutional net does nearly as well as in all: `slices.Conv`."""
    found, linear = dimension(run), dimension(run, "linear_accuracy")
    parts = {
        "dimension_at_90_percent": found,
        "dimension_over_parameters": found / float(run["parameters"]),
        "log2_dimension_over_linear": np.log2(found / linear),
    }
    return Finding("LAND-6", parts, gates(run, found))


def land_7(run: Results) -> Finding:
    """That dimension for fully connected nets of three widths: `slices.Dense`."""
    found = dimension(run)
    narrow, middle, wide = (found / found.mean(1, keepdims=True)).T
    at = np.log2(np.asarray(run["parameters"], float))
    parts = {
        "dimension_narrow_over_mean": narrow,
        "dimension_middle_over_mean": middle,
        "dimension_wide_over_mean": wide,
        "mean_dimension": found.mean(1),
        "dimension_power": slope_per_seed(at, np.log2(found), allow_censored=True),
    }
    return Finding("LAND-7", parts, gates(run, found))


def chosen(small: Results, able: Floats) -> tuple[Floats, Floats]:
    """Return which architecture and rate do best on validation images, of the `able` ones [A], bool: [S] numbers."""
    scores = np.where(able[:, None], small["validation_accuracy"], -1)
    best = scores.reshape(len(scores), -1).argmax(1)
    rates = scores.shape[LAST]
    return best // rates, best % rates


def best_accuracy(small: Results, able: Floats) -> Floats:
    """Return the test accuracy of the small net that is chosen, [S], a share."""
    architecture, rate = chosen(small, able)
    return np.asarray(small["test_accuracy"][np.arange(len(rate)), architecture, rate])


def land_8(run: Results, small: Results) -> Finding:
    """A large net in few dimensions against the best small nets: `slices.Conv` and `slices.Small`."""
    confined, kind = run.at(dim=SLICE)["accuracy"], small["convolutional"]
    parts = {
        "subspace_minus_best_small": 100 * (confined - best_accuracy(small, np.ones_like(kind, bool))),
        "subspace_minus_best_dense": 100 * (confined - best_accuracy(small, ~kind.astype(bool))),
    }
    return Finding("LAND-8", parts, {"nets_learn": bool((run["full_accuracy"] >= LEARNED).all())})


# ---- functions ----


def land_9(run: Results) -> Finding:
    """Simple functions are likely in random nets: rank correlations of `functions.RandomFunctions`.

    The gate: of the law that judges at least a hundred functions are seen twice.
    """
    plain = run.at(prior=run.labels["prior"][0])
    parts = {
        "simple_is_likely": plain["correlation"],
        "correlation_minus_shuffled": plain["correlation"] - plain["shuffled_correlation"],
        "simple_is_likely_chaotic": run.at(prior=CHAOTIC)["correlation"],
    }
    return Finding("LAND-9", parts, {"functions_seen": bool((plain["seen_twice"] >= HUNDRED).all())})


def per_bit(run: Results, rule: str) -> Floats:
    """Return by how many doublings a rule finds a function more often per bit of complexity, [S].

    A straight line through log2 of the counts of the functions that it found at least twice.
    """
    counts = run.at(rule=rule)["counts"]
    lines = zip(run["complexity"], counts, counts >= TWICE, strict=True)
    return np.array([slope(own[able], np.log2(row[able])) for own, row, able in lines])


def slope(x: Floats, y: Floats) -> float:
    """Return the slope of the straight line of least squares, NaN for fewer than three points or one x."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 2 and np.ptp(x) > 0 else float("nan")


def mostly_fit(run: Results) -> bool:
    """Return whether nineteen in twenty of the trained nets of each seed and rule fit what they were told."""
    return all((run.at(rule=rule)["fit"] >= 1 - MOST_MISS).all() for rule in (SGD_RULE, SGD_AGAIN, ADAM_RULE))


def land_10(run: Results) -> Finding:
    """What training finds is simple, by as much as what random nets that fit compute: `functions.Found`."""
    sgd, adam, random = (per_bit(run, rule) for rule in (SGD_RULE, ADAM_RULE, RANDOM))
    parts = {"sgd_per_bit": sgd, "adam_per_bit": adam, "sgd_minus_random_per_bit": sgd - random}
    return Finding("LAND-10", parts, {"mostly_fit": mostly_fit(run)})


def alike(run: Results, rule: str, other: str) -> Floats:
    """Return the rank correlation of how often two rules give each of the functions, [S]; NaN for a single one."""
    pairs = zip(run.at(rule=rule)["counts"], run.at(rule=other)["counts"], strict=True)
    known = ((a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in pairs)
    return np.array([float(spearman(a, b)) if len(a) > 1 else np.nan for a, b in known])


def on_random(run: Results, rule: str) -> Floats:
    """Return the slope of log2 of a rule's counts, half a net added, on those of random nets, where these are ten."""
    pairs = zip(run.at(rule=RANDOM)["counts"], run.at(rule=rule)["counts"], strict=True)
    return np.array([slope(np.log2(a[a >= TEN]), np.log2(b[a >= TEN] + HALF)) for a, b in pairs])


def land_11(run: Results) -> Finding:
    """Training gives functions as often as random nets that fit: `functions.Found`."""
    parts = {
        "sgd_like_random": alike(run, SGD_RULE, RANDOM),
        "adam_like_random": alike(run, ADAM_RULE, RANDOM),
        "sgd_like_sgd": alike(run, SGD_RULE, SGD_AGAIN),
        "sgd_on_random_slope": on_random(run, SGD_RULE),
    }
    seen = bool((run.at(rule=RANDOM)["samples"] >= FEWEST).all())
    return Finding("LAND-11", parts, {"posterior_seen": seen, "mostly_fit": mostly_fit(run)})
