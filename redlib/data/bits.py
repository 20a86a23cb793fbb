"""Strings of zeros and ones, many at once: packed into bytes, unpacked, and counted.

N strings of n places are codes, uint8 [N, ceil(n / 8)]: place p is bit p % 8 of byte p // 8, and spare bits are 0, so
that equal strings have equal bytes. A Boolean function is the string of its values (`redlib.nets.boolean`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redlib.data.numbers import unmasked, whole
from redlib.errors import BadInput

Codes = NDArray[np.uint8]
_WORD = 8  # bytes


def packed(strings: Any) -> Codes:
    """Return the codes [N, ceil(n / 8)] of strings: 0 and 1 in an array or a tensor [N, n], or texts such as "0110".

    BadInput for other symbols, texts of unequal lengths, and no strings or empty ones.
    """
    array = strings.detach().cpu().numpy() if isinstance(strings, Tensor) else strings
    array = _of_texts(list(array)) if len(array) and isinstance(array[0], str) else np.asarray(unmasked(array, "bits"))
    if array.ndim != 2 or 0 in array.shape:
        raise BadInput.of("shape of the strings", array.shape, "[N, n], neither 0", "Put one string in each row.")
    if array.dtype.kind not in "biuf" or not bool(((array == 0) | (array == 1)).all()):
        raise BadInput.of("symbols", np.unique(array)[:5].tolist(), "0 and 1", "Ask a question of them: array > 0.")
    return np.packbits(array.astype(np.bool_), axis=1, bitorder="little")


def unpacked(codes: Codes, length: int) -> NDArray[np.uint8]:
    """Return the strings of `codes` as 0 and 1: uint8 [N, length]; BadInput as `checked`."""
    return np.unpackbits(checked(codes, length), axis=1, count=length, bitorder="little")


def checked(codes: Codes, length: int) -> Codes:
    """Return `codes`; BadInput unless they are uint8 [N, ceil(length / 8)], N > 0, and no spare bit is 1."""
    size = -(-whole("length", length, 1, "Give the number of places.") // 8)
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1:] != (size,):
        given = f"{getattr(codes, 'dtype', type(codes).__name__)} {getattr(codes, 'shape', '')}"
        raise BadInput.of("codes", given, f"uint8 [N, {size}] for {length} places", "See redlib.data.bits.packed.")
    if not len(codes):
        raise BadInput.of("number of strings", 0, ">= 1", "Draw some, or ask for fewer conditions.")
    if length % 8 and bool((codes[:, -1] >> (length % 8)).any()):
        raise BadInput.of("spare bits", "some are 1", "0", f"Are these strings longer than {length}?")
    return codes


def words(codes: Codes) -> NDArray[np.uint64]:
    """Return codes [N, B] as numbers of 64 bits [N, ceil(B / 8)]: place p is bit p % 64 of number p // 64."""
    wide = np.zeros((len(codes), -(-codes.shape[1] // _WORD) * _WORD), np.uint8)
    wide[:, : codes.shape[1]] = codes
    return wide.view("<u8").astype(np.uint64, copy=False)


def distinct(codes: Codes) -> tuple[Codes, NDArray[np.int64]]:
    """Return the different strings [F, B] and how often each stands there [F], the most frequent first.

    Equally frequent ones are in the order of their bytes' numbers, so that the order of the N strings does not matter.
    BadInput for no strings.
    """
    if codes.ndim != 2 or not len(codes):
        raise BadInput.of("shape of the codes", codes.shape, "[N, B] with N > 0", "Draw some strings.")
    order = np.lexsort(words(codes).T)
    ordered = codes[order]
    first = np.flatnonzero(np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(1)]))
    counts = np.diff(np.append(first, len(codes))).astype(np.int64)
    falling = np.argsort(-counts, kind="stable")
    return ordered[first[falling]], counts[falling]


def _of_texts(texts: list[str]) -> NDArray[np.uint8]:
    if len({len(text) for text in texts}) > 1:
        raise BadInput.of("lengths", sorted({len(text) for text in texts}), "one", "Compare strings of one length.")
    if odd := sorted(set("".join(texts)) - {"0", "1"}):
        raise BadInput.of("symbols", odd, "0 and 1", "Write each string as a text of zeros and ones.")
    return np.array([[int(symbol) for symbol in text] for text in texts], np.uint8)
