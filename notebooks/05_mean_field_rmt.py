# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Mean field and random matrices: what pruning does to a signal, and whose theory is right
#
# **Question.** In a wide random net the size of a signal and the likeness of two signals follow simple laws. Source S4 pruned deep tanh nets,
# put the standard deviation of the surviving weights into these laws, and saw theory and practice part when half of the weights were gone. Why there? And
# does it matter for training?
#
# Let $q$ be the mean square of a layer's pre-activations. With weights of variance $\sigma_w^2/N$ and biases of variance $\sigma_b^2$ the next layer has [@poole2016exponential]
# $$V(q)=\sigma_w^2\,\mathbb E[\tanh^2(\sqrt q\,z)]+\sigma_b^2,\qquad \chi=\sigma_w^2\,\mathbb E[\tanh'(\sqrt q\,z)^2],\qquad z\sim\mathcal N(0,1).$$
# $q$ runs into a fixed point $q^*$. A small difference of two inputs is multiplied by $\chi$ in each layer: below 1 all inputs become alike, above 1 they
# part, and $\chi=1$ is the *edge of chaos* [@schoenholz2017deep].
#
# A mask leaves $dN$ of the $N$ inputs of a unit. Magnitude pruning keeps the large weights, so the **standard deviation of what is left rises**,
# but a unit sums fewer of them. What enters the law is $\sigma_w^2=d\cdot N\,\mathbb E[w^2\mid\text{kept}]$, and that **falls** from the first cut on. A theory that forgets $d$ is wrong at once. That is the prediction to test.

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed
lab = {}  # settings of mean_field.Lab: data, net and training of the pruned nets
beside = {}  # what differs beside the chains, by name: conv, dips, fitted, depths, wide, residual wide, photographs
spectra = {}  # settings of weight_spectra.Spectra: the nets of section 6
batches = [8, 32, 128]  # batch sizes compared there

# %%
from dataclasses import replace

import numpy as np

from redlib.evidence.study import Study
from redlib.measures import meanfield
from redlib.report import plots, signal_explorer
from redlib.report.plots import COLOURS, INK, panels
from redlib.studies import configure, mean_field, weight_spectra
from redlib.studies import mean_field_figures as figures
from redlib.studies import mean_field_plan as plans
from redlib.studies import mean_field_statistics as ms
from redlib.studies import weight_spectra_statistics as wst
from redlib.studies.experiments import carry_out

plots.use_style()
study = Study("05_mean_field_rmt", profile)

# %%
main = configure(mean_field.Lab, lab, seeds=range(first, first + seeds))
plan = plans.experiments(main, settings=beside)
esd = configure(weight_spectra.Spectra, spectra, seeds=main.seeds)
nets = {size: replace(esd, batch=size) for size in batches} | {"low rank": weight_spectra.LowRank(esd), "decay": replace(esd, weight_decay=0.002)}
digits = weight_spectra.dataset(esd)
data = [mean_field.dataset(plan[name].lab) for name in ("normal 0", "photographs 0") if name in plan]
done = carry_out(study, mean_field.run, plan, *data, digits)
done |= carry_out(study, weight_spectra.run, nets, digits)
claims, chains = ms.all_claims(done, plan), {name: ms.chain(done, name, depth) for name, depth in plans.DEPTHS.items()}
tickets, accuracy = chains["normal"], ms.accuracies(done, plan, chains["normal"])
density, learns = tickets["start_density"][0, :, 0], ms.learned(tickets)
marks = {name: f"{density[level]:.0%}" for name, level in (("half", mean_field.D51), ("fifth", mean_field.D21), ("least", mean_field.D4))}

# %% [markdown]
# ## 1. Where the nets start
#
# The slide gives standard deviations of 1.4 for weights and 0.3 for biases, "divided by $\sqrt N$". Taken literally that shrinks the biases too; we run both readings,
# and the orthogonal start with gain 1. The left figure follows the correlation of two test inputs from layer to layer, with theory dotted.

# %%
rmt0 = study.check("RMT-0", per_seed=claims["RMT-0"])
starts = {"bias .3": ("full", "blue"), "bias .3/√256": ("literal", "orange"), "orthogonal": ("orthogonal", "green")}
fig, (left, right) = panels(2, width=11, height=3.8)
layers = np.arange(1, len(main.hidden) + 1)
for label, (name, colour) in starts.items():
    c = done[f"start {name}"]["c"][:, :-1]
    plots.band(left, layers, c, label, colour, seeds=False)
    left.plot(layers, figures.correlation_law(plan[f"start {name}"].lab, c[:, 0].mean()), ":", color=COLOURS[colour])
