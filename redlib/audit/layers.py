"""Which layers are examined: matrices of linear, convolutional, embedding, attention and recurrent parts, once each.

A layer is one weight: of fused attention the queries, keys and values apart, of recurrent parts every matrix. It is
seen as matrices [out, in], one for each group of a convolution, head of attention, or gate of a recurrent part;
kernels as the [out, in·k·k] that multiplies patches, those of transposed convolutions as the [in, out·k·k] that makes
them (`redlib.measures.matrices`). Its filters are the rows that make one output each. Everything else with parameters
is listed with the reason why it is not examined.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from redlib.audit.inputs import Subject, evaluation
from redlib.errors import BadInput
from redlib.nets.modules import acting

CONVOLUTIONS = tuple(f"Conv{kind}{d}d" for kind in ("", "Transpose") for d in (1, 2, 3))
EMBEDDINGS = ("Embedding", "EmbeddingBag")
GATES = {"RNN": 1, "RNNBase": 1, "LSTM": 4, "GRU": 3, "RNNCell": 1, "LSTMCell": 4, "GRUCell": 3}
KNOWN = {
    **{base.__name__: base for base in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention)},
    **{base.__name__: base for base in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)},
    **{base.__name__: base for base in (nn.Embedding, nn.EmbeddingBag, nn.LSTM, nn.GRU, nn.RNN)},
    **{base.__name__: base for base in (nn.RNNCell, nn.LSTMCell, nn.GRUCell)},
}
READS = {
    "linear": "Linear",
    "embedding": "Embedding",
    **{f"conv{d}d": f"Conv{d}d" for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": f"ConvTranspose{d}d" for d in (1, 2, 3)},
}
TIED = "shares its weight with {}, where it is counted"


@dataclass(eq=False)
class Layer:
    """One weight: its `name`, `kind`, the `weight` as it acts, and how it is seen as matrices.

    `groups` are the matrices along its first axis; `skip` is a row that is no weight (padding of an embedding).
    `stored` is the part of the parameter that removal may change, None where a weight is computed from others. `bias`
    likewise. `mask` is that of a pruned weight, whose `stored` values it hides. `part` and `module` are the module and
    its name. `parameters` counts weight and bias; `macs` are multiply-adds for one example, None until they were
    counted, and `last` then is the number of its last call. `notes` say what a reader must know.
    """

    name: str
    kind: str
    weight: Tensor
    stored: Tensor | None
    bias: Tensor | None = None
    groups: int = 1
    transposed: bool = False
    skip: int | None = None
    part: nn.Module | None = None
    module: str = ""
    macs: float | None = None
    last: int = -1
    mask: Tensor | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        """The number of weights, with the biases."""
        return self.weight.numel() + (0 if self.bias is None else self.bias.numel())

    def matrices(self) -> Tensor:
        """Return the weight as [groups, out, in] matrices, in its own precision."""
        rows = self.weight if self.skip is None else torch.cat([self.weight[: self.skip], self.weight[self.skip + 1 :]])
        return rows.flatten(1).unflatten(0, (self.groups, -1))

    def filters(self, matrices: Tensor) -> Tensor:
        """Return matrices of this layer as [groups, filters, inputs of one], which of most layers is the same."""
        if not self.transposed:
            return matrices
        kernel = self.weight[0, 0].numel()
        return matrices.unflatten(2, (-1, kernel)).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Skipped:
    """A part with parameters that is not examined: `name`, `kind`, `parameters` and the `reason`."""

    name: str
    kind: str
    parameters: int
    reason: str


def layers(found: Subject) -> tuple[list[Layer], list[Skipped]]:
    """Return the layers of a net in the order of its parts, and what is not examined; BadInput for no layer at all."""
    pairs = _of_program(found) if found.form == "export" else _of_modules(found)
    examined: list[Layer] = []
    skipped: list[Skipped] = []
    owners: dict[tuple[int, tuple[int, ...]], str] = {}
    for one in pairs:
        if isinstance(one, Skipped):
            skipped.append(one)
            continue
        key = (one.weight if one.stored is None else one.stored).data_ptr(), tuple(one.weight.shape)
        if key in owners:
            skipped.append(Skipped(one.name, one.kind, 0, TIED.format(owners[key])))
            continue
        owners[key] = one.name
        examined.append(one)
    if not examined:
        kinds = sorted({f"{one.kind}: {one.reason}" for one in skipped}) or "no part with parameters"
        remedy = "Other kinds are not examined; see `redlib.audit.layers`."
        raise BadInput.of("layers of the net", kinds, f"at least one of {', '.join(KNOWN)}", remedy)
    return examined, skipped


def count_macs(found: Subject, examined: list[Layer], x: Tensor) -> None:
    """Set the multiply-adds of every layer for one example, from a forward pass of x [n, ...] through modules.

    Of products with the weights alone: biases, norms, and the scores of attention are left out. A layer that is called
    several times counts as often; one that is not called as a module keeps None. Archives keep None.
    """
    if found.form != "module":
        return
    owners: dict[nn.Module, list[Layer]] = {}
    calls = itertools.count()
    for layer in examined:
        owners.setdefault(cast(nn.Module, layer.part), []).append(layer)

    def hook(part: nn.Module, inputs: Any, keywords: Any, output: Any) -> None:
        call = next(calls)
        for layer in owners[part]:
            layer.last = call
            layer.macs = (layer.macs or 0) + _macs(layer, inputs, keywords, output) / len(x)

    handles = [part.register_forward_hook(hook, with_kwargs=True) for part in owners]
    try:
        with evaluation(found.net):
            found.net(x)
    finally:
        for handle in handles:
            handle.remove()
    _count_projections(examined)


def head_of(examined: Sequence[Layer]) -> Layer | None:
    """Return the linear layer that was called last when multiply-adds were counted, None where none was."""
    linear = [layer for layer in examined if layer.kind == "Linear" and layer.macs]
    return max(linear, key=lambda layer: layer.last, default=None)


def _count_projections(examined: list[Layer]) -> None:
    """Give the output projection of attention, which is never called as a module, the products of its queries."""
    queries = {layer.module: layer for layer in examined if layer.name.endswith(": q")}
    for layer in examined:
        attention = queries.get(layer.module.removesuffix(".out_proj") if layer.macs is None else "")
        if attention is not None and layer.module.endswith("out_proj") and attention.macs is not None:
            layer.macs = attention.macs / attention.weight.numel() * layer.weight.numel()


def _macs(layer: Layer, inputs: Any, keywords: Any, output: Any) -> float:
    """Return the products of a layer's weight in one call, of the whole batch."""
    first = inputs[0] if inputs else next(iter(keywords.values()))
    first = getattr(first, "data", first) if not isinstance(first, Tensor) else first
    if layer.kind in EMBEDDINGS:
        return 0
    if layer.transposed:
        return float(first.numel() / first.shape[1] * layer.weight.numel()) if first.dim() > 1 else 0
    if layer.kind in CONVOLUTIONS:
        return float(output.numel() / output.shape[1] * layer.weight.numel())
    if layer.kind == "MultiheadAttention":
        at = {"k": 1, "v": 2}.get(layer.name[-1], 0)
        source = inputs[at] if len(inputs) > at else keywords.get(("query", "key", "value")[at], first)
        return float(source.numel() / source.shape[-1] * layer.weight.numel())
    return float(first.numel() / first.shape[-1] * layer.weight.numel())


