"""Stacks of the convolutional net of Brutzkus & Globerson (2019) for XORD: 2k filters in the plane, trained by descent.

N(x) = Σ_i max_j relu(w_i·x_j) - Σ_i max_j relu(u_i·x_j) for the pairs x_j of a point, with k filters w that count for
the label 1 and k filters u that count for -1. Weights are [R, 2k, 2], R replicates, first the w and then the u; the
second layer is fixed. The loss is the mean of max(0, γ - y·N(x)), with one margin γ or one for each label.

A point is to the net only the patterns it contains (`redlib.data.xord.CONTENTS`, 15 of them), and a filter takes the
stronger of at most two patterns that it fires on. So n points are 15 counts, all filters with the same two patterns in
the same order (a cell, one of 18) have the same gradient up to the sign of their layer, and a step costs R·2k additions
whatever n and d are. Where two different patterns excite a filter equally, the first in PATTERNS is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.data.xord import CONTENTS, EQUAL, LABELS, PATTERNS, UNEQUAL, content_shares, contents
from redlib.errors import BadInput
from redlib.nets.looks import check_looks

Margin = float | tuple[float, float]
"""The margin of the hinge loss, or those of the labels 1 and -1."""

_KEY = 58  # of the streams "init" and "order", so that no other draw of a seed repeats these
_KINDS = 2  # filters w, for the label 1, and u, for -1


@dataclass(frozen=True)
class Trained:
    """What descent left: weights [R, 2k, 2], steps [R] each replicate took, loss [R] at the end, fits [R] (loss 0).

    trajectory [T, R, 2k, 2] holds the weights before the steps that were asked for, the last ones for replicates that
    had stopped by then.
    """

    weights: Tensor
    steps: Tensor
    loss: Tensor
    trajectory: Tensor

    @property
    def fits(self) -> Tensor:
        """Which replicates have a training loss of 0: bool [R]."""
        return self.loss == 0


def initial(seeds: Sequence[int], filters: int, scale: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return Gaussian weights [R, 2k, 2] with k = `filters` of each kind and standard deviation `scale`, σ_g.

    Each seed draws its own in the stream "init"; those of a narrow net are among those of a wider one. BadInput for no
    seeds, fewer than one filter, or a scale that is not positive.
    """
    filters = whole("filters", filters, 1, "Give the net a filter of each kind.")
    if not len(seeds):
        raise BadInput.of("seeds", list(seeds), "at least one seed", "Pass one seed for each replicate.")
    _check_positive("scale", scale, "Weights of 0 have no gradient.")
    drawn = [
        np.concatenate([rng(s, "init", _KEY, kind).standard_normal((filters, 2)) for kind in range(_KINDS)])
        for s in seeds
    ]
    return (scale * torch.from_numpy(np.stack(drawn))).to(dtype)


def outputs(weights: Tensor, x: Tensor) -> Tensor:
    """Return N(x) [R, n] for points x [R, n, d, 2], or [n, d, 2] for all replicates alike; weights [R, 2k, 2].

    BadInput for weights of another shape, for entries other than ±1, and for another number of replicates.
    """
    cells = _check_weights(weights)
    codes = contents(x)
    codes = codes if codes.dim() == 2 else codes.expand(len(weights), -1)
    if len(codes) != len(weights):
        raise BadInput.of("replicates of x", len(codes), str(len(weights)), "Give each its points, or all the same.")
    return _outputs(weights, cells).gather(1, codes)


def outputs_of_contents(weights: Tensor) -> Tensor:
    """Return what the nets answer to points of each of CONTENTS: [R, 15]; errors as `outputs`."""
    return _outputs(weights, _check_weights(weights))


def hinge(outputs: Tensor, y: Tensor, margin: Margin = 1.0) -> Tensor:
    """Return the mean of max(0, γ - y·N(x)) over points: [R], for outputs and labels ±1 [R, n].

    `margin` is γ, or a pair of those of the labels 1 and -1; BadInput unless they are positive.
    """
    positive, negative = _margins(margin)
    return (torch.where(y > 0, positive, negative) - y * outputs).clamp_min(0).mean(-1)


