"""The plan of the ticket study, its rows and its comparison with published numbers."""

from dataclasses import replace

import numpy as np
import pytest

from redlib.studies import experiments, tickets, tickets_figures, tickets_outside
from redlib.studies import tickets_plan as plan
from redlib.studies import tickets_statistics as ts
from redlib.studies.tickets_conv import PAPER, ConvLevel

LAB = tickets.Lab(pool=200, validation=50, tests=50, hidden=(12, 8), steps=4, seeds=(0, 1, 2))
FEW = replace(LAB, seeds=(0, 1))
ROUNDS = {"depth": 10, "watched": [7, 10], "signs": [10], "quick": {"rate": 0.36, "last": 0.19}}
ARMS = {"controls": ["reinit", "random"], "criteria": ["magnitude", "random"]}
TIMES = {"reinit": 2, "oneshot": 2, "late": 1, "early": 2, "starts": [0, 1]}
OPTIMISERS = {"rates": [0.01, 0.1], "large": 0.1, "other": {"optimizer": "adam", "lr": 0.001}}


def runs():
    chains = plan.chain_labs(LAB, FEW, OPTIMISERS)
    sizes = {"hidden": [[10, 5], [20, 10]], "target": 200}
    return plan.experiments(LAB, FEW, chains, ROUNDS, ARMS, TIMES, OPTIMISERS["rates"], sizes), chains


def outcome(*shape, error=0.4, step=8):
    return {"early_error": np.full(shape, error), "early_step": np.full(shape, step), "steps": np.array([4, 8])}


def test_every_run_that_needs_a_mask_goes_on_from_a_level_of_the_plan():
    found, _ = runs()
    known = {config for config in found.values() if isinstance(config, tickets.Level)}
    needed = {config.previous for config in found.values() if getattr(config, "previous", None) is not None}
    # Dear runs have fewer seeds: their chains are those of the plan for other seeds.
    assert {experiments.with_seeds(one, LAB.seeds) for one in needed} <= {
        experiments.with_seeds(one, LAB.seeds) for one in known
    }


def test_moved_tickets_come_from_one_chain_and_are_trained_as_another_says():
    found, chains = runs()
    for name, (source, target) in plan.MOVED.items():
        assert found[name].source.lab == chains[source] and found[name].lab == chains[target]
    assert chains["first"].part == "first" and chains["second"].part == "second"
    assert (chains["large"].lr, chains["small"].lr, chains["other"].optimizer) == (0.1, 0.01, "adam")


def test_short_chains_end_at_the_density_of_ten_rounds():
    found, _ = runs()
    shape = {"hidden": (100, 100), "last": (10, 100)}
    quick = found[f"plain {plan.QUICK_ROUNDS}"]
    ours = plan.round_counts(shape, plan.QUICK_ROUNDS, quick.rate, quick.last)
    theirs = plan.round_counts(shape, plan.D11)
    assert all(abs(ours[name] - theirs[name]) <= 1 for name in shape)  # two rounds in one


def test_conv_runs_rewind_the_rough_net_to_both_steps_and_start_from_one_dense_net():
    rough = ConvLevel(snapshots=(2, 16), steps=40)
    found = plan.conv_runs(ConvLevel(), rough, arm_steps=20, late=16)
    assert found["from 0 0"] == found["from 16 0"] == rough
    assert [found[f"from 16 {k}"].rewind for k in range(5)] == [0, 16, 16, 16, 16]
    cells = [found[f"sparse barrier {level} {late}"] for level, late in plan.SPARSE_CELLS]
    assert {(cell.level.level, cell.start) for cell in cells} == {(k, start) for k in (1, 2, 4) for start in (0, 16)}


def test_a_conv_net_can_be_taken_from_the_papers_by_name():
    level = plan.conv_level({"paper": "conv4", "probes": 3}, [5])
    assert level == replace(PAPER["conv4"], probes=3, seeds=(5,))


