"""From the runs of the mean-field study to one number a seed for each part of a claim.

Results are those of `mean_field.run`, joined to [S, levels, ...] by `chain`; what comes out is [S]. Accuracies are in
percentage points at the end of training. "Start" is the rewound ticket, "end" the trained one. Layers are the hidden
ones and the logits; signals deep in the net are means over the upper half of the hidden layers, since in one layer of
128 units chance alone moves q by a tenth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from redlib.evidence.stats import mean_interval, slope_per_seed
from redlib.measures import meanfield as mf
from redlib.studies.mean_field import D4, D11, D21, D41, D51, STDS, Arms, Arrays, Lab
from redlib.studies.mean_field_look import LAWS
from redlib.studies.mean_field_plan import DEPTHS
from redlib.studies.tickets_statistics import at_end

Floats = np.ndarray
Cells = dict[tuple[str, int], Floats]  # (arm, level) -> one value a seed
UNSTACKED = ("steps", "survives", "final")
DEPARTED = 0.1  # relative error of q from which theory and measurement differ
TRAINABLE = 0.5  # training accuracy from which a net counts as trained
GRID = np.linspace(0.5, 4, 10), np.linspace(0.1, 2, 10)  # σ_w, σ_b of the map of fixed points
JACOBIAN = ("mean_square", "sigma_max", "condition")


def chain(done: Mapping[str, Arrays], name: str, depth: int) -> Arrays:
    """Return what the levels 0 … depth of the chain `name` measured as one result with axes [S, levels, ...]."""
    found = [done[f"{name} {level}"] for level in range(depth + 1)]
    kept = [key for key in found[0] if key not in UNSTACKED and not key.startswith(("mask.", "end."))]
    return {key: np.stack([level[key] for level in found], 1) for key in kept}


def cells(done: Mapping[str, Arrays], plan: Mapping[str, Any], name: str) -> dict[tuple[str, int], Floats]:
    """Return the array `name` of every control arm in the plan by (arm, level), [S, ...] each."""
    arms = {key: config for key, config in plan.items() if isinstance(config, Arms)}
    return {
        (arm, level): done[key][name][:, i, k]
        for key, config in arms.items()
        for i, arm in enumerate(config.arms)
        for k, level in enumerate(config.levels)
    }


def accuracies(done: Mapping[str, Arrays], plan: Mapping[str, Any], tickets: Arrays) -> Cells:
    """Return the accuracy of every control arm by (arm, level) and that of the tickets as ("ticket", level)."""
    found = {cell: 100 * (1 - error) for cell, error in cells(done, plan, "final_error").items()}
    own = at_end(tickets)
    return found | {("ticket", level): own[:, level] for level in range(own.shape[1])}


def learned(results: Arrays, name: str = "dense_net_learns", share: float = 0.5) -> dict[str, bool]:
    """Return a gate: every dense net (level 0) of a chain gets at least this share of its training set right."""
    return {name: bool((results["train_error"][:, 0] <= 1 - share).all())}


def bracketed(results: Arrays, name: str = "depths_span_trainability") -> dict[str, bool]:
    """Return the gate of RMT-20: with every σ_w and seed the shallowest net can be trained, the deepest cannot."""
    accuracy = results["train_accuracy"]
    return {name: bool((accuracy[..., 0] >= TRAINABLE).all() and (accuracy[..., -1] < TRAINABLE).all())}


def deep(values: Floats) -> Floats:
    """Return the mean over the upper half of the hidden layers of values [..., L]."""
    return np.asarray(values[..., (values.shape[-1] - 1) // 2 : -1].mean(-1))


def edge_claim(starts: Mapping[str, Arrays], labs: Mapping[str, Lab]) -> dict[str, Floats]:
    """Return RMT-0 of the starts full, literal and orthogonal: χ by quadrature, and the drift of the correlation.

    The drift is the largest change, from the first hidden layer on, of the mean correlation over pairs of inputs.
    """
    names = {"full": "bias_0p3", "literal": "bias_0p3_over_16", "orthogonal": "orthogonal"}
    found: dict[str, Floats] = {}
    for start, name in names.items():
        c = starts[start]["c"][:, :-1]
        found[f"chi_{name}"] = np.full(len(c), mf.chi_1(labs[start].sigma_w, labs[start].sigma_b))
        found[f"max_correlation_change_{name}"] = np.abs(c - c[:, :1]).max(1)
    return found


def best_level(accuracy: Floats) -> Floats:
    """Return, for each seed, the pruned level (not 0) at which the *other* seeds are best on average [S]."""
    count = len(accuracy)
    others = (accuracy.sum(0) - accuracy) / (count - 1) if count > 1 else accuracy
    return np.asarray(1 + others[:, 1:].argmax(1))


def best_accuracy(results: Arrays) -> Floats:
    """Return each seed's accuracy at its `best_level` [S]."""
    accuracy = at_end(results)
    return np.asarray(accuracy[np.arange(len(accuracy)), best_level(accuracy)])


