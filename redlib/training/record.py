"""What a run is asked to do and what it has seen so far: the plan, the probes, and which replicates have stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.nets.losses import Loss, losses_and_errors
from redlib.training.engines import Engine
from redlib.training.examples import Examples
from redlib.training.history import History
from redlib.training.labels import check_layout, has_classes, per_label
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
    until: int | None = None  # the step at which a part of the run ends; None: total
    remembers: bool = False  # whether the state holds what was seen so far

    @property
    def seen(self) -> list[str]:
        """Names of what is probed."""
        sets = [(f"{name}_loss", *([] if part.y.is_floating_point() else [f"{name}_error"]))
                for name, part in self.evaluate.items()]  # fmt: skip
        return sorted([*(name for names in sets for name in names), *self.probes])


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

    def past(self) -> dict[str, Any]:
        """Return what was seen so far, as tensors."""
        values = {name: torch.stack(seen, 1) for name, seen in self.values.items()}
        losses = torch.cat(self.losses, 1).cpu() if self.losses else torch.zeros(self.engine.replicates, 0)
        return {"first": self.first, "steps": list(self.steps), "values": values, "losses": losses}

    def remember(self, past: dict[str, Any]) -> None:
        """Go on from what `past` returned; BadInput where other things were probed."""
        if past["steps"] and sorted(past["values"]) != self.plan.seen:
            remedy = "Probe the same, or begin anew with another file."
            raise BadInput.of("probes", self.plan.seen, f"those of the state, {sorted(past['values'])}", remedy)
        self.first, self.steps = past["first"], list(past["steps"])
        self.values = {name: list(seen.unbind(1)) for name, seen in past["values"].items()}
        self.losses, self.checked = [past["losses"].to(self.engine.device)], 1

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

    Labels per token are counted one by one, those to be ignored not at all. The error is NaN where there is none: for
    NaN logits, for targets that are no labels, and where a callable loss takes outputs without classes on axis 1.
    BadInput without examples.
    """
    if not len(examples):
        raise BadInput.of("number of examples", 0, ">= 1", "Leave the set out.")
    each = engine.replicates // engine.groups
    sums = torch.zeros(2, engine.replicates, dtype=torch.float64)
    counts = torch.zeros(engine.replicates, dtype=torch.float64)
    for x, y in examples.parts(engine.groups):
        found = judged(engine.logits(x), y.repeat_interleave(each, 0), loss, examples.ignore)
        sums += torch.stack([v.double().sum(-1) for v in (found.losses, found.errors)]).cpu()
        counts += found.counted.sum(-1).cpu()
    loss_mean, error = sums / counts
    return loss_mean, error


class Judged(NamedTuple):
    """What nets make of some examples, [R, n] with a column for each label; 0 where it is not counted."""

    losses: Tensor
    errors: Tensor
    labels: Tensor
    counted: Tensor  # bool


def judged(logits: Tensor, y: Tensor, loss: Loss, ignore: int | None = None) -> Judged:
    """Return the losses and errors of outputs [R, B, ...] on y [R, B, ...].

    A callable loss is a mean, which stands for each of its labels (or targets, one an example). BadInput where the
    named losses cannot read the outputs.
    """
    labels = y.flatten(1) if not y.is_floating_point() else y.new_zeros(y.shape[:2])
    counted = torch.ones_like(labels, dtype=torch.bool) if ignore is None else labels != ignore
    told = labels if ignore is None else labels.masked_fill(~counted, 0)
    if isinstance(loss, str):
        check_layout(logits[0], y.shape[2:])
        losses, errors = losses_and_errors(per_label(logits, y, 1)[0], told, loss)
    else:
        means = torch.stack([loss(own, theirs) for own, theirs in zip(logits, y, strict=True)])
        losses = means[:, None].expand(-1, labels.shape[1])
        errors = torch.full_like(losses, torch.nan)
        if not y.is_floating_point() and has_classes(logits[0], y.shape[2:]):
            wrong = per_label(logits, y, 1)[0].argmax(-1) != told
            errors = wrong.to(losses.dtype).masked_fill(losses.isnan(), torch.nan)
    if ignore is not None:
        losses, errors = (values.masked_fill(~counted, 0) for values in (losses, errors))
    return Judged(losses, errors, told, counted)


def rates_of(lr: float | tuple[float, ...], replicates: int) -> Tensor:
    """Return one rate per replicate [R]; BadInput where a tuple of rates has another length."""
    if isinstance(lr, tuple) and len(lr) != replicates:
        raise BadInput.of("number of rates", len(lr), f"{replicates}, one per replicate", "Or pass one number.")
    return torch.tensor(lr if isinstance(lr, tuple) else [lr] * replicates, dtype=torch.float32)
