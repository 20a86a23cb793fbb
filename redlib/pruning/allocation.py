"""How many weights each layer keeps, and which: exact counts, one tie rule, nested masks, no silently emptied layer.

Scores are {name: [R, *shape]} and the larger is kept; of equal scores the one with the lower flat index is kept.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeVar

import torch
from torch import Tensor, nn

from redlib.data.numbers import strided, whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.masks import Tensors, apply, check_own, empty_layers, remove, weights_of

Shapes = Mapping[str, Sequence[int]]
Pruned = TypeVar("Pruned", StackedMLP, nn.Module)


class EmptyLayer(BadInput):
    """Pruning would leave a layer without a single weight: no signal could pass."""


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer without the replicate axis."""
    return {name: tuple(values.shape[1:]) for name, values in weights.items()}


def layer_counts(shapes: Shapes, density: float) -> dict[str, int]:
    """Return the weights each layer keeps when all keep the same fraction: round(density * n), half to even."""
    check_density(density)
    return {name: round(density * prod(shape)) for name, shape in shapes.items()}


def round_counts(
    shapes: Shapes, rounds: int, rate: float = 0.2, last: float = 0.1, linear: float | None = None
) -> dict[str, int]:
    """Return the weights each layer keeps after `rounds` rounds: round(n (1 - rate)^rounds), the last layer at `last`.

    `linear` is the rate of hidden linear layers beside convolutions (None: `rate`). LeNet's protocol cuts 20% a round,
    and 10% of the output layer; those of conv nets differ by kind of layer (Frankle & Carbin 2019, fig. 2).
    """
    hidden = rate if linear is None else linear
    rounds = whole("rounds", rounds, 0, "A rate is the fraction CUT a round.")
    if not shapes or not all(0 <= share < 1 for share in (rate, last, hidden)):
        found = len(shapes), rate, last, linear
        allowed = "at least one layer, rates in [0, 1)"
        raise BadInput.of("layers, rates", found, allowed, "A rate is the fraction CUT a round.")
    rates = {name: hidden if len(shape) == 2 else rate for name, shape in shapes.items()}
    rates[list(shapes)[-1]] = last
    return {name: round(prod(shape) * (1 - rates[name]) ** rounds) for name, shape in shapes.items()}


def erk_counts(shapes: Shapes, density: float) -> dict[str, int]:
    """Return counts whose layer densities follow the Erdős–Rényi kernel: proportional to sum(shape) / prod(shape).

    A layer that would keep more than all its weights keeps all, and the rest share what is left (Mocanu et al.
    2018; Evci et al. 2020, section 3).
    """
    check_density(density)
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    full: set[str] = set()
    while True:
        left = density * sum(sizes.values()) - sum(sizes[name] for name in full)
        scale = left / sum(sum(shapes[name]) for name in shapes if name not in full) if len(full) < len(sizes) else 0.0
        over = {name for name in shapes if name not in full and scale * sum(shapes[name]) > sizes[name]}
        if not over:
            return {name: sizes[name] if name in full else round(scale * sum(shapes[name])) for name in shapes}
        full |= over


def keep(
    scores: Mapping[str, Tensor], counts: Mapping[str, int], within: Mapping[str, Tensor] | None = None
) -> Tensors:
    """Return masks that keep exactly counts[name] weights of each layer and replicate, the best by score.

    `within` are earlier masks: what they cut stays cut, as does what scores -inf where there are none. BadInput for
    more weights than there are left, other shapes, and scores without an order (NaN, complex), EmptyLayer for none.
    """
    _check_layers(scores, counts, within)
    masks = {}
    for name, values in scores.items():
        flat, available = _ranked(values, None if within is None else within[name])
        count = _count(name, counts[name])
        if count > available:
            raise BadInput.of(f"weights kept in {name}", count, f"<= {available} left", "Masks are nested.")
        masks[name] = _best(flat, count).view(values.shape)
    return masks


def keep_global(
    scores: Mapping[str, Tensor], total: int, within: Mapping[str, Tensor] | None = None, allow_empty: bool = False
) -> Tensors:
    """Return masks that keep the `total` best weights of each replicate in one ranking over all layers.

    Raises EmptyLayer where a layer loses its last weight, unless `allow_empty` (to measure layer collapse), and
    BadInput as `keep` does.
    """
    _check_layers(scores, scores, within)
    ranked = [_ranked(values, None if within is None else within[name]) for name, values in scores.items()]
    available = int((torch.cat([flat for flat, _ in ranked], 1) > -torch.inf).sum(1).min())
    if not 1 <= total <= available:
        raise BadInput.of("weights kept", total, f"1 <= total <= {available}", "Masks are nested; keep at least one.")
    total = whole("weights kept", total, 1, "Round it.")
    if len({flat.dtype for flat, _ in ranked}) > 1:  # float32 beside whole numbers would round these
        ranked = [(flat.double(), left) for flat, left in ranked]
    best = _best(torch.cat([flat for flat, _ in ranked], 1), total)
    parts = best.split([flat.shape[1] for flat, _ in ranked], 1)
    masks = {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts, strict=True)}
    if not allow_empty and bool(empty_layers(masks).any()):
        lost = [name for name, mask in masks.items() if not bool(mask.flatten(1).any(1).all())]
        remedy = "Keep more, prune layer by layer, or pass allow_empty=True to measure the collapse."
        raise EmptyLayer.of("emptied layers", lost, "none", remedy)
    return masks


