"""The claims on mislabelled images under blur: from decisions to one number a seed for each part of a check.

`main` is `runs.Blurred` with an axis "rate": k, where every k-th image is mislabelled. Curves are [S, rates, K + 1]
over no blur and the K of the run, areas [S, rates], in percent, NaN where a seed has nothing to count; without the
axis where the results are those of one rate. Images are never pooled over seeds. Where several nets of a seed make one
number they are strata, weighted as Mantel & Haenszel (1959) do: nets with twice as many mislabelled images count about
twice. Beside the name of a part stands its statistic in claims/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr

from redlib.evidence import stats
from redlib.evidence.claims import Finding
from redlib.experiments.results import Results
from redlib.measures import blurcurves, changepoint
from redlib.studies.mislabel_blurring.runs import GROUPS

Floats = np.ndarray
Chance = dict[str, dict[str, float]]
FITTED = 0.999  # training accuracy that the source asks for
LOW, HIGH = 1.3, 4.0  # blurs between which changed decisions are averaged, in pixels of a 28-pixel image
LAST_ABOVE = 70  # one in 70 is the last rate above the claimed transition
SPLIT = 3.0  # points: a gap between two groups of rates that would be taken for a transition
DENSITY = 0.2  # of a ticket
HUMAN_ERRORS, HUMAN_IMAGES = 15, 10_000  # wrong MNIST test labels found by human raters (Northcutt et al. 2021)


# ---- curves and areas ----


def groups(results: Results) -> dict[str, np.ndarray]:
    """Return which training images are in each group, bool [S, ..., n]: all, clean and mislabelled."""
    wrong = results["assigned"] != results["true"]
    return {"all": np.ones_like(wrong), "clean": ~wrong, "mislabelled": wrong}


def learned(results: Results, group: str) -> np.ndarray:
    """Return which images of a group the trained net takes as it was told, without a blur, bool [S, ..., n]."""
    return np.asarray(groups(results)[group] & (results["train"][..., 0, :] == results["assigned"]))


def blurs(results: Results) -> Floats:
    """Return the standard deviations of the blurs, 0 first [K + 1]."""
    return np.array(results.labels["blur"])


def wrong(results: Results, group: str = "all") -> Floats:
    """Return the curve of decisions other than the label that was told."""
    return blurcurves.percent_changed(results["train"], results["assigned"], groups(results)[group])


def changed(results: Results, group: str) -> Floats:
    """Return the curve of changed decisions of a group's learned images, or of all "unseen" test images."""
    pred = results["test" if group == "unseen" else "train"]
    among = True if group == "unseen" else learned(results, group)
    return blurcurves.percent_changed(pred, pred[..., 0, :], among)


def returned(results: Results) -> Floats:
    """Return the curve of learned mislabelled images that are taken for their true class."""
    return 100 - blurcurves.percent_changed(results["train"], results["true"], learned(results, "mislabelled"))


def changed_area(results: Results, group: str = "clean", change: str = "blur") -> Floats:
    """Return the mean of changed decisions over blurs from LOW to HIGH, or another change as large as these."""
    if change == "blur":
        return blurcurves.area(changed(results, group), blurs(results), LOW, HIGH)
    shares = results.at(group=group)[f"changed_{change}"]
    return blurcurves.area(100 * shares, results.labels["size"], LOW, HIGH)


def difference(main: Results) -> Floats:
    """Return by how many points more of the mislabelled than of the clean images change, over all rates [S, K + 1]."""
    return stats.weighted_mean(changed(main, "mislabelled") - changed(main, "clean"), weight(main), 1)


def weight(results: Results) -> Floats:
    """Return the weight of a net's difference of rates: the product of the learned groups' sizes over their sum."""
    mislabelled, clean = (learned(results, group).sum(-1) for group in GROUPS)
    return np.asarray(mislabelled * clean / np.maximum(mislabelled + clean, 1))


def areas(main: Results) -> tuple[Floats, Floats]:
    """Return log2 of the shares of wrong labels, rising [rates], and `changed_area` of the clean images there.

    Not of all images: mislabelled ones change more, so a higher rate would raise the area by their number alone.
    """
    rates = np.array(main.labels["rate"])
    order = np.argsort(rates)[::-1]
    return -np.log2(rates[order]), changed_area(main)[:, order]


