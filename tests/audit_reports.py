"""Reports of an audit, made up, for tests of its page."""

from redlib.audit import Record, Report
from redlib.audit.measure import Measure
from redlib.audit.removal import Curve

CURVE = Curve("the whole net", "weights", True, (0.9, 0.9, 0.9, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1), (1.0,) * 9, (0.0,) * 9,
              0.5, 0.25, 0.7, 0.1, 0.5, 0.5, 0.7, 1000, 0.5)  # fmt: skip
CHANGE = Measure(0.5, 1.0, 0.8, 1.2, 5, "twins", -1, "Change of the output.")


def made(**changes):
    """Return a report of one layer, made up."""
    record = Record(
        "fc", "Linear", 1000, 900.0, {"phase": "random-like"}, {"output_change": CHANGE}, {"weights": CURVE}
    )
    record.shape, record.units = "Linear 90→10", 10
    settings = {"tolerate": 0.5, "seed": 0, "effort": 1.0, "examples": 1000, "examples_given": 2000, "labels": True}
    given = {"records": [record], "whole": {"weights": CURVE}, "features": {"output_change": CHANGE}, "complete": True}
    return Report("Net", "module", settings, **(given | changes))
