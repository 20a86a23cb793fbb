"""The runs on random slices and small nets: what is trained, how it is counted, and what the words of layers mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.studies.loss_landscape.slices import (
    Conv,
    Dense,
    SideBySide,
    Small,
    convolves,
    count,
    layer,
    lenet,
    small_net,
    summed_loss,
)
from redlib.training import Examples

SEEDS = (1000, 1001)
SMALL = {"pool": 300, "tests": 200, "n": 150, "epochs": 20, "batch": 30, "seeds": SEEDS}
DENSE = Dense(**SMALL, widths=(12, 24), dims=(5, 200))
CONV = Conv(**SMALL, dims=(5, 250), hidden=(60, 40))
NETS = Small(**SMALL, architectures=("avg4", "dense3", "conv4x3 max4 depth3/2"), rates=(1e-5, 3e-2))


@pytest.fixture(scope="module")
def dense():
    return DENSE.results(DENSE.run())


@pytest.fixture(scope="module")
def conv():
    return CONV.results(CONV.run())


@pytest.fixture(scope="module")
def small():
    return NETS.results(NETS.run())


def test_more_dimensions_are_better_and_all_parameters_best(dense):
    few, many = dense.at(dim=5)["accuracy"], dense.at(dim=200)["accuracy"]
    assert (many > few + 0.2).all() and (dense["full_accuracy"] > many - 0.05).all()
    assert (dense["full_accuracy"] > 0.7).all() and (few > 0).all()


def test_parameters_of_dense_nets_are_those_of_their_layers(dense):
    assert dense["parameters"].tolist() == [(64 + 1) * h + (h + 1) * h + (h + 1) * 10 for h in (12, 24)]


def test_as_many_dimensions_as_parameters_do_as_well_as_training_in_full():
    whole = replace(CONV, epochs=40, dims=(650,), subspace_lr=0.03)  # all of a linear classifier: a convex problem
    assert np.allclose(whole.confined(whole.plain(), whole.dims)[:, 0], whole.full(whole.plain()), atol=0.05)


def test_a_slice_cannot_have_more_dimensions_than_the_net_has_parameters():
    with pytest.raises(BadInput, match="dimension = 651"):
        CONV.confined(CONV.plain(), (651,))


def test_nets_beside_a_conv_net_are_linear_and_both_learn(conv):
    assert conv["linear_parameters"] == 65 * 10 and CONV.plain().sizes == (64, 10)
    assert conv["parameters"] == 10 * 6 + (6 * 9 + 1) * 16 + (64 + 1) * 60 + 61 * 40 + 41 * 10
    assert (conv.at(dim=250)["accuracy"] > conv.at(dim=5)["accuracy"] + 0.2).all()
    assert (conv["full_accuracy"] > 0.6).all() and (conv["linear_full"] > 0.7).all()


def test_on_images_of_28_pixels_lenet_has_the_parameters_of_li_et_al():
    net = lenet((1, 28, 28), 10, (6, 16), 5, 0, (120, 84))
    assert count(net) == 44_426 and net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(BadInput, match="image"):
        lenet((1, 8, 8), 10, (6, 16), 5, 0, (120, 84))


def test_small_nets_are_counted_and_those_too_large_are_named_before_training(small):
    assert small["parameters"].tolist() == [17 * 10, 65 * 3 + 4 * 10, 10 * 4 + 10 * 4 + 17 * 10]
    assert small["convolutional"].tolist() == [False, False, True]
    with pytest.raises(BadInput, match="'avg5 dense9' = 334"):
        replace(NETS, architectures=("avg4", "avg5 dense9")).run()
    assert all(count(Small(seeds=SEEDS).nets(one)[0]) <= 300 for one in Small().architectures)


def test_images_cannot_be_asked_of_units_nor_rates_of_another_optimiser():
    with pytest.raises(BadInput, match="layer = 'avg2'"):
        replace(NETS, architectures=("dense3 avg2",)).run()
    with pytest.raises(BadInput, match="optimizer"):
        replace(NETS, optimizer="sgd").run()


def test_at_least_twelve_architectures_of_both_kinds_are_searched():
    kinds = [convolves(one) for one in Small().architectures]
    assert len(kinds) == len(set(Small().architectures)) >= 12 and 3 <= sum(kinds) <= len(kinds) - 3


def test_a_rate_too_low_teaches_nothing_and_a_good_one_does(small):
    for part in ("validation_accuracy", "test_accuracy"):
        assert (small.at(rate=1e-5)[part] < 0.4).all() and (small.at(rate=3e-2, architecture="avg4")[part] > 0.6).all()
    assert not np.array_equal(small["validation_accuracy"], small["test_accuracy"])


def test_accuracies_are_those_of_the_named_part_of_the_data():
    net, parts = NETS.nets("avg4"), NETS.parts()
    both = SideBySide(net[:1], (0.1, 0.2))
    for part, size in (("validation", 200), ("test", 200)):
        right = (net[0](parts[part].x).argmax(1) == parts[part].y).sum().item()
        assert np.allclose(both.accuracies(parts[part]), right / size)
    assert not {*map(bytes, parts["validation"].x.numpy())} & {*map(bytes, parts["test"].x.numpy())}


def test_nets_side_by_side_train_as_each_would_alone_at_its_rate():
    """The oracle is torch's own Adam on each net by itself."""
    source, words, rates = torch.Generator().manual_seed(3), ("avg4", "conv2x3/2 avg1"), (0.01, 0.1)
    x, y = torch.randn(20, 1, 8, 8, generator=source), torch.arange(20) % 4
    nets = [small_net(one, (1, 8, 8), 4) for one in words]
    both = SideBySide([small_net(one, (1, 8, 8), 4) for one in words], rates)
    both.nets.load_state_dict(nn.ModuleList(nets).state_dict())
    both.origin.copy_(torch.cat([values.detach().flatten() for net in nets for values in net.parameters()]))
    descend(both, 1.0, lambda: summed_loss(both(x), y))
    for k, rate in enumerate(rates):
        for a, start in enumerate(nets):
            alone = small_net(words[a], (1, 8, 8), 4)
            alone.load_state_dict(start.state_dict())
            descend(alone, rate, lambda: nn.functional.cross_entropy(alone(x), y))  # noqa: B023
            assert torch.allclose(both(x)[:, a, k], alone(x), atol=2e-4)
            assert not torch.allclose(start(x), alone(x), atol=1e-2)
    assert both.accuracies(Examples(x, y)).shape == (2, 2)


