"""Masks as data, {parameter: bool}, the replicate axis first, and what they do to a net.

A mask acts in every forward pass, and nothing an optimiser remembers (momentum, decay, Adam's moments) can revive a
cut weight: stacked MLPs gate the gradients, modules compute their weights as where(mask, parameter, value when cut).
`density` is always the fraction kept. Biases are never masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from redlib.errors import BadInput
from redlib.nets import StackedMLP

Tensors = dict[str, Tensor]  # name -> [R, *shape]
Net = StackedMLP | nn.Module | Sequence[nn.Module]
Cut = Literal["zero", "freeze"]
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d)


def weights_of(net: Net) -> Tensors:
    """Return copies of all prunable weights, name -> [R, *shape].

    Stacked MLPs: layer1, layer2, … [R, out, in]. Modules: the name of every Linear and Conv weight. Cut weights
    are returned as they act (0, or the value they are frozen at).
    """
    if isinstance(net, StackedMLP):
        return {f"layer{i + 1}": weights.clone() for i, weights in enumerate(net.weights)}
    modules = modules_of(net)
    names = [name for name, _ in prunable(modules[0])]
    with torch.no_grad():
        return {name: torch.stack([_weight(m.get_submodule(name)) for m in modules]) for name in names}


def load_weights(net: Net, weights: Mapping[str, Tensor]) -> None:
    """Copy weights [R, *shape] into the net; masks stay, and so does what they cut. BadInput where they do not fit."""
    check_fit(weights, weights_of(net), "weights")
    kept = masks_of(net)
    with torch.no_grad():
        if isinstance(net, StackedMLP):
            for mine, (name, values) in zip(net.weights, weights.items(), strict=True):
                mine.copy_(torch.where(kept[name], values.to(mine), mine))
            return
        for r, module in enumerate(modules_of(net)):
            for name, values in weights.items():
                mine = parameter_of(module.get_submodule(name))
                mine.copy_(torch.where(kept[name][r], values[r].to(mine), mine))


def apply(net: Net, masks: Mapping[str, Tensor], cut: Cut = "zero") -> None:
    """Cut every weight whose mask is False: to zero, or (`freeze`) to the value it has now, for good.

    Applying masks again replaces the earlier ones. Raises BadInput for masks that do not fit the net.
    """
    weights = weights_of(net)
    check_masks(masks, weights)
    if cut not in ("zero", "freeze"):
        raise BadInput.of("cut", cut, "zero or freeze", "Say what becomes of the weights that are cut.")
    if isinstance(net, StackedMLP):
        ordered = [masks[name] for name in weights]
        if cut == "zero":
            net.apply_masks(ordered)
        else:
            net.masks = list(ordered)
        return
    remove(net)
    for r, module in enumerate(modules_of(net)):
        for name, mask in masks.items():
            values = weights[name][r] * (cut == "freeze")
            part = module.get_submodule(name)
            parametrize.register_parametrization(part, "weight", _Masked(mask[r], values))
            with torch.no_grad():  # weight decay is a gradient too: at 0 it leaves no trace in the optimiser's state
                parameter_of(part).masked_fill_(~mask[r], 0.0)


def remove(net: Net) -> None:
    """Take the masks off; the weights stay as they acted."""
    if isinstance(net, StackedMLP):
        net.masks = None
        return
    for module in modules_of(net):
        for _, part in prunable(module):
            if parametrize.is_parametrized(part):
                unparametrised(part)


def masks_of(net: Net) -> Tensors:
    """Return the masks in force (all True where there are none), name -> bool [R, *shape]."""
    if isinstance(net, StackedMLP):
        return dict(zip(weights_of(net), net.kept(), strict=True))
    found = dense(weights_of(net))
    for r, module in enumerate(modules_of(net)):
        for name, part in prunable(module):
            if parametrize.is_parametrized(part, "weight"):
                found[name][r] = part.parametrizations.weight[0].mask  # type: ignore[index,union-attr]
    return found


def dense(weights: Mapping[str, Tensor]) -> Tensors:
    """Return masks that keep everything."""
    return {name: torch.ones_like(values, dtype=torch.bool) for name, values in weights.items()}


def counts(masks: Mapping[str, Tensor]) -> Tensors:
    """Return the number of weights kept in each layer, name -> int64 [R]."""
    return {name: mask.flatten(1).sum(1) for name, mask in masks.items()}


def kept_by_layer(masks: Mapping[str, Tensor]) -> np.ndarray:
    """Return the number of weights kept as one array, int64 [R, layers]."""
    return torch.stack(list(counts(masks).values()), 1).cpu().numpy()


def density(masks: Mapping[str, Tensor]) -> Tensor:
    """Return the fraction of all maskable weights kept, [R] in [0, 1]."""
    total = sum(mask[0].numel() for mask in masks.values())
    return torch.stack(list(counts(masks).values())).sum(0) / total


def degrees(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (incoming [R, out], outgoing [R, in]): how many weights [R, out, in, ...] each unit keeps."""
    pairs = mask.flatten(3).sum(3) if mask.dim() > 3 else mask.long()
    return pairs.sum(2), pairs.sum(1)


