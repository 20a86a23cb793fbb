"""Power-law fits against known laws and brute force; phases of matrices built to be in them."""

import math
import time

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

from redlib.errors import BadInput
from redlib.measures import powerlaws as pl
from redlib.measures.spectra import esd, fit_bulk


@pytest.fixture
def draw():
    return np.random.default_rng(1000)


def noise(draw, *shape):
    return torch.from_numpy(draw.standard_normal(shape))


def quantiles(count):
    return (np.arange(count) + 0.5) / count


def pareto(alpha, count):
    return (1 - quantiles(count)) ** (-1 / (alpha - 1))


# Fits


def test_the_law_of_the_note_has_the_alpha_of_the_note(draw):
    exact = pl.fit_power_law(pareto(2.5, 1000))
    assert exact.alpha == pytest.approx([2.5], abs=0.02) and exact.tail[0] > 900
    drawn = pl.fit_power_law((1 - draw.random((50, 1000))) ** (-1 / 1.5))
    assert drawn.alpha.mean() == pytest.approx(2.5, abs=0.05)
    assert exact.error == pytest.approx((exact.alpha - 1) / np.sqrt(exact.tail))


def test_the_error_is_the_spread_of_alpha(draw):
    values = (1 - draw.random((400, 100))) ** (-1 / 1.5)
    fit = pl.fit_power_law(values, least=100)  # x_min is the smallest value, without a search
    assert fit.tail.tolist() == [100] * 400
    assert fit.alpha.std() == pytest.approx(fit.error.mean(), rel=0.15)


def test_the_tail_begins_where_the_law_does(draw):
    body, tail = draw.uniform(0.2, 1, (20, 300)), (1 - draw.random((20, 300))) ** (-1 / 1.5)
    fit = pl.fit_power_law(np.concatenate([body, tail], 1))
    assert np.median(fit.xmin) == pytest.approx(1, abs=0.15)
    assert fit.alpha.mean() == pytest.approx(2.5, abs=0.15)


@pytest.mark.parametrize("least", [2, 10, 25])
def test_a_fit_is_that_of_a_search_over_all_tails(draw, least):
    values = draw.lognormal(size=60)
    best = (math.inf, 0.0, 0.0, 0)
    for xmin in np.sort(values)[: 61 - least]:
        tail = np.sort(values[values >= xmin])
        alpha = 1 + len(tail) / np.log(tail / xmin).sum()
        distance = np.abs(1 - (tail / xmin) ** (1 - alpha) - np.arange(len(tail)) / len(tail)).max()
        best = min(best, (distance, alpha, xmin, len(tail)))
    fit = pl.fit_power_law(values, least)
    assert [fit.distance[0], fit.alpha[0], fit.xmin[0], fit.tail[0]] == pytest.approx(best, rel=1e-10)


def test_stacks_scales_orders_and_zeros_change_nothing(draw):
    values = draw.lognormal(size=(3, 80))
    together = pl.fit_power_law(values)
    with_zeros = np.concatenate([np.zeros((3, 4)), 7 * values[:, ::-1]], 1)
    other = pl.fit_power_law(with_zeros)
    for name in ("alpha", "tail", "distance"):
        assert getattr(other, name) == pytest.approx(getattr(together, name), rel=1e-10)
    assert other.xmin == pytest.approx(7 * together.xmin)
    ratios = pl.compare(values, together)
    for r in range(3):
        alone = pl.fit_power_law(values[r])
        assert alone.alpha[0] == together.alpha[r] and alone.tail[0] == together.tail[r]
        for name, ratio in pl.compare(values[r], alone).items():
            assert ratio.total[0] == ratios[name].total[r] and ratio.z[0] == ratios[name].z[r]


def test_values_that_do_not_differ_have_no_tail():
    values = np.stack([np.full(60, 0.7), pareto(2.5, 60)])
    fit = pl.fit_power_law(values)
    assert np.isinf(fit.alpha).tolist() == [True, False]
    assert all(np.isnan(ratio.z).tolist() == [True, False] for ratio in pl.compare(values, fit).values())


