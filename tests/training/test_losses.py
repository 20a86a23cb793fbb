"""A loss of the user's own: labels as the named losses take them, and targets of regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.training import SGD, Batches, Examples, fit


def module(seed, outputs):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


def problem(n=70):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, 5, generator=g), torch.randint(0, 3, (n,), generator=g)


def test_a_function_that_is_cross_entropy_trains_like_its_name():
    examples, nets = Examples(*problem()), [module(0, 3) for _ in range(2)]
    options = {"optimizer": SGD(0.2), "steps": 12, "batch_size": 16, "evaluate": {"all": examples}}
    named = fit(nets[0], examples, **options)
    ours = fit(nets[1], examples, loss=lambda outputs, y: functional.cross_entropy(outputs, y), **options)
    assert torch.equal(nets[0][0].weight, nets[1][0].weight)
    np.testing.assert_array_equal(ours.batch_loss, named.batch_loss)
    np.testing.assert_allclose(ours["all_loss"], named["all_loss"], rtol=1e-6)
    np.testing.assert_array_equal(ours["all_error"], named["all_error"])


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_regression_is_that_of_a_plain_loop(outputs, own_rows):
    x, _ = problem()
    y = torch.stack([x[:, 0] * x[:, 1], x[:, 2]], 1)[:, :outputs]
    rows = torch.stack([torch.arange(60), torch.arange(10, 70)]) if own_rows else None
    examples = Examples(x, y, rows)
    nets, plain = [module(seed, outputs) for seed in (0, 1)], [module(seed, outputs) for seed in (0, 1)]
    history = fit(nets, examples, loss=functional.mse_loss, optimizer=SGD(0.1), steps=25, batch_size=16, seeds=(0, 1),
                  evaluate={"all": examples})  # fmt: skip
    batches, rules = Batches(examples, (0, 1), 16), [torch.optim.SGD(net.parameters(), 0.1) for net in plain]
    for step in range(25):
        inputs, targets = batches.at(step)
        for net, rule, a, b in zip(plain, rules, inputs, targets, strict=True):
            rule.zero_grad()
            functional.mse_loss(net(a), b).backward()
            rule.step()
    for r, (net, other) in enumerate(zip(nets, plain, strict=True)):
        torch.testing.assert_close(net[0].weight, other[0].weight, atol=1e-6, rtol=0)
        seen = slice(None) if rows is None else rows[r]
        expected = functional.mse_loss(other(x[seen]), y[seen]).item()
        assert history["all_loss"][r, -1] == pytest.approx(expected, rel=1e-5)
    assert "all_error" not in history.values, "targets have no classes"


def test_targets_follow_their_inputs_into_batches():
    x = torch.arange(20.0)[:, None]
    inputs, targets = Batches(Examples(x, torch.cat([x, 2 * x], 1)), (0, 1), 6).at(1)
    assert torch.equal(targets, torch.cat([inputs, 2 * inputs], 2)) and inputs[0, 0] != inputs[1, 0]
