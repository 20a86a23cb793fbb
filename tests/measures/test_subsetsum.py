"""Subset sums against brute force, and pruned neurons as the real two-layer nets they stand for."""

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures import subsetsum as sub


@pytest.fixture
def draw():
    return np.random.default_rng(1000)


def unit_ball(draw, count, dim):
    x = draw.standard_normal((count, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * draw.uniform(size=(count, 1)) ** (1 / dim)


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_the_search_finds_what_trying_all_subsets_finds(draw, n):
    subsets = np.arange(2**n)[:, None] >> np.arange(n) & 1
    for target in (0.0, 0.3, -0.8, 5.0, -5.0):
        values = draw.uniform(-1, 1, n)
        gaps = np.abs(subsets @ values - target)
        assert sub.best_subset_error(target, values) == pytest.approx(gaps.min(), abs=1e-14)
        chosen = sub.best_subset(target, values)
        assert abs(values[chosen].sum() - target) == pytest.approx(gaps.min(), abs=1e-14)


def test_a_planted_subset_is_found_among_millions(draw):
    values = np.sqrt([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89])
    planted = draw.random(24) < 0.5  # roots of primes: no two subsets have the same sum
    np.testing.assert_array_equal(sub.best_subset(values[planted].sum(), values), planted)


def test_a_decomposable_target_has_no_error():
    assert sub.best_subset_error(0.625, [0.5, 0.25, -0.75, 0.125]) == 0
    assert sub.best_subset_error(0, [0.5, 0.25]) == 0  # the empty subset
    assert sub.best_subset_error(0.5, []) == 0.5


def test_more_candidates_are_never_worse(draw):
    values = draw.uniform(-1, 1, 16)
    found = [sub.best_subset_error(0.77, values[:n]) for n in range(17)]
    assert all(later <= earlier for earlier, later in zip(found, found[1:], strict=False))
    assert found[0] == 0.77 and found[-1] < 1e-3


def test_a_pruned_neuron_is_a_random_two_layer_net_with_weights_cut(draw):
    weights, first, second = sub.random_neuron(3, 4, 6)
    neuron = sub.prune_to(weights, first, second)
    hidden, output = nn.Linear(4, 48, bias=False), nn.Linear(48, 1, bias=False)
    with torch.no_grad():
        hidden.weight.copy_(torch.from_numpy(draw.uniform(-1, 1, (48, 4))))  # what is cut may be anything
        own = torch.arange(4).repeat_interleave(12)
        hidden.weight[torch.arange(48), own] = torch.from_numpy(first.copy().ravel()).float()
        output.weight.copy_(torch.from_numpy(second.copy().reshape(1, -1)))
        hidden.weight *= nn.functional.one_hot(own, 4)
        output.weight *= torch.from_numpy(neuron.kept.reshape(1, -1))
        x = unit_ball(draw, 200, 4)
        found = nn.Sequential(hidden, nn.ReLU(), output, nn.ReLU())(torch.from_numpy(x).float())[:, 0]
    np.testing.assert_allclose(neuron.output(x), found, atol=1e-6)
    assert neuron.output(x).max() > 0.1


def test_the_bound_holds_everywhere_in_the_unit_ball_and_is_attained(draw):
    for seed in range(5):
        neuron = sub.prune_to(*sub.random_neuron(seed, 4, 4))
        x = unit_ball(draw, 2000, 4)
        assert np.abs(neuron.output(x) - neuron.target(x)).max() <= neuron.bound() + 1e-12
    # Too small candidates on both sides: w - Σ = 0.5 for x > 0, and for x < 0.
    neuron = sub.prune_to([1.0], [[0.5, -0.5]], [[1.0, -1.0]])
    assert neuron.bound() == 0.5
    assert (neuron.target(np.array([[1.0]])) - neuron.output(np.array([[1.0]]))).tolist() == [0.5]


def test_both_signs_of_an_input_need_their_own_units():
    one_sided = sub.prune_to([0.5], [[1.0, 1.0]], [[0.5, 0.25]])
    assert one_sided.kept.tolist() == [[True, False]] and one_sided.bound() == 0.5
    both = sub.prune_to([0.5], [[1.0, -1.0]], [[0.5, -0.5]])
    assert both.kept.all() and both.bound() == 0
    x = np.array([[-1.0], [1.0]])
    assert both.output(x).tolist() == both.target(x).tolist() == [0.0, 0.5]


def test_a_random_net_grows_with_its_units_and_its_target_is_short():
    weights, first, second = sub.random_neuron(3, 6, 5)
    for mine, larger in zip((weights, first, second), sub.random_neuron(3, 6, 9), strict=True):
        np.testing.assert_array_equal(mine, larger[:, :10] if mine.ndim == 2 else larger)
    assert np.linalg.norm(weights) <= 1 and not np.array_equal(first, second)


def test_the_error_falls_exponentially_with_the_candidates():
    counts = [2, 5, 8, 11, 14, 17, 20]
    found = sub.errors([1, 2, 3, 4], counts, inputs=5)
    assert found.shape == (4, 7) and (np.diff(found) <= 0).all()
    slopes = np.polyfit(counts, np.log(found).T, 1)[0]
    assert ((slopes > -0.8) & (slopes < -0.3)).all()
    np.testing.assert_array_equal(found[2:3], sub.errors([3], counts, inputs=5))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: sub.best_subset(0.5, np.ones(41)), "candidates"),
        (lambda: sub.best_subset(0.5, np.ones((2, 2))), "candidates"),
        (lambda: sub.prune_to([0.5], np.ones((2, 3)), np.ones((2, 3))), "shapes"),
        (lambda: sub.best_subset(np.nan, np.ones(3)), "nan or inf"),
        (lambda: sub.best_subset_error(0.5, [1.0, np.nan]), "nan or inf"),
        (lambda: sub.prune_to([0.5], np.full((1, 3), np.nan), np.ones((1, 3))), "nan or inf"),
        (lambda: sub.errors([1], [0, 4]), "counts"),
        (lambda: sub.errors([1], [41]), "counts"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()
