"""Structured pruning that really shrinks a net: whole units and filters go, and a smaller module remains.

A unit is *silenced* when what it passes on, after its norm and activation, counts as zero: the layer that reads it
loses those columns. `silence` does that at full size, `compact` drops the unit as well, and the two agree to rounding.
A unit whose incoming weights are all zero is no silent unit: its bias, norm or activation makes it a constant, which
`fold` moves into the reader's bias first. Everything holds in evaluation mode; optimiser state does not carry over.

Chains of Linear and Conv layers in (nested) `nn.Sequential` can lose units, and so can the inner channels of the
residual blocks of `redlib.nets`. The outputs of a net stay, and so do channels that a skip connection adds up. A net
in which no layer can lose units is refused, and so is one in which a parameter has two names. Nets of any other wiring
are for `redlib.pruning.structured`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets.convnets import PreActBlock
from redlib.nets.ticketnets import Dropout, Residual
from redlib.pruning import allocation
from redlib.pruning import masks as masking
from redlib.pruning.units import filter_norms

Layer = nn.Linear | nn.Conv1d | nn.Conv2d
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid)
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d)
LINE_POOLS = (nn.AvgPool1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d)
IMAGE_POOLS = (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
POOLS = (*LINE_POOLS, *IMAGE_POOLS)
SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, Dropout)  # do nothing in evaluation mode
INNER = {PreActBlock: "norm2", Residual: "norm1"}  # blocks conv1 -> this norm -> ReLU -> conv2, and a skip around them
SIZES = (("out_features", "out_channels", "num_features"), ("in_features", "in_channels"))  # by axis of the weight


@dataclass(frozen=True)
class _Link:
    """A layer that can lose units, the parts its units pass through one by one, and the layer that reads them."""

    layer: Layer
    between: tuple[nn.Module, ...]
    reader_name: str
    reader: Layer

    @property
    def norms(self) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
        """The norms between the two."""
        return [part for part in self.between if isinstance(part, NORMS)]

    @property
    def inputs(self) -> int:
        """Columns of the reader; after a Flatten every channel owns several neighbouring ones."""
        return self.reader.weight.shape[1]


def compactable(net: nn.Module) -> dict[str, int]:
    """Return the layers that can lose units, {module name: units}, in forward order."""
    return {name: len(link.layer.weight) for name, link in _links(net).items()}


def compact(net: nn.Module, keep: Mapping[str, Tensor]) -> nn.Module:
    """Return a smaller copy of `net` without the units that are False in `keep` {layer: bool [units]}.

    Same outputs as `silence(net, keep)` to rounding, in evaluation mode. Layers not named keep all units; masks
    come off, and cut weights stay what they were (zero, or frozen). Raises BadInput for a layer that cannot lose
    units, a mask that does not fit, a layer pruned to nothing, a net without a layer to cut, and a shared parameter.
    """
    small = _plain(net)
    for link, kept in _chosen(small, keep):
        _take(link.layer, kept, 0)
        for norm in link.norms:
            _take(norm, _spread(kept, norm.num_features), 0)
        _take(link.reader, _spread(kept, link.inputs), 1)
    return small


def silence(net: nn.Module, keep: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of `net`, of the same size, in which the units that are False in `keep` pass on nothing.

    Their incoming weights, bias and norm are zero, and so are the weights that read them: these alone decide, as
    sigmoid(0) is no zero. Nothing holds them at zero in further training. Raises BadInput as `compact` does.
    """
    quiet = _plain(net)
    with torch.no_grad():
        for link, kept in _chosen(quiet, keep):
            for part in (link.layer, *link.norms):
                for values in part.parameters():
                    values[~_spread(kept, len(values)).to(values.device)] = 0
            link.reader.weight[:, ~_spread(kept, link.inputs).to(link.reader.weight.device)] = 0
    return quiet


def fold(net: nn.Module) -> nn.Module:
    """Return a copy with the same outputs in which constants are part of biases, and nothing reads their units.

    A unit is constant when its incoming weights are all zero; layer by layer, so a unit that reads only constants
    is one as well. Where a convolution pads with zeros (or an average pool does) a constant is not constant at the
    border: there only units that are exactly 0 are folded, the others stay as they are. A reader without a
    bias gets one if it needs it.
    """
    folded = _plain(net)
    with torch.no_grad():
        for link in _links(folded).values():
            _fold_into_reader(link)
    return folded


