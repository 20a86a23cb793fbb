"""What to do next follows the numbers: one case each."""

import math
from dataclasses import replace

import pytest
from audit_reports import CHANGE, CURVE, made

from redlib.audit import Report, advice
from redlib.evidence.stats import wilson

GAINS = {
    "before": {"parameters": 1000, "macs": 900, "latency_ms": 2.0, "latency_low": 1.9},
    "after": {"parameters": 600, "macs": 450, "latency_ms": 1.0, "latency_high": 1.1},
    "units": {"fc": 4}, "lost": 0.25, "lost_low": -0.1, "lost_high": 0.6, "held_out": 500, "tolerate": 0.5,
}  # fmt: skip
NONE = replace(CURVE, safe=0.0, safe_low=0.0, safe_high=0.0, sure=0.0)


def of(curve, **changes):
    """Return a report whose net, and only layer, have this curve."""
    report = made(whole={"weights": curve}, **changes)
    report.records[0].curves = {"weights": curve}
    return report


def test_a_smaller_net_that_was_made_comes_first():
    told = advice.next_step(of(CURVE, gains=GAINS))
    assert told.startswith("Take units out, smallest norms first: 4 of 10 in fc: Linear 90→10.")
    assert "saves 40% of the parameters, 50% of the multiply-adds and 50% of the time" in told
    assert (
        "lost 0.25 points (-0.1 to 0.6, so more than is tolerated is not excluded)." in told
        and "Or set the smallest 10% of all weights to zero" in told
    )
    assert "not excluded" not in advice.next_step(of(CURVE, gains=GAINS | {"lost_high": 0.5}))
    slow = GAINS | {"after": GAINS["after"] | {"latency_high": 1.95}}
    assert "no time that could be measured" in advice.next_step(of(CURVE, gains=slow))


@pytest.mark.parametrize("change", [{"lost": 0.6}, {"after": GAINS["after"] | {"parameters": 960, "macs": 870}}])
def test_one_that_loses_too_much_or_saves_little_is_not_advised(change):
    assert "compacted" not in advice.next_step(of(CURVE, gains=GAINS | change))


def test_only_what_is_sure_is_advised():
    told = advice.next_step(of(CURVE))
    assert told.startswith("Set the smallest 10% of all weights") and "Then compare the accuracy" in told
    assert "50%" not in told
    report = of(replace(CURVE, sure=0.0))
    units = replace(CURVE, what="units", sure=0.25, order="gradient")
    report.records[0].curves = {"weights": CURVE, "units": units}
    told = advice.next_step(report)
    assert told.startswith("Take 25% of the units out of fc: Linear 90→10, smallest gradient first")
    assert "saves 25% of all parameters" in told
    report.records[0].curves = {"units": replace(units, what="singular directions", sure=0.8, rank_cost=1.5)}
    assert "as two factors" in (told := advice.next_step(report)) and "saves 70% of all parameters" in told


def test_nothing_is_advised_where_nothing_can_go():
    assert advice.next_step(of(NONE)).startswith("Nothing here is safe to remove: no share tried stays within 0.5 poi")
    few = replace(CURVE, sure=0.0, examples=100)
    assert advice.next_step(of(few)).startswith("Give more examples before anything is cut: some can go on these 100")
    assert "Nothing here is worth removing" in advice.next_step(of(replace(few, examples=1000)))


def test_what_comes_before_any_cut():
    assert "Run the audit again" in advice.next_step(Report("Net", "module", {}))
    bare = made(whole={})
    bare.settings["examples"] = 0
    assert advice.next_step(bare).startswith("Give the audit examples")
    assert "to its end" in advice.next_step(of(CURVE, complete=False))
    assert "not better at these labels" in advice.next_step(of(replace(CURVE, labelled=False), gains=GAINS))
    assert "do not test the net" in advice.next_step(of(replace(CURVE, safe=1.0)))
    assert "no layer has weights of its own" in advice.next_step(made(whole={}))


def test_labels_that_count_nothing_are_told_apart():
    report = of(replace(CURVE, labelled=False))
    report.settings |= {"accuracy": 0.125, "classes": 7}
    assert "the most frequent one, and right for 12.5% of them. Check" in advice.next_step(report)
    report.settings |= {"accuracy": 1.0, "classes": 1}
    assert advice.next_step(report).startswith("Do not cut yet. All labels are the same")


@pytest.mark.parametrize("curve", [CURVE, replace(CURVE, safe=1.0)])
def test_one_output_without_labels_may_be_a_regression(curve):
    report = of(curve)
    report.settings |= {"labels": False, "decision": "the sign of the one output"}
    assert advice.next_step(report).endswith("says little of a regression: compare its errors instead.")
    for others in ({"labels": True}, {"labels": False, "decision": "the largest of 4 outputs"}):
        report.settings |= others
        assert "regression" not in advice.next_step(report)


def test_twins_that_bear_as_much_ask_for_a_comparison():
    within = {"output_change": replace(CHANGE, value=1.0)}
    assert "from the start beside it" in advice.next_step(of(CURVE, features=within))
    assert "from the start beside it" not in advice.next_step(of(CURVE))


def test_the_fewest_examples_that_bound_a_loss():
    for tolerate in (0.5, 1.0, 3.0):
        least = advice.least_examples(tolerate)
        assert wilson(0, least).high <= tolerate / 100 < wilson(0, least - 1).high
    assert advice.least_examples(0) is None and math.isfinite(advice.least_examples(0.01))
