"""The blurring study does what it says: who is told what, how nets train, what is looked at, and its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from redlib.data.blur import blur
from redlib.data.transforms import change_norms
from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.evidence.stats import wilson
from redlib.measures.blurcurves import roughness
from redlib.nets.strided import build_strided
from redlib.studies import blurring as bl
from redlib.studies import blurring_curves as bc
from redlib.studies import blurring_look as look
from redlib.studies import blurring_statistics as bs
from redlib.studies.experiments import joined, with_seeds

CHANGES = ("shift", "rotation", "noise", "gradient")
TINY = bl.Blurred(
    train=300, tests=40, every=10, widths=(8, 8), epochs=8, batch=20, probe_every=3, changes=CHANGES, clean=15,
    sigmas=(0.1, 1.3, 4.0, 10.0), sizes=(1.3, 4.0), seeds=(1000, 1001),
)  # fmt: skip
PRUNED = bl.Tickets(train=300, hidden=(80, 60), rounds=2, rate=0.8, lr=0.01, epochs=40, seeds=(1000, 1001))
GRID = np.array([0, 0.1, 1.3, 2.0, 3.0, 4.0])


@pytest.fixture(scope="module")
def data():
    return bl.dataset(TINY)


@pytest.fixture(scope="module")
def found():
    return bl.run(TINY)


@pytest.fixture(scope="module")
def trained(data):
    """The nets of `found`, trained again: runs keep decisions, not nets."""
    nets, assigned = bl.fresh_nets(TINY, data), bl.told(TINY, data)
    bl.fit(
        nets, bl.Examples(data.train.x, assigned), optimizer=bl.rule(TINY), schedule=bl.schedule(TINY), epochs=8,
        batch_size=20, seeds=TINY.seeds,
    )  # fmt: skip
    return nets


class Linear(nn.Module):
    """Two classes of images of 2 x 2 pixels, told apart by the sum of x times `weight`."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        score = x.flatten(1) @ self.weight
        return torch.stack([torch.zeros_like(score), score], 1)


def images(*pixels):
    return torch.tensor(pixels).view(-1, 1, 2, 2)


# Nets


@pytest.mark.parametrize(
    ("name", "widths", "image", "parameters"),
    [("conv", (12, 16), 8, 4462), ("conv", (16, 32, 96), 28, 48_058), ("residual", (8, 16), 8, 6338),
     ("residual", (12, 24, 48), 28, 48_574), ("mlp", (64,), 28, 51_018)],
)  # fmt: skip
def test_nets_have_the_sizes_they_state(name, widths, image, parameters):
    net = build_strided(name, 0, widths, 10, 1, image)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(torch.zeros(2, 1, image, image)).shape == (2, 10)
    assert any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in net.modules())


def test_the_source_s_resnet_18_has_its_eleven_million_weights():
    net = build_strided("resnet18", 0, (64,), 10, 1, 28)
    assert sum(p.numel() for p in net.parameters()) == 11_175_370
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_images_are_halved_until_they_are_four_pixels_wide():
    strides = [p.stride[0] for p in build_strided("conv", 0, (2, 2, 2, 2), 10, 1, 28) if isinstance(p, nn.Conv2d)]
    assert strides == [2, 2, 2, 1], "28, 14, 7, 4, 4"


def test_a_seed_draws_a_net_and_bad_names_are_refused():
    a, b, other = (build_strided("residual", seed, (4, 4), 10, 1, 8).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["0.weight"], other["0.weight"])
    with pytest.raises(BadInput, match="one of"):
        build_strided("cnn", 0, (4,), 10, 1, 8)
    with pytest.raises(BadInput, match="widths"):
        build_strided("conv", 0, (), 10, 1, 8)


# Who is told what


