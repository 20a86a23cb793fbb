"""The linear experiments: what their arrays are, what does not change them, and the phenomenon, small.

Only tuning seeds (1000-1009) are used: the judged seeds stay unseen until the study runs.
"""

import dataclasses

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.studies import double_descent_linear as linear
from redlib.studies import double_descent_linear_statistics as statistics

SEEDS = (1000, 1001, 1002)
SMALL = (
    linear.PolynomialBias(degrees=(1, 3, 5, 9), resamples=60, points=60, seeds=SEEDS),
    linear.RffSweep(tests=300, samples=(30, 60), counts=(10, 30, 60, 300), seeds=SEEDS),
    linear.RffThreshold(samples=(20, 40), seeds=SEEDS),
    linear.RffSgd(n=20, counts=(5, 100), epochs=60, seeds=SEEDS),
    linear.IsotropicLeastSquares(dim=20, samples=(8, 40), repetitions=100, seeds=SEEDS),
    linear.RidgeSweep(dim=12, samples=(6, 12, 24), multiples=(0.25, 1.0, 4.0), repetitions=30, seeds=SEEDS),
    linear.RffBiasVariance(n=20, counts=(5, 20, 60), resamples=12, points=40, seeds=SEEDS),
    linear.Solvability(seeds=SEEDS),
)


@pytest.fixture(scope="module")
def results():
    return {type(config): linear.run(config) for config in SMALL}


@pytest.mark.parametrize("config", SMALL, ids=lambda config: type(config).__name__)
def test_a_seed_gives_the_same_numbers_alone_and_among_others(config, results):
    alone = linear.run(dataclasses.replace(config, seeds=(1001,)))
    for name, values in results[type(config)].items():
        assert values.dtype == np.float64 and np.isfinite(values).all()
        assert len(values) == len(SEEDS)
        np.testing.assert_array_equal(alone[name][0], values[1])
        assert not np.array_equal(values[0], values[2]) or name in ("threshold_squared", "generic")


def test_cells_of_the_sweep_do_not_depend_on_the_rest_of_the_grid(results):
    some = linear.RffSweep(tests=300, samples=(30,), counts=(60,), seeds=SEEDS)
    # The bank is drawn for its largest count and the rows for the largest sample: both are nested.
    for name, values in linear.run(some).items():
        among_others = results[linear.RffSweep][name][:, 0, 2]
        np.testing.assert_allclose(values[:, 0, 0], among_others, rtol=1e-6, atol=1e-20)


def test_random_features_interpolate_exactly_from_n_features_on(results):
    train = results[linear.RffSweep]["train_squared"]
    assert (train[:, 0, 1:] < 1e-16).all() and (train[:, 1, 2:] < 1e-16).all()
    assert (train[:, 0, 0] > 1e-3).all() and (train[:, 1, :2] > 1e-3).all()


def test_random_features_double_descend(results):
    error = results[linear.RffSweep]["test_squared"][:, 1]  # n = 60
    assert (error[:, 2] > 2 * error[:, 0]).all() and (error[:, 2] > 2 * error[:, 3]).all()
    assert (statistics.modern_below_classical(error, (10, 30, 60, 300), 60) < 0).all()
    sizes = results[linear.RffSweep]["coefficient_norm"][:, 1]
    norm = statistics.norm_statistics(sizes, (10, 30, 60, 300), 60)
    np.testing.assert_array_equal(norm["norm_peak_over_n"], 1)
    assert (norm["norm_falls"] > 0).all()


def test_the_least_squares_threshold_is_the_sample_size(results):
    found = results[linear.RffThreshold]
    np.testing.assert_array_equal(found["threshold_squared"], [[20, 40]] * 3)
    assert (found["threshold_zero_one"] <= found["threshold_squared"]).all()
    np.testing.assert_allclose(statistics.rff_slope(found["threshold_squared"], (20, 40)), 1)


def test_sgd_converges_only_with_many_features(results):
    found = statistics.sgd_statistics(results[linear.RffSgd])
    assert (found["modern_train_loss"] < 1e-5).all()
    assert (found["modern_linear_r2"] > 0.9).all()
    assert (found["classical_excess_ratio"] > np.log2(10)).all()
    assert (np.abs(found["classical_plateau"]) < 1).all()


def test_an_epoch_of_gradient_descent_is_one_step(results):
    found = results[linear.RffSgd]
    steps = 20 // 4  # SGD's steps in an epoch: n / batch
    np.testing.assert_allclose(found["gd_excess_steps"][:, :, 1:13], found["gd_excess"][:, :, steps:61:steps])


def test_every_seed_and_epoch_has_its_own_order():
    orders = np.concatenate([linear._orders(seed, 3, 8) for seed in SEEDS])
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(8), (9, 1)))
    assert len(np.unique(orders, axis=0)) == 9


def test_the_sgd_statistics_of_literal_losses():
    modern = 10.0 ** -np.arange(9)  # a tenth in each epoch
    classical = 0.5 + np.array([9.0, 8, 8, 4, 4, 2, 2, 1, 1])  # excess above 0.5, in quarters of two epochs
    results = {
        "sgd_loss": np.stack([classical, modern])[None],
        "least_loss": np.array([[0.5, 0.0]]),
        "gd_excess": np.full((1, 2, 9), 1 / 16),
        "gd_excess_steps": np.full((1, 2, 9), 1 / 64),
    }
    found = statistics.sgd_statistics(results)
    assert found["modern_train_loss"] == pytest.approx(1e-8)
    assert found["modern_linear_r2"] == pytest.approx(1)
    assert found["classical_excess_ratio"] == pytest.approx(4)
    assert found["classical_plateau"] == pytest.approx(1)


