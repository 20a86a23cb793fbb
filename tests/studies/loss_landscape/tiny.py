"""A small instance of every experiment of the study on the loss landscape, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment
from redlib.studies.loss_landscape.around import Steps, Tunnels
from redlib.studies.loss_landscape.counted import Counted
from redlib.studies.loss_landscape.functions import Found, RandomFunctions
from redlib.studies.loss_landscape.maps import Maps
from redlib.studies.loss_landscape.pairs import Pairs, Planes
from redlib.studies.loss_landscape.slices import Conv, Dense, Small

SEEDS = (0, 1, 2)
SMALL = {"pool": 300, "tests": 60, "n": 40, "epochs": 3, "batch": 20, "seeds": SEEDS}
SLICES = {"pool": 300, "tests": 60, "n": 40, "epochs": 3, "batch": 20, "seeds": SEEDS}
BEND = {"steps_of_bend": 6}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take some seconds at most."""
    return {
        "pairs": Pairs(**SMALL, **BEND, widths=(4, 8), positions=5, directions=2, times=1e6),
        "planes": Planes(**SMALL, **BEND, width=5, grid=4),
        "steps": Steps(**SMALL, width=6, directions=3, lengths=(0.1, 1.0)),
        "tunnels": Tunnels(**SMALL, width=6, directions=2, times=1e6, decays=(0.0, 0.1), rates=(0.05, 0.1),
                           dropouts=(0.0, 0.3)),
        "maps": Maps(n=12, tests=20, epochs=3, bends=6, looks=4, grid=5, places=4, seeds=SEEDS),
        "dense": Dense(**SLICES, widths=(6, 12, 70), dims=(5, 40)),
        "conv": Conv(**SLICES, dims=(5, 40)),
        "small": Small(**SLICES, architectures=("avg4", "conv4x3 max4 depth3/2"), rates=(0.01, 0.1)),
        "counted": Counted(**SLICES, width=8, rounds=2, dims=(5, 20), shares=(0.5, 1.0)),
        "random_functions": RandomFunctions(samples=400, shown=20, hidden=(5,), bits=4, seeds=SEEDS),
        "found": Found(bits=3, hidden=(8,), told=3, starts=6, samples=20_000, accepted=50, epochs=40, shown=12,
                       seeds=SEEDS),
    }  # fmt: skip
