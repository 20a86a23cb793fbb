"""Learning-rate schedules: functions (step, total steps) -> multiplier of the base rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from redlib.errors import BadInput
from redlib.training.arguments import check_number

Schedule = Callable[[int, int], float]


def constant() -> Schedule:
    """Return the schedule that keeps the base rate."""
    return lambda step, total: 1.0


def step_decay(at: Sequence[float] = (1 / 3, 2 / 3), factor: float = 0.1) -> Schedule:
    """Return a schedule that multiplies the rate by `factor` at each fraction of training in `at`."""
    if not all(0 < fraction < 1 for fraction in at):
        raise BadInput.of("at", tuple(at), "fractions in (0, 1)", "Give the share of training done at each drop.")
    check_number("factor", factor, "0.1 divides the rate by 10.")
    return lambda step, total: factor ** sum(step >= fraction * total for fraction in at)


def cosine(final: float = 0.0) -> Schedule:
    """Return cosine annealing from 1 to `final` (Loshchilov & Hutter 2017, eq. 5, one period)."""
    check_number("final", final, "0 anneals all the way.")
    return lambda step, total: final + (1 - final) * 0.5 * (1 + math.cos(math.pi * step / max(total, 1)))


def inverse_sqrt(every: int = 1) -> Schedule:
    """Return 1 / sqrt(1 + floor(step / every)) (Nakkiran et al. 2019, appendix B, with every = 512)."""
    if every < 1:
        raise BadInput.of("every", every, ">= 1 step", "It is the number of steps between two drops.")
    return lambda step, total: (1 + step // every) ** -0.5


def warm_up(steps: int, then: Schedule | None = None) -> Schedule:
    """Return a linear rise over the first `steps` steps, times the schedule `then` (constant)."""
    if steps < 1:
        raise BadInput.of("steps", steps, ">= 1", "Leave the warm-up out instead.")
    later = then or constant()
    return lambda step, total: min(1.0, (step + 1) / steps) * later(step, total)
