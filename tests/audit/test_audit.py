"""The whole audit: a trained net shows what its untrained twin does not; report, JSON, command, interruption."""

import json
import math

import audit_nets as toys
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import redlib.audit
from redlib.audit import audit, removal, weights
from redlib.audit.__main__ import main
from redlib.errors import BadInput

SIZES = (64, 128, 64, 10)
STAGES = ["weights", "activations", "depth", "removal", "gains", "flatness"]


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16).float(), torch.tensor(y)


@pytest.fixture(scope="module")
def trained(digits):
    x, y = (values[:1200] for values in digits)
    net = toys.seeded(lambda: toys.mlp(SIZES))
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.train()


@pytest.fixture(scope="module")
def reports(digits, trained):
    data = tuple(values[1200:] for values in digits)
    untrained = toys.seeded(lambda: toys.mlp(SIZES), 1001)
    return audit(trained, data, seed=1000), audit(untrained, data, seed=1000)


def test_an_untrained_net_shows_no_structure_in_any_measure(reports):
    report = reports[1]
    assert [m.says for record in report.records for m in record.measures.values() if m.beyond] == []
    assert [m.says for m in report.features.values() if m.beyond] == []
    assert [m.says for m in report.flatness.values() if m.beyond] == []
    assert [row["name"] for row in report.depth if row["candidate"]] == []
    collapse = {"same_class_neighbours", "nc1", "nc2_norms", "nc2_angles", "nc3", "nc4"}
    assert set(report.features) == collapse | {"output_change", "direction_change"}
    assert all(record.facts["phase"].startswith(("random-like", "none")) for record in report.records)
    assert report.verdict()["evidence"].str.contains("Twins with shuffled weights bear as much").all()


def test_a_trained_net_shows_some(reports):
    record = {record.name: record for record in reports[0].records}["2"]
    assert {"stable_rank", "rank99", "effective_dimension", "output_change"} <= set(record.redundant)
    assert record.facts["phase"] != "random-like" and "spikes" in record.beyond
    assert reports[0].features["same_class_neighbours"].beyond == 1
    assert reports[0].features["nc1"].value < reports[0].features["nc1"].null
    assert reports[0].features["output_change"].redundant and reports[0].whole["weights"].safe >= 0.1
    assert reports[0].whole["weights"].score[0] > 0.85


def test_the_frame_has_one_tidy_row_a_layer(reports):
    frame = reports[0].frame()
    assert list(frame["layer"]) == ["0", "2", "4"] and list(frame["parameters"]) == [8320, 8256, 650]
    assert list(frame["macs"]) == [8192, 8192, 640] and frame["phase"].str.len().gt(0).all()
    assert {"stable_rank", "stable_rank_low", "stable_rank_beyond", "safe_weights", "knee_units"} <= set(frame)
    assert math.isnan(frame["safe_units"].iloc[2])  # the outputs stay
    assert frame["safe_weights"].between(0, 1).all()


def test_the_verdict_ranks_layers_by_parameters(reports):
    table = reports[0].verdict()
    assert table["surplus_parameters"].is_monotonic_decreasing and set(table["layer"]) == {"0", "2", "4"}
    assert np.allclose(
        table["surplus_parameters"] / table["surplus"], table["layer"].map({"0": 8320, "2": 8256, "4": 650})
    )


def test_json_holds_everything_and_no_nan(reports, tmp_path):
    path = tmp_path / "out.json"
    content = json.loads(reports[0].to_json(path))
    assert json.loads(path.read_text()) == content and [one.name for one in tmp_path.iterdir()] == ["out.json"]
    assert content["complete"] and content["stages"] == STAGES
    layer = content["layers"][1]
    assert layer["measures"]["stable_rank"]["redundant"] and layer["curves"]["weights"]["safe"] >= 0.1
    assert content["layers"][2]["measures"]["alpha"]["value"] is None
    assert [row["name"] for row in content["depth"]] == ["0", "2", "4"] and content["flatness"]["trace"]["value"] > 0
    assert len(layer["curves"]["weights"]["score"]) == len(content["grid"]) and content["parameters"] == 17226


def test_the_net_comes_back_as_it_was(digits, trained):
    before, modes = toys.state_of(trained), [part.training for part in trained.modules()]
    first, again = (audit(trained, tuple(v[:80] for v in digits), seed=1000) for _ in range(2))
    assert toys.unchanged(trained, before) and modes == [part.training for part in trained.modules()]
    assert all(p.requires_grad for p in trained.parameters())
    first.seconds = again.seconds = 0
    first.gains, again.gains = {}, {}  # which hold measured times
    assert first.to_json() == again.to_json()


def test_weights_alone_need_no_data(trained):
    report = redlib.audit(trained, seed=1000)
    assert report.complete and report.stages == ["weights"] and not report.features and not report.whole
    assert report.records[1].surplus[0] > 0.02 and "energy" in report.records[1].surplus[1]
    untrained = redlib.audit(toys.seeded(lambda: toys.mlp(SIZES), 1001), seed=1000)
    assert (untrained.verdict()["surplus"] == 0).all() and (untrained.verdict()["beyond"] == "").all()


