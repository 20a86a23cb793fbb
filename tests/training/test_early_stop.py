"""Early stopping: the probe finds what training step by step and evaluating everything would find."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.allocation import random_masks
from redlib.training import Adam, Examples, History, fit
from redlib.training.early import EarlyModules, EarlyStop, early_values

SIZES, SEEDS, AT = (6, 16, 3), (2, 5, 9, 11, 14), (1, 2, 5, 9, 14, 20, 30)
RULE = Adam(0.05)


pytestmark = pytest.mark.usefixtures("one_thread_throughout")


def parts() -> dict[str, Examples]:
    """Few examples with noisy labels: nets overfit, so the best moment is not the last."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(30 + 25 + 137, 6, generator=g)
    y = (x[:, 0] > 0.4).long() + (x[:, 1] > 0)
    wrong = torch.rand(len(y), generator=g) < 0.3
    y[wrong] = torch.randint(3, (int(wrong.sum()),), generator=g)
    split = zip(("train", "validation", "test"), x.split([30, 25, 137]), y.split([30, 25, 137]), strict=True)
    return {name: Examples(a, b) for name, a, b in split}


def nets(seeds=SEEDS, masked=False) -> StackedMLP:
    net = StackedMLP.create(SIZES, seeds)
    if masked:
        net.apply_masks([*random_masks({"a": (16, 6), "b": (3, 16)}, {"a": 40, "b": 30}, seeds).values()])
    return net


