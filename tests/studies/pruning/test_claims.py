"""The claims on pruning: each part is what its name says, worked out by hand from results made up here."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from redlib.evidence.claims import check, load_claims
from redlib.experiments.chain import levels
from redlib.experiments.results import Results
from redlib.studies.pruning import claims

spec = importlib.util.spec_from_file_location("tiny_pruning", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
SIX = ("snip", "grasp", "synflow", "magnitude", "random", "erk")


def made(errors, name="early_error", **labels):
    """Results of these errors in per cent, [S, *labels]."""
    return Results({name: np.asarray(errors, float) / 100}, {name: ("seed", *labels)}, labels)


def beside(found, **more):
    """The same results with other arrays, given as (array, axes)."""
    arrays = {name: np.asarray(values, float) for name, (values, _) in more.items()}
    axes = {name: tuple(own.split()) for name, (_, own) in more.items()}
    return Results(found.arrays | arrays, found.axes | axes, found.labels)


def nets(errors):
    """Results of one net a seed, early and final errors alike."""
    return beside(made(errors), final_error=(np.asarray(errors) / 100, "seed"))


def tickets(**errors):
    """Tickets of one seed, {"l11": error} by level."""
    values, at = [[*errors.values()]], tuple(int(name[1:]) for name in errors)
    return beside(made(values, level=at), final_error=(np.asarray(values) / 100, "seed level"))


def parts(finding, profiles=("laptop",)):
    """The parts, rounded; they are those that the checks ask for."""
    checks = [load_claims()[finding.id].check_for(profile) for profile in profiles]
    names = {name for check in checks for leaf in check.parts for name in (leaf.name, leaf.statistic)}
    assert {leaf.name for check in checks for leaf in check.parts} <= {*finding.parts} <= names
    return {name: np.round(values, 6).tolist() for name, values in finding.parts.items()}


ZOO = made(
    [[[[40], [50]], [[41], [51]], [[42], [52]], [[43], [53]], [[60], [80]], [[0], [0]]]],
    criterion=SIX, level=(11, 15), arm=("ticket",),
)  # fmt: skip
CHAIN = tickets(l0=20, l11=30, l15=35)


def test_criteria_before_training_are_compared_with_random_masks_and_with_tickets_at_both_densities():
    units = made([[[40, 30, 33], [0, 0, 0]]], kept=(0.5, 0.25), criterion=("apoz", "l2", "random"))
    found = parts(claims.lth_27(ZOO, CHAIN, units))
    assert (found["snip_minus_random_d10"], found["magnitude_minus_random_d10"]) == ([20], [17])
    assert (found["grasp_minus_random_d05"], found["synflow_minus_random_d05"]) == ([29], [28])
    assert (found["iterative_minus_snip_d10"], found["iterative_minus_grasp_d10"]) == ([10], [11])
    assert (found["iterative_minus_synflow_d05"], found["iterative_minus_magnitude_d05"]) == ([17], [18])
    assert found["activation_units_minus_random_units"] == [-7] and found["size_units_minus_random_units"] == [3]
    assert found["activation_units_minus_size_units"] == [-10]
    own = {leaf.name for leaf in load_claims()["LTH-27"].check.parts if leaf.of == "ours"}
    assert own == {name for name in found if "units" in name}, "the papers compare single weights"


def test_shuffled_masks_are_compared_with_their_own_as_they_were_found():
    changed = made(
        [[[[0, 45]], [[0, 41]], [[0, 40]], [[0, 43]]]], criterion=SIX[:4], level=(11,), arm=("reinit", "shuffled")
    )
    arms = made([[[38], [33]]], arm=("shuffled", "reinit"), level=(11,))
    found = parts(claims.lth_28(ZOO, changed, CHAIN, arms))
    expected = {"snip": -5, "grasp": 0, "synflow": 2, "magnitude": 0, "iterative": -8}
    assert found == {f"{name}_shuffled_minus_original": [value] for name, value in expected.items()}
    fresh = claims.changes(ZOO, changed, CHAIN, arms, "reinit")
    assert fresh["snip"].round(6) == 40 and fresh["ticket"].round(6) == -3


def test_a_layer_dies_at_the_largest_density_with_an_empty_layer():
    early = [[4, 4], [3, 1], [0, 2], [1, 0]]
    late = [[4, 4], [2, 2], [1, 1], [1, 0]]
    kept = np.array([[early, late, early, late], [late, late, late, late]])
    names = ("snip", "grasp", "magnitude", "synflow")
    axes = {"kept": ("seed", "criterion", "total", "layer"), "weights": ("total",)}
    found = Results({"kept": kept, "weights": np.array([8, 4, 2, 1])}, axes, {"criterion": names})
    assert claims.collapse_densities(found).tolist() == [[1 / 4, 1 / 8, 1 / 4, 1 / 8], [1 / 8] * 4]
    assert parts(claims.lth_29(found)) == {
        "log2_density_at_collapse_vs_snip": [-1, 0],
        "log2_density_at_collapse_vs_grasp": [0, 0],
        "log2_density_at_collapse_vs_magnitude": [-1, 0],
        "seeds_out_of_order": [1, 1],  # GraSP ties in both
    }
    ahead = Results({"kept": kept[:1, [0, 0, 0, 1]], "weights": found["weights"]}, axes, {"criterion": names})
    assert claims.lth_29(ahead).parts["seeds_out_of_order"].tolist() == [0]


@pytest.fixture(scope="module")
def chain():
    """Levels 0 to 2 of the tiny chain."""
    found = []
    for level in levels(tiny.SOURCE, 2).values():
        found.append(level.results(level.run(found[-1].arrays if found else None)))
    return found


def test_one_list_is_compared_with_equal_rates_and_emptied_layers_are_counted_on_the_masks(chain):
    survives = chain[2]["survives"].copy()
    survives[1, 64 * 12 : 64 * 12 + 12 * 8] = 1  # in the second seed the second layer lives for one round only
    errors = np.full(3, 0.4)
    listed = Results(chain[2].arrays | {"survives": survives, "early_error": errors}, chain[2].axes)
    pairs = {"deep": {"list": listed, "layers": nets([45, 40, 39])}}
    pairs |= {"even": {"list": nets([30] * 3), "layers": nets([33] * 3)}}
    pairs |= {"own": {"list": nets([30] * 3), "layers": nets([29] * 3)}}
    found = claims.lth_30(tiny.LAB, pairs, 2, nets([69, 69, 69]))
    assert parts(found) == {
        "deep_global_minus_layerwise": [5, 0, -1],
        "even_deep_global_minus_layerwise": [3, 3, 3],
        "lenet_global_minus_layerwise": [-1, -1, -1],
        "emptied_layers": [0, 1, 0],
    }
    assert found.gate == {"deep_net_learns": True}
    whole = pairs | {"deep": {"list": chain[2], "layers": chain[2]}}
    assert (claims.lth_30(tiny.LAB, whole, 2, chain[0]).parts["emptied_layers"] == 0).all()


def squeezed(norm, end=2.0):
    """Arms of extrusion whose least validation loss is 2 after four fifths of training; that of random ends so."""
    arms = ("extruded", "pretrained", "random", "ticket", "random_long")
    loss = np.tile([4.0, 3.0, 2.5, 2.0, 2.1], (1, 5, 1))
    loss[0, [1, 4], -1], loss[0, 2, -1] = 1.0, end  # those that the claim does not compare may still learn
    found = beside(made([[40, 50, 45, 30, 41]], arm=arms), norm_at_cut=([norm], "seed"))
    return beside(found, validation_loss=(loss, "seed arm step"))


def test_extrusion_is_compared_with_arms_by_name_and_must_shrink_what_it_cuts():
    found = claims.lth_31(squeezed(0.02))
    assert {name: np.round(values, 6).tolist() for name, values in found.parts.items()} == {
        "extruded_minus_random": [5],
        "extruded_minus_ticket": [-10],
        "extruded_gain_bound": [-10],
        "extruded_minus_budget_matched_random": [1],
        "masked_norm_at_cut": [0.02],
    }
    assert set(found.parts) == {leaf.name for leaf in load_claims()["LTH-31"].check.parts}
    assert found.gate == {"doomed_weights_shrink": True, "compared_nets_have_settled": True}
    assert claims.lth_31(squeezed(0.2)).gate == {"doomed_weights_shrink": False, "compared_nets_have_settled": True}


@pytest.mark.parametrize(("end", "told"), [(3.0, True), (1.97, True), (1.95, False)])
def test_a_net_that_still_learns_at_the_end_is_not_compared(end, told):
    assert claims.lth_31(squeezed(0.02, end)).gate["compared_nets_have_settled"] is told


def test_a_net_looked_at_once_is_not_known_to_have_settled():
    once = Results({"validation_loss": np.ones((2, 1))}, {"validation_loss": ("seed", "step")})
    assert not claims.settled(once)


def test_far_behind_tickets_is_within_the_bound_that_the_source_states_and_no_more():
    many = Results({name: np.repeat(v, 3, 0) for name, v in squeezed(0.02).arrays.items()}, squeezed(0.02).axes,
                   squeezed(0.02).labels)  # fmt: skip
    record = check(load_claims()["LTH-31"], "laptop", claims.lth_31(many))
    assert record.verdict == "partly"
    verdicts = {part["name"]: part["verdict"] for part in record.parts}
    assert (verdicts["extruded_gain_bound"], verdicts["extruded_minus_ticket"]) == ("replicated", "contradicted")


def test_tickets_of_both_kinds_are_compared_with_the_whole_net():
    found = claims.lth_39(squeezed(0.02), nets([32]))
    assert parts(found) == {"ticket_minus_whole_net": [2], "extruded_minus_whole_net": [-8]}
    assert found.gate == {
        "doomed_weights_shrink": True, "compared_nets_have_settled": True, "dense_net_learns": True,
    }  # fmt: skip


UNEVEN = np.array([0.3, -0.1, -0.2, 0.1, 0, -0.3, 0.2])[:, None] * [1, -1]  # what the cuts add to the means


def mid_cuts(train_error=20.0):
    drops = [0, 30, 40, 5, 10, 10, 20]  # none, largest x 2, smallest x 2, random x 2; means over two cuts
    final = 30 - np.array(drops) / 10
    fitted = np.array([2, 3, 3, 3, 3, train_error, 3]) / 100
    arms = (("none", 1.0), *((choice, kept) for choice in ("largest", "smallest", "random") for kept in (0.85, 0.7)))
    found = made(final[None], "final_error", arm=arms)
    return beside(
        found,
        drop=(np.array([drops])[:, :, None] / 100 + UNEVEN, "seed arm event"),
        train_error=(fitted[None], "seed arm"),
    )


def test_the_correlation_of_drop_and_gain_is_one_where_the_gain_is_proportional():
    assert parts(claims.lth_26(mid_cuts())) == {
        "largest_minus_smallest": [2.75],
        "largest_minus_unpruned": [3.5],
        "drop_gain_correlation": [1],
    }


def test_cuts_must_disturb_and_may_not_leave_too_small_a_net():
    assert claims.lth_26(mid_cuts(3.0)).gate == {"largest_units_are_missed_more": True, "small_nets_still_fit": True}
    assert not claims.lth_26(mid_cuts(20.0)).gate["small_nets_still_fit"]
    found = mid_cuts()
    spared = Results(found.arrays | {"drop": -found["drop"]}, found.axes, found.labels)
    assert not claims.lth_26(spared).gate["largest_units_are_missed_more"]


def test_units_are_named_by_the_share_that_is_cut():
    errors = np.array([[[30, 32, 40], [31, 35, 38], [31, 36, 41], [30, 30, 30]]]).swapaxes(1, 2)
    units = made(errors, kept=(0.75, 0.5, 0.25), criterion=("l2", "random", "gradient", "weights"))
    found = parts(claims.lth_22(units, nets([30])))
    assert [found[f"size_minus_random_p{cut}"] for cut in (25, 50, 75)] == [[1], [3], [-2]]
    assert found["size_minus_random"] == [0.666667]
    assert (found["gradient_minus_random"], found["units_minus_single_weights"]) == ([-1.333333], [-4])


def test_a_ticket_reaches_the_units_with_a_weight_that_leads_into_them():
    first, second, last = (torch.ones(1, *shape, dtype=torch.bool) for shape in ((4, 5), (2, 4), (3, 2)))
    first[0, 1], second[0, :, 0], last[:] = False, False, False  # one unit of six has no weight; outputs do not count
    errors = np.array([[[32, 30], [37, 30], [50, 30]]])
    units = made(errors, kept=(0.75, 0.5, 0.25), criterion=("l2", "weights"))
    found = parts(claims.lth_37({"0": first, "1": second, "2": last}, units, nets([30])))
    assert found == {
        "units_without_weights_d10": [1],
        "single_weights_minus_units": [9.666667],
        "share_of_units_with_weights_d10": [0.833333],
    }


def test_units_lose_more_at_high_rates_and_small_nets_are_compared_by_their_training_loss():
    units = made(np.array([[[32, 31], [37, 30], [50, 40]]]), kept=(0.75, 0.5, 0.25), criterion=("l2", "weights"))
    filters = beside(cut_filters(10, 9, 8, 9.5), train_loss=([[0.1, 0.25, 0.2, 0.05]], "seed arm"))
    wide = beside(whole(), train_loss=([0.3], "seed"))
    assert parts(claims.lth_38(units, nets([30]), wide, filters)) == {
        "units_lost_p75_minus_p25": [18],
        "train_loss_scratch_minus_ticket_p30": [0.2],
        "train_loss_scratch_minus_whole_p30": [-0.05],
        "gap_to_single_weights_grows": [9],
    }


def test_one_layer_cut_alone_is_compared_with_the_whole_net():
    cut = made([[[21, 60], [22, 65], [23, 29], [24, 45]]], "cut_error", layer=("0", "1", "2", "3"), density=(0.5, 0.1))
    assert parts(claims.lth_40(cut, nets([20]))) == {
        "first_layer_cut_minus_whole_net_d10": [-40],
        "last_hidden_layer_cut_minus_whole_net_d10": [-9],
        "output_layer_cut_minus_whole_net_d10": [-25],
    }


def cut_filters(*errors, lost=50):
    arms = ("finetune", "scratch_epochs", "scratch_compute", "ticket")
    return beside(made([errors], "final_error", arm=arms), cut_error=([lost / 100], "seed"))


def whole(final=7, train=0):
    return beside(made([final], "final_error"), train_error=([train / 100], "seed"))


def test_small_conv_nets_are_compared_at_the_end_by_the_share_of_filters_cut():
    shares = {0.7: cut_filters(10, 9, 8, 9.5), 0.5: cut_filters(20, 21, 17, 20)}
    found = claims.lth_21(whole(), shares)
    assert parts(found) == {
        "scratch_equal_epochs_minus_finetune_p30": [1],
        "scratch_equal_compute_minus_finetune_p30": [2],
        "scratch_equal_epochs_minus_finetune_p50": [-1],
        "scratch_equal_compute_minus_finetune_p50": [3],
        "ticket_minus_reinit_p30": [-0.5],
        "ticket_minus_reinit_p50": [1],
    }
    assert found.gate == {"wide_net_fits": True, "room_above_wide_net": True, "filters_are_missed": True}
    spared = claims.lth_21(whole(0, 3), shares | {0.5: cut_filters(10, 9, 8, 9.5, lost=0)}).gate
    assert spared == dict.fromkeys(found.gate, False)


def test_a_net_that_guesses_has_not_learned():
    assert claims.learns(nets([40, 50])) == {"dense_net_learns": True}
    assert claims.learns(nets([75, 80]), "deep") == {"deep": False}


# ---- what it saves ----


def times(rows):
    """Seconds whose median is given; the mean of three is mostly the slowest, the same for all variants."""
    rows = np.array(rows)
    return np.stack([rows, 0.9 * rows, np.full(rows.shape, 50.0)], -1)


SPEED_GATES = ("compaction_is_exact", "sparse_kernel_is_installed", "equal_nets_take_equal_time")


def speed(densities=(1.0, 0.1, 0.01), difference=(0.0, 1e-6), sparse=((4.0, 1.0, 0.5), (8.0, 8.0, 8.0))):
    one, each = ("seed", "repeat"), ("seed", "density", "repeat")
    forward = {
        "densities": np.array(densities),
        "dense_s": times([2.0, 4.0]),
        "half_units_s": times([1.0, 1.0]),
        "masked_s": times([[2.0, 2.0, 1.6], [4.0, 4.0, 5.0]]),
        "csr_s": times([[8.0, 2.0, 1.0], [8.0, 8.0, 8.0]]),
        "bytes": np.array([[100, 40], [100, 50]]),
        "difference": np.array(difference),
    }
    axes = {"densities": ("density",), "bytes": ("seed", "net"), "difference": ("seed",)}
    axes |= {"dense_s": one, "half_units_s": one, "masked_s": each, "csr_s": each}
    steps = {"densities": np.array([1.0, 0.11, 0.01]), "stack_s": times([2.0, 4.0]), "sparse_s": times(sparse)}
    return Results(forward, axes), Results(steps, axes | {"stack_s": one, "sparse_s": each})


def test_speed_ups_of_literal_times_are_those_of_their_medians():
    found = claims.lth_32(*speed())
    assert parts(found) == {
        "half_units_speedup": [2, 4],
        "masked_dense_speedup": [1.25, 0.8],
        "half_units_bytes_ratio": [0.4, 0.5],
        "sparse_step_speedup": [2, 0.5],
        "half_units_much_faster": [2, 4],
        "sparse_crossover_density": pytest.approx([0.1, np.nan], nan_ok=True),
        "sparse_step_crossover": pytest.approx([round(0.11**0.5, 6), np.nan], nan_ok=True),
    }
    assert found.gate == dict.fromkeys(SPEED_GATES, True)


def test_a_speed_up_of_one_variant_over_another():
    forward, _ = speed()
    assert claims.speedup(forward, "masked", "half_units").tolist() == [[0.5, 0.5, 0.625], [0.25, 0.25, 0.2]]


def test_the_crossover_is_interpolated_on_log_axes():
    faster = np.array(
        [[0.25, 4.0, 9.0], [0.5, 4.0, 9.0], [2.0, 3.0, 9.0], [0.2, 0.3, 0.9], [2.0, 0.5, 9.0], [0.5, 0.5, 1.0]]
    )
    found = claims.crossover(np.array([1.0, 0.01, 0.0001]), faster)
    expected = [0.1, 10 ** (-2 * 1 / 3), 1.0, np.nan, 0.0001 * 100 ** (np.log(9) / np.log(18)), 0.0001]
    np.testing.assert_allclose(found, expected)


def test_inexact_compaction_and_a_missing_kernel_are_no_adequate_setting():
    same = ((2.0, 2.0, 2.0), (4.0, 4.0, 4.0))  # what a run without numba returns
    gate = claims.lth_32(*speed(difference=(1e-6, 2e-5), sparse=same)).gate
    assert gate == {"compaction_is_exact": False, "sparse_kernel_is_installed": False, SPEED_GATES[2]: True}


def test_a_clock_that_tells_equal_nets_apart_is_no_adequate_one():
    forward, steps = speed()
    forward["masked_s"][:, 0] *= 1.2
    assert not claims.lth_32(forward, steps).gate["equal_nets_take_equal_time"]
