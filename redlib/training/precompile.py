"""`python -m redlib.training.precompile`: compile the sparse kernels into their cache, so that no run has to wait."""

from __future__ import annotations

import time

import torch

from redlib.nets import StackedMLP
from redlib.training import SGD, Examples, evaluate, fit
from redlib.training.sparse import NO_NUMBA, why_not


def main() -> None:
    """Take one step of a tiny pruned net and print how long that took, or why there is nothing to compile."""
    net = StackedMLP.create((2, 2, 2), seeds=[0])
    net.apply_masks([torch.eye(2, dtype=torch.bool).expand(1, 2, 2) for _ in net.weights])
    if reason := next(filter(None, why_not(net)), ""):
        print(reason if reason == NO_NUMBA else f"nothing to compile: {reason}")
        return
    examples = Examples(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64))
    begin = time.perf_counter()
    fit(net, examples, optimizer=SGD(0.1), steps=1, execution="sparse", device="cpu")
    net.apply_masks([torch.tensor([[[True, False], [False, False]]]) for _ in net.weights])
    evaluate(net, examples)  # pruned to a quarter, it is read by the sparse kernel
    print(f"sparse kernels ready after {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
