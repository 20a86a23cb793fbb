"""What pruning saves on this machine (LTH-32): seconds and bytes of masked, compacted and sparse nets.

Timings are the one result here that is not deterministic: a seed is a repetition with a fresh net, and all variants
of it are timed in turns, so that what slows the machine slows them all. Run it alone, in one sweep of one
configuration: work beside it on the other cores would be timed as well.
"""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from redlib.data.streams import rng, torch_rng
from redlib.errors import BadInput
from redlib.measures import cost
from redlib.nets import StackedMLP
from redlib.nets.convnets import cnn5, seeded
from redlib.pruning import allocation, masks
from redlib.pruning.compaction import compact, filter_scores, silence, top_filters, unstacked

Arrays = dict[str, np.ndarray]
Layers = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SpeedConfig:
    """A plain MLP (LeNet-300-100) and a conv net, timed whole, masked, sparse, and with fewer units."""

    sizes: tuple[int, ...] = (784, 300, 100, 10)
    batch: int = 128
    densities: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    drop_in_densities: tuple[float, ...] = (0.1, 0.05, 0.02, 0.01)  # slow above
    unit_share: float = 0.5  # units KEPT in every hidden layer, and filters in every convolution
    conv_width: int = 16  # channels of the first layer of the 5-layer CNN
    conv_image: int = 28
    conv_batch: int = 8
    repeats: int = 30
    threads: int = 1
    seeds: tuple[int, ...] = tuple(range(5))


def run(config: SpeedConfig) -> Arrays:
    """Return seconds per call of every variant, bytes, FLOPs, and how exact the compaction is.

    densities            [D] fraction of weights kept, the same in every layer, largest magnitudes first
    drop_in_densities    [E] those of csr_drop_in_s
    dense_s              [S, repeats] forward pass of the net as it is
    half_units_s         [S, repeats] with `unit_share` of the hidden units kept (ℓ1 norm), compacted
    masked_s             [S, D, repeats] cut weights set to zero once, then run as dense
    masked_each_pass_s   [S, repeats] lowest density, the mask applied in every forward pass, as while training
    csr_s                [S, D, repeats] CSR weights times activations [units, batch], transposing the inputs included
    csr_drop_in_s        [S, E, repeats] CSR weights put into `linear`, activations [batch, units]
    train_dense_s, train_half_units_s, train_masked_s  [S, repeats] one SGD step, the last at the lowest density
    conv_dense_s, conv_half_s  [S, repeats] forward pass of the conv net, and with `unit_share` of its filters
    {mlp,conv}_{bytes,flops}   [S, 2] of the dense and the compacted net, FLOPs of one example
    {mlp,conv}_difference      [S] largest absolute difference of outputs between silenced and compacted net
    stored_bytes         [L, D] of all weight matrices in the layouts `cost.LAYOUTS`, biases left out

    Raises BadInput for a density that leaves a layer empty, and for no seed.
    """
    if not config.seeds:
        raise BadInput.of("seeds", config.seeds, "at least one seed", "A seed is a repetition with a fresh net.")
    runs = [_mlp(config, seed) | _conv(config, seed) for seed in config.seeds]
    arrays = {name: np.stack([found[name] for found in runs]) for name in runs[0]}
    grids = {name: np.array(getattr(config, name)) for name in ("densities", "drop_in_densities")}
    return arrays | grids | {"stored_bytes": stored_bytes(config)}


def stored_bytes(config: SpeedConfig) -> np.ndarray:
    """Return the bytes of all weights of the MLP in each layout and at each density [L, D], 32-bit values and indices.

    Two of four exists at half density only (NaN elsewhere), and needs a mask of that very pattern.
    """
    shapes = {str(i): (out, into) for i, (into, out) in enumerate(itertools.pairwise(config.sizes))}
    counts = [allocation.layer_counts(shapes, density) for density in config.densities]
    table = [
        [sum(cost.storage_bytes(shape, count[name], layout) for name, shape in shapes.items()) for count in counts]
        for layout in cost.LAYOUTS
    ]
    return np.array(table)


