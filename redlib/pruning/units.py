"""What a whole unit or filter is worth, [R, units] and the larger is kept, and the masks that cut whole units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.losses import check_loss, losses_and_errors
from redlib.pruning.allocation import EmptyLayer, keep, layer_counts
from redlib.pruning.criteria import layer_outputs
from redlib.pruning.masks import Tensors, dense, masks_of, weights_of

UNIT_SCORES = 4  # last word of the key of a draw, as in criteria.py


@dataclass(frozen=True)
class UnitContext:
    """What unit criteria look at: the net as it is, and for some a batch: x [B, d], y [B], or both [R, B, ...]."""

    net: StackedMLP
    batch: tuple[Tensor, Tensor] | None = None
    loss: str = "cross_entropy"
    key: int = 0

    def __post_init__(self) -> None:
        check_loss(self.loss)


UnitCriterion = Callable[[UnitContext], Tensors]
UNIT_CRITERIA: dict[str, UnitCriterion] = {}
"""Every unit criterion by name."""


def unit_scores(name: str, context: UnitContext) -> Tensors:
    """Return the scores [R, units] of every hidden layer, by the name of its incoming weights: larger = keep.

    Raises BadInput for an unknown name, and for a criterion of activations or gradients without a batch.
    """
    if name not in UNIT_CRITERIA:
        raise BadInput.of("unit criterion", name, f"one of {sorted(UNIT_CRITERIA)}", "Register others.")
    return UNIT_CRITERIA[name](context)


def unit_criterion(name: str) -> Callable[[UnitCriterion], UnitCriterion]:
    """Return a decorator that registers a unit criterion."""

    def register(function: UnitCriterion) -> UnitCriterion:
        UNIT_CRITERIA[name] = function
        return function

    return register


def filter_norms(weights: Tensor, order: int, mask: Tensor | None = None) -> Tensor:
    """Return the l1 or l2 norm (order 1, 2) of the weights into each unit or filter, [R, out, in, ...] -> [R, out].

    Weights cut by `mask` do not count (Li et al. 2017: l1 of filters). BadInput for a module's own weight, which has no
    replicate axis.
    """
    if isinstance(weights, nn.Parameter) or weights.dim() < 3:
        given = f"{type(weights).__name__} {tuple(weights.shape)}"
        raise BadInput.of("weights", given, "[R, out, in, ...]", "Pass weights_of(net)[name].")
    if order not in (1, 2):
        raise BadInput.of("order", order, "1 or 2", "l1 sums magnitudes, l2 is the Euclidean norm.")
    kept = weights if mask is None else weights * mask
    return torch.linalg.vector_norm(kept.flatten(2), order, dim=2)


@unit_criterion("l1")
def l1(context: UnitContext) -> Tensors:
    """Return the summed magnitude of the kept weights into each unit."""
    return _norms(context, 1)


@unit_criterion("l2")
def l2(context: UnitContext) -> Tensors:
    """Return the Euclidean norm of the kept weights into each unit."""
    return _norms(context, 2)


@unit_criterion("activation")
def activation(context: UnitContext) -> Tensors:
    """Return the mean magnitude of each unit's output over the batch."""
    return _hidden(context.net, _activations(context), lambda a: a.abs().mean(1))


@unit_criterion("apoz")
def apoz(context: UnitContext) -> Tensors:
    """Return the share of the batch for which each unit is not 0: one minus APoZ (Hu et al. 2016).

    Units that are mostly 0 are the ones to cut. BadInput for activations that are never exactly 0.
    """
    if context.net.activation != "relu":
        raise BadInput.of("activation", context.net.activation, "relu, for apoz", "Others are never exactly 0.")
    return _hidden(context.net, _activations(context), lambda a: (a != 0).to(a.dtype).mean(1))


@unit_criterion("gradient")
def gradient(context: UnitContext) -> Tensors:
    """Return sum over the batch of |dL/da|, a the unit's output, L the mean batch loss: loss per change of output."""
    _, slopes = _activations_and_gradients(context)
    return _hidden(context.net, slopes, lambda g: g.abs().sum(1))


@unit_criterion("taylor")
def taylor(context: UnitContext) -> Tensors:
    """Return |sum over the batch of a dL/da|: the first-order change of the loss when a unit's output becomes 0.

    Molchanov et al. 2017, of the batch as a whole, and without their rescaling of layers.
    """
    outputs, slopes = _activations_and_gradients(context)
    return _hidden(context.net, [a * g for a, g in zip(outputs, slopes, strict=True)], lambda ag: ag.sum(1).abs())


@unit_criterion("random")
def random(context: UnitContext) -> Tensors:
    """Return uniform numbers in [0, 1) from the stream "mask" of each replicate's seed and the context's key."""
    net = context.net
    found = {}
    for layer, (name, units) in enumerate(zip(weights_of(net), net.sizes[1:-1], strict=False)):
        sources = (rng(seed, "mask", context.key, layer, UNIT_SCORES) for seed in net.seeds)
        found[name] = torch.stack([torch.from_numpy(source.random(units)) for source in sources]).to(net.flat.device)
    return found


def keep_units(scores: Tensor, count: int) -> Tensor:
    """Return bool [R, units], True for exactly the `count` best units of each replicate.

    Of equal scores the lower index stays. EmptyLayer (a BadInput) for a count below 1, BadInput for too many.
    """
    return keep({"units": scores}, {"units": count})["units"]


