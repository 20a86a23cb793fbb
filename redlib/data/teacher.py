"""A teacher's data: Gaussian inputs with the labels that a small random net gives them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import whole
from redlib.data.streams import rng


def taught(seed: int, n: int, inputs: int, units: int) -> tuple[Tensor, Tensor]:
    """Return x [n, inputs] ~ N(0, I) and labels int64 [n] in {0, 1}, half of each: is a net's output above its median?

    The net has one layer of `units` rectified units with weights N(0, 1) and output weights of 1 or -1, so that a
    student as wide as it can fit the labels (Livni et al. 2014). All is drawn in the stream "features".
    """
    remedy = "Give the teacher a layer, and examples."
    n, inputs, units = (whole(what, each, 1, remedy) for what, each in (("n", n), ("inputs", inputs), ("units", units)))
    source = rng(seed, "features")
    x = source.standard_normal((n, inputs))
    hidden = np.maximum(x @ source.standard_normal((inputs, units)), 0)
    outputs = hidden @ source.choice([-1.0, 1.0], units)
    return torch.from_numpy(x).float(), torch.from_numpy((outputs > np.median(outputs)).astype(np.int64))
