"""Masks learned while the weights stay frozen: supermasks (Zhou et al. 2019), edge-popup (Ramanujan et al. 2020).

Every weight has a score. A training step makes a mask from the scores, computes the gradient of the loss by the
weights that act (frozen * mask), and sends it straight through the mask to the scores:

- "bernoulli": mask ~ Bernoulli(sigmoid(score)), drawn anew at every step, scores start at 0;
  d mask / d score = sigmoid'(score).
- "popup": the mask keeps the fraction `keep` of each layer with the largest |score|, scores start Kaiming uniform;
  d mask / d score = sign(score), for it is |score| that competes (so does the authors' code).

With `rescale` (dynamic weight rescaling, Zhou et al. 2019) the weights of a layer act times size / ones of its
mask. As in the authors' code the gradient of a Bernoulli mask also flows through `ones`; popup keeps it constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning import allocation
from redlib.pruning.masks import Tensors, weights_of
from redlib.training import Examples, evaluate

Mode = Literal["bernoulli", "popup"]
SAMPLES = 10  # masks over which Zhou et al. average the test accuracy
STRIDE = 64  # one score in so many is looked at to guess where the best end
FEW = 2**12  # below so many scores the guess costs more than it saves


class ScoredMLP(StackedMLP):
    """A stack whose parameters are scores; the weights and biases of `frozen` never change.

    `flat`, `blocks` and `weights` hold scores, laid out like the weights, so optimisers, chunks and checkpoints
    treat them as such. Biases are not scored. `flat` ends in the number of training steps of each replicate:
    the draws of a step depend on seed and step only, and whatever copies the parameters copies the step too, so
    chunks, company and resuming change nothing. Evaluation (`logits`, and with it every error that `fit` records)
    uses ONE Bernoulli mask, sample 0 of the stream "eval"; `sampled_accuracy` averages several.
    """

    def __init__(self, frozen: StackedMLP, flat: Tensor, mode: Mode, keep: float, rescale: bool):
        super().__init__(frozen.sizes, frozen.seeds, flat, frozen.activation)
        self.frozen, self.mode, self.keep, self.rescale = frozen, mode, keep, rescale
        self.acting = frozen.clone()
        self._grad = torch.zeros_like(frozen.flat)
        parts = zip(self.weights, frozen.weights, self.acting.weights, frozen.views(self._grad), strict=True)
        self._layers = [_Layer.of(*views, keep) for views in parts]

    @classmethod
    def create(  # type: ignore[override]
        cls, net: StackedMLP, mode: Mode, *, keep: float = 0.5, rescale: bool = False
    ) -> ScoredMLP:
        """Return scores over a copy of `net`, which stays as it is.

        `keep` is the fraction of each layer that popup keeps; Bernoulli masks find their own density. Raises
        BadInput for an unknown mode, a `keep` outside (0, 1] or that leaves a layer empty, and for a masked net.
        """
        if mode not in get_args(Mode):
            raise BadInput.of("mode", mode, f"one of {get_args(Mode)}", "Say how the mask follows from the scores.")
        allocation.check_density(keep)
        if net.gate() is not None:
            raise BadInput.of("masks of the net", "some", "none", "Scores choose among all weights: pass a dense net.")
        scored = cls(net.clone(), net.flat.new_zeros(len(net.flat) + net.replicates), mode, keep, rescale)
        if mode == "popup":
            scored._draw_scores()
        return scored

    @property
    def steps(self) -> Tensor:
        """Training steps taken by each replicate, [R]; exact up to 2**24."""
        return self.flat[-self.replicates :]

    def views(self, flat: Tensor) -> list[Tensor]:
        return super().views(flat[: -self.replicates])

    def gate(self) -> Tensor:
        # Weight decay must reach neither the biases' places nor the step counts.
        gate = torch.zeros_like(self.flat)
        for view, scores in zip(self.views(gate), self.weights, strict=True):
            view[:, : scores.shape[1], : scores.shape[2]] = 1.0
        return gate

    def to(self, device: torch.device | str) -> ScoredMLP:
        if self.flat.device == torch.device(device):
            return self
        return self._with(self.frozen.to(device), self.flat.to(device))

    def clone(self) -> ScoredMLP:
        return self._with(self.frozen.clone(), self.flat.clone())

    def select(self, replicates: Sequence[int]) -> ScoredMLP:
        index = torch.as_tensor(replicates, device=self.flat.device)
        parts = [*(block[index].flatten() for block in self.blocks), self.steps[index]]
        return self._with(self.frozen.select(replicates), torch.cat(parts))

    def put(self, part: StackedMLP, start: int, count: int) -> None:
        super().put(part, start, count)
        self.steps[start : start + count] = part.flat[-part.replicates :][:count]

    def apply_masks(self, masks: Sequence[Tensor | None]) -> None:
        raise BadInput.of("masks", "given", "none", "A scored net learns its masks; use `subnet` to go on with one.")

    def hidden(self, x: Tensor) -> list[Tensor]:
        self._act("eval", [0] * self.replicates)
        return self.acting.hidden(x)

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        self._act("mask", self.steps.long().tolist())
        self.steps.add_(1)
        losses = self.acting.gradient(x, y, loss, out=self._grad, scale=scale)
        for view, layer in zip(self.views(out), self._layers, strict=True):
            if beta:
                view.mul_(beta)
            else:
                view.zero_()
            view[:, : layer.grad.shape[1], : layer.grad.shape[2]].add_(self._score_gradient(layer))
        return losses

    def supermasks(self, sample: int = 0) -> Tensors:
        """Return the masks, bool [R, out, in] per layer; a Bernoulli mask is the `sample`-th of the stream "eval"."""
        self._make("eval", [sample] * self.replicates)
        return {name: layer.mask.bool() for name, layer in zip(weights_of(self), self._layers, strict=True)}

    def subnet(self, sample: int = 0) -> StackedMLP:
        """Return the net that acts under `supermasks(sample)`, rescaled where asked, as plain masked weights."""
        self._act("eval", [sample] * self.replicates)
        net = self.acting.clone()
        net.masks = [layer.mask.bool() for layer in self._layers]
        return net

    def _with(self, frozen: StackedMLP, flat: Tensor) -> ScoredMLP:
        if self.masks is not None:
            self.apply_masks(self.masks)  # raises: masks that were set behind its back would be lost here
        return ScoredMLP(frozen, flat, self.mode, self.keep, self.rescale)

    def _draw_scores(self) -> None:
        for r, seed in enumerate(self.seeds):
            source = rng(seed, "mask")
            for scores in self.weights:
                bound = scores.shape[2] ** -0.5  # kaiming_uniform_(a=sqrt(5)), as in the authors' code
                scores[r] = torch.from_numpy(source.uniform(-bound, bound, scores.shape[1:]))

    def _make(self, stream: str, keys: Sequence[int]) -> None:
        """Set masks and slopes; key [R] numbers the Bernoulli draw of each replicate."""
        if self.mode == "popup":
            for layer in self._layers:
                torch.abs(layer.scores, out=layer.mask)
                _largest(layer.mask, layer.kept)
                torch.sign(layer.scores, out=layer.slope)
            return
        for r, (seed, key) in enumerate(zip(self.seeds, keys, strict=True)):
            source = rng(seed, stream, key)
            for layer in self._layers:
                source.random(out=(noise := layer.noise[r].numpy()), dtype=noise.dtype.type)
        for layer in self._layers:
            chance = torch.sigmoid(layer.scores, out=layer.slope)
            torch.lt(layer.noise.to(chance.device), chance, out=layer.mask)
            chance.addcmul_(chance, chance, value=-1)  # sigmoid' = p - p^2

    def _act(self, stream: str, keys: Sequence[int]) -> None:
        """Make new masks and set the weights that act."""
        self._make(stream, keys)
        for layer in self._layers:
            torch.mul(layer.frozen, layer.mask, out=layer.acting)
            if self.rescale:
                # Of an empty mask any factor will do, but infinity times zero would not.
                layer.ones = layer.mask.sum((1, 2), keepdim=True).clamp_(min=1)
                layer.acting.mul_(layer.mask[0].numel() / layer.ones)

    def _score_gradient(self, layer: _Layer) -> Tensor:
        """Turn the gradient by the acting weights into the one by the scores; overwrites it, and the mask."""
        grad = layer.grad.mul_(layer.frozen)
        if self.rescale:
            if self.mode == "bernoulli":  # act = w m N / S with S = sum(m): d act_i / d m_j has -w_i m_i N / S^2
                grad.sub_(torch.mul(grad, layer.mask, out=layer.mask).sum((1, 2), keepdim=True) / layer.ones)
            grad.mul_(layer.mask[0].numel() / layer.ones)
        return grad.mul_(layer.slope)


@dataclass
class _Layer:
    """Views of one layer and its buffers, each [R, out, in]; `noise` stays on the CPU, where it is drawn."""

    scores: Tensor
    frozen: Tensor
    acting: Tensor
    grad: Tensor
    mask: Tensor
    slope: Tensor
    noise: Tensor
    ones: Tensor  # [R, 1, 1], the weights that a rescaled mask keeps
    kept: int

    @classmethod
    def of(cls, scores: Tensor, frozen: Tensor, acting: Tensor, grad: Tensor, keep: float) -> _Layer:
        """Return the layer of four views [R, out, in] (`grad` still padded); BadInput where nothing would be kept."""
        mask, slope = (torch.zeros_like(scores, memory_format=torch.contiguous_format) for _ in range(2))
        kept = round(keep * scores[0].numel())
        if kept < 1:
            raise BadInput.of("weights kept in a layer", kept, ">= 1", f"Raise keep = {keep}.")
        grad = grad[:, : scores.shape[1], : scores.shape[2]]
        noise = torch.empty(scores.shape, dtype=scores.dtype)
        return cls(scores, frozen, acting, grad, mask, slope, noise, torch.ones_like(mask[:, :1, :1]), kept)


def signed_constant(net: StackedMLP, multiplier: float = 1.0) -> StackedMLP:
    """Return a copy whose weights are sign(w) * std, std over the weights of the layer and replicate; biases stay.

    Zhou et al. 2019 (section 5) take it of Glorot's initial weights, `multiplier` is theirs; of He's initial
    weights it is the signed Kaiming constant of Ramanujan et al. 2020 (section 4), up to sampling.
    """
    copy = net.clone()
    for weights in copy.weights:
        std = weights.flatten(1).std(1, correction=0)
        weights.sign_().mul_(multiplier * std[:, None, None])
    return copy


def sampled_accuracy(net: ScoredMLP, examples: Examples, samples: int = SAMPLES) -> Tensor:
    """Return the accuracy in [0, 1] of each replicate, [R] float64, averaged over Bernoulli masks (Zhou et al. 2019).

    The masks come from the stream "eval" (0, 1, ...), so more samples extend the same average. Popup has one mask.
    """
    if samples < 1:
        raise BadInput.of("samples", samples, ">= 1", f"The paper uses {SAMPLES}.")
    count = samples if net.mode == "bernoulli" else 1
    return 1 - torch.stack([evaluate(net.subnet(s), examples)["error"] for s in range(count)]).mean(0)


def _largest(values: Tensor, count: int) -> None:
    """Overwrite values [R, out, in] by 1 where they are among the `count` largest of their replicate, else by 0."""
    flat = values.flatten(1)
    best = flat >= _bar(flat, flat.shape[1] - count)[:, None]
    if bool((best.sum(1) != count).any()):  # equals at the bar: the slow way knows the tie rule
        best = allocation.keep({"scores": flat}, {"scores": count})["scores"]
    flat.copy_(best)


def _bar(values: Tensor, rank: int) -> Tensor:
    """Return the value of this rank (0 = smallest) in each row of values [R, n]."""
    if values.device.type != "cpu":
        return values.kthvalue(rank + 1, dim=1).values
    return values.new_tensor([float(_ranked(row, rank)) for row in values.numpy()])


def _ranked(row: np.ndarray, rank: int) -> np.floating:
    # Floyd & Rivest's idea: a sample says between which two values the rank lies, with four standard errors to
    # spare; only what lies between is sorted. Two to three times faster than a partition of everything.
    if len(row) >= FEW:
        sample = np.sort(row[::STRIDE])
        centre, margin = rank * len(sample) // len(row), 2 * int(len(sample) ** 0.5)
        low, high = sample[max(centre - margin, 0)], sample[min(centre + margin, len(sample) - 1)]
        below = rank - int(np.count_nonzero(row < low))
        between = row[(row >= low) & (row <= high)]
        if 0 <= below < len(between):
            row, rank = between, below
    return np.partition(row, rank)[rank]
