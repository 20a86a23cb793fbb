"""The claims on lottery tickets: from results to the parts of each check, one number a seed, and the gate.

Accuracies are in percentage points at the step of least validation loss, barriers in points of error; every part is
[S]. Levels are rounds of pruning, named in `redlib.experiments.chain` by the per cent of weights that they leave.
Where two results have different numbers of seeds, those that both have are compared.

What checks at `paper` ask for and no notebook measures, as it needs a GPU, is named where its claim is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import fisher_exact
from torch import Tensor

from redlib.evidence.claims import Finding
from redlib.evidence.peaks import judged_best
from redlib.evidence.stats import Interval, mean_interval, slope_per_seed, wilson
from redlib.experiments.chain import D3_6, D11, D13, D21, D51, masks_of_levels
from redlib.experiments.lab import Lab, restored
from redlib.experiments.results import Results
from redlib.measures import concentration, connectivity, movement
from redlib.pruning.allocation import keep, shapes_of
from redlib.pruning.masks import Tensors, weights_of
from redlib.pruning.tickets import Cut

Floats = np.ndarray
CHANCE = 10.0  # per cent: all data of the study have ten classes
STABLE = 2.0  # points: two nets whose barrier is lower are linearly connected (Frankle et al. 2020, section 2)
SHARE = 0.75  # "as well as", "nearly": this share of the better net's lead over a control, our reading
ROOM = 3.4  # points that the tickets of the paper's Conv-2 gain: a full net with fewer errors cannot
SETTLED = 0.8  # share of a training after which the validation loss of a net that has settled does not fall
SPARSE = (2, 3, 4)  # rounds of the conv net at a high rate at which rewinding is judged


def accuracy(found: Results, when: str = "early") -> Floats:
    """Return test accuracy in points, `when` early (at the least validation loss) or final."""
    return np.asarray(100 * (1 - found[f"{when}_error"]))


def gain(one: Results, other: Results, when: str = "early") -> Floats:
    """Return how much more accurate `one` is, in points [S]."""
    seeds = min(one.seeds, other.seeds)
    return np.asarray(accuracy(one, when)[:seeds] - accuracy(other, when)[:seeds])


def above_share(one: Results, best: Results, control: Results, share: float = SHARE) -> Floats:
    """Return by how many points `one` lies above the place that far up from `control` to `best` [S]."""
    return np.asarray(gain(one, control) - share * gain(best, control))


def log2_earlier(one: Results, other: Results) -> Floats:
    """Return log2 of the early step of `one` over that of `other` [S]; NaN where both still improved at the end."""
    seeds = min(one.seeds, other.seeds)
    steps, more = one["early_step"][:seeds], other["early_step"][:seeds]
    open_ended = (steps == one["steps"][-1]) & (more == other["steps"][-1])
    return np.where(open_ended, np.nan, np.log2(steps) - np.log2(more))


def learns(tickets: Results) -> dict[str, bool]:
    """Return the gate of most claims: in every seed the dense net is three times as good as chance."""
    return {"dense_net_learns": bool((accuracy(tickets.at(level=0)) > 3 * CHANCE).all())}


# ---- 1 the ticket and its controls ----


def lth_1(tickets: Results, arms: Results) -> Finding:
    """A ticket beats its own mask with fresh weights, and learns faster; `reported_gain_d21` is the paper's gain."""
    ticket, reinit = tickets.at(level=D21), arms.at(arm="reinit")
    faster = log2_earlier(ticket, reinit.at(level=D21))
    parts = {
        "gain_over_reinit_d21": gain(ticket, reinit.at(level=D21)),
        "gain_over_reinit_d11": gain(tickets.at(level=D11), reinit.at(level=D11)),
        "log2_early_stop_ratio_d21": faster,
        "reinit_over_ticket_early_stop_d21": 2.0**-faster,
    }
    return Finding("LTH-1", parts, learns(tickets))


