"""What changes of its input make a net decide otherwise: steps along a direction, attacks, blur and other changes.

Where images are blurred, nets are modules that take images [n, C, H, W], one a replicate, decisions are class indices,
and standard deviations of a blur are told in pixels of images 28 pixels wide: 1.3 means 1.3/28 of the width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.blur import blur
from redlib.data.numbers import strided, whole, whole_labels
from redlib.data.streams import rng
from redlib.data.transforms import TRANSFORMS, change_norms, matched_strengths
from redlib.errors import BadInput
from redlib.nets.modules import modules_of

Logits = Callable[[Tensor], Tensor]

WIDTH = 28  # pixels, of the images whose blur a sigma is told for
BATCH = 500  # images that are blurred, or go through a net, at a time
MATCHED = 300  # images on which other changes are made as large as a blur
RANDOM_SIGN = 60  # key of the stream "eval", so that no other draw of a seed repeats these
REACH = 2.5  # steps of an attack together over epsilon: they reach the edge from anywhere (Madry et al. 2018)


def _cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, y, reduction="sum")


def logit_gap(outputs: Tensor, y: Tensor) -> Tensor:
    """Return [...] how far the logit of class y [...] lies above the largest other one; outputs [..., K].

    BadInput for labels of another shape, or that are no output, and for a single class, above which there is no other.
    """
    if outputs.shape[-1] < 2:
        raise BadInput.of("number of classes", outputs.shape[-1], ">= 2", "A gap is between two of them.")
    if y.shape != outputs.shape[:-1]:
        raise BadInput.of("shape of the labels", tuple(y.shape), str(tuple(outputs.shape[:-1])), "One per output row.")
    _check_range(y, outputs)
    own = functional.one_hot(whole_labels(y), outputs.shape[-1]).bool()
    return outputs[own].view(y.shape) - outputs.masked_fill(own, -torch.inf).amax(-1)


def gap_spread(logits: Tensor, y: Tensor) -> Tensor:
    """Return (95th - 5th percentile) / median of the examples' `logit_gap`, float64 [R]; logits [R, n, K]."""
    low, middle, high = (logit_gap(logits, y).double().quantile(q, dim=1) for q in (0.05, 0.5, 0.95))
    return (high - low) / middle


def _margin(outputs: Tensor, y: Tensor) -> Tensor:
    return -logit_gap(outputs, y).sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": _cross_entropy, "margin": _margin}


def gradient_sign(logits: Logits, x: Tensor, y: Tensor, loss: str = "cross_entropy") -> Tensor:
    """Return the direction of fast gradient sign attacks [n, ...]: sign of d loss / dx.

    Source: Goodfellow, Shlens & Szegedy 2015, section 4, with cross-entropy. Its gradient rounds to 0 where a net is
    certain, and an attack without a direction looks like robustness; `loss="margin"`, the largest other logit minus
    that of y (Carlini & Wagner 2017), has one always. Raises BadInput for another loss, labels of another shape or that
    are no output, and where the gradient is NaN, which has no sign.
    """
    if loss not in LOSSES:
        raise BadInput.of("loss", loss, f"one of {list(LOSSES)}", "Take margin where nets are certain.")
    _check_labels(x, y)
    moving = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        outputs = logits(moving)
        _check_range(y, outputs)
        (gradient,) = torch.autograd.grad(LOSSES[loss](outputs, y.long()), moving)
    if bool(gradient.isnan().any()):
        remedy = "Look for NaN in the weights and in the inputs."
        raise BadInput.of("gradient of the loss", "NaN", "numbers", remedy)
    return gradient.sign()


@torch.no_grad()
def smallest_step(
    logits: Logits, x: Tensor, y: Tensor, direction: Tensor, steps: Sequence[float], halvings: int = 0
) -> Tensor:
    """Return for each example [n] the smallest of the rising `steps` after which it is no longer classified as y.

    0 where it is wrong to begin with, infinity where no step is enough. With `halvings` the way from the step before it
    is halved so often, so that what is returned is too long by 2^-halvings of that way at most. With the gradient sign
    as `direction` the unit is that of one input (the largest change of any of them). `logits` maps [n, ...] to [n, K].
    Raises BadInput for no steps, or steps that do not rise above 0, for negative halvings, labels of another shape than
    [n] or that are no output, a direction of another shape than x, and for NaN.
    """
    if not len(steps) or list(steps) != sorted(set(steps)) or steps[0] <= 0:
        raise BadInput.of("steps", list(steps), "rising numbers > 0", "Start with a small one.")
    halvings = whole("halvings", halvings, 0, "0 returns one of the steps.")
    _check_labels(x, y)
    if direction.shape != x.shape:
        raise BadInput.of(
            "shape of direction", tuple(direction.shape), str(tuple(x.shape)), "Expand it to every input."
        )
    found = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for step in (*reversed(steps), 0.0):
        outputs = logits(x + step * direction)
        _check_range(y, outputs)
        found[(_one_each(outputs) != y).cpu()] = step
    return _halved(logits, x, y, direction, torch.tensor([0.0, *steps], dtype=found.dtype), found, halvings)


