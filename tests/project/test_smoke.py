"""Every notebook runs at profile smoke, with nothing in the store, to its report; and then says nothing false.

What it would say at other data is asked here since the runs are: the second test loads those of the first.
"""

import json
import os
import subprocess
import sys

import pytest
from sentences import CASES, every_fault
from smoke_runs import ROOT, SMOKE, STUDIES, records, run


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return a folder for the store of each study; that is empty before the first test on it."""
    return tmp_path_factory.mktemp("stores")


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_notebook_runs_at_smoke_and_gets_its_report(study, stores):
    run("smoke", study, stores / study)
    verdicts = {row["verdict"] for row in records("claims.jsonl", study)}
    assert "plumbing_ok" in verdicts
    assert verdicts <= {"plumbing_ok", "not_run"}, "a smoke run is no evidence"
    assert study in (SMOKE / "reports" / "index.html").read_text()
    assert (SMOKE / "reports" / f"{study}.html").stat().st_size <= 1.5e6


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_no_sentence_of_a_notebook_contradicts_its_numbers_whatever_they_are(study, stores, tmp_path):
    own = {"REDLIB_STORE": str(stores / study), "REDLIB_WORKERS": "1", "REDLIB_PROGRESS": "off", "MPLBACKEND": "Agg"}
    foreign = ("REDLIB_HOME", "REDLIB_OUT", "REDLIB_BLOCK", "REDLIB_SCHEDULER")
    environment = {name: value for name, value in os.environ.items() if name not in foreign} | own
    words = [sys.executable, "tests/sentences.py", study, str(tmp_path / "told.json")]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert [*told] == [*CASES] and all("answer" in texts and len(texts) > 8 for texts in told.values())
    assert told["positive"] != told["negative"] != told["zero"], "its sentences do not depend on its records"
    assert {case: wrong for case, texts in told.items() if (wrong := every_fault(texts))} == {}
