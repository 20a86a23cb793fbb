"""Lempel-Ziv complexity against a naive parse and published values; frequencies and bounds against known ones."""

from collections import Counter

import numpy as np
import pytest

from redlib.data.bits import packed, unpacked
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.simplicity import (
    Bound,
    bound_of_frequencies,
    bound_of_outputs,
    complexity,
    frequencies,
    word_counts,
)


def parsed(text):
    """Return the words of the exhaustive history, as Lempel & Ziv (1976) define it: the slow way."""
    found, at = [], 0
    while at < len(text):
        size = 1
        # A word goes on while it can be copied from what precedes its last symbol.
        while at + size < len(text) and text[at : at + size] in text[: at + size - 1]:
            size += 1
        found.append(text[at : at + size])
        at += size
    return found


def naive(text):
    if len(set(text)) == 1:
        return np.log2(len(text))
    return np.log2(len(text)) * (len(parsed(text)) + len(parsed(text[::-1]))) / 2


def texts(length, count, *key):
    """Return strings of every kind: fair, rare ones, repeated pieces."""
    source = rng(1000, "noise", length, *key)
    kinds = [source.random((count, length)) < p for p in (0.5, 0.1, 0.9)]
    pieces = [np.tile(source.random(k) < 0.5, length)[:length] for k in range(1, 12)]
    bits = np.concatenate([*kinds, pieces]).astype(int)
    return ["".join(map(str, row)) for row in bits]


def test_the_example_of_lempel_and_ziv_has_six_words():
    assert parsed("0001101001000101") == ["0", "001", "10", "100", "1000", "101"]
    assert word_counts(packed(["0001101001000101"]), 16).tolist() == [6]


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0" * 128, 7), ("1" * 128, 7), ("01" * 64, 21), ("0" * 127 + "1", 17.5), ("1" + "0" * 127, 17.5)],
)
def test_known_complexities_of_128_places(text, bits):
    assert complexity(packed([text]), 128).tolist() == [bits]


@pytest.mark.parametrize("length", [2, 5, 8, 31, 32, 63, 64, 65, 100, 128, 129, 200])
def test_words_and_complexity_are_those_of_the_naive_parse(length):
    strings = texts(length, 12)
    codes = packed(strings)
    assert word_counts(codes, length).tolist() == [len(parsed(text)) for text in strings]
    assert complexity(codes, length) == pytest.approx([naive(text) for text in strings], abs=1e-12)


def test_all_strings_of_ten_places():
    strings = [f"{i:010b}" for i in range(2**10)]
    assert word_counts(packed(strings), 10).tolist() == [len(parsed(text)) for text in strings]


def test_more_strings_than_a_block_holds_are_as_if_alone():
    bits = rng(1000, "noise", 9).integers(0, 2, (9000, 32))
    found = complexity(packed(bits), 32)
    assert np.array_equal(found[[0, 4095, 4096, 8999]], complexity(packed(bits[[0, 4095, 4096, 8999]]), 32))


def test_complexity_is_that_of_the_reversed_string_but_not_of_the_words():
    text = "0" * 127 + "1"
    assert word_counts(packed([text, text[::-1]]), 128).tolist() == [2, 3]
    codes, backwards = packed(texts(64, 5, 1)), packed([text[::-1] for text in texts(64, 5, 1)])
    assert np.array_equal(complexity(codes, 64), complexity(backwards, 64))


def test_frequencies_count_and_keep_what_is_seen_often():
    strings = ["0000"] * 5 + ["0101"] * 2 + ["1111"] * 2 + ["0111"]
    found = frequencies(packed(strings), 4)
    shown = ["".join(map(str, row)) for row in unpacked(found.codes, 4)]
    assert dict(zip(shown, found.counts.tolist(), strict=True)) == Counter(strings)
    assert found.complexity == pytest.approx([naive(text) for text in shown])
    assert found.ones.tolist() == [text.count("1") for text in shown]
    assert found.log2_probability[0] == pytest.approx(-1)
    often = found.seen(2)
    assert often.counts.tolist() == [5, 2, 2] and often.samples == 10
    assert often.log2_probability == pytest.approx(np.log2([0.5, 0.2, 0.2]))
    assert often.frame()["count"].tolist() == [5, 2, 2]
    assert list(often.frame()) == ["count", "log2_probability", "complexity", "ones"]
    with pytest.raises(BadInput, match="least"):
        found.seen(6)


def test_the_bound_of_frequencies_is_the_line_they_lie_below():
    k = np.array([1.0, 1.0, 2.0, 2.0, 4.0, 4.0])
    p = 3 - 2 * k - np.array([0, 1, 0, 5, 0, 0.5])
    found = bound_of_frequencies(k, p)
    assert (found.slope, found.offset) == pytest.approx((2, 3))
    dented = bound_of_frequencies([0, 1, 2], [0, -3, -2])  # least squares have slope -1, and 0 is the highest above it
    assert (dented.slope, dented.offset) == pytest.approx((1, 0))
    assert dented([0, 2]).tolist() == pytest.approx([0, -2])


def test_the_bound_of_outputs_reaches_one_of_all_at_the_largest_complexity():
    found = bound_of_outputs([7, 100, 160], 128)
    assert found == Bound(128 / 160, 0.0)
    assert float(found(160)) == -128 and float(found(0)) == 0


def test_what_cannot_be_is_refused():
    codes = packed(["0101"])
    for refused in (
        lambda: complexity(codes, 9),
        lambda: complexity(packed(["0"]), 1),
        lambda: word_counts(codes, 3),
        lambda: frequencies(codes[:0], 4),
        lambda: bound_of_frequencies([1, 2], [1]),
        lambda: bound_of_frequencies([2, 2], [1, 3]),
        lambda: bound_of_frequencies([1, 2], [1, -np.inf]),
        lambda: bound_of_outputs([3], 0),
        lambda: bound_of_outputs([], 128),
    ):
        with pytest.raises(BadInput):
            refused()
