"""The claims on tickets: each part is what its name says, worked out by hand from results made up here."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from redlib.evidence.claims import load_claims
from redlib.experiments.chain import D3_6, D11, D13, D21, D51, Level, levels
from redlib.experiments.results import Results
from redlib.pruning.criteria import CRITERIA
from redlib.pruning.masks import weights_of
from redlib.pruning.tickets import Cut
from redlib.studies.lottery_tickets import claims

spec = importlib.util.spec_from_file_location("tiny_tickets", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
LAB = tiny.LAB


def made(early, labels=None, **arrays):
    """Results with these early errors [S, *labels] and other arrays of the same axes, or given as (array, axes)."""
    labels = labels or {}
    axes = ("seed", *labels)
    found = {"early_error": np.asarray(early, float)} | arrays
    own = {name: value[1] if isinstance(value, tuple) else axes for name, value in found.items()}
    plain = {name: np.asarray(value[0] if isinstance(value, tuple) else value) for name, value in found.items()}
    return Results(plain, own, labels)


def points(*accuracies):
    """Results of one net with these accuracies, one a seed."""
    return made(1 - np.array(accuracies) / 100)


LOOKS = np.arange(1, 41), ("step",)


def trained_like(shape, source):
    """Random early and final errors, and early steps before the last look."""
    rng = np.random.default_rng(source)
    return rng.random(shape), {"early_step": rng.integers(1, 40, shape), "final_error": rng.random(shape)}


def chain(depth=16, seeds=4, source=0):
    early, others = trained_like((seeds, depth), source)
    return made(early, {"level": tuple(range(depth))}, steps=LOOKS, **others)


def arms(*names, at=(D21, D11), seeds=4):
    early, others = trained_like((seeds, len(names), len(at)), 9)
    return made(early, {"arm": names, "level": at}, steps=LOOKS, **others)


def accuracy(found, when="early", **where):
    return 100 * (1 - found.at(**where)[f"{when}_error"])


def rounded(finding):
    return {name: np.round(values, 9).tolist() for name, values in finding.parts.items()}


def test_a_finding_holds_what_its_check_asks_for_at_laptop_and_nothing_unknown():
    known = load_claims()
    tickets, controls = chain(), arms("reinit", "random")
    for finding in (claims.lth_1(tickets, controls), claims.lth_2(tickets, controls), claims.lth_3(tickets)):
        checks = [known[finding.id].check_for(profile) for profile in ("laptop", "paper")]
        names = [{leaf.statistic for leaf in check.parts} for check in checks]
        assert names[0] <= set(finding.parts) == names[0] | names[1]
        assert set(finding.gate) == {"dense_net_learns"}


def test_the_dense_net_learns_if_every_seed_is_three_times_as_good_as_chance():
    good, poor = ({"level": (0, 1)}, [[0.6, 0.9], [0.69, 0.9]]), ({"level": (0, 1)}, [[0.6, 0.1], [0.71, 0.1]])
    assert [claims.learns(made(errors, labels)) for labels, errors in (good, poor)] == [
        {"dense_net_learns": True},
        {"dense_net_learns": False},
    ]


def test_the_main_claims_are_paired_differences_at_the_levels_they_name():
    tickets, controls = chain(), arms("reinit", "random", "shuffled")
    one, two, three = (
        f.parts for f in (claims.lth_1(tickets, controls), claims.lth_2(tickets, controls), claims.lth_3(tickets))
    )
    t = accuracy(tickets)
    np.testing.assert_allclose(one["gain_over_reinit_d21"], t[:, 7] - accuracy(controls, arm="reinit", level=7))
    np.testing.assert_allclose(one["gain_over_reinit_d11"], t[:, 10] - accuracy(controls, arm="reinit", level=10))
    ratio = tickets["early_step"][:, 7] / controls.at(arm="reinit", level=7)["early_step"]
    np.testing.assert_allclose(one["log2_early_stop_ratio_d21"], np.log2(ratio))
    np.testing.assert_allclose(one["reinit_over_ticket_early_stop_d21"], 1 / ratio)
    np.testing.assert_allclose(two["gain_over_random_d21"], t[:, 7] - accuracy(controls, arm="random", level=7))
    np.testing.assert_allclose(two["gain_over_random_d11"], t[:, 10] - accuracy(controls, arm="random", level=10))
    np.testing.assert_allclose(two["random_accuracy_d11"], accuracy(controls, arm="random", level=10))
    for name, level in {"d51": D51, "d21": D21, "d13": D13, "d11": D11, "d4": D3_6}.items():
        np.testing.assert_allclose(three[f"gain_over_dense_{name}"], t[:, level] - t[:, 0])
    np.testing.assert_allclose(three["accuracy_d4_minus_d13"], t[:, D3_6] - t[:, D13])
    steps = tickets["early_step"]
    np.testing.assert_allclose(three["early_stop_ratio_d21"], steps[:, 7] / steps[:, 0])


def test_early_stops_are_compared_unless_both_nets_still_improved_at_the_last_look():
    steps = np.array([2, 4, 8]), ("step",)
    one, other = (made([0.0] * 4, steps=steps, early_step=at) for at in ([2, 8, 4, 8], [4, 2, 8, 8]))
    np.testing.assert_array_equal(claims.log2_earlier(one, other), [-1, 2, -1, np.nan])


def test_as_well_as_means_three_quarters_of_the_lead_over_a_control():
    assert claims.above_share(points(80, 70), points(90, 90), points(50, 50)).tolist() == pytest.approx([0, -10])


def test_the_best_level_is_chosen_by_seeds_that_do_not_judge():
    # The last seed gains most at level 2: the first three are read there, wherever their own best is.
    errors = 0.5 - np.array([[0, 0.10, 0.02], [0, 0.01, 0.20], [0, 0.30, 0.04], [0, 0.03, 0.40]])
    assert claims.peak_gain(made(errors, {"level": (0, 1, 2)})).tolist() == pytest.approx([2, 20, 4])


def test_results_of_fewer_seeds_are_compared_with_the_first_ones():
    assert claims.gain(points(50, 60, 70), points(40, 55)).tolist() == pytest.approx([10, 5])
    assert claims.gain(points(40, 55), points(50, 60, 70)).tolist() == pytest.approx([-10, -5])


def test_controls_are_compared_at_one_density():
    tickets, reinit = chain(), arms("reinit", "random")
    names = "keep_sign", "frozen", "noise_half", "noise_three", "finetuned"
    controls = arms(*names, at=(D11,)).at(level=D11)
    alike = arms("reinit", at=(D11, D3_6)).at(arm="reinit")
    ticket, fresh = accuracy(tickets, level=D11), accuracy(reinit, arm="reinit", level=D11)
    signs = claims.lth_14(tickets, reinit, controls).parts
    np.testing.assert_allclose(signs["keep_sign_minus_reinit"], accuracy(controls, arm="keep_sign") - fresh)
    np.testing.assert_allclose(signs["keep_sign_minus_ticket"], accuracy(controls, arm="keep_sign") - ticket)
    expected = 2 * accuracy(controls, arm="keep_sign") - fresh - ticket
    np.testing.assert_allclose(signs["signs_minus_sizes"], expected)
    np.testing.assert_allclose(signs["freeze_minus_zero"], accuracy(controls, arm="frozen") - ticket)
    noise = claims.lth_10(tickets, reinit, controls, points(30, 31, 32, 33), points(50, 50, 50, 50)).parts
    assert noise["initial_magnitude_minus_reinit"].tolist() == pytest.approx([-20, -19, -18, -17])
    np.testing.assert_allclose(noise["noise_half_sd_minus_ticket"], accuracy(controls, arm="noise_half") - ticket)
    expected = accuracy(controls, arm="noise_half") - 0.75 * ticket - 0.25 * fresh
    np.testing.assert_allclose(noise["noise_half_above_three_quarters"], expected)
    np.testing.assert_allclose(noise["noise_three_sd_minus_reinit"], accuracy(controls, arm="noise_three") - fresh)
    tuned = claims.lth_34(tickets, reinit, controls).parts
    np.testing.assert_allclose(tuned["finetuned_minus_reinit_d10"], accuracy(controls, arm="finetuned") - fresh)
    np.testing.assert_allclose(tuned["finetuned_minus_rewound_d10"], accuracy(controls, arm="finetuned") - ticket)
    at_the_end = accuracy(controls, "final", arm="finetuned") - accuracy(tickets, "final", level=D11)
    np.testing.assert_allclose(tuned["finetuned_minus_rewound_d10_end"], at_the_end)
    cuts = claims.lth_5(tickets, alike, points(9, 9), points(8, 7)).parts
    for name, level in {"d11": D11, "d4": D3_6}.items():
        expected = accuracy(tickets, level=level) - accuracy(alike, level=level)
        np.testing.assert_allclose(cuts[f"iterative_minus_oneshot_{name}"], expected)
    ratio = tickets["early_step"][:, D11] / alike.at(level=D11)["early_step"]
    np.testing.assert_allclose(cuts["iterative_over_oneshot_early_stop_d11"], ratio)
    assert cuts["iterative_minus_oneshot_equal_compute_d11"].tolist() == pytest.approx([1, 2])


def test_criteria_are_compared_by_name_at_both_densities():
    names = ("random", "magnitude", "small_final", "magnitude_increase")
    assert {*names} <= {*CRITERIA}
    errors = np.array([[[0.50, 0.10, 0.70, 0.15], [0.60, 0.20, 0.90, 0.05]]])
    criteria = made(errors, {"level": (D21, D11), "criterion": names})
    assert rounded(claims.lth_11(chain(), criteria)) == {
        "growth_minus_largest_d20": [-5], "largest_minus_random_d20": [40], "largest_minus_smallest_d20": [60],
        "growth_minus_random_d20": [35], "growth_minus_smallest_d20": [55], "growth_minus_largest_d10": [15],
        "largest_minus_random_d10": [40], "largest_minus_smallest_d10": [70], "growth_minus_random_d10": [55],
        "growth_minus_smallest_d10": [85], "growth_above_three_quarters_d20": [5],
        "growth_above_three_quarters_d10": [25],
    }  # fmt: skip


# ---- inside a trained net ----


@pytest.fixture(scope="module")
def trained():
    """The levels 0 to 3 of a chain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for level in levels(Level(LAB), 3).values():
        found.append(level.results(level.run(found[-1].arrays if found else None)))
    torch.set_num_threads(before)
    return found


