"""Monte Carlo of signals in wide random nets, which the recursions of `theory` are to be compared with."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

Layer = Callable[[np.ndarray], np.ndarray]


def simulated_q(
    source: np.random.Generator,
    width: int,
    depth: int,
    sigma_w: float,
    sigma_b: float,
    *,
    inputs: int = 8,
    residual: bool = False,
) -> list[float]:
    """Return q of every layer of one random tanh net, the mean over units and inputs, whose mean square is 1.

    `residual`: h'' = h + Wφ(Wφ(h) + b) + b, and `depth` counts such pairs of layers; the first entry is the layer that
    reads the inputs. In float32.
    """

    def layer(x: np.ndarray) -> np.ndarray:
        weights = source.standard_normal((width, len(x)), np.float32) * np.float32(sigma_w / sqrt(len(x)))
        return np.asarray(weights @ x + np.float32(sigma_b) * source.standard_normal((width, 1), np.float32))

    x = source.standard_normal((width, inputs), np.float32)
    h = layer(x / np.sqrt(np.square(x).mean(0)))
    found = [float(np.square(h).mean())]
    while len(found) < depth:
        h = h + layer(np.tanh(layer(np.tanh(h)))) if residual else layer(np.tanh(h))
        found.append(float(np.square(h).mean()))
    return found
