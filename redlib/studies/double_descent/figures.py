"""The figures of the double-descent study, one function each, and what its explorer shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redlib import plots
from redlib.data.streams import rng
from redlib.experiments.results import Results
from redlib.measures.leastsquares import Floats, first, fourier_features, isotropic_risk, min_norm
from redlib.studies.double_descent import claims
from redlib.studies.double_descent.claims import BySize, final
from redlib.studies.double_descent.linear import Gaussian
from redlib.studies.double_descent.nets import WidthSweep

TEST, EXAMPLES = "test error (%)", "training examples n"
FITTED = "training set fitted"
HUES = "sky", "green", "blue", "purple", "orange"
Shape = dict[str, Any]
Sweeps = Mapping[str, tuple[Results, str]]  # label: (sweep over width, colour)


# ---- models we can solve ----


class Toy(NamedTuple):
    """Fits to a few noisy points of a curve, by the number of features: a picture to explain with, and no evidence."""

    x: Floats
    y: Floats
    grid: Floats
    truth: Floats  # the curve on the grid
    fits: dict[int, Floats]  # on the grid
    smallest: dict[int, float]  # the smallest singular value of the features at the points

    @property
    def distance(self) -> dict[int, float]:
        """The root-mean-square distance of each fit from the curve, by the number of features."""
        return {count: float(np.sqrt(np.mean((fit - self.truth) ** 2))) for count, fit in self.fits.items()}


def toy(counts: Sequence[int] = (4, 12, 600), points: int = 12, noise: float = 0.3, seed: int = 20_001) -> Toy:
    """Return fits of least norm by so many random waves to points of a sine; one draw, chosen to be clear.

    The frequencies have heavy tails: with normal ones even many waves would leave singular values of almost zero.
    """
    draw, of_waves = rng(seed, "noise"), rng(seed, "features")
    x, grid = (np.arange(points) + draw.uniform(0.2, 0.8, points)) * 2 / points - 1, np.linspace(-1, 1, 401)
    y = np.sin(np.pi * x) + noise * draw.standard_normal(points)
    bank = 2.5 * of_waves.standard_t(2, (max(counts), 1)), of_waves.uniform(0, 2 * np.pi, max(counts))
    at_points, on_grid = (fourier_features(places[:, None], bank) for places in (x, grid))
    designs = {count: first(at_points, count) for count in counts}
    fits = {count: (first(on_grid, count) @ min_norm(design, y[:, None]))[:, 0] for count, design in designs.items()}
    smallest = {count: float(np.linalg.svd(design, compute_uv=False)[-1]) for count, design in designs.items()}
    return Toy(x, y, grid, np.sin(np.pi * grid), fits, smallest)


def fits(shown: Toy) -> Figure:
    """Return the fits to a few noisy points, a panel for each number of features."""
    fig, axes = plots.panels(len(shown.fits), width=12.5)
    for ax, (count, fit) in zip(axes, shown.fits.items(), strict=True):
        ax.plot(shown.grid, shown.truth, color=plots.paint("grey"), linestyle="--", label="truth")
        ax.plot(shown.grid, fit, color=plots.paint("blue"), label="fit")
        ax.plot(shown.x, shown.y, "o", color=plots.paint("orange"), markersize=6, label=f"{len(shown.x)} noisy points")
        place = "fewer than" if count < len(shown.x) else "as many as" if count == len(shown.x) else "more than"
        ax.set(ylim=(-2.5, 2.5), xlabel="x", title=f"{count} waves, {place} points")
    axes[0].set_ylabel("y")
    axes[0].legend(loc="upper left")
    return fig


def features(found: Results) -> Figure:
    """Return errors and coefficient norm of random features against their number."""
    n, counts = found.labels["sample"][0], found.labels["count"]
    own, ticks = found.at(sample=n), [n // 16, n // 4, n, 4 * n, 16 * n]
    shape: Shape = {"xlabel": "random features N", "log2": ticks, "marks": {"N = n": n}, "marker": ""}
    errors = {kind: (100 * own[f"{kind}_zero_one"], hue) for kind, hue in (("test", "blue"), ("train", "orange"))}
    norm = {"": (own["coefficient_norm"], "green")}
    fig, (left, right) = plots.panels(2)
    plots.curves(left, counts, errors, ylabel="error (%)", title="The second descent", legend="center right", **shape)
    plots.curves(right, counts, norm, ylabel="‖coefficients‖", title="A simpler fit beyond N = n?", logy=True, **shape)
    return fig


def parts(polynomial: Results, found: Results, n: int) -> Figure:
    """Return bias² and variance of polynomials by degree, and of random features by their number, n examples."""
    fig, (left, right) = plots.panels(2)
    named: Shape = {"bias²": (polynomial["bias2"], "blue"), "variance": (polynomial["variance"], "orange")}
    named["total"], degrees = (polynomial["total"], "grey"), polynomial.labels["degree"]
    plots.curves(left, degrees, named, xlabel="polynomial degree", ylabel="squared error", title="Polynomials")
    counts = np.array(found.labels["count"])
    away = counts != n  # at n the bias has no finite variance
    named = {"bias²": (found["bias2"][:, away], "blue", {"x": counts[away]}), "variance": (found["variance"], "orange")}
    shape: Shape = {"log2": counts, "logy": True, "marks": {"features = examples": n}}
    plots.curves(right, counts, named, xlabel="random features", title="Random features", **shape)
    return fig


def least_squares(config: Gaussian, found: Results, ridge: Results) -> Figure:
    """Return the excess error of least squares beside its formula, and what the best penalty makes of it."""
    sizes, far = np.array(config.samples), claims.far(config)
    grid = np.arange(sizes[0], sizes[-1] + 1)
    excess = found["ridgeless"]
    shape: Shape = {"xlabel": EXAMPLES, "seeds": False, "logy": True}
    fig, (left, right) = plots.panels(2)
    exact = isotropic_risk(grid, config.dim, config.noise, config.norm)
    left.plot(grid, exact, color=plots.INK, label="formula (mean)")
    named: Shape = {"mean of runs": (excess[:, far].mean(-1), "orange", {"x": sizes[far], "linestyle": ""})}
    named["median of runs"], marks = (np.median(excess, -1), "sky"), {"n = d": config.dim}
    plots.curves(left, sizes, named, ylabel="excess error", title="No penalty", marks=marks, **shape)
    left.set_ylim(0.02, 200)
    risks = {"no penalty": (ridge["ridgeless"], "grey"), "best penalty": (ridge.at(multiple=1.0)["ridge"], "green")}
    named = {label: (np.median(risk, -1), hue) for label, (risk, hue) in risks.items()}
    plots.curves(right, ridge.labels["sample"], named, ylabel="median excess error", title="With a penalty", **shape)
    return fig


def descents(found: Results) -> Figure:
    """Return the excess losses of SGD and gradient descent with too few random features, and with enough."""
    sgd = found["sgd_loss"] - found["least_loss"][..., None] * [[1], [0]]  # the modern least loss is 0
    every = {"SGD": (sgd, "orange"), "GD, equal epochs": (found["gd_excess"], "blue")}
    every |= {"GD, equal steps": (found["gd_excess_steps"], "green")}
    fig, axes = plots.panels(2)
    for c, ax in enumerate(axes):
        named = {label: (np.maximum(values[:, c], 1e-16), hue) for label, (values, hue) in every.items()}
        shape: Shape = {"xlabel": "epochs", "ylabel": "loss above the least", "logy": True, "marker": ""}
        plots.curves(ax, range(sgd.shape[-1]), named, title=f"{found.labels['count'][c]} random features", **shape)
    return fig


# ---- networks ----


def by_width(ax: Axes, named: Sweeps, curve: str = "test_error", **more: Any) -> None:
    """Draw what sweeps end with over their widths."""
    widest = max((found.labels["width"] for found, _ in named.values()), key=len)
    ends = {label: (final(found, curve), hue, {"x": found.labels["width"]}) for label, (found, hue) in named.items()}
    shape: Shape = {"log2": widest, "xlabel": "width", "ylabel": TEST, "seeds": False}
    plots.curves(ax, widest, ends, **shape | more)


def by_parameters(config: WidthSweep, fresh: Results, reused: Results) -> Figure:
    """Return test loss and training error against parameters over numbers to fit."""
    share = [config.over_labels(width) for width in config.widths]
    shape: Shape = {"log2": [0.03, 0.1, 0.3, 1, 3, 10], "marks": {"P = K·n": 1}, "seeds": False}
    fig, axes = plots.panels(2)
    kinds = (("test_loss", "test loss", "On test data"), ("train_error", "training error (%)", "On training data"))
    for ax, (curve, name, title) in zip(axes, kinds, strict=True):
        named = {"fresh weights": (final(fresh, curve), "blue"), "reused weights": (final(reused, curve), "orange")}
        plots.curves(ax, share, named, ylabel=name, title=title, xlabel="parameters / (classes × examples)", **shape)
    return fig


def noise(noisy: Results, milder: Results, clean: Results, share: float) -> Figure:
    """Return test error by width with a share of wrong labels, with half of it, and without."""
    fig, (ax,) = plots.panels(1, width=6.4)
    told = {f"{share:.0%} wrong labels": (noisy, "orange"), f"{share / 2:.0%} wrong labels": (milder, "purple")}
    by_width(ax, told | {"no wrong labels": (clean, "blue")}, seeds=True)
    return fig


def deep(found: Results) -> Figure:
    """Return the errors of deep nets by width."""
    marks = {FITTED: np.median(claims.threshold(found)), "peak": claims.peak(found).n_peak}
    fig, (ax,) = plots.panels(1, width=6.4)
    by_width(ax, {"train": (found, "orange")}, "train_error", seeds=True)
    shape: Shape = {
        "xlabel": "width of both hidden layers",
        "ylabel": "error (%)",
        "legend": "lower left",
        "seeds": True,
    }
    by_width(ax, {"test": (found, "blue")}, marks=marks, **shape)
    return fig


def through_training(noisy: Results) -> Figure:
    """Return the widest net's test error, and the threshold, through training."""
    error, (times, track) = 100 * claims.widest(noisy)["test_error"][:, 1:], claims.tracks(noisy)
    marks, ticks = {FITTED: np.median(claims.fitted_at(noisy))}, [1, 3, 10, 30, 100, 300, 1000]
    shape: Shape = {"log2": ticks, "xlabel": "epochs", "marker": ""}
    fig, (left, right) = plots.panels(2)
    epochs, title = noisy.labels["epoch"][1:], f"Width {noisy.labels['width'][-1]}"
    plots.curves(left, epochs, {"": (error, "blue")}, ylabel=TEST, title=title, marks=marks, **shape)
    named, widths = {"": (2**track, "purple")}, [8, 16, 32, 64, 128, 256]
    plots.curves(right, times, named, title="The smallest width that fits", ylabel="width", logy=widths, **shape)
    return fig


