"""Hessians, their products, extreme eigenvalues, densities and traces, against dense ones and known spectra."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from curvature_nets import DOUBLE, drawn, stack
from torch import nn
from torch.nn import functional

from redlib.errors import BadInput
from redlib.measures.curvature import (
    Operator,
    eigenvalues,
    hessian,
    loss_of,
    spectral_density,
    top_eigenvalues,
    trace,
)
from redlib.nets.residual import ResidualTanh
from redlib.nets.stacked import StackedMLP, unstacked
from redlib.nets.strided import build_strided
from redlib.training.evaluation import evaluate
from redlib.training.examples import Examples

N = 23


@pytest.fixture(scope="module")
def data():
    return drawn(N)


@pytest.fixture(scope="module")
def images():
    g = torch.Generator().manual_seed(1)
    return Examples(torch.rand(12, 1, 4, 4, generator=g, dtype=DOUBLE), torch.randint(3, (12,), generator=g))


def named_loss(name, outputs, y):
    if name == "mse":
        return functional.mse_loss(outputs, functional.one_hot(y, outputs.shape[1]).to(outputs))
    return functional.cross_entropy(outputs, y)


def dense(module, x, y, loss="cross_entropy"):
    """The Hessian of a module's mean loss, by torch.func."""
    names, shapes = zip(*((name, p.shape) for name, p in module.named_parameters() if p.requires_grad), strict=True)

    def mean(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        state = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return named_loss(loss, torch.func.functional_call(module, state, (x,)), y)

    return torch.func.hessian(mean)(torch.cat([p.detach().flatten() for p in module.parameters() if p.requires_grad]))


def matrices(spectra, seed=0):
    """Operators of random matrices with these spectra [R, P], and the matrices."""
    spectra = torch.as_tensor(spectra, dtype=DOUBLE)
    g = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(spectra), *[spectra.shape[1]] * 2, generator=g, dtype=DOUBLE)).Q
    full = basis @ spectra.diag_embed() @ basis.mT
    return of(full), full


def of(full):
    return Operator(lambda v: (full @ v[..., None])[..., 0], full.shape[1], tuple(range(len(full))))


# ---- the loss ----


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_loss_and_its_gradient_are_those_of_training(data, loss):
    net = stack()
    value, gradient = loss_of(net, data, loss).value_and_gradient()
    assert torch.allclose(value, evaluate(net, data, loss)["loss"], rtol=1e-12)
    step = torch.zeros_like(net.flat)
    net.gradient(net.pad(data.x).expand(2, -1, -1).contiguous(), data.y.expand(2, -1), loss, step)
    trained = StackedMLP(net.sizes, net.seeds, step).vector()
    assert torch.allclose(gradient, trained, rtol=1e-10, atol=1e-14) and bool(gradient.any())


