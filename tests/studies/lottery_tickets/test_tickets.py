"""The ticket study: its runs are what their parts say, chains go on where they stopped, statistics add up."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
import types

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.evidence import sweep as sweeping
from redlib.evidence.sweep import RunFailed, sweep
from redlib.measures.connectivity import barrier, path_errors
from redlib.nets import StackedMLP
from redlib.pruning.criteria import CRITERIA
from redlib.pruning.masks import counts, weights_of
from redlib.pruning.supermasks import ScoredMLP, sampled_accuracy, signed_constant
from redlib.pruning.tickets import ARMS, REINIT, find_tickets, masks_at, prepare, shapes, stack
from redlib.studies import experiments, supermasks, tickets
from redlib.studies import tickets_plan as plan
from redlib.studies import tickets_statistics as statistics
from redlib.studies.tickets import Arms, Barriers, Flips, Lab, Level, OneShot, SmallNets, Untrained, run
from redlib.training import SGD, Adam, fit
from redlib.training.execution import by_density
from redlib.training.loop import evaluate

LAB = Lab(
    dataset="digits", pool=150, validation=60, tests=80, hidden=(14, 9), init="torch",
    lr=0.2, batch=25, steps=6, probes=3, seeds=(3, 4),
)  # fmt: skip
SOURCE = Level(LAB, level=0)
LAYERS = {"layer1": 14 * 64, "layer2": 9 * 14, "layer3": 10 * 9}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More threads gain nothing on nets this small, and lose much where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chain_of(source: Level, depth: int) -> list[dict[str, np.ndarray]]:
    """The levels 0 … depth, each run on what the one before left."""
    found: list[dict[str, np.ndarray]] = []
    for level in range(depth + 1):
        found.append(run(dataclasses.replace(source, level=level), found[-1] if found else None))
    return found


@pytest.fixture(scope="module")
def levels() -> list[dict[str, np.ndarray]]:
    return chain_of(SOURCE, 3)


@functools.cache
def examples() -> tickets.Parts:
    return tickets.setting(LAB)[1]


def start() -> StackedMLP:
    return StackedMLP.create((64, 14, 9, 10), LAB.seeds, init="torch")


def masks_of(result: dict[str, np.ndarray], level: int):
    return masks_at(tickets.unpacked(result["survives"], weights_of(start())), level)


def plainly(net: StackedMLP, steps: int = LAB.steps) -> StackedMLP:
    """`net` after training as the lab says, by a call of `fit`."""
    fit(net, examples()["train"], optimizer=SGD(0.2, 0.9), steps=steps, batch_size=25, execution=by_density(net))
    return net


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def caught(monkeypatch) -> list[StackedMLP]:
    """Copies of the nets that a run trains, as they are before training."""
    nets: list[StackedMLP] = []
    train = tickets.train
    monkeypatch.setattr(tickets, "train", lambda net, *rest: nets.append(net.clone()) or train(net, *rest))
    return nets


OUTCOME = {
    "steps", "validation_loss", "validation_error", "early_step", "early_error", "final_error", "train_loss",
    "train_error",
}  # fmt: skip


# ---- levels ----


def test_every_level_keeps_the_counts_of_the_protocol_nested_in_the_level_before(levels):
    for level, result in enumerate(levels):
        masks = masks_of(result, level)
        for name, n in LAYERS.items():
            expected = round(n * (0.9 if name == "layer3" else 0.8) ** level)
            assert counts(masks)[name].tolist() == [expected] * 2
            if level:
                assert not (masks[name] & ~masks_of(levels[level - 1], level - 1)[name]).any()
        for earlier in range(level):  # one array tells all levels so far
            found, expected = masks_of(result, earlier), masks_of(levels[earlier], earlier)
            assert all(torch.equal(found[name], expected[name]) for name in LAYERS)


def test_a_chain_of_levels_is_iterative_pruning_with_rewinding(levels):
    masks = find_tickets(start(), plainly, rounds=3)
    for level, result in enumerate(levels):
        assert all(torch.equal(masks_of(result, level)[name], masks[level][name]) for name in LAYERS)
        net = plainly(prepare(ARMS["ticket"], start(), masks[level]))
        assert np.array_equal(result["final"], net.vector().numpy())
        if level:
            assert np.array_equal(result["trained"], levels[level - 1]["final"])
    assert levels[0]["trained"].shape == (2, 0)


def test_the_outcome_is_that_of_the_trained_net(levels):
    parts = examples()
    for result in levels:
        assert {*result} == OUTCOME | {"survives", "final", "trained"}
        assert result["steps"].tolist() == [2, 4, 6] and result["validation_loss"].shape == (2, 3)
        net = tickets.restored(start(), result["final"])
        at_end = evaluate(net, parts["test"])["error"].numpy(), evaluate(net, parts["train"])
        assert np.array_equal(result["final_error"], at_end[0])
        assert np.array_equal(result["train_error"], at_end[1]["error"].numpy())
        assert np.allclose(result["train_loss"], at_end[1]["loss"].numpy())
        assert np.allclose(result["validation_loss"][:, -1], evaluate(net, parts["validation"])["loss"].numpy())


def test_cut_weights_are_zero_at_the_end_and_biases_are_trained(levels):
    for level, result in enumerate(levels):
        net = tickets.restored(start(), result["final"])
        for layer, mask in enumerate(masks_of(result, level).values()):
            assert not net.weights[layer][~mask].any() and (net.biases[layer] != start().biases[layer]).any()


def test_one_ranking_over_all_layers_keeps_the_same_total_and_the_largest_weights():
    result = chain_of(dataclasses.replace(SOURCE, whole=True), 1)[1]
    kept = sum(round(n * (0.9 if name == "layer3" else 0.8)) for name, n in LAYERS.items())
    trained = weights_of(tickets.restored(start(), result["trained"]))
    for r in range(2):
        sizes = np.concatenate([values[r].abs().flatten().numpy() for values in trained.values()])
        mask = np.concatenate([values[r].flatten().numpy() for values in masks_of(result, 1).values()])
        assert mask.sum() == kept and sizes[mask].min() >= sizes[~mask].max()
    assert counts(masks_of(result, 1))["layer1"].tolist() != [round(0.8 * 14 * 64)] * 2, "not a rate for each layer"


def test_a_seed_does_not_depend_on_its_company(levels):
    alone = chain_of(experiments.with_seeds(SOURCE, (4,)), 3)
    for one, both in zip(alone, levels, strict=True):
        assert equal(one, {name: v if name == "steps" else v[1:] for name, v in both.items()})
    parts = [chain_of(experiments.with_seeds(SOURCE, (seed,)), 0)[0] for seed in (3, 4)]
    assert equal(experiments.joined(parts), levels[0])


def test_a_repeated_run_gives_the_same_bits(levels):
    assert equal(run(SOURCE, None), levels[0])


# ---- what hangs on a chain ----


def test_the_ticket_among_the_arms_is_the_ticket_of_the_chain_bit_for_bit(levels):
    found = run(Arms(SOURCE, ("reinit", "ticket", "random", "dense"), (1, 3)), levels[3])
    assert {*found} == OUTCOME
    for name, values in found.items():
        if name == "steps":
            continue
        assert values.shape[:3] == (2, 4, 2)
        for place, level in enumerate((1, 3)):
            assert np.array_equal(values[:, 1, place], levels[level][name]), "arms share data, order and masks"
            assert np.array_equal(values[:, 3, place], levels[0][name]), "dense at every level"
    for arm in (0, 2):
        assert not (found["validation_loss"][:, arm] == found["validation_loss"][:, 1]).any()


def test_arms_start_where_they_should(levels, monkeypatch):
    nets = caught(monkeypatch)
    run(Arms(SOURCE, ("ticket", "reinit", "shuffled"), (2, 3)), levels[3])
    run(Arms(SOURCE, ("ticket", "finetuned"), (3,), start=2), levels[3])
    masks = {level: masks_of(levels[3], level) for level in (2, 3)}
    (arms, late), theta = nets, start()
    for place, level in enumerate((2, 3)):
        for layer, mask in enumerate(masks[level].values()):
            both = arms.weights[layer], arms.biases[layer]
            weights, biases = (t.reshape(3, 2, 2, *t.shape[1:])[:, place] for t in both)
            assert torch.equal(weights[0], theta.weights[layer] * mask)
            assert torch.equal(biases[0], theta.biases[layer]) and torch.equal(biases[2], biases[0])
            drawn = StackedMLP.create(theta.sizes, [s + (1 + level) * REINIT for s in LAB.seeds], init="torch")
            assert torch.equal(weights[1], drawn.weights[layer] * mask)
            assert torch.equal(biases[1], drawn.biases[layer])
            moved = arms.masks[layer].view(3, 2, 2, *mask.shape[1:])[2, place]
            assert torch.equal(moved.flatten(1).sum(1), mask.flatten(1).sum(1)) and not torch.equal(moved, mask)
    early, ended = plainly(start(), 2), tickets.restored(theta, levels[2]["final"])
    for layer, mask in enumerate(masks[3].values()):
        assert torch.equal(late.weights[layer], torch.cat([early.weights[layer] * mask, ended.weights[layer] * mask]))
        assert torch.equal(late.biases[layer], torch.cat([early.biases[layer], ended.biases[layer]]))


def test_only_the_deepest_level_can_be_finetuned_for_only_its_trained_weights_are_stored(levels):
    with pytest.raises(BadInput, match="trained"):
        run(Arms(SOURCE, ("finetuned",), (2, 3)), levels[3])


def test_arms_can_be_trained_longer_and_by_another_lab(levels):
    long = run(Arms(SOURCE, ("ticket",), (2,), length=1.5), levels[2])
    assert long["steps"].tolist() == [3, 6, 9]
    other = run(Arms(SOURCE, ("ticket",), (2,), lab=dataclasses.replace(LAB, optimizer="sgd")), levels[2])
    assert other["steps"].tolist() == [2, 4, 6]
    assert not (other["validation_loss"][:, 0, 0] == levels[2]["validation_loss"]).any()


def test_a_one_shot_cut_by_magnitude_is_the_first_level_and_criteria_differ(levels, monkeypatch):
    nets = caught(monkeypatch)
    found = run(OneShot(SOURCE, ("magnitude", "large_init", "random"), (1, 2)), levels[0])
    assert found["early_error"].shape == (2, 3, 2)
    assert equal({n: v if n == "steps" else v[:, 0, 0] for n, v in found.items()}, {n: levels[1][n] for n in OUTCOME})
    masks = nets[0].masks[0].view(3, 2, 2, 14, 64)  # criteria, levels, seeds
    assert (masks.flatten(3).sum(3) == torch.tensor([717, 573])[None, :, None]).all()
    sizes = {0: tickets.restored(start(), levels[0]["final"]).weights[0].abs(), 1: start().weights[0].abs()}
    for criterion, values in sizes.items():
        for r in range(2):
            mask = masks[criterion, 1, r]
            assert values[r][mask].min() >= values[r][~mask].max()
    assert torch.equal(nets[0].weights[0], start().weights[0].repeat(6, 1, 1) * nets[0].masks[0]), "rewound"
    assert not torch.equal(masks[2, 1], masks[0, 1]) and not torch.equal(masks[2, 1, 0], masks[2, 1, 1])


def test_untrained_nets_are_measured_as_they_are_cut(levels):
    kinds = ("ticket", "signed_constant", "finetuned")
    config = Untrained(SOURCE, (1, 6), "large_final", kinds)
    found = run(config, levels[0])
    assert {*found} == {"validation_accuracy", "test_accuracy"} and found["test_accuracy"].shape == (2, 3, 2)
    ended, test = tickets.restored(start(), levels[0]["final"]), examples()["test"]
    constant = start()
    for w in constant.weights:
        w.copy_(w.sign() * w.flatten(1).std(1)[:, None, None])
    for place, level in enumerate((1, 6)):
        for kind, base in enumerate((start(), constant.clone(), ended.clone())):
            for layer, (name, n) in enumerate(LAYERS.items()):
                kept = round(n * (0.9 if name == "layer3" else 0.8) ** level)
                sizes = ended.weights[layer].abs()
                bar = sizes.flatten(1).sort(1, descending=True).values[:, kept - 1]
                base.weights[layer].mul_(sizes >= bar[:, None, None])
            right = (base.logits(test.x).argmax(-1) == test.y).double().mean(1)
            np.testing.assert_allclose(found["test_accuracy"][:, kind, place], right)


def test_barriers_lie_between_two_copies_that_differ_in_their_order_only(levels):
    config = Barriers(SOURCE, (0, 2), (0, 3), alphas=5, tests=40)
    found = run(config, levels[2])
    assert found["path_error"].shape == (2, 2, 2, 5) and found["other_error"].shape == (2, 2, 2)  # S, levels, starts
    parts = examples()
    for place, level in enumerate((0, 2)):
        for where, k in enumerate((0, 3)):
            origin = plainly(start(), k) if k else start()
            first = prepare(ARMS["ticket"], origin, masks_of(levels[2], level))
            second = StackedMLP(first.sizes, [s + REINIT for s in first.seeds], first.flat.clone(), masks=first.masks)
            nets = [plainly(net) for net in (first, second)]
            assert not torch.equal(nets[0].flat, nets[1].flat)
            some = tickets.Examples(parts["test"].x[:40], parts["test"].y[:40])
            ends = [evaluate(net, some)["error"].numpy() for net in nets]
            assert np.array_equal(found["path_error"][:, place, where, [0, -1]], np.stack(ends, 1))
            # The whole test set for the outcome, of the first copy.
            assert np.array_equal(found["final_error"][:, place, where], evaluate(nets[0], parts["test"])["error"])
            if not k:
                assert np.array_equal(found["early_error"][:, place, where], levels[level]["early_error"])
    path = path_errors(first, first, parts["test"], 5)
    assert barrier(path).tolist() == [0, 0], "a net has no barrier with itself"


def test_small_nets_are_dense_no_larger_than_asked_and_each_seed_has_its_members():
    found = run(SmallNets(LAB, weights=400, members=3))
    # 64-14-9-10 in proportion: width 5 gives 64 * 5 + 5 * 3 + 3 * 10 = 365, width 6 64 * 6 + 24 + 40 = 448.
    assert int(found["weights"]) == 365 and found["early_error"].shape == (2, 3)
    assert found["validation_loss"].shape == (2, 3, 3)
    lab, parts, _ = tickets.setting(LAB)
    alone = tickets.train(StackedMLP.create((64, 5, 3, 10), [4 + 2 * tickets.MEMBER], init="torch"), parts, lab)
    for name in OUTCOME - {"steps"}:
        assert np.array_equal(alone[name][0], found[name][1, 2])
    with pytest.raises(BadInput, match="one unit a layer"):
        run(SmallNets(LAB, weights=60))


def test_sign_flips_are_counted_between_looks():
    found = run(Flips(LAB, looks=3))
    assert found["steps"].tolist() == [1, 2, 6]
    signs = [net.vector() > 0 for net in (start(), *(plainly(start(), step) for step in (1, 2, 6)))]
    expected = [(a != b).double().mean(1) for a, b in zip(signs[1:], signs[:-1], strict=True)]
    np.testing.assert_allclose(found["changed"], torch.stack(expected, 1), atol=1e-12)
    assert (found["changed"] > 0).any()


# ---- setting ----


def test_halves_of_the_training_examples_are_disjoint_and_leave_validation_and_test_alone():
    whole, first, second = (
        tickets.setting(dataclasses.replace(LAB, part=part))[1] for part in ("all", "first", "second")
    )
    assert torch.equal(torch.cat([first["train"].x, second["train"].x]), whole["train"].x)
    assert len(first["train"]) == len(second["train"]) == 75
    for part in ("validation", "test"):
        assert torch.equal(first[part].x, second[part].x) and torch.equal(first[part].x, whole[part].x)
    assert [len(whole[part]) for part in ("train", "validation", "test")] == [150, 60, 80]
    with pytest.raises(BadInput, match="first or second half|one half"):
        tickets.setting(dataclasses.replace(LAB, part="third"))


def test_optimisers_are_named():
    assert tickets.rule(LAB) == SGD(0.2, 0.9)
    assert tickets.rule(dataclasses.replace(LAB, optimizer="sgd")) == SGD(0.2)
    assert tickets.rule(dataclasses.replace(LAB, optimizer="adam")) == Adam(0.2)
    with pytest.raises(BadInput, match="adamw"):
        tickets.rule(dataclasses.replace(LAB, optimizer="adamw"))


def test_what_is_packed_comes_back_and_a_vector_restores_the_net():
    net = plainly(start())
    again = tickets.restored(start(), net.vector().numpy())
    assert torch.equal(again.vector(), net.vector())
    assert all(map(torch.equal, again.biases, net.biases)) and all(map(torch.equal, again.weights, net.weights))
    weights = weights_of(net)
    back = tickets.unpacked(tickets.packed(weights), weights)
    assert all(torch.equal(back[name], values) for name, values in weights.items())
    assert {name: tuple(shape) for name, shape in shapes(net).items()} == {
        "layer1": (14, 64),
        "layer2": (9, 14),
        "layer3": (10, 9),
    }


def test_stacks_come_back_with_the_seeds_first():
    values = np.arange(24).reshape(12, 2)  # 3 arms x 2 levels x 2 seeds
    found = tickets.axes({"steps": np.array([7]), "v": values}, 3, 2)
    assert found["steps"].tolist() == [7] and found["v"].shape == (2, 3, 2, 2)
    assert found["v"][1, 2, 0].tolist() == values[2 * 4 + 0 * 2 + 1].tolist()


def test_chains_start_first_and_know_what_they_go_on_from():
    assert SOURCE.previous is None and Level(LAB, 3).previous == Level(LAB, 2)
    assert Arms(SOURCE, ("ticket",), (2, 5, 3)).previous == Level(LAB, 5)
    assert Barriers(SOURCE, (0, 4), (0,)).previous == Level(LAB, 4)
    assert OneShot(Level(LAB, 3), ("magnitude",), (4,)).previous == Untrained(Level(LAB, 3), (4,)).previous == SOURCE
    arms = Arms(SOURCE, tuple(ARMS), tuple(range(15)))
    assert SOURCE.cost > arms.cost > Arms(SOURCE, ("ticket",), (1,)).cost > 0
    with pytest.raises(BadInput, match="object"):
        run(object())


# ---- chains in a store ----


def test_a_chain_interrupted_at_a_level_recomputes_only_from_there(tmp_path, monkeypatch, levels):
    monkeypatch.setattr(sweeping, "_STARTED", time.time())  # all runs in this process, whoever edits a file meanwhile
    train, calls = tickets.train, []

    def failing(*given):
        calls.append("failing")
        if len(calls) == 3:
            raise MemoryError("the lights went out")
        return train(*given)

    def counting(*given):
        calls.append("counting")
        return train(*given)

    wanted = [Level(LAB, 3), Arms(SOURCE, ("reinit",), (1, 3))]
    monkeypatch.setattr(tickets, "train", failing)
    with pytest.raises(RunFailed, match="level=2.*the lights went out"):
        sweep(run, wanted, data="digits", store=tmp_path, workers=1)
    monkeypatch.setattr(tickets, "train", counting)
    done = sweep(run, wanted, data="digits", store=tmp_path, workers=1)
    assert calls == ["failing"] * 3 + ["counting"] * 3  # levels 2 and 3, and the arms; 0 and 1 were stored
    assert (done.computed, done.stale, done.corrupt) == (3, 0, 0)
    again = sweep(run, [Level(LAB, level) for level in range(4)], data="digits", store=tmp_path, workers=1)
    assert (again.loaded, again.computed) == (4, 0) and len(calls) == 6
    assert all(equal(a, b) for a, b in zip(again.results, levels, strict=True)) and equal(done.results[0], levels[3])
    assert equal(done.results[1], run(wanted[1], levels[3]))


def test_an_edited_protocol_starts_a_chain_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "_STARTED", time.time())
    sweep(run, [Level(LAB, 1)], store=tmp_path, workers=1)
    assert sweep(run, [Level(LAB, 1, rate=0.3)], store=tmp_path, workers=1).computed == 2


# ---- masks on untrained weights ----


def test_learned_masks_have_rows_of_weights_and_columns_of_rescaling():
    config = supermasks.Learned(LAB, lr=20.0, steps=5, batch=30, samples=3)
    found = run(config)
    _, parts, net = tickets.setting(LAB)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(
        ("validation_accuracy", "test_accuracy", "density"), (2, 2, 2)
    )
    for row, weights in enumerate((net, signed_constant(net))):
        for column, rescale in enumerate((False, True)):
            scored = ScoredMLP.create(weights, "bernoulli", rescale=rescale)
            fit(scored, parts["train"], optimizer=SGD(20.0, 0.9), steps=5, batch_size=30)
            for part in ("validation", "test"):
                expected = sampled_accuracy(scored, parts[part], 3).numpy()
                assert np.array_equal(found[f"{part}_accuracy"][:, row, column], expected)
            kept = np.concatenate([mask.flatten(1).numpy() for mask in scored.supermasks().values()], 1).mean(1)
            np.testing.assert_allclose(found["density"][:, row, column], kept, rtol=1e-6)
    assert (found["density"] > 0.3).all() and (found["density"] < 0.7).all(), "scores of 0 keep half"


def test_popup_keeps_the_fractions_asked_for_of_every_layer():
    config = supermasks.Popup(dataclasses.replace(LAB, steps=4), keeps=(0.1, 0.5), weight_decay=0.0)
    found = run(config)
    for column, keep in enumerate((0.1, 0.5)):
        share = sum(round(keep * n) for n in LAYERS.values()) / sum(LAYERS.values())
        np.testing.assert_allclose(found["density"][:, :, column], share, rtol=1e-6)
    _, parts, net = tickets.setting(LAB)
    scored = ScoredMLP.create(signed_constant(net), "popup", keep=0.1)
    fit(scored, parts["train"], optimizer=SGD(0.1, 0.9), steps=4, batch_size=25)
    assert np.array_equal(found["test_accuracy"][:, 1, 0], 1 - evaluate(scored.subnet(), parts["test"])["error"])
    only = run(dataclasses.replace(config, keeps=(0.5,), sources=("signed_constant",)))
    assert np.array_equal(only["test_accuracy"][:, 0, 0], found["test_accuracy"][:, 1, 1])


# ---- statistics ----


class Immediate:
    """A study that runs everything at once and notes what it was asked for."""

    def __init__(self):
        self.asked: list[tuple] = []

    def data(self, dataset):
        return dataset

    def sweep(self, run, configs, data, label):
        self.asked.append((configs, data))
        return types.SimpleNamespace(results=[run(config) for config in configs])


def test_seeds_run_in_groups_and_come_back_in_order():
    def echo(config):
        seeds = np.array(experiments.seeds_of(config))
        return {"steps": np.arange(3), "weights": np.array(7), "seed": seeds, "square": np.stack([seeds, seeds**2], 1)}

    five = dataclasses.replace(LAB, seeds=(4, 1, 5, 9, 2))
    named = {"level": Level(five, 2), "arms": Arms(Level(five), ("ticket",), (1,), lab=five), "one": Level(LAB)}
    study, data = Immediate(), types.SimpleNamespace(digest="d")
    done = experiments.carry_out(study, echo, named, data, data, size=3)
    assert list(done) == ["level", "arms", "one"] and study.asked[0][1] == "d"
    assert done["level"]["square"].tolist() == [[s, s * s] for s in (4, 1, 5, 9, 2)]
    assert done["level"]["steps"].tolist() == [0, 1, 2] and int(done["level"]["weights"]) == 7
    configs = study.asked[0][0]
    assert [experiments.seeds_of(c) for c in configs] == [(4, 1, 5), (9, 2)] * 2 + [(3, 4)]
    assert configs[2].lab.seeds == configs[2].source.lab.seeds == (4, 1, 5), "every lab in it has them"
    assert done["one"]["seed"].tolist() == [3, 4]


def fake(early, final=None, steps=(10, 20, 40), early_step=None) -> dict[str, np.ndarray]:
    """Results of a run with these errors [S, ...]."""
    early = np.asarray(early, float)
    return {
        "steps": np.array(steps), "early_error": early, "final_error": np.asarray(early if final is None else final),
        "early_step": np.asarray(np.full(early.shape, 20) if early_step is None else early_step),
    }  # fmt: skip


def test_levels_of_a_chain_stand_side_by_side(levels):
    named = plan.levels("ticket", SOURCE, 2)
    assert list(named) == ["ticket 0", "ticket 1", "ticket 2"] and named["ticket 2"] == Level(LAB, 2)
    joined = statistics.chain(dict(zip(named, levels, strict=False)), "ticket", 2)
    assert joined["early_error"].shape == (2, 3) and joined["validation_loss"].shape == (2, 3, 3)
    assert np.array_equal(joined["final_error"][:, 2], levels[2]["final_error"])
    assert joined["steps"].tolist() == [2, 4, 6] and {*joined} == OUTCOME


def test_accuracy_speed_and_censoring():
    results = fake([[0.25, 0.5], [0.1, 0.0]], [[0.5, 0.5], [0.5, 1.0]], early_step=[[10, 40], [20, 20]])
    assert statistics.accuracy(results, 0).tolist() == pytest.approx([75, 90])
    assert statistics.at_end(results, 1).tolist() == [50, 0]
    assert statistics.accuracy(results).shape == (2, 2)
    assert statistics.speed(results, 1).tolist() == pytest.approx([math.log2(40), math.log2(20)])
    assert statistics.censored(results, 1).tolist() == [True, False]


def test_main_claims_are_paired_differences_at_the_levels_they_name():
    rng = np.random.default_rng(0)
    tickets_ = fake(rng.random((4, 16)), early_step=rng.integers(1, 40, (4, 16)))
    arms = fake(rng.random((4, 2, 3)), early_step=rng.integers(1, 40, (4, 2, 3)))
    found = statistics.main_claims(tickets_, arms, levels=(3, 10, 7))
    t, a = 100 * (1 - tickets_["early_error"]), 100 * (1 - arms["early_error"])
    one, two, three = found["LTH-1"], found["LTH-2"], found["LTH-3"]
    np.testing.assert_allclose(one["gain_over_reinit_d21"], t[:, 7] - a[:, 0, 2])
    np.testing.assert_allclose(one["gain_over_reinit_d11"], t[:, 10] - a[:, 0, 1])
    ratio = tickets_["early_step"][:, 7] / arms["early_step"][:, 0, 2]
    np.testing.assert_allclose(one["log2_early_stop_ratio_d21"], np.log2(ratio))
    np.testing.assert_allclose(one["reinit_over_ticket_early_stop_d21"], 1 / ratio)
    np.testing.assert_allclose(two["gain_over_random_d21"], t[:, 7] - a[:, 1, 2])
    np.testing.assert_allclose(two["gain_over_random_d11"], t[:, 10] - a[:, 1, 1])
    np.testing.assert_allclose(two["random_accuracy_d11"], a[:, 1, 1])
    np.testing.assert_allclose(three["gain_over_dense_d13"], t[:, 9] - t[:, 0])
    np.testing.assert_allclose(three["gain_over_dense_d4"], t[:, 15] - t[:, 0])
    np.testing.assert_allclose(
        three["early_stop_ratio_d21"], tickets_["early_step"][:, 7] / tickets_["early_step"][:, 0]
    )


def test_the_peak_is_chosen_on_the_other_half_of_the_seeds():
    # Even seeds gain most at level 1, odd ones at level 2: each is read where the others peak.
    errors = 0.5 - np.array([[0, 0.10, 0.02], [0, 0.01, 0.20], [0, 0.30, 0.04], [0, 0.03, 0.40]])
    assert statistics.peak_gain(fake(errors)).tolist() == pytest.approx([2, 1, 4, 3])


def test_untrained_claims_take_the_density_that_is_best_on_validation():
    results = {
        "validation_accuracy": np.array([[[0.2, 0.9, 0.1], [0.5, 0.4, 0.6]]]),
        "test_accuracy": np.array([[[0.99, 0.7, 0.98], [0.97, 0.96, 0.8]]]),
    }
    found = statistics.best_untrained(results)
    assert found["accuracy_initial"].tolist() == pytest.approx([70])
    assert found["signed_constant_minus_initial"].tolist() == pytest.approx([10])


def test_learned_and_popup_claims_name_rows_and_columns():
    test = {"test_accuracy": np.array([[[0.5, 0.6], [0.7, 0.9]]])}
    found = statistics.learned_claim(test, trained=np.array([95.0]))
    assert {name: round(float(values[0]), 9) for name, values in found.items()} == {
        "learned_accuracy": 50, "rescaled_minus_plain": 10, "signed_constant_minus_initial": 20,
        "rescaled_signed_constant_minus_trained": -5, "fc_initial": 50, "fc_signed_constant": 70,
        "fc_rescaled_initial": 60, "fc_rescaled_signed_constant": 90,
    }  # fmt: skip
    keeps = (0.1, 0.5, 0.9)
    widths = {
        w: {"test_accuracy": np.array([[[0.2, 0.3, 0.25], [0.4, 0.1 * (5 + math.log2(w)), 0.45]]])} for w in (1, 2, 4)
    }
    found = statistics.popup_claim(widths, dict.fromkeys(widths, np.array([90.0])), keeps)
    assert {name: round(float(values[0]), 9) for name, values in found.items()} == {
        "half_minus_tenth": 30, "half_minus_nine_tenths": 25, "signed_constant_minus_normal": 40,
        "gap_width_slope": -10,
    }  # fmt: skip


def test_criteria_are_compared_by_name_at_both_densities():
    names = ["random", "magnitude", "small_final", "magnitude_increase"]
    assert {*names} <= {*CRITERIA}
    errors = np.array([[[0.50, 0.60], [0.10, 0.20], [0.70, 0.90], [0.15, 0.05]]])
    found = statistics.criteria_claim(fake(errors), names)
    rounded = {name: round(float(values[0]), 9) for name, values in found.items()}
    assert rounded == {
        "growth_minus_largest_d20": -5, "largest_minus_random_d20": 40, "largest_minus_smallest_d20": 60,
        "growth_minus_random_d20": 35, "growth_minus_smallest_d20": 55, "growth_minus_largest_d10": 15,
        "largest_minus_random_d10": 40, "largest_minus_smallest_d10": 70, "growth_minus_random_d10": 55,
        "growth_minus_smallest_d10": 85,
    }  # fmt: skip


def test_the_best_small_net_is_chosen_by_validation_among_the_first_members():
    small = fake([[0.5, 0.4, 0.1, 0.3], [0.9, 0.2, 0.6, 0.7]])
    small["validation_loss"] = np.array([[[3, 2], [9, 1.5], [8, 8], [1, 9]], [[2, 2], [3, 3], [4, 4], [9, 1.0]]])
    assert statistics.best_of(small, 1).tolist() == pytest.approx([50, 10])
    assert statistics.best_of(small, 3).tolist() == pytest.approx([60, 10])  # not 90: test data do not choose
    assert statistics.best_of(small, 4).tolist() == pytest.approx([70, 30])
    found = statistics.small_claim(np.array([80.0, 80.0]), small, (1, 4))
    assert found["ticket_minus_best_of_4"].tolist() == pytest.approx([10, 50])
    assert found["gap_log2_count_slope"].tolist() == pytest.approx([-10, -10])


def test_slopes_on_size_are_per_doubling():
    ends = {w: fake([1 - 0.1 * math.log2(w) / 2], early_step=[4 * w]) for w in (2, 4, 16)}
    found = statistics.size_claim(ends)
    assert found["accuracy_size_slope"].tolist() == pytest.approx([5])
    assert found["early_stop_size_slope"].tolist() == pytest.approx([1])


def test_stable_and_matching_nets_are_told_by_means_over_the_seeds():
    path = np.zeros((2, 2, 1, 3))
    path[:, 0, 0] = [[0.1, 0.10, 0.1], [0.1, 0.13, 0.1]]  # barriers 0 and 3 points: mean 1.5
    path[:, 1, 0] = [[0.1, 0.11, 0.1], [0.0, 0.09, 0.1]]  # 1 and 5 (the ends differ): mean 3
    results = fake([[[0.10], [0.12]], [[0.12], [0.20]]]) | {"path_error": path}
    np.testing.assert_allclose(statistics.barriers(results)[:, :, 0], [[0, 1], [3, 5]], atol=1e-12)
    stable, matching = statistics.stable_and_matching(results, dense=np.array([89.5, 88.5, 0.0]), tolerance=0.5)
    assert stable.tolist() == [True, False] and matching.tolist() == [True, False]  # 0 and 5 points behind


def test_fisher_is_the_chance_of_so_many_matches_among_the_stable():
    stable, matching = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 1, 1, 0, 0, 0], bool)
    assert statistics.fisher(stable, matching).estimate == pytest.approx(1 / math.comb(6, 3))
    assert statistics.fisher(stable, ~matching).estimate == pytest.approx(1)


def test_early_flips_are_compared_step_by_step_with_later_ones():
    flips = {"steps": np.array([1, 4, 5, 14]), "changed": np.array([[0.2, 0.2, 0.05, 0.15]])}
    # 0.4 in 4 steps, then 0.2 in 10.
    assert statistics.flip_rates(flips, early=4).tolist() == pytest.approx([5])
    assert statistics.flip_rates(flips, early=3).tolist() == pytest.approx([0.2 / (0.4 / 13)])


def test_weights_are_counted_without_biases():
    kept = [sum(round(n * (0.9 if name == "layer3" else 0.8) ** k) for name, n in LAYERS.items()) for k in (0, 2, 5)]
    assert statistics.densities(LAB, (0, 2, 5)).tolist() == pytest.approx([k / kept[0] for k in kept])
    assert plan.weights_kept(LAB, 5) == kept[2]


def test_chains_of_every_size_end_at_the_same_number_of_weights():
    found = plan.size_runs(LAB, [(14, 9), (30, 20)], target=300)
    assert list(found) == [sum(LAYERS.values()), 64 * 30 + 30 * 20 + 20 * 10]
    for weights, runs in found.items():
        deepest = runs[f"size {weights} {plan.QUICK_ROUNDS}"]
        kept = plan.round_counts({"all": (weights, 1)}, deepest.level, deepest.rate, deepest.last)["all"]
        assert kept == 300 and len(runs) == plan.QUICK_ROUNDS + 1 and runs[f"size {weights} 0"].previous is None


def test_movement_is_measured_in_the_largest_layer_of_the_dense_training(levels):
    found, null = statistics.moves(LAB, levels[0], level=3, draws=20)
    first, last = statistics.start_and_end(LAB, levels[0])
    assert statistics.largest(first) == "layer1"
    for r in range(2):
        w0, w1 = first["layer1"][r].flatten().numpy(), last["layer1"][r].flatten().numpy()
        kept = np.argsort(-np.abs(w1), kind="stable")[: round(14 * 64 * 0.512)]
        moved, cut = np.abs(w1 - w0), np.setdiff1d(np.arange(w0.size), kept)
        assert found["median_move_ratio"][r] == pytest.approx(np.median(moved[kept]) / np.median(moved[cut]))
        assert found["share_of_null_below"][r] == pytest.approx((null[r] < found["median_move_ratio"][r]).mean())
    assert null.shape == (2, 20)


def test_kurtosis_is_that_of_the_largest_layer_before_and_after(levels):
    found = statistics.shape_of_weights(LAB, levels[0])
    for name, tensors in zip(("initial", "trained"), statistics.start_and_end(LAB, levels[0]), strict=True):
        w = tensors["layer1"].flatten(1).double().numpy()
        z = (w - w.mean(1, keepdims=True)) / w.std(1, keepdims=True)
        np.testing.assert_allclose(found[name], (z**4).mean(1) - 3, rtol=1e-4)
    np.testing.assert_allclose(found["kurtosis_trained_minus_initial"], found["trained"] - found["initial"])


def test_concentration_is_averaged_over_the_sides_of_hidden_units():
    values = {"incoming": 2.0, "outgoing": 3.0, "excess": 1.0}
    found = {
        name: {key: np.array([[0.0, value * 10**layer]]) for key, value in values.items()}
        for layer, name in enumerate("abc")
    }
    claim = statistics.concentrated(found, at=1)
    assert claim["log2_incoming_variance_ratio"].tolist() == pytest.approx([(1 + math.log2(20)) / 2])
    assert claim["outgoing_variance_ratio"].tolist() == pytest.approx([(30 + 300) / 2])
    assert claim["excess_survival_over_null"].tolist() == pytest.approx([(1 + 10) / 2])


def test_spread_leaves_out_inputs_that_never_vary(levels):
    found = statistics.spread(LAB, levels[3], (1, 3))
    x = tickets.setting(LAB)[1]["train"].x.numpy()
    alive = x.min(0) < x.max(0)
    assert 0 < (~alive).sum() < 20  # corner pixels of the digits
    for place, level in enumerate((1, 3)):
        kept = masks_of(levels[3], level)["layer1"].numpy()[:, :, alive]
        n, k = kept[0].size, kept.sum((1, 2))
        per_unit = kept.sum(2)  # [S, 14]
        # Variance of a hypergeometric draw of alive.sum() of n weights, k of them kept.
        share, m = k / n, alive.sum()
        expected = per_unit.var(1) / (m * share * (1 - share) * (n - m) / (n - 1))
        np.testing.assert_allclose(found["layer1"]["incoming"][:, place], expected, rtol=0.1)
    assert set(found) == set(LAYERS) and found["layer2"]["excess"].shape == (2, 2)


def test_every_arm_can_be_stacked_by_the_study(levels):
    # The names a notebook may use: all of them, from one level.
    found = run(Arms(SOURCE, tuple(ARMS), (2,)), levels[2])
    assert found["early_error"].shape == (2, len(ARMS), 1) and np.isfinite(found["train_loss"]).all()
    assert stack([start(), start()]).replicates == 4
