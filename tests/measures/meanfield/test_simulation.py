"""Simulated random nets follow the recursions of theory."""

import numpy as np
import pytest

from redlib.measures import meanfield as mf


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_wide_nets_follow_their_recursion(residual):
    draws = [mf.simulated_q(np.random.default_rng(seed), 400, 6, 1.4, 0.3, residual=residual) for seed in range(6)]
    wanted = mf.resnet_q_profile(1.0, 1.4, 0.3, 6) if residual else mf.q_profile(1.0, [1.4] * 6, 0.3)
    assert np.allclose(np.mean(draws, 0), wanted, rtol=0.15) and np.shape(draws) == (6, 6)
    again = mf.simulated_q(np.random.default_rng(0), 400, 6, 1.4, 0.3, residual=residual)
    assert again == draws[0], "the generator decides alone"
