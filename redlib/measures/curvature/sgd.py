"""Whether SGD can stay at a minimum: its sharpness and non-uniformity against what a step and a batch allow.

Wu, Ma & E 2018: with the Hessians H_i of the n examples' losses and their mean H, the sharpness is a = λmax(H) and the
non-uniformity s = λmax(Σ)^(1/2), Σ = (1/n) Σ_i H_i² - H². Steps of rate η on batches of B examples can stay where
a <= 2/η and s <= (1/η) √(B (n - 1) / (n - B)), a necessary condition. It is one on minima at which the gradients of all
examples vanish; a and s are defined everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import whole
from redlib.errors import BadInput
from redlib.measures.curvature.lanczos import Eigenpairs, Operator, top_eigenvalues
from redlib.measures.curvature.loss import MeanLoss

ROOM = 2**28  # bytes for the products of single examples, and what comes up beside them
BESIDE = 8  # tensors of that size at a time


@dataclass(frozen=True)
class Stability:
    """Sharpness and non-uniformity [R] with their errors [R], their bounds, and whether both are within: bool [R].

    All but `stable` are in the unit of the Hessian, 1 over that of the learning rate.
    """

    sharpness: Tensor
    sharpness_error: Tensor
    non_uniformity: Tensor
    non_uniformity_error: Tensor
    sharpness_bound: float
    non_uniformity_bound: float
    stable: Tensor


def stability(loss: MeanLoss, rate: float, batch: int, *, tolerance: float = 1e-5, steps: int = 300) -> Stability:
    """Return sharpness and non-uniformity of nets, and whether SGD of this rate and batch size can stay at them.

    `rate` is the learning rate of plain SGD. Source: Wu, Ma & E 2018. A full batch bounds the sharpness alone.
    BadInput as `bounds` and `top_eigenvalues`.
    """
    most_sharp, most_uneven = bounds(rate, batch, loss.count)
    sharp = top_eigenvalues(loss, tolerance=tolerance, steps=steps)
    uneven, error = non_uniformity(loss, tolerance=tolerance, steps=steps)
    a, a_error = sharp.values[:, 0], sharp.errors[:, 0]
    within = (a <= most_sharp) & (uneven <= most_uneven)
    return Stability(a, a_error, uneven, error, most_sharp, most_uneven, within)


def bounds(rate: float, batch: int, count: int) -> tuple[float, float]:
    """Return (2/η, (1/η) √(B (n - 1) / (n - B))): the largest stable sharpness and non-uniformity.

    The second is infinity for a full batch, B = n. BadInput for a rate that is not positive, and unless 1 <= B <= n.
    """
    if not 0 < rate < np.inf:
        raise BadInput.of("rate", rate, "finite, > 0", "It is the learning rate.")
    n = whole("count", count, 1, "It is the number of examples.")
    size = whole("batch", batch, 1, f"It is the batch size; {n} is a full batch.")
    if size > n:
        raise BadInput.of("batch", batch, f"1 <= batch <= {n}, the examples", "Pass the batch size of training.")
    return 2 / rate, np.inf if size == n else float((size * (n - 1) / (n - size)) ** 0.5 / rate)


def non_uniformity(loss: MeanLoss, *, tolerance: float = 1e-5, steps: int = 300) -> tuple[Tensor, Tensor]:
    """Return the non-uniformities [R] (Wu, Ma & E 2018) and how far off they may be [R], float64.

    Each product takes two of every example's own Hessian, in blocks of examples that fit into 256 MB. BadInput as
    `top_eigenvalues`, and for what torch.func cannot map over examples.
    """
    found: Eigenpairs = top_eigenvalues(covariance(loss), tolerance=tolerance, steps=steps)
    square, error = found.values[:, 0].clamp(min=0), found.errors[:, 0]
    return square.sqrt(), (square + error).sqrt() - square.sqrt()


def covariance(loss: MeanLoss) -> Operator:
    """Return Σ = (1/n) Σ_i H_i² - H² of the examples' Hessians, for `top_eigenvalues`, `trace` and others.

    A product is (1/n) Σ_i H_i (H_i v - H v): small where the examples agree, without a difference of large numbers.
    """

    size = _at_once(loss)

    def product(vectors: Tensor) -> Tensor:
        along = loss.only_free(vectors.to(loss.rows))
        mean, total = loss.hvp(along), torch.zeros_like(along)
        for x, y in loss.blocks:
            for inputs, labels in zip(x.split(size, 1), y.split(size, 1), strict=True):
                total += _deviations(loss, along, mean, inputs, labels)
        return loss.only_free(total / loss.count)

    return Operator(product, loss.size, loss.seeds, loss.free, loss.device)


def _deviations(loss: MeanLoss, along: Tensor, mean: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the sum over examples (x [R, b, ...], y [R, b, ...]) of H_i (H_i v - H v), [R, P]."""

    def one(inputs: Tensor, labels: Tensor) -> Tensor:
        def total(rows: Tensor) -> Tensor:
            return loss.losses(rows, inputs[:, None], labels[:, None]).sum()

        _, pull, *_ = torch.func.vjp(torch.func.grad(total), loss.rows)
        (first,) = pull(along)
        (second,) = pull(loss.only_free(first - mean))
        return second

    found: Tensor = torch.func.vmap(one, in_dims=1)(x, y)
    return found.sum(0)


def _at_once(loss: MeanLoss) -> int:
    return max(1, ROOM // (loss.rows.numel() * loss.rows.element_size() * BESIDE))