def test_every_kth_image_of_each_class_is_mislabelled_in_an_order_of_the_seed(data):
    y, assigned = data.train.y, bl.told(TINY, data)
    wrong = assigned != y
    for own in wrong:
        assert torch.equal(torch.bincount(y[own], minlength=10), torch.bincount(y) // 10)
    assert 0 < (wrong[0] & wrong[1]).sum() < 20, "seeds mislabel different images, some in common by chance"
    assert torch.equal(bl.told(replace(TINY, seeds=(1001,)), data)[0], assigned[1]), "whatever the other seeds"


def test_between_rates_only_labels_differ_and_those_of_lower_rates_are_among_them(data):
    few, many = (bl.told(replace(TINY, every=k), data) for k in (20, 10))
    wrong = few != data.train.y
    assert 0 < wrong.sum() < (many != data.train.y).sum() and torch.equal(few[wrong], many[wrong])
    a, b = (bl.fresh_nets(replace(TINY, every=k), data)[1].state_dict() for k in (20, 10))
    assert all(torch.equal(a[name], b[name]) for name in a)


# Training and looks


def test_training_is_looked_at_every_few_epochs_and_at_the_end(found):
    assert bl.moments(TINY) == [3, 6, 8] and bl.moments(replace(TINY, epochs=6)) == [3, 6]
    assert found["epochs"].tolist() == [3, 6, 8]
    assert (found["wrong_clean"][:, -1] < found["wrong_clean"][:, 0]).all()


def test_the_last_look_counts_what_the_decisions_say(found):
    missed = found["train"][:, 0] != found["assigned"]
    wrong = found["assigned"] != found["labels"]
    assert np.array_equal(found["wrong_clean"][:, -1], (missed & ~wrong).sum(1))
    assert np.array_equal(found["wrong_mislabelled"][:, -1], (missed & wrong).sum(1))
    assert 0 < found["wrong_mislabelled"][:, -1].sum() < wrong.sum()


def test_decisions_are_those_of_the_trained_nets_on_blurred_images(found, trained, data):
    assert found["sigmas"][1].tolist() == [0, 0.1, 1.3, 4, 10] and found["train"].dtype == np.int8
    for part, x in (("train", data.train.x), ("test", data.test.x)):
        images = blur(x, [0, 1.3 * 8 / 28, 10 * 8 / 28])
        for r, net in enumerate(trained):
            with torch.no_grad():
                own = torch.stack([net.eval()(some).argmax(1) for some in images]).numpy()
            assert np.array_equal(found[part][r][[0, 2, 4]], own)
    assert np.array_equal(found["labels"][0], data.train.y) and np.array_equal(found["test_labels"][1], data.test.y)


def test_a_seed_alone_gives_what_it_gives_among_others(found):
    alone = bl.run(with_seeds(TINY, (1001,)))
    assert all(np.array_equal(alone[name][0], found[name][1]) for name in found if name != "epochs")
    first = {name: values if name == "epochs" else values[:1] for name, values in found.items()}
    assert all(np.array_equal(joined([first, alone])[name], found[name]) for name in found)


def test_images_that_fit_in_no_batch_are_blurred_in_parts(trained, data, monkeypatch):
    whole = look.blurred(trained, data.test.x, (0.0, 4.0))
    monkeypatch.setattr(look, "BATCH", 7)
    assert np.array_equal(look.blurred(trained, data.test.x, (0.0, 4.0)), whole) and whole.shape == (2, 2, 40)


def test_optimiser_and_schedule_are_chosen():
    assert bl.rule(replace(TINY, optimizer="sgd", lr=0.1)) == bl.SGD(0.1, 0.9) and bl.rule(TINY) == bl.Adam(0.01)
    assert bl.schedule(TINY)(50, 100) == pytest.approx(0.5) and bl.schedule(replace(TINY, decay=False))(50, 100) == 1
    with pytest.raises(BadInput, match="optimizer"):
        bl.rule(replace(TINY, optimizer="adamw"))
    with pytest.raises(BadInput, match="configuration"):
        bl.run("blur")


def test_longer_trainings_and_larger_nets_cost_more():
    assert replace(TINY, epochs=16).cost == 2 * TINY.cost < replace(TINY, epochs=16, net="residual").cost
    assert bl.Robust(TINY, steps=3).cost == 4 * TINY.cost and PRUNED.cost < bl.Disagreement().cost


# Other changes, steps along signs


def test_all_learned_mislabelled_images_and_the_first_learned_others_are_watched(trained, data):
    labels = bl.told(TINY, data)[0]
    wrong, known = labels != data.train.y, look.decisions(trained[0], data.train.x) == labels
    rows = look.watched(known, wrong, 15)
    assert set(rows[wrong[rows]].tolist()) == set((wrong & known).nonzero()[:, 0].tolist())
    assert rows[~wrong[rows]].tolist() == (known & ~wrong).nonzero()[:15, 0].tolist()


@pytest.mark.parametrize("name", CHANGES)
def test_other_changes_are_as_large_as_the_blur_and_counted_by_group(name, found, trained, data):
    labels = bl.told(TINY, data)[1]
    known = look.decisions(trained[1], data.train.x) == labels
    rows = look.watched(known, labels != data.train.y, 15)
    x, wrong = data.train.x[rows], (labels != data.train.y)[rows]
    changed = look.variants(trained[1], name, x, (1.3, 4.0), 1001)
    norms = change_norms(x, blur(x, look.pixels((1.3, 4.0), 8)))
    assert torch.allclose(change_norms(x, changed), norms, rtol=1e-3)
    moved = torch.stack([look.decisions(trained[1], some) for some in changed]) != labels[rows]
    expected = [moved[:, group].double().mean(1).tolist() for group in (wrong, ~wrong)]
    assert np.allclose(found[f"changed_{name}"][1], expected) and found["sizes"][1].tolist() == [1.3, 4.0]


def test_no_image_of_a_group_gives_nan():
    net = Linear([1.0, 0, 0, 0])
    x, labels = images((1.0, 0, 0, 0), (2.0, 1, 0, 1)), torch.tensor([1, 1])
    share = look.changed(net, "noise", x, labels, torch.tensor([False, False]), (1.3,), 0)
    assert np.isnan(share[0]).all() and np.isfinite(share[1]).all()


def test_a_step_flips_what_lies_within_it():
    # A step e along the sign changes the score by e times the sum of |weight| = 4.
    net = Linear([2.0, -1.0, 0.5, 0.5])
    x = images((0.5, 0.0, 0, 0), (0.1, 0.0, 0, 0), (0.0, 0.1, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))  # scores 1, .2, -.1, 2
    ahead, chance = look.flips(net, x, (0.04, 0.06, 0.3, 0.6), 0)
    assert ahead.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert (chance <= ahead).all() and chance.mean() < ahead.mean()


def test_a_constant_net_has_no_direction_of_its_own():
    x = images((0.5, 0.0, 0, 0), (0.0, 0.1, 0.2, 0.3))
    assert torch.equal(look.along_gradient(Linear([0.0] * 4), x), torch.ones_like(x))
    assert look.along_gradient(Linear([2.0, -1.0, 0.0, 3.0]), x)[0].flatten().tolist() == [-1, 1, 0, -1]


def test_random_signs_are_signs_of_the_step(data):
    seen = []

    class Spy(Linear):
        def forward(self, x):
            seen.append(x.detach())
            return super().forward(x)

    x = images((0.5, 0.0, 0, 0))
    look.flips(Spy([1.0, 1.0, 1.0, 1.0]), x, (0.25,), 3)
    assert any(torch.equal((s - x).abs(), torch.full_like(x, 0.25)) and (s - x).unique().numel() == 2 for s in seen)


# Robust nets


def test_attacks_stay_within_epsilon_and_grey_values_and_raise_the_loss(trained, data):
    config, source = bl.Robust(TINY, epsilon=0.1, steps=3), np.random.default_rng(0)
    x, y, net = data.train.x[:50], data.train.y[:50], trained[0].train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    worst = bl.attacked(config, net, x, y, source)
    assert (worst - x).abs().max() <= 0.1 + 1e-6 and worst.min() >= 0 and worst.max() <= 1
    losses = [nn.functional.cross_entropy(net.eval()(some), y) for some in (worst, x)]
    assert losses[0] > losses[1] + 0.5
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items()), "statistics as before"


