"""Results of the study of mislabelled data made up by hand, for the tests of its claims and figures."""

import numpy as np

from redlib.experiments.results import Results, stack

GRID = (0, 0.1, 1.3, 2.0, 3.0, 4.0)
RATES = (10, 20, 50, 70, 80, 100, 125)
AXES = {
    "true": ("image",), "epochs": ("look",), "assigned": ("seed", "image"), "train": ("seed", "blur", "image"),
    "test": ("seed", "blur", "unseen"), "wrong_mislabelled": ("seed", "look"), "wrong_clean": ("seed", "look"),
    "flips_gradient": ("seed", "step"), "flips_random": ("seed", "step"), "changed_noise": ("seed", "group", "size"),
}  # fmt: skip
LABELS = {"blur": GRID, "size": (1.3, 4.0), "step": (0.05, 0.1), "group": ("mislabelled", "clean")}


def some(clean, mislabelled, n=(200, 20), seeds=2, lost=((0, 0), (0, 0)), test=None, **more):
    """Results of one rate whose groups change by shares [K + 1]; the true class is 0, the wrong label 1.

    `lost` are the numbers of mislabelled and of clean images not learned, at each of the looks.
    """
    assigned = np.repeat([[0] * n[0] + [1] * n[1]], seeds, 0).astype(np.int8)
    pairs = zip(n, (clean, mislabelled), strict=True)
    moved = [np.arange(size)[None] < round_up(shares, size)[:, None] for size, shares in pairs]
    train = np.where(np.concatenate(moved, 1), 2, assigned[:1])[None].repeat(seeds, 0).astype(np.int8)
    unseen = np.where(np.arange(100)[None] < round_up(clean if test is None else test, 100)[:, None], 2, 0)
    wrong = np.array(lost).T[:, None].repeat(seeds, 1)
    arrays = {
        "true": np.zeros(sum(n), np.int8), "assigned": assigned, "train": train,
        "test": unseen[None].repeat(seeds, 0).astype(np.int8), "epochs": np.arange(1, 1 + len(lost)) * 4,
        "wrong_mislabelled": wrong[0], "wrong_clean": wrong[1],
    } | {name: np.asarray(values) for name, values in more.items()}  # fmt: skip
    return Results(arrays, {name: AXES[name] for name in arrays}, LABELS)


def round_up(shares, size):
    return np.round(np.asarray(shares) * size)


def rising(top):
    """A share that rises in a line from 0 at a blur of 1.3 to `top` at 4."""
    return np.clip((np.array(GRID) - 1.3) / 2.7, 0, 1) * top


def rated(by_rate):
    """Results of several rates as one."""
    return stack(by_rate, "rate")


def planted(step, seeds=3):
    """Seven rates whose clean areas are 20, those above the claimed transition higher by `step`; seeds differ a bit."""
    tops = {k: 0.4 + (2 * step / 100 if k <= 70 else 0) for k in RATES}
    flips = {"flips_gradient": [[0.3, 0.6]], "flips_random": [[0.0, 0.1]]}

    def one(k, seed):
        shares = rising(tops[k] + 0.01 * (seed + (k * seed) % 3))
        return some(shares, rising(1), n=(1000 - 1000 // k, 1000 // k), seeds=1, **flips)

    return rated({k: joined([one(k, seed) for seed in range(seeds)]) for k in RATES})


def joined(parts):
    """Results of several seeds as one."""
    arrays = {
        name: np.concatenate([one[name] for one in parts]) if "seed" in axes else parts[0][name]
        for name, axes in parts[0].axes.items()
    }
    return Results(arrays, parts[0].axes, LABELS)


def tickets(by_rate):
    """Accuracies on mislabelled images of one seed at four densities, by rate."""
    density = np.array([[1, 0.4, 0.16, 0.064]])
    axes = {"density": ("seed", "level"), "mislabelled_accuracy": ("seed", "level")}
    labels = {"level": range(4)}
    return rated({
        k: Results({"density": density, "mislabelled_accuracy": np.array([row], float)}, axes, labels)
        for k, row in by_rate.items()
    })  # fmt: skip


def kernel(seeds=3):
    """Spreads and correlations of the kernel run."""
    paddings = "reflect", "replicate", "zero", "circular"
    arrays = {f"limit_{name}": np.linspace(0.1, 0.2, seeds) + i for i, name in enumerate(paddings)}
    arrays["correlation"] = np.linspace(0.8, 0.9, seeds)
    return Results(arrays, dict.fromkeys(arrays, ("seed",)))
