"""Costs are counted, not guessed, and timings leave a net and torch's threads as they were."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from redlib.errors import BadInput
from redlib.measures import cost
from redlib.nets.convnets import cnn5, resnet18k


def mlp():
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def test_flops_of_lenet_are_two_for_each_weight_and_zeros_count():
    net = mlp()
    assert cost.flops(net, (784,)) == 2 * (784 * 300 + 300 * 100 + 100 * 10)
    nn.init.zeros_(net[0].weight)
    assert cost.flops(net, (784,)) == 532_400


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (cnn5(2, channels=1, image=8), (1, 8, 8)),
        (resnet18k(2, channels=1), (1, 8, 8)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 9, 9)),
        (nn.Sequential(nn.Conv1d(2, 3, 5, dilation=2), nn.Flatten(), nn.Linear(24, 2)), (2, 16)),
        (nn.Linear(5, 3), (7, 5)),
    ],
)
def test_flops_agree_with_torchs_own_counter(net, shape):
    with FlopCounterMode(display=False) as counter:
        net.eval()(torch.zeros(1, *shape))
    assert cost.flops(net, shape) == counter.get_total_flops()


def test_a_layer_used_twice_works_twice_and_no_hook_stays():
    layer = nn.Linear(3, 3)
    assert cost.flops(nn.Sequential(layer, layer), (3,)) == 2 * 2 * 9
    assert cost.flops(nn.Sequential(layer, layer), (3,)) == 36 and not layer._forward_hooks
    with pytest.raises(RuntimeError):
        cost.flops(layer, (4,))
    assert not layer._forward_hooks


def test_counting_changes_neither_modes_nor_running_statistics():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout())
    net[2].eval()
    before = net[1].running_var.clone()
    cost.flops(net, (4,))
    assert [part.training for part in net] == [True, True, False] and net.training
    assert torch.equal(net[1].running_var, before)


def test_parameters_and_bytes():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    assert cost.parameters(net) == 15 + 6
    assert cost.bytes_of(net) == 4 * (15 + 6) + 4 * (3 + 3) + 8  # running mean and variance, and an int64 count
    assert cost.bytes_of(nn.Linear(4, 3).double()) == 8 * 15


def stored(matrix, layout):
    """Return the bytes of the tensors torch stores for a matrix, with 32-bit indices."""
    if layout == "csr":
        sparse = matrix.to_sparse_csr()
        indices = sparse.crow_indices().numel() + sparse.col_indices().numel()
    else:
        sparse = matrix.to_sparse_coo().coalesce()
        indices = sparse.indices().numel()
    return 4 * indices + 4 * sparse.values().numel()


@pytest.mark.parametrize("layout", ["csr", "coo"])
def test_bytes_of_sparse_layouts_are_those_of_torchs_tensors(layout):
    matrix = torch.randn(7, 12) * (torch.rand(7, 12, generator=torch.Generator().manual_seed(0)) < 0.3)
    kept = int(matrix.count_nonzero())
    assert 0 < kept < 84 and cost.storage_bytes((7, 12), kept, layout) == stored(matrix, layout)


def test_bytes_of_the_other_layouts():
    assert cost.storage_bytes((3, 6), 5, "dense") == 72
    assert cost.storage_bytes((3, 6), 5, "bitmask") == 3 + 20 == len(np.packbits(np.ones(18, bool))) + 20
    assert cost.storage_bytes((2, 8), 8, "two_of_four") == 8 * 4 + 2  # two bits for each of 8 values
    assert cost.storage_bytes((2, 8), 8, "two_of_four", value_bytes=2) == 18  # 9/16 of 32: NVIDIA's fp16
    assert np.isnan(cost.storage_bytes((2, 8), 7, "two_of_four"))
    assert cost.storage_bytes((4, 2, 3, 3), 10, "csr") == 5 * 4 + 80  # a filter is a row
    assert cost.storage_bytes((3, 6), 5, "coo", index_bytes=8) == 5 * 20


def test_every_layout_is_listed_and_others_are_refused():
    for layout in cost.LAYOUTS:
        cost.storage_bytes((2, 4), 4, layout)
    with pytest.raises(BadInput, match="layout"):
        cost.storage_bytes((2, 4), 4, "zip")
    with pytest.raises(BadInput, match="weights kept"):
        cost.storage_bytes((2, 4), 9, "dense")


class Watched(nn.Module):
    """Notes each call and sleeps."""

    def __init__(self, seconds, log=None):
        super().__init__()
        self.seconds, self.log = seconds, [] if log is None else log

    def forward(self, x):
        self.log.append((self.seconds, self.training, torch.is_grad_enabled(), torch.get_num_threads()))
        time.sleep(self.seconds)
        return x


def test_latency_is_the_time_of_each_call_in_seconds():
    seconds = cost.latency(Watched(0.004), torch.zeros(1), repeats=5)
    assert seconds.shape == (5,) and (seconds >= 0.004).all() and np.median(seconds) < 0.1


def test_calls_are_warm_without_gradients_in_evaluation_mode_on_pinned_threads_and_all_is_restored():
    def fails(x):
        raise ArithmeticError

    net, before = Watched(0.0), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        cost.latency(net, torch.zeros(1), repeats=4, threads=1)
        assert torch.get_num_threads() == 2
        with pytest.raises(ArithmeticError):
            cost.latency(fails, torch.zeros(1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert net.log == [(0.0, False, False, 1)] * 2 * (4 + cost.WARM_UP) and net.training and torch.is_grad_enabled()


def test_rounds_are_interleaved_in_changing_order():
    log = []
    arms = {name: Watched(seconds, log) for name, seconds in (("a", 0.0), ("b", 1e-6), ("c", 2e-6))}
    found = cost.interleaved(arms, torch.zeros(1), repeats=12)
    assert {name: len(times) for name, times in found.items()} == {"a": 12, "b": 12, "c": 12}
    calls = [seconds for seconds, *_ in log]
    assert calls[::2] == calls[1::2]  # each timed call follows one of the same net
    rounds = [tuple(calls[i : i + 6 : 2]) for i in range(0, len(calls), 6)]
    assert all(sorted(one) == [0.0, 1e-6, 2e-6] for one in rounds) and len(set(rounds)) > 2


def test_a_training_step_keeps_its_gradients():
    layer = nn.Linear(3, 1)
    cost.interleaved({"step": lambda x: layer(x).sum().backward()}, torch.ones(2, 3), repeats=1)
    assert layer.weight.grad.tolist() == [[2.0 * 2 * (1 + cost.WARM_UP)] * 3]


def test_nothing_to_time_is_refused():
    for arguments in ({"repeats": 0}, {"threads": 0}):
        with pytest.raises(BadInput, match=next(iter(arguments))):
            cost.latency(nn.Identity(), torch.zeros(1), **arguments)
    with pytest.raises(BadInput, match="number of modules"):
        cost.interleaved({}, torch.zeros(1))


# Ways to run a net, and what they take


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_sparse_forward_passes_compute_the_same(density):
    net, x = mlp(), torch.randn(7, 784)
    for layer in net[::2]:
        layer.weight.data *= torch.rand(layer.weight.shape) < density
    for batch_last in (True, False):
        torch.testing.assert_close(cost.csr(net, batch_last)(x), net(x).detach(), atol=1e-5, rtol=1e-5)


def test_a_training_step_is_one_of_sgd():
    net, (x, y) = nn.Linear(4, 3), (torch.randn(5, 4), torch.arange(5) % 3)
    torch.nn.functional.cross_entropy(net(x), y).backward()
    expected = [p.detach() - 0.1 * p.grad for p in net.parameters()]
    cost.training_step(net, y, lr=0.1)(x)
    assert all(torch.allclose(p, e) for p, e in zip(net.parameters(), expected, strict=True))


def test_bytes_stored_add_up_over_layers():
    shapes = {"0": (16, 20), "1": (8, 16), "2": (4, 8)}
    counts = [{"0": 320, "1": 128, "2": 32}, {"0": 160, "1": 64, "2": 16}, {"0": 32, "1": 13, "2": 3}]
    table = dict(zip(cost.LAYOUTS, cost.storage_table(shapes, counts), strict=True))
    weights, kept = 480, 48
    assert table["dense"].tolist() == [4 * weights] * 3
    assert table["coo"].tolist() == [12 * weights, 6 * weights, 12 * kept]
    assert table["csr"][2] == 8 * kept + 4 * (17 + 9 + 5)
    assert table["bitmask"][2] == weights / 8 + 4 * kept
    assert np.isnan(table["two_of_four"]).tolist() == [True, False, True]


def test_lists_of_calls_are_timed_together_with_single_ones_and_told_apart():
    naps = {"short": lambda x: time.sleep(0.001), "list": [lambda x: time.sleep(0.01), lambda x: time.sleep(0.002)]}
    found = cost.timed(naps, torch.zeros(1), repeats=3)
    assert {name: seconds.shape for name, seconds in found.items()} == {"short": (3,), "list": (2, 3)}
    long, middle = np.median(found["list"], axis=1)
    assert (found["list"][0] > 0.01).all() and np.median(found["short"]) < long and middle < long


# Parts that do many products in one call


class First(nn.Module):
    """A recurrent part without its state, so that it fits into a Sequential."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x)[0]


