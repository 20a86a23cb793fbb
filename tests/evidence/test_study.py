"""The study: what it writes and where, what it shows, and that it cannot conclude with a claim forgotten."""

import json
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_runs import Toy

from redlib.errors import BadInput
from redlib.evidence import study as module
from redlib.evidence.claims import Finding
from redlib.evidence.paths import outputs, project_root, store_root
from redlib.evidence.study import Study, plain_numbers

LEDGER = """
study: 01_double_descent
title: Double descent
question: Does it?
claims:
- &claim
  id: DD-1
  primary: true
  statement: The ratio exceeds one.
  source: S1
  prior: R
  figure: dd_one
  check: {kind: greater, statistic: ratio, than: 1, unit: ratio}
- {<<: *claim, id: DD-0, figure: ""}
- {<<: *claim, id: DD-2, figure: "", not_run: {laptop: needs a GPU}}
"""
OTHER = """
study: 04_neural_collapse
title: Neural collapse
question: Does it collapse?
claims:
- {id: NC-1, statement: The ratio exceeds one., source: S1, prior: R,
   check: {kind: greater, statistic: ratio, than: 1, unit: ratio}}
"""
SEEDS = [1.9, 2.0, 2.1, 2.05, 1.95]


def state(root, text):
    """Write a claims file under the name of its study."""
    (root / "claims" / f"{text.split()[1]}.yaml").write_text(text)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A project of its own, entered by the reproduce command (REDLIB_OUT=commit)."""
    (tmp_path / "claims").mkdir()
    for text in (LEDGER, OTHER):
        state(tmp_path, text)
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path))
    monkeypatch.setenv("REDLIB_OUT", "commit")
    for name in ("REDLIB_STORE", "REDLIB_KEEP_STALE", "REDLIB_WORKERS", "REDLIB_BLOCK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would display, as (content, metadata)."""
    displayed = []
    monkeypatch.setattr(module, "shell", lambda: object())
    display = "IPython.display.publish_display_data"
    monkeypatch.setattr(display, lambda content, metadata: displayed.append((content, metadata["redlib"])))
    return displayed


def checked(name="01_double_descent", profile="laptop", values=SEEDS):
    """A study whose claims all have a record, not concluded yet."""
    study = Study(name, profile=profile)
    ids = ("DD-0", "DD-1") if name.startswith("01") else ("NC-1",)
    for id in ids:
        study.check(Finding(id, values), seeds=range(5))
    if profile != "laptop" and name.startswith("01"):
        study.not_run("DD-2", reason="not here")
    return study


def draw(shift=0.0):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(3, 2))
    axes.plot([0, 1, 2], np.array([0, 1, 0]) + shift, label="error")
    axes.fill_between([0, 1, 2], 0, 1, alpha=0.3)
    axes.set_title("A title")
    axes.legend()
    return fig


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results/laptop/claims.jsonl").read_text().splitlines()]


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("claims/") and not name.endswith((".lock", ".redlib"))}


def test_claims_are_written_in_the_order_of_the_ledger_with_what_is_known_not_to_run(home):
    checked().conclude("It does.")
    assert [(line["id"], line["verdict"]) for line in lines(home)] == [
        ("DD-1", "replicated"),
        ("DD-0", "replicated"),
        ("DD-2", "not_run"),
    ]
    assert lines(home)[2]["reason"] == "needs a GPU"
    assert files(home) == {"results/laptop/claims.jsonl", "results/laptop/runs.json"}


