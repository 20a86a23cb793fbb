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
# # Loss landscape: how are the many good solutions connected, how wide are they, and how simple?
#
# **Question.** A net with more weights than data has many solutions: weights without an error in training. Why does
# training end in one that generalises? If solutions hang together, have room around them and are mostly simple, it can
# hardly miss a good one, and surplus weights help. If not, something else must choose.
#
# Source S3, a report on overparameterization, collects two answers. The first is about the *landscape*, the training
# loss as a height over all weights: solutions found from different starts lie in one connected valley
# [@draxler2018essentially; @garipov2018loss], a system of tunnels that grow wider where training looks for simple
# models [@fort2019large], and so large that a random slice of a few hundred dimensions meets it [@li2018measuring]. The
# second is about *functions*: most weights compute simple ones, so that a solution drawn blindly is probably simple
# [@valleperez2019deep], and training draws nearly blindly [@mingard2021sgd].
#
# Each answer has a rival that must be measured beside it. Two nets may differ by the order of their units alone, and
# then compute the same: is the rise of the error between them real? A distance in weights need not mean anything
# either, for a ReLU net computes the same with one layer's weights doubled and the next one's halved. And simple
# functions may be likely only because they are nearly always 0, or 1: such a list of values is simple in any order.

# %% [markdown]
# ## Try it yourself
#
# Two nets learn the same digits from different starts, and both end without an error. What do the nets between them
# do, half of the weights from each? The straight line leads over a ridge. A bend that is trained leads around it.
# Three seeds are no evidence; the study follows below.

# %%
from redlib.data import load
from redlib.measures.paths import along, bent, straight
from redlib.nets import StackedMLP
from redlib.training import SGD, Examples, fit

# Change the width, or train less: when is there no ridge?
images = load("digits", n_train=500, flatten=True)
digits, width = Examples(images.train.x, images.train.y), 64
ends = []
for seeds_tried in ([20_000, 20_001, 20_002], [30_000, 30_001, 30_002]):
    net = StackedMLP.create((64, width, width, 10), seeds=seeds_tried)
    fit(net, digits, optimizer=SGD(0.1, momentum=0.9), epochs=40, batch_size=50)
    ends.append(net)
for name, curve in {"straight": straight(*ends), "bent": bent(*ends, digits)}.items():
    highest = ", ".join(f"{error:.1%}" for error in along(curve, digits).errors.amax(1).tolist())
    print(f"{name}: largest training error on the way {highest}")

# %% [markdown]
# ## The settings of the study

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tuning used 1000–1009)
first = 0  # the first seed; 10 in make confirm
few = 5  # seeds of slices and of random nets, which take longer
joined = {}  # of pairs.Pairs: two nets and the paths between them, at several widths
drawn = {}  # of pairs.Planes: the plane through two nets and a bend, for the picture
toy = {}  # of maps.Maps: two nets that tell points of the plane apart, for the explorer
stepped = {}  # of around.Steps: random steps before, amid and after training
widened = {}  # of around.Tunnels: weight decay, learning rate and dropout at one training loss
sliced = {}  # of slices.Conv: a convolutional net in random slices
dense = {}  # of slices.Dense: fully connected nets of three widths in random slices
small = {}  # of slices.Small: nets of at most 300 parameters
ways = {}  # of counted.Counted: one net as a ticket, in random slices, and of low rank
drawn_at_random = {}  # of functions.RandomFunctions: Boolean functions of random nets
trained_on_half = {}  # of functions.Found: functions that fit half of a target's values

# %%
import numpy as np

from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure
from redlib.report.explorers.path import path_explorer
from redlib.studies.loss_landscape import around, claims, counted, figures, functions, maps, pairs, slices

plots.use_style()
study = Study("09_loss_landscape", profile, first)
own, own_few, two = ({"seeds": range(first, first + count)} for count in (seeds, few, 2))

