"""Training in random subspaces of many dimensions, and the dimension at which an accuracy is reached.

Li, Farkhoor, Liu & Yosinski 2018, "Measuring the intrinsic dimension of objective landscapes": a net is trained as
θ = θ₀ + P·c with d coefficients c; its intrinsic dimension d₉₀ is the least d at which it reaches 90% of the accuracy
that training all parameters gives. The nets themselves are in `redlib.nets.subspace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from redlib.data.numbers import floats
from redlib.errors import BadInput
from redlib.nets.stacked import StackedMLP
from redlib.nets.subspace import SubspaceMLP, SubspaceModule, in_subspaces
from redlib.training.chunks import chunk_size
from redlib.training.examples import Examples, examples_per_batch
from redlib.training.history import History
from redlib.training.loop import fit

Floats = NDArray[np.float64]
_ROUNDING = 1e-12  # of the means of isotonic regression


@dataclass(frozen=True)
class Subspace:
    """What training in subspaces left: values[name] [S, K, T, ...] of S seeds, dims [K] and steps [T].

    `values` holds `<set>_loss` and `<set>_error` of each evaluated set, and other probes; `epochs` [T] belongs to
    `steps`. The nets are as `in_subspaces` returns them, all dimensions of a seed together.
    """

    dims: NDArray[np.int64]
    seeds: tuple[int, ...]
    steps: NDArray[np.int64]
    epochs: Floats
    values: Mapping[str, NDArray[Any]]
    nets: SubspaceMLP | list[SubspaceModule]

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the probed values [S, K, T, ...] of `name`."""
        if name not in self.values:
            raise BadInput.of("probe", name, f"one of {sorted(self.values)}", "Evaluate that set.")
        return self.values[name]

    def accuracies(self, name: str) -> Floats:
        """Return 1 - error of the set `name` at the end, as shares in [0, 1]: [S, K]."""
        return 1 - self[f"{name}_error"][:, :, -1]


def fit_subspace(
    net: StackedMLP | nn.Module | Sequence[nn.Module],
    dims: Sequence[int],
    seeds: Sequence[int],
    examples: Examples,
    evaluate: Mapping[str, Examples],
    projection: str = "auto",
    **options: Any,
) -> Subspace:
    """Train every replicate in a random subspace of each dimension; the nets given stay as they are.

    `net` is a stack of S replicates, a module (S = 1) or S modules; seeds [S] draw projections and the order of
    batches. Examples and evaluated sets may hold rows and labels for each of the S replicates. `projection` is "dense",
    "fastfood" or "auto", and `options` go to `redlib.training.fit` (optimizer, epochs, batch_size, probe_epochs, ...).
    Raises BadInput as `in_subspaces` and `fit`, and for options that go on with a run: its file knows no projection.
    """
    if refused := sorted({"checkpoint", "checkpoint_every", "resume", "seeds"} & options.keys()):
        raise BadInput.of("options", refused, "others of fit", "Seeds are an argument; runs are whole.")
    nets = in_subspaces(net, dims, seeds, projection)
    count = len(seeds), len(dims)
    rows = [s for s in range(count[0]) for _ in dims]
    own, seen = _repeated(examples, rows), {name: _repeated(part, rows) for name, part in evaluate.items()}
    history = _fitted(nets, own, seen, [int(seeds[row]) for row in rows], options)
    values = {name: found.reshape(*count, *found.shape[1:]) for name, found in history.values.items()}
    told = tuple(int(seed) for seed in seeds)
    return Subspace(np.array(dims, np.int64), told, history.steps, history.epochs, values, nets)


def crossing_dimension(dims: ArrayLike, accuracies: ArrayLike, level: float | ArrayLike) -> Floats:
    """Return the dimension at which accuracy reaches `level`: [S] for accuracies [S, K] of dims [K], [] for [K].

    Accuracies are made to rise by isotonic regression, all K weighing alike, with straight lines between the dims. A
    level (one, or one for each seed) that none of them reaches gives NaN: censored, the crossing is above the last
    dimension. One that the first already reaches gives that dimension, which is then an upper bound. BadInput for dims
    that do not go up, unequal shapes, and accuracies that are not finite.
    """
    grid, curves = floats(dims, "dims"), floats(accuracies, "accuracies")
    if grid.ndim != 1 or not grid.size or not (np.diff(grid) > 0).all() or not np.isfinite(grid).all():
        raise BadInput.of("dims", grid.tolist(), "numbers that go up, [K]", "Sort them, and name each once.")
    if curves.ndim not in (1, 2) or not curves.size or curves.shape[-1:] != grid.shape:
        raise BadInput.of("shape of accuracies", curves.shape, f"[S, {len(grid)}] or [{len(grid)}]", "Seeds first.")
    if not np.isfinite(curves).all():
        raise BadInput.of("accuracies", "nan or inf", "finite numbers", "Leave diverged runs out.")
    levels = floats(level, "level")
    if levels.shape not in ((), curves.shape[:-1]) or not np.isfinite(levels).all():
        raise BadInput.of("level", levels.tolist(), "a finite number, or one for each seed", "0.9 x full accuracy.")
    each = np.broadcast_to(levels, curves.shape[:-1])
    found = [_crossing(grid, y, float(u)) for y, u in zip(np.atleast_2d(curves), each.reshape(-1), strict=True)]
    return np.array(found).reshape(curves.shape[:-1])


def _crossing(grid: Floats, curve: Floats, level: float) -> float:
    from sklearn.isotonic import isotonic_regression  # slow to import, needed here only

    rising = isotonic_regression(curve)
    reached = np.flatnonzero(rising >= level - _ROUNDING)
    if not len(reached):
        return float("nan")
    at = int(reached[0])
    if not at:
        return float(grid[0])
    return float(np.interp(level, rising[at - 1 : at + 1], grid[at - 1 : at + 1]))


def _fitted(
    nets: SubspaceMLP | list[SubspaceModule],
    examples: Examples,
    evaluate: Mapping[str, Examples],
    seeds: Sequence[int],
    options: Mapping[str, Any],
) -> History:
    if not isinstance(nets, SubspaceMLP):
        return fit(nets, examples, evaluate=evaluate, seeds=seeds, **options)
    # What must fit the cache are the nets, not their coefficients.
    batch = examples_per_batch(options.get("batch_size", 128), len(examples))
    return fit(nets, examples, evaluate=evaluate, **{"chunk": chunk_size(nets.inner, batch), **options})


def _repeated(part: Examples, rows: Sequence[int]) -> Examples:
    """Return the examples with what each replicate sees repeated for each dimension."""
    own = part.rows is not None or part.own_labels
    held = len(part.rows) if part.rows is not None else len(part.y)
    if own and held != rows[-1] + 1:
        raise BadInput.of("replicates in data", held, f"{rows[-1] + 1}, as in the net", "Slice the examples.")
    return part.select(rows) if own else part