def test_a_study_replaces_its_own_lines_and_keeps_the_others(home):
    checked("04_neural_collapse").conclude("Yes.")
    checked().conclude("It does.")
    other = next(line for line in lines(home) if line["id"] == "NC-1")
    checked(values=[0.1, 0.2, 0.15, 0.1, 0.2]).conclude("It does not.")
    assert [line["id"] for line in lines(home)] == ["DD-1", "DD-0", "DD-2", "NC-1"]
    assert [line["verdict"] for line in lines(home)] == [
        "contradicted",
        "contradicted",
        "not_run",
        "replicated",
    ]
    assert lines(home)[3] == other
    runs = json.loads((home / "results/laptop/runs.json").read_text())
    assert [*runs] == ["01_double_descent", "04_neural_collapse"]
    assert runs["01_double_descent"]["answer"] == "It does not."


def test_a_repeated_run_changes_no_byte_of_claims_figures_and_tables(home):
    kept = []
    for _ in range(2):
        study = checked()
        study.figure(draw(), "dd_one", caption="It peaks.", alt="A peak", claims=["DD-1"])
        study.table(pd.DataFrame({"width": [1, 2], "error": [0.1 + 0.2, np.nan]}), "errors")
        study.conclude("It does.")
        kept.append({name: (home / name).read_bytes() for name in files(home) if "runs.json" not in name})
    assert kept[0] == kept[1]
    assert {*kept[0]} == {
        "figures/laptop/dd_one.png",
        "figures/laptop/dd_one.svg",
        "results/laptop/01_double_descent_errors.csv",
        "results/laptop/claims.jsonl",
        "results/laptop/figures/dd_one.csv",
    }
    assert kept[0]["results/laptop/01_double_descent_errors.csv"] == b"width,error\n1,0.3\n2,\n"


def test_figures_keep_their_text_as_text_and_carry_no_date_version_or_address(home):
    study = checked()
    study.figure(draw(), "dd_one", caption="It peaks.", alt="A peak")
    study.conclude("It does.")
    svg = (home / "figures/laptop/dd_one.svg").read_text()
    assert ">A title</text>" in svg
    for word in ("matplotlib.org", "purl.org", "creativecommons", "dc:date"):
        assert word not in svg
    png = (home / "figures/laptop/dd_one.png").read_bytes()
    assert png.startswith(b"\x89PNG") and b"Software" not in png


def test_a_figure_no_longer_made_disappears_with_the_next_run(home):
    for name in ("dd_old", "dd_new"):
        study = checked()
        study.figure(draw(), name, caption="c", alt="a")
        study.conclude("It does.")
    assert {name for name in files(home) if name.startswith("figures")} == {
        "figures/laptop/dd_new.svg",
        "figures/laptop/dd_new.png",
    }


def test_a_list_of_figures_that_names_other_files_removes_none_of_them(home):
    outside = [home / "results" / "secret.svg", home / "secret.png", home / "figures" / "laptop" / "Not-Ours.svg"]
    study = checked()
    study.figure(draw(), "dd_old", caption="c", alt="a")
    study.conclude("It does.")
    for path in outside:
        path.write_text("keep me")
    runs = home / "results/laptop/runs.json"
    known = json.loads(runs.read_text())
    known["01_double_descent"]["figures"] += [
        *({"name": name} for name in ("../../results/secret", "../../secret", str(home / "secret"), "Not-Ours")),
        {}, "dd_old", {"name": 3},
    ]  # fmt: skip
    runs.write_text(json.dumps(known))
    checked().conclude("It does.")
    assert all(path.read_text() == "keep me" for path in outside)
    assert not (home / "figures/laptop/dd_old.svg").exists(), "its own it does remove"


@pytest.mark.parametrize(("name", "text"), [("claims.jsonl", '{"id": "DD-'), ("runs.json", "{"), ("runs.json", "[]")])
def test_damaged_results_are_refused_by_name_and_nothing_is_written(home, name, text):
    checked().conclude("It does.")
    (home / "results/laptop" / name).write_text(text)
    before = {path: (home / path).read_bytes() for path in files(home)}
    study = checked()
    study.figure(draw(), "dd_one", caption="c", alt="a")
    with pytest.raises(BadInput, match=f"{name}.*Restore it from git"):
        study.conclude("It does.")
    assert {path: (home / path).read_bytes() for path in files(home)} == before


