"""What a weight is worth: criteria, pure functions of a context, {layer: scores [R, *shape]}, the larger is kept.

Pruning at initialisation (snip, grasp, gradient, synflow) scores the weights that training will start from: the
rewound ones where there are some, else the initial ones. They are scored in the net they are in: `functional` is the
net's own forward pass, its biases and normalisation statistics as they were when it was called, and nothing in this
module draws a weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from redlib.data.numbers import strided, whole, whole_labels
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.losses import check_loss, losses_and_errors
from redlib.nets.modules import modules_of
from redlib.pruning.allocation import EmptyLayer, check_density, keep_global
from redlib.pruning.masks import Net, Tensors, check_fit, check_masks, dense, paths_of, plain_copy, weights_of
from redlib.training.examples import Examples

GRASP_TEMPERATURE = 200.0  # of the authors' code; the paper's equation has none
# Last word of the key of each draw from the stream "mask", so that no two purposes share a generator.
RANDOM_SCORES, RANDOM_TIES, CLASS_BATCH = 1, 2, 3
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Model(Protocol):
    """A forward pass whose weights are arguments: (weights, x [R, B, ...]) -> logits [R, B, K]."""

    def __call__(self, weights: Tensors, x: Tensor, linear: bool = False) -> Tensor:
        """Return the logits; with `linear`, those of the net without biases and with linear units."""


@dataclass(frozen=True)
class Context:
    """Everything a criterion may look at; each takes what it needs and raises BadInput where that is missing.

    `initial`, `final`, `rewound` are weights [R, *shape] by layer. `masks` are the earlier ones: cut weights count
    as 0 and score -inf. `seeds` and `key` number the draws of the random criterion and of random ties. `batch` is
    (x [B, ...], y [B]), shared, or (x [R, B, ...], y [R, B]). `input_shape` is that of one example (SynFlow).
    GraSP divides the logits by `temperature`; at 1 it is the equation of the paper.
    """

    initial: Tensors
    final: Tensors | None = None
    rewound: Tensors | None = None
    masks: Tensors | None = None
    seeds: tuple[int, ...] = ()
    key: int = 0
    model: Model | None = None
    batch: tuple[Tensor, Tensor] | None = None
    input_shape: tuple[int, ...] | None = None
    loss: str = "cross_entropy"
    temperature: float = GRASP_TEMPERATURE

    def __post_init__(self) -> None:
        if not self.initial:
            raise BadInput.of("initial weights", {}, "at least one layer", "Pass weights_of(net).")
        if bare := [name for name, weights in self.initial.items() if isinstance(weights, nn.Parameter)]:
            remedy = "Pass weights_of(net): a module's own weight has no replicate axis."
            raise BadInput.of("initial weights", f"parameters {bare}", "[R, *shape] by layer", remedy)
        for what, weights in (("final weights", self.final), ("rewound weights", self.rewound)):
            if weights is not None:
                check_fit(weights, self.initial, what)
        if self.masks is not None:
            check_masks(self.masks, self.initial)
        if not 0 < self.temperature < math.inf:
            raise BadInput.of("temperature", self.temperature, "finite, > 0", "1 leaves the logits as they are.")
        check_loss(self.loss)

    @property
    def replicates(self) -> int:
        """Number R of nets scored at once."""
        return len(next(iter(self.initial.values())))


Criterion = Callable[[Context], Tensors]
CRITERIA: dict[str, Criterion] = {}
"""Every criterion by name; call them through `score`."""


def score(name: str, context: Context) -> Tensors:
    """Return the scores of criterion `name`, [R, *shape] by layer: larger = keep, -inf where a weight is cut.

    Raises BadInput for an unknown name, where the context lacks what the criterion needs, and for weights that are not
    finite: a rank or a sign would make finite scores of them.
    """
    if name not in CRITERIA:
        raise BadInput.of("criterion", name, f"one of {sorted(CRITERIA)}", "Register others in CRITERIA.")
    _check_finite(context)
    return _at_cut(context, CRITERIA[name](context), -torch.inf)


def context_of(net: Net, **known: Any) -> Context:
    """Return the context of a net as it is now: its weights as `initial`, its forward pass, its seeds.

    `known` are further fields of Context; they replace what is read from the net. Modules have no seeds of their
    own, and their input shape is that of the batch, if there is one.
    """
    found: dict[str, Any] = {"initial": weights_of(net), "model": functional(net)}
    if isinstance(net, StackedMLP):
        found |= {"seeds": net.seeds, "input_shape": (net.sizes[0],)}
    elif known.get("batch") is not None:
        x, y = known["batch"]
        found["input_shape"] = tuple(x.shape[y.dim() :])
    return Context(**(found | known))


def criterion(*names: str) -> Callable[[Criterion], Criterion]:
    """Return a decorator that registers a criterion under these names."""

    def register(function: Criterion) -> Criterion:
        CRITERIA.update(dict.fromkeys(names, function))
        return function

    return register


# ---- weights only (Zhou et al. 2019 and their code; w0 initial, wT final) ----


@criterion("large_final", "magnitude")
def large_final(context: Context) -> Tensors:
    """Return |wT| (Han et al. 2015; Frankle & Carbin 2019)."""
    return _each(lambda last: last.abs(), _final(context))


@criterion("small_final")
def small_final(context: Context) -> Tensors:
    """Return -|wT|."""
    return _each(lambda last: -last.abs(), _final(context))


@criterion("large_init")
def large_init(context: Context) -> Tensors:
    """Return |w0|: magnitude without any training."""
    return _each(lambda first: first.abs(), context.initial)


@criterion("small_init")
def small_init(context: Context) -> Tensors:
    """Return -|w0|."""
    return _each(lambda first: -first.abs(), context.initial)


@criterion("large_init_large_final")
def large_init_large_final(context: Context) -> Tensors:
    """Return the smaller of the ranks of |w0| and |wT| in their layer, in (0, 1].

    The paper writes min(alpha |wT|, |w0|) and its code thresholds both at one percentile: ranks are that, and need
    no alpha. Equal magnitudes have equal ranks; weights cut before are not ranked.
    """
    return _each(torch.minimum, _ranks(context, large_init(context)), _ranks(context, large_final(context)))


@criterion("small_init_small_final")
def small_init_small_final(context: Context) -> Tensors:
    """Return the smaller of the ranks of -|w0| and -|wT| in their layer, in (0, 1]; see large_init_large_final."""
    return _each(torch.minimum, _ranks(context, small_init(context)), _ranks(context, small_final(context)))


@criterion("magnitude_increase")
def magnitude_increase(context: Context) -> Tensors:
    """Return |wT| - |w0|."""
    return _each(lambda first, last: last.abs() - first.abs(), context.initial, _final(context))


@criterion("movement")
def movement(context: Context) -> Tensors:
    """Return |wT - w0| (not the signed movement of Sanh et al. 2020)."""
    return _each(lambda first, last: (last - first).abs(), context.initial, _final(context))


@criterion("large_final_same_sign")
def large_final_same_sign(context: Context) -> Tensors:
    """Return |wT| where w0 and wT agree in sign, else 0, ties at 0 in random order: max(0, wT sign(w0))."""
    return _with_sign(context, large_final(context), same=True)


@criterion("large_final_diff_sign")
def large_final_diff_sign(context: Context) -> Tensors:
    """Return |wT| where the sign changed, else 0, ties at 0 in random order."""
    return _with_sign(context, large_final(context), same=False)


@criterion("magnitude_increase_same_sign")
def magnitude_increase_same_sign(context: Context) -> Tensors:
    """Return |wT| - |w0| where w0 and wT agree in sign, else 0, ties at 0 in random order.

    As in the authors' code, a weight of the wrong sign (0) is kept before one of the right sign that shrank.
    """
    return _with_sign(context, magnitude_increase(context), same=True)


@criterion("magnitude_increase_diff_sign")
def magnitude_increase_diff_sign(context: Context) -> Tensors:
    """Return |wT| - |w0| where the sign changed, else 0, ties at 0 in random order."""
    return _with_sign(context, magnitude_increase(context), same=False)


@criterion("random")
def random(context: Context) -> Tensors:
    """Return uniform numbers in [0, 1), drawn from the stream "mask" of each replicate's seed and `key`."""
    return _uniform(context, RANDOM_SCORES)


