"""Numba kernels that train one pruned MLP as one sparse graph, for many steps without leaving machine code.

Units are numbered inputs (those with a live weight), hidden units, outputs; activations are [unit, example], so
that the examples of a batch fill the vector registers and every live weight is touched exactly once a pass.
Weights are stored by the unit they feed (`start`, `source`), and a permutation lists them by the unit they come
from. No flag lets the compiler assume finite numbers: a NaN must reach the loss, where the training loop looks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba

BLOCK = 16  # examples gathered at once, and the multiple that batches are padded to
Floats = Any  # NumPy arrays of float32 or float64; numba compiles each once
FAST = {"reassoc", "contract", "arcp", "nsz"}


@cache
def _caching() -> bool:
    """Return whether numba finds a folder for its cache that it can write to; say so once where it does not."""
    try:
        numba.njit(cache=True)(_nothing)
    except RuntimeError:
        logging.getLogger(__name__).warning(
            "numba finds no folder for its cache: every process compiles the sparse kernels anew. "
            "Set NUMBA_CACHE_DIR to a folder that can be written."
        )
        return False
    return True


def _nothing() -> None:
    pass


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function as machine code, compiled when it is first called, or read from the cache of numba."""
    return numba.njit(nogil=True, cache=_caching(), error_model="numpy", fastmath=FAST)(function)


class Graph(NamedTuple):
    """Live weights of one net: those into unit o are start[o - inputs] … start[o - inputs + 1], from source[k]."""

    columns: Any  # [inputs] columns of the data that have a live weight
    start: Any  # [hidden + outputs + 1]
    source: Any  # [weights] unit numbers
    back: Any  # [hidden + 1] the same for the weights out of each hidden unit
    target: Any  # [weights out of hidden units] unit numbers
    order: Any  # [weights out of hidden units] position of each in the forward order


class Work(NamedTuple):
    """Scratch of one net: activations and deltas [unit, batch], gradient and the optimiser's tensors [parameters]."""

    active: Floats
    delta: Floats
    weights_back: Floats
    gradient: Floats
    mean: Floats
    square: Floats


class Settings(NamedTuple):
    """What to compute: sizes, loss and activation, and the optimiser's numbers (`Adam` or else SGD)."""

    outputs: int
    tanh: bool
    mse: bool
    adam: bool
    nesterov: bool
    decoupled: bool
    momentum: float  # SGD's momentum, or Adam's first beta
    second: float
    eps: float
    decay: float


@compiled
def _add_rows(out, rows, source, weights, k, end, width):  # type: ignore[no-untyped-def]
    """Add weights[k] * rows[source[k]] to `out`, k … end, over the first `width` examples."""
    while k + 8 <= end:  # eight rows a pass: `out` is read and written once for all of them
        a0, a1, a2, a3 = source[k], source[k + 1], source[k + 2], source[k + 3]
        a4, a5, a6, a7 = source[k + 4], source[k + 5], source[k + 6], source[k + 7]
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        w4, w5, w6, w7 = weights[k + 4], weights[k + 5], weights[k + 6], weights[k + 7]
        for b in range(width):
            low = w0 * rows[a0, b] + w1 * rows[a1, b] + w2 * rows[a2, b] + w3 * rows[a3, b]
            high = w4 * rows[a4, b] + w5 * rows[a5, b] + w6 * rows[a6, b] + w7 * rows[a7, b]
            out[b] += low + high
        k += 8
    while k < end:
        a0, w0 = source[k], weights[k]
        for b in range(width):
            out[b] += w0 * rows[a0, b]
        k += 1


@compiled
def _weight_gradients(gradient, delta, active, source, k, end, width):  # type: ignore[no-untyped-def]
    """Set gradient[k] to the product of `delta` with active[source[k]], summed over the examples."""
    zero = delta[0] - delta[0] if delta[0] == delta[0] else delta[0]
    while k + 4 <= end:
        a0, a1, a2, a3 = source[k], source[k + 1], source[k + 2], source[k + 3]
        t0 = t1 = t2 = t3 = zero
        for b in range(width):
            d = delta[b]
            t0 += d * active[a0, b]
            t1 += d * active[a1, b]
            t2 += d * active[a2, b]
            t3 += d * active[a3, b]
        gradient[k], gradient[k + 1], gradient[k + 2], gradient[k + 3] = t0, t1, t2, t3
        k += 4
    while k < end:
        a0, t0 = source[k], zero
        for b in range(width):
            t0 += delta[b] * active[a0, b]
        gradient[k] = t0
        k += 1


