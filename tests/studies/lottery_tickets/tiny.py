"""A tiny instance of every experiment of the ticket study, for the contract that all experiments keep."""

from redlib.experiments.chain import Level
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import Modules, Stack
from redlib.pruning.tickets import Cut
from redlib.studies.lottery_tickets.runs import (
    Barrier,
    Carried,
    Flips,
    OneShot,
    Published,
    SmallNets,
    Supermask,
    Untrained,
)

SEEDS = (3, 4, 5)
SIZES = {"dataset": "digits", "pool": 150, "validation": 60, "tests": 80, "batch": 25, "steps": 6, "looks": 3}
LAB = configure(Stack, SIZES, n=120, hidden=(14, 9), init="torch", optimizer="sgd", lr=0.2, seeds=SEEDS)
SOURCE = Level(LAB)
HERE = varied(LAB, dataset="mnist1d")
AWAY = varied(HERE, dataset="mnist1d_b")
CONV = configure(
    Modules, SIZES, n=48, net="small_conv", width=2, optimizer="sgd", lr=0.1, momentum=0.0, drops=(0.5,), seeds=SEEDS
)
PUBLISHED = Published(
    sparsities=(0.4, 0.8), retrains=11, hidden=16, updates=121, scored=101, batch=20, n=200, tests=100, seeds=SEEDS
)


def tiny():
    """Return {name: experiment}."""
    return {
        "one shot": OneShot(SOURCE, (1, 2), ("magnitude", "random")),
        "untrained": Untrained(SOURCE, (1, 6), "large_final", ("ticket", "signed_constant", "finetuned")),
        "carried": Carried(Level(HERE), ("ticket", "random"), (2,), AWAY),
        "barrier": Barrier(Level(LAB, 2), 3, alphas=5, tests=40),
        "barrier of a conv net": Barrier(Level(CONV, 1, Cut(0.5, 0.2), rewind=2), 2, alphas=3),
        "small nets": SmallNets(LAB, weights=400, members=3),
        "flips": Flips(LAB, looks=3),
        "learned mask": Supermask(LAB, "bernoulli", "initial", rescale=True, samples=3),
        "popup": Supermask(LAB, keep=0.3),
        "published": PUBLISHED,
    }
