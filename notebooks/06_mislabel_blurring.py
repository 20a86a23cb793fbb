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
# **Question.** A net that is told some wrong labels learns them by heart. Blur its training images, little by little: does it give up what it learned by heart
# sooner than the rest? And is there a share of wrong labels below which it suddenly holds on to all its decisions?
#
# Source S3 trained one large net for each of seven shares of wrong labels, from 1 in 125 to 1 in 10, blurred the training images, and saw two things. Once the
# difference at the start is taken off, wrong and right labels are lost equally fast: both are "treated equally". And between 1 in 70 (1.43%) and 1 in 80 (1.25%) the curves fall
# apart, which it calls a phase transition. There was one curve for each share and no repetition. Nobody can tell from that how far two runs of the *same* share lie apart.
#
# We repeat it with seeds. Each seed has its own net, its own batches and its own mislabelled images; between shares only the labels differ. Two rates must be told apart. *Wrong*: the decision on the blurred image is
# not the label that was told. *Changed*: it is not the decision on the sharp image. Blur is told in pixels of an image 28 pixels wide, as in the source.

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed
source = {}  # settings of blurring.Blurred: data, net and training
rates = [10, 20, 50, 70, 80, 100, 125]  # one image in so many of each class is mislabelled
pair = [10, 100]  # two rates, on either side of the claimed transition, for section 4
others = {"residual": {"net": "residual", "widths": [8, 16], "batch": 64}, "mlp": {"net": "mlp", "widths": [128, 64]}, "sgd": {"optimizer": "sgd", "lr": 0.05, "batch": 16, "epochs": 60}}  # what differs in other nets
robust = {}  # settings of blurring.Robust
tickets = {}  # settings of blurring.Tickets
ticket_rates = [10, 20, 50]  # rates at which nets are pruned
census = None  # settings of blurring.Disagreement, which needs MNIST; None: not run

# %%
import numpy as np

from redlib.evidence.study import Study
from redlib.measures.blurcurves import random_curves
from redlib.measures.changepoint import best_on_noise
from redlib.report import blur_explorer, plots
from redlib.report.plots import COLOURS, INK, panels
from redlib.studies import blurring, configure
from redlib.studies import blurring_curves as curves
from redlib.studies import blurring_figures as figures
from redlib.studies import blurring_statistics as bs
from redlib.studies.experiments import carry_out

plots.use_style()
study = Study("06_mislabel_blurring", profile)

# %%
base = configure(blurring.Blurred, source, seeds=range(first, first + seeds))
changes = ("shift", "rotation", "noise", "gradient")
runs = {f"k={k}": configure(blurring.Blurred, vars(base), every=k, changes=changes if k in pair else ()) for k in rates}
runs |= {f"{net} {k}": configure(blurring.Blurred, vars(base), settings, every=k, changes=changes) for net, settings in others.items() for k in pair}
runs["robust"] = configure(blurring.Robust, robust, source=configure(blurring.Blurred, vars(base), every=pair[0]))
runs |= {f"ticket {k}": configure(blurring.Tickets, {"dataset": base.dataset, "train": base.train}, tickets, every=k, seeds=base.seeds) for k in ticket_rates}
runs["kernel"] = configure(blurring.Kernel, {"dataset": base.dataset, "train": base.train}, seeds=base.seeds)
runs |= {} if census is None else {"census": configure(blurring.Disagreement, census, seeds=base.seeds)}
data = blurring.dataset(base)
done = carry_out(study, blurring.run, runs, data)
main = {k: done[f"k={k}"] for k in rates}
grid, tints, low, high = curves.sigmas(main[rates[0]]), figures.tints(main), curves.low_rates(main), curves.high_rates(main)
fitted, apart = bs.fitted(*main.values()), bs.counts_differ(main, low, high)

# %%
kernel, top = done["kernel"], pair[0]
claims = {
    "BLUR-0": bs.fit_claim(main), "BLUR-1": bs.gap_claim(main, low, high), "BLUR-2": bs.low_blur_claim(main), "BLUR-3": bs.equality_claim(main),
    "BLUR-4": bs.roughness_claim(main), "BLUR-5": bs.transition_claim(main), "BLUR-6": bs.slower_claim(main, kernel, low, high), "BLUR-7": bs.coincidence_claim(main),
    "BLUR-8": bs.kernel_claim(kernel, main), "BLUR-9": bs.unseen_claim(main, low, high), "BLUR-11": bs.robust_claim(done["robust"], main[top]),
    "BLUR-14": bs.sign_claim(main[top], base.epsilons[2]),
}  # fmt: skip

