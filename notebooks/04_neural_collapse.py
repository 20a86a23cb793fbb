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

# %% [markdown]
# ## Try it yourself
#
# A few lines show a collapse: small networks learn a thousand digits, and are trained on after their last mistake.
# NC1 says how far images of a class lie apart, against the distance between classes. Where does the training error
# reach zero, and what does NC1 do from there? Three seeds are no evidence; the study follows below.

# %%
from redlib.data import load
from redlib.measures.collapse import collapse
from redlib.nets import StackedMLP
from redlib.training import SGD, Examples, fit

# Change the loss to "cross_entropy" and the learning rate to 0.05: does NC1 still go on falling?
loss, learning_rate = "mse", 1.0
data, epochs = load("digits", n_train=1000), [0, 5, 20, 50, 100, 200]
images = Examples(data.train.x, data.train.y)
networks = StackedMLP.create((64, 128, 128, 10), seeds=[20_000, 20_001, 20_002])  # all three at once
nc1 = {"nc1": lambda nets: collapse([(nets.hidden(images.x)[-2], images.y)], data.classes)["nc1"]}  # last hidden layer
how = {"loss": loss, "optimizer": SGD(learning_rate), "epochs": epochs[-1], "batch_size": 64}
history = fit(networks, images, evaluate={"training": images}, probes=nc1, probe_epochs=epochs, **how)
for moment, epoch in enumerate(epochs):
    error, spread = (history[name][:, moment].mean() for name in ("training_error", "nc1"))
    print(f"epoch {epoch:3}: training error {error:6.1%}, NC1 {spread:.2f}")

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
terminal = {"neighbours": 300, "attacked": 60}  # of runs.Terminal: images whose neighbours are counted; test images
cross_entropy = {
    "loss": "cross_entropy",
    "lr": 0.05,  # learning rate
    "weight_decay": 0.0,
    "drops": [0.7, 0.9],  # shares of the training after which the rate falls tenfold
    "epochs": 144,
}  # what differs with cross-entropy
normed = {"net": "normed_mlp", "weight_decay": 0.004, "epochs": 58}  # what differs with BatchNorm
conv = {
    "net": "small_conv",
    "channels": 8,  # of the first convolution
    "batch": 128,  # images a step
    "lr": 0.1,
    "weight_decay": 0.005,
    "drops": [0.4, 0.8],
    "epochs": 60,
}  # what differs in the conv net
widths = [2, 4, 8, 16, 32, 64, 128]  # units a layer of narrower nets with cross-entropy
wrong = {"net": "normed_mlp", "weight_decay": 0.001, "drops": [0.4, 0.8], "epochs": 115}  # nets told wrong labels
pruning = {}  # settings of runs.Tickets
others = {
    "decay 0.0001": {"weight_decay": 0.0001},  # more decay than the first net's
    "128 units": {"hidden": [128, 128, 128]},  # half its width
    "64 units": {"hidden": [64, 64, 64]},  # a quarter
}  # what differs in nets that are compared with the first one
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


def against(value, other, above, below, alike):
    """Return the word for a mean that is more than a tenth `above` or `below` another one, else `alike`."""
    return above if value > 1.1 * other else below if value < 0.9 * other else alike


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
last = bare | {"looks": 1}  # looked at after training alone
norm = varied(entropy, normed, bare)
plan = {
    "squared error": main,
    "cross-entropy": entropy,
    "BatchNorm, decay": norm,
    "conv net": varied(main, cross_entropy, conv, attacked=0),
    "squared error, no decay": varied(main, bare, weight_decay=0.0),
    "cross-entropy, decay": varied(entropy, bare, weight_decay=0.002),
    "BatchNorm": varied(norm, last, weight_decay=0.0),
}
settings(**plan)

# %%
done = carry_out(study, plan)
mse, plain = done["squared error"], done["cross-entropy"]
shown = figures.shown(done)