left.set(xlabel="hidden layer", ylabel="correlation of two inputs", title="Do two inputs stay as alike as they were?"), left.legend()
chis = {label: (done[f"start {name}"]["chi"][:, :-1], colour) for label, (name, colour) in starts.items()}
plots.curves(right, layers[1:], chis, xlabel="hidden layer", ylabel="χ", title="Measured χ, and the edge at 1"), right.axhline(1, color=INK, linewidth=1)
drift = {name: claims["RMT-0"][f"max_correlation_change_{key}"].mean() for name, key in (("full", "bias_0p3"), ("literal", "bias_0p3_over_16"), ("orthogonal", "orthogonal"))}
study.figure(fig, "mf_chi0", claims=["RMT-0"], alt="Correlation of two inputs and chi over the layers for three starts, with theory.", caption=
    f"χ₁ is {claims['RMT-0']['chi_bias_0p3'][0]:.3f} with biases of .3, {claims['RMT-0']['chi_bias_0p3_over_16'][0]:.2f} as the slide writes them, {claims['RMT-0']['chi_orthogonal'][0]:.2f} for the orthogonal start. "
    f"Over the layers correlations move by {drift['full']:.2f}, {drift['literal']:.2f} and {drift['orthogonal']:.2f}: at the edge they still move, only ever more slowly.")  # fmt: skip

# %% [markdown]
# ### Is the theory itself right?
#
# Before we test it on pruned nets we test it on nets it was made for: wide ones, 30 layers deep, untrained. And does it say something about training? Nets of
# many depths and $\sigma_w$ are trained briefly; theory says that a signal survives for some multiple of the depth scale $\xi$.

# %%
rmt10 = study.check("RMT-10", per_seed=claims["RMT-10"])
fig, (left, right) = panels(2, width=11, height=3.8)
w, b = ms.GRID
image = plots.heat(left, ms.fixed_points().T[::-1], xlabel=r"$\sigma_w$", ylabel=r"$\sigma_b$", title="Where q settles: q*", bar="q*",
                   rows=[f"{v:.1f}" for v in b[::-1]], columns=[f"{v:.1f}" for v in w])  # fmt: skip
for k, ((sigma_w, sigma_b), colour) in enumerate(zip(plan["wide"].sigmas, plots.CYCLE, strict=False)):
    plots.band(right, range(1, plan["wide"].depth + 1), done["wide"]["q"][:, k], rf"$\sigma_w$ {sigma_w:g}, $\sigma_b$ {sigma_b:g}", colour, seeds=False, marker="")
    right.axhline(meanfield.q_fixed_point(sigma_w, sigma_b), color=colour, linestyle=":")
right.set(xlabel="layer", ylabel="q", yscale="log", title=f"Nets of width {plan['wide'].width}, theory dotted"), plots.log_values(right, (0.1, 0.3, 1, 3, 10)), plots.end_labels(right)
study.figure(fig, "mf_poole", claims=["RMT-10"], alt="Fixed point of q over both standard deviations; q over layers in wide nets.", caption=
    f"q* grows with both standard deviations, and wide nets settle within {claims['RMT-10']['relative_error_width_1024'].mean():.1%} of it.")  # fmt: skip

# %%
deep = plan["depths"]
rmt20 = study.check("RMT-20", per_seed=claims["RMT-20"], adequacy=ms.bracketed(done["depths"]))
scale, reached = meanfield.depth_scales(np.array(deep.sigmas), deep.sigma_b)[1], ms.trainable_depth(done["depths"], deep.depths)
fig, (left, right) = panels(2, width=11, height=3.6)
plots.heat(left, 100 * done["depths"]["train_accuracy"].mean(0).T, rows=deep.depths, columns=deep.sigmas, limits=(10, 100), xlabel=r"$\sigma_w$", ylabel="layers",
           title=f"Accuracy after {deep.steps} steps", bar="%")  # fmt: skip
left.set_aspect("auto"), left.axvline(np.interp(meanfield.edge_of_chaos(deep.sigma_b), deep.sigmas, range(len(deep.sigmas))), color="white", linestyle="--")
for k, sigma_w in enumerate(deep.sigmas):
    right.plot(np.full(len(reached), scale[k]), reached[:, k], "o", color=COLOURS["blue"], alpha=0.4)
    right.annotate(f"{sigma_w:g}", (scale[k], reached[:, k].max()), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=9)
plots.log_axis(right, (3, 10, 30, 100, 300)), right.set(xlabel="depth scale ξ of theory (layers)", ylabel="trainable depth (layers)", yscale="log", title=r"By $\sigma_w$"), plots.log_values(right, (4, 8, 16, 32, 64))
study.figure(fig, "mf_depth", claims=["RMT-20"], alt="Training accuracy by depth and weight standard deviation; trainable depth against the depth scale.", caption=
    f"Nets can be trained deepest next to the edge of chaos (dashed). Over σ_w the trainable depth and ξ are rank-correlated at {claims['RMT-20']['rank_correlation_trainable_depth_depth_scale'].mean():.2f}.")  # fmt: skip

# %% [markdown]
# ### Try it
#
# Choose the activation, the two standard deviations and the density, and watch the Q-map, its cobweb, the C-map and the point in the plane. Dashed: the dense net. Solid: after one cut by magnitude.

# %%
sigma, q, c = {"sigma_w": np.round(np.arange(0.1, 3.01, 0.05), 2), "sigma_b": np.round(np.arange(0, 1.01, 0.02), 2)}, np.geomspace(1e-4, 16, 64), np.sin(np.linspace(0, np.pi / 2, 25))
tables = {name: signal_explorer.SignalTable(q, c, *figures.theory(q, c, sigma["sigma_b"], name)) for name in ("tanh", "relu", "erf", "linear")}
signals = {"tables": tables, **sigma, "densities": [0.8**k for k in range(16)], "start": ("tanh", 1.4, 0.3, 0.8**3)}
signal_explorer.signal_explorer(**signals)

