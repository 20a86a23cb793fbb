"""What a training run leaves behind: probes by step with the replicate first, and the state to go on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from redlib.errors import BadInput


@dataclass
class History:
    """Probed values and per-step losses of R replicates.

    steps [T] steps taken at each probe; values[name] [R, T, ...]; batch_loss [R, steps];
    stopped_at [R] the probe step at which a replicate met the stop criterion (-1 = never: censored);
    state: what `fit(..., resume=history.state)` continues from.
    """

    steps: np.ndarray
    steps_per_epoch: int
    values: dict[str, np.ndarray]
    batch_loss: np.ndarray
    stopped_at: np.ndarray
    state: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def epochs(self) -> np.ndarray:
        """Epochs at each probe [T] (fractions where a probe fell inside an epoch)."""
        return self.steps / self.steps_per_epoch

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the probed values [R, T, ...] of `name`."""
        if name not in self.values:
            raise BadInput.of("probe", name, f"one of {sorted(self.values)}", "Pass it to fit as a probe.")
        return self.values[name]

    def final(self, name: str) -> np.ndarray:
        """Return the last probed value of each replicate [R, ...]."""
        return self[name][:, -1]

    def first(self, replicates: int) -> History:
        """Return the history of the first `replicates` (the state stays whole, so that resuming works)."""
        values = {name: v[:replicates] for name, v in self.values.items()}
        losses, stopped = self.batch_loss[:replicates], self.stopped_at[:replicates]
        return History(self.steps, self.steps_per_epoch, values, losses, stopped, self.state)

    def frame(self, **columns: Any) -> pd.DataFrame:
        """Return the scalar probes as a tidy frame (replicate, step, epoch, one column each) plus `columns` [R]."""
        replicates, probes = len(self.batch_loss), len(self.steps)
        index = pd.DataFrame(
            {
                "replicate": np.repeat(np.arange(replicates), probes),
                "step": np.tile(self.steps, replicates),
                "epoch": np.tile(self.epochs, replicates),
            }
        )
        for name, values in columns.items():
            index[name] = np.repeat(np.asarray(values), probes)
        scalars = {name: v.reshape(-1) for name, v in self.values.items() if v.ndim == 2}
        return index.assign(**scalars)


def join(parts: list[History]) -> History:
    """Return the histories of consecutive chunks of replicates as one; the longest sets the probe steps.

    A chunk whose replicates all met the stop criterion ends early; its last values are carried forward.
    """
    longest = max(parts, key=lambda part: len(part.steps))
    count, steps = len(longest.steps), max(part.batch_loss.shape[1] for part in parts)
    return History(
        longest.steps,
        longest.steps_per_epoch,
        {name: np.concatenate([_extend(part[name], count) for part in parts]) for name in longest.values},
        np.concatenate([_extend(part.batch_loss, steps) for part in parts]),
        np.concatenate([part.stopped_at for part in parts]),
        {"chunks": [part.state for part in parts]},
    )


def _extend(values: np.ndarray, count: int) -> np.ndarray:
    missing = count - values.shape[1]
    return np.concatenate([values, np.repeat(values[:, -1:], missing, axis=1)], axis=1) if missing else values
