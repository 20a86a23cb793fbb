"""Data of a run: each seed draws its own training examples, arms of a seed see the same, the rest is shared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import Modules, Stack, groups_of, repeated
from redlib.nets import StackedMLP
from redlib.pruning.tickets import stack
from redlib.training import Examples

SIZES = {"dataset": "digits", "pool": 150, "validation": 60, "tests": 60, "looks": 2, "steps": 6, "batch": 25, "n": 100}
STACK = configure(Stack, SIZES, hidden=(12, 8), seeds=(3, 4, 5))
MODULES = configure(Modules, SIZES, net="small_conv", width=3, optimizer="sgd", lr=0.1, seeds=(3, 4))
for_both = pytest.mark.parametrize("lab", [STACK, MODULES], ids=["stack", "modules"])


@for_both
def test_each_seed_draws_its_own_examples_whatever_its_company(lab):
    train = lab.parts()["train"]
    assert train.rows.shape == train.y.shape == (len(lab.seeds), 100) and lab.size == len(train) == 100
    assert all(len(own.unique()) == 100 for own in train.rows), "without repetition"
    assert not torch.equal(train.rows[0].sort().values, train.rows[1].sort().values)
    assert torch.equal(train.y, lab.load().train.y[train.rows])
    alone = replace(lab, seeds=lab.seeds[1:2]).parts()["train"]
    assert torch.equal(alone.rows[0], train.rows[1]) and torch.equal(alone.y[0], train.y[1])


@for_both
def test_validation_and_test_are_the_same_for_all_seeds(lab):
    data, parts = lab.load(), lab.parts()
    for name, split in (("validation", data.validation), ("test", data.test)):
        assert parts[name].rows is None and torch.equal(parts[name].x, split.x) and torch.equal(parts[name].y, split.y)


def test_all_of_the_pool_is_shared_and_more_than_that_refused():
    whole = varied(STACK, n=None)
    train = whole.parts()["train"]
    assert train.rows is None and whole.size == len(train) == 150 and varied(whole, part="second").size == 75
    with pytest.raises(BadInput, match="1 <= n <= 150"):
        varied(STACK, n=151).parts()


@pytest.mark.parametrize("dataset", ["mnist1d", "mnist1d_b"])
def test_each_seed_has_generated_data_made_for_it_alone(dataset):
    lab = configure(Stack, SIZES, dataset=dataset, pool=50, n=40, hidden=(5,), seeds=(3, 4))
    data, train = lab.load(), lab.parts()["train"]
    assert train.x.shape == (100, 40) and train.rows.shape == (2, 40) and lab.size == 40
    assert int(train.rows[0].max()) < 50 <= int(train.rows[1].min()), "each from a pool of its own"
    sets = [{row.numpy().tobytes() for row in part} for part in (train.x[:50], train.x[50:], data.train.x, data.test.x)]
    assert [len(one) for one in sets] == [50, 50, 50, 60] and len(set.union(*sets)) == 210
    alone = replace(lab, seeds=(4,)).parts()["train"]
    assert torch.equal(alone.x[alone.rows[0]], train.x[train.rows[1]]) and torch.equal(alone.y[0], train.y[1])
    few = varied(lab, n=10).parts()["train"]
    assert torch.equal(few.rows, train.rows[:, :10]) and torch.equal(few.x, train.x)
    assert varied(lab, n=None).parts()["train"].rows is None


def test_smaller_sets_of_a_seed_are_the_first_of_its_larger_ones():
    few = varied(STACK, n=40).parts()["train"].rows
    assert torch.equal(few, STACK.parts()["train"].rows[:, :40])


def test_halves_of_shared_examples_are_halves_of_the_pool():
    whole = varied(STACK, n=None)
    first, second = (varied(whole, part=part).parts()["train"] for part in ("first", "second"))
    assert torch.equal(torch.cat([first.rows, second.rows], 1), torch.arange(150).expand(3, -1))


def test_arms_of_a_seed_are_trained_and_measured_on_its_examples():
    parts, alone = STACK.parts(), STACK.nets()
    arms = stack([STACK.nets(), STACK.nets(1), STACK.nets()])
    found, once = STACK.train(arms, parts), STACK.train(alone, parts)
    for name in ("early_error", "train_loss", "train_error"):
        for arm in (0, 2):
            assert np.array_equal(found[name][3 * arm : 3 * arm + 3], once[name]), name
    assert not np.array_equal(found["train_loss"][3:6], once["train_loss"])
    own = parts["train"]
    for r, x in enumerate(own.x[own.rows]):
        wrong = (alone.select([r, r]).logits(x)[0].argmax(1) != own.y[r]).double().mean()
        assert once["train_error"][r] == pytest.approx(wrong.item())


def test_modules_of_several_arms_are_measured_on_the_examples_of_their_seed():
    nets, train = MODULES.nets(), MODULES.parts()["train"]
    both = MODULES.measured([*nets, *nets], train)[0]
    assert torch.equal(both[:2], MODULES.measured(nets, train)[0]) and torch.equal(both[:2], both[2:])


def test_sets_that_are_watched_in_training_are_each_arms_own():
    train = STACK.parts()["train"]
    net = stack([STACK.nets(), STACK.nets()])
    history = STACK.fit(net, train, evaluate={"train": train})
    assert np.array_equal(history["train_loss"][:, -1], STACK.measured(net, train)[0].numpy())


def test_examples_are_repeated_arm_by_arm_and_left_alone_where_they_are_shared():
    rows, y = torch.tensor([[0, 1], [2, 3]]), torch.tensor([[0, 1], [1, 0]])
    own = Examples(torch.zeros(4, 5), y, rows)
    assert repeated(own, 4).rows.tolist() == [[0, 1], [2, 3], [0, 1], [2, 3]]
    assert repeated(own, 4).y.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert repeated(own, 2) is own
    told = Examples(torch.zeros(2, 5), y)  # labels of their own on inputs that are shared
    assert repeated(told, 4).y.tolist() == [[0, 1], [1, 0]] * 2 and repeated(told, 4).rows is None
    shared = Examples(torch.zeros(2, 5), y[0])
    assert repeated(shared, 4) is shared
    with pytest.raises(BadInput, match="replicates in data"):
        STACK.fit(STACK.nets(), STACK.parts()["train"].select([0, 1]))
    with pytest.raises(BadInput, match="replicates in data"):
        MODULES.measured(MODULES.nets(), own.select([0, 1, 0]))


def test_nets_are_counted_in_stacks_lists_and_alone():
    assert groups_of(StackedMLP.create((4, 3, 2), [0, 1, 2])) == 3
    assert groups_of([torch.nn.Linear(1, 1)] * 2) == 2 and groups_of(torch.nn.Linear(1, 1)) == 1
