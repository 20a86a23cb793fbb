"""A small instance of every experiment of the study on redundant units, for the contract test of all studies."""

from redlib.experiments.experiment import Experiment
from redlib.studies.redundant_units.detection import Xord, XordPaths
from redlib.studies.redundant_units.filters import Filters
from redlib.studies.redundant_units.hidden import Sparse, Widths
from redlib.studies.redundant_units.students import Goldt, Tian
from redlib.studies.redundant_units.survivors import Survivors

SEEDS = (0, 1, 2)
SMALL = {"pool": 300, "tests": 60, "n": 40, "epochs": 3, "batch": 20, "seeds": SEEDS}
DETECTION = {"counts": (3, 5), "n": 12, "steps": 60, "seeds": SEEDS}
STUDENTS = {"inputs": 7, "steps": 130, "times": 5, "seeds": SEEDS}


def tiny() -> dict[str, Experiment]:
    """Return {name: experiment} that take some seconds at most."""
    return {
        "widths": Widths(**SMALL, widths=(4, 8)),
        "sparse": Sparse(**SMALL, width=8),
        "survivors": Survivors(**SMALL, width=8, densities=(0.5, 0.3)),
        "filters": Filters(**SMALL, filters=12, ks=(2, 3)),
        "xord": Xord(**DETECTION),
        "xord_paths": XordPaths(**DETECTION, times=6),
        "goldt": Goldt(**STUDENTS, widths=(1, 3), teacher_units=1, fresh=50),
        "tian": Tian(**STUDENTS, widths=(2, 5), teacher_units=2),
    }