def data(by_n: BySize, noisy: Results, shifted: Results) -> Figure:
    """Return test error by width for several numbers of examples, and with shifted copies."""
    fig, (left, right) = plots.panels(2)
    named = {f"n = {n}": (found, hue) for (n, found), hue in zip(by_n.items(), HUES, strict=False)}
    by_width(left, named, title="More data", legend="end")
    by_width(right, {"plain": (noisy, "blue"), "shifted copies": (shifted, "green")}, title="Augmentation")
    return fig


def sizes(samples: Results, by_n: BySize, n: int) -> Figure:
    """Return test error by number of examples: of random features, and of nets narrow, at n's peak, and wide."""
    fig, (left, right) = plots.panels(2)
    count = samples.labels["count"][0]
    shape: Shape = {"xlabel": EXAMPLES, "ylabel": TEST}
    named = {"": (100 * samples.at(count=count)["test_zero_one"], "blue")}
    marks, title = {"n = N": count}, f"{count} random features"
    plots.curves(left, samples.labels["sample"], named, title=title, marks=marks, **shape)
    grid = min((found.labels["width"] for found in by_n.values()), key=len)
    widths = grid[len(grid) // 3], int(claims.peak(by_n[n]).n_peak), grid[-1]
    named = {
        f"width {width}": (np.stack([final(found.at(width=width)) for found in by_n.values()], 1), hue)
        for width, hue in zip(widths, HUES, strict=False)
    }
    plots.curves(right, list(by_n), named, seeds=False, log2=list(by_n), title="Networks", **shape)
    return fig


# ---- what removes the peak ----


def cures(plain: Results, decayed: Results, team: Results) -> Figure:
    """Return test error with and without weight decay, and of single nets and ensembles."""
    fig, (left, right) = plots.panels(2)
    by_width(left, {"no decay": (plain, "grey"), "decay by validation": (decayed, "green")}, title="Weight decay")
    named = {"one net": (100 * team["member_error"], "grey"), "mean": (100 * team["ensemble_error"], "purple")}
    grid = team.labels["width"]
    plots.curves(right, grid, named, log2=grid, xlabel="width", title="Ensembles", seeds=False)
    return fig


def beyond(clean: Results, students: Results) -> Figure:
    """Return test error on clean labels by width, and the share of students that fit their teacher."""
    fig, (left, right) = plots.panels(2)
    perfect = {"no training error": np.median(claims.threshold(clean, 0.0))}
    by_width(left, {"": (clean, "blue")}, title="Clean labels", marks=perfect, seeds=True)
    grid, named = students.labels["multiple"], {"": (100 * students["success"], "green")}
    plots.curves(right, grid, named, log2=grid, xlabel="student width / teacher width", ylabel="perfect fits (%)",
                 title="Who fits a teacher?")  # fmt: skip
    return fig


def explored(clean: Results, noisy: Results, share: float) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Return the axes and the curves of the explorer: mean errors by label noise, width and epoch of both runs."""
    epochs = clean.labels["epoch"]
    places = [noisy.labels["epoch"].index(epoch) for epoch in epochs]
    axes = {"noise": [0.0, share], "width": list(clean.labels["width"]), "epoch": list(epochs)}
    names = {"test": "test_error", "train": "train_error"}
    every = {kind: [clean[name].mean(0), noisy[name].mean(0)[:, places]] for kind, name in names.items()}
    return axes, {kind: 100 * np.stack(both) for kind, both in every.items()}
