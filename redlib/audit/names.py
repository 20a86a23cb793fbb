"""What the page calls layers and measures: the class and sizes of a layer, the words, unit and range of a measure.

Raw names stand in the frame and in the JSON; people read these. A range is what a number can be at all: an interval of
chance is cut there, for 24 of 16 units is nothing that chance can give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redlib.audit.layers import EMBEDDINGS, Layer
from redlib.audit.measure import Measure, within

LONGEST = 60  # characters of a name or a shape
TIMES = "times its own variation"


@dataclass(frozen=True)
class Name:
    """How a measure is told: its `words`, its `unit`, its range, and whether it is a decimal logarithm.

    `most` is the upper end of the range, or what counts it: "rank", "filters", "units" of a layer, or "examples".
    """

    words: str
    unit: str = ""
    least: float = 0.0
    most: float | str = math.inf
    log: bool = False

    @property
    def title(self) -> str:
        """The words with the unit."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


NAMES: dict[str, Name] = {
    "stable_rank": Name("Stable rank of the weights", "directions", 1, "rank"),
    "effective_rank": Name("Effective rank of the weights", "directions", 1, "rank"),
    "rank99": Name("Rank of 99% of the weights' energy", "directions", 1, "rank"),
    "largest_over_edge": Name("Largest eigenvalue of the weights", "times the edge of noise"),
    "spikes": Name("Eigenvalues past the edge of noise", "number"),
    "repeated_filters": Name("Filters that repeat another", "filters", 0, "filters"),
    "dead_filters": Name("Filters of almost zeros", "filters", 0, "filters"),
    "near_zero": Name("Weights near zero", "share of all", 0, 1),
    "alpha": Name("Exponent of the spectrum's tail"),
    "power_law": Name("A power law fits that tail", "1 yes, 0 no", 0, 1),
    "z_exponential": Name("Power law against exponential tail", "z score", -math.inf),
    "z_lognormal": Name("Power law against lognormal tail", "z score", -math.inf),
    "z_truncated": Name("Power law against one cut off", "z score", -math.inf),
    "dead_units": Name("Units that no example switches on", "units", 0, "units"),
    "near_dead_units": Name("Units that under 1% of the examples switch on", "units", 0, "units"),
    "constant_units": Name("Units that are constant over the examples", "units", 0, "units"),
    "repeated_units": Name("Units that repeat another", "units", 0, "units"),
    "effective_dimension": Name("Effective dimension of the activations", "dimensions", 0, "units"),
    "components95": Name("Components of 95% of the activations' variance", "components", 0, "units"),
    "output_change": Name("How far the output moves without small weights", TIMES, -math.inf, log=True),
    "direction_change": Name("How far the output moves without weak directions", TIMES, -math.inf, log=True),
    "same_class_neighbours": Name("Nearest neighbours of the same class, last features", "share", 0, 1),
    "nc1": Name("Scatter within classes over that between them, NC1", "ratio", -math.inf, log=True),
    "nc2_norms": Name("Spread of the norms of class means, NC2", "0 in collapse"),
    "nc2_angles": Name("Spread of the angles of class means, NC2", "0 in collapse"),
    "nc3": Name("Distance of last weights to class means, NC3", "0 in collapse"),
    "nc4": Name("Decided otherwise than by the nearest class mean, NC4", "examples", 0, "examples"),
    "top_eigenvalue": Name("Largest curvature of the loss", "nats per squared weight", -math.inf),
    "trace": Name("Sum of all curvatures of the loss", "nats per squared weight", -math.inf),
    "box_sharpness": Name("Rise of the loss in a box of 0.001", "per cent"),
    "adaptive_sharpness": Name("Largest curvature, each weight in its own unit", "nats", -math.inf),
}


def name_of(measure: str) -> Name:
    """Return how a measure is told; of one that is not known here, its raw name in words and no range."""
    return NAMES.get(measure) or Name(measure.replace("_", " ").capitalize(), least=-math.inf)


def shape_of(layer: Layer) -> str:
    """Return a layer's class and sizes, as `Conv2d 1→8, 3×3` or `Linear 128→10`."""
    into, out, kernel = _sizes(layer)
    if layer.kind in EMBEDDINGS:
        return f"{layer.kind} of {len(layer.weight):,}, {layer.weight.shape[-1]} wide"
    found = f"{layer.kind} {into}→{out}" + (f", {'×'.join(map(str, kernel))}" if kernel else "")
    if layer.groups == 1:
        return found
    words = "groups" if kernel else "heads" if layer.kind == "MultiheadAttention" else "gates"
    return f"{found}, {layer.groups} {words}"


def _sizes(layer: Layer) -> tuple[int, int, list[int]]:
    """Return inputs, outputs and sides of the kernel of a layer; a transposed one stores its inputs first."""
    first, second, *kernel = layer.weight.shape
    grouped = layer.groups if kernel else 1
    return (first, second * grouped, kernel) if layer.transposed else (second * grouped, first, kernel)


def bounded(measures: Mapping[str, Measure], sizes: Mapping[str, int]) -> dict[str, Measure]:
    """Return measures by raw name, their intervals cut to what they can be; `sizes` are those of `Name.most`.

    No verdict changes: a value that can be stands on the same side of the end that is cut.
    """
    found = {}
    for name, measure in measures.items():
        own = name_of(name)
        most = sizes.get(own.most, math.inf) if isinstance(own.most, str) else own.most
        found[name] = within(measure, own.least, most)
    return found


def sizes_of(layer: Layer, facts: Mapping[str, Any]) -> dict[str, int]:
    """Return where the ranges of a layer end, of which the facts say which matrices were examined: rank, filters."""
    count, rows, columns = facts["examined"]
    filters = columns // max(1, layer.weight[0, 0].numel()) if layer.transposed else rows
    return {"rank": min(rows, columns), "filters": count * filters}


def short(name: str) -> str:
    """Return a name of at most LONGEST characters, its middle left out."""
    half = (LONGEST - 3) // 2
    return name if len(name) <= LONGEST else f"{name[:half]} … {name[-half:]}"


def titled(name: str, shape: str) -> str:
    """Return the name of a layer with its class and sizes, each of at most LONGEST characters."""
    return f"{short(name)}: {short(shape)}"
