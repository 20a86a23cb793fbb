"""Measures against torch, NumPy and SciPy, over shapes, types and layouts; and what must not matter to them."""

import itertools

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from layouts import DTYPES, FEW, OF_NUMPY, SEEDS, TENSORS, arranged, laid, normal
from torch import nn

from redlib.measures import (
    blurcurves,
    changepoint,
    collapse,
    concentration,
    connectivity,
    dip,
    ensembles,
    leastsquares,
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

SIDE = st.integers(1, 6)


def close(one, other, tolerance=1e-9):
    one, other = (part.detach().numpy() if isinstance(part, torch.Tensor) else np.array(part) for part in (one, other))
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# ---- spectra ----------------------------------------------------------------------------------------------

KERNELS = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TURNED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@FEW
@given(SEEDS, SIDE, SIDE, st.integers(0, 3), st.integers(1, 3), DTYPES, TENSORS)
def test_spectra_and_ranks_of_a_weight_are_those_of_its_matrix(seed, out, inputs, axes, size, dtype, layout):
    weight = normal(seed, out, inputs, *[size] * axes, dtype=dtype)
    singular = torch.linalg.svdvals(weight.double().flatten(1)).numpy()
    given_weight = laid(weight, layout)
    close(spectra.esd(given_weight, replicates=False)[0], singular**2 / max(out, inputs * size**axes))
    close(spectra.stable_rank(given_weight, replicates=False)[0], (singular**2).sum() / singular[0] ** 2)
    share = singular / singular.sum()
    close(spectra.effective_rank(given_weight, replicates=False)[0], np.exp(scipy.stats.entropy(share)))
    assert spectra.numerical_rank(given_weight, replicates=False)[0] == np.linalg.matrix_rank(
        weight.double().flatten(1).numpy(), rtol=torch.finfo(dtype).eps * max(weight.flatten(1).shape)
    )


@FEW
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_the_spectrum_of_a_layer_pools_its_groups(seed, groups, out, inputs, axes, turned):
    torch.manual_seed(seed % 2**31)
    if axes == 0:
        groups, turned = 1, False
        layer = nn.Linear(inputs, out)
    else:
        layer = (TURNED if turned else KERNELS)[axes](groups * inputs, groups * out, 2, groups=groups)
    blocks = layer.weight.detach().double().flatten(1).chunk(groups)
    each = [np.linalg.svd(block.numpy(), compute_uv=False) ** 2 / max(block.shape) for block in blocks]
    close(spectra.esd(layer)[0], np.sort(np.concatenate(each))[::-1])
    close(spectra.esd([layer, layer]), np.repeat(spectra.esd(layer), 2, 0))


@FEW
@given(SEEDS, st.integers(2, 6), st.integers(2, 6), st.integers(1, 4))
def test_a_spectrum_knows_no_order_no_side_and_no_neighbour(seed, out, inputs, replicates):
    stack = normal(seed, replicates, out, inputs)
    found = spectra.esd(stack, True)
    draw = torch.Generator().manual_seed(seed % 2**31)
    shuffled = stack[:, torch.randperm(out, generator=draw)][:, :, torch.randperm(inputs, generator=draw)]
    close(spectra.esd(shuffled, True), found)
    close(spectra.esd(stack.mT, True), found)
    close(spectra.esd(-3 * stack, True), 9 * found)
    close(spectra.esd(stack[-1]), found[-1:], 1e-12)


@FEW
@given(SEEDS, st.integers(2, 7), st.integers(2, 7), st.data())
def test_top_k_is_the_best_approximation_of_its_rank(seed, out, inputs, data):
    k = data.draw(st.integers(0, min(out, inputs)))
    weight, start = normal(seed, out, inputs), normal(seed + 1, out, inputs)
    kept = spectra.top_k(weight, start, k)
    left = torch.linalg.svdvals(weight - start)[k:]
    close((weight - kept).norm(), left.norm())
    assert torch.linalg.matrix_rank(kept - start, atol=1e-9, rtol=0) <= k
    close(spectra.residual_norms(weight, start, kept)["residual"], [left[0] if len(left) else 0.0])


# ---- neural collapse --------------------------------------------------------------------------------------


def scattered(seed, classes, width, each, dtype=torch.float64):
    """Features with distinct class means, and labels in random order, at least one of each class."""
    draw = np.random.default_rng(seed)
    labels = torch.from_numpy(draw.permutation(np.arange(classes * each) % classes))
    return (normal(seed, classes, width)[labels] * 2 + normal(seed + 1, len(labels), width)).to(dtype), labels


@FEW
@given(SEEDS, st.integers(2, 4), st.integers(2, 6), st.integers(2, 5), DTYPES, TENSORS)
def test_collapse_is_what_its_formulas_say(seed, classes, width, each, dtype, layout):
    features, labels = scattered(seed, classes, width, each, dtype)
    weight, bias = normal(seed + 2, classes, width), normal(seed + 3, classes)
    found = collapse.collapse([(laid(features, layout), labels.to(torch.uint8))], classes, (weight, bias))
    h = features.double()
    means = torch.stack([h[labels == c].mean(0) for c in range(classes)])
    centred = means - means.mean(0)
    around = h - means[labels]
    within, between = around.T @ around / len(h), centred.T @ centred / classes
    close(found["nc1"][0], (within @ torch.linalg.pinv(between, rtol=1e-13)).trace() / classes, 1e-6)
    close(found["nc1_ratio"][0], within.trace() / between.trace())
    norms = centred.norm(dim=1)
    close(found["nc2_norms"][0], norms.std(correction=0) / norms.mean())
    pairs = [torch.cosine_similarity(a, b, dim=0) for a, b in itertools.combinations(centred, 2)]
    close(found["nc2_angles"][0], torch.stack([(pair + 1 / (classes - 1)).abs() for pair in pairs]).mean(), 1e-7)
    close(found["nc3"][0], (weight / weight.norm() - centred / centred.norm()).square().sum())
    nearest = torch.cdist(h, means).argmin(1)
    close(found["nc4"][0], ((h @ weight.T + bias).argmax(1) != nearest).double().mean())


@FEW
@given(SEEDS, st.integers(2, 4), st.integers(3, 6), st.integers(2, 5), st.integers(1, 9))
def test_collapse_knows_no_order_no_batches_no_scale_and_no_neighbour(seed, classes, width, each, batch):
    features, labels = scattered(seed, classes, width, each)
    found = collapse.collapse([(features, labels)], classes)
    parts = list(zip(features.split(batch), labels.split(batch), strict=True))
    draw = np.random.default_rng(seed)
    names, order = torch.from_numpy(draw.permutation(classes)), torch.from_numpy(draw.permutation(len(labels)))
    turn = torch.linalg.qr(normal(seed + 5, width, width)).Q
    others = torch.stack([normal(seed + 6, *features.shape), features])
    for same in (
        collapse.collapse(parts, classes),
        collapse.collapse([(features[order], labels[order])], classes),
        collapse.collapse([(features, names[labels])], classes),
        collapse.collapse([(5 * features @ turn + 1, labels)], classes),
        {name: values[1:] for name, values in collapse.collapse([(others, labels)], classes).items()},
    ):
        for name, values in found.items():
            close(same[name], values, 1e-7)


@FEW
@given(SEEDS, st.integers(3, 12), st.integers(1, 4), DTYPES, TENSORS, st.data())
def test_neighbours_are_the_nearest_and_their_classes_are_counted(seed, n, width, dtype, layout, data):
    k = data.draw(st.integers(1, n - 1))
    features = normal(seed, n, width, dtype=dtype)
    found = neighbours.nearest_neighbours(laid(features, layout), k)[0]
    apart = (features.double()[:, None] - features.double()).norm(dim=-1)
    close(apart.gather(1, found), apart.fill_diagonal_(torch.inf).sort(1).values[:, :k], 1e-6)
    assert not (found == torch.arange(n)[:, None]).any()
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, n))
    close(
        neighbours.same_class_fraction(found[None], labels.to(torch.int8))[0],
        np.mean([[labels[j] == labels[i] for j in found[i].tolist()] for i in range(n)]),
    )
    other = neighbours.nearest_neighbours(normal(seed + 1, n, 2), k)[0]
    shared = [len({*one} & {*two}) / k for one, two in zip(found.tolist(), other.tolist(), strict=True)]
    close(neighbours.neighbourhood_overlap(found[None], other[None])[0], np.mean(shared))


