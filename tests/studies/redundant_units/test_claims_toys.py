"""Made-up results of the toys with known answers: what each claim's parts and gates then are."""

from __future__ import annotations

import numpy as np
import pytest

from redlib.evidence.claims import check, load_claims
from redlib.evidence.stats import Interval
from redlib.studies.redundant_units import claims as toys
from redlib.studies.redundant_units.detection import Xord
from redlib.studies.redundant_units.students import Goldt, Tian

SEEDS = 40
NONE, ALL = np.zeros(SEEDS, bool), np.ones(SEEDS, bool)
HALF = np.arange(SEEDS) % 2 == 0


def xord(fits=None, wrong=None, detected=None, angles=(5.0, 22.0, 22.5, 1.0, 20.0)):
    """Return results of Xord for 2, 4, 8 and 120 filters on both sets.

    fits, wrong: bool [S] by (set, count) where not all fit and none is wrong; detected: by count, else all.
    """
    run = Xord(counts=(2, 4, 8, 120), seeds=tuple(range(SEEDS)))
    shape = SEEDS, len(run.sets), len(run.counts)
    found = {"fits": np.ones(shape, bool), "fresh_error": np.zeros(shape), "steps_taken": np.ones(shape)}
    for (name, count), values in (fits or {}).items():
        found["fits"][:, run.sets.index(name), run.counts.index(count)] = values
    for (name, count), values in (wrong or {}).items():
        found["fresh_error"][:, run.sets.index(name), run.counts.index(count)] = 0.25 * values
    start = shape[::2]
    found["start_detected"] = np.ones(start, bool)
    for count, values in (detected or {}).items():
        found["start_detected"][:, run.counts.index(count)] = values
    jitter = np.linspace(-1, 1, SEEDS)[:, None, None]
    sizes = {"angle": shape, "start_angle": start, "turned_angle": shape, "weighted_angle": shape}
    for (name, size), angle in zip((sizes | {"start_weighted_angle": start}).items(), angles, strict=True):
        found[name] = angle + np.broadcast_to(jitter if len(size) == 3 else 0 * jitter[..., 0], size)
    return run.results(found)


def verdicts(finding):
    record = check(load_claims()[finding.id], "laptop", finding)
    return record.verdict, {part["name"]: part["verdict"] for part in record.parts}


