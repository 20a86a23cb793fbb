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
# # Lottery tickets: is there a small net inside the big one?
#
# **Question.** Most weights of a trained network can be deleted. Was the small network that remains there from the
# start, waiting to be found? And what makes it special: which weights it keeps, their start, or just their number?
#
# The **lottery ticket hypothesis** [@frankle2019lottery] says: a random dense network contains a sparse one which,
# trained alone *from the same initial weights*, does as well. The recipe to find it is iterative magnitude pruning:
# train, cut the smallest fifth of the weights in each layer, set the rest back to where they started, repeat. A sparse
# net can do well for many reasons, so all claims are comparisons with control arms: **reinit**, the ticket's mask with
# fresh random weights; **shuffled**, the initial weights with the mask permuted within each layer; **random**, a
# shuffled mask *and* fresh weights; **dense**, nothing cut. Each seed draws its own training data; its arms share them,
# their order and the length of training, so differences are paired. Accuracy is read on test data at the step with the
# least validation loss, as in the paper, and at the end; the test set never chooses. *Density*: weights **kept**.

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
few = 5  # seeds of the dearer runs
lab = {"optimizer": "sgd", "lr": 0.1, "steps": 1000, "looks": 40}  # other settings are those of Stack
side = {}  # what differs from it in the side experiments (criteria, transfer, rates, sizes, barriers)
rounds = {"depth": 15, "watched": [1, 3, 7, 10, 15], "quick": 5}  # of the chain, of its arms, of short chains
quick = {"rate": 0.36, "last": 0.19}  # shares cut in a short chain: two rounds in one
criteria = ["magnitude", "magnitude_increase", "large_final_same_sign", "large_init", "random", "small_final"]
times = {"reinit": 11, "oneshot": 5, "late": 20, "early": 100, "starts": [0, 20, 200]}  # multiples, then steps
optimisers = {"rates": [0.01, 0.03, 0.1, 0.2], "large": 0.1, "other": {"optimizer": "adam", "lr": 0.001}}
sizes = {"hidden": [[42, 14], [84, 28], [168, 56], [240, 80]], "target": 1500}  # starting nets, weights left
away = {"dataset": "mnist1d_b"}  # other data to carry tickets to, and from: MNIST-1D made of other templates
fewer = [875, 1750]  # examples of smaller sets that tickets are carried from
images = {"dataset": "digits", "pool": 1200, "n": 800, "validation": 237, "tests": 360, "hidden": [300, 100]}
training = {"optimizer": "sgd", "lr": 0.05, "steps": 400, "looks": 40, "batch": 64}  # on images
learned = {"optimizer": "sgd", "lr": 100.0, "steps": 400, "batch": 250}  # of the scores of random masks
popup = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 1e-4}  # of those of edge-popup
widths = [0.1, 0.2, 0.4]  # of its nets, in multiples
conv = {"dataset": "digits", "batch": 64, "steps": 200, "looks": 8}  # what both conv nets share
calm = {"pool": 1000, "n": 700, "lr": 0.002}  # Conv-2
rough = {"net": "small_conv", "width": 8, "n": 400, "optimizer": "sgd", "lr": 1.0, "drops": [0.6]}
conv_cuts = [{"rate": 0.245, "linear": 0.45, "last": 0.245}, {"rate": 0.42, "linear": 0.0, "last": 0.2}]
conv_times = {"arms": 3, "late": 16, "starts": [1, 4, 16, 64]}  # multiples, then steps
outside = {}  # settings of runs.Published, to run the published MNIST-1D protocol itself
tolerance = 1.0  # points within which a sparse net matches the dense one

# %%
from dataclasses import replace

from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.chain import D11, D21, Arms, Level, levels
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import Modules, Stack
from redlib.experiments.results import stack
from redlib.measures import subsetsum
from redlib.pruning.tickets import Cut
from redlib.report.explorers import mask_explorer
from redlib.studies.lottery_tickets import claims, figures, runs