class Attention(nn.Module):
    def __init__(self, size, heads, **options):
        super().__init__()
        self.part = nn.MultiheadAttention(size, heads, batch_first=True, **options)

    def forward(self, x):
        return self.part(x, x[..., : self.part.kdim], x[..., : self.part.vdim], need_weights=False)[0]


T, E, H = 7, 12, 5  # steps or tokens, features, hidden units
RECURRENT = {
    "rnn": (nn.RNN(E, H, batch_first=True), 1 * H * (E + H)),
    "gru": (nn.GRU(E, H, batch_first=True), 3 * H * (E + H)),
    "lstm": (nn.LSTM(E, H, batch_first=True), 4 * H * (E + H)),
    "two layers": (nn.LSTM(E, H, 2, batch_first=True), 4 * H * (E + H) + 4 * H * (H + H)),
    "both ways": (nn.GRU(E, H, batch_first=True, bidirectional=True), 2 * 3 * H * (E + H)),
    "projected": (nn.LSTM(E, H, batch_first=True, proj_size=3), 4 * H * (E + 3) + 3 * H),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_recurrent_part_multiplies_by_all_its_matrices_at_every_step(kind):
    part, weights = RECURRENT[kind]
    assert sum(p.numel() for n, p in part.named_parameters() if "weight" in n) == weights
    assert cost.flops(First(part), (T, E)) == 2 * T * weights


ATTENTION = 2 * T * 4 * E * E + 2 * (2 * T * T * E)  # four projections, the scores of all pairs, and their sums


def test_attention_counts_its_projections_and_all_pairs_of_tokens():
    assert cost.flops(Attention(E, 3), (T, E)) == ATTENTION
    parts = Attention(E, 3, kdim=4, vdim=5)  # keys and values of fewer features
    assert cost.flops(parts, (T, E)) == ATTENTION - 2 * T * E * (E - 4) - 2 * T * E * (E - 5)


def encoder(layers=2):
    layer = nn.TransformerEncoderLayer(E, 2, 20, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def test_a_transformer_counts_attention_and_both_linear_layers_of_each_block():
    assert cost.flops(encoder(), (T, E)) == 2 * (ATTENTION + 2 * T * 2 * E * 20)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (encoder().train(), (T, E)),  # torch's fast path, in evaluation mode, hides its products from the counter
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5)),
        (nn.ConvTranspose1d(4, 6, 3, groups=2), (4, 9)),
        (nn.Conv3d(2, 3, 2, padding=1), (2, 4, 4, 4)),
        (First(nn.GRU(E, H)), (T, E)),
    ],
)
def test_flops_of_other_layers_agree_with_torchs_own_counter(net, shape):
    with FlopCounterMode(display=False) as counter:
        net.train()(torch.zeros(1, *shape))
    assert cost.flops(net, shape) == counter.get_total_flops() > 0
    assert torch.backends.mha.get_fastpath_enabled() and torch.backends.mkldnn.enabled


def test_products_of_a_modules_own_code_count_and_tokens_have_their_type():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.matrix = nn.Embedding(9, E), nn.Parameter(torch.ones(E, H))

        def forward(self, tokens):
            return self.embed(tokens) @ self.matrix

    assert cost.flops(Own(), (T,), dtype=torch.long) == 2 * T * E * H


def test_a_part_whose_products_no_counter_sees_is_refused():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Bilinear(3, 3, 2)

        def forward(self, x):
            return self.part(x, x)

    with pytest.raises(BadInput, match="Bilinear"):
        cost.flops(Pair(), (3,))


@pytest.mark.parametrize("part", [nn.Tanh(), nn.Conv1d(3, 3, 1), nn.Linear(3, 3, bias=False)])
def test_a_sparse_forward_pass_is_of_plain_relu_nets_alone(part):
    with pytest.raises(BadInput, match="parts of the net"):
        cost.csr(nn.Sequential(nn.Linear(3, 3), part))