def compact_masks(net: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Return the smallest net this module can make of `net` under unstructured masks {name: bool [1, *shape]}.

    Units that no weight leaves go; units that no weight enters go where `fold` is exact. Same outputs as `net` with
    its cut weights at zero, in evaluation mode. Raises BadInput for masks that do not fit, and when a whole
    layer is dead.
    """
    cut = _plain(net)
    weights = masking.weights_of(cut)
    masking.check_masks(masks, weights)
    masking.load_weights(cut, {name: values * masks[name] for name, values in weights.items()})
    folded = fold(cut)
    return compact(folded, _read(folded))


def filter_scores(net: nn.Module, norm: int = 1) -> dict[str, Tensor]:
    """Return the ℓ1 or ℓ2 norm of every unit's incoming weights, {layer: [units]} (Li et al. 2017, section 3.1).

    Only layers that can lose units have scores, so never the last. Raises BadInput for another norm, and for a net
    without any such layer.
    """
    return {name: filter_norms(link.layer.weight.detach()[None], norm)[0] for name, link in _some_links(net).items()}


def top_filters(scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return `keep` for `compact`: in every layer the fraction `share` KEPT of the units, those that score highest.

    round(share * units) of each layer; of equals the first stays. Raises BadInput for a share outside (0, 1],
    EmptyLayer where it rounds to no unit at all.
    """
    if not scores:
        raise BadInput.of("scores", {}, "one list a layer", "Pass what filter_scores returns.")
    rows = {name: values[None] for name, values in scores.items()}
    counts = allocation.layer_counts(allocation.shapes_of(rows), share)
    return {name: kept[0] for name, kept in allocation.keep(rows, counts).items()}


def unstacked_masks(net: nn.Module, masks: Mapping[str, Tensor], replicate: int) -> masking.Tensors:
    """Return a stack's masks of one replicate, [1, out, in], under the layer names of `net`, its `unstacked` module."""
    names = masking.weights_of(net)
    return {name: mask[replicate : replicate + 1] for name, mask in zip(names, masks.values(), strict=True)}


def _chosen(net: nn.Module, keep: Mapping[str, Tensor]) -> list[tuple[_Link, Tensor]]:
    """Return (link, units kept) for every layer named in `keep`, after checking all of it."""
    found = _links(net) if keep else _some_links(net)
    for name, kept in keep.items():
        if name not in found:
            remedy = "Outputs, channels that a skip adds up and layers before an unknown module stay whole."
            raise BadInput.of("layer to compact", name, f"one of {list(found)}", remedy)
        units = len(found[name].layer.weight)
        if kept.dtype != torch.bool or kept.shape != (units,):
            value = f"{kept.dtype} {tuple(kept.shape)}"
            raise BadInput.of(f"keep of {name}", value, f"bool ({units},)", "One truth value per unit, True stays.")
        if not bool(kept.any()):
            raise BadInput.of(f"units kept in {name}", 0, ">= 1", "The layer would be pruned to nothing: keep a unit.")
    return [(found[name], kept) for name, kept in keep.items()]


def _some_links(net: nn.Module) -> dict[str, _Link]:
    """Return the links of a net; BadInput, with its layers, where it has none."""
    found = _links(net)
    if not found:
        layers = {name: type(part).__name__ for name, part in net.named_modules() if isinstance(part, LAYERS)}
        allowed = "chains of Linear and Conv layers in nn.Sequential, and residual blocks of redlib.nets"
        remedy = f"Its layers {layers} stay whole: structured.shrink cuts nets of any wiring, or mask weights instead."
        raise BadInput.of("net to cut", type(net).__name__, allowed, remedy)
    return found


def _links(net: nn.Module) -> dict[str, _Link]:
    """Return {name of a layer that can lose units: its link}, in forward order."""
    found: dict[str, _Link] = {}
    parts = list(_parts(net))
    uses = Counter(id(part) for _, part in parts)
    name, layer, between = "", None, []  # type: str, Layer | None, list[nn.Module]
    for next_name, part in parts:
        alone = uses[id(part)] == 1 or not list(part.parameters())  # a layer used twice has two readers
        if isinstance(part, tuple(INNER)):
            found[_joined(next_name, "conv1")] = _inside(part, next_name)
        if _is_one_of(part, LAYERS) and getattr(part, "groups", 1) == 1 and alone:
            reader = cast(Layer, part)
            if layer is not None and _fits(layer, between, reader):
                found[name] = _Link(layer, tuple(between), next_name, reader)
            name, layer, between = next_name, reader, []
        elif _passes(part) and alone:
            between.append(part)
        else:
            layer = None
    return found


def _inside(block: nn.Module, name: str) -> _Link:
    """Return the link of a residual block's inner channels, the only ones the skip does not add to others."""
    between = (block.get_submodule(INNER[type(block)]), nn.ReLU())
    first, second = block.get_submodule("conv1"), block.get_submodule("conv2")
    return _Link(first, between, _joined(name, "conv2"), second)  # type: ignore[arg-type]


def _parts(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, part) in forward order, looking into Sequentials only; a part used twice comes twice."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for child, part in zip(module._modules, module, strict=True):
            yield from _parts(part, _joined(name, child))
    else:
        yield name, module


def _joined(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _passes(part: nn.Module) -> bool:
    """Return whether every unit passes through `part` without meeting another."""
    if isinstance(part, nn.Flatten):
        return part.start_dim == 1 and part.end_dim == -1
    return _is_one_of(part, (*NORMS, *ELEMENTWISE, *POOLS, *SILENT))


def _is_one_of(part: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Return whether `part` is of one of these kinds and computes what they do: a subclass may do anything else."""
    of = [kind for kind in kinds if isinstance(part, kind)]
    own = ("forward", "_conv_forward")
    return any(all(getattr(type(part), name, None) is getattr(kind, name, None) for name in own) for kind in of)


def _fits(layer: Layer, between: list[nn.Module], reader: Layer) -> bool:
    """Return whether the columns of `reader` belong to the units of `layer` in blocks of equal size."""
    units, inputs = len(layer.weight), reader.weight.shape[1]
    flat = any(isinstance(part, nn.Flatten) for part in between)
    if not _keeps_apart(layer, between):
        return False
    if isinstance(layer, nn.Linear):
        return isinstance(reader, nn.Linear) and inputs == units
    if isinstance(reader, nn.Linear):
        return flat and inputs % units == 0
    return not flat and inputs == units


def _keeps_apart(layer: Layer, between: list[nn.Module]) -> bool:
    """Return whether pools and norms between act on units one by one, as they do on what the layer gives.

    A pool of another dimension, or behind a Flatten, averages over neighbouring units.
    """
    pools = LINE_POOLS if isinstance(layer, nn.Conv1d) else IMAGE_POOLS if isinstance(layer, nn.Conv2d) else ()
    size, flat = len(layer.weight), False
    for part in between:
        flat |= isinstance(part, nn.Flatten)
        if isinstance(part, POOLS) and (flat or not isinstance(part, pools)):
            return False
        if isinstance(part, NORMS) and (part.num_features % size if flat else part.num_features != size):
            return False
    return True


def _plain(net: nn.Module) -> nn.Module:
    """Return a copy of `net` whose weights are parameters again; BadInput where one parameter has two names."""
    masking.check_unshared(net)
    return masking.plain_copy(net)


def _spread(values: Tensor, size: int) -> Tensor:
    """Return one value per unit as one per column: after a Flatten a channel's columns are neighbours."""
    return values.repeat_interleave(size // len(values))


def _take(part: nn.Module, kept: Tensor, axis: int) -> None:
    """Keep these rows (axis 0) or columns (1) of every parameter and buffer that has them."""
    for name, values in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
        if values.dim() > axis:
            taken = values.detach().index_select(axis, kept.nonzero().flatten().to(values.device))
            trained = isinstance(values, nn.Parameter)
            setattr(part, name, nn.Parameter(taken, values.requires_grad) if trained else taken)
    for size in SIZES[axis]:
        if hasattr(part, size):
            setattr(part, size, int(kept.sum()))


def _fold_into_reader(link: _Link) -> None:
    reader = link.reader
    values = _spread(_constants(link), link.inputs)
    dead = _spread(~_entered(link.layer), link.inputs)
    if not _exact(link):
        dead &= values == 0
    shift = reader.weight.flatten(2).sum(2) if reader.weight.dim() > 2 else reader.weight
    shift = shift[:, dead] @ values[dead]
    reader.weight[:, dead] = 0
    if reader.bias is None and bool(shift.any()):
        reader.bias = nn.Parameter(torch.zeros_like(shift), reader.weight.requires_grad)
    if reader.bias is not None:
        reader.bias += shift


def _entered(layer: Layer) -> Tensor:
    """Return which units of a layer have an incoming weight that is not zero, bool [units]."""
    return (layer.weight != 0).flatten(1).any(1)


def _constants(link: _Link) -> Tensor:
    """Return what each unit passes on if nothing but its bias enters, [units] (or [columns] after a late norm)."""
    bias = link.layer.bias
    values = torch.zeros_like(link.layer.weight.flatten(1)[:, 0]) if bias is None else bias.detach()
    for part in link.between:
        if isinstance(part, NORMS):
            values = _spread(values, part.num_features)
        if isinstance(part, (*NORMS, *ELEMENTWISE)):
            # Two equal examples: a norm without running statistics needs a batch, and subtracts its mean.
            batch = values.repeat(2, 1).view(2, -1, *[1] * (2 * isinstance(part, nn.BatchNorm2d)))
            values = copy.deepcopy(part).eval()(batch).flatten(1)[0]
    return values


def _exact(link: _Link) -> bool:
    """Return whether a constant unit reaches every position of the reader as the same constant."""
    for part in link.between:
        if isinstance(part, AVERAGES):
            padded = part.count_include_pad and any(_numbers(part.padding))
            if padded or getattr(part, "divisor_override", None) is not None:
                return False
    reader = link.reader
    if isinstance(reader, nn.Linear) or reader.padding_mode != "zeros" or reader.padding == "valid":
        return True
    wide = [size > 1 for size in reader.kernel_size]
    return not any(wide if reader.padding == "same" else _numbers(reader.padding))


def _numbers(value: object) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _read(net: nn.Module) -> dict[str, Tensor]:
    """Return the units that something reads, {layer: bool [units]}, from the output back: a reader must be read too."""
    keep: dict[str, Tensor] = {}
    for name, link in reversed(_links(net).items()):
        rows = (link.reader.weight != 0).flatten(2) if link.reader.weight.dim() > 2 else link.reader.weight != 0
        columns = rows.any(2) if rows.dim() > 2 else rows
        columns = columns[keep[link.reader_name]] if link.reader_name in keep else columns
        keep[name] = columns.any(0).view(len(link.layer.weight), -1).any(1)
    return keep
