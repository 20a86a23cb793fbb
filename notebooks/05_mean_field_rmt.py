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
# **Question.** In a wide random net the size of a signal and the likeness of two signals follow simple laws. Source S4
# pruned deep tanh nets, put the standard deviation of the surviving weights into these laws, and saw theory and
# practice part when half of the weights were gone. Why there? And does it matter for training?
#
# Let $q$ be the mean square of a layer's pre-activations. With weights of variance $\sigma_w^2/N$ and biases of
# variance $\sigma_b^2$ the next layer has [@poole2016exponential]
# $$V(q)=\sigma_w^2\,\mathbb E[\tanh^2(\sqrt q\,z)]+\sigma_b^2,\qquad
# \chi=\sigma_w^2\,\mathbb E[\tanh'(\sqrt q\,z)^2],\qquad z\sim\mathcal N(0,1).$$
# $q$ runs into a fixed point $q^*$. A small difference of two inputs is multiplied by $\chi$ in each layer: below 1 all
# inputs become alike, above 1 they part, and $\chi=1$ is the *edge of chaos* [@schoenholz2017deep].
#
# A mask leaves $dN$ of the $N$ inputs of a unit. Magnitude pruning keeps the large weights, so the **standard
# deviation of what is left rises**, but a unit sums fewer of them. What enters the law is
# $\sigma_w^2=d\cdot N\,\mathbb E[w^2\mid\text{kept}]$, and that **falls** at once: the prediction to test.

# %% [markdown]
# ## Try it yourself
#
# A few lines draw a Q-map, the law of the signal in random nets, against what three of them really do: each dot is an
# input in one layer, and its size in the next. Where the curve meets the dotted line, nothing changes any more. Three
# seeds are no evidence; the study itself follows below, with its settings first.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from redlib.measures import meanfield
from redlib.nets import StackedMLP, mean_field

# Change how widely weights and biases spread: at which spread of weights, without biases, does the signal die out?
weights, biases = 1.4, 0.3
networks = StackedMLP.create([400] * 13, [20_000, 20_001, 20_002], "tanh", mean_field(weights, biases))  # 12 layers
sizes = np.linspace(0.1, 1.7, 9)[:, None]  # of the inputs, from faint to strong
inputs = torch.from_numpy(sizes * np.random.default_rng(20_000).normal(size=(9, 400)))
measured = meanfield.empirical_q(networks, inputs).numpy()  # by net, layer and input
q = np.linspace(0, measured.max(), 100)
plt.plot(q, meanfield.q_map(q, weights, biases), label="theory")
plt.plot(measured[:, :-1].ravel(), measured[:, 1:].ravel(), ".", label="measured")
plt.axline((0, 0), slope=1, color="grey", linestyle=":", label="nothing changes")
plt.legend(title="q in a layer (across) and in the next (up)")
print(f"In theory q settles at {meanfield.q_fixed_point(weights, biases):.2f};", measured[:, 6:].mean((1, 2)).round(2))

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 5  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
lab = {}  # settings of runs.Tanh: data, net and training of the pruned nets
conv = {}  # of runs.Convs: the ConvNet
ends = {"orthogonal": 3, "augmented": 2, "residual": 3, "conv": 1}  # the last level of each chain beside the first
fitted = {}  # of runs.Fitted: training to equal loss
wide = {}  # of runs.Wide: wide random nets, to test the theory itself
skips = {"width": 512, "depth": 12, "sigmas": [[1.4, 0.3]], "residual": True}  # the same, with skip connections
brief = {}  # of runs.Brief: nets of one depth, trained for a few steps
depths = [4, 12, 24, 36, 56]  # layers of these
photographs = {}  # of runs.Tanh, to repeat section 4 on a folder of images
spectra = {}  # of runs.Spectra: the nets of section 6
batches = [8, 32, 128]  # batch sizes compared there

# %%
from dataclasses import replace

import numpy as np

from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.chain import D3_6, D4_4, D11, D21, D41, D51, Level, levels
from redlib.experiments.experiment import configure, varied
from redlib.measures import meanfield
from redlib.measures.powerlaws import PHASES
from redlib.pruning.tickets import Cut
from redlib.report.explorers import signal_explorer
from redlib.studies.mean_field_rmt import claims, figures, runs

plots.use_style()
study = Study("05_mean_field_rmt", profile, first)

# %% [markdown]
# ## 1. Where the nets start
#
# The slide gives standard deviations of 1.4 for weights and 0.3 for biases, "divided by $\sqrt N$". Taken literally
# that shrinks the biases too; we run both readings, and the orthogonal start with gain 1. `Start.run` sends inputs
# through the untrained nets that `Tanh.nets` draws; the left figure follows the correlation of two test inputs from
# layer to layer, with theory dotted. `Wide.run` and `Brief.run` belong to the next question.

