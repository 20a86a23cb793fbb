"""The page of an audit: its words follow the numbers, names cannot break it, and it is written whole or not at all."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import audit_nets as toys
import pytest
import torch
from audit_reports import CHANGE, CURVE, made
from torch import nn

from redlib.audit import Record, Report, audit, drawing, names, page, weights
from redlib.audit.__main__ import main
from redlib.audit.layers import Skipped
from redlib.audit.measure import Measure
from redlib.audit.removal import GRID
from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.evidence.confirmation import together

ROOT = Path(__file__).parents[2]
HOSTILE = ("<script>alert(1)</script>", '"onload="alert(1)', "</style><b>", "\u202eevil", "\ud800", "x" * 5000)
VOID = {"meta", "link", "br"}


class Balanced(HTMLParser):
    """Reads a page: which tags there are, whether each that opens closes, what its attributes are."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(html):
    found = Balanced(html)
    assert found.open == [] and "script" not in found.tags
    assert not any(name.startswith("on") or name == "src" for name, _ in found.attributes)
    assert all(value.startswith(("#", "data:")) for name, value in found.attributes if name == "href")
    assert "http" not in re.sub("http-equiv", "", html)
    return " ".join(" ".join(found.words).split())


def test_the_answer_follows_the_numbers():
    assert page.how_much(made()).startswith("50% of the weights of all layers together can go within 0.5 points of acc")
    for safe, word in ((0.0, "not even"), (1.0, "do not test the net")):
        assert word in page.how_much(made(whole={"weights": replace(CURVE, safe=safe)}))
    assert "decisions" in page.how_much(made(whole={"weights": replace(CURVE, labelled=False)}))
    for value, word in ((0.5, "more than chance"), (1.0, "no evidence"), (1.5, "Chance gives more")):
        assert word in page.beyond_chance(made(features={"output_change": replace(CHANGE, value=value)}))
    assert "not known" in page.beyond_chance(made(features={}))
    assert any("sure of 10%" in note for note in page.notes(made()))
    assert any(
        "labels do not count" in note for note in page.notes(made(whole={"weights": replace(CURVE, labelled=False)}))
    )


def test_the_ranking_says_what_twins_bear():
    for value, word in ((0.5, "bears more than twins"), (1.0, "twins bear as much"), (1.5, "twins bear more")):
        report = made()
        report.records[0].measures["output_change"] = replace(CHANGE, value=value)
        assert word in page.rows(report)[0]["chance"] and word in page.where(report)
        assert ('class="redundant"' in report.html()) == (value == 0.5)
    report.records[0].measures = {}
    assert page.rows(report)[0]["chance"] == "not compared with twins"


class TwoHeads(nn.Module):
    """Boxes before classes, of images."""

    def __init__(self):
        super().__init__()
        self.first, self.boxes, self.classes = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        features = self.first(x).relu().mean((2, 3))
        return self.boxes(features), self.classes(features)


def test_the_page_tells_the_call_that_repeats_it_with_what_was_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.randint(0, 256, (40, 3, 8, 8), generator=torch.Generator().manual_seed(1000), dtype=torch.uint8)
    net, asked = toys.seeded(TwoHeads), {"output": 1, "mean": torch.tensor([0.4, 0.5, 0.6]), "std": 0.2}
    report = audit(net, x, tolerate=3, seed=1000, effort=0.5, **asked)
    again = {"net": net, "data": x}
    exec(page.code(report), again)
    assert again["report"].records == report.records and "output=1" in report.html()
    assert again["report"].records != audit(net, x, tolerate=3, seed=1000, effort=0.5).records
    assert "data" not in page.code(audit(net, seed=1000))


