"""Nets confined to a random subspace of their parameters: θ = θ₀ + P·c, of which only c is trained.

Li, Farkhoor, Liu & Yosinski 2018, who call the number of coefficients at which a net does well the intrinsic dimension
of its task. θ₀ are the parameters a net has when it is confined, c begins at 0, and P is one of
`redlib.nets.projections`. Both kinds of confined nets are trained by `redlib.training.fit` as any others; weight decay
pulls at c, and so towards θ₀.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from redlib.errors import BadInput
from redlib.nets.projections import Projection, projection
from redlib.nets.stacked import StackedMLP


class SubspaceMLP(StackedMLP):
    """R plain MLPs, each in its own subspace; `coefficients` [R, widest d] are its parameters, 0 beyond a net's own d.

    `at_origin` holds the R nets at θ₀, `projections` one P for each. BadInput for another number of these, and for ones
    that are not of the nets' size.
    """

    def __init__(self, at_origin: StackedMLP, projections: Sequence[Projection], flat: Tensor | None = None):
        check_projections(projections, at_origin.replicates, at_origin.parameters_each)
        self.inner, self.projections, self.origin = at_origin.clone(), list(projections), at_origin.vector()
        self.sizes, self.seeds, self.activation, self.masks = (
            at_origin.sizes,
            at_origin.seeds,
            at_origin.activation,
            None,
        )
        self.replicates = self.groups = at_origin.replicates
        self.widest = max(each.dimension for each in projections) if flat is None else len(flat) // self.replicates
        self.flat = at_origin.flat.new_zeros(self.replicates * self.widest) if flat is None else flat
        self.blocks = self.views(self.flat)
        self.full = torch.zeros_like(self.inner.flat)

    @property
    def coefficients(self) -> Tensor:
        """The coefficients c [R, widest d], a view."""
        return self.flat.view(self.replicates, self.widest)

    @property
    def dimensions(self) -> list[int]:
        """How many coefficients each net has [R]."""
        return [each.dimension for each in self.projections]

    def solution(self) -> StackedMLP:
        """Return the nets at θ₀ + P·c as a plain stack, a copy."""
        self._move()
        return self.inner.clone()

    def vector(self) -> Tensor:
        """Return a copy of θ₀ + P·c, [R, D] in the order of `StackedMLP.vector`."""
        return self.solution().vector()

    def with_vector(self, rows: Tensor) -> StackedMLP:
        """Return plain nets with the parameters `rows` [R, D]: not all of them are in the subspaces."""
        return self.inner.with_vector(rows)

    def to(self, device: torch.device | str) -> SubspaceMLP:
        """Return the stack on `device` (itself when it is there already)."""
        if self.flat.device == torch.device(device):
            return self
        moved = [copy.deepcopy(each).to(device) for each in self.projections]
        return self._like(self._at_origin().to(device), moved, self.flat.to(device))

    def clone(self) -> SubspaceMLP:
        """Return a copy whose coefficients are independent of this one's."""
        return self._like(self._at_origin(), self.projections, self.flat.clone())

    def select(self, replicates: Sequence[int]) -> SubspaceMLP:
        """Return a copy that holds these replicates, in this order (one may stand twice)."""
        flat = self.coefficients[list(replicates)].flatten()
        return self._like(self._at_origin().select(replicates), [self.projections[r] for r in replicates], flat)

    def apply_masks(self, masks: Sequence[Tensor | None]) -> None:
        """Refuse masks: a projection moves every weight."""
        raise BadInput.of("masks", len(masks), "none for confined nets", "Prune the net before it is confined.")

    def kept(self) -> list[Tensor]:
        """Return which weights there are: all."""
        return self.inner.kept()

    def gate(self) -> None:
        """There is no mask."""

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return a buffer shaped like `flat` as one block [R, 1, widest d]."""
        return [flat.view(self.replicates, 1, self.widest)]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """Return the activations of every layer, as `StackedMLP.hidden`."""
        self._move()
        return self.inner.hidden(x)

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        """Set `out` to beta * out + scale * Pᵀ·gradient of the mean batch loss; return the losses [R].

        Arguments as in `StackedMLP.gradient`; `out` is shaped like `flat` and may be `flat` itself.
        """
        self._move()
        losses = self.inner.gradient(x, y, loss, out=self.full)
        layers = _layers(self.inner, self.inner.views(self.full))
        rows, each = out.view(self.replicates, self.widest), scale if isinstance(scale, Tensor) else None
        rows.mul_(beta) if beta else rows.zero_()
        for r, own in enumerate(self.projections):
            found = own.transposed(torch.cat([layer[r].flatten() for layer in layers]))
            rows[r, : own.dimension].add_(found * (scale if each is None else each[r]))
        return losses

    def _move(self) -> None:
        """Put the inner nets at θ₀ + P·c."""
        layers = _layers(self.inner, self.inner.blocks)
        sizes = [layer[0].numel() for layer in layers]
        for r, own in enumerate(self.projections):
            # A copy of the coefficients is aligned alike whatever nets stand beside this one.
            theta = self.origin[r] + own(self.coefficients[r, : own.dimension].clone())
            for layer, part in zip(layers, theta.split(sizes), strict=True):
                layer[r].copy_(part.view_as(layer[r]))

    def _at_origin(self) -> StackedMLP:
        return self.inner.with_vector(self.origin)

    def _like(self, at_origin: StackedMLP, projections: Sequence[Projection], flat: Tensor) -> SubspaceMLP:
        return type(self)(at_origin, projections, flat)


class SubspaceModule(nn.Module):
    """Any module in a subspace: its trainable parameters are θ₀ + P·c, `coefficients` [d] the only ones still trained.

    The module is copied. Parameters that were frozen stay as they are, and buffers go on (BatchNorm's). BadInput
    for a module without trainable parameters, and for a projection of another size.
    """

    def __init__(self, module: nn.Module, onto: Projection):
        super().__init__()
        trained = [(name, values) for name, values in module.named_parameters() if values.requires_grad]
        self.names, self.sizes = [name for name, _ in trained], [values.numel() for _, values in trained]
        check_projections([onto], 1, sum(self.sizes))
        self.net, self.projection = copy.deepcopy(module).requires_grad_(False), onto
        self.coefficients = nn.Parameter(trained[0][1].new_zeros(onto.dimension))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return what the module makes of its inputs with the parameters of this moment."""
        return functional_call(self.net, dict(self._moved()), inputs, named)

    @torch.no_grad()
    def solution(self) -> nn.Module:
        """Return the module at θ₀ + P·c, a copy that stands alone, with those parameters trainable again."""
        found = copy.deepcopy(self.net)
        for name, values in self._moved():
            found.get_parameter(name).copy_(values).requires_grad_(True)
        return found

    def _moved(self) -> Iterator[tuple[str, Tensor]]:
        parts = self.projection(self.coefficients).split(self.sizes)
        for name, part in zip(self.names, parts, strict=True):
            values = self.net.get_parameter(name)
            moved = values + part.view(values.shape)
            # A first layer of one channel is in both layouts at once; without the strides of its own it falls into the
            # other one, and all layers are converted back and forth: twice the time of a step.
            yield name, moved if moved.stride() == values.stride() else torch.empty_like(values).copy_(moved)


def in_subspaces(
    net: StackedMLP | nn.Module | Sequence[nn.Module], dims: Sequence[int], seeds: Sequence[int], kind: str = "auto"
) -> SubspaceMLP | list[SubspaceModule]:
    """Return every replicate confined to a subspace of each of `dims`: S·K nets, all dimensions of one seed together.

    `net` is a stack of S replicates, a module (S = 1) or S modules; seeds [S] draw the projections, of a `kind` that
    `redlib.nets.projections.projection` knows. BadInput for no dimensions, ones above the parameters of the net, and
    another number of seeds.
    """
    if not len(dims):
        raise BadInput.of("dims", list(dims), "at least one dimension", "Name the sizes of the subspaces.")
    if isinstance(net, StackedMLP):
        _check_seeds(seeds, net.replicates)
        each = net.parameters_each
        projections = [projection(kind, seed, each, d, net.flat.dtype) for seed in seeds for d in dims]
        whole = net.select([s for s in range(net.replicates) for _ in dims])
        whole.seeds = tuple(seed for seed in seeds for _ in dims)
        return SubspaceMLP(whole, [own.to(net.flat.device) for own in projections])
    modules = [net] if isinstance(net, nn.Module) else list(net)
    _check_seeds(seeds, len(modules))
    return [
        SubspaceModule(module, _projection_of(module, kind, seed, d))
        for module, seed in zip(modules, seeds, strict=True)
        for d in dims
    ]


def check_projections(projections: Sequence[Projection], replicates: int, parameters: int) -> None:
    """Raise BadInput unless there is a projection for each replicate, from nets of so many parameters."""
    found = [each.parameters_of_net for each in projections]
    if found != [parameters] * replicates or not parameters:
        allowed = f"{replicates} of {parameters} trainable parameters"
        raise BadInput.of("parameters of the projections", found, allowed, "Draw one projection for each net.")


def _projection_of(module: nn.Module, kind: str, seed: int, dimension: int) -> Projection:
    trained = [values for values in module.parameters() if values.requires_grad]
    if not trained:
        raise BadInput.of("module", "no trainable parameters", "some", "Call requires_grad_(True).")
    count = sum(values.numel() for values in trained)
    return projection(kind, seed, count, dimension, trained[0].dtype).to(trained[0].device)


def _check_seeds(seeds: Sequence[int], replicates: int) -> None:
    if len(seeds) != replicates:
        raise BadInput.of("number of seeds", len(seeds), f"{replicates}, one per replicate", "Repeat nets, or seeds.")


def _layers(net: StackedMLP, blocks: Sequence[Tensor]) -> list[Tensor]:
    """Return the parts of a buffer of `net` that are parameters, views [R, ...] in the order of `StackedMLP.vector`."""
    pairs = zip(blocks, net.sizes[:-1], net.sizes[1:], strict=True)
    return [part for b, fan_in, out in pairs for part in (b[:, :out, :fan_in], b[:, :out, fan_in])]
