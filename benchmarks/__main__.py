"""`python -m benchmarks [steps] [job]`: time rows in interleaved rounds, then a whole job, for benchmarks/results.json.

Each part is written when it is done; without a name both are run, and a part that is not run keeps its rows.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import pruned
from benchmarks.baselines import data_loader_loop, plain_width, resident_loop
from benchmarks.pruned import LENET
from redlib.evidence.files import write_atomic
from redlib.evidence.provenance import environment
from redlib.nets import RaggedMLP, StackedMLP
from redlib.nets.sizes import weight_count
from redlib.training import SGD, Adam, Examples, fit

ROUNDS = 7
RESULTS = Path(__file__).parent / "results.json"
SMALL, WIDTHS = (40, 100, 100, 10), (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
Timer = Callable[[], float]


def per_step(work: Callable[[], object], model_steps: int) -> Timer:
    """Return a function that runs `work` once and returns milliseconds per model-step."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) / model_steps * 1e3

    return run


def stacked(sizes, data: Examples, replicates: int, steps: int, batch: int, momentum: float = 0.0) -> Timer:
    """Time `replicates` nets in one stack."""
    net = StackedMLP.create(sizes, range(replicates))
    rule = SGD(0.1, momentum=momentum)
    options = {"optimizer": rule, "steps": steps, "batch_size": batch, "device": "cpu"}
    return per_step(lambda: fit(net, data, **options), steps * replicates)


def ragged(data: Examples, seeds: int, steps: int) -> Timer:
    """Time a width sweep as one ragged stack, per step of one net."""
    net = RaggedMLP.create(40, WIDTHS, 10, range(seeds))
    rule = Adam(2e-3)
    work = lambda: fit(net, data, loss="mse", optimizer=rule, steps=steps, batch_size=100, device="cpu")  # noqa: E731
    return per_step(work, steps * seeds * len(WIDTHS))


def one_width_after_another(data: Examples, seeds: int, steps: int) -> Timer:
    """Time the same sweep with one stack of seeds for each width."""
    nets = [StackedMLP.create((40, width, 10), range(seeds)) for width in WIDTHS]

    def work() -> None:
        for net in nets:
            fit(net, data, loss="mse", optimizer=Adam(2e-3), steps=steps, batch_size=100, device="cpu")

    return per_step(work, steps * seeds * len(WIDTHS))


def peak_gflops(size: int = 4096) -> float:
    """Return the fp32 rate of torch.mm at size x size in GFLOP/s."""
    a = torch.randn(size, size)
    start = time.perf_counter()
    torch.mm(a, a)
    return 2 * size**3 / (time.perf_counter() - start) / 1e9


def lenet_flops(batch: int) -> int:
    """Return the operations of one step: forward and weight gradients everywhere, input gradients above layer 1."""
    return 2 * batch * (2 * weight_count(LENET) + weight_count(LENET[1:]))


def pool(inputs: int, n: int) -> Examples:
    """Return random inputs and labels: the time of a step does not depend on what is learned."""
    source = torch.Generator().manual_seed(0)
    return Examples(torch.rand(n, inputs, generator=source), torch.randint(10, (n,), generator=source))


def timers() -> dict[str, tuple[str, Timer, str, Timer]]:
    """Return the rows: name -> (our way, timer, baseline, timer)."""
    mnist, small, few = pool(784, 60_000), pool(40, 4000), pool(40, 400)
    lenet = stacked(LENET, mnist, 8, 400, 128)
    rows = {
        "LeNet-300-100, 60,000 random inputs of MNIST's size, batch 128, against a DataLoader loop": (
            "8 nets in one stack", lenet, "DataLoader + nn.Sequential + SGD",
            per_step(lambda: data_loader_loop(LENET, mnist.x, mnist.y, 300, 128), 300)),
        "LeNet-300-100, 60,000 random inputs of MNIST's size, batch 128, against resident tensors": (
            "8 nets in one stack", lenet, "resident tensors + autograd + SGD",
            per_step(lambda: resident_loop(LENET, mnist.x, mnist.y, 300, 128), 300)),
    }  # fmt: skip
    for batch in (100, 32):
        rows[f"MNIST-1D MLP 40-100-100-10, momentum, batch {batch}"] = (
            "32 nets in one stack", stacked(SMALL, small, 32, 300, batch, 0.9), "32 resident loops, one after another",
            per_step(lambda b=batch: resident_loop(SMALL, small.x, small.y, 1000, b, 0.9), 1000))  # fmt: skip
    sweep = ragged(few, 5, 200)
    rows["13 widths 2-512, 5 seeds, Adam, squared loss, batch 100"] = (
        "one ragged stack",
        sweep,
        "one stack of seeds per width",
        one_width_after_another(few, 5, 200),
    )
    rows["the same 13 widths, against plain loops"] = (
        "one ragged stack",
        sweep,
        "resident tensors + autograd + Adam, one net after another",
        per_step(lambda: [plain_width(few.x, few.y, width, 100) for width in WIDTHS], 100 * len(WIDTHS)),
    )
    return rows | pruned_rows()


