"""What goes without loss, measured: decisions of the net after parts of its weights, units or directions are removed.

Weights go by magnitude, smallest first, in one layer or in all together; units, at the place where they are read
(`redlib.audit.activations`), by the norm of their incoming weights, their mean activation, or its product with the
gradient (Molchanov et al. 2017), whichever bears most, with a random order as control; singular directions of the
weights by their values, in each matrix the same share. Shares are those of GRID. With labels a decision counts where
it is right, without them, or where the net is no better than guessing, where it is the intact net's. Nothing is trained
afterwards: a net that may be fine-tuned bears more. Every weight comes back bit by bit.

Small nets are run at every share. Larger ones, whose passes OPERATIONS do not pay, are run so as a whole at the most;
by layer the safe share is then looked for by bisection on fewer examples, and shares that were not tried are NaN. It is
one that was tried, and the next larger one was, too. Layers with most parameters come first, and last ones may have no
curve.

Decisions alone would hide a lot, since twins (`redlib.audit.twins`) decide for a few classes, so a net is compared with
its twins by how far the output moves: the root mean square of the change over that of the output's own variation from
example to example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from redlib.audit.activations import Site, by_unit, listen, own_units
from redlib.audit.inputs import Examples, Subject, decisions, evaluation
from redlib.audit.layers import EMBEDDINGS, GATES, Layer
from redlib.audit.measure import Measure, against_draws, points
from redlib.audit.twins import AGAINST, LEAST_EXAMPLES, TWINS, can_have_twins, restored, twin
from redlib.audit.weights import small_gram
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.evidence.stats import wilson
from redlib.nets.modules import acting

Floats = NDArray[np.float64]
Remover = Callable[[float], "Outputs"]  # what a net says without a share of something
MakesRemover = Callable[["Bench", Sequence[Layer]], Remover]

GRID = (0.0, 0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
ENTRIES = 4096  # of one output that are kept: maps are large
OPERATIONS = 8e11  # multiply-adds that all passes may take at an effort of 1
TWIN_OPERATIONS = 1.5e11  # and those of twins
RESAMPLES = 400  # of the examples
RESAMPLED, CONTROL = 95, 98  # keys of the stream "eval", so that no other draw of a seed repeats these
ORDERS = ("norm", "mean activation", "gradient")  # of units
WHOLES = 3  # curves of the whole net: weights, units, directions
WHOLE_SHARE = 0.2  # of the passes that those may take where there are too many
SEARCH = 3.25  # passes of one bisection, on average
SCORING = 3  # passes that the gradient takes
SHUFFLING = 1600  # multiply-adds that take as long as to shuffle and cut one weight: measured
RANKS = (8, 2048)  # of matrices whose directions are removed: smaller ones have few, larger ones take too long


@dataclass(frozen=True)
class Curve:
    """Decisions against the share removed: `what` goes from `where`, and per share in GRID the mean that counts.

    `score` [shares] is accuracy with labels, else agreement with the intact net; `agreement` [shares] is the latter in
    both cases, `change` [shares] how far the output moves (see the top); all three are NaN at shares that were not
    tried. `safe` is the largest share up to which at most `tolerate` points are lost, with its 95% bootstrap interval
    over the examples; `sure` that up to which the upper end of Wilson's 95% interval of the decisions lost stays
    within. `knee` is the share where the curve lies furthest above the line between its ends, with its interval, NaN
    unless all shares were tried.

    `order` is what decides who goes first. That of units is the best of ORDERS on these very examples, so `safe` leans
    high by a little; `control` is the score at `safe` in random order, NaN for none. `rank_cost` is what two factors
    of full rank would have of a matrix's weights, 0 unless directions are removed. `constant` says that the intact net
    decides the same for all examples, so that no loss could show.
    """

    where: str
    what: str
    labelled: bool
    score: tuple[float, ...]
    agreement: tuple[float, ...]
    change: tuple[float, ...]
    safe: float
    safe_low: float
    safe_high: float
    sure: float
    knee: float
    knee_low: float
    knee_high: float
    examples: int
    tolerate: float
    order: str = "magnitude"
    control: float = math.nan
    rank_cost: float = 0.0
    constant: bool = False

    @property
    def saves(self) -> float:
        """The share of the weights that the safe cut saves: of directions, written as two factors of the rank kept."""
        return max(0.0, 1 - (1 - self.safe) * self.rank_cost) if self.rank_cost else self.safe

    @property
    def kind(self) -> str:
        """What counts, in a word: the accuracy, or decisions that stay."""
        return counted(self.labelled)

    @property
    def says(self) -> str:
        """One sentence, and a second one on the order of units or on what directions save."""
        kind = self.kind
        says = (
            f"{self.safe:.0%} of the {self.what} of {self.where} can go within {points(self.tolerate)} of {kind} "
            f"({self.safe_low:.0%} to {self.safe_high:.0%}, {self.examples} examples)."
        )
        if self.rank_cost:
            says += f" As two factors the rest saves {self.saves:.0%} of these weights."
        elif math.isfinite(self.control):
            at = self.score[GRID.index(self.safe)]
            says += f" By {self.order}; in random order {kind} would be {self.control:.1%} there, not {at:.1%}."
        if self.constant:
            says += " But the net decides the same for all these examples, so this says nothing."
        elif self.safe == 1 and self.change[-1] == 0:
            says += " The output that is judged does not depend on them at all."
        return says


def counted(labelled: bool) -> str:
    """Return in a word what counts: with labels accuracy, else decisions that stay."""
    return "accuracy" if labelled else "decisions"


@dataclass(frozen=True)
class Outputs:
    """What a net says: `decisions` int64 [n, ...] and `values` float64 [n, p], at most ENTRIES of each output."""

    decisions: Tensor
    values: Tensor

    def change_from(self, intact: Outputs) -> float:
        """Return the root mean square of the difference over that of `intact` around its mean; NaN if that is 0."""
        around = float((intact.values - intact.values.mean(0)).square().sum())
        return math.sqrt(float((self.values - intact.values).square().sum()) / around) if around > 0 else math.nan

    def first(self, count: int) -> Outputs:
        """Return those for the first `count` examples."""
        return Outputs(self.decisions[:count], self.values[:count])


@dataclass(frozen=True)
class Plan:
    """What OPERATIONS pay: `examples` for layers and for the `whole` net, and how many `layers`.

    `thorough` says whether every share is tried of layers, `whole_thorough` whether it is of the whole net.
    """

    examples: int
    whole: int
    layers: int
    thorough: bool
    whole_thorough: bool


@dataclass(frozen=True)
class Bench:
    """What removal is measured with: the net, examples, its own decisions [n, ...], and the tolerance in points.

    `labelled` says whether decisions count by the labels: there are some, and the net is better than guessing.
    `thorough` says whether every share is tried; `layers` is how many layers are paid for (None: all). `wide` is the
    bench of the whole net, with more examples (None: this one).
    """

    found: Subject
    given: Examples
    intact: Outputs
    tolerate: float
    seed: int
    labelled: bool = False
    effort: float = 1.0
    thorough: bool = True
    layers: int | None = None
    wide: Bench | None = None

    @property
    def whole(self) -> Bench:
        """The bench of the whole net."""
        return self.wide or self

    @property
    def compared(self) -> tuple[int, ...]:
        """Numbers of the shares at which twins are compared: all but 0 and 1, or the first that bisection tries."""
        return tuple(range(1, len(GRID) - 1)) if self.thorough else (len(GRID) // 2,)

    @property
    def constant(self) -> bool:
        """Whether the net decides the same for all examples, and labels do not count."""
        return not self.labelled and bool((self.intact.decisions == self.intact.decisions[:1]).all())

    def wanted(self) -> Tensor:
        """Return the decisions [n, ...] that count as right."""
        return self.given.y if self.labelled and self.given.y is not None else self.intact.decisions


def better_than_guessing(intact: Tensor, y: Tensor | None) -> bool:
    """Return whether the decisions are right more often than the most frequent label, by Wilson's 95% interval."""
    if y is None:
        return False
    right, most = int((intact == y).sum()), int(y.flatten().bincount().max())
    return wilson(right, y.numel()).low > most / y.numel()


