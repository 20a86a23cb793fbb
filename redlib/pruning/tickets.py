"""Lottery tickets and their control arms: iterative pruning with rewinding, and all arms as one stack of nets.

An arm is three explicit choices: what the kept weights start from, which mask, and what becomes of the cut weights.
All arms of a replicate share its seed, so data split and order of examples are paired.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.initialisers import Initialiser
from redlib.pruning.allocation import Shapes, keep, keep_global, round_counts, shapes_of, shuffled
from redlib.pruning.criteria import Context, score
from redlib.pruning.masks import Cut as CutTo
from redlib.pruning.masks import Net, Tensors, apply, check_masks, concat, dense, modules_of, weights_of

REINIT = 100_000  # draw k of fresh weights of a replicate is the initial net of seed + k * REINIT
WEIGHTS = ("rewind", "reinit", "shuffle", "signed_constant", "keep_sign", "noise", "trained")
MASKS = ("ticket", "shuffled", "dense")
RANKINGS = ("layers", "net", "convolutions")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Arm:
    """What a sparse net is trained from: its kept weights, its mask, and what becomes of the cut weights.

    weights: rewind (the given start), reinit (fresh draw), shuffle (the start's kept values permuted within each
    layer), signed_constant (the layer's standard deviation with the start's signs), keep_sign (fresh sizes, the
    start's signs), noise (start plus `noise` standard deviations of the layer), trained (as training left them).
    mask: ticket, shuffled (permuted within each layer: equal counts) or dense. cut: zero or freeze.
    """

    weights: str = "rewind"
    mask: str = "ticket"
    cut: CutTo = "zero"
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS or self.mask not in MASKS or self.cut not in ("zero", "freeze"):
            raise BadInput.of("arm", self, f"weights in {WEIGHTS}, mask in {MASKS}", "See Arm.")


ARMS: dict[str, Arm] = {
    "ticket": Arm(),
    "reinit": Arm("reinit"),
    "shuffled": Arm(mask="shuffled"),
    "random": Arm("reinit", "shuffled"),
    "dense": Arm(mask="dense"),
    "reshuffled": Arm("shuffle"),
    "keep_sign": Arm("keep_sign"),
    "signed_constant": Arm("signed_constant"),
    "frozen": Arm(cut="freeze"),
    "finetuned": Arm("trained"),
    "noise_half": Arm("noise", noise=0.5),
    "noise_one": Arm("noise", noise=1.0),
    "noise_three": Arm("noise", noise=3.0),
}


def arm_named(name: str) -> Arm:
    """Return the arm called `name`; BadInput lists the known ones."""
    if name not in ARMS:
        raise BadInput.of("arm", name, f"one of {sorted(ARMS)}", "Name one of these, or pass an Arm.")
    return ARMS[name]


def prepare(
    arm: Arm,
    start: StackedMLP,
    masks: Tensors,
    init: str | Initialiser = "glorot",
    trained: StackedMLP | None = None,
    key: int = 0,
) -> StackedMLP:
    """Return a copy of `start` made ready to train as `arm`: weights and biases set, mask applied.

    `init` draws fresh weights, `trained` is what the arm "finetuned" keeps, `key` separates random draws (a
    density level). Fresh weights come with fresh biases.
    """
    check_masks(masks, weights_of(start))
    if arm.weights == "trained" and trained is None:
        raise BadInput.of("trained", None, "the trained net", "Pass trained=, or take another arm.")
    if arm.mask != "ticket":
        masks = dense(masks) if arm.mask == "dense" else shuffled(masks, start.seeds, key)
    net = _weights(arm, start, masks, init, trained, key)
    apply(net, masks, arm.cut)
    return net


def stack(nets: Sequence[StackedMLP]) -> StackedMLP:
    """Return all replicates of nets of one shape as one stack, in order; their masks come along."""
    first = nets[0]
    if any((net.sizes, net.activation) != (first.sizes, first.activation) for net in nets):
        raise BadInput.of("shapes of the nets", [net.sizes for net in nets], "one shape", "Stack nets of one shape.")
    seeds = [seed for net in nets for seed in net.seeds]
    flat = torch.cat([block.flatten() for group in zip(*(net.blocks for net in nets), strict=True) for block in group])
    masks = concat([_masks(net) for net in nets])
    return StackedMLP(first.sizes, seeds, flat, first.activation, list(masks.values()))


def stacked_arms(
    start: StackedMLP,
    levels: Mapping[int, Tensors],
    arms: Sequence[str | Arm],
    init: str | Initialiser = "glorot",
    trained: Mapping[int, StackedMLP] | None = None,
) -> StackedMLP:
    """Return arms x levels x replicates as one stack (in this order of axes), ready for one call of `fit`.

    `levels` holds the ticket's masks by pruning round, `trained` the nets they were cut from, where an arm needs it.
    """
    nets = [
        prepare(arm_named(arm) if isinstance(arm, str) else arm, start, masks, init, (trained or {}).get(level), level)
        for arm in arms
        for level, masks in levels.items()
    ]
    return stack(nets)


@dataclass(frozen=True)
class Cut:
    """The policy of a pruning chain: how much each round cuts, and how weights are ranked.

    rate: share of the weights cut each round; last: the same of the output layer; linear: of hidden linear layers in
    nets with convolutions (None: rate). ranking: "layers" (each by itself), "net" (one list, which may empty a layer:
    studies count such collapses), or "convolutions" (one list of all convolutions, the other layers by themselves).
    """

    rate: float = 0.2
    last: float = 0.1
    linear: float | None = None
    ranking: str = "layers"
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        rates = self.rate, self.last, self.linear or 0.0
        if not all(0 <= rate < 1 for rate in rates) or self.ranking not in RANKINGS:
            allowed = f"rates in [0, 1), ranking in {RANKINGS}"
            raise BadInput.of("cut", self, allowed, "A rate is the fraction CUT a round.")

    def counts(self, shapes: Shapes, rounds: int) -> dict[str, int]:
        """Return how many weights each layer keeps after so many rounds (`allocation.round_counts`)."""
        return round_counts(shapes, rounds, self.rate, self.last, self.linear)

    def masks(self, trained: Net, initial: Net, within: Tensors, rounds: int, seeds: Sequence[int]) -> Tensors:
        """Return the masks after so many rounds: of what `within` keeps, the best of the trained weights."""
        context = Context(initial=weights_of(initial), final=weights_of(trained), masks=within, seeds=tuple(seeds))
        scores = score(self.criterion, context)
        counts = self.counts(shapes_of(scores), rounds)
        if self.ranking == "net":
            return keep_global(scores, sum(counts.values()), within, allow_empty=True)
        pooled = [n for n, values in scores.items() if self.ranking == "convolutions" and values.dim() > 3]
        alone = [name for name in scores if name not in pooled]
        masks = keep(_chosen(scores, alone), _chosen(counts, alone), _chosen(within, alone))
        if pooled:
            total = sum(counts[name] for name in pooled)
            masks |= keep_global(_chosen(scores, pooled), total, _chosen(within, pooled))
        return {name: masks[name] for name in scores}


def find_tickets(
    initial: Net,
    train: Callable[[Any], object],
    rounds: int,
    cut: Cut | None = None,
    rewound: Net | None = None,
) -> list[Tensors]:
    """Return the masks of each round, the dense one first: train, cut, rewind, repeat (Frankle & Carbin 2019).

    `initial` is a stack of MLPs, a module, or a list of modules, one per replicate; `train` trains such a net in place
    (a call of `fit`). `cut` is the policy (default: 20% a round, 10% of the output layer). `rewound` is what the kept
    weights go back to (default: the initial net; a net of an early step gives late resetting, Frankle et al. 2019).
    Raises EmptyLayer before a layer would lose its last weight.
    """
    start, policy = rewound or initial, cut or Cut()
    masks = [dense(weights_of(initial))]
    seeds = initial.seeds if isinstance(initial, StackedMLP) else range(len(modules_of(initial)))
    for done in range(rounds):
        net = start.clone() if isinstance(start, StackedMLP) else copy.deepcopy(start)
        apply(net, masks[-1])
        train(net)
        masks.append(policy.masks(net, initial, masks[-1], done + 1, seeds))
    return masks


def survival(masks: Sequence[Tensors]) -> Tensors:
    """Return the last level at which each weight is kept, int8 [R, *shape]: nested masks in one byte a weight."""
    return {name: torch.stack([m[name] for m in masks]).sum(0).to(torch.int8) - 1 for name in masks[0]}


def masks_at(survives: Mapping[str, Tensor], level: int) -> Tensors:
    """Return the masks of one level from what `survival` returned."""
    return {name: last >= level for name, last in survives.items()}


def reseeded(net: StackedMLP, copies: int) -> StackedMLP:
    """Return a copy that meets the examples in other orders: seeds moved by `copies` * REINIT, weights the same."""
    return StackedMLP(
        net.sizes, [seed + copies * REINIT for seed in net.seeds], net.flat.clone(), net.activation, net.masks
    )


def fresh(net: StackedMLP, init: str | Initialiser, draw: int = 1) -> StackedMLP:
    """Return another initial net of each replicate's distribution (draw 0 is the initial net itself)."""
    drawn = StackedMLP.create(net.sizes, [seed + draw * REINIT for seed in net.seeds], net.activation, init)
    return StackedMLP(net.sizes, net.seeds, drawn.flat.to(net.flat), net.activation)


def shapes(net: StackedMLP) -> Shapes:
    """Return the shape [out, in] of each layer by name."""
    return shapes_of(weights_of(net))


def _weights(
    arm: Arm, start: StackedMLP, masks: Tensors, init: str | Initialiser, trained: StackedMLP | None, key: int
) -> StackedMLP:
    if arm.weights == "reinit":
        return fresh(start, init, 1 + key)
    net = (trained if arm.weights == "trained" and trained is not None else start).clone()
    net.masks = None
    for layer, (weights, mask) in enumerate(zip(net.weights, masks.values(), strict=True)):
        if arm.weights == "shuffle":
            _shuffle(weights, mask, net.seeds, key, layer)
        elif arm.weights == "signed_constant":
            weights.copy_(weights.sign() * _spread(start.weights[layer]))
        elif arm.weights == "keep_sign":
            weights.copy_(weights.sign() * fresh(start, init, 1 + key).weights[layer].abs())
        elif arm.weights == "noise":
            weights.add_(arm.noise * _spread(weights) * _noise(weights, net.seeds, key, layer))
    return net


def _shuffle(weights: Tensor, mask: Tensor, seeds: Sequence[int], key: int, layer: int) -> None:
    for r, seed in enumerate(seeds):
        kept = weights[r][mask[r]]
        order = torch.from_numpy(rng(seed, "noise", key, layer).permutation(len(kept))).to(kept.device)
        weights[r][mask[r]] = kept[order]


def _spread(weights: Tensor) -> Tensor:
    return weights.flatten(1).std(1, correction=0)[:, None, None]


def _noise(weights: Tensor, seeds: Sequence[int], key: int, layer: int) -> Tensor:
    draws = [rng(seed, "noise", key, layer).standard_normal(tuple(weights.shape[1:])) for seed in seeds]
    return torch.stack([torch.from_numpy(draw) for draw in draws]).to(weights)


def _chosen(tensors: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    return {name: tensors[name] for name in names}


def _masks(net: StackedMLP) -> Tensors:
    full = dense(weights_of(net))
    return full if net.masks is None else {n: full[n] if m is None else m for n, m in zip(full, net.masks, strict=True)}
