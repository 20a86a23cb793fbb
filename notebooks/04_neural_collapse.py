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
# # Neural collapse: what happens after the training error is zero?
#
# **Question.** A net that makes no error on its training data can be trained on. Nothing is left to correct, yet its last layers keep
# moving. Do they really end as a perfect simplex, what does it take, and does it make the net better?
#
# Papyan, Han and Donoho [@papyan2020prevalence] say that in this *terminal phase* the features $h$ of the last hidden layer collapse in four ways.
# Let $\mu_c$ be the mean feature of class $c$ and $\mu_G$ the mean of the $C$ class means.
#
# * **NC1**: features shrink to their class mean, measured by $\mathrm{tr}(\Sigma_W\Sigma_B^+)/C$, the spread within classes against that between them.
# * **NC2**: the centred means $\mu_c-\mu_G$ become equally long, and every angle between two of them the same, with cosine $-1/(C-1)$: a simplex.
# * **NC3**: each row of the classifier points the way of its class mean.
# * **NC4**: the decision becomes "which class mean is nearest?"
#
# All four are 0 in full collapse. We train nets to zero error and at least as long again, with 5 seeds, and look at them at some
# twenty moments. In every figure a triangle on the axis marks the epoch by which *all* seeds had fitted the training data.

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed
terminal = {}  # settings of neural_collapse.Terminal: data, net and training with squared error
cross_entropy = {"lr": 0.05, "weight_decay": 0.0, "drops": [0.7, 0.9], "epochs": 100}  # what differs with cross-entropy
decays = [0.0, 0.002]  # weight decays of the nets with cross-entropy
widths = [2, 4, 8, 16, 32, 64, 128]  # of narrower nets with cross-entropy
wrong = {"net": "normed_mlp", "weight_decay": 0.001, "drops": [0.4, 0.8], "epochs": 80}  # what differs in the nets told wrong labels, and in their clean twins
conv = {"net": "small_conv", "channels": 8, "weight_decay": 0.002, "epochs": 60}  # what differs in the conv net
settings = [{"weight_decay": 0.0}, {"weight_decay": 0.0001}, {"hidden": [128, 128, 128]}, {"hidden": [64, 64, 64]}]  # compared in NC-9
pruning = {}  # settings of neural_collapse.Tickets
picture = {"source": {"net": "normed_mlp", "hidden": [64, 64], "weight_decay": 0.001}, "classes": [3, 5, 8]}  # the net of the explorer

# %%
from dataclasses import replace

import numpy as np

from redlib.evidence.study import Study
from redlib.report import plots, point_player
from redlib.report.epochs import over_epochs
from redlib.studies import collapse_figures as figures
from redlib.studies import collapse_statistics as cs
from redlib.studies import configure
from redlib.studies import neural_collapse as nc
from redlib.studies.experiments import carry_out

plots.use_style()
study = Study("04_neural_collapse", profile)

# %%
main = configure(nc.Terminal, terminal, seeds=range(first, first + seeds))
entropy = configure(nc.Terminal, terminal, cross_entropy, loss="cross_entropy", seeds=main.seeds)
runs = {"mse": main, "conv": configure(nc.Terminal, vars(entropy), conv)}
runs |= {f"plain {decay:g}": replace(entropy, weight_decay=decay) for decay in decays}
runs |= {f"norm {decay:g}": replace(entropy, weight_decay=decay, net="normed_mlp") for decay in decays}
runs |= {f"noise {share:g}": configure(nc.Terminal, vars(entropy), wrong, noise=share) for share in (0.0, 0.2)}
runs |= {f"width {width}": replace(entropy, hidden=(width,) * len(main.hidden)) for width in widths}
runs |= {f"setting {k}": configure(nc.Terminal, vars(main), changes) for k, changes in enumerate(settings)}
runs["tickets"] = configure(nc.Tickets, pruning, source=main)
small = configure(nc.Terminal, vars(entropy), picture["source"], seeds=main.seeds[:1])
runs["triangle"] = nc.Triangle(small, tuple(picture["classes"]))
data = nc.dataset(main)
done = carry_out(study, nc.run, runs, data)

