"""XORD points have the labels and contents that a look at every pair finds, and sets have the content they promise."""

import itertools

import numpy as np
import pytest
import torch

from redlib.data.xord import (
    CONTENTS,
    LABELS,
    PATTERNS,
    content_shares,
    contents,
    draw,
    draw_sets,
    every_point,
    labels,
)
from redlib.errors import BadInput


def seen(point):
    return {PATTERNS.index(tuple(int(e) for e in pair)) for pair in point}


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_all_points_are_there_once_with_the_label_that_brute_force_gives(pairs):
    x, y = every_point(pairs)
    flat = {tuple(row) for row in x.flatten(1).int().tolist()}
    assert flat == {*itertools.product((-1, 1), repeat=2 * pairs)} and len(x) == 4**pairs
    for point, label in zip(x.tolist(), y.tolist(), strict=True):
        assert label == (1 if any(first == second for first, second in point) else -1)
    assert (y < 0).sum() == 2**pairs


def test_contents_name_the_patterns_of_each_point():
    x, y = every_point(4)
    codes = contents(x)
    assert all(CONTENTS[code] == seen(point) for point, code in zip(x.tolist(), codes.tolist(), strict=True))
    assert torch.tensor(LABELS)[codes].tolist() == y.tolist()
    assert codes.dtype == torch.int64 and {*codes.tolist()} == {*range(15)}


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_shares_of_contents_are_those_among_all_points(pairs):
    x, y = every_point(pairs)
    counts = torch.bincount(contents(x), minlength=15).double()
    sizes = torch.tensor([float((y == label).sum()) for label in LABELS])
    for positive in (0.0, 0.3, 1.0):
        weight = torch.tensor([positive if label > 0 else 1 - positive for label in LABELS], dtype=torch.float64)
        assert torch.allclose(content_shares(pairs, positive), weight * counts / sizes, rtol=1e-12, atol=0)
    assert content_shares(1000).sum() == pytest.approx(1)  # whole numbers of 600 digits


def test_uniform_points_are_uniform_within_their_class():
    x, y = draw(1000, 30000, 2, 0.5)
    codes = contents(x)
    # Point by point: 12 positive ones and 4 negative ones, 15000 of each class.
    names = (x.flatten(1) > 0).int() @ torch.tensor([8, 4, 2, 1], dtype=torch.int32)
    for sign, kinds in ((1, 12), (-1, 4)):
        counts = torch.bincount(names[y == sign], minlength=16)
        counts, expected = counts[counts > 0].double(), 15000 / kinds
        assert len(counts) == kinds
        assert float(((counts - expected) ** 2 / expected).sum()) < 2.5 * kinds + 10  # chi-squared of kinds - 1
    assert torch.equal(y, labels(x)) and torch.equal(torch.tensor(LABELS)[codes].float(), y)


@pytest.mark.parametrize("positive", [0.0, 0.25, 1.0])
def test_classes_have_their_share_exactly_or_on_average(positive):
    y = draw(1001, 400, 6, positive)[1]
    assert (y > 0).sum() == 400 * positive
    loose = draw(1001, 400, 6, positive, exact=False)[1]
    assert abs(float((loose > 0).float().mean()) - positive) <= 4 * np.sqrt(positive * (1 - positive) / 400)
    if 0 < positive < 1:
        assert (loose > 0).sum() != 100 or (draw(1002, 400, 6, positive, exact=False)[1] > 0).sum() != 100


@pytest.mark.parametrize("diverse", [True, False])
def test_diverse_points_contain_all_their_class_may_and_others_do_not(diverse):
    x, y = draw(1000, 60, 6, diverse=diverse)
    full = {1: {0, 1, 2, 3}, -1: {2, 3}}
    assert all((seen(point) == full[sign]) is diverse for point, sign in zip(x.tolist(), y.int().tolist(), strict=True))
    assert torch.equal(y, labels(x)) and (y > 0).sum() == 30


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_missing_pattern_is_missing_in_its_class_alone(pattern):
    x, y = draw(1000, 80, 6, lacks=[pattern])
    place = PATTERNS.index(pattern)
    inside = {sign: set().union(*(seen(point) for point in x[y == sign].tolist())) for sign in (1, -1)}
    own = 1 if place < 2 else -1
    assert inside[own] == ({0, 1, 2, 3} if own > 0 else {2, 3}) - {place}
    assert inside[-own] == ({0, 1, 2, 3} if own < 0 else {2, 3})
    assert torch.equal(y, labels(x))


def test_a_seed_gives_its_own_points_whatever_the_company():
    x, y = draw_sets([1000, 1001], 20, 5, diverse=True)
    alone = draw(1001, 20, 5, diverse=True)
    assert torch.equal(x[1], alone[0]) and torch.equal(y[1], alone[1]) and x.shape == (2, 20, 5, 2)
    assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize(("arguments", "named"), [
    ({"n": 0}, "n = 0"), ({"pairs": 0}, "pairs = 0"), ({"positive": 1.5}, "positive = 1.5"),
    ({"positive": float("nan")}, "positive = nan"), ({"lacks": [(1, 2)]}, "lacks = "), ({"n": 2.5}, "n = 2.5"),
    ({"pairs": 3, "diverse": True}, "share of points with this content = 0"),
    ({"lacks": [(1, 1), (-1, -1)]}, "keep out at most one pattern"),
    ({"lacks": [(1, -1), (-1, 1)]}, "keep out at most one pattern"),
    ({"lacks": [(1, 1)], "diverse": True}, "share of points"), ({"pairs": 60, "diverse": False}, "share of points"),
])  # fmt: skip
def test_sets_that_cannot_be_are_refused(arguments, named):
    with pytest.raises(BadInput, match=named):
        draw(**({"seed": 1000, "n": 10, "pairs": 6} | arguments))


def test_a_class_without_points_needs_none():
    assert (draw(1000, 10, 3, 0.0, diverse=True)[1] < 0).all()  # three pairs hold both unequal patterns, not four


def test_what_is_no_point_is_refused():
    with pytest.raises(BadInput, match="shape of x"):
        labels(torch.ones(4, 3))
    with pytest.raises(BadInput, match="1 and -1"):
        contents(torch.zeros(4, 3, 2))
    with pytest.raises(BadInput, match="1 and -1"):
        labels(torch.ones(4, 3, 2) > 0)
    with pytest.raises(BadInput, match="pairs = 11"):
        every_point(11)
    with pytest.raises(BadInput, match="seeds"):
        draw_sets([], 5, 3)
