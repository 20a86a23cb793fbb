"""Inputs from which public functions once made a wrong number without a word: now they are refused, or right."""

import copy
from math import inf, nan

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from redlib.data import blur, mislabel, noise, replicates, transforms
from redlib.errors import BadInput
from redlib.evidence import compare, stats
from redlib.measures import (
    blurcurves,
    changepoint,
    collapse,
    concentration,
    connectivity,
    dip,
    ensembles,
    layers,
    leastsquares,
    matrices,
    meanfield,
    movement,
    neighbours,
    powerlaws,
    robustness,
    simplex,
    spectra,
    subsetsum,
)
from redlib.nets import StackedMLP
from redlib.pruning import allocation, criteria, masks, tickets
from redlib.training import Examples, fit

DRAW = np.random.default_rng(1000)
HUGE = 1e200  # its square is infinite


def reals(*shape):
    return torch.from_numpy(DRAW.standard_normal(shape))


W, X, Y = reals(8, 6), reals(12, 6).float(), torch.arange(12) % 3
IMAGES = torch.from_numpy(DRAW.random((4, 1, 6, 6))).float()
LOGITS, NEAR = reals(2, 12, 3), neighbours.nearest_neighbours(reals(12, 4), 2)
PRED, CURVE, SIGMAS = DRAW.integers(0, 3, (4, 30)), np.array([1.0, 0.8, 0.5, 0.2]), np.arange(4.0)
A, B, ONE_HOT = DRAW.standard_normal((10, 4)), DRAW.standard_normal((10, 3)), np.eye(3)[DRAW.integers(0, 3, 10)]
VALUES, PLACES = DRAW.standard_normal((3, 4)), np.arange(4.0)
SCORES, KEPT = {"a": reals(2, 4, 3)}, reals(2, 4, 3) > -0.5
GAPS = np.ma.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], mask=[0, 0, 1, 0, 0, 0])
COMPLEX = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) * (1 + 1j)
START, END, MASK = DRAW.standard_normal((2, 5, 4)), DRAW.standard_normal((2, 5, 4)), DRAW.random((2, 5, 4)) > 0.5
STACK = StackedMLP.create((6, 5, 3), (0, 1), "relu", "glorot")
WEIGHTS = masks.weights_of(STACK)


def mlp(*sizes):
    pairs = zip(sizes, sizes[1:], strict=False)
    return nn.Sequential(*[part for pair in pairs for part in (nn.Linear(*pair), nn.ReLU())][:-1])


def broken(value):
    """A net with one weight that is no number."""
    net = mlp(6, 5, 3)
    net[0].weight.data[0, 0] = value
    return net


def scored(criterion, value):
    """Scores of trained weights of which one is `value`."""
    final = {name: weights.clone() for name, weights in WEIGHTS.items()}
    final["layer1"][0, 0, 0] = value
    return criteria.score(criterion, criteria.Context(WEIGHTS, final, seeds=STACK.seeds))


def of_batch(x, y, criterion="snip"):
    return criteria.score(criterion, criteria.context_of(STACK, batch=(x, y)))


def loud(net):
    """Fill a net with NaN in place, as a training that diverged does."""
    net.flat.fill_(nan)


def synflow_of(scale, layers_=100):
    net = StackedMLP.create([6, *[32] * layers_, 3], (0,), "relu", "glorot")
    net.flat.mul_(scale)
    return criteria.score("synflow", criteria.context_of(net))


class Linears(nn.Module):
    """A net with an output for every one of several tokens."""

    def forward(self, x):
        return x[:, None].expand(-1, 12, -1)


