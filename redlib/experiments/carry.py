"""Named experiments carried out as one sweep: seeds in groups that are stored apart, and joined again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from redlib.errors import BadInput
from redlib.evidence.study import Study
from redlib.experiments.experiment import Experiment
from redlib.experiments.results import Results, join, stack

Plan = Mapping[Any, Any]  # name -> experiment, or a plan of its own (the levels of a chain by number)
GROUP = 5  # seeds of a run that are stored together


def carry_out(study: Study, plan: Plan, size: int = GROUP, label: str = "runs", axis: str = "level") -> dict[Any, Any]:
    """Return the results of every experiment by its name in the plan; its seeds run in groups of at most `size`.

    A name may hold a plan instead, such as the levels of a chain, and then gives one `Results` with one more `axis`.
    Each group stores its own results, so an interrupted sweep goes on where it stopped.
    """
    flat = _flat(plan)
    groups = {name: [one.with_seeds(part) for part in _parts(one.seeds, size)] for name, one in flat.items()}
    every = [one for parts in groups.values() for one in parts]
    found = iter(study.sweep(every, data=lambda one: _digest(study, one), label=label).results)
    done = {name: join([one.results(next(found)) for one in parts]) for name, parts in groups.items()}
    return {
        name: stack({k: done[name, k] for k in one}, axis) if _many(one) else done[name,] for name, one in plan.items()
    }


class Settings(pd.DataFrame):
    """A table of settings that a notebook shows whole, which pandas cuts after sixty rows."""

    def _repr_html_(self) -> str:
        return str(self.to_html())


def settings(*experiments: Experiment, **named: Experiment) -> Settings:
    """Return every setting of some experiments, one row each, defaults included, to be read in a notebook."""
    columns = {type(one).__name__: _listed(one) for one in experiments} | {k: _listed(v) for k, v in named.items()}
    return Settings(pd.DataFrame(columns).fillna("").rename_axis("setting"))


def _flat(plan: Plan) -> dict[tuple[Hashable, ...], Experiment]:
    """Return {(name,) or (name, key): experiment} of a plan; BadInput for what is no experiment."""
    flat: dict[tuple[Hashable, ...], Any] = {}
    for name, one in plan.items():
        flat |= {(name, key): inner for key, inner in one.items()} if _many(one) else {(name,): one}
    for name, one in flat.items():
        if not isinstance(one, Experiment):
            raise BadInput.of(f"experiment {name}", one, "an Experiment", "Build one, or a dict of them.")
    return flat


def _many(one: Any) -> bool:
    return isinstance(one, Mapping)


def _parts(seeds: tuple[int, ...], size: int) -> list[list[int]]:
    if not seeds:
        raise BadInput.of("seeds", seeds, "at least one", "A seed is one independent repetition.")
    return [part.tolist() for part in np.array_split(seeds, -(-len(seeds) // size))]


def _digest(study: Study, experiment: Experiment) -> str:
    """Return the digest of the data that this one run sees, noting it in the study's record."""
    data = experiment.load()
    return "" if data is None else study.data(data).digest


def _listed(experiment: Experiment) -> pd.Series:
    """Return the settings of an experiment and of what it stands on, by dotted name."""
    return pd.json_normalize(asdict(experiment)).iloc[0].map(str)


__all__ = ["Plan", "Results", "carry_out", "settings"]
