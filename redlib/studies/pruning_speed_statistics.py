"""From seconds per call to one number a seed for each part of LTH-32; apart from the run, so no result goes stale."""

from __future__ import annotations

import numpy as np

from redlib.evidence.stats import Floats
from redlib.studies.pruning_speed import Arrays

EXACT = 1e-5  # largest difference of outputs that counts as the same net


def medians(results: Arrays) -> Arrays:
    """Return the median seconds of each variant, [S] or [S, D]."""
    return {name: np.median(values, axis=-1) for name, values in results.items() if name.endswith("_s")}


def speedup(results: Arrays, variant: str, baseline: str = "dense") -> Floats:
    """Return median seconds of `baseline` over those of `variant`, [S] or [S, D]: above 1 the variant is faster."""
    found = medians(results)
    faster, slower = found[f"{variant}_s"], found[f"{baseline}_s"]
    return slower.reshape(slower.shape + (1,) * (faster.ndim - slower.ndim)) / faster


def crossover(densities: Floats, faster: Floats) -> Floats:
    """Return the density below which a sparse format beats the dense net, per seed [S], from its speed-ups [S, D].

    Every density of the grid up to there is at least as fast. Interpolated on log axes to the next one, which
    is slower; NaN where not even the lowest density is faster, and the highest density where all are.
    """
    order = np.argsort(densities)
    x, gains = np.log(np.asarray(densities)[order]), np.log(faster[:, order])
    return np.array([_crossing(x, gain) for gain in gains])


def _crossing(x: Floats, gain: Floats) -> float:
    slower = np.flatnonzero(gain < 0)
    if not len(slower):
        return float(np.exp(x[-1]))
    after = slower[0]
    if after == 0:
        return float("nan")
    share = gain[after - 1] / (gain[after - 1] - gain[after])
    return float(np.exp(x[after - 1] + share * (x[after] - x[after - 1])))


def evidence(results: Arrays, steps: Arrays) -> dict[str, Floats]:
    """Return the parts of LTH-32, each [S], from `pruning_speed.run` and `step_speed.run`.

    half_units_speedup (dense over compacted), masked_dense_speedup (dense over masked, at the lowest density,
    where most could be saved), half_units_bytes_ratio, sparse_crossover_density of the faster CSR layout, and of
    training steps sparse_step_speedup (at a tenth of the weights) and sparse_step_crossover.
    """
    faster = speedup(steps, "sparse", "stack")
    tenth = int(np.abs(np.log(steps["densities"] / 0.1)).argmin())
    lowest = int(np.argmin(results["densities"]))
    return {
        "half_units_speedup": speedup(results, "half_units"),
        "masked_dense_speedup": speedup(results, "masked")[:, lowest],
        "half_units_bytes_ratio": results["mlp_bytes"][:, 1] / results["mlp_bytes"][:, 0],
        "sparse_crossover_density": crossover(results["densities"], speedup(results, "csr")),
        "sparse_step_speedup": faster[:, tenth],
        "sparse_step_crossover": crossover(steps["densities"], faster),
    }


def adequate(results: Arrays, steps: Arrays) -> dict[str, bool]:
    """Return the gates of LTH-32: compacted nets compute what nets with those units off do; the kernel could run."""
    gaps = np.concatenate([results["mlp_difference"], results["conv_difference"]])
    own = bool((steps["sparse_s"] != steps["stack_s"][:, None]).any())
    return {"compaction_is_exact": bool((gaps <= EXACT).all()), "sparse_kernel_is_installed": own}
