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
# # Redundant units: what do the surplus neurons of a wide net do?
#
# **Question.** A wide layer has far more units than its task needs, and does no worse for it, often better. What are
# all these units for? Do they idle, do they repeat each other, does each do a little, or did they only help to *find*
# the solution? It decides how a net can be made smaller: idle units can be cut and copies merged, but units that search
# must be there while it learns.
#
# The sources give an answer each, and all can be seen in problems small enough to know the truth. **Explorers**: the
# more filters there are at the start, the likelier one of them already points where it should; training then draws the
# others to it [@brutzkus2019why]. **Voters**: a student with more units than its teacher averages over the noise in
# what it is told [@goldt2019dynamics]. **Lucky ones**: the unit that begins nearest to a teacher's unit wins it, and
# the rest fade [@tian2019luck]. **Idlers and copies**: in wide nets more units can be removed, or do what others do
# [@casper2021frivolous]. We test all four, then ask two things that the essay *Sources of Redundancy* (S0) asks without
# an answer: do wide nets rely on single units, and does their training make any of them idle?
#
# One rule holds throughout: what we call a structure must be stronger than in random vectors, untrained nets or units
# picked by chance. Each such comparison is called a *null*.

# %% [markdown]
# ## Try it yourself
#
# Each point is a row of five pairs of signs, and the answer is whether any pair has two equal signs. There are four
# pairs, the *patterns*. A layer has filters of two numbers each, so we can watch where they point: only the directions
# of the four patterns matter. Three narrow layers and three wide ones learn thirty points. Three seeds are no evidence;
# the study follows below.

# %%
from redlib.data.xord import draw_sets
from redlib.nets import xord

# Change the filters of each kind, or keep a pattern out of the points with lacks=[(1, 1)]: what is learned then?
seeds_tried = [20_000, 20_001, 20_002]
points, signs = draw_sets(seeds_tried, n=30, pairs=5, diverse=True)
for filters in (2, 100):
    start = xord.initial(seeds_tried, filters, scale=0.001)
    found = xord.train(start, points, signs, rate=0.2 / filters, steps=500, margin=(8.0, 1.0))
    before, after = (float(xord.angles(weights).mean()) for weights in (start, found.weights))
    wrong = ", ".join(f"{error:.0%}" for error in xord.fresh_error(found.weights, pairs=5).tolist())
    fit = int(found.fits.sum())
    print(f"2 x {filters:3} filters: {before:.0f}° from a direction, then {after:.0f}°; {fit} of 3 fit; wrong: {wrong}")

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 200 in make confirm
many = 100  # seeds of the toys, which are nearly free
few = 5  # seeds of what is described and not judged
detect = {}  # of detection.Xord: small convolutional layers on the XOR detection problem
watched = {}  # of detection.XordPaths: where filters go, for the picture and the explorer
averaged = {}  # of students.Goldt: students of noisy teachers
weak_teacher = {"teacher_outer": 1.0, "rate": 0.2, "arms": ["both"]}  # what differs: the teacher's outgoing weights
students_of_noise = 20  # seeds there
matched = {"widths": [4, 8, 16]}  # of students.Tian: students that look for their teacher's units
seen = {}  # of filters.Filters: one convolution on images
widths = {}  # of hidden.Widths: nets with one hidden layer, of many widths
told_wrong = {"noise": 0.2, "widths": [16, 32, 64, 128, 256]}  # what differs with wrong labels
decayed = {"weight_decay": 0.001, "widths": [16, 32, 64, 128, 256]}  # what differs with weight decay
idle = {}  # of hidden.Sparse: four rules of training
cut = {}  # of survivors.Survivors: what pruning leaves of units

# %%
import numpy as np

from redlib import plots
from redlib.evidence.stats import mean_interval
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure, varied
from redlib.report.explorers.vectors import vector_explorer
from redlib.studies.redundant_units import claims, detection, figures, filters, hidden, students, survivors

plots.use_style()
study = Study("08_redundant_units", profile, first)
own, own_few, own_many, own_noise = (
    {"seeds": range(first, first + count)} for count in (seeds, few, many, students_of_noise)
)