def measured(net: StackedMLP, part: Examples, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and share of errors [R] over every example, in plain torch."""
    losses, errors = [], []
    for r in range(net.replicates):
        hidden = torch.relu(part.x @ net.weights[0][r].T + net.biases[0][r])
        logits = hidden @ net.weights[1][r].T + net.biases[1][r]
        if loss == "cross_entropy":
            losses.append(functional.cross_entropy(logits, part.y).item())
        else:
            losses.append(functional.mse_loss(logits, functional.one_hot(part.y, 3).float()).item())
        errors.append((logits.argmax(1) != part.y).double().mean().item())
    return np.array(losses), np.array(errors)


def brute_force(seeds=SEEDS, loss="cross_entropy", masked=False, at=AT) -> dict[str, np.ndarray]:
    """Train anew up to every probe, evaluate validation and test there, and pick afterwards."""
    found = {}
    for step in at:
        net = nets(seeds, masked)
        fit(net, parts()["train"], optimizer=RULE, steps=step, batch_size=10, loss=loss)
        found[step] = [*measured(net, parts()["validation"], loss), measured(net, parts()["test"], loss)[1]]
    validation, error, test = (np.stack([found[step][i] for step in at], 1) for i in range(3))
    best, rows = validation.argmin(1), np.arange(len(seeds))
    return {
        "validation_loss": validation, "validation_error": error, "early_step": np.array(at)[best],
        "early_error": test[rows, best], "final_error": test[:, -1], "test_errors": test,
    }  # fmt: skip


def stopped(seeds=SEEDS, loss="cross_entropy", masked=False, at=AT, **options):
    net, data = nets(seeds, masked), parts()
    early = EarlyStop(net, data["validation"], data["test"], len(at), loss)
    history = fit(net, data["train"], optimizer=RULE, steps=max(at), batch_size=10, loss=loss,
                  probes={"early": early}, probe_steps=at, **options)  # fmt: skip
    return history, net


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("chunk", [None, 2, 5])
def test_the_best_moment_is_that_of_evaluating_every_probe(chunk, loss, masked):
    expected = brute_force(loss=loss, masked=masked)
    found = early_values(stopped(loss=loss, masked=masked, chunk=chunk)[0])
    for name in ("validation_loss", "validation_error", "early_error", "final_error"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, atol=1e-9)
    assert found["early_step"].tolist() == expected["early_step"].tolist()
    # The settings can tell: moments differ between replicates, and most are neither the first nor the last.
    assert len(set(found["early_step"].tolist())) > 1 and (found["early_step"] < max(AT)).any()


def test_the_test_error_is_that_of_the_best_moment_on_validation_not_the_best_on_test():
    expected, found = brute_force(), early_values(stopped()[0])
    assert (found["early_error"] > expected["test_errors"].min(1)).any()
    assert (found["early_error"] != found["final_error"]).any()


@pytest.mark.parametrize("seeds", [SEEDS[2:3], SEEDS[1:4]])
def test_a_replicate_stops_where_it_does_among_others(seeds):
    whole, part = early_values(stopped()[0]), early_values(stopped(seeds)[0])
    rows = [SEEDS.index(seed) for seed in seeds]
    assert all(np.array_equal(part[name], values[rows]) for name, values in whole.items())


@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_side_by_side_do_not_mix_their_best_moments(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = early_values(stopped(chunk=2)[0])
    finally:
        torch.set_num_threads(before)
    whole = early_values(stopped(chunk=5)[0])
    assert all(np.array_equal(found[name], whole[name]) for name in whole)


def test_probing_changes_nothing_in_training():
    _, watched = stopped()
    plain = nets()
    fit(plain, parts()["train"], optimizer=RULE, steps=max(AT), batch_size=10)
    assert torch.equal(watched.flat, plain.flat)


def test_the_test_set_is_looked_at_twice_a_run_and_never_before_its_end(monkeypatch):
    net, data, looks = nets(), parts(), []
    early = EarlyStop(net, data["validation"], data["test"], len(AT))
    measure = EarlyStop._measure
    monkeypatch.setattr(EarlyStop, "_measure", lambda self, n, part: looks.append(len(part)) or measure(self, n, part))
    history = fit(net, data["train"], optimizer=RULE, steps=max(AT), probes={"early": early}, probe_steps=AT, chunk=5)
    assert looks == [25] * len(AT) + [137, 137]
    assert np.isnan(history["early"][:, :-1, 2:]).all() and np.isfinite(history["early"][:, -1]).all()


def test_every_test_example_counts_also_beyond_the_last_full_batch():
    net = StackedMLP.create((2, 2), [0])
    for weights, biases in zip(net.weights, net.biases, strict=True):
        weights.zero_(), biases.copy_(torch.tensor([1.0, 0.0]))  # always class 0
    y = torch.zeros(2048 + 3, dtype=torch.int64)
    y[-2:] = 1
    test = Examples(torch.zeros(2051, 2), y)
    values = EarlyStop(net, test, test, calls=1)(net)
    wrong = 2 / 2051
    loss = np.log(1 + np.exp(-1)) * (1 - wrong) + np.log(1 + np.e) * wrong
    assert values.shape == (1, 4) and values[0].tolist() == pytest.approx([loss, wrong, wrong, wrong], rel=1e-6)


def test_of_equal_validation_losses_the_first_moment_is_the_best():
    net, test = nets((0, 1)), parts()["test"]
    net.biases[1].zero_()
    still = Examples(torch.zeros(3, 6), torch.arange(3))  # zeros do not see the first layer's weights
    early, values, errors = EarlyStop(net, still, test, calls=3), [], []
    for step in range(3):
        values.append(early(net))
        errors.append(measured(net, test, "cross_entropy")[1])
        net.weights[0].mul_(-1.0 - step)
    looks = torch.stack(values, 1).numpy()
    assert (looks[:, :, 0] == looks[:, :1, 0]).all() and (errors[0] != errors[1]).all()
    history = History(np.array([3, 7, 8]), 1, {"early": looks}, np.zeros((2, 8)), np.full(2, -1))
    found = early_values(history)
    assert found["early_step"].tolist() == [3, 3]
    np.testing.assert_allclose(found["early_error"], errors[0])
    np.testing.assert_allclose(found["final_error"], errors[2])


def test_values_are_read_off_by_replicate():
    nan = np.nan
    looks = [
        [[3.0, 0.5, nan, nan], [1.0, 0.4, nan, nan], [2.0, 0.1, 0.25, 0.75]],
        [[9.0, 0.9, nan, nan], [8.0, 0.8, nan, nan], [7.0, 0.7, 0.5, 0.5]],
    ]
    history = History(np.array([10, 20, 40]), 5, {"mine": np.array(looks)}, np.zeros((2, 40)), np.full(2, -1))
    found = early_values(history, "mine")
    assert found["early_step"].tolist() == [20, 40]
    assert found["early_error"].tolist() == [0.25, 0.5] and found["final_error"].tolist() == [0.75, 0.5]
    assert found["validation_loss"].tolist() == [[3, 1, 2], [9, 8, 7]]
    assert found["validation_error"].tolist() == [[0.5, 0.4, 0.1], [0.9, 0.8, 0.7]]


def test_bad_arguments_are_refused():
    data = parts()
    with pytest.raises(BadInput, match="calls"):
        EarlyStop(nets(), data["validation"], data["test"], 0)
    with pytest.raises(BadInput, match="inputs per example"):
        EarlyStop(nets(), data["validation"], Examples(torch.zeros(4, 7), torch.zeros(4, dtype=torch.int64)), 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_early_stopping_on_cuda_agrees_with_the_cpu():
    cpu, cuda = (early_values(stopped(device=device)[0]) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(cuda["validation_loss"], cpu["validation_loss"], atol=1e-3)
    assert np.isfinite(cuda["early_error"]).all()


@pytest.mark.parametrize("spoil", ["label", "input", "none"])
@pytest.mark.parametrize("kind", ["stack", "modules"])
def test_sets_that_nothing_can_be_measured_on_are_refused(kind, spoil):
    good = parts()["test"]
    x, y = good.x.clone(), good.y.clone()
    if spoil == "label":
        y[3] = -100
    elif spoil == "input":
        x[3, 2] = np.nan
    bad = Examples(x[:0], y[:0]) if spoil == "none" else Examples(x, y)
    make = partial(EarlyStop, nets()) if kind == "stack" else EarlyModules
    for pair, name in (((bad, good), "validation"), ((good, bad), "test")):
        with pytest.raises(BadInput, match=f"of '{name}'"):
            make(*pair, 3)
