"""What the units of every layer do on examples: dead, constant and repeated ones, how many dimensions they use.

A unit is a filter, or a feature of what a layer returns; its activation is the mean over the positions of its map or
sequence (as in `redlib.measures.units`). It is read where the layer's output has passed the norms and the activation
that follow it directly as modules; `after` says which. An activation that the net's own code computes is not seen, so
the layer's output is read before it; so it is where something else takes that output, too, such as a shortcut. Of a
part that is called several times all calls count. Examples go through in batches, and of each layer only sums are kept:
for u units u² of them, and of more than MOST units as many, drawn at random.

Each number stands beside those of twins of the net (`redlib.audit.twins`) on the same examples, so that what the data
do to any net is no structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from redlib.audit.inputs import Examples, Subject, evaluation, moving
from redlib.audit.layers import CONVOLUTIONS, EMBEDDINGS, GATES, Layer, head_of
from redlib.audit.measure import Measure, against_counts, against_draws, alone
from redlib.audit.twins import AGAINST, LEAST_EXAMPLES, TWINS, can_have_twins, twin
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.collapse import collapse
from redlib.measures.neighbours import nearest_neighbours, same_class_fraction

MEASURES = 6  # compared with a null in every layer
MOST = 1024  # units of a layer
OPERATIONS = 3e11  # multiply-adds that the examples may take, with the twins, at an effort of 1
RARE = 0.01  # share of examples; a unit active on fewer is nearly dead
STILL = 1e-3  # of the median standard deviation of the units; one that varies less is constant
ALIKE = 0.95  # of |correlation| between two units that repeat each other
SHARE = 0.95  # of the variance
NEIGHBOURS = 30  # as Doimo et al. 2020
UNITS = 94  # key of the stream "eval", so that no other draw of a seed repeats these
RECTIFIERS = ("ReLU", "ReLU6")
BENT = (*RECTIFIERS, "LeakyReLU", "PReLU", "RReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Softplus", "Tanh",
        "Sigmoid", "Hardswish", "Hardsigmoid", "Hardtanh", "Softsign")  # fmt: skip
PASSING = ("Norm", "Dropout", "Identity")
NAMES = ("dead_units", "near_dead_units", "constant_units", "repeated_units", "effective_dimension", "components95")


@dataclass(eq=False)
class Site:
    """Where the units of a layer are read: call number `call` of `part`, units on `axis` (1 or -1), `after` what.

    `others` are the further calls, of a part that is called several times. `late` says that examples are on axis 1, as
    in sequences that come first, and `final` that no other layer reads the units: they are outputs of the net.
    """

    layer: Layer
    part: nn.Module
    call: int
    axis: int
    after: str
    others: tuple[tuple[nn.Module, int], ...] = ()
    late: bool = False
    final: bool = False

    def at(self, part: nn.Module, call: int) -> bool:
        """Return whether the units are read from this call of a part."""
        return (self.part is part and self.call == call) or (part, call) in self.others

    @property
    def rectified(self) -> bool:
        """Whether a unit that is 0 is switched off."""
        return type(self.part).__name__ in RECTIFIERS


@dataclass
class _Event:
    part: nn.Module
    call: int
    inputs: list[tuple[Tensor, int]]
    output: Tensor | None = None
    version: int = 0
    reads: list[Any] = field(default_factory=list)  # nodes of autograd's graph that it took, and those it made
    makes: list[Any] = field(default_factory=list)


@dataclass
class Sums:
    """Sums over examples of the activations of `units` [u] of a layer."""

    units: Tensor
    rectified: bool
    count: int = 0
    shift: Tensor | None = None
    total: Tensor | None = None
    products: Tensor | None = None
    active: Tensor | None = None
    largest: Tensor | None = None

    def add(self, activations: Tensor) -> None:
        """Take in activations [n, units, positions]."""
        own = activations.index_select(1, self.units)
        means = own.double().mean(2)
        if self.shift is None or self.total is None:
            self.shift = means.mean(0)
            self.total, self.products = torch.zeros_like(self.shift), means.new_zeros(2 * (means.shape[1],))
            self.active, self.largest = torch.zeros_like(self.shift), torch.zeros_like(self.shift)
        centred = means - self.shift
        self.count += len(own)
        self.total += centred.sum(0)
        self.products += centred.T @ centred  # type: ignore[operator]
        self.active += (own > 0).any(2).sum(0)  # type: ignore[operator]
        self.largest = torch.maximum(self.largest, own.abs().amax((0, 2)).double())  # type: ignore[arg-type]

    def numbers(self) -> dict[str, float]:
        """Return the counts of dead, near-dead, constant and repeated units, and the dimensions used."""
        assert self.total is not None and self.products is not None
        mean = self.total / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        if not bool(covariance.isfinite().all()):  # a twin may overflow where the net does not
            return dict.fromkeys(NAMES if self.rectified else NAMES[2:], math.nan)
        deviation = covariance.diagonal().clamp(min=0).sqrt()
        dead, still = self._dead_and_still(deviation)
        unit = torch.where(still | dead, torch.inf, deviation)
        correlation = (covariance / unit[:, None] / unit).abs().fill_diagonal_(0)
        values = torch.linalg.eigvalsh(covariance).flip(0).clamp(min=0)
        total = float(values.sum())
        spread = float(values.square().sum())
        reached = (values.cumsum(0) < (SHARE - 1e-12) * total).sum()
        found = {
            "constant_units": float((still & ~dead).sum()),
            "repeated_units": float((correlation > ALIKE).any(1).sum()),
            "effective_dimension": total**2 / spread if spread > 0 else 0.0,
            "components95": float(reached + 1) if total > 0 else 0.0,
        }
        assert self.active is not None
        near = (self.active < RARE * self.count) & ~dead
        counted = {"dead_units": float(dead.sum()), "near_dead_units": float(near.sum())}
        return (counted if self.rectified else {}) | found

    def _dead_and_still(self, deviation: Tensor) -> tuple[Tensor, Tensor]:
        assert self.active is not None and self.largest is not None
        dead = (self.active == 0) if self.rectified else (self.largest == 0)
        alive = deviation[~dead]
        limit = STILL * float(alive.median()) if len(alive) else 0.0
        return dead, deviation <= limit


@dataclass
class Seen:
    """What one net does: numbers by layer name and of the last features, and whether outputs [n] are `finite`."""

    layers: dict[str, dict[str, float]] = field(default_factory=dict)
    features: dict[str, float] = field(default_factory=dict)
    finite: Tensor = field(default_factory=lambda: torch.ones(0, dtype=torch.bool))


def find_sites(found: Subject, layers: Sequence[Layer], x: Tensor) -> tuple[list[Site], dict[str, str]]:
    """Return where the units of each layer are read, and of the other layers the reason why they are not.

    From one forward pass of x, in which it is seen which module takes the output of which, unchanged, and by autograd's
    graph what else takes it.
    """
    if found.form != "module":
        reason = "an archive runs as one program, whose parts cannot be listened to: pass the module"
        return [], {layer.name: reason for layer in layers}
    events, takers = _events(found, layers, x)
    parts = {layer.name: _source(found, layer) for layer in layers}
    read = _ancestors(
        [node for one in events if one.part in {part for part, _ in parts.values()} for node in one.reads]
    )
    sites, missing = [], {}
    for layer in layers:
        part, reason = parts[layer.name]
        calls = [event for event in events if event.part is part]
        if reason or not calls or any(call.output is None for call in calls):
            missing[layer.name] = reason or ("its output is no tensor" if calls else "it was not called as a module")
            continue
        final = all(one.makes and not read.intersection(one.makes) for one in calls)
        sites.append(_site(layer, calls, events, takers, len(x)))
        sites[-1].final = final if takers else calls[-1] is _last(events, parts)
    return sites, missing


def _last(events: Sequence[_Event], parts: dict[str, tuple[nn.Module | None, str]]) -> _Event:
    own = {part for part, _ in parts.values()}
    return [event for event in events if event.part in own][-1]


def _site(layer: Layer, calls: Sequence[_Event], events: list[_Event], takers: dict[Any, set[Any]], count: int) -> Site:
    """Return where a layer is read that was called so."""
    ends = [_followed(call, events, takers) for call in calls]
    if len({passed for _, passed in ends}) > 1:  # the calls go different ways
        ends = [(call, ()) for call in calls]
    at, passed = ends[0]
    output = cast(Tensor, at.output)
    late = output.dim() > 2 and output.shape[0] != count and output.shape[1] == count
    after = " and ".join(passed) or "its own output"
    after += f", all {len(calls)} calls" if len(calls) > 1 else ""
    others = tuple((end.part, end.call) for end, _ in ends[1:])
    return Site(layer, at.part, at.call, 1 if layer.kind in CONVOLUTIONS else -1, after, others, late)


def activation_measures(
    found: Subject,
    layers: Sequence[Layer],
    sites: Sequence[Site],
    given: Examples,
    seed: int,
    level: float,
    whole: float,
    effort: float = 1.0,
) -> tuple[dict[str, dict[str, Measure]], dict[str, Measure], dict[str, int]]:
    """Return the measures by layer, those of the features that the last layer reads, and how much was looked at.

    Features (with labels): the share of nearest neighbours of the same class, and NC1, at the level `whole`. `seed`
    names the stream of the twins; where a weight cannot be shuffled there are none, and measures have no null. `effort`
    multiplies OPERATIONS.
    """
    macs = sum(layer.macs or 0 for layer in layers)
    part, draws = _affordable(given, macs / effort, can_have_twins(layers))
    head = head_of(layers)
    own = _seen(found, sites, head, part, seed)
    if odd := int((~own.finite).sum()):
        remedy = "Leave these examples out, or examine the net in float32."
        raise BadInput.of(
            "outputs of the net", f"nan or inf for {odd} of {len(part)} examples", "finite numbers", remedy
        )
    null = []
    for draw in range(draws):
        with twin(found, layers, part, seed, draw):
            null.append(_seen(found, sites, head, part, seed))
    units = {site.layer.name: len(_chosen(own_units(site), seed)) for site in sites}
    measures = {name: _measured(numbers, [draw.layers[name] for draw in null], level, units[name])
                for name, numbers in own.layers.items()}  # fmt: skip
    features = _of_features(own.features, [draw.features for draw in null], whole)
    return measures, features, {"examples": len(part), "twins": draws}


def own_units(site: Site) -> int:
    """Return how many units a site has: the outputs of its layer."""
    weight, part = site.layer.weight, cast(Any, site.layer.part)
    if site.layer.kind in GATES:
        size = getattr(part, "proj_size", 0) or part.hidden_size
        return int(size) * (2 if getattr(part, "bidirectional", False) else 1)
    if site.layer.kind in EMBEDDINGS:
        return weight.shape[-1]
    return weight.shape[1] * site.layer.groups if site.layer.transposed else len(weight)


def by_unit(output: Any, axis: int, late: bool = False) -> Tensor:
    """Return the output of a part as [n, units, positions]; of several outputs the first, and `late` as in `Site`."""
    values = output[0] if isinstance(output, tuple | list) else output
    values = values.transpose(0, 1) if late else values
    values = values.detach()
    if values.dim() == 1:
        values = values[:, None]
    return (values if axis == 1 else values.movedim(-1, 1)).flatten(1).unflatten(1, (values.shape[axis], -1))


def listen(found: Subject, sites: Sequence[Site], x: Tensor, look: Callable[[Site, Any], Any]) -> Any:
    """Return the net's output for x; look(site, output) is called at every site, and replaces it unless it is None."""
    counts: dict[nn.Module, int] = {}

    def hook(part: nn.Module, inputs: object, output: Any) -> Any:
        call = counts[part] = counts.get(part, -1) + 1
        for site in sites:
            if site.at(part, call):
                changed = look(site, output)
                _write(output, changed, inputs)
                output = output if changed is None else changed
        return output

    handles = [part.register_forward_hook(hook) for part in {site.part: None for site in sites}]
    try:
        return found.net(x)
    finally:
        for handle in handles:
            handle.remove()