# %% [markdown]
# ## 1. Do features collapse?
#
# Four nets, one question. With *squared error* every example is pulled to the same target, so the net 64-256-256-256-10 has a reason to collapse.
# With *cross-entropy*, the loss that everybody uses, we train the same net without and with BatchNorm [@ioffe2015batch], and a small conv net with it.
# The first two verdicts are about squared error; the figure shows them all.

# %%
mse, heavy = done["mse"], f"{decays[-1]:g}"
shown = {"squared error": (mse, "blue"), "cross-entropy": (done["plain 0"], "orange")}
shown |= {"cross-entropy, BatchNorm": (done[f"norm {heavy}"], "green"), "conv net, BatchNorm": (done["conv"], "purple")}
lasts = cs.terminal(mse)
nc1 = study.check("NC-1", per_seed=cs.variability_claim(mse), adequacy=lasts)
fig, (left, right) = plots.panels(2, width=11.5, height=4)
over_epochs(left, shown, "nc1", ylabel="NC1", title="Training data")
over_epochs(right, shown, "test_nc1", ylabel="NC1", title="Test data")
end = {name: cs.at_end(results, "nc1").mean() for name, (results, _) in shown.items()}
study.figure(fig, "nc1", claims=["NC-1"], alt="Within-class variability over epochs for four nets, on training and on test data.", caption=
    f"With squared error NC1 falls from {cs.at_fit(mse, 'nc1').mean():.2g} at zero error to {end['squared error']:.2g}; with cross-entropy it stays at {end['cross-entropy']:.2g}, unless there is "
    f"BatchNorm ({end['cross-entropy, BatchNorm']:.2g}). On test data the best end at {min(cs.at_end(r, 'test_nc1').mean() for r, _ in shown.values()):.2g}.")  # fmt: skip

# %% [markdown]
# ### A simplex, and what noise alone would give
#
# Ten class means in 256 dimensions are *almost* a simplex even if features are pure noise: two random directions are nearly
# orthogonal there. A small deviation of the angles proves little unless it lies below that level, so the figure draws it.

# %%
nc2 = study.check("NC-2", per_seed=cs.simplex_claim(mse), adequacy=lasts)
width = main.hidden[-1]
noise = {"nc2_norms": (2 * width) ** -0.5, "nc2_angles": (2 / (np.pi * width)) ** 0.5 * (1 - 1 / (data.classes - 1) ** 2)}
words = {"nc2_norms": ("spread of the lengths", "Equal lengths?"), "nc2_angles": ("mean |cos + 1/(C−1)|", "Equal angles?")}
decayed = shown | {"squared error, no decay": (done["setting 0"], "sky")}
fig, axes = plots.panels(2, width=11.5, height=4)
for ax, (name, (ylabel, title)) in zip(axes, words.items(), strict=True):
    over_epochs(ax, decayed, name, ylabel=ylabel, title=title)
    ax.axhline(noise[name], color=plots.INK, linestyle=":", linewidth=1), ax.get_legend().remove()
axes[1].annotate("pure noise", (1, noise["nc2_angles"]), va="bottom", fontsize=9.5)
plots.end_labels(axes[0])
study.figure(fig, "nc2", claims=["NC-2"], alt="Spread of the lengths of class means, and deviation of their angles from a simplex, over epochs.", caption=
    f"With squared error lengths differ by {cs.at_end(mse, 'nc2_norms').mean():.0%} and cosines by {cs.at_end(mse, 'nc2_angles').mean():.3f} from the simplex; the means of pure noise in as many "
    f"dimensions would show {noise['nc2_norms']:.0%} and {noise['nc2_angles']:.3f}. Without weight decay: {cs.at_end(done['setting 0'], 'nc2_norms').mean():.0%} and {cs.at_end(done['setting 0'], 'nc2_angles').mean():.3f}.")  # fmt: skip

# %% [markdown]
# ### Classifier and decision
#
# NC3 compares the normalised matrix of class means with the normalised classifier. NC4 is counted with the bias, as the net decides with it. It says little by
# itself: a net can agree with its nearest mean long before anything has collapsed.

