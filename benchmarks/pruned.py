"""Rows about pruned nets: the sparse step against the dense stack on real tickets, and one whole ticket job."""

from __future__ import annotations

import time
from collections.abc import Iterator

from redlib.data import load
from redlib.data.readers import DataMissing
from redlib.nets import StackedMLP
from redlib.pruning.masks import Tensors
from redlib.pruning.tickets import find_tickets
from redlib.training import SGD, Adam, Examples, fit
from redlib.training.execution import by_density

LENET = (784, 300, 100, 10)
DENSITIES = {3: "51%", 7: "21%", 10: "10.7%", 13: "5.5%", 20: "1.15%"}  # after so many rounds of 20% (last layer 10%)
REPLICATES, BATCHES = (2, 8), (128, 60)
SHOWN = ("51", "10.7", "1.15")  # shares of the weights that the README shows: from no gain to the largest


def mnist(n: int) -> Examples | None:
    """Return n training images of MNIST, None where the files are missing: real tickets need real images."""
    try:
        data = load("mnist", n_train=n, download=False)
    except DataMissing:
        return None
    return Examples(data.train.x, data.train.y)


def tickets(data: Examples) -> list[Tensors]:
    """Return the masks of twenty real rounds, 400 steps each, for as many nets as the largest stack."""
    net = StackedMLP.create(LENET, range(max(REPLICATES)), init="glorot")

    def train(part: StackedMLP) -> None:
        options = {"optimizer": Adam(1.2e-3), "steps": 400, "batch_size": 60, "device": "cpu"}
        fit(part, data, execution=by_density(part), **options)

    return find_tickets(net, train, max(DENSITIES))


def steps(data: Examples) -> Iterator[tuple[str, int, object, object]]:
    """Yield (name, model-steps, sparse work, dense work) for every density, number of replicates and batch size."""
    found = tickets(data)
    for replicates in REPLICATES:
        for batch in BATCHES:
            for level, density in DENSITIES.items():
                net = StackedMLP.create(LENET, range(replicates), init="glorot")
                net.apply_masks([mask[:replicates] for mask in found[level].values()])
                name = f"pruned LeNet-300-100, {density} of the weights, {replicates} nets, batch {batch}"
                count = 640 // replicates
                yield name, count * replicates, *(_work(net, data, count, batch, how) for how in ("sparse", "dense"))


def _work(net: StackedMLP, data: Examples, count: int, batch: int, how: str):
    rule = SGD(0.01, momentum=0.9)
    return lambda: fit(net, data, optimizer=rule, steps=count, batch_size=batch, execution=how, device="cpu")


def is_detail(name: str) -> bool:
    """Return whether a row is left to results.json: all but one number of nets and batch size, at three densities."""
    shown = name.endswith("8 nets, batch 128") and any(f" {share}%" in name for share in SHOWN)
    return name.startswith("pruned") and not shown


def job(data: Examples, execution: str, rounds: int = 15, seeds: int = 5, epochs: int = 10) -> float:
    """Return the seconds of a whole iterative pruning: LeNet-300-100, all images, every level trained and the last."""
    net = StackedMLP.create(LENET, range(seeds), init="glorot")

    def train(part: StackedMLP) -> None:
        fit(part, data, optimizer=Adam(1.2e-3), epochs=epochs, batch_size=128, execution=execution, device="cpu")

    begin = time.perf_counter()
    find_tickets(net, train, rounds)
    return time.perf_counter() - begin