def lth_2(tickets: Results, arms: Results) -> Finding:
    """Pruning by magnitude beats cutting as many weights of every layer at random."""
    ticket, random = tickets.at(level=D11), arms.at(arm="random")
    parts = {
        "gain_over_random_d21": gain(tickets.at(level=D21), random.at(level=D21)),
        "gain_over_random_d11": gain(ticket, random.at(level=D11)),
        "ticket_accuracy_d11": accuracy(ticket),
        "random_accuracy_d11": accuracy(random.at(level=D11)),
    }
    return Finding("LTH-2", parts, learns(tickets))


def lth_3(tickets: Results) -> Finding:
    """Tickets match or beat the dense net and learn faster, until few weights are left.

    `no_loss_d13` reads gain_over_dense_d13, `reported_early_stop_ratio_d21` is the paper's ratio.
    """
    whole, ticket = tickets.at(level=0), tickets.at(level=D21)
    parts = {
        "early_stop_ratio_d21": 2.0 ** log2_earlier(ticket, whole),
        "gain_over_dense_d13": gain(tickets.at(level=D13), whole),
        "gain_over_dense_d51": gain(tickets.at(level=D51), whole),
        "gain_over_dense_d21": gain(ticket, whole),
        "gain_over_dense_d11": gain(tickets.at(level=D11), whole),
        "gain_over_dense_d4": gain(tickets.at(level=D3_6), whole),
        "accuracy_d4_minus_d13": gain(tickets.at(level=D3_6), tickets.at(level=D13)),
        "peak_gain_over_dense": peak_gain(tickets),
    }
    return Finding("LTH-3", parts, learns(tickets))


def peak_gain(tickets: Results) -> Floats:
    """Return the judges' gain over dense [J] at the level that is best for the choosers (`peaks.judged_best`)."""
    return judged_best(accuracy(tickets) - accuracy(tickets.at(level=0))[:, None])


def lth_10(tickets: Results, arms: Results, controls: Results, initial: Results, fresh: Results) -> Finding:
    """Keeping the largest initial weights is worse than fresh ones; a ticket tolerates noise on its initial weights."""
    ticket, reinit, little = tickets.at(level=D11), arms.at(arm="reinit", level=D11), controls.at(arm="noise_half")
    parts = {
        "initial_magnitude_minus_reinit": gain(initial, fresh),
        "noise_half_above_three_quarters": above_share(little, ticket, reinit),
        "noise_half_sd_minus_ticket": gain(little, ticket),
        "noise_three_sd_minus_reinit": gain(controls.at(arm="noise_three"), reinit),
    }
    return Finding("LTH-10", parts, learns(tickets))


def lth_14(tickets: Results, arms: Results, controls: Results) -> Finding:
    """The signs of the initial weights matter, not their sizes; cut weights are better zero than frozen.

    Fresh sizes under the ticket's signs tell what signs give, the ticket what sizes add.
    """
    ticket, signs, reinit = tickets.at(level=D11), controls.at(arm="keep_sign"), arms.at(arm="reinit", level=D11)
    parts = {
        "keep_sign_minus_reinit": gain(signs, reinit),
        "signs_minus_sizes": gain(signs, reinit) - gain(ticket, signs),
        "keep_sign_minus_ticket": gain(signs, ticket),
        "freeze_minus_zero": gain(controls.at(arm="frozen"), ticket),
    }
    return Finding("LTH-14", parts, learns(tickets))


def lth_34(tickets: Results, arms: Results, controls: Results) -> Finding:
    """Finetuning the pruned net beats fresh weights; beside it, against the original initial ones."""
    tuned, ticket = controls.at(arm="finetuned"), tickets.at(level=D11)
    parts = {
        "finetuned_minus_reinit_d10": gain(tuned, arms.at(arm="reinit", level=D11)),
        "finetuned_minus_rewound_d10": gain(tuned, ticket),
        "finetuned_minus_rewound_d10_end": gain(tuned, ticket, "final"),
    }
    return Finding("LTH-34", parts, learns(tickets))


