"""Steps, attacks and changes that move a decision, against classifiers whose decision boundary is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from redlib.data.blur import blur
from redlib.data.transforms import change_norms
from redlib.errors import BadInput
from redlib.measures import robustness
from redlib.measures.robustness import (
    along_gradient,
    attacked,
    blurred_decisions,
    changed_shares,
    decisions,
    flips,
    gap_spread,
    gradient_sign,
    image_correlations,
    logit_gap,
    margins,
    matched_variants,
    pixels,
    smallest_step,
)
from redlib.nets.strided import build_strided

W = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.5]])
CHANGES = ("shift", "rotation", "noise", "gradient")
STEPS = [0.001 * 1.02**k for k in range(400)]


class Linear(nn.Module):
    """Two classes of images of 2 x 2 pixels, told apart by the sum of x times `weight`."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        score = x.flatten(1) @ self.weight
        return torch.stack([torch.zeros_like(score), score], 1)


def images(*values):
    return torch.tensor(values).view(-1, 1, 2, 2)


@pytest.fixture(scope="module")
def grey():
    """40 images of 8 x 8 pixels with grey values in [0, 1]: a bright square on noise."""
    x = 0.3 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    x[:, :, 2:5, 3:6] += 0.6
    return x


@pytest.fixture(scope="module")
def nets():
    return [build_strided("conv", seed, (4, 6), 10, 1, 8) for seed in (1000, 1001)]


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


def test_halving_finds_where_between_two_steps_the_decision_changes():
    x = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [90.0, 0.0, 0.0]])
    y = torch.zeros(4, dtype=torch.int64)

    def rising(x):  # changes from class 0 to class 1 where the first input falls below 0
        return torch.stack([x[:, 0], torch.zeros(len(x))], 1)

    away = torch.tensor([[-1.0, 0.0, 0.0]]).expand_as(x)
    assert smallest_step(rising, x, y, away, [1.5, 4.0, 8.0]).tolist() == [1.5, 4.0, 0.0, float("inf")]
    found = smallest_step(rising, x, y, away, [1.5, 4.0, 8.0], halvings=10)
    assert found[2:].tolist() == [0.0, float("inf")], "what is wrong at once, or never, has no place between steps"
    for margin, step, width in ((1.0, found[0], 1.5), (3.0, found[1], 2.5)):
        assert margin <= step <= margin + width * 2**-10
    with pytest.raises(BadInput, match="halvings"):
        smallest_step(rising, x, y, away, [1.5], halvings=-1)