plots.use_style()
study = Study("02_lottery_tickets", profile, first)

# %% [markdown]
# ## 1. The ticket and its controls
#
# One chain of rounds gives the tickets; the arms of all densities and seeds then train together as one stack of nets.
# At laptop scale the data are MNIST-1D [@greydanus2020scaling] and the net is 40-100-100-10; the profile `mnist` has
# LeNet-300-100 on MNIST. `Level` is one round: it cuts what the round before trained, and trains what is left.

# %%
main = configure(Stack, lab, seeds=range(first, first + seeds))
chain, cut, short = Level(main), configure(Cut, quick), rounds["quick"]
plan = {
    "tickets": levels(chain, rounds["depth"]),
    "arms": Arms(chain, tuple(figures.ARMS), tuple(rounds["watched"])),
    "dense": chain,  # by itself with its weights,
    "deepest": replace(chain, level=rounds["depth"]),  # and this one with the masks of all
}
done = carry_out(study, plan)
tickets, arms = done["tickets"], done["arms"]
settings(chain, plan["arms"])

# %%
lth1, lth2 = study.check(claims.lth_1(tickets, arms)), study.check(claims.lth_2(tickets, arms))
lth3 = study.check(claims.lth_3(tickets))
density, reinit = figures.shares(tickets), arms.at(arm="reinit", level=D11)
gain, unfinished = lth1["gain_over_reinit_d11"], (reinit["early_step"] == reinit["steps"][-1]).mean()
study.figure(
    figures.main(tickets, arms), "lth_main", claims=["LTH-1", "LTH-2", "LTH-3"],
    alt="Accuracy and early-stop step of ticket, reinit, shuffled, random and dense nets against density.",
    caption=f"With {density[D11]:.0%} of the weights a ticket is {gain:+.1f} points from its mask with fresh weights, "
    f"{lth2['gain_over_random_d11']:+.1f} from a random mask, {lth3['gain_over_dense_d11']:+.1f} from the dense net. "
    f"There {unfinished:.0%} of the reinitialised nets were still improving at the last step.",
)  # fmt: skip

# %% [markdown]
# ### What exactly must be kept?
#
# At one density, change one thing at a time. *Finetuned* goes on from the trained weights instead of rewinding,
# *frozen* leaves cut weights at their initial values instead of zero [@zhou2019deconstructing], *keep sign* draws
# fresh sizes but keeps signs, *noise* blurs the initial weights by half or three standard deviations. *Reinit, patient*
# answers the objection that controls were stopped too early: it trains for as long as all rounds together. One cut is
# cheap where rounds are dear; to be fair, one such ticket gets the budget of all rounds. Criteria are compared so, too.

# %%
aside, dear = varied(main, side), varied(main, seeds=main.seeds[:few])
five = varied(aside, seeds=dear.seeds)
changed = "keep_sign", "signed_constant", "frozen", "noise_half", "noise_three", "finetuned"
plan = {
    "controls": Arms(chain, changed, (D11,)),
    "patient": Arms(Level(dear), ("reinit",), (D11,), length=times["reinit"]),
    "late": Arms(chain, ("ticket",), (D11,), start=times["late"]),
    "fresh": Arms(Level(aside, cut=cut), ("reinit",), (short,)),
    "quick": Level(aside, short, cut),
    "one cut": runs.OneShot(chain, arms.labels["level"]),
    "patient cut": runs.OneShot(Level(aside, cut=cut), (short,), length=times["oneshot"]),
    "criteria": runs.OneShot(Level(aside), (D21, D11), tuple(criteria)),
}
done |= carry_out(study, plan)
settings(**plan)