# %%
nc3 = study.check("NC-3", per_seed=cs.duality_claim(mse), adequacy=lasts)
nc4 = study.check("NC-4", per_seed=100 * cs.at_end(mse, "nc4"), adequacy=lasts)
fig, ax = plots.panels(1, width=8, height=4)
over_epochs(ax[0], shown, "nc3", ylabel="‖W − M‖², both normalised", title="Classifier and class means")
study.figure(fig, "nc3", claims=["NC-3"], alt="Distance between classifier and class means over epochs for four nets.", caption=
    f"With squared error the distance falls from {cs.at_fit(mse, 'nc3').mean():.2f} at zero error to {cs.at_end(mse, 'nc3').mean():.3f}; with cross-entropy alone it ends at {cs.at_end(shown['cross-entropy'][0], 'nc3').mean():.2f}.")  # fmt: skip
fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
for ax, name, title in ((left, "nc4", "Training data"), (right, "test_nc4", "Test data")):
    over_epochs(ax, shown, name, ylabel="disagreement (%)", title=title, log=False, scale=100)
    ax.set_ylim(0, 100 * max(results[name][:, 2:].mean(0).max() for results, _ in shown.values()) + 1)
study.figure(fig, "nc4", claims=["NC-4"], alt="Share of examples whose class is not that of the nearest class mean, over epochs.", caption=
    f"At the end the nearest class mean disagrees with the net on {100 * cs.at_end(mse, 'nc4').mean():.2f}% of the training data and {100 * cs.at_end(mse, 'test_nc4').mean():.1f}% of the test data "
    f"(cross-entropy: {100 * cs.at_end(shown['cross-entropy'][0], 'nc4').mean():.2f}% and {100 * cs.at_end(shown['cross-entropy'][0], 'test_nc4').mean():.1f}%).")  # fmt: skip

# %% [markdown]
# ### Why cross-entropy stalls, and what mends it
#
# Two things set the curves apart. **Strength**: NC1 divides the spread within classes by that between them, direction by direction. With plain cross-entropy
# some of the nine directions between class means are several times weaker than others, and there the classes overlap. **Pull**: squared error draws every
# example to one target; under cross-entropy an example that is right with certainty is no longer drawn anywhere, and gaps between the right logit and the next
# stay wide apart. Weight decay shortens the far ones. BatchNorm evens out the directions. Neither is enough alone.

# %%
rows = {"squared error": (mse, "blue")}
for kind, word, colour in (("plain", "plain", "orange"), ("norm", "BatchNorm", "green")):
    rows |= {f"{word}, decay {decay:g}": (done[f"{kind} {decay:g}"], colour) for decay in decays}
fig, (left, middle, right) = plots.panels(3, width=13, height=4)
plots.dot_rows(left, {name: (np.log10(cs.at_end(r, "nc1")), colour) for name, (r, colour) in rows.items()}, "log10 of NC1 at the end")
for name in ("squared error", f"plain, decay {decays[0]:g}", f"BatchNorm, decay {decays[-1]:g}"):
    strengths = rows[name][0]["strength"][:, -1]
    plots.band(middle, range(1, strengths.shape[1] + 1), strengths, name, rows[name][1], seeds=False)
middle.set(xlabel="direction between class means", ylabel="strength, of the strongest", title="Even strengths?", ylim=(0, 1.05)), middle.legend()
plots.dot_rows(right, {name: (cs.at_end(r, "gap_spread"), colour) for name, (r, colour) in rows.items()}, "spread of the logit gaps, of their median", zero=0)
right.set_yticklabels([]), left.set_title("What collapses?"), right.set_title("Even pull?")
weakest = {name: r["strength"][:, -1, -1].mean() for name, (r, _) in rows.items()}
study.figure(fig, "nc_why", alt="NC1 by loss, BatchNorm and weight decay; strengths of the directions between class means; spread of the logit gaps.", caption=
    f"The weakest direction between class means has {weakest['squared error']:.0%} of the strongest with squared error, {weakest[f'plain, decay {decays[0]:g}']:.0%} with plain cross-entropy, "
    f"{weakest[f'BatchNorm, decay {decays[-1]:g}']:.0%} with BatchNorm and decay. Without BatchNorm, decay does not help: NC1 {cs.at_end(done[f'plain {heavy}'], 'nc1').mean():.2g}.")  # fmt: skip