def test_every_kind_of_layer_goes_through_the_whole_audit(monkeypatch):
    monkeypatch.setattr(removal, "TWINS", (5, 5))
    monkeypatch.setattr(removal, "GRID", (0.0, 0.25, 0.7, 1.0))
    report = audit(toys.seeded(toys.Every), toys.drawn(40, 4, 8, 8), seed=1000)
    assert len(report.records) == 13 and len(report.skipped) == 2 and report.complete
    assert [m.says for record in report.records for m in record.measures.values() if m.beyond] == []
    tokens = torch.randint(1, 40, (30, 6), generator=torch.Generator().manual_seed(1000))
    words = audit(toys.seeded(toys.Words), tokens, seed=1000)
    assert words.complete and [m.says for r in words.records for m in r.measures.values() if m.beyond] == []
    for one in (report, words):
        assert [m.says for m in (one.features | one.flatness).values() if m.beyond] == [] and len(one.flatness) == 7
        assert [row["name"] for row in one.depth if row["candidate"] or row["beyond"]] == []
    assert "units" not in {c for r in words.records for c in r.curves if r.kind == "Embedding"}


@pytest.mark.parametrize("form", ["script", "export"])
def test_archives_are_measured_as_far_as_they_can_be(form, digits, trained, tmp_path):
    path = tmp_path / "net.pt2"
    if form == "script":
        torch.jit.save(torch.jit.script(trained), path)
    else:
        torch.export.save(torch.export.export(trained.eval(), (digits[0][:64],)), path)
        trained.train()
    report = audit(path, tuple(v[1200:1328] for v in digits), seed=1000, device="cpu")
    assert report.complete and report.whole["weights"].safe >= 0.1 and report.whole["weights"].score[0] > 0.8
    assert all("archive" in record.unread and "weights" in record.curves for record in report.records)


def test_ctrl_c_leaves_the_layers_done_so_far(trained, monkeypatch, capsys):
    own, done = weights.weight_measures, []

    def interrupted(layer, *arguments):
        if done:
            raise KeyboardInterrupt
        done.append(layer)
        return own(layer, *arguments)

    monkeypatch.setattr(weights, "weight_measures", interrupted)
    report = audit(trained, seed=1000)
    assert not report.complete and len(report.records) == 1 and report.stages == []
    assert len(report.frame()) == 1 and json.loads(report.to_json())["complete"] is False
    assert "interrupted" in capsys.readouterr().err


def test_the_command(digits, trained, tmp_path, capsys):
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    np.savez(tmp_path / "d.npz", x=digits[0][1200:1400], y=digits[1][1200:1400])
    torch.save({"x": 1}, tmp_path / "none.pt")
    model = ["--model", "audit_nets:digits", "--seed", "1000", "--device", "cpu"]
    out = tmp_path / "out.json"
    assert main([str(tmp_path / "weights.pt"), *model, "--data", str(tmp_path / "d.npz"), "--json", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Sequential of weights.pt: 3 layers, 17,226 parameters") and "points of accuracy" in text
    assert json.loads(out.read_text())["complete"]
    for bad in ([str(tmp_path / "none.pt"), *model], [str(tmp_path / "weights.pt"), "--json", "nowhere/there/o.json"]):
        assert main(bad) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_bad_settings_are_refused_before_anything_is_measured(trained, monkeypatch):
    monkeypatch.setattr(weights, "weight_measures", None)
    for options in ({"tolerate": -1}, {"seed": -1}, {"limit": 0}, {"effort": 0}, {"data": toys.drawn(5, 3)}):
        with pytest.raises(BadInput):
            audit(trained, **options)


def test_effort_buys_examples_and_twins(trained, monkeypatch):
    monkeypatch.setattr(removal, "OPERATIONS", 1e8)
    monkeypatch.setattr(removal, "TWIN_OPERATIONS", 1.55e8)
    monkeypatch.setattr(removal, "LEAST_EXAMPLES", 8)
    x = toys.drawn(100, 64)
    some, more = (audit(trained, x, seed=1000, effort=effort) for effort in (1, 4))
    few, many = some.settings["removal"]["examples"], more.settings["removal"]["examples"]
    assert few == int(1e8 * removal.WHOLE_SHARE / (8 * 3) / 17024) and many == 100
    assert not some.settings["removal"]["every_share"] and more.settings["removal"]["every_share"]
    assert "output_change" not in some.records[0].measures and "output_change" in some.features
    assert some.verdict()["evidence"].str.contains("more effort does").all()


def test_names_are_left_as_they_are():
    net = nn.Sequential()
    net.add_module("<script>alert(1)</script>", toys.seeded(lambda: nn.Linear(12, 9)))
    report = audit(net, seed=1000)
    assert json.loads(report.to_json())["layers"][0]["name"] == "<script>alert(1)</script>"


class TwoOutputs(nn.Module):
    """Boxes and classes, of which the boxes come first."""

    def __init__(self):
        super().__init__()
        self.boxes, self.classes = nn.Linear(20, 4), nn.Linear(20, 2)

    def forward(self, x):
        return self.boxes(x), self.classes(x)


def test_the_report_says_which_output_was_judged():
    report = audit(toys.seeded(TwoOutputs), toys.drawn(40, 20), seed=1000)
    assert report.settings["output"] == "the first tensor of 2 outputs, shape (4,) for one example"
    assert "output" not in audit(toys.seeded(toys.mlp), toys.drawn(40, 20), seed=1000).settings


def test_labels_are_those_of_the_output_that_is_chosen():
    net, x = toys.seeded(TwoOutputs), toys.drawn(200, 20)
    labels = net(x)[1].argmax(1).detach()
    report = audit(net, (x, labels), output=1, seed=1000)
    assert report.settings["output"].startswith("that at place 1") and report.settings["accuracy"] == 1
    cut = {record.name: record.surplus[0] for record in report.records}
    assert cut["boxes"] == 1 > cut["classes"], "what is judged does not need the boxes"
