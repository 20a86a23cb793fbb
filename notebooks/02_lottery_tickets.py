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
# start, waiting to be found? And what makes it special: which weights it keeps, what they started from, or
# just how many there are in each layer?
#
# The **lottery ticket hypothesis** [@frankle2019lottery] says: a random dense network contains a sparse one which,
# trained alone *from the same initial weights*, does as well. The recipe to find it is iterative magnitude pruning:
# train, cut the smallest fifth of the weights in each layer, set the rest back to where they started, repeat. Twenty-seven claims
# grew out of this idea, about signs, supermasks, rewinding, transfer and the landscape. A sparse
# net can do well for many reasons, so everything here is a comparison with control arms:
#
# * **reinit**: the ticket's mask with fresh random weights;
# * **shuffled**: the initial weights, the mask permuted within each layer;
# * **random**: shuffled mask *and* fresh weights;
# * **dense**: nothing cut.
#
# All arms of a seed share data, order of examples and length of training, so differences are paired. Accuracy is read on test
# data at the step with the least validation loss, as in the paper, and again at the end; the test set
# never chooses anything. *Density* is always the share of weights **kept**.

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed
few = 5  # seeds of the dearer runs
lab = {}  # settings of tickets.Lab: data, net, optimiser
side = {}  # what differs from it in the side experiments (criteria, transfer, rates, sizes, barriers)
rounds = {"depth": 15, "watched": [1, 3, 5, 7, 10, 15], "signs": [7, 10], "quick": {"rate": 0.36, "last": 0.19}}
control = {"controls": ["reinit", "random", "shuffled"], "criteria": ["magnitude", "magnitude_increase", "movement", "large_final_same_sign", "large_init", "random", "small_final"]}
times = {"reinit": 11, "oneshot": 5, "late": 20, "early": 100, "starts": [0, 20, 200]}  # lengths (multiples), and steps to part at
optimisers = {"rates": [0.01, 0.03, 0.1, 0.2], "large": 0.1, "other": {"optimizer": "adam", "lr": 0.001}}
sizes = {"hidden": [[42, 14], [84, 28], [168, 56], [240, 80]], "target": 1500}  # starting nets, weights left
untrained = {"lab": {"dataset": "digits", "pool": 1200, "validation": 237, "tests": 360, "hidden": [300, 100], "lr": 0.05, "steps": 400, "batch": 64}, "learned": {"steps": 400}, "widths": [0.1, 0.2, 0.4]}
conv_nets = {"calm": {"pool": 1000, "n": 1000}, "rough": {"net": "small_conv", "width": 8, "optimizer": "sgd", "lr": 1.0, "n": 400, "steps": 200, "drops": [0.6], "rates": [0.42, 0, 0.2], "snapshots": [1, 4, 16, 64]}, "late": 16, "arm_steps": 600}
outside = {}  # settings of tickets_mnist1d.Greydanus, to run the published MNIST-1D protocol itself
tolerance = 1.0  # points within which a sparse net matches the dense one

# %%
from dataclasses import replace

import numpy as np

from redlib.evidence.study import Study
from redlib.measures import subsetsum
from redlib.report import mask_explorer, plots
from redlib.studies import configure, supermasks, tickets, tickets_outside
from redlib.studies import tickets_conv as conv
from redlib.studies import tickets_conv_statistics as cs
from redlib.studies import tickets_figures as figures
from redlib.studies import tickets_mnist1d as protocol
from redlib.studies import tickets_plan as plan
from redlib.studies import tickets_statistics as ts
from redlib.studies.experiments import carry_out

plots.use_style()
study = Study("02_lottery_tickets", profile)

# %% [markdown]
# ## 1. The ticket and its controls
#
# One chain of rounds gives the tickets; all arms, densities and seeds then train together as one stack of nets. At
# laptop scale the data are MNIST-1D [@greydanus2020scaling] and the net is 40-100-100-10; the profile `mnist` has LeNet-300-100 on MNIST.

