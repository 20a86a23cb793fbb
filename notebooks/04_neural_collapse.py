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
# **Question.** A net that makes no error on its training data can be trained on. Nothing is left to correct, yet its
# last layers keep moving. Do they really end as a perfect simplex, what does it take, and does it make the net better?
#
# Papyan, Han and Donoho [@papyan2020prevalence] say that in this *terminal phase* the features $h$ of the last hidden
# layer collapse in four ways. Let $\mu_c$ be the mean feature of class $c$ and $\mu_G$ the mean of the $C$ class means.
#
# * **NC1**: features shrink to their class mean, measured by $\mathrm{tr}(\Sigma_W\Sigma_B^+)/C$, the spread within
#   classes against that between them.
# * **NC2**: the centred means $\mu_c-\mu_G$ become equally long, and every angle between two of them the same, with
#   cosine $-1/(C-1)$: a simplex.
# * **NC3**: each row of the classifier points the way of its class mean.
# * **NC4**: the decision becomes "which class mean is nearest?"
#
# All four are 0 in full collapse. We train nets to zero error and at least as long again, with 5 seeds, and look at
# them at some twenty moments. In every figure a triangle on the axis marks the epoch by which *all* seeds had fitted
# the training data.

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
terminal = {"neighbours": 300, "attacked": 60}  # settings of runs.Terminal: data, net, training with squared error
# What differs with cross-entropy
cross_entropy = {"loss": "cross_entropy", "lr": 0.05, "weight_decay": 0.0, "drops": [0.7, 0.9], "epochs": 144}
decay = 0.002  # of weights, with cross-entropy and without BatchNorm
normed = {"net": "normed_mlp", "weight_decay": 0.004, "epochs": 58}  # what differs with BatchNorm
conv = {
    "net": "small_conv",
    "channels": 8,
    "batch": 128,
    "lr": 0.1,
    "weight_decay": 0.005,
    "drops": [0.4, 0.8],
    "epochs": 60,
}
widths = [2, 4, 8, 16, 32, 64, 128]  # of narrower nets with cross-entropy
wrong = {"net": "normed_mlp", "weight_decay": 0.001, "drops": [0.4, 0.8], "epochs": 115}  # nets told wrong labels
pruning = {}  # settings of runs.Tickets
others = {  # what differs in nets that are compared with the first one
    "decay 0.0001": {"weight_decay": 0.0001},
    "128 units": {"hidden": [128, 128, 128]},
    "64 units": {"hidden": [64, 64, 64]},
}
picture = {"net": "normed_mlp", "hidden": [64, 64], "weight_decay": 0.001}  # the net of the explorer

# %%
import numpy as np

from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure, varied
from redlib.measures import simplex
from redlib.plots import epoch_panels, use_style
from redlib.report.explorers import Panel, like_triangle, on_triangle, point_player, seen_from_the_diagonal, triangle
from redlib.studies.neural_collapse import claims, figures, runs

use_style()
study = Study("04_neural_collapse", profile, first)


def end(name, quantity):
    return claims.at_end(done[name], quantity).mean()


# %% [markdown]
# ## 1. Do features collapse?
#
# Four nets, one question. With *squared error* every example is pulled to the same target, so the net
# 64-256-256-256-10 has a reason to collapse. With *cross-entropy*, the loss that everybody uses, we train the same net
# without and with BatchNorm [@ioffe2015batch], and a small conv net with it. The first verdicts are about squared
# error; figures show all four. `Terminal.run` builds the nets of all seeds, trains them with `fit` from one look to the
# next, and measures. Its settings, defaults included:

# %%
main = configure(runs.Terminal, terminal, seeds=range(first, first + seeds))
entropy = varied(main, cross_entropy, neighbours=0)
bare = {"neighbours": 0, "attacked": 0}  # what need not be measured
last = bare | {"looks": 1}
norm = varied(entropy, normed, bare)
plan = {
    "squared error": main,
    "cross-entropy": entropy,
    "BatchNorm, decay": norm,
    "conv net": varied(main, cross_entropy, conv, attacked=0),
    "squared error, no decay": varied(main, bare, weight_decay=0.0),
    "cross-entropy, decay": varied(entropy, bare, weight_decay=decay),
    "BatchNorm": varied(norm, last, weight_decay=0.0),
}
settings(**plan)

