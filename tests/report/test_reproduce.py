"""The command behind make, on toy projects: success, failure, bad input, a killed run, a full disk."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims, load_studies
from redlib.report import compare, notebooks, pages, readme, reproduce, status
from redlib.report.__main__ import main
from redlib.report.profiles import load_profile

TESTS = Path(__file__).parents[1]

CLAIMS = """
study: STUDY
title: A toy
question: Does the toy rise?
claims:
- {id: CLAIM, primary: true, statement: A toy rises., source: S1, prior: R,
   check: {kind: greater, statistic: rise, than: 0, unit: pp}}
"""
NOTEBOOK = """
# %% [markdown]
# # A toy
#
# **Question.** Does the toy rise?

# %% tags=["parameters"]
profile = "smoke"
rise = 1.0  # mean rise, pp
size = 8
pause_s = 0.0
runs = 5

# %%
from toy_runs import Toy

from redlib.evidence.claims import Finding
from redlib.evidence.study import Study

study = Study("STUDY", profile=profile)

# %%
configs = [Toy(seed, size=size, pause_s=pause_s) for seed in range(runs)]
values = [run["values"][0] + rise for run in study.sweep(configs).results]

# %%
print("about to check")
study.check(Finding("CLAIM", values if rise else 1 / rise), seeds=range(runs))
study.conclude("It rises.")
"""


def project(root, laptop):
    """Write a project with two toy notebooks and the parameters of profile laptop; return its root."""
    for folder in ("notebooks", "profiles", "claims"):
        (root / folder).mkdir(parents=True)
    for study, claim in (("01_good", "DD-1"), ("02_bad", "DD-2")):
        for text, path in ((NOTEBOOK, f"notebooks/{study}.py"), (CLAIMS, f"claims/{study}.yaml")):
            (root / path).write_text(text.replace("STUDY", study).replace("CLAIM", claim).lstrip())
    for name in ("smoke", "mnist", "paper"):
        (root / "profiles" / f"{name}.yaml").write_text(f"profile: {name}\nnotebooks: {{}}\n")
    write_profile(root, laptop)
    markers = "\n".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->" for name in ("claims", "speed"))
    (root / "README.md").write_text(f"# Toy\n\n{markers}\n")
    return root


def write_profile(root, sections):
    (root / "profiles" / "laptop.yaml").write_text(json.dumps({"profile": "laptop", "notebooks": sections}))


def command(root, *arguments):
    """Start python -m redlib.report as make does, in the project at `root`."""
    environment = {**os.environ, "REDLIB_HOME": str(root), "PYTHONPATH": str(TESTS), "REDLIB_WORKERS": "2"}
    for name in ("REDLIB_STORE", "REDLIB_OUT", "REDLIB_KEEP_STALE"):
        environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-m", "redlib.report", *arguments],
        cwd=TESTS.parent, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A toy project after one reproduce of two notebooks at a time, the second of which failed."""
    root = project(tmp_path_factory.mktemp("toy"), {"01_good": {"rise": 2.0}, "02_bad": {"rise": 0.0}})
    process = command(root, "reproduce", "--jobs", "2")
    out, err = process.communicate(timeout=120)
    return root, process.returncode, out, err


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A toy project that this process takes for its own; nothing has run in it."""
    root = project(tmp_path / "toy", {"01_good": {}})
    monkeypatch.setenv("REDLIB_HOME", str(root))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    return root


def test_failed_notebook_sets_the_exit_code_and_the_others_still_run(ran):
    root, code, out, err = ran
    assert code == 1
    rows = [json.loads(line) for line in (root / "results/laptop/claims.jsonl").read_text().splitlines()]
    assert [(row["id"], row["verdict"]) for row in rows] == [("DD-1", "replicated")]


def test_failed_notebook_is_kept_as_failed_and_leaves_no_output(ran):
    root, code, out, err = ran
    names = {path.name for path in (root / "build/executed/laptop").glob("*.ipynb")} - {
        "01_good.input.ipynb",
        "02_bad.input.ipynb",
    }
    assert names == {"01_good.ipynb", "02_bad.failed.ipynb"}
    assert not (root / "reports/laptop/02_bad.html").exists()
    assert "02_bad" not in json.loads((root / "results/laptop/inputs.json").read_text())


def test_summary_names_verdicts_store_counts_report_and_the_error(ran):
    root, code, out, err = ran
    assert re.search(r"^notebook +verdicts +wall +loaded +computed +stale +corrupt +report$", out, re.MULTILINE)
    # The other notebook runs the same configurations at the same time: which of the two stores one is a race.
    good = r"^01_good +1 replicated +\d:\d\d +(\d) +(\d) +0 +0 +reports/laptop/01_good.html \(\d+ KB\)$"
    loaded, computed = map(int, re.search(good, out, re.MULTILINE).groups())
    assert loaded + computed == 5
    assert re.search(r"^02_bad +FAILED +\d:\d\d +build/executed/laptop/02_bad.failed.ipynb", out, re.MULTILINE)
    assert "02_bad failed: In [5]: ZeroDivisionError" in out
    assert "02_bad | about to check" in err


def test_success_leaves_page_index_and_readme(ran):
    root, code, out, err = ran
    assert "Does the toy rise?" in (root / "reports/laptop/01_good.html").read_text()
    assert "01_good.html" in (root / "reports/laptop/index.html").read_text()
    row = "| [A toy](reports/laptop/01_good.html) ([notebook](notebooks/01_good.ipynb)) | 1 replicated | – | – |"
    assert row in (root / "README.md").read_text()
    assert nbformat.read(root / "notebooks/01_good.ipynb", as_version=4).cells[1].metadata.tags == ["parameters"]


def test_status_of_what_has_just_run_is_up_to_date_and_of_the_failed_never_run(ran, monkeypatch):
    monkeypatch.setenv("REDLIB_HOME", str(ran[0]))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    assert status.rows() == [("01_good", "laptop", "up to date"), ("02_bad", "laptop", "never run")]


def test_index_keeps_the_cards_of_studies_not_run_here(ran, monkeypatch):
    root = ran[0]
    monkeypatch.setenv("REDLIB_HOME", str(root))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    cell = nbformat.v4.new_markdown_cell("# Another\n\n**Question.** Is there another?")
    executed = notebooks.executed_path("laptop", "02_bad")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), executed)
    runs = root / "results/laptop/runs.json"
    runs.write_text(json.dumps({**json.loads(runs.read_text()), "02_bad": {"answer": "Yes."}}))
    pages.publish("laptop", ["02_bad"])
    executed.unlink()
    (root / "reports/laptop/index.html").unlink()
    pages.publish("laptop", ["01_good"])
    index = (root / "reports/laptop/index.html").read_text()
    assert "Does the toy rise?" in index and "Is there another?" in index


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"01_good": {"raise": 1}}, "Did you mean rise?"),
        ({"01_god": {}}, "Did you mean 01_good?"),
        ({"01_good": {"rise": "1e-3"}}, "write 1.0e-3"),
        ({"01_good": {"size": [{"deep": ["2E5"]}]}}, "write 1.0e-3"),
        ({"01_good": {"profile": "paper"}}, "passed by itself"),
    ],
)
def test_bad_profile_is_refused_before_anything_runs(home, capsys, sections, told):
    write_profile(home, sections)
    assert main(["reproduce"]) == 2
    assert told in capsys.readouterr().err
    assert not list(home.glob("build/**/*.tmp.ipynb")) and not (home / "results").exists()


def test_unknown_field_of_a_profile_is_refused_with_the_nearest_known_one(home):
    (home / "profiles" / "laptop.yaml").write_text("profile: laptop\nnotebook: {}\n")
    with pytest.raises(BadInput, match="Did you mean notebooks"):
        load_profile("laptop")


def test_unknown_study_is_refused_with_the_nearest_known_one(home):
    with pytest.raises(BadInput, match="Did you mean 01_good"):
        load_profile("laptop").chosen("01_goood")


def test_notebook_without_a_parameters_cell_is_refused(home):
    path = home / "notebooks" / "01_good.py"
    path.write_text(path.read_text().replace(' tags=["parameters"]', ""))
    with pytest.raises(BadInput, match="tagged `parameters`"):
        notebooks.prepare("laptop", "01_good", {"profile": "laptop"})


def test_jobs_share_the_cores(home, monkeypatch):
    monkeypatch.setenv("REDLIB_WORKERS", "6")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    seen = []
    monkeypatch.setattr(reproduce, "execute", lambda profile, name, environment, echo: seen.append(environment))
    chosen = {"01_good": {"profile": "laptop"}, "02_bad": {"profile": "laptop"}}
    reproduce.run_all("laptop", chosen, jobs=3, keep_stale=True)
    assert [e["REDLIB_WORKERS"] for e in seen] == [e["OMP_NUM_THREADS"] for e in seen] == ["3", "3"]
    assert {e["REDLIB_KEEP_STALE"] for e in seen} == {"1"}
    assert not any("MPLBACKEND" in e for e in seen), "a forced backend makes inline figures vanish"
    with pytest.raises(BadInput, match="1 to 6"):
        reproduce.run_all("laptop", chosen, jobs=7, keep_stale=False)


def test_only_evidence_profiles_write_where_it_is_committed(home):
    assert notebooks.kernel_environment("laptop", 1)["REDLIB_OUT"] == "commit"
    assert notebooks.kernel_environment("smoke", 1)["REDLIB_OUT"] == ""


def test_pairing_is_stable_and_keeps_what_it_replaces(home):
    path = home / "notebooks" / "01_good.ipynb"
    assert notebooks.pair("01_good")
    first = path.read_bytes()
    assert not notebooks.pair("01_good") and path.read_bytes() == first
    path.write_text("played with")
    assert notebooks.pair("01_good") and path.read_bytes() == first
    assert (home / "build/replaced/01_good.ipynb").read_text() == "played with"


def test_status_names_what_changed(home):
    then = status.inputs("01_good", {"rise": 1.0})
    assert status.reasons(then, status.inputs("01_good", {"rise": 1.0})) == []
    assert status.reasons(then, status.inputs("01_good", {"rise": 2.0})) == ["parameter rise"]
    assert "redlib.evidence.stats" in then["code"] and not any(name.startswith("toy") for name in then["code"])
    older = {**then, "code": {**then["code"], "redlib.evidence.stats": "0"}}
    assert status.reasons(older, then) == ["code of redlib.evidence.stats"]
    stated = home / "claims" / "01_good.yaml"
    stated.write_text(stated.read_text().replace("than: 0", "than: 1"))
    source = home / "notebooks" / "01_good.py"
    source.write_text(source.read_text() + "\n# %% [markdown]\n# More.\n")
    assert status.reasons(then, status.inputs("01_good", {"rise": 1.0})) == ["notebook", "claims"]


def row(verdict, estimate, interval, part="rise"):
    parts = [{"name": part, "unit": "pp", "estimate": estimate, "ci95": interval}]
    return {"id": "DD-1", "study": "01_good", "verdict": verdict, "reason": "so it is", "parts": parts}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (row("replicated", 2.5, [2, 3]), []),
        (row("replicated", 3.5, [3, 4]), ["DD-1 rise: 3.5 pp, committed 2 [1, 3]"]),
        (row("null", 2.5, [2, 3]), ["DD-1: verdict null, committed replicated (so it is)"]),
        (row("replicated", None, None), ["DD-1 rise: none pp, committed 2 [1, 3]"]),
        (row("replicated", 2.0, [1, 3], part="other"), ["DD-1 rise: none pp, committed 2 [1, 3]"]),
    ],
)
def test_compare_lists_changed_verdicts_and_estimates_outside_the_interval(now, told):
    assert compare.differences([row("replicated", 2.0, [1, 3])], [now]) == told


def test_compare_lists_claims_that_came_or_went_and_respects_open_intervals():
    assert compare.differences([row("null", 1, [0, 2])], []) == ["DD-1: not in this run"]
    assert compare.differences([], [row("null", 1, [0, 2])]) == ["DD-1: new, null"]
    assert compare.differences([row("null", 1, [None, 2])], [row("null", -9, [-10, -8])]) == []


def test_compare_is_against_the_commit_and_sets_the_exit_code(home, capsys):
    path = home / "results" / "laptop" / "claims.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(row("replicated", 2.0, [1, 3])) + "\n")
    assert main(["compare"]) == 2, "nothing is committed yet"
    git = ["git", "-C", str(home), "-c", "user.name=Toy", "-c", "user.email=toy@example.org"]
    for arguments in (["init", "-q"], ["add", "results"], ["commit", "-qm", "results"]):
        subprocess.run([*git, *arguments], check=True)
    assert main(["compare"]) == 0
    path.write_text(json.dumps(row("replicated", 9.0, [8, 10])) + "\n")
    assert main(["compare"]) == 1
    assert "DD-1 rise: 9 pp" in capsys.readouterr().out


def test_notebook_that_never_concludes_gets_no_page(home, capsys):
    executed = notebooks.executed_path("laptop", "01_good")
    executed.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[]), executed)
    assert main(["report"]) == 2
    assert "study.conclude" in capsys.readouterr().err


def test_report_without_a_run_says_which_command_makes_one(home, capsys):
    assert main(["report"]) == 2
    assert "make study STUDY=01_good PROFILE=laptop" in capsys.readouterr().err


def test_full_disk_leaves_the_old_page_and_no_part_of_the_new(home, capsys, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Toy\n\n**Question.** Why?")])
    executed = notebooks.executed_path("laptop", "01_good")
    executed.parent.mkdir(parents=True)
    nbformat.write(notebook, executed)
    (home / "results/laptop").mkdir(parents=True)
    (home / "results/laptop/runs.json").write_text(json.dumps({"01_good": {"answer": "It is."}}))
    assert main(["report"]) == 0
    before = {path.name: path.read_bytes() for path in (home / "reports/laptop").iterdir()}

    def no_room(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    notebook.cells[0].source += "\n\nMore."
    nbformat.write(notebook, executed)
    monkeypatch.setattr(os, "fsync", no_room)
    assert main(["report"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (home / "reports/laptop").iterdir()} == before


def test_clean_keeps_the_store_unless_told(home):
    for name in ("store/ab/x.run", "logs/a.log"):
        (home / "build" / name).parent.mkdir(parents=True)
        (home / "build" / name).write_text("x")
    assert main(["clean"]) == 0
    assert (home / "build/store/ab/x.run").exists() and not (home / "build/logs").exists()
    assert main(["clean", "--all"]) == 0
    assert list((home / "build").iterdir()) == []


def test_readme_tables_come_from_results_and_leave_the_rest_alone(home):
    records = {"laptop": [row("not_run", None, None)], "mnist": []}
    text = readme.replaced("a\n<!-- claims:begin -->\nold\n<!-- claims:end -->\nb", "claims", "new")
    assert text == "a\n<!-- claims:begin -->\nnew\n<!-- claims:end -->\nb"
    section = readme.claims_section(load_claims(), load_studies(), records)
    links = "[A toy](reports/laptop/01_good.html) ([notebook](notebooks/01_good.ipynb))"
    assert f"| {links} | 1 not run | – |" in section
    assert "| study | [laptop](reports/laptop/index.html) | mnist |" in section, "only what exists is linked"
    with pytest.raises(BadInput, match="speed:begin"):
        readme.replaced("no markers", "speed", "x")


def test_speed_table_states_the_conditions_it_was_measured_under():
    about = {
        "unit": "ms",
        "runs": 9,
        "hardware": "2 cores",
        "versions": {"torch": "2.13.0"},
        "commit": "0123456789ab",
    }
    row = {"name": "LeNet", "ours": 1.04, "baseline": 3.2, "ratio": 3.08, **about}
    section = readme.speed_section([row, row | {"name": "in results.json alone", "detail": True}])
    assert "results.json" not in section
    assert "| LeNet | 1.04 ms | 3.2 ms | 3.1× |" in section
    assert "Medians of 9 runs on 2 cores; torch 2.13.0; commit 0123456789." in section


def processes_about(root):
    """Return the ids of the processes that work for the project at `root`: kernels and workers, too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [int(path.parent.name)] if f"REDLIB_HOME={root}\0".encode() in path.read_bytes() else []
        except OSError:
            continue  # it ended meanwhile
    return found


