"""What the figures of the neural-collapse study are labelled and coloured: rows of ratios, frames of the player."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from redlib.measures.simplex import simplex_etf
from redlib.studies.neural_collapse import Arrays

Rows = dict[str, tuple[np.ndarray, str]]
COLOURS = {"dense": "blue", "random": "gold"}


def ratio_rows(claim: Mapping[str, np.ndarray]) -> Rows:
    """Return rows of log2 ratios, the ticket over the dense net in blue and over random masks in gold."""
    rows: Rows = {}
    for name, values in claim.items():
        _, measure, _, _, other = name.split("_")
        rows[f"{measure.upper()}: ticket / {other}"] = values, COLOURS[other]
    return rows


def frames(found: Arrays) -> list[str]:
    """Return what to write under each look of a `Triangle` run."""
    looks = zip(found["epochs"], found["train_error"], found["nc1"], strict=True)
    return [f"epoch {epoch:g} · training error {100 * error:.1f}% · NC1 {nc1:.2g}" for epoch, error, nc1 in looks]


def features_like(found: Arrays, corners: np.ndarray) -> np.ndarray:
    """Return features of three classes turned so that their means point to the triangle `corners` [3, 2]: [T, n, 2]."""
    return found["features"] @ (simplex_etf(3, 2).numpy().T @ corners) * 2 / 3


def logits_seen_from_the_diagonal(found: Arrays, corners: np.ndarray) -> np.ndarray:
    """Return logits of three classes without their mean, in the plane of the triangle `corners` [3, 2]: [T, n, 2]."""
    logits = found["logits"]
    return (logits - logits.mean(-1, keepdims=True)) @ corners