# %% [markdown]
# ## 1. Everything is learned by heart
#
# The source asks for 99.9% of the training labels within 40 epochs. We measure accuracy as the net will be used, with fixed statistics in BatchNorm.

# %%
blur0 = study.check("BLUR-0", per_seed=claims["BLUR-0"])
fig, (left, right) = panels(2, width=11, height=3.8)
for k in rates:
    lost = 100 * main[k]["wrong_mislabelled"] / curves.counts(main[k])[0][:, None]
    plots.band(left, main[k]["epochs"], lost, figures.name(k), tints[k][0], seeds=False, marker="", linestyle=tints[k][1])
left.set(xlabel="epoch", ylabel="mislabelled images not yet learned (%)", title="Wrong labels come last"), left.legend(ncols=2, fontsize=9)
plots.dot_rows(right, figures.known({figures.name(k): (curves.epochs_to_fit(main[k]), tints[k][0]) for k in rates}), "epochs to 99.9% of all labels")
study.figure(fig, "b_fit", claims=["BLUR-0"], alt="Mislabelled images not yet learned over epochs; epochs until 99.9% are learned, by rate.", caption=
    f"{np.mean([curves.accuracy(r)[:, -1] >= curves.FITTED for r in main.values()]):.0%} of the nets learn 99.9% of their labels; the slowest rate needs {np.nanmean(claims['BLUR-0']['epochs_to_fit']):.0f} of {base.epochs} epochs.")  # fmt: skip

# %% [markdown]
# ### Ten times, a hundred times?
#
# At the weakest blur, .1 pixels, no pixel moves: what is lost there is the training error. After training to 99.9% hardly anything is, so the ratio that the source reports rests on a handful of images, or on none. We take it at
# the moment when a net first meets the criterion, and only where each group has lost five images or more.

# %%
blur1 = study.check("BLUR-1", per_seed=claims["BLUR-1"], adequacy=fitted | apart)
blur2 = study.check("BLUR-2", per_seed=claims["BLUR-2"], adequacy=fitted)
fig, (left, right) = panels(2, width=11, height=3.4)
missed = {k: curves.events(main[k]) for k in rates}
plots.dot_rows(left, figures.known({figures.name(k): (missed[k][0], tints[k][0]) for k in rates}), "mislabelled images lost at the fit", zero=0)
plots.dot_rows(right, figures.known({figures.name(k): (missed[k][1], tints[k][0]) for k in rates}), "clean images lost at the fit", zero=0), right.set_yticklabels([])
ratio = {word: claims["BLUR-1"][f"rate_ratio_{word}_rates"] for word in ("high", "low")}
words = {word: f"{np.nanmean(values):.3g} times as often (in {np.isfinite(values).sum()} of {seeds} seeds)" if np.isfinite(values).any() else "too few are lost to tell" for word, values in ratio.items()}
study.figure(fig, "b_gap", claims=["BLUR-1", "BLUR-2"], alt="Numbers of mislabelled and of clean images lost when the criterion is first met, per seed and share of wrong labels.", caption=
    f"Lost when nets first meet the criterion, mislabelled images over clean ones: at the high rates {words['high']}, at the low rates {words['low']}. At the end at most {claims['BLUR-2']['wrong_rate_mislabelled_low_blur'].mean():.1f}% and {claims['BLUR-2']['wrong_rate_clean_low_blur'].mean():.2f}% are lost.")  # fmt: skip

# %% [markdown]
# ## 2. Are both groups treated equally?
#
# Among the images that were learned as told: what share of the decisions has changed at a given blur? First what the source had: a single net at each share. An interval over its images (Wilson's, at every blur) looks
# sharp, but says nothing of other nets. Wrong decisions are dotted; once all is learned they hardly differ from changed ones.

