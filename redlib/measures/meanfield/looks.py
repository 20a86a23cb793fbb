"""One look at plain nets, dense or pruned: their weights layer by layer, and their signals beside theory, by name.

Layers are the hidden ones and the logits, L in all; weights are in units of 1/√fan-in. Signals are means over inputs.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.measures.concentration import variance_ratio
from redlib.measures.meanfield.signals import empirical_chi, empirical_q, jacobian_spectrum, spectrum_summary
from redlib.measures.meanfield.weights import LAWS, predicted_q
from redlib.nets import StackedMLP

Arrays = dict[str, np.ndarray]
PER_UNIT = 51  # key of a stream, so that no other draw of a seed repeats it
JACOBIANS = 16  # inputs whose Jacobian is taken


def kept_values(weights: Tensor, mask: Tensor) -> np.ndarray:
    """Return the kept weights of a layer [R, K], float64; K must be the same in every replicate."""
    return torch.stack([w[m] for w, m in zip(weights, mask, strict=True)]).double().numpy()


def kept_weights(net: StackedMLP) -> list[np.ndarray]:
    """Return the kept weights of every layer, times √fan-in, [R, K] each."""
    pairs = zip(net.weights, net.kept(), strict=True)
    return [kept_values(weights, mask) * sqrt(weights.shape[2]) for weights, mask in pairs]


def weight_look(net: StackedMLP) -> Arrays:
    """Return of the kept weights of each layer mean, std, kept (how many) and density, each [R, L]."""
    layers = kept_weights(net)
    kept = np.stack([np.full(len(values), values.shape[1]) for values in layers], 1)
    return {
        "mean": np.stack([values.mean(1) for values in layers], 1),
        "std": np.stack([values.std(1) for values in layers], 1),
        "kept": kept,
        "density": kept / [weights[0].numel() for weights in net.weights],
    }


def sizes(net: StackedMLP, x: Tensor) -> Arrays:
    """Return q and what each law says of it, q_naive, q_density and q_rows, [R, L]."""
    masks = net.kept()
    laws = {
        f"q_{law}": predicted_q(net.weights, net.biases, x, masks=masks, law=law).mean(2)  # type: ignore[arg-type]
        for law in LAWS
    }
    return laws | {"q": empirical_q(net, x).mean(2).numpy()}


def gains(net: StackedMLP, x: Tensor) -> Arrays:
    """Return chi [R, L-1], and log_sigma_max, log_mean_square and log_condition of the Jacobian, means of logs [R]."""
    spectrum = spectrum_summary(jacobian_spectrum(net, x[:JACOBIANS]))
    logs = {f"log_{name}": values.log().mean(1).numpy() for name, values in spectrum.items()}
    return logs | {"chi": empirical_chi(net, x).mean(2).numpy()}


def in_degrees(net: StackedMLP, x: Tensor) -> Arrays:
    """Return degree_ratio, q_even and q_even_rows, each [R, L].

    degree_ratio: the variance of the inputs a unit keeps over that under a random mask. q_even: q after the weights
    that leave each input were dealt to random units, so that only which unit they enter changes; q_even_rows: what
    the law "rows" says of that net, free of the chance that signs bring in.
    """
    even = net.clone()
    even.masks = None
    for layer, weights in enumerate(even.weights):
        for r, seed in enumerate(net.seeds):
            dealt = rng(seed, "mask", PER_UNIT, layer).permuted(weights[r].numpy(), axis=0)
            weights[r] = torch.from_numpy(dealt)
    return {
        "degree_ratio": np.stack([variance_ratio(mask.numpy(), replicates=True) for mask in net.kept()], 1),
        "q_even": empirical_q(even, x).mean(2).numpy(),
        "q_even_rows": predicted_q(even.weights, even.biases, x, law="rows").mean(2),
    }