def empty_layers(masks: Mapping[str, Tensor]) -> Tensor:
    """Return how many layers of each replicate have no weight left, [R] (layer collapse, Tanaka et al. 2020)."""
    return (torch.stack(list(counts(masks).values())) == 0).sum(0)


def select_replicates(tensors: Mapping[str, Tensor], rows: Sequence[int]) -> Tensors:
    """Return these replicates, in this order (one may stand twice)."""
    return {name: values[list(rows)] for name, values in tensors.items()}


def concat(parts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Return tensors of equal names joined along the replicate axis."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def packed(tensors: Mapping[str, Tensor]) -> np.ndarray:
    """Return all layers as one array [R, weights], in their order."""
    return torch.cat([values.flatten(1) for values in tensors.values()], 1).cpu().numpy()


def unpacked(flat: np.ndarray, like: Mapping[str, Tensor]) -> Tensors:
    """Return what `packed` joined, with the names and shapes of `like`; BadInput where the numbers differ."""
    sizes = [values[0].numel() for values in like.values()]
    if flat.ndim != 2 or flat.shape[1] != sum(sizes):
        raise BadInput.of("shape of packed layers", flat.shape, f"[R, {sum(sizes)}]", "Unpack with the same net.")
    parts = torch.from_numpy(np.array(flat)).split(sizes, 1)
    shapes = [(len(flat), *values.shape[1:]) for values in like.values()]
    return {name: part.view(shape) for name, part, shape in zip(like, parts, shapes, strict=True)}


def check_masks(masks: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise BadInput where masks are not bool tensors of the names and shapes of `weights`."""
    check_fit(masks, weights, "mask")
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            raise BadInput.of(f"type of mask {name}", mask.dtype, "bool", "True keeps a weight.")


def check_fit(given: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Raise BadInput where names (in this order) or shapes differ."""
    if list(given) != list(weights):
        raise BadInput.of(f"names of {what}", list(given), str(list(weights)), "Name every layer, in the net's order.")
    for name, values in given.items():
        if values.shape != weights[name].shape:
            allowed = f"{tuple(weights[name].shape)} (replicates first)"
            raise BadInput.of(f"shape of {what} {name}", tuple(values.shape), allowed, "Make it fit the net.")


def modules_of(net: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    """Return one module or several as a list, one per replicate."""
    return [net] if isinstance(net, nn.Module) else list(net)


def prunable(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return (name, part) of every Linear and Conv part, in the order of the forward definition."""
    return [(name, part) for name, part in module.named_modules() if isinstance(part, PRUNABLE)]


def parameter_of(part: nn.Module) -> Tensor:
    """Return the trainable tensor behind a part's weight, masked or not."""
    if parametrize.is_parametrized(part, "weight"):
        return part.parametrizations.weight.original  # type: ignore[return-value,union-attr]
    return part.weight  # type: ignore[return-value]


def _weight(part: nn.Module) -> Tensor:
    return part.weight.detach()  # type: ignore[operator]


def unparametrised(part: nn.Module) -> None:
    """Turn computed weights into parameters; torch's own way edits the class, which copies share with the original."""
    computed = cast(nn.ModuleDict, part.parametrizations)
    values = {name: getattr(part, name).detach().clone() for name in computed}
    trained = {name: any(p.requires_grad for p in maps.parameters()) for name, maps in computed.items()}
    part.__class__ = parametrize.type_before_parametrizations(part)
    del part.parametrizations
    for name, value in values.items():
        part.register_parameter(name, nn.Parameter(value, trained[name]))


class _Masked(nn.Module):
    """Computes a weight as where(mask, parameter, value when cut): no gradient reaches what is cut."""

    def __init__(self, mask: Tensor, values: Tensor):
        super().__init__()
        self.register_buffer("mask", mask)
        self.register_buffer("values", values)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, self.values)  # type: ignore[arg-type]
