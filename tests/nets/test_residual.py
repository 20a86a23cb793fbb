"""Residual stacks compute their skips, and their hand-written gradients are those of autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from redlib.nets.initialisers import mean_field
from redlib.nets.residual import ResidualMLP, ResidualTanh
from redlib.nets.stacked import StackedMLP
from redlib.pruning import allocation

SIZES = (40, 16, 16, 10)


def some_net(seed: int = 0) -> ResidualMLP:
    return ResidualMLP.create(SIZES, [seed])


def some_inputs(n: int) -> torch.Tensor:
    return torch.randn(n, SIZES[0], generator=torch.Generator().manual_seed(n))


def leaves_of(net: ResidualMLP) -> list[torch.Tensor]:
    """Weights and biases of replicate 0, W1, b1, W2, b2, W3, b3, as leaves of autograd."""
    pairs = zip(net.weights, net.biases, strict=True)
    return [p[0].clone().requires_grad_() for pair in pairs for p in pair]


def residual(p: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    h = torch.relu(x @ p[0].T + p[1])
    return (h + torch.relu(h @ p[2].T + p[3])) @ p[4].T + p[5]


def random_masks(net: ResidualMLP, density: float = 0.3) -> dict[str, torch.Tensor]:
    shapes = allocation.shapes_of(net.joined())
    return allocation.random_masks(shapes, allocation.layer_counts(shapes, density), net.seeds)


def test_the_second_layer_adds_to_what_it_reads():
    net = ResidualMLP.create((1, 2, 2, 1), [0])
    for layer, values in zip(
        net.joined().values(), ([[1, 0], [-1, 1]], [[2, 0, -1], [0, -3, 0]], [[1, 10, 0.5]]), strict=True
    ):
        layer.copy_(torch.tensor([values]))
    # x = 3: h = (3, 0); branch = relu(2 * 3 - 1, 0) = (5, 0); sum = (8, 0). x = -1: h = (0, 2), branch (0, 0).
    assert net.logits(torch.tensor([[3.0], [-1.0]]))[0, :, 0].tolist() == [8.5, 20.5]


def test_a_net_without_its_second_layer_is_a_shallow_one():
    net = some_net()
    net.blocks[1].zero_()
    shallow = StackedMLP.create((40, 16, 10), [0])
    shallow.blocks[0].copy_(net.blocks[0])
    shallow.blocks[1].copy_(net.blocks[2])
    x = some_inputs(6)
    np.testing.assert_allclose(net.logits(x), shallow.logits(x), atol=1e-6)


def test_the_hand_written_gradient_is_that_of_autograd():
    net = some_net()
    x, y = some_inputs(7), torch.arange(7) % 10
    leaves = leaves_of(net)
    loss = functional.cross_entropy(residual(leaves, x), y)
    loss.backward()
    out = torch.ones_like(net.flat)
    found = net.gradient(net.pad(x)[None], y[None], "cross_entropy", out=out, beta=0.5, scale=-2.0)
    assert found.item() == pytest.approx(loss.item(), abs=1e-6)
    for block, (_, values), w, b in zip(net.views(out), net.joined().items(), leaves[::2], leaves[1::2], strict=True):
        expected = 0.5 - 2 * torch.cat([w.grad, b.grad[:, None]], 1)
        np.testing.assert_allclose(block[0, : values.shape[1], : values.shape[2]], expected, atol=2e-6)


def test_padding_and_constant_units_never_receive_a_gradient():
    net = some_net()
    out = torch.zeros_like(net.flat)
    y = torch.zeros(1, 5, dtype=torch.int64)
    net.gradient(net.pad(some_inputs(5))[None], y, "cross_entropy", out=out)
    inside = torch.zeros_like(net.flat)
    for view, values in zip(net.views(inside), net.joined().values(), strict=True):
        view[:, : values.shape[1], : values.shape[2]] = 1
    assert out[inside == 0].abs().max() == 0 and out[inside == 1].abs().max() > 0


def test_masks_cover_the_biases_and_the_gate_lets_nothing_else_move():
    net = some_net()
    drawn = random_masks(net)
    net.apply_masks(list(drawn.values()))
    gate = net.gate()
    for view, (name, values) in zip(net.views(gate), net.joined().items(), strict=True):
        mask = drawn[name]
        assert mask[..., -1].logical_not().any() and mask[..., -1].any(), "some biases are cut, some are kept"
        assert values[~mask].abs().max() == 0 and values[mask].abs().min() > 0
        assert torch.equal(view[:, : mask.shape[1], : mask.shape[2]].bool(), mask)
    assert some_net().gate() is None


def test_skips_over_two_tanh_layers_have_the_gradient_of_autograd():
    net = ResidualTanh.create((5, 6, 6, 6, 6, 6, 3), (1, 2), "tanh", mean_field(1.4, 0.3))
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 7, 5, generator=source), torch.randint(0, 3, (2, 7), generator=source)
    ours = torch.zeros_like(net.flat)
    net.gradient(net.pad(x), y, "cross_entropy", ours)
    weights = [w.clone().requires_grad_() for w in net.weights]
    h: list[torch.Tensor] = []
    for layer, (w, b) in enumerate(zip(weights, net.biases, strict=True)):
        above = (h[-1].tanh() if h else x) @ w.mT + b[:, None]
        h.append(above + h[-2] if layer in (2, 4) else above)
    assert torch.allclose(net.logits(x), h[-1], atol=1e-5)
    sum(functional.cross_entropy(h[-1][r], y[r]) for r in range(2)).backward()
    for view, w in zip(net.views(ours), weights, strict=True):
        assert torch.allclose(view[:, : w.shape[1], : w.shape[2]], w.grad, atol=1e-6)


def test_a_copy_or_a_selection_of_a_residual_net_is_one_too():
    net = ResidualTanh.create((5, 6, 6, 6, 3), (1, 2, 3), "tanh")
    assert type(net.clone()) is type(net.select([2, 0])) is ResidualTanh
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(net.select([2, 0]).logits(x), net.logits(x)[[2, 0]])
