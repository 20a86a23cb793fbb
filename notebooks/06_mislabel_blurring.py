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
# # Mislabelled data under blur: one paper's phase transition, put to a proper test
#
# **Question.** A net that is told some wrong labels learns them by heart. Blur its training images, little by little:
# does it give up what it learned by heart sooner than the rest? And is there a share of wrong labels below which it
# suddenly holds on to all its decisions?
#
# Source S3 trained one large net for each of seven shares of wrong labels, from 1 in 125 to 1 in 10, blurred the
# training images, and saw two things. Once the difference at the start is taken off, wrong and right labels are lost
# equally fast: both are "treated equally". And between 1 in 70 (1.43%) and 1 in 80 (1.25%) the curves fall apart, which
# it calls a phase transition. There was one curve for each share and no repetition. Nobody can tell from that how far
# two runs of the *same* share lie apart.
#
# We repeat it with seeds. Each seed has its own net, its own batches and its own mislabelled images; between shares
# only the labels differ. Two rates must be told apart. *Wrong*: the decision on the blurred image is not the label that
# was told. *Changed*: it is not the decision on the sharp image. Blur is told in pixels of an image 28 pixels wide, as
# in the source.

# %% [markdown]
# ## Try it yourself
#
# A few lines tell networks a wrong label for every tenth digit and train them on it for a while. Then the
# mislabelled digits are blurred, little by little. What are they taken for: what the networks were told, or what they
# show? Two seeds are no evidence; the study follows below.

# %%
from matplotlib import pyplot as plt

from redlib.data import load
from redlib.data.blur import blur
from redlib.data.mislabel import mislabel
from redlib.nets import StackedMLP
from redlib.training import Adam, Examples, fit

# Change how many are mislabelled, or for how long the networks train: do fewer wrong labels hold out longer?
one_in, epochs, blurs = 10, 50, [0, 0.3, 0.4, 0.5, 0.6, 0.8, 1]  # blurs in pixels of an image 8 pixels wide
data = load("digits", flatten=False)
told, wrong = mislabel(data.train.y, one_in, data.classes, seed=20_000)
networks = StackedMLP.create((64, 256, 128, 10), seeds=[20_000, 20_001])
fit(networks, Examples(data.train.x.flatten(1), told), optimizer=Adam(0.003), epochs=epochs, batch_size=64)
blurred = blur(data.train.x[wrong], blurs)
for pixels, images in zip(blurs, blurred, strict=True):
    taken = networks.logits(images.flatten(1)).argmax(2)  # by network and image
    as_told, as_shown = ((taken == labels[wrong]).float().mean() for labels in (told, data.train.y))
    print(f"blur {pixels:3} pixels: {as_told:4.0%} taken for what was told, {as_shown:4.0%} for what they show")
_, axes = plt.subplots(1, len(blurs), figsize=(9, 1.5))
for ax, image in zip(axes, blurred[:, 0, 0], strict=True):
    ax.imshow(image, cmap="gray_r")  # the first mislabelled digit

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
source = {"widths": [16, 24]}  # settings of runs.Blurred: data, net and training
rates = [10, 20, 50, 70, 80, 100, 125]  # one image in so many of each class is mislabelled
pair = [10, 100]  # two rates, on either side of the claimed transition, for section 4
others = {
    "residual": {"net": "residual", "widths": [8, 16], "batch": 96},  # with skip connections; images a step
    "mlp": {"net": "mlp", "widths": [128, 64], "batch": 64},  # without convolutions
    "sgd": {"optimizer": "sgd", "lr": 0.1, "epochs": 50},  # the same net, trained without Adam
    "letters": {"dataset": "glyphs", "widths": [8, 16, 32], "batch": 96},  # other images
}  # what differs in other nets, and on other data
robust = {}  # settings of runs.Robust
tickets = {}  # settings of runs.Tickets
ticket_rates = [10, 50]  # rates at which nets are pruned
census = None  # settings of runs.Disagreement, which needs MNIST; None: not run

# %%
import numpy as np

