"""How the representation changes with depth: neighbours and collapse by place, NC2 to NC4, and where it comes to rest.

A place is where the units of a layer are read (`redlib.audit.activations`), or the output of a part that holds layers,
such as a residual block; a unit's activation is its mean over positions. A place is on the trunk if the output of the
net depends on the input through it alone: with a shortcut around a place, what is read there is only one of two terms.
That is tried, on two examples that the net tells apart, by putting the first one's values there for both.

Likeness is linear CKA (Kornblith et al. 2019) with the unbiased estimator of HSIC (Song et al. 2012): the usual one
tends to 1 where there are more units than examples, whatever they do. It proves nothing by itself: two layers may
be alike in all directions of large variance and differ in the one that decides. So what comes after a place that is as
good as the last one is called a candidate, and only where twins of the net (`redlib.audit.twins`) are less alike there:
that shortcuts or small weights keep a representation as it is, is no finding of training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from redlib.audit.activations import NEIGHBOURS, Site, by_unit
from redlib.audit.inputs import Examples, Subject, evaluation
from redlib.audit.layers import Layer, head_of
from redlib.audit.measure import Measure, against_draws, logarithms
from redlib.audit.removal import macs_of
from redlib.audit.twins import AGAINST, LEAST_EXAMPLES, TWINS, can_have_twins, twin
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.measures.collapse import collapse
from redlib.measures.neighbours import nearest_neighbours, same_class_fraction

MEASURES = 1  # compared with a null at every place: likeness with the last one
WHOLE = 4  # and of the last features: NC2 of norms and of angles, NC3, NC4
OPERATIONS = 1.5e11  # multiply-adds that the examples may take, with the twins, at an effort of 1
MOST_EXAMPLES = 400  # of which all pairs are compared at every place
MOST_UNITS = 1024  # of a place; more are drawn
LAST_UNITS = 8192  # of the last features, of which none may be left out: NC3 and NC4 need the whole classifier
ALIKE = 0.95  # of CKA with the last place: Gram matrices of size 1 then differ by 2(1 - CKA), a tenth, squared
LEAST_APART = 1e-3  # of the size of the outputs, by which two examples must differ to tell what goes past a place
PAST = 1e-3  # of that difference; less than that is rounding, or too little to count
CLOSEST = 1e-6  # of 1 - CKA; what is left below is rounding
LEAST_OF_CLASS = 5  # examples; of fewer there is no spread within a class to speak of
PERMUTATIONS = 200  # of the labels
DRAWN, SHUFFLED = 96, 97  # keys of the stream "eval", so that no other draw of a seed repeats these


Call = tuple[int, int]  # number of a part, and of its call
Output = tuple[int, int, int]  # number of a tensor, its version (parts in place return one they were given), its axes


@dataclass(eq=False)
class Place:
    """Call number `call` of `part`, read by unit on `axis`; its `name`, the layers that end there, and the trunk.

    `late` is as in `activations.Site`.
    """

    name: str
    part: nn.Module
    call: int
    axis: int
    layers: tuple[str, ...] = ()
    trunk: bool = False
    late: bool = False


@dataclass
class Seen:
    """What one net does: of each place Gram matrix, same-class neighbours and NC1, and the collapse of the features."""

    grams: dict[str, Tensor] = field(default_factory=dict)
    neighbours: dict[str, float] = field(default_factory=dict)
    nc1: dict[str, float] = field(default_factory=dict)
    chance: dict[str, tuple[float, float]] = field(default_factory=dict)
    features: dict[str, float] = field(default_factory=dict)


def depth_measures(
    found: Subject,
    layers: Sequence[Layer],
    sites: Sequence[Site],
    given: Examples,
    seed: int,
    level: float,
    whole: float,
    effort: float = 1.0,
) -> tuple[list[dict[str, Any]], dict[str, Measure], dict[str, Any]]:
    """Return one row a place in the order of the forward pass, NC2 to NC4 of the last features, and what was used.

    A row has `name`, `trunk`, `neighbours` (share of the nearest with the same label), `neighbours_null` and
    `neighbours_high` (labels shuffled: mean, and the largest of PERMUTATIONS), `nc1`, `cka_last` and `cka_before` (with
    the last place of the trunk, and the one before), these again as `..._twins` (means), `candidate`, and `says`. All
    but the likenesses are NaN without one label an example. `level` is that of one place, `whole` that of one measure
    of the features; `effort` multiplies OPERATIONS. Source of the collapse: Papyan, Han & Donoho 2020.
    """
    places = find_places(found, sites, next(given.batches(found.like)))
    if not places:
        return [], {}, {"left out": "no part of the net can be listened to"}
    part, draws = _affordable(given, macs_of(layers) / effort, can_have_twins(layers))
    kept, notes = _labelled(part)
    head = _classifier(layers)
    own = _seen(found, places, head, part, kept, seed, PERMUTATIONS)
    null = []
    for draw in range(draws):
        with twin(found, layers, part, seed, draw):
            null.append(_seen(found, places, head, part, kept, seed))
    features = _of_features(own, null, whole, len(kept))
    notes += [] if draws else ["not compared with twins, so nothing is a candidate: more effort may do it"]
    used = {"examples": len(part), "twins": draws, "labelled": len(kept), "alike": ALIKE, "notes": notes}
    return _rows(places, own, null, level), features, used


def cka(first: Tensor, second: Tensor) -> float:
    """Return the linear CKA in [-1, 1] of features [n, p] and [n, q] of the same examples, debiased.

    1 for features equal up to rotation, scale and shift, 0 on average for unrelated ones (Kornblith et al. 2019; HSIC
    unbiased as Song et al. 2012). NaN where one is constant. BadInput for other shapes or fewer than four examples.
    """
    if first.dim() != 2 or second.dim() != 2 or len(first) != len(second) or len(first) < 4:
        given = (tuple(first.shape), tuple(second.shape))
        raise BadInput.of("shapes of the features", given, "[n, p] and [n, q], n >= 4", "One row an example.")
    return _alike(_gram(first), _gram(second))


def find_places(found: Subject, sites: Sequence[Site], x: Tensor) -> list[Place]:
    """Return where representations are read, in the order of the forward pass: all sites, and blocks on the trunk.

    x [n, ...] are examples, of which the two that the net tells apart most are used. Of an archive, which cannot be
    listened to, there are none.
    """
    if found.form != "module" or not sites:
        return []
    order, outputs = _calls(found, x[:2])
    places: dict[tuple[int, int], Place] = {}
    for site in sites:
        key = id(site.part), site.call
        names = (*places[key].layers, site.layer.name) if key in places else (site.layer.name,)
        places[key] = Place(site.layer.name, site.part, site.call, site.axis, names, late=site.late)
    same = {outputs[key] for key in places if key in outputs}
    for place in _blocks(found, sites, outputs):
        if outputs[id(place.part), place.call] not in same:
            places[id(place.part), place.call] = place
    ordered = sorted(places.values(), key=lambda place: order.get((id(place.part), place.call), -1))
    pair, apart = _unlike(found, x)
    for place in ordered:
        place.trunk = apart > 0 and _on_trunk(found, place, pair, apart)
    own = {id(site.part) for site in sites}
    return [place for place in ordered if place.trunk or id(place.part) in own]


def _calls(found: Subject, x: Tensor) -> tuple[dict[Call, int], dict[Call, Output]]:
    """Return, by (part, call), when each call of a part ended, and what it returned."""
    order: dict[Call, int] = {}
    outputs: dict[Call, Output] = {}
    counts: dict[int, int] = {}
    alive = []  # else the number of a tensor could come again

    def hook(part: nn.Module, inputs: object, output: Any) -> None:
        counts[id(part)] = counts.get(id(part), -1) + 1
        key = id(part), counts[id(part)]
        first = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(first, Tensor):
            alive.append(first)
            order[key], outputs[key] = len(order), (id(first), first._version, first.dim())

    _run(found, x, {part: hook for part in found.net.modules()})
    return order, outputs


def _blocks(found: Subject, sites: Sequence[Site], outputs: dict[Call, Output]) -> Iterator[Place]:
    """Yield the outputs of parts that hold layers and are called once, the innermost of those that return the same.

    Of images, sequences, and vectors they must be what their last layer returns, or vectors: else it is not known
    which axis counts units.
    """
    inside = {id(site.layer.part): site for site in sites}
    seen: set[Output] = set()
    for name, part in sorted(found.net.named_modules(), key=lambda pair: -pair[0].count(".")):
        inner = [inside[id(one)] for one in part.modules() if id(one) in inside and one is not part]
        key = id(part), 0
        if not name or not inner or key not in outputs or (id(part), 1) in outputs or outputs[key] in seen:
            continue
        own, last = outputs[key], outputs.get((id(inner[-1].part), inner[-1].call))
        if own[2] == 2 or (last is not None and own[2] == last[2]):
            seen.add(own)
            yield Place(name, part, 0, inner[-1].axis, late=own[2] > 2 and inner[-1].late)


def _unlike(found: Subject, x: Tensor) -> tuple[Tensor, float]:
    """Return the first example with the one whose outputs differ most from its, and by how much; 0 for hardly at all.

    Where a net says the same of both, whatever is done to it tells nothing.
    """
    logits = found.read(_run(found, x, {})).double().flatten(1)
    apart = (logits - logits[0]).norm(dim=1)
    far = int(apart.argmax())
    return x[[0, far]], float(apart[far]) if apart[far] > LEAST_APART * logits[0].norm() else 0.0


def _on_trunk(found: Subject, place: Place, x: Tensor, apart: float) -> bool:
    """Return whether the outputs for two examples agree once both have the first one's values at a place."""
    calls = [-1]

    def hook(part: nn.Module, inputs: object, output: Any) -> Any:
        calls[0] += 1
        if calls[0] != place.call:
            return None
        values = output[0] if isinstance(output, tuple | list) else output
        if not isinstance(values, Tensor) or values.dim() < 2 or len(values) != len(x):
            return None
        one = values[:1].expand_as(values).clone()
        return (one, *output[1:]) if isinstance(output, tuple) else one

    logits = found.read(_run(found, x, {place.part: hook})).double()
    return bool((logits[0] - logits[-1]).norm() <= PAST * apart)


