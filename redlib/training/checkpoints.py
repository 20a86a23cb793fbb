"""States on disk: whole or not at all, read without running code, and refused where they are damaged or foreign.

A file is a line that says what it is, a digest (BLAKE2b) of what follows, and what `torch.save` makes of the state.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from redlib.errors import BadInput
from redlib.places import expanded
from redlib.progress import progress
from redlib.training.arguments import whole_number
from redlib.training.history import History
from redlib.training.record import Plan
from redlib.training.resuming import State, weights_digest

HEAD = b"redlib training state 1\n"
DIGEST = 32  # bytes
Train = Callable[[State | None, Plan], History]


def save_state(path: str | os.PathLike[str], state: State) -> Path:
    """Write what `fit` resumes from (`history.state`, the weights included) to a file, in one step; return its path.

    Whoever reads the file sees the old one or the whole new one, whenever the writer is killed. BadInput for a folder,
    and for a state with parts that are no tensors, numbers and texts: they could not be read without running code.
    """
    target = _file(path)
    payload = io.BytesIO()
    torch.save(state, payload)
    payload.seek(0)
    if odd := torch.serialization.get_unsafe_globals_in_checkpoint(payload):
        raise BadInput.of("parts of the state", odd, "tensors, numbers and texts", "Keep these out of state_dict().")
    content = payload.getbuffer()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(HEAD + _digest(content))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return target


def load_state(path: str | os.PathLike[str]) -> State:
    """Return the state in a file of `save_state` or of `fit(checkpoint=...)`, for `fit(resume=...)`, on the CPU.

    No code in it is run (torch's `weights_only`). BadInput for no file, one that is damaged, and one of another kind.
    """
    source = _file(path)
    if not source.is_file():
        raise BadInput.of("checkpoint", str(source), "a file", "Look whether it was written.")
    data = memoryview(source.read_bytes())
    if data[: len(HEAD)] != HEAD:
        raise BadInput.of("checkpoint", str(source), "a state that redlib wrote", "Name another file.")
    content = data[len(HEAD) + DIGEST :]
    if data[len(HEAD) : len(HEAD) + DIGEST] != _digest(content):
        raise BadInput.of("checkpoint", str(source), "a whole file, and this one is damaged", "Delete it, begin anew.")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        raise BadInput.of("checkpoint", str(source), "tensors, numbers and texts", "Name another file.") from error
    if not isinstance(state, dict):
        raise BadInput.of("checkpoint", str(source), "a state that redlib wrote", "Name another file.")
    return state


@dataclass(frozen=True)
class Checkpoint:
    """A file to which a run of `fit` writes its state every so many steps, and from which it goes on."""

    path: Path
    every: int
    begun: str  # digest of the weights at the beginning

    def begin(self, resume: State | None) -> State | None:
        """Return the state to begin with: that of the file, where there is one, else `resume`.

        BadInput for both, and for nets that begin with other weights than those the file is about: what is read instead
        of trained would be the result of another run, of the round before or of another arm.
        """
        if not self.path.exists():
            return resume
        if resume is not None:
            raise BadInput.of("resume", "a state", "None where the checkpoint exists", "Leave out one.")
        state = load_state(self.path)
        if state.get("begun") != self.begun:
            remedy = "Draw them from a seed, name a file for each run, or go on by resume=load_state(path)."
            what, known = f"weights before the run of {self.path.name}", state.get("begun")
            raise BadInput.of(what, self.begun, f"{known}, those it began with", remedy)
        return state

    def train(self, train: Train, plan: Plan, run: dict[str, Any], resume: State | None) -> History:
        """Return the history of `train(resume, plan)`, which is called from one checkpoint to the next."""
        done = 0 if resume is None else max(part["step"] for part in resume.get("chunks", [resume]))
        stops = [*range(done - done % self.every + self.every, plan.total, self.every), plan.total]
        for until in progress(stops, plan.label) if plan.label else stops:
            history = train(resume, replace(plan, until=until, label="", remembers=True))
            resume = history.state = history.state | {"run": run, "begun": self.begun}
            save_state(self.path, resume)
            if bool((history.stopped_at >= 0).all()):
                break
        return history


def checkpoint_of(
    path: str | os.PathLike[str] | None, every: int | None, per_epoch: int, plan: Plan, net: Any
) -> Checkpoint | None:
    """Return the checkpoint that `fit` was asked for, an epoch apart unless told; BadInput for what cannot be.

    Probes that remember what they saw (`EarlyStop`) cannot go on in another process.
    """
    if path is None:
        if every is not None:
            raise BadInput.of("checkpoint_every", every, "None without a file", "Say where: checkpoint='run.state'.")
        return None
    if odd := [name for name, probe in plan.probes.items() if getattr(probe, "remembers", False)]:
        raise BadInput.of("probes", odd, "ones that remember nothing, with a checkpoint", "Leave out one of the two.")
    each = per_epoch if every is None else whole_number("checkpoint_every", every, 1, "It counts steps.")
    return Checkpoint(_file(path), each, weights_digest(net))


def _file(path: str | os.PathLike[str]) -> Path:
    found = expanded(path, "checkpoint").absolute()
    if found.is_dir():
        raise BadInput.of("checkpoint", str(found), "a file, and this is a folder", "Add a name, e.g. run.state.")
    return found


def _digest(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()