def test_a_net_of_random_weights_has_no_mark_of_redundancy():
    report = audit(toys.seeded(toys.mlp), toys.drawn(60, 20), seed=1000)
    html = report.html()
    text = read(html)
    assert 'class="redundant"' not in html and 'class="flag">surplus' not in html
    none = not report.whole["weights"].safe
    assert ("Neither do" if none else "weights bear as much, so this share is no evidence that training left") in text
    text = read(audit(toys.seeded(toys.mlp), seed=1000).html())
    assert "no data were given" in text and "In no layer a measure of surplus is beyond" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_wherever_they_stand(name):
    curve = replace(CURVE, where=name)
    measures, facts = {"output_change": replace(CHANGE, says=name), name: CHANGE}, {"phase": name, "notes": [name]}
    record = Record(name, name, 1000, None, facts, measures, {"weights": curve}, name, name)
    report = made(records=[record], skipped=[Skipped(name, name, 3, name)])
    report.net, report.form, report.settings[name] = name, name, name
    report.depth = [{"name": name, "says": name}]
    report.whole = {"weights": curve}
    html = report.html()
    read(html)
    html.encode("utf-8")
    assert "\u202e" not in html and len(html) < 300_000
    if "<" in name:
        assert name not in html


def test_what_is_missing_is_told_as_missing():
    empty = Report("Net", "module", {"tolerate": 0.5})
    text = read(empty.html())
    assert "Nothing was examined" in text and "Interrupted." in text and "No layer was examined" in text
    assert ("the stage weights", "interrupted") in page.missing(empty)
    half = made(complete=False, whole={}, features={}, stages=["weights"])
    assert "did not come so far" in read(half.html()) and "absence is no finding" not in page.answer(half)[0]
    broken = made(features={"nc1": Measure(math.nan, says="NC1: none.")})
    broken.records[0].measures["alpha"] = Measure(math.nan, math.nan, math.nan, math.nan, 3, "null", 1, "Alpha: none.")
    assert "nan" not in re.findall(r"\w+", read(broken.html()))


def test_curves_of_another_grid_are_told_and_not_drawn():
    report = made(whole={"weights": replace(CURVE, score=(0.9, 0.1))})
    assert page.lead(report) == [] and len(GRID) != 2 and read(report.html())


def test_strips_stand_where_the_numbers_are():
    places = [drawing._place(replace(CHANGE, value=value)) for value in (1.0, 0.8, 1.2, 0.6, 1.8, -1e9)]
    assert places == pytest.approx([0, -1, 1, -2, 3, -drawing.FAR])


def test_other_stages_are_shown_where_they_are():
    report = made()
    report.depth = [{"name": "fc", "neighbours": 0.25}, {"name": "out", "neighbours": math.nan}]
    report.flatness = {"trace": replace(CHANGE, value=5.0), "trace_error": replace(CHANGE, value=0.25)}
    report.gains = {
        "says": "Half the bytes.",
        "before": {"bytes": 4000},
        "after": {"bytes": 2000},
        "whole": {"fc": "why"},
    }
    text = read(report.html())
    for words in (
        "0.25",
        "No layer is a candidate",
        "Sum of all curvatures of the loss (nats per squared weight) 5 ± 0.25 1 (0.8 to 1.2), 5 twins",
        "Half the bytes.",
        "4,000",
        "2,000",
        "fc: Linear 90→10 keeps all",
    ):
        assert words in text


def test_the_claims_named_are_those_of_the_studies():
    claims = load_claims()
    paths = [ROOT / "results" / "laptop" / name for name in ("claims.jsonl", "confirmation.jsonl")]
    rows = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    both = together(claims, *rows)
    told = [claim for group in page.studies().values() for claim in group]
    now = [{"id": c["id"], "statement": claims[c["id"]].statement, "verdict": both[c["id"]].row["verdict"],
            "standing": both[c["id"]].standing} for c in told]  # fmt: skip
    assert told == now, "write these to redlib/audit/templates/studied.json"
    assert {c["id"] for c in page.studies()["Not found"]} >= {"LTH-20", "UNIT-4"}


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(toys.seeded(toys.mlp).state_dict(), tmp_path / "w.pt")
    return [str(tmp_path / "w.pt"), "--model", "audit_nets:build", "--seed", "1000", "--device", "cpu"]


