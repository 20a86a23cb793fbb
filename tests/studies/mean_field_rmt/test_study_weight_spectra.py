"""The study of weight spectra does what it says: who is trained, what a look tells, what ranks keep, its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.measures import spectra
from redlib.measures.powerlaws import PHASES, compare, fit_power_law, phases
from redlib.studies import weight_spectra as ws
from redlib.studies import weight_spectra_statistics as wst
from redlib.studies.experiments import joined, with_seeds

TINY = ws.Spectra(
    train=300, tests=100, hidden=(56, 52), lr=0.1, epochs=12, looks=5, classified=2, shuffles=10, seeds=(1000, 1001)
)
LOW = ws.LowRank(TINY, ranks=(0, 4, 16, 52))
LARGER = (64, 56)  # sides of the two wide layers


@pytest.fixture(scope="module")
def found():
    return ws.run(TINY)


@pytest.fixture(scope="module")
def low():
    return ws.run(LOW)


@pytest.fixture(scope="module")
def net():
    return ws.trained(TINY, ws.dataset(TINY))[0]


def some_results(spikes=((0, 1, 2), (0, 2, 4)), **more):
    """Three looks at two seeds with two layers; the second layer has two spikes more."""
    layers = np.stack([np.array(spikes, float), np.array(spikes, float) + 2], 2)
    return {"epochs": np.array([0.0, 1, 2]), "spikes": layers} | more


# Training and looks


def test_looks_are_at_the_start_and_then_geometric_to_the_end(found):
    assert TINY.per_epoch == 10 and TINY.total == 120
    assert found["steps"].tolist() == ws.moments(TINY) == [0, 10, 23, 52, 120]
    assert found["epochs"][[0, 1, -1]].tolist() == [0, 1, 12]
    assert found["train_error"].shape == (2, 5) and found["train_error"][:, -1].max() < found["train_error"][:, 0].min()


def test_a_length_in_steps_replaces_the_epochs():
    few = replace(TINY, steps=4)
    assert few.total == 4 and ws.moments(few) == [0, 4], "no look before the end of the first epoch"
    assert few.cost < TINY.cost


def test_the_layer_of_outputs_is_left_out(found):
    assert ws.wide_layers((64, 56, 52, 10)) == [0, 1]
    assert found["eigenvalues_0"].shape == (2, 5, 56) and found["eigenvalues_1"].shape == (2, 5, 52)
    assert "eigenvalues_2" not in found and found["spikes"].shape == (2, 5, 2)
    with pytest.raises(BadInput, match="at least 50"):
        ws.run(replace(TINY, hidden=(49, 49)))


def test_a_look_tells_what_the_library_tells_of_the_weights(found, net):
    for i, larger in enumerate(LARGER):
        weight = net.weights[i]
        values = found[f"eigenvalues_{i}"][:, -1]
        assert np.allclose(values, spectra.esd(weight), rtol=1e-12)
        at_end = {name: one[:, -1, i] for name, one in found.items() if one.ndim == 3 and one.shape[2] == 2}
        bulk = spectra.fit_bulk(values, larger)
        assert np.allclose(at_end["sigma"] ** 2, bulk.variance) and np.array_equal(at_end["spikes"], bulk.spikes)
        assert np.allclose(at_end["bulk_distance"], bulk.distance)
        assert np.allclose(at_end["alpha"], fit_power_law(values).alpha)
        assert np.allclose(at_end["stable_rank"], spectra.stable_rank(weight))
        assert np.allclose(at_end["effective_rank"], spectra.effective_rank(weight))


def test_phases_are_those_of_the_weights_at_the_classified_looks(found, net):
    expected = phases(net.weights[1], TINY.seeds, 10, 1 / 11, key=1)
    assert np.array_equal(found["phase"][:, -1, 1], expected["phase"])
    assert np.array_equal(found["spikes_beyond_shuffles"][:, -1, 1], expected["spikes"])
    ratios = compare(found["eigenvalues_1"][:, -1], fit_power_law(found["eigenvalues_1"][:, -1]))
    assert np.allclose(found["z_lognormal"][:, -1, 1], ratios["lognormal"].z)
    assert np.isfinite(found["phase"][:, [0, -1]]).all() and np.isnan(found["phase"][:, 1:-1]).all()


@pytest.mark.parametrize(("count", "positions"), [(1, [4]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_the_last_look_is_classified_first(count, positions):
    assert ws.classified_looks(replace(TINY, classified=count), 5) == positions


def test_noise_with_spikes_is_told_apart_from_noise():
    draw = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(1, 200, 100, generator=draw, dtype=torch.float64)
    left, right = (torch.linalg.qr(torch.randn(1, n, 8, generator=draw, dtype=torch.float64)).Q for n in (200, 100))
    signal = 0.1 * 200**0.5 * 3 * left @ right.mT
    plain, spiked = (ws.numbers(spectra.esd(w), 200) for w in (noise, noise + signal))
    assert plain["spikes"] == 0 and spiked["spikes"] == 8
    assert spiked["sigma"] == pytest.approx(0.1, rel=0.03), "the spikes are no part of the bulk"
    assert spiked["distance"] > 0.07 > 0.04 > max(plain["distance"], spiked["bulk_distance"])


def test_seeds_are_trained_alike_alone_and_are_joined_again(found):
    parts = [ws.run(with_seeds(TINY, [seed])) for seed in TINY.seeds]
    again = joined(parts)
    for name in ("steps", "train_error", "spikes", "phase", "eigenvalues_0"):
        assert np.array_equal(again[name], found[name], equal_nan=True), name
    assert not np.array_equal(parts[0]["eigenvalues_1"], parts[1]["eigenvalues_1"])


def test_small_batches_take_more_steps_and_weight_decay_shrinks_the_bulk(found):
    small, decayed = (ws.run(replace(TINY, classified=1, **c)) for c in ({"batch": 8}, {"weight_decay": 0.01}))
    assert small["steps"][-1] == 12 * 38 and small["epochs"][-1] == found["epochs"][-1]
    assert np.array_equal(small["eigenvalues_0"][:, 0], found["eigenvalues_0"][:, 0]), "from the same weights"
    assert (wst.sigma_change(decayed) < wst.sigma_change(found) - 0.2).all()
    assert type(ws.rule(replace(TINY, optimizer="adam"))).__name__ == "Adam"
    with pytest.raises(BadInput, match="optimizer"):
        ws.rule(replace(TINY, optimizer="lbfgs"))


# Low rank


def test_all_ranks_keep_the_net_and_none_keep_its_start(low, net):
    test = ws.examples(ws.dataset(TINY))["test"]
    full = ws.accuracy(net, {}, test)
    assert np.array_equal(low["accuracy_full"], full) and np.array_equal(full, 100 * (1 - low["test_error"][:, -1]))
    start = ws.StackedMLP.create(net.sizes, net.seeds, init=TINY.init).weights
    for kind in ws.KINDS:
        alone, joint = low[f"accuracy_{kind}_layerwise"], low[f"accuracy_{kind}_joint"]
        assert alone.shape == (2, 4, 2) and joint.shape == (2, 4)
        assert np.array_equal(joint[:, 0], ws.accuracy(net, {0: start[0], 1: start[1]}, test))
    assert np.abs(low["accuracy_top_layerwise"][:, -1, 1] - full).max() <= 1, "52 of the 52 directions of layer 1"
    assert low["accuracy_top_joint"][:, 2] == pytest.approx(full, abs=3)


def test_residuals_are_the_next_singular_value_of_the_update(low, net):
    for layer in (0, 1):
        update = low[f"update_{layer}"]
        assert update.shape == (2, (56, 52)[layer])
        expected = update[:, [0, 4, 16]] / update[:, :1]
        assert np.allclose(low["residual_over_change"][:, :3, layer], expected, atol=1e-5)
    start = ws.StackedMLP.create(net.sizes, net.seeds, init=TINY.init).weights[1]
    expected = low["update_1"][:, 4] / torch.linalg.matrix_norm(start.double(), 2).numpy()
    assert np.allclose(low["residual_over_start"][:, 1, 1], expected, atol=1e-5)
    assert low["residual_over_change"][:, -1, 1].max() < 1e-5


def test_random_directions_differ_by_layer_and_seed_only(net):
    start = ws.StackedMLP.create((60, 60, 60), (1000, 1001)).weights
    ends = {layer: (torch.eye(60).expand(2, 60, 60) + start[0], start[0]) for layer in (0, 1)}
    first, second = ws.kept(LOW, ends, "random", 4), ws.kept(LOW, ends, "random", 4)
    assert torch.equal(first[0], second[0]) and not torch.equal(first[0], first[1])
    change = (first[0] - start[0]).double()
    assert torch.linalg.matrix_rank(change, rtol=1e-3).tolist() == [4, 4] and not torch.allclose(change[0], change[1])


def test_a_configuration_of_another_study_is_refused():
    with pytest.raises(BadInput, match="config"):
        ws.run(object())


# Claims


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_claims_have_the_statistics_their_checks_ask_for(found, low, profile):
    kept = (16,) if profile == "paper" else wst.RANKS
    claims = {
        "RMT-21": wst.spectra_claim(found, {8: found, 32: found, 128: found}),
        "RMT-22": wst.low_rank_claim(low, LOW.ranks, kept),
        "RMT-23": wst.residual_claim(low, LOW.ranks),
    }
    for id, claim in claims.items():
        asked = {part.statistic for part in load_claims()[id].check_for(profile).parts}
        assert set(claim) == asked and all(v.shape == (2,) and np.isfinite(v).all() for v in claim.values()), id


def test_slopes_are_those_of_the_mean_over_layers():
    main = some_results()
    assert wst.spike_growth(main).tolist() == [1, 2]
    batches = {8: main, 2: some_results(((0, 1, 6), (0, 2, 8))), 32: some_results(((0, 1, -2), (0, 2, 0)))}
    assert np.allclose(wst.batch_trend(batches), [-2, -2]), "four spikes fewer for each fourfold batch"


def test_batch_sizes_are_compared_when_they_have_learned_as_much():
    error = np.array([[0.9, 0.04, 0.0], [0.9, 0.5, 0.05]])
    results = some_results(train_error=error)
    assert wst.at_error(results, 0.05).tolist() == [2, 5]
    trend = wst.batch_trend_at_error({2: results, 4: some_results(train_error=error + 0.02)}, 0.05)
    assert trend[0] == 1 and np.isnan(trend[1]), "the second never gets there with the larger batch"
    assert wst.learned(results, 0.05) == {"learned": True} and wst.learned(results, 0.01, "fit") == {"fit": False}


def test_sigma_changes_in_units_of_its_start():
    sigma = np.array([[[0.2, 0.1], [0.5, 0.5], [0.1, 0.15]]])
    assert wst.sigma_change({"sigma": sigma}) == pytest.approx([0])
    assert wst.change({"sigma": sigma}, "sigma") == pytest.approx([-0.025])


def test_phases_are_counted_by_layer():
    phase = np.array([[[np.nan, np.nan], [2, 4]], [[np.nan, np.nan], [2, 3]]])
    counts = wst.phase_counts({"phase": phase})
    assert counts.shape == (2, len(PHASES)) and counts[0].tolist() == [0, 0, 2, 0, 0, 0, 0]
    assert counts[1, 3:5].tolist() == [1, 1] and wst.phase_counts({"phase": phase}, 0).sum() == 0


def test_what_must_hold_in_each_layer_is_that_of_the_worst():
    top, random = np.array([[[90.0, 95.0], [99, 100]]]), np.array([[[20.0, 30.0], [80, 99]]])
    results = {
        "accuracy_full": np.array([100.0]),
        "accuracy_top_layerwise": top, "accuracy_random_layerwise": random,
        "accuracy_top_joint": top.min(2), "accuracy_random_joint": random.min(2),
        "residual_over_start": np.array([[[0, 0], [0.1, 0.3]]]),
        "residual_over_change": np.array([[[0, 0], [0.5, 0.7]]]),
    }  # fmt: skip
    claim = wst.low_rank_claim(results, (4, 16))
    assert claim["accuracy_top_4_minus_full_layerwise"].tolist() == [-10]
    assert claim["accuracy_top_16_minus_full_joint"].tolist() == [-1]
    assert claim["accuracy_random_16_minus_top_16_layerwise"].tolist() == [-1]
    assert claim["accuracy_random_16_minus_top_16_joint"].tolist() == [-19]
    ratios = wst.residual_claim(results, (4, 16))
    assert ratios["larger_residual_spectral_norm_ratio"] == pytest.approx([0.6])
    assert ratios["residual_over_start_spectral_norm"] == pytest.approx([0.2])
    with pytest.raises(ValueError):
        wst.residual_claim(results, (4, 16), 8)