@pytest.mark.parametrize("steps", [[], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
def test_steps_must_rise_from_above_zero(steps):
    with pytest.raises(BadInput, match="steps"):
        smallest_step(linear, torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.ones(1, 3), steps)


def test_gaps_of_all_examples_spread_over_their_median():
    y = torch.zeros(1, 101, dtype=torch.int64)
    logits = torch.stack([torch.linspace(1, 3, 101), torch.zeros(101), torch.full((101,), -5.0)], 1)[None]
    assert torch.equal(logit_gap(logits, y)[0], torch.linspace(1, 3, 101))
    assert gap_spread(logits, y).item() == pytest.approx((2.9 - 1.1) / 2, abs=1e-6)


def test_margins_are_the_smallest_steps_of_each_net():
    x, y = images((0.5, 0.0, 0, 0), (0.0, 0.1, 0, 0)), torch.tensor([1, 0])  # scores 1 and -.1 of the first net
    found = margins([Linear([2.0, -1.0, 0.5, 0.5]), Linear([1.0, 0.0, 0.0, 0.0])], x, y, (0.02, 0.03, 0.2, 0.3, 0.6))
    # A step e along the sign changes the score by e times the sum of |weight|: 4, and 1 for the second net.
    assert found.tolist() == [[0.3, 0.03], [0.6, 0.02]]


# Images


def test_decisions_are_those_of_the_nets_on_blurred_images(nets, grey):
    found = blurred_decisions(nets, grey, (0.0, 1.3, 10.0))
    assert found.dtype == np.int8 and found.shape == (2, 3, 40) and pixels((1.3,), 8) == [1.3 * 8 / 28]
    blurry = blur(grey, [0, 1.3 * 8 / 28, 10 * 8 / 28])
    for net, own in zip(nets, found, strict=True):
        with torch.no_grad():
            assert np.array_equal(own, torch.stack([net.eval()(some).argmax(1) for some in blurry]))
        assert np.array_equal(decisions(net, grey), own[0])
    assert (found[:, 0] != found[:, 2]).any(), "a strong blur changes something"


def test_images_that_fit_in_no_batch_are_blurred_in_parts(nets, grey, monkeypatch):
    whole = blurred_decisions(nets, grey, (0.0, 4.0))
    monkeypatch.setattr(robustness, "BATCH", 7)
    assert np.array_equal(blurred_decisions(nets, grey, (0.0, 4.0)), whole)


@pytest.mark.parametrize("name", CHANGES)
def test_other_changes_are_as_large_as_the_blur_and_counted_by_group(name, nets, grey):
    labels, group = decisions(nets[1], grey), torch.arange(40) % 3 == 0
    changed = matched_variants(nets[1], name, grey, (1.3, 4.0), 1001)
    norms = change_norms(grey, blur(grey, pixels((1.3, 4.0), 8)))
    assert torch.allclose(change_norms(grey, changed), norms, rtol=1e-3)
    moved = torch.stack([decisions(nets[1], some) for some in changed]) != labels
    expected = [moved[:, part].double().mean(1).tolist() for part in (group, ~group)]
    assert np.allclose(changed_shares(nets[1], name, grey, labels, group, (1.3, 4.0), 1001), expected)


def test_no_image_of_a_group_gives_nan():
    x, labels = images((1.0, 0, 0, 0), (2.0, 1, 0, 1)), torch.tensor([1, 1])
    share = changed_shares(Linear([1.0, 0, 0, 0]), "noise", x, labels, torch.tensor([False, False]), (1.3,), 0)
    assert np.isnan(share[0]).all() and np.isfinite(share[1]).all()


def test_a_step_flips_what_lies_within_it():
    # A step e along the sign changes the score by e times the sum of |weight| = 4.
    net = Linear([2.0, -1.0, 0.5, 0.5])
    x = images((0.5, 0.0, 0, 0), (0.1, 0.0, 0, 0), (0.0, 0.1, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))  # scores 1, .2, -.1, 2
    ahead, chance = flips(net, x, (0.04, 0.06, 0.3, 0.6), 0)
    assert ahead.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert (chance <= ahead).all() and chance.mean() < ahead.mean()


def test_random_signs_are_signs_of_the_step():
    seen = []

    class Spy(Linear):
        def forward(self, x):
            seen.append(x.detach())
            return super().forward(x)

    x = images((0.5, 0.0, 0, 0))
    flips(Spy([1.0, 1.0, 1.0, 1.0]), x, (0.25,), 3)
    assert any(torch.equal((s - x).abs(), torch.full_like(x, 0.25)) and (s - x).unique().numel() == 2 for s in seen)


def test_a_constant_net_has_no_direction_of_its_own():
    x = images((0.5, 0.0, 0, 0), (0.0, 0.1, 0.2, 0.3))
    assert torch.equal(along_gradient(Linear([0.0] * 4), x), torch.ones_like(x))
    assert along_gradient(Linear([2.0, -1.0, 0.0, 3.0]), x)[0].flatten().tolist() == [-1, 1, 0, -1]


def test_attacks_stay_within_epsilon_and_grey_values_and_raise_the_loss(nets, grey):
    net, y = nets[0].train(), decisions(nets[0], grey)
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    worst = attacked(net, grey, y, 0.1, 3, np.random.default_rng(0))
    assert (worst - grey).abs().max() <= 0.1 + 1e-6 and worst.min() >= 0 and worst.max() <= 1
    losses = [nn.functional.cross_entropy(net.eval()(some), y) for some in (worst, grey)]
    assert losses[0] > losses[1]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items()), "statistics as before"


def test_an_attack_on_a_linear_net_ends_at_the_corner_its_gradient_points_to():
    x = images((0.5, 0.5, 0.5, 0.05))
    worst = attacked(Linear([2.0, -1.0, 0.5, 3.0]), x, torch.tensor([1]), 0.1, 4, np.random.default_rng(0))
    assert torch.allclose(worst, images((0.4, 0.6, 0.4, 0.0)))


def test_correlations_are_those_of_numpy():
    a, b = torch.rand(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    expected = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b, strict=True)]
    assert np.allclose(image_correlations(a, b), expected)


@pytest.mark.parametrize("labels", [torch.zeros(4, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64),
                                    torch.zeros(4)])  # fmt: skip
def test_labels_of_another_shape_are_refused(labels):
    x = torch.zeros(4, 3)
    with pytest.raises(BadInput, match="labels"):
        smallest_step(linear, x, labels, torch.ones(4, 3), STEPS)
    with pytest.raises(BadInput, match="labels"):
        gradient_sign(linear, x, labels)
    if labels.dim() > 1 or len(labels) < 4:
        with pytest.raises(BadInput, match="labels"):
            logit_gap(linear(x), labels)


def test_a_net_that_returns_nan_decides_nothing(grey):
    net = build_strided("conv", 0, (4, 6), 10, 1, 8)
    net[-1].weight.data[3] = torch.nan
    with pytest.raises(BadInput, match="NaN"):
        decisions(net, grey)
    with pytest.raises(BadInput, match="NaN"):
        smallest_step(lambda x: linear(x) * torch.nan, torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64),
                      torch.ones(1, 3), STEPS)  # fmt: skip
