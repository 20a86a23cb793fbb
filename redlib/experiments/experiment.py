"""An experiment is one frozen dataclass: its settings, what it runs, what that costs, and the data it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from math import prod
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from redlib.data.sources import Dataset
from redlib.errors import BadInput
from redlib.experiments.results import Arrays, Labels, Results, table

Config = TypeVar("Config")
PLURALS = {"criterion": "criteria", "density": "densities", "kept": "kept"}  # of axes, where it is not an s


@dataclass(frozen=True)
class Experiment:
    """One run. A subclass adds settings (each with its default), declares its `arrays`, and has a `run`.

    arrays        the table of `redlib.experiments.results`: names, and the axes they have
    source, lab   a field of one of these names lends its seeds, its data and the cost of a training
    length        a field of this name is that of a training, in multiples of the ground's
    previous      the run that this one goes on from; `run` then gets its arrays
    """

    arrays: ClassVar[str] = ""

    @property
    def ground(self) -> Any:
        """What the run stands on and borrows seeds and data from: its field `source`, or else `lab`."""
        return getattr(self, "source", None) or getattr(self, "lab", None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds: those of its ground."""
        return tuple(self.ground.seeds)

    @property
    def labels(self) -> Labels:
        """The values of the axes, by which results are selected: the settings, tuples, named by an axis' plural."""
        axes = dict.fromkeys(axis for own in table(self.arrays).values() for axis in own if axis != "seed")
        listed = {axis: getattr(self, PLURALS.get(axis, f"{axis}s"), None) for axis in axes}
        return {axis: values for axis, values in listed.items() if isinstance(values, tuple)}

    @property
    def previous(self) -> Experiment | None:
        """The run that this one goes on from."""
        return None

    @property
    def cost(self) -> float:
        """Relative time of the run, to start long ones first: that of a training of its ground for every label."""
        one = getattr(self.ground, "cost", 1.0) * getattr(self, "length", 1)
        return float(one * prod(max(1, len(values)) for values in self.labels.values()))

    def load(self) -> Dataset | None:
        """Return the one data set of the run, None where it needs none: its digest is part of the run's key."""
        found: Dataset | None = None if self.ground is None else self.ground.load()
        return found

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the arrays; `before` are those of `previous`."""
        raise NotImplementedError

    def with_seeds(self, seeds: Sequence[int]) -> Self:
        """Return the same experiment for other seeds, wherever in it they are named."""
        return _with_seeds(self, tuple(seeds))

    def results(self, arrays: Arrays) -> Results:
        """Return the arrays of this run with their axes, checked against what is declared."""
        return Results.declared(arrays, self.arrays, self.labels, len(self.seeds))

    def grouped(self, found: Mapping[str, np.ndarray], *axes: str) -> Arrays:
        """Return the arrays of a stack of nets [product of axes * S, ...] as [S, *axes, ...], which `labels` name.

        Arrays that are declared without seeds stay as they are.
        """
        sizes = [len(self.labels[axis]) for axis in axes]
        shared = {name for name, own in table(self.arrays).items() if "seed" not in own}
        return {
            name: values
            if name in shared
            else np.moveaxis(values.reshape(*sizes, -1, *values.shape[1:]), len(sizes), 0)
            for name, values in found.items()
        }


def given(before: Arrays | None, of: Experiment | None) -> Arrays:
    """Return the arrays of the run before; BadInput where a run that goes on from one got none."""
    if before is None:
        raise BadInput.of("before", None, f"the arrays of {of!r}", "Run that first, or carry out the whole chain.")
    return before


def configure(kind: type[Config], *settings: Mapping[str, Any], **more: Any) -> Config:
    """Return kind(**settings), later ones winning, lists and ranges as tuples.

    BadInput for an unknown field names its nearest neighbour.
    """
    merged: dict[str, Any] = {}
    for part in (*settings, more):
        merged |= part
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in merged:
        if name not in known:
            raise BadInput.named(f"setting of {kind.__name__}", name, known, "correct the profile.")
    return kind(**{name: _frozen(value) for name, value in merged.items()})


def varied(base: Config, *settings: Mapping[str, Any], **more: Any) -> Config:
    """Return `base` with other settings, checked as by `configure`."""
    return configure(type(base), vars(base), *settings, **more)


def _frozen(value: Any) -> Any:
    """Return lists and ranges as tuples, at every depth, as a frozen configuration holds them."""
    return tuple(map(_frozen, value)) if isinstance(value, list | range | tuple) else value


def _with_seeds(config: Any, seeds: tuple[int, ...]) -> Any:
    changes: dict[str, Any] = {}
    for part in fields(config):
        value = getattr(config, part.name)
        if part.name == "seeds":
            changes["seeds"] = seeds
        elif is_dataclass(value) and not isinstance(value, type):
            changes[part.name] = _with_seeds(value, seeds)
    return replace(config, **changes)
