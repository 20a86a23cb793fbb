"""The claims on mean field and random matrices: from the runs to one number a seed for each part of a check.

Accuracies are in percentage points at the end of training. "Start" is the rewound ticket, "end" the trained one.
Signals deep in the net are means over the upper half of the hidden layers, since in one layer of 128 units chance alone
moves q by a tenth. Parts of a check stand under the names of their statistics; where claims/ gives a part another name,
the docstring has it in brackets. Numbers of theory, which no seed changes, are intervals of no width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from redlib.evidence.claims import Finding
from redlib.evidence.peaks import falls_through, judged_best
from redlib.evidence.stats import Interval, correlation_per_seed, slope_per_seed
from redlib.experiments.chain import D4_4, D11, D21, D41, D51
from redlib.experiments.results import Results
from redlib.measures import meanfield
from redlib.measures.dip import DRAWS, dip_p
from redlib.studies.mean_field_rmt.runs import Start

Floats = np.ndarray
Nets = Mapping[tuple[str, int], Results]  # (arm, level) -> what was found of it; the tickets are arm "ticket"
DEPARTED = 0.1  # relative error of q from which theory and measurement differ
CLEARER = {"by_a_third": 1 / 3, "by_all": 1.0}  # other such errors, since the source says no more than "clear"
TRAINABLE = 0.5  # training accuracy from which a net counts as trained
FITTED = 0.05  # share of training errors that a net of section 6 may make
GRID = np.linspace(0.5, 4, 10), np.linspace(0.1, 2, 10)  # σ_w, σ_b of the map of fixed points


def exact(value: float) -> Interval:
    """Return a number of theory as a 95% interval of no width."""
    return Interval(float(value), float(value), float(value), 0.95, "theory", 1)


def accuracy(results: Results) -> Floats:
    """Return the test accuracy at the end in percent, [S, ...]."""
    return np.asarray(100 * (1 - results["final_error"]))


def learns(chain: Results) -> dict[str, bool]:
    """Return the gate of a chain, or of one level: every (first) net gets at least half of its training set right."""
    return {"dense_net_learns": bool((np.atleast_2d(chain["train_error"].T)[0] <= 0.5).all())}


def learned(spectra: Results) -> dict[str, bool]:
    """Return the gate of section 6: at the end no seed makes more than 5% of training errors."""
    return {"learned": bool((spectra["train_error"][:, -1] <= FITTED).all())}


def nets(tickets: Results, *controls: Results) -> Nets:
    """Return every net of a chain and of its control arms by (arm, level)."""
    found = {("ticket", level): tickets.at(level=level) for level in tickets.labels["level"]}
    return found | {
        (arm, level): one.at(arm=arm, level=level)
        for one in controls
        for arm in one.labels["arm"]
        for level in one.labels["level"]
    }


def contrast(nets: Nets, arm: str, other: str, level: int) -> Floats:
    """Return how many points of accuracy an arm is ahead of another [S]."""
    return accuracy(nets[arm, level]) - accuracy(nets[other, level])


def density(tickets: Results) -> Floats:
    """Return the share of the weights of hidden layers that each level keeps [levels]."""
    return np.asarray(tickets["start_density"][0, :, 0])


def deep(values: Floats) -> Floats:
    """Return the mean over the upper half of the hidden layers of values [..., L]."""
    return np.asarray(values[..., (values.shape[-1] - 1) // 2 : -1].mean(-1))


def hidden_chi(results: Results) -> Floats:
    """Return χ at the start [S, ...], the mean over the hidden layers, leaving out the logits."""
    return np.asarray(results["start_chi"][..., :-1].mean(-1))


def best_accuracy(chain: Results) -> Floats:
    """Return the judges' accuracy [J] at the pruned level at which the choosers are best on average."""
    return judged_best(accuracy(chain)[:, 1:])


def gain(chain: Results) -> Floats:
    """Return the judges' gain over their dense nets [J] at the pruned level where the choosers gain most on average."""
    reached = accuracy(chain)
    return judged_best(reached[:, 1:] - reached[:, :1])


