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
# # Generalisation: what keeps a net that can memorise anything from memorising
#
# **Question.** Networks with more weights than examples can learn any labels, random ones included
# [@zhang2017understanding]. A net that fits random labels knows nothing of new images; one that fits true labels, with
# the same weights and the same training, answers most of them. So what tells the two apart is not how much a net
# *could* learn. What is it?
#
# Three kinds of answers are on offer, and we test all of them. **Little way to go**: wide nets fit the data close to
# where they started [@neyshabur2019role; @du2019gradient]. **Flat places**: training ends where the loss is flat, and
# flat minima are the good ones, be it because their regions are larger [@wu2017towards], because small batches find
# them [@keskar2017large], or because steps of size $\eta$ cannot stay where the curvature is above $2/\eta$
# [@wu2018how]. **Nothing to escape from**: a wide net has no bad minima [@soudry2016no], and at infinite width it is a
# linear model [@jacot2018neural].
#
# Nineteen claims, one rule: a measure is compared at the same training loss wherever time alone would move it.

# %% [markdown]
# ## Try it yourself
#
# Three nets learn true labels, three others random ones, from the same images and the same initial weights. Watch how
# long each takes, and what they make of new images. Three seeds are no evidence; the study follows below.

# %%
from redlib.data import load
from redlib.data.corruptions import random_labels
from redlib.nets import StackedMLP
from redlib.training import SGD, Examples, fit

# Change the number of images, or make only a share of the labels random: do random labels still take longer to fit?
images, random_share, seeds_tried = 600, 1.0, [20_000, 20_001, 20_002]
data = load("digits", n_train=images, n_test=600)
shuffled, _ = random_labels(data.train.y, random_share, data.classes, seed=20_000)
test = Examples(data.test.x, data.test.y)
epochs_shown = [1, 2, 5, 10, 20, 40, 60]
how = {"optimizer": SGD(0.1, momentum=0.9), "epochs": epochs_shown[-1], "batch_size": 50, "probe_epochs": epochs_shown}
for name, labels in (("true", data.train.y), ("random", shuffled)):
    networks, train = StackedMLP.create((64, 256, 10), seeds_tried), Examples(data.train.x, labels)
    history = fit(networks, train, evaluate={"train": train, "test": test}, **how)
    errors = (100 * history["train_error"].mean(0)).round(1)
    print(f"{name:6} labels: wrong in training after {epochs_shown} epochs: {errors} %,", end=" ")
    print(f"of new images at the end {100 * history.final('test_error').mean():.0f} %")

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 30 in make confirm
few = 5  # seeds of the dearer runs
guesses = 30  # seeds of nets on random labels, whose test accuracy is luck
many = 20  # seeds of section 6, whose claim is about every single run
corrupted = {}  # of memory.Corrupted: conv nets on images and labels spoilt in five ways
corrupted_mlp = {"net": "mlp", "lr": 0.1}  # what differs for MLPs
relabelled = {}  # of memory.Relabelled: MLPs on shares of random labels
few_images = 250  # the smaller number of images there
regularised = {}  # of memory.Regularised
diluted = {}  # of memory.Diluted: many random labels for each true one
clean_images = [250, 500, 1000]  # numbers of images at 20 random labels for each true one
sizes = {}  # of widths.Sizes: nets of many widths, trained to one loss
deep = {"sizes": [[128], [128, 128], [128, 128, 128, 128]], "lr": 0.05, "looks": 4}  # the same, of several depths
batch_sizes = {}  # of minima.BatchSizes
attacked = {}  # of minima.Attacked: nets misled by wrong labels before they fit the right ones
starts = {}  # of minima.Starts: random starts without an attack
descent = {}  # of minima.Descent: steps of several sizes, all examples at once
escape = {}  # of minima.Escape: steps four times as large from there
small_batches = {}  # of minima.SmallBatches
watched = {"n": 64, "steps": 2000, "looks": 40}  # of minima.Descent, for the explorer
watched_rates, watched_widths = [0.02, 0.9, 16], [8, 32, 128]  # there: from, to and how many steps; hidden units
local_minima = {}  # of wide.LocalMinima: points with random labels
local_images = {}  # of wide.LocalMinimaOfImages: what differs where these are images
two_layer = {}  # of wide.TwoLayer: descent on nets of many widths
tangent = {}  # of wide.Tangent: nets beside their linearisation
critical = {}  # of memory.Critical: CDR

