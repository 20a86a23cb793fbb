"""The style sheet, the colours by name, and the panels of a figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

INK, GRID, PAPER = "#1b1f24", "#c8ced6", "none"  # the report replaces these two inks by its theme's
COLOURS = {  # Okabe & Ito (2008), darkened where the original fades on white
    "blue": "#0072b2", "orange": "#d55e00", "green": "#009e73", "purple": "#aa4499", "gold": "#c98a00",
    "sky": "#3aa0d8", "grey": "#7a828c",
}  # fmt: skip
SHADES = {  # of two hues, the strongest first, for what is ordered on either side of a line
    "warm-1": "#7f2704", "warm-2": "#c2410c", "warm-3": "#e8792b", "warm-4": "#f2a65e",
    "cold-1": "#08306b", "cold-2": "#2171b5", "cold-3": "#5ba3d9",
}  # fmt: skip
CYCLE = list(COLOURS.values())
STYLE = {
    "figure.facecolor": PAPER, "axes.facecolor": PAPER, "savefig.facecolor": PAPER, "figure.dpi": 100,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.grid": True,
    "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.prop_cycle": plt.cycler(color=CYCLE),
    "font.size": 11, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 11, "legend.frameon": False, "legend.fontsize": 10, "lines.linewidth": 2.0,
    "lines.markersize": 4.5, "figure.constrained_layout.use": True, "svg.fonttype": "none",
}  # fmt: skip


def paint(colour: str) -> str:
    """Return the colour of that name in `COLOURS` or `SHADES`, and for "ink" `INK`; any other as it is."""
    return (COLOURS | SHADES | {"ink": INK}).get(colour, colour)


def use_style() -> None:
    """Make matplotlib's own defaults, with `STYLE` on top, the settings of this session.

    What a user's matplotlibrc says about looks is set aside (text.usetex needs a LaTeX, another font another width), so
    that figures are the same on every machine; the backend and what belongs to windows stays.
    """
    plt.style.use(["default", STYLE])


def panels(
    columns: int = 1, rows: int = 1, width: float | None = None, height: float = 3.4
) -> tuple[Figure, np.ndarray]:
    """Return (figure, axes [rows * columns]); width and height in inches, height per row."""
    fig, axes = plt.subplots(rows, columns, figsize=(width or min(4.9 * columns, 10.2), height * rows), squeeze=False)
    return fig, axes.ravel()