def test_an_unequal_last_batch_counts_by_its_size(data):
    whole, parts = (loss_of(stack(), data, batch=batch) for batch in (N, 10))
    assert [y.shape[1] for _, y in parts.blocks] == [10, 10, 3]
    v = torch.randn(2, whole.size, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    for found, expected in (
        (parts.value(), whole.value()),
        (parts.value_and_gradient()[1], whole.value_and_gradient()[1]),
        (parts.hvp(v), whole.hvp(v)),
    ):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_each_replicate_sees_its_own_rows(data):
    rows = torch.stack([torch.arange(0, 8), torch.arange(10, 18)])
    net, own = stack(), Examples(data.x, data.y, rows)
    found = hessian(loss_of(net, own))
    for r in range(2):
        expected = dense(unstacked(net, r), data.x[rows[r]], data.y[rows[r]])
        assert torch.allclose(found[r], expected, atol=1e-14)


def test_a_kept_graph_gives_the_same_product_again(data):
    loss = loss_of(stack(), data)
    v = torch.ones(2, loss.size, dtype=DOUBLE)
    first = loss.hvp(v).clone()
    loss.hvp(2 * v)
    with torch.no_grad():
        assert torch.equal(loss.hvp(v), first)


# ---- Hessians ----


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_hessians_of_a_stack_are_those_of_torch_for_each_replicate(data, activation, loss):
    net = stack(activation)
    found = hessian(loss_of(net, data, loss))
    for r in range(2):
        expected = dense(unstacked(net, r), data.x, data.y, loss)
        assert float((found[r] - expected).abs().max()) < 1e-13 * float(expected.abs().max())


def test_the_hessians_of_conv_nets_with_batch_norm_are_those_of_torch(images):
    nets = [build_strided("conv", seed, (2,), 3, 1, 4).double().eval() for seed in (0, 1)]
    for net in nets:
        net[1].running_mean.uniform_(-0.2, 0.2)
    found = hessian(loss_of(nets, images))
    for r, net in enumerate(nets):
        assert torch.allclose(found[r], dense(net, images.x, images.y), atol=1e-13)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_rows_of_the_last_parameters_may_come_from_the_loss_with_the_others_fixed(images):
    nets = [build_strided("conv", seed, (2,), 3, 1, 4).double().eval() for seed in (0, 1)]
    fixed = copy.deepcopy(nets)
    for net in fixed:
        net[0].weight.requires_grad_(False)
    whole, tail = loss_of(nets, images), loss_of(fixed, images)
    assert torch.allclose(hessian(whole, tail), hessian(whole), atol=1e-15)
    assert torch.allclose(eigenvalues(whole, tail), eigenvalues(whole), atol=1e-13)
    with pytest.raises(BadInput, match=f"parameters of a tail = {whole.size}.*< {whole.size}"):
        hessian(whole, whole)


def test_a_module_in_single_precision_is_measured_in_double(images):
    net = build_strided("conv", 0, (2,), 3, 1, 4).eval()
    loss = loss_of(net, images)
    assert loss.hvp(torch.ones(1, loss.size)).dtype == DOUBLE
    assert torch.allclose(hessian(loss)[0], dense(net.double(), images.x, images.y), atol=1e-13)


def test_what_requires_no_gradient_is_no_parameter(images):
    net = build_strided("conv", 0, (2,), 3, 1, 4).double().eval()
    net[0].weight.requires_grad_(False)
    loss = loss_of(net, images)
    assert loss.size == sum(p.numel() for p in net.parameters()) - 18
    assert torch.allclose(hessian(loss)[0], dense(net, images.x, images.y), atol=1e-13)


def test_cut_weights_have_no_curvature_and_the_others_keep_theirs(data):
    net, masked = stack(), stack()
    mask = torch.ones(2, 5, 4, dtype=torch.bool)
    mask[0, :, 1], mask[1, 2] = False, False
    masked.apply_masks([mask, None])
    loss = loss_of(masked, data)
    net.weights[0].mul_(mask)
    full, found = hessian(loss_of(net, data)), hessian(loss)
    kept = loss.free[:, :, None] & loss.free[:, None, :]
    assert torch.equal(found, full * kept) and not torch.equal(found, full)
    pairs = top_eigenvalues(loss, 2)
    assert torch.allclose(pairs.values, torch.linalg.eigvalsh(found).flip(1)[:, :2], rtol=1e-9)
    assert not bool(pairs.vectors[(~loss.free)[:, None].expand_as(pairs.vectors)].any())
    with pytest.raises(BadInput, match="k = 39 .*<= 38"):
        top_eigenvalues(loss, 39)


def test_products_are_those_with_the_whole_hessian(data):
    loss = loss_of(stack("tanh"), data, batch=7)
    v = torch.randn(2, loss.size, generator=torch.Generator().manual_seed(5), dtype=DOUBLE)
    for r in range(2):
        assert torch.allclose(loss.hvp(v)[r], dense(unstacked(stack("tanh"), r), data.x, data.y) @ v[r], atol=1e-13)


def test_eigenvalues_are_all_of_them_largest_first(data):
    loss = loss_of(stack(), data)
    found = eigenvalues(loss)
    assert found.shape == (2, 43) and bool((found.diff(dim=1) <= 0).all())
    for power in (1, 2):
        traced = hessian(loss).matrix_power(power).diagonal(dim1=1, dim2=2).sum(1)
        assert torch.allclose((found**power).sum(1), traced, rtol=1e-10)


def test_an_asymmetric_matrix_is_no_hessian():
    full = torch.eye(4, dtype=DOUBLE)[None].clone()
    full[0, 1, 2] = 1e-6
    with pytest.raises(BadInput, match="asymmetry.*float64"):
        hessian(of(full))


def test_large_nets_are_refused_a_whole_hessian():
    with pytest.raises(BadInput, match="5001.*top_eigenvalues"):
        hessian(Operator(lambda v: v, 5001, (0,)))


# ---- eigenvalues by Lanczos ----

SPECTRA = [[*np.linspace(0.1, 3, 28), 5.0, -9.0], [*np.linspace(-2, -1, 28), 0.5, -0.5]]


def test_top_eigenvalues_of_all_replicates_are_those_of_a_known_spectrum():
    matrix, _ = matrices(SPECTRA)
    known = torch.tensor(SPECTRA, dtype=DOUBLE)
    up = top_eigenvalues(matrix, 3)
    assert torch.allclose(up.values, known.sort(descending=True).values[:, :3], rtol=1e-9)
    far = top_eigenvalues(matrix, 3, largest="magnitude")
    order = known.abs().argsort(dim=1, descending=True)[:, :3]
    assert torch.allclose(far.values, known.gather(1, order), rtol=1e-9) and far.values[0, 0] < 0


def test_the_error_is_the_residual_norm_and_bounds_the_distance_to_an_eigenvalue():
    matrix, full = matrices(SPECTRA)
    rough = top_eigenvalues(matrix, 2, steps=5)
    residuals = (full @ rough.vectors.mT - rough.vectors.mT * rough.values[:, None]).norm(dim=1)
    assert rough.steps == 5 and torch.allclose(rough.errors, residuals, rtol=1e-8)
    assert bool((rough.errors > 1e-3).any()), "five steps are not enough, and the error says so"
    distance = (rough.values[..., None] - torch.tensor(SPECTRA, dtype=DOUBLE)[:, None]).abs().amin(2)
    assert bool((distance <= rough.errors).all())


def test_a_looser_tolerance_takes_fewer_products():
    matrix, _ = matrices(SPECTRA)
    rough, fine = (top_eigenvalues(matrix, tolerance=tolerance) for tolerance in (1e-1, 1e-9))
    assert rough.steps < fine.steps and bool((fine.errors <= 1e-9 * 9).all())


def test_all_eigenvalues_can_be_asked_for_even_multiple_ones():
    known = torch.tensor([[4.0, 4.0, 4.0, 1.0, 1.0, 0.0, 0.0, -2.0]], dtype=DOUBLE)
    found = top_eigenvalues(matrices(known)[0], 8)
    assert torch.allclose(found.values, known, atol=1e-12)
    assert torch.allclose(found.vectors @ found.vectors.mT, torch.eye(8, dtype=DOUBLE)[None], atol=1e-10)


def test_a_matrix_of_zeros_has_eigenvalue_zero():
    found = top_eigenvalues(of(torch.zeros(1, 6, 6, dtype=DOUBLE)), 2)
    assert found.values.tolist() == [[0.0, 0.0]] and found.errors.tolist() == [[0.0, 0.0]]


def test_a_replicate_in_a_stack_is_measured_as_it_is_alone(data):
    net = stack(seeds=(3, 4, 5))
    together = loss_of(net, data)
    tops, density, sums = top_eigenvalues(together, 2), spectral_density(together, 6, 2), trace(together, 5)
    for r, seed in enumerate(net.seeds):
        alone = loss_of(unstacked(net, r), data, seeds=[seed])
        assert torch.allclose(top_eigenvalues(alone, 2).values[0], tops.values[r], rtol=1e-9)
        assert torch.allclose(spectral_density(alone, 6, 2).nodes[0], density.nodes[r], rtol=1e-8, atol=1e-10)
        assert torch.allclose(torch.stack(trace(alone, 5))[:, 0], torch.stack(sums)[:, r], rtol=1e-10)


@pytest.mark.parametrize("k", [0, 31, 1.5])
def test_there_are_no_more_eigenvalues_than_parameters(k):
    with pytest.raises(BadInput, match=f"k = {k} "):
        top_eigenvalues(matrices(SPECTRA)[0], k)


@pytest.mark.parametrize(
    ("asked", "named"), [({"largest": "real"}, "largest"), ({"tolerance": 0}, "tolerance"), ({"steps": 0}, "steps")]
)
def test_what_lanczos_cannot_do_is_refused(asked, named):
    with pytest.raises(BadInput, match=named):
        top_eigenvalues(matrices(SPECTRA)[0], **asked)


def test_products_that_are_not_finite_are_refused():
    with pytest.raises(BadInput, match="product with the matrix"):
        top_eigenvalues(Operator(lambda v: v * torch.nan, 4, (0,)))


# ---- densities and traces ----


def test_moments_of_a_quadrature_are_those_of_the_matrix_up_to_twice_the_nodes():
    matrix, full = matrices(SPECTRA)
    m, signs = 4, []
    density = spectral_density(Operator(lambda v: signs.append(v) or matrix.hvp(v), 30, (0, 1)), m, 2)
    assert density.nodes.shape == density.weights.shape == (2, 2, m)
    for s in range(2):
        v = signs[s * m]  # the first vector of each probe: its signs over their norm
        assert torch.allclose(v.abs(), torch.full_like(v, 30**-0.5))
        for order in range(2 * m):
            expected = torch.einsum("rp,rpq,rq->r", v, full.matrix_power(order), v)
            found = (density.weights[:, s] * density.nodes[:, s] ** order).sum(1)
            assert torch.allclose(found, expected, rtol=1e-9), order
        beyond = torch.einsum("rp,rpq,rq->r", v, full.matrix_power(2 * m), v)
        assert not torch.allclose((density.weights[:, s] * density.nodes[:, s] ** (2 * m)).sum(1), beyond, rtol=1e-4)


def test_no_eigenvalue_comes_twice_however_long_lanczos_goes_on():
    known = torch.cat([torch.linspace(0.1, 1, 39, dtype=DOUBLE), torch.tensor([1e6], dtype=DOUBLE)])
    density = spectral_density(matrices(known[None])[0], 40, 2)  # without orthogonalisation 1e6 comes several times
    assert torch.allclose(density.nodes, known.expand(1, 2, -1), rtol=1e-8)


def test_a_space_that_closes_early_leaves_nodes_without_weight():
    known = torch.tensor([[2.0] * 6 + [1.0] * 4], dtype=DOUBLE)
    density = spectral_density(matrices(known)[0], 10, 2)
    heavy = density.weights > 1e-20
    assert heavy.sum(2).tolist() == [[2, 2]]
    assert torch.allclose(density.nodes[heavy], torch.tensor([1.0, 2.0] * 2, dtype=DOUBLE))
    assert density.nodes.isfinite().all() and torch.allclose(density.weights.sum(2), torch.ones(1, 2, dtype=DOUBLE))


def test_a_density_has_the_moments_of_the_spectrum_within_its_error():
    spectra = np.random.default_rng(0).normal(size=(2, 200))
    density = spectral_density(matrices(spectra)[0], 12, 20)
    for order in (1, 2, 3):
        mean, error = density.moments(order)
        off = (mean - torch.from_numpy(spectra**order).mean(1)).abs()
        assert bool((error > 0).all()) and bool((off < 4 * error).all())


def test_a_smooth_density_has_the_area_and_the_place_of_its_nodes():
    density = spectral_density(of(3 * torch.eye(5, dtype=DOUBLE)[None]), 3, 2)
    grid = torch.linspace(1, 5, 401, dtype=DOUBLE)
    curve, error = density.smooth(grid, 0.25)
    assert torch.trapezoid(curve[0], grid).item() == pytest.approx(1, abs=1e-6)
    assert curve[0].max().item() == pytest.approx((2 * np.pi) ** -0.5 / 0.25) and grid[curve[0].argmax()].item() == 3
    assert not bool((error > 1e-12).any()), "all probes agree on a multiple of the unit matrix"
    with pytest.raises(BadInput, match="width"):
        density.smooth(grid, 0)


def test_the_trace_of_a_diagonal_is_exact():
    diagonal = torch.tensor([[1.0, -2.0, 0.25, 8.0]], dtype=DOUBLE)
    mean, error = trace(of(diagonal.diag_embed()), 3)
    assert mean.tolist() == [7.25] and error.tolist() == [0.0]


def test_a_trace_is_within_its_standard_error(data):
    loss = loss_of(stack(), data)
    mean, error = trace(loss, 200)
    known = hessian(loss).diagonal(dim1=1, dim2=2).sum(1)
    assert bool(((mean - known).abs() < 4 * error).all()) and bool((error < 0.2 * known).all())
    assert bool((error > 0).all())


def test_probes_depend_on_the_seed_alone(data):
    net = unstacked(stack(), 0)
    first, again, other = (trace(loss_of(net, data, seeds=[seed]), 4)[0] for seed in (7, 7, 8))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("measure", [trace, lambda matrix, probes: spectral_density(matrix, 3, probes)])
def test_one_probe_has_no_error(measure):
    with pytest.raises(BadInput, match="probes = 1 "):
        measure(matrices(SPECTRA)[0], 1)


# ---- what is refused ----


class Straight(nn.Module):
    """Outputs that are linear in the parameters."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, dtype=DOUBLE))

    def forward(self, x):
        return x @ self.weight


class Once(torch.autograd.Function):
    """A square whose gradient autograd cannot differentiate."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]


@pytest.mark.parametrize("loss", [lambda out, y: out.mean(), lambda out, y: Once.apply(out).mean()])
def test_a_loss_without_a_second_derivative_is_refused(data, loss):
    flat = loss_of(Straight(), data, loss)
    assert bool(flat.value_and_gradient()[1].any())
    with pytest.raises(BadInput, match="twice differentiable"):
        flat.hvp(torch.ones(1, 4))


def test_a_callable_loss_is_a_mean(data):
    with pytest.raises(BadInput, match="shape of the loss"):
        loss_of(Straight(), data, lambda out, y: out).value()
    found = loss_of(Straight(), data, lambda out, y: (out - y).square().mean() / 2)
    assert torch.allclose(hessian(found)[0], data.x.T @ data.x / N, atol=1e-14)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(0.5), nn.LSTM(4, 4, 2, dropout=0.1)])