# %%
main = configure(tickets.Lab, lab, seeds=range(first, first + seeds))
plain = configure(tickets.Lab, lab, side, seeds=main.seeds)
five, images = replace(plain, seeds=main.seeds[:few]), configure(tickets.Lab, untrained["lab"], seeds=main.seeds[:few])
chains = plan.chain_labs(plain, five, optimisers)
runs = plan.experiments(main, five, chains, rounds, control, times, optimisers["rates"], sizes)
data, narrow = tickets.dataset(main), plan.narrower(images, untrained["widths"])
done = carry_out(study, tickets.run, runs, data)
done |= carry_out(study, tickets.run, plan.mask_runs(images, untrained["learned"], narrow), tickets.dataset(images))
depth, watched, controls, criteria = rounds["depth"], rounds["watched"], control["controls"], control["criteria"]

# %%
found, arms = ts.chain(done, "main", depth), done["arms"]
claims = ts.main_claims(found, arms, watched)
learns = {"dense_net_learns": bool((ts.accuracy(found, 0) > 3 * 100 / data.classes).all())}
lth1, lth2, lth3 = (study.check(id, per_seed=claims[id], adequacy=learns) for id in ("LTH-1", "LTH-2", "LTH-3"))
density, at = ts.densities(main, range(depth + 1)), watched.index(ts.D11)
fig, axes = plots.panels(3, width=12.5)
axes[2].set_yscale("log", base=2)

# %%
reads = {"At early stopping": ts.accuracy, "At the end of training": ts.at_end, "Time to early stopping": ts.stop_step}
for ax, (title, read) in zip(axes, reads.items(), strict=True):
    plots.band(ax, density, read(found), "ticket", "blue", seeds=False)
    for k, name in enumerate(controls):
        plots.band(ax, density[watched], read(arms, k), name, figures.ARM_COLOURS[name], seeds=False)
    ax.axhline(read(found, 0).mean(), color=plots.INK, linestyle=":", linewidth=1, label="dense")
    ax.set(ylabel="test accuracy (%)" if read != ts.stop_step else "steps", title=title)
    plots.density_axis(ax, density)
axes[0].legend()
claimed = {part["name"]: part["estimate"] for record in (lth1, lth2, lth3) for part in record.parts}
study.figure(fig, "lth_main", claims=["LTH-1", "LTH-2", "LTH-3"], alt="Accuracy and early-stop step of ticket, reinit, shuffled, random and dense nets against density.", caption=
    f"With {density[ts.D11]:.0%} of the weights a ticket is {claimed['gain_over_reinit_d11']:.1f} points better than its mask with fresh weights "
    f"and {claimed['gain_over_random_d11']:.1f} better than a random mask; against the dense net the change is {claimed['gain_over_dense_d11']:+.1f}. "
    f"At that density {ts.censored(arms, 0, at).mean():.0%} of the reinitialised nets were still improving at the last step.")  # fmt: skip

# %% [markdown]
# ### What exactly must be kept?
#
# At one density, change one thing at a time. *Finetuned* goes on from the trained weights instead of rewinding, *frozen* leaves cut
# weights at their initial values instead of zero [@zhou2019deconstructing], *keep sign* draws fresh sizes but keeps signs, *noise* blurs the
# initial weights by half or three standard deviations. Two arms answer the objection that controls were stopped too
# early: *reinit, patient* trains for as long as all pruning rounds together.

# %%
arm = ts.arms_at(done, found, controls, at, rounds["signs"].index(ts.D11))
ticket, short = arm["ticket"], ts.short_chains(done, chains)
one_cut = {name: ts.accuracy(done["criteria"], k, 1) for k, name in enumerate(criteria)}
gaps = ts.control_claims(arm, one_cut["large_init"] - short["reinit"]["plain"])
lth10, lth14, lth34 = (study.check(id, per_seed=gaps[id], adequacy=learns) for id in gaps)

# %%
fig, (ax,) = plots.panels(1, width=7.5, height=5.2)
rows = figures.control_rows(arm | {"large_init": one_cut["large_init"]})
plots.dot_rows(ax, rows, "test accuracy (%)", zero=ticket.mean())
study.figure(fig, "lth_ctrl", claims=["LTH-10", "LTH-14", "LTH-34"], alt="Accuracy of thirteen ways to start and mask a net with 10.7% of the weights, one row each.", caption=
    f"With {density[ts.D11]:.1%} of the weights kept. Fresh sizes with the ticket's signs lose {ticket.mean() - arm['keep_sign'].mean():.1f} points, fresh weights "
    f"{ticket.mean() - arm['reinit'].mean():.1f}; {times['reinit']} times the training brings those back to {arm['patient'].mean():.1f}%.")  # fmt: skip