def bench(
    found: Subject,
    given: Examples,
    layers: Sequence[Layer],
    units: int,
    tolerate: float,
    seed: int,
    effort: float = 1.0,
) -> Bench:
    """Return the bench for `layers`, with as many examples as OPERATIONS, times `effort`, allow.

    `units` is the number of layers whose units are removed. BadInput for a bad tolerance.
    """
    check_tolerance(tolerate)
    plan = planned(len(given), macs_of(layers) / effort, len(layers), units)
    part = given.first(plan.whole)
    intact = decide(found, part)
    labelled = better_than_guessing(intact.decisions, part.y)
    wide = Bench(found, part, intact, tolerate, seed, labelled, effort, plan.whole_thorough)
    if plan.thorough:
        return wide
    few = given.first(plan.examples)
    return replace(wide, given=few, intact=intact.first(len(few)), thorough=False, layers=plan.layers, wide=wide)


def planned(count: int, macs: float, layers: int, units: int) -> Plan:
    """Return what OPERATIONS pay of `count` examples of `macs` each, for layers of which `units` have units.

    All shares of all curves, if they do. Else all shares for the whole net, if WHOLE_SHARE of the passes pay them, and
    by layer bisection on at least LEAST_EXAMPLES, for as many layers as remain paid.
    """
    passes, every, least = OPERATIONS / max(macs, 1), len(GRID) - 1, min(LEAST_EXAMPLES, count)
    complete = every * (WHOLES + 2 * layers + len(ORDERS) * units) + units + SCORING
    if passes >= complete * count:
        return Plan(count, count, layers, True, True)
    paid = int(WHOLE_SHARE * passes / (every * WHOLES))
    whole = min(max(paid, least), count)
    left = max(0.0, passes - whole * WHOLES * (every if paid >= least else SEARCH) - SCORING * least)
    each = 2 * SEARCH + (SEARCH + len(ORDERS)) * units / max(layers, 1)  # each further order is mostly tried once
    examples = int(np.clip(left / (each * layers), least, whole))
    return Plan(examples, whole, min(layers, int(left / (each * examples))), False, paid >= least)


