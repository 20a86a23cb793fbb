"""A width sweep as one stack: one-hidden-layer nets of many widths that share data, side by side.

All widths of a seed see the same batches, so their first layers are one matrix product. Only the second
layer is ragged; its products run width by width, batched over seeds. Biases are weights from constant
units and sizes are padded to fours, as in `StackedMLP`: each width has its own constant hidden unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.initialisers import Initialiser, initialiser
from redlib.nets.losses import output_delta
from redlib.nets.stacked import StackedMLP, _four, aligned, pad_inputs


class RaggedMLP:
    """S seeds x M widths of ReLU nets d-H-K; replicate s * M + m is seed s at width m.

    The first block is [S, d + 1, U] with U the sum of the padded widths, block 1 + m is the second layer of
    width m, [S, H + 1, K]: inputs first, which makes the gradient of the first layer a fifth faster. Data come
    per seed: x [S, B, d], y [S, B].
    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int, seeds: Sequence[int], flat: Tensor):
        self.inputs, self.widths, self.outputs, self.flat = inputs, tuple(widths), outputs, flat
        self.seeds, self.groups = tuple(seeds), len(seeds)
        self.replicates = self.groups * len(self.widths)
        self.starts = [sum(_four(w + 1) for w in self.widths[:m]) for m in range(len(self.widths) + 1)]
        self.constants = torch.tensor([a + w for a, w in zip(self.starts, self.widths, strict=False)])
        self.constants = self.constants.to(flat.device)
        self.blocks = self.views(flat)
        self._workspace: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    @classmethod
    def create(
        cls,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        seeds: Sequence[int],
        init: str | Initialiser = "torch",
        device: torch.device | str = "cpu",
    ) -> RaggedMLP:
        """Return nets drawn exactly as `StackedMLP.create((inputs, H, outputs), seeds)` draws each width H."""
        if not len(widths) or min(widths) < 1 or not len(seeds):
            raise BadInput.of("widths, seeds", (widths, seeds), "one or more of each, widths >= 1", "List them.")
        size = sum(a * b for a, b in _shapes(inputs, widths, outputs)) * len(seeds)
        net = cls(inputs, widths, outputs, seeds, torch.zeros(size))
        draw = initialiser(init)
        for m, width in enumerate(widths):
            w1, b1, w2, b2 = net._layers(m)
            for s, seed in enumerate(seeds):
                source = rng(seed, "init")
                for w, b, drawn in ((w1, b1, draw(source, width, inputs)), (w2, b2, draw(source, outputs, width))):
                    w[s], b[s] = torch.from_numpy(drawn[0]), torch.from_numpy(drawn[1])
        return net.to(device)

    def to(self, device: torch.device | str) -> RaggedMLP:
        """Return the stack on `device` (itself when it is there already)."""
        if self.flat.device == torch.device(device):
            return self
        return type(self)(self.inputs, self.widths, self.outputs, self.seeds, self.flat.to(device))

    def clone(self) -> RaggedMLP:
        """Return a copy whose parameters are independent of this one's."""
        return type(self)(self.inputs, self.widths, self.outputs, self.seeds, self.flat.clone())

    def select(self, seeds: Sequence[int]) -> RaggedMLP:
        """Return a copy that holds these seeds (by position), all widths."""
        flat = torch.cat([block[list(seeds)].flatten() for block in self.blocks])
        return type(self)(self.inputs, self.widths, self.outputs, [self.seeds[s] for s in seeds], flat)

    def put(self, part: RaggedMLP, start: int, count: int) -> None:
        """Copy the first `count` seeds of `part` over those from `start` on."""
        for mine, theirs in zip(self.blocks, part.blocks, strict=True):
            mine[start : start + count] = theirs[:count]

    def net(self, width: int) -> StackedMLP:
        """Return all seeds at one width as a `StackedMLP` (a copy)."""
        alone = StackedMLP.create((self.inputs, width, self.outputs), self.seeds)
        w1, b1, w2, b2 = self._layers(self.widths.index(width))
        for mine, theirs in zip((*alone.weights, *alone.biases), (w1, w2, b1, b2), strict=True):
            mine.copy_(theirs)
        return alone

    def gate(self) -> None:
        """Width sweeps are dense: there is no mask."""

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return the blocks of a buffer shaped like `flat`: [S, d + 1, U], then [S, H + 1, K] per width."""
        shapes = _shapes(self.inputs, self.widths, self.outputs)
        ends = torch.tensor([a * b for a, b in shapes]).cumsum(0) * self.groups
        parts = flat.tensor_split(ends[:-1])
        return [part.view(self.groups, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def spread(self, values: Tensor) -> list[Tensor]:
        """Return one value per replicate [S * M] in shapes that broadcast over the blocks."""
        table = values.view(self.groups, -1)
        sizes = torch.tensor([_four(w + 1) for w in self.widths], device=values.device)
        first = table.repeat_interleave(sizes, dim=1)[:, None, :]
        return [first, *(table[:, m, None, None] for m in range(len(self.widths)))]

    def pad(self, x: Tensor) -> Tensor:
        """Return inputs [..., d] with the constant 1 and zeros appended, as `gradient` takes them."""
        return pad_inputs(x, self.inputs)

    def logits(self, x: Tensor) -> Tensor:
        """Return outputs [S * M, B, K] for inputs [S, B, d] or shared inputs [B, d] (padded ones as well)."""
        x = x if x.dim() == 3 else x.expand(self.groups, *x.shape)
        x = x if x.shape[2] == self.blocks[0].shape[1] else self.pad(x)
        outputs = self._forward(x, self._hidden(x), self._outputs(x))[1]
        return outputs[..., : self.outputs].transpose(0, 1).flatten(0, 1)

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        """Set `out` to beta * out + scale * gradient; return the mean batch losses [S * M].

        x [S, B, d padded] from `pad`, y [S, B]; `scale` a number or a tensor [S * M]; `out` may be `flat`.
        """
        hidden, outputs, back = self._buffers(x)
        self._forward(x, hidden, outputs)
        factor = scale.view(self.groups, -1).T if isinstance(scale, Tensor) else scale
        losses = output_delta(outputs[..., : self.outputs], y, loss, factor)
        first, *second = self.views(out)
        for m, (a, b) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            back[:, :, a:b] = torch.bmm(outputs[m], self.blocks[1 + m].transpose(1, 2))
            torch.baddbmm(second[m], hidden[:, :, a:b].transpose(1, 2), outputs[m], beta=beta, out=second[m])
        torch.ops.aten.threshold_backward.grad_input(back, hidden, 0, grad_input=back)
        back.index_fill_(2, self.constants, 0.0)
        torch.baddbmm(first, x.transpose(1, 2), back, beta=beta, out=first)
        return losses.T.flatten()

    def _forward(self, x: Tensor, hidden: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        torch.bmm(x, self.blocks[0], out=hidden).relu_()
        hidden.index_fill_(2, self.constants, 1.0)
        for m, (a, b) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            torch.bmm(hidden[:, :, a:b], self.blocks[1 + m], out=outputs[m])
        return hidden, outputs

    def _layers(self, m: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (W1 [S, H, d], b1 [S, H], W2 [S, K, H], b2 [S, K]) of width number m, as views."""
        width, start = self.widths[m], self.starts[m]
        first = self.blocks[0][:, :, start : start + width].transpose(1, 2)
        second = self.blocks[1 + m][:, :, : self.outputs].transpose(1, 2)
        return first[..., : self.inputs], first[..., self.inputs], second[..., :width], second[..., width]

    def _buffers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch = x.shape[1]
        if batch not in self._workspace:
            self._workspace[batch] = (self._hidden(x), self._outputs(x), self._hidden(x))
        return self._workspace[batch]

    def _hidden(self, x: Tensor) -> Tensor:
        return aligned(x, self.groups, x.shape[1], self.starts[-1])

    def _outputs(self, x: Tensor) -> Tensor:
        return aligned(x, len(self.widths), self.groups, x.shape[1], _four(self.outputs))


def _shapes(inputs: int, widths: Sequence[int], outputs: int) -> list[tuple[int, int]]:
    padded = [_four(w + 1) for w in widths]
    return [(_four(inputs + 1), sum(padded)), *((units, _four(outputs)) for units in padded)]