def test_attacks_of_size_zero_are_plain_training(found):
    plain = bl.run(bl.Robust(TINY, epsilon=0.0))
    assert all(np.array_equal(plain[name], found[name]) for name in found)


def test_attacked_nets_withstand_more_and_learn_fewer_wrong_labels(found):
    robust = bl.run(bl.Robust(replace(TINY, changes=()), epsilon=0.1, steps=2))
    assert bs.withstands(robust, found) == {"robust_nets_withstand_more": True}
    assert bs.withstands(found, robust) == {"robust_nets_withstand_more": False}
    assert (bs.robust_claim(robust, found)["mislabelled_train_accuracy_robust_minus_standard"] < 0).all()


# Tickets, folds, kernels


def test_tickets_of_each_round_are_judged_on_the_wrong_labels():
    found = bl.run(PRUNED)
    mislabelled, train = found["mislabelled_accuracy"], found["train_accuracy"]
    assert found["density"][:, 0].tolist() == [1, 1] and (np.diff(found["density"]) < 0).all()
    wrong = int((bl.told(TINY, bl.dataset(TINY))[0] != bl.dataset(TINY).train.y).sum())
    for share, images in ((train, 300), (mislabelled, wrong)):
        assert np.allclose(share * images / 100, np.round(share * images / 100), atol=1e-6)
    assert (mislabelled[:, 0] > 90).all() and (mislabelled[:, -1] < 60).all() and (train[:, -1] > 80).all()


def test_folds_hold_every_image_out_once_per_seed():
    kept, held = bl.folds(11, 3, (1000, 1001))
    assert held.shape == (6, 3) and kept.shape == (6, 6)
    for own, others in zip(held.view(2, -1), kept.view(2, 3, 6), strict=True):
        assert len(own.unique()) == 9
        assert all(not set(h.tolist()) & set(k.tolist()) for h, k in zip(own.view(3, 3), others, strict=True))
    assert not torch.equal(held[0], held[3])
    with pytest.raises(BadInput, match="folds"):
        bl.folds(11, 1, (0,))


def test_disagreement_is_the_error_on_labels_not_seen():
    config = bl.Disagreement(dataset="digits", train=300, folds=3, hidden=(32,), lr=0.01, batch=20, seeds=(0, 1))
    found = bl.run(config)["disagreement"]
    assert found.shape == (2,) and np.allclose(found * 3, np.round(found * 3), atol=1e-4), "of 300 images"
    assert (found > 2).all() and (found < 25).all()


def test_a_kernel_without_a_blur_leaves_images_as_they_are():
    x = bl.load("digits", n_train=100).train.x.double()
    bare = bl.run(bl.Kernel(train=100, images=100, sigma=0, weak=0, seeds=(1000,)))
    assert bare["correlation"] == pytest.approx(1)
    for padding in ("reflect", "replicate", "zero", "circular"):
        assert bare[f"limit_{padding}"] == pytest.approx((x.std(1, correction=0) / x.mean(1)).mean().item())
    far = bl.run(bl.Kernel(train=100, images=50, seeds=(1000, 1001)))
    assert (far["limit_reflect"] < 0.3).all() and (far["limit_zero"] > far["limit_replicate"]).all()
    assert far["limit_reflect"][0] != far["limit_reflect"][1], "seeds look at different images"
    assert (far["correlation"] > 0.99).all() and (far["correlation"] < 1).all()


