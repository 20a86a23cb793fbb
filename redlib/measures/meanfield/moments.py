"""Means of activations over Gaussian pre-activations, of one variable and of pairs.

Those of relu, erf and linear are closed forms. Those of tanh are trapezoidal sums, whose error falls exponentially with
the number of nodes; Gauss-Hermite quadrature needs its square (Trefethen 2022, section 5): with 201 nodes it is 5e-3
off at q = 50.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from redlib.errors import BadInput

Floats = NDArray[np.float64]
Activation = Literal["tanh", "relu", "erf", "linear"]

NODES = np.linspace(0, 1, 81)  # of the half line, for one Gaussian variable
REACH, TAIL = 8.5, 20.0  # standard deviations, and where sech² has fallen to 1e-17
PAIR_STEP, PAIR_REACH = 0.25, 7.5
LARGEST = 1e4  # the nodes for a pair of variables grow as their variance q
BLOCK = 2**15  # variances at a time, 20 MiB a table


@dataclass(frozen=True)
class Moments:
    """Means over u ~ N(0, q), and over pairs of correlation c; `bounded`: |φ| <= 1, else V is linear in q."""

    square: Callable[[Floats], Floats]  # E φ(u)²
    slope: Callable[[Floats], Floats]  # its derivative by q, E[φ'² + φφ'']
    gain: Callable[[Floats], Floats]  # E φ'(u)²
    pair: Callable[[Floats, Floats, Floats], Floats]  # E φ(u₁)φ(u₂) from c, q₁, q₂
    pair_gain: Callable[[Floats, Floats, Floats], Floats]  # E φ'(u₁)φ'(u₂)
    bounded: bool


def moments_of(activation: str) -> Moments:
    """Return the means of an activation; BadInput for an unknown one."""
    if activation not in MOMENTS:
        raise BadInput.of("activation", activation, f"one of {list(MOMENTS)}", "Name one of these.")
    return MOMENTS[activation]


def _half_line(q: Floats) -> tuple[Floats, Floats]:
    """Return nodes u [..., 81] and trapezoidal weights for the means of even functions over u ~ N(0, q)."""
    root = np.sqrt(q)[..., None]
    reach = np.minimum(REACH, TAIL / np.maximum(root, TAIL / REACH))
    z = reach * NODES
    weights = 2 * reach * NODES[1] * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    weights[..., 0] /= 2
    return root * z, weights


def _in_blocks(function: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    def blocked(q: Floats) -> Floats:
        flat = np.asarray(q, np.float64).ravel()
        parts = [function(flat[at : at + BLOCK]) for at in range(0, len(flat), BLOCK)]
        return np.concatenate(parts).reshape(np.shape(q)) if parts else np.zeros(np.shape(q))

    return blocked


def _tanh_square(q: Floats) -> Floats:
    # tanh² does not fall off, so beyond the nodes' reach its complement sech² is summed; at small q that would cancel.
    u, weights = _half_line(q)
    values = np.tanh(u) ** 2
    return np.where(q < (TAIL / REACH) ** 2, (weights * values).sum(-1), 1 - (weights * (1 - values)).sum(-1))


def _tanh_slope(q: Floats) -> Floats:
    u, weights = _half_line(q)
    sech2 = 1 / np.cosh(u) ** 2
    return np.asarray((weights * sech2 * (3 * sech2 - 2)).sum(-1))


def _tanh_gain(q: Floats) -> Floats:
    u, weights = _half_line(q)
    return np.asarray((weights / np.cosh(u) ** 4).sum(-1))


def _tanh_pair_mean(c: float, q: float, other: float, function: Callable[[Floats], Floats]) -> float:
    """Return E f(u₁)f(u₂) of an odd or even f as analytic as tanh, on a grid of independent z₁ >= 0 and z₂."""
    largest = max(q, other)
    if largest > LARGEST:
        raise BadInput.of("q", largest, f"0 <= q <= {LARGEST:g} for pairs", "Tanh is hardly more than a sign there.")
    step = PAIR_STEP / math.sqrt(max(largest, 0.5))  # the poles of tanh(√q z) are π/(2√q) off the real line
    half = math.ceil(PAIR_REACH / step)
    z = step * np.arange(-half, half + 1, dtype=np.float64)
    weights = step * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    first, first_weights = z[half:], np.concatenate([weights[half : half + 1], 2 * weights[half + 1 :]])
    second = c * first[:, None] + math.sqrt((1 - c) * (1 + c)) * z
    means = function(math.sqrt(other) * second) @ weights
    return float((first_weights * function(math.sqrt(q) * first)) @ means)


def _tanh_derivative(u: Floats) -> Floats:
    return np.asarray(1 - np.tanh(u) ** 2)


def _tanh_pairs(function: Callable[[Floats], Floats]) -> Callable[[Floats, Floats, Floats], Floats]:
    mean = np.vectorize(partial(_tanh_pair_mean, function=function), otypes=[np.float64])
    return lambda c, q, other: np.asarray(mean(c, q, other))


def _relu_pair(c: Floats, q: Floats, other: Floats) -> Floats:
    """Arc-cosine kernel of degree 1 (Cho & Saul 2009)."""
    return np.sqrt(q * other) * (np.sqrt((1 - c) * (1 + c)) + c * (math.pi - np.arccos(c))) / (2 * math.pi)


def _relu_pair_gain(c: Floats, q: Floats, other: Floats) -> Floats:
    """Arc-cosine kernel of degree 0 (Cho & Saul 2009)."""
    return (math.pi - np.arccos(c)) / (2 * math.pi) + 0 * (q + other)


def _erf_pair(c: Floats, q: Floats, other: Floats) -> Floats:
    """The arcsine kernel (Williams 1997)."""
    sine = 2 * c * np.sqrt(q * other) / np.sqrt((1 + 2 * q) * (1 + 2 * other))
    return np.asarray(2 / math.pi * np.arcsin(sine))


def _erf_pair_gain(c: Floats, q: Floats, other: Floats) -> Floats:
    return np.asarray(4 / math.pi / np.sqrt((1 + 2 * q) * (1 + 2 * other) - 4 * c**2 * q * other))


def _constant(value: float) -> Callable[[Floats], Floats]:
    return lambda q: np.full(np.shape(q), value)


MOMENTS = {
    "tanh": Moments(
        _in_blocks(_tanh_square),
        _in_blocks(_tanh_slope),
        _in_blocks(_tanh_gain),
        _tanh_pairs(np.tanh),
        _tanh_pairs(_tanh_derivative),
        True,
    ),
    "relu": Moments(lambda q: q / 2, _constant(0.5), _constant(0.5), _relu_pair, _relu_pair_gain, False),
    "erf": Moments(
        lambda q: np.asarray(2 / math.pi * np.arcsin(2 * q / (1 + 2 * q))),
        lambda q: 4 / math.pi / ((1 + 2 * q) * np.sqrt(1 + 4 * q)),
        lambda q: 4 / math.pi / np.sqrt(1 + 4 * q),
        _erf_pair,
        _erf_pair_gain,
        True,
    ),
    "linear": Moments(
        lambda q: q,
        _constant(1.0),
        _constant(1.0),
        lambda c, q, other: c * np.sqrt(q * other),
        lambda c, q, other: np.ones(np.broadcast_shapes(np.shape(c), np.shape(q), np.shape(other))),
        False,
    ),
}
