"""Tangent kernels against explicit Jacobians and infinite width; closed forms against many explicit steps."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn.utils import prune

from redlib.errors import BadInput
from redlib.measures import tangent as tan
from redlib.nets import StackedMLP
from redlib.nets.losses import output_delta
from redlib.nets.residual import ResidualTanh
from redlib.nets.stacked import unstacked
from redlib.pruning import masks as masking

X = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
OTHER = torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
IMAGES = torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0])


def stack(*sizes, seeds=(0, 1), activation="relu"):
    return StackedMLP.create(sizes or (5, 6, 4, 3), list(seeds), activation, dtype=torch.float64)


def seeded(*parts):
    torch.manual_seed(0)
    return nn.Sequential(*(part() for part in parts)).eval()


def jacobian(net, x):
    """Return the Jacobian [n·C, P] of a module by jacrev over all examples at once."""
    state = {name: p.detach().double() for name, p in net.named_parameters()}
    fixed = {name: b.double() if b.is_floating_point() else b for name, b in net.named_buffers()}
    parts = jacrev(lambda p: functional_call(net, {**fixed, **p}, (x,)).flatten())(state)
    return torch.cat([part.flatten(1) for part in parts.values()], 1)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_kernel_of_a_stack_is_that_of_explicit_jacobians(activation):
    net = stack(activation=activation)
    full, cross = tan.kernel(net, X, full=True), tan.kernel(net, X, OTHER, full=True)
    for r in range(2):
        one, two = (jacobian(unstacked(net, r), x) for x in (X, OTHER))
        torch.testing.assert_close(full[r], one @ one.T)
        torch.testing.assert_close(cross[r], one @ two.T)


def test_the_kernel_of_a_module_is_that_of_a_stack():
    net = stack()
    modules = [unstacked(net, r) for r in range(2)]
    for full in (False, True):
        torch.testing.assert_close(tan.kernel(modules, X, full=full), tan.kernel(net, X, full=full))
        torch.testing.assert_close(
            tan.kernel(modules[1], X, OTHER, full=full)[0], tan.kernel(net, X, OTHER, full=full)[1]
        )


def test_the_kernel_of_a_convolutional_net_with_batch_norm_in_evaluation_is_exact():
    net = seeded(lambda: nn.Conv2d(2, 3, 3), lambda: nn.BatchNorm2d(3), nn.ReLU, lambda: nn.MaxPool2d(2), nn.Flatten,
                 lambda: nn.Linear(12, 2))  # fmt: skip
    net[1].running_var.fill_(3)
    j = jacobian(net, IMAGES)
    torch.testing.assert_close(tan.kernel(net, IMAGES, full=True)[0], j @ j.T)


def test_the_kernel_is_the_mean_of_the_blocks_of_the_outputs():
    net = stack()
    blocks = tan.kernel(net, X, full=True).unflatten(1, (7, 3)).unflatten(3, (7, 3))
    torch.testing.assert_close(tan.kernel(net, X), blocks.diagonal(dim1=2, dim2=4).mean(-1))


@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize(
    "memory", [1, 15168, 30336]
)  # of the module one example by one, groups of four, pairs in eights
def test_blocks_of_any_size_give_the_same_kernel(module, memory):
    net = unstacked(stack(), 0) if module else stack()
    x = torch.cat([X, X + 1, X - 1])
    for other in (None, OTHER):
        for full in (False, True):
            found = tan.kernel(net, x, other, full=full, memory=memory)
            torch.testing.assert_close(found, tan.kernel(net, x, other, full=full))


@pytest.mark.parametrize("full", [False, True])
def test_weights_outside_the_mask_of_a_stack_have_no_part_in_its_kernel(full):
    net = stack()
    source = torch.Generator().manual_seed(3)
    net.apply_masks(
        [torch.rand(w.shape, generator=source) < 0.5 if i != 1 else None for i, w in enumerate(net.weights)]
    )
    found = tan.kernel(net, X, full=full)
    for r in range(2):
        kept = [torch.ones(*w.shape[1:], dtype=torch.bool) if m is None else m[r]
                for w, m in zip(net.weights, net.masks, strict=True)]  # fmt: skip
        free = torch.cat([part.flatten() for k in kept for part in (k, torch.ones(len(k), dtype=torch.bool))])
        j = jacobian(unstacked(net, r), X)[:, free]
        expected = j @ j.T
        if not full:
            expected = expected.view(7, 3, 7, 3).diagonal(dim1=1, dim2=3).mean(-1)
        torch.testing.assert_close(found[r], expected)


def test_frozen_parameters_and_masks_of_a_module_have_no_part_in_its_kernel():
    net = stack(5, 6, 1, seeds=[0])
    module = unstacked(net, 0)
    mask = torch.rand(1, 6, 5, generator=torch.Generator().manual_seed(4)) < 0.5
    net.apply_masks([mask, None])
    pruned = copy.deepcopy(module)
    masking.apply(pruned, {"0": mask, "2": torch.ones(1, 1, 6, dtype=torch.bool)})
    torch.testing.assert_close(tan.kernel(pruned, X), tan.kernel(net, X))
    module[2].requires_grad_(False)
    j = jacobian(module, X)[:, :36]  # weights and biases of the first layer
    torch.testing.assert_close(tan.kernel(module, X)[0], j @ j.T)


def test_each_replicate_may_have_inputs_of_its_own():
    net, own = stack(), torch.stack([X, X.flip(0) + 1])
    found = tan.kernel(net, own, own=True)
    for r in range(2):
        torch.testing.assert_close(found[r], tan.kernel(net, own[r])[r])
    modules = [unstacked(net, r) for r in range(2)]
    torch.testing.assert_close(tan.kernel(modules, own, own=True), found)
    torch.testing.assert_close(tan.predictions(net, own, own=True), net.logits(own))


def test_the_relative_change_is_the_frobenius_distance_over_the_norm():
    k = torch.eye(3).expand(2, 3, 3) * 2
    later = k.clone()
    later[1, 0, 1] = 3
    assert tan.relative_change(later, k).tolist() == pytest.approx([0, 3 / 12**0.5])


def test_alignment_is_one_of_a_kernel_made_of_the_labels_and_zero_of_a_constant_one():
    y = torch.nn.functional.one_hot(Y, 3).double()
    kernels = torch.stack([y @ y.T, y @ y.T + 5, torch.ones(7, 7).double() + torch.eye(7) * 1e-9])
    centred = tan.alignment(kernels, Y)
    assert centred[:2].tolist() == pytest.approx([1, 1])
    plain = tan.alignment(kernels, Y, centred=False)
    assert plain[0] == pytest.approx(1) and plain[1] < 0.99
    assert plain[2] == pytest.approx(17**0.5 / 7)  # 3² + 2² + 2² of the 7² pairs share a label
    assert tan.alignment(kernels[:1], y).tolist() == pytest.approx([1])


def test_the_linearised_net_is_the_tangent_at_its_start():
    start = stack()
    step = torch.randn(start.vector().shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    net = start.with_vector(start.vector() + step)
    found = tan.linearised(start, net, X)
    for r in range(2):
        expected = start.logits(X)[r] + (jacobian(unstacked(start, r), X) @ step[r]).view(7, 3)
        torch.testing.assert_close(found[r], expected)
    near = start.with_vector(start.vector() + 1e-6 * step)
    assert float((tan.linearised(start, near, X) - near.logits(X)).abs().max()) < 1e-9
    torch.testing.assert_close(tan.linearised(unstacked(start, 1), unstacked(net, 1), X)[0], found[1])


def steps_of(net, rate, steps):
    """Return outputs on X and OTHER after explicit steps of the parameters of the linearised replicates."""
    on_train, on_test = [], []
    for r in range(net.replicates):
        j, j2 = (jacobian(unstacked(net, r), x) for x in (X, OTHER))
        at, test = net.logits(X)[r].clone(), net.logits(OTHER)[r].clone()
        for _ in range(steps):
            slope = at.clone()
            output_delta(slope, Y, "mse")  # the loss as redlib defines it
            move = -rate * (j.T @ slope.flatten())
            at, test = at + (j @ move).view_as(at), test + (j2 @ move).view_as(test)
        on_train.append(at)
        on_test.append(test)
    return torch.stack(on_train), torch.stack(on_test)


def test_gradient_descent_in_closed_form_is_that_of_explicit_steps():
    net = stack()
    rate = 0.8 * float(tan.largest_rate(tan.kernel(net, X, full=True), net.logits(X)).min())
    found = tan.lazy_training(net, X, Y, OTHER, [0, 1, 40], rate=rate)
    for i, steps in enumerate((0, 1, 40)):
        for part, expected in zip(found, steps_of(net, rate, steps), strict=True):
            torch.testing.assert_close(part[:, i], expected)


def test_gradient_flow_in_closed_form_is_the_limit_of_small_steps():
    net = stack()
    flow = tan.lazy_training(net, X, Y, OTHER, [2.0])
    for part, coarse, fine in zip(flow, steps_of(net, 0.01, 200), steps_of(net, 0.005, 400), strict=True):
        torch.testing.assert_close(part[:, 0], 2 * fine - coarse, rtol=0, atol=2e-4)  # Richardson's limit
        assert float((part[:, 0] - coarse).abs().max()) > 1e-3  # which the steps alone do not reach


def test_training_ends_in_the_targets_and_starts_at_the_outputs():
    net = stack(5, 40, 3)
    train, _ = tan.lazy_training(net, X, Y, OTHER, [0.0, 1e7])
    torch.testing.assert_close(train[:, 0], net.logits(X))
    torch.testing.assert_close(train[:, 1], torch.nn.functional.one_hot(Y, 3).double().expand(2, 7, 3))


def test_one_kernel_for_all_outputs_is_the_full_one_of_equal_blocks():
    k = tan.two_layer_kernel(X)[None]
    cross = tan.two_layer_kernel(OTHER, X)[None]
    outputs, at_test = torch.randn(1, 7, 3).double(), torch.randn(1, 4, 3).double()
    for args in ((), (cross, at_test)):
        wide = (torch.kron(cross[0], torch.eye(3))[None], at_test) if args else ()
        full = tan.gradient_flow(torch.kron(k[0], torch.eye(3).double())[None], outputs, Y, [0.5, 9], *wide)
        torch.testing.assert_close(tan.gradient_flow(k, outputs, Y, [0.5, 9], *args), full)


def test_a_singular_kernel_trains_what_it_can():
    x = torch.cat([X, X[:1]])  # one example twice, with two labels
    y = torch.cat([Y, Y[1:2]])
    net = stack(5, 60, 3)
    train, test = tan.lazy_training(net, x, y, OTHER, [1e8])
    torch.testing.assert_close(train[:, 0, 0], torch.tensor([0.5, 0.5, 0]).double().expand(2, 3))
    assert bool(test.isfinite().all())


def test_above_the_largest_rate_descent_diverges_and_below_it_does_not():
    k, outputs = tan.two_layer_kernel(X)[None], torch.zeros(1, 7, 3).double()
    limit = float(tan.largest_rate(k, outputs))
    low, high = (tan.gradient_descent(k, outputs, Y, rate * limit, [3000]).abs().max() for rate in (0.99, 1.01))
    assert low < 2 and high > 1e9
    with pytest.raises(BadInput, match="diverges"):
        tan.gradient_descent(k, outputs, Y, 9 * limit, [1000])


class Wide(nn.Module):
    """a·ReLU(Wx)/√m with normal weights, both layers trained (the parametrisation of Jacot et al.)."""

    def __init__(self, width):
        super().__init__()
        source = torch.Generator().manual_seed(7)
        self.w = nn.Parameter(torch.randn(width, 5, generator=source))
        self.a = nn.Parameter(torch.randn(1, width, generator=source).sign())

    def forward(self, x):
        return (x @ self.w.T).relu() @ self.a.T / len(self.w) ** 0.5


def test_the_kernel_of_a_wide_net_approaches_that_of_infinite_width():
    gaps = [tan.relative_change(tan.kernel(Wide(m), X), tan.two_layer_kernel(X)[None]) for m in (100, 40_000)]
    assert gaps[1] < 0.02 < gaps[0]
    first = Wide(40_000)
    first.a.requires_grad_(False)
    # Du et al. 2018: x·x'(π - arccos(x·x'))/(2π) of unit vectors
    unit = X / X.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).clamp(-1, 1)
    limit = cosine * (torch.pi - cosine.arccos()) / (2 * torch.pi)
    torch.testing.assert_close(tan.two_layer_kernel(unit, second=0), limit, rtol=0, atol=1e-7)
    assert tan.relative_change(tan.kernel(first, unit), limit[None]) < 0.02


def test_the_weights_of_the_two_parts_are_those_of_a_net_in_standard_parametrisation():
    net = StackedMLP.create((5, 40_000, 1), [0], dtype=torch.float64)
    source = torch.Generator().manual_seed(8)
    net.weights[0].copy_(0.3 * torch.randn(1, 40_000, 5, generator=source))
    net.weights[1].copy_(torch.randn(1, 1, 40_000, generator=source) * 0.5 / 200)
    for biases in net.biases:
        biases.zero_()
    j = jacobian(unstacked(net, 0), X)
    of_weights = torch.cat([j[:, : 5 * 40_000], j[:, 6 * 40_000 : 7 * 40_000]], 1)
    found = of_weights @ of_weights.T
    limit = tan.two_layer_kernel(X, first=0.25, second=40_000 * 0.09)
    assert tan.relative_change(found[None], limit[None]) < 0.02


@pytest.mark.parametrize("order", [0, 1, 2])
def test_arc_cosine_kernels_are_means_over_gaussian_weights(order):
    w = torch.randn(400_000, 5, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    features = [(x @ w.T).clamp(min=0) ** order * (x @ w.T > 0) for x in (X, OTHER)]
    found = tan.arc_cosine(X, OTHER, order)
    products = features[0][:, None] * features[1][None]
    error = products.std(-1) / 400_000**0.5
    assert bool(((2 * products.mean(-1) - found).abs() < 5 * 2 * error).all())


def test_the_angle_of_nearly_equal_inputs_keeps_its_digits():
    near = X[:1] + 1e-9 * torch.tensor([[1.0, -1, 1, 0, 0]])
    step = near - X[:1]
    across = step - (step @ X[:1].T) / (X[:1] @ X[:1].T) * X[:1]
    theta = float(across.norm() / X[:1].norm())
    assert 1 - float(tan.arc_cosine(X[:1], near, 0)) == pytest.approx(theta / torch.pi, rel=1e-5)


K = torch.eye(7).double()[None]
F = torch.zeros(1, 7, 3).double()


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: tan.kernel(stack(), X[:0]), "shape of x"),
        (lambda: tan.kernel(stack(), X[:, :4]), r"allowed is \[n, 5\]"),
        (lambda: tan.kernel(stack(), X / 0), "NaN or infinity"),
        (lambda: tan.kernel(stack(), X, OTHER * torch.nan), "NaN or infinity"),
        (lambda: tan.kernel(stack(), X, own=True), "replicates in x"),
        (lambda: tan.kernel(stack(), X, memory=0), "memory"),
        (lambda: tan.kernel(ResidualTanh.create((5, 4, 4, 4, 3), [0], "tanh"), X), "ResidualTanh"),
        (lambda: tan.kernel(nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), X), "Call net.eval"),
        (lambda: tan.kernel(nn.Sequential(nn.Linear(5, 3), nn.Dropout()), X), "Call net.eval"),
        (lambda: tan.kernel(nn.Linear(5, 3).requires_grad_(False), X), "requires_grad"),
        (lambda: tan.kernel(prune.l1_unstructured(nn.Linear(5, 3), "weight", 2), X), "hooks of Linear"),
        (lambda: tan.linearised(stack(), stack(seeds=[0]), X), "replicates of net"),
        (lambda: tan.linearised(stack(5, 4, 3), stack(5, 6, 3), X), "second net"),
        (lambda: tan.relative_change(K, K[:, :3, :3]), "shape of later kernel"),
        (lambda: tan.relative_change(K, 0 * K), "not 0"),
        (lambda: tan.alignment(K, Y[:3]), "shape of kernel"),
        (lambda: tan.alignment(K, 0 * Y), "some variance"),
        (lambda: tan.gradient_flow(K, F, Y, [-1.0]), "times"),
        (lambda: tan.gradient_flow(K, F, Y + 1, [1.0]), r"labels 1\.\.3"),
        (lambda: tan.gradient_flow(K, F, F[0, :, :2], [1.0]), "shape of targets"),
        (lambda: tan.gradient_flow(K, F[:, :5], Y, [1.0]), "shape of kernel"),
        (lambda: tan.gradient_flow(K + K.roll(1, 1), F, Y, [1.0]), "not symmetric"),
        (lambda: tan.gradient_flow(K * torch.nan, F, Y, [1.0]), "kernel = 'NaN"),
        (lambda: tan.gradient_flow(K, F, Y, [1.0], K), "both or none"),
        (lambda: tan.gradient_flow(K, F, Y, [1.0], K[:, :2], F), "shapes of cross"),
        (lambda: tan.gradient_descent(K, F, Y, 0.0, [1]), "learning rate"),
        (lambda: tan.gradient_descent(K, F, Y, 0.1, [1.5]), "whole numbers"),
        (lambda: tan.arc_cosine(X, order=3), "order"),
        (lambda: tan.arc_cosine(0 * X), "no row of zeros"),
    ],
)
def test_bad_input_raises_with_what_is_allowed(call, what):
    with pytest.raises(BadInput, match=what):
        call()
