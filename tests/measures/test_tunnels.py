"""Half-widths, rises and planes of losses in closed form, and the same of stacks and of modules."""

import math

import pytest
import torch
from curvature_nets import DOUBLE, drawn, stack
from torch import nn

from redlib.errors import BadInput
from redlib.measures import paths, tunnels
from redlib.measures.curvature import loss_of
from redlib.nets.stacked import StackedMLP, unstacked
from redlib.training.examples import Examples

SEEDS = [1000, 1001]


class Bowl(nn.Module):
    """1/2 sum of curvature (theta - centre)^2 for every input, from theta = start [out, in], beside a bias it ignores.

    A rise of `bump` at the distance 1 to 1.5 from the start stands on it.
    """

    def __init__(self, curvature, start, centre=0.0, bump=0.0):
        super().__init__()
        self.register_buffer("curvature", torch.tensor(curvature, dtype=DOUBLE))
        self.register_buffer("start", torch.tensor(start, dtype=DOUBLE))
        self.theta, self.bias = nn.Parameter(self.start.clone()), nn.Parameter(torch.ones(2, dtype=DOUBLE))
        self.centre, self.bump = centre, bump

    def forward(self, x):
        away = ((self.theta - self.start).square().sum() + (self.bias - 1).square().sum()).sqrt()
        rise = self.bump * ((away > 1) & (away < 1.5))
        return (((self.theta - self.centre).square() * self.curvature).sum() / 2 + rise).expand(len(x))


def bowl(curvature, start, **where):
    data = Examples(torch.zeros(3, 1, dtype=DOUBLE), torch.zeros(3))
    nets = [Bowl(curvature, start, **where) for _ in SEEDS]
    return loss_of(nets, data, lambda outputs, y: outputs.mean(), seeds=SEEDS)


CURVATURE = [[5.0, 1.0, 0.3], [0.1, 2.0, 4.0]]
START = [[1.0, -2.0, 2.0], [0.0, 3.0, -4.0]]
ZERO = [[0.0] * 3] * 2


def bent_by(loss, step):
    """Return the curvature along the directions [R]."""
    return (step[:, :6].square() * torch.tensor(CURVATURE, dtype=DOUBLE).flatten()).sum(1)


# ---- directions ----


def test_raw_directions_are_of_length_one_and_differ_by_seed_and_number():
    loss = bowl(CURVATURE, START)
    first, second = tunnels.directions(loss, 0), tunnels.directions(loss, 1)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(2, dtype=DOUBLE))
    assert (first != 0).all() and not torch.equal(first[0], first[1]) and not torch.equal(first, second)
    assert torch.equal(tunnels.directions(loss, 1), second)


def test_filters_of_a_normalised_direction_are_as_long_as_the_nets_and_biases_stay():
    loss = bowl(CURVATURE, START)
    raw, found = tunnels.directions(loss, 0), tunnels.directions(loss, 0, "filter")
    for part, row in ((slice(0, 3), [1.0, -2.0, 2.0]), (slice(3, 6), [0.0, 3.0, -4.0])):
        torch.testing.assert_close(found[:, part].norm(dim=1), torch.full((2,), math.hypot(*row), dtype=DOUBLE))
        torch.testing.assert_close(
            nn.functional.cosine_similarity(found[:, part], raw[:, part]), torch.ones(2).double()
        )
    assert not found[:, 6:].any()


def test_a_filter_of_zeros_stays_where_it_is_and_a_net_of_them_has_no_direction():
    found = tunnels.directions(bowl(CURVATURE, [[0.0] * 3, [1.0, 0.0, 0.0]]), 0, "filter")
    assert not found[:, :3].any() and (found[:, 3:6] != 0).all()
    with pytest.raises(BadInput, match="filter that is not 0"):
        tunnels.directions(bowl(CURVATURE, ZERO), 0, "filter")


@pytest.mark.parametrize("normalise", tunnels.NORMALISATIONS)
def test_cut_weights_do_not_move(normalise):
    net = stack(seeds=SEEDS)
    kept = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    net.apply_masks([kept, None])
    found = tunnels.directions(loss_of(net, drawn(11)), 0, normalise)[:, :20].view(2, 5, 4)
    assert not found[~kept].any() and (found[kept] != 0).all()
    if normalise == "filter":
        torch.testing.assert_close(found.norm(dim=2), net.weights[0].norm(dim=2))


