"""The versions of Zhang et al. and Rolnick et al.: exact counts, nothing lost, each seed its own draw."""

import numpy as np
import pytest
import torch

from redlib.data import corruptions as corr
from redlib.data.noise import corrupt_labels
from redlib.errors import BadInput

CLASSES = 5
LABELS = torch.from_numpy(np.random.default_rng(0).integers(0, CLASSES, 997))
IMAGES = torch.arange(40 * 3 * 4 * 5, dtype=torch.float32).view(40, 3, 4, 5)  # every value occurs once


@pytest.mark.parametrize("rate", [0, 0.001, 0.1, 1 / 3, 0.5, 1])
@pytest.mark.parametrize("others", [False, True])
def test_exactly_the_rounded_number_of_labels_is_drawn_anew(rate, others):
    labels, chosen = corr.random_labels(LABELS, rate, CLASSES, 3, others=others)
    assert labels.dtype == torch.int64 and int(chosen.sum()) == round(rate * 997)
    assert torch.equal(labels[~chosen], LABELS[~chosen])
    if others:
        assert bool((labels != LABELS)[chosen].all())


def test_new_labels_are_uniform_over_all_classes_the_true_one_among_them():
    true = torch.zeros(12_000, dtype=torch.int64)
    labels, chosen = corr.random_labels(true, 1.0, CLASSES, 6)
    assert bool(chosen.all())
    # Binomial(12000, 1/5): standard deviation 43.8
    assert int((labels.bincount(minlength=CLASSES) - 2400).abs().max()) < 5 * 43.8


def test_labels_drawn_at_a_low_rate_are_among_those_at_a_high_rate():
    few, few_at = corr.random_labels(LABELS, 0.1, CLASSES, 4)
    many, many_at = corr.random_labels(LABELS, 0.4, CLASSES, 4)
    assert bool(many_at[few_at].all()) and torch.equal(few[few_at], many[few_at])


def test_the_other_classes_are_those_of_corrupt_labels_and_the_same_examples_are_chosen():
    wrong, flipped = corrupt_labels(LABELS, 0.3, CLASSES, 8)
    assert torch.equal(corr.random_labels(LABELS, 0.3, CLASSES, 8, others=True)[0], wrong)
    assert torch.equal(corr.random_labels(LABELS, 0.3, CLASSES, 8)[1], flipped)


def test_one_permutation_moves_the_pixels_of_all_images_alike():
    moved = corr.shuffle_pixels(IMAGES, 2).flatten(2)
    order = corr.pixel_order(20, 2)
    assert order.sort().values.tolist() == list(range(20)) and order.tolist() != list(range(20))
    for i in range(20):
        assert torch.equal(moved[:, :, i], IMAGES.flatten(2)[:, :, order[i]])


def test_the_test_images_get_the_same_one_permutation_and_fresh_own_ones():
    assert torch.equal(corr.shuffle_pixels(IMAGES[:7], 2), corr.shuffle_pixels(IMAGES, 2)[:7])
    assert torch.equal(corr.shuffle_each(IMAGES[:7], 2), corr.shuffle_each(IMAGES, 2)[:7])
    assert not torch.equal(corr.shuffle_each(IMAGES, 2), corr.shuffle_each(IMAGES, 2, part=1))


def test_each_image_keeps_its_pixels_with_their_channels_in_an_order_of_its_own():
    moved = corr.shuffle_each(IMAGES, 5).flatten(2)
    colours = moved - moved[:, :1]  # in IMAGES the channels of a pixel are 20 and 40 above the first
    assert bool((colours == torch.tensor([0.0, 20, 40])[:, None]).all())
    assert torch.equal(moved.flatten(1).sort(1).values, IMAGES.flatten(1))
    orders = {tuple((image[0] - image[0].min()).tolist()) for image in moved}
    assert len(orders) == 40


def test_own_permutations_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    whole = corr.shuffle_each(IMAGES, 5)
    monkeypatch.setattr(corr, "_AT_A_TIME", 3 * 20)
    assert torch.equal(corr.shuffle_each(IMAGES, 5), whole)


def test_every_value_of_a_row_is_a_pixel():
    rows = torch.arange(60).view(3, 20)
    moved = corr.shuffle_each(rows, 1)
    assert moved.dtype == torch.int64 and torch.equal(moved.sort(1).values, rows) and not torch.equal(moved, rows)


def test_gaussian_pixels_have_mean_and_variance_of_the_data():
    x = torch.rand(300, 1, 10, 10, generator=torch.Generator().manual_seed(0)) * 3 + 7
    noise = corr.gaussian_pixels(x, 3)
    assert noise.shape == x.shape and noise.dtype == x.dtype
    spread = float(x.std())
    assert abs(float(noise.mean() - x.mean())) < 5 * spread / 30_000**0.5
    assert abs(float(noise.std()) / spread - 1) < 5 / 60_000**0.5
    beyond = ((noise - x.mean()).abs() > 2 * spread).float().mean()
    assert abs(float(beyond) - 0.0455) < 5 * (0.0455 / 30_000) ** 0.5  # no uniform pixel lies there


