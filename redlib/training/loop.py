"""The one training loop: `fit` trains stacked MLPs or any modules, with probes, early stop and resuming.

Each replicate depends only on its own seed: alone or among others gives the same bits on one machine, number of threads
and execution. Stacks run in chunks of replicates that fit the cache. Where modules draw from torch's global generator
(dropout), it is set for each of them and each step from the stream "dropout" of its seed, and restored.

Three options of `fit`. `chunk`: data groups of a stack at once. `execution` (for all, or one each): "dense", "sparse"
(pruned stacks on a CPU, at a cost that follows their live weights; needs numba), or "auto", which times both and keeps
the faster; they differ by rounding. `checkpoint`: a file to which the state is written every `checkpoint_every` steps
(None: an epoch) and at the end, and from which the same call goes on where it exists, to the weights and the history of
an uninterrupted run, bit for bit. It is refused where nets, their first weights, data or settings are others; the
schedule is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import Loss
from redlib.progress import progress
from redlib.training.arguments import whole_number
from redlib.training.checkpoints import Checkpoint, Train, checkpoint_of
from redlib.training.checks import (
    check_module_options,
    check_modules,
    check_nets,
    check_seeds,
    check_sets,
    check_stack,
    checked,
)
from redlib.training.chunks import chunk_size, in_threads, laid_out, plan_for
from redlib.training.engines import AutogradEngine, Engine
from redlib.training.examples import Batches, Examples, batches_per_epoch
from redlib.training.execution import ENGINES, check_execution, chosen, in_chunks
from redlib.training.history import History, join
from redlib.training.optimisers import SGD, Rule
from redlib.training.record import Plan, Probe, Record, rates_of
from redlib.training.resuming import State, architecture, check_state, description
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
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    chunk: int | None = None,
    device: str = "auto",
    execution: str | Sequence[str] = "auto",
    precision: str = "fp32",
    label: str = "",
) -> History:
    """Train every replicate of `net` in place; return the probed values [R, T, ...] and a state to resume from.

    `net`: a stacked or ragged MLP (the fast step), a module, or a list of them (one per replicate, drawing from
    `seeds`; a stack has its own). Length: `epochs` or `steps` in all, from the start also when resuming the same run.
    `loss`: "cross_entropy", "mse" (one-hot), or for modules a function (outputs, y) -> mean over the labels. Labels per
    token [n, T] (modules) go with outputs [n, C, T], as in torch: its mean is over tokens. `evaluate` names sets whose
    `<name>_loss` and `<name>_error` are probed, `probes` functions of the net, at `probe_steps` or `probe_epochs`
    (default: the end). `stop` maps the probed values to a bool per replicate; where true its weights stay, and
    `stopped_at` says since when. `drop_last`: of each epoch, leave out what fills no batch. `chunk`, `execution`,
    `checkpoint`: see the module. `precision`: "fp32", or "bf16" for modules.
    Raises BadInput before the first step, and Diverged when a loss is not finite.
    """
    check_sets(examples, evaluate or {})
    where, per_epoch = _device(device), batches_per_epoch(batch_size, len(examples), drop_last)
    total, at = _length(per_epoch, epochs, steps, probe_steps, probe_epochs)
    watched = {name: part.to(where) for name, part in (evaluate or {}).items()}
    plan = checked(Plan(loss, optimizer or SGD(), schedule or constant(), total, batch_size, at, watched, probes or {},
                        stop, label, drop_last))  # fmt: skip
    nets = net if isinstance(net, StackedMLP | RaggedMLP) else check_nets(net)
    keep = checkpoint_of(checkpoint, checkpoint_every, per_epoch, plan, nets)
    if isinstance(nets, StackedMLP | RaggedMLP):
        return _fit_stack(nets, examples.to(where), plan, resume, keep, chunk, execution, precision)
    check_module_options(chunk, check_execution(execution, len(nets)))
    return _fit_modules(nets, examples.to(where), plan, resume, keep, seeds, precision)


def _fit_modules(
    net: Sequence[nn.Module],
    examples: Examples,
    plan: Plan,
    resume: State | None,
    keep: Checkpoint | None,
    seeds: Sequence[int] | None,
    precision: str,
) -> History:
    own, modules = check_seeds(seeds, len(net)), [module.to(examples.x.device) for module in net]
    rates_of(plan.rule.lr, len(net))
    engine = AutogradEngine(modules, plan.rule, plan.loss, precision, examples.ignore)
    kinds = [architecture(module) for module in modules]
    run = description("; ".join(kinds), examples, plan, own, precision)
    begin = keep.begin(resume) if keep else resume
    check_state(begin, run, ("engine", "step", "stopped"))
    check_modules(engine, examples, plan, kinds)

    def train(state: State | None, plan: Plan) -> History:
        return _run(engine, examples, plan, own, state)

    return _whole(train, plan, run, begin, keep)


def _fit_stack(
    net: StackedMLP | RaggedMLP,
    examples: Examples,
    plan: Plan,
    resume: State | None,
    keep: Checkpoint | None,
    chunk: int | None,
    execution: str | Sequence[str],
    precision: str,
) -> History:
    moved = net.to(examples.x.device)
    check_stack(moved, examples, plan, precision)
    check_execution(execution, net.groups)
    run = description(architecture(moved), examples, plan, net.seeds, precision)
    begin = keep.begin(resume) if keep else resume
    check_state(begin, run, ("chunks",))
    examples, plan = laid_out(moved, examples, plan)
    ranges = _ranges(moved, examples, plan, begin, chunk, execution)

    def train(state: State | None, plan: Plan) -> History:
        states = state["chunks"] if state else [None] * len(ranges)
        return join(in_threads(
            lambda i: _train_chunk(moved, examples, plan, ranges[i], states[i]), len(ranges), moved.flat.device
        ))  # fmt: skip

    history = _whole(train, plan, run, begin, keep)
    if moved is not net:
        net.flat.copy_(moved.flat)
    return history


def _train_chunk(
    net: StackedMLP | RaggedMLP, examples: Examples, plan: Plan, chunk: tuple[int, int, str], state: State | None
) -> History:
    """Train the data groups of a chunk (start, stop, execution) of `net` in place; return their history."""
    a, b, how = chunk
    # A lone replicate takes another GEMM path (1e-7 off after 50 steps): it trains beside a copy of itself.
    positions = [a, a] if b == a + 1 and how == "dense" else list(range(a, b))
    part = net.select(positions)
    own = plan_for(plan, positions, net)
    engine = ENGINES[how](part, own.rule, plan.loss)
    history = _run(engine, examples.select(positions), own, part.seeds, state)
    net.put(engine.net, a, b - a)
    history.state |= {"start": a, "stop": b, "execution": how}
    return history.first((b - a) * net.replicates // net.groups)


def _whole(train: Train, plan: Plan, run: dict[str, Any], begin: State | None, keep: Checkpoint | None) -> History:
    """Return the history of a run, which its state names."""
    if keep:
        return keep.train(train, plan, run, begin)
    history = train(begin, plan)
    history.state["run"] = run
    return history


def _ranges(
    net: StackedMLP | RaggedMLP,
    examples: Examples,
    plan: Plan,
    resume: State | None,
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
def _run(engine: Engine, examples: Examples, plan: Plan, seeds: Sequence[int], resume: State | None) -> History:
    batches = Batches(examples, seeds, plan.batch_size, plan.drop_last)
    record = Record(engine, plan)
    done = 0
    if resume:
        done, record.stopped, record.first = resume["step"], resume["stopped"].clone(), resume["step"]
        if "past" in resume:
            record.remember(resume["past"])
        engine.load(resume["engine"])
    spans = _spans(done, plan, bool((record.stopped >= 0).all()) and len(record.steps) > 0)
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
    if plan.remembers:
        state["past"] = record.past()
    return record.history(batches.per_epoch, state)


def _spans(start: int, plan: Plan, ended: bool) -> list[range]:
    """Return the steps still to take, cut where something happens: a probe, or a look for a NaN."""
    end = plan.total if plan.until is None else plan.until
    if start >= end or ended:
        return []
    looks = range(start - start % CHECK_EVERY, end, CHECK_EVERY)
    cuts = sorted({start, end} | {at for at in (*plan.probe_steps, *looks) if start < at < end})
    return [range(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


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
