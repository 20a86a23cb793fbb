"""GEN-13 to GEN-17 on numbers whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redlib.evidence.claims import check, load_claims
from redlib.evidence.stats import Interval
from redlib.experiments.results import Results
from redlib.studies.generalization import claims

WIDTHS = (64, 128, 256, 512)
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
STEPS = np.arange(101)


def made(labels, **arrays):
    """Return results whose arrays [S, labels..., ...] have the axes of the labels; curves have one more."""
    held = {name: np.array(values, float) for name, values in arrays.items()}
    axes = {name: ("seed", *labels, *["step"] * (values.ndim - 1 - len(labels))) for name, values in held.items()}
    return Results(held, axes, labels)


def minima(successes, end=0.9, before=0.9, seeds=20):
    """Return runs of which so many succeed at each ratio, with this loss at the end and before the last tenth."""
    error = np.array([[float(seed >= count) for count in successes] for seed in range(seeds)])
    loss = np.full((seeds, len(successes), 11), 1.0)
    loss[..., 9], loss[..., 10] = before, end
    return made({"ratio": RATIOS}, error=error, loss=loss)


def powers(power, seeds=2):
    return np.array([[(3 + seed) * width**power for width in WIDTHS] for seed in range(seeds)])


def descending(rate, seeds=2, steps=STEPS):
    """Return curves [S, widths, T] whose log falls by rate · width^¼ each step."""
    rates = np.array([rate * width**0.25 for width in WIDTHS])
    return np.tile(7 * np.exp(-rates[:, None] * steps), (seeds, 1, 1))


def two_layer(loss=None, **more):
    values = {"pattern_change": powers(-0.5), "switching_units": powers(-0.25), "max_distance": powers(-0.4)} | more
    return made({"width": WIDTHS}, loss=descending(0.02) if loss is None else loss, **values)


def tangents(**more):
    lazy, rich = powers(-0.5), powers(0.0)
    both = {
        "loss": np.full((2, 2, 4), 0.09), "kernel_change": np.stack([lazy, rich], 1),
        "linear_gap": np.stack([powers(-1.0), rich], 1), "test_error": np.full((2, 2, 4), 0.05),
        "linear_test_error": np.full((2, 2, 4), 0.06),
    }  # fmt: skip
    return made({"mode": ("lazy", "rich"), "width": WIDTHS}, **both | more)


FINDINGS = [
    claims.gen_13(minima([0, 1, 18, 20, 20]), minima([0, 0, 9, 20, 20]), 240),
    claims.gen_14(two_layer()), claims.gen_15(two_layer()), claims.gen_16(two_layer()), claims.gen_17(tangents()),
]  # fmt: skip


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.id)
def test_claims_have_the_parts_their_checks_ask_for(finding):
    parts = load_claims()[finding.id].check_for("laptop").parts
    assert set(finding.parts) == {part.statistic for part in parts}
    for name, values in finding.parts.items():
        assert isinstance(values, Interval) or values.shape == (2,), name


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.id)
def test_what_the_claims_say_is_judged_true(finding):
    claim = load_claims()[finding.id]
    named = {part.name: finding.parts[part.statistic] for part in claim.check_for("laptop").parts}
    record = check(claim, "laptop", replace(finding, parts=named))
    assert all(record.adequacy.values()) and record.verdict == "replicated"


def test_success_is_counted_over_seeds_with_an_exact_interval():
    parts = claims.gen_13(minima([2, 5, 18, 20, 19]), minima([0, 0, 9, 17, 20]), 240).parts
    assert (parts["success_at_ratio_quarter"].estimate, parts["success_at_ratio_1"].estimate) == (0.1, 0.9)
    assert parts["success_at_ratio_2"].low == pytest.approx(0.025 ** (1 / 20)) and parts["success_at_ratio_2"].high == 1
    assert (parts["success_at_ratio_4"].estimate, parts["success_at_ratio_2_images"].estimate) == (0.95, 0.85)
    assert parts["success_at_ratio_4"].n == 20


@pytest.mark.parametrize(
    "end, before, rests",
    [(0.9, 0.9, True), (0.895, 0.9, True), (0.8, 0.9, False), (0.004, 0.3, True), (0.0045, 0.3, False), (1, 0.9, True)],
)
def test_a_run_is_at_rest_when_its_loss_stays_or_is_next_to_nothing(end, before, rests):
    some = minima([0, 1, 18, 20, 20], end, before)
    assert claims.gen_13(some, minima([0] * 5), 240).gate["descent_at_rest"] is rests
    assert claims.gen_13(minima([0] * 5), some, 240).gate["descent_at_rest"] is rests


def test_one_run_in_ten_may_still_descend_at_each_ratio_that_is_judged():
    some = minima([0, 1, 18, 20, 20])
    some["loss"][:2, 0, -1] = 0.5
    some["loss"][:, 2, -1] = 0.5  # at ratio 1 nothing is judged
    assert claims.gen_13(some, minima([0] * 5), 240).gate["descent_at_rest"]
    some["loss"][2, 0, -1] = 0.5
    assert not claims.gen_13(some, minima([0] * 5), 240).gate["descent_at_rest"]


def test_a_geometric_fall_is_a_line_of_one_rate_that_grows_with_the_width():
    parts = claims.gen_14(two_layer()).parts
    np.testing.assert_allclose(parts["log_loss_r2"], 1)
    np.testing.assert_allclose(parts["rate_width_slope"], 0.25)
    np.testing.assert_allclose(parts["log2_late_over_early_rate"], 0, atol=1e-9)


def test_rates_are_measured_between_nine_tenths_and_a_millionth():
    curve = np.r_[1, 1, 1, 0.95, 0.9 * 0.5 ** np.arange(40)]
    assert len(claims.fall(curve)) == 20 and claims.rate(curve) == pytest.approx(np.log(2))
    assert claims.rate(np.r_[curve, np.full(50, 1e-12)]) == pytest.approx(np.log(2)), "rounding, once it is down"
    assert len(claims.fall(curve[:9])) == 5, "to the end, where it does not come down"


def test_a_kink_is_no_constant_factor():
    logs = np.r_[-2.0 * np.arange(4), -6 - 0.5 * np.arange(1, 13)]  # from 0 by 2s to -6, then by halves to -12
    late = claims.late_over_early(np.exp(np.r_[0, logs - 0.2]))
    assert late == pytest.approx(np.log2(3 / 12))
    assert np.isfinite(late)


def test_a_fall_as_one_over_the_step_is_no_line():
    loss = np.tile(1 / (1 + STEPS), (2, 4, 1))
    finding = claims.gen_14(two_layer(loss))
    assert (finding.parts["log_loss_r2"] < 0.86).all() and (finding.parts["log2_late_over_early_rate"] < -1).all()
    assert finding.gate["loss_falls_tenfold"]


def test_a_width_that_does_not_fall_tenfold_shuts_the_gates():
    loss = descending(0.02)
    loss[1, 0] = np.maximum(loss[1, 0], 0.11 * 7)
    for judge in (claims.gen_14, claims.gen_15, claims.gen_16):
        assert not judge(two_layer(loss)).gate["loss_falls_tenfold"]


def test_powers_of_the_width_are_found_and_what_never_was_is_censored():
    run = two_layer()
    found = claims.gen_15(run).parts | claims.gen_16(run).parts
    for name, power in (("pattern_change", -0.5), ("switching_units", -0.25), ("max_distance", -0.4)):
        np.testing.assert_allclose(found[f"{name}_slope"], power)
    none = powers(-0.5)
    none[0, 3], none[1, 3] = 0, np.nan
    assert np.isnan(claims.gen_15(two_layer(pattern_change=none)).parts["pattern_change_slope"]).all()


def test_kernels_gaps_and_errors_are_compared_by_hand():
    errors = np.zeros((2, 2, 4))
    errors[:, 0, -1], errors[:, 1, -1] = (0.05, 0.06), (0.08, 0.02)
    linear = np.zeros((2, 2, 4))
    linear[:, 0, -1] = 0.07, 0.06
    parts = claims.gen_17(tangents(test_error=errors, linear_test_error=linear)).parts
    np.testing.assert_allclose(parts["kernel_change_slope"], -0.5)
    np.testing.assert_allclose(parts["linearised_gap_slope"], -1)
    np.testing.assert_allclose(parts["kernel_change_slope_rich"], 0, atol=1e-12)
    np.testing.assert_allclose(parts["linear_minus_net_test_error"], [2, 0], atol=1e-12)
    np.testing.assert_allclose(parts["lazy_minus_rich_test_error"], [-3, 4])
    late = np.full((2, 2, 4), 0.09)
    late[0, 1, 2] = 0.11
    assert not claims.gen_17(tangents(loss=late)).gate["loss_falls_tenfold"]