def prediction_error(tickets: Results, law: str, when: str = "start") -> Floats:
    """Return (predicted - measured)/measured q deep in the net [S, levels], for "naive", "density" or "rows"."""
    return np.asarray(deep(tickets[f"{when}_q_{law}"]) / deep(tickets[f"{when}_q"]) - 1)


def departure(tickets: Results, law: str, by: float = DEPARTED) -> Floats:
    """Return the largest density at which the prediction has departed `by` so much, the least of all if it never does.

    From what it was for the dense net of the seed: chance moves q of one net by a tenth, but all its levels alike.
    """
    error = prediction_error(tickets, law)
    gone = np.abs(error - error[:, :1]) > by
    return density(tickets)[np.where(gone.any(1), gone.argmax(1), -1)]


def measured_change(tickets: Results) -> Floats:
    """Return the relative change of the measured q, deep in the net, when in-degrees are evened out [S, levels]."""
    return np.asarray(deep(tickets["q_even"]) / deep(tickets["start_q"]) - 1)


def expected_change(tickets: Results) -> Floats:
    """Return the same of what the law "rows" says: the mean over signs of the weights [S, levels]."""
    return np.asarray(deep(tickets["q_even_rows"]) / deep(tickets["start_q_rows"]) - 1)


def fixed_points() -> Floats:
    """Return q* of tanh over a grid of σ_w and σ_b, [σ_w, σ_b]."""
    return meanfield.q_fixed_point(GRID[0][:, None], GRID[1])


def smallest_step(settled: Floats, sigmas: Sequence[tuple[float, float]]) -> Floats:
    """Return the smallest rise of q [S, points] to points (σ_w, σ_b) that are smaller in neither [S], NaN without."""
    pairs = permutations(range(len(sigmas)), 2)
    rises = [settled[:, b] - settled[:, a] for a, b in pairs if np.less_equal(sigmas[a], sigmas[b]).all()]
    return np.asarray(np.min(rises, 0)) if rises else np.full(len(settled), np.nan)


def mean_over_std(tickets: Results, when: str) -> Floats:
    """Return |mean|/std of the kept weights [S, levels, L], at the "start" or the "end" of training."""
    return np.asarray(np.abs(tickets[f"{when}_mean"]) / tickets[f"{when}_std"])


def rise_of_std(tickets: Results, when: str) -> Floats:
    """Return the slope of the layers' standard deviations on -ln density, the least of all layers [S]."""
    std, share = tickets[f"{when}_std"], tickets["start_density"][0]
    slopes = [slope_per_seed(-np.log(share[:, layer]), std[:, :, layer]) for layer in range(std.shape[2])]
    return np.asarray(np.min(slopes, 0))


def change_of_std(tickets: Results, when: str) -> Floats:
    """Return the change of the layers' standard deviations from dense to the last level, over the dense one [S]."""
    std = tickets[f"{when}_std"]
    return np.asarray((std[:, -1] / std[:, 0] - 1).mean(1))


def filling(peaks: Results, tickets: Results, when: str) -> Floats:
    """Return the slope of the histogram at 0, over its largest, on ln density, the mean over layers [S]."""
    levels = [*peaks.labels["level"]]
    return slope_per_seed(np.log(density(tickets)[levels]), peaks[f"{when}_gap"].mean(2))


def dip_excess(p: Floats) -> Floats:
    """Return p of dip tests [S, L] as normal scores, mean of layers [S]: 0 where a flat law of one peak has them."""
    return np.asarray(-ndtri(p - 0.5 / (DRAWS + 1)).mean(1))


def trainable_depth(brief: Results) -> Floats:
    """Return the depth at which training accuracy falls through a half [S, σ_w]."""
    return falls_through(np.moveaxis(brief["train_accuracy"], 1, 2), brief.labels["depth"], TRAINABLE)


def residual_law(skips: Results) -> Floats:
    """Return what q should be after each pair of layers [depth], for inputs whose mean square is 1."""
    sigma_w, sigma_b = skips.labels["sigma"][0]
    return meanfield.resnet_q_profile(1.0, sigma_w, sigma_b, skips["q"].shape[2])