# %%
done = carry_out(study, plan)
mse, plain = done["squared error"], done["cross-entropy"]
shown = figures.shown(done)

# %%
nc1 = study.check(claims.nc_1(mse))
study.figure(
    epoch_panels(shown, {"nc1": ("NC1", "Training data"), "test_nc1": ("NC1", "Test data")})[0],
    "nc1",
    claims=["NC-1"],
    alt="Within-class variability over epochs for four nets, on training and on test data.",
    caption=f"With squared error NC1 goes from {claims.at_fit(mse, 'nc1').mean():.2g} at zero error to "
    f"{nc1['end_value']:.2g}; with cross-entropy it ends at {end('cross-entropy', 'nc1'):.2g}, with BatchNorm and "
    f"decay at {end('BatchNorm, decay', 'nc1'):.2g}. On test data the best end at "
    f"{min(end(name, 'test_nc1') for name in shown):.2g}.",
)

# %% [markdown]
# ### A simplex, and what noise alone would give
#
# Ten class means in 256 dimensions are *almost* a simplex even if features are pure noise: two random directions are
# nearly orthogonal there. A small deviation of the angles proves little unless it lies below that level, so the figure
# draws it, and the claim is judged against it.

# %%
noise = simplex.of_noise(main.load().classes, main.hidden[-1])
nc2 = study.check(claims.nc_2(mse, noise))
free = "squared error, no decay"
study.figure(
    figures.simplex(done, noise),
    "nc2",
    claims=["NC-2"],
    alt="Spread of the lengths of class means, and deviation of their angles from a simplex, over epochs.",
    caption=f"With squared error lengths differ by {nc2['lengths_equal']:.0%} and cosines by {nc2['angles_equal']:.3f} "
    f"from the simplex; the means of pure noise in as many dimensions would show {noise[0]:.0%} and {noise[1]:.3f}. "
    f"Without weight decay: {end(free, 'nc2_norms'):.0%} and {end(free, 'nc2_angles'):.3f}.",
)

# %% [markdown]
# ### Classifier and decision
#
# NC3 compares the normalised matrix of class means with the normalised classifier. NC4 is counted with the bias, as
# the net decides with it. It says little by itself: a net can agree with its nearest mean long before anything has
# collapsed.

# %%
nc3 = study.check(claims.nc_3(mse))
study.figure(
    epoch_panels(shown, {"nc3": ("‖W − M‖², both normalised", "Classifier and class means")})[0],
    "nc3",
    claims=["NC-3"],
    alt="Distance between classifier and class means over epochs for four nets.",
    caption=f"With squared error the distance goes from {claims.at_fit(mse, 'nc3').mean():.2f} at zero error to "
    f"{nc3['end_value']:.3f}; with cross-entropy alone it ends at {end('cross-entropy', 'nc3'):.2f}.",
)

# %%
nc4 = study.check(claims.nc_4(mse, main.size))
parts = {"nc4": ("disagreement (%)", "Training data"), "test_nc4": ("disagreement (%)", "Test data")}
study.figure(
    epoch_panels(shown, parts, log=False, scale=100)[0],
    "nc4",
    claims=["NC-4"],
    alt="Share of examples whose class is not that of the nearest class mean, over epochs.",
    caption=f"At the end the nearest class mean disagrees with the net on {100 * end('squared error', 'nc4'):.2f}% of "
    f"the training data (2^{nc4['falls']:.1f} times as many as before training) and "
    f"{100 * end('squared error', 'test_nc4'):.1f}% of the test data (cross-entropy: "
    f"{100 * end('cross-entropy', 'nc4'):.2f}% and {100 * end('cross-entropy', 'test_nc4'):.1f}%).",
)

# %% [markdown]
# ### Where cross-entropy stalls, and what might mend it
#
# Two things may set the curves apart. **Strength**: NC1 divides the spread within classes by that between them,
# direction by direction. If some of the nine directions between class means are much weaker than others, classes
# overlap there. **Pull**: squared error draws every example to one target; under cross-entropy an example that is right
# with certainty is no longer drawn anywhere, and gaps between the right logit and the next may stay wide apart. Weight
# decay should shorten the far ones, BatchNorm even out the directions; each is tried alone.