@FEW
@given(SEEDS, st.integers(2, 7), st.integers(1, 7), DTYPES, TENSORS)
def test_angles_are_torchs_and_bounded_by_those_of_frames(seed, count, dim, dtype, layout):
    vectors = normal(seed, count, dim, dtype=dtype)
    v = vectors.double()
    pairs = [torch.cosine_similarity(v[i], v[j], dim=0) for i, j in itertools.combinations(range(count), 2)]
    found = simplex.cosines(laid(vectors, layout))[0]
    close(found, torch.stack(pairs), 1e-7)
    sizes = torch.arange(1, count + 1)[:, None]
    close(simplex.cosines(vectors.double() * sizes)[0], found, 1e-7)
    assert simplex.coherence(vectors)[0] >= simplex.welch_bound(count, dim) - 1e-9
    assert simplex.frame_potential(vectors)[0] >= simplex.least_frame_potential(count, dim) - 1e-9


# ---- power laws, dips, steps, least squares ---------------------------------------------------------------


@FEW
@given(SEEDS, st.integers(50, 70), st.floats(1.5, 4), OF_NUMPY)
def test_a_power_law_is_the_nearest_of_all_tails(seed, n, alpha, layout):
    values = np.random.default_rng(seed).pareto(alpha - 1, n) + 1
    fit = powerlaws.fit_power_law(arranged(values, layout))
    best = (np.inf, 0.0, 0.0)
    for least in values:
        tail = np.sort(values[values >= least])
        if len(tail) >= powerlaws.LEAST_TAIL:
            slope = 1 + len(tail) / np.log(tail / least).sum()
            below = np.arange(len(tail)) / len(tail)
            best = min(best, (np.abs(1 - (tail / least) ** (1 - slope) - below).max(), slope, least))
    close([fit.distance[0], fit.alpha[0], fit.xmin[0]], best, 1e-7)
    scaled = powerlaws.fit_power_law(8 * values)
    close(scaled.alpha, fit.alpha)
    close(scaled.xmin, 8 * fit.xmin)


