"""From the runs of the blurring study to one number a seed for each part of a claim, and the gates of the study.

Results are the arrays of `blurring.run`; `by_rate` maps k (every k-th image is mislabelled) to those of one net. What
comes out is [S], rates in percent, NaN where a seed has nothing to count: see `blurring_curves`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from redlib.evidence.stats import Interval, mean_interval, slope_per_seed, wilson
from redlib.measures.blurcurves import area, roughness, roughness_null, roughness_p, slope
from redlib.measures.changepoint import PARAMETERS, bootstrap_break, compare, single_run_split_probability
from redlib.studies.blurring import Arrays
from redlib.studies.blurring_curves import (
    FITTED,
    HIGH,
    LOW,
    ByRate,
    Floats,
    accuracy,
    areas,
    changed,
    changed_area,
    combined,
    counts,
    difference,
    drop,
    epochs_to_fit,
    events,
    group_areas,
    groups,
    high_rates,
    learned,
    log_rates,
    low_rates,
    memorised,
    pseudo_values,
    sigmas,
    weight,
    wrong,
)  # fmt: skip

LEAST_EVENTS = 5  # in each group of a ratio
DENSITY = 0.2
SPLIT = 3.0  # points: a gap between two groups of rates that would be taken for a transition
HUMAN_ERRORS, HUMAN_IMAGES = 15, 10_000  # wrong MNIST test labels found by human raters (Northcutt et al. 2021)


# Gates


def fitted(*runs: Arrays, name: str = "nets_fitted") -> dict[str, bool]:
    """Return the gate of the study: all nets of these runs end with 99.9% of their training labels learned."""
    return {name: all(bool((accuracy(results)[:, -1] >= FITTED).all()) for results in runs)}


def counts_differ(
    by_rate: ByRate, low: Sequence[int], high: Sequence[int], by: float = 1.2, name: str = "rates_differ"
) -> dict[str, bool]:
    """Return the gate of a comparison of rates: on average the high ones have `by` times as many mislabelled images."""
    mean_low, mean_high = (np.mean([counts(by_rate[k])[0].mean() for k in group]) for group in (low, high))
    return {name: bool(mean_high >= by * mean_low)}


def counts_fall(by_rate: ByRate, name: str = "rates_differ") -> dict[str, bool]:
    """Return the gate of BLUR-5 and BLUR-7: every lower rate has fewer mislabelled images."""
    return {name: bool((np.diff([counts(by_rate[k])[0].mean() for k in sorted(by_rate)]) < 0).all())}


# Claims


def fit_claim(by_rate: ByRate) -> dict[str, Floats]:
    """Return BLUR-0; epochs to the fit are those of the slowest rate."""
    ends = np.stack([accuracy(results)[:, -1] >= FITTED for results in by_rate.values()])
    epochs = np.stack([epochs_to_fit(results) for results in by_rate.values()])
    return {"share_of_rates_fitted": ends.mean(0), "epochs_to_fit": epochs.max(0)}


def gap_claim(
    by_rate: ByRate, low: Sequence[int] | None = None, high: Sequence[int] | None = None
) -> dict[str, Floats]:
    """Return BLUR-1: ratios of the rates at which mislabelled and clean images are lost at the least blur.

    That blur (0.1) moves no pixel, so these are training errors, and at the end there are hardly any left: no ratio.
    They are taken when the net first meets the source's criterion, the moment with most of them (`events`). NaN where
    a group has fewer than five: there half an event, added to each, would decide, and with none the ratio be k - 1.
    """
    few = rate_ratio(by_rate, low or low_rates(by_rate))
    many = rate_ratio(by_rate, high or high_rates(by_rate))
    return {
        "rate_ratio_high_rates": many,
        "rate_ratio_low_rates": few,
        "rate_ratio_low_over_high_rates": few / many,
    }


def rate_ratio(by_rate: ByRate, ks: Sequence[int]) -> Floats:
    """Return how many times as often mislabelled images are lost as clean ones [S], over the nets of rates `ks`.

    Mantel & Haenszel (1959) with half an event added to each group, spread evenly over the nets (Jeffreys). NaN with
    fewer than five events in a group.
    """
    lost = np.stack([events(by_rate[k]) for k in ks])  # [rates, groups, S]
    sizes = np.stack([np.stack(counts(by_rate[k])) for k in ks])
    weights = sizes[:, ::-1] / sizes.sum(1, keepdims=True)
    mislabelled, clean = ((lost + 0.5 / len(ks)) * weights).sum(0)
    return np.where((lost.sum(0) >= LEAST_EVENTS).all(0), mislabelled / clean, np.nan)


def low_blur_claim(by_rate: ByRate) -> dict[str, Floats]:
    """Return BLUR-2: the largest rates of wrong decisions at the smallest blur, over the rates, at the end."""
    return {
        f"wrong_rate_{group}_low_blur": np.stack([wrong(r, group)[:, 1] for r in by_rate.values()]).max(0)
        for group in ("mislabelled", "clean")
    }


def equality_claim(by_rate: ByRate) -> dict[str, Floats]:
    """Return BLUR-3; the largest difference keeps its sign, and is that at the blur where it is largest."""
    curve = difference(by_rate)
    place = np.abs(np.nan_to_num(curve)).argmax(1)
    return {
        "changed_rate_mislabelled_minus_clean_largest": curve[np.arange(len(curve)), place],
        "changed_rate_mislabelled_minus_clean_mean": area(curve, sigmas(next(iter(by_rate.values()))), LOW, HIGH),
    }


def roughness_claim(by_rate: ByRate, draws: int = 1000) -> Floats:
    """Return BLUR-4 [S]: p of the roughness of the mislabelled images' curves, all rates of a seed taken together.

    The roughness is summed over the rates, and so are the draws: each takes as many clean images of every (true) class
    as there are mislabelled ones, among those learned. NaN for a seed that has learned no mislabelled image.
    """
    seeds = range(len(next(iter(by_rate.values()))["assigned"]))
    return np.array([_roughness_p([_rough(r, seed, draws) for r in by_rate.values()]) for seed in seeds])


def _rough(results: Arrays, seed: int, draws: int) -> tuple[float, Floats] | None:
    moved, others, labels, wanted = matched_pool(results, seed)
    if not wanted.any():
        return None
    return float(roughness(moved.mean(1))), roughness_null(others, labels, wanted, draws, seed)


def matched_pool(results: Arrays, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what a seed's learned images do under each blur, mislabelled and clean ones apart.

    changed [K + 1, m] of the m mislabelled images; changed [K + 1, n] and labels [n] of the clean ones, and the numbers
    [C] of each class among the mislabelled (at most those among the clean): what `random_curves` draws from.
    """
    known, labels = learned(results)[seed], results["labels"][seed].astype(int)
    wrong, clean = (groups(results)[name][seed] & known for name in ("mislabelled", "clean"))
    wanted, there = (np.bincount(labels[group], minlength=labels.max() + 1) for group in (wrong, clean))
    moved = results["train"][seed] != results["train"][seed, 0]
    return moved[:, wrong], moved[:, clean], labels[clean], np.minimum(wanted, there)