# ---- half-widths ----


@pytest.mark.parametrize("level", [0.02, 3.0])
def test_the_half_width_of_a_bowl_is_the_root_of_its_formula(level):
    loss = bowl(CURVATURE, ZERO)
    found = tunnels.half_widths(loss, 4, level=level, tolerance=1e-6)
    assert found.widths.shape == found.censored.shape == (2, 4) and not found.censored.any()
    for number in range(4):
        expected = (2 * level / bent_by(loss, tunnels.directions(loss, number))).sqrt()
        torch.testing.assert_close(found.widths[:, number], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("normalise", tunnels.NORMALISATIONS)
def test_the_half_width_beside_the_minimum_is_where_the_loss_has_doubled(normalise):
    # Along w + t d the loss is L + t g + t² h / 2: it has doubled at t = (-g + sqrt(g² + 2 h L)) / h.
    loss = bowl(CURVATURE, START, centre=0.7)
    start, slope = loss.value_and_gradient()
    found = tunnels.half_widths(loss, 5, normalise)
    torch.testing.assert_close(found.level, 2 * start)
    for number in range(5):
        step = tunnels.directions(loss, number, normalise)
        g, h = (slope * step).sum(1), bent_by(loss, step)
        expected = (-g + (g.square() + 2 * h * start).sqrt()) / h
        torch.testing.assert_close(found.widths[:, number], expected, rtol=1e-3, atol=0)


def test_a_wider_valley_is_wider_by_the_root_of_its_curvature():
    narrow, wide = (bowl([[c] * 3] * 2, ZERO) for c in (4.0, 1.0))
    found = [tunnels.half_widths(loss, 3, level=1.0, tolerance=1e-5, reach=1e4).widths for loss in (narrow, wide)]
    torch.testing.assert_close(found[1], 2 * found[0], rtol=1e-4, atol=0)


def test_what_never_rises_within_reach_is_censored():
    loss = bowl(CURVATURE, ZERO)
    expected = torch.stack([(2 / bent_by(loss, tunnels.directions(loss, n))).sqrt() for n in range(6)], 1)
    reach = expected.flatten().sort().values[5:7].mean().item()
    found = tunnels.half_widths(loss, 6, level=1.0, reach=reach)
    assert torch.equal(found.censored, expected > reach) and found.censored.sum() == 6
    assert torch.equal(found.widths.isinf(), found.censored)
    torch.testing.assert_close(found.widths[~found.censored], expected[~found.censored], rtol=1e-3, atol=0)
    assert torch.equal(found.reach, torch.full((2,), reach, dtype=DOUBLE))


def test_the_first_place_above_the_level_counts_and_a_start_above_it_has_no_width():
    # Steps of length 1.25 stand on the bump: 1.25 is a doubling of the first distance, reach / 1024.
    raised = bowl([[1e-3] * 3] * 2, ZERO, bump=5.0)
    found = tunnels.half_widths(raised, 2, level=1.0, reach=80.0, tolerance=1e-6)
    torch.testing.assert_close(found.widths, torch.ones(2, 2, dtype=DOUBLE), rtol=1e-5, atol=0)
    found = tunnels.half_widths(bowl(CURVATURE, START), 2, level=1.0)
    assert found.widths.isnan().all() and not found.censored.any()


def test_stacks_and_modules_have_the_same_widths_and_a_replicate_those_it_has_alone():
    net, data = stack(seeds=SEEDS), drawn(40)
    modules = [unstacked(net, r) for r in range(2)]
    for normalise in tunnels.NORMALISATIONS:
        found = tunnels.half_widths(loss_of(net, data), 4, normalise, times=1.5)
        same = tunnels.half_widths(loss_of(modules, data, seeds=SEEDS), 4, normalise, times=1.5)
        assert not found.censored.all() and torch.equal(same.censored, found.censored)
        torch.testing.assert_close(same.widths, found.widths, rtol=1e-9, atol=0)
        for r in range(2):
            alone = tunnels.half_widths(loss_of(net.select([r]), data), 4, normalise, times=1.5)
            torch.testing.assert_close(alone.widths[0], found.widths[r], rtol=1e-9, atol=0)


def test_widths_by_filters_ignore_the_scale_of_relu_layers_and_raw_ones_do_not():
    net, data = stack(seeds=SEEDS), drawn(40)
    for biases in net.biases:
        biases.zero_()
    other = net.clone()
    other.weights[0].mul_(10)
    other.weights[1].div_(10)
    for normalise, near in (("filter", True), ("raw", False)):
        found = [tunnels.half_widths(loss_of(n, data), 3, normalise, level=3.0).widths for n in (net, other)]
        assert torch.allclose(*found, rtol=1e-6) == near and found[0].isfinite().all()


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("count", {"count": 0}),
        ("normalise", {"normalise": "filters"}),
        ("times", {"times": 1.0}),
        ("level", {"level": math.nan}),
        ("reach", {"reach": 0.0}),
        ("tolerance", {"tolerance": 0.0}),
    ],
)
def test_searches_that_cannot_be_are_refused(match, options):
    with pytest.raises(BadInput, match=match):
        tunnels.half_widths(bowl(CURVATURE, START), **options)


