"""Survivors per unit against full enumerations of every null, so that "1" and "0" mean what they say."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from redlib.errors import BadInput
from redlib.measures import concentration as conc


def every_mask(out, inputs, kept):
    """All masks [C(out·inputs, kept), out, inputs]."""
    chosen = np.array(list(combinations(range(out * inputs), kept)), dtype=int)
    masks = np.zeros((len(chosen), out * inputs), bool)
    np.put_along_axis(masks, chosen, True, 1)
    return masks.reshape(-1, out, inputs)


def every_mask_with_columns(out, counts):
    """All masks whose inputs have these numbers of survivors."""
    columns = [every_mask(out, 1, k)[:, :, 0] for k in counts]
    return np.array([np.stack(parts, 1) for parts in product(*columns)])


@pytest.fixture
def draw():
    return np.random.default_rng(1000)


def test_survivors_are_counted_per_unit_and_per_input():
    mask = torch.tensor([[[True, True, False], [False, True, False]]])
    incoming, outgoing = conc.survivors(mask, replicates=True)
    assert incoming.tolist() == [[2, 1]] and outgoing.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("axis", ["incoming", "outgoing"])
@pytest.mark.parametrize("kept", [1, 5, 11])
def test_the_variance_ratio_averages_exactly_one_over_all_masks(axis, kept):
    assert conc.variance_ratio(every_mask(3, 4, kept), axis, replicates=True).mean() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("axis", ["incoming", "outgoing"])
def test_stratified_ratios_average_one_over_all_masks_with_these_strata(axis):
    left, right = every_mask(3, 2, 4), every_mask(3, 3, 2)
    masks = np.array([np.concatenate([a, b], 1) for a in left for b in right])
    assert conc.variance_ratio(masks, axis, strata=[7, 7, 3, 3, 3], replicates=True).mean() == pytest.approx(
        1, abs=1e-12
    )
    if axis == "outgoing":  # ignoring that the two groups are kept at other rates inflates the spread
        assert conc.variance_ratio(masks, axis, replicates=True).mean() > 1.2


def test_a_unit_that_keeps_everything_has_the_ratio_worked_out_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[2] = True  # counts 0, 0, 4, 0: mean square deviation 3; 4·1/4·3/4·12/15 = 0.6
    assert conc.variance_ratio(mask) == pytest.approx([5])
    assert conc.variance_ratio(mask, "outgoing").tolist() == [0]
    assert conc.co_survival(mask) == pytest.approx([3])  # P = 1, d = 1/4


@pytest.mark.parametrize("axis", ["incoming", "outgoing"])
def test_excluded_inputs_count_as_if_they_were_not_there(draw, axis):
    mask = draw.random((3, 6, 9)) < 0.4
    border = np.concatenate([mask, np.zeros((3, 6, 5), bool)], 2)
    live = np.arange(14) < 9
    excluded = conc.variance_ratio(border, axis, live, replicates=True)
    np.testing.assert_allclose(excluded, conc.variance_ratio(mask, axis, replicates=True))
    np.testing.assert_allclose(conc.co_survival(border, live, True), conc.co_survival(mask, replicates=True))
    for null in ("uniform", "column"):
        excess = conc.excess_over_null(border, null, live, True)
        np.testing.assert_allclose(excess, conc.excess_over_null(mask, null, replicates=True))
    if axis == "outgoing":  # the silent failure: a dead border looks like concentration
        whole = conc.variance_ratio(border, axis, replicates=True)
        assert (whole > 1.4 * conc.variance_ratio(mask, axis, replicates=True)).all()


def test_every_replicate_may_exclude_other_inputs(draw):
    mask, live = draw.random((4, 6, 9)) < 0.4, draw.random((4, 9)) < 0.7
    for measure in (conc.variance_ratio, conc.co_survival, conc.excess_over_null):
        together = measure(mask, columns=live, replicates=True)
        alone = [measure(m[:, part])[0] for m, part in zip(mask, live, strict=True)]
        np.testing.assert_allclose(together, alone)


def test_co_survival_is_what_a_loop_over_pairs_of_weights_finds(draw):
    mask = draw.random((5, 7)) < 0.5
    pairs = [row[j] for row in mask for i, j in product(range(7), repeat=2) if i != j and row[i]]
    assert conc.co_survival(mask) == pytest.approx([np.mean(pairs) / mask.mean() - 1])


def test_the_expected_co_survival_is_the_mean_over_all_masks_of_the_null():
    masks = every_mask(3, 4, 5)
    uniform = conc.expected_co_survival(masks, "uniform", replicates=True)
    np.testing.assert_allclose(uniform, conc.co_survival(masks, replicates=True).mean())
    np.testing.assert_allclose(uniform, (4 / 11) / (5 / 12) - 1)  # (K-1)/(N-1) over d
    masks = every_mask_with_columns(4, (3, 1, 0, 2, 4))
    np.testing.assert_allclose(
        conc.expected_co_survival(masks, "column", replicates=True), conc.co_survival(masks, replicates=True).mean()
    )
    assert conc.excess_over_null(masks, replicates=True).mean() == pytest.approx(0, abs=1e-12)


def test_popular_inputs_alone_lower_the_spread_that_chance_leaves(draw):
    # Inputs that all units keep spread nothing: the column null is narrower than the uniform one.
    popular = np.array([k in (0, 1) for k in range(10)])
    masks = np.where(popular, True, draw.random((20, 30, 10)) < 0.1)
    column, uniform = (conc.expected_co_survival(masks, null, replicates=True) for null in ("column", "uniform"))
    assert (column < uniform - 0.1).all()


def test_draws_of_the_column_null_scatter_around_their_exact_mean(draw):
    mask = draw.random((2, 30, 60)) < draw.random(60) * 0.6
    null = conc.column_null(mask, [5, 6], 400, replicates=True)
    error = null.std(1) / 400**0.5
    assert (np.abs(null.mean(1) - conc.expected_co_survival(mask, replicates=True)) < 4 * error).all() and (
        error > 0
    ).all()


def test_draws_belong_to_their_seed_and_layer(draw):
    mask = draw.random((2, 8, 10)) < 0.4
    for null in (conc.column_null, conc.margin_null):
        both = null(mask, [5, 6], 6, replicates=True)
        np.testing.assert_array_equal(both[1:], null(mask[1:], [6], 6, replicates=True))
        assert not np.array_equal(both, null(mask, [5, 6], 6, key=1, replicates=True))


def test_column_draws_leave_out_what_is_excluded(draw):
    mask, live = draw.random((1, 8, 10)) < 0.4, np.arange(10) % 3 > 0
    whole = conc.column_null(mask, [5], 6, columns=live, replicates=True)
    np.testing.assert_array_equal(whole, conc.column_null(mask[:, :, live], [5], 6, replicates=True))


def test_trades_keep_every_row_and_column_and_therefore_co_survival(draw):
    mask = draw.random((9, 15)) < draw.random(15)
    table = mask.copy()
    for _ in range(20):
        conc.trade(table, draw)
    assert not np.array_equal(table, mask)
    for before, after in zip(conc.survivors(mask), conc.survivors(table), strict=True):
        np.testing.assert_array_equal(before, after)
    assert conc.co_survival(table) == conc.co_survival(mask)


def test_trades_reach_every_mask_with_these_sums_equally_often(draw):
    table = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)  # an odd number of rows: one sits out
    seen = {}
    for step in range(12_000):
        conc.trade(table, draw)
        if step % 6 == 0:
            seen[table.tobytes()] = seen.get(table.tobytes(), 0) + 1
    assert len(seen) == 12  # 6 pairs for the first row, 2 orders of the rest
    assert chisquare(list(seen.values())).pvalue > 0.001


def test_shared_inputs_is_the_variance_over_pairs_of_units():
    groups = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], bool)  # overlaps 2, 2, 0, 0, 0, 0
    assert conc.shared_inputs(groups) == pytest.approx([8 / 9])
    assert conc.shared_inputs(np.eye(4, dtype=bool)).tolist() == [0]


def test_units_that_read_the_same_inputs_exceed_the_margin_null_and_shuffled_ones_do_not(draw):
    side = np.arange(24) % 2
    grouped = draw.random((24, 24)) < np.where(side[:, None] == side, 0.6, 0.1)
    shuffled = grouped.copy()
    for _ in range(50):
        conc.trade(shuffled, draw)
    both = np.stack([grouped, shuffled])
    null = conc.margin_null(both, [5, 6], 60, replicates=True)
    below = (null < conc.shared_inputs(both, replicates=True)[:, None]).mean(1)
    assert below[0] == 1 and 0.01 < below[1] < 0.99


def test_what_chance_cannot_spread_is_nan():
    full, empty = np.ones((3, 4), bool), np.zeros((3, 4), bool)
    for mask in (full, empty):
        assert np.isnan(conc.variance_ratio(mask)).all() and np.isnan(conc.variance_ratio(mask, "outgoing")).all()
    assert np.isnan(conc.co_survival(empty)).all() and conc.co_survival(full).tolist() == [0]
    assert np.isnan(conc.variance_ratio(full[:1])).all() and np.isnan(conc.shared_inputs(full[:1])).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda m: conc.variance_ratio(m.astype(float)), "mask"),
        (lambda m: conc.variance_ratio(m[0, 0]), "mask"),
        (lambda m: conc.variance_ratio(m), "replicates of a mask"),
        (lambda m: conc.shared_inputs(m), "replicates of a mask"),
        (lambda m: conc.variance_ratio(m, "rows", replicates=True), "axis"),
        (lambda m: conc.variance_ratio(m, columns=[True], replicates=True), "shape of columns"),
        (lambda m: conc.variance_ratio(m, columns=[0, 1, 1, 0], replicates=True), "type of columns"),
        (lambda m: conc.variance_ratio(m, strata=[0, 1], replicates=True), "shape of strata"),
        (lambda m: conc.excess_over_null(m, "margin", replicates=True), "null"),
        (lambda m: conc.column_null(m, [1], 5, replicates=True), "number of seeds"),
        (lambda m: conc.margin_null(m, [1, 2], 0, replicates=True), "draws"),
        (lambda m: conc.margin_null(m, [1, 2], 5, trades=0, replicates=True), "trades"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call(np.ones((2, 3, 4), bool))


def test_a_mask_of_three_dimensions_is_read_as_told(draw):
    kernels = draw.random((6, 5, 3)) < 0.4  # of a Conv1d, whose units have 15 slots each
    flat = kernels.reshape(6, 15)
    for measure in (conc.variance_ratio, conc.co_survival, conc.excess_over_null, conc.shared_inputs):
        assert np.array_equal(measure(kernels, replicates=False), measure(flat))
        assert np.array_equal(measure(kernels[None], replicates=True), measure(flat))
        np.testing.assert_allclose(measure(kernels, replicates=True), [measure(one)[0] for one in kernels])