# %%
import numpy as np

from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure, varied
from redlib.report.explorers import edge_explorer
from redlib.studies.generalization import claims, figures, memory, minima, wide, widths

plots.use_style()
study = Study("07_generalization", profile, first)
own, own_few, own_many = ({"seeds": range(first, first + count)} for count in (seeds, few, many))

# %% [markdown]
# ## 1. Nets can fit anything
#
# Zhang and colleagues [@zhang2017understanding] spoilt images or labels in four ways and trained on. `Corrupted.run`
# does the same from one initial net a seed: random labels; pixels in one new order for all images; each image's pixels
# in an order of its own; Gaussian noise for images. To an MLP one fixed order of its inputs means nothing, for it is an
# order of its first weights, so conv nets are judged and the MLP is the control.

# %%
conv = configure(memory.Corrupted, corrupted, own_few)
labels = configure(memory.Relabelled, relabelled, own)
memorise = {
    "conv": conv,
    "mlp": varied(conv, corrupted_mlp, own),
    "guessing": varied(conv, seeds=range(first, first + guesses), versions=("random_labels",)),
    "many": labels,
    "few": varied(labels, n=few_images, shares=(0.0, 1.0)),
    "wrong": varied(labels, shares=(0.0, 0.1), others=True),
}
fitted = carry_out(study, memorise)
settings(conv, labels)

# %%
# FIGURES zhang_a (GEN-1), zhang_b (GEN-2), zhang_c (GEN-3), gen_noise (GEN-19)

# %% [markdown]
# ## 2. What holds them back?
#
# Weight decay, dropout, normalisation, augmentation: source S1 asks whether any of them is what makes nets generalise
# (of these it calls dropout and batch normalisation implicit, the claim lists all as explicit). `Regularised.run`
# trains one net with each, at several strengths; each seed chooses a strength on its own validation images, with true
# labels, and is then asked to learn random ones. A second question is how much noise training survives on its own: for
# each true label `Diluted.run` adds many random ones for the same image [@rolnick2017deep].

# %%
true = configure(memory.Regularised, regularised, own_few)
noisy = configure(memory.Diluted, diluted, own_few)
held = {"true": true, "random": varied(true, random=True), "noisy": noisy}
held |= {n: varied(noisy, n=n, alphas=(20,)) for n in clean_images}
held = carry_out(study, held)
settings(true, noisy)

# %%
# FIGURES zhang_reg (GEN-4), rolnick (GEN-5)

# %% [markdown]
# ## 3. Wider, and no worse
#
# Two sources quote one paper [@neyshabur2019role] for opposite messages: S0 that wide nets end *closer* to where they
# started, S3 that measures of complexity *grow* with size. Both can be true of the same nets. `Sizes.run` trains nets
# of many widths, and of three depths, until they make no error and their cross-entropy is down to one value for all: a
# net that is trained longer has gone farther, whatever its width. The start is torch's, and a quarter and four times as
# large.

# %%
main = configure(widths.Sizes, sizes, own)
grown = {
    "widths": main,
    "small start": varied(main, scale=0.25),
    "large start": varied(main, scale=4.0),
    "depths": varied(main, deep),
}
wider = carry_out(study, grown)
settings(main)

# %%
# FIGURES gen_width (GEN-6), ney_dist (GEN-7, GEN-8)

# %% [markdown]
# ## 4. Flat minima
#
# Does training with small batches end in flatter places [@keskar2017large]? Are flat minima the good ones, and why are
# they found [@wu2017towards]? Three traps lie here. Cross-entropy flattens as it falls, so that a net that was trained
# longer looks flatter; curvature can be set to any value by rescaling the layers of a ReLU net, without any change of
# the function [@dinh2017sharp]; and one rate for all batches is a choice, too. `BatchSizes.run` therefore measures at
# one loss and at tuned rates as well, and beside the curvature a sharpness that no rescaling moves [@kwon2021asam].
#
# `Attacked.run` makes good and bad solutions for the same images: it first teaches nets wrong labels of *other* images,
# and then lets them forget these until they fit the right ones to one loss.