def test_the_polynomial_risk_is_the_sum_of_its_parts_and_u_shaped(results):
    found = statistics.polynomial_statistics(SMALL[0], results[linear.PolynomialBias])
    assert (found["identity_gap"] < 0.08).all()  # 3600 noise draws: a standard error of 2.4%
    assert (found["bias_slope"] < 0).all() and (found["variance_slope"] > 0).all()
    assert (found["interior_left"] > 0).all() and (found["interior_right"] > 0).all()


def test_gaussian_least_squares_follows_its_closed_form(results):
    z = statistics.max_abs_z(SMALL[4], results[linear.IsotropicLeastSquares])
    assert (z < 4).all()
    doubled = dataclasses.replace(SMALL[4], noise=1.0)  # a wrong formula is noticed
    assert (statistics.max_abs_z(doubled, results[linear.IsotropicLeastSquares]) > 4).all()


def test_the_best_ridge_falls_with_n_where_ridgeless_rises(results):
    found = results[linear.RidgeSweep]
    assert (statistics.ridge_upward_step_z(SMALL[5], found) < 0).all()
    ridgeless = np.median(found["ridgeless"], axis=-1)
    assert (ridgeless[:, 1] > 2 * ridgeless[:, 0]).all()


def test_the_best_ridge_penalty_is_the_theoretical_one():
    many = linear.RidgeSweep(dim=12, samples=(12,), multiples=(0.25, 1.0, 4.0), repetitions=400, seeds=SEEDS)
    np.testing.assert_array_equal(statistics.best_multiples(many, linear.run(many)), 0)


def test_the_peak_is_variance(results):
    found = statistics.bias_variance_statistics(SMALL[6], results[linear.RffBiasVariance])
    assert (found["variance_ratio"] > 1).all()
    assert (found["bias_fall"] > 0).all()
    # An image's one-hot label has energy 1: five features explain little of it.
    bias2 = results[linear.RffBiasVariance]["bias2"][:, 0]
    assert (bias2 > 0.4).all() and (bias2 < 1.1).all()


def test_systems_are_solvable_exactly_when_the_ranks_agree(results):
    found = results[linear.Solvability]
    counted = statistics.solvability_statistics(found)
    np.testing.assert_array_equal(counted["rank_identity_failures"], 0)
    assert (counted["seed_condition_failures"] > 10).all()
    assert (found["rank"] <= np.minimum(found["rows"], found["columns"])).all()
    assert len(np.unique(found["rank"])) > 5


def test_a_broken_rank_identity_is_counted():
    one = {"residual": 0.5, "rank": 2.0, "rank_augmented": 2.0, "rows": 3.0, "columns": 4.0, "generic": 1.0}
    counted = statistics.solvability_statistics({name: np.full((2, 5), value) for name, value in one.items()})
    np.testing.assert_array_equal(counted["rank_identity_failures"], [5, 5])


def test_the_bias_step_is_measured_in_jackknife_errors():
    config = linear.RffBiasVariance(n=10, counts=(5, 10, 20, 40), resamples=3)
    results = {
        "bias2": np.array([[1.0, 9.0, 1.3, 1.3]]),  # the count n itself is left out
        "variance": np.array([[1.0, 8.0, 3.0, 2.0]]),
        "bias2_left_out": np.array([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.2, 1.3, 1.4], [1.0, 1.3, 1.4]]]),
    }
    found = statistics.bias_variance_statistics(config, results)
    assert found["variance_ratio"] == pytest.approx(2)
    assert found["bias_fall"] == pytest.approx(-0.3)
    assert found["bias_upward_step_z"] == pytest.approx(0.3 / np.sqrt(2 / 3 * 0.02))


def test_more_data_hurt_by_the_error_at_n_minus_that_at_half():
    error = np.array([[1.0, 5.0, 2.0], [0.5, 0.25, 0.125]])
    np.testing.assert_array_equal(statistics.rff_harm(error, (50, 100, 200), 100), [4.0, -0.25])
    with pytest.raises(BadInput, match="50"):
        statistics.rff_harm(error, (60, 100, 200), 100)


def test_the_interior_minimum_is_chosen_by_the_other_seeds():
    config = linear.PolynomialBias(degrees=(1, 2, 3, 4), noise=0.0)
    total = np.array([[4.0, 1.0, 3.0, 5.0], [4.0, 2.0, 1.0, 5.0]])  # each would choose its own minimum
    parts = {"bias2": total, "variance": np.zeros((2, 4)), "total": total}
    found = statistics.polynomial_statistics(config, parts)
    np.testing.assert_array_equal(found["interior_left"], [1.0, 2.0])
    np.testing.assert_array_equal(found["interior_right"], [2.0, 3.0])
    np.testing.assert_array_equal(found["identity_gap"], 0)


def test_no_seeds_and_unknown_configurations_are_refused():
    with pytest.raises(BadInput, match="seed"):
        linear.run(linear.Solvability(seeds=()))
    with pytest.raises(BadInput, match="config"):
        linear.run("RffSweep")
