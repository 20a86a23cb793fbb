"""How redundant is my network? `audit(net, data)` examines any module or checkpoint, each number beside its null.

    report = audit(net, (x, y))      # or a checkpoint, a folder of images, an .npz, batches, or no data at all
    report.frame()                   # one row a layer
    report.verdict()                 # which layers hold most surplus, and on what evidence

`inputs` says what can be examined, `layers` which parts of it, `weights`, `activations`, `depth`, `flatness` and
`removal` what is measured, `measure` what "beyond chance" means, `report` what comes back. The same as a command:
`python -m redlib.audit --help`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn

from redlib.audit import activations, compact, depth, flatness, removal, weights
from redlib.audit.inputs import (
    LIMIT,
    Examples,
    Subject,
    check,
    check_labels,
    examples,
    subject,
    uncompiled,
    understood,
    what_decides,
    which_output,
)
from redlib.audit.layers import CONVOLUTIONS, Layer, count_macs, layers
from redlib.audit.measure import FAMILY, level_of
from redlib.audit.names import bounded, shape_of, sizes_of
from redlib.audit.numbering import right_of
from redlib.audit.report import Record, Report
from redlib.data.numbers import whole
from redlib.errors import BadInput
from redlib.progress import progress

__all__ = ["Record", "Report", "audit"]

# Numbers of the net as a whole that are compared with a null: neighbours and NC1 of the last features, change of the
# output without weights and without directions, what depth says of the last features, and flatness.
WHOLE = 4 + depth.WHOLE + flatness.MEASURES


def audit(
    net: Any,
    data: Any = None,
    *,
    model: str | Callable[[], nn.Module] | None = None,
    tolerate: float = 0.5,
    limit: int = LIMIT,
    seed: int = 0,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    background: str | None = None,
    output: int | str | None = None,
    effort: float = 1.0,
    device: str = "auto",
) -> Report:
    """Return what is redundant in a net, as far as weights alone, and with `data` also its units and decisions, say.

    `net` is a module or the path of a checkpoint, which `model` builds the module for (`inputs.subject`); `data` are
    at most `limit` examples with or without labels (`inputs.examples`; `size` scales images of a folder, `background`
    shines through transparent ones, `mean` and `std` standardise the channels of images of bytes). Of several outputs
    of a net `output` is the one that is judged, its place or name; else its `logits`, or the first. `tolerate` is the
    accuracy that may be lost, in points. `effort` multiplies how much the net is run: large nets see fewer examples and
    twins at 1, which is some minutes, and the report says how many. Every draw comes from `seed`. The net comes back as
    it was. Ctrl-C ends the audit early: the report then holds what was done, and `complete` is False. BadInput for
    everything that cannot be examined, before anything is measured.
    """
    start, seed = time.monotonic(), whole("seed", seed, 0, "The default is 0.")
    removal.check_tolerance(tolerate)
    if not effort > 0:
        raise BadInput.of("effort", effort, "effort > 0", "1 is some minutes; 10 takes ten times as long.")
    found = subject(net, model, device)
    examined, skipped = layers(found)
    given = examples(data, limit, seed, size, _channels(examined), background)
    asked = _asked(size=size, mean=mean, std=std, background=background, output=output)
    if given is not None and asked.keys() & {"mean", "std"}:
        given = given.standardised(asked.get("mean", [0.0]), asked.get("std", [1.0]))
    settings: dict[str, Any] = {"tolerate": tolerate, "seed": seed, "effort": effort, "family_level": FAMILY}
    settings |= _counts(given) | ({"asked": asked} if asked else {})
    with uncompiled(found.net):
        if given is not None:
            found, told = _fitting(replace(found, output=output), examined, given)
            settings |= told
        report = Report(found.name, found.form, settings, skipped=skipped)
        try:
            _Run(report, found, examined, given, seed).go()
        except KeyboardInterrupt:
            print("interrupted: the report holds what was done so far", file=sys.stderr)
    report.seconds = time.monotonic() - start
    return report


def _fitting(found: Subject, examined: list[Layer], given: Examples) -> tuple[Subject, dict[str, str]]:
    """Return the subject with how its outputs are read, also in words; BadInput where net, data, labels do not fit."""
    output = check(found, given)
    count_macs(found, examined, next(given.batches(found.like, 2)))
    end = max(reversed(examined), key=lambda layer: layer.last)  # archives do not tell: the last one
    found = understood(found, given, end.kind in CONVOLUTIONS)
    check_labels(found, given, output)
    # A net may put boxes before its classes, and its last number may be a price: a reader must see what is judged.
    told = {"output": which_output(output, found.output), "decision": what_decides(found, output)}
    told["reading"] = "; ".join(given.notes)
    return found, {name: words for name, words in told.items() if words}


def _asked(**options: Any) -> dict[str, Any]:
    """Return the options that were given, as JSON knows them: whoever repeats an audit needs them."""
    given = {name: value for name, value in options.items() if value is not None}
    channels = {name: [float(one) for one in np.atleast_1d(given[name])] for name in ("mean", "std") if name in given}
    return given | channels


def _counts(given: Examples | None) -> dict[str, Any]:
    """Return how many examples are looked at, of how many, and whether they have labels."""
    if given is None:
        return {"examples": 0, "examples_given": 0, "labels": False}
    return {"examples": len(given), "examples_given": given.total, "labels": given.y is not None}


@dataclass
class _Run:
    """One audit on its way."""

    report: Report
    found: Subject
    examined: list[Layer]
    given: Examples | None
    seed: int

    @property
    def level(self) -> float:
        """That of one comparison in one layer."""
        with_data = (
            activations.MEASURES + 1 + 2 * depth.MEASURES if self.given else 0
        )  # at a layer and behind its block
        return level_of(len(self.examined), weights.MEASURES + with_data)

    @property
    def whole(self) -> float:
        """That of one comparison of the whole net."""
        return level_of(1, WHOLE)

    def go(self) -> None:
        """Fill the report, stage by stage."""
        self.see_weights()
        if self.given is not None:
            sites = self.see_units(self.given)
            self.see_depth(self.given, sites)
            self.see_gains(self.cut(self.given, sites), sites)
            self.see_flatness(self.given)
        self.report.complete = True

    def see_weights(self) -> None:
        """Add the records, a layer at a time."""
        for key, layer in enumerate(progress(self.examined, "weights")):
            measures, facts = weights.weight_measures(layer, self.seed, key, self.level)
            measures = bounded(measures, sizes_of(layer, facts))
            record = Record(layer.name, layer.kind, layer.parameters, layer.macs, facts, measures)
            record.shape = shape_of(layer)
            self.report.records.append(record)
        self.report.stages.append("weights")

    def see_units(self, given: Examples) -> list[activations.Site]:
        """Add what the units do, and return where they are read."""
        x = next(given.batches(self.found.like, 2))
        sites, missing = activations.find_sites(self.found, self.examined, x)
        measures, features, used = activations.activation_measures(
            self.found, self.examined, sites, given, self.seed, self.level, self.whole, self.report.settings["effort"]
        )
        self.report.settings["activations"] = used
        self.report.features |= bounded(features, {})
        after = {site.layer.name: site.after for site in sites}
        units = {site.layer.name: activations.own_units(site) for site in sites}
        for record in self.report.records:
            record.units = units.get(record.name, 0)
            most = {"units": min(record.units, activations.MOST)}
            record.measures |= bounded(measures.get(record.name, {}), most)
            record.after, record.unread = after.get(record.name, ""), missing.get(record.name, "")
        self.report.stages.append("activations")
        return sites

    def see_depth(self, given: Examples, sites: Sequence[activations.Site]) -> None:
        """Add how the representation changes from place to place."""
        effort = self.report.settings["effort"]
        self.report.depth, features, used = depth.depth_measures(
            self.found, self.examined, sites, given, self.seed, self.level, self.whole, effort
        )
        self.report.features |= bounded(features, {"examples": used.get("labelled", 0)})
        self.report.settings["depth"] = used
        self.report.stages.append("depth")

    def see_flatness(self, given: Examples) -> None:
        """Add how flat the loss is around the net."""
        effort = self.report.settings["effort"]
        self.report.flatness, used = flatness.flatness_measures(
            self.found, self.examined, given, self.seed, self.whole, effort
        )
        self.report.settings["flatness"] = used
        self.report.stages.append("flatness")

    def cut(self, given: Examples, sites: Sequence[activations.Site]) -> removal.Bench:
        """Add the curves of the whole net, of each layer, and of twins, and return what they were measured with."""
        asked = (self.report.settings[name] for name in ("tolerate", "seed", "effort"))
        places = [removal.unit_site(layer, sites) for layer in self.examined]
        inner = [site for site in places if site is not None]
        at = removal.bench(self.found, given, self.examined, len(inner), *asked)
        paid = sorted(self.examined, key=lambda layer: -layer.parameters)[: at.layers]
        if at.whole.given.y is not None:
            self.report.settings |= right_of(at.whole.intact.decisions, at.whole.given.y, given.classes)
        self.report.settings["removal"] = {
            "examples": len(at.given), "by_labels": at.labelled, "whole_examples": len(at.whole.given),
            "every_share": at.thorough, "left out": [one.name for one in self.examined if one not in paid],
        }  # fmt: skip
        able = [layer for layer in self.examined if removal.removable(layer)]
        self.cut_whole(at.whole, able, inner)
        own = self.cut_layers(at, [layer for layer in self.examined if layer in paid], inner)
        own |= {"": self.report.whole["weights"]} if able else {}
        records = {record.name: record for record in self.report.records}
        for layer in (layer for layer in self.examined if layer not in paid):
            records[layer.name].facts.setdefault("notes", []).append("nothing was removed from it: more effort does")
        drawn = removal.twin_changes(at, self.examined, list(own), removal.weight_remover)
        for name, measure in removal.against_twins(at, self.examined, own, drawn, self.level, self.whole).items():
            (records[name].measures if name else self.report.features)["output_change"] = measure
        if "" in drawn:
            self.report.twins = {"shares": [removal.GRID[i] for i in at.compared], "changes": drawn[""]}
        self.beside_directions(at)
        self.report.stages.append("removal")
        return at

    def see_gains(self, at: removal.Bench, sites: Sequence[activations.Site]) -> None:
        """Add what the net would gain without the units it can spare, and keep the smaller net."""
        curves = {record.name: record.curves for record in self.report.records}
        safe = {name: own["units"].safe for name, own in curves.items() if "units" in own}
        self.report.gains, self.report._small = compact.gains(at, sites, safe)
        change = self.report.features.get("output_change")
        if self.report._small is not None and change is not None and not change.redundant:
            self.report.gains["says"] += " Twins with shuffled weights bear the loss of weights as well."
        self.report.stages.append("gains")

    def cut_whole(self, at: removal.Bench, able: Sequence[Layer], inner: Sequence[activations.Site]) -> None:
        """Add the curves of all layers together."""
        curves, where = self.report.whole, "the whole net"
        if able:
            curves["weights"] = removal.without_weights(at, able, where)
        if inner:
            curves["units"] = removal.without_any_units(at, inner)
        if factored := [layer for layer in self.examined if removal.factorable(layer)]:
            curves["directions"] = removal.without_directions(at, factored, where)

    def cut_layers(
        self, at: removal.Bench, paid: Sequence[Layer], inner: Sequence[activations.Site]
    ) -> dict[str, removal.Curve]:
        """Add the curves of single layers, and return those of weights by name."""
        records, own = {record.name: record for record in self.report.records}, {}
        scores = removal.unit_scores(at, [site for site in inner if site.layer in paid])
        for layer in progress(paid, "removal"):
            curves = records[layer.name].curves
            if removal.removable(layer):
                own[layer.name] = curves["weights"] = removal.without_weights(at, [layer], layer.name)
            if removal.factorable(layer):
                curves["directions"] = removal.without_directions(at, [layer], layer.name)
            for site in (site for site in inner if site.layer is layer):
                curves["units"] = removal.without_units(at, site, scores.get(layer.name))
        return own

    def beside_directions(self, at: removal.Bench) -> None:
        """Add how far the output moves without singular directions, beside twins."""
        if "directions" not in self.report.whole:
            return
        own, remover = {"": self.report.whole["directions"]}, removal.direction_remover
        factored = [layer for layer in self.examined if removal.factorable(layer)]
        found = removal.beside_twins(at, self.examined, own, self.level, self.whole, remover, factored)
        self.report.features |= {"direction_change": found[""]} if found else {}


def _channels(examined: Sequence[Layer]) -> int:
    """Return 1 where the first convolution reads grey images."""
    first = examined[0]
    grey = first.kind in CONVOLUTIONS and not first.transposed and first.weight.shape[1] * first.groups == 1
    return 1 if grey else 3


class _Callable(ModuleType):
    """The package itself, which can be called: `redlib.audit(net, data)`."""

    def __call__(self, *args: Any, **options: Any) -> Report:
        return audit(*args, **options)


sys.modules[__name__].__class__ = _Callable