def net_mean(spectra: Results, name: str) -> Floats:
    """Return a quantity of the spectra at each look, the mean over layers of at least 50 eigenvalues [S, T]."""
    return np.asarray(spectra[name].mean(2))


def rmt_0(starts: Mapping[str, Results], plan: Mapping[str, Start]) -> Finding:
    """The nets start at the edge of chaos: χ is 1 and correlations stay (starts full, literal, orthogonal).

    χ of the law (chi_bias_full, chi_bias_seed, chi_orthogonal) and as measured in the upper half of the nets
    (measured_chi_bias_full, measured_chi_bias_seed). The drift is that of the mean correlation over pairs of inputs,
    from the first hidden layer to the last (drift_bias_full, drift_bias_seed, drift_orthogonal); theory's at χ = 1 is
    from the same first correlation, with the source's biases (drift_in_theory).
    """
    c = {name: starts[name]["c"][:, :-1] for name in plan}
    drift = {name: values[:, -1] - values[:, 0] for name, values in c.items()}
    chi = {name: exact(float(meanfield.chi_1(start.lab.sigma_w, start.lab.sigma_b))) for name, start in plan.items()}
    bias, first = plan["full"].lab.sigma_b, c["full"][:, 0]
    edge = meanfield.c_profile(first, float(meanfield.edge_of_chaos(bias)), bias, c["full"].shape[1])
    parts = {
        "chi_bias_0p3": chi["full"],
        "correlation_change_bias_0p3": drift["full"],
        "chi_bias_0p3_over_16": chi["literal"],
        "correlation_change_bias_0p3_over_16": drift["literal"],
        "correlation_change_in_theory_at_chi_1": edge[:, -1] - first,
        "measured_chi_bias_0p3": deep(starts["full"]["chi"]),
        "measured_chi_bias_0p3_over_16": deep(starts["literal"]["chi"]),
        "chi_orthogonal": chi["orthogonal"],
        "correlation_change_orthogonal": drift["orthogonal"],
    }
    return Finding("RMT-0", parts)


def rmt_1(tickets: Results) -> Finding:
    """Pruning raises the test accuracy above that of the dense net."""
    return Finding("RMT-1", {"accuracy_best_density_minus_dense": gain(tickets)}, learns(tickets))


def rmt_2(orthogonal: Results, normal: Results) -> Finding:
    """It does so from orthogonal weights, too (rise); normal_versus_orthogonal: at the best level of each."""
    parts = {
        "accuracy_best_density_minus_dense_orthogonal": gain(orthogonal),
        "accuracy_normal_minus_orthogonal": best_accuracy(normal) - best_accuracy(orthogonal),
    }
    return Finding("RMT-2", parts, learns(orthogonal))


def rmt_3(conv: Results) -> Finding:
    """It does so in a convolutional net, too."""
    return Finding("RMT-3", {"accuracy_best_density_minus_dense_convnet": gain(conv)}, learns(conv))


def rmt_4(tickets: Results) -> Finding:
    """The mean of the weights hardly moves in any layer, rewound or trained.

    |mean|/std of a layer, averaged over levels since at the last ones chance alone moves it by a tenth
    (small_mean_rewound, small_mean_trained); mean over its sampling error, the largest of all levels
    (within_sampling_error, trained_within_sampling_error).
    """
    rewound, trained = (mean_over_std(tickets, when) for when in ("start", "end"))
    kept = np.sqrt(tickets["start_kept"])
    parts = {
        "largest_layer_abs_mean_over_std_rewound": rewound.mean(1).max(1),
        "largest_layer_abs_mean_z_rewound": (rewound * kept).max((1, 2)),
        "largest_layer_abs_mean_over_std_trained": trained.mean(1).max(1),
        "largest_layer_abs_mean_z_trained": (trained * kept).max((1, 2)),
    }
    return Finding("RMT-4", parts, learns(tickets))


