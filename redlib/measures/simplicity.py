"""How simple strings are, and how likely: Lempel-Ziv complexity, frequencies of functions, and the bound on them.

Strings are packed as in `redlib.data.bits`. The complexity is that of Dingle, Camargo & Louis 2018, made symmetric:
K(x) = log2(n)·[N_w(x) + N_w(reverse of x)]/2, with N_w the number of words of the exhaustive history of Lempel & Ziv
1976; of a constant string it is log2(n). In simplicity bias, P(x) <= 2^(-aK(x)+b) (Valle-Pérez, Camargo & Louis 2019;
Dingle et al. write the sign of b the other way).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from redlib.data.bits import Codes, checked, distinct, packed, unpacked, words
from redlib.data.numbers import floats, whole
from redlib.errors import BadInput

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
_BLOCK = 4096  # strings at once: their sets of places stay in the cache


def word_counts(codes: Codes, length: int) -> Counts:
    """Return N_w of strings of `length` places, int64 [N]: the words of Lempel & Ziv's (1976) exhaustive history.

    A word ends where what it holds has not stood before, begun at an earlier place (the two may overlap); the last may
    be unfinished. "0001101001000101" has 6, 0·001·10·100·1000·101. BadInput for codes of another length.
    """
    places = words(checked(codes, length))
    blocks = [places[at : at + _BLOCK].T for at in range(0, len(places), _BLOCK)]
    return np.concatenate([_history(np.ascontiguousarray(block), length) for block in blocks])


def complexity(codes: Codes, length: int) -> Floats:
    """Return K of strings of `length` places, float64 [N], in bits; see the module.

    For 128 places: 7 for a constant, 21 for "01"·64, 17.5 for 0^127 1. BadInput for codes of another length, and for
    one place, where K is 0 for all.
    """
    if whole("length", length, 1, "Give the number of places.") == 1:
        raise BadInput.of("length", 1, "length >= 2", "A single place has no complexity to compare.")
    codes = checked(codes, length)
    blocks = [codes[at : at + _BLOCK] for at in range(0, len(codes), _BLOCK)]
    backwards = np.concatenate([packed(unpacked(block, length)[:, ::-1]) for block in blocks])
    both = (word_counts(codes, length) + word_counts(backwards, length)) / 2
    constant = (codes == 0).all(1) | (codes == packed(np.ones((1, length)))).all(1)
    return np.log2(length) * np.where(constant, 1.0, both)


@dataclass(frozen=True)
class Frequencies:
    """Different strings, the most frequent first: codes [F, B], counts [F], complexity [F] (K), of `length` places.

    `samples` is what the counts are shares of; it is more than their sum where strings were left out (`seen`).
    """

    codes: Codes
    counts: Counts
    complexity: Floats
    length: int
    samples: int

    @property
    def log2_probability(self) -> Floats:
        """Binary logarithm of each string's share of the samples [F]."""
        return np.log2(self.counts / self.samples)

    @property
    def ones(self) -> Counts:
        """How many places of each string are 1 [F]."""
        return np.bitwise_count(self.codes).sum(1, dtype=np.int64)

    def seen(self, least: int) -> Frequencies:
        """Return those seen at least so often; BadInput where there are none.

        A string seen once has a frequency of 1/samples however unlikely it is, so rare ones flatten every relation.
        """
        kept = self.counts >= least
        if not kept.any():
            raise BadInput.of("least", least, f"<= {int(self.counts.max())}, the largest count", "Draw more samples.")
        return Frequencies(self.codes[kept], self.counts[kept], self.complexity[kept], self.length, self.samples)

    def frame(self) -> pd.DataFrame:
        """Return a table, a line for each string: count, log2_probability, complexity, ones."""
        columns = ("counts", "log2_probability", "complexity", "ones")
        return pd.DataFrame({name: getattr(self, name) for name in columns}).rename(columns={"counts": "count"})