def test_movement_is_measured_in_the_largest_layer_of_the_dense_training(trained):
    weights = claims.start_and_end(LAB, trained[0])
    assert claims.largest(weights[0]) == "layer1"
    ratio, null = claims.moves(*weights, Cut(), LAB.seeds, draws=20)
    for r in range(3):
        w0, w1 = (values["layer1"][r].flatten().numpy() for values in weights)
        kept = np.argsort(-np.abs(w1), kind="stable")[: round(14 * 64 * 0.8**7)]
        moved, cut = np.abs(w1 - w0), np.setdiff1d(np.arange(w0.size), kept)
        assert ratio[r] == pytest.approx(np.median(moved[kept]) / np.median(moved[cut]))
    assert null.shape == (3, 20)
    found = claims.lth_9(np.array([2.0, 1.0]), np.array([[1, 3], [0, 0.5]])).parts
    assert found["median_move_ratio"].tolist() == [2, 1] and found["share_of_null_below"].tolist() == [0.5, 1]


def test_kurtosis_is_that_of_the_largest_layer_before_and_after(trained):
    weights, tickets = claims.start_and_end(LAB, trained[0]), chain(seeds=3)
    expected = []
    for tensors in weights:
        w = tensors["layer1"].flatten(1).double().numpy()
        z = (w - w.mean(1, keepdims=True)) / w.std(1, keepdims=True)
        expected.append((z**4).mean(1) - 3)
        np.testing.assert_allclose(claims.kurtosis(tensors), expected[-1], rtol=1e-4)
    controls = arms("finetuned", at=(D11,), seeds=3).at(level=D11)
    found = claims.lth_33(tickets, controls, *weights).parts
    np.testing.assert_allclose(found["kurtosis_trained_minus_initial"], expected[1] - expected[0], rtol=1e-3)
    drop = accuracy(tickets, level=0) - accuracy(controls, arm="finetuned")
    np.testing.assert_allclose(found["drop_after_retraining_d10"], drop)