def gradient(weights: Tensor, x: Tensor, y: Tensor, margin: Margin = 1.0) -> tuple[Tensor, Tensor]:
    """Return the mean hinge losses [R] and their gradients by the weights [R, 2k, 2], in closed form.

    x [R, n, d, 2], y [R, n]. A maximum passes its gradient to the first of the equals, relu and hinge pass none at 0.
    BadInput for shapes that do not fit, labels other than ±1 and a margin that is not positive.
    """
    cells = _check_weights(weights)
    shares = _shares(*_check_points(weights, x, y)).to(weights.dtype).mean(1)
    return _gradient(weights, cells, shares, _outputs(weights, cells), _margins(margin))


def train(
    weights: Tensor,
    x: Tensor,
    y: Tensor,
    rate: float,
    steps: int,
    *,
    margin: Margin = 1.0,
    batch: int | None = None,
    seeds: Sequence[int] = (),
    looks: Sequence[int] = (),
) -> Trained:
    """Return what descent on the mean hinge loss makes of the weights [R, 2k, 2], which are left as they are.

    x [R, n, d, 2], y [R, n] are each replicate's points. A replicate stops once its loss on all its points is 0, else
    after `steps` steps. With a `batch`, each step sees so many of them, in an order that each of `seeds` draws anew for
    each pass (the stream "order"; the last points of an order that fill no batch are left out); else all. `looks`
    are numbers of steps, from 0. BadInput for shapes that do not fit and numbers out of their ranges.
    """
    _check_weights(weights)
    codes, y = _check_points(weights, x, y)
    steps, looks = whole("steps", steps, 0, "Give a number of steps."), check_looks(looks, steps)
    rate, margins = _check_positive("rate", rate, "Take a small one."), _margins(margin)
    kinds, dtype = _shares(codes, y), weights.dtype
    whole_set = kinds.to(dtype).mean(1)
    batches = None if batch is None else _Batches(kinds, batch, seeds, dtype)
    now, taken, seen = weights.clone(), torch.zeros(len(weights), dtype=torch.int64), []
    for step in range(steps + 1):
        seen += [now.clone()] * (step in looks)
        cells = _cells(now)
        answers = _outputs(now, cells)
        losses = (_slack(answers, margins) * whole_set).sum((1, 2))
        goes = losses > 0
        if step == steps or not bool(goes.any()):
            break
        shares = whole_set if batches is None else batches.at(step)
        now -= rate * _gradient(now, cells, shares, answers, margins)[1]  # 0 where all losses are
        taken += goes
    seen += [now.clone()] * (len(looks) - len(seen))
    return Trained(now, taken, losses, torch.stack(seen) if seen else now.new_empty(0, *now.shape))


def fresh_error(weights: Tensor, pairs: int, positive: float = 0.5) -> Tensor:
    """Return the probability of a wrong answer to a fresh point of d = `pairs` pairs: float64 [R], exactly.

    Fresh points are those of `redlib.data.xord.content_shares`; an output of 0 is wrong for either label.
    """
    wrong = outputs_of_contents(weights) * torch.tensor(LABELS, dtype=weights.dtype) <= 0
    return (wrong * content_shares(pairs, positive)).sum(1)


def explored(weights: Tensor) -> Tensor:
    """Return which patterns some filter fires on most, for filters w and u: bool [R, 2, 4].

    A pattern has a quarter of all directions, in which it excites a filter more than the others do; a filter of 0 fires
    on none.
    """
    favourites = _FAVOURITE[_check_weights(weights)]
    ours = favourites[..., None] == torch.arange(len(PATTERNS))
    return torch.stack([half.any(1) for half in ours.chunk(_KINDS, 1)], 1)


def detected(weights: Tensor) -> Tensor:
    """Return which patterns some filter of the right sign fires on most: bool [R, 4], in the order of PATTERNS.

    Right are w for (1, 1) and (-1, -1), and u for (1, -1) and (-1, 1). All four are needed to tell every point;
    at the start this is the exploration of Brutzkus & Globerson 2019.
    """
    found = explored(weights)
    return torch.cat([found[:, 0, list(EQUAL)], found[:, 1, list(UNEQUAL)]], 1)


