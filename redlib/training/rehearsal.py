"""Trying a module out on a copy: which memory layout it stands, what it returns, whether it takes a single example."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from redlib.data.streams import torch_rng

Forward = Callable[[nn.Module, Tensor, torch.memory_format], Any]
KNOWN = ("torch.nn.", "redlib.")  # packages whose layers stand channels_last, and of which `draws` knows who draws
LAYOUTS = (torch.channels_last, torch.contiguous_format)
CHANCE = (_DropoutNd, nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
NARROW = 8  # channels
settled: WeakKeyDictionary[nn.Module, torch.memory_format] = WeakKeyDictionary()


def known(module: nn.Module) -> bool:
    """Return whether all parts of a module are layers of torch or of this package, none with a `forward` of its own."""
    return all(
        f"{type(part).__module__}.".startswith(KNOWN) and "forward" not in vars(part) for part in module.modules()
    )


def draws(module: nn.Module) -> bool:
    """Return whether a module may draw from torch's global generator while it trains: dropout, or code unknown here.

    Layers of this package draw from generators of their own.
    """
    return not known(module) or any(
        isinstance(part, CHANCE) or bool(getattr(part, "dropout", 0)) for part in module.modules()
    )


@contextmanager
def drawing(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Set torch's global generator from the stream "dropout" of a seed and a step, and restore it at the end.

    What a net draws then depends neither on the nets beside it nor on whether the run was resumed.
    """
    word = torch_rng(seed, "dropout", step).initial_seed()
    with kept_random(device):
        torch.random.default_generator.manual_seed(word)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(word)
        yield


@contextmanager
def kept_random(device: torch.device) -> Iterator[None]:
    """Restore torch's global random state at the end, that of the CPU and of `device`."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def rehearsed(module: nn.Module, x: Tensor, forward: Forward, layout: torch.memory_format) -> Any:
    """Return the outputs of a copy of `module` in training mode on x [B, ...], after a backward pass through it.

    Neither the module nor torch's random state changes. Raises what the copy, or copying, raises.
    """
    with kept_random(x.device), torch.enable_grad():
        twin = laid_out(copy.deepcopy(module).train(), layout)
        outputs = forward(twin, x, layout)
        if isinstance(outputs, Tensor) and outputs.requires_grad:
            outputs.float().sum().backward()
    return outputs


def layout_of(module: nn.Module, x: Tensor, forward: Forward) -> torch.memory_format:
    """Return the layout `module` is trained in, and put it there: channels_last where a rehearsal on x [B, ...] passes.

    A net that passes in neither layout keeps channels_last: its error is not one of the layout.
    """
    if module not in settled:
        settled[module] = _passing(module, twice(x), forward)
    laid_out(module, settled[module])
    return settled[module]


def sure_layout(module: nn.Module) -> torch.memory_format | None:
    """Return the layout that `module` stands, and put it there, where no rehearsal is needed; None where one is."""
    if not known(module) or any(values.dim() > 4 for values in module.parameters()):
        return None
    layout = _allowed(module)[0]
    laid_out(module, layout)
    return layout


def laid_out(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Return `module` itself with its weights in a layout, where it has two-dimensional convolutions."""
    if _convolves(module):
        module.to(memory_format=layout)  # type: ignore[call-overload]
    return module


def twice(x: Tensor) -> Tensor:
    """Return the first example of x [B, ...] two times: enough for BatchNorm."""
    return x[:1].detach().repeat(2, *[1] * (x.dim() - 1))


def _passing(module: nn.Module, x: Tensor, forward: Forward) -> torch.memory_format:
    if x.dim() != 4 and not _convolves(module):
        return torch.channels_last  # nothing in it has a layout
    for layout in _allowed(module):
        try:
            rehearsed(module, x, forward, layout)
        except Exception:  # whatever a user's code raises
            continue
        return layout
    return _allowed(module)[0]


def _allowed(module: nn.Module) -> tuple[torch.memory_format, ...]:
    """Return the layouts in which no kernel writes beyond its memory, the quicker one first.

    On a CPU torch 2.13 does in the backward pass of strided 1 x 1 convolutions of fewer than 8 channels, channels_last:
    the process aborts sooner or later.
    """
    for part in module.modules():
        if not isinstance(part, nn.Conv2d) or part.weight.device.type != "cpu":
            continue
        if part.in_channels < NARROW and set(part.kernel_size) == {1} and max(part.stride) > 1:
            return LAYOUTS[1:]
    return LAYOUTS


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) for part in module.modules())


def source_states(module: nn.Module) -> dict[str, Any]:
    """Return, by name of the layer, the states of the generators that layers of this package draw from (`source`)."""
    found = _sources(module).items()
    return {
        name: source.get_state() if isinstance(source, torch.Generator) else copy.deepcopy(source.bit_generator.state)
        for name, source in found
    }


def set_sources(module: nn.Module, states: dict[str, Any]) -> None:
    """Set what `source_states` returned."""
    for name, source in _sources(module).items():
        if isinstance(source, torch.Generator):
            source.set_state(states[name])
        else:
            source.bit_generator.state = states[name]


def _sources(module: nn.Module) -> dict[str, torch.Generator | np.random.Generator]:
    pairs = ((name, getattr(part, "source", None)) for name, part in module.named_modules())
    return {name: source for name, source in pairs if isinstance(source, torch.Generator | np.random.Generator)}
