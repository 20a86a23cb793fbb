"""Curves between nets against bends that are known in closed form, against the straight line, and under batch norm."""

import dataclasses

import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures import connectivity as lmc
from redlib.measures import paths
from redlib.measures.paths import Descent
from redlib.nets.stacked import StackedMLP, unstacked
from redlib.training.examples import Examples

SEEDS = [1000, 1001, 1002]
DOUBLE = torch.float64
SHORT = Descent(steps=30, batch=16, lr=1e-2)


def examples(n=300, dim=5, classes=3):
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(0))
    return Examples(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long() * (classes > 2))


def pair(sizes=(5, 12, 3), seeds=SEEDS, dtype=torch.float32):
    return [StackedMLP.create(sizes, [seed + at for seed in seeds], dtype=dtype) for at in (0, 100)]


def modules_of(net):
    return [unstacked(net, r) for r in range(net.replicates)]


# ---- the curves ----


def test_a_curve_has_the_shares_of_its_formula():
    t = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    bezier = [[1, 0, 0], [9 / 16, 6 / 16, 1 / 16], [0.25, 0.5, 0.25], [1 / 16, 6 / 16, 9 / 16], [0, 0, 1]]
    chain = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    for kind, shares in (("bezier", bezier), ("chain", chain)):
        torch.testing.assert_close(paths.coefficients(kind, t), torch.tensor(shares, dtype=DOUBLE))


@pytest.mark.parametrize("kind", paths.KINDS)
def test_the_ends_of_a_trained_curve_are_the_nets_to_the_bit(kind):
    one, other = pair()
    before = one.flat.clone(), other.flat.clone()
    curve = paths.bent(one, other, examples(), kind, SHORT)
    assert torch.equal(curve.at(0.0).flat, one.flat) and torch.equal(curve.at(1.0).flat, other.flat)
    assert torch.equal(one.flat, before[0]) and torch.equal(other.flat, before[1])
    assert not torch.equal(curve.at(0.5).flat, paths.straight(one, other).at(0.5).flat)
    ends = paths.bent(modules_of(one), modules_of(other), examples(), kind, SHORT)
    for t, net in ((0.0, one), (1.0, other)):
        for module, own in zip(ends.at(t), modules_of(net), strict=True):
            assert all(torch.equal(value, own.state_dict()[name]) for name, value in module.state_dict().items())


def test_the_straight_curve_has_the_errors_of_the_straight_line():
    one, other = pair()
    data = examples()
    found = paths.along(paths.straight(one, other), data, lmc.points(30))
    torch.testing.assert_close(found.errors, lmc.path_errors(one, other, data), rtol=0, atol=1.5 / len(data))
    torch.testing.assert_close(found.at, lmc.points(30))
    assert found.losses.shape == (3, 30)
    # A Bézier curve whose bend is half way is the same line, passed at the same speed.
    line = dataclasses.replace(paths.straight(one, other), kind="bezier")
    torch.testing.assert_close(paths.along(line, data, lmc.points(30)).losses, found.losses, rtol=1e-5, atol=1e-6)


# ---- the bend ----


def constant(biases):
    """Nets whose outputs are their biases whatever the input, [R, 2]."""
    net = StackedMLP.create((1, 2), SEEDS[: len(biases)], dtype=DOUBLE)
    net.flat.zero_()
    net.biases[0].copy_(torch.tensor(biases, dtype=DOUBLE))
    return net


AIM = torch.tensor([1.0, 0.0], dtype=DOUBLE)  # one-hot, of class 0
NOTHING = Examples(torch.zeros(4, 1, dtype=DOUBLE), torch.zeros(4, dtype=torch.long))
ENDS = [[3.0, -1.0], [0.0, 0.0]], [[-2.0, 1.0], [4.0, 2.0]]


