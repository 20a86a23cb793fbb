"""From the runs of the conv tickets to one number a seed for each part of LTH-4, 6, 7 and 23.

Accuracies are in percentage points at the step of least validation loss, barriers in points; every array is [S].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from redlib.errors import BadInput
from redlib.evidence.stats import slope_per_seed
from redlib.studies.tickets_conv import Arrays
from redlib.studies.tickets_statistics import accuracy, barriers

Floats = np.ndarray
STABLE = 2.0  # points: two nets whose barrier is lower are linearly connected (Frankle et al. 2020, section 2)


def gain(one: Arrays, other: Arrays) -> Floats:
    """Return how much more accurate `one` is, in points, seed by seed (as many seeds as both have)."""
    count = min(len(one["early_error"]), len(other["early_error"]))
    return np.asarray(accuracy(one)[:count] - accuracy(other)[:count])


def control_claim(reinit: Arrays, random: Arrays) -> dict[str, Floats]:
    """Return LTH-4 for conv nets: the level's masks against random ones, both with the same fresh weights."""
    return {"cnn_reinit_minus_random": gain(reinit, random)}


def ticket_claim(net: str, dense: Arrays, tickets: Mapping[int, Arrays]) -> dict[str, Floats]:
    """Return LTH-6 of tickets by density in %: <net>_gain_over_dense_d<percent>, and <net>_speedup_d<percent>.

    The speed-up is the dense net's early-stopping step over the ticket's; one at the last look is a bound (`stopped`).
    """
    gains = {f"{net}_gain_over_dense_d{percent}": gain(ticket, dense) for percent, ticket in tickets.items()}
    faster = {f"{net}_speedup_d{p}": dense["early_step"] / ticket["early_step"] for p, ticket in tickets.items()}
    return gains | faster


def dropout_claim(with_dropout: Arrays, without: Arrays) -> dict[str, Floats]:
    """Return the part of LTH-6 on dropout: what tickets trained with it gain over tickets trained without."""
    return {"dropout_gain": gain(with_dropout, without)}


def rewind_claim(late: Sequence[Arrays], initial: Sequence[Arrays]) -> dict[str, Floats]:
    """Return LTH-7 for conv nets: weights set back to step k against step 0, the mean over pairs of equal density."""
    if not late or len(late) != len(initial):
        found = len(late), len(initial)
        raise BadInput.of(
            "levels (late, initial)", found, "equal numbers, >= 1", "Pass the same levels of both chains."
        )
    return {"cnn_late_minus_initial": np.mean([gain(a, b) for a, b in zip(late, initial, strict=True)], 0)}


def barrier_claim(by_start: Mapping[int, Arrays]) -> dict[str, Floats]:
    """Return LTH-23 for conv nets: the slope of the dense net's barrier on log k (natural) over the steps k > 0."""
    starts = sorted(start for start in by_start if start > 0)
    return {"cnn_barrier_slope": slope_per_seed(np.log(starts), np.stack([barriers(by_start[k]) for k in starts], 1))}


def onset_claim(name: str, by_start: Mapping[int, Arrays], bound: float = STABLE) -> dict[str, Floats]:
    """Return <name>_onset_step [S]: the first step from which on every barrier is below `bound`; NaN where none is."""
    starts = np.array(sorted(by_start), float)
    unstable = np.stack([barriers(by_start[int(k)]) >= bound for k in starts], 1)
    first = np.where(unstable.any(1), unstable.shape[1] - unstable[:, ::-1].argmax(1), 0)
    return {f"{name}_onset_step": np.append(starts, np.nan)[first]}


def as_nets(cells: Sequence[Arrays]) -> Arrays:
    """Return barrier runs as one result with axes [S, nets, 1, ...], as `stable_and_matching` takes it."""
    return {name: np.stack([cell[name] for cell in cells], 1)[:, :, None] for name in ("path_error", "early_error")}


def stopped(results: Arrays) -> Floats:
    """Return where validation loss was still falling at the last look: its early step is a lower bound [S]."""
    return np.asarray(results["early_step"] == results["steps"][-1])


def arms_fit(*arms: Arrays, bound: float = 0.01) -> dict[str, bool]:
    """Return the gate of LTH-4: in every seed all arms fit their training images, so that none is cut short."""
    return {"all_arms_fit": all(bool((arm["train_error"] <= bound).all()) for arm in arms)}


def rewinding_matters(dense: Arrays, initial: Sequence[Arrays], start: Arrays, bound: float = 0.01) -> dict[str, bool]:
    """Return the gate of LTH-7: the premise of the claim, judged without the late arm.

    The dense net fits its training images, is unstable at the earliest `start` (barrier above `STABLE`), and tickets
    with their initial values fall short of it. Means over seeds.
    """
    short = np.mean([gain(level, dense).mean() for level in initial])
    return {
        "dense_net_fits": bool(dense["train_error"].mean() <= bound),
        "unstable_at_the_start": bool(barriers(start).mean() > STABLE),
        "initial_values_fall_short": bool(short < 0),
    }


def rows(dense: Arrays, ticket: Arrays, reinit: Arrays, random: Arrays) -> dict[str, tuple[Floats, str]]:
    """Return the rows of the figure of LTH-4 and LTH-6, {label: (accuracy [S], colour)}."""
    named = {
        "dense": (dense, "grey"),
        "ticket": (ticket, "blue"),
        "reinit": (reinit, "orange"),
        "random": (random, "gold"),
    }
    return {label: (accuracy(results), colour) for label, (results, colour) in named.items()}