def drop(main: Results, a: int, b: int, group: str = "clean") -> Floats:
    """Return by how many points `changed_area` of a group's images at one in `a` exceeds that at one in `b` [S]."""
    return changed_area(main.at(rate=a), group) - changed_area(main.at(rate=b), group)


def beyond_line(main: Results, values: Floats) -> Floats:
    """Return by how much values [S, rates] are higher above the claimed transition than a line makes them: [S].

    The line, in the logarithm of the rate, is fitted together with the step.
    """
    rates = np.log2(main.labels["rate"])
    design = np.stack([np.ones_like(rates), rates, above(main)], 1)
    return np.linalg.lstsq(design, values.T)[0][2]


def slopes(results: Results) -> Floats:
    """Return the slope of the clean images' changed decisions from LOW to HIGH, in points per pixel."""
    return blurcurves.slope(changed(results, "clean"), blurs(results), LOW, HIGH)


def above(main: Results) -> np.ndarray:
    """Return which rates lie above the claimed transition, bool [rates]."""
    return np.array(main.labels["rate"]) <= LAST_ABOVE


# ---- what was learned, and the gates ----


def counts(results: Results) -> Floats:
    """Return the numbers of mislabelled and of clean training images, [S, ..., 2]."""
    return np.stack([groups(results)[group].sum(-1) for group in GROUPS], -1)


def lost_at_end(results: Results) -> Floats:
    """Return how many mislabelled and clean training images the trained net takes wrongly, hardly blurred [S, ..., 2].

    Hardly: the least blur of the run.
    """
    wrongly = results["train"][..., 1, :] != results["assigned"]
    return np.stack([(wrongly & groups(results)[group]).sum(-1) for group in GROUPS], -1).astype(float)


def missed(results: Results) -> Floats:
    """Return the numbers of mislabelled and clean training images not taken as told, at every look [S, ..., T, 2]."""
    return np.stack([results["wrong_mislabelled"], results["wrong_clean"]], -1).astype(float)


def accuracy(results: Results) -> Floats:
    """Return the training accuracy by the labels told, at every look, BatchNorm statistics fixed."""
    return np.asarray(1 - missed(results).sum(-1) / results["assigned"].shape[-1])


def epochs_to_fit(results: Results) -> Floats:
    """Return the epoch of the first look with 99.9% of the labels learned, NaN if there is none."""
    enough = accuracy(results) >= FITTED
    return np.where(enough.any(-1), results["epochs"][enough.argmax(-1)], np.nan)


def events(results: Results) -> Floats:
    """Return `missed` at the first look with 99.9% of the labels learned, [S, ..., 2]; NaN if there is none."""
    enough = accuracy(results) >= FITTED
    first = np.take_along_axis(missed(results), enough.argmax(-1)[..., None, None], -2)[..., 0, :]
    return np.where(enough.any(-1, keepdims=True), first, np.nan)


def fitted(*runs: Results) -> dict[str, bool]:
    """Return the gate of the study: all nets of these runs end with 99.9% of their training labels learned."""
    return {"nets_fitted": all(bool((accuracy(results)[..., -1] >= FITTED).all()) for results in runs)}


def counts_differ(main: Results, by: float = 1.2) -> dict[str, bool]:
    """Return the gate of a comparison of rates: on average the high ones have `by` times as many mislabelled images."""
    mean, high = counts(main)[..., 0].mean(0), above(main)
    return {"rates_differ": bool(mean[high].mean() >= by * mean[~high].mean())}


def counts_fall(main: Results) -> dict[str, bool]:
    """Return the gate of BLUR-5, 6 and 7: every lower rate has fewer mislabelled images."""
    mean = counts(main)[..., 0].mean(0)[np.argsort(main.labels["rate"])]
    return {"rates_differ": bool((np.diff(mean) < 0).all())}


# ---- 1 everything is learned by heart ----


