"""Provenance: what can be found out is true, what cannot is None, and nothing raises."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from redlib.evidence import provenance


def git(folder, *arguments):
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    environment = os.environ | identity
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    for name in ("code.py", "results/claims.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_a_clean_checkout_gives_its_commit(repository):
    assert provenance.git_state(repository) == (git(repository, "rev-parse", "HEAD"), False)


@pytest.mark.parametrize(
    ("name", "dirty"),
    [("code.py", True), ("new.py", True), ("results/claims.jsonl", False), ("figures/laptop/new.svg", False)],
)
def test_code_makes_a_checkout_dirty_and_generated_results_do_not(repository, name, dirty):
    (repository / name).parent.mkdir(exist_ok=True, parents=True)
    (repository / name).write_text("2\n")
    assert provenance.git_state(repository)[1] is dirty


def test_no_commit_no_repository_and_no_git_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert provenance.git_state(tmp_path / "plain") == (None, None)
    git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(tmp_path) == (None, None)


def test_the_environment_is_plain_json_and_names_no_folder():
    found = provenance.environment()
    text = json.dumps(found, allow_nan=False)
    assert found["versions"]["numpy"] == np.__version__
    assert found["python"].split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert found["cores"] >= 1 and found["workers"] >= 1 and found["ram_gib"] > 0.1 and found["cpu"]
    assert os.path.expanduser("~") not in text and os.getcwd() not in text


def test_the_cpu_model_is_read_from_cpuinfo_with_a_fallback(tmp_path):
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Some CPU @ 3 GHz\n"
    )
    assert provenance.cpu_model(tmp_path / "cpuinfo") == "Some CPU @ 3 GHz"
    assert provenance.cpu_model(tmp_path / "missing")


def test_peak_memory_sees_what_this_process_and_an_ended_child_used():
    before = provenance.peak_memory_mb()
    block = np.ones(int(before * 1e6 / 8) + 20_000_000)  # more than the peak so far, so the peak must rise
    alone = provenance.peak_memory_mb()
    assert alone >= before + 100 and block[-1] == 1
    del block
    subprocess.run([sys.executable, "-c", f"x = bytearray({int(alone + 200)} * 10**6)"], check=True)
    assert provenance.peak_memory_mb() >= alone + 100