# Rivals


def laws(count):
    """Quantiles of a power law, an exponential, a lognormal and a power law times e^(-x/10), all above 1."""
    u = quantiles(count)
    grid = np.geomspace(1, 300, 20001)
    mass = np.cumsum(grid**-1.5 * np.exp(-grid / 10) * np.gradient(grid))
    cut = norm.ppf(norm.cdf(-1) + u * norm.sf(-1))
    return {
        "power": pareto(2.5, count),
        "exponential": 1 - np.log1p(-u),
        "lognormal": np.exp(0.5 * (cut + 1)),
        "truncated": np.interp(u, mass / mass[-1], grid),
    }


def test_every_law_is_told_from_the_power_law():
    values = np.stack(list(laws(1000).values()))
    fit = pl.fit_power_law(values, least=1000)
    ratios = pl.compare(values, fit)
    signs = {name: [int(np.sign(z) * (p < 0.1)) for z, p in zip(r.z, r.p, strict=True)] for name, r in ratios.items()}
    assert signs["exponential"] == [1, -1, -1, 1] and signs["lognormal"] == [0, -1, -1, -1]
    assert signs["truncated"] == [0, -1, -1, -1]
    assert np.array_equal(pl.against_exponential(values, fit).z, ratios["exponential"].z)


@pytest.mark.parametrize("law", ["power", "exponential", "lognormal", "truncated"])
def test_rivals_have_the_largest_likelihood_that_a_search_finds(law):
    values = laws(200)[law]
    fit = pl.fit_power_law(values, least=200)
    x = values / values.min()
    power = (np.log(fit.alpha - 1) - fit.alpha * np.log(x)).sum()

    def lognormal(parameters):
        mean, scale = parameters[0], math.exp(parameters[1])
        z = (np.log(x) - mean) / scale
        return -(norm.logpdf(z) - np.log(scale * x) - norm.logsf(-mean / scale)).sum()

    def truncated(parameters):
        exponent, rate = 1 + math.exp(parameters[0]), math.exp(parameters[1])
        total = quad(lambda u: u**-exponent * math.exp(-rate * u), 1, np.inf)[0]
        return (exponent * np.log(x) + rate * x + np.log(total)).sum()

    def exponential(parameters):
        return -(parameters[0] - math.exp(parameters[0]) * (x - 1)).sum()

    starts = {"exponential": [0.0], "lognormal": [0.0, 0.0], "truncated": [0.0, -3.0]}
    rivals = {"exponential": exponential, "lognormal": lognormal, "truncated": truncated}
    for name, ratio in pl.compare(values, fit).items():
        best = minimize(rivals[name], starts[name], method="Nelder-Mead", options={"maxiter": 400}).fun
        # A search stops early on the flat way to the power law, which both families contain as a limit.
        assert float(ratio.total[0]) == pytest.approx(power[()] + best, abs=0.02 if name != "exponential" else 1e-6)
        assert float(ratio.total[0]) <= power[()] + best + 1e-3


def test_scores_are_vuongs_and_wilks(draw):
    values = 1 + draw.exponential(size=100)
    fit = pl.fit_power_law(values, least=100)
    ratios = pl.compare(values, fit)
    x = values / values.min()
    difference = np.log(fit.alpha[0] - 1) - fit.alpha[0] * np.log(x) + np.log(x.mean() - 1) + (x - 1) / (x.mean() - 1)
    found = ratios["exponential"]
    assert found.total == pytest.approx([difference.sum()])
    assert found.z == pytest.approx([difference.sum() / (10 * difference.std())])
    assert found.p == pytest.approx(2 * norm.sf(np.abs(found.z)))
    nested = ratios["truncated"]
    assert nested.total < 0 and nested.z**2 == pytest.approx(-2 * nested.total)


