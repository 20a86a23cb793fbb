"""Neural collapse NC1 to NC4 (Papyan, Han & Donoho 2020), streamed in two passes without a p × p matrix.

Examples come as batches: an iterable, which is gone through twice, of pairs (features, labels); a set that lies in
memory is `[(features, labels)]`. Features are [b, p] or, for R replicates, [R, b, p]; labels are integers
0 ... C-1, [b] or [R, b]. Sums are float64, one replicate at a time, so a replicate's values do not depend on the
others. Results are float64 tensors [R], on the device of the features.

The first pass takes the class means μ_c, the second what lies around them. One pass would have to subtract
E[h]E[h]ᵀ from E[hhᵀ], and loses its digits exactly where features collapse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from redlib.data.numbers import strided, whole
from redlib.errors import BadInput
from redlib.measures.simplex import equiangularity, equinorm, simplex_etf, vector_stack

Batches = Iterable[tuple[Tensor, Tensor]]
Classifier = tuple[Tensor, Tensor | None]

RTOL = 1e-7  # smaller singular values of the class means, relative to the largest, may be rounding of float32 features
ROUNDING = 1e-12  # as the spread of the class means, relative to their size: they differ by rounding alone
CHUNK = 2**20  # features held in float64 at a time, 8 MiB
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class ClassMeans:
    """The means μ_c (`means`, float64 [R, C, p]) of C classes, and how many examples each has (`counts`, [R, C])."""

    means: Tensor
    counts: Tensor

    @property
    def global_mean(self) -> Tensor:
        """μ_G, the mean of the class means (not of the examples, if classes differ in size): [R, p]."""
        return self.means.mean(1)

    @property
    def centred(self) -> Tensor:
        """μ_c - μ_G: [R, C, p]; exactly 0 where all classes of a replicate have one mean up to rounding."""
        centred = self.means - self.global_mean[:, None]
        apart = centred.norm(dim=(1, 2)) > ROUNDING * self.means.norm(dim=(1, 2))
        return torch.where(apart[:, None, None], centred, 0)


@dataclass(frozen=True)
class Variability:
    """NC1 and its parts, each [R]; see `variability`. `rank` is the number of directions that NC1 is taken in."""

    nc1: Tensor
    within: Tensor
    between: Tensor
    rank: Tensor

    @property
    def ratio(self) -> Tensor:
        """tr Σ_W / tr Σ_B: [R]; counts all directions, and none of them more because its means lie close."""
        return self.within / torch.where(self.between > 0, self.between, torch.nan)


def collapse(
    batches: Batches, classes: int, classifier: Classifier | None = None, rtol: float = RTOL
) -> dict[str, Tensor]:
    """Return all measures of collapse of a layer from two passes over its features, by name, each [R].

    nc1, nc1_ratio, rank: see `variability`; nc2_norms, nc2_angles: `equinorm` and `equiangularity` of the centred
    class means; with `classifier` = (weight, bias or None) of the layer that reads the features also nc3
    (`self_duality`) and nc4 (`ncc_mismatch`). All but the rank are 0 in full collapse, and NaN, but for nc4, where
    all class means coincide. Raises BadInput as these do.
    """
    means = class_means(batches, classes)
    spread = _Spread(means, rtol)
    decisions = [] if classifier is None else [_Decisions(means, *classifier)]
    _second_pass(batches, means, [spread, *decisions])
    found = spread.result()
    measures = {"nc1": found.nc1, "nc1_ratio": found.ratio, "rank": found.rank}
    measures |= {"nc2_norms": equinorm(means.centred), "nc2_angles": equiangularity(means.centred)}
    if classifier is not None:
        measures |= {"nc3": self_duality(means, classifier[0]), "nc4": decisions[0].result()}
    return measures


def class_means(batches: Batches, classes: int) -> ClassMeans:
    """Return the mean features and the number of examples of every class, from one pass.

    Raises BadInput for fewer than two classes, a class without examples, labels outside 0 ... classes-1,
    features that are not finite, and batches that cannot be gone through again or change shape.
    """
    if classes < 2:
        raise BadInput.of("classes", classes, "classes >= 2", "One class has nothing to be compared with.")
    classes = whole("classes", classes, 2, "Count them.")
    totals: tuple[Tensor, Tensor] | None = None
    for features, labels in _stacks(batches, classes):
        if totals is None:
            sums = features.new_zeros(len(features), classes, features.shape[2], dtype=torch.float64)
            totals = sums, labels.new_zeros(len(features), classes)
        sums, counts = totals
        for r, h, y in _chunks(features, labels):
            sums[r].index_add_(0, y, h)
            counts[r] += torch.bincount(y, minlength=classes)
    if totals is None:
        raise BadInput.of("number of batches", 0, "at least 1", "Pass [(features, labels)] for a whole set.")
    return _checked(*totals)


def variability(batches: Batches, means: ClassMeans, rtol: float = RTOL) -> Variability:
    """Return NC1 = tr(Σ_W Σ_B⁺)/C, tr Σ_W, tr Σ_B and the rank of Σ_B, each [R] (Papyan et al. 2020).

    Σ_W is the covariance around the class means, averaged over the examples; Σ_B that of the class means around
    μ_G, averaged over the classes. Both traces are in squared units of the features, NC1 has none. With the thin
    SVD U·S·Vᵀ of the centred means over √C, NC1 is the average of ‖S⁻¹Vᵀ(h - μ_c)‖²/C over the examples.
    Directions with S <= rtol·max S are left out (at most C - 1 remain): the fewer remain, the less NC1 says.
    Directions in which class means hardly differ count most; `ratio` is free of that. NC1 and `ratio` are NaN where
    all class means coincide. `means` are those of the same batches; raises BadInput if they are not, and
    unless 0 < rtol < 1.
    """
    spread = _Spread(means, rtol)
    _second_pass(batches, means, [spread])
    return spread.result()


def self_duality(means: ClassMeans, weight: Tensor) -> Tensor:
    """Return NC3 = ‖Wᵀ/‖W‖_F - Ṁ/‖Ṁ‖_F‖²_F, in [0, 4]: [R] (Papyan et al. 2020).

    Ṁ are the centred class means, W = `weight` [C, p] or [R, C, p] the classifier, as it is. NaN where either is zero.
    """
    rows, centred = _weights(weight, means), means.centred
    difference = rows / rows.norm(dim=(1, 2), keepdim=True) - centred / centred.norm(dim=(1, 2), keepdim=True)
    return difference.square().sum((1, 2))


def ncc_mismatch(batches: Batches, means: ClassMeans, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return NC4, the share in [0, 1] of examples where argmax(Wh + b) is not argmin_c ‖h - μ_c‖: [R].

    weight: [C, p] or [R, C, p]; bias: [C] or [R, C], None for a layer that has none. Without its bias a fully
    collapsed net disagrees with the nearest class centre wherever μ_G is not 0. The examples may be others than those
    of the means, such as test data; their labels are not used. Decisions are taken in float64 (Papyan et al. 2020).
    """
    decisions = _Decisions(means, weight, bias)
    _second_pass(batches, means, [decisions])
    return decisions.result()


