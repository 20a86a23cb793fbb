"""How far weights move in training, by whether pruning keeps them, against what selection alone implies.

Arrays are [R, ...], replicates first; the other axes of a layer are taken as one. Ratios compare weights of one
training run in which all of them were free, so that a cut weight's movement is known. `within` (bool, same
shape) says which weights took part, e.g. the mask of the round before; None means all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from redlib.data.numbers import floats, unmasked, whole
from redlib.data.streams import rng
from redlib.errors import BadInput

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

SELECTION_DRAWS = 9  # key of the stream "mask", so that no other draw of a seed repeats these


def movement_ratio(initial: ArrayLike, final: ArrayLike, mask: ArrayLike, within: ArrayLike | None = None) -> Floats:
    """Return median |final - initial| of the kept over that of the cut weights: [R] (Frankle & Carbin 2019, F.5).

    NaN where nothing is kept or nothing is cut. Raises BadInput if the cut weights did not move: then `final`
    comes from a net whose mask was already in force.
    """
    compared = _compared(initial, final, mask, within)
    return np.array([_ratio(np.abs(delta[kept]), np.abs(delta[~kept])) for _, delta, kept in compared])


def selection_null(
    initial: ArrayLike,
    final: ArrayLike,
    kept: int | Sequence[int],
    seeds: Sequence[int],
    draws: int,
    key: int = 0,
    within: ArrayLike | None = None,
) -> Floats:
    """Return the movement ratio that keeping the largest final weights alone would give: [R, draws].

    In every draw the layer's movements are permuted over its weights, the `kept` largest |initial + permuted|
    are kept (one count, or one per replicate), and the ratio of those is taken. What made a weight move is
    thereby cut from which weight it is; that large movements end in large weights is not. Each replicate
    draws from its own stream "mask"; `key` numbers the layer.
    """
    pairs = _movements(initial, final, within)
    counts = [kept] * len(pairs) if isinstance(kept, int | np.integer) else list(kept)
    _check_null(seeds, counts, [len(start) for start, _ in pairs], draws)
    counts, draws = [int(count) for count in counts], int(draws)
    null = np.empty((len(pairs), draws))
    for r, ((start, delta), count) in enumerate(zip(pairs, counts, strict=True)):
        source, cut = rng(seeds[r], "mask", SELECTION_DRAWS, key), len(start) - count
        for draw in range(draws):
            permuted = source.permutation(delta)
            order = np.argpartition(np.abs(start + permuted), cut)
            moved = np.abs(permuted)[order]
            null[r, draw] = _ratio(moved[cut:], moved[:cut])
    return null


def share_of_null_below(ratio: ArrayLike, null: ArrayLike) -> Floats:
    """Return the share of each replicate's null [R, draws] strictly below its ratio [R]: [R] in [0, 1]."""
    observed, drawn = np.asarray(ratio, np.float64), np.asarray(null, np.float64)
    if observed.ndim != 1 or drawn.ndim != 2 or len(observed) != len(drawn) or not drawn.shape[1]:
        raise BadInput.of("shapes", (observed.shape, drawn.shape), "[R] and [R, draws]", "Replicates first.")
    if np.isnan(observed).any() or np.isnan(drawn).any():
        raise BadInput.of("ratio or null", "NaN", "numbers", "Some replicate kept or cut nothing; leave it out.")
    return np.asarray((drawn < observed[:, None]).mean(1))


