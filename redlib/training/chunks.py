"""A stack trained in chunks of replicates that fit the cache, side by side on the cores; bits stay the same."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training.examples import Examples
from redlib.training.history import History
from redlib.training.record import Plan, rates_of

CACHE_BYTES = 8 * 2**20  # working set of a chunk of replicates; larger stacks run out of the cache


def laid_out(net: StackedMLP | RaggedMLP, examples: Examples, plan: Plan) -> tuple[Examples, Plan]:
    """Return examples and plan over pools in the layout of the stacked step; shared pools stay shared."""
    pools: dict[int, Tensor] = {}

    def converted(part: Examples) -> Examples:
        if id(part.x) not in pools:
            pools[id(part.x)] = net.pad(part.x.flatten(1))
        return part.with_inputs(pools[id(part.x)])

    return converted(examples), replace(plan, evaluate={name: converted(part) for name, part in plan.evaluate.items()})


def in_threads(train: Callable[[int], History], count: int, device: torch.device) -> list[History]:
    """Run the chunks, side by side on a CPU: one thread each beats all threads on one, and bits stay the same.

    The number of threads inside an operation never depends on the machine, so neither do the results.
    """
    if device.type != "cpu":
        return [train(i) for i in range(count)]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(threads, count), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(train, range(count)))
    finally:
        torch.set_num_threads(threads)


def chunk_size(net: StackedMLP | RaggedMLP, batch: int) -> int:
    """Return how many data groups to train at once: what fits the cache and keeps every core busy, at least two."""
    if net.flat.device.type != "cpu":
        return net.groups
    units = sum(block.shape[1] for block in net.blocks) + net.blocks[0].shape[2]
    each = net.flat.element_size() * (3 * len(net.flat) // net.groups + 2 * batch * units)
    fits = max(2, CACHE_BYTES // each)
    return max(2, min(fits, -(-net.groups // torch.get_num_threads())))


def ranges_of(groups: int, size: int) -> list[tuple[int, int]]:
    """Return even ranges of at most `size` groups, and never a single one beside others."""
    if size < 1:
        raise BadInput.of("chunk", size, ">= 1 replicate", "Leave it out to fit the cache.")
    count = min(-(-groups // size), max(1, groups // 2))
    edges = [round(i * groups / count) for i in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def plan_for(plan: Plan, positions: list[int], net: StackedMLP | RaggedMLP) -> Plan:
    """Return the plan of a selection of data groups: their rates and their share of the example sets."""
    rule = plan.rule
    if isinstance(rule.lr, tuple):
        table = rates_of(rule.lr, net.replicates).view(net.groups, -1)
        rule = replace(rule, lr=tuple(table[positions].flatten().tolist()))
    evaluate = {name: part.select(positions) for name, part in plan.evaluate.items()}
    return replace(plan, rule=rule, evaluate=evaluate, first=positions[0] * net.replicates // net.groups)
