"""A small instance of every experiment on wide nets, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment
from redlib.studies.generalization.wide import LocalMinima, LocalMinimaOfImages, Tangent, TwoLayer

SEEDS = (1000, 1001, 1002)
MINIMA = {"n": 40, "inputs": 8, "ratios": (0.2, 2.0), "steps": 60, "looks": 10, "seeds": SEEDS}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take a second at most."""
    return {
        "minima": LocalMinima(**MINIMA),
        "minima_of_images": LocalMinimaOfImages(**MINIMA, pool=200),
        "two_layer": TwoLayer(n=20, inputs=20, widths=(32, 64), steps=20, looks=4, seeds=SEEDS),
        "tangent": Tangent(n=40, pool=200, tests=50, widths=(16, 48), steps=40, seeds=SEEDS),
    }
