"""The runs of the ticket study are what their parts say: single cuts, barriers, small nets, flips, masks alone."""

import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from redlib.errors import BadInput
from redlib.experiments.chain import Level, levels, masks_of_levels
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import TRAINED, Modules, restored, vector
from redlib.experiments.results import table
from redlib.measures.connectivity import barrier, line_errors
from redlib.nets import StackedMLP
from redlib.pruning.masks import remove
from redlib.pruning.supermasks import ScoredMLP, sampled_accuracy, signed_constant
from redlib.pruning.tickets import ARMS, REINIT, Cut, prepare
from redlib.studies.lottery_tickets import runs
from redlib.studies.lottery_tickets.runs import Barrier, Carried, Flips, OneShot, SmallNets, Supermask, Untrained
from redlib.training import SGD, Examples, fit
from redlib.training.evaluation import evaluate
from redlib.training.execution import by_density

spec = importlib.util.spec_from_file_location("tiny_tickets", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
LAB, SOURCE, CONV = tiny.LAB, tiny.SOURCE, tiny.CONV
LAYERS = {"layer1": 14 * 64, "layer2": 9 * 14, "layer3": 10 * 9}
PARTS = LAB.parts()


pytestmark = pytest.mark.usefixtures("one_thread_throughout")


@cache
def chain(source, depth):
    """The levels 0 … depth, each run on what the one before left."""
    found = []
    for level in levels(source, depth).values():
        found.append(level.run(found[-1] if found else None))
    return found


def plainly(net, steps=LAB.steps):
    """`net` after training as the lab says, by a call of `fit`."""
    fit(net, PARTS["train"], optimizer=SGD(0.2, 0.9), steps=steps, batch_size=25, execution=by_density(net))
    return net


def kept_counts(level):
    return {name: round(n * (0.9 if name == "layer3" else 0.8) ** level) for name, n in LAYERS.items()}


# ---- single cuts ----


def test_a_one_shot_cut_by_magnitude_is_the_first_level_and_criteria_differ():
    first, second = chain(SOURCE, 1)
    cuts = OneShot(SOURCE, (1, 2), ("magnitude", "large_init", "random"))
    found = cuts.results(cuts.run(first))
    ticket = found.at(criterion="magnitude", level=1)
    assert set(found) == set(table(TRAINED))
    assert all(np.array_equal(values, second[name]) for name, values in ticket.items())
    initial, final, masks = cuts.cut(first, "magnitude")
    for criterion, net in (("magnitude", final), ("large_init", initial)):
        masks = cuts.cut(first, criterion)[2][2]
        assert {name: int(mask[0].sum()) for name, mask in masks.items()} == kept_counts(2)
        for r, mask in enumerate(masks["layer1"]):
            sizes = net.weights[0][r].abs()
            assert sizes[mask].min() >= sizes[~mask].max()
    one, two = (masks["layer1"] for masks in cuts.cut(first, "random")[2].values())
    assert not torch.equal(two[0], two[1]) and not torch.equal(one, two)


def test_a_single_ticket_can_be_trained_longer():
    longer = OneShot(SOURCE, (2,), length=1.5)
    assert longer.run(chain(SOURCE, 0)[0])["steps"].tolist() == [3, 6, 9]
    assert longer.previous == SOURCE and longer.cost > OneShot(SOURCE, (2,)).cost


def test_untrained_nets_are_measured_as_they_are_cut():
    first = chain(SOURCE, 0)[0]
    config = Untrained(SOURCE, (1, 6), "large_final", ("ticket", "signed_constant", "finetuned"))
    found = config.results(config.run(first))
    ended, constant = restored(LAB.nets(), first["final"]), LAB.nets()
    for w in constant.weights:
        w.copy_(w.sign() * w.flatten(1).std(1, correction=0)[:, None, None])
    for level in (1, 6):
        for arm, base in (("ticket", LAB.nets()), ("signed_constant", constant.clone()), ("finetuned", ended.clone())):
            for layer, kept in enumerate(kept_counts(level).values()):
                sizes = ended.weights[layer].abs()
                bar = sizes.flatten(1).sort(1, descending=True).values[:, kept - 1]
                base.weights[layer].mul_(sizes >= bar[:, None, None])
            for part in ("validation", "test"):
                right = (base.logits(PARTS[part].x).argmax(-1) == PARTS[part].y).double().mean(1)
                np.testing.assert_allclose(found.at(arm=arm, level=level)[f"{part}_accuracy"], right)


# ---- tickets carried over ----


def test_a_ticket_is_carried_to_other_data_with_its_masks_and_its_initial_weights():
    here, away = tiny.HERE, tiny.AWAY
    last = chain(Level(here), 2)[2]
    config = Carried(Level(here), ("ticket", "random"), (2,), away)
    found = config.results(config.run(last))
    net = prepare(ARMS["ticket"], here.nets(), masks_of_levels(last, here.nets(), (2,))[2])
    own = away.train(net, away.parts())
    assert all(np.array_equal(own[name], values) for name, values in found.at(arm="ticket", level=2).items())
    stayed = replace(config, lab=None).run(last)
    assert np.array_equal(stayed["train_loss"][:, 0, 0], last["train_loss"]), "where nothing else is said"
    assert not np.array_equal(stayed["train_loss"], found["train_loss"])


def test_the_key_of_a_carried_ticket_tells_both_data_sets():
    config = Carried(Level(tiny.HERE), ("ticket",), (2,), tiny.AWAY)
    here, away, both = tiny.HERE.load(), tiny.AWAY.load(), config.load()
    assert len({here.digest, away.digest, both.digest}) == 3 and both.name == "mnist1d, then mnist1d_b"
    back = Carried(Level(tiny.AWAY), ("ticket",), (2,), tiny.HERE).load()
    assert back.digest != both.digest and both.provenance["mnist1d"] == here.provenance
    assert replace(config, lab=varied(tiny.HERE, lr=0.1)).load().digest == here.digest


def test_a_ticket_is_not_carried_to_nets_of_another_shape():
    config = Carried(Level(tiny.HERE), ("ticket",), (2,), LAB)
    with pytest.raises(BadInput, match=r"64.*40.*data sets of one shape"):
        config.run(chain(Level(tiny.HERE), 2)[2])


def test_transfers_are_between_halves_optimisers_and_data_sets_both_ways():
    optimisers = {"rates": [0.01, 0.1], "large": 0.2, "other": {"optimizer": "adam", "lr": 0.001}}
    labs = runs.transfer_labs(tiny.HERE, optimisers, {"dataset": "mnist1d_b"}, [50, 100])
    assert labs["here"] == tiny.HERE and labs["away"] == tiny.AWAY and labs["second"].part == "second"
    assert (labs["small"].lr, labs["large"].lr, labs["other"].optimizer) == (0.01, 0.2, "adam")
    assert {n: labs[n].size for n in (50, 100)} == {50: 50, 100: 100}
    plan = runs.transfers(labs, Cut(0.36, 0.19), 5)
    carried = {name: one for name, one in plan.items() if isinstance(one, Carried)}
    assert {*carried} == {*runs.MOVED, (50, "away"), (100, "away")}
    assert all(one.source.lab is labs[a] and one.lab is labs[b] for (a, b), one in carried.items())
    goals = {"second", "large", "other", "here", "away"}
    assert {name for name, kind in plan if kind == "arms"} == goals == {n for n, kind in plan if kind == "native"}
    assert [one.level for one in plan["away", "native"].values()] == [0, 5]


# ---- barriers ----


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("start", [0, 3])
def test_barriers_lie_between_two_copies_that_differ_in_their_order_only(level, start):
    last = chain(SOURCE, 2)[level]
    found = Barrier(Level(LAB, level), start, alphas=5, tests=40).run(last)
    origin = plainly(LAB.nets(), start) if start else LAB.nets()
    first = prepare(ARMS["ticket"], origin, masks_of_levels(last, origin, (level,))[level])
    second = StackedMLP(first.sizes, [s + REINIT for s in first.seeds], first.flat.clone(), masks=first.masks)
    nets = [plainly(net) for net in (first, second)]
    assert not torch.equal(nets[0].flat, nets[1].flat)
    some = Examples(PARTS["test"].x[:40], PARTS["test"].y[:40])
    ends = [evaluate(net, some)["error"].numpy() for net in nets]
    assert np.array_equal(found["path_error"][:, [0, -1]], np.stack(ends, 1))
    if not start:
        assert np.array_equal(found["early_error"], last["early_error"])


def test_a_copy_that_begins_as_the_ticket_did_is_the_ticket(monkeypatch):
    trained = []
    train = Barrier._trained
    monkeypatch.setattr(Barrier, "_trained", lambda self, net, n: trained.append(n) or train(self, net, n))
    last = chain(SOURCE, 2)[2]
    own = Barrier(Level(LAB, 2), 0).run(last)
    assert trained == [1]
    elsewhere = Barrier(Level(LAB, 2, rewind=5), 0).run(last)  # the same masks; now both copies are trained
    assert trained == [1, 0, 1] and all(np.array_equal(own[name], elsewhere[name]) for name in own)


def test_copies_of_conv_nets_go_on_from_the_step_they_part_at():
    source = Level(CONV, cut=Cut(0.5, 0.2), rewind=2)
    last, level = chain(source, 1)[1], levels(source, 1)[1]
    found = Barrier(level, 2, alphas=3).run(last)
    parts, start = CONV.parts(), CONV.begun(2)
    masks = masks_of_levels(last, start, (1,))[1]
    nets = [prepare(ARMS["ticket"], start, masks) for _ in range(2)]
    for number, net in enumerate(nets):
        trained = CONV.train(net, parts, 2, [seed + number * REINIT for seed in CONV.seeds])
        remove(net)
        if not number:
            assert np.array_equal(trained["early_error"], found["early_error"])
    path = line_errors(nets[0], nets[1], parts["test"], 3, parts["train"])
    assert np.array_equal(found["path_error"], path) and not np.array_equal(vector(nets[0]), vector(nets[1]))


def test_augmented_copies_start_alike_and_shift_their_images_differently():
    lab = varied(CONV, augment=True)
    start = lab.begun(2)
    first, second = (runs._copy(lab, start, number) for number in range(2))
    assert np.array_equal(vector(first), vector(start)) and np.array_equal(vector(second), vector(start))
    x = lab.parts()["test"].x[:20]
    assert not torch.equal(first[0].train()[0](x), second[0].train()[0](x))


def test_copies_that_do_not_move_have_no_barrier():
    still = Level(varied(CONV, lr=0.0))
    found = Barrier(still, 3, alphas=4).run(still.run())
    assert (found["path_error"] == found["path_error"][:, :1]).all()
    assert not barrier(torch.from_numpy(found["path_error"])).any()


# ---- other runs ----


def test_small_nets_are_dense_no_larger_than_asked_and_each_seed_has_its_members():
    small = SmallNets(LAB, weights=400, members=3)
    found = small.results(small.run())
    # 64-14-9-10 in proportion: width 5 gives 64 * 5 + 5 * 3 + 3 * 10 = 365, width 6 64 * 6 + 24 + 40 = 448.
    assert small.small.hidden == (5, 3) and found["early_error"].shape == (3, 3)
    alone = varied(LAB, hidden=(5, 3), seeds=[4 + 2 * runs.MEMBER])
    alone = alone.train(alone.nets(), PARTS | {"train": PARTS["train"].select([1])})
    for name, values in found.at(member=2).items():
        assert np.array_equal(
            alone[name] if name == "steps" else alone[name][0], values if name == "steps" else values[1]
        )
    with pytest.raises(BadInput, match="one unit a layer"):
        SmallNets(LAB, weights=60).run()


def test_sign_flips_are_counted_between_looks():
    found = Flips(LAB, looks=3).run()
    assert found["steps"].tolist() == [1, 2, 6]
    signs = [net.vector() > 0 for net in (LAB.nets(), *(plainly(LAB.nets(), step) for step in (1, 2, 6)))]
    expected = [(a != b).double().mean(1) for a, b in zip(signs[1:], signs[:-1], strict=True)]
    np.testing.assert_allclose(found["changed"], torch.stack(expected, 1), atol=1e-12)
    assert (found["changed"] > 0).any()


@pytest.mark.parametrize("weights", ["initial", "signed_constant"])
@pytest.mark.parametrize("options", [{"rescale": False}, {"rescale": True}, {"mode": "popup", "keep": 0.1}])
def test_a_supermask_is_learned_over_weights_that_stay_as_they_are(weights, options):
    lab = varied(LAB, lr=20.0, weight_decay=1e-4)
    found = Supermask(lab, **({"mode": "bernoulli"} | options), weights=weights, samples=3).run()
    net = LAB.nets() if weights == "initial" else signed_constant(LAB.nets())
    scored = ScoredMLP.create(net, **({"mode": "bernoulli"} | options))
    fit(scored, PARTS["train"], optimizer=SGD(20.0, 0.9, weight_decay=1e-4), steps=6, batch_size=25)
    for part in ("validation", "test"):
        assert np.array_equal(found[f"{part}_accuracy"], sampled_accuracy(scored, PARTS[part], 3))
    kept = np.concatenate([mask.flatten(1).numpy() for mask in scored.supermasks().values()], 1).mean(1)
    np.testing.assert_allclose(found["density"], kept, rtol=1e-6)
    share = sum(round(options.get("keep", 0.5) * n) for n in LAYERS.values()) / sum(LAYERS.values())
    assert found["density"] == pytest.approx(share, abs=1e-6 if "keep" in options else 0.2)


def test_only_weights_that_are_known_can_be_masked():
    with pytest.raises(BadInput, match="weights"):
        Supermask(LAB, weights="final").run()


def test_weights_are_counted_without_biases_and_cuts_end_where_they_are_told():
    assert runs.weights_left(SOURCE) == sum(LAYERS.values()) and runs.weights_left(Level(LAB, 5)) == sum(
        kept_counts(5).values()
    )
    for hidden in ((14, 9), (30, 20)):
        ticket = runs.cut_to(varied(LAB, hidden=hidden), 300, 5)
        assert abs(runs.weights_left(ticket) - 300) <= 1 and ticket.cut.rate == ticket.cut.last
        assert replace(ticket, level=0).lab.nets().sizes == (64, *hidden, 10)


def test_halves_of_a_seed_s_training_examples_are_disjoint_and_leave_validation_and_test_alone():
    first, second = (varied(LAB, part=part).parts() for part in ("first", "second"))
    assert torch.equal(torch.cat([first["train"].rows, second["train"].rows], 1), PARTS["train"].rows)
    assert torch.equal(torch.cat([first["train"].y, second["train"].y], 1), PARTS["train"].y)
    assert len(first["train"]) == len(second["train"]) == varied(LAB, part="first").size == 60
    for part in ("validation", "test"):
        assert torch.equal(first[part].x, second[part].x) and torch.equal(first[part].x, PARTS[part].x)
    with pytest.raises(BadInput, match="one half"):
        varied(LAB, part="third").parts()


class Coloured(Modules):
    """The lab with pictures of the size and colours of CIFAR-10."""

    def load(self):
        """Return the digits, 32 x 32 pixels in three channels."""
        data = super().load()
        parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
        large = {name: torch.nn.functional.interpolate(part.x, size=32) for name, part in parts.items()}
        return replace(data, **{n: replace(p, x=large[n].expand(-1, 3, -1, -1).contiguous()) for n, p in parts.items()})


PAPER = Path(__file__).parents[3] / "profiles" / "paper.yaml"
FEW = {"dataset": "digits", "pool": 200, "validation": 60, "tests": 60, "n": 16, "batch": 8, "steps": 2, "looks": 1}


# Narrower than a half, strided 1 x 1 convolutions of few channels corrupt memory in torch 2.13 on AVX2.
@pytest.mark.parametrize(("kind", "width"), [("calm", 1 / 16), ("rough", 1 / 2)])
def test_a_chain_at_the_papers_own_settings_runs(kind, width):
    given = yaml.safe_load(PAPER.read_text(encoding="utf-8"))["notebooks"]["02_lottery_tickets"]
    lab = configure(Coloured, given["conv"], given[kind], FEW, width=width, seeds=(3,))
    cut = configure(Cut, given["conv_cuts"][kind == "rough"])
    last = chain(Level(lab, cut=cut, rewind=int(kind == "rough")), 1)[1]
    assert 0.75 < last["density"][0] < 0.93 and np.isfinite(last["validation_loss"]).all()