# %%
controls, late = done["controls"].at(level=D11), done["late"].at(arm="ticket", level=D11)
patient, fresh = (done[name].at(arm="reinit", level=k) for name, k in (("patient", D11), ("fresh", short)))
large_init = done["criteria"].at(criterion="large_init", level=D11)
lth10 = study.check(claims.lth_10(tickets, arms, controls, large_init, fresh))
lth14, lth34 = (study.check(judge(tickets, arms, controls)) for judge in (claims.lth_14, claims.lth_34))
others = {arm: controls.at(arm=arm) for arm in changed} | {"late": late, "patient": patient, "large_init": large_init}
study.figure(
    figures.controls(tickets, arms, others), "lth_ctrl", claims=["LTH-10", "LTH-14", "LTH-34"],
    alt="Accuracy of thirteen ways to start and mask a net, one row each.",
    caption=f"With {density[D11]:.1%} of the weights, a net with fresh sizes and the ticket's signs is "
    f"{lth14['keep_sign_minus_ticket']:+.1f} points from the ticket, one with fresh weights {-gain:+.1f}; "
    f"{times['reinit']} times the training brings those to {claims.accuracy(patient).mean():.1f}%.",
)  # fmt: skip
one_cut, patient_cut = (done[name].at(criterion="magnitude") for name in ("one cut", "patient cut"))
lth5 = study.check(claims.lth_5(tickets, one_cut, done["quick"], claims.end(patient_cut)))
lth11 = study.check(claims.lth_11(tickets, done["criteria"]))
study.figure(
    figures.criteria(tickets, one_cut, claims.end(patient_cut), done["criteria"]), "crit", claims=["LTH-5", "LTH-11"],
    alt="Left: iterative and one-shot pruning against density. Right: accuracy of pruning criteria.",
    caption=f"At {density[D11]:.1%}, rounds are {lth5['iterative_minus_oneshot_d11']:+.1f} points from one cut, "
    f"{lth5['iterative_minus_oneshot_equal_compute_d11']:+.1f} where that gets the budget of all rounds.",
)  # fmt: skip

# %% [markdown]
# ## 2. What a trained net looks like inside
#
# Do trained weights cluster at zero [@han2015learning]? Do the weights of a ticket move more than others? Here
# selection can fool us: whoever keeps the *largest final* weights has chosen those that moved far. The null keeps every
# movement but hands it to a random weight, then selects in the same way.
#
# And do survivors share neurons? If a ticket were a small net of a few units, its weights would crowd together. Pure
# chance gives a hypergeometric spread of survivors over units: a variance ratio of 1. A stricter null keeps how often
# each *input* is used and asks whether, given one surviving weight, its unit-mates are likelier to survive too.

# %%
cut_only = runs.Untrained(chain, tuple(range(rounds["depth"] + 1)), "magnitude", ("finetuned",))
cut_only = carry_out(study, {0: cut_only})[0].at(arm="finetuned")
weights = claims.start_and_end(main, done["dense"])
ratio, null = claims.moves(*weights, chain.cut, main.seeds)
lth33, lth9 = study.check(claims.lth_33(tickets, controls, *weights)), study.check(claims.lth_9(ratio, null))
kurtosis = [claims.kurtosis(each).mean() for each in weights]
study.figure(
    figures.inside(weights, tickets, cut_only, ratio, null), "hist", claims=["LTH-9", "LTH-33"],
    alt="Histogram of weights; accuracy with and without retraining; movement ratio against its null.",
    caption=f"The excess kurtosis is {kurtosis[0]:.2f} before training and {kurtosis[1]:.2f} after. Kept weights move "
    f"{ratio.mean():.2f} times as far as cut ones, where selection alone would give {null.mean():.2f}; the measured "
    f"ratio beats {lth9['share_of_null_below']:.0%} of the null.",
)  # fmt: skip
crowds = claims.crowding(main, done["deepest"], arms.labels["level"][1:])
lth24, lth25 = study.check(claims.lth_24(crowds)), study.check(claims.lth_25(crowds))
into, out_of = 2 ** lth24["log2_incoming_variance_ratio"], lth24["outgoing_variance_ratio"]
study.figure(
    figures.crowding(crowds, density), "concent", claims=["LTH-24", "LTH-25"],
    alt="Variance of survivors per unit over chance, into and out of units, and excess co-survival, by layer.",
    caption=f"At {density[D11]:.1%}, survivors into hidden units vary {into:.1f} times as much as chance, out of them "
    f"{out_of:.1f} times; given one, a mate's chance changes by {lth25['excess_survival_over_null']:+.0%}.",
)  # fmt: skip