# ---- gradients on a batch ----


@criterion("snip")
def snip(context: Context) -> Tensors:
    """Return |w dL/dw| at the start of training, the connection sensitivity up to a factor (Lee et al. 2019)."""
    weights = _start(context)
    return _each(lambda w, g: (w * g).abs(), weights, gradients(context, weights))


@criterion("gradient", "grad")
def gradient(context: Context) -> Tensors:
    """Return |dL/dw| at the start of training (`grad` of Zhou et al. 2019)."""
    return _each(torch.abs, gradients(context, _start(context)))


@criterion("taylor")
def taylor(context: Context) -> Tensors:
    """Return (w dL/dw)^2 at the final weights (Molchanov et al. 2019): SNIP's order, but after training."""
    weights = _at_cut(context, _final(context), 0.0)
    return _each(lambda w, g: (w * g).square(), weights, gradients(context, weights))


@criterion("grasp")
def grasp(context: Context) -> Tensors:
    """Return w (H g) at the start of training, g and H the gradient and Hessian of the loss (Wang et al. 2020).

    To first order, cutting weight q changes the gradient norm ||g||^2 by -2 w_q (H g)_q. Wang et al. score
    -w (H g) and *remove* the largest, whose removal raises the gradient flow most; the sign here is the opposite
    one, because everywhere in this module the larger score is kept. All weights together are H's variables; the
    biases are not. Logits are divided by `context.temperature`.
    """
    leaves = _leaves(_start(context))
    slopes = _gradient(context, leaves, context.temperature, create_graph=True)
    flow = torch.stack([(g.detach() * g).sum() for g in slopes.values()]).sum()
    curved = torch.autograd.grad(flow, list(leaves.values()), materialize_grads=True)
    return {name: w.detach() * hg for (name, w), hg in zip(leaves.items(), curved, strict=True)}


