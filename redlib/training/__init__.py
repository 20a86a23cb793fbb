"""Training: one loop over two steps (stacked and autograd), optimisers, schedules, probes, checkpoints."""

from redlib.training.checkpoints import load_state, save_state
from redlib.training.evaluation import class_errors, evaluate
from redlib.training.examples import Batches, Examples
from redlib.training.history import History
from redlib.training.loop import fit
from redlib.training.optimisers import SGD, Adam, AdamW
from redlib.training.record import Diverged
from redlib.training.schedules import constant, cosine, inverse_sqrt, step_decay, warm_up

__all__ = [
    "SGD", "Adam", "AdamW", "Batches", "Diverged", "Examples", "History", "class_errors", "constant", "cosine",
    "evaluate", "fit", "inverse_sqrt", "load_state", "save_state", "step_decay", "warm_up",
]  # fmt: skip
