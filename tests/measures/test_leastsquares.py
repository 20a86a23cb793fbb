"""Least squares against analytic values, independent recomputations and hand-written loops."""

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.measures import leastsquares as ls


@pytest.fixture
def draw():
    return np.random.default_rng(1000)


def test_more_features_than_examples_fit_the_training_set_to_rounding(draw):
    x = draw.uniform(size=(40, 7))
    features = ls.fourier_features(x, ls.fourier_bank(7, 400, 0.5, seed=1000))
    y = draw.standard_normal((40, 3))
    for count in (41, 60, 400):
        a = ls.first(features, count)
        assert np.abs(a @ ls.min_norm(a, y) - y).max() < 1e-8


def test_min_norm_is_the_pseudo_inverse_for_every_shape_and_rank(draw):
    for n, d, rank in [(8, 5, 5), (5, 8, 5), (6, 6, 6), (8, 6, 3), (6, 8, 3)]:
        a = draw.standard_normal((4, n, rank)) @ draw.standard_normal((4, rank, d))
        y = draw.standard_normal((4, n, 2))
        np.testing.assert_allclose(ls.min_norm(a, y), np.linalg.pinv(a, rcond=1e-10) @ y, atol=1e-8)


def test_min_norm_of_a_zero_matrix_is_zero():
    assert not ls.min_norm(np.zeros((3, 4)), np.ones((3, 1))).any()


def test_ridge_from_one_svd_solves_the_normal_equations(draw):
    for n, d in [(9, 4), (4, 9)]:
        a, y = draw.standard_normal((2, n, d)), draw.standard_normal((2, n, 3))
        for level, w in zip((0.1, 7.0), ls.ridge_path(a, y, [0.1, 7.0]), strict=True):
            gram = a.swapaxes(1, 2) @ a + level * np.eye(d)
            np.testing.assert_allclose(gram @ w, a.swapaxes(1, 2) @ y, atol=1e-10)


def test_ridge_tends_to_the_minimum_norm_solution(draw):
    for n, d in [(9, 4), (4, 9)]:
        a, y = draw.standard_normal((n, d)), draw.standard_normal((n, 2))
        np.testing.assert_allclose(ls.ridge_path(a, y, [1e-9])[0], ls.min_norm(a, y), atol=1e-7)


def test_successive_fits_are_the_fits_by_the_first_columns(draw):
    a, y = draw.standard_normal((7, 9)), draw.standard_normal((7, 2))
    fits = list(ls.successive_fits(a, y))
    assert len(fits) == 8 and not fits[0].any()
    for k in range(1, 8):
        np.testing.assert_allclose(fits[k], a[:, :k] @ ls.min_norm(a[:, :k], y), atol=1e-10)


@pytest.mark.parametrize("n, dim", [(10, 25), (40, 25)])
def test_the_closed_form_is_the_mean_of_pseudo_inverse_fits(draw, n, dim):
    truth = np.zeros((dim, 1))
    truth[0] = 1.5
    x = draw.standard_normal((2000, n, dim))
    y = x @ truth + 0.5 * draw.standard_normal((2000, n, 1))
    excess = ((np.linalg.pinv(x) @ y - truth) ** 2).sum(axis=(1, 2))
    error = excess.std() / np.sqrt(len(excess))
    assert abs(excess.mean() - ls.isotropic_risk(n, dim, 0.5, 1.5)) < 4 * error
    assert error < 0.02 * excess.mean()  # so that the comparison means something


def test_the_closed_form_diverges_within_one_of_the_threshold():
    risk = ls.isotropic_risk([8, 9, 10, 11, 12], 10, noise=0.5)
    np.testing.assert_array_equal(np.isinf(risk), [False, True, True, True, False])
    np.testing.assert_allclose(risk[[0, 4]], [0.2 + 0.25 * 8, 0.25 * 10])


def test_bias_and_variance_of_literal_predictions():
    predictions = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 6.0]])
    truth = np.array([1.0, 1.0])
    bias2, variance = ls.bias_variance(predictions, truth)
    assert variance == pytest.approx((1 + 12) / 2)  # sample variances 1 and 12
    assert bias2 == pytest.approx((1 + 1) / 2 - 6.5 / 3)  # both means are off by 1
    assert bias2 + variance == pytest.approx(((predictions - truth) ** 2).mean())


def test_leaving_a_resample_out_equals_computing_without_it(draw):
    predictions, truth = draw.standard_normal((2, 6, 5)), draw.standard_normal(5)
    left_out = ls.bias2_left_out(predictions, truth)
    for r in range(6):
        rest = ls.bias_variance(np.delete(predictions, r, axis=1), truth)[0]
        np.testing.assert_allclose(left_out[:, r], rest, atol=1e-12)