def frequencies(codes: Codes, length: int) -> Frequencies:
    """Return which strings of `length` places stand among codes [N, B], how often, and how complex each is.

    Complexities are found once for each different string. BadInput for codes of another length.
    """
    different, counts = distinct(checked(codes, length))
    return Frequencies(different, counts, complexity(different, length), length, len(codes))


@dataclass(frozen=True)
class Bound:
    """The line -slope·K + offset, above log2 P: a and b of P <= 2^(-aK+b)."""

    slope: float
    offset: float

    def __call__(self, complexity: ArrayLike) -> Floats:
        """Return the bound on log2 P at each complexity, in the same shape."""
        return self.offset - self.slope * floats(complexity, "complexity")


def bound_of_outputs(complexity: ArrayLike, log2_outputs: float) -> Bound:
    """Return the bound that knows no frequency: a = log2(N_O)/max K and b = 0, the default of Dingle et al. 2018.

    `complexity` [N] are those of strings that can occur, the most complex among them (random strings will do), and
    N_O is the number of possible outputs, 2^length where every function can occur. BadInput unless it is positive.
    """
    largest = float(_curve(complexity, "complexity").max())
    if not (0 < log2_outputs < np.inf and largest > 0):
        raise BadInput.of("log2_outputs and largest complexity", (log2_outputs, largest), "> 0", "Count the outputs.")
    return Bound(log2_outputs / largest, 0.0)


def bound_of_frequencies(complexity: ArrayLike, log2_probability: ArrayLike) -> Bound:
    """Return the bound fitted to frequencies [F]: parallel to a line through the likeliest of each K, above them all.

    The line is of least squares, each different K counting once; it is then lifted until it touches the highest point
    (our rule, no source's). BadInput for unequal shapes, and for a single K, which has no slope.
    """
    k, p = _curve(complexity, "complexity"), _curve(log2_probability, "log2_probability")
    if k.shape != p.shape:
        raise BadInput.of("shapes", (k.shape, p.shape), "the same", "Give a probability for each complexity.")
    levels, group = np.unique(k, return_inverse=True)
    if len(levels) < 2:
        raise BadInput.of("complexity", levels.tolist(), "at least two different values", "Draw more samples.")
    tops = np.full(len(levels), -np.inf)
    np.maximum.at(tops, group, p)
    slope = float(-np.polyfit(levels, tops, 1)[0])
    return Bound(slope, float((tops + slope * levels).max()))


def _curve(values: ArrayLike, what: str) -> Floats:
    found = floats(values, what)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise BadInput.of(what, f"shape {found.shape}", "[F] finite numbers, F > 0", "Leave the others out.")
    return found


def _history(places: NDArray[np.uint64], length: int) -> Counts:
    """Return the number of words of strings [W, N], 64 places to a number.

    All strings are read place by place. `ends` is a set of places: where copies of the present word end that begin
    before it does. One place on, those stay whose next symbol agrees; where none does the word ends.
    """
    ends, counts = np.zeros_like(places), np.zeros(places.shape[1], np.int64)
    within = np.zeros(places.shape[1], np.bool_)
    for place in range(length):
        word, bit = divmod(place, 64)
        other = ((places[word] >> np.uint64(bit)) & np.uint64(1)) - np.uint64(1)  # all ones where the symbol is 0
        _move_up(ends)
        for ours, theirs, before in zip(ends, places, _first(place, len(places)), strict=True):
            np.copyto(ours, before, where=~within)
            ours &= theirs ^ other
        within = (ends[0] if len(ends) == 1 else np.bitwise_or.reduce(ends)) != 0
        counts += ~within
    return counts + within


def _move_up(ends: NDArray[np.uint64]) -> None:
    """Replace each set by that of the next places."""
    for upper, lower in zip(ends[:0:-1], ends[-2::-1], strict=True):
        upper <<= np.uint64(1)
        upper |= lower >> np.uint64(63)
    ends[0] <<= np.uint64(1)


def _first(count: int, size: int) -> NDArray[np.uint64]:
    """Return the set of the first places, `count` of them, in `size` numbers."""
    return np.array([(1 << min(max(count - 64 * w, 0), 64)) - 1 for w in range(size)], np.uint64)