# %% tags=["twin"]
study.twin(signal_explorer.signal_twin(**signals), alt="Explorer: Q-map, C-map and the plane of both standard deviations, for four activations and any density.", caption=
    f"At the source's point χ₁ is {meanfield.chi_1(1.4, 0.3):.3f}; with {marks['half']} of the weights, cut once by magnitude, it is {figures.chi_law(density, 1.4, 0.3)[mean_field.D51]:.3f}, with {marks['fifth']} {figures.chi_law(density, 1.4, 0.3)[mean_field.D21]:.3f}.")  # fmt: skip

# %% [markdown]
# ## 2. Pruning and accuracy
#
# Fifteen rounds of iterative magnitude pruning, 20% of the weights a round (10% of the last layer), survivors rewound to their first values. A rise of the test accuracy
# could be relief from over-fitting, or only faster fitting. Therefore the nets also meet augmented data, skip connections, and a comparison at equal training loss.

# %%
rises = {id: study.check(id, per_seed=claims[id], adequacy=ms.learned(chains[name])) for id, name in (("RMT-1", "normal"), ("RMT-2", "orthogonal"), ("RMT-3", "conv"), ("RMT-19", "augmented"))}
looks = {"normal": ("FCNet, normal", "blue"), "orthogonal": ("orthogonal", "green"), "augmented": ("augmented data", "gold"), "residual": ("residual", "purple"), "conv": ("ConvNet", "orange")}
fig, (left, right) = panels(2, width=11.5, height=4)
for name, (label, colour) in list(looks.items())[:-1]:
    reached = ms.at_end(chains[name])
    plots.band(left, figures.densities(chains[name]), reached - reached[:, :1], label, colour, seeds=False)
levels = sorted(level for arm, level in accuracy if arm == "random")
plots.band(left, density[levels], np.stack([accuracy["random", level] - accuracy["ticket", 0] for level in levels], 1), "random masks", "grey", seeds=False)

# %%
plots.density_axis(left, density), left.axhline(0, color=INK, linewidth=1), left.set(ylabel="test accuracy, less dense (points)", title="Does pruning help FCNets?"), left.legend(fontsize=9)
best, equal = {label: (ms.gain(chains[name]), colour) for name, (label, colour) in looks.items()}, ms.equal_fit(done["fitted"])["accuracy"]
best |= {"normal, equal loss": (equal[np.isfinite(equal)], "sky")} if np.isfinite(equal).any() else {}
plots.dot_rows(right, best, "best level less dense (points)", zero=0)
gap = claims["RMT-19"]["train_test_gap_ticket_minus_dense"].mean()
study.figure(fig, "mf_acc", claims=list(rises), alt="Test accuracy over density of four kinds of FCNets and of random masks; gains of all nets at the best density.", caption=
    f"At its best density the normal FCNet gains {best['FCNet, normal'][0].mean():+.1f} points, the orthogonal one {best['orthogonal'][0].mean():+.1f}, the ConvNet {best['ConvNet'][0].mean():+.1f}; with augmented data {best['augmented data'][0].mean():+.1f}, "
    f"with skips {best['residual'][0].mean():+.1f}. At {marks['fifth']} the gap between training and test accuracy changes by {gap:+.1f} points.")  # fmt: skip

# %% [markdown]
# ## 3. The weights that are left
#
# The slides show that the mean hardly moves, the standard deviation rises, and that the survivors split in two groups. The last two follow from selection by
# magnitude if training moved nothing: the dotted law is that of a Gaussian of which only the largest values are kept.

# %%
rmt4, rmt5 = (study.check(id, per_seed=claims[id], adequacy=learns) for id in ("RMT-4", "RMT-5"))
fig, axes = panels(2, width=11, height=3.8)
for ax, when, title in zip(axes, ("start", "end"), ("Rewound", "Trained"), strict=True):
    ratio = (tickets[f"{when}_mean"] / tickets[f"{when}_std"]).mean(0)
    plots.heat(ax, ratio.T, rows=[*(str(layer) for layer in layers), "out"], columns=[f"{100 * d:.3g}" if k % 3 == 0 else "" for k, d in enumerate(density)], centre=0, limits=(-0.15, 0.15),
               xlabel="weights kept (%)", ylabel="layer", title=f"{title}: mean / standard deviation", bar="ratio" if when == "end" else ""), ax.set_aspect("auto")  # fmt: skip
study.figure(fig, "mf_mean", claims=["RMT-4"], alt="Mean over standard deviation of kept weights by layer and density.", caption=
    f"The largest |mean| of a layer reaches {claims['RMT-4']['largest_layer_abs_mean_over_std'].mean():.2f} standard deviations; among rewound weights {claims['RMT-4']['largest_layer_abs_mean_z_rewound'].mean():.1f} times what sampling allows.")  # fmt: skip

