"""The speed study times what it says: variants that compute the same, and statistics on literal times."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.evidence.verdicts import by_name
from redlib.measures import cost
from redlib.nets import StackedMLP
from redlib.pruning import masks
from redlib.pruning.compaction import unstacked
from redlib.studies import pruning_speed as speed
from redlib.studies import pruning_speed_statistics as stat
from redlib.studies import step_speed

TINY = speed.SpeedConfig(
    sizes=(20, 16, 8, 4), batch=6, densities=(1.0, 0.5, 0.1), drop_in_densities=(0.5, 0.1), conv_width=2,
    conv_image=8, conv_batch=2, repeats=3, seeds=(1000, 1001),
)  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return speed.run(TINY)


@pytest.fixture
def net():
    return unstacked(StackedMLP.create(TINY.sizes, [3]), 0)


def test_every_variant_has_seeds_first_and_one_time_per_repeat(results):
    shapes = {name: values.shape for name, values in results.items() if name.endswith("_s")}
    one, each = (2, 3), (2, 3, 3)
    assert shapes == {
        "dense_s": one, "half_units_s": one, "masked_each_pass_s": one, "masked_s": each, "csr_s": each,
        "csr_drop_in_s": (2, 2, 3), "train_dense_s": one, "train_half_units_s": one, "train_masked_s": one,
        "conv_dense_s": one, "conv_half_s": one,
    }  # fmt: skip
    assert all((values > 0).all() for name, values in results.items() if name in shapes)


def test_half_the_units_have_the_parameters_and_flops_of_the_half_as_wide_net(results):
    half = unstacked(StackedMLP.create((20, 8, 4, 4), [0]), 0)
    dense = unstacked(StackedMLP.create(TINY.sizes, [0]), 0)
    assert results["mlp_bytes"].tolist() == [[cost.bytes_of(dense), cost.bytes_of(half)]] * 2
    assert results["mlp_flops"].tolist() == [[cost.flops(dense, (20,)), cost.flops(half, (20,))]] * 2
    assert (results["conv_flops"][:, 1] < 0.5 * results["conv_flops"][:, 0]).all()
    assert stat.adequate(results, {"stack_s": times([2.0]), "sparse_s": times([[1.0]])}) == {
        "compaction_is_exact": True, "sparse_kernel_is_installed": True,
    }  # fmt: skip


def test_all_that_is_not_time_repeats_and_depends_on_its_own_seed_only(results):
    again = speed.run(speed.SpeedConfig(**{**vars(TINY), "seeds": (1001,)}))
    assert again["mlp_difference"][0] == results["mlp_difference"][1]
    assert np.array_equal(again["stored_bytes"], results["stored_bytes"], equal_nan=True)


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_masked_and_sparse_nets_compute_the_same(net, density):
    x = torch.randn(7, 20)
    plain = speed.pruned(net, density)
    expected = plain(x)
    assert bool((expected - net(x)).abs().max() > 1e-3) is (density < 1)
    torch.testing.assert_close(speed.pruned(net, density, every_pass=True)(x), expected)
    for batch_last in (True, False):
        torch.testing.assert_close(speed.csr(plain, batch_last)(x), expected, atol=1e-5, rtol=1e-5)


def test_pruned_keeps_the_largest_weights_of_each_layer_and_leaves_the_net_alone(net):
    before = masks.weights_of(net)
    after = masks.weights_of(speed.pruned(net, 0.25))
    for name, weights in before.items():
        kept = after[name] != 0
        assert int(kept.sum()) == round(0.25 * weights.numel())
        assert torch.equal(after[name][kept], weights[kept])
        assert weights[kept].abs().min() >= weights[~kept].abs().max()
    assert all(torch.equal(weights, before[name]) for name, weights in masks.weights_of(net).items())


def test_a_training_step_descends_and_a_mask_holds_through_it(net):
    x, y = torch.randn(30, 20), torch.arange(30) % 4
    masked = speed.pruned(net, 0.2, every_pass=True)
    cut = {name: weights == 0 for name, weights in masks.weights_of(masked).items()}
    loss = torch.nn.functional.cross_entropy
    before = loss(masked(x), y).item()
    step = speed.training_step(masked, y, lr=0.1)
    for _ in range(5):
        step(x)
    assert loss(masked(x), y).item() < before
    assert all((weights[cut[name]] == 0).all() for name, weights in masks.weights_of(masked).items())


def test_stored_bytes_add_up_over_layers():
    table = dict(zip(cost.LAYOUTS, speed.stored_bytes(TINY), strict=True))
    weights, kept = 20 * 16 + 16 * 8 + 8 * 4, 32 + 13 + 3
    assert table["dense"].tolist() == [4 * weights] * 3
    assert table["coo"].tolist() == [12 * weights, 6 * weights, 12 * kept]
    assert table["csr"][2] == 8 * kept + 4 * (17 + 9 + 5)
    assert table["bitmask"][2] == weights / 8 + 4 * kept
    assert np.isnan(table["two_of_four"]).tolist() == [True, False, True]


def test_bad_settings_are_refused():
    for change, message in (
        ({"seeds": ()}, "seeds"),
        ({"densities": (0.001,)}, "weights kept"),
        ({"densities": (1.5,)}, "density"),
        ({"unit_share": 0.0}, "density"),
    ):
        with pytest.raises(BadInput, match=message):
            speed.run(speed.SpeedConfig(**{**vars(TINY), **change}))


def times(rows):
    """Return seconds whose median is given and whose mean is not."""
    return np.array(rows)[..., None] * np.array([1.0, 0.9, 50.0])


def test_evidence_on_literal_times_is_exactly_what_the_claim_asks_for():
    literal = {
        "densities": np.array([1.0, 0.1, 0.01]),
        "dense_s": times([2.0, 4.0]),
        "half_units_s": times([1.0, 1.0]),
        "masked_s": times([[2.0, 2.0, 1.6], [4.0, 4.0, 5.0]]),
        "csr_s": times([[8.0, 2.0, 1.0], [8.0, 8.0, 8.0]]),
        "mlp_bytes": np.array([[100, 40], [100, 50]]),
    }
    steps = {
        "densities": np.array([1.0, 0.11, 0.01]),
        "stack_s": times([2.0, 4.0]),
        "sparse_s": times([[4.0, 1.0, 0.5], [8.0, 8.0, 8.0]]),
    }
    found = stat.evidence(literal, steps)
    assert found["half_units_speedup"].tolist() == [2, 4]
    np.testing.assert_allclose(found["masked_dense_speedup"], [1.25, 0.8])
    assert found["half_units_bytes_ratio"].tolist() == [0.4, 0.5]
    np.testing.assert_allclose(found["sparse_crossover_density"], [0.1, np.nan])
    assert found["sparse_step_speedup"].tolist() == [2, 0.5]
    np.testing.assert_allclose(found["sparse_step_crossover"], [0.11**0.5, np.nan])
    assert list(by_name(load_claims()["LTH-32"].check_for("laptop"), found)) == list(found)


def test_the_crossover_is_interpolated_on_log_axes():
    faster = np.array(
        [[0.25, 4.0, 9.0], [0.5, 4.0, 9.0], [2.0, 3.0, 9.0], [0.2, 0.3, 0.9], [2.0, 0.5, 9.0], [0.5, 0.5, 1.0]]
    )
    found = stat.crossover(np.array([1.0, 0.01, 0.0001]), faster)
    expected = [0.1, 10 ** (-2 * 1 / 3), 1.0, np.nan, 0.0001 * 100 ** (np.log(9) / np.log(18)), 0.0001]
    np.testing.assert_allclose(found, expected)


def test_inexact_compaction_is_no_adequate_setting():
    gaps = {"mlp_difference": np.array([0.0, 1e-6]), "conv_difference": np.array([1e-6, 2e-5])}
    steps = {"stack_s": times([2.0]), "sparse_s": times([[2.0, 2.0]])}  # what a run without numba returns
    assert stat.adequate(gaps, steps) == {"compaction_is_exact": False, "sparse_kernel_is_installed": False}


def test_a_step_is_timed_in_every_execution_and_sparse_falls_back_to_the_stack(monkeypatch):
    config = step_speed.StepSpeed(
        sizes=(20, 16, 8, 4), batch=6, densities=(1.0, 0.1), steps=2, repeats=3, seeds=(1000,)
    )
    shapes = {"stack_s": (1, 3), "sparse_s": (1, 2, 3), "autograd_s": (1, 3), "masked_s": (1, 2, 3), "densities": (2,)}
    found = step_speed.run(config)
    assert {name: values.shape for name, values in found.items()} == shapes
    assert all((values > 0).all() for values in found.values())
    monkeypatch.setattr(step_speed, "why_not", lambda net: ["no numba"] * net.groups)
    without = step_speed.run(config)
    assert (without["sparse_s"] == without["stack_s"][:, None]).all()
