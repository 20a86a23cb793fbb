"""Modules whose outputs for one example hang on that example alone: what kernels and Hessians are made of."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from redlib.errors import BadInput
from redlib.nets.convnets import RandomShiftFlip


def check_alone(net: nn.Module) -> None:
    """Raise BadInput for a module whose outputs hang on other examples or on chance.

    These are parts that normalise or draw in training mode, and batch normalisation without running statistics.
    """
    for name, part in net.named_modules():
        chance = isinstance(part, _DropoutNd | RandomShiftFlip | nn.RReLU) or _drops_out(part)
        if part.training and (chance or isinstance(part, _NormBase)):
            given = f"{name or 'net'}: {type(part).__name__} in training mode"
            raise BadInput.of("module", given, "evaluation mode", "Call net.eval() first.")
        if isinstance(part, _NormBase) and part.running_mean is None and "Batch" in type(part).__name__:
            given = f"{name or 'net'}: {type(part).__name__} without running statistics"
            raise BadInput.of("module", given, "a loss of one example that no other changes", "Track the statistics.")


def _drops_out(part: nn.Module) -> bool:
    """Return whether a part drops out by itself, as recurrent layers, attention and other classes of that name do."""
    share = getattr(part, "dropout", 0.0)
    return type(part).__name__ == "Dropout" or isinstance(share, float) and share > 0
