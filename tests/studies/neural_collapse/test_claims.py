"""The claims of the neural-collapse study on curves whose answer is known, and the figures of small runs."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from redlib.evidence.claims import load_claims
from redlib.experiments.results import Results, stack
from redlib.measures.simplex import equiangularity, equinorm, of_noise
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
    finding = claims.nc_4(results, 100)
    assert finding.gate == {"terminal_phase": False}
    assert finding.parts["nearest_mean_mismatch_train"].tolist() == [50, 50], "points, from shares"


def test_mismatches_are_counted_with_half_a_one_and_compared_with_start_and_fit():
    results = run(train_error=FITS, nc4=[[0.9, 0.5, 0.1, 0.01, 0], [0.9, 0.02, 0.01, 0.01, 0]])
    parts = claims.nc_4(results, 100).parts
    assert np.allclose(parts["nearest_mean_mismatch_train"], 50 / 101)
    assert np.allclose(parts["log2_mismatch_end_over_start"], np.log2(0.5 / 90.5))
    assert np.allclose(parts["log2_mismatch_end_over_first_zero_error"], np.log2([0.5 / 10.5, 0.5 / 2.5]))


def test_a_simplex_beats_noise_and_noise_does_not():
    spread, deviation = of_noise(10, 256)
    assert spread == pytest.approx((2 * 256) ** -0.5, rel=0.1) and deviation == pytest.approx(0.049, abs=0.001)
    curves = {"train_error": FITS, "nc2_norms": [[0.5, 0, 0, 0, 0.01]] * 2, "nc2_angles": [[0.3, 0, 0, 0, 0.02]] * 2}
    parts = claims.nc_2(run(**curves), (spread, deviation)).parts
    assert np.allclose(parts["norm_variation_end_minus_noise"], 0.01 - spread)
    assert np.allclose(parts["cosine_deviation_end_minus_noise"], 0.02 - deviation)
    assert np.allclose(parts["cosine_deviation_end_minus_start"], -0.28)
    means = np.random.default_rng(0).standard_normal((400, 10, 256))
    means = torch.from_numpy(means - means.mean(1, keepdims=True))
    assert float(equinorm(means).mean()) == pytest.approx(spread, rel=0.05), "other draws of noise are no nearer"
    assert float(equiangularity(means).mean()) == pytest.approx(deviation, rel=0.02)


def findings():
    main, other = whole(), whole(1)
    return [
        claims.nc_1(main), claims.nc_2(main, (0.04, 0.05)), claims.nc_3(main), claims.nc_4(main, 100),
        claims.nc_5(main, other, 100), claims.nc_6(main), claims.nc_7(main), claims.nc_8(main, other),
        claims.nc_9(main, [main, other, other, other]),
        claims.nc_10(arms(), main, 100), claims.nc_11(main),
    ]  # fmt: skip


@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.id)
def test_claims_have_the_parts_their_checks_ask_for(finding):
    asked = {part.statistic for part in load_claims()[finding.id].check_for("laptop").parts}
    judging = {name for name in asked if name.startswith("chi_late_step")}  # one of two seeds chooses the step
    assert set(finding.parts) == asked
    assert {name: values.shape for name, values in finding.parts.items()} == {n: (2 - (n in judging),) for n in asked}


def test_a_narrow_net_that_fits_shuts_the_gate_of_the_corners():
    fits, errs = (run(train_error=rows, confident=[[0.9] * 5] * 2) for rows in (FITS, [[1.0] * 5] * 2))
    assert claims.nc_5(fits, errs, 100).gate == {"terminal_phase": True, "narrowest_net_errs": True}
    assert not claims.nc_5(fits, fits, 100).gate["narrowest_net_errs"]
    parts = claims.nc_5(fits, errs, 100).parts
    assert parts["share_confident_wide_minus_underparameterised"].tolist() == [0, 0]
    assert parts["share_confident_wide_end_minus_first_zero_error"].tolist() == [0, 0]
    assert np.allclose(parts["share_confident_wide"], 90.5 / 101)


def test_logits_are_compared_with_unit_vectors():
    curves = {"logit_nc1": [[4, 1, 1, 1, 1]] * 2, "logit_norm": [[1, 1, 2, 4, 8]] * 2}
    parts = claims.nc_6(run(train_error=[FITS[0]] * 2, **curves)).parts
    assert parts["log2_logit_norm_end"].tolist() == [3, 3] and parts["logit_nc1_end_over_start"].tolist() == [0.25] * 2
    assert parts["log2_logit_norm_growth_after_zero_error"].tolist() == [2, 2]


def test_mislabelled_images_are_compared_with_the_class_told():
    curves = {"nc1": [[1.0] * 5] * 2, "mislabelled_nc1_true": [[8.0] * 5] * 2, "mislabelled_nc1_told": [[2.0] * 5] * 2}
    noisy, clean = run(train_error=FITS, **curves), run(train_error=FITS, nc1=[[0.5] * 5] * 2)
    parts = claims.nc_8(clean, noisy).parts
    assert parts["log2_mislabelled_nc1_true_over_told"].tolist() == [2, 2]
    assert parts["log2_nc1_noise20_over_clean"].tolist() == [1, 1]


def test_the_late_step_is_a_share_of_the_whole_rise_and_chosen_by_other_seeds():
    layers = np.array([[[0.2] * 5, [0.2, 0.9, 0.9, 0.9, 1.0]]])  # [S, T, layers]: an early step is not late
    assert np.allclose(claims.rise(layers), 0.8) and np.allclose(claims.late_step(layers), 0.1 / 0.8)
    other = np.array([[[0.2] * 5, [0.2, 0.2, 0.2, 1.0, 1.0]]])
    assert np.allclose(claims.late_step(np.concatenate([layers, other])), 0), "the second seed chooses the third step"


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
    assert np.allclose(parts["log2_smallest_fgsm_epsilon_end_over_first_zero_error"], 2)
    assert np.isnan(parts["partial_correlation_nc1_accuracy"]).all(), "two nets, each counted once, are too few"


def test_margins_that_are_one_number_both_times_are_not_known_to_have_stayed():
    def growth(*ends):
        return claims.margin_growth(run(train_error=[FITS[1]] * len(ends), margin=[[1, 1, 1, 1, end] for end in ends]))

    assert np.isnan(growth(1, 1, 2)).all() and growth(1, 2, 2).tolist() == [0, 1, 1]
    assert growth(0, 0).tolist() == [np.log2(claims.FINEST)] * 2


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
