"""Matching the units of two nets: the hidden units of one are put in the order of the other's, its function unchanged.

A hidden layer computes the same with its units in any order, so that two nets may differ by little else.
Weights (Ainsworth et al. 2023, "Git Re-Basin", algorithm 1): find the orders that make the inner product of the two
nets' parameters as large as it gets, one layer at a time with all others held, each an assignment problem that is
solved exactly, until no layer changes. Activations (Li et al. 2016): the order in which the correlations of the units'
activations add up to the most, each layer by itself.

Nets are plain `StackedMLP`s, each replicate with orders of its own, and modules that are chains (nested nn.Sequential)
of Linear and Conv layers, batch norms, element-wise activations, pools and a Flatten. All others are refused: a
residual net's layers share one order, which this does not look for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.utils import parametrize

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.convnets import RandomShiftFlip
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP
from redlib.nets.ticketnets import Dropout

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ALIKE = (  # parts that treat every unit, or every channel, as all others
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, Dropout, RandomShiftFlip),
)
POOLS = (nn.AvgPool1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
ORDERS = 43  # key of the stream "order", so that no other draw of a seed repeats these
LEAST = 1e-12  # of the squared length of the parameters: a smaller gain is rounding

Net = StackedMLP | nn.Module | Sequence[nn.Module]
Layer = nn.Linear | nn.Conv1d | nn.Conv2d
Norm = nn.BatchNorm1d | nn.BatchNorm2d
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Match:
    """R matched nets: `net` is the second with its units in the order of the first's, of the kind that was passed.

    `orders` holds a tensor [R, units] for each hidden layer: unit i of `net` was unit orders[l][r, i] of the second.
    `before` and `after` [R], float64: Euclidean distance of the first net's weights, biases and batch-norm scales and
    shifts from those of the second and of `net`. Weight matching cannot increase it; matching activations can.
    """

    net: StackedMLP | list[nn.Module]
    orders: list[Tensor]
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class _Chain:
    """One net as numbers: weights [out, in, s] with the s places of each input unit, and vectors [out, k] of units."""

    weights: list[Floats]
    vectors: list[Floats]

    def ordered(self, orders: Sequence[NDArray[np.int64]]) -> _Chain:
        """Return the same function with the units of each hidden layer in these orders."""
        rows = [*orders, np.arange(len(self.weights[-1]))]
        columns = [np.arange(self.weights[0].shape[1]), *orders]
        weights = [w[row][:, column] for w, row, column in zip(self.weights, rows, columns, strict=True)]
        return _Chain(weights, [v[row] for v, row in zip(self.vectors, rows, strict=True)])

    def distance(self, other: _Chain) -> float:
        """Return the Euclidean distance of all numbers."""
        pairs = zip([*self.weights, *self.vectors], [*other.weights, *other.vectors], strict=True)
        return float(np.sqrt(sum(np.square(a - b).sum() for a, b in pairs)))


def match_weights(first: Net, second: Net, *, seeds: Sequence[int] | None = None, sweeps: int = 100) -> Match:
    """Return the second nets with their hidden units in the order that brings their parameters nearest to the first's.

    Coordinate descent (Ainsworth et al. 2023, algorithm 1): the layers take turns in an order drawn anew for each of at
    most `sweeps` sweeps from the stream "order" of the replicate's seed (`seeds` [R]: the first stack's own, or 0, 1, …
    for modules). Two starts, the better end of which counts: the order as it is, as the authors have it, and one that
    matches the layers once from the inputs upwards, which finds a copy in another order at once. The optimum is a local
    one. Batch norm takes part with scale and shift; its statistics follow. BadInput for nets of different shapes, nets
    without a hidden layer, and those that are no chain.
    """
    sweeps = whole("sweeps", sweeps, 1, "100 are more than enough.")
    ones, others = _chains(first), _chains(second)
    _check_pairs(ones, others)
    own = _seeds(first, seeds, len(ones))
    return _match(second, ones, others, [_nearest(*pair, sweeps) for pair in zip(ones, others, own, strict=True)])


def match_activations(first: Net, second: Net, inputs: Tensor) -> Match:
    """Return the second nets with their hidden units in the order of the first's by the correlation of activations.

    inputs [n, ...], n >= 2, are shared. A unit's activations are what the next layer reads of it, over all inputs
    (and all places of a channel), modules in evaluation mode. Each layer by itself: the sum of the correlations (Li et
    al. 2016) is the largest of all orders; units that never change correlate with none and take what is left.
    BadInput as `match_weights`, for fewer than 2 inputs and ones that are not finite.
    """
    ones, others = _chains(first), _chains(second)
    _check_pairs(ones, others)
    pairs = zip(_activations(first, inputs), _activations(second, inputs), strict=True)
    orders = [[_assigned(_correlations(a, b)) for a, b in zip(*pair, strict=True)] for pair in pairs]
    return _match(second, ones, others, orders)


@torch.no_grad()
def reordered(net: Net, orders: Sequence[Tensor]) -> StackedMLP | list[nn.Module]:
    """Return a copy of a stack, or of modules, whose hidden unit i of layer l is unit orders[l][r, i] of the net's.

    `orders` holds a tensor [R, units] for each hidden layer. Masks and batch-norm statistics follow their units, so
    that the function is the same to rounding. BadInput where an order is none of the layer's units, or missing.
    """
    chains = _chains(net)
    hidden = [len(w) for w in chains[0].weights[:-1]]
    wanted = [torch.arange(n).expand(len(chains), n) for n in hidden]
    shapes = [tuple(order.shape) for order in orders]
    if shapes != [tuple(w.shape) for w in wanted]:
        raise BadInput.of(
            "shapes of the orders", shapes, f"[{len(chains)}, units], units {hidden}", "Order each layer."
        )
    for layer, (order, units) in enumerate(zip(orders, wanted, strict=True)):
        if not torch.equal(order.sort(1).values.cpu(), units):
            raise BadInput.of(f"orders[{layer}]", order.tolist(), "every unit once in each row", "Pass permutations.")
    if isinstance(net, StackedMLP):
        return _reordered_stack(net, orders)
    return [_reordered_module(one, [o[r] for o in orders]) for r, one in enumerate(modules_of(net))]


# ---- assignments ----


def _nearest(first: _Chain, second: _Chain, seed: int, sweeps: int) -> list[NDArray[np.int64]]:
    """Return the orders of the better of the two descents."""
    identity = [np.arange(len(w)) for w in second.weights[:-1]]
    upwards = list(identity)
    for layer in range(len(upwards)):
        upwards[layer] = _assigned(_below(first, second, upwards, layer))
    ends = [_descended(first, second, start, seed, sweeps) for start in (identity, upwards)]
    return min(ends, key=lambda orders: first.distance(second.ordered(orders)))


def _descended(
    first: _Chain, second: _Chain, start: Sequence[NDArray[np.int64]], seed: int, sweeps: int
) -> list[NDArray[np.int64]]:
    orders, source = list(start), rng(seed, "order", ORDERS)
    least = LEAST * sum(float(np.square(w).sum()) for w in first.weights)
    for _ in range(sweeps):
        changed = False
        for layer in source.permutation(len(orders)):
            gains = _below(first, second, orders, layer) + _above(first, second, orders, layer)
            order, units = _assigned(gains), np.arange(len(gains))
            if gains[units, order].sum() > gains[units, orders[layer]].sum() + least:
                orders[layer], changed = order, True
        if not changed:
            break
    return orders


def _below(first: _Chain, second: _Chain, orders: Sequence[NDArray[np.int64]], layer: int) -> Floats:
    """Return the inner products [units, units] of what comes into the units of two nets."""
    theirs = second.weights[layer] if layer == 0 else second.weights[layer][:, orders[layer - 1]]
    into = first.weights[layer].reshape(len(theirs), -1) @ theirs.reshape(len(theirs), -1).T
    return into + first.vectors[layer] @ second.vectors[layer].T


def _above(first: _Chain, second: _Chain, orders: Sequence[NDArray[np.int64]], layer: int) -> Floats:
    """Return the inner products [units, units] of what the next layer takes from the units of two nets."""
    mine, theirs = first.weights[layer + 1], second.weights[layer + 1]
    theirs = theirs if layer + 1 == len(orders) else theirs[orders[layer + 1]]
    rows = [w.transpose(1, 0, 2).reshape(w.shape[1], -1) for w in (mine, theirs)]
    return rows[0] @ rows[1].T


def _assigned(gains: Floats) -> NDArray[np.int64]:
    """Return for each row its column, so that the gains [units, units] add up to the most."""
    return np.asarray(linear_sum_assignment(gains, maximize=True)[1], np.int64)


def _correlations(first: Floats, second: Floats) -> Floats:
    """Return the correlations [units, units] of activations [n, units]; 0 for a unit that never changes."""
    scores = []
    for values in (first, second):
        centred = values - values.mean(0)
        length = np.linalg.norm(centred, axis=0)
        scores.append(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))
    return cast(Floats, scores[0].T @ scores[1])


def _match(
    second: Net, ones: Sequence[_Chain], others: Sequence[_Chain], orders: Sequence[Sequence[NDArray[np.int64]]]
) -> Match:
    stacked = [torch.from_numpy(np.stack(layer)) for layer in zip(*orders, strict=True)]
    before = [a.distance(b) for a, b in zip(ones, others, strict=True)]
    after = [a.distance(b.ordered(own)) for a, b, own in zip(ones, others, orders, strict=True)]
    distances = (torch.tensor(part, dtype=torch.float64) for part in (before, after))
    return Match(reordered(second, stacked), stacked, *distances)


# ---- nets as chains ----


def _chains(net: Net) -> list[_Chain]:
    if not isinstance(net, StackedMLP):
        return [_chain_of(module) for module in modules_of(net)]
    if type(net) is not StackedMLP:  # those derived from it compute something else of the same weights
        raise BadInput.of("net", type(net).__name__, "a plain StackedMLP, or chains of layers", "Others are wired.")
    _check_hidden(len(net.weights))
    weights, biases = ([_numbers(part) for part in parts] for parts in (net.weights, net.biases))
    return [_Chain([w[r][..., None] for w in weights], [b[r][:, None] for b in biases]) for r in range(net.replicates)]


def _chain_of(net: nn.Module) -> _Chain:
    links = _links(net)
    weights, vectors, units = [], [], None
    for layer, norms in links:
        weight = _numbers(layer.weight)
        weight = weight.reshape(len(weight), weight.shape[1] if units is None else units, -1)
        own = [layer.bias, *(part for norm in norms for part in (norm.weight, norm.bias))]
        columns = [_numbers(part) for part in own if part is not None]
        weights.append(weight)
        vectors.append(np.stack(columns, 1) if columns else np.zeros((len(weight), 0)))
        units = len(weight)
    return _Chain(weights, vectors)


def _links(net: nn.Module) -> list[tuple[Layer, list[Norm]]]:
    """Return the layers of a chain, each with the norms behind it; BadInput for what is no such chain."""
    found: list[tuple[Layer, list[Norm]]] = []
    flat: bool | None = None  # whether units are the last axis; None: what the inputs are
    for name, part in _parts(net):
        _check_part(name, part, flat)
        if isinstance(part, LAYERS):
            _check_fits(name, part, found)
            found.append((part, []))
            flat = isinstance(part, nn.Linear)
        elif isinstance(part, NORMS) and found:
            if len(found[-1][0].weight) != part.num_features:
                given = f"{name}: {part.num_features} features of {len(found[-1][0].weight)} units"
                raise BadInput.of("norm", given, "one feature per unit", "Normalise before Flatten.")
            found[-1][1].append(part)
        elif isinstance(part, nn.Flatten):
            flat = True
    if len({id(part) for part, _ in found}) < len(found):
        raise BadInput.of("layers", "one stands twice", "each once", "A shared layer has no order of its own.")
    _check_hidden(len(found))
    return found


def _check_fits(name: str, layer: Layer, before: Sequence[tuple[Layer, list[Norm]]]) -> None:
    inputs = layer.weight.shape[1]
    units = len(before[-1][0].weight) if before else inputs
    if inputs % units:
        given = f"{name}: {inputs} inputs from {units} units"
        raise BadInput.of("layer", given, "a multiple of the units", "Pass a net whose layers fit.")


def _parts(net: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if type(net) is not nn.Sequential:
        yield name or "net", net
        return
    for key, part in net._modules.items():  # named_children leaves out what stands twice
        assert part is not None
        yield from _parts(part, f"{name}.{key}" if name else key)


def _check_part(name: str, part: nn.Module, flat: bool | None) -> None:
    allowed = "Linear, Conv, batch norm, element-wise activations, pools and Flatten, in nn.Sequential"
    if type(part) not in (*LAYERS, *NORMS, *ALIKE, *POOLS, nn.Flatten) or getattr(part, "groups", 1) != 1:
        raise BadInput.of("part of the net", f"{name}: {part}", allowed, "Other wirings have other symmetries.")
    if parametrize.is_parametrized(part) or part._forward_pre_hooks or part._forward_hooks:
        raise BadInput.of("part of the net", f"{name} with hooks", "plain layers", "Take masks and hooks off first.")
    if isinstance(part, nn.Flatten) and (part.start_dim, part.end_dim) != (1, -1):
        raise BadInput.of("Flatten", (part.start_dim, part.end_dim), "(1, -1)", "Keep the examples apart.")
    # Channels are the first axis of an example until Flatten, and units the last one behind it.
    misplaced = flat is False and isinstance(part, nn.Linear)
    if misplaced or (flat and isinstance(part, (nn.Flatten, nn.Conv1d, nn.Conv2d, *POOLS))):
        raise BadInput.of("part of the net", f"{name}: {part}", "Conv … Flatten … Linear", "Order the parts so.")


def _check_hidden(layers: int) -> None:
    if layers < 2:
        raise BadInput.of("layers", layers, ">= 2", "Without a hidden layer there are no units to match.")


def _check_pairs(ones: Sequence[_Chain], others: Sequence[_Chain]) -> None:
    shapes = [[[part.shape for part in (*c.weights, *c.vectors)] for c in chains] for chains in (ones, others)]
    if shapes[0] != shapes[1]:
        odd = [b for a, b in zip(*shapes, strict=False) if a != b] or [f"{len(others)} nets, not {len(ones)}"]
        raise BadInput.of("second net", odd[0], "the shapes of the first", "Match nets that are built the same way.")
    for part in (part for c in (*ones, *others) for part in (*c.weights, *c.vectors)):
        if not np.isfinite(part).all():
            raise BadInput.of("weights", "NaN or infinity among them", "finite numbers", "Leave this net out.")


def _seeds(net: Net, seeds: Sequence[int] | None, count: int) -> Sequence[int]:
    own = net.seeds if isinstance(net, StackedMLP) else range(count)
    if seeds is not None and len(seeds) != count:
        raise BadInput.of("number of seeds", len(seeds), f"{count}, one per pair", "Pass a seed for each pair.")
    return own if seeds is None else seeds


def _numbers(values: Tensor) -> Floats:
    return cast(Floats, values.detach().to("cpu", torch.float64).numpy())


# ---- activations ----


@torch.no_grad()
def _activations(net: Net, inputs: Tensor) -> list[list[Floats]]:
    """Return what the layers behind each hidden layer read of it, an array [n, units] for each net and layer."""
    if len(inputs) < 2 or not bool(inputs.isfinite().all()):
        given = f"{len(inputs)}, finite: {bool(inputs.isfinite().all())}"
        raise BadInput.of("inputs", given, "at least 2, all finite", "Pass more inputs.")
    if not isinstance(net, StackedMLP):
        return [_read(module, inputs) for module in modules_of(net)]
    layers = net.hidden(inputs.to(net.flat))[1:-1]
    return [[_numbers(layer[r]) for layer in layers] for r in range(net.replicates)]


def _read(net: nn.Module, inputs: Tensor) -> list[Floats]:
    own = copy.deepcopy(net).eval()
    layers = [layer for layer, _ in _links(own)]
    read: list[Floats] = []

    def listen(layer: nn.Module, arrived: tuple[Tensor, ...]) -> None:
        units = len(layers[len(read)].weight)  # of the layer before
        values = arrived[0].reshape(len(arrived[0]), units, -1)
        read.append(_numbers(values.transpose(1, 2).reshape(-1, units)))

    for layer in layers[1:]:
        layer.register_forward_pre_hook(listen)
    own(inputs.to(layers[0].weight))
    return read


# ---- putting units in order ----


def _reordered_stack(net: StackedMLP, orders: Sequence[Tensor]) -> StackedMLP:
    found, last = net.clone(), len(net.weights) - 1
    for layer in range(last + 1):
        parts = [(net.weights, found.weights), (net.biases, found.biases)]
        for source, target in parts:
            target[layer].copy_(_taken(source[layer], orders, layer, last))
        if found.masks and net.masks and (mask := net.masks[layer]) is not None:
            found.masks[layer] = _taken(mask, orders, layer, last)
    return found


def _taken(values: Tensor, orders: Sequence[Tensor], layer: int, last: int) -> Tensor:
    """Return weights [R, out, in] or biases [R, out] of a layer with rows, and columns, in these orders."""
    each = torch.arange(len(values), device=values.device)[:, None]
    if layer < last:
        values = values[each, orders[layer].to(values.device)]
    if layer and values.dim() == 3:
        values = values.transpose(1, 2)[each, orders[layer - 1].to(values.device)].transpose(1, 2)
    return values


def _reordered_module(net: nn.Module, orders: Sequence[Tensor]) -> nn.Module:
    found = copy.deepcopy(net)
    links = _links(found)
    for layer, (one, norms) in enumerate(links):
        if layer < len(orders):
            _permute([one, *norms], orders[layer])
        if layer:
            columns = one.weight.data
            channels = columns.view(len(columns), len(orders[layer - 1]), -1)  # after Flatten several columns a channel
            taken = channels[:, orders[layer - 1].to(columns.device)].reshape(columns.shape)
            one.weight.data.copy_(taken)
    return found


def _permute(parts: Sequence[nn.Module], order: Tensor) -> None:
    """Put the units of a layer and its norms in this order: all that is listed by unit, statistics included."""
    for part in parts:
        for values in (*part.parameters(), *part.buffers()):
            if values.dim():  # not the counter of batches
                values.data.copy_(values.data[order.to(values.device)])
