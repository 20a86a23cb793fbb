"""The claims of the mean-field study on numbers whose answer is known, and the parts that claims/ asks for."""

from __future__ import annotations

import numpy as np
import pytest

from redlib.evidence.claims import load_claims
from redlib.evidence.verdicts import decide
from redlib.experiments.results import Results
from redlib.studies.mean_field_rmt import claims, runs


def chain(**arrays):
    """Return results with axes seed, level (and layer), labelled as levels of a chain."""
    axes = {name: ("seed", "level", "layer")[: values.ndim] for name, values in arrays.items()}
    return Results(arrays, axes, {"level": tuple(range(next(iter(arrays.values())).shape[1]))})


def accuracies(*percent):
    return 1 - np.array(percent, float) / 100


def test_the_best_level_is_chosen_by_seeds_that_do_not_judge():
    tickets = chain(final_error=accuracies([50, 95, 60, 55], [50, 40, 70, 55], [50, 40, 70, 55]))
    assert np.allclose(claims.gain(tickets), [10, 20]), "the last seed says level 2; the lucky 95 counts for nothing"
    assert np.allclose(claims.gain(tickets.first(1)), [45])


def test_the_gate_looks_at_the_dense_net_of_a_chain_or_at_a_level():
    tickets = chain(train_error=np.array([[0.4, 0.9], [0.5, 0.9]]))
    assert claims.learns(tickets) == {"dense_net_learns": True}
    assert claims.learns(tickets.at(level=0)) == {"dense_net_learns": True}
    assert claims.learns(tickets.at(level=1)) == {"dense_net_learns": False}


def test_predictions_depart_from_what_they_were_for_the_dense_net():
    measured = np.ones((2, 4, 5))
    drift = np.array([[0.2, 0.25, 0.35, 0.5], [0.0, 0.02, 0.05, 0.08]])  # the first net is off by chance from the start
    density = np.broadcast_to(np.array([1, 0.8, 0.64, 0.51])[:, None], (2, 4, 5))
    tickets = chain(start_q=measured, start_q_naive=measured * (1 + drift)[..., None], start_density=density)
    assert np.allclose(claims.prediction_error(tickets, "naive"), drift)
    assert claims.departure(tickets, "naive").tolist() == [0.64, 0.51], "at the third level; never, so the least"
    assert claims.departure(tickets, "naive", 0.2).tolist() == [0.51, 0.51]


def test_theory_and_measurement_part_in_size_and_in_direction():
    """Measured q rises to the third level and falls; the naive theory goes on rising, the corrected one is right."""
    q = np.array([[1.0, 1.1, 1.2, 0.6]]).repeat(2, 0)[..., None].repeat(5, 2)
    laws = {"start_q_naive": q * np.array([1, 1.05, 1.4, 4])[:, None], "start_q_density": q, "start_q_rows": q * 1.01}
    share = np.broadcast_to(np.array([1, 0.8, 0.64, 0.51])[:, None], (2, 4, 5))
    tickets = chain(start_q=q, **laws, start_density=share, train_error=np.zeros((2, 4)))
    parts = claims.rmt_8(tickets).parts
    assert parts["first_departure_density_naive"].tolist() == [0.64] * 2
    assert parts["density_of_largest_measured_q"].tolist() == [0.64] * 2
    assert parts["first_departure_density_naive_by_a_third"].tolist() == [0.64] * 2
    assert parts["first_departure_density_naive_by_all"].tolist() == [0.51] * 2
    assert claims.rmt_9(tickets).parts["relative_error_empirical_minus_corrected"] == pytest.approx([0.01] * 2)


def test_signals_deep_in_the_net_leave_out_the_lower_half_and_the_logits():
    assert claims.deep(np.array([9.0, 9, 9, 9, 1, 2, 3, 4, 9])) == 2.5


def start_of(c, chi):
    """Return what a start is measured to be: c [S, L] and chi [S, L-1]."""
    return Results({"c": np.array(c), "chi": np.array(chi)}, {"c": ("seed", "layer"), "chi": ("seed", "gap")})


PLAN = {
    "full": runs.Start(runs.Tanh(hidden=(8,) * 3, seeds=(0, 1))),
    "literal": runs.Start(runs.Tanh(sigma_b=runs.LITERAL)),
    "orthogonal": runs.Start(runs.Tanh(sigma_w=1.0)),
}


def test_the_edge_of_chaos_is_where_theory_has_it():
    one = start_of([[0.5, 0.6, 0.4, 9], [0.2, 0.2, 0.3, 9]], [[8, 1.1, 9], [8, 0.9, 9]])
    parts = claims.rmt_0(dict.fromkeys(PLAN, one), PLAN).parts
    assert parts["chi_bias_0p3"].estimate == pytest.approx(1.0026647, abs=1e-6)
    assert parts["chi_bias_0p3_over_16"].estimate == pytest.approx(1.0996, abs=1e-3)
    assert parts["chi_orthogonal"].estimate == pytest.approx(0.70, abs=0.01)
    assert parts["correlation_change_bias_0p3"] == pytest.approx([-0.1, 0.1]), "the logits are left out"
    assert parts["measured_chi_bias_0p3"] == pytest.approx([1.1, 0.9]), "the upper half, without the logits"
    theory = parts["correlation_change_in_theory_at_chi_1"]
    assert (theory > 0).all() and (theory < 0.3).all(), "inputs become alike even at the edge, slowly"


