"""The pruning study does what it says: equal counts, shared tickets, whole units, and the numbers of its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.evidence.sweep import sweep
from redlib.pruning.allocation import keep_global, layer_counts
from redlib.pruning.criteria import class_batch, context_of, synflow
from redlib.pruning.masks import counts, dense, masks_of, weights_of
from redlib.pruning.tickets import ARMS, masks_at, prepare, shapes
from redlib.studies import pruning, pruning_conv, tickets, tickets_conv
from redlib.studies import pruning_statistics as pstat
from redlib.studies.tickets import Lab, Level, restored, run, setting, train, unpacked
from redlib.training.loop import evaluate

LAB = Lab(pool=300, validation=80, tests=200, hidden=(12, 8), batch=50, steps=24, probes=3, seeds=(1000, 1001))
SOURCE = Level(LAB)


@pytest.fixture(scope="module")
def lab():
    return setting(LAB)


@pytest.fixture(scope="module")
def chain():
    levels = [run(SOURCE, None)]
    for level in (1, 2):
        levels.append(run(replace(SOURCE, level=level), levels[-1]))
    return levels


@pytest.fixture(scope="module")
def zoo():
    config = pruning.Zoo(SOURCE, levels=(1, 2), arms=("ticket", "shuffled"), per_class=2, rounds=6)
    return config, run(config)


def conjunction(identity, profile="laptop"):
    rule = load_claims()[identity].check_for(profile)
    return {part.name for part in rule.parts}


# ---- before training ----


def test_every_criterion_before_training_keeps_as_many_weights_as_the_ticket_of_its_level(zoo, chain, lab):
    config, found = zoo
    for position, level in enumerate(config.levels):
        total = pruning.ticket_weights(lab[2], SOURCE, level)
        ticket = counts(masks_at(unpacked(chain[level]["survives"], weights_of(lab[2])), level))
        assert total == sum(int(count[0]) for count in ticket.values())
        kept = dict(zip(config.criteria, found["kept"][:, :, position].sum(2).T, strict=True))
        assert all((kept[name] == total).all() for name in ("snip", "grasp", "synflow", "magnitude"))
        assert all((abs(kept[name] - total) <= 1).all() for name in ("random", "erk"))  # rounding, layer by layer


def test_random_masks_before_training_keep_the_same_fraction_of_every_layer(zoo, lab):
    config, found = zoo
    sizes = shapes(lab[2])
    density = pruning.ticket_weights(lab[2], SOURCE, 2) / sum(a * b for a, b in sizes.values())
    kept = found["kept"][:, config.criteria.index("random"), 1]
    assert (kept == list(layer_counts(sizes, density).values())).all()


def test_a_cell_of_the_zoo_is_that_net_trained_alone(zoo, lab):
    config, found = zoo
    _, parts, initial = lab
    batch = class_batch(parts["train"], 2, LAB.seeds)
    masks = pruning.masks_at_start("grasp", initial, pruning.ticket_weights(initial, SOURCE, 2), batch)
    alone = train(prepare(ARMS["shuffled"], initial, masks, key=2), parts, LAB)
    accuracy = pstat.cell(config, found, "grasp", 2, "shuffled")
    np.testing.assert_array_equal(accuracy, 100 * (1 - alone["early_error"]))


def test_shuffling_above_the_inputs_leaves_the_first_mask_alone_and_moves_the_others(lab):
    masks = synflow(lab[2], 0.4, 3)
    found = masks_of(pruning._armed(pruning.ABOVE, lab[2], masks, "glorot", 0))
    assert torch.equal(found["layer1"], masks["layer1"]) and not torch.equal(found["layer2"], masks["layer2"])
    assert all(torch.equal(a, b) for a, b in zip(counts(found).values(), counts(masks).values(), strict=True))


def test_an_unknown_criterion_before_training_is_refused(lab):
    with pytest.raises(BadInput, match="apoz"):
        pruning.masks_at_start("apoz", lab[2], 50, class_batch(lab[1]["train"], 1, LAB.seeds))


# ---- units ----


def test_of_the_units_alive_the_best_stay_and_a_dead_unit_never_returns():
    scores, alive = torch.tensor([[0.0, 5.0, 9.0, 0.0]]), torch.tensor([[True, True, False, True]])
    found = pruning.fewer({"layer1": scores}, {"layer1": alive}, 0.5)["layer1"]
    assert found.tolist() == [[True, True, False, False]]  # 9 is dead; of the two zeros the first stays


def test_unit_chains_keep_exact_counts_and_single_weights_are_as_many_in_each_layer(chain):
    config = pruning.Units(SOURCE, kept=(0.75, 0.5), per_class=2)
    found = run(config, chain[0])["kept"]
    assert (found[:, 0] == [[9 * 40, 9 * 6, 6 * 10], [6 * 40, 6 * 4, 4 * 10]]).all()
    assert (found == found[:, :1]).all()


def test_cut_units_are_those_of_least_norm_and_the_error_just_after_the_cut_is_that_of_the_net_without_them(chain, lab):
    config = pruning.Units(SOURCE, criteria=("l2",), kept=(0.5,), start="trained", per_class=1)
    trained, net = (restored(lab[2], chain[0]["final"]) for _ in range(2))
    for layer, units in ((0, 6), (1, 4)):
        for r in range(2):
            small = torch.linalg.vector_norm(trained.weights[layer][r], dim=1).argsort()[:units]
            net.weights[layer + 1][r][:, small] = 0
    found = run(config, chain[0])
    np.testing.assert_allclose(found["cut_error"][:, 0, 0], evaluate(net, lab[1]["test"])["error"].numpy())


def test_rewound_and_trained_units_differ_only_in_what_the_kept_weights_start_from(chain, lab):
    trained, masks = restored(lab[2], chain[0]["final"]), dense(weights_of(lab[2]))
    assert torch.equal(pruning._begun("rewind", lab[2], trained, masks).flat, lab[2].flat)
    assert torch.equal(pruning._begun("trained", lab[2], trained, masks).flat, trained.flat)
    with pytest.raises(BadInput, match="start"):
        pruning._begun("fresh", lab[2], trained, masks)


@pytest.mark.parametrize(("choice", "sign"), [("largest", -1), ("smallest", 1)])
def test_largest_and_smallest_say_which_units_are_cut_and_later_cuts_are_nested(lab, choice, sign):
    norms = {name: sign * torch.linalg.vector_norm(w, dim=2) for name, w in weights_of(lab[2]).items()}
    once = pruning._without(choice, lab[2], 0.75)
    twice = pruning._without(choice, once, 0.5)
    for name, units in (("layer1", 12), ("layer2", 8)):
        alive = [masks_of(net)[name].any(2) for net in (once, twice)]
        assert [a.sum(1).tolist() for a in alive] == [[units * 3 // 4] * 2, [units // 2] * 2]
        assert not bool((alive[1] & ~alive[0]).any())
        if name == "layer1":  # nothing before it changes its norms
            for r in range(2):
                kept = norms[name][r][alive[1][r]]
                assert kept.min() > norms[name][r][~alive[1][r]].max()


def test_the_uncut_arm_loses_nothing_at_a_cut_and_every_arm_goes_on_from_the_same_net():
    config = pruning.MidCuts(LAB, kept=(1.0, 0.5), events=(0.5, 0.75))
    found = run(config)
    assert found["drop"].shape == (2, 7, 2) and (found["drop"][:, 0] == 0).all()
    whole = [0, 1, 3, 5]  # no cut, and the cuts that keep every unit: the same training throughout
    assert all((found["final_error"][:, arm] == found["final_error"][:, 0]).all() for arm in whole)
    assert (found["drop"][:, [2, 4, 6]] != 0).any()


@pytest.mark.parametrize("events", [(), (0.5, 0.5), (0.7, 0.2), (0.0,), (1.0,)])
def test_cuts_must_fall_in_order_within_training(events):
    with pytest.raises(BadInput, match="events"):
        pruning.MidCuts(LAB, events=events)


def test_an_unknown_choice_of_units_is_refused(lab):
    with pytest.raises(BadInput, match="middle"):
        pruning._without("middle", lab[2], 0.5)


# ---- layers ----


def test_counts_by_rank_are_those_of_global_masks_with_ties():
    scores = {"a": torch.tensor([[[3.0, 1.0], [1.0, 0.0]]]), "b": torch.tensor([[[1.0, 2.0, 0.0]]])}
    weights = [7, 4, 3, 2, 1]
    found = pruning.kept_by_rank(scores, weights)
    expected = [
        [int(kept[0]) for kept in counts(keep_global(scores, total, allow_empty=True)).values()] for total in weights
    ]
    assert found.tolist() == [expected] and [2, 1] in expected


def test_a_path_of_synflow_goes_through_the_masks_of_the_published_algorithm(lab):
    context = context_of(lab[2])
    total = sum(w[0].numel() for w in context.initial.values())
    path = [round(0.1 ** (i / 5) * total) for i in range(6)]
    found = pruning.kept_by_synflow(context, path)
    expected = torch.stack(list(counts(synflow(lab[2], 0.1, 5)).values()), 1)
    assert found[:, -1].tolist() == expected.tolist() and (found.sum(2) == path).all()


def test_synflow_gets_down_to_one_weight_a_layer_before_a_layer_is_empty():
    found = run(pruning.Collapse(replace(LAB, hidden=(12,) * 3), steps=60, per_class=2))
    assert found["weights"][0] == 40 * 12 + 2 * 144 + 120 and found["weights"][-1] == 3
    assert (pstat.collapse_weights(found)[:, -1] == 3).all()  # four layers: no method can do better
    assert (pstat.collapse_weights(found)[:, :-1] > 3).any()


def test_a_layer_cut_alone_leaves_the_others_whole(chain, lab):
    found = run(pruning.Sensitivity(SOURCE, densities=(1.0, 0.5)), chain[0])["cut_error"]
    np.testing.assert_allclose(found[:, :, 0], np.tile(chain[0]["final_error"][:, None], 3))
    net = restored(lab[2], chain[0]["final"])
    for r in range(2):
        sizes = net.weights[1][r].abs()
        net.weights[1][r][sizes <= sizes.flatten().sort().values[47]] = 0  # half of the 96
    np.testing.assert_allclose(found[:, 1, 1], evaluate(net, lab[1]["test"])["error"].numpy())


# ---- extrusion, and the chain of tickets both studies share ----


def test_the_plain_arms_of_extrusion_are_those_of_the_ticket_study(chain):
    found = run(pruning.Extrusion(SOURCE, level=2), chain[2])
    arms = dict(zip(pruning.EXTRUSION_ARMS, found["early_error"].T, strict=True))
    np.testing.assert_array_equal(arms["ticket"], chain[2]["early_error"])
    control = run(tickets.Arms(SOURCE, ("shuffled",), (2,)), chain[2])
    np.testing.assert_array_equal(arms["random"], control["early_error"][:, 0, 0])


def test_a_larger_penalty_leaves_less_of_the_doomed_weights(chain):
    weak, strong = (run(pruning.Extrusion(SOURCE, level=2, bound=b), chain[2])["norm_at_cut"] for b in (0.05, 1.0))
    assert (strong[:, 0] < weak[:, 0]).all() and (weak[:, 0] < weak[:, 1]).all()


def test_sweeps_of_both_studies_share_the_tickets(tmp_path):
    first = sweep(run, [pruning.Extrusion(SOURCE, level=1)], store=tmp_path, workers=1)
    later = sweep(run, [replace(SOURCE, level=1)], store=tmp_path, workers=1)
    assert (first.computed, later.loaded, later.computed) == (3, 1, 0)  # levels 0 and 1, and what goes on from them


# ---- filters ----

WIDE = replace(pruning_conv.WIDE, pool=150, n=100, tests=150, width=4, steps=6, batch=50, probes=2, seeds=(1000, 1001))


@pytest.fixture(scope="module")
def wide():
    return tickets_conv.run(WIDE)


def test_small_nets_that_keep_every_filter_are_the_wide_net(wide):
    found = pruning_conv.run(pruning_conv.FilterCuts(WIDE, kept=1.0), wide)
    np.testing.assert_allclose(found["cut_error"], wide["final_error"])
    np.testing.assert_allclose(found["final_error"][:, 3], wide["final_error"])  # the ticket of the whole net
    assert (found["flops_ratio"] == 1).all() and (found["steps"] == [2, 6, 6, 6]).all()


def test_training_from_scratch_takes_as_many_operations_as_the_wide_net_up_to_twice_its_steps(wide):
    found = pruning_conv.run(pruning_conv.FilterCuts(WIDE, kept=0.5, most=3.0), wide)
    assert (found["flops_ratio"] > 3).all() and (found["steps"] == [2, 6, 18, 6]).all()
    twice = pruning_conv.run(pruning_conv.FilterCuts(WIDE, kept=0.75), wide)
    assert twice["steps"][2] == round(6 * float(twice["flops_ratio"][0])) < 12


def test_a_share_that_leaves_no_whole_number_of_filters_is_refused(wide):
    with pytest.raises(BadInput, match="kept"):
        pruning_conv.run(pruning_conv.FilterCuts(WIDE, kept=0.7), wide)


# ---- statistics ----


def outcome(errors, name="early_error"):
    return {name: np.asarray(errors, float) / 100}


def test_zoo_statistics_are_differences_of_named_cells_and_carry_the_names_of_the_claims():
    names = ("snip", "grasp", "synflow", "magnitude", "random")
    config = pruning.Zoo(levels=(3, 5), criteria=names)
    errors = [[[[40], [50]], [[41], [51]], [[42], [52]], [[43], [53]], [[60], [80]]]]
    found = outcome(errors)
    claim = pstat.zoo_claim(config, found, [outcome([30]), outcome([35])])
    assert (
        claim["grasp_minus_random_d05"].round(6).tolist() == [29] and claim["iterative_minus_snip_d10"].round(6) == 10
    )
    units = pruning.Units(criteria=("apoz", "l2", "random"), kept=(0.5,))
    claim |= pstat.units_claim(units, outcome([[[40], [30], [33]]]))
    assert claim["activation_units_minus_random_units"].round(6) == -7 and set(claim) == conjunction("LTH-27")
    changed = pruning.Zoo(levels=(5,), criteria=names[:4], arms=("reinit", "shuffled"))
    other = outcome([[[[0, 55]], [[0, 51]], [[0, 50]], [[0, 53]]]])
    claim = pstat.shuffle_claim((config, found), (changed, other), np.array([65.0]), np.array([60.0]))
    assert (
        claim["snip_shuffled_minus_original"].round(6) == -5 and claim["synflow_shuffled_minus_original"].round(6) == 2
    )
    assert claim["iterative_shuffled_minus_original"] == -5 and set(claim) == conjunction("LTH-28")


def test_collapse_is_the_largest_number_of_weights_with_an_empty_layer():
    early = [[4, 4], [3, 1], [0, 2], [1, 0]]
    late = [[4, 4], [2, 2], [1, 1], [1, 0]]
    found = {
        "weights": np.array([8, 4, 2, 1]),
        "kept": np.array([[early, late, early, late], [late, late, late, late]]),
    }
    assert pstat.collapse_weights(found).tolist() == [[2, 1, 2, 1], [1, 1, 1, 1]]
    claim = pstat.collapse_claim(found)
    assert claim["log2_density_at_collapse_vs_snip"].tolist() == [-1, 0]
    assert claim["seeds_out_of_order"].tolist() == [1, 1] and set(claim) == conjunction("LTH-29")  # GraSP ties in both
    assert pstat.layer_densities(found, 0.5)[0, 0].tolist() == [0.75, 0.25]


def test_depth_statistics_compare_one_ranking_with_equal_rates():
    deep, shallow = (outcome([40]), outcome([45])), (outcome([30]), outcome([29]))
    claim = pstat.depth_claim(deep, shallow, np.zeros(1))
    assert claim["deep_global_minus_layerwise"].round(6) == 5 and claim["lenet_global_minus_layerwise"].round(6) == -1
    assert set(claim) == conjunction("LTH-30")


def test_emptied_layers_are_counted_on_the_stored_masks(chain):
    assert pstat.emptied(LAB, chain[2], 2).tolist() == [0, 0]
    survives = chain[2]["survives"].copy()
    survives[1, 40 * 12 : 40 * 12 + 12 * 8] = 1  # the second layer lives for one round only
    assert pstat.emptied(LAB, {"survives": survives}, 2).tolist() == [0, 1]


def test_extrusion_statistics_name_their_arms():
    found = outcome([[40, 50, 45, 30, 41]]) | {"norm_at_cut": np.array([[0.02, 2.0]])}
    claim = {name: float(value[0].round(6)) for name, value in pstat.extrusion_claim(found).items()}
    assert claim == {
        "extruded_minus_random": 5, "extruded_minus_ticket": -10, "extruded_minus_budget_matched_random": 1,
        "masked_norm_at_cut": 0.02,
    }  # fmt: skip
    assert set(claim) == conjunction("LTH-31")
    assert pstat.extrusion_works(found)["doomed_weights_shrink"]
    assert not pstat.extrusion_works({"norm_at_cut": np.array([[0.2, 2.0]])})["doomed_weights_shrink"]


def test_unit_statistics_name_the_share_that_is_cut():
    config = pruning.Units(criteria=("l2", "random", "gradient", "weights"))
    found = outcome([[[30, 32, 40], [31, 35, 38], [31, 36, 41], [30, 30, 30]]])
    claim = {name: float(value[0].round(6)) for name, value in pstat.unit_tickets_claim(config, found).items()}
    assert (claim["size_minus_random_p25"], claim["size_minus_random_p75"]) == (1, -2)
    assert (claim["gradient_minus_random"], claim["units_minus_single_weights"]) == (-1.333333, -4)
    assert set(claim) == conjunction("LTH-22")


def mid_cut_result(train_error=20.0):
    drops = [0, 30, 40, 5, 10, 10, 20]  # none, largest x 2, smallest x 2, random x 2
    final = 30 - np.array(drops) / 10
    fitted = np.array([2, 3, 3, 3, 3, train_error, 3]) / 100
    return {"drop": np.array([drops])[:, :, None] / 100, "final_error": final[None] / 100, "train_error": fitted[None]}


def test_the_correlation_of_drop_and_gain_is_one_where_the_gain_is_proportional():
    config = pruning.MidCuts(LAB)
    claim = {name: float(v[0].round(6)) for name, v in pstat.mid_cuts_claim(config, mid_cut_result()).items()}
    assert claim == {"largest_minus_smallest": 2.75, "largest_minus_unpruned": 3.5, "drop_gain_correlation": 1}
    assert set(claim) == conjunction("LTH-26")


def test_cuts_that_leave_too_small_a_net_fail_the_gate():
    config = pruning.MidCuts(LAB)
    assert pstat.cuts_disturb(config, mid_cut_result(3.0)) == {
        "largest_units_are_missed_more": True,
        "small_nets_still_fit": True,
    }
    assert not pstat.cuts_disturb(config, mid_cut_result(20.0))["small_nets_still_fit"]


def test_filter_statistics_and_gates():
    found = outcome([[10, 9, 8, 9.5]], "final_error") | {"cut_error": np.array([0.5])}
    claim = pstat.filters_claim({0.7: found, 0.5: found})
    assert claim["scratch_equal_compute_minus_finetune_p30"].round(6) == 2 and claim["ticket_minus_reinit_p50"] < 0
    assert set(claim) == conjunction("LTH-21")
    wide = {"train_error": np.array([0.0]), "final_error": np.array([0.07])}
    assert all(pstat.filters_matter(wide, {0.5: found}).values())
    perfect = pstat.filters_matter(wide | {"final_error": np.array([0.0])}, {0.5: found | {"cut_error": np.zeros(1)}})
    assert perfect == {"wide_net_fits": True, "room_above_wide_net": False, "filters_are_missed": False}


def test_a_net_that_guesses_has_not_learned():
    good, bad = outcome([40, 50], "final_error"), outcome([75, 80], "final_error")
    assert pstat.learns(dense=good, deep=bad) == {"dense_learns": True, "deep_learns": False}