def gradients(context: Context, weights: Tensors) -> Tensors:
    """Return dL/dw of the mean loss of each replicate's batch, at `weights`; BadInput without model or batch."""
    return _gradient(context, _leaves(weights))


# ---- no data ----


@criterion("synflow")
def synflow_scores(context: Context) -> Tensors:
    """Return |w| dR/d|w| in float64, R the summed output of the linear net of weights |w| for an input of ones.

    One round of SynFlow (Tanaka et al. 2020). Biases, shifts and running means of normalisations are set
    to 0: masks never cut them, so a flow that starts at them would outlive a layer without weights, and the
    conservation law (what enters a unit leaves it) would not hold. Layer products overflow float32, hence float64.
    Modules run in evaluation mode with their own activations, which are the identity here if they are ReLUs.
    """
    model = _need(context.model, "model", "Pass model=functional(net), or use context_of(net).")
    shape = _need(context.input_shape, "input_shape", "Pass the shape of one example, e.g. (1, 28, 28).")
    leaves = _leaves({name: w.double().abs() for name, w in _start(context).items()})
    ones = next(iter(leaves.values())).new_ones(context.replicates, 1, *shape)
    outputs = model(leaves, ones, linear=True)
    _check_flow(context, outputs.detach().flatten(1).sum(1))
    flow = outputs.sum()
    slopes = torch.autograd.grad(flow, list(leaves.values()), materialize_grads=True)
    return {name: w.detach() * g for (name, w), g in zip(leaves.items(), slopes, strict=True)}


