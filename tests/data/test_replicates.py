"""Folds: every example is held out once per seed, from nets that learn the others."""

import pytest
import torch

from redlib.data.replicates import fold_rows
from redlib.errors import BadInput


def test_folds_hold_every_example_out_once_per_seed():
    kept, held = fold_rows(11, 3, (1000, 1001))
    assert held.shape == (6, 3) and kept.shape == (6, 6)
    for own, others in zip(held.view(2, -1), kept.view(2, 3, 6), strict=True):
        assert len(own.unique()) == 9, "two of eleven are left over"
        assert all(not set(h.tolist()) & set(k.tolist()) for h, k in zip(own.view(3, 3), others, strict=True))
    assert not torch.equal(held[0], held[3]), "seeds fold in orders of their own"
    assert torch.equal(fold_rows(11, 3, (1001,))[1], held[3:])


@pytest.mark.parametrize("count", [1, 12])
def test_one_fold_and_more_folds_than_examples_are_refused(count):
    with pytest.raises(BadInput, match="2 <= folds <= 11"):
        fold_rows(11, count, (0,))
