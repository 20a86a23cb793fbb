"""How far the loss stays low around a solution: half-widths along random directions, and planes through three nets.

The low-loss region around a solution is a tunnel in the picture of Fort & Jastrzębski 2019. Its half-width along a
direction is the distance at which the loss first exceeds a level. A raw distance is in the unit of the weights, and a
ReLU net computes the same with one layer's weights doubled and the next one's halved; with each filter of a direction
as long as the net's own (filter normalisation, Li et al. 2018) distances are shares of the filters.

All but the plane takes a `curvature.MeanLoss` of R nets (`curvature.loss_of`, of a stack or of modules). Modules are in
evaluation mode: batch norm keeps the statistics of the solution (Li et al. 2018). Cut weights do not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import floats, whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.connectivity import Parts
from redlib.measures.curvature.loss import MeanLoss, least_free
from redlib.measures.curvature.sharpness import scales
from redlib.measures.paths import Net, Pool, coefficients, combined, losses_and_errors_of
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP

NORMALISATIONS = ("raw", "filter")
DIRECTIONS = 75  # key of the stream "eval", so that no other draw of a seed repeats these
FIRST = 2.0**-10  # of the range: where the search begins
FARTHEST = 10.0  # in lengths of the net's parameters, or of its filters


@dataclass(frozen=True)
class HalfWidths:
    """Half-widths along D directions of R nets: `widths` [R, D], `censored` bool [R, D], `level` and `reach` [R].

    Raw widths are Euclidean distances, in the unit of the weights; filter-normalised ones are multiples of the filters'
    lengths. Where the loss stays at or below `level` up to `reach`, the width is infinity and `censored` True. Where it
    is above an absolute level at the start, the width is NaN. All numbers are float64.
    """

    widths: Tensor
    censored: Tensor
    level: Tensor
    reach: Tensor


@dataclass(frozen=True)
class Plane:
    """Losses and errors [Y, X] on the plane through three nets, at x [X] and y [Y]; corners [3, 2] are the nets.

    The first net is the origin, the second lies on the x axis, distances are Euclidean (Garipov et al. 2018, appendix).
    All are float64, errors shares in [0, 1].
    """

    x: Tensor
    y: Tensor
    losses: Tensor
    errors: Tensor
    corners: Tensor

    def path(self, kind: str, t: Tensor) -> Tensor:
        """Return where a curve from the first net by way of the third to the second is at t [T]: [T, 2].

        `kind` is "bezier" or "chain"; "line" is the straight line.
        """
        if kind == "line":
            return t.double()[:, None] * self.corners[1]
        return coefficients(kind, t) @ self.corners[[0, 2, 1]]


def directions(loss: MeanLoss, number: int, normalise: str = "raw") -> Tensor:
    """Return random direction `number` (0, 1, …) of each net [R, P], from the stream "eval" of its seed.

    Normal in every parameter that may change. "raw": of Euclidean length 1. "filter": the part of each filter (what
    makes one output) is as long as the net's own; biases and other vectors stay where they are (Li et al. 2018,
    section 4). A filter of zeros has no length to share, so it stays where it is as well. BadInput for another name,
    and where nothing would move.
    """
    if normalise not in NORMALISATIONS:
        raise BadInput.named("normalise", normalise, NORMALISATIONS, "say what a distance is measured by.")
    number = whole("number", number, 0, "Directions count from 0.")
    least_free(loss.size, loss.free)
    draws = [rng(seed, "eval", DIRECTIONS, number).standard_normal(loss.size) for seed in loss.seeds]
    drawn = loss.only_free(torch.from_numpy(np.stack(draws)).to(loss.rows))
    if normalise == "raw":
        return drawn / drawn.norm(dim=1, keepdim=True)
    return _as_long_as_filters(loss, drawn)


def half_widths(
    loss: MeanLoss,
    count: int = 20,
    normalise: str = "raw",
    *,
    times: float = 2.0,
    level: float | None = None,
    reach: float | None = None,
    tolerance: float = 1e-3,
) -> HalfWidths:
    """Return the distances at which the loss first exceeds a level along `count` directions of each net.

    The level is `times` the loss at the solution, or `level` where that is given. Looked for at a 1,024th of `reach`
    and its doublings (halvings where the loss is above the level there), then bisected to a relative error of
    `tolerance` at most (from a millionth of `reach` on). A ridge narrower than a doubling is stepped over; a loss that
    is not a number counts as above. `reach` None is ten lengths of each net's parameters ("raw"), or of its filters.
    Each of the `directions` is gone one way; its opposite is as likely.

    BadInput for no directions, another normalisation, a reach or tolerance that is not positive, times <= 1, a loss of
    0 or less, of which no multiple is above it, and one that is not finite.
    """
    count = whole("count", count, 1, "Look along some directions.")
    if not 0 < tolerance < 1:
        raise BadInput.of("tolerance", tolerance, "0 < tolerance < 1", "1e-3 is a thousandth of the width.")
    first = directions(loss, 0, normalise)
    highest, far = _level(loss, times, level), _reach(loss, normalise, reach)
    found = []
    for number in range(count):
        step = directions(loss, number, normalise) if number else first
        found.append(_bisected(loss, step, highest, far, tolerance))
    widths = torch.stack(found, 1)
    outside = loss.value().double() > highest
    widths[outside] = torch.nan
    return HalfWidths(widths.cpu(), widths.isinf().cpu(), highest.cpu(), far.cpu())


def loss_changes(loss: MeanLoss, lengths: Sequence[float] | Tensor, count: int = 20) -> Tensor:
    """Return by how much the loss changes after steps in random directions: [R, D, S], float64.

    `count` D raw directions of each net, `lengths` S in units of ‖θ‖, the length of its parameters. `rising_share` has
    the shares of rises. BadInput for no directions, no length, lengths that are not positive, and a net of zeros.
    """
    count = whole("count", count, 1, "Step in some directions.")
    steps = floats(lengths, "lengths")
    if steps.ndim != 1 or not len(steps) or not ((steps > 0) & np.isfinite(steps)).all():
        raise BadInput.of("lengths", steps.tolist(), "[S], at least one, all > 0", "They are shares of the length.")
    size, before = _lengths(loss), loss.value()
    found = []
    for number in range(count):
        ahead = directions(loss, number) * size[:, None]
        found.append(torch.stack([loss.value(loss.rows + s * ahead) - before for s in steps.tolist()], 1))
    return torch.stack(found, 1).double().cpu()


def rising_share(changes: Tensor) -> Tensor:
    """Return the share in [0, 1] of directions that raise the loss, [R, S], of changes [R, D, S].

    What is not a number (a loss beyond all numbers) counts as a rise. BadInput for another shape, or no directions.
    """
    if changes.dim() != 3 or not changes.shape[1]:
        raise BadInput.of("shape of the changes", tuple(changes.shape), "[R, D >= 1, S]", "See `loss_changes`.")
    return (~(changes <= 0)).double().mean(1)


def plane(
    nets: Sequence[Net],
    examples: Parts,
    grid: int | tuple[Tensor, Tensor] = 21,
    *,
    margin: float = 0.2,
    loss: str = "cross_entropy",
    train: Pool | None = None,
) -> Plane:
    """Return losses and errors on the plane through three nets, stacks of one replicate or modules.

    Axes are of Gram and Schmidt: x along w2 - w1, y along what of w3 - w1 stands upright on it. `grid` is the number of
    places each way, over the three nets and `margin` of their extent around them, or the places (x [X], y [Y])
    themselves. With the bend of a curve as the third net, the curve lies in the plane (`Plane.path`). Batch norm is
    measured anew on the training inputs `train` at every place. BadInput for another number of nets or replicates, nets
    of different shapes, and three nets on one line.
    """
    if len(nets) != 3:
        raise BadInput.of("number of nets", len(nets), "3", "Three points make a plane.")
    corners = _corners(nets)
    x, y = _places(corners, grid, margin)
    # Inverse of the corners' coordinates: a place is w1 + a (w2 - w1) + b (w3 - w1).
    b = y / corners[2, 1]
    a = (x[None] - b[:, None] * corners[2, 0]) / corners[1, 0]
    shares = torch.stack([1 - a - b[:, None], a, b[:, None].expand_as(a)], -1)
    found = [losses_and_errors_of(combined(nets, s), examples, loss=loss, train=train) for s in shares.flatten(0, 1)]
    losses, errors = (torch.cat(part).view(len(y), len(x)) for part in zip(*found, strict=True))
    return Plane(x, y, losses, errors, corners)


def _as_long_as_filters(loss: MeanLoss, drawn: Tensor) -> Tensor:
    own, parts = scales(loss, "filter"), []
    for part, size, shape in zip(_split(loss, drawn), _split(loss, own), loss.shapes, strict=True):
        if len(shape) < 2:
            parts.append(torch.zeros_like(part))
            continue
        filters = part.view(len(part), shape[0], -1)
        length = filters.norm(dim=2, keepdim=True)
        unit = torch.where(length > 0, filters / length, torch.zeros_like(filters))
        parts.append(unit.flatten(1) * size)
    found = torch.cat(parts, 1)
    if still := [r for r, moves in enumerate((found != 0).any(1).tolist()) if not moves]:
        raise BadInput.of("nets without a filter that is not 0", still, "none", "Leave these out, or take 'raw'.")
    return found


def _split(loss: MeanLoss, rows: Tensor) -> list[Tensor]:
    return list(rows.split([shape.numel() for shape in loss.shapes], 1))


def _level(loss: MeanLoss, times: float, level: float | None) -> Tensor:
    """Return the levels [R]."""
    start = loss.value().double()
    if not bool(start.isfinite().all()):
        raise BadInput.of("loss", start.tolist(), "finite numbers", "Leave these nets out.")
    if level is not None:
        if not np.isfinite(level):
            raise BadInput.of("level", level, "a finite number", "It is an absolute loss.")
        return torch.full_like(start, level)
    if not 1 < times < np.inf:
        raise BadInput.of("times", times, "finite, > 1", "The level is that many times the loss; 2 is usual.")
    if not bool((start > 0).all()):
        raise BadInput.of("loss", start.min().item(), "> 0", "No multiple of it is above it: pass an absolute level.")
    return times * start


def _reach(loss: MeanLoss, normalise: str, reach: float | None) -> Tensor:
    if reach is not None and not 0 < reach < np.inf:
        raise BadInput.of("reach", reach, "finite, > 0", "It is the farthest distance that is looked at.")
    if reach is not None:
        return torch.full_like(loss.rows[:, 0], reach, dtype=torch.float64)
    if normalise == "filter":
        return torch.full_like(loss.rows[:, 0], FARTHEST, dtype=torch.float64)
    return FARTHEST * _lengths(loss).double()


def _lengths(loss: MeanLoss) -> Tensor:
    size = loss.rows.norm(dim=1)
    if not bool((size > 0).all()):
        raise BadInput.of("length of the parameters", size.min().item(), "> 0", "Steps are shares of it.")
    return size


def _bisected(loss: MeanLoss, step: Tensor, level: Tensor, reach: Tensor, tolerance: float) -> Tensor:
    """Return where the losses first exceed their levels along one direction each [R]; infinity where they never do.

    `low` is the farthest distance known to be below the level, `high` the nearest known to be above.
    """
    low, high = torch.zeros_like(reach), torch.full_like(reach, torch.inf)
    while True:
        open_ = torch.where(high.isinf(), low < reach, (high - low > tolerance * high) & (high > FIRST**2 * reach))
        if not bool(open_.any()):
            return torch.where(high.isinf(), high, (low + high) / 2)
        at = _next(low, high, reach)
        above = ~(loss.value(loss.rows + (at[:, None] * step).to(loss.rows)).double() <= level)
        low, high = torch.where(open_ & ~above, at, low), torch.where(open_ & above, at, high)


def _next(low: Tensor, high: Tensor, reach: Tensor) -> Tensor:
    """Return the distances to look at: doublings while nothing is above, halvings while nothing is below."""
    out = torch.where(low > 0, 2 * low, FIRST * reach).minimum(reach)
    return torch.where(high.isinf(), out, (low + high.where(high.isfinite(), low)) / 2)


def _corners(nets: Sequence[Net]) -> Tensor:
    """Return the coordinates [3, 2] of three nets in their plane."""
    rows = [_row(net) for net in nets]
    if len({len(row) for row in rows}) > 1:
        raise BadInput.of("parameters", [len(row) for row in rows], "as many in each", "Pass nets of one shape.")
    across, up = rows[1] - rows[0], rows[2] - rows[0]
    width = across.norm()
    along = up @ across / width if width > 0 else width
    height = (up - along / width * across).norm() if width > 0 else width
    if not bool(height > 1e-9 * up.norm()):
        raise BadInput.of("three nets", "on one line", "three that span a plane", "Take another third net.")
    return torch.tensor([[0.0, 0.0], [width.item(), 0.0], [along.item(), height.item()]], dtype=torch.float64)


def _row(net: Net) -> Tensor:
    count = net.replicates if isinstance(net, StackedMLP) else len(modules_of(net))
    if count != 1:
        raise BadInput.of("replicates", count, "1", "A plane is that of one replicate: see StackedMLP.select.")
    if isinstance(net, StackedMLP):
        return net.vector()[0].double()
    return torch.cat([p.detach().flatten() for p in modules_of(net)[0].parameters()]).double()


def _places(corners: Tensor, grid: int | tuple[Tensor, Tensor], margin: float) -> tuple[Tensor, Tensor]:
    if isinstance(grid, tuple):
        x, y = (torch.from_numpy(floats(part, "grid")) for part in grid)
        if x.dim() != 1 or y.dim() != 1 or not len(x) or not len(y):
            raise BadInput.of("grid", (tuple(x.shape), tuple(y.shape)), "([X], [Y])", "Pass places on both axes.")
        return x, y
    count = whole("grid", grid, 2, "It is the number of places each way.")
    if not 0 <= margin < np.inf:
        raise BadInput.of("margin", margin, "finite, >= 0", "It is a share of the extent.")
    low, high = corners.amin(0), corners.amax(0)
    even, room = torch.linspace(0, 1, count, dtype=torch.float64)[:, None], margin * (high - low)
    x, y = (low - room + even * (high - low + 2 * room)).T
    return x, y