def band(values: Floats) -> Floats:
    """Return mean, low and high of the 95% t interval over the seeds of values [S, K] that have a curve: [3, K].

    One curve alone has no interval (NaN), and where there is none, the mean is 0: no image was learned.
    """
    known = values[np.isfinite(values).all(1)]
    if len(known) < 2:
        return np.stack([known.sum(0), *np.full((2, values.shape[1]), np.nan)])
    return _ends([mean_interval(column) for column in known.T])


def image_band(results: Arrays, group: str, seed: int = 0) -> Floats:
    """Return one net's `changed` decisions in percent, low and high of Wilson's 95% interval over its images [3, K + 1].

    It tells what other images would do to this net, and nothing of other nets. NaN where no image was learned.
    """
    among = (groups(results)[group] & learned(results))[seed]
    pred = results["train"][seed][:, among]
    if not among.any():
        return np.full((3, len(pred)), np.nan)
    return 100 * _ends([wilson(int(count), pred.shape[1]) for count in (pred != pred[0]).sum(1)])


def _ends(found: Sequence[Interval]) -> Floats:
    """Return estimate, low and high of K intervals [3, K]."""
    return np.array([(one.estimate, one.low, one.high) for one in found]).T


def _roughness_p(found: Sequence[tuple[float, Floats] | None]) -> float:
    known = [one for one in found if one is not None]
    if not known:
        return np.nan
    return roughness_p(sum(observed for observed, _ in known), np.sum([null for _, null in known], 0))


def transition_claim(by_rate: ByRate, draws: int = 20_000) -> dict[str, Floats]:
    """Return BLUR-5; every seed's nets, one a rate, are one study like the source's, and are judged alone.

    So the criteria compare a constant, a line in the logarithm of the rate and a step on as many values as there are
    rates. What chance alone does is one number for all seeds, spread over them by `pseudo_values`.
    """
    table = areas(by_rate)
    found = [compare(log_rates(by_rate), row[None]) for row in table]
    return {
        "changed_area_1_in_70_minus_1_in_80": drop(by_rate, 70, 80),
        "bic_linear_minus_step": np.array([one.bic["linear"] - one.bic["step"] for one in found]),
        "bic_constant_minus_step": np.array([one.bic["constant"] - one.bic["step"] for one in found]),
        "break_rate_percent": np.array([100 * 2**one.break_at for one in found]),
        "single_run_split_probability": pseudo_values(lambda kept: split_chance(by_rate, kept, draws), table),
    }


