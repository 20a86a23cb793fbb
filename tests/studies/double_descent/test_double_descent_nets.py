"""The net runs are what they say: noise counts, reuse, ensembles, thresholds, complexity, on tiny settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.studies import configure
from redlib.studies import double_descent_nets as nets
from redlib.studies import double_descent_nets_statistics as nstat

TINY = nets.WidthSweep(
    pool=300, validation=50, tests=80, n=60, widths=(2, 4, 8, 32), epochs=12, probes=4, batch=20, seeds=(1000, 1001)
)


def test_exactly_the_requested_share_of_labels_is_wrong_and_the_test_labels_are_clean():
    parts, classes = nets.examples(TINY)
    data = nets.dataset(TINY)
    truth = data.train.y[parts["train"].rows]
    assert (parts["train"].y != truth).sum(1).tolist() == [12, 12] and classes == 10
    assert torch.equal(parts["test"].y, data.test.y)


def test_a_run_has_seeds_first_and_repeats_bit_for_bit():
    first, again = nets.run(TINY), nets.run(TINY)
    assert first["test_error"].shape == (2, 4, len(first["epochs"]))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    other = nets.run(dataclasses.replace(TINY, seeds=(1001, 1002)))
    assert np.array_equal(first["test_loss"][1], other["test_loss"][0])


def test_one_layer_and_deep_paths_agree_where_they_are_the_same_net():
    ragged = nets.run(TINY)
    train, options = nets.examples(TINY)[0]["train"], None
    del options
    history, _ = nets._alone(
        TINY, 8, (40, 10), list(TINY.seeds), train,
        {"loss": "mse", "optimizer": nets.rule(TINY), "batch_size": 20, "epochs": 12, "evaluate": {"train": train},
         "probe_epochs": nets.probe_epochs(12, 4)},
    )  # fmt: skip
    np.testing.assert_allclose(history["train_loss"], ragged["train_loss"][:, 2], atol=1e-5)


def test_reuse_starts_where_the_smaller_net_ended_and_only_below_the_threshold():
    seen = nets.run(dataclasses.replace(TINY, reuse=True, n=100, widths=(4, 8, 64)))
    fresh = nets.run(dataclasses.replace(TINY, n=100, widths=(4, 8, 64)))
    start, end = seen["train_loss"][:, 1, 0], seen["train_loss"][:, 0, -1]
    assert (np.abs(start - end) < np.abs(fresh["train_loss"][:, 1, 0] - end)).all()
    np.testing.assert_allclose(seen["train_loss"][:, 2, 0], fresh["train_loss"][:, 2, 0], atol=1e-6)  # P > K n: fresh


def test_an_ensemble_averages_outputs_of_nets_that_share_data():
    config = dataclasses.replace(TINY, members=3, widths=(4, 16))
    parts, _ = nets.examples(config)
    assert torch.equal(parts["train"].rows[0], parts["train"].rows[2]) and len(parts["train"].rows) == 6
    found = nets.run(config)
    assert found["ensemble_error"].shape == found["member_error"].shape == (2, 2)
    assert not np.allclose(found["ensemble_error"], found["member_error"])
    np.testing.assert_allclose(found["member_error"], found["test_error"][:, :, -1])


def test_shifts_add_cyclic_copies_to_the_pool_of_training_inputs():
    train = nets.examples(dataclasses.replace(TINY, shift=1))[0]["train"]
    pool = len(train.x) // 3
    assert train.variants == 3 and torch.equal(train.x[pool : 2 * pool], train.x[:pool].roll(1, -1))


def test_students_of_the_same_seed_have_different_teachers_by_try_and_success_is_a_share():
    success = nets.run(nets.Students(n=20, tries=3, epochs=30, seeds=(1000, 1001)))["success"]
    assert success.shape == (2, 4) and ((success * 3) % 1 == 0).all() and success[:, -1].max() > 0


@pytest.mark.parametrize("net", ["resnet18k", "cnn5"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_papers_own_runs_are_runnable_configurations(net, optimizer, monkeypatch):
    from redlib.data import load

    monkeypatch.setattr(nets, "load", lambda name, **options: load("digits", **options))
    config = nets.PaperSweep(
        net=net, widths=(1, 2), pool=48, tests=20, optimizer=optimizer, epochs=2, batch=16, probes=2, seeds=(1000,)
    )
    found = nets.run(config)
    assert found["test_error"].shape == (1, 2, 3) and np.isfinite(found["train_error"]).all()


def test_unknown_settings_name_their_neighbour():
    with pytest.raises(BadInput, match="Did you mean 'widths'"):
        configure(nets.WidthSweep, {"width": [2]})
    assert configure(nets.WidthSweep, {"widths": [2, 4]}, n=50).widths == (2, 4)
    with pytest.raises(BadInput, match="configuration of this module"):
        nets.run("no config")
    with pytest.raises(BadInput, match="optimizer"):
        nets.rule(dataclasses.replace(TINY, optimizer="lion"))


def curves(test, train) -> dict:
    """Seeds x widths at the end of training, as percentages, in the shape of a run's results."""
    return {"test_error": np.array(test)[:, :, None] / 100, "train_error": np.array(train)[:, :, None] / 100}


