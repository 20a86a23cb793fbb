"""What the weights of one layer say without data, each number beside the same number of the layer's shuffled entries.

Shuffling keeps every value (so the variance, the zeros and the outliers) and destroys all order: what the shuffled
layer shows too is no structure. A net at its initialisation with independent entries is, up to chance, its own null.

Ranks, spikes and tails are those of `redlib.measures.spectra` and `powerlaws`, from the eigenvalues of the smaller Gram
matrix in float64, so that singular values below 1e-8 of the largest are rounding. Of several matrices (groups, heads,
gates) ranks are averaged, spikes added, and tails taken from all eigenvalues together. Larger matrices than MOST are
subsampled by rows and columns, and more than MATRICES of them by matrices; a note says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from redlib.audit.layers import EMBEDDINGS, Layer
from redlib.audit.measure import Measure, against_counts, against_draws, alone, share_against
from redlib.data.streams import rng
from redlib.measures.powerlaws import (
    LEAST_VALUES,
    PHASES,
    TINY,
    _is_heavy,
    _phase,
    against_exponential,
    compare,
    fit_power_law,
)  # fmt: skip
from redlib.measures.spectra import fit_bulk, ranks_of

Floats = NDArray[np.float64]

MEASURES = 13  # compared with a null in every layer: nine, and four that the phase hangs on
MOST = (2048, 8192)  # smaller and larger side of a matrix that is taken whole
MATRICES = 64  # groups, heads or gates that are taken
DRAWS = (6, 20)  # of the null: fewest, for the largest matrices, and most
BUDGET = 3e10  # operations that the draws of one layer may take, unless the fewest take more
ENERGY = 0.99
NEAR = 0.01  # of the root mean square of a layer: smaller weights are near zero
ALIKE = 0.95  # of |cos| between two filters that repeat each other
SILENT = 0.01  # of the median norm of the filters: a smaller one is dead
SPECTRAL = 8  # rows and columns below which a matrix has no spectrum to speak of
EDGED = 32  # and below which one spike more or less moves the edge so far that no interval holds
SKETCHED, LIKELY, BLOCK = 64, 0.8, 1024  # directions, |cos| of candidates, and filters at a time, of `repeated`
SHUFFLES, SAMPLES, SKETCH = 91, 92, 89  # keys of the stream "eval", so that no other draw of a seed repeats these
AGAINST = "the layer with its entries shuffled"


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues [V, M] of the V matrices of a layer, largest first, and what is told of each matrix, [V]."""

    eigenvalues: Floats
    larger: int
    tolerance: float

    @property
    def positive(self) -> Floats:
        """The eigenvalues, at least the smallest number above 0, so that logarithms exist."""
        return np.maximum(self.eigenvalues, TINY)


@dataclass(frozen=True)
class Seen:
    """What one set of matrices shows: its spectrum (None if too small), repeated and dead filters."""

    spectrum: Spectrum | None
    repeated: int | None
    dead: int


def weight_measures(layer: Layer, seed: int, key: int, level: float) -> tuple[dict[str, Measure], dict[str, object]]:
    """Return the measures of a layer by name, and facts: phase, matrices, zeros, what was sampled.

    `seed` and `key`, the layer's number, name the stream of the shuffles; `level` is that of one comparison. Ranks come
    with surplus below, repeated and dead filters and weights near zero with surplus above their null.
    """
    whole = layer.matrices()
    matrices, notes = sampled(whole, seed, key)
    facts: dict[str, object] = {
        "matrices": list(whole.shape),
        "examined": list(matrices.shape),
        "notes": [*layer.notes, *notes],
    }
    facts["zeros"] = float((whole == 0).double().mean())
    if not bool(matrices.any()):
        return {}, facts | {"phase": "none: all weights are 0"}
    own = seen(layer, matrices)
    null = [seen(layer, draw) for draw in _shuffles(matrices, seed, key)]
    found = _ranks(own, null, level) | _filters(own, null, level, matrices, layer) | _near_zero(whole, level)
    facts["phase"], counts = _phases(own, null, level)
    facts["phases"] = counts
    return found | _tail(own, null, level), facts