# %% [markdown]
# ## 3. Nets that are never trained
#
# A mask alone can turn random weights into a classifier: cut the trained net where a weight lost its sign, put the
# initial weights back, stop. Better masks are *learned* by gradient descent on frozen weights
# [@zhou2019deconstructing], or found by edge-popup [@ramanujan2020what]. Existence is a theorem: enough random weights
# contain a sub-sum close to any target [@malach2020proving].

# %%
picture = configure(Stack, images, training, seeds=five.seeds)
nets = {w: varied(picture, init="he", hidden=[max(2, round(w * n)) for n in picture.hidden]) for w in widths}
scores, popups = varied(picture, learned), {w: varied(net, popup) for w, net in nets.items()}
kinds = [(weights, rescaled) for weights in figures.LEARNED for rescaled in (False, True)]
plan = {
    "trained": Level(picture),
    "cut": runs.Untrained(Level(picture), tuple(range(1, 16))),
    "learned": {kind: runs.Supermask(scores, "bernoulli", kind[0], rescale=kind[1]) for kind in kinds},
    "nets": {w: Level(net) for w, net in nets.items()},
    "normal": runs.Supermask(popups[max(widths)], weights="initial"),
    **{("popup", w): {k: runs.Supermask(net, keep=k) for k in (0.1, 0.3, 0.5, 0.7, 0.9)} for w, net in popups.items()},
}
done |= carry_out(study, plan)
settings(plan["cut"], learned=plan["learned"]["initial", True], popup=plan["normal"])

# %%
best, popped = claims.best_untrained(done["cut"]), stack({w: done["popup", w] for w in widths}, "width")
errors = subsetsum.errors(main.seeds, candidates := range(2, 15, 2))
lth12, lth16 = study.check(claims.lth_12(best)), study.check(claims.lth_16(candidates, errors))
lth13 = study.check(claims.lth_13(done["learned"], done["trained"]))
lth15 = study.check(claims.lth_15(popped, done["normal"], done["nets"]))
alone = figures.masks_alone(best, done["learned"], done["trained"])
reached = {name: values.mean() for name, (values, _) in alone.items()}
study.figure(
    figures.untrained(alone, popped, done["nets"], candidates, errors), "smask",
    claims=["LTH-12", "LTH-13", "LTH-15", "LTH-16"],
    alt="Untrained nets: accuracy of fixed and learned masks, edge-popup by share kept, subset-sum error.",
    caption=f"On {picture.dataset}, a fixed mask on initial weights reaches {reached['cut, initial weights']:.0f}% (at "
    f"its best density), a learned one {reached['learned, initial']:.1f}%, rescaled with a signed constant "
    f"{reached['rescaled, constant']:.1f}%, training {reached['trained weights']:.1f}%.",
)  # fmt: skip

# %% [markdown]
# ### Beside the outside world
#
# Published numbers, and ours. The public MNIST-1D notebook prunes a residual net of width 500, biases included, trained
# with Adam at 0.02; where that very protocol is not run (`mnist` does), our own net stands in and only the order can be
# compared. The fixed mask is read at its best density: the seed document names none.

# %%
own = carry_out(study, {0: configure(runs.Published, outside)}, size=1)[0] if outside and not first else None
table = figures.outside(tickets, arms, alone, own)
study.table(table, "outside")
table.set_index("quantity")

