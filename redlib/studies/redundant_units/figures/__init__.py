"""The figures of the study on redundant units, by what they are about."""

from redlib.studies.redundant_units.figures.nets import dead, directions, filters, reliance, removable, survivors
from redlib.studies.redundant_units.figures.toys import averaging, detection, exploration, lucky

__all__ = [
    "averaging", "dead", "detection", "directions", "exploration", "filters", "lucky", "reliance", "removable",
    "survivors",
]  # fmt: skip
