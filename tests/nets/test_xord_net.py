"""The closed forms of the XORD net against a max-pool and autograd; descent, exploration and angles as they must be."""

import math

import pytest
import torch

from redlib.data.streams import rng
from redlib.data.xord import CONTENTS, LABELS, PATTERNS, draw_sets, every_point, labels
from redlib.errors import BadInput
from redlib.nets.xord import (
    angles,
    cover_probability,
    detected,
    explored,
    fresh_error,
    gradient,
    hinge,
    initial,
    outputs,
    outputs_of_contents,
    train,
)

SEEDS = [1000, 1001, 1002]


def pooled(weights, x):
    """Return N(x) [R, n] as the paper writes it."""
    k = weights.shape[1] // 2
    fired = torch.einsum("rkc,rndc->rnkd", weights, x).relu().amax(3)
    return fired[..., :k].sum(2) - fired[..., k:].sum(2)


def the_four():
    """Return the net [1, 4, 2] with one filter for each pattern."""
    return torch.tensor([PATTERNS], dtype=torch.float64)


def setup(filters=5, n=40, pairs=4, scale=0.5, **content):
    weights = initial(SEEDS, filters, scale)
    x, y = draw_sets(SEEDS, n, pairs, **content)
    return weights, x.double(), y.double()


def test_outputs_are_those_of_a_max_pool():
    weights, x, _ = setup()
    assert torch.allclose(outputs(weights, x), pooled(weights, x), rtol=1e-12, atol=1e-12)
    everything = every_point(3)[0].double()
    assert torch.allclose(outputs(weights, everything), pooled(weights, everything.expand(3, -1, -1, -1)), atol=1e-12)


def test_the_net_with_a_filter_for_each_pattern_knows_every_point():
    assert torch.equal(pooled(the_four(), every_point(3)[0].double()[None]), outputs(the_four(), every_point(3)[0]))
    both = [2.0 * bool(content & {0, 1}) - 2.0 * bool(content & {2, 3}) for content in CONTENTS]
    # A filter (1, 1) is at 0 on unequal pairs; two equal patterns are two filters' work.
    counted = [2.0 * len(content & {0, 1}) - 2.0 * len(content & {2, 3}) for content in CONTENTS]
    assert outputs_of_contents(the_four())[0].tolist() == counted != both
    assert (
        fresh_error(the_four(), 1) == 0 and fresh_error(the_four() * torch.tensor([[[2.0]] * 2 + [[0.5]] * 2]), 9) == 0
    )


@pytest.mark.parametrize("margin", [0.3, 1.0, (5.0, 0.5)])
def test_the_gradient_is_autograds(margin):
    weights, x, y = setup(filters=4, n=30)
    losses, found = gradient(weights, x, y, margin)
    leaf = weights.clone().requires_grad_()
    wanted = torch.where(y > 0, margin[0], margin[1]) if isinstance(margin, tuple) else margin
    expected = (wanted - y * pooled(leaf, x)).clamp_min(0).mean(1)
    (slopes,) = torch.autograd.grad(expected.sum(), leaf)
    assert torch.allclose(losses, expected.detach(), rtol=1e-12)
    assert torch.allclose(found, slopes, rtol=1e-10, atol=1e-13) and (found != 0).any()
    assert torch.allclose(losses, hinge(outputs(weights, x), y, margin), rtol=1e-12)


def test_wrong_labels_have_their_own_gradient():
    weights, x, y = setup(filters=4, n=30)
    noisy = y * torch.where(torch.arange(30) % 3 == 0, -1.0, 1.0)
    leaf = weights.clone().requires_grad_()
    (slopes,) = torch.autograd.grad((1 - noisy * pooled(leaf, x)).clamp_min(0).mean(1).sum(), leaf)
    assert torch.allclose(gradient(weights, x, noisy)[1], slopes, rtol=1e-10, atol=1e-13)
    assert not torch.allclose(gradient(weights, x, y)[1], slopes)


