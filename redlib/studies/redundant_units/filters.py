"""Whether the filters of a large convolutional layer cluster, as k-means sees it (UNIT-4).

Vectors are compared by angle. The nulls are the untrained filters, and Gaussian vectors of the covariance of the
trained ones: a few strong directions bring vectors nearer to each other without any cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from redlib.experiments.fitted import Fitted
from redlib.experiments.results import Arrays
from redlib.measures.units import matched_gaussian, silhouettes, spherical_kmeans
from redlib.nets.convnets import seeded

MODULES = 4  # times as long as a stack of MLPs, about, take modules


@dataclass(frozen=True, kw_only=True)
class Filters(Fitted):
    """Nets of one convolutional layer, max-pooling and one linear layer that fit their images."""

    n: int | None = 600
    filters: int = 128
    side: int = 3  # pixels of a filter
    lr: float = 0.05
    epochs: int = 60
    clusters: int = 4
    ks: tuple[int, ...] = (2, 3, 4, 6, 8, 12, 16)
    kinds: tuple[str, ...] = ("trained", "untrained", "matched")

    flat: ClassVar[bool] = False

    arrays = """
    train_loss train_error test_error: seed
    vectors: seed kind filter weight
    angles: seed kind filter
    silhouette: seed kind k
    """

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        pixels = self.load().train.x[0].numel()
        return self.size * self.epochs * len(self.seeds) * self.filters * self.side**2 * pixels * MODULES / 1e9

    def nets(self) -> list[nn.Module]:
        """Return the initial nets, one a seed."""
        data = self.load()
        channels, height, width = data.train.x.shape[1:]
        left = ((height - self.side + 1) // 2) * ((width - self.side + 1) // 2)
        return [seeded(one_conv, seed, channels, self.filters, self.side, left, data.classes) for seed in self.seeds]

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return errors (shares), the filters of each kind [S, kinds, filters, weights] and how they cluster."""
        train, nets = self.parts()["train"], self.nets()
        start = first_filters(nets)
        self.learn(nets, train)
        trained = first_filters(nets)
        kinds = {"trained": trained, "untrained": start, "matched": matched_gaussian(trained, self.seeds)}
        each = [self.clustered(kinds[kind]) for kind in self.kinds]
        found = {name: np.stack([one[name] for one in each], 1) for name in each[0]}
        return found | self.ends(nets, train)

    def clustered(self, vectors: Tensor) -> Arrays:
        """Return vectors [S, N, d], their angles to the centre of their cluster in degrees, and silhouettes by k."""
        return {
            "vectors": vectors.numpy(),
            "angles": spherical_kmeans(vectors, self.clusters, self.seeds).angles.numpy(),
            "silhouette": silhouettes(vectors, self.ks, self.seeds, restarts=3).numpy(),
        }


def one_conv(channels: int, filters: int, side: int, left: int, classes: int) -> nn.Sequential:
    """Return a net of one convolution without padding, ReLU, 2 x 2 max-pooling to `left` places, a linear layer."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, side), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(filters * left, classes)
    )


def first_filters(nets: list[nn.Module]) -> Tensor:
    """Return the filters of the first layer of nets as vectors, float64 [S, filters, weights]."""
    return torch.stack([next(net.parameters()).detach().flatten(1).double() for net in nets])
