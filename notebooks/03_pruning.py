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
# **Question.** The lottery study showed *that* most weights can go. Here we ask how to choose them. Must one train first, or can gradients at
# the very start tell, or even no data at all? Does a good choice pick *weights*, or only how many each *layer* keeps? And
# what about whole units and filters, the only kind of pruning that ordinary hardware turns into speed?
#
# Ten claims, one rule: compare at equal numbers of weights. A criterion that keeps more in the first layer must beat a random mask
# with the *same* layer counts before we believe in its choice of weights. Nets, data and seeds are those of the lottery study; its tickets are
# loaded from the store, not trained again. Accuracy is read at the step of least validation loss, differences are paired by seed, bars are 95% intervals.

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed
few = 5  # seeds of the dearer runs
lab = {}  # settings of tickets.Lab, as in the lottery study
levels = [11, 15]  # rounds of 20% whose numbers of weights are compared: about 10% and 5% kept
deep = {"hidden": [25, 25, 50, 50, 100, 100], "init": "he", "lr": 0.03}  # what differs from lab in the deep net
deep_rounds = 5  # of 36% (output layer 19%)
collapse = {}  # settings of pruning.Collapse
units = {}  # settings of pruning.Units
mid_training = {"lab": {"hidden": [150, 150]}, "cuts": {}}  # what differs from lab; settings of pruning.MidCuts
patience = 3  # training time, in multiples, of nets that shuffling is tested on again
extrusion = {}  # settings of pruning.Extrusion
filters = {"seeds": 8, "net": {}}  # the conv net whose filters are cut: seeds, settings of ConvLevel
speed = {"forward": {}, "step": {}}  # settings of pruning_speed.SpeedConfig and step_speed.StepSpeed

# %%
from dataclasses import replace

import numpy as np

from redlib.evidence.study import Study
from redlib.measures import cost
from redlib.report import plots
from redlib.studies import configure, pruning, pruning_conv, pruning_speed, step_speed, tickets, tickets_conv
from redlib.studies import pruning_speed_statistics as sstat
from redlib.studies import pruning_statistics as ps
from redlib.studies import tickets_plan as plan
from redlib.studies import tickets_statistics as ts
from redlib.studies.experiments import carry_out

plots.use_style()
study = Study("03_pruning", profile)

# %%
main = configure(tickets.Lab, lab, seeds=range(first, first + seeds))
top, sparse = tickets.Level(main), levels[0]
deeper = tickets.Level(configure(tickets.Lab, lab, deep, seeds=main.seeds[:few]), rate=0.36, last=0.19)
runs = plan.levels("main", top, levels[-1]) | plan.levels("deep", deeper, deep_rounds)
runs |= plan.levels("whole", replace(top, whole=True), sparse) | plan.levels("deep whole", replace(deeper, whole=True), deep_rounds)
runs["zoo"] = pruning.Zoo(top, tuple(levels))
runs["changed"] = pruning.Zoo(top, (sparse,), ps.BEFORE, ("shuffled", "reinit"))
runs["ticket arms"] = tickets.Arms(top, ("shuffled", "reinit"), (sparse,))
runs["units"] = configure(pruning.Units, units, source=top)
runs["cut units"] = replace(runs["units"], criteria=("apoz", "l2", "random"), kept=(0.5,), start="trained", length=0.25)
runs["patient"] = pruning.Zoo(top, (sparse,), ("snip", "synflow"), ("ticket", "shuffled"), length=patience)
runs["mid"] = configure(pruning.MidCuts, mid_training["cuts"], lab=configure(tickets.Lab, lab, mid_training["lab"], seeds=main.seeds))
runs["collapse"] = configure(pruning.Collapse, collapse, lab=replace(main, hidden=(100,) * 6))
runs["sensitivity"] = pruning.Sensitivity(top)
runs["extrusion"] = configure(pruning.Extrusion, extrusion, source=top, level=sparse)

# %%
data = tickets.dataset(main)
done = carry_out(study, tickets.run, runs, data)
density = ts.densities(main, range(levels[-1] + 1))

# %% [markdown]
# ## 1. Before training: a zoo of criteria
#
# SNIP [@lee2019snip] asks how much the loss would change without a weight, GraSP [@wang2020picking] how much the gradient's norm would, SynFlow [@tanaka2020pruning] how much
# signal passes through it, magnitude how large it started. All four look at the untrained net and rank its weights in one list. The **ticket** has seen the whole training.