@compiled
def _gather(active, pool, rows, columns, width):  # type: ignore[no-untyped-def]
    """Copy the live columns of the batch into active[q, b]; examples up to `width` that do not exist are zero."""
    whole = len(rows) // BLOCK * BLOCK
    for b in range(0, whole, BLOCK):  # sixteen examples side by side fill a cache line at once
        x0, x1, x2, x3 = pool[rows[b]], pool[rows[b + 1]], pool[rows[b + 2]], pool[rows[b + 3]]
        x4, x5, x6, x7 = pool[rows[b + 4]], pool[rows[b + 5]], pool[rows[b + 6]], pool[rows[b + 7]]
        x8, x9, x10, x11 = pool[rows[b + 8]], pool[rows[b + 9]], pool[rows[b + 10]], pool[rows[b + 11]]
        x12, x13, x14, x15 = pool[rows[b + 12]], pool[rows[b + 13]], pool[rows[b + 14]], pool[rows[b + 15]]
        for q in range(len(columns)):
            i, out = columns[q], active[q, b : b + BLOCK]
            out[0], out[1], out[2], out[3] = x0[i], x1[i], x2[i], x3[i]
            out[4], out[5], out[6], out[7] = x4[i], x5[i], x6[i], x7[i]
            out[8], out[9], out[10], out[11] = x8[i], x9[i], x10[i], x11[i]
            out[12], out[13], out[14], out[15] = x12[i], x13[i], x14[i], x15[i]
    for q in range(len(columns)):
        for b in range(whole, len(rows)):
            active[q, b] = pool[rows[b], columns[q]]
        active[q, len(rows) : width] = 0


@compiled
def _tanh_row(row, width):  # type: ignore[no-untyped-def]
    for b in range(width):
        row[b] = math.tanh(row[b])


@compiled
def _forward(graph, settings, active, theta, width):  # type: ignore[no-untyped-def]
    """Set the activations of all hidden and output units from those of the inputs."""
    inputs, units, weights = len(graph.columns), len(active), len(graph.source)
    zero = theta.dtype.type(0)
    for o in range(inputs, units):
        row, u = active[o], o - inputs
        hidden = o < units - settings.outputs
        if hidden and graph.back[u] == graph.back[u + 1]:
            continue  # a unit that feeds nothing
        bias = theta[weights + u]
        for b in range(width):
            row[b] = bias
        _add_rows(row, active, graph.source, theta, graph.start[u], graph.start[u + 1], width)
        if hidden and settings.tanh:
            _tanh_row(row, width)
        elif hidden:
            for b in range(width):
                row[b] = zero if row[b] < zero else row[b]  # a NaN stays


@compiled
def _output_delta(active, delta, labels, settings):  # type: ignore[no-untyped-def]
    """Set the output deltas (derivative of the mean batch loss) and return that loss, as `nets.losses` does."""
    first = len(active) - settings.outputs
    if settings.mse:
        return _squares(active, delta, labels, first)
    return _softmax(active, delta, labels, first)


@compiled
def _softmax(active, delta, labels, first):  # type: ignore[no-untyped-def]
    total, count = 0.0, len(labels)
    share = active.dtype.type(1 / count)
    for b in range(count):
        top = active[first, b]
        for o in range(first + 1, len(active)):
            top = max(top, active[o, b])
        norm = top - top
        for o in range(first, len(active)):
            delta[o, b] = math.exp(active[o, b] - top)
            norm += delta[o, b]
        right = first + labels[b]
        total += math.log(norm) + top - active[right, b]
        for o in range(first, len(active)):
            delta[o, b] *= share / norm
        delta[right, b] -= share
    return total / count


@compiled
def _squares(active, delta, labels, first):  # type: ignore[no-untyped-def]
    total, terms = 0.0, len(labels) * (len(active) - first)
    share = active.dtype.type(2 / terms)
    for b in range(len(labels)):
        for o in range(first, len(active)):
            off = active[o, b] - (1 if o - first == labels[b] else 0)
            total += off * off
            delta[o, b] = share * off
    return total / terms


