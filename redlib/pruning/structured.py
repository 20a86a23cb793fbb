"""Structured pruning of nets of any wiring: whole channels go wherever they are written, carried along, and read.

`compact` cuts chains of layers. Here the wiring (skip connections, concatenation, depthwise convolutions, attention) is
read from a forward pass by torch-pruning (Fang et al. 2023, DepGraph), the optional extra "structured": channels that a
skip connection adds up can only go together, so they are ranked, judged and removed as one. Of Linear layers, channels
are units. What torch-pruning removes is checked here: the smaller net must compute what the larger one computes with
those channels silent, or nothing is returned. Everything holds in evaluation mode; optimiser state does not carry over.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils.flop_counter import FlopCounterMode

from redlib.data.streams import torch_rng
from redlib.errors import BadInput
from redlib.pruning import masks as masking
from redlib.pruning.compaction import top_filters
from redlib.pruning.units import filter_norms

TOLERANCE = 1e-5  # of the largest output: rounding in float32 stays far below
ROUNDS = (
    3  # times that torch-pruning may pass each edge of the wiring for one group of channels: once or twice is usual
)
DRAWS = 2  # random inputs on which nets are compared, besides the example
MISSING = "torch-pruning is not installed"
UNKNOWN = "torch-pruning has no rule for it"
INSTALL = "pip install 'redlib[structured]'."
LINEAR = (nn.Linear, _ConvNd)
FREE = ("ELEMENTWISE", "CONCAT", "SPLIT", "RESHAPE", "UNBIND", "EXPAND", "SLICE")  # without weights, as the engine says
Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Shrunk:
    """A net that has lost channels, and what that changed.

    net: the smaller copy, without masks. removed: {layer: channels of its output that went}. whole: {layer: why all of
    its channels stay}. parameters and flops: (before, after); flops are those of one forward pass of the example, as
    torch counts them (convolutions and matrix products, two for each product). change: the largest difference of an
    output from that of the net given, as a share of its largest output, over the example and random inputs.
    """

    net: nn.Module
    removed: dict[str, int]
    whole: dict[str, str]
    parameters: tuple[int, int]
    flops: tuple[int, int]
    change: float


def shrink(
    net: nn.Module, example: Tensor | Sequence[Tensor], share: float | None = None, whole: Sequence[str] = ()
) -> Shrunk:
    """Return a smaller copy of `net` without whole channels, and what that changed.

    By default only dead channels go: those that nothing reads (all weights that read them are zero), and those that are
    zero whatever the input (the weights that write them are zero, and so is what bias, norm and activation make of it).
    The outputs stay, to TOLERANCE of the largest one (in double precision, where a net's rounding is larger than that).
    Masks in force count as zeros.

    With `share` every layer keeps that fraction of its channels, those whose incoming weights have the largest summed
    magnitude (Li et al. 2017; over all layers that write into one sum), round(share * channels) of each. This changes
    the outputs: see `change`. Fine-tune afterwards.

    `example` is an input with its batch axis, or several that the net takes in this order. All channels stay of what a
    net puts out, of grouped convolutions, and of what passes a layer or group norm, attention, recurrence, an embedding
    or a parameter of the net's own: with a channel less these compute something else. `whole` names further layers, or
    modules that hold some. A layer keeps at least one channel.

    Raises BadInput where torch-pruning is missing or cannot follow the net, where no layer can lose a channel, where
    the smaller net does not compute what the larger one does with those channels silent (this names the layer), and
    for parameters that are shared or computed; EmptyLayer where `share` leaves a layer no channel.
    """
    plain = _plain(net)
    start = _workable(plain)
    inputs = _inputs(example, start)
    trials = [inputs, *(_random(inputs, draw) for draw in range(DRAWS))]
    before = _outputs(start, trials)
    if not all(bool(values.isfinite().all()) for values in before):
        raise BadInput.of("outputs of the net", "not finite", "numbers", "Pass an example that it can work with.")
    graph = _Graph(start, inputs, whole)
    graph.check()
    small = _lossy(graph, share, trials) if share is not None else _lossless(graph, whole, trials)
    change = _gap(_outputs(small, trials), before)
    parameters = sum(p.numel() for p in start.parameters()), sum(p.numel() for p in small.parameters())
    flops, lost = (_flops(start, inputs), _flops(small, inputs)), _rows_lost(start, small)
    return Shrunk(_like(small, plain), lost, graph.whole(), parameters, flops, change)


@dataclass(frozen=True)
class _Part:
    """What coupled channels are to one node of the graph: place `places[i]` of the module belongs to `channels[i]`.

    Places are columns of a layer that `reads` them, else rows, or entries of a norm.
    """

    node: Any
    reads: bool
    places: Tensor
    channels: Tensor

    @property
    def module(self) -> Any:
        """The layer, norm or parameter, or torch-pruning's stand-in for an operation."""
        return self.node.module

    def by_channel(self, values: Tensor, count: int) -> Tensor:
        """Return the sum of `values`, one per place of the module, over the places of each channel, [count]."""
        total = torch.zeros(count, dtype=values.dtype)
        return total.index_add_(0, self.channels, values.cpu()[self.places])


@dataclass(frozen=True)
class _Group:
    """Channels that can only be removed together from all layers that write, carry and read them."""

    root: str
    size: int
    parts: list[_Part]
    obstacle: str  # why they must stay, "" where they can go

    @property
    def writers(self) -> list[_Part]:
        """The layers whose outputs the channels are, depthwise convolutions too."""
        return [part for part in self.parts if isinstance(part.module, LINEAR) and not part.reads]

    @property
    def readers(self) -> list[_Part]:
        """The layers whose inputs the channels are."""
        return [part for part in self.parts if part.reads]

    def scores(self) -> Tensor:
        """Return the summed magnitude of the weights into each channel, [size]; of a depthwise layer they scale it."""
        rows = [part for part in self.writers if not _depthwise(part.module)] or self.writers
        return torch.stack([p.by_channel(filter_norms(_by_row(p.module)[None], 1)[0], self.size) for p in rows]).sum(0)


class _Graph:
    """The wiring of a net as torch-pruning reads it, in groups of coupled channels by the name of one layer."""

    def __init__(self, net: nn.Module, inputs: Inputs, whole: Sequence[str] = ()) -> None:
        self.net, self.inputs, self.asked = net, inputs, tuple(whole)
        self.names: dict[object, str] = {part: name for name, part in net.named_modules()}
        self.names |= {values: name for name, values in net.named_parameters()}
        if unknown := [name for name in whole if name not in self.names.values()]:
            raise BadInput.of("whole", unknown, "names of parts of the net", "See net.named_modules().")
        self.engine, self.ends = _engine(), set()  # type: Any, set[object]
        try:
            self.graph = self._traced()
            with self._bounded():
                self.groups = {group.root: group for group in self._found()}
        except Exception as error:
            given = f"{type(error).__name__}: {error}"
            raise BadInput.of(
                "wiring of the net", given, "a net that torch-pruning can follow", "Use masks."
            ) from error

    def check(self) -> None:
        """Raise BadInput, with the reasons, where no layer can lose a channel."""
        if all(group.obstacle for group in self.groups.values()):
            raise BadInput.of("layers to shrink", self.whole(), "one that can lose channels", "Mask weights instead.")

    def whole(self) -> dict[str, str]:
        """Return {layer: why it keeps all of its channels}, for all parameters of two or more dimensions."""
        free, kept = set(), {}  # type: set[str], dict[str, str]
        for group in self.groups.values():
            names = {self.names[p.module] for p in group.parts if not p.reads and p.module in self.names}
            kept |= dict.fromkeys(names, group.obstacle)
            free |= names if not group.obstacle else set()
        found = {}
        for path, values in self.net.named_parameters():
            name, owners = path.removesuffix(".weight"), [path, path.rpartition(".")[0]]
            owners.append(owners[-1].rpartition(".")[0])  # the projection of an attention is a part of its own
            if values.dim() > 1 and not free & {*owners[:2]}:
                found[name] = next((kept[owner] for owner in owners if kept.get(owner)), UNKNOWN)
        return found

    def dead(self, trials: Sequence[Inputs]) -> dict[str, list[int]]:
        """Return {root of a group: its dead channels}; of an entirely dead group the first channel stays."""
        open_ = [group for group in self.groups.values() if not group.obstacle]
        largest = _largest_inputs(self.net, [part.module for group in open_ for part in group.readers], trials)
        found = {}
        for group in open_:
            dead, varying = torch.ones(group.size, dtype=torch.bool), self._varying(group)
            for part in group.readers:
                unread = part.by_channel(_by_column(part.module).abs().flatten(1).sum(1), group.size) == 0
                silent = part.by_channel(largest[part.module], group.size) == 0
                constant = ~_any([varying.get(node) for node in part.node.inputs], group.size)
                dead &= unread | (silent & constant)
            dead[0] &= not bool(dead.all())
            if bool(dead.any()):
                found[group.root] = dead.nonzero().flatten().tolist()
        return found

    def weakest(self, share: float) -> dict[str, list[int]]:
        """Return {root of a group: the channels that a fraction `share` kept leaves out}, by `scores`."""
        kept = top_filters({root: g.scores() for root, g in self.groups.items() if not g.obstacle}, share)
        return {root: (~keep).nonzero().flatten().tolist() for root, keep in kept.items() if not bool(keep.all())}

    def silence(self, cuts: Mapping[str, Sequence[int]]) -> None:
        """Set to zero, in place, what writes, carries and reads these channels."""
        with torch.no_grad():
            for root, channels in cuts.items():
                for part in self.groups[root].parts:
                    places = part.places[torch.isin(part.channels, torch.tensor(channels))]
                    _zero(part.module, places, part.reads)

    def remove(self, cuts: Mapping[str, Sequence[int]]) -> None:
        """Remove these channels, in place, by torch-pruning."""
        with self._bounded():
            for root, channels in cuts.items():
                layer = self.net.get_submodule(root)
                rule = self.graph.get_pruner_of_module(layer).prune_out_channels
                self.graph.get_pruning_group(layer, rule, list(channels)).prune(record_history=False)

    def _traced(self) -> Any:
        roots: list[Any] = []

        def run(net: nn.Module, inputs: Inputs) -> list[Tensor]:
            found = [values for values in _tensors(net(*_cloned(inputs))) if values.grad_fn is not None]
            roots.extend(values.grad_fn for values in found)
            return found

        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = self.engine.DependencyGraph().build_dependency(self.net, self.inputs, forward_fn=run, verbose=False)
        nodes = graph.module2node.values()
        self.ends = {node for node in nodes if node.grad_fn in roots or node.type.name == "OUTPUT"}
        return graph

    @contextlib.contextmanager
    def _bounded(self) -> Iterator[None]:
        """Stop torch-pruning where a group grows without end: shifted windows send it round for ever."""
        graph = self.engine.dependency.graph
        before, most = graph.Group, ROUNDS * sum(len(node.dependencies) for node in self.graph.module2node.values())
        widest = ROUNDS * max((n for values in self.net.parameters() for n in values.shape), default=0)

        class Group(before):  # type: ignore[misc, valid-type]
            def add_dep(self, dep: Any, idxs: Any) -> None:
                if len(self) > most or len(idxs) > widest:
                    raise RuntimeError("the channels of a layer are tied to each other without end")
                super().add_dep(dep, idxs)

        graph.Group = Group
        try:
            yield
        finally:
            graph.Group = before

    def _found(self) -> Iterator[_Group]:
        for group in self.graph.get_all_groups(root_module_types=LINEAR):
            layer, rule = group[0].dep.target.module, group[0].dep.handler
            parts = [self._part(item) for item in group if item.idxs]
            alone = len(self.graph.get_pruning_group(layer, rule, [0])[0].idxs) == 1
            reason = self._obstacle(parts) if alone else "a reshape ties several of its channels together"
            yield _Group(self.names[layer], len(group[0].idxs), parts, reason)

    def _part(self, item: Any) -> _Part:
        node, handler = item.dep.target, item.dep.handler
        layer = isinstance(node.module, LINEAR) and not _depthwise(node.module)
        reads = layer and handler == self.graph.get_pruner_of_module(node.module).prune_in_channels
        channels = [-1 if index is None else index for index in item.root_idxs]
        return _Part(node, reads, torch.tensor(item.idxs), torch.tensor(channels))

    def _obstacle(self, parts: list[_Part]) -> str:
        """Return why these channels must stay, "" where nothing is known against it."""
        for part in parts:
            module, kind = part.module, type(part.module).__name__
            name = self.names.get(module, kind)
            if not part.reads and any(name == one or name.startswith(f"{one}.") for one in self.asked):
                return f"{name} is to stay whole"
            if part.node in self.ends and not part.reads:
                return "they are outputs of the net"
            if isinstance(module, nn.Parameter):
                return f"the parameter {name} takes part"
            if isinstance(module, _ConvNd) and module.groups > 1 and not _depthwise(module):
                return f"{name} is a grouped convolution"
            if not _carries(part.node):
                return f"they pass {name} ({kind})"
            if _depthwise(module) and not part.node.inputs:
                return f"{name} reads the input of the net"
        if not any(part.reads for part in parts) or any(bool((part.channels < 0).any()) for part in parts):
            return "no layer that reads them is known"
        return ""

    def _varying(self, group: _Group) -> dict[Any, Tensor]:
        """Return which channels may depend on the input behind each node that writes or carries them, bool [size].

        A channel does not where on every way to it a layer or norm has weights that are all zero.
        """
        parts = {part.node: part for part in group.parts if not part.reads}
        found = {node: torch.zeros(group.size, dtype=torch.bool) for node in parts}
        order = [node for node in reversed(self.graph.module2node.values()) if node in parts]
        changed = True
        while changed:  # once or twice: the order is from inputs to outputs
            changed = False
            for node in order:
                now = _lets_through(parts[node], group.size) & _enters(node, found, group.size)
                changed |= not torch.equal(now, found[node])
                found[node] = now
        return found


def _engine() -> Any:
    """Return the module torch_pruning; BadInput where it is not installed."""
    try:
        import torch_pruning
    except ImportError as error:
        raise BadInput.of("structured pruning", MISSING, "where it is", INSTALL) from error
    return torch_pruning


def _lossless(graph: _Graph, whole: Sequence[str], trials: Sequence[Inputs]) -> nn.Module:
    """Return the net without dead channels; those that only dead channels read or write follow, round by round."""
    while cuts := graph.dead(trials):
        graph = _Graph(_cut(graph, cuts, trials, quiet=False), graph.inputs, whole)
    return graph.net


def _lossy(graph: _Graph, share: float, trials: Sequence[Inputs]) -> nn.Module:
    cuts = graph.weakest(share)
    return _cut(graph, cuts, trials, quiet=True) if cuts else graph.net


def _cut(graph: _Graph, cuts: Mapping[str, Sequence[int]], trials: Sequence[Inputs], quiet: bool) -> nn.Module:
    """Return a copy of the net without these channels, checked; BadInput names the layers where it is wrong.

    Checked twice: with random weights as well, since zeros (a fresh head, a branch's last norm) would hide any fault.
    """
    twin = _randomised(graph.net)

    def attempt(some: Mapping[str, Sequence[int]]) -> tuple[nn.Module, float]:
        small, gap = _checked(graph, graph.net, some, trials, quiet)
        return small, max(gap, _checked(graph, twin, some, trials, quiet=True)[1])

    small, gap = attempt(cuts)
    if gap <= TOLERANCE:
        return small
    wrong = [root for root, channels in cuts.items() if not attempt({root: channels})[1] <= TOLERANCE]
    raise _disagrees(wrong or list(cuts), gap)


def _checked(
    graph: _Graph, net: nn.Module, cuts: Mapping[str, Sequence[int]], trials: Sequence[Inputs], quiet: bool
) -> tuple[nn.Module, float]:
    """Return what `_attempt` does, with the distance in double precision where rounding may have made it."""
    small, gap = _attempt(graph, net, cuts, trials, quiet)
    if TOLERANCE < gap < torch.inf:
        with contextlib.suppress(Exception):  # a net may make tensors of single precision, a device have no other
            doubled = [tuple(x.double() if x.is_floating_point() else x for x in inputs) for inputs in trials]
            gap = _attempt(graph, copy.deepcopy(net).double(), cuts, doubled, quiet)[1]
    return small, gap


def _attempt(
    graph: _Graph, net: nn.Module, cuts: Mapping[str, Sequence[int]], trials: Sequence[Inputs], quiet: bool
) -> tuple[nn.Module, float]:
    """Return (a copy without these channels, its distance from the one with them, silenced if `quiet`); inf: broken."""
    copied = _Graph(copy.deepcopy(net), trials[0], graph.asked)
    if quiet:
        copied.silence(cuts)
    expected = _outputs(copied.net, trials)
    try:
        copied.remove(cuts)
        return copied.net, _gap(_outputs(copied.net, trials), expected)
    except Exception:  # whatever torch says where sizes no longer fit
        return copied.net, torch.inf


def _randomised(net: nn.Module) -> nn.Module:
    """Return a copy with random weights and running statistics, none of them zero."""
    twin, source = copy.deepcopy(net), torch_rng(0, "init")
    with torch.no_grad():
        for values in twin.parameters():
            if values.is_floating_point():
                scale = values[0].numel() ** -0.5 if values.dim() > 1 else 1.0
                values.copy_(torch.randn(values.shape, generator=source) * scale)
        for part in twin.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None and part.running_var is not None:
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=source))
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=source) + 0.5)
    return twin