def test_arms_are_read_where_their_round_is():
    done = {"controls": outcome(3, 5, 2), "arms": outcome(3, 2, 4), "finetuned": outcome(3, 1, 1)}
    done |= {"patient": outcome(3, 1, 1), "late": outcome(3, 1, 1)}
    done["controls"]["early_error"][:, 2, 1] = 0.1  # frozen, at the round asked for
    done["arms"]["early_error"][:, 1, 3] = 0.2
    arms = ts.arms_at(done, outcome(3, 11), ARMS["controls"], at=3, signs=1)
    assert arms["frozen"] == pytest.approx([90] * 3) and arms["random"] == pytest.approx([80] * 3)
    assert set(arms) - {"shuffled"} == set(tickets_figures.CONTROLS) - {"large_init"}
    claims = ts.control_claims(arms, np.zeros(3))
    assert claims["LTH-14"]["freeze_minus_zero"] == pytest.approx([30] * 3)


def test_transfer_is_compared_with_random_and_native_nets_of_the_same_training():
    values = {kind: {} for kind in ("end", "reinit", "random", "carried")}
    for place, name in enumerate(("plain", "large", "small", "other", "first", "second")):
        for height, kind in enumerate(("end", "reinit", "random")):
            values[kind][name] = np.array([10.0 * place + height])
    values["carried"] = {name: np.array([100.0]) for name in plan.MOVED}
    claims = ts.transfer_claims(values)
    assert claims["LTH-17"] == {"transfer_minus_random_d10": [48], "transfer_minus_native_d10": [50]}
    assert claims["LTH-19"] == {"sgd_to_adam_minus_random": [68], "adam_to_sgd_minus_random": [88]}
    assert claims["LTH-20"] == {"gain_small_minus_large_rate": [0], "gain_at_large_rate": [-1]}


def test_the_large_rate_is_measured_against_the_best_of_the_grid():
    done = {f"rate {rate}": {"validation_error": np.full((2, 3), error)} for rate, error in ((0.1, 0.30), (0.2, 0.25))}
    assert ts.behind_best_rate(done, [0.1, 0.2], 0.1) == pytest.approx(5)
    assert ts.behind_best_rate(done, [0.1, 0.2], 0.2) == 0


def test_an_insignificant_fisher_test_says_nothing_either_way():
    stable, matching = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert (ts.fisher(stable, matching).low, ts.fisher(stable, matching).high) == (0, 1)
    many = np.repeat(stable[[0, 2]], 8)
    assert ts.fisher(many, many).high < 0.05 and ts.fisher(many, ~many).low > 0.95


def test_criteria_stand_in_order_and_are_grey_below_random():
    rows = tickets_figures.criteria_rows(
        {"random": np.array([2.0]), "small_final": np.array([1.0]), "movement": np.array([3.0])}
    )
    assert list(rows) == ["movement", "random", "small final"]
    assert [colour for _, colour in rows.values()] == ["blue", "grey", "grey"]


def test_published_densities_stand_beside_ours():
    lenet = replace(LAB, dataset="mnist1d", hidden=(300, 100))
    table = tickets_outside.beside(ts.densities(lenet, range(16)), {}, [], None)
    assert list(table.columns) == ["quantity", "published", "ours"] and len(table) == len(tickets_outside.DENSITIES)
    found = {"dense": np.array([60.0]), "magnitude": np.full((1, 3), 70.0), "random": np.full((1, 3), 50.0)}
    rows = tickets_outside.protocol_rows(found)
    assert rows[0] == ("MNIST-1D, dense", "60.6, 66.4, 61.4, 64.8", 60.0) and len(rows) == 7
    kinds = {"magnitude": ([2, 3], np.array([[1.0, 2.0]])), "random": ([1, 2], np.array([[3.0, 4.0]]))}
    near = tickets_outside.near_rows(np.array([1, 0.5, 0.21, 0.05]), kinds)
    assert [value for *_, value in near] == [1, 2, 2, 4, 4, 4]