def wait_until(true, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def start():
    """Start commands as `command` does; whatever still runs when the test ends is killed."""
    started = []

    def start(root, *arguments):
        started.append(command(root, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_killed_run_leaves_nothing_behind_and_the_next_goes_on_to_the_same_results(tmp_path, start):
    settings = {"pause_s": 0.5, "runs": 12}
    root, whole = (project(tmp_path / name, {"01_good": settings}) for name in ("killed", "whole"))
    stored = lambda: len(list((root / "build/store").glob("??/*.run")))  # noqa: E731

    killed, other = start(root, "reproduce"), start(whole, "reproduce")
    wait_until(lambda: stored() >= 2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    wait_until(lambda: not processes_about(root), 20)
    assert stored() < 12, "it was killed in the middle"
    assert not (root / "results").exists() and not (root / "reports").exists()

    again = start(root, "reproduce")
    assert [process.communicate(timeout=120) and process.returncode for process in (again, other)] == [0, 0]
    same = "results/laptop/claims.jsonl"
    assert (root / same).read_bytes() == (whole / same).read_bytes()
    sweep = json.loads((root / "results/laptop/runs.json").read_text())["01_good"]["sweeps"][0]
    assert sweep["loaded"] >= 2 and sweep["loaded"] + sweep["computed"] == 12
