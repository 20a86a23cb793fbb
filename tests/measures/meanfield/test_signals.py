"""Measured signals and Jacobians of given nets, against theory, autograd and products of layers."""

import copy

import numpy as np
import pytest
import torch
from meanfield_oracles import inputs, mlp, normal
from torch import nn

from redlib.errors import BadInput
from redlib.measures import meanfield as mf
from redlib.measures.meanfield import signals

# Nets drawn at random


def test_wide_nets_follow_the_theory(draw):
    net, x = mlp(4, 1024, [1000, 1001, 1002]), inputs(draw, 24, 1024, 1.7)
    q = mf.q_profile(1.7, np.full(4, 1.4), 0.3)
    found = mf.empirical_q(net, x)
    assert found.shape == (3, 4, 24) and found.dtype == torch.float64
    assert found.mean((0, 2)).numpy() == pytest.approx(q, rel=0.03)
    assert mf.empirical_chi(net, x).mean((0, 2)).numpy() == pytest.approx(mf.chi(q[:-1], 1.4), rel=0.03)
    c = [mf.c_map(0, 1.7, 1.4, 0.3, "linear")]
    for layer in range(3):
        c.append(mf.c_map(c[-1], q[layer], 1.4, 0.3))
    found = mf.empirical_c(net, x)
    assert found.shape == (3, 4, 24 * 23 / 2)
    assert found.mean((0, 2)).numpy() == pytest.approx(np.array(c), abs=0.03)


def test_every_replicate_and_input_stands_for_itself(draw):
    net, x = mlp(3, 20, [1, 2, 3], activation="relu", inputs=6, outputs=4), normal(draw, 5, 6)
    masks = [torch.rand(w.shape, generator=draw) < 0.5 for w in net.weights]
    for measure in (mf.empirical_q, mf.empirical_c, mf.empirical_chi, mf.jacobian):
        together = measure(net, x, masks=masks)
        alone = measure(net.select([1]), x, masks=[m[1:2] for m in masks])
        torch.testing.assert_close(together[1:2], alone)
        cut = net.clone()
        cut.apply_masks(masks)
        torch.testing.assert_close(measure(cut, x), together)
        torch.testing.assert_close(measure(net, x.expand(3, 5, 6), masks=masks), together)
    torch.testing.assert_close(mf.empirical_q(net, x)[:, :, :2], mf.empirical_q(net, x[:2]))
    last = net.logits(x.float()).double().square().mean(2)
    torch.testing.assert_close(mf.empirical_q(net, x)[:, -1], last, rtol=1e-5, atol=1e-6)


def modules_of(net):
    """The replicates of a StackedMLP as modules."""
    found = []
    for r in range(net.replicates):
        parts = []
        for w, b in zip(net.weights, net.biases, strict=True):
            linear = nn.Linear(*w.shape[:0:-1])
            linear.weight.data, linear.bias.data = w[r].clone(), b[r].clone()
            parts += [linear, nn.ReLU() if net.activation == "relu" else nn.Tanh()]
        found.append(nn.Sequential(parts[0], nn.Sequential(*parts[1:-1])))
    return found


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_modules_equal_the_stack(draw, activation):
    net, x = mlp(3, 12, [1, 2], activation=activation, inputs=6, outputs=4), normal(draw, 5, 6)
    masks = [torch.rand(w.shape, generator=draw) < 0.5 for w in net.weights]
    for measure in (mf.empirical_q, mf.empirical_c, mf.empirical_chi, mf.jacobian, mf.jacobian_spectrum):
        torch.testing.assert_close(measure(modules_of(net), x, masks=masks), measure(net, x, masks=masks))
        torch.testing.assert_close(measure(modules_of(net)[1], x), measure(net, x)[1:])


