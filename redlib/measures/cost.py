"""What a net costs: arithmetic, parameters, bytes, and seconds on this machine."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from math import isclose, nan, prod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from redlib.data.streams import rng
from redlib.errors import BadInput

Floats = NDArray[np.float64]
Call = Callable[[Tensor], object]
Layers = list[tuple[Tensor, Tensor]]
Name = TypeVar("Name", bound=Hashable)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
COUNTED = (nn.Linear, nn.Bilinear, *CONVOLUTIONS, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
LAYOUTS = ("dense", "bitmask", "csr", "coo", "two_of_four")
WARM_UP = 1  # rounds before the first that counts: allocators and the choice of kernels settle


def flops(module: nn.Module, input_shape: Sequence[int], dtype: torch.dtype | None = None) -> int:
    """Return the floating-point operations of one forward pass of ONE example of this shape (no batch axis).

    Two (multiply, add) for every product that torch's own counter sees: convolutions, transposed or not, and all matrix
    products, so those of linear, recurrent and attention parts (with the scores of all pairs of tokens) and of a
    module's own code. Biases, norms, activations and whatever else works value by value are left out, as is customary.
    Weights that are zero count in full: dense kernels do multiply by them. The example is of zeros, of the type of the
    parameters, or of `dtype` where the net takes another (tokens are torch.long); its batch axis is the first one.

    Raises BadInput where a part with weights ran and none of its products could be counted.
    """
    like = next(module.parameters(), torch.empty(0))
    x = torch.zeros(1, *input_shape, dtype=dtype or like.dtype, device=like.device)
    seen: dict[nn.Module, int] = {}
    counter = FlopCounterMode(display=False)

    def before(part: nn.Module, inputs: object) -> None:
        seen[part] = seen.get(part, 0) - counter.get_total_flops()

    def after(part: nn.Module, inputs: object, outputs: object) -> None:
        seen[part] += counter.get_total_flops()

    parts = [part for part in module.modules() if isinstance(part, COUNTED)]
    hooks = [part.register_forward_pre_hook(before) for part in parts]
    hooks += [part.register_forward_hook(after) for part in parts]
    try:
        with evaluating(module), torch.no_grad(), _visible(), counter:
            module(x)
    finally:
        for hook in hooks:
            hook.remove()
    if blind := sorted({type(part).__name__ for part, found in seen.items() if not found}):
        raise BadInput.of("parts of the net", blind, "such as torch can count", "Count them by hand.")
    return counter.get_total_flops()


def parameters(module: nn.Module) -> int:
    """Return the number of parameters, zeros included; shared ones count once."""
    return sum(values.numel() for values in module.parameters())


def bytes_of(module: nn.Module) -> int:
    """Return the bytes of all parameters and buffers (running statistics, masks); shared ones count once."""
    return sum(values.numel() * values.element_size() for values in [*module.parameters(), *module.buffers()])


def storage_bytes(
    shape: Sequence[int], kept: int, layout: str, value_bytes: float = 4, index_bytes: float = 4
) -> float:
    """Return the bytes of one weight matrix or filter bank [out, ...] of which `kept` weights are not cut.

    dense        every weight
    bitmask      one bit a weight, and the values kept
    csr          a start per row (and the end), a column and a value for each weight kept
    coo          a row, a column and a value for each weight kept
    two_of_four  two values of every four and two bits each for their places; NaN unless exactly half is kept

    Filters count as one row each. Raises BadInput for an unknown layout, or more weights kept than there are.
    """
    size, rows = prod(shape), shape[0]
    if not 0 <= kept <= size:
        raise BadInput.of("weights kept", kept, f"0 <= kept <= {size}", "Count the True entries of the mask.")
    found = {
        "dense": size * value_bytes,
        "bitmask": -(-size // 8) + kept * value_bytes,
        "csr": (rows + 1) * index_bytes + kept * (index_bytes + value_bytes),
        "coo": kept * (2 * index_bytes + value_bytes),
        "two_of_four": kept * (value_bytes + 2 / 8) if isclose(2 * kept, size) and size % 4 == 0 else nan,
    }
    if layout not in found:
        raise BadInput.of("layout", layout, f"one of {LAYOUTS}", "Name one of these.")
    return float(found[layout])


def storage_table(shapes: Mapping[str, Sequence[int]], counts: Sequence[Mapping[str, int]]) -> Floats:
    """Return the bytes of all layers of these shapes in each of LAYOUTS and for each number of weights kept, [L, D].

    `counts` are D of {layer: weights kept}. 32-bit values and indices; biases are left out. Errors as above.
    """
    table = [
        [sum(storage_bytes(shape, count[name], layout) for name, shape in shapes.items()) for count in counts]
        for layout in LAYOUTS
    ]
    return np.array(table)


def csr(net: nn.Module, batch_last: bool = True) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of a ReLU MLP with its weights as CSR matrices, [B, inputs] -> [B, outputs].

    With `batch_last` activations are [units, B], which torch's kernels like best; else [B, units] as in `linear`.
    BadInput for a net that is more than linear layers with biases and ReLUs.
    """
    linear = [part for part in net.modules() if isinstance(part, nn.Linear)]
    plain = (nn.Linear, nn.ReLU, nn.Sequential, nn.Flatten, nn.Dropout, nn.Identity)
    others = [type(part).__name__ for part in net.modules() if type(part) not in plain]
    if others or not linear or any(part.bias is None for part in linear):
        raise BadInput.of("parts of the net", others, "Linear layers with biases, and ReLU", "Pass a plain MLP.")
    layers = [(_csr(part.weight.detach()), part.bias.detach()) for part in linear]
    return torch.no_grad()(partial(_batch_last if batch_last else _batch_first, layers))


