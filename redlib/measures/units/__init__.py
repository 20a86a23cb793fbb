"""Hidden units: which can be removed, which repeat others, which are dead, and where their weights point.

`reading` takes what units do from nets, `removal` removes them one by one or one after another, `repeats` finds units
that others make superfluous, `shares` says how unevenly importance is shared, `directions` clusters weight vectors.

A layer is, of a StackedMLP, the number of a hidden layer, from 0, whose units are what its activation returns; of
modules (one, or a list of them, the replicates) the name of a part that a forward pass calls once and that returns
[n, units, ...], such as the ReLU after a convolution. There a unit is a filter: its activation is the mean over its
map, and the whole map is removed. Results are tensors with replicates first, and no replicate's depend on the others.
"""

from redlib.measures.units.directions import (
    Clusters,
    concentration,
    matched_gaussian,
    rotated,
    silhouettes,
    spherical_kmeans,
)
from redlib.measures.units.reading import activations, active_shares, dead
from redlib.measures.units.removal import ablation_drops, crossing, cumulative_removal, removable, removal_order
from redlib.measures.units.repeats import clusters, components, correlations, explained, redundant, repeated
from redlib.measures.units.shares import effective_number, gini

__all__ = [
    "Clusters",
    "ablation_drops",
    "activations",
    "active_shares",
    "clusters",
    "components",
    "concentration",
    "correlations",
    "crossing",
    "cumulative_removal",
    "dead",
    "effective_number",
    "explained",
    "gini",
    "matched_gaussian",
    "redundant",
    "removable",
    "removal_order",
    "repeated",
    "rotated",
    "silhouettes",
    "spherical_kmeans",
]
