"""Committee machines as teachers and students: online descent, order parameters, and the exact generalisation error.

f(x) = Σ_k v_k g(w_k·x/√N) for x ~ N(0, I) in N dimensions, with g = erf(·/√2) or relu; in a *soft* committee all v_k
are 1. Stacks have the replicates first: w [R, K, N], v [R, K]. What a student knows of its teacher is in the order
parameters Q = w·wᵀ/N, R = w·w*ᵀ/N and T = w*·w*ᵀ/N, and so is its error. Sources: Saad & Solla 1995; Goldt, Advani,
Saxe, Krzakala & Zdeborová 2019, whose scaling this is. A unit of zeros (w = 0 and v = 0) stays one, so that
students of several widths are one stack (`together`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redlib.data.numbers import whole
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.looks import check_looks

ACTIVATIONS = ("erf", "relu")
_KEY = 61  # of every stream used here, so that no other draw of a seed repeats these
_BLOCK = 64  # examples drawn at once


@dataclass(frozen=True)
class Committee:
    """R nets of K units: w [R, K, N], v [R, K], and the activation, "erf" or "relu"; BadInput for other shapes."""

    w: Tensor
    v: Tensor
    activation: str = "erf"

    def __post_init__(self) -> None:
        """Refuse what is no stack of nets."""
        if self.activation not in ACTIVATIONS:
            raise BadInput.named("activation", self.activation, ACTIVATIONS, "Others have no closed form here.")
        if self.w.dim() != 3 or 0 in self.w.shape or self.v.shape != self.w.shape[:2]:
            given = f"{tuple(self.w.shape)} and {tuple(self.v.shape)}"
            raise BadInput.of("shapes of w and v", given, "[R, K, N] and [R, K]", "Put the replicates first.")
        if not bool(self.w.isfinite().all() and self.v.isfinite().all()):
            raise BadInput.of("weights", "nan or inf", "finite numbers", "Has it diverged? Take a smaller rate.")

    @property
    def inputs(self) -> int:
        """The number of inputs N."""
        return self.w.shape[2]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs [R, n] for inputs x [R, n, N], or [n, N] for all alike."""
        fields = x @ self.w.transpose(1, 2) / math.sqrt(self.inputs)
        return (_activated(fields, self.activation) * self.v[:, None]).sum(2)

    def select(self, replicates: Sequence[int]) -> Committee:
        """Return these replicates alone, in this order."""
        return replace(self, w=self.w[list(replicates)], v=self.v[list(replicates)])


@dataclass(frozen=True)
class Learnt:
    """What online descent left: the student, and at each look [T, R, ...] its order parameters, v and exact error.

    q [T, R, K, K], r [T, R, K, M], t [R, M, M], v [T, R, K], error [T, R].
    """

    student: Committee
    q: Tensor
    r: Tensor
    t: Tensor
    v: Tensor
    error: Tensor


def teachers(
    seeds: Sequence[int],
    units: int,
    inputs: int,
    activation: str = "erf",
    *,
    outer: float | str = 1.0,
    orthogonal: bool = False,
) -> Committee:
    """Return a teacher of M = `units` for each seed, float64, w* ~ N(0, 1) in the stream "features".

    `outer` is the weight A of all units in the second layer, 1 in a soft committee, or "normal" for A ~ N(0, 1).
    With `orthogonal`, T is the identity, as it is for Gaussian weights where N is infinite. BadInput for bad numbers,
    and for more orthogonal units than inputs.
    """
    return _drawn(seeds, "features", units, inputs, activation, outer, 1.0, orthogonal)


def students(
    seeds: Sequence[int],
    units: int,
    inputs: int,
    activation: str = "erf",
    *,
    outer: float | str = 1.0,
    scale: float = 1.0,
) -> Committee:
    """Return a student of K = `units` for each seed, float64, w ~ N(0, scale²) in the stream "init".

    `outer` is v, 1 in a soft committee, or "normal" for v ~ N(0, scale²). Goldt et al. begin erf students at a scale of
    1 and others at smaller weights. Units of a narrow student are among those of a wider one. BadInput as `teachers`.
    """
    return _drawn(seeds, "init", units, inputs, activation, outer, scale, False)