# %%
fig, axes = panels(2, width=11, height=3.8)
for ax, when, title in zip(axes, ("start", "end"), ("Rewound", "Trained"), strict=True):
    ax.plot(density, figures.std_law(density, main.sigma_w), ":", color=INK, label="Gaussian cut by magnitude")
    plots.curves(ax, density, figures.by_part(tickets[f"{when}_std"]), ylabel="standard deviation × √fan-in", title=title), plots.density_axis(ax, density)
study.figure(fig, "mf_std", claims=["RMT-5"], alt="Standard deviation of kept weights over density by layer, with the law of a truncated Gaussian.", caption=
    f"Rewound weights spread from {tickets['start_std'][:, 0].mean():.2f} to {tickets['start_std'][:, -1].mean():.2f}; at {marks['fifth']} that is {claims['RMT-5']['std_over_truncation_law'].mean():.2f} of the law.")  # fmt: skip

# %%
rmt11 = study.check("RMT-11", per_seed=claims["RMT-11"], adequacy=learns)
middle, shown = len(main.hidden) // 2, (0, mean_field.D51, mean_field.D21, mean_field.D4)
weights = figures.layer_weights(done, main, shown, middle)
fig, axes = panels(len(shown), 2, width=12, height=2.3)
for row, (when, colour) in enumerate((("start", "blue"), ("end", "orange"))):
    for ax, level in zip(axes[row * len(shown) :], shown, strict=False):
        plots.histogram(ax, {when: (weights[level][when], colour)}, np.linspace(-6, 6, 61), "weight × √fan-in" if row else "")
        ax.set(yticks=[], ylabel="", xlim=(-6, 6), title=f"{density[level]:.0%}, {'trained' if row else 'rewound'}")
worst = {when: claims["RMT-11"][f"largest_layer_density_at_zero_over_max_{when}"].mean() for when in ("rewound", "trained")}
study.figure(fig, "mf_bimod", claims=["RMT-11"], alt="Histograms of the kept weights of a middle layer at four densities, rewound and trained.", caption=
    f"A middle layer splits. At {marks['fifth']} the histogram at zero reaches {worst['rewound']:.2f} of its peak before training and {worst['trained']:.2f} after, in the layer where it splits least; the largest p of the dip test is "
    f"{claims['RMT-11']['largest_layer_dip_p_rewound'].mean():.3f} and {claims['RMT-11']['largest_layer_dip_p_trained'].mean():.3f}.")  # fmt: skip

# %% [markdown]
# ## 4. Where theory and measurement part
#
# The heart of the matter. $q$ is measured deep in the net, at the rewound and at the trained weights of every ticket, and predicted three times. **Naive**: the
# standard deviation of the survivors, as if all inputs were there, our reading of the slide. **Corrected**: the same times the density. **Rows**: each unit with the sum of its own squared weights, and each input with its own size.

# %%
rmt7, rmt8, rmt9 = (study.check(id, per_seed=claims[id], adequacy=learns) for id in ("RMT-7", "RMT-8", "RMT-9"))
names = {"naive": ("naive", "orange"), "density": ("corrected for density", "blue"), "rows": ("by rows", "green")}
fig, (left, middle, right) = panels(3, width=13, height=4.2)
left.set_yscale("log")
for law, values in figures.signal_laws(tickets).items():
    label, colour = names.get(law, ("measured", INK))
    plots.band(left, density, values, label, colour, seeds=False, linestyle=":" if law == "rows" else "-")
left.set(ylabel="q deep in the net", title="Rewound: q"), plots.log_values(left, (0.2, 0.3, 0.5, 1, 2, 3, 5))
for ax, when, title in ((middle, "start", "Rewound: theory / measured"), (right, "end", "Trained: theory / measured")):
    ax.set_yscale("log"), ax.axhspan(0.9, 1.1, color=COLOURS["grey"], alpha=0.25, linewidth=0)
    for law, (label, colour) in names.items():
        plots.band(ax, density, 1 + ms.prediction_error(tickets, law, when), label, colour, seeds=False, linestyle=":" if law == "rows" else "-")
    ax.set(title=title, ylabel="q of theory / q measured"), plots.log_values(ax, (0.5, 1, 2, 5, 10, 20, 50, 100))

# %%
for ax in (left, middle, right):
    plots.density_axis(ax, density), ax.axvline(density[mean_field.D51], color=COLOURS["grey"], linestyle="--", linewidth=1.2)
left.legend(), middle.annotate("where the source\nsaw it", (density[mean_field.D51], 30), xytext=(4, 0), textcoords="offset points", fontsize=9, color=COLOURS["grey"])
error = {law: ms.prediction_error(tickets, law)[:, [1, mean_field.D51, mean_field.D21]].mean(0) for law in names}
words = {law: figures.parting(ms.mean_departure(tickets, law)) for law in names}
study.figure(fig, "mf_qth", claims=["RMT-8", "RMT-9"], alt="Measured q over density against three theories; relative errors for rewound and trained weights.", caption=
    f"The naive theory is {error['naive'][0]:+.0%} off after the first cut already and {error['naive'][1]:+.0%} at {marks['half']}: it parts {words['naive']}, not from {marks['half']}. Corrected for density it is {error['density'][0]:+.0%}, {error['density'][1]:+.0%} and, at {marks['fifth']}, {error['density'][2]:+.0%} off (parts {words['density']}), by rows {error['rows'][2]:+.0%}.")  # fmt: skip
