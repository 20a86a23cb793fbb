"""The corrupted data with which Zhang et al. (2017) tested what a net can memorise, and labels diluted by wrong ones.

Five versions: the true labels; random labels at any rate; one permutation of the pixels for all images; a permutation
of its own for each image; and Gaussian noise in place of the images. Besides, the uniform label noise of Rolnick et al.
(2017), who add to each clean example a number of copies with random labels. Counts are exact. Whatever is random is
drawn by the seed in the stream "noise", with keys that no other draw of a seed has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redlib.data.noise import corrupt_labels
from redlib.data.numbers import strided, unmasked, whole
from redlib.data.streams import rng
from redlib.errors import BadInput

VERSIONS = ("true_labels", "random_labels", "shuffled_pixels", "random_pixels", "gaussian")
"""The five versions of Zhang et al. 2017, section 2, in their order."""

_LABELS, _COPIES, _ONE_ORDER, _OWN_ORDERS, _GAUSSIAN = 61, 62, 63, 64, 65  # keys of the stream "noise"
_AT_A_TIME = 2**22  # pixels whose places are drawn at once, 32 MiB of them
_LISTED = 20  # classes that a line of text lists at most


@dataclass(frozen=True)
class Balance:
    """How many examples each class has before and after, int64 [classes] each."""

    before: Tensor
    after: Tensor

    def text(self) -> str:
        """Return one line, e.g. `class 0: 50 -> 48, class 1: 50 -> 52`; of many classes the smallest and largest."""
        pairs = list(zip(self.before.tolist(), self.after.tolist(), strict=True))
        if len(pairs) <= _LISTED:
            return ", ".join(f"class {k}: {a} -> {b}" for k, (a, b) in enumerate(pairs))
        ends = [(min(part), max(part)) for part in zip(*pairs, strict=True)]
        return f"{len(pairs)} classes of {ends[0][0]}..{ends[0][1]} -> {ends[1][0]}..{ends[1][1]} examples"


@dataclass(frozen=True)
class Corrupted:
    """Inputs x [n, ...], labels y int64 [n], which examples were drawn for a change (bool [n]), and the classes."""

    x: Tensor
    y: Tensor
    drawn: Tensor
    balance: Balance


@dataclass(frozen=True)
class Diluted:
    """Clean examples and their noisy copies: rows of the inputs int64 [N], labels int64 [N], is a copy (bool [N]).

    No input is copied: `x[rows]` does it, or `Examples(x, y[None], rows[None])`, which gathers batch by batch.
    """

    rows: Tensor
    y: Tensor
    noisy: Tensor
    balance: Balance

    def memory(self, x: Tensor) -> int:
        """Return the bytes that `x[rows]` takes for inputs x [n, ...]; rows and labels alone take 16 an example."""
        if len(x) * len(self.rows) == 0 or int(self.rows.max()) >= len(x):
            raise BadInput.of("number of inputs", len(x), "that of the labels", "Pass the inputs of these labels.")
        return len(self.rows) * (x.numel() // len(x)) * x.element_size()


def corrupt(
    x: Tensor,
    y: Tensor | np.ndarray,
    classes: int,
    version: str,
    seed: int,
    *,
    rate: float = 1.0,
    others: bool = False,
    part: int = 0,
    like: Tensor | None = None,
) -> Corrupted:
    """Return one of the five `VERSIONS` of inputs x [n, ...] and labels y [n] (Zhang et al. 2017, section 2).

    "random_labels" takes `rate` and `others` (see `random_labels`), the two versions with new pixels for each image
    take `part`, and "gaussian" takes `like`. Inputs and labels that a version leaves alone are returned as they are.
    Raises BadInput for another version, a rate below 1 of a version that knows none, x and y of unlike length, and as
    the functions for the single versions do.
    """
    labels = _labels(y, classes)
    _pixels(x, len(labels))
    if version not in VERSIONS:
        raise BadInput.named("version", version, VERSIONS, "pass one of these")
    if version != "random_labels" and (rate != 1 or others):
        raise BadInput.of("rate and others", (rate, others), "left out", f"{version} changes every image, or none")
    assigned, drawn = labels, torch.full((len(labels),), version != "true_labels", device=labels.device)
    if version == "random_labels":
        assigned, drawn = random_labels(labels, rate, classes, seed, others=others)
    elif version == "shuffled_pixels":
        x = shuffle_pixels(x, seed)
    elif version == "random_pixels":
        x = shuffle_each(x, seed, part=part)
    elif version == "gaussian":
        x = gaussian_pixels(x, seed, part=part, like=like)
    return Corrupted(x, assigned, drawn, balance(labels, assigned, classes))


def random_labels(
    y: Tensor | np.ndarray, rate: float, classes: int, seed: int, *, others: bool = False
) -> tuple[Tensor, Tensor]:
    """Return labels int64 [n], exactly round(rate·n) of them drawn anew, and which these are (bool [n]).

    As in Zhang et al. (2017) a new label is uniform over ALL classes, so that one in `classes` of them is the true one
    by chance; with `others` it is uniform over the other classes, and this is `corrupt_labels`. Either way the same
    examples are chosen, and for one seed those at 10% are among those at 20%, with the same labels.
    Raises BadInput for a rate outside [0, 1], no labels, fewer than 2 classes or labels outside [0, classes).
    """
    labels = _labels(y, classes)
    wrong, chosen = corrupt_labels(labels, _share(rate), classes, seed)
    if others:
        return wrong, chosen
    # Drawn for every example, chosen or not: that is what makes the labels the same at every rate.
    fresh = torch.from_numpy(rng(seed, "noise", _LABELS).integers(0, classes, len(labels))).to(labels.device)
    return torch.where(chosen, fresh, labels), chosen


def pixel_order(count: int, seed: int) -> Tensor:
    """Return the permutation int64 [count] of so many pixels that `shuffle_pixels` applies: out[i] = in[order[i]]."""
    return torch.from_numpy(rng(seed, "noise", _ONE_ORDER).permutation(whole("count", count, 1, "count the pixels")))


def shuffle_pixels(x: Tensor, seed: int) -> Tensor:
    """Return the images x [n, ...] with one permutation of the pixels for all of them ("shuffled pixels").

    The channels of [n, C, H, W] go with their pixel; in inputs of other shapes every value is a pixel. Test images get
    the same permutation from the same seed. Raises BadInput without images, and for NaN and infinity.
    """
    flat = _as_pixels(x)
    return flat[..., pixel_order(flat.shape[-1], seed).to(x.device)].view(x.shape)


def shuffle_each(x: Tensor, seed: int, *, part: int = 0) -> Tensor:
    """Return the images x [n, ...] with a permutation of the pixels of its own for each of them ("random pixels").

    Pixels as in `shuffle_pixels`. `part` numbers the data: give test images another one, or image i of both gets
    the same permutation. Fewer images get the first permutations of more. BadInput as in `shuffle_pixels`.
    """
    flat = _as_pixels(x)
    source, out, pixels = rng(seed, "noise", _OWN_ORDERS, part), torch.empty_like(flat), flat.shape[-1]
    size = max(1, _AT_A_TIME // pixels)
    for at in range(0, len(flat), size):
        images = flat[at : at + size]
        orders = source.permuted(np.tile(np.arange(pixels), (len(images), 1)), axis=1)
        out[at : at + size] = images.gather(2, torch.from_numpy(orders).to(x.device)[:, None].expand_as(images))
    return out.view(x.shape)


def gaussian_pixels(x: Tensor, seed: int, *, part: int = 0, like: Tensor | None = None) -> Tensor:
    """Return Gaussian noise in the shape and dtype of x [n, ...], with mean and variance of the data ("Gaussian").

    Both are single numbers, over all pixels of x, or of `like` (training images, where x are test images). `part`
    numbers the data, as in `shuffle_each`. BadInput for whole-number pixels, and as in `shuffle_pixels`.
    """
    _pixels(x, len(x))
    source = x if like is None else like
    _pixels(source, len(source))
    if not (x.is_floating_point() and source.is_floating_point()):
        raise BadInput.of("type of x", str(x.dtype), "floating-point pixels", "scale the images to [0, 1] first")
    moments = source.double()
    mean, spread = float(moments.mean()), float(moments.std(correction=0))
    noise = rng(seed, "noise", _GAUSSIAN, part).standard_normal(tuple(x.shape))
    return torch.from_numpy(mean + spread * noise).to(x)


def dilute_labels(y: Tensor | np.ndarray, alpha: int, classes: int, seed: int) -> Diluted:
    """Return each clean example and exactly `alpha` copies of it with labels uniform over all classes: (1 + alpha)·n.

    Rolnick et al. 2017, section 3.1 (uniform label noise). The clean examples come first, then all first copies, and
    so on: with a smaller alpha one gets the beginning of a larger one. Raises BadInput for an alpha that is no whole
    number >= 0, no labels, fewer than 2 classes or labels outside [0, classes).
    """
    labels = _labels(y, classes)
    copies, n = whole("alpha", alpha, 0, "it counts the noisy labels for each clean one"), len(labels)
    fresh = torch.from_numpy(rng(seed, "noise", _COPIES).integers(0, classes, copies * n)).to(labels.device)
    told = torch.cat([labels, fresh])
    rows = torch.arange(n, device=labels.device).repeat(1 + copies)
    noisy = torch.arange(len(told), device=labels.device) >= n
    return Diluted(rows, told, noisy, balance(labels, told, classes))


def balance(before: Tensor | np.ndarray, after: Tensor | np.ndarray, classes: int) -> Balance:
    """Return the number of examples of each class before and after; the two may differ in length, BadInput if empty."""
    counted = [_labels(part, classes).cpu().bincount(minlength=classes) for part in (before, after)]
    return Balance(*counted)


def _labels(y: Tensor | np.ndarray, classes: int) -> Tensor:
    """Return labels as int64 [n]; BadInput for none, and for what `corrupt_labels` refuses."""
    labels = torch.as_tensor(unmasked(y, "y"))
    if not labels.numel():
        raise BadInput.of("number of labels", 0, ">= 1", "look whether the data are there")
    return corrupt_labels(labels, 0, classes, 0)[0]  # which checks them, and at rate 0 changes none


def _share(rate: float) -> float:
    if not 0 <= rate <= 1:  # also refuses NaN
        raise BadInput.of("rate", rate, "0 <= rate <= 1", "pass the share of labels to draw anew")
    return rate


def _pixels(x: Tensor, count: int) -> None:
    """Raise BadInput unless x are `count` images, at least one, of finite pixels."""
    if not isinstance(x, Tensor):
        raise BadInput.of("type of x", type(x).__name__, "a tensor [n, ...]", "see torch.from_numpy")
    if strided(x, "x").dim() < 2 or len(x) != count or not x.numel():
        raise BadInput.of("shape of x", tuple(x.shape), f"({count or 'n'}, ...), none of them 0", "one image a label")
    if not bool(x.isfinite().all()):
        raise BadInput.of("x", "NaN or infinity among the pixels", "finite pixels", "leave these images out")


def _as_pixels(x: Tensor) -> Tensor:
    """Return the images as [n, values of a pixel, pixels]."""
    _pixels(x, len(x))
    return x.reshape(len(x), x.shape[1] if x.dim() == 4 else 1, -1)
