"""Named random streams: every draw depends on its own seed and on what it is for, and on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from redlib.errors import BadInput

STREAMS = frozenset({"split", "init", "order", "noise", "mask", "eval", "augment", "features", "dropout", "glyphs",
                     "templates"})  # fmt: skip
"""What randomness is drawn for. A new purpose gets a new name here, so that old draws stay as they are."""

_WORD = 2**32


def _word(what: str, value: int) -> int:
    """Return `value` as an integer that fills exactly one word, so that (seed, key) is never ambiguous."""
    if not (isinstance(value, int | np.integer) and 0 <= value < _WORD):
        raise BadInput.of(what, value, f"an integer, 0 <= {what} < 2**32", "choose a non-negative integer")
    return int(value)


def _sequence(seed: int, stream: str, key: tuple[int, ...]) -> np.random.SeedSequence:
    if stream not in STREAMS:
        raise BadInput.of("stream", stream, f"one of {sorted(STREAMS)}", "name what the draw is for")
    # SHA-256 and not hash(): the latter is salted anew in every process.
    name = np.frombuffer(hashlib.sha256(stream.encode()).digest(), dtype=">u4")
    return np.random.SeedSequence([*name.tolist(), _word("seed", seed), *(_word("key", k) for k in key)])


def rng(seed: int, stream: str, *key: int) -> np.random.Generator:
    """Return the NumPy generator of `seed` for the purpose `stream`, e.g. `rng(3, "noise")`.

    `key` numbers independent draws for the same purpose (an epoch, a layer). Equal arguments give equal
    draws on every machine and in every process. Raises BadInput for an unknown stream or a number
    outside [0, 2**32).
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream, key)))


def torch_rng(seed: int, stream: str, *key: int) -> torch.Generator:
    """Return the CPU torch generator of `seed` for the purpose `stream`; arguments and errors as in `rng`.

    Torch keeps 32 bits of a CPU seed, so two of N such generators coincide with probability N²/2³³.
    """
    word = int(_sequence(seed, stream, key).generate_state(1, np.uint32)[0])
    return torch.Generator(device="cpu").manual_seed(word)
