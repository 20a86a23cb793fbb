"""Configurations for the tests of the sweep: small, importable by worker processes, outside redlib."""

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

    def run(self) -> dict[str, np.ndarray]:
        """Matrix work whose last bits depend on the number of BLAS threads."""
        if self.log:
            with open(self.log, "a") as log:
                log.write(f"{self.seed} {os.getpid()}\n")
        time.sleep(self.pause_s)
        x = np.random.default_rng(self.seed).standard_normal((self.size, self.size))
        return {"gram": x @ x.T, "values": np.linalg.svd(x, compute_uv=False)}


@dataclass(frozen=True)
class HeldToy(Toy):
    """The same, held in flight until a file is there: for what must happen in the middle of a run."""

    until: str = ""

    def run(self) -> dict[str, np.ndarray]:
        result = super().run()
        while self.until and not Path(self.until).exists():
            time.sleep(0.01)
        return result


@dataclass(frozen=True)
class TorchToy(Toy):
    """The same in torch, with the number of threads it saw."""

    def run(self) -> dict[str, np.ndarray]:
        import torch

        x = torch.randn(self.size, self.size, generator=torch.Generator().manual_seed(self.seed))
        return {
            "product": (x @ x.T).numpy(),
            "sum": x.sum().numpy(),
            "threads": np.array(torch.get_num_threads()),
        }


@dataclass(frozen=True)
class Failing(Toy):
    """Fails for seed 2 only."""

    def run(self) -> dict[str, np.ndarray]:
        if self.seed == 2:
            raise BadInput.of("seed", 2, "any other seed", "choose another one")
        return super().run()


@dataclass(frozen=True)
class Suicidal(Toy):
    """A worker that dies as if the system had killed it for want of memory."""

    def run(self) -> dict[str, np.ndarray]:
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

    def run(self, before: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """The sum of all levels up to this one, from what the level below left."""
        with open(self.log, "a") as log:
            log.write(f"{self.level} {os.getpid()}\n")
        return {"sum": np.asarray((0 if before is None else before["sum"]) + self.level)}
