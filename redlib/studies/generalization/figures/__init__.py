"""The figures of the study on generalisation, by what the nets are asked."""

from redlib.studies.generalization.figures.memory import (
    critical_weights,
    five_versions,
    many_random_labels,
    regularisers,
    shares_of_random_labels,
    slow_down,
    wrong_labels,
)
from redlib.studies.generalization.figures.minima import (
    basins,
    batches,
    distance_and_measures,
    larger_is_better,
    spectra,
    stability,
)
from redlib.studies.generalization.figures.wide import distances, linear_rate, no_bad_minima, patterns, tangents

__all__ = [
    "basins", "batches", "critical_weights", "distance_and_measures", "distances", "five_versions", "larger_is_better",
    "linear_rate", "many_random_labels", "no_bad_minima", "patterns", "regularisers", "shares_of_random_labels",
    "slow_down", "spectra", "stability", "tangents", "wrong_labels",
]  # fmt: skip
