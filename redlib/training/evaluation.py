"""What nets make of examples outside of training: loss, error, and the error of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.losses import Loss, check_loss
from redlib.training.checks import check_data, check_examples, check_finite_data, check_labels, check_nets
from redlib.training.engines import AutogradEngine, Engine
from redlib.training.examples import Examples
from redlib.training.execution import evaluator
from redlib.training.labels import check_axis
from redlib.training.optimisers import SGD
from redlib.training.record import judged, mean_loss_and_error
from redlib.training.rehearsal import twice

Net = StackedMLP | RaggedMLP | nn.Module | Sequence[nn.Module]


def evaluate(net: Net, examples: Examples, loss: Loss = "cross_entropy") -> dict[str, Tensor]:
    """Return {"loss": [R], "error": [R]} of nets on `examples`: mean loss, and share of errors in [0, 1], float64.

    `net` and `loss` as in `fit`; modules are read in evaluation mode, and stay in theirs. Labels per token count one by
    one. Both are NaN for nets with NaN weights, the error also for targets. Raises BadInput for labels that are no
    output, or data that are not finite.
    """
    with _reading(net, examples, loss) as (engine, part, _):
        total, wrong = mean_loss_and_error(engine, part, loss)
    return {"loss": total, "error": wrong}


@torch.no_grad()
def class_errors(net: Net, examples: Examples) -> dict[str, Tensor]:
    """Return {"error": [R, C], "count": [R, C]} of nets: share of errors in [0, 1] in each class, float64,

    and how many examples (labels per token: tokens that count) are of the class. The error of one without any is
    NaN, and so is that of NaN outputs. The mean over the examples, weighted by count, is the error of `evaluate`.
    `net`: a stack, a module, or a list of them. Raises BadInput as `evaluate`.
    """
    with _reading(net, examples, "cross_entropy") as (engine, part, classes):
        each, sums = engine.replicates // engine.groups, torch.zeros(2, engine.replicates, classes, dtype=torch.float64)
        for x, y in part.parts(engine.groups):
            found = judged(engine.logits(x), y.repeat_interleave(each, 0), "cross_entropy", part.ignore)
            for row, values in zip(sums, (found.errors, found.counted), strict=True):
                row.scatter_add_(1, found.labels.cpu(), values.double().cpu())
    return {"error": sums[0] / sums[1], "count": sums[1].long()}


def _named(loss: Loss) -> str:
    """Return the name of a loss; BadInput for others."""
    return check_loss(loss)  # type: ignore[arg-type]


@contextmanager
def _reading(net: Net, examples: Examples, loss: Loss) -> Iterator[tuple[Engine, Examples, int]]:
    """Yield what reads `net`, the examples as it takes them, and how many classes; BadInput where they do not fit."""
    if isinstance(net, StackedMLP | RaggedMLP):
        check_examples(net, examples)
        classes = net.sizes[-1] if isinstance(net, StackedMLP) else net.outputs
        yield evaluator(net, _named(loss)), examples.with_inputs(net.pad(examples.x.flatten(1))), classes
        return
    nets = check_nets(net)
    modes = [(part, part.training) for module in nets for part in module.modules()]
    engine = AutogradEngine(nets, SGD(), loss)
    part = examples.to(engine.device)
    try:
        yield engine, part, _checked(engine, part, loss)
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def _checked(engine: AutogradEngine, examples: Examples, loss: Loss) -> int:
    """Return the number of classes (callable losses: 0); BadInput for data and outputs that a loss cannot read."""
    if not isinstance(loss, str):
        check_finite_data(examples)
        return 0
    _named(loss)
    check_data(examples)
    x, labels, classes = twice(examples.x), examples.token_shape, 0
    for r in range(engine.replicates):
        outputs = engine.read(r, x)
        check_axis(outputs, labels, partial(engine.read, r), x)
        check_labels(examples, classes := outputs.shape[1])
    return classes