def _halved(
    logits: Logits, x: Tensor, y: Tensor, direction: Tensor, grid: Tensor, found: Tensor, halvings: int
) -> Tensor:
    """Return steps [n] of the grid halved towards the one before it: the half in which the decision changes is kept."""
    open_ = (found > 0) & found.isfinite()
    low, high = grid[(torch.searchsorted(grid, found) - 1).clamp(min=0)].where(open_, found.new_zeros(())), found
    for _ in range(halvings):
        middle = ((low + high) / 2).where(open_, found.new_zeros(()))
        outputs = logits(x + middle.to(x).view(-1, *[1] * (x.dim() - 1)) * direction)
        wrong = (_one_each(outputs) != y).cpu() & open_
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    return high


def margins(nets: Sequence[nn.Module], x: Tensor, y: Tensor, steps: Sequence[float], halvings: int = 0) -> Tensor:
    """Return for each net and example, [R, n], the `smallest_step` along the sign of the gradient of its margin."""
    ways = ((net, gradient_sign(net.eval(), x, y, "margin")) for net in modules_of(nets))
    return torch.stack([smallest_step(net, x, y, way, steps, halvings) for net, way in ways])


def attacked(
    net: nn.Module, x: Tensor, y: Tensor, epsilon: float, steps: int, source: np.random.Generator
) -> Tensor:  # fmt: skip
    """Return images x [B, ...] changed by up to epsilon so that a net errs more on y [B] (Madry et al. 2018).

    Projected gradient descent of `steps` steps along the sign of the gradient, from a random start that `source` draws;
    grey values stay in [0, 1]. The net is put into evaluation mode: an attack must not move BatchNorm's statistics.
    BadInput for images outside of [0, 1], a negative epsilon, and no step.
    """
    steps = whole("steps", steps, 1, "Madry et al. take 7 or more.")
    if not 0 <= epsilon < np.inf:
        raise BadInput.of("epsilon", epsilon, "0 <= epsilon < infinity", "It is the largest change of a grey value.")
    darkest, brightest = float(x.min()), float(x.max())
    if not 0 <= darkest <= brightest <= 1:  # clamped to [0, 1] they would move by more than epsilon
        found = f"{darkest:g} ... {brightest:g}"
        raise BadInput.of("grey values of x", found, "0 ... 1", "Attack images that are not standardised.")
    net.eval()
    low, high = (x - epsilon).clamp(min=0), (x + epsilon).clamp(max=1)
    moved = low + (high - low) * torch.from_numpy(source.random(x.shape, np.float32)).to(x)
    for _ in range(steps):
        step = REACH * epsilon / steps
        moved = (moved + step * gradient_sign(net, moved, y)).clamp(low, high)
    return moved


@torch.no_grad()
def decisions(net: nn.Module, x: Tensor) -> Tensor:
    """Return the classes that a net takes images x [n, C, H, W] for, int64 [n] on the CPU; BadInput for NaN."""
    net.eval()
    device = next((values.device for values in net.parameters()), x.device)
    return torch.cat([_one_each(net(part.to(device))).cpu() for part in x.split(BATCH)])


def pixels(sigmas: Sequence[float], width: int) -> list[float]:
    """Return standard deviations told for images 28 pixels wide, in pixels of images of another width."""
    return [sigma * width / WIDTH for sigma in sigmas]


def blurred_decisions(nets: Sequence[nn.Module], x: Tensor, sigmas: Sequence[float]) -> np.ndarray:
    """Return what nets decide on images x [n, C, H, W] at every blur: int8 [R, K, n], int64 where it takes more."""
    parts, nets = [], modules_of(nets)
    for part in x.split(BATCH):
        images = blur(part, pixels(sigmas, x.shape[-1]))
        parts.append(torch.stack([_decided(net, images) for net in nets]))
    return torch.cat(parts, 2).numpy()


def changed_shares(
    net: nn.Module, name: str, x: Tensor, labels: Tensor, group: Tensor, sizes: Sequence[float], seed: int
) -> np.ndarray:
    """Return the shares of images in a group (bool [n]) and of the others that a change moves, [2, J].

    Moved is what the net decides otherwise on than `labels` [n], the decisions without the change `name`, which is as
    large on average as the blurs `sizes` [J]. NaN where the group, or the rest, has no image. BadInput for others.
    """
    if labels.shape != x.shape[:1] or group.shape != x.shape[:1] or group.dtype != torch.bool:
        given = (tuple(labels.shape), str(group.dtype), tuple(group.shape))
        raise BadInput.of("labels and group", given, f"[{len(x)}] and bool [{len(x)}]", "One of each per image.")
    moved = _decided(net, matched_variants(net, name, x, sizes, seed)) != labels
    return torch.stack([moved[:, part].double().mean(1) for part in (group, ~group)]).numpy()