# %% [markdown]
# ## 2. Watch it happen
#
# Three digits that are easily confused, one small net with BatchNorm, cross-entropy. On the left each example's three probabilities are a point in a triangle whose corners are certainty. In the
# middle its features, in the plane through the three class means; on the right its logits. Move the slider, or press play.

# %%
tri = done["triangle"]
corners, digits = point_player.triangle(), [str(label) for label in runs["triangle"].classes]
panels = [
    point_player.Panel("Softmax output", point_player.on_triangle(tri["probabilities"]), outline=corners, corners=digits),
    point_player.Panel("Features, plane of class means", figures.features_like(tri, corners), means=True, rescale=True),
    point_player.Panel("Logits, seen along (1, 1, 1)", figures.logits_seen_from_the_diagonal(tri, corners), means=True),
]
movement = {"panels": panels, "labels": tri["y"], "names": digits, "frames": figures.frames(tri), "ticks": [f"{epoch:g}" for epoch in tri["epochs"]]}
point_player.point_player(**movement)

# %% tags=["twin"]
caption = (
    f"Zero training error comes at epoch {tri['epochs'][(tri['train_error'] == 0).argmax()]:g}; from there the outputs run into the corners and the features of a class draw together, NC1 from {tri['nc1'][(tri['train_error'] == 0).argmax()]:.2g} to {tri['nc1'][-1]:.2g}; "
    f"the mean length of the logits goes from {np.linalg.norm(tri['logits'][(tri['train_error'] == 0).argmax()], axis=-1).mean():.0f} to {np.linalg.norm(tri['logits'][-1], axis=-1).mean():.0f}."
)
study.twin(point_player.point_twin(**movement), caption=caption, alt="Explorer: outputs, features and logits of three classes moving through training.")

# %% [markdown]
# ### Corners of the simplex
#
# The slides say that outputs reach the corners only when the net is over-parameterised. We narrow all three hidden layers down to two units and count the
# training examples that get a probability above .99. Logits are another matter: they cluster too, but nothing stops them from growing.

# %%
by_width = {width: done[f"width {width}"] for width in widths} | {entropy.hidden[0]: done["plain 0"]}
plain = by_width[max(by_width)]
gate = cs.terminal(plain) | {"narrowest_net_errs": bool((cs.at_end(by_width[min(by_width)], "train_error") > 0).all())}
nc5 = study.check("NC-5", per_seed=cs.corners_claim(by_width), adequacy=gate)
nc6 = study.check("NC-6", per_seed=cs.logits_claim(plain), adequacy=cs.terminal(plain))
fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
grid = sorted(by_width)
for name, label, colour in (("confident", "probability above .99", "blue"), ("train_error", "training error", "orange")):
    plots.band(left, grid, 100 * np.stack([cs.at_end(by_width[width], name) for width in grid], 1), label, colour, seeds=False)
left.set(ylabel="training examples (%)", title="Who reaches the corners", ylim=(-1, 103)), left.legend()
plots.log2_axis(left, grid, "units in each hidden layer")

# %%
long = {f"decay {decay:g}": (done[f"plain {decay:g}"], colour) for decay, colour in zip(decays, ("orange", "gold"), strict=False)}
over_epochs(middle, long | {"squared error": (mse, "blue")}, "logit_norm", ylabel="length of the logits", title="Do logits stop?")
for label, name, colour in (("features", "nc1", "orange"), ("logits", "logit_nc1", "sky")):
    over_epochs(right, {label: (plain, colour)}, name, ylabel="NC1", title="Do logits cluster?")
right.legend()
study.figure(fig, "simplex", claims=["NC-5", "NC-6"], alt="Share of confident examples against width; length of the logits and NC1 over epochs.", caption=
    f"{cs.at_end(plain, 'confident').mean():.1%} of the examples get a probability above .99 in the widest net, {cs.at_end(by_width[min(by_width)], 'confident').mean():.1%} in the narrowest. After zero error "
    f"the logits grow {cs.fall(plain, 'logit_norm').mean():.1f}-fold without weight decay; squared error stops them at {cs.at_end(mse, 'logit_norm').mean():.2f}.")  # fmt: skip

