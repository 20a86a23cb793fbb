"""The runs of the mean-field study: what tickets keep, how arms start, what is measured, spectra and their ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.data.places import data_root
from redlib.errors import BadInput
from redlib.experiments.chain import Level, masks_of_levels
from redlib.experiments.experiment import configure, varied
from redlib.measures import meanfield, spectra
from redlib.measures.meanfield import looks
from redlib.measures.powerlaws import phases
from redlib.nets import StackedMLP
from redlib.nets.residual import ResidualTanh
from redlib.pruning.masks import masks_of
from redlib.pruning.tickets import ARMS, Cut, prepare
from redlib.studies.mean_field_rmt import runs
from redlib.training import evaluate

LAB = configure(
    runs.Tanh, pool=250, validation=50, tests=100, n=200, hidden=(24,) * 4, epochs=1, inputs=4, seeds=(1000, 1001)
)  # fmt: skip
SPECTRA = configure(
    runs.Spectra, pool=400, tests=100, n=300, hidden=(56, 52), lr=0.1, epochs=12, looks=5, shuffles=10,
    seeds=(1000, 1001),
)  # fmt: skip
LOW = runs.LowRank(SPECTRA, ranks=(0, 4, 16, 52))


@pytest.fixture(scope="module")
def chain():
    """Return the arrays of the levels 0 … 3."""
    found = [runs.Ticket(LAB).run()]
    for level in range(1, 4):
        found.append(runs.Ticket(LAB, level).run(found[-1]))
    return found


@pytest.fixture(scope="module")
def start():
    return LAB.nets()


@pytest.fixture(scope="module")
def ticket(chain, start):
    """Return the masks of three rounds of pruning."""
    return masks_of_levels(chain[3], start, (3,))[3]


@pytest.fixture(scope="module")
def found():
    return SPECTRA.run()


@pytest.fixture(scope="module")
def low(found):
    return LOW.run(found)


@pytest.fixture(scope="module")
def ends(found):
    """Return the untrained and the trained nets of SPECTRA."""
    net = SPECTRA.net()
    return net, net.with_vector(torch.from_numpy(found["final"]))


def made(name, start, ticket, key=3):
    return runs.ARMS[name].net(LAB, start, ticket, key)


# ---- chains ----


def test_levels_keep_what_they_say_rewind_and_are_measured(chain, start, ticket):
    shares = [0.8**3] * 4 + [0.9**3]
    for weights, mask, share in zip(start.weights, ticket.values(), shares, strict=True):
        assert mask.flatten(1).sum(1).tolist() == [round(share * weights[0].numel())] * 2
    rewound = prepare(ARMS["ticket"], start, ticket)
    seen = looks.weight_look(rewound)
    assert np.array_equal(seen["std"], chain[3]["start_std"]) and np.allclose(seen["density"][0], shares, atol=2e-3)
    assert seen["kept"][0].tolist() == [int(mask[0].sum()) for mask in ticket.values()]
    kept = rewound.weights[1][0][ticket["layer2"][0]].double() * 24**0.5
    assert seen["mean"][0, 1] == pytest.approx(kept.mean()) and seen["std"][0, 1] == pytest.approx(
        kept.std(correction=0)
    )


def test_signals_are_those_of_the_library(chain, start):
    x, dense = LAB.watched(), chain[0]
    assert x.shape == (4, 40) and np.allclose(dense["start_q"], meanfield.empirical_q(start, x).mean(2))
    singular = meanfield.jacobian_spectrum(start, x)
    assert np.allclose(dense["start_log_mean_square"], singular.square().mean(2).log().mean(1))
    assert np.allclose(dense["start_q_naive"], dense["start_q_density"]), "nothing is cut yet"
    assert (chain[3]["start_q_naive"] > chain[3]["start_q_density"]).all() and "end_q_rows" in chain[3]


def test_errors_are_those_at_the_end_of_training(chain, start):
    net, test = start.with_vector(torch.from_numpy(chain[0]["final"])), LAB.parts()["test"]
    assert np.array_equal(chain[0]["final_error"], evaluate(net, test)["error"])
    with pytest.raises(BadInput, match="begin"):
        LAB.train(start.clone(), LAB.parts(), begin=2)


def test_conv_nets_are_pruned_and_take_rows_too():
    convs = configure(runs.Convs, pool=100, tests=100, n=80, layers=2, channels=3, epochs=1, seeds=(1000, 1001))
    top = Level(convs, cut=Cut(0.488, 0.271))
    dense = top.run()
    cut = replace(top, level=1).run(dense)
    kept = round(0.512 * 27) + round(0.512 * 81) + round(0.729 * 30)
    assert dense["density"].tolist() == [1, 1] and cut["density"] == pytest.approx([kept / 138] * 2)
    rows = varied(convs, dataset="mnist1d").nets()
    assert rows[0][0].weight.shape == (3, 1, 3), "one-dimensional data take one-dimensional convolutions"


def test_residual_and_orthogonal_nets_and_unknown_starts():
    assert type(varied(LAB, residual=True).nets()) is ResidualTanh and type(LAB.nets()) is StackedMLP
    w = varied(LAB, init="orthogonal", sigma_w=1.0).nets().weights[1][0]
    assert torch.allclose(w @ w.T, torch.eye(24), atol=1e-5)
    with pytest.raises(BadInput, match="init"):
        varied(LAB, init="uniform").law()


def test_augmented_inputs_are_rolled_and_the_first_are_the_originals():
    train, own = varied(LAB, shifts=(-1, 2)).parts()["train"], LAB.parts()["train"]
    x = own.x
    assert len(train) == len(own) == 200 and train.variants == 3 and torch.equal(train.x[: len(x)], x)
    assert torch.equal(train.rows, own.rows) and torch.equal(train.y, own.y)
    assert torch.equal(train.x[len(x) : 2 * len(x), :-1], x[:, 1:])


def test_photographs_are_at_hand_where_their_folder_is(tmp_path, monkeypatch):
    monkeypatch.setenv("REDLIB_DATA", str(tmp_path))
    photographs = varied(LAB, dataset="leaves_jpeg")
    assert LAB.at_hand and not photographs.at_hand
    (data_root() / "leaves_jpeg").mkdir()
    assert photographs.at_hand


# ---- arms ----


@pytest.mark.parametrize("name", runs.ARMS)
def test_every_arm_keeps_as_many_weights_of_each_layer(name, start, ticket):
    net = made(name, start, ticket)
    same = runs.ARMS[name].arm != "shuffled"
    for w, mask, other in zip(net.weights, masks_of(net).values(), ticket.values(), strict=True):
        assert torch.equal(mask.sum((1, 2)), other.sum((1, 2))) and not w[~mask].any() and w[mask].all()
        assert torch.equal(mask, other) == same


def test_arms_start_from_the_weights_they_name(start, ticket):
    nets = {name: made(name, start, ticket) for name in runs.ARMS}
    one = nets["random"].weights[1]
    mask = masks_of(nets["random"])["layer2"]
    assert torch.equal(one[mask], start.weights[1][mask])
    assert torch.allclose(nets["corrected"].weights[1], one / mask[0].double().mean().sqrt().float())
    assert torch.allclose(nets["random_2.24"].weights[1], one * 2.24 / 1.4)
    assert torch.allclose(nets["fresh_3.13"].weights[1], nets["fresh"].weights[1] * 3.13 / 1.4)
    assert not torch.equal(nets["fresh"].weights[1], start.weights[1] * ticket["layer2"])
    assert torch.equal(nets["bimodal"].biases[0], start.biases[0])


def test_redrawn_weights_have_the_ticket_s_law(start, ticket):
    own = looks.kept_values(start.weights[2], ticket["layer3"])
    for name, arm in (("bimodal", "shuffled"), ("bimodal_ticket", "ticket"), ("normal", "shuffled")):
        net = made(name, start, ticket)
        drawn = looks.kept_values(net.weights[2], masks_of(net)["layer3"])
        assert runs.ARMS[name].arm == arm and not np.array_equal(np.sort(drawn), np.sort(own))
        assert np.allclose(np.square(drawn).mean(1), np.square(own).mean(1), rtol=0.35)
        if name != "normal":
            assert (np.abs(drawn).max(1) <= np.abs(own).max(1) + 1e-6).all()
            assert np.allclose(np.quantile(drawn, 0.8, axis=1), np.quantile(own, 0.8, axis=1), atol=0.12)


def test_chi_matched_nets_have_the_chi_of_the_ticket(start, ticket):
    nets = [made("chi_matched", start, ticket), prepare(ARMS["ticket"], start, ticket), made("random", start, ticket)]
    matched, wanted, random = (meanfield.empirical_chi(net, LAB.watched()).mean(2) for net in nets)
    assert torch.allclose(matched, wanted, rtol=1e-5) and not torch.allclose(random, wanted, rtol=1e-2)


def test_arms_have_axes_of_arms_and_levels_and_unknown_ones_are_refused(chain):
    config = runs.Controls(runs.Ticket(LAB), ("random", "corrected"), (1, 3))
    arms = config.results(config.run(chain[3]))
    alone = replace(config, arms=("corrected",), levels=(3,))
    one = alone.results(alone.run(chain[3])).at(arm="corrected", level=3)
    for name in ("final_error", "start_chi", "start_log_sigma_max"):
        assert np.array_equal(arms.at(arm="corrected", level=3)[name], one[name]), name
    with pytest.raises(BadInput, match="lucky"):
        replace(config, arms=("lucky",)).run(chain[3])


def test_nets_of_equal_fit_are_compared_where_both_reached_the_loss(chain):
    easy = runs.Fitted(runs.Ticket(LAB, 3), target=50.0, epochs=2)
    once, ticket = varied(LAB, epochs=1), easy.run(chain[3])["lead"]
    errors = [run["final_error"] for run in (chain[0], runs.Ticket(once, 3).run(chain[2]))]
    assert np.allclose(ticket, 100 * (errors[0] - errors[1])), "both stop after the first epoch"
    assert np.isnan(replace(easy, target=0.0).run(chain[3])["lead"]).all()


# ---- measures ----


def test_histograms_are_of_a_middle_layer_and_the_dip_of_all(chain, start, ticket):
    found = runs.Histograms(runs.Ticket(LAB, 3)).run(chain[3])
    assert found["start_histogram"].sum(1).tolist() == [int(ticket["layer3"][0].sum())] * 2
    assert found["start_gap"].shape == found["end_dip"].shape == (2, 5)
    rewound = runs.Histograms(runs.Ticket(LAB)).run(chain[0])
    assert (found["start_gap"][:, 1] < rewound["start_gap"][:, 1]).all(), "the small ones are cut"
    assert (found["start_dip"][:, 1] > rewound["start_dip"][:, 1]).all()


def test_evening_out_in_degrees_keeps_what_leaves_each_input(start, ticket):
    net, x = prepare(ARMS["ticket"], start, ticket), LAB.watched()
    found = looks.in_degrees(net, x)
    rows = meanfield.predicted_q(net.weights, net.biases, x, masks=list(ticket.values()), law="rows").mean(2)
    assert np.allclose(found["q_even_rows"][:, 0], rows[:, 0]), "the mean over the units of the first layer stays"
    assert not np.allclose(found["q_even_rows"][:, 2], rows[:, 2])
    assert not np.allclose(found["q_even"][:, 0], rows[:, 0]), "what is measured depends on the signs"
    assert found["degree_ratio"].shape == (2, 5)


def test_brief_trainings_learn_where_a_signal_passes():
    brief = configure(runs.Brief, pool=400, n=320, width=32, depth=6, sigmas=(0.2, 1.4), steps=60, seeds=(1000, 1001))
    reached = brief.results(brief.run())
    assert (reached.at(sigma=1.4)["train_accuracy"] > reached.at(sigma=0.2)["train_accuracy"] + 0.2).all()


# ---- spectra ----


def test_looks_are_at_the_start_and_then_geometric_to_the_end(found):
    assert SPECTRA.moments(300) == [0, 10, 23, 52, 120] and found["epochs"][[0, 1, -1]].tolist() == [0, 1, 12]
    assert found["train_error"][:, -1].max() < found["train_error"][:, 0].min()
    few = varied(SPECTRA, epochs=0, steps=4)
    assert few.moments(300) == [0, 4], "no look before the end of the first epoch"
    assert few.cost < SPECTRA.cost


def test_the_layer_of_outputs_is_left_out(found):
    assert found["eigenvalues"].shape == (2, 5, 52) and found["spikes"].shape == (2, 5, 2)
    with pytest.raises(BadInput, match="at least 50"):
        varied(SPECTRA, hidden=(49, 49)).run()


def test_a_look_tells_what_the_library_tells_of_the_weights(found, ends):
    for i, larger in enumerate((64, 56)):
        values = spectra.esd(ends[1].weights[i], replicates=True)
        bulk = spectra.fit_bulk(values, larger)
        assert np.allclose(found["sigma"][:, -1, i] ** 2, bulk.variance)
        assert np.array_equal(found["spikes"][:, -1, i], bulk.spikes)
    assert np.allclose(found["eigenvalues"][:, -1], values, rtol=1e-12)
    told = phases(ends[1].weights[1], SPECTRA.seeds, 10, 1 / 11, key=1, replicates=True)
    assert np.array_equal(found["phase"][:, 1], told["phase"])


def test_weight_decay_shrinks_the_bulk_from_the_same_weights(found):
    decayed = varied(SPECTRA, weight_decay=0.01).run()
    assert np.array_equal(decayed["eigenvalues"][:, 0], found["eigenvalues"][:, 0])
    assert (decayed["sigma"][:, -1] < 0.9 * found["sigma"][:, -1]).all()


def test_all_ranks_keep_the_net_and_none_keep_its_start(low, ends):
    start, net = ends
    test = SPECTRA.parts()["test"]
    full = runs.accuracy(net, {}, test)
    assert np.array_equal(low["full"], full) and np.array_equal(full, 100 * (1 - evaluate(net, test)["error"].numpy()))
    untrained = runs.accuracy(net, {0: start.weights[0], 1: start.weights[1]}, test)
    for kind in ("top", "random"):
        assert low[f"{kind}_layerwise"].shape == (2, 4, 2) and np.array_equal(low[f"{kind}_joint"][:, 0], untrained)
    assert np.abs(low["top_layerwise"][:, -1, 1] - full).max() <= 1, "52 of the 52 directions of layer 1"
    assert low["top_joint"][:, 2] == pytest.approx(full, abs=3)


def test_residuals_are_the_next_singular_value_of_the_update(low, ends):
    start, net = ends
    for layer in (0, 1):
        update = torch.linalg.svdvals((net.weights[layer] - start.weights[layer]).double()).numpy()
        assert np.allclose(low["over_update"][:, :3, layer], update[:, [0, 4, 16]] / update[:, :1], atol=1e-5)
    expected = update[:, 4] / torch.linalg.matrix_norm(start.weights[1].double(), 2).numpy()
    assert np.allclose(low["over_start"][:, 1, 1], expected, atol=1e-5)
    assert low["over_update"][:, -1, 1].max() < 1e-5
