"""One look at nets that collapse: everything the study measures at a moment of training, as numbers per replicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from redlib.measures import collapse
from redlib.measures.neighbours import nearest_neighbours, same_class_fraction
from redlib.measures.robustness import gradient_sign, logit_gap, smallest_step
from redlib.measures.simplex import cosines
from redlib.nets import StackedMLP
from redlib.pruning.compaction import unstacked

Net = StackedMLP | Sequence[nn.Module]
Numbers = dict[str, Tensor]
Ends = tuple[Tensor, Tensor]
BATCH = 2000  # examples that go through the net at a time
CONFIDENT = 0.99
NEIGHBOURS = (5, 30)  # the slides' number and that of Doimo et al. (2020)
STEPS = tuple(np.geomspace(1e-2, 3, 36).tolist())  # largest change of an input, in the units the net sees


@dataclass
class Look:
    """A probe for `fit`: returns [R, numbers], in the order of `names` (known after the first call).

    x, y [n] and test_x, test_y are the data; labels[seed] [n] is what that seed's net was told, where it is not y.
    `seeds` are those of modules (a stack has its own); `neighbours` examples have their neighbours counted in every
    layer, `margins` test examples are attacked.
    """

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int
    seeds: Sequence[int]
    labels: Mapping[int, Tensor] = field(default_factory=dict)
    neighbours: int = 300
    margins: int = 60
    names: list[str] = field(default_factory=list)

    @torch.no_grad()
    def __call__(self, net: Net) -> Tensor:
        """Return all numbers of the replicates of `net`, float64 [R, numbers]."""
        self._follow(net)
        seeds = net.seeds if isinstance(net, StackedMLP) else self.seeds
        told = torch.stack([self.labels.get(seed, self.y) for seed in seeds])
        train, test = last_layers(net, self.x), last_layers(net, self.test_x)
        found = self._collapse(classifier_of(net), train, test, told) | self._outputs(train[1], test[1], told)
        found |= self._mislabelled(train[0], told)
        found |= self._layers(net, self.x, self.y, "train") | self._layers(net, self.test_x, self.test_y, "test")
        found |= alignment(net) | {"margin": self._margin(net)}
        self.names[:] = list(found)
        return torch.stack([values.double() for values in found.values()], 1)

    def _follow(self, net: Net) -> None:
        """Move the data to the device of the net."""
        device = (net.flat if isinstance(net, StackedMLP) else next(net[0].parameters())).device
        for name in ("x", "y", "test_x", "test_y"):
            setattr(self, name, getattr(self, name).to(device))
        self.labels = {seed: labels.to(device) for seed, labels in self.labels.items()}

    def _collapse(self, classifier: collapse.Classifier, train: Ends, test: Ends, told: Tensor) -> Numbers:
        """Return NC1 to NC4 of the features, NC1 and NC4 of the test set, and NC1 of the logits."""
        features = [(train[0], told)]
        found = collapse.collapse(features, self.classes, classifier)
        means = collapse.class_means(features, self.classes)
        return found | {
            "test_nc1": collapse.collapse([(test[0], self.test_y)], self.classes)["nc1"],
            "test_nc4": collapse.ncc_mismatch([(test[0], self.test_y)], means, *classifier),
            "logit_nc1": collapse.collapse([(train[1], told)], self.classes)["nc1"],
            **strengths(means),
        }

    def _mislabelled(self, features: Tensor, told: Tensor) -> Numbers:
        """Return NC1 of the mislabelled examples alone, by the label they were told and by the true one."""
        found: dict[str, list[Tensor]] = {"told": [], "true": []}
        for h, labels in zip(features, told, strict=True):
            wrong = labels != self.y
            found["told"].append(self._nc1(h[wrong], labels[wrong]))
            found["true"].append(self._nc1(h[wrong], self.y[wrong]))
        return {f"mislabelled_nc1_{by}": torch.stack(values) for by, values in found.items()}

    def _nc1(self, h: Tensor, y: Tensor) -> Tensor:
        """Return NC1 of one replicate's examples, NaN where a class has none."""
        if len(torch.unique(y)) < self.classes:
            return torch.tensor(torch.nan, dtype=torch.float64)
        return collapse.collapse([(h, y)], self.classes)["nc1"][0]

    def _outputs(self, train: Tensor, test: Tensor, told: Tensor) -> Numbers:
        return {
            "train_error": (train.argmax(2) != told).double().mean(1),
            "true_error": (train.argmax(2) != self.y).double().mean(1),
            "test_error": (test.argmax(2) != self.test_y).double().mean(1),
            "confident": (train.softmax(2).amax(2) > CONFIDENT).double().mean(1),
            "logit_norm": train.norm(dim=2).mean(1),
            "gap_spread": gap_spread(train, told),
        }

    def _layers(self, net: Net, x: Tensor, y: Tensor, part: str) -> Numbers:
        """Return the share of same-class neighbours by layer, chi<k>_<part>_<layer>; inputs are layer 0."""
        count, found = min(self.neighbours, len(y)), {}
        for i, layer in enumerate(layers_of(net, x[:count])):
            near = nearest_neighbours(layer.flatten(2), max(NEIGHBOURS))
            for k in NEIGHBOURS:
                found[f"chi{k}_{part}_{i}"] = same_class_fraction(near[:, :, :k], y[:count])
        return found

    def _margin(self, net: Net) -> Tensor:
        """Return the median over test examples of the smallest step along the gradient sign that changes a decision."""
        x, y = self.test_x[: self.margins], self.test_y[: self.margins]
        modules = [unstacked(net, r) for r in range(net.replicates)] if isinstance(net, StackedMLP) else list(net)
        steps = [smallest_step(m, x, y, gradient_sign(m.eval(), x, y, "margin"), STEPS) for m in modules]
        return torch.stack(steps).clamp(max=STEPS[-1]).median(1).values


