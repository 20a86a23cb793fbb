"""What trained nets decide on images that are blurred, changed in other ways, or moved along signs.

Nets are modules that take images [n, C, H, W], one a seed; decisions are class indices. Standard deviations of a blur
are told in pixels of images 28 pixels wide, as in the source: 1.3 means 1.3/28 of the width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from redlib.data.blur import blur
from redlib.data.streams import rng
from redlib.data.transforms import TRANSFORMS, change_norms, matched_strengths
from redlib.measures.robustness import gradient_sign

WIDTH = 28  # pixels, of the images whose blur a sigma is told for
BATCH = 500  # images that are blurred, or go through a net, at a time
MATCHED = 300  # images on which other changes are made as large as a blur
RANDOM_SIGN = 60  # key of the stream "eval"
Nets = Sequence[nn.Module]


@torch.no_grad()
def decisions(net: nn.Module, x: Tensor) -> Tensor:
    """Return the classes that a net takes images x [n, C, H, W] for, int64 [n] on the CPU."""
    net.eval()
    device = next(net.parameters()).device
    return torch.cat([net(part.to(device)).argmax(1).cpu() for part in x.split(BATCH)])


def pixels(sigmas: Sequence[float], width: int) -> list[float]:
    """Return standard deviations told for images 28 pixels wide, in pixels of images of another width."""
    return [sigma * width / WIDTH for sigma in sigmas]


def blurred(nets: Nets, x: Tensor, sigmas: Sequence[float]) -> np.ndarray:
    """Return what nets decide on images x [n, C, H, W] at every blur: int8 [S, K, n]."""
    parts = []
    for part in x.split(BATCH):
        images = blur(part, pixels(sigmas, x.shape[-1]))
        parts.append(torch.stack([decided(net, images) for net in nets]))
    return torch.cat(parts, 2).numpy()


def decided(net: nn.Module, images: Tensor) -> Tensor:
    """Return what a net takes images [K, n, C, H, W] for, int8 [K, n]."""
    return decisions(net, images.flatten(0, 1)).view(images.shape[:2]).to(torch.int8)


def changed(
    net: nn.Module, name: str, x: Tensor, labels: Tensor, mislabelled: Tensor, sizes: Sequence[float], seed: int
) -> np.ndarray:
    """Return the shares of mislabelled and of other images that a change makes a net decide otherwise on, [2, J].

    The change `name` is as large on average as the blurs `sizes` [J]; `labels` [n] are the decisions without it. NaN
    where a group has no image.
    """
    moved = decided(net, variants(net, name, x, sizes, seed)) != labels
    return torch.stack([moved[:, group].double().mean(1) for group in (mislabelled, ~mislabelled)]).numpy()


def watched(known: Tensor, mislabelled: Tensor, clean: int) -> Tensor:
    """Return the rows of the images `known` [n] that are `mislabelled` [n], and of the first `clean` known others."""
    others = known & ~mislabelled
    return (known & mislabelled | others & (others.cumsum(0) <= clean)).nonzero()[:, 0]


def variants(net: nn.Module, name: str, x: Tensor, sizes: Sequence[float], seed: int) -> Tensor:
    """Return images x [n, C, H, W] changed as much on average as by the blurs `sizes` [J]: [J, n, C, H, W].

    The change "gradient" follows the sign of the gradient of the margin of the net's own decision.
    """
    few, direction = x[:MATCHED], along_gradient(net, x) if name == "gradient" else None
    ahead = None if direction is None else direction[:MATCHED]
    norms = change_norms(few, blur(few, pixels(sizes, x.shape[-1])))
    return TRANSFORMS[name](x, matched_strengths(name, few, norms, seed, ahead), seed=seed, direction=direction)


def along_gradient(net: nn.Module, x: Tensor) -> Tensor:
    """Return the signs of the direction that fastest takes images x from the net's decision, shaped as x.

    Where a net is constant around an image (all its units dead) every direction is as good, and it is that of ones.
    """
    device = next(net.parameters()).device
    pairs = ((part.to(device), decisions(net, part).to(device)) for part in x.split(BATCH))
    signs = torch.cat([gradient_sign(net.eval(), *pair, "margin").cpu() for pair in pairs])
    return torch.where(signs.flatten(1).any(1).view(-1, 1, 1, 1), signs, torch.ones_like(signs))


def flips(net: nn.Module, x: Tensor, epsilons: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of images x whose decision steps of these lengths change [E]: along the gradient, by chance.

    Both go along signs, the lengths are those of every pixel's change; grey values are not clipped.
    """
    before = decisions(net, x)
    chance = torch.from_numpy(rng(seed, "eval", RANDOM_SIGN).choice([-1.0, 1.0], x.shape)).to(x)
    ahead, aside = (
        np.array([float((decisions(net, x + epsilon * way) != before).double().mean()) for epsilon in epsilons])
        for way in (along_gradient(net, x), chance)
    )
    return ahead, aside


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation over pixels of each image of a with its counterpart in b, both [n, ...]: [n]."""
    first, second = ((x := images.flatten(1)) - x.mean(1, keepdim=True) for images in (a, b))
    return torch.cosine_similarity(first, second)
