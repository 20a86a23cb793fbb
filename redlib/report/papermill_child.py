"""papermill as a child process that dies with the command that started it (`kill -9` included)."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere do nothing.

    Without it a killed `make reproduce` would leave a notebook running, which its restart then competes with.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    from papermill.cli import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill(prog_name="papermill")
    except PapermillExecutionError as error:  # the notebook's own traceback, without papermill's
        sys.exit(str(error))