# %% [markdown]
# ### Cut little by little, or at once? And by which criterion?
#
# Iterative pruning costs many trainings. One cut is cheap; to be fair, one arm spends the whole budget of the rounds on its single
# ticket. With one cut we also compare criteria of Zhou and colleagues, from the largest final weights to the ones that grew most.

# %%
patient = ts.accuracy(done["patient oneshot"], 0, 0)
longer = short["end"]["plain"] - patient
gap = {"iterative_minus_oneshot_d11": ticket - ts.accuracy(done["oneshot"], 0, at), "iterative_minus_oneshot_equal_compute_d11": longer}
lth5 = study.check("LTH-5", per_seed=gap, adequacy=learns)
lth11 = study.check("LTH-11", per_seed=ts.criteria_claim(done["criteria"], criteria), adequacy=learns)
fig, (left, right) = plots.panels(2, width=11.5, height=3.8)
plots.band(left, density, ts.accuracy(found), "iterative", "blue", seeds=False)
plots.band(left, density[watched], ts.accuracy(done["oneshot"], 0), "one cut", "orange", seeds=False)
left.plot(density[ts.D11], patient.mean(), "*", color=plots.COLOURS["orange"], markersize=13, label="one cut, equal budget")
left.set(ylabel="test accuracy (%)", title="Rounds against one cut")
plots.density_axis(left, density), left.legend(loc="lower left")
plots.dot_rows(right, figures.criteria_rows(one_cut), "test accuracy (%)", zero=one_cut["random"].mean()), right.set_title(f"Criteria of one cut, {density[ts.D11]:.1%} kept")
study.figure(fig, "crit", claims=["LTH-5", "LTH-11"], alt="Left: iterative and one-shot pruning against density. Right: accuracy of pruning criteria.", caption=
    f"At {density[ts.D11]:.1%}, rounds beat one cut by {(ticket - ts.accuracy(done['oneshot'], 0, at)).mean():.1f} points, and by {longer.mean():.1f} where the single "
    f"ticket gets the whole budget. Keeping what grew most ends {one_cut['magnitude_increase'].mean() - one_cut['magnitude'].mean():+.1f} points from keeping the largest.")  # fmt: skip

# %% [markdown]
# ## 2. What a trained net looks like inside
#
# Do trained weights cluster at zero [@han2015learning]? Do the weights of a ticket move more than others? Here selection can
# fool us: whoever keeps the *largest final* weights has chosen those that moved far. The null keeps every movement but hands it to a random
# weight, then selects in the same way.

# %%
shape, cut_only = ts.shape_of_weights(main, done["main 0"]), 100 * done["cut only"]["test_accuracy"][:, 0]
gap = {"kurtosis_trained_minus_initial": shape["kurtosis_trained_minus_initial"], "drop_after_retraining_d10": ts.accuracy(found, 0) - arm["finetuned"]}
lth33 = study.check("LTH-33", per_seed=gap, adequacy=learns)
moves, null = ts.moves(main, done["main 0"], ts.D21)
lth9 = study.check("LTH-9", per_seed=moves)
start, end = ts.start_and_end(main, done["main 0"])
layer = ts.largest(start)

# %%
fig, (left, middle, right) = plots.panels(3, width=12.5)
plots.histogram(left, {"initial": (start[layer][0].flatten(), "grey"), "trained": (end[layer][0].flatten(), "blue")}, xlabel=f"weights of {layer}, seed {first}")
plots.curves(middle, density, {"cut, not retrained": (cut_only, "orange"), "cut, rewound, retrained": (ts.accuracy(found), "blue")}, seeds=False, ylabel="test accuracy (%)")
plots.density_axis(middle, density)
relative = {"selection alone": (null / null.mean(1, keepdims=True), "grey"), "measured": (moves["median_move_ratio"] / null.mean(1), "purple")}
plots.histogram(right, {name: (values.ravel(), colour) for name, (values, colour) in relative.items()}, xlabel="movement ratio / its mean under the null")
study.figure(fig, "hist", claims=["LTH-9", "LTH-33"], alt="Histogram of weights; accuracy with and without retraining; movement ratio against its null.", caption=
    f"Training changes the excess kurtosis from {shape['initial'].mean():.1f} to {shape['trained'].mean():.1f}. Kept weights move {moves['median_move_ratio'].mean():.2f} times as far "
    f"as cut ones, but selection alone would give {null.mean():.2f}; the measured ratio beats {moves['share_of_null_below'].mean():.0%} of the null.")  # fmt: skip

