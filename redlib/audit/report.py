"""What an audit found: records, one a layer, as a tidy frame, as JSON, and the ranked table of surplus."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from redlib.audit import page
from redlib.audit.layers import Skipped
from redlib.audit.measure import Measure
from redlib.audit.names import titled
from redlib.audit.removal import GRID, Curve
from redlib.errors import BadInput

SCHEMA = 1  # of the JSON


@dataclass
class Record:
    """One layer: its `name` as the net has it (escape it in HTML), kind, sizes, facts, measures and removal curves.

    `macs` are multiply-adds for one example, None where they are not known. `facts` are its matrices, phase, share of
    zeros, and notes; `after` says where its units were read ("" if they were not, then `unread` why). `shape` is its
    class and sizes in words, `units` how many outputs it has, 0 where they were not read.
    """

    name: str
    kind: str
    parameters: int
    macs: float | None
    facts: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    after: str = ""
    unread: str = ""
    shape: str = ""
    units: int = 0

    @property
    def title(self) -> str:
        """The name with class and sizes, for people: `3: Conv2d 16→32, 3×3`."""
        return titled(self.name, self.shape or self.kind)

    @property
    def redundant(self) -> list[str]:
        """Names of the measures that are beyond chance on the side of redundancy."""
        return [name for name, measure in self.measures.items() if measure.redundant]

    @property
    def beyond(self) -> list[str]:
        """Names of the measures that are beyond chance on either side."""
        return [name for name, measure in self.measures.items() if measure.beyond]

    @property
    def best(self) -> Curve | None:
        """The removal curve that saves most, None where nothing was removed."""
        return max(self.curves.values(), key=lambda curve: curve.saves, default=None)

    @property
    def surplus(self) -> tuple[float, str]:
        """The share of the layer that looks superfluous, and on what evidence.

        Measured removal comes first: the larger of the safe shares of weights and of units, and of what is saved by
        leaving out singular directions. Without data it is the largest of: zero weights; dead and repeated filters,
        half of the latter, if beyond chance; and how far the rank of 99% of the energy lies below its null, if beyond
        chance.
        """
        if best := self.best:
            change = self.measures.get("output_change")
            beside = "" if change else " Not compared with twins: more effort does."
            beside = " Twins with shuffled weights bear as much." if change and not change.redundant else beside
            return best.saves, best.says + beside
        shares = self._shares()
        name = max(shares, key=lambda key: shares[key])
        return (shares[name], name) if shares[name] > 0 else (0.0, "nothing beyond chance")

    def _shares(self) -> dict[str, float]:
        found = {"weights that are 0": float(self.facts.get("zeros", 0))}
        groups, rows, _ = self.facts.get("examined", (1, 1, 1))
        for name, weight in (("dead_filters", 1.0), ("repeated_filters", 0.5)):
            if name in self.redundant:
                found[self.measures[name].says] = weight * self.measures[name].value / (groups * rows)
        if "rank99" in self.redundant:
            rank = self.measures["rank99"]
            found[rank.says] = 1 - rank.value / rank.null
        return found


@dataclass
class Report:
    """What an audit found: `records`, what was `skipped`, the `net` measured as a whole, and the `settings`.

    `whole` holds the removal curve of all layers together, `features` the measures of what the last layer reads and of
    the whole net, `twins` how far twins' outputs move share by share (`removal.twin_changes`), `depth` one row a
    place where the representation is read, in their order (`depth.depth_measures`), `flatness` the measures of the loss
    around the net, and `gains` what it would save without the units it can spare (`compact.gains`). `complete` is False
    where it was interrupted; `stages` are those that came to their end.
    """

    net: str
    form: str
    settings: dict[str, Any]
    records: list[Record] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    whole: dict[str, Curve] = field(default_factory=dict)
    features: dict[str, Measure] = field(default_factory=dict)
    depth: list[dict[str, Any]] = field(default_factory=list)
    flatness: dict[str, Measure] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0
    gains: dict[str, Any] = field(default_factory=dict)
    twins: dict[str, Any] = field(default_factory=dict)
    _small: nn.Module | None = field(default=None, repr=False, compare=False)

    def compacted(self) -> nn.Module:
        """Return the net without the units it can spare, which `gains` describe; BadInput, with why, for none."""
        if self._small is None:
            reason = self.gains.get("says", "The audit had no data, or did not come so far.")
            raise BadInput.of("compacted net", None, "an audit that found units to take out", reason)
        return self._small

    @property
    def parameters(self) -> int:
        """The number of parameters of the examined layers and of what was not examined."""
        return sum(record.parameters for record in self.records) + sum(one.parameters for one in self.skipped)

    def frame(self) -> pd.DataFrame:
        """Return one tidy row a layer: sizes, facts, each measure with `_null`, `_low`, `_high` and `_beyond`.

        Removal gives `safe_weights` and `safe_units` with `_low`, `_high`, `_sure` and the knee; `surplus` and
        `evidence` as in `verdict`. What a layer lacks is NaN.
        """
        return pd.DataFrame([_row(record) for record in self.records])

    def verdict(self) -> pd.DataFrame:
        """Return the layers that hold most surplus first, in parameters: name, share, parameters, macs, evidence.

        `beyond` names the measures that are beyond chance towards redundancy. A share that removal found does not say
        that training put it there: `Report.features["output_change"]` compares the whole net with its twins.
        """
        rows = []
        for record in self.records:
            share, evidence = record.surplus
            macs = math.nan if record.macs is None else share * record.macs
            rows.append({"layer": record.name, "kind": record.kind, "surplus": share,
                         "surplus_parameters": share * record.parameters, "surplus_macs": macs,
                         "evidence": evidence, "beyond": ", ".join(record.redundant)})  # fmt: skip
        table = pd.DataFrame(rows)
        return table.sort_values("surplus_parameters", ascending=False, kind="stable").reset_index(drop=True)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return everything as JSON without NaN (null instead), and write it to `path` at once, or not at all."""
        text = json.dumps(_plain(self._content()), indent=1, allow_nan=False)
        if path is not None:
            page.write({path: text + "\n"})
        return text

    def html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as one HTML page that reads offline, and write it to `path` at once, or not at all."""
        text = page.page(self)
        if path is not None:
            page.write({path: text})
        return text

    def _content(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "net": self.net, "form": self.form, "settings": self.settings, "grid": GRID,
            "complete": self.complete, "stages": self.stages, "seconds": self.seconds, "parameters": self.parameters,
            "layers": [_whole(record) for record in self.records],
            "skipped": [asdict(one) for one in self.skipped],
            "whole": {name: asdict(curve) | {"says": curve.says} for name, curve in self.whole.items()},
            "features": {name: asdict(m) | {"beyond": m.beyond} for name, m in self.features.items()},
            "depth": self.depth,
            "flatness": {name: asdict(m) | {"beyond": m.beyond} for name, m in self.flatness.items()},
            "gains": self.gains,
            "twins": self.twins,
            "verdict": self.verdict().to_dict("records") if self.records else [],
        }  # fmt: skip


def _whole(record: Record) -> dict[str, Any]:
    share, evidence = record.surplus
    content = {
        name: getattr(record, name)
        for name in ("name", "kind", "shape", "parameters", "macs", "facts", "after", "unread")
    }
    measures = {name: asdict(m) | {"beyond": m.beyond, "redundant": m.redundant} for name, m in record.measures.items()}
    curves = {name: asdict(curve) | {"says": curve.says} for name, curve in record.curves.items()}
    return content | {"measures": measures, "curves": curves, "surplus": share, "evidence": evidence}


def _row(record: Record) -> dict[str, Any]:
    share, evidence = record.surplus
    row: dict[str, Any] = {"layer": record.name, "kind": record.kind, "shape": record.shape}
    row |= {"parameters": record.parameters}
    row |= {"macs": math.nan if record.macs is None else record.macs, "phase": record.facts.get("phase", "")}
    row |= {"zeros": record.facts.get("zeros", math.nan), "notes": "; ".join(record.facts.get("notes", []))}
    for name, measure in record.measures.items():
        row[name] = measure.value
        if measure.against:
            ends = {"null": measure.null, "low": measure.low, "high": measure.high, "beyond": measure.beyond}
            row |= {f"{name}_{end}": value for end, value in ends.items()}
    for name, curve in record.curves.items():
        row |= {f"safe_{name}": curve.safe, f"safe_{name}_low": curve.safe_low, f"safe_{name}_high": curve.safe_high}
        row |= {f"safe_{name}_sure": curve.sure, f"knee_{name}": curve.knee, f"order_{name}": curve.order}
    return row | {"surplus": share, "evidence": evidence, "units_after": record.after}


def _plain(value: Any) -> Any:
    """Return nested values as JSON has them: lists, None for what is not finite, no NumPy types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