def lth_5(tickets: Results, one_cut: Results, quick: Results, patient: Results) -> Finding:
    """Little by little beats one big cut, at equal training of each ticket; beside it, at equal training in all."""
    ticket, other = tickets.at(level=D11), one_cut.at(level=D11)
    parts = {
        "iterative_minus_oneshot_d11": gain(ticket, other),
        "iterative_minus_oneshot_d4": gain(tickets.at(level=D3_6), one_cut.at(level=D3_6)),
        "iterative_over_oneshot_early_stop_d11": 2.0 ** log2_earlier(ticket, other),
        "iterative_minus_oneshot_equal_compute_d11": gain(quick, patient),
    }
    return Finding("LTH-5", parts, learns(tickets))


def lth_11(tickets: Results, criteria: Results) -> Finding:
    """Keeping what grew most is as good as keeping the largest; both beat random and the smallest weights."""
    names = "magnitude", "magnitude_increase", "random", "small_final"
    d20, d10 = ([criteria.at(level=level, criterion=name) for name in names] for level in (D21, D11))
    (largest, growth, random, smallest), few = d20, d10
    parts = {
        "growth_above_three_quarters_d20": above_share(growth, largest, random),
        "growth_minus_largest_d20": gain(growth, largest),
        "largest_minus_random_d20": gain(largest, random),
        "largest_minus_smallest_d20": gain(largest, smallest),
        "growth_minus_random_d20": gain(growth, random),
        "growth_minus_smallest_d20": gain(growth, smallest),
    }
    largest, growth, random, smallest = few
    parts |= {
        "growth_above_three_quarters_d10": above_share(growth, largest, random),
        "growth_minus_largest_d10": gain(growth, largest),
        "largest_minus_random_d10": gain(largest, random),
        "largest_minus_smallest_d10": gain(largest, smallest),
        "growth_minus_random_d10": gain(growth, random),
        "growth_minus_smallest_d10": gain(growth, smallest),
    }
    return Finding("LTH-11", parts, learns(tickets))


# ---- 2 what a trained net looks like inside ----


def start_and_end(lab: Lab, trained: Results) -> tuple[Tensors, Tensors]:
    """Return (initial weights, final weights) by layer, [S, out, in] each, of a dense training."""
    return weights_of(lab.nets()), weights_of(restored(lab.nets(), trained["final"]))


def largest(weights: Mapping[str, Tensor]) -> str:
    """Return the name of the layer with the most weights."""
    return max(weights, key=lambda name: weights[name][0].numel())


def kurtosis(weights: Mapping[str, Tensor]) -> Floats:
    """Return the excess kurtosis of the largest layer's weights [S]."""
    return movement.excess_kurtosis(weights[largest(weights)].numpy())


def lth_33(tickets: Results, controls: Results, initial: Tensors, final: Tensors) -> Finding:
    """Trained weights cluster at zero, and almost all can go with almost no loss after retraining."""
    parts = {
        "kurtosis_trained_minus_initial": kurtosis(final) - kurtosis(initial),
        "drop_after_retraining_d10": gain(tickets.at(level=0), controls.at(arm="finetuned")),
    }
    return Finding("LTH-33", parts, learns(tickets))


def moves(initial: Tensors, final: Tensors, cut: Cut, seeds: Sequence[int], draws: int = 200) -> tuple[Floats, Floats]:
    """Return how far kept weights move over how far cut ones do [S], and that under selection alone [S, draws].

    In the largest layer of the dense net's own training, cut once to the weights that D21 rounds leave.
    """
    name = largest(initial)
    count = cut.counts(shapes_of(initial), D21)[name]
    mask = keep({name: final[name].abs()}, {name: count})[name].numpy()
    w0, w1 = initial[name].numpy(), final[name].numpy()
    return movement.movement_ratio(w0, w1, mask), movement.selection_null(w0, w1, count, seeds, draws)


def lth_9(ratio: Floats, null: Floats) -> Finding:
    """The weights of a ticket move more than others, and more than selection alone implies (`moves`)."""
    below = movement.share_of_null_below(ratio, null)
    return Finding("LTH-9", {"median_move_ratio": ratio, "share_of_null_below": below})