# %% [markdown]
# ## 3. Layer by layer
#
# Doimo and colleagues [@doimo2020hierarchical] ask of every image: what share $\chi$ of its nearest neighbours in a layer has its class? In a ResNet-152
# on ImageNet it leaps near the output. We take 5 neighbours, as the slides do, and 30, as the paper does, and call a rise abrupt if one layer makes more than half of it.

# %%
nc7 = study.check("NC-7", per_seed=cs.neighbours_claim(mse), adequacy=lasts)
names = ["inputs", *(f"hidden {k + 1}" for k in range(len(main.hidden))), "logits"]
fig, axes = plots.panels(3, width=12.5, height=3.8)
limits = min(mse[f"chi30_{part}"].mean(0).min() for part in ("train", "test")), 1.0
for ax, part in zip(axes, ("train", "test"), strict=False):
    mean, title = mse[f"chi30_{part}"].mean(0).T[::-1], "Training data" if part == "train" else "Test data"
    ticks = [f"{epoch:g}" if k % 5 == 0 else "" for k, epoch in enumerate(mse["epochs"])]
    plots.heat(ax, mean, rows=names[::-1], columns=ticks, xlabel="epoch", title=title, limits=limits, bar="χ" if part == "test" else "")
    ax.set_aspect("auto"), ax.axvline(np.searchsorted(mse["epochs"], cs.first_epoch(mse)), color="white", linestyle="--")

# %%
for label, results, colour in (("MLP", mse, "blue"), ("conv net", done["conv"], "purple")):
    for part, style in (("train", "-"), ("test", "--")):
        layers = results[f"chi30_{part}"][:, -1]
        plots.band(axes[2], np.linspace(0, 1, layers.shape[1]), layers, f"{label}, {part}", colour, seeds=False, linestyle=style)
axes[2].set(xlabel="depth (0: inputs, 1: logits)", title="χ at the end"), axes[2].legend()
rise, share = (cs.neighbours_claim(mse)[f"chi_{name}_k30_train"].mean() for name in ("output_minus_input", "largest_step_share"))
study.figure(fig, "chi_nn", claims=["NC-7"], alt="Share of same-class neighbours by layer and epoch, and by depth at the end.", caption=
    f"From inputs to logits the share of same-class neighbours rises by {rise:.2f} on training data; the largest step makes {share:.0%} of the rise. Dashed: zero training error.")  # fmt: skip

# %% [markdown]
# ### Do weight vectors align?
#
# One source asks whether units' weight vectors line up in the last layer while training goes on, more than in the layers before. We measure the mean |cosine| over all pairs of units of a
# layer and subtract its value at the start, since in few dimensions any two vectors are somewhat aligned.

# %%
nc11 = study.check("NC-11", per_seed=cs.alignment_claim(mse), adequacy=lasts)
gained = {"epochs": mse["epochs"], "train_error": mse["train_error"]} | {f"{k}": mse["alignment"][:, :, k] - mse["alignment"][:, :1, k] for k in range(len(main.hidden) + 1)}
fig, ax = plots.panels(1, width=8, height=4)
for k, colour in zip(range(len(main.hidden) + 1), ("sky", "blue", "purple", "orange"), strict=False):
    label = f"hidden layer {k + 1}" if k < len(main.hidden) else "output layer"
    over_epochs(ax[0], {label: (gained, colour)}, f"{k}", ylabel="gain of the mean |cosine|", title="Alignment of weight vectors", log=False)
plots.end_labels(ax[0])
study.figure(fig, "nc_layer", claims=["NC-11"], alt="Mean absolute cosine between weight vectors of a layer, less its start, over epochs.", caption=
    f"At the end the mean |cosine| has changed by {gained[str(len(main.hidden) - 1)][:, -1].mean():+.3f} in the last hidden layer, by "
    + " and ".join(f"{gained[str(k)][:, -1].mean():+.3f}" for k in range(len(main.hidden) - 1)) + " in the layers before.")  # fmt: skip

