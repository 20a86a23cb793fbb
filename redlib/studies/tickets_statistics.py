"""From the runs of the ticket study to one number a seed for each part of a claim.

Accuracies are in percentage points, at the step of least validation loss (`early`) unless a function says otherwise.
Every array is [S]; a level is a pruning round, d21 (7 rounds of 20%) and d11 (10 rounds) name the densities 21% and
10.7%. Two things are worked out here from stored weights, as they need no training: movement and concentration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import fisher_exact

from redlib.evidence.stats import Interval, slope_per_seed
from redlib.measures import concentration, movement
from redlib.measures.connectivity import barrier
from redlib.pruning.allocation import keep, round_counts, shapes_of
from redlib.pruning.masks import weights_of
from redlib.studies.experiments import SHARED
from redlib.studies.tickets import Arrays, Lab, restored, setting, unpacked
from redlib.studies.tickets_plan import CONTROLS as SIGNS
from redlib.studies.tickets_plan import D11, D21, MOVED, QUICK_ROUNDS

D51, D13, D4 = 3, 9, 15  # pruning rounds of 20%, with D21 and D11
Floats = np.ndarray


def chain(done: Mapping[str, Arrays], name: str, depth: int) -> Arrays:
    """Return the levels 0 … depth of the chain `name` as one result with axes [S, levels, ...]."""
    found = [done[f"{name} {level}"] for level in range(depth + 1)]
    kept = [key for key in found[0] if key not in ("steps", "survives", "final", "trained")]
    return {"steps": found[0]["steps"]} | {key: np.stack([level[key] for level in found], 1) for key in kept}


def accuracy(results: Arrays, *where: int, when: str = "early") -> Floats:
    """Return accuracy in points, `when` early or final; `where` picks from the axes after the seeds."""
    return 100 * (1 - _at(results[f"{when}_error"], where))


def at_end(results: Arrays, *where: int) -> Floats:
    """Return accuracy in points at the end of training."""
    return accuracy(results, *where, when="final")


def speed(results: Arrays, *where: int) -> Floats:
    """Return log2 of the steps to the least validation loss; one at the last look is a lower bound (censored)."""
    return np.asarray(np.log2(_at(results["early_step"], where)))


def stop_step(results: Arrays, *where: int) -> Floats:
    """Return the steps to the least validation loss."""
    return 2.0 ** speed(results, *where)


def censored(results: Arrays, *where: int) -> Floats:
    """Return where early stopping came only at the last look: the net was still learning."""
    return np.asarray(_at(results["early_step"], where) == results["steps"][-1])


def densities(lab: Lab, rounds: Sequence[int], rates: tuple[float, float] = (0.2, 0.1)) -> Floats:
    """Return the share of all weights kept after each number of rounds."""
    shapes = shapes_of(weights_of(setting(replace(lab, seeds=lab.seeds[:1]))[2]))
    kept = [sum(round_counts(shapes, done, *rates).values()) for done in rounds]
    return np.array(kept) / sum(round_counts(shapes, 0).values())


def main_claims(
    tickets: Arrays, arms: Arrays, levels: Sequence[int], reinit: int = 0, random: int = 1
) -> dict[str, dict[str, Floats]]:
    """Return LTH-1, LTH-2 and LTH-3 of the main chain and its arms [S, arms, levels]."""
    at = {level: position for position, level in enumerate(levels)}
    gains = {level: accuracy(tickets, level) - accuracy(tickets, 0) for level in (D51, D21, D13, D11, D4)}
    faster = speed(tickets, D21) - speed(arms, reinit, at[D21])
    over = {arm: {k: accuracy(tickets, k) - accuracy(arms, arm, at[k]) for k in (D21, D11)} for arm in (reinit, random)}
    first = {"gain_over_reinit_d21": over[reinit][D21], "gain_over_reinit_d11": over[reinit][D11]}
    first |= {"log2_early_stop_ratio_d21": faster, "reinit_over_ticket_early_stop_d21": 2.0**-faster}
    second = {"gain_over_random_d21": over[random][D21], "gain_over_random_d11": over[random][D11]}
    second |= {"ticket_accuracy_d11": accuracy(tickets, D11), "random_accuracy_d11": accuracy(arms, random, at[D11])}
    third = {
        "early_stop_ratio_d21": 2.0 ** (speed(tickets, D21) - speed(tickets, 0)),
        "gain_over_dense_d13": gains[D13],
    }
    third |= {f"gain_over_dense_d{d}": gains[k] for d, k in ((51, D51), (21, D21), (11, D11), (4, D4))}
    third["peak_gain_over_dense"] = peak_gain(tickets)
    return {"LTH-1": first, "LTH-2": second, "LTH-3": third}


def peak_gain(tickets: Arrays) -> Floats:
    """Return each seed's gain over dense at the level that is best for the *other* half of the seeds (cross-fit)."""
    gains = accuracy(tickets) - accuracy(tickets, 0)[:, None]
    half = np.arange(len(gains)) % 2 == 0
    best = np.where(half, gains[~half].mean(0).argmax() if (~half).any() else 0, gains[half].mean(0).argmax())
    return np.asarray(gains[np.arange(len(gains)), best])