fig, axes = panels(2, width=10, height=3.6)
for ax, when, title in zip(axes, ("start", "end"), ("Rewound", "Trained"), strict=True):
    plots.band(ax, density, ms.deep(tickets[f"{when}_q"]), "", "blue"), plots.density_axis(ax, density), ax.set(ylabel="q deep in the net", title=title, ylim=(0, None))
change = {name: claims["RMT-7"][f"q_{name}_d0p51_minus_dense"].mean() for name in ("rewound", "trained")}
study.figure(fig, "mf_q", claims=["RMT-7"], alt="Measured q over density for rewound and trained weights.", caption=
    f"From dense to {marks['half']} q changes by {change['rewound']:+.2f} at the rewound weights and by {change['trained']:+.2f} at the trained ones; the slides report a rise.")  # fmt: skip

# %%
if "photographs 0" in plan:
    other = ms.chain(done, "photographs", plans.DEPTHS["normal"])
    fig, (left, right) = panels(2, width=11, height=3.6)
    plots.curves(left, density, {"": (ms.at_end(other), "blue")}, ylabel="test accuracy (%)", title=f"{data[1].name}, grey, {mean_field.PHOTOGRAPH} × {mean_field.PHOTOGRAPH}")
    plots.density_axis(left, density), right.set_yscale("log"), right.axhspan(0.9, 1.1, color=COLOURS["grey"], alpha=0.25, linewidth=0)
    ratios = {label: (1 + ms.prediction_error(other, law), colour) for law, (label, colour) in names.items()}
    plots.curves(right, density, ratios, ylabel="q of theory / q measured", title="Rewound"), plots.density_axis(right, density), plots.log_values(right, (0.5, 1, 2, 5, 10, 20, 50))
    study.figure(fig, "mf_photographs", alt="Accuracy over density and errors of the theories on small photographs.", caption=
        f"On photographs the naive theory is {ratios['naive'][0][:, 1].mean() - 1:+.0%} off after the first cut and {ratios['naive'][0][:, mean_field.D51].mean() - 1:+.0%} at {marks['half']}; corrected for density {ratios['corrected for density'][0][:, mean_field.D51].mean() - 1:+.0%}.")  # fmt: skip

# %% [markdown]
# ### Is it the number of inputs a unit keeps?
#
# Pruning leaves some units with many inputs and others with few. We deal the weights that leave each input to random units: all counts and sizes stay, only which unit they enter changes.

# %%
rmt16 = study.check("RMT-16", per_seed=claims["RMT-16"], adequacy=learns)
fig, (left, right) = panels(2, width=11, height=3.6)
plots.curves(left, density[1:], figures.by_part(tickets["degree_ratio"][:, 1:]), ylabel="variance of inputs kept, over random", title="Uneven?")
changed = {"measured": (ms.measured_change(tickets), "grey"), "mean over signs": (ms.deep(tickets["q_even_rows"]) / ms.deep(tickets["start_q_rows"]) - 1, "blue")}
plots.curves(right, density, {label: (100 * values, colour) for label, (values, colour) in changed.items()}, ylabel="change of q (%)", title="Does evening out change q?", seeds=False)
left.axhline(1, color=INK, linewidth=1), plots.density_axis(left, density[1:]), plots.density_axis(right, density)
study.figure(fig, "mf_deg", claims=["RMT-16"], alt="Variance of in-degrees over that of random masks; change of q when in-degrees are evened out.", caption=
    f"At {marks['fifth']} hidden units' inputs vary {claims['RMT-16']['in_degree_variance_ratio'].mean():.2f} times as much as under random masks; that alone changes q by {claims['RMT-16']['abs_relative_q_change_in_degree_shuffled'].mean():.1%}. "
    f"Yet the measured q moves by {ms.measured_change(tickets)[:, mean_field.D21].mean():+.0%} when weights change places, of the {ms.prediction_error(tickets, 'density')[:, mean_field.D21].mean():+.0%} that theory is off: what counts is which weights meet in a unit, not how many.")  # fmt: skip

# %% [markdown]
# ## 5. Does the signal matter for training?
#
# $\chi$ falls as weights go, so inputs become alike sooner. If signals mattered, tickets with less $\chi$ should do worse. The Jacobian of outputs by inputs tells how well gradients come
# back [@pennington2017resurrecting]; tickets are compared with random masks, and with random masks rescaled layer by layer until they have the ticket's $\chi$.