# %% [markdown]
# ## 4. Transfer, learning rates, sizes
#
# If a ticket is a property of the problem, it should serve the other half of the data [@morcos2019one], another
# optimiser, and other data of its shape. Liu and colleagues [@liu2019rethinking] object that with a well-chosen large
# rate fresh weights do as well; both train long here. A carried ticket has one training's mask, and trains as another.
#
# Does size buy tickets? If a big net is a bag of them, then tickets of equal size should be better when drawn from
# larger nets, and a *small dense* net with as many weights should lose, unless one may draw many small nets and keep
# the best on validation data.

# %%
labs = runs.transfer_labs(five, optimisers, away, fewer)
patiently = Arms(chain, ("ticket", "reinit"), (short,), length=times["reinit"])
target, starts = sizes["target"], [varied(five, hidden=units) for units in sizes["hidden"]]
weights_left = runs.weights_left(Level(dear, D11))
plan = {
    **runs.transfers(labs, cut, short),
    **{(k, "patient"): replace(patiently, source=Level(labs[k], cut=cut)) for k in ("small", "large")},
    "rates": {rate: Level(varied(labs["large"], lr=rate), cut=cut) for rate in optimisers["rates"]},
    "sizes": {runs.weights_left(Level(one)): runs.cut_to(one, target, short) for one in starts},
    "small": runs.SmallNets(dear, weights_left),
}
done |= carry_out(study, plan)
settings(carried=plan["here", "away"], small=plan["small"])

# %%
native, short_arms = ({name: done[name, kind] for name in labs if (name, kind) in done} for kind in ("native", "arms"))
lth17 = study.check(claims.lth_17(native["second"], short_arms["second"], done["first", "second"]))
there, back = ((done[pair], short_arms[pair[1]]) for pair in (("here", "away"), ("away", "here")))
by_size = {labs[name].size: claims.end(done[name, "away"], arm="ticket") for name in (*fewer, "here")}
lth18 = study.check(claims.lth_18(there, back, stack(by_size), [native["here"], native["away"]]))
across = done["other", "large"], done["large", "other"]
lth19 = study.check(claims.lth_19(native["large"], short_arms["large"], short_arms["other"], *across))
by_rate = (done[name, "patient"] for name in ("small", "large"))
lth20 = study.check(claims.lth_20(*by_rate, done["rates"], optimisers["large"]))
at_small = lth20["gain_small_minus_large_rate"] + (at_large := lth20["gain_at_large_rate"])
study.figure(
    figures.transfer(native, short_arms, done), "transfer", claims=["LTH-17", "LTH-18", "LTH-19", "LTH-20"],
    alt="Accuracy of native, carried and random sparse nets on other data and optimisers, and by learning rate.",
    caption=f"A ticket of one half of the data is {lth17['transfer_minus_native_d10']:+.1f} points from the other "
    f"half's own, {lth17['transfer_minus_random_d10']:+.1f} from a random mask; on other data a ticket is "
    f"{lth18['transfer_there_minus_random']:+.1f} from a random mask. Trained {times['reinit']} times as long, one is "
    f"{at_large:+.1f} points from fresh weights at rate {labs['large'].lr:g}, {at_small:+.1f} at "
    f"{labs['small'].lr:g}.",
)  # fmt: skip
lth8, lth35 = study.check(claims.lth_8(done["sizes"], tickets)), study.check(claims.lth_35(tickets, done["small"]))
study.figure(
    figures.sizes(done["sizes"], target, tickets, done["small"], weights_left), "lth_size", claims=["LTH-8", "LTH-35"],
    alt="Left: ticket accuracy by size of the starting net. Right: ticket against the best of K small dense nets.",
    caption=f"Doubling the starting net changes a ticket of {target:,} weights by {lth8['accuracy_size_slope']:+.2f} "
    f"points. A ticket with {weights_left:,} weights is {lth35['ticket_minus_best_of_1']:+.1f} points from one small "
    f"dense net and {lth35['ticket_minus_best_of_20']:+.1f} from the best of twenty.",
)  # fmt: skip