def test_shares_and_their_differences_are_those_counted_by_hand():
    found = toys.share(HALF)
    assert (found.estimate, found.n) == (0.5, SEEDS) and found.low < 0.5 < found.high
    assert toys.share(NONE[:0]) == Interval(0.5, 0.0, 1.0, 0.95, "exact", 0)
    # Newcombe 1998, table II, row (a), method 10: 56/70 against 48/80
    first, second = np.arange(70) < 56, np.arange(80) < 48
    apart = toys.more_often(first, second)
    assert (apart.estimate, apart.low, apart.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    swapped = toys.more_often(second, first)
    assert (swapped.low, swapped.high) == pytest.approx((-apart.high, -apart.low))
    empty = toys.more_often(first, second[:0])
    assert (empty.low, empty.estimate, empty.high) == (-1, 0, 1)


def test_unit_1_counts_wrong_networks_among_all_small_ones_and_right_ones_among_those_that_fit():
    small, large, blind = ("diverse", 2), ("diverse", 120), ("missing a pattern", 120)
    finding = toys.unit_1(xord(fits={small: np.arange(SEEDS) < 30}, wrong={small: np.arange(SEEDS) < 24, blind: ALL}))
    parts = finding.parts
    assert parts["small_fit_and_fail"].estimate == 24 / SEEDS
    assert parts["success_large_minus_small"].estimate == pytest.approx(1 - 6 / 30)
    assert parts["success_large_pattern_missing"].estimate == 0
    assert finding.gate == {"small_nets_fit": True, "large_nets_fit": True} and verdicts(finding)[0] == "replicated"
    other = toys.unit_1(xord(wrong={large: np.arange(SEEDS) < 24}))
    assert verdicts(other)[1]["success_large_minus_small"] == "contradicted"


@pytest.mark.parametrize(("fits", "failed"), [
    ({("diverse", 2): np.arange(SEEDS) < 19}, "small_nets_fit"),
    ({("diverse", 120): np.arange(SEEDS) < 35}, "large_nets_fit"),
    ({("missing a pattern", 120): np.arange(SEEDS) < 35}, "large_nets_fit"),
])  # fmt: skip
def test_unit_1_does_not_judge_networks_that_do_not_fit(fits, failed):
    finding = toys.unit_1(xord(fits=fits))
    assert [name for name, passed in finding.gate.items() if not passed] == [failed]
    assert verdicts(finding)[0] == "inconclusive"


def test_unit_2_compares_angles_of_the_large_networks():
    finding = toys.unit_2(xord())
    means = {name: float(values.mean()) for name, values in finding.parts.items()}
    assert means == pytest.approx({
        "angle_trained_minus_initial": -17, "angle_trained_minus_turned": -17.5,
        "weighted_angle_trained_minus_initial": -19,
    })  # fmt: skip
    assert verdicts(finding)[0] == "replicated"
    spread = toys.unit_2(xord(angles=(25.0, 22.0, 22.5, 1.0, 20.0)))
    assert verdicts(spread)[1]["angle_trained_minus_initial"] == "contradicted"


def test_unit_3_asks_at_one_width_whether_those_that_detect_all_succeed():
    finding = toys.unit_3(xord(detected={2: NONE, 4: NONE, 8: HALF}, wrong={("diverse", 8): ~HALF}))
    parts = finding.parts
    assert parts["detected_large_minus_small"].estimate == 1 and parts["success_detected_minus_not"].estimate == 1
    unknown = parts["success_large_minus_small_given_detected"]
    assert (unknown.low, unknown.high) == (-1, 1), "no small network detected all: nothing to compare"
    assert verdicts(finding)[0] == "replicated"
    other = toys.unit_3(xord(detected={2: NONE, 8: HALF}, wrong={("diverse", 8): HALF}))
    assert verdicts(other)[1]["success_detected_minus_not"] == "contradicted"


def test_unit_3_takes_networks_that_do_not_fit_for_failures():
    finding = toys.unit_3(xord(fits={("diverse", 8): HALF, ("diverse", 4): HALF}, detected={8: HALF}))
    assert finding.parts["success_detected_minus_not"].estimate == 1
    assert finding.parts["success_large_minus_small_given_detected"].estimate == 0.5


def goldt(powers=(-0.5, 1.0, 0.2), off=0.0, falls=0.0, seeds=20):
    """Return results of Goldt with these powers of the width by arm, measured `off` standard errors, falling a look."""
    run = Goldt(seeds=tuple(range(seeds)), times=10)
    widths, looks = np.array(run.widths, float), np.arange(11)
    own = np.linspace(0.9, 1.1, seeds)[:, None, None, None]
    curve = (1 - falls) ** looks * (1 + 0.5 * (looks < 7))
    error = own * np.stack([widths**power for power in powers])[None, ..., None] * curve
    spread = 0.01 * error[..., -1]
    values = {"error": error, "measured_error": error[..., -1] + off * spread, "measured_spread": spread}
    return run.results(values)


def test_unit_5_reads_powers_of_the_width_from_the_last_fifth():
    finding = toys.unit_5(goldt(), goldt())
    assert {name: float(values[0]) for name, values in finding.parts.items()} == pytest.approx(
        {
            "error_slope_both": -0.5,
            "error_slope_first": 1.0,
            "error_slope_both_clean": 0.2,
            "error_slope_both_weak_teacher": -0.5,
        }
    )
    assert finding.gate == {"theory_agrees": True, "students_at_rest": True}
    other = goldt((0.5, 1.0, 0.2))
    other["error"][:] *= np.exp(0.1 * np.random.default_rng(0).standard_normal(other["error"].shape[:3]))[..., None]
    assert verdicts(toys.unit_5(other, goldt()))[0] == "inconclusive", (
        "the measured errors are no longer about the exact ones"
    )
    assert not toys.unit_5(other, goldt()).gate["theory_agrees"]
    assert verdicts(toys.unit_5(goldt((0.5, 1.0, 0.2)), goldt()))[1]["error_slope_both"] == "contradicted"


@pytest.mark.parametrize(("options", "failed"), [
    ({"off": 5.0}, "theory_agrees"), ({"off": -5.0}, "theory_agrees"), ({"falls": 0.08}, "students_at_rest"),
])  # fmt: skip
def test_unit_5_doubts_the_code_and_students_on_their_way(options, failed):
    for runs in ((goldt(**options), goldt()), (goldt(), goldt(**options))):
        gate = toys.unit_5(*runs).gate
        assert [name for name, passed in gate.items() if not passed] == [failed]


def test_only_the_arm_that_decides_must_rest():
    run = goldt()
    run["error"][:, 1:] *= np.linspace(2, 1, 11)
    assert toys.unit_5(run, goldt()).gate["students_at_rest"]


def test_by_chance_one_seed_far_off_does_not_put_the_theory_in_doubt():
    run = goldt()
    run["measured_error"][3] += 9 * run["measured_spread"][3]
    assert toys.theory_agrees(run)
    run["measured_error"][4] += 9 * run["measured_spread"][4]
    assert not toys.theory_agrees(run)


def tian(complete=(HALF, ALL), ratio=0.02, matched=(3, 4), unmatched=8, errors=(1.0, 0.25)):
    run = Tian(seeds=tuple(range(SEEDS)), times=10)
    own = np.exp(np.linspace(-0.1, 0.1, SEEDS))[:, None]
    per = {"matched": np.tile(matched, (SEEDS, 1)), "complete": np.stack(complete, 1)}
    per |= {"unmatched": np.full((SEEDS, 2), unmatched), "by_nearest": np.tile((1, 2), (SEEDS, 1))}
    per |= {"outgoing_matched": np.ones((SEEDS, 2)), "outgoing_unmatched": ratio * np.tile(own, 2)}
    error = np.concatenate([np.ones((SEEDS, 2, 1)), np.tile(np.array(errors)[:, None], (SEEDS, 1, 10))], 2)
    return run.results(per | {"error": own[..., None] * error})


def test_unit_6_counts_students_that_match_all_and_weighs_the_others():
    finding = toys.unit_6(tian())
    assert finding.parts["matched_wide_minus_equal"].estimate == 0.5
    assert np.allclose(finding.parts["log2_error_wide_over_equal"], -2)
    assert np.allclose(finding.parts["error_left_wide_minus_equal"], 100 * (0.25 - 1.0)), "of the error at the start"
    assert np.allclose(finding.parts["lucky_share"], 0.5)
    verdict, parts = verdicts(finding)
    assert verdict == "replicated" and parts["unmatched_over_matched"] == "replicated"
    verdict, parts = verdicts(toys.unit_6(tian(complete=(ALL, HALF), ratio=0.4, errors=(0.25, 1.0))))
    assert verdict == "contradicted" and parts["unmatched_over_matched"] == "contradicted"


def test_unit_6_waits_for_students_on_their_way():
    assert toys.unit_6(tian()).gate == {"students_at_rest": True}
    run = tian()
    run["error"][:, 1] *= np.linspace(1, 0.5, 11)
    assert toys.unit_6(run).gate == {"students_at_rest": False}


def test_unit_6_takes_errors_that_are_all_rounding_for_solved():
    run = tian()
    run["error"][0, :, -1], run["error"][1, :, -1] = (0.0, 1e-17), (0.5 * run["error"][1, 0, 0], 0.0)
    assert toys.unit_6(run).parts["log2_error_wide_over_equal"][:2] == pytest.approx([0, np.log2(2e-6)])


def test_unit_6_leaves_out_seeds_in_which_nothing_matches():
    run = tian()
    run["matched"][0], run["by_nearest"][0], run["outgoing_matched"][0] = 0, 0, np.nan
    parts = toys.unit_6(run).parts
    assert np.isnan(parts["lucky_share"][0]) and np.isnan(parts["unmatched_over_matched"][0])
    assert np.isfinite(parts["lucky_share"][1:]).all()


def test_every_part_of_the_checks_is_handed_in_under_its_name():
    findings = [
        toys.unit_1(xord()),
        toys.unit_2(xord()),
        toys.unit_3(xord()),
        toys.unit_5(goldt(), goldt()),
        toys.unit_6(tian()),
    ]
    for finding in findings:
        assert set(finding.parts) == {part.name for part in load_claims()[finding.id].check.parts}, finding.id