def check_tolerance(tolerate: float) -> None:
    """Raise BadInput for a loss that is no number of points."""
    if not 0 <= tolerate < 100:
        raise BadInput.of("tolerate", tolerate, "0 <= tolerate < 100 points of accuracy", "0.5 is usual.")


def decide(found: Subject, given: Examples, sites: Sequence[Site] = (), look: Callable | None = None) -> Outputs:
    """Return what a net says for all examples, on the CPU."""
    with evaluation(found.net):
        outputs = (listen(found, sites, x, look or _nothing) for x in given.batches(found.like))
        pairs = [(decisions(found.scores(one)).cpu(), _entries(found.read(one))) for one in outputs]
    return Outputs(torch.cat([one for one, _ in pairs]), torch.cat([values for _, values in pairs]))


def _entries(logits: Tensor) -> Tensor:
    flat = logits.reshape(len(logits), -1)
    return flat[:, :: math.ceil(flat.shape[1] / ENTRIES)].cpu().double()


def without_weights(at: Bench, layers: Sequence[Layer], where: str) -> Curve:
    """Return the curve of weights removed by magnitude from layers together, whose weights come back exactly."""
    return _curve(at, _tried(at, weight_remover(at, layers)), where, "weights")


def without_directions(at: Bench, layers: Sequence[Layer], where: str) -> Curve:
    """Return the curve of singular directions removed from each matrix of layers, those of small values first."""
    ranks = [(min(shape), layer.weight.numel(), sum(shape) * min(shape) * groups)
             for layer in layers for groups, *shape in [layer.matrices().shape]]  # fmt: skip
    cost = sum(one[2] for one in ranks) / sum(one[1] for one in ranks)
    found = _curve(at, _tried(at, direction_remover(at, layers)), where, "singular directions")
    return replace(found, order="singular value", rank_cost=cost)