def moves(
    lab: Lab, dense: Arrays, level: int, draws: int = 200, rates: tuple[float, float] = (0.2, 0.1)
) -> tuple[dict[str, Floats], Floats]:
    """Return LTH-9 in the largest layer of the dense net's own training, cut once to the counts of `level`.

    Second: the movement ratio under selection alone, [S, draws].
    """
    initial, final = start_and_end(lab, dense)
    name = largest(initial)
    count = round_counts(shapes_of(initial), level, *rates)[name]
    w0, w1 = (tensors[name].flatten(1).numpy() for tensors in (initial, final))
    mask = keep({name: final[name].abs()}, {name: count})[name].flatten(1)
    ratio = movement.movement_ratio(w0, w1, mask.numpy())
    null = movement.selection_null(w0, w1, count, lab.seeds, draws)
    return {"median_move_ratio": ratio, "share_of_null_below": movement.share_of_null_below(ratio, null)}, null


def start_and_end(lab: Lab, level: Arrays) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (initial weights, final weights) by layer, [S, out, in] each, of a level's training."""
    _, _, net = setting(lab)
    return weights_of(net), weights_of(restored(net, level["final"]))


def largest(weights: Mapping[str, Any]) -> str:
    """Return the name of the layer with the most weights."""
    return max(weights, key=lambda name: weights[name][0].numel())


def shape_of_weights(lab: Lab, dense: Arrays) -> dict[str, Floats]:
    """Return excess kurtosis of the largest layer's weights [S]: initial and trained, and their difference (LTH-33)."""
    initial, final = start_and_end(lab, dense)
    name = largest(initial)
    before, after = (movement.excess_kurtosis(tensors[name].numpy()) for tensors in (initial, final))
    return {"initial": before, "trained": after, "kurtosis_trained_minus_initial": after - before}


def spread(lab: Lab, deepest: Arrays, levels: Sequence[int]) -> dict[str, dict[str, Floats]]:
    """Return by layer incoming and outgoing variance ratios and excess co-survival, each [S, levels].

    Inputs that never vary in the training data (empty border pixels) take no part in the first layer.
    """
    _, parts, net = setting(lab)
    survives = unpacked(deepest["survives"], weights_of(net))
    alive = np.ptp(parts["train"].x.flatten(1).numpy(), axis=0) > 0
    found: dict[str, dict[str, Floats]] = {}
    for position, (name, last) in enumerate(survives.items()):
        columns = alive if position == 0 else None
        masks = [np.asarray(last >= level) for level in levels]
        found[name] = {
            "incoming": np.stack([concentration.variance_ratio(m, "incoming", columns) for m in masks], 1),
            "outgoing": np.stack([concentration.variance_ratio(m, "outgoing", columns) for m in masks], 1),
            "excess": np.stack([concentration.excess_over_null(m, "column", columns) for m in masks], 1),
        }
    return found


