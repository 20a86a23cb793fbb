"""A small instance of every experiment of the study on redundant units, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment
from redlib.studies.redundant_units.filters import Filters
from redlib.studies.redundant_units.hidden import Sparse, Widths

SMALL = {"pool": 300, "tests": 60, "n": 40, "epochs": 3, "batch": 20, "seeds": (0, 1, 2)}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take some seconds at most."""
    return {
        "widths": Widths(**SMALL, widths=(4, 8)),
        "sparse": Sparse(**SMALL, width=8),
        "filters": Filters(**SMALL, filters=12, ks=(2, 3)),
    }
