"""Filters in the plane that learn to see two equal signs: which patterns they find, and where they end (UNIT-1 to 3).

The detection problem is XORD (Brutzkus & Globerson 2019): `redlib.data.xord` has its points, `redlib.nets.xord` its
nets. A net has k filters for each label, a "count". Filters of a narrow net are at the start among those of a wider one
of the same seed, and all counts learn the same points. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.data.xord import draw_sets
from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.results import Arrays, Labels
from redlib.nets import xord

SETS: dict[str, dict[str, Any]] = {"diverse": {"diverse": True}, "missing a pattern": {"lacks": ((-1, -1),)}}
"""What training sets contain, as keywords of `redlib.data.xord.draw`.

In a diverse one each point has all the patterns that its label allows; in the other no point has (-1, -1).
"""
_TURNS = 83  # key of the stream "eval": angles by which vectors are turned at random


@dataclass(frozen=True, kw_only=True)
class Detection(Experiment):
    """What the runs on XORD share: training sets and nets.

    The rate of a net with k filters is `rate` / k: each step adds to the output in proportion to the filters, so that
    nets of all sizes take about as many steps, and the paper's rate falls so, too. Of its margins the first is for
    points with an equal pair; with less than eight it has no proof, and large nets do fail.
    """

    counts: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 120, 256)
    sets: tuple[str, ...] = ("diverse", "missing a pattern")
    pairs: int = 5
    n: int = 30
    margins: tuple[float, float] = (8.0, 1.0)  # for labels 1 and -1
    rate: float = 0.2
    steps: int = 500  # at most
    scale: float = 1e-3  # standard deviation of the weights at the start
    seeds: tuple[int, ...] = tuple(range(100))

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return len(self.seeds) * len(self.sets) * self.steps * sum(1e3 + 60 * count for count in self.counts) / 1e9

    def points(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the training points x [S, n, d, 2] of a kind of set and their labels [S, n]; BadInput if unknown."""
        if name not in SETS:
            raise BadInput.named("set", name, SETS, "name one of these.")
        return draw_sets(self.seeds, self.n, self.pairs, **SETS[name])

    def each(self, of: Callable[[str, int], Arrays]) -> Arrays:
        """Return the arrays [S, ...] that `of` gives for each set and count, as [S, sets, counts, ...]."""
        rows = [[of(name, count) for count in self.counts] for name in self.sets]
        return {name: np.stack([np.stack([one[name] for one in row], 1) for row in rows], 1) for name in rows[0][0]}

    def trained(self, name: str, count: int, looks: tuple[int, ...] = ()) -> tuple[Tensor, xord.Trained]:
        """Return the weights at the start [S, 2k, 2], and what training on a kind of set makes of them."""
        start = xord.initial(self.seeds, count, self.scale)
        x, y = self.points(name)
        return start, xord.train(start, x, y, self.rate / count, self.steps, margin=self.margins, looks=looks)


