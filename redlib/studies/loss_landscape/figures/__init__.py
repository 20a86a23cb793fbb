"""The figures of the study on the loss landscape, by what they are about."""

from redlib.studies.loss_landscape.figures.functions import bayes, found, simple
from redlib.studies.loss_landscape.figures.paths import PATHS, around, barriers, joined, tunnels, width_with_curvature
from redlib.studies.loss_landscape.figures.slices import counted, dimensions, small_nets

__all__ = [
    "PATHS", "around", "barriers", "bayes", "counted", "dimensions", "found", "joined", "simple", "small_nets",
    "tunnels", "width_with_curvature",
]  # fmt: skip
