"""What a run is asked to do and what it has seen so far: the plan, the probes, and which replicates have stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.nets.losses import Loss, losses_and_errors
from redlib.training.engines import Engine
from redlib.training.examples import Examples
from redlib.training.history import History
from redlib.training.optimisers import Rule
from redlib.training.schedules import Schedule

Probe = Callable[[Any], Any]


class Diverged(ArithmeticError):
    """The training loss became NaN or infinite, or an evaluated one NaN; the message names step and replicate."""


@dataclass(frozen=True)
class Plan:
    """Everything about a run but the net and the data; made and checked by `fit`."""

    loss: Loss
    rule: Rule
    schedule: Schedule
    total: int
    batch_size: int | None
    probe_steps: tuple[int, ...]
    evaluate: Mapping[str, Examples]
    probes: Mapping[str, Probe]
    stop: Callable[[Mapping[str, Tensor]], Tensor] | None
    label: str = ""
    drop_last: bool = False
    first: int = 0  # number, in the whole stack, of the first replicate of a chunk


class Record:
    """What one run has seen so far: losses, probes, and which replicates have stopped."""

    def __init__(self, engine: Engine, plan: Plan):
        self.engine, self.plan = engine, plan
        self.losses: list[Tensor] = []  # blocks [R, steps]
        self.first, self.checked = 0, 0
        self.steps: list[int] = []
        self.values: dict[str, list[Tensor]] = {}
        self.stopped = torch.full((engine.replicates,), -1, dtype=torch.int64)
        per_replicate = isinstance(plan.rule.lr, tuple) or plan.stop is not None
        self.base = rates_of(plan.rule.lr, engine.replicates) if per_replicate else None

    def rate(self, step: int) -> float | Tensor:
        """Return the rate of this step: a number, or one per replicate (0 where it has stopped)."""
        factor = self.plan.schedule(step, self.plan.total)
        if self.base is None:
            return float(self.plan.rule.lr) * factor  # type: ignore[arg-type]
        return (self.base * factor * (self.stopped < 0)).to(self.engine.device)

    def probe(self, step: int) -> None:
        """Evaluate every probe after `step` steps and mark the replicates that meet the stop criterion."""
        self.check_finite()
        found = dict(evaluate_all(self.engine, self.plan))
        self._check_evaluated(found, step)
        for name, measure in self.plan.probes.items():
            found[name] = torch.as_tensor(measure(self.engine.net))
        for name, value in found.items():
            self.values.setdefault(name, []).append(value.cpu())
        self.steps.append(step)
        if self.plan.stop is not None:
            met = torch.as_tensor(self.plan.stop(found)).cpu() & (self.stopped < 0)
            self.stopped[met] = step

    def check_finite(self) -> None:
        """Raise Diverged if a loss since the last look is NaN or infinite."""
        recent = self.losses[self.checked :]
        if not recent:
            return
        losses = torch.cat(recent, 1)
        bad = (~torch.isfinite(losses)).T.nonzero()
        if len(bad):
            at, replicate = bad[0].tolist()
            before = sum(block.shape[1] for block in self.losses[: self.checked])
            what = f"loss of replicate {self.plan.first + replicate} is {losses[replicate, at].item()}"
            raise Diverged(f"{what} at step {self.first + before + at}: {self._remedy()}")
        self.checked = len(self.losses)

    def _check_evaluated(self, found: Mapping[str, Tensor], step: int) -> None:
        """Raise Diverged if an evaluated loss is NaN: the last update before the look was the fatal one."""
        for name, values in found.items():
            if len(bad := values.isnan().nonzero()) and name.endswith("_loss"):
                what = f"{name} of replicate {self.plan.first + int(bad[0])} is nan"
                raise Diverged(f"{what} after step {step}: {self._remedy()}")

    def _remedy(self) -> str:
        return f"lower the rate (lr = {self.plan.rule.lr}), or add a warm-up"

    def history(self, per_epoch: int, state: dict[str, Any]) -> History:
        """Return everything as arrays, replicates first."""
        values = {name: torch.stack(v, 1).numpy() for name, v in self.values.items()}
        losses = torch.cat(self.losses, 1).cpu().numpy() if self.losses else np.zeros((self.engine.replicates, 0))
        return History(np.array(self.steps), per_epoch, values, losses, self.stopped.numpy().copy(), state)


def evaluate_all(engine: Engine, plan: Plan) -> Iterable[tuple[str, Tensor]]:
    """Yield (<name>_loss, [R]) and (<name>_error, [R]) of every example set of the plan; targets have no errors."""
    for name, part in plan.evaluate.items():
        loss, error = mean_loss_and_error(engine, part, plan.loss)
        yield f"{name}_loss", loss
        if not part.y.is_floating_point():
            yield f"{name}_error", error


@torch.no_grad()
def mean_loss_and_error(engine: Engine, examples: Examples, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return the mean loss and the share of errors in [0, 1] of each replicate, [R] float64 on the CPU.

    The error is NaN where there is none: for NaN logits, and for targets that are no labels. BadInput without examples.
    """
    if not len(examples):
        raise BadInput.of("number of examples", 0, ">= 1", "Leave the set out.")
    each = engine.replicates // engine.groups
    sums = torch.zeros(2, engine.replicates, dtype=torch.float64)
    for x, y in examples.parts(engine.groups):
        values = _judged(engine.logits(x), y.repeat_interleave(each, 0), loss)
        sums += torch.stack([v.double().sum(-1) for v in values]).cpu()
    loss_mean, error = sums / len(examples)
    return loss_mean, error


def _judged(logits: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return (losses, errors) [R, n]; a callable loss is a mean, which stands for each of its n examples."""
    if isinstance(loss, str):
        return losses_and_errors(logits, y, loss)
    means = torch.stack([loss(own, told) for own, told in zip(logits, y, strict=True)])
    losses = means[:, None].expand(-1, y.shape[1])
    if y.is_floating_point():
        return losses, torch.full_like(losses, torch.nan)
    return losses, (logits.argmax(-1) != y).to(losses.dtype).masked_fill(losses.isnan(), torch.nan)


def rates_of(lr: float | tuple[float, ...], replicates: int) -> Tensor:
    """Return one rate per replicate [R]; BadInput where a tuple of rates has another length."""
    if isinstance(lr, tuple) and len(lr) != replicates:
        raise BadInput.of("number of rates", len(lr), f"{replicates}, one per replicate", "Or pass one number.")
    return torch.tensor(lr if isinstance(lr, tuple) else [lr] * replicates, dtype=torch.float32)
