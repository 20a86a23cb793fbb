"""The figures of the study of mean field and random matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from redlib import plots
from redlib.experiments.chain import D11, D21, D51
from redlib.experiments.results import Results
from redlib.measures import meanfield
from redlib.measures.spectra import mp_singular_law
from redlib.plots.style import COLOURS, CYCLE, INK, panels
from redlib.studies.mean_field_rmt import claims
from redlib.studies.mean_field_rmt.claims import Floats, Nets, accuracy, deep
from redlib.studies.mean_field_rmt.runs import EDGES, Start, Tanh

Looks = Mapping[str, tuple[Any, ...]]  # key: (label, colour), and options of `plots.curves`
STARTS = {"full": ("bias .3", "blue"), "literal": ("bias .3/√256", "orange"), "orthogonal": ("orthogonal", "green")}
CHAINS = {
    "normal": ("FCNet, normal", "blue"),
    "orthogonal": ("orthogonal", "green"),
    "augmented": ("augmented data", "gold"),
    "residual": ("residual", "purple"),
    "conv": ("ConvNet", "orange"),
}
LAWS: Looks = {
    "naive": ("naive", "orange"),
    # These two lie on each other: a broad pale line with rings, and a thin dashed one with crosses on top of it.
    "density": ("corrected for density", "sky", {"linewidth": 4.5, "marker": "o", "markersize": 8, "mfc": "none"}),
    "rows": ("corrected row by row", "green", {"linewidth": 1.3, "linestyle": "--", "marker": "x", "markersize": 5.5}),
}
ARMS = {
    "random": ("random mask", "grey"),
    "corrected": ("variance restored", "orange"),
    "chi_matched": ("χ of the ticket", "green"),
    "ticket": ("ticket", "blue"),
}
JACOBIANS = {
    "log_mean_squared_singular_value_imp_minus_random": ("mean square, less random", "blue"),
    "log_mean_squared_singular_value_imp_minus_chi_matched": ("mean square, less χ-matched", "green"),
    "log_largest_singular_value_imp_minus_random": ("largest, less random", "blue"),
    "log_condition_number_imp_minus_random": ("condition, less random", "blue"),
}
WIDER = {
    "accuracy_random_mask_std_2p24_minus_1p4": ("random mask, 2.24", "grey"),
    "accuracy_random_mask_std_2p52_minus_1p4": ("random mask, 2.52", "grey"),
    "accuracy_random_mask_std_3p13_minus_1p4": ("random mask, 3.13", "grey"),
    "accuracy_imp_mask_std_2p24_minus_1p4": ("pruned mask, 2.24", "blue"),
    "accuracy_imp_mask_std_2p52_minus_1p4": ("pruned mask, 2.52", "blue"),
    "accuracy_imp_mask_std_3p13_minus_1p4": ("pruned mask, 3.13", "blue"),
}
PEAKS = {
    "accuracy_bimodal_random_mask_minus_ticket": ("random mask, less the ticket", "orange"),
    "accuracy_bimodal_minus_gaussian_random_mask": ("random mask, less Gaussian", "grey"),
    "accuracy_bimodal_minus_same_spread_random_mask": ("random mask, less as wide a Gaussian", "gold"),
    "accuracy_bimodal_minus_gaussian_imp_mask": ("pruned mask, less Gaussian", "blue"),
    "accuracy_bimodal_minus_same_spread_imp_mask": ("pruned mask, less as wide a Gaussian", "gold"),
}
SCALES = 6  # times ξ: to about that depth nets can be trained (Schoenholz et al. 2017)
WHEN = {"start": "Rewound", "end": "Trained"}


def named(looks: Looks, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return label: (values[key], colour, ...) of the keys that have values, in the order of `looks`."""
    return {label: (values[key], *look) for key, (label, *look) in looks.items() if key in values}


def before_and_after(width: float, height: float) -> tuple[Figure, list[tuple[Axes, str, str]]]:
    """Return a figure and its panels for the rewound and the trained weights, with key and title."""
    fig, axes = panels(2, width=width, height=height)
    return fig, [(ax, when, title) for ax, (when, title) in zip(axes, WHEN.items(), strict=True)]


