"""Masks as data, {weight: bool}, the replicate axis first, and what they do to a net.

A mask acts in every forward pass, and nothing an optimiser remembers (momentum, decay, Adam's moments) can revive a
cut weight: stacked MLPs gate the gradients, modules compute their weights as where(mask, parameter, value when cut).
`density` is always the fraction kept. Biases and norms are never masked, embeddings and a module's own parameters only
when asked (`also`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.modules import acting, maps_of, modules_of

Tensors = dict[str, Tensor]  # name -> [R, *shape]
Net = StackedMLP | nn.Module | Sequence[nn.Module]
Cut = Literal["zero", "freeze"]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PRUNABLE = (nn.Linear, nn.Bilinear, *CONVOLUTIONS, *TRANSPOSED)
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")  # of attention, fused or not
ON_REQUEST = (nn.Embedding, nn.EmbeddingBag)
NORMS = (nn.LayerNorm, nn.RMSNorm)  # of images, these have weights of more than one dimension


@dataclass(frozen=True)
class Slot:
    """Where a module keeps a weight: its name in masks, the part of the module, and the attribute of that part."""

    name: str
    part: nn.Module
    attribute: str

    @property
    def path(self) -> str:
        """The name of the parameter in `named_parameters` of an unmasked module."""
        return _joined(self.name, "weight") if self.attribute == "weight" else self.name

    @property
    def acting(self) -> Tensor:
        """The weight as it acts, without its gradient."""
        return acting(self.part, self.attribute)

    @property
    def mask(self) -> Masked | None:
        """The mask in force."""
        if not parametrize.is_parametrized(self.part, self.attribute):
            return None
        first = maps_of(self.part)[self.attribute][0]  # type: ignore[index]
        return first if isinstance(first, Masked) else None

    @property
    def parameter(self) -> Tensor:
        """The trainable tensor behind the weight; BadInput where something else than a mask computes it."""
        others = _computed_by_others(self.part)
        if others or not (self.mask is not None or self.attribute in self.part._parameters):
            remedy = "Take that off first (torch.nn.utils.parametrize.remove_parametrizations or prune.remove)."
            given = f"computed ({', '.join(others or [self.attribute])})"
            raise BadInput.of(f"weight of {self.name!r}", given, "a parameter of its own", remedy)
        if self.mask is not None:
            return maps_of(self.part)[self.attribute].original  # type: ignore[return-value]
        return self.part._parameters[self.attribute]  # type: ignore[return-value]


def weights_of(net: Net, also: Sequence[str] = ()) -> Tensors:
    """Return copies of all prunable weights, name -> [R, *shape].

    Stacked MLPs: layer1, layer2, … [R, out, in]. Modules: every weight of Linear, Conv and ConvTranspose parts by the
    name of the part, and by its own the matrices of recurrent parts (`lstm.weight_hh_l0`) and the projections of
    attention (`attention.in_proj_weight`). `also` names what else is to be pruned, an embedding or any parameter of
    the module; it comes first. Weights of parts that are unknown here are left out, which a warning says. Cut weights
    are returned as they act (0, or the value they are frozen at).

    Raises BadInput for a net without any, for replicates of unlike shape, and for a weight that has two names.
    """
    if not isinstance(net, StackedMLP) and (missed := left_out(net, also)):
        told = f"no masks for {missed}, whose parts are unknown: density leaves them out; name them in `also`"
        warnings.warn(told, stacklevel=2)
    return _weights(net, also)


def left_out(net: nn.Module | Sequence[nn.Module], also: Sequence[str] = ()) -> list[str]:
    """Return the parameters of two or more dimensions that `weights_of` does not know: neither weight nor embedding."""
    module = modules_of(net)[0]
    slots = [(slot.part, slot.attribute) for slot in _slots(module, also)]
    known = (*ON_REQUEST, *NORMS, parametrize.ParametrizationList)
    return [
        _joined(name, attribute)
        for name, part, attribute, values in _parameters(module)
        if values.dim() > 1 and not _attributes(part) and not isinstance(part, known) and (part, attribute) not in slots
    ]


def load_weights(net: Net, weights: Mapping[str, Tensor]) -> None:
    """Copy weights [R, *shape] into the net; masks stay, and so does what they cut. BadInput where they do not fit."""
    present = _weights(net, asked(net, weights))
    check_fit(weights, present, "weights")
    if lost := [name for name, values in weights.items() if values.is_complex() and not present[name].is_complex()]:
        raise BadInput.of(
            f"weights of {lost}", "complex", "real, as those of the net", "Their imaginary part would go."
        )
    kept = masks_of(net)
    with torch.no_grad():
        if isinstance(net, StackedMLP):
            for mine, (name, values) in zip(net.weights, weights.items(), strict=True):
                mine.copy_(torch.where(kept[name], values.to(mine), mine))
            return
        for r, slots in enumerate(_writable(net, asked(net, weights))):
            for slot in slots:
                mine = slot.parameter
                mask = kept[slot.name][r] if slot.name in kept else torch.ones_like(mine, dtype=torch.bool)
                mine.copy_(torch.where(mask, weights[slot.name][r].to(mine), mine))


def apply(net: Net, masks: Mapping[str, Tensor], cut: Cut = "zero") -> None:
    """Cut every weight whose mask is False: to zero, or (`freeze`) to the value it has now, for good.

    Applying masks again replaces the earlier ones. Raises BadInput for masks that do not fit the net, for replicates
    that share a weight, and for a weight that is computed already (weight norm, masks of torch).
    """
    extra = asked(net, masks)
    weights = _weights(net, extra)
    check_masks(masks, weights)
    if cut not in ("zero", "freeze"):
        raise BadInput.of("cut", cut, "zero or freeze", "Say what becomes of the weights that are cut.")
    if isinstance(net, StackedMLP):
        ordered = [masks[name] for name in weights]
        if cut == "zero":
            net.apply_masks(ordered)
        else:
            net.masks = list(ordered)
        return
    rows = _writable(net, extra)
    remove(net)
    for r, slots in enumerate(rows):
        for slot in slots:
            _cut(slot, masks[slot.name][r], weights[slot.name][r] * (cut == "freeze"))


def remove(net: Net) -> None:
    """Take the masks off; the weights stay as they acted, and each is the parameter it was, in its old place."""
    if isinstance(net, StackedMLP):
        net.masks = None
        return
    for module in modules_of(net):
        for name, part in list(module.named_modules()):
            if parametrize.is_parametrized(part) and _masked(part):
                _uncut(name, part)


def masks_of(net: Net) -> Tensors:
    """Return the masks in force (all True where there are none), name -> bool [R, *shape]."""
    if isinstance(net, StackedMLP):
        return dict(zip(_weights(net), net.kept(), strict=True))
    extra = _asked_in_force(modules_of(net)[0])
    found = dense(_weights(net, extra))
    for r, module in enumerate(modules_of(net)):
        for slot in _slots(module, extra):
            if slot.mask is not None:
                found[slot.name][r] = cast(Tensor, slot.mask.mask)
    return found


def dense(weights: Mapping[str, Tensor]) -> Tensors:
    """Return masks that keep everything."""
    return {name: torch.ones_like(values, dtype=torch.bool) for name, values in weights.items()}


def counts(masks: Mapping[str, Tensor]) -> Tensors:
    """Return the number of weights kept in each layer, name -> int64 [R].

    BadInput for what is no mask: the sum of weights is no count.
    """
    for name, mask in masks.items():
        if mask.is_floating_point() or mask.is_complex() or isinstance(mask, nn.Parameter):
            raise BadInput.of(
                f"mask {name}", (str(mask.dtype), tuple(mask.shape)), "bool, [R, *shape]", "True is kept."
            )
    return {name: mask.flatten(1).sum(1) for name, mask in masks.items()}


def kept_by_layer(masks: Mapping[str, Tensor]) -> np.ndarray:
    """Return the number of weights kept as one array, int64 [R, layers]."""
    return torch.stack(list(counts(masks).values()), 1).cpu().numpy()


def density(masks: Mapping[str, Tensor]) -> Tensor:
    """Return the fraction of all maskable weights kept, [R] in [0, 1]."""
    total = sum(mask[0].numel() for mask in masks.values())
    return torch.stack(list(counts(masks).values())).sum(0) / total


def degrees(mask: Tensor, groups: int = 1, transposed: bool = False) -> tuple[Tensor, Tensor]:
    """Return (incoming [R, out], outgoing [R, in]): how many weights each unit keeps.

    mask is [R, out, in / groups, ...], of a transposed convolution [R, in, out / groups, ...]: its shape does not tell.
    BadInput for a mask without the replicate axis, or channels that the groups do not divide.
    """
    if mask.dim() < 3 or groups < 1 or mask.shape[1] % groups or mask.is_floating_point():
        given = (str(mask.dtype), tuple(mask.shape), groups)
        raise BadInput.of("mask and groups", given, "[R, out, in, ...] and a divisor of out", "Replicates first.")
    pairs = mask.flatten(3).sum(3) if mask.dim() > 3 else mask.long()
    rows, columns = pairs.sum(2), pairs.unflatten(1, (groups, -1)).sum(2).flatten(1)
    return (columns, rows) if transposed else (rows, columns)


def empty_layers(masks: Mapping[str, Tensor]) -> Tensor:
    """Return how many layers of each replicate have no weight left, [R] (layer collapse, Tanaka et al. 2020)."""
    return (torch.stack(list(counts(masks).values())) == 0).sum(0)


def select_replicates(tensors: Mapping[str, Tensor], rows: Sequence[int]) -> Tensors:
    """Return these replicates, in this order (one may stand twice)."""
    return {name: values[list(rows)] for name, values in tensors.items()}


def concat(parts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Return tensors of equal names joined along the replicate axis."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def packed(tensors: Mapping[str, Tensor]) -> np.ndarray:
    """Return all layers as one array [R, weights], in their order."""
    return torch.cat([values.flatten(1) for values in tensors.values()], 1).cpu().numpy()


def unpacked(flat: np.ndarray, like: Mapping[str, Tensor]) -> Tensors:
    """Return what `packed` joined, with the names and shapes of `like`; BadInput where the numbers differ."""
    sizes = [values[0].numel() for values in like.values()]
    if flat.ndim != 2 or flat.shape[1] != sum(sizes):
        raise BadInput.of("shape of packed layers", flat.shape, f"[R, {sum(sizes)}]", "Unpack with the same net.")
    parts = torch.from_numpy(np.array(flat)).split(sizes, 1)
    shapes = [(len(flat), *values.shape[1:]) for values in like.values()]
    return {name: part.view(shape) for name, part, shape in zip(like, parts, shapes, strict=True)}


def check_masks(masks: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise BadInput where masks are not bool tensors of the names and shapes of `weights`."""
    check_fit(masks, weights, "mask")
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            raise BadInput.of(f"type of mask {name}", mask.dtype, "bool", "True keeps a weight.")