def test_a_notebook_displays_figures_explorers_and_verdicts_marked_for_the_report(shown):
    import matplotlib.pyplot as plt

    study = Study("01_double_descent")
    fig = draw()
    study.figure(fig, "dd_one", caption="It peaks.", alt="A peak", claims=["DD-1"])
    study.explorer("<input type=range>", caption="Play", alt="A slider")
    record = study.check(Finding("DD-1", SEEDS))
    abouts = [about for _, about in shown]
    assert abouts == [
        {
            "kind": "figure",
            "name": "dd_one",
            "caption": "It peaks.",
            "alt": "A peak",
            "claims": ["DD-1"],
            "data": "../../results/laptop/figures/dd_one.csv",
        },
        {"kind": "explorer", "caption": "Play", "alt": "A slider"},
        {"kind": "verdict", "id": "DD-1", "verdict": "replicated"},
    ]
    assert "<svg" in shown[0][0]["image/svg+xml"] and shown[1][0]["text/html"] == "<input type=range>"
    card = shown[2][0]
    assert record.verdict == "replicated" and 'class="verdict"' in card["text/html"]
    assert "style" not in card["text/html"] and "&gt; 1" in card["text/html"]
    assert card["text/plain"].startswith("DD-1 replicated: ratio = 2 [1.9")
    assert fig.number not in plt.get_fignums()


def test_what_a_figure_means_is_shown_and_kept_with_its_caption(home, shown):
    study = checked()
    study.figure(draw(), "dd_one", caption="It peaks.", alt="A peak", meaning=" So it is. ")
    study.figure(draw(1), "dd_two", caption="It falls.", alt="A fall", meaning=" ")
    study.conclude("It does.")
    assert [about.get("meaning") for _, about in shown if about["kind"] == "figure"] == ["So it is.", None]
    kept = json.loads((home / "results/laptop/runs.json").read_text())["01_double_descent"]["figures"]
    assert [about.get("meaning") for about in kept] == ["So it is.", None]
    assert [about["caption"] for about in kept] == ["It peaks.", "It falls."]


def test_a_gate_that_the_claims_file_does_not_explain_is_refused(home):
    state(home, LEDGER.replace("claims:", "gates: {fits: some did not fit}\nclaims:"))
    study = Study("01_double_descent")
    assert study.check(Finding("DD-1", SEEDS, {"fits": False})).verdict == "inconclusive"
    with pytest.raises(BadInput, match="gate of DD-0 = 'learns'.*fits.*gates: in claims/01_double_descent.yaml"):
        study.check(Finding("DD-0", SEEDS, {"fits": True, "learns": True}))


def test_a_card_says_its_part_and_forecast_in_words(home, shown):
    state(home, LEDGER.replace("statistic: ratio,", "statistic: ratio, says: how it rises,"))
    Study("01_double_descent").check(Finding("DD-1", [2.0, 2.1]))
    Study("01_double_descent").check(Finding("DD-0", [2.0]))
    first, second = (content["text/plain"] for content, _ in shown)
    assert "how it rises = 2.0" in first and "forecast: expected to replicate" in first
    assert "[" not in second and "inf" not in second


def test_outside_a_notebook_the_text_is_printed(capsys):
    study = Study("01_double_descent")
    study.explorer("<b>html</b>", caption="Play", alt="A slider")
    study.not_run("DD-1", reason="no time")
    assert capsys.readouterr().out.startswith("Play\nDD-1 not_run: ")


def test_concluding_with_a_forgotten_claim_fails_and_writes_nothing(home):
    study = Study("01_double_descent")
    study.check(Finding("DD-1", SEEDS))
    study.figure(draw(), "dd_one", caption="c", alt="a")
    study.table(pd.DataFrame({"x": [1]}), "t")
    with pytest.raises(BadInput, match=r"DD-0.*study\.check or study\.not_run"):
        study.conclude("It does.")
    with pytest.raises(BadInput, match="answer = ' '"):
        study.conclude(" ")
    assert files(home) == set()


