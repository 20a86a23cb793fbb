"""What `fit` refuses before the first step: nets and examples that cannot be trained as asked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache, partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import check_loss
from redlib.training.arguments import whole_number
from redlib.training.engines import AutogradEngine
from redlib.training.examples import Examples, batches_per_epoch, examples_per_batch
from redlib.training.labels import check_axis, check_layout
from redlib.training.optimisers import SGD, Adam
from redlib.training.record import Plan
from redlib.training.rehearsal import twice


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


def check_sets(examples: Any, evaluate: Mapping[str, Any]) -> None:
    """Raise BadInput for what is to be trained or judged on and is no `Examples`: a loader, a pair of tensors."""
    for name, part in {"": examples, **evaluate}.items():
        if not isinstance(part, Examples):
            remedy = "Wrap tensors: Examples(x, y). There are Examples.from_loader, from_dataset and from_folder, too."
            raise BadInput.of(_of("examples", name), type(part).__name__, "Examples", remedy)


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
    if examples.per_token:
        found = tuple(examples.y.shape)
        raise BadInput.of(_of("labels", name), found, "one per example for stacks", "Modules take labels per token.")
    outputs, dtype = net.sizes[-1] if isinstance(net, StackedMLP) else net.outputs, net.flat.dtype
    check_labels(examples, outputs, name)
    if examples.x.dtype != dtype:
        raise BadInput.of("type of the inputs", examples.x.dtype, f"{dtype}, that of the weights", "Convert them.")
    check_finite_data(examples, name)


def check_data(examples: Examples, name: str = "") -> None:
    """Raise BadInput for labels that are no classes of any net, or inputs that are not finite."""
    check_labels(examples, None, name)
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
    if examples.ignore is not None:
        labels = _counted(examples, name)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or outputs is not None and high >= outputs:
        bound = "" if outputs is None else f" < {outputs}, the outputs of the net"
        remedy = "Number the classes from 0, leave unlabelled examples out, or build a wider net."
        if examples.per_token:
            remedy = "Number the classes from 0, build a wider net, or name what does not count: Examples(ignore=...)."
        raise BadInput.of(_of("labels", name), (low, high), f"0 <= label{bound}", remedy)


def _counted(examples: Examples, name: str) -> Tensor:
    """Return the labels per token that count, and say how many do not; BadInput for an example without any."""
    labels, ignore = examples.seen_labels, examples.ignore
    assert ignore is not None
    known = labels.ne(ignore)
    own = known.reshape(-1, prod(examples.token_shape))
    if not bool(own.any(-1).all()):
        found = f"{int((~own.any(-1)).sum())} examples with no label but {ignore}"
        raise BadInput.of(_of("labels", name), found, "at least one that counts in each example", "Leave these out.")
    left_out = f"{int((~known).sum()):,} of {labels.numel():,} labels{f' of {name!r}' if name else ''}"
    _say(f"{left_out} are {ignore} and count neither in loss nor in error")
    return labels[known]


@cache
def _say(line: str) -> None:
    logging.getLogger(__name__).warning(line)


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
    if not all(any(values.requires_grad for values in part.parameters()) for part in nets):
        raise BadInput.of("net", "all of its parameters frozen", "some that are trained", "Call requires_grad_(True).")
    owners = [{id(values) for values in part.parameters()} for part in nets]
    if sum(map(len, owners)) > len(set().union(*owners)):
        raise BadInput.of("net", kinds, "modules that share no parameter", "Copy them (copy.deepcopy).")
    return nets


def check_seeds(seeds: Sequence[int] | None, replicates: int) -> tuple[int, ...]:
    """Return the seeds of the modules, 0, 1 … unless given; BadInput for another number of them."""
    found = (
        tuple(range(replicates))
        if seeds is None
        else tuple(whole_number("seed", seed, 0, "Number them.") for seed in seeds)
    )
    if len(found) != replicates:
        raise BadInput.of("number of seeds", len(found), f"{replicates}, one per module", "Leave them out for 0, 1 ...")
    return found


def check_modules(engine: AutogradEngine, examples: Examples, plan: Plan, kinds: Sequence[str]) -> None:
    """Raise BadInput for data that the modules of `engine` cannot be trained or judged on; nothing of them changes.

    A copy of each architecture (`kinds`, one a module) is tried on one example: how many outputs it has and where, and,
    where an epoch leaves a last batch of a single example, whether it takes one (BatchNorm does not).
    """
    parts: Mapping[str, Examples] = {"": examples, **plan.evaluate}
    for name, part in parts.items():
        check_finite_data(part, name)
        if isinstance(plan.loss, str):
            check_labels(part, None, name)
    rows, _ = examples.table(engine.groups)
    alone = _meets_a_batch_of_one(len(examples), plan)
    for r in {kind: r for r, kind in enumerate(kinds)}.values():
        x = twice(examples.x[rows[r, :1]])
        outputs = _rehearsed(engine, r, x, must=isinstance(plan.loss, str) and bool(examples.per_token))
        if outputs is None:
            continue  # it cannot be copied, or fails anyhow: the first step says why
        if isinstance(plan.loss, str):
            check_axis(outputs, examples.token_shape, partial(engine.rehearse, r), x)
            for name, part in parts.items():
                like = part.x.shape[1:] == x.shape[1:]
                found = outputs if like else _rehearsed(engine, r, twice(part.x), must=False)
                if found is not None:
                    check_labels(part, check_layout(found, part.token_shape), name)
        if alone:
            _check_alone(engine, r, examples.x[rows[r, :1]])


def _rehearsed(engine: AutogradEngine, r: int, x: Tensor, must: bool) -> Any:
    """Return what a copy of module r makes of x, None where it cannot be tried; BadInput then where it `must` be."""
    try:
        return engine.rehearse(r, x)
    except Exception as error:  # whatever a user's code raises
        if must:
            kind, why = type(engine.net[r]).__name__, f"Without, it is unknown which axis holds the classes. ({error})"
            raise BadInput.of("net", kind, "one of which a copy can be tried, for labels per token", why) from error
        return None


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
