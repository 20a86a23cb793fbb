"""What cannot be trained is refused before the first step, for stacks and modules alike; nothing of the net moves."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures.connectivity import refresh_statistics
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.convnets import cnn5
from redlib.nets.normed import normed_mlp
from redlib.training import SGD, Adam, AdamW, Batches, Diverged, Examples, cosine, evaluate, fit, step_decay

KINDS = ("stack", "ragged", "module")
NAN, INFINITY = math.nan, math.inf


def net_of(kind):
    if kind == "stack":
        return StackedMLP.create((8, 4, 3), (0, 1))
    if kind == "ragged":
        return RaggedMLP.create(8, (4, 5), 3, (0, 1))
    torch.manual_seed(0)
    return normed_mlp((8, 4, 3))


def data(n=64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 8, generator=g), torch.randint(0, 3, (n,), generator=g)


def contents(net):
    return copy.deepcopy(net.state_dict()) if isinstance(net, nn.Module) else {"flat": net.flat.clone()}


def refused(net, examples, match, **options):
    """Assert that `fit` says so, and that neither the net nor torch's random state has moved."""
    before, random = contents(net), torch.random.get_rng_state()
    with pytest.raises(BadInput, match=match):
        fit(net, examples, **{"optimizer": SGD(0.1), "epochs": 1, "batch_size": 16, "device": "cpu"} | options)
    assert all(torch.equal(value, before[name]) for name, value in contents(net).items())
    assert torch.equal(torch.random.get_rng_state(), random)


LABELS = {
    "from 1": lambda y: y + 1,
    "ignored": lambda y: torch.where(torch.arange(len(y)) < 10, -100, y),
    "floats": lambda y: y.float(),
    "half": lambda y: y + 0.5,
    "one beyond": lambda y: torch.where(torch.arange(len(y)) == len(y) - 1, 3, y),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_labels_that_are_no_class_of_the_net_are_refused_to_train_and_to_judge_on(kind, labels, loss):
    x, y = data()
    wrong = Examples(x, LABELS[labels](y))
    refused(net_of(kind), wrong, "labels", loss=loss)
    refused(net_of(kind), Examples(x, y), "labels of 'test'", loss=loss, evaluate={"test": wrong})
    if kind != "module":
        with pytest.raises(BadInput, match="labels"):
            evaluate(net_of(kind), wrong, loss)


def test_labels_of_rows_that_nobody_sees_do_not_matter():
    x, y = data()
    rows = torch.arange(10, 64)[None]
    hidden = torch.where(torch.arange(64) < 10, -1, y)
    found = [net_of("module"), net_of("module")]
    for net, told in zip(found, (y, hidden), strict=True):
        fit(net, Examples(x, told, rows), optimizer=SGD(0.1), epochs=1, batch_size=16)
    assert torch.equal(found[0][0].weight, found[1][0].weight)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int16])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_whole_type_are_the_same_labels(kind, dtype):
    x, y = data()
    nets = net_of(kind), net_of(kind)
    for net, labels in zip(nets, (y, y.to(dtype)), strict=True):
        fit(net, Examples(x, labels), optimizer=SGD(0.1), epochs=1, batch_size=16)
    assert all(torch.equal(value, contents(nets[0])[name]) for name, value in contents(nets[1]).items())


@pytest.mark.parametrize("shape", [lambda x: x[..., None, None], lambda x: (x, x)])
def test_outputs_that_are_no_classes_are_named(shape):
    class Net(nn.Linear):
        def forward(self, x):
            return shape(super().forward(x))

    refused(Net(8, 3), Examples(*data()), "outputs of the net")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("poison", [NAN, INFINITY, -INFINITY])
def test_data_that_are_not_finite_are_named_with_their_row(kind, poison):
    x, y = data()
    x[17, 3] = poison
    refused(net_of(kind), Examples(x, y), "inputs = 'NaN or infinity in 1 examples, first in row 17'")
    good = Examples(*data())
    refused(net_of(kind), good, "inputs of 'test' = .*row 17", evaluate={"test": Examples(x, y)})
    if kind == "module":
        rows = torch.tensor([[r for r in range(64) if r != 17]])
        assert fit(net_of(kind), Examples(x, y, rows), epochs=1).batch_loss.shape == (1, 1), "nobody sees row 17"
        varied = Examples(torch.cat([good.x, x]), y, variants=2)
        refused(net_of(kind), varied, "row 17")


def test_large_numbers_whose_sum_is_infinite_are_no_infinities():
    x, y = data()
    x[:, 0] = 3e38
    assert not torch.isfinite(x.sum())
    with pytest.raises(Diverged):
        fit(net_of("stack"), Examples(x, y), optimizer=SGD(0.1), steps=20)


@pytest.mark.parametrize("kind", KINDS)
def test_a_last_update_that_ruins_the_net_is_no_finite_test_error(kind):
    x, y = data()
    test = Examples(x, y)
    with pytest.raises(Diverged, match=r"test_loss of replicate 0 is nan after step 1: lower the rate"):
        fit(net_of(kind), test, optimizer=SGD(3e38), steps=1, batch_size=None, evaluate={"test": test})