def test_at_zero_relu_and_hinge_pass_no_gradient_and_ties_go_to_the_first():
    x = torch.tensor([[[[1.0, 1.0], [1.0, -1.0]]]], dtype=torch.float64)
    y = torch.ones(1, 1, dtype=torch.float64)
    # w = (1, -1) is at 0 on (1, 1); w = (1, 0) likes (1, 1) and (1, -1) alike; a filter of 0 fires on nothing.
    weights = torch.tensor([[[1.0, -1.0], [0.1, 0.0], [0.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    only_equal = x[:, :, :1]
    assert gradient(weights, only_equal, y)[1].tolist() == [[[0, 0], [-1, -1], [0, 0], [0, 0]]]
    assert gradient(weights, x, y, margin=9.0)[1].tolist() == [[[-1, 1], [-1, -1], [0, 0], [0, 0]]]
    exact = float(outputs(weights, x)[0, 0])
    assert gradient(weights, x, y, margin=exact)[0] == 0 and not gradient(weights, x, y, margin=exact)[1].any()


def slow_descent(weights, x, y, rate, steps, margin):
    """Return weights and numbers of steps of one replicate, by autograd."""
    now, taken = weights.clone(), 0
    for _ in range(steps):
        leaf = now.clone().requires_grad_()
        loss = (margin - y * pooled(leaf[None], x[None])[0]).clamp_min(0).mean()
        if loss == 0:
            break
        now, taken = now - rate * torch.autograd.grad(loss, leaf)[0], taken + 1
    return now, taken


def test_descent_is_that_of_autograd_and_stops_at_a_loss_of_zero():
    weights, x, y = setup(filters=12, n=16, scale=0.05)
    start = weights.clone()
    done = train(weights, x, y, 0.03, 400)
    assert torch.equal(weights, start)
    for r in range(3):
        expected, taken = slow_descent(weights[r], x[r], y[r], 0.03, 400, 1.0)
        assert torch.allclose(done.weights[r], expected, rtol=1e-9) and int(done.steps[r]) == taken
    assert done.fits.all() and (done.steps < 400).all() and len({*done.steps.tolist()}) > 1
    assert (outputs(done.weights, x) * y >= 1).all()
    longer = train(done.weights, x, y, 0.03, 5)
    assert torch.equal(longer.weights, done.weights) and not longer.steps.any()


def test_too_few_steps_leave_a_loss():
    weights, x, y = setup(filters=12, n=16, scale=0.05)
    done = train(weights, x, y, 0.03, 3)
    assert done.steps.tolist() == [3, 3, 3] and not done.fits.any()
    assert torch.allclose(done.loss, gradient(done.weights, x, y)[0], rtol=1e-12)


def test_trajectories_hold_the_weights_at_their_steps_and_the_last_after_the_end():
    weights, x, y = setup(filters=12, n=16, scale=0.05)
    done = train(weights, x, y, 0.03, 400, looks=[0, 1, 7, 399, 400])
    assert done.trajectory.shape == (5, 3, 24, 2) and torch.equal(done.trajectory[0], weights)
    assert torch.equal(done.trajectory[1], weights - 0.03 * gradient(weights, x, y)[1])
    assert torch.equal(done.trajectory[2], train(weights, x, y, 0.03, 7).weights)
    assert torch.equal(done.trajectory[3], done.weights) and torch.equal(done.trajectory[4], done.weights)
    assert train(weights, x, y, 0.03, 2).trajectory.shape == (0, 3, 24, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [None, 4])
def test_a_replicate_is_the_same_in_any_company(dtype, batch):
    seeds = list(range(1000, 1009))
    weights = initial(seeds, 7, 0.05, dtype)
    x, y = draw_sets(seeds, 18, 5, diverse=True)
    together = train(weights, x, y, 0.02, 60, batch=batch, seeds=seeds, looks=[30])
    for rows in ([4], [8, 4], [1, 2, 4, 5, 7]):
        other = train(
            weights[rows], x[rows], y[rows], 0.02, 60, batch=batch, seeds=[seeds[r] for r in rows], looks=[30]
        )
        at = rows.index(4)
        assert torch.equal(other.weights[at], together.weights[4]) and other.loss[at] == together.loss[4]
        assert torch.equal(other.trajectory[:, at], together.trajectory[:, 4]) and other.steps[at] == together.steps[4]


def test_batches_are_each_seeds_own_orders():
    weights, x, y = setup(filters=3, n=10, scale=0.05)
    done = train(weights, x, y, 0.01, 5, batch=4, seeds=SEEDS)  # two batches a pass, two points left out
    for r, seed in enumerate(SEEDS):
        now = weights[r : r + 1]
        for step in range(5):
            order = rng(seed, "order", 58, step // 2).permutation(10)[4 * (step % 2) :][:4]
            now = now - 0.01 * gradient(now, x[r : r + 1, order], y[r : r + 1, order])[1]
        assert torch.allclose(done.weights[r], now[0], rtol=1e-12)


def test_filters_of_a_narrow_net_are_among_those_of_a_wider_one():
    narrow, wide = initial([1000], 3, 0.1), initial([1000], 8, 0.1)
    assert torch.equal(narrow[0, :3], wide[0, :3]) and torch.equal(narrow[0, 3:], wide[0, 8:11])
    many = initial(range(1000, 1050), 50, 0.1)
    assert float(many.std()) == pytest.approx(0.1, rel=0.03) and not torch.equal(many[0], many[1])


def test_the_error_on_fresh_points_is_that_on_all_points():
    weights = initial(range(1000, 1020), 3, 1.0)
    x, y = every_point(4)
    wrong = (outputs(weights, x) * y <= 0).double()
    for positive in (0.2, 1.0):
        expected = positive * wrong[:, y > 0].mean(1) + (1 - positive) * wrong[:, y < 0].mean(1)
        assert torch.allclose(fresh_error(weights, 4, positive), expected, rtol=1e-12) and (expected > 0).any()


def test_a_net_without_one_equal_pattern_fails_on_points_with_that_one_alone():
    lacking = the_four()
    lacking[0, 1] = 0.0  # no filter for (-1, -1)
    lacking[0, 0] = 3.0
    d = 3
    x, y = every_point(d)
    failing = [not (point == 1).all(1).any() and label > 0 for point, label in zip(x, y, strict=True)]
    assert fresh_error(lacking, d)[0] == pytest.approx(0.5 * sum(failing) / (4**d - 2**d))
    assert detected(lacking).tolist() == [[True, False, True, True]]


def test_detection_asks_for_filters_of_the_right_sign():
    assert detected(the_four()).all()
    assert explored(the_four()).tolist() == [[[True, True, False, False], [False, False, True, True]]]
    assert not detected(the_four().flip(1)).any()
    leaning = torch.tensor([[[1.0, 0.2], [0.2, -1.0], [-1.0, 0.5], [0.0, 0.0]]])  # firing on (1,1), (1,-1), (-1,1)
    leaning[0, 0, 1] = 0.2
    assert explored(leaning).tolist() == [[[True, False, True, False], [False, False, False, True]]]
    assert detected(leaning).tolist() == [[True, False, False, True]]


@pytest.mark.parametrize(("filters", "expected"), [(4, 0.0938), (8, 0.623), (16, 0.960)])
def test_the_chance_to_cover_all_sectors_is_the_known_one(filters, expected):
    assert cover_probability(filters) == pytest.approx(expected, abs=6e-4)
    q = 0.75**filters, 0.5**filters, 0.25**filters
    assert cover_probability(filters) == pytest.approx(1 - 4 * q[0] + 6 * q[1] - 4 * q[2], rel=1e-12)


@pytest.mark.parametrize("filters", [2, 4, 8])
def test_random_filters_explore_as_often_as_they_should(filters):
    draws = torch.from_numpy(rng(1000, "eval").standard_normal((20000, 2 * filters, 2)))
    for found, chance in (
        (explored(draws)[:, 0].all(1), cover_probability(filters)),
        (detected(draws).all(1), cover_probability(filters, 2) ** 2),
        (detected(draws)[:, 0], cover_probability(filters, 1)),
    ):
        assert abs(float(found.double().mean()) - chance) <= 4 * math.sqrt(chance * (1 - chance) / 20000)


def test_small_counts_of_sectors_are_exact():
    assert cover_probability(4) == 24 / 256 and cover_probability(3) == pytest.approx(0, abs=1e-15)
    assert cover_probability(0, 0) == 1 and cover_probability(5, 1, 1) == 1 and cover_probability(0, 1) == 0


def test_angles_are_to_the_nearest_pattern():
    turned = torch.tensor(
        [[1.0, 1.0], [-2.0, 2.0], [1.0, 0.0], [math.cos(math.radians(75)), math.sin(math.radians(75))]]
    )
    assert angles(turned[None])[0].tolist() == pytest.approx([0, 0, 45, 30], abs=1e-4)
    assert angles(torch.zeros(1, 2, 2)).isnan().all()
    spread = angles(initial(range(1000, 1100), 100, 1.0))
    assert float(spread.mean()) == pytest.approx(22.5, abs=4 * 13 / math.sqrt(20000)) and spread.max() <= 45


def test_wide_nets_learn_all_patterns_from_diverse_points_and_cluster():
    seeds = list(range(1000, 1010))
    x, y = draw_sets(seeds, 20, 5, diverse=True)
    start = initial(seeds, 40, 1e-3)
    done = train(start, x, y, 0.003, 1000, margin=(8.0, 1.0))
    assert done.fits.all() and not fresh_error(done.weights, 5).any()
    assert (angles(done.weights).median(1).values < angles(start).median(1).values / 2).all()
    narrow = train(initial(seeds, 2, 1e-3), x, y, 0.01, 1000, margin=(8.0, 1.0))
    assert (narrow.fits & (fresh_error(narrow.weights, 5) > 0)).any()


def test_one_margin_for_both_labels_leaves_each_equal_pattern_too_weak():
    # All equal filters outweigh the others by about the margin, but half of them, which is what a point with one of
    # the two patterns excites, do not: N = W/2 - U > 0 with W - U = γ₊ and U = γ₋ asks for γ₊ > γ₋.
    weights = torch.cat([the_four()[:, :2] * 0.5, the_four()[:, 2:] * 0.25], 1)  # W = 2, U = 1 if both are there
    both, one = CONTENTS.index(frozenset({0, 1, 2, 3})), CONTENTS.index(frozenset({0, 2, 3}))
    unequal = CONTENTS.index(frozenset({2, 3}))
    answers = outputs_of_contents(weights)[0]
    assert (answers[both], answers[unequal], answers[one]) == (1, -1, 0)


@pytest.mark.parametrize(("change", "named"), [
    ({"rate": 0.0}, "rate = 0.0"), ({"steps": -1}, "steps = -1"), ({"margin": -1.0}, "margin = -1.0"),
    ({"batch": 99, "seeds": SEEDS}, "batch = 99"), ({"batch": 2, "seeds": [1]}, "seeds"),
    ({"looks": [3, 1]}, "looks"), ({"looks": [11]}, "looks"), ({"rate": math.nan}, "rate = nan"),
    ({"weights": torch.ones(3, 5, 2)}, "shape of weights"), ({"weights": torch.full((3, 4, 2), math.nan)}, "diverged"),
    ({"y": torch.zeros(3, 40)}, "y = "), ({"y": torch.ones(3, 39)}, "shapes of x and y"),
])  # fmt: skip
def test_descent_refuses_what_does_not_fit(change, named):
    weights, x, y = setup()
    arguments = {"weights": weights, "x": x, "y": y, "rate": 0.1, "steps": 10} | change
    with pytest.raises(BadInput, match=named):
        train(**arguments)


def test_other_bad_numbers_are_refused():
    for bad, named in ((lambda: initial([], 2, 1.0), "seeds"), (lambda: initial([1], 0, 1.0), "filters = 0"),
                       (lambda: initial([1], 2, 0.0), "scale = 0.0"), (lambda: cover_probability(3, 5), "sectors = 5"),
                       (lambda: outputs(the_four(), torch.ones(2, 3, 4, 2)), "replicates of x")):  # fmt: skip
        with pytest.raises(BadInput, match=named):
            bad()
    assert labels(every_point(1)[0]).tolist() == [LABELS[c] for c in (0, 1, 3, 7)]