from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure, varied
from redlib.report.explorers import blur_explorer
from redlib.studies.mislabel_blurring import claims, figures, runs

plots.use_style()
study = Study("06_mislabel_blurring", profile, first)


def judged(record):
    """Return the verdict in words, and for a claim that this profile does not judge why there is none."""
    return record.word.replace("not run", "not judged at this scale")


# %% [markdown]
# ## 1. Everything is learned by heart
#
# The source asks for 99.9% of the training labels within 40 epochs. `Blurred.run` tells each seed its wrong labels,
# trains a net on them with one call of `fit`, and writes down what it decides on the images at every blur. Accuracy is
# measured as the net will be used, with fixed statistics in BatchNorm. These are its settings, defaults included.

# %%
base = configure(runs.Blurred, source, seeds=range(first, first + seeds))
plan = {k: varied(base, every=k, changes=runs.CHANGES if k in pair else ()) for k in rates}
settings(base)

# %%
main = carry_out(study, {"main": plan}, size=1, axis="rate")["main"]
blur0 = study.check(claims.blur_0(main))
slowest = blur0["epochs_needed"]
study.figure(
    figures.fit(main),
    "b_fit",
    claims=["BLUR-0"],
    alt="Mislabelled images not yet learned over epochs; epochs until 99.9% are learned, by rate.",
    caption=f"{blur0['runs_fitted']:.0%} of the nets learn 99.9% of their labels. The slowest rate "
    + (f"needs {slowest:.0f} of {base.epochs} epochs." if np.isfinite(slowest) else "does not always."),
    meaning="That all is learned is the ground of what follows, and no finding about blur (BLUR-0: "
    f"{blur0.word}): only a label that was learned can be lost, and a net that never learned its wrong labels would "
    "look steadfast under blur for no merit of its own.",
)

# %% [markdown]
# ### Ten times, a hundred times?
#
# At the weakest blur, .1 pixels, no pixel moves: what is lost there is the training error. After training to 99.9%
# hardly anything is, so the ratio that the source reports rests on a handful of images, or on none. It is judged only
# where each group has lost five images or more. Beside it we tell the ratio at the moment when a net first meets the
# criterion, and more are lost; of that the source says nothing.

# %%
blur1 = study.check(claims.blur_1(main))
blur2 = study.check(claims.blur_2(main))
lost = np.nanmean(claims.events(main), (0, 1))
ratios = [blur1[part] for part in ("tenfold_at_fit", "hundredfold_at_fit")]
study.figure(
    figures.gap(main),
    "b_gap",
    claims=["BLUR-1", "BLUR-2"],
    alt="Numbers of mislabelled and of clean images lost when the criterion is first met, per seed and rate.",
    caption=f"At the criterion a net misses {lost[0]:.2g} mislabelled and {lost[1]:.2g} clean images on average"
    + (f": ratios of {ratios[0]:.3g} and {ratios[1]:.3g}." if np.isfinite(ratios).all() else ", too few for a ratio.")
    + f" At the end the share of mislabelled ones lost is {blur1['more_often']:+z.2f} points from that of clean ones; "
    f"{blur2['mislabelled']:.1f}% and {blur2['clean']:.2f}% are lost at most.",
    meaning=f"99.9% of all labels leave {0.1 * min(rates):.1f}% of the mislabelled images to be lost at "
    f"{figures.name(min(rates))} and {0.1 * max(rates):.1f}% at {figures.name(max(rates))}: that less than a tenth is "
    f"lost (BLUR-2: {blur2.word}) nearly follows from the training. The source's ratios of ten and a hundred are "
    f"{judged(blur1)} (BLUR-1): where hardly anything is left to lose, no ratio can be told.",
)

# %% [markdown]
# ## 2. Are both groups treated equally?
#
# Among the images that were learned as told: what share of the decisions has changed at a given blur? First what the
# source had: a single net at each share. An interval over its images (Wilson's, at every blur) looks sharp, but says
# nothing of other nets. Once all is learned, wrong decisions hardly differ from changed ones.