def test_a_loss_of_zero_has_no_multiple_and_a_net_of_zeros_no_length():
    with pytest.raises(BadInput, match="absolute level"):
        tunnels.half_widths(bowl(CURVATURE, ZERO), reach=1.0)
    flat = StackedMLP.create((4, 3), SEEDS, dtype=DOUBLE)
    flat.flat.zero_()
    for call in (tunnels.half_widths, lambda loss: tunnels.loss_changes(loss, [1.0])):
        with pytest.raises(BadInput, match="length of the parameters"):
            call(loss_of(flat, drawn(5)))


# ---- rises ----


def test_changes_are_those_of_the_parabola_and_rises_their_share():
    loss = bowl(CURVATURE, START)
    _, slope = loss.value_and_gradient()
    size, lengths = loss.rows.norm(dim=1), [0.01, 0.1, 1.0]
    found = tunnels.loss_changes(loss, lengths, 30)
    assert found.shape == (2, 30, 3)
    for number in range(30):
        step = tunnels.directions(loss, number) * size[:, None]
        g, h = (slope * step).sum(1), bent_by(loss, step)
        for s, length in enumerate(lengths):
            torch.testing.assert_close(found[:, number, s], length * g + length**2 * h / 2, rtol=1e-9, atol=1e-12)
    share = tunnels.rising_share(found)
    torch.testing.assert_close(share, (found > 0).double().mean(1))
    assert (share[:, 0] < 0.8).all() and (share[:, 0] > 0.2).all() and (share[:, 2] > share[:, 0]).all()


def test_every_direction_rises_from_a_minimum_none_from_a_maximum_and_no_number_is_a_rise():
    lowest, highest = bowl(CURVATURE, START, centre=0.0), bowl([[-1.0] * 3] * 2, ZERO)
    assert (tunnels.rising_share(tunnels.loss_changes(lowest, [50.0], 5)) == 1).all()
    assert (tunnels.rising_share(tunnels.loss_changes(highest, [0.1, 1.0], 5)) == 0).all()
    changes = torch.tensor([[[torch.nan], [torch.inf], [0.0], [-1.0]]])
    assert tunnels.rising_share(changes).item() == 0.5


@pytest.mark.parametrize("lengths", [[], [0.0], [-0.1, 1.0], [math.inf], [[0.1]]])
def test_steps_that_lead_nowhere_are_refused(lengths):
    with pytest.raises(BadInput, match="lengths"):
        tunnels.loss_changes(bowl(CURVATURE, START), lengths)
    with pytest.raises(BadInput, match="count"):
        tunnels.loss_changes(bowl(CURVATURE, START), [0.1], 0)
    with pytest.raises(BadInput, match="changes"):
        tunnels.rising_share(torch.zeros(2, 0, 1))


# ---- planes ----


def constant(*biases):
    """A net of one replicate whose outputs are these biases whatever the input, twice as wide as it need be."""
    net = StackedMLP.create((1, len(biases)), [1000], dtype=DOUBLE)
    net.flat.zero_()
    net.biases[0].copy_(torch.tensor(biases, dtype=DOUBLE))
    return net


DATA = Examples(torch.zeros(4, 1, dtype=DOUBLE), torch.tensor([0, 0, 0, 2]))


