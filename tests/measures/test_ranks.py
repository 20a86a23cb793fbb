"""Rank correlations and areas against scipy, pairs counted one by one, and orders whose answer is known."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, rankdata, spearmanr

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.ranks import auc, partial_spearman, spearman


@pytest.fixture
def scores():
    """Return three rows of 40 scores with many ties among them."""
    return rng(1000, "eval").integers(0, 12, (3, 40)).astype(float)


def test_spearman_is_that_of_scipy_and_broadcasts(scores):
    found = spearman(scores[:, None], scores)
    expected = [[spearmanr(one, other).statistic for other in scores] for one in scores]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert spearman([1, 2, 3, 9], torch.tensor([0.1, 0.2, 5, 6])) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 1, 0]) == pytest.approx(-1)
    assert np.isnan(spearman([1, 2, 3], [4, 4, 4]))


def test_the_partial_correlation_is_that_of_the_residuals_of_ranks(scores):
    first, second, given = rankdata(scores, axis=1)
    rest = [own - np.polyval(np.polyfit(given, own, 1), given) for own in (first, second)]
    expected = np.corrcoef(*rest)[0, 1]
    assert partial_spearman(*scores) == pytest.approx(expected, abs=1e-12) and abs(expected) > 0.02


def test_what_two_scores_share_through_a_third_is_gone_and_a_copy_of_it_says_nothing():
    source = rng(1001, "eval")
    given = source.standard_normal((400, 50))
    first, second = (given + source.standard_normal((400, 50)) for _ in range(2))
    assert spearman(first, second).mean() > 0.4
    assert abs(partial_spearman(first, second, given).mean()) < 0.05
    assert np.isnan(partial_spearman(first, np.exp(given), given)).all()


def test_auc_counts_pairs_and_halves_of_ties(scores):
    chosen = rng(1002, "eval").random((3, 40)) < 0.3
    for row, ours, found in zip(scores, chosen, auc(scores, chosen), strict=True):
        pairs = row[ours][:, None] - row[~ours]
        assert found == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean(), abs=1e-12)
        assert found == pytest.approx(mannwhitneyu(row[ours], row[~ours]).statistic / pairs.size, abs=1e-12)
    assert auc([1, 2, 3, 4], [False, False, True, True]) == 1 and auc([1, 2, 3], [True, False, False]) == 0
    assert np.isnan(auc([[1, 2], [1, 2]], [[True, True], [False, False]])).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: spearman([1.0], [2.0]), "first = .1,."),
        (lambda: spearman([1, 2], [1, np.nan]), "second"),
        (lambda: spearman([1, 2], [1, 2, 3]), "shapes of scores"),
        (lambda: spearman(np.ones((2, 3)), np.ones((3, 3))), "shapes of scores"),
        (lambda: auc([1, 2], [1, 0]), "chosen = .'int64'"),
        (lambda: auc([1, 2], [True, False, True]), "shapes of scores"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()
