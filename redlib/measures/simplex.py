"""How evenly vectors spread: norms, angles, frame potential, and the simplexes and tight frames that are ideal.

Vectors are rows, [N, d] or a stack of replicates [R, N, d]; results are float64, one value per replicate. Angles
concern directions alone; a zero vector has none, and makes the angles of its replicate NaN.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn

from redlib.data.numbers import strided
from redlib.data.streams import rng
from redlib.errors import BadInput

LARGEST = 1e150  # magnitude whose square, summed, is a number; beyond it a vector over its norm would be 0
NOISE = 70  # key of the stream "eval", so that no other draw of a seed repeats these


def simplex_etf(classes: int, dim: int) -> Tensor:
    """Return the `classes` unit vectors in `dim` dimensions whose cosines are all -1/(classes - 1): [classes, dim].

    The simplex equiangular tight frame √(C/(C-1))·P(I - 11ᵀ/C) of Papyan et al. 2020, whose columns are rows here;
    P takes the space orthogonal to 1 to the first C - 1 axes, so dim = C - 1 is enough. The vectors add up to 0.
    Raises BadInput for fewer than two classes or fewer dimensions.
    """
    if classes < 2:
        raise BadInput.of("classes", classes, "classes >= 2", "A simplex has two vertices or more.")
    if dim < classes - 1:
        raise BadInput.of("dim", dim, f"dim >= {classes - 1} = classes - 1", "Fewer dimensions hold no such simplex.")
    axis = torch.arange(1, classes, dtype=torch.float64)  # Helmert's basis: axis k sets class k against those before
    basis = torch.ones(classes, classes - 1, dtype=torch.float64).triu() - torch.diag(axis, -1)[:, : classes - 1]
    vectors = torch.zeros(classes, dim, dtype=torch.float64)
    vectors[:, : classes - 1] = basis / (axis * (axis + 1)).sqrt() * math.sqrt(classes / (classes - 1))
    return vectors


def paley_etf(prime: int) -> Tensor:
    """Return q + 1 unit vectors in (q + 1)/2 dimensions with cosines ±1/√q, an equiangular tight frame: [q + 1, dim].

    From Paley's conference matrix S of the prime q, with S² = q·I (Strohmer & Heath 2003): I + S/√q is
    the Gram matrix. For q = 5 these are the six diagonals of the icosahedron. Raises BadInput unless q is a
    prime with q % 4 == 1.
    """
    if prime < 5 or prime % 4 != 1 or any(prime % divisor == 0 for divisor in range(2, math.isqrt(prime) + 1)):
        raise BadInput.of("prime", prime, "5, 13, 17, 29, ...", "Take a prime with remainder 1 on division by 4.")
    squares = {i * i % prime for i in range(1, prime)}
    signs = torch.tensor([0] + [1 if i in squares else -1 for i in range(1, prime)], dtype=torch.float64)
    index = torch.arange(prime)
    conference = torch.ones(prime + 1, prime + 1, dtype=torch.float64) - torch.eye(prime + 1, dtype=torch.float64)
    conference[1:, 1:] = signs[(index[:, None] - index) % prime]
    half = (prime + 1) // 2  # the eigenvalues ±√q of S come equally often; eigh sorts them
    return torch.linalg.eigh(conference).eigenvectors[:, half:] * math.sqrt(2)


def cosines(vectors: Tensor) -> Tensor:
    """Return the cosine of every pair of vectors (0, 1), (0, 2), ..., (1, 2), ...: [R, N(N-1)/2].

    Raises BadInput for fewer than two vectors, other shapes and non-finite values, as all measures here do.
    """
    stack = vector_stack(vectors)
    unit = stack / stack.norm(dim=-1, keepdim=True)
    first, second = torch.triu_indices(stack.shape[1], stack.shape[1], 1, device=stack.device)
    return (unit @ unit.mT)[:, first, second].clamp(-1, 1)


def equinorm(vectors: Tensor) -> Tensor:
    """Return the standard deviation over the mean of the vectors' norms: [R]; NC2 (Papyan et al. 2020).

    The population's deviation (divided by N), as the C classes are all there are; public code often takes the
    sample's, which is √(N/(N-1)) larger. Centre class means first (`ClassMeans.centred`); rows of a classifier
    are taken as they are. NaN if all vectors are zero. Compare with `of_noise`.
    """
    norms = vector_stack(vectors).norm(dim=-1)
    # One by one: torch rounds the deviation of a single row otherwise than that of a row among others.
    return torch.cat([row.std(1, correction=0) / row.mean(1) for row in norms.split(1)])


def equiangularity(vectors: Tensor) -> Tensor:
    """Return the mean over pairs of |cos + 1/(N-1)|, 0 for a simplex: [R]; NC2 (Papyan et al. 2020).

    Centre class means first. Small values do not show that anything was learned: in many dimensions the
    centred means of pure noise are almost a simplex too, see `of_noise`: .049 for 10 in 256.
    """
    pairs = cosines(vectors)
    return (pairs + 1 / (vectors.shape[-2] - 1)).abs().mean(1)


@cache
def of_noise(count: int, dim: int, draws: int = 1000) -> tuple[float, float]:
    """Return the mean `equinorm` and `equiangularity` of centred means of pure noise, N = `count` in d = `dim`.

    Of `draws` simulated sets. In many dimensions they come near 1/√(2d) and √(2/(πd))·(1 - 1/(N-1)²).
    BadInput as in `welch_bound`.
    """
    _check_counts(count, dim)
    means = torch.from_numpy(rng(0, "eval", NOISE).standard_normal((draws, count, dim)))
    centred = means - means.mean(1, keepdim=True)
    return float(equinorm(centred).mean()), float(equiangularity(centred).mean())


def coherence(vectors: Tensor) -> Tensor:
    """Return the largest |cosine| of two vectors, at least `welch_bound(N, d)`: [R]."""
    return cosines(vectors).abs().amax(1)


def frame_potential(vectors: Tensor) -> Tensor:
    """Return Σ_ij cos² over all ordered pairs, i = j included: [R] (Benedetto & Fickus 2003).

    At least `least_frame_potential(N, d)`, and equal to it for unit-norm tight frames alone (orthonormal vectors
    if N <= d). Random directions have N + N(N-1)/d on average.
    """
    pairs = cosines(vectors)
    return vectors.shape[-2] + 2 * pairs.square().sum(1)


def least_frame_potential(count: int, dim: int) -> float:
    """Return the least frame potential of N = `count` vectors in d = `dim` dimensions: N²/d, or N if N <= d.

    Benedetto & Fickus 2003. Raises BadInput for fewer than two vectors or one dimension, as `welch_bound` does.
    """
    _check_counts(count, dim)
    return max(count * count / dim, float(count))


def welch_bound(count: int, dim: int) -> float:
    """Return the least coherence of N = `count` vectors in d = `dim` dimensions: √((N-d)/(d(N-1))) (Welch 1974).

    0 if N <= d. It is reached by equiangular tight frames alone, which many (N, d) do not have.
    """
    _check_counts(count, dim)
    return math.sqrt(max(count - dim, 0) / (dim * (count - 1)))


def vector_stack(vectors: Tensor, what: str = "vectors") -> Tensor:
    """Return vectors [N, d] or [R, N, d] as float64 [R, N, d], without gradients.

    Raises BadInput, in which they are called `what`, for other shapes or types, N < 2, non-finite values, and for the
    parameter of a Conv1d, whose three dimensions are no replicates.
    """
    if isinstance(vectors, nn.Parameter) and vectors.dim() == 3:
        remedy = "Pass weight.flatten(1): one vector per filter."
        raise BadInput.of(what, f"a parameter {tuple(vectors.shape)}", "[N, d] or [R, N, d]", remedy)
    if (
        not strided(vectors, what).is_floating_point()
        or vectors.dim() not in (2, 3)
        or 0 in vectors.shape
        or vectors.shape[-2] < 2
    ):
        given = (str(vectors.dtype), tuple(vectors.shape))
        raise BadInput.of(what, given, "floats, [N, d] or [R, N, d] with N >= 2", "One vector per row.")
    stack = vectors.detach().double()
    if not stack.isfinite().all():
        raise BadInput.of(what, "nan or inf", "finite numbers", "Has the net diverged?")
    if vectors.dtype == torch.float64 and (largest := float(stack.abs().max())) > LARGEST:
        raise BadInput.of(f"largest of the {what}", largest, f"<= {LARGEST:g}", "Norms would overflow: scale them.")
    return stack.reshape(-1, *stack.shape[-2:])


def _check_counts(count: int, dim: int) -> None:
    if count < 2 or dim < 1:
        raise BadInput.of("count and dim", (count, dim), "count >= 2 and dim >= 1", "The bounds concern pairs.")
