"""Ensembles against predictions written by hand."""

import pytest
import torch

from redlib.errors import BadInput
from redlib.measures.ensembles import ensemble_errors

LOGITS = torch.tensor([[[9.0, 0], [0, 1]], [[0.0, 2], [0, 1]], [[0.0, 2], [1, 0]]])  # members, examples, classes
Y = torch.tensor([0, 1])


def test_the_mean_of_outputs_may_be_right_where_most_members_are_wrong():
    together, each = ensemble_errors(LOGITS, Y, "mse")
    assert together == 0 and each == pytest.approx(3 / 6)


def test_probabilities_count_after_cross_entropy():
    together, each = ensemble_errors(LOGITS, Y)
    assert together == pytest.approx(1 / 2), "two members at 88% outvote one at 99.99%"
    assert each == pytest.approx(3 / 6)


def test_leading_axes_stay_and_other_shapes_are_refused():
    stacked = torch.stack([LOGITS, LOGITS.flip(-1)])
    assert [part.shape for part in ensemble_errors(stacked, Y, "mse")] == [(2,), (2,)]
    with pytest.raises(BadInput, match="logits"):
        ensemble_errors(LOGITS, torch.tensor([0, 1, 1]))
    with pytest.raises(BadInput, match="loss"):
        ensemble_errors(LOGITS, Y, "hinge")


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_largest_of_nan_is_no_decision(loss):
    broken = LOGITS.clone()
    broken[1, 0, 1] = torch.nan
    with pytest.raises(BadInput, match="logits = 'NaN'"):
        ensemble_errors(broken, Y, loss)