# %% [markdown]
# ## 1. From one solution to another
#
# Draxler and colleagues [@draxler2018essentially] and Garipov and colleagues [@garipov2018loss] found paths between
# solutions on which the loss hardly rises. A path of the latter is a quadratic Bézier curve from weights $w_1$ to
# $w_2$ that leans towards a third point, the bend $\theta$,
#
# $$w(t)=(1-t)^2w_1+2t(1-t)\,\theta+t^2w_2,\qquad \min_\theta\;\mathbb E_{t\sim U[0,1]}\,L(w(t)),$$
#
# trained by steps on one random $t$ each. We judge it at places $t$ that it was *not* trained at. The *barrier* of a
# path is its largest error minus the mean of its ends. Beside the curve go two straight lines. The first is the plain
# one. For the second the units of net two are put in the order of net one's that brings their weights nearest
# [@ainsworth2023git]: the net computes the same, only the names of its units change. `Pairs.run` trains two nets of two
# hidden layers for each seed, from 16 to 256 units, until they make no error, and walks all three paths.

# %%
joining = {"pairs": configure(pairs.Pairs, joined, own), "planes": configure(pairs.Planes, drawn, two)}
walked = carry_out(study, joining, size=2)
settings(*joining.values())

# %%
paired, widths = walked["pairs"], joining["pairs"].widths
widest, shown = widths[-1], joining["planes"].width
land1 = study.check(claims.land_1(paired))
land2 = study.check(claims.land_2(paired))
higher = land2.side("line_minus_curve", "higher", "lower", "neither clearly higher nor lower")
levels = "still higher", "lower", "hardly higher", "no longer clearly higher"
left = claims.word(land2, "matched_line_minus_curve", claims.POINTS, levels)
closes = land2.side("matched_line_per_doubling", "rises", "falls", "does not clearly change")
rises = land1.side("curve_train_error_minus_ends", "more than two points", "less than two points",
                   "neither clearly more nor less than two points", 2)  # fmt: skip
line = claims.barriers(paired, "line").mean(0)
low = "low, too" if line[-1] < 2 else "not low"
peak = {path: claims.barriers(paired, path)[:, widths.index(shown)].mean() for path in joining["pairs"].paths}
study.figure(
    figures.joined(walked["planes"], paired, shown), "modeconn", claims=["LAND-1", "LAND-2"],
    alt="The plane through two networks and a bend; training errors along three paths; barriers by width.",
    caption=f"Between nets of {shown} units the barrier is {peak['line']:.1f} points of training error on the straight "
    f"line, {peak['matched']:.1f} with units matched, {peak['curve']:.1f} on the trained curve (means over pairs, each "
    f"at its own highest point: the line in the middle is a mean at one place). From {widths[0]} to {widest} units it "
    f"goes on the straight line from {line[0]:.1f} to {line[-1]:.1f} points; at {widest} that minus the curve's is "
    f"{land2['line_minus_curve']:+z.1f}, with units matched {land2['matched_line_minus_curve']:+z.1f}. On the curve "
    f"the test error changes by {land1['curve_test_error_minus_ends']:+z.1f} points.",
    meaning=f"On the curve the training error rises by {rises} at {widest} units (LAND-1: {land1.word}), and the "
    f"barrier of the straight line is {higher} (LAND-2: {land2.word}). By the same bar of two points the straight line "
    f"at this width is, on average, {low}. With the units in one order its barrier is {left}, and with the width "
    f"that {closes}. What matching takes away came from the order of the units alone.",
)  # fmt: skip

# %% [markdown]
# To *see* the nets on the way, take inputs of two numbers: a net is then a coloured map of the plane. Two nets learn to
# tell two moons apart. What does the net half way decide, on the line and on the curve?