# %%
groups = {"mislabelled": ("mislabelled", "orange"), "clean": ("correctly labelled", "blue")}
fig, axes = panels(2, width=11, height=3.6)
for ax, k in zip(axes, (max(high), min(low)), strict=True):
    for group, (label, colour) in groups.items():
        share, least, most = bs.image_band(main[k], group)
        ax.fill_between(grid, least, most, color=COLOURS[colour], alpha=0.2, linewidth=0)
        ax.plot(grid, share, color=COLOURS[colour], label=label), ax.plot(grid, curves.wrong(main[k], group)[0], ":", color=INK, linewidth=1.2)
    ax.set(xlabel="blur (pixels)", ylabel="changed decisions (%)", title=f"{figures.name(k)}, first seed"), ax.legend()
apart_most = max(np.nanmax(np.abs(curves.wrong(main[k], group) - curves.changed(main[k], group))) for k in rates for group in groups)
study.figure(fig, "b_one", claims=["BLUR-3"], alt="Changed and wrong decisions of one net against blur, mislabelled and clean images, with intervals over images, at two shares.", caption=
    f"One net at each share, as the source had, with Wilson's intervals over its images. Shares of wrong and of changed decisions differ by {apart_most:.1f} points at most, over all nets.")  # fmt: skip

# %% [markdown]
# All that follows takes the seed, not the image, as its unit. By how much do the groups differ, and where do mislabelled images go?

# %%
blur3 = study.check("BLUR-3", per_seed=claims["BLUR-3"], adequacy=fitted)
fig, (left, middle, right) = panels(3, width=13, height=4)
plots.curves(left, grid, {label: (curves.changed(main[top], group), colour) for group, (label, colour) in groups.items()}, ylabel="changed decisions (%)", title=f"{figures.name(top)} wrong", xlabel="blur (pixels)", seeds=False, marker="")
plots.curves(middle, grid, {"mislabelled less clean": (curves.difference(main), "purple")}, ylabel="points", title="Difference, all rates", xlabel="blur (pixels)", marker="")
middle.axhspan(-5, 5, color=COLOURS["grey"], alpha=0.2, linewidth=0), middle.axhline(0, color=INK, linewidth=1)
moved = {"changed": (curves.changed(main[top], "mislabelled"), "orange"), "back to the true class": (curves.returned(main[top]), "green")}
plots.curves(right, grid, moved, ylabel="mislabelled images (%)", title="Where do they go?", xlabel="blur (pixels)", seeds=False, marker="")
claim = claims["BLUR-3"]
study.figure(fig, "b_curves", claims=["BLUR-3"], alt="Changed decisions of mislabelled and clean images against blur, their difference, and mislabelled images that return to their true class.", caption=
    f"Mislabelled images change by {claim['changed_rate_mislabelled_minus_clean_largest'].mean():+.0f} points against clean ones where the difference is largest, by {claim['changed_rate_mislabelled_minus_clean_mean'].mean():+.0f} on average between 1.3 and 4 pixels. With {figures.name(top)} wrong at most {np.nanmax(curves.returned(main[top]).mean(0)):.0f}% are then taken for what they show.")  # fmt: skip

# %% [markdown]
# ### Are their curves rougher?
#
# Few images make a rough curve. So we draw equally many clean images of the same classes, a thousand times, and ask how often *their* curve is as rough, as a sum of squared second differences. That sum also counts
# the smooth bend of a curve: a steeper one looks rougher without any jitter.

# %%
blur4 = study.check("BLUR-4", per_seed=claims["BLUR-4"], adequacy=fitted)
fig, axes = panels(2, width=11, height=3.6)
for ax, k in zip(axes, (rates[0], rates[-1]), strict=True):
    ax.plot(grid, 100 * random_curves(*bs.matched_pool(main[k], 0)[1:], draws=30, seed=0).T, color=COLOURS["grey"], linewidth=0.6, alpha=0.6)
    ax.plot(grid, curves.changed(main[k], "mislabelled")[0], color=COLOURS["orange"], linewidth=2.5, label="mislabelled")
    ax.plot([], [], color=COLOURS["grey"], label="as many clean images"), ax.legend()
    ax.set(xlabel="blur (pixels)", ylabel="changed decisions (%)", title=f"{figures.name(k)}, first seed")
bend, chance = curves.rough_excess(main).mean(1)
study.figure(fig, "b_rough", claims=["BLUR-4"], alt="Changed decisions of mislabelled images, and of random groups of equally many clean images, at two rates.", caption=
    f"Equally many clean images make a rougher curve in {claims['BLUR-4'].mean():.1%} of the draws. By what the mislabelled ones exceed them, summed over rates: {bend:+.0f} squared points from the bend of the curve, {chance:+.0f} from jitter of single images.")  # fmt: skip