def test_theory_s_numbers_are_no_seeds():
    found = claims.exact(1.5)
    assert (found.low, found.estimate, found.high, found.level, found.n) == (1.5, 1.5, 1.5, 0.95, 1)


@pytest.mark.parametrize("drift, verdict", [(0.0, "replicated"), (0.2, "partly")])
def test_one_reading_of_the_bias_is_enough_for_the_edge_of_chaos(drift, verdict):
    def near(end):
        return start_of([[0.5, 0.5, end, 9], [0.5, 0.5, end + 0.001, 9]], [[1, 1, 9], [1, 1.01, 9]])

    starts = {"full": near(0.5 + drift), "literal": near(0.9), "orthogonal": near(0.9)}
    claim, finding = load_claims()["RMT-0"], claims.rmt_0(starts, PLAN)
    named = {leaf.name: finding.parts[leaf.statistic] for leaf in claim.check_for("laptop").parts}
    assert decide(claim.check_for("laptop"), named).verdict == verdict


def test_q_must_rise_between_points_that_are_ordered():
    sigmas = (2.0, 0.3), (1.4, 0.3), (1.2, 0.6)  # the last is comparable to none
    settled = np.array([[2.0, 1.5, 9], [1.0, 1.2, 9]])
    assert claims.smallest_step(settled, sigmas) == pytest.approx([0.5, -0.2])
    assert np.isnan(claims.smallest_step(settled[:, :1], sigmas[:1])).all()


def test_weights_are_measured_layer_by_layer():
    """Two seeds, three levels and two layers; the second layer's spread shrinks."""
    share = np.broadcast_to(np.exp(-np.arange(3.0))[:, None], (2, 3, 2))
    std = np.stack([np.array([[1, 2, 3.0], [1, 3, 5]]), np.array([[2, 1.5, 1.0], [2, 2, 2]])], 2)
    tickets = chain(start_density=share, start_std=std, start_mean=-std / 2)
    assert claims.rise_of_std(tickets, "start") == pytest.approx([-0.5, 0])
    assert claims.change_of_std(tickets, "start") == pytest.approx([(2 - 0.5) / 2, (4 + 0) / 2])
    assert np.allclose(claims.mean_over_std(tickets, "start"), 0.5)
    ends = {"end_std": std, "end_mean": std * np.array([0.0, 0.1, 0.5])[:, None], "train_error": np.zeros((2, 3))}
    parts = claims.rmt_4(chain(**{**tickets.arrays, **ends}, start_kept=np.full((2, 3, 2), 16))).parts
    assert parts["largest_layer_abs_mean_z_rewound"] == pytest.approx([2, 2])
    assert parts["largest_layer_abs_mean_over_std_trained"] == pytest.approx([0.2, 0.2]), "the mean over levels"
    assert parts["largest_layer_abs_mean_z_trained"] == pytest.approx([2, 2]), "the largest of all levels"


def test_the_gap_at_zero_follows_density_and_a_flat_law_has_no_excess():
    tickets = chain(start_density=np.broadcast_to(np.exp(-np.arange(4.0))[:, None], (1, 4, 2)))
    gap = np.array([[[1.0, 1.0], [0.4, 0.6]]])
    peaks = Results({"start_gap": gap}, {"start_gap": ("seed", "level", "layer")}, {"level": (0, 2)})
    assert claims.filling(peaks, tickets, "start") == pytest.approx([0.25])
    assert claims.dip_excess(np.array([[0.5005, 0.5005], [0.001, 1.0]])) == pytest.approx([0, 0], abs=1e-9)
    assert claims.dip_excess(np.array([[0.001, 0.001]])) > 3


def test_trainable_depths_are_ranked_against_the_depth_scale():
    accuracy = np.array([[[0.9, 0.7, 0.3, 0.1], [0.6, 0.3, 0.2, 0.1], [0.9, 0.9, 0.8, 0.4]]]).swapaxes(1, 2)
    labels = {"depth": (4, 8, 16, 32), "sigma": (1.2, 1.0, 1.4)}  # depth scales: middle, least, largest
    brief = Results({"train_accuracy": accuracy}, {"train_accuracy": ("seed", "depth", "sigma")}, labels)
    assert claims.trainable_depth(brief)[0, 0] == pytest.approx(8 * 2**0.5)
    found = claims.rmt_20(brief, 0.3)
    assert np.allclose(found.parts["rank_correlation_trainable_depth_depth_scale"], 1)
    assert found.gate == {"depths_span_trainability": True}
    brief.arrays["train_accuracy"][0, -1, 0] = 0.6
    assert claims.rmt_20(brief, 0.3).gate == {"depths_span_trainability": False}