# Noise


@pytest.mark.parametrize("shape", [(60, 400), (100, 300), (200, 200)])
def test_noise_has_an_alpha_and_only_the_ratio_and_the_shuffles_reject_it(draw, shape):
    weight = noise(draw, 3, *shape)
    spectra = esd(weight, True)
    fit = pl.fit_power_law(spectra)
    assert ((fit.alpha > 2) & (fit.alpha < 30)).all()
    ratio = pl.against_exponential(spectra, fit)
    assert not ((ratio.z > 0) & (ratio.p < 0.1)).any()
    found = pl.phases(weight, range(1000, 1003), replicates=True)
    assert pl.PHASES.index("heavy-tailed") not in found["phase"]


def test_noise_is_seldom_called_anything_else(draw):
    found = pl.phases(noise(draw, 50, 60, 90), range(1000, 1050), replicates=True)
    assert (found["phase"] != 0).mean() <= 0.1


@pytest.mark.parametrize("kind", ["uniform", "signs", "pruned", "heavy entries", "mean"])
def test_independent_entries_of_any_kind_are_noise(draw, kind):
    weight = noise(draw, 12, 60, 90)
    weight = {
        "uniform": weight.clamp(-1, 1),
        "signs": weight.sign(),
        "pruned": weight * (weight.abs() > 1.6),
        "heavy entries": weight.sign() * weight.abs() ** 4,
        "mean": weight + 0.5,  # has a spike, and so have its shuffles
    }[kind]
    found = pl.phases(weight, range(1000, 1012), replicates=True)
    assert (found["phase"] != 0).sum() <= 2


# Phases


N, M = 180, 120


def rotated(draw, singular):
    u, v = (torch.linalg.qr(noise(draw, side, len(singular))).Q for side in (N, M))
    return (u * torch.as_tensor(np.asarray(singular))) @ v.T


def with_spikes(draw, strengths):
    return noise(draw, N, M) + rotated(draw, N**0.5 * np.asarray(strengths))


def examples(draw):
    """One matrix for each of the first six phases; that of the second has signals around the threshold of BBP."""
    around = (M / N) ** 0.25 * np.linspace(0.9, 1.3, 8)
    return [
        noise(draw, N, M),
        with_spikes(draw, around),
        with_spikes(draw, [2.0, 3, 5]),
        noise(draw, N, M) * torch.linspace(0.3, 1.5, M).double(),
        rotated(draw, pareto(2.5, M) ** 0.5),
        noise(draw, N, 90) @ noise(draw, 90, M),
    ]


def test_every_phase_has_its_matrix(draw):
    called = np.zeros((6, 6))
    for _ in range(4):
        found = pl.phases(torch.stack(examples(draw)), range(1000, 1006), replicates=True)
        called[np.arange(6), found["phase"].astype(int)] += 1 / 4
        assert found["alpha"][4] == pytest.approx(2.5, abs=0.25)
        assert found["rank"].tolist() == [M] * 5 + [90]
    assert called.argmax(1).tolist() == list(range(6))
    # Where a spike ends to be at the edge is a matter of degree.
    assert called[1, 1] >= 0.5 and (np.delete(called.diagonal(), 1) >= 0.75).all()


def test_a_mean_hides_no_spikes(draw):
    weight = with_spikes(draw, [2.0, 2.5, 3]) + 0.5
    found = pl.phases(weight, [1000])
    assert found["phase"] == [pl.PHASES.index("bulk+spikes")] and found["spikes"] >= 3
    assert found["gap_null"] < 1 < 10 < esd(weight)[0, 0] - esd(weight)[0, 1]  # the mean's own gap is no limit


def test_weights_narrower_than_noise_have_no_phase(draw):
    found = pl.phases(rotated(draw, np.ones(M)), [1000])
    assert (
        found["phase"] == [pl.PHASES.index("narrow")]
        and found["spread"] < 1
        and np.isinf(found["alpha"]) | (found["alpha"] > 1e3)
    )


