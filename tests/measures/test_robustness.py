"""The smallest step that changes a decision, against classifiers whose decision boundary is known."""

from __future__ import annotations

import pytest
import torch

from redlib.errors import BadInput
from redlib.measures.robustness import gradient_sign, smallest_step

W = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.5]])
STEPS = [0.001 * 1.02**k for k in range(400)]


def linear(x):
    return x @ W.T


def test_a_linear_pair_of_classes_flips_at_margin_over_the_l1_norm():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=g)
    y = linear(x).argmax(1)
    gap = W[0] - W[1]
    expected = (x @ gap).abs() / gap.abs().sum()  # Goodfellow et al. 2015, section 4: w . sign(w) = |w|_1
    found = smallest_step(linear, x, y, gradient_sign(linear, x, y), STEPS).float()
    assert (found >= expected - 1e-6).all()
    assert (found <= (1.02 * expected).clamp(min=STEPS[0]) + 1e-6).all()


def test_the_gradient_sign_points_away_from_the_label():
    x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    away = (W[1] - W[0]).sign()
    assert torch.equal(gradient_sign(linear, x, y), torch.stack([away, -away]))


def test_the_margin_has_a_direction_where_cross_entropy_is_certain():
    x, y = torch.zeros(1, 3), torch.tensor([0])

    def certain(x):
        return 1e4 * linear(x) + torch.tensor([1e4, 0.0])

    assert not gradient_sign(certain, x, y).any()
    assert torch.equal(gradient_sign(certain, x, y, "margin"), (W[1] - W[0]).sign()[None])


def test_the_margin_looks_at_the_strongest_other_class():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    x, y = torch.tensor([[2.0, 1.0]]), torch.tensor([0])
    assert gradient_sign(lambda x: x @ weights.T, x, y, "margin").tolist() == [[-1.0, 1.0]]


def test_an_unknown_loss_is_named():
    with pytest.raises(BadInput, match="hinge.*margin"):
        gradient_sign(linear, torch.zeros(1, 3), torch.tensor([0]), "hinge")


def test_wrong_examples_need_no_step_and_firm_ones_are_infinite():
    x = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    y = torch.tensor([1, 0])
    found = smallest_step(linear, x, y, gradient_sign(linear, x, y), [1e-4, 1e-3])
    assert found.tolist() == [0.0, float("inf")]


def test_the_first_flip_counts_where_a_longer_step_flips_back():
    def stripes(x):
        inside = ((x[:, 0] > 1) & (x[:, 0] < 2)).float()
        return torch.stack([1 - inside, inside], 1)

    x, y = torch.zeros(1, 1), torch.tensor([0])
    assert smallest_step(stripes, x, y, torch.ones(1, 1), [0.5, 1.5, 2.5]).tolist() == [1.5]


@pytest.mark.parametrize("steps", [[], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
def test_steps_must_rise_from_above_zero(steps):
    with pytest.raises(BadInput, match="steps"):
        smallest_step(linear, torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.ones(1, 3), steps)
