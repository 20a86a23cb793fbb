"""Two arms against SciPy's intervals and permutation test, in every type; and what turning them round must do."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import FEW, OF_NUMPY, SEEDS, arranged

from redlib.evidence import compare

KINDS = st.sampled_from(["float64", "float32", "float16", "int64"])
TURNED = {"greater": "less", "less": "greater", "equivalence": "equivalence"}


def arms(seed, n, m, kind="float64"):
    draw = np.random.default_rng(seed)
    return [np.round(4 * draw.standard_normal(size) + shift).astype(kind) for size, shift in ((n, 1), (m, 0))]


@FEW
@given(SEEDS, st.integers(2, 9), KINDS, OF_NUMPY)
def test_pairs_have_students_interval_and_the_exact_p(seed, n, kind, layout):
    a, b = arms(seed, n, n, kind)
    if layout == "tensor with a gradient":
        a, b = a.astype(np.float64), b.astype(np.float64)
    found = compare(arranged(a, layout), b)
    first, second = a.astype(np.float64), b.astype(np.float64)
    assert found.estimate == pytest.approx((first - second).mean()) and found.n == n
    if np.ptp(first - second):
        expected = scipy.stats.ttest_rel(first, second).confidence_interval(0.95)
        assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    signs = scipy.stats.permutation_test(
        (first, second), lambda one, two: (one - two).sum(), permutation_type="samples", alternative="greater"
    )
    assert found.p == pytest.approx(signs.pvalue)
    for container in (pd.Series, list, torch.tensor):
        assert compare(container(first), container(second)) == compare(first, second)


@FEW
@given(SEEDS, st.integers(2, 9), st.integers(2, 9), KINDS)
def test_groups_have_welchs_interval(seed, n, m, kind):
    a, b = (arm.astype(np.float64) for arm in arms(seed, n, m, kind))
    found = compare(a, b, paired=False)
    assert found.n == n + m and found.p is None
    if np.ptp(a) and np.ptp(b):
        expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


@FEW
@given(SEEDS, st.integers(2, 9), st.sampled_from(sorted(TURNED)), st.booleans(), st.floats(0.1, 3), st.floats(-5, 5))
def test_turned_round_shifted_and_shuffled_arms_come_to_the_same(seed, n, claim, paired, delta, shift):
    a, b = arms(seed, n, n)
    found = compare(a, b, claim=claim, delta=delta, paired=paired)
    turned = compare(b, a, claim=TURNED[claim], delta=delta, paired=paired)
    order = np.random.default_rng(seed).permutation(n)
    moved = compare(a[order] + 8, b[order] + 8, claim=claim, delta=delta, paired=paired)
    raised = compare(a + 2, b, claim=claim, than=2, delta=delta, paired=paired)
    assert found.verdict == turned.verdict == moved.verdict == raised.verdict
    assert (turned.interval.low, turned.interval.high) == pytest.approx((-found.interval.high, -found.interval.low))
    for other in (turned, moved, raised):
        assert other.power == pytest.approx(found.power) and other.detectable == pytest.approx(found.detectable)
    gap = np.full(1, np.nan)
    if paired:  # a censored seed can only take a verdict away
        censored = compare(np.append(a, gap), np.append(b, 0), claim=claim, delta=delta)
        assert censored.n == n and censored.estimate == found.estimate
        assert censored.verdict in (found.verdict, "inconclusive")
