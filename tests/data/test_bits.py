"""Packed strings against the strings themselves, and counts against a counter of texts."""

from collections import Counter

import numpy as np
import pytest
import torch

from redlib.data.bits import checked, distinct, packed, unpacked, words
from redlib.data.streams import rng
from redlib.errors import BadInput


@pytest.mark.parametrize("length", [1, 7, 8, 9, 32, 64, 65, 128])
def test_strings_come_back_and_places_stand_where_they_should(length):
    bits = rng(1000, "noise", length).integers(0, 2, (20, length))
    codes = packed(bits)
    assert codes.shape == (20, -(-length // 8))
    assert np.array_equal(unpacked(codes, length), bits)
    for place in range(length):
        assert np.array_equal(codes[:, place // 8] >> place % 8 & 1, bits[:, place])
        assert np.array_equal(words(codes)[:, place // 64] >> np.uint64(place % 64) & np.uint64(1), bits[:, place])


def test_texts_tensors_and_arrays_are_the_same_strings():
    bits = np.array([[0, 1, 1], [1, 0, 0]])
    for other in (["011", "100"], torch.tensor(bits), bits.astype(bool), bits.astype(float)):
        assert np.array_equal(packed(other), packed(bits))
    assert packed(["011"]).tolist() == [[6]]


@pytest.mark.parametrize("length", [3, 12, 70])
def test_counts_are_those_of_a_counter_whatever_the_order(length):
    source = rng(1000, "noise", 1, length)
    pool = source.integers(0, 2, (7, length))
    bits = pool[source.integers(0, 7, 300)]
    codes, counts = distinct(packed(bits))
    texts = ["".join(map(str, row)) for row in unpacked(codes, length)]
    assert dict(zip(texts, counts.tolist(), strict=True)) == Counter("".join(map(str, row)) for row in bits)
    assert (np.diff(counts) <= 0).all()
    again, same = distinct(packed(source.permutation(bits)))
    assert np.array_equal(again, codes) and np.array_equal(same, counts)


@pytest.mark.parametrize(
    "strings", [[], ["01", "0"], ["02"], np.array([[0, 2]]), np.array([0, 1]), np.zeros((0, 3)), np.array([[np.nan]])]
)
def test_what_is_no_string_of_zeros_and_ones_is_refused(strings):
    with pytest.raises(BadInput):
        packed(strings)


def test_codes_of_another_length_or_kind_are_refused():
    codes = packed(["0101", "1111"])
    assert checked(codes, 4) is codes
    for wrong, length in ((codes, 3), (codes, 9), (codes[0], 4), (codes.astype(int), 4), (codes[:0], 4), (codes, 0)):
        with pytest.raises(BadInput):
            checked(wrong, length)
    with pytest.raises(BadInput):
        distinct(codes[:0])
