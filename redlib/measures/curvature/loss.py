"""The mean loss of R nets as a function of their parameters [R, P]: its values, gradients and Hessian products.

Rows list parameters as `StackedMLP.vector` and `Module.parameters` do, which is the same order for a stack and for its
replicates as modules. Parameters that require no gradient are no part of them. The cut weights of a stack are, but they
do not move: a vector's entries there do not matter, and a product has zeros there.

Second derivatives are those of autograd. At the kinks of ReLU, max-pool and the like it takes them as 0, so the
curvature of such a net is that of the smooth piece it stands on, and what bends between pieces is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from redlib.data.numbers import strided, whole, whole_labels
from redlib.errors import BadInput
from redlib.measures.alone import check_alone
from redlib.measures.connectivity import Parts
from redlib.nets.losses import Loss, check_loss
from redlib.nets.modules import modules_of
from redlib.nets.stacked import StackedMLP

Net = StackedMLP | nn.Module | Sequence[nn.Module]
Model = Callable[[Tensor, Tensor], Tensor]  # (rows [R, P], x [R, B, ...]) -> outputs [R, B, ...]

BATCH = 1024  # examples of one replicate that are differentiated at a time
TWICE = ("twice", "not have been used", "derivative", "does not require grad")  # in errors of a second derivative


class MeanLoss:
    """The mean loss of each of R nets over its n examples; `loss_of` makes one of a net.

    `rows` [R, P] are the parameters it was made at, `shapes` those of one replicate's parameters in order, `seeds` the
    R seeds that random probes are drawn from, `free` bool [R, P] what may change (None: all), `count` n.
    """

    def __init__(
        self,
        model: Model,
        rows: Tensor,
        shapes: Sequence[torch.Size],
        blocks: Sequence[tuple[Tensor, Tensor]],
        loss: Loss,
        seeds: Sequence[int],
        free: Tensor | None = None,
    ):
        self.model, self.rows, self.shapes, self.blocks = model, rows, list(shapes), list(blocks)
        self.loss, self.seeds, self.free = loss, tuple(seeds), free
        self.count = sum(y.shape[1] for _, y in self.blocks)
        self._kept: list[tuple[float, Tensor, Tensor]] | None = None

    @property
    def size(self) -> int:
        """Number P of parameters of one replicate, cut ones included."""
        return self.rows.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the parameters are, and vectors are wanted."""
        return self.rows.device

    def losses(self, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean losses [R] over (x [R, B, ...], y [R, B, ...]) at parameters `rows`, differentiable."""
        outputs = self.model(rows, x)
        if not isinstance(self.loss, str):
            found = [self.loss(out, target) for out, target in zip(outputs, y, strict=True)]
            if odd := [tuple(f.shape) for f in found if f.numel() != 1]:
                raise BadInput.of("shape of the loss", odd[0], "one number, the mean of a batch", "Take its mean.")
            return torch.stack([f.reshape(()) for f in found])
        if self.loss == "mse":
            return (outputs - torch.zeros_like(outputs).scatter(-1, y[..., None], 1.0)).square().mean((-2, -1))
        # Over few classes this is faster on a CPU than log_softmax, which goes row by row.
        return (outputs.logsumexp(-1) - outputs.gather(-1, y[..., None]).squeeze(-1)).mean(-1)

    @torch.no_grad()
    def value(self, rows: Tensor | None = None) -> Tensor:
        """Return the mean losses [R] at `rows` [R, P] (None: where the nets are)."""
        at = self.rows if rows is None else self._fitting(rows)
        return torch.stack([share * self.losses(at, x, y) for share, x, y in self._shares()]).sum(0)

    def value_and_gradient(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean losses [R] and their gradients [R, P] at `rows`; 0 at cut weights."""
        at = self.rows if rows is None else self._fitting(rows)
        value, gradient = at.new_zeros(len(at)), torch.zeros_like(at)
        for share, x, y in self._shares():
            leaf = at.detach().clone().requires_grad_(True)
            with torch.enable_grad():
                losses = self.losses(leaf, x, y)
                (slope,) = torch.autograd.grad(losses.sum(), leaf, materialize_grads=True)
            value, gradient = value + share * losses.detach(), gradient + share * slope
        return value, self.only_free(gradient)

    def hvp(self, vectors: Tensor) -> Tensor:
        """Return the Hessians of the mean losses times one vector each, [R, P] -> [R, P] (Pearlmutter 1994).

        One backward pass through the gradient, for all replicates together. The graph of the gradient is kept where all
        examples are one block, and built again in each call otherwise. BadInput for vectors of another shape, and
        for a loss that has no second derivative.
        """
        along = self.only_free(self._fitting(vectors))
        total = torch.zeros_like(along)
        for share, leaf, slope in self._kept or self._slopes():
            total += share * _pulled(slope, leaf, along)
        return self.only_free(total)

    def only_free(self, vectors: Tensor) -> Tensor:
        """Return the vectors [R, P] with 0 at the cut weights."""
        return vectors if self.free is None else vectors * self.free

    def _slopes(self) -> Iterator[tuple[float, Tensor, Tensor]]:
        for share, x, y in self._shares():
            leaf = self.rows.detach().clone().requires_grad_(True)
            with torch.enable_grad():
                total = self.losses(leaf, x, y).sum()
                (slope,) = torch.autograd.grad(total, leaf, create_graph=True, materialize_grads=True)
            if not slope.requires_grad:
                raise _not_twice("its gradient does not depend on the parameters")
            if len(self.blocks) == 1:
                self._kept = [(share, leaf, slope)]
            yield share, leaf, slope

    def _shares(self) -> Iterator[tuple[float, Tensor, Tensor]]:
        """Yield each block with its share of the examples."""
        for x, y in self.blocks:
            yield y.shape[1] / self.count, x, y

    def _fitting(self, vectors: Tensor) -> Tensor:
        if vectors.shape != self.rows.shape:
            remedy = "One vector per replicate, ordered as `StackedMLP.vector` and `Module.parameters` are."
            raise BadInput.of("shape of the vectors", tuple(vectors.shape), str(tuple(self.rows.shape)), remedy)
        return vectors.to(self.rows)


def loss_of(
    net: Net,
    examples: Parts,
    loss: Loss = "cross_entropy",
    *,
    seeds: Sequence[int] | None = None,
    batch: int = BATCH,
    dtype: torch.dtype = torch.float64,
) -> MeanLoss:
    """Return the mean loss of a stack, a module, or a list of modules of one shape, over examples.

    `loss` is what training takes, so that 2/η holds for the step that was trained with: "cross_entropy", "mse" (against
    one-hot labels, the mean over examples *and* outputs), or a callable (outputs [B, ...], y [B, ...]) -> mean over its
    batch. `seeds` [R] are those of random probes: None takes the stack's own, and 0, 1, ... for modules. At most
    `batch` examples are differentiated at a time; unequal parts count by their size. All is computed in `dtype`; the
    net is not changed. Weight decay is no part of the loss.

    BadInput for no examples, NaN or infinity in weights or inputs, labels that are no output, outputs other than [B, K]
    (named losses), and for modules in training mode whose BatchNorm or dropout makes the loss of an example depend
    on others or on chance.
    """
    if isinstance(loss, str):
        check_loss(loss)
    batch = whole("batch", batch, 1, "It bounds the memory; leave it out.")
    model, rows, shapes, free = _stack(net, dtype) if isinstance(net, StackedMLP) else _modules(modules_of(net), dtype)
    if not bool(rows.isfinite().all()):
        raise BadInput.of("weights", "NaN or infinity among them", "finite numbers", "Training diverged; leave it out.")
    own = net.seeds if isinstance(net, StackedMLP) else range(len(rows))
    found = MeanLoss(model, rows, shapes, _blocks(examples, rows, batch), loss, _seeds(seeds, own), free)
    _check_outputs(found)
    return found


def _seeds(seeds: Sequence[int] | None, own: Sequence[int]) -> Sequence[int]:
    if seeds is not None and len(seeds) != len(own):
        raise BadInput.of("number of seeds", len(seeds), f"{len(own)}, one per replicate", "Pass the nets' seeds.")
    return own if seeds is None else seeds


def _stack(net: StackedMLP, dtype: torch.dtype) -> tuple[Model, Tensor, list[torch.Size], Tensor | None]:
    if type(net) is not StackedMLP:  # those derived from it compute something else of the same weights
        raise BadInput.of("net", type(net).__name__, "a plain StackedMLP, or modules", "Write it as an nn.Module.")
    pairs = list(zip(net.weights, net.biases, strict=True))
    shapes = [part.shape[1:] for pair in pairs for part in pair]
    active = torch.relu if net.activation == "relu" else torch.tanh

    def forward(rows: Tensor, x: Tensor) -> Tensor:
        if x.shape[2:].numel() != net.sizes[0]:
            raise BadInput.of("inputs per example", tuple(x.shape[2:]), str(net.sizes[0]), "Pass them unpadded.")
        parts = _shaped(rows, shapes)
        h = x.flatten(2)
        for at in range(0, len(parts), 2):
            h = (active(h) if at else h) @ parts[at].mT + parts[at + 1][:, None]
        return h

    free = None
    if net.masks is not None and any(mask is not None for mask in net.masks):
        ones = [torch.ones_like(biases, dtype=torch.bool) for biases in net.biases]
        free = torch.cat([part.flatten(1) for pair in zip(net.kept(), ones, strict=True) for part in pair], 1)
    return forward, net.vector().to(dtype), shapes, free


def _modules(nets: Sequence[nn.Module], dtype: torch.dtype) -> tuple[Model, Tensor, list[torch.Size], None]:
    names, shapes = _trainable(nets)
    rows = torch.stack([torch.cat([p.detach().flatten() for p in _moving(net).values()]) for net in nets]).to(dtype)
    fixed = [_fixed(net, names, dtype) for net in nets]

    def forward(rows: Tensor, x: Tensor) -> Tensor:
        outputs = []
        for net in nets:  # they may have been trained on, and left in that mode, since the loss was made
            check_alone(net)
        for net, constants, row, inputs in zip(nets, fixed, rows, x, strict=True):
            state = constants | dict(zip(names, (p[0] for p in _shaped(row[None], shapes)), strict=True))
            found = torch.func.functional_call(net, state, (inputs,))
            if not isinstance(found, Tensor):
                raise BadInput.of("outputs of the net", type(found).__name__, "a tensor", "Wrap the net in a module.")
            outputs.append(found)
        return torch.stack(outputs)

    return forward, rows, shapes, None


def _moving(net: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def _fixed(net: nn.Module, names: Sequence[str], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what of a module's state is held constant, in `dtype`."""
    held = {name: value.detach() for name, value in [*net.named_parameters(), *net.named_buffers()]}
    kinds = {n: dtype if v.is_floating_point() else v.dtype for n, v in held.items() if n not in names}
    return {n: held[n].to(kind, copy=True) for n, kind in kinds.items()}


def _shaped(rows: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return parameters [R, *shape] of rows [R, P]; the backward pass of a split is one concatenation."""
    parts = rows.split([shape.numel() for shape in shapes], 1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _trainable(nets: Sequence[nn.Module]) -> tuple[list[str], list[torch.Size]]:
    found = [{name: p.shape for name, p in _moving(net).items()} for net in nets]
    if not found[0]:
        raise BadInput.of("trainable parameters", 0, ">= 1", "Let those require a gradient whose curvature you ask.")
    if odd := [r for r, shapes in enumerate(found) if shapes != found[0]]:
        raise BadInput.of("nets of another shape", odd, "nets of one shape", "Measure each shape on its own.")
    for net in nets:
        check_alone(net)
    return list(found[0]), list(found[0].values())


def _blocks(examples: Parts, rows: Tensor, batch: int) -> list[tuple[Tensor, Tensor]]:
    if not len(examples):
        raise BadInput.of("number of examples", 0, ">= 1", "Pass some.")
    if getattr(examples, "ignore", None) is not None:
        remedy = "Pass a callable loss that leaves them out."
        raise BadInput.of("ignored label", getattr(examples, "ignore", None), "None", remedy)
    blocks = [(_typed(x, rows), _typed(y, rows)) for x, y in examples.parts(len(rows), batch)]
    for part in (part for block in blocks for part in block):
        if not bool(part.isfinite().all()):
            raise BadInput.of("inputs or targets", "NaN or infinity among them", "finite numbers", "Leave these out.")
    return blocks


def _typed(values: Tensor, rows: Tensor) -> Tensor:
    """Return values [R, B, ...] as the rows are; what all replicates share stays one copy, seen by all."""
    shared = strided(values, "inputs").stride(0) == 0
    one = values[:1] if shared else values
    one = one.to(rows.device, rows.dtype if values.is_floating_point() else None)
    return one.expand(len(values), *one.shape[1:]) if shared else one


@torch.no_grad()
def _check_outputs(loss: MeanLoss) -> None:
    """Raise BadInput where the named losses cannot read the outputs or the labels."""
    if not isinstance(loss.loss, str):
        return
    x, y = loss.blocks[0]
    outputs = loss.model(loss.rows, x[:, :1])
    if outputs.dim() != 3 or y.dim() != 2:
        given = f"outputs {tuple(outputs.shape[1:])}, labels {tuple(y.shape[1:])}"
        raise BadInput.of("shapes of one net", given, "[B, K] and [B]", "Pass a callable loss for others.")
    for _, labels in loss.blocks:
        low, high = (int(end) for end in whole_labels(labels).aminmax())
        if low < 0 or high >= outputs.shape[2]:
            allowed = f"0 <= label < {outputs.shape[2]}, the outputs"
            raise BadInput.of("labels", (low, high), allowed, "Number the classes from 0.")


def _pulled(slope: Tensor, leaf: Tensor, vectors: Tensor) -> Tensor:
    try:
        with torch.enable_grad():  # a sum: torch imports sympy for seconds where vectors are handed to `grad` instead
            along = (slope * vectors).sum()
        return torch.autograd.grad(along, leaf, retain_graph=True)[0]
    except RuntimeError as error:
        if any(sign in str(error) for sign in TWICE):
            raise _not_twice(str(error).splitlines()[0]) from error
        raise


def _not_twice(why: str) -> BadInput:
    remedy = "Curvature needs a loss that autograd can differentiate twice by the parameters."
    return BadInput.of("loss", why, "twice differentiable", remedy)


def least_free(size: int, free: Tensor | None) -> int:
    """Return the smallest number of parameters that may change in some replicate; BadInput for none at all."""
    least = size if free is None else int(free.sum(1).min())
    if least < 1:
        raise BadInput.of("parameters that may change", least, ">= 1", "Leave out nets that are cut altogether.")
    return least
