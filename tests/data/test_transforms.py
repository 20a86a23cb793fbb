"""Image changes of one interface: identity at 0, one random direction per image, and equal sizes on demand."""

import math

import pytest
import torch
from scipy import ndimage

from redlib.data import ensure_torchvision
from redlib.data.blur import blur
from redlib.data.transforms import TRANSFORMS, change_norms, matched_strengths
from redlib.errors import BadInput

draw = torch.Generator().manual_seed(0)
X = torch.rand(12, 2, 11, 9, generator=draw, dtype=torch.float64)
SIGN = torch.randn(X.shape, generator=draw, dtype=torch.float64).sign()
SPOT = torch.zeros(40, 1, 21, 21, dtype=torch.float64)
SPOT[:, :, 9, 12] = 1
NAMES = list(TRANSFORMS)
RANDOM = ["shift", "rotation", "noise"]


def change(name, strengths, x=X, seed=0):
    return TRANSFORMS[name](x, strengths, seed=seed, direction=SIGN)


def middle(changed):
    """Return the centre of mass (row, column) of each image [..., H, W]."""
    rows, columns = (torch.arange(width, dtype=changed.dtype) for width in changed.shape[-2:])
    return torch.stack([(changed * rows[:, None]).sum((-1, -2)), (changed * columns).sum((-1, -2))], -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_strength_zero_is_the_identity_exactly_and_strength_one_is_not(name, dtype):
    none, some = change(name, [0.0, 1.0], X.to(dtype))
    assert torch.equal(none, X.to(dtype)) and not torch.equal(some, none)
    assert some.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_strengths_do_not_depend_on_each_other(name):
    together = change(name, torch.tensor([0.5, 2.0, 1.0]))
    for one, strength in zip(together, [0.5, 2.0, 1.0], strict=True):
        assert torch.equal(one, change(name, [strength])[0])


@pytest.mark.parametrize("name", RANDOM)
def test_an_image_s_draw_depends_on_the_seed_and_its_place_only(name):
    all_of_them = TRANSFORMS[name](X, [2.0], seed=5)
    assert torch.equal(all_of_them[:, :7], TRANSFORMS[name](X[:7], [2.0], seed=5))
    assert not torch.equal(all_of_them, TRANSFORMS[name](X, [2.0], seed=6))


def test_blur_is_that_of_the_blur_module():
    assert torch.equal(change("blur", [0.8, 2.0]), blur(X, [0.8, 2.0]))


def test_shift_moves_every_image_along_its_own_line_by_so_many_pixels():
    moved = middle(TRANSFORMS["shift"](SPOT, [0.7, 2.0, 6.0], seed=1))[:, :, 0] - torch.tensor([9.0, 12.0])
    direction = moved[0] / 0.7
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(40, dtype=torch.float64))
    torch.testing.assert_close(moved, torch.tensor([0.7, 2.0, 6.0])[:, None, None] * direction)
    quadrants = {(bool(down > 0), bool(right > 0)) for down, right in direction}
    assert len(quadrants) == 4


def test_shift_is_bilinear_with_zeros_outside():
    line = middle(TRANSFORMS["shift"](SPOT[:12], [1.0], seed=3))[0, :, 0] - torch.tensor([9.0, 12.0])
    for strength in (1.0, 2.4, 30.0):
        moved = TRANSFORMS["shift"](X, [strength], seed=3)[0]
        for image, step, found in zip(X, line, moved, strict=True):
            by = (0, *(strength * step).tolist())
            expected = ndimage.shift(image.numpy(), by, order=1, mode="grid-constant")
            torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-12, rtol=0)


@pytest.mark.parametrize("degrees", [3.0, 40.0, 90.0])
def test_rotation_is_that_of_torchvision_to_one_side_or_the_other(degrees):
    ensure_torchvision()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import rotate

    turned = TRANSFORMS["rotation"](X, [degrees], seed=2)[0]
    left, right = (rotate(X, side * degrees, InterpolationMode.BILINEAR) for side in (1, -1))
    to_left, to_right = ((turned - one).abs().amax((1, 2, 3)) < 1e-5 for one in (left, right))
    assert bool((to_left ^ to_right).all()) and bool(to_left.any()) and bool(to_right.any())


def test_all_strengths_of_rotation_turn_an_image_to_the_same_side():
    spot = torch.zeros(30, 1, 21, 21, dtype=torch.float64)
    spot[:, :, 10, 18] = 1
    up = 10 - middle(TRANSFORMS["rotation"](spot, [10.0, 20.0]))[:, :, 0, 0]
    assert torch.equal(up[0] > 0, up[1] > 0)
    for heights, degrees in zip(up.abs(), (10, 20), strict=True):  # reading between pixels keeps no exact mass
        assert bool(((heights - 8 * math.sin(math.radians(degrees))).abs() < 0.15).all())


