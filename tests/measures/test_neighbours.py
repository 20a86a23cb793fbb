"""Neighbours against brute force, and overlaps whose values are known."""

import pytest
import torch

from redlib.errors import BadInput
from redlib.measures import neighbours
from redlib.measures.neighbours import nearest_neighbours, neighbourhood_overlap, same_class_fraction


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(1000)


def normal(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def blobs(draw, classes=4, each=40, spread=0.01):
    labels = torch.arange(classes * each) % classes
    return 10 * torch.eye(classes).double()[labels] + spread * normal(draw, classes * each, classes), labels


@pytest.mark.parametrize("block", [1, 150, 10**6])
def test_neighbours_are_those_of_brute_force(draw, monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)  # one row at a time, a few, all
    features = normal(draw, 2, 47, 6) + 1e4
    distances = (features[:, :, None] - features[:, None]).square().sum(-1)
    expected = distances.argsort(2)[:, :, 1:8]  # the nearest is the example itself
    torch.testing.assert_close(nearest_neighbours(features, 7), expected)


def test_an_example_is_not_its_own_neighbour_even_among_duplicates(draw):
    features = normal(draw, 6, 3).repeat(5, 1)  # row i lies where i + 6, i + 12, ... lie
    near = nearest_neighbours(features, 4)[0]
    assert not (near == torch.arange(30)[:, None]).any()
    assert (near % 6 == (torch.arange(30) % 6)[:, None]).all()


def test_separated_blobs_have_only_neighbours_of_their_class(draw):
    features, labels = blobs(draw)
    near = nearest_neighbours(features, 30)
    assert same_class_fraction(near, labels).tolist() == [1]
    assert same_class_fraction(nearest_neighbours(features, 39), labels).tolist() == [1]  # all others of the class
    beyond = same_class_fraction(nearest_neighbours(features, 50), labels)
    assert beyond == pytest.approx([39 / 50])  # a class has no more


def test_shuffled_labels_have_the_fraction_of_chance(draw):
    features, labels = blobs(draw, each=100)
    near = nearest_neighbours(features, 5).expand(200, -1, -1)
    shuffled = torch.stack([labels[torch.randperm(400, generator=draw)] for _ in range(200)])
    fractions = same_class_fraction(near, shuffled)
    error = float(fractions.std()) / 200**0.5
    assert float(fractions.mean()) == pytest.approx(99 / 399, abs=4 * error) and error < 0.005


def test_five_of_thirty_neighbours_are_the_five_nearest(draw):
    features, labels = normal(draw, 3, 60, 4), torch.arange(60) % 3
    near, five = nearest_neighbours(features, 30), nearest_neighbours(features, 5)
    torch.testing.assert_close(near[..., :5], five)
    torch.testing.assert_close(same_class_fraction(near[..., :5], labels), same_class_fraction(five, labels))


def test_fractions_by_hand():
    features = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    near = nearest_neighbours(features, 2)
    assert near.tolist() == [[[1, 2], [0, 2], [1, 0], [2, 1]]]
    assert same_class_fraction(near, torch.tensor([0, 0, 1, 1])) == pytest.approx([(0.5 + 0.5 + 0 + 0.5) / 4])


def test_overlap_is_one_with_itself_whatever_turns_or_scales_it(draw):
    features = normal(draw, 80, 5)
    turned = -3 * features @ torch.linalg.qr(normal(draw, 5, 5)).Q + 2
    near = nearest_neighbours(features, 9)
    assert neighbourhood_overlap(near, near).tolist() == [1]
    assert neighbourhood_overlap(near, nearest_neighbours(turned, 9)).tolist() == [1]


def test_overlap_counts_shared_neighbours_in_any_order():
    first, second = torch.tensor([[[1, 2], [2, 0], [1, 3], [0, 1]]]), torch.tensor([[[2, 1], [3, 2], [0, 3], [2, 1]]])
    assert neighbourhood_overlap(first, second).tolist() == [(1 + 0.5 + 0.5 + 0.5) / 4]


def test_unrelated_layers_overlap_as_chance_has_it(draw):
    first, second = normal(draw, 60, 50, 10), normal(draw, 60, 50, 10)
    overlaps = neighbourhood_overlap(nearest_neighbours(first, 7), nearest_neighbours(second, 7))
    error = float(overlaps.std()) / 60**0.5
    assert float(overlaps.mean()) == pytest.approx(7 / 49, abs=4 * error) and error < 0.005


def test_replicates_are_measured_one_by_one(draw):
    features, labels = normal(draw, 3, 50, 4), torch.randint(3, (3, 50), generator=draw)
    near = nearest_neighbours(features, 5)
    alone = [nearest_neighbours(x, 5) for x in features]
    assert torch.equal(near, torch.cat(alone))
    fractions = [same_class_fraction(a, y) for a, y in zip(alone, labels, strict=True)]
    torch.testing.assert_close(same_class_fraction(near, labels), torch.cat(fractions))
    overlaps = [neighbourhood_overlap(a, alone[0]) for a in alone]
    torch.testing.assert_close(neighbourhood_overlap(near, near[:1].expand(3, -1, -1)), torch.cat(overlaps))


@pytest.mark.parametrize(("offset", "spread", "dtype"), [(1, 1e-4, torch.float32), (1e6, 1e-3, torch.float64)])
def test_collapsed_features_keep_the_order_that_they_have(draw, offset, spread, dtype):
    features = (offset + spread * normal(draw, 60, 3)).to(dtype)  # ‖x‖² + ‖y‖² - 2x·y has no digit of this left
    distances = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(nearest_neighbours(features, 5)[0], distances.argsort(1)[:, 1:6])


NEAR = torch.zeros(2, 4, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: nearest_neighbours(torch.ones(4, 2), 4), "k = 4"),
        (lambda: nearest_neighbours(torch.ones(4, 2), 0), "k = 0"),
        (lambda: nearest_neighbours(torch.ones(4), 1), "features"),
        (lambda: nearest_neighbours(torch.full((4, 2), torch.inf), 1), "nan or inf"),
        (lambda: same_class_fraction(torch.ones(2, 4, 3), torch.zeros(4).long()), "neighbours"),
        (lambda: same_class_fraction(NEAR, torch.zeros(4)), "labels"),
        (lambda: same_class_fraction(NEAR, torch.zeros(3, 4).long()), "labels"),
        (lambda: neighbourhood_overlap(NEAR, NEAR[:, :, :2]), "shapes of neighbours"),
        (lambda: neighbourhood_overlap(NEAR[0], NEAR[0]), "neighbours"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()