def cover_probability(filters: int, sectors: int = 4, of: int = 4) -> float:
    """Return how likely `filters` random directions fall into each of some `sectors`, of `of` equal ones: a float.

    By inclusion and exclusion, Σ_j (-1)^j C(sectors, j) (1 - j/of)^filters. With k filters of a kind, all patterns are
    `detected` at the start with probability cover_probability(k, 2)². BadInput for bad counts.
    """
    filters = whole("filters", filters, 0, "Count the filters of one kind.")
    sectors, of = whole("sectors", sectors, 0, "Count sectors."), whole("of", of, 1, "Count sectors.")
    if sectors > of:
        raise BadInput.of("sectors", sectors, f"0 <= sectors <= {of}", "Ask for some of those there are.")
    return sum((-1) ** j * math.comb(sectors, j) * (1 - j / of) ** filters for j in range(sectors + 1))


def angles(weights: Tensor) -> Tensor:
    """Return the angle of each filter to the nearest of the four patterns, in degrees: [R, 2k], NaN for filters of 0.

    0 where the filters have clustered; evenly spread over 0 ... 45 for random directions.
    """
    _check_weights(weights)
    turns = torch.atan2(weights[..., 1], weights[..., 0]) * (180 / math.pi)
    found = ((turns % 90) - 45).abs()
    return found.masked_fill((weights == 0).all(-1), torch.nan)


def _selections() -> tuple[Tensor, Tensor]:
    """Return what filters of each cell take from points of each content [18, 15, 2], and their favourites [18].

    They take a pattern, or 0 where they do not fire. Cell (3·e + u)·2 + f: e and u say on which equal and which unequal
    pattern a filter fires (0 none, else its place among the two, from 1), f is 1 where the unequal one is the stronger.
    A favourite is a place in PATTERNS, or -1.
    """
    picked, favourites = torch.zeros(18, len(CONTENTS), 2, dtype=torch.float64), torch.full((18,), -1)
    for cell in range(18):
        e, u, unequal_first = cell // 6, cell // 2 % 3, cell % 2
        order = [EQUAL[e - 1]] * (e > 0) + [UNEQUAL[u - 1]] * (u > 0)
        order = order[::-1] if unequal_first else order
        favourites[cell] = order[0] if order else -1
        for code, content in enumerate(CONTENTS):
            taken = [p for p in order if p in content][:1]
            picked[cell, code] = torch.tensor(PATTERNS[taken[0]] if taken else (0, 0))
    return picked, favourites


_PICKED, _FAVOURITE = _selections()
_FORWARD = _PICKED.permute(1, 0, 2).reshape(len(CONTENTS), -1)  # [15, 36]: from sums of weights to outputs
_BACKWARD = _PICKED.permute(0, 2, 1).reshape(-1, len(CONTENTS))  # [36, 15]: from slopes to gradients


def _cells(weights: Tensor) -> Tensor:
    """Return the cell of each filter, int64 [R, 2k]."""
    a, b = weights.unbind(-1)
    equal, unequal = a + b, a - b
    e = (equal > 0).long() + 2 * (equal < 0)
    u = (unequal > 0).long() + 2 * (unequal < 0)
    return (3 * e + u) * 2 + (unequal.abs() > equal.abs())