def test_fewer_weights_of_a_two_peaked_law_are_compared_by_arm_and_level():
    tickets = chain(final_error=accuracies([50, 60], [50, 62]))
    arms = {"final_error": accuracies([[40, 41], [45, 46]], [[30, 31], [35, 36]])}
    labels = {"arm": ("random", "corrected"), "level": (0, 1)}
    nets = claims.nets(tickets, Results(arms, {"final_error": ("seed", "arm", "level")}, labels))
    assert set(nets) == {(arm, level) for arm in ("ticket", "random", "corrected") for level in (0, 1)}
    assert np.allclose(claims.contrast(nets, "corrected", "random", 1), [5, 5])
    assert np.allclose(claims.contrast(nets, "ticket", "corrected", 1), [14, 26])


def spectra(spikes=((0, 1, 2), (0, 2, 4)), sigma=((1, 1, 1.2), (2, 2, 2))):
    """Three looks at two seeds with two layers; the second layer has two spikes more."""
    layers = np.stack([np.array(spikes, float), np.array(spikes, float) + 2], 2)
    arrays = {
        "epochs": np.array([0.0, 1, 2]), "spikes": layers, "train_error": np.array([[0.9, 0.1, 0.04], [0.9, 0.1, 0]]),
        "sigma": np.stack([np.array(sigma)] * 2, 2), "distance": layers / 100,
    }  # fmt: skip
    axes = {name: ("seed", "step", "layer")[: values.ndim] for name, values in arrays.items()}
    return Results(arrays, axes | {"epochs": ("step",)})


def test_slopes_are_those_of_the_mean_over_layers():
    main, others = spectra(), {2: spectra(((0, 1, 6), (0, 2, 8))), 32: spectra(((0, 1, -2), (0, 2, 0)))}
    found = claims.rmt_21(main, {8: main} | others)
    assert found.parts["slope_spike_count_on_epoch"].tolist() == [1, 2]
    assert np.allclose(found.parts["slope_spike_count_on_log2_batch"], [-2, -2]), "four fewer for a fourfold batch"
    assert found.parts["bulk_sigma_end_minus_start"] == pytest.approx([0.2, 0])
    assert found.parts["ks_distance_to_bulk_end_minus_start"] == pytest.approx([0.02, 0.04])
    assert found.gate == {"learned": True}


def test_what_must_hold_in_each_layer_is_that_of_the_worst():
    top, random = np.array([[[90.0, 95.0], [99, 100]]]), np.array([[[20.0, 30.0], [80, 99]]])
    arrays = {
        "full": np.array([100.0]), "top_layerwise": top, "random_layerwise": random, "top_joint": top.min(2),
        "random_joint": random.min(2), "over_start": np.array([[[0, 0], [0.1, 0.3]]]),
        "over_update": np.array([[[0, 0], [0.5, 0.7]]]),
    }  # fmt: skip
    axes = {name: ("seed", "rank", "layer")[: values.ndim] for name, values in arrays.items()}
    low = Results(arrays, axes, {"rank": (4, 16)})
    parts = claims.rmt_22(low, spectra()).parts
    assert parts["accuracy_top_4_minus_full_layerwise"].tolist() == [-10]
    assert parts["accuracy_top_16_minus_full_joint"].tolist() == [-1]
    assert parts["accuracy_random_16_minus_top_16_layerwise"].tolist() == [-1]
    assert parts["accuracy_random_16_minus_top_16_joint"].tolist() == [-19]
    rest = claims.rmt_23(low, spectra()).parts
    assert rest["larger_residual_spectral_norm_ratio"] == pytest.approx([0.6])
    assert rest["residual_over_start_spectral_norm"] == pytest.approx([0.2])


def test_claims_on_tickets_and_arms_give_finite_numbers_for_what_their_checks_ask(small):
    tickets, nets = small["tickets"], claims.nets(small["tickets"], small["arms"])
    chains = {"rmt_1": (tickets,), "rmt_2": (tickets, tickets), "rmt_3": (tickets,), "rmt_4": (tickets,)}
    chains |= {"rmt_5": (tickets, 1.4), "rmt_11": (small["peaks"], tickets), "rmt_19": (tickets, tickets, tickets)}
    chains |= {f"rmt_{number}": (tickets,) for number in (7, 8, 9, 13, 16)}
    chains |= {f"rmt_{number}": (nets,) for number in (6, 12, 14, 15, 18)}
    for name, given in chains.items():
        found = getattr(claims, name)(*given)
        asked = {leaf.statistic for leaf in load_claims()[found.id].check_for("laptop").parts}
        assert set(found.parts) == asked and found.id == name.upper().replace("_", "-")
        sizes = {(3,), claims.gain(tickets).shape}  # where a level was chosen, only seeds that did not choose it judge
        assert all(values.shape in sizes for values in found.parts.values()), name
        unknown = {part for part, values in found.parts.items() if not np.isfinite(values).all()}
        assert unknown == ({"accuracy_gain_augmented"} if name == "rmt_19" else set()), "nets that learn nothing"
        assert found.gate == {"dense_net_learns": False}, "three steps teach nothing"
    assert claims.measured_change(tickets).shape == claims.expected_change(tickets).shape == (3, 15)