def matched_variants(net: nn.Module, name: str, x: Tensor, sizes: Sequence[float], seed: int) -> Tensor:
    """Return images x [n, C, H, W] changed as much on average as by the blurs `sizes` [J]: [J, n, C, H, W].

    `name` is one of `transforms.TRANSFORMS`; "gradient" goes `along_gradient` of the net.
    """
    few, direction = x[:MATCHED], along_gradient(net, x) if name == "gradient" else None
    ahead = None if direction is None else direction[:MATCHED]
    norms = change_norms(few, blur(few, pixels(sizes, x.shape[-1])))
    return TRANSFORMS[name](x, matched_strengths(name, few, norms, seed, ahead), seed=seed, direction=direction)


def along_gradient(net: nn.Module, x: Tensor) -> Tensor:
    """Return the signs of the direction that fastest takes images x from the net's decision, shaped as x.

    That of the margin of the decision. Where a net is constant around an image (all its units dead) every direction is
    as good, and it is that of ones.
    """
    device = next(net.parameters()).device
    pairs = ((part.to(device), decisions(net, part).to(device)) for part in x.split(BATCH))
    signs = torch.cat([gradient_sign(net.eval(), *pair, "margin").cpu() for pair in pairs])
    return torch.where(signs.flatten(1).any(1).view(-1, 1, 1, 1), signs, torch.ones_like(signs))


def flips(net: nn.Module, x: Tensor, epsilons: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of images x whose decision steps of these lengths change [E]: along the gradient, by chance.

    Both go along signs, the lengths are those of every pixel's change; grey values are not clipped. The random signs
    are from the stream "eval" of the seed.
    """
    before = decisions(net, x)
    chance = torch.from_numpy(rng(seed, "eval", RANDOM_SIGN).choice([-1.0, 1.0], x.shape)).to(x)
    ahead, aside = (
        np.array([float((decisions(net, x + epsilon * way) != before).double().mean()) for epsilon in epsilons])
        for way in (along_gradient(net, x), chance)
    )
    return ahead, aside


def image_correlations(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation over pixels of each image of a with its counterpart in b, both [n, ...]: [n].

    0 where one of the two is constant. BadInput for unequal shapes, and for whole numbers.
    """
    if a.shape != b.shape or not (a.is_floating_point() and b.is_floating_point()):
        given = f"{a.dtype} {tuple(a.shape)}, {b.dtype} {tuple(b.shape)}"
        raise BadInput.of("images", given, "floats of one shape [n, ...]", "Pass each image's counterpart.")
    first, second = ((x := images.flatten(1)) - x.mean(1, keepdim=True) for images in (a, b))
    return torch.cosine_similarity(first, second)


def _check_range(y: Tensor, outputs: Tensor) -> None:
    """Raise BadInput for labels that none of the outputs [..., K] has: they would count as errors, or as none."""
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < outputs.shape[-1]:
        allowed = f"0 <= label < {outputs.shape[-1]}, the outputs"
        raise BadInput.of("labels", (int(y.min()), int(y.max())), allowed, "Number the classes from 0.")


def _classes(outputs: Tensor) -> Tensor:
    """Return the largest of the outputs [..., K]; BadInput for NaN, of which none is."""
    if bool(outputs.isnan().any()):
        raise BadInput.of("outputs of the net", "NaN", "numbers", "Look for NaN in the weights and in the inputs.")
    return outputs.argmax(-1)


def _one_each(outputs: Tensor) -> Tensor:
    """Return the decisions [n] of outputs [n, K]; BadInput for several outputs per image."""
    if outputs.dim() != 2:
        raise BadInput.of("shape of the outputs", tuple(outputs.shape), "[n, classes]", "One decision per image.")
    return _classes(outputs)


def _check_labels(x: Tensor, y: Tensor) -> None:
    if tuple(y.shape) != (len(x),) or strided(y, "labels").is_floating_point():
        told = f"{y.dtype} {tuple(y.shape)}"
        raise BadInput.of("labels", told, f"whole numbers [{len(x)}], one per input", "Flatten them.")


def _decided(net: nn.Module, images: Tensor) -> Tensor:
    """Return what a net takes images [K, n, C, H, W] for, int8 [K, n], int64 where a class has a larger number."""
    found = decisions(net, images.flatten(0, 1)).view(images.shape[:2])
    return found if found.numel() and int(found.max()) > torch.iinfo(torch.int8).max else found.to(torch.int8)
