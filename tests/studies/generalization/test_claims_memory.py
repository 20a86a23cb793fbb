"""The claims on memorising, on curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from redlib.data.corruptions import VERSIONS
from redlib.evidence.claims import load_claims
from redlib.experiments.results import Results
from redlib.studies.generalization import claims

STEPS = np.array([1, 10, 20, 100])
TRUE = [0.5, 0.03, 0.0, 0.0]  # below 1% at 10 + 10 * 2/3 steps
SLOW = [0.9, 0.5, 0.21, 0.01]  # at the last look
ARMS = (("none", 0), ("decay", 1e-3), ("decay", 1e-2), ("dropout", 0.5), ("norm", 0), ("shift", 1))


def run(axis, labels, **arrays):
    """Return results of two equal seeds: `arrays` are [labels] or [labels, looks] lists."""
    two = {name: np.stack([np.array(rows, float)] * 2) for name, rows in arrays.items()}
    axes = {name: ("seed", axis, "look")[: rows.ndim] for name, rows in two.items()}
    return Results(two | {"steps": STEPS}, axes | {"steps": ("look",)}, {axis: tuple(labels)})


def versions(missed, tested):
    return run("version", VERSIONS, train_error=[[1, e] for e in missed], test_error=[[1, e] for e in tested])


def shares(labels, train, tested, validation=None, nearest=None):
    return run(
        "share", labels, train_error=train, test_error=tested, validation_loss=validation or tested,
        nearest=nearest or [0.5] * len(labels),
    )  # fmt: skip


def relabelled():
    labels = (0.0, 0.25, 0.5, 0.75, 1.0)
    tested = [[0.9, 0.2, 0.1, e] for e in (0.05, 0.2, 0.4, 0.7, 0.91)]
    return shares(labels, [TRUE] * 4 + [SLOW], tested)


def wrong():
    return shares((0.0, 0.1), [TRUE] * 2, [[0.9, 0.5, 0.1, e] for e in (0.1, 0.2)], nearest=[0.05, 0.25])


def regularised():
    errors = {"train_error": [0, 0, 0.5, 0.2, 0.003, 0.004], "test_error": [0.1, 0.08, 0.05, 0.2, 0.09, 0.07]}
    return run("arm", ARMS, **errors, validation_error=[0.1, 0.06, 0.06, 0.3, 0.09, 0.08])


def diluted(last):
    curves = {
        "test_error": [[0.9, 0.05, 0.06, 0.07], [0.9, 0.14, 0.2, 0.3], [0.9, last, 0.9, 0.9]],
        "validation_loss": [[9, 1, 2, 3]] * 3,
    }
    return run("alpha", (0, 10, 20), **curves, nearest=[0.02, 0.64, 0.8])


def critical():
    curves = {
        "memorised": [[0, 0, 0.1, 0.6], [0, 0, 0, 0.1], [0, 0, 0, 0.2]],
        "test_error": [[0.9, 0.1, 0.2, 0.3], [0.9, 0.08, 0.1, 0.12], [0.9, 0.1, 0.1, 0.15]],
        "validation_error": [[0.9, 0.4, 0.5, 0.6], [0.9, 0.4, 0.4, 0.5], [0.9, 0.4, 0.4, 0.4]],
    }
    return run("arm", ("plain", "critical", "at random"), **curves)


def findings():
    conv = versions([0, 0.004, 0.001, 0.002, 0.003], [0.02, 0.9, 0.06, 0.88, 0.9])
    mlp = versions([0, 0.006, 0, 0, 0], [0.05, 0.9, 0.055, 0.9, 0.9])
    return [
        claims.gen_1(conv, mlp, conv), claims.gen_2(relabelled(), relabelled()), claims.gen_3(relabelled()),
        claims.gen_4(regularised(), regularised()),
        claims.gen_5(diluted(0.3), {250: diluted(0.5), 500: diluted(0.4), 1000: diluted(0.3)}),
        claims.gen_18(critical()), claims.gen_19(wrong()),
    ]  # fmt: skip


EXPECTED = {
    "GEN-1": {
        "unfitted_random_labels": 0.004, "unfitted_gaussian_pixels": 0.003, "random_label_test_accuracy": 10,
        "conv_shuffled_minus_original": -4, "mlp_shuffled_minus_original": -0.5, "mlp_unfitted_random_labels": 0.006,
    },
    "GEN-2": {"slowdown_small_n": 6, "log2_slowdown_large_over_small_n": 0, "unfinished_runs": 0},
    "GEN-3": {
        "rise_0_to_25": 15, "rise_25_to_50": 20, "rise_50_to_75": 30, "rise_75_to_100": 21, "error_all_random": 91,
        "fitted_minus_early_half_random": 30,
    },
    "GEN-4": {  # by validation the weaker decay, not the stronger one that tests better
        "best_minus_none": 2, "lead_without_over_best": 80 / 82, "unfitted_random_labels_decay": 0,
        "unfitted_random_labels_dropout": 0.2, "unfitted_random_labels_augmented": 0.004,
    },
    "GEN-5": {
        "lead_10_over_clean": 76 / 85, "accuracy_slope_20": 10, "accuracy_10": 86, "accuracy_10_minus_nearest": 50,
        "accuracy_10_last_minus_early": -16,
    },
    "GEN-18": {
        "memorised_cdr_minus_plain": -0.5, "gain_over_last_epoch": 18, "gain_over_early_stop": -2,
        "gain_both_early": 2, "gain_over_random_choice": 3,
    },
    "GEN-19": {
        "lead_noisy_over_clean": 7 / 8, "clean_test_error": 20, "error_increase": 10, "error_minus_nearest": -5,
    },
}  # fmt: skip


@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.id)
def test_numbers_are_those_planted_and_parts_those_of_the_check(finding):
    leaves = load_claims()[finding.id].check_for("laptop").parts
    assert {leaf.statistic for leaf in leaves} <= set(finding.parts)
    assert set(finding.parts) <= {name for leaf in leaves for name in (leaf.statistic, leaf.name)}
    for name, expected in EXPECTED[finding.id].items():
        assert np.allclose(finding.parts[name], expected), name
    assert all(values.shape == (2,) for values in finding.parts.values()) and all(finding.gate.values())


def test_the_time_to_an_error_lies_on_the_line_between_two_looks_and_is_censored_where_it_never_comes():
    errors = np.array([TRUE, SLOW, [0.01, 0, 0, 0], [0.5, 0.4, 0.3, 0.2]])
    times = claims.first_time(STEPS, errors, 0.01)
    assert np.allclose(times, [10 + 10 * 2 / 3, 100, 1, np.nan], equal_nan=True)


def test_runs_that_end_before_99_percent_are_censored_and_counted():
    never = shares((0.0, 1.0), [TRUE, [0.9, 0.5, 0.3, 0.2]], [TRUE] * 2)
    finding = claims.gen_2(relabelled(), never)
    assert np.isnan(finding.parts["slowdown_large_n"]).all() and finding.parts["unfinished_runs"].tolist() == [0.5, 0.5]
    assert finding.gate["true_labels_reach_99"], "random labels may take too long, true ones may not"


def test_gates_shut_where_a_setting_shows_nothing():
    poor = versions([0] * 5, [0.8] * 5)
    assert not claims.gen_1(poor, poor, poor).gate["true_labels_learned"]
    unfit = shares((0.0, 0.25, 0.5, 0.75, 1.0), [TRUE] * 4 + [[0.9, 0.5, 0.1, 0.02]], [TRUE] * 5)
    assert not claims.gen_3(unfit).gate["noisy_labels_learned"]
    assert not claims.gen_19(shares((0.0, 0.1), [TRUE, SLOW], [TRUE] * 2)).gate["noisy_labels_learned"]
    never = run("arm", ("plain", "critical", "at random"), **{
        name: [[0.4] * 4] * 3 for name in ("memorised", "test_error", "validation_error")
    })  # fmt: skip
    assert not claims.gen_18(never).gate["plain_training_memorises"]


def test_the_paper_asks_for_100_random_labels_for_each_clean_one():
    curves = {"test_error": [[0.05] * 4, [0.1] * 4, [0.08] * 4], "validation_loss": [[1, 2, 3, 4]] * 3}
    main = run("alpha", (0, 10, 100), **curves, nearest=[0, 0, 0])
    parts = claims.gen_5(main, {1: diluted(0.5), 2: diluted(0.5)}, many=100).parts
    asked = {leaf.statistic for leaf in load_claims()["GEN-5"].check_for("paper").parts}
    assert set(parts) == asked and np.allclose(parts["accuracy_100"], 92)
