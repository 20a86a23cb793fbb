"""Random projections P [D, d] with columns of length 1: a net's D parameters from d coefficients.

"dense" is a matrix of normal entries, its columns normalised (Li, Farkhoor, Liu & Yosinski 2018). "fastfood" is the
fast transform that Li et al. take where that matrix would not fit: blocks of H·G·Π·H·B one below the other, with H a
Walsh-Hadamard matrix, G normal entries, Π a permutation and B signs on the diagonal (Le, Sarlós & Smola 2013). It
keeps numbers of the order of D, costs D·log d and more, and its columns are normalised exactly, too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput

KINDS = ("dense", "fastfood")
DENSE_PARAMETERS = 4096  # up to so many a projection is dense unless asked for: it depends on the net alone
_KEY = 77  # of the stream "features", so that no other draw of a seed repeats these
_LEAST = 64  # places of a transform
_ROWS = 256  # of a transform at once, where its columns are measured


class Projection(nn.Module):
    """A linear map from coefficients [d] to parameters [D]; its tensors move with it, and no state holds them."""

    parameters_of_net: int
    dimension: int

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return P·coefficients [D], differentiable."""
        raise NotImplementedError

    def transposed(self, gradient: Tensor) -> Tensor:
        """Return Pᵀ·gradient [d] for a gradient by the parameters [D]: that by the coefficients."""
        raise NotImplementedError


class Dense(Projection):
    """The projection by a given matrix [D, d], taken as it is; BadInput for another shape and for d > D."""

    matrix: Tensor

    def __init__(self, matrix: Tensor):
        super().__init__()
        if matrix.dim() != 2 or not matrix.is_floating_point():
            given = f"{matrix.dtype} {tuple(matrix.shape)}"
            raise BadInput.of("matrix", given, "floating-point numbers [D, d]", "Columns are directions.")
        self.parameters_of_net, self.dimension = _checked(*matrix.shape)
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return P·coefficients [D]."""
        return self.matrix @ coefficients

    def transposed(self, gradient: Tensor) -> Tensor:
        """Return Pᵀ·gradient [d]."""
        return self.matrix.T @ gradient


class Fastfood(Projection):
    """The projection by ⌈D/L⌉ blocks of H·G·Π·H·B, of which d columns and D rows are kept; L is a power of 2.

    L is the least one >= d and >= 64, for smaller matrices multiply slowly. All is scaled so that every column has
    length 1; overlaps of columns are of the order √(2/D), of dense ones 1/√D. It is drawn by NumPy's `source`.
    """

    signs: Tensor
    normal: Tensor
    order: Tensor
    back: Tensor
    scale: Tensor

    def __init__(self, source: np.random.Generator, parameters: int, dimension: int, dtype: torch.dtype):
        super().__init__()
        self.parameters_of_net, self.dimension = _checked(parameters, dimension)
        self.size = max(_LEAST, 1 << (dimension - 1).bit_length())
        shape = -(-parameters // self.size), self.size
        order = torch.from_numpy(source.permuted(np.tile(np.arange(self.size), (shape[0], 1)), axis=1))
        parts: dict[str, Any] = {
            "signs": torch.from_numpy(source.choice([-1.0, 1.0], shape)).to(dtype),
            "normal": torch.from_numpy(source.standard_normal(shape)).to(dtype),
            "order": order,
            "back": order.argsort(1),
        }
        for name, values in parts.items():
            self.register_buffer(name, values, persistent=False)
        self.register_buffer("scale", self._lengths().rsqrt().to(dtype), persistent=False)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return P·coefficients [D]."""
        scaled = functional.pad(coefficients * self.scale, (0, self.size - self.dimension))
        mixed = hadamard(scaled * self.signs).gather(1, self.order)
        return hadamard(mixed * self.normal).flatten()[: self.parameters_of_net]

    def transposed(self, gradient: Tensor) -> Tensor:
        """Return Pᵀ·gradient [d]."""
        rows = functional.pad(gradient, (0, self.signs.numel() - self.parameters_of_net)).view_as(self.signs)
        mixed = (hadamard(rows) * self.normal).gather(1, self.back)
        return (hadamard(mixed) * self.signs).sum(0)[: self.dimension] * self.scale

    def _lengths(self) -> Tensor:
        """Return the squared lengths of the columns before they are scaled, float64 [d].

        All columns of a whole block have the mean square of its normal entries; those of the last, of which rows are
        cut off, are summed row by row.
        """
        normal, cut = self.normal.double(), self.signs.numel() - self.parameters_of_net
        if not cut:
            return normal.square().mean(1).sum().expand(self.dimension)
        found = normal[:-1].square().mean(1).sum().expand(self.size).clone()
        for at in range(0, self.size - cut, _ROWS):
            rows = torch.zeros(min(_ROWS, self.size - cut - at), self.size, dtype=torch.float64)
            rows[torch.arange(len(rows)), at + torch.arange(len(rows))] = 1
            mixed = (hadamard(rows) * normal[-1])[:, self.back[-1]]
            found += hadamard(mixed).square().sum(0)
        return found[: self.dimension]


def projection(kind: str, seed: int, parameters: int, dimension: int, dtype: torch.dtype = torch.float32) -> Projection:
    """Return the projection of a seed from d = `dimension` coefficients to D = `parameters`: "dense" or "fastfood".

    "auto" is dense up to 4,096 parameters. Each dimension has its own draw in the stream "features", so that the
    subspaces of a seed do not lie in each other. BadInput for d > D and an unknown kind.
    """
    parameters, dimension = _checked(parameters, dimension)
    if kind not in ("auto", *KINDS):
        raise BadInput.named("projection", kind, ("auto", *KINDS), "Take auto.")
    source = rng(seed, "features", _KEY, dimension)
    if kind == "fastfood" or kind == "auto" and parameters > DENSE_PARAMETERS:
        return Fastfood(source, parameters, dimension, dtype)
    matrix = source.standard_normal((parameters, dimension))
    return Dense(torch.from_numpy(matrix / np.linalg.norm(matrix, axis=0)).to(dtype))


def hadamard(rows: Tensor) -> Tensor:
    """Return the Walsh-Hadamard transform of rows [n, L], L a power of 2: orthonormal, and its own inverse.

    The transform of L = a·b places is one of a beside one of b, two matrix products that a processor is quick at.
    """
    size = rows.shape[1]
    outer = 1 << (size.bit_length() // 2)
    left, right = _matrix(outer, rows.dtype, rows.device), _matrix(size // outer, rows.dtype, rows.device)
    return (left @ (rows.reshape(len(rows), outer, size // outer) @ right)).reshape(rows.shape)


@cache
def _matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    found = torch.ones(1, 1, dtype=torch.float64)
    while len(found) < size:
        found = torch.cat([torch.cat([found, found], 1), torch.cat([found, -found], 1)]) / 2**0.5
    return found.to(device, dtype)


def _checked(parameters: int, dimension: int) -> tuple[int, int]:
    parameters = whole("parameters", parameters, 1, "Give a net with parameters.")
    dimension = whole("dimension", dimension, 1, "Give the subspace a direction.")
    if dimension > parameters:
        raise BadInput.of("dimension", dimension, f"<= {parameters}, the parameters of the net", "Take a smaller one.")
    return parameters, dimension
