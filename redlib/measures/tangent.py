"""The tangent kernel of a net, the net linearised around its start, and how squared error trains that, in closed form.

J(x) is the Jacobian of the outputs by all parameters that may change: of a stack weights and biases outside its masks,
of a module those with `requires_grad`. Everything is computed in float64. A stack is R replicates, a module is one and
a list of modules one each; results have the replicates first. Inputs x are [n, ...], shared, or with `own` [R, n, ...].

A kernel of C outputs is [R, n, m], the mean of the C blocks of one output each (Jacot et al. 2018 show that these tend
to one and the same), or, `full`, [R, nC, mC], where row i·C + c is output c of example i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vmap
from torch.nn import functional

from redlib.data.numbers import strided, whole_labels
from redlib.errors import BadInput
from redlib.measures.alone import check_alone
from redlib.measures.layers import BATCH, Net, replicates_of
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP

MEMORY = 2**30  # bytes of Jacobians held at a time
TINY = 1e-12  # of the largest eigenvalue: below it one is 0 but for rounding
State = dict[str, Tensor]
Block = list[tuple[Tensor, ...]]  # what some examples have, layer by layer


def kernel(net: Net, x: Tensor, other: Tensor | None = None, *, full: bool = False, own: bool = False,
           memory: int = MEMORY) -> Tensor:  # fmt: skip
    """Return the empirical tangent kernel ⟨J(x_i), J(x_j)⟩ of inputs with themselves, or with `other` [m, ...].

    float64 [R, n, m], or [R, nC, mC] with `full`; see the head of this file (Jacot et al. 2018, section 4, without
    their scaling; Lee et al. 2019, eq. 5 with the same parametrisation as the net). Jacobians are taken in blocks of
    examples, so that `memory` bytes hold them; what the net itself needs for a block comes on top. Raises BadInput for
    no examples, inputs that are not finite or do not fit, modules with batch norm or dropout in training mode (their
    outputs are no function of one example), and stacks of another kind than StackedMLP.
    """
    _check(net, x, own)
    if other is not None:
        _check(net, other, own)
    _positive(memory)
    rows = _inputs(net, x, own)
    if isinstance(net, StackedMLP):
        ways = _of_stack(net, full)
    else:
        ways = [_of_module(module, own_x[:1], full) for module, own_x in zip(modules_of(net), rows, strict=True)]
    columns = [None] * len(rows) if other is None else _inputs(net, other, own)
    parts = zip(ways, rows, columns, strict=True)
    return torch.stack([_blockwise(way, a, b, memory) for way, a, b in parts])


def relative_change(later: Tensor, first: Tensor) -> Tensor:
    """Return ‖K_t - K_0‖_F / ‖K_0‖_F of kernels [R, n, m]: [R] (Lee et al. 2019, section 3)."""
    now, start = _matrices(later, "later kernel"), _matrices(first, "first kernel")
    if now.shape != start.shape:
        raise BadInput.of("shape of later kernel", tuple(now.shape), f"{tuple(start.shape)}", "Take the same inputs.")
    scale = start.flatten(1).norm(dim=1)
    if bool((scale == 0).any()):
        raise BadInput.of("first kernel", "0", "a kernel that is not 0", "Is the net dead on these inputs?")
    return (now - start).flatten(1).norm(dim=1) / scale


def alignment(kernel: Tensor, y: Tensor, *, centred: bool = True) -> Tensor:
    """Return ⟨K, YYᵀ⟩_F / (‖K‖_F·‖YYᵀ‖_F) of kernels [R, n, n] with labels or targets: [R], in [-1, 1].

    y are labels [n] or [R, n], taken as one-hot, or floating-point targets [n, C] or [R, n, C].
    Cristianini et al. 2001 (kernel-target alignment); `centred` takes the mean out of kernel and targets first (Cortes
    et al. 2012), without which a constant kernel is aligned with any one-hot labels. Raises BadInput for kernels that
    are not square in the examples (of full ones pass the mean over blocks) and for targets without variance.
    """
    k = _matrices(kernel, "kernel")
    targets = _targets(y, None, len(k))
    if k.shape[1:] != (targets.shape[1], targets.shape[1]):
        raise BadInput.of("shape of kernel", tuple(k.shape), f"[R, {targets.shape[1]}, {targets.shape[1]}]",
                          "One row and column for each label; full=False gives the mean over outputs.")  # fmt: skip
    if centred:
        k = k - k.mean(1, keepdim=True) - k.mean(2, keepdim=True) + k.mean((1, 2), keepdim=True)
        targets = targets - targets.mean(1, keepdim=True)
    gram = targets @ targets.transpose(1, 2)
    scale = k.flatten(1).norm(dim=1) * gram.flatten(1).norm(dim=1)
    if bool((scale == 0).any()):
        raise BadInput.of(
            "kernel or targets", "0", "some variance", "Pass labels of several classes, or centred=False."
        )
    return (k * gram).flatten(1).sum(1) / scale


def linearised(start: Net, net: Net, x: Tensor, *, own: bool = False) -> Tensor:
    """Return f(x; θ₀) + J₀(x)(θ - θ₀), θ₀ of `start` and θ of `net`: outputs float64 [R, n, C].

    Lee et al. 2019, eq. 5. All parameters count that differ, whatever may change. Buffers (averages of batch norm) are
    those of `start`. Raises BadInput as `kernel`, and for nets of unlike shape.
    """
    _check(start, x, own)
    _check(net, x, own)
    ones, others = replicates_of(start), replicates_of(net)
    if len(ones) != len(others):
        raise BadInput.of("replicates of net", len(others), f"{len(ones)}, as of the start", "Pass the same nets.")
    rows = _inputs(start, x, own)
    return torch.stack([_tangent(a, b, part) for a, b, part in zip(ones, others, rows, strict=True)])


def gradient_flow(
    kernel: Tensor,
    outputs: Tensor,
    targets: Tensor,
    times: Sequence[float],
    cross: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Return the outputs of the linearised net after gradient flow for `times`: float64 [R, T, n, C].

    kernel [R, n, n] (one for all C outputs) or full [R, nC, nC], outputs [R, n, C] at the start, targets [n, C] or
    [R, n, C], or labels [n] or [R, n]. The loss is "mse" of `redlib.nets.losses`, the mean over examples and outputs:
    dθ/dt = -2/(nC)·J₀ᵀ(f - Y), so that f(t) = Y + exp(-2Kt/(nC))(f₀ - Y): Lee et al. 2019, eq. 9, whose loss is half
    the sum, with η = 2/(nC). With `cross` [R, m, n] (or full) and `start` [R, m, C], the kernel of other points with
    these and the outputs there, it returns the outputs on those instead, [R, T, m, C] (eqs. 10-11). No kernel is
    inverted, so singular ones are taken as well. Raises BadInput for shapes that do not fit, and times below 0.
    """
    if not len(times) or not all(0 <= t < float("inf") for t in times):
        raise BadInput.of("times", list(times), "at least one, 0 <= time < infinity", "Time is steps · learning rate.")
    elapsed = torch.tensor(list(times), dtype=torch.float64)
    return _trained(kernel, outputs, targets, elapsed, lambda speed, t: -torch.expm1(-speed * t), cross, start)


