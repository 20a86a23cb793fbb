"""What the figures of the blurring study need besides curves: colours of rates, pictures for the explorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from redlib.data import Dataset
from redlib.data.blur import blur_matrix, odd_size
from redlib.studies.blurring import Arrays
from redlib.studies.blurring_curves import ByRate, changed, groups, high_rates, low_rates, sigmas
from redlib.studies.blurring_look import pixels
from redlib.studies.blurring_statistics import band

Floats = np.ndarray
WARM, COLD = ("warm-1", "warm-2", "warm-3", "warm-4"), ("cold-1", "cold-2", "cold-3")  # of `plots.SHADES`
PICTURES = (4, 8)  # mislabelled and other images of each rate


def name(k: int) -> str:
    """Return what a rate is called."""
    return f"1 in {k}"


def tints(by_rate: ByRate) -> dict[int, tuple[str, str]]:
    """Return {rate: (colour, line style)}: warm and solid above the claimed transition, blue and dashed below."""
    above = zip(high_rates(by_rate), WARM, strict=False)
    below = zip(low_rates(by_rate), COLD, strict=False)
    return {k: (colour, "-") for k, colour in above} | {k: (colour, "--") for k, colour in below}


def explorer(by_rate: ByRate, data: Dataset, start: tuple[int, float]) -> dict[str, Any]:
    """Return the arguments of the blur explorer: images of the first seed, decisions on them, curves of all seeds."""
    grid, width = sigmas(next(iter(by_rate.values()))), data.train.x.shape[-1]
    shown = {k: pictures(results) for k, results in by_rate.items()}
    own = [(by_rate[k], rows) for k, rows in shown.items()]
    named = {"mislabelled": "mislabelled", "correctly labelled": "clean"}
    bands = {label: [band(changed(r, group)) for r in by_rate.values()] for label, group in named.items()}
    return {
        "rates": [name(k) for k in by_rate],
        "sigmas": grid.tolist(),
        "pixels": np.stack([data.train.x[rows][:, 0].numpy() for rows in shown.values()]),
        "told": np.stack([r["assigned"][0][rows] for r, rows in own]),
        "true": np.stack([r["labels"][0][rows] for r, rows in own]),
        "predicted": np.stack([r["train"][0][:, rows] for r, rows in own]),
        "curves": {label: tuple(np.stack(part) for part in zip(*found, strict=True)) for label, found in bands.items()},
        "blurred_matrix": blur_matrix(width, pixels(grid.tolist(), width), odd_size(width)).numpy(),
        "start": (name(start[0]), start[1]),
    }


def pictures(results: Arrays, count: Sequence[int] = PICTURES) -> Floats:
    """Return rows of the first mislabelled and clean images of the first seed, as many as `count` says."""
    parts = zip(("mislabelled", "clean"), count, strict=True)
    return np.concatenate([np.flatnonzero(groups(results)[group][0])[:most] for group, most in parts])


def known(rows: Mapping[str, tuple[Floats, str]]) -> dict[str, tuple[Floats, str]]:
    """Return the rows without seeds that have no value (NaN), and without rows where none has one."""
    found = {label: (values[np.isfinite(values)], colour) for label, (values, colour) in rows.items()}
    return {label: row for label, row in found.items() if len(row[0])}


def by_setting(numbers: Mapping[str, tuple[Floats, Floats]], which: int) -> dict[str, tuple[Floats, str]]:
    """Return rows of each setting's gap (0) or drop (1): blur in blue, other changes in orange."""
    tint = {label: "blue" if label.endswith("blur") else "orange" for label in numbers}
    return known({label: (pair[which], tint[label]) for label, pair in numbers.items()})