def gain(results: Arrays) -> Floats:
    """Return each seed's accuracy at its `best_level` minus that of its dense net [S]."""
    return best_accuracy(results) - at_end(results, 0)


def rise_claims(normal: Arrays, orthogonal: Arrays, conv: Arrays) -> dict[str, dict[str, Floats]]:
    """Return RMT-1, RMT-2 and RMT-3; normal and orthogonal are compared at the best level of each."""
    return {
        "RMT-1": {"accuracy_best_density_minus_dense": gain(normal)},
        "RMT-2": {
            "accuracy_best_density_minus_dense_orthogonal": gain(orthogonal),
            "accuracy_normal_minus_orthogonal": best_accuracy(normal) - best_accuracy(orthogonal),
        },
        "RMT-3": {"accuracy_best_density_minus_dense_convnet": gain(conv)},
    }


def mean_claim(tickets: Arrays) -> dict[str, Floats]:
    """Return RMT-4 over all levels and layers: |mean|/std, rewound or trained, and its z-value if rewound."""
    ratio = {when: np.abs(tickets[f"{when}_mean"]) / tickets[f"{when}_std"] for when in ("start", "end")}
    z = ratio["start"] * np.sqrt(tickets["start_kept"])
    return {
        "largest_layer_abs_mean_over_std": np.maximum(*ratio.values()).max((1, 2)),
        "largest_layer_abs_mean_z_rewound": z.max((1, 2)),
    }


def std_claim(tickets: Arrays, sigma_w: float, when: str = "start") -> dict[str, Floats]:
    """Return RMT-5; the law is that of Gaussian weights cut once by magnitude, the ratio a mean over layers at d21."""
    std, density = tickets[f"{when}_std"], tickets[f"{when}_density"][0]
    layers = range(std.shape[2])
    slopes = [slope_per_seed(-np.log(density[:, layer]), std[:, :, layer]) for layer in layers]
    share = density[D21]
    law = sigma_w * np.sqrt(mf.magnitude_second_moment(share) / share)
    return {
        "smallest_layer_slope_std_on_minus_log_density": np.min(slopes, 0),
        "std_over_truncation_law": (std[:, D21] / law).mean(1),
    }


def std_arms_claim(accuracy: Cells) -> dict[str, Floats]:
    """Return RMT-6; on the pruned mask weights are drawn anew, so that their standard deviation is what is said."""
    found = {}
    for arm, name in (("random", "random_mask"), ("fresh", "imp_mask")):
        for std in STDS:
            contrast = accuracy[f"{arm}_{std}", D21] - accuracy[arm, D21]
            found[f"accuracy_{name}_std_{std}_minus_1.4".replace(".", "p")] = contrast
    return found


def signal_claim(tickets: Arrays) -> dict[str, Floats]:
    """Return RMT-7: how q deep in the net changes from dense to 51% and on to 4.4%, rewound and trained."""
    found = {}
    for when, name in (("start", "rewound"), ("end", "trained")):
        q = deep(tickets[f"{when}_q"])
        found[f"q_{name}_d0p51_minus_dense"] = q[:, D51] - q[:, 0]
        found[f"q_{name}_d0p04_minus_d0p51"] = q[:, D4] - q[:, D51]
    return found


