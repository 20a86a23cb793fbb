"""The loops a user would write: what the library is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Return a plain ReLU MLP."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def data_loader_loop(sizes, x: Tensor, y: Tensor, steps: int, batch: int, momentum: float = 0.0) -> None:
    """Train with a shuffling DataLoader, nn.Sequential and torch.optim.SGD, as tutorials do."""
    net = mlp(sizes)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum)
    done = 0
    while done < steps:
        for inputs, labels in DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True):
            optimiser.zero_grad()
            functional.cross_entropy(net(inputs), labels).backward()
            optimiser.step()
            done += 1
            if done == steps:
                return


def resident_loop(sizes, x: Tensor, y: Tensor, steps: int, batch: int, momentum: float = 0.0) -> None:
    """Train with tensors in memory, shuffled indices and autograd: what a careful user writes."""
    net = mlp(sizes)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum)
    order = torch.randperm(len(x))
    for step in range(steps):
        at = (step * batch) % len(x)
        if at + batch > len(x):
            order, at = torch.randperm(len(x)), 0
        rows = order[at : at + batch]
        optimiser.zero_grad()
        functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimiser.step()


def plain_width(x: Tensor, y: Tensor, width: int, steps: int) -> None:
    """Train one width by autograd with resident tensors, as a careful user would."""
    net = mlp((40, width, 10))
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    target = functional.one_hot(y, 10).float()
    for _ in range(steps):
        rows = torch.randperm(len(x))[:100]
        optimiser.zero_grad()
        functional.mse_loss(net(x[rows]), target[rows]).backward()
        optimiser.step()