def test_the_command_writes_both_files_or_none(checkpoint, tmp_path, monkeypatch, capsys):
    out, other = tmp_path / "a.html", tmp_path / "a.json"
    assert main([*checkpoint, "--out", str(out), "--json", str(other)]) == 0
    assert "How redundant is" in read(out.read_text()) and json.loads(other.read_text())["complete"]
    monkeypatch.setattr(weights, "weight_measures", None)  # nothing is measured
    for bad in (
        ["--out", str(tmp_path / "no" / "a.html")],
        ["--out", str(tmp_path)],
        ["--out", str(out), "--json", str(out)],
    ):
        assert main([*checkpoint, *bad]) == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.html", "a.json", "w.pt"]


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "b.json.part").mkdir()
    with pytest.raises(OSError):
        page.write({tmp_path / "a.html": "x", tmp_path / "b.json": "y"})
    assert [one.name for one in tmp_path.iterdir()] == ["b.json.part"]
    with pytest.raises(BadInput):
        made().html(tmp_path / "no" / "a.html")


def test_ctrl_c_leaves_a_page_that_reads(checkpoint, tmp_path, monkeypatch):
    own, done = weights.weight_measures, []

    def interrupted(layer, *arguments):
        if done:
            raise KeyboardInterrupt
        done.append(layer)
        return own(layer, *arguments)

    monkeypatch.setattr(weights, "weight_measures", interrupted)
    out = tmp_path / "a.html"
    assert main([*checkpoint, "--out", str(out)]) == 1
    text = read(out.read_text())
    assert "Interrupted." in text and "1 examined" in text


def test_the_page_of_a_deep_net_is_small_and_templates_are_packaged():
    net = nn.Sequential(*(toys.seeded(lambda: nn.Linear(16, 16)) for _ in range(21)))
    assert len(audit(net, toys.drawn(40, 16), seed=1000).html()) < 500_000
    assert '"redlib.audit" = ["templates/*"]' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(("safe", "words"), [(0.0, "Neither do 5 twins"), (0.25, "5 twins with shuffled weights bear")])
def test_what_twins_bear_too_is_no_evidence_and_what_cannot_go_is_no_share(safe, words):
    report = made()
    report.whole = {"weights": replace(CURVE, safe=safe)}
    report.features = {"output_change": replace(CHANGE, value=1.0)}
    assert page.beyond_chance(report).startswith(words)


def test_the_interval_is_of_what_goes_and_the_share_of_what_that_saves():
    report = made()
    factored = replace(
        CURVE, what="singular directions", safe=0.8, safe_low=0.8, safe_high=0.9, sure=0.7, rank_cost=1.5
    )
    report.records[0].curves = {"weights": replace(CURVE, safe=0.75), "directions": factored}
    row = page.rows(report)[0]
    assert row["surplus"] == pytest.approx(0.75) and "of its" not in row["ends"], "0.8 of the directions save 0.7"
    report.records[0].curves["weights"] = replace(CURVE, safe=0.25)
    row = page.rows(report)[0]
    assert (
        row["surplus"] == pytest.approx(0.7) and row["ends"] == "80% of its singular directions: 80% to 90%, sure 70%"
    )


def test_a_layer_is_named_with_its_class_and_sizes():
    grouped = nn.Conv2d(8, 12, 3, groups=4)
    net = nn.Sequential(grouped, nn.ConvTranspose2d(12, 6, 2), nn.Flatten(), nn.Linear(24, 5), nn.Embedding(40, 7))
    found = {record.name: record.shape for record in audit(net, seed=1000).records}
    assert found == {"0": "Conv2d 8→12, 3×3, 4 groups", "1": "ConvTranspose2d 12→6, 2×2", "3": "Linear 24→5",
                     "4": "Embedding of 40, 7 wide"}  # fmt: skip
    assert "layer fc: Linear 90→10 holds most" in page.where(made())


def test_measures_have_names_and_raw_ones_stand_in_the_json_alone():
    report = made()
    report.records[0].measures |= dict.fromkeys(names.NAMES, CHANGE)
    text = read(report.html())
    for raw, name in names.NAMES.items():
        assert name.words in text and ("_" not in raw or raw not in text)
    assert json.loads(report.to_json())["layers"][0]["measures"].keys() >= names.NAMES.keys()


