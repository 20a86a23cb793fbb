"""Linear least squares in float64: random features, exact solutions and risks, and gradient descent on it.

Arrays may carry leading batch axes (replicates, repetitions): matrices are [..., n, N] for n examples and N
features, targets [..., n, K], coefficients [..., N, K].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from redlib.data.numbers import floats
from redlib.data.streams import rng
from redlib.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bank = tuple[Floats, Floats]


def fourier_bank(dim: int, count: int, bandwidth: float, seed: int, *key: int) -> Bank:
    """Return frequencies [count, dim] ~ N(0, 1/bandwidth²) and phases [count] ~ U[0, 2π) of random features.

    Drawn in the stream "features"; a smaller count gives the first rows of a larger one. `bandwidth` has the
    unit of the inputs. Raises BadInput unless it is finite and > 0. See `fourier_features`.
    """
    if not 0 < bandwidth < np.inf:
        raise BadInput.of("bandwidth", bandwidth, "finite, bandwidth > 0", "pass the kernel's length scale")
    frequencies = rng(seed, "features", *key, 0).standard_normal((count, dim)) / bandwidth
    return frequencies, rng(seed, "features", *key, 1).uniform(0, 2 * np.pi, count)


def bank_for(x: Floats, count: int, bandwidth: float, seed: int, *key: int) -> Bank:
    """Return a `fourier_bank` for inputs x [n, dim], `bandwidth` in units of their root-mean-square distance."""
    distance = float(np.sqrt(2 * x.var(axis=0).sum()))
    return fourier_bank(x.shape[1], count, bandwidth * distance, seed, *key)


def fourier_features(x: Floats, bank: Bank) -> Floats:
    """Return √2·cos(x·w + b) of inputs x [..., n, dim]: [..., n, count] (Rahimi & Recht 2007).

    Divided by √count (see `first`) the inner products tend to the kernel exp(-|x - x'|²/(2·bandwidth²)).
    """
    frequencies, phases = bank
    waves = x @ frequencies.T + phases
    np.cos(waves, out=waves)
    waves *= np.sqrt(2)
    return waves


def first(features: Floats, count: int) -> Floats:
    """Return the first `count` features / √count: then a coefficient norm can be compared between counts."""
    if not 1 <= count <= features.shape[-1]:
        raise BadInput.of("count", count, f"1 <= count <= {features.shape[-1]}", "draw a larger bank")
    return features[..., :count] / np.sqrt(count)


def min_norm(a: Floats, y: Floats) -> Floats:
    """Return the least-squares solution of a·w = y that has the smallest norm: [..., N, K].

    Complete orthogonal factorisation (LAPACK gelsy, no ridge), so the condition number is not squared. What
    is below machine precision × max(n, N) of the largest part counts as zero. Raises BadInput for unequal n, no
    example, and numbers that are complex or not finite, as all fits here do.
    """
    _check_rows(a, y)
    rcond = np.finfo(np.float64).eps * max(a.shape[-2:])
    solution = np.empty((*a.shape[:-2], a.shape[-1], y.shape[-1]))
    for batch in np.ndindex(a.shape[:-2]):
        # Not torch.linalg.lstsq: with gelsy its last bits differ from call to call.
        solution[batch] = scipy.linalg.lstsq(a[batch], y[batch], cond=rcond, lapack_driver="gelsy")[0]
    return solution


def nested_predictions(a: Floats, y: Floats, points: Floats, counts: Sequence[int]) -> Floats:
    """Return what `min_norm` fits of y [n, K] by the `first` of a [n, N] say at points [m, N]: [counts, m·K]."""
    fits = [min_norm(first(a, count), y) for count in counts]
    outputs = [first(points, count) @ w for count, w in zip(counts, fits, strict=True)]
    return np.reshape(outputs, (len(counts), -1))


def fit_scores(a: Floats, y: Floats, others: Floats, truth: Floats) -> tuple[float, float, float, float, float]:
    """Return the `scores` of the `min_norm` fit of y by a on y itself, then on the truth at others, and its norm."""
    w = min_norm(a, y)
    return *scores(a @ w, y), *scores(others @ w, truth), float(np.linalg.norm(w))


def normal_solution(a: Floats, y: Floats) -> Floats:
    """Return `min_norm` of matrices of full rank, from the smaller of the Gram matrices a·aᵀ and aᵀ·a: [..., N, K].

    Four times as fast, but the condition number is squared: for Gaussian matrices, not for random features near n = N.
    """
    _check_rows(a, y)
    n, count = a.shape[-2:]
    turned: Floats = np.swapaxes(a, -1, -2)
    if n < count:
        return np.asarray(turned @ np.linalg.solve(a @ turned, y), dtype=np.float64)
    system = (a, y) if n == count else (turned @ a, turned @ y)
    return np.asarray(np.linalg.solve(*system), dtype=np.float64)


def ridge_path(a: Floats, y: Floats, penalties: ArrayLike) -> Floats:
    """Return argmin |a·w - y|² + λ|w|² for each λ in `penalties` [L], from one SVD: [L, ..., N, K].

    λ -> 0 tends to `min_norm`; λ = 0 itself is refused here, as are negative ones (BadInput).
    """
    _check_rows(a, y)
    levels = np.asarray(penalties, dtype=np.float64)
    if levels.ndim != 1 or not np.all(levels > 0):
        raise BadInput.of("penalties", penalties, "a list of numbers > 0", "use min_norm for no penalty")
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    projected = np.swapaxes(u, -1, -2) @ y
    shrunk = [(s / (s**2 + level))[..., None] * projected for level in levels]
    return np.swapaxes(vt, -1, -2) @ np.stack(shrunk)


def successive_fits(a: Floats, y: Floats) -> Iterator[Floats]:
    """Yield the least-squares fit to y [n, K] by the first k columns of a [n, N], k = 0 … min(n, N): [n, K].

    One QR serves all k: each column adds the projection on its own new direction.
    """
    _check_rows(a, y)
    directions = np.linalg.qr(a).Q
    fit = np.zeros(y.shape)
    yield fit.copy()
    for direction in directions.T:
        fit += np.outer(direction, direction @ y)
        yield fit.copy()


def fewest_columns(a: Floats, y: Floats, tolerance: float) -> tuple[float, float]:
    """Return how many columns of a [n, N] fit one-hot labels y [n, K] without error: by squared and by zero-one loss.

    Squared: residual energy <= tolerance · |y|². Zero-one: the largest output is the label's. NaN where none fits.
    """
    energy, labels = (y**2).sum(), y.argmax(axis=1)
    reached = np.array(
        [
            (((fit - y) ** 2).sum() <= tolerance * energy, (fit.argmax(axis=1) == labels).all())
            for fit in successive_fits(a, y)
        ]
    )
    squared, zero_one = np.where(reached.any(axis=0), reached.argmax(axis=0), np.nan)
    return float(squared), float(zero_one)


def scores(outputs: Floats, y: Floats) -> tuple[float, float]:
    """Return the mean over examples of Σ over classes (output - y)², and the share whose largest output is not y's.

    BadInput for unequal shapes, and for outputs that are NaN, of which none is the largest.
    """
    if outputs.shape != y.shape or np.isnan(outputs).any():
        given = (outputs.shape, y.shape) if outputs.shape != y.shape else "NaN among the outputs"
        raise BadInput.of("outputs and y", given, "numbers of one shape [n, K]", "give one target row per example")
    wrong = outputs.argmax(axis=1) != y.argmax(axis=1)
    return float(((outputs - y) ** 2).sum(axis=1).mean()), float(wrong.mean())


def legendre(x: Floats, degree: int) -> Floats:
    """Return the Legendre polynomials of degrees 0 … degree at x, orthonormal under U[-1, 1]: [..., degree + 1]."""
    scale: Floats = np.sqrt(2.0 * np.arange(degree + 1) + 1)
    return scale * np.polynomial.legendre.legvander(x, degree)


def polynomial_fits(x: Floats, y: Floats, degree: int, penalty: float, points: Floats) -> Floats:
    """Return what ridge fits of this degree to y [..., n] at x [..., n] say at points [m]: [..., m].

    The penalty, per example, is on the coefficients of `legendre`.
    """
    w = ridge_path(legendre(x, degree), y[..., None], [penalty * x.shape[-1]])[0]
    return np.asarray((legendre(points, degree) @ w)[..., 0])


def random_system(draw: np.random.Generator, largest: int, generic: bool) -> tuple[Floats, Floats]:
    """Return a [m, n] of a random shape up to `largest` and a random rank, and b [m]: anywhere, or in a's range."""
    rows, columns = draw.integers(1, largest + 1, size=2)
    rank = draw.integers(0, min(rows, columns) + 1)
    a = draw.standard_normal((rows, rank)) @ draw.standard_normal((rank, columns))
    return a, draw.standard_normal(rows) if generic else a @ draw.standard_normal(columns)


def solvability(a: Floats, b: Floats) -> tuple[int, int, float]:
    """Return rank(a), rank([a b]) and the relative residual |a·w - b|/|b| of the best w; a [m, n], b [m].

    a·w = b has a solution iff the two ranks agree (Rouché–Capelli). The residual is found without the ranks,
    so the two can be compared; it is 0 for b = 0.
    """
    column = b[:, None]
    residual = np.linalg.norm(a @ min_norm(a, column) - column)
    rank, augmented = (int(np.linalg.matrix_rank(matrix)) for matrix in (a, np.hstack([a, column])))
    return rank, augmented, float(residual / max(np.linalg.norm(b), np.finfo(float).tiny))


def isotropic(seed: int, shape: tuple[int, int, int], noise: float, norm: float = 1.0) -> tuple[Floats, Floats, Floats]:
    """Return x [R, n, d] ~ N(0, I) of this shape, y = x·w + N(0, noise²) [R, n, 1], and w [d, 1] with |w| = norm.

    Drawn in the streams "split" and "noise". See `isotropic_risk`.
    """
    *counts, dim = shape
    x = rng(seed, "split").standard_normal(shape)
    # The data are rotation-invariant: any direction will do.
    truth = np.full((dim, 1), norm / np.sqrt(dim))
    return x, x @ truth + noise * rng(seed, "noise").standard_normal((*counts, 1)), truth


def excess_risk(fits: Sequence[Floats], truth: Floats) -> Floats:
    """Return |ŵ - w|² [len(fits), ...], the excess risk on isotropic data, of fits [..., d, 1] of true ones [d, 1].

    BadInput for other shapes.
    """
    for w in fits:
        if w.shape[-2:] != truth.shape:
            raise BadInput.of("shape of a fit", w.shape, f"[..., {truth.shape}]", "fit what is to be compared")
    return np.stack([((w - truth) ** 2).sum(axis=(-2, -1)) for w in fits])


def isotropic_risk(n: ArrayLike, dim: int, noise: float, norm: float = 1.0) -> Floats:
    """Return the exact expected excess risk E|ŵ - w|² of minimum-norm least squares for each n: shape of n.

    For n examples x ~ N(0, I_dim), y = x·w + N(0, noise²), |w| = norm (limit n, d -> ∞: Hastie et al. 2022):
    noise²·d/(n-d-1) for n > d+1, norm²(1-n/d) + noise²·n/(d-n-1) for n < d-1, infinite between. BadInput for a negative
    n or dim < 1.
    """
    size = floats(n, "n")
    if not (size >= 0).all() or dim < 1:
        raise BadInput.of("n, dim", (n, dim), "n >= 0, dim >= 1", "count examples and inputs")
    # Within one of d the expectation diverges: the divisor is set to 0 on purpose.
    with np.errstate(divide="ignore"):
        over = noise**2 * dim / np.maximum(size - dim - 1, 0)
        under = norm**2 * (1 - size / dim) + noise**2 * size / np.maximum(dim - size - 1, 0)
    return np.where(size > dim, over, np.where(size < dim, under, np.inf))


def bias_variance(predictions: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Return bias² and variance [...], averaged over points, of predictions [..., resamples, points].

    `truth` [points] is the noise-free target. Both are unbiased: the bias² has the variance of the mean over
    resamples taken off (so it can be < 0); their sum is the mean squared distance to the truth, exactly.
    """
    resamples = _check_predictions(predictions, truth, least=2)
    variance = predictions.var(axis=-2, ddof=1).mean(axis=-1)
    plain = ((predictions.mean(axis=-2) - truth) ** 2).mean(axis=-1)
    return plain - variance / resamples, variance


def bias2_left_out(predictions: Floats, truth: Floats) -> Floats:
    """Return the bias² of `bias_variance` with each resample left out in turn: [..., resamples].

    For a jackknife standard error: sqrt((R-1)/R · Σ(value - mean)²).
    """
    resamples = _check_predictions(predictions, truth, least=3)
    error = predictions - truth
    products = error @ np.swapaxes(error, -1, -2) / len(truth)
    own = np.diagonal(products, axis1=-2, axis2=-1)
    across = products.sum(axis=-1) - own
    pairs = across.sum(axis=-1, keepdims=True) - 2 * across
    return pairs / ((resamples - 1) * (resamples - 2))


def curvature(features: Floats) -> Floats:
    """Return the largest eigenvalue [...] of the Hessian aᵀa/n of half the mean squared loss."""
    return np.linalg.svd(features, compute_uv=False)[..., 0] ** 2 / features.shape[-2]


def sgd_step(features: Floats, batch: int) -> Floats:
    """Return the constant step [...] m/(β + (m-1)·λ₁) for batches of m, fastest under interpolation.

    β = max|feature vector|², λ₁ = `curvature` (Ma, Bassily & Belkin 2018). It tends to 1/λ₁ for large m.
    """
    longest = (features**2).sum(axis=-1).max(axis=-1)
    return batch / (longest + (batch - 1) * curvature(features))


def sgd_losses(features: Floats, targets: Floats, step: Floats, orders: Ints, batch: int) -> Floats:
    """Return the mean squared loss over all n examples before each epoch and after the last: [S, epochs + 1].

    From w = 0, w -= step·aᵀ(a·w - y)/m on batches of m = `batch` rows; features [S, n, N], targets [S, n, K],
    step [S], orders [S, epochs, n] the rows in order of use. Loss = Σ_k residual², averaged over examples.
    Raises BadInput if the batch does not divide n, and for other orders.
    """
    _check_rows(features, targets)
    if batch < 1 or features.shape[1] % batch:
        raise BadInput.of("batch", batch, f"a divisor of n = {features.shape[1]}", "choose equal batches")
    if orders.ndim != 3 or orders.shape[::2] != features.shape[:2]:
        allowed = f"[{len(features)}, epochs, {features.shape[1]}]"
        raise BadInput.of("shape of orders", orders.shape, allowed, "give every row a place in every epoch")
    weights = np.zeros((len(features), features.shape[2], targets.shape[2]))
    rate, replicate = step[:, None, None] / batch, np.arange(len(features))[:, None]
    losses = [_loss(features @ weights - targets)]
    for epoch in range(orders.shape[1]):
        for start in range(0, features.shape[1], batch):
            rows = orders[:, epoch, start : start + batch]
            some = features[replicate, rows]
            residual = some @ weights - targets[replicate, rows]
            weights -= rate * (np.swapaxes(some, 1, 2) @ residual)
        losses.append(_loss(features @ weights - targets))
    return np.stack(losses, axis=1)


def gd_excess(features: Floats, targets: Floats, step: Floats, times: ArrayLike) -> tuple[Floats, Floats]:
    """Return gradient descent's excess loss [S, T] after `times` [T] steps, and the least loss [S].

    Exact, from the eigenvalues λ of aᵀa/n: along each the residual shrinks by (1 - step·λ) a step. Shapes,
    start and loss as in `sgd_losses`. BadInput for negative times.
    """
    _check_rows(features, targets)
    if not (floats(times, "times") >= 0).all():
        raise BadInput.of("times", times, "numbers of steps >= 0", "0 is the start")
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    energy = ((np.swapaxes(u, -1, -2) @ targets) ** 2).sum(axis=-1) / features.shape[-2]
    factor = np.abs(1 - step[:, None] * s**2 / features.shape[-2])
    decay = factor[:, None, :] ** (2 * np.asarray(times, dtype=np.float64)[None, :, None])
    least = np.maximum(_loss(targets) - energy.sum(axis=-1), 0)
    return (decay * energy[:, None, :]).sum(axis=-1), least


def descents(features: Floats, targets: Floats, orders: Ints, batch: int) -> dict[str, Floats]:
    """Return SGD beside gradient descent, each with its own fastest constant step; shapes as in `sgd_losses`.

    sgd_loss [S, epochs + 1] after each epoch, least_loss [S]; gd_excess and gd_excess_steps [S, epochs + 1]: gradient
    descent's loss above the least one after as many epochs (a step each), and after as many steps as SGD takes.
    """
    epochs = np.arange(orders.shape[1] + 1)
    sgd = sgd_losses(features, targets, sgd_step(features, batch), orders, batch)
    slow = 1 / curvature(features)
    by_epoch, least = gd_excess(features, targets, slow, epochs)
    by_step, _ = gd_excess(features, targets, slow, epochs * (features.shape[1] // batch))
    return {"sgd_loss": sgd, "least_loss": least, "gd_excess": by_epoch, "gd_excess_steps": by_step}


def _loss(residual: Floats) -> Floats:
    return (residual**2).sum(axis=-1).mean(axis=-1)


def _check_rows(a: NDArray[Any], y: NDArray[Any]) -> None:
    if a.ndim < 2 or a.ndim != y.ndim or a.shape[:-1] != y.shape[:-1]:
        allowed = f"{a.shape[:-1]} + (K,)"
        raise BadInput.of("shape of targets", y.shape, allowed, "give one target row per example")
    for what, part in (("matrix", a), ("targets", y)):
        if part.dtype.kind not in "biuf" or not part.size or not np.isfinite(part).all():
            given = part.dtype.name if part.dtype.kind not in "biuf" else "nothing, nan or inf"
            raise BadInput.of(what, given, "finite real numbers, at least one", "leave out what is not measured")


def _check_predictions(predictions: NDArray[Any], truth: NDArray[Any], least: int) -> int:
    if predictions.ndim < 2 or predictions.shape[-1:] != truth.shape or predictions.shape[-2] < least:
        allowed = f"[..., resamples >= {least}, {len(truth)}]"
        raise BadInput.of("shape of predictions", predictions.shape, allowed, "put points on the last axis")
    return predictions.shape[-2]
