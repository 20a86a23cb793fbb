"""What a claim came to before stays: a line for every judged run that came to something else."""

from __future__ import annotations

import json
import subprocess

import pytest

from redlib.evidence.confirmation import RECORDS
from redlib.evidence.paths import EVIDENCE_PROFILES, outputs
from redlib.report import history
from redlib.report.records import read_history, read_records

INPUTS = {"python": "3.11", "code": {"a": "1"}, "notebook": "n", "claims": "c", "parameters": {"seeds": 5}}
CLAIMS = """
study: 01_good
title: Good
question: Is it?
claims:
- {id: DD-1, statement: it rises, source: S1, prior: R, check: {kind: greater, statistic: rise, than: 0, unit: pp}}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty project with one claim, whose evidence is the committed one."""
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "01_good.yaml").write_text(CLAIMS)
    return tmp_path


def publish(home, verdict="replicated", estimate=2.0):
    """Leave one record as the results of profile laptop."""
    row = {"id": "DD-1", "study": "01_good", "verdict": verdict, "estimate": estimate, "ci95": [1.0, 3.0]}
    path = home / "results" / "laptop" / "claims.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row) + "\n")


def append(then=None, now=INPUTS):
    return history.append("laptop", ["01_good"], {"01_good": then} if then else {}, {"01_good": now})


def test_a_run_that_comes_to_something_else_appends_a_line_that_says_why(home):
    publish(home)
    assert append() == 1
    assert append(INPUTS) == 0, "the same again is no news"
    publish(home, "contradicted", -2.0)
    changed = INPUTS | {"parameters": {"seeds": 9}}
    assert append(INPUTS, changed) == 1
    first, second = read_history("laptop")["DD-1"]
    assert (first["verdict"], first["why"]) == ("replicated", "first run")
    assert (second["verdict"], second["why"]) == ("contradicted", "parameter seeds changed")
    assert first["check"] == second["check"] and first["settings"] != second["settings"]


def test_the_same_numbers_by_another_check_are_another_judgement(home):
    publish(home)
    append()
    stated = home / "claims" / "01_good.yaml"
    stated.write_text(stated.read_text().replace("than: 0", "than: 1"))
    assert append(INPUTS, INPUTS | {"claims": "d"}) == 1
    assert read_history("laptop")["DD-1"][1]["why"] == "claims changed"


def test_other_numbers_from_the_same_inputs_come_from_elsewhere(home):
    publish(home)
    append()
    publish(home, estimate=2.5)
    append(INPUTS)
    assert read_history("laptop")["DD-1"][1]["why"] == "another machine, or other packages"


def test_what_git_remembers_becomes_the_first_lines(home):
    git = ["git", "-C", str(home), "-c", "user.name=Toy", "-c", "user.email=toy@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    for verdict, subject in (("inconclusive", "First"), ("inconclusive", "Nothing new"), ("replicated", "More seeds")):
        publish(home, verdict)
        (home / "note").write_text(subject)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", subject], check=True)
    assert history.from_git("laptop") == 2
    assert [(line["verdict"], line["why"]) for line in read_history("laptop")["DD-1"]] == [
        ("inconclusive", "First"),
        ("replicated", "More seeds"),
    ]
    assert history.from_git("laptop") == 0, "a history that is there is not rewritten"


def test_a_verdict_without_its_line_is_found():
    rows = [{"id": "A-1", "verdict": "null"}, {"id": "A-2", "verdict": "null"}]
    known = {"A-1": [{"verdict": "replicated"}, {"verdict": "null"}], "A-2": [{"verdict": "replicated"}]}
    assert history.unexplained(rows, known) == ["A-2"]


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_every_committed_verdict_is_that_of_the_last_line_of_its_history(profile, monkeypatch):
    monkeypatch.setenv("REDLIB_OUT", "commit")
    if not (outputs(profile).results / "claims.jsonl").exists():
        pytest.skip(f"nothing is committed at {profile}")
    for block in RECORDS:
        assert history.unexplained(read_records(profile, block), read_history(profile), block) == []


def test_a_confirmation_has_its_own_line_before(home):
    """The blocks alternate in the file; what is news in one is not measured against the other."""
    publish(home)
    append()
    fresh = home / "results/laptop/confirmation.jsonl"
    fresh.write_text((home / "results/laptop/claims.jsonl").read_text().replace("replicated", "null"))

    def confirm(then=None, now=INPUTS):
        before = {"01_good": then} if then else {}
        return history.append("laptop", ["01_good"], before, {"01_good": now}, "confirmation")

    assert confirm() == 1 and confirm(INPUTS) == 0 and append(INPUTS) == 0
    lines = read_history("laptop")["DD-1"]
    assert [(line["verdict"], line.get("block"), line["why"]) for line in lines] == [
        ("replicated", None, "first run"),
        ("null", "confirmation", "first run"),
    ]
    assert history.unexplained(read_records("laptop"), {"DD-1": lines}) == []
    assert history.unexplained(read_records("laptop", "confirmation"), {"DD-1": lines}, "confirmation") == []
    assert history.unexplained(read_records("laptop"), {"DD-1": lines}, "confirmation") == ["DD-1"]