def prediction_error(tickets: Arrays, law: str, when: str = "start") -> Floats:
    """Return (predicted - measured)/measured q deep in the net [S, levels], for "naive", "density" or "rows"."""
    return np.asarray(deep(tickets[f"{when}_q_{law}"]) / deep(tickets[f"{when}_q"]) - 1)


def departure(tickets: Arrays, law: str) -> Floats:
    """Return the largest density at which the prediction has departed by a tenth, the least there is if it never does.

    From what it was for the dense net of the seed: chance moves q of one net by as much, but all its levels alike.
    """
    error = prediction_error(tickets, law)
    gone = np.abs(error - error[:, :1]) > DEPARTED
    density = tickets["start_density"][0, :, 0]
    return np.asarray(density[np.where(gone.any(1), gone.argmax(1), -1)])


def mean_departure(tickets: Arrays, law: str) -> float:
    """Return the largest density at which the 95% interval of |relative error| lies above a tenth, NaN if none.

    The rule of the ledger: one number for all seeds, chance included.
    """
    error = np.abs(prediction_error(tickets, law))
    gone = [mean_interval(level).low > DEPARTED for level in error.T]
    return float(tickets["start_density"][0, int(np.argmax(gone)), 0]) if any(gone) else float("nan")


def theory_claims(tickets: Arrays) -> dict[str, dict[str, Floats]]:
    """Return RMT-8 and RMT-9; "corrected" is the law "density", "empirical" the law "rows" of the weights themselves.

    Relative errors are means over the pruned levels.
    """
    first = {law: departure(tickets, law) for law in LAWS}
    error = {law: np.abs(prediction_error(tickets, law))[:, 1:].mean(1) for law in LAWS}
    eighth = {
        "first_departure_density_naive": first["naive"],
        "first_departure_density_empirical": first["rows"],
        "first_departure_density_corrected_minus_naive": first["density"] - first["naive"],
        "relative_error_corrected_minus_naive": error["density"] - error["naive"],
    }
    return {"RMT-8": eighth, "RMT-9": {"relative_error_empirical_minus_corrected": error["rows"] - error["density"]}}


def fixed_points(grid: tuple[Floats, Floats] = GRID) -> Floats:
    """Return q* of tanh over a grid of σ_w and σ_b, [σ_w, σ_b]."""
    return mf.q_fixed_point(grid[0][:, None], grid[1])