# %%
main = configure(runs.Tanh, lab, seeds=range(first, first + seeds))
orthogonal = varied(main, init="orthogonal", sigma_w=1.0)
broad = {"hidden": [256] * len(main.hidden)}
kinds = {"full": main, "literal": varied(main, sigma_b=runs.LITERAL), "orthogonal": orthogonal}
starts = {name: runs.Start(varied(one, broad)) for name, one in kinds.items()}
own = {"seeds": main.seeds}
short = {depth: configure(runs.Brief, brief, own, depth=depth) for depth in depths}
big = {"plain": configure(runs.Wide, wide, own), "skips": configure(runs.Wide, skips, own)}
tried, random = short[depths[0]], carry_out(study, starts | {"brief": short} | big, axis="depth")
settings(starts["full"], tried, big["plain"])

# %%
rmt0 = study.check(claims.rmt_0(random, starts))
drift = ", ".join(f"{rmt0[part]:+z.2f}" for part in ("drift_bias_full", "drift_bias_seed", "drift_orthogonal"))
full = rmt0.side("drift_bias_full", "grow more alike", "grow less alike", "do not clearly move")
study.figure(
    figures.correlations(random, starts), "mf_chi0", claims=["RMT-0"],
    alt="Correlation of two inputs and chi over the layers for three starts, with theory.",
    caption=f"χ₁ is {rmt0['chi_bias_full']:.3f} with biases of .3, {rmt0['chi_bias_seed']:.2f} as the slide writes "
    f"them, {rmt0['chi_orthogonal']:.2f} for the orthogonal start. Over the layers correlations move by {drift}; in "
    f"theory, at χ = 1 exactly, by {rmt0['drift_in_theory']:+z.2f}.",
    meaning="With full biases a deep layer would multiply a small difference of two inputs by "
    f"{rmt0['chi_bias_full']:.3f}, says the theory. Inputs as different as these {full}: χ₁ speaks of the smallest "
    "differences alone. Which biases the source had decides what lies at the edge; that its nets start there is "
    f"{rmt0.word} (RMT-0).",
)  # fmt: skip

# %% [markdown]
# ### Is the theory itself right?
#
# Before we test it on pruned nets we test it on nets it was made for: wide ones, 30 layers deep, untrained. With skip
# connections over two layers the variance obeys $q_{l+2}=q_l+V(V(q_l))$: what is skipped is added, and nothing settles.
# And does theory say something about training? `Brief.run` trains nets of one depth and many $\sigma_w$ for a few
# steps; theory says that a signal survives for some multiple of the depth scale $\xi$.

# %%
rmt10 = study.check(claims.rmt_10(random["plain"]))
study.figure(
    figures.fixed_points(random["plain"]), "mf_poole", claims=["RMT-10"],
    alt="Fixed point of q over both standard deviations; q over layers in wide nets.",
    caption=f"Wide nets settle within {rmt10['simulation_agrees']:.1%} of q*, which grows with both deviations.",
    meaning=f"This is theory in the case that it was made for, and there it is {rmt10.word} (RMT-10). Where a later "
    "section finds it apart from measurement, look to the mask first and to the formula last.",
)  # fmt: skip
rmt17 = study.check(claims.rmt_17(random["skips"]))
runs_on = rmt17.side("grows", "grows with every pair of layers", "falls from pair to pair", "does not clearly grow")
study.figure(
    figures.skip_connections(random["skips"]), "mf_res", claims=["RMT-17"],
    alt="Mean square signal over depth in residual nets, with the recursion.",
    caption=f"q moves by {rmt17['grows']:+z.2f} per two layers; the recursion is {rmt17['simulation_agrees']:.1%} off.",
    meaning=f"With skips q {runs_on}. By the recursion no pair of layers takes away what an earlier one has added, so "
    f"there is no fixed point to settle at, and no edge of chaos in the same sense (RMT-17: {rmt17.word}).",
)  # fmt: skip

# %%
rmt20 = study.check(claims.rmt_20(random["brief"], tried.sigma_b))
ranked = "rank_correlation_trainable_depth_depth_scale"
tells = rmt20.side(ranked, "puts in the right order", "puts in the wrong order", "does not clearly put in order")
study.figure(
    figures.trainability(random["brief"], tried.sigma_b), "mf_depth", claims=["RMT-20"],
    alt="Training accuracy by depth and weight standard deviation; trainable depth against the depth scale.",
    caption="Rank correlation of trainable depth and ξ over σ_w: "
    f"{rmt20['rank_correlation_trainable_depth_depth_scale']:.2f}. The edge of chaos is dashed.",
    meaning=f"A theory of nets that nobody has trained {tells} how deep a net may be to be trained at all (RMT-20: "
    f"{rmt20.word}). A rank says nothing of the factor between both depths, which depends on how long one trains.",
)  # fmt: skip