def test_a_module_in_training_mode_is_refused(data, layer):
    with pytest.raises(BadInput, match=rf"0: {type(layer).__name__} in training mode.*\.eval\(\)"):
        loss_of(nn.Sequential(layer, nn.Linear(4, 3)).double(), data)


def test_batch_norm_without_statistics_is_refused(data):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)).double().eval()
    with pytest.raises(BadInput, match="running statistics"):
        loss_of(net, data)


def test_a_net_without_chance_may_stay_in_training_mode(data):
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double().train()
    assert loss_of(net, data).value().isfinite().all() and net.training


def test_a_net_that_is_put_into_training_mode_later_is_refused_then(data):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double().eval()
    loss = loss_of(net, data)
    before = loss.value()
    net.train()
    with pytest.raises(BadInput, match="training mode"):
        loss.value()
    net(data.x)  # moves the running statistics, of which the loss has its own
    assert torch.equal(loss_of(net.eval(), data).value(), before) is False and torch.equal(loss.value(), before)


def test_stacks_that_compute_something_else_are_refused(data):
    net = stack("tanh")
    with pytest.raises(BadInput, match="ResidualTanh"):
        loss_of(ResidualTanh(net.sizes, net.seeds, net.flat, "tanh"), data)


def test_labels_per_token_that_do_not_count_are_refused(data):
    tokens = Examples(
        torch.zeros(5, 4, dtype=torch.int64), torch.zeros(5, 4, dtype=torch.int64), ignore=0, per_token=True
    )
    with pytest.raises(BadInput, match="ignored label = 0"):
        loss_of(nn.Embedding(2, 3), tokens, lambda out, y: out.mean())


