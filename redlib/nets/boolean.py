"""Boolean functions of random nets: which functions an MLP computes on all inputs of a few bits, sample by sample.

A function is the string of its values on `every_input`, packed as in `redlib.data.bits`; its value is 1 where the
output is positive. Parameters are independent, with mean 0, variance σ_w²/fan-in for weights and σ_b² for biases
(Poole et al. 2016); the prior is "normal" or "uniform". A net with two logits of normal parameters computes a function
exactly as often as one with a single output, for the difference of two is as normal, and its sign knows no scale: what
a `StackedMLP` of sizes (n, ..., 2) finds that was drawn by `redlib.nets.mean_field` can be compared with this prior.
Sources: Valle-Pérez, Camargo & Louis 2019 (7 bits, 7-40-40-1); Mingard et al. 2021 (the posterior).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from redlib.data.bits import Codes, distinct, packed, unpacked
from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.stacked import ACTIVATIONS, StackedMLP

PRIORS = ("normal", "uniform")
MOST_BITS = 16  # of an input: 2^16 values a function
_KEY = 91  # of the stream "init", so that no other draw of a seed repeats these
_BLOCK = 256  # nets drawn together, from one stream: what a sample is depends on it


@dataclass(frozen=True)
class RandomNets:
    """Nets with random parameters: sizes (bits, hidden ..., 1), activation, prior and its σ_w and σ_b.

    Inputs are {0, 1}^bits, or {-1, 1}^bits where `signed`. With `heads` > 1 so many last layers are drawn to each draw
    of the others: samples cost a fraction, each is still one of the prior, but those of a draw depend on each other.
    BadInput for what is no such net.
    """

    sizes: tuple[int, ...] = (7, 40, 40, 1)
    activation: str = "relu"
    prior: str = "normal"
    sigma_w: float = 1.0
    sigma_b: float = 1.0
    signed: bool = False
    heads: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no such net."""
        if len(self.sizes) < 2 or self.sizes[-1] != 1:
            raise BadInput.of("sizes", self.sizes, "(bits, hidden ..., 1)", "A Boolean function has one output.")
        for size in self.sizes:
            whole("sizes", size, 1, "Give every layer a unit.")
        every_input(self.sizes[0])
        whole("heads", self.heads, 1, "1 makes all samples independent.")
        if self.activation not in ACTIVATIONS:
            raise BadInput.named("activation", self.activation, ACTIVATIONS, "Take one of these.")
        if self.prior not in PRIORS:
            raise BadInput.named("prior", self.prior, PRIORS, "Take one of these.")
        if not (0 < self.sigma_w < math.inf and 0 <= self.sigma_b < math.inf):
            given = self.sigma_w, self.sigma_b
            raise BadInput.of("sigma_w, sigma_b", given, "σ_w > 0 and σ_b >= 0", "Weights of 0 compute nothing.")

    @property
    def length(self) -> int:
        """The number of inputs, 2^bits: places of a function."""
        return 2 ** self.sizes[0]

    @property
    def block(self) -> int:
        """How many samples are drawn and computed together."""
        return _BLOCK * self.heads


def every_input(bits: int, signed: bool = False) -> Tensor:
    """Return all inputs, float32 [2^bits, bits]: row i is i in binary, the first column its highest bit.

    Entries are 0 and 1, or -1 and 1 where `signed`. BadInput unless 1 <= bits <= 16.
    """
    if whole("bits", bits, 1, "Give the net an input.") > MOST_BITS:
        raise BadInput.of("bits", bits, f"bits <= {MOST_BITS}", "A function has 2^bits values.")
    table = (torch.arange(2**bits)[:, None] >> torch.arange(bits - 1, -1, -1)) & 1
    return (2 * table - 1 if signed else table).float()