# %%
nc1 = study.check(claims.nc_1(mse))
tightest = min(shown, key=lambda name: end(name, "nc1"))
shrink = nc1.side("falls", "spread again", "go on drawing together", "do not clearly draw together", level=1)
study.figure(
    epoch_panels(shown, {"nc1": ("NC1", "Training data"), "test_nc1": ("NC1", "Test data")})[0],
    "nc1",
    claims=["NC-1"],
    alt="Within-class variability over epochs for four nets, on training and on test data.",
    caption="Means over seeds, each from its own first perfect fit: with squared error NC1 goes from "
    f"{claims.at_fit(mse, 'nc1').mean():.2g} at zero error to {nc1['end_value']:.2g}; with cross-entropy it ends at "
    f"{end('cross-entropy', 'nc1'):.2g}, with BatchNorm and decay at {end('BatchNorm, decay', 'nc1'):.2g}. On test "
    f"data the best ends at {min(end(name, 'test_nc1') for name in shown):.2g}.",
    meaning=f"Past zero error nothing is left to correct; with squared error the features of a class {shrink} "
    f"(NC-1: {nc1.word}). Of the four nets, NC1 ends smallest with {tightest}. On test images it is "
    f"{end(tightest, 'test_nc1') / end(tightest, 'nc1'):.2g} times as large there: what collapses are first of all the "
    "images that the net was trained on.",
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
lengths = nc2.side("lengths_beat_noise", "less equal than", "more equal than", "about as equal as")
angles = nc2.side("angles_beat_noise", "farther from it than", "nearer to it than", "not clearly nearer to it than")
evener = [name for name in shown if end(name, "nc2_norms") < noise[0]]
evener = f"{' and '.join(evener)} end" if evener else "none of the four nets ends"
study.figure(
    figures.simplex(done, noise),
    "nc2",
    claims=["NC-2"],
    alt="Spread of the lengths of class means, and deviation of their angles from a simplex, over epochs.",
    caption=f"With squared error lengths differ by {nc2['lengths_equal']:.0%} and cosines by {nc2['angles_equal']:.3f} "
    f"from the simplex; the means of pure noise in as many dimensions would show {noise[0]:.0%} and {noise[1]:.3f}. "
    f"Without weight decay: {end(free, 'nc2_norms'):.0%} and {end(free, 'nc2_angles'):.3f}.",
    meaning=f"With squared error the lengths of the class means end {lengths} those of pure noise; as to a simplex, "
    f"their angles end {angles} those. Whether training makes a simplex is {nc2.word} here (NC-2): to end near one is "
    f"not enough, for noise does so without any training. By their means over seeds {evener} with more equal lengths "
    "than noise: a simplex is a matter of the net and its loss.",
)

# %% [markdown]
# ### Classifier and decision
#
# NC3 compares the normalised matrix of class means with the normalised classifier. NC4 is counted with the bias, as
# the net decides with it. It says little by itself: a net can agree with its nearest mean long before anything has
# collapsed.

# %%
nc3 = study.check(claims.nc_3(mse))
turn = nc3.side("falls", "turns away from the means again", "goes on turning to them", "does not clearly turn", 1)
study.figure(
    epoch_panels(shown, {"nc3": ("‖W − M‖², both normalised", "Classifier and class means")})[0],
    "nc3",
    claims=["NC-3"],
    alt="Distance between classifier and class means over epochs for four nets.",
    caption=f"With squared error the distance goes from {claims.at_fit(mse, 'nc3').mean():.2f} at zero error to "
    f"{nc3['end_value']:.3f}; with cross-entropy alone it ends at {end('cross-entropy', 'nc3'):.2f}.",
    meaning=f"Unrelated matrices lie 2 apart; {nc3['end_value']:.3f} is a cosine of {1 - nc3['end_value'] / 2:.2f}. "
    f"Past zero error the classifier {turn} (NC-3: {nc3.word}). Were both the same, the last layer would hold nothing "
    "that the class means do not say already.",
)

# %%
nc4 = study.check(claims.nc_4(mse, main.size))
after = nc4.side("falls_after_zero_error", "rises", "falls on", "does not clearly change")
loose = end("cross-entropy", "nc1") / end("squared error", "nc1")
loose = f"{loose:,.0f}" if loose > 10 else f"{loose:.2g}"
study.figure(
    figures.disagreement(done, main.size, len(main.load().test.y)),
    "nc4",
    claims=["NC-4"],
    alt="Share of examples whose class is not that of the nearest class mean, over epochs.",
    caption=f"At the end the nearest class mean disagrees with the net on {100 * end('squared error', 'nc4'):.2f}% of "
    f"the training data ({100 * mse['nc4'][:, 0].mean():.0f}% before training) and "
    f"{100 * end('squared error', 'test_nc4'):.1f}% of the test data (cross-entropy: "
    f"{100 * end('cross-entropy', 'nc4'):.2f}% and {100 * end('cross-entropy', 'test_nc4'):.1f}%).",
    meaning=f"Past zero error the disagreement {after}; whatever came before is the work of mere fitting. With "
    f"cross-entropy, at {loose} times the NC1, both rules still agree on "
    f"{100 - 100 * end('cross-entropy', 'nc4'):.1f}% of the training images: read NC4 beside NC1, never alone.",
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
moves = "raises NC1", "lowers NC1", "leaves NC1 about where it was"
tried = {name: end(name, "nc1") for name in ("cross-entropy, decay", "BatchNorm", "BatchNorm, decay")}
alone = {name: against(ends, end("cross-entropy", "nc1"), *moves) for name, ends in tried.items()}
study.figure(
    figures.reasons(done),
    "nc_why",
    alt="NC1 by loss, BatchNorm and decay; strengths of the directions between class means; spread of the logit gaps.",
    caption=f"The weakest direction between class means has {weakest['squared error']:.0%} of the strongest with "
    f"squared error, {weakest['cross-entropy']:.0%} with plain cross-entropy, {weakest['BatchNorm, decay']:.0%} with "
    f"BatchNorm and decay. NC1 ends at {tried['cross-entropy, decay']:.2g} with decay alone and at "
    f"{tried['BatchNorm']:.2g} with BatchNorm alone.",
    meaning=f"Next to plain cross-entropy, decay alone {alone['cross-entropy, decay']}, BatchNorm alone "
    f"{alone['BatchNorm']}, the pair of them {alone['BatchNorm, decay']}. These are means over seeds without "
    "a verdict: they say where to look for the reason, and do not prove one.",
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
far = np.linalg.norm(logits, axis=-1).mean(1)  # mean length of the logits
study.explorer(
    point_player(panels, tri["y"], digits, figures.frames(tri), ticks=ticks),
    caption=f"Do the outputs run into the corners, and do the features of a class draw together? NC1 ends at "
    f"{tri['nc1'][-1]:.2g}. The mean length of the logits goes from {far[0]:.1f} to {far[-1]:.1f}.",
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
few = nc5.side("wide_beats_small", "fewer", "more", "neither clearly fewer nor more")
grow = nc6.side("grows", "go on growing", "shrink", "do not clearly grow")
study.figure(
    figures.corners(done, by_width, main.hidden[0]),
    "simplex",
    claims=["NC-5", "NC-6"],
    alt="Share of confident examples against width; length of the logits and NC1 over epochs.",
    caption=f"{end('cross-entropy', 'confident'):.1%} of the examples get a probability above .99 in the widest net, "
    f"{end('cross-entropy', 'confident') - nc5['wide_beats_small']:.1%} in the narrowest. After zero error the logits "
    f"become {2 ** nc6['grows']:.1f} times as long without weight decay; with squared error they end at "
    f"{end('squared error', 'logit_norm'):.2f}.",
    meaning=f"{few.capitalize()} examples reach a corner in {narrowest} units than in {main.hidden[0]} (NC-5: "
    f"{nc5.word}). To be certain is not to have collapsed: cross-entropy gets there by length, and its logits {grow} "
    f"after zero error (NC-6: {nc6.word}), while squared error asks for a length of 1.",
)

# %% [markdown]
# ## 3. Layer by layer
#
# Doimo and colleagues [@doimo2020hierarchical] ask of every image: what share $\chi$ of its nearest neighbours in a
# layer has its class? In a ResNet-152 on ImageNet it leaps near the output. We take 5 neighbours, as the slides do, or
# 30, as the paper does, and call a rise abrupt if one layer in the later half makes more than half of it.

# %%
nc7 = study.check(claims.nc_7(mse))
even = 1 / (mse["chi30_train"].shape[-1] - 1)  # what each layer would make of an even rise
half = "more than half", "less than half", "about half"
conv_step = claims.late_step(done["conv net"]["chi30_train"]).mean()
late = [nc7.side(part, *half, 0.5) for part in ("sharp_k30_train", "sharp_k30_test", "sharp_k5_test")]
study.figure(
    figures.layers(done),
    "chi_nn",
    claims=["NC-7"],
    alt="Share of same-class neighbours by depth, untrained and at the end, for an MLP and a conv net.",
    caption="From inputs to logits of the MLP the share of same-class neighbours changes by "
    f"{nc7['rise_k30_train']:+z.2f} on training data; the largest late step makes {nc7['sharp_k30_train']:z.0%} of "
    f"that, on test data {nc7['sharp_k30_test']:z.0%}. In the conv net: {conv_step:z.0%} of it on training data.",
    meaning=f"One late layer of the MLP makes {late[0]} of the rise on training images and {late[1]} on test images; "
    f"with 5 neighbours in place of 30, {late[2]} on test images (NC-7: {nc7.word}). In so shallow a net an even rise "
    f"would give each layer {even:.0%} already, so this says less of abruptness than a deep net would.",
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
part = "weight_alignment_last_minus_earlier_layers"
beyond = nc11.side(part, "gains more than", "gains less than", "does not clearly differ from")
study.figure(
    figures.weights(mse),
    "nc_layer",
    claims=["NC-11"],
    alt="Mean absolute cosine between weight vectors of each layer over epochs.",
    caption=f"From the start to the end the mean |cosine| changes by {gained[-2]:+z.3f} in the last hidden layer, by "
    + " and ".join(f"{gain:+z.3f}" for gain in gained[:-2])
    + " in the layers before.",
    meaning=f"The last hidden layer, whose features collapse, {beyond} the mean of the layers before it. The source "
    "only asked, and gives no size to hold this against; units that point the same way do the same work twice.",
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
early = "the class they show" if true[1] < told[1] else "the class they were told"
places = "the class they were told", "the class they show", "neither class clearly"
home = nc8.side("told_not_true_class", *places)
spread = nc8.side("noise_spreads", "more spread out than", "less spread out than", "about as spread out as")
study.figure(
    figures.wrong_labels(done["clean"], noisy),
    "nc_noise",
    claims=["NC-8"],
    alt="Within-class variability with and without wrong labels; of mislabelled images by told and by true label.",
    caption=f"With 20% wrong labels NC1 ends at {end('noisy', 'nc1'):.2g} instead of {end('clean', 'nc1'):.2g}. After "
    f"the first epoch mislabelled images have NC1 {true[1]:.2g} by the class they show and {told[1]:.2g} by the one "
    f"they were told, at the end {true[-1]:.2g} and {told[-1]:.2g}.",
    meaning=f"After one epoch mislabelled images lie closer around {early}, at the end around {home} (NC-8: "
    f"{nc8.word}). What a net knows of an image at first and what it is made to say of it later are two things, and "
    f"features show both. All classes together end {spread} without wrong labels.",
)

# %%
found = claims.nc_10(done["tickets"], mse, main.size)
nc10 = study.check(found)
ways = "less tightly than", "more tightly than", "neither clearly more nor less tightly than"
beside = {arm: nc10.side(part, *ways) for arm, part in (("dense", "nc1_ratio"), ("random", "nc1_versus_random"))}
study.figure(
    figures.pruned(done["tickets"], mse, found.parts),
    "nc_lth",
    claims=["NC-10"],
    alt="NC1 over epochs of ticket, random mask and dense net; ratios of NC1 to NC4 at the end.",
    caption=f"With {done['tickets']['density'].mean():.0%} of the weights a ticket's NC1 ends "
    f"{2 ** nc10['nc1_ratio']:.2g} times as large as the dense net's and {2 ** nc10['nc1_versus_random']:.2g} times as "
    f"large as that of a random mask.",
    meaning=f"A ticket collapses {beside['dense']} the dense net, and {beside['random']} a random mask with as many "
    "weights. That second comparison tells which weights are left from how many. Where a mask keeps its net from "
    "fitting all images, the two are described and not judged.",
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
compared = {"squared error": mse, "no decay": done[free]} | compared
nc9 = study.check(claims.nc_9(mse, [*compared.values()]))
gain, step, together = (nc9[part] for part in ("accuracy_rises", "margin_rises", "collapse_goes_with_accuracy"))
changes = "rises", "falls", "does not clearly change"
better = nc9.side("accuracy_rises", *changes)
safer = nc9.side("margin_rises", *changes)
linked = nc9.side("collapse_goes_with_accuracy", "do worse", "do better", "do neither clearly better nor worse")
study.figure(
    figures.benefit(done, compared),
    "nc_gen",
    claims=["NC-9"],
    alt="Test error and smallest adversarial step over epochs; test accuracy against NC1 at the end.",
    caption=f"From zero error to the end accuracy changes by {gain:+z.2f} points. "
    + ("In most seeds the step lies outside the range tried. " if np.isnan(step) else "")
    + ("" if np.isnan(step) else f"The step becomes {2**step:.2f} times as long. ")
    + ("Too few nets fit to correlate NC1 and accuracy." if np.isnan(together) else "")
    + ("" if np.isnan(together) else f"Over the nets the rank correlation of NC1 and accuracy is {together:+z.2f}."),
    meaning=f"While features collapse, accuracy {better} and the step that changes a decision {safer}; among nets that "
    f"fit, those with less NC1 {linked} (NC-9: {nc9.word}). At zero error "
    f"{100 * claims.at_fit(mse, 'test_error').mean():.1f}% of the test images were wrong: more there was not to gain.",
)

# %% [markdown]
# ## Limits
#
# * **Easy data.** Ten classes of 8 × 8 digits (profile laptop): zero error comes within some thirty epochs (the
#   triangles), with nearly all test images right, and little is left to gain.
# * **Few images.** Each seed draws its own 1,000 training images of 1,437; as two seeds share most of theirs, intervals
#   say little of new images.
# * **Seeds part on MNIST** (profile mnist, 5,000 images, the same for all seeds): with squared error some nets went on
#   collapsing, in others NC1 rose again, and more decay, which would hold them, left one image unlearned.
# * **A moving start.** NC1 over its value at zero error depends on when that moment falls, which differs between seeds
#   more than the end does; therefore the end is told, too. Looks are taken at geometrically spaced epochs, so "zero
#   error" is known to about a fifth.
# * **The loss.** Squared error is the mean over classes, hence its large rate.
# * **Masks that do not fit.** The random masks of section 4 may keep a few training errors, on MNIST tickets, too: such
#   contrasts are described, never judged.
# * **Counts.** NC4 counts may be zero, and half a count stands in.
# * **Five nets.** Those in NC-9 differ in decay or width alone; a correlation over five is weak evidence either way.
# * **The step** that changes a decision follows the gradient of the gap between logits, since that of cross-entropy
#   rounds to zero where a net is certain [@carlini2017towards].
# * **Test features** need not collapse, which was said before [@hui2022limitations].
#
# **What was tuned**, on seeds 1000–1009 with all 1,437 images (1,000 get as many steps in more epochs), and left:
#
# * squared error with a gain of 1 or rates from 4 (diverges), decay 10⁻⁵ (less alignment with the classifier), decay
#   10⁻⁴ (less collapse), 300 epochs, batches of 32 and 128;
# * cross-entropy without BatchNorm at rates .05 to .5, decays to .01 and gains of .25 to .6, never below NC1 = .08;
# * a conv net *without* BatchNorm (NC1 rises to .27), one of 4 channels (fits late);
# * wrong labels under squared error (not all learned in 200 epochs);
# * with BatchNorm decay .002 for 100 epochs (the same collapse as .004 for 40).
#
# ## Exercises
#
# 1. Give nine tenths of the images a random label (`noise=0.9`). Does the net still collapse, and to what? *Hint:* NC1
#    only knows the labels told; compare `mislabelled_nc1_true` with `mislabelled_nc1_told`.
# 2. `nc1_ratio` in the results divides the traces instead. Which curves change, and why does the pseudo-inverse weigh
#    small directions more? *Hint:* divide by a small number, and look at `strength`.
# 3. Where is the frame potential of the class means least? Compare `frame_potential` with `least_frame_potential`.
#    *Hint:* write it as the sum of squared singular values of the Gram matrix, whose trace is fixed.
# 4. Add weight decay to cross-entropy without BatchNorm until the net no longer fits. Does NC1 fall before that?
#    *Hint:* vary `weight_decay` in the plan of section 1, and read `train_error` beside `nc1`.

# %%
study.conclude(
    answer=f"Do features collapse? With squared error the images of a class {shrink} after zero error: the spread "
    f"within classes ends at {nc1['end_value']:.2g} of that between them (NC-1: {nc1.word}); with cross-entropy at "
    f"{end('cross-entropy', 'nc1'):.2g}, and with BatchNorm and weight decay at {end('BatchNorm, decay', 'nc1'):.2g}. "
    f"Do class means become the most symmetric figure, a simplex (NC-2: {nc2.word})? With squared error their "
    f"lengths end {lengths} those of pure noise; as to a simplex, their angles end {angles} those. Does collapse make "
    f"networks better (NC-9: {nc9.word})? After zero error accuracy changes by {gain:+z.2f} points. And wrong labels? "
    f"With a fifth of them the classes of a network with BatchNorm end {spread} without, at "
    f"{2 ** nc8['noise_spreads']:.2g} times the spread (NC-8: {nc8.word})."
)
