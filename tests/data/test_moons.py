"""Two moons lie where they should, every part and seed by itself."""

from __future__ import annotations

from math import inf, nan, pi

import numpy as np
import pytest
import torch

from redlib.data.moons import moons
from redlib.errors import BadInput


def test_without_noise_points_lie_on_two_half_circles():
    x, y = moons(1000, 400, noise=0.0)
    assert x.shape == (400, 2) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert torch.equal(y, torch.arange(400) % 2)
    upper, lower = (x[y == moon].double() for moon in (0, 1))
    for half, centre, sign in ((upper, (-0.5, -0.25), 1), (lower, (0.5, 0.25), -1)):
        away = half - torch.tensor(centre)
        assert torch.allclose(away.norm(dim=1), torch.ones(200, dtype=torch.float64), atol=1e-6)
        angles = torch.atan2(sign * away[:, 1], sign * away[:, 0])
        assert (angles >= -1e-6).all() and (angles <= pi + 1e-6).all()
        assert abs(angles.mean() - pi / 2) < 4 * pi / (12 * 200) ** 0.5  # uniform: four standard errors


def test_noise_has_its_standard_deviation():
    clean, noisy = (moons(1001, 20_000, noise)[0] for noise in (0.0, 0.3))
    moved = (noisy - clean).double().numpy()
    assert np.allclose(moved.std(0), 0.3, rtol=0.03) and np.abs(moved.mean(0)).max() < 4 * 0.3 / 20_000**0.5


def test_seeds_and_parts_are_draws_of_their_own():
    drawn = [moons(seed, 6, 0.1, part)[0] for seed in (1000, 1001) for part in (0, 1)]
    assert torch.equal(drawn[0], moons(1000, 6)[0])
    assert len({tuple(x.flatten().tolist()) for x in drawn}) == 4


@pytest.mark.parametrize("given", [{"n": 0}, {"n": 2.5}, {"noise": -0.1}, {"noise": inf}, {"noise": nan}, {"part": -1}])
def test_bad_numbers_are_refused(given):
    with pytest.raises(BadInput, match=next(iter(given))):
        moons(**({"seed": 1000, "n": 4} | given))
