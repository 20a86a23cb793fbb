"""Lanczos for R symmetric matrices at once: extreme eigenvalues with their errors, and spectral densities.

A matrix is known by its products alone: a `MeanLoss` is its Hessian, an `Operator` whatever its function computes.
All products so far are orthogonalised against (twice is enough: Parlett 1998): without it, copies of
eigenvalues that were found already come back. Vectors are float64 whatever the products are computed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.curvature.loss import least_free

START, RESTART, PROBES = 71, 72, 73  # keys of the stream "eval", so that no other draw of a seed repeats these
CLOSED = 1e-12  # of a product's norm: less than that left over is rounding, and the space is invariant
WANTED = ("algebraic", "magnitude")


class Symmetric(Protocol):
    """R symmetric matrices [P, P], known by their products with vectors."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds [R] that probes are drawn from."""

    @property
    def size(self) -> int:
        """Return P."""

    @property
    def free(self) -> Tensor | None:
        """Return bool [R, P], False where rows and columns are zero because nothing moves there; None: all True."""

    @property
    def device(self) -> torch.device:
        """Return where vectors are wanted."""

    def hvp(self, vectors: Tensor) -> Tensor:
        """Return the products [R, P] with one vector each [R, P]."""


@dataclass(frozen=True)
class Operator:
    """R symmetric matrices [size, size] by a function that multiplies them by one vector each, [R, P] -> [R, P]."""

    hvp: Callable[[Tensor], Tensor]
    size: int
    seeds: tuple[int, ...]
    free: Tensor | None = None
    device: torch.device = torch.device("cpu")


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues [R, k], the wanted ones first, their residual norms |Av - λv| [R, k] and unit vectors [R, k, P].

    Within the residual norm of a value there is an eigenvalue of the matrix (Parlett 1998, theorem 4.5.1). `steps` is
    how many products were taken, those for the residuals left out.
    """

    values: Tensor
    errors: Tensor
    vectors: Tensor
    steps: int


@dataclass(frozen=True)
class Density:
    """Quadrature of a spectrum by S probes: nodes and weights [R, S, m]; a probe's weights sum to 1.

    A node is an eigenvalue's place, in the unit of the eigenvalues, its weight the share of eigenvalues there.
    """

    nodes: Tensor
    weights: Tensor

    def moments(self, order: int) -> tuple[Tensor, Tensor]:
        """Return the mean of the eigenvalues to a power, [R], and its standard error over probes [R].

        Exact for each probe, Σ w θ^j = v'A^j v with |v| = 1, up to j = 2m - 1 (Golub & Meurant 2010).
        """
        order = whole("order", order, 0, "It is the power of the eigenvalues.")
        return mean_and_error((self.weights * self.nodes**order).sum(2))

    def smooth(self, grid: Tensor, width: float) -> tuple[Tensor, Tensor]:
        """Return the density on `grid` [G] and its standard error over probes, both [R, G], per unit of eigenvalue.

        Nodes become normal densities of standard deviation `width` (Ghorbani, Krishnan & Xiao 2019, section 2).
        """
        if not 0 < width < np.inf:
            raise BadInput.of("width", width, "finite, > 0", "It is the resolution, in the unit of the eigenvalues.")
        kernel = torch.distributions.Normal(self.nodes[..., None], width).log_prob(grid.to(self.nodes)).exp()
        return mean_and_error((self.weights[..., None] * kernel).sum(2))


def top_eigenvalues(
    matrix: Symmetric, k: int = 1, *, largest: str = "algebraic", tolerance: float = 1e-6, steps: int = 300
) -> Eigenpairs:
    """Return the k largest eigenvalues of each matrix, or those largest in absolute value, with their errors.

    Lanczos goes on until all residual norms are below `tolerance` times the largest eigenvalue's size, or for `steps`
    products; `errors` tell which. An eigenvalue is off by at most its residual norm, mostly by its square over
    the gap to the next. From one start vector, a multiple eigenvalue is found once, as long as the space does not close
    before the others converge. BadInput for k < 1 or more than a replicate has parameters that may change, a tolerance
    or a number of steps that is not positive, and products that are not finite.
    """
    most = least_free(matrix.size, matrix.free)
    k = _at_most("k", k, most, "A matrix has no more eigenvalues.")
    steps = max(whole("steps", steps, 1, "Some tens are enough for k = 1."), k)
    if not 0 < tolerance < 1:
        raise BadInput.of("tolerance", tolerance, "0 < tolerance < 1", "It is relative to the largest eigenvalue.")
    if largest not in WANTED:
        raise BadInput.named("largest", largest, WANTED, "say which eigenvalues come first.")
    space = Krylov(matrix, _starts(matrix))
    while True:
        for _ in range(min(max(4, space.steps // 8), min(most, steps) - space.steps)):
            space.extend()
        theta, inner, left = space.ritz()
        order = (theta if largest == "algebraic" else theta.abs()).argsort(dim=1, descending=True)[:, :k]
        scale = theta.abs().amax(1, keepdim=True)
        if space.steps >= min(most, steps) or (
            space.steps >= k and bool((left.gather(1, order) <= tolerance * scale).all())
        ):
            return _pairs(matrix, space, theta, inner, order)


def spectral_density(matrix: Symmetric, steps: int = 80, probes: int = 10) -> Density:
    """Return a quadrature of each spectrum by stochastic Lanczos: `probes` vectors, `steps` nodes each.

    Probes are random signs from the stream "eval" of each seed; at cut weights, which have no eigenvalue, they are 0.
    Fewer nodes come of small matrices: as many as have parameters that may change. Sources: Golub & Meurant 2010,
    Ubaru, Chen & Saad 2017. BadInput for less than a step or 2 probes (one has no spread).
    """
    steps = min(whole("steps", steps, 1, "80 are usual."), least_free(matrix.size, matrix.free))
    nodes, weights = [], []
    for signs in rademacher(matrix, probes):
        space = Krylov(matrix, signs)
        for _ in range(steps):
            space.extend()
        theta, inner, _ = space.ritz()
        nodes.append(theta)
        weights.append(inner[:, 0].square())
    return Density(torch.stack(nodes, 1), torch.stack(weights, 1))


def trace(matrix: Symmetric, probes: int = 30) -> tuple[Tensor, Tensor]:
    """Return the traces [R] and their standard errors over probes [R], float64 (Hutchinson 1990).

    The mean of v'Av over random signs v: the diagonal adds no variance. BadInput for fewer than 2 probes.
    """
    found = [(signs * matrix.hvp(signs).double()).sum(1) for signs in rademacher(matrix, probes)]
    return mean_and_error(torch.stack(found, 1))


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over axis 1 of values [R, S, ...] and its standard error, both [R, ...]."""
    return values.mean(1), values.std(1) / values.shape[1] ** 0.5