def synflow(
    net: Net,
    density: float,
    rounds: int = 100,
    *,
    input_shape: tuple[int, ...] | None = None,
    allow_empty: bool = False,
) -> Tensors:
    """Return the masks of iterative SynFlow; the net is left as it is (Tanaka et al. 2020, algorithm 1).

    Round i of `rounds` keeps the best round(density^(i / rounds) N) of all N weights, one ranking over the layers.
    Modules need the `input_shape` of one example. An emptied layer raises EmptyLayer unless `allow_empty`.
    """
    check_density(density)
    rounds = whole("rounds", rounds, 1, "One round prunes in one shot; the paper takes 100.")
    context = context_of(net) if input_shape is None else context_of(net, input_shape=input_shape)
    total = sum(weights[0].numel() for weights in context.initial.values())
    if round(density * total) < (1 if allow_empty else len(context.initial)):
        lost = f"{round(density * total)} weights for {len(context.initial)} layers"
        raise EmptyLayer.of("weights kept", lost, "at least one in each layer", "Keep more of them.")
    masks = dense(context.initial)
    for i in range(1, rounds + 1):
        # What is cut already scores -inf, so the masks are nested.
        scores = score("synflow", replace(context, masks=masks))
        masks = keep_global(scores, round(density ** (i / rounds) * total), allow_empty=allow_empty)
    return masks