def test_noise_is_a_ray_of_standard_deviation_strength():
    x = torch.zeros(20, 1, 28, 28, dtype=torch.float64)
    one, three = TRANSFORMS["noise"](x, [1.0, 3.0])
    torch.testing.assert_close(three, 3 * one)
    # 15,680 draws: the standard error of the standard deviation is 0.0056
    assert abs(float(one.std()) - 1) < 5 * 0.0056 and abs(float(one.mean())) < 5 * 0.008


def test_a_full_sign_moves_every_pixel_by_the_strength():
    torch.testing.assert_close(change("gradient", [0.3])[0], X + 0.3 * SIGN)


def test_a_direction_of_any_length_gives_a_step_of_the_same_length():
    holes = SIGN.clone()
    holes[:, :, :4] = 0
    for direction in (holes, 7 * SIGN, torch.randn(X.shape, generator=draw, dtype=torch.float64)):
        moved = TRANSFORMS["gradient"](X, [0.3], direction=direction)[0] - X
        expected = torch.full((12,), 0.3 * math.sqrt(2 * 11 * 9), dtype=torch.float64)
        torch.testing.assert_close(moved.flatten(1).norm(dim=1), expected)
        along = torch.cosine_similarity(moved.flatten(1), direction.flatten(1))
        torch.testing.assert_close(along, torch.ones(12, dtype=torch.float64))


def test_the_size_of_a_change_is_the_mean_length_over_images():
    changed = torch.stack([X, X])
    changed[1, 0, 0, 0, :2] += torch.tensor([3.0, 4.0])
    torch.testing.assert_close(change_norms(X, changed), torch.tensor([0, 5 / 12], dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_matched_strengths_change_as_much_as_asked(name):
    targets = change_norms(X, blur(X, [0.0, 0.4, 1.0, 5.0]))
    strengths = matched_strengths(name, X, targets, seed=4, direction=SIGN)
    assert strengths.shape == (4,) and strengths[0] == 0 and bool((strengths.diff() > 0).all())
    reached = change_norms(X, TRANSFORMS[name](X, strengths, seed=4, direction=SIGN))
    torch.testing.assert_close(reached, targets, rtol=1e-5, atol=1e-9)


def test_matching_blur_to_itself_gives_its_sigmas():
    sigmas = torch.tensor([0.5, 1.3, 4.0], dtype=torch.float64)
    found = matched_strengths("blur", X, change_norms(X, blur(X, sigmas)))
    torch.testing.assert_close(found, sigmas, rtol=1e-5, atol=0)


def test_of_several_rotations_that_are_far_enough_an_early_one_is_taken():
    bar = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    bar[:, :, 10, 3:18] = 1
    target = change_norms(bar, TRANSFORMS["rotation"](bar, [5.0]))
    assert float(TRANSFORMS["rotation"](bar, [180.0]).sub(bar).norm()) < 1e-9  # half a turn brings it back
    assert abs(float(matched_strengths("rotation", bar, target)) - 5) < 1e-3
    farthest = change_norms(bar, TRANSFORMS["rotation"](bar, [90.0]))
    assert float(matched_strengths("rotation", bar, farthest)) <= 90


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: TRANSFORMS["gradient"](X, [1.0]), "gradient_sign"),
        (lambda: TRANSFORMS["gradient"](X, [1.0], direction=SIGN[:3]), r"\[12, 2, 11, 9\]"),
        (lambda: TRANSFORMS["gradient"](X, [1.0], direction=SIGN * (torch.arange(12) != 5)[:, None, None, None]),
         r"direction\[5\]"),
        (lambda: TRANSFORMS["gradient"](X, [1.0], direction=SIGN * math.nan), r"direction\[0\] = nan"),
        (lambda: matched_strengths("noise", X.index_fill(0, torch.tensor([3]), math.nan), [1.0]), r"x\[3\].*NaN"),
        (lambda: change("shift", [-1.0]), "strengths.*>= 0"),
        (lambda: change("rotation", [math.inf]), "finite"),
        (lambda: change("noise", 1.0), "a list"),
        (lambda: change("blur", [1.0], X[:, 0]), r"\[n, C, H, W\]"),
        (lambda: matched_strengths("zoom", X, [1.0]), "blur.*gradient"),
        (lambda: matched_strengths("shift", X, [-1.0]), "target_norms"),
        (lambda: matched_strengths("blur", X, [1.0, 1e6]), "any strength reaches"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()