def blur_0(main: Results) -> Finding:
    """99.9% of partly wrong labels are learned at every rate; epochs to the fit are those of the slowest rate."""
    parts = {
        "runs_fitted": (accuracy(main)[..., -1] >= FITTED).mean(1),  # share_of_rates_fitted
        "epochs_needed": epochs_to_fit(main).max(1),  # epochs_to_fit
    }
    return Finding("BLUR-0", parts)


def blur_1(main: Results) -> Finding:
    """Hardly blurred, mislabelled images are lost ten times as often as clean ones, at low rates a hundred times.

    By the trained nets, which have hardly any left to lose: with fewer than five in a group there is no ratio. Ours: at
    the moment when a net first meets the source's criterion (`events`), where more are lost.
    """
    many, few = ratios(main, lost_at_end(main))
    early = ratios(main, events(main))
    extra = wrong(main, "mislabelled")[..., 1] - wrong(main, "clean")[..., 1]
    parts = {
        "more_often": extra.mean(1),  # wrong_rate_mislabelled_minus_clean_low_blur
        "tenfold_high_rates": many,  # rate_ratio_high_rates
        "hundredfold_low_rates": few,  # rate_ratio_low_rates
        "low_rates_larger": few / many,  # rate_ratio_low_over_high_rates
        "tenfold_at_fit": early[0],  # rate_ratio_high_rates_at_fit
        "hundredfold_at_fit": early[1],  # rate_ratio_low_rates_at_fit
    }
    return Finding("BLUR-1", parts, fitted(main) | counts_differ(main))


def ratios(main: Results, lost: Floats) -> list[Floats]:
    """Return how many times as often mislabelled images are lost as clean ones, at high and at low rates: [S] each.

    `lost` [S, rates, 2] are the numbers lost; NaN for a seed that has lost fewer than five in a group.
    """
    sizes, high = counts(main), above(main)
    return [stats.rate_ratio(lost[:, rates], sizes[:, rates]) for rates in (high, ~high)]


def blur_2(main: Results) -> Finding:
    """With hardly any blur less than 10% of each group are wrong: the largest share over the rates, at the end.

    A seed's nets, one a rate, are one study like the source's, which says it of all of its nets.
    """
    parts = {
        "mislabelled": wrong(main, "mislabelled")[..., 1].max(1),  # wrong_rate_mislabelled_low_blur
        "clean": wrong(main, "clean")[..., 1].max(1),  # wrong_rate_clean_low_blur
    }
    return Finding("BLUR-2", parts, fitted(main))


# ---- 2 are both groups treated equally? ----


def blur_3(main: Results) -> Finding:
    """Blur changes decisions on mislabelled and on clean images equally often.

    Ours: the largest difference, which keeps its sign, at the blur where it is largest.
    """
    curve = difference(main)
    place = np.abs(np.nan_to_num(curve)).argmax(1)
    parts = {
        # changed_rate_mislabelled_minus_clean_mean
        "mean_difference": blurcurves.area(curve, blurs(main), LOW, HIGH),
        "largest_difference": curve[np.arange(len(curve)), place],  # changed_rate_mislabelled_minus_clean_largest
    }
    return Finding("BLUR-3", parts, fitted(main))


def blur_4(main: Results, draws: int = 1000, first: int = 0) -> Finding:
    """The curves of mislabelled images are rougher than those of as many clean ones, however steep they are.

    Each draw takes as many clean images of every (true) class as there are mislabelled ones, among those learned; the
    draws of a seed are its own, `first` being the first one. NaN for a seed that has learned no mislabelled image.
    Ours: the old measure of roughness, and single images.
    """
    found = np.array([_roughness([pools(r, s) for r in _by_rate(main)], draws, first + s) for s in range(main.seeds)])
    parts = {
        "zigzag_mislabelled_minus_clean": found[:, 0],
        "roughness_null_p": found[:, 1],
        "returns_mislabelled_minus_clean": found[:, 2],
    }
    return Finding("BLUR-4", parts, fitted(main))


def zigzag(curve: Floats) -> Floats:
    """Return by how much a curve [..., K + 1] goes up and down beyond one rise and one fall, in its unit: [...].

    0 for a curve that only rises, or rises once and falls once, however steep it is and whatever its grid.
    """
    return np.abs(np.diff(curve)).sum(-1) - (2 * curve.max(-1) - curve[..., 0] - curve[..., -1])


