"""A small instance of every experiment of the study on generalisation, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment
from redlib.studies.generalization.memory import Corrupted, Critical, Diluted, Regularised, Relabelled
from redlib.studies.generalization.minima import Attacked, BatchSizes, Descent, Escape, SmallBatches, Starts
from redlib.studies.generalization.wide import LocalMinima, LocalMinimaOfImages, Tangent, TwoLayer
from redlib.studies.generalization.widths import Sizes

SEEDS = (0, 1, 2)
SMALL = {"pool": 300, "validation": 40, "tests": 60, "n": 80, "looks": 3, "epochs": 3, "seeds": SEEDS}
STACK = SMALL | {"hidden": (12,)}
FEW = {"pool": 300, "tests": 60, "seeds": SEEDS}
LINES = {"n": 40, "inputs": 8, "ratios": (0.2, 2.0), "steps": 60, "looks": 10, "seeds": SEEDS}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take some seconds at most."""
    return memorising() | minima() | wide()


def memorising() -> dict[str, Experiment]:
    """Return those of memory.py."""
    return {
        "corrupted": Corrupted(**SMALL | {"validation": 0}, width=0.05),
        "corrupted_mlp": Corrupted(**STACK | {"validation": 0}, net="mlp"),
        "relabelled": Relabelled(**STACK),
        "wrong": Relabelled(**STACK, shares=(0.0, 0.1), others=True),
        "diluted": Diluted(**STACK | {"epochs": 0}, steps=6, alphas=(0, 3)),
        "regularised": Regularised(**SMALL | {"looks": 1}, width=0.05),
        "critical": Critical(**STACK),
    }


def minima() -> dict[str, Experiment]:
    """Return those of widths.py and minima.py."""
    attacked = Attacked(
        **FEW, images=20, attacks=(0, 4, 10), hidden=(3,), steps=30, calm_steps=30, directions=4, looked=10
    )
    descent = Descent(**FEW, n=12, hidden=(4,), steps=40, looks=4, sharp=2)
    return {
        "widths": Sizes(**FEW, n=60, sizes=((4,), (8,)), epochs=4, batch=20),
        "depths": Sizes(**FEW, n=60, sizes=((4,), (4, 4)), epochs=4, batch=20),
        "batch_sizes": BatchSizes(
            **FEW, validation=60, n=40, hidden=(4,), batches=(4, 20), rates=(1e-3, 1e-2), epochs=3, climbs=2
        ),
        "attacked": attacked,
        "starts": Starts(source=attacked, starts=3),
        "descent": descent,
        "escape": Escape(source=descent),
        "small_batches": SmallBatches(**FEW, n=12, hidden=(4,), batches=(2, 6), steps=20),
    }


def wide() -> dict[str, Experiment]:
    """Return those of wide.py."""
    return {
        "minima": LocalMinima(**LINES),
        "minima_of_images": LocalMinimaOfImages(**LINES, pool=200),
        "two_layer": TwoLayer(n=20, inputs=20, widths=(32, 64), steps=20, looks=4, seeds=SEEDS),
        "tangent": Tangent(n=40, pool=200, tests=50, widths=(16, 48), steps=40, seeds=SEEDS),
    }