def _of_modules(found: Subject) -> Iterator[Layer | Skipped]:
    for name, part in found.net.named_modules():
        kind = _kind(part)
        if "quantized" in type(part).__module__ and kind != "Quantize":
            yield Skipped(name, type(part).__name__, 0, "its weights are quantised: examine the net before that")
        elif any(isinstance(p, UninitializedParameter) for p in part.parameters(recurse=False)):
            yield Skipped(name, kind, 0, "a lazy module without weights: run one batch first")
        elif kind in KNOWN and (odd := _odd(part)):
            yield Skipped(name, kind, sum(p.numel() for p in part.parameters(recurse=False)), odd)
        elif kind in KNOWN:
            yield from _of_part(name, kind, part, found.form)
        else:
            yield from _unknown(name, kind, part)


def _odd(part: nn.Module) -> str:
    """Return why the numbers of a part are not examined, "" where they are real ones of at least 16 bits."""
    kinds = {p.dtype for p in part.parameters(recurse=False)}
    if any(kind.is_complex for kind in kinds):
        return "its weights are complex numbers"
    if any(not kind.is_floating_point or kind.itemsize < 2 for kind in kinds):
        return "its weights are whole numbers or of 8 bits: examine the net before they were rounded"
    return ""


def _kind(part: nn.Module) -> str:
    """Return the known kind of a module, also of subclasses, parametrised ones and those of archives; else its name."""
    if isinstance(part, torch.jit.ScriptModule):
        return str(getattr(part, "original_name", type(part).__name__))
    base = parametrize.type_before_parametrizations(part)
    return next((kind for kind, known in KNOWN.items() if issubclass(base, known)), base.__name__)


def _unknown(name: str, kind: str, part: nn.Module) -> Iterator[Skipped]:
    own = list(part.parameters(recurse=False))
    if not own or isinstance(part, parametrize.ParametrizationList):
        return
    known = all(p.squeeze().dim() < 2 for p in own)
    reason = "scales and shifts alone: no matrix" if known else f"a kind of part that is not known here: {kind}"
    yield Skipped(name or "(the net itself)", kind, sum(p.numel() for p in own), reason)


