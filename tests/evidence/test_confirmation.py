"""Two blocks of seeds: what is confirmed, what is fragile, and what must not be compared at all."""

from __future__ import annotations

import json

import pytest

from redlib.errors import BadInput
from redlib.evidence import confirmation
from redlib.evidence.claims import Finding, check, not_run, parse_claim
from redlib.evidence.confirmation import Both, both, compare, standings, together
from redlib.evidence.stats import Interval

UP = [1.9, 2.0, 2.1, 2.05, 1.95]
DOWN = [-value for value in UP]
FLAT = [0.01, -0.02, 0.0, 0.02, -0.01]
WIDE = [-3.0, 4.0, 1.0, -2.0, 3.0]
VALUES = {"replicated": UP, "contradicted": DOWN, "null": FLAT, "inconclusive": WIDE}
RISE = {"kind": "greater", "statistic": "rise", "than": 0, "unit": "pp", "delta": 0.5}
TWO = {"kind": "conjunction", "parts": [RISE | {"name": "left"}, RISE | {"name": "right"}]}
READ = {"kind": "conjunction", "parts": [RISE | {"name": name, "reading": name} for name in ("rewound", "trained")]}
OURS = {"kind": "conjunction", "parts": [RISE, RISE | {"name": "more", "of": "ours", "because": "we want to know"}]}


def claim(rule=RISE, **more):
    return parse_claim({"id": "DD-1", "study": "01_x", "statement": "It rises.", "source": "S1", "prior": "R",
                        "check": rule, **more})  # fmt: skip


def row(values, first=0, rule=RISE, **more):
    """Return a record as it is read from a file."""
    return json.loads(check(claim(rule, **more), "laptop", Finding("DD-1", values), first=first).as_json())


def blocks(values, others, rule=RISE, **more):
    return compare(row(values, 0, rule, **more), row(others, 10, rule, **more))


@pytest.mark.parametrize("verdict", VALUES)
def test_the_values_of_these_tests_have_the_verdicts_that_they_are_named_by(verdict):
    assert row(VALUES[verdict])["verdict"] == verdict


@pytest.mark.parametrize(
    ("verdict", "other", "standing"),
    [
        ("replicated", "replicated", "confirmed"),
        ("contradicted", "contradicted", "confirmed"),
        ("null", "null", "confirmed"),
        ("replicated", "contradicted", "fragile"),
        ("replicated", "null", "fragile"),
        ("null", "contradicted", "fragile"),
        ("inconclusive", "replicated", "undecided"),
        ("inconclusive", "contradicted", "undecided"),
        ("inconclusive", "inconclusive", "undecided"),
    ],
)
def test_alike_is_confirmed_unlike_is_fragile_and_inconclusive_is_neither(verdict, other, standing):
    assert blocks(VALUES[verdict], VALUES[other]) == blocks(VALUES[other], VALUES[verdict]) == standing


def test_what_can_be_and_is_seen_on_one_block_only_is_fragile():
    assert blocks(UP, DOWN, exists=True) == "fragile"
    assert blocks(DOWN, FLAT, exists=True) == "confirmed", "not seen here, twice"


@pytest.mark.parametrize(
    ("first", "second", "standing"),
    [
        ((UP, DOWN), (UP, DOWN), "confirmed"),
        ((UP, DOWN), (UP, FLAT), "confirmed"),  # the same part fails, by another way to fail
        ((UP, DOWN), (DOWN, UP), "fragile"),  # both partly, and each part turned
        ((UP, DOWN), (UP, UP), "fragile"),
        ((UP, DOWN), (UP, WIDE), "undecided"),
    ],
)
def test_partly_is_confirmed_where_the_same_parts_hold_and_fail(first, second, standing):
    first, second = (dict(zip(("left", "right"), values, strict=True)) for values in (first, second))
    assert blocks(first, second, TWO) == standing


@pytest.mark.parametrize(
    ("first", "second", "standing"),
    [
        ((UP, DOWN), (UP, WIDE), "confirmed"),
        ((UP, DOWN), (DOWN, UP), "undecided"),  # replicated twice, but never by one reading
        ((DOWN, DOWN), (FLAT, DOWN), "fragile"),  # contradicted, and no effect in the better reading
    ],
)
def test_a_claim_with_several_readings_is_confirmed_by_one_that_holds_twice(first, second, standing):
    first, second = (dict(zip(("rewound", "trained"), values, strict=True)) for values in (first, second))
    assert blocks(first, second, READ) == standing