def together(parts: Sequence[Committee]) -> Committee:
    """Return one stack of stacks that may have different numbers of units; the narrow ones get units of zeros.

    BadInput unless they agree in inputs and activation.
    """
    kinds = {(part.inputs, part.activation) for part in parts}
    if len(kinds) != 1:
        raise BadInput.of("inputs and activations", sorted(kinds), "one of each", "Stack nets of a kind.")
    most = max(part.w.shape[1] for part in parts)
    w = [functional.pad(part.w, (0, 0, 0, most - part.w.shape[1])) for part in parts]
    v = [functional.pad(part.v, (0, most - part.v.shape[1])) for part in parts]
    return Committee(torch.cat(w), torch.cat(v), parts[0].activation)


def overlaps(student: Committee, teacher: Committee) -> tuple[Tensor, Tensor, Tensor]:
    """Return the order parameters Q [R, K, K], R [R, K, M] and T [R, M, M]; BadInput unless the stacks fit."""
    _check_pair(student, teacher)
    n = student.inputs
    w, other = student.w.double(), teacher.w.double()
    return w @ w.mT / n, w @ other.mT / n, other @ other.mT / n


def error_of_overlaps(q: Tensor, r: Tensor, t: Tensor, v: Tensor, a: Tensor, activation: str = "erf") -> Tensor:
    """Return ε_g = ½E(f - f*)², without label noise, from order parameters [..., K, K], ..., v [..., K], A [..., M].

    ½Σ v_i v_k I(Q_ik) + ½Σ A_n A_m I(T_nm) - Σ v_i A_n I(R_in) with I = E g(a)g(b): for erf (2/π) asin of the overlap
    over √((1 + Q_ii)(1 + Q_kk)) (Saad & Solla 1995), for relu the arc-cosine kernel (Cho & Saul 2009). For orthogonal
    units of length 1 (Q = T = 1, R = 0), K = M = 1 and v = A = 1 this is 1/3 for erf and 1/2 - 1/(2π) for relu.
    BadInput for another activation.
    """
    if activation not in ACTIVATIONS:
        raise BadInput.named("activation", activation, ACTIVATIONS, "Others have no closed form here.")
    own, taught = q.diagonal(dim1=-2, dim2=-1), t.diagonal(dim1=-2, dim2=-1)
    student = _form(v, _correlation(q, own, own, activation), v)
    teacher = _form(a, _correlation(t, taught, taught, activation), a)
    return 0.5 * (student + teacher) - _form(v, _correlation(r, own, taught, activation), a)


def generalisation_error(student: Committee, teacher: Committee) -> Tensor:
    """Return the exact ε_g = ½E(f - f*)² over Gaussian inputs: float64 [R]; see `error_of_overlaps`, `overlaps`."""
    return error_of_overlaps(*overlaps(student, teacher), student.v.double(), teacher.v.double(), student.activation)


def measured_error(student: Committee, teacher: Committee, seeds: Sequence[int], n: int) -> tuple[Tensor, Tensor]:
    """Return ε_g measured on n fresh inputs (stream "eval") and its standard error, both [R]; BadInput as `learn`."""
    _check_pair(student, teacher)
    n, seeds = whole("n", n, 2, "An error bar takes two inputs."), _check_seeds(seeds, len(student.w))
    drawn = np.stack([rng(seed, "eval", _KEY).standard_normal((n, student.inputs)) for seed in seeds])
    x = torch.from_numpy(drawn).to(student.w.dtype)
    halves = 0.5 * (student(x) - teacher(x)).double() ** 2
    return halves.mean(1), halves.std(1) / math.sqrt(n)


