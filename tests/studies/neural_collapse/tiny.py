"""A small instance of every experiment of the study on neural collapse, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment
from redlib.studies.neural_collapse.runs import Terminal, Tickets, Triangle

SMALL = {"pool": 300, "tests": 100, "n": 240, "hidden": (12, 8), "epochs": 3, "looks": 2, "seeds": (0, 1, 2)}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take a second at most."""
    soft = {"loss": "cross_entropy", "lr": 0.05}
    return {
        "terminal": Terminal(**SMALL, neighbours=40, attacked=5),
        "noisy": Terminal(**SMALL, **soft, noise=0.2, net="normed_mlp"),
        "tickets": Tickets(**SMALL, rounds=1, round_epochs=1),
        "triangle": Triangle(**SMALL, **soft, points=60),
    }