def test_no_example_is_refused(data):
    with pytest.raises(BadInput, match="number of examples = 0"):
        loss_of(stack(), Examples(data.x[:0], data.y[:0]))


def test_weights_and_inputs_that_are_not_finite_are_refused(data):
    net = stack()
    net.weights[0][1, 2, 3] = torch.nan
    with pytest.raises(BadInput, match="weights"):
        loss_of(net, data)
    with pytest.raises(BadInput, match="inputs or targets"):
        loss_of(stack(), Examples(data.x.clone().fill_(torch.inf), data.y))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"batch": 0}, "batch"),
        ({"seeds": [1]}, "number of seeds"),
    ],
)
def test_what_no_loss_is_made_of_is_refused(data, change, named):
    with pytest.raises(BadInput, match=named):
        loss_of(stack(), data, **change)


def test_labels_that_are_no_output_are_refused(data):
    with pytest.raises(BadInput, match=r"labels = \(0, 7\)"):
        loss_of(stack(), Examples(data.x, torch.cat([torch.zeros(N - 1), torch.tensor([7.0])]).long()))


def test_inputs_of_another_width_are_refused(data):
    with pytest.raises(BadInput, match="inputs per example"):
        loss_of(stack(), Examples(data.x[:, :3], data.y))


def test_outputs_that_named_losses_cannot_read_are_refused(data):
    with pytest.raises(BadInput, match=r"\[B, K\] and \[B\]"):
        loss_of(Straight(), data)


def test_nets_of_unlike_shape_are_refused(data):
    nets = [nn.Linear(4, 3).double(), nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)).double()]
    with pytest.raises(BadInput, match=r"another shape = \[1\]"):
        loss_of(nets, data)


def test_vectors_of_another_shape_are_refused(data):
    with pytest.raises(BadInput, match=r"shape of the vectors = \(1, 43\)"):
        loss_of(stack(), data).hvp(torch.ones(1, 43))