def test_concentration_is_averaged_over_the_sides_of_hidden_units():
    values = {"incoming": 2.0, "outgoing": 3.0, "excess": 1.0}
    tens = 10.0 ** np.arange(3)
    arrays = {
        kind: (np.stack([np.zeros(3), value * tens], 1)[None], ("seed", "layer", "level"))
        for kind, value in values.items()
    }
    crowds = made([0.0], {}, **arrays)
    crowds = Results(crowds.arrays, crowds.axes, {"layer": tuple("abc"), "level": (D21, D11)})
    found = claims.lth_24(crowds).parts
    assert found["log2_incoming_variance_ratio"].tolist() == pytest.approx([(1 + math.log2(20)) / 2])
    assert found["outgoing_variance_ratio"].tolist() == pytest.approx([(30 + 300) / 2])
    assert found["log2_outgoing_over_incoming"].tolist() == pytest.approx([math.log2(15)])
    assert claims.lth_25(crowds).parts["excess_survival_over_null"].tolist() == pytest.approx([(1 + 10) / 2])


def test_crowding_leaves_out_inputs_that_never_vary(trained):
    found = claims.crowding(LAB, trained[3], (1, 3))
    train = LAB.parts()["train"]
    for level, seed in ((1, 0), (1, 2), (3, 1)):
        x = train.x[train.rows[seed]].numpy()
        alive = x.min(0) < x.max(0)
        assert 0 < (~alive).sum() < 25  # corner pixels of the digits that the seed drew
        masks = claims.masks_of_levels(trained[level].arrays, LAB.nets(), (level,))[level]
        kept = masks["layer1"][seed].numpy()[:, alive]
        n, k, m = kept.size, kept.sum(), alive.sum()
        share = k / n
        # Variance of a hypergeometric draw of alive.sum() of n weights, k of them kept.
        expected = kept.sum(1).var() / (m * share * (1 - share) * (n - m) / (n - 1))
        np.testing.assert_allclose(found.at(layer="layer1", level=level)["incoming"][seed], expected, rtol=0.1)
    assert found.labels["layer"] == list(weights_of(LAB.nets())) and found["excess"].shape == (3, 3, 2)