def rmt_5(tickets: Results, sigma_w: float) -> Finding:
    """The standard deviation of what is left grows in every layer (every_layer_rises), by its own order (same_order).

    Of rewound weights; of trained ones every_trained_layer_rises, trained_same_order. versus_truncated_gaussian: over
    the law of Gaussian weights cut once by magnitude, mean over layers at 21%.
    """
    std, share = tickets["start_std"][:, D21], tickets["start_density"][0, D21]
    law = sigma_w * np.sqrt(meanfield.magnitude_second_moment(share) / share)
    parts = {
        "smallest_layer_slope_std_on_minus_log_density": rise_of_std(tickets, "start"),
        "std_change_over_dense_rewound": change_of_std(tickets, "start"),
        "smallest_layer_slope_trained_std_on_minus_log_density": rise_of_std(tickets, "end"),
        "std_change_over_dense_trained": change_of_std(tickets, "end"),
        "std_over_truncation_law": (std / law).mean(1),
    }
    return Finding("RMT-5", parts, learns(tickets))


def rmt_6(nets: Nets) -> Finding:
    """At 20% a larger standard deviation of the start changes how well the net trains.

    random_2p24, random_2p52, random_3p13: under random masks; pruned_2p24, pruned_2p52, pruned_3p13: on the pruned
    mask, where weights are drawn anew, so that their standard deviation is what is said.
    """
    parts = {
        "accuracy_random_mask_std_2p24_minus_1p4": contrast(nets, "random_2.24", "random", D21),
        "accuracy_random_mask_std_2p52_minus_1p4": contrast(nets, "random_2.52", "random", D21),
        "accuracy_random_mask_std_3p13_minus_1p4": contrast(nets, "random_3.13", "random", D21),
        "accuracy_imp_mask_std_2p24_minus_1p4": contrast(nets, "fresh_2.24", "fresh", D21),
        "accuracy_imp_mask_std_2p52_minus_1p4": contrast(nets, "fresh_2.52", "fresh", D21),
        "accuracy_imp_mask_std_3p13_minus_1p4": contrast(nets, "fresh_3.13", "fresh", D21),
    }
    return Finding("RMT-6", parts, learns(nets["ticket", 0]))


def rmt_7(tickets: Results) -> Finding:
    """q deep in the net rises from dense to 51% and falls on to 4%.

    Of rewound weights (rise_rewound, fall_rewound) and of trained ones (rise_trained, fall_trained).
    """
    rewound, trained = deep(tickets["start_q"]), deep(tickets["end_q"])
    parts = {
        "q_rewound_d0p51_minus_dense": rewound[:, D51] - rewound[:, 0],
        "q_rewound_d0p04_minus_d0p51": rewound[:, D4_4] - rewound[:, D51],
        "q_trained_d0p51_minus_dense": trained[:, D51] - trained[:, 0],
        "q_trained_d0p04_minus_d0p51": trained[:, D4_4] - trained[:, D51],
    }
    return Finding("RMT-7", parts, learns(tickets))


def rmt_8(tickets: Results) -> Finding:
    """The naive theory departs at about 51%: in size (naive_departs_at_51), or in direction (directions_part_at_51).

    In theory q goes on rising, so directions part where the measured one, rewound, is largest. One that knows the
    density departs later and errs less (corrected_departs_later, correction_shrinks_error, mean over pruned levels);
    the law of rows: empirical_departs_at. Where larger errors count: first_departure_density_naive_by_a_third,
    first_departure_density_naive_by_all.
    """
    naive, corrected = departure(tickets, "naive"), departure(tickets, "density")
    error = {law: np.abs(prediction_error(tickets, law))[:, 1:].mean(1) for law in ("naive", "density")}
    parts = {
        "first_departure_density_naive": naive,
        "density_of_largest_measured_q": density(tickets)[deep(tickets["start_q"]).argmax(1)],
        "first_departure_density_empirical": departure(tickets, "rows"),
        "first_departure_density_corrected_minus_naive": corrected - naive,
        "relative_error_corrected_minus_naive": error["density"] - error["naive"],
    }
    looser = {f"first_departure_density_naive_{name}": departure(tickets, "naive", by) for name, by in CLEARER.items()}
    return Finding("RMT-8", parts | looser, learns(tickets))


