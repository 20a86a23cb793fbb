"""A tiny instance of every experiment of the pruning study, for the contract that all experiments keep."""

from redlib.experiments.chain import Level
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import Modules, Stack
from redlib.studies.pruning.runs import (
    Collapse,
    Extrusion,
    FilterCuts,
    Forward,
    MidCuts,
    Sensitivity,
    Steps,
    Units,
    Zoo,
)

SEEDS = (3, 4, 5)
SIZES = {"dataset": "digits", "pool": 300, "validation": 80, "tests": 120, "optimizer": "sgd", "batch": 50, "looks": 3}
LAB = configure(Stack, SIZES, n=240, hidden=(12, 8), lr=0.1, steps=24, seeds=SEEDS)
SOURCE = Level(LAB)
WIDE = Level(
    configure(
        Modules, SIZES, pool=150, n=100, net="small_conv", width=4, lr=0.1, weight_decay=5e-4, drops=(0.5, 0.75),
        steps=6, looks=2, seeds=SEEDS,
    )
)  # fmt: skip
NET = {"sizes": (20, 16, 8, 4), "batch": 6, "repeats": 3, "seeds": SEEDS}
UNREPEATABLE = ("forward", "steps")


def tiny():
    """Return {name: experiment}."""
    return {
        "zoo": Zoo(SOURCE, levels=(1, 2), arms=("ticket", "shuffled", "reinit"), per_class=2, rounds=6),
        "units": Units(SOURCE, kept=(0.75, 0.5), per_class=2),
        "units trained on": Units(SOURCE, ("apoz", "l2", "random"), (0.5,), "trained", per_class=2, length=0.5),
        "mid cuts": MidCuts(LAB),
        "collapse": Collapse(varied(LAB, hidden=(12,) * 3), steps=20, per_class=2),
        "sensitivity": Sensitivity(SOURCE, (0.5, 0.2)),
        "extrusion": Extrusion(SOURCE, level=2),
        "filter cuts": FilterCuts(WIDE, 0.5),
        "forward": Forward(**NET, densities=(1.0, 0.5, 0.1), conv=(2, 8)),
        "steps": Steps(**NET, densities=(1.0, 0.1), steps=2),
    }