# %% [markdown]
# ## 1. Many filters, four directions
#
# The XOR detection problem of Brutzkus and Globerson [@brutzkus2019why] is small enough to see everything. A point is
# $d$ pairs of signs; its label is 1 if some pair has two equal signs, else −1. A layer of $2k$ filters looks at each
# pair, takes the maximum over pairs, and adds up, $k$ filters for the label 1 and $k$ for −1 ($\sigma$ is the ReLU):
#
# $$N(x)=\sum_{i=1}^{k}\max_j\sigma(w_i\cdot x_j)-\sum_{i=1}^{k}\max_j\sigma(u_i\cdot x_j).$$
#
# Two filters of each kind can solve it, one for each pattern. `Xord.run` trains layers of 2 to 256 filters of each kind
# on 30 points, by descent on the hinge loss until it is zero, for a hundred seeds. In a *diverse* training set each
# point holds every pattern that its answer allows; in the other set no point holds (−1, −1). The error on new points
# is exact: a layer sees only which patterns a point has, and there are but fifteen sets of patterns.

# %%
xord_runs = {"ends": configure(detection.Xord, detect, own_many)}
xord_runs["paths"] = configure(detection.XordPaths, detect, watched, seeds=range(first, first + 2))
toys = carry_out(study, xord_runs, size=50)
settings(*xord_runs.values())

# %%
ends, paths = toys["ends"], toys["paths"]
narrow, wide_count = claims.SMALL, claims.LARGE
unit1 = study.check(claims.unit_1(ends))
unit2 = study.check(claims.unit_2(ends))
often = unit1.side("success_large_minus_small", "more often", "less often", "neither clearly more nor less often")
gather = unit2.side("angle_trained_minus_turned", "farther from", "nearer to", "about as near to")
than_turned = unit2.side("angle_trained_minus_turned", "than", "than", "as")
ends_of = {count: ends.at(set=claims.DIVERSE, count=count) for count in (narrow, claims.MIDDLE, wide_count)}
right_of = {count: f"{claims.succeeds(one).sum()} of the {one['fits'].sum()}" for count, one in ends_of.items()}
angles = [ends_of[wide_count][name].mean() for name in ("start_angle", "angle")]
blind = unit1["success_large_pattern_missing"]
study.figure(
    figures.detection(paths, ends, narrow, wide_count), "xord", claims=["UNIT-1", "UNIT-2"],
    alt="Weight vectors moving from random places to four directions; nets without error by number of filters.",
    caption=f"Left, middle: each line is the path of one filter from its start (grey) to its end, farther out the "
    "longer the filter is (logarithms); dotted lines are the directions of the four patterns. Training takes the mean "
    f"angle to the nearest one from {angles[0]:.0f}° to {angles[1]:.0f}° with {wide_count} filters of each kind. "
    f"Right: with {narrow} filters {right_of[narrow]} layers that fit their points make no error on new ones, with "
    f"{wide_count} {right_of[wide_count]}; where training lacks a pattern, {blind:.0%} of those with {wide_count}.",
    meaning=f"A wide layer that fits is right on new points {often} than a narrow one (UNIT-1: {unit1.word}), though "
    f"both know all their training points. Its filters end {gather} the four directions {than_turned} filters turned "
    f"at random (UNIT-2: {unit2.word}). Where training never shows a pattern, {blind:.0%} of the wide layers that fit "
    f"are right: {'exploring does not replace data' if blind < 0.5 else 'exploring can replace data here'}.",
)  # fmt: skip

# %% [markdown]
# Move through training yourself: how many filters end near a direction, which of them carry the length, and what does
# the missing pattern do?

# %%
shown = {name: list(paths.labels[name]) for name in ("count", "set")}
study.explorer(
    vector_explorer(
        paths["weights"], paths["train_error"], paths["fresh_error"], paths["looks"], counts=shown["count"],
        sets=shown["set"], seeds=list(xord_runs["paths"].seeds), lacks={claims.MISSING: [(-1, -1)]},
    ),
    caption=f"Filters of a small layer through training, for {', '.join(map(str, shown['count'][:-1]))} or "
    f"{shown['count'][-1]} filters of each kind. Do they end in the shaded directions?",
    alt="Explorer: weight vectors in the plane and errors through training, by filters, training set and seed.",
)  # fmt: skip

