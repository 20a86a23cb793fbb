"""Nets: stacked and ragged MLPs with hand-written gradients, conv nets, and their initialisers."""

from redlib.nets.initialisers import glorot, he, initialiser, mean_field, torch_default
from redlib.nets.ragged import RaggedMLP
from redlib.nets.stacked import StackedMLP

__all__ = ["RaggedMLP", "StackedMLP", "glorot", "he", "initialiser", "mean_field", "torch_default"]
