"""What the mean-field study runs: tanh nets pruned level by level and their controls, random nets, spectra of weights.

Arrays have the seeds on the first axis; errors and accuracies are shares in [0, 1], at the end of training. Layers are
the hidden ones and the logits, L in all; standard deviations of weights are in units of 1/√fan-in. The defaults are the
profile `laptop`; the protocol is that of source S4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from redlib.data.places import data_root
from redlib.data.sources import Dataset
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.experiments.chain import Arms, Level, masks_of_levels
from redlib.experiments.experiment import Experiment, given
from redlib.experiments.lab import Drawn, Lab, Net, Parts, Stack, Training, loaded
from redlib.experiments.results import Arrays, among
from redlib.measures import meanfield
from redlib.measures.dip import density_at_zero, dip
from redlib.measures.meanfield.looks import gains, in_degrees, kept_values, kept_weights, sizes, weight_look
from redlib.measures.powerlaws import phases_at, summary, wide_layers
from redlib.measures.spectra import esd, random_k, residual_norms, top_k
from redlib.nets import StackedMLP
from redlib.nets.convnets import seeded, tanh_conv
from redlib.nets.initialisers import Initialiser, mean_field, orthogonal
from redlib.nets.residual import ResidualTanh
from redlib.pruning import tickets
from redlib.pruning.masks import Tensors, masks_of
from redlib.training import Examples, evaluate

SEEDS = tuple(range(5))
PHOTOGRAPH = 16  # pixels to a side, grey
DRAWS = 53  # key of a stream, so that no other draw of a seed repeats these
EDGES = np.linspace(-7.5, 7.5, 76)  # of the histograms of weights
BIAS, LITERAL = 0.3, 0.3 / 16  # the biases' standard deviation, and if it is divided by √256, as the slide writes it
WIDER = 2.24, 2.52, 3.13  # 1/√0.2, the survivors of one cut by magnitude, 1.4/√0.2 (erratum E9)


class AtEnd:
    """Labs whose nets are judged at the end of training: nothing is kept back to stop early by."""

    def train(self: Any, net: Net, parts: Parts, begin: int = 0, orders: Sequence[int] = ()) -> Arrays:
        """Train `net` in place from its first step; return train_error and final_error (of the test set), [R]."""
        if begin or orders:
            raise BadInput.of("begin, orders", (begin, orders), "0 and none", "Nets are trained from the start here.")
        self.fit(net, parts["train"], seeds=self.seeds)
        ends = {"train_error": parts["train"], "final_error": parts["test"]}
        return {name: self.measured(net, part)[1].numpy() for name, part in ends.items()}


@dataclass(frozen=True, kw_only=True)
class Tanh(AtEnd, Stack):
    """Deep tanh nets; `dataset` may also be a folder of images whose name ends with _jpeg, read grey and small."""

    tests: int | None = 5000
    validation: int = 500  # of the draw of MNIST-1D, not used
    hidden: tuple[int, ...] = (128,) * 8
    activation: str = "tanh"
    init: str = "normal"  # or orthogonal, where sigma_w is the gain
    sigma_w: float = 1.4
    sigma_b: float = BIAS
    residual: bool = False  # skip connections over two layers
    shifts: tuple[int, ...] = ()  # augmentation: places by which inputs may be rolled, besides 0
    epochs: int = 10
    looks: int = 0
    inputs: int = 20  # test inputs whose signals are measured

    @property
    def at_hand(self) -> bool:
        """Whether the data can be had: data sets are fetched, a folder of photographs is not."""
        return not self.dataset.endswith("_jpeg") or (data_root() / self.dataset).is_dir()

    def load(self) -> Dataset:
        """Return the data set."""
        if not self.dataset.endswith("_jpeg"):
            return super().load()
        folder = {"root": data_root() / self.dataset, "label": self.dataset, "size": PHOTOGRAPH, "mode": "L"}
        return loaded("image_folder", self.pool, self.validation, self.tests, self.flat, self.normalise, **folder)

    def parts(self) -> Parts:
        """Return the examples by part; those to train on come with their copies rolled by each of `shifts`."""
        parts = super().parts()
        if not self.shifts:
            return parts
        x = parts["train"].x
        rolled = torch.cat([x, *(x.roll(shift, 1) for shift in self.shifts)])
        return parts | {"train": replace(parts["train"], x=rolled, variants=1 + len(self.shifts))}

    def law(self) -> Initialiser:
        """Return the law of the initial weights; BadInput for an unknown one."""
        laws = {"normal": mean_field, "orthogonal": orthogonal}
        if self.init not in laws:
            raise BadInput.of("init", self.init, f"one of {sorted(laws)}", "See Tanh.")
        return laws[self.init](self.sigma_w, self.sigma_b)

    def nets(self, draw: int = 0) -> StackedMLP:
        """Return the initial nets as one stack."""
        seeds = [seed + draw * tickets.REINIT for seed in self.seeds]
        kind = ResidualTanh if self.residual else StackedMLP
        return kind.create(self.sizes(), seeds, self.activation, self.law())

    def watched(self) -> Tensor:
        """Return the inputs whose signals are measured, [inputs, d]."""
        return self.parts()["test"].x[: self.inputs]


@dataclass(frozen=True, kw_only=True)
class Convs(AtEnd, Lab):
    """Tanh nets of 3-wide convolutions, a mean over places and a linear layer (RMT-3)."""

    pool: int | None = 1250
    tests: int | None = 540
    n: int | None = 880
    layers: int = 8
    channels: int = 8
    sigma_w: float = 1.4
    sigma_b: float = BIAS
    lr: float = 5e-3
    batch: int = 32
    epochs: int = 17
    looks: int = 0

    flat = False

    def effort(self) -> float:
        """Return the relative time of one example: a weight acts at every place."""
        return super().effort() * self.load().train.x[0, 0].numel()

    def nets(self, draw: int = 0) -> list[nn.Module]:
        """Return the initial net of every seed."""
        data = self.load()
        x, seeds = data.train.x, [seed + draw * tickets.REINIT for seed in self.seeds]
        shape = self.layers, self.channels, data.classes, x.shape[1]
        law = {"sigma_w": self.sigma_w, "sigma_b": self.sigma_b}
        return [seeded(tanh_conv, seed, *shape, **law, rows=x.dim() == 3) for seed in seeds]


# Pruned nets


@dataclass(frozen=True)
class Ticket(Level):
    """One round of pruning of tanh nets whose weights and signals are measured, rewound and trained."""

    lab: Tanh = field(default_factory=Tanh)

    arrays = (
        Level.arrays
        + """
        start_chi: seed gap
        start_log_*: seed
        start_* end_* degree_ratio q_even q_even_rows: seed layer
        """
    )

    def look(self, net: Net, when: str, parts: Parts) -> Arrays:
        """Return `weight_look` and `sizes` as start_… and end_…; at the start also `gains` and `in_degrees`."""
        assert isinstance(net, StackedMLP), "tanh nets are stacks"
        x = self.lab.watched()
        found = weight_look(net) | sizes(net, x) | (gains(net, x) if when == "start" else {})
        named = {f"{when}_{name}": values for name, values in found.items()}
        return named | (in_degrees(net, x) if when == "start" else {})


@dataclass(frozen=True)
class Histograms(Experiment):
    """The kept weights of a ticket, before and after training: have they one peak or two?"""

    source: Ticket

    arrays = """
    start_histogram end_histogram: seed bin
    start_gap end_gap start_dip end_dip: seed layer
    """

    @property
    def previous(self) -> Level:
        """The ticket."""
        return self.source

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return, rewound (start) and trained (end), the histogram of a middle layer, `density_at_zero` and the dip."""
        before, found = given(before, self.source), {}
        start = self.source.lab.nets()
        masks = masks_of_levels(before, start, (self.source.level,))[self.source.level]
        for when, net in (("start", start), ("end", start.with_vector(torch.from_numpy(np.array(before["final"]))))):
            layers = kept_weights(tickets.prepare(tickets.ARMS["ticket"], net, masks))
            middle = layers[(len(layers) - 1) // 2]
            found[f"{when}_histogram"] = np.array([np.histogram(row, EDGES)[0] for row in middle])
            found[f"{when}_gap"] = np.stack([density_at_zero(values) for values in layers], 1)
            found[f"{when}_dip"] = np.array([[dip(row) for row in values] for values in layers]).T
        return found


@dataclass(frozen=True)
class Sparse:
    """How a sparse net starts: an arm of `pruning.tickets`, and what becomes of the weights that it keeps.

    weights: "bimodal" (independent draws from the law of the ticket's kept weights in the layer), "normal" (Gaussian of
    the same mean square), "" (as they are). std: instead of the lab's. scale: "density" (by 1/√density of the layer,
    which restores the variance of a unit's inputs), "chi" (until χ is the ticket's), "" (none).
    """

    arm: str = "shuffled"
    weights: str = ""
    std: float | None = None
    scale: str = ""

    def net(self, lab: Tanh, start: StackedMLP, masks: Tensors, key: int) -> StackedMLP:
        """Return the net to train; `key` separates the draws of two levels."""
        net = tickets.prepare(tickets.ARMS[self.arm], start, masks, lab.law(), key=key)
        if self.weights:
            redraw(net, start, masks, self.weights, key)
        for weights, mask in zip(net.weights, masks_of(net).values(), strict=True):
            weights.mul_((self.std or lab.sigma_w) / lab.sigma_w)
            if self.scale == "density":
                weights.div_(mask[0].double().mean().sqrt().item())  # layers keep equally many in every replicate
        if self.scale == "chi":
            meanfield.match_chi(net, tickets.prepare(tickets.ARMS["ticket"], start, masks), lab.watched())
        return net


ARMS: dict[str, Sparse] = {
    "random": Sparse(),
    "corrected": Sparse(scale="density"),
    "chi_matched": Sparse(scale="chi"),
    "fresh": Sparse("reinit"),
    "bimodal": Sparse(weights="bimodal"),
    "normal": Sparse(weights="normal"),
    "bimodal_ticket": Sparse("ticket", "bimodal"),
    "normal_ticket": Sparse("ticket", "normal"),
    **{f"random_{std}": Sparse(std=std) for std in WIDER},
    **{f"fresh_{std}": Sparse("reinit", std=std) for std in WIDER},
}


@dataclass(frozen=True)
class Controls(Arms):
    """Control arms (names in `ARMS`) of the tickets of some levels, all in one stack, trained as the tickets are."""

    source: Ticket

    arrays = Arms.arrays + among("arm level", "start_chi: seed gap\n start_log_*: seed")

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return what training gave and start_… of `gains`, with axes [S, arms, levels, ...]."""
        lab = self.source.lab
        net = self.nets(given(before, self.previous))
        signals = {f"start_{name}": values for name, values in gains(net, lab.watched()).items()}
        return self.grouped(signals | lab.train(net, lab.parts()), "arm", "level")

    def nets(self, before: Arrays) -> StackedMLP:
        """Return the nets of all arms and levels, [arms * levels * S]; BadInput for an unknown arm."""
        if not {*self.arms} <= {*ARMS}:
            raise BadInput.of("arms", self.arms, f"some of {sorted(ARMS)}", "Name some of these.")
        start = self.source.lab.nets()
        masks = masks_of_levels(before, start, self.levels)
        cells = [(ARMS[arm], level) for arm in self.arms for level in self.levels]
        return tickets.stack([arm.net(self.source.lab, start, masks[level], level) for arm, level in cells])


@dataclass(frozen=True)
class Fitted(Experiment):
    """The dense net and a ticket, each trained until its training loss is `target`: equal fit, then compared."""

    source: Ticket
    target: float = 0.2
    epochs: int = 30  # at most

    arrays = "lead: seed"

    @property
    def previous(self) -> Level:
        """The ticket."""
        return self.source

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return 2 * replace(self.source.lab, epochs=self.epochs).cost

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return how many points of test accuracy the ticket is ahead [S], NaN where one did not reach the loss."""
        lab, epochs = replace(self.source.lab, epochs=self.epochs), range(1, self.epochs + 1)
        parts, start = lab.parts(), lab.nets()
        masks = masks_of_levels(given(before, self.source), start, (0, self.source.level))
        net = tickets.stacked_arms(start, masks, ("ticket",))
        history = lab.fit(
            net, parts["train"], evaluate={"train": parts["train"]}, probe_epochs=epochs,
            stop=lambda found: found["train_loss"] <= self.target,
        )  # fmt: skip
        error = 100 * lab.measured(net, parts["test"])[1].numpy().reshape(2, -1)
        reached = (history.stopped_at.reshape(2, -1) >= 0).all(0)
        return {"lead": np.where(reached, error[0] - error[1], np.nan)}


def redraw(net: StackedMLP, start: StackedMLP, ticket: Tensors, law: str, key: int) -> None:
    """Draw the weights that `net` keeps from the law of the ticket's, or a Gaussian law with its mean square."""
    layers = zip(net.weights, masks_of(net).values(), start.weights, ticket.values(), strict=True)
    for layer, (target, mask, weights, kept) in enumerate(layers):
        values = kept_values(weights, kept)
        for r, seed in enumerate(net.seeds):
            u = rng(seed, "noise", DRAWS, key, layer).random(values.shape[1])
            normal = sqrt(np.square(values[r]).mean()) * ndtri(u)
            drawn = np.quantile(values[r], u) if law == "bimodal" else normal
            target[r][mask[r]] = torch.from_numpy(drawn).to(target)


# Random nets that nobody prunes


@dataclass(frozen=True)
class Start(Experiment):
    """Signals in untrained nets: how alike two inputs are in every layer."""

    lab: Tanh

    arrays = "c: seed layer\n chi: seed gap"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return c [S, L], the mean over pairs of inputs, and chi [S, L-1]."""
        net, x = self.lab.nets(), self.lab.watched()
        measured = {"c": meanfield.empirical_c(net, x), "chi": meanfield.empirical_chi(net, x)}
        return {name: values.mean(2).numpy() for name, values in measured.items()}


@dataclass(frozen=True)
class Wide(Experiment):
    """Signals in wide random nets, for a comparison with the recursion; `residual`: `depth` counts pairs of layers."""

    width: int = 1024
    depth: int = 30
    sigmas: tuple[tuple[float, float], ...] = ((1.2, 0.1), (1.4, BIAS), (2.0, BIAS), (3.0, 0.6))  # (σ_w, σ_b)
    residual: bool = False
    inputs: int = 8
    seeds: tuple[int, ...] = SEEDS

    arrays = "q: seed sigma layer"

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return q [S, sigmas, depth], means over inputs (`meanfield.simulated_q`)."""
        q = partial(meanfield.simulated_q, inputs=self.inputs, residual=self.residual)
        shape, pairs = (self.width, self.depth), [*enumerate(self.sigmas)]
        return {"q": np.array([[q(rng(seed, "init", k), *shape, *pair) for k, pair in pairs] for seed in self.seeds])}


@dataclass(frozen=True, kw_only=True)
class Brief(Drawn, Training, Experiment):
    """Brief trainings of random nets of one depth and several σ_w: can they be trained (Schoenholz et al. 2017)?"""

    pool: int | None = 1437
    n: int | None = 1000
    width: int = 64
    depth: int = 4
    sigmas: tuple[float, ...] = (1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5)
    sigma_b: float = BIAS
    steps: int = 60
    seeds: tuple[int, ...] = SEEDS

    arrays = "train_accuracy: seed sigma"

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return float(self.depth)

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return train_accuracy [S, sigmas] after training; inputs have a mean square of 1."""
        data, part = self.load(), self.parts()["train"]
        train = part.with_inputs(part.x / data.train.x.square().mean().sqrt())
        sizes = (part.x.shape[1], *(self.width,) * self.depth, data.classes)
        laws = [mean_field(sigma, self.sigma_b) for sigma in self.sigmas]
        net = tickets.stack([StackedMLP.create(sizes, self.seeds, "tanh", law) for law in laws])
        history = self.fit(net, train, evaluate={"train": train})
        return self.grouped({"train_accuracy": 1 - history.final("train_error")}, "sigma")


# Spectra of weight matrices


@dataclass(frozen=True, kw_only=True)
class Spectra(Drawn, Training, Experiment):
    """A ReLU net trained with cross-entropy, and the spectra of its layers of at least 50 eigenvalues (RMT-21).

    Batch sizes are compared after as many epochs each and at one rate, as nothing but the batch size is turned there
    (Martin & Mahoney 2021); so small batches take more steps, each of more noise.
    """

    pool: int | None = 1437
    tests: int | None = 360
    n: int | None = 1000
    hidden: tuple[int, ...] = (256, 256)
    init: str = "he"
    optimizer: str = "sgd"
    lr: float = 0.01
    batch: int = 32
    epochs: int = 84
    looks: int = 14
    shuffles: int = 40  # of the entries, to tell the phase at the end
    seeds: tuple[int, ...] = SEEDS

    arrays = """
    epochs: step
    train_error: seed step
    spikes sigma distance: seed step layer
    phase: seed layer
    eigenvalues: seed step value
    final: seed ...
    """

    @property
    def cost(self) -> float:
        """Relative time of the run: a step takes as long as 16 more examples would."""
        return float(self.total(self.size) * (16 + self.batch))

    def net(self) -> StackedMLP:
        """Return the untrained nets."""
        data = self.load()
        return StackedMLP.create((data.train.x.shape[1], *self.hidden, data.classes), self.seeds, init=self.init)

    def moments(self, n: int) -> list[int]:
        """Return the steps of the looks: 0, then geometrically from the first epoch to the end."""
        total = self.total(n)
        first = min(-(-n // self.batch), total)
        return [0, *np.unique(np.geomspace(first, total, self.looks - 1).round().astype(int)).tolist()]

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return training errors and, at each look, what the spectra of L layers tell; the phase is told at the end.

        spikes beyond the Tracy–Widom edge, sigma of the bulk, distance to the Marchenko–Pastur law of the median
        [S, T, L]; eigenvalues of the last of these layers [S, T, M], largest first; final [S, P], the trained nets.
        """
        train, net = self.parts()["train"], self.net()
        layers = wide_layers(net.sizes)
        history = self.fit(
            net, train, evaluate={"train": train}, probes={f"layer_{k}": partial(copied, layer=k) for k in layers},
            probe_steps=self.moments(len(train)),
        )  # fmt: skip
        weights = {layer: history[f"layer_{layer}"] for layer in layers}
        shape, last = history["train_error"].shape, len(history.steps) - 1
        spectra = [esd(torch.from_numpy(w.reshape(-1, *w.shape[2:])), replicates=True) for w in weights.values()]
        told = [summary(one, max(w.shape[2:])) for one, w in zip(spectra, weights.values(), strict=True)]
        phases = [phases_at(w, [last], self.seeds, self.shuffles, k)["phase"][:, last] for k, w in weights.items()]
        found = {n: np.stack([one[n].reshape(shape) for one in told], 2) for n in ("spikes", "sigma", "distance")}
        return found | {
            "phase": np.stack(phases, 1),
            "eigenvalues": spectra[-1].reshape(*shape, -1),
            "epochs": history.epochs,
            "train_error": history["train_error"],
            "final": net.vector().numpy(),
        }


@dataclass(frozen=True)
class LowRank(Experiment):
    """A net whose trained layers W are replaced by Z + parts of W - Z of few dimensions, Z = start (RMT-22, RMT-23).

    Biases stay as trained, and so do layers of fewer than 50 eigenvalues: an update of 10 outputs is of rank 10 anyway.
    """

    source: Spectra
    ranks: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)

    arrays = """
    full: seed
    top_joint random_joint: seed rank
    top_layerwise random_layerwise over_start over_update: seed rank layer
    """

    @property
    def previous(self) -> Spectra:
        """The training."""
        return self.source

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return accuracies on the test set, in percent, and what the top directions leave.

        full [S] of the whole net; of the top or as many random directions, …_layerwise [S, ranks, L] where one layer is
        replaced, …_joint [S, ranks] where all are. over_start and over_update [S, ranks, L]: spectral norms of the rest
        over that of the start, and of the whole update.
        """
        start, final = self.source.net(), torch.from_numpy(np.array(given(before, self.source)["final"]))
        net, test = start.with_vector(final), self.source.parts()["test"]
        ends = {layer: (net.weights[layer], start.weights[layer]) for layer in wide_layers(net.sizes)}
        tops = [{layer: top_k(*pair, k, replicates=True) for layer, pair in ends.items()} for k in self.ranks]
        draws = [
            {n: random_k(*pair, k, self.seeds, n, replicates=True) for n, pair in ends.items()} for k in self.ranks
        ]
        rests = [[residual_norms(*ends[layer], part, replicates=True) for layer, part in new.items()] for new in tops]
        found = {"full": accuracy(net, {}, test)}
        for kind, by_rank in (("top", tops), ("random", draws)):
            alone = [[accuracy(net, {layer: part}, test) for layer, part in new.items()] for new in by_rank]
            found[f"{kind}_layerwise"] = np.moveaxis(np.array(alone), 2, 0)
            found[f"{kind}_joint"] = np.stack([accuracy(net, new, test) for new in by_rank], 1)
        norms = {
            name: np.array([[one[name] for one in row] for row in rests]) for name in ("over_start", "over_update")
        }
        return found | {name: np.moveaxis(values, 2, 0) for name, values in norms.items()}


def copied(net: StackedMLP, layer: int) -> Tensor:
    """Return a copy of the weights of a layer [R, out, in]."""
    return net.weights[layer].clone()


def accuracy(net: StackedMLP, layers: Mapping[int, Tensor], test: Examples) -> np.ndarray:
    """Return the accuracy [S] in percent of the nets with some layers replaced."""
    changed = net.clone()
    for layer, weights in layers.items():
        changed.weights[layer].copy_(weights)
    return 100 * (1 - evaluate(changed, test)["error"].numpy())
