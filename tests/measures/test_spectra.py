"""Spectra against closed forms, quadrature and simulated noise; ranks, low-rank updates and their errors."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.linalg import eigvalsh_tridiagonal

from redlib.errors import BadInput
from redlib.measures import spectra as sp


@pytest.fixture
def draw():
    return np.random.default_rng(1000)


def noise(draw, *shape):
    return torch.from_numpy(draw.standard_normal(shape))


def with_spikes(draw, n, m, strengths):
    """[n, m] noise of variance 1 plus √n·θ·u·vᵀ for each strength θ, u and v orthonormal."""
    k = len(strengths)
    u, v = (torch.linalg.qr(noise(draw, side, k)).Q for side in (n, m))
    return noise(draw, n, m) + n**0.5 * (u * torch.tensor(strengths).double()) @ v.T


def rotated(draw, singular, n):
    """An [n, m] matrix with the given m singular values and uniformly random singular vectors."""
    u, v = (torch.linalg.qr(noise(draw, side, len(singular))).Q for side in (n, len(singular)))
    return (u * torch.as_tensor(singular).double()) @ v.T


def noise_spectra(draw, n, m, count, largest=False):
    """Exact draws of the eigenvalues of n × m Gaussian noise over n, from its bidiagonal form (Dumitriu & Edelman)."""
    diagonal = np.sqrt(draw.chisquare(n - np.arange(m), (count, m)))
    below = np.sqrt(draw.chisquare(m - 1 - np.arange(m - 1), (count, m - 1)))
    main, side = diagonal**2, diagonal[:, :-1] * below
    main[:, 1:] += below**2
    which = {"select": "i", "select_range": (m - 1, m - 1)} if largest else {}
    return np.array([eigvalsh_tridiagonal(a, b, **which) for a, b in zip(main, side, strict=True)]) / n


# Spectra and ranks


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25)])
def test_the_spectrum_is_that_of_the_normalised_gram_matrix(draw, shape):
    weight = noise(draw, 3, *shape)
    found = sp.esd(weight, replicates=True)
    n, m = max(shape), min(shape)
    gram = (weight if shape[0] >= shape[1] else weight.mT).numpy()
    expected = np.linalg.eigvalsh(gram.swapaxes(1, 2) @ gram / n)[:, ::-1]
    assert found.shape == (3, m) and found.dtype == np.float64
    assert found == pytest.approx(expected, rel=1e-9)
    assert found.mean(1) == pytest.approx(weight.square().sum((1, 2)).numpy() / (n * m))
    assert sp.esd(weight[1])[0] == pytest.approx(found[1], rel=1e-9)
    assert sp.esd(weight.float(), replicates=True) == pytest.approx(found, rel=1e-4)


def test_kernels_are_what_multiplies_unfolded_patches(draw):
    kernels = noise(draw, 2, 8, 3, 5, 5)
    assert np.array_equal(sp.esd(kernels, True), sp.esd(kernels.reshape(2, 8, 75), True))
    assert np.array_equal(sp.esd(kernels[0], False), sp.esd(kernels[:1], True))
    patches = torch.nn.functional.unfold(noise(draw, 1, 3, 5, 5), 5)
    image = patches.reshape(1, 3, 5, 5)
    outputs = (kernels[0] * image).sum((1, 2, 3))
    torch.testing.assert_close(sp.as_matrices(kernels, replicates=True)[0] @ patches.flatten(), outputs)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_k_equal_singular_values_have_rank_k_in_every_sense(draw, k):
    weight = rotated(draw, [0.3] * k + [0.0] * (20 - k), 40)
    assert sp.stable_rank(weight) == pytest.approx([k], rel=1e-10)
    assert sp.effective_rank(weight) == pytest.approx([k], rel=1e-10)
    assert sp.numerical_rank(weight).tolist() == [k]
    assert sp.numerical_rank(weight.float()).tolist() == [k]  # rounding of float32 makes no rank of its own


def test_ranks_of_known_singular_values(draw):
    stack = torch.stack([rotated(draw, s, 6) for s in ([4.0, 2, 2], [1, 1, 1e-3], [1, 0, 0])])
    assert sp.stable_rank(stack, True) == pytest.approx([1.5, 2, 1], abs=1e-5)
    assert sp.effective_rank(stack, True)[0] == pytest.approx(math.exp(1.5 * math.log(2)))  # entropy of 1/2, 1/4, 1/4
    assert sp.effective_rank(stack, True)[2] == pytest.approx(1)
    assert sp.numerical_rank(stack, True).tolist() == [3, 3, 1]
    assert sp.effective_rank(torch.diag(torch.tensor([1.0, 0, 0])))[0] == 1  # exact zeros


def test_ranks_of_a_spectrum_are_those_of_the_weights(draw):
    weight = noise(draw, 3, 9, 7)
    found = sp.ranks_of(sp.esd(weight, True))
    assert found["stable_rank"] == pytest.approx(sp.stable_rank(weight, True), rel=1e-12)
    assert found["effective_rank"] == pytest.approx(sp.effective_rank(weight, True), rel=1e-12)
    known = sp.ranks_of([16.0, 4, 4, 0])  # singular values 4, 2, 2, 0
    assert known["stable_rank"] == [1.5] and known["effective_rank"] == pytest.approx(2**1.5)
    with pytest.raises(BadInput, match="eigenvalues"):
        sp.ranks_of([-1.0, 1])


# Marchenko–Pastur


@pytest.mark.parametrize("aspect", [1, 1.001, 2, 1 / 0.3, 10, 1e4])
def test_the_density_has_the_known_moments_and_distribution_function(aspect):
    low, high = sp.mp_edges(aspect, 2.5)
    c = 1 / aspect
    assert low == pytest.approx(2.5 * (1 - c**0.5) ** 2, abs=1e-15) and high == pytest.approx(2.5 * (1 + c**0.5) ** 2)
    half = (high - low) / 2

    def integral(power, to=np.pi):  # the substitution takes the roots away
        def part(t):
            x = low + 2 * half * np.sin(t / 2) ** 2
            return x**power * sp.mp_pdf(x, aspect, 2.5) * half * np.sin(t)

        return quad(part, 0, to, epsabs=1e-12, limit=200)[0]

    assert [integral(0), integral(1), integral(2)] == pytest.approx([1, 2.5, 6.25 * (1 + c)], rel=1e-9)
    angles = np.array([1e-3, 0.1, 0.5, 1, 2, 3, 3.1])
    at = low + 2 * half * np.sin(angles / 2) ** 2
    assert sp.mp_cdf(at, aspect, 2.5) == pytest.approx([integral(0, t) for t in angles], abs=1e-10)
    assert sp.mp_cdf([low - 1, low, high, high + 1], aspect, 2.5) == pytest.approx([0, 0, 1, 1], abs=1e-12)
    assert sp.mp_pdf([low - 1, -1, 0, high + 1], aspect, 2.5).tolist() == [0] * 4
    levels = np.linspace(0, 1, 11)
    assert sp.mp_cdf(sp.mp_quantile(levels, aspect, 2.5), aspect, 2.5) == pytest.approx(levels, abs=1e-11)


def test_the_distribution_function_has_the_closed_form_of_square_matrices():
    x = np.linspace(0, 4, 9)  # of squares of a quarter circle of radius 2
    expected = (2 * np.arcsin(np.sqrt(x) / 2) + np.sqrt(x) / 2 * np.sqrt(4 - x)) / np.pi
    assert sp.mp_cdf(x, 1) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("c", "median"), [(1, 0.65278), (0.3, 0.89903), (0.1, 0.96657)])
def test_the_medians_are_those_of_the_note(c, median):
    assert float(sp.mp_quantile(0.5, 1 / c)) == pytest.approx(median, abs=5e-6)
    assert float(sp.mp_quantile(0.5, 1 / c, 3)) == pytest.approx(3 * median, abs=2e-5)


def test_arguments_of_the_law_broadcast():
    aspects, variances = np.array([[1.0], [2.0]]), np.array([0.5, 1, 2])
    for law in (sp.mp_pdf, sp.mp_cdf, sp.mp_quantile, sp.spike_location):
        table = law(0.4, aspects, variances)
        assert table.shape == (2, 3)
        assert table[1, 2] == pytest.approx(float(law(0.4, 2, 2)), rel=1e-12)


def test_noise_follows_the_law_far_closer_than_independent_draws_would(draw):
    spectra = noise_spectra(draw, 1000, 300, 200)
    known, fitted = sp.mp_distance(spectra, 1000 / 300), sp.fit_bulk(spectra, 1000).distance
    assert np.quantile(known, 0.95) == pytest.approx(0.012, abs=0.001)
    assert np.quantile(fitted, 0.95) == pytest.approx(0.013, abs=0.001)
    assert np.quantile(fitted, 0.95) < 1.36 / 300**0.5 / 5
    direct = np.array([sp.esd(noise(draw, 1000, 300))[0] for _ in range(3)])
    assert sp.fit_bulk(direct, 1000).distance.max() < 0.02  # the same law by another way


def test_the_distance_is_that_of_a_search_on_both_sides_of_each_step(draw):
    values = draw.uniform(0.3, 2, (3, 7))
    found = sp.mp_distance(values, [1, 2, 4], [1, 1, 1.2])
    for r, (q, s) in enumerate([(1, 1), (2, 1), (4, 1.2)]):
        fine = np.concatenate([values[r] - 1e-12, values[r] + 1e-12])
        steps = (values[r] <= fine[:, None]).mean(1)
        assert found[r] == pytest.approx(np.abs(steps - sp.mp_cdf(fine, q, s)).max(), abs=1e-9)


# The bulk and its spikes


def test_the_median_is_not_moved_by_spikes_that_move_the_mean(draw):
    spectrum = sp.esd(with_spikes(draw, 1000, 300, [2.5] * 10))
    assert spectrum.mean() == pytest.approx(1.21, abs=0.01)
    assert sp.median_variance(spectrum, 1000 / 300) == pytest.approx([1.03], abs=0.01)
    bulk = sp.fit_bulk(spectrum, 1000)
    assert bulk.spikes.tolist() == [10]
    assert bulk.variance == pytest.approx([1], abs=0.012)  # without the spikes even that is gone
    assert bulk.distance < 0.02


def test_bulks_of_a_stack_are_those_of_each_and_scale(draw):
    spectra = np.stack([sp.esd(with_spikes(draw, 120, 80, [3.0] * k))[0] for k in (0, 3, 30)])
    together = sp.fit_bulk(spectra, 120)
    assert together.spikes.tolist() == [0, 3, 30]
    for r in range(3):
        alone, scaled = sp.fit_bulk(spectra[r], 120), sp.fit_bulk(7 * spectra[r, ::-1], 120)
        for name in ("variance", "spikes", "edge", "distance"):
            assert getattr(alone, name) == pytest.approx(getattr(together, name)[r : r + 1], rel=1e-12)
        assert scaled.variance == pytest.approx(7 * alone.variance) and scaled.spikes == alone.spikes
        assert scaled.distance == pytest.approx(alone.distance)


def test_zeros_end_in_no_division_by_zero():
    for zeros in (10, 30, 39):
        bulk = sp.fit_bulk(np.r_[np.zeros(zeros), np.linspace(0.5, 2, 40 - zeros)], 60)
        assert np.isfinite([bulk.variance, bulk.edge, bulk.distance]).all() and bulk.distance > 0.2
        assert 0 <= bulk.spikes[0] <= 20


# Tracy–Widom


def test_the_tracy_widom_law_has_its_published_quantiles_and_moments():
    levels = [0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99]  # Johnstone 2001, table 1
    at = [-3.9, -3.18, -2.78, -1.91, -1.27, -0.59, 0.45, 0.98, 2.02]
    assert sp.tracy_widom_cdf(at) == pytest.approx(levels, abs=0.005)
    assert [sp.tracy_widom_quantile(p) for p in (0.9, 0.95, 0.99)] == pytest.approx([0.4501, 0.9793, 2.0234], abs=6e-5)
    x, step = np.linspace(-10, 12, 221, retstep=True)
    law = sp.tracy_widom_cdf(x)
    assert (np.diff(law) > -1e-12).all() and law[[0, -1]] == pytest.approx([0, 1], abs=1e-12)
    mean = 12 - np.trapezoid(law, dx=step)  # exact to all orders, as F₁ is flat at both ends
    square = 144 - np.trapezoid(2 * x * law, dx=step) + step**2 / 12 * 2
    assert [mean, square - mean**2] == pytest.approx([-1.2065335745820, 1.607781034581], abs=1e-9)  # Bornemann 2010


def test_the_edge_of_the_note():
    assert float(sp.tracy_widom_edge(1000, 300)) == pytest.approx(2.438, abs=5e-4)
    assert float(sp.mp_edges(1000 / 300)[1]) == pytest.approx(2.395, abs=5e-4)
    assert float(sp.tracy_widom_edge(1000, 300, 3.0)) == pytest.approx(3 * 2.438, abs=2e-3)


@pytest.mark.parametrize("level", [0.9, 0.99])
@pytest.mark.parametrize(("n", "m"), [(1000, 300), (100, 100), (784, 100)])
def test_noise_goes_beyond_the_edge_as_often_as_it_says(draw, n, m, level):
    largest = noise_spectra(draw, n, m, 1000, largest=True)
    share = float((largest > sp.tracy_widom_edge(n, m, 1, level)).mean())
    assert share == pytest.approx(1 - level, abs=4 * (level * (1 - level) / 1000) ** 0.5)


# Spikes (BBP)


@pytest.mark.parametrize("strength", [0.4, 0.65, 0.9, 1.2, 2.5])
@pytest.mark.parametrize(("n", "m"), [(1000, 300), (500, 500)])
def test_a_spike_leaves_the_bulk_where_it_should(draw, n, m, strength):
    c = m / n
    spectrum = sp.esd(with_spikes(draw, n, m, [strength]))[0]
    predicted = float(sp.spike_location(strength, n / m))
    fluctuation = float(sp.tracy_widom_edge(n, m)) - float(sp.mp_edges(n / m)[1])
    assert spectrum[0] == pytest.approx(predicted, abs=max(0.06 * predicted, 3 * fluctuation))
    assert float(sp.spike_threshold(n / m)) == pytest.approx(c**0.25)
    if strength > c**0.25:
        assert predicted == pytest.approx((1 + strength**2) * (c + strength**2) / strength**2)
        assert float(sp.spike_strength(predicted, n / m)) == pytest.approx(strength)
    else:
        assert predicted == pytest.approx((1 + c**0.5) ** 2)
    assert (spectrum[0] > sp.tracy_widom_edge(n, m)) == (strength > c**0.25 + 0.1)


def test_spikes_scale_with_the_noise_and_equal_those_of_spiked_covariances():
    for strength in (0.1, 0.8, 3):
        scaled = sp.spike_location(1.7 * strength, 3, 1.7**2)
        assert scaled == pytest.approx(1.7**2 * sp.spike_location(strength, 3))
    population = 1 + 0.8**2  # Baik & Silverstein 2006: ℓ(1 + c/(ℓ-1)) for ℓ > 1 + √c
    assert sp.spike_location(0.8, 3) == pytest.approx(population * (1 + 1 / 3 / (population - 1)))
    assert sp.spike_threshold(3, 4) == pytest.approx(2 * 3**-0.25)
    assert sp.spike_location(sp.spike_threshold(3, 4), 3, 4) == pytest.approx(sp.mp_edges(3, 4)[1])
    assert np.isnan(sp.spike_strength([0, 1, 2.4], 3)).all()


# Low-rank updates


def test_the_top_k_update_is_the_best_of_its_rank(draw):
    start, weight = noise(draw, 2, 30, 20), noise(draw, 2, 30, 20)
    singular = np.linalg.svd((weight - start).numpy())[1]
    for k in (0, 1, 7, 20):
        kept = sp.top_k(weight, start, k, replicates=True)
        assert torch.linalg.matrix_rank(kept - start).tolist() == [k, k]
        found = sp.residual_norms(weight, start, kept, replicates=True)
        expected = singular[:, k] if k < 20 else np.zeros(2)
        assert found["residual"] == pytest.approx(expected, abs=1e-12)
        assert found["over_update"] == pytest.approx(expected / singular[:, 0], abs=1e-12)
        assert found["over_start"] == pytest.approx(expected / np.linalg.norm(start.numpy(), 2, (1, 2)), abs=1e-12)
        left = np.linalg.svd((weight - start).numpy())[0][:, :, :k]
        projected = left @ left.swapaxes(1, 2) @ (weight - start).numpy()  # the top left singular vectors
        assert (kept - start).numpy() == pytest.approx(projected, abs=1e-12)
        torch.testing.assert_close(sp.top_k(weight[1], start[1], k), kept[1])
    assert torch.equal(sp.top_k(weight, start, 0, replicates=True), start)
    assert torch.equal(sp.random_k(weight, start, 0, [0, 1], replicates=True), start)
    torch.testing.assert_close(sp.top_k(weight, start, 20, replicates=True), weight)


def test_updates_keep_shape_and_dtype(draw):
    weight, start = noise(draw, 6, 4, 3, 3).float(), noise(draw, 6, 4, 3, 3).float()
    for kept in (sp.top_k(weight, start, 2, False), sp.random_k(weight, start, 2, [0], replicates=False)):
        assert kept.shape == weight.shape and kept.dtype == torch.float32
        assert torch.linalg.matrix_rank((kept - start).flatten(1), rtol=1e-5) == 2
    trained = weight.requires_grad_()
    assert not sp.top_k(trained, start, 2, False).requires_grad


def test_a_random_update_is_a_projection_that_keeps_its_share(draw):
    start, weight = noise(draw, 40, 30, 20), noise(draw, 40, 30, 20)
    seeds = range(1000, 1040)
    update = weight - start
    kept = sp.random_k(weight, start, 6, seeds, replicates=True) - start
    assert torch.linalg.matrix_rank(kept, rtol=1e-9).tolist() == [6] * 40
    torch.testing.assert_close((kept * (update - kept)).sum((1, 2)), torch.zeros(40).double(), atol=1e-9, rtol=0)
    share = kept.square().sum((1, 2)) / update.square().sum((1, 2))
    assert float(share.mean()) == pytest.approx(6 / 30, abs=0.01)
    again = (
        sp.random_k(weight, start + kept, 6, seeds, replicates=True) - start - kept
    )  # what is left has nothing in the subspace
    assert float(again.abs().max()) < 1e-12
    more = sp.random_k(weight, start, 9, seeds, replicates=True) - start
    assert ((update - more).norm(dim=(1, 2)) < (update - kept).norm(dim=(1, 2))).all()
    wider = sp.random_k(start + kept, start, 9, seeds, replicates=True) - start  # 9 dimensions contain the 6
    torch.testing.assert_close(wider, kept)


def test_random_subspaces_depend_on_seed_and_key_alone(draw):
    start, weight = noise(draw, 3, 12, 8), noise(draw, 3, 12, 8)
    together = sp.random_k(weight, start, 3, [1000, 1001, 1002], key=2, replicates=True)
    for r in range(3):
        torch.testing.assert_close(sp.random_k(weight[r], start[r], 3, [1000 + r], key=2), together[r])
    for seed, key in ((1001, 2), (1000, 3)):
        assert not torch.allclose(sp.random_k(weight[0], start[0], 3, [seed], key), together[0])


def test_ratios_to_nothing_are_nan(draw):
    weight = noise(draw, 5, 4)
    found = sp.residual_norms(weight, weight, weight)
    assert found["residual"] == [0] and np.isnan(found["over_update"]).all() and found["over_start"] == [0]
    assert np.isnan(sp.residual_norms(weight, 0 * weight, weight)["over_start"]).all()


# Bad input


W, L = torch.ones(4, 3), [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: sp.esd(W[0]), "weight"),
        (lambda: sp.esd(W[:, :0]), "weight"),
        (lambda: sp.esd(W.long()), "weight"),
        (lambda: sp.esd(W[None, None, None, None, None]), "weight"),
        (lambda: sp.esd(W * math.nan), "weight = 'nan or inf'"),
        (lambda: sp.stable_rank(W * math.inf), "weight = 'nan or inf'"),
        (lambda: sp.effective_rank(torch.stack([W, 0 * W]), True), "weight of replicate 1 = 0"),
        (lambda: sp.numerical_rank(0 * W), "weight of replicate 0 = 0"),
        (lambda: sp.mp_cdf(1, 0.3), "aspect = 0.3 .* pass 1/aspect"),
        (lambda: sp.mp_pdf(1, math.nan), "aspect"),
        (lambda: sp.mp_edges(2, 0), "variance = 0"),
        (lambda: sp.mp_quantile(1.5, 2), "p = 1.5"),
        (lambda: sp.mp_distance([1, math.nan], 2), "eigenvalues = 'nan or inf'"),
        (lambda: sp.mp_distance([[[1]]], 2), "eigenvalues"),
        (lambda: sp.median_variance([-1, 1], 2), "eigenvalues"),
        (lambda: sp.median_variance(L, 0.5), "aspect = 0.5"),
        (lambda: sp.fit_bulk(L, 2), "larger = 2 .* >= 3"),
        (lambda: sp.fit_bulk([1], 5), "M >= 2"),
        (lambda: sp.fit_bulk(L, 5, 1.0), "level = 1.0"),
        (lambda: sp.tracy_widom_edge(3, 4), "larger and smaller"),
        (lambda: sp.spike_location(-1, 2), "strength = -1"),
        (lambda: sp.spike_threshold(0.5), "aspect = 0.5"),
        (lambda: sp.top_k(W, W.T, 1), "shapes of weight and start"),
        (lambda: sp.top_k(W, W, 4), "k = 4 .* 0 <= k <= 3"),
        (lambda: sp.top_k(W, W, -1), "k = -1"),
        (lambda: sp.top_k(W, W * math.nan, 1), "nan or inf"),
        (lambda: sp.random_k(W, W, 1, [0, 1]), "number of seeds = 2"),
        (lambda: sp.residual_norms(W, W, W[:2]), "shapes of weight and start"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


def test_the_law_of_singular_values_is_a_density_within_its_edges():
    values = np.random.default_rng(0).standard_normal((2, 60, 120))
    singular = np.linalg.svd(values, compute_uv=False) / np.sqrt(120)
    x, density = sp.mp_singular_law(2.0)
    assert np.trapezoid(density, x) == pytest.approx(1, abs=5e-3)
    assert x[0] == pytest.approx(1 - 0.5**0.5, abs=0.02) and x[-1] == pytest.approx(1 + 0.5**0.5, abs=0.02)
    heights = np.histogram(singular, np.linspace(0.2, 1.8, 9), density=True)[0]
    assert np.allclose(np.interp(np.linspace(0.3, 1.7, 8), x, density, 0, 0), heights, atol=0.25)
    assert np.allclose(sp.mp_singular_law(2.0, 4.0)[0], 2 * x)


# Shapes that mean two things


def pooled(blocks):
    """Singular values of a block-diagonal matrix, largest first."""
    return np.sort(np.concatenate([np.linalg.svd(b, compute_uv=False) for b in blocks]))[::-1]


CONVOLUTIONS = {
    "linear": (lambda: torch.nn.Linear(9, 6), 1),
    "conv1d": (lambda: torch.nn.Conv1d(25, 30, 3), 1),
    "conv2d": (lambda: torch.nn.Conv2d(4, 6, 3), 1),
    "conv3d": (lambda: torch.nn.Conv3d(2, 5, 2), 1),
    "grouped": (lambda: torch.nn.Conv2d(4, 6, 3, groups=2), 2),
    "depthwise": (lambda: torch.nn.Conv2d(5, 5, 3, groups=5), 5),
    "transposed": (lambda: torch.nn.ConvTranspose2d(4, 3, 2), 1),
    "transposed, grouped": (lambda: torch.nn.ConvTranspose1d(6, 4, 3, groups=2), 2),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_layer_its_parameter_and_its_stacked_weight_have_the_spectrum_of_the_matrix_of_each_group(kind):
    torch.manual_seed(0)
    make, groups = CONVOLUTIONS[kind]
    layer = make()
    weight = layer.weight.detach().double().numpy()
    blocks = weight.reshape(groups, len(weight) // groups, -1)  # as stored: rows are what the channels are divided by
    singular, larger = pooled(blocks), max(blocks.shape[1:])
    ways = {
        "layer": ((layer,), {}),
        "replicates": (([layer, make()],), {}),
        "parameter": ((layer.weight,), {"groups": groups}),
        "tensor": ((layer.weight.detach(),), {"replicates": False, "groups": groups}),
        "weights_of": ((layer.weight.detach()[None],), {"replicates": True, "groups": groups}),
    }
    for name, (args, options) in ways.items():
        found = sp.esd(*args, **options)
        assert found.shape == (1 + (name == "replicates"), len(singular))
        assert found[0] == pytest.approx(singular**2 / larger, abs=1e-12), name
        assert sp.stable_rank(*args, **options)[0] == pytest.approx((singular**2).sum() / singular[0] ** 2)
        assert sp.numerical_rank(*args, **options)[0] == len(singular)


@pytest.mark.parametrize("layer", [torch.nn.Conv1d(25, 30, 3), torch.nn.Conv2d(4, 6, 3), torch.nn.Conv3d(2, 5, 2)])
def test_a_tensor_whose_shape_means_two_things_is_refused_until_told(layer):
    weight = layer.weight.detach()
    calls = [sp.esd, sp.stable_rank, sp.effective_rank, sp.numerical_rank, sp.as_matrices]
    calls += [lambda w, **o: sp.top_k(w, 0 * w, 1, **o), lambda w, **o: sp.residual_norms(w, w, w, **o)]
    for call in calls:
        with pytest.raises(BadInput, match="replicates of a weight"):
            call(weight)
        call(weight, replicates=False)
    assert len(sp.esd(weight[None], replicates=True)) == 1
    with pytest.raises(BadInput, match="shape of weight"):
        sp.esd(torch.ones(3, 4), replicates=True)


def test_an_orthogonal_depthwise_convolution_has_one_eigenvalue_a_channel():
    layer = torch.nn.Conv2d(7, 7, 3, groups=7)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(9)[:7].view(7, 1, 3, 3))
    assert sp.stable_rank(layer) == pytest.approx([7]) and sp.esd(layer).tolist() == [pytest.approx([1 / 9] * 7)]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: sp.esd(torch.nn.LSTM(3, 2)), "'LSTM'"),
        (lambda: sp.esd([torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)]), "layers of one kind"),
        (lambda: sp.esd(torch.nn.Linear(3, 2), replicates=True), "replicates = True"),
        (lambda: sp.esd([]), "weight"),
        (lambda: sp.esd(torch.ones(5, 3), groups=2), "groups = 2 .* divisor of 5"),
        (lambda: sp.as_matrices(torch.nn.Conv1d(4, 4, 3, groups=2)), "groups = 2"),
    ],
)
def test_modules_that_have_no_one_matrix_are_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


def test_the_density_of_the_law_at_nan_is_no_number():
    assert np.isnan(sp.mp_pdf([np.nan, 1.0], 2)).tolist() == [True, False]
