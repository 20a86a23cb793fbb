"""How our figures look: one style sheet, one colour per idea, bands that are intervals, labels beside the lines.

Values come as named[label] = (per seed, colour), a colour by its name in `COLOURS` or `SHADES`. A figure is
`panels(...)`, then one call a panel: `curves`, `dot_rows`, `histogram`, `heat` or `over_epochs`.
"""

from redlib.plots.axes import density_axis, end_labels, level, log2_axis, log_axis, log_values, mark
from redlib.plots.charts import Curve, Named, band, curves, diverging, dot_rows, heat, histogram, rug, shown_span
from redlib.plots.epochs import Run, Runs, epoch_panels, mark_fit, over_epochs
from redlib.plots.names import DATA, data_name
from redlib.plots.style import COLOURS, CYCLE, GRID, INK, PAPER, SHADES, STYLE, paint, panels, use_style

__all__ = [
    "COLOURS", "CYCLE", "Curve", "DATA", "GRID", "INK", "Named", "PAPER", "Run", "Runs", "SHADES", "STYLE", "band",
    "curves", "data_name", "density_axis", "diverging", "dot_rows", "end_labels", "epoch_panels", "heat", "histogram",
    "level", "log2_axis", "log_axis", "log_values", "mark", "mark_fit", "over_epochs", "paint", "panels", "rug",
    "shown_span", "use_style",
]  # fmt: skip