def split_chance(
    by_rate: ByRate, table: Floats, draws: int = 20_000, anywhere: bool = False, trend: bool = False
) -> float:
    """Return how often single runs at each rate fall apart by SPLIT points, by chance alone.

    `table` [S, rates] are `areas`; NaN for fewer than two seeds. Apart at the claimed transition, or `anywhere` with
    two rates on each side; chance without an effect of the rate, or about a smooth `trend`: a line in its logarithm.
    """
    if len(table) < 2:
        return np.nan
    x = log_rates(by_rate)
    below = range(2, len(x) - 1) if anywhere else [len(low_rates(by_rate))]
    line = np.polyval(np.polyfit(x, table.mean(0), 1), x) if trend else 0.0
    return single_run_split_probability(table, below, SPLIT, draws, 0, line)


def best_models(by_rate: ByRate) -> dict[str, int]:
    """Return for how many seeds each model describes the areas over the rates best."""
    best = [compare(log_rates(by_rate), row[None]).best for row in areas(by_rate)]
    return {name: best.count(name) for name in PARAMETERS}


def break_shares(by_rate: ByRate, draws: int = 10_000) -> dict[tuple[int, int], float]:
    """Return in which share of resamples of the seeds the best step breaks between two neighbouring rates.

    By pairs of k, the lower rate first; 0 for fewer than two seeds.
    """
    table, ks = areas(by_rate), sorted(by_rate, reverse=True)
    found = bootstrap_break(log_rates(by_rate), table, draws, 0) if len(table) > 1 else np.zeros(1)
    return {(b, a): float(((-np.log2(b) < found) & (found < -np.log2(a))).mean()) for b, a in itertools.pairwise(ks)}


def slower_claim(
    by_rate: ByRate, kernel: Arrays, low: Sequence[int] | None = None, high: Sequence[int] | None = None
) -> dict[str, Floats]:
    """Return BLUR-6: slopes of the clean images' changed decisions from LOW to HIGH, in points per pixel of 28."""
    steep = {k: slope(changed(r, "clean"), sigmas(r), LOW, HIGH) for k, r in by_rate.items()}
    few, many = (np.mean([steep[k] for k in ks], 0) for ks in (low or low_rates(by_rate), high or high_rates(by_rate)))
    return {
        "slope_after_1p3_low_minus_high_rates": few - many,
        "slope_after_1p3_1_in_80_minus_1_in_70": steep[80] - steep[70],
        "correlation_original_blurred_1p3": kernel["correlation"],
    }


def coincidence_claim(by_rate: ByRate) -> dict[str, Floats]:
    """Return BLUR-7 for the rates above the transition that were run."""
    ks = high_rates(by_rate)
    pairs = {
        f"changed_area_1_in_{a}_minus_1_in_{b}": drop(by_rate, a, b) for a, b in itertools.combinations(ks, 2)
    }  # fmt: skip
    table = areas({k: by_rate[k] for k in ks})
    return pairs | {"between_over_within_rate_variance": pseudo_values(variance_ratio, table)}


def variance_ratio(table: Floats) -> float:
    """Return Fisher's F of values [S, rates]: S times the variance of the rates' means over that within rates.

    NaN for fewer than two seeds or rates, or where seeds do not differ.
    """
    if min(table.shape) < 2 or not (within := table.var(0, ddof=1).mean()):
        return np.nan
    return float(len(table) * table.mean(0).var(ddof=1) / within)


def kernel_claim(kernel: Arrays, by_rate: ByRate) -> dict[str, Floats]:
    """Return BLUR-8; the correlation with the blur is that of ranks, the mean over rates."""
    ranks = [[spearmanr(sigmas(r), curve).statistic for curve in wrong(r)] for r in by_rate.values()]
    limits = {f"limit_std_over_mean_{p}": kernel[f"limit_{p}"] for p in ("reflect", "replicate", "zero", "circular")}
    return limits | {"rank_correlation_wrong_rate_blur": np.mean(ranks, 0)}


def unseen_claim(
    by_rate: ByRate, low: Sequence[int] | None = None, high: Sequence[int] | None = None
) -> dict[str, Floats]:
    """Return BLUR-9, means over the rates of each group: all test images against the clean training images."""
    few, many = (
        np.mean([changed_area(by_rate[k], "test") - changed_area(by_rate[k], "clean") for k in ks], 0)
        for ks in (low or low_rates(by_rate), high or high_rates(by_rate))
    )
    return {
        "changed_area_test_minus_clean_train_low_rates": few,
        "changed_area_test_minus_clean_train_high_rates": many,
        "changed_area_interaction_high_minus_low_rates": many - few,
    }


