"""Two nets that were trained apart, and the paths between them (LAND-1, 2 and 5).

Both nets of a seed learn the same examples from starts of their own. Between them go the straight line, the line to the
second net with its units in the order of the first's, and a curve that is trained. The defaults are the profile
`laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from redlib.experiments.fitted import Fitted
from redlib.experiments.results import Arrays
from redlib.measures.curvature import MeanLoss, loss_of
from redlib.measures.matching import match_weights
from redlib.measures.paths import Curve, Descent, along, bent, straight, unseen
from redlib.measures.tunnels import half_widths, plane
from redlib.nets import StackedMLP
from redlib.pruning.tickets import REINIT

CLOSE = 0.01  # relative error of a half-width; directions differ by far more
LINE, MATCHED, CURVE = "line", "matched", "curve"


@dataclass(frozen=True, kw_only=True)
class Hidden(Fitted):
    """MLPs with two hidden layers of one width, which fit their examples."""

    n: int | None = 400
    lr: float = 0.1
    epochs: int = 200
    seeds: tuple[int, ...] = tuple(range(10))

    def layer_sizes(self, width: int) -> tuple[int, ...]:
        """Return the units of every layer, inputs first."""
        data = self.load()
        return data.train.x[0].numel(), width, width, data.classes

    def nets(self, width: int, copies: int = 1) -> StackedMLP:
        """Return the initial nets of a width: one a seed, then the second ones if there are two `copies`."""
        seeds = [seed + copy * REINIT for copy in range(copies) for seed in self.seeds]
        return StackedMLP.create(self.layer_sizes(width), seeds)

    def effort(self, width: int) -> float:
        """Return the relative time of one epoch of the nets of a width."""
        sizes = self.layer_sizes(width)
        weights = sum(one * other for one, other in zip(sizes[:-1], sizes[1:], strict=True))
        return float(self.size * len(self.seeds) * weights / 1e9)


@dataclass(frozen=True, kw_only=True)
class Joined(Hidden):
    """Pairs of nets, and how a curve between them is trained."""

    steps_of_bend: int = 500
    lr_of_bend: float = 0.01

    def pair(self, width: int) -> tuple[StackedMLP, StackedMLP]:
        """Return two trained nets of every seed."""
        both = self.nets(width, copies=2)
        self.learn(both, self.parts()["train"], seeds=both.seeds)
        count = len(self.seeds)
        return both.select(range(count)), both.select(range(count, 2 * count))

    def curve(self, first: StackedMLP, second: StackedMLP) -> Curve:
        """Return the trained curves between the nets of pairs."""
        how = Descent(self.steps_of_bend, self.batch, self.lr_of_bend)
        return bent(first, second, self.parts()["train"], descent=how, loss=self.loss)


@dataclass(frozen=True, kw_only=True)
class Pairs(Joined):
    """Pairs of nets of many widths, what lies on the paths between them, and how wide the tunnel around one is."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 256)  # of 8 units some nets do not fit
    paths: tuple[str, ...] = (LINE, MATCHED, CURVE)
    positions: int = 41
    directions: int = 12
    times: float = 2.0  # the loss at the wall of a tunnel, over `until`

    arrays = """
    train_error train_loss test_error: seed width path position
    at: position
    distance matched_distance raw_width filter_width: seed width
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return (2 * self.epochs + self.steps_of_bend / 4) * sum(self.effort(width) for width in self.widths)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return errors (shares) and losses on the paths of each width, distances of the nets and half-widths."""
        found = [self.of(width) for width in self.widths]
        at = np.linspace(0, 1, self.positions)
        return {"at": at} | {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def of(self, width: int) -> Arrays:
        """Return the arrays of one width."""
        first, second = self.pair(width)
        match = match_weights(first, second)
        curves = {
            LINE: straight(first, second),
            MATCHED: straight(first, match.net),
            CURVE: self.curve(first, second),
        }
        seen = [self.seen(curves[path]) for path in self.paths]
        on = {name: np.stack([one[name] for one in seen], 1) for name in seen[0]}
        apart = {"distance": match.before.numpy(), "matched_distance": match.after.numpy()}
        return on | apart | self.tunnels(first)

    def seen(self, curve: Curve) -> Arrays:
        """Return errors (shares) and training losses of the nets on a curve, where it was not trained, [S, A]."""
        parts, at = self.parts(), unseen(curve, self.positions)
        train, test = (along(curve, parts[name], at, loss=self.loss) for name in ("train", "test"))
        return {
            "train_error": train.errors.numpy(), "train_loss": train.losses.numpy(), "test_error": test.errors.numpy()
        }  # fmt: skip

    def tunnels(self, net: StackedMLP) -> Arrays:
        """Return the median half-widths around nets, [S]."""
        return widths_of(loss_of(net, self.parts()["train"], self.loss), self.directions, self.times * self.until)


@dataclass(frozen=True, kw_only=True)
class Planes(Joined):
    """The plane through both nets of a pair and the bend of the curve between them, for the picture."""

    width: int = 64
    grid: int = 41
    seeds: tuple[int, ...] = (0, 1)

    arrays = """
    loss: seed row column
    x: seed column
    y: seed row
    corners: seed net axis
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return (2 * self.epochs + self.steps_of_bend / 4 + self.grid**2 / 3) * self.effort(self.width)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return training losses on the planes, at places x and y, and where the nets are: first, second, bend."""
        first, second = self.pair(self.width)
        bend, train = cast(StackedMLP, self.curve(first, second).bend), self.parts()["train"]
        each = [
            plane([net.select([s]) for net in (first, second, bend)], train.select([s]), self.grid, loss=self.loss)
            for s in range(len(self.seeds))
        ]
        held = {"loss": "losses", "x": "x", "y": "y", "corners": "corners"}
        return {name: np.stack([getattr(one, of).numpy() for one in each]) for name, of in held.items()}


def widths_of(loss: MeanLoss, count: int, level: float) -> Arrays:
    """Return the median distances at which the loss first exceeds a level, along `count` directions, [R].

    raw_width is a Euclidean distance, filter_width a multiple of the lengths of the filters.
    """
    found = {name: half_widths(loss, count, name, level=level, tolerance=CLOSE).widths for name in ("raw", "filter")}
    return {f"{name}_width": widths.median(1).values.numpy() for name, widths in found.items()}