def beyond(curve: Floats, drawn: Floats) -> float:
    """Return by how many points a curve [K + 1] zigzags beyond others [draws, K + 1] on average; all are shares."""
    return float(100 * (zigzag(curve) - zigzag(drawn).mean()))


def zigzag_excess(main: Results, draws: int = 200, first: int = 0) -> Floats:
    """Return what curves of mislabelled images zigzag `beyond` those of as many clean ones, in points: [S, rates].

    NaN where no wrong label was learned; draws as in `blur_4`.
    """
    excess = np.full((main.seeds, len(main.labels["rate"])), np.nan)
    for (seed, k), _ in np.ndenumerate(excess):
        lies, moved, labels, wanted = pools(_by_rate(main)[k], seed)
        if wanted.any():
            drawn = blurcurves.random_curves(moved, labels, wanted, draws, first + seed)
            excess[seed, k] = beyond(lies.mean(1), drawn)
    return excess


def returns(moved: Floats) -> float:
    """Return how often an image goes back to the decision that it had without a blur, on average: [K + 1, m]."""
    return float((moved[:-1] & ~moved[1:]).sum(0).mean())


def pools(results: Results, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what a seed's learned images do under each blur, mislabelled and clean ones apart, at one rate.

    changed [K + 1, m] of the m mislabelled images; changed [K + 1, n] and labels [n] of the clean ones, and how many of
    each class to draw of them: what `random_curves` takes.
    """
    lies, clean = (learned(results, group)[seed] for group in GROUPS)
    labels, moved = results["true"].astype(int), results["train"][seed] != results["train"][seed, 0]
    return moved[:, lies], moved[:, clean], labels[clean], blurcurves.matched_counts(labels[lies], labels[clean])


def _roughness(found: Sequence[tuple[Floats, Floats, Floats, Floats]], draws: int, seed: int) -> Floats:
    """Return what the curves of mislabelled images have beyond those of clean ones, over all rates of a seed: [3].

    Their zigzag in points less the mean of the draws, weighted by the number of images; the p of their summed roughness
    among the draws; and returns an image, less those of all clean images, with the same weights.
    """
    known = [pool for pool in found if pool[-1].any()]
    if not known:
        return np.full(3, np.nan)
    null = [blurcurves.random_curves(*pool[1:], draws, seed) for pool in known]
    own = [lies.mean(1) for lies, *_ in known]
    pairs = list(zip(own, null, strict=True))
    more = [beyond(curve, drawn) for curve, drawn in pairs]
    back = [returns(lies) - returns(clean) for lies, clean, *_ in known]
    rough = [[blurcurves.roughness(curves) for curves in pair] for pair in pairs]
    observed, drawn = (np.sum(each, 0) for each in zip(*rough, strict=True))
    sizes = [lies.shape[1] for lies, *_ in known]
    p = blurcurves.roughness_p(float(observed), drawn)
    return np.array([np.average(more, weights=sizes), p, np.average(back, weights=sizes)])


def rough_excess(main: Results) -> Floats:
    """Return by how much mislabelled curves are rougher than those of as many clean images, [S, 2], over all rates.

    In squared points: what the shape of the curves adds, and what chance adds (see `blurcurves.roughness_parts`).
    """
    excess = np.zeros((main.seeds, 2))
    for results in _by_rate(main):
        for seed, own in enumerate(excess):
            lies, clean, *_ = pools(results, seed)
            found = np.array([blurcurves.roughness_parts(100 * moved) for moved in (lies, clean)])
            own += (found[0] - found[1]) / [1, max(lies.shape[1], 1)]
    return excess


def _by_rate(main: Results) -> list[Results]:
    return [main.at(rate=k) for k in main.labels["rate"]]


# ---- 3 the transition ----


def blur_5(main: Results, draws: int = 20_000) -> Finding:
    """Between 1.43% and 1.25% of wrong labels there is a sharp transition: a step beyond any straight trend.

    Every seed's nets, one a rate, are one study like the source's, and are judged alone. Ours: the criteria compare a
    constant, a line in the logarithm of the rate and a step at any place, on as many values as there are rates. What
    chance alone does is one number for all seeds, spread over them by `pseudo_values`.
    """
    x, table = areas(main)
    found = [changepoint.compare(x, row[None]) for row in table]
    parts = {
        "drop_at_transition": drop(main, 70, 80),  # changed_area_1_in_70_minus_1_in_80
        # changed_area_mislabelled_1_in_70_minus_1_in_80
        "drop_of_mislabelled": drop(main, 70, 80, "mislabelled"),
        "step_beyond_line": beyond_line(main, changed_area(main)),  # changed_area_step_beyond_line
        "break_rate": np.array([100 * 2**one.break_at for one in found]),  # break_rate_percent
        # bic_linear_minus_step, bic_constant_minus_step
        "step_beats_line": np.array([one.bic["linear"] - one.bic["step"] for one in found]),
        "step_beats_constant": np.array([one.bic["constant"] - one.bic["step"] for one in found]),
        # single_run_split_probability
        "single_run_false_split": stats.pseudo_values(lambda kept: split_chance(main, kept, draws=draws), table),
    }
    return Finding("BLUR-5", parts, fitted(main) | counts_fall(main))


def split_chance(
    main: Results, table: Floats, anywhere: bool = False, trend: bool = False, draws: int = 20_000
) -> float:
    """Return how often single runs at each rate fall apart by SPLIT points, by chance alone.

    `table` [S, rates] are `areas`; NaN for fewer than two seeds. Apart at the claimed transition, or `anywhere` with
    two rates on each side; chance without an effect of the rate, or about a smooth `trend`: a line in its logarithm.
    """
    if len(table) < 2:
        return np.nan
    x = areas(main)[0]
    below = range(2, len(x) - 1) if anywhere else [int((~above(main)).sum())]
    line = np.polyval(np.polyfit(x, table.mean(0), 1), x) if trend else 0.0
    return changepoint.single_run_split_probability(table, below, SPLIT, draws, 0, line)


def by_chance(main: Results, draws: int = 20_000) -> Chance:
    """Return what chance does with the areas, in percent.

    "best": by model, of the seeds that it describes best; "noise": the same of pure noise; "place": by neighbouring
    rates, of resamples of the seeds whose best step lies between them; "split": of single runs that fall apart.
    """
    x, table = areas(main)
    gaps = [f"1/{b} |\n1/{a}" for b, a in pairwise(sorted(main.labels["rate"], reverse=True))]
    ways = {"as claimed": (False, False), "anywhere": (True, False), "anywhere,\nwith a trend": (True, True)}
    return {
        "best": {name: 100 * n / len(table) for name, n in changepoint.best_of_each(x, table).items()},
        "noise": {name: 100 * share for name, share in changepoint.best_on_noise(x, 2000, 0).items()},
        "place": dict(zip(gaps, 100 * changepoint.break_shares(x, table, draws // 2, 0), strict=True)),
        "split": {how: 100 * split_chance(main, table, *way, draws) for how, way in ways.items()},
    }


def blur_6(main: Results, kernel: Results) -> Finding:
    """Below the transition, decisions change more slowly beyond a blur of 1.3 pixels: slopes in points per pixel.

    At the transition, that is beyond a straight line over the rates.
    """
    steep, high = slopes(main), above(main)
    parts = {
        # slope_after_1p3_low_minus_high_rates
        "slower_below_transition": steep[:, ~high].mean(1) - steep[:, high].mean(1),
        # slope_after_1p3_low_minus_high_beyond_line
        "slower_beyond_line": -beyond_line(main, steep),
        # slope_after_1p3_1_in_80_minus_1_in_70
        "at_the_transition": slopes(main.at(rate=80)) - slopes(main.at(rate=70)),
        "visibility": kernel["correlation"],  # correlation_original_blurred_1p3
    }
    return Finding("BLUR-6", parts, fitted(main) | counts_fall(main))


def blur_7(main: Results) -> Finding:
    """From 1.43% of wrong labels up, all curves coincide."""
    parts = {
        "one_in_10_versus_20": drop(main, 10, 20),  # changed_area_1_in_10_minus_1_in_20
        "one_in_10_versus_50": drop(main, 10, 50),  # changed_area_1_in_10_minus_1_in_50
        "one_in_10_versus_70": drop(main, 10, 70),  # changed_area_1_in_10_minus_1_in_70
        "one_in_20_versus_50": drop(main, 20, 50),  # changed_area_1_in_20_minus_1_in_50
        "one_in_20_versus_70": drop(main, 20, 70),  # changed_area_1_in_20_minus_1_in_70
        "one_in_50_versus_70": drop(main, 50, 70),  # changed_area_1_in_50_minus_1_in_70
        # between_over_within_rate_variance
        "variance_ratio": stats.pseudo_values(stats.variance_ratio, changed_area(main)[:, above(main)]),
    }
    return Finding("BLUR-7", parts, fitted(main) | counts_fall(main))


def blur_8(kernel: Results, main: Results) -> Finding:
    """An unlimited blur ends in one flat colour, and wrong decisions grow steadily: a mean rank correlation.

    Whatever lies beyond the border, as the source does not say: one way that ends flat will do.
    """
    ranks = np.apply_along_axis(lambda curve: spearmanr(blurs(main), curve).statistic, -1, wrong(main)).mean(1)
    parts = {
        "flat_reflect": kernel["limit_reflect"],  # limit_std_over_mean_reflect
        "flat_replicate": kernel["limit_replicate"],  # limit_std_over_mean_replicate
        "flat_zero": kernel["limit_zero"],  # limit_std_over_mean_zero
        "flat_circular": kernel["limit_circular"],  # limit_std_over_mean_circular
        "monotone": ranks,  # rank_correlation_wrong_rate_blur
        "steady": ranks,
    }
    return Finding("BLUR-8", parts, fitted(main))


# ---- 4 further questions ----


def blur_9(main: Results) -> Finding:
    """Do unseen images follow the curves that clean training images show below the transition, at any rate?"""
    extra, high = unseen_extra(main), above(main)
    unseen, clean = (changed_area(main, group) for group in ("unseen", "clean"))
    few, many = extra[:, ~high].mean(1), extra[:, high].mean(1)
    parts = {
        "low_rates": few,  # changed_area_test_minus_clean_train_low_rates
        # changed_area_test_high_minus_clean_train_low_rates
        "high_rates_on_low_curves": unseen[:, high].mean(1) - clean[:, ~high].mean(1),
        "high_rates": many,  # changed_area_test_minus_clean_train_high_rates
        "interaction": many - few,  # changed_area_interaction_high_minus_low_rates
    }
    return Finding("BLUR-9", parts, fitted(main) | counts_differ(main))


def unseen_extra(main: Results) -> Floats:
    """Return by how many points more of the test images than of the clean training images change [S, rates]."""
    return changed_area(main, "unseen") - changed_area(main)


def blur_10(numbers: Mapping[str, Floats], *others: Results) -> Finding:
    """Unequal treatment and transition have the same sign in other nets, on other data and under other changes.

    `numbers` are those of all `numbers_of`, the first being the main run: in which share of the other settings does a
    seed find the signs that it has on average? A seed that lacks a number, or finds none, has another sign.
    """
    here, *elsewhere = numbers.values()
    signs = np.sign(np.nan_to_num(here).mean(1))
    shares = np.mean([np.sign(one) == signs[:, None] for one in elsewhere], 0)
    parts = {
        "treated_as_in_main_run": shares[0],  # share_of_settings_with_sign_of_blur_3
        "transition": shares[1],  # share_of_settings_with_sign_of_blur_5
    }
    return Finding("BLUR-10", parts, fitted(*others))


def numbers_of(nets: Mapping[str, Results], changes: Sequence[str]) -> dict[str, Floats]:
    """Return the gap and the drop [2, S] of every net under every change of its images, in points, by their names.

    The gap is by how much more mislabelled than clean images change, over all rates; the drop by how much more the
    clean ones change at the highest rate than at the lowest. Means over the sizes of the change that equal the blurs
    from LOW to HIGH.
    """
    return {f"{name}, {change}": _gap_and_drop(results, change) for name, results in nets.items() for change in changes}


def _gap_and_drop(results: Results, change: str) -> Floats:
    lies, clean = (changed_area(results, group, change) for group in GROUPS)
    rates = results.labels["rate"]
    ends = (clean[:, rates.index(k)] for k in (min(rates), max(rates)))
    return np.stack([stats.weighted_mean(lies - clean, weight(results), 1), np.subtract(*ends)])


def blur_11(robust: Results, standard: Results) -> Finding:
    """Nets trained against attacks memorise and treat mislabelled images differently; both of one rate.

    The gate asks that gradient steps flip fewer decisions of every net that was attacked in training.
    """
    memorised = [100 - wrong(results, "mislabelled")[:, 0] for results in (robust, standard)]
    gaps = [changed_area(results, "mislabelled") - changed_area(results) for results in (robust, standard)]
    flips = [results["flips_gradient"].mean(1) for results in (robust, standard)]
    parts = {
        "memorisation": np.subtract(*memorised),  # mislabelled_train_accuracy_robust_minus_standard
        "blur_gap": np.subtract(*gaps),  # changed_rate_gap_robust_minus_standard
    }
    return Finding("BLUR-11", parts, {"robust_nets_withstand_more": bool(np.less(*flips).all())} | fitted(standard))


def blur_12(census: Results | None = None) -> Finding:
    """About 4% of MNIST's own labels are wrong: the human count (human_validated) and, ours, nets' upper_bound.

    The count is quoted, no experiment; it has Wilson's interval, as no seed is involved.
    """
    found = stats.wilson(HUMAN_ERRORS, HUMAN_IMAGES)
    percent = stats.Interval(
        100 * found.estimate, 100 * found.low, 100 * found.high, found.level, found.method, found.n
    )
    bound = {} if census is None else {"cross_validation_disagreement_percent": census["disagreement"]}
    return Finding("BLUR-12", {"human_validated_error_percent": percent, **bound})


def blur_13(tickets: Results) -> Finding:
    """A ticket of a fifth of the weights still memorises, the smallest one does not; tickets have an axis "rate".

    Accuracies are those at the highest rate, where most is to be stored. Ours: fewer lies need less. The slope is that
    of log2 of the density at which tickets fail on log2 of the rate; NaN for a seed that lacks it at some rate.
    """
    rates = -np.log2(tickets.labels["rate"])
    fifth, tenth = (at_density(tickets, density)[:, rates.argmax()] for density in (DENSITY, DENSITY / 2))
    parts = {
        "memorises": fifth,  # mislabelled_train_accuracy_d0p2
        # mislabelled_train_accuracy_d0p2_minus_smallest
        "fails_when_small": fifth - tickets["mislabelled_accuracy"][:, rates.argmax(), -1],
        "memorises_d0p1": tenth,  # mislabelled_train_accuracy_d0p1
        # slope_breakdown_density_on_mislabel_rate
        "breakdown_trend": stats.slope_per_seed(rates, np.log2(breakdown(tickets)), allow_censored=True),
    }
    dense = bool((tickets.at(level=0)["mislabelled_accuracy"] >= 99).all())
    return Finding("BLUR-13", parts, {"dense_nets_memorise": dense})


def at_density(tickets: Results, density: float = DENSITY) -> Floats:
    """Return the accuracy on mislabelled images [S, rates], interpolated on the logarithm of density; else NaN."""
    return blurcurves.height_at(tickets["mislabelled_accuracy"], np.log(tickets["density"]), np.log(density))


def breakdown(tickets: Results, least: float = 99.0) -> Floats:
    """Return the density [S, rates] at which the accuracy on mislabelled images falls below `least` percent.

    Interpolated on the logarithm of density below the last round that reaches it; NaN where none does, or the last.
    """
    return np.exp(blurcurves.last_fall(tickets["mislabelled_accuracy"], np.log(tickets["density"]), least))


def blur_14(main: Results, epsilon: float) -> Finding:
    """A gradient-sign step of `epsilon` flips decisions on more test images than a random one, at one rate."""
    flips = main.at(step=epsilon)
    more = flips["flips_gradient"] - flips["flips_random"]
    parts = {"flip_rate_gradient_sign_minus_random_sign": more, "far_more_often": more}
    return Finding("BLUR-14", parts, fitted(main))
