"""GEN-6 to GEN-12 on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from redlib.evidence.claims import load_claims
from redlib.evidence.stats import Interval, clopper_pearson
from redlib.experiments.results import Results
from redlib.studies.generalization import claims

SIZES = ((8,), (16,), (32,), (64,))
DEPTHS = ((8,), (8, 8), (8, 8, 8, 8))


def results(axes, labels=None, **arrays):
    """Return results [S, axes...] of two seeds, each number or row repeated for both."""
    given = {name: np.broadcast_to(np.asarray(v, float), (2, *np.shape(v))).copy() for name, v in arrays.items()}
    named = {name: ("seed", *axes[: values.ndim - 1]) for name, values in given.items()}
    return Results(given, named, labels or {})


def sizes(every=SIZES, **arrays):
    x = np.array([len(hidden) if len(every[-1]) > 1 else hidden[0] for hidden in every], float)
    known = {
        "epochs": x, "margin": np.full(len(x), 2.0), "train_error": 0 * x, "test_error": 0 * x, "total": x**-0.25,
        "per_unit": x**-0.75, "start_length": x**0.5, "spectral": x, "path": x**0.5, "frobenius": x**2, "unit": x**-0.1,
        "vc": x,
    }  # fmt: skip
    return results(("size",), {"size": every}, **(known | arrays))


def test_wider_nets_that_fit_are_compared_by_trend_and_by_pairs():
    run = sizes(train_error=[0.1, 0, 0, 0], test_error=[0.0, 0.05, 0.04, 0.04])
    finding = claims.gen_6(run)
    assert finding.gate == {"widths_interpolate": True}
    assert np.allclose(finding.parts["accuracy_width_slope"], 0.5), "the first width fits not all and does not count"
    assert np.allclose(finding.parts["pairs_won_by_larger"], 2.5 / 3) and finding.parts["last_doubling_gain"][0] == 0


@pytest.mark.parametrize("errors, open_", [([0, 0, 0.1, 0.1], False), ([0.1, 0.1, 0.1, 0], False), ([0] * 4, True)])
def test_fewer_than_three_fitting_widths_shut_the_gate(errors, open_):
    finding = claims.gen_6(sizes(train_error=errors))
    assert finding.gate == {"widths_interpolate": open_}
    assert np.isnan(finding.parts["accuracy_width_slope"]).all() == (errors.count(0) < 2)


def test_distances_are_powers_of_the_width():
    large = sizes(total=np.array([8.0, 16, 32, 64]))
    parts = claims.gen_7(sizes(), sizes(total=np.ones(4)), large).parts
    known = {
        "total_distance_slope": -0.25, "per_unit_distance_slope": -0.75, "relative_distance_slope": -0.75,
        "total_distance_slope_small_start": 0, "total_distance_slope_large_start": 1,
    }  # fmt: skip
    assert {name: values.round(9).tolist() for name, values in parts.items()} == {n: [v] * 2 for n, v in known.items()}
    late = claims.gen_7(sizes(), sizes(), sizes(epochs=[1, 2, 3, np.nan]))
    assert late.gate == {"every_net_reaches_the_loss": False}


def test_measures_are_divided_by_the_margin_and_compared_by_width_and_depth():
    deep = sizes(DEPTHS, margin=np.array([1.0, 2, 4]), test_error=[0.1, 0.2, 0.3], train_error=[0, 0, 0.1])
    finding = claims.gen_8(sizes(test_error=[0.2, 0, 0, 0.1]), deep)
    known = {
        "spectral_width_slope": 1, "path_width_slope": 0.5, "frobenius_width_slope": 2, "spectral_depth_slope": 0,
        "path_depth_slope": -0.5, "frobenius_depth_slope": 1, "unit_capacity_slope": -0.1, "vc_slope": 1,
        "widest_minus_narrowest": 10, "deepest_minus_shallowest": -10,
    }  # fmt: skip
    found = {name: values.round(9).tolist() for name, values in finding.parts.items()}
    assert found == {name: [value] * 2 for name, value in known.items()}
    assert finding.gate == {"every_net_reaches_the_loss": True}


def batches(**changes):
    known = {
        "test_error": [[0.1, 0.05], [0.2, 0.04]], "train_error": [[0, 0], [0, 0]], "one_rate": [1, 1],
        "tuned_rate": [2, 2], "box": [1, 2], "curvature": [1, 4], "tuned_curvature": [2, 1], "invariant": [1, 1],
        "equal_curvature": [3, 6],
    } | changes  # fmt: skip
    return results(("batch", "rate"), {"batch": (8, 64), "rate": (1, 2)}, **known)


def test_small_batches_are_compared_with_large_ones_at_one_rate_and_at_tuned_ones():
    finding = claims.gen_9(batches())
    known = {
        "accuracy_gain_one_rate": 10, "accuracy_gain_tuned": -1, "log2_box_sharpness_one_rate": 1,
        "log2_curvature_one_rate": 2, "log2_curvature_tuned": -1, "log2_invariant_sharpness_one_rate": 0,
        "log2_curvature_equal_loss": 1,
    }  # fmt: skip
    assert {n: v.round(9).tolist() for n, v in finding.parts.items()} == {n: [v] * 2 for n, v in known.items()}
    assert finding.gate == {"both_batches_fit": True}
    assert not claims.gen_9(batches(train_error=[[0, 0], [0, 0.02]])).gate["both_batches_fit"]


def attacked(**changes):
    known = {
        "eigenvalues": [[4, 0, 0, 3], [8, 0, 0, 0], [16, 0, 0, 0.0]], "start_eigenvalues": [1, 1, 1, 0],
        "test_error": [0.1, 0.2, 0.3], "train_error": [0, 0, 0], "invariant": [1, 1, 2], "radius": [4, 3, 2],
        "normalised_radius": [1, 1, 2],
    } | changes  # fmt: skip
    return results(("attack", "parameter"), {"attack": (0, 1, 2)}, **known)


def test_curvatures_of_attacked_solutions_are_compared_with_their_neighbours():
    finding = claims.gen_10(attacked())
    known = {
        "log2_top_mild_over_none": 1, "log2_top_strong_over_mild": 1, "log2_norm_mild_over_none": np.log2(8 / 5),
        "log2_norm_strong_over_mild": 1, "near_zero_share": 0.5, "best_test_accuracy": 90,
        "near_zero_trained_minus_start": 0.25, "log2_invariant_strong_over_none": 1,
    }  # fmt: skip
    assert all(np.allclose(finding.parts[name], value) for name, value in known.items()) and len(finding.parts) == 8
    assert finding.gate == {"solutions_fit": True, "attack_misleads": True}
    assert not claims.gen_10(attacked(test_error=[0.1, 0.3, 0.3])).gate["attack_misleads"]
    assert not claims.gen_10(attacked(train_error=[0, 0, 0.1])).gate["solutions_fit"]


def test_starts_are_counted_one_by_one_and_unfit_ones_are_outside():
    starts = results(("start",), train_error=[0, 0, 0, 0.1], test_error=[0.1, 0.12, 0.25, 0.1])
    finding = claims.gen_11(attacked(), starts)
    assert finding.parts["starts_in_good_basins"] == clopper_pearson(4, 8) and not finding.gate["starts_fit"]
    assert finding.parts["starts_near_typical"] == clopper_pearson(4, 8)
    assert finding.parts["log2_radius_good_over_bad"].tolist() == [1, 1]
    assert finding.parts["log2_normalised_radius_good_over_bad"].tolist() == [-1, -1]


STEPS = (1.0, 2.0, 4.0, 8.0)


def descent(**changes):
    known = {"train_loss": np.tile([1, 0.002, 0.001], (4, 1)), "sharpness": [[1, 3], [1, 1], [0.5, 0.5], [0.25, 0.25]]}
    return results(("rate", "look"), {"rate": STEPS}, **(known | changes))


def escape(**changes):
    known = {
        "rate_before": [1, 1, 1], "rate_after": [4, 1, 4], "loss_before": [1e-3] * 3, "peak_loss": [4e-3, 1e-3, 1e-3],
        "loss_after": [1e-3] * 3, "sharpness_before": [2, 2, 0.25], "sharpness_after": [0.5, 2, 0.25],
    } | changes  # fmt: skip
    return results(("arm",), {"arm": ("escape", "onward", "flat")}, **known)


def small(**changes):
    known = {"train_error": [0, 0, 0], "non_uniformity": [1, 2, 4], "sharpness": [1, 1, 1]} | changes
    return results(("batch",), {"batch": (4, 16, 64)}, **known)


def test_steps_are_measured_at_the_line_and_escapes_by_what_follows():
    finding = claims.gen_12(descent(), escape(), small(), STEPS)
    known = {
        "scaled_sharpness_step1": 1, "scaled_sharpness_step2": 1, "scaled_sharpness_step3": 1,
        "scaled_sharpness_step4": 1, "log2_escape_loss": 2, "log2_sharpness_after_escape": -2,
        "nonuniformity_batch_slope": 0.5, "log2_sharpness_small_steps_go_on": 0, "log2_loss_where_flat_enough": 0,
        "sharpness_batch_slope": 0,
    }  # fmt: skip
    assert {n: v.round(9).tolist() for n, v in finding.parts.items()} == {n: [v] * 2 for n, v in known.items()}
    assert all(finding.gate.values()) and set(finding.gate) <= set(load_gates())


def load_gates():
    return {"start_is_a_minimum", "start_is_too_sharp", "batches_fit"}


def test_gates_of_the_escape_shut_one_by_one():
    falling = descent(train_loss=np.tile([1, 0.5, 0.1], (4, 1)))
    assert not claims.gen_12(falling, escape(), small(), STEPS).gate["start_is_a_minimum"]
    blunt = escape(sharpness_before=[0.5, 2, 0.25])
    assert not claims.gen_12(descent(), blunt, small(), STEPS).gate["start_is_too_sharp"]
    assert not claims.gen_12(descent(), escape(), small(train_error=[0, 0, 0.1]), STEPS).gate["batches_fit"]
    up = claims.gen_12(descent(), escape(loss_after=[0.5, 1e-3, 1e-3]), small(), STEPS)
    assert np.isnan(up.parts["log2_sharpness_after_escape"]).all(), "not down again: no place it has come to"


def findings():
    starts = results(("start",), train_error=[0, 0], test_error=[0.1, 0.1])
    return [
        claims.gen_6(sizes()), claims.gen_7(sizes(), sizes(), sizes()), claims.gen_8(sizes(), sizes(DEPTHS)),
        claims.gen_9(batches()), claims.gen_10(attacked()), claims.gen_11(attacked(), starts),
        claims.gen_12(descent(), escape(), small(), STEPS),
    ]  # fmt: skip


@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.id)
def test_claims_have_the_parts_their_checks_ask_for(finding):
    claim = load_claims()[finding.id]
    asked = {part.statistic for profile in ("laptop", "mnist") for part in claim.check_for(profile).parts}
    assert set(finding.parts) == asked
    assert all(isinstance(part, Interval) or part.shape == (2,) for part in finding.parts.values())