# %% [markdown]
# ### Because they explore?
#
# The paper's reason is *exploration*: with many filters some detect each pattern already at the start, and training
# only strengthens them. A filter *detects* the pattern to which it answers most. Each pattern is that of a quarter of
# all directions, so with $k$ filters of each kind chance detects all four with a probability that we can write down. If
# that is the reason, it must do two things: rise with the width, and tell apart successes and failures *at one width*,
# where the width explains nothing.

# %%
unit3 = study.check(claims.unit_3(ends))
decides = unit3.side("success_detected_minus_not", "more often", "less often", "neither clearly more nor less often")
rest = unit3.side("success_large_minus_small_given_detected", "still ahead", "behind", "not clearly ahead")
able = {count: one["start_detected"] for count, one in ends_of.items()}
succeeded = claims.succeeds(ends_of[claims.MIDDLE])
groups = [succeeded[chosen] for chosen in (able[claims.MIDDLE], ~able[claims.MIDDLE])]
study.figure(
    figures.exploration(ends), "xord_explore", claims=["UNIT-3"],
    alt="Layers that detect all patterns before training, by filters; successes with and without that.",
    caption=f"Left: {able[narrow].mean():.0%} of layers with {narrow} filters of each kind detect all patterns at the "
    f"start, {able[wide_count].mean():.0%} of those with {wide_count}; dotted, what chance gives. Right: with "
    f"{claims.MIDDLE} filters {groups[0].sum()} of {len(groups[0])} layers that detect all at the start succeed, and "
    f"{groups[1].sum()} of {len(groups[1])} others. A success fits its points and makes no error on new ones.",
    meaning=f"At one width, layers that detected every pattern before training succeed {decides} (UNIT-3: "
    f"{unit3.word}). Layers are compared as they came; none was *made* to detect. Among layers that did, those of "
    f"{wide_count} filters are {rest} of those of {claims.SMALL_THAT_DETECTS}: only what is left there could be the "
    "width's own.",
)  # fmt: skip

# %% [markdown]
# ## 2. Students wider than their teacher
#
# Here the task itself is a net: a *teacher* with few units answers random inputs, and a *student* with as many units or
# more learns from its answers. Goldt and colleagues [@goldt2019dynamics] follow a student by a few overlaps of weight
# vectors [@saad1995online], from which its error on new inputs has a closed form: measured and exact error check each
# other. With noise in the labels, does a wide student average over it? They find that it depends on whether both layers
# learn. `Goldt.run` trains 2 to 16 units on a teacher of 2, each step on a fresh input.

# %%
teaching = {
    "noise": configure(students.Goldt, averaged, own_noise),
    "weak": configure(students.Goldt, averaged, weak_teacher, own_noise),
    "lucky": configure(students.Tian, matched, own_many),
}
taught = carry_out(study, teaching, size=50)
settings(teaching["noise"], teaching["lucky"])

# %%
unit5 = study.check(claims.unit_5(taught["noise"], taught["weak"]))
falls = "grows", "falls", "does not clearly change"
noisy = {arm: unit5.side(f"error_slope_{arm}", *falls) for arm in ("both", "first", "both_clean", "both_weak_teacher")}
times = {arm: 2 ** unit5[f"error_slope_{arm}"] for arm in noisy}
clean = taught["noise"].at(arm="both, no noise")["error"]
still = "has come to rest" if claims.at_rest(clean, moving=0.1) else "still moves when training ends"
study.figure(
    figures.averaging(taught["noise"], taught["weak"]), "goldt", claims=["UNIT-5"],
    alt="Errors of students by width, exact and measured, with noisy labels and without; errors over steps.",
    caption="With noisy labels each doubling of the student's units takes the error times "
    f"{times['both']:.2f} if both layers learn, times {times['first']:.2f} if the first learns alone, and times "
    f"{times['both_weak_teacher']:.2f} if both learn from a weak teacher, whose units count a quarter as much. Without "
    f"noise it is times {times['both_clean']:.2f}; there the error {still} (right).",
    meaning=f"With noise and both layers trained the error {noisy['both']} with the width (UNIT-5: {unit5.word}); with "
    f"the first alone it {noisy['first']}, and with a weak teacher it {noisy['both_weak_teacher']}. If surplus units "
    f"averaged out noise, the error should fall with noise only: without any it {noisy['both_clean']}.",
)  # fmt: skip