# %% [markdown]
# ### Try it
#
# Choose the activation, the two standard deviations and the density, and watch the Q-map, its cobweb, the C-map and the
# point in the plane. Dashed: the dense net. Solid: the pruned one, cut by magnitude or at random.

# %%
keep = 0.8 ** np.arange(16)
chi_cut = meanfield.chi_1(1.4 * np.sqrt(meanfield.magnitude_second_moment(keep)), 0.3)
deviations = np.round(np.arange(0.1, 3.01, 0.05), 2), np.round(np.arange(0, 1.01, 0.02), 2)
study.explorer(
    signal_explorer(*deviations, keep, start=("tanh", 1.4, 0.3, keep[D51]), cut="magnitude"),
    alt="Explorer: Q-map, C-map and the plane of both standard deviations, for four activations and any density.",
    caption=f"At the source's point χ₁ is {chi_cut[0]:.3f}; with half of the weights, cut once by magnitude, it is "
    f"{chi_cut[D51]:.3f}; at random {meanfield.chi_1(1.4 * np.sqrt(keep[D51]), 0.3):.3f}.",
)

# %% [markdown]
# ## 2. Pruning and accuracy
#
# Fifteen rounds of iterative magnitude pruning, 20% of the weights a round (10% of the last layer), survivors rewound
# to their first values. `Level.run` cuts the net that the round before trained and trains it again. A rise of the test
# accuracy could be relief from over-fitting, or only faster fitting. Therefore the nets also meet augmented data, skip
# connections, and a comparison at equal training loss. Other chains take two or three rounds at once, until it harms.

# %%
top = runs.Ticket(main)
two, three = Cut(0.36, 0.19), Cut(0.488, 0.271)  # the rates of so many rounds of 20% and 10% taken at once
nets = {
    "orthogonal": Level(orthogonal, cut=two),
    "augmented": Level(varied(main, shifts=(-2, -1, 1, 2)), cut=three),
    "residual": Level(varied(main, residual=True), cut=three),
    "conv": Level(configure(runs.Convs, conv, own), cut=three),
}
chains = {"normal": levels(top, D3_6)} | {name: levels(source, ends[name]) for name, source in nets.items()}
beside = {
    "random": runs.Controls(top, ("random",), (1, D51, D41, 5, D21, D11)),
    "fitted": configure(runs.Fitted, fitted, source=replace(top, level=D21)),
}
done = carry_out(study, chains | beside)
tickets, density = done["normal"], claims.density(done["normal"])
settings(top, convs=nets["conv"])

# %%
rmt1 = study.check(claims.rmt_1(tickets))
rmt2 = study.check(claims.rmt_2(done["orthogonal"], tickets))
rmt3 = study.check(claims.rmt_3(done["conv"]))
rmt19 = study.check(claims.rmt_19(done["augmented"], done["residual"], tickets))
words = "better than dense", "worse than dense", "not clearly different from dense"
normal = rmt1.side("accuracy_best_density_minus_dense", *words)
turned = rmt2.side("rise", *words)
convnet = rmt3.side("accuracy_best_density_minus_dense_convnet", *words)
rolled = rmt19.side("gain_with_augmentation", *words)
skipped = rmt19.side("gain_in_resnet", *words)
study.figure(
    figures.rises({name: done[name] for name in chains}, done["random"], done["fitted"]), "mf_acc",
    claims=["RMT-1", "RMT-2", "RMT-3", "RMT-19"],
    alt="Test accuracy over density of four kinds of FCNets and of random masks; gains at the best density.",
    caption="At the best density the accuracy of the normal FCNet changes by "
    f"{rmt1['accuracy_best_density_minus_dense']:+z.1f} points, of the orthogonal one by {rmt2['rise']:+z.1f}, of the "
    f"ConvNet by {rmt3['accuracy_best_density_minus_dense_convnet']:+z.1f}; with augmented data by "
    f"{rmt19['gain_with_augmentation']:+z.1f}, with skips by {rmt19['gain_in_resnet']:+z.1f}. The gap between training "
    f"and test accuracy changes by {rmt19['gap_change']:+z.1f} points at {density[D21]:.0%}.",
    meaning=f"At its best density the normal FCNet is {normal}, the orthogonal one {turned}, the ConvNet {convnet}. "
    f"Were that relief from over-fitting alone, nothing should be left with augmented data, where the net is {rolled}, "
    f"nor with skips, where it is {skipped} (RMT-19: {rmt19.word}).",
)  # fmt: skip

