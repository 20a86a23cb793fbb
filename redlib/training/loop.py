"""The one training loop: `fit` trains stacked MLPs or any modules, with probes, early stop and resuming."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import check_loss, losses_and_errors
from redlib.progress import progress
from redlib.training.engines import AutogradEngine, Engine, StackedEngine
from redlib.training.examples import Batches, Examples, examples_per_batch
from redlib.training.history import History, join
from redlib.training.optimisers import SGD, Rule
from redlib.training.schedules import Schedule, constant

Net = StackedMLP | RaggedMLP | nn.Module | Sequence[nn.Module]
Probe = Callable[[Any], Any]
CHECK_EVERY = 64  # steps between two looks for a NaN loss: a look waits for the device
CACHE_BYTES = 8 * 2**20  # working set of a chunk of replicates; larger stacks run out of the cache


class Diverged(ArithmeticError):
    """The training loss became NaN or infinite; the message names step and replicate."""


@dataclass(frozen=True)
class Plan:
    """Everything about a run but the net and the data; made and checked by `fit`."""

    loss: str
    rule: Rule
    schedule: Schedule
    total: int
    batch_size: int | None
    probe_steps: tuple[int, ...]
    evaluate: Mapping[str, Examples]
    probes: Mapping[str, Probe]
    stop: Callable[[Mapping[str, Tensor]], Tensor] | None
    precision: str = "fp32"
    label: str = ""


def fit(
    net: Net,
    examples: Examples,
    *,
    loss: str = "cross_entropy",
    optimizer: Rule | None = None,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = 128,
    seeds: Sequence[int] | None = None,
    evaluate: Mapping[str, Examples] | None = None,
    probes: Mapping[str, Probe] | None = None,
    probe_steps: Iterable[int] | None = None,
    probe_epochs: Iterable[float] | None = None,
    stop: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
    resume: dict[str, Any] | None = None,
    chunk: int | None = None,
    device: str = "auto",
    precision: str = "fp32",
    label: str = "",
) -> History:
    """Train every replicate of `net` in place; return the probed values [R, T, ...] and a state to resume from.

    `net` is a stacked or ragged MLP (the fast step), an `nn.Module`, or a list of modules (one per
    replicate). Length: `epochs` or `steps` in all, counted from the start even when resuming. `evaluate`
    names example sets whose `<name>_loss` and `<name>_error` are probed; `probes` names functions of the net.
    Probes run at `probe_steps` or `probe_epochs` (default: the end). `stop` maps the probed values to a bool
    per replicate; where it is true the replicate keeps its weights from then on, and `stopped_at` says when.
    Replicates run in chunks that fit the cache (`chunk` = data groups at once). Each depends only on its own
    seed: trained alone or among others gives the same bits on the same machine and number of threads.
    Raises BadInput, or Diverged when a loss is not finite.
    """
    modules = [net] if isinstance(net, nn.Module) else net
    target = _device(device)
    examples = examples.to(target)
    evaluate = {name: part.to(target) for name, part in (evaluate or {}).items()}
    batches = -(-len(examples) // examples_per_batch(batch_size, len(examples)))
    total = _total_steps(epochs, steps, batches)
    at = _probe_steps(probe_steps, probe_epochs, batches, total)
    rule = optimizer or SGD()
    plan = Plan(check_loss(loss), rule, schedule or constant(), total, batch_size, at, evaluate, probes or {}, stop, precision, label)  # fmt: skip
    if isinstance(modules, StackedMLP | RaggedMLP):
        return _fit_chunks(modules, examples, plan, resume, chunk, target)
    for module in modules:
        module.to(target)
    engine = AutogradEngine(modules, rule, loss, precision)
    return _run(engine, examples, plan, tuple(seeds or range(len(modules))), resume)


def _fit_chunks(net: StackedMLP | RaggedMLP, examples: Examples, plan: Plan, resume, chunk, device) -> History:
    moved = net.to(device)
    examples, plan = _laid_out(moved, examples, plan)
    states = (resume or {}).get("chunks")
    if states:
        ranges = [(state["start"], state["stop"]) for state in states]
    else:
        ranges = _chunks(net.groups, chunk or _chunk_size(net, plan.batch_size or len(examples)))

    def train(i: int) -> History:
        a, b = ranges[i]
        # A lone replicate takes another GEMM path (1e-7 off after 50 steps): it trains beside a copy of itself.
        positions = [a, a] if b == a + 1 else list(range(a, b))
        part = moved.select(positions)
        engine = StackedEngine(part, (own := _plan_for(plan, positions, net)).rule, plan.loss)
        history = _run(engine, examples.select(positions), own, part.seeds, states and states[i])
        moved.put(part, a, b - a)
        history.state |= {"start": a, "stop": b}
        return history.first((b - a) * net.replicates // net.groups)

    parts = _in_threads(train, len(ranges), device)
    if moved is not net:
        net.flat.copy_(moved.flat)
    return join(parts)


def _laid_out(net: StackedMLP | RaggedMLP, examples: Examples, plan: Plan) -> tuple[Examples, Plan]:
    """Return examples and plan over pools in the layout of the stacked step; shared pools stay shared."""
    pools: dict[int, Tensor] = {}

    def laid_out(part: Examples) -> Examples:
        if id(part.x) not in pools:
            pools[id(part.x)] = net.pad(part.x.flatten(1))
        return part.with_inputs(pools[id(part.x)])

    return laid_out(examples), replace(plan, evaluate={name: laid_out(part) for name, part in plan.evaluate.items()})


def _in_threads(train: Callable[[int], History], count: int, device: torch.device) -> list[History]:
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


@torch.no_grad()
def _run(engine: Engine, examples: Examples, plan: Plan, seeds: Sequence[int], resume) -> History:
    batches = Batches(examples, seeds, plan.batch_size)
    record = _Record(engine, plan)
    start = 0
    if resume:
        engine.load(resume["engine"])
        start, record.stopped = resume["step"], resume["stopped"].clone()
    steps = range(start, plan.total)
    if start in plan.probe_steps and not resume:
        record.probe(start)
    for step in progress(steps, plan.label, total=len(steps)) if plan.label else steps:
        x, y = batches.at(step)
        record.losses.append(engine.step(x, y, record.rate(step)))
        if (step + 1) % CHECK_EVERY == 0:
            record.check_finite(step)
        if step + 1 in plan.probe_steps:
            record.probe(step + 1)
            if bool((record.stopped >= 0).all()):
                break
    record.check_finite(step if len(steps) else start)
    return record.history(batches.per_epoch, {"engine": engine.state(), "step": start + len(record.losses), "stopped": record.stopped})  # fmt: skip


class _Record:
    """What one run has seen so far: losses, probes, and which replicates have stopped."""

    def __init__(self, engine: Engine, plan: Plan):
        self.engine, self.plan = engine, plan
        self.losses: list[Tensor] = []
        self.checked = 0
        self.steps: list[int] = []
        self.values: dict[str, list[Tensor]] = {}
        self.stopped = torch.full((engine.replicates,), -1, dtype=torch.int64)
        per_replicate = isinstance(plan.rule.lr, tuple) or plan.stop is not None
        self.base = _rates(plan.rule.lr, engine.replicates) if per_replicate else None

    def rate(self, step: int) -> float | Tensor:
        """Return the rate of this step: a number, or one per replicate (0 where it has stopped)."""
        factor = self.plan.schedule(step, self.plan.total)
        if self.base is None:
            return float(self.plan.rule.lr) * factor  # type: ignore[arg-type]
        return (self.base * factor * (self.stopped < 0)).to(self.engine.device)

    def probe(self, step: int) -> None:
        """Evaluate every probe after `step` steps and mark the replicates that meet the stop criterion."""
        self.check_finite(step - 1)
        found = dict(_evaluate_all(self.engine, self.plan))
        for name, measure in self.plan.probes.items():
            found[name] = torch.as_tensor(measure(self.engine.net))
        for name, value in found.items():
            self.values.setdefault(name, []).append(value.cpu())
        self.steps.append(step)
        if self.plan.stop is not None:
            met = torch.as_tensor(self.plan.stop(found)).cpu() & (self.stopped < 0)
            self.stopped[met] = step

    def check_finite(self, step: int) -> None:
        """Raise Diverged if a loss since the last look is NaN or infinite."""
        recent = self.losses[self.checked :]
        if not recent:
            return
        losses = torch.stack(recent)
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            at, replicate = bad[0].tolist()
            raise Diverged(
                f"loss of replicate {replicate} is {losses[at, replicate].item()} at step {step - len(recent) + 1 + at}: "
                f"lower the rate (lr = {self.plan.rule.lr}), or add a warm-up"
            )
        self.checked = len(self.losses)

    def history(self, per_epoch: int, state: dict[str, Any]) -> History:
        """Return everything as arrays, replicates first."""
        values = {name: torch.stack(v, 1).numpy() for name, v in self.values.items()}
        losses = torch.stack(self.losses, 1).cpu().numpy() if self.losses else np.zeros((self.engine.replicates, 0))
        return History(np.array(self.steps), per_epoch, values, losses, self.stopped.numpy().copy(), state)


def evaluate(net: StackedMLP | RaggedMLP, examples: Examples, loss: str = "cross_entropy") -> dict[str, Tensor]:
    """Return {"loss": [R], "error": [R]} of a stacked net on `examples`: mean loss, and share of errors in [0, 1]."""
    examples = examples.with_inputs(net.pad(examples.x.flatten(1)))
    total, wrong = _evaluate(StackedEngine(net, SGD(), loss), examples, loss)
    return {"loss": total, "error": wrong}


def _evaluate_all(engine: Engine, plan: Plan) -> Iterable[tuple[str, Tensor]]:
    for name, part in plan.evaluate.items():
        loss, error = _evaluate(engine, part, plan.loss)
        yield f"{name}_loss", loss
        yield f"{name}_error", error


@torch.no_grad()
def _evaluate(engine: Engine, examples: Examples, loss: str) -> tuple[Tensor, Tensor]:
    each = engine.replicates // engine.groups
    sums = torch.zeros(2, engine.replicates, dtype=torch.float64)
    for x, y in examples.parts(engine.groups):
        values = losses_and_errors(engine.logits(x), y.repeat_interleave(each, 0), loss)
        sums += torch.stack([v.double().sum(-1) for v in values]).cpu()
    loss_mean, error = sums / len(examples)
    return loss_mean, error


def _rates(lr: float | tuple[float, ...], replicates: int) -> Tensor:
    if isinstance(lr, tuple) and len(lr) != replicates:
        raise BadInput.of("number of rates", len(lr), f"{replicates}, one per replicate", "Or pass one number.")
    return torch.tensor(lr if isinstance(lr, tuple) else [lr] * replicates, dtype=torch.float32)


def _total_steps(epochs: int | None, steps: int | None, batches: int) -> int:
    if (epochs is None) == (steps is None):
        raise BadInput.of("epochs, steps", (epochs, steps), "exactly one of them", "Say how long to train.")
    total = steps if steps is not None else int(epochs or 0) * batches
    if total < 1:
        raise BadInput.of("length", total, ">= 1 step", "Train for at least one step.")
    return total


def _probe_steps(steps, epochs, batches: int, total: int) -> tuple[int, ...]:
    if steps is not None and epochs is not None:
        raise BadInput.of("probe_steps and probe_epochs", (steps, epochs), "one of them", "Drop one.")
    wanted = [round(e * batches) for e in epochs] if epochs is not None else list(steps or [total])
    if not wanted or not all(0 <= step <= total for step in wanted):
        raise BadInput.of("probe steps", wanted, f"0 <= step <= {total}", "Probe within the run.")
    return tuple(sorted(set(wanted)))


def _chunk_size(net: StackedMLP | RaggedMLP, batch: int) -> int:
    if net.flat.device.type != "cpu":
        return net.groups
    units = sum(block.shape[1] for block in net.blocks) + net.blocks[0].shape[2]
    each = net.flat.element_size() * (3 * len(net.flat) // net.groups + 2 * batch * units)
    fits = max(2, CACHE_BYTES // each)
    return max(2, min(fits, -(-net.groups // torch.get_num_threads())))


def _chunks(groups: int, size: int) -> list[tuple[int, int]]:
    """Return even ranges of at most `size` groups, and never a single one beside others."""
    if size < 1:
        raise BadInput.of("chunk", size, ">= 1 replicate", "Leave it out to fit the cache.")
    count = min(-(-groups // size), max(1, groups // 2))
    edges = [round(i * groups / count) for i in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _plan_for(plan: Plan, positions: list[int], net: StackedMLP | RaggedMLP) -> Plan:
    rule = plan.rule
    if isinstance(rule.lr, tuple):
        table = _rates(rule.lr, net.replicates).view(net.groups, -1)
        rule = replace(rule, lr=tuple(table[positions].flatten().tolist()))
    evaluate = {name: part.select(positions) for name, part in plan.evaluate.items()}
    return replace(plan, rule=rule, evaluate=evaluate)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
