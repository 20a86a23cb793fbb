"""The runs of the study @TITLE@: frozen settings, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Data, Training
from redlib.experiments.results import Arrays, Labels
from redlib.nets import RaggedMLP


@dataclass(frozen=True, kw_only=True)
class Widths(Data, Training, Experiment):
    """Nets with one hidden layer of several widths, all trained at once."""

    widths: tuple[int, ...] = (8, 64)
    pool: int | None = 1000
    tests: int | None = 400
    epochs: int = 10
    seeds: tuple[int, ...] = tuple(range(10))

    arrays = """
    epochs: epoch
    train_error test_error: seed width epoch
    """

    @property
    def labels(self) -> Labels:
        """The widths."""
        return {"width": self.widths}

    def run(self, before: Mapping[str, np.ndarray] | None = None) -> Arrays:
        """Return epochs [T], and train_error and test_error [S, widths, T], shares in [0, 1]."""
        parts = self.parts()
        net = RaggedMLP.create(parts["train"].x.shape[1], self.widths, self.load().classes, self.seeds)
        history = self.fit(net, parts["train"], evaluate=parts, probe_epochs=range(self.epochs + 1))
        shape = len(self.seeds), len(self.widths), -1
        errors = {name: history[name].reshape(shape) for name in ("train_error", "test_error")}
        return {"epochs": history.epochs} | errors
