"""What the runs of the double-descent study are, and the phenomenon, small. The judged seeds stay unseen."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.experiments.experiment import configure, varied
from redlib.nets import StackedMLP
from redlib.studies.double_descent import linear, nets

spec = importlib.util.spec_from_file_location("tiny_double_descent", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
EVERY = tiny.tiny()


@lru_cache
def found(name):
    return EVERY[name].results(EVERY[name].run())


@lru_cache
def ended(**more):
    sweep = varied(tiny.SWEEP, more)
    return sweep.results(sweep.run())


# ---- models we can solve ----


def test_cells_of_the_sweep_do_not_depend_on_the_rest_of_the_grid():
    some = varied(EVERY["features"], samples=(30,), counts=(60,))
    # The bank is drawn for its largest count and the rows for the largest sample: both are nested.
    for name, values in some.run().items():
        among_others = found("features").at(sample=30, count=60)[name]
        np.testing.assert_allclose(values[:, 0, 0], among_others, rtol=1e-6, atol=1e-20)


def test_random_features_interpolate_exactly_from_n_features_on():
    train = found("features")["train_squared"]
    assert (train[:, 0, 1:] < 1e-16).all() and (train[:, 1, 2:] < 1e-16).all()
    assert (train[:, 0, 0] > 1e-3).all() and (train[:, 1, :2] > 1e-3).all()


def test_the_least_squares_threshold_is_the_sample_size():
    np.testing.assert_array_equal(found("threshold")["threshold_squared"], [[20, 40]] * 3)
    assert (found("threshold")["threshold_zero_one"] <= found("threshold")["threshold_squared"]).all()


def test_images_are_averaged_over_squares():
    plain, halved = (varied(EVERY["averaged"], shrink=side).pictures()[0] for side in (1, 2))
    assert plain.shape[1] == 64 and halved.shape[1] == 16
    assert halved[0, 0] == pytest.approx(plain[0].reshape(8, 8)[:2, :2].mean())


def test_an_epoch_of_gradient_descent_is_one_step():
    steps = 20 // 4  # SGD's steps in an epoch: n / batch
    by_step, by_epoch = (found("sgd")[name] for name in ("gd_excess_steps", "gd_excess"))
    np.testing.assert_allclose(by_step[:, :, 1:13], by_epoch[:, :, steps:61:steps])


def test_every_seed_and_epoch_of_sgd_has_its_own_order(monkeypatch):
    seen, descents = [], linear.leastsquares.descents
    monkeypatch.setattr(linear.leastsquares, "descents", lambda *given: seen.append(given[2]) or descents(*given))
    varied(EVERY["sgd"], epochs=3).run()
    orders = seen[0].reshape(9, 20)
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(20), (9, 1)))
    assert len(np.unique(orders, axis=0)) == 9


def test_the_polynomial_risk_is_the_sum_of_its_parts():
    bias2, variance, total = (found("polynomial")[name] for name in ("bias2", "variance", "total"))
    np.testing.assert_allclose(total, bias2 + variance + 0.3**2, rtol=0.08)  # 3600 draws: a standard error of 2.4%


def test_images_of_one_hot_labels_have_energy_one_and_five_features_explain_little_of_it():
    bias2 = found("parts").at(count=5)["bias2"]
    assert (bias2 > 0.4).all() and (bias2 < 1.1).all()


def test_ridgeless_errors_peak_and_smaller_samples_are_rows_of_larger_ones():
    ridgeless = np.median(found("ridge")["ridgeless"], axis=-1)
    assert (ridgeless[:, 1] > 2 * ridgeless[:, 0]).all()
    alone = varied(EVERY["ridge"], samples=(6, 24)).run()
    np.testing.assert_array_equal(alone["ridge"], found("ridge")["ridge"][:, ::2])
    assert "ridge" not in EVERY["isotropic"].run()


def test_systems_have_every_rank_their_shape_allows():
    systems = found("systems")
    assert (systems["rank"] <= np.minimum(systems["rows"], systems["columns"])).all()
    assert len(np.unique(systems["rank"])) > 5 and systems["generic"].mean() == 0.5


# ---- networks ----


def test_exactly_the_requested_share_of_labels_is_wrong_and_the_test_labels_are_clean():
    parts, data = tiny.SWEEP.parts(), tiny.SWEEP.load()
    truth = data.train.y[parts["train"].rows]
    assert (parts["train"].y != truth).sum(1).tolist() == [12] * 3 and torch.equal(parts["test"].y, data.test.y)


def test_parameters_are_counted_as_torch_counts_them():
    for depth in (1, 2):
        layers = [torch.nn.Linear(a, b) for a, b in zip((64, *[7] * depth), (*[7] * depth, 10), strict=True)]
        counted = sum(p.numel() for layer in layers for p in layer.parameters())
        assert varied(tiny.SWEEP, depth=depth).over_labels(7) == counted / (10 * 60)


def test_one_layer_and_one_by_one_agree_where_they_are_the_same_net():
    alone = varied(tiny.SWEEP, widths=(8,))
    curves = alone.watched(StackedMLP.create((64, 8, 10), alone.seeds), alone.parts())
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(curves[name], found("widths").at(width=8)[name], atol=1e-5)


def test_a_net_does_not_depend_on_the_widths_beside_it():
    alone = ended(widths=(4, 8))
    for name, values in alone.items():
        np.testing.assert_array_equal(values, found("widths")[name][:, 1:])


def test_a_sweep_is_looked_at_before_training_and_evenly_over_log_epochs_up_to_the_end():
    assert tiny.SWEEP.labels["epoch"] == (0, 1, 2, 4) and ended(looks=1).labels["epoch"] == (0, 4)
    np.testing.assert_array_equal(ended(looks=1)["test_error"][:, :, -1], found("widths")["test_error"][:, :, -1])


@pytest.mark.parametrize("epochs", [6, 20, 600, 800, 6000])
def test_a_third_of_the_looks_are_looks_of_the_full_run(epochs):
    fine, coarse = (set(varied(tiny.SWEEP, epochs=epochs, looks=looks).labels["epoch"]) for looks in (40, 14))
    assert coarse <= fine and max(coarse) == epochs


def test_reuse_starts_where_the_smaller_net_ended():
    start, end = found("reused")["train_loss"][:, 1:, 0], found("reused")["train_loss"][:, :-1, -1]
    fresh = found("widths")["train_loss"][:, 1:, 0]
    assert (np.abs(start - end) < np.abs(fresh - end)).all()
    np.testing.assert_allclose(found("reused").at(width=2)["train_loss"], found("widths").at(width=2)["train_loss"])


def test_an_ensemble_averages_outputs_of_nets_that_share_data():
    parts = EVERY["ensemble"].parts()
    assert torch.equal(parts["train"].rows[0], parts["train"].rows[1]) and len(parts["train"].rows) == 6
    assert not np.allclose(found("ensemble")["ensemble_error"], found("ensemble")["member_error"])
    np.testing.assert_allclose(found("ensemble")["member_error"], found("ensemble")["test_error"][:, :, -1])
    assert "ensemble_error" not in found("widths")


def test_shifts_add_cyclic_copies_to_the_pool_of_training_inputs():
    shifted = nets.WidthSweep(pool=40, validation=5, tests=5, n=20, shift=1, seeds=(1000,))
    train = shifted.parts()["train"]
    assert train.variants == 3 and torch.equal(train.x[40:80], train.x[:40].roll(1, -1))
    assert torch.equal(train.x[80:], train.x[:40].roll(-1, -1))


def test_decay_shrinks_and_the_validation_error_is_that_of_the_end():
    sweep = varied(tiny.SWEEP, looks=1)
    net = StackedMLP.create((64, 8, 10), sweep.seeds)
    last = varied(sweep, widths=(8,)).watched(net, sweep.parts())["validation_error"]
    validation = sweep.parts()["validation"]
    wrong = (net.logits(validation.x).argmax(-1) != validation.y).double().mean(-1)
    np.testing.assert_allclose(last, wrong)
    assert found("widths")["validation_error"].shape == (3, 3, 1)


def test_students_of_a_seed_have_different_teachers_and_success_is_a_share():
    students = varied(EVERY["students"], epochs=30)
    success = students.run()["success"]
    assert success.shape == (3, 4) and ((success * 3) % 1 == 0).all() and success[:, -1].max() > 0


@pytest.mark.parametrize("net", ["resnet18k", "cnn5"])
def test_the_papers_own_runs_are_runnable_with_both_optimisers(net):
    runs = [varied(tiny.PAPER, net=net, optimizer=name, lr=0.1, seeds=(1000,)) for name in ("adam", "sgd")]
    curves = [run.results(run.run())["test_error"] for run in runs]
    assert all(each.shape == (1, 2, 2) and np.isfinite(each).all() for each in curves)
    assert runs[1].schedule()(3 * 512, 0) == 0.5 and runs[0].schedule()(3 * 512, 0) == 1


def test_unknown_settings_name_their_neighbour():
    with pytest.raises(BadInput, match="Did you mean widths"):
        configure(nets.WidthSweep, {"width": [2]})
    assert configure(nets.WidthSweep, {"widths": [2, 4]}, n=50).widths == (2, 4)
    with pytest.raises(BadInput, match="optimizer"):
        ended(optimizer="lion")
