"""The skeleton of a new study: it names every file, overwrites nothing, and what it writes runs and is judged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from redlib.errors import BadInput
from redlib.report import new_study

ROOT = Path(__file__).parents[2]
COPIED = ("claims", "notebooks", "profiles", "redlib", "tests/studies", "pyproject.toml", "references.bib")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A copy of the project without results, taken for the project itself."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path))
    return tmp_path


def test_every_file_is_written_once_and_named_in_every_profile(home):
    written = {path.relative_to(home).as_posix() for path in new_study.create("10_wide_and_fast")}
    folder = {f"redlib/studies/wide_and_fast/{part}.py" for part in ("__init__", "runs", "claims", "figures")}
    tests = {f"tests/studies/wide_and_fast/{part}.py" for part in ("tiny", "test_claims")}
    assert written - {f"profiles/{name}.yaml" for name in ("smoke", "laptop", "mnist", "paper")} == folder | tests | {
        "claims/10_wide_and_fast.yaml", "notebooks/10_wide_and_fast.py",
    }  # fmt: skip
    assert all(
        "  10_wide_and_fast: {}" in (home / "profiles" / f"{name}.yaml").read_text() for name in ("smoke", "mnist")
    )
    texts = [(home / name).read_text() for name in written]
    assert [text for text in texts if "@STUDY@" in text or "@NAME@" in text] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("wide", "NN_words"), ("10_Wide", "NN_words"), ("01_again", "01_double_descent has it"), ("08_x_y", "has it")],
)
def test_other_names_and_numbers_that_are_taken_are_refused(home, name, told):
    with pytest.raises(BadInput, match=told):
        new_study.create(name)


@pytest.mark.slow
def test_what_is_written_runs_at_smoke_and_passes_its_tests(home):
    environment = {**os.environ, "REDLIB_HOME": str(home), "PYTHONPATH": str(home), "REDLIB_STORE": str(home / "store")}
    report = [sys.executable, "-m", "redlib.report"]
    for command in (
        [*report, "new-study", "10_wide_and_fast"],
        [*report, "smoke", "--study", "10_wide_and_fast"],
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/studies/wide_and_fast"],
    ):
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "build/smoke/reports/10_wide_and_fast.html").exists()