# %%
zoo, found = runs["zoo"], done["zoo"]
chosen = [done[f"main {level}"] for level in levels]
claim = ps.zoo_claim(zoo, found, chosen) | ps.units_claim(runs["cut units"], done["cut units"])
lth27 = study.check("LTH-27", per_seed=claim, adequacy=ps.learns(dense_net=done["main 0"]))
fig, axes = plots.panels(2, width=11.5, height=4)
colours = {"ticket": "blue", "snip": "orange", "grasp": "purple", "synflow": "green", "magnitude": "gold", "erk": "grey", "random": "grey"}
for ax, level, ticket in zip(axes, levels, chosen, strict=True):
    values = {"ticket": ts.accuracy(ticket)} | {name: ps.cell(zoo, found, name, level) for name in zoo.criteria}
    plots.dot_rows(ax, {name: (values[name], colour) for name, colour in colours.items()}, "test accuracy (%)", zero=values["random"].mean())
    ax.set_title(f"{density[level]:.0%} of the weights kept")
behind = [claim[f"iterative_minus_{name}_d10"].mean() for name in ps.BEFORE]
best = max(ps.BEFORE, key=lambda name: ps.cell(zoo, found, name, sparse).mean())
study.figure(fig, "zoo", claims=["LTH-27"], alt="Accuracy of seven ways to choose a sparse net, one row each, at two densities.", caption=
    f"With {density[sparse]:.0%} kept, tickets reach {ts.accuracy(chosen[0]).mean():.1f}%, the best criterion before training ({best}) {ps.cell(zoo, found, best, sparse).mean():.1f}%, "
    f"random masks {ps.cell(zoo, found, 'random', sparse).mean():.1f}%.")  # fmt: skip

# %% [markdown]
# ### Do they choose weights, or layers?
#
# Shuffle each layer's mask. If accuracy stays, the criterion had only set the layers' *densities*
# [@frankle2021pruning; @su2020sanity]. A ticket should lose by it, since its mask and its initial values belong together.

# %%
ticket = ts.accuracy(chosen[0])
shuffle = {"original": (zoo, found), "changed": (runs["changed"], done["changed"])}
moved = [ps.shuffle_claim(*shuffle.values(), ticket, ts.accuracy(done["ticket arms"], k, 0), arm) for k, arm in enumerate(("shuffled", "reinit"))]
lth28 = study.check("LTH-28", per_seed=moved[0], adequacy=ps.learns(dense_net=done["main 0"]))

# %%
fig, axes = plots.panels(2, width=11.5)
for ax, values, title in zip(axes, moved, ("Mask shuffled within layers", "Fresh weights"), strict=True):
    rows = {name.split("_")[0].replace("iterative", "ticket"): change for name, change in values.items()}
    plots.dot_rows(ax, {name: (change, colours[name]) for name, change in rows.items()}, "change of accuracy (points)", zero=0)
    ax.set_title(title)
lost = {name: change.mean() for name, change in moved[0].items()}
slow = {arm: {name: ps.cell(runs["patient"], done["patient"], name, sparse, arm).mean() for name in ("snip", "synflow")} for arm in ("ticket", "shuffled")}
later = {name: slow["shuffled"][name] - slow["ticket"][name] for name in slow["ticket"]}
study.figure(fig, "zoo_shuf", claims=["LTH-28"], alt="Change of accuracy when masks are shuffled or weights drawn anew, for four criteria and tickets.", caption=
    f"Shuffling changes SNIP by {lost['snip_shuffled_minus_original']:+.1f} points, GraSP by {lost['grasp_shuffled_minus_original']:+.1f}, SynFlow by {lost['synflow_shuffled_minus_original']:+.1f}, "
    f"magnitude by {lost['magnitude_shuffled_minus_original']:+.1f}; a ticket by {lost['iterative_shuffled_minus_original']:+.1f}. Trained {patience} times as long, SNIP changes by "
    f"{later['snip']:+.1f} and SynFlow by {later['synflow']:+.1f}.")  # fmt: skip

# %% [markdown]
# ### Layer collapse
#
# One list for all layers can empty one of them, and then nothing passes. SynFlow re-ranks step by step, so that a thin layer's
# weights gain value as they become few. We prune an untrained deep net to ever fewer weights and note where a layer dies.

# %%
crash = ps.collapse_claim(done["collapse"])
lth29 = study.check("LTH-29", per_seed=crash)
fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
share = ps.layer_densities(done["collapse"], 0.1)
names = [*runs["collapse"].criteria, "synflow"]
for k, name in enumerate(names):
    plots.band(left, range(1, share.shape[2] + 1), 100 * np.maximum(share[:, k], 1e-4), name, colours[name], seeds=False)