def without_units(at: Bench, site: Site, scores: Mapping[str, Tensor] | None = None) -> Curve:
    """Return the curve of units removed in the best of several orders, smallest first.

    They are the norm of the incoming weights, and what `scores` has by name, [units]. Best is the largest safe share,
    of equal ones the first. Where not all shares are tried, a further order is tried where it would be better.
    """
    best, tried = "", {0: at.intact}
    for name, values in {"norm": _norms(site), **(scores or {})}.items():
        found = _tried(at, unit_remover(at, {site: _rising(values)}), _safe_of(at, tried) if best else None)
        if not best or _safe_of(at, found) > _safe_of(at, tried):
            best, tried = name, found
    curve = replace(_curve(at, tried, site.layer.name, "units"), order=best)
    if not 0 < curve.safe < 1:
        return curve
    drawn = rng(at.seed, "eval", CONTROL, own_units(site)).permutation(own_units(site)).tolist()
    return replace(curve, control=float(_score(at, unit_remover(at, {site: drawn})(curve.safe))))


def without_any_units(at: Bench, sites: Sequence[Site]) -> Curve:
    """Return the curve of the same share of units removed from all sites together, by norm."""
    orders = {site: _rising(_norms(site)) for site in sites}
    return replace(_curve(at, _tried(at, unit_remover(at, orders)), "the whole net", "units"), order="norm")


