"""Comparing two arms of one's own: intervals and p against scipy, power against simulation, verdicts by the rules."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as oracle

from redlib.errors import BadInput
from redlib.evidence import compare
from redlib.evidence.comparison import Comparison

RNG = np.random.default_rng(0)
B = RNG.normal(10.0, 1.0, 8)
NOISE = RNG.normal(0.0, 0.5, 8)
A = B + 0.8 + NOISE - NOISE.mean()


def test_paired_arms_get_the_t_interval_of_their_differences_and_the_exact_p():
    found, told = compare(A, B), oracle.ttest_rel(A, B).confidence_interval()
    assert isinstance(found, Comparison) and found.n == 8
    assert (found.interval.low, found.interval.high) == pytest.approx((told.low, told.high))
    assert found.estimate == found.interval.estimate == pytest.approx(np.mean(A - B))
    exact = oracle.permutation_test(
        (A - B,), np.sum, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert found.p == pytest.approx(exact.pvalue)
    assert found.verdict == "replicated" and "lies in the claimed range, > 0" in found.reason


def test_unpaired_groups_get_welchs_interval():
    groups = A, np.append(B, [7.0, 13.0, 16.0])
    found, told = compare(*groups, paired=False), oracle.ttest_ind(*groups, equal_var=False).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((told.low, told.high))
    assert (found.n, found.p, found.interval.method) == (19, None, "Welch t") and found.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({}, "replicated"),
        ({"claim": "less"}, "contradicted"),
        ({"than": 5.0}, "contradicted"),
        ({"than": 0.8}, "inconclusive"),
        ({"than": 0.8, "delta": 2.0}, "null"),
        ({"claim": "equivalence", "delta": 3.0}, "replicated"),
        ({"claim": "equivalence", "delta": 0.1}, "contradicted"),
        ({"claim": "equivalence", "than": 0.8, "delta": 0.05}, "inconclusive"),
    ],
)
def test_verdicts_follow_the_rules_of_the_studies(options, verdict):
    assert compare(A, B, **options).verdict == verdict


def test_power_is_how_often_new_seeds_of_this_spread_replicate_a_true_claim():
    """Simulated with the observed spread as the true one, by scipy's tests."""
    rng, delta, size = np.random.default_rng(1), 1.2, 6
    shape = rng.normal(size=size)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    noise, other = rng.normal(size=(2, 20_000, size))
    found = oracle.ttest_1samp(noise + delta, 0.0, axis=1, alternative="greater").pvalue < 0.025
    groups = oracle.ttest_ind(noise + delta, other, axis=1, equal_var=False, alternative="greater").pvalue < 0.025
    inside = oracle.ttest_1samp(noise, -delta, axis=1, alternative="greater").pvalue < 0.05
    inside &= oracle.ttest_1samp(noise, delta, axis=1, alternative="less").pvalue < 0.05
    for claim, won in (("greater", found), ("less", found), ("equivalence", inside)):
        assert compare(shape, np.zeros(size), claim=claim, delta=delta).power == pytest.approx(won.mean(), abs=0.015)
    # With equal observed spreads Welch has two degrees of freedom more than its average experiment.
    assert compare(shape, shape, delta=delta, paired=False).power == pytest.approx(groups.mean(), abs=0.03)


def test_without_a_delta_there_is_no_power_but_what_could_be_found():
    found = compare(A, B)
    assert found.power is None
    assert compare(A, B, delta=found.detectable).power == pytest.approx(0.8)
    assert compare(A, B, claim="equivalence", delta=1.0).detectable is None


def test_censored_seeds_equal_values_and_a_single_seed():
    censored = compare([1.0, np.nan, 1.2, 1.1], [0.0] * 4)
    assert censored.n == 3 and "1 of 4 seeds censored" in censored.reason
    assert compare([np.nan, np.nan, 1.0], [0.0] * 3).verdict == "inconclusive"
    assert compare([np.nan], [1.0]).verdict == "inconclusive"
    equal = compare([2.0, 2.0], [1.0, 1.0], delta=0.1)
    assert (equal.verdict, equal.interval.low, equal.power, equal.detectable) == ("replicated", 1.0, 1.0, 0.0)
    for paired in (True, False):
        single = compare([2.0], [1.0], delta=0.1, paired=paired)
        assert (single.verdict, single.power, single.detectable) == ("inconclusive", 0.0, np.inf)


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (([1.0, 2.0], [1.0]), {}, "lengths of a and b = .*paired=False"),
        (([[1.0]], [[1.0]]), {}, "shape of a"),
        (([], []), {}, "shape of a"),
        (([np.inf, 1.0], [1.0, 1.0]), {}, r"a\[0\] = inf"),
        (([1.0, np.nan], [1.0, 1.0]), {"paired": False}, r"a\[1\] = nan"),
        (([1.0, 2.0], [1.0, 1.0]), {"claim": "more"}, "claim = 'more'.*greater"),
        (([1.0, 2.0], [1.0, 1.0]), {"claim": "equivalence"}, "delta = None"),
        (([1.0, 2.0], [1.0, 1.0]), {"delta": 0.0}, "delta = 0.0"),
        (([1.0, 2.0], [1.0, 1.0]), {"than": np.nan}, "than = nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(given, options, told):
    with pytest.raises(BadInput, match=told):
        compare(*given, **options)


def test_the_package_stays_light_until_it_is_asked():
    script = (
        "import sys, redlib.evidence as e; assert 'scipy' not in sys.modules; e.compare; 'scipy' in sys.modules or 1/0"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(ImportError):
        exec("from redlib.evidence import nothing")