@FEW
@given(SEEDS, st.integers(4, 40), st.floats(0.5, 50), st.floats(-5, 5), OF_NUMPY)
def test_a_dip_knows_neither_place_nor_scale_nor_side_nor_order(seed, n, scale, shift, layout):
    sample = np.round(np.random.default_rng(seed).standard_normal(n), 1)  # with ties
    assume(np.ptp(sample) > 0)
    found = dip.dip(arranged(sample, layout))
    assert 1 / (2 * n) - 1e-12 <= found <= 0.25
    for same in (scale * sample + shift, -sample, sample[::-1]):
        assert dip.dip(same) == pytest.approx(found, abs=1e-9)


@FEW
@given(SEEDS, st.integers(1, 4), st.integers(3, 7), OF_NUMPY)
def test_the_best_step_is_the_best_of_all(seed, seeds, places, layout):
    draw = np.random.default_rng(seed)
    values, x = draw.standard_normal((seeds, places)), np.cumsum(draw.random(places) + 0.1)
    found = changepoint.compare(arranged(x, layout), arranged(values, layout))
    n = values.size
    parts = [np.split(values, [at], axis=1) for at in range(1, places)]
    rest = [sum(((part - part.mean()) ** 2).sum() for part in pair) for pair in parts]
    assert found.bic["step"] == pytest.approx(n * np.log(min(rest) / n) + 4 * np.log(n))
    assert found.break_at == pytest.approx((x[:-1] + x[1:])[int(np.argmin(rest))] / 2)
    line = scipy.stats.linregress(np.tile(x, seeds), values.ravel())
    left = values - line.intercept - line.slope * x
    assert found.bic["linear"] == pytest.approx(n * np.log((left**2).mean()) + 3 * np.log(n))