# %%
mapping = configure(maps.Maps, toy, two)
seen = carry_out(study, {"maps": mapping}, size=1)["maps"]
settings(mapping)
study.explorer(
    path_explorer(
        seen["decisions"], seen["train_error"], seen["test_error"], seen["train_loss"],
        plane=(seen["plane_loss"], seen["plane_x"], seen["plane_y"]), at=seen["at"], away=seen["away"],
        points=seen["points"], moons=seen["moons"], reach=mapping.reach, positions=mapping.positions,
        paths=[name for name, _ in figures.PATHS.values()], seeds=list(mapping.seeds),
    ),
    caption="Walk from one net (t = 0) to the other (t = 1). The middle map is the net at t: which points lie on the "
    "other moon's colour, and on which path do fewest? The line with units matched leads to the second net with its "
    "units in another order, which computes the same but lies elsewhere: it is not on the plane of losses.",
    alt="Explorer: place on the loss surface, errors along the path, and decision maps of the net there and both ends.",
)  # fmt: skip

# %% [markdown]
# ### Do wide nets have lower passes?
#
# Draxler and colleagues report that the barriers on their paths fall with width and depth [@draxler2018essentially].
# Those are barriers of the *loss*, told here as a ratio, which can be above 1 where no image is misclassified. Source
# S3 adds that small nets need not have wide tunnels. A *tunnel* is the room of low loss around a solution. Its
# half-width is how far one can go in a random direction until the loss is twice the one at which training stopped; of
# several directions the median counts. It is told as it is, and in lengths of the filters, the weights into one unit
# each (Hao Li and colleagues [@li2018visualizing]): there each unit's weights move by the same share of their length.

# %%
land5 = study.check(claims.land_5(paired))
falls = "rise", "fall", "do not clearly change"
passes = land5.side("curve_barrier_per_doubling", *falls)
than = "wider", "narrower", "about as wide", "neither clearly wider nor narrower"
raw, scaled = (claims.word(land5, f"{kind}_tunnel_power", 0.05, than) for kind in ("raw", "filter"))
study.figure(
    figures.barriers(paired), "barriers", claims=["LAND-5"],
    alt="Largest loss on the curve over that of its ends, and half-widths of tunnels, by width of the networks.",
    caption="With each doubling of the width the largest loss on the curve, over that of its ends, changes by a factor "
    f"of {2 ** land5['curve_barrier_per_doubling']:.2f}, told by one straight line through all widths, and half-widths "
    f"by a factor of {2 ** land5['raw_tunnel_power']:.2f}, in lengths of the filters "
    f"{2 ** land5['filter_tunnel_power']:.2f}. Thin lines are seeds.",
    meaning=f"Barriers on the curve {passes} as nets get wider (LAND-5: {land5.word}). Compared with those of narrow "
    f"nets, tunnels around wide ones are {raw} as they are, and {scaled} in lengths of the filters. Source S3 expects "
    "no direction of these.",
)  # fmt: skip

# %% [markdown]
# ## 2. A step in a random direction
#
# Why *tunnels*? Because almost all directions should lead up [@fort2019large]. To first order half of all directions
# go down, wherever the gradient is not zero; only a curvature of the loss makes more than half go up, and that counts
# with the square of the step. So the length decides. `Steps.run` takes random directions, with steps from a thousandth
# of the length of all weights to that length, from untrained nets, from nets with half of their first loss still to
# go, and from trained ones. The claim is judged at a tenth.

# %%
stepping = configure(around.Steps, stepped, own)
rising = carry_out(study, {"steps": stepping}, size=2)["steps"]
settings(stepping)

# %%
land3 = study.check(claims.land_3(rising))
share = {state: land3[f"rises_{state}"] for state in stepping.states}
up_or_down = "more often up than down", "more often down than up", "neither clearly more often up nor down"
likely = {state: land3.side(f"rises_{state}", *up_or_down, 0.5) for state in stepping.states}
tiny = land3.side("rises_trained_short", "above half", "below half", "not clearly other than half", 0.5)
study.figure(
    figures.around(rising), "randdir", claims=["LAND-3"],
    alt="Share of random steps that raise the loss, and median change, by length of the step, for three states.",
    caption=f"Of steps a tenth as long as the weights {share['trained']:.0%} raise the loss of trained nets, "
    f"{share['halfway']:.0%} of nets half of the way down, {share['untrained']:.0%} of untrained ones. Of steps of a "
    f"thousandth {land3['rises_trained_short']:.0%} do, around trained nets. Right: the median change of the loss.",
    meaning=f"Steps of a tenth go {likely['trained']} from trained nets, {likely['halfway']} from nets half of the way "
    f"down, and {likely['untrained']} from untrained ones (LAND-3: {land3.word}). For the shortest, around trained "
    f"nets, the share is {tiny}. Half is what the gradient alone would give; the rest is the curvature's.",
)  # fmt: skip

