"""UNIT-4 and UNIT-7 to UNIT-11 on numbers whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redlib.evidence.claims import check, load_claims
from redlib.experiments.results import Results
from redlib.studies.redundant_units import claims

WIDTHS, STATES, SEEDS = np.array([8, 32, 128]), ("untrained", "trained"), 6
NOISE = np.linspace(-1e-3, 1e-3, SEEDS)[:, None]  # seeds differ a little, or no interval has a width


def widths(**changes) -> Results:
    """Return a run over widths: each array a function of the width, or a pair of them for untrained and trained."""
    same = {"test_error": 0.1, "train_error": 0.0, "train_loss": 0.01, "update_rank": 4.0, "random_rank": 8.0}
    pairs = {
        "removable": (WIDTHS - 0.5, WIDTHS**0.5 - 0.5), "repeated": (0 * WIDTHS, WIDTHS**0.5 - 0.5), "gini": (0.5, 0.6),
        "effective": (WIDTHS / 2, WIDTHS**0.8), "spare": (0.4, 0.1 + WIDTHS / 1280), "frame": (40.0, 80.0),
        "random_frame": (40.0, 40.0), "matched_frame": (80.0, 80.0), "rank": (8.0, 4.0 * WIDTHS**-0.1),
    }  # fmt: skip
    known = same | pairs | changes
    arrays, axes = {}, {}
    for name, value in known.items():
        both = isinstance(value, tuple)
        rows = [np.broadcast_to(np.asarray(one, float), WIDTHS.shape) for one in (value if both else (value,))]
        found = np.stack(rows, -1) if both else rows[0]
        exact = name in ("train_error", "test_error")
        arrays[name] = np.stack([found * (1 + (0 if exact else step)) for step in NOISE[:, 0]])
        axes[name] = ("seed", "width", "state") if both else ("seed", "width")
    return Results(arrays, axes, {"width": tuple(WIDTHS.tolist()), "state": STATES})


def sparse(**dead) -> Results:
    """Return a run of four rules on nets of 100 units: how many are dead under each."""
    counts = {"sgd": 10.0, "full batch": 5.0, "adam": 10.0, "decay": 12.0} | dead
    values = np.stack([np.array(list(counts.values())) + 10 * step for step in NOISE[:, 0]])
    arrays = {"dead": values, "train_error": 0 * values, "start_dead": np.full(SEEDS, 1.0)}
    axes = {"dead": ("seed", "rule"), "train_error": ("seed", "rule"), "start_dead": ("seed",)}
    return Results(arrays, axes, {"rule": tuple(counts)})


def filters(**angles) -> Results:
    """Return filters whose angles to their centre are all alike, by kind; three clusters are best."""
    kinds = {"trained": 20.0, "untrained": 40.0, "matched": 30.0} | angles
    values = np.stack([np.tile([[a + 100 * step] for a in kinds.values()], (1, 12)) for step in NOISE[:, 0]])
    silhouette = np.tile([0.1, 0.5, 0.2], (SEEDS, 3, 1))
    arrays = {"angles": values, "silhouette": silhouette, "test_error": np.full(SEEDS, 0.1),
              "train_error": np.zeros(SEEDS)}  # fmt: skip
    axes = {"angles": ("seed", "kind", "filter"), "silhouette": ("seed", "kind", "k")}
    axes |= {"test_error": ("seed",), "train_error": ("seed",)}
    return Results(arrays, axes, {"kind": tuple(kinds), "k": (2, 3, 4)})


def judged(finding):
    claim = load_claims()[finding.id]
    named = {part.name: finding.parts[part.statistic] for part in claim.check_for("laptop").parts}
    return check(claim, "laptop", replace(finding, parts=named))


FINDINGS = [
    claims.unit_4(filters()), claims.unit_7(widths()), claims.unit_8(widths()), claims.unit_9(widths(), 16),
    claims.unit_10(widths()), claims.unit_11(sparse(), 100),
]  # fmt: skip


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.id)
def test_claims_have_the_parts_their_checks_ask_for_and_hold_on_numbers_made_so(finding):
    parts = load_claims()[finding.id].check_for("laptop").parts
    assert set(finding.parts) == {part.statistic for part in parts}
    assert all(values.shape == (SEEDS,) for values in finding.parts.values())
    record = judged(finding)
    assert all(record.adequacy.values()) and record.verdict in ("replicated", "descriptive")


def test_powers_of_the_width_are_those_put_in_and_shares_have_one_less():
    found = claims.unit_7(widths()).parts
    assert found["removable_count_slope"] == pytest.approx(0.5, abs=2e-3)
    assert found["removable_slope_minus_untrained"] == pytest.approx(-0.5, abs=2e-3), "of the untrained all can go"
    assert found["removable_share_slope"] == pytest.approx(-0.5, abs=2e-3)
    assert found["repeated_slope_minus_untrained"] == pytest.approx(0.5, abs=2e-3), "counts of 0 have power 0"
    assert claims.unit_10(widths()).parts["effective_units_slope"] == pytest.approx(0.8, abs=2e-3)


def test_frames_and_ranks_are_doublings_over_their_nulls_and_shares_are_of_the_possible():
    frame, rank = claims.unit_8(widths()).parts, claims.unit_9(widths(), 16).parts
    assert frame["log2_frame_over_random"] == pytest.approx(1) and frame["log2_frame_over_matched"] == pytest.approx(0)
    assert rank["log2_rank_of_update"] == pytest.approx(-1)
    assert rank["rank_share_slope_minus_untrained"] == pytest.approx(-0.1, abs=1e-6)
    assert claims.most_rank(widths(), 16).tolist() == [8, 16, 16]


def test_nets_that_do_not_fit_or_learn_fail_their_gates():
    assert claims.unit_7(widths(train_error=np.array([0.1, 0, 0]))).gate == {
        "nets_learn": True, "networks_fit": False,
    }  # fmt: skip
    assert not claims.unit_10(widths(test_error=np.array([0.6, 0.1, 0.1]))).gate["nets_learn"]


def test_filters_that_do_not_beat_their_covariance_are_no_clusters():
    beaten = judged(claims.unit_4(filters(matched=10.0)))
    assert beaten.verdict == "partly" and claims.unit_4(filters()).parts["best_clusters"].tolist() == [3] * SEEDS


def test_dead_units_are_shares_of_the_width():
    found = claims.unit_11(sparse(), 100).parts
    assert {name: round(values.mean(), 3) for name, values in found.items()} == {
        "dead_sgd_minus_full_batch": 0.05, "dead_sgd_minus_untrained": 0.09, "dead_sgd_minus_adam": 0.0,
        "dead_decay_minus_none": 0.02,
    }  # fmt: skip