# %% [markdown]
# ## 5. The first steps of training
#
# Larger nets need **late rewinding**: weights go back to an early step, not to the start [@frankle2019stabilizing]. The
# explanation offered is *stability* [@frankle2020linear]: two copies trained on different orders of the data end in one
# linearly connected valley, with hardly a barrier between them. Tickets should work exactly where this holds. And what
# do shuffling or blurring weights at step 100 cost [@frankle2020early]?
#
# Two conv nets on small images come in. *Conv-2*, trained gently with Adam: do its tickets beat the dense net, and does
# the mask matter with fresh weights? A *rougher* net with batch normalisation and a very high learning rate should be
# unstable at first, as the large nets of the papers are: the place to look for late rewinding.

# %%
step, late_step, parting = times["early"], conv_times["late"], conv_times["starts"]
gentle, wild = (configure(Modules, conv, one, seeds=five.seeds) for one in (calm, rough))
gentle, wild = (Level(net, cut=configure(Cut, one)) for net, one in zip((gentle, wild), conv_cuts, strict=True))
rewound = {start: levels(replace(wild, rewind=start), 4) for start in (0, late_step)}
parted = {"whole": Level(five, cut=cut), "sparse": Level(five, short, cut)}
plan = {
    "calm": levels(gentle, 3),
    "calm arms": Arms(gentle, ("reinit", "random"), (3,), length=conv_times["arms"]),
    **{("rough", start): one for start, one in rewound.items()},
    "parted": {k: runs.Barrier(wild, k) for k in parting},
    **{("parted", start): {k: runs.Barrier(one[k], start) for k in (1, 2, 4)} for start, one in rewound.items()},
    **{name: {k: runs.Barrier(net, k, tests=1000) for k in times["starts"]} for name, net in parted.items()},
    "early": Arms(chain, ("ticket", "reshuffled", "noise_one"), (D11,), start=step),
    "flips": runs.Flips(main),
}
done |= carry_out(study, plan)
settings(gentle, rough=wild, arms=plan["calm arms"], barrier=plan["parted"][parting[0]], flips=plan["flips"])

# %%
lines, whole = {"dense": done["whole"], f"{density[D11]:.0%} kept": done["sparse"]}, done["whole"].at(level=0)
lth36 = study.check(claims.lth_36(tickets, done["early"], done["flips"], step))
bars = claims.barriers(done["whole"]).mean(0)
study.figure(
    figures.early(lines, done["flips"], tickets, done["early"], step), "early", claims=["LTH-23", "LTH-36"],
    alt="Barriers by step of parting, sign changes over training, accuracy after shuffling or blurring early weights.",
    caption=f"The dense net's barrier is {bars[0]:.1f} points if copies part at step {times['starts'][0]}, "
    f"{bars[-1]:.1f} at step {times['starts'][-1]}. Signs change {lth36['early_flip_rate_ratio']:.1f} times as often "
    f"before step {step} as after; shuffling weights there changes accuracy by {-lth36['drop_shuffled']:+.1f} points.",
)  # fmt: skip
lth4, lth6 = study.check(claims.lth_4(tickets, arms, done["calm arms"])), study.check(claims.lth_6(done["calm"]))
lth7 = study.check(claims.lth_7(done["rough", late_step], done["rough", 0], done["parted"], tickets, late))
sparse = [(done["sparse"], whole), *((done["parted", k], done["rough", 0].at(level=0)) for k in rewound)]
stable, matching = claims.stable_and_matching(sparse, tolerance)
lth23 = study.check(claims.lth_23(whole, done["parted"], stable, matching))
bars = claims.barriers(done["parted"]).mean(0)
study.figure(
    figures.conv({k: done["rough", k] for k in rewound}, done["parted"], done["calm"], done["calm arms"]), "lth_conv",
    claims=["LTH-4", "LTH-6", "LTH-7", "LTH-23"],
    alt="Conv nets: accuracy by density and rewind step, barriers by step of parting, control arms of Conv-2.",
    caption=f"Rewinding to step {late_step} changes the rough net's tickets by {lth7['cnn_late_minus_initial']:+.1f} "
    f"points; its barrier is {bars[0]:.1f} points if copies part at step {parting[0]}, {bars[-1]:.1f} if at "
    f"{parting[-1]}. Stable: {stable.sum()} of {len(stable)} sparse nets; also matching: {(stable & matching).sum()}.",
)  # fmt: skip