def fixed_point_claim(wide: Arrays, sigmas: Sequence[tuple[float, float]]) -> dict[str, Floats]:
    """Return RMT-10: the smallest step of q* on the grid, which is exact, and how far wide nets are from q*.

    A net's q is the mean over the upper half of its layers; its relative error is averaged over the points.
    """
    q_star = fixed_points()
    smallest = min(np.diff(q_star, axis=axis).min() for axis in (0, 1))
    settled = wide["q"][..., wide["q"].shape[-1] // 2 :].mean(-1)
    theory = np.array([mf.q_fixed_point(*pair) for pair in sigmas])
    return {
        "smallest_q_step_on_grid": np.full(len(settled), smallest),
        "relative_error_width_1024": np.abs(settled / theory - 1).mean(1),
    }


def bimodal_claim(tickets: Arrays, dips: Arrays) -> dict[str, Floats]:
    """Return RMT-11 at 21%: height of the histogram at 0 over its largest, and the dip test's p, of the worst layer."""
    found = {}
    for when, name in (("start", "rewound"), ("end", "trained")):
        found[f"largest_layer_density_at_zero_over_max_{name}"] = tickets[f"{when}_gap"][:, D21].max(1)
        found[f"largest_layer_dip_p_{name}"] = dips[f"{when}_p"].max(1)
    return found


def redrawn_claim(accuracy: Cells) -> dict[str, Floats]:
    """Return RMT-12 at 41%: independent draws of the ticket's two-peaked law minus the usual Gaussian start."""
    return {
        "accuracy_bimodal_minus_gaussian_random_mask": accuracy["bimodal", D41] - accuracy["random", D41],
        "accuracy_bimodal_minus_gaussian_imp_mask": accuracy["bimodal_ticket", D41] - accuracy["fresh", D41],
    }


def shape_alone(accuracy: Cells) -> dict[str, Floats]:
    """Return the contrasts of RMT-12 against a Gaussian of the two-peaked law's mean square: the shape alone."""
    return {
        "random_mask": accuracy["bimodal", D41] - accuracy["normal", D41],
        "imp_mask": accuracy["bimodal_ticket", D41] - accuracy["normal_ticket", D41],
    }


def hidden_chi(chi: Floats) -> Floats:
    """Return the mean χ of values [..., L-1] over the hidden layers, leaving out the logits."""
    return np.asarray(chi[..., :-1].mean(-1))


def chi_claim(tickets: Arrays) -> dict[str, Floats]:
    """Return RMT-13: the slope of χ of the rewound ticket on the logarithm of the density."""
    density = tickets["start_density"][0, :, 0]
    return {"slope_chi_on_log_density": slope_per_seed(np.log(density), hidden_chi(tickets["start_chi"]))}


def chi_accuracy_claim(tickets: Arrays, accuracy: Cells, chi: Cells) -> dict[str, Floats]:
    """Return RMT-14: the correlation, over levels of at least 20%, of χ at the start and accuracy.

    `chi` holds start_chi of the arms by (arm, level); the dense net belongs to both series.
    """
    own = hidden_chi(tickets["start_chi"])[:, : D21 + 1]
    levels = sorted(level for arm, level in chi if arm == "random" and level <= D21)
    theirs = np.stack([own[:, 0], *(hidden_chi(chi["random", level]) for level in levels)], 1)
    reached = np.stack([accuracy["ticket", 0], *(accuracy["random", level] for level in levels)], 1)
    return {
        "correlation_chi_accuracy_imp": _correlations(own, at_end(tickets)[:, : D21 + 1]),
        "correlation_chi_accuracy_random_mask": _correlations(theirs, reached),
    }


def jacobian_claim(tickets: Arrays, arms: Mapping[str, Cells], accuracy: Cells) -> dict[str, Floats]:
    """Return RMT-15: log singular values at the start, as means over 21% and 11%, and what they say of accuracy.

    `arms` holds the arrays of `signals` by (arm, level). The correlation is over all nets of a seed, tickets down to
    11% and control arms, with χ taken out of both; NaN where fewer than five are left.
    """

    def lead(name: str, other: str) -> Floats:
        key = f"start_log_{name}"
        return np.mean([tickets[key][:, level] - arms[key][other, level] for level in (D21, D11)], 0)

    return {
        "log_mean_squared_singular_value_imp_minus_random": lead("mean_square", "random"),
        "log_mean_squared_singular_value_imp_minus_chi_matched": lead("mean_square", "chi_matched"),
        "log_largest_singular_value_imp_minus_random": lead("sigma_max", "random"),
        "log_condition_number_imp_minus_random": lead("condition", "random"),
        "partial_correlation_jacobian_accuracy_given_chi": _given_chi(tickets, arms, accuracy),
    }


def degree_claim(tickets: Arrays) -> dict[str, Floats]:
    """Return RMT-16 at 21%: the variance ratio of inputs kept, over hidden units, and what evening them out does.

    The change of q is that of the law "rows", a mean over the signs of the weights: chance moves a measured q more.
    """
    change = deep(tickets["q_even_rows"]) / deep(tickets["start_q_rows"]) - 1
    return {
        "in_degree_variance_ratio": tickets["degree_ratio"][:, D21, :-1].mean(1),
        "abs_relative_q_change_in_degree_shuffled": np.abs(change[:, D21]),
    }


def measured_change(tickets: Arrays) -> Floats:
    """Return the relative change of the measured q, deep in the net, when in-degrees are evened out [S, levels]."""
    return np.asarray(deep(tickets["q_even"]) / deep(tickets["start_q"]) - 1)


def residual_law(sigma_w: float, sigma_b: float, depth: int) -> Floats:
    """Return q after each of `depth` pairs of layers, the first entry being the layer that reads the inputs."""
    q = [mf.q_map(1.0, sigma_w, sigma_b, "linear")]
    while len(q) < depth:
        q.append(mf.resnet_q_map(q[-1], sigma_w, sigma_b))
    return np.array(q)


def residual_claim(wide: Arrays, sigmas: tuple[float, float]) -> dict[str, Floats]:
    """Return RMT-17: the relative error of the recursion, averaged over depth, and the growth of q a pair of layers."""
    q = wide["q"][:, 0]
    theory = residual_law(*sigmas, q.shape[1])
    return {
        "relative_error_residual_recursion": np.abs(q / theory - 1).mean(1),
        "slope_q_on_depth": slope_per_seed(np.arange(q.shape[1]), q),
    }


def rescaled_claim(accuracy: Cells) -> dict[str, Floats]:
    """Return RMT-18 at 21% and 10.7%."""
    found = {}
    for name, level in (("d0p2", D21), ("d0p1", D11)):
        corrected = accuracy["corrected", level]
        found[f"accuracy_corrected_minus_uncorrected_{name}"] = corrected - accuracy["random", level]
        found[f"accuracy_imp_minus_corrected_{name}"] = accuracy["ticket", level] - corrected
    return found


def overfitting_claim(tickets: Arrays, augmented: Arrays, residual: Arrays) -> dict[str, Floats]:
    """Return RMT-19; the gap is training minus test accuracy at the end, of the ticket of 21% minus the dense net."""
    gap = 100 * (tickets["final_error"] - tickets["train_error"])
    return {
        "accuracy_gain_augmented": gain(augmented),
        "accuracy_gain_resnet": gain(residual),
        "train_test_gap_ticket_minus_dense": gap[:, D21] - gap[:, 0],
    }


def equal_fit(fitted: Arrays) -> dict[str, Floats]:
    """Return test accuracy, and train minus test accuracy, of the ticket minus dense at equal training loss [S].

    NaN for a seed of which a net did not reach that loss.
    """
    reached = (fitted["stopped_at"] >= 0).all(1)
    gap = fitted["test_error"] - fitted["train_error"]
    contrasts = {"accuracy": -fitted["test_error"], "gap": gap}
    return {name: np.where(reached, 100 * (v[:, 1] - v[:, 0]), np.nan) for name, v in contrasts.items()}


def trainable_depth(results: Arrays, depths: Sequence[int]) -> Floats:
    """Return the depth at which training accuracy falls through a half [S, σ_w], log-linear between depths.

    The least or the largest depth where it is below, or above, all along.
    """
    accuracy, grid = results["train_accuracy"], np.log(depths)
    fails = accuracy < TRAINABLE
    at = np.where(fails.any(2), fails.argmax(2), len(grid) - 1)
    below = np.maximum(at - 1, 0)
    first, second = (np.take_along_axis(accuracy, i[..., None], 2)[..., 0] for i in (below, at))
    fall = np.where(first > second, first - second, 1.0)
    share = np.where(fails.any(2) & (at > 0), (first - TRAINABLE) / fall, 1.0)
    return np.asarray(np.exp(grid[below] + share * (grid[at] - grid[below])))


def depth_claim(
    results: Arrays, depths: Sequence[int], sigmas: Sequence[float], sigma_b: float
) -> dict[str, Floats]:  # fmt: skip
    """Return RMT-20: the rank correlation over σ_w of the trainable depth and the depth scale ξ_c."""
    scale = rankdata(mf.depth_scales(np.array(sigmas), sigma_b)[1])
    found = trainable_depth(results, depths)
    ranks = rankdata(found, axis=1)
    return {"rank_correlation_trainable_depth_depth_scale": _correlations(np.broadcast_to(scale, ranks.shape), ranks)}


def arm_claims(done: Mapping[str, Arrays], plan: Mapping[str, Any], tickets: Arrays) -> dict[str, dict[str, Floats]]:
    """Return RMT-6, 12, 14, 15 and 18 from the control arms of a plan of `mean_field.experiments`."""
    accuracy = accuracies(done, plan, tickets)
    names = ("start_chi", *(f"start_log_{name}" for name in JACOBIAN))
    arms = {name: cells(done, plan, name) for name in names}
    return {
        "RMT-6": std_arms_claim(accuracy),
        "RMT-12": redrawn_claim(accuracy),
        "RMT-14": chi_accuracy_claim(tickets, accuracy, arms["start_chi"]),
        "RMT-15": jacobian_claim(tickets, arms, accuracy),
        "RMT-18": rescaled_claim(accuracy),
    }


def ticket_claims(tickets: Arrays, dips: Arrays, sigma_w: float) -> dict[str, dict[str, Floats]]:
    """Return RMT-4, 5, 7, 8, 9, 11, 13 and 16 from the main chain."""
    found = {"RMT-4": mean_claim(tickets), "RMT-5": std_claim(tickets, sigma_w), "RMT-7": signal_claim(tickets)}
    found |= theory_claims(tickets) | {"RMT-11": bimodal_claim(tickets, dips)}
    return found | {"RMT-13": chi_claim(tickets), "RMT-16": degree_claim(tickets)}


def all_claims(
    done: Mapping[str, Arrays], plan: Mapping[str, Any], depths: Mapping[str, int] = DEPTHS
) -> dict[str, dict[str, Floats]]:
    """Return RMT-0 … RMT-20 of a plan of `mean_field.experiments`: claim -> statistic -> [S].

    `depths` is the last level of each chain: normal, orthogonal, augmented, residual and conv.
    """
    chains = {name: chain(done, name, depth) for name, depth in depths.items()}
    tickets = chains["normal"]
    starts = ("full", "literal", "orthogonal")
    labs = {name: plan[f"start {name}"].lab for name in starts}
    found = {"RMT-0": edge_claim({name: done[f"start {name}"] for name in starts}, labs)}
    found |= rise_claims(tickets, chains["orthogonal"], chains["conv"])
    found |= ticket_claims(tickets, done["dips"], plan["normal 0"].lab.sigma_w) | arm_claims(done, plan, tickets)
    found["RMT-10"] = fixed_point_claim(done["wide"], plan["wide"].sigmas)
    found["RMT-17"] = residual_claim(done["residual wide"], plan["residual wide"].sigmas[0])
    found["RMT-19"] = overfitting_claim(tickets, chains["augmented"], chains["residual"])
    nets = plan["depths"]
    found["RMT-20"] = depth_claim(done["depths"], nets.depths, nets.sigmas, nets.sigma_b)
    return dict(sorted(found.items(), key=lambda pair: int(pair[0].split("-")[1])))


def _correlations(a: Floats, b: Floats) -> Floats:
    """Return Pearson's correlation of the rows of a and b [S, n], NaN where one of them is constant."""
    a, b = (values - values.mean(1, keepdims=True) for values in (a, b))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(len(a), np.nan), where=scale > 0)


