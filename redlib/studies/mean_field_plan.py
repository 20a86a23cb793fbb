"""All runs of the mean-field study by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from redlib.studies import configure
from redlib.studies.experiments import levels
from redlib.studies.mean_field import D11, D21, D41, D51, STDS, Arms, Dips, Fitted, Lab, Level, Start, at_hand
from redlib.studies.mean_field_conv import THREE, ConvLevel
from redlib.studies.mean_field_random import Depths, Wide

LITERAL = 0.3 / 16  # the biases' standard deviation if it is divided by √256, as the slide writes it
TWO = (0.36, 0.19)  # rate and last of two rounds of 20% and 10% taken at once
DEPTHS = {"normal": 15, "orthogonal": 3, "augmented": 3, "residual": 3, "conv": 2}  # the last level of each chain


def experiments(
    lab: Lab, depths: Mapping[str, int] = DEPTHS, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return all runs of the study by name; a chain's are named "<chain> <level>", its last level is in `depths`.

    normal is pruned by 20% a round, orthogonal (gain 1, as S4 has it) two rounds at once, augmented, residual and conv
    three. `settings` changes fields of what is trained or drawn beside the chains, by name: conv, dips, fitted, depths,
    wide, "residual wide"; photographs, if named and at hand, adds a chain like the first on other data.
    """
    more: Mapping[str, Mapping[str, Any]] = settings or {}
    top, ortho = Level(lab), replace(lab, init="orthogonal", sigma_w=1.0)
    chains: dict[str, Level | ConvLevel] = {
        "normal": top,
        "orthogonal": Level(ortho, 0, *TWO),
        "augmented": Level(replace(lab, shifts=(-2, -1, 1, 2)), 0, *THREE),
        "residual": Level(replace(lab, residual=True), 0, *THREE),
        "conv": configure(ConvLevel, {"seeds": lab.seeds}, more.get("conv", {})),
    }
    if "photographs" in more and at_hand(photographs := configure(Lab, vars(lab), more["photographs"])):
        chains["photographs"] = Level(photographs)
    runs: dict[str, Any] = {}
    for name, source in chains.items():
        runs |= levels(name, source, depths.get(name, depths["normal"]))
    starts = {"full": lab, "literal": replace(lab, sigma_b=LITERAL), "orthogonal": ortho}
    runs |= {f"start {name}": Start(replace(one, hidden=(256,) * len(lab.hidden))) for name, one in starts.items()}
    return runs | arms(top, more) | random_nets(lab, more)


def arms(top: Level, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what needs the masks of the main chain by name."""
    stds = tuple(f"random_{std}" for std in STDS) + ("fresh", *(f"fresh_{std}" for std in STDS))
    bimodal = "random", "bimodal", "normal", "fresh", "bimodal_ticket", "normal_ticket"
    return {
        "random": Arms(top, ("random",), (1, D51, 5)),
        "rescaled": Arms(top, ("random", "corrected", "chi_matched"), (D21, D11)),
        "stds": Arms(top, stds, (D21,)),
        "bimodal": Arms(top, bimodal, (D41,)),
        "fitted": configure(Fitted, {"source": top}, settings.get("fitted", {})),
        "dips": configure(Dips, {"source": top}, settings.get("dips", {})),
    }


def random_nets(lab: Lab, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what needs no pruning by name: wide nets against the recursions, and short trainings of deep nets."""
    seeds = {"seeds": lab.seeds}
    skipping = {"width": 512, "depth": 12, "sigmas": ((lab.sigma_w, lab.sigma_b),), "residual": True}
    return {
        "wide": configure(Wide, seeds, settings.get("wide", {})),
        "residual wide": configure(Wide, skipping, seeds, settings.get("residual wide", {})),
        "depths": configure(Depths, seeds, settings.get("depths", {})),
    }
