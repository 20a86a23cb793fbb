"""Gaussian blur of images for many standard deviations at once, with the padding folded into a matrix.

Blurring is linear and separable: rows and columns are each multiplied by one [width, width] matrix, whatever the
padding. Standard deviations are in pixels, and 0 is the identity exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redlib.data.numbers import strided, whole
from redlib.errors import BadInput

# Where a position at[...] of the padded axis reads the image; outside of 0..width - 1 it reads 0.
PADDINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "reflect": lambda at, width: width - 1 - (width - 1 - at.abs()).abs(),
    "replicate": lambda at, width: at.clamp(0, width - 1),
    "zero": lambda at, width: at,
    "circular": lambda at, width: at % width,
}


def odd_size(width: int) -> int:
    """Return the size of a kernel as large as an image of this width, one more where that is even.

    An even kernel has no middle, and torchvision's gaussian_blur refuses it.
    """
    return width + 1 - width % 2


def gaussian_kernel(size: int, sigma: float | Sequence[float] | Tensor) -> Tensor:
    """Return the float64 weights exp(-t²/(2 sigma²)), t in pixels from the middle, that sum to 1: [size].

    For several sigma [S] it is [S, size]. Raises BadInput for a size that is not odd, or a negative or infinite sigma.
    """
    if whole("size", size, 1, "an odd number of taps") % 2 == 0:
        raise BadInput.of("size", size, "an odd number >= 1", "use odd_size(width) for a kernel as large as the image")
    size, widths = int(size), _finite_sigmas(sigma)
    # At the smallest positive number all weights but the middle one are 0: sigma = 0 needs no case of its own.
    steps = (torch.arange(size) - size // 2) / widths.clamp(min=torch.finfo(torch.float64).tiny)[..., None]
    weights = torch.exp(-steps.square() / 2)
    return weights / weights.sum(-1, keepdim=True)


def blur_matrix(width: int, sigmas: Sequence[float] | Tensor, size: int, padding: str = "reflect") -> Tensor:
    """Return float64 matrices [S, width, width] that blur a column of `width` pixels, for sigmas [S].

    `padding` is how the column goes on beyond its ends, as in torch.nn.functional.pad: mirrored without repeating the
    edge ("reflect"), "replicate", "zero" or "circular". Raises BadInput as gaussian_kernel does, for another padding,
    and if half the kernel is longer than the image can be mirrored (width - 1) or repeated (width).
    """
    size = _check_padding(width, size, padding)
    taps = gaussian_kernel(size, sigmas)
    if taps.ndim != 2:
        raise BadInput.of("sigmas", sigmas, "a list or tensor [S]", "pass a list for a single sigma, too")
    rows = torch.arange(width)[:, None]
    source = PADDINGS[padding](rows + torch.arange(size) - size // 2, width)
    inside = (source >= 0) & (source < width)
    matrix = torch.zeros(len(taps), width * width, dtype=torch.float64)
    matrix.index_add_(1, (rows * width + source)[inside], taps[:, None].expand(-1, width, -1)[:, inside])
    return matrix.view(-1, width, width)


def blur(x: Tensor, sigmas: Sequence[float] | Tensor, size: int | None = None, padding: str = "reflect") -> Tensor:
    """Return images x [n, C, H, W] (or [n, H, W]) blurred by each of sigmas [S], in pixels: [S, n, C, H, W].

    In the precision and on the device of x. The kernel has `size` taps in both directions, by default odd_size of the
    height and of the width, the source's "as large as the image". Raises BadInput as blur_matrix does, and for x that
    is not a float tensor of that shape.
    """
    if x.ndim not in (3, 4) or not strided(x, "x").is_floating_point():
        given = f"{x.dtype} {list(x.shape)}"
        raise BadInput.of("x", given, "float images [n, C, H, W] or [n, H, W]", "scale and reshape the images first")
    sizes = [odd_size(width) if size is None else size for width in x.shape[-2:]]
    rows, columns = (blur_matrix(w, sigmas, s, padding).to(x) for w, s in zip(x.shape[-2:], sizes, strict=True))
    blurred = x.new_empty(len(rows), *x.shape)
    # One sigma at a time stays in the cache: half the time of one batched product over all.
    for s in range(len(rows)):
        blurred[s] = rows[s] @ (x @ columns[s].T)
    return blurred


def _finite_sigmas(sigma: float | Sequence[float] | Tensor) -> Tensor:
    strided(torch.as_tensor(sigma), "sigma")
    widths = torch.as_tensor(sigma, dtype=torch.float64, device="cpu")
    if not bool(((widths >= 0) & widths.isfinite()).all()):
        raise BadInput.of("sigma", sigma, "0 <= sigma < infinity", "state the blur in pixels; 0 is none")
    return widths


def _check_padding(width: int, size: int, padding: str) -> int:
    """Return the size of the kernel as an integer."""
    size = whole("size", size, 1, "use odd_size(width) for a kernel as large as the image")
    if padding not in PADDINGS:
        raise BadInput.of("padding", padding, f"one of {list(PADDINGS)}", "name how images go on beyond their edges")
    longest = {"reflect": width - 1, "circular": width}.get(padding, size)
    if size // 2 > longest:
        allowed = f"odd and at most {2 * longest + 1} for {padding} padding of {width} pixels"
        raise BadInput.of("size", size, allowed, "take a smaller kernel, or replicate or zero padding")
    return size
