"""The part of a live explorer that draws: only where somebody can move its sliders."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets

from redlib.progress import interactive, shell


def drawn(draw: Callable[..., None], controls: Mapping[str, ipywidgets.Widget]) -> ipywidgets.Widget:
    """Return `ipywidgets.interactive_output(draw, controls)`, and in a headless kernel an empty box.

    There nobody would see it (reports have the static twin), and a cell that fills such an output at times never ends
    for nbclient, which answers the kernel while it waits for it (nbclient issue 312).
    """
    if getattr(shell(), "kernel", None) is not None and not interactive():
        return ipywidgets.Box()
    return ipywidgets.interactive_output(draw, dict(controls))