def test_gaussian_test_images_are_like_the_training_images():
    train = torch.randn(200, 50, generator=torch.Generator().manual_seed(1)) * 2 + 5
    noise = corr.gaussian_pixels(torch.zeros(100, 50), 3, part=1, like=train)
    assert float(noise.mean()) == pytest.approx(float(train.mean()), abs=5 * 2 / 5000**0.5)
    assert not torch.equal(noise, corr.gaussian_pixels(torch.zeros(100, 50), 3, like=train))


@pytest.mark.parametrize("version", corr.VERSIONS)
def test_a_version_changes_images_or_labels_and_says_which(version):
    y = LABELS[:40]
    told = corr.corrupt(IMAGES, y, CLASSES, version, 1)
    assert torch.equal(told.x, IMAGES) == (version in ("true_labels", "random_labels"))
    assert torch.equal(told.y, y) == (version != "random_labels")
    assert int(told.drawn.sum()) == (0 if version == "true_labels" else 40)
    assert told.balance.before.tolist() == y.bincount(minlength=CLASSES).tolist()
    assert told.balance.after.tolist() == told.y.bincount(minlength=CLASSES).tolist()


@pytest.mark.parametrize("version", corr.VERSIONS[1:])
def test_the_seed_alone_decides(version):
    y = LABELS[:40]
    one, again, other = (corr.corrupt(IMAGES, y, CLASSES, version, seed) for seed in (1, 1, 2))
    assert torch.equal(one.x, again.x) and torch.equal(one.y, again.y)
    assert not (torch.equal(one.x, other.x) and torch.equal(one.y, other.y))


@pytest.mark.parametrize("alpha", [0, 1, 7])
def test_each_clean_example_gets_exactly_so_many_noisy_copies(alpha):
    told = corr.dilute_labels(LABELS, alpha, CLASSES, 2)
    assert told.rows.bincount().tolist() == [1 + alpha] * 997
    assert int((~told.noisy).sum()) == 997
    assert torch.equal(told.y[~told.noisy], LABELS[told.rows[~told.noisy]])
    assert int(told.balance.after.sum()) == 997 * (1 + alpha) == len(told.y)


def test_labels_of_copies_are_uniform_and_those_of_a_smaller_alpha_come_first():
    told = corr.dilute_labels(torch.zeros(1000, dtype=torch.int64), 12, CLASSES, 2)
    counts = told.y[told.noisy].bincount(minlength=CLASSES)
    assert int((counts - 2400).abs().max()) < 5 * 43.8  # as above
    few = corr.dilute_labels(torch.zeros(1000, dtype=torch.int64), 3, CLASSES, 2)
    assert torch.equal(few.y, told.y[:4000]) and torch.equal(few.rows, told.rows[:4000])


def test_the_memory_told_is_that_of_the_gathered_inputs():
    told = corr.dilute_labels(LABELS[:40], 6, CLASSES, 2)
    gathered = IMAGES[told.rows]
    assert told.memory(IMAGES) == gathered.numel() * gathered.element_size()


def test_the_balance_is_told_in_words():
    told = corr.balance(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1]), 3)
    assert told.text() == "class 0: 2 -> 0, class 1: 1 -> 3, class 2: 0 -> 0"
    many = corr.balance(torch.arange(100), torch.zeros(100, dtype=torch.int64), 100)
    assert many.text() == "100 classes of 1..1 -> 0..100 examples"


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: corr.random_labels(LABELS, 1.5, CLASSES, 0), "rate = 1.5"),
        (lambda: corr.random_labels(LABELS, float("nan"), CLASSES, 0), "0 <= rate <= 1"),
        (lambda: corr.random_labels(LABELS[:0], 0.5, CLASSES, 0), "number of labels = 0"),
        (lambda: corr.random_labels(LABELS, 0.5, 4, 0), "0..3"),
        (lambda: corr.random_labels(LABELS.float(), 0.5, CLASSES, 0), "integer labels"),
        (lambda: corr.shuffle_pixels(IMAGES[:0], 0), "shape of x"),
        (lambda: corr.shuffle_each(IMAGES / 0, 0), "NaN or infinity"),
        (lambda: corr.gaussian_pixels(IMAGES * torch.nan, 0), "NaN or infinity"),
        (lambda: corr.gaussian_pixels(IMAGES.long(), 0), "floating-point"),
        (lambda: corr.gaussian_pixels(IMAGES, 0, like=IMAGES / 0), "NaN or infinity"),
        (lambda: corr.shuffle_pixels(IMAGES.numpy(), 0), "a tensor"),
        (lambda: corr.corrupt(IMAGES, LABELS, CLASSES, "gaussian", 0), "shape of x"),
        (lambda: corr.corrupt(IMAGES, LABELS[:40], CLASSES, "gausian", 0), "Did you mean gaussian"),
        (lambda: corr.corrupt(IMAGES, LABELS[:40], CLASSES, "gaussian", 0, rate=0.5), "left out"),
        (lambda: corr.dilute_labels(LABELS, -1, CLASSES, 0), "alpha"),
        (lambda: corr.dilute_labels(LABELS, 1.5, CLASSES, 0), "alpha"),
        (lambda: corr.dilute_labels(LABELS, 1, CLASSES, 0).memory(IMAGES), "number of inputs"),
        (lambda: corr.balance([], LABELS, CLASSES), "number of labels"),
    ],
)
def test_bad_data_raise_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()