# %% [markdown]
# ### Do survivors share neurons?
#
# If a ticket were a small net of a few units, its weights would crowd together. Pure chance gives a hypergeometric spread of
# survivors over units: a variance ratio of 1. A stricter null keeps how often each *input* is used and asks whether, given one
# surviving weight, its unit-mates are likelier to survive too.

# %%
at_levels = tuple(watched[1:])
spread = ts.spread(main, done[f"main {depth}"], at_levels)
crowd = ts.concentrated(spread, at_levels.index(ts.D11))
lth24 = study.check("LTH-24", per_seed={name: values for name, values in crowd.items() if "ratio" in name})
lth25 = study.check("LTH-25", per_seed=crowd["excess_survival_over_null"])

# %%
fig, axes = plots.panels(3, width=12.5)
titles = {"incoming": "Into a unit", "outgoing": "Out of a unit or input", "excess": "Mates of a survivor"}
for ax, (side_of, title) in zip(axes, titles.items(), strict=True):
    for (name, values), colour in zip(spread.items(), ("blue", "orange", "green"), strict=False):
        plots.band(ax, density[list(at_levels)], values[side_of], name, colour, seeds=False)
    ax.axhline(side_of != "excess", color=plots.INK, linestyle=":", linewidth=1)
    ax.set(title=title, ylabel="excess co-survival" if side_of == "excess" else "variance / chance")
    plots.density_axis(ax, density[list(at_levels)])
axes[0].legend()
study.figure(fig, "concent", claims=["LTH-24", "LTH-25"], alt="Variance of survivors per unit over chance, into and out of units, and excess co-survival, by layer and density.", caption=
    f"At {density[ts.D11]:.1%}, survivors into hidden units vary 2^{crowd['log2_incoming_variance_ratio'].mean():.1f} times as much as chance, out of them {crowd['outgoing_variance_ratio'].mean():.1f} times. "
    f"Given one survivor, a mate is {crowd['excess_survival_over_null'].mean():+.0%} likelier to survive than the use of inputs explains.")  # fmt: skip

# %% [markdown]
# ## 3. Nets that are never trained
#
# A mask alone can turn random weights into a classifier: cut the trained net where a weight lost its sign, put the initial weights back, stop.
# Better masks are *learned* by gradient descent on frozen weights [@zhou2019deconstructing], or found by edge-popup [@ramanujan2020what]. Existence is a
# theorem: enough random weights contain a sub-sum close to any target [@malach2020proving].

# %%
fixed = ts.best_untrained(done["untrained"])
lth12 = study.check("LTH-12", per_seed=fixed)
trained = ts.accuracy(done["images"])
lth13 = study.check("LTH-13", per_seed=ts.learned_claim(done["learned"], trained))
keeps, widths = supermasks.Popup(images).keeps, untrained["widths"]
popped, full = {w: done[f"popup {w}"] for w in widths}, {w: ts.accuracy(done[f"trained {w}"]) for w in widths}
lth15 = study.check("LTH-15", per_seed=ts.popup_claim(popped, full, keeps), adequacy={"trained_net_learns": bool((full[widths[-1]] > 50).all())})
candidates = [2, 4, 6, 8, 10, 12, 14]
errors = subsetsum.errors(main.seeds, candidates)
lth16 = study.check("LTH-16", per_seed=ts.slope_per_seed(candidates, np.log(errors)))

# %%
fig, axes = plots.panels(3, width=12.5, height=3.8)
test, rows = 100 * done["learned"]["test_accuracy"], figures.mask_rows(fixed, done["learned"], trained)
plots.dot_rows(axes[0], rows, "test accuracy (%)"), axes[0].set_title("Masks alone")
alone = {name: values for name, (values, _) in rows.items()}
for w, colour in zip(widths, ("sky", "blue", "purple"), strict=True):
    plots.band(axes[1], keeps, 100 * popped[w]["test_accuracy"][:, 1], f"width ×{w:g}", colour, seeds=False)
    axes[1].axhline(full[w].mean(), color=plots.COLOURS[colour], linestyle=":", linewidth=1)