# ---- masks alone ----


def test_untrained_claims_take_the_density_that_is_best_on_validation():
    validation = np.array([[[0.2, 0.9, 0.1], [0.5, 0.4, 0.6]]])
    test = np.array([[[0.99, 0.7, 0.98], [0.97, 0.96, 0.8]]])
    labels = {"arm": ("ticket", "signed_constant"), "level": (1, 2, 3)}
    best = claims.best_untrained(made(test, labels, validation_accuracy=validation, test_accuracy=test))
    assert best["test_accuracy"].tolist() == [[0.7, 0.8]] and best["validation_accuracy"].tolist() == [[0.9, 0.6]]
    found = rounded(claims.lth_12(best))
    assert found == {"accuracy_initial": [70], "signed_constant_minus_initial": [10], "fc_initial": [70],
                     "fc_signed_constant": [80]}  # fmt: skip


def test_learned_and_popup_claims_name_weights_and_shares():
    labels = {"level": tuple((w, r) for w in ("initial", "signed_constant") for r in (False, True))}
    learned = made(np.zeros((1, 4)), labels, test_accuracy=[[0.5, 0.6, 0.7, 0.9]])
    assert claims.lth_13(learned, points(95)).gate == {"trained_net_learns": True}
    assert rounded(claims.lth_13(learned, points(95))) == {
        "learned_accuracy": [50], "rescaled_minus_plain": [10], "signed_constant_minus_initial": [20],
        "rescaled_signed_constant_minus_trained": [-5], "fc_initial": [50], "fc_signed_constant": [70],
        "fc_rescaled_initial": [60], "fc_rescaled_signed_constant": [90],
    }  # fmt: skip
    reached = [[[0.4, 0.1 * (5 + math.log2(width)), 0.45] for width in (1, 2, 4)]]
    popup = made(np.zeros((1, 3, 3)), {"width": (1, 2, 4), "level": (0.1, 0.5, 0.9)}, test_accuracy=reached)
    trained = made(np.full((1, 3), 0.1), {"level": (1, 2, 4)})
    finding = claims.lth_15(popup, made([0.0], test_accuracy=[0.3]), trained)
    assert rounded(finding) == {
        "half_minus_tenth": [30], "half_minus_nine_tenths": [25], "signed_constant_minus_normal": [40],
        "gap_width_slope": [-10],
    }  # fmt: skip
    assert finding.gate == {"trained_net_learns": True}


