"""From the looks of the neural-collapse study to one number a seed for each part of a claim.

Results are the arrays of `neural_collapse.run`, [S, T] over the looks; what comes out is [S]. The terminal phase
begins at the first look at which a net makes no training error (`fitted`), in figures the latest of the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from redlib.evidence.peaks import threshold_width
from redlib.studies.neural_collapse import Arrays

Floats = np.ndarray
LAST = -1
MEASURES = {"nc1": "nc1", "nc2": "nc2_angles", "nc3": "nc3", "nc4": "nc4"}


def fitted(results: Arrays) -> Floats:
    """Return the position of each seed's first look without a training error [S], -1 where there is none."""
    zero = results["train_error"] == 0
    return np.where(zero.any(1), zero.argmax(1), -1)


def at_fit(results: Arrays, name: str) -> Floats:
    """Return a quantity at each seed's first look without a training error [S], NaN where there is none."""
    where = fitted(results)
    values = np.take_along_axis(results[name], np.maximum(where, 0)[:, None], 1)[:, 0]
    return np.where(where < 0, np.nan, values)


def at_end(results: Arrays, name: str) -> Floats:
    """Return a quantity at the end of training [S]."""
    return results[name][:, LAST]


def first_epoch(results: Arrays) -> float:
    """Return the epoch of the first look at which every seed has fitted the data, NaN if one never does."""
    return float(threshold_width(results["train_error"], results["epochs"], 0.0).max())


def terminal(results: Arrays, name: str = "terminal_phase") -> dict[str, bool]:
    """Return the gate of the study: every seed makes no error at the end, and trains at least as long again."""
    done = bool((at_end(results, "train_error") == 0).all() and results["epochs"][LAST] >= 2 * first_epoch(results))
    return {name: done}


def fall(results: Arrays, name: str) -> Floats:
    """Return the quantity at the end over its value at the first look without an error [S]."""
    return at_end(results, name) / at_fit(results, name)


def rise(results: Arrays, name: str) -> Floats:
    """Return the quantity at the end minus its value at the first look without an error [S]."""
    return at_end(results, name) - at_fit(results, name)


def variability_claim(results: Arrays) -> dict[str, Floats]:
    """Return NC-1."""
    return {"nc1_end_over_first_zero_error": fall(results, "nc1"), "nc1_end": at_end(results, "nc1")}


def simplex_claim(results: Arrays) -> dict[str, Floats]:
    """Return NC-2; the start is the untrained net."""
    norms = results["nc2_norms"]
    return {
        "norm_variation_end_minus_start": norms[:, LAST] - norms[:, 0],
        "norm_variation_end": norms[:, LAST],
        "mean_abs_cosine_deviation": at_end(results, "nc2_angles"),
    }


def duality_claim(results: Arrays) -> dict[str, Floats]:
    """Return NC-3."""
    return {"nc3_end": at_end(results, "nc3"), "nc3_end_over_first_zero_error": fall(results, "nc3")}


def corners_claim(by_width: Mapping[int, Arrays]) -> dict[str, Floats]:
    """Return NC-5: the widest net's share of confident examples, and its lead over the narrowest."""
    wide, narrow = (at_end(by_width[pick(by_width)], "confident") for pick in (max, min))
    return {"share_confident_wide": wide, "share_confident_wide_minus_underparameterised": wide - narrow}


def logits_claim(results: Arrays) -> dict[str, Floats]:
    """Return NC-6."""
    nc1 = results["logit_nc1"]
    growth = np.log2(fall(results, "logit_norm"))
    return {"logit_nc1_end_over_start": nc1[:, LAST] / nc1[:, 0], "log2_logit_norm_growth_after_zero_error": growth}


def neighbours_claim(results: Arrays) -> dict[str, Floats]:
    """Return NC-7: how far chi rises from inputs to outputs, and the largest step's share of it."""
    found: dict[str, Floats] = {}
    for k in (5, 30):
        for part in ("train", "test"):
            layers = results[f"chi{k}_{part}"][:, LAST]
            gain = layers[:, -1] - layers[:, 0]
            found[f"chi_output_minus_input_k{k}_{part}"] = gain
            found[f"chi_largest_step_share_k{k}_{part}"] = np.diff(layers, axis=1).max(1) / gain
    return found


def noise_claim(noisy: Arrays, clean: Arrays) -> dict[str, Floats]:
    """Return NC-8, at the end of equally long trainings."""
    return {
        "nc1_noise20_minus_clean": at_end(noisy, "nc1") - at_end(clean, "nc1"),
        "nc1_true_labels_mislabelled_end_over_first_zero_error": fall(noisy, "mislabelled_nc1_true"),
    }


def benefit_claim(main: Arrays, settings: Sequence[Arrays]) -> dict[str, Floats]:
    """Return NC-9: what the terminal phase adds, and the rank correlation of NC1 and accuracy over the settings."""
    return {
        "test_accuracy_end_minus_first_zero_error": -100 * rise(main, "test_error"),
        "smallest_fgsm_epsilon_end_minus_first_zero_error": rise(main, "margin"),
        "partial_correlation_nc1_accuracy": correlation(settings),
    }


def correlation(settings: Sequence[Arrays]) -> Floats:
    """Return, for each seed, the rank correlation over settings of NC1 and test accuracy at the end [S].

    Training error is held fixed by taking only settings without any, so nothing is left to be partialled out.
    NaN where fewer than four settings remain.
    """
    nc1, accuracy = (np.stack([at_end(one, name) for one in settings], 1) for name in ("nc1", "test_error"))
    fits = np.stack([at_end(one, "train_error") == 0 for one in settings], 1)
    return np.array([_rank_correlation(a[ok], -b[ok]) for a, b, ok in zip(nc1, accuracy, fits, strict=True)])


def ticket_claim(pruned: Mapping[str, Arrays], examples: int) -> dict[str, Floats]:
    """Return NC-10 from the runs of ticket, random and dense: log2 of the ticket's NC1 to NC4 over the others'.

    NC4 counts examples out of `examples`; half a count is added to each, as both may be 0.
    """
    found = {}
    for name, key in MEASURES.items():
        values = {arm: at_end(results, key) for arm, results in pruned.items()}
        if name == "nc4":
            values = {arm: v * examples + 0.5 for arm, v in values.items()}
        for other in ("dense", "random"):
            found[f"log2_{name}_ticket_over_{other}"] = np.log2(values["ticket"] / values[other])
    return found


def alignment_claim(results: Arrays) -> dict[str, Floats]:
    """Return NC-11: the last hidden layer's mean |cosine| minus that of the earlier ones, each less its start."""
    gained = results["alignment"][:, LAST] - results["alignment"][:, 0]
    return {"weight_alignment_last_minus_earlier_layers": gained[:, -2] - gained[:, :-2].mean(1)}


def arm(results: Arrays, index: int) -> Arrays:
    """Return the arrays of one arm [S, T] from those with an axis of arms [S, arms, T]."""
    whole = ("epochs", "density")
    return {name: values if name in whole else values[:, index] for name, values in results.items()}


def _rank_correlation(a: Floats, b: Floats) -> float:
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