REFUSED = {
    # numbers that a conversion would change
    "complex vectors": (lambda: spectra.ranks_of(COMPLEX), "eigenvalues.*complex"),
    "complex values": (lambda: powerlaws.fit_power_law(np.tile(COMPLEX, 10)), "values.*complex"),
    "complex curve": (lambda: blurcurves.area(CURVE * 1j, SIGMAS, 0, 3), "curve.*complex"),
    "complex runs": (lambda: changepoint.compare(PLACES, VALUES * 1j), "values.*complex"),
    "complex weights": (lambda: movement.excess_kurtosis(START * 1j), "values.*complex"),
    "complex inputs": (lambda: meanfield.empirical_q(STACK, X + 1j), "x = .*complex"),
    "complex net": (lambda: meanfield.empirical_q(nn.Sequential(nn.Linear(6, 3, dtype=torch.cfloat)), X), "complex"),
    "complex variance": (lambda: meanfield.q_map(np.array(1 + 1j), 1, 1), "q = .*complex"),
    "complex matrix": (lambda: leastsquares.min_norm(A * 1j, B), "matrix.*complex"),
    "complex candidates": (lambda: subsetsum.best_subset(1.0, COMPLEX), "candidates.*complex"),
    "complex labels": (lambda: neighbours.same_class_fraction(NEAR, Y.to(torch.cfloat)), "labels.*complex"),
    "complex labels to learn": (lambda: Examples(X, Y.to(torch.cfloat)), "y = .*complex"),
    "complex batch": (lambda: of_batch(X + 1j, Y), "inputs of the batch.*complex"),
    "complex sigma": (lambda: blur.blur(IMAGES, torch.tensor([1 + 1j])), "sigma.*complex"),
    "complex direction": (
        lambda: transforms.TRANSFORMS["gradient"](IMAGES, [1.0], direction=IMAGES + 1j),
        "direction.*complex",
    ),
    "complex seeds' values": (lambda: compare(COMPLEX, COMPLEX.real), "a = .*complex"),
    "complex weights for a real net": (
        lambda: masks.load_weights(STACK.clone(), {name: w + 1j for name, w in WEIGHTS.items()}),
        "imaginary",
    ),
    "gaps of eigenvalues": (lambda: spectra.ranks_of(GAPS), "1 masked"),
    "gaps of a curve": (lambda: blurcurves.roughness(GAPS), "1 masked"),
    "gaps of runs": (lambda: changepoint.compare(np.arange(6.0), GAPS[None]), "1 masked"),
    "gaps of seeds": (lambda: compare(GAPS, GAPS.data), "1 masked"),
    "gaps of a mask": (lambda: concentration.survivors(np.ma.array(MASK[0], mask=MASK[1])), "masked"),
    "gaps of labels": (lambda: noise.corrupt_labels(np.ma.array([0, 1], mask=[0, 1]), 0.5, 2, 0), "1 masked"),
    "gaps of examples": (lambda: Examples.from_numpy(np.ma.masked_less(X.numpy(), 0), Y.numpy()), "masked"),
    # tensors without a number at each place
    "sparse vectors": (lambda: simplex.cosines(W.to_sparse()), "vectors.*sparse"),
    "sparse weight": (lambda: spectra.esd(W.to_sparse()), "weight.*sparse"),
    "sparse images": (lambda: blur.blur(IMAGES[:, 0].to_sparse(), [1.0]), "x = .*sparse"),
    "sparse scores": (lambda: allocation.keep({"a": SCORES["a"].to_sparse()}, {"a": 3}), "scores of a.*sparse"),
    "vectors on meta": (lambda: simplex.cosines(W.to("meta")), "vectors.*meta"),
    "features on meta": (lambda: collapse.collapse([(X.to("meta"), Y)], 3), "features.*meta"),
    "scores on meta": (lambda: allocation.keep({"a": SCORES["a"].to("meta")}, {"a": 3}), "scores of a.*meta"),
    "quantised scores": (
        lambda: allocation.keep({"a": torch.quantize_per_tensor(W.float()[None], 0.1, 0, torch.qint8)}, {"a": 3}),
        "quantised",
    ),
    # NaN and infinity that finite numbers were made of
    "NaN decisions": (lambda: blurcurves.changed_rate(np.where(PRED, PRED, nan), PRED[0]), "whole numbers"),
    "halves of decisions": (lambda: blurcurves.changed_rate(PRED + 0.5, PRED[0]), "whole numbers"),
    "NaN outputs": (lambda: leastsquares.scores(ONE_HOT * nan, ONE_HOT), "NaN"),
    "NaN targets": (lambda: leastsquares.fewest_columns(A, ONE_HOT * nan, 0.1), "targets"),
    "NaN number of examples": (lambda: leastsquares.isotropic_risk(nan, 5, 1.0), "n >= 0"),
    "NaN bandwidth": (lambda: leastsquares.fourier_bank(3, 2, nan, 0), "bandwidth"),
    "infinite bandwidth": (lambda: leastsquares.fourier_bank(3, 2, inf, 0), "bandwidth"),
    "NaN trend": (lambda: changepoint.single_run_split_probability(VALUES, [1], 0.1, 9, 0, trend=nan), "trend"),
    "gradient at NaN": (lambda: robustness.gradient_sign(mlp(6, 3), X * nan, Y), "gradient.*NaN"),
    "gradient of NaN": (lambda: robustness.gradient_sign(broken(nan), X, Y), "gradient.*NaN"),
    "NaN variance": (lambda: spectra.tracy_widom_edge(10, 5, nan), "variance"),
    "negative variance": (lambda: spectra.tracy_widom_edge(10, 5, -1.0), "variance"),
    "infinite matrix": (lambda: spectra.tracy_widom_edge(inf, 5), "larger"),
    "infinite signal": (lambda: spectra.spike_location(inf, 2), "strength"),
    "softmax of infinity": (lambda: ensembles.ensemble_errors(torch.full_like(LOGITS, inf), Y), "infinity"),
    "infinite temperature": (lambda: criteria.Context(WEIGHTS, temperature=inf), "temperature"),
    "tickets of NaN by rank": (
        lambda: tickets.find_tickets(STACK, loud, 1, tickets.Cut(criterion="large_init_large_final")),
        "final weights of layer1.*NaN",
    ),
    "tickets of NaN by sign": (
        lambda: tickets.find_tickets(STACK, loud, 1, tickets.Cut(criterion="large_final_same_sign")),
        "final weights of layer1.*NaN",
    ),
    "flow that overflows": (lambda: synflow_of(1e4), "flow"),
    "flow that underflows": (lambda: synflow_of(1e-4), "flow"),
    # squares that overflow
    "angles of huge vectors": (lambda: simplex.cosines(W * HUGE), "overflow"),
    "spectrum of a huge weight": (lambda: spectra.esd(W * HUGE), "overflow"),
    "steps of huge values": (lambda: changepoint.compare(PLACES, VALUES * HUGE), "squares"),
    # shapes that broadcast, or flatten to one length
    "one-hot labels of as many classes": (
        lambda: ensembles.ensemble_errors(reals(2, 3, 3), torch.eye(3).long()),
        "label",
    ),
    "outputs and one target": (lambda: leastsquares.scores(B, ONE_HOT[:1]), "one shape"),
    "risk of unlike fits": (lambda: leastsquares.excess_risk([np.ones((4, 1))], np.ones((4, 4))), "shape of a fit"),
    "orders of some rows": (
        lambda: leastsquares.sgd_losses(A[None], B[None], np.array([0.1]), np.arange(4)[None, None], 5),
        "orders",
    ),
    "one direction for all": (
        lambda: robustness.smallest_step(mlp(6, 3), X, Y, torch.ones(12, 1), [1.0]),
        "shape of direction",
    ),
    "a counterpart for all": (lambda: robustness.image_correlations(IMAGES, IMAGES[:1]), "one shape"),
    "a change of one image": (lambda: transforms.change_norms(IMAGES, IMAGES[None, :1]), "same images"),
    "outputs per token": (
        lambda: connectivity.module_path_errors(nn.Linear(6, 3), nn.Linear(6, 3), reals(12, 12, 6).float(), Y, 3),
        "outputs",
    ),
    "a step per token": (lambda: robustness.smallest_step(Linears(), X, Y, X, [1.0]), "outputs"),
    "earlier mask, transposed": (
        lambda: allocation.keep(SCORES, {"a": 5}, {"a": KEPT.mT.reshape(2, 3, 4)}),
        "mask of a in `within`",
    ),
    "earlier mask of one replicate": (lambda: allocation.keep(SCORES, {"a": 5}, {"a": KEPT[:1]}), "mask of a"),
    "earlier mask missing": (lambda: allocation.keep(SCORES, {"a": 5}, {}), "mask of a"),
    "earlier mask of floats": (lambda: allocation.keep_global(SCORES, 5, {"a": KEPT.float()}), "mask of a"),
    "unlike replicates": (lambda: allocation.keep(SCORES | {"b": reals(3, 2, 2)}, {"a": 1, "b": 1}), "replicates"),
    "a weight without replicates": (lambda: allocation.keep({"a": nn.Parameter(W)}, {"a": 2}), "replicate axis"),
    "final weights, transposed": (lambda: movement.movement_ratio(START, END.swapaxes(1, 2), MASK), "shape of final"),
    "mask, transposed": (lambda: movement.movement_ratio(START, END, MASK.swapaxes(1, 2)), "shape of mask"),
    "one list for replicates": (lambda: dip.density_at_zero(VALUES[0]), r"\[R, K\]"),
    "changes of one image": (lambda: blurcurves.roughness_parts(CURVE), r"\[S, n\]"),
    # labels
    "labels that are no output": (lambda: ensembles.ensemble_errors(LOGITS, Y + 5), "labels"),
    "labels left out": (lambda: ensembles.ensemble_errors(LOGITS, torch.full((12,), -100)), "labels"),
    "labels of floats": (lambda: ensembles.ensemble_errors(LOGITS, Y + 0.5), "labels"),
    "no labels": (lambda: ensembles.ensemble_errors(LOGITS[:, :0], Y[:0]), "label"),
    "steps of labels that are no output": (
        lambda: robustness.smallest_step(mlp(6, 3), X, Y + 9, X, [1.0]),
        "labels",
    ),
    "gap of one class": (lambda: robustness.logit_gap(reals(5, 1), torch.zeros(5).long()), "classes"),
    "gap of a label beyond": (lambda: robustness.logit_gap(reals(5, 3), torch.full((5,), 3)), "labels"),
    "batch with labels left out": (lambda: of_batch(X, Y - 100), "labels of the batch"),
    "batch with labels beyond": (lambda: of_batch(X, Y + 1), "labels of the batch"),
    "batch with labels of floats": (lambda: of_batch(X, Y.float()), "labels"),
    "empty batch": (lambda: of_batch(X[:0], Y[:0]), "batch"),
    "halves of classes": (lambda: blurcurves.matched_counts([0.5, 1.9], [0, 1]), "whole numbers"),
    "a label that is missing": (
        lambda: Examples.from_pandas(pd.DataFrame({"x": [1.0, 2.0], "y": ["a", None]}), "y"),
        "1 missing",
    ),
    "path over no examples": (
        lambda: connectivity.path_errors(STACK, STACK, Examples(X[:0], Y[:0]), 3),
        "number of examples",
    ),
    # masks that are none, rows that are none
    "a group of whole numbers": (lambda: collapse.nc1_among(X[None], Y, torch.ones(1, 12).long(), 3), "among"),
    "another group of them": (
        lambda: robustness.changed_shares(mlp(36, 3), "blur", IMAGES, Y[:4], torch.ones(4).long(), [1.0], 0),
        "group",
    ),
    "density of weights": (lambda: masks.density(WEIGHTS), "mask layer1"),
    "counts of a parameter": (lambda: masks.counts({"a": nn.Parameter(W)}), "mask a"),
    "degrees of weights": (lambda: masks.degrees(reals(1, 4, 3)), "mask and groups"),
    "masks that scale": (
        lambda: STACK.clone().apply_masks([torch.full_like(w, 0.5) for w in STACK.weights]),
        "type of mask",
    ),
    "rows of truth values": (lambda: replicates.corrupt_rows(Y, (torch.arange(12) < 7)[None], 0.5, 3, [0]), "rows"),
    "what is cut already": (
        lambda: allocation.keep({"a": SCORES["a"].masked_fill(~KEPT, -inf)}, {"a": 12}),
        "weights kept in a",
    ),
    "levels that are not nested": (
        lambda: tickets.survival([{"a": torch.tensor([[[True, False]]])}, {"a": torch.tensor([[[False, True]]])}]),
        "nested",
    ),
    "neighbours twice": (
        lambda: neighbours.neighbourhood_overlap(torch.zeros(1, 5, 3).long(), torch.zeros(1, 5, 3).long()),
        "one twice",
    ),
    "neighbours beyond": (lambda: neighbours.same_class_fraction(NEAR + 11, Y), "0 ... 11"),
    # numbers that have to be whole, or of one sign
    "3.5 classes": (lambda: noise.corrupt_labels(Y, 0.5, 3.5, 0), "classes"),
    "3.5 other classes": (lambda: mislabel.mislabel(Y, 2, 3.5, 0), "classes"),
    "a round and a half": (lambda: allocation.round_counts({"a": (4, 3)}, 1.5), "rounds"),
    "5.5 weights": (lambda: allocation.random_masks({"a": (4, 3)}, {"a": 5.5}, [0]), "weights kept in a"),
    "NaN weights": (lambda: allocation.random_masks({"a": (4, 3)}, {"a": nan}, [0]), "weights kept in a"),
    "5.5 best weights": (lambda: allocation.keep(SCORES, {"a": 5.5}), "weights kept in a"),
    "70.5 inputs": (lambda: spectra.fit_bulk(DRAW.random(60), 70.5), "larger"),
    "2.5 layers": (lambda: meanfield.c_profile(0.5, 1.0, 0.1, 2.5), "depth"),
    "2.5 points": (lambda: connectivity.points(2.5), "alphas"),
    "2.7 successes": (lambda: stats.wilson(2.7, 5), "successes"),
    "seeds of floats": (lambda: fit(mlp(6, 3), Examples(X, Y), epochs=1, seeds=[1.9]), "seed"),
    "negative examples": (lambda: leastsquares.isotropic_risk(-3, 5, 1.0), "n >= 0"),
    "negative times": (lambda: leastsquares.gd_excess(A[None], B[None], np.array([0.1]), [-1]), "times"),
    "negative singular values": (lambda: meanfield.spectrum_summary(-W.abs()), "singular values"),
    "negative weights of a mean": (lambda: stats.weighted_mean([1.0, 2.0], [-1.0, 2.0], 0), "weights"),
    "negative attack": (
        lambda: robustness.attacked(mlp(36, 3), IMAGES, Y[:4], -0.1, 2, np.random.default_rng(0)),
        "epsilon",
    ),
    "attack without a step": (
        lambda: robustness.attacked(mlp(36, 3), IMAGES, Y[:4], 0.1, 0, np.random.default_rng(0)),
        "steps",
    ),
    "attack on standardised images": (
        lambda: robustness.attacked(mlp(36, 3), 6 * IMAGES - 3, Y[:4], 0.1, 2, np.random.default_rng(0)),
        "grey values",
    ),
    # orders and names
    "a curve over x in no order": (lambda: blurcurves.height_at(CURVE, [0, 2, 1, 3], 1.5), "rising or falling"),
    "seeds in another order": (
        lambda: compare(pd.Series([1.0, 2.0], index=[0, 1]), pd.Series([2.0, 1.0], index=[1, 0])),
        "index",
    ),
    "paired?": (lambda: compare([1.0, 2.0], [0.0, 1.0], paired="no"), "paired"),
    # nets
    "a net that is frozen": (lambda: fit(mlp(6, 3).requires_grad_(False), Examples(X, Y), epochs=1), "frozen"),
    "a net inside another": (
        lambda: criteria.score("snip", criteria.context_of(nn.DataParallel(mlp(6, 3)), batch=(X, Y))),
        "net.module",
    ),
    "weight norm, scored": (
        lambda: criteria.context_of(nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 3)))),
        "remove_weight_norm",
    ),
    "weight norm, pruned": (
        lambda: allocation.pruned(nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 3))), 0.5),
        "remove_weight_norm",
    ),
    "spectral norm, pruned": (
        lambda: allocation.pruned(nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3))), 0.5),
        "computed",
    ),
    "a stack and a module": (lambda: connectivity.line_errors(STACK, mlp(6, 5, 3), Examples(X, Y)), "two stacks"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("call, what", REFUSED.values(), ids=REFUSED)
def test_what_gave_a_wrong_number_is_refused_by_name(call, what):
    with pytest.raises(BadInput, match=what):
        call()


@pytest.mark.parametrize("criterion", ["large_init_large_final", "large_final_same_sign", "movement", "small_final"])
@pytest.mark.parametrize("value", [nan, inf])
def test_weights_that_are_not_finite_have_no_score(criterion, value):
    assert scored(criterion, 1.0)["layer1"].isfinite().all()
    with pytest.raises(BadInput, match="final weights of layer1"):
        scored(criterion, value)


# ---- what is right now ------------------------------------------------------------------------------------


def hooked(kind):
    layer = nn.Linear(6, 8)
    if kind == "pruned":
        prune.l1_unstructured(layer, "weight", 0.5)
    else:
        getattr(nn.utils, kind)(layer)
    return layer


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["pruned", "weight_norm", "spectral_norm"])
def test_weights_that_hooks_compute_are_those_of_the_next_forward_pass(kind):
    torch.manual_seed(0)
    net = nn.Sequential(hooked(kind)).eval()
    net(X)
    with torch.no_grad():  # a step of an optimiser, after which the attribute `weight` is of the pass before it
        for parameter in net.parameters():
            parameter.mul_(3).add_(0.1)
    weight, spectrum, chain = masks.weights_of(net)["0"].clone(), spectra.esd(net[0]), meanfield.empirical_q(net, X)
    before = net[0].weight.detach().clone()
    net(X)
    assert torch.equal(weight[0], net[0].weight) and not torch.equal(before, net[0].weight)
    assert np.array_equal(spectrum, spectra.esd(net[0].weight.detach()))
    assert torch.allclose(chain, net(X).double().square().mean(1)[None, None])


