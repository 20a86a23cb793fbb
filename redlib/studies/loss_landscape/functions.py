"""Which Boolean functions nets compute: with random weights, and after training on a part of the values (LAND-9 to 11).

A function is a string of values, one for each input; its complexity is that of the string (`measures.simplicity`). The
defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from redlib.data.bits import Codes, distinct, packed, unpacked
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Training
from redlib.experiments.results import Arrays
from redlib.measures.ranks import spearman
from redlib.measures.simplicity import Frequencies, complexity, frequencies
from redlib.nets import StackedMLP, mean_field
from redlib.nets.boolean import (
    RandomNets,
    every_input,
    functions_found,
    rejection_posterior,
    sample_functions,
    values_at,
)
from redlib.training import Examples

Seen = tuple[Codes, NDArray[np.int64], float]
SHUFFLED, PLACES = 84, 85  # keys of the stream "eval", so that no other draw of a seed repeats these
RARE, SEEN = 20_000, 10  # random nets among which a target is looked for, and how many of them compute it at least
QUARTER = 0.25  # of the values of a target at least are 1, and 0
STARTS = 1_000_000  # start k of a seed has the seed STARTS · (seed + 1) + k
RANDOM, SGD_RULE, SGD_AGAIN, ADAM_RULE = "random", "sgd", "sgd, other starts", "adam"
CHAOTIC = "tanh, large weights"  # in the chaotic phase (Poole et al. 2016)
PRIORS: dict[str, dict[str, Any]] = {"ReLU": {}, CHAOTIC: {"activation": "tanh", "sigma_w": 4.0}}
"""Laws of random nets, by name, as keywords of `RandomNets`."""


@dataclass(frozen=True, kw_only=True)
class RandomFunctions(Experiment):
    """What nets with random weights compute, under several laws (LAND-9)."""

    bits: int = 7
    hidden: tuple[int, ...] = (40, 40)
    priors: tuple[str, ...] = tuple(PRIORS)
    samples: int = 100_000
    shown: int = 1000  # the most frequent functions, which are kept one by one
    seeds: tuple[int, ...] = tuple(range(5))

    arrays = """
    complexity log2_probability: seed prior function
    correlation shuffled_correlation seen seen_twice: seed prior
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return len(self.seeds) * len(self.priors) * self.samples / 1e5

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the functions of each law [S, priors, shown], and what they have in common [S, priors].

        Correlations are those of the ranks of complexity and probability, over functions that are seen twice; shuffled:
        with the values of each function in a random order, so that it has as many ones. NaN fills what is not seen.
        """
        found = [[self.of(seed, prior) for prior in self.priors] for seed in self.seeds]
        return {name: np.stack([np.stack([one[name] for one in row]) for row in found]) for name in found[0][0]}

    def of(self, seed: int, prior: str) -> Arrays:
        """Return the functions of one seed and law; BadInput for an unknown one."""
        if prior not in PRIORS:
            raise BadInput.named("prior", prior, PRIORS, "name one of these.")
        nets = RandomNets((self.bits, *self.hidden, 1), **PRIORS[prior])
        seen = frequencies(sample_functions(nets, seed, self.samples), nets.length)
        often = seen.seen(2) if seen.counts[0] > 1 else None
        shuffled = None if often is None else complexity(in_random_order(often, seed), nets.length)
        return {
            "complexity": padded(seen.complexity, self.shown),
            "log2_probability": padded(seen.log2_probability, self.shown),
            "correlation": np.array(likelier(often, None if often is None else often.complexity)),
            "shuffled_correlation": np.array(likelier(often, shuffled)),
            "seen": np.array(len(seen.counts)), "seen_twice": np.array((seen.counts > 1).sum()),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Found(Training, Experiment):
    """Functions that fit half of a target's values: those of random nets, and those that training finds (LAND-10, 11).

    A target is a function that random nets compute now and then. Nets are trained from as random starts.
    """

    bits: int = 5
    hidden: tuple[int, ...] = (40, 40)
    activation: str = "tanh"
    sigma_w: float = 1.4
    sigma_b: float = 0.3
    told: int = 16  # values of the target that are trained on
    starts: int = 2000  # nets that each rule trains
    rules: tuple[str, ...] = (RANDOM, SGD_RULE, SGD_AGAIN, ADAM_RULE)
    samples: int = 6_000_000  # random nets, at most
    accepted: int = 3000  # of them that fit: enough
    heads: int = 64
    batch: int = 8
    epochs: int = 200  # at most
    rates: tuple[tuple[str, float], ...] = (("sgd", 0.1), ("adam", 0.003))
    shown: int = 300  # functions that are kept one by one
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = """
    counts: seed rule function
    complexity: seed function
    fit samples: seed rule
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return len(self.seeds) * (self.starts + self.accepted) / 500

    @property
    def nets(self) -> RandomNets:
        """Random nets, many last layers to a draw of the hidden ones."""
        return RandomNets(
            (self.bits, *self.hidden, 1), self.activation, sigma_w=self.sigma_w, sigma_b=self.sigma_b, heads=self.heads
        )

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return how often each rule finds a function [S, rules, shown], and the functions' complexities [S, shown].

        The functions are those with the largest shares over all rules, the most frequent first; NaN fills up. fit:
        share of nets that fit what they were told; samples: how many fit, which is what counts are of.
        """
        found = [self.of(seed) for seed in self.seeds]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def of(self, seed: int) -> Arrays:
        """Return the arrays of one seed."""
        length = 2**self.bits
        target = self.target(seed)
        places = np.sort(rng(seed, "eval", PLACES).permutation(length)[: self.told])
        labels = values_at(target, length, places)
        each = [self.by(rule, seed, places, labels) for rule in self.rules]
        codes, counts = together([codes for codes, _, _ in each], [counts for _, counts, _ in each], self.shown)
        return {
            "counts": np.stack([padded(row, self.shown) for row in counts]),
            "complexity": padded(complexity(codes, length), self.shown),
            "fit": np.array([fit for _, _, fit in each]), "samples": np.array([own.sum() for _, own, _ in each]),
        }  # fmt: skip

    def target(self, seed: int) -> Codes:
        """Return a function [B] that some random nets compute, with a quarter to three quarters of ones."""
        seen = frequencies(sample_functions(replace(self.nets, heads=1), seed, RARE), 2**self.bits)
        share = seen.ones / seen.length
        able = np.flatnonzero((seen.counts >= SEEN) & (share >= QUARTER) & (share <= 1 - QUARTER))
        if not len(able):
            raise BadInput.of("balanced functions that random nets compute", 0, "at least one", "Try other weights.")
        return np.asarray(seen.codes[able[rng(seed, "eval", PLACES, 1).integers(len(able))]])

    def by(self, rule: str, seed: int, places: NDArray[np.int64], labels: NDArray[np.int64]) -> Seen:
        """Return the functions that one rule finds, how often, and the share of nets that fit."""
        if rule == RANDOM:
            drawn = rejection_posterior(self.nets, seed, places, labels, self.samples, self.accepted)
            return drawn.codes, drawn.counts, drawn.evidence
        begin = STARTS * (seed + 1) + self.rules.index(rule) * self.starts
        net = StackedMLP.create(
            (self.bits, *self.hidden, 2), range(begin, begin + self.starts), self.activation,
            mean_field(self.sigma_w, self.sigma_b),
        )  # fmt: skip
        inputs = every_input(self.bits)
        fitted = self.learn(net, Examples(inputs[places], torch.from_numpy(labels)), rule)
        found = functions_found(net, inputs)[fitted]
        codes, counts = distinct(found) if len(found) else (found, np.zeros(0, np.int64))
        return codes, counts, float(fitted.mean())

    def learn(self, net: StackedMLP, told: Examples, rule: str) -> NDArray[np.bool_]:
        """Train nets in place by one rule, until each fits; return which do, [starts]."""
        name = rule.split(",")[0]
        how = replace(self, optimizer=name, lr=dict(self.rates)[name])
        history = how.fit(
            net, told, evaluate={"train": told}, probe_epochs=range(self.epochs + 1),
            stop=lambda seen: seen["train_error"] == 0,
        )  # fmt: skip
        return history.final("train_error") == 0


def padded(values: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the first `count` of values, NaN behind them where there are fewer."""
    found = np.full(count, np.nan)
    found[: len(values)] = values[:count]
    return found


