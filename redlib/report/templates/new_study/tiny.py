"""A small instance of every experiment of the study @TITLE@, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment, configure
from redlib.studies.@NAME@ import runs


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take a second at most."""
    return {"widths": configure(runs.Widths, pool=60, tests=40, epochs=2, widths=(2, 5), seeds=(0, 1, 2))}
