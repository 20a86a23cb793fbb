"""What the rows of the ticket study's figures are called and coloured: {label: (accuracy per seed [S], colour)}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from redlib.studies.tickets import Arrays

Floats = np.ndarray
Rows = dict[str, tuple[Floats, str]]
ARM_COLOURS = {"reinit": "orange", "random": "gold", "shuffled": "purple"}
CONTROLS = {  # arm: (label, colour), from the ticket down to what keeps nothing of it
    "dense": ("dense", "grey"), "ticket": ("ticket", "blue"), "late": ("ticket, late rewinding", "sky"),
    "finetuned": ("finetuned", "green"), "noise_half": ("noise, ½ sd", "sky"),
    "signed_constant": ("signed constant", "sky"), "keep_sign": ("keep sign, fresh sizes", "sky"),
    "noise_three": ("noise, 3 sd", "sky"), "frozen": ("cut weights frozen", "purple"),
    "patient": ("reinit, patient", "orange"), "reinit": ("reinit", "orange"), "random": ("random", "gold"),
    "large_init": ("largest initial weights", "gold"),
}  # fmt: skip
TRANSFER = {  # label: (which, chain or move, colour)
    "other half: native": ("end", "second", "blue"), "other half: carried": ("carried", "halves", "sky"),
    "other half: random": ("random", "second", "grey"), "other optimiser: native": ("end", "other", "blue"),
    "other optimiser: carried": ("carried", "to other", "sky"),
    "other optimiser: random": ("random", "other", "grey"),
}  # fmt: skip


def control_rows(arms: Mapping[str, Floats]) -> Rows:
    """Return the rows of all arms at one density."""
    return {label: (arms[name], colour) for name, (label, colour) in CONTROLS.items()}


def criteria_rows(accuracies: Mapping[str, Floats]) -> Rows:
    """Return criteria, the best first; grey where they do not beat random weights on average."""
    bar = accuracies["random"].mean()
    ranked = sorted(accuracies.items(), key=lambda item: -item[1].mean())
    return {name.replace("_", " "): (values, "blue" if values.mean() > bar else "grey") for name, values in ranked}


def mask_rows(fixed: Mapping[str, Floats], learned: Arrays, trained: Floats) -> Rows:
    """Return fixed and learned masks on weights that were never trained, and the trained net."""
    test = 100 * learned["test_accuracy"]
    rows: Rows = {"cut, initial weights": (fixed["fc_initial"], "grey")}
    rows["cut, signed constant"] = fixed["fc_signed_constant"], "grey"
    for column, (word, colour) in enumerate((("learned", "sky"), ("rescaled", "blue"))):
        rows |= {f"{word}, {source}": (test[:, k, column], colour) for k, source in enumerate(("initial", "constant"))}
    return rows | {"trained weights": (trained, "orange")}


def transfer_rows(values: Mapping[str, Mapping[str, Floats]]) -> Rows:
    """Return native, carried and random sparse nets on the other half of the data and with the other optimiser."""
    return {label: (values[kind][name], colour) for label, (kind, name, colour) in TRANSFER.items()}


def rate_rows(values: Mapping[str, Mapping[str, Floats]], rates: Sequence[float]) -> Rows:
    """Return tickets and fresh weights at the small and at the large rate."""
    rows: Rows = {}
    for name, rate in zip(("small", "large"), rates, strict=True):
        rows |= {f"ticket, rate {rate:g}": (values["end"][name], "blue")}
        rows |= {f"fresh weights, rate {rate:g}": (values["reinit"][name], "orange")}
    return rows