def rmt_9(tickets: Results) -> Finding:
    """The weights themselves, row by row, predict q better than the density alone (mean over pruned levels)."""
    rows, corrected = (np.abs(prediction_error(tickets, law))[:, 1:].mean(1) for law in ("rows", "density"))
    return Finding("RMT-9", {"relative_error_empirical_minus_corrected": rows - corrected}, learns(tickets))


def rmt_10(wide: Results) -> Finding:
    """q* grows with both standard deviations (monotone, exact), and so does q in wide nets (settled_q_rises).

    A net's q is the mean over the upper half of its layers; simulation_agrees: its relative error, mean over points.
    """
    smallest = min(np.diff(fixed_points(), axis=axis).min() for axis in (0, 1))
    settled, sigmas = wide["q"][..., wide["q"].shape[-1] // 2 :].mean(-1), wide.labels["sigma"]
    theory = np.array([meanfield.q_fixed_point(*pair) for pair in sigmas])
    parts = {
        "smallest_q_step_on_grid": exact(smallest),
        "smallest_step_of_settled_q": smallest_step(settled, sigmas),
        "relative_error_width_1024": np.abs(settled / theory - 1).mean(1),
    }
    return Finding("RMT-10", parts)


def rmt_11(peaks: Results, tickets: Results) -> Finding:
    """Weights split in two groups, the more so the more is pruned, before training and after.

    Means of layers: how the histogram at 0 falls with density (splits_more_before_training,
    splits_more_after_training), and the dip at 21% (two_groups_before_training, two_groups_after_training). In the
    layer where they split least at 21%: the histogram at 0 over its largest (gap_before_training, gap_after_training)
    and p of the dip test (dip_before_training, dip_after_training).
    """
    found, kept = peaks.at(level=D21), tickets["start_kept"][0, D21]
    rewound, trained = (dip_p(found[f"{when}_dip"], kept) for when in ("start", "end"))
    parts = {
        "slope_density_at_zero_on_log_density_rewound": filling(peaks, tickets, "start"),
        "dip_excess_rewound": dip_excess(rewound),
        "slope_density_at_zero_on_log_density_trained": filling(peaks, tickets, "end"),
        "dip_excess_trained": dip_excess(trained),
        "largest_layer_density_at_zero_over_max_rewound": found["start_gap"].max(1),
        "largest_layer_dip_p_rewound": rewound.max(1),
        "largest_layer_density_at_zero_over_max_trained": found["end_gap"].max(1),
        "largest_layer_dip_p_trained": trained.max(1),
    }
    return Finding("RMT-11", parts, learns(tickets))


def rmt_12(nets: Nets) -> Finding:
    """New weights from the ticket's two-peaked law make no ticket of a random mask (falls_short_of_ticket).

    Nor are they better than Gaussian ones, there (random_subnet) or on the ticket's mask (pruned_mask), or than
    Gaussian ones of as much variance, so that only the shape differs (same_spread_random_subnet,
    same_spread_pruned_mask).
    """
    parts = {
        "accuracy_bimodal_random_mask_minus_ticket": contrast(nets, "bimodal", "ticket", D41),
        "accuracy_bimodal_minus_gaussian_random_mask": contrast(nets, "bimodal", "random", D41),
        "accuracy_bimodal_minus_gaussian_imp_mask": contrast(nets, "bimodal_ticket", "fresh", D41),
        "accuracy_bimodal_minus_same_spread_random_mask": contrast(nets, "bimodal", "normal", D41),
        "accuracy_bimodal_minus_same_spread_imp_mask": contrast(nets, "bimodal_ticket", "normal_ticket", D41),
    }
    return Finding("RMT-12", parts, learns(nets["ticket", 0]))


def rmt_13(tickets: Results) -> Finding:
    """χ of rewound tickets falls with sparsity."""
    slope = slope_per_seed(np.log(density(tickets)), hidden_chi(tickets))
    return Finding("RMT-13", {"slope_chi_on_log_density": slope}, learns(tickets))


def rmt_14(nets: Nets) -> Finding:
    """Down to 20%, less χ does not mean less accuracy: tickets; random_masks of the same dense net are the contrast."""

    def correlation(arm: str) -> Floats:
        own = [nets["ticket", 0], *(net for (a, level), net in nets.items() if a == arm and 0 < level <= D21)]
        chi, reached = (np.stack([what(net) for net in own], 1) for what in (hidden_chi, accuracy))
        return correlation_per_seed(chi, reached)

    parts = {
        "correlation_chi_accuracy_imp": correlation("ticket"),
        "correlation_chi_accuracy_random_mask": correlation("random"),
    }
    return Finding("RMT-14", parts, learns(nets["ticket", 0]))


def rmt_15(nets: Nets) -> Finding:
    """Tickets pass gradients back differently, and this predicts accuracy.

    Log singular values at the start, means over 21% and 11% (versus_random, versus_chi_matched, largest_singular_value,
    condition_number); predicts_accuracy: over all nets of a seed down to 11%, χ taken out of both.
    """

    def lead(name: str, other: str) -> Floats:
        return np.mean([nets["ticket", level][name] - nets[other, level][name] for level in (D21, D11)], 0)

    every = [net for (_, level), net in nets.items() if level <= D11]
    square, chi, reached = (
        np.stack([what(net) for net in every], 1)
        for what in (lambda net: net["start_log_mean_square"], hidden_chi, accuracy)
    )
    parts = {
        "log_mean_squared_singular_value_imp_minus_random": lead("start_log_mean_square", "random"),
        "log_mean_squared_singular_value_imp_minus_chi_matched": lead("start_log_mean_square", "chi_matched"),
        "log_largest_singular_value_imp_minus_random": lead("start_log_sigma_max", "random"),
        "log_condition_number_imp_minus_random": lead("start_log_condition", "random"),
        "partial_correlation_jacobian_accuracy_given_chi": correlation_per_seed(square, reached, chi),
    }
    return Finding("RMT-15", parts, learns(nets["ticket", 0]))


def rmt_16(tickets: Results) -> Finding:
    """Are inputs uneven in number (uneven_inputs, hidden units at 21%), does it change q (shuffling_changes_signal)?

    The change of q is that of the law "rows", a mean over the signs of the weights: chance moves a measured q more.
    much_more_uneven, shuffling_matters: the same, held against bounds of ours.
    """
    change = expected_change(tickets)[:, D21]
    parts = {
        "in_degree_variance_ratio": tickets["degree_ratio"][:, D21, :-1].mean(1),
        "relative_q_change_in_degree_shuffled": change,
        "abs_relative_q_change_in_degree_shuffled": np.abs(change),
    }
    return Finding("RMT-16", parts, learns(tickets))


def rmt_17(skips: Results) -> Finding:
    """With skips q obeys our recursion (recursion_error, simulation_agrees, mean over depth), which grows (grows)."""
    q = skips["q"][:, 0]
    theory = residual_law(skips)
    parts = {
        "relative_error_residual_recursion": np.abs(q / theory - 1).mean(1),
        "slope_q_on_depth": slope_per_seed(np.arange(q.shape[1]), q),
    }
    return Finding("RMT-17", parts)


def rmt_18(nets: Nets) -> Finding:
    """How far a ticket leads a random mask with restored variance (lead_of_ticket_d0p2, lead_of_ticket_d0p1).

    Whether that is nothing (equals_ticket_d0p2, equals_ticket_d0p1), and whether restoring the variance helps a random
    mask at 21% and 11% (helps_d0p2, helps_d0p1).
    """
    parts = {
        "accuracy_corrected_minus_uncorrected_d0p2": contrast(nets, "corrected", "random", D21),
        "accuracy_corrected_minus_uncorrected_d0p1": contrast(nets, "corrected", "random", D11),
        "accuracy_imp_minus_corrected_d0p2": contrast(nets, "ticket", "corrected", D21),
        "accuracy_imp_minus_corrected_d0p1": contrast(nets, "ticket", "corrected", D11),
    }
    return Finding("RMT-18", parts, learns(nets["ticket", 0]))


def rmt_19(augmented: Results, residual: Results, tickets: Results) -> Finding:
    """The gain is more than relief from over-fitting: gain_in_resnet, and gain_with_augmentation if those nets learn.

    gap_change: training minus test accuracy at the end, of the ticket of 21% minus the dense net.
    """
    gap = 100 * (tickets["final_error"] - tickets["train_error"])
    parts = {
        "accuracy_gain_resnet": gain(residual),
        "accuracy_gain_augmented": np.where(all(learns(augmented).values()), gain(augmented), np.nan),
        "train_test_gap_ticket_minus_dense": gap[:, D21] - gap[:, 0],
    }
    return Finding("RMT-19", parts, learns(residual))


def rmt_20(brief: Results, sigma_b: float) -> Finding:
    """The trainable depth follows the depth scale of theory over σ_w, in rank (and how closely: follows_closely).

    Gate: with every σ_w and seed the shallowest net can be trained, the deepest cannot.
    """
    reached, scale = brief["train_accuracy"], meanfield.depth_scales(brief.labels["sigma"], sigma_b)[1]
    ranks = rankdata(trainable_depth(brief), axis=1)
    agreement = correlation_per_seed(np.broadcast_to(rankdata(scale), ranks.shape), ranks)
    gate = bool((reached[:, 0] >= TRAINABLE).all() and (reached[:, -1] < TRAINABLE).all())
    parts = {"rank_correlation_trainable_depth_depth_scale": agreement}
    return Finding("RMT-20", parts, {"depths_span_trainability": gate})


def rmt_21(main: Results, by_batch: Mapping[int, Results]) -> Finding:
    """Training takes spectra out of the random bulk, more so with small batches (batch_trend, at the end).

    spikes_grow: eigenvalues beyond the edge, per epoch; leaves_random_bulk; noise_shrinks: σ of the bulk, relative.
    """
    batches = sorted(by_batch)
    ends = np.stack([net_mean(by_batch[size], "spikes")[:, -1] for size in batches], 1)
    distance, sigma = net_mean(main, "distance"), main["sigma"]
    parts = {
        "slope_spike_count_on_epoch": slope_per_seed(main["epochs"], net_mean(main, "spikes")),
        "ks_distance_to_bulk_end_minus_start": distance[:, -1] - distance[:, 0],
        "slope_spike_count_on_log2_batch": slope_per_seed(np.log2(batches), ends),
        "bulk_sigma_end_minus_start": (sigma[:, -1] / sigma[:, 0] - 1).mean(1),
    }
    return Finding("RMT-21", parts, learned(main))


def rmt_22(low: Results, source: Results) -> Finding:
    """The 16 leading directions of the update keep the accuracy, as many random ones do not.

    rank_16_each_layer, random_worse_each_layer: in the layer where it holds least; rank_16_all_layers,
    random_worse_all_layers: all layers replaced. rank_4_each_layer, rank_4_all_layers: the same share of 256 directions
    as 16 of the source's 1,024.
    """
    few, more, full = low.at(rank=4), low.at(rank=16), low["full"]
    parts = {
        "accuracy_top_4_minus_full_layerwise": few["top_layerwise"].min(1) - full,
        "accuracy_top_4_minus_full_joint": few["top_joint"] - full,
        "accuracy_top_16_minus_full_layerwise": more["top_layerwise"].min(1) - full,
        "accuracy_top_16_minus_full_joint": more["top_joint"] - full,
        "accuracy_random_16_minus_top_16_layerwise": (more["random_layerwise"] - more["top_layerwise"]).max(1),
        "accuracy_random_16_minus_top_16_joint": more["random_joint"] - more["top_joint"],
    }
    return Finding("RMT-22", parts, learned(source))


def rmt_23(low: Results, source: Results) -> Finding:
    """How large is what 16 directions leave of the update, over_start and over_change; larger_ratio of the two.

    Spectral norms, means over layers. 16 directions, as in the source: the claim is about what is left by as many as
    carry the accuracy, and with ten classes 4 can be too few for that.
    """
    start, whole = (low.at(rank=16)[name].mean(1) for name in ("over_start", "over_update"))
    parts = {
        "larger_residual_spectral_norm_ratio": np.maximum(start, whole),
        "residual_over_start_spectral_norm": start,
        "residual_over_change_spectral_norm": whole,
    }
    return Finding("RMT-23", parts, learned(source))