left.set(xlabel="layer", ylabel="weights kept (%)", title="Who gets the weights at 10%"), left.legend()
at = ps.collapse_weights(done["collapse"]) / done["collapse"]["weights"][0]
plots.dot_rows(right, {name: (np.log10(at[:, k]), colours[name]) for k, name in enumerate(names)}, "log10 of the density at which a layer is empty"), right.set_title("Where a layer dies")
study.figure(fig, "collapse", claims=["LTH-29"], alt="Left: density of each layer at 10% in all. Right: density at which a layer is first emptied, by criterion.", caption=
    "A layer is emptied at a density of " + ", ".join(f"{at[:, k].mean():.2%} ({name})" for k, name in enumerate(names)) + ".")  # fmt: skip

# %% [markdown]
# ### One list or equal rates?
#
# For tickets the same choice exists: rank the whole net, or each layer by itself. Beside it, how much the *trained* net loses when a
# single layer is cut and nothing is retrained.

# %%
pairs = [(done[f"deep whole {deep_rounds}"], done[f"deep {deep_rounds}"]), (done[f"whole {sparse}"], done[f"main {sparse}"])]
claim = ps.depth_claim(*pairs, ps.emptied(deeper.lab, pairs[0][0], deep_rounds))
starved = [ps.first_layer_kept(deeper.lab, ticket, deep_rounds) for ticket in pairs[0]]
lth30 = study.check("LTH-30", per_seed=claim, adequacy=ps.learns(deep_net=done["deep 0"]))
fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
cut, grid = 100 * done["sensitivity"]["cut_error"], runs["sensitivity"].densities
for k, colour in zip(range(cut.shape[1]), ("blue", "orange", "green"), strict=False):
    plots.band(left, grid, 100 - cut[:, k], f"layer {k + 1} alone", colour, seeds=False)
left.set(ylabel="test accuracy (%)", title="Cut one layer, no retraining"), left.legend()
plots.density_axis(left, grid)

# %%
rows = {"deep net, one list": (ts.accuracy(pairs[0][0]), "blue"), "deep net, layer by layer": (ts.accuracy(pairs[0][1]), "orange")}
rows |= {"our net, one list": (ts.accuracy(pairs[1][0]), "blue"), "our net, layer by layer": (ts.accuracy(pairs[1][1]), "orange")}
plots.dot_rows(right, rows, "test accuracy (%)"), right.set_title("Tickets, retrained")
study.figure(fig, "layerwise", claims=["LTH-30"], alt="Left: accuracy after cutting one layer of a trained net. Right: tickets from global and layer-wise pruning.", caption=
    f"One list beats equal rates by {claim['deep_global_minus_layerwise'].mean():+.1f} points in the deep net and {claim['lenet_global_minus_layerwise'].mean():+.1f} in ours. "
    f"In the deep net the list leaves {starved[0].mean():.1f}% of the first layer, equal rates {starved[1].mean():.1f}%: weights from many inputs start small.")  # fmt: skip

# %% [markdown]
# ## 2. While training: squeeze before you cut
#
# Dual tickets [@bai2022dual] turn the order round. Draw a *random* mask, shrink the doomed weights slowly by a growing penalty while the whole net trains, so
# that what they know may move into the others, then cut. This costs extra training, so the fair opponent is a random mask that trains as long.

# %%
claim = ps.extrusion_claim(done["extrusion"])
lth31 = study.check("LTH-31", per_seed=claim, adequacy=ps.extrusion_works(done["extrusion"]))
arms = ps.by_arm(done["extrusion"], pruning.EXTRUSION_ARMS)
tints = dict.fromkeys(arms, "grey") | {"extruded": "purple", "ticket": "blue"}
mid, cuts = runs["mid"], done["mid"]
claim26 = ps.mid_cuts_claim(mid, cuts)
lth26 = study.check("LTH-26", per_seed=claim26, adequacy=ps.cuts_disturb(mid, cuts))