def away_from_zero(
    initial: ArrayLike, final: ArrayLike, mask: ArrayLike, within: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return the share in [0, 1] whose magnitude grew, of the kept [R] and of the cut weights [R]; NaN of none."""
    shares = []
    for start, delta, kept in _compared(initial, final, mask, within):
        grew = np.abs(start + delta) > np.abs(start)
        shares.append([group.mean() if len(group) else np.nan for group in (grew[kept], grew[~kept])])
    kept_share, cut_share = np.array(shares, np.float64).T
    return kept_share, cut_share


def excess_kurtosis(values: ArrayLike) -> Floats:
    """Return m₄/m₂² - 3 with central moments over all but the first axis: [R]; 0 for a Gaussian, NaN if constant.

    Large where most weights sit at the mean and a few far out.
    """
    rows = _rows(values)
    centred = rows - rows.mean(1, keepdims=True)
    second, fourth = (centred**2).mean(1), (centred**4).mean(1)
    # Equal values may differ from their mean by rounding, which is no spread.
    varied = np.ptp(rows, axis=1) > 0
    return np.divide(fourth, second**2, out=np.full(len(rows), np.nan), where=varied) - 3


def _movements(initial: ArrayLike, final: ArrayLike, within: ArrayLike | None) -> list[tuple[Floats, Floats]]:
    """Return (initial, final - initial) of the weights that took part, 1-D, of every replicate."""
    _check_axes(initial, final, "final")
    start, end = _rows(initial), _rows(final)
    if start.shape != end.shape:
        raise BadInput.of("shape of final", end.shape, f"{start.shape}, as initial", "Pass one layer twice.")
    part = np.ones(start.shape, np.bool_) if within is None else _flags(within, "within", start.shape)
    return [(before[p], (after - before)[p]) for before, after, p in zip(start, end, part, strict=True)]


def _compared(
    initial: ArrayLike, final: ArrayLike, mask: ArrayLike, within: ArrayLike | None
) -> Iterator[tuple[Floats, Floats, Bools]]:
    """Yield (initial, final - initial, is kept) of the weights that took part, 1-D, for every replicate."""
    for other, what in ((mask, "mask"), *([] if within is None else [(within, "within")])):
        _check_axes(initial, other, what)
    kept = _flags(mask, "mask", _rows(initial).shape)
    part = np.ones(kept.shape, np.bool_) if within is None else _flags(within, "within", kept.shape)
    if (kept & ~part).any():
        raise BadInput.of("mask", "True outside `within`", "a part of `within`", "What was cut cannot be kept now.")
    for (start, delta), k, p in zip(_movements(initial, final, within), kept, part, strict=True):
        yield start, delta, k[p]


def _ratio(kept: Floats, cut: Floats) -> float:
    if not (len(kept) and len(cut)):
        return float("nan")
    below = float(np.median(cut))
    if below == 0:
        remedy = "Pass the weights as trained before the cut, or name in `within` those that were free."
        raise BadInput.of("median movement of the cut weights", below, "> 0", remedy)
    return float(np.median(kept)) / below


def _rows(values: ArrayLike) -> Floats:
    if isinstance(values, nn.Parameter):
        remedy = "Pass weights_of(net)[name]: a module's own weight has no replicate axis."
        raise BadInput.of("values", f"a parameter {tuple(values.shape)}", "[R, ...]", remedy)
    array = floats(values, "values")
    if array.ndim < 2 or not array.size:
        raise BadInput.of("shape", array.shape, "[R, ...] with at least one value", "The replicate axis is first.")
    if not np.isfinite(array).all():
        raise BadInput.of("values", "nan or inf", "finite numbers", "Has the net diverged?")
    return array.reshape(len(array), -1)


def _check_axes(values: ArrayLike, other: ArrayLike, what: str) -> None:
    """Raise BadInput where two arrays of more than two axes differ: transposed ones would flatten to one length."""
    shapes = [np.shape(part) for part in (values, other)]
    if min(map(len, shapes)) > 2 and shapes[0] != shapes[1]:
        raise BadInput.of(f"shape of {what}", shapes[1], f"{shapes[0]}, as initial", "Pass the same layer.")


def _flags(values: ArrayLike, name: str, shape: tuple[int, ...]) -> Bools:
    array = np.asarray(unmasked(values, name))
    if array.dtype != np.bool_ or array.ndim < 2 or array.reshape(len(array), -1).shape != shape:
        given = (array.dtype.name, array.shape)
        raise BadInput.of(name, given, f"bool, {shape} when flattened", "One flag per weight, as in `initial`.")
    return array.reshape(shape)


def _check_null(seeds: Sequence[int], counts: Sequence[int], sizes: Sequence[int], draws: int) -> None:
    if not len(seeds) == len(counts) == len(sizes):
        given = (len(seeds), len(counts))
        raise BadInput.of("number of seeds and counts", given, f"{len(sizes)} each", "One per replicate.")
    whole("draws", draws, 1, "A few hundred give the null's tail.")
    for count, size in zip(counts, sizes, strict=True):
        if not 0 < count < size or not float(count).is_integer():
            raise BadInput.of(
                "kept", count, f"a whole number, 0 < kept < {size}", "Without kept and cut weights there is no ratio."
            )
