"""The one training loop: `fit` trains stacked MLPs or any modules, with probes, early stop and resuming."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import check_loss
from redlib.progress import progress
from redlib.training.chunks import check_examples, chunk_size, in_threads, laid_out, plan_for
from redlib.training.engines import AutogradEngine, Engine
from redlib.training.examples import Batches, Examples, examples_per_batch
from redlib.training.execution import ENGINES, check_execution, chosen, evaluator, in_chunks
from redlib.training.history import History, join
from redlib.training.optimisers import SGD, Rule
from redlib.training.record import Plan, Probe, Record, mean_loss_and_error
from redlib.training.schedules import Schedule, constant

Net = StackedMLP | RaggedMLP | nn.Module | Sequence[nn.Module]
CHECK_EVERY = 64  # steps between two looks for a NaN loss: a look waits for the device


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
    execution: str | Sequence[str] = "auto",
    precision: str = "fp32",
    label: str = "",
) -> History:
    """Train every replicate of `net` in place; return the probed values [R, T, ...] and a state to resume from.

    `net` is a stacked or ragged MLP (the fast step), an `nn.Module`, or a list of modules (one per replicate, drawing
    from `seeds`; a stack has its own). Length: `epochs` or `steps` in all, counted from the start even when resuming.
    `evaluate` names example sets whose `<name>_loss` and `<name>_error` are probed; `probes` names functions of the
    net. Probes run at `probe_steps` or `probe_epochs` (default: the end). `stop` maps the probed values to a bool
    per replicate; where it is true the replicate keeps its weights from then on, and `stopped_at` says when.
    Replicates run in chunks that fit the cache (`chunk` = data groups at once). Each depends only on its own seed:
    alone or among others gives the same bits on one machine, number of threads and `execution`.
    `execution` (for all, or one each): "dense", "sparse" (pruned stacks on a CPU, at a cost that follows their live
    weights; needs numba) or "auto", which times both and keeps the faster. They differ by rounding.
    Raises BadInput, or Diverged when a loss is not finite.
    """
    target = _device(device)
    total, at = _length(len(examples), batch_size, epochs, steps, probe_steps, probe_epochs)
    watched = {name: part.to(target) for name, part in (evaluate or {}).items()}
    plan = Plan(
        check_loss(loss), optimizer or SGD(), schedule or constant(), total, batch_size, at, watched, probes or {},
        stop, label,
    )  # fmt: skip
    if isinstance(net, StackedMLP | RaggedMLP):
        return _fit_stack(net, examples.to(target), plan, resume, chunk, execution)
    if "sparse" in check_execution(execution, 1 if isinstance(net, nn.Module) else len(net)):
        raise BadInput.of("execution", execution, "auto or dense for modules", "Only a StackedMLP trains sparsely.")
    modules = [module.to(target) for module in ([net] if isinstance(net, nn.Module) else net)]
    engine = AutogradEngine(modules, plan.rule, loss, precision)
    return _run(engine, examples.to(target), plan, tuple(seeds or range(len(modules))), resume)


def _fit_stack(
    net: StackedMLP | RaggedMLP,
    examples: Examples,
    plan: Plan,
    resume: dict[str, Any] | None,
    chunk: int | None,
    execution: str | Sequence[str],
) -> History:
    moved = net.to(examples.x.device)
    check_examples(moved, examples)
    check_execution(execution, net.groups)
    examples, plan = laid_out(moved, examples, plan)
    states = (resume or {}).get("chunks")
    if states:
        ranges = [(state["start"], state["stop"], state["execution"]) for state in states]
    else:
        ranges = in_chunks(
            chosen(moved, examples, plan, execution), chunk or chunk_size(moved, plan.batch_size or len(examples))
        )

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
    return join(parts)


@torch.no_grad()
def _run(
    engine: Engine, examples: Examples, plan: Plan, seeds: Sequence[int], resume: dict[str, Any] | None
) -> History:
    batches = Batches(examples, seeds, plan.batch_size)
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
    """Return {"loss": [R], "error": [R]} of a stacked net on `examples`: mean loss, and share of errors in [0, 1]."""
    examples = examples.with_inputs(net.pad(examples.x.flatten(1)))
    total, wrong = mean_loss_and_error(evaluator(net, loss), examples, loss)
    return {"loss": total, "error": wrong}


def _length(
    n: int,
    batch_size: int | None,
    epochs: int | None,
    steps: int | None,
    probe_steps: Iterable[int] | None,
    probe_epochs: Iterable[float] | None,
) -> tuple[int, tuple[int, ...]]:
    """Return (steps in all, the steps to probe at)."""
    per_epoch = -(-n // examples_per_batch(batch_size, n))
    if (epochs is None) == (steps is None):
        raise BadInput.of("epochs, steps", (epochs, steps), "exactly one of them", "Say how long to train.")
    total = steps if steps is not None else int(epochs or 0) * per_epoch
    if total < 1:
        raise BadInput.of("length", total, ">= 1 step", "Train for at least one step.")
    if probe_steps is not None and probe_epochs is not None:
        raise BadInput.of("probe_steps, probe_epochs", "both", "one of them", "Drop one.")
    at = list(probe_steps or [total]) if probe_epochs is None else [round(e * per_epoch) for e in probe_epochs]
    if not at or not all(0 <= step <= total for step in at):
        raise BadInput.of("probe steps", at, f"0 <= step <= {total}", "Probe within the run.")
    return total, tuple(sorted(set(at)))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
