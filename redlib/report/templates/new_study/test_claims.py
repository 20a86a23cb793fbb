"""The claims of the study @TITLE@ on numbers whose answer is known; the contract test runs what `tiny` lists."""

from __future__ import annotations

import numpy as np

from redlib.experiments.results import Results
from redlib.studies.@NAME@ import claims


def test_@FUNCTION@_1_is_what_the_narrow_net_errs_more_in_points():
    errors = np.array([[[0.9, 0.5], [0.9, 0.2]], [[0.9, 0.4], [0.9, 0.4]]])
    nets = Results({"train_error": errors}, {"train_error": ("seed", "width", "epoch")})
    found = claims.@FUNCTION@_1(nets)
    assert np.allclose(found.parts["error_narrow_minus_wide"], [30, 0]) and found.gate == {"narrow_net_learns": True}