# %% [markdown]
# ## 3. What widens a tunnel?
#
# Fort and Jastrzębski say that weight decay, a high learning rate and dropout, which all look for simple models, make
# the tunnels wider [@fort2019large]. A net that stopped at a lower loss would meet twice that loss sooner, so all nets
# here stop at one training loss, and a tunnel ends, at its *wall*, where the loss is twice that. `Tunnels.run` turns
# each knob through four levels and leaves the two others alone.

# %%
widening = configure(around.Tunnels, widened, own)
tunnelled = carry_out(study, {"tunnels": widening}, size=2)["tunnels"]
settings(widening)

# %%
land4 = study.check(claims.land_4(tunnelled, widening.until))
knobs = {"weight decay": widening.decays, "learning rate": widening.rates, "dropout": widening.dropouts}
words = {knob: knob.replace(" ", "_") for knob in knobs}
wider = {
    kind: {knob: claims.word(land4, f"{kind}_width_by_{name}", claims.DOUBLINGS, than) for knob, name in words.items()}
    for kind in ("raw", "filter")
}
turned = {
    kind: ", ".join(f"{2 ** land4[f'{kind}_width_by_{name}']:.2f} ({knob})" for knob, name in words.items())
    for kind in wider
}
more = {knob: f"a higher {knob}" if "rate" in knob else f"more {knob}" for knob in knobs}
told = {kind: ", ".join(f"{side} with {more[knob]}" for knob, side in sides.items()) for kind, sides in wider.items()}
of_size = [knob for knob in knobs if wider["raw"][knob] in than[:2] and wider["filter"][knob] != wider["raw"][knob]]
steps = "; ".join(f"{knob} {', '.join(f'{level:g}' for level in values)}" for knob, values in knobs.items())
study.figure(
    figures.tunnels(tunnelled, knobs), "tunnel", claims=["LAND-4"],
    alt="Half-widths of tunnels by level of weight decay, learning rate and dropout; half-width against curvature.",
    caption=f"From one level to the next half-widths change by a factor of {turned['raw']}; in lengths of the filters "
    f"{turned['filter']}. Levels, least first: {steps}. Right: half-widths as they are against the largest eigenvalue "
    "of the Hessian, the steepest curvature, over all nets (rank correlation "
    f"{figures.width_with_curvature(tunnelled):+z.2f}).",
    meaning=f"As they are, tunnels are {told['raw']} (LAND-4: {land4.word}). In lengths of the filters they are "
    f"{told['filter']}. Where a knob moves the first width alone ({' and '.join(of_size) or 'here none does'}), the "
    "size of the weights may be all that it moves.",
)  # fmt: skip

# %% [markdown]
# ## 4. A few hundred random dimensions
#
# How large is the set of solutions? Chunyuan Li and colleagues [@li2018measuring] train only $d$ numbers $c$, from
# which a fixed random matrix makes all $D$ weights, $\theta=\theta_0+Pc$: a random *slice* of $d$ dimensions. It meets
# a set of solutions that has $s$ dimensions itself as soon as $d\ge D-s$, so that the least $d$ that works tells how
# many of the $D$ directions the task fixes. They call the $d$ at nine tenths of the full accuracy the *intrinsic
# dimension*. It has two rivals here: a linear classifier in the same slices, and nets with few weights to begin with.