def descend(net, lr, loss):
    """Take five steps of Adam."""
    rule = torch.optim.Adam([values for values in net.parameters() if values.requires_grad], lr=lr)
    for _ in range(5):
        rule.zero_grad()
        loss().backward()
        rule.step()


def test_words_of_layers_mean_what_is_said_of_them():
    x = torch.arange(64.0).view(1, 1, 8, 8)
    assert layer("avg4", x)(x)[0, 0, 0].tolist() == [4.5, 6.5, 8.5, 10.5] and layer("max1", x)(x).item() == 63
    assert layer("dense7", x)(x).shape == (1, 7) and layer("conv5x3/2", x)(x).shape == (1, 5, 4, 4)
    many = torch.randn(1, 6, 4, 4)
    depth = layer("depth3", many)
    assert depth(many).shape == many.shape and count(depth) == 6 * 9 + 6 and (depth(many) >= 0).all()


@pytest.mark.parametrize(
    "word", ["conv5", "avg4x2", "depth3x3", "pool2", "dense0", "conv5x0", "Avg4", "avg4/2", "dense3/2"]
)
def test_other_words_are_refused(word):
    with pytest.raises(BadInput, match="layer"):
        layer(word, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("run", [DENSE, CONV, NETS], ids=["dense", "conv", "small"])
def test_no_seed_depends_on_its_company(run, request):
    found = request.getfixturevalue({Dense: "dense", Conv: "conv", Small: "small"}[type(run)])
    for name, values in replace(run, seeds=SEEDS[1:]).run().items():
        assert np.array_equal(values, found[name][1:] if "seed" in found.axes[name] else found[name]), name
