"""Early stopping as a probe: the best moment by validation loss, and what the net of that moment does on test data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.training.checks import check_data, check_examples
from redlib.training.engines import AutogradEngine
from redlib.training.examples import Examples
from redlib.training.execution import evaluator
from redlib.training.history import History
from redlib.training.optimisers import SGD
from redlib.training.record import Probe, mean_loss_and_error


def early_stop(
    net: StackedMLP | Sequence[nn.Module],
    validation: Examples,
    test: Examples,
    calls: int,
    loss: str = "cross_entropy",
    precision: str = "fp32",
) -> Probe:
    """Return the probe of early stopping for a stack or for modules; see `EarlyStop`."""
    if isinstance(net, StackedMLP):
        return EarlyStop(net, validation, test, calls, loss)
    return EarlyModules(validation, test, calls, loss, precision)


class EarlyStop:
    """A probe of stacked MLPs for `fit(probes={"early": ...})`, to be called `calls` times in a run.

    At each call it measures the validation loss and error and keeps a copy of the best weights; at the last one it
    measures the test error there and at the end, two tests instead of one a probe. Returns [R, 4]: validation loss,
    validation error, and (NaN before the last call) test error at the best moment and at the end. One object
    serves one run of `fit`, which can write no checkpoints: they would not hold what it keeps.
    """

    remembers = True

    def __init__(self, net: StackedMLP, validation: Examples, test: Examples, calls: int, loss: str = "cross_entropy"):
        _check(calls, validation, test, partial(check_examples, net))
        self.validation, self.test = (part.with_inputs(net.pad(part.x.flatten(1))) for part in (validation, test))
        self.calls, self.loss = calls, loss
        self.seen: WeakKeyDictionary[StackedMLP, tuple[int, Tensor, StackedMLP]] = WeakKeyDictionary()

    def __call__(self, net: StackedMLP) -> Tensor:
        """Return [R, 4] of this chunk of replicates; see the class."""
        loss, error = self._measure(net, self.validation)
        count, least, best = self.seen.get(net, (0, torch.full_like(loss, torch.inf), net.clone()))
        better = loss < least
        for mine, theirs in zip(best.blocks, net.blocks, strict=True):
            mine[better] = theirs[better]
        self.seen[net] = count + 1, torch.minimum(loss, least), best
        tests = torch.full((2, len(loss)), torch.nan, dtype=loss.dtype)
        if count + 1 == self.calls:
            tests = torch.stack([self._measure(best, self.test)[1], self._measure(net, self.test)[1]])
        return torch.stack([loss, error, *tests], 1)

    def _measure(self, net: StackedMLP, part: Examples) -> tuple[Tensor, Tensor]:
        return mean_loss_and_error(evaluator(net, self.loss), part.to(net.flat.device), self.loss)


class EarlyModules:
    """The same probe for modules, one per replicate; it keeps a copy of each one's best state."""

    remembers = True

    def __init__(
        self, validation: Examples, test: Examples, calls: int, loss: str = "cross_entropy", precision: str = "fp32"
    ):
        _check(calls, validation, test, check_data)
        self.validation, self.test, self.calls, self.loss, self.precision = validation, test, calls, loss, precision
        self.count = 0
        self.least: dict[int, float] = {}
        self.states: dict[int, dict[str, Tensor]] = {}

    def __call__(self, nets: Sequence[nn.Module]) -> Tensor:
        """Return [R, 4], as `EarlyStop` does."""
        loss, error = self._measure(nets, self.validation)
        self.count += 1
        for r, (net, value) in enumerate(zip(nets, loss.tolist(), strict=True)):
            if value < self.least.get(r, float("inf")):
                self.least[r], self.states[r] = value, copy.deepcopy(net.state_dict())
        tests = torch.full((2, len(nets)), torch.nan, dtype=loss.dtype)
        if self.count == self.calls:
            best = copy.deepcopy(list(nets))
            for r, net in enumerate(best):
                net.load_state_dict(self.states.get(r, net.state_dict()))
            tests = torch.stack([self._measure(some, self.test)[1] for some in (best, nets)])
        return torch.stack([loss, error, *tests], 1)

    def _measure(self, nets: Sequence[nn.Module], part: Examples) -> tuple[Tensor, Tensor]:
        engine = AutogradEngine(list(nets), SGD(), self.loss, self.precision)
        return mean_loss_and_error(engine, part.to(engine.device), self.loss)


def _check(calls: int, validation: Examples, test: Examples, check: Callable[[Examples, str], None]) -> None:
    """Raise BadInput for no call, and for a set that `check` refuses."""
    if calls < 1:
        raise BadInput.of("calls", calls, ">= 1, the number of probes", "Probe at least at the end.")
    for name, part in (("validation", validation), ("test", test)):
        check(part, name)


def early_values(history: History, name: str = "early") -> dict[str, Tensor]:
    """Return what the probe `name` saw: validation_loss and validation_error [R, T], and per replicate [R]

    early_step (steps at the least validation loss), early_error and final_error (shares of the test set).
    """
    values = history[name]
    at = values[:, :, 0].argmin(1)
    return {
        "validation_loss": values[:, :, 0],
        "validation_error": values[:, :, 1],
        "early_step": history.steps[at],
        "early_error": values[:, -1, 2],
        "final_error": values[:, -1, 3],
    }