def rademacher(matrix: Symmetric, probes: int) -> list[Tensor]:
    """Return that many vectors of random signs [R, P], float64, 0 where nothing may change."""
    probes = whole("probes", probes, 2, "One probe has no spread, and so no error.")
    draws = [np.stack([rng(seed, "eval", PROBES, s).choice([-1.0, 1.0], matrix.size) for seed in matrix.seeds])
             for s in range(probes)]  # fmt: skip
    return [_only_free(matrix, torch.from_numpy(draw)) for draw in draws]


class Krylov:
    """The Lanczos bases of R matrices from start vectors [R, P], extended a product at a time."""

    def __init__(self, matrix: Symmetric, start: Tensor):
        self.matrix, self.steps = matrix, 0
        self.basis = start.new_empty(len(start), 16, matrix.size)
        self.basis[:, 0] = start / start.norm(dim=1, keepdim=True)
        self.diagonal: list[Tensor] = []
        self.beside: list[Tensor] = []  # beside[j] couples vector j and j + 1; the last one is the residual's norm
        self.scale = start.new_zeros(len(start))

    def extend(self) -> None:
        """Take one more product; BadInput where it is not finite."""
        last = self.basis[:, self.steps]
        product = self.matrix.hvp(last).double()
        if not bool(product.isfinite().all()):
            raise BadInput.of("product with the matrix", "NaN or infinity", "finite numbers", "Look at the weights.")
        self.scale = torch.maximum(self.scale, product.norm(dim=1))
        self.diagonal.append((product * last).sum(1))
        self.steps += 1
        rest = self._orthogonal(product)
        norm = rest.norm(dim=1)
        closed = norm <= CLOSED * self.scale
        self.beside.append(norm.where(~closed, 0.0))
        self._append(self._fresh(rest, closed) if bool(closed.any()) else rest)

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return eigenvalues [R, m], eigenvectors [R, m, m] of the tridiagonal matrices, and residual norms [R, m]."""
        inner = torch.stack(self.beside, 1)
        between = inner[:, :-1]
        tridiagonal = torch.stack(self.diagonal, 1).diag_embed() + between.diag_embed(1) + between.diag_embed(-1)
        theta, vectors = torch.linalg.eigh(tridiagonal)
        return theta, vectors, inner[:, -1:] * vectors[:, -1].abs()

    def _orthogonal(self, vectors: Tensor) -> Tensor:
        known = self.basis[:, : self.steps]
        for _ in range(2):
            vectors = vectors - ((known @ vectors[..., None]).mT @ known)[:, 0]
        return vectors

    def _fresh(self, rest: Tensor, closed: Tensor) -> Tensor:
        """Return `rest`, and new random directions where the space is invariant: nothing couples them to the old."""
        fresh = self._orthogonal(_gaussian(self.matrix, RESTART, self.steps))
        return torch.where(closed[:, None], fresh, rest)

    def _append(self, rest: Tensor) -> None:
        if self.steps == self.basis.shape[1]:
            grown = self.basis.new_empty(len(rest), 2 * self.steps, rest.shape[1])
            grown[:, : self.steps] = self.basis
            self.basis = grown
        # Where the whole space is spanned, rounding is all that is left: never used, but no division by 0 either.
        self.basis[:, self.steps] = rest / rest.norm(dim=1, keepdim=True).clamp(min=torch.finfo(rest.dtype).tiny)


def _pairs(matrix: Symmetric, space: Krylov, theta: Tensor, inner: Tensor, order: Tensor) -> Eigenpairs:
    chosen = inner.gather(2, order[:, None].expand(-1, inner.shape[1], -1))
    vectors = chosen.mT @ space.basis[:, : space.steps]
    vectors = vectors / vectors.norm(dim=2, keepdim=True)
    values = theta.gather(1, order)
    # Taken anew and not from the recurrence: rounding in the products then is part of the error that is told.
    products = torch.stack([matrix.hvp(vectors[:, j]).double() for j in range(order.shape[1])], 1)
    return Eigenpairs(values, (products - values[..., None] * vectors).norm(dim=2), vectors, space.steps)


def _starts(matrix: Symmetric) -> Tensor:
    return _gaussian(matrix, START, 0)


def _gaussian(matrix: Symmetric, key: int, number: int) -> Tensor:
    draws = [rng(seed, "eval", key, number).standard_normal(matrix.size) for seed in matrix.seeds]
    return _only_free(matrix, torch.from_numpy(np.stack(draws)))


def _only_free(matrix: Symmetric, vectors: Tensor) -> Tensor:
    vectors = vectors.to(matrix.device)
    return vectors if matrix.free is None else vectors * matrix.free


def _at_most(what: str, value: int, most: int, remedy: str) -> int:
    number = whole(what, value, 1, remedy)
    if number > most:
        raise BadInput.of(what, value, f"1 <= {what} <= {most}, the parameters that may change", remedy)
    return number
