"""The maps of decisions are those of the nets on the paths, and the paths lie where the plane says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures.tunnels import Plane
from redlib.nets import StackedMLP
from redlib.studies.loss_landscape.maps import PATHS, Maps, alone, probabilities
from redlib.training import Examples, evaluate

SEEDS = (1000, 1001)
MAPS = Maps(n=60, tests=200, hidden=(16, 16), batch=20, bends=300, looks=9, grid=24, places=7, seeds=SEEDS)
LINE, MATCHED, CURVE = range(3)

pytestmark = pytest.mark.usefixtures("one_thread_throughout")


@pytest.fixture(scope="module")
def found(one_thread_throughout):
    return MAPS.results(MAPS.run())


@pytest.fixture(scope="module")
def ends(one_thread_throughout):
    """Return both trained nets of every seed, as stacks of their own."""
    return [MAPS.trained(draw, MAPS.part(0)) for draw in (0, 1)]


def test_nets_fit_and_both_ends_of_a_seed_differ(found, ends):
    assert (found["train_error"][:, :, [0, -1]] == 0).all()
    assert (found["train_loss"][:, :, [0, -1]] <= MAPS.until + 1e-6).all()
    assert (found["apart"] > 1).all()
    distance = (ends[0].vector() - ends[1].vector()).double().norm(dim=1)
    assert np.allclose(found["apart"], distance.numpy())


@pytest.mark.parametrize("end", [0, 1])
def test_every_path_ends_at_the_nets(found, ends, end):
    at, test = -end, MAPS.part(1)
    for r in range(len(SEEDS)):
        net = ends[end].select([r])
        for path in range(3):
            # The matched net sums in another order: a probability may round to the next of its 255 steps.
            apart = np.abs(found["decisions"][r, path, at].astype(int) - MAPS.map(net))
            assert apart.max() <= (path == MATCHED and end)
            wanted = evaluate(net, test.select([r]))["error"][0]
            assert found["test_error"][r, path, at] == pytest.approx(float(wanted), abs=1e-12)


def test_on_the_way_the_three_paths_differ_and_the_curve_is_the_lowest(found):
    middle = found["decisions"][:, :, 4].astype(int)
    for one, other in ((LINE, MATCHED), (LINE, CURVE), (MATCHED, CURVE)):
        assert (np.abs(middle[:, one] - middle[:, other]).max((1, 2)) > 30).all()
    highest = found["train_loss"].max(2)
    assert (highest[:, CURVE] < highest[:, LINE]).all() and (found["matched_apart"] < found["apart"]).all()


def test_the_middle_of_the_line_is_the_mean_of_the_weights(found, ends):
    mean = ends[0].with_vector((ends[0].vector() + ends[1].vector()) / 2)
    wanted = evaluate(mean, MAPS.part(0))
    assert np.allclose(found["train_loss"][:, LINE, 4], wanted["loss"].numpy(), rtol=1e-4)
    for r in range(len(SEEDS)):
        assert np.abs(found["decisions"][r, LINE, 4].astype(int) - MAPS.map(mean.select([r]))).max() <= 1


def test_errors_agree_with_the_maps(found):
    """A point in the midst of places that are all decided alike is decided as they are."""
    cell, sure = 2 * MAPS.reach / MAPS.grid, 0
    for r, path, t in product(range(len(SEEDS)), range(3), range(MAPS.looks)):
        decided = found["decisions"][r, path, t] >= 128
        wrong = unknown = 0
        for (x, y), moon in zip(found["points"][r], found["moons"][r], strict=True):
            column, row = (int((part + MAPS.reach) / cell) for part in (x, y))
            near = decided[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            alike = near.all() or not near.any()
            wrong, unknown = wrong + (alike and near.flat[0] != moon), unknown + (not alike)
        errors = round(found["train_error"][r, path, t] * MAPS.n)
        assert wrong <= errors <= wrong + unknown
        sure += unknown <= MAPS.n / 3
    assert sure > 40  # of 54 nets


def test_rows_go_upwards_and_columns_to_the_right():
    net = StackedMLP.create((2, 2, 2), [1000])
    for weights, biases in zip(net.weights, net.biases, strict=True):
        weights.zero_()
        biases.zero_()
    net.weights[0][0, 0, 1], net.weights[0][0, 1, 1] = 1, -1  # y and -y, where they are positive
    net.weights[1][0, 1, 0], net.weights[1][0, 1, 1] = 3, -3  # the odds of moon 1 are 3 y
    net.biases[1][0, 1] = 0.3
    seen, centres = MAPS.map(net), np.array(MAPS.centres)
    wanted = 255 / (1 + np.exp(-3 * centres - 0.3))
    assert np.abs(seen - wanted[:, None]).max() <= 0.51
    net.weights[0][0, :, 0] = net.weights[0][0, :, 1].clone()
    net.weights[0][0, :, 1] = 0
    assert np.abs(MAPS.map(net) - wanted).max() <= 0.51
    assert centres[0] == -MAPS.reach + MAPS.reach / MAPS.grid and np.allclose(np.diff(centres), 2 * MAPS.reach / 24)


def test_probabilities_are_those_of_the_softmax(ends):
    net, x = ends[0].select([1]), torch.randn(20, 2, generator=torch.Generator().manual_seed(1))
    weights, biases = net.weights, net.biases
    hidden = x
    for layer in (0, 1):
        hidden = nn.functional.relu(hidden @ weights[layer][0].T + biases[layer][0])
    wanted = torch.softmax(hidden @ weights[2][0].T + biases[2][0], 1)[:, 1]
    assert torch.allclose(probabilities(net, x), wanted.double(), atol=1e-5)


def test_places_on_the_plane_are_those_of_the_paths(found):
    t = torch.tensor(MAPS.positions, dtype=torch.float64)
    for r in range(len(SEEDS)):
        none = torch.zeros(1, 1)
        seen = Plane(none, none, none, none, torch.from_numpy(found["corners"][r]))
        for path, kind in ((LINE, "line"), (CURVE, "bezier")):
            assert np.allclose(found["at"][r, path], seen.path(kind, t).numpy(), atol=1e-5)
        assert found["corners"][r, 1, 0] == pytest.approx(found["apart"][r])
    assert found["away"][:, [LINE, CURVE]].max() < 1e-5
    assert (found["away"][:, MATCHED, 0] < 1e-5).all() and (np.diff(found["away"][:, MATCHED]) > 0).all()


def test_places_of_the_matched_line_are_as_far_away_as_pythagoras_has_it(found):
    ends = found["at"][:, MATCHED, -1]
    assert np.allclose(np.hypot(np.linalg.norm(ends, axis=1), found["away"][:, MATCHED, -1]), found["matched_apart"])


def test_the_window_is_a_square_that_holds_line_and_curve_and_its_losses_are_those_there(found, ends):
    train = MAPS.part(0)
    for r in range(len(SEEDS)):
        x, y = found["plane_x"][r], found["plane_y"][r]
        assert np.allclose(np.diff(x), np.diff(y)[0]) and np.allclose(np.diff(y), np.diff(y)[0])
        for path in (LINE, CURVE):
            assert ((found["at"][r, path] > [x[0], y[0]]) & (found["at"][r, path] < [x[-1], y[-1]])).all()
        # On the axis through both nets, which no place lies on: between the losses of the places above and below.
        first, second = (net.vector()[r].double() for net in ends)
        k, row = int(np.abs(x - found["apart"][r] / 2).argmin()), int(np.searchsorted(y, 0))
        there = first + x[k] / found["apart"][r] * (second - first)
        net = ends[0].select([r]).with_vector(there[None].float())
        loss = float(evaluate(net, train.select([r]))["loss"][0])
        low, high = np.sort(found["plane_loss"][r, row - 1 : row + 1, k])
        assert low / 1.2 < loss < 1.2 * high


def test_all_is_declared_and_labelled(found):
    assert MAPS.labels["path"] == PATHS and MAPS.labels["position"] == MAPS.positions
    assert found["decisions"].dtype == np.uint8 and found["decisions"].shape == (2, 3, 9, 24, 24)
    assert found.at(path="curve", position=0.5)["train_loss"].shape == (2,)
    points = MAPS.part(0)
    assert isinstance(points, Examples) and np.array_equal(found["points"].reshape(-1, 2), points.x.numpy())


@pytest.mark.parametrize("setting", [{"looks": 1}, {"grid": 1}, {"places": 1}, {"reach": 0.0}])
def test_settings_without_sense_are_refused(setting):
    with pytest.raises(BadInput, match=next(iter(setting))):
        Maps(**setting)


def test_only_stacks_have_maps():
    with pytest.raises(BadInput, match="StackedMLP"):
        alone([nn.Linear(2, 2)], 0)
