"""Two moons: two half circles in the plane that hook into each other, with noise around them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput

_KEY = 96  # of the stream "features", so that no other draw of a seed repeats these
MIDDLE = (0.5, 0.25)  # of the usual two moons; here it is the origin


def moons(seed: int, n: int, noise: float = 0.1, part: int = 0) -> tuple[Tensor, Tensor]:
    """Return n points of the plane x [n, 2], float32, and which moon each belongs to, y int64 [n], 0 and 1 in turn.

    Moon 0 is the upper half of the circle of radius 1 around (0, 0), moon 1 the lower half of that around (1, 0.5),
    both moved so that the middle between them is the origin. The angle is uniform; to both coordinates normal noise of
    standard deviation `noise` is added. The stream "features" of `seed` draws it all, each `part` (0, 1, …) by itself.
    BadInput for no point, a part below 0 and noise that is negative or not finite. Source: the function `make_moons` of
    scikit-learn (Pedregosa et al. 2011), which spaces the angles evenly.
    """
    n, part = whole("n", n, 1, "Draw a point or more."), whole("part", part, 0, "Parts count from 0.")
    if not 0 <= noise < np.inf:
        raise BadInput.of("noise", noise, "finite, >= 0", "It is a standard deviation.")
    source, y = rng(seed, "features", _KEY, part), np.arange(n) % 2
    angle = np.pi * source.random(n)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1) - MIDDLE
    x = np.where(y[:, None] == 0, upper, -upper) + noise * source.standard_normal((n, 2))
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)