def _disagrees(layers: Sequence[str], gap: float) -> BadInput:
    given = "it does not run" if gap == torch.inf else f"outputs differ by {gap:.1e} of the largest"
    remedy = f"The net uses their channels in a way that torch-pruning does not see: pass whole={list(layers)}."
    return BadInput.of(f"the net without channels of {list(layers)}", given, f"at most {TOLERANCE:.0e}", remedy)


def _plain(net: nn.Module) -> nn.Module:
    """Return a copy whose weights are parameters; BadInput for shared ones, and for others that a hook computes."""
    if not isinstance(net, nn.Module):
        raise BadInput.of(
            "net", type(net).__name__, "an nn.Module", "Turn a stack into modules: nets.stacked.unstacked."
        )
    masking.check_unshared(net)
    computed = [
        f"{name}.{attribute}".lstrip(".")
        for name, part in net.named_modules()
        for attribute, values in vars(part).items()
        if isinstance(values, Tensor) and values.grad_fn is not None and f"{attribute}_orig" not in part._parameters
    ]
    if computed:
        raise BadInput.of("weights of the net", computed, "parameters", "Take off what computes them (weight norm).")
    return masking.plain_copy(net)


def _workable(net: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose parameters have gradients, as tracing needs, and at least 32 bits."""
    found = copy.deepcopy(net).eval()
    for values in [*found.parameters(), *found.buffers()]:
        if values.dtype in (torch.float16, torch.bfloat16):
            values.data = values.data.float()
    for values in found.parameters():
        values.grad = None
        values.requires_grad_(values.is_floating_point())
    return found


def _like(small: nn.Module, net: nn.Module) -> nn.Module:
    """Return the smaller net with the types, modes and frozen parameters of the net that it was."""
    was = dict([*net.named_parameters(), *net.named_buffers()])
    for name, values in [*small.named_parameters(), *small.named_buffers()]:
        values.data = values.data.to(was[name].dtype)
        values.requires_grad_(was[name].requires_grad)
    for name, part in net.named_modules():
        small.get_submodule(name).training = part.training
    return small


def _inputs(example: Tensor | Sequence[Tensor], net: nn.Module) -> Inputs:
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    if not inputs or not all(isinstance(x, Tensor) and x.dim() and x.numel() for x in inputs):
        allowed = "a tensor with a batch axis, or several"
        raise BadInput.of("example", type(example).__name__, allowed, "Pass what the net is called with.")
    half = (torch.float16, torch.bfloat16)
    return tuple(x.detach().float() if x.dtype in half else x.detach() for x in inputs)


def _random(inputs: Inputs, draw: int) -> Inputs:
    """Return random inputs like these: normal numbers, whole numbers (tokens) among those of the example."""
    source, found = torch_rng(0, "eval", draw), []
    for x in inputs:
        if x.is_floating_point():
            x = torch.randn(x.shape, generator=source).to(x)
        elif x.dtype != torch.bool:  # a mask of tokens stays: other masks may leave none
            x = x.flatten()[torch.randint(x.numel(), x.shape, generator=source).to(x.device)]
        found.append(x)
    return tuple(found)


def _cloned(inputs: Inputs) -> Inputs:
    return tuple(x.clone() for x in inputs)  # a net may write into what it is given


def _outputs(net: nn.Module, trials: Sequence[Inputs]) -> list[Tensor]:
    with torch.no_grad():
        return [values.detach() for inputs in trials for values in _tensors(net(*_cloned(inputs)))]


def _tensors(values: object) -> list[Tensor]:
    """Return the tensors in what a net returns, in order."""
    if isinstance(values, Tensor):
        return [values]
    inner = values.values() if isinstance(values, Mapping) else values if isinstance(values, list | tuple) else ()
    return [tensor for one in inner for tensor in _tensors(one)]


def _gap(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference, as a share of the largest value of that output; inf where shapes differ.

    An output that is expected to be no number tells nothing and is left out.
    """
    gaps = [0.0]
    for one, other in zip(found, expected, strict=True):
        if one.shape != other.shape:
            return torch.inf
        if not bool(other.isfinite().all()):
            continue
        if other.numel():
            scale = other.double().abs().max()
            gaps.append(float((one.double() - other.double()).abs().max() / (scale if scale > 0 else 1)))
    return max(gaps) if all(gap == gap for gap in gaps) else torch.inf


def _flops(net: nn.Module, inputs: Inputs) -> int:
    """Return the operations of one forward pass, without the kernels in which torch's counter sees no products."""
    libraries: list[Any] = [torch.backends.mkldnn, torch.backends.cudnn]
    before, counter = [library.enabled for library in libraries], FlopCounterMode(display=False)
    try:
        for library in libraries:
            library.enabled = False
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            net(*_cloned(inputs))
    finally:
        for library, enabled in zip(libraries, before, strict=True):
            library.enabled = enabled
    return int(counter.get_total_flops())


def _largest_inputs(net: nn.Module, layers: Sequence[nn.Module], trials: Sequence[Inputs]) -> dict[nn.Module, Tensor]:
    """Return the largest magnitude that each column of these layers meets, {layer: [columns]}."""
    found: dict[nn.Module, Tensor] = {}

    def look(layer: nn.Module, inputs: Inputs) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else -1 - len(layer.kernel_size)  # type: ignore[arg-type]
        largest = inputs[0].detach().abs().movedim(axis, 0).flatten(1).amax(1)
        found[layer] = torch.maximum(found[layer], largest) if layer in found else largest

    hooks = [layer.register_forward_pre_hook(look) for layer in dict.fromkeys(layers)]
    try:
        _outputs(net, trials)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _lets_through(part: _Part, size: int) -> Tensor:
    """Return of which channels the layer or norm has a weight that is not zero, bool [size]; all where it has none."""
    module = part.module
    if isinstance(module, LINEAR):
        rows = _by_row(module)
    elif isinstance(module, (_BatchNorm, _InstanceNorm)) and module.weight is not None:
        rows = module.weight.detach()[:, None]
    else:
        return torch.ones(size, dtype=torch.bool)
    return part.by_channel(rows.abs().flatten(1).sum(1), size) != 0


def _enters(node: Any, varying: Mapping[Any, Tensor], size: int) -> Tensor:
    """Return into which channels of a node something may come that depends on the input, bool [size]."""
    if isinstance(node.module, LINEAR) and not _depthwise(node.module):
        return torch.ones(size, dtype=torch.bool)
    if node.type.name in FREE:
        if not node.inputs:  # made of weights alone: operations on nothing but inputs have no node
            return torch.zeros(size, dtype=torch.bool)
        if any(source is None for source, _ in node.grad_fn.next_functions):  # a number, or an input of the net
            return torch.ones(size, dtype=torch.bool)
    # Channels joined to these are others; what another group multiplies or adds is not known to be constant.
    return _any([varying.get(one) for one in node.inputs if one in varying or node.type.name != "CONCAT"], size)


def _any(values: Sequence[Tensor | None], size: int) -> Tensor:
    """Return where any of these is true, with None for true everywhere, as are inputs of the net."""
    if not values or any(value is None for value in values):
        return torch.ones(size, dtype=torch.bool)
    return torch.stack(values).any(0)  # type: ignore[arg-type]


def _carries(node: Any) -> bool:
    """Return whether each channel passes a node by itself."""
    module = node.module
    if isinstance(module, _InstanceNorm):
        return not module.track_running_stats  # torch-pruning would leave them behind
    return node.type.name in FREE or isinstance(module, (*LINEAR, _BatchNorm, nn.PReLU))


def _depthwise(module: object) -> bool:
    return isinstance(module, _ConvNd) and module.groups == module.in_channels == module.out_channels > 1


def _row_axis(module: nn.Module) -> int:
    return int(isinstance(module, _ConvTransposeNd) and not _depthwise(module))


def _by_row(module: nn.Module) -> Tensor:
    """Return the weight of a layer with its outputs first."""
    return module.weight.detach().movedim(_row_axis(module), 0)  # type: ignore[operator]


def _by_column(module: nn.Module) -> Tensor:
    """Return the weight of a layer with its inputs first."""
    return module.weight.detach().movedim(1 - _row_axis(module), 0)  # type: ignore[operator]


def _zero(module: Any, places: Tensor, reads: bool) -> None:
    """Set to zero the columns (where it reads) or rows of a layer, or the entries of a norm."""
    if isinstance(module, LINEAR):
        axis = 1 - _row_axis(module) if reads else _row_axis(module)
        module.weight.index_fill_(axis, places.to(module.weight.device), 0)
        values = [] if reads else [module.bias]
    else:
        norm = isinstance(module, (_BatchNorm, _InstanceNorm))
        values = [module.weight, module.bias, module.running_mean] if norm else []
    for one in values:
        if one is not None:
            one.index_fill_(0, places.to(one.device), 0)


def _rows_lost(net: nn.Module, small: nn.Module) -> dict[str, int]:
    """Return {layer: channels of its output that it lost}."""
    found = {}
    for name, part in net.named_modules():
        if isinstance(part, LINEAR):
            found[name] = len(_by_row(part)) - len(_by_row(small.get_submodule(name)))
    return {name: lost for name, lost in found.items() if lost}
