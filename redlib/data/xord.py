"""The XORD problem: does any of d pairs of signs have two equal entries (Brutzkus & Globerson 2019)?

A point x [d, 2] is a row of d pairs of ±1; its label is 1 where some pair is (1, 1) or (-1, -1), else -1. Order and
number of the pairs do not matter to the label, nor to a net that takes maxima over pairs: all that counts is which of
the four patterns a point contains. There are 15 such contents, and shares of points are exact sums over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import strided, whole
from redlib.data.streams import rng
from redlib.errors import BadInput

PATTERNS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
"""The pairs there are, in the order that all results keep; the first two make a point positive."""
EQUAL, UNEQUAL = (0, 1), (2, 3)  # places in PATTERNS
CONTENTS = tuple(frozenset(p for p in range(4) if (code + 1) >> p & 1) for code in range(15))
"""The sets of patterns a point may contain, as places in PATTERNS; `contents` gives places in this list."""
LABELS = tuple(1 if content & {*EQUAL} else -1 for content in CONTENTS)
"""The label of a point of each content."""

_KEY = 58  # of the stream "features", so that no other draw of a seed repeats these
_BLOCK = 256  # points drawn at once; fixed, so that fewer points are the first of more
_RAREST = 1e-4  # share of points that must be wanted, for those are found by trial
_MOST_PAIRS = 10  # a million points


def labels(x: Tensor) -> Tensor:
    """Return the labels of points x [..., d, 2]: float [...], 1 where some pair has two equal entries, else -1.

    BadInput unless all entries are 1 or -1. Source: Brutzkus & Globerson 2019.
    """
    _check_points(x)
    return 2.0 * (x[..., 0] == x[..., 1]).any(-1) - 1


def contents(x: Tensor) -> Tensor:
    """Return which patterns points x [..., d, 2] contain, as places in CONTENTS: int64 [...]; errors as `labels`."""
    _check_points(x)
    places = 2 * (x[..., 0] != x[..., 1]) + (x[..., 0] < 0).long()
    return sum(2**p * (places == p).any(-1) for p in range(4)) - torch.ones((), dtype=torch.int64)


def every_point(pairs: int) -> tuple[Tensor, Tensor]:
    """Return all 4^d points of d = `pairs` pairs, x [4^d, d, 2], and their labels [4^d], float32.

    BadInput for fewer than one pair or more than ten; `content_shares` answers for any number.
    """
    pairs = whole("pairs", pairs, 1, "Give a point at least one pair.")
    if pairs > _MOST_PAIRS:
        raise BadInput.of("pairs", pairs, f"1 <= pairs <= {_MOST_PAIRS}", "Use content_shares, or draw points.")
    places = np.indices((4,) * pairs).reshape(pairs, -1).T
    x = _points(places)
    return x, labels(x)


def content_shares(pairs: int, positive: float = 0.5) -> Tensor:
    """Return the probability of each of CONTENTS in a point of d = `pairs` pairs: float64 [15].

    The point is uniform among those of its label, which is 1 with probability `positive`, as where the paper mixes
    the classes: of all points, nearly all are positive, 1 - 2^-d. By inclusion and exclusion, in whole numbers.
    BadInput for fewer than one pair, or a share outside 0 ... 1.
    """
    pairs, positive = whole("pairs", pairs, 1, "Give a point at least one pair."), _share(positive)
    counts = [_count(content, pairs) for content in CONTENTS]
    totals = {1: 4**pairs - 2**pairs, -1: 2**pairs}
    weights = {1: positive, -1: 1 - positive}
    shares = [weights[y] * (count / totals[y]) for count, y in zip(counts, LABELS, strict=True)]
    return torch.tensor(shares, dtype=torch.float64)


def draw(
    seed: int,
    n: int,
    pairs: int,
    positive: float = 0.5,
    *,
    diverse: bool | None = None,
    lacks: Sequence[tuple[int, int]] = (),
    exact: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return n points x [n, d, 2] of d = `pairs` pairs and their labels y [n], float32, in random order.

    A share `positive` of them is positive: round(n·positive) points, or with `exact` False each with this probability.
    Within its class a point is uniform among those of the wanted content. `diverse`: True where each point contains all
    patterns that its class may have, four if it is positive and both unequal ones if not; False where none does; None
    for either. `lacks`: patterns that are kept out, equal ones out of positive points and unequal ones out of negative
    points. The stream "features" of `seed` draws it all. BadInput for bad numbers, for what is no pattern, and for
    contents that no point has or fewer than one in ten thousand. Source: Brutzkus & Globerson 2019.
    """
    n, pairs = whole("n", n, 1, "Draw a point or more."), whole("pairs", pairs, 1, "Give a point at least one pair.")
    absent, y = _places(lacks), _classes(seed, n, _share(positive), exact)
    places = np.empty((n, pairs), np.int64)
    for sign, own in ((1, EQUAL), (-1, UNEQUAL)):
        allowed = [p for p in ((*EQUAL, *UNEQUAL) if sign > 0 else UNEQUAL) if p not in absent or p not in own]
        wanted = _wanted(sign, diverse)
        if (y == sign).any():
            _check_odds(allowed, wanted, pairs)
            places[y == sign] = _trials(
                rng(seed, "features", _KEY, sign + 1), (y == sign).sum(), pairs, allowed, wanted
            )
    return _points(places), torch.from_numpy(y).float()