@pytest.mark.parametrize(
    ("kind", "of_aim", "of_ends", "optimizer", "stacked"),
    [("bezier", 2.5, 0.75, "sgd", True), ("chain", 1.5, 0.25, "adam", True), ("chain", 1.5, 0.25, "sgd", False)],
)
def test_the_bend_of_a_quadratic_loss_is_the_one_in_closed_form(kind, of_aim, of_ends, optimizer, stacked):
    # Loss |w - c|²/2: the mean over t of |u(t) + b(t) θ - c|² is least at θ = E[b (c - u)] / E[b²], which is 1.5 and
    # 2.5 from half way. Bézier: E b = 1/3, E b² = 2/15, E b (1 - t)² = 1/10; chain: 1/2, 1/3 and, for a line, 1/12.
    one, other = (constant(biases) for biases in ENDS)
    ends = (one, other) if stacked else (modules_of(one), modules_of(other))
    how = Descent(steps=600, batch=4, lr=0.05 if optimizer == "sgd" else 0.03, optimizer=optimizer)
    curve = paths.bent(*ends, NOTHING, kind, how, loss="mse", seeds=SEEDS[:2])
    found = curve.bend.biases[0] if stacked else torch.stack([net[0].bias.detach() for net in curve.bend])
    expected = of_aim * AIM - of_ends * (one.biases[0] + other.biases[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=0.15)  # 600 random t
    assert curve.drawn.shape == curve.losses.shape == (2, 600)


def test_each_step_of_sgd_is_the_one_of_its_formula():
    one, other = (constant(biases) for biases in ENDS)
    how = Descent(steps=12, batch=4, lr=0.1, optimizer="sgd")
    curve = paths.bent(one, other, NOTHING, "bezier", how, loss="mse")
    bend = (one.biases[0] + other.biases[0]) / 2
    velocity = torch.zeros_like(bend)
    for step in range(12):
        t = curve.drawn[:, step, None]
        away = (1 - t) ** 2 * one.biases[0] + 2 * t * (1 - t) * bend + t**2 * other.biases[0] - AIM
        torch.testing.assert_close(curve.losses[:, step], away.square().mean(1))
        velocity = 0.9 * velocity + 2 * t * (1 - t) * away
        bend = bend - how.rate(step) * velocity
    torch.testing.assert_close(curve.bend.biases[0], bend)
    middle = 0.49 * one.biases[0] + 0.42 * bend + 0.09 * other.biases[0]
    torch.testing.assert_close(curve.at(0.3).biases[0], middle, rtol=0, atol=1e-12)
    assert not curve.bend.weights[0].any()


def learned(net, data, steps=200):
    slope = torch.zeros_like(net.flat)
    x, y = net.pad(data.x).expand(net.replicates, -1, -1), data.y.expand(net.replicates, -1)
    for _ in range(steps):
        net.gradient(x, y, "cross_entropy", slope)
        net.flat.add_(slope, alpha=-0.5)
    return net


@pytest.mark.parametrize("kind", paths.KINDS)
def test_a_trained_curve_is_lower_than_the_line_at_points_it_never_saw(kind):
    data = examples()
    one, other = (learned(net, data) for net in pair((5, 16, 3)))
    line, curve = paths.straight(one, other), paths.bent(one, other, data, kind, Descent(150, 64))
    low, high = (paths.along(c, data, paths.unseen(curve, 21)) for c in (curve, line))
    assert (lmc.barrier(low.losses) < lmc.barrier(high.losses) / 2).all()
    assert (lmc.barrier(low.errors) < lmc.barrier(high.errors)).all()


def test_a_pair_does_not_depend_on_the_pairs_beside_it():
    one, other = pair((5, 13, 7, 3))
    data = examples(301)
    together = paths.bent(one, other, data, "bezier", Descent(60, 17))
    for r in range(3):
        alone = paths.bent(one.select([r]), other.select([r]), data, "bezier", Descent(60, 17))
        assert torch.equal(alone.bend.flat, together.bend.select([r]).flat)
        assert torch.equal(alone.losses[0], together.losses[r]) and torch.equal(alone.drawn[0], together.drawn[r])


def test_each_seed_has_its_own_batches_and_places_and_each_replicate_its_own_rows():
    one, other = (net.select([0, 0]) for net in pair())
    data = examples()
    same = paths.bent(one, other, data, descent=SHORT, seeds=[1000, 1000])
    two = paths.bent(one, other, data, descent=SHORT, seeds=[1000, 1001])
    assert torch.equal(same.losses[0], same.losses[1]) and torch.equal(same.drawn[0], same.drawn[1])
    assert torch.equal(two.losses[0], same.losses[0]) and not torch.equal(two.drawn[0], two.drawn[1])
    rows = torch.stack([torch.arange(150), torch.arange(150, 300)])
    apart = paths.bent(one, other, dataclasses.replace(data, rows=rows), descent=SHORT, seeds=[1000, 1000])
    assert not torch.equal(apart.losses[0], apart.losses[1])
    first = paths.bent(one.select([0]), other.select([0]), Examples(data.x[:150], data.y[:150]), descent=SHORT)
    assert torch.equal(first.losses[0], apart.losses[0])


@pytest.mark.parametrize("kind", paths.KINDS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_modules_and_stacks_have_the_same_curves(kind, loss):
    one, other = pair(dtype=DOUBLE)
    data = examples()
    data = Examples(data.x.double(), data.y)
    stacked = paths.bent(one, other, data, kind, SHORT, loss=loss)
    modules = paths.bent(modules_of(one), modules_of(other), data, kind, SHORT, loss=loss, seeds=SEEDS)
    torch.testing.assert_close(modules.losses, stacked.losses)
    for r, net in enumerate(modules.bend):
        torch.testing.assert_close(net.state_dict(), unstacked(stacked.bend, r).state_dict(), rtol=0, atol=1e-8)
    found = [paths.along(c, data, torch.tensor([0.0, 0.3, 1.0]), loss=loss) for c in (stacked, modules)]
    torch.testing.assert_close(found[1].losses, found[0].losses)
    torch.testing.assert_close(found[1].errors, found[0].errors)


def test_what_both_ends_cut_stays_cut_and_what_one_keeps_may_move():
    one, other = pair()
    kept = torch.rand(3, 12, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    one.apply_masks([kept, None])
    wider = kept.clone()
    wider[:, 0] = True
    other.apply_masks([wider, None])
    bend = paths.bent(one, other, examples(), descent=SHORT).bend.weights[0]
    assert not bend[~wider].any() and (bend[wider] != 0).all()


def test_a_rate_is_constant_then_falls_to_a_hundredth():
    how = Descent(steps=100, lr=0.5)
    assert [how.rate(s) for s in (0, 50, 70, 90, 99)] == pytest.approx([0.5, 0.5, 0.2525, 0.005, 0.005])


# ---- batch norm ----


def normalised(scale):
    """Linear(scale) -> batch norm -> class 0 where the normalised value exceeds 1: the same net for every scale."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=1e-9), nn.Linear(1, 2))
    values = {"0.weight": [[scale]], "2.weight": [[1.0], [0.0]], "2.bias": [-1.0, 0.0]}
    net.load_state_dict({name: torch.tensor(value) for name, value in values.items()}, strict=False)
    return net


def test_batch_norm_is_measured_anew_in_every_net_between():
    x = torch.linspace(-3, 3, 2001)[:, None]
    one, three = normalised(1.0), normalised(3.0)
    y = ((x[:, 0] - x.mean()) / x.std() <= 1).long()
    data = Examples(x, y)
    curve = paths.straight(one, three)
    assert (paths.along(curve, data, torch.linspace(0, 1, 5), train=data).errors < 1.5 / 2001).all()
    shifted = Examples(2 * x, y)  # other statistics, which belong to other inputs
    assert (paths.along(curve, data, torch.tensor([0.0, 0.5]), train=shifted).errors > 0.1).all()
    with pytest.raises(BadInput, match="training examples"):
        paths.along(curve, data, torch.tensor([0.5]))
    assert not one[1].running_mean.any() and one.training, "the ends are left as they were"


def test_a_curve_of_batch_normed_modules_is_trained_on_the_statistics_of_its_batches():
    # By these the scale does not matter: the first loss is that of one net, not that of averaged statistics.
    x = torch.linspace(-3, 3, 200)[:, None]
    data = Examples(x, (x[:, 0] <= 1).long())
    one, three = normalised(1.0), normalised(3.0)
    curve = paths.bent(one, three, data, descent=Descent(3, 200, 1e-3))
    outputs = nn.functional.cross_entropy(one.train()(x), data.y).item()
    assert curve.losses[0, 0].item() == pytest.approx(outputs, rel=1e-4)
    assert not three[1].running_mean.any() and three[1].num_batches_tracked == 0


# ---- points ----


def test_unseen_points_are_a_grid_that_training_never_met():
    curve = paths.bent(*pair(), examples(), descent=SHORT)
    grid = paths.unseen(curve)
    assert len(grid) == 61 and grid[30] == 0.5 and not set(grid.tolist()) & set(curve.drawn.flatten().tolist())
    met = dataclasses.replace(curve, drawn=grid[None, 7:9])
    with pytest.raises(BadInput, match="points trained at"):
        paths.unseen(met)
    assert len(paths.unseen(met, 60)) == 60


# ---- bad input ----


def test_ends_that_differ_are_refused():
    one, other = pair()
    shapes = [StackedMLP.create((5, 11, 3), SEEDS), StackedMLP.create((5, 12, 3), SEEDS, "tanh"), one.select([0])]
    for second in [*shapes, modules_of(other)]:
        with pytest.raises(BadInput, match="different shapes"):
            paths.bent(one, second, examples())
    with pytest.raises(BadInput, match="2.weight"):
        paths.straight(modules_of(one)[0], nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 4)))


@pytest.mark.parametrize(
    ("match", "options"),
    [("kind", {"kind": "arc"}), ("loss", {"loss": "hinge"}), ("seeds", {"seeds": [1]}), ("train", {"rows": 1})],
)
def test_settings_that_cannot_be_are_refused(match, options):
    data = examples()
    if rows := options.pop("rows", 0):
        data = Examples(data.x[:rows], data.y[:rows])
    with pytest.raises(BadInput, match=match):
        paths.bent(*pair(), data, **options)


@pytest.mark.parametrize("odd", [{"steps": -1}, {"batch": 1}, {"lr": 0.0}, {"optimizer": "lbfgs"}])
def test_descents_that_cannot_be_are_refused(odd):
    with pytest.raises(BadInput, match=next(iter(odd))):
        Descent(**odd)


def test_labels_that_are_no_output_a_loss_that_is_no_number_and_points_outside_are_refused():
    one, other = pair()
    data = examples()
    wrong = Examples(data.x, data.y + 2)
    with pytest.raises(BadInput, match="labels"):
        paths.bent(one, other, wrong, descent=SHORT)
    with pytest.raises(BadInput, match="labels"):
        paths.bent(modules_of(one), modules_of(other), wrong, descent=SHORT)
    with pytest.raises(BadInput, match="labels"):
        paths.along(paths.straight(one, other), wrong)
    with pytest.raises(BadInput, match="smaller lr"):
        paths.bent(one, other, data, descent=Descent(200, 16, 1e30, "sgd"))
    with pytest.raises(BadInput, match="t = "):
        paths.along(paths.straight(one, other), data, torch.tensor([1.5]))
    with pytest.raises(BadInput, match="shares"):
        paths.combined([one, other], torch.ones(3))
