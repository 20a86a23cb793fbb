"""What nets lose when units are removed: one alone, or more and more of them in some order.

A removed unit returns 0, or its mean over the examples, whatever the example is. Accuracies and drops are shares in
[0, 1] of the examples that are classified right, float64, exact fractions of their number; losses are mean
cross-entropies in nats.

In a stack, a unit enters what the next layer computes as one term of a sum, a matrix of rank one. That term is
subtracted, in float64, and only what comes after is computed anew; nets do not run from their inputs for each unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from redlib.data.numbers import floats, strided
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures import norms
from redlib.measures.connectivity import Parts
from redlib.measures.layers import Net
from redlib.measures.units.reading import ModuleLayer, Reader, StackLayer, batches, reader_of
from redlib.nets.losses import losses_and_errors

BLOCK = 2**22  # numbers of changed layers held at a time, 32 MiB
ORDERS = ("random", "drop", "greedy", "norm")
INSTEAD = ("zero", "mean")
Worth = Callable[[Tensor, Tensor], Tensor]  # of outputs [..., b, K] and labels [b], for each example: [..., b]
REMOVAL = 91  # key of the stream "mask", so that no other draw of a seed repeats these


@torch.no_grad()
def ablation_drops(
    net: Net,
    examples: Parts,
    layer: int | str,
    instead: str = "zero",
    unchanged: bool = False,
    of: str = "accuracy",
) -> Tensor:
    """Return what is lost when each unit alone is removed: float64 [R, units], negative where nets are better without.

    It is the drop `of` "accuracy", or with "loss" the rise of the mean cross-entropy of the labels, in nats: accuracy
    can stay where every unit goes, the loss hardly does. `instead` is what a removed unit returns, "zero" or its "mean"
    over the examples. With `unchanged` labels are what the whole net decides. Modules are run once for each unit, in
    their own precision. (Single-unit ablation as in Morcos et al. 2018.) BadInput as `activations`, for labels that are
    no output or several per example, fewer than two outputs, and outputs that are NaN, or for a loss infinite.
    """
    if of not in WORTHS:
        raise BadInput.named("of", of, WORTHS, "Name what a unit is missed in.")
    reader = reader_of(net, layer)
    fill, lost = _fill(reader, examples, instead), []
    for judges in _judged(reader, examples, fill, unchanged, WORTHS[of]):
        whole = torch.ones(judges[0].units, dtype=torch.bool, device=reader.like.device)
        lost.append(torch.stack([judge.drops(whole) for judge in judges]))
    # Of accuracies these are counts: a difference of two rounded shares is no exact one, and would miss a tolerance.
    return torch.stack(lost).sum(0).double() / len(examples)


def removable(drops: Tensor, tolerance: float = 0.001) -> Tensor:
    """Return how many units of each replicate cost less than `tolerance` of accuracy when removed alone: int64 [R].

    `drops` are those of `ablation_drops`, [R, units]; .001 is a tenth of a percentage point. BadInput for another
    shape, NaN, and unless 0 < tolerance <= 1.
    """
    if not 0 < tolerance <= 1:
        raise BadInput.of("tolerance", tolerance, "0 < tolerance <= 1", "It is a share: .001 is .1 points.")
    if strided(drops, "drops").dim() != 2 or bool(drops.isnan().any()):
        raise BadInput.of("drops", tuple(drops.shape), "[R, units], no NaN", "Pass what ablation_drops returns.")
    return (drops < tolerance).sum(1)


@torch.no_grad()
def cumulative_removal(
    net: Net,
    examples: Parts,
    layer: int | str,
    order: str | Tensor = "random",
    seeds: Sequence[int] | None = None,
    instead: str = "zero",
    unchanged: bool = False,
) -> Tensor:
    """Return the accuracy after the first k units of an order are removed, k = 0 ... units: float64 [R, units + 1].

    `order` is one of `removal_order`, or what it returned, int64 [R, units]; the others as in `ablation_drops`. With
    `unchanged` it is the share of decisions that stay, Casper et al.'s (2019) measure of removable units, with order
    "random": see `crossing`. BadInput as in these two.
    """
    if isinstance(order, str):
        order = removal_order(net, examples, layer, order, seeds, instead, unchanged)
    reader = reader_of(net, layer)
    fill, right = _fill(reader, examples, instead), []
    for judges in _judged(reader, examples, fill, unchanged):
        rows = _checked_order(order, len(judges), judges[0].units).to(reader.like.device)
        right.append(torch.stack([judge.along(row) for judge, row in zip(judges, rows, strict=True)]))
    return torch.stack(right).sum(0).double() / len(examples)


@torch.no_grad()
def removal_order(
    net: Net,
    examples: Parts,
    layer: int | str,
    order: str = "random",
    seeds: Sequence[int] | None = None,
    instead: str = "zero",
    unchanged: bool = False,
) -> Tensor:
    """Return units in the order in which they are removed, int64 [R, units], on the CPU.

    "random" is drawn from the stream "mask" of each replicate's seed (by default those of the stack; modules need
    them). "drop" takes the least `ablation_drops` first, "greedy" at each step the unit whose removal then costs least:
    (units + 1)/2 times the work of "drop", and all activations in memory. "norm" takes the smallest Euclidean norm of
    incoming weights first (Li et al. 2017, there l1); of modules `layer` must then be the part that has the weights. Of
    equal units the lower index goes first. BadInput for other orders, as many seeds as there are no replicates, and as
    in `ablation_drops`.
    """
    if order not in ORDERS:
        raise BadInput.named("order", order, ORDERS, "Pass an order of your own as int64 [R, units].")
    reader = reader_of(net, layer)
    if order == "drop":
        return _rising(ablation_drops(net, examples, layer, instead, unchanged))
    if order == "norm":
        return _rising(_incoming_norms(net, layer))
    if order == "random":
        return _random(reader, examples, seeds)
    fill = _fill(reader, examples, instead)
    judges = zip(*_judged(reader, examples, fill, unchanged), strict=True)
    return torch.stack([_greedy(own) for own in judges])


def crossing(curves: Tensor, level: float = 0.8) -> Tensor:
    """Return the share of units removed when a curve first falls below `level`, in [0, 1]: float64 [R].

    `curves` [R, units + 1] of `cumulative_removal`, straight between their points; 1 where none does. With its
    `unchanged` decisions and a level of .8 it is how removable units are in Casper et al. 2019. BadInput for other
    shapes, NaN, and unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise BadInput.of("level", level, "0 < level < 1", "It is a share; Casper et al. take .8.")
    rows = floats(curves, "curves")
    if rows.ndim != 2 or rows.shape[1] < 2 or np.isnan(rows).any():
        raise BadInput.of("curves", rows.shape, "[R, units + 1], no NaN", "Pass what cumulative_removal returns.")
    return torch.tensor([_crossed(row, level) for row in rows], dtype=torch.float64)