# %%
weakest = {name: done[name]["strength"][:, -1, -1].mean() for name in shown}
study.figure(
    figures.reasons(done),
    "nc_why",
    alt="NC1 by loss, BatchNorm and decay; strengths of the directions between class means; spread of the logit gaps.",
    caption=f"The weakest direction between class means has {weakest['squared error']:.0%} of the strongest with "
    f"squared error, {weakest['cross-entropy']:.0%} with plain cross-entropy, {weakest['BatchNorm, decay']:.0%} with "
    f"BatchNorm and decay. NC1 ends at {end('cross-entropy, decay', 'nc1'):.2g} with decay alone and at "
    f"{end('BatchNorm', 'nc1'):.2g} with BatchNorm alone.",
)

# %% [markdown]
# ## 2. Watch it happen
#
# Three digits that are easily confused, one small net with BatchNorm, cross-entropy (`Triangle` is a `Terminal` that
# keeps the examples' places). On the left each example's three probabilities are a point in a triangle whose corners
# are certainty. In the middle its features, in the plane through the three class means; on the right its logits. Move
# the slider, or press play.

# %%
small = configure(runs.Triangle, vars(entropy), picture, seeds=main.seeds[:1])
tri = carry_out(study, {"triangle": small})["triangle"].at(seed=0)
logits, digits = tri["logits"], [str(digit) for digit in small.digits]
shares = np.exp(logits - logits.max(-1, keepdims=True))
outputs = on_triangle(shares / shares.sum(-1, keepdims=True))
panels = [
    Panel("Softmax output", outputs, outline=triangle(), corners=digits),
    Panel("Features, plane of class means", like_triangle(tri["features"]), means=True, rescale=True),
    Panel("Logits, seen along (1, 1, 1)", seen_from_the_diagonal(logits), means=True),
]
ticks = [f"{epoch:g}" for epoch in tri["epochs"]]
lengths = np.linalg.norm(logits, axis=-1).mean(1)
study.explorer(
    point_player(panels, tri["y"], digits, figures.frames(tri), ticks=ticks),
    caption=f"Do the outputs run into the corners, and do the features of a class draw together? NC1 ends at "
    f"{tri['nc1'][-1]:.2g}. The mean length of the logits goes from {lengths[0]:.1f} to {lengths[-1]:.1f}.",
    alt="Explorer: outputs, features and logits of three classes moving through training.",
)

# %% [markdown]
# ### Corners of the simplex
#
# The slides say that outputs reach the corners only when the net is over-parameterised. We narrow all three hidden
# layers down to two units and count the training examples that get a probability above .99. Logits are another matter:
# they may cluster too, but no corner stops them from growing.

# %%
narrow = {width: varied(entropy, last, hidden=[width] * len(main.hidden)) for width in widths}
by_width = carry_out(study, {"widths": narrow}, axis="width")["widths"]
narrowest = min(widths)
nc5 = study.check(claims.nc_5(plain, by_width.at(width=narrowest), main.size))
nc6 = study.check(claims.nc_6(plain))
study.figure(
    figures.corners(done, by_width, main.hidden[0]),
    "simplex",
    claims=["NC-5", "NC-6"],
    alt="Share of confident examples against width; length of the logits and NC1 over epochs.",
    caption=f"{end('cross-entropy', 'confident'):.1%} of the examples get a probability above .99 in the widest net, "
    f"{end('cross-entropy', 'confident') - nc5['wide_beats_small']:.1%} in the narrowest. After zero error the logits "
    f"become {2 ** nc6['grows']:.1f} times as long without weight decay; with squared error they end at "
    f"{end('squared error', 'logit_norm'):.2f}.",
)

# %% [markdown]
# ## 3. Layer by layer
#
# Doimo and colleagues [@doimo2020hierarchical] ask of every image: what share $\chi$ of its nearest neighbours in a
# layer has its class? In a ResNet-152 on ImageNet it leaps near the output. We take 5 neighbours, as the slides do, or
# 30, as the paper does, and call a rise abrupt if one layer in the later half makes more than half of it.