# %%
batches = configure(minima.BatchSizes, batch_sizes, own_few)
misled = configure(minima.Attacked, attacked, own_few)
valleys = carry_out(
    study, {"batches": batches, "attacked": misled, "starts": configure(minima.Starts, starts, source=misled)}
)
settings(batches, misled)

# %%
# FIGURES keskar (GEN-9), hess (GEN-10), basin (GEN-11)

# %% [markdown]
# ## 5. Steps choose the minimum
#
# On a quadratic of curvature $\lambda$ descent with steps of size $\eta$ multiplies the distance to the minimum by
# $1-\eta\lambda$, and leaves it where $\lambda>2/\eta$ [@wu2018how]. `Descent.run` trains small tanh nets on all
# examples at once, with steps of several sizes; `Escape.run` goes on from where small steps ended, with steps four
# times as large; `SmallBatches.run` uses one step size and several batch sizes.

# %%
plain = configure(minima.Descent, descent, own)
left = configure(minima.Escape, escape, source=plain)
stepped = {"descent": plain, "escape": left, "batches": configure(minima.SmallBatches, small_batches, own)}
stepped = carry_out(study, stepped)
settings(plain, stepped_on=left)

# %%
# FIGURES wu (GEN-12)

# %% [markdown]
# ### Try it
#
# Move the step size and the width. Does the largest eigenvalue of the Hessian climb to the line $2/\eta$, and what does
# the loss do from there on [@cohen2021gradient]? One seed of small tanh nets, all examples at once.

# %%
# EXPLORER

# %% [markdown]
# ## 6. Nothing to escape from?
#
# A net with as many first-layer weights as examples should have no bad minima [@soudry2016no; @nguyen2017loss]: with
# squared error and piecewise linear units, wherever the gradient vanishes the training error does. `LocalMinima.run`
# asks where training ends on random labels, from too few weights to four times as many. And in wide nets descent should
# be as good as linear regression [@du2019gradient; @allenzhu2019convergence]: `TwoLayer.run` trains the first layer of
# nets of many widths with one step size, and compares them at one loss.

# %%
points = configure(wide.LocalMinima, local_minima, own_many)
images = configure(wide.LocalMinimaOfImages, local_minima, local_images, own_many)
shallow = configure(wide.TwoLayer, two_layer, own)
smooth = carry_out(study, {"points": points, "images": images, "shallow": shallow})
settings(points, shallow)

# %%
# FIGURES soudry (GEN-13), du_a (GEN-14), du_b (GEN-15), du_c (GEN-16)

# %% [markdown]
# ## 7. Lazy, or learning features?
#
# If weights hardly move, a net is its linearisation at the start, and its training is regression with a fixed kernel,
# that of its gradients [@jacot2018neural]. Whether that happens is a matter of scale, not of width alone
# [@chizat2019lazy]: `Tangent.run` trains nets scaled by $1/\sqrt m$, which become lazy, beside nets scaled by $1/m$,
# which go on learning features, both down to one loss.

# %%
kernels = configure(wide.Tangent, tangent, own)
lazy = carry_out(study, {"tangent": kernels})["tangent"]
settings(kernels)

# %%
# FIGURES ntk (GEN-17)

# %% [markdown]
# ## 8. Which weights learn wrong labels?
#
# CDR [@xia2021robust] updates only the weights with the largest $|w\cdot\partial L/\partial w|$ and lets the others
# decay: wrong labels, it says, are learnt by the others. The null is a choice of as many weights at random, anew at
# each step, for smaller steps memorise less by themselves.

# %%
ranked = configure(memory.Critical, critical, own)
cured = carry_out(study, {"critical": ranked})["critical"]
settings(ranked)

# %%
# FIGURES cdr (GEN-18)

# %% [markdown]
# ## Limits
#
# ## Exercises

# %%
# CONCLUDE
