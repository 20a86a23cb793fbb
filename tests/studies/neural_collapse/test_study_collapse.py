"""The neural-collapse study does what it says: what a look measures, who is trained, and the numbers of its claims."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.measures.collapse import collapse
from redlib.measures.neighbours import nearest_neighbours, same_class_fraction
from redlib.measures.simplex import simplex_etf
from redlib.nets.normed import normed_mlp
from redlib.pruning.compaction import unstacked
from redlib.report import epochs
from redlib.report.point_player import on_triangle, triangle
from redlib.studies import collapse_figures as figures
from redlib.studies import collapse_statistics as cs
from redlib.studies import neural_collapse as nc

TINY = nc.Terminal(
    train=300, tests=100, hidden=(24, 16), lr=1.0, drops=(), gain=0.5, epochs=60, looks=6, neighbours=60, margins=8,
    seeds=(1000, 1001),
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return nc.run(TINY)


@pytest.fixture(scope="module")
def look():
    return nc.examples(TINY, nc.dataset(TINY))[1]


def some_results(**curves):
    return {"epochs": np.array([0.0, 1, 2, 4, 8]), **{name: np.array(rows, float) for name, rows in curves.items()}}


def seen(look, net):
    numbers = look(net).T  # the names are known after the first look
    return dict(zip(look.names, numbers, strict=True))


# ---- a look ----


def test_a_look_measures_what_the_library_measures(look):
    net = nc.nets(TINY, look.x, look.classes)
    values = seen(look, net)
    layers = net.hidden(look.x)
    expected = collapse([(layers[-2], look.y)], 10, (net.weights[-1], net.biases[-1]))
    for name in ("nc1", "nc2_norms", "nc2_angles", "nc3", "nc4"):
        assert torch.equal(values[name], expected[name]), name
    near = nearest_neighbours(layers[1][:, :60], 30)
    assert torch.equal(values["chi5_train_1"], same_class_fraction(near[:, :, :5], look.y[:60]))
    assert torch.equal(values["train_error"], (layers[-1].argmax(2) != look.y).double().mean(1))


def test_a_look_at_modules_agrees_with_one_at_the_stack(look):
    net = nc.nets(TINY, look.x, look.classes)
    stacked, modules = seen(look, net), seen(look, [unstacked(net, r) for r in range(2)])
    for name in ("nc1", "nc3", "chi30_test_2", "confident", "margin"):
        torch.testing.assert_close(stacked[name], modules[name], atol=1e-5, rtol=1e-4)


def test_runs_hold_every_look_by_seed_and_epoch(found):
    assert found["epochs"].tolist() == nc.moments(TINY) and found["epochs"][0] == 0 and found["epochs"][-1] == 60
    assert found["nc1"].shape == (2, len(found["epochs"]))
    assert found["chi5_train"].shape == (2, len(found["epochs"]), 4), "inputs, two hidden layers, logits"
    assert found["alignment"].shape[2] == 3
    assert (found["train_error"][:, -1] == 0).all() and found["nc1"][:, -1].max() < found["nc1"][:, 1].min()


def test_a_seed_is_trained_alike_alone(found):
    alone = nc.run(replace(TINY, seeds=(1001,)))
    assert np.array_equal(alone["nc1"][0], found["nc1"][1]) and np.array_equal(alone["margin"][0], found["margin"][1])


def test_wrong_labels_are_told_and_never_true():
    config = replace(TINY, noise=0.2, epochs=1, looks=1)
    data = nc.dataset(config)
    train, look = nc.examples(config, data)
    told = torch.stack([look.labels[seed] for seed in config.seeds])
    assert torch.equal(train.y, told) and (told != data.train.y).double().mean(1).tolist() == [0.2, 0.2]
    result = nc.run(config)
    assert np.isfinite(result["mislabelled_nc1_told"]).all() and np.isfinite(result["mislabelled_nc1_true"]).all()


def test_without_wrong_labels_nothing_is_mislabelled(found):
    assert np.isnan(found["mislabelled_nc1_true"]).all()


@pytest.mark.parametrize(
    "changes",
    [{"net": "normed_mlp"}, {"net": "small_conv", "channels": 4}, {"net": "resnet18k", "channels": 2}],
    ids=["normed", "conv", "resnet"],
)
def test_nets_with_batchnorm_train_and_are_looked_at(changes):
    result = nc.run(replace(TINY, loss="cross_entropy", lr=0.05, epochs=3, looks=2, **changes))
    assert np.isfinite(result["nc1"]).all() and "alignment" not in result
    assert (result["train_error"][:, -1] < result["train_error"][:, 0]).all()


def test_normed_nets_differ_by_seed_and_have_no_norm_behind_the_output():
    net = normed_mlp((5, 4, 3), 2.0)
    assert [type(part).__name__ for part in net] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    first, second = nc.nets(replace(TINY, net="normed_mlp"), torch.zeros(1, 64), 10)
    again = nc.nets(replace(TINY, net="normed_mlp"), torch.zeros(1, 64), 10)[0]
    assert not torch.equal(first[0].weight, second[0].weight) and torch.equal(first[0].weight, again[0].weight)


def test_tickets_random_masks_and_the_dense_net_keep_what_they_say():
    config = nc.Tickets(replace(TINY, epochs=6, looks=2), rounds=2, round_epochs=3)
    result = nc.run(config)
    assert result["nc1"].shape == (2, 2, len(result["epochs"])) and result["chi5_train"].shape[1] == 2
    assert ((result["density"] > 0.3) & (result["density"] < 0.5)).all(), "two cuts of 37%, the last layer of half that"
    assert not np.array_equal(cs.arm(result, 0)["nc1"], cs.arm(result, 1)["nc1"])
    assert "alignment" not in result, "zero weight vectors have no direction"


def test_the_triangle_shows_the_points_of_three_classes():
    result = nc.run(nc.Triangle(replace(TINY, loss="cross_entropy", lr=0.1), points=7))
    assert np.bincount(result["y"]).tolist() == [7, 7, 7]
    assert np.allclose(result["probabilities"].sum(-1), 1, atol=1e-5)
    corners = triangle()
    plane = figures.logits_seen_from_the_diagonal(result, corners)
    assert plane.shape == (*result["logits"].shape[:2], 2) and len(figures.frames(result)) == len(plane)
    pure = figures.logits_seen_from_the_diagonal({"logits": 5 + np.eye(3)[None]}, corners)
    assert np.allclose(pure, corners[None]), "logits that differ for one class alone point to its corner"
    own = figures.features_like({"features": simplex_etf(3, 2).numpy()[None]}, corners)
    assert np.allclose(own, corners[None]), "and so do features that form a simplex"
    assert np.abs(on_triangle(result["probabilities"])).max() <= 1.001


def test_features_in_the_plane_of_their_means_point_to_the_simplex():
    corners, y = simplex_etf(3, 2).float(), torch.arange(3).repeat(5)
    turned = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0][:2]
    features = (4 * corners[y] @ turned + 1)[None]
    assert torch.allclose(nc.in_plane(features, y, 3)[0], 4 * corners[y], atol=1e-4)


def test_a_configuration_of_another_study_is_refused():
    with pytest.raises(BadInput, match="config"):
        nc.run(object())


# ---- claims ----


def test_the_terminal_phase_starts_at_the_first_look_without_an_error():
    results = some_results(train_error=[[1, 0.5, 0, 0.1, 0], [1, 0, 0, 0, 0]], nc1=[[9, 8, 4, 3, 1], [9, 6, 5, 3, 3]])
    assert cs.fitted(results).tolist() == [2, 1] and cs.first_epoch(results) == 2
    assert cs.at_fit(results, "nc1").tolist() == [4, 6] and cs.fall(results, "nc1").tolist() == [0.25, 0.5]
    assert cs.rise(results, "nc1").tolist() == [-3, -3] and cs.terminal(results) == {"terminal_phase": True}


@pytest.mark.parametrize(
    "errors", [[1, 1, 1, 0.1, 0], [1, 1, 1, 1, 0.1], [1, 0, 0, 0, 0.1]], ids=["too late", "never", "lost again"]
)
def test_without_a_terminal_phase_the_gate_is_shut(errors):
    results = some_results(train_error=[errors, [1, 0, 0, 0, 0]])
    assert cs.terminal(results, "gate") == {"gate": False}


def test_claims_of_a_run_have_the_parts_their_checks_ask_for(found):
    pairs = {
        "NC-1": cs.variability_claim(found), "NC-2": cs.simplex_claim(found), "NC-3": cs.duality_claim(found),
        "NC-5": cs.corners_claim({2: found, 64: found}), "NC-6": cs.logits_claim(found),
        "NC-7": cs.neighbours_claim(found), "NC-8": cs.noise_claim(found, found),
        "NC-9": cs.benefit_claim(found, [found] * 4), "NC-11": cs.alignment_claim(found),
    }  # fmt: skip
    for id, claim in pairs.items():
        asked = {part.statistic for part in load_claims()[id].check_for("laptop").parts}
        assert set(claim) == asked and all(values.shape == (2,) for values in claim.values()), id


def test_the_largest_step_is_a_share_of_the_whole_rise():
    layers = np.array([[[0.2, 0.2, 0.2], [0.2, 0.3, 1.0]]])  # [S, T, layers]
    claim = cs.neighbours_claim({f"chi{k}_{part}": layers for k in (5, 30) for part in ("train", "test")})
    assert np.allclose(claim["chi_output_minus_input_k5_train"], 0.8)
    assert np.allclose(claim["chi_largest_step_share_k30_test"], 0.7 / 0.8)


def test_more_collapse_with_more_accuracy_is_a_negative_correlation():
    settings = [
        some_results(train_error=[[1, 1, 1, 0, 0]] * 2, nc1=[[9, 9, 9, 9, n]] * 2, test_error=[[1, 1, 1, 1, e]] * 2)
        for n, e in ((0.1, 0.01), (0.2, 0.02), (0.3, 0.03), (0.4, 0.04))
    ]
    assert np.allclose(cs.correlation(settings), -1)
    unfit = some_results(train_error=[[1.0] * 5] * 2, nc1=[[0.0] * 5] * 2, test_error=[[1.0] * 5] * 2)
    assert np.allclose(cs.correlation([*settings, unfit]), -1), "nets with training errors do not count"
    assert np.isnan(cs.correlation(settings[:3])).all(), "three nets are too few"


def test_tickets_are_compared_by_log_ratios_with_half_a_count_for_nc4():
    ends = {"ticket": 2.0, "random": 4.0, "dense": 1.0}
    pruned = {
        arm: {name: np.array([[v]]) for name in ("nc1", "nc2_angles", "nc3")} | {"nc4": np.array([[nc4]])}
        for (arm, v), nc4 in zip(ends.items(), (0.0, 0.01, 0.0), strict=True)
    }
    claim = cs.ticket_claim(pruned, 100)
    assert claim["log2_nc1_ticket_over_dense"].tolist() == [1] and claim["log2_nc3_ticket_over_random"].tolist() == [-1]
    assert claim["log2_nc4_ticket_over_dense"].tolist() == [0]
    assert np.allclose(claim["log2_nc4_ticket_over_random"], np.log2(0.5 / 1.5))
    assert len(figures.ratio_rows(claim)) == 8


def test_alignment_is_the_gain_of_the_last_hidden_layer_over_the_earlier_ones():
    gained = np.zeros((1, 2, 4)) + 0.1
    gained[0, 1] = [0.2, 0.3, 0.6, 0.9]  # two earlier layers, the last hidden one, the outputs
    assert np.allclose(cs.alignment_claim({"alignment": gained})["weight_alignment_last_minus_earlier_layers"], 0.35)


def test_figures_mark_where_the_training_error_reached_zero():
    results = some_results(train_error=[[1, 0.5, 0, 0, 0]] * 2, nc1=[[9, 8, 4, 3, 1]] * 2)
    fig, ax = plt.subplots()
    epochs.over_epochs(ax, {"net": (results, "blue")}, "nc1")
    marks = [line for line in ax.get_lines() if line.get_marker() == "^"]
    assert [line.get_xdata()[0] for line in marks] == [2]
    never = results | {"train_error": np.ones((2, 5))}
    epochs.mark_fit(ax, never)
    assert len([line for line in ax.get_lines() if line.get_marker() == "^"]) == 1
    plt.close(fig)
