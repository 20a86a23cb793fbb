"""Blur by matrices against torchvision and convolution, and the limits of no and of endless blur."""

import math

import pytest
import torch
from torch.nn import functional

from redlib.data import ensure_torchvision
from redlib.data.blur import PADDINGS, blur, blur_matrix, gaussian_kernel, odd_size
from redlib.errors import BadInput

SIGMAS = [0.2, 0.7, 1.3, 4.0, 50.0]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def images(*shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def convolved(x, sigma, size, padding):
    """Pad, then convolve with the two-dimensional kernel, written out."""
    at = torch.arange(size, dtype=torch.float64) - size // 2
    line = torch.exp(-0.5 * (at / sigma) ** 2)
    plane = (line[:, None] * line) / (line[:, None] * line).sum()
    mode = {"zero": "constant"}.get(padding, padding)
    padded = functional.pad(x, (size // 2,) * 4, mode=mode)
    weight = plane.to(x).expand(x.shape[1], 1, size, size)
    return functional.conv2d(padded, weight, groups=x.shape[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [None, 5])
def test_reflected_blur_is_that_of_torchvision(dtype, size):
    ensure_torchvision()
    from torchvision.transforms.functional import gaussian_blur

    x = images(3, 2, 28, 28, dtype=dtype)
    taps = [size or 29] * 2
    expected = torch.stack([gaussian_blur(x, taps, [sigma] * 2) for sigma in SIGMAS])
    found = blur(x, SIGMAS, size)
    assert found.shape == (5, 3, 2, 28, 28) and found.dtype == dtype
    torch.testing.assert_close(found, expected, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("padding", list(PADDINGS))
@pytest.mark.parametrize("size", [3, 9])
def test_every_padding_is_that_of_pad_and_convolve(padding, size):
    x = images(2, 3, 9, 12)
    expected = torch.stack([convolved(x, sigma, size, padding) for sigma in SIGMAS])
    found = blur(x, torch.tensor(SIGMAS, dtype=x.dtype), size, padding)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("padding", list(PADDINGS))
def test_no_blur_is_the_identity_exactly_and_hardly_any_tends_to_it(padding):
    x = images(4, 1, 28, 28, dtype=torch.float32)
    none, tiny, little = blur(x, [0.0, 1e-200, 0.05], padding=padding)
    assert torch.equal(none, x) and torch.equal(tiny, x)
    torch.testing.assert_close(little, x, atol=1e-6, rtol=0)


def test_images_without_channels_are_blurred_alike():
    x = images(3, 8, 8)
    torch.testing.assert_close(blur(x, SIGMAS), blur(x[:, None], SIGMAS)[:, :, 0], atol=0, rtol=0)


def test_each_direction_has_a_kernel_as_large_as_the_image_there():
    x = torch.zeros(1, 1, 4, 10, dtype=torch.float64)
    x[0, 0, 1, 5] = 1
    spread = blur(x, [1e4], padding="zero")[0, 0, 0]  # 5 rows by 11 columns, all of them reached
    torch.testing.assert_close(spread, torch.full((4, 10), 1 / 55, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_kernel_sums_to_one_and_falls_as_a_gaussian():
    kernel = gaussian_kernel(29, torch.tensor([0.0, 0.5, 2.0, 1e6]))
    assert kernel.shape == (4, 29) and kernel.dtype == torch.float64
    torch.testing.assert_close(kernel.sum(1), torch.ones(4, dtype=torch.float64), atol=1e-15, rtol=0)
    assert kernel[0].tolist() == [0.0] * 14 + [1.0] + [0.0] * 14
    assert math.isclose(kernel[2, 17] / kernel[2, 14], math.exp(-9 / 8), rel_tol=1e-12)
    torch.testing.assert_close(kernel[3], torch.full((29,), 1 / 29, dtype=torch.float64))
    assert torch.equal(gaussian_kernel(29, 2.0), kernel[2])


@pytest.mark.parametrize("padding, flat", [("reflect", False), ("zero", False), ("circular", True)])
def test_endless_blur_is_flat_only_where_all_pixels_weigh_alike(padding, flat):
    x = images(2, 1, 9, 9)
    limit = blur(x, [1e6], padding=padding)[0].flatten(1)
    assert bool((limit.std(1) / limit.mean(1) < 1e-6).all()) is flat


def test_mass_is_kept_by_every_padding_but_zero():
    for padding in PADDINGS:
        sums = blur_matrix(8, [0.4, 3.0], 9, padding).sum(2)
        assert bool(torch.allclose(sums, torch.ones_like(sums))) is (padding != "zero")


def test_sizes_are_the_next_odd_number():
    assert [odd_size(width) for width in (1, 8, 27, 28)] == [1, 9, 27, 29]


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: gaussian_kernel(28, 1.0), "odd number"),
        (lambda: gaussian_kernel(-1, 1.0), "odd number"),
        (lambda: blur(images(1, 1, 8, 8), [1.0], 4), "odd_size"),
        (lambda: blur(images(1, 1, 8, 8), [1.0], 0), "odd_size"),
        (lambda: blur(images(1, 1, 8, 8), [1.0, -0.1]), "0 <= sigma < infinity"),
        (lambda: blur(images(1, 1, 8, 8), [math.inf]), "0 <= sigma < infinity"),
        (lambda: blur(images(1, 1, 8, 8), [math.nan]), "0 <= sigma < infinity"),
        (lambda: blur(images(1, 1, 8, 8), 1.0), r"tensor \[S\]"),
        (lambda: blur(images(1, 1, 8, 8), [1.0], padding="symmetric"), "reflect.*circular"),
        (lambda: blur(images(1, 1, 8, 8), [1.0], 17), "at most 15 for reflect"),
        (lambda: blur(images(1, 1, 8, 8), [1.0], 19, "circular"), "at most 17 for circular"),
        (lambda: blur(images(8, 8), [1.0]), r"\[n, H, W\]"),
        (lambda: blur(images(1, 1, 8, 8).to(torch.uint8), [1.0]), "float images"),
    ],
)
def test_bad_input_is_named_with_the_allowed_range(call, what):
    with pytest.raises(BadInput, match=what):
        call()


@pytest.mark.parametrize("size, padding", [(15, "reflect"), (17, "circular"), (29, "replicate"), (29, "zero")])
def test_the_largest_kernel_that_fits_is_taken(size, padding):
    x = images(1, 1, 8, 8)
    if padding in ("reflect", "circular"):  # torch pads no further either
        torch.testing.assert_close(blur(x, [2.0], size, padding)[0], convolved(x, 2.0, size, padding))
    assert blur(x, [2.0], size, padding).shape == (1, 1, 1, 8, 8)