def _write(output: Any, changed: Any, inputs: Any) -> None:
    """Change the output of a part that works in place there, too: what called it may go on with what it gave."""
    own = output[0] if isinstance(output, tuple | list) else output
    if changed is not None and not torch.is_grad_enabled() and any(own is one for one in inputs):
        own.copy_(changed[0] if isinstance(changed, tuple | list) else changed)


def _events(found: Subject, layers: Sequence[Layer], x: Tensor) -> tuple[list[_Event], dict[Any, set[Any]]]:
    """Return all calls of parts without children, and of layers, in the order of a forward pass, and who takes what.

    The latter are the nodes of autograd's graph that take what a node made; the output of the net is taken by None.
    Nothing of it is known where the net cannot be differentiated.
    """
    try:
        with evaluation(found.net), moving(found.net), torch.enable_grad():
            events, output = _watched(found, layers, x)
    except (RuntimeError, NotImplementedError):
        with evaluation(found.net):
            events, output = _watched(found, layers, x)
    ends = [one.grad_fn for one in _tensors(output) if one.grad_fn is not None]
    takers: dict[Any, set[Any]] = {node: {None} for node in ends}
    for node in _ancestors(ends):
        for before, _ in node.next_functions:
            takers.setdefault(before, set()).add(node)
    return events, takers


