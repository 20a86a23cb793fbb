"""The runs of the pruning study do what they say: equal counts, shared tickets, whole units, and times of all ways."""

import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.experiments.chain import Arms, Level, levels
from redlib.experiments.experiment import varied
from redlib.experiments.lab import Modules, restored
from redlib.measures import cost
from redlib.nets import StackedMLP
from redlib.nets.stacked import unstacked
from redlib.pruning.allocation import shuffled
from redlib.pruning.before_training import masks_at_start
from redlib.pruning.criteria import class_batch
from redlib.pruning.masks import apply, dense, kept_by_layer, masks_of, unpacked, weights_of
from redlib.pruning.tickets import ARMS, masks_at, prepare
from redlib.pruning.units import units_of
from redlib.studies.pruning import claims, runs
from redlib.studies.pruning.runs import (
    Collapse,
    Extrusion,
    FilterCuts,
    MidCuts,
    Sensitivity,
    Units,
    Zoo,
)
from redlib.training.evaluation import evaluate

spec = importlib.util.spec_from_file_location("tiny_pruning", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
LAB, SOURCE, WIDE = tiny.LAB, tiny.SOURCE, tiny.WIDE
PARTS, INITIAL = LAB.parts(), LAB.nets()
INPUTS = 64


pytestmark = pytest.mark.usefixtures("one_thread_throughout")


@cache
def chain():
    """The levels 0 to 2 of the tiny chain, each run on what the one before left."""
    found = []
    for level in levels(SOURCE, 2).values():
        found.append(level.run(found[-1] if found else None))
    return found


def done(experiment, before=None):
    return experiment.results(experiment.run(before))


def trained(level=0):
    """The nets of a level after their training."""
    return restored(INITIAL, chain()[level]["final"])


def ticket(level):
    """The masks of a level."""
    return masks_at(unpacked(chain()[level]["survives"], weights_of(INITIAL)), level)


# ---- before training ----


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow", "magnitude"])
def test_a_cell_of_the_zoo_is_a_net_with_as_many_weights_as_the_ticket_trained_alone(name):
    zoo = done(Zoo(SOURCE, levels=(1, 2), arms=("ticket", "shuffled"), per_class=2, rounds=6))
    total = int(kept_by_layer(ticket(2))[0].sum())
    masks = masks_at_start(name, INITIAL, total, class_batch(PARTS["train"], 2, LAB.seeds), 6)
    for arm in zoo.labels["arm"]:
        alone = LAB.train(prepare(ARMS[arm], INITIAL, masks, key=2), PARTS)
        for what in ("early_error", "final_error"):
            assert np.array_equal(zoo.at(criterion=name, level=2, arm=arm)[what], alone[what])


def test_masks_of_the_zoo_are_trained_as_long_as_asked():
    zoo = Zoo(SOURCE, levels=(1,), criteria=("random",), length=2)
    assert done(zoo)["steps"][-1] == 2 * LAB.steps and zoo.cost == 2 * replace(zoo, length=1).cost


# ---- units ----


@pytest.mark.parametrize("name", ["l2", "random", "gradient", "weights"])
def test_units_lose_exact_counts_and_single_weights_are_as_many_in_each_layer(name):
    batch = class_batch(PARTS["train"], 2, LAB.seeds)
    net, alive = trained(), units_of(INITIAL)
    for share, units in ((0.75, (9, 6)), (0.5, (6, 4))):
        masks, alive = runs._fewer(name, net, alive, share, batch)
        first, second = units
        assert (kept_by_layer(masks) == [INPUTS * first, first * second, second * 10]).all()
        net = prepare(ARMS["finetuned"], INITIAL, masks, trained=net)
    whole = all((mask.any(2).sum(1) == units).all() for mask, units in zip(masks.values(), (6, 4), strict=False))
    assert whole is (name != "weights"), "single weights are cut from more units than that"


def test_a_chain_of_units_cuts_those_of_least_norm_rewinds_and_trains_on():
    found = done(Units(SOURCE, ("l2",), (0.75, 0.5), per_class=2), chain()[0]).at(criterion="l2")
    net, alive = trained(), units_of(INITIAL)
    for share, kept in ((0.75, (9, 6)), (0.5, (6, 4))):
        masks = dense(weights_of(INITIAL))
        for layer, (name, count) in enumerate(zip(alive, kept, strict=True)):
            norms = torch.linalg.vector_norm(net.weights[layer], dim=2).masked_fill(~alive[name], -1)
            alive[name] = norms >= norms.sort(dim=1, descending=True).values[:, count - 1 : count]
            masks[name] &= alive[name][:, :, None]
            masks[list(masks)[layer + 1]] &= alive[name][:, None, :]
        net = INITIAL.clone()
        apply(net, masks)
        assert np.array_equal(found.at(kept=share)["early_error"], LAB.train(net, PARTS)["early_error"])


def test_rewound_and_trained_units_differ_only_in_what_the_kept_weights_start_from():
    masks = dense(weights_of(INITIAL))
    assert torch.equal(runs._begun("rewind", INITIAL, trained(), masks).flat, INITIAL.flat)
    assert torch.equal(runs._begun("trained", INITIAL, trained(), masks).flat, trained().flat)
    with pytest.raises(BadInput, match="start"):
        Units(SOURCE, ("l2",), (0.5,), "fresh", per_class=2).run(chain()[0])


@pytest.mark.parametrize(("choice", "sign"), [("largest", -1), ("smallest", 1)])
def test_largest_and_smallest_say_which_units_are_cut_and_later_cuts_are_nested(choice, sign):
    norms = {name: sign * torch.linalg.vector_norm(w, dim=2) for name, w in weights_of(INITIAL).items()}
    once = runs._without(choice, INITIAL, 0.75)
    twice = runs._without(choice, once, 0.5)
    for name, units in (("layer1", 12), ("layer2", 8)):
        alive = [masks_of(net)[name].any(2) for net in (once, twice)]
        assert [a.sum(1).tolist() for a in alive] == [[units * 3 // 4] * 3, [units // 2] * 3]
        assert not bool((alive[1] & ~alive[0]).any())
        if name == "layer1":  # nothing before it changes its norms
            for r in range(3):
                kept = norms[name][r][alive[1][r]]
                assert kept.min() > norms[name][r][~alive[1][r]].max()


def test_the_uncut_arm_loses_nothing_at_a_cut_and_every_arm_goes_on_from_the_same_net():
    found = done(MidCuts(LAB, kept=(1.0, 0.5), events=(0.5, 0.75)))
    arms = found.labels["arm"]
    assert arms[:3] == (("none", 1.0), ("largest", 1.0), ("largest", 0.5))
    whole = [found.at(arm=arm) for arm in arms if arm[1] == 1]  # the same training throughout, cut or not
    assert len(whole) == 4 and (found.at(arm=arms[0])["drop"] == 0).all()
    assert all(np.array_equal(each["final_error"], whole[0]["final_error"]) for each in whole)
    assert all((found.at(arm=arm)["drop"] != 0).any() for arm in arms if arm[1] < 1)


def test_a_cut_costs_what_the_net_with_and_without_its_units_differ_and_half_of_them_go_at_each_of_two():
    found = done(MidCuts(LAB, ("smallest",), (0.5,), (0.5, 0.75))).at(arm=("smallest", 0.5))
    net, segments = LAB.nets(), [varied(LAB, steps=LAB.steps * quarters // 4) for quarters in (2, 1, 1)]
    segments[0].fit(net, PARTS["train"])
    for event, share in enumerate((0.75, 0.5)):
        cut = runs._without("smallest", net, share)
        before, after = (evaluate(each, PARTS["test"])["error"].numpy() for each in (net, cut))
        assert np.array_equal(found["drop"][:, event], after - before)
        segments[event + 1].fit(cut, PARTS["train"])
        net = cut
    for name, part in (("final_error", "test"), ("train_error", "train")):
        assert np.array_equal(found[name], evaluate(net, PARTS[part])["error"].numpy())


@pytest.mark.parametrize("events", [(), (0.5, 0.5), (0.7, 0.2), (0.0,), (1.0,)])
def test_cuts_must_fall_in_order_within_training(events):
    with pytest.raises(BadInput, match="events"):
        MidCuts(LAB, events=events)


def test_an_unknown_choice_of_units_is_refused():
    with pytest.raises(BadInput, match="middle"):
        MidCuts(LAB, choices=("middle",)).run()


# ---- layers ----


def test_synflow_gets_down_to_one_weight_a_layer_before_a_layer_is_empty():
    found = done(Collapse(varied(LAB, hidden=(12,) * 3), steps=60, per_class=2))
    weights, total = found["weights"], INPUTS * 12 + 2 * 144 + 120
    assert (weights[0], weights[-1]) == (total, 3) and (found["kept"].sum(3) == weights).all()
    at = dict(zip(found.labels["criterion"], total * claims.collapse_densities(found).T, strict=True))
    np.testing.assert_allclose(at["synflow"], 3)  # four layers: no method can do better
    assert any((at[name] > 3.5).any() for name in ("snip", "grasp", "magnitude"))


def test_a_layer_cut_alone_leaves_the_others_whole():
    found = done(Sensitivity(SOURCE, (1.0, 0.5)), chain()[0])
    np.testing.assert_allclose(found.at(density=1.0)["cut_error"], np.tile(chain()[0]["final_error"][:, None], 3))
    net = trained()
    for r in range(3):
        sizes = net.weights[1][r].abs()
        net.weights[1][r][sizes <= sizes.flatten().sort().values[47]] = 0  # half of the 96
    np.testing.assert_allclose(found.at(density=0.5)["cut_error"][:, 1], evaluate(net, PARTS["test"])["error"].numpy())


# ---- extrusion ----


def test_the_plain_arms_of_extrusion_are_those_of_the_chain():
    found = done(Extrusion(SOURCE, level=2), chain()[2])
    for what in ("steps", "validation_loss", "early_step", "early_error", "final_error", "train_loss", "train_error"):
        assert np.array_equal(found.at(arm="ticket")[what], chain()[2][what])
        for arm, length in (("random", 1.0), ("random_long", 2.0)):
            control = done(Arms(SOURCE, ("shuffled",), (2,), length=length), chain()[2])
            assert np.array_equal(found.at(arm=arm)[what], control.at(arm="shuffled", level=2)[what])


def test_a_pretrained_arm_is_the_dense_net_cut_by_the_random_mask():
    found = done(Extrusion(SOURCE, level=2), chain()[2]).at(arm="pretrained")
    net = trained()
    apply(net, shuffled(ticket(2), LAB.seeds, 2))
    assert np.array_equal(found["final_error"], LAB.train(net, PARTS)["final_error"])


def test_a_larger_penalty_leaves_less_of_the_doomed_weights():
    none, weak, strong = (
        done(Extrusion(SOURCE, level=2, bound=bound), chain()[2])["norm_at_cut"] for bound in (0.0, 0.05, 1.0)
    )
    assert (strong < weak).all() and (weak < none).all()


# ---- filters ----


@cache
def wide():
    return WIDE.run()


def lengths(monkeypatch, experiment):
    """The steps of the four trainings of small nets, in the order of the arms."""
    found, train = [], Modules.train
    monkeypatch.setattr(Modules, "train", lambda self, *rest: found.append(self.steps) or train(self, *rest))
    experiment.run(wide())
    return dict(zip(experiment.labels["arm"], found, strict=True))


def test_small_nets_that_keep_every_filter_are_the_wide_net():
    found = done(FilterCuts(WIDE, 1.0), wide())
    assert np.array_equal(found["cut_error"], wide()["final_error"])
    for what in ("early_error", "final_error", "train_loss"):
        assert np.array_equal(found.at(arm="ticket")[what], wide()[what])
    both = [found.at(arm=arm)["train_loss"] for arm in ("scratch_epochs", "scratch_compute")]
    assert np.array_equal(*both) and not np.array_equal(both[0], wide()["train_loss"])  # fresh weights, equal lengths


def test_training_from_scratch_takes_as_many_operations_as_the_wide_net_up_to_twice_its_steps(monkeypatch):
    steps = {"finetune": 2, "scratch_epochs": 6, "ticket": 6}
    assert lengths(monkeypatch, FilterCuts(WIDE, 0.5)) == steps | {"scratch_compute": 12}
    shape = WIDE.lab.parts()["test"].x.shape[1:]
    large, small = (cost.flops(varied(WIDE.lab, width=width).nets()[0], shape) for width in (4, 3))
    assert lengths(monkeypatch, FilterCuts(WIDE, 0.75)) == steps | {"scratch_compute": round(6 * large / small)}
    assert 6 < round(6 * large / small) < 12


def test_a_share_that_leaves_no_whole_number_of_filters_is_refused():
    with pytest.raises(BadInput, match="kept"):
        FilterCuts(WIDE, 0.7).run(wide())


def test_filters_are_cut_from_modules_and_units_from_stacks():
    with pytest.raises(BadInput, match="Stack"):
        Units(Level(WIDE.lab), ("l2",), (0.5,)).run(wide())


# ---- what it saves ----

FORWARD, STEPS = (tiny.tiny()[name] for name in ("forward", "steps"))


@cache
def forward():
    return done(FORWARD)


def test_all_variants_are_timed_and_times_are_positive():
    found = forward()
    times = {name: values for name, values in found.items() if name.endswith("_s")}
    assert {*times} == {"dense_s", "half_units_s", "masked_s", "csr_s"}
    assert all((values > 0).all() and values.shape[-1] == FORWARD.repeats for values in times.values())


def test_half_the_units_have_the_bytes_of_the_half_as_wide_net_and_compute_the_same():
    dense_, half = (unstacked(StackedMLP.create(sizes, [0]), 0) for sizes in (FORWARD.sizes, (20, 8, 4, 4)))
    assert forward()["bytes"].tolist() == [[cost.bytes_of(dense_), cost.bytes_of(half)]] * 3
    assert (forward()["difference"] < claims.EXACT).all()


def test_all_that_is_not_time_repeats():
    again = done(FORWARD)
    for name in ("bytes", "difference", "stored_bytes", "densities"):
        assert np.array_equal(again[name], forward()[name], equal_nan=True)


def test_stored_bytes_are_those_of_all_weight_matrices():
    table = dict(zip(cost.LAYOUTS, forward()["stored_bytes"], strict=True))
    weights, kept = 20 * 16 + 16 * 8 + 8 * 4, 32 + 13 + 3
    assert table["dense"].tolist() == [4 * weights] * 3 and table["coo"][2] == 12 * kept
    assert np.isnan(table["two_of_four"]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"densities": (0.001,)}, "weights kept"), ({"densities": (1.5,)}, "density"), ({"unit_share": 0.0}, "density")],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        replace(FORWARD, **change).run()


def test_a_step_is_timed_in_every_execution_and_without_numba_sparse_ones_are_those_of_the_stack(monkeypatch):
    found = done(STEPS)
    assert all((found[f"{name}_s"] > 0).all() for name in ("stack", "sparse", "masked"))
    assert (found["sparse_s"] != found["stack_s"][:, None]).any()
    monkeypatch.setattr(runs, "why_not", lambda net: ["no numba"] * net.groups)
    without = done(STEPS)
    assert (without["sparse_s"] == without["stack_s"][:, None]).all()