# %%
rmt13, rmt14, rmt15 = (study.check(id, per_seed=claims[id], adequacy=learns) for id in ("RMT-13", "RMT-14", "RMT-15"))
fig, (left, right) = panels(2, width=11, height=4)
plots.band(left, density, ms.hidden_chi(tickets["start_chi"]), "tickets, measured", "blue", seeds=False)
left.plot(density, figures.chi_law(density, main.sigma_w, main.sigma_b), ":", color=INK, label="theory, cut once by magnitude")
left.plot(density, figures.chi_law(density, main.sigma_w, main.sigma_b, random=True), "--", color=COLOURS["grey"], label="theory, random mask")
plots.density_axis(left, density), left.set(ylabel="χ at the rewound weights", title="χ falls with sparsity", ylim=(0, None)), left.legend()
right.plot(ms.hidden_chi(tickets["start_chi"]).mean(0), ms.at_end(tickets).mean(0), "o-", color=COLOURS["blue"], label="tickets")
chis = ms.cells(done, plan, "start_chi")
right.plot([ms.hidden_chi(chis["random", level]).mean() for level in levels], [accuracy["random", level].mean() for level in levels], "s--", color=COLOURS["grey"], label="random masks")
right.set(xlabel="χ at the start", ylabel="test accuracy (%)", title="Less χ, worse nets?"), right.legend()
study.figure(fig, "mf_chi", claims=["RMT-13", "RMT-14"], alt="Chi over density with theory; accuracy against chi for tickets and random masks.", caption=
    f"χ falls to {ms.hidden_chi(tickets['start_chi'])[:, mean_field.D21].mean():.2f} at {marks['fifth']}. Down to there, less χ goes with {'more' if claims['RMT-14']['correlation_chi_accuracy_imp'].mean() < 0 else 'less'} accuracy among tickets (correlation {claims['RMT-14']['correlation_chi_accuracy_imp'].mean():+.2f}), among random masks it is {claims['RMT-14']['correlation_chi_accuracy_random_mask'].mean():+.2f}.")  # fmt: skip

# %%
fig, (left, right) = panels(2, width=11.5, height=3.8)
plots.dot_rows(left, figures.claim_rows(claims["RMT-15"], figures.JACOBIAN_ROWS), "log singular values of the ticket, at the start (nats)", zero=0)
squares = ms.cells(done, plan, "start_log_mean_square")
for arm, (label, colour, marker) in {"random": ("random", "grey", "s"), "corrected": ("random, variance restored", "orange", "^"), "chi_matched": ("random, χ-matched", "green", "D")}.items():
    mine = [cell for cell in sorted(squares) if cell[0] == arm]
    right.plot([squares[cell].mean() for cell in mine], [accuracy[cell].mean() for cell in mine], marker, color=COLOURS[colour], label=label, markersize=7)
right.plot(tickets["start_log_mean_square"].mean(0), ms.at_end(tickets).mean(0), "o-", color=COLOURS["blue"], label="tickets")
right.set(xlabel="log mean squared singular value at the start", ylabel="test accuracy (%)", title="Does it predict accuracy?"), right.legend()
lead = claims["RMT-15"]["log_mean_squared_singular_value_imp_minus_random"].mean()
study.figure(fig, "mf_jac", claims=["RMT-15"], alt="Singular values of tickets' Jacobians against control masks; accuracy against them.", caption=
    f"A ticket's mean squared singular value is 10^{lead / np.log(10):.1f} times that of a random mask, and {np.exp(claims['RMT-15']['log_mean_squared_singular_value_imp_minus_chi_matched'].mean()):.1f} times that of one with its χ. Given χ, its correlation with accuracy is {claims['RMT-15']['partial_correlation_jacobian_accuracy_given_chi'].mean():+.2f}.")  # fmt: skip

# %% [markdown]
# ### Three repairs
#
# If variance is what a random mask lacks, restore it: multiply by $1/\sqrt d$. The source further tried a larger standard deviation (2.24, of unknown origin) and new weights drawn from a ticket's two-peaked law.

# %%
rmt18, rmt6, rmt12 = (study.check(id, per_seed=claims[id], adequacy=learns) for id in ("RMT-18", "RMT-6", "RMT-12"))
fig, axes = panels(2, width=11, height=2.8)
for ax, level in zip(axes, (mean_field.D21, mean_field.D11), strict=True):
    arms = {"random mask": ("random", "grey"), "variance restored": ("corrected", "orange"), "χ of the ticket": ("chi_matched", "green"), "ticket": ("ticket", "blue")}
    plots.dot_rows(ax, {label: (accuracy[arm, level], colour) for label, (arm, colour) in arms.items()}, "test accuracy (%)")
    ax.set_title(f"{density[level]:.0%} of the weights")
study.figure(fig, "mf_zero", claims=["RMT-18"], alt="Accuracy of random masks, rescaled random masks and tickets at two densities.", caption=
    f"Restoring the variance brings a random mask {claims['RMT-18']['accuracy_corrected_minus_uncorrected_d0p2'].mean():+.1f} points at {marks['fifth']}; the ticket stays {claims['RMT-18']['accuracy_imp_minus_corrected_d0p2'].mean():+.1f} ahead.")  # fmt: skip

