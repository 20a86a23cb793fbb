"""From the spectra and low-rank runs to one number a seed for each part of a claim.

Results are the arrays of `weight_spectra.run`; what comes out is [S]. A number of a net's spectra is the mean over its
layers of at least 50 eigenvalues; what must hold in each layer is that of the layer in which it holds least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from redlib.evidence.stats import slope_per_seed
from redlib.measures.powerlaws import PHASES
from redlib.studies.weight_spectra import Arrays

Floats = np.ndarray
RANKS = (4, 16)  # 16 of 1,024 directions, as the source has it, are 4 of 256
LAST = -1


def net_mean(results: Arrays, name: str) -> Floats:
    """Return a quantity of the spectra at each look, the mean over layers [S, T]."""
    return results[name].mean(2)


def change(results: Arrays, name: str) -> Floats:
    """Return how far the mean over layers has risen from the untrained net to the end [S]."""
    curve = net_mean(results, name)
    return curve[:, LAST] - curve[:, 0]


def learned(results: Arrays, most: float, name: str = "learned") -> dict[str, bool]:
    """Return the gate of a run: at the end no seed has more than the share `most` of training errors."""
    return {name: bool((results["train_error"][:, LAST] <= most).all())}


def spectra_claim(main: Arrays, by_batch: Mapping[int, Arrays]) -> dict[str, Floats]:
    """Return RMT-21 from a training and those with other batch sizes."""
    return {
        "slope_spike_count_on_epoch": spike_growth(main),
        "ks_distance_to_bulk_end_minus_start": change(main, "distance"),
        "slope_spike_count_on_log2_batch": batch_trend(by_batch),
        "bulk_sigma_end_minus_start": sigma_change(main),
    }


def spike_growth(results: Arrays) -> Floats:
    """Return the slope of the number of spikes on epochs over all looks, in spikes per epoch [S]."""
    return slope_per_seed(results["epochs"], net_mean(results, "spikes"))


def batch_trend(by_batch: Mapping[int, Arrays], name: str = "spikes") -> Floats:
    """Return the slope of a quantity at the end on log2 of the batch size [S]."""
    sizes = sorted(by_batch)
    ends = np.stack([net_mean(by_batch[size], name)[:, LAST] for size in sizes], 1)
    return slope_per_seed(np.log2(sizes), ends)


def batch_trend_at_error(by_batch: Mapping[int, Arrays], error: float, name: str = "spikes") -> Floats:
    """Return `batch_trend` of nets that have learned equally much: at the first look with at most `error` [S].

    `error` is a share of the training examples. NaN for a seed with a batch size that never gets there. Large batches
    learn less in an epoch, so at the same error they have been trained for longer, though with fewer steps.
    """
    sizes = sorted(by_batch)
    table = np.stack([at_error(by_batch[size], error, name) for size in sizes], 1)
    return slope_per_seed(np.log2(sizes), table, allow_censored=True)


def at_error(results: Arrays, error: float, name: str = "spikes") -> Floats:
    """Return the mean over layers at the first look with at most this share of training errors [S], else NaN."""
    enough = results["train_error"] <= error
    values = np.take_along_axis(net_mean(results, name), enough.argmax(1)[:, None], 1)[:, 0]
    return np.where(enough.any(1), values, np.nan)


def sigma_change(results: Arrays) -> Floats:
    """Return how far the sigma of the bulk has risen, in units of that at the start, mean over layers [S]."""
    sigma = results["sigma"]
    return (sigma[:, LAST] / sigma[:, 0] - 1).mean(1)


def phase_counts(results: Arrays, look: int = LAST) -> Floats:
    """Return in how many seeds each layer is in each phase at a look, [L, phases] in the order of PHASES.

    Zeros where no phase was told at that look.
    """
    told = results["phase"][:, look]
    return np.stack([(told == phase).sum(0) for phase in range(len(PHASES))], 1)


def low_rank_claim(results: Arrays, ranks: Sequence[int], kept: Sequence[int] = RANKS) -> dict[str, Floats]:
    """Return RMT-22, in percentage points, for the ranks `kept` of those of the run, in each layer and in all.

    Random directions are compared with as many top ones as there are in the largest of `kept`.
    """
    full, most = results["accuracy_full"], max(kept)
    found = {}
    for k in kept:
        each, joint = (results[f"accuracy_top_{how}"][:, place(ranks, k)] for how in ("layerwise", "joint"))
        found[f"accuracy_top_{k}_minus_full_layerwise"] = each.min(1) - full
        found[f"accuracy_top_{k}_minus_full_joint"] = joint - full
    return found | {
        f"accuracy_random_{most}_minus_top_{most}_layerwise": random_minus_top(results, ranks, most).max(1),
        f"accuracy_random_{most}_minus_top_{most}_joint": random_minus_top(results, ranks, most, "joint"),
    }


def random_minus_top(results: Arrays, ranks: Sequence[int], k: int, how: str = "layerwise") -> Floats:
    """Return the lead of random directions over as many top ones: [S, L] in points, [S] for `how` = "joint"."""
    random, top = (results[f"accuracy_{kind}_{how}"][:, place(ranks, k)] for kind in ("random", "top"))
    return random - top


def residual_claim(results: Arrays, ranks: Sequence[int], k: int = max(RANKS)) -> dict[str, Floats]:
    """Return RMT-23 for what the top `k` directions leave, the mean over layers; the larger ratio is of the two means.

    16 directions, as in the source: the claim is about what is left by as many as carry the accuracy, and with ten
    classes 4 can be too few for that.
    """
    start, whole = (results[f"residual_over_{name}"][:, place(ranks, k)].mean(1) for name in ("start", "change"))
    return {
        "larger_residual_spectral_norm_ratio": np.maximum(start, whole),
        "residual_over_start_spectral_norm": start,
        "residual_over_change_spectral_norm": whole,
    }


def place(ranks: Sequence[int], k: int) -> int:
    """Return the position of rank `k`; ValueError if the run has not kept so many."""
    return list(ranks).index(k)