def _given_chi(tickets: Arrays, arms: Mapping[str, Cells], accuracy: Cells) -> Floats:
    """Return the correlation of log mean squared singular value and accuracy, less what χ explains linearly."""
    reached = [cell for cell in arms["start_chi"] if cell in accuracy and cell[1] <= D11]
    levels = min(D11 + 1, tickets["start_chi"].shape[1])
    own = {name: tickets[name][:, :levels] for name in ("start_log_mean_square", "start_chi")}
    square = [arms["start_log_mean_square"][cell] for cell in reached]
    chis = [hidden_chi(arms["start_chi"][cell]) for cell in reached]
    jacobian = np.column_stack([own["start_log_mean_square"], *square])
    chi = np.column_stack([hidden_chi(own["start_chi"]), *chis])
    reach = np.column_stack([at_end(tickets)[:, :levels], *(accuracy[cell] for cell in reached)])
    if jacobian.shape[1] < 5:
        return np.full(len(jacobian), np.nan)
    return _correlations(_residuals(jacobian, chi), _residuals(reach, chi))


def _residuals(y: Floats, x: Floats) -> Floats:
    """Return what a straight line on x leaves of y, row by row [S, n]."""
    y, x = (values - values.mean(1, keepdims=True) for values in (y, x))
    return np.asarray(y - x * ((x * y).sum(1) / (x**2).sum(1))[:, None])
