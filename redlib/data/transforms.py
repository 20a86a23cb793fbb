"""Image changes of rising strength with one interface, so that blur can be compared with others of equal size.

Every transform maps images [n, C, H, W] and strengths [S] to [S, n, C, H, W]; strength 0 is the identity exactly, and
values are not clipped. What is random (a direction, a sign, noise) is drawn once per image and shared by all strengths.
The draw of an image depends on the seed and its place in x only: images passed in parts need a seed for each part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redlib.data.blur import blur
from redlib.data.numbers import strided
from redlib.data.streams import rng
from redlib.errors import BadInput

SHIFT, ROTATION, NOISE = 1, 2, 3  # keys of the stream "augment", so that no other draw of a seed repeats these
Strengths = Sequence[float] | Tensor


class Transform(Protocol):
    """An image change: x [n, C, H, W] float, strengths [S] >= 0 in its own unit -> [S, n, C, H, W].

    `direction` [n, C, H, W] is needed by "gradient" and ignored by the others, as `seed` is where nothing is random.
    """

    def __call__(
        self, x: Tensor, strengths: Strengths, *, seed: int = 0, direction: Tensor | None = None
    ) -> Tensor: ...  # fmt: skip


def _blur(x: Tensor, strengths: Strengths, *, seed: int = 0, direction: Tensor | None = None) -> Tensor:
    """Gaussian blur with mirrored edges and a kernel as large as the image; strengths are sigmas in pixels."""
    return blur(x, _checked(x, strengths))


def _shift(x: Tensor, strengths: Strengths, *, seed: int = 0, direction: Tensor | None = None) -> Tensor:
    """Shift by `strengths` pixels, in one random direction for each image."""
    angle = _per_image(x, rng(seed, "augment", SHIFT).uniform(0, 2 * np.pi, len(x)))
    down, right = _positions(x)
    moved = [_bilinear(x, down - s * angle.sin(), right - s * angle.cos()) for s in _checked(x, strengths)]
    return torch.stack(moved)


def _rotation(x: Tensor, strengths: Strengths, *, seed: int = 0, direction: Tensor | None = None) -> Tensor:
    """Rotation about the middle by `strengths` degrees, to a random side for each image."""
    side = _per_image(x, rng(seed, "augment", ROTATION).choice([-1.0, 1.0], len(x)))
    middle = [(width - 1) / 2 for width in x.shape[-2:]]
    down, right = (at - m for at, m in zip(_positions(x), middle, strict=True))
    turned = []
    for s in _checked(x, strengths):
        angle = side * (s * math.pi / 180)
        rows = middle[0] + (angle.sin() * right + angle.cos() * down)
        turned.append(_bilinear(x, rows, middle[1] + (angle.cos() * right - angle.sin() * down)))
    return torch.stack(turned)


def _noise(x: Tensor, strengths: Strengths, *, seed: int = 0, direction: Tensor | None = None) -> Tensor:
    """Gaussian noise of standard deviation `strengths`: one draw per image, scaled, so that the path is a ray."""
    draw = torch.from_numpy(rng(seed, "augment", NOISE).standard_normal(x.shape))
    return _ray(x, strengths, draw.to(x))


def _gradient(x: Tensor, strengths: Strengths, *, seed: int = 0, direction: Tensor | None = None) -> Tensor:
    """A step along `direction`, e.g. the sign of the loss gradient (Goodfellow et al. 2015), of equal length for all.

    The length is strength * sqrt(pixels), so every pixel moves by the strength where the direction is a full sign.
    """
    _checked(x, strengths)
    if direction is None or direction.shape != x.shape:
        given = None if direction is None else list(direction.shape)
        raise BadInput.of("direction", given, f"a tensor {list(x.shape)}, as x", "pass gradient_sign(logits, x, y)")
    strided(direction, "direction")
    lengths = direction.to(x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    usable = ((lengths > 0) & lengths.isfinite()).flatten()
    if not bool(usable.all()):
        first = int((~usable).nonzero()[0])
        length = float(lengths.flatten()[first])
        raise BadInput.of(
            f"length of direction[{first}]", length, "a finite number > 0", "use the gradient of the margin"
        )
    return _ray(x, strengths, direction.to(x) * (math.sqrt(x[0].numel()) / lengths))


TRANSFORMS: dict[str, Transform] = {
    "blur": _blur,
    "shift": _shift,
    "rotation": _rotation,
    "noise": _noise,
    "gradient": _gradient,
}
_RAYS = {"noise", "gradient"}  # their change is proportional to the strength
_TOP = {"rotation": 180.0}  # beyond half a turn an image comes back
_HIGHEST, _DOUBLINGS, _HALVINGS = 1024.0, 17, 24


def change_norms(x: Tensor, changed: Tensor) -> Tensor:
    """Return how far `changed` [S, n, ...] lies from x [n, ...]: the L2 length averaged over images, float64 [S].

    BadInput for other shapes, and without an image.
    """
    if changed.shape[1:] != x.shape or not len(x):
        given = (tuple(x.shape), tuple(changed.shape))
        raise BadInput.of("shapes of x and changed", given, "[n, ...] and [S, n, ...], n >= 1", "pass the same images")
    return (changed - x).flatten(2).norm(dim=2).double().mean(1)


def matched_strengths(
    name: str, x: Tensor, target_norms: Strengths, seed: int = 0, direction: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Return the strengths [S] at which transform `name` changes images x by `target_norms` [S] (see change_norms).

    Found by doubling and bisection, so where a rotation passes a target more than once the first doubling beyond it
    decides. A few hundred images are enough: each of some 25 rounds makes S * n of them. Raises BadInput for an unknown
    name and for targets that are negative or larger than any strength reaches.
    """
    if name not in TRANSFORMS:
        raise BadInput.of("name", name, f"one of {list(TRANSFORMS)}", "name a transform")
    targets = _checked(x, target_norms, "target_norms")
    if not bool(x.isfinite().all()):
        first = int((~x.isfinite()).flatten(1).any(1).nonzero()[0])
        raise BadInput.of(f"x[{first}]", "NaN or infinity", "finite pixels", "leave this image out, or mend it")

    def size(strengths: Tensor) -> Tensor:
        return change_norms(x, TRANSFORMS[name](x, strengths, seed=seed, direction=direction)).cpu()

    if name in _RAYS:
        return targets / size(torch.ones(1))
    return _bisect(size, targets, _TOP.get(name, _HIGHEST))