# %%
nc7 = study.check(claims.nc_7(mse))
study.figure(
    figures.layers(done),
    "chi_nn",
    claims=["NC-7"],
    alt="Share of same-class neighbours by depth, untrained and at the end, for an MLP and a conv net.",
    caption=f"From inputs to logits the share of same-class neighbours changes by {nc7['rise_k30_train']:+.2f} on "
    f"training data; the largest late step makes {nc7['sharp_k30_train']:.0%} of that, on test data "
    f"{nc7['sharp_k30_test']:.0%}.",
)

# %% [markdown]
# ### Do weight vectors align?
#
# One source asks whether units' weight vectors line up in the last layer while training goes on, more than in the
# layers before. We measure the mean |cosine| over all pairs of units of a layer and compare it with its start, since in
# few dimensions any two vectors are somewhat aligned.

# %%
nc11 = study.check(claims.nc_11(mse))
gained = (mse["alignment"][:, -1] - mse["alignment"][:, 0]).mean(0)
study.figure(
    figures.weights(mse),
    "nc_layer",
    claims=["NC-11"],
    alt="Mean absolute cosine between weight vectors of each layer over epochs.",
    caption=f"From the start to the end the mean |cosine| changes by {gained[-2]:+.3f} in the last hidden layer, by "
    + " and ".join(f"{gain:+.3f}" for gain in gained[:-2])
    + " in the layers before.",
)

# %% [markdown]
# ## 4. What disturbs it
#
# **Wrong labels.** A fifth of the labels is replaced by other classes. The net with BatchNorm and cross-entropy must
# memorise these images. Do they collapse to the class they were *told*, or stay with the class they show?
# **Pruning.** `Tickets.run` finds tickets with a tenth of the weights by rounds of magnitude pruning, and trains them
# like the dense net, against random masks with the same counts.

# %%
clean = varied(entropy, wrong, bare)
tickets = configure(runs.Tickets, vars(main), bare, pruning)
settings(clean, tickets)

# %%
done |= carry_out(study, {"clean": clean, "noisy": varied(clean, noise=0.2), "tickets": tickets})
noisy = done["noisy"]
nc8 = study.check(claims.nc_8(done["clean"], noisy))
told, true = (noisy[f"mislabelled_nc1_{by}"].mean(0) for by in ("told", "true"))
study.figure(
    figures.wrong_labels(done["clean"], noisy),
    "nc_noise",
    claims=["NC-8"],
    alt="Within-class variability with and without wrong labels; of mislabelled images by told and by true label.",
    caption=f"With 20% wrong labels NC1 ends at {end('noisy', 'nc1'):.2g} instead of {end('clean', 'nc1'):.2g}. After "
    f"the first epoch mislabelled images have NC1 {true[1]:.2g} by the class they show and {told[1]:.2g} by the one "
    f"they were told, at the end {true[-1]:.2g} and {told[-1]:.2g}.",
)

# %%
found = claims.nc_10(done["tickets"], mse, main.size)
nc10 = study.check(found)
study.figure(
    figures.pruned(done["tickets"], mse, found.parts),
    "nc_lth",
    claims=["NC-10"],
    alt="NC1 over epochs of ticket, random mask and dense net; ratios of NC1 to NC4 at the end.",
    caption=f"With {done['tickets']['density'].mean():.0%} of the weights a ticket's NC1 ends "
    f"{2 ** nc10['nc1_ratio']:.2g} times as large as the dense net's and {2 ** nc10['nc1_versus_random']:.2g} times as "
    f"large as that of a random mask.",
)

# %% [markdown]
# ## 5. Is it good for anything?
#
# "The benefits", says the abstract, are better generalisation, better robustness. Three readings of that: does test
# accuracy rise from zero error to the end; does the smallest perturbation that changes a decision grow, along the sign
# of the gradient [@goodfellow2015explaining]; and, among nets that *all* make no training error but were trained
# differently, do those with less NC1 do better? (Hollow points still make errors and do not count.)

