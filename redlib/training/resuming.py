"""What a run is, in a few words and digests, so that a state is only gone on from by the run that it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training.examples import Examples, examples_per_batch
from redlib.training.record import Plan

DIGEST_BYTES = 4 * 2**20  # of a tensor that are looked at, evenly spread; smaller ones are read whole
State = dict[str, Any]


def description(
    net: str,
    examples: Examples,
    plan: Plan,
    seeds: Sequence[int],
    precision: str,
) -> dict[str, Any]:
    """Return what a run is, by name: net (lines of `architecture`), loss, optimizer, seeds, data, …

    Of data larger than `DIGEST_BYTES` numbers are read that are evenly spread, so that it costs milliseconds.
    """
    return {
        "net": net,
        "loss": plan.loss if isinstance(plan.loss, str) else getattr(plan.loss, "__qualname__", repr(type(plan.loss))),
        "optimizer": repr(plan.rule),
        "seeds": tuple(int(seed) for seed in seeds),
        "data": data_digest(examples),
        "batch_size": examples_per_batch(plan.batch_size, len(examples)),
        "drop_last": plan.drop_last,
        "precision": precision,
    }


def architecture(net: StackedMLP | RaggedMLP | nn.Module) -> str:
    """Return a line that nets of equal layers, shapes and masks share, and others do not."""
    if isinstance(net, StackedMLP):
        masks = [mask for mask in net.masks or [] if mask is not None]
        return f"{type(net).__name__} {net.sizes} {net.activation}" + (f" masked {_digest(masks)}" if masks else "")
    if isinstance(net, RaggedMLP):
        return f"{type(net).__name__} {net.inputs} {net.widths} {net.outputs}"
    parts = [(name, type(part).__qualname__) for name, part in net.named_modules()]
    shapes = [(name, tuple(values.shape)) for name, values in net.state_dict().items() if torch.is_tensor(values)]
    word = hashlib.blake2b(repr((parts, shapes)).encode(), digest_size=6).hexdigest()
    masks = [values for values in net.buffers() if values.dtype == torch.bool and values.numel() > 1]  # one is a flag
    masked = f" masked {_digest(masks)}" if masks else ""
    return f"{type(net).__name__} of {sum(p.numel() for p in net.parameters())} parameters ({word}){masked}"


def weights_digest(net: StackedMLP | RaggedMLP | Sequence[nn.Module]) -> str:
    """Return a digest of all weights and buffers; see `description` for what of large ones is read."""
    if isinstance(net, StackedMLP | RaggedMLP):
        return _digest([net.flat])
    return _digest([value for module in net for value in module.state_dict().values() if torch.is_tensor(value)])


def data_digest(examples: Examples) -> str:
    """Return a digest of inputs, labels and rows; see `description` for what of large data is read."""
    tensors = [examples.x, examples.y] + ([] if examples.rows is None else [examples.rows])
    without = "" if examples.ignore is None else f" without label {examples.ignore}"
    return f"{len(examples)} examples{without} ({_digest(tensors)}, {examples.variants} variants)"


def check_state(resume: Any, run: dict[str, Any], needed: Sequence[str]) -> None:
    """Raise BadInput unless `resume` is None, or a whole state that belongs to `run` (see `description`).

    A state whose "run" is None was made to begin anew at a step; then only the net has to fit.
    """
    if resume is None:
        return
    remedy = "Pass history.state of the run that is to go on."
    if not isinstance(resume, dict) or not {"run", *needed} <= resume.keys():
        told = sorted(map(str, resume)) if isinstance(resume, dict) else type(resume).__name__
        raise BadInput.of("resume", told, f"a state with {sorted(['run', *needed])}", remedy)
    theirs = resume["run"]
    if theirs is None:
        return
    for name, mine in run.items():
        if theirs.get(name) != mine:
            raise BadInput.of(f"{name} of the run", mine, f"{theirs.get(name)!r}, that of the state", remedy)


def _digest(tensors: Sequence[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=6)
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(_thinned(tensor.detach()).contiguous().cpu().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _thinned(tensor: Tensor) -> Tensor:
    """Return about `DIGEST_BYTES` of a tensor: every n-th number, n odd so that no column of a table is left out."""
    every = tensor.numel() * tensor.element_size() // DIGEST_BYTES | 1
    return tensor.flatten()[::every]