def test_correlations_are_those_of_numpy():
    a, b = torch.rand(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    expected = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b, strict=True)]
    assert np.allclose(look.correlations(a, b), expected)


# Curves


def some(clean, mislabelled, n=(200, 20), seeds=2, lost=((0, 0), (0, 0)), test=None, **more):
    """Results whose groups change by shares [K + 1], nested in blur; the true class is 0, the wrong label 1.

    `lost` are the numbers of mislabelled and of clean images not learned, at each of the looks.
    """
    labels = np.zeros((seeds, sum(n)), np.int8)
    assigned = np.repeat([[0] * n[0] + [1] * n[1]], seeds, 0).astype(np.int8)
    moved = [
        np.arange(size)[None] < round_up(shares, size)[:, None]
        for size, shares in zip(n, (clean, mislabelled), strict=True)
    ]
    train = np.where(np.concatenate(moved, 1), 2, assigned[:1])[None].repeat(seeds, 0).astype(np.int8)
    unseen = np.where(np.arange(100)[None] < round_up(test if test is not None else clean, 100)[:, None], 2, 0)
    wrong = np.array(lost).T[:, None].repeat(seeds, 1)
    return {
        "assigned": assigned, "labels": labels, "train": train, "test": unseen[None].repeat(seeds, 0).astype(np.int8),
        "sigmas": np.tile(GRID, (seeds, 1)), "epochs": np.arange(1, 1 + len(lost)) * 4,
        "wrong_mislabelled": wrong[0], "wrong_clean": wrong[1],
    } | more  # fmt: skip


def round_up(shares, size):
    return np.round(np.asarray(shares) * size)


def rising(top):
    """A share that rises in a line from 0 at a blur of 1.3 to `top` at 4."""
    return np.clip((GRID - 1.3) / 2.7, 0, 1) * top


def test_curves_count_by_group_what_is_changed_wrong_and_returned():
    found = some(rising(0.5), [0, 0, 0.2, 0.4, 0.6, 1])
    assert bc.sigmas(found).tolist() == GRID.tolist() and [c.tolist() for c in bc.counts(found)] == [
        [20] * 2,
        [200] * 2,
    ]
    assert np.allclose(bc.changed(found, "mislabelled")[1], [0, 0, 20, 40, 60, 100])
    assert np.allclose(bc.changed(found, "clean")[0, [0, -1]], [0, 50])
    assert np.allclose(bc.changed(found)[0, -1], 100 * 120 / 220) and np.allclose(bc.changed(found, "test")[0, -1], 50)
    found["train"][:, 3, -1] = 0  # a mislabelled image taken for its true class
    assert np.allclose(bc.returned(found)[0], [0, 0, 0, 5, 0, 0])


def test_only_learned_images_can_change_and_wrong_is_by_the_label_told():
    found = some(rising(0.5), [0, 0, 0, 0, 1, 1])
    found["train"][0, :, -5:] = 3  # never learned
    assert np.allclose(bc.wrong(found, "mislabelled")[0], [25, 25, 25, 25, 100, 100])
    assert np.allclose(bc.changed(found, "mislabelled")[0], [0, 0, 0, 0, 100, 100])
    assert bc.memorised(found).tolist() == [75, 100]
    found["train"][0, 0, 200:] = 3
    assert (
        np.isnan(bc.changed(found, "mislabelled")[0]).all() and np.isfinite(bc.changed(found, "mislabelled")[1]).all()
    )


def test_areas_are_means_between_1p3_and_4_of_the_clean_images():
    found = some(rising(0.5), rising(1.0))
    assert np.allclose(bc.changed_area(found), 25, atol=0.3) and np.allclose(
        bc.changed_area(found, "mislabelled"), 50, atol=2.5
    )
    by_rate = {10: some(rising(0.8), rising(1)), 100: some(rising(0.4), rising(1))}
    assert np.allclose(bc.areas(by_rate), [[20, 40]] * 2, atol=0.3) and np.allclose(
        bc.drop(by_rate, 10, 100), 20, atol=0.3
    )
    assert np.allclose(2.0 ** bc.log_rates(by_rate), [0.01, 0.1])


def test_the_fit_is_the_first_look_at_999_of_a_thousand():
    found = some(rising(0), rising(0), n=(900, 100), lost=((30, 20), (1, 1), (1, 0), (0, 0)))
    assert np.allclose(bc.accuracy(found)[0], [0.95, 0.998, 0.999, 1])
    assert bc.epochs_to_fit(found).tolist() == [12, 12]
    assert bc.events(found).tolist() == [[1, 1], [0, 0]]
    never = some(rising(0), rising(0), lost=((30, 20), (1, 1)))
    assert np.isnan(bc.epochs_to_fit(never)).all() and np.isnan(bc.events(never)).all()


