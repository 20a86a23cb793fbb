"""The runs on memorising do what they say: what is corrupted, told, diluted, regularised and held back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.data.corruptions import pixel_order
from redlib.errors import BadInput
from redlib.studies.generalization.memory import (
    Corrupted,
    Critical,
    Diluted,
    Regularised,
    Relabelled,
    largest,
    module_mlp,
    nearest,
    normed,
    shifted,
)  # fmt: skip

SMALL = {"pool": 300, "validation": 60, "tests": 100, "n": 100, "hidden": (16,), "seeds": (1000, 1001)}
pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_mlp_whose_first_weights_are_permuted_with_the_pixels_trains_alike():
    config = Corrupted(**SMALL | {"validation": 0}, net="mlp", epochs=10, looks=4, enough=0.0)
    net, moved = config.nets(), config.nets()
    for r, seed in enumerate(config.seeds):
        moved.weights[0][r] = net.weights[0][r][:, pixel_order(64, seed)]
    plain, shuffled = config.on("true_labels", net), config.on("shuffled_pixels", moved)
    assert np.allclose(plain["train_loss"], shuffled["train_loss"], rtol=1e-4)
    assert np.array_equal(plain["test_error"], shuffled["test_error"])
    other = config.on("shuffled_pixels", config.nets())
    assert not np.allclose(plain["train_loss"], other["train_loss"], rtol=1e-2), "else the test could not fail"


def test_versions_change_what_they_name_and_test_labels_stay_true():
    config = Corrupted(**SMALL | {"validation": 0}, net="conv2")
    (x, rows, y), test = config.owned("train"), config.load().test
    train, unseen = config.changed("random_labels")
    assert torch.equal(train.x, x[rows].flatten(0, 1)) and torch.equal(unseen.y, test.y.expand(2, -1))
    assert 0.8 < float((train.y != y).double().mean()) < 0.97, "one in ten is right by luck"
    train, unseen = config.changed("gaussian")
    assert torch.equal(train.y, y) and float(train.x.mean()) == pytest.approx(float(x[rows].mean()), abs=0.02)
    assert not torch.equal(train.x[:100], unseen.x[:100])
    train, unseen = config.changed("shuffled_pixels")
    assert torch.equal(unseen.x[:100].flatten(1), test.x.flatten(1)[:, pixel_order(64, 1000)])


def test_curves_of_a_net_that_stopped_keep_their_last_value():
    found = Relabelled(**SMALL, shares=(0.0,), epochs=60, enough=0.5).run()
    loss = found["train_loss"]
    assert loss.shape == (2, 1, len(found["steps"])) and found["steps"][-1] == 120
    assert (loss[..., -1] <= 0.5).all() and (loss[..., -1] == loss[..., -2]).all()


@pytest.mark.parametrize("others", [False, True])
def test_the_share_of_random_labels_is_exact_and_nested(others):
    config = Relabelled(**SMALL, shares=(0.0, 0.3, 0.6), others=others)
    _, _, y = config.owned("train")
    changed = (config.noisy("train").y != y.repeat(3, 1)).view(3, 2, -1)
    counts = changed.sum(2)
    assert counts[0].tolist() == [0, 0] and bool((changed[2] | ~changed[1]).all()), "nested"
    if others:
        assert counts.tolist() == [[0, 0], [30, 30], [60, 60]]
    else:
        assert bool((counts[1] < 30).all() and (counts[1] > 20).all())
    assert len(config.noisy("validation").y) == 6


def test_relabelled_nets_of_all_shares_begin_alike_and_fit_what_they_are_told():
    found = Relabelled(**SMALL | {"hidden": (64,)}, shares=(0.0, 1.0), epochs=150, looks=20).run()
    assert (found["train_error"][..., -1] <= 0.01).all() and (found["test_error"][:, 1, -1] > 0.7).all()
    assert found["wrong"][:, 0].tolist() == [0, 0] and (found["nearest"][:, 0] < 0.2).all()


def test_the_nearest_image_is_found_and_the_first_of_equals():
    known = torch.tensor([[0.0, 0], [1, 0], [1, 0], [5, 5]])
    assert nearest(torch.tensor([[0.9, 0.1], [4, 4], [-1, 0]]), known).tolist() == [1, 3, 0]


def test_dilution_adds_as_many_copies_with_labels_of_their_own():
    config = Diluted(**SMALL, alphas=(0, 3), steps=4, looks=2)
    (_, rows, y), part = config.owned("train"), config.diluted("train", 3)
    assert part.y.shape == (2, 400) and torch.equal(part.y[:, :100], y)
    assert torch.equal(part.rows.view(2, 4, 100), rows[:, None].expand(2, 4, 100)), "copies of the same images"
    found = config.run()
    known = replace(config, alphas=(0,)).parts()["test"]
    x = config.owned("train")[0]
    alone = torch.stack([own[nearest(known.x, x[r])] for own, r in zip(y, rows, strict=True)])
    assert np.allclose(found["nearest"][:, 0], (alone != known.y).double().mean(1)), "without copies the nearest image"


def test_one_regulariser_changes_one_thing():
    config = Regularised(**SMALL, batch=50, epochs=4)
    plain = {"train_loss": config.arm("none", 0)["train_loss"]}
    for kind, strength in (("decay", 0.0), ("shift", 0)):
        assert np.array_equal(config.arm(kind, strength)["train_loss"], plain["train_loss"]), f"{kind} of no strength"
    for kind, strength in (("order", 0), ("decay", 0.1), ("dropout", 0.5), ("norm", 0), ("shift", 1)):
        assert not np.array_equal(config.arm(kind, strength)["train_loss"], plain["train_loss"]), kind
    with pytest.raises(BadInput, match="arm"):
        config.arm("dropuot", 0.5)


def test_dropout_and_norm_stand_behind_hidden_layers_alone_and_leave_the_first_weights():
    plain, dropped = (module_mlp((4, 5, 3), 0, p) for p in (0.0, 0.5))
    assert [type(layer).__name__ for layer in plain] == ["Flatten", "Linear", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in dropped] == ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert [type(layer).__name__ for layer in normed(plain)] == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    config = Regularised(**SMALL)
    assert torch.equal(config.nets()[0][1].weight, config.nets(1, dropout=0.5)[0][1].weight)


def test_shifts_are_all_places_within_reach_and_the_image_itself_is_first():
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1
    moved = shifted(x, 1)
    assert len(moved) == 9 and torch.equal(moved[:1], x)
    assert sorted(moved.flatten(1).argmax(1).tolist()) == list(range(9)) and torch.equal(shifted(x, 0), x)


CRITICAL = Critical(**SMALL, epochs=3, looks=3, lr=0.05)


def test_without_noise_all_arms_are_plain_training_with_decay():
    config = replace(CRITICAL, noise=0.0)
    net, other = config.nets(3), config.nets()
    train = config.examples("train")
    for _ in config.trained(net, train.select([0, 1] * 3)):
        pass
    config.fit(other, train)
    assert torch.allclose(net.vector(), other.vector().repeat(3, 1), atol=1e-5)
    assert not torch.allclose(other.vector(), config.nets().vector(), atol=1e-2), "it has moved"


def test_the_largest_products_keep_a_smaller_gradient_and_the_rest_none():
    config, step = replace(CRITICAL, noise=0.4), 0
    net, grad = config.nets(3), torch.zeros_like(config.nets(3).flat)
    for view in net.views(grad):
        view.normal_(generator=torch.Generator().manual_seed(0))
    before = [view.clone() for view in net.views(grad)]
    for number, arm in enumerate(config.arms):
        config.thin(net, grad, arm, slice(2 * number, 2 * number + 2), step)
    pairs = list(zip(net.views(grad), before, net.weights, strict=True))
    for now, old, w in pairs:
        assert torch.equal(now[:2], old[:2]) and torch.equal(now[..., w.shape[2]], old[..., w.shape[2]]), "biases keep"
    for own in (slice(2, 4), slice(4, 6)):
        cut = [tuple(p[own, : w.shape[1], : w.shape[2]].flatten(1) for p in (now, old, w)) for now, old, w in pairs]
        now, old, w = (torch.cat(parts, 1) for parts in zip(*cut, strict=True))
        kept = now != 0
        assert kept.sum(1).tolist() == [int(0.6 * now.shape[1])] * 2
        assert torch.allclose(now[kept], 0.6 * old[kept])
        product = (w * old).abs()
        ranked = all(product[r][kept[r]].min() >= product[r][~kept[r]].max() for r in range(2))
        assert ranked == (own.start == 2), "critical ones are the largest, others any"


def test_the_largest_share_is_taken_row_by_row():
    rows = torch.tensor([[1.0, 5, 3, 2], [9, 8, 1, 0]])
    assert largest(rows, 0.5).tolist() == [[False, True, True, False], [True, True, False, False]]
    assert largest(rows, 1.0).all() and largest(rows, 0.01).sum(1).tolist() == [1, 1]


def test_wrong_labels_that_are_answered_as_told_are_counted():
    found = CRITICAL.results(CRITICAL.run())
    assert found["memorised"].shape == (2, 3, len(found["steps"])) and found["steps"][-1] == 12
    assert ((found["memorised"] >= 0) & (found["memorised"] <= 1)).all()
    first = found["train_error"][..., -1]
    assert (first > 0.2).all() and not np.array_equal(first[:, 0], first[:, 1]), "three epochs are too few to memorise"
