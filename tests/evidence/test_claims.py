"""The verdict algebra as a table, the reading of claims/, and records that rerun to the same bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.evidence import claims
from redlib.evidence.claims import Finding, StudyInfo, load_claims, load_studies, parse_check, parse_claim
from redlib.evidence.stats import Interval, mean_interval, sign_flip_p, t_test_p, wilson
from redlib.evidence.verdicts import decide, seeds_needed

SPREAD = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])  # mean 0; 95% half-width .196, 90% half-width .151
LEAF = {"statistic": "rise", "unit": "pp"}


def around(centre, scale=1.0):
    return centre + scale * SPREAD


def leaf(kind, **bounds):
    return parse_check({"kind": kind, **LEAF, **bounds})


def both(*parts):
    return parse_check({"kind": "conjunction", "parts": [{**LEAF, **part} for part in parts]})


UP = {"name": "up", "kind": "greater", "than": 0, "delta": 0.5}
NEAR = {"name": "near", "kind": "interval", "low": 0.8, "high": 1.25}
SEEN = {"name": "seen", "kind": "descriptive"}


@pytest.mark.parametrize("check, values, verdict", [
    (leaf("greater", than=0), around(1), "replicated"),
    (leaf("greater", than=0), around(-1), "contradicted"),
    (leaf("greater", than=0), around(0), "inconclusive"),
    (leaf("greater", than=0), np.zeros(5), "inconclusive"),  # exactly no effect, and no delta stated
    (leaf("greater", than=0), [1.0], "inconclusive"),  # one seed has an infinite interval
    (leaf("greater", than=80), around(81), "replicated"),
    (leaf("greater", than=80), around(79), "contradicted"),  # the other side of the threshold, not of zero
    (leaf("greater", than=0, delta=0.5), around(0), "null"),
    (leaf("greater", than=0, delta=0.16), around(0), "null"),  # the 90% interval decides: +-.151
    (leaf("greater", than=0, delta=0.15), around(0), "inconclusive"),
    (leaf("greater", than=0, delta=0.5), around(0.3), "null"),  # clear of zero, and still nothing that matters
    (leaf("greater", than=0, delta=0.5), around(-0.3), "null"),
    (leaf("greater", than=0, delta=0.5), around(0.4), "replicated"),  # [.204, .596] is not inside
    (leaf("greater", than=0, delta=0.5), around(-0.4), "contradicted"),
    (leaf("greater", than=1, delta=0.5), around(1), "null"),
    (leaf("less", than=0), around(-1), "replicated"),
    (leaf("less", than=0), around(1), "contradicted"),
    (leaf("less", than=0), around(0), "inconclusive"),
    (leaf("less", than=0, delta=0.5), around(0), "null"),
    (leaf("interval", low=0.8, high=1.25), around(1), "replicated"),
    (leaf("interval", low=0.8, high=1.25), np.full(5, 0.8), "replicated"),  # bounds belong to the claim
    (leaf("interval", low=0, high=0), np.zeros(5), "replicated"),  # an identity
    (leaf("interval", low=0, high=0), np.full(5, 1e-9), "contradicted"),
    (leaf("interval", low=0.8, high=1.25), around(2), "contradicted"),
    (leaf("interval", low=0.8, high=1.25), around(0), "contradicted"),
    (leaf("interval", low=0.8, high=1.25), around(0.9), "inconclusive"),
    (leaf("interval", low=0.8, high=1.25), around(1, scale=9), "inconclusive"),
    (leaf("equivalence", delta=0.16), around(0), "replicated"),  # 90% inside although 95% is not
    (leaf("equivalence", delta=0.15), around(0), "inconclusive"),
    (leaf("equivalence", delta=0.3), around(1), "contradicted"),
    (leaf("equivalence", delta=0.81), around(-1), "inconclusive"),  # 90% outside, 95% not: no refutation
    (leaf("equivalence", delta=0.3, centre=1), around(1), "replicated"),
    (leaf("equivalence", delta=0.3, centre=1), around(0), "contradicted"),
    (leaf("two_sided", claimed="positive"), around(1), "replicated"),
    (leaf("two_sided", claimed="positive"), around(-1), "contradicted"),
    (leaf("two_sided", claimed="negative"), around(-1), "replicated"),
    (leaf("two_sided", claimed="negative"), around(0), "inconclusive"),
    (leaf("two_sided", claimed="positive", zero=1), around(1), "inconclusive"),
    (leaf("two_sided"), around(1), "descriptive"),
    (leaf("descriptive"), around(1), "descriptive"),
])  # fmt: skip
def test_the_interval_decides_the_verdict(check, values, verdict):
    decision = decide(check, values)
    assert decision.verdict == decision.parts[0].verdict == verdict


@pytest.mark.parametrize("up, near, verdict", [
    (1, 1, "replicated"),
    (1, 2, "partly"),
    (-1, 1, "partly"),
    (0, 1, "partly"),  # null and replicated
    (1, 0.9, "inconclusive"),
    (-1, 2, "contradicted"),
    (-1, 0.9, "contradicted"),  # no part holds, and one is refuted
    (0, 2, "contradicted"),
    (0, 0.9, "inconclusive"),
])  # fmt: skip
def test_parts_of_the_source_decide_together(up, near, verdict):
    decision = decide(both(UP, NEAR), {"near": around(near), "up": around(up)})
    assert decision.verdict == verdict
    assert [part.name for part in decision.parts] == ["up", "near"]


@pytest.mark.parametrize("near, told", [(1, "replicated"), (2, "contradicted"), (0.9, "inconclusive")])
def test_a_part_of_ours_is_told_and_decides_nothing(near, told):
    ours = {**NEAR, "of": "ours", "because": "a tolerance that the source does not state"}
    decision = decide(both(ours, UP), {"near": around(near), "up": around(1)})
    assert (decision.verdict, decision.deciding.name) == ("replicated", "up")
    assert [(part.verdict, part.of) for part in decision.parts] == [(told, "ours"), ("replicated", "source")]
    assert decision.p == decision.parts[1].p


@pytest.mark.parametrize("first, second, verdict, deciding", [
    (1, -1, "replicated", "up"),
    (-1, 1, "replicated", "other"),
    (-1, -1, "contradicted", "up"),
    (-1, 0, "null", "other"),
    (0, 0.3, "null", "up"),
])  # fmt: skip
def test_one_reading_of_a_source_that_holds_is_enough(first, second, verdict, deciding):
    check = both({**UP, "reading": "by_eye"}, {**UP, "name": "other", "reading": "by_fit"})
    decision = decide(check, {"up": around(first), "other": around(second)})
    assert (decision.verdict, decision.deciding.name) == (verdict, deciding)
    assert decision.reason.startswith("read as by eye" if deciding == "up" else "read as by fit")


def test_a_part_of_no_reading_belongs_to_every_one():
    check = both(NEAR, {**UP, "reading": "by_eye"}, {**UP, "name": "other", "reading": "by_fit"})
    found = {"up": around(1), "other": around(-1)}
    assert decide(check, {**found, "near": around(1)}).verdict == "replicated"
    assert decide(check, {**found, "near": around(2)}).verdict == "partly"


@pytest.mark.parametrize("up, verdict", [(1, "replicated"), (0, "not_seen"), (-1, "not_seen")])
def test_what_can_be_is_not_contradicted_by_one_setting_without_it(up, verdict):
    check = parse_check({**LEAF, **UP}, exists=True)
    decision = decide(check, around(up))
    assert (decision.verdict, decision.deciding.name) == (verdict, "up")


def test_ratios_probabilities_and_correlations_have_intervals_inside_the_possible():
    values = np.array([0.01, 0.02, 0.4, 0.05, 0.9])
    for unit, inside in (("ratio", (0, np.inf)), ("probability", (0, 1)), ("correlation", (-1, 1))):
        part = decide(parse_check({"kind": "descriptive", "statistic": "s", "unit": unit}), values).parts[0]
        assert inside[0] < part.ci95[0] < part.estimate < part.ci95[1] < inside[1]
    ratio = decide(parse_check({"kind": "greater", "statistic": "s", "unit": "ratio", "than": 1}), values).parts[0]
    expected = mean_interval(np.log(values))
    assert ratio.ci95 == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    assert ratio.p_t == pytest.approx(t_test_p(np.log(values), 0.0, "greater"))
    assert ratio.method == "t, log scale"


def test_a_value_off_the_scale_leaves_the_interval_linear_and_says_so():
    part = decide(parse_check({"kind": "descriptive", "statistic": "s", "unit": "ratio"}), [0.0, 1.0, 2.0]).parts[0]
    assert (part.method, part.estimate) == ("t", 1.0)


@pytest.mark.parametrize("unit, values, inside", [
    ("ratio", [0, 0, 0.1], (0, np.inf)), ("probability", [1, 1, 0.9], (0, 1)), ("correlation", [-1, -1, 0.5], (-1, 1)),
    ("ratio", [-1, 0, 0.1], (-np.inf, np.inf)), ("pp", [0, 0, 0.1], (-np.inf, np.inf)),
])  # fmt: skip
def test_values_at_the_end_of_their_scale_have_intervals_that_end_there(unit, values, inside):
    linear = mean_interval(values)
    check = parse_check({"kind": "descriptive", "statistic": "s", "unit": unit})
    part = decide(check, np.array(values, float)).parts[0]
    assert part.ci95 == pytest.approx((max(linear.low, inside[0]), min(linear.high, inside[1])))
    assert inside == (-np.inf, np.inf) or part.ci95 != pytest.approx((linear.low, linear.high))


@pytest.mark.parametrize("values", [[99.9, 99.5, 98.0, 99.99], [100, 99.89, 100, 99.98, 99.98]])
def test_an_accuracy_in_percent_has_an_interval_that_ends_at_a_hundred(values):
    leaf = {"kind": "greater", "statistic": "s", "unit": "pp", "than": 90}
    part, linear = (decide(parse_check(leaf | more), np.array(values)).parts[0] for more in ({"scale": "percent"}, {}))
    assert linear.ci95[1] > 100 >= part.ci95[1] > part.estimate > part.ci95[0]


def stretched(n, mean, spread):
    """Return n values of that mean and standard deviation."""
    values = np.linspace(-1, 1, n)
    return mean + spread * values / values.std(ddof=1)


@pytest.mark.parametrize("bounds, unit, values", [
    ({"kind": "greater", "than": 0}, "pp", [1.0, 2.0, -0.5, 1.5]),
    ({"kind": "less", "than": 0}, "pp", [-2.0, 1.0, -1.5, 0.8, -0.9]),
    ({"kind": "greater", "than": 0, "delta": 0.5}, "pp", [0.6, -0.5, 0.4, -0.6]),
    ({"kind": "equivalence", "delta": 0.3}, "pp", [0.3, -0.4, 0.2, 0.1]),
    ({"kind": "interval", "low": -1, "high": 1}, "pp", [1.3, 0.2, 0.9, -0.1]),
])  # fmt: skip
def test_so_many_seeds_settle_a_part_and_one_fewer_does_not(bounds, unit, values):
    check = parse_check({"statistic": "s", "unit": unit, **bounds})
    needed, of = seeds_needed(check.parts[0], [*values, np.nan]), (np.mean(values), np.std(values, ddof=1))
    assert decide(check, values).verdict == decide(check, stretched(needed - 1, *of)).verdict == "inconclusive"
    assert decide(check, stretched(needed, *of)).verdict != "inconclusive"


def test_seeds_are_counted_on_the_scale_of_the_part():
    ratio = parse_check({"kind": "less", "statistic": "s", "unit": "ratio", "than": 1}).parts[0]
    values = np.array([0.2, 0.5, 1.6, 0.4])
    log = parse_check({"kind": "less", "statistic": "s", "unit": "pp", "than": 0}).parts[0]
    assert seeds_needed(ratio, values) == seeds_needed(log, np.log(values))


@pytest.mark.parametrize("values", [[9.0, -8.0, 7.0, -8.0], [1.0], [np.nan, 1.0], [0.0, 0.0]])
def test_no_likely_number_of_seeds_settles_some_parts(values):
    assert seeds_needed(leaf("greater", than=0).parts[0], values) is None


def test_nothing_claimed_needs_no_seeds():
    assert seeds_needed(leaf("descriptive").parts[0], [1.0, 2.0]) is None


@pytest.mark.parametrize("check, values", [
    (leaf("greater", than=0), [1.0]), (leaf("descriptive"), [1.0]), (leaf("interval", low=0, high=1), [np.nan]),
    (leaf("descriptive"), Interval(2.0, 1.0, np.inf, 0.95, "exact", 9)),
])  # fmt: skip
def test_a_reason_never_prints_an_infinite_number_by_its_name(check, values):
    assert "inf" not in decide(check, values).reason.replace("∞", "")


EFFECTS = {"pp": (0.5, "a test set of 10,000")}


def test_directions_of_the_source_get_the_smallest_effect_of_interest_of_their_unit():
    check = parse_check({**LEAF, "kind": "greater", "than": 0}, effects=EFFECTS)
    assert check.parts[0].bounds == {"than": 0, "delta": 0.5} and "10,000" in check.parts[0].because
    own = parse_check({**LEAF, "kind": "greater", "than": 0, "delta": 2}, effects=EFFECTS)
    assert own.parts[0].bounds["delta"] == 2
    ours = parse_check({**LEAF, "kind": "greater", "than": 0, "of": "ours", "because": "so"}, effects=EFFECTS)
    assert "delta" not in ours.parts[0].bounds
    with pytest.raises(BadInput, match="effects"):
        parse_check({**LEAF, "unit": "log2", "kind": "greater", "than": 0}, effects=EFFECTS)


def test_a_part_of_ours_needs_a_reason():
    with pytest.raises(BadInput, match="because"):
        parse_check({**LEAF, "kind": "greater", "than": 0, "of": "ours"})


def test_a_conjunction_is_null_only_where_every_part_is():
    check = both(UP, {**UP, "name": "also"})
    assert decide(check, {"up": around(0), "also": around(0)}).verdict == "null"
    assert decide(check, {"up": around(0), "also": around(0, scale=9)}).verdict == "inconclusive"


@pytest.mark.parametrize("up, verdict", [(1, "replicated"), (-1, "contradicted"), (0, "null")])
def test_a_descriptive_part_does_not_count(up, verdict):
    decision = decide(both(SEEN, UP), {"seen": around(0), "up": around(up)})
    assert decision.verdict == verdict
    assert decision.deciding.name == "up"
    assert decide(both(SEEN, {**SEEN, "name": "too"}), {"seen": [1.0], "too": [2.0]}).verdict == "descriptive"


def test_the_deciding_part_is_the_contradicted_one_and_the_reason_names_it():
    decision = decide(both(UP, NEAR), {"up": around(0), "near": around(2)})
    assert decision.verdict == "contradicted"
    assert decision.deciding.name == "near"
    assert "near contradicted: 95% CI [1.804, 2.196]" in decision.reason
    assert "in [0.8, 1.25] pp" in decision.reason


@pytest.mark.parametrize("values", [around(1), around(-1), around(0)])
def test_a_failed_adequacy_check_makes_everything_inconclusive(values):
    adequacy = {"fits_the_data": np.bool_(False), "loss_plateau": True, "halves_agree": False}
    decision = decide(leaf("greater", than=0), values, adequacy)
    assert (decision.verdict, decision.reason) == ("inconclusive", "setting: fits_the_data, halves_agree")
    assert [part.verdict for part in decision.parts] == ["inconclusive"]


def test_passed_adequacy_checks_change_nothing_and_must_be_yes_or_no():
    assert decide(leaf("greater", than=0), around(1), {"loss_plateau": True}).verdict == "replicated"
    with pytest.raises(BadInput, match="loss_plateau"):
        decide(leaf("greater", than=0), around(1), {"loss_plateau": 0.3})


def test_censored_seeds_are_counted_left_out_and_decide_nothing_when_they_are_the_majority():
    few = decide(leaf("greater", than=0), [1.0, 1.1, 0.9, np.nan])
    many = decide(leaf("greater", than=0), [1.0, 1.1, np.nan, np.nan, np.nan])
    none = decide(leaf("interval", low=0, high=1), [np.nan, np.nan])
    assert (few.verdict, few.parts[0].n, few.parts[0].censored) == ("replicated", 3, 1)
    assert few.parts[0].estimate == pytest.approx(1.0)
    assert (many.verdict, many.parts[0].censored) == ("inconclusive", 3)
    assert many.reason.startswith("3 of 5 seeds censored")
    assert (none.verdict, none.parts[0].p) == ("inconclusive", None)


@pytest.mark.parametrize("check, successes, verdict", [
    (leaf("greater", than=0.5), 90, "replicated"),
    (leaf("greater", than=0.5), 10, "contradicted"),
    (leaf("equivalence", delta=0.2, centre=0.5), 50, "replicated"),
    (leaf("equivalence", delta=0.05, centre=0.5), 50, "inconclusive"),
])  # fmt: skip
def test_an_interval_by_another_method_decides_as_it_stands(check, successes, verdict):
    part = decide(check, wilson(successes, 100)).parts[0]
    assert (part.verdict, part.method, part.n, part.p) == (verdict, "wilson", 100, None)


def test_only_95_percent_intervals_decide():
    with pytest.raises(BadInput, match="95%"):
        decide(leaf("greater", than=0), mean_interval(around(1), level=0.9))
    with pytest.raises(BadInput, match="95%"):
        decide(leaf("greater", than=0), Interval(np.nan, 0.0, 1.0, 0.95, "mc", 5))


@pytest.mark.parametrize("check, scale, label", [
    (leaf("equivalence", delta=0.3), 1, False),
    (leaf("equivalence", delta=0.16), 1, True),  # replicated, with luck
    (leaf("equivalence", delta=0.3), 9, True),
    (leaf("greater", than=0, delta=0.16), 1, True),
    (leaf("greater", than=0, delta=0.5), 1, False),
    (leaf("greater", than=0), 9, False),  # no equivalence asked for
    (leaf("interval", low=-1, high=1), 9, False),
])  # fmt: skip
def test_equivalence_and_null_with_under_80_percent_power_are_labelled(check, scale, label):
    assert decide(check, around(0, scale)).parts[0].underpowered is label


def test_a_clear_direction_is_not_labelled_underpowered():
    for values in (around(1), around(-1)):
        assert not decide(leaf("greater", than=0, delta=0.01), values).parts[0].underpowered


def test_p_is_of_the_claim_as_the_alternative():
    values = around(0.3)
    above = decide(leaf("greater", than=0.1), values).parts[0]
    assert (above.p, above.p_t) == (sign_flip_p(values - 0.1), t_test_p(values, 0.1))
    within = decide(leaf("equivalence", delta=0.5), values).parts[0]
    assert within.p == max(sign_flip_p(values + 0.5, "greater"), sign_flip_p(values - 0.5, "less"))
    assert within.p_t == max(t_test_p(values, -0.5, "greater"), t_test_p(values, 0.5, "less"))
    open_question = decide(leaf("two_sided"), values).parts[0]
    assert open_question.p == sign_flip_p(values, "two-sided")
    assert decide(leaf("descriptive"), values).parts[0].p is None


def test_the_p_of_a_conjunction_is_the_largest_of_its_parts():
    decision = decide(both(UP, NEAR, SEEN), {"up": around(1), "near": around(1), "seen": [0.0]})
    assert decision.p == max(part.p for part in decision.parts[:2])


def test_beyond_twenty_seeds_the_t_test_remains():
    part = decide(leaf("greater", than=0), np.linspace(0.5, 1.5, 25)).parts[0]
    assert part.p is None
    assert part.p_t < 1e-6


def test_the_90_percent_interval_is_kept_where_it_decides():
    expected = mean_interval(around(0), 0.9)
    for check in (leaf("equivalence", delta=1), leaf("less", than=0, delta=1)):
        assert decide(check, around(0)).parts[0].ci90 == (expected.low, expected.high)
    assert decide(leaf("less", than=0), around(0)).parts[0].ci90 is None


@pytest.mark.parametrize("evidence, named", [
    ({"up": [1.0]}, "near"),
    ({"up": [1.0], "near": [1.0], "far": [1.0]}, "far"),
    ([1.0, 2.0], "near"),
    ({"up": [1.0], "near": [np.inf]}, r"near\[0\]"),
    ({"up": [1.0], "near": []}, "near"),
    ({"up": [1.0], "near": [[1.0]]}, "near"),
])  # fmt: skip
def test_evidence_must_have_the_names_and_shapes_of_the_check(evidence, named):
    with pytest.raises(BadInput, match=named):
        decide(both(UP, NEAR), evidence)


# --- claims/ --------------------------------------------------------------------------------------

ENTRY = {
    "id": "DD-1", "study": "01_double_descent", "statement": "It peaks.", "source": "S1", "prior": "R",
    "check": {"kind": "greater", "than": 0, **LEAF},
}  # fmt: skip

DESCENT = """
study: 01_double_descent
title: Double descent
question: "Why: does it fall again?"
defaults:
  prior: P
  not_run: {paper: "needs a GPU", mnist: "needs a day"}