def check_fit(given: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Raise BadInput where names (in this order) or shapes differ."""
    if list(given) != list(weights):
        raise BadInput.of(f"names of {what}", list(given), str(list(weights)), "Name every layer, in the net's order.")
    for name, values in given.items():
        if values.shape != weights[name].shape:
            allowed = f"{tuple(weights[name].shape)} (replicates first)"
            raise BadInput.of(f"shape of {what} {name}", tuple(values.shape), allowed, "Make it fit the net.")


def asked(net: Net, names: Iterable[str]) -> list[str]:
    """Return which of these names `weights_of` gives only if they are in its `also`, in their order."""
    if isinstance(net, StackedMLP):
        return []
    module = modules_of(net)[0]
    known = {slot.name for slot in _known(module)}
    return [name for name in names if name not in known and _slot_named(module, name) is not None]


def paths_of(module: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the name in `named_parameters` of the unmasked module for each of these names of weights."""
    slots = _slots(module, asked(module, names))
    return {slot.name: slot.path for slot in slots}


def check_unshared(module: nn.Module, weights: Iterable[str] | None = None) -> None:
    """Raise BadInput where one parameter, or its memory, has two names in a module; None looks at all parameters.

    Else only those count of which at least one is among `weights`, names in `named_parameters`. A part that is used
    twice is one part, and no fault.
    """
    spans = sorted(_spans(module), key=lambda span: (span.memory, span.start))
    ours = None if weights is None else set(weights)
    for one, other in pairwise(spans):
        if one.overlaps(other) and (ours is None or ours & {one.name, other.name}):
            owner, _, attribute = other.name.rpartition(".")
            whole = f"net.get_submodule({owner!r}).{attribute}"
            remedy = f"Give one of them a copy: {whole} = nn.Parameter({whole}.detach().clone())."
            names = f"{one.name} and {other.name}"
            raise BadInput.of("weights of the net", f"one parameter, {names}", "one name for each", remedy)


def plain_copy(net: nn.Module) -> nn.Module:
    """Return a copy of a module whose weights are parameters again: masks, ours and torch's own, come off.

    BadInput for the hooks of weight_norm and spectral_norm.
    """
    _check_norms(net)
    # torch.nn.utils.prune leaves computed weights as attributes, which have a gradient and refuse to be copied.
    computed = [getattr(part, name) for part, name in _pruned(net)]
    plain = copy.deepcopy(net, {id(values): values.detach() for values in computed})
    for part, name in _pruned(plain):
        prune.remove(part, name)
    for part in list(plain.modules()):
        if parametrize.is_parametrized(part):
            unparametrised(part)
    return plain


def unparametrised(part: nn.Module) -> None:
    """Turn computed weights into parameters; torch's own way edits the class, which copies share with the original."""
    computed = maps_of(part)
    values = {name: getattr(part, name).detach().clone() for name in computed}
    trained = {name: any(p.requires_grad for p in maps.parameters()) for name, maps in computed.items()}
    _restore(part, {name: nn.Parameter(value, trained[name]) for name, value in values.items()})


def check_own(net: nn.Module | Sequence[nn.Module]) -> None:
    """Raise BadInput where something else than a mask of ours or of torch computes a weight: it cannot be cut."""
    for module in modules_of(net):
        _check_norms(module)
        for slot in _slots(module):
            if parametrize.is_parametrized(slot.part):
                _ = slot.parameter  # says what else computes it


class Masked(nn.Module):
    """Computes a weight as where(mask, parameter, value when cut): no gradient reaches what is cut.

    `order` are the names of the part's parameters before the mask came, so that each can return to its place.
    """

    def __init__(self, mask: Tensor, values: Tensor, order: tuple[str, ...]):
        super().__init__()
        self.register_buffer("mask", mask)
        self.register_buffer("values", values)
        self.order = order

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight as it acts."""
        return torch.where(self.mask, weight, self.values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Span:
    """Where in memory a parameter lies: bytes start ... end of one storage; `dense` without gaps."""

    name: str
    memory: tuple[str, int]
    start: int
    end: int
    dense: bool

    def overlaps(self, later: _Span) -> bool:
        """Return whether a span that starts here or later shares memory with this one."""
        if self.memory != later.memory:
            return False
        return self.start == later.start or (self.dense and later.dense and later.start < self.end)


def _check_norms(module: nn.Module) -> None:
    """Raise BadInput for weights that hooks compute and leave behind, in the way of copies and of masks."""
    for name, part in module.named_modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm | SpectralNorm):
                kind = "weight_norm" if isinstance(hook, WeightNorm) else "spectral_norm"
                remedy = f"Take it off first: torch.nn.utils.remove_{kind}."
                raise BadInput.of(f"{hook.name} of {name!r}", f"computed by {kind}", "a parameter of its own", remedy)


def _weights(net: Net, also: Sequence[str] = ()) -> Tensors:
    if isinstance(net, StackedMLP):
        if also:
            raise BadInput.of("also", list(also), "nothing, for a stack of MLPs", "All of its weights are prunable.")
        return {f"layer{i + 1}": weights.clone() for i, weights in enumerate(net.weights)}
    rows = _rows(net, also)
    return {slots[0].name: torch.stack([slot.acting for slot in slots]) for slots in zip(*rows, strict=True)}


def _rows(net: nn.Module | Sequence[nn.Module], also: Sequence[str]) -> list[list[Slot]]:
    """Return the slots of every replicate, checked: some, all alike, and none with two names."""
    modules = modules_of(net)
    rows = [_slots(module, also) for module in modules]
    if not rows[0]:
        allowed = "at least one: Linear, Conv, ConvTranspose, recurrent or attention"
        raise BadInput.of("weights of the net", [], allowed, f"Name in `also` what it has: {left_out(modules)}.")
    shapes = [{slot.name: tuple(slot.acting.shape) for slot in slots} for slots in rows]
    for r, found in enumerate(shapes):
        if found != shapes[0]:
            raise BadInput.of(f"weights of replicate {r}", found, str(shapes[0]), "Replicates are nets of one shape.")
    for module, slots in zip(modules, rows, strict=True):
        check_unshared(module, [slot.path for slot in slots])
    return rows


def _writable(net: nn.Module | Sequence[nn.Module], also: Sequence[str]) -> list[list[Slot]]:
    """Return the slots of every replicate; BadInput where replicates share a weight or something else computes one."""
    rows, owners = _rows(net, also), {}  # type: list[list[Slot]], dict[int, int]
    for r, slots in enumerate(rows):
        for slot in slots:
            if owners.setdefault(id(slot.parameter), r) != r:
                given = f"one parameter in replicates {owners[id(slot.parameter)]} and {r}"
                raise BadInput.of(f"weight {slot.name!r}", given, "one for each replicate", "Pass copy.deepcopy(net).")
    return rows


def _slots(module: nn.Module, also: Sequence[str] = ()) -> list[Slot]:
    """Return where the weights of a module are, those in `also` first; BadInput where it has none of that name."""
    known = list(_known(module))
    extra = []
    for name in also:
        slot = _slot_named(module, name)
        if slot is None:
            allowed = f"parameters of two or more dimensions, such as {left_out(module)}, or embeddings"
            raise BadInput.of("name in `also`", name, allowed, "See named_parameters() of the net.")
        if slot not in known and slot not in extra:
            extra.append(slot)
    return [*extra, *known]


def _known(module: nn.Module) -> Iterator[Slot]:
    for name, part in module.named_modules():
        for attribute in _attributes(part):
            yield _slot(name, part, attribute)


def _slot(name: str, part: nn.Module, attribute: str) -> Slot:
    return Slot(name if attribute == "weight" else _joined(name, attribute), part, attribute)


def _attributes(part: nn.Module) -> tuple[str, ...]:
    """Return under which attributes a part of a known type keeps its weights."""
    if isinstance(part, PRUNABLE):
        return ("weight",)
    if isinstance(part, nn.MultiheadAttention):
        return tuple(name for name in PROJECTIONS if getattr(part, name) is not None)
    if isinstance(part, nn.RNNBase):
        return tuple(name for name in part._flat_weights_names if name.startswith("weight"))
    return ("weight_ih", "weight_hh") if isinstance(part, nn.RNNCellBase) else ()


def _slot_named(module: nn.Module, name: str) -> Slot | None:
    """Return the slot of a part with a weight, or of a parameter of two or more dimensions; None for neither."""
    parts = dict(module.named_modules())
    owner, _, last = name.rpartition(".")
    for part_name, attribute in ((name, "weight"), (owner, last)):
        part = parts.get(part_name)
        if part is None or not attribute:
            continue
        held = parametrize.is_parametrized(part, attribute) or part._parameters.get(attribute) is not None
        if held and getattr(part, attribute).dim() > 1:
            return _slot(part_name, part, attribute)
    return None


def _asked_in_force(module: nn.Module) -> list[str]:
    """Return the names of the masks in force on what is pruned only when asked."""
    known, found = list(_known(module)), []
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part):
            slots = [_slot(name, part, attribute) for attribute in maps_of(part)]
            found += [slot.name for slot in slots if slot.mask is not None and slot not in known]
    return found


def _cut(slot: Slot, mask: Tensor, values: Tensor) -> None:
    """Put a mask on a weight that has none; `values` act where it is False."""
    part, kept = slot.part, mask.to(values.device, copy=True)
    parametrize.register_parametrization(part, slot.attribute, Masked(kept, values, tuple(part._parameters)))
    if isinstance(part, nn.RNNBase) and _forget not in part._forward_hooks.values():
        part.register_forward_hook(_forget)
        type(part)._apply = _moved  # type: ignore[method-assign]  # a class of its own, made for its masks
    with torch.no_grad():  # weight decay is a gradient too: at 0 it leaves no trace in the optimiser's state
        slot.parameter.masked_fill_(~kept, 0.0)


def _uncut(name: str, part: nn.Module) -> None:
    """Take the masks off a part: its parameters are the same objects as before, so that an optimiser still knows them.

    They have the values that acted.
    """
    if others := _computed_by_others(part):
        raise BadInput.of(f"parameters of {name!r}", others, "none but masked ones computed", "Take that off first.")
    lists = maps_of(part)
    parameters = {}
    for attribute, maps in lists.items():
        parameters[attribute] = maps.original
        with torch.no_grad():
            maps.original.copy_(getattr(part, attribute))  # type: ignore[operator]
    order = max((maps[0].order for maps in lists.values()), key=len)  # type: ignore[index]
    _restore(part, parameters)  # type: ignore[arg-type]
    for attribute in order:
        part._parameters[attribute] = part._parameters.pop(attribute)


def _restore(part: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    """Make a part that computes its weights one of its own class again, with these parameters in their place."""
    part.__class__ = parametrize.type_before_parametrizations(part)
    del part.parametrizations
    for name, values in parameters.items():
        part.register_parameter(name, values)
    if isinstance(part, nn.RNNBase):
        for key in [key for key, hook in part._forward_hooks.items() if hook is _forget]:
            del part._forward_hooks[key]
        part._init_flat_weights()


def _forget(part: nn.Module, inputs: object, outputs: object) -> None:
    """Drop the computed weights that a recurrent part lists for its kernel: they could not be copied."""
    part._flat_weights = [None] * len(part._flat_weights_names)  # type: ignore[arg-type, assignment]


def _moved(part: nn.RNNBase, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Move or convert a masked recurrent part, which lists its weights anew."""
    of = cast(type[nn.Module], parametrize.type_before_parametrizations(part))
    of._apply(part, fn, recurse)
    _forget(part, None, None)
    return part


def _masked(part: nn.Module) -> bool:
    lists = maps_of(part)
    return any(isinstance(maps[0], Masked) for maps in lists.values())  # type: ignore[index]


def _computed_by_others(part: nn.Module) -> list[str]:
    """Return the attributes of a part that something else than one of our masks computes."""
    if not parametrize.is_parametrized(part):
        return []
    lists = maps_of(part)
    return [name for name, maps in lists.items() if not (len(maps) == 1 and isinstance(maps[0], Masked))]  # type: ignore[arg-type, index]


def _pruned(net: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return (part, name) of what torch.nn.utils.prune has masked."""
    return [
        (part, name.removesuffix("_orig"))
        for part in net.modules()
        for name in list(part._parameters)
        if name.endswith("_orig") and f"{name.removesuffix('_orig')}_mask" in part._buffers
    ]


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Yield (name of the part, part, attribute, values) of every parameter; BadInput for a lazy one."""
    for name, part in module.named_modules():
        for attribute, values in part._parameters.items():
            if nn.parameter.is_lazy(values):
                raise BadInput.of(f"parameter {_joined(name, attribute)!r}", "lazy", "one with a shape", "Run it once.")
            if values is not None:
                yield name, part, attribute, values


def _spans(module: nn.Module) -> Iterator[_Span]:
    for owner, _, attribute, values in _parameters(module):
        if not values.numel() or values.device.type == "meta":
            continue
        name = _joined(owner, attribute).replace("parametrizations.", "").removesuffix(".original")
        size = values.element_size()
        reach = 1 + sum(int(n - 1) * int(stride) for n, stride in zip(values.shape, values.stride(), strict=True))
        memory = str(values.device), values.untyped_storage().data_ptr()
        start = int(values.storage_offset()) * size
        yield _Span(name, memory, start, start + reach * size, reach == values.numel())


def _joined(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child
