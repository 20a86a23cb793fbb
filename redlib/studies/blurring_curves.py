"""Curves of decisions against blur, areas under them and the like, from the runs of the blurring study.

Results are the arrays of `blurring.run`; `by_rate` maps k (every k-th image is mislabelled) to those of one net. Curves
are [S, K + 1] over no blur and the K of the run, areas [S], in percent, NaN where a seed has nothing to count. Images
are never pooled over seeds. Where several nets of a seed make one number they are strata, weighted as Mantel & Haenszel
(1959) do: nets with twice as many mislabelled images count about twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from redlib.measures.blurcurves import area, changed_rate, roughness
from redlib.studies.blurring import Arrays

Floats = np.ndarray
ByRate = Mapping[int, Arrays]
FITTED = 0.999  # training accuracy that the source asks for
LOW, HIGH = 1.3, 4.0  # blurs between which changed decisions are averaged, in pixels of a 28-pixel image
LAST_ABOVE = 70  # one in 70 is the last rate above the claimed transition


def groups(results: Arrays) -> dict[str, np.ndarray]:
    """Return which training images are in each group, bool [S, n]: all, clean and mislabelled."""
    wrong = results["assigned"] != results["labels"]
    return {"all": np.ones_like(wrong), "clean": ~wrong, "mislabelled": wrong}


def learned(results: Arrays) -> np.ndarray:
    """Return which training images the trained net takes as it was told, without a blur [S, n]."""
    return np.asarray(results["train"][:, 0] == results["assigned"])


def percentages(pred: np.ndarray, reference: np.ndarray, among: np.ndarray) -> Floats:
    """Return the percentage of a group [S, n] decided otherwise than `reference` [S, n]: [S, K], NaN without any."""
    found = np.full(pred.shape[:2], np.nan)
    some = among.any(1)
    if some.any():
        found[some] = 100 * changed_rate(pred[some], reference[some], among[some])
    return found


def wrong(results: Arrays, group: str = "all") -> Floats:
    """Return the curve of decisions other than the assigned label [S, K + 1]."""
    return percentages(results["train"], results["assigned"], groups(results)[group])


def changed(results: Arrays, group: str = "all") -> Floats:
    """Return the curve of changed decisions [S, K + 1]: of a group's learned images, or of all `test` images."""
    if group == "test":
        pred = results["test"]
        return percentages(pred, pred[:, 0], np.ones(pred[:, 0].shape, bool))
    return percentages(results["train"], results["train"][:, 0], groups(results)[group] & learned(results))


def returned(results: Arrays) -> Floats:
    """Return the percentage of learned mislabelled images taken for their true class, by blur [S, K + 1]."""
    among = groups(results)["mislabelled"] & learned(results)
    return 100 - percentages(results["train"], results["labels"], among)


def changed_area(results: Arrays, group: str = "clean") -> Floats:
    """Return the mean of `changed` between the blurs LOW and HIGH [S]."""
    return area(changed(results, group), sigmas(results), LOW, HIGH)


def sigmas(results: Arrays) -> Floats:
    """Return the standard deviations of the blurs, 0 first [K + 1]."""
    return np.asarray(results["sigmas"][0])


def counts(results: Arrays) -> tuple[Floats, Floats]:
    """Return the numbers of mislabelled and of clean training images [S]."""
    found = groups(results)
    return found["mislabelled"].sum(1), found["clean"].sum(1)


def accuracy(results: Arrays) -> Floats:
    """Return the training accuracy by the labels told, at every look [S, T], BatchNorm statistics fixed."""
    missed = results["wrong_clean"] + results["wrong_mislabelled"]
    return np.asarray(1 - missed / results["assigned"].shape[1])


def low_rates(by_rate: ByRate) -> list[int]:
    """Return the rates below the claimed transition."""
    return [k for k in sorted(by_rate) if k > LAST_ABOVE]


def high_rates(by_rate: ByRate) -> list[int]:
    """Return the rates above the claimed transition."""
    return [k for k in sorted(by_rate) if k <= LAST_ABOVE]


def epochs_to_fit(results: Arrays) -> Floats:
    """Return the epoch of the first look with 99.9% of the labels learned [S], NaN if there is none."""
    enough = accuracy(results) >= FITTED
    return np.where(enough.any(1), results["epochs"][enough.argmax(1)], np.nan)


def events(results: Arrays) -> Floats:
    """Return how many mislabelled and clean training images are not taken as told when 99.9% are learned [2, S].

    At the first such look; NaN if there is none.
    """
    lost = np.stack([results["wrong_mislabelled"], results["wrong_clean"]]).astype(float)
    enough = accuracy(results) >= FITTED
    return np.where(enough.any(1), lost[:, np.arange(len(enough)), enough.argmax(1)], np.nan)