# %%
slicing = {"conv": configure(slices.Conv, sliced, own_few), "dense": configure(slices.Dense, dense, own_few)}
cut = carry_out(study, slicing, size=2)
settings(*slicing.values())

# %%
land6 = study.check(claims.land_6(cut["conv"]))
land7 = study.check(claims.land_7(cut["dense"]))
weights = float(cut["conv"]["parameters"].mean())
needs = land6.side("log2_dimension_over_linear", "more dimensions than", "fewer dimensions than",
                   "neither clearly more nor fewer dimensions than")  # fmt: skip
enough = land6.side(
    "dimension_over_parameters", "More than a tenth", "Less than a tenth", "Not clearly less than a tenth", 0.1
)
grows = land7.side("dimension_power", "grows", "falls", "does not clearly change")
study.figure(
    figures.dimensions(cut["conv"], cut["dense"]), "intdim", claims=["LAND-6", "LAND-7"],
    alt="Test accuracy by random dimensions of a convolutional network, a linear one and dense ones; crossings.",
    caption=f"The convolutional net of {weights:,.0f} parameters reaches nine tenths of its accuracy in "
    f"{land6['dimension_at_90_percent']:.0f} dimensions, {land6['dimension_over_parameters']:.1%} of their number; a "
    f"linear classifier takes {2 ** -land6['log2_dimension_over_linear']:.2f} times as many to get there. Fully "
    f"connected nets need {land7['mean_dimension']:.0f} on average; with each doubling of their parameters the number "
    f"changes by a factor of {2 ** land7['dimension_power']:.2f}.",
    meaning=f"{enough} of the dimensions are enough (LAND-6: {land6.word}), and the convolutional net needs {needs} a "
    "linear classifier at the same accuracy. Where it needs no fewer, the images alone may set the number. With more "
    f"parameters the dimension of a fully connected net {grows} (LAND-7: {land7.word}). Where it stays, each added "
    "weight adds a direction in which the solutions extend.",
)  # fmt: skip

# %% [markdown]
# ### Or simply a small net?
#
# Source S3 says that nets in a slice of 290 dimensions far outdo nets with so many parameters, without a number. That
# hangs on how well the small ones are chosen. `Small.run` tries architectures of at most 300 parameters, some with
# convolutions, at three rates each; the best is chosen on validation images, the large net has no such choice. Those
# without convolutions may still take means or maxima over small fields, which needs no parameters.

# %%
searching = configure(slices.Small, small, own_few)
little = carry_out(study, {"small": searching}, size=2)["small"]
settings(searching)

# %%
land8 = study.check(claims.land_8(cut["conv"], little))
ahead = "ahead of", "behind", "neither clearly ahead of nor behind"
of_all, of_dense = (land8.side(f"subspace_minus_best_{kind}", *ahead) for kind in ("small", "dense"))
study.figure(
    figures.small_nets(cut["conv"], little), "intdim2", claims=["LAND-8"],
    alt="Test accuracies of small architectures; a large network in 290 dimensions beside the best small ones.",
    caption=f"The accuracy of the large net in {claims.SLICE} random dimensions minus that of the best of "
    f"{len(searching.architectures)} small architectures is {land8['subspace_minus_best_small']:+z.1f} points, minus "
    f"the best without convolutions {land8['subspace_minus_best_dense']:+z.1f}. Left: each at the rate that does best "
    "on test images. Right: the best on validation images, which need not be the best on test images. Names: avg5 is "
    "the mean over 5 × 5 fields, max5 their maxima, conv2x5 two filters of 5 × 5 pixels (/2: at every second place), "
    "dense8 eight units, depth3 a filter for each channel; a linear layer ends each.",
    meaning=f"The large net in its slice is {of_all} the best small one (LAND-8: {land8.word}) and {of_dense} the best "
    "without convolutions. A comparison with *every* small net is one with the best that somebody looked for.",
)  # fmt: skip