# %%
apart = max(np.nanmax(abs(claims.wrong(main, group) - claims.changed(main, group))) for group in runs.GROUPS)
study.figure(
    figures.one_net(main),
    "b_one",
    claims=["BLUR-3"],
    alt="Changed decisions of one net against blur, mislabelled and clean images, with intervals over images.",
    caption="One net at each share, as the source had, with Wilson's intervals over its images. Shares of wrong and of "
    f"changed decisions differ by {apart:.1f} points at most, over all nets.",
    meaning="These intervals count the images of one net and say what others would do to it. Of another net, from "
    "another seed, they say nothing; the source drew its conclusions from pictures like this one.",
)

# %% [markdown]
# All that follows takes the seed, not the image, as its unit. By how much do the groups differ, and where do
# mislabelled images go?

# %%
blur3 = study.check(claims.blur_3(main))
top = min(rates)
back = np.nanmax(claims.returned(main.at(rate=top)).mean(0))
gives = blur3.side("mean_difference", "give way sooner than", "hold on longer than", "are not clearly apart from")
most = "most" if back > 50 else "less than half"
fine = "seems to hang on finer details than the rest" if gives.startswith("give") else "stands out in no clear way"
study.figure(
    figures.treatment(main),
    "b_curves",
    claims=["BLUR-3"],
    alt="Changed decisions of both groups against blur, their difference, and images that return to their true class.",
    caption=f"Mislabelled images change by {blur3['largest_difference']:+z.0f} points against clean ones where the "
    f"difference is largest, by {blur3['mean_difference']:+z.0f} on average between 1.3 and 4 pixels. With "
    f"{figures.name(top)} wrong at most {back:.0f}% are then taken for what they show.",
    meaning=f"Under blur mislabelled images {gives} the others (BLUR-3, equal treatment: {blur3.word}). At the "
    f"blur where it happens most, {most} of them are taken for what they show, which the net was trained never to say. "
    f"What is learned by heart {fine}.",
)

# %% [markdown]
# ### Are their curves rougher?
#
# Few images make a rough curve. So we draw equally many clean images of the same classes, a thousand times, and ask how
# often *their* curve is as rough, as a sum of squared second differences. That sum also counts the smooth bend of a
# curve: a steeper one looks rougher without any jitter. So what is judged is how far a curve goes up and down beyond
# one rise and one fall, its *zigzag*: none for a smooth curve, however steep.

# %%
blur4 = study.check(claims.blur_4(main, first=first))
bend, jitter = claims.rough_excess(main).mean(0)
jagged = blur4.side("zigzag_mislabelled_minus_clean", "more jagged", "smoother", "neither more jagged nor smoother")
mostly = "the bend of a steep curve" if bend > jitter else "the jitter of single images"
study.figure(
    figures.rough(main, first),
    "b_rough",
    claims=["BLUR-4"],
    alt="Changed decisions of mislabelled images, and of random groups of equally many clean images, at two rates; "
    "zigzag of mislabelled less clean images by rate.",
    caption=f"Beyond the curves of equally many clean images, mislabelled ones zigzag by "
    f"{blur4['zigzag_mislabelled_minus_clean']:+z.1f} points. By squared differences clean ones are rougher in "
    f"{blur4['roughness_null_p']:.1%} of the draws; to that gap, summed over rates, the bend of the curve adds "
    f"{bend:+z.0f} squared points, jitter of single images {jitter:+z.0f}.",
    meaning=f"Next to as many clean images mislabelled ones make a curve that is {jagged} (BLUR-4: {blur4.word}). Of "
    f"what squared differences find, the larger part is {mostly}: to an eye, steep and rough look alike.",
)

# %% [markdown]
# ### Try it
#
# Choose a share of wrong labels and a blur, and watch the decisions on training images of one net, and both curves over
# all seeds.

# %%
study.explorer(
    blur_explorer(**figures.explorer(main, base.load(), (top, 2.1))),
    alt="Training images under a blur, what the net takes them for, and the share of changed decisions.",
    caption="Raise the blur little by little: which images does the net let go first, and for what?",
)