def elsewhere_claim(main: tuple[Floats, Floats], settings: Mapping[str, tuple[Floats, Floats]]) -> dict[str, Floats]:
    """Return BLUR-10: in which share of other settings a seed finds the signs that the main run has on average.

    All are `setting_numbers`. A seed that lacks a number, or finds none, does not count as the same sign.
    """
    signs = [np.sign(np.nan_to_num(values).mean()) for values in main]
    shares = [np.mean([np.sign(one[i]) == sign for one in settings.values()], 0) for i, sign in enumerate(signs)]
    return {f"share_of_settings_with_sign_of_blur_{n}": share for n, share in zip((3, 5), shares, strict=True)}


def setting_numbers(by_rate: ByRate, change: str) -> tuple[Floats, Floats]:
    """Return the gap and the drop of a net under a change of its images, in points, [S] each.

    The gap is by how much more mislabelled than clean images change, over all rates; the drop by how much more the
    clean ones change at the highest rate than at the lowest. Means over the sizes of the change that equal the blurs
    from LOW to HIGH.
    """
    pairs = {k: group_areas(r, change) for k, r in by_rate.items()}
    gap = combined([m - c for m, c in pairs.values()], [weight(r) for r in by_rate.values()])
    return gap, pairs[min(pairs)][1] - pairs[max(pairs)][1]


def robust_claim(robust: Arrays, standard: Arrays) -> dict[str, Floats]:
    """Return BLUR-11 from nets of one rate, trained with attacks and without."""
    rates = [memorised(results) for results in (robust, standard)]
    gaps = [np.subtract(*group_areas(results, "blur")) for results in (robust, standard)]
    return {
        "mislabelled_train_accuracy_robust_minus_standard": rates[0] - rates[1],
        "changed_rate_gap_robust_minus_standard": gaps[0] - gaps[1],
    }


def withstands(robust: Arrays, standard: Arrays, name: str = "robust_nets_withstand_more") -> dict[str, bool]:
    """Return the gate of BLUR-11: gradient steps flip fewer decisions of every net that was attacked in training."""
    left, right = (results["flips_gradient"].mean(1) for results in (robust, standard))
    return {name: bool((left < right).all())}


def label_claim(disagreement: Arrays | None = None) -> dict[str, Floats | Interval]:
    """Return BLUR-12: the human count with Wilson's interval, as no seed is involved, and the nets' upper bound."""
    found = wilson(HUMAN_ERRORS, HUMAN_IMAGES)
    percent = Interval(100 * found.estimate, 100 * found.low, 100 * found.high, found.level, found.method, found.n)
    bound = {} if disagreement is None else {"cross_validation_disagreement_percent": disagreement["disagreement"]}
    return {"human_validated_error_percent": percent, **bound}


def ticket_claim(by_rate: ByRate) -> dict[str, Floats]:
    """Return BLUR-13 from runs of `blurring.Tickets`.

    The accuracy at a fifth of the weights is that at the highest rate, where most is to be stored. The slope is that of
    log2 of the density at which tickets fail on log2 of the rate; NaN for a seed that has no such density at some rate.
    """
    many = by_rate[min(by_rate)]
    fails = np.log2(np.stack([breakdown(by_rate[k]) for k in sorted(by_rate, reverse=True)], 1))
    return {
        "mislabelled_train_accuracy_d0p2": at_density(many, DENSITY),
        "slope_breakdown_density_on_mislabel_rate": slope_per_seed(log_rates(by_rate), fails, allow_censored=True),
    }


def at_density(results: Arrays, density: float) -> Floats:
    """Return the accuracy on mislabelled images, interpolated on the logarithm of density; NaN outside the range."""
    pairs = zip(results["density"], results["mislabelled_accuracy"], strict=True)
    return np.array([np.interp(np.log(density), np.log(d[::-1]), a[::-1], np.nan, np.nan) for d, a in pairs])


def breakdown(results: Arrays, least: float = 99.0) -> Floats:
    """Return the density [S] at which the accuracy on mislabelled images falls below `least` percent.

    Interpolated on the logarithm of density below the last round that reaches it; NaN where none does, or the last.
    """
    pairs = zip(np.log(results["density"]), results["mislabelled_accuracy"], strict=True)
    return np.array([_crossing(*pair, least) for pair in pairs])


def _crossing(log_density: Floats, accuracy: Floats, least: float) -> float:
    enough = np.flatnonzero(accuracy >= least)
    if not len(enough) or enough[-1] == len(accuracy) - 1:
        return np.nan
    around = [enough[-1] + 1, enough[-1]]
    return float(np.exp(np.interp(least, accuracy[around], log_density[around])))


def sign_claim(results: Arrays, epsilon: float) -> Floats:
    """Return BLUR-14 [S]: the share of test images flipped by a gradient-sign step, less that by a random one."""
    place = results["epsilons"][0].tolist().index(epsilon)
    return results["flips_gradient"][:, place] - results["flips_random"][:, place]