def test_chi_is_the_squared_norm_of_the_layers_jacobian(draw):
    conv = nn.Sequential(
        *(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(4, 5), nn.GELU(), nn.Dropout(), nn.Linear(5, 3)),
    ).double()
    conv[1].running_mean.uniform_(generator=draw)
    conv[1].running_var.uniform_(0.5, 2, generator=draw)
    x = normal(draw, 3, 2, 8, 8)
    chi, state = mf.empirical_chi(conv, x), {k: v.clone() for k, v in conv.state_dict().items()}
    assert all(part.training for part in conv.modules())
    assert all(torch.equal(v, state[k]) for k, v in conv.state_dict().items())
    conv.eval()
    h = conv[0](x)
    for layer, part in enumerate((conv[1:5], conv[5:9], conv[9:])):
        for example in range(3):
            jacobian = torch.autograd.functional.jacobian(lambda v, part=part: part(v[None])[0], h[example])
            out = part(h[example : example + 1])[0].numel()
            assert float(chi[0, layer, example]) == pytest.approx(float(jacobian.square().sum()) / out)
        h = part(h)


def random_conv_net(draw, channels=64):
    layers = []
    for fan_in in (16, channels, channels, channels):
        conv = nn.Conv2d(fan_in, channels, 3, padding=1, padding_mode="circular").double()
        conv.weight.data = 1.4 * normal(draw, *conv.weight.shape) / (9 * fan_in) ** 0.5
        conv.bias.data = 0.3 * normal(draw, channels)
        layers += [conv, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def test_conv_nets_follow_the_theory(draw):
    nets, x = [random_conv_net(draw) for _ in range(8)], normal(draw, 4, 16, 8, 8)
    q = mf.q_profile(1, np.full(4, 1.4), 0.3)
    assert mf.empirical_q(nets, x).mean((0, 2)).numpy() == pytest.approx(q, rel=0.07)
    assert mf.empirical_chi(nets, x).mean((0, 2)).numpy() == pytest.approx(mf.chi(q[:-1], 1.4), rel=0.05)
    weights = [torch.stack([net[part].weight for net in nets]) for part in (0, 2, 4, 6)]
    biases = [torch.stack([net[part].bias for net in nets]) for part in (0, 2, 4, 6)]
    masks = [torch.rand(w.shape, generator=draw) < 0.3 for w in weights]
    found = mf.empirical_q(nets, x, masks).mean((0, 2)).numpy()
    for law in ("rows", "density"):
        predicted = mf.predicted_q(weights, biases, x, masks=masks, law=law)
        assert predicted.shape == (8, 4, 4) and predicted.mean((0, 2)) == pytest.approx(found, rel=0.07)


# Jacobians


def test_jacobians_are_products_of_the_layers_and_equal_autograd(draw):
    net, x = mlp(3, 12, [1, 2], inputs=6, outputs=4), normal(draw, 5, 6)
    weights = [w.double() for w in net.weights]
    h1 = x @ weights[0].mT + net.biases[0].double()[:, None]
    h2 = h1.tanh() @ weights[1].mT + net.biases[1].double()[:, None]
    d1, d2 = (torch.diag_embed(1 - h.tanh() ** 2) for h in (h1, h2))
    hidden = d2 @ weights[1][:, None] @ d1 @ weights[0][:, None]
    torch.testing.assert_close(mf.jacobian(net, x, "hidden"), hidden)
    torch.testing.assert_close(mf.jacobian(net, x), weights[2][:, None] @ hidden)
    module = modules_of(net)[0].double()
    for example in range(5):
        by_autograd = torch.autograd.functional.jacobian(module, x[example])
        torch.testing.assert_close(mf.jacobian(net, x)[0, example], by_autograd)
        torch.testing.assert_close(mf.jacobian_spectrum(net, x)[0, example], torch.linalg.svdvals(by_autograd))


def test_what_follows_the_last_layer_belongs_to_the_logits_but_not_to_q(draw):
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softmax(-1)).double(), normal(draw, 1, 3)
    by_autograd = torch.autograd.functional.jacobian(lambda v: net(v[None])[0], x[0])
    torch.testing.assert_close(mf.jacobian(net, x)[0, 0], by_autograd)
    torch.testing.assert_close(mf.jacobian(net, x, "hidden"), mf.jacobian(net[:2], x))
    torch.testing.assert_close(mf.empirical_q(net, x)[0, 1], net[:3](x).square().mean(1))