def correlations(starts: Mapping[str, Results], plan: Mapping[str, Start]) -> Figure:
    """Return the correlation of two inputs and χ over the layers for the three starts, with theory."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    c, chi = ({name: starts[name][what][:, :-1] for name in plan} for what in ("c", "chi"))
    layers = np.arange(1, 1 + c["full"].shape[1])
    plots.curves(left, layers, named(STARTS, c), xlabel="hidden layer", ylabel="correlation of two inputs",
                 title="Do two inputs stay as alike as they were?")  # fmt: skip
    for name, start in plan.items():
        theory = meanfield.c_profile(c[name][:, 0].mean(), start.lab.sigma_w, start.lab.sigma_b, len(layers))
        left.plot(layers, theory, ":", color=COLOURS[STARTS[name][1]])
    plots.curves(right, layers[1:], named(STARTS, chi), xlabel="hidden layer", ylabel="χ", levels={"": 1}, legend="",
                 title="Measured χ, and the edge at 1")  # fmt: skip
    return fig


def fixed_points(wide: Results) -> Figure:
    """Return the map of q*, and q over the layers of wide nets."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    columns, rows = ([f"{value:.1f}" for value in axis] for axis in claims.GRID)
    plots.heat(left, claims.fixed_points().T[::-1], rows=rows[::-1], columns=columns, xlabel=r"$\sigma_w$",
               ylabel=r"$\sigma_b$", title="Where q settles: q*", bar="q*")  # fmt: skip
    draw_edge(left)
    q, curves = np.moveaxis(wide["q"], 1, 0), {}
    for values, (sigma_w, sigma_b), colour in zip(q, wide.labels["sigma"], CYCLE, strict=False):
        plots.level(right, float(meanfield.q_fixed_point(sigma_w, sigma_b)), colour=colour)
        curves[rf"$\sigma_w$ {sigma_w:g}, $\sigma_b$ {sigma_b:g}"] = values, colour
    plots.curves(right, np.arange(1, q.shape[2] + 1), curves, xlabel="layer", ylabel="q", logy=(0.1, 0.3, 1, 3, 10),
                 title="Wide nets, theory dotted", legend="end", seeds=False, marker="")  # fmt: skip
    return fig


def draw_edge(ax: Axes) -> None:
    """Draw the edge of chaos over the map of q*, whose cells are those of `claims.GRID`, σ_b from the top down."""
    (widths, biases), shade = claims.GRID, [withStroke(linewidth=3.5, foreground="#101214")]
    along = np.linspace(biases[0], biases[-1], 40)
    row = len(biases) - 1 - np.interp(along, biases, range(len(biases)))
    column = np.interp(meanfield.edge_of_chaos(along), widths, range(len(widths)), right=np.nan)
    # Not the inks of the page: those change with its theme, and the cells do not.
    line: dict[str, Any] = {"color": "#fdfdfd", "path_effects": shade}
    ax.plot(column, row, label="edge of chaos, χ₁ = 1", **line)
    for place, text, side in ((0.03, "order", "left"), (0.97, "chaos", "right")):
        ax.text(place, 0.5, text, transform=ax.transAxes, ha=side, **line)
    ax.text(column[0] + 0.25, row[0] - 0.1, "edge of chaos", va="center", **line)


def draw_depth_scales(ax: Axes, sigmas: Sequence[float], depths: Sequence[int], sigma_b: float) -> None:
    """Draw six depth scales of theory over a map whose columns are σ_w and whose rows are depths, from the top down."""
    along = np.linspace(sigmas[0], sigmas[-1], 300)
    reach = SCALES * meanfield.depth_scales(along, sigma_b)[1]
    row = np.interp(reach, depths, range(len(depths)), left=np.nan, right=np.nan)
    ax.plot(np.interp(along, sigmas, range(len(sigmas))), row, color="#fdfdfd", label=f"{SCALES} ξ of theory",
            path_effects=[withStroke(linewidth=3.5, foreground="#101214")])  # fmt: skip
    ax.legend(loc="lower right", labelcolor="#fdfdfd", fontsize=9)