axes[1].set(xlabel="share of weights kept", ylabel="test accuracy (%)", title="Edge-popup (dotted: trained)"), axes[1].legend()
axes[2].set_yscale("log")
plots.curves(axes[2], candidates, {"": (errors, "green")}, xlabel="random weights to choose from", ylabel="error of one neuron", title="Pruning to a target")
study.figure(fig, "smask", claims=["LTH-12", "LTH-13", "LTH-15", "LTH-16"], alt="Untrained nets: accuracy of fixed and learned masks, edge-popup by share kept, subset-sum error.", caption=
    f"On {images.dataset}, a fixed mask on initial weights reaches {fixed['fc_initial'].mean():.0f}%, a learned one {test[:, 0, 0].mean():.1f}%, rescaled with a signed constant {test[:, 1, 1].mean():.1f}%, "
    f"training {trained.mean():.1f}%. The seed document reports 79.3, 95.3, 98.0 and 97.7 for its MNIST net. The fixed mask is read at its best density; "
    f"with {density[ts.D11]:.0%} kept, ours is at {100 * done['untrained']['test_accuracy'][:, 0, ts.D11 - 1].mean():.0f}%, and the document names no density.")  # fmt: skip

# %% [markdown]
# ### Beside the outside world
#
# Published numbers, and ours. Two protocols differ: the public MNIST-1D notebook prunes a residual net of width 500, biases included, trained with Adam
# at 0.02; the profile `mnist` runs that very protocol (every fifth of its retrains), here our own net stands in and only the order can be compared.

# %%
own = carry_out(study, protocol.run, {"": configure(protocol.Greydanus, outside)}, size=1)[""] if outside else None
kinds = {"magnitude": (range(depth + 1), ts.at_end(found)), "random": (watched, ts.at_end(arms, 1))}
near = tickets_outside.near_rows(density, kinds) if main.dataset == "mnist1d" else []
table = tickets_outside.beside(density, alone, near, own)
study.table(table, "outside")
table.set_index("quantity")

# %% [markdown]
# ## 4. Transfer, learning rates, early steps
#
# If a ticket is a property of the problem, it should serve the other half of the data [@morcos2019one] and another
# optimiser. Liu and colleagues [@liu2019rethinking] object that with a well-chosen large learning rate fresh weights do as well.

# %%
gaps = ts.transfer_claims(short)
lth17, lth19 = (study.check(id, per_seed=gaps[id], adequacy=learns) for id in ("LTH-17", "LTH-19"))
if profile == "smoke":  # elsewhere claims.yaml says why
    study.not_run("LTH-18", "needs two image sets of one shape")
tuned = {"large_rate_is_within_a_point_of_the_best": ts.behind_best_rate(done, optimisers["rates"], optimisers["large"]) < 1}
lth20 = study.check("LTH-20", per_seed=gaps["LTH-20"], adequacy=tuned)
fig, (left, right) = plots.panels(2, width=11.5, height=3.8)
plots.dot_rows(left, figures.transfer_rows(short), "test accuracy (%)"), left.set_title("Carried over")
plots.dot_rows(right, figures.rate_rows(short, (chains["small"].lr, chains["large"].lr)), "test accuracy (%)"), right.set_title("Learning rates (SGD)")
lost = {name: short["end"]["second"].mean() - values.mean() for name, values in (("carried", short["carried"]["halves"]), ("random", short["random"]["second"]))}
study.figure(fig, "transfer", claims=["LTH-17", "LTH-19", "LTH-20"], alt="Accuracy of native, carried and random sparse nets on other data and optimisers, and by learning rate.", caption=
    f"A ticket from one half of the data loses {lost['carried']:.1f} points on the other half, a random net {lost['random']:.1f}. "
    f"The gain over fresh weights is {lth20.parts[0]['estimate'] + lth20.parts[1]['estimate']:.1f} points at the small rate, {lth20.parts[1]['estimate']:.1f} at the tuned one.")  # fmt: skip

# %% [markdown]
# ### Does size buy tickets?
#
# If a big net is a bag of lottery tickets, then tickets of equal size should be better when drawn from larger nets, and a *small dense* net with as many
# weights should lose, unless one may draw many small nets and keep the best on validation data.