# %% [markdown]
# ## 4. What disturbs it
#
# **Wrong labels.** A fifth of the labels is replaced by other classes. The net with BatchNorm and cross-entropy must memorise these images. Do they collapse to the class they were *told*, or stay with the class they show?
# **Pruning.** Tickets with a tenth of the weights, found by rounds of magnitude pruning, against random masks with the same counts and the dense net.

# %%
clean, noisy = done["noise 0"], done["noise 0.2"]
nc8 = study.check("NC-8", per_seed=cs.noise_claim(noisy, clean), adequacy=cs.terminal(clean) | cs.terminal(noisy, "noisy_labels_learned"))
fig, (left, right) = plots.panels(2, width=11.5, height=4)
over_epochs(left, {"clean": (clean, "blue"), "20% wrong": (noisy, "orange")}, "nc1", ylabel="NC1, by the labels told", title="All training images")
for by, colour in (("told", "orange"), ("true", "green")):
    over_epochs(right, {f"by the {by} label": (noisy, colour)}, f"mislabelled_nc1_{by}", title="Mislabelled images alone")
right.legend()
told, true = (noisy[f"mislabelled_nc1_{by}"].mean(0) for by in ("told", "true"))
study.figure(fig, "nc_noise", claims=["NC-8"], alt="Within-class variability with and without wrong labels; of mislabelled images by told and by true label.", caption=
    f"With 20% wrong labels NC1 ends at {cs.at_end(noisy, 'nc1').mean():.2g} instead of {cs.at_end(clean, 'nc1').mean():.2g}. The net first puts mislabelled images with the class they show (NC1 {true[1]:.2g}), "
    f"but from epoch {noisy['epochs'][(told < true).argmax()]:g} with the one they were told: at the end {told[-1]:.2g} against {true[-1]:.2g}.")  # fmt: skip

# %%
pruned = {name: cs.arm(done["tickets"], k) for k, name in enumerate(runs["tickets"].arms)} | {"dense": mse}
claim = cs.ticket_claim(pruned, main.train)
gate = cs.terminal(pruned["ticket"], "ticket_terminal_phase") | cs.terminal(mse, "dense_terminal_phase")
nc10 = study.check("NC-10", per_seed=claim, adequacy=gate)
fig, (left, right) = plots.panels(2, width=11.5, height=4)
tints = {"ticket": "blue", "random": "gold", "dense": "grey"}
over_epochs(left, {name: (pruned[name], tint) for name, tint in tints.items()}, "nc1", ylabel="NC1", title="Training data")
plots.dot_rows(right, figures.ratio_rows(claim), "log2 of the ratio, at the end", zero=0)
kept = done["tickets"]["density"].mean()
study.figure(fig, "nc_lth", claims=["NC-10"], alt="NC1 over epochs of ticket, random mask and dense net; ratios of NC1 to NC4 at the end.", caption=
    f"With {kept:.0%} of the weights a ticket's NC1 ends {2 ** claim['log2_nc1_ticket_over_dense'].mean():.1f} times as large as the dense net's and {2 ** claim['log2_nc1_ticket_over_random'].mean():.1f} times as large as that of a random mask.")  # fmt: skip

# %% [markdown]
# ## 5. Is it good for anything?
#
# "The benefits", says the abstract, are better generalisation, better robustness. Three readings of that: does test accuracy rise from zero error to the end; does the
# smallest perturbation that changes a decision grow, along the sign of the gradient [@goodfellow2015explaining]; and, among nets that *all* make no training
# error but were trained differently, do those with less NC1 do better? (Hollow points still make errors and do not count.)

# %%
compared = [mse, *(done[f"setting {k}"] for k in range(len(settings)))]
claim = cs.benefit_claim(mse, compared)
nc9 = study.check("NC-9", per_seed=claim, adequacy=lasts)
fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
over_epochs(left, shown, "test_error", ylabel="test error (%)", title="Does it generalise?", scale=100)
over_epochs(middle, shown, "margin", ylabel="smallest step that changes a decision", title="Is it robust?")
middle.get_legend().remove()
for k, (results, changes) in enumerate(zip(compared, [{}, *settings], strict=True)):
    label = ", ".join(f"{name.replace('_', ' ')} {value if not isinstance(value, list) else value[0]}" for name, value in changes.items()) or "as above"
    fits, tint = cs.at_end(results, "train_error") == 0, plots.CYCLE[k]
    for some, fill in ((fits, tint), (~fits, "none")):
        right.plot(cs.at_end(results, "nc1")[some], 100 - 100 * cs.at_end(results, "test_error")[some], "o", color=tint, markerfacecolor=fill, label=label if fill == tint else "")
