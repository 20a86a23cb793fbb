"""What removal would buy: units taken out for good, the smaller net checked, and what it saves measured.

Of every layer the units go that its own curve calls safe (`redlib.audit.removal`), the smallest norms first, and of all
layers the same fraction of that, the largest of FRACTIONS at which the net as a whole still loses no more than
`tolerate` points: what layers bear one by one they seldom bear together. The fraction is found on one half of the
examples and the loss told on the other. Units that a skip connection adds up, or a depthwise convolution carries, can
only go together (Fang et al. 2023, DepGraph): of them the smallest safe share counts.

The wiring is read by `redlib.pruning.structured` (torch-pruning, the extra "structured"). The smaller net must compute
what the net computes with those units silent, to rounding, or there is none.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from redlib.audit.activations import Site
from redlib.audit.inputs import Examples, Subject, check_finite, evaluation
from redlib.audit.layers import count_macs, layers
from redlib.audit.measure import points
from redlib.audit.removal import Bench, Outputs, _norms, counted, decide
from redlib.errors import BadInput
from redlib.evidence.stats import wilson
from redlib.pruning.structured import (
    Inputs,
    _cut,
    _gap,
    _Graph,
    _Group,
    _like,
    _outputs,
    _Part,
    _plain,
    _random,
    _workable,
)  # fmt: skip

FRACTIONS = 64  # steps of the factor that all safe cuts have in common
LEAST_EXAMPLES = 20  # that are cut in halves
TRIED = 32  # examples on which the smaller net is compared, besides as many random inputs
REPEATS = (15, 101)  # of a timing, fewest and most
SECONDS = 1.0  # that a timing may take, unless the fewest repeats take more
Plan = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Compact:
    """A net without some units: the smaller `net`, units `removed` by layer, and its `change`.

    `change` is the largest difference of an output from that of the net with those units silent, as a share of the
    largest output, over the examples and random inputs.
    """

    net: nn.Module
    removed: dict[str, int]
    change: float


@dataclass
class Wiring:
    """Which units of a net can go, and which only together, read from a forward pass of `x`."""

    net: nn.Module
    x: Tensor
    plain: nn.Module = field(init=False)
    graph: Any = field(init=False)

    def __post_init__(self) -> None:
        self.x = self.x.float() if self.x.dtype in (torch.float16, torch.bfloat16) else self.x  # as `_workable`
        try:
            self.plain = _plain(self.net)
            self.graph = _Graph(_workable(self.plain), (self.x,))
        except BadInput:
            raise
        except Exception as error:  # what copying says of nets that cannot be copied
            given = f"{type(error).__name__}: {error}"
            raise BadInput.of("net to compact", given, "a module that can be copied", "Mask units instead.") from error

    @property
    def groups(self) -> dict[str, _Group]:
        """The groups of coupled units that can go, by the name of one layer that writes them."""
        return {root: group for root, group in self.graph.groups.items() if not group.obstacle}

    @property
    def whole(self) -> dict[str, str]:
        """Layers that must keep all units, and why."""
        found: dict[str, str] = self.graph.whole()
        return found

    def writers(self, root: str) -> dict[str, _Part]:
        """Return the layers whose outputs the units of a group are, by name."""
        return {self.graph.names[part.module]: part for part in self.graph.groups[root].writers}

    def silent(self, cuts: Plan) -> nn.Module:
        """Return a copy of the net, of the same size, in which these units of groups pass on nothing."""
        copied = _Graph(copy.deepcopy(self.graph.net), (self.x,))
        copied.silence(cuts)
        return _like(copied.net, self.plain)

    def without(self, cuts: Plan, trials: Sequence[Inputs]) -> nn.Module:
        """Return a copy without these units, compared on `trials`; BadInput where it computes something else."""
        return _like(_cut(self.graph, cuts, trials, quiet=True), self.plain)


def compact(net: nn.Module, example: Tensor, plan: Plan) -> Compact:
    """Return `net` without the units that `plan` names, {layer: numbers of units}; the net given stays as it is.

    `example` is a batch [n, ...]. A unit passes on nothing to the layers that read it. Units that others are added to
    go together with them. BadInput for layers that are not there or must keep their units, for units that are not
    there, for a layer left empty, where torch-pruning is missing or cannot follow the net, and where the smaller net
    does not compute, to TOLERANCE of its largest output, what the net does with those units silent.
    """
    wiring = Wiring(net, example[:2])
    return _compact(wiring, _cuts(wiring, plan), example)


def planned(wiring: Wiring, sites: Sequence[Site], safe: Mapping[str, float]) -> dict[str, tuple[list[int], int]]:
    """Return {root of a group: (its units, smallest norms first; how many of them may go)}.

    `safe` are the shares that may go, by layer; of coupled layers the smallest counts, and a group with a layer that
    was not measured stays whole. One unit always stays.
    """
    known = {site.layer.module: site for site in sites if site.layer.name in safe}
    found = {}
    for root, group in wiring.groups.items():
        parts = wiring.writers(root)
        if any(name not in known for name in parts):
            continue
        share = min(safe[known[name].layer.name] for name in parts)
        norms = [part.by_channel(_norms(known[name]).detach().cpu().double(), group.size).float()
                 for name, part in parts.items()]  # fmt: skip
        order = torch.stack(norms).sum(0).argsort(stable=True).tolist()
        found[root] = order, min(round(share * group.size), group.size - 1)
    return {root: pair for root, pair in found.items() if pair[1] > 0}


def scaled(plan: Mapping[str, tuple[list[int], int]], fraction: float) -> dict[str, list[int]]:
    """Return the units that go when every layer loses `fraction` of what it may lose."""
    cuts = {root: order[: int(fraction * most + 1e-9)] for root, (order, most) in plan.items()}
    return {root: units for root, units in cuts.items() if units}


def largest_fraction(at: Bench, wiring: Wiring, plan: Mapping[str, tuple[list[int], int]]) -> float:
    """Return the largest tried of FRACTIONS at which the net loses no more than `at.tolerate` points, by bisection."""
    low, high = 0, FRACTIONS + 1
    step = FRACTIONS  # all safe cuts together come first: often that is the answer
    while high - low > 1:
        lost = loss(at, wiring.silent(scaled(plan, step / FRACTIONS)))[0]
        low, high = (step, high) if lost <= at.tolerate + 1e-10 else (low, step)
        step = (low + high) // 2
    return low / FRACTIONS


def loss(at: Bench, net: nn.Module) -> tuple[float, float, float]:
    """Return the points that `net` loses against the net of the bench, and the ends of an interval of them.

    By the labels where the bench has some, else of decisions that stay the same. The interval is that of decisions
    lost less that of decisions won, Wilson's 95% each, so at least 90% together. Several decisions of one example (a
    map, a sequence) count as independent, which makes it too narrow there.
    """
    other = decide(replace(at.found, net=net), at.given).decisions
    before, after = at.intact.decisions == at.wanted(), other == at.wanted()
    lost, won, count = int((before & ~after).sum()), int((~before & after).sum()), before.numel()
    ends = wilson(lost, count), wilson(won, count)
    return 100 * (lost - won) / count, 100 * (ends[0].low - ends[1].high), 100 * (ends[0].high - ends[1].low)


def gains(at: Bench, sites: Sequence[Site], safe: Mapping[str, float]) -> tuple[dict[str, Any], nn.Module | None]:
    """Return what the net would gain if it lost the units it can spare, and the smaller net (None if there is none).

    `safe` are the shares of units that each layer can lose alone. The dictionary has `says`, one paragraph; and where
    there is a smaller net `before` and `after` (see `sizes` and `latencies`), `fraction` of the safe cuts, `units`
    removed by layer, `whole` (layers that cannot lose units, and why), `lost`, `lost_low`, `lost_high` (points on the
    `held_out` examples), `change` and `device`.
    """
    if at.constant:
        always = int(at.intact.decisions.flatten()[0])
        says = f"No smaller net was made: the net decides {always} for all examples, so no loss could show."
        return {"says": says}, None
    try:
        if at.found.form != "module":
            raise BadInput.of("form of the net", at.found.form, "a module", "An archive is one program: pass the net.")
        if len(at.given) < LEAST_EXAMPLES:
            raise BadInput.of("examples", len(at.given), f"at least {LEAST_EXAMPLES}", "They are cut in two halves.")
        return _gains(at, sites, safe)
    except BadInput as error:
        return {"says": f"No smaller net was made. {error}"}, None


def _gains(at: Bench, sites: Sequence[Site], safe: Mapping[str, float]) -> tuple[dict[str, Any], nn.Module | None]:
    x = next(at.given.batches(at.found.like, TRIED))
    wiring = Wiring(at.found.net, x[:2])
    whole = wiring.whole
    plan = planned(wiring, sites, safe)
    if not plan:
        return {"says": "No unit that could be taken out is safe to lose.", "whole": whole}, None
    chosen, held_out = _halves(at)
    fraction = largest_fraction(chosen, wiring, plan)
    cuts = scaled(plan, fraction)
    if not cuts:
        says = f"Layers can spare units one by one, but together not even 1/{FRACTIONS} of what each can."
        return {"says": says, "fraction": fraction, "whole": whole}, None
    small = _compact(wiring, cuts, x)
    lost, low, high = loss(held_out, small.net)
    found: dict[str, Any] = {"fraction": fraction, "units": small.removed, "whole": whole, "change": small.change}
    found |= {"lost": lost, "lost_low": low, "lost_high": high, "held_out": len(held_out.given)}
    found |= {"labelled": at.labelled, "tolerate": at.tolerate, "device": str(x.device)}
    nets = wiring.plain, small.net
    for name, net, times in zip(("before", "after"), nets, latencies(nets, x[:1]), strict=True):
        found[name] = sizes(net, x[:2]) | times
    return found | {"says": _said(found)}, small.net


def sizes(net: nn.Module, x: Tensor) -> dict[str, float]:
    """Return parameters, `macs` (multiply-adds for one example, see `layers.count_macs`), and bytes with buffers."""
    found = Subject(net, "module", "")
    examined, _ = layers(found)
    count_macs(found, examined, x)
    held = [*net.parameters(), *net.buffers()]
    return {"parameters": sum(values.numel() for values in net.parameters()),
            "macs": sum(layer.macs or 0 for layer in examined),
            "bytes": sum(values.numel() * values.element_size() for values in held)}  # fmt: skip


def latencies(nets: Sequence[nn.Module], x: Tensor) -> list[dict[str, float]]:
    """Return {latency_ms, latency_low, latency_high} of each net for x: median and quartiles of interleaved repeats.

    In milliseconds, with as many threads as torch has now.
    """
    times: list[list[float]] = [[] for _ in nets]
    end = time.perf_counter() + SECONDS
    while len(times[0]) < REPEATS[0] or (len(times[0]) < REPEATS[1] and time.perf_counter() < end):
        for net, own in zip(nets, times, strict=True):
            own.append(1000 * _seconds(net, x))
    return [dict(zip(("latency_low", "latency_ms", "latency_high"), statistics.quantiles(own[2:]), strict=True))
            for own in times]  # fmt: skip


def _seconds(net: nn.Module, x: Tensor) -> float:
    with evaluation(net):
        _wait(x)
        start = time.perf_counter()
        net(x)
        _wait(x)
        return time.perf_counter() - start


def _wait(x: Tensor) -> None:
    if x.device.type != "cpu":
        torch.accelerator.synchronize(x.device)


def _halves(at: Bench) -> tuple[Bench, Bench]:
    """Return the bench with every second example, and with the others."""
    return _some(at, slice(0, None, 2)), _some(at, slice(1, None, 2))


def _some(at: Bench, which: slice) -> Bench:
    given: Examples = at.given
    part = replace(given, x=given.x[which], y=None if given.y is None else given.y[which])
    return replace(at, given=part, intact=Outputs(at.intact.decisions[which], at.intact.values[which]))


def _compact(wiring: Wiring, cuts: Plan, x: Tensor) -> Compact:
    """Return the net without these units of groups, compared on x and random inputs."""
    trials = [wiring.graph.inputs, (x,), _random((x,), 0)]
    if x.dtype in (torch.float16, torch.bfloat16):
        trials = [tuple(values.float() for values in one) for one in trials]
    small = wiring.without(cuts, trials) if cuts else copy.deepcopy(wiring.plain)
    check_finite(small)
    pair = [_workable(net) for net in (small, wiring.silent(cuts))]
    change = _gap(*(_outputs(net, trials) for net in pair))
    lost = {name: len(cuts[root]) for root in cuts for name in wiring.writers(root)}
    return Compact(small, lost, change)


def _cuts(wiring: Wiring, plan: Plan) -> dict[str, list[int]]:
    """Return a plan by layers as one by groups; BadInput for what cannot go."""
    owners = {name: root for root in wiring.groups for name in wiring.writers(root)}
    cuts: dict[str, set[int]] = {}
    for name, units in plan.items():
        if name not in owners:
            reason = wiring.whole.get(name, "it is no layer of the net")
            raise BadInput.of("layer to compact", name, f"one of {sorted(owners)}", f"This one: {reason}.")
        size = wiring.groups[owners[name]].size
        part = wiring.writers(owners[name])[name]
        channel = dict(zip(part.places.tolist(), part.channels.tolist(), strict=True))
        if wrong := sorted(set(units) - set(channel)):
            raise BadInput.of(f"units of {name}", wrong, f"0 ... {size - 1}", "Number the units from 0.")
        cuts.setdefault(owners[name], set()).update(channel[unit] for unit in units)
    for root, channels in cuts.items():
        if len(channels) >= wiring.groups[root].size:
            raise BadInput.of(f"units kept in {root}", 0, "at least 1", "Keep a unit.")
    return {root: sorted(channels) for root, channels in cuts.items() if channels}


def _said(found: Mapping[str, Any]) -> str:
    before, after, kind = found["before"], found["after"], counted(found["labelled"])
    shares = [f"{_less(before[key], after[key])} {what}" for key, what in
              (("parameters", "parameters"), ("macs", "multiply-adds"), ("bytes", "bytes"))]  # fmt: skip
    kept = "MORE than" if found["lost"] > found["tolerate"] else "within"
    kept = f"on average {kept}" if found["lost"] <= found["tolerate"] < found["lost_high"] else kept
    return (
        f"With {found['fraction']:.0%} of the safe cuts of all layers together the net has {', '.join(shares)}. "
        f"On {found['held_out']} examples that did not choose this fraction (but took part in the safe cuts by layer) "
        f"it loses {points(found['lost'], '.2g')} of {kind} ({found['lost_low']:.2g} to {found['lost_high']:.2g}), "
        f"{kept} the {found['tolerate']:g} asked for. {_timed(before, after, found['device'])} "
        f"Its outputs are those of the net with these units silent, to {found['change']:.1e} of the largest."
    )


def _less(before: float, after: float) -> str:
    return f"{1 - after / before:.0%} fewer" if before > 0 and after < before else "no fewer"


def _timed(before: Mapping[str, float], after: Mapping[str, float], device: str) -> str:
    span = "{latency_ms:.3g} ms ({latency_low:.3g} to {latency_high:.3g})"
    times = f"from {span.format(**before)} to {span.format(**after)} for one example on {device}"
    falls = after["latency_high"] < before["latency_low"]
    word = "falls" if falls else "does NOT fall beyond its scatter:"
    return f"Latency {word} {times}, median and quartiles."
