"""What a batch holds: x, a pair (x, y), or a dict of both under usual names; and batches of torch's data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from redlib.data.numbers import strided, unmasked
from redlib.errors import BadInput

# Capitals do not count. Where an .npz has several, the first counts.
XS = ("x", "x_test", "images", "image", "pixel_values", "input_ids", "data", "inputs", "input", "arr_0")
YS = ("y", "y_test", "labels", "label", "targets", "target", "arr_1")
PLACES = "a folder of images, an .npz, a pair (x, y), x alone, a dict of both, an iterable of batches, or a data set"
USUAL = {"attention_mask": 1, "token_type_ids": 0}  # what nets put there themselves where they are not given it
NUMBERS = ("id", "idx", "index", "image_id")  # of examples, which no net reads
SEVERAL = "Of a net that takes several inputs, pass a module around it that makes them of one tensor, or no data."


def parts_of(batch: Any) -> list[Any]:
    """Return [x] or [x, y] of a batch; BadInput for more parts, several inputs, and names that are not known."""
    if isinstance(batch, Mapping):
        return _named(batch)
    parts = list(batch) if isinstance(batch, tuple | list) else [batch]
    if not 1 <= len(parts) <= 2:
        raise BadInput.of("parts of a batch", len(parts), "1 or 2: x, or (x, y)", f"Yield pairs (x, y). {SEVERAL}")
    if isinstance(parts[0], tuple | list | Mapping):
        raise BadInput.of("x of a batch", f"{type(parts[0]).__name__} of {len(parts[0])}", "one tensor", SEVERAL)
    return parts


def first_named(held: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return what is held under the first of these names, capitals or not; None for nothing."""
    lower = {str(name).lower(): value for name, value in held.items()}
    return next((lower[name] for name in names if name in lower), None)


def batches_of(data: Dataset[Any], chosen: NDArray[np.int64] | None, size: int) -> Iterator[Any]:
    """Yield batches of `size` of the `chosen` examples of a data set, None: of all, in its own order.

    BadInput for examples that make no batch, such as pictures that are no tensors.
    """
    part = data if chosen is None else Subset(data, chosen.tolist())
    try:
        yield from DataLoader(part, batch_size=size, generator=torch.Generator())  # so that torch's own stream stays
    except (TypeError, RuntimeError) as error:
        told = str(error).strip().splitlines()
        remedy = f"Give it a transform to tensors of one size. It said: {told[0][:200] if told else repr(error)}"
        raise BadInput.of("examples of the data set", type(data).__name__, "what makes batches", remedy) from error


def can_be_drawn(data: Dataset[Any]) -> bool:
    """Return whether a data set tells how many examples it has, so that any of them can be asked for."""
    return not isinstance(data, IterableDataset) and hasattr(data, "__len__")


def tensor_of(what: str, values: Any) -> Tensor:
    """Return an array or a tensor as a tensor on the CPU; BadInput for anything that is no plain real numbers."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        values = torch.from_numpy(np.ascontiguousarray(unmasked(values, what)))
    if not isinstance(values, Tensor):
        given = str(getattr(values, "dtype", type(values).__name__))
        more = f" {SEVERAL}" if isinstance(values, tuple | list | Mapping) else ""
        raise BadInput.of(what, given, "a tensor or an array of real numbers", f"Data are {PLACES}.{more}")
    return strided(values, what).detach().cpu()


def _named(batch: Mapping[Any, Any]) -> list[Any]:
    names = {str(name).lower(): name for name in batch}
    found = [[name for name in names if name in known] for known in (XS, YS)]
    more = [name for name in names if name not in (*XS, *YS, *NUMBERS) and _counts(name, batch[names[name]])]
    if len(found[0]) != 1 or len(found[1]) > 1 or more:
        allowed = f"one input ({', '.join(XS)}), and at most labels ({', '.join(YS)})"
        odd = f" Not to be left out, or not known: {', '.join(more)}." if more else ""
        raise BadInput.of("names in a batch", sorted(map(str, batch)), allowed, f"{SEVERAL}{odd}")
    return [batch[names[name]] for names_ in found for name in names_]


def _counts(name: str, values: Any) -> bool:
    """Return whether something beside x and y may change what a net says: numbers, unless they are the usual ones."""
    if not isinstance(values, Tensor | np.ndarray) or name not in USUAL:
        return isinstance(values, Tensor | np.ndarray) and getattr(values, "dtype", None) != np.dtype(object)
    return not bool((torch.as_tensor(values) == USUAL[name]).all())
