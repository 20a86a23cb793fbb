"""One net counted three ways: what is whole does as well as the net, and what is left is counted exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from redlib.nets import StackedMLP
from redlib.studies.loss_landscape import claims
from redlib.studies.loss_landscape.counted import Counted, low_rank, ranks

RUN = Counted(pool=300, validation=60, tests=100, n=60, epochs=10, batch=20, seeds=(1000, 1001), width=12, rounds=3,
              dims=(20, 60), shares=(0.1, 1.0))  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return RUN.results(RUN.run())


def test_the_dense_ticket_and_the_whole_rank_are_the_net(found):
    assert np.array_equal(found.at(round=0)["ticket_accuracy"], found["full_accuracy"])
    assert found.at(share=1.0)["rank_accuracy"] == pytest.approx(found["full_accuracy"], abs=0.011)  # one image rounds
    assert found["left"][-1] == found["parameters"] == 64 * 12 + 12 * 12 + 12 * 10 + 34


def test_what_a_ticket_and_factors_hold_is_counted(found):
    # 20% of 768 and of 144 weights go each round, 10% of the 120 of the last layer.
    assert found["left"][-2] == 614 + 115 + 108 + 34
    assert found["numbers"].tolist() == [1 * (64 + 12) + 1 * 24 + 1 * 22 + 34, 12 * 76 + 12 * 24 + 10 * 22 + 34]
    assert (np.diff(found["left"]) > 0).all()


def test_a_low_rank_is_the_nearest_matrix_of_that_rank():
    net = StackedMLP.create((6, 4, 3), [1000])
    cut = low_rank(net, 0.5)
    for weights, whole in zip(cut.weights, net.weights, strict=True):
        kept = ranks(0.5, tuple(whole.shape[1:]))
        values = torch.linalg.svdvals(whole[0].double())
        assert torch.linalg.matrix_rank(weights[0].double(), rtol=1e-5) == kept
        assert (weights - whole)[0].norm() == pytest.approx(values[kept:].norm().item(), rel=1e-4)
    assert [ranks(share, (64, 10)) for share in (0.01, 0.25, 1.0)] == [1, 2, 10]


def test_how_many_numbers_are_needed_is_where_nine_tenths_are_reached():
    run = {"full_accuracy": np.array([1.0, 0.5]), "kept": np.array([[0.8, 1.0], [0.1, 0.4]])}
    needed = claims.needed(run, np.array([10, 30]), "kept")
    assert needed[0] == pytest.approx(20) and np.isnan(needed[1])
