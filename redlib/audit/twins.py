"""Twins of a net: every examined layer with its entries shuffled; and weights that are changed and come back exactly.

A twin has the architecture and, layer by layer, the values of the net, and nothing that training put in order. It is
the null of whatever a net does on examples. An untrained net with independent weights is one more twin of itself. Where
batch norms have seen data, a twin's take their statistics from the examples, as the net's came from training. Biases
are shuffled among the units of their layer, so that a bias that alone silences a unit silences one of each twin, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from redlib.audit.inputs import Examples, Subject, evaluation
from redlib.audit.layers import Layer
from redlib.data.streams import rng

AGAINST = "twins of the net with all weights shuffled"
TWINS = (5, 12)  # fewest and most
LEAST_EXAMPLES = 64  # that a net and its twins are run on
SHUFFLED = 93  # key of the stream "eval", so that no other draw of a seed repeats these


@contextlib.contextmanager
def restored(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Give every tensor its values back at the end, bit by bit, whatever happens in between."""
    kept = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, values in kept:
                tensor.copy_(values)


def can_have_twins(layers: Sequence[Layer]) -> bool:
    """Return whether all layers have weights of their own, which can be shuffled."""
    return all(layer.stored is not None for layer in layers)


@contextlib.contextmanager
def twin(found: Subject, layers: Sequence[Layer], given: Examples, seed: int, draw: int) -> Iterator[None]:
    """Turn the net into its twin number `draw` (stream "eval" of `seed`), and back at the end."""
    changed = [values for layer in layers for values in (layer.stored, layer.bias) if values is not None]
    masked = [layer for layer in layers if layer.mask is not None]
    norms = [part for part in found.net.modules() if isinstance(part, _BatchNorm) and _has_seen(part)]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    with restored([*changed, *buffers, *(layer.mask for layer in masked if layer.mask is not None)]):
        with torch.no_grad():
            for layer in masked:  # what a mask hides is no value of the net; its zeros are shuffled with the rest
                layer.stored.mul_(layer.mask)  # type: ignore[union-attr, arg-type]
                layer.mask.fill_(1)  # type: ignore[union-attr]
            for key, values in enumerate(changed):
                _shuffle(values, layers, seed, draw, key)
        if norms:
            _normalise(found, norms, given)
        yield


def _shuffle(values: Tensor, layers: Sequence[Layer], seed: int, draw: int, key: int) -> None:
    """Shuffle a weight or bias in place; a row of padding stays."""
    skip = next((layer.skip for layer in layers if layer.stored is values), None)
    rows = torch.arange(len(values), device=values.device)
    own = values if skip is None else values[rows != skip]
    order = rng(seed, "eval", SHUFFLED, draw, key).permutation(own.numel())
    mixed = own.flatten()[torch.from_numpy(order).to(values.device)].view_as(own)
    if skip is None:
        values.copy_(mixed)
    else:
        values[rows != skip] = mixed


def _has_seen(norm: _BatchNorm) -> bool:
    """Return whether a norm has statistics of data; converted checkpoints have some and count no batches."""
    if norm.running_mean is None or norm.running_var is None:
        return False
    counted = norm.num_batches_tracked is not None and int(norm.num_batches_tracked) > 0
    return counted or bool((norm.running_mean != 0).any()) or bool((norm.running_var != 1).any())


def _normalise(found: Subject, norms: Sequence[_BatchNorm], given: Examples) -> None:
    """Take the statistics of batch norms anew, as the mean over batches."""
    momenta = [norm.momentum for norm in norms]
    with evaluation(found.net):
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum, norm.training = None, True
            for x in given.batches(found.like):
                found.net(x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