# %%
fig, (left, right) = plots.panels(2, width=11.5, height=3.6)
plots.dot_rows(left, {name.replace("_", ", "): (values, tints[name]) for name, values in arms.items()}, "test accuracy (%)")
final = ts.at_end(cuts)
labels = ["none", *(f"{choice}, {kept:.0%} kept" for choice in mid.choices for kept in mid.kept)]
rows = {label: (final[:, k], "grey" if k == 0 else "orange" if "largest" in label else "sky") for k, label in enumerate(labels)}
plots.dot_rows(right, rows, "final test accuracy (%)", zero=final[:, 0].mean())
left.set_title("Squeezed, then cut"), right.set_title("Units cut in mid-training")
study.figure(fig, "dlth", claims=["LTH-26", "LTH-31"], alt="Left: accuracy of extruded, random and ticket masks. Right: final accuracy after cutting largest, smallest or random units.", caption=
    f"Squeezing gains {claim['extruded_minus_random'].mean():+.1f} points over the same random mask, {claim['extruded_minus_budget_matched_random'].mean():+.1f} at equal budget, and ends "
    f"{claim['extruded_minus_ticket'].mean():+.1f} from tickets. Cutting the largest units in mid-training ends {claim26['largest_minus_unpruned'].mean():+.1f} points from not cutting.")  # fmt: skip

# %% [markdown]
# The claim about mid-training [@bartoldson2020generalization] is bold: cutting the *largest* units is a kind of noise, and what destabilises more should
# generalise better. Its test is the within-seed correlation between the accuracy lost at the cut and the accuracy at the end.
#
# ## 3. Whole units and filters
#
# Do "trainable units" exist as trainable weights do? Size, gradient and Taylor scores [@molchanov2017pruning] choose units; the rest is rewound to its
# initial values and trained, beside single weights at equal counts. For filters, Liu and colleagues
# [@liu2019rethinking] say that the small net may as well be trained from scratch, Li and colleagues [@li2017pruning] that fine-tuning is better.

# %%
nodes, kinds = runs["units"], done["units"]
claim = ps.unit_tickets_claim(nodes, kinds)
lth22 = study.check("LTH-22", per_seed=claim, adequacy=ps.learns(dense_net=done["main 0"]))
base = configure(tickets_conv.ConvLevel, vars(pruning_conv.WIDE), filters["net"], seeds=range(first, first + filters["seeds"]))
cuts = {kept: pruning_conv.FilterCuts(base, kept) for kept in (0.7, 0.5)}
pictures = tickets_conv.dataset(base)
thin = carry_out(study, tickets_conv.run, {"wide": base} | {str(kept): config for kept, config in cuts.items()}, pictures)
by_share = {kept: thin[str(kept)] for kept in cuts}
lth21 = study.check("LTH-21", per_seed=ps.filters_claim(by_share), adequacy=ps.filters_matter(thin["wide"], by_share))

# %%
fig, (left, right) = plots.panels(2, width=11.5, height=4)
colours = {"weights": "blue", "l2": "orange", "gradient": "purple", "taylor": "green", "random": "grey"}
for name in nodes.criteria:
    values, colour = ts.accuracy(kinds, nodes.criteria.index(name)), colours[name]
    plots.band(left, nodes.kept, values, "single weights" if name == "weights" else f"units by {name}", colour, seeds=False)
left.set(ylabel="test accuracy (%)", title="Rewound and retrained"), left.legend()
plots.density_axis(left, nodes.kept, "hidden units kept (%)")
rows = {"whole net": (ts.at_end(thin["wide"]), "grey")}
for kept, results in by_share.items():
    own = ps.by_arm(results, pruning_conv.ARMS, "final")
    rows |= {f"{kept:.0%}: {arm.replace('_', ', equal ')}": (values, "orange" if arm == "finetune" else "blue") for arm, values in own.items()}
plots.dot_rows(right, rows, "test accuracy (%)"), right.set_title("Filters of a conv net")
study.figure(fig, "unit_tix", claims=["LTH-21", "LTH-22"], alt="Left: accuracy against share of units kept by criterion. Right: fine-tuning, scratch and ticket for pruned filters.", caption=
    f"With half of the units left, those chosen by size beat random ones by {claim['size_minus_random_p50'].mean():+.1f} points; single weights beat units by "
    f"{-claim['units_minus_single_weights'].mean():.1f} on average.")  # fmt: skip

# %% [markdown]
# ## 4. What is gained in time and memory?
#
# A mask makes nothing faster: the zeros are multiplied like any other number. Removing units gives a smaller dense net; removing weights
# needs a sparse format, whose bookkeeping pays only when few are left, or a kernel that trains the net as a graph of its live weights, as this
# library does. All times are medians of interleaved runs on one thread.