def unit_scores(at: Bench, sites: Sequence[Site]) -> dict[str, dict[str, Tensor]]:
    """Return by layer and order what units [units] are worth: their mean |activation|, and |activation · gradient|.

    The latter is the mean over examples of |the mean over positions of a · ∂L/∂a| (Molchanov et al. 2017, equation 8),
    L the cross-entropy of the labels or of the net's own decisions. It is left out where a part has no derivative.
    """
    sums: dict[str, dict[str, Tensor]] = {site.layer.name: {} for site in sites}
    wanted = at.wanted().split([len(x) for x in at.given.batches(at.found.like)])
    try:
        for x, y in zip(at.given.batches(at.found.like), wanted, strict=True):
            for name, own in _scores_of(at.found, sites, x, y.to(x.device)).items():
                sums[name] = {key: sums[name].get(key, 0) + value for key, value in own.items()}
    except (RuntimeError, NotImplementedError):  # recurrent parts on some devices; the norm remains
        return {}
    return sums


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of decisions as `inputs.decisions` takes them, in nats; of one output logistic."""
    if outputs.dim() == 1 or (outputs.dim() == 2 and outputs.shape[1] == 1):
        return nn.functional.binary_cross_entropy_with_logits(outputs.flatten(), y.to(outputs).flatten())
    classes = outputs.movedim(1, -1) if outputs.dim() != 3 else outputs
    right = classes.gather(-1, y[..., None])[..., 0]
    return (classes.logsumexp(-1) - right).mean()


def beside_twins(
    at: Bench,
    layers: Sequence[Layer],
    own: Mapping[str, Curve],
    level: float,
    whole: float,
    remover: MakesRemover | None = None,
    able: Sequence[Layer] = (),
) -> dict[str, Measure]:
    """Return how far the output moves along `own` curves, by default of weights, beside that of twins, by name.

    As `against_twins` of the `twin_changes`, for those who do not draw these.
    """
    drawn = twin_changes(at, layers, list(own), remover or weight_remover, able)
    return against_twins(at, layers, own, drawn, level, whole, remover, able)


def twin_changes(
    at: Bench, layers: Sequence[Layer], names: Sequence[str], remover: MakesRemover, able: Sequence[Layer] = ()
) -> dict[str, list[list[float]]]:
    """Return how far the outputs of twins move, at the shares `at.compared`: [draws][shares] by name.

    Names are those of layers, and "" for the whole net; layers are left out where TWIN_OPERATIONS do not allow them.
    `remover` is what is removed with, from the layers `able` (none named: all). Nothing where the net can have no
    twins, or they do not allow TWINS[0] of them. A change is that of `Outputs.change_from`.
    """
    if not can_have_twins(layers) or not names:
        return {}
    draws = _twins_for(at, layers, len(names), able)
    if draws < TWINS[0]:
        names, draws = [name for name in names if not name], _twins_for(at, layers, 1, able)
    if draws < TWINS[0]:
        return {}
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for draw in range(draws if found else 0):
        with twin(at.found, layers, at.given, at.seed, draw):
            other = replace(at, intact=decide(at.found, at.given))
            for name, changes in found.items():
                changes.append(_changes(other, remover(other, _named(name, layers, able))))
    return found


def against_twins(
    at: Bench,
    layers: Sequence[Layer],
    own: Mapping[str, Curve],
    drawn: Mapping[str, Sequence[Sequence[float]]],
    level: float,
    whole: float,
    remover: MakesRemover | None = None,
    able: Sequence[Layer] = (),
) -> dict[str, Measure]:
    """Return how far the output moves along `own` curves beside the changes `drawn` of twins, by name.

    It is the mean decimal logarithm of the change at the shares `at.compared`: of the whole net ("") at the level
    `whole`, of layers at `level`. `remover` and `able` are as in `twin_changes`, by default weights are removed.
    """
    what = "Change of the output while weights are removed, decimal logarithm"
    what = what if remover is None else what.replace("weights", "singular directions")
    found = {}
    for name, changes in drawn.items():
        value = _change_of(at, own[name], remover or weight_remover, _named(name, layers, able))
        null = [mean_change(one) for one in changes]
        found[name] = against_draws(value, null, level if name else whole, what, AGAINST, -1)
    return found


def _named(name: str, layers: Sequence[Layer], able: Sequence[Layer]) -> list[Layer]:
    """Return the layers that a name stands for, of those that are `able` (none named: all)."""
    return [layer for layer in able or layers if name in ("", layer.name)]


def weight_remover(at: Bench, layers: Sequence[Layer]) -> Remover:
    """Return what removes a share of the weights of layers together, smallest first, and puts them back."""
    stored = [layer.stored for layer in layers if layer.stored is not None]
    sizes = torch.cat([_acting_sizes(layer) for layer in layers if layer.stored is not None])

    def removed(share: float) -> Outputs:
        with restored(stored):
            _cut(stored, _smallest(sizes, round(share * len(sizes))))
            return decide(at.found, at.given)

    return removed


def _acting_sizes(layer: Layer) -> Tensor:
    """Return |weights| [n] as they act now: what a mask hides is 0, and goes first."""
    stored = layer.stored.detach().abs().float()  # type: ignore[union-attr]
    return (stored if layer.mask is None else stored * layer.mask).flatten()


def direction_remover(at: Bench, layers: Sequence[Layer]) -> Remover:
    """Return what removes a share of the singular directions of every matrix of layers, and puts the weights back.

    It projects on the leading eigenvectors of the smaller Gram matrix (Eckart & Young 1936).
    """
    stored = [layer.stored for layer in layers if layer.stored is not None]
    whole = [layer.matrices().detach() for layer in layers]
    whole = [w if w.dtype == torch.float64 else w.float() for w in whole]  # sums of half precision would lose digits
    vectors = [torch.linalg.eigh(small_gram(w)).eigenvectors.to(w.dtype) for w in whole]

    def removed(share: float) -> Outputs:
        with restored(stored), torch.no_grad():
            for layer, values, w, basis in zip(layers, stored, whole, vectors, strict=True):
                kept = basis[:, :, round(share * basis.shape[2]) :]  # small eigenvalues come first
                low = kept @ (kept.mT @ w) if w.shape[1] <= w.shape[2] else (w @ kept) @ kept.mT
                _put(layer, values, low.flatten(0, 1))
            return decide(at.found, at.given)

    return removed


def unit_remover(at: Bench, orders: Mapping[Site, Sequence[int]]) -> Remover:
    """Return what silences a share of the units of sites, in these orders."""

    def removed(share: float) -> Outputs:
        def look(site: Site, output: object) -> object:
            order = orders[site]
            return _silenced(site, output, order[: round(share * len(order))])

        return decide(at.found, at.given, list(orders), look)

    return removed


def factorable(layer: Layer) -> bool:
    """Return whether directions of a layer can be removed: it is stored as it acts, and its rank is in RANKS."""
    same = layer.stored is not None and layer.stored.data_ptr() == layer.weight.data_ptr()
    return same and RANKS[0] <= min(layer.matrices().shape[1:]) <= RANKS[1]


def _twins_for(at: Bench, layers: Sequence[Layer], curves: int, factored: Sequence[Layer]) -> int:
    """Return how many twins TWIN_OPERATIONS allow with so many curves each, at most the most.

    A twin is run twice more, for its norms, and as it is; its weights are shuffled, and factored.
    """
    each = macs_of(layers) * len(at.given) * (2 + len(at.compared) * curves)
    each += SHUFFLING * sum(layer.weight.numel() for layer in layers) + sum(map(_factoring, factored))
    return int(min(TWINS[1], at.effort * TWIN_OPERATIONS / max(each, 1)))


def _factoring(layer: Layer) -> float:
    """Return the multiply-adds that the singular directions of a layer take, and one product with them."""
    count, *shape = layer.matrices().shape
    return float(count * (3 * min(shape) ** 2 * max(shape) + 25 * min(shape) ** 3))


def _change_of(at: Bench, curve: Curve, remover: MakesRemover, cut: Sequence[Layer]) -> float:
    """Return how far the output moves along a curve, measured anew if it was on other examples than twins are."""
    if curve.examples != len(at.given):
        return mean_change(_changes(at, remover(at, cut)))
    return mean_change([curve.change[i] for i in at.compared])


def _changes(at: Bench, removed: Remover) -> list[float]:
    return [removed(GRID[i]).change_from(at.intact) for i in at.compared]


def macs_of(layers: Sequence[Layer]) -> float:
    """Return the multiply-adds of one example; of archives, which do not tell, the weights (each used once)."""
    return sum(layer.macs or 0 for layer in layers) or sum(layer.weight.numel() for layer in layers)


def removable(layer: Layer) -> bool:
    """Return whether weights of a layer can be changed: those computed from others cannot."""
    return layer.stored is not None


def unit_site(layer: Layer, sites: Sequence[Site]) -> Site | None:
    """Return where units of a layer can be removed, None where they are none or are the outputs of the net."""
    site = next((site for site in sites if site.layer is layer), None)
    none = site is None or site.final or layer.kind in EMBEDDINGS or own_units(site) < 2
    return None if none else site


def _tried(at: Bench, removed: Remover, safe: int | None = None) -> dict[int, Outputs]:
    """Return what the net says at shares of GRID, by their number: at all, or at those that bisection needs.

    `safe` is the number of a share that something else bears, which this has to better, or nothing more is tried.
    """
    found = {0: at.intact}
    if at.thorough:
        return found | {i: removed(GRID[i]) for i in range(1, len(GRID))}
    low, high, next_ = safe or 0, len(GRID), None if safe is None else safe + 1
    while high - low > 1:
        at_, next_ = next_ or (low + high) // 2, None
        found[at_] = removed(GRID[at_])
        within = _score(at, at.intact) - _score(at, found[at_]) <= at.tolerate / 100 + 1e-12
        low, high = (at_, high) if within else (low, at_)
        if not within and safe is not None and low == safe:
            break
    return found


def _safe_of(at: Bench, tried: Mapping[int, Outputs]) -> int:
    """Return the number of the largest share up to which all that were tried are within the tolerance."""
    score = np.full(len(GRID), np.nan)
    score[list(tried)] = [_score(at, tried[i]) for i in tried]
    return GRID.index(safe_share(score, at.tolerate))


def _score(at: Bench, found: Outputs) -> float:
    return float(_shares([found], at.wanted()).mean())


@torch.no_grad()
def _cut(stored: Sequence[Tensor], gone: Tensor) -> None:
    """Set the weights with these numbers, or in this mask, counted through all tensors, to 0."""
    sizes = [values.numel() for values in stored]
    mask = torch.zeros(sum(sizes), dtype=torch.bool, device=stored[0].device)
    mask[gone] = True
    for values, own in zip(stored, mask.split(sizes), strict=True):
        values.masked_fill_(own.view_as(values), 0)


def _smallest(sizes: Tensor, count: int) -> Tensor:
    """Return the mask of the `count` smallest sizes [n], of equal ones the first: what a stable sort would take."""
    if count == 0:
        return torch.zeros_like(sizes, dtype=torch.bool)
    limit = sizes.kthvalue(count).values
    mask = sizes < limit
    mask[(sizes == limit).nonzero()[: count - int(mask.sum()), 0]] = True
    return mask


def _put(layer: Layer, stored: Tensor, rows: Tensor) -> None:
    """Write matrices, as rows [groups · out, in], back into a weight; a row of padding stays."""
    flat = rows.to(stored.dtype)
    if layer.skip is None:
        stored.copy_(flat.view_as(stored))
        return
    others = torch.arange(len(stored), device=stored.device) != layer.skip
    stored[others] = flat.view(-1, *stored.shape[1:])


def _scores_of(found: Subject, sites: Sequence[Site], x: Tensor, y: Tensor) -> dict[str, dict[str, Tensor]]:
    """Return the sums over a batch of what units are worth, by layer and order, each [units]."""
    kept: list[tuple[Site, Tensor]] = []

    def look(site: Site, output: object) -> object:
        values = output[0] if isinstance(output, tuple | list) else output
        assert isinstance(values, Tensor)
        own = values if values.requires_grad else values.detach().requires_grad_()
        kept.append((site, own))
        passed = own.clone()  # what follows in place then changes a copy
        return (passed, *output[1:]) if isinstance(output, tuple) else passed

    with evaluation(found.net), torch.enable_grad():
        loss = cross_entropy(found.scores(listen(found, sites, x, look)).double(), y)
        slopes = torch.autograd.grad(loss, [values for _, values in kept], materialize_grads=True)
    scores: dict[str, dict[str, Tensor]] = {}
    for (site, values), slope in zip(kept, slopes, strict=True):
        taylor = by_unit(values.detach() * slope, site.axis, site.late).double().mean(2).abs().sum(0)
        mean = by_unit(values.detach(), site.axis, site.late).double().abs().mean(2).sum(0)
        own = scores.setdefault(site.layer.name, {})
        for name, worth in (("mean activation", mean.cpu()), ("gradient", taylor.cpu())):
            own[name] = own.get(name, 0) + worth  # of all calls
    return scores


def _rising(values: Tensor) -> list[int]:
    order: list[int] = values.argsort(stable=True).tolist()
    return order


def _norms(site: Site) -> Tensor:
    """Return the norm of the incoming weights of each unit."""
    if site.layer.kind in GATES:
        return _recurrent_norms(site.layer.part, own_units(site))
    weight = site.layer.weight.float()
    if site.layer.transposed:  # [in, out of a group, ...]
        return weight.unflatten(0, (site.layer.groups, -1)).transpose(1, 2).flatten(2).norm(dim=2).flatten()
    units = own_units(site)
    return weight.flatten(1).unflatten(0, (-1, units)).norm(dim=2).norm(dim=0)


def _recurrent_norms(part: Any, units: int) -> Tensor:
    """Return those of the units of a recurrent part's last layer, by direction, over all gates; of its projection."""
    names = [name for name, _ in part.named_parameters(recurse=False)]
    last = [name for name in names if name.startswith("weight_hh")][-1]
    ends = ("_reverse", "") if last.endswith("_reverse") else ("",)
    norms = []
    for end in reversed(ends):
        place = last.removeprefix("weight_hh").removesuffix("_reverse") + end
        kinds = ("hr",) if f"weight_hr{place}" in names else ("ih", "hh")
        rows = torch.cat([acting(part, f"weight_{kind}{place}").float() for kind in kinds], 1)
        norms.append(rows.unflatten(0, (-1, units // len(ends))).norm(dim=2).norm(dim=0))
    return torch.cat(norms)


def _silenced(site: Site, output: object, gone: Sequence[int]) -> object:
    values = output[0] if isinstance(output, tuple | list) else output
    assert isinstance(values, Tensor)
    index = torch.tensor(gone, dtype=torch.long, device=values.device)
    silent = values.index_fill(site.axis if values.dim() > 1 else 0, index, 0)
    if not isinstance(output, tuple):
        return silent
    state = output[1:] if len(output) != 2 else (_silent_state(site.layer.part, output[1], index),)
    return (silent, *state)


def _silent_state(part: nn.Module | None, state: Any, index: Tensor) -> Any:
    """Return the last states of a recurrent part without these units, since a net may read them there as well."""
    if not isinstance(part, nn.RNNBase):
        return state
    hidden = (state[0] if isinstance(state, tuple) else state).clone()
    ways = 2 if part.bidirectional else 1
    for way, own in enumerate(hidden[-ways:]):
        size = own.shape[-1]
        own.index_fill_(-1, index[(index >= way * size) & (index < (way + 1) * size)] - way * size, 0)
    return (hidden, *state[1:]) if isinstance(state, tuple) else hidden


def _nothing(site: Site, output: object) -> None:
    return None


def _curve(at: Bench, tried: Mapping[int, Outputs], where: str, what: str) -> Curve:
    known = sorted(tried)
    found = [tried[i] for i in known]
    agreement, right = _shares(found, at.intact.decisions), _shares(found, at.wanted())
    count = right.shape[1]
    draws = rng(at.seed, "eval", RESAMPLED).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    resamples, score, lost = draws @ right.T / count, right.mean(1), (right[0] - right > 0.5).sum(1)
    bound = np.array([1.0, *(1 - wilson(int(wrong), count).high for wrong in lost[1:])])
    score, resamples, bound, agreed, change = (
        _spread(values, known)
        for values in (score, resamples, bound, agreement.mean(1), [one.change_from(at.intact) for one in found])
    )
    safe, knee = _interval(resamples, lambda curve: safe_share(curve, at.tolerate)), _interval(resamples, knee_of)
    return Curve(where, what, at.labelled, tuple(score.tolist()), tuple(agreed.tolist()), tuple(change.tolist()),
                 safe_share(score, at.tolerate), *safe, safe_share(bound, at.tolerate),
                 knee_of(score), *knee, count, at.tolerate, constant=at.constant)  # fmt: skip


def _spread(values: Floats | Sequence[float], known: Sequence[int]) -> Floats:
    """Return values [..., known] at the shares of GRID with these numbers, NaN at the others: [..., shares]."""
    given = np.asarray(values, np.float64)
    found = np.full((*given.shape[:-1], len(GRID)), np.nan)
    found[..., known] = given
    return found


def _shares(found: Sequence[Outputs], wanted: Tensor) -> Floats:
    """Return the share of the decisions on each example that are as wanted, [shares, n]."""
    return np.stack([(one.decisions == wanted).double().reshape(len(wanted), -1).mean(1).numpy() for one in found])


def mean_change(change: Sequence[float]) -> float:
    """Return the mean decimal logarithm of the changes at some shares."""
    return float(np.mean(np.log10(np.maximum(change, 1e-12))))


def _interval(curves: Floats, statistic: Callable[[Floats], float]) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic of resampled curves [B, shares], NaN if it is never there."""
    values = np.array([statistic(curve) for curve in curves])
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (math.nan, math.nan)
    return float(low), float(high)


def safe_share(score: Floats, tolerate: float) -> float:
    """Return the largest share of GRID up to which a curve [shares] loses at most `tolerate` points.

    Shares that were not tried, NaN, are passed over.
    """
    known = np.flatnonzero(np.isfinite(score))
    within = score[0] - score[known] <= tolerate / 100 + 1e-12
    return GRID[int(known[int(np.argmin(within)) - 1])] if not within.all() else GRID[int(known[-1])]


def knee_of(score: Floats) -> float:
    """Return the share where a curve [shares] lies furthest above the line between its ends.

    NaN for a flat curve, and for one of which not all shares were tried.
    As Satopää et al. 2011, without smoothing, on the few shares of GRID.
    """
    if not np.isfinite(score).all():
        return math.nan
    grid = np.array(GRID)
    above = score - (score[0] + grid * (score[-1] - score[0]))
    return float(grid[above.argmax()]) if score[0] > score[-1] and above.max() > 0 else math.nan