def _ancestors(nodes: Sequence[Any]) -> set[Any]:
    """Return these nodes of autograd's graph and all that they come from."""
    found, open_ = set(nodes), list(nodes)
    while open_:
        new = {node for node, _ in open_.pop().next_functions if node is not None} - found
        found |= new
        open_ += new
    return found


def _goes_past(event: _Event, site: _Event, takers: dict[Any, set[Any]]) -> bool:
    """Return whether the output of the net depends on what one call made other than through what another one made."""
    found = set(event.makes) - set(site.makes)
    open_ = list(found)
    while open_:
        new = takers.get(open_.pop(), set()) - found - set(site.makes)
        if None in new:
            return True
        found |= new
        open_ += new
    return False


def _tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested outputs or inputs of a part."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [one for part in parts for one in _tensors(part)]


def _nodes(value: Any) -> list[Any]:
    return [one.grad_fn for one in _tensors(value) if one.grad_fn is not None]


def _watched(found: Subject, layers: Sequence[Layer], x: Tensor) -> tuple[list[_Event], Any]:
    """Return the calls of one forward pass, and the output."""
    watched = {part for part in found.net.modules() if not list(part.children())}
    watched |= {source for layer in layers if (source := _source(found, layer)[0]) is not None}
    events: list[_Event] = []
    counts: dict[nn.Module, int] = {}
    open_: list[_Event] = []

    def before(part: nn.Module, inputs: Any, keywords: Any) -> None:
        counts[part] = counts.get(part, -1) + 1
        taken = [(one, one._version) for one in inputs if isinstance(one, Tensor)]
        open_.append(_Event(part, counts[part], taken, reads=_nodes((inputs, keywords))))
        events.append(open_[-1])

    def after(part: nn.Module, inputs: Any, output: Any) -> None:
        event, first = open_.pop(), output[0] if isinstance(output, tuple | list) else output
        if isinstance(first, Tensor):
            event.output, event.version = first, first._version
        event.makes = _nodes(output)

    handles = [part.register_forward_pre_hook(before, with_kwargs=True) for part in watched]
    handles += [part.register_forward_hook(after) for part in watched]
    try:
        return events, found.net(x)
    finally:
        for handle in handles:
            handle.remove()