def test_nets_are_strata_weighted_by_their_groups():
    one, two = some(rising(0), rising(1)), some(rising(0), rising(0.5), n=(100, 40))
    weights = 200 * 20 / 220, 100 * 40 / 140
    expected = (100 * weights[0] + 50 * weights[1]) / sum(weights)
    assert np.allclose(bc.difference({10: one, 5: two})[:, -1], expected)
    none = some(rising(0), rising(1))
    none["train"][0, 0, 200:] = 3  # a seed that has learned no wrong label
    assert bc.difference({10: none})[0] == pytest.approx([np.nan] * 6, nan_ok=True)
    assert np.allclose(bc.difference({10: none, 5: two})[:, -1], [50, expected])


def test_roughness_is_its_shape_and_chance():
    noise = np.random.default_rng(0)
    found = some(rising(0.3), rising(0.3), n=(4000, 50), seeds=4)
    found["train"][:, 1:, :4000] = np.where(noise.random((4, 5, 4000)) < 0.3, 2, 0)  # erratic images, a flat curve
    shape, chance = bc.roughness_parts(found, "clean")
    whole = roughness(bc.changed(found, "clean"))
    assert np.allclose(shape + chance / 4000, whole)
    # Variance .21 a point; second differences of 5 independent points and a fixed one: 3·6 + 5 = 23 of them, less one.
    assert np.allclose(chance, 1e4 * 0.21 * (5 + 3 * 6), rtol=0.05)
    assert np.allclose(shape, 30.0**2 + 0, rtol=0.15), "a step from 0 to 30 points"
    few = bc.roughness_parts(some(rising(0), rising(1), n=(200, 1)), "mislabelled")
    assert np.isnan(few).all()


def test_pseudo_values_of_a_mean_are_the_values():
    values = np.array([[1.0, 2], [4, 0], [9, 1]])
    assert np.allclose(bc.pseudo_values(lambda kept: float(kept.mean()), values), values.mean(1))


# Claims


def test_blur_0_is_judged_at_the_end_and_by_the_slowest_rate():
    early = some(rising(0), rising(0), lost=((9, 9), (0, 0), (0, 0)))
    late = some(rising(0), rising(0), lost=((9, 9), (9, 9), (0, 0)))
    lost = some(rising(0), rising(0), lost=((9, 9), (0, 0), (9, 9)))
    assert bs.fit_claim({10: early, 20: late})["epochs_to_fit"].tolist() == [12, 12]
    assert bs.fit_claim({10: early, 20: lost})["share_of_rates_fitted"].tolist() == [0.5, 0.5]
    assert bs.fitted(early, late) == {"nets_fitted": True} and bs.fitted(early, lost, name="a") == {"a": False}


def test_blur_1_is_the_ratio_of_the_rates_with_half_an_event_more(monkeypatch):
    many = some(rising(0), rising(0), n=(18_000, 2000), lost=((900, 900), (9, 6)))
    few = some(rising(0), rising(0), n=(19_800, 200), lost=((900, 900), (8, 7)))
    expected = (9.5 / 2000) / (6.5 / 18_000), (8.5 / 200) / (7.5 / 19_800)
    claim = bs.gap_claim({10: many, 100: few})
    assert np.allclose(claim["rate_ratio_high_rates"], expected[0])
    assert np.allclose(claim["rate_ratio_low_rates"], expected[1])
    assert np.allclose(claim["rate_ratio_low_over_high_rates"], expected[1] / expected[0])
    rare = some(rising(0), rising(0), n=(18_000, 2000), lost=((900, 900), (9, 4)))
    assert np.isnan(bs.rate_ratio({10: rare}, [10])).all()
    monkeypatch.setattr(bs, "LEAST_EVENTS", 0)
    nothing = {10: some(rising(0), rising(0), n=(900, 100))}
    assert np.allclose(bs.rate_ratio(nothing, [10]), 9), "half an event alone makes a ratio of k - 1"


def test_ratios_of_several_nets_are_mantel_and_haenszels():
    sizes, lost = {10: (18_000, 2000), 20: (19_000, 1000)}, {10: (9, 6), 20: (7, 3)}
    by_rate = {k: some(rising(0), rising(0), n=sizes[k], lost=((900, 900), lost[k])) for k in sizes}
    top = sum((lost[k][0] + 0.25) * sizes[k][0] / 20_000 for k in sizes)
    bottom = sum((lost[k][1] + 0.25) * sizes[k][1] / 20_000 for k in sizes)
    assert np.allclose(bs.rate_ratio(by_rate, [10, 20]), top / bottom)


def test_blur_2_is_the_largest_rate_at_the_least_blur():
    one, two = some([0, 0.1, 1, 1, 1, 1], [0, 0.2, 1, 1, 1, 1]), some([0, 0, 1, 1, 1, 1], [0, 0.3, 1, 1, 1, 1])
    claim = bs.low_blur_claim({10: one, 20: two})
    assert claim["wrong_rate_mislabelled_low_blur"].tolist() == [30, 30]
    assert claim["wrong_rate_clean_low_blur"].tolist() == [10, 10]