def _outputs(weights: Tensor, cells: Tensor) -> Tensor:
    signed = torch.cat([weights[:, : weights.shape[1] // 2], -weights[:, weights.shape[1] // 2 :]], 1)
    # Sums in the order of the filters, one replicate at a time: a matrix product may round otherwise in other company.
    sums = weights.new_zeros(len(weights), 18, 2).scatter_add_(1, cells[..., None].expand(-1, -1, 2), signed)
    return (sums.flatten(1)[:, None] * _FORWARD.to(weights.dtype)).sum(-1)


def _slack(answers: Tensor, margin: tuple[float, float]) -> Tensor:
    """Return max(0, γ - y·N), for labels y = 1 and -1: [R, 2, 15]."""
    return torch.stack([margin[0] - answers, margin[1] + answers], 1).clamp_min(0)


def _gradient(
    weights: Tensor, cells: Tensor, shares: Tensor, answers: Tensor, margin: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Return losses [R] and gradients, from shares of labels and contents [R, 2, 15] and outputs [R, 15]."""
    slack = _slack(answers, margin)
    pull = (slack > 0) * shares
    slopes = pull[:, 1] - pull[:, 0]  # of the loss by the output
    by_cell = (slopes[:, None] * _BACKWARD.to(slopes.dtype)).sum(-1).view(len(weights), 18, 2)
    found = by_cell.gather(1, cells[..., None].expand(-1, -1, 2))
    found[:, weights.shape[1] // 2 :].neg_()
    return (slack * shares).sum((1, 2)), found


class _Batches:
    """What batches hold: shares of labels and contents [R, 2, 15], pass by pass in each seed's own orders."""

    def __init__(self, kinds: Tensor, batch: int, seeds: Sequence[int], dtype: torch.dtype):
        self.kinds, self.seeds, self.dtype, self.epoch = kinds, seeds, dtype, -1
        self.batch = whole("batch", batch, 1, "Leave it out for all points.")
        if self.batch > kinds.shape[1]:
            raise BadInput.of("batch", batch, f"1 <= batch <= {kinds.shape[1]} points", "Leave it out for all points.")
        if len(seeds) != len(kinds):
            raise BadInput.of("seeds", list(seeds), f"{len(kinds)}, one per replicate", "They draw the orders.")
        self.each = kinds.shape[1] // self.batch

    def at(self, step: int) -> Tensor:
        """Return the shares of the batch of a step, [R, 2, 15]; steps go up."""
        if step // self.each != self.epoch:
            self.epoch = step // self.each
            size = self.each * self.batch
            orders = [rng(s, "order", _KEY, self.epoch).permutation(self.kinds.shape[1])[:size] for s in self.seeds]
            rows = torch.from_numpy(np.stack(orders))[..., None, None].expand(-1, -1, *self.kinds.shape[2:])
            split = self.kinds.gather(1, rows).view(len(rows), self.each, self.batch, *self.kinds.shape[2:])
            self.shares = split.to(self.dtype).mean(2)
        return self.shares[:, step % self.each]


def _shares(codes: Tensor, y: Tensor) -> Tensor:
    """Return one 1 for each point, at its label (1, -1) and content: uint8 [R, n, 2, 15]."""
    hot = torch.zeros(*codes.shape, _KINDS * len(CONTENTS), dtype=torch.uint8)
    places = codes + len(CONTENTS) * (y < 0)
    return hot.scatter_(2, places[..., None], 1).view(*codes.shape, _KINDS, len(CONTENTS))


def _check_weights(weights: Tensor) -> Tensor:
    """Return the cells of the weights, where they are a stack of nets."""
    if weights.dim() != 3 or weights.shape[1] % 2 or weights.shape[2] != 2 or 0 in weights.shape:
        raise BadInput.of("shape of weights", tuple(weights.shape), "[R, 2k, 2]", "Put k filters w before k filters u.")
    if not weights.is_floating_point() or not bool(weights.isfinite().all()):
        raise BadInput.of("weights", str(weights.dtype), "finite floats", "Has the net diverged? Take a smaller rate.")
    return _cells(weights)


def _check_points(weights: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the contents of the points, [R, n], and their labels."""
    if x.dim() != 4 or x.shape[:2] != y.shape or len(x) != len(weights) or not x.shape[1]:
        given = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise BadInput.of(
            "shapes of x and y", given, f"[{len(weights)}, n, d, 2] and [{len(weights)}, n]", "Use draw_sets."
        )
    if not bool((y.abs() == 1).all()):
        raise BadInput.of("y", "entries other than 1 and -1", "1 and -1", "Labels are signs.")
    return contents(x), y


def _check_positive(what: str, value: float, remedy: str) -> float:
    if not 0 < value < math.inf:
        raise BadInput.of(what, value, f"{what} > 0", remedy)
    return float(value)


def _margins(margin: Margin) -> tuple[float, float]:
    """Return the margins of the labels 1 and -1."""
    positive, negative = margin if isinstance(margin, tuple) else (margin, margin)
    return _check_positive("margin", positive, "Take 1."), _check_positive("margin", negative, "Take 1.")