def test_a_net_of_nan_has_no_error():
    net = net_of("stack")
    net.weights[0][1] = NAN
    found = evaluate(net, Examples(*data()))
    assert found["error"].isnan().tolist() == found["loss"].isnan().tolist() == [False, True]


@pytest.mark.parametrize("batch_size", [32, 1])
def test_a_batch_of_one_under_batch_norm_is_refused_with_a_remedy(batch_size):
    refused(net_of("module"), Examples(*data(33)), "at least 2 where BatchNorm.*drop_last", batch_size=batch_size)
    refused(net_of("module"), Examples(*data(1)), "at least 2 where BatchNorm", batch_size=None)


def test_a_batch_of_one_is_no_matter_where_it_never_comes_or_the_net_stands_it():
    options = {"optimizer": SGD(0.1), "batch_size": 32}
    assert fit(net_of("module"), Examples(*data(33)), steps=1, **options).batch_loss.shape == (1, 1)
    assert fit(net_of("stack"), Examples(*data(33)), epochs=1, **options).batch_loss.shape == (2, 2)
    images = Examples(torch.randn(33, 3, 8, 8), torch.arange(33) % 10)
    assert fit(cnn5(2, image=8), images, epochs=1, **options).batch_loss.shape == (1, 2), "places of one image suffice"


@pytest.mark.parametrize("kind", KINDS)
def test_drop_last_leaves_out_what_fills_no_batch(kind):
    examples = Examples(*data(33))
    history = fit(net_of(kind), examples, optimizer=SGD(0.1), epochs=3, batch_size=8, drop_last=True)
    assert history.batch_loss.shape[1] == 12 and history.epochs.tolist() == [3.0]
    batches = Batches(Examples(torch.arange(33.0)[:, None], torch.arange(33)), (0,), 8, drop_last=True)
    seen = torch.cat([batches.at(step)[1] for step in range(4)], 1)
    assert seen.unique().numel() == 32 and batches.at(4)[1].shape == (1, 8)


@pytest.mark.parametrize("count", [0, 1])
def test_statistics_need_two_inputs_and_no_batch_has_fewer(count):
    net, (x, _) = net_of("module"), data()
    with pytest.raises(BadInput, match=f"number of inputs = {count}.*at least 2"):
        refresh_statistics(net, x[:count])
    refresh_statistics(net, x[:3], batch=2)  # two and one would be a batch of one
    torch.testing.assert_close(net[1].running_mean, net[0](x[:3]).mean(0))


def test_statistics_of_a_net_that_fails_leave_it_as_it_was():
    net = net_of("module").train()
    net[1].momentum = 0.3
    with pytest.raises(RuntimeError):
        refresh_statistics(net, torch.randn(10, 7))
    assert net[1].momentum == 0.3 and all(part.training for part in net.modules())
    with pytest.raises(BadInput, match="NaN"):
        refresh_statistics(net, torch.full((4, 8), NAN))


@pytest.mark.parametrize("kind", KINDS)
def test_no_examples_are_refused(kind):
    x, y = data()
    refused(net_of(kind), Examples(x[:0], y[:0]), "number of examples = 0")
    refused(net_of(kind), Examples(x, y), "number of examples of 'test' = 0", evaluate={"test": Examples(x[:0], y[:0])})


OPTIONS = [
    ({"epochs": 1.9}, "epochs = 1.9"),
    ({"epochs": 0}, "epochs = 0"),
    ({"epochs": -1}, "epochs = -1"),
    ({"epochs": None, "steps": 2.5}, "steps = 2.5"),
    ({"batch_size": -4}, "batch_size = -4"),
    ({"batch_size": 7.5}, "batch_size = 7.5"),
    ({"probe_steps": [0.5]}, "probe_steps = 0.5"),
    ({"precision": "fp8"}, "precision = 'fp8'"),
    ({"chunk": 0}, "chunk = 0"),
    ({"optimizer": "sgd"}, "optimizer = 'sgd'"),
    ({"loss": "hinge"}, "loss = 'hinge'"),
    ({"device": "gpu"}, "device = 'gpu'"),
    ({"resume": {}}, "resume"),
    ({"resume": {"engine": 1}}, "resume"),
    ({"optimizer": SGD((0.1, 0.1, 0.1))}, "number of rates = 3"),
]


@pytest.mark.parametrize("kind", ["stack", "module"])
@pytest.mark.parametrize(("options", "match"), OPTIONS)
def test_options_that_cannot_be_meant_are_named(kind, options, match):
    refused(net_of(kind), Examples(*data()), match, **options)


def test_what_only_stacks_or_only_modules_have_is_refused_for_the_others():
    examples = Examples(*data())
    refused(net_of("stack"), examples, "precision = 'bf16'", precision="bf16")
    refused(net_of("stack"), examples, "a name for stacks", loss=nn.functional.cross_entropy)
    refused(net_of("module"), examples, "chunk = 2", chunk=2)