def test_bias_is_not_inflated_by_variance(draw):
    predictions = 5 * draw.standard_normal((3000, 4, 10))  # four noisy resamples of an unbiased predictor
    bias2, variance = ls.bias_variance(predictions, np.zeros(10))
    assert abs(bias2.mean()) < 4 * bias2.std() / np.sqrt(3000)
    assert variance.mean() == pytest.approx(25, rel=0.02)


def test_sgd_is_the_hand_written_loop(draw):
    features, targets = draw.standard_normal((2, 6, 3)), draw.standard_normal((2, 6, 2))
    orders = np.stack([np.stack([draw.permutation(6) for _ in range(4)]) for _ in range(2)])
    losses = ls.sgd_losses(features, targets, np.array([0.05, 0.1]), orders, batch=2)
    for s, step in enumerate((0.05, 0.1)):
        w, expected = np.zeros((3, 2)), []
        for order in [*orders[s], None]:
            expected.append(((features[s] @ w - targets[s]) ** 2).sum() / 6)
            for first in (0, 2, 4) if order is not None else ():
                gradient = np.zeros_like(w)
                for i in order[first : first + 2]:
                    gradient += np.outer(features[s, i], features[s, i] @ w - targets[s, i]) / 2
                w = w - step * gradient
        np.testing.assert_allclose(losses[s], expected, rtol=1e-10)


def test_closed_form_gradient_descent_is_sgd_with_one_batch(draw):
    for width in (3, 12):  # fewer and more features than examples
        features, targets = draw.standard_normal((2, 8, width)), draw.standard_normal((2, 8, 2))
        step = 1 / ls.curvature(features)
        orders = np.tile(np.arange(8), (2, 20, 1))
        looped = ls.sgd_losses(features, targets, step, orders, batch=8)
        excess, least = ls.gd_excess(features, targets, step, np.arange(21))
        np.testing.assert_allclose(excess + least[:, None], looped, rtol=1e-9, atol=1e-14)


def test_the_sgd_step_is_between_the_one_example_and_the_full_batch_limit():
    features = np.array([[[1.0, 0.0], [0.0, 2.0]]])  # longest row² 4, Hessian diag(1, 4)/2
    assert ls.curvature(features) == pytest.approx(2.0)
    assert ls.sgd_step(features, 1) == pytest.approx(1 / 4)
    assert ls.sgd_step(features, 3) == pytest.approx(3 / 8)
    assert ls.sgd_step(features, 10**9) == pytest.approx(1 / 2)


def test_fourier_features_approximate_their_kernel(draw):
    x = draw.standard_normal((5, 3))
    features = ls.first(ls.fourier_features(x, ls.fourier_bank(3, 200_000, 1.5, seed=1000)), 200_000)
    distance2 = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(features @ features.T, np.exp(-distance2 / (2 * 1.5**2)), atol=0.015)


def test_a_smaller_bank_is_the_start_of_a_larger_one():
    small, large = ls.fourier_bank(3, 5, 1.0, 1000), ls.fourier_bank(3, 9, 1.0, 1000)
    for few, many in zip(small, large, strict=True):
        np.testing.assert_array_equal(few, many[:5])
    assert not np.array_equal(small[0], ls.fourier_bank(3, 5, 1.0, 1001)[0])


def test_solvability_of_literal_systems():
    a = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert ls.solvability(a, np.array([2.0, 0.0]))[:2] == (1, 1)
    rank, augmented, residual = ls.solvability(a, np.array([3.0, 4.0]))
    assert (rank, augmented) == (1, 2)
    assert residual == pytest.approx(4 / 5)
    assert ls.solvability(np.zeros((2, 3)), np.zeros(2)) == (0, 0, 0.0)


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: ls.fourier_bank(3, 5, 0.0, 1000), "bandwidth = 0.0"),
        (lambda: ls.first(np.ones((2, 3)), 4), "count = 4"),
        (lambda: ls.min_norm(np.ones((2, 3)), np.ones((4, 1))), r"shape of targets = \(4, 1\)"),
        (lambda: ls.ridge_path(np.ones((2, 3)), np.ones((2, 1)), [0.0]), "penalties"),
        (lambda: ls.bias_variance(np.ones((1, 3)), np.ones(3)), "shape of predictions"),
        (lambda: ls.bias_variance(np.ones((4, 2)), np.ones(3)), "shape of predictions"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(BadInput, match=named):
        call()


def test_a_batch_that_does_not_divide_the_examples_is_refused():
    with pytest.raises(BadInput, match="batch = 4"):
        ls.sgd_losses(np.ones((1, 6, 2)), np.ones((1, 6, 1)), np.ones(1), np.zeros((1, 1, 6), int), batch=4)