def units_of(net: StackedMLP) -> Tensors:
    """Return {hidden layer: bool [R, units]}, all True, by the name of the incoming weights."""
    hidden = zip(weights_of(net), net.sizes[1:-1], strict=False)
    return {name: torch.ones(net.replicates, units, dtype=torch.bool) for name, units in hidden}


def fewer_units(scores: Mapping[str, Tensor], alive: Mapping[str, Tensor], share: float) -> Tensors:
    """Return {layer: bool [R, units]}: of the units alive the best by score, round(share * units) of each layer."""
    kept = layer_counts({name: units.shape[1:] for name, units in alive.items()}, share)
    return {
        name: keep_units(scores[name].masked_fill(~units, -torch.inf), kept[name]) & units
        for name, units in alive.items()
    }


def unit_masks(net: StackedMLP | Tensors, kept: Mapping[str, Tensor]) -> Tensors:
    """Return masks of a plain MLP that cut every weight into and out of the units that are False in `kept`.

    `kept` is {hidden layer: bool [R, units]}, by the name of the incoming weights; layers not named stay whole.
    The masks a net has already stay cut. Biases are not masked, and need not be: a unit without incoming weights
    is the constant act(bias), and without outgoing ones nobody hears it, nor does a gradient reach its bias. The
    net computes what it would without the unit. Raises BadInput for masks that do not fit, EmptyLayer for none left.
    """
    masks = masks_of(net) if isinstance(net, StackedMLP) else dense(net)
    names = list(masks)
    following = dict(zip(names[:-1], names[1:], strict=True))
    masks = {name: mask.clone() for name, mask in masks.items()}
    for name, units in kept.items():
        _check_units(name, units, masks, following)
        masks[name] &= units[:, :, None]
        masks[following[name]] &= units[:, None, :]
    return masks


def _check_units(name: str, units: Tensor, masks: Tensors, following: Mapping[str, str]) -> None:
    if name not in following:
        raise BadInput.of("layer", name, f"a hidden layer: {list(following)}", "The outputs of the net cannot be cut.")
    if units.dtype != torch.bool or units.shape != masks[name].shape[:2]:
        found, allowed = (units.dtype, tuple(units.shape)), f"bool {tuple(masks[name].shape[:2])}"
        raise BadInput.of(f"units of {name}", found, allowed, "One row per replicate, True for the units kept.")
    if not bool(units.any(1).all()):
        raise EmptyLayer.of(f"units kept in {name}", 0, ">= 1 in every replicate", "Keep at least one unit.")


def _norms(context: UnitContext, order: int) -> Tensors:
    masks = masks_of(context.net)
    hidden = list(weights_of(context.net).items())[:-1]
    return {name: filter_norms(weights, order, masks[name]) for name, weights in hidden}


def _hidden(net: StackedMLP, values: list[Tensor], reduce: Callable[[Tensor], Tensor]) -> Tensors:
    """Return reduce(values of each hidden layer [R, B, units]), by layer name."""
    return {name: reduce(value) for name, value in zip(list(weights_of(net))[:-1], values, strict=True)}


def _batch(context: UnitContext) -> tuple[Tensor, Tensor]:
    """Return (x [R, B, d], y [R, B])."""
    if context.batch is None:
        raise BadInput.of("batch", None, "(x, y), for this criterion", "Pass e.g. class_batch(examples, 10, seeds).")
    (x, y), replicates = context.batch, context.net.replicates
    if y.dim() == 1:
        x, y = x.expand(replicates, *x.shape), y.expand(replicates, *y.shape)
    if x.shape != (*y.shape, context.net.sizes[0]) or len(y) != replicates:
        allowed = f"x [B, {context.net.sizes[0]}], y [B], or both with {replicates} replicates first"
        raise BadInput.of("shapes of batch", (tuple(x.shape), tuple(y.shape)), allowed, "Flatten the images.")
    return x, y


def _outputs(net: StackedMLP, r: int, x: Tensor) -> list[Tensor]:
    # Replicates one at a time, from fresh copies: their bits then do not depend on the others (see `functional`).
    return layer_outputs([w[r].clone() for w in net.weights], [b[r].clone() for b in net.biases], x, net.activation)


def _activations(context: UnitContext) -> list[Tensor]:
    """Return the outputs [R, B, units] of every hidden layer."""
    x, _ = _batch(context)
    rows = [_outputs(context.net, r, x[r].clone())[:-1] for r in range(len(x))]
    return [torch.stack(layer) for layer in zip(*rows, strict=True)]


def _activations_and_gradients(context: UnitContext) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs of every hidden layer, and the gradient of each replicate's mean loss by them."""
    x, y = _batch(context)
    rows, slopes = [], []
    for r in range(len(x)):
        *hidden, logits = _outputs(context.net, r, x[r].clone().requires_grad_())
        loss = losses_and_errors(logits, y[r], context.loss)[0].mean()
        slopes.append(torch.autograd.grad(loss, hidden))
        rows.append([a.detach() for a in hidden])
    stack = [[torch.stack(layer) for layer in zip(*part, strict=True)] for part in (rows, slopes)]
    return stack[0], stack[1]
