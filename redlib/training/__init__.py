"""Training: one loop over two steps (stacked and autograd), optimisers, schedules, probes."""

from redlib.training.examples import Batches, Examples
from redlib.training.history import History
from redlib.training.loop import evaluate, fit
from redlib.training.optimisers import SGD, Adam, AdamW
from redlib.training.record import Diverged
from redlib.training.schedules import constant, cosine, inverse_sqrt, step_decay, warm_up

__all__ = [
    "SGD", "Adam", "AdamW", "Batches", "Diverged", "Examples", "History",
    "constant", "cosine", "evaluate", "fit", "inverse_sqrt", "step_decay", "warm_up",
]  # fmt: skip