def crowding(lab: Lab, deepest: Results, levels: Sequence[int]) -> Results:
    """Return incoming and outgoing variance ratios and excess co-survival of the masks, [S, layers, levels].

    Inputs that never vary in a seed's training data (empty border pixels) take no part in the first layer.
    """
    net, train = lab.nets(), lab.parts()["train"]
    rows, _ = train.table(len(lab.seeds))
    alive = np.stack([np.ptp(train.x[own].flatten(1).numpy(), axis=0) > 0 for own in rows])
    masks = masks_of_levels(deepest.arrays, net, tuple(levels))
    layers = list(weights_of(net))

    def each(measure: Callable[..., Floats], kind: str) -> Floats:
        columns = [alive if name == layers[0] else None for name in layers]
        found = [
            [measure(masks[k][n].numpy(), kind, c, replicates=True) for k in levels]
            for n, c in zip(layers, columns, strict=True)
        ]
        return np.moveaxis(np.array(found), 2, 0)

    found = {kind: each(concentration.variance_ratio, kind) for kind in ("incoming", "outgoing")}
    found["excess"] = each(concentration.excess_over_null, "column")
    return Results(found, dict.fromkeys(found, ("seed", "layer", "level")), {"layer": layers, "level": tuple(levels)})


def lth_24(crowds: Results) -> Finding:
    """Survivors are spread evenly over the units they enter, unevenly over those they leave (hidden units).

    `incoming_as_by_chance` and `outgoing_uneven` read the ratios of variance to chance.
    """
    crowd = crowds.at(level=D11)
    incoming, outgoing = (np.log2(values).mean(1) for values in (crowd["incoming"][:, :-1], crowd["outgoing"][:, 1:]))
    parts = {
        "log2_incoming_variance_ratio": incoming,
        "outgoing_variance_ratio": crowd["outgoing"][:, 1:].mean(1),
        "log2_outgoing_over_incoming": outgoing - incoming,
    }
    return Finding("LTH-24", parts)


def lth_25(crowds: Results) -> Finding:
    """If one weight of a hidden unit survives, its others are likelier to."""
    return Finding("LTH-25", {"excess_survival_over_null": crowds.at(level=D11)["excess"][:, :-1].mean(1)})


# ---- 3 nets that are never trained ----


def best_untrained(untrained: Results) -> Results:
    """Return the results at the density with the best validation accuracy, for each seed and arm: [S, arms]."""
    best = untrained["validation_accuracy"].argmax(2)[:, :, None]
    found = {name: np.take_along_axis(values, best, 2)[:, :, 0] for name, values in untrained.items()}
    return Results(found, dict.fromkeys(found, ("seed", "arm")), untrained.labels)


def lth_12(best: Results) -> Finding:
    """A mask alone gives accuracy far above chance, more so with a signed constant (`best_untrained`).

    `accuracy_initial_above_half` reads accuracy_initial.
    Not measured: conv2_initial, conv2_signed_constant, conv4_initial, conv4_signed_constant, conv6_initial,
    conv6_signed_constant.
    """
    initial, constant = (100 * best.at(arm=arm)["test_accuracy"] for arm in ("ticket", "signed_constant"))
    parts = {"accuracy_initial": initial, "signed_constant_minus_initial": constant - initial}
    return Finding("LTH-12", parts | {"fc_initial": initial, "fc_signed_constant": constant})


