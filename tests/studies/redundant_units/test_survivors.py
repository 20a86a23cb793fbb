"""The bridge from units to tickets: what survives in masks made by hand, and what constructed worths say of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures import units
from redlib.nets import StackedMLP
from redlib.pruning.tickets import Cut
from redlib.studies.redundant_units.survivors import KINDS, Survivors, compared, magnitude, survival_of, worth_by_halves
from redlib.training import Examples

SEEDS = (1000, 1001)
RUN = Survivors(pool=300, tests=120, n=60, width=20, batch=20, epochs=100, densities=(0.5, 0.1), seeds=SEEDS)


@pytest.fixture(scope="module")
def found():
    return RUN.results(RUN.run())


def net_of(weights, after):
    net = StackedMLP.create((len(weights[0]), len(weights), len(after)), SEEDS[:1], dtype=torch.float64)
    net.weights[0][0], net.weights[1][0] = torch.tensor(weights), torch.tensor(after)
    for biases in net.biases:
        biases.zero_()
    return net


def test_shares_and_survivors_of_masks_made_by_hand():
    into = torch.tensor([[[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]]]).bool()
    out = torch.tensor([[[1, 1, 1, 0], [1, 0, 1, 0]]]).bool()
    left, alive = survival_of({"layer1": into, "layer2": out})
    assert left.tolist() == [[1.0, 0.4, 0.4, 0.4]], "3 + 2 weights of 5, 1 + 1, 0 + 2, 2 + 0"
    assert alive.tolist() == [[True, True, False, False]], "a unit needs both an input and somebody who hears it"


def test_dead_units_are_worth_exactly_nothing_and_have_no_magnitude():
    net = net_of([[1.0, 0.0], [0.0, 0.0], [-1.0, 2.0]], [[2.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    examples = Examples(torch.from_numpy(rng(1000, "eval").random((50, 2))), torch.zeros(50).long())
    worth, agreed = worth_by_halves(net, examples)
    assert worth[0, 1] == worth[0, 2] == 0 < worth[0, 0]
    torch.testing.assert_close(torch.tensor(worth), units.ablation_drops(net, examples, 0, of="loss"))
    assert magnitude(net).tolist() == [[2, 0, 0]] and agreed.tolist() == pytest.approx([1])


def test_unequal_halves_count_by_their_number():
    net = StackedMLP.create((3, 5, 2), SEEDS, dtype=torch.float64)
    rows = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 7, 8, 9]])
    examples = Examples(torch.randn(10, 3, generator=torch.Generator().manual_seed(0)).double(), rows % 2, rows)
    expected = units.ablation_drops(net, examples, 0, unchanged=True, of="loss")
    torch.testing.assert_close(torch.tensor(worth_by_halves(net, examples, True)[0]), expected)


def constructed(of):
    """Return what is said of 60 units whose share left is `of`(importance, magnitude, noise), in 40 replicates."""
    source = rng(1000, "eval")
    importance, sizes, noise = source.random((3, 40, 60))
    left = of(importance, sizes, noise)[:, None, None]
    return compared(importance[:, None], sizes, left, left > np.median(left, -1, keepdims=True))


def test_what_was_left_by_importance_by_magnitude_or_by_chance_is_told_apart():
    by_worth, by_size = constructed(lambda worth, size, noise: worth), constructed(lambda worth, size, noise: size)
    assert np.allclose(by_worth["rank"], 1) and np.allclose(by_worth["auc"], 1)
    assert np.allclose(by_size["magnitude_rank"], 1) and np.allclose(by_size["magnitude_auc"], 1)
    assert np.isnan(by_size["partial"]).all() and abs(by_size["auc"].mean() - 0.5) < 0.05
    chance = constructed(lambda worth, size, noise: noise)
    for name, middle in (("rank", 0), ("auc", 0.5), ("partial", 0), ("magnitude_rank", 0), ("magnitude_partial", 0)):
        assert abs(chance[name].mean() - middle) < 0.05, name
    assert (chance["survivors"] == 30).all()


def test_importance_counts_beyond_magnitude_where_it_does():
    both = constructed(lambda worth, size, noise: size + worth / 2 + noise / 10)
    assert (both["partial"] > 0.6).all() and (both["magnitude_partial"] > both["partial"]).all()


def test_rounds_are_the_nearest_to_the_densities_asked_for():
    one = replace(RUN, cut=Cut(0.5, 0.5), densities=(0.5, 0.26, 0.06))
    assert one.rounds() == [1, 2, 4]
    with pytest.raises(BadInput, match="densities"):
        replace(RUN, densities=(0.1, 0.5))
    with pytest.raises(BadInput, match="densities"):
        replace(RUN, densities=())


def test_tickets_fit_and_random_masks_keep_as_many_weights(found):
    assert (found["train_error"] == 0).all() and (found["ticket_error"][:, 0] == 0).all()
    assert np.allclose(found["kept"], [0.5, 0.1], rtol=0.2) and (found["kept"] == found["kept"][:1]).all()
    shares = found["left"].mean(-1)
    assert np.allclose(shares, found["kept"][:, None]), "as many weights in all: every one belongs to one unit"
    assert (found["survivors"] == found["alive"].sum(-1)).all() and (found["survivors"] <= 20).all()
    assert (found.at(density=0.1)["alive"] <= found.at(density=0.5)["alive"])[:, 0].all(), "tickets are nested"
    assert (found.at(density=0.1)["magnitude_rank"][:, 0] > found.at(density=0.1)["magnitude_rank"][:, 1]).all()


def test_what_units_are_worth_is_measured_on_the_dense_net(found):
    net = RUN.nets(20)
    RUN.learn(net, RUN.parts()["train"])
    assert np.allclose(found["magnitude"], magnitude(net).numpy())
    rises = units.ablation_drops(net, RUN.parts()["test"], 0, of="loss").numpy()
    assert np.allclose(found.at(kind="labels")["importance"], rises)
    rises = units.ablation_drops(net, RUN.parts()["train"], 0, of="loss").numpy()
    assert np.allclose(found.at(kind="training")["importance"], rises)
    assert found["importance"].shape == (2, len(KINDS), 20) and (found["halves"] <= 1).all()


def test_no_seed_depends_on_its_company(found):
    for name, values in replace(RUN, seeds=SEEDS[1:]).run().items():
        assert np.allclose(values, found[name][1:], rtol=1e-5, equal_nan=True), name
