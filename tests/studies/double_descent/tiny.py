"""A tiny instance of every experiment of the double-descent study, for the contract that all experiments keep."""

from redlib.experiments.experiment import configure, varied
from redlib.studies.double_descent import linear, nets

SEEDS = (1000, 1001, 1002)  # of those for tuning: the judged ones stay unseen
SIZES = {"dataset": "digits", "pool": 300, "validation": 50, "tests": 80, "n": 60, "batch": 20, "seeds": SEEDS}
SWEEP = configure(nets.WidthSweep, SIZES, widths=(2, 4, 8), epochs=4, looks=3)
PAPER = nets.PaperSweep(
    net="cnn5", dataset="digits", pool=48, tests=20, widths=(1, 2), epochs=2, batch=16, seeds=SEEDS
)  # fmt: skip


def tiny():
    """Return {name: experiment}."""
    return {
        "polynomial": linear.PolynomialBias(degrees=(1, 3, 5, 9), resamples=60, points=60, seeds=SEEDS),
        "features": linear.RffSweep(tests=300, samples=(30, 60), counts=(10, 30, 60, 300), seeds=SEEDS),
        "averaged": linear.RffSweep(tests=100, shrink=2, samples=(20,), counts=(10, 40), seeds=SEEDS),
        "threshold": linear.RffThreshold(samples=(20, 40), seeds=SEEDS),
        "sgd": linear.RffSgd(n=20, counts=(5, 100), epochs=60, seeds=SEEDS),
        "parts": linear.RffBiasVariance(n=20, counts=(5, 20, 60), resamples=12, points=40, seeds=SEEDS),
        "isotropic": linear.Gaussian(dim=20, samples=(8, 40), repetitions=100, seeds=SEEDS),
        "ridge": linear.RidgeSweep(dim=12, samples=(6, 12, 24), multiples=(0.25, 1, 4), repetitions=30, seeds=SEEDS),
        "systems": linear.Solvability(seeds=SEEDS),
        "widths": SWEEP,
        "deep": varied(SWEEP, depth=2, loss="cross_entropy", optimizer="sgd", lr=0.05),
        "reused": varied(SWEEP, reuse=True),
        "ensemble": varied(SWEEP, members=2, optimizer="adamw", weight_decay=0.3, looks=1),
        "shifted": varied(SWEEP, shift=1, shrink=2),
        "paper": PAPER,
        "students": nets.Students(n=20, tries=3, epochs=10, seeds=SEEDS),
    }
