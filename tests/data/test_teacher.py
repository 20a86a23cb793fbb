"""A teacher's labels are half and half, its seed's own, and within reach of a net as wide as it."""

import numpy as np
import pytest
import torch

from redlib.data.streams import rng
from redlib.data.teacher import taught
from redlib.errors import BadInput


def test_labels_are_those_of_a_rectified_net_above_its_median():
    x, y = taught(1000, 40, 5, 3)
    source = rng(1000, "features")
    inputs, weights, signs = source.standard_normal((40, 5)), source.standard_normal((5, 3)), source.choice([-1, 1], 3)
    outputs = np.maximum(inputs @ weights, 0) @ signs
    assert torch.allclose(x, torch.from_numpy(inputs).float())
    assert y.tolist() == (outputs > np.median(outputs)).tolist() and y.sum() == 20 and y.dtype == torch.int64


def test_every_seed_has_its_own_teacher_and_none_without_units():
    assert not torch.equal(taught(1000, 40, 5, 3)[1], taught(1001, 40, 5, 3)[1])
    assert torch.equal(taught(1000, 40, 5, 3)[0], taught(1000, 40, 5, 3)[0])
    with pytest.raises(BadInput, match="units"):
        taught(1000, 40, 5, 0)
