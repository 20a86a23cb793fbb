"""The third training step: pruned stacked MLPs at a cost that follows the number of weights they have left.

Every replicate is a graph of its own live weights, trained by the kernels of `sparse_kernels` (numba, the optional
extra "sparse"). Interface, random streams and optimisers are those of the dense stack; only rounding differs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.nets import RaggedMLP, StackedMLP
from redlib.training.engines import Rates
from redlib.training.examples import Batches
from redlib.training.optimisers import SGD, Adam, Rule

LINE = 64  # bytes of a cache line
EMPTY, FROZEN = "it has no weights left", "its cut weights are not zero"
NO_NUMBA = "numba is not installed (pip install 'redlib[sparse]')"


@cache
def _broken() -> str:
    """Return why the kernels cannot be imported although numba is there, "" where they can."""
    try:
        import redlib.training.sparse_kernels  # noqa: F401
    except Exception as error:  # a numba made for another NumPy, a damaged installation
        return f"numba does not start ({error})"
    return ""


def why_not(net: StackedMLP | RaggedMLP) -> list[str]:
    """Return for each data group why it cannot be trained sparsely, "" where it can."""
    if type(net) is not StackedMLP or net.gate() is None:
        return ["it is not a StackedMLP with masks"] * net.groups
    if net.flat.device.type != "cpu":
        return [f"it is on {net.flat.device}"] * net.groups
    if importlib.util.find_spec("numba") is None:
        return [NO_NUMBA] * net.groups
    if broken := _broken():
        return [broken] * net.groups
    frozen = torch.zeros(net.groups, dtype=torch.bool)
    for weights, mask in zip(net.weights, net.masks or [], strict=True):
        if mask is not None:
            frozen |= ((weights != 0) & ~mask).flatten(1).any(1)
    empty = live_weights(net) == 0
    return [FROZEN if cut else EMPTY if none else "" for cut, none in zip(frozen.tolist(), empty, strict=True)]


def live_weights(net: StackedMLP) -> np.ndarray:
    """Return how many weights the masks leave to each replicate [R]."""
    pairs = zip(net.weights, net.masks or [None] * len(net.weights), strict=True)
    counts = [torch.full((net.replicates,), w[0].numel()) if m is None else m.flatten(1).sum(1) for w, m in pairs]
    return torch.stack(counts).sum(0).numpy()


class SparseEngine:
    """The training step of `fit` on sparse graphs, one per replicate; `net` is brought up to date when it is asked for.

    The net must be one for which `why_not` finds no reason. Inputs that no live weight reads are not looked at, so
    a NaN among them goes unnoticed.
    """

    def __init__(self, net: StackedMLP, rule: Rule, loss: str):
        self.groups, self.replicates, self.device = net.groups, net.replicates, net.flat.device
        self._net, self._behind, self.steps = net, False, 0
        self.settings = settings_of(net, rule, loss)
        self.memory = ("mean", "square") if isinstance(rule, Adam) else ("velocity",) if rule.momentum else ()
        self.cells = [Cell(net, r, self.memory) for r in range(net.replicates)]

    @property
    def net(self) -> StackedMLP:
        """The stack, with the parameters of this moment."""
        if self._behind:
            for cell in self.cells:
                cell.write(cell.theta, self._net.flat)
            self._behind = False
        return self._net

    def advance(self, batches: Batches, steps: range, rates: Rates) -> Tensor:
        """Train on the batches of `steps` at their rates; return the losses [R, steps]."""
        from redlib.training.sparse_kernels import train

        rows, labels, edges = batches.span(steps)
        at = np.stack([np.broadcast_to(np.asarray(rates(step), np.float64), self.replicates) for step in steps], 1)
        losses = np.empty((self.replicates, len(steps)))
        pool = batches.examples.x.numpy()
        for r, cell in enumerate(self.cells):
            work = cell.work(batches.size)
            train(
                cell.graph,
                self.settings,
                work,
                cell.theta,
                pool,
                rows[r],
                labels[r],
                edges,
                at[r],
                self.steps,
                losses[r],
            )
        self.steps += len(steps)
        self._behind = True
        return torch.from_numpy(losses).to(self._net.flat.dtype)

    def logits(self, x: Tensor) -> Tensor:
        """Return the outputs [R, B, K] for x [R, B, d padded]."""
        from redlib.training.sparse_kernels import predict

        out = x.new_empty(self.replicates, x.shape[1], self.settings.outputs)
        rows = np.arange(x.shape[1])
        for cell, pool, logits in zip(self.cells, x.numpy(), out.numpy(), strict=True):
            predict(cell.graph, self.settings, cell.work(0), cell.theta, pool, rows, logits)
        return out

    def state(self) -> dict[str, Any]:
        """Return copies of parameters and memory in the layout of the dense stack, which can go on from it."""
        tensors = {name: torch.zeros_like(self._net.flat) for name in self.memory}
        for cell in self.cells:
            for name, tensor in tensors.items():
                cell.write(cell.remembers[name], tensor)
        return {"flat": self.net.flat.clone(), "tensors": tensors, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Take over parameters and optimiser tensors, from either execution."""
        self._net.flat.copy_(state["flat"])
        self.steps, self._behind = state["steps"], False
        for cell in self.cells:
            cell.read(state["flat"], cell.theta)
            for name, tensor in state["tensors"].items():
                cell.read(tensor, cell.remembers[name])