# %% [markdown]
# ### Lucky units
#
# Tian and colleagues [@tian2019luck] ask which student units take over a teacher's: they say the lucky ones, nearest at
# the start, and that in wide students the others fade. A unit *matches* one of the teacher's where the cosine of their
# incoming weights is above 0.95. `Tian.run` trains students of a ReLU teacher, without noise.

# %%
unit6 = study.check(claims.unit_6(taught["lucky"]))
equal, four = matched["widths"][0], matched["widths"][-1]
whole = unit6.side("matched_wide_minus_equal", "more often", "less often", "neither clearly more nor less often")
fade = unit6.side("unmatched_over_matched", "more than", "less than", "about", 0.1)
luck = unit6.side("lucky_share", "more often than", "less often than", "about as often as", 1 / four)
mean_error = unit6.side("error_left_wide_minus_equal", "larger", "smaller", "neither clearly larger nor smaller")
typical = unit6.side("log2_error_wide_over_equal", "larger", "smaller", "neither clearly larger nor smaller")
no_matter = {part["name"] for part in unit6.parts if part["verdict"] == "null"}
slight = ", by less than matters" * ("error_left_wide_minus_equal" in no_matter)
complete = taught["lucky"]["complete"].mean(0)
study.figure(
    figures.lucky(taught["lucky"]), "tian", claims=["UNIT-6"],
    alt="Students that match all of their teacher's units, outgoing weights of other units, and errors over steps.",
    caption=f"Left: {complete[0]:.0%} of students of {equal} units match all {equal} of their teacher's, "
    f"{complete[-1]:.0%} of those of {four}. Middle: units of the widest that match none keep "
    f"{unit6['unmatched_over_matched']:.0%} of the outgoing weight of those that do. Right: the widest end with an "
    f"error {2 ** unit6['log2_error_wide_over_equal']:.1f} times that of the narrowest in the geometric mean; in the "
    f"plain mean they differ by {unit6['error_left_wide_minus_equal']:+z.2f} points of the error at the start. The "
    f"unit that began nearest makes {unit6['lucky_share']:.0%} of the matches.",
    meaning=f"Wide students find their whole teacher {whole} (UNIT-6: {unit6.word}). Their plain mean error, which the "
    f"few worst students decide, ends {mean_error} than that of narrow ones{slight}; the geometric mean, that of a "
    f"typical student, ends {typical}. Units that match none keep {fade} a tenth of the outgoing weight. The unit that "
    f"began nearest wins {luck} by chance, which would be once in {four} matches.",
)  # fmt: skip

# %% [markdown]
# ## 3. Filters that look at digits
#
# Do filters of real nets cluster as those of the toy do? Brutzkus and Globerson put the filters of a wide layer that
# had learned MNIST into four clusters by angle, and drew how far each lies from its centre, beside untrained filters
# [@brutzkus2019why]. `Filters.run` trains one convolution, pooling and one linear layer until they make no error, and
# does the same. A third group is what they did not draw: Gaussian vectors with the *covariance* of the trained filters:
# as long in every direction, on average. Filters that prefer a few directions, say smooth ones, are nearer to any
# centre without being clusters at all. The *silhouette* says how much nearer a filter is to its own cluster than to the
# next one: 1 means tight clusters, 0 none.

# %%
looking = configure(filters.Filters, seen, own)
clustered = carry_out(study, {"filters": looking}, size=2)["filters"]
settings(looking)

# %%
unit4 = study.check(claims.unit_4(clustered))
angle = {kind: np.median(clustered.at(kind=kind)["angles"]) for kind in looking.kinds}
nearer = "farther from their centres than", "nearer to their centres than", "about as near to their centres as"
start, matched_side = (unit4.side(f"angle_trained_minus_{kind}", *nearer) for kind in ("untrained", "matched"))
tight = np.nanmax(clustered.at(kind="trained")["silhouette"].mean(0))
study.figure(
    figures.filters(clustered), "clus4", claims=["UNIT-4"],
    alt="Share of filters within an angle of their cluster's centre, and silhouettes by the number of clusters.",
    caption=f"The median filter lies {angle['trained']:.0f}° from its centre after training and "
    f"{angle['untrained']:.0f}° before; Gaussian vectors with the covariance of the trained ones lie "
    f"{angle['matched']:.0f}° away. The mean silhouette of trained filters is at most {tight:.2f}; seeds differ in "
    f"which number of clusters fits best, {unit4['best_clusters']:.0f} on average.",
    meaning=f"Trained filters lie {start} untrained ones: the comparison that the source draws. They lie "
    f"{matched_side} vectors that prefer the same directions without any cluster (UNIT-4: {unit4.word}). Only what "
    "lies beyond that null would be a cluster.",
)  # fmt: skip

