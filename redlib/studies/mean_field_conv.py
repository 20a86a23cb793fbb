"""Tanh nets of convolutions, pruned level by level: the ConvNet arm of the mean-field study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import torch
from torch import nn

from redlib.data import Dataset, load
from redlib.errors import BadInput
from redlib.nets.convnets import seeded
from redlib.pruning.allocation import keep, round_counts, shapes_of
from redlib.pruning.masks import Tensors, apply, dense, weights_of
from redlib.studies.mean_field import Arrays, run
from redlib.training import Adam, Examples, fit

THREE = (0.488, 0.271)  # rate and last of three rounds of 20% and 10% taken at once


@dataclass(frozen=True)
class ConvLevel:
    """One round of pruning of a tanh net of 3 x 3 convolutions, a mean over places and a linear layer (RMT-3)."""

    dataset: str = "digits"
    pool: int = 1250
    tests: int = 540
    layers: int = 8
    channels: int = 8
    sigma_w: float = 1.4
    sigma_b: float = 0.3
    lr: float = 5e-3
    batch: int = 32
    epochs: int = 12
    level: int = 0
    rate: float = THREE[0]
    last: float = THREE[1]
    seeds: tuple[int, ...] = tuple(range(5))

    @property
    def previous(self) -> ConvLevel | None:
        """The round before."""
        return replace(self, level=self.level - 1) if self.level else None

    @property
    def cost(self) -> float:
        """Relative time, to start long runs first."""
        return 1e3 * self.epochs * self.pool * len(self.seeds) / 1e3


@run.register
def run_conv(config: ConvLevel, before: Arrays | None = None) -> Arrays:
    """Return train_error, final_error (of the test set) and density [S], and mask.<layer>, end.<layer> [S, ...]."""
    data = load(config.dataset, n_train=config.pool, n_test=config.tests, flatten=False)
    nets = [seeded(conv_net, seed, config, data) for seed in config.seeds]
    masks = _next_conv_masks(config, weights_of(nets), before)
    apply(nets, masks)
    parts = {"train": Examples(data.train.x, data.train.y), "test": Examples(data.test.x, data.test.y)}
    history = fit(
        nets, parts["train"], optimizer=Adam(config.lr), epochs=config.epochs, batch_size=config.batch,
        seeds=config.seeds, evaluate=parts,
    )  # fmt: skip
    kept = sum(mask.flatten(1).sum(1) for mask in masks.values())
    total = sum(mask[0].numel() for mask in masks.values())
    found = {"train_error": history.final("train_error"), "final_error": history.final("test_error")}
    found |= {"density": (torch.as_tensor(kept) / total).numpy()}
    found |= {f"mask.{name}": mask.numpy() for name, mask in masks.items()}
    return found | {f"end.{name}": values.numpy() for name, values in weights_of(nets).items()}


def conv_net(config: ConvLevel, data: Dataset) -> nn.Sequential:
    """Return one tanh net for images [B, C, h, w] or rows [B, C, n], drawn from torch's global generator."""
    rows = data.train.x.dim() == 3
    conv, pool = (nn.Conv1d, nn.AdaptiveAvgPool1d) if rows else (nn.Conv2d, nn.AdaptiveAvgPool2d)
    parts: list[nn.Module] = []
    fan_in = data.train.x.shape[1]
    for _ in range(config.layers):
        parts += [conv(fan_in, config.channels, 3, padding=1), nn.Tanh()]
        fan_in = config.channels
    net = nn.Sequential(*parts, pool(1), nn.Flatten(), nn.Linear(fan_in, data.classes))
    for part in net:
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=config.sigma_w / sqrt(part.weight[0].numel()))
            nn.init.normal_(part.bias, std=config.sigma_b)  # type: ignore[arg-type]
    return net


def _next_conv_masks(config: ConvLevel, weights: Tensors, before: Arrays | None) -> Tensors:
    if not config.level:
        return dense(weights)
    if before is None:
        raise BadInput.of("before", None, f"the arrays of level {config.level - 1}", "Run the chain from level 0.")
    ended = {name: torch.from_numpy(np.array(before[f"end.{name}"])).abs() for name in weights}
    within = {name: torch.from_numpy(np.array(before[f"mask.{name}"])) for name in weights}
    return keep(ended, round_counts(shapes_of(weights), config.level, config.rate, config.last), within)