# %% [markdown]
# ## 3. The weights that are left
#
# The slides show that the mean hardly moves, the standard deviation rises, and that the survivors split in two groups.
# The last two follow from selection by magnitude if training moved nothing: the dotted law is that of a Gaussian of
# which only the largest values are kept. These are the tickets of section 2; `Histograms.run` looks at four of them.

# %%
shown = {level: runs.Histograms(replace(top, level=level)) for level in (0, D51, D21, D4_4)}
peaks = carry_out(study, {"peaks": shown})["peaks"]
rmt4 = study.check(claims.rmt_4(tickets))
study.figure(
    figures.means(tickets), "mf_mean", claims=["RMT-4"],
    alt="Mean over standard deviation of kept weights by layer and density.",
    caption=f"The |mean| of a layer, averaged over densities, is at most {rmt4['small_mean_rewound']:.2f} standard "
    f"deviations, of trained weights {rmt4['small_mean_trained']:.2f}; at one density it reaches "
    f"{rmt4['within_sampling_error']:.1f} and {rmt4['trained_within_sampling_error']:.1f} times its sampling error.",
    meaning=f"That the mean hardly moves is {rmt4.word} (RMT-4): before training {rmt4['small_mean_rewound']:.2f} "
    "standard deviations, where a tenth is our reading of hardly. The sampling error is a second yardstick.",
)  # fmt: skip
rmt5 = study.check(claims.rmt_5(tickets, main.sigma_w))
study.figure(
    figures.spreads(tickets, main.sigma_w), "mf_std", claims=["RMT-5"],
    alt="Standard deviation of kept weights over density by layer, with the law of a truncated Gaussian.",
    caption=f"Rewound weights spread from {tickets['start_std'][:, 0].mean():.2f} to "
    f"{tickets['start_std'][:, -1].mean():.2f}; at {density[D21]:.0%} the spread is "
    f"{rmt5['versus_truncated_gaussian']:.2f} of the law.",
    meaning="Who cuts the small weights raises the spread of the rest: before training it follows that arithmetic, on "
    f"average over the layers, to within {abs(rmt5['versus_truncated_gaussian'] - 1):.0%} at {density[D21]:.0%} "
    f"(RMT-5: {rmt5.word}). So the slide's plot tells of the cut, not of training, and a standard deviation does not "
    "know how many weights are gone.",
)  # fmt: skip

# %%
rmt11 = study.check(claims.rmt_11(peaks, tickets))
study.figure(
    figures.two_peaks(peaks, tickets), "mf_bimod", claims=["RMT-11"],
    alt="Histograms of the kept weights of a middle layer at four densities, rewound and trained.",
    caption=f"In the layer that splits least the histogram at zero reaches {rmt11['gap_before_training']:.2f} of its "
    f"peak at {density[D21]:.0%} before training and {rmt11['gap_after_training']:.2f} after; the largest p of the dip "
    f"test is {rmt11['dip_before_training']:.3f} and {rmt11['dip_after_training']:.3f}.",
    meaning="A cut by magnitude must leave two groups, one on each side of zero; does training fill the gap again? "
    f"After it the histogram at zero has {rmt11['gap_after_training']:.2f} of its peak in the layer that "
    f"splits least (RMT-11: {rmt11.word}).",
)  # fmt: skip

# %% [markdown]
# ## 4. Where theory and measurement part
#
# The heart of the matter. $q$ is measured deep in the net, at the rewound and at the trained weights of every ticket,
# and predicted three times. **Naive**: the standard deviation of the survivors, as if all inputs were there, our
# reading of the slide. **Corrected**: times the density. **Rows**: each unit and each input with its own numbers.

# %%
rmt8 = study.check(claims.rmt_8(tickets))
rmt9 = study.check(claims.rmt_9(tickets))
error = {law: claims.prediction_error(tickets, law).mean(0) for law in figures.LAWS}
band = {law: "within" if abs(error[law][D51]) <= claims.DEPARTED else "outside" for law in error}
corrected_at = claims.departure(tickets, "density").mean()  # share of the weights where it first departs
by_rows = rmt9.side("relative_error_empirical_minus_corrected", "adds to", "takes from", "does not clearly change")
study.figure(
    figures.theories(tickets), "mf_qth", claims=["RMT-8", "RMT-9"],
    alt="Measured q over density against three theories; relative errors for rewound and trained weights.",
    caption=f"The naive theory is {error['naive'][1]:+z.0%} off after the first cut and {error['naive'][D51]:+z.0%} at "
    f"{density[D51]:.0%} (departs at {rmt8['naive_departs_at_51']:.0%}), corrected for density "
    f"{error['density'][D51]:+z.0%}, and {error['density'][D21]:+z.0%} at {density[D21]:.0%}.",
    meaning=f"At rewound weights, {density[D51]:.0%} of them left, the naive theory lies {band['naive']} the band of a "
    f"tenth, the corrected one {band['density']} it. They first depart at {rmt8['naive_departs_at_51']:.0%} and "
    f"{corrected_at:.0%} (means over seeds, each from its own dense net); that the place is 51%, as the source saw, is "
    f"{rmt8.word} (RMT-8). To go row by row {by_rows} the error (RMT-9: {rmt9.word}).",
)  # fmt: skip