def pruned(net: nn.Module, density: float, every_pass: bool = False) -> nn.Module:
    """Return a copy of `net` that keeps the largest `density` of each layer's weights, at their values.

    The masks stay and act in every pass, or (the default) the cut weights are plain zeros.
    """
    weights = masks.weights_of(net)
    counts = allocation.layer_counts(allocation.shapes_of(weights), density)
    kept = allocation.keep({name: values.abs() for name, values in weights.items()}, counts)
    cut = copy.deepcopy(net)
    masks.apply(cut, kept)
    if not every_pass:
        masks.remove(cut)
    return cut


def csr(net: nn.Module, batch_last: bool = True) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of a ReLU MLP with its weights as CSR matrices, [B, inputs] -> [B, outputs].

    With `batch_last` activations are [units, B], which torch's kernels like best; else [B, units] as in `linear`.
    """
    linear = [part for part in net.modules() if isinstance(part, nn.Linear)]
    layers = [(_csr(part.weight.detach()), part.bias.detach()) for part in linear]
    return torch.no_grad()(functools.partial(_batch_last if batch_last else _batch_first, layers))


def training_step(net: nn.Module, y: Tensor, lr: float = 1e-3) -> Callable[[Tensor], None]:
    """Return a function that makes one SGD step of cross-entropy on inputs [B, d] and the labels y [B]."""
    optimizer = torch.optim.SGD(net.parameters(), lr)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def _mlp(config: SpeedConfig, seed: int) -> Arrays:
    net = unstacked(StackedMLP.create(config.sizes, [seed]), 0)
    x = torch.randn(config.batch, config.sizes[0], generator=torch_rng(seed, "eval"))
    y = torch.from_numpy(rng(seed, "eval", 1).integers(0, config.sizes[-1], config.batch))
    small, facts = _compacted(net, x, config, "mlp")
    worst = pruned(net, min(config.densities), every_pass=True)
    arms: dict[str, cost.Call] = {"dense": net, "half_units": small, "masked_each_pass": worst}
    for i, density in enumerate(config.densities):
        arms[f"masked {i}"] = pruned(net, density)
        arms[f"csr {i}"] = csr(pruned(net, density))
    for i, density in enumerate(config.drop_in_densities):
        arms[f"csr_drop_in {i}"] = csr(pruned(net, density), batch_last=False)
    found = gathered(cost.interleaved(arms, x, config.repeats, config.threads))
    trained = {"dense": net, "half_units": small, "masked": worst}
    steps = {f"train_{name}": training_step(copy.deepcopy(arm), y) for name, arm in trained.items()}
    return facts | found | gathered(cost.interleaved(steps, x, config.repeats, config.threads))


def _conv(config: SpeedConfig, seed: int) -> Arrays:
    net = seeded(cnn5, seed, config.conv_width, channels=1, image=config.conv_image)
    shape = (config.conv_batch, 1, config.conv_image, config.conv_image)
    x = torch.randn(shape, generator=torch_rng(seed, "eval", 2))
    small, facts = _compacted(net.eval(), x, config, "conv")
    times = cost.interleaved({"conv_dense": net, "conv_half": small}, x, config.repeats, config.threads)
    return facts | gathered(times)


def _compacted(net: nn.Module, x: Tensor, config: SpeedConfig, name: str) -> tuple[nn.Module, Arrays]:
    """Return (the net with `unit_share` of its units, its bytes, FLOPs and exactness)."""
    keep = top_filters(filter_scores(net), config.unit_share)
    small, shape = compact(net, keep), tuple(x.shape[1:])
    with torch.no_grad():
        difference = (small(x) - silence(net, keep)(x)).abs().max()
    facts = {
        "bytes": np.array([cost.bytes_of(net), cost.bytes_of(small)]),
        "flops": np.array([cost.flops(net, shape), cost.flops(small, shape)]),
        "difference": difference.numpy(),
    }
    return small, {f"{name}_{fact}": values for fact, values in facts.items()}


def gathered(times: dict[str, cost.Floats]) -> Arrays:
    """Return {arm}_s [repeats], arms called "name i" joined to [D, repeats] in the order of i."""
    joined: dict[str, list[np.ndarray]] = {}
    for name, seconds in times.items():
        joined.setdefault(name.split()[0], []).append(seconds)
    return {f"{name}_s": np.stack(rows) if f"{name} 0" in times else rows[0] for name, rows in joined.items()}


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
