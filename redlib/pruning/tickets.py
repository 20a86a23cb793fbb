"""Lottery tickets and their control arms: iterative pruning with rewinding, and all arms as one stack of nets.

An arm is three explicit choices: what the kept weights start from, which mask, and what becomes of the cut weights.
All arms of a replicate share its seed, so data split and order of examples are paired.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.initialisers import Initialiser
from redlib.nets.modules import modules_of
from redlib.pruning.allocation import EmptyLayer, Shapes, keep, keep_global, round_counts, shapes_of, shuffled
from redlib.pruning.criteria import Context, score
from redlib.pruning.masks import Cut as CutTo
from redlib.pruning.masks import (
    Net,
    Tensors,
    apply,
    asked,
    check_fit,
    check_masks,
    concat,
    dense,
    load_weights,
    remove,
    weights_of,
)

REINIT = 100_000  # draw k of fresh weights of a replicate is the initial net of seed + k * REINIT
WEIGHTS = ("rewind", "reinit", "shuffle", "signed_constant", "keep_sign", "noise", "trained")
MASKS = ("ticket", "shuffled", "dense")
RANKINGS = ("layers", "net", "convolutions")
LEVELS = 128  # that `survival` can tell apart in one byte a weight
Modules = nn.Module | Sequence[nn.Module]
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


@overload
def prepare(
    arm: Arm,
    start: StackedMLP,
    masks: Tensors,
    init: str | Initialiser = "glorot",
    trained: StackedMLP | None = None,
    key: int = 0,
) -> StackedMLP:
    """Of stacked replicates: one stack comes back."""
    ...


@overload
def prepare(
    arm: Arm,
    start: Modules,
    masks: Tensors,
    init: Callable[[int], Modules] | str = "glorot",
    trained: Modules | None = None,
    key: int = 0,
    seeds: Sequence[int] | None = None,
) -> list[nn.Module]:
    """Of modules: as many come back, in their order."""
    ...


def prepare(
    arm: Arm,
    start: Net,
    masks: Tensors,
    init: Any = "glorot",
    trained: Any = None,
    key: int = 0,
    seeds: Sequence[int] | None = None,
) -> StackedMLP | list[nn.Module]:
    """Return a copy of `start` made ready to train as `arm`: weights and biases set, mask applied.

    `init` draws fresh weights, `trained` is what the arm "finetuned" keeps, `key` separates random draws (a
    density level). Fresh weights come with fresh biases. Any module, or a list of them, one per replicate, is an arm as
    well, returned as a list: then `init` is a function that returns draw k >= 1 of fresh nets (reinit, random and
    keep_sign need it, since a module does not tell how it was drawn), and `seeds` number the draws of the replicates
    (default: 0, 1, …).
    """
    _check_start(arm, start, masks, trained)
    count = len(next(iter(masks.values())))
    own = isinstance(start, StackedMLP)
    if seeds is not None and (own or len(seeds) != count):
        allowed = "those of the stack" if own else f"{count}, one per replicate"
        raise BadInput.of("seeds", seeds, allowed, "Leave them out.")
    names = start.seeds if isinstance(start, StackedMLP) else seeds or range(count)
    if arm.mask != "ticket":
        masks = dense(masks) if arm.mask == "dense" else shuffled(masks, names, key)
    if isinstance(start, StackedMLP):
        net = _weights(arm, start, masks, init, trained, key)
        apply(net, masks, arm.cut)
        return net
    modules = _module_weights(arm, start, masks, init, trained, key, names)
    if not all(bool(mask.all()) for mask in masks.values()):  # what keeps everything trains faster without masks
        apply(modules, masks, arm.cut)
    return modules


def stack(nets: Sequence[StackedMLP]) -> StackedMLP:
    """Return all replicates of nets of one shape as one stack, in order; their masks come along."""
    first = nets[0]
    if any((net.sizes, net.activation) != (first.sizes, first.activation) for net in nets):
        raise BadInput.of("shapes of the nets", [net.sizes for net in nets], "one shape", "Stack nets of one shape.")
    seeds = [seed for net in nets for seed in net.seeds]
    flat = torch.cat([block.flatten() for group in zip(*(net.blocks for net in nets), strict=True) for block in group])
    masks = concat([_masks(net) for net in nets])
    return StackedMLP(first.sizes, seeds, flat, first.activation, list(masks.values()))


@overload
def stacked_arms(
    start: StackedMLP,
    levels: Mapping[int, Tensors],
    arms: Sequence[str | Arm],
    init: str | Initialiser = "glorot",
    trained: Mapping[int, StackedMLP] | None = None,
) -> StackedMLP:
    """Of stacked replicates: all arms of all levels in one stack."""
    ...


@overload
def stacked_arms(
    start: Modules,
    levels: Mapping[int, Tensors],
    arms: Sequence[str | Arm],
    init: Callable[[int], Modules] | str = "glorot",
    trained: Mapping[int, Modules] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[nn.Module]:
    """Of modules: a list, for nets of any kind cannot be stacked."""
    ...


def stacked_arms(
    start: Net,
    levels: Mapping[int, Tensors],
    arms: Sequence[str | Arm],
    init: Any = "glorot",
    trained: Any = None,
    seeds: Sequence[int] | None = None,
) -> StackedMLP | list[nn.Module]:
    """Return arms x levels x replicates as one stack (in this order of axes), ready for one call of `fit`.

    `levels` holds the ticket's masks by pruning round, `trained` the nets they were cut from, where an arm needs it.
    Of modules it is a list, in the same order; `init` and `seeds` are as in `prepare`.
    """
    nets: list[Any] = [
        prepare(arm, start, masks, init, (trained or {}).get(level), level, seeds)  # type: ignore[arg-type]
        for arm in (arm_named(one) if isinstance(one, str) else one for one in arms)
        for level, masks in levels.items()
    ]
    return stack(nets) if isinstance(start, StackedMLP) else [module for modules in nets for module in modules]


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

    def check(self, shapes: Shapes, rounds: int) -> None:
        """Raise EmptyLayer where so many rounds must empty a layer: the counts follow from the shapes alone.

        Where weights of several layers are ranked together, a layer can still be emptied by what the weights are.
        """
        if rounds != int(rounds) or rounds < 0:
            raise BadInput.of("rounds", rounds, "a whole number >= 0", "A round trains, cuts and rewinds once.")
        for done in range(1, rounds + 1):
            if lost := self._emptied(shapes, done):
                remedy = f"Take at most {done - 1} rounds, or cut less of a layer this small."
                raise EmptyLayer.of(f"weights kept in {lost} after round {done}", 0, ">= 1 in every layer", remedy)

    def masks(self, trained: Net, initial: Net, within: Tensors, rounds: int, seeds: Sequence[int]) -> Tensors:
        """Return the masks after so many rounds: of what `within` keeps, the best of the trained weights."""
        before, after = _named(initial, within), _named(trained, within)
        context = Context(before, after, masks=within, seeds=tuple(seeds))
        scores = score(self.criterion, context)
        counts = self.counts(shapes_of(scores), rounds)
        if self.ranking == "net":
            return keep_global(scores, sum(counts.values()), within, allow_empty=True)
        pooled, alone = self._pooled(shapes_of(scores))
        masks = keep(_chosen(scores, alone), _chosen(counts, alone), _chosen(within, alone))
        if pooled:
            total = sum(counts[name] for name in pooled)
            masks |= keep_global(_chosen(scores, pooled), total, _chosen(within, pooled))
        return {name: masks[name] for name in scores}

    def _pooled(self, shapes: Shapes) -> tuple[list[str], list[str]]:
        """Return the layers that are ranked in one list, and those that are ranked by themselves."""
        pooled = [name for name, shape in shapes.items() if self.ranking == "convolutions" and len(shape) > 2]
        return pooled, [name for name in shapes if name not in pooled]

    def _emptied(self, shapes: Shapes, rounds: int) -> list[str]:
        """Return the layers that these counts cannot leave a weight, one by one or together."""
        counts = self.counts(shapes, rounds)
        if self.ranking == "net":
            return [] if sum(counts.values()) else list(counts)
        pooled, alone = self._pooled(shapes)
        few = pooled if sum(counts[name] for name in pooled) < len(pooled) else []
        return [*(name for name in alone if counts[name] < 1), *few]


def find_tickets(
    initial: Net,
    train: Callable[[Any], object],
    rounds: int,
    cut: Cut | None = None,
    rewound: Net | None = None,
    also: Sequence[str] = (),
) -> list[Tensors]:
    """Return the masks of each round, the dense one first: train, cut, rewind, repeat (Frankle & Carbin 2019).

    `initial` is a stack of MLPs, a module, or a list of modules, one per replicate. `train` trains such a net in place
    (a call of `fit`), or returns the trained net; a net in anything else that it returns is refused. `cut` is the
    policy (default: 20% a round, 10% of the output layer, which is the one defined last). `rewound` is what the kept
    weights go back to (default: the initial net; a net of an early step gives late resetting, Frankle et al. 2019).
    `also` names what else is pruned, as in `weights_of`.

    Raises EmptyLayer before the first training where the counts would leave a layer without a weight. An error in a
    later round has the masks of the rounds before it as its attribute `masks`.
    """
    found: list[Tensors] = []
    try:
        for masks in ticket_rounds(initial, train, rounds, cut, rewound, also):
            found.append(masks)
    except Exception as error:
        if len(found) > 1:
            error.masks = found  # type: ignore[attr-defined]
            error.add_note(f"The masks of the {len(found) - 1} rounds before are in this error's attribute `masks`.")
        raise
    return found


def ticket_rounds(
    initial: Net,
    train: Callable[[Any], object],
    rounds: int,
    cut: Cut | None = None,
    rewound: Net | None = None,
    also: Sequence[str] = (),
) -> Iterator[Tensors]:
    """Yield what `find_tickets` returns, round by round, so that each can be stored before the next is trained."""
    start, policy = initial if rewound is None else rewound, cut or Cut()
    weights = weights_of(initial, also)
    check_fit(weights_of(start, also), weights, "weights to rewind to")
    policy.check(shapes_of(weights), rounds)
    seeds = initial.seeds if isinstance(initial, StackedMLP) else range(len(modules_of(initial)))
    yield (masks := dense(weights))
    for done in range(rounds):
        net = start.clone() if isinstance(start, StackedMLP) else copy.deepcopy(start)
        apply(net, masks)
        trained = _trained(net, train(net))
        yield (masks := policy.masks(trained, initial, masks, done + 1, seeds))


def survival(masks: Sequence[Tensors]) -> Tensors:
    """Return the last level at which each weight is kept, int8 [R, *shape]: nested masks in one byte a weight.

    BadInput for more levels than a byte can number, and for masks of which one keeps what one before has cut.
    """
    if not 1 <= len(masks) <= LEVELS:
        raise BadInput.of("number of levels", len(masks), f"1 to {LEVELS}", "Keep the masks themselves.")
    for level, (before, after) in enumerate(zip(masks, masks[1:], strict=False), 1):
        if revived := [name for name, mask in after.items() if bool((mask & ~before[name]).any())]:
            raise BadInput.of(
                f"masks of level {level}", f"{revived} revived", "nested masks", "Keep the masks themselves."
            )
    return {name: (torch.stack([m[name] for m in masks]).sum(0) - 1).to(torch.int8) for name in masks[0]}


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


def _named(net: Net, masks: Tensors) -> Tensors:
    """Return the weights of a net that the masks name, also those that are pruned on request."""
    weights = weights_of(net)
    return weights if masks.keys() <= weights.keys() else weights_of(net, asked(net, masks))


def _check_start(arm: Arm, start: Net, masks: Tensors, trained: Net | None) -> None:
    weights = _named(start, masks)
    check_masks(masks, weights)
    if arm.weights != "trained":
        return
    if trained is None:
        raise BadInput.of("trained", None, "the trained net", "Pass trained=, or take another arm.")
    check_fit(_named(trained, masks), weights, "trained weights")


def _module_weights(
    arm: Arm, start: Modules, masks: Tensors, init: object, trained: Modules | None, key: int, seeds: Sequence[int]
) -> list[nn.Module]:
    """Return copies of modules, without masks, with the weights of the arm."""
    fresh_nets = _drawn(init, arm, key) if arm.weights in ("reinit", "keep_sign") else None
    source = fresh_nets if arm.weights == "reinit" else trained if arm.weights == "trained" else start
    modules = modules_of(copy.deepcopy(source))  # type: ignore[arg-type]
    remove(modules)
    weights = _named(modules, masks)
    check_masks(masks, weights)
    drawn = None if fresh_nets is None else _named(fresh_nets, masks)
    for layer, (name, values) in enumerate(weights.items()):
        if arm.weights == "shuffle":
            _shuffle(values, masks[name], seeds, key, layer)
        elif arm.weights == "signed_constant":
            weights[name] = values.sign() * _spread(values)
        elif arm.weights == "keep_sign" and drawn is not None:
            weights[name] = values.sign() * drawn[name].abs()
        elif arm.weights == "noise":
            weights[name] = values + arm.noise * _spread(values) * _noise(values, seeds, key, layer)
    if arm.weights in ("shuffle", "signed_constant", "keep_sign", "noise"):
        load_weights(modules, weights)
    return modules


def _drawn(init: object, arm: Arm, key: int) -> list[nn.Module]:
    if not callable(init):
        remedy = "Pass init=, a function that builds draw k of the nets, since modules do not tell how they were drawn."
        raise BadInput.of("init", init, f"a function of k, for the arm {arm.weights} of modules", remedy)
    return modules_of(init(1 + key))


def _trained(net: Net, returned: object) -> Net:
    """Return the net that training left: what it returned, if that is a net, else the one it was given."""
    if isinstance(returned, StackedMLP | nn.Module) or _is_modules(returned):
        return returned  # type: ignore[return-value]
    ours = [net] if isinstance(net, StackedMLP | nn.Module) else [*net]
    held = returned.values() if isinstance(returned, dict) else returned if isinstance(returned, tuple | list) else ()
    if any(isinstance(one, StackedMLP | nn.Module) and all(one is not mine for mine in ours) for one in held):
        remedy = "Train the net that was passed in place, or return the trained net and nothing else."
        raise BadInput.of("what train returned", type(returned).__name__, "the trained net, or no other net", remedy)
    return net


def _is_modules(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, nn.Module) for one in value)


def _shuffle(weights: Tensor, mask: Tensor, seeds: Sequence[int], key: int, layer: int) -> None:
    for r, seed in enumerate(seeds):
        kept = weights[r][mask[r]]
        order = torch.from_numpy(rng(seed, "noise", key, layer).permutation(len(kept))).to(kept.device)
        weights[r][mask[r]] = kept[order]


def _spread(weights: Tensor) -> Tensor:
    return weights.flatten(1).std(1, correction=0).view(-1, *[1] * (weights.dim() - 1))


def _noise(weights: Tensor, seeds: Sequence[int], key: int, layer: int) -> Tensor:
    draws = [rng(seed, "noise", key, layer).standard_normal(tuple(weights.shape[1:])) for seed in seeds]
    return torch.stack([torch.from_numpy(draw) for draw in draws]).to(weights)


def _chosen(tensors: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    return {name: tensors[name] for name in names}


def _masks(net: StackedMLP) -> Tensors:
    full = dense(weights_of(net))
    return full if net.masks is None else {n: full[n] if m is None else m for n, m in zip(full, net.masks, strict=True)}