def test_looking_at_a_weight_takes_no_step_of_spectral_norms_power_iteration():
    torch.manual_seed(0)
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)))
    before = copy.deepcopy(net.state_dict())
    masks.weights_of(net), spectra.esd(net[0]), masks.density(masks.masks_of(net))
    assert net.training and net[0].parametrizations.weight[0].training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net(X)
    assert any(not torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_masked_layers_of_several_nets_are_replicates():
    nets = [nn.Sequential(nn.Linear(6, 8)) for _ in range(2)]
    found = {"0": torch.rand(2, 8, 6, generator=torch.Generator().manual_seed(0)) > 0.3}
    masks.apply(nets, found)
    acting = torch.stack([net[0].weight.detach() for net in nets])
    assert np.array_equal(spectra.esd([net[0] for net in nets]), spectra.esd(acting, replicates=True))


def test_one_module_is_one_replicate_and_its_parts_are_none():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    assert layers.classifier_of(net)[0].shape == (1, 6, 6) and torch.equal(
        layers.classifier_of(net)[0][0], net[2].weight
    )
    nested = nn.Sequential(nn.Sequential(nn.Linear(6, 6)), nn.Sequential(nn.Linear(6, 6)))
    assert [tuple(layer.shape) for layer in layers.layers_of(nested, X)] == [(1, 12, 6)] * 3
    assert torch.equal(layers.layers_of(nested, X)[-1][0], nested(X)) and len(layers.replicates_of(nested)) == 1
    assert robustness.margins(nested, X, Y, [1.0]).shape == (1, 12)
    assert connectivity.line_errors(nested, copy.deepcopy(nested), Examples(X, Y), 3).shape == (1, 3)


def test_a_class_above_127_keeps_its_number():
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 300))
    with torch.no_grad():
        net[1].bias[200] = 99.0
    assert np.array_equal(robustness.blurred_decisions([net], IMAGES, [0.5]), np.full((1, 1, 4), 200))
    own, all_ = robustness.decisions(net, IMAGES), torch.ones(4).bool()
    assert robustness.changed_shares(net, "blur", IMAGES, own, all_, [0.1], 0)[0] == 0
    few = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    assert robustness.blurred_decisions([few], IMAGES, [0.5]).dtype == np.int8


