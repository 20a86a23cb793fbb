"""What a training step of a pruned net costs in each way to execute it (LTH-32): dense stack, sparse graph, autograd.

Like `pruning_speed`, to be run alone: work beside it would be timed as well.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from redlib.data.streams import rng, torch_rng
from redlib.measures import cost
from redlib.nets import StackedMLP
from redlib.pruning import allocation, masks
from redlib.pruning.compaction import unstacked
from redlib.studies.pruning_speed import Arrays, gathered, training_step
from redlib.training import SGD, Batches, Examples
from redlib.training.execution import ENGINES
from redlib.training.sparse import why_not

TOGETHER = 2  # nets of a stack: a lone one takes another, slower matrix product


@dataclass(frozen=True)
class StepSpeed:
    """A plain MLP (LeNet-300-100) that keeps the largest initial weights of each layer, trained with momentum."""

    sizes: tuple[int, ...] = (784, 300, 100, 10)
    batch: int = 128
    densities: tuple[float, ...] = (1.0, 0.512, 0.211, 0.107, 0.055, 0.0115)
    steps: int = 8  # taken in one call and divided by: `fit` hands whole spans of steps to its engines
    repeats: int = 15
    threads: int = 1
    seeds: tuple[int, ...] = tuple(range(5))


def run(config: StepSpeed) -> Arrays:
    """Return seconds of one step of one net, all variants timed in turns.

    densities [D]; stack_s [S, repeats] the dense stack, whatever the density; sparse_s [S, D, repeats] the sparse step
    (those of the stack without numba, for then it is what runs); autograd_s [S, repeats] a plain module; masked_s
    [S, D, repeats] the same with a mask in every pass.
    """
    runs = [_timed(config, seed) for seed in config.seeds]
    arrays = {name: np.stack([found[name] for found in runs]) for name in runs[0]}
    if "sparse_s" not in arrays:
        arrays["sparse_s"] = np.broadcast_to(arrays["stack_s"][:, None], arrays["masked_s"].shape)
    return arrays | {"densities": np.array(config.densities)}


def _timed(config: StepSpeed, seed: int) -> Arrays:
    pool = Examples(
        torch.rand(16 * config.batch, config.sizes[0], generator=torch_rng(seed, "eval")),
        torch.from_numpy(rng(seed, "eval", 1).integers(0, config.sizes[-1], 16 * config.batch)),
    )
    x, y = pool.x[: config.batch], pool.y[: config.batch]
    stack = StackedMLP.create(config.sizes, [seed, *range(10**6, 10**6 + TOGETHER - 1)])
    calls: dict[str, cost.Call] = {"stack": _advance(stack, pool, config, "dense")}
    modules: dict[str, cost.Call] = {"autograd": training_step(unstacked(stack, 0), y)}
    for i, density in enumerate(config.densities):
        net = _pruned(stack, density)
        if not any(why_not(net)):
            calls[f"sparse {i}"] = _advance(net, pool, config, "sparse")
        modules[f"masked {i}"] = training_step(_masked(net), y)
    times = cost.interleaved(calls, x, config.repeats, config.threads)
    steps = {name: seconds / (config.steps * TOGETHER) for name, seconds in times.items()}
    return gathered(steps | cost.interleaved(modules, x, config.repeats, config.threads))


def _advance(net: StackedMLP, pool: Examples, config: StepSpeed, how: str) -> cost.Call:
    engine = ENGINES[how](net.clone(), SGD(0.01, momentum=0.9), "cross_entropy")
    batches = Batches(pool.with_inputs(net.pad(pool.x)), net.seeds, config.batch)
    return lambda _: engine.advance(batches, range(config.steps), lambda step: 0.01)


def _pruned(net: StackedMLP, density: float) -> StackedMLP:
    cut = net.clone()
    weights = masks.weights_of(cut)
    counts = allocation.layer_counts(allocation.shapes_of(weights), density)
    masks.apply(cut, allocation.keep({name: values.abs() for name, values in weights.items()}, counts))
    return cut


def _masked(net: StackedMLP) -> torch.nn.Module:
    module = copy.deepcopy(unstacked(net, 0))
    kept = (mask[:1] for mask in masks.masks_of(net).values())
    masks.apply(module, dict(zip(masks.weights_of(module), kept, strict=True)))
    return module
