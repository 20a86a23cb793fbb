"""Linear mode connectivity: the error along the straight line between two trained nets, and its barrier."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from redlib.data.numbers import whole
from redlib.errors import BadInput
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP

State = dict[str, Tensor]


class Parts(Protocol):
    """Examples that come in batches (x [R, B, ...], y [R, B]), such as `redlib.training.Examples`."""

    def parts(self, groups: int, size: int = 2048) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of `groups` replicates, at most `size` examples each."""

    def __len__(self) -> int:
        """Return the number of examples of one replicate."""


class Labelled(Parts, Protocol):
    """The same, with what the batches are taken from."""

    @property
    def x(self) -> Tensor:
        """Return the inputs [N, ...]."""

    @property
    def y(self) -> Tensor:
        """Return the labels [N], or [R, n] like rows."""

    @property
    def rows(self) -> Tensor | None:
        """Return the rows [R, n] of x where each replicate has its own."""


def barrier(errors: Tensor) -> Tensor:
    """Return max over the path minus the mean of its two ends, for errors [..., A] along A points: [...].

    In the unit of `errors`. Both ends belong to the path, so the barrier is at least half the difference of
    their errors. Frankle et al. 2020 (section 2) call two nets stable when it is below 2 percentage points.
    """
    if errors.dim() == 0 or errors.shape[-1] < 2:
        raise BadInput.of("points on the path", tuple(errors.shape), "at least 2 in the last axis", "Add the ends.")
    return errors.amax(-1) - (errors[..., 0] + errors[..., -1]) / 2


def points(alphas: int = 30) -> Tensor:
    """Return that many evenly spaced positions from 0 (first net) to 1 (second net), both included."""
    if alphas < 2:
        raise BadInput.of("alphas", alphas, "alphas >= 2", "A path has two ends; Frankle et al. use 30 points.")
    count = whole("alphas", alphas, 2, "Frankle et al. use 30 points.")
    return torch.linspace(0, 1, count, dtype=torch.float64)


def path_errors(net_a: StackedMLP, net_b: StackedMLP, examples: Parts, alphas: int = 30) -> Tensor:
    """Return the share of errors in [0, 1] at `points(alphas)` between replicate r of a and of b: [R, alphas].

    Weights and biases are interpolated; if the nets carry different masks, the path lies in their union.
    Raises BadInput for nets of unequal shape, no examples, labels that are no output, and where an output is NaN.
    """
    _check_pair(net_a, net_b)
    net = StackedMLP(net_a.sizes, net_a.seeds, net_a.flat.clone(), net_a.activation)
    if not len(examples):
        raise BadInput.of("number of examples", 0, ">= 1", "Pass some.")
    where = points(alphas).tolist()
    wrong = torch.zeros(net.replicates, len(where), dtype=torch.float64)
    for x, y in examples.parts(net.replicates, 1024):
        _check_labels(y, net.sizes[-1])
        padded = net.pad(x)  # once, not at every point
        for i, alpha in enumerate(where):
            torch.lerp(net_a.flat, net_b.flat, alpha, out=net.flat)
            wrong[:, i] += (_classes(net.logits(padded)) != y).sum(1).cpu()
    return wrong / len(examples)


@torch.no_grad()
def module_path_errors(
    a: nn.Module, b: nn.Module, x: Tensor, y: Tensor, alphas: int = 30, recalibrate: Tensor | None = None
) -> Tensor:
    """Return the share of errors in [0, 1] on (x [n, ...], y [n]) at `points(alphas)` between two modules: [alphas].

    Parameters and batch-norm buffers are interpolated and the net is in evaluation mode. Averaged batch-norm
    statistics belong to no net between the ends and can make a barrier of their own: with `recalibrate`
    (training inputs) they are measured anew at every point, the ends included. Neither module is changed.
    Raises BadInput for modules whose names, shapes or masks differ, for labels of another shape than [n] or that are
    no output, and where an output is NaN.
    """
    if tuple(y.shape) != (len(x),) or not len(x):
        raise BadInput.of("shape of the labels", tuple(y.shape), f"({len(x)},), one per input, >= 1", "Flatten them.")
    state_a, state_b = a.state_dict(), b.state_dict()
    _check_states(state_a, state_b)
    where = points(alphas).tolist()
    net = copy.deepcopy(a).eval()
    errors = torch.zeros(len(where), dtype=torch.float64)
    for i, alpha in enumerate(where):
        net.load_state_dict(_between(state_a, state_b, alpha))
        if recalibrate is not None:
            refresh_statistics(net, recalibrate)
        outputs = torch.cat([net(inputs) for inputs in x.split(512)])
        if outputs.dim() != 2:
            raise BadInput.of("shape of the outputs", tuple(outputs.shape), "[n, classes]", "One decision per input.")
        _check_labels(y, outputs.shape[-1])
        found = _classes(outputs)
        errors[i] = (found != y).double().mean()
    return errors