def trainability(brief: Results, sigma_b: float) -> Figure:
    """Return the accuracy after a brief training by depth and σ_w, and the trainable depth over the depth scale."""
    fig, (left, right) = panels(2, width=11, height=3.6)
    sigmas = brief.labels["sigma"]
    plots.heat(left, 100 * brief["train_accuracy"].mean(0), rows=[*map(str, brief.labels["depth"])], limits=(10, 100),
               columns=[*map(str, sigmas)], xlabel=r"$\sigma_w$", ylabel="layers", bar="%",
               title="Accuracy after a brief training")  # fmt: skip
    left.set_aspect("auto")
    edge = meanfield.edge_of_chaos(sigma_b)
    left.axvline(np.interp(edge, sigmas, range(len(sigmas))), color="#fdfdfd", linestyle="--", label="edge of chaos")
    draw_depth_scales(left, sigmas, brief.labels["depth"], sigma_b)
    scales, reached = meanfield.depth_scales(sigmas, sigma_b)[1], claims.trainable_depth(brief)
    for sigma, scale, depths in zip(sigmas, scales, reached.T, strict=True):
        tint = COLOURS["blue" if sigma < edge else "orange"]
        right.plot(np.full(len(depths), scale), depths, "o", color=tint, alpha=0.4)
        right.annotate(f"{sigma:g}", (scale, depths.max()), xytext=(0, 4), textcoords="offset points", ha="center",
                       fontsize=9, color=tint)  # fmt: skip
    for side, tint in (("order", "blue"), ("chaos", "orange")):
        right.plot([], [], "o", color=COLOURS[tint], label=side)
    right.set(ylabel="trainable depth (layers)", yscale="log", title=r"Trainable depth, a dot a net, by $\sigma_w$")
    # The limits are those of the nets and their names, not of the lines.
    right.set_ylim(right.get_ylim()[0], 1.12 * right.get_ylim()[1])
    most = right.get_ylim()[1]
    for multiple, style in ((1, ":"), (SCALES, "-")):
        right.plot(*np.array([(1, multiple), (most / multiple, most)]).T, style, color=INK, linewidth=1.2,
                   label="ξ" if multiple == 1 else f"{multiple} ξ")  # fmt: skip
    right.legend(loc="lower right")
    plots.log_axis(right, (3, 10, 30, 100, 300), "depth scale ξ of theory (layers)")
    known = scales[np.isfinite(scales)]
    right.set_xlim(0.8 * known.min(), 1.25 * known.max())
    plots.log_values(right, (4, 8, 16, 32, 64))
    return fig


def rises(chains: Mapping[str, Results], random: Results, fitted: Results) -> Figure:
    """Return the accuracy over density of all kinds of nets, less dense, and their gains at the best level."""
    fig, (left, right) = panels(2, width=11.5, height=4)
    dense, share = accuracy(chains["normal"])[:, :1], claims.density(chains["normal"])
    curves = {
        label: (accuracy(chain) - accuracy(chain)[:, :1], colour, {"x": chain["density"][0]})
        for (label, colour), chain in zip(CHAINS.values(), chains.values(), strict=True)
        if label != "ConvNet"
    }
    lead = accuracy(random.at(arm="random")) - dense
    curves["random masks"] = lead, "grey", {"x": share[[*random.labels["level"]]]}
    plots.curves(left, share, curves, density=True, ylabel="test accuracy, less dense (points)", levels={"": 0},
                 title="Does pruning help FCNets?")  # fmt: skip
    best, equal = {name: claims.gain(chain) for name, chain in chains.items()}, fitted["lead"]
    even = {"normal, equal loss": (equal[np.isfinite(equal)], "sky")} if np.isfinite(equal).any() else {}
    plots.dot_rows(right, named(CHAINS, best) | even, "best level less dense (points)", zero=0, title="Gain at best")
    return fig


