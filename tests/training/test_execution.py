"""A call that is made to be timed takes the very steps that `fit` takes, on a net of its own."""

from __future__ import annotations

import pytest
import torch

from redlib.nets import StackedMLP
from redlib.pruning.allocation import pruned
from redlib.training import SGD, Examples, execution, fit
from redlib.training.sparse import NO_NUMBA, why_not


@pytest.mark.parametrize("how", ["dense", "sparse"])
def test_the_steps_to_be_timed_are_those_of_fit(how, monkeypatch):
    net = pruned(StackedMLP.create((12, 16, 4), (3, 4)), 0.3, every_pass=True)
    if how == "sparse" and NO_NUMBA in why_not(net):
        pytest.skip(NO_NUMBA)
    x, before = torch.rand(60, 12, generator=torch.Generator().manual_seed(0)), net.flat.clone()
    examples, rule = Examples(x, torch.arange(60) % 4), SGD(0.05, momentum=0.9)
    engines = []
    made = execution.ENGINES[how]
    monkeypatch.setitem(execution.ENGINES, how, lambda *args: engines.append(made(*args)) or engines[-1])
    execution.advancing(net, examples, rule, 20, 7, how, lr=0.05)(None)
    assert torch.equal(net.flat, before), "it trains a copy"
    fit(net, examples, optimizer=rule, steps=7, batch_size=20, execution="dense")
    trained = engines[0].net
    torch.testing.assert_close(trained.vector(), net.vector(), atol=1e-6, rtol=1e-5)
    assert not torch.equal(trained.flat, before)