# %% [markdown]
# ## 4. Units that could go
#
# Casper and colleagues name two kinds of surplus units [@casper2021frivolous]: *removable* ones, without which a net
# decides as before, and *repeated* ones, which do what another does. `Widths.run` trains nets with one hidden layer of
# 16 to 512 units on the same images until all make no error, and looks at every unit on test images. Removable is here
# what costs less than 0.1 points of accuracy alone; repeated what correlates above 0.9 with another unit. Nothing says
# that training makes them: an untrained net only guesses, and without a unit it often guesses no worse. So untrained
# nets of the same widths are measured beside. And counts are told from shares: if half of the units are removable at
# every width, their number grows all the same, with the width to the power 1.

# %%
main = configure(hidden.Widths, widths, own)
arms = {"wrong labels": varied(main, told_wrong, own_few), "weight decay": varied(main, decayed, own_few)}
wide = carry_out(study, {"plain": main} | arms, size=2)
plain = wide["plain"]
settings(main)

# %%
widest, last = main.widths[-1], told_wrong["widths"][-1]
shares = {
    (kind, state): plain.at(state=state)[kind].mean(0) / main.widths
    for kind in ("removable", "repeated") for state in ("trained", "untrained")
}  # fmt: skip
go, go_before = shares["removable", "trained"], shares["removable", "untrained"]
alike = shares["repeated", "trained"]
go_by = {name: own.at(state="trained", width=last)["removable"].mean() / last for name, own in wide.items()}

# %%
unit7 = study.check(claims.unit_7(plain))
kinds = "removable", "repeated"
slopes = {kind: unit7[f"{kind}_count_slope"] for kind in kinds}
number = {kind: unit7.side(f"{kind}_count_slope", "grow", "shrink", "do not clearly change") for kind in kinds}
grow = {kind: unit7.side(f"{kind}_share_slope", "rises", "falls", "does not clearly change") for kind in kinds}
beyond = {
    kind: unit7.side(f"{kind}_slope_minus_untrained", "faster than", "more slowly than", "about as fast as")
    for kind in kinds
}
study.figure(
    figures.removable(plain, wide), "casper", claims=["UNIT-7"],
    alt="Removable and repeated units by width, trained and untrained; removable share with wrong labels and decay.",
    caption=f"Left: {go[0]:.0%} of {main.widths[0]} units are removable and {go[-1]:.0%} of {widest}, before training "
    f"{go_before[0]:.0%} and {go_before[-1]:.0%}. Middle: at no width are more than {alike.max():.1%} of the units "
    f"repeated; of {widest} it is {alike[-1]:.1%}. Right: of {last} units {go_by['plain']:.0%} are removable, after "
    f"training with some labels wrong {go_by['wrong labels']:.0%}, with weight decay {go_by['weight decay']:.0%}.",
    meaning=f"In number, with the width, removable units {number['removable']} and repeated ones {number['repeated']} "
    f"(UNIT-7: {unit7.word}). They go with the width to the powers {slopes['removable']:.2f} and "
    f"{slopes['repeated']:.2f}, where 1 is a constant share: the share of removable units {grow['removable']}, that "
    f"of repeated ones {grow['repeated']}. Removable units grow in number {beyond['removable']} before training, "
    f"repeated ones {beyond['repeated']} before it. Removable *alone* is not removable *together*: units may back each "
    "other up.",
)  # fmt: skip

# %% [markdown]
# ### Does a wide net rely on single units?
#
# Source S0 asks whether trained nets rely on single units, or whether all contribute alike, and takes no side. We
# remove units one by one, as Morcos and colleagues do [@morcos2018importance]; what a unit costs is how far the net
# then moves off its own decisions on test images, in cross-entropy. The Gini coefficient of the costs is their
# inequality: 0 where every unit counts the same, 1 where one does everything. The *effective number* says how many
# equal units would be as unequal. This cost notices what accuracy does not: a removable unit may still count. And since
# units may back each other up, we also remove them in random order, until a point of accuracy is gone.

