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
from toy_project import PATIENCE, command, project, write_profile

from redlib.errors import BadInput
from redlib.evidence import files
from redlib.evidence.claims import load_claims, load_studies
from redlib.evidence.sweep import SCHEDULER
from redlib.report import compare, notebooks, pages, readme, reproduce, status
from redlib.report.__main__ import main
from redlib.report.profiles import load_profile


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A toy project after one reproduce of two notebooks at a time, the second of which failed."""
    root = project(tmp_path_factory.mktemp("toy"), {"01_good": {"rise": 2.0}, "02_bad": {"rise": 0.0}})
    process = command(root, "reproduce", "--jobs", "2")
    out, err = process.communicate(timeout=PATIENCE)
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
        (
            {"01_good": {"seeds": 0}},
            "seeds of 01_good in laptop.yaml = 0 cannot be used: allowed is a whole number >= 1",
        ),
        ({"01_good": {"runs": {"deep": {"epochs": 0}}}}, "epochs of 01_good in laptop.yaml = 0"),
        ({"01_good": {"runs": [{"epochs": 1.9}]}}, "epochs of 01_good in laptop.yaml = 1.9"),
        ({"01_good": {"runs": {"seeds": []}}}, "seeds of 01_good in laptop.yaml = []"),
        ({"01_good": {"few": True}}, "few of 01_good in laptop.yaml = True"),
    ],
)
def test_bad_profile_is_refused_before_anything_runs(home, capsys, sections, told):
    write_profile(home, sections)
    assert main(["reproduce"]) == 2
    assert told in capsys.readouterr().err
    assert not list(home.glob("build/**/*.tmp.ipynb")) and not (home / "results").exists()


def test_counts_that_can_be_meant_are_no_fault(home):
    given = {
        "seeds": [0, 1],
        "wide_seeds": 1,
        "epochs": None,
        "runs": {"steps": 9, "epochs": 0},
        "rule": {"seeds": "all"},
    }
    write_profile(home, {"01_good": given})
    assert load_profile("laptop").notebooks["01_good"] == {"profile": "laptop", **given}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("profile: laptop\nnotebooks:\n  01_good: {}\n  01_good: {rise: 2}\n", "laptop.yaml, line 4 = '01_good'"),
        ("profile: laptop\nnotebooks: {01_good: {rise: 1\n", "laptop.yaml is not valid YAML: line 3: "),
        ("profile: laptop\nnotebooks: [01_good]\n", "notebooks of laptop.yaml = "),
        ("profile: laptop\nnotebooks: {01_good: 5}\n", "01_good in laptop.yaml = 5"),
    ],
)
def test_broken_profile_is_one_clear_sentence(home, capsys, text, told):
    (home / "profiles" / "laptop.yaml").write_text(text)
    assert main(["reproduce"]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


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
    monkeypatch.setattr(reproduce, "execute", lambda profile, name, environment, *_: seen.append(environment))
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


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        (row("replicated", 2.0, [1, 3]), "same bits"),
        (row("replicated", 2.5, [2, 3]), "moved inside the interval"),
        (row("replicated", 3.5, [3, 4]), "moved outside the interval"),
        (row("null", 2.0, [1, 3]), "verdict changed"),
    ],
)
def test_every_claim_is_sorted_by_how_it_agrees_and_what_to_think_depends_on_the_instructions(now, kind):
    before = [row("replicated", 2.0, [1, 3])]
    assert {name for name, ids in compare.agreement(before, [now]).items() if ids} == {kind}
    lines = [compare.told(before, [now], fixed) for fixed in (True, False)]
    assert all(line[0].startswith(f"{kind}: 1 of 1 claims") for line in lines)
    assert ("instructions" in lines[1][0]) == (kind != "same bits") and "instructions" not in lines[0][0]


def test_what_is_about_time_may_move_and_its_verdict_may_not():
    before, moved, other = (
        row(*r) for r in (("replicated", 2.0, [1, 3]), ("replicated", 9.0, [8, 10]), ("null", 2, [1, 3]))
    )
    assert compare.differences([before], [moved], timed=["DD-1"]) == []
    assert compare.told([before], [moved], True, ["DD-1"])[0].startswith("moved with the machine's clock: 1 of 1")
    assert compare.told([before], [before], True, ["DD-1"])[0].startswith("same bits")
    assert compare.differences([before], [other], timed=["DD-1"]) == [
        "DD-1: verdict null, committed replicated (so it is)"
    ]


def commit_records(home, record):
    """Write one record as the results of profile laptop and commit them."""
    path = home / "results" / "laptop" / "claims.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record) + "\n")
    git = ["git", "-C", str(home), "-c", "user.name=Toy", "-c", "user.email=toy@example.org"]
    for arguments in (["init", "-q"], ["add", "results"], ["commit", "-qm", "results"]):
        subprocess.run([*git, *arguments], check=True)
    return path


def test_compare_is_against_the_commit_and_sets_the_exit_code(home, capsys):
    assert main(["compare"]) == 2, "nothing is committed yet"
    path = commit_records(home, row("replicated", 2.0, [1, 3]))
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
        files.write_atomic(home / "build" / name, b"x")
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


def wait_until(true, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def start():
    """Start commands as `command` does; whatever still runs when the test ends is killed."""
    started = []

    def start(root, *arguments, **variables):
        started.append(command(root, *arguments, **variables))
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
    assert [process.communicate(timeout=PATIENCE) and process.returncode for process in (again, other)] == [0, 0]
    same = "results/laptop/claims.jsonl"
    assert (root / same).read_bytes() == (whole / same).read_bytes()
    sweep = json.loads((root / "results/laptop/runs.json").read_text())["01_good"]["sweeps"][0]
    assert sweep["loaded"] >= 2 and sweep["loaded"] + sweep["computed"] == 12


def test_misspelt_study_is_refused_by_every_command_with_the_nearest_name(home, capsys):
    for name in ("reproduce", "smoke", "study", "confirm", "report", "status", "compare"):
        if name == "smoke":
            (home / "profiles" / "smoke.yaml").write_text("profile: smoke\nnotebooks: {01_good: {}}\n")
        assert main([name, "--study", "01_godo"]) == 2, name
        assert "Did you mean 01_good?" in capsys.readouterr().err, name


def test_compare_of_what_has_no_result_anywhere_is_refused(home, capsys):
    commit_records(home, row("replicated", 2.0, [1, 3]))
    assert main(["compare", "--study", "01_good"]) == 0
    assert main(["compare", "--study", "02_bad"]) == 2
    assert "make study STUDY=02_bad PROFILE=laptop" in capsys.readouterr().err


@pytest.mark.parametrize("line", ['{"id": "DD-1", "verd', "<<<<<<< HEAD", '{"id": "DD-1", "study": "01_good"}'])
def test_damaged_records_are_one_clear_sentence(home, capsys, line):
    commit_records(home, row("replicated", 2.0, [1, 3]))
    path = home / "results" / "laptop" / "claims.jsonl"
    path.write_text(path.read_text() + line)
    for name in ("compare", "readme"):
        assert main([name]) == 2
        error = capsys.readouterr().err
        assert "laptop/claims.jsonl is" in error and "line 2" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["runs.json", "cards.json", "inputs.json"])
def test_other_damaged_results_are_one_clear_sentence_too(home, capsys, name):
    path = home / "results" / "laptop" / name
    path.parent.mkdir(parents=True)
    path.write_text("{")
    executed = notebooks.executed_path("laptop", "01_good")
    executed.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Toy")]), executed)
    if name != "runs.json":
        (path.parent / "runs.json").write_text('{"01_good": {"answer": "It is."}}')
    assert main(["status" if name == "inputs.json" else "report"]) == 2
    error = capsys.readouterr().err
    assert f"{name} is not valid JSON: line 1" in error and error.count("\n") == 1


def test_cards_lead_to_no_file_outside(home):
    """A card's names become paths: what is no name of ours is left out, and no foreign drawing gets into the page."""
    where = {name: home / name / "laptop" for name in ("results", "figures", "reports")}
    for folder in where.values():
        folder.mkdir(parents=True)
    (home / "figures" / "secret.svg").write_text("<svg viewBox='0 0 9 9'><text>secret</text></svg>")
    for page in ("01_good", "../evil"):
        (where["reports"] / f"{page}.html").write_text("a page")
    figure = {"name": "../secret", "caption": "c", "alt": "a", "claims": []}
    card = {"title": "t", "question": "q", "minutes": 1, "figure": figure}
    cards = {study: {"study": study, **card} for study in ("01_good", "../evil")}
    (where["results"] / "cards.json").write_text(json.dumps(cards))
    found = pages._read_cards("laptop")
    assert [*found] == ["01_good"] and found["01_good"].figure is None


