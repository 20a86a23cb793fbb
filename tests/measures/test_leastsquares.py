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


@pytest.mark.parametrize("shape", [(3, 8, 5), (3, 5, 8), (3, 6, 6)])
def test_the_normal_solution_of_gaussian_matrices_is_the_minimum_norm_one(draw, shape):
    a, y = draw.standard_normal(shape), draw.standard_normal((*shape[:2], 2))
    np.testing.assert_allclose(ls.normal_solution(a, y), ls.min_norm(a, y), rtol=1e-7, atol=1e-9)
    with pytest.raises(BadInput, match="targets"):
        ls.normal_solution(a, y[:, :2])


def test_the_fewest_columns_by_squared_loss_are_as_many_as_rows_and_by_errors_fewer(draw):
    labels = np.eye(3)[draw.integers(0, 3, 20)]
    squared, zero_one = ls.fewest_columns(draw.standard_normal((20, 25)), labels, 1e-12)
    assert squared == 20 and 1 < zero_one < 20
    sign = labels[:, :1] * 2 - 1  # a single column tells the first class from the rest, without reaching 0 and 1
    assert ls.fewest_columns(sign, np.c_[sign > 0, sign < 0] * 1.0, 1e-12)[1] == 1
    assert np.isnan(ls.fewest_columns(draw.standard_normal((20, 5)), labels, 1e-12)[0]), "too few columns"


def test_scores_are_sums_over_classes_and_shares_of_wrong_labels():
    outputs, y = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 2.0]]), np.array([[1.0, 0], [0, 1], [0, 1]])
    assert ls.scores(outputs, y) == (pytest.approx((0 + 1.25 + 1) / 3), pytest.approx(1 / 3))


def test_the_scores_of_a_fit_are_those_of_the_minimum_norm_solution(draw):
    a, y, others = draw.standard_normal((9, 4)), np.eye(2)[draw.integers(0, 2, 9)], draw.standard_normal((5, 4))
    truth, w = np.eye(2)[draw.integers(0, 2, 5)], ls.min_norm(a, y)
    expected = *ls.scores(a @ w, y), *ls.scores(others @ w, truth), np.sqrt((w**2).sum())
    assert ls.fit_scores(a, y, others, truth) == pytest.approx(expected)


def test_nested_predictions_are_the_fits_by_the_first_features(draw):
    a, y, points = draw.standard_normal((6, 9)), draw.standard_normal((6, 2)), draw.standard_normal((4, 9))
    found = ls.nested_predictions(a, y, points, (3, 9))
    assert found.shape == (2, 8)
    for row, count in zip(found, (3, 9), strict=True):
        w = ls.min_norm(a[:, :count] / np.sqrt(count), y)
        np.testing.assert_allclose(row, (points[:, :count] / np.sqrt(count) @ w).ravel())


def test_legendre_polynomials_are_orthonormal_under_the_uniform_law():
    nodes, weights = np.polynomial.legendre.leggauss(12)
    basis = ls.legendre(nodes, 6)
    np.testing.assert_allclose((basis * weights[:, None] / 2).T @ basis, np.eye(7), atol=1e-12)


def test_polynomial_fits_find_a_polynomial_and_a_penalty_shrinks_them(draw):
    x, points = draw.uniform(-1, 1, (3, 12)), np.linspace(-1, 1, 5)
    fitted = ls.polynomial_fits(x, x**3 - x, 3, 1e-12, points)
    np.testing.assert_allclose(fitted, np.tile(points**3 - points, (3, 1)), atol=1e-6)
    assert np.abs(ls.polynomial_fits(x, x**3 - x, 3, 1e6, points)).max() < 1e-4


def test_a_bank_for_inputs_has_its_bandwidth_in_their_own_unit(draw):
    x = draw.standard_normal((500, 30)) * 7
    pairs = x[draw.integers(0, 500, 4000)] - x[draw.integers(0, 500, 4000)]
    frequencies, _ = ls.bank_for(x, 4, 0.5, 1000)
    plain, _ = ls.fourier_bank(30, 4, 1.0, 1000)
    assert (plain / frequencies).max() == pytest.approx(0.5 * np.sqrt((pairs**2).sum(1).mean()), rel=0.02)
    assert not np.allclose(ls.bank_for(x, 4, 0.5, 1000, 3)[0], frequencies), "a key draws others"


def test_isotropic_data_follow_their_coefficients(draw):
    x, y, truth = ls.isotropic(1000, (400, 6, 3), noise=0.5, norm=2.0)
    assert x.shape == (400, 6, 3) and y.shape == (400, 6, 1) and np.linalg.norm(truth) == pytest.approx(2)
    assert (y - x @ truth).std() == pytest.approx(0.5, rel=0.05) and x.std() == pytest.approx(1, rel=0.05)
    fits = [truth, np.zeros((7, 3, 1))]
    assert ls.excess_risk(fits[:1], truth).tolist() == [0.0]
    np.testing.assert_allclose(ls.excess_risk(fits[1:], truth), np.full((1, 7), 4.0))


def test_random_systems_have_every_rank_and_right_sides_in_and_out_of_the_range(draw):
    for generic in (True, False):
        systems = [ls.random_system(draw, 6, generic) for _ in range(60)]
        solved = [ls.solvability(a, b)[2] < 1e-8 for a, b in systems]
        assert {np.linalg.matrix_rank(a) for a, _ in systems} >= {0, 1, 2, 3}
        assert max(max(a.shape) for a, _ in systems) == 6 and all(len(b) == len(a) for a, b in systems)
        assert all(solved) if not generic else 0 < sum(solved) < 60


def test_descents_put_both_methods_side_by_side(draw):
    features, targets = draw.standard_normal((2, 8, 3)), draw.standard_normal((2, 8, 1))
    orders = np.stack([[draw.permutation(8) for _ in range(5)] for _ in range(2)])
    found = ls.descents(features, targets, orders, batch=2)
    assert found["sgd_loss"].shape == found["gd_excess"].shape == (2, 6)
    np.testing.assert_allclose(found["gd_excess_steps"][:, 1], found["gd_excess"][:, 4])  # an epoch is four steps
    start = (targets**2).mean(1)[:, 0]
    np.testing.assert_allclose(found["sgd_loss"][:, 0], start)
    np.testing.assert_allclose(found["gd_excess"][:, 0] + found["least_loss"], start)