def test_smoke_checks_the_plumbing_and_writes_under_build_only(home):
    checked(profile="smoke").conclude("Nothing.")
    written = [json.loads(line) for line in (home / "build/smoke/results/claims.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in written] == ["plumbing_ok", "plumbing_ok", "not_run"]
    assert files(home) == {"build/smoke/results/claims.jsonl", "build/smoke/results/runs.json"}
    with pytest.raises(BadInput):
        checked(profile="smoke", values=[np.inf] * 5)


def test_an_interactive_run_never_touches_the_committed_evidence(home, monkeypatch):
    checked().conclude("Committed.")
    before = {name: (home / name).read_bytes() for name in files(home)}
    monkeypatch.setenv("REDLIB_OUT", "")
    study = checked(values=[0.1] * 5)
    study.figure(draw(), "dd_one", caption="c", alt="a")
    study.conclude("Played.")
    new = files(home) - {*before}
    assert new and all(name.startswith("build/interactive/laptop/") for name in new)
    assert {name: (home / name).read_bytes() for name in before} == before


def test_the_run_record_says_what_was_loaded_computed_and_from_which_data(home):
    study = Study("01_double_descent")
    data = types.SimpleNamespace(name="toys", digest="d1", provenance={"source": "made up"})
    assert study.data(data) is data
    for seeds in ([0, 1], [0, 1, 2]):
        study.sweep([Toy(seed) for seed in seeds], data="d1", label="toys", workers=1)
    assert study.check(Finding("DD-1", SEEDS)).data_source == "toys"
    study.not_run("DD-0", reason="no time")
    study.conclude("It does.")
    run = json.loads((home / "results/laptop/runs.json").read_text())["01_double_descent"]
    assert run["data"] == [{"name": "toys", "digest": "d1", "provenance": {"source": "made up"}}]
    first, second = run["sweeps"]
    assert (first["label"], first["loaded"], first["computed"], first["stale"], first["corrupt"]) == (
        "toys",
        0,
        2,
        0,
        0,
    )
    assert (second["loaded"], second["computed"]) == (2, 1)
    assert run["kept_stale"] is False and run["wall_s"] >= 0 and run["peak_memory_mb"] > 10
    assert {"commit", "dirty", "python", "versions", "cpu", "cores", "threads", "ram_gib", "gpu"} <= {*run}
    assert store_root() == home / "build/store" and len(list(store_root().glob("??/*.run"))) == 3


def test_kept_stale_results_are_flagged(home, monkeypatch):
    study = checked()
    study.sweep([Toy(0)], workers=1)
    monkeypatch.setattr("redlib.evidence.sweep.code_digest", lambda name: "another digest")
    monkeypatch.setenv("REDLIB_KEEP_STALE", "1")
    study.sweep([Toy(0)], workers=1)
    study.conclude("It does.")
    run = json.loads((home / "results/laptop/runs.json").read_text())["01_double_descent"]
    assert run["kept_stale"] is True and [done["stale"] for done in run["sweeps"]] == [0, 1]


def test_one_verdict_a_claim_and_one_figure_a_name_except_for_a_person_who_runs_a_cell_again(monkeypatch):
    monkeypatch.setattr(module, "interactive", lambda: False)
    study = Study("01_double_descent")
    for _ in range(2):
        monkeypatch.setattr(module, "interactive", lambda: True)
        study.check(Finding("DD-1", SEEDS))
        study.figure(draw(), "dd_one", caption="c", alt="a")
    monkeypatch.setattr(module, "interactive", lambda: False)
    with pytest.raises(BadInput, match="DD-1"):
        study.check(Finding("DD-1", SEEDS))
    with pytest.raises(BadInput, match="dd_one"):
        study.figure(draw(), "dd_one", caption="c", alt="a")


def test_unknown_names_are_refused_with_what_is_known(home):
    with pytest.raises(BadInput, match="01_double_descent, 04_neural_collapse.*Did you mean 01_double_descent"):
        Study("01_double_decent")
    with pytest.raises(BadInput, match="laptop"):
        Study("01_double_descent", profile="huge")
    study = Study("01_double_descent")
    with pytest.raises(BadInput, match="NC-1.*04_neural_collapse"):
        study.check(Finding("NC-1", SEEDS))
    with pytest.raises(BadInput, match="DD-77"):
        study.check(Finding("DD-77", SEEDS))
    with pytest.raises(BadInput, match="DD-77"):
        study.figure(draw(), "dd_one", caption="c", alt="a", claims=["DD-77"])
    for name in ("DD one", "../x", ""):
        with pytest.raises(BadInput, match="file"):
            study.figure(draw(), name, caption="c", alt="a")
        with pytest.raises(BadInput, match="file"):
            study.table(pd.DataFrame(), name)


PARTS = """
- <<: *claim
  id: DD-5
  figure: ""
  check:
    kind: conjunction
    parts:
      - {kind: greater, statistic: gain, than: 1, unit: pp}
      - {kind: less, name: not_much, statistic: gain, than: 9, unit: pp}
      - {kind: less, name: falling, statistic: slope, than: 0, unit: slope}
  profiles:
    mnist: {check: {kind: greater, statistic: speed, than: 1, unit: ratio}}
  not_run: {paper: needs a GPU}
"""
DOWN = [-value for value in SEEDS]


@pytest.fixture
def parts(home):
    """A ledger with a claim of three parts, two of them on one statistic; another profile asks for a fourth."""
    state(home, LEDGER + PARTS)


def test_evidence_that_only_another_profile_asks_for_is_left_out(parts):
    evidence = {"gain": SEEDS, "slope": DOWN, "speed": [5.0, 5.1, 5.2, 4.9, 4.8]}
    profiles = ("laptop", "mnist")
    found = {name: Study("01_double_descent", profile=name).check(Finding("DD-5", evidence)) for name in profiles}
    assert found["laptop"].per_seed == {"gain": SEEDS, "not_much": SEEDS, "falling": DOWN}
    assert found["mnist"].per_seed == {"speed": evidence["speed"]}
    assert found["mnist"].estimate == pytest.approx(np.exp(np.log(evidence["speed"]).mean()))
    assert [record.verdict for record in found.values()] == ["replicated"] * 2


def test_a_record_gives_the_estimate_of_a_part_by_name(parts):
    evidence = {"gain": SEEDS, "slope": DOWN, "speed": [5.0, 5.1, 5.2, 4.9, 4.8]}
    record = Study("01_double_descent").check(Finding("DD-5", evidence))
    assert (record["gain"], record["falling"]) == pytest.approx((2.0, -2.0))
    with pytest.raises(BadInput, match=r"part of DD-5 = 'slope'.*gain \| not_much \| falling"):
        record["slope"]
    assert np.isnan(Study("01_double_descent", profile="paper").not_run("DD-5", reason="needs a GPU")["gain"])


def test_a_finding_on_one_part_is_its_values_and_a_failed_gate_settles_nothing():
    study = Study("01_double_descent")
    record = study.check(Finding("DD-1", np.array(SEEDS), gate={"fits": np.bool_(False)}), note="tried twice")
    assert (record.verdict, record.adequacy, record.note) == ("inconclusive", {"fits": False}, "tried twice")
    assert record["ratio"] == record.estimate == pytest.approx(np.exp(np.log(SEEDS).mean()))


def test_a_part_finds_its_evidence_under_its_own_name_or_else_its_statistic(parts):
    own = [3.0, 3.1, 2.9, 3.0, 3.2]
    record = Study("01_double_descent").check(Finding("DD-5", {"gain": SEEDS, "not_much": own, "falling": DOWN}))
    assert record.per_seed == {"gain": SEEDS, "not_much": own, "falling": DOWN}
    assert [part["estimate"] for part in record.parts] == pytest.approx([2.0, 3.04, -2.0])


@pytest.mark.parametrize("given", [{"gain": SEEDS}, {"gain": SEEDS, "falling": None}])
def test_missing_evidence_is_refused_but_where_the_claim_is_known_not_to_run(parts, given):
    with pytest.raises(BadInput, match=r"Missing: \['falling'\]"):
        Study("01_double_descent").check(Finding("DD-5", given))
    record = Study("01_double_descent", profile="paper").check(Finding("DD-5", given))
    assert (record.verdict, record.per_seed) == ("not_run", {})
    assert record.reason == "needs a GPU; this run has no falling"


def test_numbers_of_a_claim_known_not_to_run_are_kept_without_a_verdict(parts):
    study = Study("01_double_descent", profile="paper")
    record = study.check(Finding("DD-5", {"gain": SEEDS, "slope": DOWN, "speed": SEEDS}))
    assert (record.verdict, record.reason) == ("not_run", "needs a GPU")
    assert record.per_seed == {"gain": SEEDS, "not_much": SEEDS, "falling": DOWN} and record.estimate is not None


@pytest.mark.parametrize("profile", ["laptop", "mnist", "smoke", "paper"])
def test_names_of_evidence_that_no_profile_knows_are_refused(parts, profile):
    evidence = {"gain": SEEDS, "slope": DOWN, "speed": SEEDS, "gian": SEEDS}
    with pytest.raises(BadInput, match=r"unknown: \['gian'\]"):
        Study("01_double_descent", profile=profile).check(Finding("DD-5", evidence))


CONCLUDE = """
import sys
from redlib.evidence.claims import Finding
from redlib.evidence.study import Study
study = Study(sys.argv[1])
for id in sys.argv[2:]:
    study.check(Finding(id, [1.9, 2.0, 2.1, 2.05, 1.95]))
study.conclude("Yes.")
"""


def test_two_notebooks_that_conclude_at_once_lose_no_line(home):
    calls = (["01_double_descent", "DD-0", "DD-1"], ["04_neural_collapse", "NC-1"])
    command = [sys.executable, "-c", CONCLUDE]
    running = [subprocess.Popen(command + call, stdout=subprocess.DEVNULL) for call in calls]
    assert [process.wait(60) for process in running] == [0, 0]
    assert [line["id"] for line in lines(home)] == ["DD-1", "DD-0", "DD-2", "NC-1"]
    assert len(json.loads((home / "results/laptop/runs.json").read_text())) == 2


def test_paths_follow_the_profile_and_the_environment(home, monkeypatch, tmp_path):
    assert project_root() == home
    assert outputs("mnist").figures == home / "figures/mnist"
    assert outputs("smoke").reports == home / "build/smoke/reports"
    monkeypatch.delenv("REDLIB_OUT")
    assert outputs("mnist").results == home / "build/interactive/mnist/results"
    monkeypatch.setenv("REDLIB_STORE", str(tmp_path / "elsewhere"))
    assert store_root() == tmp_path / "elsewhere"
    with pytest.raises(BadInput, match="'big'"):
        outputs("big")


@pytest.fixture
def confirming(monkeypatch):
    """A process that `make confirm` started."""
    monkeypatch.setenv("REDLIB_BLOCK", "confirmation")


def confirmed(home):
    return [json.loads(line) for line in (home / "results/laptop/confirmation.jsonl").read_text().splitlines()]


def test_a_confirmation_writes_its_records_and_nothing_else(home, monkeypatch):
    study = checked()
    study.figure(draw(), "dd_one", caption="c", alt="a")
    study.table(pd.DataFrame({"x": [1]}), "errors")
    study.conclude("It does.")
    before = {name: (home / name).read_bytes() for name in files(home)}
    monkeypatch.setenv("REDLIB_BLOCK", "confirmation")
    study = Study("01_double_descent", first=10)
    study.figure(draw(1.0), "dd_one", caption="another", alt="a")
    study.figure(draw(), "dd_two", caption="new", alt="a")
    study.table(pd.DataFrame({"x": [2]}), "errors")
    for id in ("DD-0", "DD-1"):
        study.check(Finding(id, [-value for value in SEEDS]))
    study.conclude("It does not.")
    assert files(home) == {*before, "results/laptop/confirmation.jsonl"}
    assert {name: (home / name).read_bytes() for name in before} == before
    assert [(line["id"], line["verdict"], line["seeds"]) for line in confirmed(home)] == [
        ("DD-1", "contradicted", [10, 11, 12, 13, 14]),
        ("DD-0", "contradicted", [10, 11, 12, 13, 14]),
        ("DD-2", "not_run", []),
    ]
    assert {*confirmed(home)[0]} == {*lines(home)[0]}, "records of one form"


def test_studies_keep_each_others_confirmations(home, confirming):
    study = Study("04_neural_collapse", first=10)
    study.check(Finding("NC-1", SEEDS))
    study.conclude("Yes.")
    for values in (SEEDS, DOWN):
        study = Study("01_double_descent", first=10)
        for id in ("DD-0", "DD-1"):
            study.check(Finding(id, values))
        study.conclude("It does.")
    assert [(line["id"], line["verdict"]) for line in confirmed(home)] == [
        ("DD-1", "contradicted"),
        ("DD-0", "contradicted"),
        ("DD-2", "not_run"),
        ("NC-1", "replicated"),
    ]


@dataclass(frozen=True)
class Seeded(Toy):
    """A run that names its seeds."""

    seeds: tuple[int, ...] = (0, 1)


def test_seeds_before_those_of_the_study_are_refused_wherever_they_come_from(home, confirming):
    with pytest.raises(BadInput, match=r"first = 0 .*Study\(name, profile, first\)"):
        Study("01_double_descent")
    study = Study("01_double_descent", first=10)
    with pytest.raises(BadInput, match="seeds of Seeded"):
        study.sweep([Seeded(0)], workers=1)
    with pytest.raises(BadInput, match="seeds of DD-1"):
        study.check(Finding("DD-1", SEEDS), seeds=range(5))
    assert files(home) == set(), "nothing was computed"


def test_a_confirmation_does_not_rest_on_older_code(home, confirming, monkeypatch):
    for stale in (False, True):
        study = Study("01_double_descent", first=10)
        for id in ("DD-0", "DD-1"):
            study.check(Finding(id, SEEDS))
        study.sweep([Toy(10)], workers=1)
        if stale:
            with pytest.raises(BadInput, match="REDLIB_KEEP_STALE"):
                study.conclude("It does.")
        else:
            study.conclude("It does.")
        monkeypatch.setattr("redlib.evidence.sweep.code_digest", lambda name: "another digest")
        monkeypatch.setenv("REDLIB_KEEP_STALE", "1")


@pytest.mark.parametrize(
    "text, told",
    [
        ("It falls by +nan points, 1/nan of it.", "It falls by ? points, 1/? of it. (“?”: no number at this profile.)"),
        (" From −inf to nan%. ", "From ? to ?%. (“?”: no number at this profile.)"),
        ("Information of a nanometre: -0.3.", "Information of a nanometre: -0.3."),
        ("By -0.00 and −0% of -0.01, x^-0.0, 1e-0", "By 0.00 and 0% of -0.01, x^-0.0, 1e-0"),
    ],
)
def test_sentences_have_no_negative_zero_and_a_key_for_what_is_no_number(text, told):
    assert plain_numbers(text) == told