def test_a_layer_of_few_units_that_are_left_has_collapsed(draw):
    weight = noise(draw, 60, 80)
    weight[12:] = 0
    found = pl.phases(weight, [1000])
    assert found["phase"] == [pl.PHASES.index("rank-collapse")] and found["rank"] == [12]
    assert found["rank_null"] == [60] and 5 < found["stable_rank"][0] < 12


def test_the_numbers_are_those_of_the_parts(draw):
    weight = torch.stack(examples(draw)[2:5])
    found = pl.phases(weight, range(1000, 1003), replicates=True)
    spectra = esd(weight, True)
    bulk, fit = fit_bulk(spectra, N), pl.fit_power_law(spectra)
    assert found["variance"] == pytest.approx(bulk.variance) and found["mp_distance"] == pytest.approx(bulk.distance)
    assert found["alpha"] == pytest.approx(fit.alpha) and found["alpha_error"] == pytest.approx(fit.error)
    for name, ratio in pl.compare(spectra, fit).items():
        assert found[f"z_{name}"] == pytest.approx(ratio.z)
    assert found["edge"] == pytest.approx(bulk.edge) and found["gap"][0] > found["gap_null"][0]
    edges = found["variance"] * (1 + (M / N) ** 0.5) ** 2
    assert found["soft_rank"] == pytest.approx(edges / spectra[:, 0])
    assert found["spread"] == pytest.approx(spectra.mean(1) / bulk.variance)
    assert found["spikes"][0] == 3
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in found.values())


def test_a_replicate_does_not_depend_on_the_others(draw):
    weight = torch.stack(examples(draw)[:3]).float()
    together = pl.phases(weight, range(1000, 1003), key=3, replicates=True)
    for r in (1, 2):
        alone = pl.phases(weight[r], [1000 + r], key=3)
        assert {name: values[0] for name, values in alone.items()} == {n: v[r] for n, v in together.items()}
    other = pl.phases(weight[1], [1001], key=4)
    assert other["mp_distance_null"] != together["mp_distance_null"][1] and other["alpha"] == together["alpha"][1]


def test_shuffles_are_drawn_alike_whatever_fits_in_memory(draw, monkeypatch):
    weight = noise(draw, 60, 80)
    whole = pl.phases(weight, [1000])
    monkeypatch.setattr(pl, "CHUNK", 3 * 60 * 80)
    assert pl.phases(weight, [1000]) == whole


def test_kernels_and_transposes_have_the_phase_of_their_matrix(draw):
    kernels = noise(draw, 60, 10, 3, 3)
    found = pl.phases(kernels, [1000], replicates=False)
    assert found == pl.phases(kernels.flatten(1), [1000])
    for name in ("phase", "alpha", "mp_distance", "soft_rank"):
        assert pl.phases(kernels.flatten(1).T, [1000])[name] == pytest.approx(found[name])


def test_five_replicates_of_a_layer_take_seconds(draw):
    weight, threads = noise(draw, 5, 256, 256), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.perf_counter()
        pl.phases(weight, range(1000, 1005), shuffles=30, level=1 / 31, replicates=True)
        assert time.perf_counter() - start < 6  # 2 s on one core of the laptop
    finally:
        torch.set_num_threads(threads)


# Bad input