def test_the_error_of_a_target_falls_by_its_logarithm_with_every_candidate():
    errors = np.exp(-0.5 * np.array([[2, 4, 6], [4, 8, 12]]))
    found = claims.lth_16((2, 4, 6), errors).parts
    assert found["log_error_candidates_slope"].tolist() == pytest.approx([-0.5, -1])


# ---- transfer, rates, sizes ----


def short(dense, ticket, train=0.0):
    return made([[1 - dense / 100, 1 - ticket / 100]], {"level": (0, 5)}, train_error=[[0.0, train]])


def armed(train=0.0, **accuracies):
    errors = [[[1 - value / 100] for value in accuracies.values()]]
    labels = {"arm": tuple(accuracies), "level": (5,)}
    return made(errors, labels, train_error=np.full(np.shape(errors), train))


def test_transfer_is_compared_with_random_and_native_nets_of_the_same_training():
    random = armed(reinit=50, random=40)
    found = claims.lth_17(short(70, 66), random, armed(ticket=65))
    assert rounded(found) == {"transfer_minus_random_d10": [25], "transfer_above_three_quarters_d10": [5.5],
                              "transfer_minus_native_d10": [-1]}  # fmt: skip
    assert found.gate == {"dense_net_learns": True}
    across = claims.lth_19(short(20, 66), random, armed(random=30), armed(ticket=45), armed(ticket=55))
    assert rounded(across) == {"sgd_to_adam_minus_random": [25], "adam_to_sgd_minus_random": [5]}
    assert across.gate == {"dense_net_learns": False}


def test_transfer_between_data_sets_goes_both_ways_and_grows_with_the_source():
    there, back = (armed(ticket=65), armed(random=40)), (armed(ticket=55), armed(random=50))
    sources = made([[0.5, 0.4, 0.3]], {"level": (100, 200, 400)})
    found = claims.lth_18(there, back, sources, [short(70, 66), short(70, 66)])
    assert rounded(found) == {"transfer_there_minus_random": [25], "transfer_back_minus_random": [5],
                              "source_size_slope": [10]}  # fmt: skip
    assert found.gate == {"dense_nets_learn": True}
    assert claims.lth_18(there, back, sources, [short(70, 66), short(20, 66)]).gate == {"dense_nets_learn": False}


TUNED, SETTLED = "large_rate_is_within_a_point_of_the_best", "fresh_weights_have_settled_at_the_large_rate"