# %% [markdown]
# ### Try it
#
# Choose a share of wrong labels and a blur, and watch the decisions on training images of one net, and both curves over all seeds.

# %%
seen = figures.explorer(main, data, (top, 2.1))
blur_explorer.blur_explorer(**seen)

# %% tags=["twin"]
study.twin(blur_explorer.blur_twin(**seen), alt="Explorer: training images under a blur, what the net takes them for, and the share of changed decisions.", caption=
    f"With {figures.name(top)} wrong, {curves.changed(main[top], 'mislabelled')[:, seen['sigmas'].index(2.1)].mean():.0f}% of the mislabelled and {curves.changed(main[top], 'clean')[:, seen['sigmas'].index(2.1)].mean():.0f}% of the clean images have changed at a blur of 2.1 pixels.")  # fmt: skip

# %% [markdown]
# ## 3. The transition
#
# The changed decisions of both groups for every share; the four that the source has above its transition are warm and solid, the others blue and dashed. Right, the mean change of correctly labelled images between
# 1.3 and 4 pixels, one dot a net (mislabelled ones change more, and would raise it by their number alone): if there is a transition, dots jump at the line.

# %%
blur5 = study.check("BLUR-5", per_seed=claims["BLUR-5"], adequacy=fitted | bs.counts_fall(main))
blur6 = study.check("BLUR-6", per_seed=claims["BLUR-6"], adequacy=fitted | apart)
blur7 = study.check("BLUR-7", per_seed=claims["BLUR-7"], adequacy=fitted | bs.counts_fall(main))
fig, (left, middle, right) = panels(3, width=13.5, height=4.4)
for ax, group in ((left, "clean"), (middle, "mislabelled")):
    for k in rates:
        plots.band(ax, grid, curves.changed(main[k], group), figures.name(k), tints[k][0], seeds=False, marker="", linestyle=tints[k][1])
    ax.axvspan(curves.LOW, curves.HIGH, color=COLOURS["grey"], alpha=0.12, linewidth=0), ax.set(xlabel="blur (pixels)", ylabel="changed decisions (%)", title=groups[group][0].capitalize(), ylim=(-2, 102))
for k in rates:
    right.plot(np.full(len(base.seeds), 100 / k), curves.changed_area(main[k]), "o", color=plots.paint(tints[k][0]), alpha=0.75, markersize=7)
middle.legend(ncols=2, fontsize=9)

# %% tags=["lead"]
plots.log_axis(right, [round(100 / k, 2) for k in rates]), plots.mark(right, (100 / 70 * 100 / 80) ** 0.5, "the source's\ntransition", "grey")
right.set(xlabel="wrong labels (%)", ylabel="changed between 1.3 and 4 pixels (%)", title="Correctly labelled, one dot a net"), right.margins(y=0.2), right.tick_params(axis="x", rotation=90, labelsize=9)
claim, table = claims["BLUR-5"], curves.areas(main)
spread = table.std(0, ddof=1).mean()
study.figure(fig, "b_phase", claims=["BLUR-5", "BLUR-7"], alt="Changed decisions of clean and of mislabelled images against blur for seven rates; mean change of every net against its rate, with the claimed transition.", caption=
    f"Across the claimed transition the mean change differs by {claim['changed_area_1_in_70_minus_1_in_80'].mean():+.1f} points; nets of one rate differ by {spread:.1f} (standard deviation).")  # fmt: skip

# %% [markdown]
# ### Could chance have shown it?
#
# A constant, a straight line in the logarithm of the share, or a step: which describes the seven nets of a seed best, by BIC [@schwarz1978estimating]? With so few values the criterion favours a step; what it does on pure noise is grey. Then the place of the step, with resampled
# seeds. Last, how often single runs at seven shares fall apart by three points although nothing happens there: at the claimed place, at any place (the source chose its place by looking), and at any place about a smooth trend.