def shuffled(masks: Mapping[str, Tensor], seeds: Sequence[int], key: int = 0) -> Tensors:
    """Return each layer's mask permuted at random within the layer: same counts, the positions forgotten."""
    found: Tensors = {}
    if sizes := {name: len(mask) for name, mask in masks.items() if len(mask) != len(seeds)}:
        raise BadInput.of("number of seeds", len(seeds), f"one per replicate of {sizes}", "Pass the net's seeds.")
    for layer, (name, mask) in enumerate(masks.items()):
        flat = mask.flatten(1)
        orders = {
            seed: torch.from_numpy(rng(seed, "mask", key, layer).permutation(flat.shape[1])) for seed in set(seeds)
        }
        found[name] = torch.stack(
            [row[orders[seed].to(row.device)] for row, seed in zip(flat, seeds, strict=True)]
        ).view(mask.shape)
    return found


def random_masks(shapes: Shapes, counts: Mapping[str, int], seeds: Sequence[int], key: int = 0) -> Tensors:
    """Return masks that keep counts[name] weights of each layer, drawn uniformly, one per seed; errors as in `keep`."""
    if set(shapes) != set(counts) or not len(seeds):
        allowed = f"{sorted(shapes)} and at least one seed"
        raise BadInput.of("layers of counts, seeds", (sorted(counts), len(seeds)), allowed, "One count per layer.")
    counts = {name: _count(name, counts[name]) for name in shapes}
    first = {name: torch.arange(prod(shape)).view(1, *shape) < counts[name] for name, shape in shapes.items()}
    if over := {name: counts[name] for name, shape in shapes.items() if counts[name] > prod(shape)}:
        raise BadInput.of("weights kept", over, "<= weights of the layer", "Pass counts of these shapes.")
    return shuffled({name: mask.expand(len(seeds), *mask.shape[1:]) for name, mask in first.items()}, seeds, key)


def pruned(net: Pruned, density: float, every_pass: bool = False) -> Pruned:
    """Return a copy of `net` that keeps the largest `density` of each layer's weights, at their values.

    The masks stay in force with `every_pass`, else the cut weights are plain zeros. `net` is a stack or a module.
    BadInput for weights that something else computes, such as weight norm.
    """
    weights = weights_of(net)
    counts = layer_counts(shapes_of(weights), density)
    kept = keep({name: values.abs() for name, values in weights.items()}, counts)
    if not isinstance(net, StackedMLP):
        check_own(net)
    cut = net.clone() if isinstance(net, StackedMLP) else copy.deepcopy(net)
    apply(cut, kept)
    if not every_pass:
        remove(cut)
    return cut


def check_density(density: float) -> None:
    """Raise BadInput where `density`, the fraction of weights kept, is not in (0, 1]."""
    if not 0 < density <= 1:
        raise BadInput.of("density", density, "0 < density <= 1", "Pass the fraction of weights KEPT.")


def _check_layers(
    scores: Mapping[str, Tensor], counts: Mapping[str, object], within: Mapping[str, Tensor] | None
) -> None:
    """Raise BadInput where layers, replicates or shapes of scores, counts and masks differ, or types do not do."""
    if not scores or set(scores) != set(counts):
        raise BadInput.of("layers of counts", sorted(counts), f"at least one, {sorted(scores)}", "One count per layer.")
    shapes = {name: tuple(strided(values, f"scores of {name}").shape) for name, values in scores.items()}
    if odd := [name for name, values in scores.items() if isinstance(values, nn.Parameter) or values.dim() < 2]:
        given = {name: shapes[name] for name in odd}
        raise BadInput.of("scores", given, "[R, *shape], no parameters", "The replicate axis is first: see weights_of.")
    if len({shape[0] for shape in shapes.values()}) > 1 or not next(iter(shapes.values()))[0]:
        raise BadInput.of("shapes of scores", shapes, "one number of replicates, >= 1", "Score all layers of one net.")
    for name in scores if within is not None else ():
        mask = within.get(name)  # type: ignore[union-attr]
        given_mask = None if mask is None else (str(mask.dtype), tuple(mask.shape))
        if mask is None or mask.dtype != torch.bool or tuple(mask.shape) != shapes[name]:
            raise BadInput.of(
                f"mask of {name} in `within`", given_mask, f"bool, {shapes[name]}", "True is kept so far."
            )


def _count(name: str, count: int) -> int:
    """Return the count of a layer as an integer; BadInput for other numbers, EmptyLayer below 1."""
    found = whole(f"weights kept in {name}", count, -sys.maxsize, "Round it.")
    if found < 1:
        raise EmptyLayer.of(f"weights kept in {name}", found, ">= 1", "Keep more, or prune this layer less.")
    return found


def _ranked(values: Tensor, within: Tensor | None) -> tuple[Tensor, int]:
    """Return (scores [R, n] with -inf for what is cut already, how many the poorest replicate has left)."""
    flat = values.flatten(1).clone()
    if not flat.is_floating_point():  # truth values and whole numbers, none of which is infinite
        flat = flat.double() if within is not None or flat.dtype == torch.bool else flat
    if bool(torch.isnan(flat).any()):
        raise BadInput.of("scores", "NaN", "numbers", "A criterion divided by zero, or training diverged.")
    if within is None:
        return flat, int((flat > -torch.inf).sum(1).min())
    cut = ~within.flatten(1)
    lowest = torch.finfo(flat.dtype).min  # what is left ranks before what is cut, also where it scores -inf
    return flat.clamp_(min=lowest).masked_fill_(cut, -torch.inf), int((~cut).sum(1).min())


def _best(flat: Tensor, count: int) -> Tensor:
    # The count-th largest by quickselect, then the tie rule: of what equals it, the lower indices. Sorting takes
    # ten times as long, and SynFlow selects a hundred times.
    bar = flat.kthvalue(flat.shape[1] - count + 1, dim=1, keepdim=True).values
    above, level = flat > bar, flat == bar
    return above | (level & (level.cumsum(1) <= count - above.sum(1, keepdim=True)))