# %% [markdown]
# ### One net, counted three ways
#
# Random dimensions are one measure of how many numbers a net needs. Study 02 has another, the weights that pruning
# leaves in its winning ticket, and study 05 a third, the rank of its matrices. `Counted.run` puts one net through all
# three: it trains the net in random slices, finds its tickets round by round, and leaves the trained net only the
# largest singular values of each layer.

# %%
counting = configure(counted.Counted, ways, own_few)
one = carry_out(study, {"one": counting}, size=2)["one"]
settings(counting)

# %%
need = {
    "random dimensions": claims.needed(one, one.labels["dim"], "slice_accuracy"),
    "weights and biases of a ticket": claims.needed(one, one["left"], "ticket_accuracy"),
    "numbers in factors of low rank": claims.needed(one, one["numbers"], "rank_accuracy"),
}
surplus = {name: ", more than it has" if found.mean() > one["parameters"] else "" for name, found in need.items()}
least = {
    name: f"{found.mean():,.0f} {name}{surplus[name]}" if np.isfinite(found).all() else f"more {name} than were tried"
    for name, found in need.items()
}
study.figure(
    figures.counted(one), "counted",
    alt="Test accuracy of one network by random dimensions, weights of tickets, and numbers in factors of low rank.",
    caption=f"For nine tenths of its accuracy a net of {one['parameters']:,.0f} parameters needs "
    f"{', or '.join(least.values())} (means over {len(own_few['seeds'])} seeds). Factors of the effective ranks of its "
    f"layers, as study 05 tells them, would be {one['effective'].mean():,.0f} numbers.",
    meaning="The three count different things. A slice is drawn blindly, and training finds what is in it; a ticket is "
    "chosen by training, and which weights are left is knowledge, too, which nobody counts here; factors of low rank "
    "are what the trained weights can do without being trained again. No claim is judged by this.",
)  # fmt: skip

# %% [markdown]
# ## 5. Do most weights compute simple functions?
#
# Now the second answer. A net of 7 inputs that are 0 or 1 computes one of $2^{128}$ functions, told by its 128 values.
# Draw weights at random: how likely is each? Algorithmic probability suggests [@dingle2018input]
#
# $$P(f)\lesssim 2^{-aK(f)+b},$$
#
# with $K$ the complexity of the string of values, in bits: here by how many different words Lempel and Ziv find when
# they cut it up [@lempel1976complexity], few if it repeats itself. Valle-Pérez and colleagues saw such a law for a net
# of two layers of 40 units [@valleperez2019deep]. `RandomFunctions.run` draws nets and counts. Two controls. The *same*
# functions with their values shuffled have as many ones, but no pattern: if probability goes with *their* complexity as
# well, the balance of ones and zeros is enough to explain it. And weights so large that tanh units are chaotic: inputs
# that hardly differ come out unrelated [@poole2016exponential].

# %%
drawing = configure(functions.RandomFunctions, drawn_at_random, own_few)
random = carry_out(study, {"random": drawing}, size=1)["random"]
settings(drawing)

# %%
land9 = study.check(claims.land_9(random))
plain = random.at(prior=drawing.priors[0])
likelier = land9.side("simple_is_likely", "the unlikely ones", "the likely ones", "neither likely nor unlikely")
degrees = "stronger", "weaker", "about as strong", "neither clearly stronger nor weaker"
shuffled = claims.word(land9, "correlation_minus_shuffled", 0.1, degrees)
study.figure(
    figures.simple(random), "simp", claims=["LAND-9"],
    alt="Probability of functions against their complexity for two laws of the weights; rank correlations.",
    caption=f"Rank correlation of complexity and probability: {land9['simple_is_likely']:+z.2f}; of the same functions "
    f"with their values shuffled {plain['shuffled_correlation'].mean():+z.2f}; with large weights and tanh "
    f"{land9['simple_is_likely_chaotic']:+z.2f}. Left: each point a function of one seed, the lowest "
    f"ones seen twice. Of {drawing.samples:,} nets' functions "
    f"{plain['seen_twice'].mean():,.0f} were seen at least twice, of {plain['seen'].mean():,.0f} in all.",
    meaning=f"Simple functions are {likelier} (LAND-9: {land9.word}); ranks tell an order, not that the fall is "
    f"exponential. With values shuffled, so that only the balance of ones and zeros is left, the relation is "
    f"{shuffled}: functions with few ones, or few zeros, are simple in whatever order.",
)  # fmt: skip