def test_a_point_that_is_not_known_may_be_the_last_above_the_bar():
    assert blurcurves.last_fall([1.0, nan, 0.8, 0.2], SIGMAS, 0.5) == pytest.approx(2.5)  # an earlier gap tells nothing
    assert np.isnan(blurcurves.last_fall([1.0, 0.9, 0.2, nan], SIGMAS, 0.5))
    assert np.isnan(blurcurves.last_fall([1.0, 0.9, nan, 0.2], SIGMAS, 0.5))
    assert np.isnan(blurcurves.height_at(CURVE, [0, 1, nan, 3], 2.5))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.cells(x)[0][:, -1])


def test_no_bias_of_any_name_takes_part_in_synflow():
    torch.manual_seed(0)
    net = Recurrent()
    first = criteria.score("synflow", criteria.context_of(net, input_shape=(5, 3)))
    with torch.no_grad():
        for name, values in net.named_parameters():
            if "bias" in name:
                values.add_(3)
    second = criteria.score("synflow", criteria.context_of(net, input_shape=(5, 3)))
    assert all(torch.equal(values, second[name]) and values.any() for name, values in first.items())


def test_whole_numbers_are_ranked_without_rounding():
    scores = {"a": torch.tensor([[[2**24 + 1]]]), "b": torch.tensor([[[2.0**24]]])}
    kept = allocation.keep_global(scores, 1, allow_empty=True)
    assert kept["a"].all() and not kept["b"].any()
    kept = allocation.keep({"a": (10 * SCORES["a"]).long()}, {"a": 3}, {"a": KEPT})["a"]
    assert kept.flatten(1).sum(1).tolist() == [3, 3] and not (kept & ~KEPT).any()


