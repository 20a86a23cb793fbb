"""The one training loop: `fit` trains stacked MLPs or any modules, with probes, early stop and resuming.

Each replicate depends only on its own seed: alone or among others gives the same bits on one machine, number of threads
and execution. Stacks run in chunks of replicates that fit the cache. Where modules draw from torch's global generator
(dropout), it is set for each of them and each step from the stream "dropout" of its seed, and restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import Loss, check_loss
from redlib.progress import progress
from redlib.training.arguments import whole_number
from redlib.training.checks import (
    check_examples,
    check_module_options,
    check_modules,
    check_nets,
    check_seeds,
    check_stack,
    checked,
)
from redlib.training.chunks import chunk_size, in_threads, laid_out, plan_for
from redlib.training.engines import AutogradEngine, Engine
from redlib.training.examples import Batches, Examples, batches_per_epoch
from redlib.training.execution import ENGINES, check_execution, chosen, evaluator, in_chunks
from redlib.training.history import History, join
from redlib.training.optimisers import SGD, Rule
from redlib.training.record import Plan, Probe, Record, mean_loss_and_error, rates_of
from redlib.training.resuming import check_state, description
from redlib.training.schedules import Schedule, constant

Net = StackedMLP | RaggedMLP | nn.Module | Sequence[nn.Module]
CHECK_EVERY = 64  # steps between two looks for a NaN loss: a look waits for the device


def fit(
    net: Net,
    examples: Examples,
    *,
    loss: Loss = "cross_entropy",
    optimizer: Rule | None = None,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = 128,
    drop_last: bool = False,
    seeds: Sequence[int] | None = None,
    evaluate: Mapping[str, Examples] | None = None,
    probes: Mapping[str, Probe] | None = None,
    probe_steps: Iterable[int] | None = None,
    probe_epochs: Iterable[float] | None = None,
    stop: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
    resume: dict[str, Any] | None = None,
    chunk: int | None = None,
    device: str = "auto",
    execution: str | Sequence[str] = "auto",
    precision: str = "fp32",
    label: str = "",
) -> History:
    """Train every replicate of `net` in place; return the probed values [R, T, ...] and a state to resume from.

    `net`: a stacked or ragged MLP (the fast step), a module, or a list of them (one per replicate, drawing from
    `seeds`; a stack has its own). Length: `epochs` or `steps` in all, from the start also when resuming the same run.
    `loss`: "cross_entropy", "mse" (one-hot), or for modules a function (outputs, y) -> mean over the examples.
    `evaluate` names sets whose `<name>_loss` and `<name>_error` are probed, `probes` functions of the net, at
    `probe_steps` or `probe_epochs` (default: the end). `stop` maps the probed values to a bool per replicate; where
    true its weights stay, and `stopped_at` says since when. `chunk`: data groups at once. `drop_last`: of each epoch,
    leave out what fills no batch. `execution` (for all, or one each): "dense", "sparse" (pruned stacks on a CPU, at
    a cost that follows their live weights; needs numba), or "auto", which times both and keeps the faster. They
    differ by rounding. `precision`: "fp32", or "bf16" for modules.
    Raises BadInput before the first step, and Diverged when a loss is not finite.
    """
    per_epoch = batches_per_epoch(batch_size, len(examples), drop_last)
    total, at = _length(per_epoch, epochs, steps, probe_steps, probe_epochs)
    watched = {name: part.to(_device(device)) for name, part in (evaluate or {}).items()}
    plan = checked(Plan(loss, optimizer or SGD(), schedule or constant(), total, batch_size, at, watched, probes or {},
                        stop, label, drop_last))  # fmt: skip
    if isinstance(net, StackedMLP | RaggedMLP):
        return _fit_stack(net, examples.to(_device(device)), plan, resume, chunk, execution, precision)
    kinds = check_execution(execution, 1 if isinstance(net, nn.Module) else len(net))
    check_module_options(chunk, kinds)
    return _fit_modules(check_nets(net), examples.to(_device(device)), plan, seeds, resume, precision)


def _fit_modules(
    net: Sequence[nn.Module],
    examples: Examples,
    plan: Plan,
    seeds: Sequence[int] | None,
    resume: dict[str, Any] | None,
    precision: str,
) -> History:
    own, modules = check_seeds(seeds, len(net)), [module.to(examples.x.device) for module in net]
    rates_of(plan.rule.lr, len(net))
    engine = AutogradEngine(modules, plan.rule, plan.loss, precision)
    run = description(modules, examples, plan, own, precision)
    check_state(resume, run, ("engine", "step", "stopped"))
    check_modules(engine, examples, plan)
    history = _run(engine, examples, plan, own, resume)
    history.state["run"] = run
    return history


def _fit_stack(
    net: StackedMLP | RaggedMLP,
    examples: Examples,
    plan: Plan,
    resume: dict[str, Any] | None,
    chunk: int | None,
    execution: str | Sequence[str],
    precision: str,
) -> History:
    moved = net.to(examples.x.device)
    check_stack(moved, examples, plan, precision)
    check_execution(execution, net.groups)
    run = description(moved, examples, plan, net.seeds, precision)
    check_state(resume, run, ("chunks",))
    examples, plan = laid_out(moved, examples, plan)
    ranges = _ranges(moved, examples, plan, resume, chunk, execution)
    states = resume and resume["chunks"]

    def train(i: int) -> History:
        a, b, how = ranges[i]
        # A lone replicate takes another GEMM path (1e-7 off after 50 steps): it trains beside a copy of itself.
        positions = [a, a] if b == a + 1 and how == "dense" else list(range(a, b))
        part = moved.select(positions)
        own = plan_for(plan, positions, net)
        engine = ENGINES[how](part, own.rule, plan.loss)
        history = _run(engine, examples.select(positions), own, part.seeds, states and states[i])
        moved.put(engine.net, a, b - a)
        history.state |= {"start": a, "stop": b, "execution": how}
        return history.first((b - a) * net.replicates // net.groups)

    parts = in_threads(train, len(ranges), moved.flat.device)
    if moved is not net:
        net.flat.copy_(moved.flat)
    history = join(parts)
    history.state["run"] = run
    return history


def _ranges(
    net: StackedMLP | RaggedMLP,
    examples: Examples,
    plan: Plan,
    resume: dict[str, Any] | None,
    chunk: int | None,
    execution: str | Sequence[str],
) -> list[tuple[int, int, str]]:
    """Return (start, stop, execution) of the chunks of replicates: those of the state to resume from, or new ones."""
    fits = chunk_size(net, plan.batch_size or len(examples))
    size = fits if chunk is None else whole_number("chunk", chunk, 1, "Leave it out to fit the cache.")
    if resume is not None:
        return [(state["start"], state["stop"], state["execution"]) for state in resume["chunks"]]
    return in_chunks(chosen(net, examples, plan, execution), size)


@torch.no_grad()
def _run(
    engine: Engine, examples: Examples, plan: Plan, seeds: Sequence[int], resume: dict[str, Any] | None
) -> History:
    batches = Batches(examples, seeds, plan.batch_size, plan.drop_last)
    record = Record(engine, plan)
    done = 0
    if resume:
        engine.load(resume["engine"])
        done, record.stopped = resume["step"], resume["stopped"].clone()
        record.first = done
    spans = _spans(done, plan)
    if done in plan.probe_steps and not resume:
        record.probe(done)
    for span in progress(spans, plan.label) if plan.label else spans:
        record.losses.append(engine.advance(batches, span, record.rate))
        record.check_finite()
        done = span.stop
        if done in plan.probe_steps:
            record.probe(done)
            if bool((record.stopped >= 0).all()):
                break
    state = {"engine": engine.state(), "step": done, "stopped": record.stopped}
    return record.history(batches.per_epoch, state)


def _spans(start: int, plan: Plan) -> list[range]:
    """Return the steps still to take, cut where something happens: a probe, or a look for a NaN."""
    if start >= plan.total:
        return []
    looks = range(start - start % CHECK_EVERY, plan.total, CHECK_EVERY)
    cuts = sorted({start, plan.total} | {at for at in (*plan.probe_steps, *looks) if start < at < plan.total})
    return [range(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def evaluate(net: StackedMLP | RaggedMLP, examples: Examples, loss: str = "cross_entropy") -> dict[str, Tensor]:
    """Return {"loss": [R], "error": [R]} of a stacked net on `examples`: mean loss, and share of errors in [0, 1].

    Both are NaN for nets with NaN weights. Raises BadInput for labels that are no output, or data that are not finite.
    """
    check_examples(net, examples)
    examples = examples.with_inputs(net.pad(examples.x.flatten(1)))
    total, wrong = mean_loss_and_error(evaluator(net, check_loss(loss)), examples, loss)
    return {"loss": total, "error": wrong}


def _length(
    per_epoch: int,
    epochs: int | None,
    steps: int | None,
    probe_steps: Iterable[int] | None,
    probe_epochs: Iterable[float] | None,
) -> tuple[int, tuple[int, ...]]:
    """Return (steps in all, the steps to probe at)."""
    if (epochs is None) == (steps is None):
        raise BadInput.of("epochs, steps", (epochs, steps), "exactly one of them", "Say how long to train.")
    longer = "Train for at least one step."
    total = whole_number("steps", steps, 1, longer) if epochs is None else 0
    if epochs is not None:
        total = whole_number("epochs", epochs, 1, f"{longer} steps counts parts of an epoch.") * per_epoch
    if probe_steps is not None and probe_epochs is not None:
        raise BadInput.of("probe_steps, probe_epochs", "both", "one of them", "Drop one.")
    at = [total]
    if probe_epochs is not None:
        at = [round(e * per_epoch) for e in probe_epochs]
    elif probe_steps is not None:
        asked = [whole_number("probe_steps", step, 0, f"0 <= step <= {total}.") for step in probe_steps]
        at = asked or at
    if not at or not all(0 <= step <= total for step in at):
        raise BadInput.of("probe steps", at, f"0 <= step <= {total}", "Probe within the run.")
    return total, tuple(sorted(set(at)))


def _device(name: str) -> torch.device:
    """Return the device called `name`; BadInput where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise BadInput.of("device", name, "auto, cpu or a device that torch finds", str(error)) from error
    return torch.device(name)