# %% [markdown]
# ## 6. Does training find what chance would?
#
# Take a target with at least a quarter of ones and of zeros, tell a net half of its 32 values, and train until these
# are right. It now computes one of $2^{16}$ functions. Which? Mingard and colleagues compare two probabilities
# [@mingard2021sgd]: that SGD ends there from a random start, and that a random net computes it *given* that it fits
# what was told, the Bayesian posterior: what chance would give among the nets that are right so far. Small functions
# allow what their paper could not do: draw millions of random nets and keep those that fit. `Found.run` does that, and
# trains thousands of nets from the same law of starts, by SGD and by Adam.

# %%
learning = configure(functions.Found, trained_on_half, own)
gained = carry_out(study, {"found": learning}, size=1)["found"]
settings(learning)

# %%
land10 = study.check(claims.land_10(gained))
bit = {rule: land10[f"{rule}_per_bit"] for rule in ("sgd", "adam")}
rarer = {rule: land10.side(f"{rule}_per_bit", "more often", "less often", "neither clearly more nor less often")
         for rule in bit}  # fmt: skip
steeper = land10.side("sgd_minus_random_per_bit", "less", "more", "neither clearly more nor less")
study.figure(
    figures.found(gained), "simp2", claims=["LAND-10"],
    alt="How often functions are found by their complexity: random networks that fit, SGD, Adam; slopes.",
    caption=f"Each bit of complexity changes how often SGD finds a function by a factor of {2 ** bit['sgd']:.2f}, Adam "
    f"by {2 ** bit['adam']:.2f}. In doublings per bit the slope of SGD differs by "
    f"{land10['sgd_minus_random_per_bit']:+z.2f} from that of random nets that fit. Points are functions of one seed.",
    meaning=f"Complex functions are found {rarer['sgd']} than simple ones by SGD, and {rarer['adam']} by Adam "
    f"(LAND-10: {land10.word}). SGD prefers simple ones {steeper} than chance does. The target has ones and "
    "zeros, but the other half of the values is free: the balance of section 5 may be at work here, too.",
)  # fmt: skip

# %%
land11 = study.check(claims.land_11(gained))
alike = land11.side("sgd_like_random", "above", "below", "not clearly on either side of", 0.5)
sharper = land11.side("sgd_on_random_slope", "sharpens", "evens out", "neither clearly sharpens nor evens out", 1)
study.figure(
    figures.bayes(gained), "bayes", claims=["LAND-11"],
    alt="Shares of networks that compute each function: SGD and Adam against random networks; rank correlations.",
    caption="Each point is a function. Rank correlation with random nets that fit: SGD "
    f"{land11['sgd_like_random']:+z.2f}, Adam "
    f"{land11['adam_like_random']:+z.2f}; two sets of SGD's own nets {land11['sgd_like_sgd']:+z.2f}. For each doubling "
    f"among random nets SGD's share goes up by {land11['sgd_on_random_slope']:.2f} doublings.",
    meaning=f"On these seeds the correlation is {alike} our bar of one half (LAND-11: {land11.word}). Counts scatter: "
    f"between two sets of nets that SGD trained alike it is {land11['sgd_like_sgd']:+z.2f}. SGD {sharper} what chance "
    "prefers. 'To first order' is a matter of where one puts the bar.",
)  # fmt: skip

