"""Arrays with declared axes: what a run returns, joined over seeds, stacked over levels, selected by label.

A run declares its arrays in a table, one line for names that have the same axes:

    steps: step
    early_error final_error: seed arm level
    survives final: seed ...

Axis "seed" grows with the seeds; "..." stands for axes that only the next link of a chain cares for. Names may hold
wildcards ("q_*"). Labels are the values of an axis, by which it is selected; without any it is a plain position.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from redlib.errors import BadInput

Arrays = dict[str, np.ndarray]
Table = dict[str, tuple[str, ...]]
Labels = Mapping[str, Sequence[Any]]  # hashable ones
REST = "..."


def table(declared: str) -> Table:
    """Return {name or pattern: axes} of a declaration; BadInput for a line that is none."""
    found: Table = {}
    for line in filter(None, map(str.strip, declared.splitlines())):
        names, colon, axes = line.partition(":")
        if not colon or not names.split():
            raise BadInput.of("line of declared arrays", line, "names: axes", "Write for example `steps: step`.")
        found |= dict.fromkeys(names.split(), tuple(axes.split()))
    return found


def among(axes: str, declared: str) -> str:
    """Return the declaration with more `axes` after the seeds of every array that has them."""
    return declared.replace(": seed", f": seed {axes}")


@dataclass(frozen=True, eq=False)
class Results(Mapping[str, np.ndarray]):
    """The arrays of one run or of several joined ones; `results[name]` is the array, `axes[name]` names its axes."""

    arrays: Arrays
    axes: Table
    labels: Labels = field(default_factory=dict)

    @classmethod
    def declared(cls, arrays: Arrays, declaration: str, labels: Labels, seeds: int) -> Results:
        """Return the arrays with the axes that the declaration names for them, checked.

        BadInput for an array that is not declared, or whose shape does not fit: as many axes, as long as the
        labels say, and equally long where an axis is shared.
        """
        axes = {name: _declared(name, table(declaration)) for name in arrays}
        lengths = {"seed": seeds} | {axis: len(values) for axis, values in labels.items()}
        for name, array in arrays.items():
            _check(name, np.shape(array), axes[name], lengths)
        return cls(arrays, axes, labels)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the array `name`; BadInput lists the known ones."""
        if name not in self.arrays:
            raise BadInput.of("array", name, f"one of {sorted(self.arrays)}", "Name one that the run returns.")
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is an array of this name."""
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.arrays)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.arrays)

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return next(array.shape[axes.index("seed")] for array, axes in self._seeded())

    def at(self, **where: Any) -> Results:
        """Return what lies at one label of each axis named, e.g. at(arm="reinit", level=10); those axes are gone.

        Arrays without such an axis stay as they are. BadInput for an axis that no array has, and for other labels.
        """
        found = self
        for axis, label in where.items():
            found = found._at(axis, label)
        return found

    def first(self, seeds: int) -> Results:
        """Return the results of the first `seeds` seeds."""
        cut = {name: array[:seeds] if "seed" in self.axes[name] else array for name, array in self.arrays.items()}
        return Results(cut, self.axes, self.labels)

    def frame(self, *names: str) -> Any:
        """Return arrays of equal axes as a tidy pandas frame: a column for each axis and each of `names`."""
        import pandas as pd

        axes = self.axes[names[0]]
        levels = [self.labels.get(axis, range(n)) for axis, n in zip(axes, self[names[0]].shape, strict=True)]
        index = pd.MultiIndex.from_product(levels, names=axes)
        return pd.DataFrame({name: self[name].ravel() for name in names}, index).reset_index()

    def _seeded(self) -> Iterator[tuple[np.ndarray, tuple[str, ...]]]:
        return ((array, self.axes[name]) for name, array in self.arrays.items() if "seed" in self.axes[name])

    def _at(self, axis: str, label: Hashable) -> Results:
        if not any(axis in axes for axes in self.axes.values()):
            known = sorted({axis for axes in self.axes.values() for axis in axes})
            raise BadInput.of("axis", axis, f"one of {known}", "Select along an axis that the results have.")
        known_labels = self.labels.get(axis)
        if known_labels is not None and label not in known_labels:
            raise BadInput.of(axis, label, f"one of {list(known_labels)}", "Select by a label of the axis.")
        place: Any = label if known_labels is None else list(known_labels).index(label)
        arrays = {
            name: array.take(place, self.axes[name].index(axis)) if axis in self.axes[name] else array
            for name, array in self.arrays.items()
        }
        axes = {name: tuple(one for one in own if one != axis) for name, own in self.axes.items()}
        return Results(arrays, axes, {name: values for name, values in self.labels.items() if name != axis})


def join(parts: Sequence[Results]) -> Results:
    """Return the results of groups of seeds as one, seeds in order; BadInput where what they share differs."""
    first = parts[0]
    joined: Arrays = {}
    for name, axes in first.axes.items():
        every = [part[name] for part in parts]
        if "seed" in axes:
            joined[name] = np.concatenate(every, axes.index("seed"))
        elif all(np.array_equal(first[name], one, equal_nan=one.dtype.kind == "f") for one in every):
            joined[name] = first[name]
        else:
            raise BadInput.of(name, "different between groups of seeds", "equal", "Declare its axis seed.")
    return Results(joined, first.axes, first.labels)


def stack(parts: Mapping[Any, Results], axis: str = "level") -> Results:
    """Return several results as one with a new axis after the seeds, labelled by the keys of `parts`.

    Arrays with axes "..." are left out, and those that are not of one shape in all (curves of trainings that begin at
    different steps); arrays without seeds must be equal in all and stay as they are.
    """
    every = list(parts.values())
    common = [name for name in every[0] if all(name in one for one in every)]
    alike = [name for name in common if len({one[name].shape for one in every}) == 1]
    kept = [name for name in alike if REST not in every[0].axes[name]]
    arrays, axes = {}, {}
    for name in kept:
        own = every[0].axes[name]
        if "seed" in own:
            at = own.index("seed") + 1
            arrays[name] = np.stack([one[name] for one in every], at)
            axes[name] = (*own[:at], axis, *own[at:])
        else:
            arrays[name], axes[name] = join([Results({name: one[name]}, {name: own}) for one in every])[name], own
    return Results(arrays, axes, {**every[0].labels, axis: tuple(parts)})


def _declared(name: str, axes: Table) -> tuple[str, ...]:
    """Return the axes of an array: those under its own name, else under the first pattern that fits."""
    if name in axes:
        return axes[name]
    found = next((own for pattern, own in axes.items() if fnmatchcase(name, pattern)), None)
    if found is None:
        raise BadInput.of("array of a run", name, f"one of {sorted(axes)}", "Declare it, with its axes.")
    return found


def _check(name: str, shape: tuple[int, ...], axes: tuple[str, ...], lengths: dict[str, int]) -> None:
    """Compare a shape with its axes; `lengths` are those known, and learns new ones."""
    named = axes[:-1] if axes[-1:] == (REST,) else axes
    fits = len(shape) >= len(named) if named != axes else len(shape) == len(axes)
    if not fits or any(lengths.setdefault(axis, n) != n for axis, n in zip(named, shape, strict=False)):
        wanted = " ".join(f"{axis}={lengths.get(axis, '?')}" for axis in axes)
        raise BadInput.of(f"shape of {name}", shape, wanted or "no axis", "Correct the run or what it declares.")
