"""Label noise is exact, nested and never the true label; replicates depend on their own seed alone."""

import numpy as np
import pytest
import torch

from redlib.data import corrupt_labels, corrupt_rows, draw_rows
from redlib.errors import BadInput

CLASSES = 5
LABELS = torch.from_numpy(np.random.default_rng(0).integers(0, CLASSES, 997))


@pytest.mark.parametrize("fraction", [0, 0.001, 0.1, 0.2, 1 / 3, 0.5, 1])
def test_exactly_the_rounded_number_of_labels_is_wrong(fraction):
    noisy, flipped = corrupt_labels(LABELS, fraction, CLASSES, seed=3)
    assert noisy.dtype == torch.int64 and flipped.dtype == torch.bool
    assert int(flipped.sum()) == round(fraction * 997)
    assert torch.equal(noisy != LABELS, flipped)
    assert set(noisy.tolist()) <= set(range(CLASSES))


@pytest.mark.parametrize("per_class", [False, True])
def test_flips_and_wrong_labels_at_a_low_rate_are_among_those_at_a_high_rate(per_class):
    few, few_at = corrupt_labels(LABELS, 0.1, CLASSES, 4, per_class=per_class)
    many, many_at = corrupt_labels(LABELS, 0.2, CLASSES, 4, per_class=per_class)
    assert int(few_at.sum()) < int(many_at.sum())
    assert bool(many_at[few_at].all())
    assert torch.equal(few[few_at], many[few_at])


@pytest.mark.parametrize("fraction", [0.01, 0.15, 0.2, 0.5])
def test_per_class_counts_are_exact_in_every_class(fraction):
    _, flipped = corrupt_labels(LABELS, fraction, CLASSES, 5, per_class=True)
    for label in range(CLASSES):
        members = LABELS.eq(label)
        assert int(flipped[members].sum()) == round(fraction * int(members.sum()))


def test_wrong_labels_are_uniform_over_the_other_classes():
    true = torch.zeros(12_000, dtype=torch.int64)
    noisy, _ = corrupt_labels(true, 1.0, CLASSES, 6)
    counts = noisy.bincount(minlength=CLASSES)
    assert counts[0] == 0
    # Binomial(12000, 1/4): standard deviation 47.4; five of them are passed once in 400,000 seeds
    assert int((counts[1:] - 3000).abs().max()) < 5 * 47.4


def test_the_seed_alone_decides():
    assert torch.equal(corrupt_labels(LABELS, 0.3, CLASSES, 1)[0], corrupt_labels(LABELS, 0.3, CLASSES, 1)[0])
    assert not torch.equal(corrupt_labels(LABELS, 0.3, CLASSES, 1)[1], corrupt_labels(LABELS, 0.3, CLASSES, 2)[1])


def test_arrays_are_taken_and_left_as_they_are():
    labels = np.array([0, 1, 2, 1])
    noisy, flipped = corrupt_labels(labels, 0.5, 3, 0)
    assert labels.tolist() == [0, 1, 2, 1] and int(flipped.sum()) == 2 and noisy.shape == (4,)


@pytest.mark.parametrize(
    "y, fraction, classes, what",
    [
        (LABELS, 1.5, CLASSES, "fraction"),
        (LABELS, -0.1, CLASSES, "fraction"),
        (LABELS, float("nan"), CLASSES, "fraction"),
        (LABELS, 0.1, 1, "classes"),
        (LABELS, 0.1, CLASSES - 1, "0..3"),
        (-LABELS, 0.1, CLASSES, "0..4"),
        (LABELS.float(), 0.1, CLASSES, "integer labels"),
        (LABELS[None], 0.1, CLASSES, "integer labels"),
    ],
)
def test_bad_noise_raises_with_the_allowed_range(y, fraction, classes, what):
    with pytest.raises(BadInput, match=what):
        corrupt_labels(y, fraction, classes, 0)


def test_a_replicate_draws_the_same_rows_and_labels_alone_and_among_others():
    seeds = [11, 7, 3]
    rows = draw_rows(997, 200, seeds)
    labels = corrupt_rows(LABELS, rows, 0.2, CLASSES, seeds)
    assert rows.shape == labels.shape == (3, 200) and rows.dtype == labels.dtype == torch.int64
    for r, seed in enumerate(seeds):
        alone = draw_rows(997, 200, [seed])
        assert torch.equal(alone[0], rows[r])
        assert torch.equal(corrupt_rows(LABELS, alone, 0.2, CLASSES, [seed])[0], labels[r])
    assert len({tuple(row.tolist()) for row in rows}) == 3


def test_rows_repeat_nothing_and_a_smaller_subset_is_the_start_of_a_larger_one():
    rows = draw_rows(997, 500, [0, 1])
    assert all(row.unique().numel() == 500 and set(row.tolist()) <= set(range(997)) for row in rows)
    assert torch.equal(draw_rows(997, 20, [0, 1]), rows[:, :20])


def test_every_replicate_has_the_exact_number_of_wrong_labels_and_none_at_zero():
    rows = draw_rows(997, 205, range(4))
    wrong = corrupt_rows(LABELS, rows, 0.1, CLASSES, range(4)) != LABELS[rows]
    assert wrong.sum(1).tolist() == [20] * 4  # 20.5, half to even
    assert torch.equal(corrupt_rows(LABELS, rows, 0, CLASSES, range(4)), LABELS[rows])


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: draw_rows(10, 11, [0]), "10 .the pool."),
        (lambda: draw_rows(10, 0, [0]), "n = 0"),
        (lambda: draw_rows(10, 5, []), "at least one seed"),
        (lambda: corrupt_rows(LABELS, draw_rows(10, 5, [0]), 0.1, CLASSES, [0, 1]), r"\[2, n\]"),
        (lambda: corrupt_rows(LABELS[:5], torch.tensor([[4, 5]]), 0.1, CLASSES, [0]), "0..4"),
    ],
)
def test_bad_rows_raise_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()