def concentrated(found: Mapping[str, Mapping[str, Floats]], at: int) -> dict[str, Floats]:
    """Return LTH-24 and LTH-25 at one of the levels: layers between inputs and outputs, averaged over hidden sides.

    Incoming: into hidden units. Outgoing: out of hidden units. Excess: over units of all hidden layers.
    """
    names = list(found)
    incoming = np.mean([np.log2(found[name]["incoming"][:, at]) for name in names[:-1]], 0)
    outgoing = np.mean([found[name]["outgoing"][:, at] for name in names[1:]], 0)
    excess = np.mean([found[name]["excess"][:, at] for name in names[:-1]], 0)
    return {
        "log2_incoming_variance_ratio": incoming,
        "outgoing_variance_ratio": outgoing,
        "excess_survival_over_null": excess,
    }


def criteria_claim(results: Arrays, names: Sequence[str]) -> dict[str, Floats]:
    """Return LTH-11 of one-shot criteria [S, criteria, (d20, d10)]."""
    short = {"largest": "magnitude", "growth": "magnitude_increase", "random": "random", "smallest": "small_final"}
    at = {name: names.index(long) for name, long in short.items()}
    pairs = [("growth", "largest"), *((a, b) for a in ("largest", "growth") for b in ("random", "smallest"))]
    return {
        f"{a}_minus_{b}_{d}": accuracy(results, at[a], k) - accuracy(results, at[b], k)
        for k, d in enumerate(("d20", "d10"))
        for a, b in pairs
    }


def arms_at(
    done: Mapping[str, Arrays], tickets: Arrays, controls: Sequence[str], at: int, signs: int
) -> dict[str, Floats]:
    """Return the accuracy of every arm at 10 rounds; `at`, `signs`: where that is among the rounds of the arms."""
    arms = {"dense": accuracy(tickets, 0), "ticket": accuracy(tickets, D11)}
    arms |= {name: accuracy(done["controls"], k, signs) for k, name in enumerate(SIGNS)}
    arms |= {name: accuracy(done[name], 0, 0) for name in ("finetuned", "patient", "late")}
    return arms | {name: accuracy(done["arms"], k, at) for k, name in enumerate(controls)}


def control_claims(arms: Mapping[str, Floats], initial_magnitude_minus_reinit: Floats) -> dict[str, dict[str, Floats]]:
    """Return LTH-10, LTH-14 and LTH-34 from the accuracies of the arms."""
    ticket, reinit = arms["ticket"], arms["reinit"]
    tenth = {"initial_magnitude_minus_reinit": initial_magnitude_minus_reinit}
    tenth |= {"noise_half_sd_minus_ticket": arms["noise_half"] - ticket}
    tenth |= {"noise_three_sd_minus_reinit": arms["noise_three"] - reinit}
    signs = {"keep_sign_minus_reinit": arms["keep_sign"] - reinit, "keep_sign_minus_ticket": arms["keep_sign"] - ticket}
    signs |= {"freeze_minus_zero": arms["frozen"] - ticket}
    tuned = {"finetuned_minus_reinit_d10": arms["finetuned"] - reinit}
    tuned |= {"finetuned_minus_rewound_d10": arms["finetuned"] - ticket}
    return {"LTH-10": tenth, "LTH-14": signs, "LTH-34": tuned}


def short_chains(done: Mapping[str, Arrays], chains: Sequence[str]) -> dict[str, dict[str, Floats]]:
    """Return the accuracy at the end of every short chain: end (its ticket), reinit, random, and carried tickets."""
    found = {"end": {name: accuracy(done[f"{name} {QUICK_ROUNDS}"]) for name in chains}}
    for k, arm in enumerate(("reinit", "random")):
        found[arm] = {name: accuracy(done[f"{name} arms"], k, 0) for name in chains}
    return found | {"carried": {name: accuracy(done[name], 0, 0) for name in MOVED}}


