"""The table of rewritten checks: old, the same seeds, fresh seeds."""

from redlib.evidence.claims import load_claims
from redlib.report.rewritten import side_by_side, tallies

CLAIMS = load_claims()
REWRITTEN = [id for id, claim in CLAIMS.items() if claim.rewritten][:3]
KEPT = next(id for id, claim in CLAIMS.items() if not claim.rewritten)


def line(verdict, check=None, **more):
    return {"id": "", "verdict": verdict, "check": check, **more}


def row(id, verdict):
    return {"id": id, "verdict": verdict}


def test_rewritten_checks_stand_beside_the_last_verdict_of_the_old_one_and_that_of_fresh_seeds():
    first, second, third = REWRITTEN
    history = {
        first: [line("inconclusive"), line("contradicted"), line("partly", "a1b2"), line("partly", "a1b2", block="x")],
        second: [line("replicated", "a1b2")],  # a claim of its own time: there was no old check
        third: [line("replicated")],  # not judged since it was rewritten
        KEPT: [line("replicated"), line("null", "a1b2")],
    }
    rows = [row(first, "partly"), row(second, "null"), row(third, "replicated"), row(KEPT, "null")]
    found = side_by_side(CLAIMS, rows, [row(first, "replicated")], history)
    assert [(one["claim"].id, one["old"], one["same"], one["fresh"]) for one in found] == [
        (first, "contradicted", "partly", "replicated"), (second, None, "null", None)
    ]  # fmt: skip
    assert tallies(found) == {"old": {"contradicted": 1}, "same": {"partly": 1, "null": 1}, "fresh": {"replicated": 1}}
    assert tallies(side_by_side(CLAIMS, rows, [], history)).keys() == {"old", "same"}
    assert side_by_side(CLAIMS, rows, [], {}) == []