# %%
rmt7 = study.check(claims.rmt_7(tickets))
legs = "rise_rewound", "rise_trained", "fall_rewound", "fall_trained"
moves = {leg: rmt7.side(leg, "rises", "falls", "does not clearly move") for leg in legs}
study.figure(
    figures.measured_q(tickets), "mf_q", claims=["RMT-7"],
    alt="Measured q over density for rewound and trained weights.",
    caption=f"From dense to {density[D51]:.0%} q changes by {rmt7['rise_rewound']:+z.2f} at the rewound weights and by "
    f"{rmt7['rise_trained']:+z.2f} at the trained ones; the slides report a rise. At the rewound weights it is largest "
    f"at {rmt8['directions_part_at_51']:.0%} on average.",
    meaning=f"Down to {density[D51]:.0%} q {moves['rise_rewound']} at rewound weights and {moves['rise_trained']} at "
    f"trained ones; from there on it {moves['fall_rewound']} and {moves['fall_trained']}. The source drew one of the "
    f"two without saying which; its rise and fall are {rmt7.word} (RMT-7).",
)  # fmt: skip

# %%
abroad = ""  # what photographs add to the answer
if photographs and (camera := varied(main, photographs)).at_hand:
    other = carry_out(study, {"other": levels(runs.Ticket(camera), D3_6)})["other"]
    off = {law: claims.prediction_error(other, law).mean(0) for law in figures.LAWS}
    naively = [abs(off["naive"][k]) < abs(off["density"][k]) for k in range(1, len(density))]
    closer = ", ".join(f"{share:.0%}" for share, won in zip(density[1:], naively, strict=True) if won) or "no density"
    abroad = f" On photographs the naive theory is nearer to the measured q at {closer}."
    study.figure(
        figures.elsewhere(other), "mf_photographs",
        alt="Accuracy over density and errors of the theories on small photographs.",
        caption=f"On photographs the naive theory is {off['naive'][1]:+z.0%} off after the first cut and "
        f"{off['naive'][D51]:+z.0%} at {density[D51]:.0%}; corrected for density {off['density'][D51]:+z.0%}.",
        meaning=f"{abroad.strip()} At other densities it is the corrected one. "
        "Neighbouring pixels are alike, and the mask was shaped by them: both theories take inputs and mask for "
        "independent, so what mends one error may uncover another.",
    )  # fmt: skip

# %% [markdown]
# ### Is it the number of inputs a unit keeps?
#
# Pruning leaves some units with many inputs and others with few. We deal the weights that leave each input to random
# units: all counts and sizes stay, only which unit they enter changes.

# %%
rmt16 = study.check(claims.rmt_16(tickets))
dealt = claims.measured_change(tickets).mean(0)
uneven = rmt16.side("uneven_inputs", "more uneven", "less uneven", "neither clearly more nor less uneven", level=1)
evened = rmt16.side("shuffling_changes_signal", "raises", "lowers", "does not clearly change")
study.figure(
    figures.in_degrees(tickets), "mf_deg", claims=["RMT-16"],
    alt="Variance of in-degrees over that of random masks; change of q when in-degrees are evened out.",
    caption=f"At {density[D21]:.0%} hidden units' inputs vary {rmt16['uneven_inputs']:.2f} times as much as under "
    f"random masks; evened out, they change q by {rmt16['shuffling_changes_signal']:+z.1%}. The measured q moves by "
    f"{dealt[D21]:+z.0%} when weights change places, where theory is {error['density'][D21]:+z.0%} off.",
    meaning=f"Over all layers units' inputs are {uneven} in number than under random masks, and to even them out "
    f"{evened} what theory says of q (RMT-16: {rmt16.word}). Dealing weights to other units also changes which of them "
    "meet: what moves the measured q beyond the law of rows is their company and not their number.",
)  # fmt: skip