def rates(*early_steps):
    """The parts and the gates of LTH-20 at either of two rates, with these early steps of fresh weights, of 100."""
    small, large = armed(ticket=66, reinit=50), armed(ticket=68, reinit=65)
    steps = {"early_step": [[[10], [step]] for step in early_steps], "steps": (np.arange(101), ("step",))}
    large = made(np.repeat(large["early_error"], len(early_steps), 0), large.labels, **steps)
    errors = np.array([[[0.4, 0.30], [0.3, 0.25]], [[0.4, 0.32], [0.25, 0.3]]])  # [S, rates, looks]: best 0.31, 0.25
    grid = made(np.zeros((2, 2)), {"level": (0.1, 0.2)}, validation_error=(errors, ("seed", "level", "step")))
    found = [claims.lth_20(small, large, grid, rate) for rate in (0.1, 0.2)]
    return rounded(found[1]), [finding.gate for finding in found]


def test_the_large_rate_must_be_near_the_best_of_the_grid():
    found, gates = rates(30)
    assert found == {"gain_small_minus_large_rate": [13], "gain_at_large_minus_quarter_of_small_rate": [-1],
                     "gain_at_large_rate": [3]}  # fmt: skip
    assert gates == [{TUNED: False, SETTLED: True}, {TUNED: True, SETTLED: True}]


def test_fresh_weights_must_have_settled_on_average():
    assert [rates(*steps)[1][1][SETTLED] for steps in ((80,), (81,), (60, 100), (63, 100))] == [1, 0, 1, 0]


def sized(early_steps, looks=(10, 20, 40, 80, 160, 320)):
    """Tickets of three starting nets, each twice the other, with these early steps [S, 3]."""
    errors = [[0.4, 0.35, 0.3]] * len(early_steps)
    return made(errors, {"level": (2, 4, 8)}, early_step=early_steps, steps=(np.array(looks), ("step",)))


def test_slopes_on_size_are_per_doubling():
    found = claims.lth_8(sized([[20, 40, 80]]), chain()).parts
    assert found["accuracy_size_slope"].tolist() == pytest.approx([5])
    assert found["early_stop_size_slope"].estimate == pytest.approx(1)


def test_equal_early_stops_are_known_to_half_a_look():
    found = claims.lth_8(sized([[40] * 3] * 5), chain()).parts["early_stop_size_slope"]
    slack = math.log2(50 / 30) / 2  # 20 steps since the look before, half of them either way, two nets at the ends
    assert (found.low, found.estimate, found.high) == pytest.approx((-slack, 0, slack))
    looks = np.arange(10, 330, 10)
    fine = claims.lth_8(sized([[160] * 3] * 5, looks), chain()).parts["early_stop_size_slope"]
    assert fine.high == pytest.approx(math.log2(165 / 155) / 2)


def test_early_stops_at_the_last_look_are_no_times():
    late = [[40, 80, 320]]
    mostly = claims.lth_8(sized([[40, 80, 160]] + late * 2), chain()).parts["early_stop_size_slope"]
    assert np.isnan(mostly).all() and len(mostly) == 3
    half = claims.lth_8(sized([[40, 80, 160]] * 2 + late * 2), chain()).parts["early_stop_size_slope"]
    assert (half.estimate, half.n) == (pytest.approx(1), 2)


def test_the_best_small_net_is_chosen_by_validation_among_the_first_members():
    losses = np.array([[[3, 2], [9, 1.5], [8, 8], [1, 9]], [[2, 2], [3, 3], [4, 4], [9, 1.0]]])
    errors = [[0.5, 0.4, 0.1, 0.3], [0.9, 0.2, 0.6, 0.7]]
    axes = ("seed", "member", "step")
    small = made(errors, {"member": range(4)}, validation_loss=(losses, axes))
    assert claims.best_of(small, 1).tolist() == pytest.approx([50, 10])
    assert claims.best_of(small, 3).tolist() == pytest.approx([60, 10])  # not 90: test data do not choose
    assert claims.best_of(small, 4).tolist() == pytest.approx([70, 30])
    tickets = made(np.full((3, 11), 0.2), {"level": tuple(range(11))})
    found = rounded(claims.lth_35(tickets, small))  # of so few members the best of 5 and of 20 are the same
    gaps = {"ticket_minus_best_of_1": [30, 70], "ticket_minus_best_of_5": [10, 50], "ticket_minus_best_of_20": [10, 50]}
    assert {name: found[name] for name in gaps} == gaps and max(found["gap_log2_count_slope"]) < 0