# %% [markdown]
# ## 6. Explore
#
# Move the density: where does the ticket lose its accuracy, where its controls, and which rows and columns empty first?

# %%
study.explorer(
    mask_explorer(*figures.explored(main, tickets, arms, done["deepest"])),
    caption="Initial weights of one net, kept ones coloured by sign and size, and the accuracy of every arm there.",
    alt="A density slider over the weight matrices of one net.",
)

# %% [markdown]
# ## Limits
#
# Small fully connected nets, and two small conv nets: the verdicts hold at this scale. Settings were chosen on seeds
# 1000–1009, verdicts come from seeds 0–9 (five where a run is dear), beside them fresh ones from 10 on. Each seed has
# MNIST-1D made for it alone; of digits it draws 40 to 70%, so there intervals say little of new data. On MNIST-1D the
# validation *loss* is least long before accuracy peaks, so the first figure shows accuracy there and at the end. Early
# stops at the last look are lower bounds. Criteria are compared after one cut, where their paper iterates. Margins of a
# point need more seeds where runs differ by two. Tried and left: torch's initialisation (tickets gain less), momentum 0
# and rate 30 for learned masks (slower to 95%); for the conv net, rates of 0.1 to 1.5 and 8 or 16 channels (no
# instability below 1, chaos above), and rewinding to 2% of the steps, too early. Mended after a first look at verdicts:
# the gate of LTH-20 asks that the tuned rate be within a point of the best on the judged seeds, too (not the very best:
# ties failed it), and that fresh weights have settled (on tuning seeds at 14% of training errors), so both arms train
# for long; masks on digits and conv arms went back to the tuned length; Fisher's p in LTH-23 cannot contradict by being
# large. The average over three densities in LTH-7 was chosen after seeing all levels on the tuning seeds. LTH-13 was
# judged twice at `mnist`: after 1,000 steps, where masks had not converged, and after 4,000.
#
# ## Exercises
#
# 1. Add `"init": "torch"` to `lab`. Which gaps shrink, and why could the initial scale matter?
# 2. `frozen` leaves cut weights where they started. Freeze only those that were moving *away* from zero. Better?
# 3. How many of the 27 claims would you still believe if the test set had chosen the early-stopping step?
# 4. The null of `concent` keeps the use of inputs. Write one that keeps the use of units instead. What must it return?

# %%
study.conclude(
    answer=f"In a net with hidden layers of {' and '.join(map(str, main.hidden))} units, tickets with "
    f"{density[D11]:.0%} of the weights are {gain:+.1f} points from their own mask with fresh weights "
    f"(LTH-1: {lth1.word}) and {lth2['gain_over_random_d11']:+.1f} from random masks (LTH-2: {lth2.word}). Fresh "
    f"sizes with the ticket's signs change it by {lth14['keep_sign_minus_ticket']:+.1f} points (LTH-14: {lth14.word}). "
    f"Finetuning the trained weights is {lth34['finetuned_minus_reinit_d10']:+.1f} points from training fresh ones "
    f"(LTH-34: {lth34.word}), {lth34['finetuned_minus_rewound_d10']:+.1f} from rewinding."
)