def gradient_descent(
    kernel: Tensor,
    outputs: Tensor,
    targets: Tensor,
    rate: float,
    steps: Sequence[float],
    cross: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Return the outputs of the linearised net after `steps` full-batch steps of learning rate `rate`: [R, T, n, C].

    As `gradient_flow`, with (I - 2·rate·K/(nC))ᵏ in place of the exponential. It diverges for rates above
    `largest_rate`. Raises BadInput for rates that are not finite and > 0, steps that are no whole numbers >= 0, and
    where the outputs overflow.
    """
    if not 0 < rate < float("inf"):
        raise BadInput.of("rate", rate, "a learning rate, 0 < rate < infinity", "See largest_rate.")
    if not len(steps) or not all(s >= 0 and float(s).is_integer() for s in steps):
        raise BadInput.of("steps", list(steps), "at least one, whole numbers >= 0", "Pass numbers of steps.")
    count = torch.tensor([int(s) for s in steps], dtype=torch.float64)

    def reached(speed: Tensor, t: Tensor) -> Tensor:
        once, k = rate * speed, t / rate
        # Of slow directions the plain power would leave no digit that is right.
        return torch.where(once < 0.5, -torch.expm1(k * torch.log1p(-once.clamp(max=0.5))), 1 - (1 - once) ** k.round())

    found = _trained(kernel, outputs, targets, rate * count, reached, cross, start)
    if not bool(found.isfinite().all()):
        limit = float(largest_rate(kernel, outputs).min())
        raise BadInput.of("rate", rate, f"< {limit:.3g}, beyond which it diverges", "Take a smaller one.")
    return found


def largest_rate(kernel: Tensor, outputs: Tensor) -> Tensor:
    """Return the learning rate above which gradient descent diverges, nC/λ_max of the kernel: [R].

    kernel and outputs as in `gradient_flow`. It is where |1 - 2·rate·λ_max/(nC)| = 1, as the loss is the mean.
    """
    k, f = _matrices(kernel, "kernel"), _matrices(outputs, "outputs")
    _width(k, f)
    return f[0].numel() / torch.linalg.eigvalsh(k)[:, -1]


def lazy_training(
    net: Net,
    x: Tensor,
    y: Tensor,
    test: Tensor,
    when: Sequence[float],
    *,
    rate: float | None = None,
    own: bool = False,
    memory: int = MEMORY,
) -> tuple[Tensor, Tensor]:
    """Return the outputs on x [R, T, n, C] and on `test` [R, T, m, C] of the net linearised where it is, in training.

    Under gradient flow at the times `when`, or with a learning `rate` after so many steps of gradient descent, on the
    squared error to y (see `gradient_flow`, `gradient_descent`). The full kernel is used, in memory (nC)² numbers per
    replicate. With `own`, x and test are each replicate's own.
    """
    outputs, at_test = predictions(net, x, own=own), predictions(net, test, own=own)
    k = kernel(net, x, full=True, own=own, memory=memory)
    cross = kernel(net, test, x, full=True, own=own, memory=memory)
    if rate is None:
        return gradient_flow(k, outputs, y, when), gradient_flow(k, outputs, y, when, cross, at_test)
    return gradient_descent(k, outputs, y, rate, when), gradient_descent(k, outputs, y, rate, when, cross, at_test)


def predictions(net: Net, x: Tensor, *, own: bool = False) -> Tensor:
    """Return the outputs float64 [R, n, C] of the nets in float64 (see the head of this file); BadInput as `kernel`."""
    _check(net, x, own)
    pairs = zip(replicates_of(net), _inputs(net, x, own), strict=True)
    with torch.no_grad():
        return torch.stack([_outputs(module, _state(module), inputs) for module, inputs in pairs])


def arc_cosine(x: Tensor, other: Tensor | None = None, order: int = 1) -> Tensor:
    """Return the arc-cosine kernel of order 0, 1 or 2 of inputs [..., n, d] with `other` [..., m, d]: [..., n, m].

    k(x, x') = ‖x‖ᵒ‖x'‖ᵒJ_o(θ)/π with θ the angle between them: twice the mean of Θ(w·x)Θ(w·x')(w·x)ᵒ(w·x')ᵒ over
    w ~ N(0, I) (Cho & Saul 2009, eqs. 1-6). Raises BadInput for other orders, and inputs that are 0 or not finite.
    """
    if order not in (0, 1, 2):
        raise BadInput.of("order", order, "0 (steps), 1 (ReLU) or 2", "Cho & Saul give these in closed form.")
    one, two = (_rows(part) for part in (x, x if other is None else other))
    lengths = one.norm(dim=-1)[..., :, None] * two.norm(dim=-1)[..., None, :]
    theta = _angle(one, two)
    rest = torch.pi - theta
    if order == 0:
        return rest / torch.pi
    if order == 1:
        return lengths * (theta.sin() + rest * theta.cos()) / torch.pi
    return lengths**2 * (3 * theta.sin() * theta.cos() + rest * (1 + 2 * theta.cos() ** 2)) / torch.pi


def two_layer_kernel(x: Tensor, other: Tensor | None = None, first: float = 1.0, second: float = 1.0) -> Tensor:
    """Return the tangent kernel of an infinitely wide f(x) = Σ v_r·ReLU(w_r·x), w_r ~ N(0, s²I): [..., n, m].

    `first` = Σ v_r² weighs what training the first layer adds, x·x'·(π - θ)/(2π): alone (second=0) and with
    v = ±1/√m this is H^∞ of Du et al. 2018 (eq. 6, for |x| = 1). `second` = m·s² weighs the second layer's part,
    the arc-cosine kernel of order 1 over 2. With w ~ N(0, I) and v = a/√m trained through `a`, a of variance 1, both
    are 1. Without biases; those of the first layer are weights of a further input 1. BadInput as `arc_cosine`.
    """
    one, two = _rows(x), _rows(x if other is None else other)
    products = one @ two.transpose(-1, -2)
    return first * products * arc_cosine(one, two, 0) / 2 + second * arc_cosine(one, two, 1) / 2


@dataclass(frozen=True)
class _Way:
    """How a net's kernel is made: what a block of examples has, and the kernel of two such blocks."""

    block: Callable[[Tensor], Block]
    pair: Callable[[Block, Block], Tensor]
    each: int  # rows of the kernel for each example
    bytes_each: int  # that a block takes for each example


def _of_module(module: nn.Module, x: Tensor, full: bool) -> _Way:
    state = _state(module)
    free = {name: state[name] for name, p in module.named_parameters() if p.requires_grad}
    if not free:
        raise BadInput.of("parameters", "none with requires_grad", "at least one", "Say which may change.")
    fixed = {name: value for name, value in state.items() if name not in free}

    def single(parameters: State, inputs: Tensor) -> Tensor:
        return functional_call(module, {**fixed, **parameters}, (inputs[None],)).reshape(-1)

    def block(inputs: Tensor) -> Block:
        parts = vmap(jacrev(single), (None, 0))(free, inputs)
        return [(part.detach().flatten(2),) for part in parts.values()]

    def pair(one: Block, two: Block) -> Tensor:
        return _added(_products(a, b, full) for (a,), (b,) in zip(one, two, strict=True))

    outputs = _outputs(module, state, x).shape[1]
    return _Way(block, pair, outputs if full else 1, 8 * outputs * sum(values.numel() for values in free.values()))


def _of_stack(net: StackedMLP, full: bool) -> list[_Way]:
    """Return for each replicate a sum over layers of ⟨δ, δ'⟩(⟨h, h'⟩ + 1): the weights have δ·hᵀ, the biases δ."""
    outputs, masks = net.sizes[-1], net.masks or [None] * len(net.weights)
    held = 8 * sum(a + outputs * b for a, b in pairwise(net.sizes))

    def way(r: int) -> _Way:
        kept = [m if m is None else m[r].double() for m in masks]

        def pair(one: Block, two: Block) -> Tensor:
            return _added(_layer_kernel(a, b, m, full) for a, b, m in zip(one, two, kept, strict=True))

        return _Way(lambda x: _signals(net, r, x), pair, outputs if full else 1, held)

    return [way(r) for r in range(net.replicates)]


def _blockwise(way: _Way, x: Tensor, other: Tensor | None, memory: int) -> Tensor:
    """Return the kernel of x with itself or with `other`, block by block.

    Half of the memory holds the blocks of some rows, a quarter the one that is made, which meanwhile is there twice:
    with more memory the blocks of the columns are made less often.
    """
    columns, each = x if other is None else other, way.each
    size = max(1, memory // (8 * way.bytes_each))
    group = size * max(1, memory // (2 * way.bytes_each * size))
    found = torch.empty(len(x) * each, len(columns) * each, dtype=torch.float64, device=x.device)
    for first in range(0, len(x), group):
        held = {i: way.block(x[i : i + size]) for i in range(first, min(first + group, len(x)), size)}
        for j in range(0 if other is not None else first, len(columns), size):
            right = held[j] if other is None and j in held else way.block(columns[j : j + size])
            for i, left in held.items():
                at, to = slice(i * each, (i + size) * each), slice(j * each, (j + size) * each)
                if other is not None or i <= j:
                    found[at, to] = way.pair(left, right)
                if other is None and i < j:
                    found[to, at] = found[at, to].T
    return found


def _signals(net: StackedMLP, r: int, x: Tensor) -> Block:
    """Return for each layer its inputs h [n, in], and the derivatives δ [n, C, out] of the outputs by its sums."""
    layers, slopes = [x], []
    weights = [w[r].double() for w in net.weights]
    for w, b in zip(weights, net.biases, strict=True):
        sums = layers[-1] @ w.T + b[r].double()
        layers.append(sums.clamp(min=0) if net.activation == "relu" else sums.tanh())
        slopes.append((sums > 0).double() if net.activation == "relu" else 1 - layers[-1] ** 2)
    deltas = [torch.eye(net.sizes[-1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)]
    for w, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):
        deltas.append(deltas[-1] @ w * slope[:, None])
    return list(zip(layers[:-1], deltas[::-1], strict=True))


def _layer_kernel(one: tuple[Tensor, ...], two: tuple[Tensor, ...], mask: Tensor | None, full: bool) -> Tensor:
    """Return what one layer adds, [n, m] or [nC, mC]: biases are free, of the weights those that the mask keeps."""
    (h, delta), (h2, delta2) = one, two
    biases = _products(delta, delta2, full)
    if mask is None:
        return biases * (1 + _spread(h @ h2.T, delta.shape[1], full))
    for i, kept in enumerate(mask):  # the weights of a unit see the inputs that its mask leaves
        own = _products(delta[..., i : i + 1], delta2[..., i : i + 1], full)
        biases += own * _spread((h * kept) @ h2.T, delta.shape[1], full)
    return biases


def _products(a: Tensor, b: Tensor, full: bool) -> Tensor:
    """Return the inner products of [n, C, u] and [m, C, u]: [nC, mC], or the mean over equal outputs [n, m]."""
    return a.flatten(0, 1) @ b.flatten(0, 1).T if full else a.flatten(1) @ b.flatten(1).T / a.shape[1]


def _spread(values: Tensor, outputs: int, full: bool) -> Tensor:
    return values.repeat_interleave(outputs, 0).repeat_interleave(outputs, 1) if full else values


def _added(parts: Iterable[Tensor]) -> Tensor:
    return reduce(Tensor.add_, parts)  # in place: only two are held at a time


def _trained(
    kernel: Tensor,
    outputs: Tensor,
    targets: Tensor,
    elapsed: Tensor,
    reached: Callable[[Tensor, Tensor], Tensor],
    cross: Tensor | None,
    start: Tensor | None,
) -> Tensor:
    """Return the outputs after the times `elapsed` [T]; `reached` is the share of an error that is gone by then.

    It takes the speeds [R, 1, N] at which the errors along the kernel's eigenvectors decay, and times [T, 1].
    """
    k, f = _matrices(kernel, "kernel"), _matrices(outputs, "outputs")
    full, elapsed = _width(k, f), elapsed.to(f.device)[:, None]
    values, vectors = torch.linalg.eigh(k)
    values = values.where(values > TINY * values[:, -1:], 0)  # negative ones are rounding
    missing = _flat(_targets(targets, f.shape[2], len(f)).to(f) - f, full)
    along = (vectors.transpose(1, 2) @ missing)[:, None]
    speed = 2 / f[0].numel()
    gone = reached(speed * values[:, None], elapsed)
    if cross is None and start is None:
        moved, begin = vectors[:, None] @ (gone[..., None] * along), f
    else:
        begin, across = _other_points(cross, start, k, f, full)
        # Where a direction has no speed, its parameters would still move by time · error.
        by_value = (gone / values[:, None]).where(values[:, None] > 0, speed * elapsed)
        moved = (across @ vectors)[:, None] @ (by_value[..., None] * along)
    return begin[:, None] + moved.reshape(len(f), len(elapsed), *begin.shape[1:])


def _other_points(
    cross: Tensor | None, start: Tensor | None, k: Tensor, f: Tensor, full: bool
) -> tuple[Tensor, Tensor]:
    """Return (outputs at the start [R, m, C], cross kernel [R, m or mC, N]); BadInput where they do not fit."""
    if cross is None or start is None:
        raise BadInput.of("cross and start", "one of them alone", "both or none", "Test points need both.")
    across, begin = _matrices(cross, "cross"), _matrices(start, "start")
    expected = (len(f), begin.shape[1] * (f.shape[2] if full else 1), k.shape[1])
    if tuple(across.shape) != expected or begin.shape[::2] != f.shape[::2]:
        given = (tuple(across.shape), tuple(begin.shape))
        allowed = f"{expected} and ({len(f)}, m, {f.shape[2]})"
        raise BadInput.of("shapes of cross and start", given, allowed, "Test points go down, training points across.")
    return begin, across


def _width(k: Tensor, f: Tensor) -> bool:
    """Return whether a kernel is full; BadInput unless it is symmetric and belongs to the outputs [R, n, C]."""
    r, n, c = f.shape
    if tuple(k.shape) not in ((r, n, n), (r, n * c, n * c)):
        allowed = f"({r}, {n}, {n}) or ({r}, {n * c}, {n * c})"
        raise BadInput.of("shape of kernel", tuple(k.shape), allowed, "Take kernel and outputs on the same examples.")
    if not torch.allclose(k, k.transpose(1, 2), rtol=1e-6, atol=1e-8 * float(k.abs().max())):
        raise BadInput.of("kernel", "not symmetric", "a kernel of examples with themselves", "Pass `cross` as such.")
    return k.shape[1] == n * c


def _flat(values: Tensor, full: bool) -> Tensor:
    return values.flatten(1)[..., None] if full else values


def _targets(y: Tensor, outputs: int | None, replicates: int) -> Tensor:
    """Return targets float64 [R, n, C], one-hot where y are labels; `outputs` says C, None the largest label."""
    if y.is_floating_point():
        targets = y.double() if y.dim() == 3 else y.double().expand(replicates, *y.shape)
        if targets.dim() != 3 or len(targets) != replicates or targets.shape[2] != (outputs or targets.shape[2]):
            allowed = f"[n, {outputs or 'C'}] or [{replicates}, n, {outputs or 'C'}]"
            raise BadInput.of("shape of targets", tuple(y.shape), allowed, "One number for each output.")
    else:
        labels = whole_labels(y, "targets")
        rows = labels if labels.dim() == 2 else labels.expand(replicates, *labels.shape)
        if not labels.numel() or rows.dim() != 2 or len(rows) != replicates:
            raise BadInput.of("shape of targets", tuple(y.shape), f"[n] or [{replicates}, n]", "One label an example.")
        classes = outputs or int(labels.max()) + 1
        if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            found = f"labels {int(labels.min())}..{int(labels.max())}"
            raise BadInput.of("targets", found, f"0..{classes - 1}", "Floating-point targets are taken as they are.")
        targets = functional.one_hot(rows, classes).double()
    if not bool(targets.isfinite().all()):
        raise BadInput.of("targets", "NaN or infinity", "finite numbers", "Leave these examples out.")
    return targets


def _tangent(start: nn.Module, net: nn.Module, x: Tensor) -> Tensor:
    state, other = _state(start), _state(net)
    shapes = [{name: tuple(value.shape) for name, value in part.items()} for part in (state, other)]
    if shapes[0] != shapes[1]:
        odd = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
        raise BadInput.of("second net", odd, "the first one's names and shapes", "Build both the same way.")
    names = [name for name, _ in start.named_parameters()]
    held, moved = ({n: state[n] for n in names}, {n: other[n] - state[n] for n in names})
    with torch.no_grad():
        parts = [
            jvp(lambda p, b=batch: _outputs(start, {**state, **p}, b), (held,), (moved,)) for batch in x.split(BATCH)
        ]
    return torch.cat([part[0] + part[1] for part in parts])


def _outputs(module: nn.Module, state: State, x: Tensor) -> Tensor:
    return functional_call(module, state, (x,)).reshape(len(x), -1)


def _state(module: nn.Module) -> State:
    held = [*module.named_parameters(), *module.named_buffers()]
    return {name: _double(value.detach()) for name, value in held}


def _double(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


def _inputs(net: Net, x: Tensor, own: bool) -> list[Tensor]:
    """Return the inputs of each replicate in float64."""
    count = net.replicates if isinstance(net, StackedMLP) else len(modules_of(net))
    return list(_double(x)) if own else [_double(x)] * count


def _check(net: Net, x: Tensor, own: bool) -> None:
    """Raise BadInput for nets whose outputs are no function of one example, and for inputs that they cannot take."""
    count = net.replicates if isinstance(net, StackedMLP) else len(modules_of(net))
    if own and (x.dim() < 1 or len(x) != count):
        raise BadInput.of("replicates in x", tuple(x.shape), f"[{count}, n, ...], as the net", "Leave `own` out.")
    if strided(x, "x").dim() < 1 + own or not x.numel():
        raise BadInput.of("shape of x", tuple(x.shape), "[n, ...], n >= 1", "Pass some examples.")
    if not bool(x.isfinite().all()):
        raise BadInput.of("x", "NaN or infinity among the inputs", "finite numbers", "Leave these examples out.")
    if isinstance(net, StackedMLP):
        if type(net) is not StackedMLP:
            raise BadInput.of("net", type(net).__name__, "StackedMLP", "Write other kinds as modules.")
        if x.dim() != 2 + own or x.shape[-1] != net.sizes[0]:
            raise BadInput.of("shape of x", tuple(x.shape), f"[n, {net.sizes[0]}]", "Flatten the images.")
        return
    for module in modules_of(net):
        check_alone(module)
    for part in (part for module in modules_of(net) for part in module.modules()):
        if part._forward_pre_hooks:
            raise BadInput.of(f"hooks of {type(part).__name__}", len(part._forward_pre_hooks), "none",
                              "Use torch.nn.utils.parametrizations, or the masks of redlib.pruning.")  # fmt: skip


def _positive(memory: int) -> None:
    if not memory > 0:
        raise BadInput.of("memory", memory, "> 0 bytes", "Leave it out for 1 GiB.")


def _matrices(values: Tensor, what: str) -> Tensor:
    """Return [R, a, b] as float64; BadInput for other shapes, and for NaN."""
    if strided(values, what).dim() != 3 or not values.numel():
        raise BadInput.of(f"shape of {what}", tuple(values.shape), "[R, a, b], none of them 0", "Replicates first.")
    if not bool(values.isfinite().all()):
        raise BadInput.of(what, "NaN or infinity", "finite numbers", "Has the net diverged?")
    return values.detach().double()


def _rows(x: Tensor) -> Tensor:
    rows = strided(x, "x").double()
    if rows.dim() < 2 or not rows.numel() or not bool(rows.isfinite().all()) or bool((rows.norm(dim=-1) == 0).any()):
        raise BadInput.of("x", tuple(x.shape), "[..., n, d], finite, no row of zeros", "Of 0 there is no angle.")
    return rows


def _angle(one: Tensor, two: Tensor) -> Tensor:
    """Return the angles [..., n, m] of unit vectors by the sine and cosine of half of them: exact near 0 and π."""
    u, v = (part / part.norm(dim=-1, keepdim=True) for part in (one, two))
    exact = "donot_use_mm_for_euclid_dist"
    return 2 * torch.atan2(torch.cdist(u, v, compute_mode=exact), torch.cdist(u, -v, compute_mode=exact))
