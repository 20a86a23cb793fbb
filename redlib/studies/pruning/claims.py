"""The claims on pruning: from results to the parts of each check, one number a seed, and the gate.

Accuracies are in percentage points, at the step of least validation loss (early) or at the end (final). A gate holds
for the mean over the seeds; where one fails, the setting cannot test its claim.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from redlib.evidence.claims import Finding
from redlib.experiments.chain import masks_of_levels
from redlib.experiments.lab import Lab
from redlib.experiments.results import Results
from redlib.pruning.masks import Tensors, empty_layers

Floats = np.ndarray
BEFORE = ("snip", "grasp", "synflow", "magnitude")  # criteria that the claims compare with tickets and random masks
CHANCE = 10.0  # accuracy of guessing among ten classes
EXACT = 1e-5  # largest difference of outputs that counts as the same net
LOOSE, SHRUNK = 2.0, 0.1  # points of training error that small nets may lack; of the norm that may be left
SETTLED = 0.02  # share of the least validation loss that the last fifth of a training may take off
STEADY = 1.1  # largest ratio of the times of two equal nets that a clock may show


def accuracy(found: Results, when: str = "early") -> Floats:
    """Return test accuracy in points, `when` early (at the least validation loss) or final."""
    return np.asarray(100 * (1 - found[f"{when}_error"]))


def gap(one: Results, other: Results, when: str = "early") -> Floats:
    """Return how much more accurate `one` is, in points [S, ...]."""
    return accuracy(one, when) - accuracy(other, when)


def learns(dense: Results, name: str = "dense_net_learns") -> dict[str, bool]:
    """Return the gate that the dense net reaches three times the accuracy of guessing."""
    return {name: bool(accuracy(dense, "final").mean() > 3 * CHANCE)}


def lth_27(zoo: Results, tickets: Results, units: Results) -> Finding:
    """Criteria before training beat random masks and stay behind tickets; ours: so do units by activity or size."""
    zoo, units = zoo.at(arm="ticket"), units.at(kept=units.labels["kept"][0])
    cells = [{name: zoo.at(criterion=name, level=k) for name in (*BEFORE, "random")} for k in zoo.labels["level"]]
    over = [{name: gap(cell[name], cell["random"]) for name in BEFORE} for cell in cells]
    pairs = zip(cells, zoo.labels["level"], strict=True)
    under = [{name: gap(tickets.at(level=k), cell[name]) for name in BEFORE} for cell, k in pairs]
    activation, size, random = (units.at(criterion=name) for name in ("apoz", "l2", "random"))
    parts = {
        "snip_minus_random_d10": over[0]["snip"],
        "grasp_minus_random_d10": over[0]["grasp"],
        "synflow_minus_random_d10": over[0]["synflow"],
        "magnitude_minus_random_d10": over[0]["magnitude"],
        "snip_minus_random_d05": over[1]["snip"],
        "grasp_minus_random_d05": over[1]["grasp"],
        "synflow_minus_random_d05": over[1]["synflow"],
        "magnitude_minus_random_d05": over[1]["magnitude"],
        "iterative_minus_snip_d10": under[0]["snip"],
        "iterative_minus_grasp_d10": under[0]["grasp"],
        "iterative_minus_synflow_d10": under[0]["synflow"],
        "iterative_minus_magnitude_d10": under[0]["magnitude"],
        "iterative_minus_snip_d05": under[1]["snip"],
        "iterative_minus_grasp_d05": under[1]["grasp"],
        "iterative_minus_synflow_d05": under[1]["synflow"],
        "iterative_minus_magnitude_d05": under[1]["magnitude"],
        "activation_units_minus_random_units": gap(activation, random),
        "size_units_minus_random_units": gap(size, random),
        "activation_units_minus_size_units": gap(activation, size),
    }
    return Finding("LTH-27", parts, learns(tickets.at(level=0)))


def changes(zoo: Results, changed: Results, tickets: Results, arms: Results, arm: str) -> dict[str, Floats]:
    """Return what it costs each criterion, and tickets, that masks or weights are changed as `arm` says."""
    level = changed.labels["level"][0]
    new, old = changed.at(arm=arm, level=level), zoo.at(arm="ticket", level=level)
    lost = {name: gap(new.at(criterion=name), old.at(criterion=name)) for name in BEFORE}
    return lost | {"ticket": gap(arms.at(arm=arm, level=level), tickets.at(level=level))}


def lth_28(zoo: Results, changed: Results, tickets: Results, arms: Results) -> Finding:
    """Shuffling masks within layers does the criteria before training no harm, and costs tickets much."""
    lost = changes(zoo, changed, tickets, arms, "shuffled")
    parts = {
        "snip_shuffled_minus_original": lost["snip"],
        "grasp_shuffled_minus_original": lost["grasp"],
        "synflow_shuffled_minus_original": lost["synflow"],
        "magnitude_shuffled_minus_original": lost["magnitude"],
        "iterative_shuffled_minus_original": lost["ticket"],
    }
    return Finding("LTH-28", parts, learns(tickets.at(level=0)))


def collapse_densities(found: Results) -> Floats:
    """Return the largest density on the grid at which a layer is empty, [S, criteria]."""
    empty = (found["kept"] == 0).any(3)  # the grid ends at fewer weights than layers, so every method gets there
    return np.asarray(found["weights"][empty.argmax(2)] / found["weights"][0])


def lth_29(found: Results) -> Finding:
    """SynFlow gets further before a layer is empty; seeds_out_of_order: where it is not below every other."""
    at = dict(zip(found.labels["criterion"], np.log2(collapse_densities(found)).T, strict=True))
    ratios = {name: at["synflow"] - at[name] for name in at if name != "synflow"}
    parts = {
        "log2_density_at_collapse_vs_snip": ratios["snip"],
        "log2_density_at_collapse_vs_grasp": ratios["grasp"],
        "log2_density_at_collapse_vs_magnitude": ratios["magnitude"],
        "seeds_out_of_order": (np.stack([*ratios.values()]) >= 0).any(0).astype(float),
    }
    return Finding("LTH-29", parts)


def masks(lab: Lab, ticket: Results, level: int) -> Tensors:
    """Return the masks of a ticket, {layer: bool [S, out, in]}."""
    return masks_of_levels(dict(ticket), lab.nets(), (level,))[level]


def lth_30(lab: Lab, pairs: Mapping[str, Mapping[str, Results]], level: int, dense: Results) -> Finding:
    """In deep nets one list of all weights prunes better than equal rates; ours: it empties no layer.

    `pairs` holds the tickets of both, list and layers, by net: deep (of the lab, at `level`), even (another deep net,
    of equal layers) and own.
    """
    deep, lead = pairs["deep"], {name: gap(pair["list"], pair["layers"]) for name, pair in pairs.items()}
    parts = {
        "deep_global_minus_layerwise": lead["deep"],
        "even_deep_global_minus_layerwise": lead["even"],
        "lenet_global_minus_layerwise": lead["own"],
        "emptied_layers": empty_layers(masks(lab, deep["list"], level)).numpy().astype(float),
    }
    return Finding("LTH-30", parts, learns(dense, "deep_net_learns"))


def lth_40(cut: Results, dense: Results) -> Finding:
    """What it costs to cut one layer alone to a tenth of its weights, at the end of training."""
    kept = 100 * (1 - cut.at(density=0.1)["cut_error"]) - accuracy(dense, "final")[:, None]
    parts = {
        "first_layer_cut_minus_whole_net_d10": kept[:, 0],
        "last_hidden_layer_cut_minus_whole_net_d10": kept[:, -2],
        "output_layer_cut_minus_whole_net_d10": kept[:, -1],
    }
    return Finding("LTH-40", parts, learns(dense))


def settled(found: Results) -> bool:
    """Return whether, on average, the last fifth of a training lowers its least validation loss [S, T] hardly."""
    loss = found["validation_loss"]
    early = loss[:, : loss.shape[1] - max(1, loss.shape[1] // 5)]
    return bool(early.size and (loss.min(1) / early.min(1)).mean() >= 1 - SETTLED)


def lth_31(found: Results) -> Finding:
    """Shrinking doomed weights before they are cut makes random masks as good as tickets.

    extruded_gain_bound: that they are hardly better. The gates: doomed weights do shrink, and the nets that are
    compared with tickets, and tickets, have learned what they can.
    """
    own, norm = found.at(arm="extruded"), found["norm_at_cut"]
    beside_ticket = gap(own, found.at(arm="ticket"))
    parts = {
        "extruded_minus_random": gap(own, found.at(arm="random")),
        "extruded_minus_ticket": beside_ticket,
        "extruded_gain_bound": beside_ticket,
        "extruded_minus_budget_matched_random": gap(own, found.at(arm="random_long")),
        "masked_norm_at_cut": norm,
    }
    gate = {
        "doomed_weights_shrink": bool(norm.mean() < SHRUNK),
        "compared_nets_have_settled": all(settled(found.at(arm=arm)) for arm in ("extruded", "random", "ticket")),
    }
    return Finding("LTH-31", parts, gate)


def lth_39(found: Results, dense: Results) -> Finding:
    """Tickets, and random masks after the doomed weights were shrunk, do as well as the whole net; gates of both."""
    parts = {
        "ticket_minus_whole_net": gap(found.at(arm="ticket"), dense),
        "extruded_minus_whole_net": gap(found.at(arm="extruded"), dense),
    }
    return Finding("LTH-39", parts, {**lth_31(found).gate, **learns(dense)})


def by_choice(found: Results, values: Floats) -> dict[str, Floats]:
    """Return values [S, arms] of mid-training cuts as means over the shares kept, by choice: [S] each."""
    choices = [choice for choice, _ in found.labels["arm"]]
    return {name: values[:, [choice == name for choice in choices]].mean(1) for name in dict.fromkeys(choices)}


def lth_26(found: Results) -> Finding:
    """Cutting the largest units in mid-training can end better, and the more a cut costs the more is gained.

    drop_gain_correlation: within a seed, over all arms. The gates: the largest units are missed more than the
    smallest, and nets that lost random units fit the training examples nearly as well as the whole one.
    """
    final, drop = accuracy(found, "final"), found["drop"].mean(2)
    ends, lost, fit = (by_choice(found, values) for values in (final, drop, 100 * found["train_error"]))
    pairs = zip(drop, final, strict=True)
    parts = {
        "largest_minus_unpruned": ends["largest"] - ends["none"],
        "drop_gain_correlation": np.array([np.corrcoef(each, end)[0, 1] for each, end in pairs]),
        "largest_minus_smallest": ends["largest"] - ends["smallest"],
    }
    gate = {
        "largest_units_are_missed_more": bool(lost["largest"].mean() > lost["smallest"].mean()),
        "small_nets_still_fit": bool(fit["random"].mean() < fit["none"].mean() + LOOSE),
    }
    return Finding("LTH-26", parts, gate)


def lth_22(found: Results, dense: Results) -> Finding:
    """Do units chosen by size beat random ones (p25, p50, p75: per cent cut)? The other parts are means over cuts."""
    by = {name: accuracy(found.at(criterion=name)) for name in ("l2", "random", "gradient", "weights")}
    lead = by["l2"] - by["random"]
    size = dict(zip(found.labels["kept"], lead.T, strict=True))
    parts = {
        "size_minus_random_p25": size[0.75],
        "size_minus_random_p50": size[0.5],
        "size_minus_random_p75": size[0.25],
        "size_minus_random": lead.mean(1),
        "gradient_minus_random": (by["gradient"] - by["random"]).mean(1),
        "units_minus_single_weights": (by["l2"] - by["weights"]).mean(1),
    }
    return Finding("LTH-22", parts, learns(dense))


def over_units(found: Results) -> dict[float, Floats]:
    """Return how much more accurate single weights are than as many in whole units, by the share of units kept."""
    lead = gap(found.at(criterion="weights"), found.at(criterion="l2"))
    return dict(zip(found.labels["kept"], lead.T, strict=True))


def reached(cut: Tensors) -> Floats:
    """Return which hidden units have a weight left that leads into them, bool [S, units of all layers]."""
    *hidden, _ = cut.values()
    return torch.cat([mask.any(2) for mask in hidden], 1).numpy()


def lth_37(cut: Tensors, found: Results, dense: Results) -> Finding:
    """Tickets of single weights, with the masks `cut`, reach every unit, and whole units do worse at equal counts."""
    alive = reached(cut)
    parts = {
        "units_without_weights_d10": (~alive).sum(1).astype(float),
        "single_weights_minus_units": np.mean([*over_units(found).values()], 0),
        "share_of_units_with_weights_d10": alive.mean(1),
    }
    return Finding("LTH-37", parts, learns(dense))


def lth_38(units: Results, dense: Results, wide: Results, filters: Results) -> Finding:
    """Whole units can go at low rates only; there small nets reach the same training loss from fresh weights.

    `filters` are the small conv nets with the most filters kept, `wide` the net that they were cut from.
    """
    own, single = dict(zip(units.labels["kept"], accuracy(units.at(criterion="l2")).T, strict=True)), over_units(units)
    loss = {arm: filters.at(arm=arm)["train_loss"] for arm in ("scratch_epochs", "ticket")}
    parts = {
        "units_lost_p75_minus_p25": own[0.75] - own[0.25],
        "train_loss_scratch_minus_ticket_p30": loss["scratch_epochs"] - loss["ticket"],
        "train_loss_scratch_minus_whole_p30": loss["scratch_epochs"] - wide["train_loss"],
        "gap_to_single_weights_grows": single[0.25] - single[0.75],
    }
    return Finding("LTH-38", parts, learns(dense))


def lth_21(wide: Results, by_share: Mapping[float, Results]) -> Finding:
    """Filters cut, the small net trains from scratch no worse than fine-tuned (p30, p50: per cent cut), at the end.

    Either with as many epochs as the wide net or with as many operations; the kept filters' initial values do not help.
    The gates: the wide net fits its examples, does not excel, and misses its filters by more than a point.
    """
    shares = {kept: {arm: found.at(arm=arm) for arm in found.labels["arm"]} for kept, found in by_share.items()}

    def lead(kept: float, arm: str, other: str) -> Floats:
        return gap(shares[kept][arm], shares[kept][other], "final")

    parts = {
        "scratch_equal_epochs_minus_finetune_p30": lead(0.7, "scratch_epochs", "finetune"),
        "scratch_equal_compute_minus_finetune_p30": lead(0.7, "scratch_compute", "finetune"),
        "scratch_equal_epochs_minus_finetune_p50": lead(0.5, "scratch_epochs", "finetune"),
        "scratch_equal_compute_minus_finetune_p50": lead(0.5, "scratch_compute", "finetune"),
        "ticket_minus_reinit_p30": lead(0.7, "ticket", "scratch_epochs"),
        "ticket_minus_reinit_p50": lead(0.5, "ticket", "scratch_epochs"),
    }
    lost = [100 * (found["cut_error"] - wide["final_error"]).mean() for found in by_share.values()]
    gate = {
        "wide_net_fits": bool(wide["train_error"].mean() < 0.02),
        "room_above_wide_net": bool(wide["final_error"].mean() > 0.005),
        "filters_are_missed": bool(min(lost) > 1),
    }
    return Finding("LTH-21", parts, gate)


def speedup(found: Results, variant: str, baseline: str = "dense") -> Floats:
    """Return median seconds of `baseline` over those of `variant`, [S] or [S, D]: above 1 the variant is faster."""
    slower, faster = (np.median(found[f"{name}_s"], -1) for name in (baseline, variant))
    return slower.reshape(slower.shape + (1,) * (faster.ndim - slower.ndim)) / faster


def crossover(densities: Floats, faster: Floats) -> Floats:
    """Return the density below which a sparse format beats the dense net, per seed [S], from its speed-ups [S, D].

    Every density of the grid up to there is at least as fast. Interpolated on log axes to the next one, which
    is slower; NaN where not even the lowest density is faster, and the highest density where all are.
    """
    order = np.argsort(densities)
    x, gains = np.log(np.asarray(densities)[order]), np.log(faster[:, order])
    return np.array([_crossing(x, gain) for gain in gains])


def _crossing(x: Floats, gain: Floats) -> float:
    slower = np.flatnonzero(gain < 0)
    if not len(slower):
        return float(np.exp(x[-1]))
    after = slower[0]
    if after == 0:
        return float("nan")
    share = gain[after - 1] / (gain[after - 1] - gain[after])
    return float(np.exp(x[after - 1] + share * (x[after] - x[after - 1])))


def lth_32(forward: Results, steps: Results) -> Finding:
    """Removing units makes a net faster and smaller, masks save no time; steps on live weights do, at a tenth of them.

    The gates: compacted nets compute what nets with those units off do, the sparse kernel could run, and a net with a
    mask that cuts nothing takes the time of one without.
    """
    faster, masked = speedup(steps, "sparse", "stack"), speedup(forward, "masked")
    lowest, whole = int(forward["densities"].argmin()), int(forward["densities"].argmax())
    tenth = int(np.abs(np.log(steps["densities"] / 0.1)).argmin())
    parts = {
        "half_units_speedup": speedup(forward, "half_units"),
        "masked_dense_speedup": masked[:, lowest],
        "half_units_bytes_ratio": forward["bytes"][:, 1] / forward["bytes"][:, 0],
        "sparse_step_speedup": faster[:, tenth],
        "half_units_much_faster": speedup(forward, "half_units"),
        "sparse_crossover_density": crossover(forward["densities"], speedup(forward, "csr")),
        "sparse_step_crossover": crossover(steps["densities"], faster),
    }
    gate = {
        "compaction_is_exact": bool((forward["difference"] <= EXACT).all()),
        "sparse_kernel_is_installed": bool((steps["sparse_s"] != steps["stack_s"][:, None]).any()),
        "equal_nets_take_equal_time": bool(abs(np.log(masked[:, whole]).mean()) < np.log(STEADY)),
    }
    return Finding("LTH-32", parts, gate)