# %%
compared = carry_out(study, {name: varied(main, last, changes) for name, changes in others.items()}, size=3)
compared = {"as above": mse, "no decay": done[free]} | compared
nc9 = study.check(claims.nc_9(mse, [*compared.values()]))
gain, step, together = (nc9[part] for part in ("accuracy_rises", "margin_rises", "collapse_goes_with_accuracy"))
study.figure(
    figures.benefit(done, compared),
    "nc_gen",
    claims=["NC-9"],
    alt="Test error and smallest adversarial step over epochs; test accuracy against NC1 at the end.",
    caption=f"From zero error to the end accuracy changes by {gain:+.2f} points. "
    + ("In most seeds the step lies outside the range tried. " if np.isnan(step) else "")
    + ("" if np.isnan(step) else f"The step becomes {2**step:.2f} times as long. ")
    + ("Too few nets fit to correlate NC1 and accuracy." if np.isnan(together) else "")
    + ("" if np.isnan(together) else f"Over the nets the rank correlation of NC1 and accuracy is {together:+.2f}."),
)

# %% [markdown]
# ## Limits
#
# Ten classes of 8 × 8 digits (profile laptop) are easy: zero error comes after some thirty epochs, with nearly all test
# images right, and little is left to gain. Each seed draws its own training images, 1,000 of 1,437; as two seeds share
# most of theirs, intervals say little of new images. On 5,000 MNIST images (profile mnist; then the same for all seeds)
# seeds parted: with squared error some nets went on collapsing, in others NC1 rose again, and more decay, which would
# hold them, left one image unlearned. NC1 over its value at zero error depends on when that moment falls, which differs
# between seeds more than the end does; therefore the end is told, too. Looks are taken at geometrically spaced epochs,
# so "zero error" is known to about a fifth. Squared error is the mean over classes, hence its large rate. The random
# masks of section 4 may keep a few training errors, on MNIST tickets, too: such contrasts are described, never judged.
# NC4 counts may be zero, and half a count stands in. Nets in NC-9 differ in decay or width alone; a correlation over
# five of them is weak evidence either way. The step that changes a decision follows the gradient of the gap between
# logits, since that of cross-entropy rounds to zero where a net is certain [@carlini2017towards]. That test features
# need not collapse was said before [@hui2022limitations].
#
# Tuned on seeds 1000–1009 with all 1,437 images; 1,000 get as many steps in more epochs. Left: squared error with a
# gain of 1 or rates from 4 (diverges), decay 10⁻⁵ (less alignment with the classifier), decay 10⁻⁴ (less collapse), 300
# epochs, batches of 32 and 128; cross-entropy without BatchNorm at rates .05 to .5, decays to .01 and gains of .25 to
# .6, never below NC1 = .08; a conv net *without* BatchNorm (NC1 rises to .27); wrong labels under squared error (not
# all learned in 200 epochs); with BatchNorm decay .002 for 100 epochs (the same collapse as .004 for 40), and a conv
# net of 4 channels (fits late).
#
# ## Exercises
#
# 1. Give nine tenths of the images a random label (`noise=0.9`). Does the net still collapse, and to what?
# 2. `nc1_ratio` in the results divides the traces instead. Which curves change, and why does the pseudo-inverse weigh
#    small directions more?
# 3. Where is the frame potential of the class means least? Compare `frame_potential` with `least_frame_potential`.
# 4. Add weight decay to cross-entropy without BatchNorm until the net no longer fits. Does NC1 fall before that?

# %%
study.conclude(
    answer=f"With squared error NC1 ends at {nc1['end_value']:.2g} (NC-1: {nc1.word}) and class means differ from a "
    f"simplex by {nc2['lengths_equal']:.0%} in length (NC-2: {nc2.word}); with cross-entropy an MLP ends at "
    f"{end('cross-entropy', 'nc1'):.2g}, and with BatchNorm and weight decay at {end('BatchNorm, decay', 'nc1'):.2g}. "
    f"Does collapse make nets better (NC-9: {nc9.word})? In the terminal phase accuracy changes by {gain:+.2f} points. "
    f"Do wrong labels weaken it (NC-8: {nc8.word})? With a fifth of them NC1 ends 2^{nc8['noise_spreads']:.1f} times "
    "as large."
)