def strengths(means: collapse.ClassMeans) -> Numbers:
    """Return the C - 1 singular values of the centred class means over the largest, strength_<k>: 1 in a simplex."""
    values = torch.linalg.svdvals(means.centred)[:, : means.centred.shape[1] - 1]
    return {f"strength_{k}": values[:, k] / values[:, 0] for k in range(values.shape[1])}


def gap_spread(logits: Tensor, y: Tensor) -> Tensor:
    """Return (95th - 5th percentile) / median of the examples' gaps between their own logit and the largest other."""
    low, middle, high = (logit_gap(logits, y).double().quantile(q, dim=1) for q in (0.05, 0.5, 0.95))
    return (high - low) / middle


def last_layers(net: Net, x: Tensor) -> Ends:
    """Return (features [R, n, p], logits [R, n, C]) of the last two layers."""
    parts = [layers_of(net, x[at : at + BATCH])[-2:] for at in range(0, len(x), BATCH)]
    features, logits = (torch.cat(layer, 1) for layer in zip(*parts, strict=True))
    return features, logits


def layers_of(net: Net, x: Tensor) -> list[Tensor]:
    """Return the layers [R, n, ...] a study looks at: inputs first, features and logits last.

    Of a stack every layer; of modules (nn.Sequential) what goes into each part with weights, and the logits.
    """
    if isinstance(net, StackedMLP):
        return net.hidden(x)
    parts = [_module_layers(module.eval(), x) for module in net]
    return [torch.stack(layer) for layer in zip(*parts, strict=True)]


def classifier_of(net: Net) -> collapse.Classifier:
    """Return (weights [R, C, p], biases [R, C]) of the last layer."""
    if isinstance(net, StackedMLP):
        return net.weights[-1], net.biases[-1]
    last = [[part for part in module.modules() if isinstance(part, nn.Linear)][-1] for module in net]
    return torch.stack([part.weight for part in last]), torch.stack([part.bias for part in last])


def alignment(net: Net) -> Numbers:
    """Return the mean |cosine| over all pairs of units' weight vectors, alignment_<layer>, of stacks without masks."""
    if not isinstance(net, StackedMLP) or net.masks is not None:
        return {}
    return {f"alignment_{i}": cosines(w).abs().mean(1) for i, w in enumerate(net.weights)}


def _module_layers(module: nn.Module, x: Tensor) -> list[Tensor]:
    layers, h = [], x
    for part in module.children():
        if any(isinstance(inner, nn.Linear | nn.Conv2d) for inner in part.modules()):
            layers.append(h.flatten(1))
        h = part(h)
    return [*layers, h]