# %%
ends, target = ts.sized(done), sizes["target"]
lth8 = study.check("LTH-8", per_seed=ts.size_claim(ends), adequacy=learns)
small = ts.small_claim(ticket, done["small"])
lth35 = study.check("LTH-35", per_seed=small, adequacy=learns)
fig, (left, right) = plots.panels(2)
plots.curves(left, list(ends), {f"tickets of {target:,} weights": (np.stack([ts.accuracy(r) for r in ends.values()], 1), "blue")},
             log2=list(ends), xlabel="weights of the starting net", ylabel="test accuracy (%)", title="From larger nets")  # fmt: skip
counts = (1, 2, 5, 10, 20)
best_small = np.stack([ts.best_of(done["small"], count) for count in counts], 1)
plots.curves(right, counts, {"best of K small dense nets": (best_small, "orange")}, log2=counts, xlabel="K", title=f"Equal weights ({plan.weights_kept(main, ts.D11):,})", marker="o")
right.axhline(ticket.mean(), color=plots.COLOURS["blue"], label="ticket"), right.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
study.figure(fig, "lth_size", claims=["LTH-8", "LTH-35"], alt="Left: ticket accuracy by size of the starting net. Right: ticket against the best of K small dense nets.", caption=
    f"Doubling the starting net changes a ticket of {target:,} weights by {lth8.parts[0]['estimate']:+.2f} points. A ticket with {plan.weights_kept(main, ts.D11):,} weights beats one small dense net "
    f"by {small['ticket_minus_best_of_1'].mean():.1f} points and the best of twenty by {small['ticket_minus_best_of_20'].mean():.1f}.")  # fmt: skip

# %% [markdown]
# ## 5. The first steps of training
#
# Larger nets need **late rewinding**: weights go back to an early step, not to the start [@frankle2019stabilizing]. The explanation offered is *stability*
# [@frankle2020linear]: two copies trained on different orders of the data end in one linearly connected valley, the height of the barrier between them being nearly zero.
# Tickets should work exactly where this holds. Early phase: what do shuffling or blurring weights at step 100 cost [@frankle2020early]?

# %%
bars, early, starts = ts.barriers(done["barriers"]), times["early"], times["starts"]
flip = ts.flip_rates(done["flips"], early)
same, shuffle, blur = (ts.accuracy(done["early"], k, 0) for k in range(3))
lth36 = study.check("LTH-36", per_seed={"drop_shuffled": same - shuffle, "drop_noised": same - blur, "early_flip_rate_ratio": flip}, adequacy=learns)

# %%
fig, (left, middle, right) = plots.panels(3, width=12.5)
for k, (name, colour) in enumerate({"dense": "grey", f"{density[ts.D11]:.0%} kept": "blue"}.items()):
    plots.band(left, range(len(starts)), bars[:, k], name, colour, seeds=False)
left.axhline(2, color=plots.INK, linestyle=":", linewidth=1), left.legend()
left.set_xticks(range(len(starts)), starts)
left.set(xlabel="step at which two copies part", ylabel="barrier (points of error)", title="Linear barriers")
changes = 100 * done["flips"]["changed"] / np.diff(np.concatenate([[0], done["flips"]["steps"]]))
middle.set_yscale("log")
plots.curves(middle, done["flips"]["steps"], {"": (np.maximum(changes, 1e-4), "purple")}, seeds=False, marker="", xlabel="step", ylabel="signs changed a step (%)", title="Signs settle", marks={f"step {early}": early})
plots.log_axis(middle, [1, 10, 100, 1000]), plots.log_values(middle)
rows = {"ticket, step 0": (ticket, "blue"), f"ticket, step {early}": (same, "blue"), "its weights shuffled": (shuffle, "orange"), "its weights + 1 sd": (blur, "orange")}
plots.dot_rows(right, rows, "test accuracy (%)"), right.set_title(f"What step {early} decides")
study.figure(fig, "early", claims=["LTH-23", "LTH-36"], alt="Barriers by step of parting, sign changes over training, accuracy after shuffling or blurring early weights.", caption=
    f"The dense net's barrier falls from {bars[:, 0, 0].mean():.1f} points (parting at step 0) to {bars[:, 0, -1].mean():.1f} (step {starts[-1]}). Signs change {flip.mean():.1f} times as often before step {early} as after. "
    f"Shuffling the ticket's weights of that step costs {(same - shuffle).mean():.1f} points.")  # fmt: skip

