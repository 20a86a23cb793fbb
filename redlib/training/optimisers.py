"""Optimisers: rules as data, and their fused updates of a whole stack of nets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training.arguments import check_number, is_number

Rate = float | tuple[float, ...]
REMEMBERED = ("velocity", "mean", "square")  # the tensors of an optimiser that outlive a step


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent in torch's convention: v = momentum v + g; p -= lr v (weight decay is in g)."""

    lr: Rate = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        check_number("weight_decay", self.weight_decay, "0 leaves it out.")
        if not is_number(self.momentum) or not self.momentum < 1 or (self.nesterov and self.momentum == 0):
            raise BadInput.of("momentum", self.momentum, "0 <= momentum < 1, > 0 with nesterov", "Lower or set it.")


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1); `decoupled` weight decay makes it AdamW (Loshchilov & Hutter 2019)."""

    lr: Rate = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        check_number("weight_decay", self.weight_decay, "0 leaves it out.")
        if not is_number(self.eps) or self.eps == 0:
            raise BadInput.of("eps", self.eps, "a finite number > 0", "The default is 1e-8.")
        betas = self.betas if isinstance(self.betas, tuple | list) else ()
        if len(betas) != 2 or not all(is_number(beta) and beta < 1 for beta in betas):
            raise BadInput.of("betas", self.betas, "two numbers in [0, 1)", "The defaults are (0.9, 0.999).")


def AdamW(  # noqa: N802
    lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01
) -> Adam:
    """Return Adam with decoupled weight decay, torch's default strength."""
    return Adam(lr, betas, eps, weight_decay, decoupled=True)


Rule = SGD | Adam


def _check_rate(lr: Rate) -> None:
    rates = lr if isinstance(lr, tuple) else (lr,)
    if not rates or not all(is_number(rate) for rate in rates):
        raise BadInput.of(
            "lr", lr, "a number >= 0, or a tuple with one per replicate", "Write tuple(rates) for a list."
        )


class Update:
    """The optimiser state of one stack: tensors shaped like `flat`, and the number of steps taken."""

    def __init__(self, rule: Rule, net: StackedMLP | RaggedMLP) -> None:
        self.rule, self.net, self.steps = rule, net, 0
        self.gate = net.gate()
        names = ("velocity", "grad") if isinstance(rule, SGD) else ("grad", "mean", "square", "scratch")
        self.tensors = {name: torch.zeros_like(net.flat) for name in names if self._needs(name)}

    def step(self, x: Tensor, y: Tensor, loss: str, lr: float | Tensor) -> Tensor:
        """Take one step on batch (x, y) at rate `lr` (number, or tensor of one per replicate); return losses."""
        self.steps += 1
        if isinstance(self.rule, Adam):
            return self._adam(self.rule, x, y, loss, lr)
        if "grad" in self.tensors:
            return self._sgd(self.rule, x, y, loss, lr)
        return self._fused_sgd(self.rule, x, y, loss, lr)

    def _needs(self, name: str) -> bool:
        if isinstance(self.rule, Adam):
            return True
        if name == "velocity":
            return self.rule.momentum > 0
        return self.gate is not None or self.rule.nesterov

    def _fused_sgd(self, rule: SGD, x: Tensor, y: Tensor, loss: str, lr: float | Tensor) -> Tensor:
        # The matrix products of the backward pass accumulate straight into the velocity or the weights.
        flat, decay = self.net.flat, rule.weight_decay
        if rule.momentum:
            velocity = self.tensors["velocity"]
            losses = self.net.gradient(x, y, loss, out=velocity, beta=rule.momentum)
            if decay:
                velocity.add_(flat, alpha=decay)
            self._descend(velocity, lr)
            return losses
        if not isinstance(lr, Tensor):
            return self.net.gradient(x, y, loss, out=flat, beta=1.0 - lr * decay, scale=-lr)
        if decay:
            for block, rate in zip(self.net.blocks, self.net.spread(lr), strict=True):
                block.mul_(1 - rate * decay)
        return self.net.gradient(x, y, loss, out=flat, beta=1.0, scale=-lr)

    def _sgd(self, rule: SGD, x: Tensor, y: Tensor, loss: str, lr: float | Tensor) -> Tensor:
        grad = self.tensors["grad"]
        losses = self._gated_gradient(x, y, loss, rule.weight_decay)
        if rule.momentum:
            velocity = self.tensors["velocity"].mul_(rule.momentum).add_(grad)
            grad = grad.add_(velocity, alpha=rule.momentum) if rule.nesterov else velocity
        self._descend(grad, lr)
        return losses

    def _adam(self, rule: Adam, x: Tensor, y: Tensor, loss: str, lr: float | Tensor) -> Tensor:
        grad, mean, square, scratch = (self.tensors[k] for k in ("grad", "mean", "square", "scratch"))
        losses = self._gated_gradient(x, y, loss, 0.0 if rule.decoupled else rule.weight_decay)
        first, second = rule.betas
        mean.lerp_(grad, 1 - first)
        square.mul_(second).addcmul_(grad, grad, value=1 - second)
        if rule.decoupled and rule.weight_decay:
            torch.mul(self.net.flat, rule.weight_decay, out=grad)  # the gradient has been used
            self._descend(grad if self.gate is None else grad.mul_(self.gate), lr)
        # Bias corrections in Python's float64: a running float32 product would drift and break resuming. They
        # are numbers, folded into eps and the rate, so that they cost no pass over the parameters.
        root = (1 - second**self.steps) ** 0.5
        torch.sqrt(square, out=scratch).add_(rule.eps * root)
        self._descend(mean, lr, root / (1 - first**self.steps), scratch)
        return losses

    def _gated_gradient(self, x: Tensor, y: Tensor, loss: str, decay: float) -> Tensor:
        grad = self.tensors["grad"]
        losses = self.net.gradient(x, y, loss, out=grad)
        if decay:
            grad.add_(self.net.flat, alpha=decay)
        if self.gate is not None:
            grad.mul_(self.gate)
        return losses

    def _descend(
        self, direction: Tensor, lr: float | Tensor, factor: float = 1.0, divisor: Tensor | None = None
    ) -> None:
        """Subtract lr * factor * direction / divisor from the parameters; `divisor` is overwritten."""
        if not isinstance(lr, Tensor):
            if divisor is None:
                self.net.flat.add_(direction, alpha=-lr * factor)
            else:
                self.net.flat.addcdiv_(direction, divisor, value=-lr * factor)
            return
        if divisor is not None:
            direction = torch.div(direction, divisor, out=divisor)
        rates = self.net.spread(-lr * factor)
        for block, part, rate in zip(self.net.blocks, self.net.views(direction), rates, strict=True):
            block.addcmul_(part, rate)