def lth_13(learned: Results, trained: Results) -> Finding:
    """A learned mask, rescaled, comes close to training; `learned` has levels (weights, rescaled).

    `equal_to_training` reads rescaled_signed_constant_minus_trained.
    Not measured: conv2_initial, conv2_signed_constant, conv2_rescaled_initial, conv2_rescaled_signed_constant,
    conv4_initial, conv4_signed_constant, conv4_rescaled_initial, conv4_rescaled_signed_constant, conv6_initial,
    conv6_signed_constant, conv6_rescaled_initial, conv6_rescaled_signed_constant.
    """
    plain, constant, rescaled, both = (
        100 * learned.at(level=(weights, rescale))["test_accuracy"]
        for rescale in (False, True)
        for weights in ("initial", "signed_constant")
    )
    parts = {
        "learned_accuracy": plain,
        "rescaled_minus_plain": rescaled - plain,
        "signed_constant_minus_initial": constant - plain,
        "rescaled_signed_constant_minus_trained": both - accuracy(trained),
        "fc_initial": plain,
        "fc_signed_constant": constant,
        "fc_rescaled_initial": rescaled,
        "fc_rescaled_signed_constant": both,
    }
    return Finding("LTH-13", parts, {"trained_net_learns": bool((accuracy(trained) > 5 * CHANCE).all())})


def lth_15(popup: Results, normal: Results, trained: Results) -> Finding:
    """Edge-popup comes closer to training as nets grow, and half of the weights are best kept.

    `popup` has axes width and level (the fraction kept), `trained` the widths as levels; `normal` keeps half of the
    initial weights of the widest net. Not measured: conv4_half_minus_trained.
    """
    widths = popup.labels["width"]
    widest, half = popup.at(width=widths[-1]), 100 * popup.at(level=0.5)["test_accuracy"]
    best, tenth, most, other = (
        100 * found["test_accuracy"] for found in (*(widest.at(level=keep) for keep in (0.5, 0.1, 0.9)), normal)
    )
    parts = {
        "half_minus_tenth": best - tenth,
        "half_minus_nine_tenths": best - most,
        "signed_constant_minus_normal": best - other,
        "gap_width_slope": slope_per_seed(np.log2(widths), accuracy(trained) - half),
    }
    return Finding("LTH-15", parts, {"trained_net_learns": bool((accuracy(trained)[:, -1] > 5 * CHANCE).all())})


def lth_16(candidates: Sequence[int], errors: Floats) -> Finding:
    """Pruning random weights approximates a target the better, the more there are (errors [S, candidates])."""
    return Finding("LTH-16", {"log_error_candidates_slope": slope_per_seed(candidates, np.log(errors))})


# ---- 4 transfer, learning rates, sizes ----


def end(found: Results, **where: Any) -> Results:
    """Return the results at their last level, and at what else is named."""
    return found.at(level=max(found.labels["level"]), **where)


def lth_17(native: Results, arms: Results, carried: Results) -> Finding:
    """A ticket of one half of the data works on the other: against random masks there, and the ticket found there."""
    carried, own, random = end(carried, arm="ticket"), end(native), end(arms, arm="random")
    parts = {
        "transfer_minus_random_d10": gain(carried, random),
        "transfer_above_three_quarters_d10": above_share(carried, own, random),
        "transfer_minus_native_d10": gain(carried, own),
    }
    return Finding("LTH-17", parts, learns(native))


def lth_18(there: Sequence[Results], back: Sequence[Results], sources: Results, native: Sequence[Results]) -> Finding:
    """Tickets work on another data set, the better the larger the set they come from.

    `there`, `back`: (carried, arms) of either direction; `sources`: carried tickets, their levels the sizes of the set
    they come from; `native`: the chains of both sets.
    """
    to, fro = (gain(end(carried, arm="ticket"), end(arms, arm="random")) for carried, arms in (there, back))
    sizes = np.log2(sources.labels["level"])
    parts = {
        "transfer_there_minus_random": to,
        "transfer_back_minus_random": fro,
        "source_size_slope": slope_per_seed(sizes, accuracy(sources)),
    }
    return Finding("LTH-18", parts, {"dense_nets_learn": all(learns(one)["dense_net_learns"] for one in native)})


def lth_19(native: Results, sgd: Results, adam: Results, to_sgd: Results, to_adam: Results) -> Finding:
    """A ticket of one optimiser works with the other, better than the random masks among its arms."""
    parts = {
        "sgd_to_adam_minus_random": gain(end(to_adam, arm="ticket"), end(adam, arm="random")),
        "adam_to_sgd_minus_random": gain(end(to_sgd, arm="ticket"), end(sgd, arm="random")),
    }
    return Finding("LTH-19", parts, learns(native))