# %% [markdown]
# ## 3. The transition
#
# The changed decisions of both groups for every share; the four that the source has above its transition are warm and
# solid, the others blue and dashed. Right, the mean change of correctly labelled images between 1.3 and 4 pixels, one
# dot a net (were mislabelled ones among them, their number alone would move it): if there is a transition, dots jump at
# the line.

# %%
blur5 = study.check(claims.blur_5(main))
blur7 = study.check(claims.blur_7(main))
spread = claims.areas(main)[1].std(0, ddof=1).mean()
jump = blur5.side("drop_at_transition", "falls", "rises", "does not clearly move")
step = blur5.side("step_beyond_line", "falls", "rises", "does not clearly move")
told_apart = "more" if abs(blur5["drop_at_transition"]) > spread else "no more"
luck = "cannot tell such a step from luck" if told_apart == "no more" else "could have seen such a step by itself"
study.figure(
    figures.phase(main),
    "b_phase",
    claims=["BLUR-5", "BLUR-7"],
    alt="Changed decisions of both groups against blur for all rates; mean change of every net against its rate.",
    caption=f"Across the claimed transition mean changes differ by {blur5['drop_at_transition']:+z.1f} points; nets "
    f"of one rate differ by {spread:.1f} (standard deviation).",
    meaning=f"From 1.43% to 1.25% of wrong labels the mean change {jump}, and beyond a straight trend over shares it "
    f"{step} (BLUR-5: {judged(blur5)}). That is {told_apart} than what nets of one and the same share differ by: one "
    f"run a share, as the source had, {luck}.",
)

# %% [markdown]
# ### Could chance have shown it?
#
# A constant, a straight line in the logarithm of the share, or a step: which describes the seven nets of a seed best,
# by BIC [@schwarz1978estimating]? With so few values the criterion favours a step; what it does on pure noise is grey.
# Then the place of the step, with resampled seeds. Last, how often single runs at seven shares fall apart by three
# points although nothing happens there: at the claimed place, at any place (the source chose its place by looking), and
# at any place about a smooth trend.

# %%
chance = claims.by_chance(main)
claimed, anywhere, trend = chance["split"].values()
place = max(chance["place"], key=chance["place"].get)
weak = "weak" if max(anywhere, trend) > 5 else "fair"
study.figure(
    figures.chance(chance),
    "b_chance",
    claims=["BLUR-5"],
    alt="Which model describes the seeds best, beside pure noise; where the step is; how often single runs split.",
    caption=f"A step is best for {chance['best']['step']:.0f}% of the seeds, and for {chance['noise']['step']:.0f}% of "
    f"pure noise; with resampled seeds it lies most often at {place.replace(chr(10), '')} "
    f"({chance['place'][place]:.0f}%), the source's is 1/80 | 1/70. By chance single runs split at the claimed place "
    f"in {claimed:.1f}% of the cases, somewhere in {anywhere:.1f}%, about a smooth trend in {trend:.1f}%.",
    meaning=f"With few values BIC finds a step in {chance['noise']['step']:.0f}% of pure noise. Who looks for "
    f"a gap at any place finds one by chance in {anywhere:.0f}% of the cases, about a smooth trend in {trend:.0f}%: a "
    f"single series of runs is {weak} evidence of a transition.",
)

# %% [markdown]
# ### Is a barely visible blur the turning point, and where does blur end?
#
# The source says that below its transition decisions change more slowly beyond 1.3 pixels. And it blurs with a window
# as large as the image: the limit is a single colour, the loss of accuracy continuous. What lies beyond the border
# decides. `Kernel.run` blurs images without any net.

