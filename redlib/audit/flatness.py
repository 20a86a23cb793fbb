"""How flat the loss is around the net: largest curvature, mean curvature, and sharpness, raw and free of scale.

The loss is the mean cross-entropy of the labels, or, without labels, of the net's own decisions, which says how sure it
is of them and nothing about whether they are right. The net is in evaluation mode, so batch norms keep their
statistics, and all parameters move. Curvature is that of `redlib.measures.curvature`: at the kinks of ReLU, max-pool
and the like second derivatives count as 0, so it is that of the smooth piece the net stands on, and what bends from
piece to piece is not in it. Sharpness in a box crosses kinks and sees it.

Each number stands beside twins of the net (`redlib.audit.twins`). Flat is not redundant: a layer times 2 and the next
one by 2 change the first three numbers and not the net (Dinh et al. 2017), so none of them counts as surplus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from redlib.audit.inputs import Examples, Subject, decisions, evaluation, moving
from redlib.audit.layers import Layer
from redlib.audit.measure import Measure, against_draws, alone, logarithms, said
from redlib.audit.removal import cross_entropy, macs_of
from redlib.audit.twins import AGAINST, TWINS, can_have_twins, twin
from redlib.errors import BadInput
from redlib.measures.curvature import MeanLoss, box_sharpness, loss_of, scaled, top_eigenvalues, trace

MEASURES = 4  # compared with a null, of the whole net
OPERATIONS = 2.5e11  # multiply-adds, or what takes as long, for the net and its twins at an effort of 1
PRODUCT = 20  # passes that one product with the Hessian takes, in float64: measured on a ResNet-18
VECTOR = 800  # multiply-adds that one parameter takes in a product, whatever the examples: likewise
CALLS = 3e7  # multiply-adds as long as the calls of one layer take in a product: measured on small nets
MOST_TWINS = 8
PRODUCTS = 70  # for all four numbers of one net, at most
EXAMPLES = (32, 256)  # fewest and most
STEPS = (24, 15)  # of Lanczos; the second for more than LARGE parameters, of which so many vectors are kept
LARGE, LARGEST = 4_000_000, 32_000_000  # parameters; 16 vectors of the latter are 4 GiB
TOLERANCE = 1e-2  # of the largest eigenvalue
PROBES = 10  # of the trace
BOX, CLIMB = 1e-3, 10  # side of the box (Keskar et al. 2017), and steps of the ascent in it
LEAST = 1e-12  # of what has a logarithm
KINKS = "at kinks, as of ReLU, second derivatives count as 0: the curvature is that of one smooth piece"
WORDS = {
    "top_eigenvalue": "Largest eigenvalue of the Hessian",
    "trace": "Trace of the Hessian",
    "box_sharpness": f"Rise of the loss in a box of {BOX:g}, in per cent (Keskar et al. 2017)",
    "adaptive_sharpness": "Largest eigenvalue with each weight in its own unit (scale-free, Kwon et al. 2021)",
}


@dataclass(frozen=True)
class Plan:
    """How much is afforded: examples, twins, steps of Lanczos; `why` says why nothing is ("" where something is)."""

    examples: int
    twins: int
    steps: int
    why: str = ""


class Batches:
    """Examples as curvature takes them: one net's, all in parts."""

    def __init__(self, x: Sequence[Tensor], y: Tensor):
        self.x, self.y = torch.cat(list(x)), y

    def __len__(self) -> int:
        return len(self.x)

    def parts(self, groups: int, size: int = EXAMPLES[1]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x [R, b, ...], y [R, b, ...])."""
        for x, y in zip(self.x.split(size), self.y.split(size), strict=True):
            yield x.expand(groups, *x.shape), y.expand(groups, *y.shape)


class Logits(nn.Module):
    """A net whose output is the one tensor that decides, as logits."""

    def __init__(self, found: Subject):
        super().__init__()
        self.net, self.scores = found.net, found.scores

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs that `inputs.decisions` reads."""
        return self.scores(self.net(x))


def flatness_measures(
    found: Subject, layers: Sequence[Layer], given: Examples, seed: int, level: float, effort: float = 1.0
) -> tuple[dict[str, Measure], dict[str, Any]]:
    """Return top_eigenvalue, trace, box_sharpness, adaptive_sharpness beside twins, errors, and what was used.

    Eigenvalues and traces are in nats over squared units of the weights, adaptive sharpness in nats, sharpness in a box
    in per cent. `..._error` is a bound (residual norm) of the eigenvalues, and the standard error of the trace
    (Hutchinson 1990). Comparisons at `level` are of logarithms, but of traces below 0. Nothing, and the reason as `left
    out`, where the net cannot be differentiated twice, or `effort` does not pay for EXAMPLES[0] examples.
    """
    plan = _plan(found, layers, given, effort)
    if plan.why:
        return {}, {"left out": plan.why}
    part = given.first(plan.examples)
    used = {"examples": plan.examples, "twins": plan.twins, "by_labels": given.y is not None, "notes": [KINKS]}
    try:
        own = numbers(found, part, seed, plan.steps)
        null = []
        for draw in range(plan.twins):
            with twin(found, layers, part, seed, draw):
                null.append(numbers(found, part, seed, plan.steps))
    except (BadInput, RuntimeError, NotImplementedError) as error:
        return {}, {"left out": f"it could not be measured: {(str(error).splitlines() or [repr(error)])[0]}"}
    return _measured(own, null, level), used


