"""Frames whose angles, norms and potentials are known in closed form."""

import math

import pytest
import torch

from redlib.errors import BadInput
from redlib.measures import simplex


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(1000)


def normal(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize(("classes", "dim"), [(2, 1), (3, 2), (10, 9), (10, 40)])
def test_the_simplex_has_the_gram_matrix_of_its_definition(classes, dim):
    vectors = simplex.simplex_etf(classes, dim)
    centring = torch.eye(classes, dtype=torch.float64) - 1 / classes
    torch.testing.assert_close(vectors @ vectors.T, classes / (classes - 1) * centring, atol=1e-14, rtol=0)
    assert vectors.shape == (classes, dim) and vectors.sum(0).abs().max() < 1e-14


@pytest.mark.parametrize("prime", [5, 13, 29])
def test_paley_frames_reach_the_welch_bound_and_are_tight(prime):
    vectors = simplex.paley_etf(prime)
    count, dim = vectors.shape
    assert (count, dim) == (prime + 1, (prime + 1) // 2)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count, dtype=torch.float64))
    identity = torch.eye(dim, dtype=torch.float64)
    torch.testing.assert_close(vectors.T @ vectors, count / dim * identity, atol=1e-12, rtol=0)
    pairs = simplex.cosines(vectors).abs()
    assert simplex.welch_bound(count, dim) == pytest.approx(1 / math.sqrt(prime))
    torch.testing.assert_close(pairs, torch.full_like(pairs, 1 / math.sqrt(prime)))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_simplex_reaches_both_bounds_in_one_dimension_less(classes):
    vectors = simplex.simplex_etf(classes, classes - 1)
    potential = classes**2 / (classes - 1)
    assert simplex.frame_potential(vectors) == pytest.approx([potential])
    assert simplex.least_frame_potential(classes, classes - 1) == pytest.approx(potential)
    assert simplex.coherence(vectors) == pytest.approx([1 / (classes - 1)])
    assert simplex.welch_bound(classes, classes - 1) == pytest.approx(1 / (classes - 1))
    assert simplex.equinorm(vectors) == pytest.approx([0], abs=1e-14)
    assert simplex.equiangularity(vectors) == pytest.approx([0], abs=1e-14)


def test_no_vectors_go_below_the_bounds_and_only_etfs_reach_both(draw):
    vectors = normal(draw, 200, 7, 3)
    potentials, coherences = simplex.frame_potential(vectors), simplex.coherence(vectors)
    assert (potentials > simplex.least_frame_potential(7, 3)).all()
    assert (coherences > simplex.welch_bound(7, 3)).all()
    cross = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])  # tight, not equiangular
    assert simplex.frame_potential(cross) == pytest.approx([simplex.least_frame_potential(4, 2)])
    assert simplex.coherence(cross) == pytest.approx([1])


def test_orthonormal_vectors_have_the_least_potential_when_they_fit():
    vectors = torch.eye(6)[:4]
    assert simplex.frame_potential(vectors) == pytest.approx([4]) == [simplex.least_frame_potential(4, 6)]
    assert simplex.coherence(vectors).tolist() == [0] and simplex.welch_bound(4, 6) == 0
    assert simplex.equiangularity(vectors) == pytest.approx([1 / 3])  # |0 + 1/(N-1)|


def test_random_directions_have_the_potential_of_the_formula(draw):
    potentials = simplex.frame_potential(normal(draw, 2000, 12, 8))
    error = float(potentials.std()) / 2000**0.5
    assert float(potentials.mean()) == pytest.approx(12 + 12 * 11 / 8, abs=4 * error) and error < 0.1


def test_norms_vary_by_the_population_deviation():
    vectors = torch.tensor([[1.0, 0], [0, -1], [4, 0]])  # mean 2, squared deviations 1, 1, 4
    assert simplex.equinorm(vectors) == pytest.approx([math.sqrt(2) / 2])


def test_cosines_come_in_the_order_of_the_pairs_whatever_the_norms():
    vectors = torch.tensor([[2.0, 0], [0, 3], [-5, 5]])
    assert simplex.cosines(vectors)[0].tolist() == pytest.approx([0, -math.sqrt(0.5), math.sqrt(0.5)])
    angles = [0.5, 0.5 - math.sqrt(0.5), 0.5 + math.sqrt(0.5)]
    assert simplex.equiangularity(vectors) == pytest.approx([sum(abs(a) for a in angles) / 3])


@pytest.mark.parametrize("measure", [simplex.equinorm, simplex.equiangularity, simplex.coherence])
def test_a_stack_is_measured_one_by_one(draw, measure):
    vectors = normal(draw, 4, 6, 5)
    torch.testing.assert_close(measure(vectors), torch.cat([measure(v) for v in vectors]), atol=1e-14, rtol=0)


def test_a_zero_vector_has_no_angle(draw):
    vectors = normal(draw, 2, 4, 5)
    vectors[1, 2] = 0
    for measure in (simplex.equiangularity, simplex.coherence, simplex.frame_potential):
        assert measure(vectors).isnan().tolist() == [False, True]
    assert simplex.equinorm(torch.zeros(3, 2)).isnan().all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: simplex.simplex_etf(1, 3), "classes = 1"),
        (lambda: simplex.simplex_etf(4, 2), "dim = 2"),
        (lambda: simplex.paley_etf(7), "prime = 7"),
        (lambda: simplex.paley_etf(9), "prime = 9"),
        (lambda: simplex.paley_etf(25), "prime = 25"),
        (lambda: simplex.welch_bound(1, 3), "count and dim"),
        (lambda: simplex.least_frame_potential(3, 0), "count and dim"),
        (lambda: simplex.cosines(torch.ones(1, 3)), "vectors"),
        (lambda: simplex.frame_potential(torch.ones(3)), "vectors"),
        (lambda: simplex.equinorm(torch.ones(3, 3, dtype=torch.int64)), "vectors"),
        (lambda: simplex.coherence(torch.tensor([[1.0], [math.nan]])), "nan or inf"),
        (lambda: simplex.cosines(torch.tensor([[1.0], [math.nan]])), "nan or inf"),
        (lambda: simplex.equinorm(torch.nn.Conv1d(25, 30, 3).weight), "parameter"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


def test_class_means_of_pure_noise_are_as_far_from_a_simplex_as_theory_says_of_many_dimensions():
    norms, angles = simplex.of_noise(50, 256)
    assert norms == pytest.approx((2 * 256) ** -0.5, rel=0.03)
    assert angles == pytest.approx((2 / (math.pi * 256)) ** 0.5 * (1 - 1 / 49**2), rel=0.01)
    with pytest.raises(BadInput, match="count"):
        simplex.of_noise(1, 256)