def test_a_logarithm_is_told_as_the_ratio_it_is_of():
    log = Measure(-1.0, 0.0, -0.5, 0.5, 5, "twins", -1, "log")
    row = page.measured({"output_change": log})[0]
    assert row["value"] == "0.1" and row["chance"] == "1 (0.316 to 3.16), 5 twins" and row["mark"] == "flag"
    assert page.measured({"nc1": replace(log, surplus=0)})[0]["reading"] == "below chance, which is no surplus"
    none = Measure(math.nan, says="Tail exponent: none (too short).")
    assert page.measured({"alpha": none})[0]["reading"] == "Tail exponent: none (too short)."


def test_intervals_of_a_report_end_where_the_numbers_must():
    report = audit(toys.seeded(toys.mlp), toys.drawn(60, 20), seed=1000)
    cut = 0
    for record in report.records:
        limits = {"units": record.units} | {"rank": min(record.facts["examined"][1:]), "filters": record.units}
        for name, measure in record.measures.items():
            most = names.name_of(name).most
            most = limits[most] if isinstance(most, str) else most
            if math.isfinite(measure.high):
                assert names.name_of(name).least <= measure.low and measure.value <= measure.high <= most, name
                cut += measure.high == most
    assert cut > 0


def test_twins_stand_in_the_first_figure_with_the_numbers_that_the_verdict_has():
    report = audit(toys.seeded(toys.mlp), toys.drawn(60, 20), seed=1000)
    change, twins = report.features["output_change"], report.twins
    logs = [sum(map(math.log10, one)) / len(one) for one in twins["changes"]]
    assert len(logs) == change.draws and sum(logs) / len(logs) == pytest.approx(change.null, rel=1e-6)
    own = report.whole["weights"]
    mean = [math.log10(own.change[GRID.index(share)]) for share in twins["shares"]]
    assert sum(mean) / len(mean) == pytest.approx(change.value, rel=1e-6)
    assert 'class="twins"' in report.html() and len(page.lead(report)) == 2
    report.twins = {}
    assert 'class="twins"' not in report.html() and "not compared with twins" in read(report.html())


def test_the_band_runs_from_the_lowest_to_the_highest_twin():
    twins = {"shares": [0.5], "changes": [[0.1], [10.0], [math.nan]]}
    svg = drawing.moved(replace(CURVE, change=(0.0, 0.1, 0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)), twins)
    low, high = (f"{drawing._y(at):.1f}" for at in (0, 1))
    band = re.search(r'class="twins" points="([^"]*)"', svg).group(1)
    assert {point.split(",")[1] for point in band.split()} == {low, high} and "2 twins" in svg
    assert drawing.moved(CURVE, twins) is None, "a net whose output does not move"


def test_of_many_layers_a_strip_draws_those_beyond_chance():
    report = made()
    report.records = [replace(report.records[0], name=f"l{i}", measures={"rank99": replace(CHANGE, value=1.0)})
                      for i in range(30)]  # fmt: skip
    assert drawing.strips(report)[0] | {"title": "", "art": ""} == {
        "title": "", "told": "within chance in all of 30 layers", "beyond": 0, "art": ""
    }  # fmt: skip
    report.records[3].measures["rank99"] = CHANGE
    strip = drawing.strips(report)[0]
    assert strip["told"] == "surplus in 1 of 30 layers; 1 drawn" and strip["art"].count("l3 Linear") == 1
    assert "l4" not in strip["art"] and 'class="redundant"' in strip["art"]
    assert "surplus in 1 measure<" in report.html() and "surplus in 0" not in report.html()


def test_surplus_is_green_and_no_failure():
    assert 'class="flag">beyond chance: bears more than twins' in made().html()
    css = (page.TEMPLATES / "page.css").read_text()
    assert re.search(r"\.flag \{[^}]*var\(--yes\)", css) and "--no)" not in css
