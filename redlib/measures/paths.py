"""Curved paths between two trained nets: a bend between them, trained until the loss is low all the way.

Garipov et al. 2018 (section 3): from w1 (t = 0) to w2 (t = 1) by way of a trained bend θ, the quadratic Bézier curve
(1 - t)² w1 + 2t(1 - t) θ + t² w2, or the chain of the two straight lines w1 to θ to w2. θ minimises the mean loss over
t, uniform in [0, 1], by steps on one t and one batch each. Draxler et al. 2018 found such paths by another method.

R pairs are bent at once, as two stacks or two lists of modules. The ends are never changed, and both curves meet them
exactly. With θ half way between the ends both curves are the straight line. Biases take part as weights do.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from redlib.data.numbers import whole, whole_labels
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.connectivity import Parts, points, refresh_statistics
from redlib.nets.losses import check_loss, losses_and_errors
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP, aligned_rows

KINDS = ("bezier", "chain")
OPTIMISERS = ("adam", "sgd")
BATCHES, POSITIONS = 41, 42  # keys of the stream "order", so that no other draw of a seed repeats these
PART = 1024  # examples of one replicate that are evaluated at a time

Nets = StackedMLP | Sequence[nn.Module]
Net = StackedMLP | nn.Module | Sequence[nn.Module]


class Pool(Parts, Protocol):
    """Examples that batches can be drawn from, such as `redlib.training.Examples`."""

    @property
    def x(self) -> Tensor:
        """Return the inputs [N, ...]."""

    def table(self, groups: int) -> tuple[Tensor, Tensor]:
        """Return the rows of x [groups, n] that each replicate sees, and their labels [groups, n]."""


@dataclass(frozen=True)
class Descent:
    """How a bend is trained: steps, batch size, and "adam" (Kingma & Ba 2015) or "sgd" with momentum 0.9.

    The rate is `lr` for half of the steps, falls evenly to a hundredth of it until nine tenths, and stays there, as
    Garipov et al. 2018 (their code) have it. BadInput for another optimizer, a rate that is not positive, no step
    (0 steps leave the bend half way: the straight line) and fewer than 2 examples a batch.
    """

    steps: int = 500
    batch: int = 128
    lr: float = 1e-2
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 0, "0 leaves the line straight."))
        object.__setattr__(self, "batch", whole("batch", self.batch, 2, "Batch norm needs two examples."))
        if self.optimizer not in OPTIMISERS:
            raise BadInput.named("optimizer", self.optimizer, OPTIMISERS, "name one of these.")
        if not 0 < self.lr < np.inf:
            raise BadInput.of("lr", self.lr, "finite, > 0", "1e-2 suits Adam.")

    def rate(self, step: int) -> float:
        """Return the learning rate of step 0, 1, …"""
        done = step / self.steps
        return self.lr * float(np.interp(done, [0.5, 0.9], [1.0, 0.01]))

    def begin(self, bend: Tensor) -> torch.optim.Optimizer:
        """Return an optimiser of one tensor, which treats each of its numbers by itself."""
        if self.optimizer == "adam":
            return torch.optim.Adam([bend], lr=self.lr, foreach=False)
        return torch.optim.SGD([bend], lr=self.lr, momentum=0.9, foreach=False)


@dataclass(frozen=True)
class Curve:
    """R curves from `first` (t = 0) by way of `bend` to `second` (t = 1): three stacks, or three lists of R modules.

    `drawn` [R, steps] are the t that the bends were trained at, `losses` [R, steps] the batch losses there, float64.
    """

    kind: str
    first: Nets
    bend: Nets
    second: Nets
    drawn: Tensor
    losses: Tensor

    def at(self, t: float) -> Nets:
        """Return the nets at t in [0, 1], the ends exactly; batch-norm statistics are mixed and belong to no net."""
        return combined(
            (self.first, self.bend, self.second), coefficients(self.kind, torch.tensor(t, dtype=torch.float64))
        )


@dataclass(frozen=True)
class Profile:
    """What R nets do at T points of their paths: `at` [T], mean `losses` [R, T], shares of `errors` [R, T] in [0, 1].

    `connectivity.barrier` takes the errors or the losses; all are float64.
    """

    at: Tensor
    losses: Tensor
    errors: Tensor


def coefficients(kind: str, t: Tensor) -> Tensor:
    """Return the shares [..., 3] of first net, bend and second net at t [...], float64; they add up to 1.

    "bezier": (1 - t)², 2t(1 - t), t². "chain": 1 - 2t, 2t, 0 up to t = 1/2, then 0, 2 - 2t, 2t - 1 (Garipov et al.
    2018, equations 3 and 4). BadInput for another kind, and for t outside [0, 1].
    """
    if kind not in KINDS:
        raise BadInput.named("kind", kind, KINDS, "name a curve.")
    t = t.double()
    if not bool(((t >= 0) & (t <= 1)).all()):
        raise BadInput.of("t", t.flatten().tolist()[:10], "0 <= t <= 1", "The path goes from 0 to 1.")
    if kind == "bezier":
        return torch.stack([(1 - t).square(), 2 * t * (1 - t), t.square()], -1)
    return torch.stack([(1 - 2 * t).clamp(min=0), 1 - (2 * t - 1).abs(), (2 * t - 1).clamp(min=0)], -1)


def straight(first: Net, second: Net) -> Curve:
    """Return the straight lines of R pairs as curves whose bend lies half way; BadInput as `bent`."""
    one, other = _listed(first), _listed(second)
    _check_alike((one, other))
    none = torch.zeros(_count(one), 0, dtype=torch.float64)
    return Curve("chain", one, combined((one, other), torch.tensor([0.5, 0.5])), other, none, none)


def bent(
    first: Net,
    second: Net,
    train: Pool,
    kind: str = "bezier",
    descent: Descent | None = None,
    *,
    loss: str = "cross_entropy",
    seeds: Sequence[int] | None = None,
) -> Curve:
    """Return R trained curves between replicate r of `first` and of `second`, which are not changed.

    Every bend starts half way and takes its own batches and its own t, from the stream "order" of its seed; `seeds`
    [R] are those of the first stack unless given, 0, 1, … for modules. What an epoch leaves after full batches is left
    out. Modules are trained in evaluation mode, but batch norm takes the statistics of the batch (Garipov et al.
    2018). What masks cut in both ends stays. `descent` None is `Descent()`.

    BadInput for ends of different shapes, another kind, loss or number of seeds, fewer than 2 examples, labels that are
    no output, and a loss that is not finite at some step.
    """
    one, other = _listed(first), _listed(second)
    _check_alike((one, other))
    check_loss(loss)
    how = Descent() if descent is None else descent
    coefficients(kind, torch.zeros(1))
    own = _seeds(one, seeds)
    draws = _Draws(train, own, how)
    t = np.stack([rng(seed, "order", POSITIONS).random(how.steps) for seed in own])
    drawn, line = torch.from_numpy(t), straight(one, other)
    ends = (one, line.bend, other)
    work = _bend_stacks if isinstance(one, StackedMLP) else _bend_modules
    bend, losses = work(ends, coefficients(kind, drawn), draws, how, loss)
    return Curve(kind, one, bend, other, drawn, losses)


def unseen(curve: Curve, count: int = 61) -> Tensor:
    """Return evenly spaced t [count] from 0 to 1 to judge a curve at, none of them one that it was trained at.

    The t of training are drawn from [0, 1] at random, so a fixed grid meets one hardly ever. An odd count has the
    corner of a chain in it. BadInput for fewer than 2 points, and where a point between the ends was trained at.
    """
    grid = points(count)
    if met := sorted(set(grid[1:-1].tolist()) & set(curve.drawn.flatten().tolist())):
        raise BadInput.of("points trained at", met, "none", "Take another number of points.")
    return grid


def along(
    curve: Curve, examples: Parts, at: Tensor | None = None, *, loss: str = "cross_entropy", train: Pool | None = None
) -> Profile:
    """Return losses and errors of the nets at t = `at` [T] (None: `unseen(curve)`); else as `losses_and_errors_of`."""
    where = unseen(curve) if at is None else at.double()
    if where.dim() != 1 or not len(where):
        raise BadInput.of("shape of the points", tuple(where.shape), "[T], at least one", "Pass a list of points.")
    found = [losses_and_errors_of(curve.at(t), examples, loss=loss, train=train) for t in where.tolist()]
    return Profile(where, *(torch.stack(part, 1) for part in zip(*found, strict=True)))


@torch.no_grad()
def losses_and_errors_of(
    nets: Net, examples: Parts, *, loss: str = "cross_entropy", train: Pool | None = None
) -> tuple[Tensor, Tensor]:
    """Return (mean losses [R], shares of errors in [0, 1] [R]) of a stack or of modules over examples, float64.

    Modules are in evaluation mode, with the batch-norm statistics of their replicate's training inputs `train`, anew
    for each net. BadInput where these are needed and missing, for no examples, and for labels that are no output. An
    error is NaN where a loss is.
    """
    check_loss(loss)
    if not len(examples):
        raise BadInput.of("number of examples", 0, ">= 1", "Pass some.")
    listed = _listed(nets)
    ready = listed if isinstance(listed, StackedMLP) else _refreshed(listed, train)
    sums = torch.zeros(2, _count(listed), dtype=torch.float64)
    for x, y in examples.parts(_count(listed), PART):
        outputs = _outputs(ready, x)
        _check_labels(outputs, y)
        each = losses_and_errors(outputs, y.to(outputs.device), loss)
        sums += torch.stack([part.double().sum(1) for part in each]).cpu()
    return cast(tuple[Tensor, Tensor], tuple(sums / len(examples)))


@torch.no_grad()
def combined(nets: Sequence[Net], shares: Tensor) -> Nets:
    """Return the nets whose parameters are Σ_k shares[k] times those of nets[k], shares [k] or [R, k].

    Nets with a share of 1 beside 0 come out exactly, and so does what is equal in all of them (the shares are meant to
    add up to 1). Floating-point buffers of modules are mixed like parameters; stacks lose their masks. BadInput for
    nets of different shapes and another number of shares.
    """
    listed = [_listed(net) for net in nets]
    _check_alike(listed)
    count = _count(listed[0])
    if shares.dim() not in (1, 2) or tuple(shares.shape) not in ((len(nets),), (count, len(nets))):
        allowed = f"[{len(nets)}] or [{count}, {len(nets)}]"
        raise BadInput.of("shape of the shares", tuple(shares.shape), allowed, "Pass a share for each net.")
    rows = shares.expand(count, -1)
    if isinstance(listed[0], StackedMLP):
        stacks = cast(list[StackedMLP], listed)
        mixed = type(stacks[0])(stacks[0].sizes, stacks[0].seeds, stacks[0].flat.clone(), stacks[0].activation)
        _mix(mixed, stacks, rows)
        return mixed
    groups = zip(*cast(list[Sequence[nn.Module]], listed), strict=True)
    return [_mixed(modules, row.tolist()) for modules, row in zip(groups, rows, strict=True)]


class _Draws:
    """The batches of every pair, each in the order of its own seed."""

    def __init__(self, train: Pool, seeds: Sequence[int], how: Descent):
        self.x, self.seeds = train.x, seeds
        self.rows, self.labels = train.table(len(seeds))
        self.count = self.rows.shape[1]
        if self.count < 2:
            raise BadInput.of("training examples", self.count, ">= 2", "Pass more.")
        whole_labels(self.labels)
        self.size = min(how.batch, self.count)
        self.epoch, self.order = -1, torch.empty(0)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return (rows [R, B] of x, labels [R, B]) of a step."""
        epoch, within = divmod(step, self.count // self.size)
        if epoch != self.epoch:
            orders = [rng(seed, "order", BATCHES, epoch).permutation(self.count) for seed in self.seeds]
            self.epoch, self.order = epoch, torch.from_numpy(np.stack(orders)).to(self.rows.device)
        part = self.order[:, within * self.size : (within + 1) * self.size]
        return self.rows.gather(1, part), self.labels.gather(1, part)


@torch.no_grad()
def _bend_stacks(
    ends: Sequence[Nets], shares: Tensor, draws: _Draws, how: Descent, loss: str
) -> tuple[StackedMLP, Tensor]:
    """Return the trained bends and their losses; a lone pair goes beside itself, for its products round otherwise."""
    stacks, alone = cast(Sequence[StackedMLP], ends), len(shares) == 1
    who = [0, 0] if alone else list(range(len(shares)))
    first, bend, second = (net.select(who) for net in stacks)
    gate, here, slope = _gate(first, second), bend.clone(), torch.zeros_like(bend.flat)
    here.masks = None
    x, theta = bend.pad(draws.x.to(bend.flat)), nn.Parameter(bend.flat, requires_grad=False)
    optimiser, losses = how.begin(theta), torch.zeros(len(who), how.steps, dtype=torch.float64)
    for step in range(how.steps):
        part = shares[who, step]
        _mix(here, (first, bend, second), part)
        rows, y = (of[who] for of in draws.at(step))
        _check_outputs(y, bend.sizes[-1])
        losses[:, step] = here.gradient(_taken(x, rows), y, loss, slope, scale=part[:, 1].to(slope)).double().cpu()
        _check_loss_at(losses[:, step], step)
        _descend(optimiser, theta, slope if gate is None else slope.mul_(gate), how.rate(step))
    return bend.select([0]) if alone else bend, losses[: len(shares)]


def _bend_modules(
    ends: Sequence[Nets], shares: Tensor, draws: _Draws, how: Descent, loss: str
) -> tuple[list[nn.Module], Tensor]:
    found, losses = [], torch.zeros(len(shares), how.steps, dtype=torch.float64)
    triples = [tuple(group) for group in zip(*cast(Sequence[Sequence[nn.Module]], ends), strict=True)]
    lines = [_Line(*triple) for triple in triples]
    optimisers = [how.begin(line.bend) for line in lines]
    for step in range(how.steps):
        rows, labels = draws.at(step)
        for r, line in enumerate(lines):
            value, slope = line.step(draws.x[rows[r]], labels[r], shares[r, step].tolist(), loss)
            losses[r, step] = value
            _descend(optimisers[r], line.bend, slope, how.rate(step))
        _check_loss_at(losses[:, step], step)
    for line in lines:
        found.append(line.finished())
    return found, losses


class _Line:
    """Two modules and a bend as vectors of their parameters, and a net that computes with what lies between them."""

    def __init__(self, first: nn.Module, bend: nn.Module, second: nn.Module):
        self.net = copy.deepcopy(bend).eval()
        for part in self.net.modules():
            if isinstance(part, _BatchNorm):
                part.train()
        self.names = [name for name, _ in self.net.named_parameters()]
        self.shapes = [p.shape for p in self.net.parameters()]
        self.first, start, self.second = (_vector(module) for module in (first, bend, second))
        self.bend = nn.Parameter(start.clone(), requires_grad=False)

    def step(self, x: Tensor, y: Tensor, shares: Sequence[float], loss: str) -> tuple[float, Tensor]:
        """Return the loss on a batch at these shares, and its gradient by the bend [P]."""
        leaf = self.bend.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            row = shares[0] * self.first + shares[1] * leaf + shares[2] * self.second
            state = self._state(row) | {name: buffer.clone() for name, buffer in self.net.named_buffers()}
            outputs = torch.func.functional_call(self.net, state, (x.to(row.device),))
            _check_labels(outputs[None], y[None])
            value = _loss(outputs, y.to(row.device), loss)
            (slope,) = torch.autograd.grad(value, leaf, materialize_grads=True)
        return value.item(), slope

    def finished(self) -> nn.Module:
        """Return the bend as a module, its other parts as those of the net that it began at."""
        with torch.no_grad():
            for parameter, value in zip(self.net.parameters(), self._state(self.bend).values(), strict=True):
                parameter.copy_(value)
        return self.net.eval()

    def _state(self, row: Tensor) -> dict[str, Tensor]:
        parts = row.split([shape.numel() for shape in self.shapes])
        return {n: part.view(shape) for n, part, shape in zip(self.names, parts, self.shapes, strict=True)}


def _descend(optimiser: torch.optim.Optimizer, bend: Tensor, slope: Tensor, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    bend.grad = slope
    optimiser.step()


def _loss(outputs: Tensor, y: Tensor, loss: str) -> Tensor:
    if loss == "mse":
        return functional.mse_loss(outputs, functional.one_hot(y, outputs.shape[-1]).to(outputs))
    return functional.cross_entropy(outputs, y)


def _gate(first: StackedMLP, second: StackedMLP) -> Tensor | None:
    """Return 1 where a bend may move in the layout of `flat`: what either end keeps; None for everything."""
    gates = first.gate(), second.gate()
    return None if gates[0] is None or gates[1] is None else torch.maximum(gates[0], gates[1])


def _taken(x: Tensor, rows: Tensor) -> Tensor:
    """Return x[rows], [R, B, d], each replicate on a vector boundary: bits do not depend on how many stand before."""
    count, batch = rows.shape
    spare = aligned_rows(batch, x.shape[1])
    filled = functional.pad(rows, (0, spare - batch))
    return x.index_select(0, filled.flatten()).view(count, spare, -1)[:, :batch]


def _mix(into: StackedMLP, stacks: Sequence[StackedMLP], shares: Tensor) -> None:
    """Write Σ_k shares[:, k] stacks[k] into a stack, for shares [R, k]."""
    columns = shares.to(into.flat).T[:, :, None, None]
    for target, *parts in zip(into.blocks, *(net.blocks for net in stacks), strict=True):
        torch.mul(parts[0], columns[0], out=target)
        for part, column in zip(parts[1:], columns[1:], strict=True):
            target.addcmul_(part, column)


def _mixed(modules: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    net = copy.deepcopy(modules[0])
    states = [module.state_dict() for module in modules]
    net.load_state_dict({name: _mean([state[name] for state in states], shares) for name in states[0]})
    return net


def _mean(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    if not values[0].is_floating_point() or all(torch.equal(values[0], other) for other in values[1:]):
        return values[0]  # counters are not mixed, and what is equal stays so to the last bit
    return torch.stack([share * value for share, value in zip(shares, values, strict=True)]).sum(0)


def _refreshed(nets: Sequence[nn.Module], train: Pool | None) -> list[nn.Module]:
    """Return copies in evaluation mode, with batch-norm statistics of their own training inputs where they have any."""
    copies = [copy.deepcopy(net).eval() for net in nets]
    normed = [any(isinstance(part, _BatchNorm) for part in net.modules()) for net in copies]
    if not any(normed):
        return copies
    if train is None:
        raise BadInput.of("train", None, "training examples", "Batch norm is measured anew on them.")
    rows, _ = train.table(len(copies))
    for net, row in zip(copies, rows, strict=True):
        refresh_statistics(net, train.x[row].to(_vector(net).device))
    return copies


def _outputs(nets: Nets, x: Tensor) -> Tensor:
    if isinstance(nets, StackedMLP):
        return nets.logits(x.to(nets.flat))
    return torch.stack([net(inputs.to(next(net.parameters()).device)) for net, inputs in zip(nets, x, strict=True)])


def _check_labels(outputs: Tensor, y: Tensor) -> None:
    if outputs.dim() != 3 or y.dim() != 2:
        given = f"outputs {tuple(outputs.shape[1:])}, labels {tuple(y.shape[1:])}"
        raise BadInput.of("shapes of one net", given, "[B, K] and [B]", "One decision and one label per input.")
    _check_outputs(whole_labels(y), outputs.shape[-1])


def _check_outputs(y: Tensor, outputs: int) -> None:
    low, high = (int(end) for end in y.aminmax())
    if low < 0 or high >= outputs:
        raise BadInput.of("labels", (low, high), f"0 <= label < {outputs}, the outputs", "Number them from 0.")


def _check_loss_at(losses: Tensor, step: int) -> None:
    if not bool(losses.isfinite().all()):
        raise BadInput.of(f"loss at step {step}", losses.tolist(), "finite numbers", "Take a smaller lr.")


def _listed(nets: Net) -> Nets:
    return nets if isinstance(nets, StackedMLP) else modules_of(nets)


def _count(nets: Nets) -> int:
    return nets.replicates if isinstance(nets, StackedMLP) else len(nets)


def _vector(net: nn.Module) -> Tensor:
    found = [p.detach().flatten() for p in net.parameters()]
    if not found:
        raise BadInput.of("parameters of the net", 0, ">= 1", "Pass a net that has some.")
    return torch.cat(found)


def _seeds(nets: Nets, seeds: Sequence[int] | None) -> Sequence[int]:
    own = nets.seeds if isinstance(nets, StackedMLP) else range(len(nets))
    if seeds is not None and len(seeds) != len(own):
        raise BadInput.of("number of seeds", len(seeds), f"{len(own)}, one per pair", "Pass a seed for each pair.")
    return own if seeds is None else seeds


def _check_alike(nets: Sequence[Nets]) -> None:
    """Raise BadInput unless all are stacks, or all lists of modules, of the same shapes."""
    looks = [_look(net) for net in nets]
    for look in looks[1:]:
        if odd := [part for part in look if part not in looks[0]] + [part for part in looks[0] if part not in look]:
            raise BadInput.of("nets of different shapes", odd[:4], "nets of one shape", "Build all the same way.")
    if isinstance(nets[0], StackedMLP):
        return
    for group in zip(*cast(Sequence[Sequence[nn.Module]], nets), strict=True):
        states = [module.state_dict() for module in group]
        for name, value in states[0].items():
            fixed = not value.is_floating_point() and not name.endswith("num_batches_tracked")
            if fixed and not all(torch.equal(value, state[name]) for state in states[1:]):
                raise BadInput.of(name, "different in the modules", "equal masks", "Remove the masks first.")


def _look(nets: Nets) -> list[tuple[object, ...]]:
    if isinstance(nets, StackedMLP):
        return [(type(nets).__name__, nets.sizes, nets.activation, nets.replicates)]
    shapes = [(r, name, tuple(v.shape)) for r, net in enumerate(nets) for name, v in net.state_dict().items()]
    return [("modules", len(nets)), *shapes]