def test_second_run_of_a_study_is_refused_with_the_process_of_the_first(home, capsys):
    with notebooks.alone_with("laptop", ["01_good"]):
        assert main(["reproduce"]) == 2
        error = capsys.readouterr().err
        assert "study = '01_good' cannot be used" in error and f"process {os.getpid()} works on it" in error
        with notebooks.alone_with("laptop", ["02_bad"]), notebooks.alone_with("smoke", ["01_good"]):
            pass  # other studies, and the same one at another profile, get in nobody's way
    assert not list(home.glob("build/**/*.ipynb")) and not (home / "results").exists()


@pytest.mark.slow
def test_two_runs_at_once_end_with_one_whole_notebook_and_a_word(tmp_path, start):
    root = project(tmp_path / "toy", {"01_good": {"pause_s": 4.0, "runs": 6}})
    first = start(root, "reproduce")
    wait_until(lambda: list(root.glob("build/executed/laptop/*.tmp.ipynb")))
    second = start(root, "reproduce")
    out, err = second.communicate(timeout=PATIENCE)
    assert second.returncode == 2 and f"process {first.pid} works on it" in err and "Traceback" not in err
    first.communicate(timeout=PATIENCE)
    assert first.returncode == 0
    cells = nbformat.read(root / "build/executed/laptop/01_good.ipynb", as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    again = start(root, "reproduce")
    again.communicate(timeout=PATIENCE)
    assert again.returncode == 0


@pytest.mark.slow
def test_any_letter_in_the_path_and_in_the_notebook_under_a_strict_ascii_locale(tmp_path, start):
    """Braces, blanks and an accent in the path; the command cannot print what it must, and spells it out."""
    root = project(tmp_path / "my clone é {x} {}", {"01_good": {}, "02_bad": {"rise": 0.0}})
    source = root / "notebooks" / "01_good.py"
    source.write_text(source.read_text(encoding="utf-8").replace("about to check", "σ ≤ é ★"), encoding="utf-8")
    ascii = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"}
    process = start(root, "reproduce", **ascii)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "UnicodeEncodeError" not in out + err
    assert not [line for line in err.splitlines() if line.startswith("Traceback")]
    assert "02_bad failed: In [5]: ZeroDivisionError" in out, "the fault of the notebook is told, no other"
    assert r"01_good | \u03c3 \u2264 \xe9 \u2605" in err
    assert "σ ≤ é ★" in (root / "reports/laptop/01_good.html").read_text(encoding="utf-8")


def test_first_fault_is_told_where_the_summary_fails_too(home, monkeypatch):
    def fail(words):
        def raised(*_):
            raise BadInput(words)

        return raised

    done = notebooks.Execution("01_good", home, home, 0.0)
    monkeypatch.setattr(reproduce, "run_all", lambda *_: [done])
    monkeypatch.setattr(reproduce, "republish", fail("no page"))
    monkeypatch.setattr(reproduce, "summary", fail("no summary"))
    with pytest.raises(BadInput, match="no page"):
        reproduce.reproduce("laptop")


def test_clean_removes_only_what_it_marked_and_nothing_elsewhere(home, tmp_path, capsys):
    build, elsewhere = home / "build", tmp_path / "elsewhere"
    (build / "theirs").mkdir(parents=True)  # a project that is not ours has a build/ of its own
    (build / "theirs" / "a.o").write_text("x")
    (build / "main.o").write_text("x")
    elsewhere.mkdir()
    (elsewhere / files.MARKER).write_text("x")
    (build / "linked").symlink_to(elsewhere)
    for name in ("store/ab/x.run", "logs/a.log", "executed/laptop/01_good.ipynb"):
        files.write_atomic(build / name, b"x")
    assert main(["clean", "--all"]) == 0
    out = capsys.readouterr().out
    assert {path.name for path in build.iterdir()} == {"theirs", "main.o", "linked"}
    assert (elsewhere / files.MARKER).exists() and (build / "theirs" / "a.o").exists()
    assert f"removed {build / 'logs'}" in out and f"left {build / 'theirs'}: " in out


def test_clean_does_not_follow_a_build_that_is_a_link(home, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "logs").mkdir(parents=True)
    (elsewhere / "logs" / files.MARKER).write_text("x")
    (home / "build").symlink_to(elsewhere)
    assert main(["clean"]) == 0
    assert (elsewhere / "logs" / files.MARKER).exists() and "left " in capsys.readouterr().out


def test_clean_waits_for_no_run_but_says_who_is_at_work(home, capsys):
    with notebooks.alone_with("laptop", ["01_good"]):
        assert main(["clean"]) == 2
        assert f"process {os.getpid()} works on it" in capsys.readouterr().err
    assert (home / "build/executed").exists()
    assert main(["clean"]) == 0 and not (home / "build/executed").exists()


def test_address_of_a_scheduler_reaches_every_notebook_and_is_tried_first(home, capsys, monkeypatch):
    monkeypatch.delenv(SCHEDULER, raising=False)
    assert notebooks.kernel_environment("laptop", 1, scheduler="tcp://a:1")[SCHEDULER] == "tcp://a:1"
    assert SCHEDULER not in notebooks.kernel_environment("laptop", 1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    for name in ("reproduce", "study", "confirm"):
        assert main([name, "--study", "01_good", "--scheduler", "tcp://a:1"]) == 2
        assert "the extra `dask`" in capsys.readouterr().err
    assert not list(home.glob("build/**/*.ipynb"))


@pytest.mark.slow
def test_study_runs_through_a_dask_scheduler_to_the_same_results(tmp_path, start):
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    here, there = (project(tmp_path / name, {"01_good": {}}) for name in ("here", "there"))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        through = start(there, "reproduce", "--scheduler", cluster.scheduler_address)
        assert through.communicate(timeout=PATIENCE) and through.returncode == 0
        with distributed.Client(cluster) as client:
            ran = client.run(lambda: "toy_runs" in sys.modules).values()
    alone = start(here, "reproduce")
    assert alone.communicate(timeout=PATIENCE) and alone.returncode == 0
    assert any(ran), "no worker has seen a run"
    for name in ("results/laptop/claims.jsonl", "results/laptop/cards.json"):
        assert (here / name).read_bytes() == (there / name).read_bytes()