def learn(
    student: Committee,
    teacher: Committee,
    seeds: Sequence[int],
    steps: int,
    rate: float,
    *,
    noise: float = 0.0,
    outer_rate: float = 0.0,
    looks: Sequence[int] = (),
) -> Learnt:
    """Return the students after online descent, each step on one fresh input and the teacher's answer to it.

    With Δ = f(x) - (f*(x) + σξ), σ = `noise`: w_k -= rate/√N · v_k g'(λ_k) Δ x and, both at once, v_k -= outer_rate/N ·
    g(λ_k) Δ (Goldt et al. 2019). An outer rate of 0 trains the first layer alone. Inputs and noise are drawn by each
    of `seeds`, one for a replicate (streams "order", "noise"); equal seeds see the same examples, whatever else is in
    the stack. `looks` are numbers of steps, from 0; without any, there is one at the end. N steps are a unit of time
    in the papers. BadInput for stacks that do not fit, seeds that are not one for each replicate, and numbers out of
    their ranges; weights that diverge are refused within 64 steps.
    """
    _check_pair(student, teacher)
    seeds, steps = _check_seeds(seeds, len(student.w)), whole("steps", steps, 0, "Give a number of steps.")
    for what, value in (("rate", rate), ("noise", noise), ("outer_rate", outer_rate)):
        if not 0 <= value < math.inf:
            raise BadInput.of(what, value, f"{what} >= 0", "Rates near 0.5 are usual, and 0 trains nothing.")
    now, places = replace(student, w=student.w.clone(), v=student.v.clone()), {*check_looks(looks, steps)} or {steps}
    source, seen = _Examples(seeds, student.inputs, student.w.dtype), []
    for start in range(0, steps, _BLOCK):
        block = _Block(now, teacher, source, rate, outer_rate, noise)
        for place in range(min(_BLOCK, steps - start)):
            if start + place in places:
                seen.append(_looked(block.net(), teacher))
            block.step(place)
        now = block.net()
    seen += [_looked(now, teacher)] * (steps in places)
    q, r, v, error = (torch.stack(each) for each in zip(*seen, strict=True))
    return Learnt(now, q, r, overlaps(now, teacher)[2], v, error)