# %%
unit10 = study.check(claims.unit_10(plain))
trained = plain.at(state="trained")
uneven = unit10.side("gini_width_slope", "more unequally", "more equally", "neither more nor less equally")
pace = unit10.side("effective_units_slope", "faster than", "more slowly than", "about as fast as", 1)
more = unit10.side("removable_at_random_widest_minus_narrowest", "more", "fewer", "neither clearly more nor fewer")
study.figure(
    figures.reliance(plain), "ablate", claims=["UNIT-10"],
    alt="Gini coefficient of the costs of units, effective number of units, and units that go at random, by width.",
    caption=f"Left: the Gini coefficient is {trained['gini'][:, 0].mean():.2f} with {main.widths[0]} units, "
    f"{trained['gini'][:, 1].mean():.2f} with {main.widths[1]} and {trained['gini'][:, -1].mean():.2f} with {widest}. "
    f"Middle: of {widest} units {trained['effective'][:, -1].mean():.0f} count (effective number), of "
    f"{main.widths[0]} it is {trained['effective'][:, 0].mean():.0f}. Right: at random "
    f"{trained['spare'][:, -1].mean():.0%} of {widest} can go before a point is lost.",
    meaning=f"Fitted over all widths, units count {uneven} in wider nets (UNIT-10: {unit10.word}). Those that count "
    f"grow with the width to the power {unit10['effective_units_slope']:.2f}, {pace} the width itself: a power of 1 "
    "would mean that surplus units take their share of the work, 0 that they add none. In random order "
    f"{more} units, as a share, can go from the widest nets than from the narrowest.",
)  # fmt: skip

# %% [markdown]
# ## 5. Where do the weights point?
#
# If surplus units collapsed onto the directions of others, weight vectors would point in few directions. Two numbers
# say so without a choice of clusters. The *frame potential* is the sum of all squared cosines
# [@benedetto2003finite]: the more vectors agree, the larger; random directions in $d$ dimensions have
# $N+N(N-1)/d$ on average. The *effective rank* is the exponential of the entropy of the singular values
# [@roy2007effective]: roughly, along how many directions the weights extend. It is at most the smaller of units and
# inputs; of random matrices square ones come least near to that, hence a dip where units are as many as inputs.

# %%
unit8 = study.check(claims.unit_8(plain))
inputs = main.layer_sizes(widest)[0]
unit9 = study.check(claims.unit_9(plain, inputs))
frame = {null: unit8[f"log2_frame_over_{null}"] for null in ("random", "matched", "untrained")}
words = "less evenly than", "more evenly than", "as evenly as"
even = {null: unit8.side(f"log2_frame_over_{null}", *words) for null in frame}
rank = unit9.side("log2_rank_trained_over_untrained", "rises", "falls", "does not clearly change")
share_slope = unit9.side("rank_share_slope_minus_untrained", "rises", "falls", "does not clearly change")
collapsed = unit9.tells("collapse", "collapse only in part", "do not collapse", "may or may not collapse")
study.figure(
    figures.directions(plain, inputs), "frame", claims=["UNIT-8", "UNIT-9"],
    alt="Frame potential over that of random directions, and effective rank over the largest possible, by width.",
    caption=f"On average over the widths trained weight vectors have {2 ** frame['random']:.2f} times the frame "
    f"potential of random directions and {2 ** frame['matched']:.2f} times that of Gaussian vectors with their "
    f"covariance (left); their effective rank is {2 ** unit9['log2_rank_trained_over_untrained']:.2f} times that "
    f"before training (right). What training adds to the weights has {2 ** unit9['log2_rank_of_update']:.2f} times the "
    "effective rank of a random matrix.",
    meaning=f"Trained vectors are spread {even['random']} random ones, {even['untrained']} untrained ones and "
    f"{even['matched']} Gaussian vectors with their covariance (UNIT-8: {unit8.word}). In training the effective rank "
    f"{rank}, and the ratio of trained to untrained {share_slope} with the width: as the claim has it, the weights "
    f"{collapsed} (UNIT-9: {unit9.word}). What training *adds* is told apart, for the start hides it where weights "
    "move little.",
)  # fmt: skip