def test_small_types_of_labels_and_whole_floats_are_taken():
    small = Y.to(torch.uint8)
    assert all(torch.equal(a, b) for a, b in zip(of_batch(X, small).values(), of_batch(X, Y).values(), strict=True))
    told = mislabel.mislabel_rows(small, 2, 3, [0, 1])
    assert torch.equal(told, mislabel.mislabel_rows(Y.numpy(), 2, 3, [0, 1])) and told.dtype == torch.int64
    noisy = noise.corrupt_labels(Y, 0.5, 3.0, 0)[0]
    assert torch.equal(noisy, noise.corrupt_labels(Y, 0.5, 3, 0)[0]) and noisy.dtype == torch.int64
    rows = torch.arange(12, dtype=torch.uint8)[None]
    assert torch.equal(
        replicates.corrupt_rows(Y, rows, 0.5, 3, [0]), replicates.corrupt_rows(Y, rows.long(), 0.5, 3, [0])
    )
    assert np.array_equal(blurcurves.changed_rate(PRED * 1.0, PRED[0]), blurcurves.changed_rate(PRED, PRED[0]))


def test_the_largest_weight_that_is_taken_has_a_finite_spectrum():
    assert np.isfinite(spectra.esd(torch.eye(3).double() * matrices.LARGEST)).all()