@FEW
@given(SEEDS, st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.floats(0.01, 10))
def test_least_squares_is_numpys_and_ridge_solves_its_equations(seed, n, count, outputs, penalty):
    a, y = normal(seed, n, count).numpy(), normal(seed + 1, n, outputs).numpy()
    close(leastsquares.min_norm(np.flip(np.flip(a).copy()), y), np.linalg.pinv(a) @ y, 1e-6)
    ridge = leastsquares.ridge_path(np.asfortranarray(a), y, [penalty])[0]
    close((a.T @ a + penalty * np.eye(count)) @ ridge, a.T @ y, 1e-7)


@FEW
@given(SEEDS, st.integers(0, 9), st.floats(-3, 3), OF_NUMPY)
def test_no_subset_comes_nearer(seed, n, target, layout):
    values = np.random.default_rng(seed).uniform(-1, 1, n)
    sums = [abs(target - np.dot(bits, values)) for bits in itertools.product([0, 1], repeat=n)]
    assert subsetsum.best_subset_error(target, arranged(values, layout)) == pytest.approx(min(sums), abs=1e-12)


# ---- masks, movements, curves -----------------------------------------------------------------------------


@FEW
@given(
    SEEDS, st.integers(2, 6), st.integers(2, 6), st.floats(0.2, 0.8), st.sampled_from(["Fortran", "negative strides"])
)
def test_concentration_knows_no_order_of_units_and_trades_keep_both_margins(seed, out, inputs, density, layout):
    draw = np.random.default_rng(seed)
    mask = draw.random((out, inputs)) < density
    kept = arranged(mask, layout)
    assert [counts[0].tolist() for counts in concentration.survivors(kept)] == [
        mask.sum(1).tolist(),
        mask.sum(0).tolist(),
    ]
    shuffled = mask[draw.permutation(out)][:, draw.permutation(inputs)]
    for measure in (concentration.variance_ratio, concentration.co_survival, concentration.shared_inputs):
        close(measure(shuffled), measure(kept))
    close(concentration.variance_ratio(mask.T, "outgoing"), concentration.variance_ratio(mask, "incoming"))
    table = mask.copy()
    concentration.trade(table, draw)
    assert table.sum(0).tolist() == mask.sum(0).tolist() and table.sum(1).tolist() == mask.sum(1).tolist()


@FEW
@given(SEEDS, st.integers(1, 3), st.integers(2, 6), st.integers(2, 6), OF_NUMPY)
def test_movement_and_kurtosis_are_numpys_and_scipys(seed, replicates, out, inputs, layout):
    start, end = (normal(seed + i, replicates, out, inputs).numpy() for i in (0, 1))
    mask = np.random.default_rng(seed).random(start.shape) < 0.5
    moved = np.abs(end - start)
    expected = [
        np.median(m[k]) / np.median(m[~k]) if k.any() and not k.all() else np.nan
        for m, k in zip(moved, mask, strict=True)
    ]
    close(movement.movement_ratio(arranged(start, layout), end, mask), expected)
    close(movement.excess_kurtosis(arranged(end, layout)), scipy.stats.kurtosis(end.reshape(replicates, -1), axis=1))


@FEW
@given(SEEDS, st.integers(2, 7), st.integers(1, 9), OF_NUMPY)
def test_curves_are_shares_and_areas_those_of_a_fine_grid(seed, strengths, images, layout):
    draw = np.random.default_rng(seed)
    decisions = draw.integers(0, 3, (strengths, images))
    found = blurcurves.changed_rate(np.flip(np.flip(decisions).copy()).astype(np.int8), decisions[0])
    close(found, [np.mean(row != decisions[0]) for row in decisions])
    sigmas, curve = np.cumsum(draw.random(strengths) + 0.1), draw.random(strengths)
    low, high = np.quantile(sigmas, [0.2, 0.9])
    fine = np.unique(np.concatenate([np.linspace(low, high, 4001), sigmas[(sigmas > low) & (sigmas < high)]]))
    expected = np.trapezoid(np.interp(fine, sigmas, curve), fine) / (high - low)
    close(blurcurves.area(arranged(curve, layout), sigmas, low, high), expected, 1e-7)
    close(blurcurves.height_at(curve, arranged(sigmas, layout), low), np.interp(low, sigmas, curve))
    close(blurcurves.height_at(curve[::-1], sigmas[::-1], low), np.interp(low, sigmas, curve))