def test_threshold_and_peak_statistics_on_literal_curves():
    results = curves([[30, 20, 40, 10]] * 4, [[50, 10, 1, 0]] * 3 + [[50, 10, 5, 3]])
    widths = (2, 4, 8, 16)
    assert nstat.threshold(results, widths)[:3].tolist() == [8, 8, 8] and np.isnan(nstat.threshold(results, widths)[3])
    found = nstat.peak(results, widths)
    assert found.height_left.tolist() == [20] * 4 and found.height_right.tolist() == [30] * 4
    assert nstat.steps_from_threshold(found, nstat.threshold(results, widths))[:3].tolist() == [0, 0, 0]
    assert nstat.at_width(results, widths, np.array([2, 4, 8, 16])).tolist() == [30, 20, 40, 10]


def test_parameters_are_counted_as_torch_counts_them():
    for depth in (1, 2):
        layers = [torch.nn.Linear(a, b) for a, b in zip((40, *[7] * depth), (*[7] * depth, 10), strict=True)]
        assert nets.parameters(40, 7, 10, depth) == sum(p.numel() for layer in layers for p in layer.parameters())


def test_complexity_interpolates_between_sample_sizes_in_log_n():
    by_n = {100: curves([[0, 0]], [[0, 0]]), 400: curves([[0, 0]], [[20, 0]])}
    grids = {100: (4, 8), 400: (4, 8)}
    found = nstat.complexity(by_n, grids, np.array([4.0]), 0.1)
    assert found[0] == pytest.approx(200)  # half-way from 0 to 20% error is half-way in log n
    assert np.isnan(nstat.complexity(by_n, grids, np.array([8.0]), 0.1)[0])


def test_after_fit_counts_from_the_first_perfect_width_and_censors_seeds_without_one():
    found = nstat.after_fit(curves([[9, 5, 8, 3], [9, 5, 8, 3]], [[5, 0, 0, 0], [5, 1, 1, 1]]))
    assert found["gain"][0] == pytest.approx(-2) and found["worst_regression"][0] == pytest.approx(3)
    assert np.isnan(found["gain"][1])


def test_ensemble_statistics_by_hand():
    results = {"member_error": np.array([[0.2, 0.4, 0.1]]), "ensemble_error": np.array([[0.15, 0.25, 0.08]])}
    found = nstat.ensembles(results)
    assert found["gain_difference"][0] == pytest.approx(13) and found["remaining_height_ratio"][0] == pytest.approx(0.5)


def test_tuned_takes_the_penalty_of_the_validation_set_not_of_the_test_set():
    def with_validation(validation, test):
        return curves(test, [[0, 0]]) | {"validation_error": np.array(validation)[:, :, None] / 100}

    picked = nstat.tuned([with_validation([[10, 30]], [[50, 60]]), with_validation([[20, 20]], [[1, 2]])])
    assert picked.tolist() == [[50, 2]]
