"""Sparse training of pruned stacks: the steps of dense autograd, bits that depend on nothing else, honest choices."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import redlib
from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training import SGD, Adam, AdamW, Batches, Diverged, Examples, checks, cosine, evaluate, execution
from redlib.training import fit as fit_anywhere
from redlib.training.early import EarlyStop, early_values
from redlib.training.engines import StackedEngine, torch_optimiser
from redlib.training.record import mean_loss_and_error

pytest.importorskip("numba")
from redlib.training import sparse as sparse_module  # noqa: E402
from redlib.training.sparse import SparseEngine  # noqa: E402

fit = partial(fit_anywhere, device="cpu")  # also where there is a GPU
RULES = {
    "sgd": SGD(0.1),
    "sgd decay": SGD(0.1, weight_decay=1e-2),
    "momentum": SGD(0.05, momentum=0.9),
    "nesterov decay": SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": Adam(3e-3),
    "adam decay": Adam(3e-3, weight_decay=1e-2),
    "adamw": AdamW(3e-3, weight_decay=0.1),
}
SIZES, SEEDS, DENSITIES = (20, 30, 25, 5), (3, 4, 5, 6), (0.51, 0.21, 0.055, 0.01)


pytestmark = pytest.mark.usefixtures("one_thread")


def pruned(seeds=SEEDS, activation="relu", dtype=torch.float32) -> StackedMLP:
    """Nets whose masks, one density each, go by their seed; a path of positive weights leads from input to output 0."""
    net = StackedMLP.create(SIZES, seeds, activation, dtype=dtype)
    masks = [torch.zeros(w.shape, dtype=torch.bool) for w in net.weights]
    for r, seed in enumerate(seeds):
        g = torch.Generator().manual_seed(seed)
        for mask in masks:
            mask[r] = torch.rand(mask[r].shape, generator=g) < DENSITIES[SEEDS.index(seed)]
            mask[r, 0, 0] = True
    net.apply_masks(masks)
    for weights in net.weights:
        weights[:, 0, 0] = 0.5
    return net


def pool(n=90, dtype=torch.float32) -> Examples:
    """Inputs with labels that a net can learn in part: three in ten are random."""
    g = torch.Generator().manual_seed(5)
    x, y = torch.randn(n, SIZES[0], generator=g).to(dtype), torch.randint(SIZES[-1], (n,), generator=g)
    return Examples(x, torch.where(torch.rand(n, generator=g) < 0.3, y, x[:, : SIZES[-1]].argmax(1)))


def problem(replicates=4, dtype=torch.float32) -> Examples:
    """60 of 90 examples for each replicate, its own ones."""
    data, g = pool(dtype=dtype), torch.Generator().manual_seed(7)
    rows = torch.stack([torch.randperm(len(data), generator=g)[:60] for _ in range(replicates)])
    return Examples(data.x, data.y[rows], rows)


def both(make, data, **options) -> list[tuple[StackedMLP, object]]:
    """(net, history) of a dense and of a sparse run."""
    nets = make(), make()
    histories = [fit(net, data, execution=how, **options) for net, how in zip(nets, ("dense", "sparse"), strict=True)]
    return list(zip(nets, histories, strict=True))


def by_autograd(net: StackedMLP, r: int, data: Examples, rule, loss: str, steps: int, batch: int) -> torch.Tensor:
    """Parameters of replicate r after dense float64 training that multiplies the gradients of cut weights by 0."""
    module = nn.Module()
    module.weights = nn.ParameterList([w[r].clone() for w in net.weights])
    module.biases = nn.ParameterList([b[r].clone() for b in net.biases])
    optimiser, batches = torch_optimiser(rule, module), Batches(data, net.seeds, batch)
    for step in range(steps):
        x, y = (part[r] for part in batches.at(step))
        for layer, (weights, bias) in enumerate(zip(module.weights, module.biases, strict=True)):
            x = functional.linear(getattr(torch, net.activation)(x) if layer else x, weights, bias)
        target = y if loss == "cross_entropy" else functional.one_hot(y, x.shape[1]).double()
        optimiser.zero_grad()
        getattr(functional, {"mse": "mse_loss"}.get(loss, loss))(x, target).backward()
        for weights, mask in zip(module.weights, net.masks, strict=True):
            weights.grad *= mask[r]
        optimiser.step()
    return torch.cat([p.detach().flatten() for pair in zip(module.weights, module.biases, strict=True) for p in pair])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", RULES)
def test_fifty_sparse_steps_equal_autograd_at_every_density(name, loss, activation):
    # float64: what is compared is the algebra, not rounding; batches of 16, 16, 16, 12
    net, data = pruned(activation=activation, dtype=torch.float64), problem(dtype=torch.float64)
    start = net.clone()
    fit(net, data, loss=loss, optimizer=RULES[name], steps=50, batch_size=16, execution="sparse")
    assert ((net.weights[0] - start.weights[0]).abs().amax((1, 2)) > 1e-5).all()  # the gradient gets through
    for r in range(4):
        expected = by_autograd(start, r, data, RULES[name], loss, 50, 16)
        torch.testing.assert_close(net.vector()[r], expected, atol=1e-9, rtol=0)


def smooth() -> StackedMLP:
    """Nets to compare in float32: a relu within rounding of its kink would make steps differ by far more."""
    return pruned(activation="tanh")


@pytest.mark.parametrize("batch_size", [1, 7, 16, 60, None])
@pytest.mark.parametrize("rule", [SGD((0.1, 0.03, 0.1, 0.03)), SGD(0.05, momentum=0.9), Adam((3e-3, 1e-3, 3e-3, 1e-3))])
def test_float32_steps_stay_within_2e6_of_the_dense_stack(rule, batch_size):
    options = {"optimizer": rule, "schedule": cosine(0.1), "steps": 50, "batch_size": batch_size}
    (dense, seen), (sparse, found) = both(smooth, problem(), **options)
    torch.testing.assert_close(sparse.flat, dense.flat, atol=2e-6, rtol=0)
    np.testing.assert_allclose(found.batch_loss, seen.batch_loss, atol=2e-6)


def test_shared_and_augmented_pools_are_read_like_those_of_the_dense_stack():
    pool = torch.randn(3 * 40, SIZES[0], generator=torch.Generator().manual_seed(1))
    data = Examples(pool, torch.arange(40) % 5, variants=3)
    (dense, _), (sparse, _) = both(pruned, data, steps=20, batch_size=16)
    torch.testing.assert_close(sparse.flat, dense.flat, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_resumed_sparse_run_equals_an_uninterrupted_one_bit_for_bit(name):
    options = {"optimizer": RULES[name], "batch_size": 16, "execution": "sparse"}
    whole, broken, fresh = pruned(), pruned(), pruned()
    fit(whole, problem(), steps=50, **options)
    first = fit(broken, problem(), steps=20, **options)
    assert not torch.equal(whole.flat, broken.flat)
    fit(fresh, problem(), steps=50, resume=first.state, **options)
    assert torch.equal(whole.flat, fresh.flat)


@pytest.mark.parametrize("name", ["momentum", "adam", "adamw"])
@pytest.mark.parametrize("kinds", [(StackedEngine, SparseEngine), (SparseEngine, StackedEngine)])
@torch.no_grad()
def test_either_engine_goes_on_from_the_state_of_the_other(kinds, name):
    data = problem().with_inputs(pruned().pad(problem().x))
    first, second, whole = (kind(smooth(), RULES[name], "cross_entropy") for kind in (*kinds, StackedEngine))
    for engine, steps in ((first, range(20)), (whole, range(50))):
        engine.advance(Batches(data, SEEDS, 16), steps, lambda step: 0.05)
    second.load(first.state())
    assert all(torch.equal(t, second.state()["tensors"][name]) for name, t in first.state()["tensors"].items())
    second.advance(Batches(data, SEEDS, 16), range(20, 50), lambda step: 0.05)
    torch.testing.assert_close(second.net.flat, whole.net.flat, atol=2e-6, rtol=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seeds", [(3,), (6,), (6, 5, 4, 3), (5, 3)])
def test_a_replicate_alone_among_others_and_in_any_order_is_the_same_bit_for_bit(seeds, threads):
    def train(chosen):
        net, data = pruned(chosen), problem().select([SEEDS.index(seed) for seed in chosen])
        options = {"optimizer": RULES["adam"], "steps": 70, "batch_size": 16, "execution": "sparse"}
        return net, fit(net, data, evaluate={"train": data}, **options)

    whole, seen = train(SEEDS)
    torch.set_num_threads(threads)
    part, found = train(seeds)
    assert torch.get_num_threads() == threads
    rows = [SEEDS.index(seed) for seed in seeds]
    assert torch.equal(part.vector(), whole.vector()[rows])
    assert np.array_equal(found.batch_loss, seen.batch_loss[rows])
    assert np.array_equal(found["train_loss"], seen["train_loss"][rows])


def test_probes_and_stops_are_those_of_the_dense_stack():
    data, at = problem(), [0, 1, 13, 40, 64, 65, 130, 200]
    (dense, seen), (sparse, found) = both(
        smooth, data, optimizer=Adam(1e-2), steps=200, batch_size=16, probe_steps=at, evaluate={"train": data},
        probes={"vector": lambda net: net.vector()}, stop=lambda seen: seen["train_loss"] < 1.3,
    )  # fmt: skip
    assert found.stopped_at.tolist() == seen.stopped_at.tolist() and len(set(seen.stopped_at.tolist())) > 2
    for r, stopped in enumerate(found.stopped_at):
        after = found["vector"][r, (found.steps >= stopped) & (stopped > 0)]
        assert (after == after[:1]).all()  # a stopped replicate keeps its weights
    assert found.steps.tolist() == seen.steps.tolist() == at
    for name in ("train_loss", "train_error", "vector"):
        np.testing.assert_allclose(found[name], seen[name], atol=1e-5)
    torch.testing.assert_close(sparse.flat, dense.flat, atol=1e-5, rtol=0)


def test_early_stopping_finds_the_moments_of_the_dense_stack():
    every, at, found = pool(300), (1, 5, 10, 20, 40, 80, 120), {}
    parts = [Examples(every.x[a:b], every.y[a:b]) for a, b in ((0, 60), (60, 133), (133, 300))]
    for how in ("dense", "sparse"):
        early = EarlyStop(net := smooth(), *parts[1:], calls=len(at))
        options = {"optimizer": Adam(1e-2), "steps": 120, "batch_size": 16, "execution": how, "probe_steps": at}
        found[how] = early_values(fit(net, parts[0], probes={"early": early}, **options))
    assert len(set(found["dense"]["early_step"].tolist())) > 1
    for name, values in found["dense"].items():
        np.testing.assert_allclose(found["sparse"][name], values, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("batch_size", [7, 16, None])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_one_bad_example_is_found_behind_a_hidden_layer_at_the_step_of_the_dense_stack(
    poison, batch_size, activation, monkeypatch
):
    # `fit` refuses such data; here it looks away, to see what the kernels do with NaN.
    monkeypatch.setattr(checks, "check_finite_data", lambda *_: None)
    # Two infinite inputs of opposite weight only become NaN in the hidden unit, where a relu must not hide it.
    data, said = problem().select([2]), []
    data.x[data.rows[0, 17], :2] = poison
    for how in ("dense", "sparse"):
        net = pruned((5,), activation)
        net.masks[0][:, 0, :2] = True
        net.weights[0][:, 0, :2] = torch.tensor([1.0, -1.0])
        with pytest.raises(Diverged, match=r"replicate 0 is nan at step \d:") as caught:
            fit(net, data, steps=30, batch_size=batch_size, execution=how)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_huge_rate_raises_diverged(loss):
    with pytest.raises(Diverged, match=r"replicate 0 is (nan|inf) at step \d+"):
        fit(pruned(), problem(), loss=loss, optimizer=SGD((1e30, 0.1, 0.1, 0.1)), steps=100, batch_size=16,
            execution="sparse")  # fmt: skip


HOLES = ("units", "one layer", "layer 0", "layer 1", "layer 2", "no mask 0", "no mask 1", "no mask 2")


def holed(kind="units") -> StackedMLP:
    """A float64 net without some of its parts."""
    net = StackedMLP.create((6, 4) if kind == "one layer" else (6, 8, 7, 4), (1,), dtype=torch.float64)
    g = torch.Generator().manual_seed(2)
    masks = [torch.rand(w.shape, generator=g) < 0.6 for w in net.weights]
    if kind == "units":
        masks[0][:, :, 2] = False  # an input that nothing reads
        masks[0][:, 3] = False  # a hidden unit that reads nothing
        masks[1][:, :, 4:6] = False  # two hidden units that feed nothing, except that
        masks[1][:, 6, 5] = True  # one feeds a unit
        masks[2][:, :, 6] = False  # that itself feeds nothing
        masks[2][:, 1] = False  # an output that reads nothing
    if kind.startswith("layer"):
        masks[int(kind[-1])][:] = False
    net.apply_masks([None if kind == f"no mask {layer}" else mask for layer, mask in enumerate(masks)])
    return net


@pytest.mark.parametrize("kind", HOLES)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_holes_in_the_graph_change_nothing(loss, kind):
    data = Examples(pool(dtype=torch.float64).x[:, :6], pool().y % 4)
    for rule in RULES.values():
        options = {"optimizer": rule, "loss": loss, "steps": 30, "batch_size": 16, "evaluate": {"train": data}}
        (dense, seen), (sparse, found) = both(lambda: holed(kind), data, **options)
        torch.testing.assert_close(sparse.flat, dense.flat, atol=1e-9, rtol=0)
        np.testing.assert_allclose(found["train_loss"], seen["train_loss"], atol=1e-9)


@pytest.mark.parametrize("rule", [SGD(0.1, weight_decay=0.2), AdamW(0.1, weight_decay=0.2)])
def test_what_reaches_no_output_only_decays(rule):
    net, start, data = holed(), holed(), Examples(pool(dtype=torch.float64).x[:, :6], pool().y % 4)
    fit(net, data, optimizer=rule, steps=9, execution="sparse")
    for found, before in ((net.weights[0], start.weights[0]), (net.biases[0], start.biases[0])):
        torch.testing.assert_close(found[0, 4:6], 0.98**9 * before[0, 4:6])
    torch.testing.assert_close(net.weights[1][0, 6], 0.98**9 * start.weights[1][0, 6])


@pytest.mark.parametrize("how", ["auto", "sparse"])
def test_a_replicate_without_a_single_weight_is_refused(how):
    net = pruned()
    net.apply_masks([mask & (torch.tensor(SEEDS) != 5)[:, None, None] for mask in net.masks])
    with pytest.raises(BadInput, match="replicate = '2: none'"):
        fit(net, problem(), steps=5, execution=how)


def frozen() -> StackedMLP:
    """A stack in which replicate 2 keeps a cut weight at 1."""
    net = pruned()
    net.weights[0][2, ~net.masks[0][2]] = 1.0
    return net


@pytest.mark.parametrize(
    ("net", "how", "message"),
    [
        (frozen(), "sparse", "cut weights are not zero"),
        (frozen(), ("dense", "dense", "sparse", "dense"), "cut weights are not zero"),
        (StackedMLP.create(SIZES, SEEDS), "sparse", "not a StackedMLP with masks"),
        (RaggedMLP.create(SIZES[0], (3, 8), 5, SEEDS), "sparse", "not a StackedMLP with masks"),
        (pruned(), "quick", "execution = 'quick'"),
        (pruned(), ("dense", "sparse"), "one per replicate"),
        (pruned(), ("dense", "sparse", "auto", "quick"), "one of"),
    ],
)
def test_executions_that_cannot_be_are_refused_with_the_reason(net, how, message):
    before = net.flat.clone()
    with pytest.raises(BadInput, match=message):
        fit(net, problem(), steps=5, execution=how)
    assert torch.equal(net.flat, before)


def test_without_numba_auto_trains_dense_and_says_so_once(monkeypatch, caplog):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "numba" else find(name, *rest))
    execution._say.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            history = fit(pruned(), problem(), steps=5, batch_size=16)
    execution._say.cache_clear()
    assert {chunk["execution"] for chunk in history.state["chunks"]} == {"dense"}
    assert len(caplog.records) == 1 and "redlib[sparse]" in caplog.text
    assert execution.by_density(pruned()) == ("dense",) * 4
    with pytest.raises(BadInput, match=r"redlib\[sparse\]"):
        fit(pruned(), problem(), steps=5, execution="sparse")


def test_by_density_goes_by_the_share_of_weights_alone():
    net = pruned()
    share = sum(int(mask[1].sum()) for mask in net.masks) / sum(mask[1].numel() for mask in net.masks)
    assert execution.by_density(net) == ("dense", "sparse", "sparse", "sparse")
    assert execution.by_density(net, share) == ("dense", "sparse", "sparse", "sparse")
    assert execution.by_density(net, share - 1e-6) == ("dense", "dense", "sparse", "sparse")
    assert execution.by_density(frozen()) == ("dense", "sparse", "dense", "sparse")
    assert execution.by_density(StackedMLP.create(SIZES, SEEDS)) == ("dense",) * 4
    assert execution.by_density(RaggedMLP.create(SIZES[0], (3, 8), 5, (0, 1))) == ("dense",) * 2


def executions(history) -> list[tuple[int, int, str]]:
    return [(chunk["start"], chunk["stop"], chunk["execution"]) for chunk in history.state["chunks"]]


@pytest.mark.parametrize(
    ("sparsest", "densest", "expected"),
    [
        (0.1, 0.2, [(r, r + 1, "sparse") for r in range(4)]),
        (1.1, 2.0, [(0, 4, "dense")]),
        (0.1, 3.0, [(0, 2, "dense"), (2, 3, "sparse"), (3, 4, "sparse")]),  # in between: 0.21 takes 1.3, 0.055 0.4
    ],
)
def test_auto_keeps_the_faster_and_a_resumed_run_keeps_the_choice(monkeypatch, sparsest, densest, expected):
    times = {(0, 3): 2.0, (3,): sparsest, (0,): densest}  # two replicates at once when dense
    monkeypatch.setattr(execution, "_seconds", lambda net, examples, plan, positions, how: times[tuple(positions)])
    net, data = pruned(), problem()
    history = fit(net, data, steps=5, batch_size=16, chunk=4)
    assert executions(history) == expected
    times.clear()  # to measure again would be a KeyError
    assert executions(fit(net, data, steps=10, batch_size=16, resume=history.state)) == expected


def test_auto_measures_without_a_trace_and_one_stack_can_mix_executions():
    data, options = problem(), {"optimizer": RULES["adam"], "steps": 30, "batch_size": 16}
    (dense, _), (sparse, _) = both(pruned, data, **options)
    mixed, auto = pruned(), pruned()
    torch.set_num_threads(2)
    history = fit(mixed, data, execution=("sparse", "dense", "dense", "sparse"), **options)
    assert executions(history) == [(0, 1, "sparse"), (1, 3, "dense"), (3, 4, "sparse")]
    kinds = {name: net.vector() for name, net in (("dense", dense), ("sparse", sparse))}
    for net, run in ((mixed, history), (auto, fit(auto, data, **options))):
        for start, stop, how in executions(run):
            assert torch.equal(net.vector()[start:stop], kinds[how][start:stop])
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_evaluation_of_a_sparse_net_equals_the_dense_one(loss):
    net, data = pruned((4, 5, 6)), pool(2048 + 200 + 7)  # more than one part, and no multiple of anything
    assert isinstance(execution.evaluator(net), SparseEngine)
    assert isinstance(execution.evaluator(pruned()), StackedEngine)  # half of one replicate's weights are left
    found = evaluate(net, data, loss)
    expected = mean_loss_and_error(StackedEngine(net, SGD(), loss), data.with_inputs(net.pad(data.x)), loss)
    for value, dense in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(value, dense, atol=1e-6, rtol=0)
    assert len(set(found["error"].tolist())) == 3


@pytest.mark.parametrize("how", ["dense", "sparse"])
def test_labels_beyond_the_outputs_are_refused_before_any_kernel_reads_them(how):
    data = problem()
    for label in (-1, SIZES[-1]):
        wrong = data.y.clone()
        wrong.view(-1)[0] = label
        with pytest.raises(BadInput, match="labels"):
            fit(pruned(), Examples(data.x, wrong, data.rows), steps=2, execution=how)
    with pytest.raises(BadInput, match="type of the inputs"):
        fit(pruned(), Examples(data.x.double(), data.y, data.rows), steps=2, execution=how)


@pytest.mark.parametrize("how", ["dense", "sparse"])
def test_a_run_resumed_to_fewer_steps_takes_none(how):
    net = pruned()
    state = fit(net, problem(), steps=20, execution=how).state
    before = net.flat.clone()
    assert fit(net, problem(), steps=10, resume=state, execution=how).batch_loss.shape[1] == 0
    assert torch.equal(net.flat, before)


@pytest.mark.parametrize("how", ["dense", "sparse"])
def test_diverged_names_the_replicate_of_the_whole_stack(how):
    rule = SGD((0.1, 0.1, 1e30, 0.1))
    with pytest.raises(Diverged, match="replicate 2"):
        fit(pruned(activation="relu"), problem(), optimizer=rule, steps=200, execution=how, chunk=2)


def test_an_empty_replicate_can_still_be_evaluated_and_modules_cannot_be_sparse():
    net = pruned()
    net.apply_masks([torch.zeros_like(mask) for mask in net.masks])
    assert evaluate(net, problem())["error"].shape == (len(SEEDS),)
    for how in ("sparse", "bogus"):
        with pytest.raises(BadInput, match="execution"):
            fit(nn.Linear(20, 5), problem(), steps=1, execution=how)


@pytest.mark.slow
def test_where_numba_can_write_no_cache_pruned_nets_train_all_the_same(tmp_path):
    code = textwrap.dedent("""
        import torch
        from redlib.nets import StackedMLP
        from redlib.training import Examples, fit
        net = StackedMLP.create((8, 4, 3), [0])
        net.apply_masks([torch.rand(1, 4, 8) > .5, torch.rand(1, 3, 4) > .3])
        data = Examples(torch.randn(32, 8), torch.randint(0, 3, (32,)))
        for _ in range(2):
            history = fit(net, data, steps=2, execution="sparse", device="cpu")
        print(history.state["chunks"][0]["execution"])
    """)
    # Of numba's places for a cache only that inside a zip file is left: none, as where nothing can be written.
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator", "PYTHONPATH": str(Path(redlib.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | nowhere, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "sparse", done.stderr
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1


def test_a_numba_that_does_not_start_is_like_none(monkeypatch, caplog):
    monkeypatch.setattr(sparse_module, "_broken", lambda: "numba does not start (needs an older NumPy)")
    execution._say.cache_clear()
    with caplog.at_level(logging.INFO):
        history = fit(pruned(), problem(), steps=5, batch_size=16)
    execution._say.cache_clear()
    assert {chunk["execution"] for chunk in history.state["chunks"]} == {"dense"} and "older NumPy" in caplog.text
    with pytest.raises(BadInput, match="older NumPy"):
        fit(pruned(), problem(), steps=5, execution="sparse")