class Cell:
    """One replicate as a sparse graph: its parameters (live weights, then biases) and where they are in `flat`."""

    def __init__(self, net: StackedMLP, replicate: int, memory: Sequence[str] = ()):
        self.graph, self.where = graph_of(net, replicate)
        self.theta = net.flat.numpy()[self.where]
        self.remembers = {name: np.zeros_like(self.theta) for name in memory}
        self._work: Any = None

    def work(self, batch: int) -> Any:
        """Return the scratch arrays, large enough for `batch` examples."""
        from redlib.training.sparse_kernels import BLOCK, Work

        width = -(-max(batch, 128) // BLOCK) * BLOCK
        if self._work is None or self._work.active.shape[1] < width:
            units = len(self.graph.columns) + len(self.graph.start) - 1
            active, delta = (_aligned_zeros(units, width, self.theta.dtype) for _ in range(2))
            back = np.empty(len(self.graph.order), self.theta.dtype)
            memory = [*self.remembers.values(), *(np.zeros_like(self.theta) for _ in range(2))]
            self._work = Work(active, delta, back, np.zeros_like(self.theta), memory[0], memory[1])
        return self._work

    def read(self, flat: Tensor, values: np.ndarray) -> None:
        """Copy this replicate's part of `flat` into `values`."""
        values[:] = flat.numpy()[self.where]

    def write(self, values: np.ndarray, flat: Tensor) -> None:
        """Copy `values` into this replicate's part of `flat`."""
        flat.numpy()[self.where] = values


def settings_of(net: StackedMLP, rule: Rule, loss: str) -> Any:
    """Return the kernels' settings."""
    from redlib.training.sparse_kernels import Settings

    shape = net.sizes[-1], net.activation == "tanh", loss == "mse"
    if isinstance(rule, Adam):
        first, second = rule.betas
        numbers = (float(x) for x in (first, second, rule.eps, rule.weight_decay))  # an int would be compiled anew
        return Settings(*shape, True, False, rule.decoupled, *numbers)
    assert isinstance(rule, SGD)
    return Settings(*shape, False, rule.nesterov, False, float(rule.momentum), 0.0, 0.0, float(rule.weight_decay))


def graph_of(net: StackedMLP, replicate: int) -> tuple[Any, np.ndarray]:
    """Return the graph of one replicate, and the places of its live weights and biases in `flat`."""
    from redlib.training.sparse_kernels import Graph

    live = [_live(net, layer, replicate) for layer in range(len(net.weights))]
    columns, first = np.unique(live[0][1], return_inverse=True)
    offsets = len(columns) + np.concatenate([[0], np.cumsum(net.sizes[1:])])
    sources = [first, *(offsets[layer - 1] + out_of for layer, (_, out_of) in enumerate(live) if layer)]
    into = np.concatenate([offsets[layer] + into for layer, (into, _) in enumerate(live)])
    source = np.concatenate(sources)
    inner = np.arange(len(sources[0]), len(source))
    order = inner[np.argsort(source[inner], kind="stable")]
    start = np.searchsorted(into, np.arange(offsets[0], offsets[-1] + 1))
    back = np.searchsorted(source[order], np.arange(offsets[0], offsets[-2] + 1))
    parts = (part.astype(np.int32) for part in (columns, start, source, back, into[order], order))
    return Graph(*parts), _places(net, replicate, live)


def _live(net: StackedMLP, layer: int, replicate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (unit fed, unit it comes from) of the live weights of a layer, sorted by the unit they feed."""
    mask = None if net.masks is None else net.masks[layer]
    kept = np.ones(net.weights[layer].shape[1:], bool) if mask is None else mask[replicate].numpy()
    return np.nonzero(kept)  # type: ignore[return-value]


def _places(net: StackedMLP, replicate: int, live: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the positions in `flat` of the live weights, layer by layer, then of all biases."""
    weights, biases, at = [], [], 0
    for block, inputs, outputs, (into, out_of) in zip(net.blocks, net.sizes[:-1], net.sizes[1:], live, strict=True):
        corner = at + replicate * block[0].numel()
        weights.append(corner + into * block.shape[2] + out_of)
        biases.append(corner + np.arange(outputs) * block.shape[2] + inputs)
        at += block.numel()
    return np.concatenate([*weights, *biases])


def _aligned_zeros(rows: int, columns: int, dtype: np.dtype) -> np.ndarray:
    """Return zeros that start on a cache line: vector loads across two lines halve the speed of the kernels."""
    size = rows * columns
    raw = np.zeros(size + LINE, dtype)
    skip = -raw.ctypes.data % LINE // raw.itemsize
    return raw[skip : skip + size].reshape(rows, columns)