def class_batch(examples: Examples, per_class: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return (x [R, B, ...], y [R, B]), `per_class` examples of every class, drawn by each seed's stream "mask".

    Ten of each class are what SNIP and GraSP are scored on. BadInput where a replicate sees fewer of some class.
    """
    per_class = whole("per_class", per_class, 1, "SNIP and GraSP take ten examples of each class.")
    rows, labels = examples.table(len(seeds))
    picks = torch.stack([_balanced(y, labels.unique(), per_class, s) for y, s in zip(labels, seeds, strict=True)])
    return examples.x[rows.gather(1, picks)], labels.gather(1, picks)


def functional(net: Net) -> Model:
    """Return the net's forward pass as a function of its weights that autograd can differentiate twice.

    Biases and everything else that is not a weight keep today's values (in the type of the weights), and masks do
    not act: pass cut weights as 0. Modules normalise by the batch, as in training, but drop nothing out and update
    no running statistics. Each replicate is computed alone, so its bits do not depend on the others. BadInput for a
    DataParallel, which has no such pass.
    """
    one = _stacked(net) if isinstance(net, StackedMLP) else _modules(modules_of(net))

    def forward(weights: Tensors, x: Tensor, linear: bool = False) -> Tensor:
        # Fresh copies are aligned in memory; matrix products of unaligned slices round differently.
        parts = ({name: w[r].clone() for name, w in weights.items()} for r in range(len(x)))
        return torch.stack([one(r, part, x[r].clone(), linear) for r, part in enumerate(parts)])

    return forward


def layer_outputs(
    weights: Sequence[Tensor], biases: Sequence[Tensor | None], x: Tensor, activation: str
) -> list[Tensor]:
    """Return the outputs [B, units] of each layer of one plain MLP, logits last; activation relu, tanh or linear."""
    units = {"relu": torch.relu, "tanh": torch.tanh, "linear": torch.clone}[activation]
    outputs: list[Tensor] = []
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = nnf.linear(outputs[-1] if i else x, weight, bias)
        outputs.append(z if i + 1 == len(weights) else units(z))
    return outputs


OneModel = Callable[[int, Tensors, Tensor, bool], Tensor]  # (replicate, its weights, its x [B, ...], linear) -> [B, K]


def _stacked(net: StackedMLP) -> OneModel:
    biases, activation, inputs = [b.clone() for b in net.biases], net.activation, net.sizes[0]

    def one(r: int, weights: Tensors, x: Tensor, linear: bool) -> Tensor:
        if x.dim() != 2 or x.shape[1] != inputs:
            raise BadInput.of("shape of inputs", tuple(x.shape), f"[B, {inputs}]", "Flatten the images.")
        fixed = [None if linear else b[r].to(x.dtype) for b in biases]
        return layer_outputs(list(weights.values()), fixed, x, "linear" if linear else activation)[-1]

    return one


def _modules(modules: Sequence[nn.Module]) -> OneModel:
    # Copies with the same values: their modes and masks can be changed without touching the net that is scored.
    if any(isinstance(part, nn.DataParallel) for module in modules for part in module.modules()):
        raise BadInput.of("net", "DataParallel", "the module inside", "Pass net.module.")
    copies = [plain_copy(module).eval() for module in modules]

    def one(r: int, weights: Tensors, x: Tensor, linear: bool) -> Tensor:
        for part in copies[r].modules():
            if isinstance(part, NORMS):
                part.train(not linear)
        held = [*copies[r].named_parameters(), *copies[r].named_buffers()]
        state = {name: _fixed(name, value.detach(), x.dtype, linear) for name, value in held}
        paths = paths_of(copies[r], weights)
        state |= {paths[name]: w for name, w in weights.items()}
        return torch.func.functional_call(copies[r], state, (x,))

    return one


def _fixed(name: str, value: Tensor, dtype: torch.dtype, linear: bool) -> Tensor:
    if not value.is_floating_point():
        return value.clone()
    value = value.to(dtype, copy=True)
    if not linear:
        return value
    last = name.rpartition(".")[2]  # recurrent parts number theirs: bias_ih_l0; attention has bias_k, in_proj_bias
    return torch.zeros_like(value) if "bias" in last or last == "running_mean" else value.abs()


def _check_finite(context: Context) -> None:
    """Raise BadInput where weights that are to be ranked are not finite."""
    for what, weights in (("initial", context.initial), ("final", context.final), ("rewound", context.rewound)):
        for name, values in (weights or {}).items():
            if not bool(values.isfinite().all()):
                raise BadInput.of(
                    f"{what} weights of {name}", "NaN or infinity", "finite numbers", "Training diverged."
                )


def _check_flow(context: Context, flow: Tensor) -> None:
    """Raise BadInput where the flow [R] of SynFlow is not finite, or 0 though nothing is cut: no score has an order."""
    collapsed = context.masks is not None and any(not bool(mask.all()) for mask in context.masks.values())
    if not bool(flow.isfinite().all()) or not (collapsed or bool((flow != 0).all())):
        remedy = "Scale the weights of each layer to a size near 1: the order of the scores stays."
        raise BadInput.of("flow through the net", flow.tolist()[:10], "finite numbers other than 0", remedy)


def _each(function: Callable[..., Tensor], *tensors: Tensors) -> Tensors:
    return {name: function(*(t[name] for t in tensors)) for name in tensors[0]}


def _need(value: Any, what: str, remedy: str) -> Any:
    if value is None:
        raise BadInput.of(what, None, "given, for this criterion", remedy)
    return value


def _final(context: Context) -> Tensors:
    found: Tensors = _need(context.final, "final weights", "Train first and pass final=weights_of(net).")
    return found


def _at_cut(context: Context, values: Tensors, fill: float) -> Tensors:
    """Return the values, with `fill` where a weight has been cut before."""
    if context.masks is None:
        return values
    return _each(lambda value, mask: value.masked_fill(~mask, fill), values, context.masks)


def _start(context: Context) -> Tensors:
    return _at_cut(context, context.initial if context.rewound is None else context.rewound, 0.0)


def _ranks(context: Context, scores: Tensors) -> Tensors:
    """Return the share of its layer's weights, [R, *shape] in (0, 1], that do not score above each weight."""

    def rank(values: Tensor) -> Tensor:
        flat = values.flatten(1).contiguous()
        below = torch.searchsorted(flat.sort(1).values, flat, right=True)
        return below.view(values.shape).double() / flat.shape[1]

    return _each(rank, _at_cut(context, scores, -torch.inf))


def _with_sign(context: Context, scores: Tensors, same: bool) -> Tensors:
    """Return the scores where the sign stayed (or changed), else almost 0, in random order.

    Without that order most of a layer may tie, and the tie rule would keep its first units whole. The order is
    far below any score: a weight that did not move at all is an exact 0 and comes right after them.
    """
    agree = _each(lambda first, last: (first.sign() == last.sign()) == same, context.initial, _final(context))
    ties = _each(lambda u: 1e-30 * u, _uniform(context, RANDOM_TIES))
    return _each(lambda ok, value, tie: torch.where(ok, value, tie.to(value.dtype)), agree, scores, ties)


def _uniform(context: Context, purpose: int) -> Tensors:
    if len(context.seeds) != context.replicates:
        raise BadInput.of("seeds", context.seeds, f"{context.replicates}, one per replicate", "Pass seeds=net.seeds.")
    found = {}
    for layer, (name, weights) in enumerate(context.initial.items()):
        sources = (rng(seed, "mask", context.key, layer, purpose) for seed in context.seeds)
        draws = torch.stack([torch.from_numpy(source.random(tuple(weights.shape[1:]))) for source in sources])
        found[name] = draws.to(weights.device)
    return found


def _leaves(weights: Tensors) -> Tensors:
    return {name: w.detach().clone().requires_grad_() for name, w in weights.items()}


def _gradient(context: Context, leaves: Tensors, temperature: float = 1.0, create_graph: bool = False) -> Tensors:
    model = _need(context.model, "model", "Pass model=functional(net), or use context_of(net, batch=(x, y)).")
    batch = _need(context.batch, "batch", "Pass batch=(x, y), e.g. class_batch(examples, 10, seeds).")
    x, y = _per_replicate(strided(batch[0], "inputs of the batch"), whole_labels(batch[1]), context.replicates)
    logits = model(leaves, x.to(next(iter(leaves.values())).dtype)) / temperature
    if not 0 <= int(y.min()) <= int(y.max()) < logits.shape[-1]:
        given = f"{int(y.min())}..{int(y.max())}"
        raise BadInput.of("labels of the batch", given, f"0..{logits.shape[-1] - 1}", "The net has so many outputs.")
    losses, _ = losses_and_errors(logits, y, context.loss)
    # The replicates share no weight, so the gradient of the sum holds the gradient of each.
    found = torch.autograd.grad(
        losses.mean(-1).sum(), list(leaves.values()), create_graph=create_graph, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))


def _per_replicate(x: Tensor, y: Tensor, replicates: int) -> tuple[Tensor, Tensor]:
    if y.dim() == 1:
        x, y = x.expand(replicates, *x.shape), y.expand(replicates, *y.shape)
    if y.dim() != 2 or y.shape[0] != replicates or x.shape[:2] != y.shape or not y.numel():
        allowed = f"x [B, ...], y [B], or x [{replicates}, B, ...], y [{replicates}, B]"
        raise BadInput.of(
            "shapes of batch", (tuple(x.shape), tuple(y.shape)), allowed, "One label per example, one example at least."
        )
    return x, y


def _balanced(labels: Tensor, classes: Tensor, per_class: int, seed: int) -> Tensor:
    picks = []
    for k in classes.tolist():
        members = (labels == k).nonzero().squeeze(1)
        if len(members) < per_class:
            raise BadInput.of("per_class", per_class, f"<= {len(members)}, all there are of class {k}", "Take fewer.")
        order = rng(seed, "mask", 0, k, CLASS_BATCH).permutation(len(members))[:per_class]
        picks.append(members[torch.from_numpy(order).to(members.device)])
    return torch.cat(picks)