def means(tickets: Results) -> Figure:
    """Return the mean of the kept weights over their standard deviation, by layer and density."""
    fig, axes = before_and_after(11, 3.8)
    shares = [f"{100 * share:.3g}" if k % 3 == 0 else "" for k, share in enumerate(claims.density(tickets))]
    for ax, when, title in axes:
        ratio = (tickets[f"{when}_mean"] / tickets[f"{when}_std"]).mean(0).T
        plots.heat(ax, ratio, rows=[*map(str, range(1, len(ratio))), "out"], columns=shares, xlabel="weights kept (%)",
                   ylabel="layer", limits=(-0.15, 0.15), centre=0, title=f"{title}: mean / standard deviation",
                   bar="ratio" if when == "end" else "")  # fmt: skip
        ax.set_aspect("auto")
    return fig


def spreads(tickets: Results, sigma_w: float) -> Figure:
    """Return the standard deviation of the kept weights over density, with the law of a truncated Gaussian."""
    fig, axes = before_and_after(11, 3.8)
    share = claims.density(tickets)
    law = sigma_w * np.sqrt(meanfield.magnitude_second_moment(share) / share)
    for ax, when, title in axes:
        ax.plot(share, law, ":", color=INK, label="Gaussian cut by magnitude")
        plots.curves(ax, share, by_part(tickets[f"{when}_std"]), density=True, ylabel="standard deviation × √fan-in",
                     title=title)  # fmt: skip
    return fig


def by_part(values: Floats) -> dict[str, tuple[Floats, str]]:
    """Return values by layer [S, levels, L] as means over the first, the hidden and the output layer."""
    return {
        "first layer": (values[..., 0], "orange"),
        "hidden layers": (values[..., 1:-1].mean(2), "blue"),
        "output layer": (values[..., -1], "green"),
    }


def two_peaks(peaks: Results, tickets: Results) -> Figure:
    """Return histograms of the kept weights of a middle layer at several densities, rewound and trained."""
    levels, share = peaks.labels["level"], claims.density(tickets)
    fig, axes = panels(len(levels), 2, width=12, height=2.3)
    for ax, (when, level) in zip(axes, [(when, level) for when in WHEN for level in levels], strict=True):
        heights = peaks.at(level=level)[f"{when}_histogram"].sum(0)
        ax.stairs(heights, EDGES, fill=True, color=COLOURS["blue" if when == "start" else "orange"], alpha=0.5)
        ax.set(yticks=[], title=f"{share[level]:.0%}, {WHEN[when].lower()}", xlabel="weight × √fan-in")
    return fig


def theories(tickets: Results) -> Figure:
    """Return q over density measured and by three laws, and what the laws make of it, rewound and trained."""
    fig, (left, *others) = panels(3, width=13, height=4.2)
    share, laws = claims.density(tickets), {law: deep(tickets[f"start_q_{law}"]) for law in LAWS}
    plots.curves(left, share, {"measured": (deep(tickets["start_q"]), INK)} | named(LAWS, laws), density=True,
                 logy=(0.2, 0.3, 0.5, 1, 2, 3, 5), ylabel="q deep in the net", title="Rewound: q")  # fmt: skip
    for ax, when in zip(others, WHEN, strict=True):
        ratios(ax, tickets, when)
        plots.mark(ax, share[D51], "where the source\nsaw it", y=0.62)
    return fig


def ratios(ax: Axes, tickets: Results, when: str, legend: str = "") -> None:
    """Draw q of the three theories over q measured, on a log scale; a band is a tenth wide to either side of 1.

    A note says by how much the two corrections differ, since their lines may lie on each other.
    """
    found = {law: 1 + claims.prediction_error(tickets, law, when) for law in LAWS}
    ax.axhspan(1 - claims.DEPARTED, 1 + claims.DEPARTED, color=COLOURS["grey"], alpha=0.25, linewidth=0)
    shape: dict[str, Any] = {"density": True, "logy": (0.5, 1, 2, 5, 10, 20, 50, 100), "legend": legend}
    plots.curves(ax, claims.density(tickets), named(LAWS, found), ylabel="q of theory / q measured",
                 title=f"{WHEN[when]}: theory / measured", **shape)  # fmt: skip
    apart = np.abs(found["rows"].mean(0) / found["density"].mean(0) - 1).max()
    ax.text(0.98, 0.98, f"the two corrections differ\nby at most {apart:.1%}", transform=ax.transAxes, fontsize=9,
            ha="right", va="top", color=COLOURS["green"])  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.12)  # room for the note


