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
# # Pruning: which weights can go, when, and by what criterion?
#
# **Question.** The lottery study showed *that* most weights can go. Here we ask how to choose them. Must one train
# first, or can gradients at the very start tell, or even no data at all? Does a good choice pick *weights*, or only
# how many each *layer* keeps? And what about whole units and filters, whose removal leaves a smaller dense net that any
# hardware runs faster?
#
# Thirteen claims, one rule: compare at equal numbers of weights. A criterion that keeps more in the first layer must
# beat a random mask with the *same* layer counts before we believe in its choice of weights. At laptop scale nets, data
# and seeds are those of the lottery study, whose tickets are loaded from the store, not trained again. Accuracy is read
# at the step of least validation loss, differences are paired by seed, bars are 95% intervals.

# %% [markdown]
# ## Try it yourself
#
# Three nets learn MNIST-1D. Then four fifths of each layer's weights go, the smallest or any, and both trained nets go
# on for a while. What do the same numbers of weights at other places cost? Three seeds are a sketch, no evidence.

# %%
from redlib.data import load
from redlib.nets import StackedMLP
from redlib.pruning.allocation import pruned, shuffled
from redlib.pruning.masks import apply, masks_of
from redlib.training import SGD, Examples, fit

# Change the share kept and the steps after the cut: how much must go before the choice of weights matters?
share_kept, steps_after = 0.2, 300
data = load("mnist1d")
train, test = (Examples(part.x, part.y) for part in (data.train, data.test))
how = {"optimizer": SGD(0.1, momentum=0.9), "batch_size": 100, "evaluate": {"test": test}}
whole_nets = StackedMLP.create((40, 100, 100, 10), seeds=[20_000, 20_001, 20_002], init="glorot")
fit(whole_nets, train, steps=1000, **how)
by_size = pruned(whole_nets, share_kept, every_pass=True)  # the largest weights of each layer
apply(at_random := whole_nets.clone(), shuffled(masks_of(by_size), whole_nets.seeds))  # as many, anywhere
for name, nets in {"cut by size": by_size, "cut at random": at_random}.items():
    print(name, 100 * (1 - fit(nets, train, steps=steps_after, **how).final("test_error").round(3)), "% right")

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
few = 5  # seeds of the dearer runs
lab = {"optimizer": "sgd", "lr": 0.1, "steps": 1000, "looks": 40}  # of Stack, as in the lottery study
levels = [11, 15]  # rounds of 20% whose numbers of weights are compared: about 10% and 5% kept
# One list of all weights, or equal rates in every layer?
deep = {
    "hidden": [25, 25, 50, 50, 100, 100],  # units, in layers of unlike sizes
    "init": "he",
    "lr": 0.03,
}  # what differs from lab in the deep net
even = [60, 60, 60, 60, 60, 60]  # units of another deep net, of equal layers and about as many weights
deep_cut = {"rate": 0.36, "last": 0.19}  # two rounds in one
deep_rounds = 5  # of the deep nets' chains
collapse = {}  # settings of runs.Collapse
units = {}  # settings of runs.Units
mid_training = {"lab": {"hidden": [150, 150]}, "cuts": {}}  # what differs from lab; settings of runs.MidCuts
patience = 3  # training time, in multiples, of nets that shuffling is tested on again, and of dual tickets
# The conv net whose filters are cut.
wide_seeds = 8  # its seeds
wide = {
    "validation": 200,
    "tests": 597,
    "n": 700,  # training images of a seed
    "net": "small_conv",
    "width": 10,  # filters of its first layer
    "batch": 100,
    "looks": 10,  # at its errors through training
}  # data and net
training = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0005, "drops": [0.5, 0.75], "steps": 200}  # of that net
speed = {"forward": {}, "step": {}}  # settings of runs.Forward and runs.Steps

# %%
from dataclasses import replace

import numpy as np

from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments import chain
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure, varied
from redlib.experiments.lab import Modules, Stack
from redlib.pruning.tickets import Cut
from redlib.studies.pruning import claims, figures, runs

plots.use_style()
study = Study("03_pruning", profile, first)

ways = "better", "worse", "neither clearly better nor worse"

