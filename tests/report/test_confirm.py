"""make confirm, on toy projects: what it writes and leaves alone, what it refuses, and what is said of it later."""

import json
import os
import re
import subprocess
import time

import nbformat
import pytest
from toy_project import CLAIMS, PATIENCE, command, project, write_profile

from redlib.errors import BadInput
from redlib.evidence import confirmation
from redlib.evidence.claims import load_claims, load_studies
from redlib.evidence.confirmation import CONFIRMATION
from redlib.evidence.sweep import SCHEDULER
from redlib.report import history, notebooks, pages, readme, reproduce, status
from redlib.report.__main__ import main
from redlib.report.records import read_history, read_records

WRITTEN = {"results/laptop/confirmation.jsonl", "results/laptop/inputs.json", "results/laptop/history.jsonl"}


def run(root, *arguments, **variables):
    """Run a command to its end; return (exit code, what it printed)."""
    process = command(root, *arguments, **variables)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out + err


def published(root):
    """Return {name: bytes} of all that is published: results, figures, reports, notebooks, README."""
    folders = ("results", "figures", "reports", "notebooks")
    paths = [path for name in folders for path in (root / name).rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in [*paths, root / "README.md"]}


def rows(root, name="confirmation"):
    return [json.loads(line) for line in (root / f"results/laptop/{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A toy project, judged and then confirmed twice: (root, what was published before and after, what was printed)."""
    root = project(tmp_path_factory.mktemp("toy"), {"01_good": {"rise": 2.0}})
    assert run(root, "reproduce")[0] == 0
    before = published(root)
    first, second = run(root, "confirm"), run(root, "confirm")
    assert (first[0], second[0]) == (0, 0), first[1] + second[1]
    return root, before, published(root), first[1], second[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A toy project that this process takes for its own; nothing has run in it."""
    root = project(tmp_path / "toy", {"01_good": {}})
    monkeypatch.setenv("REDLIB_HOME", str(root))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    monkeypatch.delenv("REDLIB_BLOCK", raising=False)
    return root


@pytest.fixture
def inside(ran, monkeypatch):
    """The confirmed project, taken for this process' own."""
    monkeypatch.setenv("REDLIB_HOME", str(ran[0]))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    return ran[0]


def test_a_confirmation_takes_as_many_fresh_seeds_and_changes_no_page_figure_table_or_record(ran):
    root, before, after, *_ = ran
    assert {name for name in after if after[name] != before.get(name)} == WRITTEN
    assert {*before} <= {*after}
    assert [row["seeds"] for row in rows(root, "claims")] == [[0, 1, 2, 3, 4]]
    assert [(row["id"], row["verdict"], row["seeds"]) for row in rows(root)] == [
        ("DD-1", "replicated", [10, 11, 12, 13, 14])
    ]
    assert rows(root)[0]["per_seed"] != rows(root, "claims")[0]["per_seed"]


def test_its_summary_says_what_was_confirmed_and_which_command_shows_it(ran):
    out = ran[3]
    assert re.search(r"^notebook +verdicts +wall +with the judged seeds$", out, re.MULTILINE)
    assert re.search(r"^01_good +1 replicated +\d:\d\d +1 confirmed$", out, re.MULTILINE)
    assert "make report PROFILE=laptop" in out


def test_a_second_confirmation_computes_nothing_and_finds_the_same(ran):
    root, _, after, *_ = ran
    assert len(list((root / "build/store").glob("??/*.run"))) == 10, "five runs a block, each computed once"
    assert len(rows(root, "history")) == 2, "one line a block"
    assert published(root) == after


def test_its_notebook_lies_apart_from_the_one_that_pages_are_made_of(ran):
    root = ran[0]
    source = nbformat.read(root / "build/executed/laptop+confirmation/01_good.ipynb", as_version=4)
    injected = [cell.source for cell in source.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert "first = 10" in injected[0]
    judged = nbformat.read(root / "build/executed/laptop/01_good.ipynb", as_version=4)
    assert "first = 10" not in "".join(cell.source for cell in judged.cells)
    assert (root / "build/logs/laptop+confirmation/01_good.log").exists()


def test_history_says_which_lines_are_of_the_confirmation(inside):
    judged, fresh = read_history("laptop")["DD-1"]
    assert "block" not in judged and fresh["block"] == "confirmation"
    assert fresh["why"] == "first run" and fresh["check"] == judged["check"] and fresh["settings"] != judged["settings"]
    for block in ("judged", CONFIRMATION):
        assert history.unexplained(read_records("laptop", block), read_history("laptop"), block) == []


def test_status_says_whether_a_confirmation_is_stale_and_why(inside):
    state = ("01_good", "laptop", "up to date")
    fresh = ("01_good", "laptop", "confirmation up to date")
    assert status.rows() == [state, fresh]
    stated = inside / "claims" / "01_good.yaml"
    before = stated.read_text()
    try:
        stated.write_text(before.replace("than: 0", "than: 1"))
        assert status.rows()[1][2] == "confirmation stale: claims changed"
    finally:
        stated.write_text(before)
    profile = inside / "profiles" / "laptop.yaml"
    before = profile.read_text()
    try:
        write_profile(inside, {"01_good": {"rise": 2.0, "runs": 4}})
        assert status.rows()[1][2] == "confirmation stale: parameter runs changed"
    finally:
        profile.write_text(before)
    assert status.rows() == [state, fresh]


def test_status_says_where_a_confirmation_used_all_instructions(inside):
    path = inside / "results" / "laptop" / "inputs.json"
    before = path.read_text()
    known = json.loads(before)
    try:
        known["01_good+confirmation"]["instructions"] = "native"
        path.write_text(json.dumps(known))
        assert status.rows()[1][2] == "confirmation up to date, computed with native instructions"
    finally:
        path.write_text(before)


def test_status_says_where_a_confirmation_was_killed_before_its_end(inside):
    path = inside / "results" / "laptop" / "inputs.json"
    before = path.read_text()
    try:
        path.write_text(json.dumps({"01_good": json.loads(before)["01_good"]}))
        assert status.rows()[1][2] == "confirmation not finished: make confirm goes on with it"
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_a_killed_confirmation_leaves_what_is_published_and_the_next_goes_on(tmp_path):
    root = project(tmp_path / "toy", {"01_good": {"pause_s": 0.5, "runs": 12}})
    stored = lambda: len(list((root / "build/store").glob("??/*.run")))  # noqa: E731
    killed, end = command(root, "confirm"), time.monotonic() + PATIENCE
    while stored() < 2 and killed.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    killed.kill()
    killed.communicate(timeout=30)
    before = stored()
    assert 2 <= before < 12, "it was killed in the middle"
    assert not (root / "results").exists()
    old = {path: path.stat().st_mtime_ns for path in (root / "build/store").glob("??/*.run")}
    code, told = run(root, "confirm")
    assert code == 0, told
    assert stored() == 12 and all(path.stat().st_mtime_ns == when for path, when in old.items()), "loaded, not redone"
    assert [row["seeds"] for row in rows(root)] == [list(range(10, 22))]


def test_index_names_a_study_whose_blocks_were_not_made_alike(inside, monkeypatch):
    monkeypatch.setattr(pages, "index_page", lambda *_, apart, **__: " ".join(apart))
    monkeypatch.setattr(pages, "write_atomic", lambda path, data: data)
    path = inside / "results" / "laptop" / "inputs.json"
    before = path.read_text()
    known = json.loads(before)
    known["01_good+confirmation"]["notebook"] = "another"
    assert pages.index("laptop", {"01_good": None}) == b""
    try:
        path.write_text(json.dumps(known))
        assert pages.index("laptop", {"01_good": None}) == b"01_good"
    finally:
        path.write_text(before)


def test_blocks_that_were_not_made_alike_are_told_apart(inside):
    where = inside / "results" / "laptop"
    assert status.apart(where, "01_good") == [] == status.apart(where, "02_bad")
    before = (where / "inputs.json").read_text()
    known = json.loads(before)
    known["01_good+confirmation"]["parameters"]["runs"] = 3
    known["01_good+confirmation"]["claims"] = "others"
    try:
        (where / "inputs.json").write_text(json.dumps(known))
        assert status.apart(where, "01_good") == ["parameter", "claims"]
        alike = {"01_good": known["01_good+confirmation"]}
        assert status.apart(where, "01_good", alike) == [], "by what it has just been made from, not by the last record"
    finally:
        (where / "inputs.json").write_text(before)


def test_report_shows_both_blocks_on_page_index_and_readme(ran):
    root = ran[0]
    assert run(root, "report")[0] == 0
    page, index = ((root / f"reports/laptop/{name}.html").read_text() for name in ("01_good", "index"))
    assert "seeds 10–14" in page and "Seeds 0–4: replicated; seeds 10–14: replicated." in page
    assert 's-confirmed"' in index.split('id="verdicts"')[0]
    assert "| 1 replicated; 1 confirmed | – | – |" in (root / "README.md").read_text()


def test_reproduce_leaves_a_confirmation_alone_and_says_at_once_where_it_now_differs(ran):
    root = ran[0]
    inputs = lambda: json.loads((root / "results/laptop/inputs.json").read_text())["01_good+confirmation"]  # noqa: E731
    before = rows(root), inputs()
    write_profile(root, {"01_good": {"rise": 2.5}})
    assert run(root, "reproduce")[0] == 0
    assert (rows(root), inputs()) == before
    page = (root / "reports/laptop/01_good.html").read_text()
    assert "s-confirmed" in page and "They differ in: parameter." in page
    write_profile(root, {"01_good": {"rise": 2.0}})


def test_compare_is_about_the_judged_block_alone(inside, capsys):
    git = ["git", "-C", str(inside), "-c", "user.name=Toy", "-c", "user.email=toy@example.org"]
    for arguments in (["init", "-q"], ["add", "results"], ["commit", "-qm", "results"]):
        subprocess.run([*git, *arguments], check=True)
    path = inside / "results/laptop/confirmation.jsonl"
    before = path.read_text()
    try:
        path.write_text(before.replace('"replicated"', '"contradicted"'))
        assert main(["compare"]) == 0
        assert "every verdict as committed" in capsys.readouterr().out
    finally:
        path.write_text(before)


def judge(home, seeds, verdict="replicated"):
    """Leave one judged record on some seeds."""
    path = home / "results/laptop/claims.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"id": "DD-1", "study": "01_good", "verdict": verdict, "seeds": seeds}) + "\n")


def test_seeds_that_were_judged_are_not_fresh(home, capsys):
    judge(home, list(range(12)))
    assert main(["confirm"]) == 2
    error = capsys.readouterr().err
    assert "seeds of DD-1 at laptop" in error and "allowed is seeds below 10" in error
    assert not list(home.glob("build/**/*.ipynb"))
    judge(home, list(range(10)))
    reproduce.check_fresh("laptop", ["01_good"])


def test_a_study_may_be_confirmed_on_a_later_block(home):
    path = home / "claims" / "01_good.yaml"
    path.write_text(path.read_text().replace("claims:", "fresh: 20\nclaims:", 1))
    assert confirmation.first_seed("01_good") == 20 and status.inputs("01_good", {}, CONFIRMATION)["parameters"] == {
        "first": 20
    }
    judge(home, list(range(12)))
    reproduce.check_fresh("laptop", ["01_good"])
    with pytest.raises(BadInput, match="99_none"):
        confirmation.first_seed("99_none")


def test_a_notebook_that_cannot_begin_elsewhere_is_refused_before_it_runs(home, capsys):
    path = home / "notebooks" / "01_good.py"
    path.write_text(path.read_text().replace("first = 0\n", "").replace("first", "0"))
    assert main(["confirm"]) == 2
    assert "parameter `first`" in capsys.readouterr().err
    assert not list(home.glob("build/**/*.tmp.ipynb")) and not (home / "results").exists()


def test_two_confirmations_of_a_study_get_in_each_others_way_and_in_nobody_elses(home, capsys):
    with notebooks.alone_with("laptop", ["01_good"], CONFIRMATION):
        assert main(["confirm"]) == 2
        assert f"process {os.getpid()} works on it" in capsys.readouterr().err
        assert main(["clean"]) == 2, "it is running"
        with notebooks.alone_with("laptop", ["01_good"]):
            pass


def test_older_code_confirms_nothing_whoever_asks(home, monkeypatch, capsys):
    monkeypatch.setenv("REDLIB_KEEP_STALE", "1")
    assert notebooks.kernel_environment("laptop", 1)["REDLIB_KEEP_STALE"] == "1"
    assert "REDLIB_KEEP_STALE" not in notebooks.kernel_environment("laptop", 1, block=CONFIRMATION)
    with pytest.raises(SystemExit):
        main(["confirm", "--keep-stale"])


def test_the_block_reaches_every_notebook_and_the_callers_own_never_does(home, monkeypatch):
    monkeypatch.setenv("REDLIB_BLOCK", "confirmation")
    assert notebooks.kernel_environment("laptop", 1)["REDLIB_BLOCK"] == "judged"
    assert notebooks.kernel_environment("laptop", 1, block=CONFIRMATION)["REDLIB_BLOCK"] == "confirmation"


def test_scheduler_jobs_and_native_are_those_of_reproduce(home, monkeypatch):
    seen = []
    monkeypatch.setattr(reproduce, "check_scheduler", lambda address: seen.append(address))
    monkeypatch.setattr(reproduce, "execute", lambda profile, name, environment, *more: seen.append(environment) or
                        notebooks.Execution(name, home, home, 0.0, "stopped"))  # fmt: skip
    monkeypatch.setenv("REDLIB_WORKERS", "6")
    monkeypatch.setenv("REDLIB_NATIVE", "0")  # so that what the command sets is undone
    write_profile(home, {"01_good": {}, "02_bad": {}})
    monkeypatch.setattr(reproduce, "summary", lambda *_: "")
    assert main(["confirm", "--jobs", "2", "--scheduler", "tcp://a:1", "--native"]) == 1
    assert seen[0] == "tcp://a:1"
    assert [(e["REDLIB_WORKERS"], e[SCHEDULER], e["REDLIB_NATIVE"]) for e in seen[1:]] == [("3", "tcp://a:1", "1")] * 2


def test_a_confirmation_of_smoke_stays_under_build_and_decides_nothing(tmp_path):
    root = project(tmp_path / "toy", {})
    write_profile(root, {"01_good": {"runs": 2}}, "smoke")
    code, told = run(root, "confirm", "--profile", "smoke")
    assert code == 0, told
    found = [json.loads(line) for line in (root / "build/smoke/results/confirmation.jsonl").read_text().splitlines()]
    assert [(row["verdict"], row["seeds"]) for row in found] == [("plumbing_ok", [10, 11])]
    assert not (root / "results").exists()


def test_damaged_confirmation_is_one_clear_sentence(home, capsys):
    judge(home, [0, 1])
    (home / "results/laptop/confirmation.jsonl").write_text('{"id": "DD-1", "verd')
    assert main(["readme"]) == 2
    error = capsys.readouterr().err
    assert "laptop/confirmation.jsonl is" in error and error.count("\n") == 1


def test_a_rewritten_check_counts_by_its_fresh_verdict_and_is_exploratory_until_then(home):
    stated = home / "claims" / "01_good.yaml"
    text = CLAIMS.replace("STUDY", "01_good").replace("CLAIM", "DD-1").lstrip()
    stated.write_text(text.replace("prior: R,", "prior: R, rewritten: It asked for more.,"))
    part = {"name": "rise", "kind": "greater", "threshold": "> 0 pp", "of": "source", "unit": "pp"}
    about = {"id": "DD-1", "study": "01_good", "per_seed": {"rise": [1.0]}, "estimate": 1.0}
    first = about | {"verdict": "replicated", "seeds": [0], "parts": [part | {"verdict": "replicated"}]}
    fresh = about | {"verdict": "contradicted", "seeds": [10], "parts": [part | {"verdict": "contradicted"}]}
    claims, studies = load_claims(), load_studies()
    section = readme.claims_section(claims, studies, {"laptop": [first]})
    assert "| 1 replicated; 1 exploratory |" in section and "`make confirm` judges it" in section
    section = readme.claims_section(claims, studies, {"laptop": [first]}, {"laptop": [fresh]})
    assert "| 1 contradicted; 1 fresh |" in section and "Exploratory" not in section
