"""The quantities of theory measured in a given net: q, correlations, χ, and the spectrum of its Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.measures.meanfield.chains import Chain, Net, Stage, chains, pre_activations
from redlib.measures.meanfield.weights import PerLayer
from redlib.measures.simplex import cosines
from redlib.nets import StackedMLP

ROUNDING = 1e-12  # smaller singular values, relative to the largest, are zeros
CHUNK = 2**23  # entries of a Jacobian at a time, 64 MiB


@torch.no_grad()
def empirical_q(net: Net, x: Tensor, masks: PerLayer | None = None) -> Tensor:
    """Return the mean square of the pre-activations of every layer, the logits last: [R, L, B].

    x: [B, ...], or [R, B, d] for a StackedMLP. Over units, of conv layers over channels and positions. BatchNorm and
    dropout act as in evaluation. Raises BadInput for masks that do not fit, and for modules that hold layers
    without being an nn.Sequential, as all functions of a net do.
    """
    return torch.stack([h.square().flatten(2).mean(2) for h in pre_activations(net, x, masks)], 1)


@torch.no_grad()
def empirical_c(net: Net, x: Tensor, masks: PerLayer | None = None) -> Tensor:
    """Return Σh_a·h_b/√(Σh_a²·Σh_b²) of the pre-activations for pairs of inputs (0, 1), (0, 2), ...: [R, L, B(B-1)/2].

    Sums over units, not centred: biases shared by both inputs count, as in the C-map. Otherwise as `empirical_q`.
    """
    return torch.stack([cosines(h.flatten(2)) for h in pre_activations(net, x, masks)], 1)


@torch.no_grad()
def empirical_chi(net: Net, x: Tensor, masks: PerLayer | None = None) -> Tensor:
    """Return ‖J‖²_F/N_out of J = dh/d(h of the layer below), for every layer but the first: [R, L-1, B].

    For dense layers (1/N_out)·Σ_ij W_ij²φ'(h_j)²: how much a layer multiplies the variance of independent
    perturbations of the units. Exact, also for conv layers, with their padding and positions, and for what stands
    between layers (pooling, BatchNorm). Raises BadInput for a single layer, and where something between
    two layers lets one value act on several (overlapping pools, softmax, LayerNorm).
    """
    return torch.cat([_chain_gains(chain, start) for chain, start in chains(net, x, masks)])


@torch.no_grad()
def match_chi(net: StackedMLP, target: StackedMLP, x: Tensor) -> None:
    """Scale each layer of `net` in place until its mean χ over the inputs x is that of `target`.

    χ of a layer is proportional to its squared weights and depends on the layers below, so one pass from the first
    layer on suffices. The first layer has no χ; there the sums of squares are made equal.
    """
    wanted = empirical_chi(target, x).mean(2)
    squares = [one.weights[0].double().square().sum((1, 2)) for one in (target, net)]
    ratio = squares[0] / squares[1]
    for layer, weights in enumerate(net.weights):
        if layer:
            ratio = wanted[:, layer - 1] / empirical_chi(net, x).mean(2)[:, layer - 1]
        weights.mul_(ratio.sqrt()[:, None, None].to(weights))


@torch.no_grad()
def jacobian(
    net: Net, x: Tensor, output: Literal["logits", "hidden"] = "logits", masks: PerLayer | None = None
) -> Tensor:
    """Return d output/dx, flattened: [R, B, out, in]; "hidden" is what the last layer reads.

    W_L·D_{L-1}·W_{L-1}⋯D_1·W_1 with D = diag φ'(h), without the W_L for "hidden"; multiplied from the left by
    reverse-mode differentiation. Raises BadInput for other outputs.
    """
    if output not in ("logits", "hidden"):
        raise BadInput.of("output", output, "'logits' or 'hidden'", "Name what is differentiated.")
    return torch.cat([_chain_jacobian(chain, start, output == "hidden") for chain, start in chains(net, x, masks)])


def jacobian_spectrum(
    net: Net, x: Tensor, output: Literal["logits", "hidden"] = "logits", masks: PerLayer | None = None
) -> Tensor:
    """Return the singular values of `jacobian`, largest first: [R, B, min(out, in)] (Pennington et al. 2017)."""
    return torch.linalg.svdvals(jacobian(net, x, output, masks))


def spectrum_summary(singular_values: Tensor) -> dict[str, Tensor]:
    """Return sigma_max, mean_square and condition of singular values [..., k], each [...].

    mean_square is ‖J‖²_F/k: with constant width N it falls or grows as χ to the number of layers. condition is the
    largest over the smallest, leaving out zeros, values below 1e-12 of the largest; NaN if all are. BadInput for
    negative ones: eigenvalues are none.
    """
    if bool((singular_values < 0).any()):
        raise BadInput.of("singular values", float(singular_values.min()), ">= 0", "See jacobian_spectrum.")
    largest = singular_values.amax(-1)
    smallest = singular_values.where(singular_values > ROUNDING * largest[..., None], torch.inf).amin(-1)
    condition = torch.where(largest > 0, largest / smallest, torch.nan)
    return {"sigma_max": largest, "mean_square": singular_values.square().mean(-1), "condition": condition}


def _chain_gains(chain: Chain, x: Tensor) -> Tensor:
    if len(chain.stages) < 2:
        raise BadInput.of("number of layers", len(chain.stages), "at least 2", "χ lies between two layers.")
    h, gains = chain.stages[0](x), []
    for stage in chain.stages[1:]:
        gains.append(_gain(stage, h))
        h = stage(h)
    return torch.stack(gains, 1)


def _gain(stage: Stage, h: Tensor) -> Tensor:
    """Return ‖J‖²_F/N_out from h to the next pre-activations, [R, B].

    Each h_j acts on one input i(j) of the layer, with slope s_j: its column of J is s_j·W[:, i(j)], and the sum of
    that column's squares is s_j times what pulling back the sums of the columns of W² gives.
    """
    inputs, pull = _pullback(stage.before, h)
    outputs, pull_layer = _pullback(lambda v: stage.layer(v, stage.weight.square(), None), inputs)
    slopes, weighted = pull(torch.ones_like(inputs)), pull(pull_layer(torch.ones_like(outputs)))
    signs = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)).sub(0.5).sign().to(inputs)
    if not torch.allclose(pull(signs).abs(), slopes.abs(), rtol=1e-9, atol=1e-12):
        allowed = "activations, BatchNorm, pools that do not overlap"
        raise BadInput.of("between two layers", "one value acts on several", allowed, "Leave such layers out.")
    return (slopes * weighted).flatten(2).sum(2) / outputs[0, 0].numel()


def _pullback(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return function(x), and what takes a derivative by that to one by x."""
    out, pull, *_ = torch.func.vjp(function, x)
    return out, lambda above: pull(above)[0]


def _chain_jacobian(chain: Chain, x: Tensor, hidden: bool) -> Tensor:
    def forward(h: Tensor) -> Tensor:
        for stage in chain.stages[:-1]:
            h = stage(h)
        last = chain.stages[-1]
        return (last.before(h) if hidden else chain.after(last(h))).flatten(2)

    out, pull = _pullback(forward, x)
    rows = torch.eye(out.shape[2], dtype=out.dtype, device=out.device)[:, None, None].expand(-1, *out.shape)
    chunk = max(1, CHUNK // max(x.numel(), out.numel()))
    return torch.func.vmap(pull, chunk_size=chunk)(rows).movedim(0, 2).flatten(3)
