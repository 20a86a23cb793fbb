"""What a panel of a figure shows, for the tests of figures."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D


def lines(ax: Axes) -> dict[str, Line2D]:
    """Return the labelled lines of a panel by name."""
    return {str(line.get_label()): line for line in ax.get_lines() if not str(line.get_label()).startswith("_")}


def rows(ax: Axes) -> list[str]:
    """Return the names of the rows of `dot_rows`, from the top down."""
    return [label.get_text() for label in ax.get_yticklabels()]


def means(ax: Axes) -> list[float]:
    """Return the large dots of `dot_rows`, from the top down."""
    return [float(line.get_xdata()[0]) for line in ax.get_lines() if line.get_markersize() == 6.5]
