"""What others have published, beside ours: densities, masks without training, MNIST-1D's own ticket notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from redlib.studies.tickets import Arrays
from redlib.studies.tickets_mnist1d import PUBLISHED

DENSITIES = {3: 51.28, 7: 21.07, 9: 13.52, 15: 3.58}  # LeNet-300-100, % after so many rounds (Frankle & Carbin 2019)
MASKS = {  # MNIST, fully connected net, test accuracy in % (source document S1, after Zhou et al. 2019)
    "cut, initial weights": 79.3, "cut, signed constant": 86.3, "learned, initial": 95.3, "learned, constant": 96.4,
    "rescaled, initial": 97.8, "rescaled, constant": 98.0, "trained weights": 97.7,
}  # fmt: skip
SPARSITIES = (0.80, 0.92, 0.95)

Row = tuple[str, str, float]


def beside(
    density: np.ndarray, masks: Mapping[str, np.ndarray], lab_rows: Sequence[Row], protocol: Arrays | None
) -> pd.DataFrame:
    """Return a table (quantity, published, ours), all in %: densities, masks without training, tickets on MNIST-1D.

    `lab_rows` are this study's own numbers where the protocol has not been run: another net, another training.
    """
    rows: list[Row] = [(f"density after {k} rounds", f"{d}", 100 * density[k]) for k, d in DENSITIES.items()]
    rows += [(f"mask: {name}", f"{MASKS[name]}", float(values.mean())) for name, values in masks.items()]
    rows += lab_rows if protocol is None else protocol_rows(protocol)
    return pd.DataFrame(rows, columns=["quantity", "published", "ours"]).round(1)


def protocol_rows(ours: Arrays) -> list[Row]:
    """Return the rows of MNIST-1D's protocol: dense net, magnitude and random masks at three sparsities."""
    rows = [("MNIST-1D, dense", trials([*map(float, PUBLISHED["dense"])]), float(ours["dense"].mean()))]  # type: ignore[arg-type]
    for kind in ("magnitude", "random"):
        for place, sparsity in enumerate(SPARSITIES):
            named = f"MNIST-1D, {kind} mask, {sparsity:.0%} cut"
            rows.append((named, published(kind, place), float(ours[kind][:, place].mean())))
    return rows


def near_rows(density: np.ndarray, kinds: Mapping[str, tuple[Sequence[int], np.ndarray]]) -> list[Row]:
    """Return the same rows from this study's own arms, {kind: (rounds, accuracy [S, rounds])}, at near densities."""
    rows = []
    for kind, (rounds, values) in kinds.items():
        for place, sparsity in enumerate(SPARSITIES):
            at = int(np.abs(np.log(density[list(rounds)] / (1 - sparsity))).argmin())
            named = f"MNIST-1D, {kind} mask, {sparsity:.0%} cut (our net: {1 - density[rounds[at]]:.0%})"
            rows.append((named, published(kind, place), float(values[:, at].mean())))
    return rows


def published(kind: str, place: int) -> str:
    """Return the authors' trials of one kind of mask at one of the sparsities."""
    return trials([trial[place] for trial in PUBLISHED[kind]])  # type: ignore[index]


def trials(values: Sequence[float]) -> str:
    """Return several trials as text."""
    return ", ".join(f"{value:g}" for value in values)