# %% [markdown]
# ## 1. Before training: a zoo of criteria
#
# SNIP [@lee2019snip] asks how much the loss would change without a weight, GraSP [@wang2020picking] how much the
# gradient's norm would, SynFlow [@tanaka2020pruning] how much signal passes through it, magnitude how large it started.
# All four look at the untrained net and rank its weights in one list. The **ticket** has seen the whole training.
# `Zoo` masks the untrained nets by every criterion and trains them as one stack, `Level` is a round of the chain.

# %%
main = configure(Stack, lab, seeds=range(first, first + seeds))
top, sparse = chain.Level(main), levels[0]
nodes = configure(runs.Units, units, source=top)
plan = {
    "tickets": chain.levels(top, levels[-1]),  # a ticket after every round, by size after training
    "zoo": runs.Zoo(top, tuple(levels)),  # nets masked before training by every criterion
    # trained nets of which half of the units go, by activity, by size or at random, trained on for a quarter as long
    "cut units": replace(nodes, criteria=("apoz", "l2", "random"), kept=(0.5,), start="trained", length=0.25),
}
done = carry_out(study, plan)
tickets, zoo = done["tickets"], done["zoo"]
density = tickets["density"].mean(0)
settings(plan["zoo"], plan["cut units"])

# %%
lth27 = study.check(claims.lth_27(zoo, tickets, done["cut units"]))
early_nets = {name: zoo.at(criterion=name, level=sparse, arm="ticket") for name in (*claims.BEFORE, "random")}
reached = {name: claims.accuracy(found).mean() for name, found in early_nets.items()}
best, ticket = max(claims.BEFORE, key=reached.get), claims.accuracy(tickets.at(level=sparse)).mean()
over = sum(lth27.side(f"{name}_minus_random_d10", 1, 0, 0) for name in claims.BEFORE)
denser = claims.accuracy(zoo.at(criterion="erk", level=sparse, arm="ticket")).mean()
past = sum(reached[name] > denser + 1 for name in claims.BEFORE)
behind = sum(lth27.side(f"iterative_minus_{name}_d10", 1, 0, 0) for name in claims.BEFORE)
active, large = (lth27[f"{name}_units_minus_random_units"] for name in ("activation", "size"))
study.figure(
    figures.zoo(zoo, tickets), "zoo", claims=["LTH-27"],
    alt="Accuracy of seven ways to choose a sparse net, one row each, at two densities.",
    caption=f"With {density[sparse]:.0%} kept, tickets reach {ticket:.1f}%, the best criterion before training "
    f"({figures.called(best)}) {reached[best]:.1f}%, random masks {reached['random']:.1f}% "
    f"where every layer keeps the same share and {denser:.1f}% where small layers keep more.",
    meaning=f"Of {len(claims.BEFORE)} criteria that look at the untrained net, {over} clearly beat random masks of "
    f"equal shares, {past} end more than a point above those that spare small layers, {behind} are clearly behind "
    f"tickets. A ticket has seen {sparse} trainings, a criterion one look or none: what is compared is knowledge, not "
    f"cost. Not drawn: of trained nets' units, the most active are {active:+z.1f} "
    f"points from random ones, the largest {large:+z.1f}.",
)  # fmt: skip

# %% [markdown]
# ### Do they choose weights, or layers?
#
# Shuffle each layer's mask. If accuracy stays, the criterion had only set the layers' *densities* [@frankle2021pruning;
# @su2020sanity]; their nets are convolutional, ours are fully connected, and an input layer with empty pixels may not
# forgive it. A ticket should lose by it, since its mask and its initial values belong together. A net that had not
# enough time would lose for another reason: two criteria train on for longer.

# %%
plan = {
    "changed": runs.Zoo(top, (sparse,), claims.BEFORE, ("shuffled", "reinit")),  # the criteria's nets, changed
    "arms": chain.Arms(top, ("shuffled", "reinit"), (sparse,)),  # the tickets, changed
    # two criteria and their shuffled masks, trained for longer
    "patient": runs.Zoo(top, (sparse,), ("snip", "synflow"), ("ticket", "shuffled"), length=patience),
}
done |= carry_out(study, plan)
lth28 = study.check(claims.lth_28(zoo, done["changed"], tickets, done["arms"]))
settings(*plan.values())

