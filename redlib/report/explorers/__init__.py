"""Explorers: pictures a reader can move. Each is checked data in, one HTML fragment with its script out.

`Study.explorer` shows a fragment in JupyterLab, where its script runs, and the report holds the same. It needs neither
a kernel nor a network, follows the theme of its page, and is at most 150 kB.
"""

from redlib.report.explorers.blur import blur_explorer
from redlib.report.explorers.curves import curve_explorer
from redlib.report.explorers.edge import edge_explorer
from redlib.report.explorers.masks import mask_explorer, survival
from redlib.report.explorers.points import (
    Panel,
    like_triangle,
    on_triangle,
    point_player,
    seen_from_the_diagonal,
    triangle,
)
from redlib.report.explorers.signals import signal_explorer

__all__ = [
    "Panel", "blur_explorer", "curve_explorer", "edge_explorer", "like_triangle", "mask_explorer", "on_triangle",
    "point_player", "seen_from_the_diagonal", "signal_explorer", "survival", "triangle",
]  # fmt: skip
