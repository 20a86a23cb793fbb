"""Data: resident tensors with a digest, named random streams, label noise, replicates' subsets."""

from redlib.data.noise import corrupt_labels
from redlib.data.readers import READERS, DataMissing
from redlib.data.replicates import corrupt_rows, draw_rows
from redlib.data.sources import Dataset, Split, load
from redlib.data.streams import STREAMS, rng, torch_rng
from redlib.data.torchvision_ops import ensure_torchvision

NAMES = tuple(READERS)
"""The names `load` knows."""

__all__ = [
    "NAMES",
    "STREAMS",
    "DataMissing",
    "Dataset",
    "Split",
    "corrupt_labels",
    "corrupt_rows",
    "draw_rows",
    "ensure_torchvision",
    "load",
    "rng",
    "torch_rng",
]