# ---- early steps ----


def flipped():
    arrays = {"steps": np.array([1, 4, 5, 14]), "changed": np.array([[0.2, 0.2, 0.05, 0.15]])}
    return Results(arrays, {"steps": ("step",), "changed": ("seed", "step")})


def test_early_flips_are_compared_step_by_step_with_later_ones():
    # 0.4 in 4 steps, then 0.2 in 10.
    assert claims.flip_rates(flipped(), early=4).tolist() == pytest.approx([5])
    assert claims.flip_rates(flipped(), early=3).tolist() == pytest.approx([0.2 / (0.4 / 13)])
    early = made([[[0.1], [0.3], [0.15]]], {"arm": ("ticket", "reshuffled", "noise_one"), "level": (D11,)})
    found = rounded(claims.lth_36(chain(), early, flipped(), 4))
    assert found == {"drop_shuffled": [20], "drop_noised": [5], "early_flip_rate_ratio": [5],
                     "early_flip_share": [round(0.4 / 0.6, 9)]}  # fmt: skip


def lines(barriers, labels=None, early=0.1):
    """Lines with these barriers in points [S, *labels], of paths whose ends have 10% errors."""
    middle = 0.1 + np.asarray(barriers, float) / 100
    ends = np.full_like(middle, 0.1)
    path = np.stack([ends, middle, ends], -1)
    labels = labels or {}
    return made(np.broadcast_to(early, middle.shape), labels, path_error=(path, ("seed", *labels, "alpha")))


def test_stable_and_matching_nets_are_told_by_means_over_the_seeds():
    nets = lines([[0, 1], [3, 5]], {"level": (1, 2)}, early=[[0.10, 0.12], [0.12, 0.20]])
    np.testing.assert_allclose(claims.barriers(nets), [[0, 1], [3, 5]], atol=1e-12)
    pair = nets, points(89.5, 88.5, 0)  # 0 and 5 points behind
    stable, matching = claims.stable_and_matching([pair], tolerance=0.5)
    assert stable.tolist() == [True, False] and matching.tolist() == [True, False]
    stable, matching = claims.stable_and_matching([pair, pair], tolerance=6)
    assert stable.tolist() == [True, False] * 2 and matching.tolist() == [True] * 4


def test_fisher_is_the_chance_of_so_many_matches_among_the_stable():
    stable, matching = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 1, 1, 0, 0, 0], bool)
    assert claims.fisher(stable, matching).estimate == pytest.approx(1 / math.comb(6, 3))
    assert claims.fisher(stable, ~matching).estimate == pytest.approx(1)


def test_an_insignificant_fisher_test_says_nothing_either_way():
    stable, matching = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert (claims.fisher(stable, matching).low, claims.fisher(stable, matching).high) == (0, 1)
    many = np.repeat(stable[[0, 2]], 8)
    assert claims.fisher(many, many).high < 0.05 and claims.fisher(many, ~many).low > 0.95


def test_how_much_oftener_stable_nets_match_has_newcombes_interval():
    # Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80.
    stable = np.arange(150) < 70
    matching = np.concatenate([np.arange(70) < 56, np.arange(80) < 48])
    found = claims.matched_more(stable, matching)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    one_kind = claims.matched_more(np.ones(4, bool), np.array([True, False, True, True]))
    assert (one_kind.low, one_kind.high) == (-1, 1)