def lth_20(small: Results, large: Results, grid: Results, rate: float) -> Finding:
    """At a well-tuned large rate fresh weights do as well as the ticket; it helps only at small rates.

    `small`, `large`: arms at either rate, ticket and reinit, both trained for long. The gate: in validation accuracy
    the large rate is within a point of the best of the grid, whose levels are rates; and there fresh weights have
    settled, for an arm that was cut short says nothing on what it can do. How well they then fit is part of the result.
    """
    at_small, at_large = (gain(end(arms, arm="ticket"), end(arms, arm="reinit")) for arms in (small, large))
    parts = {
        "gain_small_minus_large_rate": at_small - at_large,
        "gain_at_large_minus_quarter_of_small_rate": at_large - (1 - SHARE) * at_small,
        "gain_at_large_rate": at_large,
    }
    reached = 100 * (1 - grid["validation_error"].min(2).mean(0))
    behind = reached.max() - reached[grid.labels["level"].index(rate)]
    gate = {
        "large_rate_is_within_a_point_of_the_best": bool(behind < 1),
        "fresh_weights_have_settled_at_the_large_rate": settled(end(large, arm="reinit")),
    }
    return Finding("LTH-20", parts, gate)


def settled(arm: Results) -> bool:
    """Return whether the validation loss is least before the last fifth of the training, on average over seeds."""
    return bool(arm["early_step"].mean() <= SETTLED * arm["steps"][-1])


def lth_8(sizes: Results, tickets: Results) -> Finding:
    """Of tickets with equally many weights those of larger nets (levels: their weights) are better, not faster.

    `early_stop_slope_within_a_tenth` reads early_stop_size_slope. Not measured: weights_at_dense_accuracy.
    """
    doublings = np.log2(sizes.labels["level"])
    parts: dict[str, Floats | Interval] = {
        "accuracy_size_slope": slope_per_seed(doublings, accuracy(sizes)),
        "early_stop_size_slope": early_slope(sizes, doublings),
    }
    return Finding("LTH-8", parts, learns(tickets))


def early_slope(sizes: Results, doublings: Floats) -> Interval | Floats:
    """Return the slope of log2 early step on doublings, its t interval widened by half a look for every net.

    Looks are few: equal early stops do not tell equal times. Seeds with a net that still improved at the last look
    are left out; NaN for all [S] where those are the most.
    """
    steps, early = sizes["steps"], sizes["early_step"]
    known = (early < steps[-1]).all(1)
    if 2 * known.sum() < len(known) or not known.any():
        return np.full(len(known), np.nan)
    half = np.diff(steps, prepend=0)[np.searchsorted(steps, early[known])] / 2
    centred = doublings - doublings.mean()
    open_ = np.log2((early[known] + half) / (early[known] - half)) / 2
    slack = float((open_ @ np.abs(centred)).mean() / (centred @ centred))
    found = mean_interval(slope_per_seed(doublings, np.log2(early[known])))
    return replace(found, low=found.low - slack, high=found.high + slack, method="t, widened by half a look")


def best_of(small: Results, count: int) -> Floats:
    """Return the test accuracy [S] of the best by validation loss among each seed's first `count` small nets."""
    chosen = small["validation_loss"].min(2)[:, :count].argmin(1)
    return np.asarray(accuracy(small)[np.arange(len(chosen)), chosen])


def lth_35(tickets: Results, small: Results) -> Finding:
    """A ticket beats the best of several small dense nets with as many weights."""
    counts = 1, 5, 20
    ticket = accuracy(tickets.first(small.seeds).at(level=D11))
    gaps = np.stack([ticket - best_of(small, count) for count in counts])
    parts = {
        "ticket_minus_best_of_1": gaps[0],
        "ticket_minus_best_of_5": gaps[1],
        "ticket_minus_best_of_20": gaps[2],
        "gap_log2_count_slope": slope_per_seed(np.log2(counts), gaps.T),
    }
    return Finding("LTH-35", parts, learns(tickets))


