"""Experiments whose seeds do not meet: each is computed by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from redlib.experiments.experiment import Experiment
from redlib.experiments.results import Arrays, table


@dataclass(frozen=True, kw_only=True)
class Seedwise(Experiment):
    """An experiment that says what `one` seed gives."""

    seeds: tuple[int, ...] = tuple(range(10))

    def one(self, seed: int) -> Arrays:
        """Return the arrays of a seed, without an axis for it."""
        raise NotImplementedError

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the arrays of all seeds."""
        found = [self.one(seed) for seed in self.seeds]
        return {name: np.stack([each[name] for each in found]) for name in found[0]}

    def named(self, rows: Sequence[Sequence[float]]) -> Arrays:
        """Return rows of numbers as arrays [rows] by the names of the declaration, in its order."""
        return dict(zip(table(self.arrays), np.array(rows, np.float64).T, strict=True))
