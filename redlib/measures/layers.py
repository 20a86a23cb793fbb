"""The layers of stacked MLPs and of modules alike: what examples are in each of them, and the classifier on top."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.modules import acting, modules_of
from redlib.nets.stacked import unstacked

Net = StackedMLP | nn.Module | Sequence[nn.Module]
BATCH = 2000  # examples that go through the net at a time
WEIGHTED = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase)


def layers_of(net: Net, x: Tensor, own: bool = False) -> list[Tensor]:
    """Return the layers [R, n, ...] of examples x [n, ...]: inputs first, features and logits last.

    With `own` each replicate has examples of its own, x [R, n, ...]. Of a stack every layer; of modules (nn.Sequential,
    put into evaluation mode) what goes into each part with weights (linear, convolutional, recurrent), flattened, and
    the logits. One module is one replicate, and so in all functions here. BadInput for other modules, and for examples
    of another number of replicates.
    """
    count = net.replicates if isinstance(net, StackedMLP) else len(modules_of(net))
    if own and len(x) != count:
        raise BadInput.of("replicates in x", len(x), f"{count}, as in the net", "Pass examples [R, n, ...].")
    if isinstance(net, StackedMLP):
        return net.hidden(x)
    seen = x if own else x.expand(count, *x.shape)
    parts = [_module_layers(module.eval(), inputs) for module, inputs in zip(modules_of(net), seen, strict=True)]
    return [torch.stack(layer) for layer in zip(*parts, strict=True)]


def last_layers(net: Net, x: Tensor, own: bool = False) -> tuple[Tensor, Tensor]:
    """Return (features [R, n, p], logits [R, n, C]) of the last two layers, a batch of the examples at a time.

    x and `own` as in `layers_of`. BadInput without examples.
    """
    if not x.shape[int(own)]:
        raise BadInput.of("number of examples", 0, ">= 1", "Pass some.")
    parts = [layers_of(net, batch, own)[-2:] for batch in x.split(BATCH, int(own))]
    features, logits = (torch.cat(layer, 1) for layer in zip(*parts, strict=True))
    return features, logits


def classifier_of(net: Net) -> tuple[Tensor, Tensor]:
    """Return (weights [R, C, p], biases [R, C]) of the last linear layer; BadInput where there is none, or no bias."""
    if isinstance(net, StackedMLP):
        return net.weights[-1], net.biases[-1]
    modules = modules_of(net)
    linear = [[part for part in module.modules() if isinstance(part, nn.Linear)] for module in modules]
    if not all(parts and parts[-1].bias is not None for parts in linear):
        raise BadInput.of("net", [type(module).__name__ for module in modules], "linear layers with a bias", "Add one.")
    last = [parts[-1] for parts in linear]
    return torch.stack([acting(part) for part in last]), torch.stack([part.bias for part in last])


def replicates_of(net: Net) -> list[nn.Module]:
    """Return one module for each replicate: copies of those of a stack, the modules themselves otherwise."""
    return [unstacked(net, r) for r in range(net.replicates)] if isinstance(net, StackedMLP) else modules_of(net)


def _module_layers(module: nn.Module, x: Tensor) -> list[Tensor]:
    if not isinstance(module, nn.Sequential):
        raise BadInput.of("net", type(module).__name__, "nn.Sequential", "Of others the order of the parts is unknown.")
    layers, h = [], x
    for part in module.children():
        if any(isinstance(inner, WEIGHTED) for inner in part.modules()):
            layers.append(h.flatten(1))
        h = part(h)
    return [*layers, h]