# %%
best, noise, places = bs.best_models(main), best_on_noise(curves.log_rates(main), 2000, 0), bs.break_shares(main)
split = [bs.split_chance(main, table, 20_000, *how) for how in ((), (True,), (True, True))]
fig, (left, middle, right) = panels(3, width=13, height=3.6)
left.bar(np.arange(3) - 0.2, [100 * count / seeds for count in best.values()], 0.38, color=COLOURS["blue"], label="seeds"), left.bar(np.arange(3) + 0.2, [100 * noise[name] for name in best], 0.38, color=COLOURS["grey"], label="pure noise")
left.set(xticks=range(3), xticklabels=["constant", "line", "step"], ylabel="best by BIC (%)", title="Which model?"), left.legend()
middle.bar(range(len(places)), [100 * share for share in places.values()], color=[COLOURS["orange" if pair == (80, 70) else "blue"] for pair in places])
middle.set(xticks=range(len(places)), xticklabels=[f"1/{b} |\n1/{a}" for b, a in places], ylabel="resampled seeds (%)", title="Where is the step?"), middle.tick_params(labelsize=9)
right.bar(range(3), [100 * chance for chance in split], color=[COLOURS["orange"], COLOURS["blue"], COLOURS["sky"]])
right.set(xticks=range(3), xticklabels=["as claimed", "anywhere", "anywhere,\nwith a trend"], ylabel="single runs that split (%)", title="A split by chance")
study.figure(fig, "b_chance", claims=["BLUR-5"], alt="Which model describes the seeds best, beside pure noise; where resampled seeds put the step; how often single runs split by chance.", caption=
    f"A step is best for {best['step']} of {seeds} seeds, and for {noise['step']:.0%} of pure noise; resampled, it lies at the claimed place in {places[80, 70]:.0%}. By chance single runs split there in {split[0]:.1%} of the cases, somewhere in {split[1]:.1%}, about a smooth trend in {split[2]:.1%}.")  # fmt: skip

# %%
slopes = {figures.name(k): (bs.slope(curves.changed(main[k], "clean"), grid, curves.LOW, curves.HIGH), tints[k][0]) for k in rates}
fig, (ax,) = panels(1, width=8, height=3.2)
plots.dot_rows(ax, slopes, "slope between 1.3 and 4 pixels (points a pixel)")
study.figure(fig, "b_13", claims=["BLUR-6"], alt="Slope of changed decisions beyond 1.3 pixels by rate.", caption=
    f"Beyond 1.3 pixels the low rates' slope less that of the high ones is {claims['BLUR-6']['slope_after_1p3_low_minus_high_rates'].mean():+.1f} points a pixel; any trend over the shares does that. Across the claimed transition alone it is {claims['BLUR-6']['slope_after_1p3_1_in_80_minus_1_in_70'].mean():+.1f}. Images blurred so correlate with the sharp ones at {kernel['correlation'].mean():.2f}.")  # fmt: skip

# %% [markdown]
# ### Does blur end in one flat colour?
#
# The source blurs with a window as large as the image, and says that the limit is a single colour and the loss of accuracy continuous. What lies beyond the border decides.

# %%
blur8 = study.check("BLUR-8", per_seed=claims["BLUR-8"], adequacy=fitted)
fig, (ax,) = panels(1, width=8, height=2.6)
plots.dot_rows(ax, {padding: (kernel[f"limit_{padding}"], "blue") for padding in ("reflect", "replicate", "zero", "circular")}, "spread within an image over its mean, σ = 10⁴ pixels", zero=0)
study.figure(fig, "b_kernel", claims=["BLUR-8"], alt="Spread left within images after an unlimited blur, by padding.", caption=
    f"With mirrored borders grey values spread by {kernel['limit_reflect'].mean():.0%} of their mean however strong the blur. Wrong decisions have a rank correlation of {claims['BLUR-8']['rank_correlation_wrong_rate_blur'].mean():.2f} with it.")  # fmt: skip

# %% [markdown]
# ## 4. Further questions
#
# **Unseen images.** The source proposes to blur clean test images. **Other nets and other changes**: a shift, a rotation, noise, and a step along the gradient's sign, each made as large on average as the blur.
# **Robust nets**, trained against attacks [@madry2018towards]. **Tickets**: does a fifth of the weights hold the exceptions?