# ---- 5 the first steps of training ----


def lth_36(tickets: Results, arms: Results, flips: Results, step: int) -> Finding:
    """What an early step decided: shuffling or blurring a ticket's weights then costs, and most signs are settled."""
    same, shuffled, noised = (arms.at(arm=arm, level=D11) for arm in ("ticket", "reshuffled", "noise_one"))
    parts = {
        "drop_shuffled": gain(same, shuffled),
        "drop_noised": gain(same, noised),
        "early_flip_rate_ratio": flip_rates(flips, step),
        "early_flip_share": flips["changed"][:, flips["steps"] <= step].sum(1) / flips["changed"].sum(1),
    }
    return Finding("LTH-36", parts, learns(tickets))


def flip_rates(flips: Results, early: int) -> Floats:
    """Return the sign changes a step up to step `early`, over those a step after it [S]."""
    steps, changed = flips["steps"], flips["changed"]
    split = steps[steps <= early][-1]
    first = changed[:, steps <= early].sum(1) / split
    return np.asarray(first / (changed[:, steps > early].sum(1) / (steps[-1] - split)))


def barriers(lines: Results) -> Floats:
    """Return the barriers in points, [S, ...], between the copies of each net."""
    return connectivity.barrier(torch.from_numpy(100 * lines["path_error"])).numpy()


