"""Every notebook runs at profile smoke on seeds that begin elsewhere: a file of its own, for a worker of its own."""

import pytest
from smoke_runs import STUDIES, records, run

from redlib.evidence.confirmation import first_seed
from redlib.report.profiles import load_profile


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_notebook_runs_on_seeds_that_begin_elsewhere(study, tmp_path):
    """No experiment is left on the seeds that are judged: `Study.sweep` refuses them."""
    run("confirm", study, tmp_path / "store")
    rows = [row for row in records("confirmation.jsonl", study) if row["verdict"] == "plumbing_ok"]
    seeds = {seed for row in rows for seed in row["seeds"]}
    sizes = load_profile("smoke").notebooks[study]
    first, count = first_seed(study), max(sizes[name] for name in ("seeds", "few", "many") if name in sizes)
    assert seeds == set(range(first, first + count))
