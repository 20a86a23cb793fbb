"""How a layer's weights and biases are drawn from one replicate's own random stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from redlib.errors import BadInput

Layer = tuple[np.ndarray, np.ndarray]
Initialiser = Callable[[np.random.Generator, int, int], Layer]


def torch_default(rng: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
    """Return (W [out, in], b [out]), both uniform in +-1/sqrt(fan_in): what `torch.nn.Linear` draws."""
    bound = fan_in**-0.5
    return rng.uniform(-bound, bound, (fan_out, fan_in)), rng.uniform(-bound, bound, fan_out)


def _normal(rng: np.random.Generator, fan_out: int, fan_in: int, variance: float) -> Layer:
    return rng.standard_normal((fan_out, fan_in)) * variance**0.5, np.zeros(fan_out)


def he(rng: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
    """Return (W, b): W normal with variance 2 / fan_in, b zero (He et al. 2015, eq. 10)."""
    return _normal(rng, fan_out, fan_in, 2 / fan_in)


def glorot(rng: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
    """Return (W, b): W normal with variance 2 / (fan_in + fan_out), b zero (Glorot & Bengio 2010, eq. 12)."""
    return _normal(rng, fan_out, fan_in, 2 / (fan_in + fan_out))


def mean_field(sigma_w: float, sigma_b: float) -> Initialiser:
    """Return an initialiser with W ~ N(0, sigma_w^2 / fan_in) and b ~ N(0, sigma_b^2) (Poole et al. 2016)."""

    def draw(rng: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
        weights, _ = _normal(rng, fan_out, fan_in, sigma_w**2 / fan_in)
        return weights, sigma_b * rng.standard_normal(fan_out)

    return draw


def orthogonal(gain: float, sigma_b: float) -> Initialiser:
    """Return an initialiser of biases N(0, σ_b²) and W = gain·Q, QᵀQ = 1 or QQᵀ = 1, whichever the shape allows.

    Q comes from the QR decomposition of a normal matrix, with R's diagonal made positive, so that Q is uniform
    (Mezzadri 2007).
    """

    def draw(rng: np.random.Generator, fan_out: int, fan_in: int) -> Layer:
        q, r = np.linalg.qr(rng.standard_normal((max(fan_out, fan_in), min(fan_out, fan_in))))
        q = gain * q * np.sign(np.diag(r))
        return q if fan_out >= fan_in else q.T, sigma_b * rng.standard_normal(fan_out)

    return draw


NAMED: dict[str, Initialiser] = {"torch": torch_default, "he": he, "glorot": glorot}


def initialiser(choice: str | Initialiser) -> Initialiser:
    """Return the initialiser called `choice` ("torch", "he", "glorot"), or `choice` itself if callable."""
    if callable(choice):
        return choice
    if choice not in NAMED:
        raise BadInput.of("init", choice, f"one of {sorted(NAMED)} or a callable", "Name one of these.")
    return NAMED[choice]
