"""The conv nets have the published shapes, train, and depend on their seed alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.nets.convnets import cnn5, resnet18k, seeded, tanh_conv
from redlib.training import SGD, Examples, fit


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet18_at_64_has_the_standard_number_of_parameters():
    # 11,173,962 is the post-activation CIFAR ResNet18; pre-activation drops three skip norms and one 2x64 norm
    # and gains a final 2x512 one: -2 * (128 + 256 + 512) - 2 * 64 - ... counted by hand from the layer list.
    convs = 3 * 64 * 9 + sum(
        (a * b + b * b) * 9 + (a * b if a != b else 0) + (2 * b * b * 9)
        for a, b in ((64, 64), (64, 128), (128, 256), (256, 512))
    )
    norms = 2 * (sum(a + b + 2 * b for a, b in ((64, 64), (64, 128), (128, 256), (256, 512))) + 512)
    assert count(resnet18k(64)) == convs + norms + 5130


@pytest.mark.parametrize("image", [8, 28, 32])
def test_cnn5_maps_images_to_logits_and_grows_with_width(image):
    net = cnn5(2, channels=1, image=image)
    assert net(torch.zeros(3, 1, image, image)).shape == (3, 10)
    assert count(cnn5(4)) > count(cnn5(2))


def test_resnet_maps_images_to_logits():
    assert resnet18k(2)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_seeded_nets_repeat_and_leave_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    a, b, c = (seeded(cnn5, seed, 2)[0].weight for seed in (3, 3, 4))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_a_conv_net_learns_through_the_same_fit():
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Examples(x, (x.mean((1, 2, 3)) > 0).long())
    nets = [seeded(cnn5, seed, 2, classes=2, channels=1, image=8) for seed in (0, 1)]
    history = fit(nets, data, optimizer=SGD(0.1, momentum=0.9), epochs=30, batch_size=16, evaluate={"train": data})
    assert history["train_error"].shape == (2, 1) and (history.final("train_error") < 0.1).all()


TANH = {"layers": 3, "channels": 64, "classes": 10, "inputs": 2, "sigma_w": 1.4, "sigma_b": 0.3}


@pytest.mark.parametrize("rows", [False, True])
def test_tanh_nets_take_images_or_rows_and_have_the_variances_of_their_law(rows):
    net = seeded(tanh_conv, 0, rows=rows, **TANH)
    assert net(torch.zeros(5, 2, 7) if rows else torch.zeros(5, 2, 7, 7)).shape == (5, 10)
    layers = [part for part in net if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear)]
    assert [tuple(part.weight.shape[:2]) for part in layers] == [(64, 2), (64, 64), (64, 64), (10, 64)]
    for part in layers:
        assert part.weight[0].numel() * part.weight.square().mean().item() == pytest.approx(1.96, rel=0.2)
    biases = torch.cat([part.bias for part in layers])
    assert biases.square().mean().item() == pytest.approx(0.09, rel=0.25)
    assert sum(isinstance(part, nn.Tanh) for part in net) == 3


def test_tanh_nets_without_a_convolution_or_channel_are_refused():
    for wrong in ("layers", "channels"):
        with pytest.raises(BadInput, match=" = 0"):
            tanh_conv(**TANH | {wrong: 0})


def test_widths_below_one_and_odd_images_are_refused():
    with pytest.raises(BadInput, match="width = 0"):
        resnet18k(0)
    with pytest.raises(BadInput, match="image = 30"):
        cnn5(2, image=30)
