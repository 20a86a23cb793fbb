"""A tiny instance of every experiment of the mean-field study, for the contract that all experiments keep."""

from dataclasses import replace

from redlib.experiments.chain import Level
from redlib.experiments.experiment import configure, varied
from redlib.pruning.tickets import Cut
from redlib.studies.mean_field_rmt import runs

SEEDS = (3, 4, 5)
LAB = configure(
    runs.Tanh, dataset="digits", pool=120, validation=20, tests=60, n=96, hidden=(12,) * 4, epochs=1, batch=40,
    inputs=4, seeds=SEEDS,
)  # fmt: skip
CONVS = configure(runs.Convs, pool=80, tests=60, n=64, layers=2, channels=3, epochs=1, seeds=SEEDS)
TOP, HALF = runs.Ticket(LAB), Cut(0.5, 0.3)
SPECTRA = configure(
    runs.Spectra, pool=200, tests=60, n=160, hidden=(56, 52), lr=0.1, batch=50, epochs=2, looks=4, shuffles=10,
    seeds=SEEDS,
)  # fmt: skip


def tiny():
    """Return {name: experiment}."""
    return {
        "ticket": replace(TOP, level=2),
        "residual net": Level(varied(LAB, residual=True), 1, HALF),
        "augmented and orthogonal": Level(varied(LAB, shifts=(-1, 2), init="orthogonal", sigma_w=1.0), 1, HALF),
        "conv net": Level(CONVS, 1, HALF),
        "histograms": runs.Histograms(replace(TOP, level=1)),
        "controls": runs.Controls(TOP, tuple(runs.ARMS), (1, 3)),
        "fitted": runs.Fitted(replace(TOP, level=1), target=2.0, epochs=2),
        "start": runs.Start(LAB),
        "wide": runs.Wide(width=20, depth=4, inputs=3, seeds=SEEDS),
        "brief": configure(runs.Brief, pool=80, n=64, width=8, depth=3, sigmas=(1.0, 1.4), steps=2, seeds=SEEDS),
        "spectra": SPECTRA,
        "low rank": runs.LowRank(SPECTRA, ranks=(0, 4, 16, 52)),
    }