# %% [markdown]
# ## 5. Does the signal matter for training?
#
# $\chi$ should fall as weights go, so inputs become alike sooner. If signals mattered, tickets with less $\chi$ should
# do worse. The Jacobian of outputs by inputs tells how well gradients come back [@pennington2017resurrecting]; tickets
# are compared with random masks, and with such masks rescaled layer by layer until they have the ticket's $\chi$.
#
# Three repairs are tried. If variance is what a random mask lacks, restore it: multiply by $1/\sqrt d$. The source
# further tried a larger standard deviation (2.24, of unknown origin) and new weights drawn from a ticket's two-peaked
# law. `Controls.run` starts nets as `runs.ARMS` says and trains them as the tickets were.

# %%
wider = {kind: tuple(f"{kind}_{std}" for std in runs.WIDER) for kind in ("random", "fresh")}
drawn = "bimodal", "normal", "fresh", "bimodal_ticket", "normal_ticket"
arms = {
    "rescaled": runs.Controls(top, ("corrected", "chi_matched"), (D21, D11)),
    "wider": runs.Controls(top, wider["random"], (D21,)),
    "redrawn": runs.Controls(top, ("fresh", *wider["fresh"]), (D21,)),
    "two peaks": runs.Controls(top, drawn, (D41,)),
}
repaired = carry_out(study, arms)
every = claims.nets(tickets, done["random"], *repaired.values())
rmt13 = study.check(claims.rmt_13(tickets))
rmt14 = study.check(claims.rmt_14(every))
chi = claims.hidden_chi(tickets).mean(0)
sinks = rmt13.side("slope_chi_on_log_density", "falls", "grows", "does not clearly move")
goes = [rmt14.side(part, "less", "more", "neither less nor more") for part in ("tickets", "random_masks")]
study.figure(
    figures.chi(every, tickets, main), "mf_chi", claims=["RMT-13", "RMT-14"],
    alt="Chi over density with theory; accuracy against chi for tickets and random masks.",
    caption=f"χ goes from {chi[0]:.2f} to {chi[D21]:.2f} at {density[D21]:.0%}. Its correlation with accuracy down to "
    f"there: {rmt14['tickets']:+z.2f}, among random masks {rmt14['random_masks']:+z.2f}.",
    meaning=f"χ {sinks} as weights go (RMT-13: {rmt13.word}); with less χ inputs become alike sooner. Less of "
    f"it goes with {goes[0]} accuracy among tickets and with {goes[1]} among random masks (RMT-14: {rmt14.word}): a "
    "trend along a path of pruning, in which all else changes, too.",
)  # fmt: skip

# %%
rmt15 = study.check(claims.rmt_15(every))
loud = "more strongly than", "more weakly than", "about as strongly as"
strength = [rmt15.side(part, *loud) for part in ("versus_random", "versus_chi_matched")]
linked = rmt15.side("predicts_accuracy", "positive", "negative", "not clear")
study.figure(
    figures.jacobians(every, claims.rmt_15(every).parts), "mf_jac", claims=["RMT-15"],
    alt="Singular values of tickets' Jacobians against control masks; accuracy against them.",
    caption=f"A ticket's mean squared singular value is 10^{rmt15['versus_random'] / np.log(10):.1f} times that of a "
    f"random mask, and {np.exp(rmt15['versus_chi_matched']):.1f} times that of one with its χ. Given χ, its "
    f"correlation with accuracy is {rmt15['predicts_accuracy']:+z.2f}.",
    meaning=f"Through a ticket gradients come back {strength[0]} through random masks, and {strength[1]} "
    "through such masks with its χ: the second comparison leaves forward signal out. With χ held fixed the link to "
    f"accuracy is {linked} (RMT-15: {rmt15.word}).",
)  # fmt: skip

# %%
rmt18 = study.check(claims.rmt_18(every))
helped = rmt18.side("helps_d0p2", "better than before", "worse than before", "not clearly different from before")
ahead = rmt18.side("lead_of_ticket_d0p2", "ahead of it", "behind it", "not clearly apart from it")
back, missing = rmt18["helps_d0p2"], rmt18["lead_of_ticket_d0p2"]  # points regained, points still missing
part_of = f"{back / (back + missing):.0%}" if back > 0 < missing else "no share that could be told"
study.figure(
    figures.repairs(every, density), "mf_zero", claims=["RMT-18"],
    alt="Accuracy of random masks, rescaled random masks and tickets at two densities.",
    caption=f"Restored variance changes a random mask by {rmt18['helps_d0p2']:+z.1f} points at {density[D21]:.0%}; "
    f"the ticket is {rmt18['lead_of_ticket_d0p2']:+z.1f} from it.",
    meaning=f"With its variance restored a random mask is {helped} at {density[D21]:.0%}, the ticket {ahead}. Of "
    f"what a random mask lacked that makes {part_of}; the rest is for which weights are left to explain (RMT-18: "
    f"{rmt18.word}).",
)  # fmt: skip

