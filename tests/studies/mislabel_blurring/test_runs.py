"""The runs of the study of mislabelled data do what they say: who is told what, how nets train, what is looked at."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.data.blur import blur
from redlib.data.mislabel import mislabel_rows
from redlib.data.sources import load
from redlib.data.transforms import change_norms
from redlib.errors import BadInput
from redlib.measures import robustness
from redlib.studies.mislabel_blurring import claims
from redlib.studies.mislabel_blurring.runs import CHANGES, Blurred, Disagreement, Kernel, Robust, Tickets, watched
from redlib.training import SGD, Adam

TINY = Blurred(
    pool=300, tests=40, every=10, widths=(8, 8), epochs=8, batch=20, looks=3, changes=CHANGES, clean=15,
    sigmas=(0.1, 1.3, 4.0, 10.0), sizes=(1.3, 4.0), seeds=(1000, 1001),
)  # fmt: skip
PRUNED = Tickets(pool=300, every=10, hidden=(80, 60), rounds=2, rate=0.8, lr=0.01, epochs=40, seeds=(1000, 1001))


@pytest.fixture(scope="module")
def data():
    return TINY.load()


@pytest.fixture(scope="module")
def found():
    return TINY.results(TINY.run())


@pytest.fixture(scope="module")
def trained():
    """The nets of `found`, trained again: runs keep decisions, not nets."""
    nets = TINY.nets()
    TINY.fit(nets, TINY.told(), seeds=TINY.seeds)
    return nets


# Who is told what


def test_each_seed_is_told_every_kth_label_of_a_class_wrongly_in_its_own_order(data, found):
    told = TINY.told()
    assert torch.equal(told.y, mislabel_rows(data.train.y, 10, 10, TINY.seeds)) and told.x is data.train.x
    assert np.array_equal(found["assigned"], told.y) and np.array_equal(found["true"], data.train.y)


def test_between_rates_only_labels_differ():
    few, many = (replace(TINY, every=k) for k in (20, 10))
    assert not torch.equal(few.told().y, many.told().y) and few.load() is many.load()
    a, b = (one.nets()[1].state_dict() for one in (few, many))
    assert all(torch.equal(a[name], b[name]) for name in a)


# Training and looks


def test_training_is_looked_at_evenly_and_at_the_end(found):
    assert TINY.moments() == [3, 5, 8] and replace(TINY, epochs=2).moments() == [1, 2]
    assert found["epochs"].tolist() == [3, 5, 8]
    assert (found["wrong_clean"][:, -1] < found["wrong_clean"][:, 0]).all()


def test_the_last_look_counts_what_the_decisions_say(found):
    missed = found["train"][:, 0] != found["assigned"]
    wrong = found["assigned"] != found["true"]
    assert np.array_equal(found["wrong_clean"][:, -1], (missed & ~wrong).sum(1))
    assert np.array_equal(found["wrong_mislabelled"][:, -1], (missed & wrong).sum(1))
    assert 0 < found["wrong_mislabelled"][:, -1].sum() < wrong.sum()


def test_looks_move_no_result(found):
    often = replace(TINY, looks=8, changes=()).run()
    assert np.array_equal(often["train"], found["train"])
    assert np.array_equal(often["wrong_clean"][:, [2, 4, 7]], found["wrong_clean"])


def test_decisions_are_those_of_the_trained_nets_on_blurred_images(found, trained, data):
    assert found.labels["blur"] == (0, 0.1, 1.3, 4, 10) and found["train"].dtype == np.int8
    for part, x in (("train", data.train.x), ("test", data.test.x)):
        images = blur(x, [0, 1.3 * 8 / 28, 10 * 8 / 28])
        for r, net in enumerate(trained):
            with torch.no_grad():
                own = torch.stack([net.eval()(some).argmax(1) for some in images]).numpy()
            assert np.array_equal(found[part][r][[0, 2, 4]], own)


def test_optimiser_and_schedule_are_chosen():
    assert TINY.rule() == Adam(0.01) and replace(TINY, optimizer="sgd", lr=0.1).rule() == SGD(0.1, 0.9)
    assert TINY.schedule()(50, 100) == pytest.approx(0.5) and replace(TINY, annealed=False).schedule()(50, 100) == 1


def test_longer_trainings_and_larger_nets_cost_more():
    assert replace(TINY, epochs=16).cost == 2 * TINY.cost < replace(TINY, epochs=16, net="residual").cost
    assert Robust(climbs=3).cost == 4 * Blurred().cost and PRUNED.cost < Disagreement().cost


# Other changes, steps along signs


def test_all_learned_mislabelled_images_and_the_first_learned_others_are_watched(trained, data):
    labels = TINY.told().y[0]
    wrong, known = labels != data.train.y, robustness.decisions(trained[0], data.train.x) == labels
    rows = watched(known, wrong, 15)
    assert set(rows[wrong[rows]].tolist()) == set((wrong & known).nonzero()[:, 0].tolist())
    assert rows[~wrong[rows]].tolist() == (known & ~wrong).nonzero()[:15, 0].tolist()


@pytest.mark.parametrize("name", CHANGES)
def test_other_changes_are_as_large_as_the_blur_and_counted_by_group(name, found, trained, data):
    labels = TINY.told().y[1]
    known = robustness.decisions(trained[1], data.train.x) == labels
    rows = watched(known, labels != data.train.y, 15)
    x, wrong = data.train.x[rows], (labels != data.train.y)[rows]
    changed = robustness.matched_variants(trained[1], name, x, (1.3, 4.0), 1001)
    norms = change_norms(x, blur(x, robustness.pixels((1.3, 4.0), 8)))
    assert torch.allclose(change_norms(x, changed), norms, rtol=1e-3)
    moved = torch.stack([robustness.decisions(trained[1], some) for some in changed]) != labels[rows]
    for group, members in (("mislabelled", wrong), ("clean", ~wrong)):
        shares = found.at(group=group)[f"changed_{name}"][1]
        assert np.allclose(shares, moved[:, members].double().mean(1))


def test_steps_along_signs_are_those_on_the_test_images(found, trained, data):
    ahead, aside = robustness.flips(trained[1], data.test.x, TINY.epsilons, 1001)
    assert np.array_equal(found["flips_gradient"][1], ahead) and np.array_equal(found["flips_random"][1], aside)


# Robust nets


def test_attacks_of_size_zero_are_plain_training(found):
    plain = Robust(**vars(TINY), epsilon=0.0).run()
    assert all(np.array_equal(plain[name], found[name]) for name in found)


def test_attacked_nets_withstand_more_and_learn_fewer_wrong_labels(found):
    config = Robust(**(vars(TINY) | {"changes": ()}), epsilon=0.1, climbs=2)
    robust = config.results(config.run())
    assert claims.blur_11(robust, found).gate["robust_nets_withstand_more"]
    assert not claims.blur_11(found, robust).gate["robust_nets_withstand_more"]
    assert (claims.blur_11(robust, found).parts["memorisation"] < 0).all()


# Tickets, folds, kernels


def test_tickets_of_each_round_are_judged_on_the_wrong_labels():
    found = PRUNED.run()
    mislabelled = found["mislabelled_accuracy"]
    assert found["density"][:, 0].tolist() == [1, 1] and (np.diff(found["density"]) < 0).all()
    images = int((PRUNED.told().y[0] != PRUNED.load().train.y).sum())
    assert np.allclose(mislabelled * images / 100, np.round(mislabelled * images / 100), atol=1e-6)
    assert (mislabelled[:, 0] > 90).all() and (mislabelled[:, -1] < 60).all()


def test_disagreement_is_the_error_on_labels_not_seen():
    config = Disagreement(
        dataset="digits", pool=300, folds=3, hidden=(32,), lr=0.01, batch=20, seeds=(0, 1)
    )  # fmt: skip
    found = config.run()["disagreement"]
    assert found.shape == (2,) and np.allclose(found * 3, np.round(found * 3), atol=1e-4), "of 300 images"
    assert (found > 2).all() and (found < 25).all()
    with pytest.raises(BadInput, match="folds"):
        replace(config, folds=1).run()


def test_a_kernel_without_a_blur_leaves_images_as_they_are():
    x = load("digits", n_train=100).train.x.double()
    bare = Kernel(pool=100, images=100, sigma=0, weak=0, seeds=(1000,)).run()
    assert bare["correlation"] == pytest.approx(1)
    for padding in ("reflect", "replicate", "zero", "circular"):
        assert bare[f"limit_{padding}"] == pytest.approx((x.std(1, correction=0) / x.mean(1)).mean().item())
    far = Kernel(pool=100, images=50, seeds=(1000, 1001)).run()
    assert (far["limit_reflect"] < 0.3).all() and (far["limit_zero"] > far["limit_replicate"]).all()
    assert far["limit_reflect"][0] != far["limit_reflect"][1], "seeds look at different images"
    assert (far["correlation"] > 0.99).all() and (far["correlation"] < 1).all()
