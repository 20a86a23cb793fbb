"""The one pruning chain: stacks and modules, seeds alone and among others, arms that share the masks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.experiments.chain import Arms, Level, levels, masks_of_levels
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import Modules, Stack, restored, vector
from redlib.pruning.masks import weights_of
from redlib.pruning.tickets import Cut, find_tickets, masks_at

SIZES = {"dataset": "digits", "pool": 150, "validation": 60, "tests": 60, "looks": 2, "steps": 6, "batch": 50}
STACK = configure(Stack, SIZES, n=120, hidden=(12, 8), seeds=(3, 4, 5))
MODULES = configure(Modules, SIZES, n=100, net="small_conv", width=3, optimizer="sgd", lr=0.1, seeds=(3, 4))
LABS = {"stack": STACK, "modules": MODULES}
for_both = pytest.mark.parametrize("lab", LABS.values(), ids=LABS)


def run(source, depth):
    """Return the arrays of the levels 0 … depth, each made from those before."""
    found = [source.run()]
    for level in range(1, depth + 1):
        found.append(replace(source, level=level).run(found[-1]))
    return found


@for_both
def test_levels_keep_what_the_policy_says_nested_and_are_declared(lab):
    cut = Cut(0.5, 0.25, linear=0.1 if isinstance(lab, Modules) else None)
    found = run(Level(lab, cut=cut), 2)
    like = weights_of(lab.nets())
    for level, arrays in enumerate(found):
        results = Level(lab, level, cut).results(arrays)
        assert results.axes["early_error"] == ("seed",) and results["final"].shape[0] == len(lab.seeds)
        masks = masks_of_levels(arrays, lab.nets(), (level,))[level]
        wanted = cut.counts({name: w.shape[1:] for name, w in like.items()}, level)
        assert {name: int(m[0].sum()) for name, m in masks.items()} == wanted
        assert results["density"] == pytest.approx(sum(wanted.values()) / sum(w[0].numel() for w in like.values()))
    assert np.all(found[2]["survives"] >= found[1]["survives"]), "a weight cut once stays cut"


@for_both
def test_a_seed_alone_is_the_seed_among_others_through_the_chain(lab):
    alone = run(Level(replace(lab, seeds=lab.seeds[1:2])), 2)[2]
    among = run(Level(lab), 2)[2]
    for name, values in alone.items():
        assert np.array_equal(values, among[name] if name == "steps" else among[name][1:2]), name


def test_the_chain_is_find_tickets_level_by_level():
    found = run(Level(STACK), 3)

    def train(net):
        STACK.train(net, STACK.parts())

    masks = find_tickets(STACK.nets(), train, 3)
    for level, wanted in enumerate(masks):
        mine = masks_of_levels(found[3], STACK.nets(), (level,))[level]
        assert all(torch.equal(mine[name], wanted[name]) for name in wanted)


def test_find_tickets_prunes_modules_too():
    masks = find_tickets(MODULES.nets(), lambda nets: MODULES.fit(nets, MODULES.parts()["train"], seeds=(3, 4)), 2)
    mine = masks_of_levels(run(Level(MODULES), 2)[2], MODULES.nets(), (2,))[2]
    assert all(torch.equal(mine[name], masks[2][name]) for name in mine)


@for_both
def test_arms_take_the_masks_of_each_level_and_the_ticket_arm_is_the_chain(lab):
    found = run(Level(lab), 2)
    arms = Arms(Level(lab), ("ticket", "random"), (1, 2))
    results = arms.results(arms.run(found[2]))
    for level in (1, 2):
        ticket = results.at(arm="ticket", level=level)
        assert np.allclose(ticket["final_error"], found[level]["final_error"], atol=1e-12)
        assert np.allclose(ticket["validation_loss"], found[level]["validation_loss"], rtol=1e-5)
    nets = arms.nets(found[2])
    kept = weights_of(nets)
    first = next(iter(kept))
    masks = masks_at({first: masks_of_levels(found[2], lab.nets(), (2,))[2][first].int()}, 1)[first]
    last = slice(len(lab.seeds), 2 * len(lab.seeds))  # arm ticket, level 2
    assert torch.equal(kept[first][last] != 0, masks)


def test_modules_that_rewind_go_back_to_the_weights_of_that_step():
    late = Level(MODULES, 1, Cut(0.5, 0.5), rewind=3)
    assert late.previous == Level(MODULES, 0, Cut(0.5, 0.5)), "the dense net is the same whatever the rewind step"
    assert replace(late, level=2).previous.rewind == 3
    early, dense = MODULES.begun(3), Level(MODULES, cut=late.cut).run()
    whole = late.run(dense)
    masks = masks_of_levels(whole, MODULES.nets(), (1,))[1]
    held = [net for net in early]
    assert not np.array_equal(vector(held), vector(MODULES.nets()))
    cut = ~masks[next(iter(masks))]
    assert bool((weights_of(restored(MODULES.nets(), whole["final"]))[next(iter(masks))][cut] == 0).all())


def test_the_state_of_modules_comes_back_whatever_masks_did_to_its_order():
    nets = MODULES.nets()
    moved = restored(MODULES.nets(1), vector(nets))
    assert all(torch.equal(a, b) for a, b in zip(weights_of(nets).values(), weights_of(moved).values(), strict=True))
    reordered = Level(MODULES, 1).run(Level(MODULES).run())["final"]
    assert np.array_equal(vector(restored(nets, reordered)), reordered)


def test_a_level_without_the_one_before_and_bad_settings_are_refused():
    with pytest.raises(BadInput, match="before"):
        Level(STACK, 1).run()
    with pytest.raises(BadInput, match="Did you mean steps"):
        configure(Stack, {"stepz": 3})
    with pytest.raises(BadInput, match="steps, epochs"):
        varied(STACK, epochs=3).total(100)
    with pytest.raises(BadInput, match="optimizer"):
        varied(STACK, optimizer="momentum").rule()


def test_modules_take_the_arms_that_stacks_take():
    arms = Arms(Level(MODULES), ("noise_half", "keep_sign"), (1,))
    found = arms.run(Level(MODULES, 1).run(Level(MODULES).run()))
    assert found["final_error"].shape[1] == 2 and np.isfinite(found["final_error"]).all()


def test_levels_are_numbered_and_share_their_keys_with_whoever_asks():
    assert [one.level for one in levels(Level(STACK), 3).values()] == [0, 1, 2, 3]
    assert levels(Level(STACK), 3)[2].previous == levels(Level(STACK), 3)[1]
