"""One look at tanh nets, dense or pruned: their weights layer by layer, and their signals against theory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.measures import meanfield as mf
from redlib.measures.concentration import variance_ratio
from redlib.nets import StackedMLP
from redlib.pruning.masks import masks_of

Arrays = dict[str, np.ndarray]
PER_UNIT = 51  # key of a stream, so that no other draw of a seed repeats it
BINS, REACH = 21, 3.0  # of the histogram of weights: bins, and root mean squares to either side
JACOBIANS = 16  # inputs whose Jacobian is taken
LAWS: tuple[mf.Law, ...] = ("naive", "density", "rows")


def weight_look(net: StackedMLP) -> Arrays:
    """Return of the kept weights of each layer mean and std (times √fan-in), kept, density and gap, each [R, L].

    kept counts them; gap is `density_at_zero`. Every replicate keeps as many weights of a layer.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("mean", "std", "kept", "density", "gap")}
    for weights, mask in zip(net.weights, masks_of(net).values(), strict=True):
        values = kept_values(weights, mask) * sqrt(weights.shape[2])
        count = np.full(len(values), values.shape[1])
        share = count / prod(weights.shape[1:])
        layer = values.mean(1), values.std(1), count, share, density_at_zero(values)
        for name, numbers in zip(found, layer, strict=True):
            found[name].append(numbers)
    return {name: np.stack(layers, 1) for name, layers in found.items()}


def signals(net: StackedMLP, x: Tensor, laws: Sequence[mf.Law] = LAWS) -> Arrays:
    """Return q and q_<law> [R, L], chi [R, L-1] and log_sigma_max, log_mean_square, log_condition of the Jacobian [R].

    Means over inputs, of logarithms for the Jacobian of the logits by the inputs.
    """
    masks = list(masks_of(net).values())
    found = {"q": mf.empirical_q(net, x).mean(2).numpy(), "chi": mf.empirical_chi(net, x).mean(2).numpy()}
    for law in laws:
        found[f"q_{law}"] = mf.predicted_q(net.weights, net.biases, x, masks=masks, law=law).mean(2)
    spectrum = mf.spectrum_summary(mf.jacobian_spectrum(net, x[:JACOBIANS]))
    return found | {f"log_{name}": values.log().mean(1).numpy() for name, values in spectrum.items()}


def in_degrees(net: StackedMLP, x: Tensor) -> Arrays:
    """Return degree_ratio, q_even and q_even_rows, each [R, L].

    degree_ratio: the variance of the inputs a unit keeps over that under a random mask. q_even: q after the weights
    that leave each input were dealt to random units, so that only which unit they enter changes; q_even_rows: what
    the law "rows" says of that net, free of the chance that signs bring in.
    """
    masks = [mask.numpy() for mask in masks_of(net).values()]
    even = net.clone()
    even.masks = None
    for layer, weights in enumerate(even.weights):
        for r, seed in enumerate(net.seeds):
            source = rng(seed, "mask", PER_UNIT, layer)
            weights[r] = torch.from_numpy(source.permuted(weights[r].numpy(), axis=0))
    return {
        "degree_ratio": np.stack([variance_ratio(mask) for mask in masks], 1),
        "q_even": mf.empirical_q(even, x).mean(2).numpy(),
        "q_even_rows": mf.predicted_q(even.weights, even.biases, x, law="rows").mean(2),
    }


def kept_values(weights: Tensor, mask: Tensor) -> np.ndarray:
    """Return the kept weights of a layer [R, K], float64; K must be the same in every replicate."""
    rows = [w[m] for w, m in zip(weights, mask, strict=True)]
    return torch.stack(rows).double().numpy()


def density_at_zero(values: np.ndarray) -> np.ndarray:
    """Return, for values [R, K], the height of their histogram at 0 over its largest, [R]: 1 for a peak at 0.

    21 equal bins to ±3 root mean squares, the eleventh centred at 0. NaN where all values are 0.
    """
    found = []
    for row in values:
        reach = REACH * sqrt(np.square(row).mean())
        heights = np.histogram(row, BINS, (-reach, reach))[0] if reach else np.zeros(BINS)
        found.append(heights[BINS // 2] / heights.max() if heights.max() else np.nan)
    return np.array(found)
