"""What the runs of the study @TITLE@ say of each claim: one function a claim, parts and gate together."""

from __future__ import annotations

from redlib.evidence.claims import Finding
from redlib.experiments.results import Results


def @FUNCTION@_1(nets: Results) -> Finding:
    """After a few epochs a wide net errs less on its training data; the gate: the narrow one has learned something."""
    narrow, wide = (100 * nets["train_error"][:, at, -1] for at in (0, -1))
    learned = bool((narrow < 100 * nets["train_error"][:, 0, 0]).all())
    return Finding("@PREFIX@-1", {"error_narrow_minus_wide": narrow - wide}, {"narrow_net_learns": learned})