claims:
- id: DD-1
  primary: true
  statement: "Test risk peaks at the threshold."
  source: "S1; Belkin et al. 2019"
  reported: "peak at N = n"
  evidence: V25
  prior: R
  errata: [E4]
  figure: dd_rff
  check:
    kind: conjunction
    parts:
      - {name: near, kind: interval, statistic: n_peak_over_n, low: 0.8, high: 1.25, unit: ratio}
      - {name: left, kind: greater, statistic: height_left, than: 0, unit: pp}
  profiles:
    paper: {check: {kind: less, statistic: gap, than: -1.5, delta: 0.3, unit: log2}}
  not_run: {mnist: "needs an hour", paper: null}
- id: DD-2
  statement: "It falls again."
  source: S1
  check: {kind: greater, statistic: fall, than: 0, unit: pp}
"""
BLUR = """
study: 06_mislabel_blurring
title: Blur
question: Who knows?
claims:
- {id: BLUR-15, statement: "Who knows.", source: S3, prior: X, untestable: true}
"""


@pytest.fixture
def folder(tmp_path):
    """A folder claims/ of two studies."""
    (tmp_path / "claims").mkdir()
    for text in (BLUR, DESCENT):
        (tmp_path / "claims" / f"{text.split()[1]}.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "claims"


@pytest.fixture
def ledger(folder):
    return load_claims(folder)


def test_claims_are_read_as_they_are_written(ledger):
    claim = ledger["DD-1"]
    assert list(ledger) == ["DD-1", "DD-2", "BLUR-15"]
    assert [each.study for each in ledger.values()] == ["01_double_descent"] * 2 + ["06_mislabel_blurring"]
    assert (claim.primary, claim.errata, claim.evidence, claim.figure) == (True, ("E4",), "V25", "dd_rff")
    near, left = claim.check_for("laptop").parts
    assert (near.region, near.statistic, near.unit) == ((0.8, 1.25), "n_peak_over_n", "ratio")
    assert (left.region, left.threshold) == ((0.0, np.inf), "> 0 pp")


def test_a_claim_has_the_defaults_of_its_file_where_it_says_nothing_itself(ledger):
    first, second = ledger["DD-1"], ledger["DD-2"]
    assert (first.prior, first.not_run) == ("R", {"mnist": "needs an hour"})
    assert (second.prior, second.not_run) == ("P", {"paper": "needs a GPU", "mnist": "needs a day"})
    assert second.check.parts[0].name == second.check.parts[0].statistic == "fall"


def test_a_study_has_its_title_and_question_from_its_file(folder):
    assert load_studies(folder) == {
        "01_double_descent": StudyInfo("Double descent", "Why: does it fall again?"),
        "06_mislabel_blurring": StudyInfo("Blur", "Who knows?"),
    }


def test_a_study_may_name_its_lead_and_its_gates_and_a_part_say_what_it_measures(folder):
    path = folder / "01_double_descent.yaml"
    text = path.read_text("utf-8").replace(
        "title: Double", 'lead: dd_rff\ngates: {fits: "some did not fit"}\ntitle: Double'
    )
    path.write_text(text.replace("statistic: fall,", 'statistic: fall, says: "how far it\n    falls",'), "utf-8")
    about = load_studies(folder)["01_double_descent"]
    assert (about.lead, about.gates, about.fresh) == ("dd_rff", {"fits": "some did not fit"}, 10)
    near, fall = (load_claims(folder)[id].check.parts[0] for id in ("DD-1", "DD-2"))
    assert (near.says, fall.says) == ("", "how far it falls")


@pytest.mark.parametrize("old, new, message", [
    ("title: Blur", "title: Blur\nlead: Figure 1", "lead of 06_mislabel_blurring.yaml"),
    ("title: Blur", "title: Blur\nfresh: 9", "fresh in 06_mislabel_blurring.yaml"),
    ("title: Blur", "title: Blur\nfresh: 12.5", "fresh in 06_mislabel_blurring.yaml"),
    ("title: Blur", "title: Blur\ngates: fits", "gates in 06_mislabel_blurring.yaml"),
    ("title: Blur", "title: Blur\ngates: {fits: ' '}", "fits of gates in 06_mislabel_blurring.yaml"),
    ("title: Blur", "title: Blur\ngates: {it fits: x}", "name of a gate in gates in 06_mislabel_blurring.yaml"),
    ("untestable: true", "check: {kind: descriptive, statistic: s, unit: pp, says: ''}", "says of claim number 1"),
])  # fmt: skip
def test_words_for_the_pages_are_refused_where_they_are_none(folder, old, new, message):
    (folder / "06_mislabel_blurring.yaml").write_text(BLUR.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        load_claims(folder)


def test_a_profile_may_have_a_check_of_its_own(ledger):
    check = ledger["DD-1"].check_for("paper")
    assert (check.kind, check.parts[0].name, check.parts[0].threshold) == ("less", "gap", "< -1.5")
    assert check.parts[0].null_region == (-1.8, -1.2)
    assert ledger["DD-1"].check_for("mnist").kind == "conjunction"
    with pytest.raises(BadInput, match="huge"):
        ledger["DD-1"].check_for("huge")


def test_the_folder_of_the_project_is_read_where_none_is_given(folder, monkeypatch):
    monkeypatch.setenv("REDLIB_HOME", str(folder.parent))
    assert (len(load_claims()), len(load_studies())) == (3, 2)


def test_an_unknown_id_is_answered_with_the_closest_known_ones(ledger):
    with pytest.raises(BadInput, match="DD-11.*'DD-1'"):
        ledger["DD-11"]


def test_an_untestable_claim_has_no_check_but_can_be_recorded_as_not_run(ledger):
    with pytest.raises(BadInput, match="BLUR-15"):
        claims.check(ledger["BLUR-15"], "laptop", Finding("BLUR-15", [1.0]))
    assert claims.not_run(ledger["BLUR-15"], "laptop", "untestable").verdict == "not_run"


@pytest.mark.parametrize("change", [
    {"id": "DD1"},
    {"study": "double descent"},
    {"statement": " "},
    {"prior": "maybe"},
    {"primary": "yes"},
    {"errata": "E4"},
    {"figure": 7},
    {"colour": "red"},
    {"untestable": True},  # and a check
    {"check": "the error should peak"},
    {"profiles": {"huge": {"check": ENTRY["check"]}}},
    {"profiles": {"paper": ENTRY["check"]}},
    {"not_run": {"huge": "no"}},
    {"not_run": "no GPU"},
])  # fmt: skip
def test_a_claim_that_is_not_as_agreed_is_refused(change):
    assert parse_claim(ENTRY).id == "DD-1"
    with pytest.raises(BadInput):
        parse_claim({**ENTRY, **change})


@pytest.mark.parametrize("missing", ["id", "study", "statement", "source", "prior", "check"])
def test_a_claim_without_a_required_field_is_refused(missing):
    with pytest.raises(BadInput, match=missing):
        parse_claim({name: value for name, value in ENTRY.items() if name != missing})


@pytest.mark.parametrize("check", [
    "H_L > 0",
    {"kind": "bigger", "than": 0, **LEAF},
    {"kind": "greater", **LEAF},
    {"kind": "greater", "than": "zero", **LEAF},
    {"kind": "greater", "than": "1e-3", **LEAF},
    {"kind": "greater", "than": True, **LEAF},
    {"kind": "greater", "than": float("nan"), **LEAF},
    {"kind": "greater", "than": 0, "delta": 0, **LEAF},
    {"kind": "greater", "than": 0, "claimed": "positive", **LEAF},
    {"kind": "interval", "low": 0, **LEAF},
    {"kind": "interval", "low": 1, "high": 0.9, **LEAF},
    {"kind": "equivalence", **LEAF},
    {"kind": "equivalence", "delta": -1, **LEAF},
    {"kind": "two_sided", "claimed": "up", **LEAF},
    {"kind": "descriptive", "than": 0, **LEAF},
    {"kind": "greater", "than": 0, "statistic": "the rise in error", "unit": "pp"},
    {"kind": "greater", "than": 0, "statistic": "rise", "unit": "percent"},
    {"kind": "greater", "than": 0, "statistic": "rise"},
    {"kind": "conjunction", "parts": "both heights"},
    {"kind": "conjunction", "parts": [{**LEAF, **UP}]},
    {"kind": "conjunction", "parts": [{**LEAF, **UP}, {**LEAF, **UP}]},
    {"kind": "conjunction", "parts": [{**LEAF, **UP}, {"kind": "conjunction", "parts": []}]},
    {"kind": "conjunction", "parts": [{**LEAF, **UP}, {**LEAF, **NEAR}], "than": 0},
])  # fmt: skip
def test_a_check_that_is_not_structured_data_is_refused(check):
    with pytest.raises(BadInput):
        parse_check(check)


@pytest.mark.parametrize("old, new, message", [
    (BLUR, "- {id: BLUR-15}", "06_mislabel_blurring.yaml"),
    (BLUR, "- [", "06_mislabel_blurring.yaml is not valid YAML: line 2"),
    ("prior: X", "prior: R, prior: X", r"name in 06_mislabel_blurring.yaml, line \d+ = 'prior'"),
    ("title: Blur", "title: Blur\ntitle: Blur", "name in 06_mislabel_blurring.yaml, line 4 = 'title'"),
    ("study: 06_mislabel_blurring", "study: 06_blurring", "study in 06_mislabel_blurring.yaml = '06_blurring'"),
    ("title: Blur", "title: ''", "title of 06_mislabel_blurring.yaml"),
    ("question: Who knows?", "", r"06_mislabel_blurring.yaml = .*Missing: \['question'\]"),
    ("question: Who knows?", "question: Who?\ncolour: red", r"06_mislabel_blurring.yaml = .*unknown: \['colour'\]"),
    ("title: Blur", "title: Blur\ndefaults: {id: BLUR-1}", "defaults in 06_mislabel_blurring.yaml"),
    ("title: Blur", "title: Blur\ndefaults: {not_run: no}", "not_run of claim number 1 in 06_mislabel_blurring.yaml"),
    ("claims:\n-", "claims:\n ", "claims in 06_mislabel_blurring.yaml"),
    ("id: BLUR-15,", "id: BLUR-15, study: 06_mislabel_blurring,", "claim number 1 in 06_mislabel_blurring.yaml"),
    ("prior: X", "prior: maybe", r"prior of claim number 1 in 06_mislabel_blurring.yaml \(BLUR-15\)"),
    ("BLUR-15", "DD-2", "06_mislabel_blurring.yaml = 'DD-2'.*01_double_descent.yaml has it, too"),
])  # fmt: skip
def test_a_file_that_is_not_as_agreed_is_refused_by_its_name(folder, old, new, message):
    assert old in BLUR
    (folder / "06_mislabel_blurring.yaml").write_text(BLUR.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        load_claims(folder)


def test_a_folder_without_claims_is_refused(tmp_path):
    for load in (load_claims, load_studies):
        with pytest.raises(BadInput, match="<study>.yaml"):
            load(tmp_path)


# --- records --------------------------------------------------------------------------------------

GOOD = {"left": around(1), "near": around(1)}


def test_a_record_holds_the_evidence_the_numbers_and_where_they_come_from(ledger):
    record = claims.check(
        ledger["DD-1"], "mnist", Finding("DD-1", {"left": around(-1), "near": around(1)}, {"fits": True}),
        seeds=range(5), data_source="digits 8x8", note="n = 300",
    )  # fmt: skip
    line = json.loads(record.as_json())
    assert list(line) == [
        "id", "study", "scale", "profile", "seeds", "statistic", "per_seed", "estimate", "ci95", "p",
        "direction", "threshold", "verdict", "reason", "underpowered", "prior", "data_source",
        "note", "adequacy", "parts",
    ]  # fmt: skip
    assert (line["id"], line["scale"], line["profile"], line["verdict"]) == (
        "DD-1",
        "default",
        "mnist",
        "partly",
    )
    assert (line["statistic"], line["estimate"], line["threshold"]) == ("height_left", -1.0, "> 0 pp")
    assert list(line["per_seed"]) == ["near", "left"]
    assert line["per_seed"]["left"] == [-1.2, -1.1, -1.0, -0.9, -0.8]
    assert (line["seeds"], line["adequacy"], line["prior"]) == ([0, 1, 2, 3, 4], {"fits": True}, "R")
    assert [part["verdict"] for part in line["parts"]] == ["replicated", "contradicted"]


@pytest.mark.parametrize(
    "values, level, word",
    [(around(1), 0, "rises"), (around(-1), 0, "falls"), ([-1.0, 1.0], 0, "keeps"), (around(1), 3, "falls")],
)
def test_a_word_is_chosen_by_the_side_on_which_the_whole_interval_lies(ledger, values, level, word):
    record = claims.check(ledger["DD-1"], "laptop", Finding("DD-1", {"left": values, "near": values}))
    assert record.side("left", "rises", "falls", "keeps", level) == word
    assert claims.not_run(ledger["DD-1"], "paper", "needs a GPU").side("left", "rises", "falls", "keeps") == "keeps"
    with pytest.raises(BadInput, match="left | near"):
        record.side("right", "rises", "falls", "keeps")


@pytest.mark.parametrize("left, near, word", [(1, 1, "does"), (-1, 1, "in part"), (-1, -1, "does not"), (0, 1, "may")])
def test_a_word_is_chosen_by_the_verdict(ledger, left, near, word):
    record = claims.check(ledger["DD-1"], "laptop", Finding("DD-1", {"left": around(left), "near": around(near)}))
    assert record.tells("does", "in part", "does not", "may") == word
    assert claims.not_run(ledger["DD-1"], "paper", "needs a GPU").tells("does", "in part", "does not", "may") == "may"


def test_a_rerun_gives_the_same_bytes_even_where_the_last_bits_differ(ledger):
    first = claims.check(ledger["DD-1"], "laptop", Finding("DD-1", GOOD)).as_json()
    again = {name: values * (1 + 2e-16) for name, values in reversed(GOOD.items())}
    assert claims.check(ledger["DD-1"], "laptop", Finding("DD-1", again)).as_json() == first
    moved = {**GOOD, "left": GOOD["left"] + 1e-8}
    assert claims.check(ledger["DD-1"], "laptop", Finding("DD-1", moved)).as_json() != first


def test_censored_values_and_infinite_limits_are_null_in_json(ledger):
    line = json.loads(claims.check(ledger["DD-1"], "paper", Finding("DD-1", [np.nan, -3.0])).as_json())
    assert line["per_seed"] == {"gap": [None, -3.0]}
    assert (line["estimate"], line["ci95"], line["verdict"]) == (-3.0, [None, None], "inconclusive")


def test_at_smoke_there_is_no_verdict_but_evidence_must_arrive(ledger):
    failed = Finding("DD-1", {"left": [-5.0], "near": [np.nan]}, gate={"fits": False})
    record = claims.check(ledger["DD-1"], "smoke", failed)
    assert record.verdict == "plumbing_ok"
    assert {part["verdict"] for part in record.parts} == {"plumbing_ok"}
    with pytest.raises(BadInput, match="near"):
        claims.check(ledger["DD-1"], "smoke", Finding("DD-1", {"left": [1.0]}))
    with pytest.raises(BadInput, match=r"near\[1\]"):
        claims.check(ledger["DD-1"], "smoke", Finding("DD-1", {"left": [1.0], "near": [1.0, np.inf]}))


def test_every_part_has_one_value_per_seed_or_is_an_interval(ledger):
    with pytest.raises(BadInput, match="left"):
        claims.check(ledger["DD-1"], "laptop", Finding("DD-1", {**GOOD, "left": around(1)[:4]}), seeds=range(5))
    share = Finding("DD-1", {**GOOD, "left": wilson(30, 40)})
    record = claims.check(ledger["DD-1"], "laptop", share, seeds=range(5))
    assert (record.verdict, record.per_seed["left"], record.p) == ("replicated", None, None)


def test_a_finding_on_another_claim_is_refused(ledger):
    with pytest.raises(BadInput, match="'DD-2'.*'DD-1'"):
        claims.check(ledger["DD-1"], "laptop", Finding("DD-2", GOOD))


def test_not_running_a_claim_needs_a_reason(ledger):
    record = claims.not_run(ledger["DD-1"], "paper", "needs a GPU")
    assert (record.verdict, record.reason, record.parts) == ("not_run", "needs a GPU", [])
    assert json.loads(record.as_json())["estimate"] is None
    with pytest.raises(BadInput, match="DD-1"):
        claims.not_run(ledger["DD-1"], "paper", " ")


# --- summaries ------------------------------------------------------------------------------------


def row(name, values, adequacy=None, profile="laptop", **check):
    claim = parse_claim({**ENTRY, "id": name, "primary": name != "DD-9", "check": {**LEAF, **check}})
    record = claims.check(claim, profile, Finding(name, values, adequacy or {}))
    return json.loads(record.as_json()), claim


@pytest.fixture
def summary():
    pairs = [
        row("DD-1", around(1), kind="greater", than=0),
        row("DD-2", around(0.3), kind="greater", than=0),
        row("DD-3", around(0), kind="equivalence", delta=0.5),
        row("DD-4", around(1), kind="descriptive"),
        row("DD-5", around(1), {"fits": False}, kind="greater", than=0),
        row("DD-6", wilson(90, 100), kind="greater", than=0.5),
        row("DD-9", around(-1), kind="greater", than=0),
    ]
    return [line for line, _ in pairs], {claim.id: claim for _, claim in pairs}


def test_verdicts_are_counted_with_zeros(summary):
    assert claims.counts(summary[0]) == {
        "replicated": 4, "partly": 0, "contradicted": 1, "null": 0, "not_seen": 0, "inconclusive": 1, "descriptive": 1,
        "plumbing_ok": 0, "not_run": 0,
    }  # fmt: skip


def test_holm_covers_the_primary_claims_that_have_a_test(summary):
    adjusted = claims.holm_primary(*summary)
    p = {"DD-1": t_test_p(around(1)), "DD-2": t_test_p(around(0.3)), "DD-3": t_test_p(around(0), -0.5)}
    assert list(adjusted) == ["DD-1", "DD-2", "DD-3"]
    assert adjusted["DD-1"] == pytest.approx(3 * p["DD-1"], rel=1e-6)
    assert adjusted["DD-2"] == pytest.approx(p["DD-2"], rel=1e-6)


def test_the_expected_number_of_false_replications_counts_what_was_tested(summary):
    # greater: DD-1, DD-2, DD-6, DD-9; equivalence: DD-3; not the descriptive one, nor the unfit setting
    assert claims.expected_false(summary[0]) == pytest.approx(4 * 0.025 + 0.05)


def test_profiles_are_never_merged(summary):
    other, _ = row("DD-1", around(1), profile="mnist", kind="greater", than=0)
    with pytest.raises(BadInput, match="mnist"):
        claims.counts([*summary[0], other])


def test_the_seeds_of_a_record_begin_where_the_study_says():
    claim = parse_claim({"id": "DD-1", "study": "01_x", "statement": "It rises.", "source": "S1", "prior": "R",
                         "check": {"kind": "greater", **LEAF, "than": 0}})  # fmt: skip
    finding = Finding("DD-1", around(1))
    assert claims.check(claim, "laptop", finding).seeds == [0, 1, 2, 3, 4]
    assert claims.check(claim, "laptop", finding, first=10).seeds == [10, 11, 12, 13, 14]
    assert claims.check(claim, "laptop", finding, first=10, seeds=[3, 1, 4, 5, 9]).seeds == [3, 1, 4, 5, 9]