# %%
rmt6 = study.check(claims.rmt_6(every))
wide_start = [rmt6.side(part, "better", "worse", "not clearly better") for part in ("random_2p24", "pruned_2p24")]
study.figure(
    figures.leads(figures.WIDER, claims.rmt_6(every).parts, "A larger start"), "mf_std2", claims=["RMT-6"],
    alt="Accuracy with larger standard deviations less that with 1.4.",
    caption=f"At {density[D21]:.0%} of the weights a standard deviation of 2.24 changes accuracy by "
    f"{rmt6['random_2p24']:+z.1f} points with random masks and by {rmt6['pruned_2p24']:+z.1f} with pruned ones.",
    meaning=f"Whatever 2.24 was meant to be: nets with it train {wide_start[0]} under random masks and {wide_start[1]} "
    "on pruned ones. A wider start gives back some of the variance that a mask takes: signal size once more, "
    "and no magic number.",
)  # fmt: skip
rmt12 = study.check(claims.rmt_12(every))
shapes = "random_subnet", "same_spread_random_subnet"
two_peaked = [rmt12.side(part, "better than", "worse than", "not clearly apart from") for part in shapes]
study.figure(
    figures.leads(figures.PEAKS, claims.rmt_12(every).parts, "Two-peaked weights"), "mf_bimod2", claims=["RMT-12"],
    alt="Accuracy with two-peaked weights less that of tickets and of Gaussian weights.",
    caption=f"At {density[D41]:.0%} two-peaked weights under a random mask are {rmt12['falls_short_of_ticket']:+z.1f} "
    f"points from the ticket, {rmt12['random_subnet']:+z.1f} from usual weights and "
    f"{rmt12['same_spread_random_subnet']:+z.1f} from Gaussian ones of their own variance.",
    meaning=f"Under a random mask two-peaked weights are {two_peaked[0]} usual ones, {two_peaked[1]} Gaussian ones of "
    "their own variance. The first comparison changes size and shape at once, the second shape alone. That no ticket "
    f"comes of them is {rmt12.word} (RMT-12).",
)  # fmt: skip

# %% [markdown]
# ## 6. Random matrices: what does training add?
#
# Random weights have eigenvalues inside the Marchenko–Pastur bulk [@marchenko1967distribution]. Martin and Mahoney
# [@martin2021implicit] see trained layers leave it in phases, more so with small batches: signal grows out of the
# noise. `Spectra.run` trains ReLU nets and counts eigenvalues beyond the Tracy–Widom edge, after as many epochs for
# every batch size. `LowRank.run` then replaces the trained weights $W$ by the start $Z$ plus the leading directions of
# $W-Z$ [@nagarajan2019uniform]. The source kept 16 directions of 1,024; scaled to our width that is 4 of 256.

# %%
esd = configure(runs.Spectra, spectra, own)
by_batch = {size: varied(esd, batch=size) for size in batches}
others = {"low rank": runs.LowRank(esd), "decay": varied(esd, weight_decay=0.002)}
trained = carry_out(study, by_batch | others)
low, plain = trained["low rank"], trained[esd.batch]
sizes = {size: trained[size] for size in batches}
settings(esd)

# %%
grown = {size: claims.net_mean(one, "spikes")[:, -1].mean() for size, one in sizes.items()}
phase = {size: PHASES[np.bincount(one["phase"][:, -1].astype(int)).argmax()] for size, one in sizes.items()}
rmt21 = study.check(claims.rmt_21(plain, sizes))
spikes = rmt21.side("spikes_grow", "more", "fewer", "neither clearly more nor fewer")
by_size = rmt21.side("batch_trend", "more", "fewer", "neither clearly more nor fewer")
bulk = rmt21.side("noise_shrinks", "widens", "shrinks", "does not clearly change")
at_its_cost = "at the noise's expense" if bulk == "shrinks" else "beside the noise and not at its expense"
study.figure(
    figures.spectra(sizes, plain, trained["decay"], esd.hidden[-2]), "esd", claims=["RMT-21"],
    alt="Eigenvalues of a layer with the Marchenko-Pastur law; spikes over epochs by batch size; sigma of the bulk.",
    caption=f"A layer ends with {grown[batches[0]]:.0f} eigenvalues beyond the edge at batch {batches[0]} and "
    f"{grown[batches[-1]]:.0f} at {batches[-1]}. Without decay the bulk's σ changes by {rmt21['noise_shrinks']:+z.1%}. "
    f"Commonest phase of the last hidden layer: {', '.join(f'{name} (batch {size})' for size, name in phase.items())}.",
    meaning=f"While a net trains {spikes} eigenvalues come to lie beyond the edge; larger batches leave {by_size}. "
    f"Without weight decay the random bulk {bulk}: signal grows {at_its_cost} (RMT-21: {rmt21.word}).",
)  # fmt: skip

