"""The runs of the neural-collapse study do what they say: who is trained on what, and what a look measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.measures.collapse import collapse
from redlib.measures.neighbours import nearest_neighbours, same_class_fraction
from redlib.measures.simplex import cosines
from redlib.nets.stacked import unstacked
from redlib.studies.neural_collapse.runs import Terminal, Tickets, Triangle

TINY = Terminal(
    pool=400, tests=100, n=300, hidden=(24, 16), lr=1.0, drops=(), gain=0.5, epochs=80, looks=6, neighbours=60,
    attacked=8, seeds=(1000, 1001),
)  # fmt: skip
DATA, OWN = TINY.load(), TINY.parts()["train"]
X, Y = DATA.train.x[OWN.rows], OWN.y  # what each of the two seeds sees, [2, 300, ...]


@pytest.fixture(scope="module")
def found():
    return TINY.results(TINY.run())


def untrained():
    return TINY.nets(DATA.train.x, DATA.classes)


def test_a_look_measures_what_the_library_measures():
    net = untrained()
    values, layers = TINY.look(net, True), net.hidden(X)
    expected = collapse([(layers[-2], Y)], 10, (net.weights[-1], net.biases[-1]))
    for name in ("nc1", "nc2_norms", "nc2_angles", "nc3", "nc4"):
        assert torch.equal(values[name], expected[name]), name
    near = nearest_neighbours(net.hidden(X[:, :60])[1], 30)
    assert torch.equal(values["chi5_train"][:, 1], same_class_fraction(near[:, :, :5], Y[:, :60]))
    assert torch.equal(values["train_error"], (layers[-1].argmax(2) != Y).double().mean(1))
    assert torch.equal(values["alignment"][:, 2], cosines(net.weights[2]).abs().mean(1))


def test_a_look_at_modules_agrees_with_one_at_the_stack():
    net = untrained()
    with torch.no_grad():
        stacked, modules = TINY.look(net, True), TINY.look([unstacked(net, r) for r in range(2)], True)
    for name in ("nc1", "nc3", "chi30_test", "confident", "margin"):
        torch.testing.assert_close(stacked[name], modules[name], atol=1e-5, rtol=1e-4)


def test_runs_hold_every_look_by_seed_and_epoch(found):
    assert found["epochs"].tolist() == TINY.moments() == [0, 1, 2, 6, 14, 33, 80]
    assert found["nc1"].shape == (2, 7)
    assert found["chi5_train"].shape == (2, 2, 4), "start and end; inputs, two hidden layers, logits"
    assert found["alignment"].shape[2] == 3 and found["strength"].shape[2] == 9
    assert found["train_error"][:, -1].max() <= 0.01 and found["nc1"][:, -1].max() < found["nc1"][:, 1].min()


def test_training_from_look_to_look_is_training_at_once(found):
    net = untrained()
    TINY.fit(net, TINY.examples(), seeds=TINY.seeds)
    assert np.array_equal(found["nc1"][:, -1], TINY.look(net, True)["nc1"].numpy())
    ends = replace(TINY, net="normed_mlp", lr=0.1, epochs=9, looks=1, neighbours=0)
    modules = ends.nets(DATA.train.x, DATA.classes)
    ends.fit(modules, ends.examples(), seeds=ends.seeds)
    with torch.no_grad():
        assert np.array_equal(replace(ends, looks=5).run()["nc1"][:, -1], ends.look(modules, True)["nc1"].numpy())
    assert ends.moments() == [0, 9]


def test_a_seed_is_trained_alike_alone(found):
    alone = replace(TINY, seeds=(1001,)).run()
    assert np.array_equal(alone["nc1"][0], found["nc1"][1]) and np.array_equal(alone["margin"][0], found["margin"][1])


def test_wrong_labels_are_told_and_never_true(found):
    noisy = replace(TINY, noise=0.2, epochs=1, looks=1)
    told = noisy.told()
    assert torch.equal(noisy.examples().y, told) and (told != Y).double().mean(1).tolist() == [0.2, 0.2]
    result = noisy.run()
    assert np.isfinite(result["mislabelled_nc1_told"]).all() and np.isfinite(result["mislabelled_nc1_true"]).all()
    assert "mislabelled_nc1_true" not in found, "without wrong labels nothing is mislabelled"


@pytest.mark.parametrize(
    "changes",
    [{"net": "normed_mlp"}, {"net": "small_conv", "channels": 4}, {"net": "resnet18k", "channels": 8}],
    ids=["normed", "conv", "resnet"],
)
def test_nets_with_batchnorm_train_and_are_looked_at(changes):
    result = replace(TINY, loss="cross_entropy", lr=0.05, epochs=3, looks=2, **changes).run()
    assert np.isfinite(result["nc1"]).all() and "alignment" not in result
    assert (result["train_error"][:, -1] < result["train_error"][:, 0]).all()


def test_data_that_all_seeds_share_are_looked_at_as_their_own_are():
    shared = replace(TINY, n=None)
    net = untrained()
    whole = shared.look(net, True)
    features = net.hidden(DATA.train.x)[-2]
    assert torch.equal(whole["nc1"], collapse([(features, DATA.train.y)], 10)["nc1"])
    assert not torch.equal(whole["nc1"], TINY.look(net, True)["nc1"])


def test_normed_nets_differ_by_seed():
    normed = replace(TINY, net="normed_mlp")
    (first, second), (again, _) = (normed.nets(DATA.train.x, 10) for _ in range(2))
    assert not torch.equal(first[0].weight, second[0].weight) and torch.equal(first[0].weight, again[0].weight)


def test_tickets_and_random_masks_keep_what_they_say():
    config = Tickets(**vars(replace(TINY, epochs=6, looks=2, neighbours=0, attacked=0)), rounds=2, round_epochs=3)
    result = config.results(config.run())
    assert result["nc1"].shape == (2, 2, len(result["epochs"]))
    assert ((result["density"] > 0.3) & (result["density"] < 0.5)).all(), "two cuts of 37%, the last layer of half that"
    assert not np.array_equal(result.at(arm="ticket")["nc1"], result.at(arm="random")["nc1"])
    assert "alignment" not in result, "zero weight vectors have no direction"


def test_the_triangle_shows_examples_of_three_classes():
    config = Triangle(**vars(TINY) | {"loss": "cross_entropy", "lr": 0.1}, points=70)
    result = config.results(config.run())
    assert set(result["y"]) == {0, 1, 2} and len(result["y"]) == 70
    assert result["logits"].shape == (2, 7, 70, 3) and result["features"].shape == (2, 7, 70, 2)
    errors = (result["logits"].argmax(3) != result["y"]).mean(2)
    assert (errors[:, -1] == 0).all() and (result["nc1"][:, -1] < result["nc1"][:, 0]).all()