def numbers(found: Subject, given: Examples, seed: int, steps: int = STEPS[0]) -> dict[str, float]:
    """Return the four numbers of the net as it is now, and their errors, by the names in `flatness_measures`.

    BadInput or RuntimeError for what autograd does not differentiate twice.
    """
    # Fused attention has no second derivative; written out it has.
    with evaluation(found.net), moving(found.net), sdpa_kernel(SDPBackend.MATH):
        try:
            loss = loss_at(found, given, seed)
            top = top_eigenvalues(loss, tolerance=TOLERANCE, steps=steps)
            free = top_eigenvalues(scaled(loss), tolerance=TOLERANCE, steps=steps)
            mean, error = trace(loss, PROBES)
            box = box_sharpness(loss, BOX, steps=CLIMB, starts=1)
        finally:
            found.net(next(given.batches(found.like, 2)))  # what parts computed from other weights goes
    return {
        "top_eigenvalue": float(top.values[0, 0]),
        "top_eigenvalue_error": float(top.errors[0, 0]),
        "trace": float(mean[0]),
        "trace_error": float(error[0]),
        "box_sharpness": float(box[0]),
        "adaptive_sharpness": float(free.values[0, 0]),
        "adaptive_sharpness_error": float(free.errors[0, 0]),
    }


def loss_at(found: Subject, given: Examples, seed: int) -> MeanLoss:
    """Return the mean cross-entropy over the examples: of their labels, or of what the net decides."""
    x = list(given.batches(found.like))
    with torch.no_grad():
        own = torch.cat([decisions(found.scores(found.net(one))) for one in x])
    y = own if given.y is None else given.y.to(own.device)
    dtype = torch.float32 if own.device.type == "mps" else torch.float64
    return loss_of(Logits(found), Batches(x, y), cross_entropy, seeds=[seed], dtype=dtype)


def _plan(found: Subject, layers: Sequence[Layer], given: Examples, effort: float) -> Plan:
    """Return what OPERATIONS allow: the most examples with the fewest twins, else none of these."""
    size = sum(p.numel() for p in found.net.parameters() if p.is_floating_point())
    if found.form != "module":
        return Plan(0, 0, 0, "an archive cannot be differentiated: pass the module")
    if (twice := _under_two_names(found.net)) is not None:
        return Plan(0, 0, 0, f"the part {twice} has two names: torch would give its weights back as others")
    if size > LARGEST:
        return Plan(0, 0, 0, f"{size:,} parameters, more than {LARGEST:,}: what Lanczos keeps does not fit")
    macs, budget = PRODUCT * macs_of(layers), OPERATIONS * effort / PRODUCTS
    fixed = VECTOR * size + CALLS * len(layers)
    fewest, most = min(EXAMPLES[0], len(given)), min(EXAMPLES[1], len(given))
    for twins in [TWINS[0]] * can_have_twins(layers) + [0]:
        count = int((budget / (1 + twins) - fixed) / max(macs, 1))
        if count >= fewest:
            count = min(count, most)
            more = int(budget / (fixed + count * macs)) - 1
            return Plan(count, min(max(twins, more), MOST_TWINS) if twins else 0, STEPS[size > LARGE])
    needed = PRODUCTS * (fixed + fewest * macs) / OPERATIONS
    return Plan(0, 0, 0, f"it takes an effort of {math.ceil(needed)} for {fewest} examples")


def _under_two_names(net: nn.Module) -> str | None:
    """Return the second name of a part with weights or buffers, None where each has one.

    torch.func.functional_call (2.13) puts weights into such a part twice, and takes out the first it put in.
    """
    seen: set[nn.Module] = set()
    for name, part in net.named_modules(remove_duplicate=False):
        if part in seen and (part._parameters or part._buffers):
            return name
        seen.add(part)
    return None


def _measured(own: dict[str, float], null: Sequence[dict[str, float]], level: float) -> dict[str, Measure]:
    found = {name: _compared(name, own[name], [draw[name] for draw in null], level) for name in WORDS}
    errors = [name for name in own if name not in WORDS]
    said = {name: WORDS[name.removesuffix("_error")] for name in errors}
    kinds = {name: "standard error" if name.startswith("trace") else "at most off by" for name in errors}
    return found | {name: alone(own[name], f"{said[name]}, {kinds[name]}") for name in errors}


def _compared(name: str, value: float, draws: Sequence[float], level: float) -> Measure:
    """Return a number beside those of twins, compared by logarithm unless it is a trace below 0; never a surplus."""
    if not draws:
        return alone(value, WORDS[name], "not compared with twins")
    if name == "trace" and min(value, *draws) <= 0:
        return against_draws(value, draws, level, WORDS[name], AGAINST)
    own, *others = logarithms((value, *draws), LEAST)
    found = against_draws(own, others, level, "", AGAINST)
    return _raw(found, value, WORDS[name]) if math.isfinite(found.low) else alone(value, WORDS[name], "twins have none")


def _raw(logs: Measure, value: float, what: str) -> Measure:
    """Return a comparison of logarithms in the unit of the value."""
    null, low, high = (10**end for end in (logs.null, logs.low, logs.high))
    return said(replace(logs, value=value, null=null, low=low, high=high), what)