def transfer_claims(values: Mapping[str, Mapping[str, Floats]]) -> dict[str, dict[str, Floats]]:
    """Return LTH-17, LTH-19 and LTH-20 from `short_chains`; "large" trains by SGD, "other" by Adam."""
    carried, random = values["carried"], values["random"]
    gains = {name: values["end"][name] - values["reinit"][name] for name in ("small", "large")}
    halves = {"transfer_minus_random_d10": carried["halves"] - random["second"]}
    halves["transfer_minus_native_d10"] = carried["halves"] - values["end"]["second"]
    across = {"sgd_to_adam_minus_random": carried["to other"] - random["other"]}
    across["adam_to_sgd_minus_random"] = carried["from other"] - random["large"]
    rates = {"gain_small_minus_large_rate": gains["small"] - gains["large"], "gain_at_large_rate": gains["large"]}
    return {"LTH-17": halves, "LTH-19": across, "LTH-20": rates}


def behind_best_rate(done: Mapping[str, Arrays], rates: Sequence[float], chosen: float) -> float:
    """Return how many points of validation accuracy dense nets at the `chosen` rate lack to the best of the grid."""
    reached = {rate: 100 * (1 - done[f"rate {rate}"]["validation_error"].min(1).mean()) for rate in rates}
    return float(max(reached.values()) - reached[chosen])


def best_untrained(results: Arrays) -> dict[str, Floats]:
    """Return LTH-12 at the density with the best validation accuracy, for each seed and kind of weights."""
    best = results["validation_accuracy"].argmax(2)
    found = 100 * np.take_along_axis(results["test_accuracy"], best[:, :, None], 2)[:, :, 0]
    same = {"accuracy_initial": found[:, 0], "signed_constant_minus_initial": found[:, 1] - found[:, 0]}
    return same | {"fc_initial": found[:, 0], "fc_signed_constant": found[:, 1]}


def learned_claim(results: Arrays, trained: Floats) -> dict[str, Floats]:
    """Return LTH-13 of learned masks [S, (initial, constant), (plain, rescaled)] beside trained nets [S]."""
    test = 100 * results["test_accuracy"]
    kinds = {
        "fc_initial": (0, 0),
        "fc_signed_constant": (1, 0),
        "fc_rescaled_initial": (0, 1),
        "fc_rescaled_signed_constant": (1, 1),
    }
    return {
        "learned_accuracy": test[:, 0, 0],
        "rescaled_minus_plain": test[:, 0, 1] - test[:, 0, 0],
        "signed_constant_minus_initial": test[:, 1, 0] - test[:, 0, 0],
        "rescaled_signed_constant_minus_trained": test[:, 1, 1] - trained,
    } | {name: test[:, a, b] for name, (a, b) in kinds.items()}


def popup_claim(
    by_width: Mapping[float, Arrays], trained: Mapping[float, Floats], keeps: Sequence[float]
) -> dict[str, Floats]:
    """Return LTH-15: fractions and constants at the widest net, and the slope of the gap to training on log2 width."""
    widths = sorted(by_width)
    test = {width: 100 * by_width[width]["test_accuracy"] for width in widths}
    widest, half, tenth, most = test[widths[-1]], keeps.index(0.5), keeps.index(0.1), keeps.index(0.9)
    gap = np.stack([trained[width] - test[width][:, 1, half] for width in widths], 1)
    return {
        "half_minus_tenth": widest[:, 1, half] - widest[:, 1, tenth],
        "half_minus_nine_tenths": widest[:, 1, half] - widest[:, 1, most],
        "signed_constant_minus_normal": widest[:, 1, half] - widest[:, 0, half],
        "gap_width_slope": slope_per_seed(np.log2(widths), gap),
    }


def sized(done: Mapping[str, Arrays]) -> dict[int, Arrays]:
    """Return the tickets at the end of the chains "size N …", by N, the weights of the starting net."""
    ends = [name.split() for name in done if name.startswith("size ") and name.endswith(f" {QUICK_ROUNDS}")]
    return {weights: done[f"size {weights} {QUICK_ROUNDS}"] for weights in sorted(int(n) for _, n, _ in ends)}