def test_a_barrier_that_falls_by_one_point_per_factor_e_has_slope_minus_one():
    steps = (1, 4, 16)
    falling = lines([5 - np.log(steps), 9 - 2 * np.log(steps)], {"level": steps})
    yes, no = np.array([True, True]), np.array([True, False])
    finding = claims.lth_23(lines([7, 8]), falling, yes, no)
    assert finding.parts["cnn_barrier_slope"] == pytest.approx([-1, -2])
    assert finding.parts["lenet_barrier_initial"] == pytest.approx([7, 8])
    assert finding.gate == {"some_nets_are_unstable": False}
    assert claims.lth_23(lines([7, 8]), falling, no, yes).gate == {"some_nets_are_unstable": True}


def fitted(errors, train, labels, **more):
    return made(errors, labels, train_error=np.broadcast_to(train, np.shape(errors)), **more)


def test_conv_controls_are_paired_by_seed_and_gated_by_what_fits():
    labels, both = {"arm": ("reinit", "random"), "level": (3,)}, arms("reinit", "random")
    last = np.array([[[0.3], [0.5]], [[0.2], [0.1]]])
    for train, fits in ((0.02, True), (0.03, False)):
        conv = fitted([[[0.10], [0.12]], [[0.2], [0.19]]], train, labels, final_error=last)
        finding = claims.lth_4(chain(), both, conv)
        assert finding.parts["cnn_reinit_minus_random"] == pytest.approx([2, -1])
        assert finding.parts["cnn_reinit_minus_random_end"] == pytest.approx([20, -10])
        assert finding.gate["all_arms_fit"] is fits
    for name, when in {"fc_reinit_minus_random": "early", "fc_reinit_minus_random_end": "final"}.items():
        one, other = (accuracy(both, when, arm=arm, level=D21) for arm in ("reinit", "random"))
        np.testing.assert_allclose(finding.parts[name], one - other)


def test_conv_tickets_are_judged_where_the_dense_net_fits_and_has_errors_to_lose():
    def found(dense=0.2, train=0.0):
        steps = {"early_step": [[32, 16, 8]], "steps": (np.array([8, 16, 32, 64]), ("step",))}
        return claims.lth_6(fitted([[dense, 0.3, 0.1]], train, {"level": (0, 1, 2)}, **steps))

    assert rounded(found()) == {"conv2_gain_over_dense_d20": [10], "conv2_early_stop_ratio_d20": [0.25]}
    gates = [[*found(*case).gate.values()] for case in ((0.2, 0.0), (0.03, 0.0), (0.2, 0.03))]
    assert gates == [[True, True], [True, False], [False, True]]


def test_rewinding_is_averaged_over_levels_and_judged_where_its_premise_holds():
    labels = {"level": tuple(range(5))}
    initial = fitted([[0.1, 0, 0.14, 0.22, 0.3], [0.1, 0, 0.2, 0.1, 0.3]], 0.0, labels)
    late = fitted([[0.1, 0, 0.10, 0.20, 0.3], [0.1, 0, 0.2, 0.2, 0.3]], 0.0, labels)
    tickets = chain(seeds=2)
    start = lines([[9, 0], [9, 0]], {"level": (1, 4)})
    finding = claims.lth_7(late, initial, start, tickets, tickets.at(level=D11))
    assert finding.parts["cnn_late_minus_initial"] == pytest.approx([2, -10 / 3])
    assert finding.parts["cnn_late_minus_dense"] == pytest.approx([-10, -40 / 3])
    difference = accuracy(tickets, level=D11) - accuracy(tickets, level=0)
    np.testing.assert_allclose(finding.parts["lenet_initial_minus_dense"], difference)
    assert finding.parts["lenet_late_minus_initial"].tolist() == [0, 0] and all(finding.gate.values())
    unfit = fitted(np.linspace(0.3, 0.1, 5)[None].repeat(2, 0), 0.3, labels)
    calm = lines([[1, 9], [1, 9]], {"level": (1, 4)})
    assert not any(claims.lth_7(late, unfit, calm, tickets, tickets.at(level=D11)).gate.values())