# %%
blur9 = study.check("BLUR-9", per_seed=claims["BLUR-9"], adequacy=fitted | apart)
fig, (left, right) = panels(2, width=11, height=3.8)
unseen = {"clean, trained on": (curves.changed(main[top], "clean"), "blue"), "unseen": (curves.changed(main[top], "test"), "gold")}
plots.curves(left, grid, unseen, xlabel="blur (pixels)", ylabel="changed decisions (%)", title=figures.name(top), seeds=False, marker="")
plots.dot_rows(right, {figures.name(k): (curves.changed_area(main[k], "test") - curves.changed_area(main[k], "clean"), tints[k][0]) for k in rates}, "unseen less trained on (points, 1.3 to 4 pixels)", zero=0)
study.figure(fig, "b_test", claims=["BLUR-9"], alt="Changed decisions of clean training and of test images; their difference by rate.", caption=
    f"Against clean training images, unseen ones change by {claims['BLUR-9']['changed_area_test_minus_clean_train_high_rates'].mean():+.1f} points at the high rates, by {claims['BLUR-9']['changed_area_test_minus_clean_train_low_rates'].mean():+.1f} at the low ones.")  # fmt: skip

# %%
two = {k: main[k] for k in pair}
here, settings = bs.setting_numbers(two, "blur"), {f"conv, {change}": (two, change) for change in changes} | {
    f"{net}, {change}": ({k: done[f"{net} {k}"] for k in pair}, change) for net in others for change in ("blur", *changes)
}
elsewhere = {label: bs.setting_numbers(*setting) for label, setting in settings.items()}
claim, numbers = bs.elsewhere_claim(here, elsewhere), {"conv, blur": here} | elsewhere
blur10 = study.check("BLUR-10", per_seed=claim, adequacy=bs.fitted(*(done[f"{net} {k}"] for net in others for k in pair)))
fig, (left, right) = panels(2, width=12.5, height=6.2)
plots.dot_rows(left, figures.by_setting(numbers, 0), "mislabelled less clean (points)", zero=0), left.set_title("Let go sooner?")
plots.dot_rows(right, figures.by_setting(numbers, 1), f"{figures.name(pair[0])} less {figures.name(pair[1])}, clean images (points)", zero=0), right.set_yticklabels([]), right.set_title("More wrong labels, more change?")
study.figure(fig, "b_gen", claims=["BLUR-10"], alt="Gap between mislabelled and clean images, and between two rates, for several nets and five changes.", caption=
    f"The gap has the sign of the main run in {claim['share_of_settings_with_sign_of_blur_3'].mean():.0%} of the other settings, the difference between rates in {claim['share_of_settings_with_sign_of_blur_5'].mean():.0%}.")  # fmt: skip

# %%
hard = bs.withstands(done["robust"], main[top]) | bs.fitted(main[top])
blur11 = study.check("BLUR-11", per_seed=claims["BLUR-11"], adequacy=hard)
blur14 = study.check("BLUR-14", per_seed=claims["BLUR-14"], adequacy=fitted)
fig, (left, right) = panels(2, width=11, height=3.8)
for label, results, style in (("standard", main[top], "-"), ("robust", done["robust"], "--")):
    for group, (word, colour) in groups.items():
        plots.band(left, grid, curves.changed(results, group), f"{label}, {word}", colour, seeds=False, marker="", linestyle=style)
left.set(xlabel="blur (pixels)", ylabel="changed decisions (%)"), left.legend(fontsize=9)
steps = {"along the gradient": (100 * main[top]["flips_gradient"], "orange"), "random signs": (100 * main[top]["flips_random"], "grey"), "along the gradient, robust": (100 * done["robust"]["flips_gradient"], "green")}
plots.curves(right, base.epsilons, steps, xlabel="step of every pixel (of the largest grey value)", ylabel="flipped test images (%)", seeds=False, legend="end")
claim = claims["BLUR-11"]
study.figure(fig, "b_rob", claims=["BLUR-11"], alt="Changed decisions of standard and robust nets; images flipped by steps along signs.", caption=
    f"Trained against attacks of {runs['robust'].steps} steps, nets learn {claim['mislabelled_train_accuracy_robust_minus_standard'].mean():+.0f} points of the wrong labels, compared with standard ones. Among what each has learned the gap between the groups changes by {claim['changed_rate_gap_robust_minus_standard'].mean():+.0f} points.")  # fmt: skip

# %%
fig, (ax,) = panels(1, width=7.5, height=3.6)
plots.curves(ax, base.epsilons, {label: steps[label] for label in list(steps)[:2]}, xlabel="step of every pixel (of the largest grey value)", ylabel="flipped test images (%)")
study.figure(fig, "b_fgsm", claims=["BLUR-14"], alt="Test images whose decision flips, over the length of the step, along the gradient and along random signs.", caption=
    f"A step of {base.epsilons[2]:g} along the gradient's sign flips {100 * claims['BLUR-14'].mean():+.0f} points of the test images, compared with random signs of the same size.")  # fmt: skip