def _run(found: Subject, x: Tensor, hooks: dict[nn.Module, Callable[..., Any]]) -> Any:
    """Return the output for x, with hooks on parts that are gone afterwards."""
    handles = [part.register_forward_hook(hook) for part, hook in hooks.items()]
    try:
        with evaluation(found.net):
            return found.net(x)
    finally:
        for handle in handles:
            handle.remove()


def _affordable(given: Examples, macs: float, twins: bool) -> tuple[Examples, int]:
    """Return examples, and how many twins, within OPERATIONS; a twin may need a second pass for its batch norms.

    No twins where LEAST_EXAMPLES are too many with the fewest.
    """
    fewest = TWINS[0] if twins else 0
    most = min(MOST_EXAMPLES, int(OPERATIONS / (1 + 2 * fewest) / max(macs, 1)))
    part = given.first(max(LEAST_EXAMPLES, min(len(given), most)))
    draws = int(min(TWINS[1], OPERATIONS / (2 * len(part) * max(macs, 1)) - 0.5)) if twins else 0
    return part, draws if draws >= fewest else 0


def _labelled(part: Examples) -> tuple[Tensor, list[str]]:
    """Return which examples [m] count by their labels: those of classes with LEAST_OF_CLASS; and notes."""
    if part.y is None or part.y.dim() != 1:
        return torch.zeros(0, dtype=torch.long), ["no label for each example: nothing is said of classes"]
    counts = part.y.bincount()
    kept = (counts[part.y] >= LEAST_OF_CLASS).nonzero()[:, 0]
    classes = int((counts >= LEAST_OF_CLASS).sum())
    if classes < 2:
        return kept[:0], [f"fewer than two classes with {LEAST_OF_CLASS} examples: nothing is said of classes"]
    every = int((counts > 0).sum())
    return kept, [f"{classes} of {every} classes, those with {LEAST_OF_CLASS} examples"] if classes < every else []


