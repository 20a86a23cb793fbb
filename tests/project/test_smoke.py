"""Every notebook runs from its first cell to its report at profile smoke, with nothing in the store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from redlib.report.profiles import studies

ROOT = Path(__file__).parents[2]
STUDIES = studies() or [pytest.param("", marks=pytest.mark.skip(reason="no notebooks exist yet"))]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_notebook_runs_at_smoke_and_gets_its_report(study, tmp_path):
    environment = {**os.environ, "REDLIB_STORE": str(tmp_path / "store")}
    environment.pop("REDLIB_HOME", None)
    command = [sys.executable, "-m", "redlib.report", "smoke", "--study", study]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    smoke = ROOT / "build" / "smoke"
    rows = [json.loads(line) for line in (smoke / "results" / "claims.jsonl").read_text().splitlines()]
    verdicts = {row["verdict"] for row in rows if row["study"] == study}
    assert "plumbing_ok" in verdicts
    assert verdicts <= {"plumbing_ok", "not_run"}, "a smoke run is no evidence"
    assert study in (smoke / "reports" / "index.html").read_text()
    assert (smoke / "reports" / f"{study}.html").stat().st_size <= 1.5e6
