"""MLPs with BatchNorm as plain modules: the same net with and without normalised hidden units."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from redlib.errors import BadInput


def normed_mlp(sizes: Sequence[int], gain: float = 1.0) -> nn.Sequential:
    """Return linear layers, each but the last followed by BatchNorm (Ioffe & Szegedy 2015) and ReLU.

    sizes: (inputs, hidden, ..., outputs). Weights are He normal (He et al. 2015, eq. 10) times `gain`, drawn from
    torch's global generator (see `convnets.seeded`); biases are zero. BadInput for fewer than two sizes, or empty ones.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise BadInput.of("sizes", tuple(sizes), "at least (inputs, outputs), each >= 1", "Give every layer a width.")
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        linear.weight.data *= gain
        layers += [linear, nn.BatchNorm1d(fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-2])