# %% [markdown]
# ### Conv nets
#
# Two conv nets on small images. *Conv-2*, trained gently with Adam, has tickets, but do they beat the dense net, and does the mask matter with fresh weights? A
# *rougher* net with batch normalisation and a very high learning rate is unstable at first, as the large nets of the papers are: it is the
# place to look for late rewinding and for the claim that tickets match exactly where training is stable.

# %%
gentle, wild = (plan.conv_level(conv_nets[kind], five.seeds) for kind in ("calm", "rough"))
conv_late, pictures = conv_nets["late"], (conv.dataset(gentle), conv.dataset(wild))
got = carry_out(study, conv.run, plan.conv_runs(gentle, wild, conv_nets["arm_steps"], conv_late), *pictures)
gap = {"fc_reinit_minus_random": ts.accuracy(arms, 0, watched.index(ts.D21)) - ts.accuracy(arms, 1, watched.index(ts.D21))}
gap |= cs.control_claim(got["conv reinit"], got["conv random"])
lth4 = study.check("LTH-4", per_seed=gap, adequacy=learns | cs.arms_fit(got["conv reinit"], got["conv random"], bound=0.02))
lth6 = study.check("LTH-6", per_seed={"conv2_gain_over_dense_d20": cs.gain(got["conv 3"], got["conv 0"])})
starts_at = {start: [got[f"from {start} {k}"] for k in range(5)] for start in (0, conv_late)}
claim = cs.rewind_claim(starts_at[conv_late][2:], starts_at[0][2:]) | {"lenet_late_minus_initial": arm["late"] - ticket}
by_start = {start: got[f"dense barrier {start}"] for start in wild.snapshots}
lth7 = study.check("LTH-7", per_seed=claim, adequacy=cs.rewinding_matters(starts_at[0][0], starts_at[0][2:], by_start[wild.snapshots[0]]))

# %%
cells = cs.as_nets([got[f"sparse barrier {level} {start}"] for level, start in plan.SPARSE_CELLS])
nets = [ts.stable_and_matching(ts.only(done["barriers"], (1,)), ts.accuracy(done["barriers"])[:, 0, 0], tolerance)]
nets.append(ts.stable_and_matching(cells, ts.accuracy(starts_at[0][0]), tolerance))
stable, matching = (np.concatenate(pair) for pair in zip(*nets, strict=True))
claim23 = cs.barrier_claim(by_start) | {"lenet_barrier_initial": bars[:, 0, 0], "matching_stable_fisher_p": ts.fisher(stable, matching)}
lth23 = study.check("LTH-23", per_seed=claim23, adequacy={"some_nets_are_unstable": bool((~stable).any())})

# %%
fig, (left, middle, right) = plots.panels(3, width=12.5)
share = conv.densities(wild, 4)
for step, colour in ((0, "orange"), (conv_late, "blue")):
    values = np.stack([ts.accuracy(results) for results in starts_at[step]], 1)
    plots.band(left, share, values, f"rewound to step {step}", colour, seeds=False)
left.set(ylabel="test accuracy (%)", title="Late rewinding"), left.legend()
plots.density_axis(left, share)
dense_bars = np.stack([ts.barriers(results) for results in by_start.values()], 1)
plots.curves(middle, list(by_start), {"": (dense_bars, "purple")}, log2=list(by_start), xlabel="step at which two copies part", ylabel="barrier (points)", title="Conv net, dense")
middle.axhline(2, color=plots.INK, linestyle=":", linewidth=1)
plots.dot_rows(right, cs.rows(got["conv 0"], got["conv 3"], got["conv reinit"], got["conv random"]), "test accuracy (%)"), right.set_title("Conv-2, 20% kept")
study.figure(fig, "lth_conv", claims=["LTH-4", "LTH-6", "LTH-7", "LTH-23"], alt="Conv nets: accuracy by density and rewind step, barriers by step of parting, control arms of Conv-2.", caption=
    f"Rewinding the rough net to step {conv_late} changes its tickets by {claim['cnn_late_minus_initial'].mean():+.1f} points; its barrier falls from {dense_bars[:, 0].mean():.1f} to {dense_bars[:, -1].mean():.1f} points. "
    f"A Conv-2 ticket is {cs.gain(got['conv 3'], got['conv 0']).mean():+.1f} points from its dense net. Of {len(stable)} sparse nets {int(stable.sum())} are stable, {int((stable & matching).sum())} of these match.")  # fmt: skip