# %%
kernel = configure(runs.Kernel, {name: getattr(base, name) for name in ("dataset", "pool", "seeds")})
blank = carry_out(study, {"kernel": kernel})["kernel"]
blur6 = study.check(claims.blur_6(main, blank))
slopes = "change faster", "change more slowly", "change neither clearly faster nor more slowly"
slow = blur6.side("slower_below_transition", *slopes)
slow_beyond = blur6.side("slower_beyond_line", *slopes)
study.figure(
    figures.slopes(main),
    "b_13",
    claims=["BLUR-6"],
    alt="Slope of changed decisions beyond 1.3 pixels by rate.",
    caption="Beyond 1.3 pixels the low rates' slope less that of the high ones is "
    f"{blur6['slower_below_transition']:+z.1f} points a pixel; any trend over the shares moves that. Beyond a straight "
    f"one it is {blur6['slower_beyond_line']:+z.1f}, across the claimed transition alone "
    f"{blur6['at_the_transition']:+z.1f}. These images, blurred so, correlate with the sharp ones at "
    f"{blur6['visibility']:.2f}.",
    meaning=f"Beyond 1.3 pixels decisions {slow} at the low rates, beside the high ones; with a straight trend "
    f"over the shares taken off, they {slow_beyond} (BLUR-6: {judged(blur6)}). A trend needs no turning point, and "
    "1.3 pixels mean something else on small images.",
)

# %%
blur8 = study.check(claims.blur_8(blank, main))
borders = {name: blur8[f"flat_{border}"] for border, name in figures.BORDERS.items()}
flat = ", ".join(border for border, left in borders.items() if left < 0.01) or "none of the four"
study.figure(
    figures.kernel(blank),
    "b_kernel",
    claims=["BLUR-8"],
    alt="Spread left within images after an unlimited blur, by padding.",
    caption=f"With mirrored borders grey values spread by {blur8['flat_reflect']:.0%} of their mean however strong the "
    f"blur. Wrong decisions have a rank correlation of {blur8['monotone']:.2f} with it.",
    meaning=f"What is left depends on what is supposed beyond the border: {min(borders.values()):.0%} to "
    f"{max(borders.values()):.0%} of the mean. Borders with which it becomes one colour: {flat} (BLUR-8: "
    f"{blur8.word}). So the far end of every curve here is a picture with some light and shade, not a blank one.",
)

# %% [markdown]
# ## 4. Further questions
#
# **Unseen images.** The source proposes to blur clean test images. **Other nets, data and changes**: letters in many
# fonts; a shift, a rotation, noise, and a step along the gradient's sign, each made as large on average as the blur.
# **Robust nets**, trained against attacks [@madry2018towards]: `Robust` overrides the one call that trains.
# **Tickets**: does a fifth of the weights hold the exceptions? `Tickets.run` prunes stacked MLPs round by round.

# %%
nets = {"conv": {k: plan[k] for k in pair}}
nets |= {n: {k: varied(base, own, every=k, changes=runs.CHANGES) for k in pair} for n, own in others.items()}
attacked = configure(runs.Robust, vars(base), robust, every=top)
pruned = configure(runs.Tickets, {"dataset": base.dataset, "pool": base.pool}, tickets, seeds=base.seeds)
chains = {k: varied(pruned, every=k) for k in ticket_rates}
done = carry_out(study, nets | {"robust": attacked}, size=1, axis="rate")
done |= carry_out(study, {"tickets": chains}, axis="rate")
settings(attacked, pruned)

# %%
blur9 = study.check(claims.blur_9(main))
often = "more often than", "less often than", "not clearly otherwise than"
at_high = blur9.side("high_rates", *often)
at_low = blur9.side("low_rates", *often)
study.figure(
    figures.unseen(main),
    "b_test",
    claims=["BLUR-9"],
    alt="Changed decisions of clean training and of test images; their difference by rate.",
    caption=f"Against clean training images, unseen ones change by {blur9['high_rates']:+z.1f} points at the high "
    f"rates, by {blur9['low_rates']:+z.1f} at the low ones.",
    meaning=f"Unseen images change {at_high} clean training images at the high rates, {at_low} them at the low ones. "
    "Were clean images, too, held by heart, unseen ones should behave otherwise: compare the "
    f"{blur3['mean_difference']:+z.0f} points between mislabelled and clean ones.",
)