def test_chunks_of_rows_do_not_show(draw, monkeypatch):
    net, x = mlp(3, 12, [1, 2], inputs=6, outputs=4), normal(draw, 5, 6)
    whole = mf.jacobian(net, x, "hidden")
    monkeypatch.setattr(signals, "CHUNK", 1)
    torch.testing.assert_close(mf.jacobian(net, x, "hidden"), whole)


def test_orthogonal_linear_nets_are_isometries_up_to_sigma(draw):
    sigmas = (1.3, 0.5, 2.0)
    layers = [nn.Linear(30, 30).double() for _ in sigmas]
    for layer, sigma in zip(layers, sigmas, strict=True):
        layer.weight.data = sigma * torch.linalg.qr(normal(draw, 30, 30)).Q
    values = mf.jacobian_spectrum(nn.Sequential(*layers), normal(draw, 3, 30))
    assert values.shape == (1, 3, 30) and values.numpy() == pytest.approx(1.3 * 0.5 * 2.0, rel=1e-12)
    summary = {name: value.numpy() for name, value in mf.spectrum_summary(values).items()}
    assert summary["sigma_max"] == pytest.approx(1.3) and summary["condition"] == pytest.approx(1, rel=1e-10)
    assert summary["mean_square"] == pytest.approx(1.69)
    assert mf.empirical_chi(nn.Sequential(*layers), normal(draw, 3, 30)).numpy()[0, :, 0] == pytest.approx([0.25, 4])


def test_the_mean_squared_singular_value_is_chi_to_the_depth(draw):
    net, x = mlp(5, 128, [1000, 1001, 1002, 1003]), inputs(draw, 6, 128)
    q = mf.q_profile(1, np.full(5, 1.4), 0.3)
    found = mf.spectrum_summary(mf.jacobian_spectrum(net, x))["mean_square"].mean()
    assert float(found) == pytest.approx(1.96 * float(np.prod(mf.chi(q[:-1], 1.4))), rel=0.1)


def test_cut_inputs_leave_zeros_that_the_condition_passes_over(draw):
    net, x = mlp(2, 10, [1], inputs=10, outputs=10), normal(draw, 3, 10)
    dead = torch.ones(1, 10, 10, dtype=torch.bool)
    dead[:, :, 6:] = False
    values = mf.jacobian_spectrum(net, x, masks=[dead, None])
    assert torch.all(values[..., 6:] < 1e-14)
    summary = mf.spectrum_summary(values)
    torch.testing.assert_close(summary["condition"], values[..., 0] / values[..., 5])
    torch.testing.assert_close(summary["mean_square"], values.square().sum(-1) / 10)
    narrow = mf.jacobian_spectrum(nn.Sequential(nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 10)), x)
    assert torch.all(narrow[..., 4:] < 1e-12) and torch.any(narrow[..., 4:] > 0)  # by rounding
    torch.testing.assert_close(mf.spectrum_summary(narrow)["condition"], narrow[..., 0] / narrow[..., 3])
    nothing = mf.spectrum_summary(mf.jacobian_spectrum(net, x, masks=[dead & False, None]))
    assert nothing["condition"].isnan().all() and nothing["sigma_max"].tolist() == [[0, 0, 0]]


# Bad input

