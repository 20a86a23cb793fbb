"""Files: who may write where, and what may be removed."""

import subprocess
import sys

import pytest

from redlib.errors import BadInput
from redlib.evidence import files

HOLDER = """
import sys, time
from pathlib import Path
from redlib.evidence.files import held
with held(Path(sys.argv[1]), "study", "01_x"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path))
    return tmp_path


def test_a_lock_is_refused_with_the_process_that_holds_it_and_free_when_that_is_killed(home):
    path = home / "build" / "x" / "01_x.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BadInput, match=rf"study = '01_x'.*process {holder.pid} works on it"), _held(path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with _held(path), pytest.raises(BadInput, match="works on it"), _held(path):
        pass
    with _held(path):
        pass


def _held(path):
    return files.held(path, "study", "01_x")


def test_folders_of_build_are_marked_by_whoever_makes_them_first_and_no_others(home):
    (home / "build" / "theirs").mkdir(parents=True)
    for path in ("build/theirs/a", "build/ours/deep/a", "results/laptop/a", "build/b"):
        files.write_atomic(home / path, b"x")
    with files.locked(home / "build" / "locks" / "a.lock"):
        pass
    files.build_folder("made")
    marked = {path.parent.relative_to(home).as_posix() for path in home.glob(f"**/{files.MARKER}")}
    assert marked == {"build/ours", "build/locks", "build/made"}