def difference(by_rate: ByRate) -> Floats:
    """Return how many points more of the mislabelled than of the clean images change, by blur [S, K + 1]."""
    gaps = [changed(r, "mislabelled") - changed(r, "clean") for r in by_rate.values()]
    return combined(gaps, [weight(r) for r in by_rate.values()])


def weight(results: Arrays) -> Floats:
    """Return the weight of a net's difference of rates [S]: the product of the learned groups' sizes over their sum."""
    mislabelled, clean = ((groups(results)[g] & learned(results)).sum(1) for g in ("mislabelled", "clean"))
    return mislabelled * clean / np.maximum(mislabelled + clean, 1)


def combined(values: Sequence[Floats], weights: Sequence[Floats]) -> Floats:
    """Return the weighted mean of values [S, ...] of several nets, weights [S]; those with weight 0 do not count."""
    stacked, heavy = np.stack(values), np.stack(weights)
    heavy = heavy.reshape(heavy.shape + (1,) * (stacked.ndim - heavy.ndim))
    total = heavy.sum(0)
    return np.where(total > 0, (np.nan_to_num(stacked) * heavy).sum(0) / np.where(total > 0, total, 1), np.nan)


def areas(by_rate: ByRate) -> Floats:
    """Return `changed_area` of the clean images at every rate, the lowest rate first [S, rates].

    Not of all images: mislabelled ones change more, so a higher rate would raise the area by their number alone.
    """
    return np.stack([changed_area(by_rate[k]) for k in sorted(by_rate, reverse=True)], 1)


def log_rates(by_rate: ByRate) -> Floats:
    """Return log2 of the shares of wrong labels 1/k, rising as in `areas`."""
    return -np.log2(sorted(by_rate, reverse=True))


def roughness_parts(results: Arrays, group: str) -> tuple[Floats, Floats]:
    """Return what of the roughness of a group's curve is its shape, and what an image adds by chance, [S] each.

    The roughness is the sum of squared second differences, in squared points. For n images its expectation is that of
    the expected curve, its shape, plus chance / n: chance is the variance between images of the second differences of
    their own curves of 0 and 1, summed over blurs. Both estimates are unbiased; NaN for fewer than two images.
    """
    among = groups(results)[group] & learned(results)
    shape, chance = np.full((2, len(among)), np.nan)
    for seed, own in enumerate(among):
        moved = 100.0 * (results["train"][seed][:, own] != results["train"][seed, 0, own])
        if own.sum() > 1:
            chance[seed] = np.diff(moved, 2, axis=0).var(1, ddof=1).sum()
            shape[seed] = roughness(moved.mean(1)) - chance[seed] / own.sum()
    return shape, chance


def rough_excess(by_rate: ByRate) -> Floats:
    """Return by how much mislabelled curves are rougher than those of as many clean images, [2, S], over all rates.

    In squared points: what the shape of the curves adds, and what chance adds (see `roughness_parts`).
    """
    found = np.zeros((2, len(next(iter(by_rate.values()))["assigned"])))
    for results in by_rate.values():
        (bend, chance), (clean_bend, clean_chance) = (roughness_parts(results, g) for g in ("mislabelled", "clean"))
        among = (groups(results)["mislabelled"] & learned(results)).sum(1)
        found += np.stack([bend - clean_bend, (chance - clean_chance) / np.maximum(among, 1)])
    return found


def pseudo_values(statistic: Callable[[Floats], float], values: Floats) -> Floats:
    """Return the jackknife's pseudo-values of a statistic of values [S, ...]: one a seed, [S] (Tukey 1958).

    Their mean is the statistic less its first-order bias, their spread what the seeds contribute to it.
    """
    count = len(values)
    without = [statistic(np.delete(values, seed, 0)) for seed in range(count)]
    return count * statistic(values) - (count - 1) * np.array(without)


def drop(by_rate: ByRate, a: int, b: int) -> Floats:
    """Return by how many points `changed_area` of the clean images at one in `a` exceeds that at one in `b` [S]."""
    return changed_area(by_rate[a]) - changed_area(by_rate[b])


def group_areas(results: Arrays, change: str) -> tuple[Floats, Floats]:
    """Return `changed_area` of the mislabelled and of the clean images under a change, [S] each."""
    if change == "blur":
        return changed_area(results, "mislabelled"), changed_area(results, "clean")
    found = area(100 * results[f"changed_{change}"], results["sizes"][0], LOW, HIGH)
    return found[:, 0], found[:, 1]


def memorised(results: Arrays) -> Floats:
    """Return the percentage of mislabelled images learned as told, at the end [S]."""
    return 100 - wrong(results, "mislabelled")[:, 0]
