"""Do the survivors of pruning concentrate on few units? Counts per unit against three kinds of chance.

A layer's mask is True where a weight is kept: [out, in], or with `replicates=True` [R, out, in] as in what `masks_of`
returns. Three dimensions alone could also be the mask of a Conv1d, and are refused unless `replicates` says. The places
of a kernel are inputs of their own, in·k·k in all. K of its N = out·in weights are
kept, c_u of the n = in weights that enter unit u, and k_i of the m = out that leave input i.

Uniform null: all masks with K survivors are equally likely. Then c_u is hypergeometric, and whatever spreads
the c_u more than that is concentration.
Column null: the k_i stay and each input's survivors are dealt to random units. What is left is not explained
by some inputs being more useful than others.
Margin null: the k_i *and* the c_u stay. How often two weights of one unit survive together is a function of
the c_u alone (see `co_survival`), hence constant under this null and under any other that keeps the rows;
only second-order structure, such as which inputs two units share, can be tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redlib.data.numbers import unmasked, whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.matrices import has_replicates

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMN_DRAWS, MARGIN_DRAWS = 25, 26  # keys of the stream "mask", so that no other draw of a seed repeats these


def survivors(mask: ArrayLike, replicates: bool | None = None) -> tuple[Ints, Ints]:
    """Return how many weights are kept into every unit [R, out] and out of every input [R, in]."""
    kept = _stack(mask, replicates)
    return kept.sum(2), kept.sum(1)


def variance_ratio(
    mask: ArrayLike,
    axis: Literal["incoming", "outgoing"] = "incoming",
    columns: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    replicates: bool | None = None,
) -> Floats:
    """Return the variance of the survivors per unit over its exact expectation under the uniform null: [R].

    `incoming`: over the units that weights enter (mean of (c_u - K/m)²); `outgoing`: over the inputs they
    leave. A count of one unit with n slots has Var = n·p·(1-p)·(N-n)/(N-1) with p = K/N (hypergeometric). The
    counts add up to K, so their mean is known and the mean squared deviation has exactly this expectation:
    the ratio is 1 in expectation, without a small-sample bias. `columns` (bool [in] or [R, in]) says which
    inputs take part, e.g. pixels that are not constant, or units that are alive. `strata` (ints, same
    shapes) keeps the number of survivors in each group of inputs, as if each were a layer of its own. NaN
    where chance leaves no variance (nothing cut, nothing kept, or one unit).
    """
    if axis not in ("incoming", "outgoing"):
        raise BadInput.of("axis", axis, "'incoming' or 'outgoing'", "Name the side of the layer.")
    kept = _stack(mask, replicates)
    groups = _groups(kept.shape, columns, strata)
    observed, expected = _incoming(kept, groups) if axis == "incoming" else _outgoing(kept, groups)
    return _divide(observed, expected)


def co_survival(mask: ArrayLike, columns: ArrayLike | None = None, replicates: bool | None = None) -> Floats:
    """Return P(weight j kept | another weight i of the same unit kept) / d - 1 with d = K/N: [R].

    Over all ordered pairs i ≠ j of inputs of one unit: P = Σ c_u(c_u - 1) / (K·(n - 1)). Under the uniform
    null P = (K-1)/(N-1), slightly below d. `columns` as in `variance_ratio`; for the fans that leave a unit,
    pass the transposed mask. NaN without survivors or with a single input.
    """
    kept = _stack(mask, replicates)
    groups = _groups(kept.shape, columns, None)
    counts = (kept & (groups >= 0)[:, None]).sum(2)
    return _co_survival((counts**2).sum(1), counts.sum(1), kept.shape[1], (groups >= 0).sum(1))


def expected_co_survival(
    mask: ArrayLike,
    null: Literal["uniform", "column"] = "column",
    columns: ArrayLike | None = None,
    replicates: bool | None = None,
) -> Floats:
    """Return the exact mean of `co_survival` under a null that keeps K ("uniform") or every k_i ("column"): [R].

    Both follow from E Σ c_u² = K²/m + m·Var(c_u). Under the column null Var(c_u) = Σ_i k_i/m·(1 - k_i/m), as
    the inputs deal their survivors independently.
    """
    if null not in ("uniform", "column"):
        raise BadInput.of("null", null, "'uniform' or 'column'", "One that keeps the rows is constant; see above.")
    kept = _stack(mask, replicates)
    units, inputs = kept.shape[1:]
    groups = _groups(kept.shape, columns, np.arange(inputs) if null == "column" else None)
    total = (kept & (groups >= 0)[:, None]).sum((1, 2))
    squares = total**2 / units + units * _incoming(kept, groups)[1]
    return _co_survival(squares, total, units, (groups >= 0).sum(1))


def excess_over_null(
    mask: ArrayLike,
    null: Literal["uniform", "column"] = "column",
    columns: ArrayLike | None = None,
    replicates: bool | None = None,
) -> Floats:
    """Return `co_survival` minus its exact mean under the null: [R], 0 in expectation if the null holds."""
    return co_survival(mask, columns, replicates) - expected_co_survival(mask, null, columns, replicates)


def column_null(
    mask: ArrayLike,
    seeds: Sequence[int],
    draws: int,
    key: int = 0,
    columns: ArrayLike | None = None,
    replicates: bool | None = None,
) -> Floats:
    """Return `co_survival` of random masks with the same survivors per input: [R, draws].

    Each replicate draws from its own stream "mask"; `key` numbers the layer. For the spread around
    `expected_co_survival`.
    """
    kept = _stack(mask, replicates)
    draws = _check_draws(kept, seeds, draws)
    allowed = _groups(kept.shape, columns, None) >= 0
    counts = np.empty((len(kept), draws, kept.shape[1]), np.int64)
    for r, seed in enumerate(seeds):
        source = rng(seed, "mask", COLUMN_DRAWS, key)
        table = np.ascontiguousarray(kept[r, :, allowed[r]], dtype=np.uint8)  # [in, out]: inputs in rows
        for draw in range(draws):
            counts[r, draw] = source.permuted(table, axis=1).sum(0, dtype=np.int64)
    total = counts.sum(2)
    return _co_survival((counts**2).sum(2), total, kept.shape[1], allowed.sum(1)[:, None])


def shared_inputs(mask: ArrayLike, replicates: bool | None = None) -> Floats:
    """Return the variance, over pairs of units, of the number of inputs that both keep: [R].

    The mean of that number is fixed by the k_i. A large variance says that units form groups which read the
    same inputs, a small one that they share the inputs out (the idea of Roberts & Stone 1990 for species
    on islands). To leave inputs out, cut them in the mask first. NaN for a single unit.
    """
    kept = _stack(mask, replicates).astype(np.float32)  # exact: the counts are far below 2²⁴
    overlaps = kept @ kept.swapaxes(1, 2)
    first, second = np.triu_indices(kept.shape[1], 1)
    if not len(first):
        return np.full(len(kept), np.nan)
    return np.asarray(overlaps[:, first, second].astype(np.float64).var(1))


def margin_null(
    mask: ArrayLike,
    seeds: Sequence[int],
    draws: int,
    trades: int = 5,
    key: int = 0,
    replicates: bool | None = None,
) -> Floats:
    """Return `shared_inputs` of random masks with the same survivors per unit *and* per input: [R, draws].

    A Markov chain of global curveball trades (Strona et al. 2014; Carstens et al. 2016) from the mask itself,
    with `trades` of them before each draw and four times as many to begin with; in one, every unit trades
    once. Streams as in `column_null`.
    """
    kept = _stack(mask, replicates)
    draws = _check_draws(kept, seeds, draws)
    if trades < 1:
        raise BadInput.of("trades", trades, "trades >= 1", "Without a trade every draw is the mask itself.")
    null = np.empty((len(kept), draws))
    for r, seed in enumerate(seeds):
        source, table = rng(seed, "mask", MARGIN_DRAWS, key), kept[r].copy()
        for draw in range(-4, draws):
            for _ in range(trades):
                trade(table, source)
            if draw >= 0:
                null[r, draw] = shared_inputs(table)[0]
    return null


def trade(table: Bools, source: np.random.Generator) -> None:
    """Let random pairs of rows of `table` [rows, columns] redistribute, in place, what only one of the two has.

    Row and column sums stay, and each outcome of a pair is equally likely, so the uniform distribution over
    all tables with these sums is stationary. With an odd number of rows one sits out.
    """
    half = len(table) // 2
    order = source.permutation(len(table))
    first, second = order[:half], order[half : 2 * half]
    differ = table[first] ^ table[second]
    pair, column = np.nonzero(differ)
    owned = (table[first] & differ).sum(1)  # what the first row brings, and gets back
    shuffled = np.argsort(pair + source.random(len(pair)))  # in random order within each pair
    starts = np.searchsorted(pair, np.arange(half))
    to_first = np.empty(len(pair), np.bool_)
    to_first[shuffled] = np.arange(len(pair)) < (starts + owned)[pair]
    table[first[pair], column] = to_first
    table[second[pair], column] = ~to_first


def _incoming(kept: Bools, groups: Ints) -> tuple[Floats, Floats]:
    """Return the mean squared deviation of the incoming counts and its expectation, each [R]."""
    counts = (kept & (groups >= 0)[:, None]).sum(2)
    sizes, totals = _per_group(np.ones(groups.shape), groups), _per_group(kept.sum(1), groups)
    return counts.var(1), _hypergeometric_variance(totals, kept.shape[1], sizes).sum(1)


def _outgoing(kept: Bools, groups: Ints) -> tuple[Floats, Floats]:
    """Return the summed squared deviations of the outgoing counts and their expectation, each [R]."""
    counts = kept.sum(1)
    sizes, totals = _per_group(np.ones(groups.shape), groups), _per_group(counts, groups)
    means = np.take_along_axis(totals / np.maximum(sizes, 1), np.maximum(groups, 0), 1)
    squares = np.where(groups >= 0, (counts - means) ** 2, 0).sum(1)
    return squares, (sizes * _hypergeometric_variance(totals, sizes, kept.shape[1])).sum(1)


def _hypergeometric_variance(kept: Floats, units: Floats | int, slots: Floats | int) -> Floats:
    size = np.asarray(units * slots, np.float64)
    rate = kept / np.maximum(size, 1)
    return np.asarray(slots * rate * (1 - rate) * (size - slots) / np.maximum(size - 1, 1))


def _co_survival(squares: Floats | Ints, total: Ints, units: int, inputs: Ints) -> Floats:
    """Return P/d - 1 from Σ c_u², K, m and n, in any shape that broadcasts."""
    pairs = _divide(squares - total, total * (inputs - 1))
    return _divide(pairs * (units * inputs), total) - 1


def _per_group(values: ArrayLike, groups: Ints) -> Floats:
    """Return the sums of values [R, in] over each group 0, 1, ... of inputs, [R, groups]; group -1 is left out."""
    count = int(groups.max(initial=-1)) + 1
    index = np.arange(len(groups))[:, None] * (count + 1) + groups % (count + 1)  # -1 becomes the last
    weights = np.asarray(values, np.float64).ravel()
    sums = np.asarray(np.bincount(index.ravel(), weights, len(groups) * (count + 1)), np.float64)
    return sums.reshape(len(groups), count + 1)[:, :count]


def _groups(shape: tuple[int, ...], columns: ArrayLike | None, strata: ArrayLike | None) -> Ints:
    """Return the group of every input, [R, in]: 0, 1, ... by stratum, -1 = takes no part."""
    labels = np.zeros(shape[2:], np.int64) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    allowed: Bools = np.ones(shape[2], np.bool_) if columns is None else np.asarray(columns)
    for name, given in (("strata", labels), ("columns", allowed)):
        if given.shape not in (shape[2:], (shape[0], shape[2])):
            allowed_shapes = f"{shape[2:]} or {(shape[0], shape[2])}"
            raise BadInput.of(f"shape of {name}", given.shape, allowed_shapes, "One value per input of the layer.")
    if allowed.dtype != np.bool_:
        raise BadInput.of("type of columns", allowed.dtype, "bool", "True where an input takes part.")
    return np.broadcast_to(np.where(allowed, labels, -1), (shape[0], shape[2]))


def _stack(mask: ArrayLike, replicates: bool | None) -> Bools:
    kept = np.asarray(unmasked(mask, "mask"))
    if kept.dtype != np.bool_ or kept.ndim < 2 or 0 in kept.shape:
        given = (kept.dtype.name, kept.shape)
        raise BadInput.of("mask", given, "bool, [out, in, ...] or [R, out, in, ...]", "True where a weight is kept.")
    rows = kept if has_replicates(kept, replicates, "mask") else kept[None]
    return rows.reshape(*rows.shape[:2], -1)


def _check_draws(kept: Bools, seeds: Sequence[int], draws: int) -> int:
    """Return the number of draws as an integer; BadInput for other numbers, and of seeds."""
    if len(seeds) != len(kept):
        raise BadInput.of("number of seeds", len(seeds), f"{len(kept)}, one per replicate", "Pass the net's seeds.")
    return whole("draws", draws, 1, "A few hundred give the null's tail.")


def _divide(above: ArrayLike, below: ArrayLike) -> Floats:
    """Return above / below, NaN where below is not positive."""
    top, bottom = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
