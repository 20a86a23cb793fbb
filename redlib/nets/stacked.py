"""R plain MLPs of one shape as one stack: gradients are hand-written, every parameter lives in one flat buffer.

The layout is what makes it fast. A layer of all replicates is one contiguous block [R, out, in + 1]: the bias
is the weight from a constant input, so a layer is a single batched matrix product forward and two backward.
Units are padded to fours, so that every replicate's block fills whole vectors. Padding and constant units
have zero weights and zero gradients. All blocks are views of `flat`, so an optimiser is a few element-wise
passes; and because back-propagation is linear in the output delta, `gradient` can add `scale` times the
gradient straight into a momentum buffer, or into the weights themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.initialisers import Initialiser, initialiser
from redlib.nets.losses import output_delta
from redlib.nets.sizes import parameter_count

VECTOR = 16  # floats in the widest vector register of a CPU
ACTIVATIONS = ("relu", "tanh")


class StackedMLP:
    """R fully connected nets of equal shape; the replicate axis is the first of every tensor.

    `weights[l]` [R, out, in] and `biases[l]` [R, out] are views of the parameters. `masks` (None, or a bool
    tensor [R, out, in] or None per layer) says which weights may change: cut weights are zero
    (`apply_masks`) or frozen where they are, and no optimiser moves them.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seeds: Sequence[int],
        flat: Tensor,
        activation: str = "relu",
        masks: Sequence[Tensor | None] | None = None,
    ):
        self.sizes, self.seeds, self.flat, self.activation = tuple(sizes), tuple(seeds), flat, activation
        self.replicates = self.groups = len(self.seeds)
        self.blocks = self.views(flat)
        pairs = list(zip(self.blocks, self.sizes[:-1], self.sizes[1:], strict=True))
        self.weights = [block[:, :fan_out, :fan_in] for block, fan_in, fan_out in pairs]
        self.biases = [block[:, :fan_out, fan_in] for block, fan_in, fan_out in pairs]
        self.masks = None if masks is None else list(masks)
        self._workspace: dict[tuple[str, int], list[Tensor]] = {}

    @classmethod
    def create(
        cls,
        sizes: Sequence[int],
        seeds: Sequence[int],
        activation: str = "relu",
        init: str | Initialiser = "torch",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> StackedMLP:
        """Return one net per seed, sizes = (inputs, hidden..., outputs), drawn from the stream "init"."""
        _check_shape(sizes, seeds, activation)
        net = cls(sizes, seeds, torch.zeros(len(seeds) * sum(_block_sizes(sizes)), dtype=dtype), activation)
        draw = initialiser(init)
        for r, seed in enumerate(seeds):
            source = rng(seed, "init")
            for weights, biases in zip(net.weights, net.biases, strict=True):
                w, b = draw(source, *weights.shape[1:])
                weights[r], biases[r] = torch.from_numpy(w), torch.from_numpy(b)
        return net.to(device)

    @property
    def parameters_each(self) -> int:
        """Number of weights and biases of one replicate."""
        return parameter_count(self.sizes)

    def vector(self) -> Tensor:
        """Return a copy of all parameters, one row per replicate [R, P]: weights then biases, layer by layer."""
        parts = [p.flatten(1) for pair in zip(self.weights, self.biases, strict=True) for p in pair]
        return torch.cat(parts, 1)

    def with_vector(self, rows: Tensor) -> StackedMLP:
        """Return a copy with the parameters that `vector` listed [R, P]; BadInput for another shape."""
        if tuple(rows.shape) != (self.replicates, self.parameters_each):
            expected = self.replicates, self.parameters_each
            raise BadInput.of("shape of parameters", tuple(rows.shape), str(expected), "List them as `vector` does.")
        copy, at = self.clone(), 0
        for weights, biases in zip(copy.weights, copy.biases, strict=True):
            for target in (weights, biases):
                size = target[0].numel()
                target.copy_(rows[:, at : at + size].view(target.shape))
                at += size
        return copy

    def to(self, device: torch.device | str) -> StackedMLP:
        """Return the stack on `device` (itself when it is there already)."""
        if self.flat.device == torch.device(device):
            return self
        masks = self.masks and [m if m is None else m.to(device) for m in self.masks]
        return type(self)(self.sizes, self.seeds, self.flat.to(device), self.activation, masks)

    def clone(self) -> StackedMLP:
        """Return a copy whose parameters are independent of this one's."""
        return type(self)(self.sizes, self.seeds, self.flat.clone(), self.activation, self.masks)

    def select(self, replicates: Sequence[int]) -> StackedMLP:
        """Return a copy that holds these replicates, in this order (one may stand twice)."""
        index = torch.as_tensor(replicates, device=self.flat.device)
        masks = self.masks and [m if m is None else m[index] for m in self.masks]
        flat = torch.cat([block[index].flatten() for block in self.blocks])
        return type(self)(self.sizes, [self.seeds[r] for r in replicates], flat, self.activation, masks)

    def split(self, parts: int) -> list[StackedMLP]:
        """Return copies of equally many replicates each, in order; BadInput where they do not divide evenly."""
        each, left = divmod(self.replicates, max(parts, 1))
        if left or parts < 1:
            raise BadInput.of("parts", parts, f"a divisor of {self.replicates} replicates", "Split evenly.")
        return [self.select(range(i * each, (i + 1) * each)) for i in range(parts)]

    def put(self, part: StackedMLP, start: int, count: int) -> None:
        """Copy the first `count` replicates of `part` over those from `start` on."""
        for mine, theirs in zip(self.blocks, part.blocks, strict=True):
            mine[start : start + count] = theirs[:count]

    def kept(self) -> list[Tensor]:
        """Return the masks in force, bool [R, out, in] per layer, all True where there are none."""
        masks = self.masks or [None] * len(self.weights)
        pairs = zip(self.weights, masks, strict=True)
        return [torch.ones_like(w, dtype=torch.bool) if mask is None else mask for w, mask in pairs]

    def apply_masks(self, masks: Sequence[Tensor | None]) -> None:
        """Set the masks (True = kept; [R, out, in] per layer, None = dense) and zero the cut weights."""
        if len(masks) != len(self.weights):
            raise BadInput.of("number of masks", len(masks), f"{len(self.weights)}, one per layer", "None is dense.")
        for layer, (mask, weights) in enumerate(zip(masks, self.weights, strict=True)):
            if mask is not None and mask.shape != weights.shape:
                raise BadInput.of(f"shape of mask {layer}", tuple(mask.shape), str(tuple(weights.shape)), "Fit it.")
            if mask is not None and mask.dtype != torch.bool:  # others would scale the weights
                raise BadInput.of(f"type of mask {layer}", str(mask.dtype), "bool", "True keeps a weight.")
            if mask is not None:
                weights.mul_(mask)
        self.masks = list(masks)

    def gate(self) -> Tensor | None:
        """Return the masks in the layout of `flat` (1 where an optimiser may write), or None when dense."""
        if not self.masks or all(mask is None for mask in self.masks):
            return None
        gate = torch.ones_like(self.flat)
        for view, weights, mask in zip(self.views(gate), self.weights, self.masks, strict=True):
            if mask is not None:
                view[:, : weights.shape[1], : weights.shape[2]] = mask.to(gate.dtype)
        return gate

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return the layers of a buffer shaped like `flat`, each [R, out padded, in + 1 padded]."""
        ends = torch.tensor(_block_sizes(self.sizes)).cumsum(0) * self.replicates
        parts = flat.tensor_split(ends[:-1])
        return [p.view(self.replicates, *shape) for p, shape in zip(parts, _padded(self.sizes), strict=True)]

    def spread(self, values: Tensor) -> list[Tensor]:
        """Return one value per replicate [R] in shapes that broadcast over the blocks."""
        return [values[:, None, None]] * len(self.blocks)

    def pad(self, x: Tensor) -> Tensor:
        """Return inputs [..., d] with the constant 1 and zeros appended, as `gradient` takes them."""
        return pad_inputs(x, self.sizes[0])

    def logits(self, x: Tensor) -> Tensor:
        """Return outputs [R, B, K] for inputs [R, B, d] or shared inputs [B, d] (padded ones are taken as well)."""
        return self.hidden(x)[-1]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """Return the activations of every layer, inputs first and logits last, each [R, B, units]."""
        x = x if x.dim() == 3 else x.expand(self.replicates, *x.shape)
        x = x if x.shape[2] == self.blocks[0].shape[2] else self.pad(x)
        layers = [x, *self._forward(x, [aligned(x, len(x), x.shape[1], b.shape[1]) for b in self.blocks])]
        return [layer[..., :n] for layer, n in zip(layers, self.sizes, strict=True)]

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        """Set `out` to beta * out + scale * gradient of the mean batch loss; return the losses [R].

        x [R, B, d padded] inputs from `pad`, y [R, B] labels, `out` shaped like `flat`; `scale` is a number or
        a tensor [R]. `out` may be `flat` itself: a layer's weights are read before they are overwritten.
        """
        outputs = self._forward(x, self._buffers("forward", x))
        losses = output_delta(outputs[-1][..., : self.sizes[-1]], y, loss, scale)
        self._backward([x, *outputs], self.views(out), beta, self._buffers("backward", x))
        return losses

    def _forward(self, x: Tensor, buffers: Sequence[Tensor]) -> list[Tensor]:
        for block, out, units in zip(self.blocks, buffers, self.sizes[1:], strict=True):
            torch.bmm(x, block.transpose(1, 2), out=out)
            if out is not buffers[-1]:
                out.relu_() if self.activation == "relu" else out.tanh_()
                out[..., units] = 1.0  # the constant unit that carries the next layer's biases
            x = out
        return list(buffers)

    def _backward(self, inputs: list[Tensor], outs: list[Tensor], beta: float, buffers: list[Tensor]) -> None:
        delta = inputs[-1]
        for layer in range(len(self.blocks) - 1, -1, -1):
            below = delta
            if layer:
                below = torch.bmm(delta, self.blocks[layer], out=buffers[layer - 1])
                self._through_activation(below, inputs[layer])
                below[..., self.sizes[layer]] = 0.0
            torch.baddbmm(outs[layer], delta.transpose(1, 2), inputs[layer], beta=beta, out=outs[layer])
            delta = below

    def _through_activation(self, delta: Tensor, activations: Tensor) -> None:
        if self.activation == "relu":
            torch.ops.aten.threshold_backward.grad_input(delta, activations, 0, grad_input=delta)
        else:
            torch.ops.aten.tanh_backward.grad_input(delta, activations, grad_input=delta)

    def _buffers(self, purpose: str, x: Tensor) -> list[Tensor]:
        # Fresh large tensors cost page faults on every step; the two batch sizes (full, last) are kept.
        key = (purpose, x.shape[1])
        if key not in self._workspace:
            blocks = self.blocks if purpose == "forward" else self.blocks[:-1]
            self._workspace[key] = [aligned(x, self.replicates, x.shape[1], b.shape[1]) for b in blocks]
        return self._workspace[key]


def unstacked(net: StackedMLP, replicate: int) -> nn.Sequential:
    """Return one replicate as nn.Sequential(Linear, activation, ..., Linear), with copies of its parameters."""
    if not 0 <= replicate < net.replicates:
        raise BadInput.of("replicate", replicate, f"0 <= replicate < {net.replicates}", "Count from 0.")
    parts: list[nn.Module] = []
    for weights, biases in zip(net.weights, net.biases, strict=True):
        fan_out, fan_in = weights.shape[1:]
        # skip_init: drawing initial values that are overwritten would move torch's global random state.
        linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out, device=weights.device, dtype=weights.dtype)
        linear.load_state_dict({"weight": weights[replicate], "bias": biases[replicate]})
        parts += [linear, nn.ReLU() if net.activation == "relu" else nn.Tanh()]
    return nn.Sequential(*parts[:-1])


def pad_inputs(x: Tensor, inputs: int) -> Tensor:
    """Return x [..., inputs] with a constant 1 and zeros appended up to a multiple of four columns."""
    if x.shape[-1] != inputs:
        raise BadInput.of("inputs per example", x.shape[-1], str(inputs), "Flatten the images, or build another net.")
    padded = functional.pad(x, (0, _four(inputs + 1) - inputs))
    padded[..., inputs] = 1.0
    return padded


def aligned(like: Tensor, *shape: int) -> Tensor:
    """Return an empty tensor [..., batch, units] in which every [batch, units] block starts on a vector boundary.

    Matrix products round differently on unaligned blocks, so without this the bits of a replicate would
    depend on how many others stand before it. The spare rows that do it are sliced off.
    """
    *outer, batch, units = shape
    return like.new_empty(*outer, aligned_rows(batch, units), units)[..., :batch, :]


def aligned_rows(batch: int, units: int) -> int:
    """Return the smallest number of rows >= batch whose block of `units` columns fills whole vectors."""
    multiple = VECTOR // math.gcd(units, VECTOR)
    return -(-batch // multiple) * multiple


def _four(n: int) -> int:
    return -(-n // 4) * 4


def _padded(sizes: Sequence[int]) -> list[tuple[int, int]]:
    units = [_four(n + 1) for n in sizes[:-1]] + [_four(sizes[-1])]
    return list(zip(units[1:], units[:-1], strict=True))


def _block_sizes(sizes: Sequence[int]) -> list[int]:
    return [a * b for a, b in _padded(sizes)]


def _check_shape(sizes: Sequence[int], seeds: Sequence[int], activation: str) -> None:
    if len(sizes) < 2 or min(sizes) < 1:
        raise BadInput.of("sizes", tuple(sizes), "at least (inputs, outputs), each >= 1", "Give every layer a width.")
    if not len(seeds):
        raise BadInput.of("seeds", seeds, "at least one seed", "Pass one seed per replicate.")
    if activation not in ACTIVATIONS:
        raise BadInput.of("activation", activation, f"one of {ACTIVATIONS}", "Use an nn.Module for others.")
