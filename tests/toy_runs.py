"""Run functions for the tests of the sweep: small, importable by worker processes, outside redlib."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redlib.errors import BadInput


@dataclass(frozen=True)
class Toy:
    """A run of the tests: its seed, its size, and where it leaves a trace of having been executed."""

    seed: int
    size: int = 64
    pause_s: float = 0.0
    log: str = ""

    @property
    def cost(self) -> int:
        return self.size


def toy(config: Toy) -> dict[str, np.ndarray]:
    """Matrix work whose last bits depend on the number of BLAS threads."""
    if config.log:
        with open(config.log, "a") as log:
            log.write(f"{config.seed} {os.getpid()}\n")
    time.sleep(config.pause_s)
    x = np.random.default_rng(config.seed).standard_normal((config.size, config.size))
    return {"gram": x @ x.T, "values": np.linalg.svd(x, compute_uv=False)}


def toy_torch(config: Toy) -> dict[str, np.ndarray]:
    """The same in torch, with the number of threads it saw."""
    import torch

    x = torch.randn(config.size, config.size, generator=torch.Generator().manual_seed(config.seed))
    return {
        "product": (x @ x.T).numpy(),
        "sum": x.sum().numpy(),
        "threads": np.array(torch.get_num_threads()),
    }


def failing(config: Toy) -> dict[str, np.ndarray]:
    """Fails for seed 2 only."""
    if config.seed == 2:
        raise BadInput.of("seed", 2, "any other seed", "choose another one")
    return toy(config)


def suicidal(config: Toy) -> dict[str, np.ndarray]:
    """A worker that dies as if the system had killed it for want of memory."""
    os._exit(9)


def executions(log: Path) -> list[int]:
    """Return the seeds of the runs that were executed, in order."""
    return [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


@dataclass(frozen=True)
class Link:
    """One link of a chain: level 0 starts, every other goes on from the one below."""

    level: int
    log: str = ""
    branch: str = ""
    cost: float = 0.0

    @property
    def previous(self) -> "Link | None":
        return Link(self.level - 1, self.log, cost=self.cost) if self.level else None


def linked(config: Link, before: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """The sum of all levels up to this one, from what the level below left."""
    with open(config.log, "a") as log:
        log.write(f"{config.level} {os.getpid()}\n")
    return {"sum": np.asarray((0 if before is None else before["sum"]) + config.level)}
