"""Norms and capacity measures against analytic values, enumerated paths, and rescaling that changes nothing."""

import copy
from itertools import product
from math import log, log2, sqrt

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.measures import norms
from redlib.nets import StackedMLP
from redlib.nets.residual import ResidualTanh
from redlib.nets.stacked import unstacked
from redlib.pruning import masks as masking


def stack(*sizes, seeds=(0, 1, 2), activation="relu"):
    return StackedMLP.create(sizes or (3, 5, 4, 2), list(seeds), activation, dtype=torch.float64)


def linear(*rows, bias=None):
    layer = nn.Linear(len(rows[0]), len(rows), bias=bias is not None).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


U = linear([1.0, -2.0], [0.0, 3.0], [2.0, 2.0], bias=[1.0, -1.0, 0.5])
V = linear([1.0, -1.0, 0.5], [2.0, 0.0, -3.0], bias=[0.25, 2.0])
TWO = nn.Sequential(U, nn.ReLU(), V)
ZERO = nn.Sequential(linear([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], bias=[0.0] * 3), nn.ReLU(),
                     linear([0.0] * 3, [0.0] * 3, bias=[0.0] * 2))  # fmt: skip
IDENTITY = nn.Sequential(linear([1.0, 0.0], [0.0, 1.0]), nn.ReLU(), linear([1.0, 0.0], [0.0, 1.0]))
CONV = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
ROWS = torch.randn(9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
PARTS = (
    lambda net: norms.path_norm(net),
    lambda net: norms.path_norm(net, 1, biases=True),
    norms.spectral_product,
    norms.frobenius_product,
    norms.spectral_complexity,
    norms.vc_count,
    lambda net: norms.unit_impact(net, 1),
)


def enumerated(net, p, biases):
    """Return the path norm of a chain of Linear and ReLU by going through all of its paths one by one."""
    layers = [part for part in net if isinstance(part, nn.Linear)]
    widths = [layers[0].in_features, *[layer.out_features for layer in layers]]
    total = 0.0
    for first in range(len(layers)):
        for path in product(*[range(w) for w in widths[first + 1 :]]):
            through = 1.0
            for k, layer in enumerate(layers[first + 1 :]):
                through *= abs(layer.weight[path[k + 1], path[k]].item()) ** p
            if biases:  # a path that starts in the bias of the unit path[0] of layer `first`
                total += through * abs(layers[first].bias[path[0]].item()) ** p
            if first == 0:
                total += through * sum(abs(w) ** p for w in layers[0].weight[path[0]].tolist())
    return total ** (1 / p)


def test_identity_layers_have_norms_of_one_and_root_width():
    assert norms.spectral_product(IDENTITY).tolist() == [1]
    assert norms.frobenius_product(IDENTITY).tolist() == pytest.approx([2])
    assert norms.path_norm(IDENTITY).tolist() == pytest.approx([sqrt(2)])
    # Π 1 · (2 · (2/1)^{2/3})^{3/2}
    assert norms.spectral_complexity(IDENTITY).tolist() == pytest.approx([2 * 2**1.5])


def test_a_rank_one_step_has_the_same_frobenius_and_spectral_length():
    start = stack()
    net = start.clone()
    u, v = torch.tensor([1.0, 2, 0, 0, 2]), torch.tensor([0.0, 3, 4])
    net.weights[0][1] += torch.outer(u, v)
    net.weights[2][2] += 2 * torch.eye(2, 4)
    found = norms.distances(net, start)
    expected = torch.zeros(3, 3).double()
    expected[1, 0], expected[2, 2] = 15, 2
    torch.testing.assert_close(found.spectral, expected)
    expected[2, 2] = sqrt(8)
    torch.testing.assert_close(found.frobenius, expected)
    assert found.units.tolist() == [5, 4, 2] and found.names == ("layer1", "layer2", "layer3")
    torch.testing.assert_close(found.frobenius_per_unit[1:, [0, 2]], torch.tensor([[15 / sqrt(5), 0], [0, 2]]).double())
    assert found.total_frobenius.tolist() == pytest.approx([0, 15, sqrt(8)])
    assert found.total_spectral.tolist() == pytest.approx([0, 15, 2])


def test_the_total_is_the_length_of_all_weights_and_with_biases_of_all_parameters():
    net, start = stack(), stack(seeds=(3, 4, 5))
    moved = (net.vector() - start.vector()).norm(dim=1)
    torch.testing.assert_close(norms.distances(net, start, biases=True).total_frobenius, moved)
    assert bool((norms.distances(net, start).total_frobenius < moved).all())


def test_capacity_and_impact_are_the_rows_and_columns_of_a_unit():
    assert norms.unit_capacity(TWO, ZERO)[0].tolist() == pytest.approx([sqrt(5), 3, sqrt(8)])
    assert norms.unit_capacity(TWO, ZERO, biases=True)[0].tolist() == pytest.approx([sqrt(6), sqrt(10), sqrt(8.25)])
    assert norms.unit_impact(TWO)[0].tolist() == pytest.approx([sqrt(5), 1, sqrt(9.25)])
    assert norms.unit_capacity(TWO, ZERO, 1).shape == (1, 2)


def test_a_channel_takes_all_its_places_along():
    found = norms.unit_impact(CONV)[0]
    expected = [CONV[4].weight[:, 4 * c : 4 * c + 4].norm().item() for c in range(4)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    start = copy.deepcopy(CONV)
    with torch.no_grad():
        start[0].weight[2] += 1
    assert norms.unit_capacity(CONV, start)[0].tolist() == pytest.approx([0, 0, sqrt(18), 0], abs=1e-6)


@pytest.mark.parametrize("p", [1, 2, 1.5])
@pytest.mark.parametrize("biases", [False, True])
def test_the_path_norm_is_the_sum_over_all_paths(p, biases):
    net = stack(seeds=[4])
    for one in (TWO, unstacked(net, 0)):
        assert float(norms.path_norm(one, p, biases=biases)) == pytest.approx(enumerated(one, p, biases))
    assert float(norms.path_norm(net, p, biases=biases)) == pytest.approx(enumerated(unstacked(net, 0), p, biases))


def test_the_path_norm_of_a_convolution_counts_a_path_for_each_place():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(9, 1, bias=False))
    with torch.no_grad():
        net[0].weight.fill_(2)
        net[3].weight.fill_(-1)
    # on 3 x 3 pixels 4 corners see 4 pixels, 4 edges 6, the centre 9: 49 paths of weight 4
    assert float(norms.path_norm(net, shape=(1, 3, 3))) == pytest.approx(sqrt(4 * 49))
    with pytest.raises(BadInput, match="channels, height, width"):
        norms.path_norm(net)


def test_max_pooling_takes_the_largest_of_its_inputs():
    net = nn.Sequential(
        nn.Conv2d(1, 1, 2, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(1, 1)
    )
    with torch.no_grad():
        net[0].weight.fill_(1)
        net[4].weight.fill_(3)
    assert float(norms.path_norm(net, shape=(1, 2, 2))) == pytest.approx(sqrt(4 * 9))  # the centre sees four pixels


def test_a_path_norm_leaves_the_module_as_it_was():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(), nn.Linear(3, 1)).train()
    before = net.eval()(torch.ones(1, 2))
    net.train()
    assert norms.path_norm(net) == norms.path_norm(net.eval())
    assert net.train()[2].training and torch.equal(net.eval()(torch.ones(1, 2)), before)
    net[2].train()
    norms.path_norm(net)
    assert net[2].training and not net[1].training


def rescaled(net, a, layer=0):
    other = net.clone()
    other.weights[layer] *= a
    other.biases[layer] *= a
    other.weights[layer + 1] /= a
    return other


def test_a_rescaled_net_has_the_same_outputs_path_norm_and_products():
    net = stack()
    other = rescaled(rescaled(net, 7.0), 0.1, 1)
    x = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(other.logits(x), net.logits(x))
    for measure in PARTS[:5]:
        torch.testing.assert_close(measure(other), measure(net))
    frobenius = [norms.distances(part, stack(seeds=(3, 4, 5))).total_frobenius for part in (net, other)]
    assert float((frobenius[1] / frobenius[0]).min()) > 1.5  # while the norm of the parameters is another


def test_a_unit_rescaled_alone_keeps_the_path_norm_and_changes_the_product_of_norms():
    net = stack()
    other = net.clone()
    other.weights[0][:, 2] *= 9
    other.biases[0][:, 2] *= 9
    other.weights[1][:, :, 2] /= 9
    torch.testing.assert_close(norms.path_norm(other), norms.path_norm(net))
    # A bias is a path of its own: with the units' biases rescaled alike, these keep their weight as well.
    torch.testing.assert_close(norms.path_norm(other, biases=True), norms.path_norm(net, biases=True))
    assert float((norms.spectral_product(other) / norms.spectral_product(net) - 1).abs().min()) > 0.1
    assert float((norms.path_norm(net, biases=True) - norms.path_norm(net)).min()) > 0.01


@pytest.mark.parametrize("measure", PARTS)
def test_a_stack_gives_what_each_replicate_gives_alone(measure):
    net = stack()
    together = measure(net)
    assert len(together) == 3 and (measure is norms.vc_count or len(together.unique()) > 1)
    for r in range(3):
        torch.testing.assert_close(measure(unstacked(net, r))[0], together[r])
        torch.testing.assert_close(measure(net.select([r]))[0], together[r])
    torch.testing.assert_close(measure([unstacked(net, r) for r in range(3)]), together)


def test_distances_of_a_stack_are_those_of_its_replicates():
    net, start = stack(), stack(seeds=(3, 4, 5))
    x = torch.randn(8, 3, dtype=torch.float64)
    two = stack(3, 6, 2), stack(3, 6, 2, seeds=(3, 4, 5))
    bound = norms.neyshabur_bound(*two, x, torch.tensor([0.5, 1.0, 2.0]))
    measures = norms.two_layer_measures(*two)
    for r in range(3):
        alone = norms.distances(unstacked(net, r), unstacked(start, r))
        torch.testing.assert_close(alone.spectral[0], norms.distances(net, start).spectral[r])
        torch.testing.assert_close(alone.frobenius[0], norms.distances(net, start).frobenius[r])
        pair = [unstacked(part, r) for part in two]
        torch.testing.assert_close(norms.neyshabur_bound(*pair, x, (0.5, 1.0, 2.0)[r])[0], bound[r])
        for name, values in norms.two_layer_measures(*pair).items():
            torch.testing.assert_close(values[0], measures[name][r])
    own = x.expand(3, -1, -1)
    torch.testing.assert_close(norms.neyshabur_bound(*two, own, torch.tensor([0.5, 1.0, 2.0])), bound)


def test_the_spectral_complexity_takes_the_rows_of_the_distance_from_the_reference():
    found = float(norms.spectral_complexity(TWO, ZERO))
    spectral = [float(np.linalg.norm(w.weight.detach().numpy(), 2)) for w in (U, V)]
    rows = [sqrt(5) + 3 + sqrt(8), 1.5 + sqrt(13)]
    expected = np.prod(spectral) * sum((a / s) ** (2 / 3) for a, s in zip(rows, spectral, strict=True)) ** 1.5
    assert found == pytest.approx(expected)
    assert float(norms.spectral_complexity(TWO)) == pytest.approx(expected)  # the reference 0
    assert float(norms.spectral_complexity(TWO, TWO)) == 0


def test_no_two_inputs_are_moved_apart_by_more_than_the_product_of_spectral_norms():
    net = stack(activation="tanh")
    x, y = torch.randn(2, 500, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    slope = (net.logits(x) - net.logits(y)).norm(dim=2) / (x - y).norm(dim=1)
    assert bool((slope.amax(1) <= norms.spectral_product(net)).all()) and float(slope.max()) > 0.02


def test_grouped_convolutions_are_block_diagonal():
    torch.manual_seed(0)
    conv = nn.Conv1d(4, 6, 1, groups=2, bias=False).double()
    start = copy.deepcopy(conv)
    with torch.no_grad():
        start.weight.zero_()
    whole = torch.block_diag(*conv.weight[..., 0].split(3)).detach()
    found = norms.distances(conv, start)
    assert float(found.spectral) == pytest.approx(float(torch.linalg.matrix_norm(whole, 2)))
    assert float(found.frobenius) == pytest.approx(float(whole.norm())) and found.units.tolist() == [6]


def test_the_vc_count_is_parameters_times_depth_times_their_logarithm_and_masks_count():
    p = 4 * 5 + 6 * 4 + 5 * 2
    net = stack()
    assert norms.vc_count(net).tolist() == pytest.approx([p * 3 * log2(p)] * 3)
    mask = torch.ones(3, 5, 3, dtype=torch.bool)
    mask[1, 0] = False
    net.apply_masks([mask, None, None])
    assert norms.vc_count(net)[1] == pytest.approx((p - 3) * 3 * log2(p - 3))
    module = unstacked(stack(), 1)
    masking.apply(module, {"0": mask[1:2]} | {str(k): torch.ones(1, *module[k].weight.shape).bool() for k in (2, 4)})
    masks = masking.masks_of(module)
    assert norms.vc_count(module, masks)[0] == norms.vc_count(net)[1] < norms.vc_count(module)[0]
    with pytest.raises(BadInput, match="masks_of"):
        norms.vc_count(module, dict(list(masks.items())[:2]))
    torch.testing.assert_close(norms.path_norm(module)[0], norms.path_norm(net)[1])
    torch.testing.assert_close(norms.spectral_complexity(module)[0], norms.spectral_complexity(net)[1])


def test_measures_of_two_layers_are_those_of_the_table():
    found = {name: float(values) for name, values in norms.two_layer_measures(TWO, ZERO).items()}
    u, v = (part.weight.detach().numpy() for part in (U, V))
    s = [np.linalg.norm(w, 2) for w in (u, v)]
    f = [sqrt(22), sqrt(15.25)]
    rows = [sqrt(5) + 3 + sqrt(8), 1.5 + sqrt(13)]
    assert found == pytest.approx({
        "parameters": 6, "l1": 4 * 5, "frobenius": f[0] * f[1],
        "spectral_l21": s[0] * rows[1] + rows[0] * s[1],
        "spectral_frobenius": sqrt(2) * s[0] * f[1] + sqrt(3) * f[0] * s[1],
        "unit": f[0] * f[1] + sqrt(3),  # the start is 0
        "unit_sum": 5 + 3 + sqrt(8 * 9.25),
    })  # fmt: skip
    still = norms.two_layer_measures(TWO, TWO)
    assert float(still["unit"]) == pytest.approx(s[0] * f[1] + sqrt(3))
    assert float(still["spectral_frobenius"]) == float(still["unit_sum"]) == 0


def test_the_bound_for_two_layers_has_the_published_constants():
    size = float(ROWS.norm()) / 3
    seen = float((ROWS @ U.weight.detach().T).norm()) / 3
    for start, sum_ in ((ZERO, sqrt(22) * size), (TWO, seen)):
        capacity = 3 * sqrt(2) * 3 * (sqrt(15.25) + 1) * (sum_ + 1) / 0.5
        expected = (capacity + 3 * sqrt(5 * 3 + log(1.5 / 0.05))) / 3
        assert float(norms.neyshabur_bound(TWO, start, ROWS, 0.5, 0.05)) == pytest.approx(expected)


def test_over_the_margin_a_measure_falls_with_the_root_of_the_examples():
    complexity = torch.tensor([1.0, 3.0]).double()
    found = norms.over_margin(complexity, torch.tensor([0.5, 2.0]), torch.ones(16, 2, 2))
    assert found.tolist() == pytest.approx([1 * 2 / (0.5 * 4), 3 * 2 / (2 * 4)])


def test_margins_are_the_right_score_minus_the_best_other():
    outputs = torch.tensor([[1.0, 4, 2], [1, 4, 2], [0, 0, 5]])
    y = torch.tensor([1, 0, 2])
    assert norms.output_margins(outputs, y).tolist() == [2, -3, 5]
    both = torch.stack([outputs, 2 * outputs])
    assert norms.output_margins(both, y).tolist() == [[2, -3, 5], [4, -6, 10]]
    assert norms.margin_percentile(both, y, 50).tolist() == [2, 4]
    assert norms.margin_percentile(both, y, 25).tolist() == [-0.5, -1]  # half way from -3 to 2
    assert float(norms.margin_percentile(outputs, y, 0)) == -3
    own = torch.stack([y, y.flip(0)])
    assert norms.output_margins(both, own).tolist() == [[2, -3, 5], [-4, -6, -10]]


NORMED = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2))
BROKEN = nn.Sequential(linear([1.0, float("nan")]))
SKIPS = ResidualTanh.create((5, 4, 4, 4, 3), [0], "tanh")


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: norms.layers(nn.ReLU()), "layers of the nets"),
        (lambda: norms.layers([TWO, nn.Linear(2, 2)]), "layers of the nets"),
        (lambda: norms.layers(BROKEN), "finite numbers"),
        (lambda: norms.layers(linear([1.0], bias=[float("inf")])), "biases"),
        (lambda: norms.distances(stack(), stack(seeds=[0])), "layers of the start"),
        (lambda: norms.unit_capacity(TWO, ZERO, 2), "0 <= layer < 2"),
        (lambda: norms.unit_impact(TWO, 1), "0 <= layer < 1"),
        (lambda: norms.unit_impact(nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 2))), "multiple of 3"),
        (lambda: norms.path_norm(TWO, 0), "0 < p"),
        (lambda: norms.path_norm(stack(activation="tanh")), "tanh"),
        (lambda: norms.path_norm(SKIPS), "ResidualTanh"),
        (lambda: norms.path_norm(NORMED), "Fold batch norm"),
        (lambda: norms.path_norm(nn.Sequential(nn.Linear(2, 2), nn.Tanh())), "Tanh"),
        (lambda: norms.spectral_product(NORMED.train()), "Fold batch norm"),
        (lambda: norms.spectral_product(SKIPS), "Skips"),
        (lambda: norms.frobenius_product(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())), "Sigmoid"),
        (lambda: norms.spectral_complexity(ZERO), "cut to nothing"),
        (
            lambda: norms.vc_count(nn.Sequential(nn.Linear(2, 2), nn.ConvTranspose1d(2, 2, 1))),
            "where there are parameters",
        ),
        (lambda: norms.two_layer_measures(stack(), stack()), "3 layers"),
        (lambda: norms.two_layer_measures(CONV, CONV), "two Linear layers"),
        (lambda: norms.neyshabur_bound(TWO, ZERO, ROWS, 1.0, 1.0), "delta"),
        (lambda: norms.neyshabur_bound(TWO, ZERO, ROWS, -0.1), "margin > 0"),
        (lambda: norms.neyshabur_bound(TWO, ZERO, ROWS[:, :1], 1.0), "shape of x"),
        (lambda: norms.neyshabur_bound(TWO, ZERO, ROWS * torch.nan, 1.0), "NaN"),
        (lambda: norms.over_margin(torch.ones(1), 0.0, ROWS), "margin > 0"),
        (lambda: norms.over_margin(torch.ones(1), 1.0, ROWS[:0]), "n >= 1"),
        (lambda: norms.output_margins(ROWS[:0], torch.zeros(0).long()), "shape of outputs"),
        (lambda: norms.output_margins(ROWS / 0, torch.zeros(9).long()), "NaN or infinity"),
        (lambda: norms.output_margins(ROWS[:, :1], torch.zeros(9).long()), "number of classes"),
        (lambda: norms.output_margins(ROWS, torch.zeros(8).long()), "shape of the labels"),
        (lambda: norms.margin_percentile(ROWS, torch.zeros(9).long(), 101), "percent"),
    ],
)
def test_bad_input_raises_with_what_is_allowed(call, what):
    with pytest.raises(BadInput, match=what):
        call()