pruned = {k: done[f"ticket {k}"] for k in ticket_rates}
fails = figures.known({figures.name(k): (bs.breakdown(results), "grey") for k, results in pruned.items()})
blur13 = study.check("BLUR-13", per_seed=bs.ticket_claim(pruned), adequacy={"dense_nets_memorise": all(bool((r["mislabelled_accuracy"][:, 0] >= 99).all()) for r in pruned.values())})
fig, (ax,) = panels(1, width=8, height=3.8)
for k, results in pruned.items():
    plots.band(ax, results["density"][0], results["mislabelled_accuracy"], figures.name(k), tints.get(k, ("grey", "-"))[0], seeds=False)
plots.density_axis(ax, results["density"][0]), ax.axvline(bs.DENSITY, color=COLOURS["grey"], linestyle="--"), ax.set(ylabel="wrong labels learned (%)"), ax.legend()
study.figure(fig, "b_ticket", claims=["BLUR-13"], alt="Wrong labels that tickets learn, over their density, for three rates.", caption=
    f"With {bs.DENSITY:.0%} of the weights tickets learn {bs.at_density(pruned[min(pruned)], bs.DENSITY).mean():.1f}% of the wrong labels at {figures.name(min(pruned))}; they fall below 99% at {', '.join(f'{100 * found.mean():.1f}% ({k})' for k, (found, _) in fails.items())}.")  # fmt: skip

# %% [markdown]
# ### And the labels of MNIST itself?
#
# The source adds 4 points, its estimate of MNIST's own label errors, to the transition. Raters found 15 wrong labels among 10,000 test images [@northcutt2021pervasive].

# %%
blur12 = study.check("BLUR-12", per_seed=bs.label_claim(done.get("census")))
blur15 = study.not_run("BLUR-15", "untestable as stated: a share of a data set is no feature of an image")

# %% [markdown]
# ## Limits
#
# On 1,437 digits the low rates mean ten mislabelled images, and the rates on either side of the claimed transition 19 and 10: too few to judge it there. On 12,000 images of MNIST they are 166 and 143. The source's net was a ResNet of eleven million weights on 60,000 images;
# ours have a few thousand weights on digits, 48,000 on MNIST. Between rates of one seed nets start alike and see the same batches, so their differences are smaller than between independent runs; the source's were independent. Rates share seeds, which the comparison
# by BIC does not model. Which images are mislabelled varies over seeds, as it did not in the source. On digits, 8 pixels wide, a blur of 1.3 is a third of a pixel, less than the sampled kernel resolves, and hardly changes an image. Changes of equal mean size are not equally visible: steps along the gradient as large as a blur flip nearly every decision on MNIST. No second data set was to hand. Tickets are plain nets without convolutions.
# That a split has 3 points is our choice.
#
# Tuned on seeds 1000 and above: learning rates and batches until all rates are learned in 40 epochs, for MNIST also the tickets' epochs (40 were too few), for SGD on digits its own (in 40 single images stayed unlearned, and in the first judged run one net missed the gate of BLUR-10). Before the judged run on MNIST the place of the break became part of its check, and the comparisons of section 4 moved to rates on either side of it.
#
# ## Exercises
#
# 1. Pool the images of all seeds and compute an interval as if they were independent. How much narrower is it, and what is it about?
# 2. Keep the learning rate constant (`source={"decay": False}`). Which of the claims about ratios moves?
# 3. Take the area between .5 and 2 pixels instead. Does any verdict change?

# %%
study.conclude(
    answer=f"That both groups are treated equally is {blur3.verdict} (BLUR-3): mislabelled images change by {claims['BLUR-3']['changed_rate_mislabelled_minus_clean_mean'].mean():+.0f} points against the others, on average, and with {figures.name(top)} wrong up to {np.nanmax(curves.returned(main[top]).mean(0)):.0f}% of them are then taken for what they show. "
    f"The sharp transition between 1.43% and 1.25% is {blur5.verdict.replace('not_run', 'not judged')} at this scale (BLUR-5): across it the change differs by {claims['BLUR-5']['changed_area_1_in_70_minus_1_in_80'].mean():+.1f} points, while nets of one rate differ by {spread:.1f}."
)