def test_a_whole_number_may_be_written_with_a_point():
    history = fit(net_of("stack"), Examples(*data()), optimizer=SGD(0.1), epochs=2.0, batch_size=np.int64(16))
    assert history.batch_loss.shape == (2, 8)


def test_a_probe_does_not_write_over_an_evaluated_set():
    examples = Examples(*data())
    probes = {"test_loss": lambda net: torch.zeros(2)}
    refused(net_of("stack"), examples, "test_loss", probes=probes, evaluate={"test": examples})


@pytest.mark.parametrize("seeds", [(), (0, 1, 2)])
def test_modules_have_one_seed_each(seeds):
    with pytest.raises(BadInput, match=f"number of seeds = {len(seeds)}"):
        fit([net_of("module"), net_of("module")], Examples(*data()), epochs=1, seeds=seeds)


def test_lists_of_modules_are_modules_of_their_own():
    net, examples = net_of("module"), Examples(*data())
    tied = net_of("module")
    tied[0].weight = net[0].weight
    for nets, match in (
        ([], "modules with parameters"),
        ([nn.ReLU()], "modules with parameters"),
        ([net, net], "share no"),
        ([net, tied], "share no"),
    ):
        with pytest.raises(BadInput, match=match):
            fit(nets, examples, epochs=1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay = -1"),
        (lambda: SGD(0.1, weight_decay=NAN), "weight_decay"),
        (lambda: SGD(0.1, momentum=NAN), "momentum"),
        (lambda: SGD([0.1, 0.2]), r"lr = \[0.1, 0.2\].*tuple"),
        (lambda: SGD((0.1, [0.2])), "lr"),
        (lambda: SGD("0.1"), "lr = '0.1'"),
        (lambda: SGD(INFINITY), "lr = inf"),
        (lambda: SGD(()), "lr"),
        (lambda: Adam(-1.0), "lr = -1"),
        (lambda: Adam(eps=-1), "eps = -1"),
        (lambda: Adam(eps=0), "eps = 0"),
        (lambda: Adam(weight_decay=-1), "weight_decay = -1"),
        (lambda: AdamW(weight_decay=-0.1), "weight_decay"),
        (lambda: Adam(betas=(0.9,)), "betas"),
        (lambda: Adam(betas=(0.9, 1.0)), "betas"),
        (lambda: Adam(betas=0.9), "betas"),
    ],
)
def test_rules_that_cannot_be_are_named(make, match):
    with pytest.raises(BadInput, match=match):
        make()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((np.zeros((4, 2)), np.zeros(4)), "from_numpy"),
        ((torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), None, 0), "variants = 0"),
        ((torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), torch.zeros(1, 4)), "rows"),
        ((torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), torch.arange(4)), "rows"),
        ((torch.zeros(4, 2), torch.zeros(3, dtype=torch.long), torch.arange(3)[None]), "one label per example"),
        ((torch.zeros(4, 2), torch.zeros(4, 1, dtype=torch.long)), "one label per example"),
        ((torch.zeros(4, 2), torch.tensor(0)), "axes"),
    ],
)
def test_examples_that_do_not_fit_together_are_refused(arguments, match):
    with pytest.raises(BadInput, match=match):
        Examples(*arguments)


def test_examples_of_arrays_have_the_types_of_the_nets_and_are_copies():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6, dtype=np.uint8) % 3
    found = Examples.from_numpy(x[::-1], y, np.array([[0, 1], [4, 5]]))
    assert (found.x.dtype, found.y.dtype, found.rows.dtype) == (torch.float32, torch.int64, torch.int64)
    assert found.x.tolist() == x[::-1].tolist() and found.y.tolist() == y.tolist()
    x[:] = NAN
    assert torch.isfinite(found.x).all()
    assert Examples.from_numpy(np.zeros((6, 2), np.uint8), np.zeros((6, 3))).y.shape == (6, 3), "targets"
    assert Examples.from_numpy(np.zeros((6, 2)), y, dtype=torch.float64).x.dtype == torch.float64
    with pytest.raises(BadInput, match="type of y"):
        Examples.from_numpy(np.zeros((2, 2)), np.array(["a", "b"]))


def test_examples_of_a_table_take_every_other_column_as_a_feature():
    table = pd.DataFrame({"a": [1, 2, 3], "kind": ["pear", "apple", "pear"], "b": [0.5, 1.5, 2.5]})
    found = Examples.from_pandas(table, "kind")
    assert found.x.tolist() == [[1, 0.5], [2, 1.5], [3, 2.5]] and found.y.tolist() == [1, 0, 1]
    assert Examples.from_pandas(table, "b", ["a"]).y.tolist() == [0.5, 1.5, 2.5]
    for arguments, match in ((("none",), "columns"), (("b", ["c"]), "columns"), (("b",), "features")):
        with pytest.raises(BadInput, match=match):
            Examples.from_pandas(table, *arguments)


@pytest.mark.parametrize("make", [lambda value: step_decay(factor=value), cosine])
@pytest.mark.parametrize("value", [-0.1, NAN, "0.1"])
def test_schedules_do_not_turn_rates_negative(make, value):
    with pytest.raises(BadInput, match="factor|final"):
        make(value)