def draw_sets(seeds: Sequence[int], n: int, pairs: int, positive: float = 0.5, **content: Any) -> tuple[Tensor, Tensor]:
    """Return what `draw` gives for every seed, x [R, n, d, 2] and y [R, n]; errors as there, and for no seeds.

    `content` are the keywords of `draw`.
    """
    if not len(seeds):
        raise BadInput.of("seeds", list(seeds), "at least one seed", "Pass one seed for each replicate.")
    x, y = zip(*(draw(seed, n, pairs, positive, **content) for seed in seeds), strict=True)
    return torch.stack(x), torch.stack(y)


def _points(places: np.ndarray) -> Tensor:
    return torch.tensor(PATTERNS, dtype=torch.float32)[torch.from_numpy(np.ascontiguousarray(places))]


def _count(content: frozenset[int], pairs: int) -> int:
    """Return how many points contain these patterns and no others."""
    size = len(content)
    return sum((-1) ** (size - k) * len([*combinations(content, k)]) * k**pairs for k in range(1, size + 1))


def _classes(seed: int, n: int, positive: float, exact: bool) -> np.ndarray:
    source, most = rng(seed, "features", _KEY, 1), round(n * positive)
    is_positive = source.permutation(n) < most if exact else source.random(n) < positive
    return np.where(is_positive, 1, -1)


def _wanted(sign: int, diverse: bool | None) -> np.ndarray:
    """Return which of CONTENTS points of a label may have: bool [15]."""
    full = {*EQUAL, *UNEQUAL} if sign > 0 else {*UNEQUAL}
    fits = [diverse is None or (content == full) == diverse for content in CONTENTS]
    return np.array(LABELS) == sign if diverse is None else (np.array(LABELS) == sign) & np.array(fits)


def _check_odds(allowed: Sequence[int], wanted: np.ndarray, pairs: int) -> None:
    """Refuse contents that trials from the allowed patterns would not find."""
    found = [c for c, want in zip(CONTENTS, wanted, strict=True) if want and c <= {*allowed}]
    odds = sum(_count(content, pairs) for content in found) / max(len(allowed), 1) ** pairs
    if odds < _RAREST:
        allowed_odds = f"contents that a share >= {_RAREST} of points has"
        remedy = "Take more pairs for diverse points, fewer for others, and keep out at most one pattern of a class."
        raise BadInput.of("share of points with this content", odds, allowed_odds, remedy)


def _trials(
    source: np.random.Generator, count: int, pairs: int, allowed: Sequence[int], wanted: np.ndarray
) -> np.ndarray:
    """Return the first `count` rows of random patterns [count, pairs] whose content is wanted."""
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        block = source.choice(np.array(allowed), (_BLOCK, pairs))
        codes = sum(2**p * (block == p).any(1) for p in range(4)) - 1
        kept.append(block[wanted[codes]])
    return np.concatenate(kept)[:count]


def _places(patterns: Sequence[tuple[int, int]]) -> set[int]:
    for pattern in patterns:
        if tuple(pattern) not in PATTERNS:
            raise BadInput.of("lacks", patterns, f"some of {PATTERNS}", "Name patterns as pairs of signs.")
    return {PATTERNS.index(tuple(pattern)) for pattern in patterns}


def _share(positive: float) -> float:
    if not 0 <= positive <= 1:
        raise BadInput.of("positive", positive, "0 <= positive <= 1", "It is the share of positive points.")
    return float(positive)


def _check_points(x: Tensor) -> None:
    if strided(x, "x").dim() < 2 or x.shape[-1] != 2 or x.shape[-2] < 1:
        raise BadInput.of("shape of x", tuple(x.shape), "[..., d, 2] with d >= 1", "View 2d entries as d pairs.")
    if x.dtype == torch.bool or not bool((x.abs() == 1).all()):
        raise BadInput.of("x", "entries other than 1 and -1", "1 and -1", "XORD has signs alone.")