def sampled(matrices: Tensor, seed: int, key: int) -> tuple[Tensor, list[str]]:
    """Return matrices [V, out, in] no larger than MOST and MATRICES, rows and columns drawn, and notes that say so."""
    notes, source = [], rng(seed, "eval", SAMPLES, key)
    tall = matrices.shape[1] > matrices.shape[2]
    limits = (MATRICES, MOST[1] if tall else MOST[0], MOST[0] if tall else MOST[1])
    for axis, (most, what) in enumerate(zip(limits, ("matrices", "rows", "columns"), strict=True)):
        if (count := matrices.shape[axis]) > most:
            chosen = torch.from_numpy(np.sort(source.choice(count, most, replace=False)))
            matrices = matrices.index_select(axis, chosen.to(matrices.device))
            notes.append(f"{most:,} of {count:,} {what}, drawn at random")
    return matrices, notes


def seen(layer: Layer, matrices: Tensor) -> Seen:
    """Return what matrices [V, out, in] of a layer show; the rounding that counts is that of its own weights."""
    gram = small_gram(matrices)
    spectrum = None
    if min(matrices.shape[1:]) >= SPECTRAL:
        larger = max(matrices.shape[1:])
        values = torch.linalg.eigvalsh(gram).flip(1).clamp(min=0).cpu().numpy() / larger
        spectrum = Spectrum(values, larger, (larger * torch.finfo(layer.weight.dtype).eps) ** 2)
    if not layer.transposed and matrices.shape[1] <= matrices.shape[2]:
        return Seen(spectrum, *alike(gram))
    filters = layer.filters(matrices.float()).contiguous()
    if filters.shape[1] <= BLOCK:
        return Seen(spectrum, *alike(filters @ filters.mT))
    norms = filters.norm(dim=2)
    silent = norms <= SILENT * norms.median()
    unit = filters / torch.where(silent, torch.inf, norms)[:, :, None]
    return Seen(spectrum, sum(map(repeated, unit)), int(silent.sum()))


def small_gram(matrices: Tensor) -> Tensor:
    """Return the Gram matrices of the smaller side, float64 [V, M, M]."""
    values = matrices.double()
    return values @ values.mT if values.shape[1] <= values.shape[2] else values.mT @ values


def alike(gram: Tensor) -> tuple[int | None, int]:
    """Return how many filters repeat another one of their matrix (None where each has one), and how many are dead.

    gram: [V, filters, filters]. Repeated: |cos| > ALIKE with another; dead: a norm of at most SILENT of the median.
    """
    norms = gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    silent = norms <= SILENT * norms.median()
    if gram.shape[1] < 2:
        return None, int(silent.sum())
    unit = torch.where(silent, torch.inf, norms)
    cosines = (gram / unit[:, :, None] / unit[:, None]).abs()
    cosines.diagonal(dim1=1, dim2=2).zero_()
    return int((cosines > ALIKE).any(2).sum()), int(silent.sum())


def repeated(unit: Tensor) -> int:
    """Return how many of the filters [F, d], of length 1 or 0, have |cos| > ALIKE with another one.

    All pairs are compared on SKETCHED random directions, where |cos| = ALIKE becomes LIKELY or less with a probability
    below 1e-20 (its deviation is (1 - cos²)/√SKETCHED); filters with such a candidate are compared with all others.
    """
    directions = torch.from_numpy(rng(0, "eval", SKETCH).standard_normal((unit.shape[1], SKETCHED)))
    sketch = nn.functional.normalize(unit @ directions.to(unit), dim=1)
    count = 0
    for start in range(0, len(unit), BLOCK):
        rows = torch.arange(start, min(start + BLOCK, len(unit)), device=unit.device)
        near = (sketch[rows] @ sketch.T).abs_()
        near[torch.arange(len(rows)), rows] = 0
        likely = rows[near.amax(1) > LIKELY]
        cosines = (unit[likely] @ unit.T).abs_()
        cosines[torch.arange(len(likely)), likely] = 0
        count += int((cosines > ALIKE).any(1).sum())
    return count


def draws_for(shape: Sequence[int]) -> int:
    """Return how often a layer of matrices [V, out, in] is shuffled, within DRAWS and BUDGET."""
    smaller, larger = sorted(shape[1:])
    each = shape[0] * (2.0 * larger * smaller**2 + 10.0 * smaller**3)
    return int(np.clip(BUDGET / max(each, 1), *DRAWS))