# %%
rmt22 = study.check(claims.rmt_22(low, plain))
rmt23 = study.check(claims.rmt_23(low, plain))
sixteen = rmt22.side("rank_16_all_layers", "lose less than", "lose more than", "lose about", level=-1)
four = rmt22.side("rank_4_all_layers", "less", "more", "about as much", level=-1)
study.figure(
    figures.low_rank(low), "lowrank", claims=["RMT-22", "RMT-23"],
    alt="Accuracy over the number of directions kept; spectral norm of the rest.",
    caption=f"With sixteen directions of every layer accuracy changes by {rmt22['rank_16_all_layers']:+z.1f} points, "
    f"with four by {rmt22['rank_4_all_layers']:+z.1f} (ten classes may need nine). The rest after sixteen has "
    f"{rmt23['over_start']:.2f} of the start's spectral norm and {rmt23['over_change']:.2f} of the change's.",
    meaning=f"Of what training has added, those who keep sixteen directions {sixteen} a point of accuracy, those who "
    f"keep four {four}. Ten classes may need nine directions to be told apart, so four may be too few for the task and "
    f"not for the net. How large the rest may be to pass for noise no source says (RMT-23: {rmt23.word}).",
)  # fmt: skip

# %% [markdown]
# ## Limits
#
# * **Lost plots.** The source's plots are gone. "Naive" is our reading of its slide; 2.24 is tried in every sense we
#   could think of.
# * **Small nets, brief training**, so part of each rise is faster fitting; the figure compares at equal loss, too.
# * **Seeds.** Each has MNIST-1D made for it alone to train on, but draws most of the digits, so there intervals say
#   little of new data.
# * **Chance.** $q$ is a mean over the upper half of the hidden layers and over 20 inputs; in one layer chance
#   alone moves it by a tenth, for all levels of a seed alike, so a departure is counted from each seed's own dense net.
# * **Theory is for random weights**; how it does on trained ones is shown, not judged.
# * **Slow learners.** Orthogonal nets (gain 1, far from the edge) and nets on augmented data learn two thirds of their
#   training set in the time given; a chain counts if its dense net learns half.
# * **A trend, no cause.** A correlation of $\chi$ and accuracy over eight levels of one chain is a trend along a path.
# * **Phases of spectra** follow rules of ours for words of theirs.
# * **Tuned** on seeds 1000–1009: rates and epochs until the normal dense net learns nine tenths of its training
#   set; depths and steps of the trainability map, until each column is bracketed.
#
# ## Exercises
#
# 1. Set `lab = {"sigma_w": 2.5}`, a chaotic start. At which density does $\chi$ cross 1, and is that where tickets win?
#    *Hint:* before any run, `meanfield.chi_1` with `magnitude_second_moment` predicts the density.
# 2. Put the mask of the ticket on weights of random signs. Which of the three theories changes, and what is left?
#    *Hint:* all three know weights by their squares; see `meanfield.predicted_q` and `meanfield.empirical_q`.
# 3. Derive $d\,\mathbb E[w^2\mid\text{kept}]$ for a Gaussian cut by magnitude; check `magnitude_second_moment`. *Hint:*
#    integrate $w^2\varphi(w)$ by parts beyond the cut, which lies at the quantile $1-d/2$.
# 4. Train the spectra's net with `weight_decay=0.01`. Does rank collapse come before the net stops to fit? *Hint:* vary
#    `esd` in section 6, and read `phase` beside `train_error`.

# %%
needed = "is needed", "is needed in part", "is not all that is needed", "may be needed"
study.conclude(
    answer="Does a theory of endlessly wide, random networks know pruned ones? One that forgets the missing weights "
    f"is {error['naive'][1]:+z.0%} off after the first cut; told how many are left, it is "
    f"{error['density'][D51]:+z.0%} off at {density[D51]:.0%} of them, where the source saw theory and practice part "
    f"(RMT-8: {rmt8.word}), and departs by a tenth at {corrected_at:.0%}.{abroad} How much a small change of the "
    f"input grows from layer to layer, χ, goes from {chi[0]:.2f} to {chi[D21]:.2f} at {density[D21]:.0%} (RMT-13: "
    f"{rmt13.word}); its correlation with the accuracy of tickets is {rmt14['tickets']:+z.2f} (RMT-14: {rmt14.word}). "
    f"Little of what training adds to the weights {rmt22.tells(*needed)}: with sixteen directions of every layer "
    f"accuracy changes by {rmt22['rank_16_all_layers']:+z.1f} points, with four by {rmt22['rank_4_all_layers']:+z.1f} "
    f"(RMT-22: {rmt22.word})."
)