@pytest.mark.parametrize("stacked", [True, False])
def test_a_plane_has_the_corners_and_the_losses_of_its_nets(stacked):
    # From (1, 1, 0): 5 along x to (4, 5, 0); the third (1, 6, 0), 5 up the second axis, is 4 along it and 3 beside it.
    nets = [constant(1.0, 1.0, 0.0), constant(4.0, 5.0, 0.0), constant(1.0, 6.0, 0.0)]
    given = nets if stacked else [unstacked(net, 0) for net in nets]
    grid = torch.tensor([0.0, 4.0, 5.0]), torch.tensor([0.0, 3.0, -1.0, 2.0])
    found = tunnels.plane(given, DATA, grid, loss="mse")
    corners = torch.tensor([[0.0, 0.0], [5.0, 0.0], [4.0, 3.0]], dtype=DOUBLE)
    torch.testing.assert_close(found.corners, corners)
    assert found.losses.shape == found.errors.shape == (4, 3)
    across, up = torch.tensor([0.6, 0.8, 0.0], dtype=DOUBLE), torch.tensor([-0.8, 0.6, 0.0], dtype=DOUBLE)
    one_hot = torch.eye(3, dtype=DOUBLE)[DATA.y]
    for j, y in enumerate(grid[1].tolist()):
        for i, x in enumerate(grid[0].tolist()):
            outputs = nets[0].biases[0][0] + x * across + y * up
            assert found.losses[j, i].item() == pytest.approx((outputs - one_hot).square().mean().item())
    for (j, i), net in zip(((0, 0), (0, 2), (1, 1)), nets, strict=True):
        loss, error = paths.losses_and_errors_of(net, DATA, loss="mse")
        assert found.losses[j, i].item() == pytest.approx(loss.item())
        assert found.errors[j, i] == error


def test_curves_through_the_third_net_lie_in_the_plane():
    one, other, bend = constant(1.0, 1.0, 0.0), constant(4.0, 5.0, 0.0), constant(1.0, 6.0, 2.0)
    found = tunnels.plane([one, other, bend], DATA, 2)
    t = torch.tensor([0.0, 0.3, 0.5, 1.0])
    none = torch.zeros(1, 0)
    for kind in paths.KINDS:
        curve, places = paths.Curve(kind, one, bend, other, none, none), found.path(kind, t)
        for at, place in zip(t.tolist(), places, strict=True):
            here = tunnels.plane([one, other, bend], DATA, (place[:1], place[1:]))
            expected, _ = paths.losses_and_errors_of(curve.at(at), DATA)
            torch.testing.assert_close(here.losses[0], expected)
    torch.testing.assert_close(found.path("line", t), t.double()[:, None] * found.corners[1])
    torch.testing.assert_close(found.path("chain", torch.tensor([0.5]))[0], found.corners[2])


def test_an_even_grid_goes_over_the_nets_and_around_them():
    nets = [constant(1.0, 1.0, 0.0), constant(4.0, 5.0, 0.0), constant(1.0, 6.0, 0.0)]
    found = tunnels.plane(nets, DATA, 5, margin=0.2)
    torch.testing.assert_close(found.x, torch.linspace(-1, 6, 5, dtype=DOUBLE))
    torch.testing.assert_close(found.y, torch.linspace(-0.6, 3.6, 5, dtype=DOUBLE))


def test_nets_without_a_plane_are_refused():
    one, other = constant(1.0, 1.0, 0.0), constant(4.0, 5.0, 0.0)
    with pytest.raises(BadInput, match="on one line"):
        tunnels.plane([one, other, constant(2.5, 3.0, 0.0)], DATA)
    with pytest.raises(BadInput, match="on one line"):
        tunnels.plane([one, one, other], DATA)
    with pytest.raises(BadInput, match="number of nets"):
        tunnels.plane([one, other], DATA)
    with pytest.raises(BadInput, match="replicates"):
        tunnels.plane([net.select([0, 0]) for net in (one, other, one)], DATA)
    with pytest.raises(BadInput, match="parameters"):
        tunnels.plane([one, other, constant(1.0, 2.0)], DATA)
    with pytest.raises(BadInput, match="grid"):
        tunnels.plane([one, other, constant(0.0, 2.0, 0.0)], DATA, 1)