def measured_q(tickets: Results) -> Figure:
    """Return q deep in the net over density, rewound and trained."""
    fig, axes = before_and_after(10, 3.6)
    for ax, when, title in axes:
        plots.curves(ax, claims.density(tickets), {"": (deep(tickets[f"{when}_q"]), "blue")}, density=True, title=title,
                     ylabel="q deep in the net")  # fmt: skip
        ax.set_ylim(0)
    return fig


def elsewhere(tickets: Results) -> Figure:
    """Return accuracy over density and the errors of the theories of a chain on other data."""
    fig, (left, right) = panels(2, width=11, height=3.6)
    plots.curves(left, claims.density(tickets), {"": (accuracy(tickets), "blue")}, density=True,
                 ylabel="test accuracy (%)", title="On small photographs")  # fmt: skip
    ratios(right, tickets, "start", "upper left")
    return fig


def in_degrees(tickets: Results) -> Figure:
    """Return how uneven the inputs kept are, and the change of q when they are evened out, over density."""
    fig, (left, right) = panels(2, width=11, height=3.6)
    share = claims.density(tickets)
    plots.curves(left, share[1:], by_part(tickets["degree_ratio"][:, 1:]), density=True, title="Uneven?",
                 ylabel="variance of inputs kept, over random", levels={"": 1})  # fmt: skip
    changes = {
        "measured": (100 * claims.measured_change(tickets), "grey"),
        "mean over signs": (100 * claims.expected_change(tickets), "blue"),
    }
    plots.curves(right, share, changes, density=True, ylabel="change of q (%)", title="Does evening out change q?")
    return fig


def chi(nets: Nets, tickets: Results, lab: Tanh) -> Figure:
    """Return χ over density with theory, and accuracy over χ for tickets and random masks."""
    fig, (left, right) = panels(2, width=11, height=4)
    share = claims.density(tickets)
    for label, kept in (("cut once by magnitude", meanfield.magnitude_second_moment(share)), ("random mask", share)):
        law = meanfield.chi_1(lab.sigma_w * np.sqrt(kept), lab.sigma_b)
        left.plot(share, law, "--" if kept is share else ":", color=INK, label=f"theory, {label}")
    plots.curves(left, share, {"tickets, measured": (claims.hidden_chi(tickets), "blue")}, density=True,
                 ylabel="χ at the rewound weights", title="Does χ fall with sparsity?")  # fmt: skip
    left.set_ylim(0)
    scatter(right, nets, ("ticket", "random"), claims.hidden_chi)
    right.set(xlabel="χ at the start", title="Less χ, worse nets?")
    return fig


def scatter(ax: Axes, nets: Nets, arms: Iterable[str], what: Any) -> None:
    """Draw the mean accuracy of some arms over what(net) at all their levels."""
    for arm, style in zip(arms, ("o-", "s--", "^", "D"), strict=False):
        mine = [net for (name, _), net in sorted(nets.items(), key=lambda item: item[0]) if name == arm]
        places = [[what(net).mean() for net in mine], [accuracy(net).mean() for net in mine]]
        label, colour = ARMS[arm]
        ax.plot(*places, style, color=COLOURS[colour], label=label, markersize=7)
    ax.set_ylabel("test accuracy (%)")
    ax.legend()


def jacobians(nets: Nets, parts: Mapping[str, Floats]) -> Figure:
    """Return singular values of the tickets' Jacobians against control masks, and accuracy over them."""
    fig, (left, right) = panels(2, width=11.5, height=3.8)
    plots.dot_rows(left, named(JACOBIANS, parts), "log singular values of the ticket, at the start (nats)", zero=0,
                   title="The ticket against control masks")  # fmt: skip
    scatter(right, nets, ("ticket", "random", "corrected", "chi_matched"), lambda net: net["start_log_mean_square"])
    right.set(xlabel="log mean squared singular value at the start", title="Does it predict accuracy?")
    return fig


