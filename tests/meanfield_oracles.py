"""What the tests of mean-field theory share: activations, means by adaptive quadrature, and nets drawn at random."""

import math
from itertools import pairwise

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import erf

from redlib.nets import StackedMLP, mean_field

ACTIVATIONS = ["tanh", "relu", "erf", "linear"]
PHI = {"tanh": np.tanh, "relu": lambda u: np.maximum(u, 0), "erf": erf, "linear": lambda u: u}
SLOPE = {
    "tanh": lambda u: 1 / np.cosh(np.minimum(np.abs(u), 300)) ** 2,
    "relu": lambda u: np.where(u > 0, 1.0, 0.0),
    "erf": lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2)),
    "linear": lambda u: np.ones_like(u),
}


def normal(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def density(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def adaptive(function):
    """E function(z) by scipy's adaptive quadrature, on intervals between which it cannot miss the kink or the rise."""
    cuts = [-12, -3, -0.3, 0, 0.3, 3, 12]
    parts = [
        quad(lambda z: float(function(z) * density(z)), a, b, epsabs=1e-13, epsrel=1e-12) for a, b in pairwise(cuts)
    ]
    return sum(value for value, _ in parts)


LEGENDRE = np.polynomial.legendre.leggauss(400)


def panels(function, kinks):
    """E function(z), function of an array, by Gauss-Legendre rules between the kinks."""
    cuts = [-10, *sorted(k for k in kinks if -10 < k < 10), 10]
    total = 0.0
    for a, b in pairwise(cuts):
        z = (a + b) / 2 + (b - a) / 2 * LEGENDRE[0]
        total += (b - a) / 2 * np.sum(LEGENDRE[1] * function(z) * density(z))
    return total


def pair_by_quadrature(function, c, q, other):
    """E f(u₁)f(u₂): the inner mean given z₁ in panels, the outer one by scipy's adaptive quadrature."""
    s = math.sqrt(1 - c**2)

    def inner(z):
        if s == 0:
            return function(np.asarray(math.sqrt(other) * c * z))
        return panels(lambda y: function(math.sqrt(other) * (c * z + s * y)), [-c * z / s])

    return adaptive(lambda z: function(np.asarray(math.sqrt(q) * z)) * inner(z))


def mlp(depth, width, seeds, sigma_w=1.4, sigma_b=0.3, activation="tanh", inputs=None, outputs=None):
    sizes = (inputs or width, *[width] * (depth - 1), outputs or width)
    return StackedMLP.create(sizes, seeds, activation, mean_field(sigma_w, sigma_b))


def inputs(draw, count, dim, mean_square=1.0):
    x = normal(draw, count, dim)
    return x * (mean_square / x.square().mean(1, keepdim=True)).sqrt()
