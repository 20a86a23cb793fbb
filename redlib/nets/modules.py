"""Modules as the other floors see them: one or several, and each weight as it acts, whatever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from redlib.errors import BadInput


def modules_of(net: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    """Return one module or several as a list, one per replicate; BadInput for anything else."""
    modules = [net] if isinstance(net, nn.Module) else list(net) if isinstance(net, list | tuple) else []
    if not modules or not all(isinstance(module, nn.Module) for module in modules):
        allowed = "a StackedMLP, an nn.Module, or a list of them, one per replicate"
        raise BadInput.of("net", type(net).__name__, allowed, "Pass the net itself.")
    return modules


def acting(part: nn.Module, attribute: str = "weight") -> Tensor:
    """Return a weight of a part of a module as it acts now, without its gradient; nothing of the part changes.

    What the hooks of torch.nn.utils.prune, weight_norm and spectral_norm left as an attribute is of the last forward
    pass, so it is computed anew; and the maps of `parametrize` compute as in evaluation, where spectral norm takes no
    step of its power iteration.
    """
    with torch.no_grad():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod) and hook._tensor_name == attribute:
                return hook.apply_mask(part).detach()
            if isinstance(hook, WeightNorm) and hook.name == attribute:
                return torch.as_tensor(hook.compute_weight(part)).detach()
            if isinstance(hook, SpectralNorm) and hook.name == attribute:
                return torch.as_tensor(hook.compute_weight(part, do_power_iteration=False)).detach()
        if not parametrize.is_parametrized(part, attribute):
            return cast(Tensor, getattr(part, attribute)).detach()
        maps = maps_of(part)[attribute]
        modes = [(one, one.training) for one in maps.modules()]
        try:
            maps.eval()
            return cast(Tensor, getattr(part, attribute)).detach()
        finally:
            for one, mode in modes:
                one.training = mode


def maps_of(part: nn.Module) -> nn.ModuleDict:
    """Return what computes the attributes of a part, a list of maps for each."""
    return cast(nn.ModuleDict, part.parametrizations)