def _of_part(name: str, kind: str, part: nn.Module, form: str) -> Iterator[Layer | Skipped]:
    if kind == "MultiheadAttention":
        yield from _of_attention(name, part, form)
    elif kind in GATES:
        yield from _of_recurrent(name, kind, part, form)
    else:
        layer = _layer(name, kind, part, "weight", form)
        layer.bias = _bias(part, "bias")
        layer.transposed = kind.startswith("ConvTranspose")
        layer.groups = int(getattr(part, "groups", 1) or 1) if kind in CONVOLUTIONS else 1
        layer.skip = getattr(part, "padding_idx", None) if kind in EMBEDDINGS else None
        if form == "torchscript" and kind in CONVOLUTIONS and not hasattr(part, "groups"):
            layer.notes.append("a traced archive does not tell groups: taken as one")
        yield layer


def _layer(name: str, kind: str, part: nn.Module, attribute: str, form: str) -> Layer:
    """Return the layer of one weight as it acts, with what removal may change."""
    if form == "torchscript":
        weight = cast(Tensor, getattr(part, attribute)).detach()
        return Layer(name, kind, weight, weight, part=part, module=name)
    weight = acting(part, attribute)
    mask = getattr(part, f"{attribute}_mask", None)
    # Spectral norm keeps an _orig as pruning does, but divides it by its norm: less of it is no less weight.
    masked = None if mask is None else getattr(part, f"{attribute}_orig", None)
    plain = not parametrize.is_parametrized(part, attribute) and attribute in part._parameters
    stored = weight if plain else masked.detach() if isinstance(masked, Tensor) else None
    layer = Layer(name, kind, weight, stored, part=part, module=name)
    layer.mask = mask if not plain and stored is not None else None
    if not plain:
        layer.notes.append("its weight is computed from others; it is seen as it acts")
    return layer


def _bias(part: nn.Module, attribute: str) -> Tensor | None:
    bias = getattr(part, attribute, None)
    return bias.detach() if isinstance(bias, Tensor) else None


def _of_attention(name: str, part: nn.Module, form: str) -> Iterator[Layer]:
    """Yield queries, keys and values, fused or not, each seen as one matrix a head."""
    heads, bias = int(getattr(part, "num_heads", 1)), _bias(part, "in_proj_bias")
    fused = isinstance(getattr(part, "in_proj_weight", None), Tensor)
    for number, letter in enumerate("qkv"):
        layer = _layer(name, "MultiheadAttention", part, "in_proj_weight" if fused else f"{letter}_proj_weight", form)
        if fused:
            layer.weight = layer.weight.chunk(3)[number]
            layer.stored = None if layer.stored is None else layer.stored.chunk(3)[number]
        layer.name, layer.groups = f"{name}: {letter}", heads
        layer.bias = None if bias is None else bias.chunk(3)[number]
        yield layer


def _of_recurrent(name: str, kind: str, part: nn.Module, form: str) -> Iterator[Layer]:
    """Yield every matrix, seen as one a gate."""
    for attribute in [key for key, _ in part.named_parameters(recurse=False) if key.startswith("weight_")]:
        if attribute.endswith(("_orig", "_g", "_v")):
            continue
        layer = _layer(name, kind, part, attribute, form)
        layer.name = f"{name}: {attribute}"
        layer.groups = 1 if "weight_hr" in attribute else GATES[kind]
        layer.bias = _bias(part, attribute.replace("weight", "bias"))
        yield layer


def _of_program(found: Subject) -> Iterator[Layer | Skipped]:
    """Yield the weights of a torch.export archive, whose kind is told by the operator that reads them."""
    signature = found.program.graph_signature.inputs_to_parameters
    owned = {name.removeprefix("inner."): values for name, values in found.net.named_parameters()}
    for node in found.program.graph.nodes:
        name = signature.get(node.name) if node.op == "placeholder" else None
        if name is None or owned[name].dim() < 2:
            continue
        weight = owned[name].detach()
        readers = [user for user in node.users if user.op == "call_function"]
        operator = getattr(getattr(readers[0].target, "_opname", None), "__str__", str)() if readers else ""
        if operator not in READS:
            reason = f"read by the operator {operator}" if operator else "read by no operator"
            yield Skipped(name, "parameter", weight.numel(), reason)
            continue
        yield _of_operator(name, READS[operator], weight, readers[0])


def _of_operator(name: str, kind: str, weight: Tensor, reader: Any) -> Layer:
    layer = Layer(name.removesuffix(".weight"), kind, weight, weight, transposed=kind.startswith("ConvTranspose"))
    if kind in CONVOLUTIONS:
        layer.groups = int(_argument(reader, 6, "groups", 1))
    if kind == "Embedding":
        padding = int(_argument(reader, 2, "padding_idx", -1))
        layer.skip = padding if padding >= 0 else None
    return layer


def _argument(node: Any, at: int, name: str, default: int) -> Any:
    """Return an argument of an operator, by the names of its schema: the order differs between convolutions."""
    names = [argument.name for argument in node.target._schema.arguments]
    place = names.index(name) if name in names else at
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)
