"""Every notebook runs at profile smoke, with nothing in the store, to its report."""

import pytest
from smoke_runs import SMOKE, STUDIES, records, run


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_notebook_runs_at_smoke_and_gets_its_report(study, tmp_path):
    run("smoke", study, tmp_path / "store")
    verdicts = {row["verdict"] for row in records("claims.jsonl", study)}
    assert "plumbing_ok" in verdicts
    assert verdicts <= {"plumbing_ok", "not_run"}, "a smoke run is no evidence"
    assert study in (SMOKE / "reports" / "index.html").read_text()
    assert (SMOKE / "reports" / f"{study}.html").stat().st_size <= 1.5e6