def _source(found: Subject, layer: Layer) -> tuple[nn.Module | None, str]:
    """Return the module whose output are the units of a layer, or why there is none."""
    if layer.kind == "MultiheadAttention":
        return None, "queries, keys and values have no output of their own; see the projection after them"
    if layer.kind in GATES:
        names = [name for name, _ in layer.part.named_parameters(recurse=False)] if layer.part else []
        last = [name for name in names if name.startswith("weight_hh")][-1:]
        if [layer.name.rpartition(": ")[2]] != last:
            return None, "the units of a recurrent part are read with the last of its matrices"
    if layer.module.endswith("out_proj"):
        above = found.net.get_submodule(layer.module.rpartition(".")[0])
        if isinstance(above, nn.MultiheadAttention):
            return above, ""
    return layer.part, ""


def _followed(
    start: _Event, events: list[_Event], takers: dict[Any, set[Any]]
) -> tuple[_Event, tuple[str, ...]]:  # fmt: skip
    """Return the call behind the norms and the activation that take a call's output directly and alone, and these."""
    at, passed = start, tuple[str, ...]()
    ends = [(start, passed)]
    while at.output is not None:
        next_ = [e for e in events if any(t is at.output and v == at.version for t, v in e.inputs) and e is not at]
        next_ = next_ if len(next_) == 1 and next_[0].output is not None else []
        kind = type(next_[0].part).__name__ if next_ else ""
        if kind not in BENT and not any(word in kind for word in PASSING):
            break
        at = next_[0]
        passed = (*passed, kind) if kind not in ("Dropout", "Identity") else passed
        ends.append((at, passed))
        if kind in BENT:
            break
    return next(end for end in reversed(ends) if end[0] is start or not _goes_past(start, end[0], takers))