class _Judge(Protocol):
    """Adds up what a replicate's examples of a batch are worth without some units: 1 each that is classified right."""

    units: int

    def drops(self, kept: Tensor) -> Tensor:
        """Return how much less all are worth without one more unit of those `kept` (bool): [units], of others any."""

    def along(self, order: Tensor) -> Tensor:
        """Return what all are worth without the first k units of `order`: [units + 1]."""


class _StackJudge(_Judge):
    def __init__(self, reader: StackLayer, r: int, a: Tensor, y: Tensor, fill: Tensor, unchanged: bool, worth: Worth):
        net, after = reader.net, reader.layer + 1
        self.units, self.relu, self.worth = a.shape[1], net.activation == "relu", worth
        layers = [(w[r].double().clone(), b[r].double().clone()) for w, b in zip(net.weights, net.biases, strict=True)]
        weights, bias = layers[after]
        self.rest, self.columns = layers[after + 1 :], weights.T.contiguous()
        self.around, self.empty = (a.double() - fill).contiguous(), bias + fill @ self.columns
        self.size = max(1, BLOCK // (len(a) * max(len(b) for _, b in layers[after:])))
        self.y = _labels(y, self._outputs(self._before(fill.new_ones(self.units))), unchanged)

    def drops(self, kept: Tensor) -> Tensor:
        before = self._before(kept)
        whole = self._worths(before)
        # Example by example, so that a unit nobody hears costs exactly 0.
        parts = torch.arange(self.units, device=before.device).split(self.size)
        return torch.cat([(whole - self._worths(before - self._terms(part))).sum(-1) for part in parts])

    def along(self, order: Tensor) -> Tensor:
        # From none to all: a sum from which all terms are subtracted again would leave their rounding.
        before = self.empty.expand(len(self.around), -1)
        found = [self._worths(before).sum(-1, keepdim=True)]
        for part in order.flip(0).split(self.size):
            steps = before + self._terms(part).cumsum(0)
            found.append(self._worths(steps).sum(-1))
            before = steps[-1]
        return torch.cat(found).flip(0)

    def _before(self, kept: Tensor) -> Tensor:
        """Return what the next layer computes before its activation: [b, out]."""
        return self.empty + (self.around * kept) @ self.columns

    def _terms(self, units: Tensor) -> Tensor:
        """Return what each unit adds to that: [units, b, out]."""
        return self.around.T[units, :, None] * self.columns[units, None]

    def _outputs(self, before: Tensor) -> Tensor:
        for weights, bias in self.rest:
            before = (before.relu() if self.relu else before.tanh()) @ weights.T + bias
        return before

    def _worths(self, before: Tensor) -> Tensor:
        return self.worth(self._outputs(before), self.y)


class _ModuleJudge(_Judge):
    def __init__(self, reader: ModuleLayer, r: int, x: Tensor, y: Tensor, fill: Tensor, unchanged: bool, worth: Worth):
        self.reader, self.r, self.x, self.fill, self.units, self.worth = reader, r, x, fill, len(fill), worth
        self.y = _labels(y, self._outputs(torch.ones_like(fill, dtype=torch.bool)), unchanged)

    def drops(self, kept: Tensor) -> Tensor:
        whole, without = self._worths(kept), ~torch.eye(self.units, dtype=torch.bool, device=kept.device)
        return torch.stack([(whole - self._worths(kept & row)).sum() for row in without])

    def along(self, order: Tensor) -> Tensor:
        kept = torch.ones_like(self.fill, dtype=torch.bool)
        found = [self._worths(kept).sum()]
        for unit in order.tolist():
            kept[unit] = False
            found.append(self._worths(kept).sum())
        return torch.stack(found)

    def _outputs(self, kept: Tensor) -> Tensor:
        def removed(output: Tensor) -> Tensor:
            shape = (1, -1, *[1] * (output.dim() - 2))
            return torch.where(kept.view(shape), output, self.fill.to(output).view(shape))

        return self.reader.logits(self.r, self.x, removed)

    def _worths(self, kept: Tensor) -> Tensor:
        return self.worth(self._outputs(kept), self.y)


def _judged(
    reader: Reader, examples: Parts, fill: Tensor, unchanged: bool, worth: Worth | None = None
) -> Iterator[list[_Judge]]:
    """Yield for every batch one judge per replicate, by default of what is right."""
    how = unchanged, worth or _right
    for x, y in batches(reader, examples):
        if isinstance(reader, StackLayer):
            rows = zip(reader.activations(x), y, fill, strict=True)
            yield [_StackJudge(reader, r, *row, *how) for r, row in enumerate(rows)]
        else:
            yield [_ModuleJudge(reader, r, *row, *how) for r, row in enumerate(zip(x, y, fill, strict=True))]


def _fill(reader: Reader, examples: Parts, instead: str) -> Tensor:
    """Return what removed units return, float64 [R, units]."""
    if instead not in INSTEAD:
        raise BadInput.named("instead", instead, INSTEAD, "It is what a removed unit returns.")
    if instead == "zero":
        units = reader.units(next(batches(reader, examples))[0])
        return torch.zeros(reader.replicates, units, dtype=torch.float64, device=reader.like.device)
    totals = [reader.activations(x).double().sum(1) for x, _ in batches(reader, examples)]
    return torch.stack(totals).sum(0) / len(examples)


def _labels(y: Tensor, outputs: Tensor, unchanged: bool) -> Tensor:
    """Return what is right: the labels, or what outputs [b, K] decide; BadInput for ones that do not fit."""
    if outputs.dim() != 2 or outputs.shape[1] < 2:
        raise BadInput.of("outputs of the net", tuple(outputs.shape), "[n, classes >= 2]", "Ask for a classifier.")
    if unchanged:
        return _decided(outputs)
    whole = not (y.is_floating_point() or y.is_complex()) and y.shape == outputs.shape[:1]
    if not whole or int(y.min()) < 0 or int(y.max()) >= outputs.shape[1]:
        given = (str(y.dtype), tuple(y.shape), y.unique().tolist()[:10])
        raise BadInput.of("labels", given, f"whole numbers 0 <= label < {outputs.shape[1]}", "One per example.")
    return y


def _decided(outputs: Tensor) -> Tensor:
    if bool(outputs.isnan().any()):
        raise BadInput.of("outputs of the net", "NaN", "numbers", "Look for NaN in the weights and in the inputs.")
    return outputs.argmax(-1)


def _right(outputs: Tensor, y: Tensor) -> Tensor:
    """Return 1 for examples that are classified right, else 0: int64, so that they add up exactly."""
    return (_decided(outputs) == y).long()


def _fitting(outputs: Tensor, y: Tensor) -> Tensor:
    """Return minus the cross-entropy of the label of each example: float64."""
    if not bool(outputs.isfinite().all()):
        raise BadInput.of("outputs of the net", "nan or inf", "finite numbers", "Has the net diverged?")
    return -losses_and_errors(outputs.double(), y.long(), "cross_entropy")[0]


WORTHS: dict[str, Worth] = {"accuracy": _right, "loss": _fitting}


def _rising(scores: Tensor) -> Tensor:
    return scores.cpu().sort(dim=1, stable=True).indices


def _incoming_norms(net: Net, layer: int | str) -> Tensor:
    found = {one.name: one for one in norms.layers(net)}
    name = layer if isinstance(layer, str) else f"layer{layer + 1}"
    if name not in found:
        remedy = "Name the part before the activation, or pass an order int64 [R, units]."
        raise BadInput.named("layer with weights", name, found, remedy)
    return found[name].matrix(False).norm(dim=-1).flatten(1)


def _random(reader: Reader, examples: Parts, seeds: Sequence[int] | None) -> Tensor:
    own = reader.net.seeds if seeds is None and isinstance(reader, StackLayer) else seeds
    if own is None or len(own) != reader.replicates:
        given = None if own is None else len(own)
        raise BadInput.of("number of seeds", given, f"{reader.replicates}, one per replicate", "Pass the nets' seeds.")
    units = reader.units(next(batches(reader, examples))[0])
    return torch.stack([torch.from_numpy(rng(seed, "mask", REMOVAL).permutation(units)) for seed in own])


def _greedy(judges: Sequence[_Judge]) -> Tensor:
    """Return the units in the order in which their removal costs least at each step: int64 [units]."""
    kept, order, gone = torch.ones(judges[0].units, dtype=torch.bool), [], torch.iinfo(torch.int64).max
    for _ in range(len(kept)):
        lost = torch.stack([judge.drops(kept) for judge in judges]).sum(0).cpu()
        order.append(int(lost.masked_fill(~kept, gone).numpy().argmin()))  # numpy's is the first of several
        kept[order[-1]] = False
    return torch.tensor(order)


def _checked_order(order: Tensor, replicates: int, units: int) -> Tensor:
    every = torch.arange(units).expand(replicates, -1)
    if order.dtype != torch.int64 or not torch.equal(order.cpu().sort(-1).values, every):
        allowed = f"int64 [{replicates}, {units}], each row the numbers 0 ... {units - 1}"
        raise BadInput.of("order", (str(order.dtype), tuple(order.shape)), allowed, "See removal_order.")
    return order


def _crossed(row: np.ndarray, level: float) -> float:
    below = np.flatnonzero(row < level)
    if not len(below) or not below[0]:
        return float(not len(below))
    after, last = below[0], len(row) - 1
    return float((after - 1 + (row[after - 1] - level) / (row[after - 1] - row[after])) / last)
