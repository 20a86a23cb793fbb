"""LAND-1 to LAND-11 on numbers whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redlib.evidence.claims import check, load_claims
from redlib.experiments.results import Results
from redlib.studies.loss_landscape import claims
from redlib.studies.loss_landscape.around import HALFWAY, TRAINED, UNTRAINED
from redlib.studies.loss_landscape.functions import ADAM_RULE, CHAOTIC, RANDOM, SGD_AGAIN, SGD_RULE
from redlib.studies.loss_landscape.pairs import CURVE, LINE, MATCHED

SEEDS, WIDTHS = 6, np.array([16.0, 32, 64])
NOISE = np.linspace(-1e-3, 1e-3, SEEDS)  # seeds differ a little, or no interval has a width
RULES = (RANDOM, SGD_RULE, SGD_AGAIN, ADAM_RULE)


def seeded(values, exact=False) -> np.ndarray:
    """Return the same values for every seed, a thousandth apart at most, or alike."""
    return np.stack([np.asarray(values, float) * (1 + (0 if exact else step)) for step in NOISE])


def results(labels, exact=(), **arrays) -> Results:
    """Return arrays {name: (values, axes after the seeds)}."""
    held = {name: seeded(values, name in exact) for name, (values, _) in arrays.items()}
    return Results(held, {name: ("seed", *axes.split()) for name, (_, axes) in arrays.items()}, labels)


# ---- runs whose claims hold ----


def pairs(**changes) -> Results:
    """Return paths of three places over WIDTHS; errors of the middle by path, the ends fit."""
    test = {LINE: 0.5, MATCHED: 0.4, CURVE: 0.103}
    middle = {LINE: 0.30 + 0 * WIDTHS, MATCHED: 0.30 - 0.05 * np.log2(WIDTHS / 16), CURVE: 0.01 + 0 * WIDTHS}
    middle |= changes.get("middle", {})
    none, paths = 0 * WIDTHS, (LINE, MATCHED, CURVE)
    error = np.stack([np.stack([none, middle[path], changes.get("end", none)], -1) for path in paths], 1)
    loss = np.stack(
        [np.stack([none + 0.01, rise * 0.02, none + 0.03], -1) for rise in (32 + none, 16 + none, 16 / WIDTHS**0.5)], 1
    )
    tests = np.stack([np.stack([none + 0.1, none + test[path], none + 0.1], -1) for path in paths], 1)
    return results(
        {"width": tuple(WIDTHS.astype(int).tolist()), "path": paths}, train_error=(error, "width path position"),
        train_loss=(loss, "width path position"), test_error=(tests, "width path position"),
        raw_width=(changes.get("raw_width", WIDTHS**0.5), "width"),
        filter_width=(changes.get("filter_width", WIDTHS**-0.25), "width"),
    )  # fmt: skip


def steps(**changes) -> Results:
    """Return shares of rising steps by state and length; the long ones all rise but for the untrained, 0.8."""
    rises = {UNTRAINED: [0.5, 0.8, 1.0], HALFWAY: [0.55, 0.9, 1.0], TRAINED: [0.7, 0.95, 1.0]} | changes
    labels = {"state": (UNTRAINED, HALFWAY, TRAINED), "length": (0.001, 0.1, 1.0)}
    return results(labels, rises=([rises[state] for state in labels["state"]], "state length"))


def tunnels(loss=0.05, **changes) -> Results:
    """Return half-widths that grow by so many doublings a level: raw 1, 0.5 and 0.25, of filters the opposite."""
    slopes = {"weight decay": 1.0, "learning rate": 0.5, "dropout": 0.25} | changes
    level = np.arange(4)
    raw = np.array([3 * 2 ** (slope * level) for slope in slopes.values()])
    return results(
        {"knob": tuple(slopes), "level": (0, 1, 2, 3)}, ("train_loss",), raw_width=(raw, "knob level"),
        filter_width=(1 / raw, "knob level"), train_loss=(np.broadcast_to(loss, (3, 4)), "knob level"),
    )  # fmt: skip


DIMS = (10, 20, 30, 40)


def rising(at: float) -> np.ndarray:
    """Return accuracies over DIMS, straight lines that are 0.72, nine tenths of 0.8, at a dimension."""
    return 0.72 + 0.002 * (np.array(DIMS) - at)


def conv(at=25.0, linear=12.5, full=0.8, parameters=1000) -> Results:
    """Return a convolutional net that needs `at` dimensions and a linear one that needs fewer."""
    run = results(
        {"dim": (*DIMS[:-1], claims.SLICE)}, ("accuracy", "linear_accuracy", "full_accuracy"),
        accuracy=(rising(at), "dim"), linear_accuracy=(rising(linear), "dim"), full_accuracy=(full, ""),
    )  # fmt: skip
    return with_array(run, "parameters", np.array(parameters), ())


def with_array(run: Results, name: str, values: np.ndarray, axes: tuple[str, ...]) -> Results:
    return Results(run.arrays | {name: values}, run.axes | {name: axes}, run.labels)


def dense(*at: float, full=0.8) -> Results:
    """Return dense nets of three widths that need so many dimensions; 100, 400 and 1,600 parameters."""
    run = results(
        {"dim": DIMS, "width": (5, 20, 80)}, ("accuracy", "full_accuracy"),
        accuracy=([rising(one) for one in at], "width dim"), full_accuracy=([full] * 3, "width"),
    )  # fmt: skip
    return with_array(run, "parameters", np.array([100, 400, 1600]), ("width",))


def small(validation, test) -> Results:
    """Return three small nets, the second convolutional, at two rates each."""
    run = results(
        {"architecture": ("a", "b", "c")}, ("validation_accuracy", "test_accuracy"),
        validation_accuracy=(validation, "architecture rate"), test_accuracy=(test, "architecture rate"),
    )  # fmt: skip
    return with_array(run, "convolutional", np.array([0, 1, 0]), ("architecture",))


SMALL = small([[0.5, 0.6], [0.7, 0.8], [0.65, 0.1]], [[0.99, 0.3], [0.98, 0.45], [0.4, 0.97]])


def simple(**changes) -> Results:
    """Return correlations under two laws, the ReLU one first."""
    values = {"correlation": [-0.7, 0.1], "shuffled_correlation": [-0.2, 0.05], "seen_twice": [100, 3]} | changes
    arrays = {name: (one, "prior") for name, one in values.items()}
    return results({"prior": ("ReLU", CHAOTIC)}, ("seen_twice",), **arrays)


K = np.array([3.0, 4, 5, 6, 7, 8])  # bits of complexity


def found(fit=1.0, samples=2000, **slopes) -> Results:
    """Return counts 2^(12 + slope · K), a slope for each rule; a function that nobody has fills up."""
    powers = {RANDOM: -1.0, SGD_RULE: -1.5, SGD_AGAIN: -1.5, ADAM_RULE: -0.5} | slopes
    counts = np.array([[*2 ** (12 + powers[rule] * K), np.nan] for rule in RULES])
    return results(
        {"rule": RULES}, ("complexity", "fit", "samples"), counts=(counts, "rule function"),
        complexity=([*K, np.nan], "function"), fit=(np.broadcast_to(fit, 4), "rule"), samples=([samples] * 4, "rule"),
    )  # fmt: skip


FINDINGS = [
    claims.land_1(pairs()), claims.land_2(pairs()), claims.land_3(steps()), claims.land_4(tunnels(), 0.05),
    claims.land_5(pairs()), claims.land_6(conv()), claims.land_7(dense(25, 25.2, 24.8)),
    claims.land_8(conv(at=20), SMALL), claims.land_9(simple()), claims.land_10(found()), claims.land_11(found()),
]  # fmt: skip


def judged(finding, profile="laptop"):
    claim = load_claims()[finding.id]
    named = {part.name: finding.parts[part.statistic] for part in claim.check_for(profile).parts}
    return check(claim, profile, replace(finding, parts=named))


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.id)
def test_claims_have_the_parts_their_checks_ask_for_and_hold_on_numbers_made_so(finding):
    claim = load_claims()[finding.id]
    asked = {part.statistic for name in ("laptop", "mnist") for part in claim.check_for(name).parts}
    assert set(finding.parts) == asked
    assert all(values.shape == (SEEDS,) for values in finding.parts.values())
    record = judged(finding)
    assert record.verdict == "replicated" and all(finding.gate.values())


AGAINST = [
    claims.land_1(pairs(middle={CURVE: 0.2 + 0 * WIDTHS})),
    claims.land_2(pairs(middle={LINE: 0 * WIDTHS, CURVE: 0.2 + 0 * WIDTHS})),
    claims.land_3(steps(**{state: [0.1, 0.2, 0.3] for state in (UNTRAINED, HALFWAY, TRAINED)})),
    claims.land_4(tunnels(**{"weight decay": -1.0, "learning rate": -0.5, "dropout": -0.25}), 0.05),
    claims.land_6(conv(parameters=100)), claims.land_7(dense(10, 20, 40)),
    claims.land_8(conv(at=200), SMALL), claims.land_9(simple(correlation=[0.7, 0.1])),
    claims.land_10(found(**{SGD_RULE: 0.5, ADAM_RULE: 0.2})),
    claims.land_11(found(**{SGD_RULE: 1.0})),
]  # fmt: skip


@pytest.mark.parametrize("finding", AGAINST, ids=lambda finding: finding.id)
def test_numbers_on_the_other_side_are_no_replication(finding):
    record = judged(finding)
    assert all(finding.gate.values()), "the setting is adequate: it is the answer that differs"
    assert record.verdict in ("contradicted", "partly"), record.verdict


# ---- exact numbers ----


def means(finding) -> dict:
    """Return the mean of each part, which noise that is even about 0 leaves where it was."""
    return {name: float(values.mean()) for name, values in finding.parts.items()}


def test_barriers_are_the_largest_less_the_mean_of_the_ends_at_the_widest_nets():
    assert means(claims.land_1(pairs())) == pytest.approx(
        {"curve_train_error_minus_ends": 1, "curve_test_error_minus_ends": 0.3}
    )
    rises = means(claims.land_1(pairs(end=np.array([0, 0, 0.004]))))
    assert rises["curve_train_error_minus_ends"] == pytest.approx(1 - 0.2), "of ends that differ, their mean"
    only = pairs(middle={CURVE: np.array([0.5, 0.5, 0.02])})
    assert means(claims.land_1(only))["curve_train_error_minus_ends"] == pytest.approx(2)


def test_the_line_is_compared_with_the_curve_and_so_is_the_matched_one():
    assert means(claims.land_2(pairs())) == pytest.approx(
        {"line_minus_curve": 29, "matched_line_minus_curve": 19, "matched_line_per_doubling": -5}
    )


def test_barriers_and_tunnels_have_the_powers_put_in():
    assert means(claims.land_5(pairs())) == pytest.approx(
        {"curve_barrier_per_doubling": -0.5, "raw_tunnel_power": 0.5, "filter_tunnel_power": -0.25}
    )
    assert claims.barriers(pairs(), CURVE, "train_loss")[:, 0].mean() == pytest.approx(16 * 0.02 / 4 - 0.02)


@pytest.mark.parametrize("claim", [claims.land_1, claims.land_2, claims.land_5])
def test_ends_that_make_an_error_fail_the_gate_and_the_way_between_may(claim):
    assert claim(pairs()).gate == {"ends_fit": True}, "the middle of every path makes errors"
    assert claim(pairs(end=np.array([0.01, 0, 0]))).gate == {"ends_fit": False}


def test_tunnels_without_a_width_leave_their_seed_without_a_number():
    for gone in (np.nan, np.inf):  # the loss is above the wall from the start, or nowhere below ten lengths
        run = pairs()
        run["raw_width"][2, 1] = gone
        parts = claims.land_5(run).parts
        assert np.isnan(parts["raw_tunnel_power"]).tolist() == [seed == 2 for seed in range(SEEDS)]
        assert np.isfinite(parts["filter_tunnel_power"]).all()
        assert judged(claims.land_5(run)).verdict == "replicated", "the barrier decides, and it has all its seeds"
        run = tunnels()
        run["filter_width"][4, 2, 0] = gone
        parts = claims.land_4(run, 0.05).parts
        assert np.isnan(parts["filter_width_by_dropout"]).tolist() == [seed == 4 for seed in range(SEEDS)]
        assert np.isfinite(parts["filter_width_by_weight_decay"]).all()


def test_each_state_has_its_own_share_at_a_tenth_of_the_weights():
    assert means(claims.land_3(steps())) == pytest.approx(
        {"rises_trained": 0.95, "rises_halfway": 0.9, "rises_untrained": 0.8, "rises_trained_short": 0.7}
    )


def test_tunnels_widen_by_the_doublings_put_in():
    assert means(claims.land_4(tunnels(), 0.05)) == pytest.approx({
        "raw_width_by_weight_decay": 1, "raw_width_by_learning_rate": 0.5, "raw_width_by_dropout": 0.25,
        "filter_width_by_weight_decay": -1, "filter_width_by_learning_rate": -0.5, "filter_width_by_dropout": -0.25,
    })  # fmt: skip


@pytest.mark.parametrize("loss, match", [(0.05, True), (0.026, True), (0.024, False), (0.051, False), (np.nan, False)])
def test_losses_match_between_half_of_the_target_and_the_target(loss, match):
    one = np.full((3, 4), 0.05)
    one[2, 3] = loss
    assert claims.land_4(tunnels(one), 0.05).gate == {"losses_match": match}


def test_dimensions_are_read_between_the_grid_at_nine_tenths_of_each_full_accuracy():
    assert means(claims.land_6(conv())) == pytest.approx(
        {"dimension_at_90_percent": 25, "dimension_over_parameters": 0.025, "log2_dimension_over_linear": 1}
    )
    assert claims.dimension(conv(at=25, full=0.8 + 0.004 / 0.9)) == pytest.approx(np.full(SEEDS, 27))
    assert claims.dimension(dense(15, 25, 35)) == pytest.approx(np.tile([15.0, 25, 35], (SEEDS, 1)))


def test_where_nothing_crosses_there_is_no_dimension_and_the_gate_says_so():
    lost = claims.land_6(conv(at=400))
    assert np.isnan(lost.parts["dimension_at_90_percent"]).all()
    assert lost.gate == {"dimension_found": False, "nets_learn": True} and judged(lost).verdict == "inconclusive"
    lost = claims.land_7(dense(20, 20, 60))
    assert all(np.isnan(values).all() for values in lost.parts.values()), "a mean of two widths is not that of three"
    assert not lost.gate["dimension_found"]
    unlearned = claims.land_6(conv(full=0.49))
    assert unlearned.gate == {"dimension_found": True, "nets_learn": False}
    assert np.isnan(claims.land_6(conv(linear=400)).parts["log2_dimension_over_linear"]).all()


def test_dimensions_of_three_widths_are_over_their_mean_in_order():
    assert means(claims.land_7(dense(10, 20, 40))) == pytest.approx({
        "dimension_narrow_over_mean": 3 / 7, "dimension_middle_over_mean": 6 / 7, "dimension_wide_over_mean": 12 / 7,
        "mean_dimension": 70 / 3, "dimension_power": 0.5,
    })  # fmt: skip
    assert not claims.land_7(dense(10, 20, 40, full=0.4)).gate["nets_learn"]


def test_small_nets_are_chosen_on_validation_images_and_judged_on_test_images():
    able = np.array([True, True, True])
    assert [one.tolist() for one in claims.chosen(SMALL, able)] == [[1] * SEEDS, [1] * SEEDS]
    assert [one.tolist() for one in claims.chosen(SMALL, np.array([True, False, True]))] == [[2] * SEEDS, [0] * SEEDS]
    run = conv(at=20)  # 0.72 at 20 dimensions and 0.76 at the source's 290, the fourth
    assert means(claims.land_8(run, SMALL)) == pytest.approx(
        {"subspace_minus_best_small": 76 - 45, "subspace_minus_best_dense": 76 - 40}
    )
    assert not claims.land_8(conv(full=0.3), SMALL).gate["nets_learn"] and claims.land_8(run, SMALL).gate["nets_learn"]


def test_each_seed_chooses_for_itself():
    run = small([[0.5, 0.6], [0.7, 0.8], [0.65, 0.1]], [[0.99, 0.3], [0.98, 0.45], [0.4, 0.97]])
    run["validation_accuracy"][3, 0, 0] = 0.9
    assert claims.best_accuracy(run, np.ones(3, bool)).tolist() == [0.45, 0.45, 0.45, 0.99, 0.45, 0.45]


def test_correlations_are_of_the_law_that_judges_and_the_chaotic_one_beside():
    assert means(claims.land_9(simple())) == pytest.approx(
        {"simple_is_likely": -0.7, "correlation_minus_shuffled": -0.5, "simple_is_likely_chaotic": 0.1}
    )
    assert claims.land_9(simple(seen_twice=[100, 0])).gate == {"functions_seen": True}
    assert claims.land_9(simple(seen_twice=[99, 500])).gate == {"functions_seen": False}


def test_slopes_per_bit_are_those_put_in_and_random_ones_are_taken_off():
    assert means(claims.land_10(found())) == pytest.approx(
        {"sgd_per_bit": -1.5, "adam_per_bit": -0.5, "sgd_minus_random_per_bit": -0.5}
    )


def test_functions_found_once_or_never_have_no_part_in_a_slope():
    run = found()
    run["counts"][:, 1, 4:6] = 0, 1
    assert claims.per_bit(run, SGD_RULE) == pytest.approx(np.full(SEEDS, -1.5))
    run["counts"][:, 1, :4] = [5, 1, 0, 2]
    assert np.isnan(claims.per_bit(run, SGD_RULE)).all(), "two functions are on every line"
    run["complexity"][:, :6] = 3
    assert np.isnan(claims.per_bit(run, ADAM_RULE)).all(), "one complexity has no slope"


@pytest.mark.parametrize("rule", RULES[1:])
def test_more_than_one_net_in_twenty_that_does_not_fit_fails_the_gate(rule):
    for claim in (claims.land_10, claims.land_11):
        for share, enough in ((0.95, True), (0.94, False)):
            fit = np.where(np.array(RULES) == rule, share, 1)
            fit[0] = 1e-3  # random nets hardly ever fit, and need not
            assert claim(found(fit)).gate["mostly_fit"] is enough


def test_two_thousand_random_nets_are_enough():
    assert claims.land_11(found(samples=2000)).gate["posterior_seen"] is True
    assert claims.land_11(found(samples=1999)).gate["posterior_seen"] is False


def test_rules_that_find_functions_in_one_order_are_alike_and_the_slope_tells_by_how_much():
    run = found(**{ADAM_RULE: 0.5, SGD_AGAIN: -0.1})
    run["counts"][:, 2, 0] = 0  # of another order than that of SGD: the first becomes the last
    parts = means(claims.land_11(run))
    assert parts["sgd_like_random"] == pytest.approx(1) and parts["adam_like_random"] == pytest.approx(-1)
    assert parts["sgd_like_sgd"] == pytest.approx(1 - 6 * (25 + 5) / (6 * 35))
    flat = means(claims.land_11(found(**{SGD_RULE: 0.0})))["sgd_on_random_slope"]
    assert flat == pytest.approx(0, abs=1e-9), "training that evens out"
    own = found()
    expected = np.polyfit(12 - K, np.log2(own["counts"][0, 1, :6] / (1 + NOISE[0]) + 0.5), 1)[0]
    assert means(claims.land_11(own))["sgd_on_random_slope"] == pytest.approx(expected, rel=1e-2)


def test_random_counts_below_ten_and_absent_functions_are_not_on_the_line():
    run = found(**{SGD_RULE: -1.0})
    run["counts"][:, 0, 3:6] = [9, 9, 9]  # would tilt the line
    run["counts"][:, 1, 3:6] = [4000, 0, 4000]
    assert claims.on_random(run, SGD_RULE) == pytest.approx(np.full(SEEDS, 1), abs=5e-3)
    run["counts"][:, 0, 2] = 9
    assert np.isnan(claims.on_random(run, SGD_RULE)).all()


def test_a_rule_that_found_nothing_and_a_single_function_have_no_order():
    run = found()
    run["counts"][:, 1, :6] = 0
    assert np.isnan(claims.alike(run, SGD_RULE, RANDOM)).all() and np.isnan(claims.per_bit(run, SGD_RULE)).all()
    run["counts"][..., 1:] = np.nan
    assert np.isnan(claims.alike(run, ADAM_RULE, RANDOM)).all()