class _Examples:
    """The inputs and noises of each different seed, block by block: x [B, N] each, their products, xi [S, B]."""

    def __init__(self, seeds: Sequence[int], inputs: int, dtype: torch.dtype):
        different = sorted({*seeds})
        self.rows = [different.index(seed) for seed in seeds]
        self.inputs = [rng(seed, "order", _KEY) for seed in different]
        self.noises = [rng(seed, "noise", _KEY) for seed in different]
        self.shape, self.dtype = (_BLOCK, inputs), dtype

    def draw(self) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the next block: R inputs [B, N], their products over N [R, B, B], and noises [R, B]."""
        x = [torch.from_numpy(source.standard_normal(self.shape)).to(self.dtype) for source in self.inputs]
        xi = [torch.from_numpy(source.standard_normal(_BLOCK)).to(self.dtype) for source in self.noises]
        products = torch.stack([each @ each.mT for each in x]) / self.shape[1]
        return [x[row] for row in self.rows], products[self.rows], torch.stack(xi)[self.rows]


class _Block:
    """Steps on a block of B examples that are known beforehand.

    A step adds to each weight vector a multiple of its input, and so to the fields of all inputs to come a multiple of
    products of inputs. With these at hand a step costs R·K·B, not R·K·N, and the weights are made at the end.
    """

    def __init__(
        self, net: Committee, teacher: Committee, source: _Examples, rate: float, outer_rate: float, noise: float
    ):
        self.x, self.products, xi = source.draw()
        self.start, self.v, self.rate, self.outer_rate = net, net.v.clone(), rate, outer_rate / net.inputs
        self.fields, taught = self._fields(net.w), self._fields(teacher.w.to(net.w.dtype))
        answers = _activated(taught, teacher.activation) * teacher.v.to(net.v.dtype)[..., None]
        self.y = answers.sum(1) + noise * xi
        self.pushes = torch.zeros_like(self.fields)

    def _fields(self, w: Tensor) -> Tensor:
        # One replicate at a time, from tensors of its own: products round otherwise where memory is aligned otherwise.
        found = [own.clone() @ x.mT for own, x in zip(w, self.x, strict=True)]
        return torch.stack(found) / math.sqrt(w.shape[2])

    def step(self, place: int) -> None:
        """Take the step on the example at this place; places go up one by one."""
        fields = self.fields[..., place]
        hidden = _activated(fields, self.start.activation)
        delta = ((self.v * hidden).sum(1) - self.y[:, place])[:, None]
        push = self.v * _slope(fields, self.start.activation) * delta
        self.pushes[..., place] = push
        self.fields.addcmul_(push[..., None], self.products[:, None, place], value=-self.rate)
        if self.outer_rate:
            self.v.addcmul_(hidden, delta, value=-self.outer_rate)

    def net(self) -> Committee:
        """Return the net after the steps so far; BadInput where it has diverged."""
        moves = torch.stack([push.clone() @ x for push, x in zip(self.pushes, self.x, strict=True)])
        w = self.start.w - self.rate / math.sqrt(self.start.inputs) * moves
        return replace(self.start, w=w, v=self.v.clone())


def _looked(net: Committee, teacher: Committee) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q, r, t = overlaps(net, teacher)
    v = net.v.double().clone()
    return q, r, v, error_of_overlaps(q, r, t, v, teacher.v.double(), net.activation)


def _activated(fields: Tensor, activation: str) -> Tensor:
    return torch.erf(fields * math.sqrt(0.5)) if activation == "erf" else fields.relu()


def _slope(fields: Tensor, activation: str) -> Tensor:
    if activation == "erf":
        return math.sqrt(2 / math.pi) * torch.exp(-0.5 * fields**2)
    return (fields > 0).to(fields.dtype)


def _correlation(overlap: Tensor, first: Tensor, second: Tensor, activation: str) -> Tensor:
    """Return E g(a)g(b) for Gaussian a and b with these covariances [..., i, j] and variances [..., i], [..., j]."""
    if activation == "erf":
        return (2 / math.pi) * torch.asin(overlap / ((1 + first)[..., None] * (1 + second)[..., None, :]).sqrt())
    lengths = (first[..., None] * second[..., None, :]).sqrt()
    # Sine and cosine of one angle: for parallel vectors √(c11·c22 - c12²) is all rounding, 4e-9 where ε is 0.
    angle = torch.acos((overlap / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)).clamp(-1, 1))
    return lengths * (torch.sin(angle) + (math.pi - angle) * torch.cos(angle)) / (2 * math.pi)


def _form(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
    return (left[..., None] * matrix * right[..., None, :]).sum((-2, -1))


def _drawn(
    seeds: Sequence[int],
    stream: str,
    units: int,
    inputs: int,
    activation: str,
    outer: float | str,
    scale: float,
    orthogonal: bool,
) -> Committee:
    units, inputs = whole("units", units, 1, "Give the net a unit."), whole("inputs", inputs, 1, "Give it an input.")
    _check_seeds(seeds, len(seeds))
    if isinstance(outer, str) and outer != "normal":
        raise BadInput.of("outer", outer, 'a number or "normal"', "1 makes a soft committee.")
    if not 0 < scale < math.inf:
        raise BadInput.of("scale", scale, "scale > 0", "Weights of 0 have no gradient.")
    if orthogonal and units > inputs:
        raise BadInput.of("units", units, f"1 <= units <= {inputs} inputs", "No more units can be orthogonal.")
    w = torch.from_numpy(np.stack([rng(s, stream, _KEY).standard_normal((units, inputs)) for s in seeds])) * scale
    if orthogonal:
        w = torch.linalg.qr(w.mT)[0].mT.contiguous() * math.sqrt(inputs)
    if isinstance(outer, str):
        v = torch.from_numpy(np.stack([rng(s, stream, _KEY, 1).standard_normal(units) for s in seeds])) * scale
    else:
        v = torch.full((len(seeds), units), float(outer), dtype=torch.float64)
    return Committee(w, v, activation)


def _check_pair(student: Committee, teacher: Committee) -> None:
    mine = len(student.w), student.inputs, student.activation
    if mine != (len(teacher.w), teacher.inputs, teacher.activation):
        given = len(teacher.w), teacher.inputs, teacher.activation
        remedy = "Give each student its teacher: see Committee.select."
        raise BadInput.of("replicates, inputs and activation of the teacher", given, str(mine), remedy)


def _check_seeds(seeds: Sequence[int], count: int) -> Sequence[int]:
    if not len(seeds) or len(seeds) != count:
        raise BadInput.of("seeds", list(seeds), f"one for each of {max(count, 1)} replicates", "Repeat shared ones.")
    return seeds