def _classifier(layers: Sequence[Layer]) -> Layer | None:
    """Return the linear layer that ran last, if it has several outputs."""
    head = head_of(layers)
    return head if head is not None and len(head.weight) > 1 else None


def _seen(
    found: Subject,
    places: Sequence[Place],
    head: Layer | None,
    given: Examples,
    kept: Tensor,
    seed: int,
    permutations: int = 0,
) -> Seen:
    """Return what one net does on examples, of which `kept` have labels that count, as it is now."""
    values, last = _read(found, places, head, given, seed)
    seen = Seen()
    for place in places:
        own = values[place.name]
        if len(own) != len(given) or not bool(own.isfinite().all()):
            continue
        seen.grams[place.name] = _gram(own)
        if len(kept) and given.y is not None:
            _by_class(seen, place.name, own[kept], given.y[kept], seed, permutations)
    if len(kept) and given.y is not None and head is not None and last is not None and len(last) == len(given):
        seen.features = _collapse(last[kept], given.y[kept], head)
    return seen


def _read(
    found: Subject, places: Sequence[Place], head: Layer | None, given: Examples, seed: int
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return the units [n, u] at every place, and what the head reads, [n, p], if that is one vector an example."""
    values: dict[str, list[Tensor]] = {place.name: [] for place in places}
    last: list[Tensor] = []
    for x in given.batches(found.like):
        hooks = _readers(places, values, seed)
        handle = (
            head and head.part and head.part.register_forward_pre_hook(lambda _, i: last.append(i[0].cpu().clone()))
        )
        try:
            _run(found, x, hooks)
        finally:
            if handle:
                handle.remove()
    plain = bool(last) and all(one.dim() == 2 and one.shape[1] <= LAST_UNITS for one in last)
    empty = torch.zeros(0, 1)
    return {name: torch.cat(own) if own else empty for name, own in values.items()}, torch.cat(last) if plain else None


def _readers(
    places: Sequence[Place], values: dict[str, list[Tensor]], seed: int
) -> dict[nn.Module, Callable[..., None]]:
    """Return hooks that add the units to `values`."""
    calls: dict[int, int] = {}

    def hook(part: nn.Module, inputs: object, output: Any) -> None:
        call = calls[id(part)] = calls.get(id(part), -1) + 1
        for place in places:
            if place.part is part and place.call == call:
                units = by_unit(output, place.axis, place.late).float().mean(2)
                values[place.name].append(_some(units, seed).cpu())

    return {place.part: hook for place in places}


def _some(units: Tensor, seed: int) -> Tensor:
    """Return MOST_UNITS of the units [n, u], the same ones in each batch."""
    if units.shape[1] <= MOST_UNITS:
        return units
    chosen = np.sort(rng(seed, "eval", DRAWN).choice(units.shape[1], MOST_UNITS, replace=False))
    return units[:, torch.from_numpy(chosen).to(units.device)]


def _by_class(seen: Seen, name: str, values: Tensor, y: Tensor, seed: int, permutations: int) -> None:
    """Add same-class neighbours, what they are with shuffled labels, and NC1."""
    present, labels = y.unique(return_inverse=True)
    k = min(NEIGHBOURS, int(labels.bincount().min()) - 1)
    near = nearest_neighbours(values, k)
    seen.neighbours[name] = float(same_class_fraction(near, labels)[0])
    seen.nc1[name] = float(collapse([(values, labels)], len(present))["nc1"][0])
    source = rng(seed, "eval", SHUFFLED)
    orders = [torch.from_numpy(source.permutation(len(labels))) for _ in range(permutations)]
    shuffled = [float(same_class_fraction(near, labels[order])[0]) for order in orders]
    if shuffled:
        seen.chance[name] = float(np.mean(shuffled)), max(shuffled)


def _collapse(last: Tensor, y: Tensor, head: Layer) -> dict[str, float]:
    """Return NC2 to NC4 of the features [n, p] of classes that have examples; NC4 as a number of examples."""
    rows = getattr(head.part, "weight", head.weight).detach().cpu().float()  # as it acts now, in a twin too
    if not bool(last.isfinite().all()) or last.shape[1] != rows.shape[1] or int(y.max()) >= len(rows):
        return {}
    present, labels = y.unique(return_inverse=True)
    weight = rows[present]
    bias = None if head.bias is None else head.bias.cpu().float()[present]
    found = collapse([(last.float(), labels)], len(present), (weight, bias))
    names = ("nc2_norms", "nc2_angles", "nc3", "nc4") if len(present) > 2 else ("nc3", "nc4")  # two means are opposite
    numbers = {name: float(found[name][0]) for name in names}
    return numbers | {"nc4": round(numbers["nc4"] * len(labels))}


def _gram(values: Tensor) -> Tensor:
    """Return the Gram matrix of features [n, p], centred so that products of two of them are unbiased: [n, n].

    Off the diagonal as Székely & Rizzo 2014; the diagonal is 0. Nothing but 0 for features that are constant.
    """
    centred = values.double() - values.double().mean(0)
    scale = float(centred.norm())
    if scale <= 1e-7 * float(values.double().norm()):
        return torch.zeros(len(values), len(values), dtype=torch.float64)
    gram = (centred / scale) @ (centred / scale).T
    gram.fill_diagonal_(0)
    n = len(gram)
    rows = gram.sum(1) / (n - 2)
    gram = gram - rows[:, None] - rows + gram.sum() / ((n - 1) * (n - 2))
    return gram.fill_diagonal_(0)


def _alike(first: Tensor, second: Tensor) -> float:
    size = float(first.norm() * second.norm())
    return float((first * second).sum()) / size if size > 0 else math.nan


def _likenesses(places: Sequence[Place], seen: Seen) -> tuple[dict[str, float], dict[str, float]]:
    """Return by place the CKA with the last place of the trunk before the outputs, and with the one before on it."""
    last, ahead = {}, {}
    trunk = [place.name for place in places if place.trunk and place.name in seen.grams]
    name = _last(places)
    end = None if name is None else seen.grams.get(name)
    before: Tensor | None = None
    for place in places:
        gram = seen.grams.get(place.name)
        last[place.name] = math.nan if gram is None or end is None else _alike(gram, end)
        ahead[place.name] = math.nan if gram is None or before is None else _alike(gram, before)
        before = gram if place.name in trunk else before
    return last, ahead


def _last(places: Sequence[Place]) -> str | None:
    """Return the place of the last features: the last of the trunk but the outputs of the net; None for none."""
    trunk = [place.name for place in places if place.trunk]
    return trunk[-2] if len(trunk) > 1 else None


def _rows(places: Sequence[Place], own: Seen, null: Sequence[Seen], level: float) -> list[dict[str, Any]]:
    last, before = _likenesses(places, own)
    drawn = [_likenesses(places, seen) for seen in null]
    rows = []
    for place in places:
        name = place.name
        low, high = own.chance.get(name, (math.nan, math.nan))
        row: dict[str, Any] = {"name": name, "layers": list(place.layers), "trunk": place.trunk}
        row |= {"neighbours": own.neighbours.get(name, math.nan), "neighbours_null": low, "neighbours_high": high}
        row |= {"neighbours_twins": _mean([seen.neighbours.get(name, math.nan) for seen in null])}
        row |= {"nc1": own.nc1.get(name, math.nan)}
        row |= {"nc1_twins": _mean([seen.nc1.get(name, math.nan) for seen in null])}
        row |= {"cka_last": last[name], "cka_last_twins": _mean([one[0][name] for one in drawn])}
        row |= {"cka_before": before[name], "cka_before_twins": _mean([one[1][name] for one in drawn])}
        row["beyond"] = _closer(last[name], [one[0][name] for one in drawn], level)
        rows.append(row)
    return _told(rows, places)


def _closer(value: float, draws: Sequence[float], level: float) -> bool:
    """Return whether a place is more like the last one than twins are, by the logarithm of 1 - CKA."""
    own, *others = logarithms([1 - one for one in (value, *draws)], CLOSEST)
    return against_draws(own, others, level, "", "").beyond == -1


def _told(rows: list[dict[str, Any]], places: Sequence[Place]) -> list[dict[str, Any]]:
    """Add `candidate` and `says`: of the trunk's places up to the last features, those after one that is like these."""
    end, names = _last(places), [place.name for place in places]
    trunk = [] if end is None else [row for row in rows[: names.index(end) + 1] if row["trunk"]]
    for row in rows:
        row["candidate"], row["says"] = False, ""
    for at in range(1, len(trunk)):
        after = all(row["cka_last"] >= ALIKE for row in trunk[at - 1 :])
        trunk[at]["candidate"] = bool(after and trunk[at - 1]["beyond"])
        trunk[at]["says"] = _words(trunk[at - 1], str(end)) if trunk[at]["candidate"] else ""
    return rows


def _words(before: dict[str, Any], end: str) -> str:
    return (
        f"A candidate to go: the representation before it, at {before['name']}, is like that at {end} (CKA "
        f"{before['cka_last']:.2f}, twins {before['cka_last_twins']:.2f}). Likeness proves nothing by itself: remove "
        f"it, train anew what follows, and measure."
    )


def _mean(values: Sequence[float]) -> float:
    known = [one for one in values if math.isfinite(one)]
    return float(np.mean(known)) if known else math.nan


def _of_features(own: Seen, null: Sequence[Seen], level: float, count: int) -> dict[str, Measure]:
    words = {
        "nc2_norms": "Spread of the norms of the class means in the last features (NC2, 0 in collapse)",
        "nc2_angles": "Spread of the angles between these means (NC2, 0 in collapse)",
        "nc3": "Distance of the last weights to the class means (NC3, 0 in collapse)",
        "nc4": f"Examples, of {count}, that the net decides otherwise than the nearest class mean (NC4)",
    }
    return {
        name: against_draws(value, [seen.features[name] for seen in null if name in seen.features], level,
                            words[name], AGAINST, 0, name == "nc4")
        for name, value in own.features.items()
    }  # fmt: skip
