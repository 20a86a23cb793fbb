"""How much the loss rises nearby: in a box (Keskar et al. 2017), and on a scale that rescaled layers cannot move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.curvature.lanczos import Eigenpairs, Operator, top_eigenvalues
from redlib.measures.curvature.loss import MeanLoss

BOX = 74  # key of the stream "eval", so that no other draw of a seed repeats these
SCALES = ("weight", "filter")
LONGEST = 1e10  # of a step of the ascent, in half sides of the box: more than crosses it
HALVINGS = 8  # of a step that does not raise the loss, before it is given up


def box_sharpness(loss: MeanLoss, epsilon: float = 1e-3, *, steps: int = 50, starts: int = 2) -> Tensor:
    """Return 100 max (f(x + z) - f(x)) / (1 + f(x)) over |z_i| <= epsilon (|x_i| + 1), [R], in per cent.

    Source: Keskar et al. 2017, metric 2.1, in the whole space; they take epsilon = 1e-3 and 5e-4. The maximum is looked
    for by projected gradient ascent from `starts` points of the box, drawn from the stream "eval" of each seed, with
    the step lengths of Barzilai & Borwein (Birgin, Martínez & Raydan 2000), `steps` steps each (they take ten of
    L-BFGS-B). What is found is a lower bound, and 0 at the least. Cut weights do not move. BadInput for an epsilon that
    is not positive, no step, no start, and for a loss of -1 or less, of which 1 + f has another sign.
    """
    if not 0 < epsilon < np.inf:
        raise BadInput.of("epsilon", epsilon, "finite, > 0", "Keskar et al. take 1e-3 and 5e-4.")
    steps, starts = whole("steps", steps, 1, "50 are usual."), whole("starts", starts, 1, "Two are usual.")
    before = loss.value()
    if not bool((before > -1).all()):
        raise BadInput.of("loss", before.min().item(), "> -1", "It is divided by 1 + loss.")
    side = loss.only_free(epsilon * (loss.rows.abs() + 1))
    highest = before
    for start in range(starts):
        highest = torch.maximum(highest, _climbed(loss, side, _start(loss, start), steps))
    return 100 * (highest - before) / (1 + before)


def scales(loss: MeanLoss, by: str = "weight") -> Tensor:
    """Return the size of each parameter [R, P]: |w|, or ("filter") the norm of the filter or row it belongs to.

    A filter is what makes one output: the first axis of a weight counts them. Biases and other vectors count one by
    one. BadInput for another name.
    """
    if by not in SCALES:
        raise BadInput.named("by", by, SCALES, "say what a parameter is measured by.")
    if by == "weight":
        return loss.rows.abs()
    parts = loss.rows.split([shape.numel() for shape in loss.shapes], 1)
    return torch.cat([_filter_norms(part, shape) for part, shape in zip(parts, loss.shapes, strict=True)], 1)


def scaled(loss: MeanLoss, by: str = "weight") -> Operator:
    """Return T H T, T = diag(`scales`), for `top_eigenvalues`, `trace`, `spectral_density` and `hessian`.

    To multiply the weights and biases of a layer of a ReLU net by c and the next layer's weights by 1/c leaves the
    function as it is, and T H T with it; with T of single weights that holds for single units as well.
    """
    size = scales(loss, by)

    def product(vectors: Tensor) -> Tensor:
        return size * loss.hvp(size * vectors.to(size))

    return Operator(product, loss.size, loss.seeds, loss.free, loss.device)


def adaptive_sharpness(loss: MeanLoss, by: str = "weight", k: int = 1, *, tolerance: float = 1e-6) -> Eigenpairs:
    """Return the k largest eigenvalues of T H T, which no rescaling of ReLU layers moves; T as in `scaled`.

    At a minimum the loss rises by ρ²/2 times the largest where |z / T| <= ρ, to second order in ρ: the adaptive
    sharpness of Kwon et al. 2021 (definition 2). Parameters that are 0 do not move. BadInput as `top_eigenvalues`.
    """
    return top_eigenvalues(scaled(loss, by), k, tolerance=tolerance)


@dataclass
class _Place:
    """Points of the box [-1, 1]^P, the losses there [R], and their gradients by the points, in half sides."""

    at: Tensor
    value: Tensor
    slope: Tensor


def _climbed(loss: MeanLoss, side: Tensor, start: Tensor, steps: int) -> Tensor:
    """Return the highest losses [R] on a projected ascent; every replicate has its own step lengths."""
    now = _place(loss, side, start)
    length = 1 / now.slope.abs().amax(1).clamp(min=torch.finfo(side.dtype).tiny)
    for _ in range(steps):
        ahead = (now.at + length.clamp(max=LONGEST)[:, None] * now.slope).clamp(-1, 1) - now.at
        then = _higher(loss, side, now, ahead)
        if bool((then.at == now.at).all()):
            break
        length = _lengths(now, then, length)
        now = then
    return now.value


def _higher(loss: MeanLoss, side: Tensor, now: _Place, ahead: Tensor) -> _Place:
    """Return the places after a step, halved for those replicates whose loss it does not raise."""
    found, share = now, torch.ones_like(now.value)
    open_ = (ahead != 0).any(1)
    for _ in range(HALVINGS):
        if not bool(open_.any()):
            break
        tried = _place(loss, side, torch.where(open_[:, None], now.at + share[:, None] * ahead, found.at))
        better = open_ & (tried.value > now.value)
        found = _Place(*(_chosen(better, new, old) for new, old in zip(_fields(tried), _fields(found), strict=True)))
        open_, share = open_ & ~better, share / 2
    return found


def _lengths(now: _Place, then: _Place, before: Tensor) -> Tensor:
    """Return the step lengths [R] of Barzilai & Borwein: s's / s'(change of slope), the longest where that is up."""
    moved, change = then.at - now.at, now.slope - then.slope
    bend, square = (moved * change).sum(1), moved.square().sum(1)
    fresh = torch.where(bend > 0, square / bend.where(bend > 0, 1.0), torch.full_like(bend, LONGEST))
    return torch.where(square > 0, fresh, before / 2)


def _place(loss: MeanLoss, side: Tensor, at: Tensor) -> _Place:
    value, gradient = loss.value_and_gradient(loss.rows + side * at)
    if not bool(value.isfinite().all()):
        raise BadInput.of("loss in the box", value.tolist(), "finite numbers", "Take a smaller epsilon.")
    return _Place(at, value, side * gradient)


def _fields(place: _Place) -> tuple[Tensor, Tensor, Tensor]:
    return place.at, place.value, place.slope


def _chosen(which: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(which.view(-1, *[1] * (new.dim() - 1)), new, old)


def _start(loss: MeanLoss, number: int) -> Tensor:
    draws = [rng(seed, "eval", BOX, number).uniform(-1, 1, loss.size) for seed in loss.seeds]
    return loss.only_free(torch.from_numpy(np.stack(draws)).to(loss.rows))


def _filter_norms(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) < 2:
        return part.abs()
    filters = part.view(len(part), shape[0], -1)
    return filters.norm(dim=2, keepdim=True).expand_as(filters).flatten(1)
