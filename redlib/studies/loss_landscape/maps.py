"""What lies on three paths between two trained nets, seen in the plane of their inputs.

Two nets of two inputs learn the same points of two moons. From the first to the second lead the straight line, the
straight line to the second net with its units in the order of the first's, and a curve with a trained bend. Along
each: loss, errors, and the map of decisions, the probability that the net gives to moon 1 at every place of a grid. The
plane through both nets and the bend holds the line and the curve, and in general not the matched line. The defaults
are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from redlib.data.moons import moons
from redlib.data.numbers import whole
from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.lab import Training
from redlib.experiments.results import Arrays
from redlib.measures.matching import match_weights
from redlib.measures.paths import Curve, Descent, bent, straight
from redlib.measures.tunnels import Plane, plane
from redlib.nets import StackedMLP
from redlib.pruning.tickets import REINIT
from redlib.studies.loss_landscape.pairs import CURVE, LINE, MATCHED
from redlib.training import Examples, evaluate

PATHS = (LINE, MATCHED, CURVE)
LEVELS = 255  # a probability is kept in so many steps
TRAIN, TEST = 0, 1  # parts of the moons


@dataclass(frozen=True, kw_only=True)
class Maps(Training, Experiment):
    """Maps of decisions, losses and errors on three paths between two nets, for the explorer of paths (LAND-1, 2)."""

    n: int = 100
    tests: int = 1000
    noise: float = 0.1  # of the points, standard deviation
    hidden: tuple[int, ...] = (16, 16)
    lr: float = 1e-2
    batch: int = 25
    epochs: int = 500  # at most
    until: float = 0.01  # mean cross-entropy at which a net that makes no error stops
    bends: int = 800  # steps of the bend
    bend_lr: float = 1e-2
    looks: int = 21  # positions on a path
    grid: int = 48  # places each way of a map
    reach: float = 2.0  # half the side of a map
    places: int = 30  # each way on the plane of losses
    margin: float = 0.25  # around what it shows, as a share of that
    seeds: tuple[int, ...] = tuple(range(3))

    paths: ClassVar[tuple[str, ...]] = PATHS
    arrays = """
    train_loss train_error test_error away: seed path position
    decisions: seed path position row column
    at: seed path position coordinate
    corners: seed net coordinate
    plane_loss: seed up across
    plane_x: seed across
    plane_y: seed up
    points: seed example coordinate
    moons: seed example
    apart matched_apart: seed
    """

    def __post_init__(self) -> None:
        for name, least in (("looks", 2), ("grid", 2), ("places", 2)):
            whole(name, getattr(self, name), least, "Look at two places or more.")
        if not 0 < self.reach < np.inf:
            raise BadInput.of("reach", self.reach, "finite, > 0", "Moons lie within 2 of the origin.")

    @property
    def positions(self) -> tuple[float, ...]:
        """The t of the looks, evenly spaced from 0 to 1."""
        return tuple((np.arange(self.looks) / (self.looks - 1)).tolist())

    @property
    def centres(self) -> tuple[float, ...]:
        """The coordinates of columns and rows of a map, which are squares; rows go upwards."""
        return tuple((self.reach * ((2 * np.arange(self.grid) + 1) / self.grid - 1)).tolist())

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        looks = 3 * self.looks * (self.grid**2 + self.tests) + self.places**2 * self.n
        steps = (2 * self.total(self.n) + self.bends) * self.batch
        return len(self.seeds) * (looks + steps) * sum(self.hidden) / 1e9

    def part(self, part: int) -> Examples:
        """Return the points of every seed to train on, or to test on."""
        count = (self.n, self.tests)[part]
        x, y = zip(*(moons(seed, count, self.noise, part) for seed in self.seeds), strict=True)
        rows = torch.arange(len(self.seeds) * count).view(len(self.seeds), count)
        return Examples(torch.cat(x), torch.stack(y), rows)

    def trained(self, draw: int, train: Examples) -> StackedMLP:
        """Return trained nets, one a seed; draw 1 begins at other weights and takes other batches than draw 0."""
        net = StackedMLP.create((2, *self.hidden, 2), [seed + draw * REINIT for seed in self.seeds])
        total = self.total(self.n)
        self.fit(
            net, train, evaluate={"train": train}, probe_steps=range(0, total + 1, total // self.epochs),
            stop=lambda seen: (seen["train_loss"] <= self.until) & (seen["train_error"] == 0),
        )  # fmt: skip
        return net

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return losses, errors (shares) and maps along the paths, places on the planes, the planes, and the points.

        `decisions` are uint8, probabilities of moon 1 times 255, rows upwards; `at` and `away` are where the nets of a
        path are on the plane and how far from it, `corners` both nets and the bend there, `apart` and `matched_apart`
        how far the second net is from the first, all Euclidean distances of the weights.
        """
        train, test = self.part(TRAIN), self.part(TEST)
        first, second = (self.trained(draw, train) for draw in (0, 1))
        match = match_weights(first, second)
        how = Descent(self.bends, self.batch, self.bend_lr)
        paths = straight(first, second), straight(first, match.net), bent(first, second, train, descent=how)
        each = [self.of(r, paths, train.select([r]), test.select([r])) for r in range(len(self.seeds))]
        found = {name: np.stack([one[name] for one in each]) for name in each[0]}
        shown = {"points": train.x.view(-1, self.n, 2).numpy(), "moons": train.y.numpy()}
        return found | shown | {"apart": match.before.numpy(), "matched_apart": match.after.numpy()}

    def of(self, r: int, paths: tuple[Curve, ...], train: Examples, test: Examples) -> Arrays:
        """Return the arrays of one seed, from its examples; nets go one by one, so that none rounds by its company."""
        line, _, curve = paths
        nets = [[one(path, t, r) for t in self.positions] for path in paths]
        low = self.window(train, (one(line, 0, r), one(line, 1, r), alone(curve.bend, r)))
        rows = [{name: np.stack(values) for name, values in self.along(path, train, test).items()} for path in nets]
        where = [on_plane(low, path, nets[0][0], nets[0][-1], alone(curve.bend, r)) for path in nets]
        seen = {"plane_loss": low.losses, "plane_x": low.x, "plane_y": low.y, "corners": low.corners}
        return (
            {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            | {name: np.stack(found) for name, found in zip(("at", "away"), zip(*where, strict=True), strict=True)}
            | {name: values.numpy() for name, values in seen.items()}
        )  # fmt: skip

    def along(self, nets: list[StackedMLP], train: Examples, test: Examples) -> dict[str, list[np.ndarray]]:
        """Return a row of each of losses, errors and maps: a number, or a map, for each net of a path."""
        seen, unseen = ([evaluate(net, part, self.loss) for net in nets] for part in (train, test))
        return {
            "train_loss": [found["loss"][0].numpy() for found in seen],
            "train_error": [found["error"][0].numpy() for found in seen],
            "test_error": [found["error"][0].numpy() for found in unseen],
            "decisions": [self.map(net) for net in nets],
        }

    def map(self, net: StackedMLP) -> np.ndarray:
        """Return the probability of moon 1 at every place, uint8 [rows, columns], 0 to 255; rows go upwards."""
        centres = torch.tensor(self.centres)
        up, across = torch.meshgrid(centres, centres, indexing="ij")
        odds = probabilities(net, torch.stack([across, up], -1).view(-1, 2))
        return (LEVELS * odds).round().to(torch.uint8).view(self.grid, self.grid).numpy()

    def window(self, train: Examples, nets: tuple[StackedMLP, ...]) -> Plane:
        """Return the plane of training losses through three nets: a square, so that both axes have one scale."""
        corners = plane(nets, train, 2).corners
        # The curve lies within the triangle of the three nets, and bends half as far as its bend is away.
        seen = torch.cat([corners[:2], 0.25 * corners[:2].sum(0, keepdim=True) + 0.5 * corners[2:]])
        low, high = seen.amin(0), seen.amax(0)
        half = (high - low).max() * (0.5 + self.margin)
        x, y = (m + half * torch.linspace(-1, 1, self.places, dtype=torch.float64) for m in ((low + high) / 2))
        return plane(nets, train, (x, y), loss=self.loss)


def one(path: Curve, t: float, r: int) -> StackedMLP:
    """Return net r at t on a path of stacks."""
    return alone(path.at(t), r)


def alone(nets: object, r: int) -> StackedMLP:
    """Return net r of a stack; BadInput for what is none."""
    if not isinstance(nets, StackedMLP):
        raise BadInput.of("nets", type(nets).__name__, "a StackedMLP", "Maps are those of stacks.")
    return nets.select([r])


@torch.no_grad()
def probabilities(net: StackedMLP, x: Tensor) -> Tensor:
    """Return the probability that the one net of a stack gives to class 1 at points x [N, 2]: float64 [N]."""
    return net.logits(net.pad(x)[None])[0].double().softmax(-1)[:, 1]


def on_plane(
    seen: Plane, nets: list[StackedMLP], first: StackedMLP, second: StackedMLP, third: StackedMLP
) -> tuple[np.ndarray, np.ndarray]:
    """Return where T nets are on the plane through three nets, [T, 2], and how far from it, [T], Euclidean."""
    origin = first.vector()[0].double()
    across, up = (net.vector()[0].double() - origin for net in (second, third))
    x = across / across.norm()
    y = (up - (up @ x) * x) / seen.corners[2, 1]
    away = torch.stack([net.vector()[0].double() - origin for net in nets])
    at = torch.stack([away @ x, away @ y], 1)
    return at.numpy(), (away - at @ torch.stack([x, y])).norm(dim=1).numpy()
