"""Commands on every notebook at profile smoke, with nothing in the store, and what they record."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from redlib.report.profiles import studies

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "build" / "smoke"
STUDIES = studies() or [pytest.param("", marks=pytest.mark.skip(reason="no notebooks exist yet"))]


def run(command: str, study: str, store: Path) -> None:
    """Run `python -m redlib.report <command>` on a study at profile smoke; its runs go to `store`.

    One worker, for each of several imports all that a run needs, which takes as long as many a run of this profile.
    """
    environment = {**os.environ, "REDLIB_STORE": str(store), "REDLIB_WORKERS": "1"}
    environment.pop("REDLIB_HOME", None)
    words = [sys.executable, "-m", "redlib.report", command, "--study", study]
    words += ["--profile", "smoke"] if command == "confirm" else []
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def records(name: str, study: str) -> list[dict[str, Any]]:
    """Return the lines of a file of records that are of this study."""
    rows = [json.loads(line) for line in (SMOKE / "results" / name).read_text().splitlines()]
    return [row for row in rows if row["study"] == study]
