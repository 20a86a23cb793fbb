"""What training does to the spectra of weight matrices, and of what rank it is: runs of the random-matrix study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from redlib.data import Dataset, load
from redlib.errors import BadInput
from redlib.measures.powerlaws import LEAST_VALUES, fit_power_law, phases
from redlib.measures.spectra import esd, fit_bulk, median_variance, mp_distance, random_k, residual_norms, top_k
from redlib.nets import StackedMLP
from redlib.training import SGD, Adam, Examples, evaluate, fit
from redlib.training.history import History

SEEDS = tuple(range(5))
KINDS = ("top", "random")
RULES = ("sgd", "adam")
SLOW = {  # what `phases` tells, under the names used here
    "phase": "phase", "soft_rank": "soft_rank", "z_exponential": "z_exponential", "z_lognormal": "z_lognormal",
    "z_truncated": "z_truncated", "spikes": "spikes_beyond_shuffles", "mp_distance_null": "bulk_distance_null",
}  # fmt: skip
Arrays = dict[str, np.ndarray]
Ends = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Spectra:
    """A ReLU net trained with cross-entropy, and the spectra of its layers of at least 50 eigenvalues (RMT-21).

    Batch sizes are compared after as many epochs each and at one rate, as nothing but the batch size is turned there
    (Martin & Mahoney 2021); so small batches take more steps, each of more noise. A length in `steps` instead of
    `epochs` tells the two apart.
    """

    dataset: str = "digits"
    train: int = 1437
    tests: int = 360
    hidden: tuple[int, ...] = (256, 256)
    init: str = "he"
    optimizer: str = "sgd"  # or "adam"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch: int = 32
    epochs: int = 60
    steps: int = 0  # if not 0, in place of the epochs
    looks: int = 14
    classified: int = 3  # looks at which phases are told, which takes long: the last, the first, and some between
    shuffles: int = 40
    seeds: tuple[int, ...] = SEEDS

    @property
    def total(self) -> int:
        """The number of steps."""
        return self.steps or self.epochs * self.per_epoch

    @property
    def per_epoch(self) -> int:
        """The number of steps in an epoch."""
        return -(-self.train // self.batch)

    @property
    def cost(self) -> float:
        """Relative time of the run: a step takes as long as 16 more examples would."""
        return float(self.total * (16 + self.batch) * len(self.seeds) * sum(self.hidden) ** 2)


@dataclass(frozen=True)
class LowRank:
    """A net whose trained layers W are replaced by Z + parts of W - Z of few dimensions, Z = start (RMT-22, RMT-23).

    Biases stay as trained, and so do layers of fewer than 50 eigenvalues: an update of 10 outputs is of rank 10 anyway.
    """

    source: Spectra
    ranks: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.source.cost


@singledispatch
def run(config: object) -> Arrays:
    """Return the arrays of one experiment; see the function registered for its configuration."""
    raise BadInput.of("config", type(config).__name__, "a configuration of this module", "Build one.")


@run.register
def run_spectra(config: Spectra) -> Arrays:
    """Return the training curves (`curves`), and at each look the spectra of L layers and what they tell.

    eigenvalues_0, eigenvalues_1 … [S, T, M], those of `spectra.esd`, largest first; `numbers` and `classes` [S, T, L].
    """
    net, history = trained(config, dataset(config))
    spectra, told = [], []
    for layer in wide_layers(net.sizes):
        weights = history[f"layer_{layer}"]
        spectra.append(esd(torch.from_numpy(weights.reshape(-1, *weights.shape[2:]))))
        shape = weights.shape[:2]
        found = numbers(spectra[-1], max(weights.shape[2:]))
        told.append({k: v.reshape(shape) for k, v in found.items()} | classes(config, weights, layer))
    eigenvalues = {f"eigenvalues_{i}": e.reshape(*history["train_error"].shape, -1) for i, e in enumerate(spectra)}
    return curves(history) | eigenvalues | {name: np.stack([one[name] for one in told], 2) for name in told[0]}


@run.register
def run_low_rank(config: LowRank) -> Arrays:
    """Return the training curves (`curves`), and what K ranks of the updates of L layers keep.

    accuracy_full [S]; accuracy_top_layerwise and accuracy_random_layerwise [S, K, L], where one layer is replaced,
    accuracy_top_joint and accuracy_random_joint [S, K], where all are: on the test set, in percent; residual_over_start
    and residual_over_change [S, K, L], spectral norms of what the top directions leave; update_0, update_1 … [S, M],
    the singular values of the updates.
    """
    data = dataset(config.source)
    net, history = trained(config.source, data)
    test = examples(data)["test"]
    ends = {layer: ends_of(history, layer) for layer in wide_layers(net.sizes)}
    replaced = {kind: [kept(config, ends, kind, k) for k in config.ranks] for kind in KINDS}
    found = {"accuracy_full": accuracy(net, {}, test)}
    for kind, by_rank in replaced.items():
        alone = [[accuracy(net, {layer: part}, test) for layer, part in new.items()] for new in by_rank]
        found[f"accuracy_{kind}_layerwise"] = np.moveaxis(np.array(alone), 2, 0)
        found[f"accuracy_{kind}_joint"] = np.stack([accuracy(net, new, test) for new in by_rank], 1)
    updates = {f"update_{i}": torch.linalg.svdvals((w - z).double()).numpy() for i, (w, z) in enumerate(ends.values())}
    return curves(history) | found | residuals(ends, replaced["top"]) | updates


def examples(data: Dataset) -> dict[str, Examples]:
    """Return the examples "train" and "test", shared by all replicates."""
    return {"train": Examples(data.train.x, data.train.y), "test": Examples(data.test.x, data.test.y)}


def dataset(config: Spectra) -> Dataset:
    """Return the data, images as rows of pixels."""
    return load(config.dataset, n_train=config.train, n_test=config.tests)


def trained(config: Spectra, data: Dataset) -> tuple[StackedMLP, History]:
    """Return the trained nets, one per seed, and what was seen of them at each look.

    train_error, train_loss, test_error, test_loss, and the weights of the wide layers, layer_0, … [S, T, out, in].
    """
    sizes, parts = (data.train.x.shape[1], *config.hidden, data.classes), examples(data)
    probes = {f"layer_{layer}": copier(layer) for layer in wide_layers(sizes)}
    net = StackedMLP.create(sizes, config.seeds, init=config.init)
    history = fit(
        net, parts["train"], optimizer=rule(config), steps=config.total, batch_size=config.batch, evaluate=parts,
        probes=probes, probe_steps=moments(config), execution="dense",
    )  # fmt: skip
    return net, history


def rule(config: Spectra) -> SGD | Adam:
    """Return the optimiser; the weight decay is an L2 penalty in both."""
    if config.optimizer not in RULES:
        raise BadInput.of("optimizer", config.optimizer, f"one of {RULES}", "Others are in redlib.training.")
    if config.optimizer == "adam":
        return Adam(config.lr, weight_decay=config.weight_decay)
    return SGD(config.lr, config.momentum, weight_decay=config.weight_decay)


def wide_layers(sizes: Sequence[int]) -> list[int]:
    """Return the numbers of the layers of at least 50 eigenvalues; BadInput if there is none."""
    found = [i for i, pair in enumerate(zip(sizes[:-1], sizes[1:], strict=True)) if min(pair) >= LEAST_VALUES]
    if not found:
        allowed = f"a layer of at least {LEAST_VALUES} inputs and outputs"
        raise BadInput.of("units of the layers", tuple(sizes), allowed, "Widen it: fewer have no tail to fit.")
    return found


def copier(layer: int) -> Callable[[StackedMLP], Tensor]:
    """Return a probe for the weights of a layer [R, out, in]."""
    return lambda net: net.weights[layer].clone()


def moments(config: Spectra) -> list[int]:
    """Return the steps of the looks: 0, then geometrically from the first epoch to the end."""
    first = min(config.per_epoch, config.total)
    return [0, *np.unique(np.geomspace(first, config.total, config.looks - 1).round().astype(int)).tolist()]


def curves(history: History) -> Arrays:
    """Return steps and epochs [T], train_error, test_error and train_loss [S, T], errors as shares."""
    seen = {name: history[name] for name in ("train_error", "test_error", "train_loss")}
    return {"steps": history.steps, "epochs": history.epochs} | seen


def numbers(eigenvalues: np.ndarray, larger: int) -> Arrays:
    """Return what spectra [n, M] of matrices with the larger side N tell, each [n].

    `spikes` beyond the Tracy–Widom edge, `sigma` of the bulk (`spectra.fit_bulk`), in units of the weights;
    `distance` of all eigenvalues to the Marchenko–Pastur law of the median, `bulk_distance` of those that are no spikes
    to that of the bulk; `alpha`, `alpha_error` and `tail` of the power law; `stable_rank` and `effective_rank`.
    """
    aspect, bulk, tail = larger / eigenvalues.shape[1], fit_bulk(eigenvalues, larger), fit_power_law(eigenvalues)
    return {
        "spikes": bulk.spikes.astype(float),
        "sigma": np.sqrt(bulk.variance),
        "distance": mp_distance(eigenvalues, aspect, median_variance(eigenvalues, aspect)),
        "bulk_distance": bulk.distance,
        "alpha": tail.alpha,
        "alpha_error": tail.error,
        "tail": tail.tail.astype(float),
        **ranks(eigenvalues),
    }


def ranks(eigenvalues: np.ndarray) -> Arrays:
    """Return `stable_rank` and `effective_rank` [n] of `redlib.measures.spectra`, without another decomposition."""
    singular = np.sqrt(eigenvalues)
    share = singular / singular.sum(1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(1)
    return {"stable_rank": eigenvalues.sum(1) / eigenvalues.max(1), "effective_rank": np.exp(entropy)}


def classes(config: Spectra, weights: np.ndarray, layer: int) -> Arrays:
    """Return the phases of a layer's weights [S, T, out, in] and the numbers named in SLOW: each [S, T].

    NaN at the looks that are not `classified`.
    """
    found = {name: np.full(weights.shape[:2], np.nan) for name in SLOW.values()}
    level = max(0.025, 1 / (config.shuffles + 1))
    for look in classified_looks(config, weights.shape[1]):
        told = phases(torch.from_numpy(weights[:, look]), config.seeds, config.shuffles, level, layer)
        for name, mine in SLOW.items():
            found[mine][:, look] = told[name]
    return found


def classified_looks(config: Spectra, looks: int) -> list[int]:
    """Return the positions of the looks whose phases are told: the last, then the first, then evenly between."""
    return np.unique(np.linspace(looks - 1, 0, config.classified).round().astype(int)).tolist()


def ends_of(history: History, layer: int) -> Ends:
    """Return the trained weights and those of the start, each [S, out, in]."""
    weights = torch.from_numpy(history[f"layer_{layer}"])
    return weights[:, -1], weights[:, 0]


def kept(config: LowRank, ends: Mapping[int, Ends], kind: str, k: int) -> dict[int, Tensor]:
    """Return the layers with only k directions of their updates: the "top" ones, or "random" ones."""
    if kind == "top":
        return {layer: top_k(*pair, k) for layer, pair in ends.items()}
    return {layer: random_k(*pair, k, config.source.seeds, layer) for layer, pair in ends.items()}


def accuracy(net: StackedMLP, layers: Mapping[int, Tensor], test: Examples) -> np.ndarray:
    """Return the accuracy [S] in percent of the nets with some layers replaced."""
    changed = net.clone()
    for layer, weights in layers.items():
        changed.weights[layer].copy_(weights)
    return 100 * (1 - evaluate(changed, test)["error"].numpy())


def residuals(ends: Mapping[int, Ends], by_rank: Sequence[Mapping[int, Tensor]]) -> Arrays:
    """Return residual_over_start and residual_over_change [S, K, L] (`spectra.residual_norms`)."""
    found = [[residual_norms(*ends[layer], part) for layer, part in new.items()] for new in by_rank]
    names = {"residual_over_start": "over_start", "residual_over_change": "over_update"}
    return {
        name: np.moveaxis(np.array([[one[key] for one in row] for row in found]), 2, 0) for name, key in names.items()
    }
