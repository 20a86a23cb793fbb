"""Numbers that only the figures of the mean-field study need: theory's curves, histograms, points of nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from redlib.measures import meanfield as mf
from redlib.measures.spectra import mp_edges, mp_pdf
from redlib.studies.mean_field import Lab, Level, kept_weights
from redlib.studies.mean_field_look import Arrays
from redlib.studies.mean_field_statistics import deep

Floats = np.ndarray
TINTS = ("orange", "blue", "green")
JACOBIAN_ROWS = {
    "log_mean_squared_singular_value_imp_minus_random": ("mean square, less random", "blue"),
    "log_mean_squared_singular_value_imp_minus_chi_matched": ("mean square, less χ-matched", "green"),
    "log_largest_singular_value_imp_minus_random": ("largest, less random", "blue"),
    "log_condition_number_imp_minus_random": ("condition, less random", "blue"),
}
MASKS = {"random": ("random mask", "grey"), "imp": ("pruned mask", "blue")}
STD_ROWS = {
    f"accuracy_{mask}_mask_std_{std}_minus_1p4": (f"{word}, {std.replace('p', '.')}", colour)
    for mask, (word, colour) in MASKS.items()
    for std in ("2p24", "2p52", "3p13")
}
PEAK_ROWS = {f"accuracy_bimodal_minus_gaussian_{mask}_mask": look for mask, look in MASKS.items()} | {
    f"{mask}_mask": (f"{word}, same variance", "gold") for mask, (word, _) in MASKS.items()
}
Rows = dict[str, tuple[Floats, str]]


def correlation_law(lab: Lab, first: float) -> Floats:
    """Return the correlation that theory gives every hidden layer, if it is `first` in the first and q is q*."""
    q = mf.q_fixed_point(lab.sigma_w, lab.sigma_b)
    path = [np.asarray(first)]
    while len(path) < len(lab.hidden):
        path.append(mf.c_map(path[-1], q, lab.sigma_w, lab.sigma_b))
    return np.array(path)


def theory(q: Floats, c: Floats, sigma_b: Floats, activation: mf.Activation) -> tuple[Floats, Floats, Floats, Floats]:
    """Return V(q), χ(q) and the C-map of c [q, c] for σ_w = 1 and no biases, and the edge of chaos over sigma_b."""
    maps = mf.q_map(q, 1, 0, activation), mf.chi(q, 1, activation), mf.c_map(c, q[:, None], 1, 0, activation)
    return *maps, mf.edge_of_chaos(sigma_b, activation)


def chi_law(densities: Floats, sigma_w: float, sigma_b: float, *, random: bool = False) -> Floats:
    """Return χ₁ of Gaussian weights of which a share [L] is kept, the largest or, if `random`, any."""
    share = densities if random else mf.magnitude_second_moment(densities)
    return mf.chi_1(sigma_w * np.sqrt(share), sigma_b)


def std_law(densities: Floats, sigma_w: float) -> Floats:
    """Return the standard deviation of the largest Gaussian weights, if shares [L] of them are kept."""
    return sigma_w * np.sqrt(mf.magnitude_second_moment(densities) / densities)


def layer_weights(
    done: Mapping[str, Arrays], lab: Lab, levels: Sequence[int], layer: int
) -> dict[int, dict[str, Floats]]:
    """Return the kept weights of a layer, of all seeds together, as {level: {"start" or "end": values}}."""
    found = {}
    for level in levels:
        kept = kept_weights(Level(lab, level), done[f"normal {level}"])
        found[level] = {when: np.asarray(values[layer]).ravel() for when, values in kept.items()}
    return found


def densities(results: Arrays) -> Floats:
    """Return the density at each level of a chain: of its first layer, or of the whole net where that is stored."""
    return np.asarray(results["density"][0] if "density" in results else results["start_density"][0, :, 0])


def parting(density: float) -> str:
    """Return the words for the density from which a theory departs, NaN for none."""
    return "nowhere" if np.isnan(density) else f"from {density:.0%}"


def signal_laws(tickets: Arrays, when: str = "start") -> dict[str, Floats]:
    """Return q deep in the net, measured ("") and by each law, [S, levels]."""
    return {law: deep(tickets[f"{when}_q_{law}" if law else f"{when}_q"]) for law in ("", "naive", "density", "rows")}


def claim_rows(claim: Mapping[str, Floats], names: Mapping[str, tuple[str, str]]) -> Rows:
    """Return rows for `plots.dot_rows`: names[statistic] = (label, colour)."""
    return {label: (claim[statistic], colour) for statistic, (label, colour) in names.items()}


def bulk_law(results: Arrays, layer: int, inputs: int, look: int = -1) -> tuple[Floats, Floats]:
    """Return (x, density) of a layer's singular values over √N by the Marchenko–Pastur law of its bulk, all seeds."""
    values = results[f"eigenvalues_{layer}"]
    variance = float(np.mean(results["sigma"][:, look, layer]) ** 2)
    aspect = max(inputs, values.shape[2]) / values.shape[2]
    low, high = mp_edges(aspect, variance)
    x = np.linspace(np.sqrt(low), np.sqrt(high), 200)[1:-1]
    return x, 2 * x * mp_pdf(x**2, aspect, variance)


def by_part(values: Floats) -> Rows:
    """Return values by layer [S, levels, L] as means over the first, the hidden and the output layer."""
    found = {"first layer": values[..., :1], "hidden layers": values[..., 1:-1], "output layer": values[..., -1:]}
    return {label: (part.mean(2), colour) for (label, part), colour in zip(found.items(), TINTS, strict=True)}