# %%
titles = {"shuffled": "Mask shuffled within layers", "reinit": "Fresh weights"}
lost = {arm: claims.changes(zoo, done["changed"], tickets, done["arms"], arm) for arm in titles}
longer = done["patient"].at(level=sparse)
later = {name: longer.at(criterion=name) for name in longer.labels["criterion"]}
later = {name: claims.gap(one.at(arm="shuffled"), one.at(arm="ticket")).mean() for name, one in later.items()}
moved = ", ".join(f"{figures.called(name)} by {lost['shuffled'][name].mean():+z.1f}" for name in claims.BEFORE)
harmed = [name for name in claims.BEFORE if lth28.side(f"{name}_shuffled_minus_original", False, True, False)]
choose = f"it harms {len(harmed)} of {len(claims.BEFORE)}" if harmed else "it clearly harms none"
study.figure(
    figures.shuffles({title: lost[arm] for arm, title in titles.items()}), "zoo_shuf", claims=["LTH-28"],
    alt="Change of accuracy when masks are shuffled or weights drawn anew, for four criteria and tickets.",
    caption=f"In points, shuffling changes {moved}; a ticket by {lost['shuffled']['ticket'].mean():+z.1f}. Trained "
    f"{patience} times as long, SNIP changes by {later['snip']:+z.1f} and SynFlow by {later['synflow']:+z.1f}.",
    meaning="The source says that shuffling does such criteria no harm, for they choose the layers' densities only. "
    f"Here {choose} (LTH-28: {lth28.word}). How much does a criterion owe to its weights? {figures.called(best)} ends "
    f"{reached[best] - reached['random']:+z.1f} points from random masks, and shuffling changes it by "
    f"{lost['shuffled'][best].mean():+z.1f}; longer training tells how much of that is time.",
)  # fmt: skip

# %% [markdown]
# ### Layer collapse
#
# One list for all layers can empty one of them, and then nothing passes. SynFlow re-ranks step by step, so that a thin
# layer's weights gain value as they become few. We prune an untrained deep net to ever fewer weights and note where a
# layer dies; nothing is trained here.

# %%
emptying = configure(runs.Collapse, collapse, lab=varied(main, hidden=(100,) * 6))
done |= carry_out(study, {"collapse": emptying})
lth29 = study.check(claims.lth_29(done["collapse"]))
at = np.exp(np.log(claims.collapse_densities(done["collapse"])).mean(0))
dies = ", ".join(f"{where:.2%} ({figures.called(name)})" for name, where in zip(emptying.criteria, at, strict=True))
far = "far below" if at.max() < density[sparse] / 5 else "not far from"
study.figure(
    figures.collapse(done["collapse"]), "collapse", claims=["LTH-29"],
    alt="Left: density of each layer at 10% in all. Right: density at which a layer is first emptied, by criterion.",
    caption=f"A layer is emptied at a density of {dies}; geometric means over seeds.",
    meaning="Where all weights stand in one list, the layer with the lowest scores pays for all. SynFlow ranks anew "
    f"after every small cut: does that take it further (LTH-29: {lth29.word})? The first criterion to lose a layer "
    f"does so at {at.max():.2%}, {far} the densities that the other figures compare.",
)  # fmt: skip

# %% [markdown]
# ### One list or equal rates?
#
# For tickets the same choice exists: rank the whole net, or each layer by itself. Beside it, how much the *trained* net
# loses when a single layer is cut and nothing is retrained. Deep nets have a chain of their own for each ranking: one
# has layers of unlike sizes, as the papers' nets have, where equal rates may starve small ones, one has equal layers.

# %%
cut = configure(Cut, deep_cut)
deeper = chain.Level(varied(main, deep, seeds=main.seeds[:few]), cut=cut)
last = {"deep": deeper, "even": replace(deeper, lab=varied(deeper.lab, hidden=even))}
last = {name: replace(one, level=deep_rounds) for name, one in last.items()} | {"own": replace(top, level=sparse)}
plan = {"dense": deeper, "sensitivity": runs.Sensitivity(top)}  # the deep net; ours with one layer cut
plan |= {(name, "layers"): one for name, one in last.items()}  # three nets pruned layer by layer,
plan |= {(name, "list"): replace(one, cut=replace(one.cut, ranking="net")) for name, one in last.items()}  # or at once
done |= carry_out(study, plan)
pairs = {name: {ranking: done[name, ranking] for ranking in ("list", "layers")} for name in last}
lth30 = study.check(claims.lth_30(deeper.lab, pairs, deep_rounds, done["dense"]))
lth40 = study.check(claims.lth_40(done["sensitivity"], tickets.at(level=0)))
settings(deep=plan["deep", "list"], even=plan["even", "list"])