# ---- nets -------------------------------------------------------------------------------------------------


def tanh_net(seed, *sizes):
    torch.manual_seed(seed % 2**31)
    parts = [part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), nn.Tanh())][:-1]
    return nn.Sequential(*parts)


@FEW
@given(SEEDS, st.lists(st.integers(1, 5), min_size=3, max_size=4), st.integers(1, 4), TENSORS)
def test_signals_are_those_of_the_forward_pass_and_its_derivative(seed, sizes, batch, layout):
    net, x = tanh_net(seed, *sizes).double(), normal(seed, batch, sizes[0])
    given_x = laid(x, layout)
    h, layers = x, []
    for part in net:
        h = part(h)
        if isinstance(part, nn.Linear):
            layers.append(h)
    close(meanfield.empirical_q(net, given_x)[0], torch.stack([one.square().mean(1) for one in layers]))
    slopes = torch.stack([torch.autograd.functional.jacobian(net, row) for row in x])
    close(meanfield.jacobian(net, given_x)[0], slopes)
    close(meanfield.jacobian_spectrum(net, given_x)[0], torch.linalg.svdvals(slopes))
    last = nn.Sequential(*list(net)[-2:])
    gains = torch.stack([torch.autograd.functional.jacobian(last, row).square().sum() for row in layers[-2]])
    close(meanfield.empirical_chi(net, given_x)[0, -1], gains / sizes[-1])


@FEW
@given(SEEDS, st.integers(2, 4), st.sampled_from(["relu", "tanh"]))
def test_a_replicate_alone_has_the_signals_it_has_among_others(seed, replicates, activation):
    net = StackedMLP.create((3, 4, 2), range(replicates), activation, "glorot")
    x = normal(seed, 5, 3, dtype=torch.float32)
    for measure in (meanfield.empirical_q, meanfield.empirical_c, meanfield.empirical_chi, meanfield.jacobian_spectrum):
        close(measure(net.select([replicates - 1]), x), measure(net, x)[-1:], 1e-12)


@FEW
@given(SEEDS, st.integers(1, 9), st.sampled_from([torch.int64, torch.uint8, torch.int16]), TENSORS)
def test_the_ends_of_a_path_are_the_nets_and_members_are_averaged(seed, n, kind, layout):
    nets = [tanh_net(seed + i, 4, 5, 3).float() for i in (0, 1)]
    x, labels = normal(seed, n, 4, dtype=torch.float32), torch.from_numpy(np.random.default_rng(seed).integers(0, 3, n))
    outputs = torch.stack([net(x) for net in nets])
    wrong = (outputs.argmax(-1) != labels).double().mean(1)
    found = connectivity.module_path_errors(*nets, laid(x, layout), labels.to(kind), 3)
    close(found[[0, 2]], wrong)
    close(connectivity.barrier(found), found.max() - wrong.mean())
    together, alone = ensembles.ensemble_errors(laid(outputs.detach(), layout), labels.to(kind))
    close(together, (outputs.softmax(-1).mean(0).argmax(-1) != labels).double().mean())
    close(alone, wrong.mean())


@FEW
@given(SEEDS, st.integers(1, 6), st.integers(2, 4), TENSORS)
def test_the_gap_and_its_sign_are_autograds(seed, n, classes, layout):
    net, x = tanh_net(seed, 3, 4, classes), normal(seed, n, 3, dtype=torch.float32)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, n))
    moving = x.clone().requires_grad_()
    outputs = net(moving)
    gaps = torch.stack(
        [row[y] - torch.cat([row[:y], row[y + 1 :]]).max() for row, y in zip(outputs, labels, strict=True)]
    )
    close(robustness.logit_gap(laid(outputs.detach(), layout), labels), gaps)
    (-gaps.sum()).backward()
    assert torch.equal(robustness.gradient_sign(net, laid(x, layout), labels, "margin"), moving.grad.sign())
