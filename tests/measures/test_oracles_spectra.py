"""Power-law fits and ranks against the packages powerlaw and weightwatcher (extra `oracles`; skipped without it).

They take the same steps in other code, so fits and ranks agree to rounding. Rivals are another matter: powerlaw
searches their parameters, to about 1e-4, where ours have closed forms or gradients.
"""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from redlib.measures import powerlaws as pl
from redlib.measures import spectra as sp

ROUNDED = 1e-10  # relative
SEARCHED = 5e-3  # nats of a likelihood ratio
N, M = 150, 100
NAMES = ("noise", "heavy entries", "heavy spectrum", "spiked")
NO_LOGNORMAL = ("heavy entries", "spiked")  # their best lognormal is the power law itself, far below the tail
pytestmark = [
    pytest.mark.filterwarnings("ignore:::powerlaw.distributions"),
    pytest.mark.filterwarnings("ignore:::weightwatcher.weightwatcher"),
]


@pytest.fixture(scope="module")
def powerlaw():
    return pytest.importorskip("powerlaw", reason="needs the extra `oracles`")


@pytest.fixture(scope="module")
def tables():
    """What weightwatcher says of each matrix, by its name: one row of its table."""
    ww = pytest.importorskip("weightwatcher", reason="needs the extra `oracles`")
    found = {}
    for name, matrix in matrices().items():
        layer = torch.nn.Linear(M, N, bias=False)
        layer.weight.data = matrix
        found[name] = ww.WeightWatcher(model=torch.nn.Sequential(layer)).analyze(mp_fit=False).iloc[0]
    return found


def matrices():
    """[N, M] by name: Gaussian; Student t with 2.5 degrees of freedom; eigenvalues with alpha = 2.5; two spikes.

    In float32, which weightwatcher turns weights into.
    """
    draw = np.random.default_rng(1000)

    def noise(*shape):
        return torch.from_numpy(draw.standard_normal(shape))

    def basis(side, k):
        return torch.linalg.qr(noise(side, k)).Q

    power = torch.from_numpy((1 - (np.arange(M) + 0.5) / M) ** (-1 / 3))
    found = (
        noise(N, M),
        torch.from_numpy(draw.standard_t(2.5, (N, M))),
        (basis(N, M) * power) @ basis(M, M).T,
        noise(N, M) + N**0.5 * (basis(N, 2) * torch.tensor([4.0, 2.5]).double()) @ basis(M, 2).T,
    )
    return {name: matrix.float() for name, matrix in zip(NAMES, found, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_fits_are_those_of_powerlaw(powerlaw, name):
    values = sp.esd(matrices()[name])[0]
    theirs = powerlaw.Fit(values, verbose=False, parameter_ranges={"alpha": [1, None]})  # else it stops at alpha = 3
    ours = pl.fit_power_law(values, least=3)  # its shortest tail
    assert theirs.xmin == ours.xmin[0] and theirs.n == ours.tail[0]
    assert [theirs.alpha, theirs.D] == pytest.approx([ours.alpha[0], ours.distance[0]], rel=ROUNDED)
    assert theirs.power_law.standard_err == pytest.approx(ours.error[0], rel=ROUNDED)


@pytest.mark.parametrize("name", NAMES)
def test_ratios_are_those_of_powerlaw(powerlaw, name):
    values = sp.esd(matrices()[name])[0]
    fit = pl.fit_power_law(values)
    theirs = powerlaw.Fit(values, xmin=fit.xmin[0], verbose=False, parameter_ranges={"alpha": [1, None]})
    for rival, ours in pl.compare(values, fit).items():
        nested = rival == "truncated"
        total, p = theirs.distribution_compare("power_law", "truncated_power_law" if nested else rival, nested=nested)
        if rival == "lognormal" and name in NO_LOGNORMAL:
            continue  # see the next test
        assert ours.total[0] == pytest.approx(total, abs=SEARCHED)
        if ours.total[0]:  # at 0, the root in the p of a nested rival makes .03 of a thousandth
            assert ours.p[0] == pytest.approx(p, abs=1e-3)


@pytest.mark.parametrize("name", NO_LOGNORMAL)
def test_where_no_lognormal_is_better_the_one_of_powerlaw_is_not_either(powerlaw, name):
    """It says so by up to 0.3 nats, but its normaliser is a denormal number of few digits; here it is a logarithm."""
    values = sp.esd(matrices()[name])[0]
    fit = pl.fit_power_law(values)
    assert pl.compare(values, fit)["lognormal"].total == [0]
    theirs = powerlaw.Fit(values, xmin=fit.xmin[0], verbose=False, parameter_ranges={"alpha": [1, None]})
    logs = np.log(theirs.data / fit.xmin[0])
    mean, scale = theirs.lognormal.mu - np.log(fit.xmin[0]), theirs.lognormal.sigma
    lognormal = norm.logpdf(logs, mean, scale) - norm.logsf(0, mean, scale) - logs
    power = np.log(fit.alpha[0] - 1) - fit.alpha[0] * logs
    assert (power - lognormal).sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_fits_are_those_of_weightwatcher(tables, name):
    table, ours = tables[name], pl.fit_power_law(sp.esd(matrices()[name]), least=2)  # its shortest tail
    theirs = [table["alpha"], table["xmin"] / N, table["D"], table["sigma"]]  # its eigenvalues are not divided by N
    assert theirs == pytest.approx([ours.alpha[0], ours.xmin[0], ours.distance[0], ours.error[0]], rel=ROUNDED)
    assert table["num_pl_spikes"] == ours.tail[0]


@pytest.mark.parametrize("name", NAMES)
def test_ranks_and_norms_are_those_of_weightwatcher(tables, name):
    table, matrix = tables[name], matrices()[name].double()
    eigenvalues = N * sp.esd(matrix)[0]
    theirs = [table["stable_rank"], table["spectral_norm"], table["norm"]]
    assert theirs == pytest.approx([sp.stable_rank(matrix)[0], eigenvalues[0], eigenvalues.sum()], rel=ROUNDED)
    assert table["matrix_rank"] == sp.numerical_rank(matrix)[0]
    # Its entropy is that of squared singular values, which are the singular values of WᵀW, in units of ln(rank).
    entropy = np.log(sp.effective_rank(matrix.T @ matrix)[0]) / np.log(M)
    assert table["entropy"] == pytest.approx(entropy, rel=1e-6)  # it adds a small number to every share