def mean_spectrum(means: ClassMeans) -> Tensor:
    """Return the C - 1 singular values of the centred class means over the largest, [R, C-1]: all 1 in a simplex."""
    values = torch.linalg.svdvals(means.centred)[:, : means.centred.shape[1] - 1]
    return values / values[:, :1]


def nc1_among(features: Tensor, labels: Tensor, among: Tensor, classes: int) -> Tensor:
    """Return NC1 of some examples alone, [R], NaN where a class has none of them.

    features [R, n, p], labels [n] or [R, n]; `among` is bool [R, n] (BadInput for others).
    """
    if among.dtype != torch.bool or among.shape != features.shape[:2]:
        given = (str(among.dtype), tuple(among.shape))
        raise BadInput.of("among", given, f"bool, {tuple(features.shape[:2])}", "True where an example counts.")
    found = []
    for h, y, part in zip(features, labels.expand(among.shape), among, strict=True):
        whole = len(torch.unique(y[part])) == classes
        none = features.new_full((), torch.nan, dtype=torch.float64)
        found.append(collapse([(h[part], y[part])], classes)["nc1"][0] if whole else none)
    return torch.stack(found)


def in_plane(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return features [R, n, p] in the plane of their class means (of the two widest directions, for more than three).

    [R, n, 2], centred, and turned so that the means of labels [n] or [R, n] point where the corners of
    `simplex_etf(classes, classes - 1)` do, as well as can be (Procrustes). BadInput as in `class_means`.
    """
    found = class_means([(features, labels)], classes)
    u, _, v = torch.linalg.svd(found.centred.mT @ simplex_etf(classes, classes - 1).to(features.device), False)
    return ((features.double() - found.global_mean[:, None]) @ (u @ v))[..., :2].to(features)


class _Measure(Protocol):
    def add(self, r: int, h: Tensor, y: Tensor) -> None:
        """Take in features h, float64 [b, p], and labels y [b] of replicate r."""


class _Spread(_Measure):
    """Sums of squares around the class means: in all directions, and in those of the means, whitened."""

    def __init__(self, means: ClassMeans, rtol: float):
        if not 0 < rtol < 1:
            raise BadInput.of("rtol", rtol, "0 < rtol < 1", f"The default is {RTOL}.")
        self.means, self.centred = means, means.centred
        self.whitening, self.rank = _whitening(self.centred, rtol)
        self.sums = means.means.new_zeros(2, len(self.rank))
        self.counts = torch.zeros_like(means.counts)

    def add(self, r: int, h: Tensor, y: Tensor) -> None:
        around = h - self.means.means[r][y]
        self.sums[0, r] += (around @ self.whitening[r]).square().sum()
        self.sums[1, r] += around.square().sum()
        self.counts[r] += torch.bincount(y, minlength=self.counts.shape[1])

    def result(self) -> Variability:
        if not torch.equal(self.counts, self.means.counts) or not self.sums.isfinite().all():
            given = f"{self.counts.sum(1).tolist()} examples"
            allowed = f"the {self.means.counts.sum(1).tolist()} of the class means, with finite features"
            raise BadInput.of("second pass over the batches", given, allowed, "Both passes must see the same examples.")
        whitened, within = self.sums / self.counts.sum(1)
        classes = self.counts.shape[1]
        between = self.centred.square().sum((1, 2)) / classes
        nc1 = torch.where(self.rank > 0, whitened / classes, torch.nan)
        return Variability(nc1, within, between, self.rank)


class _Decisions(_Measure):
    """How often the classifier and the nearest class centre decide differently."""

    def __init__(self, means: ClassMeans, weight: Tensor, bias: Tensor | None):
        self.weight = _weights(weight, means)
        self.bias = _biases(bias, means)
        self.origin, self.centred = means.global_mean, means.centred
        self.half_squares = self.centred.square().sum(2) / 2
        self.wrong, self.seen = self.bias.new_zeros(len(self.bias)), self.bias.new_zeros(len(self.bias))

    def add(self, r: int, h: Tensor, y: Tensor) -> None:
        by_net = torch.addmm(self.bias[r], h, self.weight[r].T)
        by_centre = (h - self.origin[r]) @ self.centred[r].T - self.half_squares[r]  # from μ_G, to keep the digits
        if not (by_net.isfinite().all() and by_centre.isfinite().all()):
            raise BadInput.of(f"features of replicate {r}", "nan or inf", "finite numbers", "Has the net diverged?")
        self.wrong[r] += (by_net.argmax(1) != by_centre.argmax(1)).sum()
        self.seen[r] += len(h)

    def result(self) -> Tensor:
        if not self.seen.all():
            raise BadInput.of("number of examples", 0, "at least 1", "Pass [(features, labels)] for a whole set.")
        return self.wrong / self.seen


def _second_pass(batches: Batches, means: ClassMeans, measures: list[_Measure]) -> None:
    shape = (len(means.means), means.means.shape[2])
    for features, labels in _stacks(batches, means.means.shape[1], shape):
        for r, h, y in _chunks(features, labels):
            for measure in measures:
                measure.add(r, h, y)


def _stacks(
    batches: Iterable[object], classes: int, shape: tuple[int, int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every batch as ([R, b, p], [R, b]), checked; `shape` is (R, p), by default that of the first batch."""
    if iter(batches) is batches:
        remedy = "Pass a list, or an object whose __iter__ starts anew."
        raise BadInput.of("batches", type(batches).__name__, "an iterable that can be gone through twice", remedy)
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            given = type(batch).__name__
            raise BadInput.of("batch", given, "a pair (features, labels)", "A whole set is [(features, labels)].")
        features, labels = _stack(*batch)
        shape = shape or (len(features), features.shape[2])
        if (len(features), features.shape[2]) != shape:
            given_shape = (len(features), features.shape[2])
            raise BadInput.of("replicates and features", given_shape, f"{shape}, as before", "Use one layer's batches.")
        _check_labels(labels, classes)
        yield features, labels


def _stack(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return features [b, p] or [R, b, p] as [R, b, p] and labels [b] or [R, b] as int64 [R, b], without copies."""
    empty = 0 in features.shape[:-2] + features.shape[-1:]  # a batch may be, R and p may not
    if not strided(features, "features").is_floating_point() or features.dim() not in (2, 3) or empty:
        given = (str(features.dtype), tuple(features.shape))
        raise BadInput.of("features", given, "floats, [n, p] or [R, n, p]", "Flatten the features of an image.")
    stack = features.detach()[None] if features.dim() == 2 else features.detach()
    shapes = [tuple(stack.shape[1:2]), tuple(stack.shape[:2])]
    if labels.dtype not in INTEGERS or tuple(labels.shape) not in shapes:
        given = (str(labels.dtype), tuple(labels.shape))
        raise BadInput.of("labels", given, f"integers, {shapes[0]} or {shapes[1]}", "One per example.")
    return stack, labels.to(stack.device, torch.int64).expand(stack.shape[:2])


def _chunks(features: Tensor, labels: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (replicate, features [b, p] in float64, labels [b]), few enough at a time to stay in the cache."""
    size = max(1, CHUNK // features.shape[2])
    for r, (h, y) in enumerate(zip(features, labels, strict=True)):
        for at in range(0, len(h), size):
            yield r, h[at : at + size].double(), y[at : at + size]


def _checked(sums: Tensor, counts: Tensor) -> ClassMeans:
    for r, c in (counts == 0).nonzero().tolist():
        where = f"number of examples of class {c} in replicate {r}"
        raise BadInput.of(where, 0, "at least 1", "Pass as `classes` the number of labels that occur, 0 ... C-1.")
    for r, c in (~sums.isfinite().all(2)).nonzero().tolist():
        where = f"features of class {c} in replicate {r}"
        raise BadInput.of(where, "nan or inf", "finite numbers", "Has the net diverged?")
    return ClassMeans(sums / counts[:, :, None], counts)


def _whitening(centred: Tensor, rtol: float) -> tuple[Tensor, Tensor]:
    """Return V·S⁻¹ [R, p, K], 0 in the directions left out, and how many directions remain [R]."""
    classes = centred.shape[1]
    _, size, directions = torch.linalg.svd(centred / classes**0.5, full_matrices=False)
    keep = size > rtol * size[:, :1]
    keep[:, classes - 1 :] = False  # the centred means add up to 0
    return directions.mT * torch.where(keep, 1 / size, 0)[:, None], keep.sum(1)


def _weights(weight: Tensor, means: ClassMeans) -> Tensor:
    stack = vector_stack(weight, "weight").to(means.means.device)
    if stack.shape != means.means.shape:
        allowed = f"{tuple(means.means.shape)}, as the class means"
        raise BadInput.of("shape of weight", tuple(stack.shape), allowed, "Pass the layer that reads the features.")
    return stack


def _biases(bias: Tensor | None, means: ClassMeans) -> Tensor:
    shape = means.means.shape[:2]
    if bias is None:
        return means.means.new_zeros(shape)
    stack = vector_stack(torch.atleast_2d(bias)[:, :, None], "bias").to(means.means.device)[:, :, 0]
    if stack.shape != shape:
        given = tuple(bias.shape)
        raise BadInput.of("shape of bias", given, str(tuple(shape)), "Pass the layer's own, or None if it has none.")
    return stack


def _check_labels(labels: Tensor, classes: int) -> None:
    given = (int(labels.min()), int(labels.max())) if labels.numel() else (0, 0)
    if given[0] < 0 or given[1] >= classes:
        raise BadInput.of("smallest and largest label", given, f"0 ... {classes - 1}", "Number the classes from 0.")