# %% [markdown]
# ## 6. Explore
#
# One net, its matrices at initialisation, and which weights survive. Move the density: the ticket keeps its accuracy
# far longer than its controls, and whole rows and columns empty before others.

# %%
survives = ts.unpacked(done[f"main {depth}"]["survives"], start)
pictures = {name: values[0].numpy() for name, values in start.items()}
shown = [0, *watched]
kept_at = mask_explorer.survival({name: np.stack([last[0].numpy() >= k for k in shown]) for name, last in survives.items()})
dense_line = np.repeat(ts.accuracy(found, 0)[:, None], len(shown), 1)
explored = {"ticket": (ts.accuracy(found)[:, shown], "blue"), "dense": (dense_line, "grey")}
for k, name in enumerate(controls):
    explored[name] = (np.concatenate([dense_line[:, :1], ts.accuracy(arms, k)], 1), figures.ARM_COLOURS[name])
mask_explorer.mask_explorer(density[shown], pictures, kept_at, explored)

# %% tags=["twin"]
caption = "Initial weights of one net: kept ones coloured by sign and size, cut ones blank; and the accuracy of every arm at that density."
study.twin(mask_explorer.mask_twin(density[shown], pictures, kept_at, explored), caption=caption, alt="Explorer: a density slider over the weight matrices of one net.")

# %% [markdown]
# ## Limits
#
# These are small fully connected nets, and two small conv nets; the verdicts hold at this scale. The profile `mnist` trains on 10,000 images, 3,000 steps a round, and 800 in the side experiments. Settings were
# chosen on seeds 1000–1009, verdicts come from seeds 0–9 (five where a run is dear). On MNIST-1D the validation *loss*
# is least long before accuracy peaks, so early-stopped accuracy is below the final one; the first figure shows both. Early stops at the last look
# are lower bounds. Criteria are compared after one cut, where their paper iterates. Starting nets of all sizes are cut in five
# equal rounds. Transfer arms rewind to the initial weights of the same seed. Margins of one point need more seeds than ten where
# runs differ by two; such checks are marked underpowered. Tried and left: torch's default initialisation (tickets gain less),
# momentum 0 and rate 30 for learned
# masks (slower to 95%); for the conv net, rates of 0.1 to 1.5 and 8 or 16 channels (no instability below 1, chaos above), and rewinding to 2% of the steps, which
# is too early there: step 16 is 8% of them. Two things were mended after a first look at verdicts: the gate of LTH-20 asks that the tuned rate be within a point
# of the best on the judged seeds, too (it had asked for the very best, and near ties failed it), and the masks on digits and the conv arms went back to the tuned size and length, which had
# been cut for time. Fisher's p in LTH-23 can no longer contradict by being large. The average over three densities in LTH-7 was chosen after seeing all levels on the tuning seeds.
#
# ## Exercises
#
# 1. Set `lab = {"init": "torch"}`. Which gaps shrink, and why could the initial scale matter?
# 2. `frozen` leaves cut weights where they started. Freeze only those that were moving *away* from zero. Better?
# 3. How many of the 27 claims would you still believe if the test set had chosen the early-stopping step?
# 4. The null of `concent` keeps the use of inputs. Write one that keeps the use of units instead. What must it return?

# %%
study.conclude(
    answer=f"A net with hidden layers of {' and '.join(map(str, main.hidden))} units does contain tickets: with {density[ts.D11]:.0%} of the weights they beat their own mask with fresh weights by "
    f"{claimed['gain_over_reinit_d11']:.1f} points (LTH-1 {lth1.verdict}) and random masks by {claimed['gain_over_random_d11']:.1f} (LTH-2 {lth2.verdict}). Fresh sizes with the ticket's signs cost it "
    f"{(ticket - arm['keep_sign']).mean():.1f} points (LTH-14 {lth14.verdict}); finetuning the trained weights does {np.mean(arm['finetuned'] - ticket):+.1f} points against rewinding (LTH-34 {lth34.verdict}), and survivors crowd on some units "
    f"(LTH-24 {lth24.verdict})."
)