def _shuffles(matrices: Tensor, seed: int, key: int) -> list[Tensor] | map[Tensor]:
    source, entries = rng(seed, "eval", SHUFFLES, key), matrices.detach().float().cpu().numpy().ravel()

    def draw(_: int) -> Tensor:
        return torch.from_numpy(source.permutation(entries)).view(matrices.shape).to(matrices.device)

    return map(draw, range(draws_for(matrices.shape)))


def _ranks(own: Seen, null: list[Seen], level: float) -> dict[str, Measure]:
    if own.spectrum is None:
        return {}
    values = _rank_numbers(own.spectrum)
    drawn = [_rank_numbers(draw.spectrum) for draw in null if draw.spectrum is not None]
    words = {"stable_rank": "Stable rank", "effective_rank": "Effective rank", "rank99": "Rank of 99% of the energy"}
    sides = {name: -1 for name in words}
    edged = own.spectrum.eigenvalues.shape[1] >= EDGED
    if edged:
        words["largest_over_edge"] = "Largest eigenvalue over the edge of the random bulk"
    found = {
        name: against_draws(
            values[name], [draw[name] for draw in drawn], level, what, AGAINST, sides.get(name, 0), name == "rank99"
        )
        for name, what in words.items()
    }
    if not edged:
        return found
    counts = [int(draw["spikes"]) for draw in drawn]
    spikes = against_counts(int(values["spikes"]), counts, level, "Spikes past the random bulk", AGAINST)
    return found | {"spikes": replace(spikes, surplus=0)}  # a signal, and no surplus by itself


def _rank_numbers(spectrum: Spectrum) -> dict[str, float]:
    values = spectrum.positive
    share = values.cumsum(1) / values.sum(1, keepdims=True)
    found = {name: float(ranks.mean()) for name, ranks in ranks_of(values).items()}
    found["rank99"] = float(((share < ENERGY - 1e-12).sum(1) + 1).mean())
    bulk = fit_bulk(values, spectrum.larger)
    found["spikes"] = float(bulk.spikes.sum())
    found["largest_over_edge"] = float((values[:, 0] / np.maximum(bulk.edge, TINY)).max())
    return found


def _filters(own: Seen, null: list[Seen], level: float, matrices: Tensor, layer: Layer) -> dict[str, Measure]:
    what = "Rows" if layer.kind in EMBEDDINGS else "Filters"
    dead = against_counts(own.dead, [draw.dead for draw in null], level, f"{what} of (almost) zeros", AGAINST)
    if own.repeated is None:
        return {"dead_filters": dead}
    counts = [draw.repeated or 0 for draw in null]
    repeated = against_counts(own.repeated, counts, level, f"{what} that repeat another (|cos| > {ALIKE})", AGAINST)
    return {"repeated_filters": repeated, "dead_filters": dead}


def _near_zero(whole: Tensor, level: float) -> dict[str, Measure]:
    """Return the share of weights near zero, beside uniform and Gaussian weights, which initialisers draw."""
    values = whole.detach().float()
    share = float((values.abs() < NEAR * values.square().mean().sqrt()).double().mean())
    least, most = NEAR / math.sqrt(3), float(2 * stats.norm.cdf(NEAR) - 1)
    against = "uniform or Gaussian weights of the same variance"
    what = f"Share of weights below {NEAR} of their root mean square"
    return {"near_zero": share_against(share, values.numel(), least, most, level, what, against)}


def _tail(own: Seen, null: list[Seen], level: float) -> dict[str, Measure]:
    """Return the exponent of the tail of all eigenvalues, and its likelihood ratios; no tail below 50 of them."""
    if own.spectrum is None or own.spectrum.eigenvalues.size < LEAST_VALUES:
        return {"alpha": alone(math.nan, "Tail exponent", f"fewer than {LEAST_VALUES} eigenvalues")}
    values = own.spectrum.positive.reshape(1, -1)
    drawn = np.concatenate([draw.spectrum.positive.reshape(1, -1) for draw in null if draw.spectrum is not None])
    fit, fits = fit_power_law(values), fit_power_law(drawn)
    ratios, others = compare(values, fit), against_exponential(drawn, fits)
    z = {name: float(ratio.z[0]) for name, ratio in ratios.items()}
    what = "Power law against exponential tail, z of the likelihood ratio"
    against = against_draws(z["exponential"], others.z.tolist(), level, what, AGAINST)
    heavy = _is_heavy({"alpha": float(fit.alpha[0]), "z_exponential": z["exponential"],
                       "z_exponential_null": against.high, "z_lognormal": z["lognormal"]}, ratios)  # fmt: skip
    word = "a power law fits" if heavy else "not a power law"
    exponent = Measure(float(fit.alpha[0]), float(np.median(fits.alpha)), draws=len(drawn), against=AGAINST)
    says = f"Tail exponent: {exponent.value:.3g}, {word}; shuffled {exponent.null:.3g}, which proves as little."
    return {
        "alpha": replace(exponent, says=says),
        "alpha_error": alone(float(fit.error[0]), "Standard error of the tail exponent"),
        "power_law": alone(float(heavy), "Whether a power law fits the tail beyond chance"),
        "z_exponential": against,
        "z_lognormal": alone(z["lognormal"], "Power law against lognormal tail, z"),
        "z_truncated": alone(z["truncated"], "Power law against one cut off exponentially, z"),
    }