# %%
timed = study.sweep(pruning_speed.run, [configure(pruning_speed.SpeedConfig, speed["forward"])], label="speed").results[0]
steps = study.sweep(step_speed.run, [configure(step_speed.StepSpeed, speed["step"])], label="steps").results[0]
lth32 = study.check("LTH-32", per_seed=sstat.evidence(timed, steps), adequacy=sstat.adequate(timed, steps))
part = {part["name"]: part["estimate"] for part in lth32.parts}
fig, (left, middle, right) = plots.panels(3, width=12.5, height=3.8)
left.set_yscale("log", base=2), middle.set_yscale("log")
plots.band(left, timed["densities"], sstat.speedup(timed, "masked"), "dense with a mask", "grey", seeds=False)
plots.band(left, timed["densities"], sstat.speedup(timed, "csr"), "sparse (CSR)", "purple", seeds=False)
left.axhline(sstat.speedup(timed, "half_units").mean(), color=plots.COLOURS["blue"], label="half of the units, dense")
left.set(ylabel="speed-up over dense", title="Forward pass"), left.legend()
plots.density_axis(left, timed["densities"])

# %%
share, cost_of = steps["densities"], {name: 1e3 * seconds for name, seconds in sstat.medians(steps).items()}
plots.band(middle, share, cost_of["masked_s"], "autograd with a mask", "orange", seeds=False)
middle.axhline(cost_of["stack_s"].mean(), color=plots.COLOURS["grey"], label="dense stack")
plots.band(middle, share, cost_of["sparse_s"], "sparse step", "blue", seeds=False)
middle.plot(share, cost_of["stack_s"].mean() * share, ":", color=plots.INK, linewidth=1, label="ideal")
middle.set(ylabel="ms a step and net", title="Training"), middle.legend()
plots.log_values(middle, (0.01, 0.03, 0.1, 0.3, 1, 3))
plots.density_axis(middle, share)
for layout, size, colour in zip(cost.LAYOUTS, timed["stored_bytes"], ("grey", "green", "purple", "orange", "gold"), strict=False):
    right.plot(timed["densities"], size / 1e6, "o-", color=plots.COLOURS[colour], label=layout.replace("_", " "))
right.set(ylabel="megabytes", title="Memory of the weights"), right.legend()
plots.density_axis(right, timed["densities"])
study.figure(fig, "speed", claims=["LTH-32"], alt="Forward speed-up and time of a training step against density by execution; bytes of the storage formats.", caption=
    f"Half of the units gone makes the net {part['half_units_speedup']:.1f} times faster; a mask alone {part['masked_dense_speedup']:.2f} times. CSR overtakes the dense net below a density of "
    f"{part['sparse_crossover_density']:.2f}. A training step on live weights alone is {part['sparse_step_speedup']:.1f} times faster with a tenth of them, and faster at all below {part['sparse_step_crossover']:.2f}.")  # fmt: skip

# %% [markdown]
# ## Limits
#
# Nets of this size train in seconds and have layers of a hundred units; the papers' nets are deep and convolutional, where layer densities
# matter more and one list helps more. SNIP and GraSP see ten examples of each class, as their papers do. All criteria before training share one list over all layers;
# random masks keep equal shares, `erk` those of sparse random graphs. Equivalence within one point needs more seeds where accuracy varies by two: such checks are marked
# underpowered. Units are cut at equal shares in every hidden layer. The doomed weights of a dual ticket are shrunk in as many
# steps as one training has. Tried and left on the tuning seeds: cutting the largest units of 100-100 nets at .3 to .67 of the training (they lose more), rates of .1 and Glorot
# in the deep net (hard to train), half as long a squeeze, fine-tuning filters at lower rates (recovers less), 300 images for the conv net (intervals of three points). Speed is measured on one thread of one machine; CSR with activations in the layout it likes, training with momentum at batch 128 on masks that keep the largest initial weights.
#
# ## Exercises
#
# 1. Give `random` the layer counts of SNIP. How much of SNIP's advantage is left?
# 2. SynFlow sees no data. Feed it a net with a dead layer: which weights does it keep, and why?
# 3. At which density would a kernel that handles 2 of 4 weights beat CSR in memory? Read it off the last figure.
# 4. Cut the largest units later (`events` of `mid_training`). Does the correlation of LTH-26 grow?

# %%
study.conclude(
    answer=f"At {density[sparse]:.0%} of the weights, tickets found by training beat every criterion before training by {min(behind):.1f} points or more (LTH-27 {lth27.verdict}). "
    f"What those criteria choose is mostly the layers' densities (LTH-28 {lth28.verdict}). Squeezing doomed weights first helps random masks by "
    f"{lth31.parts[0]['estimate']:+.1f} points, {lth31.parts[2]['estimate']:+.1f} at equal budget (LTH-31 {lth31.verdict}); only removing whole units gains time without sparse kernels "
    f"({lth32.parts[0]['estimate']:.1f} times, LTH-32 {lth32.verdict})."
)
