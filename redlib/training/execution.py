"""Which step trains which replicate of a stack: dense or sparse, as asked for or whichever is faster here and now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby

import numpy as np
import torch

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training.chunks import plan_for, ranges_of
from redlib.training.engines import Engine, StackedEngine
from redlib.training.examples import Batches, Examples
from redlib.training.optimisers import SGD, Rule
from redlib.training.record import Plan
from redlib.training.sparse import EMPTY, SparseEngine, live_weights, why_not

EXECUTIONS = ("auto", "dense", "sparse")
ENGINES: dict[str, Callable[..., Engine]] = {"dense": StackedEngine, "sparse": SparseEngine}
TIMED_STEPS = 3


def by_density(net: StackedMLP | RaggedMLP, below: float = 0.4) -> tuple[str, ...]:
    """Return an execution per data group that no timing decides: sparse where it can be, at density <= `below`."""
    reasons = why_not(net)
    if not isinstance(net, StackedMLP) or all(reasons):
        return ("dense",) * net.groups
    share = live_weights(net) / sum(w[0].numel() for w in net.weights)
    return tuple(
        "dense" if reason or part > below else "sparse" for reason, part in zip(reasons, share.tolist(), strict=True)
    )


def evaluator(net: StackedMLP | RaggedMLP, loss: str = "cross_entropy") -> Engine:
    """Return an engine to read the outputs of `net`: sparse where all of it is pruned below a quarter, else dense."""
    how = "sparse" if set(by_density(net, 0.25)) == {"sparse"} else "dense"
    return ENGINES[how](net, SGD(), loss)


def chosen(net: StackedMLP | RaggedMLP, examples: Examples, plan: Plan, asked: str | Sequence[str]) -> list[str]:
    """Return "dense" or "sparse" for each data group of `net`; BadInput where what was asked for cannot be."""
    kinds = check_execution(asked, net.groups)
    if set(kinds) == {"dense"}:
        return kinds
    reasons = why_not(net)
    for g, (kind, reason) in enumerate(zip(kinds, reasons, strict=True)):
        if reason == EMPTY and kind != "dense":
            raise BadInput.of("weights of replicate", f"{g}: none", "at least one", "A mask must not be empty.")
        if kind == "sparse" and reason:
            raise BadInput.of("execution", "sparse", "a net that can be trained so", f"Use 'dense': {reason}.")
    for reason in {reason for reason in reasons if reason.startswith("numba")} if "auto" in kinds else ():
        _say(f"pruned nets train dense: {reason}")
    open_ = [g for g, (kind, reason) in enumerate(zip(kinds, reasons, strict=True)) if kind == "auto" and not reason]
    faster = _faster(net, examples, plan, open_) if open_ else {}  # type: ignore[arg-type]
    return [faster.get(g, kind if kind != "auto" else "dense") for g, kind in enumerate(kinds)]


def check_execution(asked: str | Sequence[str], groups: int) -> list[str]:
    """Return one execution per data group; BadInput for an unknown one or another number of them."""
    kinds = [asked] * groups if isinstance(asked, str) else list(asked)
    if len(kinds) != groups or not set(kinds) <= set(EXECUTIONS):
        raise BadInput.of("execution", asked, f"one of {EXECUTIONS}, or one per replicate", "Leave it out for 'auto'.")
    return kinds


def in_chunks(kinds: Sequence[str], size: int) -> list[tuple[int, int, str]]:
    """Return (start, stop, execution) of chunks: dense neighbours together (at most `size`), sparse ones alone."""
    chunks, at = [], 0
    for kind, run in groupby(kinds):
        count = len(list(run))
        ranges = ranges_of(count, size) if kind == "dense" else [(g, g + 1) for g in range(count)]
        chunks += [(at + a, at + b, kind) for a, b in ranges]
        at += count
    return chunks


def advancing(
    net: StackedMLP, examples: Examples, rule: Rule, batch: int, steps: int, how: str = "dense", lr: float = 0.01
) -> Callable[[object], object]:
    """Return a call that trains a copy of `net` by its first `steps` steps, "dense" or "sparse": made to be timed.

    All in one go, as `fit` hands whole spans of steps to its engines; what the call is given does not matter.
    """
    engine = ENGINES[how](net.clone(), rule, "cross_entropy")
    batches = Batches(examples.with_inputs(net.pad(examples.x)), net.seeds, batch)
    return lambda _: engine.advance(batches, range(steps), lambda step: lr)


def _faster(net: StackedMLP, examples: Examples, plan: Plan, among: list[int]) -> dict[int, str]:
    """Return the faster execution of each replicate in `among`: dense is timed once, sparse at both ends of density."""
    live = live_weights(net)[among]
    ends = [int(live.argmin()), int(live.argmax())]
    dense = _seconds(net, examples, plan, [among[0], among[-1]], "dense") / 2
    sparse = [_seconds(net, examples, plan, [among[end]], "sparse") for end in ends]
    expected = np.interp(live, live[ends], sparse)
    return {g: "sparse" if seconds < dense else "dense" for g, seconds in zip(among, expected, strict=True)}


def _seconds(net: StackedMLP, examples: Examples, plan: Plan, positions: list[int], how: str) -> float:
    """Return the time of a few steps on copies of these replicates, at rate 0 and on one thread as in a chunk."""
    part, threads = net.select(positions), torch.get_num_threads()
    engine = ENGINES[how](part, plan_for(plan, positions, net).rule, plan.loss)
    batches = Batches(examples.select(positions), part.seeds, plan.batch_size, plan.drop_last)
    torch.set_num_threads(1)
    try:
        engine.advance(batches, range(1), lambda step: 0.0)  # buffers, and the compiler
        begin = time.perf_counter()
        engine.advance(batches, range(1, 1 + TIMED_STEPS), lambda step: 0.0)
        return time.perf_counter() - begin
    finally:
        torch.set_num_threads(threads)


@cache
def _say(line: str) -> None:
    logging.getLogger(__name__).warning(line)