# %% [markdown]
# ## 6. Does SGD leave units idle?
#
# Source S0 asks whether stochastic gradient descent (SGD) finds *sparse* solutions, and gives no direction. A unit is
# dead or nearly so if it is active on less than 1% of the test images, or if its outgoing weights are less than 1% of
# the longest. `Sparse.run` trains the same nets to one training loss by SGD, with all examples in each step (as many
# steps), by Adam, and by SGD with weight decay.

# %%
ruled = configure(hidden.Sparse, idle, own)
sparse = carry_out(study, {"sparse": ruled}, size=2)["sparse"]
settings(ruled)

# %%
unit11 = study.check(claims.unit_11(sparse, ruled.width))
than = "more", "fewer", "neither clearly more nor fewer"
others = {name: unit11.side(f"dead_sgd_minus_{name}", *than) for name in ("full_batch", "untrained", "adam")}
decay = unit11.side("dead_decay_minus_none", "adds some", "takes some away", "makes no clear difference")
idle_of = {rule: f"{sparse.at(rule=rule)['dead'].mean() / ruled.width:.1%}" for rule in ruled.rules}
wrong_of = {rule: f"{sparse.at(rule=rule)['test_error'].mean():.1%}" for rule in ruled.rules}
same = (sparse.at(rule="decay")["dead"] == sparse.at(rule="sgd")["dead"]).all()
study.figure(
    figures.dead(sparse, ruled.width), "sparse", claims=["UNIT-11"],
    alt="Shares of dead units and test errors by rule of training.",
    caption=f"Of {ruled.width} units {sparse['start_dead'].mean() / ruled.width:.1%} are dead or nearly so before "
    f"training, {idle_of['sgd']} after SGD, {idle_of['full batch']} after full batches, {idle_of['adam']} after Adam. "
    f"Test errors: {wrong_of['sgd']} after SGD, {wrong_of['full batch']} after full batches and {wrong_of['adam']} "
    "after Adam.",
    meaning=f"SGD leaves {others['untrained']} units idle than there were at the start, {others['full_batch']} than "
    f"full batches of the same number of steps do and {others['adam']} than Adam; weight decay "
    f"{'leaves as many as none in every seed' if same else decay} (UNIT-11: {unit11.word}). Only the difference to "
    "full batches tells what the noise of small batches does.",
)  # fmt: skip

# %% [markdown]
# ## 7. The units that pruning leaves
#
# Studies 02 and 03 cut weights and keep the largest. Whole units die on the way. Are those that survive the ones a
# dense net relied on? `Survivors.run` finds tickets as in study 02 (train, cut the smallest weights, rewind, repeat)
# and compares what is left of a unit with what it was *worth* in the dense net: the rise of a loss when it alone goes.
# A unit is alive while it keeps weights on both sides. Random masks with the same counts are the null. And since the
# cut goes by the size of weights, the *length* of a unit's weights (that of the incoming times that of the outgoing
# ones) must be told from the worth.

# %%
pruned = configure(survivors.Survivors, cut, own_few)
left = carry_out(study, {"left": pruned}, size=2)["left"]
settings(pruned)

# %%
judge, level = "decisions", min(pruned.densities, key=lambda density: abs(density - 0.1))
cut_ones, chance = (left.at(kind=judge, density=level, mask=mask) for mask in ("ticket", "random"))
alone, length = (mean_interval(cut_ones[name]) for name in ("partial", "magnitude_partial"))
clear = "keep more weights", "keep fewer weights", "keep neither clearly more nor fewer weights"
by_worth, by_length = (
    clear[0] if part.low > 0 else clear[1] if part.high < 0 else clear[2] for part in (alone, length)
)
study.figure(
    figures.survivors(left, judge, level), "survive",
    alt="Weights left of units by their worth; rank correlations of worth and length of weights with what is left.",
    caption=f"With {level:.0%} of the weights left {left.at(mask='ticket', density=level)['survivors'].mean():.0f} of "
    f"{pruned.width} units are alive, under random masks "
    f"{left.at(mask='random', density=level)['survivors'].mean():.0f}. Left, middle: what a unit was worth and what is "
    f"left of it have a rank correlation of {cut_ones['rank'].mean():+z.2f} (random masks: "
    f"{chance['rank'].mean():+z.2f}). Right: among units of equal length of weights it is {alone.estimate:+z.2f}; that "
    f"of length among units of equal worth is {length.estimate:+z.2f}.",
    meaning=f"Of units with equal length of weights, those that the dense net relied on more {by_worth}; of units of "
    f"equal worth, those with longer weights {by_length}. No claim is judged by this. A ticket is trained anew after "
    "each cut, so it need not rely on what the dense net relied on.",
)  # fmt: skip

