"""What nets of this study have in common: their data, and that they train until they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Drawn, Net, Training
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
    seeds: tuple[int, ...] = tuple(range(10))

    normalise: ClassVar[str] = "standard"

    def learn(self, net: Net, train: Examples) -> None:
        """Train the nets of the seeds in place until they fit, looking once an epoch."""
        total = self.total(len(train))
        self.fit(
            net, train, seeds=self.seeds, evaluate={"train": train},
            probe_steps=range(0, total + 1, total // self.epochs),
            stop=lambda seen: (seen["train_loss"] <= self.until) & (seen["train_error"] == 0),
        )  # fmt: skip

    def ends(self, net: Net, train: Examples) -> Arrays:
        """Return training loss and error and test error (shares), [S]."""
        seen, unseen = evaluate(net, train, self.loss), evaluate(net, self.parts()["test"], self.loss)
        found = {"train_loss": seen["loss"], "train_error": seen["error"], "test_error": unseen["error"]}
        return {name: values.double().numpy() for name, values in found.items()}