def likelier(seen: Frequencies | None, complexities: NDArray[np.float64] | None) -> float:
    """Return the rank correlation of complexities and probabilities: NaN for fewer than two functions."""
    if seen is None or complexities is None or len(seen.counts) < 2:
        return np.nan
    return float(spearman(complexities, seen.log2_probability))


def in_random_order(seen: Frequencies, seed: int) -> Codes:
    """Return the same functions, the values of each in a random order of its own."""
    values = unpacked(seen.codes, seen.length)
    return packed(rng(seed, "eval", SHUFFLED).permuted(values, axis=1))


def together(codes: Sequence[Codes], counts: Sequence[NDArray[np.int64]], most: int) -> tuple[Codes, NDArray[np.int64]]:
    """Return the functions that several rules found, at most so many, and how often each did: [F, B] and [rules, F].

    Those with the largest shares come first, added up over the rules.
    """
    every, place = np.unique(np.concatenate(codes), axis=0, return_inverse=True)
    table, begin = np.zeros((len(codes), len(every)), np.int64), 0
    for row, own in zip(table, counts, strict=True):
        row[place[begin : begin + len(own)]] = own
        begin += len(own)
    order = np.argsort(-(table / np.maximum(table.sum(1, keepdims=True), 1)).sum(0), kind="stable")[:most]
    return every[order], table[:, order]
