"""Every k-th image of each class is mislabelled: which ones is fixed by the order, the wrong labels by the seed."""

import numpy as np
import pytest
import torch

from redlib.data import corrupt_labels
from redlib.data.mislabel import mislabel, mislabel_rows
from redlib.errors import BadInput

CLASSES = 5
LABELS = torch.from_numpy(np.random.default_rng(0).integers(0, CLASSES, 997))


@pytest.mark.parametrize("k", [2, 10, 50, 170])
def test_every_kth_image_of_each_class_is_wrong_and_no_other(k):
    assigned, wrong = mislabel(LABELS, k, CLASSES, 3)
    assert assigned.dtype == torch.int64 and wrong.dtype == torch.bool
    assert torch.equal(assigned != LABELS, wrong)
    for label in range(CLASSES):
        places = wrong[LABELS.eq(label)].nonzero().flatten().tolist()
        size = int(LABELS.eq(label).sum())
        assert places == list(range(k - 1, size, k))
        assert len(places) == size // k >= 1


def test_the_order_of_the_data_alone_says_which_and_the_seed_which_label():
    (first, at), (second, at_too) = mislabel(LABELS, 3, CLASSES, 1), mislabel(LABELS, 3, CLASSES, 2)
    assert torch.equal(at, at_too) and not torch.equal(first, second)
    assert torch.equal(first, mislabel(LABELS, 3, CLASSES, 1)[0])


def test_wrong_labels_are_uniform_over_the_other_classes():
    counts = mislabel(torch.full((24_000,), 2), 2, CLASSES, 6)[0].bincount(minlength=CLASSES)
    assert counts[2] == 12_000
    others = counts[[0, 1, 3, 4]]
    # Binomial(12000, 1/4): standard deviation 47.4
    assert int((others - 3000).abs().max()) < 5 * 47.4


def test_an_image_wrong_at_two_rates_has_the_same_wrong_label_at_both():
    (often, many), (seldom, few) = (mislabel(LABELS, k, CLASSES, 4) for k in (10, 20))
    assert bool(many[few].all()) and int(few.sum()) > 30
    assert torch.equal(often[few], seldom[few])


def test_the_draws_are_not_those_of_other_label_noise():
    zeros = torch.zeros(2000, dtype=torch.int64)
    assigned, wrong = mislabel(zeros, 2, CLASSES, 0)
    agree = (assigned == corrupt_labels(zeros, 1.0, CLASSES, 0)[0])[wrong].double().mean()
    assert 0.15 < agree < 0.35  # a quarter by chance


def test_arrays_are_taken_and_a_class_may_be_absent():
    labels = np.array([3, 1, 3, 1, 1, 3])
    assigned, wrong = mislabel(labels, 3, 4, 0)
    assert wrong.tolist() == [False] * 4 + [True] * 2
    assert labels.tolist() == [3, 1, 3, 1, 1, 3] and assigned[:4].tolist() == [3, 1, 3, 1]


SMALLEST = int(LABELS.bincount().min())


@pytest.mark.parametrize(
    "y, k, classes, what",
    [
        (LABELS, 1, CLASSES, f"2 <= k <= {SMALLEST}"),
        (LABELS, SMALLEST + 1, CLASSES, f"2 <= k <= {SMALLEST}"),
        (LABELS, 10.0, CLASSES, "an integer"),
        (LABELS, 10, 1, "classes >= 2"),
        (LABELS, 10, CLASSES - 1, "0..3"),
        (-LABELS, 10, CLASSES, "0..4"),
        (LABELS.float(), 10, CLASSES, "integer labels"),
        (LABELS[None], 10, CLASSES, "integer labels"),
        (LABELS[:0], 10, CLASSES, "n >= 1"),
    ],
)
def test_bad_input_is_named_with_the_allowed_range(y, k, classes, what):
    with pytest.raises(BadInput, match=what):
        mislabel(y, k, classes, 0)


def test_the_largest_k_is_the_size_of_the_smallest_class():
    assert int(mislabel(LABELS, SMALLEST, CLASSES, 0)[1].sum()) == CLASSES


def test_each_seed_is_told_lies_about_images_of_its_own_whatever_the_other_seeds():
    assigned = mislabel_rows(LABELS, 10, CLASSES, (5, 6))
    wrong = assigned != LABELS
    for own in wrong:
        assert torch.equal(LABELS[own].bincount(), LABELS.bincount() // 10)
    assert 0 < int((wrong[0] & wrong[1]).sum()) < 50, "some in common by chance, of 99"
    assert torch.equal(mislabel_rows(LABELS, 10, CLASSES, (6,))[0], assigned[1])


def test_lies_at_a_lower_rate_are_among_those_at_a_higher_one():
    few, many = (mislabel_rows(LABELS, k, CLASSES, (5,)) for k in (20, 10))
    wrong = few != LABELS
    assert 0 < wrong.sum() < (many != LABELS).sum() and torch.equal(few[wrong], many[wrong])