X, W = np.arange(1.0, 61), torch.arange(3600.0).sin().view(60, 60)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: pl.fit_power_law(X[:49]), "number of positive values = 49 .* at least 50"),
        (lambda: pl.fit_power_law(np.r_[X[:49], 0, 0]), "number of positive values = 49"),
        (lambda: pl.fit_power_law(-X), "values = -60.0"),
        (lambda: pl.fit_power_law(X / 0.0), "values = 'nan or inf'"),
        (lambda: pl.fit_power_law(X[None, None]), "shape of values"),
        (lambda: pl.fit_power_law([]), "shape of values"),
        (lambda: pl.fit_power_law(X, least=1), "least = 1"),
        (lambda: pl.fit_power_law(X, least=61), "least = 61"),
        (lambda: pl.compare(2 * X, pl.fit_power_law(X)), "as in the fit"),
        (lambda: pl.compare(np.stack([X, X]), pl.fit_power_law(X)), "as in the fit"),
        (lambda: pl.phases(W[:10], [0]), "number of positive values = 10"),
        (lambda: pl.phases(W * math.nan, [0]), "weight = 'nan or inf'"),
        (lambda: pl.phases(W, [0, 1]), "number of seeds = 2"),
        (lambda: pl.phases(W, [0], shuffles=30), "level and shuffles = .0.025, 30."),
        (lambda: pl.phases(W, [0], level=1.0), "level and shuffles"),
        (lambda: pl.phases(W, [0], shuffles=0), "level and shuffles"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


# Summaries of weights


def test_a_summary_tells_noise_with_spikes_from_noise(draw):
    weight = 0.1 * noise(draw, 1, 200, 100)
    left, right = (torch.linalg.qr(noise(draw, 1, side, 8)).Q for side in (200, 100))
    signal = 0.1 * 200**0.5 * 3 * left @ right.mT
    plain, spiked = (pl.summary(esd(w, True), 200) for w in (weight, weight + signal))
    assert plain["spikes"] == 0 and spiked["spikes"] == 8
    assert spiked["sigma"] == pytest.approx(0.1, rel=0.03), "the spikes are no part of the bulk"
    assert spiked["distance"] > 0.07 > 0.04 > max(plain["distance"], spiked["bulk_distance"])


def test_a_summary_is_what_the_library_tells_of_each_spectrum(draw):
    spectra = esd(noise(draw, 3, 90, 60), True)
    found, bulk, fit = pl.summary(spectra, 90), fit_bulk(spectra, 90), pl.fit_power_law(spectra)
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in found.values())
    assert np.array_equal(found["sigma"] ** 2, np.sqrt(bulk.variance) ** 2)
    assert np.array_equal(found["alpha"], fit.alpha) and np.array_equal(found["alpha_error"], fit.error)
    assert np.array_equal(found["tail"], fit.tail) and np.array_equal(found["bulk_distance"], bulk.distance)


def test_phases_are_told_at_the_looks_asked_for_and_unknown_elsewhere(draw):
    weights = noise(draw, 2, 3, 60, 55).numpy()
    found = pl.phases_at(weights, [0, 2], (1000, 1001), 10, key=1)
    for look in (0, 2):
        alone = pl.phases(torch.from_numpy(weights[:, look].copy()), (1000, 1001), 10, 1 / 11, 1, True)
        assert all(np.array_equal(found[name][:, look], alone[name], equal_nan=True) for name in alone)
    assert all(np.isnan(values[:, 1]).all() and values.shape == (2, 3) for values in found.values())


def test_layers_of_few_outputs_are_too_narrow_to_fit():
    assert pl.wide_layers((64, 56, 52, 10)) == [0, 1]
    with pytest.raises(BadInput, match="at least 50"):
        pl.wide_layers((64, 49, 10))


def test_the_phase_of_a_convolution_is_that_of_its_matrix_and_replicates_are_told(draw):
    layer = torch.nn.Conv1d(30, 60, 3)
    layer.weight.data = noise(draw, 60, 30, 3)
    matrix = pl.phases(layer.weight.detach().flatten(1), [1000])
    assert pl.phases(layer, [1000]) == pl.phases(layer.weight, [1000]) == matrix
    assert pl.phases(layer.weight.detach()[None], [1000], replicates=True) == matrix
    with pytest.raises(BadInput, match="replicates of a weight"):
        pl.phases(layer.weight.detach(), range(60))