@dataclass(frozen=True, kw_only=True)
class Xord(Detection):
    """Nets of many sizes on both kinds of sets, and what of the patterns they found (UNIT-1 to 3)."""

    arrays = """
    fits fresh_error steps_taken: seed set count
    angle turned_angle weighted_angle: seed set count
    start_angle start_weighted_angle start_detected: seed count
    """

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what the nets of each set and count came to.

        fits: is the loss 0?; fresh_error: probability of a wrong answer, exactly; angles: means over the filters, in
        degrees, to the nearest of the four directions of patterns; weighted: each filter counted by its length; turned:
        each filter turned by an angle of its own at random, the null. start_detected: do filters of the right sign fire
        on each of the four patterns more than on others, before training?
        """
        found = self.each(self.ended)
        starts = [self.begun(count) for count in self.counts]
        return found | {name: np.stack([one[name] for one in starts], 1) for name in starts[0]}

    def begun(self, count: int) -> Arrays:
        """Return what the nets of a size are before training, [S]."""
        start = xord.initial(self.seeds, count, self.scale)
        return {
            "start_angle": mean_angle(start),
            "start_weighted_angle": weighted_angle(start),
            "start_detected": xord.detected(start).all(1).numpy(),
        }

    def ended(self, name: str, count: int) -> Arrays:
        """Return what the nets of one set and size are after training, [S]."""
        _, end = self.trained(name, count)
        return {
            "fits": end.fits.numpy(),
            "fresh_error": xord.fresh_error(end.weights, self.pairs).numpy(),
            "steps_taken": end.steps.numpy(),
            "angle": mean_angle(end.weights),
            "turned_angle": mean_angle(turned(end.weights, self.seeds)),
            "weighted_angle": weighted_angle(end.weights),
        }


@dataclass(frozen=True, kw_only=True)
class XordPaths(Detection):
    """Where the filters of some nets go, step by step, for a picture (UNIT-1 to 3)."""

    counts: tuple[int, ...] = (2, 8, 32, 120)
    times: int = 25  # that nets are looked at, evenly spaced in the logarithm of the step, with the first and the last
    seeds: tuple[int, ...] = (0, 1)

    arrays = """
    weights: seed set count look unit coordinate
    train_error loss fresh_error: seed set count look
    looks: look
    """

    @property
    def labels(self) -> Labels:
        """Sets, counts, and the steps of the looks."""
        return {"set": self.sets, "count": self.counts, "look": self.looked}

    @property
    def looked(self) -> tuple[int, ...]:
        """The numbers of steps after which nets are looked at: `times` of them, or fewer where they are too close."""
        later = np.geomspace(1, self.steps, self.times - 1).round().astype(int)
        return tuple(sorted({0, *later.tolist()}))

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the filters at each look [S, sets, counts, looks, units, 2], first those for the label 1, and errors.

        Smaller nets have NaN in place of units they lack. train_error and fresh_error are shares; a net that fits stays
        as it is.
        """
        return self.each(self.path) | {"looks": np.array(self.looked)}

    def path(self, name: str, count: int) -> Arrays:
        """Return the arrays of one set and size, [S, looks, ...]."""
        x, y = self.points(name)
        seen = self.trained(name, count, self.looked)[1].trajectory
        answers = [xord.outputs(weights, x) for weights in seen]
        wide = torch.full((len(self.seeds), len(seen), 2 * max(self.counts), 2), torch.nan, dtype=seen.dtype)
        wide[:, :, : 2 * count] = seen.transpose(0, 1)
        return {
            "weights": wide.numpy(),
            "train_error": np.stack([(own * y <= 0).double().mean(1).numpy() for own in answers], 1),
            "loss": np.stack([xord.hinge(own, y, self.margins).numpy() for own in answers], 1),
            "fresh_error": np.stack([xord.fresh_error(weights, self.pairs).numpy() for weights in seen], 1),
        }


def mean_angle(weights: Tensor) -> np.ndarray:
    """Return the mean angle of filters [S, 2k, 2] to the nearest direction of a pattern, degrees [S]."""
    return own_angles(weights).nanmean(1).numpy()


def weighted_angle(weights: Tensor) -> np.ndarray:
    """Return the same, each filter counted by its length: degrees [S]."""
    lengths = weights.norm(dim=2)
    found: np.ndarray = ((own_angles(weights).nan_to_num() * lengths).sum(1) / lengths.sum(1)).numpy()
    return found


def own_angles(weights: Tensor) -> Tensor:
    """Return the angles of filters [S, 2k, 2], [S, 2k], found seed by seed: in company arc tangents round otherwise."""
    return torch.cat([xord.angles(own[None].clone()) for own in weights])


def turned(weights: Tensor, seeds: tuple[int, ...]) -> Tensor:
    """Return filters [S, 2k, 2], each turned by an angle of its own, uniform, that its seed draws (stream "eval")."""
    return torch.stack([one_turned(own, seed) for own, seed in zip(weights, seeds, strict=True)])


def one_turned(weights: Tensor, seed: int) -> Tensor:
    """Return the filters [2k, 2] of one seed, each turned by an angle of its own."""
    turn = 2 * np.pi * torch.from_numpy(rng(seed, "eval", _TURNS).random(len(weights))).to(weights.dtype)
    (a, b), cos, sin = weights.unbind(1), turn.cos(), turn.sin()
    return torch.stack([cos * a - sin * b, sin * a + cos * b], 1)