# %%
starved = [claims.masks(deeper.lab, one, deep_rounds)["layer1"].double().mean() for one in pairs["deep"].values()]
one_list = lth30.side("deep_global_minus_layerwise", *ways)
for_even = lth30.side("even_deep_global_minus_layerwise", *ways)
most = "more" if starved[0] > starved[1] else "less"
study.figure(
    figures.layerwise(done["sensitivity"], pairs), "layerwise", claims=["LTH-30", "LTH-40"],
    alt="Left: accuracy after cutting one layer of a trained net. Right: tickets from one list and from equal rates.",
    caption=f"One list is {lth30['deep_global_minus_layerwise']:+z.1f} points from equal rates in the deep net, "
    f"{lth30['even_deep_global_minus_layerwise']:+z.1f} in one of equal layers and "
    f"{lth30['lenet_global_minus_layerwise']:+z.1f} in ours. In the deep net the list keeps {starved[0]:.1%} of the "
    f"first layer, equal rates {starved[1]:.1%}. Cutting our first layer alone to a tenth, without retraining, "
    f"changes accuracy by {lth40['first_layer_cut_minus_whole_net_d10']:+z.1f} points.",
    meaning=f"In the deep net of unlike layers one list is {one_list} than equal rates, in that of equal layers "
    f"{for_even}. What one list can gain, it gains by sparing layers: here it leaves the first one {most} than equal "
    "rates do. How a net's weights start (the scale falls with the inputs of a layer) decides who stands low in it.",
)  # fmt: skip

# %% [markdown]
# ## 2. While training: squeeze before you cut
#
# Dual tickets [@bai2022dual] turn the order round. Draw a *random* mask, shrink the doomed weights slowly by a growing
# penalty while the whole net trains, so that what they know may move into the others, then cut. This costs extra
# training, so the fair opponent is a random mask that trains as long. After the cut all train for longer than in
# section 1, for what is left learns slowly. Source S3 says that dual tickets are at most .6 points better than tickets,
# and both as good as the whole net.
#
# The claim about mid-training [@bartoldson2020generalization] is bold: cutting the *largest* units is a kind of noise,
# and what destabilises more should generalise better. Its test is the within-seed correlation between the accuracy
# lost at the cut and the accuracy at the end.

# %%
larger = varied(main, mid_training["lab"])
plan = {
    "extrusion": runs.Extrusion(top, sparse, after=patience),  # squeezed nets, random masks, tickets
    "mid": configure(runs.MidCuts, mid_training["cuts"], lab=larger),  # units cut while a larger net trains
}
done |= carry_out(study, plan)
lth31 = study.check(claims.lth_31(done["extrusion"]))
lth39 = study.check(claims.lth_39(done["extrusion"], tickets.at(level=0)))
lth26 = study.check(claims.lth_26(done["mid"]))
settings(*plan.values())

# %%
squeezed = lth31.side("extruded_minus_random", *ways)
fairly = lth31.side("extruded_minus_budget_matched_random", *ways)
ends = lth26.side("largest_minus_unpruned", *ways)
study.figure(
    figures.while_training(done["extrusion"], done["mid"]), "dlth", claims=["LTH-26", "LTH-31", "LTH-39"],
    alt="Left: accuracy of squeezed, random and ticket masks. Right: final accuracy after units were cut.",
    caption=f"Squeezing ends {lth31['extruded_minus_random']:+z.1f} points from the same random mask, "
    f"{lth31['extruded_minus_budget_matched_random']:+z.1f} at equal budget, and "
    f"{lth31['extruded_minus_ticket']:+z.1f} from tickets, which, trained {patience} times as long, are "
    f"{lth39['ticket_minus_whole_net']:+z.1f} from the whole net. Cutting the largest units in mid-training ends "
    f"{lth26['largest_minus_unpruned']:+z.1f} points from no cut.",
    meaning=f"Squeezed masks are {squeezed} than the same masks cut at once, and {fairly} than those that trained as "
    f"long: equal budgets decide what is left of the idea (LTH-31: {lth31.word}). Nets that lost their largest units "
    f"end {ends} than whole ones (LTH-26: {lth26.word}); the paper's were larger and trained far longer, so that a "
    "jolt could pay.",
)  # fmt: skip