def line_errors(
    a: StackedMLP | nn.Module | Sequence[nn.Module],
    b: StackedMLP | nn.Module | Sequence[nn.Module],
    test: Labelled,
    alphas: int = 30,
    train: Labelled | None = None,
) -> Tensor:
    """Return the path errors [R, alphas] of two stacks, or of two lists of modules, on test examples they share.

    One module is a list of one. BadInput for unlike kinds and numbers of nets.
    Batch-norm statistics of modules are measured anew on the training examples of their replicate (of which each has
    its own), at every point; BadInput where they are needed and missing.
    """
    if isinstance(a, StackedMLP) and isinstance(b, StackedMLP):
        return path_errors(a, b, test, alphas)
    if isinstance(a, StackedMLP) or isinstance(b, StackedMLP):
        kinds = type(a).__name__, type(b).__name__
        raise BadInput.of("nets", kinds, "two stacks, or modules in both", "See nets.stacked.unstacked.")
    ones, others = modules_of(a), modules_of(b)
    if len(ones) != len(others):
        raise BadInput.of("numbers of nets", (len(ones), len(others)), "the same", "Pass the replicates in one order.")
    lines = []
    for r, (one, other) in enumerate(zip(ones, others, strict=True)):
        device = next(other.parameters()).device
        x = _inputs(train, r).to(device) if any(isinstance(part, _BatchNorm) for part in one.modules()) else None
        lines.append(module_path_errors(one.to(device), other, test.x.to(device), test.y.to(device), alphas, x))
    return torch.stack(lines)


@torch.no_grad()
def refresh_statistics(net: nn.Module, x: Tensor, batch: int = 512) -> None:
    """Set the means and variances of every batch-norm layer to those of x [n, ...], averaged over its batches.

    Nothing else changes: meanwhile only these layers are in training mode (dropout is not), then all are again
    in the mode they were in. No batch has fewer than 2 inputs. Raises BadInput for fewer, and for ones that are not
    finite.
    """
    if len(x) < 2:
        raise BadInput.of("number of inputs", len(x), "at least 2", "Pass training inputs.")
    if batch < 1:
        raise BadInput.of("batch", batch, ">= 1 input", "Leave it out.")
    batch = whole("batch", batch, 1, "Leave it out.")
    if not bool(torch.isfinite(x.sum())) and not bool(torch.isfinite(x).all()):
        raise BadInput.of("inputs", "NaN or infinity among them", "finite numbers", "Leave these inputs out.")
    modes = [(module, module.training) for module in net.modules()]
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    try:
        net.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # a plain average over the batches
        count = min(-(-len(x) // batch), len(x) // 2)
        for start in range(count):  # interleaved: equal parts, each like the whole even if x is sorted by class
            net(x[start::count])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _classes(outputs: Tensor) -> Tensor:
    """Return the largest of the outputs [..., K]; BadInput for NaN, of which none is."""
    if bool(outputs.isnan().any()):
        raise BadInput.of("outputs of the nets", "NaN", "numbers", "Look for NaN in the weights and in the inputs.")
    return outputs.argmax(-1)


def _check_labels(y: Tensor, outputs: int) -> None:
    if not y.numel() or y.is_floating_point() or y.is_complex() or int(y.min()) < 0 or int(y.max()) >= outputs:
        raise BadInput.of(
            "labels", y.unique().tolist()[:10], f"whole numbers 0 <= label < {outputs}", "Number them so."
        )


def _inputs(train: Labelled | None, replicate: int) -> Tensor:
    if train is None:
        raise BadInput.of("train", None, "training examples", "Batch norm is measured anew on them.")
    return train.x if train.rows is None else train.x[train.rows[replicate]]


def _between(a: State, b: State, alpha: float) -> State:
    # torch.lerp is exact at both ends and between equal values. Counters are not interpolated.
    return {name: torch.lerp(v, b[name], alpha) if v.is_floating_point() else v for name, v in a.items()}


def _check_pair(a: StackedMLP, b: StackedMLP) -> None:
    shapes = [(net.sizes, net.activation, net.replicates) for net in (a, b)]
    if shapes[0] != shapes[1]:
        raise BadInput.of("second net", shapes[1], f"{shapes[0]}, as the first", "Only equal shapes have a line.")


def _check_states(a: State, b: State) -> None:
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (a, b)]
    if shapes[0] != shapes[1]:
        odd = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
        raise BadInput.of("second module", odd, "the first one's names and shapes", "Build both the same way.")
    for name, value in a.items():
        fixed = not value.is_floating_point() and not name.endswith("num_batches_tracked")
        if fixed and not torch.equal(value, b[name]):
            raise BadInput.of(name, "different in the two modules", "equal masks", "Remove the masks first.")
