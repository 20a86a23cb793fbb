"""Nets of several studies: each seed draws its examples, and training ends when they are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from redlib.data.replicates import corrupt_rows
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn, Net, Parts, Training
from redlib.experiments.results import Arrays
from redlib.training import Examples, evaluate


@dataclass(frozen=True, kw_only=True)
class Fitted(Drawn, Training, Experiment):
    """Nets that train until they make no error on their examples and their loss is down to `until`."""

    pool: int | None = 797
    tests: int | None = 1000
    optimizer: str = "sgd"
    batch: int = 50
    epochs: int = 400  # at most
    until: float = 0.01  # mean cross-entropy
    noise: float = 0.0  # share of training labels that are wrong
    seeds: tuple[int, ...] = tuple(range(10))

    normalise: ClassVar[str] = "standard"

    def parts(self) -> Parts:
        """Return the examples by part; labels to train on are those the nets are told."""
        parts = super().parts()
        if not self.noise:
            return parts
        rows, true = parts["train"].table(len(self.seeds))
        each = torch.arange(true.numel()).view_as(true)
        told = corrupt_rows(true.flatten(), each, self.noise, self.load().classes, self.seeds)
        return parts | {"train": Examples(parts["train"].x, told, rows)}

    def learn(self, net: Net, train: Examples, seeds: Sequence[int] | None = None) -> None:
        """Train nets in place until they fit, looking once an epoch; `seeds` [R] of batches: None, one net a seed."""
        total = self.total(len(train))
        self.fit(
            net, train, seeds=self.seeds if seeds is None else seeds, evaluate={"train": train},
            probe_steps=range(0, total + 1, total // self.epochs),
            stop=lambda seen: (seen["train_loss"] <= self.until) & (seen["train_error"] == 0),
        )  # fmt: skip

    def ends(self, net: Net, train: Examples) -> Arrays:
        """Return training loss and error and test error (shares), [R]."""
        seen, unseen = evaluate(net, train, self.loss), evaluate(net, self.parts()["test"], self.loss)
        found = {"train_loss": seen["loss"], "train_error": seen["error"], "test_error": unseen["error"]}
        return {name: values.double().numpy() for name, values in found.items()}