def pruned_rows() -> dict[str, tuple[str, Timer, str, Timer]]:
    """Return the rows of pruned nets; none where MNIST is missing."""
    images = pruned.mnist(10_000)
    if images is None:
        print("no MNIST (set REDLIB_DATA): the rows of pruned nets are left out", flush=True)
        return {}
    return {
        name: ("sparse step", per_step(sparse, count), "dense stack", per_step(dense, count))
        for name, count, sparse, dense in pruned.steps(images)
    }


def main(*asked: str) -> None:
    """Run the parts asked for (default: all), print their rows and write each part into results.json."""
    for part in asked or PARTS:
        where = environment()
        about = {"hardware": f"{where['cpu']}, {where['cores']} cores", "versions": where["versions"], "part": part}
        found = PARTS[part](about | {"commit": where["commit"]})
        for e in found:
            print(f"{e['name']}: {e['ours']:.4g} vs {e['baseline']:.4g} {e['unit']}, ratio {e['ratio']:.2f}")
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        others = [e for e in known if e["part"] != part]
        ordered = sorted(others + found, key=lambda e: list(PARTS).index(e["part"]))
        write_atomic(RESULTS, (json.dumps(ordered, indent=1) + "\n").encode())


def steps(about: dict) -> list[dict]:
    """Return the rows of training steps, medians of interleaved rounds."""
    rows = timers()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    peaks = []
    for turn in range(ROUNDS + 1):
        peaks.append(peak_gflops())
        for name, (_, ours, _, baseline) in rows.items():
            times[name].append((ours(), baseline()))
        print(f"round {turn}/{ROUNDS}{' (warm-up, not counted)' if not turn else ''}", flush=True)
    about = about | {"runs": ROUNDS}
    found = [row(name, rows[name], pairs[1:], about) for name, pairs in times.items()]
    peak = statistics.median(peaks[1:])
    rate = lenet_flops(128) / found[0]["ours"] / 1e6
    return [*found, {
        "name": "LeNet-300-100: arithmetic rate against torch.mm at 4096", "ours": rate,
        "ours_is": "8 nets in one stack",
        "baseline": peak, "baseline_is": "torch.mm, fp32", "ratio": rate / peak, "unit": "GFLOP/s", **about,
    }]  # fmt: skip


def whole_job(about: dict) -> list[dict]:
    """Return the row of a whole ticket job on all of MNIST, each way run once."""
    images = pruned.mnist(60_000)
    if images is None:
        return []
    ours, baseline = (pruned.job(images, how) / 60 for how in ("auto", "dense"))
    return [{
        "name": "LeNet-300-100 on all of MNIST: 15 rounds of pruning, 5 seeds, 10 epochs a round, end to end",
        "ours": ours, "ours_is": "the faster of dense and sparse at each level, timed", "baseline": baseline,
        "baseline_is": "dense stack", "ratio": baseline / ours, "unit": "minutes", **about, "runs": 1,
    }]  # fmt: skip


PARTS = {"steps": steps, "job": whole_job}


def row(name: str, kinds: tuple[str, Timer, str, Timer], pairs: list[tuple[float, float]], about: dict) -> dict:
    """Return one row of results: medians, and the median of the ratios round by round (baseline / ours)."""
    ours, baseline = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return {"name": name, "ours": ours, "ours_is": kinds[0], "baseline": baseline, "baseline_is": kinds[2],
            "ratio": ratio, "unit": "ms per model-step", "detail": pruned.is_detail(name), **about}  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