plots.log_axis(right, [tick for tick in (3e-4, 1e-3, 3e-3, 0.01, 0.03) if tick < 2 * max(cs.at_end(r, "nc1").max() for r in compared)])
right.set(xlabel="NC1 at the end", ylabel="test accuracy (%)", title="Less NC1, better nets?"), right.legend(fontsize=8.5)

# %%
together = claim["partial_correlation_nc1_accuracy"].mean()
study.figure(fig, "nc_gen", claims=["NC-9"], alt="Test error and smallest adversarial step over epochs; test accuracy against NC1 at the end.", caption=
    f"From zero error to the end accuracy changes by {claim['test_accuracy_end_minus_first_zero_error'].mean():+.2f} points and the step by {claim['smallest_fgsm_epsilon_end_minus_first_zero_error'].mean():+.3f}. "
    + (f"Over {len(compared)} settings the rank correlation of NC1 and accuracy is {together:+.2f}." if np.isfinite(together) else "Too few of the settings fit the data to correlate NC1 and accuracy."))  # fmt: skip

# %% [markdown]
# ## Limits
#
# Ten classes of 8 × 8 digits (profile laptop) are easy: zero error comes after some twenty epochs, with 98% of the test images right, and little is left to gain. On 5,000 MNIST images (profile mnist) seeds
# part: with squared error some nets go on collapsing, in others NC1 rises again, and more decay, which would hold them, leaves one image unlearned. NC1 over its
# value at zero error depends on when that moment falls, which differs between seeds more than the end does; therefore the end is checked too. Looks are taken at
# geometrically spaced epochs, so "zero error" is known to about a fifth. Squared error is the mean over classes, hence its large rate. The random masks of section 4 keep
# two or three training errors, and on MNIST tickets keep one: such contrasts are described, never judged. NC4 counts are mostly zero, and half a count stands in. Settings in NC-9 change decay or width alone; a
# correlation over five of them is weak evidence either way. The step that changes a decision follows the gradient of the gap between logits, since that of
# cross-entropy rounds to zero where a net is certain [@carlini2017towards]. That test features need not collapse was said before [@hui2022limitations].
#
# Tuned on seeds 1000–1009 and left: squared error with a gain of 1 or rates from 4 (diverges), decay 10⁻⁵ (less alignment with the classifier), decay 10⁻⁴ (less collapse), 300 epochs, batches of 32 and 128;
# cross-entropy without BatchNorm at rates .05 to .5, decays to .01 and gains of .25 to .6, never below NC1 = .08; a conv net *without* BatchNorm (NC1 rises to .27);
# wrong labels under squared error (not all learned in 200 epochs).
#
# ## Exercises
#
# 1. Give nine tenths of the images a random label (`noise=0.9`). Does the net still collapse, and to what?
# 2. `nc1_ratio` in the results divides the traces instead. Which curves change, and why does the pseudo-inverse weigh small directions more?
# 3. Where is the frame potential of the class means least? Compare `frame_potential` with `least_frame_potential`.
# 4. Add weight decay to cross-entropy without BatchNorm until the net no longer fits. Does NC1 fall before that?

# %%
study.conclude(
    answer=f"It depends on the loss. With squared error NC1 ends at {end['squared error']:.2g} (NC-1 {nc1.verdict}) and the class means form a simplex (NC-2 {nc2.verdict}); with cross-entropy an MLP stalls at "
    f"{end['cross-entropy']:.2g}, and BatchNorm with weight decay brings it to {end['cross-entropy, BatchNorm']:.2g}. That collapse makes nets better is {nc9.verdict} (NC-9): accuracy changes by "
    f"{claim['test_accuracy_end_minus_first_zero_error'].mean():+.2f} points in the terminal phase. Mislabelled images collapse onto the label they were told (NC-8 {nc8.verdict})."
)
