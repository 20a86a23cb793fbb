"""A tiny instance of every experiment of the study of mislabelled data, for the contract that all experiments keep."""

from redlib.experiments.experiment import Experiment, configure
from redlib.studies.mislabel_blurring import runs

SIZES = {"pool": 300, "every": 10, "epochs": 2, "batch": 60, "seeds": (1000, 1001, 1002)}
NET = {"tests": 40, "widths": (4, 4), "sigmas": (0.1, 1.3, 4.0, 10.0), "sizes": (1.3, 4.0), "clean": 15}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment}."""
    return {
        "blurred": configure(runs.Blurred, SIZES, NET, changes=("shift", "gradient"), looks=2),
        "sgd": configure(runs.Blurred, SIZES, NET, net="mlp", optimizer="sgd"),
        "robust": configure(runs.Robust, SIZES, NET, net="residual", climbs=1),
        "tickets": configure(runs.Tickets, SIZES, hidden=(20, 10), rounds=2),
        "census": configure(
            runs.Disagreement, dataset="digits", pool=200, tests=100, folds=2, hidden=(8,), epochs=2, seeds=(3, 4, 5)
        ),
        "kernel": configure(runs.Kernel, pool=100, images=10, seeds=(3, 4, 5)),
    }