def _affordable(given: Examples, macs: float, twins: bool) -> tuple[Examples, int]:
    """Return as many examples as OPERATIONS allow beside the fewest twins, and as many twins as they then allow."""
    fewest = TWINS[0] if twins else 0
    most = int(OPERATIONS / (1 + fewest) / max(macs, 1))
    part = given.first(max(LEAST_EXAMPLES, min(len(given), most)))
    draws = int(np.clip(OPERATIONS / max(len(part) * macs, 1) - 1, *TWINS)) if twins else 0
    return part, draws


def _chosen(count: int, seed: int) -> Tensor:
    if count <= MOST:
        return torch.arange(count)
    return torch.from_numpy(np.sort(rng(seed, "eval", UNITS).choice(count, MOST, replace=False)))


def _seen(found: Subject, sites: Sequence[Site], head: Layer | None, given: Examples, seed: int) -> Seen:
    """Return what one net does, from one pass over the examples."""
    sums: dict[str, Sums] = {}
    features: list[Tensor] = []
    told: list[Tensor] = []

    def look(site: Site, output: Any) -> None:
        values = by_unit(output, site.axis, site.late)
        name = site.layer.name
        if name not in sums:
            sums[name] = Sums(_chosen(values.shape[1], seed).to(values.device), site.rectified)
        sums[name].add(values)

    part = head.part if head is not None and given.y is not None and given.y.dim() == 1 else None
    handle = part and part.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].detach().clone()))
    try:
        with evaluation(found.net):
            for x in given.batches(found.like):
                told.append(found.read(listen(found, sites, x, look)).isfinite().flatten(1).all(1).cpu())
    finally:
        if handle:
            handle.remove()
    numbers = {name: one.numbers() for name, one in sums.items()}
    return Seen(numbers, _feature_numbers(features, given, seed), torch.cat(told))


def _feature_numbers(features: list[Tensor], given: Examples, seed: int) -> dict[str, float]:
    """Return same-class neighbours and NC1 of features, and nothing where they are not one vector an example."""
    if not features or given.y is None or any(one.dim() != 2 for one in features):
        return {}
    values = torch.cat(features)
    values = values[:, _chosen(values.shape[1], seed).to(values.device)].cpu().float()
    present, labels, counts = given.y.unique(return_inverse=True, return_counts=True)
    if len(values) != len(labels) or len(present) < 2 or not bool(values.isfinite().all()):
        return {}
    k = min(NEIGHBOURS, len(values) - 1, max(1, int(counts.min()) - 1))
    found = {"same_class_neighbours": float(same_class_fraction(nearest_neighbours(values, k), labels)[0])}
    return found | {"nc1": float(collapse([(values, labels)], len(present))["nc1"][0])}


def _measured(
    numbers: dict[str, float], null: list[dict[str, float]], level: float, units: int
) -> dict[str, Measure]:  # fmt: skip
    words = {
        "dead_units": "Units that no example switches on",
        "near_dead_units": f"Units that under {RARE:.0%} of the examples switch on",
        "constant_units": "Units that are constant over the examples",
        "repeated_units": f"Units that repeat another (|correlation| > {ALIKE})",
        "effective_dimension": "Effective dimension of the activations (participation ratio)",
        "components95": f"Principal components of {SHARE:.0%} of their variance",
    }
    found = {}
    for name, value in numbers.items():
        what = f"{words[name]}, of {units} units"
        draws = [draw[name] for draw in null if math.isfinite(draw[name])]
        if not draws:
            found[name] = alone(value, what, "its weights cannot be shuffled" if not null else "twins have none")
        elif name.endswith("_units"):
            found[name] = against_counts(int(value), [int(draw) for draw in draws], level, what, AGAINST)
        else:
            found[name] = against_draws(value, draws, level, what, AGAINST, -1, name == "components95")
    return found


def _of_features(numbers: dict[str, float], null: list[dict[str, float]], level: float) -> dict[str, Measure]:
    found = {}
    words = {
        "same_class_neighbours": "Share of nearest neighbours of the same class, in the features of the last layer",
        "nc1": "Variability within classes against between them (NC1, logarithm) of these features",
    }
    for name, value in numbers.items():
        change = math.log10 if name == "nc1" else float
        draws = [change(max(draw[name], 1e-30)) for draw in null if name in draw]
        found[name] = against_draws(change(max(value, 1e-30)), draws, level, words[name], AGAINST)
    return found
