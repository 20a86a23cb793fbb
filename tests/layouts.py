"""The same numbers in every type and layout that tensors and arrays come in, for the property tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)
"""Enough for shapes so small, and the same examples on every run."""

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


def _sparser(values: Tensor) -> Tensor:
    wide = values.new_full((*values.shape[:-1], 2 * values.shape[-1]), torch.nan)
    wide[..., ::2] = values
    return wide[..., ::2]


def _turned(values: Tensor) -> Tensor:
    return values.movedim(0, -1).contiguous().movedim(-1, 0)


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else _turned(values)


def _offset(values: Tensor) -> Tensor:
    room = torch.cat([values.new_full((3,), torch.nan), values.flatten()])
    return room[3:].view(values.shape)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda values: values.contiguous(),
    "turned": _turned,
    "channels last": _channels_last,
    "every second": _sparser,
    "offset": _offset,
    "with a gradient": lambda values: values.clone().requires_grad_(),
}
TENSORS = st.sampled_from(sorted(LAYOUTS))

ARRAYS: dict[str, Callable[[np.ndarray], object]] = {
    "contiguous": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "negative strides": lambda values: np.flip(np.ascontiguousarray(np.flip(values))),
    "every second": lambda values: np.repeat(values, 2, -1)[..., ::2],
    "nested lists": lambda values: values.tolist(),
    "tensor with a gradient": lambda values: torch.tensor(values, requires_grad=True),
}
OF_NUMPY = st.sampled_from(sorted(ARRAYS))


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return Gaussian numbers that `dtype` holds exactly."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def laid(values: Tensor, layout: str) -> Tensor:
    """Return the values in another layout."""
    found = LAYOUTS[layout](values)
    assert torch.equal(found.detach(), values), layout
    return found


def arranged(values: np.ndarray, layout: str) -> object:
    """Return an array's values in another layout or container."""
    return ARRAYS[layout](values)
