"""What theory says of given weights, masked or not: the sigmas of their layers, and q by three laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from redlib.data.numbers import strided
from redlib.errors import BadInput
from redlib.measures.meanfield.moments import Activation, Floats, moments_of
from redlib.measures.meanfield.theory import q_profile

Law = Literal["naive", "density", "rows"]
PerLayer = Sequence[Tensor | None]

LAWS = ("naive", "density", "rows")


def layer_sigmas(
    weights: Sequence[Tensor], biases: PerLayer, masks: PerLayer | None = None, law: Law = "density"
) -> tuple[Floats, Floats]:
    """Return (σ_w, σ_b) of every layer, each [R, L], as they enter the Q-map.

    weights: [R, out, in, ...] per layer, biases: [R, out] or None. σ_b² is the mean square of the biases. σ_w² is
    "naive": N_in times the mean square of the kept weights, as if all were such; "density": that times the density,
    which is the mean over units of Σ_j(m_ij·w_ij)², hence N_in times the second moment of the masked weights whatever
    their distribution. Raises BadInput for tensors that do not fit, layers of width 0 and other laws.
    """
    if law not in LAWS[:2]:
        raise BadInput.of("law", law, f"one of {LAWS[:2]}", "The rows have no single sigma: see predicted_q.")
    layers = [(squares.sum(2).mean(1), b.mean(1), share) for squares, b, share in _squares(weights, biases, masks)]
    w, b, density = (np.stack(same, 1) for same in zip(*layers, strict=True))
    if law == "naive":
        w = np.divide(w, density, out=np.zeros_like(w), where=density > 0)
    return np.sqrt(w), np.sqrt(b)


def unit_q(
    weights: Sequence[Tensor],
    biases: PerLayer,
    x: Tensor,
    activation: Activation = "tanh",
    masks: PerLayer | None = None,
) -> list[Floats]:
    """Return the variance of every unit, per layer [R, B, out]: q_i = Σ_j(m_ij·w_ij)²·E[φ(√q_j z)²] + σ_b².

    This is the mean over random signs of the weights, whose magnitudes are as they are, and over the biases. (With b_i²
    of its own, q_i would count as spread of a unit what is its mean, and q come out too small where biases dominate.)
    x: inputs [B, d] or [R, B, d], or [B, C, height, width] for conv layers, whose units are channels: positions are
    averaged, and padding is left out.
    Raises BadInput as `layer_sigmas`, and where a layer does not fit the one below.
    """
    form, below, found = moments_of(activation), _input_squares(x), []
    for number, (squares, b, _) in enumerate(_squares(weights, biases, masks)):
        if below.shape[-1] != squares.shape[2] or len(below) not in (1, len(squares)):
            allowed = f"[{len(squares)} or 1, B, {squares.shape[2]}]"
            raise BadInput.of(f"inputs of layer {number + 1}", below.shape, allowed, "Give layers in order, from x on.")
        found.append(below @ squares.swapaxes(1, 2) + b.mean(1)[:, None, None])
        below = form.square(found[-1])
    return found


def predicted_q(
    weights: Sequence[Tensor],
    biases: PerLayer,
    x: Tensor,
    activation: Activation = "tanh",
    masks: PerLayer | None = None,
    law: Law = "rows",
) -> Floats:
    """Return the q that a law predicts for every layer and input: [R, L, B].

    "naive" and "density" iterate the Q-map with the sigmas of `layer_sigmas`, from the mean square of each input;
    "rows" takes the mean over units of `unit_q`, so it knows the in-degrees and which inputs are kept.
    """
    if law == "rows":
        return np.stack([q.mean(2) for q in unit_q(weights, biases, x, activation, masks)], 1)
    sigma_w, sigma_b = layer_sigmas(weights, biases, masks, law)
    profile = q_profile(_input_squares(x).mean(2), sigma_w[:, None], sigma_b[:, None], activation)
    return np.moveaxis(profile, 2, 1)


def check_finite(values: Tensor, what: str) -> None:
    """Raise BadInput where values, called `what`, are not finite: activations can make finite numbers of them."""
    if not strided(values, what).isfinite().all():
        raise BadInput.of(what, "nan or inf", "finite numbers", "Has the net diverged, or are there gaps in the data?")


def masked(weights: Sequence[Tensor], masks: PerLayer | None) -> list[Tensor]:
    """Return weights [R, out, in, ...] in float64, zero where cut; BadInput for others, and for what is not finite.

    Those of a transposed convolution are [R, in, out, ...] and have to be transposed first: no shape tells them.
    """
    masks = [None] * len(weights) if masks is None else masks
    if len(masks) != len(weights) or not len(weights):
        raise BadInput.of("number of masks", len(masks), f"{len(weights)}, one per layer", "None is a dense layer.")
    kept = []
    for number, (w, mask) in enumerate(zip(weights, masks, strict=True)):
        if w.dim() < 3 or 0 in w.shape or isinstance(w, nn.Parameter):
            found = f"{type(w).__name__} {tuple(w.shape)}"
            remedy = "Replicates first, which a module's own weight lacks; no layer has width 0."
            raise BadInput.of(f"shape of weights {number}", found, "[R, out, in, ...] of at least 1 each", remedy)
        check_finite(w, f"weights {number}")
        if mask is not None and (mask.dtype != torch.bool or mask.shape != w.shape):
            given = (str(mask.dtype), tuple(mask.shape))
            raise BadInput.of(
                f"mask {number}", given, f"bool, {tuple(w.shape)}", "True keeps a weight; the replicate axis is first."
            )
        kept.append(w.detach().double() if mask is None else w.detach().double() * mask)
    return kept


def _squares(
    weights: Sequence[Tensor], biases: PerLayer, masks: PerLayer | None
) -> list[tuple[Floats, Floats, Floats]]:
    """Return per layer (m·w)² summed over the kernel [R, out, in], b² [R, out] and the density [R]."""
    kept = masked(weights, masks)
    if len(biases) != len(kept):
        raise BadInput.of("number of biases", len(biases), f"{len(kept)}, one per layer", "None is no bias.")
    layers = []
    for number, (w, bias) in enumerate(zip(kept, biases, strict=True)):
        b = w.new_zeros(w.shape[:2]) if bias is None else bias.detach().to(w)
        if b.shape != w.shape[:2]:
            raise BadInput.of(f"shape of bias {number}", tuple(b.shape), str(tuple(w.shape[:2])), "One per unit.")
        check_finite(b, f"bias {number}")
        mask = None if masks is None else masks[number]
        share = torch.ones(len(w)) if mask is None else mask.flatten(1).double().mean(1)
        squares = w.square().flatten(3).sum(3) if w.dim() > 3 else w.square()
        layers.append((_numpy(squares), _numpy(b.square()), _numpy(share)))
    return layers


def _input_squares(x: Tensor) -> Floats:
    """Return x² of inputs [B, d], [R, B, d] or images [B, C, height, width] as [R or 1, B, units]."""
    if not isinstance(x, Tensor) or x.dim() not in (2, 3, 4) or 0 in x.shape:
        given = tuple(getattr(x, "shape", ()))
        raise BadInput.of("shape of x", given, "[B, d], [R, B, d] or [B, C, height, width]", "Pass a batch of inputs.")
    check_finite(x, "x")
    squares = _numpy(x.detach().double().square())
    if squares.ndim == 4:
        return np.asarray(squares.mean((2, 3)))[None]
    return squares if squares.ndim == 3 else squares[None]


def _numpy(values: Tensor) -> Floats:
    return values.double().cpu().numpy()
