"""Named configurations carried out as one sweep: seeds in groups that are stored apart, and joined again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from redlib.data.sources import Dataset

Arrays = dict[str, np.ndarray]
SHARED = ("steps", "epochs", "weights", "sparsity", "path_sparsity")  # arrays without a seed axis


def carry_out(
    study: Any, run: Callable[..., Arrays], plan: Mapping[str, Any], *data: Dataset, size: int = 5
) -> dict[str, Arrays]:
    """Return run(config) of every named configuration; its seeds run in groups of at most `size`.

    Each group stores its own results, so an interrupted sweep goes on where it stopped.
    """
    seeds = {name: seeds_of(config) for name, config in plan.items()}
    parts = {name: np.array_split(own, -(-len(own) // size)) for name, own in seeds.items()}
    configs = [with_seeds(plan[name], group.tolist()) for name, split in parts.items() for group in split]
    digests = "".join(dict.fromkeys(study.data(one).digest for one in data))
    results = iter(study.sweep(run, configs, data=digests, label="runs").results)
    return {name: joined([next(results) for _ in split]) for name, split in parts.items()}


def levels(name: str, source: Any, depth: int) -> dict[str, Any]:
    """Return the levels 0 … depth of a chain, named "<name> 0", "<name> 1", …"""
    return {f"{name} {level}": replace(source, level=level) for level in range(depth + 1)}


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Return the results of groups of seeds as one, seeds in order."""
    first = parts[0]
    return {name: first[name] if name in SHARED else np.concatenate([part[name] for part in parts]) for name in first}


def with_seeds(config: Any, seeds: Sequence[int]) -> Any:
    """Return the configuration for other seeds, wherever in it they are named."""
    changes: dict[str, Any] = {}
    for part in fields(config):
        value = getattr(config, part.name)
        if part.name == "seeds":
            changes["seeds"] = tuple(seeds)
        elif is_dataclass(value):
            changes[part.name] = with_seeds(value, seeds)
    return replace(config, **changes)


def seeds_of(config: Any) -> tuple[int, ...]:
    """Return the seeds a configuration names, directly or in a part of it."""
    if hasattr(config, "seeds"):
        return tuple(config.seeds)
    parts = (getattr(config, part.name) for part in fields(config))
    return next(seeds_of(part) for part in parts if is_dataclass(part) and not isinstance(part, type))
