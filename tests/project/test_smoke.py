"""Every notebook runs at profile smoke, with nothing in the store: to its report, and on seeds that begin elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from redlib.evidence.confirmation import first_seed
from redlib.report.profiles import load_profile, studies

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "build" / "smoke"
STUDIES = studies() or [pytest.param("", marks=pytest.mark.skip(reason="no notebooks exist yet"))]


def run(command, study, store):
    environment = {**os.environ, "REDLIB_STORE": str(store)}
    environment.pop("REDLIB_HOME", None)
    words = [sys.executable, "-m", "redlib.report", command, "--study", study]
    words += ["--profile", "smoke"] if command == "confirm" else []
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def records(name, study):
    rows = [json.loads(line) for line in (SMOKE / "results" / name).read_text().splitlines()]
    return [row for row in rows if row["study"] == study]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_notebook_runs_at_smoke_and_gets_its_report(study, tmp_path):
    run("smoke", study, tmp_path / "store")
    verdicts = {row["verdict"] for row in records("claims.jsonl", study)}
    assert "plumbing_ok" in verdicts
    assert verdicts <= {"plumbing_ok", "not_run"}, "a smoke run is no evidence"
    assert study in (SMOKE / "reports" / "index.html").read_text()
    assert (SMOKE / "reports" / f"{study}.html").stat().st_size <= 1.5e6


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_notebook_runs_on_seeds_that_begin_elsewhere(study, tmp_path):
    """No experiment is left on the seeds that are judged: `Study.sweep` refuses them."""
    run("confirm", study, tmp_path / "store")
    rows = [row for row in records("confirmation.jsonl", study) if row["verdict"] == "plumbing_ok"]
    seeds = {seed for row in rows for seed in row["seeds"]}
    first, count = (
        first_seed(study),
        max(value for name, value in load_profile("smoke").notebooks[study].items() if name in ("seeds", "few")),
    )
    assert seeds == set(range(first, first + count))