def sample_functions(nets: RandomNets, seed: int, samples: int, first: int = 0) -> Codes:
    """Return the functions of random nets, uint8 [samples, ceil(2^bits / 8)]: those from number `first` on.

    Sample i of a seed is the same however many are drawn and wherever a draw begins: a long draw can be split. BadInput
    for no samples.
    """
    samples, first = whole("samples", samples, 1, "Draw some."), whole("first", first, 0, "Count samples from 0.")
    end = first + samples
    parts = [codes for _, codes in _blocks(nets, seed, first // nets.block, -(-end // nets.block))]
    return np.concatenate(parts)[first % nets.block :][:samples]


def agreeing(codes: Codes, length: int, places: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Return which functions [N, B] have these labels at these places: bool [N].

    places [m] different numbers below `length`, labels [m] 0 or 1. BadInput for others and for unequal shapes.
    """
    where, told = _training_set(length, places, labels)
    return np.asarray((unpacked(codes, length)[:, where] == told).all(1))


@dataclass(frozen=True)
class Posterior:
    """Functions that fit a training set, the most frequent first: codes [F, B], counts [F]; `samples` were drawn.

    `draws` is how many draws of hidden layers the samples that fit are from: as many as these where nets have one head,
    and less by far where heads depend on each other.
    """

    codes: Codes
    counts: NDArray[np.int64]
    samples: int
    draws: int

    @property
    def accepted(self) -> int:
        """How many samples fit."""
        return int(self.counts.sum())

    @property
    def evidence(self) -> float:
        """The estimated probability that a random net fits the training set, P(S)."""
        return self.accepted / self.samples

    def counts_of(self, codes: Codes) -> NDArray[np.int64]:
        """Return how often each of these functions [N, B] was drawn, int64 [N], 0 for those that were not."""
        if codes.ndim != 2 or codes.shape[1] != self.codes.shape[1]:
            raise BadInput.of("shape of codes", codes.shape, f"[N, {self.codes.shape[1]}]", "Compare like functions.")
        known = {code.tobytes(): count for code, count in zip(self.codes, self.counts.tolist(), strict=True)}
        return np.array([known.get(code.tobytes(), 0) for code in codes], np.int64)


def rejection_posterior(
    nets: RandomNets, seed: int, places: ArrayLike, labels: ArrayLike, samples: int, accepted: int | None = None
) -> Posterior:
    """Return how often each function that fits a training set is drawn: P_Bayes(f|S) by rejection, count / accepted.

    `samples` are drawn at most, fewer where `accepted` is told: then no further block is drawn once so many fit. Memory
    holds one block and what fits. The likelihood is 0 or 1 (Valle-Pérez et al. 2019). BadInput for a training set that
    is none (see `agreeing`), and where no sample fits it.
    """
    where, told = _training_set(nets.length, places, labels)
    samples = whole("samples", samples, 1, "Draw some.")
    enough = samples if accepted is None else whole("accepted", accepted, 1, "Ask for some.")
    kept, count, drawn, draws = [], 0, 0, 0
    for at, codes in _blocks(nets, seed, 0, -(-samples // nets.block)):
        codes = codes[: samples - at]
        fits = agreeing(codes, nets.length, where, told)
        kept.append(codes[fits])
        draws += len(np.unique(np.flatnonzero(fits) // nets.heads))
        count, drawn = count + len(kept[-1]), at + len(codes)
        if count >= enough:
            break
    if not count:
        remedy = "Draw more samples, take fewer places, or a simpler target."
        raise BadInput.of("samples that fit the training set", 0, ">= 1", f"{drawn:,} were drawn. {remedy}")
    return Posterior(*distinct(np.concatenate(kept)), drawn, draws)


def functions_found(net: StackedMLP, inputs: Tensor) -> Codes:
    """Return the functions that the replicates of a stack compute on `inputs` [m, d]: uint8 [R, ceil(m / 8)].

    A net with one output says 1 where it is positive, one with two logits where the second is the larger. BadInput for
    another number of outputs, other inputs, and logits that are not finite.
    """
    if net.sizes[-1] > 2:
        raise BadInput.of("outputs of the net", net.sizes[-1], "1 or 2", "A Boolean function has two values.")
    if inputs.dim() != 2 or not len(inputs):
        raise BadInput.of("shape of the inputs", tuple(inputs.shape), "[m, d]", "See every_input.")
    with torch.no_grad():
        logits = net.logits(inputs.to(net.flat))
    if not bool(logits.isfinite().all()):
        raise BadInput.of("logits", "nan or inf", "finite numbers", "Has a net diverged? Take a smaller rate.")
    return packed(logits[..., 0] > 0 if net.sizes[-1] == 1 else logits[..., 1] > logits[..., 0])


def values_at(code: Codes, length: int, places: ArrayLike) -> NDArray[np.int64]:
    """Return the values of one function, code [B], at places [m]: int64 [m] in {0, 1}; BadInput for other shapes."""
    return unpacked(np.atleast_2d(code), length)[0, _places(length, places)].astype(np.int64)


def _training_set(length: int, places: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    where, told = _places(length, places), np.asarray(labels)
    if told.shape != where.shape or told.dtype.kind not in "biu" or not np.isin(told, (0, 1)).all():
        given = f"{told.dtype} {told.shape}, {np.unique(told)[:5].tolist()}"
        raise BadInput.of("labels", given, f"whole numbers [{len(where)}], 0 or 1", "See values_at.")
    return where, told.astype(np.int64)


def _places(length: int, places: ArrayLike) -> NDArray[np.int64]:
    where = np.asarray(places)
    if where.ndim != 1 or not where.size or where.dtype.kind not in "iu":
        raise BadInput.of("places", f"{where.dtype} {where.shape}", "whole numbers [m], m > 0", "Number the inputs.")
    if where.min() < 0 or where.max() >= length or len(np.unique(where)) < len(where):
        raise BadInput.of("places", where.tolist(), f"different numbers, 0 <= place < {length}", "Name inputs once.")
    return where.astype(np.int64)


def _blocks(nets: RandomNets, seed: int, start: int, stop: int) -> Iterator[tuple[int, Codes]]:
    """Yield the number of the first sample and the functions [nets.block, B] of each block."""
    x = every_input(nets.sizes[0], nets.signed)
    inputs = torch.cat([x, torch.ones(len(x), 1)], 1)
    for block in range(start, stop):
        yield block * nets.block, packed(_values(nets, rng(seed, "init", _KEY, block), inputs))


@torch.no_grad()
def _values(nets: RandomNets, source: np.random.Generator, inputs: Tensor) -> NDArray[np.bool_]:
    """Return the functions of one block of samples: bool [nets.block, 2^bits]. All products have the same shapes."""
    layers = [_layer(nets, source, out, fan_in) for fan_in, out in pairwise((*nets.sizes[:-1], nets.heads))]
    first = layers[0]
    fields = (inputs @ first.flatten(0, 1).T).view(len(inputs), _BLOCK, first.shape[1]).transpose(0, 1)
    for layer in layers[1:]:
        active = fields.relu() if nets.activation == "relu" else fields.tanh()
        fields = torch.baddbmm(layer[:, None, :, -1], active, layer[..., :-1].transpose(1, 2))
    return (fields > 0).transpose(1, 2).flatten(0, 1).numpy()


def _layer(nets: RandomNets, source: np.random.Generator, out: int, fan_in: int) -> Tensor:
    """Return the weights of a layer and, last, its biases: float32 [_BLOCK, out, fan-in + 1]."""
    shape = _BLOCK, out, fan_in + 1
    if nets.prior == "normal":
        drawn = source.standard_normal(shape, dtype=np.float32)
    else:
        drawn = (2 * source.random(shape, dtype=np.float32) - 1) * np.float32(math.sqrt(3))  # of variance 1
    scales = np.full(fan_in + 1, nets.sigma_w / math.sqrt(fan_in), np.float32)
    scales[-1] = nets.sigma_b
    # The product is in memory that torch aligns: matrix products round otherwise where it is aligned otherwise.
    return torch.from_numpy(drawn) * torch.from_numpy(scales)