def training_step(net: nn.Module, y: Tensor, lr: float = 1e-3) -> Callable[[Tensor], None]:
    """Return a function that makes one SGD step of cross-entropy on inputs [B, ...] and the labels y [B]."""
    optimizer = torch.optim.SGD(net.parameters(), lr)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def latency(module: Call, x: Tensor, repeats: int = 30, threads: int = 1) -> Floats:
    """Return the seconds of `repeats` calls module(x), [repeats], every other one timed; see `interleaved`."""
    return interleaved({"": module}, x, repeats, threads)[""]


def interleaved(modules: Mapping[Name, Call], x: Tensor, repeats: int = 30, threads: int = 1) -> dict[Name, Floats]:
    """Return the seconds of each call, {name: [repeats]}, timing all in every round, in an order drawn anew.

    So what slows the machine for a while slows all of them. Every timed call follows an untimed one of the same
    module: its own weights are in the cache then, as when it runs alone. Modules run in evaluation and inference
    mode, other callables (a training step) as they are; torch has `threads` threads meanwhile; modes and threads
    are restored. Raises BadInput when there is nothing to time.
    """
    for what, value in {"number of modules": len(modules), "repeats": repeats, "threads": threads}.items():
        if value < 1:
            raise BadInput.of(what, value, ">= 1", "There would be nothing to time.")
    times: dict[Name, list[float]] = {name: [] for name in modules}
    names = list(modules)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_threads(threads))
        calls = {name: _prepared(call, stack) for name, call in modules.items()}
        for repeat in range(-WARM_UP, repeats):
            for index in rng(0, "order", repeat + WARM_UP).permutation(len(names)):
                calls[names[index]](x)
                seconds = _seconds(calls[names[index]], x)
                if repeat >= 0:
                    times[names[index]].append(seconds)
    return {name: np.array(seconds) for name, seconds in times.items()}


def timed(
    calls: Mapping[str, Call | Sequence[Call]], x: Tensor, repeats: int = 30, threads: int = 1
) -> dict[str, Floats]:  # fmt: skip
    """Return the seconds of calls, [repeats], and of lists of D calls, [D, repeats], all of them `interleaved`."""
    lists = {name: list(one) if isinstance(one, list | tuple) else [one] for name, one in calls.items()}
    flat = {(name, i): call for name, each in lists.items() for i, call in enumerate(each)}
    times = interleaved(flat, x, repeats, threads)
    rows = {name: np.stack([times[name, i] for i in range(len(each))]) for name, each in lists.items()}
    return {name: rows[name] if isinstance(one, list | tuple) else rows[name][0] for name, one in calls.items()}


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and its parts into evaluation mode, and each back into its own mode at the end."""
    before = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for part, training in before.items():
            part.training = training


@contextlib.contextmanager
def _visible() -> Iterator[None]:
    """Keep torch from kernels that do many products in one call, where its counter sees none of them."""
    libraries: list[Any] = [torch.backends.mkldnn, torch.backends.cudnn]
    before, fast = [library.enabled for library in libraries], torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for library in libraries:
            library.enabled = False
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for library, enabled in zip(libraries, before, strict=True):
            library.enabled = enabled


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def _prepared(call: Call, stack: contextlib.ExitStack) -> Call:
    if not isinstance(call, nn.Module):
        return call
    stack.enter_context(evaluating(call))
    return torch.inference_mode()(call.__call__)


def _seconds(call: Call, x: Tensor) -> float:
    _wait(x)
    start = time.perf_counter()
    call(x)
    _wait(x)
    return time.perf_counter() - start


def _wait(x: Tensor) -> None:
    """Wait for an accelerator, which returns from a call before the work is done."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def _csr(weights: Tensor) -> Tensor:
    """Return a matrix in compressed rows, with the 32-bit indices that the kernels take without converting them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        sparse = weights.to_sparse_csr()
        starts, columns = sparse.crow_indices().int(), sparse.col_indices().int()
        return torch.sparse_csr_tensor(starts, columns, sparse.values(), weights.shape, check_invariants=True)


def _batch_last(layers: Layers, x: Tensor) -> Tensor:
    h = x.T.contiguous()
    for weights, bias in layers[:-1]:
        h = torch.addmm(bias[:, None], weights, h).relu_()
    weights, bias = layers[-1]
    return torch.addmm(bias[:, None], weights, h).T


def _batch_first(layers: Layers, x: Tensor) -> Tensor:
    for weights, bias in layers[:-1]:
        x = functional.linear(x, weights, bias).relu_()
    return functional.linear(x, *layers[-1])