@compiled
def _backward(graph, settings, work, theta, width):  # type: ignore[no-untyped-def]
    """Set the gradient from the deltas of the outputs, unit by unit from the last, each delta still in the cache."""
    inputs, active, delta = len(graph.columns), work.active, work.delta
    for k in range(len(graph.order)):
        work.weights_back[k] = theta[graph.order[k]]
    for o in range(len(active) - 1, inputs - 1, -1):
        row, u = delta[o], o - inputs
        if o < len(active) - settings.outputs:
            if graph.back[u] == graph.back[u + 1]:
                continue  # a unit that feeds nothing: its gradient stays zero
            row[:width] = 0
            _add_rows(row, delta, graph.target, work.weights_back, graph.back[u], graph.back[u + 1], width)
            _through_activation(row, active[o], settings.tanh, width)
        total = theta.dtype.type(0)
        for b in range(width):
            total += row[b]
        work.gradient[len(graph.source) + u] = total
        _weight_gradients(work.gradient, row, active, graph.source, graph.start[u], graph.start[u + 1], width)


@compiled
def _through_activation(delta, value, tanh, width):  # type: ignore[no-untyped-def]
    one, zero = value.dtype.type(1), value.dtype.type(0)
    if tanh:
        for b in range(width):
            delta[b] *= one - value[b] * value[b]
    else:
        for b in range(width):
            delta[b] = delta[b] if value[b] > zero else zero


@compiled
def _sgd(theta, gradient, velocity, settings, lr):  # type: ignore[no-untyped-def]
    rate, decay, momentum = theta.dtype.type(lr), theta.dtype.type(settings.decay), theta.dtype.type(settings.momentum)
    for k in range(len(theta)):
        g = gradient[k] + decay * theta[k]
        velocity[k] = momentum * velocity[k] + g
        theta[k] -= rate * (g + momentum * velocity[k] if settings.nesterov else velocity[k])


@compiled
def _adam(theta, work, settings, lr, step):  # type: ignore[no-untyped-def]
    # Bias corrections in float64: a running float32 product would drift and break resuming.
    kind = theta.dtype.type
    root = math.sqrt(1 - settings.second**step)
    rate, eps = kind(lr * root / (1 - settings.momentum**step)), kind(settings.eps * root)
    first, second = kind(1 - settings.momentum), kind(settings.second)
    fresh, shrink = kind(1 - settings.second), kind(lr * settings.decay if settings.decoupled else 0)
    decay = kind(0 if settings.decoupled else settings.decay)
    mean, square = work.mean, work.square
    for k in range(len(theta)):
        g = work.gradient[k] + decay * theta[k]
        mean[k] += first * (g - mean[k])
        square[k] = second * square[k] + fresh * g * g
        theta[k] -= shrink * theta[k] + rate * mean[k] / (math.sqrt(square[k]) + eps)


@compiled
def train(graph, settings, work, theta, pool, rows, labels, edges, rates, taken, losses):  # type: ignore[no-untyped-def]
    """Take one step on each batch rows[edges[s]:edges[s + 1]] at rates[s]; set losses[s]. `taken`: steps before."""
    for s in range(len(rates)):
        batch, right = rows[edges[s] : edges[s + 1]], labels[edges[s] : edges[s + 1]]
        width = -(-len(batch) // BLOCK) * BLOCK
        _gather(work.active, pool, batch, graph.columns, width)
        _forward(graph, settings, work.active, theta, width)
        work.delta[len(work.delta) - settings.outputs :, :width] = 0
        losses[s] = _output_delta(work.active, work.delta, right, settings)
        _backward(graph, settings, work, theta, width)
        if settings.adam:
            _adam(theta, work, settings, rates[s], taken + s + 1)
        else:
            _sgd(theta, work.gradient, work.mean, settings, rates[s])


@compiled
def predict(graph, settings, work, theta, pool, rows, logits):  # type: ignore[no-untyped-def]
    """Set logits [examples, outputs] for the given rows of the pool."""
    size, first = work.active.shape[1], len(work.active) - settings.outputs
    for at in range(0, len(rows), size):
        batch = rows[at : at + size]
        width = -(-len(batch) // BLOCK) * BLOCK
        _gather(work.active, pool, batch, graph.columns, width)
        _forward(graph, settings, work.active, theta, width)
        for o in range(settings.outputs):
            for b in range(len(batch)):
                logits[at + b, o] = work.active[first + o, b]