def stable_and_matching(pairs: Sequence[tuple[Results, Results]], tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (stable, matching), bool, of all nets: the levels of the lines in each pair (lines, their dense net).

    Stable: barrier below `STABLE`; matching: accuracy at most `tolerance` below the dense net. Numbers of a net are
    means over the seeds (Frankle et al. 2020).
    """
    gaps = [(accuracy(lines) - accuracy(whole)[: lines.seeds, None]).mean(0) for lines, whole in pairs]
    stable = [barriers(lines).mean(0) < STABLE for lines, _ in pairs]
    return np.concatenate(stable), np.concatenate(gaps) >= -tolerance


def fisher(stable: np.ndarray, matching: np.ndarray) -> Interval:
    """Return Fisher's exact one-sided p that stable nets match more often than others.

    As an interval: [p, p] where either direction is significant at 5%, [0, 1] where neither is. A p above 5% does
    not speak against the claim, and must not be able to contradict it.
    """
    table = [[int((a & b).sum()) for b in (matching, ~matching)] for a in (stable, ~stable)]
    p, opposite = (float(fisher_exact(table, alternative=side)[1]) for side in ("greater", "less"))
    low, high = (p, p) if min(p, opposite) < 0.05 else (0.0, 1.0)
    return Interval(p, low, high, 0.95, "exact", len(stable))


def matched_more(stable: np.ndarray, matching: np.ndarray) -> Interval:
    """Return by how much more often stable nets match than others, a difference of shares (Newcombe 1998, method 10).

    [-1, 1] where all nets are of one kind.
    """
    groups = [matching[stable], matching[~stable]]
    if not all(len(group) for group in groups):
        return Interval(0.0, -1.0, 1.0, 0.95, "Newcombe", len(stable))
    (p, q), (one, two) = ([g.mean() for g in groups], [wilson(int(g.sum()), len(g)) for g in groups])
    low = p - q - np.hypot(p - one.low, two.high - q)
    high = p - q + np.hypot(one.high - p, q - two.low)
    return Interval(float(p - q), float(low), float(high), 0.95, "Newcombe", len(stable))


def lth_23(small: Results, lines: Results, stable: np.ndarray, matching: np.ndarray) -> Finding:
    """After early training, copies on other orders of the data are linearly connected; sparse nets match just then.

    `small`: the fully connected net's line from step 0; `lines`: the dense conv net's, their levels the steps of
    parting. Not measured: resnet20_onset_step, vgg16_onset_step, resnet20_ticket_onset_step, vgg16_ticket_onset_step.
    """
    parts: dict[str, Floats | Interval] = {
        "lenet_barrier_initial": barriers(small),
        "cnn_barrier_slope": slope_per_seed(np.log(lines.labels["level"]), barriers(lines)),
        "matching_stable_minus_unstable": matched_more(stable, matching),
        "matching_stable_fisher_p": fisher(stable, matching),
    }
    return Finding("LTH-23", parts, {"some_nets_are_unstable": bool((~stable).any())})


def lth_4(tickets: Results, arms: Results, conv: Results) -> Finding:
    """With fresh weights the ticket's mask beats a random one in fully connected nets, not in conv nets.

    Read at the end of training, as the paper's figure 14 is; beside it at early stopping. The gate: in every seed the
    conv arms fit their training images, so that none is cut short.
    """
    full = arms.at(arm="reinit", level=D21), arms.at(arm="random", level=D21)
    filters = end(conv, arm="reinit"), end(conv, arm="random")
    parts = {
        "fc_reinit_minus_random_end": gain(*full, "final"),
        "cnn_reinit_minus_random_end": gain(*filters, "final"),
        "fc_reinit_minus_random": gain(*full),
        "cnn_reinit_minus_random": gain(*filters),
    }
    return Finding("LTH-4", parts, learns(tickets) | {"all_arms_fit": bool((conv["train_error"] <= 0.02).all())})


def lth_6(conv: Results) -> Finding:
    """Conv nets have winning tickets too, that learn faster than the dense net and are more accurate.

    The gate: the dense net fits its images, and has at least as many errors to lose (`ROOM`) as the paper's tickets do.
    Not measured: conv2_speedup_d9, conv4_speedup_d9, conv6_speedup_d15, conv2_gain_over_dense_d5,
    conv4_gain_over_dense_d11, conv6_gain_over_dense_d26, dropout_gain.
    """
    whole, ticket = conv.at(level=0), end(conv)
    parts = {
        "conv2_gain_over_dense_d20": gain(ticket, whole),
        "conv2_early_stop_ratio_d20": 2.0 ** log2_earlier(ticket, whole),
    }
    gate = {
        "dense_net_fits_its_images": bool((whole["train_error"] <= 0.02).all()),
        "dense_net_has_errors_to_lose": bool(100 * whole["early_error"].mean() >= ROOM),
    }
    return Finding("LTH-6", parts, gate)


def lth_7(late: Results, initial: Results, lines: Results, tickets: Results, resumed: Results) -> Finding:
    """Tickets of nets at a high rate work only if weights go back to an early step; small nets do not need it.

    `late`, `initial`: the conv chains that go back to that step and to step 0, compared by the mean over `SPARSE`;
    `resumed`: the small net's ticket from an early step. The gate is the premise, judged without the late chain: the
    dense net fits its images, is unstable where its copies part first (`lines`), and initial values fall short.

    Not measured: resnet20_initial_minus_random_d17, resnet20_low_rate_ticket_d17, resnet20_low_rate_random_d17,
    resnet20_warmup_ticket_d17, resnet20_warmup_random_d17, vgg19_low_rate_ticket_d2, vgg19_low_rate_random_d2,
    vgg19_warmup_ticket_d2, vgg19_warmup_random_d2.
    """
    whole = initial.at(level=0)
    gate = {
        "dense_net_fits": bool(whole["train_error"].mean() <= 0.01),
        "unstable_at_the_start": bool(barriers(lines)[:, 0].mean() > STABLE),
        "initial_values_fall_short": bool(np.mean([gain(initial.at(level=k), whole) for k in SPARSE]) < 0),
    }
    parts = {
        "cnn_late_minus_initial": np.mean([gain(late.at(level=k), initial.at(level=k)) for k in SPARSE], 0),
        "lenet_initial_minus_dense": gain(tickets.at(level=D11), tickets.at(level=0)),
        "cnn_late_minus_dense": np.mean([gain(late.at(level=k), whole) for k in SPARSE], 0),
        "lenet_late_minus_initial": gain(resumed, tickets.at(level=D11)),
    }
    return Finding("LTH-7", parts, gate)