# %% [markdown]
# ## 3. Whole units and filters
#
# Do "trainable units" exist as trainable weights do? Size, gradient and Taylor scores [@molchanov2017pruning] choose
# units; the rest is rewound to its initial values and trained, beside single weights at equal counts. For filters, Liu
# and colleagues [@liu2019rethinking] say that the small net may as well be trained from scratch, Li and colleagues
# [@li2017pruning] that fine-tuning is better. The smaller conv nets are built with
# fewer filters, not masked.
#
# Source S0 guesses why tickets may not exist among units: size does not find them (LTH-22); whole units are too coarse
# a choice (LTH-37); or units can go at low rates only, where a small net reaches the same loss anyway (LTH-38).

# %%
wide_lab = configure(Modules, wide, training, seeds=range(first, first + wide_seeds))
whole = chain.Level(wide_lab)
plan = {"units": nodes, "wide": whole}  # nets with fewer units; the whole conv net
plan |= {share: runs.FilterCuts(whole, share) for share in (0.7, 0.5)}  # with these shares of its filters
done |= carry_out(study, plan)
by_share = {share: done[share] for share in (0.7, 0.5)}
lth22 = study.check(claims.lth_22(done["units"], tickets.at(level=0)))
own = claims.masks(main, done["own", "layers"], sparse)
lth37 = study.check(claims.lth_37(own, done["units"], tickets.at(level=0)))
lth38 = study.check(claims.lth_38(done["units"], tickets.at(level=0), done["wide"], by_share[0.7]))
lth21 = study.check(claims.lth_21(done["wide"], by_share))
settings(nodes, plan[0.7])

# %%
single = -lth22["units_minus_single_weights"]
by_size_is = lth22.side("size_minus_random", *ways)
singly = lth37.side("single_weights_minus_units", *ways)
all_reached = lth37["share_of_units_with_weights_d10"] == 1
thins = "thins out all units and drops none" if all_reached else "drops some units and thins out the others"
study.figure(
    figures.units(done["units"], done["wide"], by_share), "unit_tix", claims=["LTH-21", "LTH-22", "LTH-37", "LTH-38"],
    alt="Left: accuracy against share of units kept. Right: fine-tuning, scratch and ticket for pruned filters.",
    caption=f"With half of the units left, those chosen by size are {lth22['size_minus_random_p50']:+z.1f} points from "
    f"random ones; single weights are {single:+z.1f} points from units on average. A ticket of single weights has some "
    f"left in {lth37['share_of_units_with_weights_d10']:.0%} of all units.",
    meaning=f"Units chosen by size are {by_size_is} than random ones, single weights {singly} than as many in whole "
    f"units; a ticket {thins}. For filters, says the source, training the small net from scratch is as good as "
    f"fine-tuning (LTH-21: {lth21.word}): where that holds, pruning is a search for a shape. Whether units can go at "
    f"low rates only, and need no ticket there, is judged by LTH-38: {lth38.word}.",
)  # fmt: skip

# %% [markdown]
# ## 4. What is gained in time and memory?
#
# A mask makes nothing faster: the zeros are multiplied like any other number. Removing units gives a smaller dense net;
# removing weights needs a sparse format, whose bookkeeping pays only when few are left, or a kernel that trains the net
# as a graph of its live weights, as this library does. All times are medians of interleaved runs on one thread, and
# nothing else runs meanwhile.

# %%
repeated = {"seeds": range(first, first + few)}  # of each a net of its own
timed = {
    "forward": configure(runs.Forward, repeated, speed["forward"]),
    "steps": configure(runs.Steps, repeated, speed["step"]),
}
for name, one in timed.items():  # one after the other: work beside them would be timed as well
    done |= carry_out(study, {name: one}, size=len(one.seeds), label=name)
lth32 = study.check(claims.lth_32(done["forward"], done["steps"]))
settings(**timed)