NET, X = mlp(3, 4, [1, 2], inputs=5, outputs=3), torch.ones(2, 5)
FULL = [torch.ones_like(w, dtype=torch.bool) for w in NET.weights]
POOLED = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, stride=1), nn.Conv2d(2, 2, 2))
MODULE = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mf.empirical_q(NET, X[:, :4]), "shape of x"),
        (lambda: mf.empirical_q(NET, X.expand(3, 2, 5)), "shape of x"),
        (lambda: mf.empirical_q(NET, X[:0]), "shape of x"),
        (lambda: mf.empirical_q(NET, X, FULL[:2]), "number of masks = 2"),
        (lambda: mf.empirical_q(NET, X, [m[:1] for m in FULL]), "mask 0"),
        (lambda: mf.empirical_q(MODULE, X, FULL[:2]), "mask 0"),
        (lambda: mf.empirical_q(MODULE, X[0]), "shape of x"),
        (lambda: mf.empirical_q([], X), "layers"),
        (lambda: mf.empirical_q(nn.Tanh(), X), "layers"),
        (lambda: mf.empirical_q([MODULE, MODULE[:1]], X), "layers"),
        (lambda: mf.empirical_q(nn.ModuleList([MODULE]), X), "module = 'ModuleList'"),
        (lambda: mf.empirical_c(NET, X[:1]), "vectors"),
        (lambda: mf.empirical_chi(MODULE[:1], X), "number of layers = 1"),
        (lambda: mf.empirical_chi(nn.Sequential(MODULE[0], nn.Softmax(-1), MODULE[2]), X), "one value acts on several"),
        (lambda: mf.empirical_chi(POOLED, torch.ones(2, 1, 6, 6)), "one value acts on several"),
        (lambda: mf.jacobian(NET, X, "loss"), "output = 'loss'"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


def test_a_net_is_scaled_layer_by_layer_to_the_chi_of_another(draw):
    target, net, x = mlp(3, 24, [1000, 1001]), mlp(3, 24, [1002, 1003]), inputs(draw, 5, 24)
    before = mf.empirical_chi(net, x).mean(2)
    mf.match_chi(net, target, x)
    wanted = mf.empirical_chi(target, x).mean(2)
    assert torch.allclose(mf.empirical_chi(net, x).mean(2), wanted, rtol=1e-5)
    assert not torch.allclose(before, wanted, rtol=1e-2)


MEASURES = (mf.empirical_q, mf.empirical_c, mf.empirical_chi, mf.jacobian)
RELU = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("broken", ["x", "weights", "biases"])
def test_nan_gives_no_finite_number(measure, broken):
    """The slope of a ReLU at NaN is 0 or 1: without a check χ of NaN inputs was .343."""
    stack, module, x = mlp(3, 4, [1, 2], activation="relu", inputs=5, outputs=3), copy.deepcopy(RELU), X.clone()
    if broken == "x":
        x[0, 1] = torch.nan
    elif broken == "weights":
        stack.weights[0][1, 2, 3] = torch.nan
        module[0].weight.data[2, 3] = torch.nan
    else:
        stack.biases[0][1, 2] = torch.inf
        module[0].bias.data[2] = torch.inf
    for net in (stack, module):
        with pytest.raises(BadInput, match="nan or inf"):
            measure(net, x)


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "part",
    [nn.ConvTranspose1d(1, 1, 3), nn.Bilinear(2, 2, 2), nn.LSTM(5, 5), nn.Embedding(5, 5), Doubled(nn.Linear(5, 5))],
)
def test_layers_that_are_not_seen_are_no_activations(part):
    with pytest.raises(BadInput, match=type(part).__name__):
        mf.empirical_q(nn.Sequential(nn.Linear(5, 5), part, nn.Linear(5, 5)), X)


def test_convolutions_of_volumes_are_layers(draw):
    net, x = nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Conv3d(2, 3, 2)).double(), normal(draw, 2, 1, 4, 4, 4)
    expected = [net[:1](x), net(x)]
    found = mf.empirical_q(net, x)[0]
    for q, h in zip(found, expected, strict=True):
        assert q.numpy() == pytest.approx(h.detach().square().flatten(1).mean(1).numpy())
