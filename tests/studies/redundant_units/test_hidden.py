"""The runs on hidden units do what they say: what is counted, where nets stop, and what the rules of training are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.measures import units
from redlib.studies.redundant_units.hidden import Sparse, Widths, incoming, of_varying, spare

SEEDS = (1000, 1001)
WIDTHS = Widths(pool=300, tests=120, n=60, widths=(6, 20), batch=20, epochs=100, seeds=SEEDS)
SPARSE = Sparse(pool=300, tests=120, n=60, width=20, batch=20, epochs=100, seeds=SEEDS)


@pytest.fixture(scope="module")
def found():
    return WIDTHS.results(WIDTHS.run())


def test_every_net_fits_and_its_units_are_counted_beside_those_of_the_start(found):
    assert (found["train_error"] == 0).all() and (found["train_loss"] <= 0.01).all()
    counts = np.stack([found[name] for name in ("removable", "repeated", "redundant", "dead")])
    assert (counts >= 0).all() and (counts <= np.array(WIDTHS.widths)[:, None]).all()
    trained, start = found.at(state="trained"), found.at(state="untrained")
    assert (trained["removable"] < start["removable"]).all(), "an untrained net loses nothing with any unit"
    assert (trained["effective"] <= np.array(WIDTHS.widths)).all() and (trained["effective"] > 1).all()
    assert (trained["spare"] < 1).all() and (trained["spare"] >= 0).all()


def test_the_numbers_of_the_untrained_state_are_those_of_the_initial_net(found):
    start, test = WIDTHS.nets(20), WIDTHS.parts()["test"]
    drops = units.ablation_drops(start, test, 0)
    own = found.at(width=20, state="untrained")
    assert np.array_equal(own["removable"], units.removable(drops, 0.001))
    costs = units.ablation_drops(start, test, 0, unchanged=True, of="loss")
    assert np.allclose(own["gini"], units.gini(costs)) and not np.allclose(own["gini"], units.gini(drops))


def test_no_seed_depends_on_its_company(found):
    alone = replace(WIDTHS, seeds=SEEDS[1:])
    for name, values in alone.run().items():
        assert np.allclose(values, found[name][1:], rtol=1e-5), name


def test_frame_potentials_lie_above_their_floor_and_random_ones_about_the_expected(found):
    floor = np.array([6.0, 20.0])[:, None]  # fewer vectors than dimensions: their number
    assert (found["frame"] >= floor).all() and (found["matched_frame"] >= floor).all()
    ratio = found.at(state="untrained")["frame"] / found.at(state="untrained")["random_frame"]
    assert np.allclose(ratio, 1, atol=0.1)


def test_what_training_adds_is_of_lower_rank_than_random_numbers(found):
    assert (found["update_rank"] < found["random_rank"]).all() and (found["random_rank"] <= [6, 20]).all()


def test_units_are_spare_until_the_curve_lies_too_low():
    curves = torch.tensor([[0.9, 0.9, 0.895, 0.5, 0.95], [0.9, 0.8, 0.9, 0.9, 0.9], [0.5, 0.5, 0.5, 0.5, 0.5]])
    assert torch.allclose(spare(curves, 0.01), torch.tensor([0.5, 0.0, 1.0]))


def test_rules_differ_in_what_they_are_called_for():
    found = SPARSE.results(SPARSE.run())
    assert (found["train_error"] == 0).all() and (found["dead"] <= 20).all()
    assert SPARSE.ruled("full batch").batch == 60 and SPARSE.ruled("full batch").total(60) == SPARSE.total(60)
    assert SPARSE.ruled("decay").weight_decay == SPARSE.decay and SPARSE.ruled("sgd") == SPARSE
    with pytest.raises(BadInput, match="rule"):
        SPARSE.ruled("newton")


def test_a_unit_without_outgoing_weights_is_dead():
    net = SPARSE.nets(20)
    before = SPARSE.dead(net)
    net.weights[1][0, :, 3] = 0
    assert SPARSE.dead(net).tolist() == [int(before[0]) + 1, int(before[1])]
    assert incoming(net).shape == (2, 20, 64)


def test_nets_whose_units_all_died_repeat_nothing():
    seen = torch.stack([torch.zeros(9, 3), torch.randn(9, 1).expand(9, 3)])
    assert of_varying(seen, lambda own: units.redundant(own, 0.9)).tolist() == [0, 3]
    assert of_varying(seen[:1], lambda own: units.redundant(own, 0.9)).tolist() == [0]