# %% [markdown]
# ## Limits
#
# * **Small nets, easy images.** Two hidden layers on 8 × 8 digits (profile laptop). Residual nets on photographs,
#   where the papers saw their paths, are the profile paper.
# * **A path is found, not proved absent.** A curve that stays low shows that solutions are connected; one that does not
#   would only show that this bend was not found.
# * **Matching** brings weights nearest by a local search; a better order may close more of the barrier.
# * **Directions** are random in all weights. Tunnels have few special directions, and a median over random ones says
#   nothing of these.
# * **One training loss.** In section 3 all nets stop at one loss. Nets that train on to their end differ more.
# * **The bar of nine tenths** makes a dimension small: at 99 percent of the accuracy it is several times as large. It
#   hangs on the rate of training, and a grid of dimensions stands for all. For dense nets on MNIST the paper says 750;
#   with five times our images, or epochs, we still found fewer than 480 (200 units, seed 1000).
# * **Complexity** is a count of words in one string. Other orders of the inputs give other strings, and functions of
#   seven inputs leave few words to count.
# * **Balance.** In section 6 no control holds the balance of ones and zeros fixed among the functions that fit.
# * **Boolean functions.** The comparison with posteriors of nets on images, which the source cites, rests on an
#   approximation of the posterior, and is not run here. Posteriors are counted, so rare functions are known badly.
# * **Draws.** Each seed draws its own images from one pool; intervals say little of other data.
#
# **What was tuned**, on seeds from 1000 on, and left: nets of 8 units (some do not fit), bends of 300 steps, random
# nets of other laws (weights of variance 1 to 6, both codes of the inputs), targets that random nets compute too rarely
# to be drawn again, grids of dimensions, rates of training in slices, a learning rate of 0.2 in section 3 (some nets
# die). A first run on five seeds left four claims open for want of seeds; sections 1 to 3 and 6 have ten since then.
#
# ## Exercises
#
# 1. Bend the path of the first cell as a chain of two lines (`kind="chain"`). Is its corner as low? *Hint:* `along` at
#    $t=1/2$.
# 2. Permute the units of one net by hand, and walk from it to itself. How high is the barrier between a net and its own
#    copy? *Hint:* `redlib.measures.matching.reordered`.
# 3. Show that to second order the share of directions that go up depends on the step only through
#    $\epsilon\,\mathrm{tr}H/\lVert g\rVert$ in high dimensions. *Hint:* $\epsilon g\cdot u$ is normal.
# 4. Give a random slice the weights of the *last* layer only. How many dimensions does it need? *Hint:*
#    `requires_grad_(False)` on the others; `in_subspaces` moves what is trainable.
# 5. Sort the inputs of section 5 by their number of ones, and count again. Which functions become simple?

# %%
study.conclude(
    answer=f"How connected? On a trained curve between two nets of {widest} units the training error rises by {rises} "
    f"(LAND-1: {land1.word}); the peak on the straight line is {higher}, and {left} once both nets have their units in "
    f"one order (LAND-2: {land2.word}). How much room? A random step a tenth as long as the weights goes "
    f"{likely['trained']} from a trained net (LAND-3: {land3.word}); tunnels of low loss are {told['raw']} (LAND-4: "
    f"{land4.word}). Around wide nets they are {raw}, and barriers, the rises of the loss on the curve, {passes} with "
    f"the width (LAND-5: {land5.word}). Trained in {land6['dimension_at_90_percent']:.0f} random directions only, "
    f"{land6['dimension_over_parameters']:.1%} of all, a convolutional net reaches nine tenths of its accuracy "
    f"(LAND-6: {land6.word}); it needs {needs} a linear classifier, and in {claims.SLICE} it is {of_all} the best "
    f"small net (LAND-8: {land8.word}). How simple? Among random nets simple functions are {likelier} (LAND-9: "
    f"{land9.word}); with values shuffled, so that only the balance of ones and zeros is left, the relation is "
    f"{shuffled}. Training finds complex functions {rarer['sgd']} than simple ones (LAND-10: {land10.word}); its "
    f"preferences correlate with those of chance by {land11['sgd_like_random']:.2f} (LAND-11: {land11.word})."
)