# %%
below = [lth32[part] for part in ("sparse_crossover_density", "sparse_step_crossover")]
below = [f"below a density of {one:.2f}" if np.isfinite(one) else "at no density tried" for one in below]
study.figure(
    figures.speed(done["forward"], done["steps"]), "speed", claims=["LTH-32"],
    alt="Forward speed-up and time of a training step against density by execution; bytes of the storage formats.",
    caption=f"Without half of its units a net takes 1/{lth32['half_units_speedup']:.1f} of the time, with a mask alone "
    f"1/{lth32['masked_dense_speedup']:.2f}. CSR is faster than the dense net {below[0]}. With a tenth of the weights "
    f"a step on live weights alone takes 1/{lth32['sparse_step_speedup']:.1f} of the dense one's time; it takes less "
    f"{below[1]}.",
    meaning="Counting the weights that are gone says nothing about time: with the same weights gone, a mask, a "
    f"sparse format and a smaller dense net take three different times (LTH-32: {lth32.word}). Where the sparse step "
    "lies above the dash-dotted line of the middle panel, it takes more than its share of weights: the price of "
    "bookkeeping.",
)  # fmt: skip

# %% [markdown]
# ## Limits
#
# - **Scale.** Nets of this size train in seconds and have layers of a hundred units; the papers' nets are deep and
#   convolutional, where layer densities matter more and one list helps more.
# - **Shape.** What one list gains hangs on it: LTH-30 is judged on layers of unlike sizes, and at `mnist` was judged on
#   six equal ones before (contradicted).
# - **Criteria.** SNIP and GraSP see ten examples of each class, as their papers do. All criteria before training share
#   one list over all layers; random masks keep equal shares, or (small layers denser) those of sparse random graphs,
#   in which every unit has about as many links. Units are cut at equal shares in every hidden layer. A dual
#   ticket's doomed weights shrink in as many steps as one training has.
# - **Power.** That a change does no harm, within one point, needs more seeds where accuracy varies by two.
# - **Tried and left on the tuning seeds.** Cutting the largest units of 100-100 nets at .3 to .67 of the training (they
#   lose more), rates of .1 and Glorot in the deep net (hard to train), half as long a squeeze, fine-tuning filters at
#   lower rates (recovers less), 300 images for the conv net (intervals of three points).
# - **Speed** is measured on one thread of one machine; CSR with activations in the layout it likes, training with
#   momentum at batch 128 on masks that keep the largest initial weights.
# - **Data.** Each seed has MNIST-1D made for it alone to train on; for the conv net it draws 700 of 1,000 images, so
#   there intervals say little of new ones.
#
# ## Exercises
#
# 1. Give `random` the layer counts of SNIP. How much of SNIP's advantage is left? *Hint: `random_masks` takes counts;
#    compare with SNIP's shuffled mask in `zoo_shuf`. Must the two agree?*
# 2. SynFlow sees no data. Feed it a net with a dead layer: which weights does it keep, and why? *Hint: its score is a
#    weight's part in the sum over all paths; how many paths are left?*
# 3. At which density would a kernel that handles 2 of 4 weights beat CSR in memory? Read it off the last figure. *Hint:
#    it stores half of the weights and two bits of place for each, whatever the density.*
# 4. Cut the largest units later (`events` of `mid_training`). Does the correlation of LTH-26 grow? *Hint: a late cut
#    costs more and leaves less time to win it back; which of the two does the correlation see?*

# %%
ahead = min(lth27[f"iterative_minus_{name}_d10"] for name in claims.BEFORE)
left = np.mean([lost["shuffled"][name].mean() for name in claims.BEFORE])
choice = "is only", "is in part", "is more than", "may be only"
study.conclude(
    answer=f"Which weights to cut? With {density[sparse]:.0%} of them left, tickets found by training in rounds end "
    f"{ahead:+z.1f} points or more from every criterion that looks at the untrained network (LTH-27: {lth27.word}). "
    f"What those criteria choose {lth28.tells(*choice)} how many weights each layer keeps: dealing their masks anew "
    f"within each layer changes accuracy by {left:+z.1f} points on average (LTH-28: {lth28.word}). Squeezing doomed "
    f"weights to zero first ends {lth31['extruded_minus_random']:+z.1f} points from cutting the same random ones "
    f"(LTH-31: {lth31.word}). Time is saved where whole units go: without half of them a network takes "
    f"1/{lth32['half_units_speedup']:.1f} of it (LTH-32: {lth32.word})."
)