# %%
for name, id, rows, title, alt in (("mf_std2", "RMT-6", figures.STD_ROWS, "A larger start", "Accuracy with larger standard deviations less that with 1.4."),
                                   ("mf_bimod2", "RMT-12", figures.PEAK_ROWS, "Two-peaked weights", "Accuracy with two-peaked weights less that with Gaussian ones.")):  # fmt: skip
    fig, (ax,) = panels(1, width=8, height=0.6 + 0.36 * len(rows))
    contrasts = claims[id] | (ms.shape_alone(accuracy) if id == "RMT-12" else {})
    plots.dot_rows(ax, figures.claim_rows(contrasts, rows), "test accuracy, less that of the usual start (points)", zero=0), ax.set_title(title)
    means = ", ".join(f"{rows[key][0]} {values.mean():+.1f}" for key, values in contrasts.items())
    study.figure(fig, name, claims=[id], alt=alt, caption=f"At {density[mean_field.D21 if id == 'RMT-6' else mean_field.D41]:.0%} of the weights, in points of test accuracy: {means}.")

# %% [markdown]
# ### Skip connections
#
# In a residual net whose skips span two layers the variance obeys $q_{l+2}=q_l+V(V(q_l))$: what is skipped is added, and nothing settles.

# %%
rmt17 = study.check("RMT-17", per_seed=claims["RMT-17"])
skip, pairs = plan["residual wide"], range(1, plan["residual wide"].depth + 1)
fig, (ax,) = panels(1, width=7.5, height=3.6)
plots.band(ax, pairs, done["residual wide"]["q"][:, 0], f"residual, width {skip.width}", "purple", seeds=False)
ax.plot(pairs, ms.residual_law(*skip.sigmas[0], skip.depth), ":", color=INK, label="recursion"), ax.axhline(meanfield.q_fixed_point(*skip.sigmas[0]), color=COLOURS["blue"], label="plain net, q*")
ax.set(xlabel="pair of layers", ylabel="q", ylim=(0, None)), ax.legend()
study.figure(fig, "mf_res", claims=["RMT-17"], alt="Mean square signal over depth in residual nets, with the recursion.", caption=
    f"With skips q grows by {claims['RMT-17']['slope_q_on_depth'].mean():.2f} a pair of layers, and the recursion is {claims['RMT-17']['relative_error_residual_recursion'].mean():.1%} off.")  # fmt: skip

# %% [markdown]
# ## 6. Random matrices: what does training add?
#
# Random weights have eigenvalues inside the Marchenko–Pastur bulk [@marchenko1967distribution]. Martin and Mahoney [@martin2021implicit] see trained layers leave it in phases, more so with small batches:
# signal grows out of the noise. We count eigenvalues beyond the Tracy–Widom edge, after as many epochs for every batch size.

# %%
runs = {size: done[size] for size in batches}
claims["RMT-21"] = wst.spectra_claim(runs[esd.batch], runs)
rmt21 = study.check("RMT-21", per_seed=claims["RMT-21"], adequacy=wst.learned(runs[esd.batch], 0.05))
fig, (left, middle, right) = panels(3, width=13, height=3.9)
last = runs[esd.batch]["spikes"].shape[2] - 1
values = np.sqrt(runs[esd.batch][f"eigenvalues_{last}"])
plots.histogram(left, {"start": (values[:, 0].ravel(), "grey"), "end": (values[:, -1].ravel(), "blue")}, 70, "singular value / √N")
left.plot(*figures.bulk_law(runs[esd.batch], last, esd.hidden[-2]), ":", color=INK, label="Marchenko–Pastur"), left.legend(), left.set(title="Last hidden layer", yscale="log", ylim=(0.02, 40), ylabel="density")
spikes = {f"batch {size}": (wst.net_mean(runs[size], "spikes"), colour) for size, colour in zip(batches, ("orange", "blue", "green", "purple"), strict=False)}
plots.curves(middle, runs[esd.batch]["epochs"], spikes, xlabel="epoch", ylabel="eigenvalues beyond the edge", title="Signal grows")
for label, results, colour in (("no decay", runs[esd.batch], "blue"), (f"decay {nets['decay'].weight_decay:g}", done["decay"], "gold")):
    sigmas = results["sigma"] / results["sigma"][:, :1]
    plots.band(right, results["epochs"], 100 * (sigmas.mean(2) - 1), label, colour, seeds=False)

# %%
right.axhline(0, color=INK, linewidth=1), right.set(xlabel="epoch", ylabel="change of the bulk's σ (%)", title="Does noise shrink?"), right.legend()
phase = {size: wst.PHASES[wst.phase_counts(runs[size])[last].argmax()] for size in batches}
study.figure(fig, "esd", claims=["RMT-21"], alt="Eigenvalues of a layer at start and end with the Marchenko-Pastur law; spikes over epochs by batch size; sigma of the bulk.", caption=
    f"A layer ends with {wst.net_mean(runs[batches[0]], 'spikes')[:, -1].mean():.0f} eigenvalues beyond the edge at batch {batches[0]} and {wst.net_mean(runs[batches[-1]], 'spikes')[:, -1].mean():.0f} at {batches[-1]}. Without decay the bulk's σ changes by {100 * claims['RMT-21']['bulk_sigma_end_minus_start'].mean():+.1f}%. "
    f"Commonest phase of the last hidden layer: {', '.join(f'{name} (batch {size})' for size, name in phase.items())}.")  # fmt: skip

