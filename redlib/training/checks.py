"""What `fit` refuses before the first step: nets and examples that cannot be trained as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import check_loss
from redlib.training.engines import AutogradEngine
from redlib.training.examples import Examples, batches_per_epoch, examples_per_batch
from redlib.training.optimisers import SGD, Adam
from redlib.training.record import Plan
from redlib.training.rehearsal import twice
from redlib.training.resuming import architecture


def checked(plan: Plan) -> Plan:
    """Return the plan; BadInput for a loss, an optimiser or names of probes that cannot be."""
    if not callable(plan.loss):
        check_loss(plan.loss)
    if not isinstance(plan.rule, SGD | Adam):
        raise BadInput.of("optimizer", plan.rule, "SGD(...), Adam(...) or AdamW(...)", "They are in redlib.training.")
    names = {f"{name}_{what}" for name in plan.evaluate for what in ("loss", "error")}
    if both := sorted(names & plan.probes.keys()):
        raise BadInput.of("probes", both, "names that no evaluated set has", "Rename the probes.")
    return plan


def check_stack(net: StackedMLP | RaggedMLP, examples: Examples, plan: Plan, precision: str) -> None:
    """Raise BadInput for what a stack cannot be trained with: data (`check_examples`), loss, precision."""
    if not isinstance(plan.loss, str):
        raise BadInput.of("loss", plan.loss, "a name for stacks", "Their gradients are written by hand: take modules.")
    if precision != "fp32":
        raise BadInput.of("precision", precision, "fp32 for stacks", "Create the net with another dtype, or modules.")
    for name, part in {"": examples, **plan.evaluate}.items():
        check_examples(net, part, name)


def check_module_options(chunk: int | None, execution: Sequence[str]) -> None:
    """Raise BadInput for options that only stacks have."""
    if chunk is not None:
        raise BadInput.of("chunk", chunk, "None for modules", "Only stacks run in chunks.")
    if "sparse" in execution:
        raise BadInput.of("execution", "sparse", "auto or dense for modules", "Only a StackedMLP trains sparsely.")


def check_examples(net: StackedMLP | RaggedMLP, examples: Examples, name: str = "") -> None:
    """Raise BadInput for labels that are no output of `net`, or inputs that are not finite or of another type.

    `name` is that of a set to evaluate on, "" for the training examples.
    """
    outputs, dtype = net.sizes[-1] if isinstance(net, StackedMLP) else net.outputs, net.flat.dtype
    check_labels(examples, outputs, name)
    if examples.x.dtype != dtype:
        raise BadInput.of("type of the inputs", examples.x.dtype, f"{dtype}, that of the weights", "Convert them.")
    check_finite_data(examples, name)


def check_labels(examples: Examples, outputs: int | None, name: str = "") -> None:
    """Raise BadInput unless the labels are whole numbers from 0 to below `outputs` (None: any number of outputs)."""
    if not len(examples):
        raise BadInput.of(_of("number of examples", name), 0, ">= 1", "Look whether the data are there.")
    labels = examples.seen_labels
    if labels.is_floating_point():
        raise BadInput.of(
            _of("type of the labels", name), labels.dtype, "whole numbers", "Take .long(), or a callable loss."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or outputs is not None and high >= outputs:
        bound = "" if outputs is None else f" < {outputs}, the outputs of the net"
        remedy = "Number the classes from 0, leave unlabelled examples out, or build a wider net."
        raise BadInput.of(_of("labels", name), (low, high), f"0 <= label{bound}", remedy)


def check_finite_data(examples: Examples, name: str = "") -> None:
    """Raise BadInput where an example that is seen has a NaN or an infinity among its inputs or targets."""
    pool = len(examples.x) // examples.variants
    for what, values in (("inputs", examples.x), ("targets", examples.y)):
        if not values.is_floating_point() or bool(torch.isfinite(values.sum())):
            continue  # a sum is finite only of finite numbers, and quicker than a look at each
        bad = (~torch.isfinite(values)).flatten(1).any(1) if values.dim() > 1 else ~torch.isfinite(values)
        bad = bad.view(-1, pool).any(0)
        if examples.rows is not None:
            bad &= torch.zeros_like(bad).index_fill_(0, examples.rows.flatten().long(), True)
        if len(where := bad.nonzero()):
            found = f"NaN or infinity in {len(where)} examples, first in row {int(where[0])}"
            raise BadInput.of(_of(what, name), found, "finite numbers", "Leave these out, or fill the gaps.")


def check_nets(net: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    """Return the modules, one a replicate; BadInput for none, for what has no parameters, and for shared ones."""
    nets = [net] if isinstance(net, nn.Module) else list(net)
    kinds = [type(part).__name__ for part in nets]
    if not nets or not all(isinstance(part, nn.Module) and any(True for _ in part.parameters()) for part in nets):
        raise BadInput.of("net", kinds, "modules with parameters, one per replicate", "Pass an nn.Module or a list.")
    owners = [{id(values) for values in part.parameters()} for part in nets]
    if sum(map(len, owners)) > len(set().union(*owners)):
        raise BadInput.of("net", kinds, "modules that share no parameter", "Copy them (copy.deepcopy).")
    return nets


def check_seeds(seeds: Sequence[int] | None, replicates: int) -> tuple[int, ...]:
    """Return the seeds of the modules, 0, 1 … unless given; BadInput for another number of them."""
    found = tuple(range(replicates)) if seeds is None else tuple(int(seed) for seed in seeds)
    if len(found) != replicates:
        raise BadInput.of("number of seeds", len(found), f"{replicates}, one per module", "Leave them out for 0, 1 ...")
    return found


def check_modules(engine: AutogradEngine, examples: Examples, plan: Plan) -> None:
    """Raise BadInput for data that the modules of `engine` cannot be trained or judged on; nothing of them changes.

    A copy of each architecture is tried on one example: how many outputs it has, and, where an epoch leaves a last
    batch of a single example, whether it takes one (BatchNorm does not).
    """
    parts: Mapping[str, Examples] = {"": examples, **plan.evaluate}
    for name, part in parts.items():
        check_finite_data(part, name)
        if isinstance(plan.loss, str):
            check_labels(part, None, name)
    rows, _ = examples.table(engine.groups)
    alone = _meets_a_batch_of_one(len(examples), plan)
    for r in {architecture(module): r for r, module in enumerate(engine.net)}.values():
        outputs = _rehearsed(engine, r, twice(examples.x[rows[r, :1]]))
        if outputs is None:
            continue  # it cannot be copied, or fails anyhow: the first step says why
        if isinstance(plan.loss, str):
            for name, part in parts.items():
                check_labels(part, _outputs(outputs), name)
        if alone:
            _check_alone(engine, r, examples.x[rows[r, :1]])


def _rehearsed(engine: AutogradEngine, r: int, x: Tensor) -> Any:
    try:
        return engine.rehearse(r, x)
    except Exception:  # whatever a user's code raises
        return None


def _outputs(found: Any) -> int:
    """Return the number of classes of outputs [B, K]; BadInput for others, which the named losses cannot take."""
    if not isinstance(found, Tensor) or found.dim() != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise BadInput.of("outputs of the net", shape, "a tensor [examples, classes]", "Pass a callable loss.")
    return found.shape[1]


def _meets_a_batch_of_one(n: int, plan: Plan) -> bool:
    size = examples_per_batch(plan.batch_size, n)
    last = n % size == 1 and not plan.drop_last and plan.total >= batches_per_epoch(plan.batch_size, n)
    return size == 1 or last


def _check_alone(engine: AutogradEngine, r: int, x: Tensor) -> None:
    try:
        engine.rehearse(r, x)
    except ValueError as error:  # torch's of BatchNorm: "Expected more than 1 value per channel when training"
        remedy = f"Pass drop_last=True, or another batch_size. ({error})"
        raise BadInput.of("examples in a batch", 1, "at least 2 where BatchNorm is trained", remedy) from error


def _of(what: str, name: str) -> str:
    return f"{what} of {name!r}" if name else what