# %% [markdown]
# ## Limits
#
# * **Toys.** Sections 1 and 2 are problems of two or of twenty inputs with a known answer. They show what *can* happen
#   and why; they do not show that it is what happens in nets that see images.
# * **The margin.** The detection problem hangs on the hinge loss: with margins of 8 and 1 wide layers generalise, with
#   a margin of 1 for both answers they fit and fail, since they stop before the filters have moved (tuning seeds).
# * **Start.** The smaller the weights at the start, the more filters end near a direction: those that hardly move stay
#   where they were. The angle weighted by length is the steadier number.
# * **Students.** Inputs are Gaussian, each is seen once, and the second layer of a student that trains its first alone
#   is that of a soft committee. "As a power of the width" is a line through four widths.
# * **One hidden layer, easy images.** Units are those of one layer on 8 × 8 digits (profile laptop); a unit in a deep
#   net, or a filter, may be redundant in other ways.
# * **Thresholds.** "Removable" is 0.1 points of the accuracy on a thousand test images, one image; "repeated" is a
#   correlation of 0.9; "dead" is 1%. Shares hang on them, and the powers of the width may.
# * **Alone and together.** A removable unit is removed alone. How many can go together is a matter of the order: the
#   random one of section 4 also takes units that are not removable alone, and a greedy one would let more go.
# * **Draws.** Each seed draws its own images from the same pool; intervals say little of other data.
#
# **What was tuned**, on seeds from 1000 on, and left: rates of .01 to .2 over the number of filters and starts of .001
# to .2 (detection); 20 to 100 inputs, rates to .5, teachers of other lengths (students); rates at which whole narrow
# nets die (.2 and above), nets of 8 units (one in a hundred never fits); decay of .0005, which changes little.
#
# ## Exercises
#
# 1. Start the filters of section 1 at `scale=0.2`. How many still end near a direction, and are wide layers still right
#    on new points? *Hint:* compare how far a filter moves with how long it was.
# 2. Derive the probability that $k$ random filters detect both patterns of their kind. *Hint:* inclusion and
#    exclusion over quarters of the circle; check with `redlib.nets.xord.cover_probability`.
# 3. Give the student of section 2 a second layer that learns ten times as slowly. On which side of the two answers
#    does it end? *Hint:* `committee.learn` has an `outer_rate`.
# 4. Remove units in greedy order (`order="greedy"` of `redlib.measures.units.cumulative_removal`). How many more can
#    go than at random, and does the difference grow with the width?
# 5. Count repeated units at correlations of 0.5 to 0.99. At which does an untrained net have as many?

# %%
search = unit3.tells("They help to", "In part they help to", "They do not help to", "They may help to")
study.conclude(
    answer=f"What do surplus units do? {search} *find* the solution, in a problem small enough to see everything: wide "
    f"layers that fit are right on new points {often} than narrow ones (UNIT-1: {unit1.word}), and at one width those "
    f"succeed {decides} that happen to have a filter for every pattern before training (UNIT-3: {unit3.word}). Do they "
    f"average out noise? With noisy labels and both layers trained the error {noisy['both']} with the width (UNIT-5: "
    f"{unit5.word}), with the first alone it {noisy['first']}. Can they go? In nets that see images removable units "
    f"{number['removable']} in number with the width (UNIT-7: {unit7.word}): of {widest}, {go[-1]:.0%} can go, each "
    f"alone, and {trained['spare'][:, -1].mean():.0%} in random order before a point of accuracy is lost; "
    f"{alike[-1]:.1%} repeat another. Do they gather? Put into clusters, filters lie {matched_side} vectors without "
    f"clusters (UNIT-4: {unit4.word})."
)