def _phases(own: Seen, null: list[Seen], level: float) -> tuple[str, dict[str, int]]:
    """Return the phase that most matrices have, and how many have each, by the rules of `powerlaws.phases`.

    What is beyond chance is told here by prediction intervals at `level`, as everywhere in the audit: with so many
    layers, a fortieth of all noise may not have a phase.
    """
    if own.spectrum is None or own.spectrum.eigenvalues.shape[1] < LEAST_VALUES:
        return f"none: fewer than {LEAST_VALUES} rows or columns", {}
    drawn = np.concatenate([draw.spectrum.positive for draw in null if draw.spectrum is not None])
    limits = _limits(drawn, own.spectrum, level / len(own.spectrum.eigenvalues))
    names = [PHASES[_phase_of(one, own.spectrum, limits)] for one in own.spectrum.positive]
    counts = dict(Counter(names).most_common())
    odd = [name for name in counts if name != "random-like"]  # that one head differs is what a reader looks for
    most = max(counts, key=lambda name: counts[name])
    note = f" ({counts[most]} of {len(names)} matrices; also {', '.join(o for o in odd if o != most)})"
    return most + (note if len(counts) > 1 else ""), counts


def _limits(drawn: Floats, spectrum: Spectrum, level: float) -> dict[str, float | Floats]:
    """Return what one spectrum [M] of noise stays within, from those of shuffles [K, M]."""
    bulk = fit_bulk(drawn, spectrum.larger)
    scaled = drawn / np.maximum(bulk.variance, TINY)[:, None]
    typical, upper = np.median(scaled, axis=0), max(1, drawn.shape[1] // 2)
    z = against_exponential(drawn, fit_power_law(drawn)).z
    gaps = -np.diff(scaled)[:, int(np.median(bulk.spikes)) :]
    return {
        "rank": float((drawn > spectrum.tolerance * drawn[:, :1]).sum(1).min()),
        "mp_distance": _high(bulk.distance, level),
        "z_exponential": _high(z, level),
        "gap": _high(gaps.max(1), level),
        "eigenvalues": _high((scaled / typical)[:, :upper].max(1), level) * typical,
    }


def _phase_of(eigenvalues: Floats, spectrum: Spectrum, limits: dict[str, float | Floats]) -> int:
    """Return the phase of one matrix as index into PHASES."""
    row = eigenvalues[None]
    bulk, fit = fit_bulk(row, spectrum.larger), fit_power_law(row)
    ratios, variance = compare(row, fit), max(float(bulk.variance[0]), TINY)
    beyond = (eigenvalues / variance > limits["eigenvalues"]) & (eigenvalues > bulk.edge[0])
    gaps = -np.diff(eigenvalues / variance)
    numbers = {f"{name}_null": float(limits[name]) for name in ("rank", "mp_distance", "z_exponential", "gap")}
    numbers |= {"rank": float((eigenvalues > spectrum.tolerance * eigenvalues[0]).sum())}
    numbers |= {"mp_distance": float(bulk.distance[0]), "spikes": float(beyond.sum())}
    numbers |= {"gap": float(gaps[beyond[:-1]].max(initial=0)), "spread": float(eigenvalues.mean() / variance)}
    numbers |= {"alpha": float(fit.alpha[0])} | {f"z_{name}": float(ratio.z[0]) for name, ratio in ratios.items()}
    return _phase(numbers, len(eigenvalues), _is_heavy(numbers, ratios))


def _high(draws: Floats, level: float) -> float:
    return against_draws(0.0, draws.tolist(), level, "", "").high