# %%
numbers = claims.numbers_of({name: done[name] for name in nets}, ("blur", *runs.CHANGES))
blur10 = study.check(claims.blur_10(numbers, *(done[name] for name in others)))
more_often = "more often" if blur3["mean_difference"] > 0 else "less often"
alike = blur10["treated_as_in_main_run"]  # share of the other settings that treat the groups unequally in the same way
study.figure(
    figures.elsewhere(numbers),
    "b_gen",
    claims=["BLUR-10"],
    alt="Gap between mislabelled and clean images, and between two rates, for several nets, data sets and changes.",
    caption=f"Mislabelled images change {more_often} than others in the main run, and so they do in {alike:.0%} of the "
    "other settings; 100% would mean that all of them treat the groups unequally in the same way. The difference "
    f"between {figures.name(pair[0])} and {figures.name(pair[1])} has the sign of the main run in "
    f"{blur10['transition']:.0%}.",
    meaning="The first share asks whether other nets, data and changes treat both groups unequally in the same way; "
    "blur is no special case where it is near 100%. The second is about a trend from one rate to the other, which is "
    "not yet a sharp transition between two neighbours.",
)

# %%
hard, standard = done["robust"], main.at(rate=top)
blur11 = study.check(claims.blur_11(hard, standard))
blur14 = study.check(claims.blur_14(standard, base.epsilons[2]))
flipped = 100 * blur14["flip_rate_gradient_sign_minus_random_sign"]
learn = "more wrong labels than", "fewer wrong labels than", "about as many wrong labels as"
labels = blur11.side("memorisation", *learn)
wider = blur11.side("blur_gap", "wider", "narrower", "neither clearly wider nor narrower")
aimed = blur14.side("flip_rate_gradient_sign_minus_random_sign", "more", "fewer", "neither more nor fewer")
study.figure(
    figures.robust(hard, standard),
    "b_rob",
    claims=["BLUR-11", "BLUR-14"],
    alt="Changed decisions of standard and robust nets; images flipped by steps along the gradient and at random.",
    caption=f"Training against attacks of {attacked.climbs} steps changes the share of wrong labels learned by "
    f"{blur11['memorisation']:+z.0f} points. Among what each net has learned the gap between the groups changes by "
    f"{blur11['blur_gap']:+z.0f} points. Of a standard net's test images a step of {base.epsilons[2]:g} along the "
    f"gradient's sign flips {flipped:+z.0f} points against random signs.",
    meaning=f"Nets that must withstand attacks learn {labels} standard ones, which need not decide alike "
    f"all around an image. Among what they learned the gap is {wider}. Steps along the gradient change {aimed} "
    f"decisions than random ones (BLUR-14: {blur14.word}): it takes aim, and blur has none.",
)

# %%
blur13 = study.check(claims.blur_13(done["tickets"]))
more = 2 ** blur13["breakdown_trend"]
holds = blur13.side("memorises", "is enough", "is not enough", "may or may not be enough", level=99)
fails = blur13.side("fails_when_small", "lose some of them", "lose none of them", "do not clearly lose any")
room = "less than" if more < 2 else "at least"
limit = f"twice the wrong labels take {more:.2f} times the weights" if np.isfinite(more) else "where they fail is open"
study.figure(
    figures.tickets(done["tickets"]),
    "b_ticket",
    claims=["BLUR-13"],
    alt="Wrong labels that tickets learn, over their density, by rate.",
    caption=f"With {claims.DENSITY:.0%} of the weights tickets learn {blur13['memorises']:.1f}% of the wrong labels at "
    f"{figures.name(min(ticket_rates))}; {limit}.",
    meaning=f"A fifth of the weights {holds} for the exceptions, and the smallest tickets {fails} (BLUR-13: "
    f"{blur13.word}). Were every exception stored for itself, twice as many would take twice the weights"
    + (f"; here it is {room} that." if np.isfinite(more) else "."),
)