def test_parts_of_ours_confirm_nothing_and_break_nothing():
    assert blocks({"rise": UP, "more": UP}, {"rise": UP, "more": DOWN}, OURS) == "confirmed"


def test_another_check_and_seeds_of_both_blocks_are_no_confirmation():
    assert compare(row(UP), row(UP, 10, RISE | {"than": 1})) == "outdated"
    assert compare(row(UP), row(UP, 4)) == "outdated", "seed 4 is in both"
    assert compare(row(UP), row(UP, 5)) == "confirmed"


def test_where_nothing_was_decided_there_is_nothing_to_confirm():
    described = {"kind": "descriptive", "statistic": "rise", "unit": "pp"}
    assert blocks(UP, UP, described) == ""
    absent = json.loads(not_run(claim(), "laptop", "no GPU").as_json())
    assert compare(row(UP), absent) == compare(absent, row(UP)) == ""
    smoke = json.loads(check(claim(), "smoke", Finding("DD-1", UP)).as_json())
    assert compare(smoke, smoke | {"seeds": [10]}) == ""


def test_a_number_that_no_seed_was_drawn_for_confirms_nothing():
    count = Interval(2.0, 1.5, 2.5, 0.95, "wilson", 400)
    assert blocks(count, count) == ""
    assert blocks(count, Interval(2.1, 1.5, 2.6, 0.95, "bootstrap", 5)) == "confirmed"
    assert blocks({"rise": count, "more": UP}, {"rise": count, "more": DOWN}, OURS) == "", "ours has seeds, but no say"
    assert blocks({"left": count, "right": UP}, {"left": count, "right": UP}, TWO) == "confirmed"


def test_a_quoted_count_is_shown_once_and_is_not_exploratory_after_a_confirmation():
    count = Interval(2.0, 1.5, 2.5, 0.95, "wilson", 400)
    first, second = row(count), row(count, 10)
    assert both(first, second) == both(first, second, rewritten=True) == Both(first)


def test_a_rewritten_check_is_judged_on_fresh_seeds_alone():
    seen, fresh = row(UP), row(DOWN, 10)
    assert both(seen, None) == Both(seen)
    assert both(seen, None, rewritten=True) == Both(seen, None, "exploratory")
    assert both(seen, fresh) == Both(seen, fresh, "fragile")
    assert both(seen, fresh, rewritten=True) == Both(fresh, seen, "fresh")
    assert both(seen, row(WIDE, 10), rewritten=True).row["verdict"] == "inconclusive"


def test_a_confirmation_of_another_check_judges_nothing_not_even_a_rewritten_one():
    other = row(DOWN, 10, RISE | {"than": 1})
    assert both(row(UP), other) == both(row(UP), other, rewritten=True) == Both(row(UP), None, "outdated")


def test_a_measurement_is_shown_twice_without_a_word_on_it():
    described = {"kind": "descriptive", "statistic": "rise", "unit": "pp"}
    first, second = row(UP, 0, described), row(DOWN, 10, described)
    assert both(first, second) == both(first, second, rewritten=True) == Both(first, second, "")


def test_all_claims_together_know_which_checks_were_rewritten():
    old, new = claim(), claim(rewritten="It asked for the wrong thing.")
    rows = [row(UP), row(UP) | {"id": "DD-2"}, row(UP) | {"id": "DD-3"}]
    found = together({"DD-1": old, "DD-2": new, "DD-3": new}, rows, [row(UP, 10), row(DOWN, 10) | {"id": "DD-2"}])
    assert {id: one.standing for id, one in found.items()} == {
        "DD-1": "confirmed",
        "DD-2": "fresh",
        "DD-3": "exploratory",
    }
    assert found["DD-2"].row["verdict"] == "contradicted"
    assert standings(found.values()) == {"confirmed": 1, "fresh": 1, "exploratory": 1}


def test_the_block_is_what_the_command_says_and_nothing_else(monkeypatch):
    monkeypatch.delenv(confirmation.VARIABLE, raising=False)
    assert confirmation.block() == "judged"
    monkeypatch.setenv(confirmation.VARIABLE, "confirmation")
    assert confirmation.block() == "confirmation"
    monkeypatch.setenv(confirmation.VARIABLE, "confirm")
    with pytest.raises(BadInput, match=r"REDLIB_BLOCK = 'confirm'.*judged \| confirmation"):
        confirmation.block()


def test_the_inputs_of_a_confirmation_have_a_name_that_no_study_can_have():
    assert confirmation.key("01_x", "judged") == "01_x"
    assert confirmation.key("01_x", "confirmation") == "01_x+confirmation"
