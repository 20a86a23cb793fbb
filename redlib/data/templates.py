"""A second family of templates for MNIST-1D (Greydanus & Kobak 2020): ten other shapes of twelve points.

Their ten shapes are digits, drawn by hand. These are drawn once, by a rule: sums of four waves, of one to four half
periods, that begin and end at 0 as theirs do. A shape joins the family where its correlation with each one before it
lies in the range that theirs have among themselves, so that no two are more alike than their most similar pair.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from redlib.data.streams import rng

FAMILY, POINTS, WAVES = 10, 12, 4
SEED = 0  # of the stream "templates"; no other was tried
CORRELATIONS = (-1.0, 0.93)  # lowest and highest of the pairs of the authors' templates


@cache
def shapes() -> np.ndarray:
    """Return the second family, float64 [10, 12], in hundredths, so that no library's sine decides a bit."""
    kept: list[np.ndarray] = []
    number = 0
    while len(kept) < FAMILY:
        one = shape(number)
        if all(CORRELATIONS[0] <= np.corrcoef(one, other)[0, 1] <= CORRELATIONS[1] for other in kept):
            kept.append(one)
        number += 1
    return np.stack(kept)


def shape(number: int) -> np.ndarray:
    """Return candidate `number` of the family, float64 [12]; the k-th wave has a height uniform in -1 ... 1, over k."""
    heights = 2 * rng(SEED, "templates", number).random(WAVES) - 1
    time, waves = np.arange(POINTS) / (POINTS - 1), np.arange(1, WAVES + 1)
    summed = (heights / waves) @ np.sin(np.pi * waves[:, None] * time)
    return np.asarray(np.round(summed, 2) + 0.0)  # no -0, which would have another digest


def second_family() -> dict[str, np.ndarray]:
    """Return the templates as the package's generator takes them: x [10, 12], t [12] and y [10].

    Scaled as the authors scale theirs: deviation 1/6, from 0 at the first point.
    """
    x = shapes() - shapes().mean(1, keepdims=True)
    x /= x.std(1, keepdims=True)
    x -= x[:, :1]
    return {"x": x / 6, "t": np.linspace(-5, 5, POINTS) / 6, "y": np.arange(FAMILY)}


def second_family_digest() -> str:
    """Return the SHA-256 (hex) of the family's shapes."""
    return hashlib.sha256(shapes().tobytes()).hexdigest()
