"""The claims of the neural-collapse study on curves whose answer is known, and the figures of small runs."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib.evidence.claims import load_claims
from redlib.experiments.results import Results, stack
from redlib.studies.neural_collapse import claims, figures
from redlib.studies.neural_collapse.runs import Tickets

matplotlib.use("agg")
EPOCHS = [0.0, 1, 2, 4, 8]
FITS = [[1, 0.5, 0, 0.1, 0], [1, 0, 0, 0, 0]]
MEASURED = ["nc1", "nc2_norms", "nc2_angles", "nc3", "nc4", "test_nc1", "test_nc4", "logit_nc1", "mislabelled_nc1_told"]
OUTPUTS = ["test_error", "confident", "logit_norm", "gap_spread", "margin", "mislabelled_nc1_true"]


def run(**curves):
    """Return results [S, T] (or [S, T, n]) of two seeds and five looks."""
    arrays = {"epochs": np.array(EPOCHS)} | {name: np.array(rows, float) for name, rows in curves.items()}
    return Results(arrays, {name: ("look",) if name == "epochs" else ("seed", "look", "n") for name in arrays})


def whole(seed=0):
    """Return results with everything that a run of the study can have, at random; the nets fit at looks 2 and 1."""
    source = np.random.default_rng(seed)
    curves = {name: source.uniform(0.1, 1, (2, 5)) for name in MEASURED + OUTPUTS} | {"train_error": np.array(FITS)}
    curves |= {f"chi{k}_{part}": source.uniform(0, 1, (2, 2, 4)) for k in (5, 30) for part in ("train", "test")}
    curves |= {"alignment": source.uniform(0, 1, (2, 5, 3)), "strength": source.uniform(0, 1, (2, 5, 9))}
    extra = {"alignment": "matrix", "strength": "direction"}
    axes = {
        n: ("seed", "end" if "chi" in n else "look", *[extra.get(n, "layer")] * (v.ndim - 2)) for n, v in curves.items()
    }
    return Results(curves | {"epochs": np.array(EPOCHS)}, axes | {"epochs": ("look",)})


def arms():
    return stack({arm: whole(k) for k, arm in enumerate(("ticket", "random"))}, "arm")


def test_the_terminal_phase_starts_at_the_first_look_without_an_error():
    results = run(train_error=FITS, nc1=[[9, 8, 4, 3, 1], [9, 6, 5, 3, 3]])
    assert claims.at_fit(results, "nc1").tolist() == [4, 6] and claims.fall(results, "nc1").tolist() == [0.25, 0.5]
    assert claims.gain(results, "nc1").tolist() == [-3, -3] and claims.terminal(results)
    never = run(train_error=[[1.0] * 5] * 2, nc1=[[1.0] * 5] * 2)
    assert np.isnan(claims.at_fit(never, "nc1")).all()


@pytest.mark.parametrize(
    "errors", [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0.1], [1, 0, 0, 0, 0.1]], ids=["too late", "never", "lost again"]
)
def test_without_a_terminal_phase_the_gate_is_shut(errors):
    results = run(train_error=[errors, [1, 0, 0, 0, 0]], nc4=[[0.5] * 5] * 2)
    finding = claims.nc_4(results)
    assert finding.gate == {"terminal_phase": False}
    assert finding.parts["nearest_mean_mismatch_train"].tolist() == [50, 50], "points, from shares"


def findings():
    main, other = whole(), whole(1)
    return [
        claims.nc_1(main), claims.nc_2(main), claims.nc_3(main), claims.nc_4(main), claims.nc_5(main, other),
        claims.nc_6(main), claims.nc_7(main), claims.nc_8(main, other), claims.nc_9(main, [main, other, other, other]),
        claims.nc_10(arms(), main, 100), claims.nc_11(main),
    ]  # fmt: skip


@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.id)
def test_claims_have_the_parts_their_checks_ask_for(finding):
    asked = {part.statistic for part in load_claims()[finding.id].check_for("laptop").parts}
    assert set(finding.parts) == asked and all(values.shape == (2,) for values in finding.parts.values())


def test_a_narrow_net_that_fits_shuts_the_gate_of_the_corners():
    fits, errs = (run(train_error=rows, confident=[[0.9] * 5] * 2) for rows in (FITS, [[1.0] * 5] * 2))
    assert claims.nc_5(fits, errs).gate == {"terminal_phase": True, "narrowest_net_errs": True}
    assert not claims.nc_5(fits, fits).gate["narrowest_net_errs"]
    assert claims.nc_5(fits, errs).parts["share_confident_wide_minus_underparameterised"].tolist() == [0, 0]


def test_the_largest_step_is_a_share_of_the_whole_rise():
    layers = np.array([[[0.2, 0.2, 0.2], [0.2, 0.3, 1.0]]])  # [S, T, layers]
    assert np.allclose(claims.rise(layers), 0.8) and np.allclose(claims.largest_step(layers), 0.7 / 0.8)


def test_more_collapse_with_more_accuracy_is_a_negative_correlation():
    compared = [
        run(train_error=FITS, nc1=[[9, 9, 9, 9, n]] * 2, test_error=[[1, 1, 1, 1, e]] * 2)
        for n, e in ((0.1, 0.01), (0.2, 0.02), (0.3, 0.03), (0.4, 0.04))
    ]
    assert np.allclose(claims.correlation(compared), -1)
    unfit = run(train_error=[[1.0] * 5] * 2, nc1=[[0.0] * 5] * 2, test_error=[[1.0] * 5] * 2)
    assert np.allclose(claims.correlation([*compared, unfit]), -1), "nets with training errors do not count"
    assert np.isnan(claims.correlation(compared[:3])).all(), "three nets are too few"


def test_benefits_are_counted_in_points_and_steps_from_zero_error_on():
    curves = {"test_error": [[0.5, 0.4, 0.03, 0.02, 0.01]] * 2, "margin": [[0.1, 0.1, 0.1, 0.2, 0.4]] * 2}
    nets = [run(train_error=[FITS[0]] * 2, nc1=[[1, 1, 1, 1, n]] * 2, **curves) for n in (0.1, 0.2)]
    parts = claims.nc_9(nets[0], nets).parts
    assert np.allclose(parts["test_accuracy_end_minus_first_zero_error"], 2)
    assert np.allclose(parts["smallest_fgsm_epsilon_end_minus_first_zero_error"], 0.3)
    assert np.isnan(parts["partial_correlation_nc1_accuracy"]).all(), "two nets, each counted once, are too few"


def test_tickets_are_compared_by_log_ratios_with_half_a_count_for_nc4():
    def one(value, nc4):
        curves = {name: [[value] * 5] * 2 for name in ("nc1", "nc2_angles", "nc3")}
        return run(train_error=FITS, nc4=[[nc4] * 5] * 2, **curves)

    tickets = stack({"ticket": one(2.0, 0.0), "random": one(4.0, 0.01)}, "arm")
    parts = claims.nc_10(tickets, one(1.0, 0.0), 100).parts
    assert parts["log2_nc1_ticket_over_dense"].tolist() == [1, 1]
    assert parts["log2_nc2_ticket_over_dense"].tolist() == [1, 1]
    assert parts["log2_nc3_ticket_over_random"].tolist() == [-1, -1]
    assert parts["log2_nc4_ticket_over_dense"].tolist() == [0, 0]
    assert np.allclose(parts["log2_nc4_ticket_over_random"], np.log2(0.5 / 1.5))


def test_alignment_is_the_gain_of_the_last_hidden_layer_over_the_earlier_ones():
    gained = np.zeros((2, 5, 4)) + 0.1
    gained[:, -1] = [0.2, 0.3, 0.6, 0.9]  # two earlier layers, the last hidden one, the outputs
    parts = claims.nc_11(run(train_error=FITS, alignment=gained)).parts
    assert np.allclose(parts["weight_alignment_last_minus_earlier_layers"], 0.35)


def test_figures_show_every_run_and_layer():
    runs = {name: whole(k) for k, name in enumerate(figures.COLOURS)}
    main, widths = runs["squared error"], stack({width: whole(width) for width in (2, 8)}, "width")
    ratios = claims.nc_10(arms(), main, 100).parts
    drawn = {
        "simplex": (figures.simplex(runs, (0.04, 0.05)), 2),
        "reasons": (figures.reasons(runs), 3),
        "corners": (figures.corners(runs, widths, 64), 3),
        "layers": (figures.layers(runs), 2),
        "weights": (figures.weights(main), 1),
        "wrong_labels": (figures.wrong_labels(main, runs["conv net"]), 2),
        "pruned": (figures.pruned(arms(), main, ratios), 2),
        "benefit": (figures.benefit(runs, {"as above": main}), 3),
    }
    assert {name: len(fig.axes) for name, (fig, _) in drawn.items()} == {name: n for name, (_, n) in drawn.items()}
    left, middle, right = drawn["corners"][0].axes
    assert left.get_lines()[0].get_xdata().tolist() == [2, 8, 64]
    names = [line.get_label() for line in drawn["weights"][0].axes[0].get_lines() if line.get_label()[0] != "_"]
    assert names == ["hidden layer 1", "hidden layer 2", "output layer"]
    assert len(drawn["pruned"][0].axes[1].get_yticklabels()) == 8
    plt.close("all")


def test_the_player_tells_epoch_error_and_nc1():
    logits = np.zeros((5, 4, 3)) + [1.0, 0, 0]
    found = Results({"epochs": np.array(EPOCHS), "logits": logits, "y": np.array([0, 0, 0, 1]), "nc1": np.ones(5)}, {})
    assert figures.frames(found)[2] == "epoch 2 · training error 25.0% · NC1 1"


def test_tickets_have_an_axis_of_arms_named_as_the_claim_asks():
    assert Tickets().labels == {"arm": ("ticket", "random")}