# %% [markdown]
# ### Of what rank is the update?
#
# Replace the trained weights $W$ by the start $Z$ plus the leading directions of $W-Z$ [@nagarajan2019uniform]. The source kept 16 directions of 1,024; scaled to our width that is 4 of 256, and we try both.

# %%
low, ranks = done["low rank"], nets["low rank"].ranks
claims |= {"RMT-22": wst.low_rank_claim(low, ranks), "RMT-23": wst.residual_claim(low, ranks)}
rmt22, rmt23 = (study.check(id, per_seed=claims[id], adequacy=wst.learned(low, 0.05)) for id in ("RMT-22", "RMT-23"))
fig, (left, right) = panels(2, width=11, height=3.8)
for label, name, colour in (("leading, all layers", "top_joint", "blue"), ("leading, worst layer alone", "top_layerwise", "sky"), ("random, all layers", "random_joint", "orange")):
    values = low[f"accuracy_{name}"]
    plots.band(left, range(len(ranks)), values.min(2) if values.ndim == 3 else values, label, colour, seeds=False)
left.axhline(low["accuracy_full"].mean(), color=INK, linestyle=":"), left.set(ylabel="test accuracy (%)", title="How many directions suffice?"), plots.end_labels(left)
rest = {"over the start": (low["residual_over_start"].mean(2), "purple"), "over the whole change": (low["residual_over_change"].mean(2), "green")}
plots.curves(right, range(len(ranks)), rest, ylabel="spectral norm of the rest", title="What is left?", seeds=False), right.axhline(0.5, color=INK, linestyle=":")
for ax in (left, right):
    ax.set_xticks(range(len(ranks)), ranks), ax.set_xlabel("directions kept")
claim = claims["RMT-22"] | claims["RMT-23"]

# %%
study.figure(fig, "lowrank", claims=["RMT-22", "RMT-23"], alt="Accuracy over the number of directions kept; spectral norm of the rest.", caption=
    f"Sixteen directions of every layer cost {-claim['accuracy_top_16_minus_full_joint'].mean():.1f} points, four cost {-claim['accuracy_top_4_minus_full_joint'].mean():.0f}: ten classes need about nine. The rest after sixteen has {claim['residual_over_start_spectral_norm'].mean():.2f} of the start's spectral norm and {claim['residual_over_change_spectral_norm'].mean():.2f} of the change's.")  # fmt: skip

# %% [markdown]
# ## Limits
#
# The source's plots are lost; "naive" is our reading of what was on its slide, and 2.24 is tried in every sense we could think of. Our nets are smaller than its nets and train
# briefly, so the dense net is not yet at its best and part of each rise is faster fitting: the comparison at equal loss is in the figure, no claim asked for it. $q$ is a mean over the upper half of the hidden layers and over 20 inputs; in a single layer of this width chance alone moves it by a tenth, for all levels of a seed alike.
# That is why a departure is counted from each seed's own dense net. Theory is for random weights; its failure on trained ones is no surprise, and is shown rather than judged.
# The chains other than the first take two or three rounds at once. Orthogonal nets (gain 1, far from the edge) and nets on augmented data learn two thirds of their
# training set in the time given; a chain counts if its dense net learns half. A correlation of $\chi$ and accuracy over eight levels of one chain is a trend along a path, not a cause; the $\chi$-matched masks are. Phases of spectra follow rules of ours for words of theirs.
#
# Tuned on seeds 1000–1009: learning rates and epochs until the normal dense net learns nine tenths of its training set; depths and steps of the trainability map, until each column is bracketed; batch 512 was left out, as it does not fit in the same number of epochs.
#
# ## Exercises
#
# 1. Set `lab = {"sigma_w": 2.5}`, a chaotic start. At which density does $\chi$ cross 1, and is that where tickets win?
# 2. Put the mask of the ticket on weights of random signs. Which of the three theories changes, and does what was left of the error go?
# 3. Derive $d\,\mathbb E[w^2\mid\text{kept}]$ for a Gaussian cut by magnitude and check it against `magnitude_second_moment`.
# 4. Train the spectra's net with `weight_decay=0.01`. Does rank collapse come before the net stops to fit?

# %%
study.conclude(
    answer=f"Theory and practice do not part at {marks['half']}: the theory that forgets the missing weights is {error['naive'][0]:+.0%} off after the first cut, and with the density put in it is {error['density'][1]:+.0%} off there (RMT-8 {rmt8.verdict}). "
    f"What is left is not the number of inputs a unit keeps (RMT-16 {rmt16.verdict}) but which weights meet: dealt to other units they move q by {ms.measured_change(tickets)[:, mean_field.D51].mean():+.0%} there. "
    f"χ falls with sparsity (RMT-13 {rmt13.verdict}), yet tickets with less χ are no worse (RMT-14 {rmt14.verdict}); restoring the variance of a random mask makes no ticket of it (RMT-18 {rmt18.verdict}). "
    f"What training adds is of low rank, but not of rank four: sixteen directions of a layer carry the accuracy, four do not (RMT-22 {rmt22.verdict})."
)