def size_claim(ends: Mapping[int, Arrays]) -> dict[str, Floats]:
    """Return LTH-8: slopes of accuracy and of log2 early-stop step on log2 of the starting net's weights."""
    sizes = sorted(ends)
    at = np.log2(sizes)
    accuracies = np.stack([accuracy(ends[size]) for size in sizes], 1)
    steps = np.stack([speed(ends[size]) for size in sizes], 1)
    return {"accuracy_size_slope": slope_per_seed(at, accuracies), "early_stop_size_slope": slope_per_seed(at, steps)}


def small_claim(ticket: Floats, small: Arrays, counts: Sequence[int] = (1, 5, 20)) -> dict[str, Floats]:
    """Return LTH-35: the ticket's accuracy minus that of the best of K small nets, chosen by validation loss."""
    ticket = ticket[: len(small["early_error"])]
    best = {count: best_of(small, count) for count in counts}
    gaps = {f"ticket_minus_best_of_{count}": ticket - values for count, values in best.items()}
    slope = slope_per_seed(np.log2(counts), np.stack([ticket - best[count] for count in counts], 1))
    return gaps | {"gap_log2_count_slope": slope}


def best_of(small: Arrays, count: int) -> Floats:
    """Return the test accuracy [S] of the best by validation loss among each seed's first `count` small nets."""
    chosen = small["validation_loss"].min(2)[:, :count].argmin(1)
    return np.asarray(accuracy(small)[np.arange(len(chosen)), chosen])


def barriers(results: Arrays) -> Floats:
    """Return the barrier in points [S, levels, starts] between the copies of each net."""
    return barrier(torch.from_numpy(100 * results["path_error"])).numpy()


def stable_and_matching(
    results: Arrays, dense: Floats, tolerance: float, bound: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (stable, matching), bool [nets]: barrier below `bound` points; accuracy within `tolerance` of dense.

    A net is one (level, start), its numbers are means over the seeds (Frankle et al. 2020).
    """
    stable = barriers(results).mean(0) < bound
    gap = (accuracy(results) - dense[: len(results["early_error"]), None, None]).mean(0)
    return stable.ravel(), (gap >= -tolerance).ravel()


def only(results: Arrays, levels: Sequence[int]) -> Arrays:
    """Return some levels of the barriers' results [S, levels, starts, ...]."""
    return {name: values if name in SHARED else values[:, list(levels)] for name, values in results.items()}


def fisher(stable: np.ndarray, matching: np.ndarray) -> Interval:
    """Return Fisher's exact one-sided p that stable nets match more often than others.

    As an interval: [p, p] where either direction is significant at 5%, [0, 1] where neither is. A p above 5% does
    not speak against the claim, and must not be able to contradict it.
    """
    table = [[int((stable & matching).sum()), int((stable & ~matching).sum())],
             [int((~stable & matching).sum()), int((~stable & ~matching).sum())]]  # fmt: skip
    p, opposite = (float(fisher_exact(table, alternative=side)[1]) for side in ("greater", "less"))
    low, high = (p, p) if min(p, opposite) < 0.05 else (0.0, 1.0)
    return Interval(p, low, high, 0.95, "exact", len(stable))


def flip_rates(flips: Arrays, early: int) -> Floats:
    """Return the sign changes a step up to step `early`, over those a step after it [S] (LTH-36)."""
    steps, changed = flips["steps"], flips["changed"]
    first = changed[:, steps <= early].sum(1) / steps[steps <= early][-1]
    after = changed[:, steps > early].sum(1) / (steps[-1] - steps[steps <= early][-1])
    return np.asarray(first / after)


def _at(values: Floats, where: tuple[int, ...]) -> Floats:
    """Return values[:, *where]."""
    for place in where:
        values = values[:, place]
    return values