def test_blur_3_keeps_the_sign_of_the_largest_difference():
    claim = bs.equality_claim({10: some([0, 0, 0, 0.5, 0, 0], [0, 0.1, 0, 0, 0.2, 0])})
    assert claim["changed_rate_mislabelled_minus_clean_largest"].tolist() == [-50, -50]
    found = some(rising(0.2), rising(0.6))
    expected = bc.changed_area(found, "mislabelled") - bc.changed_area(found, "clean")
    assert np.allclose(bs.equality_claim({10: found})["changed_rate_mislabelled_minus_clean_mean"], expected)


def test_blur_4_finds_jitter_beyond_that_of_as_many_clean_images():
    noise = np.random.default_rng(1)
    alike = some(rising(0), rising(0), n=(600, 60), seeds=3)
    alike["labels"] = np.tile(np.arange(660) % 3, (3, 1)).astype(np.int8)
    alike["assigned"] = (alike["labels"] + (np.arange(660) >= 600)).astype(np.int8)
    alike["train"] = np.where(noise.random((3, 6, 660)) < 0.3, 9, alike["assigned"][:, None]).astype(np.int8)
    alike["train"][:, 0] = alike["assigned"]
    p = bs.roughness_claim({10: alike}, draws=200)
    assert p.shape == (3,) and np.median(p) > 0.2
    jagged = {**alike, "train": alike["train"].copy()}
    jagged["train"][:, 2::2, 600:] = 9
    assert np.allclose(bs.roughness_claim({10: jagged}, draws=200), 1 / 201)
    assert np.allclose(bs.roughness_claim({10: jagged, 20: alike}, draws=200), 1 / 201), "summed over rates"
    jagged["train"][0, 0, 600:] = 9
    assert np.isnan(bs.roughness_claim({10: jagged}, draws=20)).tolist() == [True, False, False]


def test_the_excess_roughness_is_bend_or_chance():
    bent = some(rising(0), [0, 0, 1, 1, 1, 1], n=(600, 60))
    found = bc.rough_excess({10: bent, 20: bent})
    assert np.allclose(found[0], 2 * 20_000) and np.allclose(found[1], 0), "0, 1: second differences of ±100, twice"
    jagged = some(rising(0), rising(0), n=(600, 60))
    half = np.arange(660) % 2 == 0
    for place in (2, 4):
        jagged["train"][:, place, 600:] = np.where(half[600:], 9, jagged["train"][:, place, 600:])
    bend, chance = bc.rough_excess({10: jagged})
    assert (chance > 0).all() and (bend > 0).all()


def test_one_net_has_wilsons_interval_over_its_images():
    one = some(rising(0.2), rising(0.6), n=(1000, 100))
    share, low, high = bs.image_band(one, "mislabelled")
    assert np.allclose(share, bc.changed(one, "mislabelled")[0])
    for place in range(len(share)):
        interval = wilson(round(share[place]), 100)
        assert (low[place], high[place]) == pytest.approx((100 * interval.low, 100 * interval.high))
    one["train"][0, 0, 1000:] = 9
    assert np.isnan(bs.image_band(one, "mislabelled")).all() and np.isfinite(bs.image_band(one, "clean")).all()