def repairs(nets: Nets, share: Floats) -> Figure:
    """Return the accuracy of random masks, rescaled ones and tickets at two densities."""
    fig, axes = panels(2, width=11, height=2.8)
    for ax, level in zip(axes, (D21, D11), strict=True):
        reached = {arm: accuracy(nets[arm, level]) for arm in ARMS}
        plots.dot_rows(ax, named(ARMS, reached), "test accuracy (%)", title=f"{share[level]:.0%} of the weights")
    return fig


def leads(looks: Looks, parts: Mapping[str, Floats], title: str) -> Figure:
    """Return the accuracy of some starts less that of others."""
    fig, (ax,) = panels(1, width=8, height=0.6 + 0.36 * len(looks))
    plots.dot_rows(ax, named(looks, parts), "difference of test accuracy (points)", zero=0, title=title)
    return fig


def skip_connections(skips: Results) -> Figure:
    """Return q over pairs of layers in residual nets, with the recursion."""
    fig, (ax,) = panels(1, width=7.5, height=3.6)
    law = claims.residual_law(skips)
    pairs = np.arange(1, len(law) + 1)
    ax.plot(pairs, law, ":", color=INK, label="recursion")
    plots.level(ax, float(meanfield.q_fixed_point(*skips.labels["sigma"][0])), "plain net, q*", "blue", "-")
    plots.curves(ax, pairs, {"residual, measured": (skips["q"][:, 0], "purple")}, xlabel="pair of layers", ylabel="q")
    ax.set_ylim(0)
    return fig


def spectra(by_batch: Mapping[int, Results], main: Results, decay: Results, inputs: int) -> Figure:
    """Return the spectrum of the last hidden layer, spikes over epochs by batch size, and σ of the bulk."""
    fig, (left, middle, right) = panels(3, width=13, height=3.9)
    values, sigma = np.sqrt(main["eigenvalues"]), main["sigma"][:, -1, -1]
    plots.histogram(left, {"start": (values[:, 0].ravel(), "grey"), "end": (values[:, -1].ravel(), "blue")}, 70,
                    "singular value / √N", "Last hidden layer")  # fmt: skip
    law = mp_singular_law(max(1, inputs / values.shape[2]), float(sigma.mean() ** 2))
    left.plot(*law, ":", color=INK, label="Marchenko–Pastur")
    left.set(yscale="log", ylim=(0.02, 40))
    left.legend()
    counts = {
        f"batch {size}": (claims.net_mean(one, "spikes"), colour, {"x": one["epochs"]})
        for (size, one), colour in zip(by_batch.items(), CYCLE, strict=False)
    }
    plots.curves(middle, main["epochs"], counts, xlabel="epoch", ylabel="eigenvalues beyond the edge",
                 title="Does signal grow?")  # fmt: skip
    bulk = {"no decay": (main, "blue"), "weight decay": (decay, "gold")}
    changes = {
        label: (100 * (one["sigma"] / one["sigma"][:, :1] - 1).mean(2), colour) for label, (one, colour) in bulk.items()
    }
    plots.curves(right, main["epochs"], changes, xlabel="epoch", ylabel="change of the bulk's σ (%)", levels={"": 0},
                 title="Does noise shrink?")  # fmt: skip
    return fig


def low_rank(low: Results) -> Figure:
    """Return accuracy over the number of directions kept, and the spectral norm of the rest."""
    fig, (left, right) = panels(2, width=11, height=3.8)
    ranks = low.labels["rank"]
    places = np.arange(len(ranks))
    kept = {
        "leading, all layers": (low["top_joint"], "blue"),
        "leading, worst layer alone": (low["top_layerwise"].min(2), "sky"),
        "random, all layers": (low["random_joint"], "orange"),
    }
    rest = {
        "over the start": (low["over_start"].mean(2), "purple"),
        "over the whole change": (low["over_update"].mean(2), "green"),
    }
    plots.curves(left, places, kept, ylabel="test accuracy (%)", title="How many directions suffice?",
                 levels={"": low["full"].mean()}, legend="end")  # fmt: skip
    plots.curves(right, places, rest, ylabel="spectral norm of the rest", title="What is left?", levels={"": 0.5})
    for ax in (left, right):
        ax.set_xticks(places, ranks)
        ax.set_xlabel("directions kept")
    return fig