def _bisect(size: Callable[[Tensor], Tensor], targets: Tensor, top: float) -> Tensor:
    ladder = top * 2.0 ** torch.arange(1 - _DOUBLINGS, 1, dtype=torch.float64)
    sizes = size(ladder)
    if bool((targets > sizes.max()).any()):
        allowed = f"0 <= norm <= {float(sizes.max()):.4g}, the most that any strength reaches"
        raise BadInput.of("target_norms", targets.tolist(), allowed, "compare smaller changes, or leave this one out")
    high = ladder[(sizes >= targets[:, None]).int().argmax(1)]  # the first step of the ladder that is enough
    low = torch.where(high > ladder[0], high / 2, 0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = size(middle) < targets
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return low


def _checked(x: Tensor, strengths: Strengths, what: str = "strengths") -> Tensor:
    """Return the strengths as float64 [S] on the CPU; BadInput for other images or strengths."""
    if x.ndim != 4 or not strided(x, "x").is_floating_point():
        raise BadInput.of("x", f"{x.dtype} {list(x.shape)}", "float images [n, C, H, W]", "reshape the images first")
    strided(torch.as_tensor(strengths), what)
    values = torch.as_tensor(strengths, dtype=torch.float64, device="cpu")
    if values.ndim != 1 or not bool(((values >= 0) & values.isfinite()).all()):
        raise BadInput.of(what, strengths, "a list of finite numbers >= 0", "0 is the unchanged image")
    return values


def _per_image(x: Tensor, values: np.ndarray) -> Tensor:
    """Return float64 values [n] as [n, 1, 1] beside x."""
    return torch.from_numpy(values).to(x.device).view(-1, 1, 1)


def _positions(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row [H, 1] and the column [1, W] of every pixel, float64."""
    rows, columns = (torch.arange(width, dtype=torch.float64, device=x.device) for width in x.shape[-2:])
    return rows[:, None], columns[None]


def _ray(x: Tensor, strengths: Strengths, direction: Tensor) -> Tensor:
    return x + _checked(x, strengths).to(x).view(-1, 1, 1, 1, 1) * direction


def _bilinear(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return x [n, C, H, W] read between pixels, 0 outside; rows and columns broadcast to [n, H, W].

    Not torch's grid_sample: its positions are relative to the width, and rounding makes it miss the identity.
    """
    height, width = x.shape[-2:]
    bordered = functional.pad(x, (1, 1, 1, 1)).flatten(2)
    top, down = _split(rows, height)
    left, right = _split(columns, width)
    read = torch.zeros_like(x)
    for above, vertical in ((top, 1 - down), (top + 1, down)):
        for beside, horizontal in ((left, 1 - right), (left + 1, right)):
            index = (above * (width + 2) + beside).flatten(1)[:, None].expand(-1, x.shape[1], -1)
            read += (vertical * horizontal).to(x)[:, None] * bordered.gather(2, index).view_as(x)
    return read


def _split(at: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the whole and the fractional part of positions, counted from a border of one pixel."""
    inside = at.clamp(-1, width) + 1
    whole = inside.floor().clamp(max=width)
    return whole.long(), inside - whole
