"""Which students found a teacher's unit: cosines of incoming weights, lucky units, and what the others still say.

In a student wider than its teacher, units that begin near a teacher's unit win it (the lucky ones), and the weights out
of units that match none shrink (Tian, Jiang, Gong & Morcos 2019, arXiv:1905.13405).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redlib.data.numbers import strided
from redlib.errors import BadInput


@dataclass(frozen=True)
class Matches:
    """How K students' units lie to M teachers' units, for R replicates.

    cosine [R, K, M]; matched [R, M]: does some student's unit lie closer than the least cosine?; lucky [R, K]: is it
    the nearest of all to some unit of the teacher (of equals the first), close or not?; unmatched [R, K]: does it match
    none?
    """

    cosine: Tensor
    matched: Tensor
    lucky: Tensor
    unmatched: Tensor

    @property
    def complete(self) -> Tensor:
        """Whether all units of the teacher are matched: bool [R]."""
        return self.matched.all(1)


def matches(student: Tensor, teacher: Tensor, least: float = 0.95, *, odd: bool = False) -> Matches:
    """Return the cosines of units' incoming weights, student [R, K, N] or [K, N], teacher [R, M, N] or [M, N].

    A pair matches where its cosine is above `least`; with `odd`, where its magnitude is, for units such as erf's, whose
    sign the next layer can turn. BadInput for other shapes, weights of zeros, which have no direction, and `least`
    outside 0 ... 1.
    """
    if not 0 <= least < 1:
        raise BadInput.of("least", least, "0 <= least < 1", "0.95 is usual.")
    ours, theirs = _directions(student, "student"), _directions(teacher, "teacher")
    if len(ours) != len(theirs) or ours.shape[2] != theirs.shape[2]:
        allowed = f"[{len(ours)}, M, {ours.shape[2]}]"
        raise BadInput.of("shape of teacher", tuple(theirs.shape), allowed, "Give each student its own teacher.")
    cosine = (ours @ theirs.mT).clamp(-1, 1)
    likeness = cosine.abs() if odd else cosine
    close, best = likeness > least, likeness.argmax(1)
    lucky = torch.zeros_like(close).scatter_(1, best[:, None], True).any(2)
    return Matches(cosine, close.any(1), lucky, ~close.any(2))


def outgoing_share(outgoing: Tensor, teacher: Tensor | None = None) -> Tensor:
    """Return each unit's outgoing norm over the largest, of all students' units or of the teacher's: float64 [R, K].

    outgoing [R, K], or [R, K, C] for C outputs; teacher [R, M] or [R, M, C]. BadInput for other shapes, non-finite
    numbers, and where the largest is 0.
    """
    ours = _norms(outgoing, "outgoing")
    largest = (ours if teacher is None else _norms(teacher, "outgoing of the teacher")).amax(1, keepdim=True)
    if len(largest) != len(ours):
        raise BadInput.of("replicates of the teacher", len(largest), str(len(ours)), "Give each student its own.")
    if not bool((largest > 0).all()):
        raise BadInput.of("largest outgoing norm", 0.0, "> 0", "A net whose last layer is zero has no shares.")
    return ours / largest


def _directions(units: Tensor, what: str) -> Tensor:
    if not strided(units, what).is_floating_point() or units.dim() not in (2, 3) or 0 in units.shape:
        given = str(units.dtype), tuple(units.shape)
        raise BadInput.of(what, given, "floats, [R, units, N] or [units, N]", "One row of incoming weights per unit.")
    stack = units.detach().double().reshape(-1, *units.shape[-2:])
    norms = stack.norm(dim=2, keepdim=True)
    if not bool((norms > 0).all() and norms.isfinite().all()):
        remedy = "Leave out units of zeros: they have no direction."
        raise BadInput.of(f"norms of the {what}'s units", "0, nan or inf", "positive numbers", remedy)
    return stack / norms


def _norms(outgoing: Tensor, what: str) -> Tensor:
    if strided(outgoing, what).dim() not in (2, 3) or 0 in outgoing.shape:
        raise BadInput.of(f"shape of {what}", tuple(outgoing.shape), "[R, units] or [R, units, C]", "Add the axis R.")
    values = outgoing.detach().double().reshape(*outgoing.shape[:2], -1)
    if not bool(values.isfinite().all()):
        raise BadInput.of(what, "nan or inf", "finite numbers", "Has the net diverged?")
    return values.norm(dim=2)