# %% [markdown]
# ### And the labels of MNIST itself?
#
# The source adds 4 points, its estimate of MNIST's own label errors, to the transition. Raters found 15 wrong labels
# among 10,000 test images [@northcutt2021pervasive]: a count that we quote, no experiment. Where MNIST is there, nets
# add how many labels they contradict.

# %%
folds = {} if census is None else {"census": configure(runs.Disagreement, census, seeds=base.seeds)}
blur12 = study.check(claims.blur_12(carry_out(study, folds).get("census")))
blur15 = study.not_run("BLUR-15", "untestable as stated: a share of a data set is no feature of an image")

# %% [markdown]
# ## Limits
#
# * **Few mislabelled images.** On 1,437 digits the low rates mean ten of them, and the rates on either side of the
#   claimed transition 19 and 10: too few to judge it there. On 12,000 images of MNIST they are 166 and 143.
# * **Small nets.** The source's net was a ResNet of eleven million weights on 60,000 images; ours have a few thousand
#   weights on digits, 48,000 on MNIST.
# * **Shared seeds.** Between rates of one seed nets start alike and see the same batches, so their differences are
#   smaller than between independent runs; the source's were independent. The comparison by BIC does not model it.
# * **Which images** are mislabelled varies over seeds, as it did not in the source.
# * **Coarse blur.** On digits, 8 pixels wide, a blur of 1.3 is a third of a pixel, less than the sampled kernel
#   resolves, and hardly changes an image.
# * **Equal size is not equal visibility.** Steps along the gradient as large as a blur flip nearly every decision on
#   MNIST.
# * **Other data and nets.** The letters of BLUR-10 are drawn by a program in few shapes. Tickets are plain nets without
#   convolutions.
# * **Three points.** That a split has 3 points is our choice. Nets of one rate differ so much that the 3 points of
#   BLUR-7 would take 20 to 160 seeds.
#
# **What was tuned**, on seeds 1000 and above:
#
# * learning rates and batches until all rates are learned in 40 epochs, for MNIST also the tickets' epochs (40 were too
#   few);
# * on digits channels of 16 and 24 in place of 12 and 16: of 70 nets one had missed two labels, in the block of seeds
#   from 10 on; so the fresh seeds of this study begin at 20;
# * for SGD on digits its own: in 40 epochs single images stayed unlearned, and in the first judged run one net missed
#   the gate of BLUR-10;
# * later the other nets got larger batches, which train in half the time;
# * before the judged run on MNIST the place of the break became part of its check, and the comparisons of section 4
#   moved to rates on either side of it.
#
# ## Exercises
#
# 1. Pool the images of all seeds and compute an interval as if they were independent. How much narrower is it, and what
#    is it about? *Hint:* `redlib.evidence.stats.wilson` on the counts behind `claims.changed`.
# 2. Keep the rate of learning constant (`source={"annealed": False}`). Which claim about ratios moves? *Hint:* more
#    images are lost at the end then, so the gate of five a group may open.
# 3. Take the area between .5 and 2 pixels instead. Does any verdict change? *Hint:* `claims.LOW` and `claims.HIGH`, and
#    no run has to be repeated.

# %%
equal = "Mislabelled images and others are let go equally", "Images are let go equally in part"
equal += "Mislabelled images and others are not let go equally", "Whether images are let go equally is open"
study.conclude(
    answer=f"{blur3.tells(*equal)}, as the blur grows (BLUR-3: {judged(blur3)}): what the network says of mislabelled "
    f"ones changes by {blur3['mean_difference']:+z.0f} points against the others, on average, and with "
    f"{figures.name(top)} wrong up to {back:.0f}% of them are then taken for what they show. Is there a share of "
    f"wrong labels below which a network suddenly holds on, between 1.43% and 1.25% (BLUR-5: {judged(blur5)})? Across "
    f"it changes differ by {blur5['drop_at_transition']:+z.1f} points, while networks of one share differ by "
    f"{spread:.1f}. In {alike:.0%} of the other networks, data and changes tried the groups are treated as in the "
    f"main run (BLUR-10: {blur10.word})."
)