def planted(step, seeds=3):
    """Seven rates whose clean areas are 20, those above the claimed transition higher by `step`; seeds differ a bit."""
    tops = {k: 0.4 + (2 * step / 100 if k <= 70 else 0) for k in (10, 20, 50, 70, 80, 100, 125)}
    parts = [
        {
            k: some(rising(top + 0.01 * (s + (k * s) % 3)), rising(1), n=(1000, 10_000 // k), seeds=1)
            for k, top in tops.items()
        }
        for s in range(seeds)
    ]
    return {k: joined([part[k] for part in parts]) for k in tops}


def test_blur_5_and_7_tell_a_planted_step():
    by_rate = planted(10)
    claim = bs.transition_claim(by_rate, draws=200)
    assert np.allclose(claim["changed_area_1_in_70_minus_1_in_80"], 10, atol=1)
    assert (claim["bic_linear_minus_step"] > 5).all() and (claim["bic_constant_minus_step"] > 5).all()
    assert np.allclose(claim["break_rate_percent"], 100 / 5600**0.5), "between one in 70 and one in 80"
    assert np.allclose(claim["single_run_split_probability"], 0), "these seeds do not differ by three points"
    shares = bs.break_shares(by_rate, 50)
    assert list(shares) == [(125, 100), (100, 80), (80, 70), (70, 50), (50, 20), (20, 10)]
    assert shares[80, 70] == sum(shares.values()) == 1
    same = bs.coincidence_claim(by_rate)
    assert np.allclose(same["changed_area_1_in_10_minus_1_in_70"], 0, atol=1) and len(same) == 7
    flat = bs.transition_claim(planted(0), draws=200)
    assert (flat["bic_constant_minus_step"] < 3).all()


def test_chance_splits_single_runs_only_where_seeds_differ():
    table = np.random.default_rng(0).normal(0, 20, (5, 7))
    by_rate = planted(0)
    assert 0.01 < bs.split_chance(by_rate, table, 4000) < 2 / 35, "at most by chance: 2 of 35 orders"
    alone = {k: {name: part[:1] for name, part in one.items()} for k, one in by_rate.items()}
    assert not any(bs.break_shares(alone).values()), "one seed cannot be resampled"
    rising_areas = table + 50 * bc.log_rates(by_rate)
    found = [bs.split_chance(by_rate, rising_areas, 4000, *how) for how in ((), (True,), (True, True))]
    assert found[0] < found[1] < found[2], "somewhere, and about a trend"
    assert bs.best_models(planted(10)) == {"constant": 0, "linear": 0, "step": 3}
    assert bs.split_chance(by_rate, table / 1000, 4000) == 0 and np.isnan(bs.split_chance(by_rate, table[:1]))


def test_the_variance_ratio_is_fishers():
    table = np.random.default_rng(0).normal(0, 1, (5, 4)) + np.arange(4)
    assert bs.variance_ratio(table) == pytest.approx(stats.f_oneway(*table.T).statistic)
    assert np.isnan(bs.variance_ratio(table[:1])) and np.isnan(bs.variance_ratio(np.ones((3, 4))))


def test_blur_6_and_9_compare_groups_of_rates():
    by_rate = {k: some(rising(t), rising(1), test=rising(u)) for k, t, u in
               ((10, 0.8, 0.9), (70, 0.6, 0.8), (80, 0.3, 0.3), (100, 0.1, 0.2))}  # fmt: skip
    kernel = {"correlation": np.array([0.9, 0.8])}
    slower = bs.slower_claim(by_rate, kernel)
    assert np.allclose(slower["slope_after_1p3_low_minus_high_rates"], (20 - 70) / 2.7, rtol=0.02)
    assert slower["correlation_original_blurred_1p3"].tolist() == [0.9, 0.8]
    only = bs.slower_claim(by_rate, kernel, [100], [10])["slope_after_1p3_low_minus_high_rates"]
    assert np.allclose(only, (10 - 80) / 2.7, rtol=0.02)
    unseen = bs.unseen_claim(by_rate)
    values = [2.5, 7.5, 5.0]
    assert np.allclose([v[0] for v in unseen.values()], values, atol=0.3)
    assert np.allclose(
        bs.unseen_claim(by_rate, [80], [10])["changed_area_interaction_high_minus_low_rates"], 5, atol=0.3
    )


def test_blur_8_is_one_where_wrong_decisions_only_grow():
    kernel = {f"limit_{p}": np.array([0.1, 0.2]) for p in ("reflect", "replicate", "zero", "circular")}
    grown = some([0, 0.1, 0.2, 0.3, 0.4, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    fallen = some([0.5, 0.4, 0.3, 0.2, 0.1, 0], [0.5, 0.4, 0.3, 0.2, 0.1, 0])
    claim = bs.kernel_claim(kernel, {10: grown})
    assert np.allclose(claim["rank_correlation_wrong_rate_blur"], 1) and claim["limit_std_over_mean_zero"][1] == 0.2
    assert np.allclose(bs.kernel_claim(kernel, {10: grown, 20: fallen})["rank_correlation_wrong_rate_blur"], 0)


def test_blur_10_counts_settings_with_the_signs_of_the_main_run():
    sizes = {"sizes": np.array([[1.3, 4.0]] * 2)}
    main = {10: some(rising(0.6), rising(1)), 100: some(rising(0.2), rising(1))}
    pair = np.array([[0.9, 0.9], [0.1, 0.1]])  # mislabelled, clean
    other = {k: some(rising(0), rising(0), **sizes, changed_noise=np.stack([pair + 0, pair[::-1] + 0])) for k in main}
    gap, drop = bs.setting_numbers(other, "noise")
    assert np.allclose(gap, [80, -80]) and np.allclose(drop, 0)
    assert np.allclose(bs.setting_numbers(main, "blur")[1], 20, atol=0.5), "the highest rate less the lowest"
    other[10]["changed_noise"] = other[10]["changed_noise"] + 0.05
    settings = {"a": (other, "noise"), "b": (main, "blur"), "c": ({10: main[100], 100: main[10]}, "blur")}
    numbers = {name: bs.setting_numbers(*setting) for name, setting in settings.items()}
    claim = bs.elsewhere_claim(bs.setting_numbers(main, "blur"), numbers)
    assert np.allclose(claim["share_of_settings_with_sign_of_blur_3"], [1, 2 / 3])
    assert np.allclose(claim["share_of_settings_with_sign_of_blur_5"], [2 / 3, 2 / 3])


def test_blur_11_compares_learning_and_gaps():
    standard, robust = some(rising(0.2), rising(0.6)), some(rising(0.2), rising(0.2))
    robust["train"][:, :, -10:] = 3
    claim = bs.robust_claim(robust, standard)
    assert np.allclose(claim["mislabelled_train_accuracy_robust_minus_standard"], -50)
    expected = np.subtract(*bs.group_areas(robust, "blur")) - np.subtract(*bs.group_areas(standard, "blur"))
    assert np.allclose(claim["changed_rate_gap_robust_minus_standard"], expected) and (expected < 0).all()
    flips = [{"flips_gradient": np.array(rows)} for rows in ([[0.1, 0.5], [0.2, 0.6]], [[0.4, 0.4], [0.3, 0.4]])]
    assert bs.withstands(*flips) == {"robust_nets_withstand_more": False}, "one of two nets does"


def test_blur_12_is_fifteen_of_ten_thousand():
    human = bs.label_claim()["human_validated_error_percent"]
    assert human.estimate == pytest.approx(0.15) and 0.08 < human.low < 0.1 and 0.24 < human.high < 0.26
    both = bs.label_claim({"disagreement": np.array([2.0, 2.1])})
    assert both["cross_validation_disagreement_percent"].tolist() == [2.0, 2.1]


def tickets(*accuracy):
    return {"density": np.array([[1, 0.4, 0.16, 0.064]]), "mislabelled_accuracy": np.array([accuracy], float)}


def test_blur_13_interpolates_on_the_logarithm_of_density():
    assert bs.at_density(tickets(100, 100, 50, 0), 0.16) == pytest.approx(50)
    assert bs.at_density(tickets(100, 100, 50, 0), (0.4 * 0.16) ** 0.5) == pytest.approx(75)
    assert bs.breakdown(tickets(100, 100, 98, 0)) == pytest.approx((0.4 * 0.16) ** 0.5)
    assert bs.breakdown(tickets(98, 100, 98, 0)) == pytest.approx((0.4 * 0.16) ** 0.5), "a dense net may do worse"
    assert (
        np.isnan(bs.breakdown(tickets(90, 98, 98, 0))).all() and np.isnan(bs.breakdown(tickets(100, 100, 99, 99))).all()
    )
    claim = bs.ticket_claim({10: tickets(100, 100, 98, 0), 40: tickets(100, 100, 100, 98)})
    assert claim["mislabelled_train_accuracy_d0p2"][0] == pytest.approx(
        np.interp(np.log(0.2), np.log([0.16, 0.4]), [98, 100])
    )
    assert claim["slope_breakdown_density_on_mislabel_rate"][0] == pytest.approx(np.log2(2.5) / 2)
    assert np.isnan(
        bs.ticket_claim({10: tickets(100, 100, 98, 0), 40: tickets(9, 9, 9, 9)})[
            "slope_breakdown_density_on_mislabel_rate"
        ]
    )


def test_blur_14_takes_the_step_asked_for():
    found = {
        "epsilons": np.array([[0.05, 0.1]]),
        "flips_gradient": np.array([[0.6, 0.9]]),
        "flips_random": np.array([[0.1, 0.2]]),
    }
    assert bs.sign_claim(found, 0.05) == pytest.approx([0.5]) and bs.sign_claim(found, 0.1) == pytest.approx([0.7])


def test_rates_are_compared_only_where_their_counts_differ():
    by_rate = {k: some(rising(0), rising(0), n=(200, n)) for k, n in ((10, 40), (70, 20), (80, 18), (100, 18))}
    assert bc.low_rates(by_rate) == [80, 100] and bc.high_rates(by_rate) == [10, 70]
    assert bs.counts_differ(by_rate, [80, 100], [10, 70]) == {"rates_differ": True}
    assert bs.counts_differ(by_rate, [80], [70]) == {"rates_differ": False}
    assert bs.counts_fall(by_rate) == {"rates_differ": False}
    assert bs.counts_fall({k: by_rate[k] for k in (10, 70, 80)}) == {"rates_differ": True}


def test_claims_get_the_statistics_they_ask_for():
    by_rate, pruned = planted(5), {10: tickets(100, 100, 98, 0), 20: tickets(100, 100, 100, 98)}
    kernel = bl.run(bl.Kernel(train=100, images=20, seeds=(0, 1, 2)))
    two = bs.setting_numbers({k: by_rate[k] for k in (10, 100)}, "blur")
    given = {
        "BLUR-0": bs.fit_claim(by_rate), "BLUR-1": bs.gap_claim(by_rate), "BLUR-2": bs.low_blur_claim(by_rate),
        "BLUR-3": bs.equality_claim(by_rate), "BLUR-5": bs.transition_claim(by_rate, 50),
        "BLUR-6": bs.slower_claim(by_rate, kernel), "BLUR-7": bs.coincidence_claim(by_rate),
        "BLUR-8": bs.kernel_claim(kernel, by_rate), "BLUR-9": bs.unseen_claim(by_rate),
        "BLUR-10": bs.elsewhere_claim(two, {"same": two}),
        "BLUR-11": bs.robust_claim(by_rate[10], by_rate[20]),
        "BLUR-12": bs.label_claim({"disagreement": np.zeros(3)}), "BLUR-13": bs.ticket_claim(pruned),
    }  # fmt: skip
    claims = load_claims()
    for name, statistics in given.items():
        assert [part.statistic for part in claims[name].check.parts] == list(statistics), name
        lengths = {len(values) for values in statistics.values() if isinstance(values, np.ndarray)}
        assert lengths <= {1 if name == "BLUR-13" else 3}, name
