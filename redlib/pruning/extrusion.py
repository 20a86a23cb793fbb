"""Information extrusion: a growing penalty drives the weights to be cut to zero before the cut (Bai et al. 2022).

Random Sparse network Transformation, the method of the dual lottery ticket hypothesis: choose masks, at random;
train the dense net with the penalty lambda_t / 2 * |w_cut|^2, where lambda_t grows in small steps up to a bound, so
that what the doomed weights know moves into the kept ones; cut; then train the sparse net like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.masks import apply, check_masks, weights_of
from redlib.training import Examples, fit
from redlib.training.optimisers import Rule
from redlib.training.schedules import Schedule


@dataclass(frozen=True)
class Growth:
    """lambda_t = min(bound, increment * (1 + t // every)) at step t = 0, 1, ...; the defaults are the authors'.

    Their schedule reaches its bound after 50,000 steps and stays there for 40,000 (code of Bai et al. 2022);
    `growth_over` makes one that fits a shorter run.
    """

    increment: float = 1e-4
    every: int = 5
    bound: float = 1.0

    def __post_init__(self) -> None:
        if not (self.increment >= 0 and self.bound >= 0 and self.every >= 1):
            given = (self.increment, self.every, self.bound)
            raise BadInput.of(
                "increment, every, bound", given, ">= 0, >= 1, >= 0", "The penalty starts small and grows."
            )

    def at(self, step: int) -> float:
        """Return lambda at this step (0 is the first)."""
        return min(self.bound, self.increment * (1 + step // self.every))


def growth_over(steps: int, bound: float = 1.0, every: int = 5, share: float = 0.5) -> Growth:
    """Return the growth that reaches `bound` after `share` of `steps` (the authors': 5/9) and stays there."""
    if steps < 1 or not 0 < share <= 1:
        raise BadInput.of("steps, share", (steps, share), ">= 1 and in (0, 1]", "Say how long the penalty grows.")
    return Growth(bound / max(1, round(share * steps / every)), every, bound)


class ExtrudingMLP(StackedMLP):
    """A dense stack whose gradient holds lambda_t * w on the weights to be cut; nothing is masked.

    `steps` counts the gradients each replicate has taken. It follows the replicates through chunks and copies, but is
    not in the state that `fit` resumes from: resume with the net itself. `gradient` returns the loss of the data,
    without the penalty.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seeds: Sequence[int],
        flat: Tensor,
        activation: str,
        cut: Tensor,
        growth: Growth,
        steps: Sequence[int] | None = None,
    ):
        super().__init__(sizes, seeds, flat, activation)
        self.cut, self.growth, self.steps = cut, growth, list(steps or [0] * self.replicates)
        self._penalty = torch.empty_like(flat)

    @classmethod
    def create(  # type: ignore[override]
        cls, net: StackedMLP, masks: Mapping[str, Tensor], growth: Growth
    ) -> ExtrudingMLP:
        """Return a copy of `net` whose weights outside `masks` (True = kept) will be penalised.

        Raises BadInput for a net that is masked already, and for masks that do not fit or cut nothing.
        """
        check_masks(masks, weights_of(net))
        if net.gate() is not None:
            raise BadInput.of("masks of the net", "some", "none", "A cut weight has nothing to give: pass a dense net.")
        cut = torch.zeros_like(net.flat)
        for view, mask in zip(net.views(cut), masks.values(), strict=True):
            view[:, : mask.shape[1], : mask.shape[2]] = (~mask).to(cut.dtype)
        made = cls(net.sizes, net.seeds, net.flat.clone(), net.activation, cut, growth)
        if bool((made.cut_norm() == 0).any()):
            raise BadInput.of("norm of the weights to cut", 0.0, "> 0 in every replicate", "Masks must cut something.")
        return made

    def cut_norm(self) -> Tensor:
        """Return the Euclidean norm of the weights to be cut, [R]."""
        squares = [(w * c).square().sum((1, 2)) for w, c in zip(self.blocks, self.views(self.cut), strict=True)]
        return torch.stack(squares).sum(0).sqrt()

    def plain(self) -> StackedMLP:
        """Return a copy of the weights as a plain dense stack."""
        return StackedMLP(self.sizes, self.seeds, self.flat.clone(), self.activation)

    def apply_masks(self, masks: Sequence[Tensor | None]) -> None:
        raise BadInput.of("masks", "given", "none", "An extruding net is dense: mask what `plain` returns.")

    def to(self, device: torch.device | str) -> ExtrudingMLP:
        if self.flat.device == torch.device(device):
            return self
        return self._with(self.seeds, self.flat.to(device), self.cut.to(device), self.steps)

    def clone(self) -> ExtrudingMLP:
        return self._with(self.seeds, self.flat.clone(), self.cut, self.steps)

    def select(self, replicates: Sequence[int]) -> ExtrudingMLP:
        index = torch.as_tensor(replicates, device=self.flat.device)
        flat, cut = (torch.cat([v[index].flatten() for v in self.views(part)]) for part in (self.flat, self.cut))
        seeds, steps = ([values[r] for r in replicates] for values in (self.seeds, self.steps))
        return self._with(seeds, flat, cut, steps)

    def put(self, part: StackedMLP, start: int, count: int) -> None:
        super().put(part, start, count)
        self.steps[start : start + count] = part.steps[:count]  # type: ignore[attr-defined]  # part is a selection of this net

    def gradient(
        self, x: Tensor, y: Tensor, loss: str, out: Tensor, beta: float = 0.0, scale: float | Tensor = 1.0
    ) -> Tensor:
        strengths = [self.growth.at(step) for step in self.steps]
        self.steps = [step + 1 for step in self.steps]
        if not any(strengths):
            return super().gradient(x, y, loss, out, beta, scale)
        torch.mul(self.flat, self.cut, out=self._penalty)  # before `out`, which may be `flat`, is overwritten
        losses = super().gradient(x, y, loss, out, beta, scale)
        rates = self.spread(self.flat.new_tensor(strengths) * scale)
        for view, part, rate in zip(self.views(out), self.views(self._penalty), rates, strict=True):
            view.addcmul_(part, rate)
        return losses

    def _with(self, seeds: Sequence[int], flat: Tensor, cut: Tensor, steps: Sequence[int]) -> ExtrudingMLP:
        if self.masks is not None:
            self.apply_masks(self.masks)  # raises: masks that were set behind its back would be lost here
        return ExtrudingMLP(self.sizes, seeds, flat, self.activation, cut, self.growth, steps)


def extrude(
    net: StackedMLP,
    masks: Mapping[str, Tensor],
    examples: Examples,
    *,
    optimizer: Rule,
    steps: int,
    batch_size: int | None = 128,
    growth: Growth | None = None,
    loss: str = "cross_entropy",
    schedule: Schedule | None = None,
) -> tuple[StackedMLP, Tensor]:
    """Train a copy of `net` under the growing penalty, then cut: return (masked net, ratio [R]).

    The ratio is the norm of the doomed weights just before the cut over the one at the start: what the cut still
    destroys. `growth` defaults to `growth_over(steps)`. The net is ready to be trained on; `net` stays as it is.
    Adam normalises the penalty's gradient like any other: doomed weights then fall by about its rate a step,
    however large lambda is.
    """
    extruding = ExtrudingMLP.create(net, masks, growth or growth_over(steps))
    before = extruding.cut_norm()
    fit(
        extruding, examples, optimizer=optimizer, steps=steps, batch_size=batch_size, loss=loss, schedule=schedule,
    )  # fmt: skip
    ratio = extruding.cut_norm() / before
    cut = extruding.plain()
    apply(cut, masks)
    return cut, ratio
